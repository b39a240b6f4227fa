//! Kept tables beside the books: whoever changes a cent or a row of one with psql is found, and the row is named.

use anyhow::{Context, Result, ensure};
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{PASSWORD, eventually};
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::finance::Shop;
use crate::words::DAY;

/// What is changed, how it is changed back, and what names the row once it is changed.
const CHANGES: [(&str, &str, &str); 16] = [
    (
        "update floats set balance = balance + 1",
        "update floats set balance = balance - 1",
        "select operator_id::text from floats",
    ),
    (
        "update floats set owed = owed + 1",
        "update floats set owed = owed - 1",
        "select operator_id::text from floats",
    ),
    (
        "update float_moves set amount = amount + 1",
        "update float_moves set amount = amount - 1",
        "select 'float ' || id from float_moves",
    ),
    (
        "update float_moves set kind = 'RETURN'",
        "update float_moves set kind = 'LOAD'",
        "select 'float ' || id from float_moves",
    ),
    (
        "with gone as (delete from float_moves returning *) insert into gone_moves select * from gone",
        "insert into float_moves select * from gone_moves",
        "select 'float ' || id from gone_moves",
    ),
    (
        "update payments set amount = amount + 1 where seller_id is not null",
        "update payments set amount = amount - 1 where seller_id is not null",
        "select id::text from payments where seller_id is not null",
    ),
    (
        "update payments set status = 'voided' where seller_id is not null",
        "update payments set status = 'completed' where seller_id is not null",
        "select 'the commission of payment ' || id from payments where seller_id is not null",
    ),
    (
        "update invoices set amount = amount + 1 where revenue = '4010'",
        "update invoices set amount = amount - 1 where revenue = '4010'",
        "select id::text from invoices where revenue = '4010'",
    ),
    (
        "update invoices set credited = credited + 1 where revenue = '4010'",
        "update invoices set credited = credited - 1 where revenue = '4010'",
        "select number from invoices where revenue = '4010'",
    ),
    (
        "update credit_notes set amount = amount + 1",
        "update credit_notes set amount = amount - 1",
        "select number from invoices where revenue = '4010'",
    ),
    (
        "update periods set tax = tax + 1 where tax > 0",
        "update periods set tax = tax - 1 where tax > 0",
        "select 'period ' || id from periods where tax > 0",
    ),
    (
        "update periods set price = price + 1 where tax > 0",
        "update periods set price = price - 1 where tax > 0",
        "select 'period ' || id from periods where tax > 0",
    ),
    (
        "update periods set taxes = jsonb_set(taxes, '{0,amount}', to_jsonb((taxes->0->>'amount')::numeric + 0.01))
          where tax > 0",
        "update periods set taxes = jsonb_set(taxes, '{0,amount}', to_jsonb((taxes->0->>'amount')::numeric - 0.01))
          where tax > 0",
        "select 'receipt ' || number from invoices where period_id is not null",
    ),
    (
        "update invoices set amount = amount + 1 where period_id is not null",
        "update invoices set amount = amount - 1 where period_id is not null",
        "select 'receipt ' || number from invoices where period_id is not null",
    ),
    (
        "update invoices set taxes = jsonb_set(taxes, '{1,amount}', to_jsonb((taxes->1->>'amount')::numeric + 0.01))
          where period_id is not null",
        "update invoices set taxes = jsonb_set(taxes, '{1,amount}', to_jsonb((taxes->1->>'amount')::numeric - 0.01))
          where period_id is not null",
        "select 'receipt ' || number from invoices where period_id is not null",
    ),
    (
        "update invoices set serial = serial + 100 where period_id is not null",
        "update invoices set serial = serial - 100 where period_id is not null",
        "select 'invoices of ' || year from invoices where period_id is not null",
    ),
];

/// A seller's float and commission, an installation fee of which a part was taken back, and a prepaid sale with its taxes and receipt.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_changed_beside_the_books_is_named() -> Result<()> {
    let shop = Shop::open("tampered").await?;
    let owner = shop.owner();
    let taxes =
        json!({"taxes": [{"name": "Excise duty", "rate": 15}, {"name": "VAT", "rate": 16}]});
    owner.put("/finance/taxes", &taxes).await?;
    let prepaid = json!({"taxed": true, "receipts": true});
    owner.put("/tenant/prepaid", &prepaid).await?;
    let email = "juma@tampered.example";
    let juma = json!({"name": "Juma", "email": email, "password": PASSWORD, "role": "ADMIN"});
    let juma = owner.post("/tenant/operators", &juma).await?;
    let seller = format!("/finance/sellers/{}", juma["id"].as_str().context("an id")?);
    let terms = json!({"active": true, "commissionPercent": 10});
    owner.put(&seller, &terms).await?;
    let load = json!({"kind": "LOAD", "amount": 3000, "method": "Cash", "reference": "slip 1"});
    owner.post(&format!("{seller}/moves"), &load).await?;
    let juma = Operator::login(shop.world.api(), email, PASSWORD).await?;
    let until = shop.world.clock.now().plus(DAY);
    let asha = shop
        .isp
        .add_subscriber("asha", "254712345671", until)
        .await?;
    juma.post(
        "/payments/manual",
        &json!({"customerId": asha, "amount": 1000}),
    )
    .await?;
    let jane = json!({"username": "jane", "password": "jane", "name": "Jane", "phone": "0712345672",
        "connectionType": "PPPOE", "packageId": shop.isp.package, "expiresAt": until.to_string(),
        "installationFee": 1500.5});
    owner.post("/customers", &jane).await?;
    let fee = eventually(
        "the fee is billed and the sale has its receipt",
        async || {
            let page = owner.get("/finance/invoices?pageSize=100").await?;
            let invoices = page["invoices"].as_array().context("invoices")?;
            let receipts = owner.get("/finance/invoices?receipts=true").await?;
            let fee = invoices.iter().find(|one| one["amount"] == 1500.5);
            let fee = fee.map(|one| one["id"].to_string().replace('"', ""));
            Ok(fee.filter(|_| receipts["total"] == 1))
        },
    )
    .await?;
    let part = json!({"amount": 100});
    let path = format!("/finance/invoices/{fee}/credit-notes");
    let (status, answer) = owner.call(Method::POST, &path, Some(&part)).await?;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    assert_eq!(shop.world.book_findings().await?, Vec::<String>::new());

    let mut psql = PgConnection::connect_with(&shop.world.database.owner()).await?;
    sqlx::query("select set_config('app.tenant', $1::text, false)")
        .bind(shop.isp.tenant().await?.to_string())
        .execute(&mut psql)
        .await?;
    sqlx::raw_sql("create temp table gone_moves (like float_moves)")
        .execute(&mut psql)
        .await?;
    for (change, undo, named) in CHANGES {
        let done = sqlx::query(change).execute(&mut psql).await?;
        assert_eq!(done.rows_affected(), 1, "{change}");
        let named: String = sqlx::query_scalar(named).fetch_one(&mut psql).await?;
        let found = shop.world.book_findings().await?;
        ensure!(
            found.iter().any(|what| what.contains(&named)),
            "{change}: {named} is not named in {found:?}"
        );
        let done = sqlx::query(undo).execute(&mut psql).await?;
        assert_eq!(done.rows_affected(), 1, "{undo}");
        let found = shop.world.book_findings().await?;
        assert_eq!(found, Vec::<String>::new(), "undone: {change}");
    }
    shop.closes().await
}
