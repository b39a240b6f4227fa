//! A week without the agent: the routers alone keep who paid online and end who did not.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::net::RateLimit;
use easyisp_shared::time::Timestamp;
use easyisp_tests::operator::Operator;
use easyisp_tests::router::online::Online;
use easyisp_tests::router::session::{Cause, Usage};
use easyisp_tests::router::subscriber::Dial;
use easyisp_tests::scenario::Manners;
use easyisp_tests::world::{PASSWORD, Provider, Site, World, eventually, soon};
use serde_json::json;

use crate::words::{DAY, HOUR, MINUTE, all_sessions, comes_to_agree};

const WEEK: Duration = Duration::from_secs(7 * 86_400);
const PHONE: &str = "254712345612";

/// The agent is dead for seven days. Whoever has time left is online on all of them, whoever's time ends
/// goes at that second; the agent that returns takes the router's word and cuts nobody, whether the router
/// obeys it or not.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_dead_for_a_week_costs_nobody_a_second_and_gives_nobody_one() -> Result<()> {
    let mut week = Week::open().await?;
    week.pass().await?;
    week.sign_in_again().await?;
    for (manners, garden_speed) in [(Manners::Nak(501), 2), (Manners::Obey, 3)] {
        let returned = week.agent_returns(manners, garden_speed).await;
        returned.with_context(|| format!("a router with these manners: {manners:?}"))?;
        week.site.stop_agent().await;
    }
    week.close().await
}

struct Week {
    world: World,
    isp: Provider,
    site: Site,
    lines: Vec<Line>,
    dead_since: Timestamp,
}

struct Line {
    name: String,
    end: Timestamp,
    online: Online,
}

impl Week {
    async fn open() -> Result<Week> {
        let world = World::start().await?;
        let isp = Provider::sign_up(&world, "deadweek").await?;
        isp.subscribe(&world).await?;
        let mut site = Site::open_with_api(&world, &isp).await?;
        let began = world.clock.now();
        let mut lines = Vec::new();
        for number in 0..24u32 {
            let name = format!("line{number:02}");
            // Every fourteen hours one ends, more than half of them after the week.
            let end = began.plus(DAY + 14 * HOUR * number);
            isp.add_subscriber(&name, PHONE, end).await?;
            site.knows(&name, "at all", |_| true).await?;
            let online = site.dial(&name).await.online();
            soon("the Start is answered", online.started()).await?;
            lines.push(Line { name, end, online });
        }
        isp.add_subscriber("late", PHONE, began.plus(30 * DAY))
            .await?;
        site.knows("late", "at all", |_| true).await?;
        site.reported().await?;
        site.stop_agent().await;
        Ok(Week {
            dead_since: world.clock.now(),
            world,
            isp,
            site,
            lines,
        })
    }

    /// Seven days, looked at every hour and a minute around each end.
    async fn pass(&mut self) -> Result<()> {
        let over = self.dead_since.plus(WEEK);
        let hours = (1..=7 * 24).map(|hour| self.dead_since.plus(HOUR * hour));
        let ends = self.lines.iter().map(|line| line.end);
        let around = ends.flat_map(|end| [end.minus(SECOND), end, end.plus(MINUTE)]);
        let instants: BTreeSet<Timestamp> = hours.chain(around).filter(|at| *at <= over).collect();
        for at in instants {
            let now = self.world.clock.now();
            self.world.clock.advance(at.since(now));
            for line in &self.lines {
                if at < line.end {
                    let usage = Usage {
                        up: 1000,
                        down: 1 << 30,
                    };
                    line.online.transfer(usage);
                    ensure!(line.online.session().is_some(), "{} dropped", line.name);
                } else {
                    let what = format!("{} is ended by the router", line.name);
                    let (cause, _) = soon(&what, line.online.ended()).await?;
                    ensure!(cause == Cause::SessionTimeout, "{cause:?}");
                }
            }
        }
        Ok(())
    }

    /// A week is what a sign-in is good for.
    async fn sign_in_again(&mut self) -> Result<()> {
        let email = self.isp.email();
        self.isp.owner = Operator::login(self.world.api(), &email, PASSWORD).await?;
        Ok(())
    }

    /// It hears of everybody who is still there by an interim update, and leaves them alone.
    async fn agent_returns(&mut self, manners: Manners, garden_speed: u32) -> Result<()> {
        self.site.router.manners(manners);
        self.site.start_agent().await?;
        self.site.caught_up().await?;
        let now = self.world.clock.now();
        let (up, over): (Vec<_>, Vec<_>) = self.lines.iter().partition(|line| now < line.end);
        ensure!(
            up.len() > 10 && over.len() > 10,
            "{} and {}",
            up.len(),
            over.len()
        );
        self.all_report(&up).await?;
        for line in &over {
            let dial = self.site.dial(&line.name).await;
            ensure!(matches!(dial, Dial::Rejected(_)), "{}: {dial:?}", line.name);
        }
        let newcomer = self.site.dial("late").await.online();
        soon("the Start is answered", newcomer.started()).await?;

        self.look_at_everybody(garden_speed).await?;

        // Its timers run, it reads the router's list, the cloud is told.
        for _ in 0..20 {
            self.world.clock.advance(MINUTE);
            for line in &up {
                ensure!(line.online.session().is_some(), "{} was cut", line.name);
            }
        }
        self.all_report(&up).await?;
        ensure!(newcomer.hang_up().await, "his Stop is answered");
        comes_to_agree(&self.isp, &self.site).await?;
        let rows = all_sessions(&self.isp).await?;
        let open = rows.iter().filter(|row| row["status"] == "active");
        let open: BTreeSet<&str> = open.filter_map(|row| row["sessionId"].as_str()).collect();
        let sessions = self.site.router.sessions();
        let listed: BTreeSet<&str> = sessions.iter().map(|session| session.id.as_str()).collect();
        ensure!(
            open == listed,
            "open at the API {open:?}, at the router {listed:?}"
        );
        ensure!(
            open.len() == up.len(),
            "{} of {} are up",
            open.len(),
            up.len()
        );
        Ok(())
    }

    /// Changes the provider's policy where it means nobody who is online.
    async fn look_at_everybody(&self, garden_speed: u32) -> Result<()> {
        let changed = json!({"speed": garden_speed});
        self.isp.owner.put("/tenant/enforcement", &changed).await?;
        let rate = RateLimit::mbps(garden_speed, garden_speed);
        eventually("the site has the new policy", async || {
            let policy = self.site.agent().overview().site.policy();
            let told = policy
                .row
                .as_ref()
                .is_some_and(|row| row.garden_rate == rate);
            Ok(told.then_some(()))
        })
        .await
    }

    async fn all_report(&self, up: &[&Line]) -> Result<()> {
        for line in up {
            let answered = soon("an update", line.online.interim()).await?;
            ensure!(answered, "the update of {} is answered", line.name);
        }
        Ok(())
    }

    async fn close(self) -> Result<()> {
        self.site.stop().await;
        self.world.stop().await
    }
}

const SECOND: Duration = Duration::from_secs(1);
