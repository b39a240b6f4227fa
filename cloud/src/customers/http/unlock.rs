//! A code for a customer whose site cannot hear of his payment.

use axum::extract::State;
use axum::http::StatusCode;
use easyisp_shared::id::{CustomerId, SiteId};
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::unlock::{Grant, HOURS, MOST_AN_HOUR};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::rules::Deed;
use super::super::store;
use super::{locked, note};
use crate::api::{Json, Path};
use crate::audit::Action;
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::secrets::Secrets;

/// For how long.
#[derive(Deserialize, ToSchema)]
pub struct UnlockRequest {
    /// 1, 2, 3, 4, 6, 8, 12, 24, 48 or 72.
    hours: u8,
}

/// A code to say on the phone.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unlock {
    /// Twelve digits, in fours. Shown once.
    #[schema(example = "0123 4567 8901")]
    code: String,
    hours: u8,
    /// When it ends, however late it is typed.
    until: Timestamp,
    /// Where it is good.
    site_id: SiteId,
    /// What is typed beside it.
    username: String,
}

/// `POST /api/customers/{customer}/unlock-code`: a code with which his site's box lets him in for some hours while it
/// cannot hear of us. Good for him, there, once; his time runs from now on.
///
/// Typed on the box's status page with his user name. Nothing is charged; the box tells when it was used, and both
/// stand in the trail. Errors: 400 for other hours, 404, 409 `TOO_MANY_CODES` for more than ten of one hour.
#[utoipa::path(post, path = "/api/customers/{customer}/unlock-code", tag = "Customers",
    params(("customer" = CustomerId, Path)), request_body = UnlockRequest,
    responses((status = 201, body = Unlock)))]
pub async fn unlock_code(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    Path(customer): Path<CustomerId>,
    Json(request): Json<UnlockRequest>,
) -> Result<(StatusCode, Json<Unlock>), ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, &operator, customer, Deed::ChangeExpiry, now).await?;
    let first = Grant::new(customer, request.hours, 0, now)
        .ok_or_else(|| ApiError::field("hours", format!("must be one of {HOURS:?}")))?;
    let made = store::unlocks_of_hour(&mut tx, customer, first.hour).await?;
    let serial = u8::try_from(made).ok().filter(|made| *made < MOST_AN_HOUR);
    let serial = serial.ok_or_else(|| {
        ApiError::conflict(
            "TOO_MANY_CODES",
            "Ten codes were made for this customer within this hour; use one of them, or wait",
        )
    })?;
    let grant = Grant { serial, ..first };
    let key = secrets.site_key(&mut tx, row.site_id).await?;
    store::put_unlock(&mut tx, row.site_id, &grant, &operator.name, now).await?;
    let details = format!("For {} hours, until {}", grant.hours, grant.until());
    note(&mut tx, &operator, Action::UnlockCode, &row, details, now).await?;
    tx.commit().await?;
    Ok(Json(Unlock {
        code: grant.code(&key).spoken(),
        hours: grant.hours,
        until: grant.until(),
        site_id: row.site_id,
        username: row.row.username,
    })
    .with(StatusCode::CREATED))
}
