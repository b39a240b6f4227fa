//! A customer's life beside paying: he is away and back, gives his word, is reminded, written about, deleted and
//! restored; and others are on his account.

use anyhow::{Context, Result};
use easyisp_shared::entitlement::Standing;
use easyisp_shared::time::Timestamp;
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{PASSWORD, Provider, Site, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::words::{DAY, HOUR, MINUTE};

const PHONE: &str = "254712345610";

/// Away for three days, he has three days more afterwards: his site stops him at once and lets him back by
/// itself. What was given back is not given again.
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_keeps_what_is_left_and_ends_by_itself() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "away").await?;
    let site = Site::open(&world, &isp).await?;
    let now = world.clock.now();
    let end = now.plus(5 * DAY);
    let asha = isp.add_subscriber("asha", PHONE, end).await?;
    site.knows("asha", "at all", |_| true).await?;

    let back = now.plus(3 * DAY);
    let pause = format!("/customers/{asha}/pause");
    let paused = isp
        .owner
        .post(&pause, &json!({"until": back.to_string()}))
        .await?;
    assert_eq!(paused["remainingSecs"], 5 * 86_400);
    site.knows("asha", "away", |known| {
        known.entitlement.standing == Standing::Suspended
    })
    .await?;
    let shown = isp.customer(&asha).await?;
    assert_eq!(
        (&shown["status"], &shown["pausedUntil"]),
        (&json!("SUSPENDED"), &json!(back.to_string()))
    );
    let expiry = format!("/customers/{asha}/expiry");
    let later = json!({"expiresAt": now.plus(50 * DAY).to_string()});
    assert_eq!(refused(&isp, Method::PUT, &expiry, &later).await?, "PAUSED");

    // A minute before, he is still away; then nobody need do anything.
    world.clock.advance(3 * DAY - MINUTE);
    assert_eq!(isp.customer(&asha).await?["status"], "SUSPENDED");
    world.clock.advance(MINUTE);
    let given = end.plus(3 * DAY);
    site.knows("asha", "back, with what was left", |known| {
        known.entitlement.standing == Standing::Active && known.entitlement.paid_until == given
    })
    .await?;
    for _ in 0..2 {
        isp.owner
            .post(&format!("/customers/{asha}/resume"), &json!({}))
            .await?;
    }
    let shown = isp.customer(&asha).await?;
    assert_eq!(
        (&shown["expiresAt"], &shown["pausedAt"]),
        (&json!(given.to_string()), &json!(null))
    );
    let trail = actions(&world, &isp).await?;
    let count = |action: &str| trail.iter().filter(|line| *line == action).count();
    assert_eq!((count("CUSTOMER_PAUSE"), count("CUSTOMER_RESUME")), (1, 1));
    site.stop().await;
    world.stop().await
}

/// A pause ends by hand, by activating, by suspending and by paying; each gives back the time that it lasted
/// and no more, and who has nothing left has nothing to keep.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_a_pause_gives_back_once() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "ends").await?;
    let asha = isp
        .add_subscriber("asha", PHONE, world.clock.now().plus(DAY))
        .await?;
    let path = |what: &str| format!("/customers/{asha}/{what}");
    let nothing = json!({});
    let mut end = world.clock.now().plus(DAY);
    for what in ["resume", "activate", "suspend"] {
        isp.owner.post(&path("pause"), &nothing).await?;
        // Repeated, it begins no new pause.
        world.clock.advance(HOUR);
        isp.owner.post(&path("pause"), &nothing).await?;
        world.clock.advance(HOUR);
        isp.owner.post(&path(what), &nothing).await?;
        end = end.plus(2 * HOUR);
        let shown = isp.customer(&asha).await?;
        assert_eq!(shown["expiresAt"], end.to_string(), "{what}");
        assert_eq!(shown["pausedAt"], json!(null), "{what}");
    }
    assert_eq!(
        refused(&isp, Method::POST, &path("pause"), &nothing).await?,
        "NOT_ACTIVE"
    );
    isp.owner.post(&path("activate"), &nothing).await?;

    // Too little buys nothing and ends nothing; the rest does.
    isp.owner.post(&path("pause"), &nothing).await?;
    world.clock.advance(2 * HOUR);
    isp.owner
        .post(&path("recharge"), &json!({"amount": 400}))
        .await?;
    let shown = isp.customer(&asha).await?;
    assert_eq!(
        (&shown["status"], &shown["expiresAt"]),
        (&json!("SUSPENDED"), &json!(end.to_string()))
    );
    world.clock.advance(HOUR);
    isp.owner
        .post(&path("recharge"), &json!({"amount": 600}))
        .await?;
    let shown = isp.customer(&asha).await?;
    assert_eq!(shown["status"], "ACTIVE");
    // Three hours given back, and a month from there.
    let from = end.plus(3 * HOUR);
    assert_eq!(from.to_string(), "2027-01-16T17:00:00.000Z");
    assert_eq!(shown["expiresAt"], "2027-02-16T17:00:00.000Z");

    let gone = isp
        .add_subscriber("juma", "254712345611", world.clock.now().plus(HOUR))
        .await?;
    world.clock.advance(2 * HOUR);
    let pause = format!("/customers/{gone}/pause");
    assert_eq!(
        refused(&isp, Method::POST, &pause, &nothing).await?,
        "NOTHING_LEFT"
    );
    for until in ["2027-01-01T00:00:00Z", "2029-01-01T00:00:00Z"] {
        let wrong = json!({"until": until});
        assert_eq!(
            refused(&isp, Method::POST, &path("pause"), &wrong).await?,
            "until"
        );
    }
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

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

/// A child account has its parent's time, whatever changes it: money, an expiry by hand, a pause, a word.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_account_follows_its_parent() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "family").await?;
    let site = Site::open(&world, &isp).await?;
    let now = world.clock.now();
    let end = now.plus(DAY);
    let mother = isp.add_subscriber("mother", PHONE, end).await?;
    let child = json!({"username": "child", "password": "child", "name": "Child", "connectionType": "PPPOE",
        "packageId": isp.package, "parentId": mother});
    let made = isp.owner.post("/customers", &child).await?;
    let child = made["id"].as_str().context("an id")?.to_owned();
    assert_eq!(made["expiresAt"], end.to_string());
    let has = async |what: &str, until: Timestamp| {
        site.knows("child", what, |known| known.entitlement.paid_until == until)
            .await
    };
    has("its mother's end", end).await?;

    isp.owner
        .post(
            &format!("/customers/{mother}/recharge"),
            &json!({"amount": 1000}),
        )
        .await?;
    let paid = Timestamp::parse("2027-02-16T08:00:00Z").context("an instant")?;
    has("what its mother paid", paid).await?;
    let late = now.plus(70 * DAY);
    isp.owner
        .put(
            &format!("/customers/{mother}/expiry"),
            &json!({"expiresAt": late.to_string()}),
        )
        .await?;
    has("the end by hand", late).await?;
    isp.owner
        .post(&format!("/customers/{mother}/pause"), &json!({}))
        .await?;
    site.knows("child", "away with its mother", |known| {
        known.entitlement.standing == Standing::Suspended
    })
    .await?;
    world.clock.advance(HOUR);
    isp.owner
        .post(&format!("/customers/{mother}/resume"), &json!({}))
        .await?;
    site.knows("child", "back with its mother", |known| {
        known.entitlement.standing == Standing::Active
            && known.entitlement.paid_until == late.plus(HOUR)
    })
    .await?;

    // What is paid for it is its mother's, who buys time for both; its own time is nobody's to set.
    let recharged = isp
        .owner
        .post(
            &format!("/customers/{child}/recharge"),
            &json!({"amount": 1250}),
        )
        .await?;
    assert_eq!(recharged["newBalance"], 250, "{recharged}");
    let later = isp.customer(&mother).await?["expiresAt"].clone();
    let later = Timestamp::parse(later.as_str().unwrap_or_default()).context("an end")?;
    assert!(later >= late.plus(HOUR + 27 * DAY), "{later}");
    has("what was paid for it", later).await?;
    let shown = isp.customer(&child).await?;
    assert_eq!(
        (&shown["walletBalance"], &shown["expiresAt"]),
        (&json!(0), &json!(later.to_string()))
    );
    assert_eq!(isp.customer(&mother).await?["walletBalance"], 250);
    for (method, what, body) in [
        (
            Method::PUT,
            "expiry",
            json!({"expiresAt": late.to_string()}),
        ),
        (Method::POST, "pause", json!({})),
        (Method::POST, "promise", json!({"days": 1})),
    ] {
        let path = format!("/customers/{child}/{what}");
        assert_eq!(
            refused(&isp, method, &path, &body).await?,
            "FOLLOWS_PARENT",
            "{what}"
        );
    }
    let deleted = format!("/customers/{mother}");
    assert_eq!(
        refused(&isp, Method::DELETE, &deleted, &json!({})).await?,
        "HAS_CHILDREN"
    );
    for (whose, parent) in [(&mother, &child), (&mother, &mother)] {
        let wrong = json!({"parentId": parent});
        let path = format!("/customers/{whose}");
        assert_eq!(refused(&isp, Method::PUT, &path, &wrong).await?, "parentId");
    }
    let grown = isp
        .owner
        .put(&format!("/customers/{child}"), &json!({"parentId": ""}))
        .await?;
    assert_eq!(grown["parentId"], json!(null));
    isp.owner
        .post(
            &format!("/customers/{child}/recharge"),
            &json!({"amount": 1}),
        )
        .await?;
    assert_eq!(isp.customer(&child).await?["walletBalance"], 1);
    // A child again: what is in its wallet is its mother's.
    let over = json!({"expiresAt": world.clock.now().to_string()});
    isp.owner
        .put(&format!("/customers/{child}/expiry"), &over)
        .await?;
    isp.owner
        .put(&format!("/customers/{child}"), &json!({"parentId": mother}))
        .await?;
    isp.customer_becomes(&child, "a child again", |child| child["walletBalance"] == 0)
        .await?;
    assert_eq!(isp.customer(&mother).await?["walletBalance"], 251);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    site.stop().await;
    world.stop().await
}

/// What the parent's wallet would pay carries a child for as long as it is one, whatever its package; paid time of
/// its own is not lost to a parent's.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_leaves_is_not_carried_on_by_its_parents_wallet() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "leaving").await?;
    let site = Site::open(&world, &isp).await?;
    let now = world.clock.now();
    let mother = isp.add_subscriber("mother", PHONE, now.plus(DAY)).await?;
    let child = isp
        .add_subscriber("child", "254712345611", now.plus(DAY))
        .await?;
    let path = format!("/customers/{child}");
    let joins = json!({"parentId": mother});
    assert_eq!(
        refused(&isp, Method::PUT, &path, &joins).await?,
        "HAS_OWN_TIME"
    );
    let over = json!({"expiresAt": now.to_string()});
    isp.owner.put(&format!("{path}/expiry"), &over).await?;
    isp.owner.put(&path, &joins).await?;

    isp.owner
        .put(&format!("/customers/{mother}"), &json!({"autoRenew": true}))
        .await?;
    isp.owner
        .post(
            &format!("/customers/{mother}/recharge"),
            &json!({"amount": 2000}),
        )
        .await?;
    let paid = Timestamp::parse("2027-02-16T08:00:00Z").context("an instant")?;
    let carried = async |what: &str| {
        site.knows("child", what, |known| {
            known.entitlement.paid_until == paid && known.entitlement.funded_until > paid
        })
        .await
    };
    carried("carried on by its mother's wallet").await?;
    let other = json!({"name": "Slow", "type": "PPPOE", "price": 500, "downloadSpeed": 5, "uploadSpeed": 5});
    let other = isp.owner.post("/packages", &other).await?;
    let other = json!({"packageId": other["id"]});
    isp.owner.put(&format!("{path}/package"), &other).await?;
    isp.owner
        .put(&path, &json!({"packageId": isp.package}))
        .await?;
    carried("carried on with another package").await?;

    isp.owner.put(&path, &json!({"parentId": ""})).await?;
    site.knows("child", "on its own", |known| {
        known.entitlement.paid_until == paid && known.entitlement.funded_until == paid
    })
    .await?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    site.stop().await;
    world.stop().await
}

/// While a parent is away none of its children is let in: not by activating one, not by a voucher, not by bringing
/// one back; and who was stopped for himself stays so when the parent is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_parents_pause_holds_for_its_children_and_for_them_alone() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "pauses").await?;
    let site = Site::open(&world, &isp).await?;
    let end = world.clock.now().plus(9 * DAY);
    let mother = isp.add_subscriber("mother", PHONE, end).await?;
    let make = async |name: &str| -> Result<String> {
        let child = json!({"username": name, "password": name, "name": "A child", "connectionType": "PPPOE",
            "packageId": isp.package, "parentId": mother});
        let made = isp.owner.post("/customers", &child).await?;
        Ok(made["id"].as_str().context("an id")?.to_owned())
    };
    let (good, bad) = (make("good").await?, make("naughty").await?);
    let nothing = json!({});
    let of = |whose: &str, what: &str| format!("/customers/{whose}/{what}");
    isp.owner.post(&of(&bad, "suspend"), &nothing).await?;
    isp.owner.post(&of(&mother, "pause"), &nothing).await?;
    site.knows("good", "away with its mother", |known| {
        known.entitlement.standing == Standing::Suspended
    })
    .await?;
    for child in [&good, &bad] {
        assert_eq!(
            refused(&isp, Method::POST, &of(child, "activate"), &nothing).await?,
            "FOLLOWS_PARENT"
        );
        let active = json!({"status": "ACTIVE"});
        let path = format!("/customers/{child}");
        assert_eq!(
            refused(&isp, Method::PUT, &path, &active).await?,
            "FOLLOWS_PARENT"
        );
    }
    let batch = crate::vouchers::make(&isp, 1).await?;
    crate::vouchers::held(&site, 1).await?;
    let shown = json!({"code": batch.codes[0], "customerId": good});
    assert_eq!(
        refused(&isp, Method::POST, "/vouchers/redeem", &shown).await?,
        "FOLLOWS_PARENT"
    );

    // Deleted and brought back while his mother is away, he is away too.
    isp.owner
        .call(Method::DELETE, &format!("/customers/{good}"), None)
        .await?;
    let back = isp.owner.post(&of(&good, "restore"), &nothing).await?;
    assert_eq!(
        (&back["status"], &back["parentId"]),
        (&json!("SUSPENDED"), &json!(mother))
    );
    world.clock.advance(HOUR);
    isp.owner.post(&of(&mother, "resume"), &nothing).await?;
    site.knows("good", "back with its mother", |known| {
        known.entitlement.standing == Standing::Active
            && known.entitlement.paid_until == end.plus(HOUR)
    })
    .await?;
    site.knows("naughty", "still stopped", |known| {
        known.entitlement.standing == Standing::Suspended
            && known.entitlement.paid_until == end.plus(HOUR)
    })
    .await?;

    // A parent is neither erased under its children, nor may one come back to a parent who is gone.
    isp.owner
        .post("/auth/confirm", &json!({"password": PASSWORD}))
        .await?;
    let erase = json!({"reason": "Asked by letter", "confirm": "mother", "leaveBalance": true});
    assert_eq!(
        refused(&isp, Method::POST, &of(&mother, "erase"), &erase).await?,
        "HAS_CHILDREN"
    );
    for whose in [&good, &bad, &mother] {
        let path = format!("/customers/{whose}");
        let (status, answer) = isp.owner.call(Method::DELETE, &path, None).await?;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    assert_eq!(
        refused(&isp, Method::POST, &of(&good, "restore"), &nothing).await?,
        "parentId"
    );
    isp.owner.post(&of(&mother, "restore"), &nothing).await?;
    isp.owner.post(&of(&good, "restore"), &nothing).await?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    site.stop().await;
    world.stop().await
}

/// What he bought ahead begins later by as long as he was away, whether he is resumed or pays.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_bought_ahead_waits_for_who_is_away() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "ahead").await?;
    let metered = json!({"name": "Metered", "type": "PPPOE", "price": 100, "downloadSpeed": 5,
        "uploadSpeed": 5, "dataLimit": 1_000_000_000});
    let metered = isp.owner.post("/packages", &metered).await?;
    let metered = metered["id"].as_str().context("an id")?;
    let end = world.clock.now().plus(HOUR);
    let asha = isp
        .owner
        .add_customer("asha", metered, PHONE, &end.to_string())
        .await?;
    let path = |what: &str| format!("/customers/{asha}/{what}");
    let (nothing, price) = (json!({}), json!({"amount": 100}));
    let tenant = isp.tenant().await?;
    let begins = async || -> Result<Vec<Timestamp>> {
        let mut tx = world.db().begin(tenant).await?;
        Ok(
            sqlx::query_scalar("select starts_at from periods order by starts_at")
                .fetch_all(&mut *tx)
                .await?,
        )
    };
    isp.owner.post(&path("recharge"), &price).await?;
    assert_eq!(begins().await?, [end]);

    isp.owner.post(&path("pause"), &nothing).await?;
    world.clock.advance(2 * HOUR);
    isp.owner.post(&path("resume"), &nothing).await?;
    let later = end.plus(2 * HOUR);
    assert_eq!(begins().await?, [later]);
    eventually("it is due to begin then", async || {
        let mut directory = world.db().directory().await?;
        let due: i64 = sqlx::query_scalar(
            "select count(*) from directory.jobs
              where tenant_id = $1 and kind = 'renewals.begin' and due_at = $2",
        )
        .bind(tenant)
        .bind(later)
        .fetch_one(&mut *directory)
        .await?;
        Ok((due == 1).then_some(()))
    })
    .await?;

    isp.owner.post(&path("pause"), &nothing).await?;
    world.clock.advance(HOUR);
    isp.owner.post(&path("recharge"), &price).await?;
    let begun = begins().await?;
    assert_eq!((begun.len(), begun[0]), (2, later.plus(HOUR)));
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
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
    let tenant = isp.tenant().await?;
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
