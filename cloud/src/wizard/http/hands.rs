//! What turns a wish for a router into work: looks what stands there, writes it down, waits for the end.

use std::time::{Duration, Instant};

use easyisp_shared::id::{RouterId, SiteId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::router::{RouterAsk, RouterTold};
use easyisp_shared::wire::setup::{BeforeV1, ItemV1, RowV1, SetupAskV1, SetupToldV1, WhichV1};

use super::super::plan::{self, Stage, Work};
use super::super::rules::{self, Chosen, Services};
use super::super::run::{self, At};
use super::super::store;
use super::begin::running;
use super::configure::{Configured, PATIENCE, other};
use super::{known, refused};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::due;
use crate::error::ApiError;
use crate::monitoring;
use crate::routers;
use crate::secrets::Secrets;
use crate::sites::Live;

/// What a configuration of one router needs.
pub struct Hands<'a> {
    /// Where it is written down.
    pub db: &'a Database,
    /// Seals it.
    pub secrets: &'a Secrets,
    /// Carries questions to sites.
    pub live: &'a Live,
    /// Who wants it.
    pub operator: &'a Operator,
    /// Which router.
    pub router: RouterId,
    /// The time.
    pub now: Timestamp,
}

impl<'a> Hands<'a> {
    pub(super) fn at(&self, site: SiteId) -> At<'a> {
        at(self.live, self.operator, site, self.router, self.now)
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

    /// The interfaces behind which the site's agents are, as the router's own tables say.
    pub(super) async fn agents_at(&self, site: SiteId) -> Result<Vec<String>, ApiError> {
        let mut tx = self.db.begin(self.operator.tenant).await?;
        let known = known(&mut tx, self.secrets, self.router).await?;
        drop(tx);
        let host = |text: &String| match text.rsplit_once(':') {
            Some((host, _)) => host.to_owned(),
            None => text.clone(),
        };
        let neighbour = |agent: String| found("/ip arp", "address", agent);
        let asked: Vec<ItemV1> = known.agents.iter().map(host).map(neighbour).collect();
        let rows = self.look(site, asked).await?.0;
        let text = |row: &RowV1, name: &str| {
            let held = row.fields.iter().find(|(held, _)| held == name);
            held.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        let mut names = Vec::new();
        let mut devices = Vec::new();
        for row in rows.iter().flat_map(|stood| &stood.rows) {
            names.extend(text(row, "interface"));
            devices.extend(text(row, "mac-address"));
        }
        // Behind a bridge it is one of the bridge's ports.
        let hosts = devices
            .into_iter()
            .map(|mac| found("/interface bridge host", "mac-address", mac));
        let rows = self.look(site, hosts.collect()).await?.0;
        for row in rows.iter().flat_map(|stood| &stood.rows) {
            names.extend(text(row, "on-interface").or_else(|| text(row, "interface")));
        }
        Ok(names)
    }

    async fn look(
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

    /// Plans what is chosen and starts it.
    pub(super) async fn begin(
        &self,
        site: SiteId,
        chosen: Chosen,
        backup: bool,
    ) -> Result<(), ApiError> {
        let mut tx = self.db.begin(self.operator.tenant).await?;
        let actor = Actor::from(self.operator);
        monitoring::watch(&mut tx, self.secrets, self.router, &actor, self.now).await?;
        let known = known(&mut tx, self.secrets, self.router).await?;
        tx.commit().await?;
        let services = chosen.services.unwrap_or(Services::Both);
        let choice = serde_json::to_value(&chosen).map_err(ApiError::internal)?;
        let ports = chosen.pppoe.iter().chain(&chosen.hotspot);
        let ports: Vec<String> = ports.cloned().collect();
        let mut known = known;
        if let RouterTold::System(told) = self.at(site).ask(RouterAsk::System, PATIENCE).await? {
            known.version = Some(told.version);
        }
        let steps = rules::planned(known, chosen).map_err(refused)?;
        let beside = self.agents_at(site).await?;
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
        self.start(site, work, choice, backup, "Configures it")
            .await
    }

    /// Undoes what an earlier run left half-way, looks what stands there, writes the work down and makes it due.
    pub async fn start(
        &self,
        site: SiteId,
        mut work: Work,
        choice: serde_json::Value,
        backup: bool,
        details: &str,
    ) -> Result<(), ApiError> {
        let (router, now) = (self.router, self.now);
        let mut tx = self.db.begin(self.operator.tenant).await?;
        let row = store::find(&mut tx, router).await?;
        let left = match &row {
            Some(row) => run::open(&mut tx, self.secrets, router, row).await?,
            None => None,
        };
        drop(tx);
        if let Some(left) = left {
            let told = self
                .at(site)
                .set_up(SetupAskV1::Restore(left.before))
                .await?;
            if let SetupToldV1::Restored(refusals) = told
                && let Some(words) = refusals.first()
            {
                return Err(ApiError::unprocessable(
                    "HALF_CONFIGURED",
                    format!("What an earlier configuration left does not go back: {words}"),
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
        let run = row.map_or(1, |row| row.run + 1);
        work.backup = backup.then(|| format!("easyisp-before-{run}"));
        let sealed = run::seal(&mut tx, self.secrets, router, &work).await?;
        let (places, message) = (work.places(), "It begins");
        store::configure(&mut tx, router, (&choice, &sealed), places, message, now).await?;
        due::at(&mut tx, run::RUN, router, now).await?;
        let audit = Audit {
            details: details.to_owned(),
            after: Some(choice),
            ..Audit::new(Action::RouterSetup, "router", router, &name)
        };
        audit::record(&mut tx, &Actor::from(self.operator), audit, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Waits for the end, as long as a request may.
    pub async fn wait(&self, begun: Instant) -> Result<Configured, ApiError> {
        loop {
            let mut tx = self.db.begin(self.operator.tenant).await?;
            let row = store::find(&mut tx, self.router).await?;
            drop(tx);
            let row = row.ok_or(ApiError::NotFound("router"))?;
            if !row.stage.is_under_way() || begun.elapsed() > LONGEST {
                let tested = row
                    .tested
                    .and_then(|tested| serde_json::from_value(tested).ok());
                return Ok(Configured {
                    success: row.stage == Stage::Done,
                    message: match row.stage.is_under_way() {
                        true => format!("Not through yet. {}", row.message),
                        false => row.message,
                    },
                    results: serde_json::from_value(row.results).unwrap_or_default(),
                    test_result: tested.unwrap_or_default(),
                });
            }
            tokio::time::sleep(LOOK).await;
        }
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

fn found(menu: &str, key: &str, value: String) -> ItemV1 {
    ItemV1 {
        menu: menu.to_owned(),
        which: WhichV1::Found {
            key: key.to_owned(),
            value,
            lenient: false,
        },
        fields: Vec::new(),
    }
}

/// Below the time limit of a request.
const LONGEST: Duration = Duration::from_secs(24);
/// How often to look whether it is through.
const LOOK: Duration = Duration::from_millis(50);
