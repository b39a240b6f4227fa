//! `/api/api-keys`.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use easyisp_shared::id::{ApiKeyId, OperatorId};
use easyisp_shared::time::{Clock, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::factor::check_password;
use crate::api::{Idempotency, Json, Path, Success, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::store::{self, KeyRow};
use crate::auth::{Operator, Origin, Permission, SignIn, keys};
use crate::db::Database;
use crate::error::{ApiError, Wrong};

/// Most keys of one tenant.
const MOST: i64 = 100;

/// The tenant's keys.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeys {
    /// Newest first, at most 100; revoked ones are gone.
    api_keys: Vec<ApiKey>,
    total: usize,
}

/// A key, without itself.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    id: ApiKeyId,
    /// What it is for.
    name: String,
    /// Its first characters.
    prefix: String,
    /// What it may do, as long as its operator may.
    permissions: Vec<String>,
    /// In whose name it calls.
    operator_id: OperatorId,
    operator_name: String,
    created_at: Timestamp,
    expires_at: Timestamp,
    /// To within a minute.
    last_used_at: Option<Timestamp>,
}

impl From<KeyRow> for ApiKey {
    fn from(row: KeyRow) -> ApiKey {
        ApiKey {
            id: row.id,
            name: row.name,
            prefix: row.prefix,
            permissions: row.permissions,
            operator_id: row.operator_id,
            operator_name: row.operator_name,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.used_at,
        }
    }
}

/// A new key.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewKey {
    /// What it is for: 2 to 100 characters.
    #[serde(default, deserialize_with = "blank::option")]
    name: Option<String>,
    /// Names of what it may do: some of the caller's own, none that changes operators.
    #[serde(default, deserialize_with = "blank::option")]
    permissions: Option<Vec<String>>,
    /// How many days it is good, 1 to 366; 90 when it is not said.
    #[serde(default, deserialize_with = "blank::option")]
    expires_in_days: Option<u32>,
    /// The caller's own: a token that was stolen makes no keys.
    #[schema(value_type = String, format = Password)]
    password: Option<SecretString>,
}

/// A key and itself.
#[derive(Serialize, ToSchema)]
pub struct MadeKey {
    #[serde(flatten)]
    about: ApiKey,
    /// For `Authorization: Bearer …`. Shown once.
    key: String,
}

/// `GET /api/api-keys`: the tenant's keys.
#[utoipa::path(get, path = "/api/api-keys", tag = "API keys", responses((status = 200, body = ApiKeys)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
) -> Result<Json<ApiKeys>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let rows = store::keys(&mut tx, MOST).await?;
    Ok(Json(ApiKeys {
        total: rows.len(),
        api_keys: rows.into_iter().map(ApiKey::from).collect(),
    }))
}

/// `POST /api/api-keys`: a key with which a program calls in the caller's name. It never may more than he
/// may at that moment, and ends with him.
///
/// Errors: 400 naming the fields, 403 `BEYOND_YOURS`, 403 `PERSON_ONLY`: a key makes no keys; 409
/// `TOO_MANY_API_KEYS` over 100; 422 `WRONG_PASSWORD`, 429.
#[utoipa::path(post, path = "/api/api-keys", tag = "API keys", request_body = NewKey,
    responses((status = 201, body = MadeKey)))]
pub async fn create(
    operator: Operator,
    origin: Origin,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(sign_in): State<SignIn>,
    mut idempotency: Idempotency,
    Json(request): Json<NewKey>,
) -> Result<Response, ApiError> {
    operator.in_person()?;
    let now = clock.now();
    let password = request.password.clone();
    let (name, permissions, days) = checked(request)?;
    let password = password.ok_or_else(|| ApiError::field("password", "is required"))?;
    operator.require_all(&permissions)?;
    check_password(&db, &sign_in, &operator, &origin, &password, now).await?;
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    store::lock_keys(&mut tx).await?;
    if store::keys(&mut tx, MOST).await?.len() as i64 == MOST {
        let what = format!("There are {MOST} API keys already; revoke one");
        return Err(ApiError::conflict("TOO_MANY_API_KEYS", what));
    }
    let (token, text, prefix) = keys::new(&tx.entropy());
    let row = KeyRow {
        id: ApiKeyId::new(now, &tx.entropy()),
        operator_id: operator.id,
        operator_name: operator.name.clone(),
        name,
        prefix,
        permissions: permissions.iter().map(|p| p.name().to_owned()).collect(),
        created_at: now,
        expires_at: now.plus(Duration::from_secs(u64::from(days) * 86_400)),
        used_at: None,
    };
    store::insert_key(&mut tx, &row, token.digest()).await?;
    let line = Audit {
        after: Some(
            json!({ "prefix": row.prefix, "permissions": row.permissions,
            "expiresAt": row.expires_at }),
        ),
        ..Audit::new(Action::ApiKeyCreate, "api_key", row.id, &row.name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let body = MadeKey {
        about: row.clone().into(),
        key: text,
    };
    let answer = idempotency
        .finish(&mut tx, StatusCode::CREATED, &body)
        .await?;
    tx.commit().await?;
    Ok(answer)
}

/// `DELETE /api/api-keys/{key}`: the key is good for nothing from the next request. Errors: 404.
#[utoipa::path(delete, path = "/api/api-keys/{key}", tag = "API keys",
    params(("key" = ApiKeyId, Path)), responses((status = 200, body = Success)))]
pub async fn revoke(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(key): Path<ApiKeyId>,
) -> Result<Json<Success>, ApiError> {
    operator.in_person()?;
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let name = store::revoke_key(&mut tx, key, now).await?;
    let name = name.ok_or(ApiError::NotFound("API key"))?;
    let line = Audit::new(Action::ApiKeyRevoke, "api_key", key, &name);
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(Success::YES))
}

fn checked(request: NewKey) -> Result<(String, Vec<Permission>, u32), ApiError> {
    let mut wrong = Wrong::default();
    let name = wrong.required("name", request.name);
    if !name.is_empty() && !(2..=100).contains(&name.trim().chars().count()) {
        wrong.add("name", "must have 2 to 100 characters");
    }
    let mut permissions = Vec::new();
    let mut said = request.permissions.unwrap_or_default();
    said.sort_unstable();
    said.dedup();
    for name in &said {
        match Permission::parse(name) {
            Some(permission) if keys::NEVER.contains(&permission) => {
                let what = format!("must not hold {name}: a program makes and changes no people");
                wrong.add("permissions", &what);
            }
            Some(permission) => permissions.push(permission),
            None => {
                let shown: String = name.chars().take(60).collect();
                let what =
                    format!("must hold names of permissions such as customers:edit, not {shown:?}");
                wrong.add("permissions", &what);
                break;
            }
        }
    }
    if said.is_empty() {
        wrong.add(
            "permissions",
            "must hold at least one name, such as customers:edit",
        );
    }
    let days = request.expires_in_days.unwrap_or(90);
    if !(1..=366).contains(&days) {
        wrong.add("expiresInDays", "must be from 1 to 366");
    }
    wrong
        .none_or((name.trim().to_owned(), permissions, days))
        .map_err(ApiError::fields)
}
