//! A device that had its trial has none under another name, however we know whose it is.

use anyhow::{Context, Result, ensure};
use easyisp_cloud::renewals::{Buyer, RenewError, may_buy};
use easyisp_shared::id::{CustomerId, PackageId};
use easyisp_shared::wire::down::PolicyV1;
use easyisp_tests::router::subscriber::Method;
use easyisp_tests::world::{Site, eventually};
use reqwest::Method as Verb;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use super::Stall;
use crate::found_money::Walk;
use crate::vouchers::{make_of, phone};
use crate::words::MINUTE;

/// Locked to one device, seen with it, bound to it by a login, remembered with it, deleted since, or with nothing but a code:
/// whoever else has that device buys no second trial, and another device is another buyer.
#[tokio::test(flavor = "multi_thread")]
async fn a_trial_is_once_for_a_device() -> Result<()> {
    let stall = Stall::open("devices").await?;
    let site = Site::open(&stall.world, &stall.isp).await?;
    let terms = json!({"purchaseLimits": [{"most": 1, "per": "EVER"}]});
    let trial = stall.package("Trial", terms).await?;

    // Locked by an operator.
    let locked = stall.buyer("locked", &trial, 1, Some(LOCKED)).await?;
    assert_eq!(stall.pays(&locked).await?.1, 0, "the first trial");
    let same = stall.barred(&trial, 2, LOCKED).await?;
    let reset = format!("/customers/{same}/mac-reset");
    stall.isp.owner.post(&reset, &json!({})).await?;
    assert_eq!(stall.pays(&same).await?.1, 20, "freed, it is his first");

    // Seen, and nothing else.
    stall.remembers(&site, 0).await?;
    let seen = stall.buyer("seen", &trial, 3, None).await?;
    assert_eq!(stall.pays(&seen).await?.1, 0);
    stall.is_online(&site, "seen", SEEN).await?;
    let shown = stall.isp.customer(&seen).await?;
    assert_eq!(
        (&shown["lastMac"], &shown["lockedMacs"], &shown["boundMacs"]),
        (&json!(SEEN), &json!([]), &json!([])),
        "{shown}"
    );
    stall.barred(&trial, 4, SEEN).await?;
    // With another since: the first is anybody's again.
    stall.world.clock.advance(MINUTE);
    stall.is_online(&site, "seen", OTHER).await?;
    let free = stall.buyer("free", &trial, 5, Some(SEEN)).await?;
    assert_eq!(stall.pays(&free).await?.1, 0, "nobody's device");

    // Remembered: the one before the last.
    stall.remembers(&site, 5).await?;
    let known = stall.buyer("known", &trial, 6, None).await?;
    assert_eq!(stall.pays(&known).await?.1, 0);
    stall.is_online(&site, "known", REMEMBERED).await?;
    stall.world.clock.advance(MINUTE);
    stall.is_online(&site, "known", LATER).await?;
    assert_eq!(stall.isp.customer(&known).await?["lastMac"], LATER);
    stall.barred(&trial, 7, REMEMBERED).await?;
    stall.remembers(&site, 0).await?;

    // Bound by his first logins: the one before the last.
    let policy = json!({"bindMacs": 2});
    stall.isp.owner.put("/tenant/enforcement", &policy).await?;
    let bound = stall.buyer("bound", &trial, 8, None).await?;
    assert_eq!(stall.pays(&bound).await?.1, 0);
    policy_is(&site, |row| row.bind_macs == 2).await?;
    for mac in [BOUND, LAST] {
        stall.world.clock.advance(MINUTE);
        stall.is_online(&site, "bound", mac).await?;
    }
    let shown = stall.isp.customer(&bound).await?;
    assert_eq!(shown["boundMacs"], json!([BOUND, LAST]), "{shown}");
    stall.barred(&trial, 9, BOUND).await?;

    // With nothing but a code.
    let batch = make_of(&stall.isp, &trial, 1).await?;
    let guest = phone(&site, 7, &batch.codes[0], "").dial().await.online();
    guest.started().await;
    ensure!(guest.hang_up().await, "the router says goodbye");
    site.reported().await?;
    stall.barred(&trial, 10, "02:00:00:00:00:07").await?;

    // Who is deleted has had it all the same.
    let path = format!("/customers/{locked}");
    let (status, answer) = stall.isp.owner.call(Verb::DELETE, &path, None).await?;
    ensure!(status.is_success(), "{answer}");
    stall.barred(&trial, 11, LOCKED).await?;
    site.stop().await;
    stall.close().await
}

/// Whose phone and whose device it is, is looked up; nobody reads all customers for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_among_many_customers_walks_indexes() -> Result<()> {
    let stall = Stall::open("many").await?;
    let terms = json!({"purchaseLimits": [{"most": 1, "per": "EVER"}]});
    let trial = stall.package("Trial", terms).await?;
    let first = stall.buyer("first", &trial, 1, Some(LOCKED)).await?;
    assert_eq!(stall.pays(&first).await?.1, 0);
    let second = stall.buyer("second", &trial, 2, Some(LOCKED)).await?;
    let mut psql = PgConnection::connect_with(&stall.world.database.anybody()).await?;
    sqlx::query(
        "insert into customers (tenant_id, id, site_id, account_number, username, name, password_sealed,
                connection_type, standing, paid_until, created_at, updated_at, phone_number, macs)
         select c.tenant_id, md5('one of many' || n)::uuid, c.site_id, 20000000 + n, 'many' || n, c.name,
                c.password_sealed, c.connection_type, c.standing, c.paid_until, c.created_at, c.updated_at,
                '2547' || lpad(n::text, 8, '0'), array['02:FF:00:' || substr(md5(n::text), 1, 8)]
           from customers c cross join generate_series(1, 5000) n
          where c.id = $1::uuid",
    )
    .bind(&second)
    .execute(&mut psql)
    .await?;
    sqlx::raw_sql("analyze customers; analyze customer_devices")
        .execute(&mut psql)
        .await?;

    let mut tx = stall.world.db().begin(stall.isp.tenant().await?).await?;
    let buyer = Buyer {
        customer: Some(CustomerId(second.parse().context("an id")?)),
        mac: None,
    };
    let package = PackageId(trial.parse().context("an id")?);
    let walks = [
        ("customers", Walk::begin(&mut tx, "customers").await?),
        (
            "customer_devices",
            Walk::begin(&mut tx, "customer_devices").await?,
        ),
    ];
    let asked = may_buy(&mut tx, &buyer, package, stall.world.clock.now()).await;
    ensure!(matches!(asked, Err(RenewError::Barred(_))), "{asked:?}");
    for (table, walk) in walks {
        let (whole, read) = walk.end(&mut tx).await?;
        assert_eq!(whole, 0, "{table} was read from end to end");
        assert!(read <= 20, "{read} rows of {table} were read");
    }
    drop(tx);
    // Nobody counted them in.
    sqlx::query("delete from customers where username like 'many%'")
        .execute(&mut psql)
        .await?;
    stall.close().await
}

const LOCKED: &str = "02:AA:00:00:00:01";
const SEEN: &str = "02:AA:00:00:00:02";
const OTHER: &str = "02:AA:00:00:00:03";
const REMEMBERED: &str = "02:AA:00:00:00:04";
const LATER: &str = "02:AA:00:00:00:05";
const BOUND: &str = "02:AA:00:00:00:06";
const LAST: &str = "02:AA:00:00:00:07";

impl Stall {
    /// A customer with a phone of his own, locked to this device.
    async fn buyer(
        &self,
        name: &str,
        package: &str,
        number: u8,
        mac: Option<&str>,
    ) -> Result<String> {
        let customer = self
            .guest(name, package, &format!("2547123459{number:02}"))
            .await?;
        if let Some(mac) = mac {
            let lock = json!({"macAddress": mac});
            let path = format!("/customers/{customer}/assign-ip");
            self.isp.owner.post(&path, &lock).await?;
        }
        Ok(customer)
    }

    /// Somebody else with this device pays, and has his money in the wallet; asked for more, he is told why.
    async fn barred(&self, package: &str, number: u8, mac: &str) -> Result<String> {
        let name = format!("other{number}");
        let customer = self.buyer(&name, package, number, Some(mac)).await?;
        assert_eq!(self.pays(&customer).await?.1, 20, "{mac}: a second trial");
        let ask = json!({"customerId": customer, "amount": 20});
        let said = self.refused("/payments/mpesa/stk", &ask).await?;
        assert!(said.contains("phone or device"), "{said}");
        Ok(customer)
    }

    /// So many devices of a customer are remembered from now on; none where they do not log in by them.
    async fn remembers(&self, site: &Site, devices: u8) -> Result<()> {
        let settings = json!({"macLogin": devices > 0, "rememberedMacs": devices});
        self.isp.owner.put("/tenant/settings", &settings).await?;
        policy_is(site, |row| row.remembered_macs == devices).await
    }

    /// He logs in with this device, and the cloud has heard of it.
    async fn is_online(&self, site: &Site, name: &str, mac: &str) -> Result<()> {
        let now = self.world.clock.now();
        site.knows(name, "as paid", |known| known.entitlement.paid_until > now)
            .await?;
        let line = site.router.subscriber(name, name, Method::Pap).mac(mac);
        let host = std::net::Ipv4Addr::new(10, 5, 50, 9);
        let online = line.hotspot(host).dial().await.online();
        online.started().await;
        ensure!(online.hang_up().await, "the router says goodbye");
        site.reported().await
    }
}

/// Waits until the site knows what the provider wants.
async fn policy_is(site: &Site, wanted: impl Fn(&PolicyV1) -> bool) -> Result<()> {
    eventually("the site knows what is wanted", async || {
        let policy = site.agent().overview().site.policy();
        Ok(policy.row.as_ref().filter(|row| wanted(row)).map(|_| ()))
    })
    .await
}
