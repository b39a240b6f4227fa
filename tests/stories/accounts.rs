//! Accounts: registering, signing in, staying signed in, and being shut out.

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::Result;
use easyisp_cloud::auth::Email;
use easyisp_cloud::db::Kind;
use easyisp_cloud::tenants;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::cloud::{Client, Ours, PASSWORD, given_cloud, given_cloud_with, registration};

#[tokio::test]
async fn a_registration_makes_a_whole_tenant_and_signs_its_owner_in() -> Result<()> {
    let ours = given_cloud().await?;
    let anonymous = ours.anonymous();
    let answer = anonymous
        .post("/api/auth/register", &registration("acme"))
        .await?;
    assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
    let user = &answer.body["user"];
    assert_eq!(user["email"], "owner@acme.isp");
    assert_eq!(user["role"], "SUPER_ADMIN");
    assert_eq!(user["addedPermissions"], json!([]));
    assert!(user["tenantId"].is_string());
    assert!(user.get("profilePicture").is_none());

    let owner = anonymous.with(answer.body["token"].as_str().unwrap());
    let tenant = owner.get("/api/tenant/me").await?.body;
    assert_eq!(tenant["name"], "acme-networks");
    assert_eq!(tenant["status"], "TRIAL");
    assert_eq!(tenant["walletBalance"], 0);
    assert_eq!(tenant["operators"], 1);
    assert_eq!(tenant["activeUsers"], 0);

    let sites = owner.get("/api/sites").await?.body;
    assert_eq!(sites["total"], 1);
    assert_eq!(sites["sites"][0]["name"], "Main site");
    let mut tx = ours
        .cloud
        .app
        .db
        .begin(user["tenantId"].as_str().unwrap().parse()?)
        .await?;
    let (accounts, policies): (i64, i64) = sqlx::query_as(
        "select (select count(*) from accounts), (select count(*) from feed where kind = $1)",
    )
    .bind(i16::try_from(Kind::Policy.code())?)
    .fetch_one(&mut *tx)
    .await?;
    assert!(accounts > 5, "the chart of accounts is there");
    assert_eq!(policies, 1, "the first site knows its policy");
    Ok(())
}

#[tokio::test]
async fn an_address_has_one_account_however_it_is_spelt() -> Result<()> {
    let ours = given_cloud().await?;
    ours.given_owner("acme").await?;
    let mut again = registration("acme");
    again["email"] = json!(" OWNER@Acme.isp ");
    let answer = ours.anonymous().post("/api/auth/register", &again).await?;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(answer.code(), "EMAIL_TAKEN");
    Ok(())
}

#[tokio::test]
async fn a_bad_registration_is_told_field_by_field() -> Result<()> {
    let ours = given_cloud().await?;
    for (field, value) in [
        ("password", json!("short")),
        ("password", json!("password2024!")),
        ("email", json!("nobody")),
        ("name", json!("x")),
        ("businessName", Value::Null),
        ("businessName", json!(7)),
    ] {
        let mut body = registration("acme");
        body[field] = value;
        let answer = ours.anonymous().post("/api/auth/register", &body).await?;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{field}");
        assert_eq!(answer.code(), "INVALID_FIELD");
        assert_eq!(answer.body["details"][0]["field"], field);
    }
    Ok(())
}

#[tokio::test]
async fn signing_in_and_out() -> Result<()> {
    let ours = given_cloud().await?;
    ours.given_owner("acme").await?;
    let owner = login(&ours, "owner@acme.isp", PASSWORD).await?;
    let me = owner.get("/api/auth/me").await?;
    assert_eq!(me.body["email"], "owner@acme.isp");

    let out = owner.post("/api/auth/logout", &json!({})).await?;
    assert_eq!(out.body["success"], true);
    let after = owner.get("/api/auth/me").await?;
    assert_eq!(after.status, StatusCode::UNAUTHORIZED);
    assert_eq!(after.code(), "UNAUTHORIZED");
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_answer_alike() -> Result<()> {
    let ours = given_cloud().await?;
    ours.given_owner("acme").await?;
    let wrong = try_login(&ours, "owner@acme.isp", "three-green-bottle").await?;
    let unknown = try_login(&ours, "nobody@acme.isp", "three-green-bottle").await?;
    for answer in [&wrong, &unknown] {
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.code(), "BAD_CREDENTIALS");
    }
    assert_eq!(wrong.body["message"], unknown.body["message"]);
    Ok(())
}

#[tokio::test]
async fn guessing_is_slowed_down_and_never_locks_for_good() -> Result<()> {
    let ours = given_cloud_with(|config| {
        config.limits.account_failures = NonZeroU32::new(3).unwrap();
    })
    .await?;
    ours.given_owner("acme").await?;
    for _ in 0..3 {
        let wrong = try_login(&ours, "owner@acme.isp", "not-the-password").await?;
        assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    }
    let refused = try_login(&ours, "owner@acme.isp", PASSWORD).await?;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers["retry-after"], "30");

    ours.clock.advance(Duration::from_secs(31));
    login(&ours, "owner@acme.isp", PASSWORD).await?;
    Ok(())
}

#[tokio::test]
async fn a_token_ends_after_seven_days() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    ours.cloud_activates(&owner).await?;
    ours.clock.advance(Duration::from_secs(7 * 86_400 - 1));
    assert_eq!(owner.get("/api/auth/me").await?.status, StatusCode::OK);
    ours.clock.advance(Duration::from_secs(1));
    assert_eq!(
        owner.get("/api/auth/me").await?.status,
        StatusCode::UNAUTHORIZED
    );
    Ok(())
}

/// Two tabs may refresh at once; ten seconds later the old token is nothing.
#[tokio::test]
async fn a_refreshed_token_replaces_the_old_one() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let one = owner.post("/api/auth/refresh", &json!({})).await?;
    let other = owner.post("/api/auth/refresh", &json!({})).await?;
    for answer in [one, other] {
        let next = owner.with(answer.body["token"].as_str().unwrap());
        assert_eq!(next.get("/api/auth/me").await?.status, StatusCode::OK);
    }
    ours.clock.advance(Duration::from_secs(10));
    assert_eq!(
        owner.get("/api/auth/me").await?.status,
        StatusCode::UNAUTHORIZED
    );
    Ok(())
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions_and_a_wrong_old_one_is_no_401() -> Result<()> {
    let ours = given_cloud().await?;
    let here = ours.given_owner("acme").await?;
    let there = login(&ours, "owner@acme.isp", PASSWORD).await?;
    let change = |old: &str, new: &str| json!({"oldPassword": old, "newPassword": new});

    let wrong = here
        .put(
            "/api/auth/password",
            &change("wrong-password", "four-green-bottles"),
        )
        .await?;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(wrong.code(), "WRONG_PASSWORD");
    let weak = here
        .put("/api/auth/password", &change(PASSWORD, "qwertyuiop12"))
        .await?;
    assert_eq!(weak.body["details"][0]["field"], "newPassword");

    let right = here
        .put(
            "/api/auth/password",
            &change(PASSWORD, "four-green-bottles"),
        )
        .await?;
    assert_eq!(right.body["success"], true);
    assert_eq!(here.get("/api/auth/me").await?.status, StatusCode::OK);
    assert_eq!(
        there.get("/api/auth/me").await?.status,
        StatusCode::UNAUTHORIZED
    );
    login(&ours, "owner@acme.isp", "four-green-bottles").await?;
    Ok(())
}

#[tokio::test]
async fn the_owner_of_an_expired_tenant_may_come_back_and_nothing_else() -> Result<()> {
    let ours = given_cloud().await?;
    ours.given_owner("acme").await?;
    ours.clock.advance(Duration::from_secs(7 * 86_400));
    let owner = login(&ours, "owner@acme.isp", PASSWORD).await?;
    let me = owner.get("/api/tenant/me").await?;
    assert_eq!(me.status, StatusCode::OK);
    assert_eq!(me.body["status"], "EXPIRED");
    let refused = owner.get("/api/sites").await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.code(), "TENANT_EXPIRED");

    ours.cloud_activates(&owner).await?;
    assert_eq!(owner.get("/api/sites").await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn a_suspended_tenant_is_out_at_once_on_every_route() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let mut admin = PgConnection::connect_with(&ours.database.app()).await?;
    let tenant = owner.get("/api/tenant/me").await?.body["id"].clone();
    let tenant: uuid::Uuid = tenant.as_str().unwrap().parse()?;
    sqlx::query("select set_config('app.tenant', $1::text, false)")
        .bind(tenant.to_string())
        .execute(&mut admin)
        .await?;
    sqlx::query("update tenants set status = 'SUSPENDED'")
        .execute(&mut admin)
        .await?;

    for path in ["/api/tenant/me", "/api/auth/me", "/api/sites"] {
        let refused = owner.get(path).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(refused.code(), "TENANT_SUSPENDED");
    }
    let refused = try_login(&ours, "owner@acme.isp", PASSWORD).await?;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    Ok(())
}

/// H9: a fresh install knows nobody; the first account is made by a person with a password of his own.
#[tokio::test]
async fn a_fresh_install_has_no_account() -> Result<()> {
    let ours = given_cloud().await?;
    let mut app = PgConnection::connect_with(&ours.database.app()).await?;
    let (logins, sessions): (i64, i64) = sqlx::query_as(
        "select (select count(*) from directory.logins), (select count(*) from directory.sessions)",
    )
    .fetch_one(&mut app)
    .await?;
    assert_eq!((logins, sessions), (0, 0));
    Ok(())
}

#[tokio::test]
async fn the_platforms_people_share_a_tenant_that_nobody_else_has() -> Result<()> {
    let ours = given_cloud().await?;
    let app = &ours.cloud.app;
    let mut made = Vec::new();
    for name in ["first", "second"] {
        let email = Email::parse(&format!("{name}@platform.isp")).unwrap();
        let hash = app
            .sign_in
            .new_password("password", &PASSWORD.into(), &email)
            .await;
        let hash = hash.map_err(|error| error.into_cause())?;
        let now = ours.clock.now();
        let owner = tenants::create_platform_owner(&app.db, &app.secrets, name, &email, &hash, now);
        made.push(owner.await.map_err(|error| error.into_cause())?);
    }
    assert_eq!(made[0].tenant, made[1].tenant);
    let owner = login(&ours, "second@platform.isp", PASSWORD).await?;
    let tenant = owner.get("/api/tenant/me").await?.body;
    assert_eq!(tenant["businessName"], "Platform");
    assert_eq!(tenant["status"], "ACTIVE");
    Ok(())
}

#[tokio::test]
async fn settings_may_be_emptied_but_not_the_name() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let full = json!({"businessName": "Acme Fibre", "email": "office@acme.isp",
                      "location": "Thika", "phone": "0712 345 678", "unknown": 1});
    let answer = owner.put("/api/tenant/settings", &full).await?;
    assert_eq!(answer.body["success"], true);
    assert_eq!(answer.body["tenant"]["location"], "Thika");
    let emptied = json!({"businessName": "", "email": "", "location": "", "phone": null});
    let tenant = owner.put("/api/tenant/settings", &emptied).await?.body["tenant"].clone();
    assert_eq!(tenant["businessName"], "Acme Fibre");
    assert_eq!(tenant["email"], "office@acme.isp");
    assert_eq!(tenant["location"], Value::Null);
    assert_eq!(tenant["phone"], Value::Null);
    let bad = owner
        .put("/api/tenant/settings", &json!({"email": "nowhere"}))
        .await?;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    Ok(())
}

/// A tenant's colour is one, is kept and shown, and is in the trail.
#[tokio::test]
async fn a_tenant_has_a_colour() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let me = owner.get("/api/tenant/me").await?.body;
    assert_eq!(me["primaryColor"], Value::Null);
    for wrong in [
        "blue",
        "#0f62f",
        "#0f62fe0",
        "#12345g",
        "#fff;} body{display:none",
    ] {
        let refused = json!({ "primaryColor": wrong });
        let refused = owner.put("/api/tenant/settings", &refused).await?;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{wrong}");
        assert_eq!(refused.body["details"][0]["field"], "primaryColor");
    }
    let blue = json!({"primaryColor": "#0f62fe"});
    let answer = owner.put("/api/tenant/settings", &blue).await?;
    assert_eq!(answer.body["tenant"]["primaryColor"], "#0F62FE");
    ours.clock.advance(Duration::from_secs(1));
    let other = json!({"location": "Thika"});
    owner.put("/api/tenant/settings", &other).await?;
    ours.clock.advance(Duration::from_secs(1));
    let me = owner.get("/api/tenant/me").await?.body;
    assert_eq!(me["primaryColor"], "#0F62FE", "unchanged by another change");
    let none = json!({"primaryColor": ""});
    let answer = owner.put("/api/tenant/settings", &none).await?;
    assert_eq!(answer.body["tenant"]["primaryColor"], Value::Null);
    let trail = owner
        .get("/api/audit-logs?action=SETTINGS_UPDATE&sortOrder=asc")
        .await?;
    let changes: Vec<_> = trail.body["logs"].as_array().unwrap().iter().collect();
    assert_eq!(changes.len(), 3);
    assert_eq!(changes[0]["before"]["primaryColor"], Value::Null);
    assert_eq!(changes[0]["after"]["primaryColor"], "#0F62FE");
    assert_eq!(changes[2]["after"]["primaryColor"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_tenants_clock_is_its_own_and_its_sites_are_told() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let me = owner.get("/api/tenant/me").await?.body;
    assert_eq!(me["timeZone"], "Africa/Nairobi");
    assert_eq!(me["currency"], "KES");
    let tenant = me["id"].as_str().unwrap().parse()?;
    let told = async || -> Result<i64> {
        let mut tx = ours.cloud.app.db.begin(tenant).await?;
        let version = sqlx::query_scalar("select max(version) from feed where kind = $1");
        let version = version.bind(i16::try_from(Kind::Policy.code())?);
        Ok(version.fetch_one(&mut *tx).await?)
    };
    let before = told().await?;
    let moved = json!({"timeZone": "africa/lagos"});
    let answer = owner.put("/api/tenant/settings", &moved).await?;
    assert_eq!(answer.body["tenant"]["timeZone"], "Africa/Lagos");
    assert!(told().await? > before);
    let nowhere = json!({"timeZone": "Mars/Olympus"});
    let wrong = owner.put("/api/tenant/settings", &nowhere).await?;
    assert_eq!(wrong.body["details"][0]["field"], "timeZone");

    // The books have days and a currency: both stay once there is money.
    let shillings = json!({"currency": "ugx"});
    let answer = owner.put("/api/tenant/settings", &shillings).await?;
    assert_eq!(answer.body["tenant"]["currency"], "UGX");
    let wrong = owner
        .put("/api/tenant/settings", &json!({"currency": "Shilling"}))
        .await?;
    assert_eq!(wrong.body["details"][0]["field"], "currency");
    let subscriber = json!({"username": "imani", "password": "imani", "name": "Imani",
        "connectionType": "PPPOE"});
    let subscriber = owner.post("/api/customers", &subscriber).await?;
    let back = json!({"currency": "KES"});
    let refused = owner.put("/api/tenant/settings", &back).await?;
    assert_eq!(refused.code(), "BOOKS_BEGUN");
    let path = format!(
        "/api/customers/{}/recharge",
        subscriber.body["id"].as_str().unwrap()
    );
    owner.post(&path, &json!({"amount": 5})).await?;
    let home = json!({"timeZone": "Africa/Nairobi"});
    let refused = owner.put("/api/tenant/settings", &home).await?;
    assert_eq!(refused.code(), "BOOKS_BEGUN");
    let same = json!({"timeZone": "Africa/Lagos", "currency": "UGX", "location": "Jinja"});
    let answer = owner.put("/api/tenant/settings", &same).await?;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    Ok(())
}

async fn try_login(ours: &Ours, email: &str, password: &str) -> Result<crate::cloud::Answer> {
    let body = json!({"email": email, "password": password});
    ours.anonymous().post("/api/auth/login", &body).await
}

async fn login(ours: &Ours, email: &str, password: &str) -> Result<Client> {
    let answer = try_login(ours, email, password).await?;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    Ok(ours
        .anonymous()
        .with(answer.body["token"].as_str().unwrap()))
}

impl Ours {
    /// What the platform does when a tenant has paid.
    pub async fn cloud_activates(&self, owner: &Client) -> Result<()> {
        let tenant = owner.get("/api/tenant/me").await?.body["id"].clone();
        let mut tx = self
            .cloud
            .app
            .db
            .begin(tenant.as_str().unwrap().parse()?)
            .await?;
        let actor = easyisp_cloud::audit::Actor::system();
        tenants::activate_without_end(&mut tx, &actor, self.clock.now())
            .await
            .map_err(|error| error.into_cause())?;
        tx.commit().await?;
        Ok(())
    }
}
