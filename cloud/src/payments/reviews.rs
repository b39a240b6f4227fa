//! Payments that a person must look at, as what was told of them does not fit together; and his word that he did.

use axum::extract::State;
use easyisp_shared::id::IntentId;
use easyisp_shared::time::Clock;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::days;
use super::store::{self, Which};
use crate::api::{Json, Path, Success, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::{ApiError, Wrong};

/// What a person found.
#[derive(Deserialize, ToSchema)]
pub struct ReviewedRequest {
    /// What he found and did; at most 500 characters.
    #[serde(default, deserialize_with = "blank::option")]
    reason: Option<String>,
    /// What he looked at, word for word as `review` said it. Where something else is noted since, nothing is done.
    #[serde(default, deserialize_with = "blank::option")]
    review: Option<String>,
}

/// `POST /api/payments/intents/{intent}/reviewed`: a person has looked at a payment that `GET /api/payments/mpesa` shows with
/// a `review`. It is shown without one then, and what he found is in the trail; no money moves. A repeat changes nothing. What
/// is told of it later may need a person again.
///
/// Errors: 400 without a reason, 404, 409 `REVIEW_CHANGED`.
#[utoipa::path(post, path = "/api/payments/intents/{intent}/reviewed", tag = "Payments",
    params(("intent" = IntentId, Path)), request_body = ReviewedRequest,
    responses((status = 200, body = Success)))]
pub async fn reviewed(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(intent): Path<IntentId>,
    Json(request): Json<ReviewedRequest>,
) -> Result<Json<Success>, ApiError> {
    let mut wrong = Wrong::default();
    let reason = days::reason(request.reason, &mut wrong);
    let reason = wrong
        .none_or(reason.unwrap_or_default())
        .map_err(ApiError::fields)?;
    let mut tx = db.begin(operator.tenant).await?;
    let intent = store::lock(&mut tx, Which::Id(intent)).await?;
    let intent = intent.ok_or(ApiError::NotFound("payment"))?;
    let Some(review) = &intent.needs_review else {
        return Ok(Json(Success::YES));
    };
    if request.review.is_some_and(|seen| seen != *review) {
        return Err(ApiError::conflict(
            "REVIEW_CHANGED",
            format!("Something else is noted since: {review}"),
        ));
    }
    let now = clock.now();
    if !store::reviewed(&mut tx, intent.id, now).await? {
        return Ok(Json(Success::YES));
    }
    let line = Audit {
        details: format!("Looked at a payment of {}: {reason}", intent.amount),
        before: Some(json!({"intent": intent.id, "review": review})),
        after: Some(json!({"intent": intent.id, "review": null})),
        ..Audit::new(
            Action::TransactionResolve,
            "customer",
            intent.customer_id,
            "",
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(Success::YES))
}
