//! Reads what M-Pesa says of money that came by itself: a confirmation, a validation, a page of what has moved. Fields
//! change type and order; what is unknown is let pass. Reads untrusted bytes: every input gives `Ok` or `Err`, none
//! panics.

use easyisp_shared::money::Cents;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::arrival::{
    Arrival, Payer, Unreadable, amount_of, name_of, receipt_of, shortened,
};
use super::callback::{instant, listed_instant};

/// A validation or confirmation, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Confirmation {
    /// The short code it names.
    pub shortcode: String,
    /// The money.
    pub arrival: Arrival,
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "TransID", default)]
    receipt: Option<Box<RawValue>>,
    #[serde(rename = "TransTime", default)]
    time: Option<Box<RawValue>>,
    #[serde(rename = "TransAmount", default)]
    amount: Option<Box<RawValue>>,
    #[serde(rename = "BusinessShortCode", default)]
    shortcode: Option<Box<RawValue>>,
    #[serde(rename = "BillRefNumber", default)]
    reference: Option<Box<RawValue>>,
    #[serde(rename = "MSISDN", default)]
    payer: Option<Box<RawValue>>,
    #[serde(rename = "FirstName", default)]
    first_name: Option<Box<RawValue>>,
    #[serde(rename = "MiddleName", default)]
    middle_name: Option<Box<RawValue>>,
    #[serde(rename = "LastName", default)]
    last_name: Option<Box<RawValue>>,
}

/// Reads the body of a confirmation.
pub fn read_confirmation(body: &[u8]) -> Result<Confirmation, Unreadable> {
    let body: Body =
        serde_json::from_slice(body).map_err(|error| Unreadable::Json(error.to_string()))?;
    let said = |raw: &Option<Box<RawValue>>| raw.as_deref().map(plain).unwrap_or_default();
    let names = [&body.first_name, &body.middle_name, &body.last_name];
    let name = names.map(said).join(" ");
    Ok(Confirmation {
        shortcode: said(&body.shortcode),
        arrival: Arrival {
            receipt: receipt_of(&said(&body.receipt)).ok_or(Unreadable::Receipt)?,
            amount: amount_of(&said(&body.amount))?,
            paid_at: instant(&said(&body.time)),
            reference: shortened(&said(&body.reference)),
            payer: Payer::read(&said(&body.payer)),
            payer_name: name_of(&name),
        },
    })
}

/// A page of what has moved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pulled {
    /// How many rows it had.
    pub rows: usize,
    /// How many of them are neither money that came nor money that went.
    pub unreadable: usize,
    /// Those that are money that came.
    pub arrivals: Vec<Arrival>,
}

#[derive(Deserialize)]
struct PulledAnswer {
    #[serde(rename = "ResponseCode", default)]
    code: Option<Box<RawValue>>,
    #[serde(rename = "ResponseMessage", default)]
    message: Option<Box<RawValue>>,
    #[serde(rename = "Response", default)]
    response: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct PulledRow {
    #[serde(rename = "transactionId", default)]
    receipt: Option<Box<RawValue>>,
    #[serde(rename = "trxDate", default)]
    time: Option<Box<RawValue>>,
    #[serde(rename = "msisdn", default)]
    payer: Option<Box<RawValue>>,
    #[serde(rename = "sender", default)]
    sender: Option<Box<RawValue>>,
    #[serde(rename = "transactiontype", default)]
    kind: Option<Box<RawValue>>,
    #[serde(rename = "billreference", default)]
    reference: Option<Box<RawValue>>,
    #[serde(rename = "amount", default)]
    amount: Option<Box<RawValue>>,
}

/// Reads an answer to "what has moved?": a list of rows, or a list of lists of them. `None` when it is neither, or
/// no success: then nothing is known of what has moved.
pub fn read_pulled(answer: &str) -> Option<Pulled> {
    let answer: PulledAnswer = serde_json::from_str(answer).ok()?;
    let said = |raw: &Option<Box<RawValue>>| raw.as_deref().map(plain).unwrap_or_default();
    if !matches!(said(&answer.code).as_str(), "" | "0" | "1000") {
        // It may be no failure that there is nothing.
        let message = said(&answer.message).to_lowercase();
        let none = message.contains("no record") || message.contains("no transaction");
        return none.then(|| Pulled {
            rows: 0,
            unreadable: 0,
            arrivals: Vec::new(),
        });
    }
    let response = answer.response?;
    let rows: Vec<PulledRow> = match serde_json::from_str::<Vec<Vec<PulledRow>>>(response.get()) {
        Ok(lists) => lists.into_iter().flatten().collect(),
        Err(_) => serde_json::from_str(response.get()).ok()?,
    };
    let read: Vec<Option<Arrival>> = rows.iter().filter_map(pulled).collect();
    Some(Pulled {
        rows: rows.len(),
        unreadable: read.iter().filter(|arrival| arrival.is_none()).count(),
        arrivals: read.into_iter().flatten().collect(),
    })
}

/// What a row says of money that came; `None` when it went, `Some(None)` when it is nothing we can book.
fn pulled(row: &PulledRow) -> Option<Option<Arrival>> {
    let said = |raw: &Option<Box<RawValue>>| raw.as_deref().map(plain).unwrap_or_default();
    let kind = said(&row.kind).to_lowercase();
    if kind.contains("reversal") || kind.starts_with("b2c") || kind.starts_with("b2b") {
        return None;
    }
    let sender = said(&row.sender);
    let read = || {
        Some(Arrival {
            receipt: receipt_of(&said(&row.receipt))?,
            amount: amount_of(&said(&row.amount).replace(',', "")).ok()?,
            paid_at: listed_instant(&said(&row.time)),
            reference: shortened(&said(&row.reference)),
            payer: Payer::read(&said(&row.payer)),
            payer_name: name_of(&sender).filter(|name| !name.eq_ignore_ascii_case("mpesa")),
        })
    };
    Some(read())
}

/// The short code that a validation names, and the amount when it is one.
pub fn read_asked(body: &[u8]) -> (String, Option<Cents>) {
    let body = serde_json::from_slice::<Body>(body).ok();
    let said = |raw: Option<&RawValue>| raw.map(plain).unwrap_or_default();
    let body = body.as_ref();
    let shortcode = said(body.and_then(|body| body.shortcode.as_deref()));
    let amount = said(body.and_then(|body| body.amount.as_deref()));
    (shortcode, amount_of(&amount).ok())
}

/// The receipt that a report names, whatever else it says.
pub fn named_receipt(body: &[u8]) -> Option<String> {
    let body: Body = serde_json::from_slice(body).ok()?;
    receipt_of(&plain(body.receipt.as_deref()?))
}

/// A value as text, whether it was written as a number or in quotes; `null` is nothing.
fn plain(raw: &RawValue) -> String {
    let raw = raw.get().trim();
    match raw {
        "null" => String::new(),
        _ if raw.starts_with('"') => serde_json::from_str(raw).unwrap_or_default(),
        _ => raw.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use easyisp_shared::phone::PhoneNumber;
    use easyisp_shared::time::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn body(fields: &str) -> Result<Confirmation, Unreadable> {
        let body = format!(
            r#"{{"TransactionType":"Pay Bill","TransID":"RKTQDM7W6S","TransTime":"20191122063845",
            "InvoiceNumber":"","OrgAccountBalance":"49197.00","ThirdPartyTransID":"",{fields}}}"#
        );
        read_confirmation(body.as_bytes())
    }

    #[test]
    fn every_documented_form_is_read() {
        let told = body(
            r#""TransAmount":"10","BusinessShortCode":"600638","BillRefNumber":" A 123 ",
               "MSISDN":"2547*****149","FirstName":"John","MiddleName":"","LastName":"Doe""#,
        );
        let told = told.unwrap();
        assert_eq!(told.shortcode, "600638");
        assert_eq!(told.arrival.amount, Cents::whole(10));
        assert_eq!(told.arrival.reference, "A 123");
        assert_eq!(told.arrival.payer_name.as_deref(), Some("John Doe"));
        assert_eq!(
            told.arrival.paid_at,
            Timestamp::parse("2019-11-22T03:38:45Z")
        );
        let masked = Payer::Masked {
            first: "2547".into(),
            last: "149".into(),
        };
        assert_eq!(told.arrival.payer, masked);

        let numbers =
            body(r#""TransAmount":10.50,"BusinessShortCode":600638,"MSISDN":254708374149"#);
        let numbers = numbers.unwrap();
        assert_eq!(numbers.arrival.amount, Cents::new(1050));
        assert_eq!(numbers.shortcode, "600638");
        assert_eq!(numbers.arrival.reference, "");
        let number = PhoneNumber::parse("254708374149").unwrap();
        assert_eq!(numbers.arrival.payer, Payer::Number(number.clone()));
        assert_eq!(
            Payer::read(&number.hash().to_uppercase()).hash(),
            Some(number.hash())
        );
    }

    #[test]
    fn an_amount_that_cannot_have_moved_is_none() {
        for amount in [
            "0",
            "-5",
            "\"\"",
            "\"ten\"",
            "1e3",
            "10.005",
            "1000000.01",
            "null",
        ] {
            let told = body(&format!(
                r#""TransAmount":{amount},"BusinessShortCode":"1""#
            ));
            assert!(
                matches!(told, Err(Unreadable::Amount(_))),
                "{amount}: {told:?}"
            );
        }
        assert_eq!(amount_of("1.00"), Ok(Cents::whole(1)));
        assert!(read_confirmation(br#"{"TransAmount":"5"}"#).is_err());
    }

    #[test]
    fn what_moved_is_read_row_by_row() {
        let row = |kind: &str, amount: &str| {
            format!(
                r#"{{"transactionId":"OFS5V5YNPT","trxDate":"2026-01-31 12:00:00","msisdn":254712345678,
                "sender":"MPESA","transactiontype":"{kind}","billreference":" 10000008 ",
                "amount":{amount},"organizationname":"Savanna"}}"#
            )
        };
        let (came, went) = (row("c2b-pay-bill-debit", "\"168.00\""), row("b2c", "5"));
        let none = row("c2b-pay-bill-debit", "0");
        for response in [
            format!("[[{came},{went},{none}]]"),
            format!("[{came},{went},{none}]"),
        ] {
            let page = read_pulled(&format!(
                r#"{{"ResponseCode":"1000","Response":{response}}}"#
            ));
            let page = page.unwrap();
            assert_eq!((page.rows, page.arrivals.len(), page.unreadable), (3, 1, 1));
            let arrival = &page.arrivals[0];
            assert_eq!(arrival.amount, Cents::whole(168));
            assert_eq!(arrival.reference, "10000008");
            assert_eq!(arrival.paid_at, Timestamp::parse("2026-01-31T09:00:00Z"));
            assert_eq!(arrival.payer_name, None);
        }
        assert_eq!(
            read_pulled(r#"{"Response":[[]]}"#).map(|page| page.rows),
            Some(0)
        );
        let commas = row("c2b-pay-bill-debit", "\"1,168.00\"");
        let page = read_pulled(&format!(
            r#"{{"ResponseCode":"1000","Response":[[{commas}]]}}"#
        ));
        assert_eq!(page.unwrap().arrivals[0].amount, Cents::whole(1_168));
        for nothing in [
            r#"{"Response":"no"}"#,
            r#"{"ResponseCode":"1000"}"#,
            r#"{"ResponseCode":"1001","ResponseMessage":"Failed","Response":[[]]}"#,
        ] {
            assert_eq!(read_pulled(nothing), None, "{nothing}");
        }
        assert_eq!(name_of("Jo\u{0}hn  Doe").as_deref(), Some("John Doe"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,80}") {
            let _ = read_confirmation(&bytes);
            let _ = (named_receipt(&bytes), read_asked(&bytes));
            let _ = Payer::read(&text);
            let _ = read_pulled(&text);
        }
    }
}
