//! Money that goes back to who paid it. One operator asks for it and another approves it; then it is set aside, sent
//! once, and gone when M-Pesa says so. What is not known is asked, never sent again.

use std::time::Duration;

use easyisp_shared::id::{RefundId, TenantId};
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::mpesa::failed;
use super::mpesa::initiator::{About, Taken};
use super::mpesa::result::{Sent, Standing, Told};
use super::mpesa::results::Asking;
use super::prompt::PromptError;
use super::provider::ProviderError;
use super::store::inquiries::{Inquiry, Sending};
use super::store::refunds::{self as store, Refund};
use super::words::GatewayType;
use super::{Payments, inquiry};
use crate::db::Tx;
use crate::due;
use crate::renewals::{self, RenewError};

/// The kind of the due job that sends money back and asks what became of it; its subject is the refund.
pub const REFUND: &str = "payments.refund";

/// Where a refund stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = RefundState)]
pub enum State {
    /// Asked for; another operator decides.
    Requested,
    /// Approved; the money is set aside, and M-Pesa is about to be asked to send it.
    Approved,
    /// M-Pesa was asked, and its answer has not come.
    Sent,
    /// Nobody knows whether it went: M-Pesa is asked, and in the end a person says.
    Unknown,
    /// The money went back.
    Done,
    /// It did not and will not; it is its owner's again.
    Failed,
    /// Not approved, or taken back by who asked for it.
    Declined,
}

/// How often it is sent while M-Pesa says that it did nothing.
const MOST_ATTEMPTS: i32 = 8;
/// How long an answer is waited for before M-Pesa is asked what became of it.
const ANSWER: Duration = Duration::from_secs(300);
/// The same when nobody saw whether M-Pesa took it: longer than the call lasts.
const CALL: Duration = Duration::from_secs(120);
/// How long after that it is asked once more.
const ASK_AFTER: [Duration; 5] = [
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(3 * 3600),
    Duration::from_secs(20 * 3600),
];

/// What a person reads while it is not known whether the money went.
const NO_ANSWER: &str = "M-Pesa did not say whether the money went; it is being asked";
/// What he reads when asking did not help.
const LOOK: &str =
    "M-Pesa does not say whether the money went; look in its statement and say what it shows";
/// What he reads where the provider sends nothing back at our word.
fn by_hand(provider: GatewayType) -> String {
    let provider = provider.name();
    format!("Send it back in {provider}'s own portal, then say here what its statement shows")
}

/// What he reads when the payer's phone was forgotten.
const NO_PHONE: &str = "The payer's phone is not known any more";

impl Payments {
    /// Does what is to be done next about a refund: sends it, once, or asks what became of it. `Some` = when to look
    /// again.
    pub async fn send_back(
        &self,
        tenant: TenantId,
        id: RefundId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, PromptError> {
        let mut tx = self.db.begin(tenant).await?;
        let Some(mut refund) = store::lock(&mut tx, id).await? else {
            return Ok(None);
        };
        match refund.state {
            State::Requested | State::Done | State::Failed | State::Declined => return Ok(None),
            State::Sent => {
                let taken = refund.conversation_id.is_some();
                let patience = if taken { ANSWER } else { CALL };
                let until = refund.sent_at.unwrap_or(now).plus(patience);
                if now < until {
                    return Ok(Some(until));
                }
                (refund.state, refund.message) = (State::Unknown, Some(NO_ANSWER.to_owned()));
                return ask(tx, refund, now).await;
            }
            State::Unknown if refund.provider.sends_back() => return ask(tx, refund, now).await,
            State::Unknown => return Ok(None), // a person says what he did
            State::Approved if !refund.provider.sends_back() => {
                refund.state = State::Unknown;
                refund.message = Some(by_hand(refund.provider));
                store::save(&mut tx, &refund).await?;
                tx.commit().await?;
                return Ok(None);
            }
            State::Approved => {}
        }
        let asking = match self.asking(&mut tx, refund.gateway_id).await {
            Ok(asking) => asking,
            Err(error @ (PromptError::Database(_) | PromptError::Secret(_))) => return Err(error),
            Err(error) => {
                // Nothing was sent, and without a change of the settings nothing will be.
                fail(&mut tx, &mut refund, error.to_string(), now).await?;
                tx.commit().await?;
                return Ok(None);
            }
        };
        let phone = refund.phone.as_deref().and_then(PhoneNumber::parse);
        if !refund.whole && phone.is_none() || refund.paid_receipt.is_none() {
            fail(&mut tx, &mut refund, NO_PHONE.to_owned(), now).await?;
            tx.commit().await?;
            return Ok(None);
        }
        // Written before it is sent: who finds it written and no answer asks, and does not send it again.
        (refund.state, refund.sent_at) = (State::Sent, Some(now));
        refund.attempts += 1;
        if !refund.whole {
            refund.originator_conversation_id = Some(id.to_string());
        }
        store::save(&mut tx, &refund).await?;
        tx.commit().await?;

        let taken = self.send(&asking, &refund, phone.as_ref()).await;
        self.sent(tenant, id, taken, now).await
    }

    async fn send(
        &self,
        asking: &Asking,
        refund: &Refund,
        phone: Option<&PhoneNumber>,
    ) -> Result<Taken, ProviderError> {
        let (merchant, initiator) = (&asking.merchant, &asking.initiator);
        let urls = asking.urls(refund.id.0);
        match phone.filter(|_| !refund.whole) {
            Some(phone) => {
                let (name, to) = (refund.id.to_string(), (phone.as_str(), refund.amount));
                let sending = self.daraja.pay_out(merchant, initiator, &name, to, &urls);
                sending.await
            }
            None => {
                let receipt = refund.paid_receipt.as_deref().unwrap_or_default();
                let what = (receipt, refund.amount);
                let sending = self.daraja.reverse(merchant, initiator, what, &urls);
                sending.await
            }
        }
    }

    /// Writes what M-Pesa said to the sending, unless the result was faster.
    async fn sent(
        &self,
        tenant: TenantId,
        id: RefundId,
        taken: Result<Taken, ProviderError>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, PromptError> {
        let mut tx = self.db.begin(tenant).await?;
        let refund = store::lock(&mut tx, id).await?;
        let Some(mut refund) = refund.filter(|refund| refund.state == State::Sent) else {
            return Ok(None);
        };
        let next = match taken {
            Ok(taken) => {
                if !taken.originator_conversation_id.is_empty() {
                    refund.originator_conversation_id = Some(taken.originator_conversation_id);
                }
                refund.conversation_id = Some(taken.conversation_id);
                Some(now.plus(ANSWER))
            }
            Err(error @ (ProviderError::Busy(_) | ProviderError::Unreachable))
                if refund.attempts < MOST_ATTEMPTS =>
            {
                (refund.state, refund.message) = (State::Approved, Some(failed(error).to_string()));
                let minutes = 1_u64 << refund.attempts.clamp(0, 6);
                Some(now.plus(Duration::from_secs(60 * minutes)))
            }
            Err(ProviderError::Silent) => {
                (refund.state, refund.message) = (State::Unknown, Some(NO_ANSWER.to_owned()));
                Some(now.plus(ASK_AFTER[0]))
            }
            Err(error) => {
                fail(&mut tx, &mut refund, failed(error).to_string(), now).await?;
                None
            }
        };
        store::save(&mut tx, &refund).await?;
        tx.commit().await?;
        Ok(next)
    }
}

/// Asks M-Pesa what became of it; after a day it is for a person.
async fn ask(
    mut tx: Tx,
    mut refund: Refund,
    now: Timestamp,
) -> Result<Option<Timestamp>, PromptError> {
    let nth = usize::try_from(refund.asked).unwrap_or(usize::MAX);
    let next = ASK_AFTER.get(nth).map(|pause| now.plus(*pause));
    if next.is_none() {
        refund.message = Some(LOOK.to_owned());
        tracing::warn!(refund.id = %refund.id, "A refund needs a person: {LOOK}");
        store::save(&mut tx, &refund).await?;
        tx.commit().await?;
        return Ok(None);
    }
    let about = match (&refund.originator_conversation_id, &refund.paid_receipt) {
        (Some(name), _) => About::Conversation(name.clone()),
        // Nobody saw under which name M-Pesa took the reversal: the payment itself may say.
        (None, receipt) => About::Receipt(receipt.clone().unwrap_or_default()),
    };
    refund.asked += 1;
    inquiry::open(
        &mut tx,
        refund.gateway_id,
        &about,
        Some(Sending::Refund(refund.id)),
        None,
        now,
    )
    .await?;
    store::save(&mut tx, &refund).await?;
    tx.commit().await?;
    Ok(next)
}

/// Takes the result of sending (`None`: M-Pesa did not come to it in time); why it has no effect.
pub(super) async fn answer(
    tx: &mut Tx,
    refund: &mut Refund,
    told: Option<&Told>,
    now: Timestamp,
) -> Result<Option<&'static str>, RenewError> {
    let (originator, conversation) = (&refund.originator_conversation_id, &refund.conversation_id);
    let ours = |told: &Told| told.answers(originator.as_deref(), conversation.as_deref());
    if told.is_some_and(|told| !ours(told)) {
        return Ok(Some("the answer to another request"));
    }
    match (refund.state, told.map(Told::sent)) {
        (State::Requested | State::Declined, _) => return Ok(Some("nobody approved it")),
        (State::Done, Some(Sent::Done(_)) | None) => return Ok(Some("it was told before")),
        (State::Done, Some(Sent::Failed(_) | Sent::Undecided(_))) => {
            return Ok(Some("M-Pesa said before that it was sent"));
        }
        (State::Approved | State::Sent | State::Unknown, Some(Sent::Done(receipt))) => {
            done(tx, refund, receipt, now).await?;
        }
        (State::Sent | State::Unknown, Some(Sent::Failed(why))) => {
            fail(tx, refund, why, now).await?;
        }
        (State::Sent | State::Unknown, Some(Sent::Undecided(why))) => {
            (refund.state, refund.message) = (State::Unknown, Some(why));
            due::at(tx, REFUND, refund.id, now.plus(ASK_AFTER[0])).await?;
        }
        (State::Sent | State::Unknown, None) => {
            (refund.state, refund.message) = (State::Unknown, Some(NO_ANSWER.to_owned()));
            due::at(tx, REFUND, refund.id, now.plus(ASK_AFTER[0])).await?;
        }
        (State::Approved | State::Failed, Some(Sent::Failed(_) | Sent::Undecided(_)) | None) => {
            return Ok(Some("it is not under way"));
        }
        // It went after all: what was given back to its owner is set aside again, and gone.
        (State::Failed, Some(Sent::Done(receipt))) => {
            refund.bearer_id = None; // what he gave he has again
            match renewals::reserve(tx, &refund.money(), now).await {
                Ok(bearer) => {
                    refund.bearer_id = bearer;
                    done(tx, refund, receipt, now).await?;
                }
                Err(RenewError::NotRefundable) => {
                    let what = "M-Pesa sent it after it said that it would not, and the payment is spoken for; look in \
                            the statement";
                    tracing::warn!(refund.id = %refund.id, "A refund needs a person: {what}");
                    refund.message = Some(what.to_owned());
                }
                Err(error) => return Err(error),
            }
        }
    }
    store::save(tx, refund).await?;
    Ok(None)
}

/// Takes the answer to "what became of it?".
pub(super) async fn answer_asked(
    tx: &mut Tx,
    refund: &mut Refund,
    inquiry: &Inquiry,
    told: &Told,
    now: Timestamp,
) -> Result<(inquiry::State, String), RenewError> {
    let undecided = |what: String| Ok((inquiry::State::Undecided, what));
    if !matches!(refund.state, State::Sent | State::Unknown) {
        return undecided("It is decided already".to_owned());
    }
    match (inquiry.about(), told.standing()) {
        (About::Conversation(_), Standing::Completed(moved))
            if moved.amount == Some(refund.amount) =>
        {
            done(tx, refund, moved.receipt, now).await?;
            store::save(tx, refund).await?;
            Ok((
                inquiry::State::Confirmed,
                "M-Pesa says that it was sent".to_owned(),
            ))
        }
        (About::Conversation(_), Standing::Not(word)) => {
            let why = format!("M-Pesa says of it: {word}");
            fail(tx, refund, why.clone(), now).await?;
            store::save(tx, refund).await?;
            Ok((inquiry::State::Refuted, why))
        }
        (About::Receipt(_), Standing::Not(word)) if word.eq_ignore_ascii_case("reversed") => {
            done(tx, refund, None, now).await?;
            store::save(tx, refund).await?;
            Ok((
                inquiry::State::Confirmed,
                "M-Pesa says that it was sent back".to_owned(),
            ))
        }
        // A payment that stands may be sent back in a minute.
        (_, Standing::Completed(_)) => undecided("M-Pesa's answer decides nothing".to_owned()),
        (_, Standing::Not(said) | Standing::Unknown(said) | Standing::Undecided(said)) => {
            undecided(said)
        }
    }
}

/// The money went.
pub(super) async fn done(
    tx: &mut Tx,
    refund: &mut Refund,
    receipt: Option<String>,
    now: Timestamp,
) -> Result<(), RenewError> {
    renewals::complete(tx, &refund.money(), receipt.as_deref(), now).await?;
    (refund.state, refund.message, refund.receipt) = (State::Done, None, receipt);
    refund.ended_at = Some(now);
    due::never(tx, REFUND, refund.id).await?;
    store::save(tx, refund).await?;
    Ok(())
}

/// The money did not go and will not.
pub(super) async fn fail(
    tx: &mut Tx,
    refund: &mut Refund,
    why: String,
    now: Timestamp,
) -> Result<(), RenewError> {
    renewals::release(tx, &refund.money(), now).await?;
    tracing::warn!(refund.id = %refund.id, "A refund failed: {why}");
    (refund.state, refund.message) = (State::Failed, Some(why));
    refund.ended_at = Some(now);
    due::never(tx, REFUND, refund.id).await?;
    store::save(tx, refund).await?;
    Ok(())
}
