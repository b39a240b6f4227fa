//! What turns a wish for a router into work: looks what stands there, writes it down, waits for the end.

use std::net::Ipv4Addr;

use easyisp_shared::id::{RouterId, SiteId};
use easyisp_shared::setup::Around;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::router::{RouterAsk, RouterTold};
use easyisp_shared::wire::setup::{BeforeV1, ItemV1, SetupAskV1, SetupToldV1};

use super::super::plan::{self, Work};
use super::super::rules::{self, Chosen, Known, Services};
use super::super::run::{self, At};
use super::super::store;
use super::configure::{PATIENCE, other};
use super::{kept, known, last, refused};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::due;
use crate::error::ApiError;
use crate::monitoring;
use crate::routers::{self, Writer, running};
use crate::secrets::Secrets;
use crate::sites::Live;

/// What a configuration of one router needs.
#[derive(Clone)]
pub struct Hands {
    /// Where it is written down.
    pub db: Database,
    /// Seals it.
    pub secrets: Secrets,
    /// Carries questions to sites.
    pub live: Live,
    /// Who wants it.
    pub operator: Operator,
    /// Which router.
    pub router: RouterId,
    /// The time.
    pub now: Timestamp,
    /// As whom it holds the router until its work is written down.
    pub writer: Writer,
}

impl Hands {
    pub(super) fn at(&self, site: SiteId) -> At<'_> {
        at(&self.live, &self.operator, site, self.router, self.now)
    }

    /// The router's site, unless somebody works at the router.
    pub async fn free(&self) -> Result<SiteId, ApiError> {
        let mut tx = self.db.begin(self.operator.tenant).await?;
        let site = routers::site_of(&mut tx, self.router).await?;
        let site = site.ok_or(ApiError::NotFound("router"))?;
        match store::find(&mut tx, self.router).await? {
            Some(row) if row.stage.is_under_way() => Err(running()),
            Some(_) | None => Ok(site),
        }
    }

    /// What was chosen of it last, whatever came of it; with the way to the cloud by which it serves.
    pub(super) async fn last(&self) -> Result<Chosen, ApiError> {
        let mut tx = self.db.begin(self.operator.tenant).await?;
        let row = store::find(&mut tx, self.router).await?;
        let usual = || Chosen {
            firewall: true,
            ..Chosen::default()
        };
        let last = row.as_ref().and_then(last).unwrap_or_else(usual);
        // Of one that its agent brought up it is known since the first link.
        let kept = row.as_ref().and_then(kept).and_then(|kept| kept.cloud);
        Ok(Chosen {
            cloud: last.cloud.clone().or(kept),
            ..last
        })
    }

    /// What it serves by; nothing where it was never configured to its end.
    pub(super) async fn serves(&self) -> Result<Chosen, ApiError> {
        let mut tx = self.db.begin(self.operator.tenant).await?;
        let row = store::find(&mut tx, self.router).await?;
        drop(tx);
        Ok(match row.as_ref().and_then(kept) {
            Some(kept) => kept,
            None => Chosen {
                services: None,
                ..self.last().await?
            },
        })
    }

    /// What is to be known of a router, with what it tells of its surroundings; and those.
    pub(super) async fn surroundings(
        &self,
        site: SiteId,
        agents: &[String],
    ) -> Result<(Known, Around), ApiError> {
        let mut tx = self.db.begin(self.operator.tenant).await?;
        let mut known = known(&mut tx, &self.secrets, self.router).await?;
        drop(tx);
        let every = known.agents.iter().flatten().chain(agents);
        let every: Vec<Ipv4Addr> = every.filter_map(|text| rules::v4(text)).collect();
        let user = known.api.as_ref().map(|(user, _)| user.as_str());
        let mut around = Around::default();
        around.take(self.look(site, Around::asked(&every, user)).await?.0);
        around.take(self.look(site, around.hosts_asked()).await?.0);
        known.networks = around.networks();
        Ok((known, around))
    }

    /// The interfaces by which its agents are reached, with all that these run over. Errors: 422 `AGENTS_PORT` where
    /// the router does not tell.
    pub(super) async fn agents_at(
        &self,
        site: SiteId,
        agents: &[Ipv4Addr],
        around: &Around,
    ) -> Result<Vec<String>, ApiError> {
        let mut names = Vec::new();
        for agent in agents {
            let mut towards: Vec<String> = around.towards(*agent).into_iter().collect();
            if towards.is_empty() {
                let told = self.at(site).set_up(SetupAskV1::Uplinks).await?;
                let SetupToldV1::Uplinks(uplinks) = told else {
                    return Err(other());
                };
                towards = uplinks;
            }
            if towards.is_empty() {
                return Err(ApiError::unprocessable(
                    "AGENTS_PORT",
                    format!(
                        "The router does not tell by which interface it reaches the agent at {agent}, so that nobody \
                         knows whether subscribers there would cut it off. See that it has an address in the agent's \
                         network or a route to it, or name the agents' addresses (agents)"
                    ),
                ));
            }
            names.extend(towards);
        }
        Ok(around.beneath(names))
    }

    pub(super) async fn look(
        &self,
        site: SiteId,
        items: Vec<ItemV1>,
    ) -> Result<(Vec<BeforeV1>, Option<bool>), ApiError> {
        match self.at(site).set_up(SetupAskV1::Look(items)).await? {
            SetupToldV1::Found {
                before,
                hotspot_allowed,
            } => Ok((before, hotspot_allowed)),
            _ => Err(other()), // an answer to something else
        }
    }

    /// Plans what is chosen and starts it: of a router that the caller claimed.
    pub(super) async fn begin(
        &self,
        site: SiteId,
        mut chosen: Chosen,
        (backup, left): (bool, Left),
    ) -> Result<(), ApiError> {
        let mut tx = self.db.begin(self.operator.tenant).await?;
        let actor = Actor::from(&self.operator);
        monitoring::watch(&mut tx, &self.secrets, self.router, &actor, self.now).await?;
        tx.commit().await?;
        let services = chosen.services.unwrap_or(Services::Both);
        let (mut known, around) = self.surroundings(site, &chosen.agents).await?;
        if let RouterTold::System(told) = self.at(site).ask(RouterAsk::System, PATIENCE).await? {
            let major = told.version.split('.').next();
            chosen.ran = major.and_then(|major| major.trim().parse().ok());
            known.version = Some(told.version);
        }
        if chosen.agents.is_empty() && rules::is_ambiguous(&known) {
            // Whatever is compared with it later must mean the same.
            let nearest = rules::nearest(&known);
            chosen.agents = nearest.iter().map(Ipv4Addr::to_string).collect();
        }
        chosen.mute = around.knows_no_scheduler();
        let choice = serde_json::to_value(&chosen).map_err(ApiError::internal)?;
        let closes = chosen.firewall;
        let ports = chosen.pppoe.iter().chain(&chosen.hotspot);
        let ports: Vec<String> = ports.cloned().collect();
        let (agents, steps) = rules::planned_for(known, chosen).map_err(refused)?;
        let entered = around.entered_from();
        if closes && !entered.is_empty() && !entered.iter().all(|one| agents.contains(one)) {
            return Err(shut_out(&entered, &agents));
        }
        let beside = self.agents_at(site, &agents, &around).await?;
        if let Some(port) = ports.iter().find(|port| beside.contains(port)) {
            return Err(ApiError::unprocessable(
                "AGENTS_PORT",
                format!(
                    "The agent is reached by {port}: subscribers there would cut it off. Choose other interfaces, \
                     or move the agent's cable"
                ),
            ));
        }
        let work = Work::new(services, None, &steps, Vec::new());
        self.start(site, work, choice, (backup, left), "Configures it")
            .await
    }

    /// From here on nobody else writes to the router.
    pub(super) async fn claim(&self) -> Result<(), ApiError> {
        let mut tx = self.db.begin(self.operator.tenant).await?;
        let name = routers::lock_named(&mut tx, self.router).await?;
        name.ok_or(ApiError::NotFound("router"))?;
        let row = store::find(&mut tx, self.router).await?;
        if row.is_some_and(|row| row.stage.is_under_way()) {
            return Err(running());
        }
        routers::idle(&mut tx, self.router, self.now).await?;
        routers::claim(&mut tx, self.router, &self.writer, self.now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Undoes what an earlier run left half-way, looks what stands there, writes the work down and makes it due: of a
    /// router that the caller claimed.
    pub async fn start(
        &self,
        site: SiteId,
        mut work: Work,
        choice: serde_json::Value,
        (backup, left): (bool, Left),
        details: &str,
    ) -> Result<(), ApiError> {
        let (router, now) = (self.router, self.now);
        let mut tx = self.db.begin(self.operator.tenant).await?;
        let row = store::find(&mut tx, router).await?;
        let half = match &row {
            Some(row) if left == Left::Undo => {
                run::open(&mut tx, &self.secrets, router, row).await?
            }
            Some(_) | None => None,
        };
        drop(tx);
        if let Some(half) = half {
            let told = self
                .at(site)
                .set_up(SetupAskV1::Restore(half.before))
                .await?;
            if let SetupToldV1::Restored(refusals) = told
                && let Some(words) = refusals.first()
            {
                return Err(ApiError::unprocessable(
                    "HALF_CONFIGURED",
                    format!(
                        "What an earlier configuration left does not go back: {words}. Put it right on the router, or \
                         send forgetLeft: true to leave it as it is and go on"
                    ),
                ));
            }
        }
        let (before, hotspot_allowed) = self.look(site, work.items()).await?;
        if work.services != Services::Pppoe && hotspot_allowed == Some(false) {
            return Err(ApiError::unprocessable(
                "DEVICE_MODE",
                format!(
                    "The router serves no hotspot in its device-mode. {}",
                    plan::advice("device-mode")
                ),
            ));
        }
        work.before = before;
        let mut tx = self.db.begin(self.operator.tenant).await?;
        let name = routers::lock_named(&mut tx, router).await?;
        let name = name.ok_or(ApiError::NotFound("router"))?;
        let row = store::find(&mut tx, router).await?;
        if row.as_ref().is_some_and(|row| row.stage.is_under_way()) {
            return Err(running());
        }
        // Whoever was slower than his claim lasts finds somebody else at it.
        routers::release(&mut tx, router, &self.writer).await?;
        routers::claim(&mut tx, router, &Writer::Wizard, now).await?;
        let run = row.map_or(1, |row| row.run + 1);
        work.backup = backup.then(|| format!("easyisp-before-{run}"));
        let sealed = run::seal(&mut tx, &self.secrets, router, &work).await?;
        let (places, message) = (work.places(), "It begins");
        store::configure(&mut tx, router, (&choice, &sealed), places, message, now).await?;
        due::at(&mut tx, run::RUN, router, now).await?;
        let audit = Audit {
            details: details.to_owned(),
            after: Some(choice),
            ..Audit::new(Action::RouterSetup, "router", router, &name)
        };
        audit::record(&mut tx, &Actor::from(&self.operator), audit, now).await?;
        tx.commit().await?;
        Ok(())
    }
}

pub(super) fn at<'a>(
    live: &'a Live,
    operator: &Operator,
    site: SiteId,
    router: RouterId,
    now: Timestamp,
) -> At<'a> {
    At {
        live,
        tenant: operator.tenant,
        site,
        router,
        now,
    }
}

/// 422: what closes the router to all but these would close it to who configures it.
fn shut_out(entered: &[Ipv4Addr], agents: &[Ipv4Addr]) -> ApiError {
    let list = |all: &[Ipv4Addr]| {
        let texts: Vec<String> = all.iter().map(Ipv4Addr::to_string).collect();
        texts.join(" and ")
    };
    ApiError::unprocessable(
        "AGENT_NOT_LISTED",
        format!(
            "The router sees its agent at {}, and would be closed to all but {}. Name that address (agents), or send \
             configureFirewall: false",
            list(entered),
            list(agents)
        ),
    )
}

/// What becomes of what an earlier configuration left half-way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    /// It is undone first.
    Undo,
    /// It stays as it is.
    Forget,
}
