//! Codes that let customers in while their sites are away.

use easyisp_shared::id::{AgentId, CustomerId, SiteId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::unlock::Grant;

use crate::db::Tx;

/// How many codes a customer has of an hour. Hold his lock.
pub async fn unlocks_of_hour(tx: &mut Tx, customer: CustomerId, hour: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*) from unlock_codes where tenant_id = $1 and customer_id = $2 and hour = $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(hour)
    .fetch_one(&mut **tx)
    .await
}

/// Notes that a code was made for use at a site.
pub async fn put_unlock(
    tx: &mut Tx,
    site: SiteId,
    grant: &Grant,
    made_by: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into unlock_codes (tenant_id, customer_id, hour, serial, hours, site_id, made_by, made_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(tx.tenant())
    .bind(grant.customer)
    .bind(grant.hour)
    .bind(i16::from(grant.serial))
    .bind(i16::from(grant.hours))
    .bind(site)
    .bind(made_by)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that a code was used; his name and who had made it, unless that was told before.
pub async fn use_unlock(
    tx: &mut Tx,
    site: SiteId,
    agent: AgentId,
    grant: &Grant,
    used_at: Timestamp,
) -> sqlx::Result<Option<(String, String)>> {
    sqlx::query_as(
        "update unlock_codes u set used_at = $7, used_by = $6
           from customers c
          where u.tenant_id = $1 and u.customer_id = $2 and u.hour = $3 and u.serial = $4
            and u.site_id = $5 and u.used_at is null
            and c.tenant_id = $1 and c.id = u.customer_id
      returning c.name, u.made_by",
    )
    .bind(tx.tenant())
    .bind(grant.customer)
    .bind(grant.hour)
    .bind(i16::from(grant.serial))
    .bind(site)
    .bind(agent)
    .bind(used_at)
    .fetch_optional(&mut **tx)
    .await
}
