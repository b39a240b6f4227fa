//! A configuration that takes longer than a request may: it goes on, the answer says so, and who asks again waits on.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_cloud::routers::{self, Writer};
use easyisp_shared::id::{RouterId, TenantId};
use easyisp_tests::router::Mishap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::roof::{Roof, both};

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_again_waits_for_the_configuration_that_is_under_way() -> Result<()> {
    let roof = Roof::open("waits").await?;
    let owner = &roof.isp.owner;
    let id = roof.bring_up("Tower").await?;
    let path = format!("/wizard/{id}/configure");
    let status = async || owner.get(&format!("/wizard/{id}/status")).await;
    let mut at_once = both();
    at_once["waitSeconds"] = json!(0);

    // The answer comes before anything is known of it, and is no failure.
    let said = owner.post(&path, &at_once).await?;
    assert_eq!(
        (&said["success"], &said["inProgress"]),
        (&json!(false), &json!(true)),
        "{said}"
    );
    let message = said["message"].as_str().context("a message")?;
    ensure!(message.contains("goes on by itself"), "{message}");
    assert_eq!(said["results"], json!([]), "{said}");

    // Again, in whichever state it is: the same one, to its end.
    let done = owner.post(&path, &both()).await?;
    assert_eq!(
        (&done["success"], &done["inProgress"]),
        (&json!(true), &json!(false)),
        "{done}"
    );
    let backup = &done["results"][0];
    ensure!(backup.to_string().contains("easyisp-before-1."), "{done}");

    // While it is under way another choice is refused, and the same one is told how far it is.
    roof.router
        .mishap("/interface/bridge/port/add", Mishap::Reboot);
    let mut other = both();
    other["hotspotConfig"]["interfaces"] = json!(["ether4"]);
    let mut soon = other.clone();
    soon["waitSeconds"] = json!(0);
    owner.post(&path, &soon).await?;
    super::eventually("it is under way", async || {
        Ok((status().await?["step"] == "CONFIGURING").then_some(()))
    })
    .await?;
    let (code, said) = owner.call(Method::POST, &path, Some(&both())).await?;
    assert_eq!(
        (code, &said["code"]),
        (StatusCode::CONFLICT, &json!("WIZARD_RUNNING")),
        "{said}"
    );
    let said = owner.post(&path, &soon).await?;
    assert_eq!(said["inProgress"], true, "{said}");
    let waiting = {
        let (owner, path) = (owner.clone(), path.clone());
        tokio::spawn(async move { owner.post(&path, &other).await })
    };
    let mut last = Instant::now();
    super::eventually("it ends", async || {
        let status = status().await?;
        let waits = status["message"]
            .as_str()
            .is_some_and(|words| words.contains("waits"));
        // The box answers in its own time: the clock goes on at most twice a second.
        if waits && last.elapsed() > Duration::from_millis(500) {
            last = Instant::now();
            roof.world.clock.advance(Duration::from_secs(6));
        }
        Ok((status["step"] == "DONE").then_some(()))
    })
    .await?;
    let done = waiting.await??;
    assert_eq!(done["success"], true, "{done}");

    let (code, said) = owner
        .call(
            Method::POST,
            &path,
            Some(&json!({"serviceType": "both", "waitSeconds": 25})),
        )
        .await?;
    assert_eq!(
        (code, &said["details"][0]["field"]),
        (StatusCode::BAD_REQUEST, &json!("waitSeconds")),
        "{said}"
    );
    roof.close().await
}

/// Who began, and was slower than his claim lasts, gives up nothing that somebody else holds by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_end_of_a_beginning_frees_no_router_that_another_one_holds() -> Result<()> {
    let roof = Roof::open("late").await?;
    let id = roof.bring_up("Tower").await?;
    let db = &roof.world.cloud().app.db;
    let me = roof.isp.owner.get("/auth/me").await?;
    let tenant = TenantId(me["tenantId"].as_str().context("a tenant")?.parse()?);
    let router = RouterId(id.parse()?);
    let (first, second) = (
        Writer::beginning(db.entropy()),
        Writer::beginning(db.entropy()),
    );
    let began = roof.world.clock.now();
    let later = began.plus(Duration::from_secs(301));
    let mut tx = db.begin(tenant).await?;
    let mut claim = async |writer: &Writer, now| routers::claim(&mut tx, router, writer, now).await;
    ensure!(claim(&first, began).await.is_ok());
    ensure!(claim(&second, began).await.is_err(), "two at once");
    ensure!(claim(&second, later).await.is_ok());
    routers::release(&mut tx, router, &first).await?;
    ensure!(routers::idle(&mut tx, router, later).await.is_err());
    // It is written down, and the one that ends late ends now.
    routers::release(&mut tx, router, &second).await?;
    ensure!(
        routers::claim(&mut tx, router, &Writer::Wizard, later)
            .await
            .is_ok()
    );
    routers::release(&mut tx, router, &first).await?;
    routers::release(&mut tx, router, &second).await?;
    let Err(held) = routers::idle(&mut tx, router, later).await else {
        anyhow::bail!("it runs still");
    };
    ensure!(
        held.message().contains("is being configured"),
        "{}",
        held.message()
    );
    tx.rollback().await?;
    roof.close().await
}

/// Nobody waited for the answer: why it was not begun stands in the status, and the router is free.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_after_the_answer_stands_in_the_status() -> Result<()> {
    let roof = Roof::open("unheard").await?;
    let owner = &roof.isp.owner;
    let id = roof.bring_up("Tower").await?;
    let path = format!("/wizard/{id}/configure");
    let mode = |hotspot: &'static str| {
        roof.router
            .configure(|machine| machine.put_all("/system device-mode", "hotspot", hotspot));
    };
    mode("no");
    let mut at_once = both();
    at_once["waitSeconds"] = json!(0);
    let said = owner.post(&path, &at_once).await?;
    assert_eq!(said["inProgress"], true, "{said}");
    let status: Value = super::eventually("it is noted", async || {
        let status = owner.get(&format!("/wizard/{id}/status")).await?;
        Ok((status["step"] == "FAILED").then_some(status))
    })
    .await?;
    let message = status["message"].as_str().context("a message")?;
    ensure!(
        message.starts_with("It was not begun: The router serves no hotspot in its device-mode"),
        "{message}"
    );
    mode("yes");
    let done = owner.post(&path, &both()).await?;
    assert_eq!(done["success"], true, "{done}");

    // What serves goes on serving, whatever else is refused.
    mode("no");
    let said = owner.post(&path, &at_once).await?;
    assert_eq!(said["inProgress"], true, "{said}");
    super::eventually("it is noted beside what serves", async || {
        let status = owner.get(&format!("/wizard/{id}/status")).await?;
        let message = status["message"].as_str().unwrap_or_default();
        let noted = message.starts_with("It was not begun");
        ensure!(status["step"] == "DONE", "{status}");
        Ok(noted.then_some(()))
    })
    .await?;
    roof.close().await
}
