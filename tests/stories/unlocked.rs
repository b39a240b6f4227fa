//! A customer whose site cannot hear that he paid: an operator reads him a code, and it lets him in for some hours.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_tests::line::Line;
use easyisp_tests::operator::http_client;
use easyisp_tests::router::subscriber::Dial;
use easyisp_tests::world::{Provider, Site, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::words::HOUR;

#[tokio::test(flavor = "multi_thread")]
async fn a_code_from_the_phone_lets_one_customer_in_once_for_its_hours() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "phone").await?;
    let line = Line::to(world.agents(), 1).await?;
    let mut site = Site::open_over(&line, &world, &isp).await?;
    let until = world.clock.now().plus(HOUR);
    let akinyi = isp.add_subscriber("akinyi", "254712345690", until).await?;
    isp.add_subscriber("otieno", "254712345691", until).await?;
    for name in ["akinyi", "otieno"] {
        site.knows(name, "at all", |_| true).await?;
    }
    line.cut(true);
    world.clock.advance(2 * HOUR);
    ensure!(is_out(&site, "akinyi").await && is_out(&site, "otieno").await);

    let path = format!("/customers/{akinyi}/unlock-code");
    let (status, said) = isp
        .owner
        .call(Method::POST, &path, Some(&json!({"hours": 5})))
        .await?;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
    let made = isp.owner.post(&path, &json!({"hours": 4})).await?;
    let code = made["code"].as_str().context("a code")?;
    let wrong = other(code);
    for (name, code) in [("otieno", code), ("nobody", code), ("akinyi", &wrong)] {
        assert_eq!(
            typed(&site, name, code).await?.0,
            StatusCode::FORBIDDEN,
            "{name}"
        );
    }
    ensure!(is_out(&site, "akinyi").await && is_out(&site, "otieno").await);

    let (status, said) = typed(&site, "akinyi", &code.replace(' ', "-")).await?;
    assert_eq!(status, StatusCode::OK, "{said}");
    let online = site.dial("akinyi").await.online();
    online.started().await;
    ensure!(is_out(&site, "otieno").await, "nobody else");
    let (status, said) = typed(&site, "akinyi", code).await?;
    assert_eq!(status, StatusCode::FORBIDDEN, "used: {said}");
    ensure!(said.contains("used"), "{said}");

    // A box that was switched off in between knows both still.
    site.stop_agent().await;
    site.start_agent().await?;
    assert_eq!(typed(&site, "akinyi", code).await?.0, StatusCode::FORBIDDEN);
    let again = site.dial("akinyi").await.online();
    ensure!(again.hang_up().await);

    line.cut(false);
    site.caught_up().await?;
    site.reported().await?;
    let lines = async |action: &str| -> Result<Value> {
        let trail = isp
            .owner
            .get(&format!("/audit-logs?action={action}"))
            .await?;
        Ok(trail["total"].clone())
    };
    assert_eq!(lines("UNLOCK_CODE").await?, 1);
    eventually("the cloud knows that it was used", async || {
        Ok((lines("UNLOCK_CODE_USE").await? == 1).then_some(()))
    })
    .await?;

    world.clock.advance(5 * HOUR + Duration::from_secs(1));
    online.ended().await;
    ensure!(is_out(&site, "akinyi").await, "its hours are over");
    site.stop().await;
    world.stop().await
}

/// Guessing ends after five for a name; the right code is not taken then either, until an hour later.
#[tokio::test(flavor = "multi_thread")]
async fn codes_are_not_guessed() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "guessed").await?;
    let site = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(HOUR);
    let akinyi = isp.add_subscriber("akinyi", "254712345690", until).await?;
    site.knows("akinyi", "at all", |_| true).await?;
    world.clock.advance(2 * HOUR);
    let path = format!("/customers/{akinyi}/unlock-code");
    let made = isp.owner.post(&path, &json!({"hours": 24})).await?;
    let code = made["code"].as_str().context("a code")?;
    let wrong = other(code);
    for _ in 0..5 {
        assert_eq!(
            typed(&site, "akinyi", &wrong).await?.0,
            StatusCode::FORBIDDEN
        );
    }
    let (status, said) = typed(&site, "akinyi", code).await?;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{said}");
    ensure!(is_out(&site, "akinyi").await);
    world.clock.advance(HOUR);
    assert_eq!(typed(&site, "akinyi", code).await?.0, StatusCode::OK);
    ensure!(site.dial("akinyi").await.online().hang_up().await);
    site.stop().await;
    world.stop().await
}

/// What somebody at the box types, and what it says.
async fn typed(site: &Site, name: &str, code: &str) -> Result<(StatusCode, String)> {
    let page = format!("http://{}/unlock", site.agent().status());
    let form = [("name", name), ("code", code)];
    let answer = http_client().post(page).form(&form).send().await?;
    Ok((answer.status(), answer.text().await?))
}

/// The same code with another last digit.
fn other(code: &str) -> String {
    let (head, last) = code.split_at(code.len() - 1);
    format!("{head}{}", if last == "0" { "1" } else { "0" })
}

async fn is_out(site: &Site, name: &str) -> bool {
    matches!(site.dial(name).await, Dial::Rejected(_))
}
