//! A router that enters itself by its serial number, with a token of its tenant's.

use anyhow::{Context, Result, ensure};
use easyisp_tests::operator::http_client;
use easyisp_tests::world::{Provider, eventually};
use reqwest::{Method as Http, StatusCode};
use serde_json::{Value, json};

use super::roof::Roof;
use crate::words::HOUR;

/// I6: a serial number alone opens nothing, however often it is guessed; a token opens one router, once, for its time;
/// a serial number that is known gets no secret, and nothing of that router changes, until an operator takes a hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_serial_number_is_worth_nothing_without_a_token_of_its_tenant() -> Result<()> {
    let roof = Roof::open("serials").await?;
    let owner = &roof.isp.owner;
    owner.confirm().await?;
    let routers = async || anyhow::Ok(owner.get("/nas").await?["total"].clone());

    for guess in 0..20 {
        let serial = format!("HEX08RT{guess:03}");
        for token in ["", "no token", &"A".repeat(43)] {
            let (status, said) = register(&roof, token, &serial).await?;
            assert_eq!(status, StatusCode::NOT_FOUND, "{said}");
        }
    }
    assert_eq!(routers().await?, 0);
    let (status, _) = owner
        .call(
            Http::POST,
            "/wizard/enrolment-token",
            Some(&json!({"hours": 0})),
        )
        .await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);

    // As soon as the cloud knows where the agent listens; until then the token is not spent.
    let token = enrolment(&roof, 24).await?;
    let entered = eventually("the agent has said where it listens", async || {
        let (status, said) = register(&roof, &token, "hex08rt001 ").await?;
        Ok((status == StatusCode::CREATED).then_some(said))
    })
    .await?;
    let id = entered["routerId"].as_str().context("an id")?.to_owned();
    assert_eq!(entered["name"], "Router HEX08RT001");
    let (status, said) = register(&roof, &token, "HEX08RT002").await?;
    assert_eq!(status, StatusCode::NOT_FOUND, "used: {said}");
    let command = entered["provisionCommand"].as_str().context("a command")?;
    let pasted = roof.router.paste(command).await;
    assert_eq!(pasted, Ok(()), "{:?}", roof.router.machine().caught);
    roof.entered(&id).await?;
    let mut answers = vec![entered.to_string()];

    // Again: refused, in whatever case; the router goes on as it was.
    for serial in ["HEX08RT001", "hex08rt001"] {
        let token = enrolment(&roof, 24).await?;
        let (status, said) = register(&roof, &token, serial).await?;
        assert_eq!(
            (status, &said["code"]),
            (StatusCode::CONFLICT, &json!("SERIAL_KNOWN"))
        );
        answers.push(said.to_string());
        let (status, _) = register(&roof, &token, "HEX08RT003").await?;
        assert_eq!(
            status,
            StatusCode::NOT_FOUND,
            "who probes has spent his token"
        );
    }
    assert_eq!(routers().await?, 1);
    roof.entered(&id).await?;
    let trail = owner.get("/audit-logs?action=ROUTER_REGISTER").await?;
    assert_eq!(trail["total"], 3, "{trail}");
    let made = owner.get("/audit-logs?action=ROUTER_TOKEN_CREATE").await?;
    assert_eq!(made["total"], 3, "{made}");
    let again = json!({"routerId": id});
    let (status, started) = owner
        .call(Http::POST, "/wizard/start", Some(&again))
        .await?;
    assert_eq!(status, StatusCode::OK, "an operator may");
    let secret = started["secret"].as_str().context("a secret")?;
    let held = roof.router.machine();
    assert_eq!(held.rows("/radius", "secret", secret).len(), 1, "as it was");
    ensure!(
        answers.iter().all(|said| !said.contains(secret)),
        "{answers:?}"
    );

    let late = enrolment(&roof, 1).await?;
    roof.world.clock.advance(HOUR);
    let (status, _) = register(&roof, &late, "HEX08RT004").await?;
    assert_eq!(status, StatusCode::NOT_FOUND, "over");

    // The number is the tenant's own matter: another one's router of the same number is another router.
    let other = Provider::sign_up(&roof.world, "neighbour").await?;
    other.owner.confirm().await?;
    let token = token_of(&other, 1).await?;
    let (status, said) = register(&roof, &token, "HEX08RT001").await?;
    assert_eq!(
        (status, &said["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("NO_AGENT")),
        "not known there: {said}"
    );
    roof.close().await
}

async fn enrolment(roof: &Roof, hours: u32) -> Result<String> {
    token_of(&roof.isp, hours).await
}

async fn token_of(isp: &Provider, hours: u32) -> Result<String> {
    let path = "/wizard/enrolment-token";
    let made = isp.owner.post(path, &json!({"hours": hours})).await?;
    let token = made["token"].as_str().context("a token")?;
    let command = made["registerCommand"].as_str().context("a command")?;
    ensure!(command.contains(token), "{command}");
    Ok(token.to_owned())
}

/// Somebody without a login registers.
async fn register(roof: &Roof, token: &str, serial: &str) -> Result<(StatusCode, Value)> {
    let url = format!("http://{}/provision/register", roof.world.api());
    let body = json!({"token": token, "serialNumber": serial});
    let answer = http_client().post(url).json(&body).send().await?;
    Ok((answer.status(), answer.json().await?))
}
