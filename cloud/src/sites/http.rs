//! Sites over HTTP.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use easyisp_shared::id::{AgentId, RouterId, SiteId};
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::agents::store::Waiting;
use super::agents::{self, Standing};
use super::store::{self, AgentRow, SiteRow};
use super::warnings::{self, Warning};
use crate::api::{Idempotency, Json, Page, Path, Query};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::config::Config;
use crate::db::{Database, Tx};
use crate::error::{ApiError, ErrorEnvelope};
use crate::secrets::Secrets;

/// An agent that was heard of within this time is connected: links die after 60 s of silence.
const CONNECTED: Duration = Duration::from_secs(90);

/// A place with routers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Site {
    /// The site.
    pub id: SiteId,
    /// What people call it.
    pub name: String,
    /// How many routers it has.
    pub routers: i64,
    /// Whether an agent of it is connected.
    pub connected: bool,
    /// Its agents, the one heard of last first.
    pub agents: Vec<SiteAgent>,
    /// Boxes that wait to be confirmed, where the tenant has them confirmed.
    pub waiting: Vec<WaitingAgent>,
    /// Who asks its agents and is no router of it, the loudest first: to be added, or turned away.
    pub unknown_routers: Vec<UnknownRouter>,
    /// What a person should look at, of its boxes and its routers, the longest known first.
    pub warnings: Vec<Warning>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Somebody who sends RADIUS requests from an address that is no router's of the site. He gets no answer.
#[derive(Clone, Serialize, ToSchema, PartialEq, Eq, Debug)]
#[serde(rename_all = "camelCase")]
pub struct UnknownRouter {
    /// Where he asks from.
    pub address: String,
    /// How often, since the agent's start.
    pub requests: u64,
    /// What to ask the operator.
    pub message: String,
}

/// A box that used a join token and waits to be confirmed: it has no certificate and nothing of the site.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitingAgent {
    /// What the agent will be called.
    pub id: AgentId,
    /// SHA-256 of its public key, as it shows it too.
    pub fingerprint: String,
    /// What it calls itself.
    pub host: String,
    /// Of its program.
    pub version: String,
    /// Whose place it takes.
    pub replaces: Option<AgentId>,
    /// When it showed the token.
    pub asked_at: Timestamp,
    /// Until when it may be confirmed.
    pub expires_at: Timestamp,
    /// When it was confirmed; it joins within seconds where it is still there.
    pub confirmed_at: Option<Timestamp>,
}

impl From<Waiting> for WaitingAgent {
    fn from(row: Waiting) -> WaitingAgent {
        WaitingAgent {
            id: row.id,
            fingerprint: hex::encode(row.key_digest),
            host: row.host,
            version: row.version,
            replaces: row.replaces,
            asked_at: row.asked_at,
            expires_at: row.expires_at,
            confirmed_at: row.confirmed_at,
        }
    }
}

/// The state of an agent as the cloud last heard of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteAgent {
    /// The agent.
    pub id: AgentId,
    /// Of its program.
    pub version: String,
    /// When it was heard of last.
    pub last_seen: Option<Timestamp>,
    /// Whether it is connected.
    pub connected: bool,
    /// Records it has still to report.
    pub queue_depth: Option<i64>,
    /// How far its clock is from ours, in milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// SHA-256 of its certificate.
    pub fingerprint: String,
    /// When it joined.
    pub enrolled_at: Timestamp,
    /// When another box was seen with its identity: since then neither is let in. Revoke it, and enrol the
    /// real box anew.
    pub cloned_at: Option<Timestamp>,
}

impl SiteAgent {
    fn of(row: AgentRow, now: Timestamp) -> SiteAgent {
        SiteAgent {
            id: row.id,
            version: row.version,
            last_seen: row.last_seen_at,
            connected: row
                .last_seen_at
                .is_some_and(|seen| now.since(seen) < CONNECTED),
            queue_depth: row.queue_depth,
            clock_offset_ms: row.clock_offset_ms,
            fingerprint: row.fingerprint,
            enrolled_at: row.enrolled_at,
            cloned_at: row.cloned_at,
        }
    }
}

impl Site {
    fn of(
        row: SiteRow,
        (agents, waiting): (Vec<AgentRow>, Vec<Waiting>),
        names: &Names,
        now: Timestamp,
    ) -> Site {
        let unknown_routers = unknown_routers(&agents);
        let warnings = warnings(row.id, &agents, names, now);
        let agents = agents.into_iter().map(|agent| SiteAgent::of(agent, now));
        let agents: Vec<SiteAgent> = agents.collect();
        Site {
            id: row.id,
            name: row.name,
            routers: row.routers,
            connected: agents.iter().any(|agent| agent.connected),
            agents,
            waiting: waiting.into_iter().map(WaitingAgent::from).collect(),
            unknown_routers,
            warnings,
            created_at: row.created_at,
        }
    }
}

/// What routers are called, and where they stand.
type Names = HashMap<RouterId, (SiteId, String)>;

/// What the agents of a site tell of themselves and of its routers.
fn warnings(site: SiteId, agents: &[AgentRow], names: &Names, now: Timestamp) -> Vec<Warning> {
    let mut found = Vec::new();
    for agent in agents {
        let until = agent.certificate_ends_at;
        found.extend(until.and_then(|until| warnings::of_agent(agent.id, until, now)));
        found.extend(warnings::of_reports(agent));
        found.extend(warnings::of_authority(agent));
        let Some(told) = warnings::told(agent, now) else {
            continue;
        };
        found.extend(warnings::of_box(agent.id, &told));
        for router in &told.routers {
            // An agent speaks of its own site's routers only.
            if let Some((_, name)) = names.get(&router.router).filter(|(at, _)| *at == site) {
                found.extend(warnings::of_router(agent.id, name, router));
            }
        }
    }
    warnings::one_of_each(found)
}

async fn router_names(tx: &mut Tx, sites: &[SiteId]) -> sqlx::Result<Names> {
    let rows = store::router_names(tx, sites).await?.into_iter();
    Ok(rows.map(|(id, site, name)| (id, (site, name))).collect())
}

/// Whom the agents heard and do not know; one who asks several of them is one.
fn unknown_routers(agents: &[AgentRow]) -> Vec<UnknownRouter> {
    let mut loudest = BTreeMap::<&str, u64>::new();
    let reports = agents.iter().filter_map(|agent| agent.report.as_ref());
    for told in reports.filter_map(|report| report["unknownSources"].as_array()) {
        for source in told {
            let (Some(address), Some(count)) =
                (source["address"].as_str(), source["count"].as_u64())
            else {
                continue;
            };
            let heard = loudest.entry(address).or_default();
            *heard = count.max(*heard);
        }
    }
    let mut asking: Vec<UnknownRouter> = loudest
        .into_iter()
        .map(|(address, requests)| UnknownRouter {
            address: address.to_owned(),
            requests,
            message: format!("A router at {address} is asking. Add it?"),
        })
        .collect();
    asking.sort_by_key(|router| std::cmp::Reverse(router.requests));
    asking
}

/// Some of a tenant's sites.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SiteList {
    /// Oldest first.
    pub sites: Vec<Site>,
    /// How many there are in all.
    pub total: i64,
    /// From 1.
    pub page: u32,
    /// How many a page holds.
    pub page_size: u32,
}

/// `GET /api/sites`: the tenant's sites with their agents.
#[utoipa::path(get, path = "/api/sites", tag = "Sites",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query)),
    responses((status = 200, body = SiteList)))]
pub async fn list(
    operator: Operator,
    page: Page,
    State(db): State<Database>,
    State(clock): State<Clock>,
) -> Result<Json<SiteList>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let rows = store::page(&mut tx, &page).await?;
    let total = store::count(&mut tx).await?;
    let ids: Vec<SiteId> = rows.iter().map(|row| row.id).collect();
    let mut agents = store::agents(&mut tx, &ids).await?;
    let mut waiting = agents::store::waiting(&mut tx, &ids, now).await?;
    let names = router_names(&mut tx, &ids).await?;
    let sites = rows.into_iter().map(|row| {
        let own = agents.extract_if(.., |agent| agent.site_id == row.id);
        let own = own.collect();
        let at_door = waiting.extract_if(.., |one| one.site_id == row.id);
        let at_door = at_door.collect();
        Site::of(row, (own, at_door), &names, now)
    });
    Ok(Json(SiteList {
        sites: sites.collect(),
        total,
        page: page.number,
        page_size: page.size,
    }))
}

/// A new site.
#[derive(Deserialize, ToSchema)]
pub struct NewSite {
    /// What people call it: 1 to 100 characters, one of a kind in the tenant.
    pub name: String,
}

/// `POST /api/sites`: adds a site.
///
/// Repeatable with an `Idempotency-Key`. Errors: 409 `SITE_NAME_TAKEN`.
#[utoipa::path(post, path = "/api/sites", tag = "Sites", request_body = NewSite, responses(
    (status = 201, body = Site),
    (status = 409, description = "The name is taken", body = ErrorEnvelope),
))]
pub async fn create(
    operator: Operator,
    mut idempotency: Idempotency,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    Json(new): Json<NewSite>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let name = new.name.trim();
    if !(1..=100).contains(&name.chars().count()) {
        return Err(ApiError::field("name", "must have 1 to 100 characters"));
    }
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let key = secrets.tenant(&mut tx).await?;
    let id = super::create(&mut tx, &key, name, now).await?;
    let line = Audit::new(Action::SiteCreate, "site", id, name);
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let site = Site {
        id,
        name: name.to_owned(),
        routers: 0,
        connected: false,
        agents: Vec::new(),
        waiting: Vec::new(),
        unknown_routers: Vec::new(),
        warnings: Vec::new(),
        created_at: now,
    };
    let answer = idempotency
        .finish(&mut tx, StatusCode::CREATED, &site)
        .await?;
    tx.commit().await?;
    Ok(answer)
}

/// `GET /api/sites/{site}`: one site and its agents' state.
#[utoipa::path(get, path = "/api/sites/{site}", tag = "Sites",
    params(("site" = SiteId, Path)),
    responses((status = 200, body = Site), (status = 404, body = ErrorEnvelope)))]
pub async fn show(
    operator: Operator,
    Path(site): Path<SiteId>,
    State(db): State<Database>,
    State(clock): State<Clock>,
) -> Result<Json<Site>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = store::site(&mut tx, site).await?;
    let row = row.ok_or(ApiError::NotFound("site"))?;
    let agents = store::agents(&mut tx, &[site]).await?;
    let waiting = agents::store::waiting(&mut tx, &[site], now).await?;
    let names = router_names(&mut tx, &[site]).await?;
    Ok(Json(Site::of(row, (agents, waiting), &names, now)))
}

/// The right to join a site, once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinTokenAnswer {
    /// Shown once, stored nowhere.
    pub token: String,
    /// An hour from now.
    pub expires_at: Timestamp,
    /// What to run on the box.
    pub command: String,
}

/// Whose place the box takes.
#[derive(Default, Deserialize, ToSchema)]
pub struct JoinAs {
    /// The agent that ends when the box joins: its identity is revoked in the same moment.
    #[serde(default)]
    pub replaces: Option<AgentId>,
}

/// `POST /api/sites/{site}/join-token`: a one-time token with which a box becomes an agent of this site.
///
/// Every call makes another token; each is good for an hour and for one box. With `replaces` the box takes
/// another agent's place. Errors: 403 `FRESH_LOGIN_REQUIRED`, 404 where the
/// site has no such agent.
#[utoipa::path(post, path = "/api/sites/{site}/join-token", tag = "Sites",
    params(("site" = SiteId, Path), ("replaces" = Option<AgentId>, Query)),
    responses((status = 201, body = JoinTokenAnswer), (status = 404, body = ErrorEnvelope)))]
#[expect(clippy::too_many_arguments, reason = "a handler names what it needs")]
pub async fn join_token(
    operator: Operator,
    Path(site): Path<SiteId>,
    Query(joins): Query<JoinAs>,
    headers: HeaderMap,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(config): State<Arc<Config>>,
    State(standing): State<Standing>,
) -> Result<(StatusCode, Json<JoinTokenAnswer>), ApiError> {
    // A box that joins stays, and holds what opens its site's secrets.
    let now = clock.now();
    operator.fresh(now)?;
    let mut tx = db.begin(operator.tenant).await?;
    let row = store::site(&mut tx, site).await?;
    let row = row.ok_or(ApiError::NotFound("site"))?;
    if let Some(replaced) = joins.replaces {
        let known = store::agents(&mut tx, &[site]).await?;
        if !known.iter().any(|agent| agent.id == replaced) {
            return Err(ApiError::NotFound("agent"));
        }
    }
    let authority = &standing.authority;
    let token = agents::create_join_token(&mut tx, site, joins.replaces, authority, now).await?;
    let line = Audit::new(Action::AgentTokenCreate, "site", site, &row.name);
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;

    let token = token.text();
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let door = config.agents_address(host);
    let command = match joins.replaces {
        None => format!("easyisp-agent enroll --cloud {door} --token {token}"),
        Some(_) => format!(
            "easyisp-agent replace --site {site} --cloud {door} --token {token} \
             --address ADDRESS/LENGTH --interface INTERFACE"
        ),
    };
    Ok(Json(JoinTokenAnswer {
        command,
        token,
        expires_at: now.plus(agents::TOKEN_LIFE),
    })
    .with(StatusCode::CREATED))
}

/// `POST /api/sites/{site}/agents/{agent}/confirm`: lets a box in that waits (`waiting` of the site).
///
/// Compare the fingerprint with the one that the box shows: who holds that key is given the site's secrets. Repeating
/// it changes nothing. Errors: 403 `FRESH_LOGIN_REQUIRED`, 404 where no such box waits, or not any more.
#[utoipa::path(post, path = "/api/sites/{site}/agents/{agent}/confirm", tag = "Sites",
    params(("site" = SiteId, Path), ("agent" = AgentId, Path)),
    responses((status = 204), (status = 404, body = ErrorEnvelope)))]
pub async fn confirm(
    operator: Operator,
    Path((site, agent)): Path<(SiteId, AgentId)>,
    State(db): State<Database>,
    State(clock): State<Clock>,
) -> Result<StatusCode, ApiError> {
    let now = clock.now();
    operator.fresh(now)?;
    let mut tx = db.begin(operator.tenant).await?;
    let row = store::site(&mut tx, site).await?;
    let row = row.ok_or(ApiError::NotFound("site"))?;
    if !agents::store::confirm_waiting(&mut tx, site, agent, now).await? {
        return Err(ApiError::NotFound("agent"));
    }
    let line = Audit::new(Action::AgentConfirm, "agent", agent, &row.name);
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/sites/{site}/agents/{agent}/revoke`: ends an agent's rights for good, or sends a box away that waits.
///
/// For a box that was stolen, retired or copied. It is cut off within a minute; the site's other agents go on.
/// Repeating it changes nothing.
#[utoipa::path(post, path = "/api/sites/{site}/agents/{agent}/revoke", tag = "Sites",
    params(("site" = SiteId, Path), ("agent" = AgentId, Path)),
    responses((status = 204), (status = 404, body = ErrorEnvelope)))]
pub async fn revoke(
    operator: Operator,
    Path((site, agent)): Path<(SiteId, AgentId)>,
    State(db): State<Database>,
    State(clock): State<Clock>,
) -> Result<StatusCode, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = store::site(&mut tx, site).await?;
    let row = row.ok_or(ApiError::NotFound("site"))?;
    let waited = agents::store::forget_waiting(&mut tx, site, agent).await?;
    if !waited && !agents::store::is_at(&mut tx, agent, site).await? {
        return Err(ApiError::NotFound("agent"));
    }
    agents::revoke(&mut tx, agent, now).await?;
    let line = Audit::new(Action::AgentRevoke, "agent", agent, &row.name);
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
