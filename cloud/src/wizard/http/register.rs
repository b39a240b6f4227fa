//! Routers that enter themselves by their serial number, with a token that an operator made.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{RouterId, SiteId};
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::rules;
use super::super::store;
use super::begin::{self, Offer};
use crate::api::{ClientAddress, Json, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::{Operator, Token};
use crate::config::Config;
use crate::db::Database;
use crate::error::ApiError;
use crate::secrets::Secrets;

/// Where a router may enter itself, and for how long.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnrolmentRequest {
    /// Where it will stand; needed where agents of several sites listen, else the site of those that do.
    #[serde(default, deserialize_with = "blank::option")]
    site_id: Option<SiteId>,
    /// For how many hours the token is good: 1 to 168; 24 when left out.
    #[serde(default, deserialize_with = "blank::option")]
    hours: Option<u32>,
}

/// The right to enter one router.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Enrolment {
    /// Shown once; good once.
    token: String,
    expires_at: Timestamp,
    site_id: SiteId,
    /// For the router's terminal, or the script that it runs at its first start.
    register_command: String,
}

/// `POST /api/wizard/enrolment-token`: a token with which one router enters itself (`POST /provision/register`).
///
/// Every call makes another. Errors: 400 naming the fields, 403 `FRESH_LOGIN_REQUIRED`, 422 `NO_PUBLIC_URL`.
#[utoipa::path(post, path = "/api/wizard/enrolment-token", tag = "Routers", request_body = EnrolmentRequest,
    responses((status = 201, body = Enrolment)))]
pub async fn token(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(entropy): State<Entropy>,
    State(config): State<Arc<Config>>,
    Json(request): Json<EnrolmentRequest>,
) -> Result<(StatusCode, Json<Enrolment>), ApiError> {
    let now = clock.now();
    operator.fresh(now)?;
    let url = begin::public_url(&config)?;
    let hours = request.hours.unwrap_or(24);
    if !(1..=168).contains(&hours) {
        return Err(ApiError::field("hours", "must be from 1 to 168"));
    }
    let mut tx = db.begin(operator.tenant).await?;
    let begin::Place { site, beside } = begin::place(&mut tx, request.site_id).await?;
    // Nobody reads along when a router enters itself.
    if !beside.is_empty() {
        return Err(ApiError::field(
            "siteId",
            format!(
                "is needed where agents of several sites listen: say at which one the router will stand, {site} or {}",
                beside.join(" or ")
            ),
        ));
    }
    let (token, text) = Token::new(&entropy);
    let ends = now.plus(Duration::from_secs(u64::from(hours) * 3600));
    store::put_enrolment(&mut tx, site, token.digest(), now, ends).await?;
    let audit = Audit {
        details: format!("For one router that enters itself, until {ends}"),
        ..Audit::new(Action::RouterTokenCreate, "site", site, "")
    };
    audit::record(&mut tx, &Actor::from(&operator), audit, now).await?;
    tx.commit().await?;
    Ok(Json(Enrolment {
        register_command: rules::register_command(url, &text),
        token: text,
        expires_at: ends,
        site_id: site,
    })
    .with(StatusCode::CREATED))
}

/// What a router says of itself.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegisterRequest {
    /// From `POST /api/wizard/enrolment-token`.
    token: String,
    /// 4 to 32 letters, digits and dashes.
    serial_number: String,
    /// What it shall be called; `Router` and its serial number when left out.
    #[serde(default, deserialize_with = "blank::option")]
    name: Option<String>,
    /// Whether the answer is a script that a router imports instead of JSON.
    #[serde(default)]
    script: bool,
}

/// A router that is entered.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    router_id: RouterId,
    name: String,
    /// Fetches its script, once, within half an hour.
    provision_command: String,
}

/// `POST /provision/register`: a router enters itself, once for each token.
///
/// It is a new one with a secret of its own, which stands in the script that its command fetches; no answer shows the
/// secret of a router that is there. A serial number that is known is an operator's matter: he gives that router a new
/// command (`POST /api/wizard/start` with `routerId`). Errors: 400 naming the fields, 404 for a token that is unknown,
/// over or used, 409 `SERIAL_KNOWN` (the token is used up), 409 `ROUTER_NAME_TAKEN`, 422 `NO_AGENT`.
#[utoipa::path(post, path = "/provision/register", tag = "Routers", request_body = RegisterRequest,
    responses((status = 201, body = Registered)))]
pub async fn register(
    ClientAddress(address): ClientAddress,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(entropy): State<Entropy>,
    State(config): State<Arc<Config>>,
    Json(request): Json<RegisterRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let token = Token::parse(&request.token).ok_or_else(over)?;
    let mut directory = db.glance().await?;
    let place = store::place_of_enrolment(&mut directory, token.digest(), now).await?;
    drop(directory);
    let (tenant, site) = place.ok_or_else(over)?;
    let url = begin::public_url(&config)?;
    let serial = rules::serial(&request.serial_number).ok_or_else(|| {
        ApiError::field(
            "serialNumber",
            "must have 4 to 32 letters, digits or dashes",
        )
    })?;

    let mut tx = db.begin(tenant).await?;
    if !store::take_enrolment(&mut tx, token.digest()).await? {
        return Err(over());
    }
    if let Some((router, name)) = store::with_serial(&mut tx, &serial).await? {
        let audit = Audit {
            details: format!(
                "Somebody at {address} wanted to register serial number {serial} again and was refused"
            ),
            ..Audit::new(Action::RouterRegister, "router", router, &name)
        };
        audit::record(&mut tx, &Actor::system(), audit, now).await?;
        tx.commit().await?;
        return Err(known());
    }
    let name = request.name.unwrap_or_else(|| format!("Router {serial}"));
    let router = begin::enter(&mut tx, &secrets, &entropy, (Some(&name), site), now).await?;
    if !store::put_serial(&mut tx, &serial, router, now).await? {
        return Err(known()); // another of that number came at this moment
    }
    let asked = (Vec::new(), None, url, None);
    let Offer { name, text, .. } =
        begin::offer(&mut tx, &secrets, router, asked, true, now).await?;
    let audit = Audit {
        details: format!("Entered itself from {address} with serial number {serial}"),
        ..Audit::new(Action::RouterRegister, "router", router, &name)
    };
    audit::record(&mut tx, &Actor::system(), audit, now).await?;
    tx.commit().await?;

    let provision_command = rules::command(url, &text);
    if request.script {
        const HEADERS: [(HeaderName, &str); 2] = [
            (CONTENT_TYPE, "text/plain; charset=utf-8"),
            (CACHE_CONTROL, "no-store"),
        ];
        return Ok((StatusCode::CREATED, HEADERS, provision_command).into_response());
    }
    let registered = Registered {
        router_id: router,
        name,
        provision_command,
    };
    Ok(Json(registered).with(StatusCode::CREATED).into_response())
}

fn known() -> ApiError {
    ApiError::conflict(
        "SERIAL_KNOWN",
        "A router with this serial number is entered already: have an operator give it a new command in the wizard",
    )
}

/// The same for what never was, what is over and what was used: nobody learns which.
fn over() -> ApiError {
    ApiError::NotFound("enrolment token: each is good once; have an operator make a new one")
}
