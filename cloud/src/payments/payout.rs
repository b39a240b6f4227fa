//! A settlement on its way to the tenant: sent once, and gone when M-Pesa says so. What is not known is asked, never
//! sent again; after a day a person of the platform decides. The tenant's books move when it is proved.

use std::time::Duration;

use easyisp_shared::id::{EntryId, SettlementId, TenantId};
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::mpesa::failed;
use super::mpesa::initiator::{About, Payee, Taken};
use super::mpesa::result::{Sent, Standing, Told};
use super::prompt::PromptError;
use super::provider::ProviderError;
use super::store::inquiries::{Inquiry, Sending};
use super::store::settlements::{self as store, Settlement};
use super::words::SubType;
use super::{Payments, inquiry};
use crate::db::Tx;
use crate::due;
use crate::ledger::{self, AccountCode, Entry, EntryKind, Leg, Transfer};

/// The kind of the due job that pays a settlement out and asks what became of it; its subject is the settlement.
pub const PAY_OUT: &str = "payments.pay-out";

/// Where a settlement stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = SettlementState)]
pub enum State {
    /// Reckoned; M-Pesa is about to be asked to send it.
    Due,
    /// M-Pesa was asked, and its answer has not come.
    Sent,
    /// Nobody knows whether it went: M-Pesa is asked, and in the end a person of the platform says.
    Unknown,
    /// The tenant has it.
    Done,
    /// It did not go and will not: it is held, and the next day's settlement has it in it.
    Failed,
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
/// From when on a person may say what became of it.
pub(super) const FOR_A_PERSON: Duration = Duration::from_secs(24 * 3600);

/// What a person reads while it is not known whether the money went.
const NO_ANSWER: &str = "M-Pesa did not say whether the money went; it is being asked";
/// The same where there is nothing to ask by.
const NO_NAME: &str =
    "M-Pesa did not say whether it took this, nor under which name: its word is waited for";
/// What he reads when asking did not help.
const LOOK: &str =
    "M-Pesa does not say whether the money went; look in its statement and say what it shows";

impl Payments {
    /// Does what is to be done next about a settlement: sends it, once, or asks what became of it. `Some` = when to
    /// look again.
    pub async fn pay_out(
        &self,
        tenant: TenantId,
        id: SettlementId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, PromptError> {
        let mut tx = self.db.begin(tenant).await?;
        let Some(mut settlement) = store::lock(&mut tx, id).await? else {
            return Ok(None);
        };
        match settlement.state {
            State::Done | State::Failed => return Ok(None),
            State::Sent => {
                let taken = settlement.conversation_id.is_some();
                let patience = if taken { ANSWER } else { CALL };
                let until = settlement.sent_at.unwrap_or(now).plus(patience);
                if now < until {
                    return Ok(Some(until));
                }
                (settlement.state, settlement.message) = (State::Unknown, Some(NO_ANSWER.into()));
                return ask(tx, settlement, now).await;
            }
            State::Unknown => return ask(tx, settlement, now).await,
            State::Due => {}
        }
        let asking = match self.asking(&mut tx, settlement.gateway_id).await {
            Ok(asking) => asking,
            Err(error @ (PromptError::Database(_) | PromptError::Secret(_))) => return Err(error),
            Err(error) => {
                // Nothing was sent, and without a change of the settings nothing will be.
                fail(&mut tx, &mut settlement, error.to_string(), now).await?;
                tx.commit().await?;
                return Ok(None);
            }
        };
        // Written before it is sent: who finds it written and no answer asks, and does not send it again.
        (settlement.state, settlement.sent_at) = (State::Sent, Some(now));
        settlement.attempts += 1;
        store::save(&mut tx, &settlement).await?;
        tx.commit().await?;

        let payee = Payee {
            kind: settlement.payout_kind,
            number: settlement.payout_number.clone(),
            account: settlement.payout_account.clone(),
        };
        let urls = asking.urls(id.0);
        let (merchant, initiator) = (&asking.merchant, &asking.initiator);
        let what = (settlement.amount, settlement.day.as_str());
        let sending = self.daraja.settle(merchant, initiator, &payee, what, &urls);
        let taken = sending.await;
        self.paid_out(tenant, id, taken, now).await
    }

    /// Writes what M-Pesa said to the sending, unless the result was faster.
    async fn paid_out(
        &self,
        tenant: TenantId,
        id: SettlementId,
        taken: Result<Taken, ProviderError>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, PromptError> {
        let mut tx = self.db.begin(tenant).await?;
        let found = store::lock(&mut tx, id).await?;
        let Some(mut settlement) = found.filter(|found| found.state == State::Sent) else {
            return Ok(None);
        };
        let next = match taken {
            Ok(taken) => {
                settlement.originator_conversation_id =
                    Some(taken.originator_conversation_id).filter(|name| !name.is_empty());
                settlement.conversation_id = Some(taken.conversation_id);
                Some(now.plus(ANSWER))
            }
            Err(error @ (ProviderError::Busy(_) | ProviderError::Unreachable))
                if settlement.attempts < MOST_ATTEMPTS =>
            {
                (settlement.state, settlement.message) =
                    (State::Due, Some(failed(error).to_string()));
                let minutes = 1_u64 << settlement.attempts.clamp(0, 6);
                Some(now.plus(Duration::from_secs(60 * minutes)))
            }
            Err(ProviderError::Silent) => {
                (settlement.state, settlement.message) = (State::Unknown, Some(NO_ANSWER.into()));
                Some(now.plus(ASK_AFTER[0]))
            }
            Err(error) => {
                fail(&mut tx, &mut settlement, failed(error).to_string(), now).await?;
                None
            }
        };
        store::save(&mut tx, &settlement).await?;
        tx.commit().await?;
        Ok(next)
    }
}

/// Asks M-Pesa what became of it; after a day it is for a person.
async fn ask(
    mut tx: Tx,
    mut settlement: Settlement,
    now: Timestamp,
) -> Result<Option<Timestamp>, PromptError> {
    let nth = usize::try_from(settlement.asked).unwrap_or(usize::MAX);
    let next = ASK_AFTER.get(nth).map(|pause| now.plus(*pause));
    match (next, &settlement.originator_conversation_id) {
        (None, _) => {
            settlement.message = Some(LOOK.to_owned());
            tracing::warn!(settlement.id = %settlement.id, "A settlement needs a person: {LOOK}");
        }
        (Some(_), None) => settlement.message = Some(NO_NAME.to_owned()),
        (Some(_), Some(name)) => {
            let about = About::Conversation(name.clone());
            let for_what = Some(Sending::Settlement(settlement.id));
            inquiry::open(&mut tx, settlement.gateway_id, &about, for_what, None, now).await?;
        }
    }
    settlement.asked += 1;
    store::save(&mut tx, &settlement).await?;
    tx.commit().await?;
    Ok(next)
}

/// Takes the result of sending (`None`: M-Pesa did not come to it in time); why it has no effect.
pub(super) async fn answer(
    tx: &mut Tx,
    settlement: &mut Settlement,
    told: Option<&Told>,
    now: Timestamp,
) -> sqlx::Result<Option<&'static str>> {
    let (originator, conversation) = (
        settlement.originator_conversation_id.as_deref(),
        settlement.conversation_id.as_deref(),
    );
    if told.is_some_and(|told| !told.answers(originator, conversation)) {
        return Ok(Some("the answer to another request"));
    }
    match (settlement.state, told.map(Told::sent)) {
        (State::Done, Some(Sent::Done(_)) | None) => return Ok(Some("it was told before")),
        (State::Done, Some(Sent::Failed(_) | Sent::Undecided(_))) => {
            return Ok(Some("M-Pesa said before that it was sent"));
        }
        (State::Failed, Some(Sent::Done(receipt))) => {
            // It went after all. What was held may be on its way a second time: that is for a person, and the books
            // say what is.
            let what = "M-Pesa sent it after it said that it would not; look whether the next day's has it too";
            tracing::warn!(settlement.id = %settlement.id, "A settlement needs a person: {what}");
            done(tx, settlement, receipt, now).await?;
            settlement.message = Some(what.to_owned());
        }
        (State::Due | State::Sent | State::Unknown, Some(Sent::Done(receipt))) => {
            done(tx, settlement, receipt, now).await?;
        }
        (State::Sent | State::Unknown, Some(Sent::Failed(why))) => {
            fail(tx, settlement, why, now).await?;
        }
        (State::Sent | State::Unknown, Some(Sent::Undecided(why))) => {
            name(settlement, told);
            (settlement.state, settlement.message) = (State::Unknown, Some(why));
            due::at(tx, PAY_OUT, settlement.id, now.plus(ASK_AFTER[0])).await?;
        }
        (State::Sent | State::Unknown, None) => {
            (settlement.state, settlement.message) = (State::Unknown, Some(NO_ANSWER.into()));
            due::at(tx, PAY_OUT, settlement.id, now.plus(ASK_AFTER[0])).await?;
        }
        (State::Due | State::Failed, Some(Sent::Failed(_) | Sent::Undecided(_)) | None) => {
            return Ok(Some("it is not under way"));
        }
    }
    store::save(tx, settlement).await?;
    Ok(None)
}

/// Under which name M-Pesa took it, where its answer to the sending was lost: it can be asked after then.
fn name(settlement: &mut Settlement, told: Option<&Told>) {
    let told = told.map(|told| told.originator_conversation_id.clone());
    let told = told.filter(|name| !name.is_empty());
    settlement.originator_conversation_id = settlement.originator_conversation_id.take().or(told);
}

/// Takes the answer to "what became of it?".
pub(super) async fn answer_asked(
    tx: &mut Tx,
    settlement: &mut Settlement,
    inquiry: &Inquiry,
    told: &Told,
    now: Timestamp,
) -> sqlx::Result<(inquiry::State, String)> {
    let undecided = |what: String| Ok((inquiry::State::Undecided, what));
    if !matches!(settlement.state, State::Sent | State::Unknown) {
        return undecided("It is decided already".to_owned());
    }
    match (inquiry.about(), told.standing()) {
        (About::Conversation(_), Standing::Completed(moved))
            if moved.amount == Some(settlement.amount) =>
        {
            done(tx, settlement, moved.receipt, now).await?;
            store::save(tx, settlement).await?;
            let said = "M-Pesa says that it was sent".to_owned();
            Ok((inquiry::State::Confirmed, said))
        }
        (About::Conversation(_), Standing::Not(word)) => {
            let why = format!("M-Pesa says of it: {word}");
            fail(tx, settlement, why.clone(), now).await?;
            store::save(tx, settlement).await?;
            Ok((inquiry::State::Refuted, why))
        }
        (_, Standing::Completed(_)) => undecided("M-Pesa's answer decides nothing".to_owned()),
        (_, Standing::Not(said) | Standing::Unknown(said) | Standing::Undecided(said)) => {
            undecided(said)
        }
    }
}

/// The tenant has it: it leaves what is held for him, and with it the platform's fee.
pub(super) async fn done(
    tx: &mut Tx,
    settlement: &mut Settlement,
    receipt: Option<String>,
    now: Timestamp,
) -> sqlx::Result<()> {
    let into = match settlement.payout_kind {
        SubType::Paybill | SubType::Buygoods => AccountCode::MPESA,
        SubType::Bank => AccountCode::BANK,
    };
    let parts = [
        (into, settlement.amount),
        (AccountCode::EXPENSES, settlement.fee),
    ];
    let parts = parts.into_iter().filter(|(_, part)| part.is_positive());
    let entry = Entry {
        id: EntryId::new(now, &tx.entropy()),
        kind: EntryKind::Payout,
        occurred_at: now,
        customer: None,
        source: format!("settlement {}", settlement.id),
        description: format!("Settled by the platform up to {}", settlement.day),
        transfers: parts
            .map(|(account, amount)| Transfer {
                debit: Leg::account(account),
                credit: Leg::account(AccountCode::HELD),
                amount,
            })
            .collect(),
    };
    ledger::post(tx, entry, now).await?;
    (settlement.state, settlement.message, settlement.receipt) = (State::Done, None, receipt);
    settlement.ended_at = Some(now);
    due::never(tx, PAY_OUT, settlement.id).await
}

/// The money did not go and will not: it is held as before.
pub(super) async fn fail(
    tx: &mut Tx,
    settlement: &mut Settlement,
    why: String,
    now: Timestamp,
) -> sqlx::Result<()> {
    tracing::warn!(settlement.id = %settlement.id, "A settlement failed: {why}");
    (settlement.state, settlement.message) = (State::Failed, Some(why));
    settlement.ended_at = Some(now);
    due::never(tx, PAY_OUT, settlement.id).await?;
    store::save(tx, settlement).await
}
