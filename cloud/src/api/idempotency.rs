//! Repeated requests: one `Idempotency-Key`, one effect, one answer.

mod store;

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use easyisp_shared::id::OperatorId;
use easyisp_shared::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;
use uuid::Uuid;

use super::json::{Json, read_body};
use crate::db::Tx;
use crate::error::ApiError;
use crate::secrets::{SecretError, Secrets};

/// The largest body that is read to recognise a repeat; no route takes more.
const MAX_BODY: usize = 10 * 1024 * 1024;

/// What the request says about being a repeat. Nothing happens where the header is absent.
///
/// ```text
/// let mut tx = db.begin(operator.tenant).await?;
/// if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
///     return Ok(answer);
/// }
/// let customer = …;
/// let answer = idempotency.finish(&mut tx, StatusCode::CREATED, &customer).await?;
/// tx.commit().await?;
/// Ok(answer)
/// ```
#[derive(Clone, Debug, Default)]
pub struct Idempotency(Option<Given>);

#[derive(Clone, Debug)]
struct Given {
    key: String,
    /// Of method, path, query and body, keyed because bodies hold passwords: the same key with another request is
    /// a mistake.
    digest: [u8; 32],
    operator: Option<OperatorId>,
    /// Answers hold passwords too, so they are stored sealed.
    secrets: Secrets,
}

/// Under which name a stored answer is sealed.
const ANSWER: &str = "idempotency_keys.body";

impl Given {
    /// Which answer this is.
    fn place(&self) -> Uuid {
        let (half, _) = self.digest.split_first_chunk().expect("32 is over 16");
        Uuid::from_bytes(*half)
    }

    async fn seal(&self, tx: &mut Tx, answer: &[u8]) -> Result<Vec<u8>, SecretError> {
        let key = self.secrets.tenant(tx).await?;
        Ok(key.seal(ANSWER, self.place(), answer))
    }

    async fn open(&self, tx: &mut Tx, sealed: &[u8]) -> Result<Vec<u8>, SecretError> {
        let key = self.secrets.tenant(tx).await?;
        Ok(key.open(ANSWER, self.place(), sealed)?.to_vec())
    }
}

impl Idempotency {
    /// Takes the key for this transaction. `Some` is the stored answer of the request this one repeats.
    ///
    /// The key stands or falls with the transaction that does the work: a crash between leaves neither.
    /// 409 when the key came with another request, or its request is being worked on.
    pub async fn begin(
        &mut self,
        tx: &mut Tx,
        operator: OperatorId,
        now: Timestamp,
    ) -> Result<Option<Response>, ApiError> {
        let Some(given) = &mut self.0 else {
            return Ok(None);
        };
        given.operator = Some(operator);
        if !store::lock(tx, operator, &given.key).await? {
            return Err(ApiError::InFlight);
        }
        match store::find(tx, operator, &given.key).await? {
            None => {
                store::insert(tx, operator, &given.key, &given.digest, now).await?;
                Ok(None)
            }
            Some((digest, _, _)) if digest != given.digest => Err(ApiError::conflict(
                "IDEMPOTENCY_KEY_REUSED",
                "This Idempotency-Key was used with another request; use a new key",
            )),
            Some((_, status, sealed)) => {
                let body = given.open(tx, &sealed.unwrap_or_default()).await?;
                Ok(Some(replay(status, body)))
            }
        }
    }

    /// Makes the answer and stores it beside the key.
    pub async fn finish<T: Serialize>(
        &self,
        tx: &mut Tx,
        status: StatusCode,
        body: &T,
    ) -> Result<Response, ApiError> {
        if let Some(given) = &self.0
            && let Some(operator) = given.operator
        {
            let json = serde_json::to_vec(body).map_err(ApiError::internal)?;
            let sealed = given.seal(tx, &json).await?;
            let status = i16::try_from(status.as_u16()).expect("a status has three digits");
            store::answer(tx, operator, &given.key, status, &sealed).await?;
        }
        Ok((status, Json(body)).into_response())
    }

    /// Forgets some of the tenant's answers that are older than three days; returns how many.
    pub async fn forget(tx: &mut Tx, now: Timestamp) -> sqlx::Result<u64> {
        const KEPT: Duration = Duration::from_secs(72 * 3600);
        store::forget(tx, now.minus(KEPT)).await
    }

    /// Reads the key of `request` and, where there is one, its body; leaves both in place.
    pub(crate) async fn prepare(request: Request, secrets: &Secrets) -> Result<Request, ApiError> {
        let Some(key) = key_of(request.headers())? else {
            return Ok(request);
        };
        let (parts, body) = request.into_parts();
        let body = read_body(Request::new(body), MAX_BODY).await?;
        let secret = secrets.derive("digest of repeatable requests 2");
        let mut digest = Hmac::<Sha256>::new_from_slice(secret.as_slice())
            .expect("HMAC takes keys of every length");
        let query = parts.uri.query().unwrap_or_default();
        for part in [parts.method.as_str(), parts.uri.path(), query] {
            digest.update(part.as_bytes());
            digest.update(&[0]);
        }
        digest.update(&body);
        let mut request = Request::from_parts(parts, Body::from(body));
        request.extensions_mut().insert(Idempotency(Some(Given {
            key,
            digest: digest.finalize().into_bytes().into(),
            operator: None,
            secrets: secrets.clone(),
        })));
        Ok(request)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Idempotency {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Idempotency, ApiError> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

fn key_of(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(key) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    match key.to_str().map(str::trim) {
        Ok(key) if (1..=200).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(ApiError::field(
            "Idempotency-Key",
            "must be 1 to 200 printable characters",
        )),
    }
}

fn replay(status: Option<i16>, body: Vec<u8>) -> Response {
    let status = status
        .and_then(|status| u16::try_from(status).ok())
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::OK);
    let json = [(axum::http::header::CONTENT_TYPE, "application/json")];
    (status, json, body).into_response()
}
