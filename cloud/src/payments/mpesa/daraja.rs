//! A client of M-Pesa's Daraja: tokens, the push and the status query, and what tells of money that came by itself.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use easyisp_shared::time::{Clock, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::breaker::Breakers;
use super::super::provider::{Accepted, Answer, Prompt, ProviderError};
use super::super::rules::NO_ANSWER;
use super::super::tokens::{Token, Tokens, fingerprint};
use super::super::{C2bVersion, Env, SubType};
use super::callback::{spaced_stamp, stamp};
use super::confirmation::{Pulled, read_pulled};
use crate::outbound::body_of;

/// How long a call may take. A push without an answer may have reached the phone.
const PATIENCE: Duration = Duration::from_secs(15);
/// The largest answer that is read.
const MOST_BYTES: usize = 1024 * 1024;

/// A merchant at M-Pesa: a short code and its keys.
#[derive(Clone, Debug)]
pub struct Merchant {
    /// Which of M-Pesa's two worlds.
    pub env: Env,
    /// What the short code is.
    pub kind: SubType,
    /// The paybill or the till.
    pub shortcode: String,
    /// A till's store (head office) number.
    pub store_number: Option<String>,
    /// The consumer key.
    pub key: SecretString,
    /// The consumer secret.
    pub secret: SecretString,
    /// The passkey of the short code.
    pub passkey: SecretString,
}

impl Merchant {
    /// What calls name: for a till its store number.
    pub(super) fn business_short_code(&self) -> &str {
        match (self.kind, &self.store_number) {
            (SubType::Buygoods, Some(store)) => store,
            (SubType::Buygoods, None) | (SubType::Paybill | SubType::Bank, _) => &self.shortcode,
        }
    }

    fn password(&self, stamp: &str) -> String {
        let code = self.business_short_code();
        BASE64.encode(format!("{code}{}{stamp}", self.passkey.expose_secret()))
    }
}

/// A client of M-Pesa. Cloning shares its tokens, and what is known of its products.
#[derive(Clone)]
pub struct Daraja {
    http: reqwest::Client,
    base_url: Option<String>,
    clock: Clock,
    tokens: Tokens,
    breakers: Breakers<Product>,
}

/// One of M-Pesa's products, as one application calls it.
type Product = ([u8; 32], String);

/// The product that gives tokens.
const TOKENS: &str = "/oauth";

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: Value,
}

impl Daraja {
    /// A client that calls `base_url`, or Safaricom's own addresses when there is none.
    pub fn new(http: reqwest::Client, base_url: Option<String>, clock: Clock) -> Daraja {
        Daraja {
            http,
            base_url,
            tokens: Tokens::new(clock.clone()),
            breakers: Breakers::default(),
            clock,
        }
    }

    /// Asks for a prompt on a phone. [`ProviderError::Silent`] = it may be there; never ask again by itself.
    pub async fn push(
        &self,
        merchant: &Merchant,
        prompt: &Prompt,
    ) -> Result<Accepted, ProviderError> {
        let stamp = stamp(self.clock.now());
        let (kind, receiver) = match merchant.kind {
            SubType::Paybill | SubType::Bank => ("CustomerPayBillOnline", &merchant.shortcode),
            SubType::Buygoods => ("CustomerBuyGoodsOnline", &merchant.shortcode),
        };
        let body = json!({
            "BusinessShortCode": merchant.business_short_code(),
            "Password": merchant.password(&stamp),
            "Timestamp": stamp,
            "TransactionType": kind,
            "Amount": prompt.amount.minor() / 100,
            "PartyA": prompt.phone.as_str(),
            "PartyB": receiver,
            "PhoneNumber": prompt.phone.as_str(),
            "CallBackURL": prompt.callback_url,
            "AccountReference": prompt.reference,
            "TransactionDesc": "Internet",
        });
        let answer: Value = self
            .order(merchant, "/mpesa/stkpush/v1/processrequest", &body)
            .await?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
        match (text("CheckoutRequestID"), text("MerchantRequestID")) {
            (Some(checkout_request_id), merchant_request_id) if !checkout_request_id.is_empty() => {
                let merchant_request_id = merchant_request_id.unwrap_or_default();
                Ok(Accepted {
                    checkout_request_id,
                    merchant_request_id,
                })
            }
            (_, _) => Err(ProviderError::Silent), // taken, and we do not know as what
        }
    }

    /// Asks what became of a prompt.
    pub async fn query(
        &self,
        merchant: &Merchant,
        checkout: &str,
    ) -> Result<Answer, ProviderError> {
        let stamp = stamp(self.clock.now());
        let body = json!({
            "BusinessShortCode": merchant.business_short_code(),
            "Password": merchant.password(&stamp),
            "Timestamp": stamp,
            "CheckoutRequestID": checkout,
        });
        let answer: Result<Value, ProviderError> = self
            .call(merchant, "/mpesa/stkpushquery/v1/query", &body)
            .await;
        let answer = match answer {
            Err(ProviderError::Credentials(said)) if is_under_way(&said) => {
                return Ok(Answer::Pending);
            }
            other => other?,
        };
        match answer
            .get("ResultCode")
            .map(plain)
            .and_then(|code| code.parse().ok())
        {
            Some(0) => Ok(Answer::Paid { receipt: None }),
            Some(4999) => Ok(Answer::Pending),
            Some(code) if is_final(code) => Ok(Answer::Failed { code }),
            Some(_) | None => Ok(Answer::Pending), // an unknown code is not a failure
        }
    }

    /// Tells where validations and confirmations go. [`ProviderError::Silent`] = it may have been taken.
    pub async fn register_c2b(
        &self,
        merchant: &Merchant,
        version: C2bVersion,
        validation_url: &str,
        confirmation_url: &str,
    ) -> Result<(), ProviderError> {
        let body = json!({
            "ShortCode": merchant.business_short_code(),
            // Money is not refused because we did not answer.
            "ResponseType": "Completed",
            "ConfirmationURL": confirmation_url,
            "ValidationURL": validation_url,
        });
        let path = format!("/mpesa/c2b/{}/registerurl", version.as_str());
        let answer: Value = self.call(merchant, &path, &body).await?;
        taken(&answer)
    }

    /// Tells that we will ask what has moved. M-Pesa takes it once for each short code.
    pub async fn register_pull(
        &self,
        merchant: &Merchant,
        number: &str,
        callback_url: &str,
    ) -> Result<(), ProviderError> {
        let body = json!({
            "ShortCode": merchant.business_short_code(),
            "RequestType": "Pull",
            "NominatedNumber": number,
            "CallBackURL": callback_url,
        });
        let path = "/pulltransactions/v1/register";
        let answer: Value = self.call(merchant, path, &body).await?;
        taken(&answer)
    }

    /// Asks what moved from `from` until `to`, without the first `offset` of them.
    pub async fn pull(
        &self,
        merchant: &Merchant,
        from: Timestamp,
        to: Timestamp,
        offset: usize,
    ) -> Result<Pulled, ProviderError> {
        let body = json!({
            "ShortCode": merchant.business_short_code(),
            "StartDate": spaced_stamp(from),
            "EndDate": spaced_stamp(to),
            "OffSetValue": offset.to_string(),
        });
        let path = "/pulltransactions/v1/query";
        let answer: Box<RawValue> = self.call(merchant, path, &body).await?;
        read_pulled(answer.get()).ok_or(ProviderError::Silent)
    }

    /// Whether M-Pesa accepts the consumer key and secret: fetches a token, not from memory.
    pub async fn test(&self, merchant: &Merchant) -> Result<(), ProviderError> {
        self.fetch_token(merchant).await.map(|_| ())
    }

    /// One call with a token, unless the product is left alone for a while.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        merchant: &Merchant,
        path: &str,
        body: &Value,
    ) -> Result<T, ProviderError> {
        let product = (
            fingerprint([&merchant.key, &merchant.secret]),
            path.to_owned(),
        );
        let call = self.with_token(merchant, path, body);
        self.breakers.guarded(product, &self.clock, call).await
    }

    /// One call that does something: what M-Pesa says is being processed may be done yet.
    pub(super) async fn order<T: DeserializeOwned>(
        &self,
        merchant: &Merchant,
        path: &str,
        body: &Value,
    ) -> Result<T, ProviderError> {
        let answer = self.call(merchant, path, body).await;
        answer.map_err(of_an_order)
    }

    /// With a fresh token when M-Pesa says that the one it knows is invalid.
    async fn with_token<T: DeserializeOwned>(
        &self,
        merchant: &Merchant,
        path: &str,
        body: &Value,
    ) -> Result<T, ProviderError> {
        let url = format!("{}{path}", self.base(merchant.env));
        let keys = fingerprint([&merchant.key, &merchant.secret]);
        let mut rejected = None;
        loop {
            let tokens = (keys, TOKENS.to_owned());
            let fetch = self.fetch_token(merchant);
            let fetch = self.breakers.guarded(tokens, &self.clock, fetch);
            let token = self.tokens.of(keys, rejected.as_ref(), fetch).await?;
            let request = self
                .http
                .post(&url)
                .bearer_auth(token.expose_secret())
                .json(body)
                .timeout(PATIENCE);
            match understand(request).await {
                Err(Failure::InvalidToken) if rejected.is_none() => rejected = Some(token),
                Err(Failure::InvalidToken) => {
                    return Err(ProviderError::Credentials(
                        "the token is not accepted".into(),
                    ));
                }
                Err(Failure::Other(error)) => return Err(error),
                Ok(answer) => return Ok(answer),
            }
        }
    }

    async fn fetch_token(&self, merchant: &Merchant) -> Result<Token, ProviderError> {
        let request = self
            .http
            .get(format!("{}/oauth/v1/generate", self.base(merchant.env)))
            .query(&[("grant_type", "client_credentials")])
            .basic_auth(
                merchant.key.expose_secret(),
                Some(merchant.secret.expose_secret()),
            )
            .timeout(PATIENCE);
        let answer: TokenAnswer = match understand(request).await {
            Ok(answer) => answer,
            // Asking for a token does nothing to anybody: no answer is no harm.
            Err(Failure::Other(ProviderError::Silent)) => return Err(ProviderError::Unreachable),
            Err(Failure::Other(ProviderError::Refused(said))) => {
                return Err(ProviderError::Credentials(said));
            }
            Err(Failure::Other(error)) => return Err(error),
            Err(Failure::InvalidToken) => {
                return Err(ProviderError::Credentials(
                    "the keys are not accepted".into(),
                ));
            }
        };
        let life = plain(&answer.expires_in).parse().unwrap_or(0);
        Ok(Token {
            value: answer.access_token.into(),
            life: Duration::from_secs(life),
        })
    }

    fn base(&self, env: Env) -> &str {
        match (&self.base_url, env) {
            (Some(base), _) => base,
            (None, Env::Production) => "https://api.safaricom.co.ke",
            (None, Env::Sandbox) => "https://sandbox.safaricom.co.ke",
        }
    }
}

impl std::fmt::Debug for Daraja {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Daraja")
    }
}

enum Failure {
    InvalidToken,
    Other(ProviderError),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Refusal {
    error_code: String,
    error_message: String,
}

/// Sends a request and tells a refusal from silence.
async fn understand<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, Failure> {
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) if error.is_connect() => return Err(Failure::Other(ProviderError::Unreachable)),
        Err(_) => return Err(Failure::Other(ProviderError::Silent)),
    };
    let status = answer.status();
    let body = body_of(answer, MOST_BYTES).await;
    let body = body.map_err(|_| Failure::Other(ProviderError::Silent))?;
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|_| Failure::Other(ProviderError::Silent));
    }
    let refusal: Refusal = serde_json::from_slice(&body).unwrap_or_default();
    Err(meaning(
        status.as_u16(),
        &refusal.error_code,
        refusal.error_message,
    ))
}

/// What an error envelope means (`errorCode`, with the HTTP status where there is none).
fn meaning(status: u16, code: &str, said: String) -> Failure {
    Failure::Other(match (status, code) {
        (_, "400.003.01" | "404.001.03") => return Failure::InvalidToken,
        (_, "401.002.01" | "400.008.01" | "400.008.02") => ProviderError::Credentials(said),
        (_, "500.003.1001") => ProviderError::Registered(said),
        (_, "401.003.01") => ProviderError::NoProduct(said),
        (_, "500.003.02" | "500.002.1001" | "503.001.01") | (429, _) => ProviderError::Busy(said),
        (_, "500.001.1001") if said.to_lowercase().contains("lock subscriber") => {
            ProviderError::Busy(said)
        }
        (_, "500.001.1001") => ProviderError::Credentials(said),
        (400..=499, _) => ProviderError::Refused(said),
        // A gateway in between may have given up while M-Pesa went on, and a code that nobody knows says as little.
        (_, _) => ProviderError::Silent,
    })
}

/// What an error means where something was to be done.
fn of_an_order(error: ProviderError) -> ProviderError {
    match error {
        ProviderError::Credentials(said) if is_under_way(&said) => ProviderError::Silent,
        other => other,
    }
}

/// The code for wrong keys says this too.
fn is_under_way(said: &str) -> bool {
    said.contains("being processed")
}

/// The codes that end a prompt without money. Any other might still change.
pub fn is_final(code: i32) -> bool {
    matches!(
        code,
        1 | 17 | 26 | 1001 | 1019 | 1025 | 1032 | 1037 | 2001 | 9999
    )
}

/// What a payer reads of a prompt that came to nothing.
pub fn explain(code: i32) -> &'static str {
    match code {
        1 => "There is not enough money in the M-Pesa account.",
        17 => "M-Pesa's limits do not allow this payment.",
        26 => "M-Pesa is busy; try again.",
        1001 => "Another M-Pesa prompt is open on this phone; try again in three minutes.",
        1019 => "The prompt expired; try again.",
        1025 | 9999 => "The prompt could not be sent; try again.",
        1032 => "The prompt was cancelled.",
        NO_ANSWER => "The phone did not answer; is it on and in reach?",
        2001 => "The PIN was wrong.",
        _ => "M-Pesa did not take the payment.",
    }
}

/// Whether M-Pesa took a registration: a 200 may say in its body that it did not. The products spell it
/// differently.
fn taken(answer: &Value) -> Result<(), ProviderError> {
    let first = |keys: [&str; 3]| {
        let found = keys.into_iter().find_map(|key| answer.get(key));
        found.map(plain).unwrap_or_default()
    };
    let code = first(["ResponseCode", "ResponseStatus", "Response Status"]);
    if code.is_empty() {
        return Err(ProviderError::Silent);
    }
    if code == "1000" || code.bytes().all(|digit| digit == b'0') {
        return Ok(());
    }
    let said = first([
        "ResponseDescription",
        "Response Description",
        "ResponseMessage",
    ]);
    match said.to_lowercase().contains("already") {
        true => Err(ProviderError::Registered(said)),
        false => Err(ProviderError::Refused(format!("{code}: {said}"))),
    }
}

pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, code: &str, said: &str) -> Option<ProviderError> {
        match meaning(status, code, said.to_owned()) {
            Failure::InvalidToken => None,
            Failure::Other(error) => Some(error),
        }
    }

    #[test]
    fn an_error_without_a_known_code_from_the_servers_side_is_silence() {
        assert_eq!(of(502, "", ""), Some(ProviderError::Silent));
        let unknown = of(500, "500.001.9999", "x");
        assert_eq!(
            unknown,
            Some(ProviderError::Silent),
            "it may have been done"
        );
        assert_eq!(
            of(500, "500.003.02", "x"),
            Some(ProviderError::Busy("x".into()))
        );
        assert_eq!(
            of(400, "400.002.02", "x"),
            Some(ProviderError::Refused("x".into()))
        );
        assert_eq!(of(404, "404.001.03", "x"), None);
    }

    #[test]
    fn one_code_has_several_meanings() {
        let locked = "Unable to lock subscriber, a transaction is already in process";
        assert_eq!(
            of(500, "500.001.1001", locked),
            Some(ProviderError::Busy(locked.into()))
        );
        let wrong = "Wrong credentials";
        assert_eq!(
            of(500, "500.001.1001", wrong),
            Some(ProviderError::Credentials(wrong.into()))
        );
        let processed = "The transaction is being processed";
        let error = of(500, "500.001.1001", processed).map(of_an_order);
        assert_eq!(error, Some(ProviderError::Silent), "it may be done yet");
    }
}
