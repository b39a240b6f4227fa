//! A client of Airtel Africa's Open API: tokens, the prompt and the enquiry.

use std::time::Duration;

use easyisp_shared::time::Clock;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::breaker::Breakers;
use super::super::provider::{Accepted, Answer, Prompt, ProviderError};
use super::super::tokens::{Token, Tokens, fingerprint};
use super::super::words::Env;
use super::Merchant;
use super::answers::{outcome, refused, taken};
use crate::outbound::body_of;

/// How long a call may take. A prompt without an answer may have reached the phone.
const PATIENCE: Duration = Duration::from_secs(15);
/// The largest answer that is read.
const MOST_BYTES: usize = 256 * 1024;
/// Where the payers are.
const COUNTRY: &str = "KE";
/// What they pay in.
const CURRENCY: &str = "KES";

/// A client of Airtel Money. Cloning shares its tokens, and what is known of its products.
#[derive(Clone)]
pub struct Airtel {
    http: reqwest::Client,
    base_url: Option<String>,
    clock: Clock,
    tokens: Tokens,
    breakers: Breakers<Product>,
}

/// One of Airtel's products, as one application calls it.
type Product = ([u8; 32], &'static str);

/// The product that gives tokens.
const TOKENS: &str = "tokens";
/// The one that asks payers.
const PROMPTS: &str = "prompts";
/// The one that tells what became of a prompt.
const ENQUIRIES: &str = "enquiries";

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    expires_in: Value,
}

impl Airtel {
    /// A client that calls `base_url`, or Airtel's own addresses when there is none.
    pub fn new(http: reqwest::Client, base_url: Option<String>, clock: Clock) -> Airtel {
        Airtel {
            http,
            base_url,
            tokens: Tokens::new(clock.clone()),
            breakers: Breakers::default(),
            clock,
        }
    }

    /// Asks for a prompt on a phone.
    pub async fn push(
        &self,
        merchant: &Merchant,
        prompt: &Prompt,
    ) -> Result<Accepted, ProviderError> {
        let name = super::name_of_prompt(prompt.id);
        let body = json!({
            "reference": prompt.reference,
            "subscriber": {"country": COUNTRY, "currency": CURRENCY, "msisdn": prompt.phone.local()},
            "transaction": {"amount": prompt.amount.minor() / 100, "country": COUNTRY, "currency": CURRENCY,
                "id": name},
        });
        let url = format!("{}/merchant/v1/payments/", self.base(merchant.env));
        let answer = self
            .call(merchant, PROMPTS, || self.http.post(&url).json(&body))
            .await?;
        taken(&answer)?;
        Ok(Accepted {
            checkout_request_id: name,
            merchant_request_id: String::new(),
        })
    }

    /// Asks what became of a prompt.
    pub async fn query(&self, merchant: &Merchant, name: &str) -> Result<Answer, ProviderError> {
        let url = format!("{}/standard/v1/payments/{name}", self.base(merchant.env));
        let answer = self
            .call(merchant, ENQUIRIES, || self.http.get(&url))
            .await?;
        Ok(outcome(&answer))
    }

    /// Whether Airtel accepts the keys: fetches a token, not from memory.
    pub async fn test(&self, merchant: &Merchant) -> Result<(), ProviderError> {
        self.fetch_token(merchant).await.map(|_| ())
    }

    /// One call with a token, unless the product is left alone for a while.
    async fn call(
        &self,
        merchant: &Merchant,
        product: &'static str,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<Vec<u8>, ProviderError> {
        let keys = fingerprint([&merchant.id, &merchant.secret]);
        let call = self.with_token(merchant, keys, request);
        self.breakers
            .guarded((keys, product), &self.clock, call)
            .await
    }

    /// With a fresh token when Airtel says that the one it knows is not good.
    async fn with_token(
        &self,
        merchant: &Merchant,
        keys: [u8; 32],
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<Vec<u8>, ProviderError> {
        let mut rejected: Option<SecretString> = None;
        loop {
            let fetch = self.fetch_token(merchant);
            let fetch = self.breakers.guarded((keys, TOKENS), &self.clock, fetch);
            let token = self.tokens.of(keys, rejected.as_ref(), fetch).await?;
            let request = request()
                .bearer_auth(token.expose_secret())
                .header("X-Country", COUNTRY)
                .header("X-Currency", CURRENCY);
            match send(request).await? {
                (401, _) if rejected.is_none() => rejected = Some(token),
                (status, body) if status >= 300 => return Err(refused(status, &body)),
                (_, body) => return Ok(body),
            }
        }
    }

    async fn fetch_token(&self, merchant: &Merchant) -> Result<Token, ProviderError> {
        let body = json!({
            "client_id": merchant.id.expose_secret(),
            "client_secret": merchant.secret.expose_secret(),
            "grant_type": "client_credentials",
        });
        let url = format!("{}/auth/oauth2/token", self.base(merchant.env));
        let (status, body) = match send(self.http.post(url).json(&body)).await {
            Ok(answer) => answer,
            // Asking for a token does nothing to anybody: no answer is no harm.
            Err(ProviderError::Silent) => return Err(ProviderError::Unreachable),
            Err(error) => return Err(error),
        };
        if status >= 300 {
            return Err(match refused(status, &body) {
                ProviderError::Refused(said) => ProviderError::Credentials(said),
                ProviderError::Silent => ProviderError::Unreachable,
                error => error,
            });
        }
        let answer: TokenAnswer =
            serde_json::from_slice(&body).map_err(|_| ProviderError::Unreachable)?;
        let life = match &answer.expires_in {
            Value::String(seconds) => seconds.parse().unwrap_or(0),
            seconds => seconds.as_u64().unwrap_or(0),
        };
        Ok(Token {
            value: answer.access_token.into(),
            life: Duration::from_secs(life),
        })
    }

    fn base(&self, env: Env) -> &str {
        match (&self.base_url, env) {
            (Some(base), _) => base,
            (None, Env::Production) => "https://openapi.airtel.africa",
            (None, Env::Sandbox) => "https://openapiuat.airtel.africa",
        }
    }
}

async fn send(request: reqwest::RequestBuilder) -> Result<(u16, Vec<u8>), ProviderError> {
    let answer = match request.timeout(PATIENCE).send().await {
        Ok(answer) => answer,
        Err(error) if error.is_connect() => return Err(ProviderError::Unreachable),
        Err(_) => return Err(ProviderError::Silent),
    };
    let status = answer.status().as_u16();
    let body = body_of(answer, MOST_BYTES).await;
    Ok((status, body.map_err(|_| ProviderError::Silent)?))
}

impl std::fmt::Debug for Airtel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Airtel")
    }
}
