//! A customer whose package lets him roam: known at every site, and at all of them together with no more devices
//! than he may have.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_tests::router::online::Online;
use easyisp_tests::router::session::Cause;
use easyisp_tests::router::subscriber::Method;
use easyisp_tests::world::{Provider, Site, World, eventually, soon};
use serde_json::json;

use crate::words::DAY;

/// Two devices of one at two sites: the one that came last is ended, once the first was heard of after that, with
/// the reason in the trail. While the first is only believed to be there nobody is ended; nor where two are allowed, or
/// one moves from site to site.
#[tokio::test(flavor = "multi_thread")]
async fn the_surplus_across_sites_is_ended_once_it_is_proved() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "roaming").await?;
    isp.subscribe(&world).await?;
    let main = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    let jo = isp.add_subscriber("joyce", "254712345650", until).await?;
    main.knows("joyce", "at home", |_| true).await?;

    // The second site comes later, and learns who roams; whoever does not is no business of it.
    let hill = isp.owner.post("/sites", &json!({"name": "Hill"})).await?;
    let hill = hill["id"].as_str().context("a site")?.to_owned();
    let away = Site::open_at(&world, &isp, &hill, "Mast").await?;
    ensure!(away.agent().overview().site.subscriber(b"joyce").is_none());
    let path = format!("/packages/{}", isp.package);
    let roams = json!({"devices": 1, "terms": {"roams": true}});
    isp.owner.put(&path, &roams).await?;
    away.knows("joyce", "away from home", |_| true).await?;

    let phone = device(&main, "02:00:00:00:00:01").await;
    phone.started().await;
    main.reported().await?;
    world.clock.advance(Duration::from_secs(60));
    let laptop = device(&away, "02:00:00:00:00:02").await;
    laptop.started().await;
    away.reported().await?;
    eventually("the cloud knows of both", async || {
        Ok((isp.sessions_of("joyce").await?.len() == 2).then_some(()))
    })
    .await?;

    // The lease is over; the first was not heard of since.
    for _ in 0..20 {
        world.clock.advance(Duration::from_secs(15));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ensure!(laptop.session().is_some(), "nobody is ended on hearsay");
    ensure!(phone.interim().await, "an answer");
    main.reported().await?;
    let mut ordered = false;
    for _ in 0..20 {
        let trail = isp
            .owner
            .get("/audit-logs?action=CUSTOMER_DISCONNECT")
            .await?;
        ordered |= trail["logs"][0].is_object();
        if ordered {
            break;
        }
        world.clock.advance(Duration::from_secs(15));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ensure!(ordered, "nobody was to be ended");
    let (cause, _) = soon("what came last is ended", laptop.ended()).await?;
    assert_eq!(cause, Cause::AdminReset);
    ensure!(phone.session().is_some(), "who came first stays");
    let trail = isp
        .owner
        .get("/audit-logs?action=CUSTOMER_DISCONNECT")
        .await?;
    let line = &trail["logs"][0];
    assert_eq!(line["targetId"], json!(jo), "{trail}");
    let details = line["details"].as_str().unwrap_or_default();
    ensure!(details.contains("at several sites"), "{line}");
    let why = isp.owner.get(&format!("/customers/{jo}/diagnosis")).await?;
    ensure!(
        why["evidence"].to_string().contains("at several sites"),
        "{why}"
    );

    // Two are allowed: both stay.
    isp.owner.put(&path, &json!({"devices": 2})).await?;
    eventually("the site knows", async || {
        let known = away.agent().overview().site.subscriber(b"joyce");
        Ok(known.map(drop))
    })
    .await?;
    let laptop = device(&away, "02:00:00:00:00:02").await;
    laptop.started().await;
    away.reported().await?;
    for _ in 0..30 {
        world.clock.advance(Duration::from_secs(15));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ensure!(phone.interim().await && laptop.interim().await);
    main.reported().await?;
    for _ in 0..10 {
        world.clock.advance(Duration::from_secs(15));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ensure!(phone.session().is_some() && laptop.session().is_some());

    // Not any more.
    isp.owner
        .put(&path, &json!({"terms": {"roams": false}}))
        .await?;
    away.knows_nobody("joyce").await?;
    main.knows("joyce", "still at home", |_| true).await?;

    away.stop().await;
    main.stop().await;
    world.stop().await
}

/// A device of hers goes online at a site.
async fn device(site: &Site, mac: &str) -> Online {
    let subscriber = site.router.subscriber("joyce", "joyce", Method::MsChapV2);
    subscriber.mac(mac).dial().await.online()
}
