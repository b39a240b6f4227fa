//! SQL on money that goes back.

use easyisp_shared::id::{CustomerId, GatewayId, OperatorId, PaymentId, RefundId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use super::super::refund::State;
use super::super::words::GatewayType;
use crate::api::Page;
use crate::db::Tx;
use crate::renewals::{self, Service, Till};

/// A refund's row.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Refund {
    pub(in super::super) id: RefundId,
    pub(in super::super) payment_id: PaymentId,
    pub(in super::super) gateway_id: GatewayId,
    pub(in super::super) customer_id: Option<CustomerId>,
    /// Out of whose wallet it was set aside, where that was not his.
    pub(in super::super) bearer_id: Option<CustomerId>,
    pub(in super::super) amount: Cents,
    /// The whole payment: the provider reverses it.
    pub(in super::super) whole: bool,
    pub(in super::super) service: Service,
    pub(in super::super) reason: String,
    pub(in super::super) state: State,
    pub(in super::super) message: Option<String>,
    pub(in super::super) requested_by: OperatorId,
    pub(in super::super) requested_at: Timestamp,
    pub(in super::super) decided_by: Option<OperatorId>,
    pub(in super::super) decided_at: Option<Timestamp>,
    pub(in super::super) attempts: i32,
    pub(in super::super) asked: i32,
    pub(in super::super) sent_at: Option<Timestamp>,
    pub(in super::super) ended_at: Option<Timestamp>,
    pub(in super::super) originator_conversation_id: Option<String>,
    pub(in super::super) conversation_id: Option<String>,
    /// The provider's, of the money that went back.
    pub(in super::super) receipt: Option<String>,
    /// That of the payment.
    pub(in super::super) paid_receipt: Option<String>,
    /// The payer's phone.
    pub(in super::super) phone: Option<String>,
    /// It goes from the platform's short code.
    pub(in super::super) platform: bool,
    /// By whom it goes.
    pub(in super::super) provider: GatewayType,
}

impl Refund {
    /// As the books know it.
    pub(in super::super) fn money(&self) -> renewals::Refund {
        renewals::Refund {
            id: self.id,
            payment: self.payment_id,
            owner: self.customer_id,
            bearer: self.bearer_id,
            amount: self.amount,
            service: self.service,
            method: self.provider.method(),
            till: Till::of(self.platform),
            since: self.decided_at,
        }
    }
}

macro_rules! columns {
    () => {
        "select r.id, r.payment_id, r.gateway_id, r.customer_id, r.bearer_id, r.amount, r.whole, r.service, r.reason, r.state,
                r.message, r.requested_by, r.requested_at, r.decided_by, r.decided_at, r.attempts, r.asked,
                r.sent_at, r.ended_at, r.originator_conversation_id, r.conversation_id, r.receipt,
                p.receipt as paid_receipt, p.phone,
                g.platform, g.type as provider
           from refunds r
           join payments p on p.tenant_id = $1 and p.id = r.payment_id
           join gateways g on g.tenant_id = $1 and g.id = r.gateway_id
          where r.tenant_id = $1"
    };
}

/// Reads a refund and locks it until the transaction ends.
pub(in super::super) async fn lock(tx: &mut Tx, id: RefundId) -> sqlx::Result<Option<Refund>> {
    sqlx::query_as(concat!(columns!(), " and r.id = $2 for update of r"))
        .bind(tx.tenant())
        .bind(id)
        .fetch_optional(&mut **tx)
        .await
}

/// Reads a refund.
pub(in super::super) async fn find(tx: &mut Tx, id: RefundId) -> sqlx::Result<Option<Refund>> {
    sqlx::query_as(concat!(columns!(), " and r.id = $2"))
        .bind(tx.tenant())
        .bind(id)
        .fetch_optional(&mut **tx)
        .await
}

/// Refunds, newest first, and how many there are; those that stand so, or all.
pub(in super::super) async fn list(
    tx: &mut Tx,
    state: Option<State>,
    page: Page,
) -> sqlx::Result<(Vec<Refund>, i64)> {
    let rows = sqlx::query_as(concat!(
        columns!(),
        " and ($2::text is null or r.state = $2)
          order by r.requested_at desc, r.id desc limit $3 offset $4"
    ))
    .bind(tx.tenant())
    .bind(state)
    .bind(page.limit())
    .bind(page.offset())
    .fetch_all(&mut **tx)
    .await?;
    let total = sqlx::query_scalar(
        "select count(*) from refunds where tenant_id = $1 and ($2::text is null or state = $2)",
    )
    .bind(tx.tenant())
    .bind(state)
    .fetch_one(&mut **tx)
    .await?;
    Ok((rows, total))
}

/// A payment that somebody wants to send back.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Refundable {
    #[sqlx(rename = "customer_id")]
    pub(in super::super) customer: Option<CustomerId>,
    pub(in super::super) amount: Cents,
    pub(in super::super) refunded: Cents,
    pub(in super::super) status: String,
    pub(in super::super) receipt: Option<String>,
    pub(in super::super) phone: Option<String>,
    pub(in super::super) gateway_id: Option<GatewayId>,
    pub(in super::super) description: String,
}

/// Reads and locks a payment that a provider told of.
pub(in super::super) async fn lock_payment(
    tx: &mut Tx,
    payment: PaymentId,
) -> sqlx::Result<Option<Refundable>> {
    sqlx::query_as(
        "select customer_id, amount, refunded, status, receipt, phone, gateway_id, description
           from payments
          where tenant_id = $1 and id = $2 and method in ('MPESA', 'AIRTEL')
            for update",
    )
    .bind(tx.tenant())
    .bind(payment)
    .fetch_optional(&mut **tx)
    .await
}

/// Writes a wish. A second open one of the payment violates `refund_open`.
pub(in super::super) async fn insert(tx: &mut Tx, refund: &Refund) -> sqlx::Result<()> {
    sqlx::query(
        "insert into refunds (tenant_id, id, payment_id, gateway_id, customer_id, amount, whole, service, reason,
                              state, requested_by, requested_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(tx.tenant())
    .bind(refund.id)
    .bind(refund.payment_id)
    .bind(refund.gateway_id)
    .bind(refund.customer_id)
    .bind(refund.amount)
    .bind(refund.whole)
    .bind(refund.service)
    .bind(&refund.reason)
    .bind(refund.state)
    .bind(refund.requested_by)
    .bind(refund.requested_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes what became of a refund.
pub(in super::super) async fn save(tx: &mut Tx, refund: &Refund) -> sqlx::Result<()> {
    sqlx::query(
        "update refunds
            set state = $3, message = $4, decided_by = $5, decided_at = $6, attempts = $7, asked = $8,
                sent_at = $9, ended_at = $10, originator_conversation_id = $11, conversation_id = $12,
                receipt = $13, bearer_id = $14
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(refund.id)
    .bind(refund.state)
    .bind(&refund.message)
    .bind(refund.decided_by)
    .bind(refund.decided_at)
    .bind(refund.attempts)
    .bind(refund.asked)
    .bind(refund.sent_at)
    .bind(refund.ended_at)
    .bind(&refund.originator_conversation_id)
    .bind(&refund.conversation_id)
    .bind(&refund.receipt)
    .bind(refund.bearer_id)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What may still be sent back from a short code, of what its owner allows since then; locks the gateway, so that
/// two approvals happen one after the other.
pub(in super::super) async fn left_of_day(
    tx: &mut Tx,
    gateway: GatewayId,
    since: Timestamp,
) -> sqlx::Result<Option<Cents>> {
    let limit: Option<Cents> = sqlx::query_scalar(
        "select refund_day_limit from gateways where tenant_id = $1 and id = $2 for update",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(limit) = limit else { return Ok(None) };
    let sent: Cents = sqlx::query_scalar(
        "select coalesce(sum(amount), 0)::bigint
           from refunds
          where tenant_id = $1 and gateway_id = $2 and decided_at > $3
            and state in ('APPROVED', 'SENT', 'UNKNOWN', 'DONE')",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .bind(since)
    .fetch_one(&mut **tx)
    .await?;
    Ok(limit.minus(sent))
}
