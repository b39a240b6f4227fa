//! Where a tenant wants it, a box that joins waits until an operator has compared its key with the one in front of
//! him, and has nothing of the site before that.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use easyisp_agent::VERSION;
use easyisp_agent::sync::{EnrollError, Identity, enroll, enroll_unless};
use easyisp_shared::wire::enroll::EnrollRefusal;
use easyisp_tests::world::{Provider, World, eventually, soon};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

#[tokio::test(flavor = "multi_thread")]
async fn a_box_waits_until_its_key_is_confirmed() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "careful").await?;
    let switched = isp
        .owner
        .put("/tenant/settings", &json!({"confirmAgents": true}))
        .await?;
    assert_eq!(switched["tenant"]["confirmAgents"], true, "{switched}");
    let sites = isp.owner.get("/sites").await?;
    let site = sites["sites"][0]["id"].as_str().context("a site")?;
    let page = format!("/sites/{site}");
    let token = isp.owner.join_token().await?;
    let folder = world.new_box();

    let (joining, shown) = begin(&world, &token, &folder);
    let fingerprint = soon("the box waits", shown).await??;
    let shown = isp.owner.get(&page).await?;
    assert_eq!(shown["agents"], json!([]), "{shown}");
    assert_eq!(shown["waiting"][0]["fingerprint"], fingerprint, "{shown}");
    let agent = shown["waiting"][0]["id"].as_str().context("an id")?;
    ensure!(!folder.exists(), "nothing of the site is here");

    // Whoever else has the token has another key.
    let cloud = world.agents().to_string();
    let thief = enroll(&cloud, &token, &world.new_box(), VERSION).await;
    ensure!(is_refused(&thief, EnrollRefusal::Token), "{thief:?}");

    let confirm = format!("{page}/agents/{agent}/confirm");
    let (status, answer) = isp.owner.call(Method::POST, &confirm, None).await?;
    assert_eq!(
        status,
        StatusCode::NO_CONTENT,
        "fresh from making a token: {answer}"
    );
    let joined = soon("the box joins", joining).await???;
    assert_eq!(joined.agent.to_string(), agent);
    let shown = isp.owner.get(&page).await?;
    assert_eq!(shown["waiting"], json!([]), "{shown}");
    assert_eq!(shown["agents"][0]["id"], agent, "{shown}");
    let trail = isp.owner.get("/audit-logs?action=AGENT_CONFIRM").await?;
    assert_eq!(trail["total"], 1, "{trail}");
    let (status, _) = isp.owner.call(Method::POST, &confirm, None).await?;
    assert_eq!(status, StatusCode::NOT_FOUND, "it waits no longer");
    world.stop().await
}

/// Sent away, and too late: the token is spent, and the box is told what any stranger is.
#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_is_sent_away_or_confirmed_too_late_does_not_join() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "doubtful").await?;
    isp.owner
        .put("/tenant/settings", &json!({"confirmAgents": true}))
        .await?;
    let sites = isp.owner.get("/sites").await?;
    let site = sites["sites"][0]["id"].as_str().context("a site")?;
    let page = format!("/sites/{site}");

    let (joining, shown) = begin(&world, &isp.owner.join_token().await?, &world.new_box());
    soon("the box waits", shown).await??;
    let agent = waiting(&isp.owner.get(&page).await?)?;
    let revoke = format!("{page}/agents/{agent}/revoke");
    let (status, _) = isp.owner.call(Method::POST, &revoke, None).await?;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let refused = soon("it is sent away", joining).await??;
    ensure!(is_refused(&refused, EnrollRefusal::Token), "{refused:?}");

    let (late, shown) = begin(&world, &isp.owner.join_token().await?, &world.new_box());
    soon("the other one waits", shown).await??;
    let agent = waiting(&isp.owner.get(&page).await?)?;
    world.clock.advance(crate::words::DAY);
    isp.owner.confirm().await?;
    let confirm = format!("{page}/agents/{agent}/confirm");
    eventually("nobody can confirm it any more", async || {
        let (status, _) = isp.owner.call(Method::POST, &confirm, None).await?;
        Ok((status == StatusCode::NOT_FOUND).then_some(()))
    })
    .await?;
    let refused = soon("it is refused", late).await??;
    ensure!(is_refused(&refused, EnrollRefusal::Token), "{refused:?}");
    assert_eq!(isp.owner.get(&page).await?["agents"], json!([]));
    world.stop().await
}

type Joining = JoinHandle<Result<Identity, EnrollError>>;

/// A box begins to join; the fingerprint that it shows as soon as it waits.
fn begin(world: &World, token: &str, folder: &Path) -> (Joining, oneshot::Receiver<String>) {
    let (sender, shown) = oneshot::channel();
    let (cloud, token) = (world.agents().to_string(), token.to_owned());
    let folder = folder.to_owned();
    let joining = tokio::spawn(async move {
        let waits = |fingerprint: &str| {
            let _gone = sender.send(fingerprint.to_owned());
        };
        enroll_unless(&cloud, &token, &folder, VERSION, waits).await
    });
    (joining, shown)
}

fn waiting(site: &Value) -> Result<String> {
    let id = site["waiting"][0]["id"].as_str();
    Ok(id
        .with_context(|| format!("nobody waits: {site}"))?
        .to_owned())
}

fn is_refused(outcome: &Result<Identity, EnrollError>, why: EnrollRefusal) -> bool {
    matches!(outcome, Err(EnrollError::Refused(refusal)) if *refusal == why)
}
