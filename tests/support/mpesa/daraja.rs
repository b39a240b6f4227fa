//! Daraja's HTTP: OAuth, the push and the status query, as strict about every field as the real one.

use std::time::Duration;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Value, json};

use easyisp_shared::time::Timestamp;

use super::books::Transaction;
use super::checks::{authorised, check_password, is_callback_url, is_mobile, scheme, text};
use super::payer::{self, stamp};
use super::refusal::{Refusal, scripted};
use super::{App, Kind, Mpesa, Token, callback};
use crate::scenario::{Callback, Outage, PushAnswer, QueryAnswer};

/// How long a token is good; the answer says a second less, as the real one does.
const TOKEN_LIFE: Duration = Duration::from_secs(3600);
pub(super) fn routes(mpesa: Mpesa) -> Router {
    Router::new()
        .route("/oauth/v1/generate", get(token))
        .route("/mpesa/stkpush/v1/processrequest", post(push))
        .route("/mpesa/stkpushquery/v1/query", post(query))
        .merge(super::c2b::routes())
        .merge(super::errands::routes())
        .merge(super::pull::routes())
        .layer(middleware::from_fn_with_state(mpesa.clone(), outage))
        .with_state(mpesa)
}

async fn outage(State(mpesa): State<Mpesa>, request: Request, next: Next) -> Response {
    let outage = mpesa.state().outage.clone();
    mpesa.change(|state| {
        *state
            .calls
            .entry(request.uri().path().to_owned())
            .or_default() += 1
    });
    match outage {
        Outage::None => {}
        Outage::Error(code) => return Refusal::new(&code, scripted(&code)).into_response(),
        Outage::Silence => return silence(&mpesa).await,
        Outage::Slow(pause) => mpesa.sleep(pause).await,
    }
    next.run(request).await
}

/// `GET /oauth/v1/generate?grant_type=client_credentials` with Basic authentication.
async fn token(
    State(mpesa): State<Mpesa>,
    Query(parameters): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    if !parameters.contains(&("grant_type".into(), "client_credentials".into())) {
        return Err(Refusal::new("400.008.02", "Invalid grant type passed"));
    }
    let credentials = scheme(&headers, "Basic ").and_then(|text| BASE64.decode(text).ok());
    let random: [u8; 21] = mpesa.shared.entropy.bytes();
    let until = mpesa.now().plus(TOKEN_LIFE);

    mpesa.change(|state| {
        let app = state.apps.iter().position(|app| {
            credentials.as_deref() == Some(format!("{}:{}", app.key, app.secret).as_bytes())
        });
        let app = app.ok_or_else(|| Refusal::new("400.008.01", "Invalid Authentication passed"))?;
        let token = BASE64.encode(random);
        state
            .tokens
            .retain(|_, token| until.since(token.until) < TOKEN_LIFE);
        state.tokens.insert(token.clone(), Token { app, until });
        state.tokens_issued += 1;
        Ok(Json(json!({"access_token": token, "expires_in": "3599"})))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Push {
    business_short_code: Value,
    password: String,
    timestamp: Value,
    transaction_type: String,
    amount: Value,
    party_a: Value,
    party_b: Value,
    phone_number: Value,
    #[serde(rename = "CallBackURL")]
    callback_url: String,
    account_reference: String,
    transaction_desc: String,
}

/// `POST /mpesa/stkpush/v1/processrequest`: puts a prompt on a phone.
async fn push(State(mpesa): State<Mpesa>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    match accept(&mpesa, &headers, body).await {
        Ok(answer) => answer,
        Err(refusal) => refusal.into_response(),
    }
}

async fn accept(mpesa: &Mpesa, headers: &HeaderMap, body: Value) -> Result<Response, Refusal> {
    let now = mpesa.now();
    let app = authorised(mpesa, headers, now)?;
    let transaction = check(mpesa, &app, body, now)?;
    let payer = mpesa.state().payer(&transaction.phone).clone();

    match &payer.push {
        PushAnswer::Error(code) => return Err(Refusal::new(code, scripted(code))),
        PushAnswer::Lost => {
            mpesa.change(|state| state.lost.insert(transaction.phone.clone()));
            return Ok(silence(mpesa).await);
        }
        PushAnswer::Accepted | PushAnswer::AcceptedThenSilence => {}
    }
    mpesa.change(|state| {
        if state.books.is_busy(&transaction.phone) {
            return Err(Refusal::new("500.001.1001", callback::describe(1001)));
        }
        let booked = state.books.open(transaction.clone());
        booked
            .then_some(())
            .ok_or_else(|| Refusal::new("503.001.01", "The books are full"))
    })?;

    if payer.callback == Callback::BeforeAnswer {
        payer::play(mpesa, &transaction, &payer).await;
    } else {
        payer::start(mpesa.clone(), transaction.clone(), payer.clone());
    }
    if payer.push == PushAnswer::AcceptedThenSilence {
        return Ok(silence(mpesa).await);
    }
    Ok(Json(json!({
        "MerchantRequestID": transaction.merchant_request_id,
        "CheckoutRequestID": transaction.checkout_request_id,
        "ResponseCode": "0",
        "ResponseDescription": "Success. Request accepted for processing",
        "CustomerMessage": "Success. Request accepted for processing",
    }))
    .into_response())
}

/// Checks every field of a push; the first wrong one is named.
fn check(mpesa: &Mpesa, app: &App, body: Value, now: Timestamp) -> Result<Transaction, Refusal> {
    let push: Push = serde_json::from_value(body)
        .map_err(|error| Refusal::new("400.002.02", format!("Bad Request - {error}")))?;
    let shortcode = text(&push.business_short_code);
    let phone = text(&push.phone_number);

    check_password(app, &shortcode, &push.password, &text(&push.timestamp), now)?;
    let (kind, receiver, longest) = match &app.kind {
        Kind::Paybill => ("CustomerPayBillOnline", &app.shortcode, 12),
        Kind::Bank => ("CustomerPayBillOnline", &app.shortcode, 20),
        Kind::Till(till) => ("CustomerBuyGoodsOnline", till, 12),
    };
    if push.transaction_type != kind {
        return Err(Refusal::field("TransactionType"));
    }
    let asked = text(&push.amount)
        .parse()
        .ok()
        .filter(|asked| (1..=250_000).contains(asked));
    let asked = asked.ok_or_else(|| Refusal::field("Amount"))?;
    if !is_mobile(&phone) {
        return Err(Refusal::field("PhoneNumber"));
    }
    if text(&push.party_a) != phone {
        return Err(Refusal::field("PartyA"));
    }
    if text(&push.party_b) != *receiver {
        return Err(Refusal::field("PartyB"));
    }
    if !is_callback_url(&push.callback_url) {
        return Err(Refusal::field("CallBackURL"));
    }
    if !(1..=longest).contains(&push.account_reference.chars().count()) {
        return Err(Refusal::field("AccountReference"));
    }
    if !(1..=182).contains(&push.transaction_desc.chars().count()) {
        return Err(Refusal::field("TransactionDesc"));
    }

    let tail = mpesa.shared.entropy.below(1_000_000);
    Ok(Transaction {
        checkout_request_id: format!("ws_CO_{}{tail:06}{phone}", stamp(now)),
        merchant_request_id: hex::encode(mpesa.shared.entropy.bytes::<10>()),
        shortcode,
        phone,
        asked,
        account_reference: push.account_reference,
        callback_url: push.callback_url,
        asked_at: now,
        outcome: None,
        callbacks: Vec::new(),
        confirmations: Vec::new(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StatusQuery {
    business_short_code: Value,
    password: String,
    timestamp: Value,
    #[serde(rename = "CheckoutRequestID")]
    checkout_request_id: String,
}

/// `POST /mpesa/stkpushquery/v1/query`: what became of a prompt. No receipt, no amount.
async fn query(
    State(mpesa): State<Mpesa>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Json<Value>, Refusal> {
    let now = mpesa.now();
    let app = authorised(&mpesa, &headers, now)?;
    let asked: StatusQuery = serde_json::from_value(body)
        .map_err(|error| Refusal::new("400.002.02", format!("Bad Request - {error}")))?;
    let shortcode = text(&asked.business_short_code);
    check_password(
        &app,
        &shortcode,
        &asked.password,
        &text(&asked.timestamp),
        now,
    )?;

    let state = mpesa.state();
    let found = state.books.find(&asked.checkout_request_id);
    let found = found.filter(|known| known.shortcode == shortcode);
    let known = found.ok_or_else(|| Refusal::field("CheckoutRequestID"))?;
    let code = match &state.payer(&known.phone).query {
        QueryAnswer::Error(code) => return Err(Refusal::new(code, scripted(code))),
        QueryAnswer::Code(code) => *code,
        QueryAnswer::Honest => match &known.outcome {
            Some(outcome) => outcome.code,
            None => {
                return Err(Refusal::new(
                    "500.001.1001",
                    "The transaction is being processed",
                ));
            }
        },
    };
    Ok(Json(json!({
        "ResponseCode": "0",
        "ResponseDescription": "The service request has been accepted successfully",
        "MerchantRequestID": known.merchant_request_id,
        "CheckoutRequestID": known.checkout_request_id,
        "ResultCode": code.to_string(),
        "ResultDesc": callback::describe(code),
    })))
}

/// Holds the line open without a word until the caller hangs up or M-Pesa stops.
pub(super) async fn silence(mpesa: &Mpesa) -> Response {
    mpesa.shared.stop.cancelled().await;
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}
