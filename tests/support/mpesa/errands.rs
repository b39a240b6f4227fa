//! What a short code's initiator asks for and the provider answers later: what became of a payment, and sending
//! money back. Every field is checked, the password decrypted.

use std::sync::LazyLock;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rsa::pkcs8::DecodePrivateKey;
use rsa::rand_core::OsRng;
use rsa::{Pkcs1v15Encrypt, RsaPrivateKey, RsaPublicKey};
use serde::Deserialize;
use serde_json::{Value, json};

use super::books::{Books, Delivered, Errand, ErrandKind};
use super::checks::{authorised, is_callback_url, is_mobile, text};
use super::daraja::silence;
use super::payer::{CALLBACK_PATIENCE, receipt, stamp, told};
use super::refusal::{Refusal, scripted};
use super::{App, Mpesa};
use crate::scenario::{self, PushAnswer};

/// Words that the provider refuses in an address.
const FORBIDDEN: [&str; 6] = ["mpesa", "safaricom", "exe", "cmd", "sql", "query"];

pub(super) fn routes() -> Router<Mpesa> {
    Router::new()
        .route("/mpesa/transactionstatus/v1/query", post(status))
        .route("/mpesa/reversal/v1/request", post(reversal))
        .route("/mpesa/b2c/v3/paymentrequest", post(payout))
        .route("/mpesa/b2b/v1/paymentrequest", post(settlement))
}

/// What every call has.
#[derive(Deserialize)]
struct Common {
    #[serde(rename = "Initiator", alias = "InitiatorName")]
    initiator: String,
    #[serde(rename = "SecurityCredential")]
    security_credential: String,
    #[serde(rename = "CommandID")]
    command_id: String,
    #[serde(rename = "ResultURL")]
    result_url: String,
    #[serde(rename = "QueueTimeOutURL")]
    time_out_url: String,
    #[serde(rename = "Remarks")]
    remarks: String,
}

impl Common {
    fn check(&self, app: &App, command: &str) -> Result<(), Refusal> {
        if self.command_id != command {
            return Err(Refusal::field("CommandID"));
        }
        for (name, url) in [
            ("ResultURL", &self.result_url),
            ("QueueTimeOutURL", &self.time_out_url),
        ] {
            let lower = url.to_lowercase();
            if !is_callback_url(url) || FORBIDDEN.iter().any(|word| lower.contains(word)) {
                return Err(Refusal::field(name));
            }
        }
        if !(1..=100).contains(&self.remarks.len()) {
            return Err(Refusal::field("Remarks"));
        }
        let sealed = BASE64.decode(&self.security_credential).ok();
        let password = sealed.and_then(|sealed| KEY.decrypt(Pkcs1v15Encrypt, &sealed).ok());
        let right = password.as_deref() == Some(app.initiator_password.as_bytes());
        match right && self.initiator == app.initiator {
            true => Ok(()),
            false => Err(Refusal::new(
                "400.002.02",
                "Bad Request - Invalid SecurityCredential",
            )),
        }
    }
}

/// The provider's key; the public half is in its certificate.
static KEY: LazyLock<RsaPrivateKey> = LazyLock::new(|| {
    RsaPrivateKey::from_pkcs8_pem(include_str!("initiator.key.pem"))
        .expect("a key that openssl made")
});

/// A password as callers send it.
pub(super) fn credential(password: &str) -> String {
    let key = RsaPublicKey::from(&*KEY);
    let sealed = key.encrypt(&mut OsRng, Pkcs1v15Encrypt, password.as_bytes());
    BASE64.encode(sealed.expect("a password is short"))
}

/// `POST /mpesa/transactionstatus/v1/query`
async fn status(
    State(mpesa): State<Mpesa>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let checked =
        begin(&mpesa, &headers, &body, "TransactionStatusQuery").and_then(|(app, common)| {
            if text(&body["PartyA"]) != app.shortcode {
                return Err(Refusal::field("PartyA"));
            }
            if !["2", "4"].contains(&text(&body["IdentifierType"]).as_str()) {
                return Err(Refusal::field("IdentifierType"));
            }
            let named = |key: &str| {
                Some(text(&body[key])).filter(|name| !name.is_empty() && name != "null")
            };
            let (about, name) = (named("TransactionID"), named("OriginatorConversationID"));
            if about.is_none() && name.is_none() {
                return Err(Refusal::field("TransactionID"));
            }
            let mut errand = errand(&mpesa, ErrandKind::Status);
            errand.about = about.or(name);
            Ok((common, errand))
        });
    play(mpesa, checked).await
}

/// `POST /mpesa/reversal/v1/request`
async fn reversal(
    State(mpesa): State<Mpesa>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let checked =
        begin(&mpesa, &headers, &body, "TransactionReversal").and_then(|(app, common)| {
            if text(&body["ReceiverParty"]) != app.shortcode {
                return Err(Refusal::field("ReceiverParty"));
            }
            if text(&body["RecieverIdentifierType"]) != "11" {
                return Err(Refusal::field("RecieverIdentifierType"));
            }
            let mut errand = errand(&mpesa, ErrandKind::Reversal);
            errand.amount = amount(&body)?;
            errand.about = Some(text(&body["TransactionID"]));
            Ok((common, errand))
        });
    play(mpesa, checked).await
}

/// `POST /mpesa/b2c/v3/paymentrequest`
async fn payout(
    State(mpesa): State<Mpesa>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let checked = begin(&mpesa, &headers, &body, "BusinessPayment").and_then(|(app, common)| {
        if text(&body["PartyA"]) != app.shortcode {
            return Err(Refusal::field("PartyA"));
        }
        let phone = text(&body["PartyB"]);
        if !is_mobile(&phone) {
            return Err(Refusal::field("PartyB"));
        }
        let name = text(&body["OriginatorConversationID"]);
        let known = |books: &Books| books.errands().iter().any(|known| known.name == name);
        if name.is_empty() || known(&mpesa.state().books) {
            return Err(Refusal::field("OriginatorConversationID"));
        }
        let mut errand = errand(&mpesa, ErrandKind::Payout);
        errand.amount = amount(&body)?;
        errand.phone = Some(phone);
        errand.name = name;
        Ok((common, errand))
    });
    play(mpesa, checked).await
}

/// `POST /mpesa/b2b/v1/paymentrequest`
async fn settlement(
    State(mpesa): State<Mpesa>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    let (command, receiver) = match text(&body["CommandID"]).as_str() {
        "BusinessBuyGoods" => ("BusinessBuyGoods", "2"),
        _ => ("BusinessPayBill", "4"),
    };
    let checked = begin(&mpesa, &headers, &body, command).and_then(|(app, common)| {
        for (field, right) in [
            ("PartyA", app.shortcode.as_str()),
            ("SenderIdentifierType", "4"),
            ("RecieverIdentifierType", receiver),
        ] {
            if text(&body[field]) != right {
                return Err(Refusal::field(field));
            }
        }
        let (to, account) = (text(&body["PartyB"]), text(&body["AccountReference"]));
        if !(4..=10).contains(&to.len()) || !to.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(Refusal::field("PartyB"));
        }
        if !(1..=20).contains(&account.len()) {
            return Err(Refusal::field("AccountReference"));
        }
        let mut errand = errand(&mpesa, ErrandKind::Settlement);
        errand.amount = amount(&body)?;
        errand.organisation = Some((to, account));
        Ok((common, errand))
    });
    play(mpesa, checked).await
}

fn begin(
    mpesa: &Mpesa,
    headers: &HeaderMap,
    body: &Value,
    command: &str,
) -> Result<(App, Common), Refusal> {
    let app = authorised(mpesa, headers, mpesa.now())?;
    let common: Common = serde_json::from_value(body.clone())
        .map_err(|error| Refusal::new("400.002.02", format!("Bad Request - {error}")))?;
    common.check(&app, command)?;
    Ok((app, common))
}

fn errand(mpesa: &Mpesa, kind: ErrandKind) -> Errand {
    let random =
        |prefix: &str| format!("{prefix}{}", hex::encode(mpesa.shared.entropy.bytes::<8>()));
    Errand {
        kind,
        name: random(""),
        conversation: random("AG_"),
        about: None,
        phone: None,
        organisation: None,
        amount: 0,
        receipt: None,
        at: mpesa.now(),
        result_url: String::new(),
        results: Vec::new(),
    }
}

fn amount(body: &Value) -> Result<i64, Refusal> {
    let amount = text(&body["Amount"]).parse().ok();
    amount
        .filter(|amount| (1..=250_000).contains(amount))
        .ok_or_else(|| Refusal::field("Amount"))
}

/// Does it as scripted and answers.
async fn play(mpesa: Mpesa, checked: Result<(Common, Errand), Refusal>) -> Response {
    let (common, mut errand) = match checked {
        Ok(checked) => checked,
        Err(refusal) => return refusal.into_response(),
    };
    errand.result_url.clone_from(&common.result_url);
    let script = mpesa.state().errand.clone();
    match &script.answer {
        PushAnswer::Error(code) => return Refusal::new(code, scripted(code)).into_response(),
        PushAnswer::Lost => return silence(&mpesa).await,
        PushAnswer::Accepted | PushAnswer::AcceptedThenSilence => {}
    }
    let (errand, result) = run(&mpesa, errand, &script);
    let answer = json!({
        "OriginatorConversationID": errand.name,
        "ConversationID": errand.conversation,
        "ResponseCode": "0",
        "ResponseDescription": "Accept the service request successfully.",
    });
    let silent = script.answer == PushAnswer::AcceptedThenSilence;
    start_telling(mpesa.clone(), common, errand, script, result);
    match silent {
        true => silence(&mpesa).await,
        false => Json(answer).into_response(),
    }
}

/// Books it; the body of its result.
fn run(mpesa: &Mpesa, mut errand: Errand, script: &scenario::Errand) -> (Errand, Value) {
    let receipts = std::iter::repeat_with(|| receipt(mpesa));
    mpesa.change(|state| {
        let outcome = match (&script.code, script.late) {
            (Some((code, said)), _) => Err((code.clone(), said.clone())),
            (None, true) => Err(("1".to_owned(), "Not come to in time".to_owned())),
            (None, false) => done(&state.books, &errand),
        };
        if outcome.is_ok() && errand.kind != ErrandKind::Status {
            errand.receipt = Some(String::new()); // the books give it one
        }
        let errand = state.books.run(errand, receipts);
        let result = body(&errand, outcome);
        (errand, result)
    })
}

type Parameters = Vec<(&'static str, Value)>;

/// What the result says when it works, or its code and words.
fn done(books: &Books, errand: &Errand) -> Result<Parameters, (String, String)> {
    let refused = |code: &str, said: &str| Err((code.to_owned(), said.to_owned()));
    let about = errand.about.as_deref().unwrap_or_default();
    match errand.kind {
        ErrandKind::Payout => Ok(vec![("TransactionAmount", errand.amount.into())]),
        ErrandKind::Settlement => Ok(vec![("Amount", format!("{}.00", errand.amount).into())]),
        ErrandKind::Reversal => {
            let sent_back = |known: &Errand| {
                known.kind == ErrandKind::Reversal
                    && known.receipt.is_some()
                    && known.about == errand.about
            };
            match paid(books, about) {
                None => refused("R000002", "The OriginalTransactionID is invalid."),
                Some(_) if books.errands().iter().any(sent_back) => {
                    refused("R000001", "The transaction has already been reversed.")
                }
                Some(paid) if paid.amount != format!("{}", errand.amount) => {
                    refused("R000002", "The amount is not the transaction's.")
                }
                Some(_) => Ok(vec![("OriginalTransactionID", about.into())]),
            }
        }
        ErrandKind::Status => {
            let ran = books.errands().iter();
            let mut ran =
                ran.filter(|known| known.kind != ErrandKind::Status && known.name == about);
            match (paid(books, about), ran.next()) {
                (Some(paid), _) => Ok(standing(&paid, "Completed")),
                (None, Some(errand)) => Ok(standing(
                    &Paid {
                        receipt: errand.receipt.clone().unwrap_or_default(),
                        amount: errand.amount.to_string(),
                        debit: "174379 - A merchant".to_owned(),
                        credit: match (&errand.phone, &errand.organisation) {
                            (_, Some((number, _))) => format!("{number} - Another merchant"),
                            (phone, None) => {
                                format!("{} - John Doe", phone.as_deref().unwrap_or_default())
                            }
                        },
                        stamp: stamp(errand.at),
                    },
                    match errand.receipt {
                        Some(_) => "Completed",
                        None => "Failed",
                    },
                )),
                (None, None) => refused("2032", "The transaction does not exist."),
            }
        }
    }
}

/// A payment on the books.
struct Paid {
    receipt: String,
    amount: String,
    debit: String,
    credit: String,
    stamp: String,
}

fn paid(books: &Books, receipt: &str) -> Option<Paid> {
    let whole = |amount: &str| {
        amount
            .trim_matches('"')
            .trim_end_matches(".00")
            .trim_end_matches(".0")
            .to_owned()
    };
    if let Some(direct) = books.direct().iter().find(|paid| paid.receipt == receipt) {
        return Some(Paid {
            receipt: direct.receipt.clone(),
            amount: whole(&direct.amount),
            debit: format!("{} - John Doe", direct.phone),
            credit: format!("{} - A merchant", direct.shortcode),
            stamp: stamp(direct.at),
        });
    }
    let prompt = books
        .paid()
        .find(|known| known.receipt() == Some(receipt))?;
    let outcome = prompt.outcome.as_ref()?;
    Some(Paid {
        receipt: receipt.to_owned(),
        amount: whole(outcome.amount.as_deref()?),
        debit: format!("{} - John Doe", prompt.phone),
        credit: format!("{} - A merchant", prompt.shortcode),
        stamp: stamp(outcome.at),
    })
}

fn standing(paid: &Paid, status: &str) -> Parameters {
    vec![
        ("DebitPartyName", paid.debit.clone().into()),
        ("CreditPartyName", paid.credit.clone().into()),
        ("InitiatedTime", paid.stamp.clone().into()),
        ("DebitPartyCharges", Value::Null),
        ("ReasonType", "Pay Bill Online".into()),
        ("TransactionStatus", status.into()),
        (
            "FinalisedTime",
            paid.stamp.parse::<u64>().unwrap_or_default().into(),
        ),
        ("Amount", format!("{}.0", paid.amount).into()),
        ("ReceiptNo", paid.receipt.clone().into()),
    ]
}

fn body(errand: &Errand, outcome: Result<Parameters, (String, String)>) -> Value {
    let (code, said, parameters) = match outcome {
        Ok(parameters) => (
            json!(0),
            "The service request is processed successfully.".to_owned(),
            parameters,
        ),
        Err((code, said)) => {
            let code = code
                .parse::<i64>()
                .map_or(json!(code), |number| json!(number));
            (code, said, Vec::new())
        }
    };
    let parameters = parameters.into_iter().map(|(key, value)| match value {
        Value::Null => json!({"Key": key}),
        value => json!({"Key": key, "Value": value}),
    });
    let parameters: Vec<Value> = parameters.collect();
    json!({"Result": {
        "ResultType": 0,
        "ResultCode": code,
        "ResultDesc": said,
        "OriginatorConversationID": errand.name,
        "ConversationID": errand.conversation,
        "TransactionID": errand.receipt.clone().unwrap_or_else(|| "SJK0000000".to_owned()),
        "ResultParameters": {"ResultParameter": parameters},
        "ReferenceData": {"ReferenceItem": {"Key": "Occasion"}},
    }})
}

/// Tells the result as scripted, in a task of its own, until M-Pesa stops.
fn start_telling(
    mpesa: Mpesa,
    common: Common,
    errand: Errand,
    script: scenario::Errand,
    result: Value,
) {
    let tasks = mpesa.shared.tasks.clone();
    tasks.spawn(async move {
        let stop = mpesa.shared.stop.clone();
        let url = match script.late {
            true => common.time_out_url,
            false => common.result_url,
        };
        let organisation = errand.organisation.as_ref();
        let organisation = organisation.map(|(number, _)| number.as_str());
        let name = errand.about.as_deref().or(errand.phone.as_deref());
        let name = name.or(organisation);
        let name = name.unwrap_or_default().to_owned();
        let telling = told(&mpesa, &name, &script.result, || async {
            let sending = mpesa.shared.client.post(&url).json(&result);
            let answer = sending.timeout(CALLBACK_PATIENCE).send().await.ok();
            let status = answer.map(|answer| answer.status().as_u16());
            let at = mpesa.now();
            mpesa.change(|state| {
                state
                    .books
                    .told(&errand.conversation, Delivered { at, status })
            });
        });
        stop.run_until_cancelled(telling).await
    });
}
