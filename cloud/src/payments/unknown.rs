//! `/api/super-admin/topups`: what tenants pay the platform ahead, and what a person of the platform says of a prompt
//! whose end M-Pesa never told.

use std::cmp::Reverse;

use axum::extract::State as With;
use easyisp_shared::id::{OperatorId, TenantId, TopupId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Payments;
use super::arrival::receipt_of;
use super::prompt::PromptError;
use super::said::{self, MOST_LISTED};
use super::store::topups::{self as store, Listed, Said, State};
use super::words::GatewayType;
use crate::api::{Json, Path, Query, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::{ApiError, violated};
use crate::tenants::governed;

/// What the tenant reads of one that was not paid.
const NOT_THERE: &str = "Not in M-Pesa's statement, as a person of the platform says";

/// Which top-ups.
#[derive(Deserialize, IntoParams)]
pub struct Filter {
    /// Those that stand so.
    #[param(inline)]
    state: Option<State>,
}

/// A top-up.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Topup)]
pub struct Shown {
    tenant_id: TenantId,
    business_name: String,
    id: TopupId,
    amount: Cents,
    /// On whose phone the prompt was; empty where there was none.
    phone: String,
    state: State,
    /// For people.
    message: Option<String>,
    created_at: Timestamp,
    ended_at: Option<Timestamp>,
    /// M-Pesa's receipt, where a person gave it.
    receipt: Option<String>,
    /// Who of the platform said how it ended; null = M-Pesa did.
    settled_by: Option<OperatorId>,
    settled_at: Option<Timestamp>,
}

impl From<Listed> for Shown {
    fn from(row: Listed) -> Shown {
        Shown {
            tenant_id: row.tenant_id,
            business_name: row.business_name,
            id: row.id,
            amount: row.amount,
            phone: row.phone,
            state: row.state,
            message: row.message,
            created_at: row.created_at,
            ended_at: row.ended_at,
            receipt: row.receipt,
            settled_by: row.settled_by,
            settled_at: row.settled_at,
        }
    }
}

/// Top-ups of all tenants.
#[derive(Serialize, ToSchema)]
pub struct Topups {
    topups: Vec<Shown>,
}

/// `GET /api/super-admin/topups`: what tenants paid the platform ahead by phone, the newest first, at most 1,000;
/// `state=UNKNOWN` lists those for a person.
#[utoipa::path(get, path = "/api/super-admin/topups", tag = "Platform", params(Filter),
    responses((status = 200, body = Topups)))]
pub async fn list(
    _: Operator,
    With(db): With<Database>,
    Query(filter): Query<Filter>,
) -> Result<Json<Topups>, ApiError> {
    let rows = said::of_every_tenant(
        &db,
        MOST_LISTED,
        |directory, some| Box::pin(store::of_all(directory, some, filter.state, MOST_LISTED)),
        |row: &Listed| Reverse((row.created_at, row.id.0)),
    );
    let rows = rows.await?;
    Ok(Json(Topups {
        topups: rows.into_iter().map(Shown::from).collect(),
    }))
}

/// What M-Pesa's statement shows.
#[derive(Deserialize, ToSchema)]
#[schema(as = TopupOutcome)]
pub struct OutcomeRequest {
    /// True: the money came.
    paid: bool,
    /// M-Pesa's receipt of it; required where it came.
    #[serde(default, deserialize_with = "blank::option")]
    receipt: Option<String>,
}

/// `POST /api/super-admin/tenants/{tenant}/topups/{topup}/outcome`: a person of the platform says, from the statement of
/// the platform's short code, whether a top-up was paid that M-Pesa did not tell of. What was paid is in the tenant's
/// wallet, once, and its receipt is the evidence: it counts for nothing else at that short code.
///
/// Errors: 400 no receipt, 403 `FRESH_LOGIN_REQUIRED`, 404, 409 `TOPUP_KNOWN` when it is known, `TOPUP_WAITING` while
/// M-Pesa is asked, or `RECEIPT_USED`, 422 `PLATFORM_GATEWAY` where the platform takes no money by M-Pesa.
#[utoipa::path(post, path = "/api/super-admin/tenants/{tenant}/topups/{topup}/outcome", tag = "Platform",
    params(("tenant" = TenantId, Path), ("topup" = TopupId, Path)), request_body = OutcomeRequest,
    responses((status = 200, body = Shown)))]
pub async fn outcome(
    operator: Operator,
    With(payments): With<Payments>,
    Path((tenant, id)): Path<(TenantId, TopupId)>,
    Json(request): Json<OutcomeRequest>,
) -> Result<Json<Shown>, ApiError> {
    let now = payments.clock.now();
    operator.fresh(now)?;
    let (typed, form) = (
        request.receipt.as_deref(),
        GatewayType::MpesaApi.form_of_receipt(),
    );
    let receipt = said::receipt(request.paid, typed, receipt_of, form)?;
    let mut tx = governed::begin(&payments.db, tenant).await?;
    let topup = store::lock(&mut tx, id).await?;
    let topup = topup.ok_or(ApiError::NotFound("top-up"))?;
    let amount = topup.amount;
    match topup.state {
        State::Unknown => {}
        State::Pending => {
            return Err(ApiError::conflict(
                "TOPUP_WAITING",
                "M-Pesa is still being asked what became of this top-up",
            ));
        }
        State::Done | State::Failed => {
            return Err(ApiError::conflict(
                "TOPUP_KNOWN",
                "What became of this top-up is known; nothing is to be said",
            ));
        }
    }
    let actor = Actor::from(&operator);
    let what = match &receipt {
        Some(receipt) => format!("Said that a top-up of {amount} was paid with receipt {receipt}"),
        None => format!("Said that a top-up of {amount} was not paid"),
    };
    let said = match &receipt {
        Some(receipt) => {
            let central = payments.central.as_deref().ok_or_else(|| {
                PromptError::Platform("[mpesa] shortcode is not set on the server".to_owned())
            })?;
            let code = central.env.code(&central.shortcode);
            store::claim(&mut tx, id, receipt, &code)
                .await
                .map_err(|cause| match violated(&cause) {
                    Some("receipts_pkey" | "receipt_at_shortcode") => ApiError::conflict(
                        "RECEIPT_USED",
                        "This receipt is booked already; one payment tops up once",
                    ),
                    Some(_) | None => cause.into(),
                })?;
            governed::add_balance(&mut tx, &actor, (amount, Cents::ZERO), now).await?;
            Said::Paid(receipt)
        }
        None => Said::NotPaid(NOT_THERE),
    };
    store::settle(&mut tx, id, said, operator.id, now).await?;
    let line = Audit {
        details: what,
        ..Audit::new(Action::TopUpSettle, "top-up", id, "")
    };
    audit::record(&mut tx, &actor, line, now).await?;
    let listed = store::find(&mut tx, id).await?;
    tx.commit().await?;
    Ok(Json(listed.into()))
}
