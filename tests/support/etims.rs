//! A pretend eTIMS: it takes each invoice number once, in order, checks what a sale must have, signs it, and fails as it
//! is told to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// The PIN of the only taxpayer it knows.
pub const PIN: &str = "P051234567X";
/// The key of his control unit.
pub const KEY: &str = "demo-etims-key";

/// A handle on it; clones share it.
#[derive(Clone)]
pub struct Etims {
    shared: Arc<Shared>,
}

struct Shared {
    known: Mutex<Known>,
    stop: CancellationToken,
}

#[derive(Default)]
struct Known {
    /// What is there, by number, in whatever order it came.
    sales: BTreeMap<i64, Value>,
    /// How often it was called.
    calls: usize,
    script: VecDeque<Mood>,
}

/// How it takes one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mood {
    /// 503, nothing taken.
    Down,
    /// It takes the sale, and its answer is lost.
    LosesTheAnswer,
    /// A field is refused, by name.
    Refuses(&'static str),
    /// An answer that means nothing.
    Babbles,
}

impl Etims {
    pub(crate) fn new(stop: CancellationToken) -> Etims {
        Etims {
            shared: Arc::new(Shared {
                known: Mutex::default(),
                stop,
            }),
        }
    }

    pub(crate) fn routes(&self) -> Router {
        Router::new()
            .route("/saveTrnsSalesOsdc", post(save))
            .with_state(self.clone())
    }

    /// Takes the next calls so, one each; the ones after them as it should.
    pub fn script(&self, moods: impl IntoIterator<Item = Mood>) {
        self.known().script.extend(moods);
    }

    /// What is there, by number.
    pub fn sales(&self) -> Vec<Value> {
        self.known().sales.values().cloned().collect()
    }

    /// How often it was called.
    pub fn calls(&self) -> usize {
        self.known().calls
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.shared
            .known
            .lock()
            .expect("no change of what is known panics")
    }

    fn take(&self, headers: &HeaderMap, sale: Value) -> Value {
        let said = |code: &str, text: &str| json!({"resultCd": code, "resultMsg": text, "resultDt": "20270115110000", "data": null});
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if header("tin") != Some(PIN) || header("cmcKey") != Some(KEY) || header("bhfId").is_none()
        {
            return said("900", "There is no Header Information");
        }
        if let Some(wrong) = wrong(&sale) {
            return said("910", &format!("Request parameter error [{wrong}]"));
        }
        let number = sale["invcNo"].as_i64().unwrap_or(0);
        let mut known = self.known();
        if known.sales.contains_key(&number) {
            return said("994", "There is an overlapped Data");
        }
        let original = sale["orgInvcNo"].as_i64().unwrap_or(0);
        if sale["rcptTyCd"] == "R" && !known.sales.contains_key(&original) {
            return said("910", "Request parameter error [orgInvcNo]");
        }
        known.sales.insert(number, sale);
        let count = known.sales.len();
        json!({"resultCd": "000", "resultMsg": "It is succeeded", "resultDt": "20270115110000", "data": {
            "curRcptNo ": count.to_string(), "totRcptNo ": count.to_string(),
            "intrlData": format!("INTERNAL{number:08}"), "rcptSign": format!("SIGN{number:012}"),
            "sdcDateTime": "20270115110000"}})
    }
}

/// The first field that is missing or does not fit the others.
fn wrong(sale: &Value) -> Option<String> {
    let number = |name: &str| sale[name].as_f64();
    if !sale["invcNo"].is_i64() || sale["tin"] != PIN || sale["cmcKey"] != KEY {
        return Some("invcNo, tin, cmcKey".to_owned());
    }
    let (mut taxable, mut tax) = (0.0, 0.0);
    for one in ['A', 'B', 'C', 'D', 'E'] {
        for name in ["taxblAmt", "taxRt", "taxAmt"] {
            let name = format!("{name}{one}");
            let Some(value) = number(&name) else {
                return Some(name);
            };
            match name.as_str() {
                name if name.starts_with("taxblAmt") => taxable += value,
                name if name.starts_with("taxAmt") => tax += value,
                _ => {}
            }
        }
    }
    let same =
        |name: &str, value: f64| number(name).is_some_and(|said| (said - value).abs() < 0.005);
    let lines = sale["itemList"].as_array()?;
    let sum = |name: &str| {
        lines
            .iter()
            .filter_map(|line| line[name].as_f64())
            .sum::<f64>()
    };
    [
        (same("totTaxblAmt", taxable), "totTaxblAmt"),
        (same("totTaxAmt", tax), "totTaxAmt"),
        (same("totAmt", sum("totAmt")), "totAmt"),
        (same("totTaxAmt", sum("taxAmt")), "itemList.taxAmt"),
        (sale["totItemCnt"] == lines.len(), "totItemCnt"),
        (
            sale["cfmDt"].as_str().is_some_and(|at| at.len() == 14),
            "cfmDt",
        ),
        (
            lines.iter().all(|line| line["pkgUnitCd"] == "NT"),
            "itemList.pkgUnitCd",
        ),
    ]
    .into_iter()
    .find_map(|(holds, name)| (!holds).then(|| name.to_owned()))
}

/// `POST /saveTrnsSalesOsdc`.
async fn save(State(etims): State<Etims>, headers: HeaderMap, Json(sale): Json<Value>) -> Response {
    let mood = {
        let mut known = etims.known();
        known.calls += 1;
        known.script.pop_front()
    };
    match mood {
        None => Json(etims.take(&headers, sale)).into_response(),
        Some(Mood::Down) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(Mood::Babbles) => {
            Json(json!({"resultCd": "899", "resultMsg": "An error regarding Client occurred."}))
                .into_response()
        }
        Some(Mood::Refuses(field)) => Json(json!({"resultCd": "913",
            "resultMsg": format!("Code value error among request parameters [{field}]")}))
        .into_response(),
        Some(Mood::LosesTheAnswer) => {
            etims.take(&headers, sale);
            // Until the caller gives up, or the world ends.
            etims.shared.stop.cancelled().await;
            StatusCode::GATEWAY_TIMEOUT.into_response()
        }
    }
}
