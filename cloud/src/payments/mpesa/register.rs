//! Tells M-Pesa where money that payers send by themselves is told of.

use axum::extract::State;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::GatewayId;
use easyisp_shared::time::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::super::Payments;
use super::super::collecting::{no_short_code, not_his_own};
use super::super::gateways::{locked_at_mpesa, note, pull_number, schedule};
use super::super::prompt::PromptError;
use super::super::provider::ProviderError;
use super::super::store::gateways::{self as store, C2B_TOKEN, Keys};
use super::super::words::C2bVersion;
use super::c2b::door;
use super::{Merchant, central, failed};
use crate::api::{Json, Path, blank};
use crate::auth::Operator;
use crate::db::Tx;
use crate::error::ApiError;
use crate::secrets::Secrets;
use crate::tenants::governed;

/// How the addresses are registered.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RegisterRequest {
    /// True: with a new secret. Needed when the old one became known; M-Pesa must have removed the old
    /// addresses first, and both are listened to from then on.
    #[serde(deserialize_with = "blank::option")]
    new_secret: Option<bool>,
}

/// What M-Pesa took.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Registered {
    success: bool,
    message: String,
    c2b_version: Option<C2bVersion>,
    registered_at: Timestamp,
}

/// `POST /api/payment-gateways/{gateway}/register-c2b`: has M-Pesa tell us of money that payers send to this
/// short code by themselves. Without `c2bVersion` in the gateway both products are tried, and the one that the
/// application has is noted.
///
/// M-Pesa takes this once for each short code, whichever of its gateways asks. A repeat changes nothing and answers the
/// same, with 200.
/// Errors: 404, 409 `C2B_REGISTERED` when M-Pesa has addresses that are not known to be ours, 422
/// `NO_PUBLIC_URL`, `PUBLIC_URL_REFUSED` or `C2B_NOT_IN_APP`, 502 M-Pesa refused, 503 it is down, 504 it did not
/// answer: it may have taken them, and a repeat tells.
#[utoipa::path(post, path = "/api/payment-gateways/{gateway}/register-c2b", tag = "Payment gateways",
    params(("gateway" = GatewayId, Path)), request_body = RegisterRequest,
    responses((status = 200, body = Registered),
        (status = 502, description = "M-Pesa refused"),
        (status = 504, description = "It did not answer in time")))]
pub async fn register(
    operator: Operator,
    State(payments): State<Payments>,
    State(entropy): State<Entropy>,
    Path(gateway): Path<GatewayId>,
    Json(request): Json<RegisterRequest>,
) -> Result<Json<Registered>, ApiError> {
    let now = payments.clock.now();
    operator.fresh_in_console(now)?;
    let tx = payments.db.begin(operator.tenant).await?;
    let at = At::Gateway(gateway);
    let anew = request.new_secret == Some(true);
    register_at(&payments, &entropy, &operator, tx, at, anew, now).await
}

/// How the addresses of the platform's own short code are registered.
#[derive(Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CentralRequest {
    /// True: with a new secret, as for any other short code.
    #[serde(deserialize_with = "blank::option")]
    new_secret: Option<bool>,
    /// The phone that M-Pesa has for the short code: from then on it is asked every ten minutes what has moved; empty =
    /// it is not asked.
    #[serde(deserialize_with = "blank::change")]
    pull_number: Option<Option<String>>,
}

/// `POST /api/super-admin/collecting/register-c2b`: has M-Pesa tell us of money that payers send to the platform's own
/// short code by themselves. Who typed an account number pays to whose customer it is, where the platform collects for
/// him; the rest is in `GET /api/super-admin/collecting/stray`.
///
/// M-Pesa takes this once. A repeat changes nothing and answers the same, with 200; a `pullNumber` counts even where
/// M-Pesa takes no addresses.
/// Errors: 400 `pullNumber`, 403 `FRESH_LOGIN_REQUIRED`, 409 `C2B_REGISTERED`, or `OWN_SHORT_CODE` where the platform's
/// own tenant has the short code as a gateway with keys, 422 `PLATFORM_GATEWAY` where the server's
/// settings have no short code, `NO_PUBLIC_URL`, `PUBLIC_URL_REFUSED` or `C2B_NOT_IN_APP`, 502 M-Pesa refused, 503 it is
/// down, 504 it did not answer.
#[utoipa::path(post, path = "/api/super-admin/collecting/register-c2b", tag = "Platform",
    request_body = CentralRequest,
    responses((status = 200, body = Registered),
        (status = 502, description = "M-Pesa refused"),
        (status = 504, description = "It did not answer in time")))]
pub async fn register_central(
    operator: Operator,
    State(payments): State<Payments>,
    State(entropy): State<Entropy>,
    Json(request): Json<CentralRequest>,
) -> Result<Json<Registered>, ApiError> {
    let now = payments.clock.now();
    operator.fresh(now)?;
    let central = payments.central.as_deref().ok_or_else(no_short_code)?;
    let platform = governed::own(&payments.db).await?;
    let platform = platform.ok_or(ApiError::NotFound("platform"))?;
    let mut tx = payments.db.begin(platform).await?;
    not_his_own(&mut tx, central).await?;
    let mut keys = central::stand(&payments, &entropy, &mut tx, central, Some(now), now).await?;
    if let Some(number) = request.pull_number {
        keys.pull_number = number.as_deref().map(pull_number).transpose()?;
        keys.pull_enabled = keys.pull_number.is_some();
        schedule(&mut tx, &keys, now).await?;
    }
    store::save(&mut tx, &keys).await?;
    let anew = request.new_secret == Some(true);
    register_at(&payments, &entropy, &operator, tx, At::Central, anew, now).await
}

/// At which short code addresses are registered.
#[derive(Clone, Copy)]
enum At {
    /// At one of the tenant's own.
    Gateway(GatewayId),
    /// At the platform's.
    Central,
}

async fn locked(tx: &mut Tx, at: At) -> Result<Keys, ApiError> {
    match at {
        At::Gateway(gateway) => locked_at_mpesa(tx, gateway).await,
        At::Central => {
            let known = store::lock_platform(tx).await?;
            known.ok_or(ApiError::NotFound("payment gateway"))
        }
    }
}

/// Asks M-Pesa to take the addresses; `tx` is of the tenant's whose short code it is.
async fn register_at(
    payments: &Payments,
    entropy: &Entropy,
    operator: &Operator,
    mut tx: Tx,
    at: At,
    anew: bool,
    now: Timestamp,
) -> Result<Json<Registered>, ApiError> {
    let tenant = tx.tenant();
    let base = payments.public_url.as_deref();
    let base = base.ok_or(PromptError::NoPublicUrl)?;
    let mut keys = locked(&mut tx, at).await?;
    let token = token(&payments.secrets, entropy, &mut tx, &mut keys, anew).await?;
    let door = door(base, token.expose_secret()).map_err(PromptError::PublicUrlRefused)?;
    let merchant = payments.merchant(&mut tx, &keys).await?;
    let details = "Asked M-Pesa to tell of direct payments";
    note(&mut tx, operator, &keys, details, now).await?;
    // Known before M-Pesa is asked: it may tell of money before it answers, or never answer.
    let asked_at = keys.c2b_asked_at.replace(now);
    store::save(&mut tx, &keys).await?;
    tx.commit().await?;

    let urls = (door.validation.as_str(), door.confirmation.as_str());
    let taken = ask(payments, &merchant, keys.c2b_version, urls).await;
    let mut tx = payments.db.begin(tenant).await?;
    let mut keys = locked(&mut tx, at).await?;
    let beside = store::registered_beside(&mut tx, keys.id).await?;
    let (version, message) = match (taken, keys.c2b_registered_at, asked_at) {
        (Ok(version), _, _) => (
            Some(version),
            "M-Pesa tells of payments to this short code from now on",
        ),
        (Err(ProviderError::Registered(_)), Some(_), _) => (
            keys.c2b_version,
            "M-Pesa has our addresses for this short code already",
        ),
        (Err(ProviderError::Registered(_)), None, _) if beside.is_some() => (
            keys.c2b_version,
            "M-Pesa has the addresses of another gateway of yours for this short code; what it tells there is booked \
             for both",
        ),
        (Err(ProviderError::Registered(_)), None, Some(_)) => (
            keys.c2b_version,
            "M-Pesa has addresses for this short code, most likely ours: it was given them before and did not \
             answer. Pay one shilling to see whether it is told of",
        ),
        (Err(ProviderError::Silent), _, _) => {
            return Err(failed(ProviderError::Silent).into());
        }
        (Err(error), _, _) => {
            keys.c2b_asked_at = None;
            store::save(&mut tx, &keys).await?;
            tx.commit().await?;
            return Err(told(error, &keys));
        }
    };
    let registered_at = *keys.c2b_registered_at.get_or_insert(now);
    (keys.c2b_version, keys.c2b_asked_at) = (version, None);
    store::save(&mut tx, &keys).await?;
    tx.commit().await?;
    Ok(Json(Registered {
        success: true,
        message: message.to_owned(),
        c2b_version: version,
        registered_at,
    }))
}

/// The secret of the gateway's C2B addresses; a new one when it has none, or when one is wanted.
pub(in super::super) async fn token(
    secrets: &Secrets,
    entropy: &Entropy,
    tx: &mut Tx,
    keys: &mut Keys,
    anew: bool,
) -> Result<SecretString, PromptError> {
    if !anew && let Some(token) = store::c2b_token(secrets, tx, keys).await? {
        return Ok(token);
    }
    let token = hex::encode(entropy.bytes::<32>());
    let sealed = secrets
        .tenant(tx)
        .await?
        .seal(C2B_TOKEN, keys.id.0, token.as_bytes());
    let digest = Sha256::digest(token.as_bytes()).into();
    store::set_c2b_token(tx, keys.id, &sealed, &digest).await?;
    keys.c2b_token_sealed = Some(sealed);
    (keys.c2b_registered_at, keys.c2b_asked_at) = (None, None);
    Ok(token.into())
}

/// Registers with the product that is known, else with each of them; returns the one that did.
async fn ask(
    payments: &Payments,
    merchant: &Merchant,
    version: Option<C2bVersion>,
    (validation, confirmation): (&str, &str),
) -> Result<C2bVersion, ProviderError> {
    let with = async |version| {
        let asked = payments
            .daraja
            .register_c2b(merchant, version, validation, confirmation);
        asked.await.map(|()| version)
    };
    match version {
        Some(version) => with(version).await,
        None => match with(C2bVersion::V2).await {
            Err(ProviderError::NoProduct(_)) => with(C2bVersion::V1).await,
            other => other,
        },
    }
}

/// What a person reads, with what to do.
fn told(error: ProviderError, keys: &Keys) -> ApiError {
    let code = &keys.shortcode;
    match (error, keys.c2b_version) {
        (ProviderError::Registered(_), _) => ApiError::conflict(
            "C2B_REGISTERED",
            format!(
                "M-Pesa has addresses for short code {code} already, and removes them only by hand: ask its API \
                 support to remove the registered URLs of {code}, then register again"
            ),
        ),
        (ProviderError::NoProduct(_), Some(version)) => ApiError::unprocessable(
            "C2B_NOT_IN_APP",
            format!(
                "The application at M-Pesa does not have C2B {}; empty c2bVersion to try the other one, or add \
                 the product to the application",
                version.as_str()
            ),
        ),
        (ProviderError::NoProduct(_), None) => ApiError::unprocessable(
            "C2B_NOT_IN_APP",
            "The application at M-Pesa has neither C2B v1 nor v2; add the product to the application",
        ),
        (error, _) => failed(error).into(),
    }
}
