//! The pretend router against the real FreeRADIUS and the real radclient. It must not merely agree with us.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::Ipv4Addr;
use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::{Clock, Timestamp};

use super::online::Traffic;
use super::session::{Cause, Usage};
use super::subscriber::{Dial, Method};
use super::{Router, Settings, Strictness};
use crate::freeradius::{FreeRadius, radclient};
use crate::scenario::Manners;

const SECRET: &str = "a long shared secret";
const USERS: &str = r#"
demo001 Cleartext-Password := "demo001"
	Mikrotik-Rate-Limit := "5M/10M",
	Session-Timeout := 3600,
	Acct-Interim-Interval := 300,
	Class := 0x6f6e65,
	Framed-IP-Address := 10.9.8.7

demo002 Cleartext-Password := "demo002"
	Mikrotik-Total-Limit := 4096

late Cleartext-Password := "late", Auth-Type := Reject
	Reply-Message := "Your subscription has ended"
"#;

#[tokio::test]
async fn freeradius_accepts_each_method_and_answers_the_accounting() {
    let site = Site::open().await;
    for method in [Method::Pap, Method::Chap, Method::MsChapV2] {
        let subscriber = site.router.subscriber("demo001", "demo001", method);
        let online = subscriber.dial().await.online();

        let session = online.session().unwrap();
        assert_eq!(session.address, Ipv4Addr::new(10, 9, 8, 7), "{method:?}");
        assert_eq!(session.grants.rate_limit.as_deref(), Some("5M/10M"));
        assert_eq!(session.grants.class, [b"one".to_vec()]);
        assert_eq!(session.grants.session_timeout, Some(3600));

        online.started().await;
        online.transfer(Usage {
            up: 5 << 30,
            down: 7,
        });
        assert!(online.interim().await);
        assert!(online.hang_up().await);
        assert_eq!(
            online.account().acknowledged,
            Usage {
                up: 5 << 30,
                down: 7
            }
        );
    }
    assert_eq!(site.router.counters().bad_replies, 0);

    let written = site.radius.accounting().unwrap();
    for (line, times) in [
        ("Acct-Status-Type = Start", 3),
        ("Acct-Input-Gigawords = 1", 6),
        ("Acct-Terminate-Cause = User-Request", 3),
        ("Class = 0x6f6e65", 9),
    ] {
        assert_eq!(written.matches(line).count(), times, "{line} in {written}");
    }
}

#[tokio::test]
async fn a_strict_router_drops_answers_not_signed_in_the_first_attribute() {
    let site = Site::open().await;
    let server = site.radius.server;
    let strict = Settings::new(SECRET, server.auth, server.acct);
    let router = Router::start(Settings {
        resend: Duration::from_millis(50),
        ..strict
    })
    .await
    .unwrap();

    let subscriber = router.subscriber("demo001", "demo001", Method::Pap);

    assert!(matches!(subscriber.dial().await, Dial::NoAnswer));
    assert!(router.counters().bad_replies > 0);
}

#[tokio::test]
async fn freeradius_rejects_a_wrong_password_and_is_silent_to_a_wrong_secret() {
    let site = Site::open().await;
    for method in [Method::Pap, Method::Chap, Method::MsChapV2] {
        let subscriber = site.router.subscriber("demo001", "wrong", method);
        assert!(
            matches!(subscriber.dial().await, Dial::Rejected(_)),
            "{method:?}"
        );
    }
    let expired = site
        .router
        .subscriber("late", "late", Method::Pap)
        .dial()
        .await;
    assert!(matches!(expired, Dial::Rejected(message) if message == "Your subscription has ended"));

    let server = site.radius.server;
    let stranger = Settings::new("another secret", server.auth, server.acct);
    let stranger = Settings {
        resend: Duration::from_millis(50),
        ..stranger
    };
    let router = Router::start(stranger).await.unwrap();
    let subscriber = router.subscriber("demo001", "demo001", Method::Pap);
    assert!(matches!(subscriber.dial().await, Dial::NoAnswer));
    let counters = router.counters();
    assert_eq!((counters.resends, counters.timeouts), (3, 1));
}

#[tokio::test]
async fn radclient_changes_and_ends_a_session() {
    let site = Site::open().await;
    let online = site
        .router
        .subscriber("demo001", "demo001", Method::MsChapV2)
        .dial()
        .await
        .online();
    let order = async |kind, secret, attributes: &str| {
        radclient(site.router.incoming().unwrap(), kind, secret, attributes)
            .await
            .unwrap()
    };

    let slower =
        "User-Name = \"demo001\"\nMikrotik-Rate-Limit = \"1M/2M\"\nMessage-Authenticator = 0x00\n";
    let answer = order("coa", SECRET, slower).await;
    assert!(answer.contains("Received CoA-ACK"), "{answer}");
    assert_eq!(
        online.session().unwrap().grants.rate_limit.as_deref(),
        Some("1M/2M")
    );

    let answer = order(
        "coa",
        SECRET,
        "User-Name = \"demo001\"\nFramed-Pool = \"other\"\n",
    )
    .await;
    assert!(answer.contains("Received CoA-NAK"), "{answer}");
    let answer = order("disconnect", SECRET, "User-Name = \"nobody\"\n").await;
    assert!(answer.contains("Received Disconnect-NAK"), "{answer}");
    assert!(
        answer.contains("Error-Cause = Session-Context-Not-Found"),
        "{answer}"
    );
    let answer = order("disconnect", "guessed", "User-Name = \"demo001\"\n").await;
    assert!(!answer.contains("Received"), "{answer}");
    assert!(online.session().is_some());

    let this = format!(
        "User-Name = \"demo001\"\nAcct-Session-Id = \"{}\"\n",
        online.id()
    );
    let answer = order("disconnect", SECRET, &this).await;
    assert!(answer.contains("Received Disconnect-ACK"), "{answer}");
    assert_eq!(online.ended().await.0, Cause::AdminReset);
    assert!(
        online
            .when(|account| account.settled.then_some(account.stop_acknowledged))
            .await
    );
}

#[tokio::test]
async fn a_rude_router_refuses_lies_or_stays_silent() {
    let site = Site::open().await;
    let online = site
        .router
        .subscriber("demo001", "demo001", Method::Pap)
        .dial()
        .await
        .online();
    for (manners, heard) in [
        (Manners::Nak(503), "Received Disconnect-NAK"),
        (Manners::AckWithoutEffect, "Received Disconnect-ACK"),
        (Manners::ForgedAck, "No reply from server"),
        (Manners::Ignore, "No reply from server"),
    ] {
        site.router.manners(manners);
        let port = site.router.incoming().unwrap();
        let answer = radclient(port, "disconnect", SECRET, "User-Name = \"demo001\"\n")
            .await
            .unwrap();
        assert!(answer.contains(heard), "{manners:?}: {answer}");
        assert!(online.session().is_some(), "{manners:?}");
    }
}

#[tokio::test]
async fn a_session_ends_by_its_clock_its_limit_or_the_power() {
    let clock = Clock::test(Timestamp::from_secs(1_770_000_000));
    let site = Site::open_on(clock.clone()).await;

    let timed = site
        .router
        .subscriber("demo001", "demo001", Method::Pap)
        .dial()
        .await
        .online();
    timed.started().await;
    clock.advance(Duration::from_secs(300));
    timed
        .when(|account| (account.interims_acknowledged == 1).then_some(()))
        .await;
    clock.advance(Duration::from_secs(3300));
    assert_eq!(timed.ended().await.0, Cause::SessionTimeout);

    let limited = site
        .router
        .subscriber("demo002", "demo002", Method::Pap)
        .dial()
        .await
        .online();
    limited.transfer(Usage { up: 96, down: 4000 });
    assert_eq!(
        limited.ended().await,
        (Cause::NasRequest, Usage { up: 96, down: 4000 })
    );

    let lost = site
        .router
        .subscriber("demo001", "demo001", Method::Pap)
        .dial()
        .await
        .online();
    assert_eq!(&lost.id()[..3], "811");
    site.router.reboot();
    assert_eq!(lost.ended().await.0, Cause::Reboot);
    assert!(!lost.account().stop_acknowledged);
    let again = site
        .router
        .subscriber("demo001", "demo001", Method::Pap)
        .dial()
        .await
        .online();
    assert_eq!(&again.id()[..3], "812");
    site.router.stop().await;
}

#[tokio::test]
async fn who_is_kept_online_dials_again() {
    let clock = Clock::test(Timestamp::from_secs(1_770_000_000));
    let site = Site::open_on(clock.clone()).await;
    let subscriber = site.router.subscriber("demo001", "demo001", Method::Chap);
    site.router.keep_online(
        subscriber,
        Traffic {
            up_bits_per_second: 8_000,
            down_bits_per_second: 80_000,
        },
    );

    let first = site
        .router
        .until(|router| router.sessions_of("demo001").pop())
        .await;
    clock.advance(Duration::from_secs(10));
    assert_eq!(first.id.len(), 8);
    let online = site.router.until(|router| {
        router
            .sessions_of("demo001")
            .pop()
            .map(|session| session.usage(clock.now()))
    });
    assert_eq!(
        online.await,
        Usage {
            up: 10_000,
            down: 100_000
        }
    );

    site.router.reboot();
    for _ in 0..10 {
        tokio::task::yield_now().await; // the redialler hears of it and waits its three seconds
    }
    clock.advance(Duration::from_secs(3));
    let again = site
        .router
        .until(|router| router.sessions_of("demo001").pop())
        .await;
    assert_ne!(again.id, first.id);
}

/// A router in front of a FreeRADIUS.
struct Site {
    router: Router,
    radius: FreeRadius,
}

impl Site {
    async fn open() -> Site {
        Site::open_on(Clock::system()).await
    }

    async fn open_on(clock: Clock) -> Site {
        let radius = FreeRadius::start(SECRET, USERS).await.unwrap();
        let settings = Settings::new(SECRET, radius.server.auth, radius.server.acct);
        // Debian's FreeRADIUS signs in the last attribute.
        let settings = Settings {
            strictness: Strictness::Signed,
            ..settings
        };
        let router = Router::start_on(settings, clock, Entropy::seeded(7))
            .await
            .unwrap();
        Site { router, radius }
    }
}
