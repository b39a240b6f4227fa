//! The trail is there to be read: by person, thing, deed and time, page by page and as a file.

use anyhow::{Context, Result};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::cloud::{Client, given_cloud};
use crate::operators::{enter, id, path_of, sign_in};
use crate::words::HOUR;

#[tokio::test]
async fn the_trail_answers_who_what_and_when() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    ours.clock.advance(HOUR);
    let amina = enter(&owner, "amina", "CUSTOMER_CARE").await?;
    let path = path_of(&amina)?;
    ours.clock.advance(HOUR);
    let later = ours.clock.now().to_string();
    owner.put(&path, &json!({"role": "VIEWER"})).await?;
    ours.clock.advance(HOUR);
    sign_in(&ours, "amina", crate::cloud::PASSWORD).await?;

    let all = logs(&owner, "").await?;
    assert_eq!(all["total"], 4, "{all}");
    let actions: Vec<_> = all["logs"]
        .as_array()
        .context("logs")?
        .iter()
        .map(|log| log["action"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(
        actions,
        [
            "LOGIN",
            "OPERATOR_UPDATE",
            "OPERATOR_CREATE",
            "TENANT_CREATE"
        ]
    );
    let update = &all["logs"][1];
    assert_eq!(update["operator"]["name"], "acme owner");
    assert_eq!(update["operator"]["email"], "owner@acme.isp");
    assert_eq!(update["targetName"], "amina");
    assert_eq!(update["targetId"], amina.body["id"]);
    assert_eq!(update["before"]["role"], "CUSTOMER_CARE");
    assert_eq!(update["after"]["role"], "VIEWER");
    assert_eq!(update["ipAddress"], "127.0.0.1");
    assert_eq!(update["timestamp"], later);
    assert!(update["requestId"].is_string());

    let amina_id = id(&amina.body)?;
    for (query, total) in [
        ("?action=LOGIN".to_owned(), 1),
        (format!("?operatorId={amina_id}"), 1),
        (format!("?targetId={amina_id}"), 3),
        ("?targetType=tenant".to_owned(), 1),
        (format!("?from={later}"), 2),
        (format!("?to={later}"), 2),
        (format!("?operatorId={amina_id}&action=LOGOUT"), 0),
    ] {
        assert_eq!(logs(&owner, &query).await?["total"], total, "{query}");
    }
    for (query, field) in [("?action=FLY", "action"), ("?from=yesterday", "from")] {
        let bad = owner.get(&format!("/api/audit-logs{query}")).await?;
        assert_eq!(bad.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(bad.body["details"][0]["field"], field);
    }

    let own = owner
        .get(&format!("{path}/logs?page=1&pageSize=20"))
        .await?;
    assert_eq!(own.body["total"], 1);
    assert_eq!(own.body["pageSize"], 20);
    let line = &own.body["logs"][0];
    assert!(line["targetName"].is_string() && line["details"].is_string());
    Ok(())
}

#[tokio::test]
async fn the_trail_is_read_in_parts_without_end() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    for name in ["one", "two", "three"] {
        enter(&owner, name, "STAFF").await?;
    }
    let mut seen = Vec::new();
    let mut before = String::new();
    loop {
        let part = logs(&owner, &format!("?page=1&pageSize=2{before}")).await?;
        let Some(last) = part["logs"].as_array().and_then(|logs| logs.last()) else {
            break;
        };
        before = format!("&before={}", id(last)?);
        seen.extend(part["logs"].as_array().context("logs")?.clone());
    }
    let whole = logs(&owner, "").await?;
    assert_eq!(Some(&seen), whole["logs"].as_array());
    let far = owner.get("/api/audit-logs?page=51&pageSize=200").await?;
    assert_eq!(far.status, StatusCode::BAD_REQUEST);
    assert_eq!(far.body["details"][0]["field"], "page");
    Ok(())
}

#[tokio::test]
async fn the_trail_as_a_file_holds_no_formula_and_is_in_the_trail() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let mut body = crate::operators::person("amina", "STAFF");
    body["name"] = json!("=HYPERLINK(\"http://evil\")");
    owner.post("/api/tenant/operators", &body).await?;

    let file = owner.get("/api/audit-logs/export").await?;
    assert_eq!(file.status, StatusCode::OK);
    assert_eq!(file.headers["content-type"], "text/csv; charset=utf-8");
    let name = file.headers["content-disposition"].to_str()?;
    assert!(name.contains("audit-acme-networks-"), "{name}");
    let text = file.body.as_str().context("text")?;
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(
        text.contains("\"'=HYPERLINK(\"\"http://evil\"\")\""),
        "{text}"
    );
    let exported = logs(&owner, "?action=AUDIT_EXPORT").await?;
    assert_eq!(exported["logs"][0]["after"]["lines"], 2);

    let viewer = enter(&owner, "viewer", "VIEWER").await?;
    assert_eq!(viewer.status, StatusCode::CREATED);
    let staff = enter(&owner, "staff", "STAFF").await?;
    assert_eq!(staff.status, StatusCode::CREATED);
    let viewer = sign_in(&ours, "viewer", crate::cloud::PASSWORD).await?;
    logs(&viewer, "").await?;
    let staff = sign_in(&ours, "staff", crate::cloud::PASSWORD).await?;
    let refused = staff.get("/api/audit-logs/export").await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    Ok(())
}

/// What one provider's people did is not there for another.
#[tokio::test]
async fn a_trail_is_its_tenants() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let stranger = ours.given_owner("other").await?;
    let path = path_of(&enter(&owner, "amina", "STAFF").await?)?;
    let theirs = stranger.get(&format!("{path}/logs")).await?;
    assert_eq!(theirs.status, StatusCode::NOT_FOUND);
    assert_eq!(logs(&stranger, "").await?["total"], 1);
    let last = logs(&owner, "").await?["logs"][0].clone();
    let nothing = logs(&stranger, &format!("?before={}", id(&last)?)).await?;
    assert_eq!(nothing["total"], 0);
    Ok(())
}

async fn logs(client: &Client, query: &str) -> Result<Value> {
    let answer = client.get(&format!("/api/audit-logs{query}")).await?;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    Ok(answer.body)
}
