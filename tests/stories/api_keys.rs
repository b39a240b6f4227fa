//! A program calls in an operator's name, with a part of his rights, until it is told not to.

use anyhow::{Context, Result};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::cloud::{Client, Ours, PASSWORD, given_cloud};
use crate::operators::{delete, enter, id, path_of, sign_in};
use crate::words::{DAY, HOUR};

const KEYS: &str = "/api/api-keys";

#[tokio::test]
async fn a_key_may_what_it_was_made_for_and_nothing_else() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let (made, program) = make(&ours, &owner, &["pppoe:view", "hotspot:view"]).await?;
    let key = made["key"].as_str().context("a key")?;
    assert!(key.starts_with(made["prefix"].as_str().context("a prefix")?));
    assert!(key.starts_with("eisp_"));
    assert_eq!(made["lastUsedAt"], Value::Null);

    assert_eq!(program.get("/api/customers").await?.status, StatusCode::OK);
    let refused = program.get("/api/nas").await?;
    assert_eq!(refused.code(), "PERMISSION_MISSING");
    // Nothing of the person himself.
    let own = json!({"oldPassword": PASSWORD, "newPassword": "four-green-bottles"});
    for answer in [
        program.put("/api/auth/password", &own).await?,
        program.post("/api/auth/refresh", &json!({})).await?,
        program.post("/api/auth/logout", &json!({})).await?,
        program.get("/api/auth/sessions").await?,
    ] {
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{:?}", answer.body);
        assert_eq!(answer.code(), "PERSON_ONLY");
    }

    let list = owner.get(KEYS).await?.body;
    assert_eq!(list["total"], 1);
    assert_eq!(
        list["apiKeys"][0]["lastUsedAt"],
        ours.clock.now().to_string()
    );
    assert_eq!(list["apiKeys"][0]["operatorName"], "acme owner");
    assert!(list["apiKeys"][0].get("key").is_none());
    assert!(!list.to_string().contains(key));
    Ok(())
}

#[tokio::test]
async fn a_key_is_no_stronger_than_who_made_it() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let path = path_of(&enter(&owner, "admin", "ADMIN").await?)?;
    let admin = sign_in(&ours, "admin", PASSWORD).await?;
    let beyond =
        json!({"name": "Books", "permissions": ["settings:licence"], "password": PASSWORD});
    let refused = admin.post(KEYS, &beyond).await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.code(), "BEYOND_YOURS");
    for (field, body) in [
        ("permissions", json!({"name": "Books", "permissions": []})),
        (
            "permissions",
            json!({"name": "Books", "permissions": ["no:such"]}),
        ),
        (
            "permissions",
            json!({"name": "Books", "permissions": ["operators:add"]}),
        ),
        ("name", json!({"permissions": ["sms:view"]})),
        (
            "expiresInDays",
            json!({"name": "Books", "permissions": ["sms:view"], "expiresInDays": 400}),
        ),
        (
            "password",
            json!({"name": "Books", "permissions": ["sms:view"]}),
        ),
    ] {
        let wrong = admin.post(KEYS, &body).await?;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(wrong.body["details"][0]["field"], field);
    }

    let stolen =
        json!({"name": "Books", "permissions": ["sms:view"], "password": "four-green-bottles"});
    assert_eq!(admin.post(KEYS, &stolen).await?.code(), "WRONG_PASSWORD");

    let (mine, program) = make(&ours, &admin, &["routers:view", "settings:general"]).await?;
    assert_eq!(program.get("/api/nas").await?.status, StatusCode::OK);
    // A key makes no keys, though it may read them.
    let more = json!({"name": "More", "permissions": ["routers:view"]});
    assert_eq!(program.post(KEYS, &more).await?.code(), "PERSON_ONLY");
    let itself = format!("{KEYS}/{}", id(&mine)?);
    assert_eq!(delete(&program, &itself).await?.code(), "PERSON_ONLY");

    let less = json!({"removedPermissions": ["routers:view"]});
    owner.put(&path, &less).await?;
    assert_eq!(
        program.get("/api/nas").await?.status,
        StatusCode::FORBIDDEN,
        "it loses what he loses"
    );
    owner.put(&path, &json!({"status": "DISABLED"})).await?;
    let out = program.get(KEYS).await?;
    assert_eq!(out.status, StatusCode::UNAUTHORIZED, "and ends with him");
    Ok(())
}

#[tokio::test]
async fn a_key_ends_when_it_is_revoked_or_its_time_is_over() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    ours.cloud_activates(&owner).await?;
    let (made, revoked) = make(&ours, &owner, &["sms:view", "pppoe:view"]).await?;
    assert_eq!(revoked.get("/api/customers").await?.status, StatusCode::OK);

    let path = format!("{KEYS}/{}", id(&made)?);
    let stranger = ours.given_owner("other").await?;
    assert_eq!(
        delete(&stranger, &path).await?.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(stranger.get(KEYS).await?.body["total"], 0);
    assert_eq!(delete(&owner, &path).await?.body["success"], true);
    let out = revoked.get("/api/customers").await?;
    assert_eq!(out.status, StatusCode::UNAUTHORIZED);
    assert_eq!(delete(&owner, &path).await?.status, StatusCode::NOT_FOUND);

    // Whoever had an account before its password was set by another has nothing of it left.
    let path = path_of(&enter(&owner, "amina", "ADMIN").await?)?;
    let amina = sign_in(&ours, "amina", PASSWORD).await?;
    let (_, left) = make(&ours, &amina, &["sms:view", "pppoe:view"]).await?;
    let reset = owner
        .post(&format!("{path}/reset-password"), &json!({}))
        .await?;
    let temporary = reset.body["temporaryPassword"].as_str();
    let out = left.get("/api/customers").await?;
    assert_eq!(out.status, StatusCode::UNAUTHORIZED);
    // And nobody stays longer by such a password than it is good.
    let amina = sign_in(&ours, "amina", temporary.context("a password")?).await?;
    ours.clock.advance(DAY);
    let renewed = amina.post("/api/auth/refresh", &json!({})).await?;
    let token = renewed.body["token"].as_str().context("a token")?;
    let amina = ours.anonymous().with(token);
    assert_eq!(amina.get("/api/auth/me").await?.status, StatusCode::OK);
    ours.clock.advance(2 * DAY);
    let out = amina.get("/api/auth/me").await?;
    assert_eq!(out.status, StatusCode::UNAUTHORIZED);
    let (_, expired) = make(&ours, &owner, &["sms:view", "pppoe:view"]).await?;

    ours.clock.advance(2 * DAY - HOUR);
    assert_eq!(expired.get("/api/customers").await?.status, StatusCode::OK);
    ours.clock.advance(HOUR);
    let out = expired.get("/api/customers").await?;
    assert_eq!(out.status, StatusCode::UNAUTHORIZED);
    Ok(())
}

/// What a program did is in the trail under its name; the key itself is nowhere.
#[tokio::test]
async fn a_program_is_in_the_trail_and_its_key_in_no_table() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let (made, program) = make(&ours, &owner, &["settings:general"]).await?;
    let settings = json!({"location": "Thika"});
    program.put("/api/tenant/settings", &settings).await?;
    let logs = owner
        .get("/api/audit-logs?action=SETTINGS_UPDATE")
        .await?
        .body;
    let name = logs["logs"][0]["operator"]["name"].as_str();
    assert_eq!(name, Some("acme owner (API key Books)"));

    let key = made["key"].as_str().context("a key")?;
    let mut app = PgConnection::connect_with(&ours.database.app()).await?;
    sqlx::query("select set_config('app.tenant', $1, false)")
        .bind(owner.get("/api/tenant/me").await?.body["id"].as_str())
        .execute(&mut app)
        .await?;
    let rows: Vec<String> = sqlx::query_scalar(
        "select k::text from api_keys k union all select k::text from directory.api_keys k
          union all select a::text from audit a",
    )
    .fetch_all(&mut app)
    .await?;
    assert!(rows.len() >= 4, "{rows:?}");
    assert!(rows.iter().all(|row| !row.contains(&key[11..])));
    Ok(())
}

async fn make(ours: &Ours, owner: &Client, permissions: &[&str]) -> Result<(Value, Client)> {
    let body = json!({"name": "Books", "permissions": permissions, "expiresInDays": 2,
        "password": PASSWORD});
    let made = owner.post(KEYS, &body).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    let key = made.body["key"].as_str().context("a key")?;
    let program = ours.anonymous().with(key);
    Ok((made.body, program))
}
