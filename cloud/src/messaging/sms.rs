//! The TextSMS family (TextSMS, Advanta, Celcom): one JSON call a message.

use std::time::Duration;

use serde_json::{Value, json};

use super::rules::Heard;
use crate::outbound;

/// How long a gateway may take. A try without an answer may have reached it.
const PATIENCE: Duration = Duration::from_secs(15);
/// The largest answer that is read.
const MOST_BYTES: usize = 64 * 1024;

/// An SMS gateway of the TextSMS family.
#[derive(Clone)]
pub struct SmsGateway {
    http: reqwest::Client,
    base_url: String,
    api_key: String,
    partner: String,
    sender: String,
    patience: Duration,
}

impl SmsGateway {
    /// A gateway at this address, with the account there.
    pub fn new(
        http: reqwest::Client,
        base_url: impl Into<String>,
        api_key: impl Into<String>,
        partner: impl Into<String>,
        sender: impl Into<String>,
    ) -> SmsGateway {
        SmsGateway {
            http,
            base_url: base_url.into(),
            api_key: api_key.into(),
            partner: partner.into(),
            sender: sender.into(),
            patience: PATIENCE,
        }
    }

    /// The same with another patience.
    #[must_use]
    pub fn patient_for(mut self, patience: Duration) -> SmsGateway {
        self.patience = patience;
        self
    }

    /// Tries to send one message; `reference` is our own name for it.
    pub(super) async fn send(&self, to: &str, body: &str, reference: &str) -> Heard {
        let request = self
            .http
            .post(format!("{}/api/services/sendsms/", self.base_url))
            .timeout(self.patience)
            .json(&json!({
                "apikey": self.api_key,
                "partnerID": self.partner,
                "shortcode": self.sender,
                "mobile": to,
                "message": body,
                "clientsmsid": reference,
                "pass_type": "plain",
            }));
        match request.send().await {
            // No connection: nothing can have arrived.
            Err(error) if error.is_connect() => Heard::Busy("the gateway cannot be reached".into()),
            Err(_) => Heard::Silence("the gateway did not answer".into()),
            Ok(answer) => self.read(answer).await,
        }
    }

    async fn read(&self, answer: reqwest::Response) -> Heard {
        let status = answer.status();
        let bytes = match outbound::body_of(answer, MOST_BYTES).await {
            Ok(bytes) => bytes,
            Err(cut) => return Heard::Silence(format!("the gateway's answer {cut}")),
        };
        match serde_json::from_slice(&bytes) {
            Ok(body) => understand(&body),
            Err(_) if matches!(status.as_u16(), 429 | 503) => {
                Heard::Busy(format!("the gateway answered {status}"))
            }
            Err(_) if status.is_client_error() => {
                Heard::Refused(format!("the gateway answered {status}"))
            }
            // A proxy may have given up while the gateway behind it went on.
            Err(_) => Heard::Silence(format!("the gateway answered {status} without a result")),
        }
    }
}

impl std::fmt::Debug for SmsGateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SmsGateway({}, …)", self.base_url)
    }
}

/// Reads `{"responses":[{"respose-code":200,…}]}`; the misspelling is theirs, some spell it right.
fn understand(body: &Value) -> Heard {
    let response = body.pointer("/responses/0").unwrap_or(body);
    let code = ["respose-code", "response-code"]
        .iter()
        .find_map(|key| response.get(key))
        .map(plain);
    let said = response
        .get("response-description")
        .map(plain)
        .unwrap_or_default();
    match code.as_deref() {
        Some("200") => Heard::Accepted {
            id: response.get("messageid").map(plain),
        },
        Some("1002" | "1005" | "1007") => Heard::Busy(format!("{said} (busy)")),
        Some(code) => Heard::Refused(format!("{said} ({code})")),
        None => Heard::Silence("the gateway's answer names no result".into()),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_and_both_types_are_read() {
        let id = Some("7".to_owned());
        let answers = [
            json!({"responses": [{"respose-code": 200, "messageid": 7}]}),
            json!({"responses": [{"response-code": "200", "messageid": "7"}]}),
        ];
        for answer in answers {
            assert_eq!(understand(&answer), Heard::Accepted { id: id.clone() });
        }
        let answer =
            json!({"responses": [{"respose-code": 1004, "response-description": "Low credits"}]});
        assert_eq!(
            understand(&answer),
            Heard::Refused("Low credits (1004)".into())
        );
        assert!(matches!(understand(&json!({})), Heard::Silence(_)));
    }
}
