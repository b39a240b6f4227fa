//! Books money that came by itself, whoever told of it: into the prompt it answers, the wallet of whom it
//! names, or as nobody's for a person to allocate.

use std::time::Duration;

use easyisp_shared::id::{GatewayId, OperatorId, PaymentId};
use easyisp_shared::time::Timestamp;

use super::arrival::Arrival;
use super::owner::{Candidate, Keys, owner};
use super::rules::{Claim, Event, State};
use super::settle::{self, HELD_TOO, Then};
use super::store;
use super::store::arrivals::{self, Found, Place, Since};
use super::store::owners;
use super::words::SubType;
use crate::db::Tx;
use crate::renewals::{self, Channel, Method, Receipt, RenewError, Till, Typed, Unallocated};

/// How far what is told of money is believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trust {
    /// We asked the provider ourselves, or this person brought the provider's statement.
    Asked(Option<OperatorId>),
    /// The provider says so, from its own address and under the secret it has now.
    Told,
    /// Somebody who knows a secret of ours says so; why a person must look, of [`HEARSAY`].
    Held(&'static str),
}

impl Trust {
    /// Whether it is the provider itself that says so; a statement is whatever a person uploads.
    fn proves(self) -> bool {
        match self {
            Trust::Asked(None) | Trust::Told => true,
            Trust::Asked(Some(_)) | Trust::Held(_) => false,
        }
    }
}

/// What became of money that was told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Booking {
    /// It is written now, or what was held on nobody's word is vouched for now.
    Booked,
    /// It was written before.
    Known,
    /// It was written before with another amount; a person looks at it.
    Differs,
    /// It was written before, for somebody else on this platform who has the same short code.
    Elsewhere,
}

/// What a person reads beside money that somebody told of whose address is not M-Pesa's.
pub(super) const UNLISTED: &str =
    "M-Pesa, told of from an address that is not on the list; look in the statement";
/// What a person reads beside money that was told of under a secret that was replaced.
pub(super) const OLD_SECRET: &str = "M-Pesa, told of under an old secret; look in the statement";
/// What a person reads beside money that came to a gateway that was deleted.
pub(super) const RETIRED: &str = "M-Pesa, to a gateway that was deleted; look in the statement";
/// What a person reads beside money that came to another short code.
pub(super) const OTHER_CODE: &str =
    "M-Pesa, to a short code that is not the gateway's; look in the statement";
/// What stands beside money that is held on nobody's word: a report that is believed takes its place.
pub(super) const HEARSAY: [&str; 4] = [UNLISTED, OLD_SECRET, RETIRED, OTHER_CODE];
/// What a person reads beside money of which M-Pesa and somebody else say different things.
const DIFFERS: &str = "M-Pesa, reported with another amount too; look in the statement";
/// What a person reads beside money that was held on nobody's word and that M-Pesa says something else of.
const REPLACED: &str = "M-Pesa, made up: M-Pesa says another amount, which is booked in its place";
/// What a person reads beside money that several prompts wait for.
const AMBIGUOUS: &str = "M-Pesa, fits prompts of several payers";
/// What a person reads beside money that may have been credited without its receipt.
const CREDITED: &str = "M-Pesa, of a prompt that may be credited already; look there first";
/// What a person reads beside money whose receipt somebody typed beside money that he booked by hand.
pub(super) fn by_hand(typed: Typed) -> &'static str {
    match typed {
        Typed::Payment => {
            "M-Pesa, may be credited already by hand: its receipt was typed with a payment; look there first"
        }
        Typed::Income => {
            "M-Pesa, may be credited already by hand: its receipt was typed with other income; look there first"
        }
        Typed::Invoice => {
            "M-Pesa, may be credited already by hand: its receipt was typed with an invoice; look there first"
        }
    }
}
/// What stands beside money that needs no explanation.
const PLAIN: &str = "M-Pesa";

/// A prompt's account names it for a month, a payer and an amount for a day.
pub(super) fn since(now: Timestamp) -> Since {
    const DAY: Duration = Duration::from_secs(86_400);
    Since {
        by_reference: now.minus(DAY * 30),
        by_payer: now.minus(DAY),
    }
}

/// Books an arrival that is not known yet; `found` was read in this transaction.
///
/// # Errors
/// [`RenewError::ReceiptKnown`] when it was booked meanwhile: the transaction is then spent.
pub(super) async fn book(
    tx: &mut Tx,
    gateway: GatewayId,
    mut found: Found,
    arrival: &Arrival,
    keys: &Keys,
    trust: Trust,
    now: Timestamp,
) -> Result<Then, RenewError> {
    // Another report may have brought a receipt while this one waited for the prompt. A prompt is of one
    // amount: other money is not its own, unless it was credited on a query's word, which names no amount.
    let believed = !matches!(trust, Trust::Held(_));
    let mut credited = believed && is_credited(tx, &found, arrival, keys, now).await?;
    if let Some(reference) = &keys.prompt
        && trust.proves()
        && found.intent.is_none()
        && found.at.kind != SubType::Bank
    {
        // A prompt's payment is under a receipt that the provider never vouched for: this may be its own.
        let since = since(now).by_reference;
        credited = arrivals::is_unproven(tx, gateway, reference, arrival.amount, since).await?;
    }
    let fits = found.intent.take().filter(|intent| {
        let credited = intent.push().state == State::Provisional;
        let believed = match trust {
            Trust::Asked(_) | Trust::Told => true,
            Trust::Held(why) => credited && why == UNLISTED,
        };
        believed && intent.receipt.is_none() && intent.amount == arrival.amount
    });
    if let Some(mut intent) = fits {
        let claim = Claim {
            receipt: arrival.receipt.clone(),
            amount: Some(arrival.amount),
            paid_at: arrival.paid_at,
        };
        // Who is believed without a prompt is believed with one, whatever its amount.
        let event = match trust {
            Trust::Asked(_) | Trust::Told => Event::Paid(claim),
            Trust::Held(_) => Event::Claimed(claim),
        };
        return settle::apply_told(tx, &mut intent, event, (trust.proves(), found.typed), now)
            .await;
    }
    let known = owner_of(tx, &found, keys).await?;
    let typed = found.typed.map(by_hand);
    let (customer, why) = match (known, trust, typed) {
        (_, Trust::Held(why), _) => (None, why),
        (_, _, Some(why)) => (None, why),
        (_, _, None) if credited => (None, CREDITED),
        (_, _, None) if found.ambiguous => (None, AMBIGUOUS),
        (known, _, None) => (known, PLAIN),
    };
    let operator = match trust {
        Trust::Asked(by) => by,
        Trust::Told | Trust::Held(_) => None,
    };
    let paid_at = moved_at(&found.at, arrival.paid_at, now);
    let account = Some(arrival.reference.clone()).filter(|reference| !reference.is_empty());
    match customer {
        Some(customer) => {
            let receipt = Receipt {
                customer: customer.id,
                amount: arrival.amount,
                method: Method::Mpesa,
                till: Till::of(found.at.platform),
                channel: Channel::Payment,
                receipt: Some(arrival.receipt.clone()),
                proven: trust.proves(),
                paid_at,
                intent: None,
                gateway: Some(gateway),
                operator,
                phone: arrival.payer.shown().or(customer.phone.clone()),
                account,
                description: why.to_owned(),
            };
            renewals::receive(tx, receipt, now).await?;
        }
        None => {
            let held = Unallocated {
                method: Method::Mpesa,
                amount: arrival.amount,
                till: Till::of(found.at.platform),
                receipt: arrival.receipt.clone(),
                proven: trust.proves(),
                paid_at,
                gateway: Some(gateway),
                phone: arrival.payer.shown(),
                account,
                payer_hash: arrival.payer.hash(),
                payer_name: arrival.payer_name.clone(),
                description: why.to_owned(),
            };
            renewals::hold(tx, held, now).await?;
        }
    }
    Ok(Then::Rest)
}

/// Whether the prompt whose account this money came under was credited on a query's word, with another amount: a
/// person looks at it then, and it is not credited a second time.
async fn is_credited(
    tx: &mut Tx,
    found: &Found,
    arrival: &Arrival,
    keys: &Keys,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let named = found.intent.as_ref().filter(|intent| {
        intent.push().state == State::Provisional
            && intent.amount != arrival.amount
            && found.at.kind != SubType::Bank
            && keys.prompt.as_ref() == Some(&intent.account_reference)
    });
    let Some(mut intent) = named.cloned() else {
        return Ok(false);
    };
    intent.needs_review = Some(HELD_TOO.to_owned());
    tracing::warn!(intent.id = %intent.id, "A payment needs a person: {HELD_TOO}");
    store::save(tx, &intent, now).await?;
    Ok(true)
}

/// What a report that is believed means for a receipt that is known: when this tenant holds it on nobody's word
/// and nobody allocated it yet, the report takes its place, with its amount and its owner. Another amount of what
/// somebody vouched for is for a person.
///
/// `found` was read in this transaction, which the caller commits.
pub(super) async fn confirm(
    tx: &mut Tx,
    gateway: GatewayId,
    found: Found,
    arrival: &Arrival,
    keys: &Keys,
    trust: Trust,
    now: Timestamp,
) -> Result<Booking, RenewError> {
    let receipt = arrival.receipt.as_str();
    let Some(told) = arrivals::lock_told(tx, receipt).await? else {
        return Ok(Booking::Elsewhere);
    };
    let hearsay = HEARSAY.contains(&told.description.as_str());
    // What several were told of on nobody's word is his alone who proved it first.
    if hearsay && trust.proves() && arrivals::is_anothers(tx, receipt, gateway).await? {
        return Ok(Booking::Elsewhere);
    }
    if told.amount != arrival.amount && give_way(tx, receipt, now).await? {
        let _: Then = book(tx, gateway, found, arrival, keys, trust, now).await?;
        return Ok(Booking::Booked);
    }
    if told.amount != arrival.amount {
        tracing::warn!(
            payment.id = %told.id,
            "M-Pesa tells of {} for a receipt that is booked with {}; look in the statement",
            arrival.amount,
            told.amount
        );
        if hearsay {
            arrivals::describe(tx, told.id, DIFFERS).await?;
        }
        return Ok(Booking::Differs);
    }
    if !hearsay || !told.alone {
        return Ok(Booking::Known);
    }
    let known = owner_of(tx, &found, keys).await?.map(|known| known.id);
    if let Some(allocated) = told.customer {
        if known != Some(allocated) {
            tracing::warn!(
                payment.id = %told.id,
                "A person allocated money before M-Pesa told of it; M-Pesa's report does not name its owner"
            );
        }
        arrivals::describe(tx, told.id, PLAIN).await?;
        return Ok(Booking::Known);
    }
    let credited = is_credited(tx, &found, arrival, keys, now).await?;
    let why = match (found.typed, found.ambiguous) {
        (Some(typed), _) => by_hand(typed),
        (None, _) if credited => CREDITED,
        (None, true) => AMBIGUOUS,
        (None, false) => PLAIN,
    };
    arrivals::vouch(tx, told.id, gateway, arrival, why).await?;
    if trust.proves() && !arrivals::prove(tx, told.id, gateway).await? {
        return Err(RenewError::ReceiptKnown); // at this moment, by somebody else
    }
    if found.typed.is_some() {
        return Ok(Booking::Booked); // for a person
    }
    let fits = found
        .intent
        .filter(|intent| intent.receipt.is_none() && intent.amount == arrival.amount);
    if let Some(mut intent) = fits {
        if !settle::take_over(tx, &mut intent, receipt, now).await? {
            intent.needs_review = Some(HELD_TOO.to_owned());
            tracing::warn!(intent.id = %intent.id, "A payment needs a person: {HELD_TOO}");
            store::save(tx, &intent, now).await?;
            arrivals::describe(tx, told.id, CREDITED).await?;
        }
        return Ok(Booking::Booked);
    }
    if let Some(customer) = known.filter(|_| !found.ambiguous && !credited) {
        renewals::resolve(tx, receipt, customer, now).await?;
    }
    Ok(Booking::Booked)
}

/// Whose money it is, as far as that is known: at a till not by the payer's phone alone; by an open invoice whose number was
/// typed; where the gateway has it so, by the end of what he is called, when that fits one.
async fn owner_of(
    tx: &mut Tx,
    found: &Found,
    keys: &Keys,
) -> Result<Option<Candidate>, RenewError> {
    let at_till = found.at.kind == SubType::Buygoods;
    if let Some(known) = owner(&found.candidates, keys, !at_till) {
        return Ok(Some(known.clone()));
    }
    if let Some(number) = &keys.invoice
        && let Some(billed) = owners::by_invoice(tx, number).await?
    {
        return Ok(Some(billed));
    }
    let Some(typed) = keys.username.as_deref().filter(|_| found.at.match_suffix) else {
        return Ok(None);
    };
    // Whom several keys fit is nobody; the end of one of them does not decide it.
    if !found.candidates.iter().all(|candidate| candidate.by_payer) {
        return Ok(None);
    }
    let mut ends = owners::by_suffix(tx, typed).await?;
    Ok(ends.pop().filter(|_| ends.is_empty()))
}

/// What is held on nobody's word under a receipt, and nobody allocated yet, locked.
pub(super) async fn hearsay(tx: &mut Tx, receipt: &str) -> Result<Option<PaymentId>, RenewError> {
    let told = arrivals::lock_told(tx, receipt).await?;
    let held = told.filter(|told| {
        told.alone && told.customer.is_none() && HEARSAY.contains(&told.description.as_str())
    });
    Ok(held.map(|told| told.id))
}

/// Takes that back, so that the provider's word can be booked under the receipt. `false` when there is nothing.
pub(super) async fn give_way(
    tx: &mut Tx,
    receipt: &str,
    now: Timestamp,
) -> Result<bool, RenewError> {
    let Some(made_up) = hearsay(tx, receipt).await? else {
        return Ok(false);
    };
    tracing::warn!(payment.id = %made_up, "Money that was held for a person was made up: M-Pesa says otherwise");
    renewals::retract(tx, made_up, REPLACED, now).await
}

/// When the money moved: the provider's word, within what is possible.
fn moved_at(place: &Place, told: Option<Timestamp>, now: Timestamp) -> Timestamp {
    told.unwrap_or(now).clamp(place.since.min(now), now)
}
