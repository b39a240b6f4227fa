//! The console's sessions, as a browser keeps them: cookies that no script reads, replaced as they are used.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_cloud::audit::Actor;
use easyisp_cloud::tenants;
use easyisp_shared::id::TenantId;
use reqwest::header::{COOKIE, ORIGIN, SET_COOKIE, USER_AGENT};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cloud::{Answer, Client, Ours, PASSWORD, given_cloud};
use crate::operators::{delete, enter};
use crate::words::{DAY, HOUR, MINUTE};

const SESSION: &str = "/api/console/session";
const REFRESH: &str = "/api/console/session/refresh";
const ACCESS_COOKIE: &str = "__Host-easyisp";
const REFRESH_COOKIE: &str = "__Host-easyisp-refresh";

/// What a browser does: it keeps cookies, and says from which page it asks.
#[derive(Clone)]
struct Browser {
    client: Client,
    name: &'static str,
    page: String,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    fn new(ours: &Ours, name: &'static str) -> Browser {
        Browser {
            client: ours.anonymous(),
            name,
            page: format!("http://{}", ours.cloud.http_addr),
            cookies: BTreeMap::new(),
        }
    }

    async fn signed_in(ours: &Ours, email: &str) -> Result<Browser> {
        let mut browser = Browser::new(ours, "Firefox");
        let body = json!({"email": email, "password": PASSWORD});
        let answer = browser.ask(Method::POST, SESSION, Some(&body)).await?;
        ensure!(answer.status == StatusCode::OK, "{:?}", answer.body);
        ensure!(answer.body["user"]["email"] == email, "{:?}", answer.body);
        ensure!(answer.body.get("token").is_none(), "for cookies alone");
        Ok(browser)
    }

    async fn ask(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        let mut request = self.client.request(method, path);
        request = request
            .header(USER_AGENT, self.name)
            .header(ORIGIN, &self.page);
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = self.client.send(request).await?;
        for set in answer.headers.get_all(SET_COOKIE) {
            let set = set.to_str()?;
            for flag in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
                ensure!(set.split("; ").any(|part| part == flag), "{flag}: {set}");
            }
            let (name, rest) = set.split_once('=').context("a cookie")?;
            let value = rest.split(';').next().unwrap_or_default();
            match value.is_empty() {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        Ok(answer)
    }

    async fn refresh(&mut self) -> Result<StatusCode> {
        Ok(self.ask(Method::POST, REFRESH, None).await?.status)
    }

    async fn is_in(&mut self) -> Result<bool> {
        let me = self.ask(Method::GET, "/api/auth/me", None).await?;
        match me.status {
            StatusCode::OK => Ok(true),
            StatusCode::UNAUTHORIZED => Ok(false),
            other => anyhow::bail!("{other}: {:?}", me.body),
        }
    }
}

/// A page of somebody else's does nothing with a browser's cookies, and a script cannot carry them off.
#[tokio::test]
async fn cookies_count_for_the_servers_own_pages_alone() -> Result<()> {
    let ours = given_cloud().await?;
    ours.given_owner("acme").await?;
    let mut browser = Browser::signed_in(&ours, "owner@acme.isp").await?;
    assert!(browser.is_in().await?);
    let site = json!({"name": "Hill"});
    let made = browser.ask(Method::POST, "/api/sites", Some(&site)).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);

    let mut foreign = browser.clone();
    foreign.page = "https://evil.example".into();
    for (method, path) in [
        (Method::POST, "/api/sites"),
        (Method::POST, REFRESH),
        (Method::POST, SESSION),
        (Method::DELETE, SESSION),
    ] {
        let body = json!({"name": "Hill", "email": "owner@acme.isp", "password": PASSWORD});
        let refused = foreign.ask(method, path, Some(&body)).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(refused.code(), "FOREIGN_ORIGIN");
    }
    let unsaid = ours
        .anonymous()
        .request(Method::POST, "/api/sites")
        .json(&site);
    let access = &browser.cookies[ACCESS_COOKIE];
    let unsaid = unsaid.header(COOKIE, format!("{ACCESS_COOKIE}={access}"));
    let unsaid = ours.anonymous().send(unsaid).await?;
    assert_eq!(unsaid.status, StatusCode::FORBIDDEN, "no page at all");

    // Out of its cookie the access token is nothing, nor is a bearer token in it.
    let as_bearer = ours.anonymous().with(access).get("/api/auth/me").await?;
    assert_eq!(as_bearer.status, StatusCode::UNAUTHORIZED);
    let body = json!({"email": "owner@acme.isp", "password": PASSWORD});
    let bearer = ours.anonymous().post("/api/auth/login", &body).await?;
    let bearer = bearer.body["token"].as_str().context("a token")?.to_owned();
    browser.cookies.insert(ACCESS_COOKIE.into(), bearer);
    assert!(!browser.is_in().await?);
    Ok(())
}

/// H2: each refresh token leads to one successor; honest tabs may ask twice, a thief ends it for both.
#[tokio::test]
async fn a_refresh_token_that_comes_back_ends_the_session() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let mut browser = Browser::signed_in(&ours, "owner@acme.isp").await?;
    let mut tab = browser.clone();
    let mut thief = browser.clone();
    let mut other_browser = browser.clone();
    other_browser.name = "curl";
    ours.clock.advance(9 * MINUTE);
    assert_eq!(browser.refresh().await?, StatusCode::OK);
    ours.clock.advance(Duration::from_secs(10));
    assert_eq!(tab.refresh().await?, StatusCode::OK);
    assert_eq!(tab.cookies, browser.cookies, "the same successor");
    assert!(tab.is_in().await?);

    ours.clock.advance(Duration::from_secs(1));
    assert_eq!(thief.refresh().await?, StatusCode::UNAUTHORIZED);
    assert!(!browser.is_in().await?, "the honest one is out as well");
    assert_eq!(browser.refresh().await?, StatusCode::UNAUTHORIZED);
    let trail = owner.get("/api/audit-logs?action=SESSION_STOLEN").await?;
    assert_eq!(trail.body["total"], 1, "{:?}", trail.body);

    // Another browser is a thief at once.
    let mut browser = Browser::signed_in(&ours, "owner@acme.isp").await?;
    other_browser.cookies = browser.cookies.clone();
    assert_eq!(browser.refresh().await?, StatusCode::OK);
    assert_eq!(other_browser.refresh().await?, StatusCode::UNAUTHORIZED);
    assert!(!browser.is_in().await?);

    // Two tabs at one moment.
    let mut browser = Browser::signed_in(&ours, "owner@acme.isp").await?;
    let mut tab = browser.clone();
    let (one, two) = tokio::join!(browser.refresh(), tab.refresh());
    assert_eq!([one?, two?], [StatusCode::OK; 2]);
    assert_eq!(browser.cookies, tab.cookies);
    assert!(browser.is_in().await?);
    Ok(())
}

/// An answer that was lost is asked for again, until somebody used what it brought.
#[tokio::test]
async fn a_lost_answer_is_given_again() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let before = Browser::signed_in(&ours, "owner@acme.isp").await?;
    let mut lost = before.clone();
    assert_eq!(lost.refresh().await?, StatusCode::OK);
    ours.clock.advance(MINUTE);
    let mut browser = before.clone();
    assert_eq!(browser.refresh().await?, StatusCode::OK);
    assert_eq!(browser.cookies, lost.cookies, "the same successor");
    assert!(browser.is_in().await?);

    // Lost again, and for longer than the access token in it would have been good.
    let mut before = browser.clone();
    assert_eq!(browser.refresh().await?, StatusCode::OK);
    ours.clock.advance(11 * MINUTE);
    let mut browser = before.clone();
    assert_eq!(browser.refresh().await?, StatusCode::OK);
    assert!(browser.is_in().await?, "good from now on");
    ours.clock.advance(9 * MINUTE);
    assert!(browser.is_in().await?);

    // What came of it was used: it is a copy now.
    assert_eq!(before.refresh().await?, StatusCode::UNAUTHORIZED);
    assert!(!browser.is_in().await?);
    let trail = owner.get("/api/audit-logs?action=SESSION_STOLEN").await?;
    assert_eq!(trail.body["total"], 1, "{:?}", trail.body);

    // Half an hour of nothing is half an hour of nothing.
    let before = Browser::signed_in(&ours, "owner@acme.isp").await?;
    let mut lost = before.clone();
    assert_eq!(lost.refresh().await?, StatusCode::OK);
    ours.clock.advance(31 * MINUTE);
    assert_eq!(before.clone().refresh().await?, StatusCode::UNAUTHORIZED);
    assert_eq!(lost.refresh().await?, StatusCode::UNAUTHORIZED);
    let trail = owner.get("/api/audit-logs?action=SESSION_STOLEN").await?;
    assert_eq!(trail.body["total"], 1, "nobody stole it");
    Ok(())
}

/// A thief and his victim are out as soon as both were seen, whoever comes first.
#[tokio::test]
async fn a_thief_and_his_victim_never_go_on_both() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let stolen = async || {
        let trail = owner.get("/api/audit-logs?action=SESSION_STOLEN").await?;
        trail.body["total"].as_i64().context("how many")
    };

    // The victim went on; the copy is old.
    let mut victim = Browser::signed_in(&ours, "owner@acme.isp").await?;
    let mut thief = victim.clone();
    assert_eq!(victim.refresh().await?, StatusCode::OK);
    assert!(victim.is_in().await?);
    ours.clock.advance(MINUTE);
    assert_eq!(thief.refresh().await?, StatusCode::UNAUTHORIZED);
    assert!(!victim.is_in().await?);
    assert_eq!(stolen().await?, 1);

    // The thief went on; the victim comes later.
    let mut victim = Browser::signed_in(&ours, "owner@acme.isp").await?;
    let mut thief = victim.clone();
    assert_eq!(thief.refresh().await?, StatusCode::OK);
    assert!(thief.is_in().await?);
    ours.clock.advance(MINUTE);
    assert_eq!(victim.refresh().await?, StatusCode::UNAUTHORIZED);
    assert!(!thief.is_in().await?);
    assert_eq!(thief.refresh().await?, StatusCode::UNAUTHORIZED);
    assert_eq!(stolen().await?, 2);

    // The thief took tokens that he did not use yet, so the victim is given the same; one of them goes on, and
    // the next step of the other ends it.
    let mut victim = Browser::signed_in(&ours, "owner@acme.isp").await?;
    let mut thief = victim.clone();
    assert_eq!(thief.refresh().await?, StatusCode::OK);
    ours.clock.advance(MINUTE);
    assert_eq!(victim.refresh().await?, StatusCode::OK);
    assert!(victim.is_in().await? && thief.is_in().await?);
    ours.clock.advance(9 * MINUTE);
    assert_eq!(victim.refresh().await?, StatusCode::OK);
    assert!(victim.is_in().await?);
    ours.clock.advance(MINUTE);
    assert_eq!(thief.refresh().await?, StatusCode::UNAUTHORIZED);
    assert!(!victim.is_in().await?);
    assert_eq!(stolen().await?, 3);

    // The same, and he shows the refresh token alone: that is use as well.
    let mut victim = Browser::signed_in(&ours, "owner@acme.isp").await?;
    let mut thief = victim.clone();
    for _ in 0..2 {
        assert_eq!(thief.refresh().await?, StatusCode::OK);
    }
    ours.clock.advance(MINUTE);
    assert_eq!(victim.refresh().await?, StatusCode::UNAUTHORIZED);
    assert_eq!(thief.refresh().await?, StatusCode::UNAUTHORIZED);
    assert_eq!(stolen().await?, 4);

    // From another browser a lost answer is no excuse.
    let mut victim = Browser::signed_in(&ours, "owner@acme.isp").await?;
    let mut thief = victim.clone();
    thief.name = "curl";
    assert_eq!(victim.refresh().await?, StatusCode::OK);
    ours.clock.advance(MINUTE);
    assert_eq!(thief.refresh().await?, StatusCode::UNAUTHORIZED);
    assert!(!victim.is_in().await?);
    assert_eq!(stolen().await?, 5);
    Ok(())
}

/// Whoever handles money is out after half an hour of nothing and after twelve hours; others stay for weeks.
#[tokio::test]
async fn a_session_ends_by_what_its_person_may() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    enter(&owner, "amina", "FIELD_TECH").await?;
    let me = owner.get("/api/tenant/me").await?;
    let tenant = me.body["id"].as_str().context("an id")?.parse()?;
    let mut tx = ours.cloud.app.db.begin(TenantId(tenant)).await?;
    let system = Actor::system();
    let active = tenants::activate_without_end(&mut tx, &system, ours.clock.now());
    active.await.map_err(|error| error.into_cause())?;
    tx.commit().await?;
    let mut at_desk = Browser::signed_in(&ours, "owner@acme.isp").await?;
    let mut in_field = Browser::signed_in(&ours, "amina@acme.isp").await?;
    ours.clock.advance(11 * MINUTE);
    assert!(
        !at_desk.is_in().await?,
        "the access token is good for ten minutes"
    );
    assert_eq!(at_desk.refresh().await?, StatusCode::OK);
    assert!(at_desk.is_in().await?);
    ours.clock.advance(31 * MINUTE);
    assert_eq!(at_desk.refresh().await?, StatusCode::UNAUTHORIZED, "idle");

    let mut at_desk = Browser::signed_in(&ours, "owner@acme.isp").await?;
    let mut in_use = 0;
    while at_desk.refresh().await? == StatusCode::OK {
        assert!(at_desk.is_in().await?);
        ours.clock.advance(9 * MINUTE);
        in_use += 9;
        ensure!(in_use < 24 * 60, "it never ends");
    }
    assert_eq!(in_use, 80 * 9, "twelve hours");

    ours.clock.advance(13 * DAY);
    assert_eq!(in_field.refresh().await?, StatusCode::OK);
    assert!(in_field.is_in().await?);
    ours.clock.advance(15 * DAY);
    assert_eq!(in_field.refresh().await?, StatusCode::UNAUTHORIZED);
    Ok(())
}

/// Out is out: by oneself, from another place, by a change of the password.
#[tokio::test]
async fn a_session_is_seen_and_ended_from_everywhere() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let mut browser = Browser::signed_in(&ours, "owner@acme.isp").await?;
    let shown = owner.get("/api/auth/sessions").await?.body;
    let shown = shown["sessions"].as_array().context("sessions")?.clone();
    let console: Vec<_> = shown.iter().filter(|row| row["console"] == true).collect();
    assert_eq!((shown.len(), console.len()), (2, 1), "{shown:?}");
    assert_eq!(console[0]["client"], "Firefox");
    assert_eq!(console[0]["current"], false);
    let own = browser.ask(Method::GET, "/api/auth/sessions", None).await?;
    let current = own.body["sessions"].as_array().context("sessions")?.clone();
    let current: Vec<_> = current
        .iter()
        .filter(|row| row["current"] == true)
        .collect();
    assert_eq!(current.len(), 1);
    assert_eq!(current[0]["id"], console[0]["id"]);
    let id = console[0]["id"].as_str().context("an id")?;
    delete(&owner, &format!("/api/auth/sessions/{id}")).await?;
    assert!(!browser.is_in().await?);
    assert_eq!(browser.refresh().await?, StatusCode::UNAUTHORIZED);

    let mut kept = Browser::signed_in(&ours, "owner@acme.isp").await?;
    let mut gone = Browser::signed_in(&ours, "owner@acme.isp").await?;
    let change = json!({"oldPassword": PASSWORD, "newPassword": "four-blue-bottles"});
    let changed = kept
        .ask(Method::PUT, "/api/auth/password", Some(&change))
        .await?;
    assert_eq!(changed.status, StatusCode::OK, "{:?}", changed.body);
    assert!(kept.is_in().await? && !gone.is_in().await?);
    assert_eq!(kept.refresh().await?, StatusCode::OK);
    assert_eq!(gone.refresh().await?, StatusCode::UNAUTHORIZED);
    let cookies = kept.cookies.clone();
    let out = kept.ask(Method::DELETE, SESSION, None).await?;
    assert_eq!(out.status, StatusCode::OK);
    assert!(kept.cookies.is_empty(), "{:?}", kept.cookies.keys());
    kept.cookies = cookies;
    assert!(!kept.is_in().await?);
    assert_eq!(kept.refresh().await?, StatusCode::UNAUTHORIZED);
    assert!(
        kept.cookies.contains_key(REFRESH_COOKIE),
        "what was copied is worth nothing"
    );
    Ok(())
}

/// What cannot be taken back asks for the password again, five minutes after it was shown; at the console the
/// web client's routes do as well.
#[tokio::test]
async fn a_fresh_login_is_five_minutes_old_at_most() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    let sites = owner.get("/api/sites").await?.body;
    let site = sites["sites"][0]["id"].as_str().context("a site")?;
    let path = format!("/api/sites/{site}/join-token");
    assert_eq!(
        owner.post(&path, &json!({})).await?.status,
        StatusCode::CREATED
    );
    ours.clock.advance(5 * MINUTE + Duration::from_secs(1));
    let stale = owner.post(&path, &json!({})).await?;
    assert_eq!(stale.status, StatusCode::FORBIDDEN);
    assert_eq!(stale.code(), "FRESH_LOGIN_REQUIRED");
    // Another token is no proof.
    let other = owner.post("/api/auth/refresh", &json!({})).await?;
    let owner = owner.with(other.body["token"].as_str().context("a token")?);
    assert_eq!(
        owner.post(&path, &json!({})).await?.status,
        StatusCode::FORBIDDEN
    );

    let wrong = json!({"password": "wrong"});
    let wrong = owner.post("/api/auth/confirm", &wrong).await?;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let right = json!({"password": PASSWORD});
    assert_eq!(
        owner.post("/api/auth/confirm", &right).await?.status,
        StatusCode::OK
    );
    assert_eq!(
        owner.post(&path, &json!({})).await?.status,
        StatusCode::CREATED
    );

    let made = enter(&owner, "amina", "STAFF").await?;
    let person = format!(
        "/api/tenant/operators/{}",
        made.body["id"].as_str().context("an id")?
    );
    let role = json!({"role": "FIELD_TECH"});
    ours.clock.advance(HOUR);
    assert_eq!(
        owner.put(&person, &role).await?.status,
        StatusCode::OK,
        "the web client's"
    );
    let mut browser = Browser::signed_in(&ours, "owner@acme.isp").await?;
    ours.clock.advance(6 * MINUTE);
    let stale = browser.ask(Method::PUT, &person, Some(&role)).await?;
    assert_eq!(stale.code(), "FRESH_LOGIN_REQUIRED");
    let again = browser
        .ask(Method::POST, "/api/auth/confirm", Some(&right))
        .await?;
    assert_eq!(again.status, StatusCode::OK, "{:?}", again.body);
    let fresh = browser.ask(Method::PUT, &person, Some(&role)).await?;
    assert_eq!(fresh.status, StatusCode::OK, "{:?}", fresh.body);
    Ok(())
}
