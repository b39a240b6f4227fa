//! `/api/nas`.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{AgentId, RouterId, SiteId};
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::condition::{ConditionV1, RouterConditionV1};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rules::{self, Change, Secret};
use super::store::{self, By, Filter, Sealed};
use super::words::{Provisioning, Signing, Status};
use super::{
    API_PASSWORD, Clear, PREVIOUS_SECRET, ROTATION_JOB, SECRET, SILENCE, certificates, claims,
    rotation,
};
use crate::api::{Idempotency, Json, Masked, Page, Path, Query, Sort, Success, Version, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::{Database, Kind, Tx};
use crate::due;
use crate::error::{ApiError, violated};
use crate::secrets::{SecretError, Secrets};
use crate::sites::{self, Warning, warnings};

/// A router.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Router {
    id: RouterId,
    name: String,
    site_id: SiteId,
    board_name: Option<String>,
    model: Option<String>,
    serial_number: Option<String>,
    ip_address: String,
    /// Where its requests come from.
    source_network: String,
    secret: Masked,
    coa_port: i32,
    /// Whether its requests without Message-Authenticator are taken.
    message_authenticator: Signing,
    /// Whether its DHCP servers ask for the leases of DHCP customers.
    dhcp_radius: bool,
    /// Where it speaks from, when its record does not name that; else null.
    last_source: Option<String>,
    status: Status,
    provisioning_status: Provisioning,
    /// Always null: a router needs no tunnel, for its site's box stands beside it, reaches it over the site's own network
    /// and dials out to the cloud. A router of a hosted agent comes by RadSec, or over a tunnel that the provider made.
    vpn_tunnel_ip: Option<String>,
    router_os_version: Option<String>,
    /// Percent.
    cpu_load: Option<i32>,
    /// Megabytes.
    memory_usage: Option<i32>,
    /// Megabytes.
    memory_total: Option<i32>,
    uptime: Option<String>,
    /// Sessions of homes open now.
    pppoe_count: i64,
    /// Hotspot sessions open now.
    hotspot_count: i64,
    /// Whether a way to its WinBox is open now: no port of a router stands open, one is opened for a time, to who asks
    /// for it (`POST /api/nas/{router}/access`).
    remote_winbox_enabled: bool,
    /// The port of this cloud where he comes in by it, of the one that was opened last; null while none is open.
    remote_winbox_port: Option<i32>,
    api_username: Option<String>,
    /// Masked; null when none was entered.
    api_password: Option<Masked>,
    api_port: i32,
    latitude: Option<f64>,
    longitude: Option<f64>,
    location: Option<String>,
    /// The device through which it is reached: while that one is away, no alert tells of this one.
    parent_id: Option<RouterId>,
    customer_count: i64,
    /// What a person should look at, the longest known first.
    warnings: Vec<Warning>,
    last_seen: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// What the agents of some sites tell.
type Told = [(SiteId, AgentId, ConditionV1)];

/// When the certificates of some routers end.
type Ends = HashMap<RouterId, Timestamp>;

impl Router {
    fn of(row: store::Row, told: &Told, ends: &Ends, now: Timestamp) -> Router {
        let stored = row.stored;
        let draft = stored.draft();
        let told = told
            .iter()
            .filter(|(site, ..)| *site == stored.site_id)
            .flat_map(|(_, agent, told)| told.routers.iter().map(|router| (*agent, router)))
            .filter(|(_, router)| router.router == stored.id);
        let told: Vec<(AgentId, &RouterConditionV1)> = told.collect();
        let moved = told.iter().filter_map(|(_, router)| router.moved);
        let last_source = moved.max_by_key(|(_, since)| *since);
        let heard = told
            .iter()
            .flat_map(|(agent, router)| warnings::of_router(*agent, &stored.name, router));
        let until = ends.get(&stored.id);
        let ending =
            until.and_then(|until| warnings::of_certificate(stored.id, &stored.name, *until, now));
        let found = hidden(&stored).into_iter().chain(drifted(&stored));
        let found = found
            .chain(rotation::warning(&stored))
            .chain(ending)
            .chain(heard);
        let warnings = warnings::one_of_each(found.collect());
        Router {
            id: stored.id,
            name: draft.name,
            site_id: stored.site_id,
            board_name: stored.board_name,
            model: stored.model,
            serial_number: stored.serial_number,
            ip_address: draft.ip_address.to_string(),
            source_network: draft.source_network.to_string(),
            secret: Masked,
            coa_port: draft.coa_port,
            message_authenticator: stored.message_authenticator,
            dhcp_radius: draft.dhcp_radius,
            last_source: last_source.map(|(address, _)| address.to_string()),
            status: row.present_status,
            provisioning_status: stored.provisioning_status,
            vpn_tunnel_ip: None,
            router_os_version: stored.routeros_version,
            cpu_load: stored.cpu_load,
            memory_usage: stored.memory_usage_mb,
            memory_total: stored.memory_total_mb,
            uptime: stored.uptime,
            pppoe_count: row.pppoe,
            hotspot_count: row.hotspot,
            remote_winbox_enabled: row.winbox_port.is_some(),
            remote_winbox_port: row.winbox_port,
            api_username: draft.api_username,
            api_password: stored.api_password_sealed.map(|_| Masked),
            api_port: draft.api_port,
            latitude: draft.latitude,
            longitude: draft.longitude,
            location: draft.location,
            parent_id: draft.parent,
            customer_count: row.customers,
            warnings,
            last_seen: stored.last_seen_at,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }
}

/// The customers whom it answers by its own lists.
fn hidden(stored: &store::Stored) -> Option<Warning> {
    let found = stored.local_secrets();
    let (message, remedy) = found.warning()?;
    Some(Warning {
        code: "LOCAL_SECRETS",
        message,
        remedy: remedy.to_owned(),
        since: found.at,
        router_id: Some(stored.id),
        agent_id: None,
    })
}

/// What of it differs from its set-up.
fn drifted(stored: &store::Stored) -> Option<Warning> {
    let found = stored.drifted();
    let (message, remedy) = found.warning()?;
    Some(Warning {
        code: "CONFIGURATION_DRIFT",
        message,
        remedy: remedy.to_owned(),
        since: found.since,
        router_id: Some(stored.id),
        agent_id: None,
    })
}

/// One page of routers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Routers {
    routers: Vec<Router>,
    total: i64,
    page: u32,
    page_size: u32,
    total_pages: i64,
}

/// Which routers.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct ListQuery {
    /// `OFFLINE` means everything that is not `ONLINE`.
    status: Option<Status>,
    /// Part of name, address, place or board.
    search: Option<String>,
}

/// What a client says of a router.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouterRequest {
    #[serde(default, deserialize_with = "blank::option")]
    name: Option<String>,
    /// Where CoA, API and SNMP go; not unique.
    #[serde(default, deserialize_with = "blank::option")]
    ip_address: Option<String>,
    /// Where its requests come from; the address when left out.
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    source_network: Option<Option<String>>,
    /// The tenant's first site when left out.
    #[serde(default, deserialize_with = "blank::option")]
    site_id: Option<SiteId>,
    /// Masked or empty: unchanged; on creation made at random.
    #[serde(default, deserialize_with = "blank::option")]
    secret: Option<String>,
    #[serde(default, deserialize_with = "blank::option")]
    coa_port: Option<i32>,
    /// Left out on creation: `REQUIRE` where the site's agent is hosted, across a WAN, else `LEARN`.
    #[serde(default, deserialize_with = "blank::option")]
    message_authenticator: Option<Signing>,
    /// Whether its DHCP servers ask for the leases of DHCP customers (`/ip dhcp-server use-radius=yes` there). They then
    /// have speed and lists by RADIUS and nothing of it is written by the API, which takes the lease of who may not
    /// have it any more. Without it the API keeps lease, queue and lists.
    #[serde(default)]
    dhcp_radius: Option<bool>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    api_username: Option<Option<String>>,
    /// Masked or empty: unchanged.
    #[serde(default, deserialize_with = "blank::option")]
    api_password: Option<String>,
    #[serde(default, deserialize_with = "blank::option")]
    api_port: Option<i32>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<f64>)]
    latitude: Option<Option<f64>>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<f64>)]
    longitude: Option<Option<f64>>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    location: Option<Option<String>>,
    /// The device through which it is reached, another of this tenant's; empty: none.
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<RouterId>)]
    parent_id: Option<Option<RouterId>>,
}

impl RouterRequest {
    fn change(&self) -> Change {
        Change {
            name: self.name.clone(),
            ip_address: self.ip_address.clone(),
            source_network: self.source_network.clone(),
            coa_port: self.coa_port,
            message_authenticator: self.message_authenticator,
            dhcp_radius: self.dhcp_radius,
            api_username: self.api_username.clone(),
            api_port: self.api_port,
            latitude: self.latitude,
            longitude: self.longitude,
            location: self.location.clone(),
            parent: self.parent_id,
        }
    }
}

/// `GET /api/nas`: routers by name, or sorted as asked.
#[utoipa::path(get, path = "/api/nas", tag = "Routers", params(ListQuery, Sort<By>),
    responses((status = 200, body = Routers)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    page: Page,
    sort: Sort<By>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Routers>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let filter = Filter {
        search: query.search,
        status: query.status,
    };
    let now = clock.now();
    let heard = now.minus(SILENCE);
    let (limit, offset) = (page.limit(), page.offset());
    let (rows, total) = store::list(&mut tx, &filter, sort, (heard, now), limit, offset).await?;
    let mut sites: Vec<SiteId> = rows.iter().map(|row| row.stored.site_id).collect();
    sites.sort_unstable();
    sites.dedup();
    let told = warnings::conditions(&mut tx, &sites, now).await?;
    let ids: Vec<RouterId> = rows.iter().map(|row| row.stored.id).collect();
    let ends = certificates::ends(&mut tx, &ids, &told).await?;
    let router = |row| Router::of(row, &told, &ends, now);
    Ok(Json(Routers {
        routers: rows.into_iter().map(router).collect(),
        total,
        page: page.number,
        page_size: page.size,
        total_pages: page.total_pages(total),
    }))
}

/// `GET /api/nas/{router}`. 404 when this tenant has no such router.
#[utoipa::path(get, path = "/api/nas/{router}", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = Router)))]
pub async fn get(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(router): Path<RouterId>,
) -> Result<Response, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let now = clock.now();
    let row = find(&mut tx, router, now).await?;
    let version = Version(row.stored.version);
    Ok(version.of(shown(&mut tx, row, now).await?))
}

/// `POST /api/nas`: a new router at a site, known to the site's agents at once.
///
/// Without `secret` a random one of 24 characters is made. Errors: 400 naming the fields, 409
/// `ROUTER_NAME_TAKEN`.
#[utoipa::path(post, path = "/api/nas", tag = "Routers", request_body = RouterRequest,
    responses((status = 201, body = Router)))]
pub async fn create(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(entropy): State<Entropy>,
    mut idempotency: Idempotency,
    Json(request): Json<RouterRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let draft = rules::draft(request.change(), None).map_err(ApiError::fields)?;
    let clear = Clear {
        secret: match secret("secret", request.secret.as_deref())? {
            Secret::New(secret) => secret,
            Secret::Unchanged => rules::random_secret(&entropy),
        },
        api_password: match api_password(&request)? {
            Secret::New(password) => Some(password),
            Secret::Unchanged => None,
        },
    };

    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let site = site(&mut tx, request.site_id).await?;
    may_stand_behind(&mut tx, None, draft.parent).await?;
    let router = super::create(&mut tx, &secrets, site, &draft, &clear, now)
        .await
        .map_err(name_taken)?;
    let audit = Audit {
        details: format!("{} at {}", draft.name, draft.ip_address),
        ..Audit::new(Action::RouterCreate, "router", router, &draft.name)
    };
    audit::record(&mut tx, &Actor::from(&operator), audit, now).await?;
    let row = find(&mut tx, router, now).await?;
    let body = shown(&mut tx, row, now).await?;
    let answer = idempotency
        .finish(&mut tx, StatusCode::CREATED, &body)
        .await?;
    tx.commit().await?;
    Ok(answer)
}

/// `PUT /api/nas/{router}`: changes what is mentioned; a masked or empty secret is unchanged.
///
/// A new secret leaves the one before valid for a day. With `If-Match` only that version is changed, else 412.
/// Errors: 400 naming the fields, 404, 409 `ROUTER_NAME_TAKEN`, 409 `ROUTER_IN_USE` when it moves to another
/// site while customers belong to it.
#[utoipa::path(put, path = "/api/nas/{router}", tag = "Routers",
    params(("router" = RouterId, Path)), request_body = RouterRequest,
    responses((status = 200, body = Router)))]
pub async fn update(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    Path(router): Path<RouterId>,
    headers: HeaderMap,
    Json(request): Json<RouterRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    sites::stand_still(&mut tx).await?; // what is known of logins to this router only
    let row = locked(&mut tx, router, now).await?;
    Version(row.stored.version).is_meant(&headers)?;
    let before = row.stored.draft();
    let draft = rules::draft(request.change(), Some(&before)).map_err(ApiError::fields)?;
    if draft.parent != before.parent {
        may_stand_behind(&mut tx, Some(router), draft.parent).await?;
    }
    let site = match request.site_id {
        Some(asked) if asked != row.stored.site_id => {
            if row.customers > 0 {
                return Err(in_use(&row, "move it to another site"));
            }
            site(&mut tx, Some(asked)).await?
        }
        Some(_) | None => row.stored.site_id,
    };
    let (sealed, new_secret) = reseal(&mut tx, &secrets, &row.stored, &request).await?;
    store::update(&mut tx, router, site, &draft, &sealed, now)
        .await
        .map_err(|error| name_taken(error.into()))?;
    if new_secret {
        store::begin_rotation(&mut tx, router, now).await?;
        due::at(&mut tx, ROTATION_JOB, router, now.plus(rotation::LOOK)).await?;
    }
    changed(&mut tx, router).await?;

    let mut changed = rules::differences(&before, &draft);
    if new_secret {
        changed.push("RADIUS secret".to_owned());
    }
    if sealed.api_password != row.stored.api_password_sealed {
        changed.push("API password".to_owned());
    }
    let audit = Audit {
        details: match changed.as_slice() {
            [] => "Nothing changed".to_owned(),
            changed => format!("Changed {}", changed.join(", ")),
        },
        ..Audit::new(Action::RouterUpdate, "router", router, &draft.name)
    };
    audit::record(&mut tx, &Actor::from(&operator), audit, now).await?;
    let row = find(&mut tx, router, now).await?;
    let version = Version(row.stored.version);
    let body = shown(&mut tx, row, now).await?;
    tx.commit().await?;
    Ok(version.of(body))
}

/// `DELETE /api/nas/{router}`: 409 `ROUTER_IN_USE` while customers belong to it, 409 `WIZARD_RUNNING` or `ROUTER_BUSY`
/// while somebody writes to it: what is half done there could never be undone. Router logins that hold at it
/// alone go with it.
#[utoipa::path(delete, path = "/api/nas/{router}", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = Success)))]
pub async fn delete(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(router): Path<RouterId>,
) -> Result<Json<Success>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    sites::stand_still(&mut tx).await?; // what is known of logins to this router only
    let row = locked(&mut tx, router, now).await?;
    if row.customers > 0 {
        return Err(in_use(&row, "delete it"));
    }
    claims::idle(&mut tx, router, now).await?;
    store::delete(&mut tx, router, now).await?;
    changed(&mut tx, router).await?;
    store::delete_logins(&mut tx, router).await?;
    let audit = Audit::new(Action::RouterDelete, "router", router, &row.stored.name);
    audit::record(&mut tx, &Actor::from(&operator), audit, now).await?;
    tx.commit().await?;
    Ok(Json(Success::YES))
}

/// A device stands behind one that there is, and not behind itself.
async fn may_stand_behind(
    tx: &mut Tx,
    router: Option<RouterId>,
    parent: Option<RouterId>,
) -> Result<(), ApiError> {
    let Some(parent) = parent else { return Ok(()) };
    let before = store::before(tx, parent).await?;
    if before.is_empty() {
        return Err(ApiError::field("parentId", "is no device of yours"));
    }
    if router.is_some_and(|router| before.contains(&router)) {
        return Err(ApiError::field("parentId", "stands behind this one itself"));
    }
    Ok(())
}

/// What a site knows of a router goes where the router goes.
pub(super) async fn changed(tx: &mut Tx, router: RouterId) -> sqlx::Result<()> {
    tx.changed(Kind::Router, router);
    tx.changed(Kind::Moving, router);
    tx.changed(Kind::Monitored, router);
    for login in store::logins(tx, router).await? {
        tx.changed(Kind::RouterLogin, login);
    }
    Ok(())
}

/// What is stored after the request's secrets, and whether the RADIUS secret is a new one.
async fn reseal(
    tx: &mut Tx,
    secrets: &Secrets,
    stored: &store::Stored,
    request: &RouterRequest,
) -> Result<(Sealed, bool), ApiError> {
    let id = stored.id.0;
    let key = secrets.tenant(tx).await?;
    let mut sealed = Sealed {
        secret: stored.secret_sealed.clone(),
        previous: stored.previous_secret_sealed.clone(),
        api_password: stored.api_password_sealed.clone(),
    };
    let mut new_secret = false;
    if let Secret::New(secret) = secret("secret", request.secret.as_deref())? {
        let present = key
            .open(SECRET, id, &stored.secret_sealed)
            .map_err(SecretError::from)?;
        if present.as_slice() != secret.as_bytes() {
            sealed.secret = key.seal(SECRET, id, secret.as_bytes());
            // One that it was never seen to use is not what it has: the one before that goes on being taken.
            let is_unused =
                stored.previous_secret_sealed.is_some() && stored.secret_seen == Some(false);
            if !is_unused {
                sealed.previous = Some(key.seal(PREVIOUS_SECRET, id, &present));
            }
            new_secret = true;
        }
    }
    if let Secret::New(password) = api_password(request)? {
        sealed.api_password = Some(key.seal(API_PASSWORD, id, password.as_bytes()));
    }
    Ok((sealed, new_secret))
}

fn secret(field: &str, text: Option<&str>) -> Result<Secret, ApiError> {
    rules::secret(field, text).map_err(|error| ApiError::fields(vec![error]))
}

fn api_password(request: &RouterRequest) -> Result<Secret, ApiError> {
    rules::password("apiPassword", request.api_password.as_deref())
        .map_err(|error| ApiError::fields(vec![error]))
}

/// A router with what the agents of its site tell of it.
async fn shown(tx: &mut Tx, row: store::Row, now: Timestamp) -> sqlx::Result<Router> {
    let told = warnings::conditions(tx, &[row.stored.site_id], now).await?;
    let ends = certificates::ends(tx, &[row.stored.id], &told).await?;
    Ok(Router::of(row, &told, &ends, now))
}

async fn find(tx: &mut Tx, router: RouterId, now: Timestamp) -> Result<store::Row, ApiError> {
    let row = store::find(tx, router, (now.minus(SILENCE), now)).await?;
    row.ok_or(ApiError::NotFound("router"))
}

async fn locked(tx: &mut Tx, router: RouterId, now: Timestamp) -> Result<store::Row, ApiError> {
    if !store::lock(tx, router).await? {
        return Err(ApiError::NotFound("router"));
    }
    find(tx, router, now).await
}

async fn site(tx: &mut Tx, asked: Option<SiteId>) -> Result<SiteId, ApiError> {
    let site = store::site(tx, asked).await?;
    site.ok_or_else(|| ApiError::field("siteId", "is no site of yours"))
}

fn in_use(row: &store::Row, wish: &str) -> ApiError {
    let customers = match row.customers {
        1 => "1 customer belongs".to_owned(),
        n => format!("{n} customers belong"),
    };
    ApiError::conflict(
        "ROUTER_IN_USE",
        format!("{customers} to this router; give them another router before you {wish}"),
    )
}

fn name_taken(error: SecretError) -> ApiError {
    match &error {
        SecretError::Database(cause) if violated(cause) == Some("router_name") => {
            ApiError::conflict(
                "ROUTER_NAME_TAKEN",
                "There is a router of this name already",
            )
        }
        SecretError::Database(_) | SecretError::CannotOpen(_) => error.into(),
    }
}
