//! Acting inside a tenant: for a reason, for half an hour, in the tenant's own trail.

use axum::extract::State;
use easyisp_shared::id::TenantId;
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::{Json, Path, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::sessions;
use crate::auth::{Operator, Origin, User};
use crate::db::Database;
use crate::error::ApiError;
use crate::secrets::Secrets;
use crate::tenants::governed;

/// Why somebody of the platform enters a tenant.
#[derive(Deserialize, ToSchema)]
pub struct Why {
    /// 10 to 500 characters; the tenant reads it.
    #[serde(default, deserialize_with = "blank::option")]
    reason: Option<String>,
}

/// A token inside a tenant.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Visit {
    /// As a client keeps him while he is there.
    user: User,
    /// For `Authorization: Bearer …` until then; it is not refreshed.
    token: String,
    expires_at: Timestamp,
    /// To show all the while.
    banner: String,
}

/// `POST /api/super-admin/tenants/{tenant}/enter`: a token with which to act inside a tenant for 30 minutes.
///
/// The reason and everything done stand in the tenant's own trail. Inside, nobody makes or changes operators
/// or API keys. `POST /api/auth/logout` with the token leaves. Errors: 400 without a reason, 403
/// `FRESH_LOGIN_REQUIRED`, 404.
#[utoipa::path(post, path = "/api/super-admin/tenants/{tenant}/enter", tag = "Platform",
    params(("tenant" = TenantId, Path)), request_body = Why, responses((status = 200, body = Visit)))]
pub async fn enter(
    operator: Operator,
    origin: Origin,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    Path(tenant): Path<TenantId>,
    Json(why): Json<Why>,
) -> Result<Json<Visit>, ApiError> {
    let now = clock.now();
    operator.fresh(now)?;
    let reason = why.reason.unwrap_or_default();
    let reason = reason.trim();
    if !(10..=500).contains(&reason.chars().count()) {
        let what = "must have 10 to 500 characters: the tenant reads why you were there";
        return Err(ApiError::field("reason", what));
    }
    let mut tx = governed::begin(&db, tenant).await?;
    let listed = governed::one(&mut tx).await?;
    let (token, expires_at) =
        sessions::begin_visit(&mut tx, &secrets, &operator, &origin, now).await?;
    let line = Audit {
        details: format!("For at most 30 minutes: {reason}"),
        ..Audit::new(
            Action::SupportEnter,
            "tenant",
            tenant,
            &listed.business_name,
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(Visit {
        user: User::visiting(tenant, &operator),
        token,
        expires_at,
        banner: format!(
            "You act inside {} until {expires_at}; everything you do is in its trail",
            listed.business_name
        ),
    }))
}
