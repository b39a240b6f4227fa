//! What is decided in the cloud reaches who is online: suspension, the paid end, another package.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use easyisp_shared::entropy::Entropy;
use easyisp_tests::router::session::Cause;
use easyisp_tests::router::subscriber::{Dial, Method};
use easyisp_tests::router::{Router, Settings};
use easyisp_tests::world::{Provider, Site, World, soon};
use serde_json::json;

use crate::words::{DAY, HOUR, MINUTE};

#[tokio::test(flavor = "multi_thread")]
async fn who_is_suspended_is_cut_off_and_who_is_activated_returns() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "strict").await?;
    let site = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    let dalila = isp.add_subscriber("dalila", "254712345630", until).await?;
    site.knows("dalila", "at all", |_| true).await?;
    let online = site.dial("dalila").await.online();
    online.started().await;

    let suspend = format!("/customers/{dalila}/suspend");
    isp.owner.post(&suspend, &json!({})).await?;
    let (cause, _) = soon("the session ends", online.ended()).await?;
    assert_eq!(cause, Cause::AdminReset);
    let obeyed = site
        .router
        .until(|router| (router.counters().acks > 0).then_some(()));
    soon("the Disconnect-Request is answered", obeyed).await?;
    assert!(matches!(site.dial("dalila").await, Dial::Rejected(_)));
    isp.session_becomes("dalila", online.id(), "the end at the API", |row| {
        row["status"] == "completed"
    })
    .await?;

    let activate = format!("/customers/{dalila}/activate");
    isp.owner.post(&activate, &json!({})).await?;
    site.knows("dalila", "as active", |known| {
        known.entitlement.standing == easyisp_shared::entitlement::Standing::Active
    })
    .await?;
    site.dial("dalila").await.online();

    site.stop().await;
    world.stop().await
}

/// A box has an address of its own and the one of its site, which routers ask: what it says leaves from there, for a
/// router believes no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_box_with_two_addresses_speaks_from_the_one_that_was_asked() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "spoken").await?;
    let mut site = Site::prepare(&world, &isp).await?;
    site.configure(|config| {
        for address in [&mut config.radius.auth, &mut config.radius.acct] {
            address.set_ip(Ipv4Addr::UNSPECIFIED.into());
        }
    });
    let (mut auth, mut acct) = (site.asked(), site.accounting());
    for address in [&mut auth, &mut acct] {
        address.set_ip(Ipv4Addr::new(127, 0, 0, 2).into());
    }
    let settings = Settings {
        source: Ipv4Addr::new(127, 0, 0, 5),
        ..Settings::new(site.secret(), auth, acct)
    };
    let router = Router::start_on(settings, world.clock.clone(), Entropy::system()).await?;
    let coa = router.incoming().context("the router takes CoA")?;
    let made = json!({"name": "Mast", "ipAddress": coa.ip(), "sourceNetwork": "127.0.0.5",
        "secret": site.secret(), "coaPort": coa.port()});
    isp.owner.post("/nas", &made).await?;
    site.start_agent().await?;
    let until = world.clock.now().plus(30 * DAY);
    let dalila = isp.add_subscriber("dalila", "254712345630", until).await?;
    site.knows("dalila", "at all", |_| true).await?;
    let subscriber = router.subscriber("dalila", "dalila", Method::MsChapV2);
    let online = subscriber.dial().await.online();
    online.started().await;

    let suspend = format!("/customers/{dalila}/suspend");
    isp.owner.post(&suspend, &json!({})).await?;
    let (cause, _) = soon("the session ends", online.ended()).await?;
    assert_eq!(cause, Cause::AdminReset);
    assert_eq!(router.counters().bad_orders, 0);
    router.stop().await;
    site.stop().await;
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_what_was_paid_ends() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "punctual").await?;
    let site = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(HOUR);
    isp.add_subscriber("esther", "254712345631", until).await?;
    site.knows("esther", "at all", |_| true).await?;
    let online = site.dial("esther").await.online();
    online.started().await;

    for _ in 0..11 {
        world.clock.advance(5 * MINUTE);
        assert!(online.interim().await);
        assert!(online.session().is_some(), "at {}", world.clock.now());
    }
    assert!(matches!(site.dial("esther").await, Dial::Online(_)));
    world.clock.advance(5 * MINUTE);
    soon("the session ends", online.ended()).await?;
    assert!(matches!(site.dial("esther").await, Dial::Rejected(_)));

    site.stop().await;
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_package_changes_the_speed_of_who_is_online() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "faster").await?;
    let site = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    let farid = isp.add_subscriber("farid", "254712345632", until).await?;
    site.knows("farid", "at all", |_| true).await?;
    let online = site.dial("farid").await.online();
    online.started().await;
    let rate = || {
        online
            .session()
            .and_then(|session| session.grants.rate_limit)
    };
    assert_eq!(rate().as_deref(), Some("10M/10M"));

    let faster = isp.owner.add_package("Home 20", 20, 1500, 2).await?;
    let change = format!("/customers/{farid}/package");
    let answer = isp
        .owner
        .put(&change, &json!({"packageId": faster}))
        .await?;
    assert_eq!(answer["package"]["downloadSpeed"], 20, "{answer}");
    let faster = online.becomes(|session| session.grants.rate_limit.as_deref() == Some("20M/20M"));
    soon("the new speed", faster).await?;
    assert!(online.session().is_some(), "nobody was cut off for it");

    site.stop().await;
    world.stop().await
}
