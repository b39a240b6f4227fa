//! A logo and a portrait: taken, made harmless, shown to whoever has the address.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cloud::{Answer, Client, PASSWORD, given_cloud};
use crate::operators::{enter, sign_in};

const PORTRAIT: &str = "/api/auth/profile-picture";
const LOGO: &str = "/api/tenant/logo";

#[tokio::test]
async fn a_picture_is_shown_without_a_token_and_holds_nothing_but_itself() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let mut file = dot()?;
    file.extend(b"<script>alert(1)</script>");
    let answer = upload(&owner, PORTRAIT, "profilePicture", &file).await?;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    let path = answer.body["user"]["profilePicture"]
        .as_str()
        .context("a path")?;
    assert!(path.starts_with("/uploads/"), "{path}");
    assert_eq!(
        owner.get("/api/auth/me").await?.body["profilePicture"],
        path
    );

    let shown = ours.anonymous().get(path).await?;
    assert_eq!(shown.status, StatusCode::OK);
    for (header, value) in [
        ("content-type", "image/png"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "cross-origin"),
    ] {
        assert_eq!(shown.headers[header], value);
    }
    assert!(shown.headers.get("set-cookie").is_none());
    assert!(!shown.body.to_string().contains("script"));

    // The next one replaces it.
    let again = upload(&owner, PORTRAIT, "profilePicture", &dot()?).await?;
    assert_ne!(again.body["user"]["profilePicture"], path);
    let old = ours.anonymous().get(path).await?;
    assert_eq!(old.status, StatusCode::NOT_FOUND);
    let line = owner.get("/api/audit-logs?action=INFO_UPDATE").await?;
    assert_eq!(line.body["total"], 2);
    Ok(())
}

#[tokio::test]
async fn a_logo_is_set_by_who_may_change_settings() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let answer = upload(&owner, LOGO, "logo", &dot()?).await?;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    let logo = answer.body["logoUrl"].as_str().context("a path")?;
    assert_eq!(owner.get("/api/tenant/me").await?.body["logo"], logo);
    let anonymous = ours.anonymous();
    let shown = anonymous.get(logo).await?;
    assert_eq!(shown.status, StatusCode::OK);
    upload(&owner, PORTRAIT, "profilePicture", &dot()?).await?;
    let shown = anonymous.get(logo).await?;
    assert_eq!(shown.status, StatusCode::OK, "a portrait is no logo");

    enter(&owner, "viewer", "VIEWER").await?;
    let viewer = sign_in(&ours, "viewer", PASSWORD).await?;
    let refused = upload(&viewer, LOGO, "logo", &dot()?).await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let own = upload(&viewer, PORTRAIT, "profilePicture", &dot()?).await?;
    assert_eq!(own.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn what_is_no_picture_is_told_so() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";
    for (field, file) in [("logo", svg.as_slice()), ("picture", &dot()?)] {
        let wrong = upload(&owner, LOGO, field, file).await?;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{field}");
        assert_eq!(wrong.body["details"][0]["field"], "logo");
    }
    let large = upload(&owner, LOGO, "logo", &vec![0; 1024 * 1024 + 1]).await?;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(large.code(), "TOO_LARGE");
    let no_form = owner.post(LOGO, &json!({})).await?;
    assert_eq!(no_form.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(owner.get("/api/tenant/me").await?.body["logo"], Value::Null);
    for name in ["../keys/master.key", "ab.png", "zz"] {
        let unknown = ours.anonymous().get(&format!("/uploads/{name}")).await?;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn twenty_pictures_an_hour_are_enough() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    for _ in 0..20 {
        let answer = upload(&owner, LOGO, "logo", &dot()?).await?;
        assert_eq!(answer.status, StatusCode::OK);
    }
    let refused = upload(&owner, LOGO, "logo", &dot()?).await?;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    ours.clock.advance(crate::words::HOUR);
    let answer = upload(&owner, LOGO, "logo", &dot()?).await?;
    assert_eq!(answer.status, StatusCode::OK);
    Ok(())
}

/// One transparent pixel.
fn dot() -> Result<Vec<u8>> {
    const DOT: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";
    Ok(STANDARD.decode(DOT)?)
}

async fn upload(client: &Client, path: &str, field: &str, file: &[u8]) -> Result<Answer> {
    let mut body = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"../../x.svg\"\r\n\
         Content-Type: image/svg+xml\r\n\r\n"
    )
    .into_bytes();
    body.extend(file);
    body.extend(b"\r\n--edge--\r\n");
    let request = client
        .request(Method::POST, path)
        .header("Content-Type", "multipart/form-data; boundary=edge");
    client.send(request.body(body)).await
}
