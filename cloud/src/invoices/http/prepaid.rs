//! `/api/tenant/prepaid`: whether prepaid sales are taxed, and get receipts.

use axum::extract::State;
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::api::{Json, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::invoices::store::sale;

/// How periods are sold that are paid ahead.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prepaid {
    /// Whether their prices include the taxes in force.
    taxed: bool,
    /// Since when; what was sold before is not.
    taxed_since: Option<Timestamp>,
    /// Whether each sale gets a receipt: a paid invoice with a number, reported like every invoice.
    receipts: bool,
    /// Since when; what was sold before gets none.
    receipts_since: Option<Timestamp>,
}

impl From<&sale::Prepaid> for Prepaid {
    fn from(stored: &sale::Prepaid) -> Prepaid {
        Prepaid {
            taxed: stored.taxed_from.is_some(),
            taxed_since: stored.taxed_from,
            receipts: stored.receipts_from.is_some(),
            receipts_since: stored.receipts_from,
        }
    }
}

/// `GET /api/tenant/prepaid`: whether prepaid sales are taxed, and get receipts.
#[utoipa::path(get, path = "/api/tenant/prepaid", tag = "Invoices",
    responses((status = 200, body = Prepaid)))]
pub async fn get(
    operator: Operator,
    State(db): State<Database>,
) -> Result<Json<Prepaid>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    Ok(Json((&sale::prepaid(&mut tx).await?).into()))
}

/// How they are to be sold; what is left out stays.
#[derive(Deserialize, ToSchema)]
pub struct PrepaidRequest {
    #[serde(default, deserialize_with = "blank::option")]
    taxed: Option<bool>,
    #[serde(default, deserialize_with = "blank::option")]
    receipts: Option<bool>,
}

/// `PUT /api/tenant/prepaid`: from now on prepaid sales are taxed, or get receipts, or not. Prices stay what customers
/// pay: taxes are a part of them. What was sold stays as it was sold.
#[utoipa::path(put, path = "/api/tenant/prepaid", tag = "Invoices", request_body = PrepaidRequest,
    responses((status = 200, body = Prepaid)))]
pub async fn set(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Json(request): Json<PrepaidRequest>,
) -> Result<Json<Prepaid>, ApiError> {
    let now = clock.now();
    let since = |before: Option<Timestamp>, wanted: Option<bool>| match wanted {
        None => before,
        Some(true) => before.or(Some(now)),
        Some(false) => None,
    };
    let mut tx = db.begin(operator.tenant).await?;
    let before = sale::lock_prepaid(&mut tx).await?;
    let wanted = sale::Prepaid {
        taxed_from: since(before.taxed_from, request.taxed),
        receipts_from: since(before.receipts_from, request.receipts),
        ..before.clone()
    };
    let answer = Prepaid::from(&wanted);
    sale::set_prepaid(&mut tx, &wanted, now).await?;
    let line = Audit {
        before: Some(json!(Prepaid::from(&before))),
        after: Some(json!(answer)),
        ..Audit::new(
            Action::PrepaidUpdate,
            "tenant",
            operator.tenant,
            &before.business_name,
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(answer))
}
