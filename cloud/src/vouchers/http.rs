//! `/api/vouchers`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use easyisp_shared::id::{CustomerId, PackageId, SiteId, VoucherBatchId, VoucherId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::voucher::VoucherCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::jobs::{MAKE, make_some};
use super::redeem::Shown;
use super::rules::{AT_ONCE, Status, Wanted, face_secs};
use super::store::{self, By, Filter, ListRow, Sold};
use super::words::Stored;
use super::{CODE, VoucherError, ask, sale};
use crate::api::{Idempotency, Json, Page, Path, Query, Sort, Success, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::{Database, Kind, Tx};
use crate::due;
use crate::error::ApiError;
use crate::ledger;
use crate::packages::{self, Period};
use crate::secrets::{SecretError, Secrets, TenantKey};
use crate::sites::{self, Questions};

/// A voucher.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Voucher {
    id: VoucherId,
    /// As it is typed, without `V-`.
    code: String,
    status: Status,
    package_id: PackageId,
    package: VoucherPackage,
    batch_id: VoucherBatchId,
    used_by: Option<UsedBy>,
    used_at: Option<Timestamp>,
    /// When it can no longer be used for the first time; null = never.
    expires_at: Option<Timestamp>,
    created_at: Timestamp,
}

/// What a voucher gives, at the price it was made for.
#[derive(Serialize, ToSchema)]
pub struct VoucherPackage {
    id: PackageId,
    name: String,
    price: Cents,
}

/// Who used a voucher.
#[derive(Serialize, ToSchema)]
pub struct UsedBy {
    id: CustomerId,
    name: String,
}

impl Voucher {
    fn of(row: ListRow, key: &TenantKey, now: Timestamp) -> Result<Voucher, SecretError> {
        let code = key.open(CODE, row.id.0, &row.code_sealed)?;
        Ok(Voucher {
            id: row.id,
            code: String::from_utf8_lossy(&code).into_owned(),
            status: Status::of(row.status, row.expires_at, now),
            package_id: row.package_id,
            package: VoucherPackage {
                id: row.package_id,
                name: row.package_name,
                price: row.price,
            },
            batch_id: row.batch_id,
            used_by: row.customer_id.map(|id| UsedBy {
                id,
                name: row.customer_name.unwrap_or_default(),
            }),
            used_at: row.used_at,
            expires_at: row.expires_at,
            created_at: row.created_at,
        })
    }
}

/// A batch to make. Fields of no meaning here are ignored.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchRequest {
    /// 1 to 100,000; over 500 are made in the background.
    #[serde(default, alias = "quantity", deserialize_with = "blank::option")]
    count: Option<i64>,
    #[serde(default, deserialize_with = "blank::option")]
    package_id: Option<PackageId>,
    /// Letters before each code, at most 8.
    #[serde(default, deserialize_with = "blank::option")]
    prefix: Option<String>,
    /// 6 to 16; under 10 means 10.
    #[serde(default, deserialize_with = "blank::option")]
    code_length: Option<i64>,
    /// Until when a code can be used for the first time; absent = without end.
    #[serde(default, deserialize_with = "blank::option")]
    expires_at: Option<Timestamp>,
    /// The site that lets the codes in without asking; absent = the tenant's only site, or the cloud where
    /// there are several.
    #[serde(default, deserialize_with = "blank::option")]
    site_id: Option<SiteId>,
}

/// Vouchers that were made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Made {
    success: bool,
    count: usize,
    batch_id: VoucherBatchId,
    codes: Vec<String>,
    vouchers: Vec<Voucher>,
    package: VoucherPackage,
}

/// A batch that is being made, or a repeat's reminder of it.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Making {
    batch_id: VoucherBatchId,
}

/// `POST /api/vouchers`: makes a batch. Up to 500 codes are in the answer (201); more, up to 100,000, are
/// made in the background (202 with `batchId`; list them by it).
///
/// A voucher's time, data and price are its package's at this moment; a month counts 30 days. Repeating a
/// request with its `Idempotency-Key` makes nothing more and answers with the same codes. A seller takes them out of his
/// float at their price; who revokes one that nobody used gives it back. Errors: 400 naming the fields, 409
/// `FLOAT_USED_UP`, 422 `PACKAGE_NOT_SOLD`.
#[utoipa::path(post, path = "/api/vouchers", tag = "Vouchers", request_body = BatchRequest,
    responses((status = 201, body = Made), (status = 202, body = Making)))]
pub async fn create(
    operator: Operator,
    State(db): State<Database>,
    State(secrets): State<Secrets>,
    State(clock): State<Clock>,
    mut idempotency: Idempotency,
    Json(request): Json<BatchRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let site = request.site_id;
    let wanted = Wanted {
        package: request.package_id,
        quantity: request.count,
        prefix: request.prefix,
        code_length: request.code_length,
        expires_at: request.expires_at,
    };
    let batch = wanted.batch(now).map_err(ApiError::fields)?;

    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        let batch_id = remembered(answer).await?;
        return made(&mut tx, &secrets, batch_id, now).await;
    }
    let holder = holder(&mut tx, site).await?;
    let sold = sold(&mut tx, batch.package).await?;
    if let Some(holder) = holder
        && !packages::is_sold_at(&mut tx, batch.package, None, holder).await?
    {
        return Err(ApiError::field(
            "packageId",
            "is not sold at this site; choose one that is, or add a router of the site to the package's routerIds",
        ));
    }
    let id = VoucherBatchId::new(now, &tx.entropy());
    let period = Period {
        count: sold.period_count,
        unit: sold.period_unit,
    };
    store::insert_batch(&mut tx, id, &batch, &sold, face_secs(period), holder, now).await?;
    if ledger::is_seller(&mut tx, operator.id).await? {
        sale::take(&mut tx, operator.id, id, (batch.quantity, sold.price), now).await?;
    }
    let line = Audit {
        details: format!("{} of {} at {}", batch.quantity, sold.name, sold.price),
        ..Audit::new(Action::VoucherGenerate, "voucher batch", id, &sold.name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    // The codes are not kept with the key: they stand sealed in their own table alone.
    let status = match batch.quantity <= AT_ONCE {
        true => StatusCode::CREATED,
        false => StatusCode::ACCEPTED,
    };
    idempotency
        .finish(&mut tx, status, &Making { batch_id: id })
        .await?;
    match batch.quantity <= AT_ONCE {
        true => {
            make_some(&mut tx, &secrets, id, now).await?;
        }
        false => due::at(&mut tx, MAKE, id.0, now).await?,
    }
    let answer = made(&mut tx, &secrets, id, now).await?;
    tx.commit().await?;
    Ok(answer)
}

/// Which vouchers.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct ListQuery {
    /// How they stand.
    status: Option<Status>,
    /// Of one package.
    package_id: Option<PackageId>,
    /// Of one batch.
    batch_id: Option<VoucherBatchId>,
    /// A whole code, or part of the name of who used it.
    search: Option<String>,
}

/// A page of vouchers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct List {
    vouchers: Vec<Voucher>,
    stats: Stats,
    total: i64,
    page: u32,
    page_size: u32,
}

/// All vouchers of the tenant by how they stand.
#[derive(Serialize, ToSchema)]
pub struct Stats {
    total: i64,
    available: i64,
    used: i64,
    expired: i64,
    revoked: i64,
}

/// `GET /api/vouchers`: the newest first, or sorted as asked; without `page` the first 1,000.
#[utoipa::path(get, path = "/api/vouchers", tag = "Vouchers",
    params(ListQuery, Sort<By>, ("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query)),
    responses((status = 200, body = List)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    State(secrets): State<Secrets>,
    State(clock): State<Clock>,
    page: Page,
    sort: Sort<By>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let key = secrets.tenant(&mut tx).await?;
    let search = query.search.filter(|search| !search.trim().is_empty());
    let code = search.as_deref().and_then(VoucherCode::parse);
    let filter = Filter {
        status: query.status,
        package: query.package_id,
        batch: query.batch_id,
        digest: code.map(|code| code.digest(&key.voucher_key()).to_vec()),
        name: search.map(|search| search.trim().to_owned()),
    };
    let rows = store::list(&mut tx, &filter, sort, page, now).await?;
    let total = store::count(&mut tx, &filter, now).await?;
    let totals = store::totals(&mut tx, now).await?;
    Ok(Json(List {
        vouchers: opened(rows, &key, now)?,
        stats: Stats {
            total: totals.total,
            available: totals.available,
            used: totals.used,
            expired: totals.expired,
            revoked: totals.revoked,
        },
        total,
        page: page.number,
        page_size: page.size,
    }))
}

/// `DELETE /api/vouchers/{voucher}`: nobody may use it any more. A repeat changes nothing.
///
/// The site that holds it hears it at once where it is connected; a use that happened there before it
/// heard is reported and stands. Errors: 400 `VOUCHER_USED`, 404.
#[utoipa::path(delete, path = "/api/vouchers/{voucher}", tag = "Vouchers",
    params(("voucher" = VoucherId, Path)), responses((status = 200, body = Success)))]
pub async fn revoke(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(voucher): Path<VoucherId>,
) -> Result<Json<Success>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = store::lock(&mut tx, voucher).await?;
    let row = row.ok_or(ApiError::NotFound("voucher"))?;
    match Status::of(row.status, row.expires_at, now) {
        Status::Used => {
            return Err(ApiError::bad_request(
                "VOUCHER_USED",
                "This voucher was used; end its user's time at the customer instead",
            ));
        }
        Status::Revoked => return Ok(Json(Success::YES)),
        Status::Available | Status::Expired => {}
    }
    store::set_revoked(&mut tx, voucher, now).await?;
    if row.status == Stored::Available {
        sale::give_back(&mut tx, voucher, now).await?;
    }
    tx.changed(Kind::Voucher, voucher);
    let name = easyisp_shared::voucher::username(voucher);
    let line = Audit::new(Action::VoucherDelete, "voucher", voucher, &name);
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(Success::YES))
}

/// A code to use.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedeemRequest {
    /// As it was typed: any case, with spaces, dashes or `V-`.
    code: String,
    /// Who gets the period; absent = a new hotspot customer, who logs in with the code.
    #[serde(default, deserialize_with = "blank::option")]
    customer_id: Option<CustomerId>,
}

/// A voucher that was used.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedeemAnswer {
    success: bool,
    voucher_id: VoucherId,
    customer_id: CustomerId,
    /// When his time ends.
    expires_at: Timestamp,
}

/// `POST /api/vouchers/redeem`: the voucher's time begins now, once, for the customer named or for a new
/// one who logs in with `V-<CODE>` and the code. A site that holds the voucher is asked first.
///
/// Errors: 400 when it cannot be a code, 404 unknown code or customer, 409 `VOUCHER_USED`, or `FOLLOWS_PARENT`
/// for a child account, 422 `VOUCHER_EXPIRED`, `VOUCHER_REVOKED` or `VOUCHER_DOES_NOT_FIT`, 503 when the holding
/// site cannot be reached: the code still works there.
#[utoipa::path(post, path = "/api/vouchers/redeem", tag = "Vouchers", request_body = RedeemRequest,
    responses((status = 200, body = RedeemAnswer),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn redeem(
    operator: Operator,
    State(db): State<Database>,
    State(secrets): State<Secrets>,
    State(clock): State<Clock>,
    State(questions): State<Questions>,
    Json(request): Json<RedeemRequest>,
) -> Result<Json<RedeemAnswer>, ApiError> {
    let code = VoucherCode::parse(&request.code)
        .ok_or_else(|| ApiError::field("code", "is no voucher code"))?;
    let mut tx = db.begin(operator.tenant).await?;
    let digest = code.digest(&secrets.tenant(&mut tx).await?.voucher_key());
    tx.rollback().await?;
    let shown = Shown {
        digest,
        customer: request.customer_id,
        mac: None,
        agent: None,
        released: None,
        voted: None,
    };
    let actor = Actor::from(&operator);
    let let_in = ask::show(
        &db,
        &secrets,
        &questions,
        operator.tenant,
        shown,
        &actor,
        &clock,
    )
    .await
    .map_err(|error: VoucherError| ApiError::from(error))?;
    Ok(Json(RedeemAnswer {
        success: true,
        voucher_id: let_in.voucher.voucher,
        customer_id: let_in.customer,
        expires_at: let_in.until,
    }))
}

/// The batch of the request that this one repeats.
async fn remembered(answer: Response) -> Result<VoucherBatchId, ApiError> {
    let body = axum::body::to_bytes(answer.into_body(), 4096)
        .await
        .map_err(ApiError::internal)?;
    let making: Making = serde_json::from_slice(&body).map_err(ApiError::internal)?;
    Ok(making.batch_id)
}

/// A batch as its maker is told of it: its codes, or that they are being made.
async fn made(
    tx: &mut Tx,
    secrets: &Secrets,
    batch: VoucherBatchId,
    now: Timestamp,
) -> Result<Response, ApiError> {
    let row = store::lock_batch(tx, batch).await?;
    let row = row.ok_or(ApiError::NotFound("voucher batch"))?;
    if row.quantity > i32::try_from(AT_ONCE).unwrap_or(i32::MAX) {
        return Ok((StatusCode::ACCEPTED, Json(Making { batch_id: batch })).into_response());
    }
    let key = secrets.tenant(tx).await?;
    let filter = Filter {
        batch: Some(batch),
        ..Filter::default()
    };
    let rows = store::list(tx, &filter, Sort::default(), Page::new(None, None), now).await?;
    let vouchers = opened(rows, &key, now)?;
    let first = vouchers
        .first()
        .ok_or(ApiError::NotFound("voucher batch"))?;
    let package = VoucherPackage {
        id: first.package.id,
        name: first.package.name.clone(),
        price: first.package.price,
    };
    let made = Made {
        success: true,
        count: vouchers.len(),
        batch_id: batch,
        codes: vouchers
            .iter()
            .map(|voucher| voucher.code.clone())
            .collect(),
        vouchers,
        package,
    };
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

fn opened(
    rows: Vec<ListRow>,
    key: &TenantKey,
    now: Timestamp,
) -> Result<Vec<Voucher>, SecretError> {
    rows.into_iter()
        .map(|row| Voucher::of(row, key, now))
        .collect()
}

/// Who holds a new batch: the site that was named, the tenant's only one, or the cloud.
async fn holder(tx: &mut Tx, asked: Option<SiteId>) -> Result<Option<SiteId>, ApiError> {
    if let Some(site) = asked {
        return match sites::exists(tx, site).await? {
            true => Ok(Some(site)),
            false => Err(ApiError::field("siteId", "is no site of yours")),
        };
    }
    let sites = sites::ids(tx).await?;
    Ok(match sites.as_slice() {
        [only] => Some(*only),
        [] | [_, ..] => None,
    })
}

async fn sold(tx: &mut Tx, package: PackageId) -> Result<Sold, ApiError> {
    let sold = store::sold(tx, package).await?;
    let sold = sold.ok_or_else(|| ApiError::field("packageId", "is no package of yours"))?;
    if !sold.hotspot {
        return Err(ApiError::field(
            "packageId",
            "is a package for homes; vouchers are for hotspots",
        ));
    }
    if !sold.is_active {
        return Err(ApiError::unprocessable(
            "PACKAGE_NOT_SOLD",
            "This package is switched off; switch it on before you make vouchers of it",
        ));
    }
    Ok(sold)
}
