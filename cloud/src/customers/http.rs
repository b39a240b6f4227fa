//! `/api/customers`: list, read, make, change, delete. What is done to one is in [`act`].

pub mod access;
pub mod act;
mod body;
pub mod life;
pub mod unlock;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use easyisp_shared::id::{CustomerId, PackageId, RouterId};
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::{Clock, Timestamp};
use serde::Deserialize;

pub use body::Customer;
use body::{CustomerRequest, Customers, ListItem, Transactions};

use super::rules::{self, Deed};
use super::store::{self, By, Filter, Full};
use super::words::{ConnectionType, Standing, Status};
use super::{
    ChangeError, FOLLOW, INSTALL, New, PASSWORD, RECKON, RESUME, disconnect, fits, follow_voucher,
    give_back, hide, home_site, parent_fits,
};
use crate::api::{Idempotency, Json, Page, Path, Query, Sort, Success, Version, is_masked};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::{Database, Kind, Tx};
use crate::due;
use crate::error::ApiError;
use crate::secrets::{SecretError, Secrets};

/// Which customers.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct ListQuery {
    connection_type: Option<ConnectionType>,
    /// The same as `connectionType`.
    #[serde(rename = "type")]
    kind: Option<ConnectionType>,
    status: Option<Status>,
    /// Words, each of which stands anywhere in a word of the user name, the name or the phone, or begins the e-mail or
    /// the account number.
    search: Option<String>,
    #[param(value_type = Option<String>)]
    nas_id: Option<RouterId>,
    #[param(value_type = Option<String>)]
    package_id: Option<PackageId>,
    /// A whole label.
    tag: Option<String>,
    /// `true`: those who were deleted and can be restored, the last one first; no other filter but the type
    /// counts then.
    deleted: Option<bool>,
}

/// `GET /api/customers`: customers, newest first or sorted as asked.
///
/// Shows those the operator may see: without `pppoe:view` no homes, without `hotspot:view` no hotspot
/// users. 403 when the type asked for is one he may not see.
#[utoipa::path(get, path = "/api/customers", tag = "Customers", params(ListQuery, Sort<By>),
    responses((status = 200, body = Customers)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    page: Page,
    sort: Sort<By>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Customers>, ApiError> {
    let now = clock.now();
    let types = match query.connection_type.or(query.kind) {
        Some(kind) => {
            operator.require_any(Deed::List.permissions(kind))?;
            vec![kind]
        }
        None => ConnectionType::ALL
            .into_iter()
            .filter(|kind| operator.permissions.has_any(Deed::List.permissions(*kind)))
            .collect(),
    };
    let tag = query.tag.as_deref().map(rules::tag_form);
    let filter = Filter {
        types,
        tag: tag.filter(|tag| !tag.is_empty()),
        status: query.status,
        search: query.search,
        router: query.nas_id,
        package: query.package_id,
    };
    let mut tx = db.begin(operator.tenant).await?;
    let (limit, offset) = (page.limit(), page.offset());
    let (rows, total) = match query.deleted {
        Some(true) => store::deleted(&mut tx, &filter.types, sort, limit, offset).await?,
        Some(false) | None => store::list(&mut tx, &filter, sort, now, limit, offset).await?,
    };
    Ok(Json(Customers {
        customers: rows
            .into_iter()
            .map(|row| ListItem::new(row, now))
            .collect(),
        total,
        page: page.number,
        page_size: page.size,
        total_pages: page.total_pages(total),
    }))
}

/// `GET /api/customers/{customer}`: everything of one customer; the `ETag` names this version of him.
///
/// `password` is there for operators who may edit him. 404 when this tenant has no such customer.
#[utoipa::path(get, path = "/api/customers/{customer}", tag = "Customers",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = Customer)))]
pub async fn get(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    Path(customer): Path<CustomerId>,
) -> Result<Response, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let row = find(&mut tx, customer, clock.now()).await?;
    operator.require_any(Deed::View.permissions(row.row.connection_type))?;
    answer(&mut tx, &secrets, &operator, row, clock.now()).await
}

/// `POST /api/customers`: a new customer, known to his site at once.
///
/// No `expiresAt`: 30 days; with a `parentId` the parent's. An `installationFee` is billed to him, once: an invoice that
/// is due in a week; to change it later bills nothing, nor does an import. Errors: 400 naming the fields, 403 without the permission of his type, 409
/// `USERNAME_TAKEN`. Repeating with the same `Idempotency-Key` returns the first answer.
#[utoipa::path(post, path = "/api/customers", tag = "Customers", request_body = CustomerRequest,
    responses((status = 201, body = Customer)))]
pub async fn create(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    mut idempotency: Idempotency,
    Json(request): Json<CustomerRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let draft = rules::draft(request.change(), None);
    let password = request.password.clone().unwrap_or_default();
    let draft = match (draft, rules::password(&password)) {
        (Ok(draft), Ok(())) => draft,
        (Ok(_), Err(wrong)) => return Err(ApiError::fields(vec![wrong])),
        (Err(wrong), Ok(())) => return Err(ApiError::fields(wrong)),
        (Err(mut wrong), Err(password)) => {
            wrong.push(password);
            return Err(ApiError::fields(wrong));
        }
    };
    let tags = rules::tags(request.tags.as_deref().unwrap_or_default());
    let tags = tags.map_err(|wrong| ApiError::fields(vec![wrong]))?;
    let deed = match draft.parent {
        Some(_) => Deed::CreateChild,
        None => Deed::Create,
    };
    operator.require_any(deed.permissions(draft.connection_type))?;

    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let new = New {
        draft,
        password,
        expires_at: request.expires_at,
    };
    let customer = super::create(&mut tx, &secrets, &new, now).await?;
    if new.draft.installation_fee.is_positive() {
        due::at(&mut tx, INSTALL, customer, now).await?;
    }
    store::set_tags(&mut tx, customer, &tags).await?;
    let row = find(&mut tx, customer, now).await?;
    note(
        &mut tx,
        &operator,
        Action::CustomerCreate,
        &row,
        row.row.username.clone(),
        now,
    )
    .await?;
    let body = Customer::new(row, Some(new.password), now);
    let answer = idempotency
        .finish(&mut tx, StatusCode::CREATED, &body)
        .await?;
    tx.commit().await?;
    Ok(answer)
}

/// `PUT /api/customers/{customer}`: changes what is mentioned; `""` empties an optional field and leaves
/// the password as it is. `dataUsed: 0` starts counting anew. Everything that says who he is can be
/// corrected here: user name, name, e-mail, phone, place; devices and addresses have routes of their own.
/// The trail keeps what was changed, before and after, the phone masked and the password never.
///
/// Who may change the record may not therefore change the package, the end of his time or how he stands: each takes
/// what its own route takes, as soon as it differs from what is there.
///
/// With a `parentId` his time is the parent's from here on: time that he paid himself must be used up, or set to
/// its end, first. Without one again, he keeps the time that is paid, not what the parent's wallet would pay.
///
/// With `If-Match` only that version is changed, else 412. Errors: 400 naming the fields, 403, 404, 409
/// `USERNAME_TAKEN`, `HAS_OWN_TIME`, and `FOLLOWS_PARENT` for making him active while his parent is paused.
#[utoipa::path(put, path = "/api/customers/{customer}", tag = "Customers",
    params(("customer" = CustomerId, Path)), request_body = CustomerRequest,
    responses((status = 200, body = Customer),
        (status = 412, description = "If-Match names an earlier version")))]
pub async fn update(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    Path(customer): Path<CustomerId>,
    headers: HeaderMap,
    Json(request): Json<CustomerRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, &operator, customer, Deed::Edit, now).await?;
    Version(row.version).is_meant(&headers)?;
    let (before, from) = (row.draft(), row.site_id);
    let draft = rules::draft(request.change(), Some(&before)).map_err(ApiError::fields)?;
    operator.require_any(Deed::Edit.permissions(draft.connection_type))?;

    let expiry = request
        .expires_at
        .filter(|until| until.millis() != row.row.paid_until.millis());
    let finer = [
        (draft.package != before.package, Deed::ChangePackage),
        (expiry.is_some(), Deed::ChangeExpiry),
        (draft.standing != before.standing, Deed::Suspend),
    ];
    for (_, deed) in finer.into_iter().filter(|(changes, _)| *changes) {
        operator.require_any(deed.permissions(before.connection_type))?;
        operator.require_any(deed.permissions(draft.connection_type))?;
    }

    let retyped = draft.connection_type != before.connection_type;
    if let Some(package) = draft.package
        && (retyped || draft.package != before.package)
    {
        let site = draft.site.unwrap_or(row.site_id);
        let place = (draft.router, Some(site));
        fits(&mut tx, package, draft.connection_type, place).await?;
    }
    let site = if (draft.router, draft.site) == (before.router, before.site) {
        row.site_id
    } else {
        home_site(&mut tx, draft.router, draft.site).await?
    };
    if draft.parent != before.parent {
        operator.require_any(Deed::CreateChild.permissions(draft.connection_type))?;
        parent_fits(&mut tx, Some(customer), draft.parent).await?;
        if draft.parent.is_some() {
            uses_up_his_own(&row, now)?;
        }
    }
    if draft.standing != before.standing && draft.standing == Standing::Active {
        is_not_away(&mut tx, &row).await?;
    }
    let tags = match &request.tags {
        Some(tags) => Some(rules::tags(tags).map_err(|wrong| ApiError::fields(vec![wrong]))?),
        None => None,
    };
    let sealed = match request.password.as_deref().filter(|text| !is_masked(text)) {
        Some(password) => {
            rules::password(password).map_err(|wrong| ApiError::fields(vec![wrong]))?;
            let key = secrets.tenant(&mut tx).await?;
            key.seal(PASSWORD, customer.0, password.as_bytes())
        }
        None => row.password_sealed.clone(),
    };
    // Whoever is given another standing is not away any more: first his time goes on.
    if draft.standing != before.standing
        && give_back(&mut tx, customer, draft.standing, now)
            .await?
            .is_some()
    {
        due::never(&mut tx, RESUME, customer).await?;
    }
    store::update(&mut tx, customer, site, &draft, &sealed, now)
        .await
        .map_err(ChangeError::from)?;
    // A form sends back what it was shown; only a zero that was not shown is a wish.
    let counted_anew = request.data_used == Some(0) && row.bytes_used >= 1024;
    if counted_anew {
        store::start_counting(&mut tx, customer, now).await?;
    }
    if let Some(until) = expiry {
        has_own_time(&row)?;
        store::set_expiry(&mut tx, customer, until, now).await?;
        let details = format!("Until {until}, was {}", row.row.paid_until);
        note(&mut tx, &operator, Action::ExpiryUpdate, &row, details, now).await?;
    }
    if expiry.is_some()
        || (
            draft.package,
            draft.auto_renew,
            draft.standing,
            draft.parent,
        ) != (
            before.package,
            before.auto_renew,
            before.standing,
            before.parent,
        )
    {
        due::at(&mut tx, RECKON, customer, now).await?;
        if let Some(parent) = draft.parent {
            due::at(&mut tx, FOLLOW, parent, now).await?;
        }
    }
    if draft.parent != before.parent
        && draft.parent.is_none()
        && let Some(until) = row.paused_until
    {
        // He was away with his parent, and comes back by himself from here on.
        due::at(&mut tx, RESUME, customer, until).await?;
    }
    if let Some(tags) = tags.as_ref().filter(|tags| **tags != row.tags) {
        store::set_tags(&mut tx, customer, tags).await?;
    }
    if draft.standing != before.standing && draft.standing != Standing::Active {
        disconnect(&mut tx, customer, row.site_id, now).await?;
    }
    if draft.package != before.package {
        note(
            &mut tx,
            &operator,
            Action::PackageChange,
            &row,
            String::new(),
            now,
        )
        .await?;
    }
    let mut changed = rules::differences(&before, &draft);
    if sealed != row.password_sealed {
        changed.push("password");
    }
    if counted_anew {
        changed.push("data used, to nothing");
    }
    if tags.is_some_and(|tags| tags != row.tags) {
        changed.push("tags");
    }
    if !changed.is_empty() {
        let (was, is) = rules::facts(&before, &draft).unzip();
        let line = Audit {
            details: format!("Changed {}", changed.join(", ")),
            before: was,
            after: is,
            ..Audit::new(Action::InfoUpdate, "customer", customer, &row.row.name)
        };
        audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    }
    if retyped {
        store::count(&mut tx, before.connection_type, -1).await?;
        store::count(&mut tx, draft.connection_type, 1).await?;
    }
    tx.changed(Kind::Subscriber, customer);
    if site != from {
        follow_voucher(&mut tx, customer);
    }
    let row = find(&mut tx, customer, now).await?;
    let response = answer(&mut tx, &secrets, &operator, row, now).await?;
    tx.commit().await?;
    Ok(response)
}

/// `DELETE /api/customers/{customer}`: hides him, frees his user name and address, and ends his session.
/// His payments and his account number stay.
///
/// Errors: 404; 409 `HAS_CHILDREN`, and `BILLED_MONTHLY` while he is billed afterwards.
#[utoipa::path(delete, path = "/api/customers/{customer}", tag = "Customers",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = Success)))]
pub async fn delete(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
) -> Result<Json<Success>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, &operator, customer, Deed::Delete, now).await?;
    note(
        &mut tx,
        &operator,
        Action::CustomerDelete,
        &row,
        String::new(),
        now,
    )
    .await?;
    if store::children(&mut tx, customer).await? > 0 {
        return Err(ApiError::conflict(
            "HAS_CHILDREN",
            "Others are on his account; delete them or give them an account of their own first",
        ));
    }
    if store::is_postpaid(&mut tx, customer).await? {
        return Err(ApiError::conflict(
            "BILLED_MONTHLY",
            "What he used this month is not billed yet: end his monthly billing first (PUT \
             /api/customers/{id}/billing with postpaid: false), which bills it, and then delete him",
        ));
    }
    let kind = row.row.connection_type;
    hide(&mut tx, customer, row.site_id, kind, now).await?;
    tx.commit().await?;
    Ok(Json(Success::YES))
}

/// `GET /api/customers/{customer}/transactions`: what he paid, newest first, at most 1,000 of each kind.
#[utoipa::path(get, path = "/api/customers/{customer}/transactions", tag = "Customers",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = Transactions)))]
pub async fn transactions(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
) -> Result<Json<Transactions>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let row = find(&mut tx, customer, clock.now()).await?;
    operator.require_any(Deed::View.permissions(row.row.connection_type))?;
    let mpesa = store::mpesa(&mut tx, customer).await?;
    let manual = store::manual(&mut tx, customer).await?;
    Ok(Json(Transactions::new(mpesa, manual)))
}

/// Everything of one customer as the API shows it to `operator`: for other features that answer with the
/// full customer.
pub async fn full(
    tx: &mut Tx,
    secrets: &Secrets,
    operator: &Operator,
    customer: CustomerId,
    now: Timestamp,
) -> Result<Customer, ApiError> {
    let row = find(tx, customer, now).await?;
    shown(tx, secrets, operator, row, now).await
}

async fn shown(
    tx: &mut Tx,
    secrets: &Secrets,
    operator: &Operator,
    row: Full,
    now: Timestamp,
) -> Result<Customer, ApiError> {
    let may_edit = Deed::Edit.permissions(row.row.connection_type);
    let password = if operator.permissions.has_any(may_edit) {
        let key = secrets.tenant(tx).await?;
        let clear = key
            .open(PASSWORD, row.row.id.0, &row.password_sealed)
            .map_err(SecretError::from)?;
        Some(String::from_utf8_lossy(&clear).into_owned())
    } else {
        None
    };
    Ok(Customer::new(row, password, now))
}

async fn answer(
    tx: &mut Tx,
    secrets: &Secrets,
    operator: &Operator,
    row: Full,
    now: Timestamp,
) -> Result<Response, ApiError> {
    let version = Version(row.version);
    Ok(version.of(shown(tx, secrets, operator, row, now).await?))
}

/// Refuses to set the end of somebody's time that stands still or is another's.
fn has_own_time(row: &Full) -> Result<(), ApiError> {
    if row.parent_id.is_some() {
        return Err(life::follows_parent());
    }
    if row.paused_at.is_some() {
        return Err(ApiError::conflict(
            "PAUSED",
            "His time stands still while he is paused; resume him first",
        ));
    }
    Ok(())
}

/// Refuses to put somebody on another's account who has time left that he paid himself.
fn uses_up_his_own(row: &Full, now: Timestamp) -> Result<(), ApiError> {
    if row.parent_id.is_none() && (row.row.paid_until > now || row.paused_at.is_some()) {
        return Err(ApiError::conflict(
            "HAS_OWN_TIME",
            format!(
                "He has time of his own until {}, which would be lost; wait for its end, or set it to now first",
                row.row.paid_until
            ),
        ));
    }
    Ok(())
}

/// Refuses to let a child account online whose parent is paused.
async fn is_not_away(tx: &mut Tx, row: &Full) -> Result<(), ApiError> {
    let Some(parent) = row.parent_id else {
        return Ok(());
    };
    if row.paused_at.is_some() || store::is_paused(tx, parent).await? {
        return Err(life::follows_parent());
    }
    Ok(())
}

async fn find(tx: &mut Tx, customer: CustomerId, now: Timestamp) -> Result<Full, ApiError> {
    let row = store::find(tx, customer, now).await?;
    row.ok_or(ApiError::NotFound("customer"))
}

/// The customer, locked, once it is sure that the operator may do this to him.
async fn locked(
    tx: &mut Tx,
    operator: &Operator,
    customer: CustomerId,
    deed: Deed,
    now: Timestamp,
) -> Result<Full, ApiError> {
    if !store::lock(tx, customer).await? {
        return Err(ApiError::NotFound("customer"));
    }
    let row = find(tx, customer, now).await?;
    operator.require_any(deed.permissions(row.row.connection_type))?;
    Ok(row)
}

/// What other features need of a customer to whom an operator does something.
#[derive(Clone, Debug)]
pub struct Brief {
    /// Who he is, for people.
    pub name: String,
    /// Where to write to him, when it is a number.
    pub phone: Option<PhoneNumber>,
    /// How he stands.
    pub standing: Standing,
    /// When his service ends if nothing is paid.
    pub served_until: Timestamp,
    /// What he is served for on his word.
    pub promised: Option<(Timestamp, Timestamp)>,
    /// Whether his time is another's.
    pub child: bool,
}

/// A customer, locked, once it is sure that the operator may do this to him: for other features' deeds.
///
/// # Errors
/// 403, or 404 when this tenant has no such customer.
pub async fn reach(
    tx: &mut Tx,
    operator: &Operator,
    customer: CustomerId,
    deed: Deed,
    now: Timestamp,
) -> Result<Brief, ApiError> {
    let row = locked(tx, operator, customer, deed, now).await?;
    Ok(Brief {
        phone: row.row.phone.as_deref().and_then(PhoneNumber::parse),
        standing: row.row.standing,
        served_until: row.row.served_until,
        promised: row.promised_from.zip(row.promised_until),
        child: row.parent_id.is_some(),
        name: row.row.name,
    })
}

async fn note(
    tx: &mut Tx,
    operator: &Operator,
    action: Action,
    row: &Full,
    details: String,
    now: Timestamp,
) -> Result<(), ApiError> {
    let audit = Audit {
        details,
        ..Audit::new(action, "customer", row.row.id, &row.row.name)
    };
    audit::record(tx, &Actor::from(operator), audit, now).await?;
    Ok(())
}
