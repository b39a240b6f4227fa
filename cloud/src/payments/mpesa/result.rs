//! Reads what M-Pesa sends to the address of a result, and says what it means. Fields change type and order; what is
//! unknown is let pass. Reads untrusted bytes: every input gives `Ok` or `Err`, none panics.

use std::collections::HashMap;

use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::arrival::{Payer, name_of, receipt_of};
use super::callback::instant;

/// A result, read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// M-Pesa's `ResultCode`: a number or a word, `0` is done.
    pub code: String,
    /// For people.
    pub description: String,
    /// The name that our request has on both sides.
    pub originator_conversation_id: String,
    /// M-Pesa's name of our request.
    pub conversation_id: String,
    /// The receipt of what was done.
    pub receipt: Option<String>,
    parameters: HashMap<String, String>,
}

/// What became of a payment that was asked about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// The money moved, and is where it went to.
    Completed(Box<Moved>),
    /// It did not move, or was sent back: M-Pesa's word for it.
    Not(String),
    /// M-Pesa knows no such payment.
    Unknown(String),
    /// Nothing that decides: why.
    Undecided(String),
}

/// Money that moved, as M-Pesa tells who asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Moved {
    /// The receipt.
    pub receipt: Option<String>,
    /// How much.
    pub amount: Option<Cents>,
    /// When.
    pub paid_at: Option<Timestamp>,
    /// To which short code.
    pub shortcode: String,
    /// Who paid.
    pub payer: Payer,
    /// His name.
    pub payer_name: Option<String>,
}

/// What became of sending money back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sent {
    /// It was sent, with this receipt.
    Done(Option<String>),
    /// It was not and will not be: why.
    Failed(String),
    /// Nothing that decides: why.
    Undecided(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    result: Body,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    result_code: Box<RawValue>,
    #[serde(default)]
    result_desc: Option<String>,
    #[serde(rename = "OriginatorConversationID", default)]
    originator_conversation_id: Option<String>,
    #[serde(rename = "ConversationID", default)]
    conversation_id: Option<String>,
    #[serde(rename = "TransactionID", default)]
    transaction_id: Option<String>,
    #[serde(default)]
    result_parameters: Option<Parameters>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameters {
    #[serde(default)]
    result_parameter: OneOrMany,
}

/// A list of one is written without the list.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<Parameter>),
    One(Parameter),
}

impl Default for OneOrMany {
    fn default() -> OneOrMany {
        OneOrMany::Many(Vec::new())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    key: String,
    #[serde(default)]
    value: serde_json::Value,
}

/// Reads a result; the error says what is missing.
pub fn read_result(body: &[u8]) -> Result<Told, String> {
    let envelope: Envelope = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let result = envelope.result;
    let parameters = match result.result_parameters.map(|all| all.result_parameter) {
        None => Vec::new(),
        Some(OneOrMany::One(one)) => vec![one],
        Some(OneOrMany::Many(many)) => many,
    };
    Ok(Told {
        code: result
            .result_code
            .get()
            .trim_matches('"')
            .trim()
            .chars()
            .take(40)
            .collect(),
        description: name_of(&result.result_desc.unwrap_or_default()).unwrap_or_default(),
        originator_conversation_id: result.originator_conversation_id.unwrap_or_default(),
        conversation_id: result.conversation_id.unwrap_or_default(),
        receipt: receipt_of(&result.transaction_id.unwrap_or_default()),
        parameters: parameters
            .into_iter()
            .map(|one| (one.key, super::daraja::plain(&one.value)))
            .collect(),
    })
}

impl Told {
    /// Whether this answers the request that M-Pesa took under these names; one that we do not know fits all.
    pub fn answers(&self, originator: Option<&str>, conversation: Option<&str>) -> bool {
        let same = |ours: Option<&str>, theirs: &str| {
            ours.is_none_or(|ours| ours.is_empty() || theirs.is_empty() || ours == theirs)
        };
        same(originator, &self.originator_conversation_id)
            && same(conversation, &self.conversation_id)
    }

    /// As the answer to "what became of this payment?".
    pub fn standing(&self) -> Standing {
        if self.code != "0" {
            let lower = self.description.to_lowercase();
            let none = [
                "does not exist",
                "not found",
                "no transaction",
                "invalid transaction id",
            ];
            return match none.iter().any(|words| lower.contains(words)) {
                true => Standing::Unknown(self.said()),
                false => Standing::Undecided(self.said()),
            };
        }
        let status = self.value("TransactionStatus");
        match status.to_lowercase().as_str() {
            "completed" => Standing::Completed(Box::new(self.moved())),
            "failed" | "cancelled" | "canceled" | "declined" | "expired" | "reversed" => {
                Standing::Not(status.to_owned())
            }
            _ => Standing::Undecided(format!("the payment is {status}")), // an unknown word decides nothing
        }
    }

    fn moved(&self) -> Moved {
        let (shortcode, _) = party(self.value("CreditPartyName"));
        let (payer, name) = party(self.value("DebitPartyName"));
        let at = ["FinalisedTime", "InitiatedTime"];
        Moved {
            receipt: receipt_of(self.value("ReceiptNo")),
            amount: Cents::parse(&self.value("Amount").replace(',', "")).ok(),
            paid_at: at.into_iter().find_map(|key| instant(self.value(key))),
            shortcode: shortcode.to_owned(),
            payer: Payer::read(payer),
            payer_name: name_of(name),
        }
    }

    /// As the answer to sending money back.
    pub fn sent(&self) -> Sent {
        /// What ends a request without money: what the initiator, the short code or the phone may not, and what
        /// there is not enough of.
        const FINAL: [&str; 17] = [
            "1",
            "2",
            "3",
            "4",
            "8",
            "11",
            "17",
            "20",
            "21",
            "26",
            "2001",
            "2006",
            "2028",
            "2040",
            "8006",
            "SFC_IC0003",
            "R000002",
        ];
        match self.code.as_str() {
            "0" => Sent::Done(self.receipt.clone()),
            code if FINAL.contains(&code) => Sent::Failed(self.said()),
            _ => Sent::Undecided(self.said()), // an unknown code is no failure
        }
    }

    /// For people.
    pub fn said(&self) -> String {
        match self.description.as_str() {
            "" => format!("M-Pesa answers {}", self.code),
            said => format!("{said} ({})", self.code),
        }
    }

    fn value(&self, key: &str) -> &str {
        self.parameters.get(key).map_or("", |value| value.trim())
    }
}

/// A number and a name, as M-Pesa writes a party: `254708374149 - John Doe`.
fn party(text: &str) -> (&str, &str) {
    let (number, name) = text.split_once('-').unwrap_or((text, ""));
    (number.trim(), name.trim())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn told(code: serde_json::Value, status: &str) -> Told {
        let body = json!({"Result": {"ResultType": 0, "ResultCode": code, "ResultDesc": "x",
            "OriginatorConversationID": "o", "ConversationID": "c", "TransactionID": "LKXXXX1234",
            "ResultParameters": {"ResultParameter": [
                {"Key": "DebitPartyName", "Value": "254708374149 - John Doe"},
                {"Key": "CreditPartyName", "Value": "600992 - Safaricom"},
                {"Key": "Amount", "Value": 1200}, {"Key": "TransactionStatus", "Value": status},
                {"Key": "DebitPartyCharges"}, {"Key": "ReceiptNo", "Value": "LKXXXX1234"},
                {"Key": "FinalisedTime", "Value": 20191219102115_i64}]}}});
        read_result(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_completed_payment_tells_all_of_itself() {
        let Standing::Completed(moved) = told(json!(0), "Completed").standing() else {
            panic!("it is completed");
        };
        assert_eq!(moved.receipt.as_deref(), Some("LKXXXX1234"));
        assert_eq!(moved.amount, Some(Cents::whole(1200)));
        assert_eq!(moved.shortcode, "600992");
        assert_eq!(moved.payer_name.as_deref(), Some("John Doe"));
        assert_eq!(moved.paid_at, Timestamp::parse("2019-12-19T07:21:15Z"));
        assert_eq!(told(json!("0"), "Completed"), told(json!(0), "Completed"));
    }

    #[test]
    fn what_is_unknown_decides_nothing() {
        assert!(matches!(
            told(json!(0), "Reversed").standing(),
            Standing::Not(_)
        ));
        assert!(matches!(
            told(json!(0), "Queued").standing(),
            Standing::Undecided(_)
        ));
        assert!(matches!(
            told(json!(2001), "").standing(),
            Standing::Undecided(_)
        ));
        assert!(matches!(told(json!(2001), "").sent(), Sent::Failed(_)));
        assert!(matches!(
            told(json!("R000001"), "").sent(),
            Sent::Undecided(_)
        ));
        let none = br#"{"Result":{"ResultCode":"2032","ResultDesc":"The transaction receipt number does not exist."}}"#;
        assert!(matches!(
            read_result(none).unwrap().standing(),
            Standing::Unknown(_)
        ));
        let one = br#"{"Result":{"ResultCode":0,"ResultParameters":{"ResultParameter":{"Key":"TransactionStatus","Value":"Completed"}}}}"#;
        assert!(matches!(
            read_result(one).unwrap().standing(),
            Standing::Completed(_)
        ));
    }

    #[test]
    fn an_answer_to_another_request_is_none_to_this_one() {
        let told = told(json!(0), "Completed");
        assert!(told.answers(Some("o"), Some("c")) && told.answers(None, None));
        assert!(!told.answers(Some("p"), Some("c")) && !told.answers(None, Some("d")));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,60}") {
            let _ = read_result(&bytes);
            let body = json!({"Result": {"ResultCode": text.clone(), "ResultDesc": text.clone(),
                "ResultParameters": {"ResultParameter": [{"Key": "CreditPartyName", "Value": text.clone()},
                {"Key": "TransactionStatus", "Value": "Completed"}, {"Key": "Amount", "Value": text}]}}});
            if let Ok(told) = read_result(body.to_string().as_bytes()) {
                let _ = (told.standing(), told.sent());
            }
        }
    }
}
