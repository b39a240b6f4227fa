//! SQL on payments that somebody typed.

use easyisp_shared::id::{CustomerId, PaymentId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use crate::api::{Order, Page, Sort, Sortable};
use crate::db::Tx;
use crate::ledger::{self, Tallied};
use crate::renewals::Method;

/// A payment typed by hand, as a list shows it.
#[derive(FromRow, Debug)]
pub(in super::super) struct ManualRow {
    pub(in super::super) id: PaymentId,
    pub(in super::super) amount: Cents,
    pub(in super::super) method: Method,
    pub(in super::super) reference: Option<String>,
    pub(in super::super) description: String,
    pub(in super::super) customer_id: Option<CustomerId>,
    pub(in super::super) customer_name: Option<String>,
    pub(in super::super) username: Option<String>,
    pub(in super::super) created_at: Timestamp,
    pub(in super::super) time_zone: String,
}

/// What payments typed by hand are sorted by.
#[derive(Clone, Copy, Debug)]
pub struct By;

impl Sortable for By {
    const ALL: &'static [(&'static str, &'static [&'static str])] = &[
        ("createdAt", &["created_at", "id"]),
        ("amount", &["amount", "id"]),
        ("method", &["method", "created_at", "id"]),
    ];
    const USUAL: Order = Order::Desc;
}

/// The payments typed by hand that stand, newest first unless asked otherwise, and how many there are.
pub(in super::super) async fn manual(
    tx: &mut Tx,
    sort: Sort<By>,
    page: Page,
) -> sqlx::Result<(Vec<ManualRow>, i64)> {
    let rows = sqlx::query_as(sort.text(
        "select p.id, p.amount, p.method, p.account as reference, p.description, p.customer_id,
                c.name as customer_name, c.username, p.created_at, t.time_zone
           from payments p
           join tenants t on t.tenant_id = $1
           left join customers c on c.tenant_id = $1 and c.id = p.customer_id
          where p.tenant_id = $1 and p.method not in ('MPESA', 'AIRTEL') and p.status = 'completed'
          order by {order}
          limit $2 offset $3",
    ))
    .bind(tx.tenant())
    .bind(page.limit())
    .bind(page.offset())
    .fetch_all(&mut **tx)
    .await?;
    let tallies = ledger::tallied(tx, &[Tallied::Payments], (None, None)).await?;
    let told = [Method::Mpesa, Method::Airtel].map(Method::as_str);
    let standing = tallies
        .iter()
        .filter(|tally| tally.status == "completed" && !told.contains(&tally.method.as_str()));
    Ok((rows, standing.map(|tally| tally.n).sum()))
}

/// Some payments typed by hand that stand, oldest first.
pub(in super::super) async fn some_manual(tx: &mut Tx, most: i64) -> sqlx::Result<Vec<PaymentId>> {
    sqlx::query_scalar(
        "select id from payments
          where tenant_id = $1 and method not in ('MPESA', 'AIRTEL') and status = 'completed'
          order by created_at, id
          limit $2",
    )
    .bind(tx.tenant())
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}
