//! How often a package may be bought, and a package's own days of grace.

mod devices;

use anyhow::{Context, Result};
use easyisp_tests::world::{Provider, Site, World};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::words::{DAY, HOUR};

struct Stall {
    world: World,
    isp: Provider,
}

impl Stall {
    async fn open(name: &str) -> Result<Stall> {
        let world = World::start().await?;
        let isp = Provider::with_paybill(&world, name).await?;
        Ok(Stall { world, isp })
    }

    async fn package(&self, name: &str, terms: Value) -> Result<String> {
        let package = json!({"name": name, "type": "HOTSPOT", "price": 20, "downloadSpeed": 5, "uploadSpeed": 5,
            "sessionTime": 60, "terms": terms});
        let package = self.isp.owner.post("/packages", &package).await?;
        Ok(package["id"].as_str().context("an id")?.to_owned())
    }

    async fn guest(&self, name: &str, package: &str, phone: &str) -> Result<String> {
        let until = self.world.clock.now().minus(HOUR).to_string();
        let guest = json!({"username": name, "password": name, "name": name, "connectionType": "HOTSPOT",
            "packageId": package, "phone": phone, "expiresAt": until});
        let guest = self.isp.owner.post("/customers", &guest).await?;
        Ok(guest["id"].as_str().context("an id")?.to_owned())
    }

    /// Puts the price into his wallet: his end and what is left there.
    async fn pays(&self, customer: &str) -> Result<(Value, Value)> {
        let money = json!({"amount": 20});
        self.isp
            .owner
            .post(&format!("/customers/{customer}/recharge"), &money)
            .await?;
        let shown = self.isp.customer(customer).await?;
        Ok((shown["expiresAt"].clone(), shown["walletBalance"].clone()))
    }

    async fn refused(&self, path: &str, body: &Value) -> Result<String> {
        let (status, answer) = self.isp.owner.call(Method::POST, path, Some(body)).await?;
        assert_eq!(status, StatusCode::CONFLICT, "{answer}");
        assert_eq!(answer["code"], "PURCHASE_LIMIT", "{answer}");
        Ok(answer["message"].as_str().unwrap_or_default().to_owned())
    }

    async fn close(self) -> Result<()> {
        assert_eq!(self.world.book_findings().await?, Vec::<String>::new());
        self.world.stop().await
    }
}

/// A trial is once: not again under another name with the same phone, by push, by wallet or by voucher. The money
/// that came all the same is in the wallet.
#[tokio::test(flavor = "multi_thread")]
async fn a_trial_is_once_for_a_phone() -> Result<()> {
    let stall = Stall::open("trial").await?;
    let terms = json!({"purchaseLimits": [{"most": 1, "per": "EVER"}]});
    let trial = stall.package("Trial", terms).await?;
    let first = stall.guest("first", &trial, "254712345801").await?;
    let same = stall.guest("same", &trial, "0712345801").await?;
    let other = stall.guest("other", &trial, "254712345802").await?;
    let codes = json!({"count": 1, "packageId": trial});
    let codes = stall.isp.owner.post("/vouchers", &codes).await?;

    let (end, left) = stall.pays(&first).await?;
    assert_eq!(
        (&end, &left),
        (
            &json!(stall.world.clock.now().plus(HOUR).to_string()),
            &json!(0)
        )
    );
    let (end, left) = stall.pays(&same).await?;
    assert_eq!(
        (&end, &left),
        (
            &json!(stall.world.clock.now().minus(HOUR).to_string()),
            &json!(20)
        )
    );
    let ask = json!({"customerId": same, "amount": 20});
    let said = stall.refused("/payments/mpesa/stk", &ask).await?;
    assert!(said.contains("Trial can be bought once"), "{said}");
    let code = json!({"code": codes["codes"][0], "customerId": same});
    stall.refused("/vouchers/redeem", &code).await?;
    // Somebody else's phone is somebody else; and the code is as good as before.
    let code = json!({"code": codes["codes"][0], "customerId": other});
    stall.isp.owner.post("/vouchers/redeem", &code).await?;
    let (_, left) = stall.pays(&other).await?;
    assert_eq!(left, 20);
    stall.close().await
}

/// Twice a day is twice between two midnights of the provider; ten who pay at once for one phone get it twice.
#[tokio::test(flavor = "multi_thread")]
async fn so_many_a_day_are_again_so_many_tomorrow() -> Result<()> {
    let stall = Stall::open("daily").await?;
    let terms = json!({"purchaseLimits": [{"most": 2, "per": "DAY"}, {"most": 3, "per": "WEEK"}]});
    let daily = stall.package("Daily", terms).await?;
    let guests = [
        stall.guest("neema", &daily, "254712345811").await?,
        stall.guest("tatu", &daily, "254712345811").await?,
    ];
    let pays = (0..10).map(|place| stall.pays(&guests[place % 2]));
    for paid in futures_util::future::join_all(pays).await {
        paid?;
    }
    let bought = async |stall: &Stall| -> Result<i64> {
        let mut tx = stall.world.db().begin(stall.isp.tenant().await?).await?;
        Ok(sqlx::query_scalar("select count(*) from periods")
            .fetch_one(&mut *tx)
            .await?)
    };
    assert_eq!(bought(&stall).await?, 2);
    let ask = json!({"customerId": guests[0], "amount": 20});
    let said = stall.refused("/payments/mpesa/stk", &ask).await?;
    // Midnight in Nairobi.
    assert!(
        said.contains("2 times a day") && said.contains("2027-01-15T21:00:00"),
        "{said}"
    );

    stall.world.clock.advance(DAY);
    stall.pays(&guests[1]).await?;
    assert_eq!(bought(&stall).await?, 3);
    stall.pays(&guests[1]).await?;
    assert_eq!(bought(&stall).await?, 3);
    let said = stall.refused("/payments/mpesa/stk", &ask).await?;
    assert!(said.contains("3 times a week"), "{said}");
    for wrong in [
        json!({"purchaseLimits": [{"most": 0, "per": "DAY"}]}),
        json!({"graceDays": 31}),
        json!({"outageMinutes": 1}),
    ] {
        let package = json!({"name": "Wrong", "type": "HOTSPOT", "price": 20, "downloadSpeed": 5,
            "uploadSpeed": 5, "terms": wrong});
        let (status, answer) = stall
            .isp
            .owner
            .call(Method::POST, "/packages", Some(&package))
            .await?;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    }
    stall.close().await
}

/// A package's own days of grace reach the site, which lets in for so long after the paid end; the payment that
/// comes within them is counted from that end.
#[tokio::test(flavor = "multi_thread")]
async fn a_package_has_days_of_grace_of_its_own() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "grace").await?;
    let site = Site::open(&world, &isp).await?;
    let package = json!({"name": "Patient", "type": "PPPOE", "price": 1000, "downloadSpeed": 10, "uploadSpeed": 10,
        "terms": {"graceDays": 2}});
    let package = isp.owner.post("/packages", &package).await?;
    assert_eq!(package["terms"]["graceDays"], 2);
    let package = package["id"].as_str().context("an id")?;
    let end = world.clock.now().plus(HOUR);
    let asha = isp
        .owner
        .add_customer("asha", package, "254712345821", &end.to_string())
        .await?;
    let juma = isp.add_subscriber("juma", "254712345822", end).await?;
    site.knows("asha", "at all", |_| true).await?;
    site.knows("juma", "at all", |_| true).await?;

    world.clock.advance(DAY);
    site.dial("asha").await.online().hang_up().await;
    let access = |id: &str| format!("/customers/{id}/access");
    assert_eq!(isp.owner.get(&access(&asha)).await?["answer"], "ACCEPT");
    assert_eq!(isp.owner.get(&access(&juma)).await?["reason"], "EXPIRED");
    let money = json!({"amount": 1000});
    isp.owner
        .post(&format!("/customers/{asha}/recharge"), &money)
        .await?;
    let shown = isp.customer(&asha).await?;
    assert_eq!(shown["expiresAt"], "2027-02-15T09:00:00.000Z");
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    site.stop().await;
    world.stop().await
}

/// Whose money becomes his parent's buys nothing that the parent may not buy again: it waits in the wallet.
#[tokio::test(flavor = "multi_thread")]
async fn a_childs_money_buys_no_second_trial() -> Result<()> {
    let stall = Stall::open("family").await?;
    let terms = json!({"purchaseLimits": [{"most": 1, "per": "EVER"}]});
    let trial = stall.package("Trial", terms).await?;
    let dear = json!({"name": "Dear", "type": "HOTSPOT", "price": 900, "downloadSpeed": 5, "uploadSpeed": 5,
        "sessionTime": 60});
    let dear = stall.isp.owner.post("/packages", &dear).await?;
    let dear = dear["id"].as_str().context("an id")?;
    let mother = stall.guest("mother", &trial, "254712345801").await?;
    let child = stall.guest("child", dear, "254712345802").await?;
    let (end, left) = stall.pays(&mother).await?;
    assert_eq!(left, 0, "she had her trial");
    assert_eq!(stall.pays(&child).await?.1, 20);

    let hers = json!({"parentId": mother});
    let path = format!("/customers/{child}");
    stall.isp.owner.put(&path, &hers).await?;
    let shown = stall
        .isp
        .customer_becomes(&mother, "given the child's money", |shown| {
            shown["walletBalance"] == 20
        })
        .await?;
    assert_eq!(shown["expiresAt"], end, "no second trial");
    stall.close().await
}
