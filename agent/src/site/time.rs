//! What time it is for decisions: never before the floor, never moved by a clock nobody vouches for.
//!
//! The cloud alone vouches, by its authenticated link: a kernel that calls its clock synchronised repeats what a server of
//! time said in the clear, and a router's own clock has it from there too. To follow that would let whoever answers in
//! such a server's place (on the cable, or for its name) expire everybody at a site whose cloud is away, and a jump that
//! the cloud has not agreed to expires nobody (F2). What it would win is little: a box without a battery that boots while
//! the cloud is away goes on from what it wrote down last, so that nobody is over too soon, and somebody who is over may
//! stay for as long as the box was without power. The cloud's first word ends that, and dates the codes anew that were
//! used meanwhile.
//!
//! Nor is there a last day for all of them (V9). While time is untrusted a login is for a day at most, so that the router
//! has an end of its own whatever becomes of the box; who dials again then is judged by the counting once more. For how
//! long the box was off it does not know: who is over by that and who paid for a month look alike to it, and nobody with
//! time left is refused because of a clock. So who stays too long does so by the time without power since the cloud last
//! spoke, and not by more.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use easyisp_shared::time::{Clock, Timestamp};

use super::boot::Boot;

/// The clock of a site's decisions. Stored instants use it too, so that they agree with them.
pub struct SiteClock {
    clock: Clock,
    keeper: Mutex<TimeKeeper>,
}

impl SiteClock {
    /// Starts from the system's clock and the latest instant known to have passed, if any (F1), and from what the
    /// clock showed at which boot, while it could be trusted last (F2).
    pub fn start(
        clock: Clock,
        high_mark: Option<Timestamp>,
        boot: Option<(i64, Timestamp)>,
    ) -> SiteClock {
        let (wall, monotonic) = read(&clock);
        let here = boot.and_then(|(id, began)| {
            let here = Boot::read(&clock).filter(|here| here.id == id)?;
            Some(began.plus(here.counted))
        });
        let keeper = TimeKeeper::start(wall, monotonic, high_mark, here);
        SiteClock {
            clock,
            keeper: Mutex::new(keeper),
        }
    }

    /// The instant to decide at.
    pub fn now(&self) -> Timestamp {
        let mut keeper = self.keeper();
        let (wall, monotonic) = read(&self.clock);
        keeper.now(wall, monotonic)
    }

    /// The same instant, and whether the cloud has vouched for it.
    pub fn reading(&self) -> Reading {
        let mut keeper = self.keeper();
        let (wall, monotonic) = read(&self.clock);
        Reading {
            at: keeper.now(wall, monotonic),
            vouched: keeper.offset_millis.is_some(),
        }
    }

    /// What a reading stands for by what the cloud has said since.
    pub fn corrected(&self, reading: Reading) -> Reading {
        self.keeper().corrected(reading)
    }

    /// Which boot this is, and what the clock showed at it; `None` while the clock cannot be trusted, or the machine
    /// does not say.
    pub fn boot(&self) -> Option<(i64, Timestamp)> {
        let before = Boot::read(&self.clock)?;
        let now = self.now();
        let after = Boot::read(&self.clock)?;
        let is_one_moment = after.counted.saturating_sub(before.counted) < ONE_MOMENT;
        (is_one_moment && self.trusted()).then(|| (before.id, before.began(now)))
    }

    /// Which boot this is and how long it lasts, whatever the clock shows; `None` where the machine does not say.
    pub fn counted(&self) -> Option<Boot> {
        Boot::read(&self.clock)
    }

    /// What it showed as it was started.
    pub fn began(&self) -> Timestamp {
        self.keeper().began.0
    }

    /// A reading that never goes back.
    pub fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// The latest instant that has passed for certain: what the cloud last said, counted on. A wall clock
    /// says nothing here, because one that is years ahead would make every certificate look expired.
    pub fn floor(&self) -> Timestamp {
        let monotonic = self.clock.monotonic();
        self.keeper().floor(monotonic)
    }

    /// The cloud had told this instant before the last restart.
    pub fn recall(&self, told: Timestamp) {
        let monotonic = self.clock.monotonic();
        self.keeper().told = (told.max(BUILT), monotonic);
    }

    /// Whether expiry may be believed to the second.
    pub fn trusted(&self) -> bool {
        self.keeper().trusted()
    }

    /// This box's clock less the cloud's; `None` while the cloud has not said.
    pub fn offset_millis(&self) -> Option<i64> {
        self.keeper().offset_millis
    }

    /// How far behind it has been since the start, by what the cloud says; `None` once the cloud has said it before.
    pub fn behind(&self, cloud: Timestamp) -> Option<Duration> {
        let mut keeper = self.keeper();
        let (wall, monotonic) = read(&self.clock);
        let is_first = keeper.offset_millis.is_none();
        is_first.then(|| keeper.behind(cloud, wall, monotonic))
    }

    /// The cloud told its time over the authenticated link.
    pub fn on_cloud_time(&self, cloud: Timestamp) {
        let mut keeper = self.keeper();
        let (wall, monotonic) = read(&self.clock);
        keeper.on_cloud_time(cloud, wall, monotonic);
    }

    /// Waits until [`SiteClock::now`] may show `at`. It may return early: look again.
    pub async fn sleep_until(&self, at: Timestamp) {
        let rest = at.since(self.now());
        // What the cloud tells and a clock that is set may bring it nearer meanwhile.
        self.clock.sleep(rest.min(LOOK_AGAIN)).await;
    }

    /// Waits for `duration`.
    pub async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }

    fn keeper(&self) -> MutexGuard<'_, TimeKeeper> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An instant to decide at, as a clock showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The instant.
    pub at: Timestamp,
    /// Whether the cloud had told the time by then. A box without a clock of its own is behind until it has, by as long
    /// as it was off.
    pub vouched: bool,
}

/// Both clocks of one moment. Called under the keeper's lock, so that no later moment was judged before: a
/// thread that slept between the readings, or between them and the lock, would show a wall clock that jumped.
fn read(clock: &Clock) -> (Timestamp, Duration) {
    let mut before = clock.monotonic();
    for _ in 0..READINGS {
        let (wall, after) = (clock.now(), clock.monotonic());
        if after.saturating_sub(before) < ONE_MOMENT {
            return (wall, after);
        }
        before = after;
    }
    (clock.now(), clock.monotonic())
}

/// The rule behind [`SiteClock`]: wall clock and counting in, an instant to decide at out.
///
/// The wall clock is followed while it moves with the machine's own counting. One that jumps by more
/// than five minutes is not followed (F2), nor one before the floor (F1): the counting carries on from
/// the last instant that was good, and time is untrusted until the cloud speaks. One that begins a little
/// before the floor is behind: the counting carries on from there until it is set.
#[derive(Clone, Debug)]
pub struct TimeKeeper {
    good: Timestamp,
    counted: Duration,
    trust: Trust,
    offset_millis: Option<i64>,
    /// The instant at the start, and the counting then.
    began: (Timestamp, Duration),
    /// How far behind it was found to be when the cloud told the time first.
    behind: Duration,
    /// What the cloud said last, and the counting then.
    told: (Timestamp, Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Follow the wall clock.
    Wall,
    /// Count on from the floor: the wall clock began a little before it. It is followed once it is past that.
    Floor,
    /// Count on from the last good instant; the wall clock is wrong.
    Counting,
    /// Count on from what the cloud said; the wall clock is wrong.
    Cloud,
}

impl TimeKeeper {
    /// Starts from the present readings and the latest instant known to have passed. `counted` is the instant to which
    /// the machine itself counted since the clock could be trusted in this boot: no clock is followed that left it.
    pub fn start(
        wall: Timestamp,
        monotonic: Duration,
        high_mark: Option<Timestamp>,
        counted: Option<Timestamp>,
    ) -> TimeKeeper {
        let floor = high_mark.unwrap_or(BUILT).max(BUILT);
        let passed = counted.map_or(floor, |counted| counted.max(floor));
        let too_late = match counted {
            Some(_) => wall.since(passed) > FOLLOWED,
            None => high_mark.is_some_and(|mark| wall.since(mark) > LONGEST_OUTAGE),
        };
        let believed = passed.since(wall) <= FOLLOWED && !too_late;
        let good = if believed { wall.max(floor) } else { passed };
        TimeKeeper {
            good,
            counted: monotonic,
            began: (good, monotonic),
            trust: match believed {
                true if wall < floor => Trust::Floor,
                true => Trust::Wall,
                false => Trust::Counting,
            },
            offset_millis: None,
            behind: Duration::ZERO,
            told: (BUILT, monotonic),
        }
    }

    /// The latest instant that has passed for certain.
    pub fn floor(&self, monotonic: Duration) -> Timestamp {
        let (told, counted) = self.told;
        told.plus(monotonic.saturating_sub(counted))
    }

    /// The instant to decide at; never earlier than one given before.
    pub fn now(&mut self, wall: Timestamp, monotonic: Duration) -> Timestamp {
        let expected = self.good.plus(monotonic.saturating_sub(self.counted));
        let apart = wall.since(expected).max(expected.since(wall));
        let now = match self.trust {
            Trust::Wall if apart <= FOLLOWED => wall.max(self.good),
            Trust::Floor if wall < expected => expected,
            Trust::Floor if apart <= FOLLOWED => {
                self.trust = Trust::Wall;
                wall
            }
            Trust::Wall | Trust::Floor => {
                self.trust = Trust::Counting;
                expected
            }
            // A clock that was set right meanwhile is followed again.
            Trust::Cloud if apart <= AGREES => {
                self.trust = Trust::Wall;
                wall.max(self.good)
            }
            Trust::Counting | Trust::Cloud => expected,
        };
        self.good = now;
        self.counted = self.counted.max(monotonic);
        now
    }

    /// How far behind it has been since the start by what the cloud says now. A clock that was set back meanwhile was
    /// not behind before that.
    fn behind(&mut self, cloud: Timestamp, wall: Timestamp, monotonic: Duration) -> Duration {
        let (began, counted) = self.began;
        let at_first = cloud.since(began.plus(monotonic.saturating_sub(counted)));
        cloud.since(self.now(wall, monotonic)).min(at_first)
    }

    /// The cloud's time, from the authenticated link: the last word, also when it is the earlier one.
    pub fn on_cloud_time(&mut self, cloud: Timestamp, wall: Timestamp, monotonic: Duration) {
        if self.offset_millis.is_none() {
            self.behind = self.behind(cloud, wall, monotonic);
        }
        self.offset_millis = Some(wall.millis().saturating_sub(cloud.millis()));
        let apart = wall.since(cloud).max(cloud.since(wall));
        (self.trust, self.good) = if apart <= AGREES {
            (Trust::Wall, wall)
        } else {
            (Trust::Cloud, cloud)
        };
        self.counted = monotonic;
        self.told = (cloud, monotonic);
    }

    fn corrected(&self, reading: Reading) -> Reading {
        match (reading.vouched, self.offset_millis) {
            (false, Some(_)) => Reading {
                at: reading.at.plus(self.behind),
                vouched: true,
            },
            (true, _) | (false, None) => reading,
        }
    }

    /// Whether expiry may be believed to the second.
    pub fn trusted(&self) -> bool {
        match self.trust {
            Trust::Wall | Trust::Floor | Trust::Cloud => true,
            Trust::Counting => false,
        }
    }
}

/// Half of what a session may go on after its end (V9).
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// A machine this slow has other troubles.
const READINGS: u32 = 8;
const ONE_MOMENT: Duration = Duration::from_secs(1);
/// No instant before this build was made has anything to do with it (2026-01-01).
const BUILT: Timestamp = Timestamp::from_secs(1_767_225_600);
/// A step an NTP daemon may make, and a person may not notice.
const FOLLOWED: Duration = Duration::from_secs(300);
/// Half a bad round trip; a paid end is kept to the second beside it.
const AGREES: Duration = Duration::from_secs(2);
/// A box that claims to have been off for longer has more likely lost its clock.
const LONGEST_OUTAGE: Duration = Duration::from_secs(180 * 86_400);

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const DAY: u64 = 86_400;

    fn day(days: i64) -> Timestamp {
        Timestamp::from_secs(BUILT.secs() + (100 + days) * DAY as i64)
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// Many ask while time passes; whoever was slow to read must not make it look like a jump.
    #[test]
    fn asking_from_many_threads_is_no_jump() {
        let clock = Clock::test(day(0));
        let site = SiteClock::start(clock.clone(), None, None);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        site.now();
                    }
                });
            }
            scope.spawn(|| {
                for _ in 0..2000 {
                    clock.advance(secs(3600));
                    std::thread::sleep(Duration::from_micros(50));
                }
            });
        });
        assert!(site.trusted());
        assert_eq!(site.now(), clock.now());
    }

    /// Whoever waits for an instant is not told when the clock is set: he looks himself.
    #[tokio::test]
    async fn who_waits_looks_at_the_clock_again() {
        let clock = Clock::test(day(0));
        let site = SiteClock::start(clock.clone(), None, None);
        let mut waits = Box::pin(site.sleep_until(day(0).plus(secs(3600))));
        assert_eq!(waits.as_mut().now_or_never(), None);
        clock.set(day(-1));
        clock.advance(LOOK_AGAIN);
        assert_eq!(waits.as_mut().now_or_never(), Some(()));

        site.on_cloud_time(day(0).plus(secs(3590)));
        let mut waits = Box::pin(site.sleep_until(day(0).plus(secs(3600))));
        assert_eq!(waits.as_mut().now_or_never(), None);
        assert_eq!(clock.next_wake(), Some(secs(10)));
    }

    /// F1: a board without a battery boots in the past, or in a year that is not to be believed; who expired before
    /// stays expired, and nobody expires for it.
    #[test]
    fn a_boot_in_the_past_starts_at_the_floor_and_counts_on() {
        for wall in [Timestamp::from_secs(0), day(-50), day(7), day(191)] {
            let mut keeper = TimeKeeper::start(wall, secs(5), Some(day(10)), None);
            assert!(!keeper.trusted());
            assert_eq!(keeper.now(wall, secs(5)), day(10));
            assert_eq!(keeper.now(wall, secs(65)), day(10).plus(secs(60)));
        }
    }

    /// What was dated before the clock was set back was dated well.
    #[test]
    fn a_clock_that_was_set_back_was_not_behind_before() {
        for (at_first, by_then) in [(0, 21), (40, 40), (40, 61)] {
            let mut keeper = TimeKeeper::start(day(0), secs(0), None, None);
            let dated = Reading {
                at: keeper.now(day(0).plus(secs(43)), secs(43)),
                vouched: false,
            };
            // It stands still from here on, by as much as it is further behind by then.
            let still = by_then - at_first;
            let (wall, counted) = (day(0).plus(secs(43)), secs(43 + still));
            let cloud = day(0).plus(secs(43 + still + at_first));
            keeper.on_cloud_time(cloud, wall, counted);
            let right = day(0).plus(secs(43 + at_first));
            assert_eq!(keeper.corrected(dated).at, right, "{at_first}, {by_then}");
        }
    }

    /// A clock that stood still while the box was off is behind. Nobody stays longer for that, once it has been
    /// caught out, and what sets it right is followed.
    #[test]
    fn a_boot_a_little_behind_counts_on_from_the_floor_until_the_clock_is_set() {
        let wall = |after| day(10).minus(secs(200)).plus(secs(after));
        let mut keeper = TimeKeeper::start(wall(0), secs(5), Some(day(10)), None);
        assert_eq!(keeper.now(wall(60), secs(65)), day(10).plus(secs(60)));
        assert!(keeper.trusted());
        let right = day(10).plus(secs(250));
        assert_eq!(keeper.now(right, secs(70)), right);
        assert_eq!(
            keeper.now(right.plus(secs(9)), secs(79)),
            right.plus(secs(9))
        );

        let mut keeper = TimeKeeper::start(wall(0), secs(5), Some(day(10)), None);
        assert_eq!(keeper.now(day(11), secs(10)), day(10).plus(secs(5)));
        assert!(!keeper.trusted(), "a jump");
    }

    /// F2: a clock that jumps expires nobody, in either direction, nor does it let anybody stay longer.
    #[test]
    fn a_jump_is_not_followed_until_the_cloud_agrees() {
        const YEARS: u64 = 15 * 365 * DAY;
        let right = |after| day(10).plus(secs(after));
        let forward = [600, DAY, YEARS].map(|jump| right(60).plus(secs(jump)));
        let backward = [600, 5 * 3600, DAY, YEARS].map(|jump| right(60).minus(secs(jump)));
        for jumped in forward.into_iter().chain(backward) {
            let mut keeper = TimeKeeper::start(day(10), secs(0), Some(day(10)), None);
            assert_eq!(keeper.now(jumped, secs(60)), right(60));
            assert!(!keeper.trusted());
            let later = jumped.plus(secs(30));
            assert_eq!(keeper.now(later, secs(90)), right(90), "it counts on");
            assert!(!keeper.trusted());

            // The cloud says that the clock is wrong, or that it is right.
            let mut denied = keeper.clone();
            denied.on_cloud_time(right(90), later, secs(90));
            assert!(denied.trusted());
            let later_still = jumped.plus(secs(60));
            assert_eq!(denied.now(later_still, secs(120)), right(120));
            assert!(denied.trusted());
            keeper.on_cloud_time(later, later, secs(90));
            assert_eq!(keeper.now(later, secs(90)), later);
            assert!(keeper.trusted());
        }
    }

    /// The program is started again while the machine runs. What jumped meanwhile, or before, is no time that
    /// passed, however little it is; and no outage is too long for a clock that went with the machine.
    #[test]
    fn a_jump_is_not_believed_after_a_restart_in_the_same_boot() {
        let (mark, counted) = (day(10), day(10).plus(secs(60)));
        for jump in [600, DAY, 100 * DAY] {
            let wall = counted.plus(secs(jump));
            let mut keeper = TimeKeeper::start(wall, secs(5), Some(mark), Some(counted));
            assert_eq!(keeper.now(wall, secs(5)), counted);
            assert_eq!(keeper.now(wall, secs(65)), counted.plus(secs(60)));
            assert!(!keeper.trusted());
        }
        let back = TimeKeeper::start(day(9), secs(5), Some(mark), Some(counted));
        assert_eq!(back.clone().now(day(9), secs(5)), counted);
        assert!(!back.trusted());

        let wall = day(300).plus(secs(200));
        let mut keeper = TimeKeeper::start(wall, secs(5), Some(mark), Some(day(300)));
        assert_eq!(keeper.now(wall, secs(5)), wall);
        assert!(keeper.trusted());
    }

    /// The same through the clock of a machine that goes on, and of one that was switched off.
    #[test]
    fn a_boot_is_known_again_and_another_is_not() {
        let clock = Clock::test(day(10));
        let before = SiteClock::start(clock.clone(), None, None);
        let boot = before.boot();
        clock.advance(secs(3600));
        let restarted = |clock: &Clock| SiteClock::start(clock.clone(), Some(day(10)), boot);
        assert_eq!(restarted(&clock).now(), day(10).plus(secs(3600)));

        clock.set(day(110));
        assert_eq!(restarted(&clock).now(), day(10).plus(secs(3600)));
        assert_eq!(restarted(&clock).boot(), None, "nobody vouches for it");
        assert_eq!(before.now(), restarted(&clock).now());

        let off = Clock::test(day(110));
        assert_eq!(restarted(&off).now(), day(110));
    }

    /// What a box without a clock read just before the cloud told the time for the first time was later by as much as
    /// it was behind.
    #[test]
    fn a_reading_of_before_the_cloud_spoke_is_corrected() {
        let clock = Clock::test(day(-50));
        let site = SiteClock::start(clock.clone(), Some(day(10)), None);
        let read = site.reading();
        let before = Reading {
            at: day(10),
            vouched: false,
        };
        assert_eq!((read, site.corrected(read)), (before, before));

        clock.advance(secs(3));
        site.on_cloud_time(day(12).plus(secs(3)));
        let right = |at| Reading { at, vouched: true };
        assert_eq!(site.corrected(read), right(day(12)));
        assert_eq!(site.reading(), right(day(12).plus(secs(3))));
        // The cloud's later word moves nothing that it vouched for.
        site.on_cloud_time(day(13));
        let known = right(day(12));
        assert_eq!(
            (site.corrected(known), site.corrected(read)),
            (known, known)
        );
    }

    #[test]
    fn certificates_are_judged_by_what_the_cloud_said_not_by_a_clock_from_2040() {
        let mut keeper = TimeKeeper::start(day(14 * 365), secs(0), None, None);
        assert_eq!(keeper.floor(secs(60)), BUILT.plus(secs(60)));
        keeper.on_cloud_time(day(20), day(14 * 365), secs(100));
        assert_eq!(keeper.floor(secs(160)), day(20).plus(secs(60)));
    }

    #[test]
    fn small_steps_are_followed_and_time_never_runs_back() {
        let mut keeper = TimeKeeper::start(day(10), secs(0), None, None);
        assert_eq!(
            keeper.now(day(10).plus(secs(100)), secs(1)),
            day(10).plus(secs(100))
        );
        assert_eq!(
            keeper.now(day(10).plus(secs(50)), secs(2)),
            day(10).plus(secs(100))
        );
        assert!(keeper.trusted());
    }

    #[test]
    fn the_cloud_overrules_a_wrong_wall_clock_and_a_mended_one_is_followed_again() {
        let mut keeper = TimeKeeper::start(day(-90), secs(0), Some(day(10)), None);
        keeper.on_cloud_time(day(20), day(-90), secs(10));
        assert_eq!(keeper.now(day(-90), secs(20)), day(20).plus(secs(10)));
        assert!(keeper.trusted());

        let right = day(20).plus(secs(21));
        assert_eq!(
            keeper.now(right, secs(30)),
            day(20).plus(secs(20)).max(right)
        );
    }
}
