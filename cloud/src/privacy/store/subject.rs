//! Whom it is about, whether he was deleted or not.

use easyisp_shared::id::{CustomerId, SiteId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;

use crate::customers::ConnectionType;
use crate::db::Tx;

/// Somebody whose data are asked for or erased.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Subject {
    /// Who.
    pub id: CustomerId,
    /// His user name.
    pub username: String,
    /// His name.
    pub name: String,
    /// His e-mail address.
    pub email: Option<String>,
    /// His phone, as somebody typed it.
    pub phone: Option<String>,
    /// The same as a number, where it is one.
    pub phone_number: Option<String>,
    /// How he is connected.
    pub connection_type: ConnectionType,
    /// Where he belongs.
    pub site_id: SiteId,
    /// What a payer types to pay for him.
    pub account_number: i32,
    /// When he was deleted.
    pub deleted_at: Option<Timestamp>,
    /// When he was erased.
    pub erased_at: Option<Timestamp>,
    /// What is in his wallet.
    pub balance: Cents,
}

/// Who has this id; `None` when nobody of this tenant ever had.
pub async fn find(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Option<Subject>> {
    sqlx::query_as(
        "select c.id, c.username, c.name, c.email, c.phone, c.phone_number, c.connection_type,
                c.site_id, c.account_number, c.deleted_at, c.erased_at,
                coalesce(w.balance, 0) as balance
           from customers c
           left join wallets w on w.tenant_id = $1 and w.customer_id = c.id
          where c.tenant_id = $1 and c.id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
}

/// Locks his payments that were asked for and then himself, so that neither is changed until the
/// transaction ends and nothing is asked of him meanwhile.
pub async fn lock(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Option<Subject>> {
    sqlx::query(
        "select id from intents where tenant_id = $1 and customer_id = $2 order by id for update",
    )
    .bind(tx.tenant())
    .bind(customer)
    .execute(&mut **tx)
    .await?;
    sqlx::query("select id from customers where tenant_id = $1 and id = $2 for update")
        .bind(tx.tenant())
        .bind(customer)
        .execute(&mut **tx)
        .await?;
    find(tx, customer).await
}

/// Every device he is known with, at most a thousand.
pub async fn devices(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select mac
           from (select unnest(macs || remembered_macs || bound_macs) as mac from customers
                  where tenant_id = $1 and id = $2
                 union
                 select last_mac from customer_usage where tenant_id = $1 and customer_id = $2
                 union
                 select mac from sessions where tenant_id = $1 and customer_id = $2
                 union
                 select mac from auth_log where tenant_id = $1 and customer_id = $2) known
          where mac is not null
          order by mac
          limit 1000",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_all(&mut **tx)
    .await
}

/// What the tenant calls itself.
pub async fn provider(tx: &mut Tx) -> sqlx::Result<String> {
    sqlx::query_scalar("select business_name from tenants where tenant_id = $1")
        .bind(tx.tenant())
        .fetch_one(&mut **tx)
        .await
}

/// Gives the rest of the transaction more time than a request's statement has: a long trail is read whole.
pub async fn take_time(tx: &mut Tx) -> sqlx::Result<()> {
    sqlx::query("set local statement_timeout = '25s'")
        .execute(&mut **tx)
        .await?;
    Ok(())
}
