//! SQL on agents, their certificates, their join tokens, and the authority.

mod waiting;

use easyisp_shared::id::{AgentId, SiteId, TenantId};
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

use super::Agent;
use super::generation::Generations;
use super::keepers::Keepers;
use crate::db::{DirectoryTx, Tx};
use crate::sites::pki::Issued;

pub use waiting::{Waiting, confirm_waiting, forget_waiting, put_waiting, waiting, waiting_with};

/// The authority as it is stored.
#[derive(FromRow)]
pub struct StoredAuthority {
    /// DER; during a rotation two, one after the other, the one that signs first.
    pub certificate: Vec<u8>,
    /// PKCS #8 under the master key, in the same order.
    pub key_sealed: Vec<u8>,
    /// Changes when the database was restored from a backup.
    pub epoch: Uuid,
}

/// Reads the authority; `None` before the first start.
pub async fn authority(tx: &mut DirectoryTx) -> sqlx::Result<Option<StoredAuthority>> {
    sqlx::query_as("select certificate, key_sealed, epoch from directory.authority")
        .fetch_optional(&mut **tx)
        .await
}

/// Reads the authority for a change of it: nobody else changes it meanwhile.
pub async fn lock_authority(tx: &mut DirectoryTx) -> sqlx::Result<Option<StoredAuthority>> {
    sqlx::query_as(
        "select certificate, key_sealed, epoch from directory.authority where singleton for update",
    )
    .fetch_optional(&mut **tx)
    .await
}

/// Puts the authorities in the place of those before.
pub async fn replace_authority(
    tx: &mut DirectoryTx,
    certificates: &[u8],
    keys_sealed: &[u8],
) -> sqlx::Result<()> {
    sqlx::query("update directory.authority set certificate = $1, key_sealed = $2 where singleton")
        .bind(certificates)
        .bind(keys_sealed)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Which history of the database this is: its cluster, the timeline (a standby that took over, or a restore
/// to a point in time, begins another), and the database itself (a dump that was loaded is a new one).
pub async fn birth(tx: &mut DirectoryTx) -> sqlx::Result<String> {
    sqlx::query_scalar(
        "select (select system_identifier from pg_control_system())::text
                || '/' || substring(pg_walfile_name(pg_current_wal_lsn()) for 8)
                || '/' || oid::text
           from pg_database
          where datname = current_database()",
    )
    .fetch_one(&mut **tx)
    .await
}

/// Begins an epoch where the database is of another birth than the last one; says whether it did.
pub async fn put_epoch(tx: &mut DirectoryTx, epoch: Uuid, birth: &str) -> sqlx::Result<bool> {
    let begun =
        sqlx::query("update directory.authority set epoch = $1, birth = $2 where birth <> $2")
            .bind(epoch)
            .bind(birth)
            .execute(&mut **tx)
            .await?;
    Ok(begun.rows_affected() == 1)
}

/// Keeps a new authority, unless another node was first.
pub async fn put_authority(
    tx: &mut DirectoryTx,
    certificate: &[u8],
    key_sealed: &[u8],
    (epoch, birth): (Uuid, &str),
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into directory.authority (certificate, key_sealed, epoch, birth, created_at)
         values ($1, $2, $3, $4, $5)
             on conflict do nothing",
    )
    .bind(certificate)
    .bind(key_sealed)
    .bind(epoch)
    .bind(birth)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Keeps the digest of a new join token.
pub async fn put_join_token(
    tx: &mut Tx,
    digest: &[u8; 32],
    site: SiteId,
    replaces: Option<AgentId>,
    now: Timestamp,
    expires: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into directory.join_tokens
                (token_digest, tenant_id, site_id, created_at, expires_at, replaces)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(digest.as_slice())
    .bind(tx.tenant())
    .bind(site)
    .bind(now)
    .bind(expires)
    .bind(replaces)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Which site a token is for; `None` when it was never issued here.
pub async fn place_of_token(
    tx: &mut DirectoryTx,
    digest: &[u8; 32],
) -> sqlx::Result<Option<(TenantId, SiteId)>> {
    sqlx::query_as("select tenant_id, site_id from directory.join_tokens where token_digest = $1")
        .bind(digest.as_slice())
        .fetch_optional(&mut **tx)
        .await
}

/// A token that was used up.
#[derive(FromRow)]
pub struct UsedToken {
    /// Whose place the box takes.
    pub replaces: Option<AgentId>,
}

/// Uses a token up for `agent`; `None` when it was used, or is too old.
pub async fn use_token(
    tx: &mut Tx,
    digest: &[u8; 32],
    agent: AgentId,
    now: Timestamp,
) -> sqlx::Result<Option<UsedToken>> {
    sqlx::query_as(
        "update directory.join_tokens
            set used_at = $3, agent_id = $4
          where token_digest = $1 and tenant_id = $2 and used_at is null and expires_at > $3
      returning replaces",
    )
    .bind(digest.as_slice())
    .bind(tx.tenant())
    .bind(now)
    .bind(agent)
    .fetch_optional(&mut **tx)
    .await
}

/// Whether boxes that join wait until they are confirmed.
pub async fn confirms_agents(tx: &mut Tx) -> sqlx::Result<bool> {
    sqlx::query_scalar("select confirm_agents from tenants where tenant_id = $1")
        .bind(tx.tenant())
        .fetch_one(&mut **tx)
        .await
}

/// A site's name; `None` when it is not the tenant's, or was deleted.
pub async fn site_name(tx: &mut Tx, site: SiteId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "select name from sites where tenant_id = $1 and id = $2 and deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(site)
    .fetch_optional(&mut **tx)
    .await
}

/// Writes a new agent.
pub async fn put_agent(
    tx: &mut Tx,
    agent: &Agent,
    issued: &Issued,
    version: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into agents (tenant_id, id, site_id, fingerprint, version, enrolled_at, key_digest)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(tx.tenant())
    .bind(agent.id)
    .bind(agent.site)
    .bind(hex::encode(issued.fingerprint))
    .bind(version)
    .bind(now)
    .bind(issued.key.as_slice())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes whose certificate this is.
pub async fn put_certificate(
    tx: &mut Tx,
    agent: &Agent,
    issued: &Issued,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into directory.certificates
             (fingerprint, tenant_id, site_id, agent_id, issued_at, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(issued.fingerprint.as_slice())
    .bind(tx.tenant())
    .bind(agent.site)
    .bind(agent.id)
    .bind(now)
    .bind(issued.expires)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A certificate that was issued here.
#[derive(FromRow)]
pub struct KnownCertificate {
    tenant_id: TenantId,
    site_id: SiteId,
    agent_id: AgentId,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl KnownCertificate {
    /// Whose it is.
    pub fn agent(&self) -> Agent {
        Agent {
            tenant: self.tenant_id,
            site: self.site_id,
            id: self.agent_id,
        }
    }
}

/// The certificate with this SHA-256; `None` when it was not issued here.
pub async fn certificate(
    tx: &mut DirectoryTx,
    fingerprint: &[u8; 32],
) -> sqlx::Result<Option<KnownCertificate>> {
    sqlx::query_as(
        "select tenant_id, site_id, agent_id, expires_at, revoked_at
           from directory.certificates
          where fingerprint = $1",
    )
    .bind(fingerprint.as_slice())
    .fetch_optional(&mut **tx)
    .await
}

/// Notes a renewed certificate as the agent's; `false` when the agent was revoked, or found to have a copy.
pub async fn renewed(tx: &mut Tx, agent: &Agent, issued: &Issued) -> sqlx::Result<bool> {
    let renewed = sqlx::query(
        "update agents set fingerprint = $3, key_digest = $4
          where tenant_id = $1 and id = $2 and revoked_at is null and cloned_at is null",
    )
    .bind(tx.tenant())
    .bind(agent.id)
    .bind(hex::encode(issued.fingerprint))
    .bind(issued.key.as_slice())
    .execute(&mut **tx)
    .await?;
    Ok(renewed.rows_affected() == 1)
}

/// Marks an agent as revoked and says whose it was; `None` when the tenant has no such agent. A second time
/// keeps the first instant.
pub async fn revoke_agent(
    tx: &mut Tx,
    agent: AgentId,
    now: Timestamp,
) -> sqlx::Result<Option<SiteId>> {
    sqlx::query_scalar(
        "update agents set revoked_at = coalesce(revoked_at, $3)
          where tenant_id = $1 and id = $2
      returning site_id",
    )
    .bind(tx.tenant())
    .bind(agent)
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
}

/// The agents of a site that were not revoked and were connected at least once: those that hear each other first, then
/// who was there first. A box that joined and never came serves nobody.
pub async fn serving(tx: &mut Tx, site: SiteId) -> sqlx::Result<Vec<AgentId>> {
    sqlx::query_scalar(
        "select id from agents
          where tenant_id = $1 and site_id = $2 and revoked_at is null and generation > 0
          order by addresses = '{}', enrolled_at, id
          limit 1000",
    )
    .bind(tx.tenant())
    .bind(site)
    .fetch_all(&mut **tx)
    .await
}

#[derive(FromRow)]
struct Named {
    keepers: Vec<AgentId>,
    keepers_term: i64,
}

impl From<Named> for Keepers {
    fn from(named: Named) -> Keepers {
        Keepers {
            term: named.keepers_term,
            agents: named.keepers,
        }
    }
}

/// Who keeps a site's vouchers, locked to be changed; `None` when the tenant has no such site.
pub async fn lock_keepers(tx: &mut Tx, site: SiteId) -> sqlx::Result<Option<Keepers>> {
    let named: Option<Named> = sqlx::query_as(
        "select keepers, keepers_term from sites where tenant_id = $1 and id = $2 for no key update",
    )
    .bind(tx.tenant())
    .bind(site)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(named.map(Keepers::from))
}

/// The same for whoever needs that they stay until the transaction ends.
pub async fn hold_keepers(tx: &mut Tx, site: SiteId) -> sqlx::Result<Option<Keepers>> {
    let named: Option<Named> = sqlx::query_as(
        "select keepers, keepers_term from sites where tenant_id = $1 and id = $2 for share",
    )
    .bind(tx.tenant())
    .bind(site)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(named.map(Keepers::from))
}

/// Who keeps a site's vouchers, as it is now.
pub async fn keepers(tx: &mut Tx, site: SiteId) -> sqlx::Result<Keepers> {
    let named: Option<Named> =
        sqlx::query_as("select keepers, keepers_term from sites where tenant_id = $1 and id = $2")
            .bind(tx.tenant())
            .bind(site)
            .fetch_optional(&mut **tx)
            .await?;
    Ok(named.map(Keepers::from).unwrap_or_default())
}

/// Names who keeps a site's vouchers.
pub async fn put_keepers(
    tx: &mut Tx,
    site: SiteId,
    term: i64,
    agents: &[AgentId],
) -> sqlx::Result<()> {
    sqlx::query(
        "update sites set keepers = $3, keepers_term = $4 where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(agents)
    .bind(term)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An agent that hears the others of its site.
#[derive(FromRow)]
pub struct Listening {
    /// Which.
    pub id: AgentId,
    /// SHA-256 of its public key.
    pub key_digest: Vec<u8>,
    /// Where.
    pub addresses: Vec<String>,
}

/// The agents of a site that were not revoked and hear each other.
pub async fn listening(tx: &mut Tx, site: SiteId) -> sqlx::Result<Vec<Listening>> {
    sqlx::query_as(
        "select id, key_digest, addresses from agents
          where tenant_id = $1 and site_id = $2 and revoked_at is null
            and key_digest is not null and addresses <> '{}'
          order by enrolled_at, id
          limit 16",
    )
    .bind(tx.tenant())
    .bind(site)
    .fetch_all(&mut **tx)
    .await
}

/// The agents of a site that were not revoked and hear each other, or were connected at least once: each of them may
/// have counted what was used.
pub async fn around(tx: &mut Tx, site: SiteId) -> sqlx::Result<Vec<Listening>> {
    sqlx::query_as(
        "select id, key_digest, addresses from agents
          where tenant_id = $1 and site_id = $2 and revoked_at is null
            and key_digest is not null and (addresses <> '{}' or generation > 0)
          order by addresses = '{}', enrolled_at, id
          limit 16",
    )
    .bind(tx.tenant())
    .bind(site)
    .fetch_all(&mut **tx)
    .await
}

/// The sites, by name, at which an agent listens that was not revoked.
pub async fn sites_listening(tx: &mut Tx) -> sqlx::Result<Vec<(SiteId, String)>> {
    sqlx::query_as(
        "select s.id, s.name
           from sites s
          where s.tenant_id = $1 and s.deleted_at is null
            and exists (select from agents a
                         where a.tenant_id = s.tenant_id and a.site_id = s.id and a.revoked_at is null
                           and a.key_digest is not null and a.addresses <> '{}')
          order by lower(s.name), s.id
          limit 10",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await
}

/// Notes where an agent hears the others of its site; whether that is news.
pub async fn put_addresses(
    tx: &mut Tx,
    agent: AgentId,
    addresses: &[String],
) -> sqlx::Result<bool> {
    let changed = sqlx::query(
        "update agents set addresses = $3
          where tenant_id = $1 and id = $2 and addresses is distinct from $3",
    )
    .bind(tx.tenant())
    .bind(agent)
    .bind(addresses)
    .execute(&mut **tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Marks all of an agent's certificates as revoked.
pub async fn revoke_certificates(tx: &mut Tx, agent: AgentId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "update directory.certificates
            set revoked_at = $3
          where tenant_id = $1 and agent_id = $2 and revoked_at is null",
    )
    .bind(tx.tenant())
    .bind(agent)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Marks every agent of the tenant and all their certificates as revoked, and forgets its join tokens.
pub async fn revoke_all(tx: &mut Tx, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "with certificates as (
             update directory.certificates set revoked_at = $2
              where tenant_id = $1 and revoked_at is null),
         tokens as (delete from directory.join_tokens where tenant_id = $1),
         waiting as (delete from waiting_agents where tenant_id = $1)
         update agents set revoked_at = coalesce(revoked_at, $2) where tenant_id = $1",
    )
    .bind(tx.tenant())
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whether the tenant has such an agent at a site, revoked or not.
pub async fn is_at(tx: &mut Tx, agent: AgentId, site: SiteId) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from agents where tenant_id = $1 and id = $2 and site_id = $3)",
    )
    .bind(tx.tenant())
    .bind(agent)
    .bind(site)
    .fetch_one(&mut **tx)
    .await
}

/// What is on record of an agent's identity.
#[derive(FromRow)]
pub struct Held {
    generation: i64,
    offered: i64,
    /// When a copy of it was seen.
    pub cloned_at: Option<Timestamp>,
    /// Where it hears the other agents of its site.
    pub addresses: Vec<String>,
}

impl Held {
    /// The generations.
    pub fn generations(&self) -> Generations {
        Generations {
            counted: u64::try_from(self.generation).unwrap_or(0),
            offered: u64::try_from(self.offered).unwrap_or(0),
        }
    }
}

/// Locks what is on record of an agent's identity; `None` when it was revoked or is not the tenant's.
pub async fn lock_held(tx: &mut Tx, agent: AgentId) -> sqlx::Result<Option<Held>> {
    sqlx::query_as(
        "select generation, offered, cloned_at, addresses from agents
          where tenant_id = $1 and id = $2 and revoked_at is null
            for update",
    )
    .bind(tx.tenant())
    .bind(agent)
    .fetch_optional(&mut **tx)
    .await
}

/// The generation in which an agent counts, as it is at this moment; `None` where it was revoked, has a copy, or is
/// not the tenant's.
pub async fn counted(tx: &mut Tx, agent: AgentId) -> sqlx::Result<Option<u64>> {
    let generation: Option<i64> = sqlx::query_scalar(
        "select generation from agents
          where tenant_id = $1 and id = $2 and revoked_at is null and cloned_at is null",
    )
    .bind(tx.tenant())
    .bind(agent)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(generation.and_then(|generation| u64::try_from(generation).ok()))
}

/// Counts reports of an agent that could be neither applied nor kept.
pub async fn note_dropped(
    tx: &mut Tx,
    agent: AgentId,
    count: u32,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update agents
            set dropped_reports = dropped_reports + $3, dropped_at = coalesce(dropped_at, $4)
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(agent)
    .bind(i64::from(count))
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes an agent's visit and its generations, which are locked.
pub async fn seen(
    tx: &mut Tx,
    agent: AgentId,
    generations: Generations,
    version: Option<&str>,
    now: Timestamp,
) -> sqlx::Result<()> {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    sqlx::query(
        "update agents
            set generation = $3, offered = $4,
                version = coalesce($5, version),
                last_seen_at = greatest(last_seen_at, $6)
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(agent)
    .bind(signed(generations.counted))
    .bind(signed(generations.offered))
    .bind(version)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes whether an agent's line is paid by the octet.
pub async fn put_metered(tx: &mut Tx, agent: AgentId, metered: bool) -> sqlx::Result<()> {
    sqlx::query(
        "update agents set metered = $3 where tenant_id = $1 and id = $2 and metered <> $3",
    )
    .bind(tx.tenant())
    .bind(agent)
    .bind(metered)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that a copy of an agent was seen: neither is let in until an operator revokes it.
pub async fn cloned(tx: &mut Tx, agent: AgentId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "update agents set cloned_at = coalesce(cloned_at, $3) where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(agent)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes a certificate of ours that this database does not know: one renewed after the backup it was put
/// back from. `false` where the agent it names is revoked, or not here.
pub async fn adopt_certificate(
    tx: &mut Tx,
    agent: &Agent,
    fingerprint: &[u8; 32],
    (issued, expires): (Timestamp, Timestamp),
) -> sqlx::Result<bool> {
    let adopted = sqlx::query(
        "insert into directory.certificates
             (fingerprint, tenant_id, site_id, agent_id, issued_at, expires_at)
         select $4, tenant_id, site_id, id, $5, $6
           from agents
          where tenant_id = $1 and id = $2 and site_id = $3 and revoked_at is null",
    )
    .bind(tx.tenant())
    .bind(agent.id)
    .bind(agent.site)
    .bind(fingerprint.as_slice())
    .bind(issued)
    .bind(expires)
    .execute(&mut **tx)
    .await?;
    Ok(adopted.rows_affected() == 1)
}

/// Notes that these agents are connected.
pub async fn still_here(tx: &mut Tx, agents: &[AgentId], now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "update agents set last_seen_at = greatest(last_seen_at, $3)
          where tenant_id = $1 and id = any($2)",
    )
    .bind(tx.tenant())
    .bind(agents)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What an agent says of itself.
pub struct Health<'a> {
    /// Build version.
    pub version: &'a str,
    /// Records it has not delivered.
    pub queue: i64,
    /// Its clock less ours.
    pub clock_offset_millis: Option<i64>,
    /// Everything else, for the console.
    pub report: serde_json::Value,
}

/// Keeps what an agent tells for a person to look at.
pub async fn put_condition(
    tx: &mut Tx,
    agent: AgentId,
    condition: &serde_json::Value,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update agents set condition = $3, last_seen_at = greatest(last_seen_at, $4)
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(agent)
    .bind(condition)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Keeps what an agent says of itself.
pub async fn put_health(
    tx: &mut Tx,
    agent: AgentId,
    health: &Health<'_>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update agents
            set version = $3, queue_depth = $4, clock_offset_ms = $5, report = $6,
                last_seen_at = greatest(last_seen_at, $7)
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(agent)
    .bind(health.version)
    .bind(health.queue)
    .bind(health.clock_offset_millis)
    .bind(&health.report)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
