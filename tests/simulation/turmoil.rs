//! What happens, step by step, and the healing after it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_agent::VERSION;
use easyisp_agent::sync::enroll;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::TenantId;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_tests::kept::KeptDatabase;
use easyisp_tests::world::{Provider, START, World};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tempfile::TempDir;

use crate::Life;
use crate::agent::Agent;
use crate::bounds::Strangers;
use crate::clock::Doubt;
use crate::disk::Disk;
use crate::enforcement::Enforcement;
use crate::oracle::Oracle;
use crate::router::{Answer, Dial, Router, SECRET, Service};
use crate::vouchers::Slips;

/// One life of a provider.
pub struct Turmoil {
    /// What happened, in words that are the same in every run of the seed.
    trace: Vec<String>,
    /// What the router was told to do since that was written into the trace.
    pub(super) ordered: Vec<String>,
    pub(super) world: World,
    isp: Provider,
    pub(super) tenant: TenantId,
    packages: [String; 2],
    people: Vec<Person>,
    pub(super) agent: Agent,
    pub(super) router: Router,
    pub(super) oracle: Oracle,
    pub(super) enforcement: Enforcement,
    pub(super) slips: Slips,
    pub(super) random: SmallRng,
    pub(super) strangers: Strangers,
    /// Whether the box has power.
    pub(super) powered: bool,
    /// The version that the box holds, or held when it lost its power.
    pub(super) cursor: u64,
    /// The latest one that it ever held.
    pub(super) furthest: u64,
    /// What time it is.
    pub(super) now: Timestamp,
    /// How far the box may be off.
    pub(super) doubt: Doubt,
    /// What its clock showed when it lost its power.
    pub(super) stopped_at: Timestamp,
    /// When the box gave up last what was silent for long.
    pub(super) swept: Timestamp,
    pub(super) paid: u32,
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
    const AT_ONCE: usize = 1;
    const FOUND: &'static [u64] = &[
        // A late start ended the next session of its device.
        1072,
        // The oracle took a session whose stop was lost for online after its device had begun and ended the next.
        2577,
        // A change under way when the box was told of another end set its timer to the end of before.
        35218,
        // The oracle did not know that a box begins no earlier than what it wrote down, were that ahead.
        35335,
        // Who was deleted went on online where his session began under somebody of before with his name.
        35495,
        // What another session proved over while the disk took nothing stayed open on disk and in the cloud.
        202170,
        // A box whose clock began behind what it had written down stood still until the clock was past that.
        300500,
        // Who was deleted before the box heard that he is online went on: nobody knew his name.
        2000872,
        // The oracle took a session for online that the router had said it does not have.
        4000572,
        // The oracle did not wait until the box, up to date again, had looked at a stranger.
        4001051,
        // The oracle judged by newer news what the box had ordered by an older copy of its cache.
        4001113,
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
        let router = Router::start(random.random_ratio(1, 2), START)?;
        let orders = router.orders.number()?;
        isp.owner
            .add_router("Tower", "127.0.0.1", SECRET, orders)
            .await?;
        let mut people = Vec::new();
        for name in PEOPLE {
            let until = START.plus(Duration::from_secs(random.random_range(0..20_000)));
            let id = isp.add_subscriber(name, "", until).await?;
            people.push(Person { name, id: Some(id) });
        }

        let slips = Slips::sell(&isp.owner).await?;

        let folder = folder()?;
        let token = isp.owner.join_token().await?;
        let (cloud, identity) = (world.agents().to_string(), folder.path().join("identity"));
        enroll(&cloud, &token, &identity, VERSION).await?;
        let entropy = Entropy::seeded(seed);
        let mut agent = Agent::new(folder.path().to_owned(), Clock::test(START), entropy)?;
        agent.boot()?;
        agent.core().note_time();
        let mut turmoil = Turmoil {
            trace: Vec::new(),
            ordered: Vec::new(),
            packages: [isp.package.clone(), single],
            tenant,
            people,
            agent,
            router,
            oracle: Oracle::default(),
            enforcement: Enforcement::default(),
            slips,
            random,
            strangers: Strangers::of(seed, Self::STEPS),
            powered: true,
            cursor: 0,
            furthest: 0,
            now: START,
            doubt: Doubt::none(START),
            stopped_at: START,
            swept: START,
            paid: 0,
            world,
            isp,
            _folder: folder,
        };
        // The codes reach the feed by a job: not at one moment today and at another one tomorrow.
        turmoil.nothing_is_due().await?;
        turmoil.slips.made_by = turmoil.look().await?;
        // That it is greeted is news of its own (who keeps the vouchers), which comes with this exchange or needs another
        // one: it must not come in the midst of a step, and what is drawn for it must not count.
        let random = turmoil.random.clone();
        turmoil.talk(u64::MAX).await?;
        turmoil.nothing_is_due().await?;
        while turmoil.look().await? > turmoil.agent.cursor() {
            turmoil.talk(u64::MAX).await?;
        }
        turmoil.random = random;
        Ok(turmoil)
    }

    async fn run(&mut self, steps: usize) -> Result<()> {
        for step in 0..steps {
            self.one_step(step).await?;
        }
        self.end_well().await
    }

    fn take_trace(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trace)
    }

    async fn end(mut self) -> Result<()> {
        self.agent.power_cut().await?;
        self.world.stop().await
    }
}

impl Turmoil {
    /// A step, written into the trace.
    pub(super) async fn one_step(&mut self, step: usize) -> Result<()> {
        let what = self.whole_step(step).await;
        let ordered = std::mem::take(&mut self.ordered);
        let ordered = ordered.into_iter().map(|order| format!("      {order}"));
        match what {
            Ok(what) => {
                self.trace.push(format!("{step:>3} {what}"));
                self.trace.extend(ordered);
                Ok(())
            }
            Err(cause) => {
                self.trace.extend(ordered);
                Err(cause).with_context(|| format!("step {step}"))
            }
        }
    }

    /// The healing and the judgement.
    pub(super) async fn end_well(&mut self) -> Result<()> {
        let healed = self.heal().await;
        self.trace.append(&mut self.ordered);
        healed
    }

    /// Something else that is the same in every run.
    pub(super) fn note(&mut self, what: String) {
        self.trace.push(what);
    }

    /// A step, what the box does about it at once, and how large everything is after it.
    async fn whole_step(&mut self, step: usize) -> Result<String> {
        let what = self.step().await?;
        self.enforce(TROUBLE).await?;
        self.nothing_outgrows(step)?;
        Ok(what)
    }

    async fn step(&mut self) -> Result<String> {
        if self.agent.disk() == Disk::Faulty && self.random.random_ratio(1, 8) {
            return self.disk_changes();
        }
        match self.random.random_range(0..100) {
            0..24 => self.log_in().await,
            24..28 => self.code_is_shown().await,
            28..30 => Ok(self.router_changes_its_mood()),
            30..32 => Ok(self.clock_is_set()),
            32..45 => self.time_passes().await,
            45..57 => self.subscriber_leaves_or_surfs(),
            57..72 => self.operator_acts().await,
            72..88 => {
                let messages = match self.random.random_range(0..3) {
                    0 => u64::MAX,
                    _ => self.random.random_range(0..14),
                };
                self.talk(messages).await
            }
            88..92 => self.box_loses_power().await,
            92..95 => self.router_loses_power().await,
            95..98 => self.resend(),
            98 => self.disk_changes(),
            _ => {
                self.world.stop_cloud().await?;
                self.world.start_cloud().await?;
                Ok("the cloud restarts".into())
            }
        }
    }

    async fn log_in(&mut self) -> Result<String> {
        if !self.powered {
            return self.box_gets_power().await;
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
        let dial = Dial {
            user: name,
            password,
            mac: &mac,
            service: Service::Ppp,
        };
        let dialled = self
            .router
            .log_in(&self.agent, &dial, TROUBLE, &mut self.random)?;
        let now = self.now();
        if let Answer::Accepted(id) = &dialled.answer {
            self.oracle.began(id, name, &mac);
        }
        let login = (name, mac.as_str());
        let time = (now, self.doubt);
        self.oracle.judge(login, right, &dialled, cursor, time)?;
        self.tell_reports(TROUBLE)?;
        Ok(format!(
            "{name} dials on {mac} with {password}: {dialled:?}"
        ))
    }

    async fn time_passes(&mut self) -> Result<String> {
        let secs = match self.random.random_range(0..10) {
            0..7 => self.random.random_range(1..60),
            7 | 8 => self.random.random_range(60..900),
            _ => self.random.random_range(900..9_000),
        };
        self.pass(Duration::from_secs(secs), TROUBLE).await?;
        Ok(format!("{secs} s pass"))
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

    fn router_changes_its_mood(&mut self) -> String {
        self.router.orders.change_mood(&mut self.random);
        format!("the router: {:?}", self.router.orders.mood)
    }

    fn disk_changes(&mut self) -> Result<String> {
        let disk = match self.agent.disk() {
            Disk::Sound => Disk::Faulty,
            Disk::Faulty => Disk::Sound,
        };
        self.agent.set_disk(disk)?;
        Ok(format!("the disk is {disk:?}"))
    }

    fn resend(&mut self) -> Result<String> {
        self.tell_reports(TROUBLE)?;
        Ok("the router repeats itself".into())
    }

    pub(super) async fn box_gets_power(&mut self) -> Result<String> {
        let clock = self.clock_boots();
        self.agent.boot()?;
        self.note_time();
        self.powered = true;
        self.cursor = self.agent.cursor();
        self.enforcement.booted(self.now());
        Ok(format!("the box boots, its clock is {clock}"))
    }

    async fn box_loses_power(&mut self) -> Result<String> {
        if !self.powered {
            return self.box_gets_power().await;
        }
        self.agent.power_cut().await?;
        self.stopped_at = self.agent.clock.now();
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
            self.box_gets_power().await?;
        }
        Ok(format!(
            "the box loses its power; an older cache: {lost}, on: {}",
            self.powered
        ))
    }

    async fn router_loses_power(&mut self) -> Result<String> {
        self.router.power_cut();
        self.oracle.router_lost_all();
        let boots = Duration::from_secs(self.random.random_range(20..90));
        self.pass(boots, TROUBLE).await?;
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
        let what = match self.random.random_range(0..7) {
            0 => {
                self.paid += 1;
                owner
                    .post(&path("recharge"), &json!({"amount": 500}))
                    .await?;
                "pays 500"
            }
            1 => {
                owner.post(&path("suspend"), &json!({})).await?;
                // An order to end what is online goes with it, and stands when he is activated again.
                self.enforcement.wished(name, self.now());
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
            5 => {
                // His box is away, and is told.
                let (status, answer) = owner
                    .call(Method::POST, &path("disconnect"), Some(&json!({})))
                    .await?;
                let noted = [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE];
                ensure!(
                    noted.contains(&status),
                    "disconnecting answers {status}: {answer}"
                );
                self.enforcement.wished(name, self.now());
                "is to be disconnected"
            }
            _ => {
                let path = format!("/customers/{id}");
                let (status, answer) = owner.call(Method::DELETE, &path, None).await?;
                ensure!(status.is_success(), "deleting answers {status}: {answer}");
                self.people[at].id = None;
                self.enforcement.wished(name, self.now());
                "is deleted"
            }
        };
        self.look().await?;
        Ok(format!("{name} {what}"))
    }

    pub(super) async fn talk(&mut self, messages: u64) -> Result<String> {
        if !self.powered {
            return self.box_gets_power().await;
        }
        let head = self.look().await?;
        let cloud = self.world.cloud();
        let done = self
            .agent
            .exchange(cloud, head, messages, &mut self.random)
            .await?;
        self.cursor = self.agent.cursor();
        if self.cursor > head {
            // The cloud changed something by itself meanwhile, and told it.
            self.look().await?;
        }
        if done.timed {
            self.clock_is_told();
        }
        Ok(format!(
            "box and cloud exchange up to {messages} messages: {done:?}"
        ))
    }
}

/// In memory, where there is a file system for that: the box syncs what it commits, and here no real power
/// fails.
pub(super) fn folder() -> std::io::Result<TempDir> {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new())
}

/// The customers, present and former.
pub(super) const PEOPLE: [&str; 5] = ["anna", "beno", "cate", "dani", "evie"];
/// Of a hundred datagrams, so many meet trouble.
pub(super) const TROUBLE: u32 = 25;
