//! What routers call: they show a token that is good once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::Method;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use easyisp_shared::id::{RouterId, TenantId};
use easyisp_shared::setup::API_USER;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::question::{AskFailure, Question};
use easyisp_shared::wire::router::RouterAsk;
use serde::Deserialize;
use utoipa::IntoParams;

use super::super::plan::{self, Stage};
use super::super::rules::{self, Chosen};
use super::super::store::{self, Purpose};
use super::begin::TOKEN_LIFE;
use super::{kept, known, last, refused};
use crate::api::{ClientAddress, Json, Path, Query, Said};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Token;
use crate::config::Config;
use crate::db::Database;
use crate::error::ApiError;
use crate::monitoring;
use crate::routers::{self, Provisioning, Status};
use crate::secrets::Secrets;
use crate::sites::{self, Live, Silence};

/// `GET /provision/{token}`: the script that brings a router up, for who has the token of the wizard's command: once,
/// within half an hour. It ends with a call of `GET /api/wizard/{router}/provision-complete`.
#[expect(clippy::too_many_arguments, reason = "a handler names what it needs")]
pub async fn script(
    method: Method,
    ClientAddress(address): ClientAddress,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(config): State<Arc<Config>>,
    State(live): State<Live>,
    Path(token): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    let now = clock.now();
    if method != Method::GET {
        return Err(over()); // who only looks uses nothing up
    }
    let (token, tenant, router) = shown(&db, &token, Purpose::Fetch, now).await?;
    let is_shut = is_shut(&db, &live, tenant, router, now).await?;
    let mut tx = db.begin(tenant).await?;
    let name = routers::lock_named(&mut tx, router)
        .await?
        .ok_or_else(over)?;
    if store::take_token(&mut tx, token.digest()).await?.is_none() {
        return Err(over());
    }
    let row = store::find(&mut tx, router).await?.ok_or_else(over)?;
    let chosen = last(&row);
    monitoring::watch(&mut tx, &secrets, router, &Actor::system(), now).await?;
    let mut known = known(&mut tx, &secrets, router).await?;
    // A board that was reset, or another one in its place, makes a certificate of its own: by a new password its agents
    // meet it anew. They learn it once it calls, as its script may not come to its end. Where they got in since it called
    // last nothing is put at risk.
    let entered_at = routers::entered_at(&mut tx, router).await?;
    let is_entered = !is_shut && entered_at.is_some() && entered_at >= row.called_at;
    let password = match &mut known.api {
        Some((user, password)) if user == API_USER && !is_entered => {
            *password = routers::random_secret(&tx.entropy());
            Some(routers::seal_login(&mut tx, &secrets, router, password).await?)
        }
        Some(_) | None => None,
    };
    let (key, text) = Token::new(&tx.entropy());
    let ends = now.plus(TOKEN_LIFE);
    let purpose = (Purpose::Callback, password.as_deref());
    store::put_token(&mut tx, router, purpose, key.digest(), ends).await?;
    let url = config.http.public_url.as_deref().unwrap_or_default();
    let url = url.trim_end_matches('/');
    let callback = format!("{url}/api/wizard/{router}/provision-complete?key={text}");
    let script = rules::written_first(known, chosen.unwrap_or_default(), &callback);
    let script = script.map_err(refused)?;
    let message = format!("The router took its script, from {address}, and imports it");
    store::note(&mut tx, router, Stage::Fetched, &message, now).await?;
    let audit = Audit {
        details: format!(
            "The script with its secrets was taken from {address}, by the command of the wizard"
        ),
        ..Audit::new(Action::RouterScript, "router", router, &name)
    };
    audit::record(&mut tx, &Actor::system(), audit, now).await?;
    tx.commit().await?;
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, script))
}

/// Whether an agent that is asked now does not get in: a board that was reset a minute ago is not missed by the agents'
/// own rounds yet. Who is not there, or too busy, says nothing of that.
async fn is_shut(
    db: &Database,
    live: &Live,
    tenant: TenantId,
    router: RouterId,
    now: Timestamp,
) -> Result<bool, ApiError> {
    let mut tx = db.begin(tenant).await?;
    let site = routers::site_of(&mut tx, router).await?;
    drop(tx);
    let Some(site) = site else {
        return Ok(false);
    };
    let ask = RouterAsk::System;
    let question = Question::Router { router, ask };
    let asked = live.ask(tenant, site, &question, LOOKS, now);
    Ok(matches!(
        asked.await,
        Err(Silence::Failed {
            failure: AskFailure::Unreachable(_) | AskFailure::Refused(_),
            ..
        })
    ))
}

/// A router waits for its script meanwhile.
const LOOKS: Duration = Duration::from_secs(4);

/// What a router says when it is through.
#[derive(Deserialize, IntoParams)]
pub struct Complete {
    /// From its script; always needed.
    #[serde(default)]
    key: String,
    /// How many steps failed.
    #[serde(default)]
    failed: Option<u16>,
    /// How many of its logins the script made: its agents' own, or none where it is somebody else's.
    #[serde(default)]
    login: Option<u16>,
    /// Its addresses, as it has them.
    #[serde(default)]
    addresses: Option<String>,
}

/// `GET /api/wizard/{router}/provision-complete`: a router says, once, that it imported its script.
///
/// It is where the call comes from (a proxy's word counts for trusted proxies only); behind one public address it is
/// the address of its own that it tells under its key and that shares a network with its agent. Errors: 404 for a
/// key that is missing, wrong, another router's, over, or was used.
#[utoipa::path(get, path = "/api/wizard/{router}/provision-complete", tag = "Routers",
    params(("router" = RouterId, Path), Complete), responses((status = 200, body = Said)))]
pub async fn complete(
    ClientAddress(address): ClientAddress,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(router): Path<RouterId>,
    Query(complete): Query<Complete>,
) -> Result<Json<Said>, ApiError> {
    let now = clock.now();
    let (key, tenant, whose) = shown(&db, &complete.key, Purpose::Callback, now).await?;
    if whose != router {
        return Err(over());
    }
    let mut tx = db.begin(tenant).await?;
    let name = routers::lock_named(&mut tx, router)
        .await?
        .ok_or_else(over)?;
    let password = store::take_token(&mut tx, key.digest()).await?;
    let password = password.ok_or_else(over)?;
    if let Some(sealed) = password.filter(|_| complete.login == Some(1)) {
        routers::renew_login(&mut tx, router, &sealed, now).await?;
    }
    let row = store::find(&mut tx, router).await?.ok_or_else(over)?;
    let site = routers::site_of(&mut tx, router).await?.ok_or_else(over)?;
    let chosen = last(&row).unwrap_or_default();
    let listening = sites::agents::store::listening(&mut tx, site).await?;
    let mut agents: Vec<String> = listening
        .into_iter()
        .flat_map(|one| one.addresses)
        .collect();
    agents.extend(chosen.agents.iter().cloned());
    if complete.failed.unwrap_or(0) == 0
        && let Some(kept) = kept(&row)
    {
        // Its agents and its firewall are from here on as its script made them.
        let firewall = match chosen.beside {
            true => kept.firewall,
            false => chosen.firewall,
        };
        let kept = Chosen {
            agents: chosen.agents,
            firewall,
            cloud: chosen.cloud,
            ..kept
        };
        let kept = serde_json::to_value(&kept).map_err(ApiError::internal)?;
        store::keep(&mut tx, router, &kept).await?;
    }
    let told = complete.addresses.as_deref().unwrap_or_default();
    let place: IpAddr = plan::whereabouts(address, told, &agents);
    let brief = routers::brief(&mut tx, router, now).await?;
    let before = brief.filter(|brief| brief.status != Status::Offline);
    let place = plan::stays(before.map(|brief| brief.address), place, &agents);
    routers::placed(&mut tx, router, place, now).await?;
    store::note_call(&mut tx, router, &address.to_string(), now).await?;
    let (how, message) = match complete.failed.unwrap_or(0) {
        0 => (
            Provisioning::Provisioned,
            format!("The router is set up and called from {address}; choose what it shall serve"),
        ),
        failed => (
            Provisioning::Failed,
            format!(
                "The router called from {address}: {failed} steps of its script failed (they stand in its log, \
                 /log print; where the hotspot is among them, look at /system device-mode print and, where that says \
                 hotspot: no, type /system device-mode update hotspot=yes and press its button or cut its power within \
                 5 minutes); put that right, take a new command and paste it"
            ),
        ),
    };
    routers::provisioning(&mut tx, router, how).await?;
    store::note(&mut tx, router, Stage::Called, &message, now).await?;
    let audit = Audit {
        details: message,
        ..Audit::new(Action::RouterSetup, "router", router, &name)
    };
    audit::record(&mut tx, &Actor::system(), audit, now).await?;
    tx.commit().await?;
    Ok(Json(Said::done("Thank you; go on in the wizard")))
}

/// Whose token it is.
async fn shown(
    db: &Database,
    text: &str,
    purpose: Purpose,
    now: Timestamp,
) -> Result<(Token, TenantId, RouterId), ApiError> {
    let token = Token::parse(text).ok_or_else(over)?;
    let mut directory = db.glance().await?;
    let whose = store::router_of(&mut directory, token.digest(), purpose, now).await?;
    let (tenant, router) = whose.ok_or_else(over)?;
    Ok((token, tenant, router))
}

/// The same for what never was, what is over and what was used: nobody learns which.
fn over() -> ApiError {
    ApiError::NotFound(
        "command: each is good once, for half an hour; take a new one from the wizard",
    )
}
