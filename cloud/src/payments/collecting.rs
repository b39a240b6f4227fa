//! `/api/super-admin/tenants/{tenant}/collecting`: whether the platform collects for a tenant through its own short
//! code, and what was agreed about it. What payers send to that short code by themselves comes to its own door
//! (`register_central` in `mpesa/register.rs`) and finds its way from there (`unasked.rs`).

use axum::extract::State;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{GatewayId, TenantId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Payments;
use super::held::{self, SETTLE};
use super::mpesa::central::{self, Central};
use super::store::gateways as keys;
use super::store::settlements::{self as store, Collecting};
use super::words::SubType;
use crate::api::{Json, Path, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Tx;
use crate::due;
use crate::error::{ApiError, Wrong};
use crate::ledger;
use crate::tenants::governed;

/// The longest account behind a paybill.
const MOST_ACCOUNT: usize = 20;

/// What is agreed with a tenant about collecting for it.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    /// Whether payers without another short code to pay to pay to the platform's.
    enabled: bool,
    /// What it is paid out to.
    payout_kind: SubType,
    /// The paybill or till that it is paid out to.
    payout_number: String,
    /// The account there: required for a bank's paybill, none for a till.
    #[serde(default, deserialize_with = "blank::option")]
    payout_account: Option<String>,
    /// What always stays with the platform, for payers who want their money back; nothing, unless it is said.
    #[serde(default)]
    reserve: Cents,
    /// What the platform keeps of what it pays out, in hundredths of a percent, at most 5000; nothing, unless it is
    /// said.
    #[serde(default)]
    fee_basis_points: i32,
    /// The most of one day; the rest is paid out the next. 250,000 unless it is said.
    #[serde(default = "most")]
    most: Cents,
}

fn most() -> Cents {
    Cents::whole(250_000)
}

impl From<Collecting> for Terms {
    fn from(row: Collecting) -> Terms {
        Terms {
            enabled: row.enabled,
            payout_kind: row.payout_kind,
            payout_number: row.payout_number,
            payout_account: row.payout_account,
            reserve: row.reserve,
            fee_basis_points: row.fee_basis_points,
            most: row.most,
        }
    }
}

/// How it stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CollectingTerms)]
pub struct Shown {
    /// The platform's short code; null where the server's settings have none.
    shortcode: Option<String>,
    /// What was agreed; null = it was never switched on.
    terms: Option<Terms>,
    updated_at: Option<Timestamp>,
    /// What the platform holds for this tenant, on its way or not.
    held: Cents,
}

/// `GET /api/super-admin/tenants/{tenant}/collecting`: what is agreed about collecting for a tenant, and what is held
/// for it. Errors: 404.
#[utoipa::path(get, path = "/api/super-admin/tenants/{tenant}/collecting", tag = "Platform",
    params(("tenant" = TenantId, Path)), responses((status = 200, body = Shown)))]
pub async fn get(
    _: Operator,
    State(payments): State<Payments>,
    Path(tenant): Path<TenantId>,
) -> Result<Json<Shown>, ApiError> {
    let mut tx = governed::begin(&payments.db, tenant).await?;
    shown(&payments, &mut tx).await.map(Json)
}

/// `PUT /api/super-admin/tenants/{tenant}/collecting`: agrees on it, and switches it on or off. Off, what is held is
/// still paid out, the reserve too. What is on its way to the tenant goes where it was to go.
///
/// Errors: 400, 403 `FRESH_LOGIN_REQUIRED`, 404, 409 `OWN_SHORT_CODE` where the tenant has the platform's short code as
/// its own, 422 `PLATFORM_GATEWAY` where the server's settings have none.
#[utoipa::path(put, path = "/api/super-admin/tenants/{tenant}/collecting", tag = "Platform",
    params(("tenant" = TenantId, Path)), request_body = Terms,
    responses((status = 200, body = Shown)))]
pub async fn set(
    operator: Operator,
    State(payments): State<Payments>,
    State(entropy): State<Entropy>,
    Path(tenant): Path<TenantId>,
    Json(terms): Json<Terms>,
) -> Result<Json<Shown>, ApiError> {
    let now = payments.clock.now();
    operator.fresh(now)?;
    let terms = checked(terms)?;
    let mut tx = governed::begin(&payments.db, tenant).await?;
    let before = store::lock_collecting(&mut tx).await?;
    let central = payments.central.as_deref();
    let gateway = match (&before, central, terms.enabled) {
        (Some(before), _, false) => switch_off(&mut tx, before.gateway_id, now).await?,
        (None, _, false) => {
            let what = "must be true: it was never switched on for this tenant";
            return Err(ApiError::field("enabled", what));
        }
        (_, None, true) => return Err(no_short_code()),
        (_, Some(central), true) => switch_on(&payments, &entropy, &mut tx, central, now).await?,
    };
    let agreed = Collecting {
        gateway_id: gateway,
        enabled: terms.enabled,
        payout_kind: terms.payout_kind,
        payout_number: terms.payout_number.clone(),
        payout_account: terms.payout_account.clone(),
        reserve: terms.reserve,
        fee_basis_points: terms.fee_basis_points,
        most: terms.most,
        updated_at: now,
    };
    store::agree(&mut tx, &agreed).await?;
    let zone = ledger::zone(&mut tx).await?;
    due::at(&mut tx, SETTLE, gateway, held::next(now, &zone)).await?;
    let name = governed::one(&mut tx).await?.business_name;
    let said = |terms: &Terms| serde_json::to_value(terms).unwrap_or(Value::Null);
    let line = Audit {
        before: before.map(|before| said(&before.into())),
        after: Some(said(&terms)),
        ..Audit::new(Action::CollectingUpdate, "tenant", tenant, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let answer = shown(&payments, &mut tx).await?;
    tx.commit().await?;
    Ok(Json(answer))
}

/// The settings have none.
pub(super) fn no_short_code() -> ApiError {
    ApiError::unprocessable(
        "PLATFORM_GATEWAY",
        "The server's settings have no short code of the platform: set [mpesa] shortcode and what belongs to it",
    )
}

async fn shown(payments: &Payments, tx: &mut Tx) -> Result<Shown, ApiError> {
    let agreed = store::collecting(tx).await?;
    Ok(Shown {
        shortcode: payments
            .central
            .as_ref()
            .map(|central| central.shortcode.clone()),
        updated_at: agreed.as_ref().map(|agreed| agreed.updated_at),
        terms: agreed.map(Terms::from),
        held: held::standing(tx, None).await?,
    })
}

/// The platform's short code as a gateway of the tenant's.
async fn switch_on(
    payments: &Payments,
    entropy: &Entropy,
    tx: &mut Tx,
    central: &Central,
    now: Timestamp,
) -> Result<GatewayId, ApiError> {
    not_his_own(tx, central).await?;
    let gateway = central::stand(payments, entropy, tx, central, None, now).await?;
    Ok(gateway.id)
}

/// Who has the platform's short code as his own would be told of what is others'.
pub(super) async fn not_his_own(tx: &mut Tx, central: &Central) -> Result<(), ApiError> {
    let own = keys::list(tx).await?;
    let mut own = own.iter().filter(|gateway| !gateway.platform);
    match own.any(|gateway| gateway.shortcode == central.shortcode) {
        false => Ok(()),
        true => Err(ApiError::conflict(
            "OWN_SHORT_CODE",
            "This tenant has the platform's short code as a gateway of its own; it must be deleted first",
        )),
    }
}

/// Nothing more is asked for through it; what was asked for is followed up.
async fn switch_off(tx: &mut Tx, id: GatewayId, now: Timestamp) -> sqlx::Result<GatewayId> {
    if let Some(mut gateway) = keys::lock_platform(tx).await? {
        gateway.updated_at = now;
        keys::set_platform(tx, &gateway, Some(now)).await?;
    }
    Ok(id)
}

fn checked(terms: Terms) -> Result<Terms, ApiError> {
    let mut wrong = Wrong::default();
    let number = terms.payout_number.trim().to_owned();
    if !(4..=10).contains(&number.len()) || !number.bytes().all(|digit| digit.is_ascii_digit()) {
        wrong.add("payoutNumber", "must be 4 to 10 digits");
    }
    let account = terms
        .payout_account
        .map(|account| account.trim().to_owned());
    let account = account.filter(|account| !account.is_empty());
    let fits = |account: &String| {
        account.len() <= MOST_ACCOUNT
            && account
                .bytes()
                .all(|letter| letter.is_ascii_alphanumeric() || b"-/ ".contains(&letter))
    };
    if !account.as_ref().is_none_or(fits) {
        let what = "must be at most 20 letters, digits, spaces, dashes and slashes";
        wrong.add("payoutAccount", what);
    }
    match (terms.payout_kind, &account) {
        (SubType::Bank, None) => {
            wrong.add("payoutAccount", "is required for a bank's paybill");
        }
        (SubType::Buygoods, Some(_)) => {
            wrong.add("payoutAccount", "must be empty: a till has no accounts");
        }
        (SubType::Bank | SubType::Paybill, _) | (SubType::Buygoods, None) => {}
    }
    if terms.reserve < Cents::ZERO || terms.reserve > Cents::whole(10_000_000) {
        wrong.add("reserve", "must be from 0 to 10,000,000");
    }
    if !(0..=5_000).contains(&terms.fee_basis_points) {
        let what = "must be from 0 to 5000: hundredths of a percent, at most half";
        wrong.add("feeBasisPoints", what);
    }
    if terms.most < Cents::whole(10) || terms.most > Cents::whole(10_000_000) {
        wrong.add("most", "must be from 10 to 10,000,000");
    }
    wrong.none_or(()).map_err(ApiError::fields)?;
    Ok(Terms {
        payout_number: number,
        payout_account: account,
        ..terms
    })
}
