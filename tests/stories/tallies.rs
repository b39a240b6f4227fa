//! What lists and reports sum over years is kept by day: it is what the rows give, whatever becomes of them, and what is
//! changed behind the server's back is found.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_tests::scenario::Payer;
use easyisp_tests::world::{Provider, World, eventually, soon};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::finance::Shop;
use crate::words::DAY;

/// Sales, invoices, payments of every kind, and what was taken back of them: lists and reports say the same before the
/// differences are added up and after, by whole days and by hours.
#[tokio::test(flavor = "multi_thread")]
async fn sums_by_day_follow_whatever_becomes_of_money() -> Result<()> {
    let shop = Shop::open("tallies").await?;
    let owner = shop.owner();
    owner.add_paybill().await?;
    let router = json!({"name": "Hill", "ipAddress": "10.0.0.1"});
    let router = owner.post("/nas", &router).await?;
    let yesterday = shop.world.clock.now().minus(DAY);
    let jane = shop
        .isp
        .add_subscriber("jane", "254712345601", yesterday)
        .await?;
    let path = format!("/customers/{jane}");
    owner.put(&path, &json!({"nasId": router["id"]})).await?;
    let bought = json!({"amount": 1000});
    owner.post(&format!("{path}/recharge"), &bought).await?;
    billed(
        owner,
        &jane,
        116,
        json!({"status": "paid", "method": "Cash"}),
    )
    .await?;
    billed(owner, &jane, 50, json!({"status": "cancelled"})).await?;
    billed(owner, &jane, 70, json!({"status": "pending"})).await?;
    let rent = json!({"customerName": "Mast tenant", "amount": 300, "method": "Cash",
        "description": "Rent of a mast"});
    owner.post("/finance/income", &rent).await?;
    let wrong = json!({"customerId": jane, "amount": 500, "method": "BANK_TRANSFER"});
    let wrong = owner.post("/payments/manual", &wrong).await?;
    let wrong = format!(
        "/payments/manual/{}",
        wrong["id"].as_str().context("an id")?
    );
    owner.confirm().await?;
    let (status, answer) = owner.call(Method::DELETE, &wrong, None).await?;
    assert!(status.is_success(), "{answer}");
    let mpesa = &shop.world.outside.mpesa;
    mpesa.script("254712345601", Payer::prompt());
    let checkout = shop.isp.ask_to_pay(&jane, 200).await?;
    soon("M-Pesa calls back", mpesa.called_back(&checkout, 1)).await?;
    eventually("the prompt is paid", async || {
        let paid = owner.get("/payments/mpesa?status=completed").await?;
        Ok((paid["total"] == 1).then_some(()))
    })
    .await?;

    all_agree(&shop).await?;
    added_up(&shop).await?;
    all_agree(&shop).await?;
    shop.world.clock.advance(DAY * 2);
    added_up(&shop).await?;
    let long = "/finance/income?startDate=2027-01-15T05:00:00Z&endDate=2027-01-17T05:00:00Z";
    let day = "/finance/income?startDate=2027-01-15&endDate=2027-01-15";
    assert_eq!(
        owner.get(long).await?["stats"],
        owner.get(day).await?["stats"]
    );
    let after = owner.get("/finance/income?startDate=2027-01-16").await?;
    assert_eq!(
        (&after["total"], &after["stats"]["totalIncome"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(shop.world.book_findings().await?, Vec::<String>::new());
    shop.world.stop().await
}

async fn billed(
    owner: &easyisp_tests::operator::Operator,
    customer: &str,
    amount: u32,
    status: Value,
) -> Result<()> {
    let bill = json!({"customerId": customer, "amount": amount, "dueDate": "2027-01-20",
        "items": [{"description": "Cable", "amount": amount}]});
    let bill = owner.post("/finance/invoices", &bill).await?;
    let bill = bill["id"].as_str().context("an invoice")?;
    owner
        .put(&format!("/finance/invoices/{bill}/status"), &status)
        .await?;
    Ok(())
}

/// A third of an invoice is taken back, and the rest is paid at the counter: every list and report has the rest, and
/// those without taxes the rest without its own.
#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_credited_in_part_counts_as_what_was_paid() -> Result<()> {
    let shop = Shop::open("credited").await?;
    let owner = shop.owner();
    let router = json!({"name": "Hill", "ipAddress": "10.0.0.1"});
    let router = owner.post("/nas", &router).await?;
    let now = shop.world.clock.now();
    let jane = shop.isp.add_subscriber("jane", "254712345601", now).await?;
    let path = format!("/customers/{jane}");
    owner.put(&path, &json!({"nasId": router["id"]})).await?;
    let taxes = json!({"taxes": [{"name": "VAT", "rate": 16}]});
    owner.put("/finance/taxes", &taxes).await?;
    for (credited, last) in [
        (348, json!({"status": "paid", "method": "Cash"})),
        (116, json!(null)),
    ] {
        let bill = json!({"customerId": jane, "amount": 1160, "dueDate": "2027-01-20",
            "items": [{"description": "Mast", "amount": 1160}]});
        let bill = owner.post("/finance/invoices", &bill).await?;
        let bill = format!(
            "/finance/invoices/{}",
            bill["id"].as_str().context("an invoice")?
        );
        let note = json!({"amount": credited, "description": "Rust"});
        owner.post(&format!("{bill}/credit-notes"), &note).await?;
        if !last.is_null() {
            owner.put(&format!("{bill}/status"), &last).await?;
        }
    }
    for added in [false, true] {
        if added {
            added_up(&shop).await?;
        }
        // All from what is kept, and from rows: a part of a day, and what is searched for.
        for range in [
            "",
            "?startDate=2027-01-14T22:00:00Z&endDate=2027-01-15T20:00:00Z",
            "?search=jane",
        ] {
            let page = owner.get(&format!("/finance/income{range}")).await?;
            assert_eq!(
                (
                    &page["stats"]["totalIncome"],
                    &page["stats"]["cashTotal"],
                    &page["transactions"][0]["amount"]
                ),
                (&json!(812), &json!(812), &json!(812)),
                "{range}: {page}"
            );
        }
        for (by, amount) in [
            ("package", 1600),
            ("router", 1600),
            ("method", 812),
            ("operator", 812),
        ] {
            let report = owner.get(&format!("/reports/revenue?by={by}")).await?;
            assert_eq!(report["total"], json!(amount), "{by}: {report}");
        }
    }
    shop.closes().await
}

async fn all_agree(shop: &Shop) -> Result<()> {
    let owner = shop.owner();
    let income =
        json!({"totalIncome": 1616, "mpesaTotal": 200, "cashTotal": 1416, "totalTransactions": 4});
    for range in [
        "",
        "?startDate=2027-01-15",
        "?startDate=2027-01-15&endDate=2027-01-15",
        // A part of a day has no tally: it is read from rows.
        "?startDate=2027-01-14T22:00:00Z&endDate=2027-01-15T20:00:00Z",
    ] {
        let page = owner.get(&format!("/finance/income{range}")).await?;
        assert_eq!(
            (&page["stats"], &page["total"]),
            (&income, &json!(5)),
            "{range}"
        );
    }
    let cash = owner.get("/finance/income?method=Cash").await?;
    assert_eq!(
        (&cash["stats"]["totalIncome"], &cash["total"]),
        (&json!(1416), &json!(3))
    );
    for (query, total) in [
        ("", 1),
        ("?status=completed", 1),
        ("?status=pending", 0),
        ("?status=failed", 0),
        ("?status=refunded", 0),
    ] {
        let list = owner.get(&format!("/payments/mpesa{query}")).await?;
        let shown = list["transactions"].as_array().map(Vec::len);
        assert_eq!(
            (&list["total"], shown),
            (&json!(total), Some(total)),
            "{query}"
        );
    }
    let stats = owner.get("/payments/mpesa/stats").await?;
    assert_eq!(
        (
            &stats["todayReceived"],
            &stats["thisMonthTransactions"],
            &stats["successRate"]
        ),
        (&json!(200), &json!(1), &json!(100)),
        "{stats}"
    );
    assert_eq!(owner.get("/payments/manual?page=1").await?["total"], 1);
    // What is searched for is summed from rows.
    for of in [
        "",
        "status=paid&",
        "status=cancelled&",
        "status=pending&",
        "status=overdue&",
    ] {
        let kept = owner.get(&format!("/finance/invoices?{of}page=1")).await?;
        let rows = owner
            .get(&format!("/finance/invoices?{of}page=1&search=INV"))
            .await?;
        assert_eq!(
            (&kept["stats"], &kept["total"]),
            (&rows["stats"], &rows["total"]),
            "{of}"
        );
    }
    for (by, rows) in [
        // 1,000 a month, and 116 and 70 for cables.
        (
            "package",
            json!([["Home 10", 1, 1000], ["No package", 2, 186]]),
        ),
        ("router", json!([["Hill", 3, 1186]])),
        ("method", json!([["CASH", 2, 1116], ["MPESA", 1, 200]])),
    ] {
        let report = owner.get(&format!("/reports/revenue?by={by}")).await?;
        let shown: Vec<Value> = report["rows"]
            .as_array()
            .context("rows")?
            .iter()
            .map(|row| json!([row["name"], row["count"], row["amount"]]))
            .collect();
        assert_eq!(json!(shown), rows, "{by}: {report}");
    }
    let report = owner.get("/reports/revenue?by=operator").await?;
    let amounts: Vec<&Value> = report["rows"]
        .as_array()
        .context("rows")?
        .iter()
        .map(|row| &row["amount"])
        .collect();
    assert_eq!(amounts, [&json!(1116), &json!(200)], "{report}");
    Ok(())
}

/// Waits until no difference waits.
async fn added_up(shop: &Shop) -> Result<()> {
    eventually("the differences are added up", async || {
        shop.world.clock.advance(Duration::from_secs(1));
        let mut tx = shop.world.db().begin(shop.isp.tenant().await?).await?;
        let waiting: i64 = sqlx::query_scalar("select count(*) from untallied")
            .fetch_one(&mut *tx)
            .await?;
        Ok((waiting == 0).then_some(()))
    })
    .await
}

/// Somebody adds a shilling to a sum with psql: within five minutes the owner sees which one it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_tally_is_found_and_named() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "savanna").await?;
    let now = world.clock.now();
    let jane = isp.add_subscriber("jane", "254712345601", now).await?;
    let recharge = json!({"amount": 300});
    isp.owner
        .post(&format!("/customers/{jane}/recharge"), &recharge)
        .await?;
    let shop = Shop { world, isp };
    added_up(&shop).await?;
    let mut psql = PgConnection::connect_with(&shop.world.database.anybody()).await?;
    let changed = sqlx::query("update tallies set amount = amount + 100 where what = 'PAYMENT'")
        .execute(&mut psql)
        .await?;
    assert_eq!(changed.rows_affected(), 1);
    let found = eventually("the change is found", async || {
        shop.world.clock.advance(Duration::from_secs(30));
        let books = shop.owner().get("/finance/books").await?;
        Ok((books["proved"] == false && books["findings"][0].is_string()).then_some(books))
    })
    .await?;
    let said = found["findings"].to_string();
    assert!(
        said.contains("the tally of PAYMENT CASH completed"),
        "{said}"
    );
    assert!(
        said.contains("on 2027-01-15 is 1 of 30100 where the rows give 1 of 30000"),
        "{said}"
    );
    shop.world.stop().await
}
