//! The provider's door: what it tells is kept byte for byte, answered, and then worked on.

use axum::extract::{Request, State};
use easyisp_shared::id::{GatewayId, InboxId, IntentId, TenantId};
use easyisp_shared::time::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::time::Duration;
use utoipa::ToSchema;

use super::book;
use super::mpesa::callback::{StkCallback, read_stk};
use super::mpesa::is_final;
use super::prompt::PromptError;
use super::rules::{Event, Terms, judge};
use super::settle::{self, RECEIPT_KNOWN, Then};
use super::store::{self, Intent, Kind, Purpose, Report, Which};
use super::{Payments, Source};
use crate::api::{ClientAddress, Json, Limits, Path};
use crate::db::Tx;
use crate::error::{ApiError, violated};
use crate::renewals::RenewError;

/// The largest body of a callback.
const MOST_BYTES: usize = 64 * 1024;
/// When the job takes up a report that nobody worked on: its node stopped in between.
const RESCUE: Duration = Duration::from_secs(5);

/// What M-Pesa wants to hear.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Heard {
    result_code: i32,
    result_desc: &'static str,
}

pub(super) const HEARD: Heard = Heard {
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
    let (tenant, gateway) = owner(&payments, &limits, address, &token, Purpose::Stk).await?;
    let report = Report {
        gateway_id: Some(gateway),
        intent_id: intent,
        kind: Kind::StkCallback,
        about: None,
        receipt: None,
        body: read(request).await?,
        source: address.0.to_string(),
    };
    let id = keep(&payments, tenant, &report).await?;

    let worker = payments.clone();
    payments.tasks.spawn(async move {
        let now = worker.clock.now();
        let then = work(&worker, tenant, id, now).await;
        follow(&worker, tenant, id, then, now).await;
    });
    Ok(Json(HEARD))
}

/// Whose a path secret is. An unknown one changes nothing and is a 404.
pub(super) async fn owner(
    payments: &Payments,
    limits: &Limits,
    address: ClientAddress,
    token: &str,
    purpose: Purpose,
) -> Result<(TenantId, GatewayId), ApiError> {
    // The secret is looked up by its digest, so its text is never compared.
    let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let mut directory = payments.db.directory().await.map_err(unkept)?;
    let owner = store::gateway_of_token(&mut directory, &digest, purpose)
        .await
        .map_err(unkept)?;
    drop(directory);
    if owner.is_none() {
        limits.address(address.0)?;
    }
    owner.ok_or(ApiError::NotFound("address"))
}

/// The body of a report, byte for byte.
pub(super) async fn read(request: Request) -> Result<Vec<u8>, ApiError> {
    let body = axum::body::to_bytes(request.into_body(), MOST_BYTES).await;
    let body = body.map_err(|_| ApiError::TooLarge { limit: MOST_BYTES })?;
    Ok(body.to_vec())
}

/// Makes a report durable, with the work on it due soon: its node may stop in between.
pub(super) async fn keep(
    payments: &Payments,
    tenant: TenantId,
    report: &Report,
) -> Result<InboxId, ApiError> {
    let now = payments.clock.now();
    let id = InboxId::new(now, payments.db.entropy());
    let kept = async {
        let mut tx = payments.db.begin(tenant).await?;
        store::keep(&mut tx, id, report, now.plus(RESCUE), now).await?;
        tx.commit().await
    };
    kept.await.map_err(unkept)?;
    Ok(id)
}

/// The provider comes again.
pub(super) fn unkept(_: sqlx::Error) -> ApiError {
    ApiError::Unavailable {
        message: "The report could not be kept; send it again".to_owned(),
    }
}

/// What remains to be done once a report was worked on; what failed is due work, and soon.
pub(super) async fn follow(
    payments: &Payments,
    tenant: TenantId,
    id: InboxId,
    then: Result<Then, RenewError>,
    now: Timestamp,
) {
    let asked = match then {
        Ok(Then::Rest) => return,
        Ok(Then::Ask(intent)) => payments.query(tenant, intent, now).await.map(|_| ()),
        Err(cause) => Err(PromptError::from(cause)),
    };
    if let Err(cause) = asked {
        tracing::warn!(%cause, inbox.id = %id, "Cannot work on report {id}; it is tried again");
    }
}

/// Works on one report, once: whoever comes second finds it done.
pub(super) async fn work(
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
pub(super) const OTHER_PROMPT: &str =
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

pub(super) async fn dismiss(mut tx: Tx, id: InboxId, why: &str) -> Result<Then, RenewError> {
    tracing::info!(inbox.id = %id, "A provider's report had no effect: {why}");
    store::note(&mut tx, id, why).await?;
    tx.commit().await?;
    Ok(Then::Rest)
}
