//! Somebody who is not M-Pesa tells of money at the platform's short code.

use anyhow::{Context, Result};
use easyisp_shared::time::Clock;
use easyisp_tests::mpesa::App;
use easyisp_tests::scenario::{Callback, Payer};
use easyisp_tests::world::{World, eventually};
use serde_json::{Value, json};

use super::super::{CENTRAL, central, given};
use super::{STRANGER, slip};
use crate::c2b::{count, post, told};
use crate::words::MINUTE;

/// What comes from elsewhere than M-Pesa's addresses is no money, whomever it names: it is kept without being vouched for,
/// for a person of the platform, and comes into nobody's wallet. When M-Pesa says it too, it counts, once, and for whom
/// the payer named.
#[tokio::test(flavor = "multi_thread")]
async fn what_mpesa_does_not_vouch_for_is_in_no_wallet() -> Result<()> {
    let world = World::start_with(Clock::test(crate::money::noon()), |config| {
        central(config);
        config.mpesa.sources = vec!["10.99.0.0/16".parse().expect("a network")];
    })
    .await?;
    let mpesa = &world.outside.mpesa;
    mpesa.add_app(App::paybill(CENTRAL));
    mpesa.script_everybody(Payer {
        confirmation: Callback::Never,
        ..Payer::prompt()
    });
    let kiosk = given(&world).await?;
    kiosk.switch(true).await?;
    kiosk.asks(&world).await?;
    let (_, door) = mpesa.c2b_urls(CENTRAL).context("registered")?;
    let number = kiosk.number().await?;
    world.clock.advance(MINUTE);
    let made_up = told("SJK4H7L2PQ", json!("900"), &number, CENTRAL);
    assert_eq!(post(&door, &made_up).await?, 200);

    // Real money, of which somebody who knows the address tells first.
    let real = mpesa
        .pay_bill(CENTRAL, STRANGER, "70", &slip(&number))
        .await;
    let real = real.context("nobody refuses it")?;
    let early = told(&real, json!("70"), &slip(&number), CENTRAL);
    assert_eq!(post(&door, &early).await?, 200);
    let more = mpesa.pay_bill(CENTRAL, STRANGER, "30", "nobody").await;
    let more = more.context("nobody refuses it")?;
    let more_than = told(&more, json!("30000"), "nobody", CENTRAL);
    assert_eq!(post(&door, &more_than).await?, 200);
    // And of what names nobody somebody says that it is for this customer.
    let astray = told(&more, json!("30"), &number, CENTRAL);
    assert_eq!(post(&door, &astray).await?, 200);
    kiosk.becomes_stray("SJK4H7L2PQ", "OPEN").await?;
    let stray = kiosk.becomes_stray(&real, "OPEN").await?;
    assert_eq!(stray["vouched"], false, "{stray}");
    let stray = kiosk.becomes_stray(&more, "OPEN").await?;
    assert_eq!(stray["amount"], 30_000, "{stray}");
    kiosk.all_worked(&world).await?;
    kiosk.assign(&real, &number).await?;
    let customer = kiosk.isp.customer(&kiosk.amina).await?;
    assert_eq!(customer["walletBalance"], 0, "{customer}");
    let nobodys = "select count(*) from payments where customer_id is null";
    assert_eq!(count(&world, &kiosk.isp, nobodys).await?, 1);

    world.clock.advance(10 * MINUTE);
    kiosk
        .isp
        .customer_becomes(&kiosk.amina, "what M-Pesa says", |customer| {
            customer["walletBalance"] == 70
        })
        .await?;
    eventually("M-Pesa's word takes the place of it", async || {
        let strays: Vec<Value> = kiosk.strays("OPEN").await?;
        let said = strays
            .iter()
            .find(|stray| stray["receipt"] == more.as_str());
        Ok(said
            .filter(|stray| stray["amount"] == 30 && stray["vouched"] == true)
            .cloned())
    })
    .await?;
    assert_eq!(count(&world, &kiosk.isp, nobodys).await?, 0);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}
