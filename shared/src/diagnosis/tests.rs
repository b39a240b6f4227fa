#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::entitlement::Reason;
use crate::net::Mac;
use crate::wire::diagnosis::*;
use crate::wire::up::{LoginOutcome, OutsideWhy};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const TOWER: RouterId = RouterId(Uuid::from_u128(1));
const HILL: RouterId = RouterId(Uuid::from_u128(2));

fn ago(minutes: u64) -> Timestamp {
    NOW.minus(Duration::from_secs(minutes * 60))
}

/// A customer who may be online, of whom nothing was heard, at a site where all is well.
fn facts() -> Facts {
    Facts {
        now: NOW,
        site: "Main site".to_owned(),
        agent: Agent::Connected,
        told: DiagnosisV1 {
            known: true,
            would: would(Reason::Entitled),
            until: Some(ago(60)),
            routers: vec![router(TOWER, "Tower")],
            ..DiagnosisV1::default()
        },
        elsewhere: Vec::new(),
        voucher: None,
    }
}

fn would(reason: Reason) -> Option<WouldV1> {
    Some(WouldV1 {
        reason,
        garden: false,
    })
}

fn router(router: RouterId, name: &str) -> RouterFactV1 {
    RouterFactV1 {
        router,
        name: name.to_owned(),
        heard: Some(ago(1)),
        mismatched: None,
        reach: ReachV1::Answers,
        booted: None,
        hides: false,
    }
}

fn happened(minutes: u64, what: HappeningV1) -> HappenedV1 {
    HappenedV1 {
        first: ago(minutes),
        last: ago(minutes),
        count: 1,
        router: TOWER,
        mac: Some(Mac::new([2; 6])),
        what,
    }
}

fn login(minutes: u64, outcome: LoginOutcome) -> HappenedV1 {
    happened(minutes, HappeningV1::Login(outcome))
}

fn open(minutes: u64) -> OpenV1 {
    OpenV1 {
        router: TOWER,
        mac: Some(Mac::new([2; 6])),
        started: ago(minutes),
        seen: NOW,
        garden: false,
        outside: None,
    }
}

fn stranger(minutes: u64) -> StrangerV1 {
    StrangerV1 {
        username: b"jahne".to_vec(),
        router: TOWER,
        mac: Some(Mac::new([2; 6])),
        count: 3,
        last: ago(minutes),
    }
}

fn unproven(minutes: u64) -> Option<UnprovenV1> {
    Some(UnprovenV1 {
        router: TOWER,
        count: 4,
        last: ago(minutes),
    })
}

fn silent(router: &mut RouterFactV1) {
    router.reach = ReachV1::Silent;
    router.heard = Some(ago(20));
}

fn voucher(state: VoucherState) -> Facts {
    let mut facts = facts();
    facts.told.known = false;
    facts.told.would = None;
    facts.voucher = Some(Voucher {
        state,
        holder: Some("the site Second".to_owned()),
    });
    facts
}

/// A change of the facts.
type Change = fn(&mut Facts);

fn told(change: impl FnOnce(&mut DiagnosisV1)) -> Facts {
    let mut facts = facts();
    change(&mut facts.told);
    facts
}

fn cause(facts: &Facts) -> Cause {
    diagnose(facts).cause
}

/// What comes first, from the least to the first: each is named although all before it are true too.
#[test]
fn what_keeps_everybody_out_goes_before_what_keeps_him_out() {
    let ladder: [(Cause, Change); 13] = [
        (Cause::NeverAsked, |_| {}),
        (Cause::NotAsking, |facts| {
            let ended = happened(120, HappeningV1::Ended(Some(1)));
            facts.told.happened.push(ended);
        }),
        (Cause::SessionLost, |facts| {
            facts.told.happened.push(happened(60, HappeningV1::Lost));
        }),
        (Cause::NoSession, |facts| {
            facts.told.happened.push(login(50, LoginOutcome::Accepted));
        }),
        (Cause::WrongUsername, |facts| {
            facts.told.strangers.push(stranger(40))
        }),
        (Cause::Expired, |facts| {
            facts.told.would = would(Reason::Expired)
        }),
        (Cause::WrongPassword, |facts| {
            facts
                .told
                .happened
                .push(login(30, LoginOutcome::WrongPassword));
        }),
        (Cause::UnknownAtSite, |facts| facts.told.known = false),
        (Cause::Suspended, |facts| {
            facts.told.would = would(Reason::Suspended)
        }),
        (Cause::LocalSecret, |facts| {
            facts.told.routers[0].hides = true
        }),
        (Cause::SecretMismatch, |facts| {
            facts.told.unproven = unproven(5)
        }),
        (Cause::Online, |facts| facts.told.sessions.push(open(3))),
        (Cause::RouterDown, |facts| {
            silent(&mut facts.told.routers[0])
        }),
    ];
    let mut facts = facts();
    for (named, change) in ladder {
        change(&mut facts);
        assert_eq!(cause(&facts), named);
    }
    facts.agent = Agent::Away {
        since: Some(ago(9)),
    };
    let found = diagnose(&facts);
    assert_eq!(found.cause, Cause::AgentDown);
    assert!(found.sentence.contains(&ago(9).to_string()), "{found:?}");
    let texts: Vec<&str> = found
        .evidence
        .iter()
        .map(|line| line.text.as_str())
        .collect();
    let besides = |part: &str| texts.iter().any(|text| text.contains(part));
    assert!(besides("He was online at Tower"), "{texts:?}");
    assert!(
        besides("Suspended by an operator"),
        "what is known besides: {texts:?}"
    );
}

/// Every cause comes about, and each has a sentence and something to do.
#[test]
fn every_cause_is_named_by_some_facts() {
    let refused = |reason| {
        told(|told| {
            told.would = would(reason);
            told.happened.push(login(2, LoginOutcome::Refused(reason)));
        })
    };
    let answered = |outcome| told(|told| told.happened.push(login(2, outcome)));
    let outside = |why| {
        told(|told| {
            told.sessions.push(OpenV1 {
                outside: Some(why),
                ..open(5)
            });
        })
    };
    let agent = |since| Facts {
        agent: Agent::Away { since },
        ..facts()
    };
    let mut elsewhere = told(|told| {
        let asked = login(2, LoginOutcome::UnknownUser);
        told.happened.push(HappenedV1 {
            router: HILL,
            ..asked
        });
    });
    elsewhere.elsewhere.push((HILL, "Hill".to_owned()));
    let shown = |outcome| {
        let mut facts = voucher(VoucherState::Available);
        facts.told.happened.push(login(2, outcome));
        facts
    };
    let cases = [
        (Cause::Online, told(|told| told.sessions.push(open(5)))),
        (
            Cause::WalledGarden,
            told(|told| {
                told.would = would(Reason::Expired);
                told.sessions.push(OpenV1 {
                    garden: true,
                    ..open(5)
                });
            }),
        ),
        (Cause::Unreported, outside(OutsideWhy::Unreported)),
        (Cause::LocalSecret, outside(OutsideWhy::Local)),
        (Cause::AgentDown, agent(Some(ago(7)))),
        (Cause::NoAgent, agent(None)),
        (Cause::RouterDown, told(|told| silent(&mut told.routers[0]))),
        (
            Cause::SecretMismatch,
            told(|told| told.unproven = unproven(1)),
        ),
        (
            Cause::LocalSecret,
            told(|told| told.routers[0].hides = true),
        ),
        (Cause::Suspended, refused(Reason::Suspended)),
        (Cause::Disabled, refused(Reason::Disabled)),
        (Cause::NoPackage, refused(Reason::NoPackage)),
        (Cause::Expired, refused(Reason::Expired)),
        (Cause::Quota, refused(Reason::QuotaUsedUp)),
        (Cause::Time, refused(Reason::TimeUsedUp)),
        (Cause::WrongRouter, refused(Reason::WrongRouter)),
        (Cause::WrongRouter, elsewhere),
        (Cause::WrongMac, refused(Reason::WrongMac)),
        (Cause::TooManyDevices, refused(Reason::TooManyDevices)),
        (Cause::WrongPassword, answered(LoginOutcome::WrongPassword)),
        (
            Cause::WrongUsername,
            told(|told| told.strangers.push(stranger(1))),
        ),
        (Cause::UnknownAtSite, told(|told| told.known = false)),
        (
            Cause::LeaseOver,
            told(|told| {
                told.would = would(Reason::Expired);
                told.happened.push(login(2, LoginOutcome::LeaseOver));
            }),
        ),
        (Cause::CannotStore, answered(LoginOutcome::NotStored)),
        (Cause::CannotStore, shown(LoginOutcome::NotStored)),
        (
            Cause::VoucherExpired,
            voucher(VoucherState::Expired { at: ago(3) }),
        ),
        (Cause::VoucherExpired, shown(LoginOutcome::VoucherExpired)),
        (Cause::VoucherRevoked, voucher(VoucherState::Revoked)),
        (
            Cause::VoucherElsewhere,
            shown(LoginOutcome::VoucherElsewhere),
        ),
        (Cause::VoucherUnused, voucher(VoucherState::Available)),
        (Cause::TooManyTries, shown(LoginOutcome::TooManyTries)),
        (Cause::NoSession, answered(LoginOutcome::Accepted)),
        (
            Cause::SessionLost,
            told(|told| told.happened.push(happened(5, HappeningV1::Lost))),
        ),
        (
            Cause::NotAsking,
            told(|told| told.happened.push(happened(5, HappeningV1::Ended(None)))),
        ),
        (Cause::NeverAsked, facts()),
    ];
    let mut named = BTreeSet::new();
    for (expected, facts) in cases {
        let found = diagnose(&facts);
        assert_eq!(found.cause, expected, "{facts:?}");
        assert!(
            found.sentence.ends_with('.') && found.action.ends_with('.'),
            "{found:?}"
        );
        assert!(
            found.sentence.len() > 15 && found.action.len() > 10,
            "{found:?}"
        );
        assert!(!found.sentence.contains("unknown router"), "{found:?}");
        named.insert(expected.code());
    }
    let all: BTreeSet<&str> = Cause::ALL.iter().map(|cause| cause.code()).collect();
    assert_eq!(named, all);
}

/// Who is out of time and shows a wrong password fails at the password; who was told that his time is over,
/// or did not ask, hears of his time.
#[test]
fn the_last_login_decides_between_time_and_password() {
    let asked = |logins: &[(u64, LoginOutcome)]| {
        told(|told| {
            told.would = would(Reason::Expired);
            let logins = logins
                .iter()
                .map(|(minutes, outcome)| login(*minutes, *outcome));
            told.happened.extend(logins);
        })
    };
    let expired = LoginOutcome::Refused(Reason::Expired);
    let wrong = LoginOutcome::WrongPassword;
    assert_eq!(cause(&asked(&[])), Cause::Expired);
    assert_eq!(cause(&asked(&[(20, wrong), (10, expired)])), Cause::Expired);
    assert_eq!(
        cause(&asked(&[(20, expired), (10, wrong)])),
        Cause::WrongPassword
    );
    let found = diagnose(&asked(&[(20, expired), (10, wrong)]));
    let shown = found
        .evidence
        .iter()
        .any(|line| line.text.contains("The paid period is over"));
    assert!(shown, "the other obstacle is not hidden: {found:?}");
    assert_eq!(
        cause(&asked(&[(25 * 60, wrong)])),
        Cause::Expired,
        "of yesterday"
    );
    let mut suspended = asked(&[(10, wrong)]);
    suspended.told.would = would(Reason::Suspended);
    assert_eq!(
        cause(&suspended),
        Cause::Suspended,
        "a new password would not help"
    );
}

/// What he was refused for is mended: it is his turn to ask again. What he would be refused for now is
/// named, whatever it was then.
#[test]
fn a_refusal_that_does_not_stand_any_more_is_not_named() {
    let refused = login(10, LoginOutcome::Refused(Reason::Expired));
    let paid = told(|told| told.happened.push(refused.clone()));
    let found = diagnose(&paid);
    assert_eq!(found.cause, Cause::NotAsking);
    assert!(found.sentence.contains("is mended"), "{found:?}");

    let quota = told(|told| {
        told.would = would(Reason::QuotaUsedUp);
        told.happened.push(refused);
    });
    assert_eq!(cause(&quota), Cause::Quota);

    let served = told(|told| told.happened.push(login(10, LoginOutcome::LeaseOver)));
    assert!(diagnose(&served).sentence.contains("is mended"));
    let old = told(|told| {
        told.happened
            .push(login(30 * 60, LoginOutcome::WrongPassword))
    });
    let found = diagnose(&old);
    assert_eq!(
        found.cause,
        Cause::NotAsking,
        "equipment that is on asks within a day"
    );
    assert!(!found.sentence.contains("mended"), "{found:?}");
}

/// A device too many is what the caller means, though another of his devices is online.
#[test]
fn a_device_too_many_is_named_while_it_is_news() {
    let refused = |minutes| {
        told(|told| {
            told.would = would(Reason::TooManyDevices);
            told.sessions.push(open(60));
            let outcome = LoginOutcome::Refused(Reason::TooManyDevices);
            told.happened.push(login(minutes, outcome));
        })
    };
    let found = diagnose(&refused(5));
    assert_eq!((found.cause, found.online), (Cause::TooManyDevices, true));
    assert_eq!(cause(&refused(16)), Cause::Online);
    let mut free = refused(5);
    free.told.would = would(Reason::Entitled);
    assert_eq!(cause(&free), Cause::Online, "there is room again");
    let mut other = refused(5);
    other.told.would = would(Reason::WrongMac);
    other.told.happened = vec![login(5, LoginOutcome::Refused(Reason::WrongMac))];
    assert_eq!(
        cause(&other),
        Cause::Online,
        "a stranger's device is no reason"
    );
}

/// A router that is silent to questions but speaks is not down, and neither is one that nobody can ask.
#[test]
fn a_router_is_down_when_it_neither_speaks_nor_answers() {
    let router = |reach, heard: Option<u64>, mismatched: Option<u64>| {
        told(|told| {
            told.routers[0].reach = reach;
            told.routers[0].heard = heard.map(ago);
            told.routers[0].mismatched = mismatched.map(ago);
        })
    };
    let is_down = |facts| cause(&facts) == Cause::RouterDown;
    assert!(is_down(router(ReachV1::Silent, Some(2), None)));
    assert!(
        !is_down(router(ReachV1::Silent, Some(0), None)),
        "it just spoke"
    );
    assert!(is_down(router(ReachV1::Silent, None, None)));
    assert!(
        !is_down(router(ReachV1::Unclear, Some(14), None)),
        "CoA may be off"
    );
    assert!(is_down(router(ReachV1::Unclear, Some(16), None)));
    assert!(!is_down(router(ReachV1::Answers, None, None)));
    assert!(!is_down(router(ReachV1::Unasked, None, None)));
    let other_secret = router(ReachV1::Unclear, Some(60), Some(3));
    assert_eq!(
        cause(&other_secret),
        Cause::SecretMismatch,
        "it speaks under another secret"
    );

    let two = |his: RouterId| {
        told(|told| {
            silent(&mut told.routers[0]);
            told.routers.push(self::router(HILL, "Hill"));
            let mut ended = happened(30, HappeningV1::Ended(Some(2)));
            ended.router = his;
            told.happened.push(ended);
        })
    };
    assert!(is_down(two(TOWER)), "his router is");
    assert!(
        !is_down(two(HILL)),
        "another router is none of his business"
    );
    let mut anywhere = two(HILL);
    anywhere.told.happened.clear();
    assert!(!is_down(anywhere), "he may be at the one that is up");
}

/// Forged or old requests under another secret say nothing once he, or his router, was heard again.
#[test]
fn another_secret_is_named_only_while_nothing_later_verified() {
    let named = |facts| cause(&facts) == Cause::SecretMismatch;
    let of_him = |unproved, heard| {
        told(|told| {
            told.unproven = unproven(unproved);
            told.happened
                .push(login(heard, LoginOutcome::WrongPassword));
        })
    };
    assert!(named(of_him(5, 10)));
    assert!(!named(of_him(10, 5)));
    let long_ago = |heard: u64| {
        told(|told| {
            told.happened.clear();
            told.unproven = unproven(600);
            told.routers[0].heard = Some(ago(heard));
        })
    };
    assert!(named(long_ago(700)), "nor was his router heard since");
    assert!(!named(long_ago(1)), "his router goes by the right one");
    let of_router = |mismatched, heard: Option<u64>| {
        told(|told| {
            told.routers[0].mismatched = Some(ago(mismatched));
            told.routers[0].heard = heard.map(ago);
        })
    };
    assert!(named(of_router(5, Some(9))));
    assert!(named(of_router(5, None)));
    assert!(!named(of_router(9, Some(5))));
}

/// Where RADIUS was asked for him lately, no user on the router hides him.
#[test]
fn a_user_on_the_router_hides_nobody_who_is_asked_about() {
    let asked = |minutes| {
        told(|told| {
            told.routers[0].hides = true;
            told.happened
                .push(login(minutes, LoginOutcome::WrongPassword));
        })
    };
    assert_eq!(cause(&asked(20)), Cause::LocalSecret);
    assert_eq!(cause(&asked(10)), Cause::WrongPassword);
}

/// A session whose Stop was lost is not called online; what else is known of him decides, and then that it is silent.
#[test]
fn who_was_not_heard_of_is_not_online() {
    let unheard = |minutes| {
        told(|told| {
            told.happened.push(happened(300, HappeningV1::Began));
            told.sessions.push(OpenV1 {
                seen: ago(minutes),
                ..open(300)
            });
        })
    };
    let heard = diagnose(&unheard(16));
    assert_eq!((heard.cause, heard.online), (Cause::Online, true));
    let found = diagnose(&unheard(17));
    assert_eq!((found.cause, found.online), (Cause::SessionLost, false));
    assert!(found.sentence.contains(&ago(17).to_string()), "{found:?}");
    let mut facts = unheard(17);
    facts.told.would = would(Reason::Expired);
    assert_eq!(cause(&facts), Cause::Expired);
}

/// The router that restarted is named with the moment; one that merely forgot is not said to have restarted.
#[test]
fn a_lost_session_names_the_restart_that_lost_it() {
    let lost = |booted: u64| {
        told(|told| {
            told.routers[0].booted = Some(ago(booted));
            told.happened.push(happened(60, HappeningV1::Began));
            told.happened.push(happened(10, HappeningV1::Lost));
        })
    };
    let restarted = diagnose(&lost(30)).sentence;
    assert!(
        restarted.contains(&format!("restarted at {}", ago(30))),
        "{restarted}"
    );
    for before_or_after in [90, 5] {
        let found = diagnose(&lost(before_or_after));
        assert_eq!(found.cause, Cause::SessionLost);
        assert!(!found.sentence.contains("restarted"), "{found:?}");
    }
}

/// Let in a moment ago is no trouble yet.
#[test]
fn who_was_just_let_in_is_waited_for() {
    let just = told(|told| told.happened.push(login(1, LoginOutcome::Accepted)));
    let found = diagnose(&just);
    assert_eq!(found.cause, Cause::NoSession);
    assert!(found.sentence.contains("a moment ago"), "{found:?}");
    let came = told(|told| {
        told.happened.push(login(9, LoginOutcome::Accepted));
        told.happened.push(happened(9, HappeningV1::Began));
        told.happened.push(happened(8, HappeningV1::Ended(Some(1))));
    });
    let found = diagnose(&came);
    assert_eq!(found.cause, Cause::NotAsking);
    assert!(
        found.sentence.contains("his equipment hung up"),
        "{found:?}"
    );
}

#[test]
fn evidence_is_short_and_begins_with_what_decides() {
    let many = told(|told| {
        for minutes in (2..40).rev() {
            told.happened
                .push(login(minutes * 2, LoginOutcome::Refused(Reason::Expired)));
            told.happened
                .push(login(minutes * 2 - 1, LoginOutcome::WrongPassword));
        }
    });
    let found = diagnose(&many);
    assert_eq!(found.cause, Cause::WrongPassword);
    assert!(found.evidence.len() <= 8, "{found:?}");
    let first = found.evidence.first().unwrap();
    assert_eq!(first.at, Some(ago(3)));
    assert_eq!(
        first.text,
        "Asked at Tower with 02:02:02:02:02:02: The password is wrong."
    );
}

/// What the cloud heard before the agent's restart, or from another agent, is there; what both have is
/// there once.
#[test]
fn site_and_cloud_are_told_as_one_story() {
    let site = DiagnosisV1 {
        happened: vec![login(10, LoginOutcome::WrongPassword)],
        routers: vec![RouterFactV1 {
            heard: None,
            ..router(TOWER, "Tower")
        }],
        ..DiagnosisV1::default()
    };
    let cloud = DiagnosisV1 {
        happened: vec![
            login(200, LoginOutcome::Accepted),
            login(12, LoginOutcome::WrongPassword),
        ],
        sessions: vec![open(30)],
        routers: vec![router(TOWER, "Tower"), router(HILL, "Hill")],
        until: Some(ago(1)),
        ..DiagnosisV1::default()
    };
    let one = merge(site.clone(), cloud.clone(), Agents::One, NOW);
    let kept: Vec<Timestamp> = one.happened.iter().map(|one| one.last).collect();
    assert_eq!(kept, [ago(200), ago(10)]);
    assert_eq!(one.sessions, [], "its agent knows of none");
    assert_eq!(one.routers.len(), 2);
    assert_eq!(one.routers[0].heard, Some(ago(1)));
    assert_eq!(one.until, Some(ago(1)));

    let mut second = site;
    second.sessions.push(OpenV1 {
        outside: Some(OutsideWhy::Unreported),
        ..open(30)
    });
    let merged = merge(second, cloud, Agents::Several, NOW);
    assert_eq!(
        merged.sessions[0].outside, None,
        "another agent of the site has it"
    );
}

proptest! {
    /// Whatever is told, also by an agent that tells nonsense, there is an answer of bounded size.
    #[test]
    fn any_facts_have_an_answer(
        minutes in prop::collection::vec(0u64..100_000, 0..20),
        pick in any::<u64>(),
        names in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..4),
    ) {
        let outcomes = [
            HappeningV1::Login(LoginOutcome::Accepted),
            HappeningV1::Login(LoginOutcome::UnknownUser),
            HappeningV1::Login(LoginOutcome::NotStored),
            HappeningV1::Began,
            HappeningV1::Ended(Some(77)),
            HappeningV1::Lost,
            HappeningV1::Noted("cut off".to_owned()),
        ];
        let mut facts = facts();
        for (place, minutes) in minutes.iter().enumerate() {
            let what = outcomes[(place + pick as usize) % outcomes.len()].clone();
            facts.told.happened.push(happened(*minutes, what));
        }
        facts.told.strangers = names
            .into_iter()
            .map(|username| StrangerV1 { username, ..stranger(0) })
            .collect();
        if pick % 3 == 0 {
            facts.told.routers.clear();
        }
        let found = diagnose(&facts);
        prop_assert!(found.evidence.len() <= 8 && found.sentence.len() < 1000);
    }
}
