//! Child accounts: a family has one time, and one who pays for it.

use anyhow::{Context, Result};
use easyisp_shared::entitlement::Standing;
use easyisp_shared::time::Timestamp;
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{PASSWORD, Provider, Site, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{PHONE, refused};
use crate::words::{DAY, HOUR};

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

/// A child that renewed by itself before buys nothing out of its parent's wallet when their time is over: the parent does
/// not want it.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_renews_nothing_that_its_parent_does_not() -> Result<()> {
    let world = World::start().await?;
    let mut isp = Provider::sign_up(&world, "renewing").await?;
    isp.subscribe(&world).await?;
    let now = world.clock.now();
    let mother = isp.add_subscriber("mother", PHONE, now.plus(DAY)).await?;
    let child = isp.add_subscriber("child", "254712345611", now).await?;
    let of = |whose: &str, what: &str| format!("/customers/{whose}{what}");
    let owner = &isp.owner;
    owner
        .put(&of(&child, ""), &json!({"autoRenew": true}))
        .await?;
    let money = json!({"amount": 2000});
    owner.post(&of(&child, "/recharge"), &money).await?;
    let bought = isp.customer(&child).await?;
    assert_eq!(bought["walletBalance"], 1000, "it will renew: {bought}");
    // What would renew it is spent, and its own time is over.
    let invoice = json!({"customerId": child, "amount": 1000, "dueDate": "2027-02-20",
        "items": [{"description": "Cable", "amount": 1000}]});
    let invoice = owner.post("/finance/invoices", &invoice).await?;
    let number = invoice["id"].as_str().context("a number")?;
    let path = format!("/finance/invoices/{number}/status");
    owner.put(&path, &json!({"status": "paid"})).await?;
    let over = json!({"expiresAt": now.to_string()});
    owner.put(&of(&child, "/expiry"), &over).await?;
    owner
        .put(&of(&child, ""), &json!({"parentId": mother}))
        .await?;
    // Behind what the child had bought.
    let end = now.plus(40 * DAY);
    let until = json!({"expiresAt": end.to_string()});
    owner.put(&of(&mother, "/expiry"), &until).await?;
    owner
        .put(&of(&mother, ""), &json!({"packageId": ""}))
        .await?;
    owner
        .post(&of(&mother, "/recharge"), &json!({"amount": 3000}))
        .await?;
    owner
        .put(&of(&mother, ""), &json!({"packageId": isp.package}))
        .await?;
    assert_eq!(isp.customer(&mother).await?["walletBalance"], 3000);
    let like = |child: &serde_json::Value| child["expiresAt"] == end.to_string();
    isp.customer_becomes(&child, "served with its mother", like)
        .await?;
    for at in [now.plus(35 * DAY), end.plus(HOUR)] {
        world.clock.advance(at.since(world.clock.now()));
        // Whatever is due then is done.
        eventually("nothing is due", async || {
            let due: i64 = sqlx::query_scalar(
                "select count(*) from directory.jobs where kind = 'renewals.auto' and due_at <= $1",
            )
            .bind(world.clock.now())
            .fetch_one(&mut *world.db().directory().await?)
            .await?;
            Ok((due == 0).then_some(()))
        })
        .await?;
    }
    isp.owner = Operator::login(world.api(), &isp.email(), PASSWORD).await?;
    let shown = isp.customer(&mother).await?;
    assert_eq!(
        (&shown["walletBalance"], &shown["expiresAt"]),
        (&json!(3000), &json!(end.to_string())),
        "{shown}"
    );
    assert_eq!(isp.customer(&child).await?["expiresAt"], end.to_string());
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
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
