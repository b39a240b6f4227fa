//! Where Airtel calls back. Nothing in a call-back proves who sent it, and it names no amount: it makes us ask.

use axum::extract::{Request, State};
use easyisp_shared::id::{InboxId, TenantId};
use easyisp_shared::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::Payments;
use super::super::inbox::{self, dismiss};
use super::super::rules::Event;
use super::super::settle::{self, Then};
use super::super::store::{self, Kind, Purpose, Report, Which};
use super::answers::named_prompt;
use crate::api::{ClientAddress, Json, Limits, Path};
use crate::error::ApiError;
use crate::renewals::RenewError;

/// That a call-back is kept.
#[derive(Serialize, ToSchema)]
pub struct Kept {
    success: bool,
}

/// `POST /api/hooks/airtel/{token}`: what became of a prompt, in Airtel's words. The address stands in the gateway's
/// `callbackUrl`; it is typed into the application's settings at Airtel.
///
/// 200 as soon as the body is durable, whatever it says; 503 when it is not. An unknown secret changes nothing and is a
/// 404. Nothing is booked on its word: Airtel is asked.
#[utoipa::path(post, path = "/api/hooks/airtel/{token}", tag = "Providers",
    params(("token" = String, Path)), request_body = serde_json::Value,
    responses((status = 200, body = Kept)))]
pub async fn hook(
    State(payments): State<Payments>,
    State(limits): State<Limits>,
    address: ClientAddress,
    Path(token): Path<String>,
    request: Request,
) -> Result<Json<Kept>, ApiError> {
    let (tenant, gateway) = inbox::owner(&payments, &limits, address, &token, Purpose::Stk).await?;
    let report = Report {
        gateway_id: Some(gateway),
        intent_id: None,
        kind: Kind::AirtelCallback,
        about: None,
        receipt: None,
        body: inbox::read(request).await?,
        source: address.0.to_string(),
    };
    inbox::take_in(&payments, tenant, report).await?;
    Ok(Json(Kept { success: true }))
}

/// Works on one call-back, once: whoever comes second finds it done.
pub(in super::super) async fn work(
    payments: &Payments,
    tenant: TenantId,
    id: InboxId,
    now: Timestamp,
) -> Result<Then, RenewError> {
    let mut tx = payments.db.begin(tenant).await?;
    let Some((report, _)) = store::take(&mut tx, id, now).await? else {
        return Ok(Then::Rest);
    };
    let Some(name) = named_prompt(&report.body) else {
        return dismiss(tx, id, "it names no prompt").await;
    };
    let intent = store::lock(&mut tx, Which::Checkout(&name)).await?;
    let Some(mut intent) = intent else {
        return dismiss(tx, id, "no payment of ours").await;
    };
    if report.gateway_id != Some(intent.gateway_id) {
        return dismiss(tx, id, "another gateway's payment").await;
    }
    let then = settle::apply(&mut tx, &mut intent, Event::Hinted, now).await?;
    tx.commit().await?;
    Ok(then)
}
