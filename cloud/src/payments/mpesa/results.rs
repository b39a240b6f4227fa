//! Where M-Pesa answers what an initiator asked for: the calls need, and the door to which results come.

use axum::extract::{Request, State};
use easyisp_shared::id::{GatewayId, InboxId, TenantId};
use easyisp_shared::time::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::time::Duration;
use uuid::Uuid;

use super::super::inbox::{self, dismiss};
use super::super::prompt::PromptError;
use super::super::settle::Then;
use super::super::store::gateways::{self, Keys, RESULT_TOKEN};
use super::super::store::{self, Kind, Purpose, Report, inquiries, refunds, settlements};
use super::super::words::Env;
use super::super::{Payments, Source};
use super::super::{inquiry, payout, refund};
use super::Merchant;
use super::c2b::refused;
use super::initiator::{Initiator, ResultUrls};
use super::result::{Told, read_result};
use super::stk::{HEARD, Heard};
use crate::api::{ClientAddress, Json, Limits, Path};
use crate::db::Tx;
use crate::due;
use crate::error::ApiError;
use crate::renewals::RenewError;

/// All that a call of an initiator needs.
#[derive(Debug)]
pub(in super::super) struct Asking {
    pub(in super::super) merchant: Merchant,
    pub(in super::super) initiator: Initiator,
    base: String,
    token: SecretString,
}

impl Asking {
    /// Where the answer about this comes.
    pub(in super::super) fn urls(&self, about: Uuid) -> ResultUrls {
        let at = |what: &str| {
            let token = self.token.expose_secret();
            format!("{}/api/hooks/{what}/{token}/{about}", self.base)
        };
        ResultUrls {
            result: at("done"),
            time_out: at("late"),
        }
    }
}

impl Payments {
    /// What a call of this gateway's initiator needs.
    pub(in super::super) async fn asking(
        &self,
        tx: &mut Tx,
        gateway: GatewayId,
    ) -> Result<Asking, PromptError> {
        let keys = gateways::find(tx, gateway).await?;
        let keys = keys.ok_or(PromptError::NoGateway)?;
        if self.sources.is_empty() {
            return Err(PromptError::NoSources);
        }
        let base = self.public_url.as_deref();
        let base = base.ok_or(PromptError::NoPublicUrl)?;
        let initiator = self.initiator(tx, &keys).await?;
        let merchant = self.merchant(tx, &keys).await?;
        let asking = Asking {
            merchant,
            initiator,
            base: base.trim_end_matches('/').to_owned(),
            token: self.result_token(tx, &keys).await?,
        };
        match refused(&asking.urls(Uuid::nil()).result) {
            Some(word) => Err(PromptError::PublicUrlRefused(word)),
            None => Ok(asking),
        }
    }

    /// The initiator of a gateway, his password encrypted with M-Pesa's certificate.
    pub(in super::super) async fn initiator(
        &self,
        tx: &mut Tx,
        keys: &Keys,
    ) -> Result<Initiator, PromptError> {
        let password = self.initiator_password(tx, keys).await?;
        let (Some(name), Some(password)) = (keys.initiator_name.clone(), password) else {
            return Err(PromptError::NoInitiator);
        };
        let (file, setting) = match keys.env {
            Env::Production => (&self.certificates.production, "certificate_file"),
            Env::Sandbox => (&self.certificates.sandbox, "sandbox_certificate_file"),
        };
        let told = |what: String| PromptError::Certificate(format!("[mpesa] {setting}: {what}"));
        let file = file.as_ref().ok_or_else(|| told("is not set".to_owned()))?;
        let certificate = tokio::fs::read(file).await;
        let certificate = certificate.map_err(|error| told(error.to_string()))?;
        Initiator::new(name, &password, &certificate, &tx.entropy()).map_err(told)
    }

    /// The secret of the addresses to which results come; a new one when the gateway has none.
    async fn result_token(&self, tx: &mut Tx, keys: &Keys) -> Result<SecretString, PromptError> {
        if let Some(token) = gateways::result_token(&self.secrets, tx, keys).await? {
            return Ok(token);
        }
        let token = hex::encode(tx.entropy().bytes::<32>());
        let key = self.secrets.tenant(tx).await?;
        let sealed = key.seal(RESULT_TOKEN, keys.id.0, token.as_bytes());
        let digest = Sha256::digest(token.as_bytes()).into();
        gateways::set_result_token(tx, keys.id, &sealed, &digest).await?;
        Ok(token.into())
    }
}

/// `POST /api/hooks/done/{token}/{about}`: the answer to what was asked for in a short code's name.
///
/// 200 as soon as the body is durable, whatever it says; 503 when it is not, so that the provider comes
/// again. An unknown secret changes nothing and is a 404.
#[utoipa::path(post, path = "/api/hooks/done/{token}/{about}", tag = "Providers",
    params(("token" = String, Path), ("about" = Uuid, Path)), request_body = serde_json::Value,
    responses((status = 200, body = Heard)))]
pub async fn done(
    State(payments): State<Payments>,
    State(limits): State<Limits>,
    address: ClientAddress,
    Path((token, about)): Path<(String, String)>,
    request: Request,
) -> Result<Json<Heard>, ApiError> {
    hear(
        payments,
        limits,
        address,
        (token, about),
        Kind::Result,
        request,
    )
    .await
}

/// `POST /api/hooks/late/{token}/{about}`: M-Pesa did not come to it in time.
#[utoipa::path(post, path = "/api/hooks/late/{token}/{about}", tag = "Providers",
    params(("token" = String, Path), ("about" = Uuid, Path)), request_body = serde_json::Value,
    responses((status = 200, body = Heard)))]
pub async fn late(
    State(payments): State<Payments>,
    State(limits): State<Limits>,
    address: ClientAddress,
    Path((token, about)): Path<(String, String)>,
    request: Request,
) -> Result<Json<Heard>, ApiError> {
    hear(
        payments,
        limits,
        address,
        (token, about),
        Kind::TimeOut,
        request,
    )
    .await
}

async fn hear(
    payments: Payments,
    limits: Limits,
    address: ClientAddress,
    (token, about): (String, String),
    kind: Kind,
    request: Request,
) -> Result<Json<Heard>, ApiError> {
    let (tenant, gateway) =
        inbox::owner(&payments, &limits, address, &token, Purpose::Result).await?;
    let report = Report {
        gateway_id: Some(gateway),
        intent_id: None,
        kind,
        about: about.parse().ok(),
        receipt: None,
        body: inbox::read(request).await?,
        source: address.0.to_string(),
    };
    inbox::take_in(&payments, tenant, report).await?;
    Ok(Json(HEARD))
}

/// How soon a question is asked again that M-Pesa did not come to in time.
const SOON: Duration = Duration::from_secs(60);

/// Works on one answer, once: whoever comes second finds it done.
pub(in super::super) async fn work(
    payments: &Payments,
    tenant: TenantId,
    id: InboxId,
    now: Timestamp,
) -> Result<Then, RenewError> {
    // Who finds a receipt booked meanwhile looks once more: it is known then.
    for _ in 0..2 {
        let mut tx = payments.db.begin(tenant).await?;
        let Some((report, _)) = store::take(&mut tx, id, now).await? else {
            return Ok(Then::Rest);
        };
        let from = report
            .source
            .parse()
            .map(|address| payments.source(address));
        if from != Ok(Source::Listed) {
            // Whoever knows the secret could say it: nothing is believed of it, and the question stays open.
            return dismiss(tx, id, "told of from an address that is not on the list").await;
        }
        let told = match (report.kind, read_result(&report.body)) {
            (Kind::TimeOut, _) => None,
            (_, Ok(told)) => Some(told),
            (_, Err(why)) => return dismiss(tx, id, &format!("unreadable: {why}")).await,
        };
        match settle(&mut tx, id, &report, told.as_ref(), now).await {
            Ok(None) => {
                tx.commit().await?;
                return Ok(Then::Rest);
            }
            Ok(Some(why)) => return dismiss(tx, id, why).await,
            Err(RenewError::ReceiptKnown) => drop(tx),
            Err(error) => return Err(error),
        }
    }
    Err(RenewError::ReceiptKnown)
}

/// What an answer (`None`: that there was none in time) does to what it is about; why it has no effect.
async fn settle(
    tx: &mut Tx,
    id: InboxId,
    report: &Report,
    told: Option<&Told>,
    now: Timestamp,
) -> Result<Option<&'static str>, RenewError> {
    let Some(about) = report.about else {
        return Ok(Some("nothing of ours"));
    };
    if let Some(mut sent) = refunds::lock(tx, about.into()).await? {
        if report.gateway_id != Some(sent.gateway_id) {
            return Ok(Some("another gateway's refund"));
        }
        if let Some(receipt) = &sent.paid_receipt {
            store::name_receipt(tx, id, receipt).await?;
        }
        return refund::answer(tx, &mut sent, told, now).await;
    }
    if let Some(mut sent) = settlements::lock(tx, about.into()).await? {
        if report.gateway_id != Some(sent.gateway_id) {
            return Ok(Some("another gateway's settlement"));
        }
        return Ok(payout::answer(tx, &mut sent, told, now).await?);
    }
    let Some(mut asked) = inquiries::lock(tx, about.into()).await? else {
        return Ok(Some("nothing of ours"));
    };
    if report.gateway_id != Some(asked.gateway_id) {
        return Ok(Some("another gateway's question"));
    }
    if asked.answered_at.is_some() {
        return Ok(Some("the question is answered"));
    }
    if let Some(receipt) = asked.receipt() {
        store::name_receipt(tx, id, receipt).await?;
    }
    if let (Some(told), Some(id)) = (told, asked.refund_id)
        && let Some(mut sent) = refunds::lock(tx, id).await?
    {
        let (state, message) = refund::answer_asked(tx, &mut sent, &asked, told, now).await?;
        (asked.state, asked.message) = (state, Some(message));
        asked.answered_at = Some(now);
        inquiries::save(tx, &asked).await?;
        due::never(tx, inquiry::INQUIRE, asked.id).await?;
        return Ok(None);
    }
    if let (Some(told), Some(id)) = (told, asked.settlement_id)
        && let Some(mut sent) = settlements::lock(tx, id).await?
    {
        let (state, message) = payout::answer_asked(tx, &mut sent, &asked, told, now).await?;
        (asked.state, asked.message) = (state, Some(message));
        asked.answered_at = Some(now);
        inquiries::save(tx, &asked).await?;
        due::never(tx, inquiry::INQUIRE, asked.id).await?;
        return Ok(None);
    }
    match told {
        None => due::at(tx, inquiry::INQUIRE, asked.id, now.plus(SOON)).await?,
        Some(told) => inquiry::answer(tx, &mut asked, told, now).await?,
    }
    Ok(None)
}
