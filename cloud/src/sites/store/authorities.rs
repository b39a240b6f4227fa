//! Sites' access authorities.

use easyisp_shared::id::{AgentId, SiteId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::enroll::SiteAuthorityV1;

use super::super::agents::Agent;
use crate::db::Tx;

/// Keeps an authority as its site's, where the site has none, or this agent had the site's until now.
pub async fn keep(
    tx: &mut Tx,
    agent: &Agent,
    told: &SiteAuthorityV1,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into site_authorities as s (tenant_id, site_id, certificate, key_sealed, told_at)
         values ($1, $2, $3, $4, $6)
             on conflict (tenant_id, site_id)
             do update set certificate = excluded.certificate, key_sealed = excluded.key_sealed,
                           told_at = excluded.told_at
                  where exists (select from agents a
                                 where a.tenant_id = $1 and a.id = $5
                                   and a.authority_digest = sha256(s.certificate))",
    )
    .bind(agent.tenant)
    .bind(agent.site)
    .bind(&told.certificate)
    .bind(&told.key)
    .bind(agent.id)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes what an agent told as its own.
pub async fn note(tx: &mut Tx, agent: AgentId, digest: &[u8]) -> sqlx::Result<()> {
    sqlx::query("update agents set authority_digest = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(agent)
        .bind(digest)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// A site's authority, for a box that joins it; `None` where none told one.
pub async fn of_site(tx: &mut Tx, site: SiteId) -> sqlx::Result<Option<SiteAuthorityV1>> {
    let row: Option<(Vec<u8>, Vec<u8>)> = sqlx::query_as(
        "select certificate, key_sealed from site_authorities where tenant_id = $1 and site_id = $2",
    )
    .bind(tx.tenant())
    .bind(site)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|(certificate, key)| SiteAuthorityV1 { certificate, key }))
}
