//! Books money that came by itself, whoever told of it: into the prompt it answers, the wallet of whom it
//! names, or as nobody's for a person to allocate.

use std::time::Duration;

use easyisp_shared::id::GatewayId;
use easyisp_shared::time::Timestamp;

use super::Source;
use super::arrival::{Arrival, Keys, owner};
use super::rules::{Claim, Event, Terms, judge};
use super::settle::{self, Then};
use super::store::arrivals::{Found, Place, Since};
use super::words::SubType;
use crate::db::Tx;
use crate::renewals::{self, Channel, Method, Receipt, RenewError, Unallocated};

/// How far what is told of money is believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trust {
    /// We asked the provider ourselves, or a person brought the provider's statement.
    Asked,
    /// Somebody who knows a secret of ours says so, from there.
    Told(Source),
}

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
    found: Found,
    arrival: &Arrival,
    keys: &Keys,
    trust: Trust,
    now: Timestamp,
) -> Result<Then, RenewError> {
    // Another report may have brought a receipt while this one waited for the prompt.
    let open = found.intent.filter(|intent| intent.receipt.is_none());
    if let Some(mut intent) = open {
        let terms = Terms {
            asked: intent.amount,
            confirm_above: intent.confirm_above,
        };
        let event = event(arrival, trust, terms);
        return settle::apply(tx, &mut intent, event, now).await;
    }
    let at_till = found.at.kind == SubType::Buygoods;
    let known = owner(&found.candidates, keys, !at_till);
    let (customer, why) = match (known, trust) {
        (_, Trust::Told(Source::Unlisted)) => (None, UNLISTED),
        (_, _) if found.ambiguous => (None, AMBIGUOUS),
        (None, _) => (None, "M-Pesa"),
        (Some(customer), _) => (Some(customer), "M-Pesa"),
    };
    let paid_at = moved_at(&found.at, arrival.paid_at, now);
    let account = Some(arrival.reference.clone()).filter(|reference| !reference.is_empty());
    match customer {
        Some(customer) => {
            let receipt = Receipt {
                customer: customer.id,
                amount: arrival.amount,
                method: Method::Mpesa,
                channel: Channel::Payment,
                receipt: Some(arrival.receipt.clone()),
                paid_at,
                intent: None,
                gateway: Some(gateway),
                operator: None,
                phone: arrival.payer.shown().or(customer.phone.clone()),
                account,
                description: why.to_owned(),
            };
            renewals::receive(tx, receipt, now).await?;
        }
        None => {
            let held = Unallocated {
                amount: arrival.amount,
                receipt: arrival.receipt.clone(),
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

/// What a person reads beside money that somebody told of whose address is not M-Pesa's.
const UNLISTED: &str =
    "M-Pesa, told of from an address that is not on the list; look in the statement";
/// What a person reads beside money that several prompts wait for.
const AMBIGUOUS: &str = "M-Pesa, fits prompts of several payers";

/// What an arrival means for the prompt it answers. What the provider says when we ask is believed whole.
fn event(arrival: &Arrival, trust: Trust, terms: Terms) -> Event {
    let claim = Claim {
        receipt: arrival.receipt.clone(),
        amount: Some(arrival.amount),
        paid_at: arrival.paid_at,
    };
    match trust {
        Trust::Asked => Event::Paid(claim),
        Trust::Told(source) => judge(claim, terms, source),
    }
}

/// When the money moved: the provider's word, within what is possible.
fn moved_at(place: &Place, told: Option<Timestamp>, now: Timestamp) -> Timestamp {
    told.unwrap_or(now).clamp(place.since.min(now), now)
}
