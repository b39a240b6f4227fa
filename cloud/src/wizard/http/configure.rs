//! What a router shall serve: its interfaces, the configuration, and whether it works.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use axum::extract::State;
use easyisp_shared::id::{RouterId, SiteId};
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::router::{InterfaceV1, RouterAsk, RouterTold};
use easyisp_shared::wire::setup::{ItemV1, SetupAskV1, SetupToldV1};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::plan::{Stage, Tested, Work};
use super::super::rules::{self, Chosen, Range, Services};
use super::super::run::{self, At};
use super::super::store;
use super::begin::{running, site_of};
use super::{known, refused};
use crate::api::{Json, Path, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::due;
use crate::error::ApiError;
use crate::routers;
use crate::secrets::Secrets;
use crate::sites::Live;

/// An interface of a router.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    mac_address: String,
    running: bool,
    disabled: bool,
    comment: String,
    /// It leads to the internet, as far as can be told.
    is_wan: bool,
}

/// The interfaces of a router.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ports {
    /// Those that last.
    interfaces: Vec<Port>,
    /// The likeliest way to the internet: by the default route, else by a line that it dials or a lease that it has.
    wan_interface: Option<String>,
}

/// `GET /api/wizard/{router}/interfaces`: the router's interfaces, and which of them leads to the internet.
///
/// Errors: 422 without an API user, 503 when the site is away, 502 or 504 when the router is.
#[utoipa::path(get, path = "/api/wizard/{router}/interfaces", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = Ports),
        (status = 422, description = "No API user is entered for this router"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn interfaces(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
) -> Result<Json<Ports>, ApiError> {
    let site = site_of(&db, &operator, router).await?;
    let at = at(&live, &operator, site, router, clock.now());
    let (interfaces, wan) = ports(at).await?;
    let port = |told: InterfaceV1| Port {
        is_wan: wan.as_deref() == Some(told.name.as_str()),
        id: told.id,
        name: told.name,
        kind: told.kind,
        mac_address: told.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        running: told.running,
        disabled: told.disabled,
        comment: told.comment,
    };
    Ok(Json(Ports {
        interfaces: interfaces.into_iter().map(port).collect(),
        wan_interface: wan.clone(),
    }))
}

/// The lasting interfaces, and the likeliest way out.
async fn ports(at: At<'_>) -> Result<(Vec<InterfaceV1>, Option<String>), ApiError> {
    let RouterTold::Interfaces(mut told) = at.ask(RouterAsk::Interfaces, PATIENCE).await? else {
        return Err(other());
    };
    let SetupToldV1::Uplinks(uplinks) = at.set_up(SetupAskV1::Uplinks).await? else {
        return Err(other());
    };
    told.retain(|one| !one.dynamic);
    let wan = uplinks
        .into_iter()
        .find(|name| told.iter().any(|one| one.name == *name));
    Ok((told, wan))
}

/// What a router shall serve.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigureRequest {
    service_type: Services,
    /// The way to the internet; guessed when left out.
    #[serde(default, deserialize_with = "blank::option")]
    wan_interface: Option<String>,
    #[serde(default, deserialize_with = "blank::option")]
    hotspot_config: Option<HotspotConfig>,
    #[serde(default, deserialize_with = "blank::option")]
    pppoe_config: Option<PppoeConfig>,
    /// Whether a backup is saved on the router first: true when left out.
    #[serde(default, deserialize_with = "blank::option")]
    create_backup: Option<bool>,
    /// Whether API, SNMP and CoA are closed to all but the agents: true when left out.
    #[serde(default, deserialize_with = "blank::option")]
    configure_firewall: Option<bool>,
}

/// Where guests come in.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HotspotConfig {
    /// Ports, or one bridge.
    #[serde(default)]
    interfaces: Vec<String>,
    /// 10.5.50.1 when left out.
    #[serde(default, deserialize_with = "blank::option")]
    gateway_ip: Option<String>,
    /// .2 of the same network when left out.
    #[serde(default, deserialize_with = "blank::option")]
    pool_start: Option<String>,
    /// .254 when left out.
    #[serde(default, deserialize_with = "blank::option")]
    pool_end: Option<String>,
    /// 8.8.8.8 and 1.1.1.1 when left out; a list, or one text with commas.
    #[serde(default, deserialize_with = "blank::option")]
    dns_servers: Option<Names>,
}

/// A list, or one text with commas.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Names {
    /// One text.
    Text(String),
    /// A list.
    List(Vec<String>),
}

/// Where subscribers dial.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PppoeConfig {
    /// Ports, or one bridge.
    #[serde(default)]
    interfaces: Vec<String>,
    /// `easyisp-pppoe` when left out.
    #[serde(default, deserialize_with = "blank::option")]
    service_name: Option<String>,
    /// 10.10.10.1 when left out.
    #[serde(default, deserialize_with = "blank::option")]
    local_address: Option<String>,
    /// .2 of the same network when left out.
    #[serde(default, deserialize_with = "blank::option")]
    pool_start: Option<String>,
    /// .254 when left out.
    #[serde(default, deserialize_with = "blank::option")]
    pool_end: Option<String>,
}

impl ConfigureRequest {
    fn chosen(self) -> Result<Chosen, ApiError> {
        let address = |field: &str, text: Option<String>| {
            let Some(text) = text else { return Ok(None) };
            let parsed = text.trim().parse::<Ipv4Addr>();
            parsed
                .map(Some)
                .map_err(|_| ApiError::field(field, "must be an address such as 10.5.50.1"))
        };
        let hotspot = self.hotspot_config.unwrap_or_default();
        let pppoe = self.pppoe_config.unwrap_or_default();
        let dns = match hotspot.dns_servers {
            None => Vec::new(),
            Some(Names::List(names)) => names,
            Some(Names::Text(text)) => text.split(',').map(str::to_owned).collect(),
        };
        let dns = dns
            .into_iter()
            .filter(|text| !text.trim().is_empty())
            .take(4)
            .map(|text| address("hotspotConfig.dnsServers", Some(text)))
            .collect::<Result<Vec<_>, _>>()?;
        let few = |names: Vec<String>| names.into_iter().take(64).collect();
        Ok(Chosen {
            services: Some(self.service_type),
            release: None,
            wan: self.wan_interface,
            pppoe: few(pppoe.interfaces),
            hotspot: few(hotspot.interfaces),
            agents: Vec::new(),
            firewall: self.configure_firewall.unwrap_or(true),
            bridges: Vec::new(),
            service_name: pppoe.service_name,
            line: Range {
                address: address("pppoeConfig.localAddress", pppoe.local_address)?,
                first: address("pppoeConfig.poolStart", pppoe.pool_start)?,
                last: address("pppoeConfig.poolEnd", pppoe.pool_end)?,
            },
            guests: Range {
                address: address("hotspotConfig.gatewayIp", hotspot.gateway_ip)?,
                first: address("hotspotConfig.poolStart", hotspot.pool_start)?,
                last: address("hotspotConfig.poolEnd", hotspot.pool_end)?,
            },
            dns: dns.into_iter().flatten().collect(),
        })
    }
}

/// What came of a configuration.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Configured {
    /// It is configured, and it was tried.
    success: bool,
    message: String,
    /// What was done, line by line.
    results: Vec<String>,
    test_result: Tested,
}

/// `POST /api/wizard/{router}/configure`: has the router serve hotspot, PPPoE or both, through its site's agent.
///
/// First a backup is saved on the router; then it is configured step by step, read back and tried. What fails is
/// undone, so that the router is as it was, and `message` says what to do. 200 either way; `success` is also false
/// while it is still under way after half a minute: it goes on by itself, `status` tells. Asked again it changes only
/// what is otherwise. Errors: 400 naming the fields, 409 `WIZARD_RUNNING`, 422 `DEVICE_MODE` where the device's mode
/// keeps the hotspot off, 422 without an API user, 503 when the site is away, 502 or 504 when the router is.
#[utoipa::path(post, path = "/api/wizard/{router}/configure", tag = "Routers",
    params(("router" = RouterId, Path)), request_body = ConfigureRequest,
    responses((status = 200, body = Configured),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn configure(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
    Json(request): Json<ConfigureRequest>,
) -> Result<Json<Configured>, ApiError> {
    let begun = Instant::now();
    let backup = request.create_backup.unwrap_or(true);
    let chosen = request.chosen()?;
    let hands = Hands {
        db: &db,
        secrets: &secrets,
        live: &live,
        operator: &operator,
        router,
        now: clock.now(),
    };
    let site = hands.free().await?;
    let found = ports(hands.at(site)).await?;
    let chosen = fitted(chosen, &found)?;
    hands.begin(site, chosen, backup).await?;
    hands.wait(begun).await.map(Json)
}

/// `POST /api/wizard/{router}/auto-configure`: both services on every port that does not lead to the internet.
///
/// As `configure`, with everything guessed. Errors: 422 `NO_UPLINK` where no way to the internet is seen, 422
/// `NO_PORT` where no port is left.
#[utoipa::path(post, path = "/api/wizard/{router}/auto-configure", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = Configured),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn auto_configure(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
) -> Result<Json<Configured>, ApiError> {
    let begun = Instant::now();
    let hands = Hands {
        db: &db,
        secrets: &secrets,
        live: &live,
        operator: &operator,
        router,
        now: clock.now(),
    };
    let site = hands.free().await?;
    let (interfaces, wan) = ports(hands.at(site)).await?;
    let wan = wan.ok_or_else(|| {
        ApiError::unprocessable(
            "NO_UPLINK",
            "No way to the internet is seen on the router; choose the interfaces yourself (configure)",
        )
    })?;
    let agents = hands.agents_at(site).await?;
    let is_port = |one: &&InterfaceV1| {
        ["ether", "wlan", "wifi"].contains(&one.kind.as_str())
            && !one.disabled
            && one.name != wan
            && !agents.contains(&one.name)
    };
    let names: Vec<String> = interfaces
        .iter()
        .filter(is_port)
        .map(|one| one.name.clone())
        .collect();
    if names.is_empty() {
        return Err(ApiError::unprocessable(
            "NO_PORT",
            "No port is left for subscribers; choose the interfaces yourself (configure)",
        ));
    }
    let chosen = Chosen {
        services: Some(Services::Both),
        wan: Some(wan),
        pppoe: names.clone(),
        hotspot: names,
        firewall: true,
        ..Chosen::default()
    };
    hands.begin(site, chosen, true).await?;
    hands.wait(begun).await.map(Json)
}

/// `GET /api/wizard/{router}/test`: whether the router serves what was chosen, read back and tried now.
///
/// Errors: 422 `NOT_CONFIGURED`, 422 without an API user, 503 when the site is away, 502 or 504 when the router is.
#[utoipa::path(get, path = "/api/wizard/{router}/test", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = Tested),
        (status = 422, description = "Nobody chose yet what it serves, or it has no API user"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn test(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
) -> Result<Json<Tested>, ApiError> {
    let site = site_of(&db, &operator, router).await?;
    let at = at(&live, &operator, site, router, clock.now());
    let mut tx = db.begin(operator.tenant).await?;
    let row = store::find(&mut tx, router).await?;
    let chosen = row.and_then(|row| row.choice);
    let chosen = chosen.and_then(|choice| serde_json::from_value::<Chosen>(choice).ok());
    let known = known(&mut tx, &secrets, router).await?;
    drop(tx);
    let chosen = chosen.filter(|chosen| chosen.services.is_some());
    let chosen = chosen.ok_or_else(|| {
        ApiError::unprocessable(
            "NOT_CONFIGURED",
            "Nobody chose yet what this router shall serve; configure it first",
        )
    })?;
    let services = chosen.services.unwrap_or(Services::Both);
    let steps = rules::planned(known, chosen).map_err(refused)?;
    let work = Work::new(services, None, &steps, Vec::new());
    let (tested, _) = run::tried(at, &work).await?;
    Ok(Json(tested))
}

/// A choice that fits the router: its interfaces are there, and the way out is named.
fn fitted(
    mut chosen: Chosen,
    (interfaces, wan): &(Vec<InterfaceV1>, Option<String>),
) -> Result<Chosen, ApiError> {
    chosen.wan = chosen.wan.or_else(|| wan.clone());
    let of = |name: &str| interfaces.iter().find(|one| one.name == name);
    let wan = chosen.wan.iter().map(|name| ("wanInterface", name));
    let pppoe = chosen
        .pppoe
        .iter()
        .map(|name| ("pppoeConfig.interfaces", name));
    let hotspot = chosen
        .hotspot
        .iter()
        .map(|name| ("hotspotConfig.interfaces", name));
    for (field, name) in wan.chain(pppoe).chain(hotspot) {
        if of(name).is_none() {
            return Err(ApiError::field(
                field,
                format!("names {name:?}, which this router does not have"),
            ));
        }
    }
    let services = chosen.services.unwrap_or(Services::Both);
    for (unwanted, names, field) in [
        (Services::Hotspot, &chosen.pppoe, "pppoeConfig.interfaces"),
        (Services::Pppoe, &chosen.hotspot, "hotspotConfig.interfaces"),
    ] {
        if services != unwanted && names.is_empty() {
            return Err(ApiError::field(field, "names no interface; choose one"));
        }
    }
    let is_bridge = |name: &&String| of(name).is_some_and(|one| one.kind == "bridge");
    let named = chosen.pppoe.iter().chain(&chosen.hotspot);
    chosen.bridges = named.filter(is_bridge).cloned().collect();
    Ok(chosen)
}

/// What a configuration of one router needs.
struct Hands<'a> {
    db: &'a Database,
    secrets: &'a Secrets,
    live: &'a Live,
    operator: &'a Operator,
    router: RouterId,
    now: Timestamp,
}

impl<'a> Hands<'a> {
    fn at(&self, site: SiteId) -> At<'a> {
        at(self.live, self.operator, site, self.router, self.now)
    }

    /// The router's site, unless somebody works at the router.
    async fn free(&self) -> Result<SiteId, ApiError> {
        let mut tx = self.db.begin(self.operator.tenant).await?;
        let site = routers::site_of(&mut tx, self.router).await?;
        let site = site.ok_or(ApiError::NotFound("router"))?;
        match store::find(&mut tx, self.router).await? {
            Some(row) if row.stage.is_under_way() => Err(running()),
            Some(_) | None => Ok(site),
        }
    }

    /// The interfaces behind which the site's agents are, as the router's own tables say.
    async fn agents_at(&self, site: SiteId) -> Result<Vec<String>, ApiError> {
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
        let text = |row: &easyisp_shared::wire::setup::RowV1, name: &str| {
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
    ) -> Result<(Vec<easyisp_shared::wire::setup::BeforeV1>, Option<bool>), ApiError> {
        match self.at(site).set_up(SetupAskV1::Look(items)).await? {
            SetupToldV1::Found {
                before,
                hotspot_allowed,
            } => Ok((before, hotspot_allowed)),
            _ => Err(other()), // an answer to something else
        }
    }

    /// Looks what stands there, writes the work down and makes it due.
    async fn begin(&self, site: SiteId, chosen: Chosen, backup: bool) -> Result<(), ApiError> {
        let (router, now) = (self.router, self.now);
        let mut tx = self.db.begin(self.operator.tenant).await?;
        let known = known(&mut tx, self.secrets, router).await?;
        let row = store::find(&mut tx, router).await?;
        let left = match &row {
            Some(row) => run::open(&mut tx, self.secrets, router, row).await?,
            None => None,
        };
        drop(tx);
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
        // What an earlier run left half-way goes first.
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
        let mut work = Work::new(services, None, &steps, Vec::new());
        let (before, hotspot_allowed) = self.look(site, work.items()).await?;
        if services != Services::Pppoe && hotspot_allowed == Some(false) {
            return Err(ApiError::unprocessable(
                "DEVICE_MODE",
                format!(
                    "The router serves no hotspot in its device-mode. {}",
                    super::super::plan::advice("device-mode")
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
            details: "Configures it".to_owned(),
            after: Some(choice),
            ..Audit::new(Action::RouterSetup, "router", router, &name)
        };
        audit::record(&mut tx, &Actor::from(self.operator), audit, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Waits for the end, as long as a request may.
    async fn wait(&self, begun: Instant) -> Result<Configured, ApiError> {
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

fn at<'a>(
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
        which: easyisp_shared::wire::setup::WhichV1::Found {
            key: key.to_owned(),
            value,
            lenient: false,
        },
        fields: Vec::new(),
    }
}

/// An answer to another question.
fn other() -> ApiError {
    ApiError::BadGateway {
        message: "The site answered something else".to_owned(),
    }
}

/// How long a router has for a question that a person waits for.
const PATIENCE: Duration = Duration::from_secs(8);
/// Below the time limit of a request.
const LONGEST: Duration = Duration::from_secs(24);
/// How often to look whether it is through.
const LOOK: Duration = Duration::from_millis(50);
