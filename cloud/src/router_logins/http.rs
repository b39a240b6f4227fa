//! `/api/router-logins`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use easyisp_shared::id::{RouterId, RouterLoginId};
use easyisp_shared::time::{Clock, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::PASSWORD;
use super::rules::{self, Change, Draft, MOST};
use super::store::{self, Stored};
use crate::api::{Idempotency, Json, Masked, Path, Success, blank, is_masked};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::{Database, Kind, Tx};
use crate::error::{ApiError, violated};
use crate::routers;
use crate::secrets::Secrets;

/// Who may log in to the tenant's routers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouterLogins {
    /// Whether anybody may at all.
    enabled: bool,
    /// By name, at most 200.
    logins: Vec<RouterLogin>,
}

/// A person's login to the routers themselves.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouterLogin {
    id: RouterLoginId,
    username: String,
    password: Masked,
    /// The `/user group` whose rights he gets on the router.
    group: String,
    /// The only router he may log in to; null = every one.
    nas_id: Option<RouterId>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// Whether anybody may log in to the routers by this list.
#[derive(Deserialize, ToSchema)]
pub struct SwitchRequest {
    #[serde(default, deserialize_with = "blank::option")]
    enabled: Option<bool>,
}

/// What a client says of a router login.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouterLoginRequest {
    /// 1 to 32 letters, digits or one of `_ . # - @`. A name that the router has a user of its own for is
    /// never asked about.
    #[serde(default, deserialize_with = "blank::option")]
    username: Option<String>,
    /// 12 to 128 characters of ASCII. Masked or empty: unchanged.
    #[serde(default, deserialize_with = "blank::option")]
    #[schema(value_type = Option<String>)]
    password: Option<SecretString>,
    /// A `/user group` that exists on the routers: `read` when it is never said, `write`, `full`, or one of
    /// your own.
    #[serde(default, deserialize_with = "blank::option")]
    group: Option<String>,
    /// The only router he may log in to; null = every one.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<RouterId>)]
    nas_id: Option<Option<RouterId>>,
}

/// Only `null` widens a login to every router: an empty field of a form does not.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<RouterId>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl From<Stored> for RouterLogin {
    fn from(stored: Stored) -> RouterLogin {
        RouterLogin {
            id: stored.id,
            username: stored.username,
            password: Masked,
            group: stored.router_group,
            nas_id: stored.router_id,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }
}

impl From<RouterLoginRequest> for Change {
    fn from(request: RouterLoginRequest) -> Change {
        let password = request.password;
        Change {
            username: request.username,
            password: password.filter(|text| !is_masked(text.expose_secret())),
            group: request.group,
            router: request.nas_id,
        }
    }
}

/// `GET /api/router-logins`: who may log in to the routers themselves.
#[utoipa::path(get, path = "/api/router-logins", tag = "Router logins",
    responses((status = 200, body = RouterLogins)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
) -> Result<Json<RouterLogins>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    Ok(Json(all(&mut tx).await?))
}

/// `PUT /api/router-logins`: switches router logins on or off, all at once. Off at first.
///
/// Off means that sites forget everybody on the list: the routers' own users go on working, a session at a
/// router that is open stays open. Errors: 400 naming the field.
#[utoipa::path(put, path = "/api/router-logins", tag = "Router logins", request_body = SwitchRequest,
    responses((status = 200, body = RouterLogins)))]
pub async fn switch(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Json(request): Json<SwitchRequest>,
) -> Result<Json<RouterLogins>, ApiError> {
    let enabled = request.enabled;
    let enabled = enabled.ok_or_else(|| ApiError::field("enabled", "must be true or false"))?;
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    store::switch(&mut tx, enabled, now).await?;
    let body = all(&mut tx).await?;
    for login in &body.logins {
        tx.changed(Kind::RouterLogin, login.id);
    }
    let what = if enabled { "on" } else { "off" };
    let audit = Audit {
        details: format!("Router logins switched {what}"),
        after: Some(json!({ "routerLogins": enabled })),
        ..Audit::new(
            Action::SettingsUpdate,
            "tenant",
            operator.tenant,
            "Router logins",
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), audit, now).await?;
    tx.commit().await?;
    Ok(Json(body))
}

/// `POST /api/router-logins`: enters somebody who may log in to the routers themselves.
///
/// He counts once router logins are switched on and the routers are told to ask. Errors: 400 naming the
/// fields, 404 when `nasId` is no router of this tenant, 409 `ROUTER_LOGIN_TAKEN`, 409
/// `TOO_MANY_ROUTER_LOGINS` over 200.
#[utoipa::path(post, path = "/api/router-logins", tag = "Router logins",
    request_body = RouterLoginRequest, responses((status = 201, body = RouterLogin)))]
pub async fn create(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    mut idempotency: Idempotency,
    Json(request): Json<RouterLoginRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let change = Change::from(request);
    let draft = rules::draft(&change, None).map_err(ApiError::fields)?;
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    store::lock_list(&mut tx).await?;
    if store::list(&mut tx, MOST).await?.len() as i64 == MOST {
        let what = format!("There are {MOST} router logins already; remove one");
        return Err(ApiError::conflict("TOO_MANY_ROUTER_LOGINS", what));
    }
    let id = RouterLoginId::new(now, &tx.entropy());
    let password = change.password.as_ref(); // the draft asked for one
    let password = password.map_or("", |password| password.expose_secret());
    let key = secrets.tenant(&mut tx).await?;
    let sealed = key.seal(PASSWORD, id.0, password.as_bytes());
    exists(&mut tx, &change).await?;
    put(&mut tx, id, &draft, &sealed, now).await?;
    let audit = Audit {
        after: Some(facts(&draft)),
        ..Audit::new(
            Action::RouterLoginCreate,
            "router_login",
            id,
            &draft.username,
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), audit, now).await?;
    let body = RouterLogin::from(find(&mut tx, id).await?);
    let answer = idempotency
        .finish(&mut tx, StatusCode::CREATED, &body)
        .await?;
    tx.commit().await?;
    Ok(answer)
}

/// `PUT /api/router-logins/{login}`: changes what is mentioned; a masked or empty password is unchanged.
///
/// Errors: 400 naming the fields, 404, 409 `ROUTER_LOGIN_TAKEN`.
#[utoipa::path(put, path = "/api/router-logins/{login}", tag = "Router logins",
    params(("login" = RouterLoginId, Path)), request_body = RouterLoginRequest,
    responses((status = 200, body = RouterLogin)))]
pub async fn update(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    Path(login): Path<RouterLoginId>,
    Json(request): Json<RouterLoginRequest>,
) -> Result<Json<RouterLogin>, ApiError> {
    let now = clock.now();
    let change = Change::from(request);
    let mut tx = db.begin(operator.tenant).await?;
    store::lock_list(&mut tx).await?;
    let stored = find(&mut tx, login).await?;
    let before = Draft {
        username: stored.username,
        group: stored.router_group,
        router: stored.router_id,
    };
    let draft = rules::draft(&change, Some(before.clone())).map_err(ApiError::fields)?;
    let sealed = match &change.password {
        Some(password) => {
            let key = secrets.tenant(&mut tx).await?;
            key.seal(PASSWORD, login.0, password.expose_secret().as_bytes())
        }
        None => stored.password_sealed,
    };
    exists(&mut tx, &change).await?;
    put(&mut tx, login, &draft, &sealed, now).await?;
    let new_password = change.password.is_some();
    let audit = Audit {
        details: if new_password { "A new password" } else { "" }.to_owned(),
        before: Some(facts(&before)),
        after: Some(facts(&draft)),
        ..Audit::new(
            Action::RouterLoginUpdate,
            "router_login",
            login,
            &draft.username,
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), audit, now).await?;
    let body = RouterLogin::from(find(&mut tx, login).await?);
    tx.commit().await?;
    Ok(Json(body))
}

/// `DELETE /api/router-logins/{login}`: he may log in to no router any more. Errors: 404.
#[utoipa::path(delete, path = "/api/router-logins/{login}", tag = "Router logins",
    params(("login" = RouterLoginId, Path)), responses((status = 200, body = Success)))]
pub async fn delete(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(login): Path<RouterLoginId>,
) -> Result<Json<Success>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    store::lock_list(&mut tx).await?;
    let stored = find(&mut tx, login).await?;
    store::delete(&mut tx, login).await?;
    tx.changed(Kind::RouterLogin, login);
    let audit = Audit::new(
        Action::RouterLoginDelete,
        "router_login",
        login,
        &stored.username,
    );
    audit::record(&mut tx, &Actor::from(&operator), audit, now).await?;
    tx.commit().await?;
    Ok(Json(Success::YES))
}

async fn all(tx: &mut Tx) -> Result<RouterLogins, ApiError> {
    let logins = store::list(tx, MOST).await?;
    Ok(RouterLogins {
        enabled: store::is_on(tx).await?,
        logins: logins.into_iter().map(RouterLogin::from).collect(),
    })
}

/// A router that is said must be one of the tenant's.
async fn exists(tx: &mut Tx, change: &Change) -> Result<(), ApiError> {
    if let Some(Some(router)) = change.router {
        let site = routers::site_of(tx, router).await?;
        site.ok_or(ApiError::NotFound("router"))?;
    }
    Ok(())
}

async fn find(tx: &mut Tx, login: RouterLoginId) -> Result<Stored, ApiError> {
    let stored = store::lock(tx, login).await?;
    stored.ok_or(ApiError::NotFound("router login"))
}

async fn put(
    tx: &mut Tx,
    id: RouterLoginId,
    draft: &Draft,
    sealed: &[u8],
    now: Timestamp,
) -> Result<(), ApiError> {
    store::put(tx, id, draft, sealed, now)
        .await
        .map_err(|error| match violated(&error) {
            Some("router_login_name") => ApiError::conflict(
                "ROUTER_LOGIN_TAKEN",
                format!("There is already a router login {:?}", draft.username),
            ),
            Some(_) | None => error.into(),
        })?;
    tx.changed(Kind::RouterLogin, id);
    Ok(())
}

/// What the trail keeps of a login: never its password.
fn facts(draft: &Draft) -> serde_json::Value {
    json!({ "username": draft.username, "group": draft.group, "nasId": draft.router })
}
