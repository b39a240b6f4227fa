//! What happens, step by step, and the healing after it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use easyisp_agent::VERSION;
use easyisp_agent::sync::enroll;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;
use easyisp_tests::kept::KeptDatabase;
use easyisp_tests::world::{Provider, START, World, eventually};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::json;
use sqlx::Row as _;
use tempfile::TempDir;

use crate::Life;
use crate::agent::{Agent, Row};
use crate::oracle::{Entitled, InCloud, Oracle};
use crate::router::{Answer, Router, SECRET};

/// One life of a provider.
pub struct Turmoil {
    /// What happened, in words that are the same in every run of the seed.
    trace: Vec<String>,
    world: World,
    isp: Provider,
    tenant: TenantId,
    packages: [String; 2],
    people: Vec<Person>,
    agent: Agent,
    router: Router,
    oracle: Oracle,
    random: SmallRng,
    /// Whether the box has power.
    powered: bool,
    paid: u32,
    _folder: TempDir,
}

struct Person {
    name: &'static str,
    /// The customer's id; `None` while deleted.
    id: Option<String>,
}

impl Life for Turmoil {
    const TEST: &'static str = "every_seed_keeps_the_invariants_and_converges";
    const STEPS: usize = 120;
    const SEEDS: u64 = 100;
    const FOUND: &'static [u64] = &[
        // A late start ended the next session of its device.
        1072,
        // The oracle took a session whose stop was lost for online after its device had begun and ended the next.
        2577,
    ];

    async fn database() -> Result<KeptDatabase> {
        // Each connection plans its statements for itself.
        KeptDatabase::open(4).await
    }

    /// A provider with a router, an enrolled box and five customers.
    async fn begin(seed: u64, database: &KeptDatabase) -> Result<Turmoil> {
        let mut random = SmallRng::seed_from_u64(seed);
        let world = World::start_over(database).await?;
        let isp = Provider::sign_up(&world, "sim").await?;
        let me = isp.owner.get("/tenant/me").await?;
        let tenant = me["id"].as_str().context("a tenant")?.parse()?;
        let single = isp.owner.add_package("Single", 5, 500, 1).await?;
        isp.owner
            .add_router("Tower", "127.0.0.1", SECRET, 3799)
            .await?;
        let mut people = Vec::new();
        for name in ["anna", "beno", "cate", "dani", "evie"] {
            let until = START.plus(Duration::from_secs(random.random_range(0..20_000)));
            let id = isp.add_subscriber(name, "", until).await?;
            people.push(Person { name, id: Some(id) });
        }

        let folder = folder()?;
        let token = isp.owner.join_token().await?;
        let (cloud, identity) = (world.agents().to_string(), folder.path().join("identity"));
        enroll(&cloud, &token, &identity, VERSION).await?;
        let entropy = Entropy::seeded(seed);
        let mut agent = Agent::new(folder.path().to_owned(), world.clock.clone(), entropy)?;
        agent.boot()?;
        let mut turmoil = Turmoil {
            trace: Vec::new(),
            packages: [isp.package.clone(), single],
            tenant,
            people,
            agent,
            router: Router::start()?,
            oracle: Oracle::default(),
            random,
            powered: true,
            paid: 0,
            world,
            isp,
            _folder: folder,
        };
        turmoil.look().await?;
        turmoil.talk(u64::MAX).await?;
        Ok(turmoil)
    }

    async fn run(&mut self, steps: usize) -> Result<()> {
        for step in 0..steps {
            let what = self.step().await;
            let what = what.with_context(|| format!("step {step}"))?;
            self.trace.push(format!("{step:>3} {what}"));
        }
        self.heal().await
    }

    fn take_trace(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trace)
    }

    async fn end(mut self) -> Result<()> {
        self.agent.power_cut();
        self.world.stop().await
    }
}

impl Turmoil {
    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }

    async fn step(&mut self) -> Result<String> {
        match self.random.random_range(0..100) {
            0..30 => self.log_in(),
            30..45 => self.time_passes(),
            45..57 => self.subscriber_leaves_or_surfs(),
            57..72 => self.operator_acts().await,
            72..88 => {
                let messages = match self.random.random_range(0..3) {
                    0 => u64::MAX,
                    _ => self.random.random_range(0..14),
                };
                self.talk(messages).await
            }
            88..92 => self.box_loses_power(),
            92..95 => self.router_loses_power(),
            95..99 => self.resend(),
            _ => {
                self.world.stop_cloud().await?;
                self.world.start_cloud().await?;
                Ok("the cloud restarts".into())
            }
        }
    }

    fn log_in(&mut self) -> Result<String> {
        if !self.powered {
            return self.box_gets_power();
        }
        let person = &self.people[self.random.random_range(0..self.people.len())];
        let name = person.name;
        let mac = format!(
            "AA:BB:CC:00:{:02X}:0{}",
            name.as_bytes()[0],
            self.random.random_range(1..4)
        );
        let dialled = |id: &&String| {
            let session = &self.router.sessions[*id];
            session.user == name && session.mac == mac
        };
        if let Some(id) = self.router.sessions.keys().find(dialled).cloned() {
            // The device dials anew: its old session ends first.
            let now = self.now();
            self.router.end(&id, now)?;
        }
        let right = !self.random.random_ratio(1, 20);
        let password = if right { name } else { "wrong" };
        let cursor = self.agent.cursor();
        let (answer, decided_yes) =
            self.router
                .log_in(&self.agent, name, password, &mac, TROUBLE, &mut self.random)?;
        let now = self.now();
        if let Answer::Accepted(id) = &answer {
            self.oracle.began(id, name, &mac);
        }
        let login = (name, mac.as_str());
        self.oracle
            .judge(login, right, &answer, decided_yes, cursor, now)?;
        self.tell_reports(TROUBLE)?;
        Ok(format!("{name} dials on {mac} with {password}: {answer:?}"))
    }

    fn time_passes(&mut self) -> Result<String> {
        let secs = match self.random.random_range(0..10) {
            0..7 => self.random.random_range(1..60),
            7 | 8 => self.random.random_range(60..900),
            _ => self.random.random_range(900..9_000),
        };
        self.pass(Duration::from_secs(secs), TROUBLE)?;
        Ok(format!("{secs} s pass"))
    }

    /// Moves the clock in steps that no router's interim is longer than.
    fn pass(&mut self, time: Duration, trouble: u32) -> Result<()> {
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(300));
            left -= step;
            self.world.clock.advance(step);
            let now = self.now();
            self.router.tick(now, &mut self.random)?;
            self.tell_reports(trouble)?;
            if self.powered {
                self.agent.core().radius.sweep();
                self.agent.settle()?;
            }
        }
        Ok(())
    }

    fn subscriber_leaves_or_surfs(&mut self) -> Result<String> {
        let online: Vec<String> = self.router.sessions.keys().cloned().collect();
        if online.is_empty() {
            return Ok("nobody is online".into());
        }
        let id = &online[self.random.random_range(0..online.len())];
        let now = self.now();
        self.router.use_some(id, &mut self.random);
        let what = match self.random.random_range(0..3) {
            0 => {
                self.router.end(id, now)?;
                "ends"
            }
            _ => {
                self.router.interim(id, now)?;
                "goes on"
            }
        };
        self.tell_reports(TROUBLE)?;
        Ok(format!("session {id} {what}"))
    }

    fn resend(&mut self) -> Result<String> {
        self.tell_reports(TROUBLE)?;
        Ok("the router repeats itself".into())
    }

    fn tell_reports(&mut self, trouble: u32) -> Result<()> {
        let agent = self.powered.then_some(&self.agent);
        let now = self.world.clock.now();
        let told = self
            .router
            .send_reports(agent, trouble, now, &mut self.random)?;
        let now = self.now();
        for told in &told {
            self.oracle.told(told, now);
        }
        Ok(())
    }

    fn box_gets_power(&mut self) -> Result<String> {
        self.agent.boot()?;
        self.powered = true;
        Ok("the box boots".into())
    }

    fn box_loses_power(&mut self) -> Result<String> {
        if !self.powered {
            return self.box_gets_power();
        }
        self.agent.power_cut();
        self.powered = false;
        let lost = match self.random.random_range(0..3) {
            0 => {
                self.agent.keep_old_cache()?;
                false
            }
            1 => self.agent.lose_cache_writes()?,
            _ => false,
        };
        if self.random.random_ratio(2, 3) {
            self.box_gets_power()?;
        }
        Ok(format!(
            "the box loses its power; an older cache: {lost}, on: {}",
            self.powered
        ))
    }

    fn router_loses_power(&mut self) -> Result<String> {
        self.router.power_cut();
        self.oracle.router_lost_all();
        let boots = Duration::from_secs(self.random.random_range(20..90));
        self.pass(boots, TROUBLE)?;
        let announce = self.random.random();
        if announce {
            self.router.announce(self.now());
        }
        self.tell_reports(TROUBLE)?;
        Ok(format!(
            "the router loses its power; it says so: {announce}"
        ))
    }

    async fn operator_acts(&mut self) -> Result<String> {
        let at = self.random.random_range(0..self.people.len());
        let name = self.people[at].name;
        let owner = self.isp.owner.clone();
        let Some(id) = self.people[at].id.clone() else {
            let until = self
                .now()
                .plus(Duration::from_secs(self.random.random_range(0..9_000)));
            let id = self.isp.add_subscriber(name, "", until).await?;
            self.people[at].id = Some(id);
            self.look().await?;
            return Ok(format!("{name} is signed up again"));
        };
        let path = |what: &str| format!("/customers/{id}/{what}");
        let what = match self.random.random_range(0..6) {
            0 => {
                self.paid += 1;
                owner
                    .post(&path("recharge"), &json!({"amount": 500}))
                    .await?;
                "pays 500"
            }
            1 => {
                owner.post(&path("suspend"), &json!({})).await?;
                "is suspended"
            }
            2 => {
                owner.post(&path("activate"), &json!({})).await?;
                "is activated"
            }
            3 => {
                let package = &self.packages[self.random.random_range(0..2)];
                let change = json!({"packageId": package});
                owner.put(&path("package"), &change).await?;
                "changes the package"
            }
            4 => {
                let until = self
                    .now()
                    .plus(Duration::from_secs(self.random.random_range(0..9_000)));
                let change = json!({"expiresAt": until.to_string()});
                owner.put(&path("expiry"), &change).await?;
                "gets another end"
            }
            _ => {
                let path = format!("/customers/{id}");
                let (status, answer) = owner.call(Method::DELETE, &path, None).await?;
                ensure!(status.is_success(), "deleting answers {status}: {answer}");
                self.people[at].id = None;
                "is deleted"
            }
        };
        self.look().await?;
        Ok(format!("{name} {what}"))
    }

    async fn talk(&mut self, messages: u64) -> Result<String> {
        if !self.powered {
            return self.box_gets_power();
        }
        let head = self.look().await?;
        let cloud = self.world.cloud();
        let done = self
            .agent
            .exchange(cloud, head, messages, &mut self.random)
            .await?;
        Ok(format!(
            "box and cloud exchange up to {messages} messages: {done:?}"
        ))
    }

    /// Tells the oracle what the cloud knows now; returns the site's head.
    async fn look(&mut self) -> Result<u64> {
        let mut tx = self.world.db().begin(self.tenant).await?;
        let head: i64 = sqlx::query_scalar("select head from site_counters")
            .fetch_one(&mut *tx)
            .await?;
        let rows = sqlx::query(
            "select c.username, c.standing, c.paid_until, c.devices, p.devices as of_package
               from customers c
               left join packages p on p.tenant_id = c.tenant_id and p.id = c.package_id
              where c.deleted_at is null",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.rollback().await?;
        let mut people = BTreeMap::new();
        for row in rows {
            let own: Option<i32> = row.try_get("devices")?;
            let of_package: Option<i32> = row.try_get("of_package")?;
            let entitled = Entitled {
                active: row.try_get::<String, _>("standing")? == "ACTIVE",
                until: row.try_get("paid_until")?,
                devices: usize::try_from(own.or(of_package).unwrap_or(1))?,
            };
            people.insert(row.try_get("username")?, entitled);
        }
        let head = u64::try_from(head)?;
        self.oracle.states(head, people);
        Ok(head)
    }

    /// Everything works again: three exchanges later all agree (V6, V7, V8, V12, V1).
    async fn heal(&mut self) -> Result<()> {
        if !self.powered {
            self.box_gets_power()?;
        }
        while self.router.is_waiting() {
            self.tell_reports(0)?;
        }
        // Who is online goes on telling so; who is not was given up after a day.
        for _ in 0..300 {
            self.pass(Duration::from_secs(300), 0)?;
        }
        let online: Vec<String> = self.router.sessions.keys().cloned().collect();
        for id in &online {
            let now = self.now();
            self.router.interim(id, now)?;
        }
        self.tell_reports(0)?;
        for _ in 0..3 {
            self.talk(u64::MAX).await?;
        }
        let head = self.look().await?;
        ensure!(
            self.agent.cursor() == head,
            "V12: the box holds {} of {head}",
            self.agent.cursor()
        );
        ensure!(
            self.agent.rows()? == self.rows().await?,
            "V12: box and cloud hold different rows"
        );
        let sessions = self.sessions().await?;
        self.oracle.compare(&sessions, &online)?;
        let findings = self.world.book_findings().await?;
        ensure!(findings.is_empty(), "V1: {findings:?}");
        self.money().await
    }

    /// The feed as the cloud has it.
    async fn rows(&self) -> Result<Vec<Row>> {
        let mut tx = self.world.db().begin(self.tenant).await?;
        let rows = sqlx::query(
            "select kind, uuid_send(id) as id, version, body from feed where body is not null
              order by kind, id",
        )
        .fetch_all(&mut *tx)
        .await?;
        let read = |row: sqlx::postgres::PgRow| {
            let kind: i16 = row.try_get("kind")?;
            let version: i64 = row.try_get("version")?;
            anyhow::Ok((
                u16::try_from(kind)?,
                row.try_get("id")?,
                u64::try_from(version)?,
                row.try_get("body")?,
            ))
        };
        rows.into_iter().map(read).collect()
    }

    async fn sessions(&self) -> Result<Vec<InCloud>> {
        let mut tx = self.world.db().begin(self.tenant).await?;
        let rows = sqlx::query("select acct_session_id, bytes_in, bytes_out, status from sessions")
            .fetch_all(&mut *tx)
            .await?;
        let read = |row: sqlx::postgres::PgRow| {
            let (up, down): (i64, i64) = (row.try_get("bytes_in")?, row.try_get("bytes_out")?);
            anyhow::Ok(InCloud {
                id: row.try_get("acct_session_id")?,
                octets: [u64::try_from(up)?, u64::try_from(down)?],
                open: row.try_get::<String, _>("status")? != "COMPLETED",
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Every payment is in the books once, and is a period or in the wallet (V2, V4).
    async fn money(&self) -> Result<()> {
        let mut tx = self.world.db().begin(self.tenant).await?;
        let paid: i64 = sqlx::query_scalar("select coalesce(sum(amount), 0)::bigint from payments")
            .fetch_one(&mut *tx)
            .await?;
        let kept: i64 = sqlx::query_scalar(
            "select ((select coalesce(sum(balance), 0) from wallets)
                   + (select coalesce(sum(price), 0) from periods))::bigint",
        )
        .fetch_one(&mut *tx)
        .await?;
        let expected = i64::from(self.paid) * 500 * 100;
        if paid != expected || kept != expected {
            bail!(
                "V2, V4: {expected} was paid, {paid} is recorded, {kept} is in wallets and periods"
            );
        }
        let quarantined = eventually("the quarantine is read", async || {
            let mut tx = self.world.db().begin(self.tenant).await?;
            let count = sqlx::query_scalar("select count(*) from quarantine");
            Ok(Some(count.fetch_one(&mut *tx).await?))
        });
        let quarantined: i64 = quarantined.await?;
        ensure!(quarantined == 0, "{quarantined} reports were set aside");
        Ok(())
    }
}

/// In memory, where there is a file system for that: the box syncs what it commits, and here no real power
/// fails.
fn folder() -> std::io::Result<TempDir> {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new())
}

/// Of a hundred datagrams, so many meet trouble.
const TROUBLE: u32 = 25;
