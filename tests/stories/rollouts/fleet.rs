//! A fleet: a box, and many routers beside it whose software can be changed.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_agent::Agent;
use easyisp_agent::config::Config;
use easyisp_agent::sync::LinkStatus;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Timestamp;
use easyisp_tests::router::api::Api;
use easyisp_tests::router::{Router, Settings};
use easyisp_tests::world::{Provider, World, eventually, soon};
use serde_json::{Value, json};

const SECRET: &str = "a-long-shared-secret";
const API_PASSWORD: &str = "a-long-api-password";
/// What a router runs before, and what MikroTik has for it.
pub const OLD: &str = "7.18.2";
pub const NEW: &str = "7.19.4";

pub struct Fleet {
    pub world: World,
    pub isp: Provider,
    pub routers: Vec<Router>,
    /// Their ids, in the same order.
    pub ids: Vec<String>,
    config: Config,
    agent: Option<Agent>,
}

impl Fleet {
    /// So many routers of one provider, known to their agent.
    pub async fn open(name: &str, count: u8) -> Result<Fleet> {
        let world = World::start().await?;
        let isp = Provider::sign_up(&world, name).await?;
        let token = isp.owner.join_token().await?;
        let (agent, config) = world.join_with(&token, |_| {}).await?;
        let mut fleet = Fleet {
            world,
            isp,
            routers: Vec::new(),
            ids: Vec::new(),
            config,
            agent: Some(agent),
        };
        for number in 1..=count {
            fleet.add(number).await?;
        }
        fleet.is_known().await?;
        Ok(fleet)
    }

    async fn add(&mut self, number: u8) -> Result<()> {
        let source = Ipv4Addr::new(127, 0, 1, number);
        let settings = Settings {
            source,
            api: Some(Api::new("agent", API_PASSWORD)),
            ..Settings::new(SECRET, self.config.radius.auth, self.config.radius.acct)
        };
        let clock = self.world.clock.clone();
        let router = Router::start_on(settings, clock, Entropy::system()).await?;
        router.with_software(|software| {
            software.offers = vec![("stable".to_owned(), NEW.to_owned())];
            software.start = Duration::from_secs(90);
        });
        let coa = router.incoming().context("it takes CoA")?.port();
        let owner = &self.isp.owner;
        let name = format!("Tower {number:02}");
        let id = owner
            .add_router(&name, &source.to_string(), SECRET, coa)
            .await?;
        let api = router.api().context("it has an API")?.port();
        owner
            .set_router_api(&id, "agent", API_PASSWORD, api)
            .await?;
        self.routers.push(router);
        self.ids.push(id);
        Ok(())
    }

    /// Waits until the agent knows every router's API.
    pub async fn is_known(&self) -> Result<()> {
        let agent = self.agent.as_ref().context("the agent runs")?;
        eventually("the agent knows its routers", async || {
            let known = agent.overview().site.routers();
            let with_api = known.iter().filter(|router| router.api.is_some());
            Ok((with_api.count() == self.routers.len()).then_some(()))
        })
        .await
    }

    /// Switches the box off.
    pub async fn switch_off(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.stop().await;
        }
    }

    /// Waits until the box is linked to the cloud, or has noticed that it is not.
    async fn is_linked(&self, wanted: bool) -> Result<()> {
        let agent = self.agent.as_ref().context("the agent runs")?;
        let link = agent.overview().link.clone();
        let mut link = link.context("the agent has a link")?;
        let like = |status: &LinkStatus| {
            let up = matches!(
                status,
                LinkStatus::Up {
                    caught_up: true,
                    ..
                }
            );
            up == wanted
        };
        soon("the link is as it should be", link.wait_for(like)).await??;
        Ok(())
    }

    /// The cloud ends and begins again.
    pub async fn restart_cloud(&mut self) -> Result<()> {
        self.world.stop_cloud().await?;
        self.is_linked(false).await?;
        self.world.start_cloud().await?;
        self.is_linked(true).await
    }

    /// Begins a rollout; its id.
    pub async fn roll_out(&self, body: &Value) -> Result<String> {
        let begun = self.isp.owner.post("/rollouts", body).await?;
        Ok(begun["id"].as_str().context("an id")?.to_owned())
    }

    pub async fn shown(&self, rollout: &str) -> Result<Value> {
        self.isp.owner.get(&format!("/rollouts/{rollout}")).await
    }

    /// Lets time go on from one piece of work to the next until a rollout looks like that; `seen` looks at it at every
    /// moment between.
    pub async fn until(
        &self,
        rollout: &str,
        what: &str,
        like: impl Fn(&Value) -> bool,
        seen: impl Fn(&Value) -> Result<()>,
    ) -> Result<Value> {
        let mut last = Value::Null;
        for _ in 0..2_000 {
            let due = self.rests().await?;
            last = self.shown(rollout).await?;
            seen(&last)?;
            if like(&last) {
                return Ok(last);
            }
            let due = due.with_context(|| format!("nothing more comes: {what}: {last:#}"))?;
            let now = self.world.clock.now();
            self.world.clock.advance(due.since(now));
            // An agent leaves a router that it could not enter alone for two seconds of its own: the clock of a
            // story does not run away from it.
            let starts = ["INSTALLING", "BOARD_RESTARTING", "RESTARTING"];
            if steps(&last).iter().any(|step| starts.contains(step)) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        anyhow::bail!("it did not come to be: {what}: {last:#}")
    }

    /// Waits until nobody works at a rollout; when somebody does next. `None` = never, or somebody just began.
    pub async fn rests(&self) -> Result<Option<Timestamp>> {
        let now = self.world.clock.now();
        eventually("the work at hand is done", async || {
            let mut tx = self.world.db().directory().await?;
            let (busy, next): (bool, Option<Timestamp>) = sqlx::query_as(
                "select coalesce(bool_or(lease_until is not null or due_at <= $1), false), min(due_at)
                   from directory.jobs where kind like 'rollouts.%'",
            )
            .bind(now)
            .fetch_one(&mut *tx)
            .await?;
            Ok((!busy).then_some(next))
        })
        .await
    }

    /// How often each was told to install something, and what it runs.
    pub fn installed(&self) -> Vec<(usize, String)> {
        let of = |router: &Router| {
            let software = router.software();
            (software.ordered.len(), software.installed)
        };
        self.routers.iter().map(of).collect()
    }

    pub async fn close(mut self) -> Result<()> {
        self.switch_off().await;
        for router in self.routers {
            router.stop().await;
        }
        self.world.stop().await
    }
}

/// An upgrade of these routers, one, three and the rest.
pub fn upgrade(ids: &[String]) -> Value {
    json!({"name": "Spring", "action": {"kind": "UPGRADE", "channel": "stable"}, "routerIds": ids,
        "rings": [1, 3, 8]})
}

/// The step of each router, in order.
pub fn steps(shown: &Value) -> Vec<&str> {
    parts(shown)
        .filter_map(|part| part["step"].as_str())
        .collect()
}

/// Every router of it, in order.
pub fn parts(shown: &Value) -> impl Iterator<Item = &Value> {
    let rings = shown["rings"].as_array().into_iter().flatten();
    rings.flat_map(|ring| ring["routers"].as_array().into_iter().flatten())
}

/// How many routers each ring has.
pub fn sizes(shown: &Value) -> Vec<usize> {
    let rings = shown["rings"].as_array().into_iter().flatten();
    rings
        .map(|ring| ring["routers"].as_array().map_or(0, Vec::len))
        .collect()
}

/// Nobody was told to install anything before everybody in the rings before his was well.
pub fn in_order(fleet: &Fleet) -> impl Fn(&Value) -> Result<()> + use<> {
    let routers = fleet.routers.clone();
    move |shown| {
        // What is shown was read before the routers are looked at: whoever is told meanwhile was allowed to by then.
        let sizes = sizes(shown);
        let steps = steps(shown);
        let mut begins = 0;
        for size in sizes {
            let ends = begins + size;
            let before = steps.iter().take(begins);
            let well = before.filter(|step| **step == "DONE").count() == begins;
            let is_past = |part: &&str| !["WAITING", "UNTOUCHED", "AWAY", "MISSED"].contains(part);
            let touched = steps.iter().take(ends).skip(begins).any(is_past);
            ensure!(well || !touched, "a ring began before its time: {shown:#}");
            begins = ends;
        }
        ensure!(routers.len() == begins, "{shown:#}");
        Ok(())
    }
}
