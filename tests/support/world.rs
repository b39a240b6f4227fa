//! The whole product in one process: cloud, agents, routers, M-Pesa and SMS, on one clock.
//!
//! Cloud and agent are started as their programs start them, on real sockets and a database of
//! their own. Every world has a loopback address of its own, so worlds never meet on a port.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_cloud::config::Config;
use easyisp_cloud::db::Database;
use easyisp_cloud::{Cloud, DatabaseSource, Options};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::{Clock, Timestamp};
use sqlx::PgPool;
use tempfile::TempDir;

use crate::database::{FreshDatabase, fresh_database};
use crate::kept::KeptDatabase;
use crate::mpesa::Mpesa;
use crate::outside::Outside;
use crate::ports;
use crate::wiretap::Wiretap;

mod provider;
mod site;

pub use provider::{PASSWORD, Provider};
pub use site::{Pair, Site};

/// When a world with a clock of its own begins: 11:00 in Nairobi.
pub const START: Timestamp = Timestamp::from_secs(1_800_000_000);
/// How long anything may take before a story says that it does not happen.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A cloud with the world around it.
pub struct World {
    /// What time it is everywhere.
    pub clock: Clock,
    /// M-Pesa and the SMS gateways.
    pub outside: Outside,
    /// The cloud's rows.
    pub database: FreshDatabase,
    /// Connections to it that stay open: the cloud's, and who proves the books.
    lent: Option<(PgPool, Database)>,
    config: Config,
    wiretap: Option<Wiretap>,
    cloud: Option<Cloud>,
    host: Ipv4Addr,
    folder: TempDir,
    boxes: AtomicU32,
}

impl World {
    /// A world whose clock stands until the story moves it.
    pub async fn start() -> Result<World> {
        World::start_on(Clock::test(START)).await
    }

    /// A world on this clock; the system's where programs take part that know no other.
    pub async fn start_on(clock: Clock) -> Result<World> {
        World::start_with(clock, |_| {}).await
    }

    /// The same with settings of the story's own.
    pub async fn start_with(clock: Clock, change: impl FnOnce(&mut Config)) -> Result<World> {
        World::begin(clock, fresh_database().await?, None, change).await
    }

    /// A world whose clock stands, over a database that is kept for the next one. It has no rows.
    pub async fn start_over(kept: &KeptDatabase) -> Result<World> {
        World::start_over_with(kept, |_| {}).await
    }

    /// The same with settings of the caller's own.
    pub async fn start_over_with(
        kept: &KeptDatabase,
        change: impl FnOnce(&mut Config),
    ) -> Result<World> {
        let lent = (kept.pool(), kept.auditor());
        World::begin(
            Clock::test(START),
            kept.database().clone(),
            Some(lent),
            change,
        )
        .await
    }

    async fn begin(
        clock: Clock,
        database: FreshDatabase,
        lent: Option<(PgPool, Database)>,
        change: impl FnOnce(&mut Config),
    ) -> Result<World> {
        let host = own_address();
        let any: SocketAddr = (host, 0).into();
        let outside = Outside::start_on(any, clock.clone(), Entropy::system()).await?;
        let folder = TempDir::new()?;
        let mut config = Config {
            data_dir: folder.path().join("cloud"),
            ..Config::default()
        };
        config.http.listen = ports::free(host)?;
        config.http.public_url = Some(format!("http://{}", config.http.listen));
        config.agents.listen = ports::free(host)?;
        config.agents.public_address = Some(config.agents.listen.to_string());
        config.metrics.listen = ports::free(host)?;
        config.mpesa.base_url = Some(outside.url());
        config.mpesa.sources = vec!["127.0.0.0/8".parse()?];
        let certificate = folder.path().join("mpesa-sandbox.pem");
        std::fs::write(&certificate, Mpesa::certificate())?;
        config.mpesa.sandbox_certificate_file = Some(certificate);
        config.airtel.base_url = Some(outside.url());
        config.sms.base_url = Some(outside.url());
        config.fiscal.base_url = Some(outside.url());
        // All of a world is on loopback.
        config.webhooks.allow_private = true;
        generous(&mut config);
        change(&mut config);

        let mut world = World {
            clock,
            outside,
            database,
            lent,
            config,
            wiretap: None,
            cloud: None,
            host,
            folder,
            boxes: AtomicU32::new(0),
        };
        world.start_cloud().await?;
        Ok(world)
    }

    /// Starts the cloud: the first time, or again on the same ports and the same rows.
    pub async fn start_cloud(&mut self) -> Result<()> {
        let app = match &self.wiretap {
            Some(wiretap) => wiretap.options(self.database.app()),
            None => self.database.app(),
        };
        let database = match &self.lent {
            Some((pool, _)) => DatabaseSource::Lent(pool.clone()),
            None => DatabaseSource::Given {
                app: Box::new(app),
                owner: Box::new(self.database.owner()),
            },
        };
        let options = Options {
            config: self.config.clone(),
            clock: self.clock.clone(),
            entropy: Entropy::system(),
            database,
        };
        self.cloud = Some(Cloud::start(options).await.context("starting the cloud")?);
        Ok(())
    }

    /// Starts the cloud again with a wiretap between it and its rows.
    pub async fn listen_in(&mut self) -> Result<()> {
        self.stop_cloud().await?;
        self.wiretap = Some(Wiretap::before(&self.database.app()).await?);
        self.start_cloud().await
    }

    /// The transactions that the cloud committed since [`World::listen_in`], statement by statement.
    pub fn spoken(&self) -> Vec<Vec<String>> {
        self.wiretap
            .as_ref()
            .map(Wiretap::transactions)
            .unwrap_or_default()
    }

    /// What the cloud asked its rows since this was called last, statement by statement.
    pub fn take_said(&self) -> Vec<String> {
        self.wiretap
            .as_ref()
            .map(Wiretap::take_said)
            .unwrap_or_default()
    }

    /// Stops the cloud in order. Agents lose their link and go on.
    pub async fn stop_cloud(&mut self) -> Result<()> {
        if let Some(cloud) = self.cloud.take() {
            cloud.stop().await?;
        }
        Ok(())
    }

    /// The running cloud.
    ///
    /// # Panics
    /// While it is stopped.
    pub fn cloud(&self) -> &Cloud {
        self.cloud.as_ref().expect("the cloud runs")
    }

    /// The running cloud's database.
    pub fn db(&self) -> &Database {
        &self.cloud().app.db
    }

    /// Where the API is, also while the cloud is stopped.
    pub fn api(&self) -> SocketAddr {
        self.config.http.listen
    }

    /// Where agents connect, also while the cloud is stopped.
    pub fn agents(&self) -> SocketAddr {
        self.config.agents.listen
    }

    /// What is not true of the books of all tenants, in sentences.
    pub async fn book_findings(&self) -> Result<Vec<String>> {
        use easyisp_cloud::ledger::{Scope, verify};
        let auditor = self.lent.as_ref().map_or(self.db(), |(_, auditor)| auditor);
        let report = verify(auditor, Scope::All, &mut |_| {}).await?;
        Ok(report.findings.iter().map(ToString::to_string).collect())
    }

    /// Stops everything that this world started. Sites are stopped by who holds them.
    pub async fn stop(mut self) -> Result<()> {
        self.stop_cloud().await?;
        self.outside.stop().await;
        Ok(())
    }

    /// Where everything that this world wrote is.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A folder for another box.
    pub fn new_box(&self) -> PathBuf {
        let number = self.boxes.fetch_add(1, Ordering::Relaxed);
        self.folder.path().join(format!("box{number}"))
    }

    /// A port of this world that nobody listens on.
    pub fn free_port(&self) -> Result<SocketAddr> {
        Ok(ports::free(self.host)?)
    }
}

/// Asks again and again until the answer is something: for what the outside has no event for.
pub async fn eventually<T>(
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let asking = async {
        loop {
            if let Some(answer) = ask().await? {
                return anyhow::Ok(answer);
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await;
    answer.with_context(|| format!("waited {PATIENCE:?} in vain: {what}"))?
}

/// Waits for an event, for as long as a story has patience.
pub async fn soon<T>(what: &str, event: impl Future<Output = T>) -> Result<T> {
    let answer = tokio::time::timeout(PATIENCE, event).await;
    answer.with_context(|| format!("waited {PATIENCE:?} in vain: {what}"))
}

const PAUSE: Duration = Duration::from_millis(5);

/// Stories sign in and ask faster than people, on a clock that may stand still.
fn generous(config: &mut Config) {
    let many = NonZeroU32::new(1_000_000).expect("not zero");
    let limits = &mut config.limits;
    limits.user_per_second = many;
    limits.user_burst = many;
    limits.tenant_per_second = many;
    limits.address_per_second = many;
    limits.address_burst = many;
    limits.registrations = many;
    limits.password_millis = 0;
}

/// A loopback address that no other world on this machine has, for as long as process ids do not repeat.
fn own_address() -> Ipv4Addr {
    static WORLDS: AtomicU32 = AtomicU32::new(0);
    let number = WORLDS.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id() & 0xffff;
    // 127.0/16 is left to everybody else.
    Ipv4Addr::from(0x7f00_0000 | (1 + number % 127) << 16 | process.max(1))
}
