//! What is decided, case by case and for any case.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::entropy::Entropy;
use crate::net::Mac;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn paid_until(end: i64) -> Subscriber {
    Subscriber {
        standing: Standing::Active,
        paid_until: at(end),
        funded_until: at(0),
        macs: Vec::new(),
        router: None,
        devices: None,
        rate_override: None,
    }
}

fn package() -> Package {
    Package {
        rate: RateLimit::mbps(10, 10),
        data_limit: None,
        time_limit_secs: None,
        devices: 1,
        fair_use: Vec::new(),
        schedule: Vec::new(),
        grace: None,
        bind_macs: None,
    }
}

fn reason(subscriber: &Subscriber, live: &Live, now: i64) -> Reason {
    decide(
        subscriber,
        Some(&package()),
        live,
        &SitePolicy::default(),
        at(now),
    )
    .reason
}

/// The first logins bind; who has no room is refused as one with a wrong device, or the oldest leaves.
#[test]
fn first_logins_bind_as_many_devices_as_the_terms_say() {
    let device = |octet| Mac::new([octet; 6]);
    let live = |mac, bound: &[u8]| Live {
        mac,
        bound: bound.iter().copied().map(device).collect(),
        ..Live::default()
    };
    let policy = |macs, oldest_out| SitePolicy {
        bind: Bind { macs, oldest_out },
        ..SitePolicy::default()
    };
    let bound = |live: &Live, policy: &SitePolicy| {
        let decided = decide(&paid_until(100), Some(&package()), live, policy, at(0));
        let bound = paid_until(100).bound(&package(), live, policy);
        assert_eq!(
            decided.reason,
            match bound {
                Bound::Full => Reason::WrongMac,
                Bound::Free | Bound::His | Bound::Next { .. } => Reason::Entitled,
            }
        );
        bound
    };
    let (one, two) = (Some(device(1)), Some(device(2)));
    let next = |instead_of| Bound::Next { instead_of };

    assert_eq!(bound(&live(one, &[]), &policy(0, false)), Bound::Free);
    assert_eq!(bound(&live(one, &[]), &policy(1, false)), next(None));
    assert_eq!(bound(&live(one, &[1]), &policy(1, false)), Bound::His);
    assert_eq!(bound(&live(two, &[1]), &policy(2, false)), next(None));
    assert_eq!(bound(&live(two, &[1]), &policy(1, false)), Bound::Full);
    assert_eq!(bound(&live(two, &[1]), &policy(1, true)), next(one));
    // Without a hardware address nobody is bound, and nobody gets past a full list.
    assert_eq!(bound(&live(None, &[1]), &policy(2, true)), Bound::Free);
    assert_eq!(bound(&live(None, &[1]), &policy(1, true)), Bound::Full);

    let sold_with_one = Package {
        bind_macs: Some(1),
        ..package()
    };
    let none = policy(0, false);
    let second = paid_until(100).bound(&sold_with_one, &live(two, &[1]), &none);
    assert_eq!(second, Bound::Full, "the package's terms come first");
    let locked = Subscriber {
        macs: vec![device(2)],
        ..paid_until(100)
    };
    let by_hand = locked.bound(&sold_with_one, &live(two, &[1]), &none);
    assert_eq!(by_hand, Bound::Free, "a lock by hand comes before all");
}

#[test]
fn the_paid_end_itself_is_no_longer_paid() {
    assert_eq!(
        reason(&paid_until(100), &Live::default(), 99),
        Reason::Entitled
    );
    assert_eq!(
        reason(&paid_until(100), &Live::default(), 100),
        Reason::Expired
    );
}

#[test]
fn grace_and_funded_time_extend_the_end() {
    let policy = SitePolicy {
        grace: Duration::from_secs(50),
        ..SitePolicy::default()
    };
    let funded = Subscriber {
        funded_until: at(200),
        ..paid_until(100)
    };
    let verdict = decide(
        &funded,
        Some(&package()),
        &Live::default(),
        &policy,
        at(249),
    );

    assert_eq!(verdict.end, Some(at(250)));
    assert_eq!(verdict.answer, Answer::Accept);
}

#[test]
fn the_device_that_asks_does_not_count_against_itself() {
    let one_more = Live {
        other_devices: 1,
        ..Live::default()
    };
    assert_eq!(
        reason(&paid_until(100), &Live::default(), 1),
        Reason::Entitled
    );
    assert_eq!(
        reason(&paid_until(100), &one_more, 1),
        Reason::TooManyDevices
    );
}

#[test]
fn a_lock_without_a_known_device_refuses() {
    let locked = Subscriber {
        macs: vec![Mac::new([1; 6])],
        ..paid_until(100)
    };
    let right = Live {
        mac: Some(Mac::new([1; 6])),
        ..Live::default()
    };
    assert_eq!(reason(&locked, &Live::default(), 1), Reason::WrongMac);
    assert_eq!(reason(&locked, &right, 1), Reason::Entitled);
}

#[test]
fn a_boost_ends_before_the_period_and_is_the_next_change() {
    let boost = RateOverride {
        rate: RateLimit::mbps(50, 50),
        until: Some(at(40)),
    };
    let boosted = Subscriber {
        rate_override: Some(boost),
        ..paid_until(100)
    };
    let ask = |now| {
        decide(
            &boosted,
            Some(&package()),
            &Live::default(),
            &SitePolicy::default(),
            at(now),
        )
    };

    assert_eq!(
        (ask(39).rate, ask(39).next_change),
        (Some(RateLimit::mbps(50, 50)), Some(at(40)))
    );
    assert_eq!(
        (ask(40).rate, ask(40).next_change),
        (Some(RateLimit::mbps(10, 10)), Some(at(100)))
    );
}

#[test]
fn only_reasons_that_money_mends_lead_to_the_garden() {
    let garden = SitePolicy {
        refusal: Refusal::WalledGarden,
        ..SitePolicy::default()
    };
    let ask = |subscriber: &Subscriber| {
        decide(
            subscriber,
            Some(&package()),
            &Live::default(),
            &garden,
            at(200),
        )
        .answer
    };

    assert_eq!(ask(&paid_until(100)), Answer::WalledGarden);
    assert_eq!(
        ask(&Subscriber {
            standing: Standing::Suspended,
            ..paid_until(300)
        }),
        Answer::Reject
    );
}

#[test]
fn a_site_says_which_reasons_lead_to_the_garden() {
    let suspended = Subscriber {
        standing: Standing::Suspended,
        ..paid_until(300)
    };
    let ask = |garden_for| {
        let policy = SitePolicy {
            refusal: Refusal::WalledGarden,
            garden_for,
            ..SitePolicy::default()
        };
        let live = Live::default();
        decide(&suspended, Some(&package()), &live, &policy, at(200)).answer
    };
    let suspension = Reasons::of([Reason::Suspended]);
    assert_eq!(ask(suspension), Answer::WalledGarden);
    assert_eq!(ask(Reasons::NONE), Answer::Reject);
}

#[test]
fn a_packages_own_days_of_grace_are_in_place_of_the_sites() {
    let policy = SitePolicy {
        grace: Duration::from_secs(50),
        ..SitePolicy::default()
    };
    let ends = |grace: Option<u64>| {
        let package = Package {
            grace: grace.map(Duration::from_secs),
            ..package()
        };
        let live = Live::default();
        decide(&paid_until(100), Some(&package), &live, &policy, at(0)).next_change
    };
    assert_eq!(ends(None), Some(at(150)));
    assert_eq!(ends(Some(80)), Some(at(180)));
    assert_eq!(ends(Some(0)), Some(at(100)));
}

/// One table: what was used, on what, and what comes of it.
#[test]
fn usage_throttles_before_it_cuts() {
    let tier = |from_bytes, mbps| Tier {
        from_bytes,
        rate: RateLimit::mbps(mbps, mbps),
    };
    let package = Package {
        data_limit: Some(100),
        time_limit_secs: Some(600),
        fair_use: vec![tier(50, 4), tier(80, 1)],
        ..package()
    };
    let ask = |bytes_used, secs_used| {
        let live = Live {
            bytes_used,
            secs_used,
            ..Live::default()
        };
        let policy = SitePolicy::default();
        decide(&paid_until(5000), Some(&package), &live, &policy, at(1000))
    };
    for (bytes, secs, reason, mbps, end) in [
        (0, 0, Reason::Entitled, Some(10), Some(1600)),
        (49, 1, Reason::Entitled, Some(10), Some(1599)),
        (50, 0, Reason::Entitled, Some(4), Some(1600)),
        (80, 599, Reason::Entitled, Some(1), Some(1001)),
        (99, 599, Reason::Entitled, Some(1), Some(1001)),
        (99, 600, Reason::TimeUsedUp, None, None),
        (100, 0, Reason::QuotaUsedUp, None, None),
        (u64::MAX, u64::MAX, Reason::QuotaUsedUp, None, None),
    ] {
        let verdict = ask(bytes, secs);
        assert_eq!(verdict.reason, reason, "{bytes} {secs}");
        let rate = mbps.map(|mbps| RateLimit::mbps(mbps, mbps));
        assert_eq!(verdict.rate, rate, "{bytes} {secs}");
        assert_eq!(verdict.end, end.map(at), "{bytes} {secs}");
    }
}

#[test]
fn a_boost_beats_fair_use_and_an_override_beats_the_hours_only() {
    let package = Package {
        fair_use: vec![Tier {
            from_bytes: 50,
            rate: RateLimit::mbps(1, 1),
        }],
        schedule: vec![Window {
            days: Days::ALL,
            from_minute: 0,
            until_minute: 0,
            rate: Some(RateLimit::mbps(40, 40)),
            data: DataCounts::Yes,
        }],
        ..package()
    };
    let ask = |rate_override, bytes_used| {
        let subscriber = Subscriber {
            rate_override,
            ..paid_until(5000)
        };
        let live = Live {
            bytes_used,
            ..Live::default()
        };
        let policy = SitePolicy::default();
        let rate = decide(&subscriber, Some(&package), &live, &policy, at(1000)).rate;
        rate.unwrap().up_kbps / 1000
    };
    let given = |until| {
        let rate = RateLimit::mbps(20, 20);
        Some(RateOverride { rate, until })
    };
    assert_eq!((ask(None, 0), ask(None, 60)), (40, 1));
    assert_eq!((ask(given(None), 0), ask(given(None), 60)), (20, 1));
    let boost = given(Some(at(2000)));
    assert_eq!((ask(boost, 0), ask(boost, 60)), (20, 20));
    let over = given(Some(at(900)));
    assert_eq!((ask(over, 0), ask(over, 60)), (40, 1));
}

/// At night data is free: a used-up quota lets in then, and the router must not count.
#[test]
fn free_hours_open_a_used_up_quota_and_close_it_again() {
    let package = Package {
        data_limit: Some(100),
        schedule: vec![Window {
            days: Days::ALL,
            from_minute: 60,
            until_minute: 120,
            rate: None,
            data: DataCounts::No,
        }],
        ..package()
    };
    let ask = |now| {
        let live = Live {
            bytes_used: 100,
            ..Live::default()
        };
        let policy = SitePolicy::default();
        decide(&paid_until(86_400), Some(&package), &live, &policy, at(now))
    };
    for (now, reason, next) in [
        (3599, Reason::QuotaUsedUp, 3600),
        (3600, Reason::Entitled, 7200),
        (7199, Reason::Entitled, 7200),
        (7200, Reason::QuotaUsedUp, 86_400),
    ] {
        let verdict = ask(now);
        assert_eq!(verdict.reason, reason, "{now}");
        assert_eq!(verdict.next_change, Some(at(next)), "{now}");
        assert_eq!(verdict.total_limit, None, "{now}");
    }
}

/// Everything that can be asked, made from one seed.
struct Case {
    subscriber: Subscriber,
    package: Package,
    live: Live,
    policy: SitePolicy,
    now: Timestamp,
}

fn any_case(entropy: &Entropy) -> Case {
    let zones = ["UTC", "Africa/Nairobi", "Europe/Berlin", "America/New_York"];
    let below = |bound| entropy.below(bound);
    let some = |bound| (below(2) == 0).then(|| below(bound));
    let small = |bound: u64| below(bound).try_into().unwrap_or(0);
    let rate = || RateLimit::mbps(small(50) + 1, small(50) + 1);
    // Around the October night on which Berlin's clocks go back.
    let now = at(1_792_886_400 + below(3 * 86_400) as i64);
    let soon = || now.plus(Duration::from_secs(below(2 * 86_400)));
    let mac = |octet: u64| Mac::new([octet as u8; 6]);
    let tiers = (0..below(4)).map(|_| Tier {
        from_bytes: below(200),
        rate: rate(),
    });
    let windows = (0..below(4)).map(|_| Window {
        days: Days(small(128) as u8),
        from_minute: small(1500) as u16,
        until_minute: small(1500) as u16,
        rate: some(2).map(|_| rate()),
        data: match below(2) {
            0 => DataCounts::Yes,
            _ => DataCounts::No,
        },
    });
    Case {
        package: Package {
            rate: rate(),
            data_limit: some(200),
            time_limit_secs: some(90_000),
            devices: small(3) as u16,
            fair_use: tiers.collect(),
            schedule: windows.collect(),
            grace: some(3).map(|hours| Duration::from_secs(hours * 3600)),
            bind_macs: some(3).map(|macs| macs as u8),
        },
        subscriber: Subscriber {
            standing: match below(9) {
                0 => Standing::Suspended,
                1 => Standing::Disabled,
                _ => Standing::Active,
            },
            paid_until: soon(),
            funded_until: soon(),
            macs: (0..below(2)).map(|_| mac(below(2))).collect(),
            router: None,
            devices: some(3).map(|devices| devices as u16),
            rate_override: some(2).map(|_| RateOverride {
                rate: rate(),
                until: some(2).map(|_| soon()),
            }),
        },
        live: Live {
            mac: some(2).map(mac),
            router: None,
            other_devices: small(2) as u16,
            bytes_used: below(250),
            secs_used: below(90_000),
            bound: (0..below(3)).map(|_| mac(below(2))).collect(),
        },
        policy: SitePolicy {
            grace: Duration::from_secs(below(7200)),
            refusal: match below(2) {
                0 => Refusal::Reject,
                _ => Refusal::WalledGarden,
            },
            garden_for: Reasons::MONEY,
            zone: zone_of(zones[small(4) as usize]),
            bind: Bind {
                macs: small(2) as u8,
                oldest_out: below(2) == 0,
            },
        },
        now,
    }
}

impl Case {
    fn ask(&self, live: &Live, now: Timestamp) -> Verdict {
        decide(
            &self.subscriber,
            Some(&self.package),
            live,
            &self.policy,
            now,
        )
    }

    /// Whoever is online spends time.
    fn ask_after(&self, wait: Duration) -> Verdict {
        let online = self.ask(&self.live, self.now).answer == Answer::Accept;
        let spent = if online { wait.as_secs() } else { 0 };
        let live = Live {
            secs_used: self.live.secs_used.saturating_add(spent),
            ..self.live.clone()
        };
        self.ask(&live, self.now.plus(wait))
    }
}

const CASES: u64 = 2000;

#[test]
fn more_usage_never_gives_more() {
    for seed in 0..CASES {
        let case = any_case(&Entropy::seeded(seed));
        let less = case.ask(&case.live, case.now);
        let live = Live {
            bytes_used: case.live.bytes_used + 50,
            secs_used: case.live.secs_used + 500,
            ..case.live.clone()
        };
        let more = case.ask(&live, case.now);
        if more.answer == Answer::Accept {
            assert_eq!(less.answer, Answer::Accept, "seed {seed}");
            let (less, more) = (less.rate.unwrap(), more.rate.unwrap());
            assert_eq!(less.slower(more), more, "seed {seed}");
        }
    }
}

#[test]
fn nothing_changes_before_the_next_change() {
    let mut changed = 0;
    for seed in 0..CASES {
        let case = any_case(&Entropy::seeded(seed));
        let first = case.ask(&case.live, case.now);
        let rest = first
            .next_change
            .map_or(Duration::from_secs(86_400), |next| {
                assert!(next > case.now, "seed {seed}");
                next.since(case.now)
            });
        for wait in [rest / 3, rest.saturating_sub(Duration::from_secs(1))] {
            let wait = Duration::from_secs(wait.as_secs());
            let later = case.ask_after(wait);
            let seen =
                |verdict: &Verdict| (verdict.answer, verdict.reason, verdict.rate, verdict.end);
            assert_eq!(seen(&later), seen(&first), "seed {seed} after {wait:?}");
            assert_eq!(
                later.next_change, first.next_change,
                "seed {seed} after {wait:?}"
            );
        }
        let then = case.ask_after(rest);
        changed += u32::from(then.rate != first.rate || then.reason != first.reason);
    }
    assert!(changed > 100, "the cases say something: {changed}");
}

#[test]
fn no_value_makes_it_panic() {
    let extremes = [i64::MIN, -1, 0, 1, i64::MAX];
    for seed in 0..200 {
        let mut case = any_case(&Entropy::seeded(seed));
        for micros in extremes {
            for end in extremes {
                case.subscriber.paid_until = Timestamp::from_micros(end);
                case.policy.grace = Duration::MAX;
                case.package.time_limit_secs = Some(u64::MAX);
                case.live.bytes_used = u64::MAX;
                case.ask(&case.live, Timestamp::from_micros(micros));
            }
        }
    }
}

proptest! {
    /// An accepted subscriber always has a moment at which the question is asked again.
    #[test]
    fn acceptance_never_lasts_for_ever(end in 0i64..1000, funded in 0i64..1000, now in 0i64..1000) {
        let subscriber = Subscriber { funded_until: at(funded), ..paid_until(end) };
        let verdict = decide(
            &subscriber, Some(&package()), &Live::default(), &SitePolicy::default(), at(now),
        );
        prop_assert_eq!(verdict.answer == Answer::Accept, now < end.max(funded));
        if verdict.answer == Answer::Accept {
            prop_assert!(verdict.next_change.unwrap() > at(now));
        }
    }
}
