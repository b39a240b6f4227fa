//! `/api/payment-gateways`: accounts at providers and their keys. Keys are sealed and never shown.

use axum::extract::State;
use axum::http::StatusCode;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::GatewayId;
use easyisp_shared::money::Cents;
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::{Clock, Timestamp};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::store::gateways::{self as store, INITIATOR, KEY, Keys, PASSKEY, SECRET, TOKEN};
use super::words::{C2bVersion, Env, GatewayType, SubType};
use super::{PULL, Payments};
use crate::api::{Json, Masked, Path, Said, Success, blank, is_masked};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::{Database, Tx};
use crate::due;
use crate::error::{ApiError, FieldError};
use crate::secrets::TenantKey;

/// A short code as the API shows it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    id: GatewayId,
    #[serde(rename = "type")]
    kind: GatewayType,
    sub_type: SubType,
    name: Option<String>,
    /// Empty where an application at Airtel has none.
    shortcode: String,
    store_number: Option<String>,
    account_number: Option<String>,
    consumer_key: Masked,
    consumer_secret: Masked,
    passkey: Masked,
    env: Env,
    is_default: bool,
    for_hotspot: bool,
    for_pppoe: bool,
    /// Which product of C2B the application at M-Pesa has; null until it is known.
    c2b_version: Option<C2bVersion>,
    /// Since when M-Pesa tells us of money that payers send by themselves.
    c2b_registered_at: Option<Timestamp>,
    /// M-Pesa is asked every ten minutes what has moved.
    pull_enabled: bool,
    /// The phone that M-Pesa wants named for that.
    pull_number: Option<String>,
    /// Everything that moved before was asked for.
    pulled_until: Option<Timestamp>,
    /// Who asks in the short code's name what became of a payment, and sends money back.
    initiator_name: Option<String>,
    /// Null: he has no password here.
    initiator_password: Option<Masked>,
    /// The most that is sent back to payers in 24 hours.
    refund_day_limit: Cents,
    /// A payer who typed the end of his user name or account number, or something before it, is found by that, where
    /// it fits one customer only.
    match_suffix: bool,
    /// Up to this amount a callback that agrees with its prompt credits at once; above it M-Pesa is asked first.
    confirm_above: Cents,
    /// It is the platform's short code: what comes to it is held for you and paid out every day. Only the platform
    /// changes it.
    platform: bool,
    /// The address to type into the application's settings at Airtel as call-back; null where a provider hears it from
    /// us, and while the server has no public address.
    callback_url: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl Gateway {
    /// As it is shown, with the address that a person has to type at the provider.
    async fn of(payments: &Payments, tx: &mut Tx, row: Keys) -> Result<Gateway, ApiError> {
        let url = match (row.kind, &payments.public_url) {
            (GatewayType::AirtelMoney, Some(base)) => {
                let token = store::callback_token(&payments.secrets, tx, &row).await?;
                Some(format!("{base}/api/hooks/airtel/{}", token.expose_secret()))
            }
            (GatewayType::AirtelMoney, None) | (GatewayType::MpesaApi, _) => None,
        };
        Ok(Gateway::new(row, url))
    }

    fn new(row: Keys, callback_url: Option<String>) -> Gateway {
        Gateway {
            callback_url,
            id: row.id,
            kind: row.kind,
            sub_type: row.sub_type,
            name: row.name,
            shortcode: row.shortcode,
            store_number: row.store_number,
            account_number: row.account_number,
            consumer_key: Masked,
            consumer_secret: Masked,
            passkey: Masked,
            env: row.env,
            is_default: row.is_default,
            for_hotspot: row.for_hotspot,
            for_pppoe: row.for_pppoe,
            c2b_version: row.c2b_version,
            c2b_registered_at: row.c2b_registered_at,
            pull_enabled: row.pull_enabled,
            pull_number: row.pull_number,
            pulled_until: row.pulled_until,
            initiator_name: row.initiator_name,
            initiator_password: row.initiator_password_sealed.map(|_| Masked),
            refund_day_limit: row.refund_day_limit,
            match_suffix: row.match_suffix,
            confirm_above: row.confirm_above,
            platform: row.platform,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// What a client says of a gateway. A masked or empty key in an update means unchanged.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRequest {
    #[serde(default, rename = "type", deserialize_with = "blank::option")]
    kind: Option<GatewayType>,
    #[serde(default, deserialize_with = "blank::option")]
    sub_type: Option<SubType>,
    #[serde(default, deserialize_with = "blank::change")]
    name: Option<Option<String>>,
    #[serde(default, deserialize_with = "blank::option")]
    shortcode: Option<String>,
    #[serde(default, deserialize_with = "blank::change")]
    store_number: Option<Option<String>>,
    #[serde(default, deserialize_with = "blank::change")]
    account_number: Option<Option<String>>,
    #[serde(default, deserialize_with = "blank::option")]
    consumer_key: Option<String>,
    #[serde(default, deserialize_with = "blank::option")]
    consumer_secret: Option<String>,
    #[serde(default, deserialize_with = "blank::option")]
    passkey: Option<String>,
    #[serde(default, deserialize_with = "blank::option")]
    env: Option<Env>,
    #[serde(default, deserialize_with = "blank::option")]
    is_default: Option<bool>,
    #[serde(default, deserialize_with = "blank::option")]
    for_hotspot: Option<bool>,
    #[serde(default, deserialize_with = "blank::option")]
    for_pppoe: Option<bool>,
    /// `v1` or `v2`; empty = find out at the registration.
    #[serde(default, deserialize_with = "blank::change")]
    c2b_version: Option<Option<C2bVersion>>,
    /// Whether M-Pesa is asked every ten minutes what has moved; it must have switched that on.
    #[serde(default, deserialize_with = "blank::option")]
    pull_enabled: Option<bool>,
    /// The phone named to M-Pesa for that; required where it is enabled.
    #[serde(default, deserialize_with = "blank::change")]
    pull_number: Option<Option<String>>,
    /// The user name at M-Pesa of who asks in the short code's name; empty = nobody does, and his password is
    /// forgotten.
    #[serde(default, deserialize_with = "blank::change")]
    initiator_name: Option<Option<String>>,
    #[serde(default, deserialize_with = "blank::option")]
    initiator_password: Option<String>,
    /// The most that is sent back to payers in 24 hours; 50,000 unless it is said.
    #[serde(default, deserialize_with = "blank::option")]
    refund_day_limit: Option<Cents>,
    /// Up to which amount a callback that agrees with its prompt credits before M-Pesa is asked; 1,000 unless it is
    /// said, 0 = always ask first.
    #[serde(default, deserialize_with = "blank::option")]
    confirm_above: Option<Cents>,
    /// Whether payers are found by the end of what they typed too; no, unless it is said.
    #[serde(default, deserialize_with = "blank::option")]
    match_suffix: Option<bool>,
}

/// `GET /api/payment-gateways`: all gateways, oldest first, keys masked.
#[utoipa::path(get, path = "/api/payment-gateways", tag = "Payment gateways",
    responses((status = 200, body = Vec<Gateway>)))]
pub async fn list(
    operator: Operator,
    State(payments): State<Payments>,
) -> Result<Json<Vec<Gateway>>, ApiError> {
    let mut tx = payments.db.begin(operator.tenant).await?;
    let mut gateways = Vec::new();
    for row in store::list(&mut tx).await? {
        gateways.push(Gateway::of(&payments, &mut tx, row).await?);
    }
    Ok(Json(gateways))
}

/// `POST /api/payment-gateways`: adds a gateway. The first one becomes the default.
#[utoipa::path(post, path = "/api/payment-gateways", tag = "Payment gateways",
    request_body = GatewayRequest, responses((status = 201, body = Gateway)))]
pub async fn create(
    operator: Operator,
    State(payments): State<Payments>,
    State(entropy): State<Entropy>,
    Json(request): Json<GatewayRequest>,
) -> Result<(StatusCode, Json<Gateway>), ApiError> {
    let now = payments.clock.now();
    operator.fresh_in_console(now)?;
    let mut tx = payments.db.begin(operator.tenant).await?;
    let key = payments.secrets.tenant(&mut tx).await?;
    let token = hex::encode(entropy.bytes::<32>());
    let mut gateway = new_gateway(&key, GatewayId::new(now, &entropy), &token, now);
    let is_default = request.is_default == Some(true);
    let missing = missing(&request);
    if !missing.is_empty() {
        return Err(ApiError::fields(missing));
    }
    take(&mut gateway, request, &key)?;
    not_the_platforms(&mut tx, &gateway).await?;
    let first = store::list(&mut tx)
        .await?
        .iter()
        .all(|known| known.platform);
    gateway.is_default = first;
    store::insert(&mut tx, &gateway, &Sha256::digest(token.as_bytes()).into()).await?;
    schedule(&mut tx, &gateway, now).await?;
    if is_default && !first {
        store::make_default(&mut tx, gateway.id).await?;
        gateway.is_default = true;
    }
    note(&mut tx, &operator, &gateway, "Added a payment gateway", now).await?;
    let shown = Gateway::of(&payments, &mut tx, gateway).await?;
    tx.commit().await?;
    Ok(Json(shown).with(StatusCode::CREATED))
}

/// `PUT /api/payment-gateways/{gateway}`: changes a gateway. Fields that are absent, masked keys and empty
/// keys stay as they are.
#[utoipa::path(put, path = "/api/payment-gateways/{gateway}", tag = "Payment gateways",
    params(("gateway" = GatewayId, Path)), request_body = GatewayRequest,
    responses((status = 200, body = Gateway)))]
pub async fn update(
    operator: Operator,
    State(payments): State<Payments>,
    Path(gateway): Path<GatewayId>,
    Json(request): Json<GatewayRequest>,
) -> Result<Json<Gateway>, ApiError> {
    let now = payments.clock.now();
    operator.fresh_in_console(now)?;
    let mut tx = payments.db.begin(operator.tenant).await?;
    let mut gateway = locked(&mut tx, gateway).await?;
    let key = payments.secrets.tenant(&mut tx).await?;
    let becomes_default = request.is_default == Some(true) && !gateway.is_default;
    take(&mut gateway, request, &key)?;
    not_the_platforms(&mut tx, &gateway).await?;
    gateway.updated_at = now;
    store::save(&mut tx, &gateway).await?;
    schedule(&mut tx, &gateway, now).await?;
    if becomes_default {
        store::make_default(&mut tx, gateway.id).await?;
        gateway.is_default = true;
    }
    note(
        &mut tx,
        &operator,
        &gateway,
        "Changed a payment gateway",
        now,
    )
    .await?;
    let shown = Gateway::of(&payments, &mut tx, gateway).await?;
    tx.commit().await?;
    Ok(Json(shown))
}

/// `DELETE /api/payment-gateways/{gateway}`: takes a gateway out of use. Payments that were asked for are
/// still followed up; when it was the default, the oldest one left is.
#[utoipa::path(delete, path = "/api/payment-gateways/{gateway}", tag = "Payment gateways",
    params(("gateway" = GatewayId, Path)), responses((status = 200, body = Success)))]
pub async fn delete(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(gateway): Path<GatewayId>,
) -> Result<Json<Success>, ApiError> {
    let now = clock.now();
    operator.fresh_in_console(now)?;
    let mut tx = db.begin(operator.tenant).await?;
    let gateway = locked(&mut tx, gateway).await?;
    store::delete(&mut tx, gateway.id, now).await?;
    due::never(&mut tx, PULL, gateway.id).await?;
    note(
        &mut tx,
        &operator,
        &gateway,
        "Removed a payment gateway",
        now,
    )
    .await?;
    tx.commit().await?;
    Ok(Json(Success::YES))
}

/// `POST /api/payment-gateways/{gateway}/default`: uses this gateway where several would do.
#[utoipa::path(post, path = "/api/payment-gateways/{gateway}/default", tag = "Payment gateways",
    params(("gateway" = GatewayId, Path)), responses((status = 200, body = Success)))]
pub async fn make_default(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(gateway): Path<GatewayId>,
) -> Result<Json<Success>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let gateway = locked(&mut tx, gateway).await?;
    store::make_default(&mut tx, gateway.id).await?;
    note(
        &mut tx,
        &operator,
        &gateway,
        "Made a payment gateway the default",
        clock.now(),
    )
    .await?;
    tx.commit().await?;
    Ok(Json(Success::YES))
}

/// `POST /api/payment-gateways/{gateway}/test`: asks the provider whether it accepts the consumer key and secret, and
/// encrypts the initiator's password where there is one. 200 either way; `success` and `message` tell.
#[utoipa::path(post, path = "/api/payment-gateways/{gateway}/test", tag = "Payment gateways",
    params(("gateway" = GatewayId, Path)), responses((status = 200, body = Said),
        (status = 502, description = "M-Pesa cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn test(
    operator: Operator,
    State(payments): State<Payments>,
    Path(gateway): Path<GatewayId>,
) -> Result<Json<Said>, ApiError> {
    let mut tx = payments.db.begin(operator.tenant).await?;
    let gateway = locked(&mut tx, gateway).await?;
    let provider = gateway.kind;
    let account = payments.account(&mut tx, &gateway).await?;
    let initiator = match gateway.initiator_name {
        None => None,
        Some(_) => Some(payments.initiator(&mut tx, &gateway).await),
    };
    tx.commit().await?;
    let name = provider.name();
    Ok(Json(match (payments.test(&account).await, initiator) {
        (Err(error), _) => Said::failed(provider.failed(error).to_string()),
        (Ok(()), Some(Err(error))) => Said::failed(error.to_string()),
        (Ok(()), Some(Ok(_)) | None) => {
            Said::done(format!("{name} accepts the consumer key and secret"))
        }
    }))
}

/// What is switched on begins at once.
pub(super) async fn schedule(tx: &mut Tx, gateway: &Keys, now: Timestamp) -> sqlx::Result<()> {
    match gateway.pull_enabled {
        true => due::at(tx, PULL, gateway.id, now).await,
        false => due::never(tx, PULL, gateway.id).await,
    }
}

/// A gateway of the tenant's own, locked.
pub(super) async fn locked(tx: &mut Tx, gateway: GatewayId) -> Result<Keys, ApiError> {
    let found = store::lock(tx, gateway).await?;
    let found = found.ok_or(ApiError::NotFound("payment gateway"))?;
    match found.platform {
        false => Ok(found),
        true => Err(ApiError::conflict(
            "PLATFORM_GATEWAY",
            "This short code is the platform's, which looks after it; ask the platform, or add a payment gateway of \
             your own: it is used in its place",
        )),
    }
}

/// A short code of the tenant's own, locked.
pub(super) async fn locked_at_mpesa(tx: &mut Tx, gateway: GatewayId) -> Result<Keys, ApiError> {
    let found = locked(tx, gateway).await?;
    match found.kind {
        GatewayType::MpesaApi => Ok(found),
        GatewayType::AirtelMoney => Err(ApiError::unprocessable(
            "MPESA_ONLY",
            "Only M-Pesa offers this; name a payment gateway of its",
        )),
    }
}

/// One short code is not held for a tenant and his own at once.
async fn not_the_platforms(tx: &mut Tx, gateway: &Keys) -> Result<(), ApiError> {
    let platform = store::lock_platform(tx).await?;
    match platform.is_some_and(|known| known.shortcode == gateway.shortcode) {
        false => Ok(()),
        true => Err(ApiError::field(
            "shortcode",
            "is the platform's; give your own",
        )),
    }
}

/// A gateway before anything is known of it, with the secret of its callbacks.
pub(super) fn new_gateway(key: &TenantKey, id: GatewayId, token: &str, now: Timestamp) -> Keys {
    Keys {
        id,
        kind: GatewayType::MpesaApi,
        sub_type: SubType::Paybill,
        name: None,
        shortcode: String::new(),
        store_number: None,
        account_number: None,
        consumer_key_sealed: Vec::new(),
        consumer_secret_sealed: Vec::new(),
        passkey_sealed: Vec::new(),
        callback_token_sealed: key.seal(TOKEN, id.0, token.as_bytes()),
        env: Env::Production,
        is_default: false,
        for_hotspot: true,
        for_pppoe: true,
        c2b_version: None,
        c2b_token_sealed: None,
        c2b_asked_at: None,
        c2b_registered_at: None,
        pull_enabled: false,
        pull_number: None,
        pull_registered_at: None,
        pulled_until: None,
        initiator_name: None,
        initiator_password_sealed: None,
        result_token_sealed: None,
        refund_day_limit: Cents::whole(50_000),
        match_suffix: false,
        confirm_above: Cents::whole(1_000),
        platform: false,
        created_at: now,
        updated_at: now,
    }
}

/// The phone that M-Pesa wants named by who asks what has moved.
pub(super) fn pull_number(typed: &str) -> Result<String, ApiError> {
    let wrong = "must be a Kenyan mobile number such as 0712345678";
    let phone = PhoneNumber::parse(typed).ok_or_else(|| ApiError::field("pullNumber", wrong))?;
    Ok(phone.as_str().to_owned())
}

/// What a new gateway must have.
fn missing(request: &GatewayRequest) -> Vec<FieldError> {
    let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !is_masked(text));
    let fields = [
        ("consumerKey", given(&request.consumer_key)),
        ("consumerSecret", given(&request.consumer_secret)),
        ("shortcode", given(&request.shortcode)),
        ("passkey", given(&request.passkey)),
    ];
    let needed = match request.kind.unwrap_or_default() {
        GatewayType::MpesaApi => &fields[..],
        GatewayType::AirtelMoney => &fields[..2],
    };
    let absent = needed.iter().filter(|(_, given)| !given);
    absent
        .map(|(field, _)| FieldError {
            field: (*field).to_owned(),
            message: "is required".to_owned(),
        })
        .collect()
}

/// Whose it is: said once. What only M-Pesa has is refused for another provider.
fn kind_of(gateway: &Keys, request: &GatewayRequest) -> Result<GatewayType, ApiError> {
    let kind = request.kind.unwrap_or(gateway.kind);
    if !gateway.consumer_key_sealed.is_empty() && kind != gateway.kind {
        return Err(ApiError::field(
            "type",
            "cannot be changed: add another payment gateway",
        ));
    }
    let alien = [
        ("pullEnabled", request.pull_enabled == Some(true)),
        (
            "initiatorName",
            request.initiator_name.clone().flatten().is_some(),
        ),
        ("c2bVersion", request.c2b_version.flatten().is_some()),
        ("matchSuffix", request.match_suffix == Some(true)),
    ];
    match alien.into_iter().find(|(_, said)| *said) {
        Some((field, _)) if kind != GatewayType::MpesaApi => {
            Err(ApiError::field(field, "is for M-Pesa alone: leave it out"))
        }
        Some(_) | None => Ok(kind),
    }
}

/// Takes over what was said, and checks that it fits together.
fn take(gateway: &mut Keys, request: GatewayRequest, key: &TenantKey) -> Result<(), ApiError> {
    gateway.kind = kind_of(gateway, &request)?;
    gateway.sub_type = request.sub_type.unwrap_or(gateway.sub_type);
    gateway.name = request.name.unwrap_or(gateway.name.take());
    let before = (gateway.shortcode.clone(), gateway.store_number.clone());
    if let Some(shortcode) = request.shortcode {
        gateway.shortcode = digits("shortcode", &shortcode)?;
    }
    if let Some(store) = request.store_number {
        gateway.store_number = store
            .map(|store| digits("storeNumber", &store))
            .transpose()?;
    }
    if before != (gateway.shortcode.clone(), gateway.store_number.clone()) {
        // That was another one's.
        (gateway.c2b_registered_at, gateway.c2b_asked_at) = (None, None);
        gateway.pull_registered_at = None;
    }
    gateway.account_number = request
        .account_number
        .unwrap_or(gateway.account_number.take());
    gateway.env = request.env.unwrap_or(gateway.env);
    gateway.match_suffix = request.match_suffix.unwrap_or(gateway.match_suffix);
    gateway.for_hotspot = request.for_hotspot.unwrap_or(gateway.for_hotspot);
    gateway.for_pppoe = request.for_pppoe.unwrap_or(gateway.for_pppoe);
    gateway.pull_enabled = request.pull_enabled.unwrap_or(gateway.pull_enabled);
    if let Some(number) = request.pull_number {
        gateway.pull_number = number.as_deref().map(pull_number).transpose()?;
    }
    if gateway.pull_enabled && gateway.pull_number.is_none() {
        return Err(ApiError::field(
            "pullNumber",
            "is required with pullEnabled: the phone that M-Pesa has for this short code",
        ));
    }
    gateway.c2b_version = request.c2b_version.unwrap_or(gateway.c2b_version);
    let id = gateway.id.0;
    for (column, text, sealed) in [
        (KEY, request.consumer_key, &mut gateway.consumer_key_sealed),
        (
            SECRET,
            request.consumer_secret,
            &mut gateway.consumer_secret_sealed,
        ),
        (PASSKEY, request.passkey, &mut gateway.passkey_sealed),
    ] {
        if let Some(text) = text.filter(|text| !is_masked(text)) {
            *sealed = key.seal(column, id, text.trim().as_bytes());
        }
    }
    if let Some(name) = request.initiator_name {
        gateway.initiator_name = name.map(|name| initiator_name(&name)).transpose()?;
    }
    if let Some(text) = request.initiator_password.filter(|text| !is_masked(text)) {
        if text.len() > MOST_PASSWORD {
            let most = format!("must be at most {MOST_PASSWORD} bytes");
            return Err(ApiError::field("initiatorPassword", most));
        }
        gateway.initiator_password_sealed = Some(key.seal(INITIATOR, id, text.as_bytes()));
    }
    if let Some(limit) = request.refund_day_limit {
        if limit < Cents::ZERO {
            return Err(ApiError::field(
                "refundDayLimit",
                "must not be less than nothing",
            ));
        }
        gateway.refund_day_limit = limit;
    }
    if let Some(amount) = request.confirm_above {
        if amount < Cents::ZERO {
            return Err(ApiError::field(
                "confirmAbove",
                "must not be less than nothing",
            ));
        }
        gateway.confirm_above = amount;
    }
    if gateway.initiator_name.is_none() {
        gateway.initiator_password_sealed = None;
    }
    match (
        gateway.sub_type,
        &gateway.store_number,
        &gateway.account_number,
    ) {
        (SubType::Buygoods, None, _) => Err(ApiError::field(
            "storeNumber",
            "is required for a till: its head office number",
        )),
        (SubType::Bank, _, None) => Err(ApiError::field(
            "accountNumber",
            "is required for a bank's paybill",
        )),
        (_, _, _) => Ok(()),
    }
}

/// What a key of M-Pesa's encrypts.
const MOST_PASSWORD: usize = 200;

fn initiator_name(text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    let fits =
        (1..=60).contains(&text.len()) && text.bytes().all(|letter| letter.is_ascii_graphic());
    fits.then(|| text.to_owned()).ok_or_else(|| {
        ApiError::field("initiatorName", "must be 1 to 60 letters, digits and signs")
    })
}

fn digits(field: &'static str, text: &str) -> Result<String, ApiError> {
    let text = text.trim();
    let fits = (4..=10).contains(&text.len()) && text.bytes().all(|letter| letter.is_ascii_digit());
    fits.then(|| text.to_owned())
        .ok_or_else(|| ApiError::field(field, "must be 4 to 10 digits"))
}

pub(super) async fn note(
    tx: &mut Tx,
    operator: &Operator,
    gateway: &Keys,
    details: &str,
    now: Timestamp,
) -> Result<(), ApiError> {
    let audit = Audit {
        details: details.to_owned(),
        ..Audit::new(
            Action::SettingsUpdate,
            "payment gateway",
            gateway.id,
            &gateway.shortcode,
        )
    };
    audit::record(tx, &Actor::from(operator), audit, now).await?;
    Ok(())
}
