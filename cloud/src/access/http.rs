//! `/api/access` and the doors to it: a way to a device, opened, listed and closed.

use std::time::Duration;

use anyhow::Context;
use axum::extract::State;
use easyisp_shared::id::{AccessGrantId, CustomerId, RouterId, SiteId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::access::{AccessTargetV1, AccessV1};
use easyisp_shared::wire::question::{AskFailure, Question, Reply};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::Desk;
use super::desk;
use super::lock::Lock;
use super::names::Names;
use super::page;
use super::rules::{self, Wish};
use super::store::{self, Grant, Moved};
use super::words::{Closed, Service};
use crate::api::{Json, Page, Path, Query, Success, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::sessions::SignedIn;
use crate::auth::{Operator, Token};
use crate::control;
use crate::customers;
use crate::db::Database;
use crate::error::{ApiError, Wrong};
use crate::routers::{self, WAY_UNSEEN};
use crate::sites::Live;

/// What is to be opened at a router.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouterAccessRequest {
    /// `WINBOX` (8291) or `WEBFIG` (80).
    service: Service,
    /// Another TCP port, of those that the agent leads to (`[access] router_ports`).
    #[serde(default, deserialize_with = "blank::option")]
    port: Option<u16>,
    /// For how long, 1 to 120; 15 when it is not said.
    #[serde(default, deserialize_with = "blank::option")]
    minutes: Option<u32>,
    /// Why, 5 to 500 characters: kept in the trail, and shown at the site.
    reason: String,
    /// Also over a line that is paid by the octet.
    #[serde(default)]
    force: bool,
}

/// What is to be opened at a customer's device.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomerAccessRequest {
    /// TCP port of its page, of those that the agent leads to (`[access] customer_ports`); 80 when it is not said.
    #[serde(default, deserialize_with = "blank::option")]
    port: Option<u16>,
    /// For how long, 1 to 120; 15 when it is not said.
    #[serde(default, deserialize_with = "blank::option")]
    minutes: Option<u32>,
    /// Why, 5 to 500 characters: kept in the trail, and shown at the site.
    reason: String,
    /// Also over a line that is paid by the octet.
    #[serde(default)]
    force: bool,
}

/// A way that was opened.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Opened {
    id: AccessGrantId,
    /// Where to connect to, from the address that this was asked from and from no other.
    host: String,
    /// TCP.
    port: u16,
    /// The same for a browser; null for WinBox.
    url: Option<String>,
    /// What a page asks for, once and within a minute: posted as the form field `secret` to `enterUrl`. Null for WinBox.
    secret: Option<String>,
    /// Where it is posted, by a form of the console's or by whoever types it; what comes back leads to the page.
    enter_url: Option<String>,
    expires_at: Timestamp,
}

/// `POST /api/nas/{router}/access`: opens a way to a router's WinBox or page, through the site's agent.
///
/// The port that it answers with takes connections from the caller's own address alone; a page also asks for `secret`,
/// once, and then for the browser that showed it; the router asks for its own password. It closes when its time is over,
/// by `DELETE /api/access/{id}`, when who opened it signs out or may not any more, and when the agent leaves. A person
/// must ask, not an API key. Errors: 400 naming the field, 404, 409 `ACCESS_NOT_SET_UP`, 422 `SITE_REFUSED` with the
/// agent's reason, 503 when no agent of the site is connected.
#[utoipa::path(post, path = "/api/nas/{router}/access", tag = "Routers", params(("router" = RouterId, Path)),
    request_body = RouterAccessRequest, responses((status = 200, body = Opened),
        (status = 422, description = "The agent leads there not, and says why"),
        (status = 502, description = "The site cannot be asked"),
        (status = 503, description = "No agent of the site is connected"),
        (status = 504, description = "It did not answer in time")))]
pub async fn to_router(
    operator: Operator,
    token: Token,
    State(db): State<Database>,
    State(live): State<Live>,
    State(desk): State<Desk>,
    Path(router): Path<RouterId>,
    Json(request): Json<RouterAccessRequest>,
) -> Result<Json<Opened>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let found = routers::brief(&mut tx, router, desk.now()).await?;
    let found = found.ok_or(ApiError::NotFound("router"))?;
    drop(tx);
    let mut wrong = Wrong::default();
    if request.service == Service::Web {
        wrong.add("service", "must be WINBOX or WEBFIG");
    }
    let wanted = Wanted {
        target: AccessTargetV1::Router(router),
        name: found.name,
        site: found.site,
        service: request.service,
        port: request.port.unwrap_or(request.service.port()),
        lasts: rules::checked(
            &Wish {
                minutes: request.minutes,
                reason: &request.reason,
                port: request.port,
            },
            &mut wrong,
        ),
        reason: request.reason.trim().to_owned(),
        force: request.force,
    };
    wrong.none_or(()).map_err(ApiError::fields)?;
    open(&operator, token, &db, &live, &desk, wanted).await
}

/// `POST /api/customers/{customer}/access`: opens a way to the page of a customer's device, at the address of his
/// session.
///
/// As `POST /api/nas/{router}/access`; it also closes with his session. Errors: as there; 422 `SITE_REFUSED` when he is
/// not online.
#[utoipa::path(post, path = "/api/customers/{customer}/access", tag = "Customers",
    params(("customer" = CustomerId, Path)),
    request_body = CustomerAccessRequest, responses((status = 200, body = Opened),
        (status = 422, description = "The agent leads there not, and says why"),
        (status = 502, description = "The site cannot be asked"),
        (status = 503, description = "No agent of the site is connected"),
        (status = 504, description = "It did not answer in time")))]
pub async fn to_customer(
    operator: Operator,
    token: Token,
    State(db): State<Database>,
    State(live): State<Live>,
    State(desk): State<Desk>,
    Path(customer): Path<CustomerId>,
    Json(request): Json<CustomerAccessRequest>,
) -> Result<Json<Opened>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let found = customers::whereabouts(&mut tx, customer).await?;
    let (name, site) = found.ok_or(ApiError::NotFound("customer"))?;
    drop(tx);
    let mut wrong = Wrong::default();
    let wanted = Wanted {
        target: AccessTargetV1::Customer(customer),
        name,
        site,
        service: Service::Web,
        port: request.port.unwrap_or(Service::Web.port()),
        lasts: rules::checked(
            &Wish {
                minutes: request.minutes,
                reason: &request.reason,
                port: request.port,
            },
            &mut wrong,
        ),
        reason: request.reason.trim().to_owned(),
        force: request.force,
    };
    wrong.none_or(()).map_err(ApiError::fields)?;
    open(&operator, token, &db, &live, &desk, wanted).await
}

/// What is opened, once it is known what it is.
struct Wanted {
    target: AccessTargetV1,
    name: String,
    site: SiteId,
    service: Service,
    port: u16,
    lasts: Duration,
    reason: String,
    force: bool,
}

/// The agent decides first, then it is written down, and then somebody may come in.
async fn open(
    operator: &Operator,
    token: Token,
    db: &Database,
    live: &Live,
    desk: &Desk,
    wanted: Wanted,
) -> Result<Json<Opened>, ApiError> {
    let now = desk.now();
    operator.in_person()?;
    operator.fresh_in_console(now)?;
    let place = desk.place()?;
    let tenant = operator.tenant;
    let Some(agent) = desk.agent_of(tenant, wanted.site).await else {
        return Err(live.silence(tenant, wanted.site, None, now).await.into());
    };
    let is_page = wanted.service != Service::Winbox;
    let tls = match is_page {
        true => desk.tls().await?,
        false => None,
    };
    let listener = desk.bind(place).await?;
    let port = listener.local_addr().map_err(ApiError::internal)?.port();
    let grant = AccessGrantId::new(now, db.entropy());
    let expires_at = now.plus(wanted.lasts);
    let question = Question::Access(AccessV1 {
        grant,
        target: wanted.target,
        port: wanted.port,
        until: expires_at,
        force: wanted.force,
        who: format!("{} <{}>", operator.name, operator.email),
        why: wanted.reason.clone(),
    });
    let address = match desk.ask(tenant, agent, &question).await {
        Ok(Reply::Access { address }) => address,
        Ok(_) => return Err(control::other_answer()), // a reply of another question
        Err(failure) => return Err(refused(live, tenant, wanted.site, failure, now).await),
    };
    // Names of hosts and of cookies take it.
    let tag = hex::encode(db.entropy().bytes::<8>());
    let host = desk.host(place, &tag);
    let (page, secret) = match is_page {
        true => {
            let scheme = if tls.is_some() { "https" } else { "http" };
            let device = page::device(address, wanted.port);
            let own = page::place(scheme, &host, port);
            let named = device.zip(own).context("[access] host is no name");
            let (device, own) = named.map_err(ApiError::internal)?;
            let names = Names::new(device, own, &tag, desk.has_one_name());
            let (lock, secret) = Lock::new(db.entropy(), now);
            let page = page::Page::new(lock, names, tls).map_err(ApiError::internal)?;
            (Some(page), Some(secret))
        }
        false => (None, None),
    };
    let from = operator.address.to_canonical();
    let (router_id, customer_id) = match wanted.target {
        AccessTargetV1::Router(router) => (Some(router), None),
        AccessTargetV1::Customer(customer) => (None, Some(customer)),
    };
    let row = Grant {
        id: grant,
        site_id: wanted.site,
        agent_id: agent,
        router_id,
        customer_id,
        target_name: wanted.name,
        service: wanted.service,
        address: address.to_string(),
        port: i32::from(wanted.port),
        listen_port: Some(i32::from(port)),
        reason: wanted.reason,
        operator_id: operator.id,
        operator_name: operator.name.clone(),
        from_address: from.to_string(),
        opened_at: now,
        expires_at,
        served_at: Some(now),
        closed_at: None,
        closed_why: None,
        connections: 0,
        bytes_there: 0,
        bytes_back: 0,
    };
    let mut tx = db.begin(tenant).await?;
    store::insert(&mut tx, &row).await?;
    let line = opening(&row);
    audit::record(&mut tx, &Actor::from(operator), line, now).await?;
    tx.commit().await?;
    let url = page.as_ref().map(|page| page.names.own().to_string());
    let answer = Opened {
        id: grant,
        enter_url: page.as_ref().and_then(page::Page::enter_url),
        url,
        secret,
        host,
        port,
        expires_at,
    };
    let opened = desk::Opened {
        signed_in: SignedIn::of(operator, token),
        from,
        page,
    };
    desk.open(tenant, row, opened, listener);
    Ok(Json(answer))
}

async fn refused(
    live: &Live,
    tenant: easyisp_shared::id::TenantId,
    site: SiteId,
    failure: AskFailure,
    now: Timestamp,
) -> ApiError {
    live.silence(tenant, site, Some(failure), now).await.into()
}

/// The line of the trail that says that a way was opened.
fn opening(grant: &Grant) -> Audit<'_> {
    let (kind, id) = grant.target();
    Audit {
        details: format!(
            "Opened a way to port {} until {}: {}",
            grant.port, grant.expires_at, grant.reason
        ),
        after: Some(json!({
            "access": grant.id, "service": grant.service, "address": grant.address, "port": grant.port,
            "from": grant.from_address, "expiresAt": grant.expires_at,
        })),
        ..Audit::new(Action::AccessOpen, kind, id, &grant.target_name)
    }
}

/// Which ways.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct AccessQuery {
    /// `true`: those that are open alone.
    open: Option<bool>,
}

/// One page of ways, the latest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ways {
    access: Vec<Way>,
    total: i64,
    page: u32,
    page_size: u32,
    total_pages: i64,
}

/// A way.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Way {
    id: AccessGrantId,
    /// To a router, or null.
    nas_id: Option<RouterId>,
    /// To a customer's device, or null.
    customer_id: Option<CustomerId>,
    /// What it is called.
    name: String,
    service: Service,
    /// Where the agent leads to.
    address: String,
    port: i32,
    reason: String,
    /// Who opened it.
    operator: String,
    /// The address that it is open to.
    from: String,
    opened_at: Timestamp,
    expires_at: Timestamp,
    /// Null while it is open.
    closed_at: Option<Timestamp>,
    /// Why it was closed; `STOPPED` also for one whose server was not seen at it for 15 seconds.
    closed_why: Option<Closed>,
    open: bool,
    /// TCP connections so far.
    connections: i64,
    /// Bytes to the device.
    bytes_there: i64,
    /// Bytes from it.
    bytes_back: i64,
}

/// `GET /api/access`: ways to devices that were opened, the latest first.
#[utoipa::path(get, path = "/api/access", tag = "Routers", params(AccessQuery),
    responses((status = 200, body = Ways)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    State(desk): State<Desk>,
    page: Page,
    Query(query): Query<AccessQuery>,
) -> Result<Json<Ways>, ApiError> {
    let now = desk.now();
    let open = query.open.unwrap_or(false);
    let mut tx = db.begin(operator.tenant).await?;
    let total = store::count(&mut tx, open, now).await?;
    let rows = store::list(&mut tx, open, now, page.limit(), page.offset()).await?;
    let ways = rows.into_iter().map(|row| {
        let moved = desk.moved(row.id);
        Way::of(row, moved, now)
    });
    Ok(Json(Ways {
        access: ways.collect(),
        total,
        page: page.number,
        page_size: page.size,
        total_pages: page.total_pages(total),
    }))
}

impl Way {
    fn of(row: Grant, moved: Option<Moved>, now: Timestamp) -> Way {
        let moved = moved.unwrap_or(Moved {
            connections: row.connections,
            there: row.bytes_there,
            back: row.bytes_back,
        });
        // A server that lost its power could not say so.
        let left = match row.served_at {
            Some(seen) if now.since(seen) >= WAY_UNSEEN && seen < row.expires_at => {
                Some((seen, Closed::Stopped))
            }
            _ if row.expires_at <= now => Some((row.expires_at, Closed::Expired)),
            _ => None,
        };
        let left = left.filter(|_| row.closed_at.is_none());
        Way {
            id: row.id,
            nas_id: row.router_id,
            customer_id: row.customer_id,
            name: row.target_name,
            service: row.service,
            address: row.address,
            port: row.port,
            reason: row.reason,
            operator: row.operator_name,
            from: row.from_address,
            opened_at: row.opened_at,
            expires_at: row.expires_at,
            closed_at: row.closed_at.or(left.map(|(at, _)| at)),
            closed_why: row.closed_why.or(left.map(|(_, why)| why)),
            open: row.closed_at.is_none() && left.is_none(),
            connections: moved.connections,
            bytes_there: moved.there,
            bytes_back: moved.back,
        }
    }
}

/// `DELETE /api/access/{id}`: closes a way at once, with every connection by it; within a second where another server of
/// this cloud serves it. One that is closed stays so.
///
/// Errors: 404.
#[utoipa::path(delete, path = "/api/access/{access}", tag = "Routers",
    params(("access" = AccessGrantId, Path)), responses((status = 200, body = Success)))]
pub async fn close(
    operator: Operator,
    State(db): State<Database>,
    State(desk): State<Desk>,
    Path(access): Path<AccessGrantId>,
) -> Result<Json<Success>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let found = store::find(&mut tx, access).await?;
    let found = found.ok_or(ApiError::NotFound("access"))?;
    drop(tx);
    let actor = Actor::from(&operator);
    let now = desk.now();
    if !desk.close(access, Closed::ByHand, &actor).await && found.expires_at > now {
        // Who serves it looks at this; one that lost its power serves nobody.
        let none = Moved::default();
        let mut tx = db.begin(operator.tenant).await?;
        if store::close(&mut tx, access, Closed::ByHand, none, now).await? {
            let line = desk::closing(&found, Closed::ByHand, none);
            audit::record(&mut tx, &actor, line, now).await?;
        }
        tx.commit().await?;
    }
    Ok(Json(Success::YES))
}
