//! The box's clock: set by people and by servers of time, gone with the power where there is no battery; and how
//! far what the box takes for now may be off, kept apart from the product (V9, F1, F2).

use std::time::Duration;

use easyisp_shared::time::Timestamp;
use rand::RngExt;

use crate::turmoil::Turmoil;

/// Between which instants the box's now lies.
#[derive(Clone, Copy, Debug)]
pub struct Doubt {
    /// No further behind the true one than this.
    pub behind: Duration,
    /// No further before it.
    pub ahead: Duration,
    /// How long it has stood still altogether, set back.
    pub stood: Duration,
    /// How far it was put on altogether.
    pub ran: Duration,
    /// The furthest it ever was behind.
    pub worst: Duration,
    /// It booted without knowing the time, and was not told since.
    pub lost: bool,
    /// When the box wrote down last what time it is, and how far behind and before it was then at most.
    marked: (Timestamp, Duration, Duration),
}

impl Doubt {
    /// A clock that is right.
    pub fn none(now: Timestamp) -> Doubt {
        Doubt {
            behind: Duration::ZERO,
            ahead: Duration::ZERO,
            stood: Duration::ZERO,
            ran: Duration::ZERO,
            worst: Duration::ZERO,
            lost: false,
            marked: (now, Duration::ZERO, Duration::ZERO),
        }
    }

    /// The cloud told the time.
    fn told(&mut self) {
        self.behind = AGREES;
        self.ahead = AGREES;
        self.lost = false;
    }

    /// The box wrote down what time it is.
    pub fn mark(&mut self, now: Timestamp) {
        self.marked = (now, self.behind, self.ahead);
    }

    /// The box boots. A clock that is right is followed; one that stood still, or was lost, leaves what was
    /// written down. That may be later than now, and nothing before it is believed.
    fn booted(&mut self, now: Timestamp, right: bool) {
        let (at, behind, ahead) = self.marked;
        self.ahead = at.plus(ahead).since(now);
        self.behind = match right {
            true => Duration::ZERO,
            false => now.since(at) + behind,
        };
        self.worst = self.worst.max(self.behind);
    }

    /// A step small enough to be followed.
    fn stepped(&mut self, back: bool, by: Duration) {
        match back {
            true => {
                self.behind += by;
                self.stood += by;
            }
            false => {
                self.ahead += by;
                self.ran += by;
            }
        }
        self.worst = self.worst.max(self.behind);
    }

    /// It may be right again.
    fn set_right(&mut self) {
        self.ran += self.behind;
        self.stood += self.ahead;
    }
}

impl Turmoil {
    /// Somebody or something sets the box's clock.
    pub(super) fn clock_is_set(&mut self) -> String {
        let shown = self.agent.clock.now();
        let back = self.random.random();
        let step = |by| match back {
            true => shown.minus(by),
            false => shown.plus(by),
        };
        match self.random.random_range(0..4) {
            0 | 1 => {
                let by = Duration::from_secs(self.random.random_range(1..290));
                self.agent.clock.set(step(by));
                self.doubt.stepped(back, by);
                format!("the clock is set by {by:?}, back: {back}")
            }
            2 => {
                // More than is followed, beside a step that was.
                let by = Duration::from_secs(self.random.random_range(1_000..300_000));
                self.agent.clock.set(step(by));
                format!("the clock jumps by {by:?}, back: {back}")
            }
            _ => {
                self.agent.clock.set(self.now());
                self.doubt.set_right();
                "the clock is set right".into()
            }
        }
    }

    /// What the clock shows when the box gets its power back: a battery kept it, or it stood still, or it
    /// begins at the beginning. One that runs ahead through a power cut nobody can tell from a long one.
    pub(super) fn clock_boots(&mut self) -> &'static str {
        let now = self.now();
        let (shown, what) = match self.random.random_range(0..4) {
            0 | 1 => (now, "right"),
            2 => (self.stopped_at.min(now), "standing"),
            _ => (Timestamp::default(), "lost"),
        };
        self.agent.clock.set(shown);
        self.doubt.booted(now, shown == now);
        self.doubt.lost = shown == Timestamp::default();
        what
    }

    /// The box heard what time it is.
    pub(super) fn clock_is_told(&mut self) {
        self.doubt.told();
    }
}

/// So far from the cloud's time the box believes itself.
const AGREES: Duration = Duration::from_secs(2);
