//! A pretend Airtel Money: tokens that end after three minutes, prompts under the merchant's own names, an enquiry that
//! tells the receipt, and call-backs that prove nothing. It fails as it is told to.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use easyisp_shared::time::{Clock, Timestamp};
use serde_json::{Value, json};

/// The client id of the only application it knows.
pub const ID: &str = "demo-airtel-client";
/// Its client secret.
pub const SECRET: &str = "demo-airtel-secret";
/// How long a token is good.
const LIFE: Duration = Duration::from_secs(180);

/// A handle on it; clones share it.
#[derive(Clone)]
pub struct Airtel {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    tokens: HashMap<String, Timestamp>,
    prompts: HashMap<String, Prompt>,
    /// What the next prompts meet.
    script: VecDeque<Mood>,
    pushes: usize,
    enquiries: usize,
}

/// A prompt, as Airtel has it.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Nine digits.
    pub msisdn: String,
    /// Whole shillings.
    pub amount: u64,
    /// What the payer sees.
    pub reference: String,
    /// What became of it.
    pub end: End,
}

/// What became of a prompt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The payer has not typed yet.
    Open,
    /// He paid.
    Paid,
    /// He did not: the last digits of the code.
    Failed(u32),
}

/// How it takes one prompt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    /// It takes the prompt, and its answer is lost.
    LosesTheAnswer,
    /// It takes the prompt, and a gateway before it answers 503.
    GivesUp,
    /// 429, nothing taken.
    Down,
    /// 200, and in the body that it does not take it.
    Refuses,
}

impl Airtel {
    pub(crate) fn new(clock: Clock) -> Airtel {
        Airtel {
            shared: Arc::new(Shared {
                clock,
                known: Mutex::default(),
            }),
        }
    }

    pub(crate) fn routes(&self) -> Router {
        Router::new()
            .route("/auth/oauth2/token", post(token))
            .route("/merchant/v1/payments/", post(push))
            .route("/standard/v1/payments/{name}", get(enquire))
            .with_state(self.clone())
    }

    /// Takes the next prompts so, one each; those after them as it should.
    pub fn script(&self, moods: impl IntoIterator<Item = Mood>) {
        self.known().script.extend(moods);
    }

    /// The prompts under this number, nine digits.
    pub fn prompts_of(&self, msisdn: &str) -> Vec<(String, Prompt)> {
        let known = self.known();
        let all = known.prompts.iter();
        let his = all.filter(|(_, prompt)| prompt.msisdn == msisdn);
        his.map(|(name, prompt)| (name.clone(), prompt.clone()))
            .collect()
    }

    /// Ends a prompt.
    pub fn end(&self, name: &str, end: End) {
        if let Some(prompt) = self.known().prompts.get_mut(name) {
            prompt.end = end;
        }
    }

    /// How many prompts were asked for, and how many enquiries made.
    pub fn calls(&self) -> (usize, usize) {
        let known = self.known();
        (known.pushes, known.enquiries)
    }

    /// What it calls back with, whether it is so or not.
    pub fn call_back(name: &str, end: End) -> Value {
        let (status, message) = match end {
            End::Open => ("TIP", "in progress".to_owned()),
            End::Paid => ("TS", format!("Paid, Trans ID {}.", receipt(name))),
            End::Failed(_) => ("TF", "failed".to_owned()),
        };
        json!({"transaction": {"id": name, "message": message, "status_code": status, "airtel_money_id": receipt(name)}})
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        let known = self.shared.known.lock();
        known.expect("no change of what is known panics")
    }

    /// The answer to whoever has no good token.
    fn barred(&self, headers: &HeaderMap) -> Option<Response> {
        let given = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let token = given.and_then(|value| value.strip_prefix("Bearer "));
        let until = token.and_then(|token| self.known().tokens.get(token).copied());
        let here = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match until.is_some_and(|until| self.shared.clock.now() < until) {
            true if here("x-country") == Some("KE") && here("x-currency") == Some("KES") => None,
            true => Some(told(
                StatusCode::BAD_REQUEST,
                "DP00800001004",
                false,
                Value::Null,
            )),
            false => {
                let body = json!({"error": "invalid_token", "error_description": "The access token expired"});
                Some((StatusCode::UNAUTHORIZED, Json(body)).into_response())
            }
        }
    }
}

/// An answer whose body never comes: the line is cut under it.
fn cut() -> Response {
    let broken = std::io::Error::other("cut");
    let body = futures_util::stream::iter([Err::<Vec<u8>, _>(broken)]);
    Response::new(Body::from_stream(body))
}

/// The receipt of a prompt, once it is paid.
pub fn receipt(name: &str) -> String {
    format!("MP260115.{}.L{}", &name[..4], &name[name.len() - 5..]).to_ascii_uppercase()
}

fn told(status: StatusCode, code: &str, success: bool, transaction: Value) -> Response {
    let message = if success { "SUCCESS" } else { "not taken" };
    let body = json!({"data": {"transaction": transaction}, "status": {"code": status.as_str(), "message": message,
        "result_code": "ESB000010", "response_code": code, "success": success}});
    (status, Json(body)).into_response()
}

async fn token(State(airtel): State<Airtel>, Json(body): Json<Value>) -> Response {
    if body["client_id"] != ID
        || body["client_secret"] != SECRET
        || body["grant_type"] != "client_credentials"
    {
        let body = json!({"error": "unauthorized_client", "error_description": "Invalid client authentication"});
        return (StatusCode::UNAUTHORIZED, Json(body)).into_response();
    }
    let mut known = airtel.known();
    let token = format!("token-{}", known.tokens.len());
    known
        .tokens
        .insert(token.clone(), airtel.shared.clock.now().plus(LIFE));
    Json(json!({"access_token": token, "expires_in": LIFE.as_secs().to_string(), "token_type": "bearer"}))
        .into_response()
}

async fn push(
    State(airtel): State<Airtel>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if let Some(answer) = airtel.barred(&headers) {
        return answer;
    }
    let name = body["transaction"]["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let msisdn = body["subscriber"]["msisdn"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let amount = body["transaction"]["amount"].as_u64().unwrap_or(0);
    let mood = {
        let mut known = airtel.known();
        known.pushes += 1;
        let mood = known.script.pop_front();
        let whole = name.len() >= 8 && msisdn.len() == 9 && amount > 0;
        if !whole || known.prompts.contains_key(&name) {
            return told(StatusCode::OK, "DP00800001004", false, Value::Null);
        }
        if !matches!(mood, Some(Mood::Down | Mood::Refuses)) {
            let reference = body["reference"].as_str().unwrap_or_default().to_owned();
            let prompt = Prompt {
                msisdn,
                amount,
                reference,
                end: End::Open,
            };
            known.prompts.insert(name.clone(), prompt);
        }
        mood
    };
    match mood {
        Some(Mood::Down) => StatusCode::TOO_MANY_REQUESTS.into_response(),
        Some(Mood::GivesUp) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(Mood::Refuses) => told(StatusCode::OK, "DP00800001003", false, Value::Null),
        Some(Mood::LosesTheAnswer) => cut(),
        None => told(
            StatusCode::OK,
            "DP00800001006",
            true,
            json!({"id": name, "status": "SUCCESS"}),
        ),
    }
}

async fn enquire(
    State(airtel): State<Airtel>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    if let Some(answer) = airtel.barred(&headers) {
        return answer;
    }
    let mut known = airtel.known();
    known.enquiries += 1;
    let Some(prompt) = known.prompts.get(&name) else {
        return told(StatusCode::OK, "DP00800001025", false, Value::Null);
    };
    let of = |status: &str| json!({"id": name, "status": status, "message": "as it is"});
    match prompt.end {
        End::Open => told(StatusCode::OK, "DP00800001006", true, of("TIP")),
        End::Failed(code) => told(StatusCode::OK, &format!("DP0080000{code}"), false, of("TF")),
        End::Paid => {
            let mut paid = of("TS");
            paid["airtel_money_id"] = receipt(&name).into();
            told(StatusCode::OK, "DP00800001001", true, paid)
        }
    }
}
