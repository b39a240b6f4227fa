//! What a new customer owes for his installation.

use anyhow::{Context, Result};
use easyisp_tests::world::{Provider, World, eventually};
use serde_json::{Value, json};

use crate::words::DAY;

/// The fee is an invoice, once, and income of its own in the books; changing it later bills nothing, and to take the
/// invoice back takes that income back. An import bills nobody.
#[tokio::test(flavor = "multi_thread")]
async fn an_installation_is_billed_once() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    let owner = &isp.owner;
    let until = world.clock.now().plus(DAY).to_string();
    let jane = json!({"username": "jane", "password": "jane", "name": "Jane", "phone": "0712345601",
        "connectionType": "PPPOE", "packageId": isp.package, "expiresAt": until, "installationFee": 1500.5});
    let jane = owner.post("/customers", &jane).await?;
    let jane = jane["id"].as_str().context("a customer")?;

    let invoice = eventually("she is billed", async || {
        let listed = invoices(&isp).await?;
        Ok(listed.into_iter().next())
    })
    .await?;
    assert_eq!(
        (&invoice["amount"], &invoice["status"]),
        (&json!(1500.5), &json!("pending"))
    );
    assert_eq!(income(&isp).await?, json!(1500.5));

    // A new fee, and the same job once more, change nothing.
    let dearer = json!({"installationFee": 2000});
    owner.put(&format!("/customers/{jane}"), &dearer).await?;
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    let now = world.clock.now();
    easyisp_cloud::invoices::install(&mut tx, jane.parse()?, now).await?;
    tx.commit().await?;
    assert_eq!(invoices(&isp).await?.len(), 1);

    let import = "username,password,name,type,phone,installationFee\nbaraka,secret12,Baraka,PPPOE,0712345602,700\n";
    let made = crate::imports::report(&world, owner, "", import).await?;
    assert_eq!(crate::imports::counts(&made), [1, 0, 0, 0], "{made}");
    let mut directory = world.db().directory().await?;
    let due = "select count(*) from directory.jobs where kind = 'invoices.install'";
    let due: i64 = sqlx::query_scalar(due).fetch_one(&mut *directory).await?;
    drop(directory);
    assert_eq!(due, 0, "nor will they");
    assert_eq!(invoices(&isp).await?.len(), 1, "imports bill nobody");

    let number = invoice["id"].as_str().context("an invoice")?;
    let cancelled = json!({"status": "cancelled"});
    let path = format!("/finance/invoices/{number}/status");
    owner.put(&path, &cancelled).await?;
    assert_eq!(income(&isp).await?, json!(0));
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

async fn invoices(isp: &Provider) -> Result<Vec<Value>> {
    let listed = isp.owner.get("/finance/invoices?page=1").await?;
    Ok(listed["invoices"].as_array().cloned().unwrap_or_default())
}

/// What was earned with installations.
async fn income(isp: &Provider) -> Result<Value> {
    let accounts = isp.owner.get("/finance/accounts").await?;
    let mut accounts = accounts.as_array().into_iter().flatten();
    let earned = accounts.find(|account| account["code"] == "4010");
    Ok(earned.map_or(json!(0), |account| account["balance"].clone()))
}
