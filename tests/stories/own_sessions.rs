//! Where am I signed in? A person sees it, and ends what is not his.

use anyhow::{Context, Result};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::cloud::{Client, PASSWORD, given_cloud};
use crate::operators::{delete, enter, id, sign_in};
use crate::words::{HOUR, MINUTE};

const SESSIONS: &str = "/api/auth/sessions";

#[tokio::test]
async fn a_person_sees_where_he_is_signed_in_and_ends_one() -> Result<()> {
    let ours = given_cloud().await?;
    let here = ours.given_owner("acme").await?;
    ours.clock.advance(HOUR);
    let body = json!({"email": "owner@acme.isp", "password": PASSWORD});
    let anonymous = ours.anonymous();
    let elsewhere = anonymous
        .request(reqwest::Method::POST, "/api/auth/login")
        .header("User-Agent", "Somebody's phone")
        .json(&body);
    let elsewhere = anonymous.send(elsewhere).await?;
    let there = anonymous.with(elsewhere.body["token"].as_str().context("a token")?);

    let shown = sessions(&here).await?;
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[0]["client"], "Somebody's phone");
    assert_eq!(shown[0]["ipAddress"], "127.0.0.1");
    assert_eq!(shown[0]["current"], false);
    assert_eq!(shown[1]["current"], true);
    assert_eq!(sessions(&there).await?[0]["current"], true);
    assert_ne!(shown[1]["lastSeenAt"], shown[1]["createdAt"]);

    ours.clock.advance(10 * MINUTE);
    there.get("/api/auth/me").await?;
    let later = sessions(&here).await?;
    assert_eq!(later[0]["lastSeenAt"], ours.clock.now().to_string());

    let path = format!("{SESSIONS}/{}", id(&shown[0])?);
    let ended = delete(&here, &path).await?;
    assert_eq!(ended.status, StatusCode::OK, "{:?}", ended.body);
    let out = there.get("/api/auth/me").await?;
    assert_eq!(out.status, StatusCode::UNAUTHORIZED);
    assert_eq!(delete(&here, &path).await?.status, StatusCode::NOT_FOUND);
    assert_eq!(sessions(&here).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn every_other_session_ends_at_once_and_nobody_elses() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    enter(&owner, "amina", "ADMIN").await?;
    let here = sign_in(&ours, "amina", PASSWORD).await?;
    let there = sign_in(&ours, "amina", PASSWORD).await?;
    let of_owner = sessions(&owner).await?;

    // Another's session is not there for her, though she is of the same tenant.
    let path = format!("{SESSIONS}/{}", id(&of_owner[0])?);
    assert_eq!(delete(&here, &path).await?.status, StatusCode::NOT_FOUND);

    let ended = delete(&here, SESSIONS).await?;
    assert_eq!(ended.body["success"], true);
    let out = there.get("/api/auth/me").await?;
    assert_eq!(out.status, StatusCode::UNAUTHORIZED);
    for client in [&here, &owner] {
        assert_eq!(client.get("/api/auth/me").await?.status, StatusCode::OK);
    }
    Ok(())
}

async fn sessions(client: &Client) -> Result<Vec<Value>> {
    let answer = client.get(SESSIONS).await?;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    let sessions = answer.body["sessions"].as_array();
    Ok(sessions.context("sessions")?.clone())
}
