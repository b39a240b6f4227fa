//! The routes the real M-Pesa does not have: the books, and the payer's script by HTTP.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::Mpesa;
use super::books::{Direct, Transaction};
use crate::scenario::{Outage, Payer};

/// Most transactions one page of the books shows.
const PAGE: usize = 1_000;

pub(super) fn routes(mpesa: Mpesa) -> Router {
    Router::new()
        .route("/pretend/transactions", get(transactions))
        .route("/pretend/scenario", get(payer).post(script))
        .route("/pretend/outage", post(outage))
        .route("/pretend/direct", get(direct).post(pay_bill))
        .route("/pretend/type-pin/{checkout}", post(type_pin))
        .route("/pretend/release/{checkout}", post(release))
        .with_state(mpesa)
}

#[derive(Deserialize)]
struct Whose {
    phone: Option<String>,
}

/// `GET /pretend/transactions[?phone=]`: the books, the newest 1000, oldest first.
async fn transactions(
    State(mpesa): State<Mpesa>,
    Query(whose): Query<Whose>,
) -> Json<Vec<Transaction>> {
    let phone = whose.phone.as_deref().map(super::msisdn);
    let state = mpesa.state();
    let wanted = |known: &&Transaction| phone.as_ref().is_none_or(|phone| known.phone == *phone);
    let mut newest: Vec<Transaction> = state
        .books
        .transactions()
        .iter()
        .rev()
        .filter(wanted)
        .take(PAGE)
        .cloned()
        .collect();
    newest.reverse();
    Json(newest)
}

/// `GET /pretend/scenario[?phone=]`: what this payer, or everybody, will do.
async fn payer(State(mpesa): State<Mpesa>, Query(whose): Query<Whose>) -> Json<Payer> {
    let phone = super::msisdn(whose.phone.as_deref().unwrap_or_default());
    Json(mpesa.state().payer(&phone).clone())
}

/// `POST /pretend/scenario[?phone=]`: scripts one payer, or everybody without words of his own.
async fn script(
    State(mpesa): State<Mpesa>,
    Query(whose): Query<Whose>,
    body: String,
) -> Result<Json<Payer>, (StatusCode, String)> {
    let payer: Payer = parse(&body)?;
    match whose.phone {
        Some(phone) => mpesa.script(&phone, payer.clone()),
        None => mpesa.script_everybody(payer.clone()),
    }
    Ok(Json(payer))
}

/// `POST /pretend/outage`: `"none"`, `{"error":"503.001.01"}`, `"silence"`, `{"slow":2000}`.
async fn outage(
    State(mpesa): State<Mpesa>,
    body: String,
) -> Result<Json<Outage>, (StatusCode, String)> {
    let outage: Outage = parse(&body)?;
    mpesa.outage(outage.clone());
    Ok(Json(outage))
}

/// `GET /pretend/direct`: money that came without a prompt, the newest 1000, oldest first.
async fn direct(State(mpesa): State<Mpesa>) -> Json<Vec<Direct>> {
    let state = mpesa.state();
    let all = state.books.direct();
    Json(all[all.len().saturating_sub(PAGE)..].to_vec())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PayBill {
    shortcode: String,
    phone: String,
    amount: String,
    reference: String,
}

/// `POST /pretend/direct` `{shortcode, phone, amount, reference}`: a payer sends money by himself.
async fn pay_bill(
    State(mpesa): State<Mpesa>,
    body: String,
) -> Result<Json<Option<String>>, (StatusCode, String)> {
    let PayBill {
        shortcode,
        phone,
        amount,
        reference,
    } = parse(&body)?;
    Ok(Json(
        mpesa
            .pay_bill(&shortcode, &phone, &amount, &reference)
            .await,
    ))
}

async fn type_pin(State(mpesa): State<Mpesa>, Path(checkout): Path<String>) {
    mpesa.type_pin(&checkout);
}

async fn release(State(mpesa): State<Mpesa>, Path(checkout): Path<String>) {
    mpesa.release(&checkout);
}

/// Reads JSON whatever the content type says: `curl -d` calls it a form.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(body: &str) -> Result<T, (StatusCode, String)> {
    serde_json::from_str(body).map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))
}
