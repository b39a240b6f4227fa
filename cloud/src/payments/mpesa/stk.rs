//! What M-Pesa tells of a prompt: its door, and the work on what came in.

use axum::extract::{Request, State};
use easyisp_shared::id::{InboxId, IntentId, TenantId};
use easyisp_shared::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::inbox::{self, dismiss};
use super::super::rules::{Event, Terms, judge};
use super::super::settle::{self, RECEIPT_KNOWN, Then};
use super::super::store::{self, Intent, Kind, Purpose, Report, Which};
use super::super::{Payments, Source, book};
use super::callback::{StkCallback, read_stk};
use super::is_final;
use crate::api::{ClientAddress, Json, Limits, Path};
use crate::error::{ApiError, violated};
use crate::renewals::RenewError;

/// What M-Pesa wants to hear.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Heard {
    result_code: i32,
    result_desc: &'static str,
}

pub(in super::super) const HEARD: Heard = Heard {
    result_code: 0,
    result_desc: "Accepted",
};

/// `POST /api/hooks/stk/{token}`: what became of a prompt, in the provider's words.
///
/// 200 as soon as the body is durable, whatever it says; 503 when it is not, so that the provider comes
/// again. An unknown secret changes nothing and is a 404.
#[utoipa::path(post, path = "/api/hooks/stk/{token}", tag = "Providers",
    params(("token" = String, Path)), request_body = serde_json::Value,
    responses((status = 200, body = Heard)))]
pub async fn hook(
    State(payments): State<Payments>,
    State(limits): State<Limits>,
    address: ClientAddress,
    Path(token): Path<String>,
    request: Request,
) -> Result<Json<Heard>, ApiError> {
    hear(payments, limits, address, token, None, request).await
}

/// `POST /api/hooks/stk/{token}/{intent}`: the same for one payment: the address a push gives, so that a
/// callback finds its payment even when the push was never answered.
#[utoipa::path(post, path = "/api/hooks/stk/{token}/{intent}", tag = "Providers",
    params(("token" = String, Path), ("intent" = IntentId, Path)), request_body = serde_json::Value,
    responses((status = 200, body = Heard)))]
pub async fn hook_of_intent(
    State(payments): State<Payments>,
    State(limits): State<Limits>,
    address: ClientAddress,
    Path((token, intent)): Path<(String, String)>,
    request: Request,
) -> Result<Json<Heard>, ApiError> {
    let intent = intent.parse().ok();
    hear(payments, limits, address, token, intent, request).await
}

/// `POST /api/webhooks/mpesa/stk/{token}`: another name of `POST /api/hooks/stk/{token}`.
#[utoipa::path(post, path = "/api/webhooks/mpesa/stk/{token}", tag = "Providers",
    params(("token" = String, Path)), request_body = serde_json::Value,
    responses((status = 200, body = Heard)))]
pub async fn webhook(
    State(payments): State<Payments>,
    State(limits): State<Limits>,
    address: ClientAddress,
    Path(token): Path<String>,
    request: Request,
) -> Result<Json<Heard>, ApiError> {
    hear(payments, limits, address, token, None, request).await
}

async fn hear(
    payments: Payments,
    limits: Limits,
    address: ClientAddress,
    token: String,
    intent: Option<IntentId>,
    request: Request,
) -> Result<Json<Heard>, ApiError> {
    let (tenant, gateway) = inbox::owner(&payments, &limits, address, &token, Purpose::Stk).await?;
    let report = Report {
        gateway_id: Some(gateway),
        intent_id: intent,
        kind: Kind::StkCallback,
        about: None,
        receipt: None,
        body: inbox::read(request).await?,
        source: address.0.to_string(),
    };
    inbox::take_in(&payments, tenant, report).await?;
    Ok(Json(HEARD))
}

/// Works on one report, once: whoever comes second finds it done.
pub(in super::super) async fn work(
    payments: &Payments,
    tenant: TenantId,
    id: InboxId,
    now: Timestamp,
) -> Result<Then, RenewError> {
    let mut tx = payments.db.begin(tenant).await?;
    let Some((report, mut intent)) = store::take(&mut tx, id, now).await? else {
        return Ok(Then::Rest);
    };
    let told = match read_stk(&report.body) {
        Ok(told) => told,
        Err(why) => return dismiss(tx, id, &format!("unreadable: {why}")).await,
    };
    if report.intent_id.is_none() {
        intent = store::lock(&mut tx, Which::Checkout(&told.checkout_request_id)).await?;
    }
    let Some(mut intent) = intent else {
        return dismiss(tx, id, "no payment of ours").await;
    };
    if report.gateway_id != Some(intent.gateway_id) {
        return dismiss(tx, id, "another gateway's payment").await;
    }
    let source = match report.source.parse() {
        Ok(address) => payments.source(address),
        Err(_) => Source::Unlisted,
    };
    match &intent.checkout_request_id {
        Some(ours) if *ours != told.checkout_request_id => {
            if told.claim.is_some() {
                intent.needs_review = Some(OTHER_PROMPT.to_owned());
                store::save(&mut tx, &intent, now).await?;
            }
            return dismiss(tx, id, OTHER_PROMPT).await;
        }
        Some(_) => {}
        // A stranger does not say which prompt of M-Pesa's it is.
        None if source == Source::Unlisted => {}
        // The callback overtook the answer to the push, or the push was never answered.
        None => {
            intent.checkout_request_id = Some(told.checkout_request_id.clone());
            intent.merchant_request_id = told.merchant_request_id.clone();
        }
    }
    let event = event(&told, &intent, source);
    let refused = match settle::apply(&mut tx, &mut intent, event, now).await {
        Ok(then) => {
            tx.commit().await?;
            return Ok(then);
        }
        Err(RenewError::ReceiptKnown) => {
            drop(tx);
            return known(payments, tenant, id, intent.id, (&told, source), now).await;
        }
        Err(RenewError::Database(cause)) if violated(&cause) == Some("intent_checkout") => {
            OTHER_PROMPT
        }
        Err(error) => return Err(error),
    };
    drop(tx);
    settle::review(&payments.db, tenant, intent.id, refused, now).await?;
    let mut tx = payments.db.begin(tenant).await?;
    store::take(&mut tx, id, now).await?;
    dismiss(tx, id, refused).await
}

/// The receipt was booked before. A confirmation that came first has brought the money: then it is this
/// prompt's. What is held under it on nobody's word gives way to what M-Pesa says; else a person looks at it.
async fn known(
    payments: &Payments,
    tenant: TenantId,
    id: InboxId,
    intent: IntentId,
    (told, source): (&StkCallback, Source),
    now: Timestamp,
) -> Result<Then, RenewError> {
    let mut tx = payments.db.begin(tenant).await?;
    if store::take(&mut tx, id, now).await?.is_none() {
        return Ok(Then::Rest);
    }
    if let Some(claim) = &told.claim {
        if settle::adopt(&mut tx, intent, &claim.receipt, now).await? {
            tx.commit().await?;
            return Ok(Then::Rest);
        }
        if source == Source::Listed && book::give_way(&mut tx, &claim.receipt, now).await? {
            let locked = store::lock(&mut tx, Which::Id(intent)).await?;
            let mut locked = locked.ok_or(RenewError::UnknownCustomer)?;
            let event = event(told, &locked, source);
            let then = settle::apply(&mut tx, &mut locked, event, now).await?;
            tx.commit().await?;
            return Ok(then);
        }
    }
    drop(tx);
    settle::review(&payments.db, tenant, intent, RECEIPT_KNOWN, now).await?;
    let mut tx = payments.db.begin(tenant).await?;
    store::take(&mut tx, id, now).await?;
    dismiss(tx, id, RECEIPT_KNOWN).await
}

/// What a person reads when money is reported to the address of a prompt that it does not name.
pub(in super::super) const OTHER_PROMPT: &str =
    "A callback came to this payment's own address and names another prompt; look in the statement";

/// What a callback means for the payment it is about.
fn event(told: &StkCallback, intent: &Intent, source: Source) -> Event {
    let terms = Terms {
        asked: intent.amount,
        confirm_above: intent.confirm_above,
    };
    match (told.result_code, &told.claim) {
        (0, Some(claim)) => judge(claim.clone(), terms, source),
        (0, None) => Event::Hinted,
        (code, _) if is_final(code) && source == Source::Listed => Event::Failed { code },
        (_, _) => Event::Hinted, // an unknown code is no failure, nor is anybody's word
    }
}
