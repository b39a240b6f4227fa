//! `/api/wizard` and `/api/nas/{router}/config`.

pub mod alive;
pub mod back;
pub mod begin;
pub mod called;
pub mod configure;
mod hands;
pub mod pages;
pub mod preview;
pub mod register;
pub mod system;
mod through;
pub mod wireless;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use easyisp_shared::id::RouterId;
use easyisp_shared::setup::{API_PORT, API_USER, Fault, Release, Setup};
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::drift;
use super::rules::{self, Chosen, Known, Services};
use super::store;
use crate::api::{Json, Path, Query};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::config::Config as Settings;
use crate::db::{Database, Tx};
use crate::error::{ApiError, FieldError};
use crate::monitoring;
use crate::routers;
use crate::secrets::Secrets;
use crate::sites;
use crate::tenants;

/// What a router is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RouterChoice)]
pub struct Choice {
    /// `hotspot`, `pppoe` or `both`, the default.
    service_type: Option<Services>,
    /// RouterOS 6 or 7; without it what the router said, else 7.
    release: Option<u8>,
    /// The interface to the internet.
    wan_interface: Option<String>,
    /// Where subscribers dial, commas between. Everything but the server is set up without it.
    pppoe_interfaces: Option<String>,
    /// Where guests come in, commas between. Everything but the server is set up without it.
    hotspot_interfaces: Option<String>,
    /// Its DHCP servers by name, commas between, that are to ask for the leases of DHCP customers. Counts where the
    /// router's `dhcpRadius` is on.
    dhcp_servers: Option<String>,
    /// Addresses of one or two agents, commas between; without it those of the router's site.
    agents: Option<String>,
    /// Whether API, SNMP and CoA are closed to all but the agents: true without it.
    configure_firewall: Option<bool>,
}

impl From<Choice> for Chosen {
    fn from(choice: Choice) -> Chosen {
        let list = |text: Option<String>| -> Vec<String> {
            let text = text.unwrap_or_default();
            let names = text
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty());
            names.take(64).map(str::to_owned).collect()
        };
        Chosen {
            services: choice.service_type,
            release: choice.release,
            wan: choice.wan_interface.filter(|name| !name.trim().is_empty()),
            pppoe: list(choice.pppoe_interfaces),
            hotspot: list(choice.hotspot_interfaces),
            dhcp_servers: list(choice.dhcp_servers),
            agents: list(choice.agents),
            firewall: choice.configure_firewall.unwrap_or(true),
            ..Chosen::default()
        }
    }
}

/// A router's script. It holds the router's secrets.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Script {
    router_id: RouterId,
    router_name: String,
    /// The RADIUS secret.
    secret: String,
    /// What makes the router read the script, once its file is among the router's files.
    provision_command: String,
    /// Text of a `.rsc` file.
    script: String,
}

/// The same without the secret by itself.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    router_id: RouterId,
    router_name: String,
    /// Text of a `.rsc` file. It holds the router's secrets.
    script: String,
}

/// `GET /api/wizard/{router}/script`: the whole set-up of a router as a RouterOS script: name and time, the
/// agents' login, RADIUS, CoA, PPPoE, hotspot, walled garden, SNMP, firewall, log.
///
/// Without a choice it is that of the wizard, as far as it came to its end. A router that is not watched over SNMP yet is watched from here on, by version 3 with passwords of its own,
/// and one without a whole login for its agents gets one; a login that was never used yet is looked for at the port that
/// the script opens, 8729 in TLS; at RouterOS 6 it stays where it was entered.
/// Imported twice it changes nothing. It holds secrets, so that the trail says who took it. Errors: 400 naming
/// what is wrong with the choice, 409 `NO_AGENT` where the router's site has no agent that listens on its network, 404.
#[utoipa::path(get, path = "/api/wizard/{router}/script", tag = "Routers",
    params(("router" = RouterId, Path), Choice), responses((status = 200, body = Script),
        (status = 409, description = "No agent of its site is known to listen")))]
pub async fn script(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(config): State<Arc<Settings>>,
    Path(router): Path<RouterId>,
    Query(choice): Query<Choice>,
) -> Result<Json<Script>, ApiError> {
    let parts = (&db, &secrets, &clock, &*config);
    write(&operator, parts, router, choice).await.map(Json)
}

/// `GET /api/nas/{router}/config`: the same script, without the rest.
#[utoipa::path(get, path = "/api/nas/{router}/config", tag = "Routers",
    params(("router" = RouterId, Path), Choice), responses((status = 200, body = Config),
        (status = 409, description = "No agent of its site is known to listen")))]
pub async fn config(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(config): State<Arc<Settings>>,
    Path(router): Path<RouterId>,
    Query(choice): Query<Choice>,
) -> Result<Json<Config>, ApiError> {
    let parts = (&db, &secrets, &clock, &*config);
    let whole = write(&operator, parts, router, choice).await?;
    Ok(Json(Config {
        router_id: whole.router_id,
        router_name: whole.router_name,
        script: whole.script,
    }))
}

async fn write(
    operator: &Operator,
    (db, secrets, clock, config): (&Database, &Secrets, &Clock, &Settings),
    router: RouterId,
    choice: Choice,
) -> Result<Script, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let actor = Actor::from(operator);
    monitoring::watch(&mut tx, secrets, router, &actor, clock.now()).await?;
    let mut chosen = chosen(&mut tx, router, choice).await?;
    let release = {
        let known = known(&mut tx, secrets, router).await?;
        rules::release(&known, &chosen).map_err(refused)?
    };
    enter_login(&mut tx, secrets, (router, release), &actor, clock.now()).await?;
    let known = known(&mut tx, secrets, router).await?;
    let alone = known.agents.is_empty();
    let (name, secret) = (known.name.clone(), known.secret.clone());
    chosen.cloud = chosen.cloud.or_else(|| config.http.public_url.clone());
    let alone = alone && chosen.agents.is_empty();
    let script = rules::written(known, chosen).map_err(|faults| match alone {
        true => ApiError::conflict("NO_AGENT", NO_AGENT),
        false => refused(faults),
    })?;
    let audit = Audit {
        details: "Took the script that sets it up, with its secrets".to_owned(),
        ..Audit::new(Action::RouterScript, "router", router, &name)
    };
    audit::record(&mut tx, &actor, audit, clock.now()).await?;
    tx.commit().await?;
    Ok(Script {
        router_id: router,
        provision_command: format!("/import file-name={}", rules::file_name(&name)),
        router_name: name,
        secret,
        script,
    })
}

/// Enters a login for the agents where none is whole, so that the script makes it on the router; one that nobody got in
/// with yet is looked for where the script opens it.
async fn enter_login(
    tx: &mut Tx,
    secrets: &Secrets,
    (router, release): (RouterId, Release),
    actor: &Actor,
    now: Timestamp,
) -> Result<(), ApiError> {
    let password = routers::random_secret(&tx.entropy());
    let login = (API_USER, password.as_str(), API_PORT);
    // RouterOS 6 may have no cipher that is safe enough: who entered 8728 for it meant that.
    let may_move = release != Release::V6;
    let entered = routers::enter_login(tx, secrets, router, login, may_move, now).await?;
    let Some((name, how)) = entered else {
        return Ok(());
    };
    let audit = Audit {
        details: how.to_owned(),
        ..Audit::new(Action::RouterUpdate, "router", router, &name)
    };
    audit::record(tx, actor, audit, now).await?;
    Ok(())
}

/// Without an agent there is nobody whom the router could ask.
pub(super) const NO_AGENT: &str = "No agent of this site is known to listen; enrol one beside the router, or a hosted one (Sites), and see that \
     [peers] listen or announce names its address";

/// What a router is to be by this choice, without one by that of the wizard; and which release it has.
pub async fn setup(
    tx: &mut Tx,
    secrets: &Secrets,
    router: RouterId,
    choice: Choice,
) -> Result<(Setup, Release), ApiError> {
    let known = known(tx, secrets, router).await?;
    let chosen = chosen(tx, router, choice).await?;
    rules::looked_for(known, chosen).map_err(refused)
}

/// What of a router differs from what the wizard made of it.
pub enum Differences {
    /// The wizard configured nothing yet.
    NotOurs,
    /// Nobody can say at present: it is being configured, or its set-up cannot be any more (no agent listens).
    NotNow,
    /// These.
    Found(Vec<String>),
}

/// Compares a router that the wizard configured with that, by a version of its configuration.
pub async fn differences(
    tx: &mut Tx,
    secrets: &Secrets,
    router: RouterId,
    version: &str,
) -> Result<Differences, ApiError> {
    let row = store::find(tx, router).await?;
    let Some(chosen) = row.as_ref().and_then(kept) else {
        return Ok(Differences::NotOurs);
    };
    if row.is_some_and(|row| row.stage.is_under_way()) {
        return Ok(Differences::NotNow);
    }
    let known = known(tx, secrets, router).await?;
    Ok(match rules::planned(known, chosen) {
        Ok(steps) => Differences::Found(drift::differences(&steps, version)),
        Err(_) => Differences::NotNow,
    })
}

/// Whether the wizard configured a router, and tried it. 404 for a router of somebody else.
pub async fn is_configured(tx: &mut Tx, router: RouterId) -> Result<bool, ApiError> {
    routers::site_of(tx, router)
        .await?
        .ok_or(ApiError::NotFound("router"))?;
    Ok(store::find(tx, router)
        .await?
        .as_ref()
        .and_then(kept)
        .is_some())
}

/// What is chosen now; where nothing is, what the wizard configured last and tried.
async fn chosen(tx: &mut Tx, router: RouterId, choice: Choice) -> sqlx::Result<Chosen> {
    if choice == Choice::default()
        && let Some(kept) = store::find(tx, router).await?.as_ref().and_then(kept)
    {
        return Ok(kept);
    }
    Ok(choice.into())
}

/// What a router was configured with last and serves by.
pub(super) fn kept(row: &store::Row) -> Option<Chosen> {
    let kept = serde_json::from_value::<Chosen>(row.kept.clone()?).ok();
    kept.filter(|kept| kept.services.is_some())
}

/// What was chosen of it last, whatever came of it.
fn last(row: &store::Row) -> Option<Chosen> {
    serde_json::from_value(row.choice.clone()?).ok()
}

fn refused(faults: Vec<Fault>) -> ApiError {
    let error = |fault: Fault| FieldError {
        field: fault.field.to_owned(),
        message: fault.message,
    };
    ApiError::fields(faults.into_iter().map(error).collect())
}

pub(super) async fn known(
    tx: &mut Tx,
    secrets: &Secrets,
    router: RouterId,
) -> Result<Known, ApiError> {
    let opened = routers::opened(tx, secrets, router).await?;
    let routers::Opened {
        draft,
        clear,
        site,
        version,
    } = opened.ok_or(ApiError::NotFound("router"))?;
    let agents = sites::agents::store::listening(tx, site).await?;
    let (snmp, snmp_port) = match monitoring::entered(tx, secrets, router).await? {
        Some((snmp, port)) => (Some(snmp), port),
        None => (None, 161),
    };
    Ok(Known {
        name: draft.name,
        secret: clear.secret,
        coa_port: draft.coa_port,
        dhcp_radius: draft.dhcp_radius,
        api: draft.api_username.zip(clear.api_password),
        snmp,
        snmp_port,
        version,
        time_zone: tenants::time_zone(tx).await?,
        portal_url: tenants::portal_url(tx).await?,
        agents: agents.into_iter().map(|agent| agent.addresses).collect(),
        address: match draft.ip_address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        },
        networks: Vec::new(),
        tenant: tx.tenant(),
        alive: super::alive::token(secrets, tx.tenant(), router).into(),
    })
}
