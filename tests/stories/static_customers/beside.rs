//! A line at a site with two agents: whichever of the two counts, it counts on where the other one stopped.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_agent::Agent;
use easyisp_agent::lines::Lead;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_tests::world::{Pair, Provider, Site, World, eventually};
use serde_json::{Value, json};

use crate::words::{DAY, MINUTE};

const QUEUE: &str = "easyisp-school";
const CLINIC: &str = "easyisp-clinic";
const MEGABYTE: u64 = 1_000_000;
/// A look, and some.
const LOOK: Duration = Duration::from_secs(315);

/// The leading agent dies, comes back, and the other one dies: what the queue counted arrives once and to the byte,
/// and sessions go on, or end as they were seen last.
#[tokio::test(flavor = "multi_thread")]
async fn whichever_agent_counts_a_line_it_is_counted_once() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "beside").await?;
    let mut pair = Site::open_pair_with_api(&world, &isp).await?;
    let at = Lined::at(world, isp, &pair).await?;
    pair.know("school").await?;
    at.looked_at(&pair).await?;

    at.passes(&pair, 100, 200).await?;
    at.used(300).await?;
    known_to(pair.second(), 300).await?;

    // The one that leads dies; the other one goes on with the same session.
    pair.site.stop_agent().await;
    lost_by(pair.second()).await?;
    at.passes(&pair, 50, 50).await?;
    at.used(400).await?;
    at.sessions(1, 1).await?;

    // Silence ends it as it was seen last, and what is sent then begins another.
    let seen = at.world.clock.now();
    for _ in 0..3 {
        at.looked_at(&pair).await?;
    }
    let sessions = at.sessions(1, 0).await?;
    let stopped = sessions[0]["stopTime"].as_str().and_then(Timestamp::parse);
    ensure!(
        stopped.is_some_and(|stopped| stopped <= seen),
        "{sessions:?}"
    );
    at.passes(&pair, 25, 25).await?;
    at.used(450).await?;
    at.sessions(2, 1).await?;

    // It comes back with the files of before, and has a session in them that is over.
    pair.site.start_agent().await?;
    pair.in_touch().await?;
    known_to(pair.site.agent(), 50).await?;
    at.passes(&pair, 30, 20).await?;
    at.used(500).await?;
    at.sessions(2, 1).await?;

    pair.stop_second().await;
    lost_by(pair.site.agent()).await?;
    at.passes(&pair, 60, 40).await?;
    at.used(600).await?;
    at.sessions(2, 1).await?;
    pair.stop().await;
    at.world.stop().await
}

/// Two agents that do not reach each other both read the queue, each from a look of its own on. Their sessions say what
/// of it they counted, and the cloud counts it once.
#[tokio::test(flavor = "multi_thread")]
async fn what_two_strangers_count_of_a_line_is_used_once() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "strangers").await?;
    let mut pair = Site::open_pair_with_api(&world, &isp).await?;
    pair.cut_between(true);
    for agent in [pair.site.agent(), pair.second()] {
        lost_by(agent).await?;
    }
    pair.stop_second().await;
    let at = Lined::at(world, isp, &pair).await?;
    at.looked_at(&pair).await?;
    at.passes(&pair, 10, 10).await?;
    at.used(20).await?;

    pair.start_second().await?;
    pair.know("school").await?;
    at.both_look(&pair).await?;
    let router = &pair.site.router;
    for (up, down, all) in [(100, 200, 300), (50, 0, 350), (1, 9, 360)] {
        ensure!(router.pass_through(QUEUE, up * MEGABYTE, down * MEGABYTE));
        at.both_look(&pair).await?;
        known_to(pair.site.agent(), 20 + all).await?;
        known_to(pair.second(), all).await?;
        pair.site.reported().await?;
        pair.second_reported().await?;
        at.sessions(2, 2).await?;
        at.used(20 + all).await?;
    }
    pair.stop().await;
    at.world.stop().await
}

/// The site's power comes back, and one box is a minute earlier than the other: it keeps the lines at once, and counts
/// once the other one has said how far it had counted. Nothing is forgotten of what the queue counted meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn two_boxes_that_boot_a_minute_apart_count_what_passed_meanwhile() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "twoboots").await?;
    let mut pair = Site::open_pair_with_api(&world, &isp).await?;
    let at = Lined::at(world, isp, &pair).await?;
    pair.know("school").await?;
    at.looked_at(&pair).await?;
    at.passes(&pair, 100, 200).await?;
    at.used(300).await?;
    known_to(pair.second(), 300).await?;
    pair.stop_second().await;
    pair.site.stop_agent().await;
    at.world.clock.advance(20 * MINUTE);
    ensure!(
        pair.site
            .router
            .pass_through(QUEUE, 60 * MEGABYTE, 40 * MEGABYTE)
    );

    // Another boot, and a clock that stood still meanwhile.
    let booted = || Clock::test(at.world.clock.now().minus(20 * MINUTE));
    let (first, second) = (booted(), booted());
    pair.site.start_agent_on(first.clone()).await?;
    pair.site.caught_up().await?;
    let looks = pair.site.router.counters().api_plans;
    let mut last = Instant::now();
    first.advance(MINUTE / 4);
    eventually("the first one keeps the lines", async || {
        // It may have begun to wait for the other one only after its clock went on.
        if last.elapsed() > Duration::from_secs(2) {
            last = Instant::now();
            first.advance(MINUTE / 4);
        }
        Ok((pair.site.router.counters().api_plans > looks).then_some(()))
    })
    .await?;
    pair.start_second_on(second.clone()).await?;
    let peers = pair.site.agent().overview().peers.clone();
    let peers = peers.context("others")?;
    eventually("the other one says how far it counted", async || {
        Ok((peers.lead() == Lead::Yes).then_some(()))
    })
    .await?;
    for clock in [&at.world.clock, &first, &second] {
        clock.advance(LOOK);
    }
    known_to(pair.site.agent(), 400).await?;
    at.used(400).await?;
    pair.stop().await;
    at.world.stop().await
}

/// One of two boxes comes back with what it knew days ago and without a way to the cloud: the other one, which hears all,
/// keeps the lines, whichever was first; and where it is alone it takes nothing of what it does not know away, nor is
/// anything lost of what that used. Whom the cloud takes for nobody of the site keeps none.
#[tokio::test(flavor = "multi_thread")]
async fn who_hears_the_cloud_keeps_the_lines() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "whohears").await?;
    let mut pair = Site::open_pair_with_api(&world, &isp).await?;
    let at = Lined::at(world, isp, &pair).await?;
    pair.know("school").await?;
    at.looked_at(&pair).await?;
    let first = leads(&pair)?;
    ensure!(first == [Lead::Yes, Lead::No], "{first:?}");

    // It is off while another customer is made, and while one of before gets a faster line.
    pair.site.stop_agent().await;
    lost_by(pair.second()).await?;
    let fast = at.isp.owner.add_package("Fast", 50, 3000, 2).await?;
    let faster = json!({"packageId": fast});
    let path = format!("/customers/{}/package", at.id);
    at.isp.owner.put(&path, &faster).await?;
    let clinic = at.line("clinic", "10.20.0.10").await?;
    at.holds(&pair, QUEUE, "50000000/50000000").await?;
    at.holds(&pair, CLINIC, "10000000/10000000").await?;
    pair.cut_from_cloud(0, true);
    pair.site.start_agent().await?;
    eventually("it stands aside", async || {
        Ok((leads(&pair)? == [Lead::No, Lead::Yes]).then_some(()))
    })
    .await?;
    at.passes_through(&pair, CLINIC, 30, 10).await?;
    at.used_by(&clinic, 40).await?;
    at.holds(&pair, QUEUE, "50000000/50000000").await?;

    // Alone it keeps what it knows, and leaves what it does not.
    pair.stop_second().await;
    lost_by(pair.site.agent()).await?;
    for _ in 0..2 {
        at.looked_at(&pair).await?;
    }
    at.holds(&pair, CLINIC, "10000000/10000000").await?;
    ensure!(
        pair.site
            .router
            .pass_through(CLINIC, 5 * MEGABYTE, 5 * MEGABYTE)
    );
    pair.cut_from_cloud(0, false);
    pair.site.caught_up().await?;
    pair.site.knows("clinic", "at last", |_| true).await?;
    at.looked_at(&pair).await?;
    at.used_by(&clinic, 50).await?;
    at.holds(&pair, QUEUE, "50000000/50000000").await?;

    let me = pair.site.agent().overview().site.agent();
    let me = me.context("an id")?;
    let sites = at.isp.owner.get("/sites").await?;
    let site = sites["sites"][0]["id"].as_str().context("a site")?;
    let revoke = format!("/sites/{site}/agents/{me}/revoke");
    at.isp.owner.post(&revoke, &json!({})).await?;
    eventually("it keeps no lines any more", async || {
        let peers = pair.site.agent().overview().peers.clone();
        let peers = peers.context("others")?;
        Ok((peers.lead() == Lead::No).then_some(()))
    })
    .await?;
    pair.stop().await;
    at.world.stop().await
}

/// Which of the two keeps the lines, as each of them sees it.
fn leads(pair: &Pair) -> Result<[Lead; 2]> {
    let mut leads = [Lead::No; 2];
    for (lead, agent) in leads.iter_mut().zip([pair.site.agent(), pair.second()]) {
        let peers = agent.overview().peers.clone().context("others")?;
        *lead = peers.lead();
    }
    Ok(leads)
}

/// A customer at such a site.
struct Lined {
    world: World,
    isp: Provider,
    id: String,
    router_id: String,
}

impl Lined {
    /// A school whose queue stands at the router.
    async fn at(world: World, isp: Provider, pair: &Pair) -> Result<Lined> {
        let router_id = pair.site.router_id.clone();
        let mut at = Lined {
            world,
            isp,
            id: String::new(),
            router_id,
        };
        at.id = at.line("school", "10.20.0.9").await?;
        pair.site.knows("school", "at all", |_| true).await?;
        eventually("his queue", async || {
            let queues = pair.site.router.kept("/queue/simple");
            let his = queues.iter().any(|row| row.value("name") == Some(QUEUE));
            Ok(his.then_some(()))
        })
        .await?;
        Ok(at)
    }

    /// Makes one.
    async fn line(&self, name: &str, address: &str) -> Result<String> {
        let until = self.world.clock.now().plus(30 * DAY);
        let made = json!({
            "username": name, "password": name, "name": name, "phone": "0712345678",
            "connectionType": "STATIC", "packageId": self.isp.package, "nasId": self.router_id,
            "expiresAt": until.to_string(),
        });
        let made = self.isp.owner.post("/customers", &made).await?;
        let id = made["id"].as_str().context("an id")?.to_owned();
        let path = format!("/customers/{id}/assign-ip");
        let given = json!({"ipAddress": address});
        self.isp.owner.post(&path, &given).await?;
        Ok(id)
    }

    /// Waits until a queue has this limit.
    async fn holds(&self, pair: &Pair, queue: &str, limit: &str) -> Result<()> {
        let mut held = None;
        let holds = eventually("a queue with its limit", async || {
            let queues = pair.site.router.kept("/queue/simple");
            let his = queues.iter().find(|row| row.value("name") == Some(queue));
            held = his.and_then(|row| row.value("max-limit").map(str::to_owned));
            Ok((held.as_deref() == Some(limit)).then_some(()))
        })
        .await;
        holds.with_context(|| format!("{queue}: {held:?}, not {limit}"))
    }

    /// Time goes on until both have read everything at the router.
    async fn both_look(&self, pair: &Pair) -> Result<()> {
        let router = &pair.site.router;
        let before = router.counters().api_plans;
        self.world.clock.advance(LOOK);
        eventually("both look at the router", async || {
            Ok((router.counters().api_plans >= before + 2).then_some(()))
        })
        .await
    }

    /// Time goes on until whoever leads has read everything at the router.
    async fn looked_at(&self, pair: &Pair) -> Result<()> {
        let router = &pair.site.router;
        let before = router.counters().api_plans;
        self.world.clock.advance(LOOK);
        eventually("the router is looked at", async || {
            Ok((router.counters().api_plans > before).then_some(()))
        })
        .await
    }

    /// So many megabytes from him and to him, and they are counted.
    async fn passes(&self, pair: &Pair, up: u64, down: u64) -> Result<()> {
        self.passes_through(pair, QUEUE, up, down).await
    }

    async fn passes_through(&self, pair: &Pair, queue: &str, up: u64, down: u64) -> Result<()> {
        let router = &pair.site.router;
        ensure!(router.pass_through(queue, up * MEGABYTE, down * MEGABYTE));
        self.looked_at(pair).await
    }

    async fn used(&self, megabytes: u64) -> Result<()> {
        self.used_by(&self.id, megabytes).await
    }

    async fn used_by(&self, id: &str, megabytes: u64) -> Result<()> {
        let kilobytes = json!(megabytes * MEGABYTE / 1024);
        let mut used = Value::Null;
        let all = eventually("what he used", async || {
            used = self.isp.customer(id).await?["dataUsed"].clone();
            Ok((used == kilobytes).then_some(()))
        })
        .await;
        if all.is_err() {
            let sessions = self.isp.sessions_of("school").await?;
            anyhow::bail!("{used} kilobytes, not {kilobytes}: {sessions:?}");
        }
        Ok(())
    }

    /// Waits until he has had so many sessions, of which so many go on.
    async fn sessions(&self, all: usize, open: usize) -> Result<Vec<Value>> {
        eventually("his sessions", async || {
            let sessions = self.isp.sessions_of("school").await?;
            let going_on = sessions.iter().filter(|one| one["stopTime"].is_null());
            let fits = (sessions.len(), going_on.count()) == (all, open);
            Ok(fits.then_some(sessions))
        })
        .await
        .with_context(|| format!("{all} sessions, {open} open"))
    }
}

/// Waits until an agent knows what was counted in the session that goes on.
async fn known_to(agent: &Agent, megabytes: u64) -> Result<()> {
    let mut known = 0;
    let all = eventually("an agent knows what was counted", async || {
        let open = agent.overview().sessions.open_by_name(b"school");
        known = open.iter().map(|online| online.session.bytes()).sum();
        Ok((known == megabytes * MEGABYTE).then_some(()))
    })
    .await;
    all.with_context(|| format!("{} of {megabytes} megabytes", known / MEGABYTE))
}

/// Waits until an agent does not reach the other one any more.
async fn lost_by(agent: &Agent) -> Result<()> {
    let peers = agent.overview().peers.clone().context("others")?;
    eventually("the other one is lost", async || {
        Ok(peers.in_touch().is_empty().then_some(()))
    })
    .await
}
