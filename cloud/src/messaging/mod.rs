//! Messages to people. A message is written in the transaction that causes it and sent afterwards: for half a day while
//! it surely did not arrive, and never again once its fate is unknown.

mod jobs;
mod rules;
mod sms;
mod store;

use easyisp_shared::id::{CustomerId, MessageId};
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::Timestamp;

use crate::db::Tx;

pub use jobs::{AT_ONCE, SEND, Sender, send};
pub use rules::{Budget, awake, daytime};
pub use sms::SmsGateway;

pub(crate) use store::message_cte;

/// A text message that is to be sent.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its id, also our reference at the gateway.
    pub id: MessageId,
    /// To whom.
    pub to: PhoneNumber,
    /// What it says.
    pub body: String,
    /// What it is for: `receipt`, `reminder`.
    pub purpose: &'static str,
    /// Which customer it concerns.
    pub customer: Option<CustomerId>,
    /// Who caused it, for people.
    pub initiator: String,
}

/// A letter by e-mail that is to be sent.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its id.
    pub id: MessageId,
    /// The address.
    pub to: String,
    /// What it is about, one line.
    pub subject: String,
    /// What it says.
    pub body: String,
    /// What it is for: `alert`.
    pub purpose: &'static str,
    /// Who caused it, for people.
    pub initiator: String,
}

/// Writes a letter into the outbox and makes its sending due, in the caller's transaction.
pub async fn enqueue_letter(tx: &mut Tx, letter: &Letter, now: Timestamp) -> sqlx::Result<()> {
    store::enqueue_letter(tx, letter, now).await
}

/// Writes a message into the outbox and makes its sending due, in the caller's transaction.
pub async fn enqueue(tx: &mut Tx, message: &Message, now: Timestamp) -> sqlx::Result<()> {
    store::enqueue(tx, message, now).await
}
