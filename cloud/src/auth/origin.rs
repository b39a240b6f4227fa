//! From where somebody signed in: for himself to read, sealed for everybody else.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};

use crate::api::ClientAddress;
use crate::error::ApiError;

/// Where a request to sign in came from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Origin {
    /// The address.
    pub address: IpAddr,
    /// What the program calls itself, its first 200 characters.
    pub client: Option<String>,
}

/// Under which name an origin is sealed.
pub const ORIGIN: &str = "sessions.origin";

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Origin, ApiError> {
        let ClientAddress(address) = ClientAddress::from_request_parts(parts, state).await?;
        let client = parts.headers.get(USER_AGENT);
        let client = client.and_then(|value| value.to_str().ok());
        Ok(Origin {
            address,
            client: client.map(|text| text.chars().take(200).collect()),
        })
    }
}
