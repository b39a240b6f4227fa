//! `/api/payments/settlements` and `/api/super-admin/settlements`: what the platform collected for a tenant, and how it
//! was paid out to him.

use std::cmp::Reverse;

use axum::extract::State as With;
use axum::response::Response;
use easyisp_shared::id::{SettlementId, TenantId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Payments;
use super::arrival::receipt_of;
use super::held;
use super::payout::{self, FOR_A_PERSON, State};
use super::said::{self, MOST_LISTED};
use super::store::settlements::{self as store, Listed, Settlement, Wanted};
use super::words::{GatewayType, SubType};
use crate::api::{Json, Page, Path, Query, Sheet, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::tenants::{self, governed};

/// Most settlements of a file.
const MOST: i64 = 10_000;

/// A settlement as the API shows it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Settlement)]
pub struct Shown {
    id: SettlementId,
    /// The tenant's day up to whose end it was reckoned.
    day: String,
    /// What was held then and was not on its way.
    held: Cents,
    /// What of it goes to the tenant.
    amount: Cents,
    /// What the platform keeps for it.
    fee: Cents,
    payout_kind: SubType,
    payout_number: String,
    payout_account: Option<String>,
    state: State,
    /// For people.
    message: Option<String>,
    created_at: Timestamp,
    sent_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    /// M-Pesa's receipt of it.
    receipt: Option<String>,
}

impl From<Settlement> for Shown {
    fn from(row: Settlement) -> Shown {
        Shown {
            id: row.id,
            day: row.day,
            held: row.held,
            amount: row.amount,
            fee: row.fee,
            payout_kind: row.payout_kind,
            payout_number: row.payout_number,
            payout_account: row.payout_account,
            state: row.state,
            message: row.message,
            created_at: row.created_at,
            sent_at: row.sent_at,
            ended_at: row.ended_at,
            receipt: row.receipt,
        }
    }
}

/// Which settlements.
#[derive(Deserialize, IntoParams)]
pub struct Filter {
    /// Those that stand so.
    #[param(inline)]
    state: Option<State>,
}

/// What the platform collects for a tenant.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Settlements {
    /// Whether it collects at this time.
    enabled: bool,
    /// What it holds, on its way or not.
    held: Cents,
    /// What of that is on its way to the tenant, the fee with it.
    under_way: Cents,
    /// What of that is on its way back to payers.
    going_back: Cents,
    /// What always stays with it.
    reserve: Cents,
    settlements: Vec<Shown>,
    total: i64,
    page: u32,
    page_size: u32,
}

/// `GET /api/payments/settlements`: what the platform collected through its own short code and holds, and what it paid
/// out, the newest day first. Without `page` the newest 1,000.
#[utoipa::path(get, path = "/api/payments/settlements", tag = "Settlements",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query), Filter),
    responses((status = 200, body = Settlements)))]
pub async fn list(
    operator: Operator,
    With(db): With<Database>,
    page: Page,
    Query(filter): Query<Filter>,
) -> Result<Json<Settlements>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let agreed = store::collecting(&mut tx).await?;
    let under_way = store::under_way(&mut tx).await?;
    let held = held::standing(&mut tx, None).await?;
    let (rows, total) = store::list(&mut tx, filter.state, (page.limit(), page.offset())).await?;
    Ok(Json(Settlements {
        enabled: agreed.as_ref().is_some_and(|agreed| agreed.enabled),
        held,
        under_way: under_way.settlements,
        going_back: under_way.refunds,
        reserve: agreed.map_or(Cents::ZERO, |agreed| agreed.reserve),
        settlements: rows.into_iter().map(Shown::from).collect(),
        total,
        page: page.number,
        page_size: page.size,
    }))
}

/// `GET /api/payments/settlements/export`: the same as CSV, at most 10,000 days.
#[utoipa::path(get, path = "/api/payments/settlements/export", tag = "Settlements", params(Filter),
    responses((status = 200, content((String = "text/csv")))))]
pub async fn export(
    operator: Operator,
    With(db): With<Database>,
    Query(filter): Query<Filter>,
) -> Result<Response, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let (rows, _) = store::list(&mut tx, filter.state, (MOST, 0)).await?;
    let mut sheet = Sheet::new(&COLUMNS)?;
    for row in rows {
        add(&mut sheet, None, &row.into())?;
    }
    let slug = tenants::slug(&mut tx).await?;
    sheet.download(&format!("settlements-{slug}.csv"))
}

const COLUMNS: [&str; 12] = [
    "day", "held", "amount", "fee", "state", "to", "account", "created", "sent", "ended",
    "receipt", "message",
];

fn add(sheet: &mut Sheet, tenant: Option<&str>, row: &Shown) -> Result<(), ApiError> {
    let at = |at: Option<Timestamp>| at.map_or(String::new(), |at| at.to_string());
    let state = serde_json::to_value(row.state).map_err(ApiError::internal)?;
    let cells = [
        row.day.clone(),
        row.held.to_string(),
        row.amount.to_string(),
        row.fee.to_string(),
        state.as_str().unwrap_or_default().to_owned(),
        row.payout_number.clone(),
        row.payout_account.clone().unwrap_or_default(),
        row.created_at.to_string(),
        at(row.sent_at),
        at(row.ended_at),
        row.receipt.clone().unwrap_or_default(),
        row.message.clone().unwrap_or_default(),
    ];
    let cells: Vec<&str> = tenant
        .into_iter()
        .chain(cells.iter().map(String::as_str))
        .collect();
    sheet.row(&cells)
}

/// Which settlements of all tenants.
#[derive(Deserialize, IntoParams)]
pub struct AllQuery {
    /// Those that stand so.
    #[param(inline)]
    state: Option<State>,
    /// From this day on, `2026-01-31`.
    #[param(value_type = Option<String>)]
    from: Option<Date>,
    /// Up to this day.
    #[param(value_type = Option<String>)]
    to: Option<Date>,
}

impl AllQuery {
    fn wanted(&self) -> Wanted {
        Wanted {
            state: self.state,
            from: self.from,
            to: self.to,
        }
    }
}

/// A settlement in the platform's list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlatformSettlement)]
pub struct Of {
    tenant_id: TenantId,
    business_name: String,
    #[serde(flatten)]
    settlement: Shown,
}

impl From<Listed> for Of {
    fn from(row: Listed) -> Of {
        Of {
            tenant_id: row.tenant_id,
            business_name: row.business_name,
            settlement: Shown {
                id: row.id,
                day: row.day,
                held: row.held,
                amount: row.amount,
                fee: row.fee,
                payout_kind: row.payout_kind,
                payout_number: row.payout_number,
                payout_account: row.payout_account,
                state: row.state,
                message: row.message,
                created_at: row.created_at,
                sent_at: row.sent_at,
                ended_at: row.ended_at,
                receipt: row.receipt,
            },
        }
    }
}

/// Settlements of all tenants.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformSettlements)]
pub struct All {
    settlements: Vec<Of>,
}

/// `GET /api/super-admin/settlements`: what was paid out to tenants, the newest day first, at most 1,000.
#[utoipa::path(get, path = "/api/super-admin/settlements", tag = "Platform", params(AllQuery),
    responses((status = 200, body = All)))]
pub async fn all(
    _: Operator,
    With(db): With<Database>,
    Query(query): Query<AllQuery>,
) -> Result<Json<All>, ApiError> {
    let settlements = of_all(&db, query.wanted(), MOST_LISTED).await?;
    Ok(Json(All { settlements }))
}

/// `GET /api/super-admin/settlements/export`: the same as CSV, at most 10,000.
#[utoipa::path(get, path = "/api/super-admin/settlements/export", tag = "Platform", params(AllQuery),
    responses((status = 200, content((String = "text/csv")))))]
pub async fn export_all(
    _: Operator,
    With(db): With<Database>,
    Query(query): Query<AllQuery>,
) -> Result<Response, ApiError> {
    let columns: Vec<&str> = std::iter::once("tenant").chain(COLUMNS).collect();
    let mut sheet = Sheet::new(&columns)?;
    for row in of_all(&db, query.wanted(), MOST).await? {
        add(&mut sheet, Some(&row.business_name), &row.settlement)?;
    }
    sheet.download("settlements.csv")
}

/// The newest day first.
async fn of_all(db: &Database, wanted: Wanted, most: i64) -> Result<Vec<Of>, ApiError> {
    let rows = said::of_every_tenant(
        db,
        most,
        |directory, some| Box::pin(store::of_all(directory, some, wanted, most)),
        |row: &Listed| (Reverse(row.day.clone()), row.business_name.clone()),
    );
    let rows = rows.await?;
    Ok(rows.into_iter().map(Of::from).collect())
}

/// What M-Pesa's statement shows.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SettlementOutcome)]
pub struct OutcomeRequest {
    /// True: the money went.
    sent: bool,
    /// M-Pesa's receipt of it; required where it went.
    #[serde(default, deserialize_with = "blank::option")]
    receipt: Option<String>,
}

/// `POST /api/super-admin/tenants/{tenant}/settlements/{settlement}/outcome`: a person of the platform says, from
/// M-Pesa's statement, whether a settlement went, where M-Pesa itself did not say it in a day.
///
/// Errors: 400 no receipt, 403 `FRESH_LOGIN_REQUIRED`, 404, 409 `SETTLEMENT_KNOWN` when it is known, or
/// `SETTLEMENT_WAITING` while M-Pesa's answer is waited for.
#[utoipa::path(post, path = "/api/super-admin/tenants/{tenant}/settlements/{settlement}/outcome", tag = "Platform",
    params(("tenant" = TenantId, Path), ("settlement" = SettlementId, Path)), request_body = OutcomeRequest,
    responses((status = 200, body = Shown)))]
pub async fn outcome(
    operator: Operator,
    With(payments): With<Payments>,
    Path((tenant, settlement)): Path<(TenantId, SettlementId)>,
    Json(request): Json<OutcomeRequest>,
) -> Result<Json<Shown>, ApiError> {
    let now = payments.clock.now();
    operator.fresh(now)?;
    let (typed, form) = (
        request.receipt.as_deref(),
        GatewayType::MpesaApi.form_of_receipt(),
    );
    let receipt = said::receipt(request.sent, typed, receipt_of, form)?;
    let mut tx = governed::begin(&payments.db, tenant).await?;
    let found = store::lock(&mut tx, settlement).await?;
    let mut found = found.ok_or(ApiError::NotFound("settlement"))?;
    if found.state != State::Unknown {
        return Err(ApiError::conflict(
            "SETTLEMENT_KNOWN",
            "What became of this settlement is known, or M-Pesa's answer is waited for; nothing is to be said",
        ));
    }
    let since = found.sent_at.unwrap_or(found.created_at);
    if now < since.plus(FOR_A_PERSON) {
        return Err(ApiError::conflict(
            "SETTLEMENT_WAITING",
            "M-Pesa is still being asked what became of this settlement; say it a day after it was sent",
        ));
    }
    let what = match &receipt {
        Some(receipt) => format!(
            "Said that {} of {} went with receipt {receipt}",
            found.amount, found.day
        ),
        None => format!("Said that {} of {} did not go", found.amount, found.day),
    };
    match receipt {
        Some(receipt) => {
            payout::done(&mut tx, &mut found, Some(receipt), now).await?;
            store::save(&mut tx, &found).await?;
        }
        None => {
            let why = "Not in M-Pesa's statement, as a person says".to_owned();
            payout::fail(&mut tx, &mut found, why, now).await?;
        }
    }
    let line = Audit {
        details: what,
        ..Audit::new(Action::SettlementSettle, "settlement", found.id, &found.day)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(found.into()))
}
