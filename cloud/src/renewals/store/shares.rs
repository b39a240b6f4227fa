//! SQL on the invoices that money which arrives may pay.

use easyisp_shared::id::CustomerId;
use easyisp_shared::time::Timestamp;

use crate::db::Tx;
use crate::renewals::SETTLE;
use crate::renewals::shares::Open;

/// The open invoices of a customer and his child accounts: those that money is set aside for, and then the one first that
/// is due first. Read once his wallet is locked: what it paid before is not open. What is set aside is what the work
/// waits for that pays it.
pub(in super::super) async fn open_invoices(
    tx: &mut Tx,
    customer: CustomerId,
    now: Timestamp,
) -> sqlx::Result<Vec<Open>> {
    sqlx::query_as(
        "select i.id, i.number, i.amount - i.credited as owed, i.overdue_from <= $3 as overdue, k.postpaid as billed,
                exists (select from directory.jobs j
                         where j.tenant_id = $1 and j.kind = $4 and j.subject = i.id) as awaited
           from customers k
           join invoices i on i.tenant_id = $1 and i.customer_id = k.id and i.status = 'PENDING'
          where k.tenant_id = $1 and (k.id = $2 or k.parent_id = $2)
          order by awaited desc, i.due_at, i.year, i.serial
          limit 100",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(now)
    .bind(SETTLE)
    .fetch_all(&mut **tx)
    .await
}
