//! `/api/customers/export`, `/api/packages/export`, `/api/payments/export`, `/api/finance/books/export`.

mod file;
mod sources;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use easyisp_shared::time::{Clock, Timestamp};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) use file::{File, Format};
use sources::{Customers, Packages, Payments, Source};

use easyisp_shared::id::{PackageId, RouterId};

use crate::api::{Query, attachment};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::customers::{self, ConnectionType, Deed, Status};
use crate::db::{Database, Tx};
use crate::error::ApiError;
use crate::ledger::Export;
use crate::payments::Exported;
use crate::permission::{Permission, Role};
use crate::secrets::Secrets;
use crate::tenants;

/// Which customers, and how.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct CustomersQuery {
    connection_type: Option<ConnectionType>,
    /// The same as `connectionType`.
    #[serde(rename = "type")]
    kind: Option<ConnectionType>,
    status: Option<Status>,
    /// Words, of each of which the user name, the name, the e-mail or the account number has one that begins so, or four
    /// digits or more of the phone, from anywhere in it. Nothing is found by the middle of a word.
    search: Option<String>,
    #[param(value_type = Option<String>)]
    nas_id: Option<RouterId>,
    #[param(value_type = Option<String>)]
    package_id: Option<PackageId>,
    /// Who have this label.
    tag: Option<String>,
    /// True: with passwords.
    #[serde(default)]
    passwords: bool,
    /// `csv` when not said.
    #[serde(default)]
    #[param(value_type = Option<Format>, inline)]
    format: Format,
}

/// `GET /api/customers/export`: the customers of a list, as a file that `POST /api/customers/import` takes.
///
/// The filters are those of `GET /api/customers`; who may see the details of one kind of customers only gets
/// those. Asks for the password again, as whatever shows much at once; `passwords=true` needs `pppoe:edit` as
/// well. The export is in the trail. Errors: 403 `FRESH_LOGIN_REQUIRED`, `PERMISSION_MISSING`.
#[utoipa::path(get, path = "/api/customers/export", tag = "Exports", params(CustomersQuery),
    responses((status = 200, content((String = "text/csv"),
        (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub async fn customers(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    Query(query): Query<CustomersQuery>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    if query.passwords {
        operator.require(Permission::PppoeEdit)?;
    }
    let types = match query.connection_type.or(query.kind) {
        Some(kind) => {
            operator.require_any(Deed::View.permissions(kind))?;
            vec![kind]
        }
        None => ConnectionType::ALL
            .into_iter()
            .filter(|kind| operator.permissions.has_any(Deed::View.permissions(*kind)))
            .collect(),
    };
    operator.fresh(now)?;
    let source = Customers {
        filter: customers::Filter {
            types,
            status: query.status,
            search: query.search.clone(),
            router: query.nas_id,
            package: query.package_id,
            tag: query.tag.as_deref().map(customers::tag_form),
        },
        secrets: query.passwords.then_some(secrets),
        editable: ConnectionType::ALL
            .into_iter()
            .filter(|kind| operator.permissions.has_any(Deed::Edit.permissions(*kind)))
            .collect(),
        after: None,
        now,
    };
    // What was searched for may name somebody: the trail says that something was.
    let what = json!({
        "passwords": query.passwords, "filtered": query.search.is_some() || query.status.is_some() || query.tag.is_some()
            || query.nas_id.is_some() || query.package_id.is_some(),
    });
    let details = match query.passwords {
        true => "Customers, with their passwords",
        false => "Customers",
    };
    let line = (Action::CustomerExport, "customer", details, what);
    send(
        &db,
        &operator,
        (query.format, "customers"),
        line,
        source,
        now,
    )
    .await
}

/// What kind of file.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct PackagesQuery {
    /// `csv` when not said.
    #[serde(default)]
    #[param(value_type = Option<Format>, inline)]
    format: Format,
}

/// `GET /api/packages/export`: all packages, as a file that `POST /api/packages/import` takes.
///
/// The routers at which a package is sold are not in it: another tenant has others. The export is in the trail.
#[utoipa::path(get, path = "/api/packages/export", tag = "Exports", params(PackagesQuery),
    responses((status = 200, content((String = "text/csv"),
        (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub async fn packages(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Query(query): Query<PackagesQuery>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let source = Packages { after: None };
    let line = (Action::PackageExport, "package", "Packages", json!({}));
    send(
        &db,
        &operator,
        (query.format, "packages"),
        line,
        source,
        now,
    )
    .await
}

/// Which payments.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct PaymentsQuery {
    /// Recorded not before then.
    from: Option<Timestamp>,
    /// Recorded before then.
    to: Option<Timestamp>,
    /// `csv` when not said.
    #[serde(default)]
    #[param(value_type = Option<Format>, inline)]
    format: Format,
}

/// `GET /api/payments/export`: payments, newest first, also those that were taken back.
///
/// Shows those the operator may see: by M-Pesa with `payments:view_electronic`, others with
/// `payments:view_manual`. Asks for the password again. The export is in the trail.
#[utoipa::path(get, path = "/api/payments/export", tag = "Exports", params(PaymentsQuery),
    responses((status = 200, content((String = "text/csv"),
        (String = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")))))]
pub async fn payments(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Query(query): Query<PaymentsQuery>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    operator.fresh(now)?;
    let source = Payments {
        wanted: Exported {
            electronic: operator.may(Permission::PaymentsViewElectronic),
            manual: operator.may(Permission::PaymentsViewManual),
            from: query.from,
            to: query.to,
        },
        after: None,
    };
    let what = json!({ "from": query.from, "to": query.to });
    let line = (Action::PaymentExport, "payment", "Payments", what);
    send(
        &db,
        &operator,
        (query.format, "payments"),
        line,
        source,
        now,
    )
    .await
}

/// `GET /api/finance/books/export`: the sealed books as text, one line of JSON for every row of the chain, with all that
/// its digest covers; the README has a script that checks it. What is sealed meanwhile is not in it.
///
/// For the account's owner alone; asks for the password again. The export is in the trail. Errors: 403 `OWNER_ONLY`,
/// `FRESH_LOGIN_REQUIRED`.
#[utoipa::path(get, path = "/api/finance/books/export", tag = "Exports",
    responses((status = 200, content((String = "application/x-ndjson")))))]
pub async fn books(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    if operator.role != Role::SuperAdmin {
        return Err(ApiError::forbidden(
            "OWNER_ONLY",
            "Only the account's owner may export the books, which name everybody",
        ));
    }
    operator.fresh(now)?;
    let mut tx = db.begin(operator.tenant).await?;
    let slug = tenants::slug(&mut tx).await?;
    let books = Export::begin(&db, operator.tenant).await?;
    let line = Audit {
        details: format!("Books, {} rows", books.lines()),
        ..Audit::new(Action::BooksExport, "books", operator.tenant, "Books")
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;

    let parts = stream::try_unfold((db, books), |(db, mut books)| async move {
        let text = books.next(&db).await.map_err(cut)?;
        Ok::<_, std::io::Error>(text.map(|text| (Bytes::from(text), (db, books))))
    });
    let moment = now.to_jiff().strftime("%Y-%m-%dT%H-%MZ");
    Ok(attachment(
        &format!("books-{slug}-{moment}.jsonl"),
        "application/x-ndjson",
        Body::from_stream(parts),
    ))
}

/// Writes the line of the trail, and sends the file while it is read.
///
/// The first rows are read before the answer begins, so that what goes wrong at once has a status. What goes
/// wrong later cuts the file off, which a client sees: it has no length.
async fn send<S: Source>(
    db: &Database,
    operator: &Operator,
    (format, name): (Format, &'static str),
    (action, target, details, what): (Action, &'static str, &str, Value),
    mut source: S,
    now: Timestamp,
) -> Result<Response, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let mut file = File::new(format, &source.columns())?;
    let more = source.read(&mut tx, &mut file).await?;
    let file_name = named(&mut tx, name, format, now).await?;
    let line = Audit {
        details: details.to_owned(),
        after: Some(what),
        ..Audit::new(action, target, operator.tenant, name)
    };
    audit::record(&mut tx, &Actor::from(operator), line, now).await?;
    tx.commit().await?;

    let (db, tenant) = (db.clone(), operator.tenant);
    let begun = Some((source, file, more));
    let parts = stream::try_unfold(begun, move |state| {
        let db = db.clone();
        async move {
            let Some((mut source, mut file, mut more)) = state else {
                return Ok::<_, std::io::Error>(None);
            };
            loop {
                if !more {
                    let last = file.finish().map_err(ApiError::into_cause).map_err(cut)?;
                    return Ok(Some((Bytes::from(last), None)));
                }
                let bytes = file.take().map_err(ApiError::into_cause).map_err(cut)?;
                let mut tx: Tx = db.begin(tenant).await.map_err(cut)?;
                let read = source.read(&mut tx, &mut file).await;
                more = read.map_err(ApiError::into_cause).map_err(cut)?;
                if !bytes.is_empty() {
                    return Ok(Some((Bytes::from(bytes), Some((source, file, more)))));
                }
            }
        }
    });
    Ok(attachment(
        &file_name,
        format.content_type(),
        Body::from_stream(parts),
    ))
}

/// What a file is called: what it is of, whose, and when it was made.
pub(super) async fn named(
    tx: &mut Tx,
    name: &str,
    format: Format,
    now: Timestamp,
) -> Result<String, ApiError> {
    let slug = tenants::slug(tx).await?;
    let moment = now.to_jiff().strftime("%Y-%m-%dT%H-%MZ");
    Ok(format!("{name}-{slug}-{moment}.{}", format.ending()))
}

/// Logs why a file ends early.
fn cut(cause: impl Into<anyhow::Error>) -> std::io::Error {
    let cause = cause.into();
    tracing::error!(
        cause = format!("{cause:#}"),
        "An export was cut off: {cause:#}"
    );
    std::io::Error::other("the export was cut off")
}
