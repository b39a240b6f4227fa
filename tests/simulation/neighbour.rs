//! Another provider on the same cloud, whose customers, devices, router, sessions and secrets have the names and numbers
//! of the one that is looked at. What happens to him is drawn apart, and whatever it is, the other sees the same (V10).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_agent::VERSION;
use easyisp_agent::sync::enroll;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::TenantId;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_tests::kept::KeptDatabase;
use easyisp_tests::world::{Provider, World};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::Row as _;
use tempfile::TempDir;

use crate::Life;
use crate::agent::Agent;
use crate::router::{Dial, Router, SECRET, Service};
use crate::turmoil::{PEOPLE, TROUBLE, Turmoil, folder};
use crate::vouchers::Slips;

/// A life of a provider beside another. Its seed is the provider's times [`WORLDS`], plus which world the other lives
/// in: nobody is there in the first.
pub struct Beside {
    turmoil: Turmoil,
    neighbour: Option<Neighbour>,
}

/// The other one.
struct Neighbour {
    isp: Provider,
    tenant: TenantId,
    packages: [String; 2],
    /// The ids of his customers by name; `None` while deleted.
    people: Vec<(&'static str, Option<String>)>,
    /// Codes of his, and those of the provider beside him.
    codes: [Vec<String>; 2],
    agent: Agent,
    router: Router,
    random: SmallRng,
    now: Timestamp,
    _folder: TempDir,
}

impl Life for Beside {
    const TEST: &'static str = "one_seed_is_the_same_beside_any_neighbour";
    const STEPS: usize = Turmoil::STEPS;
    const SEEDS: u64 = WORLDS;
    const AT_ONCE: usize = 1;
    const FOUND: &'static [u64] = &[];

    async fn database() -> Result<KeptDatabase> {
        Turmoil::database().await
    }

    async fn begin(seed: u64, database: &KeptDatabase) -> Result<Beside> {
        let turmoil = Turmoil::begin(seed / WORLDS, database).await?;
        let neighbour = match seed % WORLDS {
            0 => None,
            _ => Some(Neighbour::move_in(&turmoil, seed).await?),
        };
        Ok(Beside { turmoil, neighbour })
    }

    async fn run(&mut self, steps: usize) -> Result<()> {
        let Beside { turmoil, neighbour } = self;
        for step in 0..steps {
            turmoil.one_step(step).await?;
            if let Some(neighbour) = neighbour {
                let acts = async {
                    neighbour.catch_up(turmoil.now()).await?;
                    neighbour.acts(&turmoil.world).await?;
                    neighbour.acts(&turmoil.world).await
                };
                let acted = acts.await;
                acted.with_context(|| format!("the neighbour in step {step}"))?;
            }
        }
        turmoil.end_well().await?;
        turmoil.write_down_tables().await
    }

    fn take_trace(&mut self) -> Vec<String> {
        self.turmoil.take_trace()
    }

    async fn end(self) -> Result<()> {
        if let Some(mut neighbour) = self.neighbour {
            neighbour.agent.power_cut().await?;
        }
        self.turmoil.end().await
    }
}

impl Neighbour {
    async fn move_in(turmoil: &Turmoil, seed: u64) -> Result<Neighbour> {
        let (world, now) = (&turmoil.world, turmoil.now());
        let mut random = SmallRng::seed_from_u64(seed ^ APART);
        let isp = Provider::sign_up(world, "next").await?;
        let tenant = isp.tenant().await?;
        let single = isp.owner.add_package("Single", 5, 500, 1).await?;
        let router = Router::start(random.random(), now)?;
        let orders = router.orders.number()?;
        isp.owner
            .add_router("Tower", "127.0.0.1", SECRET, orders)
            .await?;
        let mut people = Vec::new();
        for name in PEOPLE {
            let until = now.plus(Duration::from_secs(random.random_range(0..20_000)));
            people.push((name, Some(isp.add_subscriber(name, "", until).await?)));
        }
        let own = Slips::sell(&isp.owner).await?.codes();
        let folder = folder()?;
        let token = isp.owner.join_token().await?;
        let (cloud, identity) = (world.agents().to_string(), folder.path().join("identity"));
        enroll(&cloud, &token, &identity, VERSION).await?;
        let (clock, entropy) = (Clock::test(now), Entropy::seeded(seed));
        let mut agent = Agent::new(folder.path().to_owned(), clock, entropy)?;
        agent.boot()?;
        let mut neighbour = Neighbour {
            packages: [isp.package.clone(), single],
            isp,
            tenant,
            people,
            codes: [own, turmoil.slips.codes()],
            agent,
            router,
            random,
            now,
            _folder: folder,
        };
        neighbour.talk(world, u64::MAX).await?;
        Ok(neighbour)
    }

    /// As much time passed for him as for the other.
    async fn catch_up(&mut self, now: Timestamp) -> Result<()> {
        self.agent.clock.advance(now.since(self.now));
        self.now = now;
        self.router.now = now;
        self.router.tick(now, &mut self.random)?;
        self.reports()?;
        self.agent.core().note_time();
        self.agent.core().radius.sweep();
        self.enforce().await
    }

    async fn acts(&mut self, world: &World) -> Result<()> {
        match self.random.random_range(0..100) {
            0..25 => self.dial()?,
            25..33 => self.show_a_code()?,
            33..45 => self.surf_or_leave()?,
            45..70 => self.operate().await?,
            70..90 => {
                let messages = match self.random.random_range(0..3) {
                    0 => self.random.random_range(0..14),
                    _ => u64::MAX,
                };
                self.talk(world, messages).await?;
            }
            90..94 => {
                self.agent.power_cut().await?;
                self.agent.boot()?;
            }
            94..97 => {
                self.router.power_cut();
                self.router.announce(self.now);
            }
            _ => self.router.orders.change_mood(&mut self.random),
        }
        self.reports()?;
        self.enforce().await
    }

    fn dial(&mut self) -> Result<()> {
        let user = PEOPLE[self.random.random_range(0..PEOPLE.len())];
        let device = self.random.random_range(1..4);
        let mac = format!("AA:BB:CC:00:{:02X}:0{device}", user.as_bytes()[0]);
        let right = !self.random.random_ratio(1, 4);
        let dial = Dial {
            user,
            password: if right { user } else { "wrong" },
            mac: &mac,
            service: Service::Ppp,
        };
        self.router
            .log_in(&self.agent, &dial, TROUBLE, &mut self.random)?;
        Ok(())
    }

    fn show_a_code(&mut self) -> Result<()> {
        let whose = self.random.random_range(0..2);
        let at = self.random.random_range(0..self.codes[whose].len());
        let code = self.codes[whose][at].clone();
        let mac = format!("AA:BB:CC:01:{at:02X}:0{}", self.random.random_range(1..4));
        let dial = Dial {
            user: &format!("V-{code}"),
            password: &code,
            mac: &mac,
            service: Service::Hotspot,
        };
        let shown = self
            .router
            .log_in(&self.agent, &dial, TROUBLE, &mut self.random)?;
        ensure!(
            whose == 0 || !shown.decided_yes,
            "V5: a code serves at two providers: {shown:?}"
        );
        Ok(())
    }

    fn surf_or_leave(&mut self) -> Result<()> {
        let online: Vec<String> = self.router.sessions.keys().cloned().collect();
        for id in online {
            self.router.use_some(&id, &mut self.random);
            match self.random.random_range(0..4) {
                0 => self.router.end(&id, self.now)?,
                _ => self.router.interim(&id, self.now)?,
            }
        }
        Ok(())
    }

    async fn operate(&mut self) -> Result<()> {
        let at = self.random.random_range(0..self.people.len());
        let end = Duration::from_secs(self.random.random_range(0..9_000));
        let until = self.now.plus(end);
        let (name, id) = self.people[at].clone();
        let Some(id) = id else {
            self.people[at].1 = Some(self.isp.add_subscriber(name, "", until).await?);
            return Ok(());
        };
        let package = &self.packages[self.random.random_range(0..2)];
        let (method, what, body): (_, _, Value) = match self.random.random_range(0..7) {
            0 => (Method::POST, "/recharge", json!({"amount": 500})),
            1 => (Method::POST, "/suspend", json!({})),
            2 => (Method::POST, "/activate", json!({})),
            3 => (Method::PUT, "/package", json!({"packageId": package})),
            4 => (
                Method::PUT,
                "/expiry",
                json!({"expiresAt": until.to_string()}),
            ),
            5 => (Method::POST, "/disconnect", json!({})),
            _ => {
                self.people[at].1 = None;
                (Method::DELETE, "", json!({}))
            }
        };
        let path = format!("/customers/{id}{what}");
        let (status, answer) = self.isp.owner.call(method, &path, Some(&body)).await?;
        // His box is away, and is told.
        let noted = [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE];
        ensure!(
            status.is_success() || what == "/disconnect" && noted.contains(&status),
            "{path} answers {status}: {answer}"
        );
        Ok(())
    }

    async fn talk(&mut self, world: &World, messages: u64) -> Result<()> {
        let mut tx = world.db().begin(self.tenant).await?;
        let head: i64 = sqlx::query_scalar("select head from site_counters")
            .fetch_one(&mut *tx)
            .await?;
        tx.rollback().await?;
        let head = u64::try_from(head)?;
        self.agent
            .exchange(world.cloud(), head, messages, &mut self.random)
            .await?;
        Ok(())
    }

    fn reports(&mut self) -> Result<()> {
        let agent = Some(&self.agent);
        self.router
            .send_reports(agent, TROUBLE, self.now, &mut self.random)?;
        Ok(())
    }

    /// Lets his box see to who is online, and his router answer.
    async fn enforce(&mut self) -> Result<()> {
        loop {
            self.agent.rest().await;
            let late = self.router.orders.send_late(self.now)?;
            let heard = self.router.orders.hear()?;
            if heard.is_empty() && !late {
                return Ok(());
            }
            for heard in heard {
                self.router
                    .take_order(&heard, TROUBLE, self.now, &mut self.random)?;
                self.reports()?;
            }
        }
    }
}

impl Turmoil {
    /// What the cloud has of this provider, as far as it is the same in every run: behind the trace.
    async fn write_down_tables(&mut self) -> Result<()> {
        let mut tx = self.world.db().begin(self.tenant).await?;
        let people = sqlx::query(
            "select concat_ws(' ', regexp_replace(c.username, '^voucher[.].*', 'a code'), c.standing, c.paid_until, c.deleted_at is null,
                              p.name, w.balance) as told
               from customers c
               left join packages p on p.tenant_id = c.tenant_id and p.id = c.package_id
               left join wallets w on w.tenant_id = c.tenant_id and w.customer_id = c.id
              order by 1",
        )
        .fetch_all(&mut *tx)
        .await?;
        let sessions = sqlx::query(
            "select concat_ws(' ', acct_session_id, regexp_replace(username, '^voucher[.].*', 'a code'), bytes_in, bytes_out, status, started_at,
                              last_seen_at, stopped_at, terminate_cause) as told
               from sessions order by 1",
        )
        .fetch_all(&mut *tx)
        .await?;
        // How much he sees of each table. Whether a site is down the cloud looks when it has a moment.
        let counts = sqlx::query(
            "select c.relname || ': ' || (xpath('/row/n/text()',
                        query_to_xml(format('select count(*) as n from %I', c.relname), false, true, '')
                    ))[1]::text as told
               from pg_class c
               join pg_namespace s on s.oid = c.relnamespace and s.nspname = 'public'
              where c.relkind in ('r', 'p') and not c.relispartition and c.relname <> 'alerts' and has_table_privilege(c.oid, 'select')
              order by 1",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.rollback().await?;
        for row in people.iter().chain(&sessions).chain(&counts) {
            self.note(row.try_get("told")?);
        }
        Ok(())
    }
}

/// How many there are.
pub const WORLDS: u64 = 3;
/// So that what is drawn here is not what the provider's seed draws.
const APART: u64 = 0x5631_3030;
