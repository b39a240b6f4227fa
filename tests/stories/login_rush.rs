//! A morning on which everybody signs in at once.

use anyhow::{Context, Result};
use reqwest::StatusCode;
use serde_json::json;

use crate::cloud::{PASSWORD, given_cloud_with};

const AT_ONCE: usize = 400;

/// Hashes are made a few at a time and only so many wait: the rest is told to come back, and who is signed
/// in does not notice.
#[tokio::test(flavor = "multi_thread")]
async fn many_who_sign_in_at_once_do_not_keep_others_from_working() -> Result<()> {
    let ours = given_cloud_with(|config| {
        config.limits.address_failures = config.limits.registrations;
    })
    .await?;
    let owner = ours.given_owner("acme").await?;
    let mut rush = tokio::task::JoinSet::new();
    for number in 0..AT_ONCE {
        let client = ours.anonymous();
        let body = json!({"email": format!("nobody{number}@acme.isp"), "password": PASSWORD});
        rush.spawn(async move { client.post("/api/auth/login", &body).await });
    }
    let (mut refused, mut put_off, mut meanwhile) = (0, 0, 0);
    while let Some(answer) = rush.join_next().await {
        let answer = answer??;
        match answer.status {
            StatusCode::UNAUTHORIZED => refused += 1,
            StatusCode::SERVICE_UNAVAILABLE => put_off += 1,
            other => anyhow::bail!("{other}: {:?}", answer.body),
        }
        if !rush.is_empty() && (refused + put_off) % 20 == 0 {
            let working = owner.get("/api/customers").await?;
            assert_eq!(working.status, StatusCode::OK, "{:?}", working.body);
            meanwhile += 1;
        }
    }
    assert_eq!(refused + put_off, AT_ONCE);
    assert!(put_off > 0, "all {AT_ONCE} were let wait");
    assert!(refused > 0 && meanwhile > 0, "{refused}, {meanwhile}");

    let body = json!({"email": "owner@acme.isp", "password": PASSWORD});
    let after = ours.anonymous().post("/api/auth/login", &body).await?;
    assert_eq!(after.status, StatusCode::OK, "{:?}", after.body);
    after.body["token"].as_str().context("a token")?;
    Ok(())
}
