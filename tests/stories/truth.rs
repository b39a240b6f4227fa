//! What is believed to be online against what is: the pretend router's own list is the oracle (V8).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_agent::sessions::Cause as Why;
use easyisp_tests::scenario::Manners;
use easyisp_tests::world::{Provider, START, Site, World, eventually, soon};
use serde_json::json;

use crate::edge::Edge;
use crate::vouchers::{held, make, phone};
use crate::words::{DAY, MINUTE};

/// The router lost power with everybody online and told nobody: what it does not list is over, at the
/// moment it was last heard of; who dialled again is let in at once and stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_of_hundreds_leaves_the_routers_own_sessions() -> Result<()> {
    let many = if std::env::var_os("EASYISP_TEST_FULL").is_some() {
        500
    } else {
        120
    };
    let edge = Edge::open(many).await?;
    let mut before = Vec::new();
    for number in 0..many {
        before.push(edge.dial(number).await);
    }
    edge.clock.advance(MINUTE);
    for online in &before {
        assert!(online.interim().await);
    }
    edge.clock.advance(MINUTE);
    edge.router.reboot();
    let mut after = Vec::new();
    for number in 0..many / 10 {
        after.push(edge.dial(number).await);
    }
    eventually("the router's own sessions are left", async || {
        edge.clock.advance(SECOND);
        Ok((edge.agent.overview().sessions.count() == after.len()).then_some(()))
    })
    .await?;
    let known = edge.agent.overview().sessions.known_at(edge.router_id());
    for lost in known
        .iter()
        .filter(|online| online.session.closed.is_some())
    {
        let closed = lost.session.closed.context("closed")?;
        assert_eq!(closed.cause, Why::Lost);
        assert_eq!(
            closed.at,
            START.plus(MINUTE),
            "when it was last heard of, not now"
        );
    }
    edge.close().await;
    Ok(())
}

/// B10: the cable between router and agent is out for twenty minutes. Nobody is cut off, nobody is closed;
/// who hung up meanwhile is found by asking once the cable is back.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_minutes_of_silence_end_no_session() -> Result<()> {
    let edge = Edge::open(4).await?;
    let mut all = Vec::new();
    for number in 0..4 {
        all.push(edge.dial(number).await);
    }
    let (leaves, stays) = all.split_last().context("four")?;
    edge.router.unplug(true);
    for minute in 0..20 {
        edge.clock.advance(MINUTE);
        if minute == 10 {
            assert!(!leaves.hang_up().await, "nobody hears of it");
        }
    }
    assert_eq!(
        edge.agent.overview().sessions.count(),
        4,
        "silence is no end"
    );
    assert_eq!(edge.router.counters().orders, 0, "nobody is cut off for it");

    edge.router.unplug(false);
    for online in stays {
        soon("an update is answered", online.interim()).await?;
    }
    eventually("who left is gone, the others stay", async || {
        edge.clock.advance(SECOND);
        Ok((edge.agent.overview().sessions.count() == 3).then_some(()))
    })
    .await?;
    for online in stays {
        assert!(online.session().is_some());
        assert!(online.account().interims_acknowledged > 0);
    }
    assert_eq!(edge.router.counters().orders, 0);
    edge.close().await;
    Ok(())
}

/// Who is online through a secret on the router itself is shown, also where that hides a customer.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_outside_the_system_is_shown() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "outside").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    let lea = isp.add_subscriber("leah", "254712345660", until).await?;
    isp.add_subscriber("mirembe", "254712345661", until).await?;
    site.knows("mirembe", "at all", |_| true).await?;
    let regular = site.dial("mirembe").await.online();
    regular.started().await;
    site.router.dial_locally("leah", "AA:BB:CC:00:00:0A");

    let synced = isp.owner.post("/sessions/sync", &json!({})).await?;
    assert_eq!(synced["success"], true, "{synced}");
    assert_eq!(
        (&synced["closed"], &synced["outside"]),
        (&json!(0), &json!(1)),
        "{synced}"
    );
    let shown = eventually("it is shown", async || {
        let shown = isp.owner.get("/sessions/outside").await?;
        Ok(Some(shown).filter(|shown| shown["total"] == 1))
    })
    .await?;
    let one = &shown["sessions"][0];
    assert_eq!(
        (&one["username"], &one["reason"]),
        (&json!("leah"), &json!("LOCAL"))
    );
    assert_eq!(one["nasName"], "Tower");
    let status = isp
        .owner
        .get(&format!("/customers/{lea}/live-status"))
        .await?;
    assert_eq!(status["isOnline"], true, "{status}");
    assert!(
        status["error"]
            .as_str()
            .unwrap_or_default()
            .contains("not through"),
        "{status}"
    );
    let router = isp.owner.get(&format!("/nas/{}", site.router_id)).await?;
    assert_eq!(
        (&router["routerOsVersion"], &router["status"]),
        (&json!("7.18.2 (stable)"), &json!("ONLINE")),
        "{router}"
    );

    // By the name that the list gives he is taken off the router's own; of ours nobody is.
    let at = format!("/mikrotik/{}", site.router_id);
    let list = isp.owner.get(&format!("{at}/sessions")).await?;
    let rows = list.as_array().context("a list")?;
    ensure!(rows.iter().any(|row| row["id"] == "outside:leah"), "{list}");
    let disconnect = format!("{at}/disconnect");
    let outside = json!({"sessionId": "outside:leah"});
    let said = isp.owner.post(&disconnect, &outside).await?;
    assert_eq!(said["success"], true, "{said}");
    ensure!(
        said["message"]
            .as_str()
            .context("words")?
            .contains("taken off the router's own list"),
        "{said}"
    );
    let list = isp.owner.get(&format!("{at}/sessions")).await?;
    let rows = list.as_array().context("a list")?;
    assert_eq!(
        (rows.len(), &rows[0]["username"]),
        (1, &json!("mirembe")),
        "{list}"
    );
    let again = isp.owner.post(&disconnect, &outside).await?;
    assert_eq!(again["success"], false, "{again}");
    assert!(regular.session().is_some());

    // A router that is heard and lets no agent in is no green one.
    site.router
        .configure(|machine| machine.put_all("/user", "password", "another"));
    site.router.reboot();
    let nas = format!("/nas/{}", site.router_id);
    world.clock.advance(MINUTE);
    eventually("it is shown as wrong", async || {
        isp.owner.post("/sessions/sync", &json!({})).await.ok(); // it may say that the router is away
        Ok((isp.owner.get(&nas).await?["status"] == "ERROR").then_some(()))
    })
    .await?;
    for (status, count) in [("ERROR", 1), ("OFFLINE", 1), ("ONLINE", 0)] {
        let listed = isp.owner.get(&format!("/nas?status={status}")).await?;
        assert_eq!(listed["total"], count, "{status}: {listed}");
    }

    site.stop().await;
    world.stop().await
}

/// `POST /sessions/sync` compares for real: what the router lost without a word is closed, in the cloud too.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_closes_what_the_router_does_not_list() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "synced").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("nialla", "254712345662", until).await?;
    site.knows("nialla", "at all", |_| true).await?;
    let online = site.dial("nialla").await.online();
    online.started().await;
    site.reported().await?;
    world.clock.advance(MINUTE);
    site.router.reboot();
    let synced = isp.owner.post("/sessions/sync", &json!({})).await?;
    assert_eq!(synced["closed"], 1, "{synced}");
    isp.session_becomes("nialla", online.id(), "closed as lost", |row| {
        row["status"] == "completed" && row["terminateCause"] == "Lost"
    })
    .await?;

    site.stop().await;
    world.stop().await
}

const SECOND: Duration = Duration::from_secs(1);

/// A voucher's user stands on the router's list by his code, and here by another name: the list is no proof that
/// he left, does not tell the code, and is where he is cut, also by an agent that has just begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_on_the_list_is_its_users_session() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "coded").await?;
    let mut site = Site::open_with_api(&world, &isp).await?;
    let batch = make(&isp, 1).await?;
    held(&site, 1).await?;
    let code = &batch.codes[0];
    site.router.manners(Manners::Ignore);
    let online = phone(&site, 1, &format!("V-{code}"), code)
        .dial()
        .await
        .online();
    online.started().await;
    for restarted in [false, true] {
        if restarted {
            site.stop_agent().await;
            site.start_agent().await?;
            site.caught_up().await?;
        }
        world.clock.advance(120 * SECOND);
        let synced = isp.owner.post("/sessions/sync", &json!({})).await?;
        assert_eq!(
            (&synced["success"], &synced["closed"], &synced["outside"]),
            (&json!(true), &json!(0), &json!(0)),
            "{synced}"
        );
    }
    site.reported().await?; // he is a customer once his site has told of him
    let disconnect = format!("/customers/{}/disconnect", batch.ids[0]);
    let answer = isp.owner.post(&disconnect, &json!({})).await?;
    assert_eq!(answer["message"], "1 session was ended.");
    soon("the session ends", online.ended()).await?;
    assert_eq!(site.router.counters().api_removals, 1);
    site.stop().await;
    world.stop().await
}
