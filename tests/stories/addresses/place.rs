//! A provider whose customers all had one address, and what is asked of him.

use anyhow::{Context, Result, ensure};
use easyisp_cloud::sites::agents::Agent;
use easyisp_cloud::sites::reports::Report;
use easyisp_shared::id::{AgentId, RouterId, TenantId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::up::{AccountingStatus, AccountingV1};
use easyisp_shared::wire::{Up, UpKind};
use easyisp_tests::database::plan;
use easyisp_tests::world::{Provider, World};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ADDRESS, ASHA, BRIAN, CHIPO, HOME, at};
use crate::words::{DAY, HOUR, MINUTE};

/// Acct-Session-Id, user, device, status, start and moment of a record.
pub type Told<'a> = (
    &'a str,
    &'a str,
    &'a str,
    AccountingStatus,
    Timestamp,
    Timestamp,
);

/// Actor, address, details and facts of a line of the trail.
pub type Line = (Uuid, Option<String>, String, Value);

/// A provider with a router, and customers who all had one address.
pub struct Place {
    pub isp: Provider,
    pub agent: Agent,
    pub router: RouterId,
}

impl Place {
    pub async fn settle(world: &World, name: &str) -> Result<Place> {
        let isp = Provider::sign_up(world, name).await?;
        let router = json!({"name": "Tower", "ipAddress": "10.0.0.1"});
        let router = isp.owner.post("/nas", &router).await?;
        let until = world.clock.now().plus(DAY);
        for (name, phone) in [
            ("asha", "254712345601"),
            ("brian", "254712345602"),
            ("chipo", "254712345603"),
        ] {
            isp.add_subscriber(name, phone, until).await?;
        }
        let me = isp.owner.get("/tenant/me").await?;
        let sites = isp.owner.get("/sites").await?;
        let id = |value: &Value| -> Result<Uuid> { Ok(value.as_str().context("an id")?.parse()?) };
        Ok(Place {
            agent: Agent {
                tenant: TenantId(id(&me["id"])?),
                site: id(&sites["sites"][0]["id"])?.into(),
                id: AgentId(Uuid::from_u128(1)),
            },
            router: RouterId(id(&router["id"])?),
            isp,
        })
    }

    /// Three customers and two years of one address; the first has it again.
    pub async fn history(&self, world: &World) -> Result<()> {
        let (start, stop) = (AccountingStatus::Start, AccountingStatus::Stop);
        let interim = AccountingStatus::Interim;
        let now = world.clock.now();
        let (one, two) = (at("2025-03-02T13:00:00Z"), at("2025-03-02T14:05:00Z"));
        let (three, four) = (at("2025-03-03T00:30:00Z"), at("2025-03-03T00:31:00Z"));
        let (five, since) = (at("2026-09-01T08:00:00Z"), now.minus(HOUR));
        self.told(
            world,
            &[
                ("811", "asha", ASHA, start, one, one),
                ("811", "asha", ASHA, stop, one, two),
                ("812", "brian", BRIAN, stop, two, three),
                (
                    "813",
                    "chipo",
                    CHIPO,
                    interim,
                    four,
                    at("2025-08-01T00:00:00Z"),
                ),
                ("813", "chipo", CHIPO, stop, four, five),
                ("814", "asha", ASHA, interim, since, now.minus(5 * MINUTE)),
            ],
        )
        .await
    }

    /// Takes what an agent tells, as its link does.
    pub async fn told(&self, world: &World, told: &[Told<'_>]) -> Result<()> {
        let records: Vec<AccountingV1> = told.iter().map(|told| self.record(told)).collect();
        self.take(world, &records).await
    }

    pub async fn take(&self, world: &World, records: &[AccountingV1]) -> Result<()> {
        let app = &world.cloud().app;
        let apply = easyisp_cloud::appliers(&app.secrets);
        let apply = apply
            .of(UpKind::Accounting)
            .context("accounting is taken")?;
        for records in records.chunks(400) {
            let reports: Vec<Report> = records
                .iter()
                .zip(1..)
                .map(|(record, sequence)| Report {
                    sequence,
                    body: Up::Accounting(record.clone()),
                })
                .collect();
            let mut tx = app.db.begin(self.agent.tenant).await?;
            let unusable = apply(&mut tx, &self.agent, &reports, world.clock.now()).await?;
            ensure!(unusable.is_empty(), "{unusable:?}");
            tx.commit().await?;
        }
        Ok(())
    }

    pub fn record(&self, told: &Told<'_>) -> AccountingV1 {
        let (session, username, mac, status, started, at) = *told;
        AccountingV1 {
            router: self.router,
            session: session.as_bytes().to_vec(),
            class: Vec::new(),
            status,
            username: username.as_bytes().to_vec(),
            customer: None,
            framed_ip: ADDRESS.parse().ok(),
            // Told when the line is up.
            prefixes: HOME
                .parse()
                .ok()
                .filter(|_| status != AccountingStatus::Start)
                .into_iter()
                .collect(),
            mac: Mac::parse(mac),
            at,
            started,
            session_secs: u32::try_from(at.since(started).as_secs()).unwrap(),
            bytes_up: 0,
            bytes_down: 0,
            bytes_free: 0,
            cause: (status == AccountingStatus::Stop).then_some(1),
        }
    }

    pub async fn search(&self, query: &str) -> Result<Value> {
        let reason = "reason=Court+order+17/2027";
        let path = format!("/sessions/search?{query}&{reason}");
        self.isp.owner.get(&path).await
    }

    /// The searches in the trail, oldest first.
    pub async fn trail(&self, world: &World) -> Result<Vec<Line>> {
        let mut tx = world.db().begin(self.agent.tenant).await?;
        Ok(sqlx::query_as(
            "select actor_id, ip_address, details, after from audit
              where action = 'SESSION_SEARCH' order by id",
        )
        .fetch_all(&mut *tx)
        .await?)
    }

    /// The router's names of all sessions that are kept.
    pub async fn sessions(&self, world: &World) -> Result<Vec<String>> {
        let mut tx = world.db().begin(self.agent.tenant).await?;
        Ok(
            sqlx::query_scalar("select acct_session_id from sessions order by acct_session_id")
                .fetch_all(&mut *tx)
                .await?,
        )
    }

    /// How many prefixes of sessions are kept.
    pub async fn prefixes(&self, world: &World) -> Result<i64> {
        let mut tx = world.db().begin(self.agent.tenant).await?;
        Ok(sqlx::query_scalar("select count(*) from session_prefixes")
            .fetch_one(&mut *tx)
            .await?)
    }

    /// Two hundred thousand sessions of two years on five thousand addresses and as many devices.
    pub async fn fill(&self, world: &World) -> Result<()> {
        for part in 0..40_i32 {
            let mut tx = world.db().begin(self.agent.tenant).await?;
            sqlx::query(
                "insert into sessions (tenant_id, id, site_id, router_id, acct_session_id, username,
                        framed_ip, mac, status, started_at, last_seen_at, stopped_at, terminate_cause)
                 select $1, md5($1::text || n)::uuid, $2, $3, n::text, 'asha',
                        '10.0.' || (n % 5000) / 250 || '.' || n % 250,
                        '02:00:00:00:' || lpad(to_hex((n % 5000) / 256), 2, '0') || ':'
                            || upper(lpad(to_hex(n % 256), 2, '0')),
                        'COMPLETED', t, t + interval '6 hours', t + interval '6 hours', 'User-Request'
                   from (select n, timestamptz '2025-01-01T00:00:00Z' + n * interval '5 minutes' as t
                           from generate_series($4 * 5000, $4 * 5000 + 4999) n) as s",
            )
            .bind(self.agent.tenant)
            .bind(self.agent.site)
            .bind(self.router)
            .bind(part)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// How the server would go about a statement of a search.
    pub async fn plan(&self, world: &World, text: &str, mode: &str) -> Result<String> {
        let mut tx = world.db().begin(self.agent.tenant).await?;
        let (ip, mac) = match text.contains("and framed_ip = $2") {
            true => ("'10.0.3.7'", "null"),
            false => ("null", "'02:00:00:00:00:0A'"),
        };
        let values = [
            format!("'{}'", self.agent.tenant.0),
            ip.to_owned(),
            mac.to_owned(),
            "'2025-03-02T14:05:00Z'".to_owned(),
            "'2025-03-02T14:05:00Z'".to_owned(),
            "'2025-03-02T13:48:30Z'".to_owned(),
            "'Lost'".to_owned(),
            "50".to_owned(),
            "0".to_owned(),
        ];
        let values = match text.contains("$9") {
            true => &values[..],
            false => &values[..7],
        };
        plan(&mut tx, text, values, mode).await
    }
}
