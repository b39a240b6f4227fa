//! What a router shall serve: its interfaces, the configuration, and whether it works.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use axum::extract::State;
use easyisp_shared::id::RouterId;
use easyisp_shared::setup::free_ports;
use easyisp_shared::time::Clock;
use easyisp_shared::wire::router::{InterfaceV1, RouterAsk, RouterTold};
use easyisp_shared::wire::setup::{SetupAskV1, SetupToldV1};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::plan::{Tested, Work};
use super::super::rules::{self, Chosen, Range, Services};
use super::super::run::{self, At};
use super::super::store;
use super::begin::site_of;
use super::hands::{Hands, Left, at};
use super::through::Until;
use super::{kept, known, last, refused};
use crate::api::{Json, Path, blank};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::routers::Writer;
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
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigureRequest {
    service_type: Services,
    /// The way to the internet; guessed when left out.
    #[serde(default, deserialize_with = "blank::option")]
    wan_interface: Option<String>,
    /// All ways to the internet of a router with several lines, up to four, in place of `wanInterface`: what goes out by
    /// any of them gets an address of that line.
    #[serde(default)]
    wan_interfaces: Vec<String>,
    #[serde(default, deserialize_with = "blank::option")]
    hotspot_config: Option<HotspotConfig>,
    #[serde(default, deserialize_with = "blank::option")]
    pppoe_config: Option<PppoeConfig>,
    /// Whether a backup is saved on the router first: true when left out. It is encrypted, by the router's RADIUS secret.
    /// Where the agents' login may not write files there it goes on without one, and `message` says so.
    #[serde(default, deserialize_with = "blank::option")]
    create_backup: Option<bool>,
    /// Whether API, SNMP and CoA are closed to all but the agents; when left out as it was chosen last, else true.
    #[serde(default, deserialize_with = "blank::option")]
    configure_firewall: Option<bool>,
    /// Addresses of one or two agents as the router sees them; when left out those that it was begun with, else those
    /// of its site.
    #[serde(default)]
    agents: Vec<String>,
    /// Whether what an earlier configuration left half-way stays as it is: it is undone first when left out.
    #[serde(default, deserialize_with = "blank::option")]
    forget_left: Option<bool>,
    /// Its DHCP servers by name that are to ask for the leases of DHCP customers. Counts where the router's `dhcpRadius`
    /// is on.
    #[serde(default)]
    dhcp_servers: Vec<String>,
    /// How long the answer may wait for the end: up to 24, as long as that when left out.
    #[serde(default, deserialize_with = "blank::option")]
    wait_seconds: Option<u64>,
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
    /// Name servers that the router asks from then on (`/ip dns`). Those of `pppoeConfig` when left out, else 8.8.8.8 and
    /// 1.1.1.1; a list, or one text with commas.
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
    /// Name servers that subscribers are told, and that the router itself asks from then on (`/ip dns`). A router asks the
    /// same for all: where `hotspotConfig` names some, those; 8.8.8.8 and 1.1.1.1 when none is named. A list, or one text
    /// with commas.
    #[serde(default, deserialize_with = "blank::option")]
    dns_servers: Option<Names>,
}

impl ConfigureRequest {
    /// What is chosen; what is left out and was chosen before is as it was.
    fn chosen(self, last: Chosen) -> Result<Chosen, ApiError> {
        let address = |field: &str, text: Option<String>| {
            let Some(text) = text else { return Ok(None) };
            let parsed = text.trim().parse::<Ipv4Addr>();
            parsed
                .map(Some)
                .map_err(|_| ApiError::field(field, "must be an address such as 10.5.50.1"))
        };
        let hotspot = self.hotspot_config.unwrap_or_default();
        let pppoe = self.pppoe_config.unwrap_or_default();
        let (field, named) = match (hotspot.dns_servers, pppoe.dns_servers) {
            (None, Some(named)) => ("pppoeConfig.dnsServers", Some(named)),
            (named, _) => ("hotspotConfig.dnsServers", named), // of PPPoE too
        };
        let dns = match named {
            None => Vec::new(),
            Some(Names::List(names)) => names,
            Some(Names::Text(text)) => text.split(',').map(str::to_owned).collect(),
        };
        let dns = dns
            .into_iter()
            .filter(|text| !text.trim().is_empty())
            .take(4)
            .map(|text| address(field, Some(text)))
            .collect::<Result<Vec<_>, _>>()?;
        let few = |names: Vec<String>| -> Vec<String> { names.into_iter().take(64).collect() };
        let mut ways = few(self.wan_interfaces).into_iter();
        Ok(Chosen {
            services: Some(self.service_type),
            release: None,
            ran: None,
            wan: ways.next().or(self.wan_interface),
            more_wans: ways.collect(),
            pppoe: few(pppoe.interfaces),
            hotspot: few(hotspot.interfaces),
            dhcp_servers: few(self.dhcp_servers),
            agents: match self.agents.is_empty() {
                true => last.agents,
                false => few(self.agents),
            },
            firewall: self.configure_firewall.unwrap_or(last.firewall),
            beside: false,
            cloud: last.cloud,
            pages: last.pages,
            mute: last.mute,
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

    /// Whether this is what is being configured: what is left out, or found out on the way, is as it is there.
    fn names(self, under_way: &Chosen) -> bool {
        let chosen = self.chosen(under_way.clone());
        chosen.is_ok_and(|chosen| {
            let chosen = Chosen {
                wan: chosen.wan.or_else(|| under_way.wan.clone()),
                release: under_way.release,
                ran: under_way.ran,
                bridges: under_way.bridges.clone(),
                ..chosen
            };
            chosen == *under_way
        })
    }
}

/// What came of a configuration.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Configured {
    /// It is configured, and it was tried.
    pub(super) success: bool,
    /// It is under way still, and goes on by itself.
    pub(super) in_progress: bool,
    pub(super) message: String,
    /// What was done, line by line.
    pub(super) results: Vec<String>,
    pub(super) test_result: Tested,
}

/// `POST /api/wizard/{router}/configure`: has the router serve hotspot, PPPoE or both, through its site's agent.
///
/// First a backup is saved on the router; then it is configured step by step, read back and tried. What fails is
/// undone, so that the router is as it was, and `message` says what to do. 200 either way; what is still under way when
/// the time of a request is over (or `waitSeconds`) is `inProgress` and no success yet: it goes on by itself, `status`
/// tells, and the same request sent again waits for its end. Sent after that it changes only what is otherwise. Errors: 400 naming the fields, 409 `WIZARD_RUNNING` while it is configured otherwise, 409 `ROUTER_BUSY` while a repair
/// or a rollout writes to it, 422 `DEVICE_MODE` where the device's mode keeps the hotspot off, 422 `AGENTS_PORT` where an interface
/// leads to an agent, 422 `AGENT_NOT_LISTED` where the firewall would shut the agent out, 422 `HALF_CONFIGURED` where
/// what an earlier run left does not go back (`forgetLeft` leaves it), 422 without an API user, 503 when the site is
/// away, 502 or 504 when the router is.
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
    let until = Until::asked(Instant::now(), request.wait_seconds)?;
    let hands = Hands {
        writer: Writer::beginning(db.entropy()),
        db,
        secrets,
        live,
        operator,
        router,
        now: clock.now(),
    };
    let again = request.clone();
    let is_same = move |under_way: &Chosen| again.clone().names(under_way);
    let configure = move |hands: Hands| async move {
        let backup = request.create_backup.unwrap_or(true);
        let left = match request.forget_left {
            Some(true) => Left::Forget,
            Some(false) | None => Left::Undo,
        };
        let site = site_of(&hands.db, &hands.operator, router).await?;
        let chosen = request.chosen(hands.last().await?)?;
        let found = ports(hands.at(site)).await?;
        let chosen = fitted(chosen, &found)?;
        hands.begin(site, chosen, (backup, left)).await
    };
    let through = hands.through_once(until, is_same, configure).await;
    through.map(Json)
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
    let until = Until::the_limit(Instant::now());
    let hands = Hands {
        writer: Writer::beginning(db.entropy()),
        db,
        secrets,
        live,
        operator,
        router,
        now: clock.now(),
    };
    // Whatever is being configured is what it was to guess.
    let through = hands.through_once(until, |_| true, guessed).await;
    through.map(Json)
}

/// Both services on every port that does not lead to the internet.
async fn guessed(hands: Hands) -> Result<(), ApiError> {
    let site = site_of(&hands.db, &hands.operator, hands.router).await?;
    let (interfaces, wan) = ports(hands.at(site)).await?;
    let wan = wan.ok_or_else(|| {
        ApiError::unprocessable(
            "NO_UPLINK",
            "No way to the internet is seen on the router; choose the interfaces yourself (configure)",
        )
    })?;
    let last = hands.last().await?;
    let (known, around) = hands.surroundings(site, &last.agents).await?;
    let asked: Vec<Ipv4Addr> = match last.agents.is_empty() {
        true => rules::nearest(&known),
        false => last
            .agents
            .iter()
            .filter_map(|text| rules::v4(text))
            .collect(),
    };
    let agents = hands.agents_at(site, &asked, &around).await?;
    let names = free_ports(&interfaces, &wan, &agents);
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
        agents: last.agents,
        firewall: last.firewall,
        cloud: last.cloud,
        pages: last.pages,
        mute: last.mute,
        ..Chosen::default()
    };
    hands.begin(site, chosen, (true, Left::Undo)).await
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
    // What it serves by; where it never came so far, what was tried last.
    let chosen = row.as_ref().and_then(|row| kept(row).or_else(|| last(row)));
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
    let more = chosen.more_wans.iter();
    let wan = wan.chain(more.map(|name| ("wanInterfaces", name)));
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

/// An answer to another question.
pub(super) fn other() -> ApiError {
    ApiError::BadGateway {
        message: "The site answered something else".to_owned(),
    }
}

/// How long a router has for a question that a person waits for.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);
