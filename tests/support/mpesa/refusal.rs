//! Daraja's error envelope.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An error envelope. The first three digits of its code are the HTTP status.
pub(super) struct Refusal(String, String);

impl Refusal {
    pub(super) fn new(code: &str, message: impl Into<String>) -> Refusal {
        Refusal(code.to_owned(), message.into())
    }

    pub(super) fn field(name: &str) -> Refusal {
        Refusal::new("400.002.02", format!("Bad Request - Invalid {name}"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Refusal(code, message) = self;
        let status = code.get(..3).and_then(|digits| digits.parse().ok());
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let body = json!({
            "requestId": format!("{:x}", fingerprint(&message)),
            "errorCode": code,
            "errorMessage": message,
        });
        (
            status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            Json(body),
        )
            .into_response()
    }
}

/// The words that go with a scripted code.
pub(super) fn scripted(code: &str) -> &'static str {
    match code {
        "500.003.02" => "Error Occurred: Spike Arrest Violation",
        "500.002.1001" => "System is busy. Please try again in few minutes",
        "503.001.01" => "System is down",
        "500.001.1001" => "Unable to lock subscriber, a transaction is already in process",
        "404.001.03" | "400.003.01" => "Invalid Access Token",
        _ => "The request failed",
    }
}

fn fingerprint(message: &str) -> u64 {
    message.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
