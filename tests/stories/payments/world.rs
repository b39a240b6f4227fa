//! A cloud, its owner, a package and the pretend M-Pesa.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_cloud::config::Config;
use easyisp_cloud::ledger::{Scope, verify};
use easyisp_cloud::{Cloud, DatabaseSource, Options};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{IntentId, TenantId};
use easyisp_shared::time::Clock;
use easyisp_tests::database::{FreshDatabase, fresh_database};
use easyisp_tests::mpesa::books::Transaction;
use easyisp_tests::operator::{Operator, http_client};
use easyisp_tests::outside::Outside;
use easyisp_tests::scenario::Payer;
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::money::noon;

pub(super) const PHONE: &str = "0712345678";
pub(super) const STAMP: &str = "20260131120000";

/// A cloud, its owner, a package at 1000 and the pretend M-Pesa, all on one clock.
pub(super) struct World {
    pub(super) cloud: Cloud,
    pub(super) outside: Outside,
    pub(super) clock: Clock,
    pub(super) owner: Operator,
    pub(super) tenant: TenantId,
    pub(super) package: String,
    pub(super) database: FreshDatabase,
    pub(super) _data: tempfile::TempDir,
}

/// A world in which callbacks from loopback are from a listed source.
pub(super) async fn given_world() -> Result<World> {
    given_world_listing(&["127.0.0.0/8"]).await
}

pub(super) async fn given_world_listing(sources: &[&str]) -> Result<World> {
    let database = fresh_database().await?;
    let data = tempfile::tempdir()?;
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let clock = Clock::test(noon());
    let outside = Outside::start_on(anywhere, clock.clone(), Entropy::system()).await?;
    outside.mpesa.script_everybody(Payer::prompt());
    let mut config = Config {
        data_dir: data.path().to_owned(),
        ..Config::default()
    };
    config.http.listen = anywhere;
    config.agents.listen = anywhere;
    config.metrics.listen = anywhere;
    config.mpesa.base_url = Some(outside.url());
    for source in sources {
        config.mpesa.sources.push(source.parse()?);
    }
    let plenty = NonZeroU32::new(100_000).context("not zero")?;
    config.limits.user_per_second = plenty;
    config.limits.user_burst = plenty;
    config.limits.tenant_per_second = plenty;
    let cloud = Cloud::start(Options {
        config,
        clock: clock.clone(),
        entropy: Entropy::system(),
        database: DatabaseSource::Given {
            app: Box::new(database.app()),
            owner: Box::new(database.owner()),
        },
    })
    .await?;
    let owner = Operator::register(
        cloud.http_addr,
        "Acme",
        "owner@acme.example",
        "a-long-password",
    )
    .await?;
    let me = owner.get("/tenant/me").await?;
    let tenant = me["id"].as_str().context("the tenant has an id")?.parse()?;
    owner.add_paybill().await?;
    let package = owner.add_package("Home", 10, 1_000, 1).await?;
    Ok(World {
        cloud,
        outside,
        clock,
        owner,
        tenant,
        package,
        database,
        _data: data,
    })
}

impl World {
    /// A customer with this phone, paid until noon.
    pub(super) async fn customer(&self, name: &str, phone: &str) -> Result<String> {
        self.owner
            .add_customer(name, &self.package, phone, "2026-01-31T09:00:00.000Z")
            .await
    }

    pub(super) async fn status(&self, checkout: &str) -> Result<Value> {
        self.owner
            .get(&format!("/payments/mpesa/status/{checkout}"))
            .await
    }

    /// Waits until the payment stands so.
    pub(super) async fn until(&self, checkout: &str, status: &str) -> Result<Value> {
        let mut last = Value::Null;
        for _ in 0..1_000 {
            last = self.status(checkout).await?;
            if last["status"] == status {
                return Ok(last);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("never {status}: {last}")
    }

    /// Waits until every report of a provider was worked on.
    pub(super) async fn worked(&self) -> Result<()> {
        for _ in 0..1_000 {
            let waiting = self
                .count("select count(*) from payment_inbox where processed_at is null")
                .await?;
            if waiting == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("reports are still waiting")
    }

    /// What the tenant's rows say.
    pub(super) async fn count(&self, sql: &'static str) -> Result<i64> {
        let mut tx = self.cloud.app.db.begin(self.tenant).await?;
        Ok(sqlx::query_scalar(sql).fetch_one(&mut *tx).await?)
    }

    pub(super) async fn credits(&self) -> Result<i64> {
        self.count("select count(*) from payments").await
    }

    pub(super) async fn wallet(&self, customer: &str) -> Result<Value> {
        let customer = self.owner.get(&format!("/customers/{customer}")).await?;
        Ok(customer["walletBalance"].clone())
    }

    pub(super) async fn expires(&self, customer: &str) -> Result<String> {
        let customer = self.owner.get(&format!("/customers/{customer}")).await?;
        Ok(customer["expiresAt"].as_str().context("an end")?.to_owned())
    }

    pub(super) async fn transaction(&self, checkout: &str) -> Result<Transaction> {
        let books = self.outside.mpesa.books();
        Ok(books.find(checkout).context("on the books")?.clone())
    }

    /// Sends a body to the address of a prompt's callbacks, as anybody who knows it could.
    pub(super) async fn post(&self, url: &str, body: &Value) -> Result<u16> {
        Ok(http_client()
            .post(url)
            .json(body)
            .send()
            .await?
            .status()
            .as_u16())
    }

    pub(super) async fn query(&self, checkout: &str) -> Result<()> {
        let mut tx = self.cloud.app.db.begin(self.tenant).await?;
        let id: IntentId =
            sqlx::query_scalar("select id from intents where checkout_request_id = $1")
                .bind(checkout)
                .fetch_one(&mut *tx)
                .await?;
        drop(tx);
        self.cloud
            .app
            .payments
            .query(self.tenant, id, self.clock.now())
            .await?;
        Ok(())
    }

    /// As the owner of the tables.
    pub(super) async fn tamper(&self, sql: &'static str) -> Result<PgConnection> {
        let mut owner = PgConnection::connect_with(&self.database.owner()).await?;
        sqlx::query("select set_config('app.tenant', $1::text, false)")
            .bind(self.tenant.to_string())
            .execute(&mut owner)
            .await?;
        sqlx::query(sql).execute(&mut owner).await?;
        Ok(owner)
    }

    /// The books are in order, and everything stops in order.
    pub(super) async fn end(self) -> Result<()> {
        let report = verify(&self.cloud.app.db, Scope::All, &mut |_| {}).await?;
        assert!(report.is_clean(), "{:?}", report.findings);
        self.outside.stop().await;
        self.cloud.stop().await
    }
}
