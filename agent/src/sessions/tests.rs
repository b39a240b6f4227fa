//! The register of sessions from outside its lock.
#![expect(clippy::unwrap_used, reason = "tests")]

use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::ipv6::Prefixes;
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::UsedV1;
use easyisp_shared::wire::up::AccountingStatus;

use super::index::{MOST_HELD, MOST_LOST};
use super::*;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn customer() -> CustomerId {
    CustomerId(uuid::Uuid::from_u128(5))
}

fn router() -> RouterId {
    RouterId(uuid::Uuid::from_u128(1))
}

fn report(id: &str, device: u8, event: Event, secs: u32) -> Report {
    Report {
        key: SessionKey {
            router: router(),
            acct_session_id: id.as_bytes().into(),
            class: [device; 16].into(),
        },
        event,
        customer: None,
        username: b"demo001".as_slice().into(),
        service: Service::Ppp,
        mac: Some(Mac::new([device; 6])),
        framed_ip: None,
        prefixes: Prefixes::default(),
        port: Box::default(),
        at: at(1000 + i64::from(secs)),
        secs,
        bytes_in: u64::from(secs),
        bytes_out: 0,
        narrow: [false; 2],
    }
}

fn tell(sessions: &Sessions, report: &Report, now: i64) -> Changes {
    sessions.report(report, None, at(now), |_| {})
}

/// Lets a device in when fewer than `allowed` others hold a place.
fn log_in(sessions: &Sessions, device: u8, allowed: u16, now: i64) -> bool {
    let mac = Some(Mac::new([device; 6]));
    let who = Asker {
        customer: Some(customer()),
        username: b"demo001",
    };
    sessions.admit(who, mac, None, at(now), |standing| {
        let grant = Grant {
            cookie: [device; 16],
            rate: None,
            end: Some(at(5000)),
            garden: false,
            listed: false,
        };
        let accept = standing.other_devices < allowed;
        (accept.then_some(grant), accept)
    })
}

/// A box whose clock had stood for hours is told the time: nobody was silent for hours by that.
#[test]
fn who_is_online_stays_so_when_the_clock_is_set() {
    let sessions = Sessions::default();
    assert!(log_in(&sessions, 1, 1, 1000));
    tell(&sessions, &report("81000001", 1, Event::Start, 0), 1000);
    sessions.clock_moved(at(1010), at(101_010));
    assert!(!log_in(&sessions, 2, 1, 101_020));
    sessions.sweep(at(101_020), |changes| assert!(changes.moved.is_empty()));
    sessions.clock_moved(at(101_020), at(1020));
    assert!(!log_in(&sessions, 2, 1, 1030));
    assert!(
        log_in(&sessions, 2, 1, 3000),
        "half an hour without a word is a free place"
    );
}

/// B9: fifty devices, one place, all before the first Start.
#[test]
fn simultaneous_logins_get_one_place() {
    let sessions = Sessions::default();
    let accepted = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..50)
            .map(|device| {
                scope.spawn({
                    let sessions = &sessions;
                    move || log_in(sessions, device, 1, 1000)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| usize::from(thread.join().unwrap()))
            .sum::<usize>()
    });
    assert_eq!(accepted, 1);
    assert!(log_in(&sessions, 99, 1, 1090), "the lease ended unused");
}

#[test]
fn a_start_turns_the_lease_into_a_session_and_a_stop_frees_the_place() {
    let sessions = Sessions::default();
    assert!(log_in(&sessions, 1, 1, 1000));
    tell(&sessions, &report("a", 1, Event::Start, 0), 1001);
    let online = sessions.open_by_name(b"demo001");
    assert_eq!(online[0].session.grant.unwrap().end, Some(at(5000)));

    assert!(!log_in(&sessions, 2, 1, 1200));
    assert!(log_in(&sessions, 1, 1, 1200), "its own place");
    tell(&sessions, &report("a", 1, Event::Stop(1), 300), 1300);
    assert!(log_in(&sessions, 2, 1, 1400));
    assert_eq!(sessions.count(), 0);
}

/// Two routers, or one before and after a reset, number their sessions alike.
#[test]
fn equal_session_ids_of_two_routers_or_two_grants_are_different_sessions() {
    let sessions = Sessions::default();
    let here = report("80000001", 1, Event::Start, 0);
    let mut there = here.clone();
    there.key.router = RouterId(uuid::Uuid::from_u128(2));
    let mut later = report("80000001", 2, Event::Start, 0);
    later.username = b"demo002".as_slice().into();
    for report in [&here, &there, &later] {
        tell(&sessions, report, 1000);
    }
    assert_eq!(sessions.count(), 3);
    tell(&sessions, &report("80000001", 1, Event::Stop(1), 50), 1050);
    assert_eq!(sessions.count(), 2);
    assert!(
        sessions
            .find(&there.key)
            .is_some_and(|online| online.session.closed.is_none())
    );
}

/// B4: the router lost power; who dials again is let in at once, and its old sessions end when they
/// were last heard of. One the router still speaks of lives on.
#[test]
fn a_restarted_router_leaves_no_ghosts() {
    let sessions = Sessions::default();
    for device in 1..=3 {
        let id = format!("8100000{device}");
        tell(&sessions, &report(&id, device, Event::Start, 0), 1000);
    }
    assert!(!log_in(&sessions, 9, 1, 1500));
    tell(&sessions, &report("81100001", 9, Event::Start, 500), 1500);
    assert!(log_in(&sessions, 9, 1, 1501), "ghosts keep nobody out");

    tell(&sessions, &report("81000003", 3, Event::Interim, 800), 1800);
    assert!(sessions.sweep(at(2100), |_| {}).moved.is_empty());
    let changes = sessions.sweep(at(2200), |_| {});
    assert_eq!(changes.moved.len(), 2);
    for moved in &changes.moved {
        assert_eq!(moved.status, AccountingStatus::Lost);
        assert_eq!(moved.session.closed.unwrap().at, at(1000));
    }
    assert_eq!(sessions.count(), 2);
}

#[test]
fn accounting_on_ends_every_session_of_that_router() {
    let sessions = Sessions::default();
    tell(&sessions, &report("a", 1, Event::Start, 0), 1000);
    tell(&sessions, &report("b", 2, Event::Start, 0), 1000);

    let elsewhere = RouterId(uuid::Uuid::from_u128(2));
    let restarted = |router, word, at_secs| {
        let changes = sessions.restarted(router, word, at(at_secs), |_| {});
        changes.moved.len()
    };
    assert_eq!(restarted(elsewhere, Word::On, 2000), 0);
    assert_eq!(restarted(router(), Word::On, 2000), 2);
    assert_eq!(sessions.count(), 0);
}

/// An Accounting-On that was lost first and repeated arrives after the first who dialled again, and ends
/// only who was online before.
#[test]
fn a_late_accounting_on_ends_nobody_who_came_after_it() {
    let sessions = Sessions::default();
    let before = Report {
        at: at(980),
        ..report("81000001", 1, Event::Start, 0)
    };
    tell(&sessions, &before, 980);
    tell(&sessions, &report("82000002", 2, Event::Start, 0), 1000);
    let changes = sessions.restarted(router(), Word::On, at(1003), |_| {});
    let lost: Vec<_> = changes
        .moved
        .iter()
        .map(|moved| &moved.session.key)
        .collect();
    assert_eq!(lost.len(), 1);
    assert_eq!(&*lost[0].acct_session_id, b"81000001");
    assert!(
        !log_in(&sessions, 9, 1, 1004),
        "the new one holds its place"
    );

    let off = sessions.restarted(router(), Word::Off, at(1005), |_| {});
    assert_eq!(off.moved.len(), 1, "going down ends everybody");
}

/// A device dialled twice in a moment, and the first start was lost and repeated: it ends nothing, and the
/// session that goes on holds its place.
#[test]
fn a_late_start_ends_no_newer_session_of_its_device() {
    let sessions = Sessions::default();
    tell(&sessions, &report("82000007", 1, Event::Start, 0), 1000);
    tell(&sessions, &report("82000006", 1, Event::Start, 0), 1001);
    tell(&sessions, &report("82000006", 1, Event::Stop(1), 0), 1001);
    let open = sessions.open_by_name(b"demo001");
    let open: Vec<_> = open
        .iter()
        .map(|online| &*online.session.key.acct_session_id)
        .collect();
    assert_eq!(open, [b"82000007"]);
    assert!(!log_in(&sessions, 9, 1, 1200));
}

/// A device's stop is lost, and it dials again: with its next session begun, or over already when it is heard of,
/// the one before it keeps nobody out, and ended when it was last heard of.
#[test]
fn a_device_that_began_anew_is_in_its_next_session_or_in_none() {
    for start_is_heard in [true, false] {
        let sessions = Sessions::default();
        tell(&sessions, &report("82000006", 1, Event::Start, 0), 1000);
        let mut next = report("82000007", 1, Event::Start, 0);
        next.at = at(1200);
        let mut moved = Vec::new();
        if start_is_heard {
            moved.extend(tell(&sessions, &next, 1200).moved);
        }
        let stop = Report {
            event: Event::Stop(1),
            secs: 60,
            at: at(1260),
            ..next
        };
        moved.extend(tell(&sessions, &stop, 1260).moved);
        let lost = moved
            .iter()
            .find(|moved| moved.status == AccountingStatus::Lost);
        let lost = &lost.unwrap().session;
        assert_eq!(&*lost.key.acct_session_id, b"82000006");
        assert_eq!(lost.closed.unwrap().at, at(1000));
        assert_eq!(sessions.count(), 0);
        assert!(log_in(&sessions, 9, 1, 1300));
    }
}

/// The same, and the stop of that first session is lost too: it was never open beside the next one, and keeps
/// nobody out when that one has ended. Only its router's next word on it opens it.
#[test]
fn a_session_that_was_overtaken_never_opens() {
    let late = report("82000006", 1, Event::Start, 0);
    for ended_before in [false, true] {
        let sessions = Sessions::default();
        let open = || {
            let open = sessions.open_by_name(b"demo001");
            let id = |online: &Online| online.session.key.acct_session_id.to_vec();
            open.iter().map(id).collect::<Vec<_>>()
        };
        tell(&sessions, &report("82000007", 1, Event::Start, 0), 1000);
        let stop = report("82000007", 1, Event::Stop(1), 1);
        if ended_before {
            tell(&sessions, &stop, 1001);
        }
        let told = tell(&sessions, &late, 1002);
        assert_eq!(told.moved.len(), 1);
        assert_eq!(told.moved[0].status, AccountingStatus::Lost);
        assert!(!told.begun);
        assert!(!open().contains(&b"82000006".to_vec()));
        tell(&sessions, &stop, 1003);
        assert_eq!(open(), [] as [Vec<u8>; 0]);
        assert!(log_in(&sessions, 9, 1, 1004));

        let alive = report("82000006", 1, Event::Interim, 300);
        assert!(tell(&sessions, &alive, 1302).begun);
        assert_eq!(open(), [b"82000006"]);
    }
    // A router that was reset counts from the beginning again.
    let sessions = Sessions::default();
    tell(&sessions, &report("82000007", 1, Event::Start, 0), 1000);
    let reset = Report {
        at: at(1100),
        ..late.clone()
    };
    assert!(tell(&sessions, &reset, 1100).begun);
    // Another device's start that is late opens its session.
    let sessions = Sessions::default();
    tell(&sessions, &report("82000007", 2, Event::Start, 0), 1000);
    assert!(tell(&sessions, &late, 1002).begun);
}

/// B8: reconnecting does not reset a quota, a new period does, a repeat adds nothing.
#[test]
fn usage_is_counted_over_the_sessions_of_a_period() {
    let sessions = Sessions::default();
    let metered = |start| Metered {
        customer: CustomerId(uuid::Uuid::from_u128(5)),
        period_start: at(start),
        told: UsedV1::default(),
        beside: false,
        free_hours: None,
    };
    let tell = |report: &Report, start| {
        let changes = sessions.report(report, Some(&metered(start)), at(2000), |_| {});
        changes.usage[0].1.bytes
    };
    assert_eq!(tell(&report("a", 1, Event::Interim, 100), 10), 100);
    assert_eq!(tell(&report("a", 1, Event::Interim, 100), 10), 100);
    assert_eq!(tell(&report("b", 1, Event::Stop(1), 50), 10), 150);
    let used = |start| {
        let standing = sessions.standing(b"demo001", Some(&metered(start)), at(2000));
        standing.used.bytes
    };
    assert_eq!(used(10), 150);
    assert_eq!(used(20), 0);
    let elsewhere = Metered {
        told: UsedV1 {
            bytes: 500,
            secs: 0,
        },
        ..metered(10)
    };
    let standing = sessions.standing(b"demo001", Some(&elsewhere), at(2000));
    assert_eq!(standing.used.bytes, 500, "the cloud knows of other sites");
    assert_eq!(tell(&report("a", 1, Event::Interim, 130), 20), 30);
}

/// B8: the agent that let somebody in dies, and he goes on at this one: what the cloud was told of his session is
/// not used twice, and what he uses from here on is counted.
#[test]
fn what_another_agent_counted_of_a_session_is_not_counted_again() {
    let sessions = Sessions::default();
    let metered = |told| Metered {
        customer: CustomerId(uuid::Uuid::from_u128(5)),
        period_start: at(10),
        told: UsedV1 {
            bytes: told,
            secs: told,
        },
        beside: true,
        free_hours: None,
    };
    let used = |id: &str, event, secs, told| {
        let heard = report(id, 1, event, secs);
        let changes = sessions.report(&heard, Some(&metered(told)), at(2000), |_| {});
        (changes.usage[0].1.bytes, changes.usage[0].1.secs)
    };
    assert_eq!(used("a", Event::Interim, 600, 500), (600, 600));
    assert_eq!(used("a", Event::Interim, 700, 500), (700, 700));
    assert_eq!(used("a", Event::Stop(1), 750, 700), (750, 750));
    assert_eq!(used("b", Event::Start, 0, 750), (750, 750));
    assert_eq!(used("b", Event::Interim, 50, 750), (800, 800));

    // What the other one says of a session it knows comes before or after the cloud's word, and counts once.
    let hears = |secs, told| {
        let heard = report("b", 1, Event::Interim, secs);
        let changes = sessions.adopt(&heard, Some(&metered(told)), at(2000), |_| {});
        changes.usage[0].1.bytes
    };
    assert_eq!(hears(60, 800), 810);
    assert_eq!(hears(90, 840), 840);
}

/// B8: two boxes that do not hear each other keep a line, and each counts what its queue says: the cloud's word on it has
/// what this one is about to count.
#[test]
fn what_another_box_counted_of_a_line_is_not_counted_again() {
    let used = |service| {
        let sessions = Sessions::default();
        let counts = |event, secs, told| {
            let metered = Metered {
                customer: customer(),
                period_start: at(10),
                told: UsedV1 {
                    bytes: told,
                    secs: told,
                },
                beside: true,
                free_hours: None,
            };
            let heard = Report {
                service,
                ..report("a", 1, event, secs)
            };
            let changes = sessions.report(&heard, Some(&metered), at(2000), |_| {});
            changes.usage[0].1.bytes
        };
        assert_eq!(counts(Event::Start, 50, 0), 50);
        let counted = counts(Event::Interim, 150, 100);
        (counted, counts(Event::Stop(1), 160, 100))
    };
    assert_eq!(used(Service::Line), (150, 160));
    // A router reports to one of them.
    assert_eq!(used(Service::Ppp), (200, 210));
}

/// B8: a box that takes another's place, or lost its file, hears of sessions that began before it. The cloud knows of
/// them what was told by then, and that is not used twice.
#[test]
fn what_was_counted_before_this_agent_came_is_not_counted_again() {
    let sessions = Sessions::default();
    sessions.serve_since(at(1500));
    let metered = Metered {
        customer: customer(),
        period_start: at(10),
        told: UsedV1 {
            bytes: 500,
            secs: 500,
        },
        beside: false,
        free_hours: None,
    };
    let used = |id: &str, secs: u32, started: i64| {
        let heard = Report {
            at: at(started + i64::from(secs)),
            ..report(id, 1, Event::Interim, secs)
        };
        let changes = sessions.report(&heard, Some(&metered), at(2000), |_| {});
        (changes.usage[0].1.bytes, changes.usage[0].1.secs)
    };
    assert_eq!(used("a", 600, 1000), (600, 600));
    assert_eq!(used("a", 700, 1000), (700, 700));
    assert_eq!(
        used("b", 50, 1700),
        (750, 750),
        "what began since is its own"
    );
    sessions.clock_moved(at(2000), at(5000));
    assert_eq!(
        used("c", 20, 4400),
        (750, 750),
        "and so is the clock that it began by"
    );
}

/// A router that is moved here brings sessions of weeks: of one that is first heard of now, the time since the period
/// began counts, and nothing before.
#[test]
fn what_was_used_before_the_period_is_not_counted_in_it() {
    let sessions = Sessions::default();
    let metered = |start| Metered {
        customer: customer(),
        period_start: at(start),
        told: UsedV1::default(),
        beside: false,
        free_hours: None,
    };
    let used = |id: &str, event, secs, start| {
        let heard = report(id, 1, event, secs);
        let changes = sessions.report(&heard, Some(&metered(start)), at(9000), |_| {});
        (changes.usage[0].1.bytes, changes.usage[0].1.secs)
    };
    assert_eq!(used("a", Event::Interim, 1000, 1900), (100, 100));
    assert_eq!(used("a", Event::Interim, 1300, 1900), (400, 400));
    assert_eq!(
        used("b", Event::Stop(1), 700, 1900),
        (400, 400),
        "over before"
    );
}

/// A customer with one place gets no second one under a new name.
#[test]
fn a_renamed_customer_keeps_the_places_he_has() {
    let sessions = Sessions::default();
    let former = Report {
        customer: Some(customer()),
        username: b"before".as_slice().into(),
        ..report("81000001", 1, Event::Start, 0)
    };
    tell(&sessions, &former, 1000);
    assert!(!log_in(&sessions, 2, 1, 1010));
    assert!(log_in(&sessions, 1, 1, 1010), "its own place");
    let asker = Asker {
        customer: Some(customer()),
        username: b"demo001",
    };
    let standing = |device| {
        let mac = Some(Mac::new([device; 6]));
        sessions
            .at_the_door(asker, mac, None, at(1500))
            .other_devices
    };
    assert_eq!(standing(2), 1);
    let another = Asker {
        customer: None,
        ..asker
    };
    let mac = Some(Mac::new([2; 6]));
    assert_eq!(
        sessions
            .at_the_door(another, mac, None, at(1500))
            .other_devices,
        0
    );
}

/// B8: a session of which nothing was heard for more than a day goes on where its counters were.
#[test]
fn what_was_counted_before_a_day_of_silence_is_not_counted_again() {
    let sessions = Sessions::default();
    let metered = Metered {
        customer: CustomerId(uuid::Uuid::from_u128(5)),
        period_start: at(10),
        told: UsedV1::default(),
        beside: false,
        free_hours: None,
    };
    let used = |secs: u32| {
        let heard = report("a", 1, Event::Interim, secs);
        let now = at(1000 + i64::from(secs));
        let changes = sessions.report(&heard, Some(&metered), now, |_| {});
        changes.usage[0].1.bytes
    };
    assert_eq!(used(300), 300);
    assert_eq!(sessions.sweep(at(90_000), |_| {}).moved.len(), 1);
    sessions.sweep(at(200_000), |_| {});
    assert_eq!(used(200_000), 200_000);

    assert_eq!(sessions.sweep(at(300_000), |_| {}).moved.len(), 1);
    sessions.sweep(at(1_000_000), |_| {});
    assert!(
        sessions
            .find(&report("a", 1, Event::Interim, 0).key)
            .is_none()
    );
}

/// A report that comes late opens nothing that has ended, however often was swept in between.
#[test]
fn what_ended_stays_ended_after_a_sweep() {
    let sessions = Sessions::default();
    tell(&sessions, &report("a", 1, Event::Start, 0), 1000);
    tell(&sessions, &report("a", 1, Event::Stop(1), 600), 1600);
    sessions.sweep(at(1660), |_| {});
    assert!(!tell(&sessions, &report("a", 1, Event::Interim, 300), 1700).begun);
    assert_eq!(sessions.count(), 0);
}

#[test]
fn silence_of_a_day_is_given_up_and_mended_by_the_next_word() {
    let sessions = Sessions::default();
    tell(&sessions, &report("a", 1, Event::Start, 0), 1000);
    assert_eq!(sessions.sweep(at(80_000), |_| {}).moved.len(), 0);
    assert_eq!(sessions.sweep(at(90_000), |_| {}).moved.len(), 1);
    assert_eq!(sessions.count(), 0);
    tell(&sessions, &report("a", 1, Event::Interim, 100_000), 101_000);
    assert_eq!(sessions.count(), 1);
}

/// An end that could not be written may be none by the time that it can: what is written then is how it is.
#[test]
fn what_is_written_later_is_written_as_it_is_by_then() {
    let sessions = Sessions::default();
    let started = report("81000001", 1, Event::Start, 0);
    tell(&sessions, &started, 1000);
    let given_up = sessions.give_up(&started.key, |_| {}).moved;
    let owed: Vec<Session> = given_up.into_iter().map(|moved| moved.session).collect();
    let written = |owed: &[Session]| {
        let mut written = Vec::new();
        sessions.write_again(owed.to_vec(), |changes| {
            let moved = changes.moved.iter();
            written = moved
                .map(|moved| (moved.status, moved.session.secs))
                .collect();
        });
        written
    };
    assert_eq!(written(&owed), [(AccountingStatus::Lost, 0)]);
    tell(&sessions, &report("81000001", 1, Event::Interim, 300), 1300);
    assert_eq!(written(&owed), [(AccountingStatus::Interim, 300)]);
}

/// A session that was given up and is heard of again is open like a new one: it gets its timer.
#[test]
fn who_is_heard_of_again_begins_anew() {
    let sessions = Sessions::default();
    let started = report("81000001", 1, Event::Start, 0);
    assert!(tell(&sessions, &started, 1000).begun);
    sessions.give_up(&started.key, |_| {});
    assert_eq!(sessions.count(), 0);

    let heard = report("81000001", 1, Event::Interim, 300);
    assert!(tell(&sessions, &heard, 1300).begun);
    let again = report("81000001", 1, Event::Interim, 600);
    assert!(!tell(&sessions, &again, 1600).begun);
}

/// A router that tells of sessions without end fills neither memory nor disk; what it spoke of before goes on, and so does
/// every other router, and whoever logs in.
#[test]
fn a_router_that_tells_of_too_many_is_not_taken_at_its_word() {
    let sessions = Sessions::default();
    let of = |number: usize, event| Report {
        username: number.to_string().into_bytes().into(),
        ..report(&format!("x{number}"), 1, event, 0)
    };
    for number in 0..MOST_HELD {
        let taken = tell(&sessions, &of(number, Event::Start), 1000);
        assert!(!taken.beyond, "{number}");
    }
    let beyond = Changes {
        beyond: true,
        ..Changes::default()
    };
    for event in [Event::Start, Event::Interim, Event::Stop(1)] {
        assert_eq!(tell(&sessions, &of(MOST_HELD, event), 1000), beyond);
    }
    assert_eq!(sessions.count(), MOST_HELD);
    assert!(sessions.sizes().iter().all(|size| !size.is_beyond()));
    assert!(sessions.full().contains(&router()));

    assert_eq!(tell(&sessions, &of(7, Event::Stop(1)), 1001).moved.len(), 1);
    let mut elsewhere = of(MOST_HELD, Event::Start);
    elsewhere.key.router = RouterId(uuid::Uuid::from_u128(2));
    assert!(tell(&sessions, &elsewhere, 1001).begun);
    assert!(log_in(&sessions, 1, 1, 1001));

    // The end is forgotten after an hour, and makes room for one.
    sessions.sweep(at(4700), |_| {});
    assert!(sessions.full().is_empty());
    assert!(tell(&sessions, &of(MOST_HELD, Event::Start), 4700).begun);
    let next = of(MOST_HELD + 1, Event::Start);
    assert_eq!(tell(&sessions, &next, 4700), beyond);
}

/// A router that restarts all day leaves sessions behind that are remembered for days: the oldest of them make room, and
/// who logs in is counted.
#[test]
fn a_router_that_restarts_all_day_is_not_full_of_those_who_are_gone() {
    let sessions = Sessions::default();
    let key = |number: usize| report(&format!("x{number}"), 1, Event::Start, 0).key;
    let lost = MOST_LOST + 10;
    for number in 0..lost {
        let started = report(&format!("x{number}"), 1, Event::Start, 0);
        tell(
            &sessions,
            &started,
            1000 + i64::try_from(number / 10).unwrap(),
        );
        sessions.give_up(&started.key, |_| {});
    }
    let gone = |number| sessions.find(&key(number)).is_none();
    assert!(!gone(0));
    sessions.sweep(at(7000), |_| {});
    assert!(gone(0) && gone(9), "the oldest are forgotten");
    assert!(!gone(10) && !gone(lost - 1), "the others are not");
}

/// More than a name holds, told by another agent.
#[test]
fn places_elsewhere_under_a_name_are_bounded() {
    let sessions = Sessions::default();
    for number in 0..200 {
        let told = Hearsay {
            key: report(&format!("x{number}"), 1, Event::Start, 0).key,
            username: b"demo001".as_slice().into(),
            mac: None,
            silent: std::time::Duration::ZERO,
        };
        sessions.open_elsewhere(told, at(1000));
    }
    let sizes = sessions.sizes();
    let places = sizes.iter().find(|size| size.name.contains("elsewhere"));
    assert!(
        places.is_some_and(|places| places.size == places.most),
        "{sizes:?}"
    );
}
