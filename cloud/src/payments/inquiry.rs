//! "What became of this payment?": asked of M-Pesa, which answers later. The answer proves money that is held, takes
//! it back, or books what nobody had told of.

use std::time::Duration;

use easyisp_shared::id::{GatewayId, InquiryId, OperatorId, RefundId, SettlementId, TenantId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Payments;
use super::arrival::Arrival;
use super::book::{self, Booking, HEARSAY, Trust};
use super::mpesa::c2b::is_at;
use super::mpesa::failed;
use super::mpesa::initiator::About;
use super::mpesa::result::{Moved, Standing, Told};
use super::owner::Keys;
use super::prompt::PromptError;
use super::provider::ProviderError;
use super::rules::{Claim, Event};
use super::settle;
use super::store as payments_store;
use super::store::arrivals;
use super::store::inquiries::{self as store, Inquiry, Sending};
use crate::db::Tx;
use crate::due;
use crate::renewals::{self, RenewError};

/// The kind of the due job that asks a question; its subject is the question.
pub const INQUIRE: &str = "payments.inquire";

/// How often a question is asked before it is given up. Asking does nothing to a payment.
const MOST_ATTEMPTS: i32 = 4;

/// Where a question stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = InquiryState)]
pub enum State {
    /// Written down.
    Created,
    /// Asked, and the answer has not come.
    Asked,
    /// M-Pesa says that the money moved, and it is booked.
    Confirmed,
    /// M-Pesa says that it did not, or not to us; what was held for it is taken out of the books.
    Refuted,
    /// The answer decides nothing.
    Undecided,
    /// M-Pesa does not take the question.
    Refused,
    /// It was asked several times and no answer came.
    Unanswered,
}

impl State {
    fn is_open(self) -> bool {
        match self {
            State::Created | State::Asked => true,
            State::Confirmed
            | State::Refuted
            | State::Undecided
            | State::Refused
            | State::Unanswered => false,
        }
    }
}

/// How long an answer is waited for before the question is asked again.
fn patience(attempts: i32) -> Duration {
    const MINUTE: Duration = Duration::from_secs(60);
    match attempts {
        ..=1 => MINUTE * 2,
        2 => MINUTE * 10,
        _ => MINUTE * 60,
    }
}

/// Writes a question down; it is asked at once. The open one where there is one about this receipt.
pub(super) async fn open(
    tx: &mut Tx,
    gateway: GatewayId,
    about: &About,
    sending: Option<Sending>,
    by: Option<OperatorId>,
    now: Timestamp,
) -> sqlx::Result<InquiryId> {
    let id = InquiryId::new(now, &tx.entropy());
    let made = store::open(tx, id, gateway, about, sending, by, now).await?;
    if made == id {
        due::at(tx, INQUIRE, id, now).await?;
    }
    Ok(made)
}

/// The same for a receipt that is known and not proved, where the short code has an initiator.
pub(super) async fn open_by_itself(
    tx: &mut Tx,
    gateway: GatewayId,
    receipt: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    if store::can_ask(tx, gateway).await? {
        let about = About::Receipt(receipt.to_owned());
        open(tx, gateway, &about, None, None, now).await?;
    }
    Ok(())
}

impl Payments {
    /// Asks a question, and again when no answer has come. `Some` = when to look again.
    pub async fn inquire(
        &self,
        tenant: TenantId,
        id: InquiryId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, PromptError> {
        let mut tx = self.db.begin(tenant).await?;
        let Some(mut inquiry) = store::lock(&mut tx, id).await? else {
            return Ok(None);
        };
        if !inquiry.state.is_open() {
            return Ok(None);
        }
        if inquiry.attempts >= MOST_ATTEMPTS {
            (inquiry.state, inquiry.message) = (State::Unanswered, Some(UNANSWERED.to_owned()));
            store::save(&mut tx, &inquiry).await?;
            tx.commit().await?;
            return Ok(None);
        }
        let asking = match self.asking(&mut tx, inquiry.gateway_id).await {
            Ok(asking) => asking,
            Err(
                error @ (PromptError::NoInitiator
                | PromptError::Platform(_)
                | PromptError::NoSources
                | PromptError::Certificate(_)
                | PromptError::NoPublicUrl
                | PromptError::PublicUrlRefused(_)),
            ) => {
                (inquiry.state, inquiry.message) = (State::Refused, Some(error.to_string()));
                store::save(&mut tx, &inquiry).await?;
                tx.commit().await?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        (inquiry.state, inquiry.asked_at) = (State::Asked, Some(now));
        inquiry.attempts += 1;
        store::save(&mut tx, &inquiry).await?;
        tx.commit().await?;

        let (about, urls) = (inquiry.about(), asking.urls(id.0));
        let (merchant, initiator) = (&asking.merchant, &asking.initiator);
        let asked = self.daraja.ask_status(merchant, initiator, &about, &urls);
        let asked = asked.await;
        let mut tx = self.db.begin(tenant).await?;
        let Some(mut inquiry) = store::lock(&mut tx, id).await? else {
            return Ok(None);
        };
        if !inquiry.state.is_open() {
            return Ok(None); // the answer was faster
        }
        match asked {
            Ok(taken) => {
                inquiry.originator_conversation_id = Some(taken.originator_conversation_id);
                inquiry.conversation_id = Some(taken.conversation_id);
            }
            Err(
                error @ (ProviderError::Busy(_)
                | ProviderError::Unreachable
                | ProviderError::Silent),
            ) => {
                tracing::info!(inquiry.id = %id, "M-Pesa does not take a question now: {error}");
            }
            Err(
                error @ (ProviderError::Refused(_)
                | ProviderError::Credentials(_)
                | ProviderError::Registered(_)
                | ProviderError::NoProduct(_)),
            ) => {
                (inquiry.state, inquiry.message) =
                    (State::Refused, Some(failed(error).to_string()));
            }
        }
        store::save(&mut tx, &inquiry).await?;
        tx.commit().await?;
        let again = now.plus(patience(inquiry.attempts));
        Ok(inquiry.state.is_open().then_some(again))
    }
}

/// Takes an answer to a question about a receipt: what it means is booked in this transaction, which the caller
/// commits.
///
/// # Errors
/// [`RenewError::ReceiptKnown`] when the receipt was booked meanwhile: the transaction is then spent, and the
/// answer is taken once more.
pub(super) async fn answer(
    tx: &mut Tx,
    inquiry: &mut Inquiry,
    told: &Told,
    now: Timestamp,
) -> Result<(), RenewError> {
    let receipt = inquiry.receipt().unwrap_or_default().to_owned();
    let (state, message) = match told.standing() {
        Standing::Completed(moved) => {
            let what = (moved.amount, moved.paid_at);
            let said = confirm(tx, inquiry, &receipt, *moved, now).await?;
            // What others on this platform were paid is theirs to know.
            if ![NOT_YOURS, ANOTHERS].contains(&said.1.as_str()) {
                (inquiry.amount, inquiry.paid_at) = what;
            }
            said
        }
        Standing::Not(word) => {
            let why = format!("M-Pesa says of this payment: {word}");
            refute(tx, &receipt, &why, now).await?
        }
        Standing::Unknown(said) => refute(tx, &receipt, &said, now).await?,
        Standing::Undecided(why) => (State::Undecided, why),
    };
    if state != State::Confirmed {
        tracing::info!(inquiry.id = %inquiry.id, ?state, "M-Pesa answered a question: {message}");
    }
    (inquiry.state, inquiry.message) = (state, Some(message));
    inquiry.answered_at = Some(now);
    store::save(tx, inquiry).await?;
    due::never(tx, INQUIRE, inquiry.id).await?;
    Ok(())
}

/// The money moved: what is held for it is proved, what a prompt claims is true, what nobody told of is booked.
async fn confirm(
    tx: &mut Tx,
    inquiry: &Inquiry,
    receipt: &str,
    moved: Moved,
    now: Timestamp,
) -> Result<(State, String), RenewError> {
    let Some(amount) = moved.amount.filter(|amount| amount.is_positive()) else {
        return Ok((State::Undecided, "M-Pesa names no amount".to_owned()));
    };
    if moved.receipt.as_deref().is_some_and(|told| told != receipt) {
        return Ok((
            State::Undecided,
            "M-Pesa answers about another receipt".to_owned(),
        ));
    }
    let account = arrivals::account_of(tx, receipt).await?;
    let arrival = Arrival {
        receipt: receipt.to_owned(),
        amount,
        paid_at: moved.paid_at,
        reference: account.clone().unwrap_or_default(),
        payer: moved.payer,
        payer_name: moved.payer_name,
    };
    // What the payer typed is known where his payment is held; the answer does not say it, and to go by his phone
    // alone would be a guess.
    let keys = match account {
        Some(_) => Keys::of(&arrival),
        None => Keys::none(),
    };
    let gateway = inquiry.gateway_id;
    let found = arrivals::find(tx, gateway, &arrival, &keys, book::since(now)).await?;
    let Some(found) = found else {
        return Ok((State::Undecided, "The payment gateway is gone".to_owned()));
    };
    if !is_at(&found.at, &moved.shortcode) {
        let why = format!("M-Pesa says that it went to short code {}", moved.shortcode);
        return refute(tx, receipt, &why, now).await;
    }
    // Many tenants share the platform's short code: who asks about a receipt that is not known to be his is not
    // given its money.
    if found.at.platform && !store::is_of(tx, gateway, receipt).await? {
        return Ok((State::Undecided, NOT_YOURS.to_owned()));
    }
    if found.known {
        return Ok(
            match book::confirm(tx, gateway, found, &arrival, &keys, Trust::Told, now).await? {
                Booking::Booked => (State::Confirmed, "M-Pesa confirms it".to_owned()),
                Booking::Known => (
                    State::Confirmed,
                    "M-Pesa confirms it; it was booked".to_owned(),
                ),
                Booking::Differs => (
                    State::Undecided,
                    format!(
                        "M-Pesa says {amount}, and another amount is booked; look in the statement"
                    ),
                ),
                Booking::Elsewhere => (State::Undecided, ANOTHERS.to_owned()),
            },
        );
    }
    if let Some(mut intent) = payments_store::lock_claiming(tx, receipt).await?
        && intent.amount == amount
    {
        let claim = Claim {
            receipt: receipt.to_owned(),
            amount: Some(amount),
            paid_at: moved.paid_at,
        };
        // What is to be asked then was answered by this.
        let _: settle::Then = settle::apply(tx, &mut intent, Event::Paid(claim), now).await?;
        return Ok((
            State::Confirmed,
            "M-Pesa confirms it; it is credited".to_owned(),
        ));
    }
    let trust = Trust::Asked(inquiry.operator_id);
    let _: settle::Then = book::book(tx, gateway, found, &arrival, &keys, trust, now).await?;
    let message = "M-Pesa confirms it; it is booked, and is nobody's yet: allocate it";
    Ok((State::Confirmed, message.to_owned()))
}

/// The money did not move, or not to us: what is held on nobody's word is taken out of the books, and a prompt that
/// claims it claims it no longer. What was credited is for a person.
async fn refute(
    tx: &mut Tx,
    receipt: &str,
    why: &str,
    now: Timestamp,
) -> Result<(State, String), RenewError> {
    if let Some(mut intent) = payments_store::lock_claiming(tx, receipt).await? {
        let mut push = intent.push();
        push.claim = None;
        intent.set(&push, now);
        intent.needs_review = Some(format!("Receipt {receipt} was claimed: {why}"));
        payments_store::save(tx, &intent, now).await?;
    }
    let Some(told) = arrivals::lock_told(tx, receipt).await? else {
        return Ok((State::Refuted, why.to_owned()));
    };
    let hearsay = HEARSAY.contains(&told.description.as_str());
    if hearsay && told.alone && told.customer.is_none() {
        renewals::refute(tx, told.id, now).await?;
        arrivals::describe(tx, told.id, REFUTED).await?;
        return Ok((
            State::Refuted,
            format!("{why}. What was held for it is taken out of the books"),
        ));
    }
    tracing::warn!(payment.id = %told.id, "M-Pesa refutes a payment that is booked: {why}");
    let message = match told.customer {
        Some(_) => format!("{why}. It is credited to a customer: take it back from him by hand"),
        None => format!("{why}. It is booked: look in the statement"),
    };
    Ok((State::Undecided, message))
}

/// What stands beside money that was held and that there never was.
const REFUTED: &str = "M-Pesa, refuted: M-Pesa says that there is no such payment";
/// What he reads about a receipt of the platform's short code that is not known to be his.
const NOT_YOURS: &str =
    "This receipt is of the platform's short code and is not known to be yours; ask the platform";
/// What he reads about one that somebody else proved to be his.
const ANOTHERS: &str = "This receipt is booked, for somebody else on this platform";
/// What a person reads when no answer came.
const UNANSWERED: &str = "M-Pesa did not answer; ask again, or look in the statement";

/// A question as the API shows it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Inquiry)]
pub struct Shown {
    id: InquiryId,
    /// The receipt that is asked about; null for money that was sent.
    receipt: Option<String>,
    refund_id: Option<RefundId>,
    /// The platform's settlement that is asked after.
    settlement_id: Option<SettlementId>,
    gateway_id: GatewayId,
    state: State,
    /// What M-Pesa says was paid.
    amount: Option<Cents>,
    /// When it says that.
    paid_at: Option<Timestamp>,
    /// For people.
    message: Option<String>,
    created_at: Timestamp,
    answered_at: Option<Timestamp>,
}

impl From<Inquiry> for Shown {
    fn from(row: Inquiry) -> Shown {
        Shown {
            id: row.id,
            receipt: row.receipt().map(str::to_owned),
            refund_id: row.refund_id,
            settlement_id: row.settlement_id,
            gateway_id: row.gateway_id,
            state: row.state,
            amount: row.amount,
            paid_at: row.paid_at,
            message: row.message,
            created_at: row.created_at,
            answered_at: row.answered_at,
        }
    }
}
