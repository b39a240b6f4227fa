//! What happens to a payment, written: the state machine's next state and its effect in one transaction.

use easyisp_shared::id::IntentId;
use easyisp_shared::time::Timestamp;

use crate::db::{Database, Tx};
use crate::due;
use crate::renewals::{self, Channel, Method, Receipt, RenewError, Unallocated};

use super::QUERY;
use super::rules::{ASKED, Claim, Credit, Effect, Event, Push, State, Terms, explain};
use super::store::{self, Intent, Which, arrivals};

/// What remains to be done once the transaction is committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(super) enum Then {
    /// Nothing.
    Rest,
    /// Ask the provider at once; the due work does it a little later where nobody does.
    Ask(IntentId),
}

/// Applies an event to a locked payment and saves it.
///
/// # Errors
/// [`RenewError::ReceiptKnown`] when the receipt was credited elsewhere: the transaction is spent, and
/// [`review`] writes down what a person must look at.
pub(super) async fn apply(
    tx: &mut Tx,
    intent: &mut Intent,
    event: Event,
    now: Timestamp,
) -> Result<Then, RenewError> {
    let mut then = Then::Rest;
    let reviewed = intent.needs_review.is_some();
    let terms = Terms {
        asked: intent.amount,
        confirm_above: intent.confirm_above,
    };
    let (push, effect) = intent.push().apply(event, terms);
    intent.set(&push, now);
    match effect {
        Effect::None => {}
        Effect::Credit(credit) => {
            intent.needs_review = credit
                .review
                .map(str::to_owned)
                .or(intent.needs_review.take());
            renewals::receive(tx, receipt(intent, credit, now), now).await?;
        }
        Effect::Join { receipt } => renewals::join_receipt(tx, intent.id, &receipt).await?,
        Effect::HoldAndReview(claim) => {
            let what = format!("A second receipt came for one prompt: {}", claim.receipt);
            intent.needs_review = Some(what);
            renewals::hold(tx, second_receipt(intent, claim, now), now).await?;
        }
        Effect::Ask => {
            due::at(tx, QUERY, intent.id, now.plus(ASKED)).await?;
            if intent.queried_at.is_none_or(|at| now.since(at) >= ASKED) {
                intent.queried_at = Some(now);
                then = Then::Ask(intent.id);
            }
        }
        Effect::Review(what) => intent.needs_review = Some(what.to_owned()),
    }
    intent.message = match push.state {
        State::Refused { code } => Some(explain(code).to_owned()),
        State::Created
        | State::Pending
        | State::Unknown
        | State::Provisional
        | State::Posted { .. }
        | State::Expired => intent.message.take(),
    };
    if let Some(what) = intent.needs_review.as_deref().filter(|_| !reviewed) {
        tracing::warn!(intent.id = %intent.id, "A payment needs a person: {what}");
    }
    store::save(tx, intent, now).await?;
    Ok(then)
}

/// Notes in a transaction of its own what a person must look at, and drops the claim that led to it.
pub(super) async fn review(
    db: &Database,
    tenant: easyisp_shared::id::TenantId,
    intent: IntentId,
    what: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    let mut tx = db.begin(tenant).await?;
    if let Some(mut intent) = store::lock(&mut tx, Which::Id(intent)).await? {
        let mut push = intent.push();
        push.claim = None;
        intent.set(&push, now);
        intent.needs_review = Some(what.to_owned());
        store::save(&mut tx, &intent, now).await?;
    }
    tx.commit().await
}

/// Makes the payment with this receipt the prompt's, when it came by itself before the prompt's own report:
/// what was nobody's is then the customer's. `false` when it is something else; nothing is written then.
pub(super) async fn adopt(
    tx: &mut Tx,
    intent: IntentId,
    receipt: &str,
    now: Timestamp,
) -> Result<bool, RenewError> {
    let Some(mut intent) = store::lock(tx, Which::Id(intent)).await? else {
        return Ok(false);
    };
    let Some(standing) = arrivals::lock_without_prompt(tx, receipt).await? else {
        return Ok(false);
    };
    let mine = standing
        .customer
        .is_none_or(|owner| owner == intent.customer_id);
    let here = standing.gateway == Some(intent.gateway_id);
    let credited = matches!(
        intent.push().state,
        State::Posted { .. } | State::Provisional
    );
    if credited || !mine || !here || standing.amount != intent.amount {
        return Ok(false);
    }
    if standing.customer.is_none() {
        renewals::resolve(tx, receipt, intent.customer_id, now).await?;
    }
    arrivals::give_to_prompt(tx, receipt, intent.id).await?;
    let state = State::Posted {
        receipt: receipt.to_owned(),
        confirmed: true,
    };
    intent.set(&Push { state, claim: None }, now);
    intent.message = None;
    store::save(tx, &intent, now).await?;
    Ok(true)
}

/// What a person reads when a receipt was credited elsewhere.
pub(super) const RECEIPT_KNOWN: &str =
    "The receipt that a callback names was credited before, to another payment";

fn receipt(intent: &Intent, credit: Credit, now: Timestamp) -> Receipt {
    Receipt {
        customer: intent.customer_id,
        amount: credit.amount,
        method: Method::Mpesa,
        channel: Channel::Payment,
        receipt: credit.receipt,
        paid_at: moved_at(intent, credit.paid_at, now),
        intent: Some(intent.id),
        gateway: Some(intent.gateway_id),
        operator: None,
        phone: Some(intent.phone_number.clone()),
        account: Some(intent.account_reference.clone()),
        description: "M-Pesa".to_owned(),
    }
}

/// What came beside the one payment of a prompt is nobody's until a person resolves it.
fn second_receipt(intent: &Intent, claim: Claim, now: Timestamp) -> Unallocated {
    Unallocated {
        amount: intent.amount,
        receipt: claim.receipt,
        paid_at: moved_at(intent, claim.paid_at, now),
        gateway: Some(intent.gateway_id),
        phone: Some(intent.phone_number.clone()),
        account: Some(intent.account_reference.clone()),
        payer_hash: None,
        payer_name: None,
        description: "M-Pesa, a second receipt for one prompt".to_owned(),
    }
}

/// When the money moved: the provider's word, within what is possible.
fn moved_at(intent: &Intent, told: Option<Timestamp>, now: Timestamp) -> Timestamp {
    told.unwrap_or(now).clamp(intent.created_at.min(now), now)
}
