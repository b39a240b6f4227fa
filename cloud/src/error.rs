//! What can go wrong with a request, and the one way it is told: the error envelope.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::secrets::SecretError;

/// Why a request was not done.
#[derive(Debug)]
pub enum ApiError {
    /// 400: the request itself is wrong.
    BadRequest {
        /// For programs.
        code: &'static str,
        /// For people.
        message: String,
        /// Which fields, and what to write instead.
        details: Vec<FieldError>,
    },
    /// 401: no token, a bad or an expired one. Nothing else is a 401.
    Unauthorized,
    /// 401 at the login form.
    BadCredentials,
    /// 403: known, but not allowed.
    Forbidden {
        /// For programs.
        code: &'static str,
        /// For people.
        message: String,
    },
    /// 404: there is none, or it is another tenant's.
    NotFound(&'static str),
    /// 405: this path has other methods; axum adds them as Allow.
    MethodNotAllowed,
    /// 409: duplicate, or not in this state.
    Conflict {
        /// For programs.
        code: &'static str,
        /// For people.
        message: String,
    },
    /// 409 with Retry-After: the same request is being worked on.
    InFlight,
    /// 412: changed since it was read.
    PreconditionFailed,
    /// 413: more bytes than this route takes.
    TooLarge {
        /// How many it takes.
        limit: usize,
    },
    /// 415: not the content type this route takes.
    UnsupportedMediaType {
        /// What it takes.
        expected: &'static str,
    },
    /// 422: understood, and cannot be done.
    Unprocessable {
        /// For programs.
        code: &'static str,
        /// For people.
        message: String,
    },
    /// 429.
    TooManyRequests {
        /// When to try again.
        retry_after: Duration,
    },
    /// 502: a device or provider answered nonsense.
    BadGateway {
        /// For people.
        message: String,
    },
    /// 503: not now.
    Unavailable {
        /// For people.
        message: String,
    },
    /// 504: a device or provider did not answer.
    GatewayTimeout {
        /// For people.
        message: String,
    },
    /// 500: our fault. The cause is logged, never shown.
    Internal(anyhow::Error),
}

/// One field of a request and what is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Where in the body, query or path: `items[0].price`.
    pub field: String,
    /// What to write instead.
    pub message: String,
}

/// The body of every answer that is not a success.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorEnvelope {
    /// For people.
    pub message: String,
    /// The same text again: some clients read this one.
    pub error: String,
    /// The HTTP status.
    pub status_code: u16,
    /// For programs.
    pub code: &'static str,
    /// The fields at fault, where there are some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<FieldError>,
    /// Names this request in our logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl ApiError {
    /// 400 about the request as a whole.
    pub fn bad_request(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::BadRequest {
            code,
            message: message.into(),
            details: Vec::new(),
        }
    }

    /// 400 about one field; `message` continues the sentence that the field's name begins.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> ApiError {
        ApiError::fields(vec![FieldError {
            field: field.into(),
            message: message.into(),
        }])
    }

    /// 400 about several fields (at least one).
    pub fn fields(details: Vec<FieldError>) -> ApiError {
        let message = details
            .iter()
            .map(|detail| format!("{} {}", detail.field, detail.message))
            .collect::<Vec<_>>()
            .join("; ");
        ApiError::BadRequest {
            code: "INVALID_FIELD",
            message,
            details,
        }
    }

    /// 403.
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::Forbidden {
            code,
            message: message.into(),
        }
    }

    /// 409.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::Conflict {
            code,
            message: message.into(),
        }
    }

    /// 422.
    pub fn unprocessable(code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError::Unprocessable {
            code,
            message: message.into(),
        }
    }

    /// 500.
    pub fn internal(cause: impl Into<anyhow::Error>) -> ApiError {
        ApiError::Internal(cause.into())
    }

    /// As an error of a command, outside HTTP.
    pub fn into_cause(self) -> anyhow::Error {
        match self {
            ApiError::Internal(cause) => cause,
            other => anyhow::anyhow!(other.message()), // each says itself in a sentence
        }
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            ApiError::BadRequest { .. } => StatusCode::BAD_REQUEST,
            ApiError::Unauthorized | ApiError::BadCredentials => StatusCode::UNAUTHORIZED,
            ApiError::Forbidden { .. } => StatusCode::FORBIDDEN,
            ApiError::NotFound(_) => StatusCode::NOT_FOUND,
            ApiError::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::Conflict { .. } | ApiError::InFlight => StatusCode::CONFLICT,
            ApiError::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            ApiError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::UnsupportedMediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ApiError::Unprocessable { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            ApiError::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            ApiError::BadGateway { .. } => StatusCode::BAD_GATEWAY,
            ApiError::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::GatewayTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            ApiError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            ApiError::BadRequest { code, .. }
            | ApiError::Forbidden { code, .. }
            | ApiError::Conflict { code, .. }
            | ApiError::Unprocessable { code, .. } => code,
            ApiError::Unauthorized => "UNAUTHORIZED",
            ApiError::BadCredentials => "BAD_CREDENTIALS",
            ApiError::NotFound(_) => "NOT_FOUND",
            ApiError::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            ApiError::InFlight => "REQUEST_IN_FLIGHT",
            ApiError::PreconditionFailed => "PRECONDITION_FAILED",
            ApiError::TooLarge { .. } => "TOO_LARGE",
            ApiError::UnsupportedMediaType { .. } => "UNSUPPORTED_MEDIA_TYPE",
            ApiError::TooManyRequests { .. } => "TOO_MANY_REQUESTS",
            ApiError::BadGateway { .. } => "BAD_GATEWAY",
            ApiError::Unavailable { .. } => "UNAVAILABLE",
            ApiError::GatewayTimeout { .. } => "GATEWAY_TIMEOUT",
            ApiError::Internal(_) => "INTERNAL",
        }
    }

    /// In a sentence, for people.
    pub fn message(&self) -> String {
        match self {
            ApiError::BadRequest { message, .. }
            | ApiError::Forbidden { message, .. }
            | ApiError::Conflict { message, .. }
            | ApiError::Unprocessable { message, .. }
            | ApiError::BadGateway { message }
            | ApiError::Unavailable { message }
            | ApiError::GatewayTimeout { message } => message.clone(),
            ApiError::Unauthorized => {
                "Sign in again: the token is missing, wrong or expired".into()
            }
            ApiError::BadCredentials => "The e-mail address or the password is wrong".into(),
            ApiError::NotFound(what) => format!("There is no such {what}"),
            ApiError::MethodNotAllowed => {
                "This address does not take that method; the header Allow lists those it takes"
                    .into()
            }
            ApiError::InFlight => {
                "The same request is still being worked on; ask again in a moment".into()
            }
            ApiError::PreconditionFailed => {
                "It was changed since you read it; read it again and repeat your change".into()
            }
            ApiError::TooLarge { limit } => {
                format!("The body is too large; send at most {limit} bytes")
            }
            ApiError::UnsupportedMediaType { expected } => {
                format!("Send the body as {expected} and say so in Content-Type")
            }
            ApiError::TooManyRequests { retry_after } => format!(
                "Too many requests; try again in {} seconds",
                whole_seconds(*retry_after)
            ),
            ApiError::Internal(_) => {
                "Something went wrong on our side; it was logged and nothing was changed".into()
            }
        }
    }
}

/// Seconds for a Retry-After header: rounded up, at least one.
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

impl IntoResponse for ApiError {
    /// The envelope. The cause of a 500 is logged here and nowhere else.
    fn into_response(self) -> Response {
        if let ApiError::Internal(cause) = &self {
            tracing::error!(cause = format!("{cause:#}"), "Failed a request: {cause:#}");
        }
        let status = self.status();
        let message = self.message();
        let envelope = ErrorEnvelope {
            error: message.clone(),
            message,
            status_code: status.as_u16(),
            code: self.code(),
            details: match &self {
                ApiError::BadRequest { details, .. } => details.clone(),
                _ => Vec::new(), // only these name fields
            },
            request_id: None,
        };
        let mut response = (status, axum::Json(&envelope)).into_response();
        match self {
            ApiError::TooManyRequests { retry_after } => {
                response
                    .headers_mut()
                    .insert(RETRY_AFTER, whole_seconds(retry_after).into());
            }
            ApiError::InFlight => {
                response.headers_mut().insert(RETRY_AFTER, 1.into());
            }
            _ => {} // no header of their own
        }
        // The outermost layer, which knows the request's id, writes the body once more with it.
        response.extensions_mut().insert(Arc::new(envelope));
        response
    }
}

impl From<sqlx::Error> for ApiError {
    /// A busy database is 503, everything else our fault. Constraint violations that a client can cause
    /// are turned into 409 by the feature that knows what they mean.
    fn from(error: sqlx::Error) -> ApiError {
        let code = match &error {
            sqlx::Error::Database(database) => database.code(),
            _ => None, // sqlx's enum
        };
        let busy = matches!(error, sqlx::Error::PoolTimedOut)
            // statement cancelled by its time limit, lock not free, serialisation, deadlock
            || matches!(code.as_deref(), Some("57014" | "55P03" | "40001" | "40P01"));
        if busy {
            tracing::warn!(cause = %error, "The database is busy: {error}");
            return ApiError::Unavailable {
                message: "The server is busy; nothing was changed, try again in a moment".into(),
            };
        }
        ApiError::Internal(error.into())
    }
}

impl From<SecretError> for ApiError {
    fn from(error: SecretError) -> ApiError {
        match error {
            SecretError::Database(error) => error.into(),
            SecretError::CannotOpen(_) => ApiError::internal(error),
        }
    }
}

/// Collects what is wrong with a request, field by field, so that one answer names everything.
#[derive(Debug, Default)]
pub struct Wrong(Vec<FieldError>);

impl Wrong {
    /// Notes one field; `message` continues the sentence that the field's name begins.
    pub fn add(&mut self, field: &str, message: &str) {
        self.0.push(FieldError {
            field: field.to_owned(),
            message: message.to_owned(),
        });
    }

    /// The value, or a note that there must be one.
    pub fn required<T: Default>(&mut self, field: &str, value: Option<T>) -> T {
        value.unwrap_or_else(|| {
            self.add(field, "is required");
            T::default()
        })
    }

    /// Notes coordinates that are not on this planet.
    pub fn coordinates(&mut self, latitude: Option<f64>, longitude: Option<f64>) {
        if latitude.is_some_and(|degrees| !(-90.0..=90.0).contains(&degrees)) {
            self.add("latitude", "must be -90 to 90");
        }
        if longitude.is_some_and(|degrees| !(-180.0..=180.0).contains(&degrees)) {
            self.add("longitude", "must be -180 to 180");
        }
    }

    /// Whether nothing was noted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `value` when nothing was noted.
    pub fn none_or<T>(self, value: T) -> Result<T, Vec<FieldError>> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(self.0)
        }
    }
}

/// The constraint that a statement ran into, when that is why it failed.
pub fn violated(error: &sqlx::Error) -> Option<&str> {
    match error {
        sqlx::Error::Database(database) => database.constraint(),
        _ => None, // sqlx's enum
    }
}
