//! Reads what Airtel says. Fields change type and place; what is unknown is let pass and decides nothing. Reads
//! untrusted bytes: no input makes it panic.

use serde::Deserialize;
use serde_json::Value;

use crate::payments::provider::{Answer, ProviderError};

/// The codes begin so; the number behind it is what we keep of one.
const PREFIX: &str = "DP";
/// "In process": the payer is being asked.
const IN_PROCESS: i32 = 800_001_006;
/// "Ambiguous": it may have gone through.
const AMBIGUOUS: i32 = 800_001_000;
/// "Success".
const SUCCESS: i32 = 800_001_001;
/// "Transaction not found": no such prompt, or not yet.
const NOT_FOUND: i32 = 800_001_025;
/// "Transaction expired".
const EXPIRED: i32 = 800_001_029;
/// Kept of a failure without a code that can be read.
const UNNAMED: i32 = 800_001_999;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Envelope {
    data: Value,
    status: Value,
    error: Value,
    error_description: Value,
}

impl Envelope {
    fn read(body: &[u8]) -> Envelope {
        serde_json::from_slice(body).unwrap_or_default()
    }

    fn code(&self) -> Option<i32> {
        let said = |key| self.status.get(key).and_then(Value::as_str);
        let codes = [said("response_code"), said("code"), said("result_code")];
        codes.into_iter().flatten().find_map(number)
    }

    fn succeeded(&self) -> Option<bool> {
        self.status.get("success").and_then(Value::as_bool)
    }

    /// For people, cut to what fits a line.
    fn said(&self) -> String {
        let told = [
            self.status.get("message"),
            Some(&self.error_description),
            Some(&self.error),
        ];
        let text = told.into_iter().flatten().find_map(Value::as_str);
        let text = text.unwrap_or("no reason given");
        text.chars()
            .filter(|letter| !letter.is_control())
            .take(200)
            .collect()
    }

    fn transaction(&self, key: &str) -> Option<&str> {
        self.data.get("transaction")?.get(key)?.as_str()
    }
}

/// The number of a code such as `DP00800001002`.
fn number(code: &str) -> Option<i32> {
    code.trim().strip_prefix(PREFIX)?.parse().ok()
}

/// What an answer with an error status means.
pub(super) fn refused(status: u16, body: &[u8]) -> ProviderError {
    let envelope = Envelope::read(body);
    let said = envelope.said();
    match status {
        401 | 403 => ProviderError::Credentials(said),
        429 => ProviderError::Busy(said),
        400..=499 => ProviderError::Refused(said),
        // A gateway in between may have given up while Airtel went on: also where it says that it is busy.
        _ => ProviderError::Silent,
    }
}

/// Whether Airtel took a prompt: a 200 may say in its body that it did not.
pub(super) fn taken(body: &[u8]) -> Result<(), ProviderError> {
    let envelope = Envelope::read(body);
    match (envelope.code(), envelope.succeeded()) {
        (Some(IN_PROCESS | AMBIGUOUS | SUCCESS), _) | (None, Some(true)) => Ok(()),
        (Some(_), Some(true)) => Ok(()),
        (Some(_), _) | (None, Some(false)) => Err(ProviderError::Refused(envelope.said())),
        (None, None) => Err(ProviderError::Silent), // it may be on the phone
    }
}

/// What became of a prompt: `TS` paid, `TF` failed, `TE` expired, `TIP` and `TA` not decided.
pub(super) fn outcome(body: &[u8]) -> Answer {
    let envelope = Envelope::read(body);
    let code = envelope.code();
    match envelope
        .transaction("status")
        .map(str::to_ascii_uppercase)
        .as_deref()
    {
        Some("TS") => Answer::Paid {
            receipt: envelope.transaction("airtel_money_id").and_then(receipt_of),
        },
        Some("TF") => Answer::Failed {
            code: code.filter(|code| !undecided(*code)).unwrap_or(UNNAMED),
        },
        Some("TE") => Answer::Failed { code: EXPIRED },
        // An unknown word is no failure.
        Some(_) | None => Answer::Pending,
    }
}

fn undecided(code: i32) -> bool {
    matches!(code, IN_PROCESS | AMBIGUOUS | SUCCESS | NOT_FOUND)
}

/// A receipt in the form in which it is kept: letters, digits and dots, such as `MP210603.1234.L06941`.
pub fn receipt_of(text: &str) -> Option<String> {
    let text = text.trim();
    let fits = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'.';
    ((6..=32).contains(&text.len()) && text.bytes().all(fits)).then(|| text.to_ascii_uppercase())
}

/// The prompt that a call-back names.
pub(super) fn named_prompt(body: &[u8]) -> Option<String> {
    let told: Value = serde_json::from_slice(body).ok()?;
    let name = told.get("transaction")?.get("id")?.as_str()?.trim();
    (!name.is_empty() && name.len() <= 64).then(|| name.to_owned())
}

/// What a payer reads of a prompt that came to nothing.
pub fn explain(code: i32) -> &'static str {
    match code {
        800_001_002 => "The PIN was wrong.",
        800_001_003 => "Airtel Money's limits do not allow this payment.",
        800_001_004 => "Airtel Money moves no amount as small as this.",
        800_001_005 => "No PIN was typed.",
        800_001_007 => "There is not enough money in the Airtel Money account.",
        800_001_008 => "The prompt was refused.",
        800_001_010 => "This number has no Airtel Money account; pay from another one.",
        800_001_024 | EXPIRED => "The prompt expired; try again.",
        _ => "Airtel Money did not take the payment.",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn outcomes_are_read_and_what_is_unknown_decides_nothing() {
        let told = |status: &str, more: &str, code: &str| {
            let body = format!(
                r#"{{"data":{{"transaction":{{"id":"1","status":"{status}"{more}}}}},
                    "status":{{"code":"200","success":true,"response_code":"{code}"}}}}"#
            );
            outcome(body.as_bytes())
        };
        let receipt = Some("MP210603.1234.L06941".to_owned());
        let id = r#","airtel_money_id":"mp210603.1234.L06941""#;
        assert_eq!(told("TS", id, "DP00800001001"), Answer::Paid { receipt });
        assert_eq!(
            told("TS", "", "DP00800001001"),
            Answer::Paid { receipt: None }
        );
        let code = 800_001_007;
        assert_eq!(told("TF", "", "DP00800001007"), Answer::Failed { code });
        // "Failed" beside a code that says something else is still a failure.
        let code = UNNAMED;
        assert_eq!(told("TF", "", "DP00800001006"), Answer::Failed { code });
        for status in ["TIP", "TA", "", "TX"] {
            assert_eq!(
                told(status, "", "DP00800001006"),
                Answer::Pending,
                "{status}"
            );
        }
        assert_eq!(outcome(b"<html>"), Answer::Pending);
    }

    #[test]
    fn a_200_may_say_no() {
        let told = |status: &str| taken(format!(r#"{{"status":{status}}}"#).as_bytes());
        assert_eq!(
            told(r#"{"response_code":"DP00800001006","success":true}"#),
            Ok(())
        );
        assert_eq!(told(r#"{"code":"200","success":true}"#), Ok(()));
        let no = told(r#"{"message":"limit","response_code":"DP00800001003","success":false}"#);
        assert_eq!(no, Err(ProviderError::Refused("limit".to_owned())));
        assert_eq!(told("{}"), Err(ProviderError::Silent));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), status in any::<u16>()) {
            let _ = (outcome(&bytes), taken(&bytes), named_prompt(&bytes), refused(status, &bytes));
        }
    }
}
