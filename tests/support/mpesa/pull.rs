//! What has moved, for merchants who ask (pull transactions): the last two days, page by page.

use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use axum::{Json, Router};
use jiff::civil::DateTime;
use serde::Deserialize;
use serde_json::{Value, json};

use easyisp_shared::time::Timestamp;

use super::Mpesa;
use super::books::{Books, Transaction};
use super::checks::{authorised, is_callback_url, is_mobile, text};
use super::payer::eat;
use super::refusal::Refusal;

/// How far back the provider knows.
const REACH: Duration = Duration::from_secs(48 * 3_600);
/// Rows of one page.
const PAGE: usize = 20;

pub(super) fn routes() -> Router<Mpesa> {
    Router::new()
        .route("/pulltransactions/v1/register", post(register))
        .route("/pulltransactions/v1/query", post(query))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Register {
    short_code: Value,
    request_type: String,
    nominated_number: Value,
    #[serde(rename = "CallBackURL")]
    callback_url: String,
}

/// `POST /pulltransactions/v1/register`: once for each short code.
async fn register(
    State(mpesa): State<Mpesa>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Json<Value>, Refusal> {
    let app = authorised(&mpesa, &headers, mpesa.now())?;
    let asked: Register = read(body)?;
    if text(&asked.short_code) != app.shortcode {
        return Err(Refusal::field("ShortCode"));
    }
    if asked.request_type != "Pull" {
        return Err(Refusal::field("RequestType"));
    }
    if !is_mobile(&text(&asked.nominated_number)) {
        return Err(Refusal::field("NominatedNumber"));
    }
    if !is_callback_url(&asked.callback_url) {
        return Err(Refusal::field("CallBackURL"));
    }
    mpesa.change(|state| state.pulling.insert(app.shortcode));
    Ok(Json(json!({
        "ResponseRefID": hex::encode(mpesa.shared.entropy.bytes::<8>()),
        "ResponseCode": "1000",
        "ResponseDescription": "Success",
    })))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Query {
    short_code: Value,
    start_date: String,
    end_date: String,
    off_set_value: Value,
}

/// `POST /pulltransactions/v1/query`: what moved in a span of time, without the first `OffSetValue` of it.
async fn query(
    State(mpesa): State<Mpesa>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Json<Value>, Refusal> {
    let now = mpesa.now();
    let app = authorised(&mpesa, &headers, now)?;
    let asked: Query = read(body)?;
    if text(&asked.short_code) != app.shortcode {
        return Err(Refusal::field("ShortCode"));
    }
    let start = instant(&asked.start_date).ok_or_else(|| Refusal::field("StartDate"))?;
    let end = instant(&asked.end_date).ok_or_else(|| Refusal::field("EndDate"))?;
    if start.plus(REACH) < now {
        return Err(Refusal::field("StartDate"));
    }
    if end < start {
        return Err(Refusal::field("EndDate"));
    }
    let offset = text(&asked.off_set_value).parse::<usize>();
    let offset = offset.map_err(|_| Refusal::field("OffSetValue"))?;

    let state = mpesa.state();
    if !state.pulling.contains(&app.shortcode) {
        return Err(Refusal::new(
            "400.002.02",
            "The short code is not registered",
        ));
    }
    let moved = moved(&state.books, &app.shortcode);
    // The end names a whole second.
    let within = |row: &&Row| start <= row.at && row.at < end.plus(Duration::from_secs(1));
    let rows = moved.iter().filter(within).skip(offset).take(PAGE);
    let rows: Vec<Value> = rows.map(Row::shown).collect();
    Ok(Json(json!({
        "ResponseRefID": hex::encode(mpesa.shared.entropy.bytes::<8>()),
        "ResponseCode": "1000",
        "ResponseMessage": "Success",
        "Response": [rows],
    })))
}

/// Money that moved to a short code.
struct Row {
    receipt: String,
    at: Timestamp,
    phone: String,
    reference: String,
    amount: String,
}

impl Row {
    fn shown(&self) -> Value {
        json!({
            "transactionId": self.receipt,
            "trxDate": self.at.in_zone(&eat()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
            "msisdn": self.phone.parse::<u64>().unwrap_or_default(),
            "sender": "MPESA",
            "transactiontype": "c2b-pay-bill-debit",
            "billreference": self.reference,
            "amount": self.amount,
            "organizationname": "A merchant",
        })
    }
}

/// Everything that moved to a short code, oldest first.
fn moved(books: &Books, shortcode: &str) -> Vec<Row> {
    let direct = books.direct().iter().map(|payment| {
        let row = Row {
            receipt: payment.receipt.clone(),
            at: payment.at,
            phone: payment.phone.clone(),
            reference: payment.reference.clone(),
            amount: payment.amount.clone(),
        };
        (payment.shortcode.as_str(), row)
    });
    let prompts = books
        .paid()
        .filter_map(|known| Some((known.shortcode.as_str(), paid(known)?)));
    let all = direct.chain(prompts).filter(|(code, _)| *code == shortcode);
    let mut rows: Vec<Row> = all.map(|(_, row)| row).collect();
    rows.sort_by(|a, b| (a.at, &a.receipt).cmp(&(b.at, &b.receipt)));
    rows
}

fn paid(known: &Transaction) -> Option<Row> {
    let outcome = known.outcome.as_ref()?;
    Some(Row {
        receipt: outcome.receipt.clone()?,
        at: outcome.at,
        phone: known.phone.clone(),
        reference: known.account_reference.clone(),
        amount: outcome.amount.as_deref()?.trim_matches('"').to_owned(),
    })
}

/// `YYYY-MM-DD HH:mm:ss`, East Africa Time.
fn instant(stamp: &str) -> Option<Timestamp> {
    let local = DateTime::strptime("%Y-%m-%d %H:%M:%S", stamp).ok()?;
    let zoned = local.to_zoned(eat()).ok()?;
    (stamp.len() == 19).then(|| Timestamp::from_jiff(zoned.timestamp()))
}

fn read<T: serde::de::DeserializeOwned>(body: Value) -> Result<T, Refusal> {
    serde_json::from_value(body)
        .map_err(|error| Refusal::new("400.002.02", format!("Bad Request - {error}")))
}
