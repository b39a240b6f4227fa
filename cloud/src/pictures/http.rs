//! Uploading pictures, and showing them.

use axum::extract::State;
use axum::extract::multipart::{Multipart, MultipartRejection};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use easyisp_shared::time::Clock;
use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::rules::{self, MOST_BYTES, Picture};
use super::store;
use crate::api::{Json, Path};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::{self, Operator, SignIn, User};
use crate::db::Database;
use crate::error::{ApiError, ErrorEnvelope};
use crate::tenants;

/// Pictures decoded at once: each may take 64 MiB, and nobody is in a hurry.
static TURNS: Semaphore = Semaphore::const_new(2);

/// A portrait as a form sends it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
#[schema(rename_all = "camelCase")]
pub struct PortraitForm {
    /// A PNG, JPEG or WebP of at most 1 MiB and 2048 pixels each way.
    #[schema(value_type = String, format = Binary)]
    profile_picture: Vec<u8>,
}

/// A logo as a form sends it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
pub struct LogoForm {
    /// A PNG, JPEG or WebP of at most 1 MiB and 2048 pixels each way.
    #[schema(value_type = String, format = Binary)]
    logo: Vec<u8>,
}

/// The person with his new picture.
#[derive(Serialize, ToSchema)]
pub struct Portrayed {
    user: User,
}

/// `POST /api/auth/profile-picture`: the signed-in person's picture, in place of the one before.
///
/// What it shows is encoded anew, at most 512 pixels each way; a camera's notes are left out. Errors: 400
/// `profilePicture`, 413 over 1 MiB, 415, 429 after 20 in an hour.
#[utoipa::path(post, path = "/api/auth/profile-picture", tag = "Auth",
    request_body(content = PortraitForm, content_type = "multipart/form-data"),
    responses((status = 200, body = Portrayed), (status = 413, body = ErrorEnvelope),
        (status = 415, body = ErrorEnvelope), (status = 429, body = ErrorEnvelope)))]
pub async fn portrait(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(sign_in): State<SignIn>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Json<Portrayed>, ApiError> {
    operator.in_person()?;
    let now = clock.now();
    sign_in.picture(operator.id, now)?;
    let picture = received(form, "profilePicture").await?;
    let mut tx = db.begin(operator.tenant).await?;
    let name = tx.entropy().bytes::<16>();
    // First the person's row: of two pictures that come at once, the second replaces the first.
    let path = path_of(&name, &picture);
    let user = auth::set_profile_picture(&mut tx, operator.id, &path, now).await?;
    store::put(&mut tx, &name, Some(operator.id), &picture, now).await?;
    let line = Audit {
        details: "A new picture".to_owned(),
        ..Audit::new(Action::InfoUpdate, "operator", operator.id, &operator.name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(Portrayed { user }))
}

/// Where the logo is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Logo {
    /// Below the server's root: `/uploads/…`.
    logo_url: String,
}

/// `POST /api/tenant/logo`: the tenant's logo, in place of the one before.
///
/// As for `POST /api/auth/profile-picture`. Errors: 400 `logo`, 413 over 1 MiB, 415, 429 after 20 in an hour.
#[utoipa::path(post, path = "/api/tenant/logo", tag = "Tenant",
    request_body(content = LogoForm, content_type = "multipart/form-data"),
    responses((status = 200, body = Logo), (status = 413, body = ErrorEnvelope),
        (status = 415, body = ErrorEnvelope), (status = 429, body = ErrorEnvelope)))]
pub async fn logo(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(sign_in): State<SignIn>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Json<Logo>, ApiError> {
    let now = clock.now();
    sign_in.picture(operator.id, now)?;
    let picture = received(form, "logo").await?;
    let mut tx = db.begin(operator.tenant).await?;
    let name = tx.entropy().bytes::<16>();
    // First the tenant's row, as above.
    let path = path_of(&name, &picture);
    let business_name = tenants::set_logo(&mut tx, &path, now).await?;
    store::put(&mut tx, &name, None, &picture, now).await?;
    let line = Audit {
        details: "A new logo".to_owned(),
        ..Audit::new(
            Action::SettingsUpdate,
            "tenant",
            operator.tenant,
            &business_name,
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(Logo { logo_url: path }))
}

/// `GET /uploads/{name}`: a picture. It never changes: another one has another name.
pub async fn show(
    State(db): State<Database>,
    Path(name): Path<String>,
) -> Result<Response, ApiError> {
    let (hex, _) = name.rsplit_once('.').unwrap_or((&name, ""));
    let name = hex::decode(hex).unwrap_or_default();
    let mut directory = db.glance().await?;
    let tenant = store::tenant_of(&mut directory, &name).await?;
    drop(directory);
    let tenant = tenant.ok_or(ApiError::NotFound("picture"))?;
    let mut tx = db.begin(tenant).await?;
    let found = store::find(&mut tx, &name).await?;
    let (content_type, bytes) = found.ok_or(ApiError::NotFound("picture"))?;
    let headers = [
        (CONTENT_TYPE, content_type.as_str()),
        (CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    Ok((headers, bytes).into_response())
}

/// The form's file, encoded anew.
async fn received(
    form: Result<Multipart, MultipartRejection>,
    field: &str,
) -> Result<Picture, ApiError> {
    let mut form = form.map_err(|_| ApiError::UnsupportedMediaType {
        expected: "multipart/form-data",
    })?;
    let file = loop {
        let next = form.next_field().await.map_err(|_| cut_off())?;
        let Some(mut part) = next else {
            return Err(ApiError::field(field, "is required: a file in a form"));
        };
        if part.name() != Some(field) {
            continue;
        }
        let mut file = Vec::new();
        while let Some(chunk) = part.chunk().await.map_err(|_| cut_off())? {
            if file.len() + chunk.len() > MOST_BYTES {
                return Err(ApiError::TooLarge { limit: MOST_BYTES });
            }
            file.extend_from_slice(&chunk);
        }
        break file;
    };
    let turn = TURNS.acquire().await.map_err(ApiError::internal)?;
    // Held by the work itself: who hangs up meanwhile makes no room for more of it.
    let work = tokio::task::spawn_blocking(move || {
        let _held = turn;
        rules::anew(&file)
    });
    let made = work.await.map_err(ApiError::internal)?;
    made.map_err(|why| ApiError::field(field, why.to_string()))
}

fn path_of(name: &[u8], picture: &Picture) -> String {
    format!("/uploads/{}.{}", hex::encode(name), picture.kind.ending())
}

fn cut_off() -> ApiError {
    ApiError::bad_request(
        "BODY_INCOMPLETE",
        "The form is no multipart/form-data, or ended early or is larger than 2 MiB; send it again",
    )
}
