//! `/api/super-admin/collecting/stray`: money that came to the platform's short code and names nobody, and a person's
//! word whose it is.

use axum::extract::State as With;
use easyisp_shared::account::AccountNumber;
use easyisp_shared::id::OperatorId;
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::arrival::{Arrival, Payer, receipt_of};
use super::book::{self, Booking, Trust};
use super::mpesa::pull::book_in;
use super::store::strays::{self as store, State, Stray, Word};
use super::unasked::given_to;
use super::{Payments, inquiry};
use crate::api::{Json, Page, Path, Query};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::customers;
use crate::db::Database;
use crate::error::{ApiError, Wrong};
use crate::renewals::RenewError;
use crate::tenants::governed;

/// The longest reason.
const MOST_REASON: usize = 500;

/// Which stray payments.
#[derive(Deserialize, IntoParams)]
pub struct Filter {
    /// Those that stand so; `OPEN` unless it is said.
    #[serde(default)]
    #[param(inline)]
    state: Option<State>,
}

/// Money that names nobody.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StrayPayment)]
pub struct Shown {
    /// M-Pesa's receipt.
    receipt: String,
    amount: Cents,
    /// What the payer typed as account.
    account: String,
    /// When it moved, as M-Pesa says.
    paid_at: Option<Timestamp>,
    /// When we heard of it.
    came_at: Timestamp,
    /// Whether M-Pesa itself says so. What only somebody says who knows our address is held for a person of the provider it
    /// is given to, until M-Pesa says so too.
    vouched: bool,
    state: State,
    /// The account number that it was given to.
    account_number: Option<String>,
    /// Who of the platform gave it to that.
    assigned_by: Option<OperatorId>,
    assigned_at: Option<Timestamp>,
    reason: Option<String>,
}

impl From<Stray> for Shown {
    fn from(row: Stray) -> Shown {
        Shown {
            receipt: row.receipt,
            amount: row.amount,
            account: row.account,
            paid_at: row.paid_at,
            came_at: row.came_at,
            vouched: row.word != Word::Held,
            state: row.state,
            account_number: row.assigned_to.map(|number| number.to_string()),
            assigned_by: row.assigned_by,
            assigned_at: row.assigned_at,
            reason: row.reason,
        }
    }
}

/// A page of money that names nobody.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StrayPayments {
    payments: Vec<Shown>,
    total: i64,
    page: u32,
    page_size: u32,
}

/// `GET /api/super-admin/collecting/stray`: money that payers sent to the platform's short code by themselves under no
/// account number, or one of a provider whom the platform does not collect for, the newest first. Without `page` the
/// newest 1,000.
#[utoipa::path(get, path = "/api/super-admin/collecting/stray", tag = "Platform",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query), Filter),
    responses((status = 200, body = StrayPayments)))]
pub async fn list(
    _: Operator,
    With(db): With<Database>,
    page: Page,
    Query(filter): Query<Filter>,
) -> Result<Json<StrayPayments>, ApiError> {
    let state = filter.state.unwrap_or_default();
    let mut directory = db.directory().await?;
    let (rows, total) = store::list(&mut directory, state, (page.limit(), page.offset())).await?;
    Ok(Json(StrayPayments {
        payments: rows.into_iter().map(Shown::from).collect(),
        total,
        page: page.number,
        page_size: page.size,
    }))
}

/// Whose it is.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = StrayAssignment)]
pub struct AssignRequest {
    /// A customer's, of a provider whom the platform collects for.
    account_number: String,
    /// Why it is his, for the provider's trail.
    reason: String,
}

/// `POST /api/super-admin/collecting/stray/{receipt}/assign`: a person of the platform says whose customer paid. It is
/// booked at once, as if the payer had typed this account number; once, for good.
///
/// Errors: 400 `accountNumber` or `reason`, 403 `FRESH_LOGIN_REQUIRED`, 404, 409 `ASSIGNED` when it was given to somebody
/// before, `RECEIPT_USED` when it is booked by another way, `TOP_UP` when it came under the account of top-ups,
/// `NOT_COLLECTED` when the platform does not collect for that provider.
#[utoipa::path(post, path = "/api/super-admin/collecting/stray/{receipt}/assign", tag = "Platform",
    params(("receipt" = String, Path)), request_body = AssignRequest,
    responses((status = 200, body = Shown)))]
pub async fn assign(
    operator: Operator,
    With(payments): With<Payments>,
    Path(receipt): Path<String>,
    Json(request): Json<AssignRequest>,
) -> Result<Json<Shown>, ApiError> {
    let now = payments.clock.now();
    operator.fresh(now)?;
    let (number, reason) = checked(&request)?;
    let receipt = receipt_of(&receipt).ok_or(ApiError::NotFound("stray payment"))?;
    let tenant = customers::of_account(&payments.db, number).await?;
    let tenant = tenant.ok_or_else(|| ApiError::field("accountNumber", "is nobody's"))?;
    let mut tx = governed::begin(&payments.db, tenant).await?;
    let stray = store::lock(&mut tx, &receipt).await?;
    let stray = stray.ok_or(ApiError::NotFound("stray payment"))?;
    open(stray.state)?;
    let gateway = store::collected_at(&mut tx, &stray.shortcode).await?;
    let gateway = gateway.ok_or_else(|| {
        ApiError::conflict(
            "NOT_COLLECTED",
            "The platform does not collect for the provider whose account number this is; switch that on first, or, \
             where his customer was not given it already, send the money back",
        )
    })?;
    let arrival = Arrival {
        receipt: stray.receipt.clone(),
        amount: stray.amount,
        paid_at: stray.paid_at,
        reference: stray.account,
        payer: stray.payer_hash.map_or(Payer::Unknown, Payer::Hash),
        payer_name: None,
    };
    let arrival = given_to(number, arrival);
    let trust = match stray.word {
        Word::Asked => Trust::Asked(None),
        Word::Told => Trust::Told,
        Word::Held => Trust::Held(book::UNLISTED),
    };
    match book_in(&mut tx, gateway, &arrival, trust, now).await {
        Ok(Booking::Booked) => {}
        Ok(Booking::Known | Booking::Differs | Booking::Elsewhere)
        | Err(RenewError::ReceiptKnown) => return Err(used()),
        Err(error) => return Err(error.into()),
    }
    if stray.word == Word::Held && !payments.sources.is_empty() {
        inquiry::open_by_itself(&mut tx, gateway, &receipt, now).await?;
    }
    let by = (operator.id, reason.as_str());
    let assigned = store::assign(&mut tx, &receipt, number, by, now).await?;
    let line = Audit {
        details: format!(
            "Gave {} with receipt {receipt}, which came for nobody, to account {number}: {reason}",
            stray.amount
        ),
        target_id: None,
        ..Audit::new(Action::StrayAssign, "payment", gateway, &receipt)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(assigned.into()))
}

/// Whether it is still nobody's.
fn open(state: State) -> Result<(), ApiError> {
    match state {
        State::Open => Ok(()),
        State::Assigned => Err(assigned()),
        State::Booked => Err(used()),
        State::TopUp => Err(ApiError::conflict(
            "TOP_UP",
            "This payment came under the account of top-ups: give it to a provider's wallet, by POST \
             /api/super-admin/tenants/{tenant}/topups with its receipt",
        )),
    }
}

pub(super) fn assigned() -> ApiError {
    ApiError::conflict(
        "ASSIGNED",
        "This payment was given to somebody before; what is wrong there is set right by the provider",
    )
}

pub(super) fn used() -> ApiError {
    ApiError::conflict(
        "RECEIPT_USED",
        "This receipt is booked already; one payment counts once",
    )
}

fn checked(request: &AssignRequest) -> Result<(i32, String), ApiError> {
    let mut wrong = Wrong::default();
    let reason = reason_of(&request.reason, &mut wrong);
    let number = AccountNumber::parse(&request.account_number);
    if number.is_none() {
        wrong.add("accountNumber", "is no account number");
    }
    match number {
        Some(number) if wrong.is_empty() => Ok((number.number(), reason)),
        Some(_) | None => Err(ApiError::fields(
            wrong.none_or(()).err().unwrap_or_default(),
        )),
    }
}

/// Why a person says so, for the provider's trail.
pub(super) fn reason_of(typed: &str, wrong: &mut Wrong) -> String {
    let reason = typed.trim();
    if reason.is_empty() || reason.chars().count() > MOST_REASON {
        wrong.add("reason", "must be 1 to 500 characters");
    }
    reason.to_owned()
}
