//! Accounting from outside: durable before the answer, in any order, once.

use easyisp_shared::ipv6::Prefixes;

use super::*;
use crate::sessions::{Event, Report, SessionKey};

/// V6: what is answered is on disk and in the outbox; a restart finds it.
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

/// A session that another one proved over, while the disk took nothing, is written once it does: nobody
/// else would ever tell its end again.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_could_not_be_written_is_written_later() {
    let running = Running::start(site()).await;
    running.account(1, "81000001", 0, 0).unwrap();
    let began_anew = running.accounting_datagram(1, "81000002", 0, 0, 9);
    running.break_disk(
        "create trigger broken before insert on records begin select raise(abort, 'disk'); end",
    );
    assert!(running.send_accounting(&began_anew, SILENCE).is_none());
    running.break_disk("drop trigger broken");
    assert!(running.send_accounting(&began_anew, PATIENCE).is_some());

    running.clock.advance(Duration::from_secs(60));
    let written = async {
        while running.accounting().len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.unwrap();
    let told = running.accounting();
    assert_eq!(told[2], AccountingStatus::Lost, "{told:?}");
    let running = running.restart().await;
    let open = running.agent.overview().sessions.open_by_name(b"demo001");
    let open: Vec<_> = open
        .iter()
        .map(|online| &*online.session.key.acct_session_id)
        .collect();
    assert_eq!(open, [b"81000002"]);
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

/// Over the wire: lost Starts, repeats and late interims end in the same counters.
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

/// A router that was reset counts from the beginning again: the Class of the Accept tells its sessions from those
/// it had before.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_with_another_class_is_another_session() {
    let running = Running::start(site()).await;
    let classes: [&[u8]; 3] = [b"before", b"after", b""];
    for (class, identifier) in classes.into_iter().zip(1..) {
        let attributes: [(u8, &[u8]); 5] = [
            (attribute::ACCT_STATUS_TYPE, &[0, 0, 0, 2]),
            (attribute::USER_NAME, b"demo001"),
            (attribute::ACCT_SESSION_ID, b"81000001"),
            (attribute::CLASS, class),
            (attribute::ACCT_INPUT_OCTETS, &[0, 0, 0, identifier]),
        ];
        let request = client::accounting_request(&attributes, identifier, &running.secret).unwrap();
        running.send_accounting(&request, PATIENCE).unwrap();
    }
    let stored = running.agent.overview().reader.sessions(start()).unwrap();
    let mut held: Vec<(&[u8], u64)> = stored
        .iter()
        .map(|session| (&*session.key.class, session.bytes_in))
        .collect();
    held.sort_unstable();
    assert_eq!(
        held,
        [(&b""[..], 3), (&b"after"[..], 2), (&b"before"[..], 1)]
    );
    running.stop().await;
}

/// B7: counters above 4 GiB keep all their bits, with gigawords alone too.
#[tokio::test(flavor = "multi_thread")]
async fn counters_keep_all_64_bits() {
    let running = Running::start(site()).await;
    for (id, gigawords, octets, whole) in [
        ("81000001", 1u32, Some(1u32 << 30), 5u64 << 30),
        ("81000002", 0, Some(u32::MAX), (4 << 30) - 1),
        ("81000003", 17 << 6, Some(0), 17 << 38),
        ("81000004", 3, None, 12 << 30),
    ] {
        let (gigawords, octets) = (gigawords.to_be_bytes(), octets.map(u32::to_be_bytes));
        let mut attributes: Vec<(u8, &[u8])> = vec![
            (attribute::ACCT_STATUS_TYPE, &[0, 0, 0, 3]),
            (attribute::USER_NAME, b"demo001"),
            (attribute::ACCT_SESSION_ID, id.as_bytes()),
            (attribute::ACCT_OUTPUT_GIGAWORDS, &gigawords),
        ];
        attributes.extend(
            octets
                .as_ref()
                .map(|octets| (attribute::ACCT_OUTPUT_OCTETS, octets.as_slice())),
        );
        let request = client::accounting_request(&attributes, id.as_bytes()[7], &running.secret);
        running
            .send_accounting(&request.unwrap(), PATIENCE)
            .unwrap();
        let told = running.told(Lane::Accounting, |up| match up {
            Up::Accounting(told) => (told.session == id.as_bytes()).then_some(told.bytes_down),
            Up::Login(_)
            | Up::CommandResult(_)
            | Up::Heartbeat(_)
            | Up::Redemption(_)
            | Up::Device(_)
            | Up::Bind(_)
            | Up::Router(_)
            | Up::Pools(_)
            | Up::Moving(_)
            | Up::LocalSecrets(_)
            | Up::Keepers(_)
            | Up::Metrics(_)
            | Up::PackedMetrics(_)
            | Up::Lines(_)
            | Up::Unlock(_)
            | Up::BroughtUp(_)
            | Up::Logs(_)
            | Up::Configuration(_) => None,
        });
        assert_eq!(told, [whole]);
    }
    running.stop().await;
}

/// Hostile octets in every text end as octets in a column and nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_is_stored_as_it_came() {
    let running = Running::start(site()).await;
    let hostile: [&[u8]; 4] = [
        b"'; drop table sessions; --",
        b"$(reboot) `reboot` ../../etc/passwd",
        &[0xFF, 0xFE, 0x00, 0x80, 0xC3],
        &[b'%'; 253],
    ];
    for (number, text) in hostile.into_iter().enumerate() {
        let attributes: [(u8, &[u8]); 6] = [
            (attribute::ACCT_STATUS_TYPE, &[0, 0, 0, 1]),
            (attribute::USER_NAME, text),
            (attribute::ACCT_SESSION_ID, text),
            (attribute::CLASS, text),
            (attribute::CALLING_STATION_ID, text),
            (attribute::NAS_PORT_ID, text),
        ];
        let request = client::accounting_request(&attributes, number as u8, &running.secret);
        running
            .send_accounting(&request.unwrap(), PATIENCE)
            .unwrap();
        let reply = running.log_in(
            text,
            Method::Pap {
                password: text.get(..100).unwrap_or(text),
            },
            number as u8,
        );
        assert_eq!(
            Packet::parse(&reply.unwrap()).unwrap().code(),
            Some(Code::AccessReject)
        );
    }
    let stored = running.agent.overview().reader.sessions(start()).unwrap();
    let mut names: Vec<&[u8]> = stored.iter().map(|session| &*session.username).collect();
    let mut expected = hostile.to_vec();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
    running.stop().await;
}

/// B11: who a router is, is its address and its secret; what it says of itself is decoration.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_cannot_pose_as_another() {
    let mut words = site();
    let mut other = words.routers[0].clone();
    words.routers[0].source = "127.0.0.1/32".parse().unwrap();
    (other.name, other.source) = ("other".into(), "127.0.0.2/32".parse().unwrap());
    other.address = [127, 0, 0, 2].into();
    other.secret = SecretString::from("other-secret");
    words.routers.push(other);
    let running = Running::start(words).await;
    let attributes: [(u8, &[u8]); 5] = [
        (attribute::ACCT_STATUS_TYPE, &[0, 0, 0, 1]),
        (attribute::USER_NAME, b"demo001"),
        (attribute::ACCT_SESSION_ID, b"81000001"),
        (attribute::NAS_IP_ADDRESS, &[127, 0, 0, 2]),
        (attribute::NAS_IDENTIFIER, b"other"),
    ];
    let own = client::accounting_request(&attributes, 1, &running.secret).unwrap();
    running.send_accounting(&own, PATIENCE).unwrap();
    let stolen = Secret::new(b"other-secret");
    let posing = client::accounting_request(&attributes, 2, &stolen).unwrap();
    assert!(running.send_accounting(&posing, SILENCE).is_none());

    let open = running.agent.overview().sessions.open(|_| true);
    assert_eq!(open.len(), 1);
    assert_eq!(
        open[0].session.key.router,
        crate::site::description::router_id("tower")
    );
    running.stop().await;
}

/// B8: a box that has nothing of what was written before, and whom the cloud tells of it, counts a session of before
/// once.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_before_the_file_counts_once() {
    const QUOTA: u64 = 100 << 20;
    let mut words = site();
    words.packages[0].data_limit = Some(QUOTA);
    let running = Running::start(words).await;
    running.account(1, "81000001", 0, 0).unwrap();
    running.clock.advance(Duration::from_secs(300));
    running.account(3, "81000001", 300, 60 << 20).unwrap();
    let folder = running.dir.path().to_owned();
    let running = running
        .restart_with(|clock| {
            clock.advance(Duration::from_secs(60));
            for name in ["outbox.db", "outbox.db-wal", "outbox.db-shm"] {
                let _absent = std::fs::remove_file(folder.join(name));
            }
        })
        .await;
    running.tell_used(60 << 20, 2).await;
    running.account(3, "81000001", 360, 61 << 20).unwrap();
    let reply = running.log_in(b"demo001", DEMO001, 1).unwrap();
    assert_eq!(reply[0], 2, "39 MiB are left");
    running.account(3, "81000001", 365, 101 << 20).unwrap();
    let reply = running.log_in(b"demo001", DEMO001, 2).unwrap();
    assert_eq!(reply[0], 3, "and counted");
    running.stop().await;
}

/// A router that told of too many sessions hears nothing on a new one, and somebody is told; its customers log in.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_without_end_of_sessions_is_told_of_and_locks_nobody_out() {
    let running = Running::start(site()).await;
    assert!(running.account(1, "81000001", 0, 0).is_some());
    let overview = running.agent.overview();
    let router = overview.site.routers().remove(0);
    let held = overview.sessions.open_by_name(b"demo001").remove(0);
    let mut number = 0u32;
    while overview.sessions.full().is_empty() {
        number += 1;
        let told = Report {
            key: SessionKey {
                acct_session_id: format!("x{number}").into_bytes().into(),
                ..held.session.key.clone()
            },
            event: Event::Start,
            customer: None,
            username: number.to_be_bytes().into(),
            service: held.session.service,
            mac: None,
            framed_ip: None,
            prefixes: Prefixes::default(),
            port: Box::default(),
            at: start(),
            secs: 0,
            bytes_in: 0,
            bytes_out: 0,
            narrow: [false; 2],
        };
        overview.sessions.report(&told, None, start(), |_| {});
    }
    let datagram = running.accounting_datagram(1, "81000002", 0, 0, 9);
    assert!(running.send_accounting(&datagram, SILENCE).is_none());
    assert!(running.account(3, "81000001", 300, 5 << 20).is_some());
    assert!(running.log_in(b"demo001", DEMO001, 1).is_some());
    let told = [AccountingStatus::Start, AccountingStatus::Interim];
    assert_eq!(running.accounting(), told);
    let counted = overview.counters.all();
    assert_eq!(counted.get("sessions_beyond_bound"), Some(&1));

    running.clock.advance(Duration::from_secs(60));
    let told = async {
        let full = || router.condition(running.clock.now())?.full_since;
        while full().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
    running.stop().await;
}
