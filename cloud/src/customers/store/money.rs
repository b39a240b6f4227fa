//! What a customer paid: payments are another feature's rows, shown on his page.

use easyisp_shared::id::{CustomerId, PaymentId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;

use crate::db::Tx;

/// A payment that a provider told of.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Mpesa {
    pub id: PaymentId,
    pub paid_at: Timestamp,
    pub receipt: String,
    pub shortcode: String,
    pub amount: Cents,
    pub phone: String,
}

/// The newest payments that providers told of; what was sent back or taken back is no payment of his any more.
pub async fn mpesa(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Vec<Mpesa>> {
    sqlx::query_as(
        "select p.id, p.paid_at, coalesce(p.receipt, '') as receipt,
                coalesce(g.shortcode, '') as shortcode, p.amount, coalesce(p.phone, '') as phone
           from payments p
           left join gateways g on g.tenant_id = $1 and g.id = p.gateway_id
          where p.tenant_id = $1 and p.customer_id = $2 and p.method in ('MPESA', 'AIRTEL')
            and p.status = 'completed'
          order by p.created_at desc
          limit 1000",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_all(&mut **tx)
    .await
}

/// A payment entered by a person.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Manual {
    pub id: PaymentId,
    pub paid_at: Timestamp,
    pub reference: String,
    pub amount: Cents,
}

/// The newest payments entered by people, voided ones left out.
pub async fn manual(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Vec<Manual>> {
    sqlx::query_as(
        "select id, paid_at, coalesce(account, description) as reference, amount
           from payments
          where tenant_id = $1 and customer_id = $2 and method not in ('MPESA', 'AIRTEL') and status = 'completed'
          order by created_at desc
          limit 1000",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_all(&mut **tx)
    .await
}
