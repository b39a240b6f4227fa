#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::ipv6::Prefixes;
use easyisp_shared::net::RateLimit;
use easyisp_shared::seal::SealKey;

use super::*;
use crate::sessions::{Grant, Service, SessionKey};
use crate::site::Ranges;
use crate::site::description::{Description, customer_id, router_id};

/// A report that arrives in the moment an hour begins does not put the look off to the hour's end.
#[test]
fn a_report_at_the_hour_leaves_the_look_that_is_due() {
    let (site, sessions) = (given_site(), Sessions::default());
    let slow = RateLimit::mbps(10, 10);
    let session = given_session(Some(slow));

    let noon = next_look(&site, &sessions, &session, at(0)).unwrap();
    assert!(noon > at(0));
    assert_eq!(next_look(&site, &sessions, &session, noon), Some(noon));

    let fast = given_session(Some(RateLimit::mbps(40, 40)));
    let one = next_look(&site, &sessions, &fast, noon);
    assert_eq!(one, Some(noon.plus(Duration::from_secs(3600))));
}

#[test]
fn a_session_another_agent_let_in_is_looked_at_with_the_next_change() {
    let (site, sessions) = (given_site(), Sessions::default());
    let session = given_session(None);
    let noon = next_look(&site, &sessions, &session, at(0)).unwrap();
    assert!(noon > at(0));
    assert!(next_look(&site, &sessions, &session, noon).unwrap() > noon);
}

/// A box that lost its copy of the feed ends nobody, until what he was given is over: that it knows without.
#[test]
fn a_name_that_is_not_known_is_looked_at_when_what_it_was_given_ends() {
    let nothing = Site::new(SealKey::new([7; 32]), Ranges::new(Vec::new()));
    let sessions = Sessions::default();
    let session = given_session(Some(RateLimit::mbps(10, 10)));
    let (end, before) = (at(365 * 86_400), at(365 * 86_400 - 1));
    assert_eq!(next_look(&nothing, &sessions, &session, at(0)), Some(end));
    let held = judge(&nothing, &sessions, &session, before);
    assert_eq!(held, Act::Leave { until: Some(end) });
    let over = judge(&nothing, &sessions, &session, end);
    assert_eq!(over, expired());

    let local = Session {
        customer: None,
        ..given_session(None)
    };
    assert_eq!(next_look(&nothing, &sessions, &local, end), None);
}

/// V9: news of a customer came, news of his package did not, and the link is down since. He stays until what he was
/// given ends, or what he has paid since; who is suspended goes at once.
#[test]
fn whose_package_is_not_known_is_ended_when_what_is_stated_ends() {
    let (site, sessions) = (given_site(), Sessions::default());
    site.apply(&easyisp_shared::wire::DownRecord {
        kind: easyisp_shared::wire::DownKind::Package.code(),
        id: crate::site::description::package_id("basic").0,
        version: 2,
        body: None,
    });
    let given = |end: i64, garden| {
        let mut session = given_session(Some(RateLimit::mbps(10, 10)));
        let grant = session.grant.as_mut().unwrap();
        (grant.end, grant.garden) = (Some(at(end)), garden);
        session
    };
    let paid = 365 * 86_400;
    let judged = |session: &Session, now: i64| judge(&site, &sessions, session, at(now));
    let waits = |act| matches!(act, Act::Leave { until: Some(_) });

    let before = given(50, false);
    assert!(waits(judged(&before, 100)), "he has paid since");
    assert!(waits(judged(&before, paid - 1)));
    assert_eq!(judged(&before, paid), expired());
    let grace = given(paid + 500, false);
    assert!(waits(judged(&grace, paid + 499)), "with grace");
    assert_eq!(judged(&grace, paid + 500), expired());
    assert!(
        waits(judged(&given_session(None), paid + 900)),
        "nobody knows"
    );
    assert!(waits(judged(&given(50, true), paid + 900)), "the pay page");
}

/// V9: an older copy of the cache was put back, and he paid since: what he was given says so, until the cloud is heard.
#[test]
fn who_paid_since_the_cache_was_copied_stays_until_what_he_was_given_ends() {
    let (site, sessions) = (given_site(), Sessions::default());
    let paid = 365 * 86_400;
    let mut session = given_session(Some(RateLimit::mbps(10, 10)));
    session.grant.as_mut().unwrap().end = Some(at(paid + 5000));
    let judged = |now: i64| judge(&site, &sessions, &session, at(now));
    site.knows_up_to(5);
    assert_eq!(judged(paid + 100), expired(), "the cloud took it back");

    site.knew_up_to(9);
    let until = at(paid + 130);
    assert_eq!(judged(paid + 100), Act::Leave { until: Some(until) });
    assert_eq!(judged(paid + 5000), expired());
    site.knows_up_to(9);
    assert_eq!(judged(paid + 100), expired());
    site.knew_up_to(12);
    site.begin_abreast();
    assert_eq!(judged(paid + 100), expired(), "a cloud that was put back");
}

/// There is no way back over a RadSec connection: who is to end a session is told what to enter.
#[test]
fn of_a_router_by_radsec_it_is_said_that_its_api_is_wanted() {
    let site = given_site();
    let router = site.routers().remove(0);
    let said = || super::ways::unheard(Some(&router));
    assert_eq!(said(), "The router does not answer on its CoA port.");
    assert_eq!(said(), super::ways::unheard(None));
    router.note_certificate(easyisp_shared::wire::condition::CertificateV1 {
        serial: vec![1],
        from: at(0),
        until: at(1000),
    });
    assert!(
        said().contains("RadSec") && said().contains("API"),
        "{}",
        said()
    );
}

fn expired() -> Act {
    Act::Cut(crate::diagnosis::Why::Refused(
        easyisp_shared::entitlement::Reason::Expired,
    ))
}

/// He was let in by an agent, deleted, and is heard of after the box learned that: nobody tells it once more.
#[test]
fn whom_an_agent_let_in_and_nobody_knows_is_ended_once_he_would_be_known() {
    let (site, sessions) = (given_site(), Sessions::default());
    let mut session = given_session(None);
    session.customer = None;
    session.username = b"gone".as_slice().into();
    let (mins, noon) = (|mins: i64| at(mins * 60), at(12 * 3600));

    // What a router let in by itself, or an older server, is left alone.
    site.begin_abreast();
    assert_eq!(next_look(&site, &sessions, &session, noon), None);
    session.key.class = [7; 16].into();
    assert_eq!(next_look(&site, &sessions, &session, noon), None);

    session.key.class = sessions::cookie([7; 16]).into();
    // Another agent may be ahead of this one, or this one have lost its copy.
    let early = judge(&site, &sessions, &session, mins(1));
    assert!(
        matches!(early, Act::Leave { until: Some(again) } if again > mins(1) && again <= mins(2))
    );
    let never = given_site();
    let lost = judge(&never, &sessions, &session, noon);
    assert!(matches!(lost, Act::Leave { until: Some(again) } if again > noon));
    site.end_abreast(mins(2));
    assert!(next_look(&site, &sessions, &session, noon).unwrap() > noon);

    site.begin_abreast();
    assert_eq!(next_look(&site, &sessions, &session, noon), Some(noon));
    let known = judge(&site, &sessions, &session, noon);
    assert_eq!(known, Act::Cut(crate::diagnosis::Why::Unknown));
}

/// A box that lost its copy of the feed hears the policy first, then customers, then packages, one by one: nobody who
/// is online is ended in the middle of that.
#[test]
fn a_snapshot_that_is_being_applied_ends_nobody() {
    let (nobody, sessions) = (
        Site::new(SealKey::new([7; 32]), Ranges::new(Vec::new())),
        Sessions::default(),
    );
    let session = given_session(None);
    let waits = |site: &Site| {
        matches!(
            judge(site, &sessions, &session, at(0)),
            Act::Leave { until: Some(_) }
        )
    };
    assert!(waits(&nobody), "he is not told yet");

    let site = given_site();
    site.apply(&easyisp_shared::wire::DownRecord {
        kind: easyisp_shared::wire::DownKind::Package.code(),
        id: crate::site::description::package_id("basic").0,
        version: 2,
        body: None,
    });
    assert!(waits(&site), "his package is not told yet");
    site.begin_abreast();
    site.end_abreast(at(60));
    let later = judge(&site, &sessions, &session, at(60));
    assert!(matches!(later, Act::Cut(_)), "there is none: {later:?}");

    nobody.begin_abreast();
    let gone = judge(&nobody, &sessions, &session, at(0));
    assert_eq!(gone, Act::Cut(crate::diagnosis::Why::Unknown));
}

/// One customer whose package is faster from twelve to one.
fn given_site() -> Site {
    let description: Description = serde_json::from_str(
        r#"{
            "packages": [{
                "name": "basic", "up_kbps": 10000, "down_kbps": 10000, "devices": 1,
                "schedule": [{"days": 127, "from_minute": 720, "until_minute": 780,
                              "rate": {"up_kbps": 40000, "down_kbps": 40000, "burst": null},
                              "data": "Yes"}]
            }],
            "routers": [{"name": "tower", "address": "10.1.0.1", "source": "10.1.0.0/24",
                         "secret": "demo-secret", "coa_port": 3799}],
            "subscribers": [{"username": "demo001", "password": "demo001", "package": "basic",
                             "paid_until": "1971-01-01T00:00:00Z"}]
        }"#,
    )
    .unwrap();
    let key = SealKey::new([7; 32]);
    let site = Site::new(key.clone(), Ranges::new(Vec::new()));
    for row in description.rows(&key, &Entropy::seeded(1), 1) {
        site.apply(&row);
    }
    site
}

fn given_session(rate: Option<RateLimit>) -> Session {
    Session {
        key: SessionKey {
            router: router_id("tower"),
            acct_session_id: b"81000001".as_slice().into(),
            class: Box::default(),
        },
        customer: Some(customer_id("demo001")),
        username: b"demo001".as_slice().into(),
        service: Service::Ppp,
        mac: None,
        framed_ip: None,
        prefixes: Prefixes::default(),
        port: Box::default(),
        started_at: at(0),
        seen_at: at(0),
        secs: 0,
        bytes_in: 0,
        bytes_out: 0,
        bytes_free: 0,
        grant: rate.map(|rate| Grant {
            cookie: [0; 16],
            rate: Some(rate),
            end: Some(at(365 * 86_400)),
            garden: false,
            listed: false,
        }),
        closed: None,
    }
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}
