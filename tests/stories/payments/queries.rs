//! What our own queries settle, alone and beside a callback.

use std::time::Duration;

use anyhow::Result;
use easyisp_tests::scenario::{Callback, Payer, PinResult};

use super::world::{PHONE, given_world};

/// C2: no callback ever comes; every paid prompt is settled by our own queries, and nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn without_callbacks_the_query_settles_everything() -> Result<()> {
    let world = given_world().await?;
    let never = |result| Payer {
        callback: Callback::Never,
        result,
        ..Payer::prompt()
    };
    world.outside.mpesa.script_everybody(never(PinResult::Paid));
    let mut paid = Vec::new();
    for number in 0..5 {
        let phone = format!("07123456{number:02}");
        let customer = world.customer(&format!("payer{number}"), &phone).await?;
        paid.push(world.owner.ask_to_pay(&customer, 1_000).await?);
    }
    world.outside.mpesa.script(PHONE, never(PinResult::Code(1)));
    let poor = world.customer("poor", PHONE).await?;
    let refused = world.owner.ask_to_pay(&poor, 1_000).await?;

    world.clock.advance(Duration::from_secs(10));
    for checkout in &paid {
        world.until(checkout, "completed").await?;
    }
    world.until(&refused, "failed").await?;
    assert_eq!(world.credits().await?, 5);
    world.end().await
}

/// C3: callback and query finish the payment at the same moment, in both orders; one credit, one period.
#[tokio::test(flavor = "multi_thread")]
async fn query_and_callback_together_credit_once() -> Result<()> {
    let world = given_world().await?;
    let rounds = match std::env::var_os("EASYISP_TEST_FULL") {
        Some(_) => 1_000,
        None => 20,
    };
    world.outside.mpesa.script_everybody(Payer {
        callback: Callback::Held,
        ..Payer::prompt()
    });
    for round in 0..rounds {
        let phone = format!("0712{round:06}");
        let customer = world.customer(&format!("payer{round}"), &phone).await?;
        let checkout = world.owner.ask_to_pay(&customer, 1_000).await?;
        world
            .outside
            .mpesa
            .until(|books| books.find(&checkout)?.receipt().map(str::to_owned))
            .await;
        match round % 3 {
            0 => {
                world.query(&checkout).await?;
                world.outside.mpesa.release(&checkout);
            }
            1 => {
                world.outside.mpesa.release(&checkout);
                world.query(&checkout).await?;
            }
            _ => {
                let query = world.query(&checkout);
                world.outside.mpesa.release(&checkout);
                query.await?;
            }
        }
        world.outside.mpesa.called_back(&checkout, 1).await;
        world.worked().await?;
        let status = world.until(&checkout, "completed").await?;
        let receipt = world.transaction(&checkout).await?;
        assert_eq!(
            status["receipt"].as_str(),
            receipt.receipt(),
            "round {round}"
        );
        world.clock.advance(Duration::from_secs(61));
    }
    assert_eq!(world.credits().await?, rounds);
    assert_eq!(world.count("select count(*) from periods").await?, rounds);
    assert_eq!(
        world
            .count("select count(*) from payments where receipt is null")
            .await?,
        0
    );
    let reviews = "select count(*) from intents where needs_review is not null";
    assert_eq!(world.count(reviews).await?, 0);
    world.end().await
}
