//! JSON bodies, in and out.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// `{"success": true}`: done, and there is nothing more to say.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub struct Success {
    success: bool,
}

impl Success {
    /// The answer.
    pub const YES: Success = Success { success: true };
}

/// `{"success": true, "message": …}`: done, in words for a person.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Said {
    success: bool,
    message: String,
}

impl Said {
    /// Done.
    pub fn done(message: impl Into<String>) -> Said {
        Said {
            success: true,
            message: message.into(),
        }
    }

    /// Could not be done, as `message` says; for routes that answer 200 either way.
    pub fn failed(message: impl Into<String>) -> Said {
        Said {
            success: false,
            message: message.into(),
        }
    }
}

/// The largest JSON body.
pub const MAX_JSON: usize = 256 * 1024;
/// The deepest nesting of a JSON body.
const MAX_DEPTH: usize = 32;

/// A JSON body. As an argument it reads at most [`MAX_JSON`] bytes, at most 32 levels deep, ignores
/// unknown fields and answers 400 naming the field and what to write; no body at all reads like `{}`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => {
                let json = axum::http::HeaderValue::from_static("application/json");
                ([(CONTENT_TYPE, json)], bytes).into_response()
            }
            Err(error) => ApiError::internal(error).into_response(),
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Json<T>, ApiError> {
        let is_json = says_json(&request);
        let bytes = read_body(request, MAX_JSON).await?;
        if bytes.is_empty() {
            return parse(b"{}").map(Json);
        }
        if !is_json {
            return Err(ApiError::UnsupportedMediaType {
                expected: "application/json",
            });
        }
        parse(&bytes).map(Json)
    }
}

/// Reads a body of at most `limit` bytes.
pub async fn read_body(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    match Limited::new(request.into_body(), limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(ApiError::TooLarge { limit })
        }
        Err(_) => Err(ApiError::bad_request(
            "BODY_INCOMPLETE",
            "The body ended early or came too slowly; send it again",
        )),
    }
}

fn says_json(request: &Request) -> bool {
    let Some(kind) = request.headers().get(CONTENT_TYPE) else {
        return false;
    };
    let kind = kind.to_str().unwrap_or_default().to_ascii_lowercase();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if depth(bytes) > MAX_DEPTH {
        return Err(ApiError::bad_request(
            "TOO_DEEP",
            format!("The body nests deeper than {MAX_DEPTH} levels; flatten it"),
        ));
    }
    if holds_nul(bytes) {
        return Err(ApiError::bad_request(
            "NUL_CHARACTER",
            "The body holds the character U+0000, which no text may; leave it out",
        ));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        explain(&path, error.inner())
    })?;
    json.end().map_err(|error| explain(".", &error))?;
    Ok(value)
}

/// How deep objects and lists nest, brackets inside texts not counted.
fn depth(bytes: &[u8]) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' | b'[' => {
                now += 1;
                most = most.max(now);
            }
            b'}' | b']' => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// Whether a text says `\u0000`, which PostgreSQL cannot keep.
fn holds_nul(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let escape = &rest[at + 1..];
        if escape.starts_with(b"u0000") {
            return true;
        }
        rest = escape.get(1..).unwrap_or_default();
    }
    false
}

fn explain(path: &str, error: &serde_json::Error) -> ApiError {
    if error.is_syntax() || error.is_eof() {
        return ApiError::bad_request(
            "BAD_JSON",
            format!(
                "The body is not valid JSON (line {}, column {})",
                error.line(),
                error.column()
            ),
        );
    }
    let text = plain(error);
    let parent = if path == "." { "" } else { path };
    if let Some(name) = between(&text, "missing field `", "`") {
        let field = match parent {
            "" => name.to_owned(),
            _ if parent.ends_with(name) => parent.to_owned(),
            _ => format!("{parent}.{name}"),
        };
        return ApiError::field(field, "is required");
    }
    let field = if parent.is_empty() { "body" } else { parent };
    ApiError::field(field, in_plain_words(&text))
}

/// serde_json's message without "at line 1 column 2".
pub(super) fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((text, _)) => text.to_owned(),
        None => text,
    }
}

/// serde's "invalid type: string "x", expected u32" for people.
pub(super) fn in_plain_words(text: &str) -> String {
    let Some((found, expected)) = text.rsplit_once(", expected ") else {
        return text.to_owned();
    };
    if let Some(variant) = between(found, "unknown variant `", "`") {
        return format!("must be {}, not {variant}", expected.replace('`', ""));
    }
    let wanted = match expected {
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" | "isize" => {
            "a whole number"
        }
        "f32" | "f64" => "a number",
        "a string" | "string" | "a borrowed string" => "text in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a UUID string" => "an id: a UUID such as 0190e7a0-0000-7000-8000-000000000000",
        _ if expected.starts_with("struct") || expected.starts_with("a map") => "an object",
        _ => expected,
    };
    if found.starts_with("invalid value: integer") {
        return format!("is out of range: must be {wanted} ({expected})");
    }
    format!("must be {wanted}")
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(name, _)| name)
}

/// `201 Created` with a JSON body.
impl<T: Serialize> Json<T> {
    /// The same body with another status.
    pub fn with(self, status: StatusCode) -> (StatusCode, Json<T>) {
        (status, self)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use easyisp_shared::money::Cents;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug)]
    #[expect(dead_code, reason = "only parsed")]
    struct Body {
        name: String,
        price: Option<Cents>,
        #[serde(default)]
        items: Vec<Item>,
    }

    #[derive(Deserialize, Debug)]
    #[expect(dead_code, reason = "only parsed")]
    struct Item {
        id: uuid::Uuid,
        count: u32,
    }

    fn refusal(text: &str) -> (String, String) {
        match parse::<Body>(text.as_bytes()).unwrap_err() {
            ApiError::BadRequest {
                message, details, ..
            } => match details.first() {
                Some(detail) => (detail.field.clone(), detail.message.clone()),
                None => (String::new(), message),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refusal_names_the_field_and_the_remedy() {
        assert_eq!(refusal("{}"), ("name".into(), "is required".into()));
        assert_eq!(
            refusal(r#"{"name":5}"#),
            ("name".into(), "must be text in quotes".into())
        );
        assert_eq!(
            refusal(r#"{"name":"a","price":1.005}"#),
            ("price".into(), "must have at most two decimals".into())
        );
        let (field, message) = refusal(r#"{"name":"a","items":[{"id":"x","count":1}]}"#);
        assert_eq!(field, "items[0].id");
        assert!(message.contains("UUID"), "{message}");
        assert_eq!(
            refusal(r#"{"name":"a","items":[{"id":"0190e7a0-0000-7000-8000-000000000000"}]}"#),
            ("items[0].count".into(), "is required".into())
        );
        let (_, message) = refusal("{\"name\"");
        assert!(message.contains("not valid JSON"), "{message}");
    }

    #[test]
    fn a_text_with_nul_is_refused_and_one_that_only_spells_it_is_not() {
        for body in [r#"{"name":"a\u0000"}"#, r#"{"name":"\\\u0000"}"#] {
            let (_, message) = refusal(body);
            assert!(message.contains("U+0000"), "{message}");
        }
        assert!(parse::<Body>(br#"{"name":"\\u0000"}"#).is_ok());
        assert!(!holds_nul(br"\"));
    }

    #[test]
    fn deep_nesting_is_refused_before_it_is_read() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let (_, message) = refusal(&deep);
        assert!(message.contains("32 levels"), "{message}");
        assert_eq!(depth(br#"{"a":"[[[[\"[["}"#), 1);
    }
}
