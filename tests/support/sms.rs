//! Pretend SMS gateways: the TextSMS family and Africa's Talking. They take, record and report messages.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use easyisp_shared::time::{Clock, Timestamp};

use crate::mpesa::msisdn;
use crate::scenario::{Delivery, TextAnswer, Texting};

mod gateways;

/// The API key every pretend gateway knows.
pub const API_KEY: &str = "demo-sms-key";
/// Most messages a gateway remembers; it refuses more.
const MOST_MESSAGES: usize = 100_000;

/// A handle on the pretend gateways; clones share them.
#[derive(Clone)]
pub struct Sms {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    state: Mutex<State>,
    changed: watch::Sender<()>,
    stop: CancellationToken,
}

struct State {
    keys: Vec<String>,
    everybody: Texting,
    phones: HashMap<String, Texting>,
    messages: Vec<Message>,
}

/// One message that a gateway was asked to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The gateway's id, from 1.
    pub id: u64,
    /// Which gateway it came by.
    pub provider: Provider,
    /// To whom, `2547…`.
    pub to: String,
    /// The sender id.
    pub sender: String,
    /// The text.
    pub text: String,
    /// The caller's own reference (`clientsmsid`).
    pub reference: Option<String>,
    /// When it was asked for.
    pub at: Timestamp,
    /// `None` when it went out; the provider's code when it was refused.
    pub refused: Option<u32>,
    /// What the delivery report says.
    pub delivery: Delivery,
}

/// The families that are pretended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Provider {
    /// TextSMS, Advanta, Celcom.
    TextSms,
    /// Africa's Talking.
    AfricasTalking,
}

/// What the caller of a gateway hears about one message.
enum Heard {
    Accepted(u64),
    Refused(u32),
    Silence,
    Http(u16),
}

impl Sms {
    pub(crate) fn new(clock: Clock, stop: CancellationToken) -> Sms {
        Sms {
            shared: Arc::new(Shared {
                clock,
                state: Mutex::new(State {
                    keys: vec![API_KEY.to_owned()],
                    everybody: Texting::default(),
                    phones: HashMap::new(),
                    messages: Vec::new(),
                }),
                changed: watch::Sender::new(()),
                stop,
            }),
        }
    }

    /// The gateways' routes and the pretend ones.
    pub(crate) fn routes(&self) -> Router {
        gateways::routes(self.clone())
    }

    /// Makes another API key known.
    pub fn add_key(&self, key: &str) {
        self.state().keys.push(key.to_owned());
    }

    /// Scripts messages to this phone.
    pub fn script(&self, phone: &str, texting: Texting) {
        self.state().phones.insert(msisdn(phone), texting);
    }

    /// Scripts messages to everybody without words of his own.
    pub fn script_everybody(&self, texting: Texting) {
        self.state().everybody = texting;
    }

    /// Every message asked for, oldest first, refused ones too.
    pub fn messages(&self) -> Vec<Message> {
        self.state().messages.clone()
    }

    /// The messages that went out to this phone, oldest first.
    pub fn received(&self, phone: &str) -> Vec<Message> {
        let phone = msisdn(phone);
        let mut messages = self.messages();
        messages.retain(|message| message.to == phone && message.refused.is_none());
        messages
    }

    /// Waits for the next message to this phone after the `seen` ones before; never sleeps.
    pub async fn message(&self, phone: &str, seen: usize) -> Message {
        let mut changed = self.shared.changed.subscribe();
        loop {
            if let Some(message) = self.received(phone).into_iter().nth(seen) {
                return message;
            }
            changed
                .changed()
                .await
                .expect("the sender lives as long as this handle");
        }
    }

    fn knows(&self, key: &str) -> bool {
        self.state().keys.iter().any(|known| known == key)
    }

    /// Takes one message as scripted for its receiver.
    fn take(&self, provider: Provider, draft: Draft) -> Heard {
        let at = self.shared.clock.now();
        let to = msisdn(&draft.to);
        let invalid = match provider {
            Provider::TextSms => 1003,
            Provider::AfricasTalking => 403,
        };
        let mut state = self.state();
        let texting = state.phones.get(&to).unwrap_or(&state.everybody).clone();
        let is_number = to.len() == 12 && to.bytes().all(|digit| digit.is_ascii_digit());

        let refused = match texting.answer {
            TextAnswer::Lost => return Heard::Silence,
            TextAnswer::HttpError(status) => return Heard::Http(status),
            TextAnswer::Reject(code) => Some(code),
            TextAnswer::Accept | TextAnswer::AcceptThenSilence => (!is_number).then_some(invalid),
        };
        if state.messages.len() >= MOST_MESSAGES {
            return Heard::Http(503);
        }
        let id = state.messages.len() as u64 + 1;
        state.messages.push(Message {
            id,
            provider,
            to,
            sender: draft.sender,
            text: draft.text,
            reference: draft.reference,
            at,
            refused,
            delivery: texting.delivery,
        });
        drop(state);
        self.shared.changed.send_replace(());

        match (refused, texting.answer) {
            (Some(code), _) => Heard::Refused(code),
            (None, TextAnswer::AcceptThenSilence) => Heard::Silence,
            (None, _) => Heard::Accepted(id),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .expect("no change of the state panics")
    }
}

/// A message as its sender wrote it.
struct Draft {
    to: String,
    sender: String,
    text: String,
    reference: Option<String>,
}
