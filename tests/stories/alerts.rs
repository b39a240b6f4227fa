//! What a person must know of sites and routers: told once after it lasted, with an all-clear.

mod behind;
mod flaps;
mod full;
mod measured;
mod told;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::id::TenantId;
use easyisp_shared::time::Clock;
use easyisp_tests::net_snmp::Snmpd;
use easyisp_tests::sms::API_KEY;
use easyisp_tests::world::{PASSWORD, Provider, START, Site, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

const NIGHT: &str = "254712345699";

/// An alert of a router's, for stories that have no hour in which a device brings one about; its id.
pub async fn begin(world: &World, tenant: TenantId, router: &str) -> Result<String> {
    let mut tx = world.db().begin(tenant).await?;
    let id: Uuid = sqlx::query_scalar(
        "insert into alerts (tenant_id, id, rule, severity, site_id, router_id, device, subject, message, raised_at)
         select tenant_id, md5(id::text)::uuid, 'CPU', 'warning', site_id, id, name, '', 'Busy', created_at
           from routers where id = $1
         returning id",
    )
    .bind(router.parse::<Uuid>()?)
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(id.to_string())
}

/// A world whose cloud sends text messages, and somebody who is to be told.
async fn given_watch(name: &str) -> Result<(World, Provider)> {
    let key = tempfile::NamedTempFile::new()?;
    std::fs::write(key.path(), API_KEY)?;
    let world = World::start_with(Clock::test(START), |config| {
        config.sms.api_key_file = Some(key.path().to_owned());
        config.sms.partner_id = Some("1".to_owned());
        config.sms.sender_id = Some("ACME".to_owned());
    })
    .await?;
    let isp = Provider::sign_up(&world, name).await?;
    isp.subscribe(&world).await?;
    let night = json!({"name": "Night watch", "email": format!("night@{name}.example"), "phone": NIGHT,
        "password": PASSWORD, "role": "FIELD_TECH"});
    let night = isp.owner.post("/tenant/operators", &night).await?;
    let notify = json!({"operatorIds": [night["id"]], "sms": "critical", "email": "off"});
    let shown = isp.owner.put("/snmp/alert-notify", &notify).await?;
    assert_eq!(shown["notify"], notify, "{shown}");
    Ok((world, isp))
}

/// Whether the site's box is on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Box {
    On,
    Off,
}

/// Lets half a minute pass. The cloud notes once a second of its own that a box is connected: the clock of a story
/// does not run away from it.
pub async fn pass(world: &World, isp: &Provider, is: Box) -> Result<()> {
    world.clock.advance(Duration::from_secs(30));
    if is == Box::Off {
        tokio::time::sleep(Duration::from_millis(50)).await;
        return Ok(());
    }
    let young = world.clock.now().minus(Duration::from_secs(15)).to_string();
    eventually("the box is heard of", async || {
        let sites = isp.owner.get("/sites").await?;
        let seen = sites["sites"][0]["agents"][0]["lastSeen"].as_str();
        Ok(seen
            .is_some_and(|seen| seen >= young.as_str())
            .then_some(()))
    })
    .await
}

/// Lets minutes pass until the alerts look like that.
pub async fn minutes(
    world: &World,
    isp: &Provider,
    is: Box,
    what: &str,
    like: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let mut last = Value::Null;
    for _ in 0..120 {
        last = isp.owner.get("/snmp/alerts").await?;
        if like(&last) {
            return Ok(last);
        }
        pass(world, isp, is).await?;
    }
    anyhow::bail!("it did not come to be in an hour: {what}: {last}")
}

fn told(world: &World) -> Vec<String> {
    let received = world.outside.sms.received(NIGHT);
    received.into_iter().map(|message| message.text).collect()
}

pub fn names(shown: &Value) -> Vec<&str> {
    let alerts = shown["alerts"].as_array().into_iter().flatten();
    alerts.filter_map(|alert| alert["rule"].as_str()).collect()
}

/// A router is unplugged: after its delay one message, however long it lasts; what is measured of it says nothing
/// meanwhile. Somebody says that he knows. It is back: one all-clear. Then the whole site is away: that is told, and nothing
/// of its router.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_falls_silent_is_told_once_and_so_is_its_all_clear() -> Result<()> {
    let (world, isp) = given_watch("alerted").await?;
    let mut site = Site::open_with_api(&world, &isp).await?;
    for _ in 0..12 {
        pass(&world, &isp, Box::On).await?;
    }
    let shown = isp.owner.get("/snmp/alerts").await?;
    assert_eq!(shown["alerts"], json!([]), "{shown}");

    site.router.unplug(true);
    let shown = minutes(&world, &isp, Box::On, "the router is down", |shown| {
        !names(shown).is_empty()
    })
    .await?;
    let alert = &shown["alerts"][0];
    assert_eq!(names(&shown), ["ROUTER_DOWN"], "{shown}");
    assert_eq!(
        (&alert["severity"], &alert["device"], &alert["nasId"]),
        (&json!("critical"), &json!("Tower"), &json!(site.router_id)),
        "{alert}"
    );
    assert_eq!(
        shown["summary"],
        json!({"critical": 1, "warning": 0, "info": 0})
    );
    let knows = format!(
        "/snmp/alerts/{}/acknowledge",
        alert["id"].as_str().context("an id")?
    );
    let known = isp
        .owner
        .post(&knows, &json!({"note": "The mast is being painted"}))
        .await?;
    ensure!(known["acknowledgedAt"].is_string() && known["acknowledgedBy"].is_string());
    assert_eq!(known["note"], "The mast is being painted");
    for _ in 0..20 {
        pass(&world, &isp, Box::On).await?;
    }
    let texts = told(&world);
    assert_eq!(texts.len(), 1, "{texts:?}");
    ensure!(
        texts[0].starts_with("alerted: CRITICAL: Tower does not answer since "),
        "{texts:?}"
    );

    site.router.unplug(false);
    minutes(&world, &isp, Box::On, "it is over", |shown| {
        names(shown).is_empty()
    })
    .await?;
    let texts = texts_of(&world, 2).await?;
    ensure!(texts[1].contains("OK since"), "{texts:?}");
    let all = isp.owner.get("/snmp/alerts?all=true").await?;
    ensure!(all["alerts"][0]["clearedAt"].is_string(), "{all}");
    assert_eq!(
        all["summary"],
        json!({"critical": 0, "warning": 0, "info": 0})
    );

    site.router.unplug(true);
    site.stop_agent().await;
    minutes(&world, &isp, Box::Off, "the site is away", |shown| {
        !names(shown).is_empty()
    })
    .await?;
    for _ in 0..40 {
        pass(&world, &isp, Box::Off).await?;
    }
    let shown = isp.owner.get("/snmp/alerts").await?;
    assert_eq!(names(&shown), ["SITE_DOWN"], "{shown}");
    let texts = texts_of(&world, 3).await?;
    ensure!(texts[2].contains("Main site"), "{texts:?}");

    site.stop().await;
    world.stop().await
}

/// Waits for so many messages.
async fn texts_of(world: &World, count: usize) -> Result<Vec<String>> {
    eventually("the messages come", async || {
        let texts = told(world);
        Ok((texts.len() >= count).then_some(texts))
    })
    .await
}

/// A real device's memory against limits of the provider's own: over the upper one for a while it is told, between
/// the two it stays, under the lower one it is over. Rules are shown, refused where they cannot be meant, and go back to
/// the usual.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_has_a_delay_and_a_gap_and_is_the_providers_own() -> Result<()> {
    let server = Snmpd::start(&[]).await?;
    let (world, isp) = given_watch("limits").await?;
    let site = Site::open(&world, &isp).await?;
    let settings = json!({"nasId": site.router_id, "community": "public", "version": "v2c",
        "port": server.address.port()});
    isp.owner.post("/snmp/settings", &settings).await?;
    let rules = isp.owner.get("/snmp/alert-rules").await?;
    let usual = |rules: &Value| {
        let all = rules["rules"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|rule| rule["rule"] == "MEMORY")
    };
    let before = usual(&rules).context("a rule")?;
    assert_eq!(before["isDefault"], true);
    let path = "/snmp/alert-rules/MEMORY";
    let wrong = json!({"raise": 50, "clear": 60});
    let (code, answer) = isp.owner.call(Method::PUT, path, Some(&wrong)).await?;
    assert_eq!(code, StatusCode::BAD_REQUEST, "{answer}");
    assert_eq!(answer["details"][0]["field"], "clear", "{answer}");
    let nothing = json!({"enabled": false});
    let (code, _) = isp
        .owner
        .call(Method::PUT, "/snmp/alert-rules/LUCK", Some(&nothing))
        .await?;
    assert_eq!(code, StatusCode::NOT_FOUND);

    // Whatever this machine has in use is more than that.
    let low = json!({"raise": 0.2, "clear": 0.1, "delaySecs": 300, "severity": "critical"});
    isp.owner.put(path, &low).await?;
    let shown = minutes(&world, &isp, Box::On, "memory is full", |shown| {
        names(shown).contains(&"MEMORY")
    })
    .await?;
    let alerts = shown["alerts"].as_array().context("alerts")?;
    let alert = alerts.iter().find(|alert| alert["rule"] == "MEMORY");
    let alert = alert.context("the alert")?.clone();
    ensure!(
        alert["value"].as_f64().is_some_and(|value| value > 0.2),
        "{alert}"
    );
    let texts = texts_of(&world, 1).await?;
    ensure!(texts[0].contains("memory at"), "{texts:?}");

    let gap = json!({"raise": 100, "clear": 0.1});
    isp.owner.put(path, &gap).await?;
    for _ in 0..14 {
        pass(&world, &isp, Box::On).await?;
    }
    let shown = isp.owner.get("/snmp/alerts").await?;
    ensure!(
        shown["alerts"]
            .as_array()
            .is_some_and(|alerts| alerts.iter().any(|shown| shown["id"] == alert["id"])),
        "between the limits it stays: {shown}"
    );
    let high = json!({"raise": 100, "clear": 99.9});
    isp.owner.put(path, &high).await?;
    minutes(&world, &isp, Box::On, "it is over", |shown| {
        !names(shown).contains(&"MEMORY")
    })
    .await?;
    let texts = texts_of(&world, 2).await?;
    ensure!(texts[1].contains("OK since"), "{texts:?}");

    let back = isp.owner.put(path, &json!({"isDefault": true})).await?;
    assert_eq!(usual(&back), Some(before));
    server.stop().await?;
    site.stop().await;
    world.stop().await
}
