//! The gateways' HTTP, spelt as theirs (`respose-code` too), and the list of what they took.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Draft, Heard, Message, Provider, Sms};
use crate::mpesa::pretend::parse;
use crate::scenario::{Delivery, Texting};

/// Most messages in one `sendbulk`.
const BULK: usize = 20;
/// Most messages one page of the list shows.
const PAGE: usize = 1_000;

pub(super) fn routes(sms: Sms) -> Router {
    Router::new()
        .route("/api/services/sendsms/", post(text_sms))
        .route("/api/services/sendbulk/", post(text_sms_bulk))
        .route("/api/services/getbalance/", post(text_sms_balance))
        .route("/api/services/getdlr/", post(text_sms_report))
        .route("/version1/messaging", post(africas_talking))
        .route("/version1/user", get(africas_talking_user))
        .route("/pretend/messages", get(messages))
        .route("/pretend/texting", post(script))
        .with_state(sms)
}

#[derive(Deserialize)]
struct TextSms {
    apikey: String,
    #[serde(rename = "partnerID")]
    partner_id: Value,
    message: String,
    shortcode: String,
    mobile: String,
    clientsmsid: Option<Value>,
}

#[derive(Deserialize)]
struct Bulk {
    smslist: Vec<TextSms>,
}

#[derive(Deserialize)]
struct Account {
    apikey: String,
    #[serde(rename = "messageID")]
    message_id: Option<Value>,
}

/// `POST /api/services/sendsms/`.
async fn text_sms(State(sms): State<Sms>, Json(message): Json<TextSms>) -> Response {
    take_text_sms(&sms, vec![message]).await
}

/// `POST /api/services/sendbulk/`: at most 20 messages.
async fn text_sms_bulk(State(sms): State<Sms>, Json(bulk): Json<Bulk>) -> Response {
    if bulk.smslist.len() > BULK {
        return (StatusCode::BAD_REQUEST, "at most 20 messages").into_response();
    }
    take_text_sms(&sms, bulk.smslist).await
}

async fn take_text_sms(sms: &Sms, messages: Vec<TextSms>) -> Response {
    let mut responses = Vec::new();
    for message in messages {
        let to = message.mobile.clone();
        let known = sms.knows(&message.apikey) && !message.partner_id.is_null();
        let heard = if known {
            let reference = message.clientsmsid.map(|reference| plain(&reference));
            let draft = Draft {
                to: message.mobile,
                sender: message.shortcode,
                text: message.message,
                reference,
            };
            sms.take(Provider::TextSms, draft)
        } else {
            Heard::Refused(1006)
        };
        responses.push(match heard {
            Heard::Accepted(id) => json!({"respose-code": 200, "response-description": "Success",
                "mobile": to, "messageid": id, "networkid": "1"}),
            Heard::Refused(code) => json!({"respose-code": code,
                "response-description": "Failed", "mobile": to}),
            Heard::Silence => return silence(sms).await,
            Heard::Http(status) => return broken(status),
        });
    }
    Json(json!({"responses": responses})).into_response()
}

/// `POST /api/services/getbalance/`.
async fn text_sms_balance(State(sms): State<Sms>, Json(account): Json<Account>) -> Json<Value> {
    Json(if sms.knows(&account.apikey) {
        json!({"response-code": 200, "credit": "1000.00"})
    } else {
        json!({"response-code": 1006, "response-description": "Invalid credentials"})
    })
}

/// `POST /api/services/getdlr/`.
async fn text_sms_report(State(sms): State<Sms>, Json(account): Json<Account>) -> Json<Value> {
    let id = account
        .message_id
        .map(|id| plain(&id))
        .and_then(|id| id.parse::<u64>().ok());
    let messages = sms.messages();
    let message = messages.iter().find(|known| Some(known.id) == id);
    Json(match message {
        _ if !sms.knows(&account.apikey) => {
            json!({"response-code": 1006, "response-description": "Invalid credentials"})
        }
        Some(message) if message.delivery != Delivery::Pending => {
            let reached = message.delivery == Delivery::Delivered;
            json!({"response-code": 200, "message-id": message.id, "response-description": "Success",
                "delivery-status": if reached { 32 } else { 2 },
                "delivery-description": if reached { "DeliveredToTerminal" } else { "DeliveryImpossible" }})
        }
        Some(_) | None => {
            json!({"response-code": 1008, "response-description": "No delivery report"})
        }
    })
}

#[derive(Deserialize)]
struct AfricasTalking {
    username: String,
    to: String,
    message: String,
    from: Option<String>,
}

/// `POST /version1/messaging`: one text to a comma list of numbers.
async fn africas_talking(
    State(sms): State<Sms>,
    headers: HeaderMap,
    Form(form): Form<AfricasTalking>,
) -> Response {
    if !has_key(&sms, &headers) || form.username.is_empty() {
        let refusal = "The supplied authentication is invalid";
        return (StatusCode::UNAUTHORIZED, refusal).into_response();
    }
    let mut recipients = Vec::new();
    for number in form.to.split(',').map(str::trim) {
        let draft = Draft {
            to: number.to_owned(),
            sender: form
                .from
                .clone()
                .unwrap_or_else(|| "AFRICASTKNG".to_owned()),
            text: form.message.clone(),
            reference: None,
        };
        recipients.push(match sms.take(Provider::AfricasTalking, draft) {
            Heard::Accepted(id) => json!({"statusCode": 101, "number": number, "status": "Success",
                "cost": "KES 0.8000", "messageId": format!("ATXid_{id}")}),
            Heard::Refused(code) => {
                json!({"statusCode": code, "number": number, "status": "Failed",
                "cost": "0", "messageId": "None"})
            }
            Heard::Silence => return silence(&sms).await,
            Heard::Http(status) => return broken(status),
        });
    }
    let summary = format!("Sent to {}/{0} Total Cost: KES 0.8000", recipients.len());
    let body = json!({"SMSMessageData": {"Message": summary, "Recipients": recipients}});
    (StatusCode::CREATED, Json(body)).into_response()
}

#[derive(Deserialize)]
struct User {
    username: String,
}

/// `GET /version1/user?username=`: the balance.
async fn africas_talking_user(
    State(sms): State<Sms>,
    headers: HeaderMap,
    Query(user): Query<User>,
) -> Result<Json<Value>, StatusCode> {
    let known = has_key(&sms, &headers) && !user.username.is_empty();
    known
        .then(|| Json(json!({"UserData": {"balance": "KES 1785.50"}})))
        .ok_or(StatusCode::UNAUTHORIZED)
}

/// `GET /pretend/messages`: the newest 1000, oldest first.
async fn messages(State(sms): State<Sms>) -> Json<Vec<Message>> {
    let mut messages = sms.messages();
    let surplus = messages.len().saturating_sub(PAGE);
    messages.drain(..surplus);
    Json(messages)
}

#[derive(Deserialize)]
struct Whose {
    phone: Option<String>,
}

/// `POST /pretend/texting[?phone=]`: scripts messages to one phone, or to everybody.
async fn script(
    State(sms): State<Sms>,
    Query(whose): Query<Whose>,
    body: String,
) -> Result<Json<Texting>, (StatusCode, String)> {
    let texting: Texting = parse(&body)?;
    match whose.phone {
        Some(phone) => sms.script(&phone, texting.clone()),
        None => sms.script_everybody(texting.clone()),
    }
    Ok(Json(texting))
}

fn has_key(sms: &Sms, headers: &HeaderMap) -> bool {
    let key = headers.get("apiKey").and_then(|key| key.to_str().ok());
    key.is_some_and(|key| sms.knows(key))
}

/// Holds the line open without a word until the caller hangs up or the gateway stops.
async fn silence(sms: &Sms) -> Response {
    sms.shared.stop.cancelled().await;
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

fn broken(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    (status, "<html><body>Bad gateway</body></html>").into_response()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
