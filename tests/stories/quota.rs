//! What a package limits: data, time, fair use, hours; and the walled garden of who may not be online.

use anyhow::{Context, Result};
use easyisp_shared::entitlement::Refusal;
use easyisp_tests::router::online::Online;
use easyisp_tests::router::session::{Cause, Usage};
use easyisp_tests::router::subscriber::Dial;
use easyisp_tests::world::{Provider, Site, World, eventually, soon};
use serde_json::{Value, json};

use crate::words::{DAY, HOUR, MINUTE};

const MEGABYTE: u64 = 1_000_000;

/// A provider whose one customer has a package of 10 Mbit/s with these limits.
struct Place {
    world: World,
    isp: Provider,
    site: Site,
    name: &'static str,
    customer: String,
}

impl Place {
    async fn open(name: &'static str, limits: Value) -> Result<Place> {
        let world = World::start().await?;
        let isp = Provider::sign_up(&world, name).await?;
        let mut package = json!({
            "name": "Limited", "type": "PPPOE", "price": 1000, "downloadSpeed": 10, "uploadSpeed": 10,
        });
        for (field, value) in limits.as_object().context("an object")? {
            package[field] = value.clone();
        }
        let package = isp.owner.post("/packages", &package).await?;
        let package = package["id"].as_str().context("an id")?;
        let site = Site::open(&world, &isp).await?;
        let until = world.clock.now().plus(30 * DAY).to_string();
        let phone = "254712345690";
        let customer = isp.owner.add_customer(name, package, phone, &until).await?;
        site.knows(name, "at all", |_| true).await?;
        Ok(Place {
            world,
            isp,
            site,
            name,
            customer,
        })
    }

    async fn online(&self) -> Online {
        let online = self.site.dial(self.name).await.online();
        online.started().await;
        online
    }

    async fn access(&self) -> Result<Value> {
        let path = format!("/customers/{}/access", self.customer);
        self.isp.owner.get(&path).await
    }

    async fn access_becomes(&self, reason: &str) -> Result<Value> {
        eventually(reason, async || {
            let access = self.access().await?;
            Ok(Some(access).filter(|access| access["reason"] == reason))
        })
        .await
    }

    async fn is_refused(&self) -> bool {
        matches!(self.site.dial(self.name).await, Dial::Rejected(_))
    }

    async fn close(self) -> Result<()> {
        self.site.stop().await;
        self.world.stop().await
    }
}

fn rate(online: &Online) -> Option<String> {
    online
        .session()
        .and_then(|session| session.grants.rate_limit)
}

async fn rate_becomes(online: &Online, rate: &str) -> Result<()> {
    let changed = online.becomes(|session| session.grants.rate_limit.as_deref() == Some(rate));
    soon(&format!("the speed {rate}"), changed).await?;
    Ok(())
}

async fn uses(online: &Online, megabytes: u64) {
    online.transfer(Usage {
        up: megabytes * MEGABYTE / 2,
        down: megabytes * MEGABYTE / 2,
    });
    assert!(online.interim().await || online.session().is_none());
}

/// Ten sessions of a fifth of the quota each: five of them come about.
#[tokio::test(flavor = "multi_thread")]
async fn reconnecting_does_not_renew_a_data_quota() -> Result<()> {
    let place = Place::open("fifths", json!({"dataLimit": 100 * MEGABYTE})).await?;
    for used in [0, 20, 40, 60] {
        let online = place.online().await;
        let left = online
            .session()
            .and_then(|session| session.grants.total_limit);
        assert_eq!(left, Some((100 - used) * MEGABYTE));
        uses(&online, 20).await;
        assert!(online.hang_up().await);
    }
    let fifth = place.online().await;
    uses(&fifth, 20).await;
    let told = fifth.when(|account| account.settled.then_some(()));
    soon("the fifth is cut", told).await?;
    for _ in 0..5 {
        assert!(place.is_refused().await);
    }

    // The cloud counted the same, says the same, and told every site.
    let access = place.access_becomes("QUOTA").await?;
    assert_eq!(access["answer"], "REJECT");
    let all = 100 * MEGABYTE;
    place
        .site
        .knows(place.name, "his usage", |known| known.used.bytes == all)
        .await?;

    place.world.clock.advance(MINUTE);
    let reset = json!({"dataUsed": 0});
    place
        .isp
        .owner
        .put(&format!("/customers/{}", place.customer), &reset)
        .await?;
    place
        .site
        .knows(place.name, "a new count", |known| known.used.bytes == 0)
        .await?;
    place.access_becomes("ENTITLED").await?;
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn fair_use_slows_before_it_cuts() -> Result<()> {
    let step = |after: u64, mbps: u64| json!({"afterBytes": after * MEGABYTE, "downloadSpeed": mbps, "uploadSpeed": mbps});
    let limits =
        json!({"dataLimit": 300 * MEGABYTE, "terms": {"fairUse": [step(50, 4), step(90, 1)]}});
    let place = Place::open("fairly", limits).await?;
    let online = place.online().await;
    assert_eq!(rate(&online).as_deref(), Some("10M/10M"));
    uses(&online, 49).await;
    uses(&online, 1).await;
    rate_becomes(&online, "4M/4M").await?;
    uses(&online, 40).await;
    rate_becomes(&online, "1M/1M").await?;
    assert!(online.hang_up().await);

    let again = place.online().await;
    assert_eq!(
        rate(&again).as_deref(),
        Some("1M/1M"),
        "dialling anew does not help"
    );
    let access = place.access().await?;
    assert_eq!(access["reason"], "ENTITLED");
    eventually("the forecast is slow too", async || {
        Ok((place.access().await?["rateLimit"] == "1M/1M").then_some(()))
    })
    .await?;
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_online_are_spent_over_sessions() -> Result<()> {
    let place = Place::open("hourly", json!({"terms": {"timeLimit": 60}})).await?;
    let first = place.online().await;
    let timeout = |online: &Online| {
        online
            .session()
            .and_then(|session| session.grants.session_timeout)
    };
    assert_eq!(timeout(&first), Some(3600));
    for _ in 0..4 {
        place.world.clock.advance(5 * MINUTE);
        assert!(first.interim().await);
    }
    assert!(first.hang_up().await);
    place.world.clock.advance(HOUR);

    let second = place.online().await;
    assert_eq!(timeout(&second), Some(2400), "time offline is not spent");
    for _ in 0..7 {
        place.world.clock.advance(5 * MINUTE);
        assert!(second.interim().await);
        assert!(second.session().is_some());
    }
    place.world.clock.advance(5 * MINUTE);
    let (cause, _) = soon("the hour is over", second.ended()).await?;
    assert!(
        matches!(cause, Cause::SessionTimeout | Cause::AdminReset),
        "{cause:?}"
    );
    assert!(place.is_refused().await);
    place.access_becomes("TIME").await?;
    place.close().await
}

/// It is eleven in Nairobi when the world begins.
#[tokio::test(flavor = "multi_thread")]
async fn happy_hours_come_and_go_by_the_providers_clock() -> Result<()> {
    let noon = json!({"from": "12:00", "until": "13:00", "downloadSpeed": 40, "uploadSpeed": 40, "freeData": true});
    let limits = json!({"dataLimit": 100 * MEGABYTE, "terms": {"schedule": [noon]}});
    let place = Place::open("happily", limits).await?;
    let online = place.online().await;
    let left = online
        .session()
        .and_then(|session| session.grants.total_limit);
    assert_eq!(left, None, "the router would count free bytes too");
    let hours = async |minutes: u32| {
        for _ in 0..minutes / 5 {
            place.world.clock.advance(5 * MINUTE);
            assert!(online.interim().await);
        }
    };
    hours(55).await;
    assert_eq!(rate(&online).as_deref(), Some("10M/10M"));
    hours(5).await;
    rate_becomes(&online, "40M/40M").await?;
    hours(5).await;
    uses(&online, 500).await;
    hours(50).await;
    assert!(online.session().is_some(), "what he used was free");
    hours(5).await;
    rate_becomes(&online, "10M/10M").await?;

    uses(&online, 101).await;
    soon("data counts again", online.ended()).await?;
    assert!(place.is_refused().await);
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_pays_leaves_the_walled_garden_at_once() -> Result<()> {
    let place = Place::open("garden", json!({})).await?;
    let garden = json!({
        "walledGarden": true, "gardenReasons": ["EXPIRED", "SUSPENDED"], "addressPool": "expired",
        "speed": 2,
    });
    place.isp.owner.put("/tenant/enforcement", &garden).await?;
    let known = &place.site.agent().overview().site;
    eventually("the site knows its garden", async || {
        let walled = known.policy().entitlement.refusal == Refusal::WalledGarden;
        Ok(walled.then_some(()))
    })
    .await?;
    let customer = format!("/customers/{}", place.customer);
    let over = place.world.clock.now().minus(MINUTE).to_string();
    let expiry = format!("{customer}/expiry");
    place
        .isp
        .owner
        .put(&expiry, &json!({"expiresAt": over}))
        .await?;
    place
        .site
        .knows(place.name, "the end", |known| {
            known.entitlement.paid_until < place.world.clock.now()
        })
        .await?;

    let inside = place.online().await;
    let grants = inside.session().context("in the garden")?.grants;
    assert_eq!(grants.address_list.as_deref(), Some("easyisp-garden"));
    assert_eq!(grants.pool.as_deref(), Some("expired"));
    assert_eq!(grants.rate_limit.as_deref(), Some("2M/2M"));
    let access = place.access().await?;
    assert_eq!(
        (&access["answer"], &access["reason"]),
        (&json!("WALLED_GARDEN"), &json!("EXPIRED"))
    );

    let recharge = format!("{customer}/recharge");
    place
        .isp
        .owner
        .post(&recharge, &json!({"amount": 1000}))
        .await?;
    soon("he leaves the garden", inside.ended()).await?;
    let outside = place.online().await;
    assert_eq!(rate(&outside).as_deref(), Some("10M/10M"));
    assert_eq!(
        outside
            .session()
            .and_then(|session| session.grants.address_list),
        None
    );

    // Suspended: in the garden as well, with that reason.
    place
        .isp
        .owner
        .post(&format!("{customer}/suspend"), &json!({}))
        .await?;
    soon("he is stopped", outside.ended()).await?;
    // The order to disconnect him means sessions that began before it.
    place.world.clock.advance(MINUTE);
    let inside = place.online().await;
    assert_eq!(rate(&inside).as_deref(), Some("2M/2M"));
    place.access_becomes("SUSPENDED").await?;
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_and_names_of_the_router_go_into_the_accept() -> Result<()> {
    let terms = json!({"addressPool": "homes", "routerProfile": "fast", "burstSeconds": 10, "burstThreshold": 50});
    let place = Place::open("networks", json!({"burstDownload": 20, "terms": terms})).await?;
    let customer = format!("/customers/{}", place.customer);
    let networks = json!({"routes": ["10.9.0.7/24"], "delegatedIpv6Prefix": "2001:db8:900::/56"});
    place
        .isp
        .owner
        .put(&format!("{customer}/networks"), &networks)
        .await?;
    let known = place
        .site
        .knows(place.name, "his networks", |known| known.networks.is_some())
        .await?;
    let own = known.networks.as_ref().context("networks")?;
    assert_eq!(own.routes.len(), 1);
    assert!(own.delegated_prefix.is_some());

    let online = place.online().await;
    let grants = online.session().context("online")?.grants;
    assert_eq!(
        grants.rate_limit.as_deref(),
        Some("10M/10M 10M/20M 5M/5M 10/10")
    );
    assert_eq!(grants.pool.as_deref(), Some("homes"));
    assert_eq!(grants.group.as_deref(), Some("fast"));
    assert_eq!(grants.routes, ["10.9.0.0/24 0.0.0.0 1"]);
    let delegated = grants
        .delegated_ipv6_prefix
        .map(|prefix| prefix.to_string());
    assert_eq!(delegated.as_deref(), Some("2001:db8:900::/56"));

    let wrong = json!({"routes": ["house"], "ipv6Prefix": "10.0.0.0/8"});
    assert!(
        place
            .isp
            .owner
            .put(&format!("{customer}/networks"), &wrong)
            .await
            .is_err()
    );
    place.close().await
}
