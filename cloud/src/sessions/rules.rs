//! What an accounting record does to the session it tells of.
//!
//! Counters are cumulative and only grow, a stop is final, and what belongs to a moment comes from the
//! newest record: so repeats change nothing and overtaking does not matter.

use std::time::Duration;

use easyisp_shared::ipv6::Prefixes;
use easyisp_shared::time::Timestamp;
use easyisp_shared::usage::{MOST_BYTES, is_plausible};
use easyisp_shared::wire::up::{AccountingStatus, AccountingV1};

use super::words::Status;

/// What is known of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// Going on, unconfirmed or over.
    pub status: Status,
    /// When it began.
    pub started: Timestamp,
    /// The newest record's moment.
    pub last_seen: Timestamp,
    /// When it ended.
    pub stopped: Option<Timestamp>,
    /// Its length as the router told it.
    pub session_secs: i64,
    /// From the subscriber.
    pub bytes_in: i64,
    /// To the subscriber.
    pub bytes_out: i64,
    /// Of both, what was used in free hours.
    pub bytes_free: i64,
    /// Its address.
    pub framed_ip: Option<String>,
    /// What it has of IPv6.
    pub prefixes: Prefixes,
    /// Its device.
    pub mac: Option<String>,
    /// Why it ended.
    pub cause: Option<String>,
}

/// How much the counters of a session grew.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Growth {
    /// From the subscriber.
    pub bytes_in: i64,
    /// To the subscriber.
    pub bytes_out: i64,
    /// Of both, what was used in free hours.
    pub bytes_free: i64,
    /// Seconds online.
    pub secs: i64,
    /// Whether the counters were not believed: then nothing of them is counted.
    pub absurd: bool,
}

/// The session after `record`, and how much it grew. Any record makes a session: a start may be lost.
///
/// A moment that has not come yet is taken as now: a box's clock may be ahead. Counters that cannot be true stay
/// what they were: see [`is_plausible`].
pub fn merge(before: Option<State>, record: &AccountingV1, now: Timestamp) -> (State, Growth) {
    let mut new = told(record, now);
    let absurd = !is_believable(before.as_ref(), &new);
    if absurd {
        let known = before.as_ref();
        new.bytes_in = known.map_or(0, |before| before.bytes_in);
        new.bytes_out = known.map_or(0, |before| before.bytes_out);
        new.bytes_free = known.map_or(0, |before| before.bytes_free);
    }
    let Some(before) = before else {
        let growth = Growth {
            bytes_in: new.bytes_in,
            bytes_out: new.bytes_out,
            bytes_free: new.bytes_free,
            secs: new.session_secs,
            absurd,
        };
        return (new, growth);
    };
    let growth = Growth {
        bytes_in: (new.bytes_in - before.bytes_in).max(0),
        bytes_out: (new.bytes_out - before.bytes_out).max(0),
        bytes_free: (new.bytes_free - before.bytes_free).max(0),
        secs: (new.session_secs - before.session_secs).max(0),
        absurd,
    };
    let newest = new.last_seen >= before.last_seen;
    let pick = |old: Option<String>, new: Option<String>| match newest {
        true => new.or(old),
        false => old.or(new),
    };
    let (status, stopped, cause) = end(&before, &new);
    let tells_prefixes = match (before.prefixes.is_empty(), new.prefixes.is_empty()) {
        (_, true) => false,
        (true, false) => true,
        (false, false) => newest,
    };
    let after = State {
        status,
        started: before.started.min(new.started),
        last_seen: before.last_seen.max(new.last_seen),
        stopped,
        session_secs: before.session_secs.max(new.session_secs),
        bytes_in: before.bytes_in.max(new.bytes_in),
        bytes_out: before.bytes_out.max(new.bytes_out),
        bytes_free: before.bytes_free.max(new.bytes_free),
        framed_ip: pick(before.framed_ip, new.framed_ip),
        prefixes: match tells_prefixes {
            true => new.prefixes,
            false => before.prefixes,
        },
        mac: pick(before.mac, new.mac),
        cause,
    };
    (after, growth)
}

/// By how much longer the session goes on than was known, by our clock or by the router's.
fn is_believable(before: Option<&State>, new: &State) -> bool {
    let length = Duration::from_secs(new.session_secs.unsigned_abs());
    let (bytes_in, bytes_out, elapsed) = match before {
        None => (0, 0, new.last_seen.since(new.started).max(length)),
        Some(before) => {
            let known = Duration::from_secs(before.session_secs.unsigned_abs());
            let longer = length.saturating_sub(known);
            // What is told of later than it was is known from then on.
            let since = new.last_seen.since(before.last_seen);
            (before.bytes_in, before.bytes_out, since.max(longer))
        }
    };
    let plausible = |new: i64, known: i64| match u64::try_from(new.saturating_sub(known)) {
        Ok(grown) => is_plausible(grown, elapsed),
        Err(_) => true, // no growth
    };
    plausible(new.bytes_in, bytes_in) && plausible(new.bytes_out, bytes_out)
}

/// What the router ended stays ended, and its own stop outweighs the guess that a session was lost. The
/// guess holds until the session is heard of after it.
fn end(before: &State, new: &State) -> (Status, Option<Timestamp>, Option<String>) {
    let of = |state: &State| (Status::Completed, state.stopped, state.cause.clone());
    let guessed = |state: &State| state.cause.as_deref() == Some(LOST);
    // One agent's guess says nothing against what another heard later.
    let disproved = |guess: &State, heard: &State| {
        guessed(guess) && guess.stopped.is_some_and(|at| at < heard.last_seen)
    };
    match (before.status, new.status) {
        (Status::Completed, Status::Completed) => match (guessed(before), guessed(new)) {
            (true, false) => of(new),
            (false, true) => of(before),
            // Two of a kind: the later one, whichever came first.
            (true, true) | (false, false) if new.stopped > before.stopped => of(new),
            (true, true) | (false, false) => of(before),
        },
        (Status::Completed, Status::Active | Status::Unconfirmed) if disproved(before, new) => {
            (Status::Active, None, None)
        }
        (Status::Active | Status::Unconfirmed, Status::Completed) if disproved(new, before) => {
            (before.status, None, None)
        }
        (Status::Completed, Status::Active | Status::Unconfirmed) => of(before),
        (Status::Active | Status::Unconfirmed, Status::Completed) => of(new),
        (Status::Unconfirmed, Status::Active | Status::Unconfirmed)
            if new.last_seen <= before.last_seen =>
        {
            (Status::Unconfirmed, None, None)
        }
        (Status::Active | Status::Unconfirmed, Status::Active | Status::Unconfirmed) => {
            (Status::Active, None, None)
        }
    }
}

fn told(record: &AccountingV1, now: Timestamp) -> State {
    let at = record.at.min(now);
    let (status, stopped, cause) = match record.status {
        AccountingStatus::Start | AccountingStatus::Interim => (Status::Active, None, None),
        AccountingStatus::Stop => {
            let cause = record.cause.map_or_else(|| "Unknown".to_owned(), cause);
            (Status::Completed, Some(at), Some(cause))
        }
        AccountingStatus::Lost => (Status::Completed, Some(at), Some(LOST.to_owned())),
    };
    let bytes = |count: u64| i64::try_from(count.min(MOST_BYTES + 1)).unwrap_or(i64::MAX);
    State {
        status,
        started: record.started.min(at),
        last_seen: at,
        stopped,
        session_secs: i64::from(record.session_secs),
        bytes_in: bytes(record.bytes_up),
        bytes_out: bytes(record.bytes_down),
        bytes_free: bytes(record.bytes_free),
        framed_ip: record.framed_ip.map(|address| address.to_string()),
        prefixes: record.prefixes.clone(),
        mac: record.mac.map(|mac| mac.to_string()),
        cause,
    }
}

/// The cause of a session whose end nobody saw.
pub const LOST: &str = "Lost";

/// Acct-Terminate-Cause in words (RFC 2866 §5.10).
fn cause(code: u32) -> String {
    let words = usize::try_from(code)
        .ok()
        .and_then(|code| CAUSES.get(code.checked_sub(1)?));
    words.map_or_else(|| format!("{OTHER}{code}"), |words| (*words).to_owned())
}

/// The Acct-Terminate-Cause that these words stand for; `None` where the router gave none.
pub fn cause_code(words: &str) -> Option<u32> {
    let place = CAUSES.iter().position(|held| *held == words);
    let listed = place.and_then(|place| u32::try_from(place + 1).ok());
    listed.or_else(|| words.strip_prefix(OTHER)?.parse().ok())
}

/// From 1 on.
const CAUSES: [&str; 18] = [
    "User-Request",
    "Lost-Carrier",
    "Lost-Service",
    "Idle-Timeout",
    "Session-Timeout",
    "Admin-Reset",
    "Admin-Reboot",
    "Port-Error",
    "NAS-Error",
    "NAS-Request",
    "NAS-Reboot",
    "Port-Unneeded",
    "Port-Preempted",
    "Port-Suspended",
    "Service-Unavailable",
    "Callback",
    "User-Error",
    "Host-Request",
];
const OTHER: &str = "Cause-";

/// The hour to which usage told at `at` is booked: its own, as long as there is a place for it. What an
/// agent kept for longer than a month is booked a month back.
pub fn hour(at: Timestamp, now: Timestamp) -> Timestamp {
    let kept = at.max(now.minus(MONTH)).min(now);
    Timestamp::from_secs(kept.secs() - kept.secs().rem_euclid(3600))
}

/// The moment under which a login is logged: see [`hour`].
pub fn logged_at(at: Timestamp, now: Timestamp) -> Timestamp {
    at.max(now.minus(MONTH)).min(now)
}

/// How far back there is a place for high-volume rows.
const MONTH: Duration = Duration::from_secs(30 * 86_400);

/// Octets from a router as text: themselves where they are text, escaped where they are not.
pub fn text_of(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) if !text.contains('\0') => text.to_owned(),
        Ok(_) | Err(_) => octets.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use easyisp_shared::id::RouterId;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    fn record(status: AccountingStatus, at: i64, bytes: u64) -> AccountingV1 {
        AccountingV1 {
            router: RouterId(Uuid::from_u128(1)),
            session: b"80000001".to_vec(),
            class: Vec::new(),
            status,
            username: b"jane".to_vec(),
            customer: None,
            framed_ip: Some("10.0.0.7".parse().unwrap()),
            prefixes: Prefixes::default(),
            mac: None,
            at: Timestamp::from_secs(at),
            started: Timestamp::from_secs(100),
            session_secs: u32::try_from(at - 100).unwrap(),
            bytes_up: bytes,
            bytes_down: bytes * 10,
            bytes_free: 0,
            cause: (status == AccountingStatus::Stop).then_some(1),
        }
    }

    fn fold(records: &[AccountingV1]) -> (State, Growth) {
        let mut state = None;
        let mut sum = Growth::default();
        for record in records {
            let (after, growth) = merge(state, record, NOW);
            sum.bytes_in += growth.bytes_in;
            sum.bytes_out += growth.bytes_out;
            state = Some(after);
        }
        (state.unwrap(), sum)
    }

    proptest! {
        /// Repeats and overtaking give the state and the usage of the order in which it happened.
        #[test]
        fn the_order_of_records_does_not_matter(
            interims in prop::collection::vec((200i64..900, 0u64..1_000_000_000_000), 1..8),
            ends: bool,
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        ) {
            let mut moments: Vec<i64> = interims.iter().map(|(at, _)| *at).collect();
            let mut counters: Vec<u64> = interims.iter().map(|(_, bytes)| *bytes).collect();
            moments.sort_unstable();
            counters.sort_unstable();
            let mut records = vec![record(AccountingStatus::Start, 100, 0)];
            records.extend(
                moments.iter().zip(&counters)
                    .map(|(at, bytes)| record(AccountingStatus::Interim, *at, *bytes)),
            );
            if ends {
                let last = *counters.last().unwrap();
                records.push(record(AccountingStatus::Stop, 1000, last));
            }
            let (in_order, usage) = fold(&records);

            let mut shuffled: Vec<AccountingV1> =
                order.iter().map(|index| index.get(&records).clone()).collect();
            shuffled.extend(records.iter().rev().cloned());
            let (out_of_order, same_usage) = fold(&shuffled);

            prop_assert_eq!(&in_order, &out_of_order);
            prop_assert_eq!(usage, same_usage);
            prop_assert_eq!(usage.bytes_in, in_order.bytes_in);
            prop_assert_eq!(usage.bytes_out, in_order.bytes_out);
        }
    }

    /// They come when the line is up, and a record without them takes none away.
    #[test]
    fn the_newest_prefixes_that_were_told_are_the_sessions() {
        let with = |at: i64, net: &str| AccountingV1 {
            prefixes: net.parse().into_iter().collect(),
            ..record(AccountingStatus::Interim, at, 0)
        };
        let (one, two) = ("2001:db8:100::/56", "2001:db8:200::/56");
        let mut state = None;
        for (told, held) in [
            (with(110, ""), ""),
            (with(120, one), one),
            (with(140, two), two),
            (with(130, one), two),
            (with(150, ""), two),
        ] {
            let after = merge(state, &told, NOW).0;
            let wanted: Prefixes = held.parse().into_iter().collect();
            assert_eq!(after.prefixes, wanted);
            state = Some(after);
        }
    }

    /// Gigawords of 0xffffffff: the session goes on, its counters stay, and what follows counts again.
    #[test]
    fn a_counter_that_cannot_be_true_is_not_counted() {
        let before = record(AccountingStatus::Interim, 300, 1_000);
        let mut wild = record(AccountingStatus::Interim, 600, 2_000);
        wild.bytes_up = u64::MAX - u64::from(u32::MAX);
        let after = record(AccountingStatus::Interim, 900, 3_000);

        let (state, growth) = fold(&[before.clone(), wild.clone(), after]);
        assert_eq!((state.bytes_in, state.bytes_out), (3_000, 30_000));
        assert_eq!((growth.bytes_in, growth.bytes_out), (3_000, 30_000));
        assert_eq!(state.last_seen, Timestamp::from_secs(900));

        let (state, growth) = merge(None, &wild, NOW);
        assert!(growth.absurd && state.status == Status::Active);
        assert_eq!(
            (growth.bytes_in, growth.bytes_out, growth.secs),
            (0, 0, 500)
        );
        let (_, growth) = merge(None, &before, NOW);
        assert!(!growth.absurd);
    }

    #[test]
    fn every_cause_is_read_back_from_its_words() {
        for code in (1..=18).chain([77]) {
            assert_eq!(cause_code(&cause(code)), Some(code));
        }
        assert_eq!((cause_code("Unknown"), cause_code(LOST)), (None, None));
    }

    #[test]
    fn a_stop_without_a_start_is_a_whole_session() {
        let (state, growth) = merge(
            None,
            &record(AccountingStatus::Stop, 700, 5_368_709_120),
            NOW,
        );
        assert_eq!(state.status, Status::Completed);
        assert_eq!(state.started, Timestamp::from_secs(100));
        assert_eq!(state.cause.as_deref(), Some("User-Request"));
        assert_eq!(growth.bytes_out, 53_687_091_200);
    }

    #[test]
    fn the_routers_stop_outweighs_the_guess_and_is_final() {
        let lost = record(AccountingStatus::Lost, 500, 10);
        let stop = record(AccountingStatus::Stop, 480, 10);
        let late = record(AccountingStatus::Interim, 900, 20);
        for order in [
            [&lost, &stop, &late],
            [&stop, &late, &lost],
            [&late, &lost, &stop],
        ] {
            let records: Vec<AccountingV1> = order.into_iter().cloned().collect();
            let (state, _) = fold(&records);
            assert_eq!(state.status, Status::Completed);
            assert_eq!(state.stopped, Some(Timestamp::from_secs(480)));
            assert_eq!(state.bytes_in, 20);
        }
    }

    /// Of two agents of a site, one guesses and the other goes on hearing of the session (V8).
    #[test]
    fn one_agents_guess_does_not_end_what_another_still_hears() {
        let lost = record(AccountingStatus::Lost, 500, 10);
        let heard = record(AccountingStatus::Interim, 800, 20);
        for order in [[&lost, &heard], [&heard, &lost]] {
            let records: Vec<AccountingV1> = order.into_iter().cloned().collect();
            let (state, growth) = fold(&records);
            assert_eq!((state.status, state.stopped), (Status::Active, None));
            assert_eq!(growth.bytes_in, 20);
        }
    }

    #[test]
    fn what_was_given_up_lives_again_when_it_is_heard_of_later() {
        let seen = record(AccountingStatus::Interim, 500, 10);
        let lost = record(AccountingStatus::Lost, 500, 10);
        let news = record(AccountingStatus::Interim, 900, 20);
        for order in [
            [&seen, &lost, &news],
            [&news, &lost, &seen],
            [&lost, &news, &seen],
        ] {
            let records: Vec<AccountingV1> = order.into_iter().cloned().collect();
            assert_eq!(fold(&records).0.status, Status::Active, "{records:?}");
        }
        let (over, _) = fold(&[seen.clone(), lost.clone(), seen]);
        assert_eq!(over.status, Status::Completed, "old news are no life");
        assert_eq!(over.stopped, Some(lost.at));
    }

    #[test]
    fn silence_is_not_an_end() {
        let (state, _) = merge(None, &record(AccountingStatus::Interim, 300, 1), NOW);
        let silent = State {
            status: Status::Unconfirmed,
            ..state
        };
        let repeat = record(AccountingStatus::Interim, 300, 1);
        let (still, _) = merge(Some(silent.clone()), &repeat, NOW);
        assert_eq!(still.status, Status::Unconfirmed);
        let news = record(AccountingStatus::Interim, 600, 1);
        let (back, _) = merge(Some(silent), &news, NOW);
        assert_eq!(back.status, Status::Active);
    }

    #[test]
    fn a_clock_ahead_and_a_backlog_are_booked_where_there_is_room() {
        let (state, _) = merge(None, &record(AccountingStatus::Interim, 2_000_000, 1), NOW);
        assert_eq!(state.last_seen, NOW);
        assert_eq!(
            hour(Timestamp::from_secs(7_300), Timestamp::from_secs(9_000)).secs(),
            7_200
        );
        assert_eq!(
            hour(Timestamp::from_secs(0), Timestamp::from_secs(100 * 86_400)).secs(),
            70 * 86_400
        );
    }

    #[test]
    fn octets_that_are_no_text_stay_apart() {
        assert_eq!(text_of(b"jane"), "jane");
        assert_eq!(text_of(b"a\0b"), "a\\x00b");
        assert_ne!(text_of(&[0xff]), text_of(&[0xfe]));
    }
}
