//! What a report does to a session. Every order of arrival, with repeats and losses, gives one end.

use std::net::Ipv4Addr;
use std::time::Duration;

use easyisp_shared::id::CustomerId;
use easyisp_shared::ipv6::Prefixes;
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::usage::is_plausible;

use super::{Cause, Closed, Metered, Service, Session, SessionKey};

/// What a router says of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which session.
    pub key: SessionKey,
    /// What happened.
    pub event: Event,
    /// Whose, when the name is known here.
    pub customer: Option<CustomerId>,
    /// User-Name.
    pub username: Box<[u8]>,
    /// PPP or hotspot.
    pub service: Service,
    /// The device.
    pub mac: Option<Mac>,
    /// The subscriber's address.
    pub framed_ip: Option<Ipv4Addr>,
    /// What he has of IPv6; empty where this record says nothing of it.
    pub prefixes: Prefixes,
    /// NAS-Port-Id.
    pub port: Box<[u8]>,
    /// When it happened; see [`event_time`].
    pub at: Timestamp,
    /// Acct-Session-Time.
    pub secs: u32,
    /// Cumulative bytes from the subscriber.
    pub bytes_in: u64,
    /// Cumulative bytes to the subscriber.
    pub bytes_out: u64,
    /// Whether they are all that the router said of each: it may count in 32 bits, and begin anew after 4 GiB.
    pub narrow: [bool; 2],
}

/// What happened to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It began.
    Start,
    /// It goes on.
    Interim,
    /// It ended, with the router's Acct-Terminate-Cause (0 when it gave none).
    Stop(u32),
}

/// The session after a report. Any report makes a session, whatever was lost before it (B3).
///
/// Counters and times only move forward (B5, B6, B7): each is the largest told, the start the
/// earliest. Counters that grew faster than any line stay what they were: see [`is_plausible`]. What the router ended
/// stays ended; what was given up as lost lives again when it is heard
/// of later than it was given up (B10).
pub fn merge(known: Option<&Session>, report: &Report) -> Session {
    let Some(known) = known else {
        return begin(report);
    };
    let newer = report.at >= known.seen_at;
    let longer = Duration::from_secs(u64::from(report.secs.saturating_sub(known.secs)));
    let elapsed = report.at.since(known.seen_at).max(longer);
    let report = &unwrapped(report, known);
    let [bytes_in, bytes_out] = counters(report, [known.bytes_in, known.bytes_out], elapsed);
    Session {
        key: known.key.clone(),
        customer: known.customer.or(report.customer),
        username: known.username.clone(),
        service: known.service,
        mac: newest(newer, known.mac, report.mac),
        framed_ip: newest(newer, known.framed_ip, report.framed_ip),
        prefixes: match (known.prefixes.is_empty(), report.prefixes.is_empty()) {
            (false, true) => known.prefixes.clone(),
            (false, false) if !newer => known.prefixes.clone(),
            (true, _) | (false, false) => report.prefixes.clone(),
        },
        port: if newer && !report.port.is_empty() {
            report.port.clone()
        } else {
            known.port.clone()
        },
        started_at: known.started_at.min(started(report)),
        seen_at: known.seen_at.max(report.at),
        secs: known.secs.max(report.secs),
        bytes_in,
        bytes_out,
        bytes_free: known.bytes_free,
        grant: known.grant,
        closed: closed(known, report),
    }
}

/// How much a session grew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Bytes of both directions.
    pub bytes: u64,
    /// Of these, bytes of free hours.
    pub free: u64,
    /// Seconds online.
    pub secs: u64,
}

impl Growth {
    /// The bytes that count.
    pub fn counted(self) -> u64 {
        self.bytes.saturating_sub(self.free)
    }
}

/// How much a session grew from `before` to `after`.
///
/// Of one that is first heard of long after it began, as all of a router are when it is first pointed at us, what is
/// older than the period belongs to none: its share of the time counts.
pub fn growth(before: Option<&Session>, after: &Session, metered: Option<&Metered>) -> Growth {
    let (bytes, secs, seen_at) = before.map_or((0, 0, after.started_at), |before| {
        (before.bytes(), before.secs, before.seen_at)
    });
    let whole = Growth {
        bytes: after.bytes().saturating_sub(bytes),
        free: 0,
        secs: u64::from(after.secs.saturating_sub(secs)),
    };
    let Some(metered) = metered else { return whole };
    let since = match before {
        Some(_) => seen_at,
        None => seen_at.max(metered.period_start),
    };
    let (counted, all) = (after.seen_at.since(since), after.seen_at.since(seen_at));
    let share = |of: u64| match all.is_zero() {
        true => of,
        false => {
            let part = u128::from(of) * counted.as_micros() / all.as_micros();
            u64::try_from(part).unwrap_or(of)
        }
    };
    let bytes = share(whole.bytes);
    Growth {
        bytes,
        free: metered.free_bytes(since, after.seen_at, bytes),
        secs: share(whole.secs),
    }
}

/// A session that nobody will end: closed when it was last heard of, never at "now" (B4).
pub fn lose(session: &Session) -> Session {
    Session {
        closed: Some(Closed {
            at: session.seen_at,
            cause: Cause::Lost,
        }),
        ..session.clone()
    }
}

/// When an event happened: the router's own stamp when its clock agrees with ours within five
/// minutes, else the arrival less the time the router says it has been trying.
pub fn event_time(stamp_unix: Option<u32>, delay_secs: u32, arrived: Timestamp) -> Timestamp {
    let guess = arrived.minus(Duration::from_secs(u64::from(
        delay_secs.min(MAX_DELAY_SECS),
    )));
    stamp_unix
        .map(|unix| Timestamp::from_secs(i64::from(unix)))
        .filter(|stamp| stamp.since(guess).max(guess.since(*stamp)) <= CLOCKS_AGREE)
        .unwrap_or(guess)
}

/// Whether a session that just began proves that `old` is over: the same device began anew on the
/// same router without ending the old one (B4).
pub fn proves_over(begun: &Session, old: &Session) -> bool {
    precedes(old, begun) && is_same_device(old, begun)
}

/// Whether a session whose start arrives only now was over before it was heard of: `known`, of the same device
/// on the same router, was counted after it. In order, that one's start would have ended it. What comes later
/// than a router repeats itself is news: of one that was reset, and counts from the beginning again.
pub fn is_overtaken(late: &Session, known: &Session) -> bool {
    late.key.router == known.key.router
        && late.started_at <= known.started_at.plus(REPEATED_FOR)
        && is_numbered_after(known, late)
        && is_same_device(late, known)
}

fn is_same_device(one: &Session, other: &Session) -> bool {
    one.username == other.username
        && match (one.mac, other.mac) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => !one.port.is_empty() && one.port == other.port,
        }
}

/// What a router says of all its sessions at once (RFC 2866 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Accounting-On: it has booted.
    On,
    /// Accounting-Off: it goes down.
    Off,
}

/// Whether what a router said at `at` ends a session that began at `started_at`.
///
/// The first subscribers may be back before the router's Accounting-On arrives, late or for the second time,
/// and not every router stamps it. No router boots in the time it repeats a datagram: what began within that
/// time of it began after it.
pub fn is_ended_by(word: Word, at: Timestamp, started_at: Timestamp) -> bool {
    match word {
        Word::On => started_at.plus(REPEATED_FOR) <= at,
        Word::Off => started_at <= at,
    }
}

/// Whether a session that just began makes `old` doubtful: its id was made after another boot of
/// their router (B4).
///
/// RouterOS makes Acct-Session-Id of two digits for the service, one that moves at each boot, and five
/// for the session. That is a sign, no proof: the session is over when the router does not speak of
/// it again.
pub fn casts_doubt(begun: &Session, old: &Session) -> bool {
    let boots = (
        boot(&begun.key.acct_session_id),
        boot(&old.key.acct_session_id),
    );
    precedes(old, begun)
        && match boots {
            (Some((service, boot)), Some((old_service, old_boot))) => {
                service == old_service && boot != old_boot
            }
            (None, _) | (_, None) => false,
        }
}

fn precedes(old: &Session, begun: &Session) -> bool {
    begun.key != old.key
        && begun.key.router == old.key.router
        && old.closed.is_none()
        && old.started_at <= begun.started_at
        && !is_numbered_after(old, begun)
}

/// Whether RouterOS counted on from `begun` to `old` within one boot. A start that was lost first arrives, and
/// so seems to be, later than the next session of its device: it ends nothing (B3).
fn is_numbered_after(old: &Session, begun: &Session) -> bool {
    let (old, begun) = (&old.key.acct_session_id, &begun.key.acct_session_id);
    match (boot(old), boot(begun)) {
        (Some(of_old), Some(of_begun)) if of_old == of_begun => {
            let ahead = number(old).wrapping_sub(number(begun)) & LAST_NUMBER;
            (1..=LAST_NUMBER / 2).contains(&ahead)
        }
        (Some(_), Some(_)) | (None, _) | (_, None) => false,
    }
}

/// The five hexadecimal digits at the end of a RouterOS session id.
fn number(acct_session_id: &[u8]) -> u32 {
    let digits = acct_session_id.iter().rev().take(5).rev();
    digits.fold(0, |number, digit| {
        (number << 4) | char::from(*digit).to_digit(16).unwrap_or(0)
    })
}

/// The service and boot digits of a RouterOS session id such as `80100014`.
pub(super) fn boot(acct_session_id: &[u8]) -> Option<([u8; 2], u8)> {
    match acct_session_id {
        [b'8', service, boot, rest @ ..]
            if rest.len() == 5 && acct_session_id.iter().all(u8::is_ascii_hexdigit) =>
        {
            Some(([b'8', *service], boot.to_ascii_lowercase()))
        }
        _ => None, // octets from the network
    }
}

fn begin(report: &Report) -> Session {
    let elapsed = Duration::from_secs(u64::from(report.secs));
    let [bytes_in, bytes_out] = counters(report, [0, 0], elapsed);
    Session {
        key: report.key.clone(),
        customer: report.customer,
        username: report.username.clone(),
        service: report.service,
        mac: report.mac,
        framed_ip: report.framed_ip,
        prefixes: report.prefixes.clone(),
        port: report.port.clone(),
        started_at: started(report),
        seen_at: report.at,
        secs: report.secs,
        bytes_in,
        bytes_out,
        bytes_free: 0,
        grant: None,
        closed: stop(report),
    }
}

fn started(report: &Report) -> Timestamp {
    report.at.minus(Duration::from_secs(u64::from(report.secs)))
}

fn stop(report: &Report) -> Option<Closed> {
    match report.event {
        Event::Stop(cause) => Some(Closed {
            at: report.at,
            cause: Cause::Router(cause),
        }),
        Event::Start | Event::Interim => None,
    }
}

fn closed(known: &Session, report: &Report) -> Option<Closed> {
    match (known.closed, stop(report)) {
        (None, told) => told,
        (Some(held), Some(told)) => Some(match (held.cause, told.cause) {
            (Cause::Router(_), Cause::Router(_)) if held.at <= told.at => held,
            (Cause::Router(_) | Cause::Lost, Cause::Router(_) | Cause::Lost) => told,
        }),
        (Some(held), None) => match held.cause {
            Cause::Router(_) => Some(held),
            Cause::Lost => (report.at <= held.at).then_some(held),
        },
    }
}

fn newest<T>(newer: bool, known: Option<T>, told: Option<T>) -> Option<T> {
    if newer {
        told.or(known)
    } else {
        known.or(told)
    }
}

/// The report with counters that go on where they began anew (RFC 2869 §5.1): a later word on the session whose 32
/// bits fell by more than half of what they hold.
fn unwrapped(report: &Report, known: &Session) -> Report {
    let later = report.at > known.seen_at && report.secs > known.secs;
    let go_on = |narrow: bool, told: u64, known: u64| {
        let low = known & LOW;
        match narrow && later && told > 0 && told <= LOW {
            true if told + LOW / 2 < low => (known - low).saturating_add(LOW + 1) + told,
            true => (known - low) + told,
            false => told,
        }
    };
    let [narrow_in, narrow_out] = report.narrow;
    Report {
        bytes_in: go_on(narrow_in, report.bytes_in, known.bytes_in),
        bytes_out: go_on(narrow_out, report.bytes_out, known.bytes_out),
        ..report.clone()
    }
}

/// Both counters after a report, or, where one of them cannot be true, both as they were.
fn counters(report: &Report, known: [u64; 2], elapsed: Duration) -> [u64; 2] {
    let [known_in, known_out] = known;
    let believed = is_plausible(report.bytes_in.saturating_sub(known_in), elapsed)
        && is_plausible(report.bytes_out.saturating_sub(known_out), elapsed);
    match believed {
        true => [
            known_in.max(report.bytes_in),
            known_out.max(report.bytes_out),
        ],
        false => known,
    }
}

/// What 32 bits hold.
const LOW: u64 = u32::MAX as u64;
/// RouterOS begins anew after it.
const LAST_NUMBER: u32 = 0xf_ffff;
/// Three tries of three seconds, RouterOS' longest, and some.
const REPEATED_FOR: Duration = Duration::from_secs(10);
const CLOCKS_AGREE: Duration = Duration::from_secs(300);
/// A router keeps trying for seconds; a day is already nonsense.
const MAX_DELAY_SECS: u32 = 86_400;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use easyisp_shared::id::RouterId;
    use proptest::prelude::*;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn key(id: &[u8]) -> SessionKey {
        SessionKey {
            router: RouterId(uuid::Uuid::from_u128(1)),
            acct_session_id: id.into(),
            class: Box::default(),
        }
    }

    fn report(event: Event, at_secs: i64, secs: u32, bytes: u64) -> Report {
        Report {
            key: key(b"81000001"),
            event,
            customer: None,
            username: b"demo001".as_slice().into(),
            service: Service::Ppp,
            mac: Some(Mac::new([1; 6])),
            framed_ip: None,
            prefixes: Prefixes::default(),
            port: b"ether1".as_slice().into(),
            at: at(at_secs),
            secs,
            bytes_in: bytes,
            bytes_out: bytes.saturating_mul(2),
            narrow: [false; 2],
        }
    }

    fn prefixes(net: &str) -> Prefixes {
        net.parse().into_iter().collect()
    }

    fn fold<'a>(reports: impl IntoIterator<Item = &'a Report>) -> Session {
        let mut session = None;
        for report in reports {
            session = Some(merge(session.as_ref(), report));
        }
        session.unwrap()
    }

    fn a_life() -> Vec<Report> {
        vec![
            report(Event::Start, 1000, 0, 0),
            Report {
                prefixes: prefixes("2001:db8:100::/56"),
                ..report(Event::Interim, 1300, 300, 5 << 30)
            },
            report(Event::Interim, 1600, 600, 17 << 32),
            report(Event::Stop(1), 1700, 700, (17 << 32) + 1),
        ]
    }

    proptest! {
        /// B5, B6: however reports are shuffled and repeated, the end is the same as in order.
        #[test]
        fn every_order_and_repeat_gives_the_state_of_the_ordered_one(
            order in prop::collection::vec(0..4usize, 0..8)
                .prop_map(|repeats| [repeats, vec![0, 1, 2, 3]].concat())
                .prop_shuffle()
        ) {
            let life = a_life();
            let shuffled: Vec<&Report> = order.iter().map(|index| &life[*index]).collect();
            prop_assert_eq!(fold(shuffled), fold(&life));
        }

        /// V7: no prefix of any history shows a counter falling.
        #[test]
        fn counters_never_fall(order in prop::collection::vec(0..4usize, 1..20)) {
            let life = a_life();
            let mut session: Option<Session> = None;
            for index in order {
                let next = merge(session.as_ref(), &life[index]);
                if let Some(before) = session {
                    prop_assert!(next.bytes_in >= before.bytes_in && next.secs >= before.secs);
                }
                session = Some(next);
            }
        }
    }

    /// They come when the line is up, and a record without them takes none away.
    #[test]
    fn the_newest_prefixes_that_were_told_are_the_sessions() {
        let with = |at, net: &str| Report {
            prefixes: prefixes(net),
            ..report(Event::Interim, at, 0, 0)
        };
        let (one, two) = ("2001:db8:100::/56", "2001:db8:200::/56");
        let told = [with(1300, one), with(1600, two), with(1900, "")];
        for order in [[0, 1, 2], [1, 0, 2], [1, 2, 0], [0, 2, 1]] {
            let before = report(Event::Start, 1000, 0, 0);
            let session = fold([&before].into_iter().chain(order.map(|place| &told[place])));
            let wanted = match order {
                [0, 2, 1] => one, // told late, of before what was heard last
                _ => two,
            };
            assert_eq!(session.prefixes, prefixes(wanted), "{order:?}");
        }
    }

    /// B3: a lost Start costs nothing.
    #[test]
    fn an_interim_alone_makes_the_session_with_its_true_start() {
        let session = merge(None, &report(Event::Interim, 1300, 300, 7));
        assert_eq!((session.started_at, session.closed), (at(1000), None));
        assert_eq!((session.bytes_in, session.bytes_out), (7, 14));
    }

    #[test]
    fn what_was_lost_lives_again_and_what_was_ended_does_not() {
        let life = a_life();
        let lost = lose(&fold(&life[..2]));
        assert_eq!(lost.closed.unwrap().at, at(1300));

        assert!(merge(Some(&lost), &life[1]).closed.is_some());
        assert!(merge(Some(&lost), &life[2]).closed.is_none());
        let ended = merge(Some(&lost), &life[3]);
        assert_eq!(ended.closed.unwrap().cause, Cause::Router(1));
        assert!(merge(Some(&ended), &life[2]).closed.is_some());
    }

    #[test]
    fn the_same_device_proves_and_another_boot_digit_casts_doubt() {
        let session = |id: &[u8], name: &[u8], mac, start| Session {
            key: key(id),
            username: name.into(),
            mac: Some(Mac::new([mac; 6])),
            ..merge(None, &report(Event::Start, start, 0, 0))
        };
        let old = session(b"81000007", b"demo002", 2, 1000);
        let again = session(b"81000009", b"demo002", 2, 2000);
        let other = session(b"81000009", b"demo002", 3, 2000);
        assert!(proves_over(&again, &old) && !proves_over(&other, &old));
        assert!(
            !proves_over(&old, &again),
            "what began earlier proves nothing"
        );
        let late = session(b"81000006", b"demo002", 2, 2000);
        assert!(!proves_over(&late, &old), "it is numbered before");
        let last = session(b"810fffff", b"demo002", 2, 1000);
        let first = session(b"81000000", b"demo002", 2, 2000);
        assert!(proves_over(&first, &last) && !proves_over(&last, &first));

        let doubt = |id: &[u8], start| casts_doubt(&session(id, b"demo001", 1, start), &old);
        assert!(doubt(b"81100001", 2000));
        assert!(!doubt(b"81000001", 2000), "the same boot");
        assert!(!doubt(b"80100009", 2000), "another service");
        assert!(!doubt(b"81100001", 500), "an earlier session");
        assert!(!doubt(b"x1100001", 2000), "not RouterOS");
    }

    #[test]
    fn a_router_with_a_wrong_clock_does_not_move_events() {
        let now = at(1_000_000);
        assert_eq!(event_time(Some(1_000_000 - 20), 0, now), at(1_000_000 - 20));
        assert_eq!(event_time(Some(5), 30, now), at(1_000_000 - 30));
        assert_eq!(event_time(None, u32::MAX, now), at(1_000_000 - 86_400));
    }

    /// A forged packet, or a router's mistake: it must not use up what a customer bought.
    #[test]
    fn a_counter_that_cannot_be_true_changes_no_counter() {
        let before = merge(None, &report(Event::Interim, 1300, 300, 7));
        let wild = merge(
            Some(&before),
            &report(Event::Interim, 1600, 600, u64::MAX / 2),
        );
        assert_eq!((wild.bytes_in, wild.bytes_out), (7, 14));
        assert_eq!((wild.seen_at, wild.secs), (at(1600), 600));
        assert_eq!(growth(Some(&before), &wild, None).bytes, 0);
        let after = merge(Some(&wild), &report(Event::Interim, 1900, 900, 9));
        assert_eq!((after.bytes_in, after.bytes_out), (9, 18));
        let alone = merge(None, &report(Event::Interim, 10, 1, u64::MAX));
        assert_eq!((alone.bytes_in, alone.bytes_out), (0, 0));
    }

    /// A router that counts in 32 bits begins anew every 4 GiB; what comes late, or says nothing, is no new beginning.
    #[test]
    fn a_counter_of_32_bits_goes_on_where_it_began_anew() {
        let narrow = |at_secs, secs, bytes_in| Report {
            bytes_out: 0,
            narrow: [true; 2],
            ..report(Event::Interim, at_secs, secs, bytes_in)
        };
        let full = narrow(1300, 300, 4_000_000_000);
        let wrapped = narrow(1600, 600, 100_000_000);
        let once = fold([&full, &wrapped]);
        assert_eq!(once.bytes_in, (1 << 32) + 100_000_000);
        assert_eq!(fold([&full, &wrapped, &full, &wrapped]), once);
        let on = narrow(1900, 900, 3_000_000_000);
        let again = narrow(2200, 1200, 7);
        let twice = fold([&full, &wrapped, &on, &again]);
        assert_eq!(twice.bytes_in, (2 << 32) + 7);

        let silent = narrow(1600, 600, 0);
        assert_eq!(fold([&full, &silent]).bytes_in, 4_000_000_000);
        let fell = narrow(1600, 600, 3_900_000_000);
        assert_eq!(fold([&full, &fell]).bytes_in, 4_000_000_000);
        let wide = Report {
            narrow: [false; 2],
            ..wrapped
        };
        assert_eq!(fold([&full, &wide]).bytes_in, 4_000_000_000);
    }
}
