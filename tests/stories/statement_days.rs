//! Days that a statement closes.

use anyhow::{Context, Result};
use easyisp_cloud::renewals::{Channel, Method as Came, Receipt, Till, receive};
use easyisp_shared::money::Cents;
use easyisp_tests::world::{PASSWORD, Provider, World};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::c2b::{CODE, count, pay, post, told, worked};
use crate::statement::{compare, csv, csv_of};
use crate::words::{DAY, HOUR};

/// A day that agrees is closed by its statement; nothing is dated into it any more, and the owner alone opens it again.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_agrees_closes_its_day() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "closing").await?;
    let mpesa = &world.outside.mpesa;
    let today = "2027-01-15";
    mpesa.pay_bill(CODE, "0799000111", "100", "nobody").await;
    let statement = csv(CODE, mpesa.books().direct());
    let running = compare(&world, &isp, "&dryRun=false", &statement).await?.1;
    assert_eq!(
        (&running["booked"], &running["days"]),
        (&json!(1), &json!([])),
        "it is not over"
    );

    world.clock.advance(DAY);
    let dry = compare(&world, &isp, "", &statement).await?.1;
    assert_eq!(dry["days"], json!([]), "a dry run closes nothing");
    assert_eq!(days(&isp).await?, json!([]));
    let closing = compare(&world, &isp, "&dryRun=false", &statement).await?.1;
    let closed = json!([{"day": today, "state": "CLOSED"}]);
    assert_eq!(closing["days"], closed, "{closing}");
    let day = &days(&isp).await?[0];
    assert_eq!(
        (&day["state"], &day["differences"]),
        (&json!("CLOSED"), &json!([])),
        "{day}"
    );
    assert_eq!(
        (&day["received"], &day["booked"]),
        (&json!(100), &json!(100))
    );
    assert_eq!(
        (&day["openingBalance"], &day["closingBalance"]),
        (&json!(8900), &json!(1))
    );
    assert!(
        day["closedAt"].is_string() && day["closedBy"].is_string(),
        "{day}"
    );
    let again = compare(&world, &isp, "&dryRun=false", &statement).await?.1;
    assert_eq!(again["days"], closed);

    let lock = isp.owner.get("/finance/lock").await?;
    assert_eq!(lock["until"], "2027-01-16", "{lock}");
    let typed = json!({"amount": 5, "customerName": "Walk-in", "description": "Cable", "date": today, "method": "Cash"});
    isp.owner.post("/finance/income", &typed).await?;
    let inside = "select count(*) from entries e join book_locks l on l.tenant_id = e.tenant_id
                   where e.kind = 'INCOME' and e.occurred_at < l.open_from";
    assert_eq!(count(&world, &isp, inside).await?, 0);
    let open = json!({"until": null});
    let (status, answer) = isp
        .owner
        .call(Method::PUT, "/finance/lock", Some(&open))
        .await?;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &json!("DAY_CLOSED"))
    );

    let reopen = json!({"day": today, "reason": "The bank had it wrong"});
    let admin = json!({"name": "Juma", "email": "juma@closing.example", "password": PASSWORD, "role": "ADMIN"});
    isp.owner.post("/tenant/operators", &admin).await?;
    let juma =
        easyisp_tests::operator::Operator::login(world.api(), "juma@closing.example", PASSWORD)
            .await?;
    let path = "/payments/days/reopen";
    let (status, answer) = juma.call(Method::POST, path, Some(&reopen)).await?;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::FORBIDDEN, &json!("OWNER_ONLY"))
    );
    let (status, _) = isp
        .owner
        .call(Method::POST, path, Some(&json!({"day": today})))
        .await?;
    assert_eq!(status, StatusCode::BAD_REQUEST, "why?");
    isp.owner.post(path, &reopen).await?;
    assert_eq!(isp.owner.get("/finance/lock").await?["until"], today);
    let day = &days(&isp).await?[0];
    assert_eq!(
        (&day["state"], &day["reopenReason"]),
        (&json!("OPEN"), &reopen["reason"])
    );
    let (status, _) = isp.owner.call(Method::POST, path, Some(&reopen)).await?;
    assert_eq!(status, StatusCode::NOT_FOUND);
    isp.owner.put("/finance/lock", &open).await?;
    let trail = "select count(*) from audit where action = 'BOOKS_LOCK' and details like '%The bank had it wrong'";
    assert_eq!(count(&world, &isp, trail).await?, 1);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// A day that differs stays open until each difference is explained; the last day is opened first.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_differs_waits_for_an_explanation() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "differing").await?;
    crate::c2b::register(&isp).await?;
    let mpesa = &world.outside.mpesa;
    pay(&world, "0799000111", "100", "nobody").await?;
    // Somebody made this one up.
    let (_, url) = mpesa.c2b_urls(CODE).context("registered")?;
    assert_eq!(
        post(&url, &told("SJK4H7L2PQ", json!("55"), "nobody", CODE)).await?,
        200
    );
    worked(&world, &isp).await?;
    world.clock.advance(DAY);
    let statement = csv(CODE, mpesa.books().direct());
    let open = compare(&world, &isp, "&dryRun=false", &statement).await?.1;
    assert_eq!(open["days"][0]["state"], "OPEN", "{open}");
    let listed = days(&isp).await?;
    let extra = &listed[0]["differences"][0];
    assert_eq!(
        (&extra["reference"], &extra["kind"], &extra["booked"]),
        (&json!("SJK4H7L2PQ"), &json!("EXTRA"), &json!(55)),
        "{listed}"
    );
    assert_eq!(isp.owner.get("/finance/lock").await?["until"], Value::Null);

    let gateway = &listed[0]["gatewayId"];
    let explain = |reference: &str, reason: &str| json!({"gatewayId": gateway, "day": listed[0]["day"], "reference": reference, "reason": reason});
    let path = "/payments/days/explain";
    let (status, _) = isp
        .owner
        .call(Method::POST, path, Some(&explain("SJK4H7L2PQ", " ")))
        .await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let unknown = explain("SJK4H7L2PX", "Nobody knows");
    let (status, _) = isp.owner.call(Method::POST, path, Some(&unknown)).await?;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let why = explain("SJK4H7L2PQ", "Made up; the police has it");
    let closed = isp.owner.post(path, &why).await?;
    assert_eq!(closed["state"], "CLOSED");
    let (status, _) = isp.owner.call(Method::POST, path, Some(&why)).await?;
    assert_eq!(status, StatusCode::CONFLICT);
    let day = &days(&isp).await?[0];
    assert_eq!(day["differences"][0]["reason"], why["reason"], "{day}");
    assert_eq!(
        (&day["received"], &day["booked"]),
        (&json!(100), &json!(155)),
        "{day}"
    );
    assert_eq!(isp.owner.get("/finance/lock").await?["until"], "2027-01-16");

    // The next day's statement lacks what led from the balance of the day before.
    pay(&world, "0799000111", "70", "nobody").await?;
    world.clock.advance(DAY);
    let both = mpesa.books().direct().to_vec();
    let second = csv(CODE, &both[both.len() - 1..]);
    let second: String = second
        .lines()
        .filter(|line| !line.contains("Pay Merchant Charge"))
        .map(|line| format!("{line}\n"))
        .collect();
    let report = compare(&world, &isp, "&dryRun=false", &second).await?.1;
    assert_eq!(
        report["days"],
        json!([{"day": "2027-01-16", "state": "OPEN", "waitsFor": ["BALANCE"]}]),
        "{report}"
    );
    let listed = days(&isp).await?;
    let balance = &listed[0]["differences"][0];
    assert_eq!(
        (&balance["kind"], &balance["stated"], &balance["booked"]),
        (&json!("BALANCE"), &json!(8930), &json!(1)),
        "{listed}"
    );
    let why = json!({"gatewayId": gateway, "day": "2027-01-16", "reference": "balance", "reason": "Paid out"});
    isp.owner.post(path, &why).await?;
    let first = json!({"day": "2027-01-15", "reason": "To look again"});
    let (status, answer) = isp
        .owner
        .call(Method::POST, "/payments/days/reopen", Some(&first))
        .await?;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &json!("LATER_DAY_CLOSED"))
    );
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// A statement that ends in the middle of a day does not close it: what came after it is not in it. The days before are
/// closed, each for itself, and a repeat goes on where they end.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_a_statement_has_in_part_stays_open() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "cut").await?;
    let mpesa = &world.outside.mpesa;
    let silent = |amount: &'static str| mpesa.pay_bill(CODE, "0799000111", amount, "nobody");
    silent("100").await.context("the first day's")?;
    world.clock.advance(DAY);
    silent("70")
        .await
        .context("the second day's, before noon")?;
    // Without balances: those that are pretended do not go on.
    let of = |span: &str| csv_of(CODE, span, mpesa.books().direct()).replace(",9000.00,", ",,");
    let noon = of("From 15-01-2027 00:00:00 To 16-01-2027 12:00:00");
    world.clock.advance(6 * HOUR);
    silent("40").await.context("after it")?;
    world.clock.advance(DAY);

    let report = compare(&world, &isp, "&dryRun=false", &noon).await?.1;
    let half = json!([{"day": "2027-01-15", "state": "CLOSED"},
                      {"day": "2027-01-16", "state": "OPEN", "waitsFor": ["PARTIAL"]}]);
    assert_eq!((&report["booked"], &report["days"]), (&json!(2), &half));
    let lock = isp.owner.get("/finance/lock").await?;
    assert_eq!(lock["until"], "2027-01-16", "the half day is open: {lock}");
    let listed = days(&isp).await?;
    let lacking = &listed[0]["differences"];
    assert_eq!(lacking.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(
        (&lacking[0]["reference"], &lacking[0]["kind"]),
        (&json!("end"), &json!("PARTIAL")),
        "{listed}"
    );
    let again = compare(&world, &isp, "&dryRun=false", &noon).await?.1;
    assert_eq!(again["days"], half, "it is still noon");

    // Rows of the day after prove that nothing of the day is missing; of that one they prove nothing.
    silent("5").await.context("the third day's")?;
    let later = of("");
    world.clock.advance(DAY);
    let report = compare(&world, &isp, "&dryRun=false", &later).await?.1;
    let rest = json!([{"day": "2027-01-15", "state": "CLOSED"}, {"day": "2027-01-16", "state": "CLOSED"},
                      {"day": "2027-01-17", "state": "OPEN", "waitsFor": ["PARTIAL"]}]);
    assert_eq!((&report["booked"], &report["days"]), (&json!(2), &rest));
    assert_eq!(days(&isp).await?[1]["received"], 110);
    assert_eq!(isp.owner.get("/finance/lock").await?["until"], "2027-01-17");
    let each = "select count(*) from book_locks";
    assert_eq!(count(&world, &isp, each).await?, 2, "one day at a time");
    // A person knows that nothing came any more.
    let gateway = &listed[0]["gatewayId"];
    let why = json!({"gatewayId": gateway, "day": "2027-01-17", "reference": "end", "reason": "Seen in the portal"});
    let closed = isp.owner.post("/payments/days/explain", &why).await?;
    assert_eq!(closed, json!({"day": "2027-01-17", "state": "CLOSED"}));
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// The statement of the day between two others is not there: what the later one begins with is not what the earlier one
/// ended with, and the day is not closed over it.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_without_a_statement_is_noticed_by_the_next_one() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "gap").await?;
    world.clock.advance(DAY * 5);
    let of = |day: &str, receipt: &str, balance: &str| {
        format!(
            "Short Code:,{CODE}\nTime Period:,From {day} 00:00:00 To {day} 23:59:59\n\
             Receipt No.,Completion Time,Paid In,Balance\n{receipt},{day} 20:00:00,100.00,{balance}\n"
        )
    };
    let first = of("15-01-2027", "SJK4H7L2PA", "1100.00");
    let closed = compare(&world, &isp, "&dryRun=false", &first).await?.1;
    assert_eq!(
        closed["days"],
        json!([{"day": "2027-01-15", "state": "CLOSED"}]),
        "{closed}"
    );
    // 300 came on the sixteenth.
    let third = of("17-01-2027", "SJK4H7L2PC", "1500.00");
    let open = compare(&world, &isp, "&dryRun=false", &third).await?.1;
    let waits = json!([{"day": "2027-01-17", "state": "OPEN", "waitsFor": ["BALANCE"]}]);
    assert_eq!(open["days"], waits, "{open}");
    let second = of("16-01-2027", "SJK4H7L2PB", "1400.00").replace(",100.00,", ",300.00,");
    compare(&world, &isp, "&dryRun=false", &second).await?;
    let closed = compare(&world, &isp, "&dryRun=false", &third).await?.1;
    assert_eq!(
        closed["days"],
        json!([{"day": "2027-01-17", "state": "CLOSED"}]),
        "{closed}"
    );
    assert_eq!(isp.owner.get("/finance/lock").await?["until"], "2027-01-18");
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// A statement that lacks more of our payments than are listed: what nobody was shown nobody explains.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_listed_is_not_explained() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "many").await?;
    let now = world.clock.now();
    let jane = isp.add_subscriber("jane", "254712345601", now).await?;
    let gateways = isp.owner.get("/payment-gateways").await?;
    let gateway = gateways[0]["id"].as_str().context("a gateway")?;
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    for number in 0..1_001 {
        let receipt = Receipt {
            customer: jane.parse()?,
            amount: Cents::new(1),
            method: Came::Mpesa,
            till: Till::Own,
            channel: Channel::Payment,
            receipt: Some(format!("SJK4H{number:05}")),
            proven: false,
            paid_at: now.plus(HOUR),
            intent: None,
            gateway: Some(gateway.parse()?),
            operator: None,
            phone: None,
            account: None,
            description: String::new(),
        };
        receive(&mut tx, receipt, now).await?;
    }
    tx.commit().await?;
    world.clock.advance(DAY);
    let wrong = format!(
        "Short Code:,{CODE}\nTime Period:,From 15-01-2027 00:00:00 To 15-01-2027 23:59:59\n\
         Receipt No.,Completion Time,Paid In,Balance\nSJK4H7L2PA,15-01-2027 20:00:00,100.00,1100.00\n"
    );
    let open = compare(&world, &isp, "&dryRun=false", &wrong).await?.1;
    let waits = json!([{"day": "2027-01-15", "state": "OPEN", "waitsFor": ["EXTRA", "PARTIAL"]}]);
    assert_eq!(open["days"], waits);
    let listed = isp.owner.get("/payments/days").await?;
    assert_eq!(listed["moreDifferences"], false);
    assert_eq!(
        listed["days"][0]["differences"].as_array().map(Vec::len),
        Some(1_001)
    );
    let why = json!({"gatewayId": gateway, "day": "2027-01-15", "reference": "more", "reason": "Never mind"});
    let (status, answer) = isp
        .owner
        .call(Method::POST, "/payments/days/explain", Some(&why))
        .await?;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &json!("COMPARE_AGAIN"))
    );
    world.stop().await
}

async fn days(isp: &Provider) -> Result<Value> {
    Ok(isp.owner.get("/payments/days").await?["days"].take())
}
