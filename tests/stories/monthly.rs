//! Customers who pay afterwards: billed once a month for the days they had, served as long as the provider is patient;
//! and what takes an invoice back is a document.

use anyhow::{Context, Result, ensure};
use easyisp_tests::operator::http_client;
use easyisp_tests::world::{Site, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::finance::Shop;
use crate::money::at;

impl Shop {
    /// Somebody whose paid time ends now.
    async fn someone(&self, name: &str) -> Result<String> {
        let now = self.world.clock.now();
        self.isp.add_subscriber(name, "254712345631", now).await
    }

    async fn postpaid(&self, customer: &str, wanted: bool) -> Result<Value> {
        let wish = json!({"postpaid": wanted});
        self.owner()
            .put(&format!("/customers/{customer}/billing"), &wish)
            .await
    }

    async fn rules(&self, rules: Value) -> Result<()> {
        self.owner().put("/tenant/billing", &rules).await?;
        Ok(())
    }

    /// All invoices, once there are so many.
    async fn invoices(&self, count: usize) -> Result<Vec<Value>> {
        eventually("the invoices are there", async || {
            let mut page = self.owner().get("/finance/invoices").await?;
            let invoices: Vec<Value> = serde_json::from_value(page["invoices"].take())?;
            Ok((invoices.len() >= count).then_some(invoices))
        })
        .await
    }

    async fn told(&self) -> Result<Vec<String>> {
        let mut tx = self.world.db().begin(self.isp.tenant().await?).await?;
        let bodies = sqlx::query_scalar(
            "select body from messages where purpose = 'invoice' order by created_at, id",
        )
        .fetch_all(&mut *tx)
        .await?;
        Ok(bodies)
    }

    /// Waits until the month's work was done at this moment.
    async fn billed(&self) -> Result<()> {
        let now = self.world.clock.now();
        eventually("the month is billed", async || {
            let mut tx = self.world.db().begin(self.isp.tenant().await?).await?;
            let waits: bool = sqlx::query_scalar(
                "select exists (select from directory.jobs
                                 where tenant_id = $1 and due_at <= $2
                                   and kind in ('billing.bill', 'invoices.collect', 'customers.reckon'))",
            )
            .bind(tx.tenant())
            .bind(now)
            .fetch_one(&mut *tx)
            .await?;
            Ok((!waits).then_some(()))
        })
        .await
    }
}

/// From the fifteenth on, on another package from the twentieth on: one invoice on the first, for the days of each. It
/// is overdue and told so, then service stops by itself; the money that comes pays it, and he is served on.
#[tokio::test(flavor = "multi_thread")]
async fn a_month_is_billed_by_its_days_and_stops_who_does_not_pay() -> Result<()> {
    let mut shop = Shop::open("monthly").await?;
    let site = Site::open(&shop.world, &shop.isp).await?;
    shop.rules(json!({"billingDay": 1, "dueDays": 10, "stopAfterDays": 5}))
        .await?;
    let asha = shop.someone("asha").await?;
    let shown = shop.postpaid(&asha, true).await?;
    assert_eq!(
        (
            &shown["since"],
            &shown["nextInvoice"],
            &shown["servedUntil"]
        ),
        (
            &json!("2027-01-15"),
            &json!("2027-02-01"),
            &json!("2027-02-16T21:00:00.000Z")
        )
    );
    // Money buys him no period.
    shop.owner()
        .post(
            &format!("/customers/{asha}/recharge"),
            &json!({"amount": 500}),
        )
        .await?;
    assert_eq!(shop.isp.customer(&asha).await?["walletBalance"], 500);

    shop.go_to(at("2027-01-20T09:00:00Z")).await?;
    let faster = json!({"name": "Home 20", "type": "PPPOE", "price": 2000, "downloadSpeed": 20, "uploadSpeed": 20});
    let faster = shop.owner().post("/packages", &faster).await?;
    let change = json!({"packageId": faster["id"]});
    shop.owner()
        .put(&format!("/customers/{asha}/package"), &change)
        .await?;
    shop.billed().await?;

    shop.go_to(at("2027-01-31T20:59:00Z")).await?;
    shop.billed().await?;
    let none = shop.owner().get("/finance/invoices").await?;
    assert_eq!(none["total"], 0, "it is still January in Nairobi");
    shop.go_to(at("2027-01-31T21:15:00Z")).await?;
    let invoice = shop.invoices(1).await?.remove(0);
    assert_eq!(
        (&invoice["id"], &invoice["amount"], &invoice["status"]),
        (&json!("INV-20270001"), &json!(935.48), &json!("pending"))
    );
    let lines: Vec<&Value> = invoice["items"]
        .as_array()
        .context("lines")?
        .iter()
        .collect();
    assert_eq!(lines[0]["amount"], 161.29);
    assert_eq!(
        lines[1],
        &json!({"description": "Home 20: 20 Jan to 31 Jan 2027, 12 of 31 days", "amount": 774.19})
    );
    // However often the job runs.
    for _ in 0..3 {
        shop.rules(json!({"billingDay": 1, "dueDays": 10, "stopAfterDays": 5}))
            .await?;
        shop.billed().await?;
    }
    assert_eq!(shop.invoices(1).await?.len(), 1);
    let ends = at("2027-02-16T21:00:00Z");
    assert_eq!(
        shop.isp.customer(&asha).await?["expiresAt"],
        ends.to_string()
    );

    // What he had was not enough; the day after the due one he reads so.
    assert_eq!(shop.isp.customer(&asha).await?["walletBalance"], 500);
    shop.go_to(at("2027-02-11T21:15:00Z")).await?;
    let told = eventually("he is told", async || {
        let told = shop.told().await?;
        Ok((told.len() >= 2).then_some(told))
    })
    .await?;
    ensure!(
        told[0].contains("INV-20270001, KES 935.48, is due on 11 Feb 2027"),
        "{told:?}"
    );
    ensure!(
        told[1].contains("is overdue. Service stops on 17 Feb 2027"),
        "{told:?}"
    );
    site.knows("asha", "served until then", |known| {
        known.entitlement.paid_until == ends
    })
    .await?;
    shop.go_to(ends).await?;
    assert_eq!(shop.isp.customer(&asha).await?["status"], "EXPIRED");
    // Nobody's account serves who is stopped for what he owes.
    let mother = shop
        .isp
        .add_subscriber("mother", "254712345632", ends.plus(crate::words::DAY))
        .await?;
    let joins = json!({"parentId": mother});
    let path = format!("/customers/{asha}");
    let (status, _) = shop.refusal(Method::PUT, &path, joins).await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);

    let money = json!({"customerId": asha, "amount": 500});
    shop.owner().post("/payments/manual", &money).await?;
    let served = at("2027-03-16T21:00:00Z");
    site.knows("asha", "served on", |known| {
        known.entitlement.paid_until == served
    })
    .await?;
    let paid = shop.owner().get("/finance/invoices/INV-20270001").await?;
    assert_eq!(
        (&paid["status"], &paid["paidBy"]),
        (&json!("paid"), &json!("WALLET"))
    );
    assert_eq!(shop.isp.customer(&asha).await?["walletBalance"], 64.52);

    // A whole month, at what the package costs from its first day on.
    let dearer = json!({"price": 2100});
    let package = faster["id"].as_str().context("an id")?;
    shop.owner()
        .put(&format!("/packages/{package}"), &dearer)
        .await?;
    shop.go_to(at("2027-03-31T21:15:00Z")).await?;
    let amounts: Vec<Value> = shop
        .invoices(3)
        .await?
        .iter()
        .map(|one| one["amount"].clone())
        .collect();
    assert_eq!(amounts, [json!(2100), json!(2000), json!(935.48)]);
    site.stop().await;
    shop.closes().await
}

/// Up and down again in the middle of a month: each day is billed once, as what he had at its end; a price that is changed
/// counts from the next month on.
#[tokio::test(flavor = "multi_thread")]
async fn a_month_of_several_packages_is_billed_day_by_day() -> Result<()> {
    let mut shop = Shop::open("packages").await?;
    shop.rules(json!({"billingDay": 1, "dueDays": 10})).await?;
    let asha = shop.someone("asha").await?;
    shop.postpaid(&asha, true).await?;
    let home = shop.isp.package.clone();
    let mut packages = Vec::new();
    for (name, price) in [("Fast", 2000), ("Slow", 500)] {
        let package = json!({"name": name, "type": "PPPOE", "price": price, "downloadSpeed": 20, "uploadSpeed": 20});
        let made = shop.owner().post("/packages", &package).await?;
        packages.push(made["id"].as_str().context("an id")?.to_owned());
    }
    shop.go_to(at("2027-01-31T21:15:00Z")).await?;
    assert_eq!(
        shop.invoices(1).await?[0]["amount"],
        548.39,
        "17 of 31 days"
    );

    let path = format!("/customers/{asha}/package");
    for (moment, wanted) in [
        ("2027-02-10T09:00:00Z", &packages[0]),
        ("2027-02-10T10:00:00Z", &packages[1]),
        ("2027-02-10T11:00:00Z", &packages[0]),
        ("2027-02-20T09:00:00Z", &home),
    ] {
        shop.go_to(at(moment)).await?;
        let change = json!({"packageId": wanted});
        shop.owner().put(&path, &change).await?;
        shop.billed().await?;
    }
    shop.go_to(at("2027-02-25T09:00:00Z")).await?;
    let dearer = json!({"price": 1300});
    let package = format!("/packages/{home}");
    shop.owner().put(&package, &dearer).await?;
    shop.billed().await?;
    shop.go_to(at("2027-02-28T21:15:00Z")).await?;
    let february = shop.invoices(2).await?.remove(0);
    let items = february["items"].as_array().context("lines")?.clone();
    let amounts: Vec<&Value> = items.iter().map(|item| &item["amount"]).collect();
    assert_eq!(
        amounts,
        [&json!(321.43), &json!(714.29), &json!(321.43)],
        "{february}"
    );
    for (item, days) in items.iter().zip([
        "1 Feb to 9 Feb 2027, 9 of 28 days",
        "10 Feb to 19 Feb 2027, 10 of 28 days",
        "20 Feb to 28 Feb 2027, 9 of 28 days",
    ]) {
        let text = item["description"].as_str().unwrap_or_default();
        ensure!(text.ends_with(days), "{february}");
    }
    assert_eq!(february["amount"], 1357.15, "{february}");
    shop.go_to(at("2027-03-31T21:15:00Z")).await?;
    assert_eq!(shop.invoices(3).await?[0]["amount"], 1300);
    assert_eq!(shop.balance("1100").await?, 3205.54, "all of it is owed");
    shop.closes().await
}

/// Who is billed again pays no day twice, whatever was done to the end of his time meanwhile. Who is on his account is
/// served with him, and he is deleted once his last days are billed.
#[tokio::test(flavor = "multi_thread")]
async fn no_day_is_billed_twice_and_children_are_served_with_their_parent() -> Result<()> {
    let mut shop = Shop::open("again").await?;
    let asha = shop.someone("asha").await?;
    let child = json!({"username": "child", "password": "child", "name": "Child", "connectionType": "PPPOE",
        "packageId": shop.isp.package, "parentId": asha});
    let child = shop.owner().post("/customers", &child).await?;
    let child = format!("/customers/{}", child["id"].as_str().context("an id")?);
    let served = shop.postpaid(&asha, true).await?["servedUntil"].clone();
    eventually("the child is served as long", async || {
        let shown = shop.owner().get(&child).await?;
        Ok((shown["expiresAt"] == served).then_some(()))
    })
    .await?;
    let path = format!("/customers/{asha}");

    shop.go_to(at("2027-01-20T09:00:00Z")).await?;
    shop.postpaid(&asha, false).await?;
    shop.invoices(1).await?;
    let earlier = json!({"expiresAt": "2027-01-16T09:00:00Z"});
    shop.owner().put(&path, &earlier).await?;
    shop.postpaid(&asha, true).await?;
    shop.go_to(at("2027-01-31T21:15:00Z")).await?;
    shop.billed().await?;
    let invoices = shop.invoices(2).await?;
    let lines: Vec<&str> = invoices
        .iter()
        .filter_map(|invoice| invoice["items"][0]["description"].as_str())
        .collect();
    let begins = |day: &str| lines.iter().filter(|line| line.contains(day)).count();
    ensure!(
        begins("15 Jan to") == 1 && begins("21 Jan to") == 1,
        "{lines:?}"
    );

    shop.owner().put(&child, &json!({"parentId": null})).await?;
    let refused = shop.refusal(Method::DELETE, &path, json!({})).await?;
    assert_eq!(refused, (StatusCode::CONFLICT, "BILLED_MONTHLY".to_owned()));
    shop.postpaid(&asha, false).await?;
    shop.owner().call(Method::DELETE, &path, None).await?;
    shop.closes().await
}

/// Who is not billed any more gets an invoice for his last days at once, and pays ahead from tomorrow on; days of a
/// pause are not billed. A child account is billed with its parent.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_days_are_billed_at_once() -> Result<()> {
    let mut shop = Shop::open("leaves").await?;
    let asha = shop.someone("asha").await?;
    shop.postpaid(&asha, true).await?;
    shop.go_to(at("2027-01-17T09:00:00Z")).await?;
    shop.owner()
        .post(&format!("/customers/{asha}/pause"), &json!({}))
        .await?;
    shop.go_to(at("2027-01-18T21:15:00Z")).await?;
    shop.billed().await?;
    shop.owner()
        .post(&format!("/customers/{asha}/resume"), &json!({}))
        .await?;
    shop.billed().await?;
    shop.go_to(at("2027-01-20T09:00:00Z")).await?;
    shop.billed().await?;
    let shown = shop.postpaid(&asha, false).await?;
    assert_eq!(
        (&shown["postpaid"], &shown["servedUntil"]),
        (&json!(false), &json!("2027-01-20T21:00:00.000Z"))
    );
    let invoices = shop.invoices(1).await?;
    let lines = invoices[0]["items"].as_array().context("lines")?;
    let said: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["description"].as_str())
        .collect();
    ensure!(
        said.len() == 2 && said[0].contains("15 Jan to") && said[1].contains("to 20 Jan 2027"),
        "{said:?}"
    );
    // Nothing more comes, and again he is as he was.
    assert_eq!(shop.postpaid(&asha, false).await?["postpaid"], false);
    shop.go_to(at("2027-02-28T21:15:00Z")).await?;
    shop.billed().await?;
    assert_eq!(shop.invoices(1).await?.len(), 1);

    let parent = shop.someone("parent").await?;
    let child = json!({"username": "child", "password": "child", "name": "Child", "connectionType": "PPPOE",
        "packageId": shop.isp.package, "parentId": parent});
    let child = shop.owner().post("/customers", &child).await?;
    let path = format!(
        "/customers/{}/billing",
        child["id"].as_str().context("an id")?
    );
    let refused = shop
        .refusal(Method::PUT, &path, json!({"postpaid": true}))
        .await?;
    assert_eq!(refused, (StatusCode::CONFLICT, "FOLLOWS_PARENT".to_owned()));
    let wrong = shop
        .refusal(Method::PUT, "/tenant/billing", json!({"billingDay": 29}))
        .await?;
    assert_eq!(wrong.0, StatusCode::BAD_REQUEST);
    shop.closes().await
}

/// An invoice that is taken back leaves a credit note: a number of its own, once, and a paper that names the invoice.
#[tokio::test(flavor = "multi_thread")]
async fn a_credit_note_is_a_document() -> Result<()> {
    let shop = Shop::open("notes").await?;
    let asha = shop.someone("asha").await?;
    let bill = json!({"customerId": asha, "amount": 116, "dueDate": "2027-01-20",
        "items": [{"description": "Cable", "amount": 116}]});
    shop.owner()
        .put(
            "/finance/taxes",
            &json!({"taxes": [{"name": "VAT", "rate": 16}]}),
        )
        .await?;
    for _ in 0..2 {
        shop.owner().post("/finance/invoices", &bill).await?;
    }
    for number in ["INV-20270002", "INV-20270002", "INV-20270001"] {
        let path = format!("/finance/invoices/{number}/status");
        shop.owner()
            .put(&path, &json!({"status": "cancelled"}))
            .await?;
    }
    let page = shop.owner().get("/finance/credit-notes").await?;
    let notes = page["creditNotes"].as_array().context("a list")?;
    let said: Vec<(&Value, &Value)> = notes
        .iter()
        .map(|note| (&note["id"], &note["invoice"]))
        .collect();
    assert_eq!(
        said,
        [
            (&json!("CN-20270002"), &json!("INV-20270001")),
            (&json!("CN-20270001"), &json!("INV-20270002")),
        ]
    );
    let taken = shop.owner().get("/finance/invoices/INV-20270002").await?;
    assert_eq!(taken["creditNote"], "CN-20270001");
    for code in ["1100", "4020", "2300"] {
        assert_eq!(shop.balance(code).await?, 0, "{code}");
    }
    let answer = http_client()
        .get(format!(
            "http://{}/api/finance/credit-notes/CN-20270001/pdf",
            shop.world.api()
        ))
        .bearer_auth(shop.owner().token())
        .send()
        .await?;
    assert_eq!(answer.headers()["content-type"], "application/pdf");
    let text = answer.text().await?;
    for said in [
        "(Credit note CN-20270001)",
        "(Takes back invoice INV-20270002 of 15 January 2027)",
        "(116.00)",
        "(16.00)",
    ] {
        ensure!(text.contains(said), "{said} is not in {text}");
    }
    let unknown = shop
        .refusal(
            Method::GET,
            "/finance/credit-notes/CN-20270009/pdf",
            json!({}),
        )
        .await?;
    assert_eq!(unknown.0, StatusCode::NOT_FOUND);
    shop.closes().await
}
