//! The agent from outside: real sockets, real files, no cloud.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::UdpSocket;
use std::time::Instant;

use easyisp_shared::entitlement::Standing;
use easyisp_shared::id::CommandId;
use easyisp_shared::net::Mac;
use easyisp_shared::wire::Lane;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::down::{CommandV1, Order, Whom};
use easyisp_shared::wire::up::{AccountingStatus, CommandOutcome, LoginOutcome};
use secrecy::SecretString;

use super::*;
use crate::radius::builder::Signature;
use crate::radius::client::{self, Login, Method};
use crate::radius::dictionary::{Code, attribute, mikrotik};
use crate::radius::{Packet, Secret};
use crate::site::description::{
    Description, PackageWords, RouterWords, SubscriberWords, customer_id,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_method_is_accepted_with_what_the_package_gives() {
    let running = Running::start(site()).await;
    let password = b"demo001";
    for method in [
        Method::Pap { password },
        Method::Chap {
            password,
            identifier: 7,
            challenge: [9; 16],
        },
        Method::MsChapV2 {
            password,
            identifier: 7,
            challenge: [9; 16],
            peer_challenge: [8; 16],
        },
    ] {
        let reply = running.log_in(b"demo001", method, 1).unwrap();
        let packet = Packet::parse(&reply).unwrap();
        assert_eq!(packet.code(), Some(Code::AccessAccept), "{method:?}");
        let rate = packet.first_vendor(mikrotik::VENDOR, mikrotik::RATE_LIMIT);
        assert_eq!(rate, Some(&b"10M/20M"[..]));
        assert_eq!(packet.first(attribute::CLASS).map(<[u8]>::len), Some(16));
        assert_eq!(number(&packet, attribute::SESSION_TIMEOUT), 1000);
        let interim = number(&packet, attribute::ACCT_INTERIM_INTERVAL);
        assert!((270..=330).contains(&interim), "{interim}");
        assert_eq!(packet.first(attribute::IDLE_TIMEOUT), None);
    }
    running.stop().await;
}

/// A specific reason only for who knew the password; nobody learns which names exist.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_and_a_wrong_password_read_the_same() {
    let running = Running::start(site()).await;
    let message = |name: &[u8], password: &[u8]| {
        let reply = running.log_in(name, Method::Pap { password }, 1).unwrap();
        let packet = Packet::parse(&reply).unwrap();
        assert_eq!(packet.code(), Some(Code::AccessReject));
        packet.first(attribute::REPLY_MESSAGE).unwrap().to_vec()
    };
    assert_eq!(message(b"nobody", b"x"), message(b"demo001", b"x"));
    assert_eq!(message(b"demo021", b"x"), message(b"demo001", b"x"));
    assert_ne!(message(b"demo021", b"demo021"), message(b"demo001", b"x"));

    let outcomes: Vec<LoginOutcome> = running.logins();
    assert!(outcomes.contains(&LoginOutcome::UnknownUser));
    assert!(outcomes.contains(&LoginOutcome::WrongPassword));
    running.stop().await;
}

/// B1 V6: what is answered is on disk and in the outbox; a restart finds it.
#[tokio::test(flavor = "multi_thread")]
async fn answered_accounting_survives_a_restart() {
    let running = Running::start(site()).await;
    assert!(running.account(1, "81000001", 0, 0).is_some());
    assert!(running.account(3, "81000001", 300, 5 << 20).is_some());
    let running = running.restart().await;

    let open = running.agent.overview().sessions.open_by_name(b"demo001");
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].session.bytes_in, 5 << 20);
    assert_eq!(open[0].session.customer, Some(customer_id("demo001")));
    let told = running.accounting();
    assert_eq!(told, [AccountingStatus::Start, AccountingStatus::Interim]);
    running.stop().await;
}

/// B1: a commit that fails is never answered, and the router's next copy is written and answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_is_silence_and_its_repeat_is_answered() {
    let running = Running::start(site()).await;
    let datagram = running.accounting_datagram(1, "81000001", 0, 0, 9);
    running.break_disk(
        "create trigger broken before insert on records begin select raise(abort, 'disk'); end",
    );
    assert!(running.send_accounting(&datagram, SILENCE).is_none());
    assert_eq!(running.accounting(), []);

    running.break_disk("drop trigger broken");
    assert!(running.send_accounting(&datagram, PATIENCE).is_some());
    assert_eq!(running.accounting(), [AccountingStatus::Start]);
    running.stop().await;
}

/// A4: a resent request gets the same octets and changes nothing twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_gets_the_same_answer_once_decided() {
    let running = Running::start(site()).await;
    let request = running.access_datagram(
        b"demo001",
        Method::Pap {
            password: b"demo001",
        },
        5,
    );
    let first = running.send_access(&request, PATIENCE).unwrap();
    for _ in 0..20 {
        assert_eq!(running.send_access(&request, PATIENCE).unwrap(), first);
    }
    let datagram = running.accounting_datagram(1, "81000001", 0, 0, 9);
    let answered = running.send_accounting(&datagram, PATIENCE).unwrap();
    assert_eq!(
        running.send_accounting(&datagram, PATIENCE).unwrap(),
        answered
    );
    assert_eq!(running.accounting().len(), 1);
    running.stop().await;
}

/// A5 V14: another secret is silence, a count on the router, and nobody's failed login.
#[tokio::test(flavor = "multi_thread")]
async fn another_secret_is_silence_and_named_on_the_router() {
    let running = Running::start(site()).await;
    let wrong = Secret::new(b"another");
    for (method, signature) in [
        (
            Method::Pap {
                password: b"demo001",
            },
            Signature::MessageAuthenticator,
        ),
        (
            Method::Pap {
                password: b"demo001",
            },
            Signature::None,
        ),
    ] {
        let login = Login {
            user_name: b"demo001",
            method,
            extra: &[],
            signature,
        };
        let request = client::access_request(&login, 3, &[5; 16], &wrong).unwrap();
        assert!(running.send_access(&request, SILENCE).is_none());
    }
    let overview = running.agent.overview();
    assert_eq!(overview.site.routers()[0].signing().mismatches, 2);
    assert_eq!(running.logins(), []);
    running.stop().await;
}

/// A1: a router that signed once is never again believed without a signature, restarts included.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_signs_must_go_on_signing() {
    let running = Running::start(site()).await;
    let method = Method::Pap {
        password: b"demo001",
    };
    assert!(running.log_in_signed(method, Signature::None, 1).is_some());
    assert!(
        running
            .log_in_signed(method, Signature::MessageAuthenticator, 2)
            .is_some()
    );
    assert!(running.log_in_signed(method, Signature::None, 3).is_none());
    let running = running.restart().await;
    assert!(running.log_in_signed(method, Signature::None, 4).is_none());
    running.stop().await;
}

/// V13 D1: with the disk refusing every write and no cloud, logins are answered at once.
#[tokio::test(flavor = "multi_thread")]
async fn logins_do_not_wait_for_the_disk() {
    let running = Running::start(site()).await;
    let outside = running.outside();
    outside.execute_batch("begin immediate").unwrap();
    assert!(
        running
            .send_accounting(
                &running.accounting_datagram(1, "81000001", 0, 0, 9),
                SILENCE
            )
            .is_none()
    );
    let started = Instant::now();
    for identifier in 0..50 {
        let method = Method::Pap {
            password: b"demo001",
        };
        assert!(running.log_in(b"demo001", method, identifier).is_some());
    }
    assert!(started.elapsed() < Duration::from_secs(3));
    outside.execute_batch("rollback").unwrap();
    running.stop().await;
}

/// A3: whatever arrives, the next honest login is answered.
#[tokio::test(flavor = "multi_thread")]
async fn mutated_datagrams_do_not_stop_the_service() {
    let running = Running::start(site()).await;
    let method = Method::Chap {
        password: b"demo001",
        identifier: 1,
        challenge: [3; 16],
    };
    let honest = [
        running.access_datagram(b"demo001", method, 1),
        running.accounting_datagram(3, "81000001", 300, 1 << 20, 2),
    ];
    let entropy = Entropy::seeded(11);
    for round in 0..20_000u32 {
        let mut datagram = honest[round as usize % 2].clone();
        for _ in 0..=entropy.below(3) {
            let at = entropy.below(datagram.len() as u64) as usize;
            datagram[at] = entropy.bytes::<1>()[0];
        }
        datagram.truncate(entropy.below(datagram.len() as u64 + 1) as usize);
        running
            .socket
            .send_to(&datagram, running.agent.radius_auth())
            .unwrap();
        running
            .socket
            .send_to(&datagram, running.agent.radius_acct())
            .unwrap();
    }
    running.drain();
    for identifier in 100..110 {
        assert!(running.log_in(b"demo001", method, identifier).is_some());
    }
    assert!(running.account(1, "81000009", 0, 0).is_some());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_server_is_answered_on_both_ports() {
    let running = Running::start(site()).await;
    let request = client::status_server(1, &[4; 16], &running.secret);
    let reply = running.send_access(&request, PATIENCE).unwrap();
    assert_eq!(
        Packet::parse(&reply).unwrap().code(),
        Some(Code::AccessAccept)
    );
    let reply = running.send_accounting(&request, PATIENCE).unwrap();
    assert_eq!(
        Packet::parse(&reply).unwrap().code(),
        Some(Code::AccountingResponse)
    );
    running.stop().await;
}

/// B9: fifty devices at once on one place, over the wire.
#[tokio::test(flavor = "multi_thread")]
async fn one_place_is_given_once() {
    let running = Running::start(site()).await;
    let accepted = (0..50u8)
        .filter(|device| {
            let mac = Mac::new([*device; 6]).to_string();
            let login = Login {
                user_name: b"single",
                method: Method::Pap {
                    password: b"single",
                },
                extra: &[(attribute::CALLING_STATION_ID, mac.as_bytes())],
                signature: Signature::MessageAuthenticator,
            };
            let request = client::access_request(&login, *device, &[*device; 16], &running.secret);
            let reply = running.send_access(&request.unwrap(), PATIENCE).unwrap();
            Packet::parse(&reply).unwrap().code() == Some(Code::AccessAccept)
        })
        .count();
    assert_eq!(accepted, 1);
    running.stop().await;
}

/// V9 F6: at the end of what was paid the session is cut, by its own timer.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_session_is_disconnected() {
    let running = Running::start(site()).await;
    running
        .log_in(
            b"demo001",
            Method::Pap {
                password: b"demo001",
            },
            1,
        )
        .unwrap();
    running.account(1, "81000001", 0, 0).unwrap();
    assert!(running.router_hears(SILENCE).is_none());

    running.clock.advance(Duration::from_secs(1001));
    let (code, session) = running.router_hears(PATIENCE).unwrap();
    assert_eq!(code, Some(Code::DisconnectRequest));
    assert_eq!(session, b"81000001");
    running.stop().await;
}

/// A suspension or a new package reaches who is online within moments of the feed.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_feed_reaches_who_is_online() {
    let running = Running::start(site()).await;
    running
        .log_in(
            b"demo001",
            Method::Pap {
                password: b"demo001",
            },
            1,
        )
        .unwrap();
    running.account(1, "81000001", 0, 0).unwrap();

    let mut changed = site();
    changed.packages[0].up_kbps = 50_000;
    running.apply(&changed, 2).await;
    assert_eq!(running.router_answers(PATIENCE), Some(Code::CoaRequest));

    changed.subscribers[0].standing = Standing::Suspended;
    running.apply(&changed, 3).await;
    assert_eq!(
        running.router_answers(PATIENCE),
        Some(Code::DisconnectRequest)
    );
    running.stop().await;
}

/// After a restart the session still has its timer.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_outlived_a_restart_is_still_cut_at_its_end() {
    let running = Running::start(site()).await;
    running.log_in(b"demo001", DEMO001, 1).unwrap();
    running.account(1, "81000001", 0, 0).unwrap();
    let running = running.restart().await;
    assert!(running.router_hears(SILENCE).is_none());
    running.clock.advance(Duration::from_secs(1001));
    assert!(running.router_hears(PATIENCE).is_some());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_password_ends_the_session_that_used_the_old_one() {
    let running = Running::start(site()).await;
    running.log_in(b"demo001", DEMO001, 1).unwrap();
    running.account(1, "81000001", 0, 0).unwrap();

    let mut changed = site();
    changed.subscribers[0].password = SecretString::from("another");
    running.apply(&changed, 2).await;
    assert_eq!(
        running.router_answers(PATIENCE),
        Some(Code::DisconnectRequest)
    );
    let reply = running.log_in(b"demo001", DEMO001, 2).unwrap();
    assert_eq!(
        Packet::parse(&reply).unwrap().code(),
        Some(Code::AccessReject)
    );
    running.stop().await;
}

/// F6: a renewal reaches the router as a later end, so that its own timer does not cut a paid session.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_raises_the_end_of_a_running_session() {
    let running = Running::start(site()).await;
    running.log_in(b"demo001", DEMO001, 1).unwrap();
    running.account(1, "81000001", 0, 0).unwrap();

    let mut changed = site();
    changed.subscribers[0].paid_until = start().plus(Duration::from_secs(5000));
    running.apply(&changed, 2).await;
    assert_eq!(running.router_answers(PATIENCE), Some(Code::CoaRequest));
    running.clock.advance(Duration::from_secs(1001));
    assert!(running.router_hears(SILENCE).is_none(), "he paid");
    running.stop().await;
}

/// B8: over the data limit the session ends at the next interim, and a new login does not help.
#[tokio::test(flavor = "multi_thread")]
async fn a_quota_ends_the_session_at_the_next_interim() {
    let mut words = site();
    words.packages[0].data_limit = Some(1000);
    let running = Running::start(words).await;
    let reply = running.log_in(b"demo001", DEMO001, 1).unwrap();
    let packet = Packet::parse(&reply).unwrap();
    let left = packet.first_vendor(mikrotik::VENDOR, mikrotik::TOTAL_LIMIT);
    assert_eq!(left, Some(&1000u32.to_be_bytes()[..]));

    running.account(1, "81000001", 0, 0).unwrap();
    running.account(3, "81000001", 300, 999).unwrap();
    assert!(running.router_hears(SILENCE).is_none());
    running.account(3, "81000001", 600, 1001).unwrap();
    assert_eq!(
        running.router_answers(PATIENCE),
        Some(Code::DisconnectRequest)
    );
    running.account(2, "81000001", 601, 1001).unwrap();
    let running = running.restart().await;
    let reply = running.log_in(b"demo001", DEMO001, 2).unwrap();
    assert_eq!(
        Packet::parse(&reply).unwrap().code(),
        Some(Code::AccessReject)
    );
    running.stop().await;
}

/// Who has not paid meets the garden, and leaves it by logging in again once he has.
#[tokio::test(flavor = "multi_thread")]
async fn the_walled_garden_is_entered_and_left() {
    let mut words = site();
    words.refusal = easyisp_shared::entitlement::Refusal::WalledGarden;
    words.subscribers[0].paid_until = start();
    let running = Running::start(words).await;
    let reply = running.log_in(b"demo001", DEMO001, 1).unwrap();
    let packet = Packet::parse(&reply).unwrap();
    assert_eq!(packet.code(), Some(Code::AccessAccept));
    let list = packet.first_vendor(mikrotik::VENDOR, mikrotik::ADDRESS_LIST);
    assert_eq!(list, Some(&b"garden"[..]));
    let class = packet.first(attribute::CLASS).unwrap().to_vec();
    running.account_with_class(1, "81000001", &class);
    assert!(running.router_hears(SILENCE).is_none());

    let mut paid = site();
    paid.refusal = easyisp_shared::entitlement::Refusal::WalledGarden;
    running.apply(&paid, 2).await;
    assert_eq!(
        running.router_answers(PATIENCE),
        Some(Code::DisconnectRequest)
    );
    running.stop().await;
}

/// V11: a command takes effect, its result is reported, and a session begun later is not meant.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_carried_out_and_answered() {
    let running = Running::start(site()).await;
    running.account(1, "81000001", 0, 0).unwrap();
    running.command(1, start(), 2).await;
    assert_eq!(
        running.router_answers(PATIENCE),
        Some(Code::DisconnectRequest)
    );
    assert_eq!(
        running.results(1).await,
        [CommandOutcome::Done { sessions: 1 }]
    );

    running.account(2, "81000001", 5, 0).unwrap();
    running.clock.advance(Duration::from_secs(60));
    running.account(1, "81000002", 0, 0).unwrap();
    running.command(2, start(), 3).await;
    let results = running.results(2).await;
    assert_eq!(results[1], CommandOutcome::NothingThere);
    running
        .command(3, start().minus(Duration::from_secs(10_000)), 4)
        .await;
    assert_eq!(running.results(3).await[2], CommandOutcome::TooLate);
    running.stop().await;
}

/// A router reports its own local users too: they are nobody's customers and nobody's business.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_a_routers_local_users_are_left_alone() {
    let running = Running::start(site()).await;
    let attributes: [(u8, &[u8]); 3] = [
        (attribute::ACCT_STATUS_TYPE, &[0, 0, 0, 1]),
        (attribute::USER_NAME, b"local-admin"),
        (attribute::ACCT_SESSION_ID, b"81000007"),
    ];
    let request = client::accounting_request(&attributes, 1, &running.secret).unwrap();
    assert!(running.send_accounting(&request, PATIENCE).is_some());
    running.apply(&site(), 2).await;
    assert!(running.router_hears(SILENCE).is_none());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_tells_what_is() {
    let running = Running::start(site()).await;
    running.log_in(b"demo001", DEMO001, 1).unwrap();
    running.account(1, "81000001", 0, 0).unwrap();
    let body = doctor::fetch_status(running.agent.status()).await.unwrap();
    let report: status::Report = serde_json::from_str(&body).unwrap();
    assert_eq!((report.subscribers, report.sessions), (3, 1));
    assert_eq!(report.counters["accepted"], 1);
    assert!(report.to_string().contains("online       1"));
    running.stop().await;
}

/// B3 B5 B6 over the wire: lost Starts, repeats and late interims end in the same counters.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_in_any_order_ends_the_same() {
    let running = Running::start(site()).await;
    for (status, secs, bytes) in [
        (3, 600, 50),
        (3, 300, 20),
        (2, 700, 60),
        (1, 0, 0),
        (3, 650, 55),
    ] {
        running.account(status, "81000001", secs, bytes).unwrap();
    }
    let overview = running.agent.overview();
    assert!(overview.sessions.open_by_name(b"demo001").is_empty());
    let stored = overview.reader.sessions(start()).unwrap();
    assert_eq!(stored.len(), 1);
    assert_eq!((stored[0].bytes_in, stored[0].secs), (60, 700));
    running.stop().await;
}

const DEMO001: Method<'_> = Method::Pap {
    password: b"demo001",
};
const SILENCE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(5);

/// An agent with a client socket, a pretend router's CoA port and a clock that is moved by hand.
struct Running {
    agent: Agent,
    socket: UdpSocket,
    router: UdpSocket,
    secret: Secret,
    clock: Clock,
    dir: tempfile::TempDir,
    key: SealKey,
    words: Description,
}

/// The site of these tests; the router's CoA port is put in at the start.
fn site() -> Description {
    let package = |name: &str, devices| PackageWords {
        name: name.into(),
        up_kbps: 10_000,
        down_kbps: 20_000,
        devices,
        data_limit: None,
    };
    let subscriber = |name: &str, package: &str, secs| SubscriberWords {
        username: name.into(),
        password: SecretString::from(name),
        package: package.into(),
        paid_until: start().plus(Duration::from_secs(secs)),
        connection: easyisp_shared::wire::down::Connection::Pppoe,
        standing: Standing::Active,
        macs: Vec::new(),
        static_ip: None,
        rate_override: None,
    };
    Description {
        packages: vec![package("basic", 5), package("one", 1)],
        routers: vec![RouterWords {
            name: "tower".into(),
            address: [127, 0, 0, 1].into(),
            source: "127.0.0.0/8".parse().unwrap(),
            secret: SecretString::from("demo-secret"),
            coa_port: 0,
            require_signature: false,
        }],
        subscribers: vec![
            subscriber("demo001", "basic", 1000),
            subscriber("demo021", "basic", 0),
            subscriber("single", "one", 1000),
        ],
        ..Description::default()
    }
}

fn start() -> Timestamp {
    Timestamp::parse("2026-03-01T00:00:00Z").unwrap()
}

impl Running {
    async fn start(mut words: Description) -> Running {
        let router = UdpSocket::bind("127.0.0.1:0").unwrap();
        words.routers[0].coa_port = router.local_addr().unwrap().port();
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::test(start()));
        let key = SealKey::new([3; 32]);
        let agent = given_agent(&dir, &clock, &key, &words).await;
        Running {
            agent,
            socket: UdpSocket::bind("127.0.0.1:0").unwrap(),
            router,
            secret: Secret::new(b"demo-secret"),
            clock,
            dir,
            key,
            words,
        }
    }

    async fn restart(self) -> Running {
        self.agent.stop().await;
        let agent = given_agent(&self.dir, &self.clock, &self.key, &self.words).await;
        Running { agent, ..self }
    }

    async fn stop(self) {
        self.agent.stop().await;
    }

    /// Hands the agent a changed site as the link would.
    async fn apply(&self, words: &Description, version: u64) {
        let mut rows = words.rows(&self.key, &Entropy::seeded(1), version);
        for row in &mut rows {
            // The pretend router's port is not in the words.
            if row.kind == easyisp_shared::wire::DownKind::Router.code() {
                row.version = 0;
            }
        }
        let batch = easyisp_shared::wire::FeedBatch {
            from: version - 1,
            to: version,
            mode: easyisp_shared::wire::FeedMode::Changes,
            last: false,
            digests: Vec::new(),
            records: rows,
        };
        self.agent.feed.apply(batch, Uuid::nil()).await.unwrap();
    }

    /// Hands the agent a command to disconnect `demo001`, good for an hour from `issued`.
    async fn command(&self, number: u128, issued: Timestamp, version: u64) {
        let command = CommandId(Uuid::from_u128(number));
        let down = easyisp_shared::wire::Down::Command(CommandV1 {
            command,
            order: Order::Disconnect(Whom::Username(b"demo001".to_vec())),
            issued,
            expires: issued.plus(Duration::from_secs(3600)),
        });
        let batch = easyisp_shared::wire::FeedBatch {
            from: version - 1,
            to: version,
            mode: easyisp_shared::wire::FeedMode::Changes,
            last: false,
            digests: Vec::new(),
            records: vec![DownRecord {
                kind: down.kind().code(),
                id: command.0,
                version,
                body: Some(down.encode()),
            }],
        };
        self.agent.feed.apply(batch, Uuid::nil()).await.unwrap();
    }

    /// The results of commands, once there are `count` of them.
    async fn results(&self, count: usize) -> Vec<CommandOutcome> {
        let look = async {
            loop {
                let found = self.told(Lane::Results, |up| match up {
                    Up::CommandResult(told) => Some(told.outcome),
                    Up::Accounting(_) | Up::Login(_) | Up::Heartbeat(_) => None,
                });
                if found.len() >= count {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.unwrap()
    }

    fn account_with_class(&self, status: u8, id: &str, class: &[u8]) {
        let attributes: [(u8, &[u8]); 5] = [
            (attribute::ACCT_STATUS_TYPE, &[0, 0, 0, status]),
            (attribute::USER_NAME, b"demo001"),
            (attribute::CALLING_STATION_ID, b"AA:BB:CC:00:00:01"),
            (attribute::ACCT_SESSION_ID, id.as_bytes()),
            (attribute::CLASS, class),
        ];
        let request = client::accounting_request(&attributes, 77, &self.secret).unwrap();
        self.send_accounting(&request, PATIENCE).unwrap();
    }

    fn log_in(&self, name: &[u8], method: Method<'_>, identifier: u8) -> Option<Vec<u8>> {
        self.send_access(&self.access_datagram(name, method, identifier), PATIENCE)
    }

    fn log_in_signed(
        &self,
        method: Method<'_>,
        signature: Signature,
        identifier: u8,
    ) -> Option<Vec<u8>> {
        let login = Login {
            user_name: b"demo001",
            method,
            extra: &[],
            signature,
        };
        let request =
            client::access_request(&login, identifier, &[identifier; 16], &self.secret).unwrap();
        self.send_access(&request, SILENCE)
    }

    fn access_datagram(&self, name: &[u8], method: Method<'_>, identifier: u8) -> Vec<u8> {
        let login = Login {
            user_name: name,
            method,
            extra: &[
                (attribute::SERVICE_TYPE, &[0, 0, 0, 2]),
                (attribute::CALLING_STATION_ID, b"AA:BB:CC:00:00:01"),
            ],
            signature: Signature::MessageAuthenticator,
        };
        let authenticator: [u8; 16] = Entropy::system().bytes();
        client::access_request(&login, identifier, &authenticator, &self.secret).unwrap()
    }

    fn account(&self, status: u8, id: &str, secs: u32, bytes: u32) -> Option<Vec<u8>> {
        let identifier: [u8; 1] = Entropy::system().bytes();
        let datagram = self.accounting_datagram(status, id, secs, bytes, identifier[0]);
        self.send_accounting(&datagram, PATIENCE)
    }

    fn accounting_datagram(
        &self,
        status: u8,
        id: &str,
        secs: u32,
        bytes: u32,
        identifier: u8,
    ) -> Vec<u8> {
        let attributes: [(u8, &[u8]); 6] = [
            (attribute::ACCT_STATUS_TYPE, &[0, 0, 0, status]),
            (attribute::USER_NAME, b"demo001"),
            (attribute::CALLING_STATION_ID, b"AA:BB:CC:00:00:01"),
            (attribute::ACCT_SESSION_ID, id.as_bytes()),
            (attribute::ACCT_SESSION_TIME, &secs.to_be_bytes()),
            (attribute::ACCT_INPUT_OCTETS, &bytes.to_be_bytes()),
        ];
        client::accounting_request(&attributes, identifier, &self.secret).unwrap()
    }

    fn send_access(&self, request: &[u8], within: Duration) -> Option<Vec<u8>> {
        let reply = self.send(request, self.agent.radius_auth(), within)?;
        client::read_answer(&reply, request, &self.secret).unwrap();
        Some(reply)
    }

    fn send_accounting(&self, request: &[u8], within: Duration) -> Option<Vec<u8>> {
        let reply = self.send(request, self.agent.radius_acct(), within)?;
        client::read_answer(&reply, request, &self.secret).unwrap();
        Some(reply)
    }

    fn send(&self, request: &[u8], to: SocketAddr, within: Duration) -> Option<Vec<u8>> {
        self.socket.set_read_timeout(Some(within)).unwrap();
        self.socket.send_to(request, to).unwrap();
        let mut buffer = [0; 4096];
        let (length, _) = self.socket.recv_from(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    }

    /// Reads answers until there are none.
    fn drain(&self) {
        self.socket.set_read_timeout(Some(SILENCE)).unwrap();
        let mut buffer = [0; 4096];
        while self.socket.recv_from(&mut buffer).is_ok() {}
    }

    /// What the pretend router is asked, without an answer.
    fn router_hears(&self, within: Duration) -> Option<(Option<Code>, Vec<u8>)> {
        self.router.set_read_timeout(Some(within)).unwrap();
        let mut buffer = [0; 4096];
        let (length, _) = self.router.recv_from(&mut buffer).ok()?;
        let packet = Packet::parse(&buffer[..length]).unwrap();
        let session = packet.first(attribute::ACCT_SESSION_ID).unwrap_or_default();
        Some((packet.code(), session.to_vec()))
    }

    /// What the pretend router is asked; it answers with an ACK.
    fn router_answers(&self, within: Duration) -> Option<Code> {
        self.router.set_read_timeout(Some(within)).unwrap();
        let mut buffer = [0; 4096];
        let (length, source) = self.router.recv_from(&mut buffer).ok()?;
        let packet = Packet::parse(&buffer[..length]).unwrap();
        let (code, ack) = match packet.code() {
            Some(Code::CoaRequest) => (Code::CoaRequest, Code::CoaAck),
            Some(Code::DisconnectRequest) => (Code::DisconnectRequest, Code::DisconnectAck),
            other => panic!("a router is not asked {other:?}"),
        };
        let answer = crate::radius::builder::Builder::new(
            Vec::new(),
            ack,
            packet.identifier(),
            Signature::MessageAuthenticator,
        )
        .sign_answer(packet.authenticator(), &self.secret);
        self.router.send_to(&answer, source).unwrap();
        Some(code)
    }

    fn outside(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.dir.path().join("outbox.db")).unwrap()
    }

    fn break_disk(&self, sql: &str) {
        let outside = self.outside();
        outside.busy_timeout(Duration::from_secs(5)).unwrap();
        outside.execute_batch(sql).unwrap();
    }

    fn accounting(&self) -> Vec<AccountingStatus> {
        self.told(Lane::Accounting, |up| match up {
            Up::Accounting(told) => Some(told.status),
            Up::Login(_) | Up::CommandResult(_) | Up::Heartbeat(_) => None,
        })
    }

    fn logins(&self) -> Vec<LoginOutcome> {
        self.told(Lane::Results, |up| match up {
            Up::Login(told) => Some(told.outcome),
            Up::Accounting(_) | Up::CommandResult(_) | Up::Heartbeat(_) => None,
        })
    }

    /// Waits until everything handed to the accounting thread so far is committed or refused.
    fn flush(&self) {
        let (done, committed) = std::sync::mpsc::channel();
        let mark = crate::store::Job::Mark {
            name: "flush".into(),
            value: 0,
            done: Box::new(move |_| done.send(()).unwrap()),
        };
        self.agent.overview().outbox.submit(mark).unwrap();
        committed.recv().unwrap();
    }

    fn told<T>(&self, lane: Lane, pick: impl Fn(Up) -> Option<T>) -> Vec<T> {
        self.flush();
        let reader = &self.agent.overview().reader;
        let kept = reader.records(lane.code(), 0, 1000, 1 << 20).unwrap();
        kept.into_iter()
            .filter_map(|kept| pick(Up::decode(kept.record.kind, &kept.record.body).unwrap()))
            .collect()
    }
}

async fn given_agent(
    dir: &tempfile::TempDir,
    clock: &Clock,
    key: &SealKey,
    words: &Description,
) -> Agent {
    let mut config = Config {
        data_dir: dir.path().to_owned(),
        ..Config::default()
    };
    config.radius.auth = ([127, 0, 0, 1], 0).into();
    config.radius.acct = ([127, 0, 0, 1], 0).into();
    config.status.listen = ([127, 0, 0, 1], 0).into();
    let options = AgentOptions {
        config,
        clock: clock.clone(),
        entropy: Entropy::system(),
        source: Source::Described {
            rows: words.rows(key, &Entropy::seeded(1), 1),
            key: key.clone(),
        },
    };
    Agent::start(options).await.unwrap()
}

fn number(packet: &Packet<'_>, kind: u8) -> u32 {
    let value = packet.first(kind).unwrap();
    u32::from_be_bytes(value.try_into().unwrap())
}
