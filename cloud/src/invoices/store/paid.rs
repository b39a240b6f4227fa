//! SQL on the wallets that invoices were paid out of.

use easyisp_shared::id::{CustomerId, EntryId};
use sqlx::FromRow;

use super::Locked;
use crate::db::Tx;

/// An invoice that was paid out of a wallet.
#[derive(FromRow, Clone, Debug)]
pub struct PaidByWallet {
    #[sqlx(flatten)]
    pub invoice: Locked,
    /// Whose.
    pub wallet: CustomerId,
}

/// Reads and locks the invoices that a customer's wallet has paid, or that of one who is his child account by now, the
/// last one first, a hundred at most: those of his child accounts and of who was that too.
pub async fn lock_paid_by_wallet(
    tx: &mut Tx,
    customer: CustomerId,
) -> sqlx::Result<Vec<PaidByWallet>> {
    sqlx::query_as(
        "select i.id, i.number, i.customer_id, i.amount, i.status, i.taxes, i.paid_at, i.paid_by, i.reference,
                i.settlement_id, i.period_id, i.revenue, i.credited, t.debit_party as wallet
           from transfers t
           join invoices i on i.tenant_id = $1 and i.customer_id = t.credit_party and i.settlement_id = t.entry_id
          where t.tenant_id = $1 and t.debit_account = '2000' and t.credit_account = '1100'
            and t.debit_party in (select id from customers where tenant_id = $1 and $2 in (id, parent_id))
            and i.paid_by = 'WALLET' and i.period_id is null
          order by i.paid_at desc, i.serial desc
          limit 100
            for update of i",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_all(&mut **tx)
    .await
}

/// Whose wallet an invoice was paid from; `None` = it was not.
pub async fn paid_from(
    tx: &mut Tx,
    settlement: Option<EntryId>,
) -> sqlx::Result<Option<CustomerId>> {
    sqlx::query_scalar(
        "select debit_party from transfers
          where tenant_id = $1 and entry_id = $2 and debit_account = '2000'",
    )
    .bind(tx.tenant())
    .bind(settlement)
    .fetch_optional(&mut **tx)
    .await
}
