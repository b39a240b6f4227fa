//! Money that payers send by themselves (C2B): registration, validation, confirmation.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::books::{Delivered, Direct};
use super::checks::{authorised, is_callback_url, text};
use super::payer::{CALLBACK_PATIENCE, receipt, stamp};
use super::refusal::Refusal;
use super::{C2b, Kind, Mpesa};

/// Words that the provider refuses in an address.
const FORBIDDEN: [&str; 6] = ["mpesa", "safaricom", "exe", "cmd", "sql", "query"];

/// Where a short code wants to be asked and told.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    product: C2b,
    pub(super) confirmation_url: String,
    pub(super) validation_url: String,
    /// A till: payers type no account.
    till: bool,
    unanswered: Unanswered,
    pub(super) validation: Validation,
}

/// Whether the merchant is asked before money moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// He is.
    On,
    /// He is not: so until the provider switches it on by request.
    Off,
}

/// What happens when a validation is not answered (`ResponseType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Unanswered {
    Completed,
    Cancelled,
}

pub(super) fn routes() -> Router<Mpesa> {
    Router::new()
        .route("/mpesa/c2b/{product}/registerurl", post(register))
        .route("/mpesa/c2b/{product}/simulate", post(simulate))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Register {
    short_code: Value,
    response_type: Unanswered,
    #[serde(rename = "ConfirmationURL")]
    confirmation_url: String,
    #[serde(rename = "ValidationURL")]
    validation_url: String,
}

/// `POST /mpesa/c2b/v1|v2/registerurl`: once for each short code.
async fn register(
    State(mpesa): State<Mpesa>,
    Path(product): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Json<Value>, Refusal> {
    let app = authorised(&mpesa, &headers, mpesa.now())?;
    check_product(&product, app.c2b)?;
    let asked: Register = read(body)?;
    let shortcode = text(&asked.short_code);
    if shortcode != app.shortcode {
        return Err(Refusal::field("ShortCode"));
    }
    for (name, url) in [
        ("ConfirmationURL", &asked.confirmation_url),
        ("ValidationURL", &asked.validation_url),
    ] {
        let lower = url.to_lowercase();
        if !is_callback_url(url) || FORBIDDEN.iter().any(|word| lower.contains(word)) {
            return Err(Refusal::field(name));
        }
    }

    let registration = Registration {
        product: app.c2b,
        till: matches!(app.kind, Kind::Till(_)),
        confirmation_url: asked.confirmation_url,
        validation_url: asked.validation_url,
        unanswered: asked.response_type,
        validation: Validation::Off,
    };
    mpesa.change(|state| {
        if state.registered.contains_key(&shortcode) {
            return Err(Refusal::new("500.003.1001", "Urls are already registered"));
        }
        state.registered.insert(shortcode, registration);
        Ok(())
    })?;
    Ok(accepted(&mpesa))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Simulate {
    short_code: Value,
    #[serde(rename = "CommandID")]
    command_id: String,
    amount: Value,
    msisdn: Value,
    bill_ref_number: String,
}

/// `POST /mpesa/c2b/v1|v2/simulate`: the sandbox's payer.
async fn simulate(
    State(mpesa): State<Mpesa>,
    Path(product): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Json<Value>, Refusal> {
    let app = authorised(&mpesa, &headers, mpesa.now())?;
    check_product(&product, app.c2b)?;
    let asked: Simulate = read(body)?;
    if text(&asked.short_code) != app.shortcode {
        return Err(Refusal::field("ShortCode"));
    }
    if asked.command_id != "CustomerPayBillOnline" {
        return Err(Refusal::field("CommandID"));
    }
    let (phone, amount) = (text(&asked.msisdn), text(&asked.amount));
    pay(
        &mpesa,
        &app.shortcode,
        &phone,
        &amount,
        &asked.bill_ref_number,
    )
    .await;
    Ok(accepted(&mpesa))
}

/// Asks the merchant where validation is on, books the money, and confirms it as scripted.
pub(super) async fn pay(
    mpesa: &Mpesa,
    shortcode: &str,
    phone: &str,
    amount: &str,
    reference: &str,
) -> Option<String> {
    let payment = Direct {
        receipt: String::new(),
        shortcode: shortcode.to_owned(),
        phone: phone.to_owned(),
        amount: amount.to_owned(),
        reference: reference.to_owned(),
        at: mpesa.now(),
        confirmations: Vec::new(),
    };
    let registered = mpesa.state().registered.get(shortcode).cloned();
    if let Some(registration) = registered.filter(|known| known.validation == Validation::On)
        && !is_valid(mpesa, &registration, &payment).await
    {
        return None;
    }
    let receipts = std::iter::repeat_with(|| receipt(mpesa));
    let receipt = mpesa.change(|state| state.books.pay(payment.clone(), receipts));
    super::payer::start_confirming(
        mpesa.clone(),
        Direct {
            receipt: receipt.clone(),
            ..payment
        },
    );
    Some(receipt)
}

async fn is_valid(mpesa: &Mpesa, registration: &Registration, payment: &Direct) -> bool {
    let body = body(registration, payment);
    let asking = mpesa
        .shared
        .client
        .post(&registration.validation_url)
        .json(&body);
    let answer = match asking.timeout(CALLBACK_PATIENCE).send().await {
        Ok(answer) => answer.json::<Value>().await.ok(),
        Err(_) => None,
    };
    match answer {
        Some(answer) => text(&answer["ResultCode"]) == "0",
        None => registration.unanswered == Unanswered::Completed,
    }
}

/// Sends the confirmation of a payment once, where the short code has registered.
pub(super) async fn confirm(mpesa: &Mpesa, payment: &Direct) {
    let registered = mpesa.state().registered.get(&payment.shortcode).cloned();
    let Some(registration) = registered else {
        return;
    };
    let body = body(&registration, payment);
    let telling = mpesa
        .shared
        .client
        .post(&registration.confirmation_url)
        .json(&body);
    let status = mpesa.send(telling.timeout(CALLBACK_PATIENCE)).await;

    let at = mpesa.now();
    mpesa.change(|state| {
        state
            .books
            .confirmed(&payment.receipt, Delivered { at, status })
    });
}

/// The body of validations and confirmations.
fn body(registration: &Registration, payment: &Direct) -> Value {
    let reference = match registration.till {
        true => "",
        false => payment.reference.as_str(),
    };
    let payer = match registration.product {
        C2b::V1 => payment.phone.clone(),
        C2b::V2 => hex::encode(Sha256::digest(&payment.phone)),
    };
    json!({
        "TransactionType": "Pay Bill",
        "TransID": payment.receipt,
        "TransTime": stamp(payment.at),
        "TransAmount": payment.amount,
        "BusinessShortCode": payment.shortcode,
        "BillRefNumber": reference,
        "InvoiceNumber": "",
        "OrgAccountBalance": "49197.00",
        "ThirdPartyTransID": "",
        "MSISDN": payer,
        "FirstName": "John",
        "MiddleName": "",
        "LastName": "",
    })
}

fn check_product(path: &str, has: C2b) -> Result<(), Refusal> {
    match (path, has) {
        ("v1", C2b::V1) | ("v2", C2b::V2) => Ok(()),
        _ => Err(Refusal::new(
            "401.003.01",
            "Invalid API call as no apiproduct match found",
        )), // any other path
    }
}

fn accepted(mpesa: &Mpesa) -> Json<Value> {
    Json(json!({
        "OriginatorCoversationID": hex::encode(mpesa.shared.entropy.bytes::<8>()),
        "ResponseCode": "0",
        "ResponseDescription": "Success",
    }))
}

fn read<T: serde::de::DeserializeOwned>(body: Value) -> Result<T, Refusal> {
    serde_json::from_value(body)
        .map_err(|error| Refusal::new("400.002.02", format!("Bad Request - {error}")))
}
