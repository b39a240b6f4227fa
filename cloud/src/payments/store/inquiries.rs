//! SQL on questions to the provider that it answers later.

use easyisp_shared::id::{GatewayId, InquiryId, OperatorId, RefundId, SettlementId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use super::super::inquiry::State;
use super::super::mpesa::initiator::About;
use crate::api::Page;
use crate::db::Tx;

/// Money of ours that was sent, and that is asked after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Sending {
    /// Back to a payer.
    Refund(RefundId),
    /// To a tenant for whom the platform had collected it.
    Settlement(SettlementId),
}

/// A question's row.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Inquiry {
    pub(in super::super) id: InquiryId,
    pub(in super::super) gateway_id: GatewayId,
    receipt: Option<String>,
    conversation: Option<String>,
    pub(in super::super) refund_id: Option<RefundId>,
    pub(in super::super) settlement_id: Option<SettlementId>,
    pub(in super::super) state: State,
    pub(in super::super) attempts: i32,
    pub(in super::super) originator_conversation_id: Option<String>,
    pub(in super::super) conversation_id: Option<String>,
    pub(in super::super) amount: Option<Cents>,
    pub(in super::super) paid_at: Option<Timestamp>,
    pub(in super::super) message: Option<String>,
    pub(in super::super) operator_id: Option<OperatorId>,
    pub(in super::super) created_at: Timestamp,
    pub(in super::super) asked_at: Option<Timestamp>,
    pub(in super::super) answered_at: Option<Timestamp>,
}

impl Inquiry {
    /// What it asks about.
    pub(in super::super) fn about(&self) -> About {
        match (&self.receipt, &self.conversation) {
            (Some(receipt), _) => About::Receipt(receipt.clone()),
            (None, conversation) => About::Conversation(conversation.clone().unwrap_or_default()),
        }
    }

    /// The receipt it asks about, where it does.
    pub(in super::super) fn receipt(&self) -> Option<&str> {
        self.receipt.as_deref()
    }
}

macro_rules! columns {
    () => {
        "select id, gateway_id, receipt, conversation, refund_id, settlement_id, state, attempts, originator_conversation_id,
                conversation_id, amount, paid_at, message, operator_id, created_at, asked_at, answered_at
           from inquiries
          where tenant_id = $1"
    };
}

/// Writes a question that is to be asked; the one that is open about this receipt when there is one.
pub(in super::super) async fn open(
    tx: &mut Tx,
    id: InquiryId,
    gateway: GatewayId,
    about: &About,
    sending: Option<Sending>,
    by: Option<OperatorId>,
    now: Timestamp,
) -> sqlx::Result<InquiryId> {
    let (refund, settlement) = match sending {
        Some(Sending::Refund(refund)) => (Some(refund), None),
        Some(Sending::Settlement(settlement)) => (None, Some(settlement)),
        None => (None, None),
    };
    let (receipt, conversation) = match about {
        About::Receipt(receipt) => (Some(receipt), None),
        About::Conversation(name) => (None, Some(name)),
    };
    let made: Option<InquiryId> = sqlx::query_scalar(
        "insert into inquiries (tenant_id, id, gateway_id, receipt, conversation, refund_id, state, operator_id,
                                created_at, settlement_id)
         values ($1, $2, $3, $4, $5, $6, 'CREATED', $7, $8, $9)
             on conflict do nothing
         returning id",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(gateway)
    .bind(receipt)
    .bind(conversation)
    .bind(refund)
    .bind(by)
    .bind(now)
    .bind(settlement)
    .fetch_optional(&mut **tx)
    .await?;
    if let Some(made) = made {
        return Ok(made);
    }
    sqlx::query_scalar(
        "select id from inquiries
          where tenant_id = $1 and receipt = $2 and refund_id is null and state in ('CREATED', 'ASKED')",
    )
    .bind(tx.tenant())
    .bind(receipt)
    .fetch_one(&mut **tx)
    .await
}

/// Whether this receipt came to this gateway, or a prompt of its claims it.
pub(in super::super) async fn is_of(
    tx: &mut Tx,
    gateway: GatewayId,
    receipt: &str,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from payments
                         where tenant_id = $1 and receipt = $3 and gateway_id = $2 and status <> 'voided')
             or exists (select from intents
                         where tenant_id = $1 and claimed_receipt = $3 and gateway_id = $2)",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .bind(receipt)
    .fetch_one(&mut **tx)
    .await
}

/// Whether questions can be asked for this gateway.
pub(in super::super) async fn can_ask(tx: &mut Tx, gateway: GatewayId) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from gateways
                         where tenant_id = $1 and id = $2 and deleted_at is null
                           and initiator_name is not null
                           and (platform or initiator_password_sealed is not null))",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .fetch_one(&mut **tx)
    .await
}

/// Reads a question and locks it until the transaction ends.
pub(in super::super) async fn lock(tx: &mut Tx, id: InquiryId) -> sqlx::Result<Option<Inquiry>> {
    sqlx::query_as(concat!(columns!(), " and id = $2 for update"))
        .bind(tx.tenant())
        .bind(id)
        .fetch_optional(&mut **tx)
        .await
}

/// Reads a question.
pub(in super::super) async fn find(tx: &mut Tx, id: InquiryId) -> sqlx::Result<Option<Inquiry>> {
    sqlx::query_as(concat!(columns!(), " and id = $2"))
        .bind(tx.tenant())
        .bind(id)
        .fetch_optional(&mut **tx)
        .await
}

/// Questions, newest first, and how many there are; of one receipt, or all.
pub(in super::super) async fn list(
    tx: &mut Tx,
    receipt: Option<&str>,
    page: Page,
) -> sqlx::Result<(Vec<Inquiry>, i64)> {
    let rows = sqlx::query_as(concat!(
        columns!(),
        " and ($2::text is null or receipt = $2) order by created_at desc, id desc limit $3 offset $4"
    ))
    .bind(tx.tenant())
    .bind(receipt)
    .bind(page.limit())
    .bind(page.offset())
    .fetch_all(&mut **tx)
    .await?;
    let total = sqlx::query_scalar(
        "select count(*) from inquiries where tenant_id = $1 and ($2::text is null or receipt = $2)",
    )
    .bind(tx.tenant())
    .bind(receipt)
    .fetch_one(&mut **tx)
    .await?;
    Ok((rows, total))
}

/// Writes what became of a question.
pub(in super::super) async fn save(tx: &mut Tx, inquiry: &Inquiry) -> sqlx::Result<()> {
    sqlx::query(
        "update inquiries
            set state = $3, attempts = $4, originator_conversation_id = $5, conversation_id = $6, amount = $7,
                paid_at = $8, message = $9, asked_at = $10, answered_at = $11
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(inquiry.id)
    .bind(inquiry.state)
    .bind(inquiry.attempts)
    .bind(&inquiry.originator_conversation_id)
    .bind(&inquiry.conversation_id)
    .bind(inquiry.amount)
    .bind(inquiry.paid_at)
    .bind(&inquiry.message)
    .bind(inquiry.asked_at)
    .bind(inquiry.answered_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The gateway that a question about this receipt goes to: where its payment came, or the one that a prompt it
/// claims to pay was sent from, or one that has an initiator, the default first.
pub(in super::super) async fn gateway_of(
    tx: &mut Tx,
    receipt: &str,
) -> sqlx::Result<Option<GatewayId>> {
    sqlx::query_scalar(
        "select g.id
           from gateways g
          where g.tenant_id = $1 and g.deleted_at is null and g.type = 'MPESA_API'
          order by exists (select from payments p
                            where p.tenant_id = $1 and p.receipt = $2 and p.gateway_id = g.id) desc,
                   exists (select from intents i
                            where i.tenant_id = $1 and i.claimed_receipt = $2 and i.gateway_id = g.id) desc,
                   g.platform, g.initiator_name is not null desc, g.is_default desc, g.created_at
          limit 1",
    )
    .bind(tx.tenant())
    .bind(receipt)
    .fetch_optional(&mut **tx)
    .await
}
