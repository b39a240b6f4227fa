//! A router ends a session by itself; who renews must not be cut off at the end he had before.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_tests::router::subscriber::Method;
use easyisp_tests::scenario::Manners;
use easyisp_tests::world::{Provider, Site, World, eventually};
use serde_json::json;

use crate::words::{DAY, HOUR, MINUTE};

/// F6: after a renewal the router's own timer is raised by CoA and read back. One that acknowledges it and keeps
/// the old end is asked again, in longer and longer pauses, and the session outlives its old end.
#[tokio::test(flavor = "multi_thread")]
async fn a_later_end_that_was_acknowledged_and_not_taken_over_is_asked_for_again() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "later").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let (old, new) = (world.clock.now().plus(HOUR), world.clock.now().plus(DAY));
    let month = json!({"name": "Month", "type": "HOTSPOT", "price": 500, "downloadSpeed": 5,
        "uploadSpeed": 5, "durationUnit": "DAYS", "durationValue": 30, "devices": 1});
    let month = isp.owner.post("/packages", &month).await?;
    let guest = json!({"username": "joyce", "password": "joyce", "name": "Joyce", "connectionType": "HOTSPOT",
        "packageId": month["id"], "expiresAt": old.to_string()});
    let guest = isp.owner.post("/customers", &guest).await?;
    let guest = guest["id"].as_str().context("a customer")?;
    site.knows("joyce", "at all", |_| true).await?;
    let device = site.router.subscriber("joyce", "joyce", Method::Pap);
    let online = device.hotspot([10, 5, 50, 9].into()).dial().await.online();
    online.started().await;
    let timeout = || {
        let session = online.session();
        session.and_then(|session| session.grants.session_timeout)
    };
    assert_eq!(timeout(), Some(3600));
    let grant = || {
        let known = site.agent().overview().sessions.open_by_name(b"joyce");
        known.first().and_then(|online| online.session.grant?.end)
    };
    assert_eq!(grant(), Some(old));

    site.router.manners(Manners::AckWithoutEffect);
    let later = json!({"expiresAt": new.to_string()});
    isp.owner
        .put(&format!("/customers/{guest}/expiry"), &later)
        .await?;
    for times in 1..=3 {
        eventually("the router acknowledges", async || {
            world.clock.advance(SECOND);
            Ok((site.router.counters().acks >= times).then_some(()))
        })
        .await?;
    }
    assert_eq!(
        (timeout(), grant()),
        (Some(3600), Some(old)),
        "nothing was believed"
    );

    site.router.manners(Manners::Obey);
    eventually("the later end", async || {
        world.clock.advance(SECOND);
        Ok((timeout() == Some(24 * 3600)).then_some(()))
    })
    .await?;
    eventually("the later end is known to hold", async || {
        Ok((grant() == Some(new)).then_some(()))
    })
    .await?;
    world.clock.advance(HOUR + MINUTE);
    assert!(online.interim().await);
    assert!(online.session().is_some(), "he paid");

    site.stop().await;
    world.stop().await
}

const SECOND: Duration = Duration::from_secs(1);
