//! A password that is known to another opens nothing: the second factor, from the first code to a lost phone.

use anyhow::{Context, Result, ensure};
use easyisp_shared::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha1::Sha1;

use crate::cloud::{Answer, Client, Ours, PASSWORD, given_cloud};
use crate::operators::{delete, enter, path_of, sign_in, try_sign_in};
use crate::words::MINUTE;

const FACTOR: &str = "/api/auth/second-factor";

#[tokio::test]
async fn a_password_alone_is_not_enough_any_more() -> Result<()> {
    let (ours, owner) = given_owner_and_amina().await?;
    let amina = sign_in(&ours, "amina", PASSWORD).await?;
    let elsewhere = sign_in(&ours, "amina", PASSWORD).await?;
    assert_eq!(amina.get(FACTOR).await?.body["enabled"], false);
    let app = enable(&ours, &amina).await?;
    assert_eq!(app.recovery_codes.len(), 10);
    let state = amina.get(FACTOR).await?.body;
    assert_eq!(state["enabled"], true);
    assert_eq!(state["recoveryCodesLeft"], 10);
    let out = elsewhere.get("/api/auth/me").await?;
    assert_eq!(out.status, StatusCode::UNAUTHORIZED, "others were ended");

    let missing = try_sign_in(&ours, "amina", PASSWORD).await?;
    assert_eq!(missing.status, StatusCode::FORBIDDEN);
    assert_eq!(missing.code(), "OTP_REQUIRED");
    let wrong = with_code(&ours, "000000").await?;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN);
    assert_eq!(wrong.code(), "WRONG_CODE");

    ours.clock.advance(MINUTE);
    let code = app.code(ours.clock.now())?;
    let right = with_code(&ours, &code).await?;
    assert_eq!(right.status, StatusCode::OK, "{:?}", right.body);
    let replayed = with_code(&ours, &code).await?;
    assert_eq!(replayed.code(), "WRONG_CODE", "a code is good once");

    // The web client has no field for it.
    ours.clock.advance(MINUTE);
    let code = app.code(ours.clock.now())?;
    sign_in(&ours, "amina", &format!("{PASSWORD} {code}")).await?;
    // And of who has none, everything is the password.
    let body = json!({"email": "owner@acme.isp", "password": format!("{PASSWORD} {code}")});
    let owners = ours.anonymous().post("/api/auth/login", &body).await?;
    assert_eq!(owners.code(), "BAD_CREDENTIALS");
    drop(owner);
    Ok(())
}

#[tokio::test]
async fn a_code_is_guessed_five_times_and_then_not_for_a_while() -> Result<()> {
    let (ours, _owner) = given_owner_and_amina().await?;
    let amina = sign_in(&ours, "amina", PASSWORD).await?;
    let app = enable(&ours, &amina).await?;
    for _ in 0..5 {
        assert_eq!(with_code(&ours, "000000").await?.code(), "WRONG_CODE");
    }
    ours.clock.advance(MINUTE);
    let refused = with_code(&ours, &app.code(ours.clock.now())?).await?;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    ours.clock.advance(15 * MINUTE);
    let right = with_code(&ours, &app.code(ours.clock.now())?).await?;
    assert_eq!(right.status, StatusCode::OK, "{:?}", right.body);
    Ok(())
}

#[tokio::test]
async fn a_lost_phone_locks_nobody_out() -> Result<()> {
    let (ours, owner) = given_owner_and_amina().await?;
    let amina = sign_in(&ours, "amina", PASSWORD).await?;
    let app = enable(&ours, &amina).await?;
    let recovery = app.recovery_codes[3].to_uppercase().replace('-', " ");
    let right = with_code(&ours, &recovery).await?;
    assert_eq!(right.status, StatusCode::OK, "{:?}", right.body);
    let again = with_code(&ours, &recovery).await?;
    assert_eq!(again.code(), "WRONG_CODE", "each is good once");
    assert_eq!(amina.get(FACTOR).await?.body["recoveryCodesLeft"], 9);

    // Without those as well: another sets it right.
    let all = owner.get("/api/tenant/operators?search=amina").await?;
    let path = format!(
        "/api/tenant/operators/{}/second-factor",
        all.body["operators"][0]["id"].as_str().context("an id")?
    );
    assert_eq!(delete(&owner, &path).await?.body["success"], true);
    assert_eq!(delete(&owner, &path).await?.code(), "SECOND_FACTOR_OFF");
    sign_in(&ours, "amina", PASSWORD).await?;
    Ok(())
}

#[tokio::test]
async fn it_is_switched_by_who_knows_password_and_code() -> Result<()> {
    let (ours, _owner) = given_owner_and_amina().await?;
    let amina = sign_in(&ours, "amina", PASSWORD).await?;
    let wrong = amina.post(FACTOR, &json!({"password": "wrong"})).await?;
    assert_eq!(wrong.code(), "WRONG_PASSWORD");
    let early = amina
        .post(&format!("{FACTOR}/confirm"), &json!({"code": "123456"}))
        .await?;
    assert_eq!(early.code(), "SECOND_FACTOR_OFF");
    let app = enable(&ours, &amina).await?;
    let twice = amina.post(FACTOR, &json!({"password": PASSWORD})).await?;
    assert_eq!(twice.code(), "SECOND_FACTOR_ON");

    ours.clock.advance(MINUTE);
    let end = format!("{FACTOR}/end");
    let code = app.code(ours.clock.now())?;
    let wrong = json!({"password": PASSWORD, "code": "000000"});
    assert_eq!(amina.post(&end, &wrong).await?.code(), "WRONG_CODE");
    let right = json!({"password": PASSWORD, "code": code});
    assert_eq!(amina.post(&end, &right).await?.body["success"], true);
    sign_in(&ours, "amina", PASSWORD).await?;
    Ok(())
}

/// An authenticator app, written here from RFC 6238 so that it does not merely agree with ours.
pub struct App {
    secret: Vec<u8>,
    pub recovery_codes: Vec<String>,
}

impl App {
    /// Takes what `POST /api/auth/second-factor` answered.
    pub fn scan(begun: &Value) -> Result<App> {
        let text = begun["secret"].as_str().context("a secret")?;
        let uri = begun["uri"].as_str().context("a URI")?;
        ensure!(uri.contains(&format!("secret={text}")), "{uri}");
        let mut bits = Vec::new();
        for letter in text.bytes() {
            let value = match letter {
                b'A'..=b'Z' => letter - b'A',
                b'2'..=b'7' => letter - b'2' + 26,
                _ => anyhow::bail!("{letter} is not of base 32"),
            };
            bits.extend((0..5).rev().map(|bit| value >> bit & 1));
        }
        let bytes = bits.chunks_exact(8);
        Ok(App {
            secret: bytes
                .map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit))
                .collect(),
            recovery_codes: Vec::new(),
        })
    }

    pub fn code(&self, now: Timestamp) -> Result<String> {
        let counter = u64::try_from(now.secs() / 30)?;
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.secret)?;
        mac.update(&counter.to_be_bytes());
        let hash = mac.finalize().into_bytes();
        let offset = usize::from(hash[19] & 0xf);
        let word: [u8; 4] = hash[offset..offset + 4].try_into()?;
        Ok(format!(
            "{:06}",
            (u32::from_be_bytes(word) & 0x7fff_ffff) % 1_000_000
        ))
    }
}

pub async fn enable(ours: &Ours, client: &Client) -> Result<App> {
    let begun = client.post(FACTOR, &json!({"password": PASSWORD})).await?;
    assert_eq!(begun.status, StatusCode::OK, "{:?}", begun.body);
    let mut app = App::scan(&begun.body)?;
    let wrong = client
        .post(&format!("{FACTOR}/confirm"), &json!({"code": "000000"}))
        .await?;
    assert_eq!(wrong.code(), "WRONG_CODE");
    let code = json!({"code": app.code(ours.clock.now())?});
    let confirmed = client.post(&format!("{FACTOR}/confirm"), &code).await?;
    assert_eq!(confirmed.status, StatusCode::OK, "{:?}", confirmed.body);
    let codes = confirmed.body["recoveryCodes"].as_array();
    app.recovery_codes = codes
        .context("recovery codes")?
        .iter()
        .filter_map(|code| code.as_str().map(str::to_owned))
        .collect();
    Ok(app)
}

async fn with_code(ours: &Ours, code: &str) -> Result<Answer> {
    let body = json!({"email": "amina@acme.isp", "password": PASSWORD, "otp": code});
    ours.anonymous().post("/api/auth/login", &body).await
}

async fn given_owner_and_amina() -> Result<(Ours, Client)> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    path_of(&enter(&owner, "amina", "ADMIN").await?)?;
    Ok((ours, owner))
}
