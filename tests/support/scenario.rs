//! The words in which a story, the demo or a person says how the outside world behaves.
//!
//! All of them stand here: the payer and his provider ([`Payer`], [`Outage`]), the SMS gateway
//! ([`Texting`]) and the router ([`Manners`], [`ApiManners`]). In Rust they are set on the handles; from
//! a shell they are JSON (names in snake case, durations in milliseconds, what is left out is as in
//! `default()`):
//!
//! ```text
//! curl :8090/pretend/scenario?phone=254712345678 -d '{"pin":{"after":3000},"result":{"code":1032}}'
//! curl :8090/pretend/scenario -d '{"callback":"never"}'            # everybody without words of his own
//! curl :8090/pretend/outage -d '{"error":"500.003.02"}'
//! curl :8090/pretend/direct -d '{"shortcode":"174379","phone":"0712345678","amount":"1000","reference":"10000008"}'
//! curl :8090/pretend/texting -d '{"answer":"accept_then_silence"}'
//! curl :8090/pretend/transactions                               # the books; also /pretend/messages
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one payer does with a prompt on his phone, and what M-Pesa tells about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Payer {
    /// What the caller of the push hears.
    pub push: PushAnswer,
    /// When the payer types the PIN.
    pub pin: Pin,
    /// How the payment ends once he has.
    pub result: PinResult,
    /// How much money moves.
    pub paid: Paid,
    /// When and how often the callback comes.
    pub callback: Callback,
    /// When and how often the confirmation comes, where the short code has registered for them.
    pub confirmation: Callback,
    /// What the status query answers, whatever happened.
    pub query: QueryAnswer,
}

impl Default for Payer {
    /// Types the PIN after a second and has the money; everything works.
    fn default() -> Payer {
        Payer {
            push: PushAnswer::Accepted,
            pin: Pin::After(Duration::from_secs(1)),
            result: PinResult::Paid,
            paid: Paid::Asked,
            callback: Callback::Now,
            confirmation: Callback::Now,
            query: QueryAnswer::Honest,
        }
    }
}

impl Payer {
    /// Pays at once, everything works: what most stories want.
    pub fn prompt() -> Payer {
        Payer {
            pin: Pin::After(Duration::ZERO),
            ..Payer::default()
        }
    }

    /// Ends with M-Pesa's `code` at once: 1 no money, 1032 cancelled, 1037 unreachable, 2001 wrong PIN.
    pub fn refusing(code: i32) -> Payer {
        Payer {
            result: PinResult::Code(code),
            ..Payer::prompt()
        }
    }
}

/// How M-Pesa does what a short code's initiator asks for, which it answers later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Errand {
    /// What the caller hears at once; `Accepted` and `AcceptedThenSilence` do it.
    pub answer: PushAnswer,
    /// When and how often the result comes.
    pub result: Callback,
    /// It is not come to in time: the other address is told, and nothing is done.
    pub late: bool,
    /// The result's `ResultCode` and `ResultDesc`; nothing is done then.
    pub code: Option<(String, String)>,
}

impl Default for Errand {
    /// Done, and told at once.
    fn default() -> Errand {
        Errand {
            answer: PushAnswer::Accepted,
            result: Callback::Now,
            late: false,
            code: None,
        }
    }
}

/// What the caller of the push hears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushAnswer {
    /// The prompt is on its way.
    Accepted,
    /// An error envelope with this `errorCode`; no prompt. Its first three digits are the HTTP status.
    Error(String),
    /// The prompt reaches the phone and the payer acts, but the answer never comes.
    AcceptedThenSilence,
    /// Neither prompt nor answer.
    Lost,
}

/// When the payer types the PIN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// That long after the prompt.
    After(#[serde(with = "millis")] Duration),
    /// When the test says so ([`crate::mpesa::Mpesa::type_pin`], `POST /pretend/type-pin/{checkout}`).
    Held,
    /// Never: the prompt ends by itself after a minute with code 1037.
    Never,
}

/// How the payment ends once the PIN was typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinResult {
    /// The money moves and a receipt is on the books.
    Paid,
    /// No money moves; M-Pesa's `ResultCode`.
    Code(i32),
}

/// How much money moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Paid {
    /// What was asked for.
    Asked,
    /// The `Amount` of the callback, word for word as JSON: `999`, `1000.50`, `"1.00"`, `-5`.
    Exactly(String),
}

/// When and how often a callback or confirmation comes, counted from the typed PIN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Callback {
    /// Once, at once.
    Now,
    /// Once, that much later.
    Late(#[serde(with = "millis")] Duration),
    /// When the test says so ([`crate::mpesa::Mpesa::release`], `POST /pretend/release/{checkout}`).
    Held,
    /// Several times, `apart` from each other; zero sends all copies at the same moment.
    Repeated {
        /// How many copies.
        times: u32,
        /// The pause between two copies.
        #[serde(with = "millis")]
        apart: Duration,
    },
    /// Never; only the status query and the books know.
    Never,
    /// Before the push itself is answered: the PIN is typed at once. A confirmation comes at once.
    BeforeAnswer,
}

/// What the status query answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryAnswer {
    /// What the books say.
    Honest,
    /// This `ResultCode`, whatever the books say.
    Code(i32),
    /// An error envelope with this `errorCode`.
    Error(String),
}

/// What befalls all of M-Pesa at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    /// It works.
    #[default]
    None,
    /// Every call is answered with this `errorCode`: `500.003.02`, `503.001.01`.
    Error(String),
    /// Calls are taken and never answered.
    Silence,
    /// Every call takes that much longer.
    Slow(#[serde(with = "millis")] Duration),
}

/// What the SMS gateway does with a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Texting {
    /// What the caller hears.
    pub answer: TextAnswer,
    /// What the delivery report says later.
    pub delivery: Delivery,
}

/// What the sender of a message hears.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextAnswer {
    /// Accepted; the message goes out.
    #[default]
    Accept,
    /// The provider's own code (TextSMS 1001–1008, Africa's Talking 401–501); nothing goes out.
    Reject(u32),
    /// The message goes out, but the answer never comes.
    AcceptThenSilence,
    /// Neither message nor answer.
    Lost,
    /// This HTTP status with a body that is no JSON; nothing goes out.
    HttpError(u16),
}

/// What a delivery report says of an accepted message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// It reached the phone.
    #[default]
    Delivered,
    /// It did not.
    Failed,
    /// Nobody knows yet.
    Pending,
}

/// How the router treats CoA and Disconnect requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manners {
    /// As RouterOS does with `/radius incoming accept=yes`.
    #[default]
    Obey,
    /// Silence: `accept=no`, a firewall, or another port.
    Ignore,
    /// NAK with this Error-Cause.
    Nak(u32),
    /// ACK, and nothing happens.
    AckWithoutEffect,
    /// An ACK that somebody without the secret sent, and nothing happens.
    ForgedAck,
}

/// How the router's API treats its visitors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiManners {
    /// As RouterOS does.
    #[default]
    Obey,
    /// Lists everything and removes nothing: a user without the `write` policy.
    RefuseRemoval,
    /// Says that it removed, and nothing happens.
    PretendRemoval,
    /// Takes connections and commands and says nothing.
    Silent,
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_person_writes_only_what_differs() {
        let payer: Payer = serde_json::from_str(
            r#"{"pin": {"after": 3000}, "callback": {"repeated": {"times": 2, "apart": 0}}}"#,
        )
        .unwrap();

        assert_eq!(payer.pin, Pin::After(Duration::from_secs(3)));
        assert_eq!(
            payer.callback,
            Callback::Repeated {
                times: 2,
                apart: Duration::ZERO
            }
        );
        assert_eq!(payer.result, PinResult::Paid);
    }

    #[test]
    fn a_misspelt_word_is_refused() {
        assert!(serde_json::from_str::<Payer>(r#"{"pim": "never"}"#).is_err());
    }
}
