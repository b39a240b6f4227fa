//! What a router's own list of who is online says about the sessions we know.

use std::collections::HashMap;
use std::time::Duration;

use easyisp_shared::ipv6::Prefixes;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::up::OutsideWhy;

use crate::enforce::{is_same, is_same_device};
use crate::routeros::Active;
use crate::sessions::{
    Cause, Event, Online, Report, Service, Session, SessionKey, UNCONFIRMED_AFTER,
};

/// How far the list is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nothing ends by it: somebody only looks.
    Nobody,
    /// Sessions that were heard of lately are left to accounting.
    Doubtful,
    /// Every session: somebody asked for it.
    Every,
}

/// A router's list, and when it was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Listing<'a> {
    /// Its lines.
    pub lines: &'a [Active],
    /// Whose list is whole: from no other somebody is missing.
    pub whole: &'a [Service],
    /// Who was missing from the whole list before this one.
    pub before: &'a Missing,
    /// When it was asked: what was heard later is newer than the list.
    pub asked: Timestamp,
    /// When the router started, where that is known.
    pub booted: Option<Timestamp>,
}

/// Sessions that a whole list did not name, and when each was last heard of then.
pub type Missing = HashMap<SessionKey, Timestamp>;

/// What a comparison finds.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Sessions that accounting left in doubt and the list confirms: to be reported on as alive.
    pub confirmed: Vec<Report>,
    /// Sessions that are over, say this list and the one before.
    pub lost: Vec<SessionKey>,
    /// Whoever this list does not name, also where that ends nothing.
    pub missing: Missing,
    /// How many sessions are over if the next list does not name them either.
    pub once: usize,
    /// Lines that are no session of ours, under the names that go here: a code goes into no file.
    pub outside: Vec<(Active, OutsideWhy)>,
    /// Lines that are sessions of ours.
    pub matched: usize,
}

/// Who a name on a router's list is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The name under which his sessions go here.
    pub name: Box<[u8]>,
    /// Whether he is a subscriber.
    pub known: bool,
}

/// Compares what we hold of a router with its list. `who` says who a name on it is.
///
/// A session is over when the router, asked after it was last heard of, does not list it twice in a row, both lists
/// being whole: where it was in doubt or began before the router's last start, otherwise only where `reach` says
/// so. A list that fits none of three or more fresh sessions is some other router's: it ends none of those.
pub fn compare(
    held: &[Online],
    listing: Listing<'_>,
    reach: Reach,
    who: impl Fn(&[u8]) -> Who,
) -> Findings {
    let mut findings = Findings::default();
    let mut seen = vec![false; held.len()];
    let mut by_end: Vec<(usize, &Online)> = held.iter().enumerate().collect();
    by_end.sort_by_key(|(_, online)| online.session.closed.is_some());
    for line in listing.lines {
        let his = who(&line.name);
        match session_of(line, &his.name, &by_end, &seen) {
            Some((index, online)) => {
                findings.matched += 1;
                if let Some(mark) = seen.get_mut(index) {
                    *mark = true;
                }
                if in_doubt(online, listing.asked) {
                    let report = alive(&online.session, line, listing.asked);
                    findings.confirmed.push(report);
                }
            }
            None => {
                if let Some(why) = outside(line, his.known) {
                    let mut line = line.clone();
                    // The router's own users show no code of ours.
                    if why != OutsideWhy::Local {
                        line.name = his.name.into_vec();
                    }
                    findings.outside.push((line, why));
                }
            }
        }
    }
    let missing: Vec<&Online> = held
        .iter()
        .zip(&seen)
        .filter(|(online, seen)| !**seen && online.session.closed.is_none())
        .map(|(online, _)| online)
        .filter(|online| online.heard < listing.asked)
        .filter(|online| listing.whole.contains(&online.session.service))
        .collect();
    let noted = |online: &&Online| (online.session.key.clone(), online.heard);
    findings.missing = missing.iter().map(noted).collect();
    let fresh = missing
        .iter()
        .filter(|online| !is_proved(online, listing))
        .count();
    let fits = findings.matched > 0 || fresh < FEW;
    let is_over = |online: &&Online| match reach {
        Reach::Nobody => false,
        Reach::Doubtful => is_proved(online, listing),
        Reach::Every => is_proved(online, listing) || fits,
    };
    for online in missing.into_iter().filter(is_over) {
        let key = &online.session.key;
        match listing.before.get(key) == Some(&online.heard) {
            true => findings.lost.push(key.clone()),
            false => findings.once += 1,
        }
    }
    findings
}

/// The session that a line is: by its name first, then by its device; `held` has the open ones first.
fn session_of<'a>(
    line: &Active,
    ours: &[u8],
    held: &[(usize, &'a Online)],
    seen: &[bool],
) -> Option<(usize, &'a Online)> {
    let named = |of: &&(usize, &Online)| is_same(line, ours, &of.1.session);
    let device = |of: &&(usize, &Online)| {
        !seen.get(of.0).is_some_and(|seen| *seen) && is_same_device(line, ours, &of.1.session)
    };
    let found = held.iter().find(named);
    found.or_else(|| held.iter().find(device)).copied()
}

/// Accounting has been silent on it, or speaks against it, or has given it up.
fn in_doubt(online: &Online, now: Timestamp) -> bool {
    match online.session.closed {
        None => online.doubted.is_some() || now.since(online.heard) >= UNCONFIRMED_AFTER,
        Some(closed) => closed.cause == Cause::Lost,
    }
}

/// Missing from the list, it is over: nobody speaks for it, or it is older than the router's start.
fn is_proved(online: &Online, listing: Listing<'_>) -> bool {
    let before_boot = listing
        .booted
        .is_some_and(|booted| online.heard < booted && online.session.started_at < booted);
    in_doubt(online, listing.asked) || before_boot
}

/// What the list says of a session, in the words of accounting. Counters it does not know stay.
fn alive(session: &Session, line: &Active, now: Timestamp) -> Report {
    let (bytes_in, bytes_out) = line.bytes.unwrap_or((session.bytes_in, session.bytes_out));
    // A hotspot's list has the address that the device gave itself; accounting tells the one that it goes by.
    let framed_ip = match session.service {
        Service::Hotspot => session.framed_ip.or(line.address),
        Service::Ppp | Service::Line => line.address.or(session.framed_ip),
    };
    Report {
        key: session.key.clone(),
        event: Event::Interim,
        customer: session.customer,
        username: session.username.clone(),
        service: session.service,
        mac: line.mac.or(session.mac),
        framed_ip,
        prefixes: Prefixes::default(),
        port: session.port.clone(),
        at: now,
        secs: u32::try_from(line.uptime.as_secs()).unwrap_or(u32::MAX),
        bytes_in,
        bytes_out,
        narrow: [false; 2],
    }
}

/// Why a line is no session of ours; `None` when its Start may still be under way.
fn outside(line: &Active, known: bool) -> Option<OutsideWhy> {
    match (line.radius, known) {
        (Some(false), _) => Some(OutsideWhy::Local),
        (Some(true) | None, _) if line.uptime < START_COMES => None,
        (Some(true) | None, true) => Some(OutsideWhy::Unreported),
        (Some(true) | None, false) => Some(OutsideWhy::Unknown),
    }
}

/// A Start is sent again for some seconds, and the agent may be busy.
const START_COMES: Duration = Duration::from_secs(90);
/// So many fresh sessions do not all end between two interim updates without a word.
const FEW: usize = 3;

#[cfg(test)]
mod tests {
    use easyisp_shared::id::RouterId;
    use easyisp_shared::net::Mac;

    use super::*;
    use crate::sessions::Closed;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn online(number: u8, heard: i64) -> Online {
        Online {
            session: Session {
                key: SessionKey {
                    router: RouterId(uuid::Uuid::nil()),
                    acct_session_id: format!("811000{number:02}").into_bytes().into(),
                    class: Box::default(),
                },
                customer: None,
                username: format!("demo{number:03}").into_bytes().into(),
                service: Service::Ppp,
                mac: Some(Mac::new([number; 6])),
                framed_ip: None,
                prefixes: Prefixes::default(),
                port: Box::default(),
                started_at: at(1000),
                seen_at: at(heard),
                secs: 0,
                bytes_in: 7,
                bytes_out: 8,
                bytes_free: 0,
                grant: None,
                closed: None,
            },
            heard: at(heard),
            doubted: None,
        }
    }

    fn line(number: u8) -> Active {
        Active {
            id: format!("*{number}"),
            service: Service::Ppp,
            name: format!("demo{number:03}").into_bytes(),
            mac: None,
            address: None,
            uptime: Duration::from_secs(4000),
            session_id: Some(format!("811000{number:02}")),
            radius: Some(true),
            bytes: None,
            left: None,
        }
    }

    /// What the second of two equal lists says.
    fn look(held: &[Online], lines: &[Active], booted: i64, reach: Reach) -> Findings {
        let first = look_after(&Missing::new(), held, lines, booted, reach);
        assert_eq!(first.lost, [], "one list ends nothing");
        look_after(&first.missing, held, lines, booted, reach)
    }

    fn look_after(
        before: &Missing,
        held: &[Online],
        lines: &[Active],
        booted: i64,
        reach: Reach,
    ) -> Findings {
        let listing = Listing {
            lines,
            whole: &[Service::Ppp, Service::Hotspot],
            before,
            asked: at(5000),
            booted: Some(at(booted)),
        };
        let who = |name: &[u8]| Who {
            name: match name {
                CODE => USER.into(),
                DEVICE => b"demo001".as_slice().into(),
                other => other.into(),
            },
            known: name.starts_with(b"demo"),
        };
        compare(held, listing, reach, who)
    }

    const CODE: &[u8] = b"7K3MQX9A2B";
    const USER: &[u8] = b"voucher.0102030405060708";
    const DEVICE: &[u8] = b"01:01:01:01:01:01";

    /// A hotspot's list shows the address that a device came with; what it goes by was told by accounting.
    #[test]
    fn a_list_gives_no_hotspot_session_another_address() {
        let told = Some([10, 5, 50, 9].into());
        let listed = Active {
            address: Some([192, 168, 1, 7].into()),
            ..line(1)
        };
        let mut held = online(1, 4000).session;
        held.framed_ip = told;
        assert_eq!(alive(&held, &listed, at(5000)).framed_ip, listed.address);
        held.service = Service::Hotspot;
        assert_eq!(alive(&held, &listed, at(5000)).framed_ip, told);
        held.framed_ip = None;
        assert_eq!(alive(&held, &listed, at(5000)).framed_ip, listed.address);
    }

    fn in_hotspot(mut online: Online, name: &[u8]) -> Online {
        online.session.service = Service::Hotspot;
        online.session.username = name.into();
        online
    }

    fn hotspot_line(number: u8, name: &[u8]) -> Active {
        Active {
            service: Service::Hotspot,
            name: name.to_vec(),
            mac: Some(Mac::new([number; 6])),
            session_id: None,
            ..line(number)
        }
    }

    /// A voucher's user is listed by his code and a device by its address; here they go by other names.
    #[test]
    fn who_is_listed_by_a_code_or_an_address_is_online() {
        let held = [
            in_hotspot(online(1, 4900), b"demo001"),
            in_hotspot(online(2, 4900), USER),
            online(3, 4900),
        ];
        let lines = [hotspot_line(1, DEVICE), hotspot_line(2, CODE), line(3)];
        let found = look(&held, &lines, 0, Reach::Every);
        assert_eq!((found.matched, found.lost.len()), (3, 0));
        assert_eq!(found.outside, []);

        let found = look(&held[2..], &lines, 0, Reach::Every);
        let names = found.outside.iter().map(|(line, _)| &*line.name);
        assert_eq!(names.collect::<Vec<_>>(), [b"demo001".as_slice(), USER]);
    }

    /// His device has another owner since: he is still the one who is online with it.
    #[test]
    fn a_device_that_changed_its_owner_is_online_under_the_old_one() {
        let held = [in_hotspot(online(1, 4900), b"jane"), online(3, 4900)];
        let lines = [hotspot_line(1, DEVICE), line(3)];
        let found = look(&held, &lines, 0, Reach::Every);
        assert_eq!((found.matched, found.lost.len()), (2, 0));
        let named = in_hotspot(online(1, 4900), b"demo001");
        let found = look(&[held[0].clone(), named], &lines[..1], 0, Reach::Every);
        assert_eq!(found.lost, [held[0].session.key.clone()]);
    }

    #[test]
    fn silence_is_asked_about_and_the_list_decides() {
        let held = [online(1, 3900), online(2, 3900), online(3, 4900)];
        let found = look(&held, &[line(1)], 0, Reach::Doubtful);
        assert_eq!(found.confirmed.len(), 1);
        assert_eq!(found.confirmed[0].at, at(5000));
        assert_eq!(found.confirmed[0].bytes_in, 7, "counters stay");
        assert_eq!(found.lost, [held[1].session.key.clone()]);

        let found = look(&held, &[line(1)], 0, Reach::Every);
        assert_eq!(found.lost.len(), 2, "asked for, the fresh one ends too");
    }

    #[test]
    fn who_only_looks_ends_nothing_and_a_second_list_does() {
        let held = [online(1, 3900), online(2, 4900), online(3, 4900)];
        let seen = look(&held, &[line(3)], 0, Reach::Nobody);
        assert_eq!((seen.lost.len(), seen.once), (0, 0));
        assert_eq!(seen.missing.len(), 2, "but it is noted");
        let first = look_after(&Missing::new(), &held, &[line(3)], 0, Reach::Every);
        assert_eq!((first.lost.len(), first.once), (0, 2));

        // The second names one of them; the other was heard of meanwhile.
        let mut spoke = held.clone();
        spoke[1].heard = at(4950);
        let lines = [line(1), line(3)];
        let second = look_after(&first.missing, &spoke, &lines, 0, Reach::Every);
        assert_eq!((second.lost.len(), second.once), (0, 1));
        let second = look_after(&first.missing, &held, &lines, 0, Reach::Every);
        assert_eq!(second.lost, [held[1].session.key.clone()]);
    }

    #[test]
    fn a_list_that_is_not_whole_misses_nobody() {
        let held = [online(1, 3900), in_hotspot(online(2, 3900), b"demo002")];
        let listing = Listing {
            lines: &[],
            whole: &[Service::Hotspot],
            before: &Missing::new(),
            asked: at(5000),
            booted: None,
        };
        let nobody = |name: &[u8]| Who {
            name: name.into(),
            known: false,
        };
        let found = compare(&held, listing, Reach::Every, nobody);
        assert_eq!(
            found.missing.into_keys().collect::<Vec<_>>(),
            [held[1].session.key.clone()]
        );
    }

    #[test]
    fn what_was_heard_after_the_question_is_not_judged_by_the_answer() {
        let held = [online(1, 5001)];
        assert_eq!(look(&held, &[], 0, Reach::Every), Findings::default());
    }

    /// The router restarted at 4950: whoever it does not list is gone, however lately he was heard of.
    #[test]
    fn a_restart_ends_what_the_list_does_not_name() {
        let held: Vec<Online> = (1..60).map(|number| online(number, 4900)).collect();
        let found = look(&held, &[line(7)], 4950, Reach::Doubtful);
        assert_eq!(found.lost.len(), 58);
    }

    #[test]
    fn the_list_of_another_router_ends_no_fresh_session() {
        let held: Vec<Online> = (1..9).map(|number| online(number, 4900)).collect();
        assert_eq!(look(&held, &[], 0, Reach::Every).lost, []);
        let mut stranger = line(77);
        stranger.name = b"x".to_vec();
        let found = look(&held, &[stranger], 0, Reach::Every);
        assert_eq!((found.lost.len(), found.outside.len()), (0, 1));
    }

    #[test]
    fn what_was_given_up_and_is_listed_lives_again() {
        let mut given_up = online(1, 3000);
        given_up.session.closed = Some(Closed {
            at: at(3000),
            cause: Cause::Lost,
        });
        let mut stopped = online(2, 4999);
        stopped.session.closed = Some(Closed {
            at: at(4999),
            cause: Cause::Router(1),
        });
        let found = look(&[given_up, stopped], &[line(1), line(2)], 0, Reach::Every);
        assert_eq!(found.confirmed.len(), 1);
        assert_eq!((found.lost.len(), found.outside.len()), (0, 0));
    }

    #[test]
    fn lines_that_are_nobodys_say_why() {
        let mut local = line(1);
        local.radius = Some(false);
        let unreported = line(2);
        let mut unknown = line(3);
        unknown.name = b"stranger".to_vec();
        let mut young = line(4);
        young.uptime = Duration::from_secs(5);
        let found = look(&[], &[local, unreported, unknown, young], 0, Reach::Every);
        let why: Vec<OutsideWhy> = found.outside.iter().map(|(_, why)| *why).collect();
        assert_eq!(
            why,
            [
                OutsideWhy::Local,
                OutsideWhy::Unreported,
                OutsideWhy::Unknown
            ]
        );
    }
}
