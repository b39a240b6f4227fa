//! The rule of the voucher post at one agent: whom it must tell before it lets a voucher in, and when it may
//! ask for the post of an agent that is silent. Readings are monotonic; nothing here looks at a wall clock.

use std::collections::BTreeMap;
use std::time::Duration;

use easyisp_shared::id::AgentId;

/// What this agent knows of its site's voucher post.
#[derive(Clone, Debug)]
pub struct Post {
    me: AgentId,
    started: Duration,
    /// As the cloud named it.
    term: u64,
    named: Option<AgentId>,
    others: Vec<AgentId>,
    /// What each other agent knew of the post last.
    heard_of: BTreeMap<AgentId, Heard>,
    /// Who may take the post from this agent, by the term in which it said so; without them it tells nobody.
    deputies: BTreeMap<(u64, AgentId), Deputy>,
    promises: BTreeMap<AgentId, Promise>,
}

/// What another agent says of the post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// In which term.
    pub term: u64,
    /// Whether it has it.
    pub holds: bool,
}

/// An agent that may take this one's place.
#[derive(Clone, Copy, Debug, Default)]
struct Deputy {
    /// Until when it does not, as it promised.
    free_until: Option<Duration>,
}

/// What this agent promised another one: not to ask for its post.
#[derive(Clone, Copy, Debug)]
struct Promise {
    until: Duration,
    long: bool,
    /// The echo that takes a long promise back.
    taken_back: Option<u64>,
}

/// An agent that must know of a first use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MustKnow {
    /// Which.
    pub agent: AgentId,
    /// Whether nobody needs to wait for it where it does not answer: it has promised not to take the post.
    pub bound: bool,
}

/// What to say to a beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// The sender may count on some seconds.
    Short,
    /// The sender may count on three days; to be written down before it is said, where it is new.
    Long {
        /// Whether it was not promised before.
        new: bool,
    },
}

impl Post {
    /// What is known after a start at `now`: the agents it was bound to before, and the long promises it gave.
    /// How long ago they were given is not known, so they run from the start.
    pub fn new(
        me: AgentId,
        deputies: impl IntoIterator<Item = (u64, AgentId)>,
        promised: impl IntoIterator<Item = AgentId>,
        now: Duration,
    ) -> Post {
        let deputies = deputies.into_iter().map(|key| (key, Deputy::default()));
        let promise = |agent| {
            let promise = Promise {
                until: now + WAIT_LONG,
                long: true,
                taken_back: None,
            };
            (agent, promise)
        };
        Post {
            me,
            started: now,
            term: 0,
            named: None,
            others: Vec::new(),
            heard_of: BTreeMap::new(),
            deputies: deputies.collect(),
            promises: promised.into_iter().map(promise).collect(),
        }
    }

    /// The cloud's word: whom it named, in which term, and which other agents the site has. Whether this
    /// agent has the post since then and did not have it before.
    pub fn on_named(&mut self, term: u64, named: Option<AgentId>, others: Vec<AgentId>) -> bool {
        let had = self.named == Some(self.me);
        (self.term, self.named, self.others) = (term, named, others);
        !had && self.named == Some(self.me)
    }

    /// Whether this agent lets vouchers in at `now`: it is named, nobody knows better, and no agent goes by
    /// a promise that this one gave it.
    pub fn may_redeem(&self, now: Duration) -> bool {
        let gone_by = |other: &AgentId| {
            let promise = self.promises.get(other);
            promise.is_some_and(|promise| promise.long && now < promise.until)
        };
        let knows_better = |other: &AgentId| {
            let heard = self.heard_of.get(other);
            heard.is_some_and(|heard| heard.term > self.term)
        };
        let stands_aside = |other: &AgentId| gone_by(other) || knows_better(other);
        self.is_mine() && !self.others.iter().any(stands_aside)
    }

    /// Whether the cloud named this agent.
    pub fn is_mine(&self) -> bool {
        self.named == Some(self.me)
    }

    /// The agent that has the post, where it is another one.
    pub fn holder(&self) -> Option<AgentId> {
        self.named.filter(|named| *named != self.me)
    }

    /// What another agent said of the post last.
    pub fn heard_of(&self, other: AgentId) -> Heard {
        let heard = self.heard_of.get(&other).copied();
        heard.unwrap_or(Heard {
            term: self.term,
            holds: false,
        })
    }

    /// Who is to be asked about a voucher: the agent that has the post, as the latest word says.
    pub fn to_ask(&self) -> Option<AgentId> {
        let others = self.heard_of.iter();
        let claims = others.filter(|(agent, heard)| {
            heard.holds && heard.term > self.term && self.others.contains(agent)
        });
        let latest = claims.max_by_key(|(_, heard)| heard.term);
        latest.map(|(agent, _)| *agent).or_else(|| self.holder())
    }

    /// The present term.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The site's other agents.
    pub fn others(&self) -> &[AgentId] {
        &self.others
    }

    /// Who may take this agent's place, as far as the cloud may know.
    pub fn deputies(&self) -> Vec<AgentId> {
        let term = self.term;
        let of_term = self.deputies.keys().filter(|(held, _)| *held == term);
        of_term.map(|(_, agent)| *agent).collect()
    }

    /// From here on this agent tells `deputy` first; to be written down, then said to the cloud.
    pub fn bind(&mut self, deputy: AgentId) {
        self.deputies.entry((self.term, deputy)).or_default();
    }

    /// The cloud does not let `deputy` take the post of `term` any more.
    pub fn release(&mut self, term: u64, deputy: AgentId) {
        self.deputies.remove(&(term, deputy));
    }

    /// Who must know of a first use before anybody is let in by it.
    pub fn must_know(&self, now: Duration) -> Vec<MustKnow> {
        let term = self.term;
        let of_term = self.deputies.iter().filter(|((held, _), _)| *held == term);
        let must_know = |((_, agent), deputy): (&(u64, AgentId), &Deputy)| MustKnow {
            agent: *agent,
            bound: deputy.free_until.is_some_and(|until| now < until),
        };
        of_term.map(must_know).collect()
    }

    /// A deputy echoed the beat that was sent at `sent`.
    pub fn on_echo(&mut self, from: AgentId, long: bool, sent: Duration) {
        if let Some(deputy) = self.deputies.get_mut(&(self.term, from)) {
            deputy.free_until = long.then_some(sent + LONG);
        }
    }

    /// Another agent beats: what to echo. `cloud` is whether this agent has one.
    pub fn on_beat(
        &mut self,
        from: AgentId,
        heard: u64,
        says: Heard,
        cloud: bool,
        now: Duration,
    ) -> Echo {
        self.heard_of.insert(from, says);
        let taken_back =
            |promise: &Promise| promise.taken_back.is_some_and(|serial| serial <= heard);
        let held = self.promises.get(&from).copied();
        let held = held.filter(|held| held.long && !taken_back(held));
        // Who has the post takes it from nobody.
        if !cloud && !self.is_mine() {
            let promise = Promise {
                until: now + WAIT_LONG,
                long: true,
                taken_back: None,
            };
            self.promises.insert(from, promise);
            return Echo::Long {
                new: !held.is_some_and(|held| held.taken_back.is_none()),
            };
        }
        let promise = match held {
            Some(held) => held,
            None => Promise {
                until: now + WAIT,
                long: false,
                taken_back: None,
            },
        };
        self.promises.insert(from, promise);
        Echo::Short
    }

    /// An echo with this serial says `false` to `long`.
    pub fn on_short_said(&mut self, to: AgentId, serial: u64) {
        if let Some(promise) = self.promises.get_mut(&to) {
            promise.taken_back.get_or_insert(serial);
        }
    }

    /// A connection ended: its serials mean nothing any more.
    pub fn on_parted(&mut self, from: AgentId) {
        if let Some(promise) = self.promises.get_mut(&from) {
            promise.taken_back = None;
        }
    }

    /// Whether a long promise to `to` stands.
    pub fn is_promised(&self, to: AgentId) -> bool {
        self.promises.get(&to).is_some_and(|promise| promise.long)
    }

    /// When this agent may ask for the post of the one that has it, if that stays silent; `None` when there
    /// is nobody to take it from.
    pub fn may_ask_at(&self) -> Option<Duration> {
        let holder = self.holder()?;
        let promise = self.promises.get(&holder);
        Some(promise.map_or(self.started + WAIT, |promise| promise.until))
    }
}

/// How long an agent waits after it last echoed the one that has the post. Nothing is at stake in it: who has
/// the post tells its deputies first, whatever time it is. It is short enough that the post has another
/// holder within 30 s, and long enough that a restart is not a death.
pub const WAIT: Duration = Duration::from_secs(25);
/// What a holder counts on after an echo that promises it: the 72 hours that a site must last, and two more.
pub const LONG: Duration = Duration::from_secs(74 * 3600);
/// What the other one waits: two clocks that part by 2.7 % (a bad crystal does 0.01 %) still agree.
pub const WAIT_LONG: Duration = Duration::from_secs(76 * 3600);

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn agent(number: u128) -> AgentId {
        AgentId(Uuid::from_u128(number))
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn post(me: u128, named: u128) -> Post {
        let mut post = Post::new(agent(me), [], [], secs(0));
        let other = agent(3 - me);
        post.on_named(1, Some(agent(named)), vec![other]);
        post
    }

    fn says(term: u64, holds: bool) -> Heard {
        Heard { term, holds }
    }

    #[test]
    fn a_holder_without_deputies_tells_nobody() {
        let holder = post(1, 1);
        assert!(holder.may_redeem(secs(0)));
        assert_eq!(holder.must_know(secs(0)), []);
        assert!(!post(2, 1).may_redeem(secs(1_000_000)));
    }

    #[test]
    fn a_deputy_must_know_until_it_is_released_also_after_a_restart() {
        let mut holder = post(1, 1);
        holder.bind(agent(2));
        let known = MustKnow {
            agent: agent(2),
            bound: false,
        };
        assert_eq!(holder.must_know(secs(1 << 40)), [known]);

        let mut restarted = Post::new(agent(1), [(1, agent(2))], [], secs(9));
        restarted.on_named(1, Some(agent(1)), vec![agent(2)]);
        assert_eq!(restarted.must_know(secs(9)), [known]);
        restarted.release(1, agent(2));
        assert_eq!(restarted.must_know(secs(9)), []);

        // Another term, other deputies.
        holder.on_named(2, Some(agent(1)), vec![agent(2)]);
        assert_eq!(holder.must_know(secs(0)), []);
    }

    #[test]
    fn a_deputy_waits_after_its_last_echo() {
        let mut deputy = post(2, 1);
        assert_eq!(deputy.may_ask_at(), Some(WAIT));
        assert_eq!(
            deputy.on_beat(agent(1), 0, says(1, true), true, secs(100)),
            Echo::Short
        );
        assert_eq!(deputy.may_ask_at(), Some(secs(100) + WAIT));
        assert_eq!(post(1, 1).may_ask_at(), None);
    }

    /// With the cloud gone the holder goes on alone for three days, and the other one stands by its word
    /// when it has a cloud again, until the holder has heard that it is over.
    #[test]
    fn a_long_promise_is_kept_until_it_was_taken_back() {
        let (mut holder, mut deputy) = (post(1, 1), post(2, 1));
        holder.bind(agent(2));
        let echo = deputy.on_beat(agent(1), 0, says(1, true), false, secs(100));
        assert_eq!(echo, Echo::Long { new: true });
        holder.on_echo(agent(2), true, secs(99));
        let bound = |holder: &Post, now| holder.must_know(now)[0].bound;
        assert!(bound(&holder, secs(99 + 72 * 3600)));
        assert!(!bound(&holder, secs(99) + LONG));
        assert_eq!(deputy.may_ask_at(), Some(secs(100) + WAIT_LONG));

        // It has a cloud again, and even the post; the holder may not know yet.
        assert_eq!(
            deputy.on_beat(agent(1), 0, says(1, true), true, secs(200)),
            Echo::Short
        );
        deputy.on_short_said(agent(1), 7);
        deputy.on_named(2, Some(agent(2)), vec![agent(1)]);
        assert!(!deputy.may_redeem(secs(201)));
        deputy.on_beat(agent(1), 6, says(1, true), true, secs(205));
        assert!(!deputy.may_redeem(secs(206)), "it has not heard it");
        holder.on_echo(agent(2), false, secs(205));
        assert!(!bound(&holder, secs(206)));
        deputy.on_beat(agent(1), 7, says(1, true), true, secs(210));
        assert!(deputy.may_redeem(secs(211)));
    }

    #[test]
    fn a_holder_promises_nothing_when_both_lose_the_cloud() {
        let mut holder = post(1, 1);
        let echo = holder.on_beat(agent(2), 0, says(1, false), false, secs(5));
        assert_eq!(echo, Echo::Short);
        assert!(holder.may_redeem(secs(6)));
    }

    #[test]
    fn a_long_promise_outlives_a_restart_and_ends_with_the_other_agent() {
        let mut deputy = Post::new(agent(2), [], [agent(1)], secs(50));
        deputy.on_named(2, Some(agent(2)), vec![agent(1)]);
        assert!(!deputy.may_redeem(secs(50 + 74 * 3600)));
        assert!(deputy.may_redeem(secs(50) + WAIT_LONG));
        // An operator revoked the other one: it goes by nothing any more.
        deputy.on_named(3, Some(agent(2)), vec![]);
        assert!(deputy.may_redeem(secs(51)));
    }

    #[test]
    fn who_hears_of_a_later_term_lets_nobody_in() {
        let mut old = post(1, 1);
        old.on_beat(agent(2), 0, says(2, true), true, secs(1));
        assert!(!old.may_redeem(secs(2)));
        assert_eq!(old.to_ask(), Some(agent(2)));
        old.on_named(2, Some(agent(2)), vec![agent(2)]);
        assert_eq!(old.holder(), Some(agent(2)));
    }
}
