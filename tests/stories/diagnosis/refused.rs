//! The site said no, or would: and what the last login decides.

use anyhow::{Context, Result, ensure};
use easyisp_shared::entitlement::Refusal;
use easyisp_tests::router::session::Usage;
use easyisp_tests::world::{eventually, soon};
use serde_json::json;

use super::{Place, is_refused, later, nothing, shows};
use crate::words::MINUTE;

/// A morning at the help desk: never dialled, hung up, online, mistyped.
#[tokio::test(flavor = "multi_thread")]
async fn what_equipment_does_or_does_not_is_told_apart() -> Result<()> {
    let place = Place::open("helpdesk").await?;
    let zuri = place.customer("zuri").await?;
    let found = place
        .finds(&zuri, "NEVER_ASKED", "Check power, cable")
        .await?;
    assert_eq!(found["online"], false);
    assert_eq!(found["site"]["name"], "Main site");

    let online = place.site.dial("zuri").await.online();
    online.started().await;
    let found = place
        .finds(&zuri, "ONLINE", "Nothing is wrong here")
        .await?;
    assert_eq!(found["online"], true);
    later(&place.world);
    assert!(online.hang_up().await);
    let found = place
        .finds(&zuri, "NOT_ASKING", "Check power, cable")
        .await?;
    ensure!(
        shows(&found, "Went offline at Tower: his equipment hung up"),
        "{found}"
    );
    assert_eq!(found["online"], false);

    // The same device under a name that nobody has, after a reset of his equipment.
    later(&place.world);
    let typed = place.equipment("zuri", "zuri");
    let mac = "02:AB:00:00:00:01";
    typed.mac(mac).dial().await.online().hang_up().await;
    later(&place.world);
    is_refused(place.equipment("zurii", "zuri").mac(mac)).await?;
    let found = place
        .finds(&zuri, "WRONG_USERNAME", "Enter his user name")
        .await?;
    ensure!(
        shows(&found, "\"zurii\" asked at Tower with 02:AB:00:00:00:01"),
        "{found}"
    );
    later(&place.world);
    is_refused(place.equipment("zuri", "wrong")).await?;
    let found = place
        .finds(&zuri, "WRONG_PASSWORD", "Enter his user name and password")
        .await?;
    ensure!(shows(&found, "The password is wrong."), "{found}");
    assert_eq!(
        found["evidence"][0]["at"],
        place.world.clock.now().to_string()
    );

    // What this box says by itself, to a technician beside it while the cloud is gone.
    let status = place.site.agent().status();
    let told = reqwest::get(format!("http://{status}/why/zuri"))
        .await?
        .text()
        .await?;
    ensure!(
        told.contains("WRONG_PASSWORD: His equipment shows a wrong password at Tower."),
        "{told}"
    );
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn money_and_operators_are_told_from_passwords() -> Result<()> {
    let place = Place::open("accounts").await?;
    let amina = place.customer("amina").await?;
    let over = place.world.clock.now().minus(MINUTE).to_string();
    let expiry = format!("/customers/{amina}/expiry");
    place
        .isp
        .owner
        .put(&expiry, &json!({"expiresAt": over}))
        .await?;
    // Nobody dialled yet: he would be refused.
    let found = place
        .comes_to_find(&amina, "EXPIRED", "Take a payment")
        .await?;
    ensure!(shows(&found, "What he paid ended."), "{found}");
    is_refused(place.equipment("amina", "amina")).await?;
    place.finds(&amina, "EXPIRED", "Take a payment").await?;

    // He fails at the password now, and his time is over besides.
    later(&place.world);
    is_refused(place.equipment("amina", "forgotten")).await?;
    let found = place
        .finds(&amina, "WRONG_PASSWORD", "Enter his user name and password")
        .await?;
    ensure!(
        shows(&found, "If he asked now: The paid period is over."),
        "{found}"
    );
    later(&place.world);
    is_refused(place.equipment("amina", "amina")).await?;
    place.finds(&amina, "EXPIRED", "Take a payment").await?;

    // Suspended, no password would help.
    place.post(&amina, "suspend", nothing()).await?;
    place
        .comes_to_find(&amina, "SUSPENDED", "Activate him")
        .await?;
    later(&place.world);
    is_refused(place.equipment("amina", "forgotten")).await?;
    place.finds(&amina, "SUSPENDED", "Activate him").await?;
    place.put(&amina, json!({"status": "DISABLED"})).await?;
    place
        .comes_to_find(&amina, "DISABLED", "Set his status to active")
        .await?;
    place.post(&amina, "activate", nothing()).await?;
    place.comes_to_find(&amina, "WRONG_PASSWORD", "").await?;

    // He pays, and his equipment has not noticed.
    later(&place.world);
    is_refused(place.equipment("amina", "amina")).await?;
    place
        .post(&amina, "recharge", json!({"amount": 1000}))
        .await?;
    let found = place
        .comes_to_find(&amina, "NOT_ASKING", "off and on")
        .await?;
    ensure!(super::says(&found["sentence"], "is mended"), "{found}");
    place.put(&amina, json!({"packageId": null})).await?;
    place
        .comes_to_find(&amina, "NO_PACKAGE", "Assign him a package")
        .await?;
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_used_up_is_told_from_what_is_not_paid() -> Result<()> {
    let place = Place::open("limits").await?;
    let limited = async |limits: serde_json::Value| -> Result<String> {
        let mut package = json!({"name": limits.to_string(), "type": "PPPOE", "price": 1000,
            "downloadSpeed": 10, "uploadSpeed": 10});
        for (field, value) in limits.as_object().context("an object")? {
            package[field] = value.clone();
        }
        let made = place.isp.owner.post("/packages", &package).await?;
        Ok(made["id"].as_str().context("an id")?.to_owned())
    };
    let data = limited(json!({"dataLimit": 50_000_000})).await?;
    let dana = place.customer_on("dana", &data).await?;
    let online = place.site.dial("dana").await.online();
    online.started().await;
    online.transfer(Usage {
        up: 25_000_000,
        down: 25_000_000,
    });
    online.interim().await;
    soon("the quota ends his session", online.ended()).await?;
    later(&place.world);
    is_refused(place.equipment("dana", "dana")).await?;
    place.finds(&dana, "QUOTA", "larger package").await?;

    let time = limited(json!({"terms": {"timeLimit": 10}})).await?;
    let timo = place.customer_on("timo", &time).await?;
    let online = place.site.dial("timo").await.online();
    online.started().await;
    for _ in 0..2 {
        place.world.clock.advance(5 * MINUTE);
        online.interim().await;
    }
    soon("the hours end his session", online.ended()).await?;
    later(&place.world);
    is_refused(place.equipment("timo", "timo")).await?;
    place.finds(&timo, "TIME", "larger package").await?;
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_and_places_are_named() -> Result<()> {
    let place = Place::open("devices").await?;
    let single = place.isp.owner.add_package("Single", 10, 1000, 1).await?;
    let mosi = place.customer_on("mosi", &single).await?;
    let (own, other) = ("02:AB:00:00:00:01", "02:AB:00:00:00:02");
    let online = place
        .equipment("mosi", "mosi")
        .mac(own)
        .dial()
        .await
        .online();
    online.started().await;
    later(&place.world);
    is_refused(place.equipment("mosi", "mosi").mac(other)).await?;
    let found = place
        .finds(&mosi, "TOO_MANY_DEVICES", "End one of his sessions")
        .await?;
    assert_eq!(found["online"], true);
    ensure!(
        shows(&found, &format!("Online at Tower with {own}")),
        "{found}"
    );
    place.world.clock.advance(16 * MINUTE);
    assert!(online.interim().await);
    place.finds(&mosi, "ONLINE", "Nothing is wrong").await?;

    // Locked to the device he has, he comes with another.
    assert!(online.hang_up().await);
    place.site.reported().await?;
    place.post(&mosi, "mac-lock", nothing()).await?;
    place
        .site
        .knows("mosi", "locked", |known| !known.entitlement.macs.is_empty())
        .await?;
    later(&place.world);
    is_refused(place.equipment("mosi", "mosi").mac(other)).await?;
    let found = place
        .finds(&mosi, "WRONG_MAC", "Reset his device lock")
        .await?;
    ensure!(super::says(&found["sentence"], other), "{found}");
    place.post(&mosi, "mac-reset", nothing()).await?;
    place
        .comes_to_find(&mosi, "NOT_ASKING", "off and on")
        .await?;

    // Bound to another router of the site.
    let mast = place
        .isp
        .owner
        .add_router("Mast", "127.9.9.9", "another-secret", 9)
        .await?;
    place.put(&mosi, json!({"nasId": mast})).await?;
    let bound = |known: &easyisp_agent::site::Subscriber| known.entitlement.router.is_some();
    place.site.knows("mosi", "bound", bound).await?;
    later(&place.world);
    is_refused(place.equipment("mosi", "mosi").mac(own)).await?;
    let found = place
        .finds(&mosi, "WRONG_ROUTER", "Change the router in his record")
        .await?;
    ensure!(
        super::says(&found["sentence"], "at Tower, but is bound to Mast"),
        "{found}"
    );
    place.close().await
}

/// Another site of the same provider: there he is nobody.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_at_another_site_is_told_where_he_belongs() -> Result<()> {
    let place = Place::open("sites").await?;
    let second = place
        .isp
        .owner
        .post("/sites", &json!({"name": "Second"}))
        .await?;
    let until = place.world.clock.now().plus(crate::words::DAY).to_string();
    let kofi = json!({"username": "kofi", "password": "kofi", "name": "Kofi", "connectionType": "PPPOE",
        "packageId": place.isp.package, "siteId": second["id"], "expiresAt": until});
    let kofi = place.isp.owner.post("/customers", &kofi).await?;
    let kofi = kofi["id"].as_str().context("an id")?;
    is_refused(place.equipment("kofi", "kofi")).await?;
    place.logged(kofi).await?;

    // His own site has no agent: that comes first.
    let found = place.ask(kofi).await?;
    assert_eq!(found["cause"], "NO_AGENT", "{found}");
    assert_eq!(found["source"], "CLOUD");
    ensure!(
        super::says(&found["action"], "Join a box to Second"),
        "{found}"
    );
    ensure!(shows(&found, "Asked at Tower"), "{found}");
    let site = second["id"].as_str().context("an id")?;
    let token = format!("/sites/{site}/join-token");
    let token = place.isp.owner.post(&token, &nothing()).await?;
    let token = token["token"].as_str().context("a token")?;
    let agent = place.world.join(token).await?;
    let found = place
        .comes_to_find(kofi, "WRONG_ROUTER", "Move him to the site of router Tower")
        .await?;
    assert_eq!(found["site"]["name"], "Second");
    agent.stop().await;
    place.close().await
}

/// Expired, in the walled garden: online, and yet not.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_the_walled_garden_is_told_why() -> Result<()> {
    let place = Place::open("garden").await?;
    let rosa = place.customer("rosa").await?;
    let garden = json!({"walledGarden": true, "gardenReasons": ["EXPIRED"]});
    place.isp.owner.put("/tenant/enforcement", &garden).await?;
    let over = place.world.clock.now().minus(MINUTE).to_string();
    let expiry = format!("/customers/{rosa}/expiry");
    place
        .isp
        .owner
        .put(&expiry, &json!({"expiresAt": over}))
        .await?;
    let known = &place.site.agent().overview().site;
    eventually("the site knows its garden", async || {
        let walled = known.policy().entitlement.refusal == Refusal::WalledGarden;
        Ok(walled.then_some(()))
    })
    .await?;
    let now = place.world.clock.now();
    place
        .site
        .knows("rosa", "the end", |known| {
            known.entitlement.paid_until < now
        })
        .await?;
    let inside = place.site.dial("rosa").await.online();
    inside.started().await;
    let found = place
        .finds(&rosa, "WALLED_GARDEN", "Take a payment")
        .await?;
    assert_eq!(found["online"], true);
    ensure!(
        super::says(&found["sentence"], "The paid period is over."),
        "{found}"
    );

    place
        .post(&rosa, "recharge", json!({"amount": 1000}))
        .await?;
    soon("he leaves the garden", inside.ended()).await?;
    let outside = place.site.dial("rosa").await.online();
    outside.started().await;
    place.finds(&rosa, "ONLINE", "Nothing is wrong").await?;
    place.close().await
}
