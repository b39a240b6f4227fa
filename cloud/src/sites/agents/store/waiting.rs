//! Boxes that wait to be confirmed.

use easyisp_shared::id::{AgentId, SiteId};
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use crate::db::Tx;

/// A box that used a token and waits.
#[derive(Clone, Debug, FromRow)]
pub struct Waiting {
    /// What the agent will be called.
    pub id: AgentId,
    /// Where it wants to join.
    pub site_id: SiteId,
    /// SHA-256 of the public key that it showed.
    pub key_digest: Vec<u8>,
    /// What it calls itself.
    pub host: String,
    /// Of its program.
    pub version: String,
    /// Whose place it takes.
    pub replaces: Option<AgentId>,
    /// When it showed the token.
    pub asked_at: Timestamp,
    /// Until when it may be confirmed and come for its certificate.
    pub expires_at: Timestamp,
    /// When an operator confirmed it.
    pub confirmed_at: Option<Timestamp>,
}

/// Writes a box that used a token; those for whom it is too late are forgotten.
pub async fn put_waiting(tx: &mut Tx, digest: &[u8; 32], waiting: &Waiting) -> sqlx::Result<()> {
    sqlx::query("delete from waiting_agents where tenant_id = $1 and expires_at <= $2")
        .bind(tx.tenant())
        .bind(waiting.asked_at)
        .execute(&mut **tx)
        .await?;
    sqlx::query(
        "insert into waiting_agents
                (tenant_id, id, site_id, token_digest, key_digest, host, version, replaces, asked_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(tx.tenant())
    .bind(waiting.id)
    .bind(waiting.site_id)
    .bind(digest.as_slice())
    .bind(&waiting.key_digest)
    .bind(&waiting.host)
    .bind(&waiting.version)
    .bind(waiting.replaces)
    .bind(waiting.asked_at)
    .bind(waiting.expires_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The box that used this token and waits; locked until the transaction ends.
pub async fn waiting_with(tx: &mut Tx, digest: &[u8; 32]) -> sqlx::Result<Option<Waiting>> {
    sqlx::query_as(
        "select id, site_id, key_digest, host, version, replaces, asked_at, expires_at, confirmed_at
           from waiting_agents
          where tenant_id = $1 and token_digest = $2
            for update",
    )
    .bind(tx.tenant())
    .bind(digest.as_slice())
    .fetch_optional(&mut **tx)
    .await
}

/// The boxes that wait at some sites, oldest first.
pub async fn waiting(tx: &mut Tx, sites: &[SiteId], now: Timestamp) -> sqlx::Result<Vec<Waiting>> {
    sqlx::query_as(
        "select id, site_id, key_digest, host, version, replaces, asked_at, expires_at, confirmed_at
           from waiting_agents
          where tenant_id = $1 and site_id = any($2) and expires_at > $3
          order by asked_at, id
          limit 1000",
    )
    .bind(tx.tenant())
    .bind(sites)
    .bind(now)
    .fetch_all(&mut **tx)
    .await
}

/// Confirms a box that waits at a site; `false` when none of that name does any more.
pub async fn confirm_waiting(
    tx: &mut Tx,
    site: SiteId,
    agent: AgentId,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update waiting_agents set confirmed_at = coalesce(confirmed_at, $4)
          where tenant_id = $1 and site_id = $2 and id = $3 and expires_at > $4",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(agent)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// A box waits no longer; `false` when it did not.
pub async fn forget_waiting(tx: &mut Tx, site: SiteId, agent: AgentId) -> sqlx::Result<bool> {
    let done =
        sqlx::query("delete from waiting_agents where tenant_id = $1 and site_id = $2 and id = $3")
            .bind(tx.tenant())
            .bind(site)
            .bind(agent)
            .execute(&mut **tx)
            .await?;
    Ok(done.rows_affected() > 0)
}
