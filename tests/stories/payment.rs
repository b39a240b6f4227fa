//! A payment becomes internet at a site.

use std::time::{Duration, Instant};

use anyhow::Result;
use easyisp_agent::site::Subscriber;
use easyisp_shared::time::Timestamp;
use easyisp_tests::line::Line;
use easyisp_tests::router::subscriber::Dial;
use easyisp_tests::scenario::{Callback, Payer};
use easyisp_tests::world::{Provider, Site, World, eventually, soon};
use serde_json::json;

use crate::words::{DAY, MINUTE};

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_subscriber_pays_and_is_online_in_moments() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    let site = Site::open(&world, &isp).await?;
    let phone = "254712345601";
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp.add_subscriber("amina", phone, yesterday).await?;
    site.knows("amina", "as expired", |_| true).await?;

    // Refused, and the operator reads why.
    let refused = site.dial("amina").await;
    assert!(matches!(refused, Dial::Rejected(_)), "{refused:?}");
    let log = format!("/customers/{amina}/auth-log");
    let why = eventually("the operator reads why", async || {
        let answer = isp.owner.get(&log).await?;
        let newest = &answer["logins"][0];
        Ok(newest["reason"].as_str().map(str::to_owned))
    })
    .await?;
    assert_eq!(why, "The paid period is over.");

    // A prompt on the phone, the PIN, the callback.
    world.outside.mpesa.script(phone, Payer::prompt());
    let checkout = isp.ask_to_pay(&amina, 1000).await?;
    soon(
        "M-Pesa calls back",
        world.outside.mpesa.called_back(&checkout, 1),
    )
    .await?;
    let now = world.clock.now();
    site.knows("amina", "as paid", |known| {
        known.entitlement.paid_until > now
    })
    .await?;
    let online = site.dial("amina").await.online();
    online.started().await;

    let shown = isp
        .session_becomes("amina", online.id(), "the session at the API", |row| {
            row["status"] == "active"
        })
        .await?;
    assert_eq!(shown["customer"]["id"], amina.as_str(), "{shown}");
    let customer = isp.customer(&amina).await?;
    assert_eq!(customer["status"], "ACTIVE");
    // A month from the payment, on the same day and hour in Nairobi.
    assert_eq!(customer["expiresAt"], "2027-02-15T08:00:00.000Z");
    assert_eq!(customer["walletBalance"], 0);
    assert_eq!(customer["isOnline"], true);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());

    site.stop().await;
    world.stop().await
}

/// D6: the money moves while the site cannot hear of it. He is let in once the line is back, without
/// anybody's help, and until then the site goes on refusing him: it knows no better.
#[tokio::test(flavor = "multi_thread")]
async fn who_pays_while_his_site_is_cut_off_is_online_when_the_line_is_back() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    let line = Line::to(world.agents(), 6).await?;
    let site = Site::open_over(&line, &world, &isp).await?;
    let phone = "254712345606";
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp.add_subscriber("amina", phone, yesterday).await?;
    site.knows("amina", "as expired", |_| true).await?;

    line.block_udp(true);
    line.block_tcp(true);
    world.outside.mpesa.script(phone, Payer::prompt());
    isp.ask_to_pay(&amina, 1000).await?;
    let paid = isp.customer_becomes(&amina, "paid", |customer| customer["status"] == "ACTIVE");
    let until = paid.await?["expiresAt"].as_str().and_then(Timestamp::parse);
    let refused = site.dial("amina").await;
    assert!(matches!(refused, Dial::Rejected(_)), "{refused:?}");

    line.block_udp(false);
    line.block_tcp(false);
    let back = Instant::now();
    let paid = |known: &Subscriber| Some(known.entitlement.paid_until) == until;
    site.knows("amina", "as paid", paid).await?;
    let online = site.dial("amina").await.online();
    assert!(back.elapsed() < Duration::from_secs(60), "within a minute");
    online.started().await;

    site.stop().await;
    world.stop().await
}

/// Everything that a callback brings about, from the inbox to the feed, is one short transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_renews_takes_nine_statements() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    let site = Site::open(&world, &isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    world.outside.mpesa.script_everybody(Payer::prompt());
    world.listen_in().await?;

    for number in 1..=3 {
        let name = format!("payer{number}");
        let phone = format!("25471234560{number}");
        let payer = isp.add_subscriber(&name, &phone, yesterday).await?;
        isp.ask_to_pay(&payer, 1000).await?;
        let now = world.clock.now();
        site.knows(&name, "as paid", |known| known.entitlement.paid_until > now)
            .await?;
    }
    let spoken = world.spoken();
    let callbacks: Vec<Vec<String>> = spoken
        .into_iter()
        .filter(|said| said.iter().any(|one| one.contains("update payment_inbox")))
        .map(|said| said.into_iter().filter(|one| !is_first_use(one)).collect())
        .collect();
    assert_eq!(callbacks.len(), 3, "one transaction a callback");
    for said in callbacks {
        assert_eq!(said.len(), 9, "{said:#?}");
    }
    Ok(())
}

/// The callback never comes; our own question to M-Pesa settles the payment, without anybody's help.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_nobody_told_us_of_is_asked_for() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "silent").await?;
    let site = Site::open(&world, &isp).await?;
    let phone = "254712345602";
    let yesterday = world.clock.now().minus(DAY);
    let baraka = isp.add_subscriber("baraka", phone, yesterday).await?;
    let silent = Payer {
        callback: Callback::Never,
        ..Payer::prompt()
    };
    world.outside.mpesa.script(phone, silent);

    let checkout = isp.ask_to_pay(&baraka, 1000).await?;
    let mpesa = &world.outside.mpesa;
    let paid = mpesa.until(|books| books.find(&checkout)?.outcome.clone());
    soon("the payer types his PIN", paid).await?;
    let now = world.clock.now();
    assert_eq!(isp.customer(&baraka).await?["status"], "EXPIRED");

    // The first question comes after ten seconds; a minute later the next ones have come too.
    world.clock.advance(MINUTE);
    site.knows("baraka", "as paid", |known| {
        known.entitlement.paid_until > now
    })
    .await?;
    let online = site.dial("baraka").await.online();
    online.started().await;
    let status = isp
        .owner
        .get(&format!("/payments/mpesa/status/{checkout}"))
        .await?;
    assert_eq!(status["status"], "completed", "{status}");

    // Later questions find it settled.
    let until = expiry(&isp.customer(&baraka).await?["expiresAt"]);
    for _ in 0..10 {
        world.clock.advance(MINUTE);
    }
    let payments = isp.owner.get("/payments/mpesa").await?;
    assert_eq!(payments["total"], 1, "{payments}");
    let customer = isp.customer(&baraka).await?;
    assert_eq!(expiry(&customer["expiresAt"]), until);
    assert_eq!(customer["walletBalance"], 0);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());

    site.stop().await;
    world.stop().await
}

/// Who cancels, has no money or mistypes has paid nothing and gets nothing, and reads why.
#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_fails_changes_nothing_and_says_why() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "broke").await?;
    let phone = "254712345603";
    let yesterday = world.clock.now().minus(DAY);
    let chege = isp.add_subscriber("chege", phone, yesterday).await?;

    for code in [1, 1032, 2001] {
        world.outside.mpesa.script(phone, Payer::refusing(code));
        let checkout = isp.ask_to_pay(&chege, 1000).await?;
        let path = format!("/payments/mpesa/status/{checkout}");
        let status = eventually("the refusal at the API", async || {
            let status = isp.owner.get(&path).await?;
            Ok(Some(status).filter(|status| status["status"] == "failed"))
        })
        .await?;
        assert!(status["message"].is_string(), "{code}: {status}");
    }
    let customer = isp.customer(&chege).await?;
    assert_eq!(customer["status"], "EXPIRED");
    assert_eq!(customer["walletBalance"], 0);
    assert_eq!(world.outside.mpesa.books().paid().count(), 0);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn cash_over_the_counter_is_internet_too() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "counter").await?;
    let site = Site::open(&world, &isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let daudi = isp
        .add_subscriber("daudi", "254712345604", yesterday)
        .await?;
    site.knows("daudi", "as expired", |_| true).await?;
    assert!(matches!(site.dial("daudi").await, Dial::Rejected(_)));

    let recharge = format!("/customers/{daudi}/recharge");
    let answer = isp.owner.post(&recharge, &json!({"amount": 1250})).await?;
    assert_eq!(answer["newBalance"], 250, "{answer}");
    let now = world.clock.now();
    site.knows("daudi", "as paid", |known| {
        known.entitlement.paid_until > now
    })
    .await?;
    let online = site.dial("daudi").await.online();
    online.started().await;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());

    site.stop().await;
    world.stop().await
}

fn expiry(value: &serde_json::Value) -> Option<Timestamp> {
    Timestamp::parse(value.as_str()?)
}

/// Said once on a connection, or once in the life of a cloud: how the driver learns a type's number, and a
/// site's key.
fn is_first_use(statement: &str) -> bool {
    statement.contains("pg_catalog") || statement.starts_with("select key_sealed")
}
