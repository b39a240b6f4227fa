//! A statement of M-Pesa's portal beside our books.

use anyhow::{Context, Result};
use easyisp_shared::time::Timestamp;
use easyisp_tests::mpesa::books::Direct;
use easyisp_tests::operator::http_client;
use easyisp_tests::scenario::{Callback, Payer};
use easyisp_tests::world::{Provider, World};
use jiff::tz::{Offset, TimeZone};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::c2b::{CODE, count, lookup, pay, post, register, told, worked};
use crate::words::{DAY, MINUTE};

/// What was told of agrees, what was not is booked once, and what only we have is shown. Nothing is booked by a
/// dry run.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_finds_what_nobody_told_of() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "savanna").await?;
    let mpesa = &world.outside.mpesa;
    // Before the short code was set up here it was somebody else's business.
    let before = mpesa.pay_bill(CODE, "0799000111", "30", "amina").await;
    let before = before.context("nobody refuses it")?;
    world.clock.advance(MINUTE);
    isp.owner.add_paybill().await?;
    register(&isp).await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let known = pay(&world, "0799000111", "100", "amina").await?;
    let silent = Payer {
        confirmation: Callback::Never,
        ..Payer::prompt()
    };
    mpesa.script("0799000111", silent);
    let lost = mpesa.pay_bill(CODE, "0799000111", "1000", "amina").await;
    let lost = lost.context("nobody refuses it")?;
    world.clock.advance(MINUTE);
    // Somebody made this one up.
    let (_, url) = mpesa.c2b_urls(CODE).context("registered")?;
    let made_up = told("SJK4H7L2PQ", json!("55"), "baraka", CODE);
    assert_eq!(post(&url, &made_up).await?, 200);
    worked(&world, &isp).await?;
    let last = mpesa.pay_bill(CODE, "0799000111", "20", "who knows").await;
    let last = last.context("nobody refuses it")?;

    let statement = csv(CODE, mpesa.books().direct());
    let dry = compare(&world, &isp, "", &statement).await?.1;
    assert_eq!(numbers(&dry), (1, 0, 2), "{dry}");
    assert_eq!(dry["extra"][0]["receipt"], "SJK4H7L2PQ", "{dry}");
    assert_eq!(isp.customer(&amina).await?["status"], "EXPIRED");
    let outcome = |report: &Value, receipt: &str| {
        let mut rows = report["rows"].as_array().into_iter().flatten();
        let row = rows.find(|row| row["receipt"] == receipt);
        row.map(|row| row["outcome"].clone())
    };
    assert_eq!(outcome(&dry, &before), Some(json!("BEFORE")));
    assert_eq!(outcome(&dry, &known), Some(json!("MATCHED")));

    let real = compare(&world, &isp, "&dryRun=false", &statement).await?.1;
    assert_eq!(numbers(&real), (1, 2, 0), "{real}");
    let paid = isp.customer(&amina).await?;
    assert_eq!(
        (&paid["status"], &paid["walletBalance"]),
        (&json!("ACTIVE"), &json!(100))
    );
    let found = lookup(&isp, &format!("receipt={lost}")).await?;
    assert_eq!(
        found["payments"][0]["customerId"],
        amina.as_str(),
        "{found}"
    );
    let held = isp
        .owner
        .get(&format!("/payments/unallocated?search={last}"))
        .await?;
    assert_eq!(held["payments"][0]["payerName"], "JOHN DOE", "{held}");
    let again = compare(&world, &isp, "&dryRun=false", &statement).await?.1;
    assert_eq!(numbers(&again), (3, 0, 0), "{again}");
    let lines = "select count(*) from audit where action = 'PAYMENT_PROCESS' and target_type = 'payment gateway'";
    // Who books is written before and after.
    assert_eq!(count(&world, &isp, lines).await?, 4);

    // M-Pesa tells of it after all, and it is known.
    let late = told(&lost, json!("1000"), "amina", CODE);
    assert_eq!(post(&url, &late).await?, 200);
    worked(&world, &isp).await?;
    assert_eq!(isp.customer(&amina).await?["walletBalance"], 100);

    let other = statement.replace("\"1,000.00\"", "\"1,001.00\"");
    let differs = compare(&world, &isp, "", &other).await?.1;
    assert_eq!(
        (&differs["differs"], outcome(&differs, &lost)),
        (&json!(1), Some(json!("DIFFERS")))
    );
    for wrong in [
        csv("600000", mpesa.books().direct()),
        "a,b\n1,2\n".to_owned(),
    ] {
        let (status, answer) = compare(&world, &isp, "", &wrong).await?;
        assert_eq!(
            (status, &answer["details"][0]["field"]),
            (400, &json!("statement")),
            "{answer}"
        );
    }
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// A row that cannot be booked says why and is tried again; it is no obstacle to the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_fails_is_no_obstacle_to_the_others() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    let yesterday = world.clock.now().minus(DAY);
    let amina = isp
        .add_subscriber("amina", "254712345601", yesterday)
        .await?;
    let mpesa = &world.outside.mpesa;
    world.clock.advance(MINUTE);
    let mut receipts = Vec::new();
    for amount in ["10", "20", "30"] {
        let lost = mpesa.pay_bill(CODE, "0799000111", amount, "amina").await;
        receipts.push(lost.context("nobody refuses it")?);
    }
    let mut owner = PgConnection::connect_with(&world.database.owner()).await?;
    // Ten shillings find no room.
    let refuses = "create function refuses() returns trigger language plpgsql as
             $$ begin if new.amount = 1000 then raise exception 'no room'; end if; return new; end $$;
         create trigger refuses before insert on payments for each row execute function refuses()";
    sqlx::raw_sql(refuses).execute(&mut owner).await?;
    let statement = csv(CODE, mpesa.books().direct());
    let report = compare(&world, &isp, "&dryRun=false", &statement).await?;
    assert_eq!(report.0, 200, "{}", report.1);
    assert_eq!(numbers(&report.1), (0, 2, 0), "{}", report.1);
    assert_eq!(report.1["failed"], 1);
    let row = &report.1["rows"][0];
    assert_eq!(
        (&row["outcome"], &row["receipt"]),
        (&json!("FAILED"), &json!(receipts[0]))
    );
    let why = row["message"].as_str().context("why")?;
    assert!(why.contains("again") && !why.contains("no room"), "{why}");
    assert_eq!(isp.customer(&amina).await?["walletBalance"], 50);
    sqlx::raw_sql("drop trigger refuses on payments")
        .execute(&mut owner)
        .await?;
    let again = compare(&world, &isp, "&dryRun=false", &statement).await?.1;
    assert_eq!(numbers(&again), (2, 1, 0), "{again}");
    assert_eq!(isp.customer(&amina).await?["walletBalance"], 60);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// The portal gives out workbooks too: the same statement, read the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_may_be_a_workbook() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "sheets").await?;
    let mpesa = &world.outside.mpesa;
    let paid = mpesa
        .pay_bill(crate::c2b::CODE, "0799000111", "1000", "nobody")
        .await;
    paid.context("a receipt")?;
    let text = csv(crate::c2b::CODE, mpesa.books().direct());
    let mut rows = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut book = None;
    for row in rows.records() {
        let row = row?;
        let cells: Vec<&str> = row.iter().collect();
        match &mut book {
            None => book = Some(easyisp_cloud::api::Workbook::new(&cells)?),
            Some(book) => book.row(&cells)?,
        }
    }
    let mut book = book.context("a workbook")?;
    let mut bytes = book.take();
    bytes.extend(book.finish()?);
    let (status, dry) = compare(&world, &isp, "", bytes.clone()).await?;
    assert_eq!((status, numbers(&dry)), (200, (0, 0, 1)), "{dry}");
    let (_, booked) = compare(&world, &isp, "&dryRun=false", bytes.clone()).await?;
    assert_eq!(numbers(&booked), (0, 1, 0), "{booked}");
    let (_, again) = compare(&world, &isp, "&dryRun=false", bytes).await?;
    assert_eq!(numbers(&again), (1, 0, 0), "{again}");
    world.stop().await
}

/// Matched, booked and missing.
fn numbers(report: &Value) -> (i64, i64, i64) {
    let number = |key: &str| report[key].as_i64().unwrap_or(-1);
    (number("matched"), number("booked"), number("missing"))
}

pub(crate) async fn compare(
    world: &World,
    isp: &Provider,
    how: &str,
    statement: impl AsRef<[u8]>,
) -> Result<(u16, Value)> {
    let gateways = isp.owner.get("/payment-gateways").await?;
    let id = gateways[0]["id"].as_str().context("a gateway")?;
    let path = format!(
        "http://{}/api/payments/statement?gatewayId={id}{how}",
        world.api()
    );
    let answer = http_client()
        .post(path)
        .bearer_auth(isp.owner.token())
        .header("content-type", "text/csv")
        .body(statement.as_ref().to_vec())
        .send()
        .await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

/// As the portal writes it, of the whole days of these payments.
pub(crate) fn csv(shortcode: &str, payments: &[Direct]) -> String {
    let nairobi = TimeZone::fixed(Offset::constant(3));
    let day = |at: Timestamp| at.in_zone(&nairobi).strftime("%d-%m-%Y").to_string();
    let times = || payments.iter().map(|payment| payment.at);
    let span = times()
        .min()
        .zip(times().max())
        .map(|(first, last)| format!("From {} 00:00:00 To {} 23:59:59", day(first), day(last)));
    let text = csv_of(shortcode, &span.unwrap_or_default(), payments);
    text + "SJK4H7L2PZ,15-01-2027 11:00:00,Charge,Completed,,-5.00,1.00,Pay Merchant Charge,x,\r\n"
}

/// As the portal writes it, of a span of time.
pub(crate) fn csv_of(shortcode: &str, span: &str, payments: &[Direct]) -> String {
    let mut text = format!(
        "Organization Statement\r\nShort Code:,{shortcode}\r\nTime Period:,{span}\r\n\r\nReceipt No.,Completion Time,Details,\
         Transaction Status,Paid In,Withdrawn,Balance,Reason Type,Other Party Info,A/C No.\r\n"
    );
    let nairobi = TimeZone::fixed(Offset::constant(3));
    for payment in payments {
        let at = payment
            .at
            .in_zone(&nairobi)
            .strftime("%d-%m-%Y %H:%M:%S")
            .to_string();
        let amount = match payment.amount.as_str() {
            "1000" => "\"1,000.00\"".to_owned(),
            other => format!("{other}.00"),
        };
        text += &format!(
            "{},{at},Pay Bill Online,Completed,{amount},,9000.00,Pay Bill Online,{} - JOHN DOE,{}\r\n",
            payment.receipt, payment.phone, payment.reference,
        );
    }
    text
}
