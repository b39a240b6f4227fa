//! First logins bind a customer to his devices: the next device is a wrong one until he is freed.

use anyhow::{Result, ensure};
use easyisp_tests::router::subscriber::{Dial, Method};
use easyisp_tests::world::{Provider, Site, World, eventually};
use serde_json::{Value, json};

use crate::words::DAY;

const FIRST: &str = "AA:BB:CC:00:00:01";
const SECOND: &str = "AA:BB:CC:00:00:02";

#[tokio::test(flavor = "multi_thread")]
async fn the_first_device_is_his_until_he_is_freed() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::sign_up(&world, "bound").await?;
    let mut site = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    let otieno = isp.add_subscriber("otieno", "254712345692", until).await?;
    site.knows("otieno", "at all", |_| true).await?;
    binds(&isp, &site, &json!({"bindMacs": 1}), 1).await?;

    // Cut off: the site binds by itself, and remembers it over a restart.
    world.stop_cloud().await?;
    site.cut_off().await?;
    lets_in(&site, FIRST).await?;
    refuses(&site, SECOND).await?;
    site.stop_agent().await;
    site.start_agent().await?;
    refuses(&site, SECOND).await?;
    lets_in(&site, FIRST).await?;
    world.start_cloud().await?;
    site.caught_up().await?;
    site.reported().await?;
    assert_eq!(isp.customer(&otieno).await?["boundMacs"], json!([FIRST]));

    // Freed: the next one is bound, and what was bound before stays free after a restart.
    let reset = format!("/customers/{otieno}/mac-reset");
    isp.owner.post(&reset, &json!({})).await?;
    assert_eq!(isp.customer(&otieno).await?["boundMacs"], json!([]));
    site.knows("otieno", "freed", |known| known.unbound_at.is_some())
        .await?;
    site.stop_agent().await;
    site.start_agent().await?;
    site.caught_up().await?;
    world.clock.advance(std::time::Duration::from_secs(1));
    lets_in(&site, SECOND).await?;
    refuses(&site, FIRST).await?;

    // The package's terms come before the provider's, and the garden shows who has no place where he pays.
    let package = format!("/packages/{}", isp.package);
    let terms = json!({"terms": {"bindMacs": 2}});
    isp.owner.put(&package, &terms).await?;
    eventually("two may be bound", async || {
        let subscriber = site.agent().overview().site.subscriber(b"otieno");
        let package = subscriber.and_then(|known| known.package);
        let package = package.and_then(|id| site.agent().overview().site.package(id));
        Ok(package.filter(|package| package.bind_macs == Some(2)))
    })
    .await?;
    lets_in(&site, FIRST).await?;
    site.reported().await?;
    let bound = isp.customer(&otieno).await?["boundMacs"].take();
    assert_eq!(bound, json!([SECOND, FIRST]));
    let garden = json!({"bindMacs": 1, "walledGarden": true, "gardenReasons": ["WRONG_MAC"]});
    binds(&isp, &site, &garden, 1).await?;
    let third = dial(&site, "AA:BB:CC:00:00:03").await.online();
    let list = third
        .session()
        .and_then(|session| session.grants.address_list);
    assert_eq!(list.as_deref(), Some("easyisp-garden"));

    let wrong = json!({"bindMacs": 11});
    let (status, _) = isp
        .owner
        .call(reqwest::Method::PUT, "/tenant/enforcement", Some(&wrong))
        .await?;
    assert_eq!(status, reqwest::StatusCode::BAD_REQUEST);
    site.stop().await;
    world.stop().await
}

/// Sets how sites treat who may not be online, and waits until the site knows.
async fn binds(isp: &Provider, site: &Site, wanted: &Value, macs: u8) -> Result<()> {
    isp.owner.put("/tenant/enforcement", wanted).await?;
    let gardens = wanted["walledGarden"] == true;
    eventually("the site knows whom to bind", async || {
        let policy = site.agent().overview().site.policy();
        let row = policy.row.as_ref();
        let refusal = easyisp_shared::entitlement::Refusal::WalledGarden;
        let fits = |row: &&easyisp_shared::wire::down::PolicyV1| {
            row.bind_macs == macs && (row.refusal == refusal) == gardens
        };
        Ok(row.filter(fits).map(|_| ()))
    })
    .await
}

async fn dial(site: &Site, mac: &str) -> Dial {
    let line = site.router.subscriber("otieno", "otieno", Method::MsChapV2);
    line.mac(mac).dial().await
}

async fn lets_in(site: &Site, mac: &str) -> Result<()> {
    let online = dial(site, mac).await.online();
    online.started().await;
    ensure!(online.hang_up().await, "the router says goodbye");
    Ok(())
}

async fn refuses(site: &Site, mac: &str) -> Result<()> {
    let dialled = dial(site, mac).await;
    ensure!(matches!(dialled, Dial::Rejected(_)), "{mac}: {dialled:?}");
    Ok(())
}
