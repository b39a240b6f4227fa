//! `POST /api/super-admin/tenants/{tenant}/topups`: a provider paid the platform ahead by typing its short code himself, as
//! nobody asked him to; a person of the platform says that it was he.

use axum::extract::State as With;
use easyisp_shared::id::{TenantId, TopupId};
use easyisp_shared::money::Cents;
use easyisp_shared::phone::PhoneNumber;
use serde::Deserialize;
use utoipa::ToSchema;

use super::Payments;
use super::arrival::receipt_of;
use super::rules::{FOLLOW_UP, WINDOW};
use super::store::strays::{self, State as StrayState, Stray, Word};
use super::store::topups::{self as store, ByHand, State};
use super::strays::{assigned, reason_of, used};
use super::unknown::Shown;
use super::words::GatewayType;
use crate::api::{Json, Path};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Tx;
use crate::error::{ApiError, Wrong, violated};
use crate::tenants::governed;

/// Which payment, and why it is his.
#[derive(Deserialize, ToSchema)]
#[schema(as = TopupByHand)]
pub struct ByHandRequest {
    /// M-Pesa's receipt of a payment in `GET /api/super-admin/collecting/stray`.
    receipt: String,
    /// For the provider's trail.
    reason: String,
}

/// `POST /api/super-admin/tenants/{tenant}/topups`: money that came to the platform's short code by itself is this
/// provider's, paid ahead: it is in his `walletBalance`, once. Where it is the payment of a prompt that M-Pesa told of
/// without a receipt, and that was credited by that, the receipt is written there and nothing is credited again: the
/// answer is that top-up.
///
/// Errors: 400 `receipt` or `reason`, 403 `FRESH_LOGIN_REQUIRED`, 404, 409 `ASSIGNED`, `RECEIPT_USED`, `TOPUP_WAITING`
/// while M-Pesa is asked of a prompt for as much, `TOPUP_UNKNOWN` where nobody said yet how one ended: say it there,
/// with this receipt; `NOT_VOUCHED` where M-Pesa does not say itself that the money came.
#[utoipa::path(post, path = "/api/super-admin/tenants/{tenant}/topups", tag = "Platform",
    params(("tenant" = TenantId, Path)), request_body = ByHandRequest,
    responses((status = 200, body = Shown)))]
pub async fn give(
    operator: Operator,
    With(payments): With<Payments>,
    Path(tenant): Path<TenantId>,
    Json(request): Json<ByHandRequest>,
) -> Result<Json<Shown>, ApiError> {
    let now = payments.clock.now();
    operator.fresh(now)?;
    let (receipt, reason) = checked(&request)?;
    let actor = Actor::from(&operator);
    let mut tx = governed::begin(&payments.db, tenant).await?;
    let stray = strays::lock(&mut tx, &receipt).await?;
    let stray = stray.ok_or(ApiError::NotFound("stray payment"))?;
    is_free(&stray)?;
    let amount = stray.amount;
    let of_before = credited_by(&mut tx, &stray).await?;
    let id = of_before.unwrap_or_else(|| TopupId::new(now, payments.db.entropy()));
    let claimed = store::claim(&mut tx, id, &receipt, &stray.shortcode).await;
    claimed.map_err(|cause| match violated(&cause) {
        Some("receipts_pkey" | "receipt_at_shortcode") => used(),
        Some(_) | None => cause.into(),
    })?;
    let by_hand = ByHand {
        amount,
        receipt: &receipt,
        reason: &reason,
        by: operator.id,
    };
    let details = match of_before {
        Some(_) => {
            store::prove(&mut tx, id, &by_hand, now).await?;
            format!(
                "Said that {receipt} is the receipt of a top-up of {amount} that was credited: {reason}"
            )
        }
        None => {
            store::insert_by_hand(&mut tx, id, &by_hand, now).await?;
            governed::add_balance(&mut tx, &actor, (amount, Cents::ZERO), now).await?;
            format!(
                "Said that {amount} with receipt {receipt}, which came for nobody, are a top-up: {reason}"
            )
        }
    };
    let line = Audit {
        details,
        ..Audit::new(Action::TopUpSettle, "top-up", id, "")
    };
    audit::record(&mut tx, &actor, line, now).await?;
    let listed = store::find(&mut tx, id).await?;
    tx.commit().await?;
    Ok(Json(listed.into()))
}

/// The top-up of the transaction's tenant that was credited by this payment, as far as can be told: a prompt for as much
/// on the payer's phone that M-Pesa said was paid, and nobody gave a receipt of. Nothing is said while such a one is open.
async fn credited_by(tx: &mut Tx, stray: &Stray) -> Result<Option<TopupId>, ApiError> {
    let paid_at = stray.paid_at.unwrap_or(stray.came_at);
    let times = (paid_at.minus(FOLLOW_UP), paid_at.plus(WINDOW));
    let mut prompts = store::without_receipt(tx, stray.amount, times).await?;
    prompts.retain(|prompt| {
        let payer = stray.payer_hash.as_ref();
        payer.is_none_or(|payer| {
            PhoneNumber::parse(&prompt.phone).is_some_and(|phone| phone.hash() == *payer)
        })
    });
    let stands = |state| prompts.iter().find(|prompt| prompt.state == state);
    if let Some(prompt) = stands(State::Done) {
        return Ok(Some(prompt.id));
    }
    if stands(State::Pending).is_some() {
        return Err(ApiError::conflict(
            "TOPUP_WAITING",
            "M-Pesa is still being asked what became of a top-up for as much; try again when it has said so",
        ));
    }
    match stands(State::Unknown) {
        Some(prompt) => Err(ApiError::conflict(
            "TOPUP_UNKNOWN",
            format!(
                "This may be the payment of top-up {}, of which nobody said yet how it ended: say it there, with this \
                 receipt where it was paid",
                prompt.id
            ),
        )),
        None => Ok(None),
    }
}

/// Whether it can be a top-up.
fn is_free(stray: &Stray) -> Result<(), ApiError> {
    match stray.state {
        StrayState::Open | StrayState::TopUp if stray.word != Word::Held => Ok(()),
        StrayState::Open | StrayState::TopUp => Err(ApiError::conflict(
            "NOT_VOUCHED",
            "M-Pesa does not say itself that this money came; wait until it does, or look into its statement",
        )),
        StrayState::Assigned => Err(assigned()),
        StrayState::Booked => Err(used()),
    }
}

fn checked(request: &ByHandRequest) -> Result<(String, String), ApiError> {
    let mut wrong = Wrong::default();
    let reason = reason_of(&request.reason, &mut wrong);
    let receipt = receipt_of(&request.receipt);
    if receipt.is_none() {
        wrong.add("receipt", GatewayType::MpesaApi.form_of_receipt());
    }
    wrong
        .none_or((receipt.unwrap_or_default(), reason))
        .map_err(ApiError::fields)
}
