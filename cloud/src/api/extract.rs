//! Query strings and paths.

use std::borrow::Cow;

use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use serde::de::value::MapDeserializer;
use serde::de::{
    DeserializeOwned, Deserializer, EnumAccess, IntoDeserializer, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::json::in_plain_words;
use crate::error::ApiError;

/// A query string. `?search=` is the same as no search at all; numbers, dates and ids are parsed, and a bad
/// one is a 400 that names it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Query<T>, ApiError> {
        parse(parts.uri.query().unwrap_or_default()).map(Query)
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    if let Some((key, _)) =
        form_urlencoded::parse(query.as_bytes()).find(|(_, value)| value.contains('\0'))
    {
        return Err(ApiError::field(key, NO_NUL));
    }
    let pairs = form_urlencoded::parse(query.as_bytes())
        .filter(|(_, value)| !value.trim().is_empty())
        .map(|(key, value)| (key, Param(value)));
    serde_path_to_error::deserialize(MapDeserializer::<_, ParamError>::new(pairs)).map_err(
        |error| {
            let text = error.inner().to_string();
            let path = error.path().to_string();
            match text.strip_prefix("missing field `") {
                Some(name) => ApiError::field(name.trim_end_matches('`'), "is required"),
                None => ApiError::field(path, in_plain_words(&text)),
            }
        },
    )
}

/// PostgreSQL keeps no text with it.
const NO_NUL: &str = "must not hold the character U+0000";

type ParamError = serde::de::value::Error;

/// One value of a query string: text that may be asked to be a number.
struct Param<'a>(Cow<'a, str>);

macro_rules! parsed {
    ($($method:ident $visit:ident $what:literal)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParamError> {
            match self.0.trim().parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(serde::de::Error::custom(concat!("must be ", $what))),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Param<'_> {
    type Error = ParamError;

    parsed! {
        deserialize_bool visit_bool "true or false"
        deserialize_i8 visit_i8 "a whole number"
        deserialize_i16 visit_i16 "a whole number"
        deserialize_i32 visit_i32 "a whole number"
        deserialize_i64 visit_i64 "a whole number"
        deserialize_u8 visit_u8 "a whole number"
        deserialize_u16 visit_u16 "a whole number"
        deserialize_u32 visit_u32 "a whole number"
        deserialize_u64 visit_u64 "a whole number"
        deserialize_f32 visit_f32 "a number"
        deserialize_f64 visit_f64 "a number"
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParamError> {
        visitor.visit_string(self.0.into_owned())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ParamError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ParamError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ParamError> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Param<'_> {
    type Error = ParamError;
    type Variant = Unit;

    fn variant_seed<V: serde::de::DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Unit), ParamError> {
        Ok((seed.deserialize(self)?, Unit))
    }
}

impl<'de> IntoDeserializer<'de, ParamError> for Param<'de> {
    type Deserializer = Param<'de>;

    fn into_deserializer(self) -> Param<'de> {
        self
    }
}

/// A variant named by text carries nothing else.
struct Unit;

impl<'de> VariantAccess<'de> for Unit {
    type Error = ParamError;

    fn unit_variant(self) -> Result<(), ParamError> {
        Ok(())
    }

    fn newtype_variant_seed<T: serde::de::DeserializeSeed<'de>>(
        self,
        _seed: T,
    ) -> Result<T::Value, ParamError> {
        Err(serde::de::Error::custom("must be a single word"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, ParamError> {
        Err(serde::de::Error::custom("must be a single word"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, ParamError> {
        Err(serde::de::Error::custom("must be a single word"))
    }
}

/// What stands in the path. A part that does not parse is a 400 that names it.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path<T>, ApiError> {
        if parts.uri.path().contains("%00") {
            return Err(ApiError::field(only_name(parts, state).await, NO_NUL));
        }
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Path(value)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => {
                let named = match error.kind() {
                    ErrorKind::ParseErrorAtKey { key, .. }
                    | ErrorKind::DeserializeError { key, .. }
                    | ErrorKind::InvalidUtf8InPathParam { key } => Some(key.clone()),
                    _ => None, // axum's enum
                };
                let name = match named {
                    Some(name) => name,
                    None => only_name(parts, state).await,
                };
                Err(ApiError::field(
                    name,
                    "must be an id: a UUID such as 0190e7a0-0000-7000-8000-000000000000",
                ))
            }
            Err(error) => Err(ApiError::internal(error)),
        }
    }
}

/// The path's first parameter: the only one, where axum does not say which is wrong.
async fn only_name<S: Send + Sync>(parts: &mut Parts, state: &S) -> String {
    let Ok(params) = RawPathParams::from_request_parts(parts, state).await else {
        return "path".to_owned();
    };
    params
        .iter()
        .next()
        .map_or("path", |(name, _)| name)
        .to_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use easyisp_shared::id::CustomerId;
    use easyisp_shared::time::Timestamp;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(rename_all = "camelCase")]
    struct Filter {
        search: Option<String>,
        customer_id: Option<CustomerId>,
        from: Option<Timestamp>,
        status: Option<Status>,
        days: Option<u16>,
    }

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(rename_all = "UPPERCASE")]
    enum Status {
        Open,
        Closed,
    }

    #[test]
    fn an_empty_value_is_an_absent_one() {
        let filter: Filter = parse("search=&customerId=&from=&status=&days=").unwrap();
        assert_eq!(filter.search, None);
        assert_eq!(filter.status, None);
    }

    #[test]
    fn values_are_parsed_and_unknown_ones_ignored() {
        let filter: Filter =
            parse("search=a+b&from=2026-01-31T09:00:00Z&status=CLOSED&days=7&_=1").unwrap();
        assert_eq!(filter.search.as_deref(), Some("a b"));
        assert_eq!(filter.status, Some(Status::Closed));
        assert_eq!(filter.days, Some(7));
        assert!(filter.from.is_some());
    }

    #[test]
    fn a_bad_value_is_named_with_the_remedy() {
        for (query, field, says) in [
            ("customerId=5", "customerId", "UUID"),
            ("from=tomorrow", "from", "date and time"),
            ("status=BROKEN", "status", "OPEN"),
            ("days=x", "days", "whole number"),
            ("search=a%00", "search", "U+0000"),
        ] {
            let error = parse::<Filter>(query).unwrap_err();
            let ApiError::BadRequest { details, .. } = error else {
                panic!("{query}");
            };
            assert_eq!(details[0].field, field);
            assert!(details[0].message.contains(says), "{:?}", details[0]);
        }
    }
}
