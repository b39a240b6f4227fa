//! A package that keeps its customers from sharing their line.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use easyisp_tests::router::online::Online;
use easyisp_tests::world::{Provider, Site, World, eventually, soon};
use serde_json::json;

use crate::drift::CHOICE;
use crate::words::DAY;

const LIST: &str = "easyisp-anti-sharing";

/// The addresses of a session, and how far what comes to it goes.
fn reach(site: &Site, online: &Online) -> Result<(Vec<String>, u8)> {
    let session = online.session().context("he is online")?;
    let address = session.address;
    Ok((
        site.router.lists_of(address),
        site.router.ttl_towards(address),
    ))
}

/// Whoever has the package meets the router's rule from his login on, a customer without a login from the agent's next
/// look on; when the package says otherwise who is online begins anew. A rule that somebody took away is found and
/// put back.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_to_who_may_not_share_goes_one_hop_and_no_further() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "sharing").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let nas = format!("/nas/{}", site.router_id);
    let script = isp.owner.get(&format!("{nas}/config?{CHOICE}")).await?;
    let script = script["script"].as_str().context("a script")?;
    let imported = site.router.configure(|machine| {
        for (port, kind) in [("ether2", "ether"), ("ether3", "ether"), ("wlan1", "wlan")] {
            machine.put("/interface", &[("name", port), ("type", kind)]);
        }
        machine.import(script)
    });
    imported.map_err(anyhow::Error::msg)?;

    let until = world.clock.now().plus(30 * DAY);
    let neema = isp.add_subscriber("neema", "254712345692", until).await?;
    site.knows("neema", "at all", |_| true).await?;
    let online = site.dial("neema").await.online();
    online.started().await;
    assert_eq!(reach(&site, &online)?, (Vec::new(), 56));

    // The package changes under him.
    let package = format!("/packages/{}", isp.package);
    let shown = isp
        .owner
        .put(&package, &json!({"terms": {"antiSharing": true}}))
        .await?;
    assert_eq!(shown["terms"]["antiSharing"], true, "{shown}");
    soon("he begins anew", online.ended()).await?;
    let online = site.dial("neema").await.online();
    online.started().await;
    assert_eq!(reach(&site, &online)?, (vec![LIST.to_owned()], 1));
    let rate = online
        .session()
        .and_then(|session| session.grants.rate_limit);
    assert_eq!(rate.as_deref(), Some("10M/10M"));

    // He gets another package, whose customers may share, and goes back.
    let other = json!({"name": "Open", "type": "PPPOE", "price": 2000, "downloadSpeed": 10, "uploadSpeed": 10});
    let other = isp.owner.post("/packages", &other).await?;
    let change = async |package: &serde_json::Value| {
        let change = json!({"packageId": package});
        isp.owner
            .put(&format!("/customers/{neema}/package"), &change)
            .await
    };
    change(&other["id"]).await?;
    soon("he begins anew", online.ended()).await?;
    let online = site.dial("neema").await.online();
    online.started().await;
    assert_eq!(reach(&site, &online)?, (Vec::new(), 56));
    change(&json!(isp.package)).await?;
    soon("he begins anew", online.ended()).await?;
    let online = site.dial("neema").await.online();
    online.started().await;
    assert_eq!(reach(&site, &online)?, (vec![LIST.to_owned()], 1));

    // Who logs in nowhere.
    let address = Ipv4Addr::new(10, 77, 0, 9);
    let line = json!({"username": "office", "password": "office", "name": "Office", "phone": "0712345678",
        "connectionType": "STATIC", "packageId": isp.package, "nasId": site.router_id,
        "expiresAt": until.to_string()});
    let line = isp.owner.post("/customers", &line).await?;
    let id = line["id"].as_str().context("an id")?;
    isp.owner
        .post(
            &format!("/customers/{id}/assign-ip"),
            &json!({"ipAddress": address}),
        )
        .await?;
    eventually("his address is in the list", async || {
        Ok((site.router.ttl_towards(address) == 1).then_some(()))
    })
    .await?;

    // Somebody takes the rule away.
    let by_hand = "/ip firewall mangle remove [find where comment=\"easyisp:anti-sharing\"]\n";
    let changed = site.router.configure(|machine| machine.import(by_hand));
    changed.map_err(anyhow::Error::msg)?;
    assert_eq!(reach(&site, &online)?.1, 56);
    let drift = isp.owner.get(&format!("{nas}/drift?{CHOICE}")).await?;
    assert_eq!(drift["fields"][0]["path"], "/ip firewall mangle", "{drift}");
    let mended = isp
        .owner
        .post(&format!("{nas}/drift/repair?{CHOICE}"), &json!({}))
        .await?;
    assert_eq!(mended["isAsWanted"], true, "{mended}");
    assert_eq!(reach(&site, &online)?.1, 1);

    // And back.
    isp.owner.put(&package, &json!({"terms": {}})).await?;
    soon("he begins anew", online.ended()).await?;
    let online = site.dial("neema").await.online();
    online.started().await;
    assert_eq!(reach(&site, &online)?, (Vec::new(), 56));
    eventually(
        "the address without a login is out of the list",
        async || Ok((site.router.ttl_towards(address) == 56).then_some(())),
    )
    .await?;
    ensure!(site.router.lists_of(address) == ["easyisp-allowed"]);
    site.stop().await;
    world.stop().await
}
