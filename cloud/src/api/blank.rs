//! Optional fields of bodies: absent, `null` and `""` all mean "not set".

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error};
use serde_json::value::RawValue;

/// For `#[serde(default, deserialize_with = "blank::option")]` on an `Option<T>` of a JSON body.
pub fn option<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
{
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    if is_blank(raw.get()) {
        return Ok(None);
    }
    serde_json::from_str(raw.get())
        .map(Some)
        .map_err(|error| D::Error::custom(super::json::plain(&error)))
}

/// For a field of an update that can also be emptied: outer `None` = not mentioned, `Some(None)` = emptied
/// by `null` or `""`. Use with `#[serde(default, deserialize_with = "blank::change")]`.
pub fn change<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: DeserializeOwned,
    D: Deserializer<'de>,
{
    option(deserializer).map(Some)
}

fn is_blank(json: &str) -> bool {
    let json = json.trim();
    json == "null"
        || json
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .is_some_and(|text| text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use easyisp_shared::money::Cents;

    use super::*;

    #[derive(Deserialize)]
    struct Body {
        #[serde(default, deserialize_with = "option")]
        fee: Option<Cents>,
        #[serde(default, deserialize_with = "change")]
        phone: Option<Option<String>>,
    }

    #[test]
    fn absent_null_and_empty_are_all_not_set() {
        for text in ["{}", r#"{"fee":null}"#, r#"{"fee":""}"#, r#"{"fee":"  "}"#] {
            let body: Body = serde_json::from_str(text).unwrap();
            assert_eq!(body.fee, None, "{text}");
        }
        let body: Body = serde_json::from_str(r#"{"fee":99.5}"#).unwrap();
        assert_eq!(body.fee, Some(Cents::new(9950)));
    }

    #[test]
    fn an_update_tells_not_mentioned_from_emptied() {
        let phone = |text| serde_json::from_str::<Body>(text).unwrap().phone;
        assert_eq!(phone("{}"), None);
        assert_eq!(phone(r#"{"phone":""}"#), Some(None));
        assert_eq!(phone(r#"{"phone":"07"}"#), Some(Some("07".to_owned())));
    }
}
