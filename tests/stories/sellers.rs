//! People who sell for the provider out of a float: loaded against money or on credit, used up by what they sell, and
//! never below nothing.

use anyhow::{Context, Result, ensure};
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{PASSWORD, Site, eventually, soon};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::finance::Shop;
use crate::vouchers::{held, make, phone};
use crate::words::DAY;

/// A provider, his seller, and a customer.
struct Kiosk {
    shop: Shop,
    seller: String,
    juma: Operator,
    asha: String,
}

impl Kiosk {
    async fn open(name: &str) -> Result<Kiosk> {
        let shop = Shop::open(name).await?;
        let email = format!("juma@{name}.example");
        let person = json!({"name": "Juma", "email": email, "password": PASSWORD, "role": "ADMIN"});
        let made = shop.owner().post("/tenant/operators", &person).await?;
        let seller = made["id"].as_str().context("an id")?.to_owned();
        let juma = Operator::login(shop.world.api(), &email, PASSWORD).await?;
        let until = shop.world.clock.now().plus(DAY);
        let asha = shop
            .isp
            .add_subscriber("asha", "254712345671", until)
            .await?;
        let sells = json!({"active": true});
        let path = format!("/finance/sellers/{seller}");
        shop.owner().put(&path, &sells).await?;
        Ok(Kiosk {
            shop,
            seller,
            juma,
            asha,
        })
    }

    async fn moves(&self, who: &Operator, body: Value) -> Result<(StatusCode, Value)> {
        let path = format!("/finance/sellers/{}/moves", self.seller);
        who.call(Method::POST, &path, Some(&body)).await
    }

    /// What he may sell and what he owes.
    async fn stands(&self) -> Result<(Value, Value)> {
        let sellers = self.shop.owner().get("/finance/sellers").await?;
        let juma = &sellers[0];
        assert_eq!(juma["operatorId"], self.seller.as_str());
        Ok((juma["balance"].clone(), juma["owed"].clone()))
    }

    async fn pays(&self, who: &Operator, amount: u32) -> Result<(StatusCode, Value)> {
        let paid = json!({"customerId": self.asha, "amount": amount});
        who.call(Method::POST, "/payments/manual", Some(&paid))
            .await
    }
}

/// What he records comes out of his float, however many at once, and is refused when it is used up. The money is his;
/// the provider's came when he loaded. A payment that is taken back is in his float again.
#[tokio::test(flavor = "multi_thread")]
async fn a_seller_sells_what_is_in_his_float_and_no_more() -> Result<()> {
    let kiosk = Kiosk::open("kiosk").await?;
    let owner = kiosk.shop.owner();
    let load = json!({"kind": "LOAD", "amount": 3500, "method": "Cash", "reference": "slip 1"});
    let (status, loaded) = kiosk.moves(owner, load.clone()).await?;
    assert_eq!(status, StatusCode::CREATED, "{loaded}");
    assert_eq!(
        (&loaded["balance"], &loaded["owed"]),
        (&json!(3500), &json!(0))
    );
    let (status, own) = kiosk.moves(&kiosk.juma, load).await?;
    assert_eq!(
        (status, &own["code"]),
        (StatusCode::FORBIDDEN, &json!("OWN_FLOAT"))
    );

    let paid = join_all((0..10).map(|_| kiosk.pays(&kiosk.juma, 1000))).await;
    let mut payments = Vec::new();
    for answer in paid {
        let (status, answer) = answer?;
        if status == StatusCode::CREATED {
            payments.push(answer["id"].as_str().context("an id")?.to_owned());
        } else {
            assert_eq!(status, StatusCode::CONFLICT, "{answer}");
            assert_eq!(answer["code"], "FLOAT_USED_UP", "{answer}");
        }
    }
    assert_eq!(payments.len(), 3);
    assert_eq!(kiosk.stands().await?, (json!(500), json!(0)));
    assert_eq!(kiosk.shop.balance("1000").await?, 3500);
    assert_eq!(kiosk.shop.balance("2500").await?, 500);
    let recharge = format!("/customers/{}/recharge", kiosk.asha);
    let body = json!({"amount": 501});
    let (status, answer) = kiosk
        .juma
        .call(Method::POST, &recharge, Some(&body))
        .await?;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");

    let path = format!("/payments/manual/{}", payments[0]);
    owner.call(Method::DELETE, &path, None).await?;
    assert_eq!(kiosk.stands().await?, (json!(1500), json!(0)));
    // The owner's own goes into the till, as ever.
    let (status, _) = kiosk.pays(owner, 1000).await?;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(kiosk.shop.balance("1000").await?, 4500);

    let path = format!("/finance/sellers/{}/statement", kiosk.seller);
    let statement = kiosk.juma.get(&path).await?;
    let kinds: Vec<&Value> = statement["lines"]
        .as_array()
        .context("lines")?
        .iter()
        .map(|line| &line["kind"])
        .collect();
    assert_eq!(kinds.len(), 5, "{statement}");
    assert_eq!(statement["closingBalance"], 1500, "{statement}");
    ensure!(kinds.contains(&&json!("VOID")), "{statement}");
    // Nor does money pass by it.
    let cash = json!({"customerName": "Asha", "amount": 100, "method": "Cash"});
    let refused = kiosk
        .juma
        .call(Method::POST, "/finance/income", Some(&cash))
        .await?;
    assert_eq!(
        (refused.0, &refused.1["code"]),
        (StatusCode::FORBIDDEN, &json!("SELLER"))
    );
    let bill = json!({"customerId": kiosk.asha, "amount": 500, "dueDate": "2027-01-20",
        "items": [{"description": "Cable", "amount": 500}]});
    let bill = owner.post("/finance/invoices", &bill).await?;
    let path = format!(
        "/finance/invoices/{}/status",
        bill["id"].as_str().context("an id")?
    );
    let paid = json!({"status": "paid", "method": "Cash"});
    let refused = kiosk.juma.call(Method::PUT, &path, Some(&paid)).await?;
    assert_eq!(
        (refused.0, &refused.1["code"]),
        (StatusCode::FORBIDDEN, &json!("SELLER"))
    );
    let by_hand = json!({"status": "paid"});
    let refused = kiosk.juma.call(Method::PUT, &path, Some(&by_hand)).await?;
    assert_eq!(refused.0, StatusCode::CONFLICT, "{:?}", refused.1);
    // He is told what he can do, and does it.
    let said = refused.1["error"].as_str().unwrap_or_default();
    ensure!(said.contains("float") && !said.contains("Cash"), "{said}");
    let (status, _) = kiosk.pays(&kiosk.juma, 500).await?;
    assert_eq!(status, StatusCode::CREATED);
    eventually("it is paid out of the wallet", async || {
        let shown = owner.get(path.trim_end_matches("/status")).await?;
        Ok((shown["status"] == "paid" && shown["paidBy"] == "WALLET").then_some(()))
    })
    .await?;
    kiosk.shop.closes().await
}

/// On credit: what he loaded he owes until he hands it over, no more than that; what he did not sell goes back.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_seller_owes_he_hands_over() -> Result<()> {
    let kiosk = Kiosk::open("credit").await?;
    let owner = kiosk.shop.owner();
    for (body, stands) in [
        (json!({"kind": "LOAD", "amount": 2000}), Some((2000, 2000))),
        (json!({"kind": "HANDOVER", "amount": 2001}), None),
        (
            json!({"kind": "HANDOVER", "amount": 500, "method": "M-Pesa"}),
            Some((2000, 1500)),
        ),
        (json!({"kind": "RETURN", "amount": 1501}), None),
        (json!({"kind": "RETURN", "amount": 600}), Some((1400, 900))),
        (
            json!({"kind": "RETURN", "amount": 400, "method": "Cash"}),
            Some((1000, 900)),
        ),
        (
            json!({"kind": "RETURN", "amount": 1100, "method": "Cash"}),
            None,
        ),
        (json!({"kind": "HANDOVER", "amount": 900}), Some((1000, 0))),
        (json!({"kind": "LOAD", "amount": 0}), None),
        (json!({"amount": 1}), None),
    ] {
        let before = kiosk.stands().await?;
        let (status, answer) = kiosk.moves(owner, body.clone()).await?;
        match stands {
            Some((balance, owed)) => {
                assert_eq!(status, StatusCode::CREATED, "{body}: {answer}");
                assert_eq!(kiosk.stands().await?, (json!(balance), json!(owed)));
            }
            None => {
                assert!(status.is_client_error(), "{body}: {answer}");
                assert_eq!(kiosk.stands().await?, before);
            }
        }
    }
    for (code, balance) in [("1000", 500), ("1010", 500), ("1110", 0), ("2500", 1000)] {
        assert_eq!(kiosk.shop.balance(code).await?, balance, "{code}");
    }

    // One cent beside the books is found.
    let tenant = kiosk.shop.isp.tenant().await?;
    for (change, found) in [(1, true), (-1, false)] {
        let mut tx = kiosk.shop.world.db().begin(tenant).await?;
        sqlx::query("update floats set balance = balance + $1")
            .bind(i64::from(change))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        let findings = kiosk.shop.world.book_findings().await?;
        assert_eq!(
            findings.iter().any(|what| what.contains(&kiosk.seller)),
            found,
            "{findings:?}"
        );
    }
    kiosk.shop.closes().await
}

/// Vouchers come out of his float when he makes them, all of them or none; one that is revoked goes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_seller_takes_vouchers_out_of_his_float() -> Result<()> {
    let kiosk = Kiosk::open("slips").await?;
    let owner = kiosk.shop.owner();
    let free = make(&kiosk.shop.isp, 1).await?; // the owner's
    assert_eq!(kiosk.shop.balance("2200").await?, 0);
    let package = owner.get(&format!("/packages/{}", free.package)).await?;
    let price = package["price"].as_i64().context("a price")?;
    let load = json!({"kind": "LOAD", "amount": 3 * price, "method": "Cash"});
    kiosk.moves(owner, load).await?;
    let wants = |count: u32| json!({"count": count, "packageId": free.package, "type": "HOTSPOT"});
    let (status, answer) = kiosk
        .juma
        .call(Method::POST, "/vouchers", Some(&wants(4)))
        .await?;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &json!("FLOAT_USED_UP"))
    );
    let made = kiosk.juma.post("/vouchers", &wants(2)).await?;
    assert_eq!(kiosk.stands().await?, (json!(price), json!(0)));
    assert_eq!(kiosk.shop.balance("2200").await?, 2 * price);

    let voucher = made["vouchers"][0]["id"].as_str().context("an id")?;
    let path = format!("/vouchers/{voucher}");
    for _ in 0..2 {
        owner.call(Method::DELETE, &path, None).await?;
        assert_eq!(kiosk.stands().await?, (json!(2 * price), json!(0)));
    }
    let brought = async || -> Result<Value> {
        let report = owner.get("/reports/revenue?by=method").await?;
        let rows = report["rows"].as_array().context("rows")?.clone();
        let voucher = rows.into_iter().find(|row| row["name"] == "VOUCHER");
        Ok(voucher.map_or(json!(0), |row| row["amount"].clone()))
    };
    assert_eq!(brought().await?, 0, "nobody used one");
    let redeem = json!({"code": made["codes"][1]});
    owner.post("/vouchers/redeem", &redeem).await?;
    assert_eq!(brought().await?, price);
    assert_eq!(kiosk.shop.balance("2200").await?, 0);
    assert_eq!(kiosk.shop.balance("4000").await?, price);
    kiosk.shop.closes().await
}

/// A code that was revoked while its site could not hear of it is used there all the same: who sold it owes its price.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_voucher_that_was_used_is_owed() -> Result<()> {
    let mut kiosk = Kiosk::open("gone").await?;
    let package = make(&kiosk.shop.isp, 1).await?.package;
    let sold = format!("/packages/{package}");
    let sold = kiosk.shop.owner().get(&sold).await?;
    let price = sold["price"].as_i64().context("a price")?;
    let load = json!({"kind": "LOAD", "amount": price, "method": "Cash"});
    kiosk.moves(kiosk.shop.owner(), load).await?;
    let mut site = Site::open(&kiosk.shop.world, &kiosk.shop.isp).await?;
    let wanted = json!({"count": 1, "packageId": package, "type": "HOTSPOT"});
    let made = kiosk.juma.post("/vouchers", &wanted).await?;
    held(&site, 2).await?;
    let code = made["codes"][0].as_str().context("a code")?;
    let voucher = made["vouchers"][0]["id"].as_str().context("an id")?;

    // The device is let in, and its site's word of it is on its way when the code is revoked.
    kiosk.shop.world.stop_cloud().await?;
    site.cut_off().await?;
    let device = phone(&site, 1, code, code).dial().await.online();
    soon("the Start is answered", device.started()).await?;
    site.stop_agent().await;
    kiosk.shop.world.start_cloud().await?;
    let path = format!("/vouchers/{voucher}");
    kiosk.shop.owner().call(Method::DELETE, &path, None).await?;
    assert_eq!(kiosk.stands().await?, (json!(price), json!(0)));

    site.start_agent().await?;
    eventually("what he owes is booked", async || {
        let stands = kiosk.stands().await?;
        Ok((stands == (json!(price), json!(price))).then_some(()))
    })
    .await?;
    assert_eq!(kiosk.shop.balance("2200").await?, 0);
    assert_eq!(kiosk.shop.balance("4000").await?, price);
    site.stop().await;
    kiosk.shop.closes().await
}

/// What he earns is in his float with the sale, an expense of the provider's, and gone with it when it is taken back; a
/// voucher of several that is revoked takes its share along.
#[tokio::test(flavor = "multi_thread")]
async fn a_seller_earns_his_commission_with_the_sale() -> Result<()> {
    let kiosk = Kiosk::open("earns").await?;
    let owner = kiosk.shop.owner();
    let path = format!("/finance/sellers/{}", kiosk.seller);
    let wrong = json!({"active": true, "commissionPercent": 50.01});
    let (status, _) = owner.call(Method::PUT, &path, Some(&wrong)).await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let terms = json!({"active": true, "commissionPercent": 2.5, "commissionFixed": 1});
    let shown = owner.put(&path, &terms).await?;
    assert_eq!(
        (&shown["commissionPercent"], &shown["commissionFixed"]),
        (&json!(2.5), &json!(1))
    );
    let shown = owner.put(&path, &json!({"active": true})).await?;
    assert_eq!(shown["commissionPercent"], 2.5, "it stays");
    kiosk
        .moves(
            owner,
            json!({"kind": "LOAD", "amount": 5000, "method": "Cash"}),
        )
        .await?;
    let (status, paid) = kiosk.pays(&kiosk.juma, 1000).await?;
    assert_eq!(status, StatusCode::CREATED, "{paid}");
    assert_eq!(kiosk.stands().await?.0, 4026);
    assert_eq!(kiosk.shop.balance("5040").await?, 26);
    let statement = kiosk.juma.get(&format!("{path}/statement")).await?;
    let lines = statement["lines"].as_array().context("lines")?;
    let earned = lines.iter().find(|line| line["kind"] == "COMMISSION");
    assert_eq!(earned.context("a line")?["amount"], 26, "{statement}");

    let void = format!("/payments/manual/{}", paid["id"].as_str().context("an id")?);
    owner.call(Method::DELETE, &void, None).await?;
    assert_eq!(kiosk.stands().await?.0, 5000);
    assert_eq!(kiosk.shop.balance("5040").await?, 0);
    let (status, _) = kiosk.pays(&kiosk.juma, 6000).await?;
    assert_eq!(
        status,
        StatusCode::CONFLICT,
        "nothing is earned of what is refused"
    );
    assert_eq!(kiosk.shop.balance("5040").await?, 0);

    let free = make(&kiosk.shop.isp, 1).await?; // the owner's, of whom nobody earns
    let package = owner.get(&format!("/packages/{}", free.package)).await?;
    let price = package["price"].as_f64().context("a price")?;
    let wants = json!({"count": 2, "packageId": free.package, "type": "HOTSPOT"});
    let made = kiosk.juma.post("/vouchers", &wants).await?;
    let commission = 2.0 * price * 0.025 + 1.0;
    assert_eq!(kiosk.shop.balance("5040").await?.as_f64(), Some(commission));
    let voucher = made["vouchers"][0]["id"].as_str().context("an id")?;
    owner
        .call(Method::DELETE, &format!("/vouchers/{voucher}"), None)
        .await?;
    assert_eq!(
        kiosk.shop.balance("5040").await?.as_f64(),
        Some(commission / 2.0)
    );
    kiosk.shop.closes().await
}

/// What does not divide by the vouchers of a batch is not kept: once the last of them is revoked, all that he earned
/// of it has gone back.
#[tokio::test(flavor = "multi_thread")]
async fn a_commission_goes_back_to_the_last_cent() -> Result<()> {
    let kiosk = Kiosk::open("thirds").await?;
    let owner = kiosk.shop.owner();
    let terms = json!({"active": true, "commissionFixed": 1});
    let path = format!("/finance/sellers/{}", kiosk.seller);
    owner.put(&path, &terms).await?;
    let load = json!({"kind": "LOAD", "amount": 5000, "method": "Cash"});
    kiosk.moves(owner, load).await?;
    let free = make(&kiosk.shop.isp, 1).await?; // for its package
    let wants = json!({"count": 3, "packageId": free.package, "type": "HOTSPOT"});
    let made = kiosk.juma.post("/vouchers", &wants).await?;
    for (place, left) in [0.66, 0.32, 0.0].into_iter().enumerate() {
        assert_eq!(
            kiosk.shop.world.book_findings().await?,
            Vec::<String>::new()
        );
        let voucher = &made["vouchers"][place]["id"];
        let voucher = format!("/vouchers/{}", voucher.as_str().context("an id")?);
        owner.call(Method::DELETE, &voucher, None).await?;
        assert_eq!(kiosk.shop.balance("5040").await?.as_f64(), Some(left));
    }
    assert_eq!(kiosk.stands().await?.0, 5000);
    kiosk.shop.closes().await
}
