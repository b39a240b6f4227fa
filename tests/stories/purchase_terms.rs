//! What a package makes of too little money and of too much.

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::finance::Shop;
use crate::words::DAY;

impl Shop {
    /// A provider whose package for 1000 a month has these terms, and a customer on it until tomorrow.
    async fn terms(name: &str, terms: Value) -> Result<(Shop, String)> {
        let shop = Shop::open(name).await?;
        let path = format!("/packages/{}", shop.isp.package);
        shop.owner().put(&path, &json!({"terms": terms})).await?;
        let until = shop.world.clock.now().plus(DAY);
        let asha = shop
            .isp
            .add_subscriber("asha", "254712345661", until)
            .await?;
        Ok((shop, asha))
    }

    async fn gives(&self, customer: &str, amount: Value) -> Result<()> {
        let paid = json!({"customerId": customer, "amount": amount});
        self.owner().post("/payments/manual", &paid).await?;
        Ok(())
    }

    /// Wallet, paid end and what he spent.
    async fn has(&self, customer: &str) -> Result<(f64, String, f64)> {
        let customer = self.isp.customer(customer).await?;
        let number = |name: &str| customer[name].as_f64().context("a number");
        let until = customer["expiresAt"].as_str().context("an end")?;
        Ok((
            number("walletBalance")?,
            until.get(..10).context("a day")?.to_owned(),
            number("totalSpent")?,
        ))
    }

    async fn stands(&self, code: &str) -> Result<Option<f64>> {
        Ok(self.balance(code).await?.as_f64())
    }
}

/// As much as the package tolerates may be missing: it buys, and what is missing is written off where the owner reads
/// it, with no tax in it. A cent more, and it waits in the wallet. By himself nobody renews with less.
#[tokio::test(flavor = "multi_thread")]
async fn an_underpayment_buys_as_far_as_the_package_tolerates_it() -> Result<()> {
    let terms = json!({"tolerance": {"amount": 20, "percent": 5}});
    let (shop, asha) = Shop::terms("patient", terms).await?;
    let owner = shop.owner();
    shop.gives(&asha, json!(979.99)).await?;
    assert_eq!(shop.has(&asha).await?, (979.99, "2027-01-16".into(), 0.0));
    shop.gives(&asha, json!(0.01)).await?;
    assert_eq!(shop.has(&asha).await?, (0.0, "2027-02-16".into(), 980.0));
    assert_eq!(shop.stands("5090").await?, Some(20.0));
    assert_eq!(shop.stands("4000").await?, Some(1000.0));
    assert_eq!(shop.stands("2000").await?, Some(0.0));

    let taxes = json!({"taxes": [{"name": "VAT", "rate": 16}]});
    owner.put("/finance/taxes", &taxes).await?;
    owner
        .put("/tenant/prepaid", &json!({"taxed": true}))
        .await?;
    shop.gives(&asha, json!(986)).await?;
    assert_eq!(shop.has(&asha).await?, (0.0, "2027-03-16".into(), 1966.0));
    // 986 / 1.16 = 850: 136 of what he paid, and nothing of the 14 that he did not.
    assert_eq!(shop.stands("2300").await?, Some(136.0));
    assert_eq!(shop.stands("4000").await?, Some(1864.0));
    assert_eq!(shop.stands("5090").await?, Some(34.0));
    let report = owner.get("/reports/revenue?by=package").await?;
    assert_eq!(report["total"], 1830, "{report}");
    let month = owner.get("/dashboard/stats").await?;
    assert_eq!(
        month["monthlyRevenue"], 1830,
        "what he paid, without tax: {month}"
    );

    for (wrong, field) in [
        (json!({}), "terms.tolerance"),
        (json!({"amount": 0}), "terms.tolerance.amount"),
        (json!({"percent": 51}), "terms.tolerance.percent"),
    ] {
        let path = format!("/packages/{}", shop.isp.package);
        let body = json!({"terms": {"tolerance": wrong}});
        let (status, answer) = owner.call(Method::PUT, &path, Some(&body)).await?;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert_eq!(answer["details"][0]["field"], field, "{answer}");
    }
    shop.closes().await
}

/// Money for several periods buys them where the package says so, up to its bound, one behind the other; elsewhere one,
/// and the rest waits. Paid at once from many hands, every shilling buys once.
#[tokio::test(flavor = "multi_thread")]
async fn money_for_several_periods_buys_them_where_the_package_says_so() -> Result<()> {
    let terms = json!({"morePeriods": true, "mostPeriods": 3, "tolerance": {"amount": 10}});
    let (shop, asha) = Shop::terms("several", terms).await?;
    shop.gives(&asha, json!(2995)).await?;
    assert_eq!(shop.has(&asha).await?, (0.0, "2027-04-16".into(), 2995.0));
    assert_eq!(shop.stands("5090").await?, Some(5.0));
    shop.gives(&asha, json!(5500)).await?;
    assert_eq!(
        shop.has(&asha).await?,
        (2500.0, "2027-07-16".into(), 5995.0)
    );
    shop.gives(&asha, json!(500)).await?;
    assert_eq!(shop.has(&asha).await?, (0.0, "2027-10-16".into(), 8995.0));
    try_join_all((0..10).map(|_| shop.gives(&asha, json!(1000)))).await?;
    assert_eq!(shop.has(&asha).await?, (0.0, "2028-08-16".into(), 18995.0));

    let path = format!("/packages/{}", shop.isp.package);
    let plain = json!({"terms": {}});
    shop.owner().put(&path, &plain).await?;
    shop.gives(&asha, json!(2995)).await?;
    let has = shop.has(&asha).await?;
    assert_eq!((has.0, has.1.as_str()), (1995.0, "2028-09-16"));
    let limited = json!({"terms": {"morePeriods": true, "mostPeriods": 25}});
    let (status, answer) = shop
        .owner()
        .call(Method::PUT, &path, Some(&limited))
        .await?;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    shop.closes().await
}
