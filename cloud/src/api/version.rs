//! Which version of a thing somebody has seen: two who edit it do not undo one another.

use axum::http::header::{ETAG, IF_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Json;
use crate::error::ApiError;

/// The number of a thing's version, which grows with every change by a person.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Version(pub i64);

impl Version {
    /// 412 when the request wants to change another version (`If-Match`, RFC 9110 §13.1.1). Without the header,
    /// and with `*`, any version is meant.
    pub fn is_meant(self, headers: &HeaderMap) -> Result<(), ApiError> {
        match headers.get(IF_MATCH) {
            Some(wanted) if wanted != "*" && wanted.as_bytes() != self.tag().as_bytes() => {
                Err(ApiError::PreconditionFailed)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The thing, with its version as `ETag` (RFC 9110 §8.8.3).
    pub fn of(self, thing: impl Serialize) -> Response {
        self.with(StatusCode::OK, thing)
    }

    /// The same with another status.
    pub fn with(self, status: StatusCode, thing: impl Serialize) -> Response {
        (status, [(ETAG, self.tag())], Json(thing)).into_response()
    }

    fn tag(self) -> String {
        format!("\"{}\"", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_version_is_refused() {
        let with = |tag: &'static str| {
            HeaderMap::from_iter([(IF_MATCH, axum::http::HeaderValue::from_static(tag))])
        };
        for fits in [HeaderMap::new(), with("*"), with("\"7\"")] {
            assert!(Version(7).is_meant(&fits).is_ok(), "{fits:?}");
        }
        for other in [with("\"6\""), with("7"), with("W/\"7\"")] {
            assert!(Version(7).is_meant(&other).is_err(), "{other:?}");
        }
    }
}
