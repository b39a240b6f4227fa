//! M-Pesa is down for hours: nobody else waits for it, it is left alone, and what was paid comes in afterwards.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_tests::mpesa::Mpesa;
use easyisp_tests::scenario::{Callback, Outage, Payer};
use easyisp_tests::world::{Provider, World, eventually, soon};
use serde_json::{Value, json};

use crate::words::DAY;

const PUSH: &str = "/mpesa/stkpush/v1/processrequest";
const QUERY: &str = "/mpesa/stkpushquery/v1/query";

/// Dozens of queries wait for an answer that does not come, and a customer renews all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_provider_stops_no_renewal() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    let mpesa = &world.outside.mpesa;
    let now = world.clock.now();
    mpesa.script_everybody(Payer {
        callback: Callback::Never,
        ..Payer::prompt()
    });
    for nth in 0..40 {
        let phone = format!("2547123456{nth:02}");
        let payer = isp
            .add_subscriber(&format!("payer{nth}"), &phone, now.minus(DAY))
            .await?;
        let checkout = isp.ask_to_pay(&payer, 1000).await?;
        soon(
            "the payer types his PIN",
            mpesa.until(|books| books.find(&checkout)?.receipt().map(drop)),
        )
        .await?;
    }
    let jane = isp
        .add_subscriber("jane", "254712345699", now.minus(DAY))
        .await?;
    let recharge = json!({"amount": 2000});
    isp.owner
        .post(&format!("/customers/{jane}/recharge"), &recharge)
        .await?;
    let soon_over = now.plus(Duration::from_secs(12)).to_string();
    let renews = json!({"autoRenew": true});
    isp.owner
        .put(&format!("/customers/{jane}"), &renews)
        .await?;
    let over = json!({"expiresAt": soon_over});
    isp.owner
        .put(&format!("/customers/{jane}/expiry"), &over)
        .await?;

    mpesa.outage(Outage::Silence);
    let before = mpesa.calls(QUERY);
    world.clock.advance(Duration::from_secs(11));
    eventually("M-Pesa is asked, and silent", async || {
        Ok((mpesa.calls(QUERY) >= before + 16).then_some(()))
    })
    .await?;
    world.clock.advance(Duration::from_secs(2));
    // A query waits 15 seconds for its answer: whoever waits behind sixteen of them is late.
    let renewed = isp.customer_becomes(&jane, "renewed by herself", |customer| {
        customer["walletBalance"] == 0
    });
    let within = tokio::time::timeout(Duration::from_secs(10), renewed).await;
    within.context("renewals wait for M-Pesa")??;
    mpesa.outage(Outage::None);
    world.stop().await
}

/// K2: errors for hours. After a few of them M-Pesa is left alone but for one call now and then; who wants to pay
/// hears it at once; and when it works again, all that was paid comes in, with a fresh token.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_is_left_alone_until_it_works() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    let mpesa = &world.outside.mpesa;
    let yesterday = world.clock.now().minus(DAY);
    mpesa.script_everybody(Payer {
        callback: Callback::Never,
        ..Payer::prompt()
    });
    let mut payers = Vec::new();
    for nth in 0..3 {
        let phone = format!("2547123456{nth:02}");
        let payer = isp
            .add_subscriber(&format!("payer{nth}"), &phone, yesterday)
            .await?;
        let checkout = isp.ask_to_pay(&payer, 1000).await?;
        soon(
            "the payer types his PIN",
            mpesa.until(|books| books.find(&checkout)?.receipt().map(drop)),
        )
        .await?;
        payers.push(payer);
    }
    let mut late = Vec::new();
    for nth in 0..12 {
        let phone = format!("2547123457{nth:02}");
        let name = format!("late{nth}");
        late.push(isp.add_subscriber(&name, &phone, yesterday).await?);
    }
    let (tokens, pushed, all) = (mpesa.tokens_issued(), mpesa.calls(PUSH), calls(mpesa));

    mpesa.outage(Outage::Error("503.001.01".into()));
    for payer in &late {
        refused(&isp, payer).await?;
    }
    assert_eq!(mpesa.calls(PUSH), pushed + 5, "then it is left alone");
    // Two hours: of those who want to pay the first one tries whether it works again.
    for nth in 0..30 {
        world.clock.advance(Duration::from_secs(240));
        for payer in late.iter().cycle().skip(nth * 3).take(3) {
            refused(&isp, payer).await?;
        }
    }
    let tried = mpesa.calls(PUSH) - pushed - 5;
    assert!((10..=30).contains(&tried), "tried {tried} times");
    let tried = calls(mpesa) - all;
    assert!(tried <= 150, "called {tried} times in two hours");
    let unpaid = "select count(*) from payments";
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    let unpaid: i64 = sqlx::query_scalar(unpaid).fetch_one(&mut *tx).await?;
    drop(tx);
    assert_eq!(unpaid, 0, "nothing is made up");

    mpesa.outage(Outage::None);
    eventually("all that was paid comes in", async || {
        world.clock.advance(Duration::from_secs(30));
        for payer in &payers {
            if isp.customer(payer).await?["status"] != "ACTIVE" {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await?;
    assert!(
        mpesa.tokens_issued() > tokens,
        "the one from before is old by now"
    );
    world.clock.advance(Duration::from_secs(121));
    isp.ask_to_pay(&late[0], 1000).await?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// How often M-Pesa was called, whatever for.
fn calls(mpesa: &Mpesa) -> u64 {
    [PUSH, QUERY, "/oauth/v1/generate"]
        .map(|path| mpesa.calls(path))
        .iter()
        .sum()
}

async fn refused(isp: &Provider, payer: &str) -> Result<Value> {
    let ask = json!({"customerId": payer, "amount": 1000});
    let (status, told) = isp
        .owner
        .call(reqwest::Method::POST, "/payments/mpesa/stk", Some(&ask))
        .await?;
    ensure!(status.as_u16() == 503, "{status}: {told}");
    Ok(told)
}
