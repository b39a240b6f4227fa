//! What sites are told of usage.

use easyisp_shared::id::CustomerId;
use sqlx::types::Json;

use crate::db::Tx;
use crate::packages::Terms;

/// A customer whose usage decides something, and what his site was told of it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Counted {
    /// Who.
    pub customer_id: CustomerId,
    /// Bytes of the present period, without free ones.
    pub bytes: i64,
    /// Seconds of the present period.
    pub secs: i64,
    /// Bytes his site was told of.
    pub told_bytes: i64,
    /// Seconds his site was told of.
    pub told_secs: i64,
    /// Bytes he may use.
    pub data_limit: Option<i64>,
    /// The package's terms.
    pub terms: Json<Terms>,
}

/// Those of `customers` whose package limits data or time, or slows from some usage on.
pub async fn counted(tx: &mut Tx, customers: &[CustomerId]) -> sqlx::Result<Vec<Counted>> {
    sqlx::query_as(
        "select u.customer_id, u.bytes_up + u.bytes_down - u.bytes_free as bytes, u.secs,
                case when u.told_since is not distinct from u.since then u.told_bytes else 0 end
                    as told_bytes,
                case when u.told_since is not distinct from u.since then u.told_secs else 0 end
                    as told_secs,
                p.data_limit, p.terms
           from packages p
           join customers c on c.tenant_id = $1 and c.package_id = p.id and c.id = any($2)
           join customer_usage u on u.tenant_id = $1 and u.customer_id = c.id
          where p.tenant_id = $1
            and (p.data_limit is not null or p.terms ->> 'timeLimit' is not null
                 or jsonb_array_length(p.terms -> 'fairUse') > 0)",
    )
    .bind(tx.tenant())
    .bind(customers)
    .fetch_all(&mut **tx)
    .await
}

/// Notes that the sites of `customers` hear of their usage with this transaction.
pub async fn told(tx: &mut Tx, customers: &[CustomerId]) -> sqlx::Result<()> {
    sqlx::query(
        "update customer_usage
            set told_since = since, told_bytes = bytes_up + bytes_down - bytes_free, told_secs = secs
          where tenant_id = $1 and customer_id = any($2)",
    )
    .bind(tx.tenant())
    .bind(customers)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
