//! `/api/customers/import`, `/api/packages/import` and `/api/imports`.

pub mod live;
pub mod report;
mod upload;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use easyisp_shared::id::ImportId;
use easyisp_shared::time::{Clock, Timestamp};
use serde::Deserialize;
use utoipa::ToSchema;

use super::customers::{mark_repeats, take_in};
use super::dates::Order;
use super::fields::Field;
use super::formats;
use super::row::{Reading, Row, postpaid};
use super::store::{self, By, Import};
use super::words::{Format, OnExisting, Outcome, What};
use super::{
    MOST_CUSTOMERS, MOST_PACKAGES, PART, packages as rows_of_packages, run, table, undo as undoing,
};
use crate::api::{Idempotency, Json, Page, Path, Query};
use crate::audit::Actor;
use crate::auth::Operator;
use crate::customers::ConnectionType;
use crate::customers::many::Depth;
use crate::db::{Database, Tx};
use crate::error::{ApiError, ErrorEnvelope, violated};
use crate::packages::PackageType;
use crate::permission::Permission;
use crate::secrets::Secrets;
use crate::tenants;

use report::{ImportPage, Imports, JobAnswer, Report, Undone};

/// How a file of customers is taken in.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct CustomersQuery {
    /// True: says what would be done, and does nothing.
    #[serde(default)]
    dry_run: bool,
    /// What to do with rows about somebody who is there already; `skip` when not said.
    #[serde(default)]
    #[param(value_type = Option<OnExisting>, inline)]
    on_existing: OnExisting,
    /// Which program wrote the file; `auto` when not said.
    #[serde(default)]
    #[param(value_type = Option<Format>, inline)]
    format: Format,
    /// What comes first in dates of three numbers that can be two days.
    #[param(inline)]
    dates: Option<Order>,
    /// How those are connected of whom neither row nor package says it.
    connection_type: Option<ConnectionType>,
}

/// How a file of packages is taken in.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct PackagesQuery {
    /// True: says what would be done, and does nothing.
    #[serde(default)]
    dry_run: bool,
    /// What to do with rows about a package that is there already; `skip` when not said.
    #[serde(default)]
    #[param(value_type = Option<OnExisting>, inline)]
    on_existing: OnExisting,
}

/// A file as a form sends it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
pub struct ImportForm {
    /// At most 10 MiB and 20,000 rows.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// `POST /api/customers/import`: customers from a file, by the rules of `POST /api/customers`, row by row.
///
/// The body is the file, or a form with `file`: at most 10 MiB and 20,000 rows, as text (CSV) or as a workbook (XLSX),
/// of which the first sheet is read. A table has the names of its
/// columns first: `username`, `password`, `name`, `connectionType` and what else `POST /api/customers` takes,
/// `package`, `router` and `site` by name or id, `ipAddress` and `macAddress`, `parent` (the user name or account number
/// of whose account he is on: who is there already, or stands in the same part of the file) and `billing` (`postpaid`:
/// once a month on the provider's day; needs `finance:income_create`); case, spaces and common other
/// names do not matter, nor whether commas, semicolons or tabs part the cells. Dates are read in the tenant's
/// time zone; `03/04/2026`, which can be two days, needs `dates`. RouterOS exports, RADIUS tables, PHPNuxBill
/// and Splynx are recognised.
///
/// A dry run, and up to 500 rows, answer at once with what became of each row; more answer 202 with a job for
/// `GET /api/jobs/{job}`. A row that fails stops no other. Updating needs `customers:edit` as well, and so do
/// addresses and devices. Repeating with the same `Idempotency-Key` returns the first answer. Errors: 400
/// `file`, 413, 415.
#[utoipa::path(post, path = "/api/customers/import", tag = "Imports", params(CustomersQuery),
    request_body(content((String = "text/csv"), (ImportForm = "multipart/form-data"),
        (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"))),
    responses((status = 200, body = Report), (status = 202, body = JobAnswer),
        (status = 413, body = ErrorEnvelope), (status = 415, body = ErrorEnvelope)))]
pub async fn customers(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    idempotency: Idempotency,
    Query(query): Query<CustomersQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    if query.on_existing == OnExisting::Update {
        operator.require(Permission::CustomersEdit)?;
    }
    let file = upload::received(request).await?;
    let format = query.format;
    let file = upload::in_turn(move || {
        let mut file = formats::read(&table::text(&file, MOST_CUSTOMERS)?, format, MOST_CUSTOMERS)?;
        mark_repeats(&mut file.rows);
        Ok(file)
    })
    .await?;
    let now = clock.now();
    let how = How {
        dry_run: query.dry_run,
        on_existing: query.on_existing,
        dates: query.dates,
        connection_type: query.connection_type,
    };
    let lot = Lot {
        format: file.format.name(),
        rows: file.rows,
        warnings: file.warnings,
    };
    take(&db, &secrets, &operator, (idempotency, lot, how), now).await
}

/// How customers are taken in.
struct How {
    dry_run: bool,
    on_existing: OnExisting,
    dates: Option<Order>,
    connection_type: Option<ConnectionType>,
}

/// What is taken in, wherever it came from.
struct Lot {
    /// Which program wrote it.
    format: &'static str,
    rows: Vec<Row>,
    warnings: Vec<String>,
}

/// Takes customers in, or says what would become of them; the answer.
async fn take(
    db: &Database,
    secrets: &Secrets,
    operator: &Operator,
    (mut idempotency, mut lot, how): (Idempotency, Lot, How),
    now: Timestamp,
) -> Result<Response, ApiError> {
    if !operator.may(Permission::CustomersEdit) {
        refuse_beyond_creating(operator, &mut lot.rows);
    }
    if !operator.may(Permission::FinanceIncomeCreate) {
        refuse_billing(&mut lot.rows);
    }
    let mut tx = db.begin(operator.tenant).await?;
    let reading = Reading {
        zone: tenants::time_zone(&mut tx).await?,
        dates: how.dates,
        connection_type: how.connection_type,
    };
    if how.dry_run {
        tx.rollback().await?;
        let how = (&reading, how.on_existing);
        let report = dry_run(db, secrets, operator, (lot, how), now).await?;
        return Ok(Json(report).into_response());
    }
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let import = begin(
        &mut tx,
        operator,
        (What::Customers, lot.format, how.on_existing),
        (lot.rows.len(), &lot.warnings),
        now,
    )
    .await?;
    let answer = if lot.rows.len() > PART {
        let id = import.id;
        run::later(&mut tx, secrets, id, lot.rows, &reading, now).await?;
        idempotency
            .finish(&mut tx, StatusCode::ACCEPTED, &JobAnswer { job_id: id })
            .await?
    } else {
        let lines = run::at_once(&mut tx, secrets, &import, &lot.rows, &reading, now).await?;
        let report = Report::of(&find(&mut tx, import.id).await?, lines);
        idempotency.finish(&mut tx, StatusCode::OK, &report).await?
    };
    tx.commit().await?;
    Ok(answer)
}

/// Who may make customers need not be allowed to give them addresses or lock them to devices.
fn refuse_beyond_creating(operator: &Operator, rows: &mut [Row]) {
    for (field, permission) in [
        (Field::StaticIp, Permission::PppoeStaticIp),
        (Field::Macs, Permission::PppoeLockMac),
    ] {
        if operator.may(permission) {
            continue;
        }
        for row in rows.iter_mut().filter(|row| row.get(field).is_some()) {
            let message = format!("needs the permission {permission}; leave it out, or ask for it");
            row.error(field.name(), message);
        }
    }
}

/// Who may not bill has nobody billed by a file either.
fn refuse_billing(rows: &mut [Row]) {
    let permission = Permission::FinanceIncomeCreate;
    for row in rows {
        if row.get(Field::Postpaid).and_then(postpaid) == Some(true) {
            let message = format!("needs the permission {permission}; leave it out, or ask for it");
            row.error(Field::Postpaid.name(), message);
        }
    }
}

/// What would become of them. Nothing is written; each part is looked at in a transaction of its own.
async fn dry_run(
    db: &Database,
    secrets: &Secrets,
    operator: &Operator,
    (lot, how): (Lot, (&Reading, OnExisting)),
    now: Timestamp,
) -> Result<Report, ApiError> {
    let mut lines = Vec::with_capacity(lot.rows.len());
    for part in lot.rows.chunks(PART) {
        let mut tx = db.begin(operator.tenant).await?;
        let (looked, _) = take_in(&mut tx, secrets, part, how, Depth::Look, now).await?;
        lines.extend(looked);
        tx.rollback().await?;
    }
    Ok(Report::of_nothing(lot.format, lines, lot.warnings))
}

/// `POST /api/packages/import`: packages from a table, by the rules of `POST /api/packages`, row by row.
///
/// At most 500 rows, as CSV or as a workbook (XLSX), which are taken in at once. The columns are those of `GET /api/packages/export`; `period`
/// is such as `1 MONTHS`, `dataLimit` such as `10 GB`. A package is there already when there is one of its name
/// and type; updating needs `packages:edit` as well. Errors: 400 `file`, 413, 415.
#[utoipa::path(post, path = "/api/packages/import", tag = "Imports", params(PackagesQuery),
    request_body(content((String = "text/csv"), (ImportForm = "multipart/form-data"),
        (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"))),
    responses((status = 200, body = Report), (status = 413, body = ErrorEnvelope),
        (status = 415, body = ErrorEnvelope)))]
pub async fn packages(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    mut idempotency: Idempotency,
    Query(query): Query<PackagesQuery>,
    request: Request,
) -> Result<Response, ApiError> {
    if query.on_existing == OnExisting::Update {
        operator.require(Permission::PackagesEdit)?;
    }
    let file = upload::received(request).await?;
    let (rows, warnings) = upload::in_turn(move || {
        let table = table::table(&table::text(&file, MOST_PACKAGES)?, MOST_PACKAGES)?;
        Ok(rows_of_packages::read(table))
    })
    .await?;
    for kind in rows_of_packages::types(&rows) {
        operator.require(match kind {
            PackageType::Pppoe => Permission::PackagesAddPppoe,
            PackageType::Hotspot => Permission::PackagesAddHotspot,
        })?;
    }

    let now = clock.now();
    let format = Format::Csv.name();
    let mut tx = db.begin(operator.tenant).await?;
    if query.dry_run {
        let lines =
            rows_of_packages::take_in(&mut tx, rows, query.on_existing, Depth::Look, now).await?;
        tx.rollback().await?;
        return Ok(Json(Report::of_nothing(format, lines, warnings)).into_response());
    }
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let import = begin(
        &mut tx,
        &operator,
        (What::Packages, format, query.on_existing),
        (rows.len(), &warnings),
        now,
    )
    .await?;
    let lines = run::packages_at_once(&mut tx, &import, rows, now)
        .await
        .map_err(|error| match violated(&error) {
            Some("package_name") => ApiError::conflict(
                "PACKAGE_NAME_TAKEN",
                "A package of one of these names was made at the same moment; send the file again",
            ),
            Some(_) | None => error.into(),
        })?;
    let report = Report::of(&find(&mut tx, import.id).await?, lines);
    let answer = idempotency.finish(&mut tx, StatusCode::OK, &report).await?;
    tx.commit().await?;
    Ok(answer)
}

async fn begin(
    tx: &mut Tx,
    operator: &Operator,
    (what, format, on_existing): (What, &'static str, OnExisting),
    (total, warnings): (usize, &[String]),
    now: Timestamp,
) -> Result<Import, ApiError> {
    let id = ImportId::new(now, &tx.entropy());
    let new = store::New {
        id,
        what,
        format,
        on_existing,
        total: i32::try_from(total).unwrap_or(i32::MAX),
        warnings,
        by: By {
            operator_id: operator.id,
            operator_name: operator.name.clone(),
            of_platform: operator.platform,
            address: operator.address.to_string(),
            request_id: operator.request_id.to_string(),
        },
    };
    store::insert(tx, &new, now).await?;
    find(tx, id).await
}

async fn find(tx: &mut Tx, import: ImportId) -> Result<Import, ApiError> {
    let found = store::find(tx, import).await?;
    found.ok_or(ApiError::NotFound("import"))
}

/// `GET /api/imports`: files that were sent in, the newest first.
#[utoipa::path(get, path = "/api/imports", tag = "Imports",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query)),
    responses((status = 200, body = Imports)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    page: Page,
) -> Result<Json<Imports>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let (imports, total) = store::list(&mut tx, page.limit(), page.offset()).await?;
    Ok(Json(Imports::new(&imports, total, page)))
}

/// Which rows of a file.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct RowsQuery {
    /// Only rows of which this became.
    #[param(inline)]
    outcome: Option<Outcome>,
}

/// `GET /api/imports/{import}`: one file and its rows, page by page. Rows are kept for 90 days.
#[utoipa::path(get, path = "/api/imports/{import}", tag = "Imports",
    params(("import" = ImportId, Path), RowsQuery, ("page" = Option<u32>, Query),
        ("pageSize" = Option<u32>, Query)),
    responses((status = 200, body = ImportPage)))]
pub async fn get(
    operator: Operator,
    State(db): State<Database>,
    Path(import): Path<ImportId>,
    page: Page,
    Query(query): Query<RowsQuery>,
) -> Result<Json<ImportPage>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let found = find(&mut tx, import).await?;
    let (limit, offset) = (page.limit(), page.offset());
    let lines = store::page(&mut tx, import, query.outcome, limit, offset).await?;
    let undone = store::undone(&mut tx, import).await?;
    Ok(Json(ImportPage::new(&found, undone, lines, page)))
}

/// `POST /api/imports/{import}/undo`: takes back what a file made and nobody touched, paid for or used since, and makes
/// customers whom it changed what they were, labels and the end of their time included, where nobody changed them since.
///
/// Says row by row what stays and why: so do customers whom it put on another's account or had billed. Packages that it
/// changed, and did not make, stay as they are. A repeat takes back what has become free since, and nothing twice. Needs
/// `customers:delete` for customers, `customers:edit` too where some were changed, and `packages:delete` for packages. Errors: 404; 409 `IMPORT_RUNNING` while rows are still taken in.
#[utoipa::path(post, path = "/api/imports/{import}/undo", tag = "Imports",
    params(("import" = ImportId, Path)), responses((status = 200, body = Undone)))]
pub async fn undo(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    Path(import): Path<ImportId>,
) -> Result<Json<Undone>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let found = find(&mut tx, import).await?;
    tx.rollback().await?;
    operator.require(match found.what {
        What::Customers => Permission::CustomersDelete,
        What::Packages => Permission::PackagesDelete,
    })?;
    if found.what == What::Customers && found.updated > 0 {
        operator.require(Permission::CustomersEdit)?;
    }
    let actor = Actor::from(&operator);
    let undone = undoing::undo(&db, &secrets, &actor, operator.tenant, import, clock.now()).await?;
    Ok(Json(undone.into()))
}
