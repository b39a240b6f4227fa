//! The way into an account of a tenant's, when its owner has lost his own.

use axum::extract::State;
use easyisp_shared::id::{OperatorId, TenantId};
use easyisp_shared::time::Clock;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use super::http::Message;
use crate::api::{Json, Path};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::{self, Email, Operator, SignIn};
use crate::db::Database;
use crate::error::{ApiError, ErrorEnvelope};
use crate::tenants::governed;

/// A new password for one of a tenant's people.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewPassword {
    /// Whose.
    user_id: OperatorId,
    /// 12 to 128 characters.
    #[schema(value_type = String, format = Password)]
    new_password: SecretString,
}

/// `POST /api/super-admin/tenants/{tenant}/reset-user-password`: a password to tell him, good for three days;
/// he changes it himself. His sessions end at once. Errors: 400, 404.
#[utoipa::path(post, path = "/api/super-admin/tenants/{tenant}/reset-user-password", tag = "Platform",
    params(("tenant" = TenantId, Path)), request_body = NewPassword,
    responses((status = 200, body = Message)))]
pub async fn reset_user_password(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(sign_in): State<SignIn>,
    Path(tenant): Path<TenantId>,
    Json(request): Json<NewPassword>,
) -> Result<Json<Message>, ApiError> {
    let now = clock.now();
    let person = {
        let mut tx = governed::begin(&db, tenant).await?;
        governed::person(&mut tx, request.user_id).await?
    };
    let email = Email::parse(&person.email)
        .ok_or_else(|| ApiError::Internal(anyhow::anyhow!("a stored e-mail address is none")))?;
    let hash = sign_in
        .new_password("newPassword", &request.new_password, &email)
        .await?;
    let mut tx = governed::begin(&db, tenant).await?;
    // Hashing took a while: he may be gone by now.
    let person = governed::person(&mut tx, request.user_id).await?;
    auth::set_temporary_password(&mut tx, person.id, &hash, now).await?;
    let line = Audit::new(Action::PasswordReset, "operator", person.id, &person.name);
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(Message {
        message: format!(
            "{} may sign in with this password for three days, and changes it then",
            person.name
        ),
    }))
}

/// One of a tenant's people.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlatformWhose)]
pub struct Whose {
    /// Whose.
    user_id: OperatorId,
}

/// `POST /api/super-admin/tenants/{tenant}/forget-second-factor`: one of a tenant's people signs in with his
/// password alone again; for the only owner, whose phone is lost and his recovery codes as well. Errors: 403
/// `FRESH_LOGIN_REQUIRED`, 404, 409 `SECOND_FACTOR_OFF`.
#[utoipa::path(post, path = "/api/super-admin/tenants/{tenant}/forget-second-factor", tag = "Platform",
    params(("tenant" = TenantId, Path)), request_body = Whose,
    responses((status = 200, body = Message), (status = 409, body = ErrorEnvelope)))]
pub async fn forget_second_factor(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(tenant): Path<TenantId>,
    Json(request): Json<Whose>,
) -> Result<Json<Message>, ApiError> {
    let now = clock.now();
    operator.fresh(now)?;
    let mut tx = governed::begin(&db, tenant).await?;
    let person = governed::person(&mut tx, request.user_id).await?;
    if !auth::has_second_factor(&mut tx, person.id).await? {
        return Err(ApiError::conflict(
            "SECOND_FACTOR_OFF",
            "This account has no second factor",
        ));
    }
    auth::forget_second_factor(&mut tx, person.id, now).await?;
    let line = Audit::new(
        Action::SecondFactorDisable,
        "operator",
        person.id,
        &person.name,
    );
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(Message {
        message: format!("{} signs in with his password alone again", person.name),
    }))
}
