//! The table of the trail.

use easyisp_shared::id::AuditId;
use easyisp_shared::time::Timestamp;

use super::{Actor, Audit};
use crate::db::Tx;

/// Adds a line and notes it for the sealer.
pub async fn insert(
    tx: &mut Tx,
    id: AuditId,
    actor: &Actor,
    audit: &Audit<'_>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "with line as (
             insert into audit (tenant_id, id, at, actor_kind, actor_id, actor_name, action, target_type,
                                target_id, target_name, details, before, after, ip_address, request_id)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
             returning tenant_id, id)
         insert into unsealed (tenant_id, kind, subject_id)
         select tenant_id, 'AUDIT', id from line",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(now)
    .bind(actor.kind)
    .bind(actor.id)
    .bind(&actor.name)
    .bind(audit.action)
    .bind(audit.target_type)
    .bind(audit.target_id)
    .bind(audit.target_name)
    .bind(&audit.details)
    .bind(&audit.before)
    .bind(&audit.after)
    .bind(actor.address.map(|address| address.to_string()))
    .bind(actor.request_id.as_deref())
    .execute(&mut **tx)
    .await?;
    Ok(())
}
