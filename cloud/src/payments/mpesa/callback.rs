//! Reads what M-Pesa sends to a callback address. Fields change type and order; what is unknown is let
//! pass. Reads untrusted bytes: every input gives `Ok` or `Err`, none panics.

use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::rules::Claim;

/// What an STK callback says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StkCallback {
    /// M-Pesa's id of the prompt.
    pub checkout_request_id: String,
    /// M-Pesa's id of the request.
    pub merchant_request_id: Option<String>,
    /// M-Pesa's `ResultCode`; 0 is paid.
    pub result_code: i32,
    /// The receipt and what belongs to it; `None` when it names none.
    pub claim: Option<Claim>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    body: Body,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    stk_callback: Report,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    #[serde(rename = "CheckoutRequestID")]
    checkout_request_id: String,
    #[serde(rename = "MerchantRequestID", default)]
    merchant_request_id: Option<String>,
    result_code: Box<RawValue>,
    #[serde(default)]
    callback_metadata: Option<Metadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    #[serde(default)]
    item: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    name: String,
    #[serde(default)]
    value: Option<Box<RawValue>>,
}

/// Reads an STK callback; the error says what is missing.
pub fn read_stk(body: &[u8]) -> Result<StkCallback, String> {
    let envelope: Envelope = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let report = envelope.body.stk_callback;
    let result_code = text(&report.result_code)
        .parse()
        .map_err(|_| "ResultCode is not a number".to_owned())?;
    let items = report
        .callback_metadata
        .map_or(Vec::new(), |metadata| metadata.item);
    let value = |name: &str| -> Option<&str> {
        let item = items.iter().find(|item| item.name == name)?;
        let value = text(item.value.as_deref()?);
        (!value.is_empty() && value != "null").then_some(value)
    };
    let receipt = value("MpesaReceiptNumber").filter(|receipt| is_receipt(receipt));
    let claim = receipt.map(|receipt| Claim {
        receipt: receipt.to_ascii_uppercase(),
        amount: value("Amount").and_then(|amount| Cents::parse(amount).ok()),
        paid_at: value("TransactionDate").and_then(instant),
    });
    Ok(StkCallback {
        checkout_request_id: report.checkout_request_id,
        merchant_request_id: report.merchant_request_id,
        result_code,
        claim,
    })
}

/// A value's text, whether it was written as a number or in quotes.
fn text(raw: &RawValue) -> &str {
    raw.get().trim_matches('"').trim()
}

/// Whether this has the form of a receipt.
pub fn is_receipt(text: &str) -> bool {
    (6..=20).contains(&text.len()) && text.bytes().all(|letter| letter.is_ascii_alphanumeric())
}

/// An instant as M-Pesa writes it: 14 digits of East Africa Time.
pub fn instant(text: &str) -> Option<Timestamp> {
    if text.len() != 14 {
        return None;
    }
    let local = DateTime::strptime("%Y%m%d%H%M%S", text).ok()?;
    let zoned = local.to_zoned(east_africa()).ok()?;
    Some(Timestamp::from_jiff(zoned.timestamp()))
}

/// The other way.
pub fn stamp(at: Timestamp) -> String {
    at.in_zone(&east_africa())
        .strftime("%Y%m%d%H%M%S")
        .to_string()
}

/// An instant as lists and statements write it, to the second: East Africa Time unless it says another zone.
pub fn listed_instant(text: &str) -> Option<Timestamp> {
    const FORMS: [&str; 6] = [
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dT%H:%M:%S",
        "%d-%m-%Y %H:%M:%S",
        "%d/%m/%Y %H:%M:%S",
        "%d-%m-%Y %H:%M",
        "%d/%m/%Y %H:%M",
    ];
    let text = text.trim();
    if text.len() > 40 {
        return None;
    }
    let local = FORMS
        .iter()
        .find_map(|form| DateTime::strptime(form, text).ok());
    match local {
        Some(local) => {
            let zoned = local.to_zoned(east_africa()).ok()?;
            Some(Timestamp::from_jiff(zoned.timestamp()))
        }
        None => instant(text).or_else(|| Timestamp::parse(text)),
    }
}

/// The way in which a question about a span of time is written.
pub fn spaced_stamp(at: Timestamp) -> String {
    at.in_zone(&east_africa())
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// East Africa Time has no summer time.
fn east_africa() -> TimeZone {
    TimeZone::fixed(Offset::constant(3))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn paid(items: &str, code: &str) -> StkCallback {
        let body = format!(
            r#"{{"Body":{{"stkCallback":{{"MerchantRequestID":"m","CheckoutRequestID":"ws_CO_1",
            "ResultCode":{code},"ResultDesc":"x","CallbackMetadata":{{"Item":[{items}]}}}}}}}}"#
        );
        read_stk(body.as_bytes()).unwrap()
    }

    #[test]
    fn numbers_may_be_texts_and_items_come_in_any_order() {
        for (items, code) in [
            (
                r#"{"Name":"Amount","Value":1.0},{"Name":"MpesaReceiptNumber","Value":"NLJ7RT61SV"},
                   {"Name":"Balance"},{"Name":"TransactionDate","Value":20191219102115}"#,
                "0",
            ),
            (
                r#"{"Name":"TransactionDate","Value":"20191219102115"},{"Name":"Balance","Value":null},
                   {"Name":"MpesaReceiptNumber","Value":"NLJ7RT61SV"},{"Name":"Amount","Value":"1.00"}"#,
                "\"0\"",
            ),
        ] {
            let callback = paid(items, code);
            assert_eq!(callback.result_code, 0);
            let claim = callback.claim.unwrap();
            assert_eq!(claim.receipt, "NLJ7RT61SV");
            assert_eq!(claim.amount, Some(Cents::whole(1)));
            assert_eq!(claim.paid_at, Timestamp::parse("2019-12-19T07:21:15Z"));
        }
    }

    #[test]
    fn an_amount_that_is_none_is_no_amount() {
        for amount in ["\"\"", "\"ten\"", "1e3", "10.005", "{}"] {
            let items = format!(
                r#"{{"Name":"Amount","Value":{amount}}},{{"Name":"MpesaReceiptNumber","Value":"NLJ7RT61SV"}}"#
            );
            assert_eq!(paid(&items, "0").claim.unwrap().amount, None, "{amount}");
        }
    }

    #[test]
    fn a_refusal_has_no_metadata() {
        let body = br#"{"Body":{"stkCallback":{"CheckoutRequestID":"c","ResultCode":1032}}}"#;
        let callback = read_stk(body).unwrap();
        assert_eq!((callback.result_code, callback.claim), (1032, None));
    }

    #[test]
    fn stamps_are_east_african() {
        let at = Timestamp::parse("2026-01-31T09:00:00Z").unwrap();
        assert_eq!(stamp(at), "20260131120000");
        assert_eq!(instant(&stamp(at)), Some(at));
        for listed in [
            "2026-01-31 12:00:00",
            "31-01-2026 12:00:00",
            "2026-01-31T12:00:00",
            "2026-01-31T09:00:00Z",
            "20260131120000",
        ] {
            assert_eq!(listed_instant(listed), Some(at), "{listed}");
        }
        assert_eq!(listed_instant(&spaced_stamp(at)), Some(at));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_stk(&bytes);
            let _ = instant(&String::from_utf8_lossy(&bytes));
        }
    }
}
