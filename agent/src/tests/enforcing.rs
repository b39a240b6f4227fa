//! What a running session gets to feel: expiry, changes, commands.

use easyisp_shared::entitlement::{DataCounts, Days, Window};
use easyisp_shared::net::RateLimit;
use easyisp_shared::wire::down::{MovingMode, MovingV1};

use super::*;
use crate::site::description::router_id;

/// V9: at the end of what was paid the session is cut, by its own timer.
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

/// Who is renamed while he is online is still who he is: what is changed of him reaches his session.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_customer_is_found_under_the_name_of_before() {
    let running = Running::start(site()).await;
    running.log_in(b"demo001", DEMO001, 1).unwrap();
    running.account(1, "81000001", 0, 0).unwrap();
    let known = running.agent.overview().site.clone();
    let his = known.subscriber(b"demo001").unwrap();
    let sessions = running.agent.overview().sessions.clone();

    assert_eq!(sessions.open_of(his.id, b"renamed").len(), 1);
    assert_eq!(sessions.open_of(his.id, b"demo001").len(), 1);
    let somebody = easyisp_shared::id::CustomerId(uuid::Uuid::from_u128(7));
    assert!(sessions.open_of(somebody, b"renamed").is_empty());

    let words = site();
    running.rename(&words, b"renamed", 2).await;
    let overview = running.agent.overview();
    let knowledge = crate::diagnosis::Knowledge {
        site: &overview.site,
        sessions: &overview.sessions,
        timeline: &overview.timeline,
    };
    let told = crate::diagnosis::facts(knowledge, his.id, b"renamed", start());
    assert_eq!(told.sessions.len(), 1, "the diagnosis finds it too");
    running.stop().await;
}

/// The same for what he uses, and for what he bought: it counts for him, and reaches his session, while the router
/// goes on to call him by the name of before.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_renamed_customer_uses_is_his() {
    let limited = || {
        let mut words = site();
        words.packages[0].data_limit = Some(5000);
        words
    };
    let (running, mut words) = (Running::start(limited()).await, limited());
    running.log_in(b"demo001", DEMO001, 1).unwrap();
    running.account(1, "81000001", 0, 0).unwrap();
    running.rename(&words, b"renamed", 2).await;
    running.account(3, "81000001", 60, 1000).unwrap();

    words.packages[0].up_kbps = 50_000;
    let package = easyisp_shared::wire::DownKind::Package.code();
    let mut rows = words.rows(&running.key, &Entropy::seeded(1), 3);
    rows.retain(|row| row.kind == package);
    running.apply_rows(rows, 3).await;
    assert_eq!(running.router_answers(PATIENCE), Some(Code::CoaRequest));
    running.account(3, "81000001", 120, 6000).unwrap();
    let (code, session) = running.router_hears(PATIENCE).unwrap();
    assert_eq!(code, Some(Code::DisconnectRequest));
    assert_eq!(session, b"81000001");
    running.stop().await;
}

/// What is asked of a router goes by what was known when it was first asked: what came since follows.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_amid_a_change_follows_it() {
    let running = Running::start(site()).await;
    running.log_in(b"demo001", DEMO001, 1).unwrap();
    running.account(1, "81000001", 0, 0).unwrap();

    let mut changed = site();
    changed.packages[0].up_kbps = 50_000;
    running.apply(&changed, 2).await;
    let (code, _) = running.router_hears(PATIENCE).unwrap();
    assert_eq!(code, Some(Code::CoaRequest));
    changed.subscribers[0].standing = Standing::Suspended;
    running.apply(&changed, 3).await;
    assert_eq!(
        running.router_answers(PATIENCE),
        Some(Code::CoaRequest),
        "the second copy"
    );
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

/// What a session was given outlives a restart: a change that came meanwhile is made up for, and a
/// session that has what it should is left alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_hour_that_began_while_the_box_was_off_is_made_up_for() {
    let mut words = site();
    words.subscribers[0].paid_until = start().plus(Duration::from_secs(86_400));
    words.packages[0].schedule = vec![Window {
        days: Days::ALL,
        from_minute: 4 * 60,
        until_minute: 5 * 60,
        rate: Some(RateLimit::mbps(40, 40)),
        data: DataCounts::Yes,
    }];
    let running = Running::start(words).await;
    running.log_in(b"demo001", DEMO001, 1).unwrap();
    running.account(1, "81000001", 0, 0).unwrap();
    let running = running.restart().await;
    assert!(running.router_hears(SILENCE).is_none());

    let running = running.restart_after(Duration::from_secs(4500)).await;
    assert_eq!(running.router_answers(PATIENCE), Some(Code::CoaRequest));
    running.stop().await;
}

/// A router is not told again what it was told before a restart, only what is new: one that takes no
/// changes would lose everybody.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_changes_nothing_for_who_is_online() {
    let running = Running::start(site()).await;
    running.log_in(b"demo001", DEMO001, 1).unwrap();
    running.account(1, "81000001", 0, 0).unwrap();
    let running = running.restart().await;

    let mut changed = site();
    changed.refusal = easyisp_shared::entitlement::Refusal::WalledGarden;
    changed.packages[0].devices += 1;
    running.apply(&changed, 2).await;
    assert!(running.router_hears(SILENCE).is_none(), "all that is his");
    changed.packages[0].up_kbps = 50_000;
    running.apply(&changed, 3).await;
    assert_eq!(running.router_answers(PATIENCE), Some(Code::CoaRequest));
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

/// A router that refuses to end it is asked again, although a look at the session finds nothing wrong with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_under_another_password_is_cut_until_it_ends() {
    let running = Running::start(site()).await;
    running.log_in(b"demo001", DEMO001, 1).unwrap();
    running.account(1, "81000001", 0, 0).unwrap();
    let mut changed = site();
    changed.subscribers[0].password = SecretString::from("another");
    running.apply(&changed, 2).await;
    assert_eq!(running.router_refuses(), Some(Code::DisconnectRequest));
    // Each pause begins when the refusal has arrived.
    let again = (0..20).find_map(|_| {
        running.clock.advance(Duration::from_secs(16));
        running.router_hears(SILENCE)
    });
    let again = again.map(|(code, session)| (code, session.len()));
    assert_eq!(again, Some((Some(Code::DisconnectRequest), 8)));
    running.stop().await;
}

/// The same over a restart, after which nothing that is known says that it is to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_under_another_password_is_cut_after_a_restart() {
    let running = Running::start(site()).await;
    running.log_in(b"demo001", DEMO001, 1).unwrap();
    running.account(1, "81000001", 0, 0).unwrap();
    let mut changed = site();
    changed.subscribers[0].password = SecretString::from("another");
    running.apply(&changed, 2).await;
    assert_eq!(running.router_refuses(), Some(Code::DisconnectRequest));
    let running = running.restart().await;
    assert_eq!(
        running.router_answers(PATIENCE),
        Some(Code::DisconnectRequest)
    );
    running.stop().await;
}

/// Its router does not list it, and reports it again later: it goes on, and is to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_under_another_password_that_comes_back_is_cut() {
    for restarts in [false, true] {
        let mut running = Running::start(site()).await;
        running.log_in(b"demo001", DEMO001, 1).unwrap();
        running.account(1, "81000001", 0, 0).unwrap();
        let mut changed = site();
        changed.subscribers[0].password = SecretString::from("another");
        running.apply(&changed, 2).await;
        assert_eq!(running.router_has_none(), Some(Code::DisconnectRequest));
        let sessions = running.agent.overview().sessions.clone();
        let gone = async {
            while !sessions.open_by_name(b"demo001").is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.unwrap();
        if restarts {
            running = running.restart().await;
        }
        running.clock.advance(Duration::from_secs(200));
        assert!(running.router_hears(SILENCE).is_none(), "it is gone");
        running.account(3, "81000001", 200, 0).unwrap();
        // Before his time is over.
        let again = (0..6).find_map(|_| {
            running.clock.advance(Duration::from_secs(61));
            running.router_hears(SILENCE)
        });
        let again = again.map(|(code, _)| code);
        assert_eq!(again, Some(Some(Code::DisconnectRequest)), "{restarts}");
        running.stop().await;
    }
}

/// An old server decides at the router by the time that a cut is tried again: its password counts, and nobody is cut.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_that_was_begun_is_not_gone_on_with_where_an_old_server_decides() {
    let running = Running::start(site()).await;
    running.log_in(b"demo001", DEMO001, 1).unwrap();
    running.account(1, "81000001", 0, 0).unwrap();
    let mut changed = site();
    changed.subscribers[0].password = SecretString::from("another");
    running.apply(&changed, 2).await;
    assert_eq!(running.router_refuses(), Some(Code::DisconnectRequest));

    let router = router_id("tower");
    let observed = |version, body| DownRecord {
        kind: easyisp_shared::wire::DownKind::Moving.code(),
        id: router.0,
        version,
        body,
    };
    let moving = easyisp_shared::wire::Down::Moving(MovingV1 {
        router,
        mode: MovingMode::Forward,
        address: [127, 0, 9, 8].into(),
        auth_port: 1812,
        acct_port: 1813,
        secret: Vec::new(),
        copy_accounting: false,
    });
    let moving = moving.encode();
    running.apply_rows(vec![observed(3, Some(moving))], 3).await;
    assert!(running.agent.overview().site.is_observed(router));
    for _ in 0..6 {
        running.clock.advance(Duration::from_secs(60));
        assert!(running.router_hears(SILENCE).is_none(), "observed");
    }
    running.apply_rows(vec![observed(4, None)], 4).await;
    let (code, _) = running.router_hears(PATIENCE).unwrap();
    assert_eq!(code, Some(Code::DisconnectRequest));
    running.stop().await;
}

/// A renewal reaches the router as a later end, so that its own timer does not cut a paid session.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_raises_the_end_of_a_running_session() {
    let running = Running::start(site()).await;
    running.log_in(b"demo001", DEMO001, 1).unwrap();
    running.account(1, "81000001", 0, 0).unwrap();

    let mut changed = site();
    let later = start().plus(Duration::from_secs(5000));
    changed.subscribers[0].paid_until = later;
    running.apply(&changed, 2).await;
    assert_eq!(running.router_answers(PATIENCE), Some(Code::CoaRequest));
    running.granted_until(b"demo001", later).await;
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
    let running = running.restart().await;
    assert!(
        running.router_hears(SILENCE).is_none(),
        "a restart ends no visit"
    );

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
    running.account(2, "81000001", 5, 0).unwrap();
    assert_eq!(
        running.results(1).await,
        [CommandOutcome::Done { sessions: 1 }]
    );

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

/// A device that logged in by itself is cut under its address, and by an agent that has not heard that again
/// under no name: under its owner's the router would say that there is no such session.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_not_cut_under_its_owners_name() {
    const DEVICE: &[u8] = b"AA:BB:CC:00:00:01";
    for restarted in [false, true] {
        let mut words = site();
        words.subscribers[0].macs = vec![Mac::new([0xAA, 0xBB, 0xCC, 0, 0, 1])];
        words.subscribers[0].connection = easyisp_shared::wire::down::Connection::Hotspot;
        let mut running = Running::start(words).await;
        let attributes: [(u8, &[u8]); 7] = [
            (attribute::ACCT_STATUS_TYPE, &[0, 0, 0, 1]),
            (attribute::SERVICE_TYPE, &[0, 0, 0, 1]),
            (attribute::USER_NAME, DEVICE),
            (attribute::CALLING_STATION_ID, DEVICE),
            (attribute::CALLED_STATION_ID, b"lobby"),
            (attribute::FRAMED_IP_ADDRESS, &[10, 5, 50, 1]),
            (attribute::ACCT_SESSION_ID, b"80100001"),
        ];
        let request = client::accounting_request(&attributes, 1, &running.secret).unwrap();
        running.send_accounting(&request, PATIENCE).unwrap();
        let open = running.agent.overview().sessions.open_by_name(b"demo001");
        assert_eq!(open.len(), 1);
        if restarted {
            running = running.restart().await;
        }

        running.clock.advance(Duration::from_secs(1001));
        running.router.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0; 4096];
        let (length, _) = running.router.recv_from(&mut buffer).unwrap();
        let order = client::read_order(&buffer[..length], &running.secret).unwrap();
        assert_eq!(order.code(), Some(Code::DisconnectRequest));
        let name = order.first(attribute::USER_NAME);
        assert_eq!(name, (!restarted).then_some(DEVICE));
        running.stop().await;
    }
}
