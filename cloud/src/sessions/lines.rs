//! What two agents of a site both count of a customer who logs in nowhere: each reads the same queue, and where they do
//! not reach each other neither knows of the other one. Each tells of a session of its own.
//!
//! The session's name says from where on in its queue's counters it counts ([`LineName`]). What another session of the
//! line that went on at that time has counted of the same stretch is not used once more, whichever of the two is told
//! first; the sessions themselves stay as they were told.

use std::collections::HashMap;
use std::time::Duration;

use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::line::LineName;
use easyisp_shared::time::Timestamp;

use super::rules::{Growth, State};

/// The sessions of lines that a batch may have to be compared with, by customer and router.
#[derive(Default, Debug)]
pub struct Lines(HashMap<(CustomerId, RouterId), Vec<Stretch>>);

/// A session of a line, as it is known already.
#[derive(Clone, Debug)]
pub struct Beside {
    /// Whose.
    pub customer: CustomerId,
    /// Where.
    pub router: RouterId,
    /// What its agent calls it.
    pub session: String,
    /// How far it is known.
    pub counted: Counted,
}

/// What a session has counted.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Stretch {
    session: String,
    queue: String,
    /// From when to when.
    since: Timestamp,
    until: Timestamp,
    up: (i64, i64),
    down: (i64, i64),
    /// Seconds since 1970 for which he was online.
    online: (i64, i64),
}

impl Lines {
    /// With what is known of them already.
    pub fn of(known: Vec<Beside>) -> Lines {
        let mut lines = Lines::default();
        for session in known {
            if let Some(name) = LineName::parse(&session.session) {
                let stretch = Stretch::of(&session.session, name, &session.counted);
                let line = (session.customer, session.router);
                lines.0.entry(line).or_default().push(stretch);
            }
        }
        lines
    }

    /// What nobody counted before of the growth of a session from one state to the next; noted as counted.
    pub fn once(
        &mut self,
        customer: CustomerId,
        (router, session): (RouterId, &str),
        (before, after): (Option<&State>, &State),
        growth: Growth,
    ) -> Growth {
        let Some(name) = LineName::parse(session) else {
            return growth;
        };
        let since = before.map_or(name.since, |before| before.last_seen);
        let whole = Stretch::of(session, name, &Counted::from(after));
        let line = self.0.entry((customer, router)).or_default();
        let at_that_time: Vec<&Stretch> = line
            .iter()
            .filter(|held| held.session != whole.session && held.queue == whole.queue)
            .filter(|held| held.since <= whole.until && since <= held.until)
            .collect();
        let beside = at_that_time.iter().copied();
        let beside: Vec<&Stretch> = beside
            .filter(|held| !held.began_after(&whole) && !whole.began_after(held))
            .collect();
        let of_these =
            |these: &[&Stretch], grown: i64, end: i64, of: fn(&Stretch) -> (i64, i64)| {
                let counted = these.iter().map(|held| of(held)).collect();
                fresh((end.saturating_sub(grown), end), counted)
            };
        let bytes_in = of_these(&beside, growth.bytes_in, whole.up.1, |held| held.up);
        let bytes_out = of_these(&beside, growth.bytes_out, whole.down.1, |held| held.down);
        // Whatever the queue did meanwhile, he was online once.
        let secs = of_these(&at_that_time, growth.secs, whole.online.1, |held| {
            held.online
        });
        let told = growth.bytes_in.saturating_add(growth.bytes_out);
        let once = Growth {
            bytes_in,
            bytes_out,
            bytes_free: share(growth.bytes_free, bytes_in.saturating_add(bytes_out), told),
            secs,
            absurd: growth.absurd,
        };
        line.retain(|held| held.session != whole.session);
        line.push(whole);
        once
    }
}

/// How far a session of a line is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counted {
    /// When it began.
    pub started: Timestamp,
    /// The newest record's moment.
    pub last_seen: Timestamp,
    /// Its length.
    pub session_secs: i64,
    /// From the subscriber.
    pub bytes_in: i64,
    /// To the subscriber.
    pub bytes_out: i64,
}

impl From<&State> for Counted {
    fn from(state: &State) -> Counted {
        Counted {
            started: state.started,
            last_seen: state.last_seen,
            session_secs: state.session_secs,
            bytes_in: state.bytes_in,
            bytes_out: state.bytes_out,
        }
    }
}

impl Stretch {
    /// Whether the queue began anew when the other one had ended: another agent may have looked at it once more before,
    /// and then it counted more than it does after that.
    fn began_after(&self, other: &Stretch) -> bool {
        let anew = self.up.0 == 0 && self.down.0 == 0;
        let later = self.until.since(other.until) >= CLOCKS;
        let counts_less = self.up.1 < other.up.1 || self.down.1 < other.down.1;
        anew && (other.until <= self.since || later && counts_less)
    }

    fn of(session: &str, name: LineName, counted: &Counted) -> Stretch {
        let from = |base: u64, bytes: i64| {
            let base = i64::try_from(base).unwrap_or(i64::MAX);
            (base, base.saturating_add(bytes))
        };
        let started = counted.started.secs();
        Stretch {
            session: session.to_owned(),
            since: name.since,
            until: counted.last_seen,
            up: from(name.base.0, counted.bytes_in),
            down: from(name.base.1, counted.bytes_out),
            online: (started, started.saturating_add(counted.session_secs)),
            queue: name.queue,
        }
    }
}

/// By how much the clocks of two agents may differ.
const CLOCKS: Duration = Duration::from_secs(60);

/// How much of a stretch is in none of the others.
fn fresh((from, until): (i64, i64), mut others: Vec<(i64, i64)>) -> i64 {
    others.sort_unstable();
    let (mut rest, mut reached) = (0, from);
    for (begins, ends) in others {
        rest += begins.min(until).saturating_sub(reached).max(0);
        reached = reached.max(ends).min(until.max(from));
    }
    rest + until.saturating_sub(reached).max(0)
}

/// As much of `part` as `some` is of `all`.
fn share(part: i64, some: i64, all: i64) -> i64 {
    let (part, some, all) = (i128::from(part), i128::from(some), i128::from(all));
    let share = (part * some).checked_div(all).unwrap_or_default();
    i64::try_from(share).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::collections::HashMap;

    use easyisp_shared::ipv6::Prefixes;
    use easyisp_shared::wire::up::{AccountingStatus, AccountingV1};
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::sessions::rules::merge;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);
    const JANE: CustomerId = CustomerId(Uuid::from_u128(1));

    /// A look of an agent that began to count at a moment and a value.
    fn record(since: i64, base: u64, at: i64, counter: u64) -> AccountingV1 {
        let name = LineName {
            since: Timestamp::from_secs(since),
            queue: "*7".to_owned(),
            base: (base, base * 10),
        };
        AccountingV1 {
            router: RouterId(Uuid::from_u128(2)),
            session: name.of(JANE).into_bytes(),
            class: Vec::new(),
            status: AccountingStatus::Interim,
            username: b"jane".to_vec(),
            customer: Some(JANE),
            framed_ip: None,
            prefixes: Prefixes::default(),
            mac: None,
            at: Timestamp::from_secs(at),
            started: Timestamp::from_secs(since),
            session_secs: u32::try_from(at - since).unwrap(),
            bytes_up: counter - base,
            bytes_down: (counter - base) * 10,
            bytes_free: 0,
            cause: None,
        }
    }

    #[derive(Default)]
    struct Booked {
        lines: Lines,
        states: HashMap<Vec<u8>, State>,
        sum: Growth,
    }

    impl Booked {
        fn book(&mut self, record: &AccountingV1) {
            let session = String::from_utf8(record.session.clone()).unwrap();
            let before = self.states.get(&record.session).cloned();
            let (after, growth) = merge(before.clone(), record, NOW);
            let states = (before.as_ref(), &after);
            let key = (record.router, session.as_str());
            let once = self.lines.once(JANE, key, states, growth);
            self.sum.bytes_in += once.bytes_in;
            self.sum.bytes_out += once.bytes_out;
            self.sum.secs += once.secs;
            self.states.insert(record.session.clone(), after);
        }

        fn of(records: &[AccountingV1]) -> [i64; 3] {
            let mut booked = Booked::default();
            records.iter().for_each(|record| booked.book(record));
            [booked.sum.bytes_in, booked.sum.bytes_out, booked.sum.secs]
        }
    }

    proptest! {
        /// Two agents that do not know of each other read one queue at moments of their own, and their reports come in
        /// any order: what it counted is used once.
        #[test]
        fn what_two_agents_read_of_one_queue_is_used_once(
            looks in prop::collection::vec((1i64..300, 0u64..1_000_000, any::<bool>()), 2..30),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let (mut at, mut counter) = (1000, 500);
            let mut began: [Option<(i64, u64)>; 2] = [None; 2];
            let mut records = Vec::new();
            let mut seen: Option<(i64, u64)> = None;
            let mut last = (0, 0);
            for (pause, grows, second) in looks {
                (at, counter) = (at + pause, counter + grows);
                match began[usize::from(second)] {
                    None => began[usize::from(second)] = Some((at, counter)),
                    Some((since, base)) => {
                        seen = Some(seen.unwrap_or((since, base)).min((since, base)));
                        last = (at, counter);
                        records.push(record(since, base, at, counter));
                    }
                }
            }
            let mut shuffled: Vec<AccountingV1> = match records.is_empty() {
                true => Vec::new(),
                false => order.iter().map(|index| index.get(&records).clone()).collect(),
            };
            shuffled.extend(records.iter().rev().cloned());
            let (since, base) = seen.unwrap_or(last);
            let used = i64::try_from(last.1 - base).unwrap();
            // What both have begun to count is used, and no gap lies between: one began while the other one counted,
            // or after it.
            let spans: Vec<(i64, i64)> = began.iter().filter_map(|began| {
                let (since, _) = (*began)?;
                let of_it = |record: &&AccountingV1| record.started == Timestamp::from_secs(since);
                let ends = records.iter().filter(of_it).map(|record| record.at.secs()).max()?;
                Some((since, ends))
            }).collect();
            let is_whole = match spans.as_slice() {
                [one, other] => one.0 < other.1 && other.0 < one.1,
                _ => true,
            };
            prop_assume!(is_whole);
            let secs = last.0 - since;
            for told in [&records, &shuffled] {
                prop_assert_eq!(Booked::of(told), [used, used * 10, secs]);
            }
        }
    }

    /// A queue that begins anew counts through the same numbers again: that is used again.
    #[test]
    fn what_a_queue_counts_after_it_began_anew_is_used_again() {
        let records = [
            record(1000, 0, 1300, 100),
            record(1300, 0, 1600, 80),
            record(1300, 0, 1900, 120),
        ];
        assert_eq!(Booked::of(&records)[0], 220);
    }

    /// One of two boxes looked at it once more before it began anew, behind the other one's last look.
    #[test]
    fn what_a_queue_counts_after_it_began_anew_beside_two_agents_is_used_once_more() {
        let records = [
            record(1000, 0, 1300, 100),
            record(1005, 0, 1310, 104),
            record(1300, 0, 1600, 80),
            record(1310, 0, 1610, 83),
            record(1300, 0, 1900, 120),
        ];
        assert_eq!(Booked::of(&records), [224, 2240, 900]);
        let late = [0, 2, 1, 3, 4].map(|which: usize| records[which].clone());
        assert_eq!(Booked::of(&late), [224, 2240, 900]);
    }

    /// Somebody's box was off for hours in which another one counted, and goes on from its own files.
    #[test]
    fn what_another_agent_counted_while_one_was_off_is_used_once() {
        let other = record(1000, 50, 5000, 900);
        let back = record(900, 20, 9000, 1000);
        for records in [[other.clone(), back.clone()], [back, other]] {
            assert_eq!(Booked::of(&records)[0], 980);
        }
    }

    #[test]
    fn what_is_in_no_other_stretch_is_fresh() {
        assert_eq!(fresh((0, 10), vec![]), 10);
        assert_eq!(fresh((0, 10), vec![(8, 20), (2, 4), (3, 5)]), 5);
        assert_eq!(fresh((0, 10), vec![(-5, 50)]), 0);
        assert_eq!(fresh((5, 5), vec![(0, 9)]), 0);
        assert_eq!(fresh((5, 9), vec![(0, 2), (20, 30)]), 4);
        assert_eq!((share(10, 3, 6), share(0, 0, 0)), (5, 0));
    }
}
