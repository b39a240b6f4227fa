//! Money that payers send by themselves (C2B): the provider's door for it, and the work on what came in.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::{Request, State};
use easyisp_shared::id::{GatewayId, InboxId, TenantId};
use easyisp_shared::time::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::super::book::{self, Booking, Trust};
use super::super::inbox::{self, dismiss};
use super::super::owner::Keys;
use super::super::prompt::PromptError;
use super::super::settle::Then;
use super::super::store::arrivals::{self, Found, Place};
use super::super::store::{self, Kind, Purpose, Report};
use super::super::store::{gateways, strays};
use super::super::words::SubType;
use super::super::{Payments, Source, inquiry};
use super::confirmation::{named_receipt, read_asked, read_confirmation};
use crate::api::{ClientAddress, Json, Limits, Path};
use crate::error::ApiError;
use crate::renewals::RenewError;

/// What M-Pesa wants to hear of a confirmation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Confirmed {
    result_code: i32,
    result_desc: &'static str,
}

const CONFIRMED: Confirmed = Confirmed {
    result_code: 0,
    result_desc: "Success",
};

/// What M-Pesa wants to hear of a validation: `0`, or why the payer keeps his money.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Validated {
    result_code: &'static str,
    result_desc: &'static str,
}

const ACCEPTED: Validated = Validated {
    result_code: "0",
    result_desc: "Accepted",
};
const WRONG_AMOUNT: Validated = Validated {
    result_code: "C2B00013",
    result_desc: "Rejected",
};
const WRONG_SHORT_CODE: Validated = Validated {
    result_code: "C2B00015",
    result_desc: "Rejected",
};

/// How long a validation waits for the database: the provider waits about eight seconds, and nothing depends
/// on what is answered.
const PATIENCE: Duration = Duration::from_millis(700);

/// `POST /api/hooks/c2b/{token}/v`: whether money that a payer is about to send is welcome.
///
/// It is, unless it is for another short code or no amount: whose it is, is found when it has come. Kept
/// before it is answered, but an answer never waits for long. An unknown secret is a 404.
#[utoipa::path(post, path = "/api/hooks/c2b/{token}/v", tag = "Providers",
    params(("token" = String, Path)), request_body = serde_json::Value,
    responses((status = 200, body = Validated)))]
pub async fn validation(
    State(payments): State<Payments>,
    State(limits): State<Limits>,
    address: ClientAddress,
    Path(token): Path<String>,
    request: Request,
) -> Result<Json<Validated>, ApiError> {
    let body = inbox::read(request).await?;
    let keeping = validate(&payments, &limits, address, &token, body);
    match tokio::time::timeout(PATIENCE, keeping).await {
        Ok(Err(ApiError::Unavailable { .. })) | Err(_) => Ok(Json(ACCEPTED)),
        Ok(answer) => answer.map(Json),
    }
}

/// `POST /api/webhooks/mpesa/c2b/validation/{token}`: another name of `POST /api/hooks/c2b/{token}/v`.
#[utoipa::path(post, path = "/api/webhooks/mpesa/c2b/validation/{token}", tag = "Providers",
    params(("token" = String, Path)), request_body = serde_json::Value,
    responses((status = 200, body = Validated)))]
pub async fn validation_webhook(
    payments: State<Payments>,
    limits: State<Limits>,
    address: ClientAddress,
    token: Path<String>,
    request: Request,
) -> Result<Json<Validated>, ApiError> {
    validation(payments, limits, address, token, request).await
}

async fn validate(
    payments: &Payments,
    limits: &Limits,
    address: ClientAddress,
    token: &str,
    body: Vec<u8>,
) -> Result<Validated, ApiError> {
    let (tenant, gateway) = inbox::owner(payments, limits, address, token, Purpose::C2b).await?;
    let report = Report {
        gateway_id: Some(gateway),
        intent_id: None,
        kind: Kind::C2bValidation,
        about: None,
        receipt: named_receipt(&body),
        body,
        source: address.0.to_string(),
    };
    let now = payments.clock.now();
    let id = InboxId::new(now, payments.db.entropy());
    let kept = async {
        let mut tx = payments.db.begin(tenant).await?;
        let place = store::keep_validation(&mut tx, id, &report, now).await?;
        // At the platform's own door: who is about to pay is no customer of the platform's, and nothing of him is kept.
        if place.as_ref().is_some_and(|place| place.platform) {
            strays::empty(&mut tx, id, "answered").await?;
        }
        tx.commit().await?;
        Ok(place)
    };
    let place = kept.await.map_err(inbox::unkept)?;
    Ok(verdict(&report.body, place.as_ref()))
}

/// What a validation is answered.
fn verdict(body: &[u8], place: Option<&Place>) -> Validated {
    let (shortcode, amount) = read_asked(body);
    match (place, amount) {
        (Some(place), _) if !is_at(place, &shortcode) => WRONG_SHORT_CODE,
        (_, None) => WRONG_AMOUNT,
        (_, Some(_)) => ACCEPTED,
    }
}

/// `POST /api/hooks/c2b/{token}/c`: money that a payer has sent.
///
/// 200 as soon as the body is durable, whatever it says; 503 when it is not, so that the provider comes
/// again. An unknown secret changes nothing and is a 404.
#[utoipa::path(post, path = "/api/hooks/c2b/{token}/c", tag = "Providers",
    params(("token" = String, Path)), request_body = serde_json::Value,
    responses((status = 200, body = Confirmed)))]
pub async fn confirmation(
    State(payments): State<Payments>,
    State(limits): State<Limits>,
    address: ClientAddress,
    Path(token): Path<String>,
    request: Request,
) -> Result<Json<Confirmed>, ApiError> {
    let (tenant, gateway) = inbox::owner(&payments, &limits, address, &token, Purpose::C2b).await?;
    let body = inbox::read(request).await?;
    let looked_up = look_up(&payments, tenant, gateway, &token).await;
    let (kind, current) = looked_up.map_err(|cause| {
        tracing::warn!(%cause, gateway.id = %gateway, "Cannot read the secret of a gateway");
        ApiError::Unavailable {
            message: "The report could not be kept; send it again".to_owned(),
        }
    })?;
    let report = Report {
        gateway_id: Some(gateway),
        intent_id: None,
        kind,
        about: None,
        receipt: named_receipt(&body),
        body,
        source: kept_source(address, current),
    };
    inbox::take_in(&payments, tenant, report).await?;
    Ok(Json(CONFIRMED))
}

/// `POST /api/webhooks/mpesa/c2b/confirmation/{token}`: another name of `POST /api/hooks/c2b/{token}/c`.
#[utoipa::path(post, path = "/api/webhooks/mpesa/c2b/confirmation/{token}", tag = "Providers",
    params(("token" = String, Path)), request_body = serde_json::Value,
    responses((status = 200, body = Confirmed)))]
pub async fn confirmation_webhook(
    payments: State<Payments>,
    limits: State<Limits>,
    address: ClientAddress,
    token: Path<String>,
    request: Request,
) -> Result<Json<Confirmed>, ApiError> {
    confirmation(payments, limits, address, token, request).await
}

/// Works on one confirmation, once: whoever comes second finds it done.
pub(in super::super) async fn work(
    payments: &Payments,
    tenant: TenantId,
    id: InboxId,
    report: &Report,
    now: Timestamp,
) -> Result<Then, RenewError> {
    let Some(gateway) = report.gateway_id else {
        return Ok(Then::Rest);
    };
    let told = match read_confirmation(&report.body) {
        Ok(told) => told,
        Err(why) => return done(payments, tenant, id, &why.to_string(), now).await,
    };
    let keys = Keys::of(&told.arrival);
    let since = book::since(now);
    // Who finds the receipt booked meanwhile looks once more: it is known then.
    for _ in 0..2 {
        let mut tx = payments.db.begin(tenant).await?;
        let found = arrivals::take_and_find(&mut tx, id, gateway, &told.arrival, &keys, since, now);
        let Some(found) = found.await? else {
            return Ok(Then::Rest);
        };
        let trust = trust(payments, &report.source, &found, &told.shortcode);
        if found.known {
            let what = match trust {
                Trust::Held(_) => Booking::Known,
                Trust::Asked(_) | Trust::Told => {
                    let arrival = &told.arrival;
                    book::confirm(&mut tx, gateway, found, arrival, &keys, trust, now).await?
                }
            };
            return match what {
                Booking::Booked => {
                    tx.commit().await?;
                    Ok(Then::Rest)
                }
                Booking::Known | Booking::Elsewhere => {
                    dismiss(tx, id, "the receipt is booked").await
                }
                Booking::Differs => {
                    dismiss(tx, id, "the receipt is booked with another amount").await
                }
            };
        }
        match book::book(&mut tx, gateway, found, &told.arrival, &keys, trust, now).await {
            Ok(then) => {
                if let Trust::Held(_) = trust
                    && !payments.sources.is_empty()
                {
                    let receipt = &told.arrival.receipt;
                    inquiry::open_by_itself(&mut tx, gateway, receipt, now).await?;
                }
                tx.commit().await?;
                return Ok(then);
            }
            Err(RenewError::ReceiptKnown) => drop(tx),
            Err(error) => return Err(error),
        }
    }
    done(payments, tenant, id, "the receipt is booked", now).await
}

/// Notes that a report has no effect.
pub(in super::super) async fn done(
    payments: &Payments,
    tenant: TenantId,
    id: InboxId,
    why: &str,
    now: Timestamp,
) -> Result<Then, RenewError> {
    let mut tx = payments.db.begin(tenant).await?;
    if store::take(&mut tx, id, now).await?.is_none() {
        return Ok(Then::Rest);
    }
    dismiss(tx, id, why).await
}

/// What a confirmation is worth. The provider's address and the secret it has now vouch for it together; whoever
/// knows a secret alone may only have a person look: nobody can be asked about money that was not asked for.
fn trust(payments: &Payments, source: &str, found: &Found, shortcode: &str) -> Trust {
    match source.parse::<IpAddr>() {
        Err(_) => Trust::Held(book::OLD_SECRET),
        Ok(address) if payments.source(address) != Source::Listed => Trust::Held(book::UNLISTED),
        Ok(_) if found.retired => Trust::Held(book::RETIRED),
        Ok(_) if !is_at(&found.at, shortcode) => Trust::Held(book::OTHER_CODE),
        Ok(_) => Trust::Told,
    }
}

/// What is told of at a gateway's door, and whether the secret in the path is the one that it has now.
async fn look_up(
    payments: &Payments,
    tenant: TenantId,
    gateway: GatewayId,
    token: &str,
) -> Result<(Kind, bool), PromptError> {
    let mut tx = payments.db.begin(tenant).await?;
    let Some(keys) = gateways::find(&mut tx, gateway).await? else {
        return Ok((Kind::C2bConfirmation, false));
    };
    // A tenant's gateway at the platform's short code has no door of its own: this is the platform's.
    let kind = match keys.platform {
        true => Kind::CentralConfirmation,
        false => Kind::C2bConfirmation,
    };
    let current = gateways::c2b_token(&payments.secrets, &mut tx, &keys).await?;
    let digest = |text: &str| Sha256::digest(text.as_bytes());
    let current = current.is_some_and(|current| digest(current.expose_secret()) == digest(token));
    Ok((kind, current))
}

/// Where a report came from, as it is kept; what came under an old secret has no address that could be listed.
fn kept_source(address: ClientAddress, current: bool) -> String {
    match current {
        true => address.0.to_string(),
        false => format!("{} under an old secret", address.0),
    }
}

/// Whether a short code is this gateway's; a till is named by its own number or its store's.
pub(in super::super) fn is_at(place: &Place, shortcode: &str) -> bool {
    let store = place
        .store_number
        .as_deref()
        .filter(|_| place.kind == SubType::Buygoods);
    shortcode == place.shortcode || store == Some(shortcode)
}

/// The addresses of a gateway's door, under this secret.
pub(in super::super) struct Door {
    /// Where validations go.
    pub(in super::super) validation: String,
    /// Where confirmations go.
    pub(in super::super) confirmation: String,
}

/// Words that M-Pesa refuses in an address.
pub(in super::super) const REFUSED: [&str; 6] =
    ["mpesa", "safaricom", "exe", "cmd", "sql", "query"];

/// The door under `base`. An error names the word for which M-Pesa would refuse it.
pub(in super::super) fn door(base: &str, token: &str) -> Result<Door, &'static str> {
    let at = |end: &str| format!("{}/api/hooks/c2b/{token}/{end}", base.trim_end_matches('/'));
    let door = Door {
        validation: at("v"),
        confirmation: at("c"),
    };
    match refused(&door.confirmation) {
        Some(word) => Err(word),
        None => Ok(door),
    }
}

/// The word for which M-Pesa would refuse an address.
pub(in super::super) fn refused(url: &str) -> Option<&'static str> {
    let lower = url.to_lowercase();
    REFUSED.into_iter().find(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn paybill() -> Place {
        Place {
            shortcode: "600638".to_owned(),
            store_number: None,
            kind: SubType::Paybill,
            match_suffix: false,
            platform: false,
            since: Timestamp::from_secs(0),
        }
    }

    #[test]
    fn only_another_short_code_and_no_amount_are_refused() {
        let asked = |code: &str, amount: &str| {
            let body = format!(r#"{{"BusinessShortCode":{code},"TransAmount":{amount}}}"#);
            verdict(body.as_bytes(), Some(&paybill()))
        };
        assert_eq!(asked("\"600638\"", "\"10.00\""), ACCEPTED);
        assert_eq!(asked("600638", "10"), ACCEPTED);
        assert_eq!(asked("\"600639\"", "\"10\""), WRONG_SHORT_CODE);
        assert_eq!(asked("\"600638\"", "\"-10\""), WRONG_AMOUNT);
    }

    #[test]
    fn a_till_has_two_numbers() {
        let till = Place {
            store_number: Some("700000".to_owned()),
            kind: SubType::Buygoods,
            ..paybill()
        };
        assert!(is_at(&till, "600638") && is_at(&till, "700000") && !is_at(&till, "7"));
    }

    #[test]
    fn no_address_of_ours_has_a_word_that_is_refused() {
        let token = hex::encode([0xe5; 32]);
        let door = door("https://isp.example", &token).ok().unwrap();
        assert_eq!(
            door.validation,
            format!("https://isp.example/api/hooks/c2b/{token}/v")
        );
        assert_eq!(
            super::door("https://mpesa.isp.example", &token).err(),
            Some("mpesa")
        );
    }
}
