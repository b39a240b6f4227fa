//! What the dashboard shows is what happened, on the day it happened where the provider is.

use anyhow::{Context, Result, ensure};
use easyisp_cloud::ledger::seal_all;
use easyisp_shared::time::Timestamp;
use easyisp_tests::operator::Operator;
use easyisp_tests::router::session::Usage;
use easyisp_tests::world::{PASSWORD, Provider, Site, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::words::{DAY, HOUR, MINUTE};

const GIB: u64 = 1 << 30;

/// F5: money that came at half past eleven at night belongs to that day, that month and that week, though it is
/// evening in Greenwich; sealed or not. What is taken back leaves the day on which it is taken back.
#[tokio::test(flavor = "multi_thread")]
async fn money_falls_into_the_providers_own_days() -> Result<()> {
    let world = World::start().await?;
    let mut isp = given_provider(&world, "nights").await?;
    let mut far = given_provider(&world, "kolkata").await?;
    let zone = json!({"timeZone": "Asia/Kolkata"});
    far.owner.put("/tenant/settings", &zone).await?;
    let (ours, theirs) = (subscriber(&isp, 1).await?, subscriber(&far, 2).await?);

    // Sunday the 31st, 23:30 in Nairobi and 02:00 on Monday the 1st in Kolkata.
    until(&world, &mut isp, "2027-01-31T20:30:00Z").await?;
    until(&world, &mut far, "2027-01-31T20:30:00Z").await?;
    let first = pay(&isp, &ours, 1000).await?;
    pay(&far, &theirs, 500).await?;
    for sealed in [false, true] {
        if sealed {
            seal_all(world.db(), isp.tenant().await?, world.clock.now()).await?;
            seal_all(world.db(), far.tenant().await?, world.clock.now()).await?;
        }
        assert_eq!(revenue(&isp, "today").await?, (1000, 1000));
        assert_eq!(revenue(&far, "today").await?, (500, 500));
        assert_eq!(totals(&isp).await?, [1000, 1000, 1000, 1000]);
        assert_eq!(trend(&isp, "this_year").await?, vec![("Jan", 1000)]);
        assert_eq!(trend(&far, "this_year").await?, vec![("Feb", 500)]);
    }

    // Half past midnight: another day, month and week.
    world.clock.advance(HOUR);
    pay(&isp, &ours, 400).await?;
    assert_eq!(revenue(&isp, "today").await?, (400, 400));
    assert_eq!(totals(&isp).await?, [400, 400, 400, 1400]);
    assert_eq!(
        trend(&isp, "this_year").await?,
        vec![("Jan", 1000), ("Feb", 400)]
    );
    assert_eq!(trend(&isp, "this_month").await?, vec![("Feb", 400)]);
    assert_eq!(trend(&isp, "last_year").await?, vec![]);

    let path = format!("/payments/manual/{first}");
    let (status, _) = isp.owner.call(Method::DELETE, &path, None).await?;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(totals(&isp).await?, [-600, -600, -600, 400]);

    // New Year's Eve 23:59 and New Year's Day 00:01 in Nairobi: a Friday and a Saturday.
    until(&world, &mut isp, "2027-12-31T20:59:00Z").await?;
    pay(&isp, &ours, 70).await?;
    world.clock.advance(2 * MINUTE);
    pay(&isp, &ours, 7).await?;
    assert_eq!(totals(&isp).await?, [7, 77, 7, 7]);
    assert_eq!(trend(&isp, "this_year").await?, vec![("Jan", 7)]);
    assert_eq!(
        trend(&isp, "last_year").await?,
        vec![("Jan", 1000), ("Feb", -600), ("Dec", 70)]
    );
    let wrong = isp
        .owner
        .call(Method::GET, "/dashboard/revenue?period=ever", None)
        .await?;
    assert_eq!(wrong.0, StatusCode::BAD_REQUEST);
    assert_eq!(wrong.1["details"][0]["field"], "period");
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// A period that is bought from the wallet counts when it was paid, not again; money for nobody counts when it
/// came; a voucher when it is used.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_counts_twice() -> Result<()> {
    let world = World::start().await?;
    let isp = given_provider(&world, "once").await?;
    let customer = subscriber(&isp, 3).await?;
    pay(&isp, &customer, 2500).await?;
    assert_eq!(revenue(&isp, "the top-up").await?, (2500, 2500));
    assert_eq!(periods(&world, &isp).await?, 1);

    let hour = json!({"name": "Hour", "type": "HOTSPOT", "price": 20, "downloadSpeed": 4,
        "uploadSpeed": 2, "sessionTime": 60});
    let hour = isp.owner.post("/packages", &hour).await?;
    // With a second site the cloud holds the codes.
    isp.owner.post("/sites", &json!({"name": "Two"})).await?;
    let batch = json!({"count": 4, "packageId": hour["id"]});
    let batch = isp.owner.post("/vouchers", &batch).await?;
    let expiring = json!({"count": 2, "packageId": hour["id"],
        "expiresAt": world.clock.now().plus(DAY).to_string()});
    isp.owner.post("/vouchers", &expiring).await?;
    assert_eq!(vouchers(&isp).await?, (6, 0));

    let codes = batch["vouchers"].as_array().context("vouchers")?;
    let code = |place: usize| codes.get(place).map(|voucher| voucher["code"].clone());
    isp.owner
        .post("/vouchers/redeem", &json!({"code": code(0)}))
        .await?;
    assert_eq!(vouchers(&isp).await?, (5, 1));
    assert_eq!(revenue(&isp, "the voucher").await?, (2520, 2520));
    let path = format!("/vouchers/{}", codes[1]["id"].as_str().context("an id")?);
    for _ in 0..2 {
        isp.owner.call(Method::DELETE, &path, None).await?;
        assert_eq!(vouchers(&isp).await?, (4, 1));
    }
    world.clock.advance(DAY);
    assert_eq!(vouchers(&isp).await?, (2, 1), "two are out of date");
    assert_eq!(revenue(&isp, "yesterday").await?, (0, 2520));
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// Counts follow whoever comes, goes, expires, is stopped and goes online; gigabytes fall into the provider's
/// own days.
#[tokio::test(flavor = "multi_thread")]
async fn people_and_gigabytes_are_counted_where_they_are() -> Result<()> {
    let world = World::start().await?;
    let mut isp = given_provider(&world, "counts").await?;
    let site = Site::open(&world, &isp).await?;
    let now = world.clock.now();
    let mut customers = Vec::new();
    for (number, days) in [(1, 400), (2, 400), (3, 1)] {
        let name = format!("user{number}");
        let phone = format!("25471234560{number}");
        customers.push(
            isp.add_subscriber(&name, &phone, now.plus(days * DAY))
                .await?,
        );
    }
    let guest = json!({"username": "guest", "password": "guest", "name": "Guest",
        "connectionType": "HOTSPOT", "expiresAt": now.plus(DAY).to_string()});
    isp.owner.post("/customers", &guest).await?;
    assert_eq!(people(&isp).await?, [4, 3, 1, 4, 0]);

    site.knows("user1", "at all", |_| true).await?;
    let online = site.dial("user1").await.online();
    online.started().await;
    site.reported().await?;
    assert_eq!(people(&isp).await?, [4, 3, 1, 4, 1]);

    let suspend = format!("/customers/{}/suspend", customers[1]);
    isp.owner.post(&suspend, &json!({})).await?;
    let gone = format!("/customers/{}", customers[2]);
    isp.owner.call(Method::DELETE, &gone, None).await?;
    assert_eq!(people(&isp).await?, [3, 2, 1, 2, 1]);

    // Half past eleven at night on the 31st in Nairobi, then half past midnight.
    until(&world, &mut isp, "2027-01-31T20:30:00Z").await?;
    online.transfer(Usage {
        up: GIB,
        down: 3 * GIB,
    });
    online.interim().await;
    site.reported().await?;
    assert_eq!(gigabytes(&isp).await?, [4.0, 4.0, 4.0, 4.0]);
    world.clock.advance(HOUR);
    online.transfer(Usage {
        up: 0,
        down: GIB / 2,
    });
    online.interim().await;
    site.reported().await?;
    assert_eq!(gigabytes(&isp).await?, [0.5, 0.5, 0.5, 4.5]);
    let usage = isp.owner.get("/dashboard/network-usage").await?;
    let trend = usage["usageTrend"].as_array().context("a trend")?;
    assert_eq!(trend.len(), 12);
    assert_eq!(trend[0], json!({"month": "Jan", "usage": 4.0}));
    assert_eq!(trend[1], json!({"month": "Feb", "usage": 0.5}));
    // The guest's day was over long ago.
    assert_eq!(people(&isp).await?[3], 1);
    site.stop().await;
    world.stop().await
}

/// Whoever may see the dashboard is never refused a part of it: he sees zeros where he may not look.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_shows_zeros_and_not_a_refusal() -> Result<()> {
    let world = World::start().await?;
    let isp = given_provider(&world, "zeros").await?;
    let customer = subscriber(&isp, 4).await?;
    pay(&isp, &customer, 1000).await?;
    let enter = async |name: &str, role: &str, added: Value| {
        let email = format!("{name}@zeros.example");
        let person = json!({"name": name, "email": email, "password": PASSWORD, "role": role});
        let made = isp.owner.post("/tenant/operators", &person).await?;
        let id = made["id"].as_str().context("an id")?;
        let path = format!("/tenant/operators/{id}");
        isp.owner
            .put(&path, &json!({"addedPermissions": added}))
            .await?;
        Operator::login(world.api(), &email, PASSWORD).await
    };

    let care = enter("care", "CUSTOMER_CARE", json!([])).await?;
    let stats = care.get("/dashboard/stats").await?;
    assert_eq!(stats["totalCustomers"], 1);
    assert_eq!(
        (&stats["monthlyRevenue"], &stats["todayRevenue"]),
        (&json!(0), &json!(0))
    );
    let money = care.get("/dashboard/revenue").await?;
    assert_eq!(
        money["totalByPeriod"],
        json!({"today": 0, "thisWeek": 0, "thisMonth": 0, "thisYear": 0})
    );
    assert_eq!(money["revenueTrend"].as_array().map(Vec::len), Some(12));
    let usage = care.get("/dashboard/network-usage").await?;
    assert_eq!(usage["totalByPeriod"]["thisYear"], 0.0);

    let added = json!(["dashboard:today_revenue"]);
    let today = enter("today", "CUSTOMER_CARE", added).await?;
    let money = today.get("/dashboard/revenue").await?;
    assert_eq!(
        money["totalByPeriod"],
        json!({"today": 1000, "thisWeek": 0, "thisMonth": 0, "thisYear": 0})
    );
    let field = enter("field", "FIELD_TECH", json!([])).await?;
    assert_eq!(field.get("/dashboard/stats").await?["totalCustomers"], 0);
    let staff = enter("staff", "STAFF", json!([])).await?;
    for path in ["stats", "revenue", "network-usage"] {
        let path = format!("/dashboard/{path}");
        let (status, _) = staff.call(Method::GET, &path, None).await?;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
    }
    world.stop().await
}

/// Reports say of what, where, how and by whom money came, what will end, who left and who owes.
#[tokio::test(flavor = "multi_thread")]
async fn reports_add_up_to_what_was_done() -> Result<()> {
    let world = World::start().await?;
    let mut isp = given_provider(&world, "reports").await?;
    let router = isp
        .owner
        .add_router("Hill", "10.0.0.0/24", "a-long-secret-word", 3799)
        .await?;
    let now = world.clock.now();
    let cheap = isp.owner.add_package("Home 5", 5, 600, 1).await?;
    let first = isp
        .add_subscriber("asha", "254712345601", now.plus(DAY))
        .await?;
    let second = isp
        .owner
        .add_customer(
            "juma",
            &cheap,
            "254712345602",
            &now.plus(3 * DAY).to_string(),
        )
        .await?;
    isp.owner
        .put(&format!("/customers/{first}"), &json!({"nasId": router}))
        .await?;

    pay(&isp, &first, 1000).await?;
    let bank = json!({"customerId": second, "amount": 700, "method": "BANK_TRANSFER"});
    let bank = isp.owner.post("/payments/manual", &bank).await?;
    let rows = |report: &Value| -> Vec<(String, i64, i64)> {
        let row = |row: &Value| {
            let name = row["name"].as_str().unwrap_or_default().to_owned();
            (
                name,
                row["count"].as_i64().unwrap_or(-1),
                row["amount"].as_i64().unwrap_or(-1),
            )
        };
        report["rows"]
            .as_array()
            .into_iter()
            .flatten()
            .map(row)
            .collect()
    };
    let of = |name: &str, count, amount| (name.to_owned(), count, amount);

    let packages = report(&isp, "revenue?by=package").await?;
    assert_eq!(
        rows(&packages),
        [of("Home 10", 1, 1000), of("Home 5", 1, 600)]
    );
    assert_eq!(packages["total"], 1600);
    assert_eq!(packages["from"], "2027-01-01");
    assert_eq!(packages["to"], "2027-01-15");
    let routers = report(&isp, "revenue?by=router").await?;
    assert_eq!(
        rows(&routers),
        [of("Hill", 1, 1000), of("No router", 1, 600)]
    );
    let methods = report(&isp, "revenue?by=method&from=2027-01-15&to=2027-01-15").await?;
    assert_eq!(
        rows(&methods),
        [of("CASH", 1, 1000), of("BANK_TRANSFER", 1, 700)]
    );
    let operators = report(&isp, "revenue?by=operator").await?;
    assert_eq!(rows(&operators), [of("reports owner", 2, 1700)]);
    let before = report(&isp, "revenue?by=method&from=2027-01-01&to=2027-01-14").await?;
    assert_eq!((rows(&before), &before["total"]), (vec![], &json!(0)));
    for (query, field) in [
        ("revenue?by=weather", "by"),
        ("revenue?by=method&from=2025-01-01&to=2027-01-01", "from"),
        ("revenue?by=method&to=tomorrow", "to"),
        ("expiring?days=0", "days"),
        ("churn?months=25", "months"),
    ] {
        let (status, answer) = isp
            .owner
            .call(Method::GET, &format!("/reports/{query}"), None)
            .await?;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        ensure!(answer.to_string().contains(field), "{query}: {answer}");
    }

    // The ends: a month behind what was left. Nobody's within a week; both within 40 days.
    assert_eq!(report(&isp, "expiring").await?["customers"], 0);
    let soon = report(&isp, "expiring?days=40").await?;
    assert_eq!(
        (&soon["customers"], &soon["amount"]),
        (&json!(2), &json!(1600))
    );
    let days = soon["days"].as_array().context("days")?;
    let day = days
        .iter()
        .find(|day| day["date"] == "2027-02-16")
        .context("the 16th")?;
    assert_eq!(
        (&day["customers"], &day["amount"]),
        (&json!(1), &json!(1000))
    );

    // The bank took its money back: 600 of it were spent.
    let path = format!("/payments/manual/{}", bank["id"].as_str().context("an id")?);
    isp.owner.call(Method::DELETE, &path, None).await?;
    let owing = report(&isp, "arrears").await?;
    assert_eq!(
        (&owing["total"], &owing["totalOwed"]),
        (&json!(1), &json!(600))
    );
    assert_eq!(owing["customers"][0]["username"], "juma");
    assert_eq!(owing["customers"][0]["walletBalance"], -600);

    // Juma's time ends in February and he does not come back; Asha pays.
    until(&world, &mut isp, "2027-02-10T09:00:00Z").await?;
    pay(&isp, &first, 1000).await?;
    isp.add_subscriber("neema", "254712345603", world.clock.now().plus(300 * DAY))
        .await?;
    until(&world, &mut isp, "2027-03-01T09:00:00Z").await?;
    let churn = report(&isp, "churn?months=3").await?;
    assert_eq!(
        churn["months"],
        json!([
            {"month": "2027-01", "atStart": 0, "joined": 2, "lost": 0, "lostPercent": 0.0},
            {"month": "2027-02", "atStart": 2, "joined": 1, "lost": 1, "lostPercent": 50.0},
            {"month": "2027-03", "atStart": 2, "joined": 0, "lost": 0, "lostPercent": 0.0},
        ])
    );
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

async fn given_provider(world: &World, name: &str) -> Result<Provider> {
    let isp = Provider::sign_up(world, name).await?;
    isp.subscribe(world).await?;
    Ok(isp)
}

async fn subscriber(isp: &Provider, number: u32) -> Result<String> {
    let until = Timestamp::parse("2028-06-01T00:00:00Z").context("an instant")?;
    let phone = format!("2547123456{number:02}");
    isp.add_subscriber(&format!("user{number}"), &phone, until)
        .await
}

/// Moves the clock to then; the owner signs in again, as he must after a week.
async fn until(world: &World, isp: &mut Provider, then: &str) -> Result<()> {
    let then = Timestamp::parse(then).context("an instant")?;
    world.clock.advance(then.since(world.clock.now()));
    isp.owner = Operator::login(world.api(), &isp.email(), PASSWORD).await?;
    Ok(())
}

async fn report(isp: &Provider, query: &str) -> Result<Value> {
    isp.owner.get(&format!("/reports/{query}")).await
}

async fn pay(isp: &Provider, customer: &str, amount: u32) -> Result<String> {
    let cash = json!({"customerId": customer, "amount": amount});
    let paid = isp.owner.post("/payments/manual", &cash).await?;
    Ok(paid["id"].as_str().context("an id")?.to_owned())
}

/// Today's and this month's money, in shillings.
async fn revenue(isp: &Provider, what: &str) -> Result<(i64, i64)> {
    let stats = isp.owner.get("/dashboard/stats").await?;
    let shown = |field: &str| {
        stats[field]
            .as_i64()
            .with_context(|| format!("{what}: {stats}"))
    };
    Ok((shown("todayRevenue")?, shown("monthlyRevenue")?))
}

/// Today, this week, this month, this year.
async fn totals(isp: &Provider) -> Result<[i64; 4]> {
    let answer = isp.owner.get("/dashboard/revenue?period=this_year").await?;
    let total = |field: &str| answer["totalByPeriod"][field].as_i64().context("a number");
    Ok([
        total("today")?,
        total("thisWeek")?,
        total("thisMonth")?,
        total("thisYear")?,
    ])
}

/// The months in which there was money.
async fn trend(isp: &Provider, period: &str) -> Result<Vec<(&'static str, i64)>> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let path = format!("/dashboard/revenue?period={period}");
    let answer = isp.owner.get(&path).await?;
    let rows = answer["revenueTrend"].as_array().context("a trend")?;
    ensure!(rows.len() == 12, "twelve months: {rows:?}");
    let mut shown = Vec::new();
    for (row, month) in rows.iter().zip(MONTHS) {
        ensure!(row["month"] == month, "{row}");
        let amount = row["amount"].as_i64().context("a number")?;
        if amount != 0 {
            shown.push((month, amount));
        }
    }
    Ok(shown)
}

/// Codes that are good, and codes that were used.
async fn vouchers(isp: &Provider) -> Result<(i64, i64)> {
    let stats = isp.owner.get("/dashboard/stats").await?;
    let shown = |field: &str| stats[field].as_i64().context("a number");
    Ok((shown("activeVouchers")?, shown("usedVouchers")?))
}

/// All, those who dial, hotspot users, those with time left, sessions.
async fn people(isp: &Provider) -> Result<[i64; 5]> {
    let stats = isp.owner.get("/dashboard/stats").await?;
    let shown = |field: &str| stats[field].as_i64().context("a number");
    Ok([
        shown("totalCustomers")?,
        shown("pppoeCustomers")?,
        shown("hotspotCustomers")?,
        shown("activeCustomers")?,
        shown("activeSessions")?,
    ])
}

/// Today, this week, this month, this year; once the site's report has been applied.
async fn gigabytes(isp: &Provider) -> Result<[f64; 4]> {
    eventually("usage was booked today", async || {
        let answer = isp.owner.get("/dashboard/network-usage").await?;
        let total = |field: &str| answer["totalByPeriod"][field].as_f64().context("a number");
        let totals = [
            total("today")?,
            total("thisWeek")?,
            total("thisMonth")?,
            total("thisYear")?,
        ];
        Ok((totals[0] > 0.0).then_some(totals))
    })
    .await
}

async fn periods(world: &World, isp: &Provider) -> Result<i64> {
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    Ok(sqlx::query_scalar("select count(*) from periods")
        .fetch_one(&mut *tx)
        .await?)
}
