//! What webhooks are told of money and periods.

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{
    CustomerId, PackageId, PaymentId, PeriodId, RefundId, TenantId, VoucherId,
};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use serde::Serialize;

use super::deed::{Bought, Deed};
use super::{Channel, Method, Refund, Service, Unallocated};
use crate::webhooks::{Event, EventKind};

/// `payment.received`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payment<'a> {
    payment_id: PaymentId,
    customer_id: Option<CustomerId>,
    amount: Cents,
    method: Method,
    source: Channel,
    receipt: Option<&'a str>,
    paid_at: Timestamp,
}

/// `payment.refunded` and `refund.failed`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Back<'a> {
    refund_id: RefundId,
    payment_id: PaymentId,
    customer_id: Option<CustomerId>,
    amount: Cents,
    service: Service,
    receipt: Option<&'a str>,
}

/// What is told of money that went back, or did not.
pub(super) fn of_refund(
    tenant: TenantId,
    kind: EventKind,
    refund: &Refund,
    receipt: Option<&str>,
    now: Timestamp,
    entropy: &Entropy,
) -> Event {
    let data = Back {
        refund_id: refund.id,
        payment_id: refund.payment,
        customer_id: refund.owner,
        amount: refund.amount,
        service: refund.service,
        receipt,
    };
    Event::new(tenant, kind, &data, now, entropy)
}

/// `customer.renewed`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Renewed {
    customer_id: CustomerId,
    period_id: PeriodId,
    package_id: PackageId,
    price: Cents,
    starts_at: Timestamp,
    ends_at: Timestamp,
    payment_id: Option<PaymentId>,
    voucher_id: Option<VoucherId>,
}

/// `voucher.used`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Used {
    voucher_id: VoucherId,
    customer_id: CustomerId,
    package_id: PackageId,
    price: Cents,
    starts_at: Timestamp,
    ends_at: Timestamp,
}

/// What is told of a deed.
pub(super) fn of_deed(
    tenant: TenantId,
    deed: &Deed,
    now: Timestamp,
    entropy: &Entropy,
) -> Vec<Event> {
    let mut events = Vec::new();
    if let Some(paid) = &deed.paid {
        let data = Payment {
            payment_id: paid.id,
            customer_id: Some(deed.customer),
            amount: paid.receipt.amount,
            method: paid.receipt.method,
            source: paid.receipt.channel,
            receipt: paid.receipt.receipt.as_deref(),
            paid_at: paid.receipt.paid_at,
        };
        let kind = EventKind::PaymentReceived;
        events.push(Event::new(tenant, kind, &data, now, entropy));
    }
    for bought in &deed.bought {
        of_period(tenant, deed, bought, now, entropy, &mut events);
    }
    events
}

fn of_period(
    tenant: TenantId,
    deed: &Deed,
    bought: &Bought,
    now: Timestamp,
    entropy: &Entropy,
    events: &mut Vec<Event>,
) {
    let (starts_at, ends_at) = (bought.period.starts_at, bought.period.ends_at);
    if let Some(voucher_id) = deed.voucher {
        let data = Used {
            voucher_id,
            customer_id: deed.customer,
            package_id: bought.package,
            price: bought.price,
            starts_at,
            ends_at,
        };
        let kind = EventKind::VoucherUsed;
        events.push(Event::new(tenant, kind, &data, now, entropy));
    }
    let data = Renewed {
        customer_id: deed.customer,
        period_id: bought.id,
        package_id: bought.package,
        price: bought.price,
        starts_at,
        ends_at,
        payment_id: deed.paid.as_ref().map(|paid| paid.id),
        voucher_id: deed.voucher,
    };
    let kind = EventKind::CustomerRenewed;
    events.push(Event::new(tenant, kind, &data, now, entropy));
}

/// What is told of money that belongs to nobody known.
pub(super) fn of_unallocated(
    tenant: TenantId,
    payment: PaymentId,
    held: &Unallocated,
    now: Timestamp,
    entropy: &Entropy,
) -> Event {
    let data = Payment {
        payment_id: payment,
        customer_id: None,
        amount: held.amount,
        method: held.method,
        source: Channel::Payment,
        receipt: Some(&held.receipt),
        paid_at: held.paid_at,
    };
    Event::new(tenant, EventKind::PaymentReceived, &data, now, entropy)
}
