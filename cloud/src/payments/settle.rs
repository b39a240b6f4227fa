//! What happens to a payment, written: the state machine's next state and its effect in one transaction.

use std::time::Duration;

use easyisp_shared::id::IntentId;
use easyisp_shared::time::Timestamp;

use crate::db::{Database, Tx};
use crate::due;
use crate::renewals::{self, Channel, Receipt, RenewError, Till, Typed, Unallocated};

use super::QUERY;
use super::book::{HEARSAY, by_hand};
use super::rules::{ASKED, Claim, Credit, Effect, Event, Push, State, Terms};
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
    let proven = matches!(event, Event::Paid(_));
    apply_as(tx, intent, event, proven, now).await
}

/// The same; `proven` = whether the provider itself says that a receipt in the event, or in what is claimed, is of the
/// prompt's short code.
pub(super) async fn apply_as(
    tx: &mut Tx,
    intent: &mut Intent,
    event: Event,
    proven: bool,
    now: Timestamp,
) -> Result<Then, RenewError> {
    let named = match &event {
        Event::Paid(claim) | Event::Claimed(claim) => Some(claim.receipt.clone()),
        // What a report that waits for our query names.
        Event::QueryPaid => intent.push().claim.map(|claim| claim.receipt),
        Event::Accepted
        | Event::Rejected
        | Event::Silent
        | Event::Hinted
        | Event::Failed { .. }
        | Event::QueryFailed { .. }
        | Event::Tick { .. } => None,
    };
    let typed = match named {
        Some(receipt) => renewals::typed_by_hand(tx, &receipt).await?,
        None => None,
    };
    apply_told(tx, intent, event, (proven, typed), now).await
}

/// The same; `typed` = beside what the receipt was typed by hand.
pub(super) async fn apply_told(
    tx: &mut Tx,
    intent: &mut Intent,
    event: Event,
    (proven, typed): (bool, Option<Typed>),
    now: Timestamp,
) -> Result<Then, RenewError> {
    if matches!(event, Event::QueryPaid) && came_already(tx, intent, now).await? {
        return Ok(Then::Rest);
    }
    let mut then = Then::Rest;
    let reviewed = intent.needs_review.is_some();
    let terms = Terms {
        asked: intent.amount,
        confirm_above: intent.confirm_above,
    };
    let (push, effect) = intent.push().apply(event, terms);
    if let (Effect::Credit(credit), Some(typed)) = (&effect, typed)
        && let Some(receipt) = credit.receipt.clone()
    {
        let claim = Claim {
            receipt,
            amount: Some(credit.amount),
            paid_at: credit.paid_at,
        };
        return hold_typed(tx, intent, claim, (proven, typed), now).await;
    }
    intent.set(&push, now);
    match effect {
        Effect::None => {}
        Effect::Credit(credit) => {
            intent.needs_review = credit
                .review
                .map(str::to_owned)
                .or(intent.needs_review.take());
            renewals::receive(tx, receipt(intent, credit, proven, now), now).await?;
        }
        Effect::Join { receipt } => {
            renewals::join_receipt(tx, intent.id, &receipt, proven).await?;
            if typed.is_some() {
                intent.needs_review = Some(TYPED_TOO.to_owned());
            }
        }
        Effect::HoldAndReview(claim) => {
            let what = format!("A second receipt came for one prompt: {}", claim.receipt);
            intent.needs_review = Some(what);
            let why = format!(
                "{}, a second receipt for one prompt",
                intent.provider.name()
            );
            renewals::hold(tx, beside(intent, claim, (proven, &why), now), now).await?;
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
        State::Refused { code } => Some(intent.provider.explain(code).to_owned()),
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

/// Holds the money of a prompt whose receipt somebody typed beside money that he booked by hand; the prompt is left
/// to a person too.
async fn hold_typed(
    tx: &mut Tx,
    intent: &mut Intent,
    claim: Claim,
    (proven, typed): (bool, Typed),
    now: Timestamp,
) -> Result<Then, RenewError> {
    let amount = claim.amount.unwrap_or(intent.amount);
    let held = Unallocated {
        amount,
        ..beside(intent, claim, (proven, by_hand(typed)), now)
    };
    renewals::hold(tx, held, now).await?;
    let mut push = intent.push();
    push.claim = None;
    intent.set(&push, now);
    intent.needs_review = Some(TYPED.to_owned());
    tracing::warn!(intent.id = %intent.id, "A payment needs a person: {TYPED}");
    store::save(tx, intent, now).await?;
    Ok(Then::Rest)
}

/// Whether what our query says was paid may be booked already, with its receipt: such a payment is the prompt's,
/// or a person looks at it. It is not credited a second time without a receipt.
async fn came_already(
    tx: &mut Tx,
    intent: &mut Intent,
    now: Timestamp,
) -> Result<bool, RenewError> {
    let push = intent.push();
    let credited = matches!(push.state, State::Posted { .. } | State::Provisional);
    if credited || push.claim.is_some() {
        return Ok(false);
    }
    let reviewed = intent.needs_review.as_deref();
    if ![RECEIPT_KNOWN, CAME, TYPED]
        .iter()
        .any(|why| reviewed == Some(why))
    {
        let since = intent.created_at.minus(SKEW);
        let Some(fitting) = arrivals::fitting(tx, intent, since, &HEARSAY).await? else {
            return Ok(false);
        };
        // He has paid, and the receipt that somebody named may be made up: the true one joins the credit.
        if fitting.hearsay {
            intent.needs_review = Some(HELD_TOO.to_owned());
            tracing::warn!(intent.id = %intent.id, "A payment needs a person: {HELD_TOO}");
            return Ok(false);
        }
        if take_over(tx, intent, &fitting.receipt, now).await? {
            return Ok(true);
        }
        intent.needs_review = Some(CAME.to_owned());
        tracing::warn!(intent.id = %intent.id, "A payment needs a person: {CAME}");
    }
    store::save(tx, intent, now).await?;
    Ok(true)
}

/// How far M-Pesa's clock may be behind ours.
const SKEW: Duration = Duration::from_secs(5);
/// What a person reads when a prompt was credited and what may be its receipt is held.
pub(super) const HELD_TOO: &str =
    "The receipt of this payment is held as unallocated; it must not be credited again";
/// What a person reads when the receipt of a prompt was typed beside money that was booked by hand.
const TYPED: &str =
    "The receipt of this payment was typed by hand before; it is held as unallocated";
/// What a person reads when a prompt was credited before its receipt was known, and that was typed by hand too.
const TYPED_TOO: &str =
    "The receipt of this payment was typed by hand too; it may be credited twice";
/// What a person reads when a prompt was paid and another payment may be that money.
const CAME: &str =
    "M-Pesa says that this was paid; its receipt may be booked already, look in the statement";

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
    take_over(tx, &mut intent, receipt, now).await
}

/// The same for a prompt that is locked.
pub(super) async fn take_over(
    tx: &mut Tx,
    intent: &mut Intent,
    receipt: &str,
    now: Timestamp,
) -> Result<bool, RenewError> {
    let (gateway, customer) = (intent.gateway_id, intent.customer_id);
    let standing = arrivals::lock_without_prompt(tx, receipt, gateway, customer).await?;
    let Some(standing) = standing else {
        return Ok(false);
    };
    let credited = matches!(
        intent.push().state,
        State::Posted { .. } | State::Provisional
    );
    if credited || !standing.mine || !standing.here || standing.amount != intent.amount {
        return Ok(false);
    }
    if standing.customer.is_none() {
        // It may be his already, by hand.
        if renewals::typed_by_hand(tx, receipt).await?.is_some() {
            return Ok(false);
        }
        renewals::resolve(tx, receipt, intent.customer_id, now).await?;
    }
    arrivals::give_to_prompt(tx, receipt, intent.id).await?;
    let state = State::Posted {
        receipt: receipt.to_owned(),
        confirmed: true,
    };
    intent.set(&Push { state, claim: None }, now);
    intent.message = None;
    store::save(tx, intent, now).await?;
    Ok(true)
}

/// What a person reads when a receipt was credited elsewhere.
pub(super) const RECEIPT_KNOWN: &str =
    "The receipt that a callback names was credited before, to another payment";

fn receipt(intent: &Intent, credit: Credit, proven: bool, now: Timestamp) -> Receipt {
    Receipt {
        customer: intent.customer_id,
        amount: credit.amount,
        method: intent.provider.method(),
        till: Till::of(intent.platform),
        channel: Channel::Payment,
        receipt: credit.receipt,
        proven,
        paid_at: moved_at(intent, credit.paid_at, now),
        intent: Some(intent.id),
        gateway: Some(intent.gateway_id),
        operator: None,
        phone: Some(intent.phone_number.clone()),
        account: Some(intent.account_reference.clone()),
        description: intent.provider.name().to_owned(),
    }
}

/// What came to a prompt and is nobody's until a person resolves it; `why` it is.
fn beside(
    intent: &Intent,
    claim: Claim,
    (proven, why): (bool, &str),
    now: Timestamp,
) -> Unallocated {
    Unallocated {
        amount: intent.amount,
        method: intent.provider.method(),
        till: Till::of(intent.platform),
        receipt: claim.receipt,
        proven,
        paid_at: moved_at(intent, claim.paid_at, now),
        gateway: Some(intent.gateway_id),
        phone: Some(intent.phone_number.clone()),
        account: Some(intent.account_reference.clone()),
        payer_hash: None,
        payer_name: None,
        description: why.to_owned(),
    }
}

/// When the money moved: the provider's word, within what is possible.
fn moved_at(intent: &Intent, told: Option<Timestamp>, now: Timestamp) -> Timestamp {
    told.unwrap_or(now).clamp(intent.created_at.min(now), now)
}
