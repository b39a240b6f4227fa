//! The certificates with which routers connect by RadSec: listed, renewed, ended.
//!
//! They are made by their site's box, whose authority they are of; the cloud keeps their serial numbers. A
//! router goes on with the one it has until somebody imports another, so the old one stays good to its end unless
//! the operator says that it shall not.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use easyisp_shared::expiry::{Nearness, nearness};
use easyisp_shared::id::{AgentId, RouterId, SiteId};
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::condition::{CertificateV1, ConditionV1};
use easyisp_shared::wire::question::{Question, Reply};
use easyisp_shared::wire::router::{RouterAsk, RouterTold};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::store::{self, Certificate};
use crate::api::{Json, Path, Query};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::{Database, Kind, Tx};
use crate::error::ApiError;
use crate::sites::{Live, warnings};

/// How a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Validity {
    /// Good for more than 30 days.
    Good,
    /// Ends within 30 days.
    Ending,
    /// Its time is over.
    Ended,
    /// An operator ended it.
    Revoked,
}

/// A router's certificate for RadSec.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    router_id: RouterId,
    router_name: String,
    site_id: SiteId,
    /// In hex.
    serial: String,
    /// Null for one that was made on the box itself.
    issued_at: Option<Timestamp>,
    ends_at: Timestamp,
    revoked_at: Option<Timestamp>,
    status: Validity,
    /// Whether the router connected with it last.
    in_use: bool,
}

/// Certificates, router by router.
#[derive(Serialize, ToSchema)]
pub struct Certificates {
    certificates: Vec<Shown>,
}

/// Whose.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct ListQuery {
    /// Of one site.
    site_id: Option<SiteId>,
    /// Of one router.
    router_id: Option<RouterId>,
}

/// `GET /api/nas/certificates`: the RadSec certificates of a site's routers, of one router, or of all; by router,
/// the last to end first.
#[utoipa::path(get, path = "/api/nas/certificates", tag = "Routers", params(ListQuery),
    responses((status = 200, body = Certificates)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Certificates>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let holders = store::holders(&mut tx, query.site_id, query.router_id).await?;
    let ids: Vec<RouterId> = holders.iter().map(|holder| holder.id).collect();
    let mut sites: Vec<SiteId> = holders.iter().map(|holder| holder.site_id).collect();
    sites.sort_unstable();
    sites.dedup();
    let told = warnings::conditions(&mut tx, &sites, now).await?;
    let mut known = known(&mut tx, &ids, &told).await?;
    let shown = holders.into_iter().flat_map(|holder| {
        let held = known.remove(&holder.id).unwrap_or_default();
        held.into_iter().map(move |one| Shown {
            router_id: holder.id,
            router_name: holder.name.clone(),
            site_id: holder.site_id,
            status: validity(&one.stored, now),
            in_use: one.in_use,
            serial: one.stored.serial,
            issued_at: one.stored.issued_at,
            ends_at: one.stored.ends_at,
            revoked_at: one.stored.revoked_at,
        })
    });
    Ok(Json(Certificates {
        certificates: shown.collect(),
    }))
}

/// What shall become of the router's other certificates.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Renewal {
    /// End them now: the router is not served by RadSec until it has the new one. Else each stays good to its end.
    #[serde(default)]
    end_others: bool,
}

/// A certificate with its key: shown once, stored nowhere.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Issued {
    serial: String,
    ends_at: Timestamp,
    /// PEM.
    certificate: String,
    /// PEM.
    key: String,
    /// By which the router knows its site's box, PEM.
    authority: String,
    /// Serial numbers of those that were ended for it.
    ended: Vec<String>,
}

/// `POST /api/nas/{router}/certificates`: a new RadSec certificate, made by the site's box; the first or the next.
///
/// Import all three at the router and connect with the new one; the shared secret is `radsec`. Each call makes
/// another. Errors: 403 `FRESH_LOGIN_REQUIRED`, 404, 409 `TOO_MANY_CERTIFICATES`, 422 where the box does not
/// answer by RadSec, 502, 503 or 504 when the site is away.
#[utoipa::path(post, path = "/api/nas/{router}/certificates", tag = "Routers", request_body = Renewal,
    params(("router" = RouterId, Path)), responses((status = 201, body = Issued),
        (status = 502, description = "The site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn issue(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
    Json(renewal): Json<Renewal>,
) -> Result<(StatusCode, Json<Issued>), ApiError> {
    let now = clock.now();
    operator.fresh(now)?;
    let mut tx = db.begin(operator.tenant).await?;
    let (site, held) = lock(&mut tx, router, now).await?;
    let lasting = held.iter().filter(|one| one.stored.ends_at > now).count();
    if lasting >= usize::try_from(store::MOST_CERTIFICATES).unwrap_or(usize::MAX) {
        return Err(ApiError::conflict(
            "TOO_MANY_CERTIFICATES",
            format!(
                "{lasting} certificates of this router have not come to their end; wait for one"
            ),
        ));
    }
    drop(tx);

    let question = Question::Router {
        router,
        ask: RouterAsk::Certificate,
    };
    let told = live.ask(operator.tenant, site, &question, PATIENCE, now);
    let Reply::Router(RouterTold::Certificate(issued)) = told.await? else {
        return Err(ApiError::BadGateway {
            message: "The site answered something else".to_owned(),
        });
    };

    let mut tx = db.begin(operator.tenant).await?;
    let (_, held) = lock(&mut tx, router, now).await?;
    let serial = hex::encode(&issued.named.serial);
    let made = Certificate {
        router_id: router,
        serial: serial.clone(),
        issued_at: Some(now),
        begins_at: issued.named.from,
        ends_at: issued.named.until,
        revoked_at: None,
        is_alone: renewal.end_others,
    };
    store::put_certificate(&mut tx, &made, now.minus(KEPT)).await?;
    let mut ended = Vec::new();
    if renewal.end_others {
        for other in held.into_iter().filter(|one| one.is_good(now)) {
            end(&mut tx, other.stored.clone(), now).await?;
            ended.push(other.stored.serial);
        }
        tx.changed(Kind::Router, router);
    }
    let details = match ended.as_slice() {
        [] => serial.clone(),
        ended => format!("{serial}; ended {}", ended.join(", ")),
    };
    note(
        &mut tx,
        &operator,
        router,
        (Action::RouterCertificate, details),
        now,
    )
    .await?;
    tx.commit().await?;
    let issued = *issued;
    Ok(Json(Issued {
        serial,
        ends_at: issued.named.until,
        certificate: issued.certificate,
        key: issued.key,
        authority: issued.authority,
        ended,
    })
    .with(StatusCode::CREATED))
}

/// `DELETE /api/nas/{router}/certificates/{serial}`: ends a certificate now; the site's box hears no more of who
/// shows it. Repeating it changes nothing. Errors: 404 where neither we nor the site know it.
#[utoipa::path(delete, path = "/api/nas/{router}/certificates/{serial}", tag = "Routers",
    params(("router" = RouterId, Path), ("serial" = String, Path)), responses((status = 204)))]
pub async fn revoke(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path((router, serial)): Path<(RouterId, String)>,
) -> Result<StatusCode, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let (_, held) = lock(&mut tx, router, now).await?;
    let one = held.into_iter().find(|one| one.stored.serial == serial);
    let one = one.ok_or(ApiError::NotFound("certificate"))?;
    end(&mut tx, one.stored, now).await?;
    note(
        &mut tx,
        &operator,
        router,
        (Action::RouterCertificateEnd, serial),
        now,
    )
    .await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// When the certificates of some routers end on which their RadSec rests: the one in use, as their agents tell,
/// else the last of those that we know.
pub async fn ends(
    tx: &mut Tx,
    routers: &[RouterId],
    told: &[(SiteId, AgentId, ConditionV1)],
) -> sqlx::Result<HashMap<RouterId, Timestamp>> {
    let known = known(tx, routers, told).await?;
    let ends = known.into_iter().filter_map(|(router, held)| {
        let good = || held.iter().filter(|one| one.stored.revoked_at.is_none());
        let used = good()
            .filter(|one| one.in_use)
            .map(|one| one.stored.ends_at);
        let last = good().map(|one| one.stored.ends_at);
        Some((router, used.min().or_else(|| last.max())?))
    });
    Ok(ends.collect())
}

/// What the agents of a router refuse: the serial numbers, and every one that begins before an instant.
pub async fn ended(
    tx: &mut Tx,
    router: RouterId,
) -> sqlx::Result<(Vec<Vec<u8>>, Option<Timestamp>)> {
    let held = store::certificates(tx, &[router]).await?;
    let ended = held.iter().filter(|one| one.revoked_at.is_some());
    let ended = ended
        .filter_map(|one| hex::decode(&one.serial).ok())
        .collect();
    Ok((ended, since(&held).map(|alone| alone.begins_at)))
}

/// The last one that ended all before it.
fn since(held: &[Certificate]) -> Option<&Certificate> {
    let alone = held.iter().filter(|one| one.is_alone);
    alone.max_by_key(|one| one.begins_at)
}

/// A certificate that is known of.
struct Known {
    stored: Certificate,
    in_use: bool,
}

impl Known {
    fn is_good(&self, now: Timestamp) -> bool {
        self.stored.revoked_at.is_none() && self.stored.ends_at > now
    }
}

/// What is stored of some routers' certificates and what their agents tell, the last to end first.
async fn known(
    tx: &mut Tx,
    routers: &[RouterId],
    told: &[(SiteId, AgentId, ConditionV1)],
) -> sqlx::Result<HashMap<RouterId, Vec<Known>>> {
    let mut known: HashMap<RouterId, Vec<Known>> = HashMap::new();
    for stored in store::certificates(tx, routers).await? {
        let held = known.entry(stored.router_id).or_default();
        held.push(Known {
            stored,
            in_use: false,
        });
    }
    let told = told.iter().flat_map(|(_, _, told)| &told.routers);
    for told in told.filter(|told| routers.contains(&told.router)) {
        let Some(shown) = &told.certificate else {
            continue;
        };
        let held = known.entry(told.router).or_default();
        let serial = hex::encode(&shown.serial);
        match held.iter_mut().find(|one| one.stored.serial == serial) {
            Some(one) => one.in_use = true,
            None => {
                let alone = held.iter().map(|one| &one.stored);
                let alone = alone.filter(|one| one.is_alone && one.begins_at > shown.from);
                let revoked_at = alone.filter_map(|one| one.issued_at).min();
                held.push(heard_of(told.router, serial, shown, revoked_at));
            }
        }
    }
    for held in known.values_mut() {
        held.sort_by_key(|one| std::cmp::Reverse(one.stored.ends_at));
    }
    Ok(known)
}

fn heard_of(
    router: RouterId,
    serial: String,
    shown: &CertificateV1,
    revoked_at: Option<Timestamp>,
) -> Known {
    Known {
        stored: Certificate {
            router_id: router,
            serial,
            issued_at: None,
            begins_at: shown.from,
            ends_at: shown.until,
            revoked_at,
            is_alone: false,
        },
        in_use: true,
    }
}

async fn lock(
    tx: &mut Tx,
    router: RouterId,
    now: Timestamp,
) -> Result<(SiteId, Vec<Known>), ApiError> {
    if !store::lock(tx, router).await? {
        return Err(ApiError::NotFound("router"));
    }
    let site = store::site_of(tx, router).await?;
    let site = site.ok_or(ApiError::NotFound("router"))?;
    let told = warnings::conditions(tx, &[site], now).await?;
    let mut known = known(tx, &[router], &told).await?;
    Ok((site, known.remove(&router).unwrap_or_default()))
}

async fn end(tx: &mut Tx, certificate: Certificate, now: Timestamp) -> sqlx::Result<()> {
    let ended = Certificate {
        revoked_at: Some(now),
        ..certificate
    };
    store::end_certificate(tx, &ended).await?;
    tx.changed(Kind::Router, ended.router_id);
    Ok(())
}

async fn note(
    tx: &mut Tx,
    operator: &Operator,
    router: RouterId,
    (action, details): (Action, String),
    now: Timestamp,
) -> Result<(), ApiError> {
    let name = super::lock_named(tx, router).await?.unwrap_or_default();
    let line = Audit {
        details,
        ..Audit::new(action, "router", router, &name)
    };
    audit::record(tx, &Actor::from(operator), line, now).await?;
    Ok(())
}

fn validity(stored: &Certificate, now: Timestamp) -> Validity {
    match stored.revoked_at {
        Some(_) => Validity::Revoked,
        None => match nearness(stored.ends_at, now) {
            None => Validity::Good,
            Some(Nearness::Month | Nearness::Fortnight | Nearness::Week) => Validity::Ending,
            Some(Nearness::Over) => Validity::Ended,
        },
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
/// How long one is listed after its end.
const KEPT: Duration = Duration::from_secs(90 * 86_400);
