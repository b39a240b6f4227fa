//! `/api/payments/inquiries`: a person asks M-Pesa what became of a receipt.

use axum::extract::State;
use easyisp_shared::id::{GatewayId, InquiryId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Payments;
use super::arrival::receipt_of;
use super::inquiry::{self, Shown};
use super::mpesa::initiator::About;
use super::prompt::PromptError;
use super::store::{gateways, inquiries as store};
use crate::api::{Json, Page, Path, Query, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;

/// What is asked about.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InquiryRequest {
    /// A receipt, as it stands in the payer's message.
    receipt: String,
    /// The gateway it was paid to; empty = where it is held or claimed, else the default.
    #[serde(default, deserialize_with = "blank::option")]
    gateway_id: Option<GatewayId>,
}

/// `POST /api/payments/inquiries`: asks M-Pesa what became of a receipt. It answers later, within minutes as a rule.
///
/// A payment that is held on nobody's word is proved or taken out of the books by the answer; a prompt that claims
/// the receipt is credited or claims it no longer; a payment that nobody told of is booked as nobody's. While a
/// question about this receipt is open a repeat returns it. Errors: 400 no receipt, 404 unknown gateway, 422
/// `NO_GATEWAY`, `NO_INITIATOR`, `NO_CERTIFICATE`, `NO_SOURCES`, `NO_PUBLIC_URL` or `PUBLIC_URL_REFUSED`.
#[utoipa::path(post, path = "/api/payments/inquiries", tag = "Payments",
    request_body = InquiryRequest, responses((status = 200, body = Shown)))]
pub async fn ask(
    operator: Operator,
    State(payments): State<Payments>,
    Json(request): Json<InquiryRequest>,
) -> Result<Json<Shown>, ApiError> {
    let wrong = || ApiError::field("receipt", "must be 6 to 20 letters and digits");
    let receipt = receipt_of(&request.receipt).ok_or_else(wrong)?;
    let now = payments.clock.now();
    let mut tx = payments.db.begin(operator.tenant).await?;
    let gateway = match request.gateway_id {
        Some(gateway) => {
            let known = gateways::find(&mut tx, gateway).await?;
            known.ok_or(ApiError::NotFound("payment gateway"))?.id
        }
        None => {
            let gateway = store::gateway_of(&mut tx, &receipt).await?;
            gateway.ok_or(PromptError::NoGateway)?
        }
    };
    // What would keep it from being asked is said now.
    payments.asking(&mut tx, gateway).await?;
    let about = About::Receipt(receipt.clone());
    let id = inquiry::open(&mut tx, gateway, &about, None, Some(operator.id), now).await?;
    let line = Audit {
        details: format!("Asked M-Pesa what became of {receipt}"),
        ..Audit::new(Action::PaymentInquire, "inquiry", id, &receipt)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let asked = store::find(&mut tx, id).await?;
    let asked = asked.ok_or(ApiError::NotFound("inquiry"))?;
    tx.commit().await?;
    Ok(Json(Shown::from(asked)))
}

/// `GET /api/payments/inquiries/{inquiry}`: what M-Pesa answered.
#[utoipa::path(get, path = "/api/payments/inquiries/{inquiry}", tag = "Payments",
    params(("inquiry" = InquiryId, Path)), responses((status = 200, body = Shown)))]
pub async fn one(
    operator: Operator,
    State(db): State<Database>,
    Path(inquiry): Path<InquiryId>,
) -> Result<Json<Shown>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let found = store::find(&mut tx, inquiry).await?;
    Ok(Json(found.ok_or(ApiError::NotFound("inquiry"))?.into()))
}

/// Which questions to list.
#[derive(Deserialize, IntoParams)]
pub struct Filter {
    /// A whole receipt.
    receipt: Option<String>,
}

/// A page of questions.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inquiries {
    inquiries: Vec<Shown>,
    total: i64,
    page: u32,
    page_size: u32,
}

/// `GET /api/payments/inquiries`: what M-Pesa was asked, newest first. Without `page` the newest 1,000.
#[utoipa::path(get, path = "/api/payments/inquiries", tag = "Payments",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query), Filter),
    responses((status = 200, body = Inquiries)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    page: Page,
    Query(filter): Query<Filter>,
) -> Result<Json<Inquiries>, ApiError> {
    let receipt = filter.receipt.map(|text| text.trim().to_ascii_uppercase());
    let mut tx = db.begin(operator.tenant).await?;
    let (rows, total) = store::list(&mut tx, receipt.as_deref(), page).await?;
    Ok(Json(Inquiries {
        inquiries: rows.into_iter().map(Shown::from).collect(),
        total,
        page: page.number,
        page_size: page.size,
    }))
}
