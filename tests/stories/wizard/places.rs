//! Several sites: nobody guesses where a new router will stand; and what is configured is brought up to date.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use easyisp_tests::world::eventually;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::roof::{Roof, both, plain};

#[tokio::test(flavor = "multi_thread")]
async fn of_several_sites_somebody_says_where_a_router_will_stand() -> Result<()> {
    let roof = Roof::open("places").await?;
    let owner = &roof.isp.owner;
    // One site with an agent: that one, though there is another.
    let hill = owner.post("/sites", &json!({"name": "Hill"})).await?;
    let hill = hill["id"].as_str().context("an id")?.to_owned();
    roof.start("First").await?;

    let token = owner
        .post(&format!("/sites/{hill}/join-token"), &json!({}))
        .await?;
    let token = token["token"].as_str().context("a token")?;
    let announce = (Ipv4Addr::new(10, 8, 0, 2), 1814).into();
    let (agent, _) = roof
        .world
        .join_with(token, |config| config.peers.announce = Some(announce))
        .await?;
    let second = json!({"name": "Second"});
    let message = eventually("the other agent has said where it listens", async || {
        let said = owner.post("/wizard/start", &second).await?;
        let id = said["routerId"].as_str().context("an id")?;
        owner
            .call(Method::DELETE, &format!("/wizard/{id}"), None)
            .await?;
        let message = said["message"].as_str().context("a message")?;
        Ok(message.contains("siteId").then_some(message.to_owned()))
    })
    .await?;
    // Who says nothing has the first site, and hears of the other.
    for part in ["10.9.0.2", "Hill", &hill] {
        ensure!(message.contains(part), "{part} in {message}");
    }
    let (status, said) = owner
        .call(Method::POST, "/wizard/enrolment-token", Some(&json!({})))
        .await?;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
    let there = json!({"name": "Second", "siteId": hill});
    let started = owner.post("/wizard/start", &there).await?;
    let message = started["message"].as_str().context("a message")?;
    ensure!(
        message.contains("10.8.0.2") && !message.contains("10.9.0.2"),
        "{message}"
    );
    let id = started["routerId"].as_str().context("an id")?;
    let router = owner.get(&format!("/nas/{id}")).await?;
    assert_eq!(router["siteId"], hill);
    agent.stop().await;
    roof.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changed_is_brought_up_to_date() -> Result<()> {
    let roof = Roof::open("update").await?;
    let owner = &roof.isp.owner;
    let id = roof.bring_up("Tower").await?;
    let [config, hotspot] =
        ["update-config", "update-hotspot"].map(|what| format!("/mikrotik/{id}/{what}"));
    let code = |said: &Value| said["code"].as_str().unwrap_or_default().to_owned();
    for path in [&config, &hotspot] {
        let (status, said) = owner.call(Method::POST, path, Some(&json!({}))).await?;
        assert_eq!(
            (status.as_u16(), code(&said)),
            (422, "NOT_CONFIGURED".to_owned())
        );
    }
    let done = owner
        .post(&format!("/wizard/{id}/configure"), &both())
        .await?;
    assert_eq!(done["success"], true, "{done}");
    let once = plain(&roof.router);

    let meddle = || {
        roof.router.configure(|machine| {
            machine.put_all("/ppp aaa", "interim-update", "1h");
            machine.put_all("/ip hotspot", "disabled", "yes");
        });
    };
    meddle();
    let said = owner.post(&hotspot, &json!({})).await?;
    assert_eq!(said["success"], true, "{said}");
    let state = plain(&roof.router);
    assert_eq!(state["/ip hotspot"], once["/ip hotspot"]);
    ensure!(
        state["/ppp aaa"] != once["/ppp aaa"],
        "only the hotspot's: {state:?}"
    );
    meddle();
    let said = owner.post(&config, &json!({})).await?;
    assert_eq!(said["success"], true, "{said}");
    assert_eq!(plain(&roof.router), once);
    let trail = owner.get("/audit-logs?action=ROUTER_REPAIR").await?;
    assert_eq!(trail["total"], 2, "{trail}");
    roof.close().await
}
