//! SQL on payments that are there: whose they are, and what became of them.

use easyisp_shared::id::{CustomerId, EntryId, IntentId, OperatorId, PaymentId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use crate::db::Tx;
use crate::renewals::{Method, Till, Unallocated};
use crate::webhooks::{Columns, Event, event_cte};

/// What became of a payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub(in super::super) enum PaymentStatus {
    Completed,
    Refunded,
    Voided,
}

/// A payment that is to be corrected.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Payment {
    pub(in super::super) id: PaymentId,
    #[sqlx(rename = "customer_id")]
    pub(in super::super) customer: Option<CustomerId>,
    pub(in super::super) method: Method,
    pub(in super::super) amount: Cents,
    pub(in super::super) status: PaymentStatus,
    /// What of it is sent back or on its way.
    pub(in super::super) refunded: Cents,
    pub(in super::super) paid_at: Timestamp,
    /// It came through the platform's short code.
    pub(in super::super) platform: bool,
    /// Out of whose float it was taken.
    pub(in super::super) seller_id: Option<OperatorId>,
    /// What the payer gave as account.
    pub(in super::super) account: Option<String>,
}

impl Payment {
    /// How it came.
    pub(in super::super) fn till(&self) -> Till {
        match self.seller_id {
            Some(seller) => Till::Seller(seller),
            None => Till::of(self.platform),
        }
    }
}

/// Reads and locks the payment that a provider told of with this receipt.
pub(in super::super) async fn lock_receipt(
    tx: &mut Tx,
    receipt: &str,
) -> sqlx::Result<Option<Payment>> {
    sqlx::query_as(
        "select id, customer_id, method, amount, status, refunded, paid_at, seller_id, account,
                exists (select from gateways g where g.tenant_id = $1 and g.id = gateway_id and g.platform) as platform
           from payments
          where tenant_id = $1 and receipt = $2 and method in ('MPESA', 'AIRTEL') and status <> 'voided'
            for update",
    )
    .bind(tx.tenant())
    .bind(receipt)
    .fetch_optional(&mut **tx)
    .await
}

/// Reads and locks a payment.
pub(in super::super) async fn lock_payment(
    tx: &mut Tx,
    id: PaymentId,
) -> sqlx::Result<Option<Payment>> {
    sqlx::query_as(
        "select id, customer_id, method, amount, status, refunded, paid_at, seller_id, account,
                exists (select from gateways g where g.tenant_id = $1 and g.id = gateway_id and g.platform) as platform
           from payments
          where tenant_id = $1 and id = $2
            for update",
    )
    .bind(tx.tenant())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await
}

/// Money that was in a wallet and was taken back.
#[derive(FromRow, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gone {
    /// Whose wallet it was.
    pub wallet: CustomerId,
    /// When it came.
    pub came: Timestamp,
    /// When it was taken back.
    pub gone: Timestamp,
}

/// The payments that were taken back from a customer or his child accounts, are on their way back to them or were found
/// to be somebody else's: the last thousand.
pub async fn taken_back(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Vec<Gone>> {
    sqlx::query_as(
        "select t.debit_party as wallet, p.created_at as came, e.posted_at as gone
           from transfers t
           join entries e on e.tenant_id = $1 and e.id = t.entry_id and e.kind in ('VOID', 'ADJUSTMENT', 'REFUND')
           left join refunds r on r.tenant_id = $1 and e.kind = 'REFUND' and r.state <> 'FAILED'
                              and r.id::text = substr(e.source, length('refund ') + 1)
           join payments p on p.tenant_id = $1
                          and (e.kind = 'VOID' and p.reversal_id = e.id
                               or e.kind = 'ADJUSTMENT' and p.receipt = substr(e.source, length('resolved ') + 1)
                               or p.id = r.payment_id)
          where t.tenant_id = $1 and t.debit_account = '2000'
            and t.debit_party in (select id from customers where tenant_id = $1 and $2 in (id, parent_id))
          order by e.posted_at desc
          limit 1000",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_all(&mut **tx)
    .await
}

/// Writes whose a payment is.
pub(in super::super) async fn give_payment(
    tx: &mut Tx,
    payment: PaymentId,
    customer: CustomerId,
) -> sqlx::Result<()> {
    sqlx::query("update payments set customer_id = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(payment)
        .bind(customer)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes that a payment was taken back, and by which entry.
pub(in super::super) async fn void_payment(
    tx: &mut Tx,
    payment: PaymentId,
    reversal: EntryId,
) -> sqlx::Result<()> {
    sqlx::query(
        "update payments set status = 'voided', reversal_id = $3 where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(payment)
    .bind(reversal)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives the receipt of a payment that was refuted back: the provider may use it.
pub(in super::super) async fn free_receipt(tx: &mut Tx, payment: PaymentId) -> sqlx::Result<()> {
    sqlx::query("select free_receipt($1)")
        .bind(payment)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes that a payment never was, by which entry, and gives its receipt free.
pub(in super::super) async fn retract_payment(
    tx: &mut Tx,
    payment: PaymentId,
    reversal: EntryId,
    description: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "with free as (
             delete from directory.receipts
              where tenant_id = $1 and payment_id = $2)
         update payments set status = 'voided', reversal_id = $3, receipt = null, description = $4
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(payment)
    .bind(reversal)
    .bind(description)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes a payment that belongs to nobody known, its receipt, and what is told of it.
pub(in super::super) async fn insert_unallocated(
    tx: &mut Tx,
    payment: PaymentId,
    entry: EntryId,
    receipt: &Unallocated,
    event: &Event,
    now: Timestamp,
) -> sqlx::Result<()> {
    let told = Columns::of(std::slice::from_ref(event));
    sqlx::query(concat!(
        "with receipt as (
             insert into directory.receipts (provider, receipt, tenant_id, payment_id, shortcode)
             select $18, $4, $1, $2,
                    case when $17 then (select env || ' ' || shortcode from gateways
                                         where tenant_id = $1 and id = $9) end),
         payment as (
             insert into payments (tenant_id, id, method, receipt, amount, status, phone, account,
                                   description, gateway_id, entry_id, paid_at, created_at, payer_hash,
                                   payer_name)
             values ($1, $2, $18, $4, $5, 'completed', $6, $7, $8, $9, $3, $10, $11, $15, $16)), ",
        event_cte!("$1", "$11", "$12", "$13", "$14"),
        " select 1"
    ))
    .bind(tx.tenant())
    .bind(payment)
    .bind(entry)
    .bind(&receipt.receipt)
    .bind(receipt.amount)
    .bind(&receipt.phone)
    .bind(&receipt.account)
    .bind(&receipt.description)
    .bind(receipt.gateway)
    .bind(receipt.paid_at)
    .bind(now)
    .bind(&told.ids)
    .bind(&told.names)
    .bind(&told.payloads)
    .bind(&receipt.payer_hash)
    .bind(&receipt.payer_name)
    .bind(receipt.proven)
    .bind(receipt.method)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes the receipt of a payment that was credited before it was known.
pub(in super::super) async fn join_receipt(
    tx: &mut Tx,
    intent: IntentId,
    receipt: &str,
    proven: bool,
) -> sqlx::Result<()> {
    sqlx::query(
        "with payment as (
             update payments set receipt = $3
              where tenant_id = $1 and intent_id = $2 and receipt is null
             returning id, gateway_id, method)
         insert into directory.receipts (provider, receipt, tenant_id, payment_id, shortcode)
         select p.method, $3, $1, p.id, case when $4 then g.env || ' ' || g.shortcode end
           from payment p
           left join gateways g on g.tenant_id = $1 and g.id = p.gateway_id",
    )
    .bind(tx.tenant())
    .bind(intent)
    .bind(receipt)
    .bind(proven)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
