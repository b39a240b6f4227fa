//! `/api/packages`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use easyisp_shared::id::{PackageId, RouterId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rules::{self, Change, Draft};
use super::store::{self, By};
use super::terms::Terms;
use super::words::{PackageType, Period};
use crate::api::{Idempotency, Json, Path, Query, Sort, Success, Version, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::{Operator, Permission};
use crate::db::{Database, Tx};
use crate::error::{ApiError, violated};
use crate::ledger;
use crate::sites;

/// A package.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Package {
    id: PackageId,
    name: String,
    #[serde(rename = "type")]
    kind: PackageType,
    price: Cents,
    /// Mbit/s.
    download_speed: i32,
    /// Mbit/s.
    upload_speed: i32,
    burst_download: Option<i32>,
    burst_upload: Option<i32>,
    /// Minutes; null = calendar months.
    session_time: Option<i64>,
    session_time_unit: &'static str,
    period: Period,
    /// Bytes; null = unlimited.
    data_limit: Option<i64>,
    data_limit_unit: &'static str,
    /// Devices at once.
    devices: i32,
    is_active: bool,
    terms: Terms,
    customer_count: i64,
    /// Those that were taken back are not counted.
    voucher_count: i64,
    routers: Vec<RouterRef>,
    router_ids: Vec<RouterId>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// A router a package is sold at.
#[derive(Serialize, ToSchema)]
pub struct RouterRef {
    id: RouterId,
    name: String,
}

impl From<store::Row> for Package {
    fn from(row: store::Row) -> Package {
        let draft = row.stored.draft();
        let names = row.router_names.into_iter();
        Package {
            id: row.stored.id,
            name: draft.name,
            kind: draft.kind,
            price: draft.price,
            download_speed: draft.download_mbps,
            upload_speed: draft.upload_mbps,
            burst_download: draft.burst_download,
            burst_upload: draft.burst_upload,
            session_time: draft.period.minutes(),
            session_time_unit: "MINUTES",
            period: draft.period,
            data_limit: draft.data_limit,
            data_limit_unit: "bytes",
            devices: draft.devices,
            is_active: draft.is_active,
            terms: draft.terms,
            customer_count: row.customers,
            voucher_count: row.vouchers,
            routers: row
                .router_ids
                .iter()
                .zip(names)
                .map(|(id, name)| RouterRef { id: *id, name })
                .collect(),
            router_ids: row.router_ids,
            created_at: row.stored.created_at,
            updated_at: row.stored.updated_at,
        }
    }
}

/// What a client says of a package. Everything may be sent back as it was returned; fields of no
/// meaning here are ignored.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageRequest {
    #[serde(default, deserialize_with = "blank::option")]
    name: Option<String>,
    #[serde(default, rename = "type", deserialize_with = "blank::option")]
    kind: Option<PackageType>,
    #[serde(default, deserialize_with = "blank::option")]
    price: Option<Cents>,
    #[serde(default, deserialize_with = "blank::option")]
    download_speed: Option<i32>,
    #[serde(default, deserialize_with = "blank::option")]
    upload_speed: Option<i32>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<i32>)]
    burst_download: Option<Option<i32>>,
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<i32>)]
    burst_upload: Option<Option<i32>>,
    /// Minutes; null = one calendar month.
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<i64>)]
    session_time: Option<Option<i64>>,
    #[serde(default, deserialize_with = "blank::option")]
    period: Option<Period>,
    /// Bytes, as number or text; null = unlimited.
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<i64>)]
    data_limit: Option<Option<Bytes>>,
    #[serde(default, deserialize_with = "blank::option")]
    devices: Option<i32>,
    #[serde(default, deserialize_with = "blank::option")]
    is_active: Option<bool>,
    /// Time limit, fair use, hours, burst, names on the router; replaced as a whole.
    #[serde(default, deserialize_with = "blank::option")]
    terms: Option<Terms>,
    #[serde(default, deserialize_with = "blank::option")]
    router_ids: Option<Vec<RouterId>>,
}

/// A number of bytes, written as a number or as text.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "must be a whole number of bytes")]
enum Bytes {
    Number(i64),
    #[serde(deserialize_with = "from_text")]
    Text(i64),
}

fn from_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.trim()
        .parse()
        .map_err(|_| serde::de::Error::custom("must be a whole number of bytes"))
}

impl PackageRequest {
    fn change(&self) -> Change {
        Change {
            name: self.name.clone(),
            kind: self.kind,
            price: self.price,
            download_mbps: self.download_speed,
            upload_mbps: self.upload_speed,
            burst_download: self.burst_download,
            burst_upload: self.burst_upload,
            session_time: self.session_time,
            period: self.period,
            data_limit: self.data_limit.map(|limit| {
                limit.map(|limit| match limit {
                    Bytes::Number(bytes) | Bytes::Text(bytes) => bytes,
                })
            }),
            devices: self.devices,
            is_active: self.is_active,
            terms: self.terms.clone(),
        }
    }
}

/// Which packages.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct ListQuery {
    /// `PPPOE` or `HOTSPOT`; `DHCP` and `STATIC` mean the packages of homes.
    #[serde(rename = "type")]
    #[param(value_type = Option<String>)]
    kind: Option<For>,
    /// The same as `type`.
    #[param(value_type = Option<String>)]
    connection_type: Option<For>,
    /// Only those that are sold, or only those that are not.
    active: Option<bool>,
    /// Only those that are sold at this router.
    #[param(value_type = Option<String>)]
    router_id: Option<RouterId>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum For {
    #[serde(alias = "pppoe", alias = "DHCP", alias = "STATIC")]
    Pppoe,
    #[serde(alias = "hotspot")]
    Hotspot,
}

impl From<For> for PackageType {
    fn from(wanted: For) -> PackageType {
        match wanted {
            For::Pppoe => PackageType::Pppoe,
            For::Hotspot => PackageType::Hotspot,
        }
    }
}

/// `GET /api/packages`: the newest 1,000 packages, or the first in the order that is asked for, as a bare list.
#[utoipa::path(get, path = "/api/packages", tag = "Packages", params(ListQuery, Sort<By>),
    responses((status = 200, body = Vec<Package>)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    sort: Sort<By>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Vec<Package>>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let kind = query.kind.or(query.connection_type).map(PackageType::from);
    let rows = store::list(&mut tx, kind, query.active, query.router_id, sort, 1000).await?;
    Ok(Json(rows.into_iter().map(Package::from).collect()))
}

/// `GET /api/packages/{package}`. 404 when this tenant has no such package.
#[utoipa::path(get, path = "/api/packages/{package}", tag = "Packages",
    params(("package" = PackageId, Path)), responses((status = 200, body = Package)))]
pub async fn get(
    operator: Operator,
    State(db): State<Database>,
    Path(package): Path<PackageId>,
) -> Result<Response, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let row = find(&mut tx, package).await?;
    Ok(Version(row.stored.version).of(Package::from(row)))
}

/// `POST /api/packages`: a new package, known to every site at once.
///
/// `sessionTime` null = one calendar month (hotspot: 30 days). Errors: 400 naming the fields, 403 without
/// the permission of its type, 409 when the name is taken among packages of that type.
#[utoipa::path(post, path = "/api/packages", tag = "Packages", request_body = PackageRequest,
    responses((status = 201, body = Package)))]
pub async fn create(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    mut idempotency: Idempotency,
    Json(request): Json<PackageRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let draft = rules::draft(request.change(), None).map_err(ApiError::fields)?;
    operator.require(add_permission(draft.kind))?;

    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let package = super::create(&mut tx, &draft, now)
        .await
        .map_err(name_taken)?;
    set_routers(&mut tx, package, request.router_ids.as_deref()).await?;
    let row = find(&mut tx, package).await?;
    note(&mut tx, &operator, Action::PackageCreate, &row, None, now).await?;
    let answer = idempotency
        .finish(&mut tx, StatusCode::CREATED, &Package::from(row))
        .await?;
    tx.commit().await?;
    Ok(answer)
}

/// `PUT /api/packages/{package}`: changes what is mentioned; the whole object may be sent back.
///
/// Live sessions of its customers follow. With `If-Match` only that version is changed, else 412. Errors: 400
/// `PACKAGE_IN_USE` when it is switched off, or its type changed, while customers have it; 404; 409 when the
/// name is taken.
#[utoipa::path(put, path = "/api/packages/{package}", tag = "Packages",
    params(("package" = PackageId, Path)), request_body = PackageRequest,
    responses((status = 200, body = Package)))]
pub async fn update(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(package): Path<PackageId>,
    headers: HeaderMap,
    Json(request): Json<PackageRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, package).await?;
    Version(row.stored.version).is_meant(&headers)?;
    let before = row.stored.draft();
    let draft = rules::draft(request.change(), Some(&before)).map_err(ApiError::fields)?;
    if let Some(why) = super::refused_in_use(&before, &draft, row.customers) {
        return Err(ApiError::bad_request("PACKAGE_IN_USE", why));
    }
    super::change(&mut tx, package, &before, &draft, now)
        .await
        .map_err(name_taken)?;
    set_routers(&mut tx, package, request.router_ids.as_deref()).await?;
    let row = find(&mut tx, package).await?;
    note(
        &mut tx,
        &operator,
        Action::PackageUpdate,
        &row,
        Some(&before),
        now,
    )
    .await?;
    tx.commit().await?;
    Ok(Version(row.stored.version).of(Package::from(row)))
}

/// `DELETE /api/packages/{package}`: 400 `PACKAGE_IN_USE` while customers have it, 409 `PACKAGE_HAS_VOUCHERS` while
/// vouchers of it can be used: their codes are sold.
#[utoipa::path(delete, path = "/api/packages/{package}", tag = "Packages",
    params(("package" = PackageId, Path)), responses((status = 200, body = Success)))]
pub async fn delete(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(package): Path<PackageId>,
) -> Result<Json<Success>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, package).await?;
    if row.customers > 0 {
        let why = rules::in_use(row.customers, "delete it");
        return Err(ApiError::bad_request("PACKAGE_IN_USE", why));
    }
    let vouchers = store::usable_vouchers(&mut tx, package, now).await?;
    if vouchers > 0 {
        let why = rules::has_vouchers(vouchers);
        return Err(ApiError::conflict("PACKAGE_HAS_VOUCHERS", why));
    }
    super::hide(&mut tx, package, now).await?;
    note(&mut tx, &operator, Action::PackageDelete, &row, None, now).await?;
    tx.commit().await?;
    Ok(Json(Success::YES))
}

/// How a package does.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    total_clients: i64,
    active_clients: i64,
    expired_clients: i64,
    suspended_clients: i64,
    /// What its periods were sold for, without the taxes in it.
    revenue: Cents,
}

/// `GET /api/packages/{package}/stats`: its customers by status, and its revenue: what was sold ahead and what was billed
/// by the month, without taxes.
#[utoipa::path(get, path = "/api/packages/{package}/stats", tag = "Packages",
    params(("package" = PackageId, Path)), responses((status = 200, body = Stats)))]
pub async fn stats(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(package): Path<PackageId>,
) -> Result<Json<Stats>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    find(&mut tx, package).await?;
    let stats = store::stats(&mut tx, package, clock.now()).await?;
    Ok(Json(Stats {
        total_clients: stats.total,
        active_clients: stats.active,
        expired_clients: stats.expired,
        suspended_clients: stats.suspended,
        revenue: ledger::earned_with(&mut tx, package).await?,
    }))
}

/// What a package brought in at one router.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouterRevenue {
    router_id: RouterId,
    router_name: String,
    revenue: Cents,
}

/// `GET /api/packages/{package}/router-revenue`: a bare list, the best router first.
#[utoipa::path(get, path = "/api/packages/{package}/router-revenue", tag = "Packages",
    params(("package" = PackageId, Path)), responses((status = 200, body = Vec<RouterRevenue>)))]
pub async fn router_revenue(
    operator: Operator,
    State(db): State<Database>,
    Path(package): Path<PackageId>,
) -> Result<Json<Vec<RouterRevenue>>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    find(&mut tx, package).await?;
    let rows = store::router_revenue(&mut tx, package).await?;
    let revenue = |(router_id, router_name, revenue)| RouterRevenue {
        router_id,
        router_name,
        revenue,
    };
    Ok(Json(rows.into_iter().map(revenue).collect()))
}

async fn find(tx: &mut Tx, package: PackageId) -> Result<store::Row, ApiError> {
    let row = store::find(tx, package).await?;
    row.ok_or(ApiError::NotFound("package"))
}

async fn locked(tx: &mut Tx, package: PackageId) -> Result<store::Row, ApiError> {
    sites::stand_still(tx).await?;
    if !store::lock(tx, package).await? {
        return Err(ApiError::NotFound("package"));
    }
    find(tx, package).await
}

async fn set_routers(
    tx: &mut Tx,
    package: PackageId,
    routers: Option<&[RouterId]>,
) -> Result<(), ApiError> {
    let Some(routers) = routers else {
        return Ok(());
    };
    let known = store::known_routers(tx, routers).await?;
    if let Some(at) = routers.iter().position(|router| !known.contains(router)) {
        return Err(ApiError::field(
            format!("routerIds[{at}]"),
            "is no router of yours",
        ));
    }
    store::set_routers(tx, package, routers).await?;
    Ok(())
}

fn add_permission(kind: PackageType) -> Permission {
    match kind {
        PackageType::Pppoe => Permission::PackagesAddPppoe,
        PackageType::Hotspot => Permission::PackagesAddHotspot,
    }
}

fn name_taken(error: sqlx::Error) -> ApiError {
    match violated(&error) {
        Some("package_name") => ApiError::conflict(
            "PACKAGE_NAME_TAKEN",
            "There is a package of this name and type already",
        ),
        _ => error.into(),
    }
}

async fn note(
    tx: &mut Tx,
    operator: &Operator,
    action: Action,
    row: &store::Row,
    before: Option<&Draft>,
    now: Timestamp,
) -> Result<(), ApiError> {
    let after = row.stored.draft();
    let details = match before.map(|before| rules::differences(before, &after)) {
        Some(differences) if differences.is_empty() => "Nothing changed".to_owned(),
        Some(differences) => format!("Changed {}", differences.join(", ")),
        None => format!(
            "{} {} at {}",
            after.name,
            after.rate().to_mikrotik(),
            after.price
        ),
    };
    let audit = Audit {
        details,
        ..Audit::new(action, "package", row.stored.id, &after.name)
    };
    audit::record(tx, &Actor::from(operator), audit, now).await?;
    Ok(())
}
