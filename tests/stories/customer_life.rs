//! A customer's life beside paying: he is away and back, gives his word, is reminded, written about, deleted and
//! restored; and others are on his account.

mod children;
mod pauses;

use anyhow::{Context, Result};
use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{PASSWORD, Provider, Site, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::words::{DAY, HOUR, MINUTE};

const PHONE: &str = "254712345610";

/// Served on his word, his site lets him in until then; what he pays begins with the days he was served. He
/// may not give his word again this month.
#[tokio::test(flavor = "multi_thread")]
async fn a_promise_is_service_that_the_next_payment_pays() -> Result<()> {
    let world = World::start().await?;
    let mut isp = Provider::sign_up(&world, "word").await?;
    isp.subscribe(&world).await?;
    let site = Site::open(&world, &isp).await?;
    let asha = isp
        .add_subscriber("asha", PHONE, world.clock.now().plus(HOUR))
        .await?;
    world.clock.advance(DAY);
    assert_eq!(isp.customer(&asha).await?["status"], "EXPIRED");
    site.knows("asha", "at all", |_| true).await?;

    let promise = format!("/customers/{asha}/promise");
    let days = |days: i32| json!({"days": days});
    for wrong in [0, 4, -1] {
        assert_eq!(
            refused(&isp, Method::POST, &promise, &days(wrong)).await?,
            "days"
        );
    }
    let given = world.clock.now();
    let until = given.plus(2 * DAY);
    let promised = isp.owner.post(&promise, &days(2)).await?;
    assert_eq!(promised["promisedUntil"], until.to_string());
    assert_eq!(promised["leftThisMonth"], 0);
    site.knows("asha", "served on his word", |known| {
        known.entitlement.funded_until == until
    })
    .await?;
    let shown = isp.customer(&asha).await?;
    assert_eq!(
        (&shown["status"], &shown["promisedUntil"]),
        (&json!("ACTIVE"), &json!(until.to_string()))
    );
    assert_eq!(
        refused(&isp, Method::POST, &promise, &days(1)).await?,
        "PROMISE_LIMIT"
    );
    let owing = isp.owner.get("/reports/arrears").await?;
    assert_eq!(
        (&owing["total"], &owing["totalOwed"]),
        (&json!(1), &json!(1000))
    );

    // A day and a half later he pays: the month begins when he was let in again.
    world.clock.advance(DAY + 12 * HOUR);
    isp.owner
        .post(
            &format!("/customers/{asha}/recharge"),
            &json!({"amount": 1000}),
        )
        .await?;
    let shown = isp.customer(&asha).await?;
    assert_eq!(given.to_string(), "2027-01-16T08:00:00.000Z");
    assert_eq!(shown["expiresAt"], "2027-02-16T08:00:00.000Z");
    assert_eq!(shown["promisedUntil"], json!(null));
    site.knows("asha", "paid", |known| known.entitlement.paid_until > until)
        .await?;
    assert_eq!(isp.owner.get("/reports/arrears").await?["total"], 0);

    // Another pays a month after his word, and owes what he was served; a third one's package forgives it.
    let free = json!({"name": "Friends", "type": "PPPOE", "price": 1000, "downloadSpeed": 5,
        "uploadSpeed": 5, "terms": {"unpaidDaysFree": true}});
    let free = isp.owner.post("/packages", &free).await?;
    let free = free["id"].as_str().context("an id")?;
    let now = world.clock.now();
    let juma = isp.add_subscriber("juma", "254712345611", now).await?;
    let neema = isp
        .owner
        .add_customer("neema", free, "254712345612", &now.to_string())
        .await?;
    for customer in [&juma, &neema] {
        isp.owner
            .post(&format!("/customers/{customer}/promise"), &days(3))
            .await?;
    }
    move_to(&world, &mut isp, "2027-01-22T20:00:00Z").await?;
    let end = |shown: Value| Timestamp::parse(shown["expiresAt"].as_str().unwrap_or_default());
    let pay = async |customer: &str| {
        let path = format!("/customers/{customer}/recharge");
        isp.owner.post(&path, &json!({"amount": 1000})).await?;
        end(isp.customer(customer).await?).context("an end")
    };
    let (owed, forgiven) = (pay(&juma).await?, pay(&neema).await?);
    assert_eq!(forgiven.since(owed), 3 * DAY);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    site.stop().await;
    world.stop().await
}

/// Once for each end at each distance, at an hour at which people are up; an end that moves is told of anew.
#[tokio::test(flavor = "multi_thread")]
async fn who_ends_soon_is_told_once() -> Result<()> {
    let world = World::start().await?;
    let mut isp = Provider::sign_up(&world, "remind").await?;
    isp.subscribe(&world).await?;
    let start = world.clock.now();
    // Noon of the 19th in Nairobi, four days ahead.
    let end = Timestamp::parse("2027-01-19T09:00:00Z").context("an instant")?;
    let asha = isp.add_subscriber("asha", PHONE, end).await?;
    isp.add_subscriber("juma", "254712345611", start.plus(60 * DAY))
        .await?;
    isp.owner
        .post(
            &format!("/customers/{asha}/recharge"),
            &json!({"amount": 100.5}),
        )
        .await?;
    assert_eq!(
        reminders(&world, &isp).await?,
        Vec::<String>::new(),
        "nobody asked for them"
    );

    let wanted = json!({"reminders": true, "reminderDays": [3, 1, 0],
        "reminderText": "{days}: {date} {time}, {amount}"});
    isp.owner.put("/tenant/courtesy", &wanted).await?;
    looked(&world, &isp).await?;
    assert_eq!(
        reminders(&world, &isp).await?,
        Vec::<String>::new(),
        "four days are no three"
    );

    // Just after midnight of the 16th nobody is woken; at eight he is told, and only then.
    move_to(&world, &mut isp, "2027-01-15T21:10:00Z").await?;
    looked(&world, &isp).await?;
    assert_eq!(reminders(&world, &isp).await?, Vec::<String>::new());
    let first = "3: 19 Jan 2027 12:00, KES 899.5";
    move_to(&world, &mut isp, "2027-01-16T05:00:00Z").await?;
    told(&world, &isp, &[first]).await?;
    for _ in 0..4 {
        world.clock.advance(15 * MINUTE);
        looked(&world, &isp).await?;
    }
    let second = "1: 19 Jan 2027 12:00, KES 899.5";
    move_to(&world, &mut isp, "2027-01-18T05:30:00Z").await?;
    told(&world, &isp, &[first, second]).await?;

    // He pays; the new end is told of when it is near, the old one no more.
    isp.owner
        .post(
            &format!("/customers/{asha}/recharge"),
            &json!({"amount": 899.5}),
        )
        .await?;
    move_to(&world, &mut isp, "2027-01-19T06:00:00Z").await?;
    looked(&world, &isp).await?;
    assert_eq!(reminders(&world, &isp).await?, [first, second]);
    let third = "3: 19 Feb 2027 12:00, KES 1000";
    move_to(&world, &mut isp, "2027-02-16T06:00:00Z").await?;
    told(&world, &isp, &[first, second, third]).await?;

    // Moved by hand to tomorrow: that end was not told of at any distance.
    let sooner = json!({"expiresAt": "2027-02-17T09:00:00Z"});
    isp.owner
        .put(&format!("/customers/{asha}/expiry"), &sooner)
        .await?;
    world.clock.advance(15 * MINUTE);
    told(
        &world,
        &isp,
        &[first, second, third, "1: 17 Feb 2027 12:00, KES 1000"],
    )
    .await?;
    let (status, answer) = isp
        .owner
        .call(
            Method::PUT,
            "/tenant/courtesy",
            Some(&json!({"reminderDays": [31]})),
        )
        .await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(answer["details"][0]["field"], "reminderDays");
    world.stop().await
}

/// Who is billed afterwards pays his invoices; whoever the platform stopped is paid by nobody.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_to_pay_who_need_not() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "asked").await?;
    isp.subscribe(&world).await?;
    let end = Timestamp::parse("2027-01-19T09:00:00Z").context("an instant")?;
    isp.add_subscriber("asha", PHONE, end).await?;
    let juma = isp.add_subscriber("juma", "254712345611", end).await?;
    let wanted =
        json!({"reminders": true, "reminderDays": [1], "reminderText": "{name}: {amount}"});
    isp.owner.put("/tenant/courtesy", &wanted).await?;
    looked(&world, &isp).await?;
    let tenant = isp.tenant().await?;
    let stands = async |status: &'static str| -> Result<()> {
        let mut tx = world.db().begin(tenant).await?;
        sqlx::query("update tenants set status = $1")
            .bind(status)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    };
    let mut tx = world.db().begin(tenant).await?;
    sqlx::query("update customers set postpaid = true where id = $1::uuid")
        .bind(&juma)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    stands("SUSPENDED").await?;
    let day_before = Timestamp::parse("2027-01-18T09:00:00Z").context("an instant")?;
    world.clock.advance(day_before.since(world.clock.now()));
    looked_at(&world, tenant).await?;
    let mut tx = world.db().begin(tenant).await?;
    let told_of_it: i64 = sqlx::query_scalar("select count(*) from messages")
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(told_of_it, 0);
    drop(tx);
    stands("ACTIVE").await?;
    world.clock.advance(15 * MINUTE);
    told(&world, &isp, &["Customer asha: KES 1000"]).await?;
    world.stop().await
}

/// Deleted by mistake, he comes back as he was, unless somebody has his name since.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_deleted_comes_back_with_money_and_time() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "back").await?;
    let site = Site::open(&world, &isp).await?;
    let end = world.clock.now().plus(9 * DAY);
    let asha = isp.add_subscriber("asha", PHONE, end).await?;
    let path = format!("/customers/{asha}");
    isp.owner
        .post(&format!("{path}/recharge"), &json!({"amount": 400}))
        .await?;
    let before = isp.customer(&asha).await?;
    site.knows("asha", "at all", |_| true).await?;

    isp.owner.call(Method::DELETE, &path, None).await?;
    eventually("the site forgot him", async || {
        let known = site.agent().overview().site.subscriber(b"asha");
        Ok(known.is_none().then_some(()))
    })
    .await?;
    let gone = isp
        .owner
        .get("/customers?deleted=true&page=1&pageSize=20")
        .await?;
    assert_eq!(
        (&gone["total"], &gone["customers"][0]["id"]),
        (&json!(1), &json!(asha))
    );

    let other = isp.add_subscriber("asha", "254712345611", end).await?;
    let restore = format!("{path}/restore");
    let nothing = json!({});
    assert_eq!(
        refused(&isp, Method::POST, &restore, &nothing).await?,
        "USERNAME_TAKEN"
    );
    isp.owner
        .call(Method::DELETE, &format!("/customers/{other}"), None)
        .await?;
    world.clock.advance(DAY);
    for _ in 0..2 {
        let back = isp.owner.post(&restore, &nothing).await?;
        for same in [
            "username",
            "accountNumber",
            "expiresAt",
            "walletBalance",
            "password",
            "status",
        ] {
            assert_eq!(back[same], before[same], "{same}");
        }
    }
    site.knows("asha", "again", |known| known.entitlement.paid_until == end)
        .await?;
    assert_eq!(
        isp.owner.get("/dashboard/stats").await?["totalCustomers"],
        1
    );
    let unknown = "/customers/0190e7a0-0000-7000-8000-000000000000/restore";
    let (status, _) = isp
        .owner
        .call(Method::POST, unknown, Some(&nothing))
        .await?;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let erase = json!({"reason": "Asked by letter", "confirm": "asha", "leaveBalance": true});
    isp.owner
        .post("/auth/confirm", &json!({"password": PASSWORD}))
        .await?;
    isp.owner.post(&format!("{path}/erase"), &erase).await?;
    assert_eq!(
        refused(&isp, Method::POST, &restore, &nothing).await?,
        "ERASED"
    );
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    site.stop().await;
    world.stop().await
}

/// Notes and labels are for operators; a label finds who has it; a message reaches his phone's outbox once.
#[tokio::test(flavor = "multi_thread")]
async fn notes_labels_and_messages() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "notes").await?;
    let end = world.clock.now().plus(9 * DAY);
    let asha = isp.add_subscriber("asha", PHONE, end).await?;
    let juma = isp.add_subscriber("juma", "by bicycle", end).await?;
    let path = |what: &str| format!("/customers/{asha}/{what}");

    let first = isp
        .owner
        .post(&path("notes"), &json!({"text": " Gate is green. "}))
        .await?;
    assert_eq!(first["text"], "Gate is green.");
    world.clock.advance(MINUTE);
    isp.owner
        .post(&path("notes"), &json!({"text": "Dog bites"}))
        .await?;
    for wrong in [json!({"text": "  "}), json!({"text": "x".repeat(2001)})] {
        assert_eq!(
            refused(&isp, Method::POST, &path("notes"), &wrong).await?,
            "text"
        );
    }
    let notes = isp.owner.get(&path("notes")).await?;
    assert_eq!(
        (&notes["total"], &notes["notes"][0]["text"]),
        (&json!(2), &json!("Dog bites"))
    );
    assert_eq!(notes["notes"][1]["author"]["name"], "notes owner");
    let note = format!("notes/{}", first["id"].as_str().context("an id")?);
    for status in [StatusCode::OK, StatusCode::NOT_FOUND] {
        let elsewhere = format!("/customers/{juma}/{note}");
        let (there, _) = isp.owner.call(Method::DELETE, &elsewhere, None).await?;
        assert_eq!(there, StatusCode::NOT_FOUND, "it is about another");
        let (answered, _) = isp.owner.call(Method::DELETE, &path(&note), None).await?;
        assert_eq!(answered, status);
    }

    let labelled = json!({"tags": ["VIP", " north ", "vip"]});
    let shown = isp
        .owner
        .put(&format!("/customers/{asha}"), &labelled)
        .await?;
    assert_eq!(shown["tags"], json!(["north", "vip"]));
    let kept = isp
        .owner
        .put(&format!("/customers/{asha}"), &json!({"name": "Asha M"}))
        .await?;
    assert_eq!(kept["tags"], json!(["north", "vip"]));
    for (query, total) in [
        ("tag=Vip", 1),
        ("tag=south", 0),
        ("tag=vip&status=EXPIRED", 0),
        ("tag=vip&search=asha", 1),
    ] {
        let list = isp
            .owner
            .get(&format!("/customers?page=1&pageSize=5&{query}"))
            .await?;
        assert_eq!(list["total"], total, "{query}");
        assert_eq!(
            list["customers"].as_array().map(Vec::len),
            Some(total),
            "{query}"
        );
    }
    isp.owner
        .put(&format!("/customers/{asha}"), &json!({"tags": []}))
        .await?;
    assert_eq!(isp.owner.get("/customers?tag=vip").await?["total"], 0);

    isp.owner
        .post(
            &path("send-message"),
            &json!({"message": "We come at ten."}),
        )
        .await?;
    assert_eq!(
        messages(&world, &isp, "message").await?,
        ["We come at ten."]
    );
    let (status, answer) = isp
        .owner
        .call(
            Method::POST,
            &format!("/customers/{juma}/send-message"),
            Some(&json!({"message": "Hi"})),
        )
        .await?;
    assert_eq!(
        (status.as_u16(), &answer["code"]),
        (422, &json!("NO_PHONE"))
    );
    let long = json!({"message": "x".repeat(501)});
    assert_eq!(
        refused(&isp, Method::POST, &path("send-message"), &long).await?,
        "message"
    );
    world.stop().await
}

/// The field that a refusal names, else its code.
async fn refused(isp: &Provider, method: Method, path: &str, body: &Value) -> Result<String> {
    let (status, answer) = isp.owner.call(method, path, Some(body)).await?;
    anyhow::ensure!(status.is_client_error(), "{path}: {status} {answer}");
    let named = answer["details"][0]["field"]
        .as_str()
        .or(answer["code"].as_str());
    Ok(named.context("a field or a code")?.to_owned())
}

/// Moves the clock to then; the owner signs in again, as he must after a week.
async fn move_to(world: &World, isp: &mut Provider, then: &str) -> Result<()> {
    let then = Timestamp::parse(then).context("an instant")?;
    world.clock.advance(then.since(world.clock.now()));
    isp.owner = Operator::login(world.api(), &isp.email(), PASSWORD).await?;
    Ok(())
}

/// Waits until the job that reminds has looked and waits for a later moment.
async fn looked(world: &World, isp: &Provider) -> Result<()> {
    looked_at(world, isp.tenant().await?).await
}

async fn looked_at(world: &World, tenant: TenantId) -> Result<()> {
    eventually("the job has looked", async || {
        let mut directory = world.db().directory().await?;
        let waits: i64 = sqlx::query_scalar(
            "select count(*) from directory.jobs
              where tenant_id = $1 and kind = 'courtesy.remind' and due_at > $2 and lease_until is null",
        )
        .bind(tenant)
        .bind(world.clock.now())
        .fetch_one(&mut *directory)
        .await?;
        Ok((waits == 1).then_some(()))
    })
    .await
}

/// These reminders were written, in this order, and no others.
async fn told(world: &World, isp: &Provider, should: &[&str]) -> Result<()> {
    looked(world, isp).await?;
    assert_eq!(reminders(world, isp).await?, should);
    Ok(())
}

async fn reminders(world: &World, isp: &Provider) -> Result<Vec<String>> {
    messages(world, isp, "reminder").await
}

async fn messages(world: &World, isp: &Provider, purpose: &'static str) -> Result<Vec<String>> {
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    Ok(
        sqlx::query_scalar("select body from messages where purpose = $1 order by created_at")
            .bind(purpose)
            .fetch_all(&mut *tx)
            .await?,
    )
}

async fn actions(world: &World, isp: &Provider) -> Result<Vec<String>> {
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    Ok(sqlx::query_scalar("select action from audit order by id")
        .fetch_all(&mut *tx)
        .await?)
}
