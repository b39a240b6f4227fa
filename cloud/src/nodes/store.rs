//! SQL on the nodes there are and on which of them holds an agent.

use easyisp_shared::id::{AgentId, SiteId, TenantId};
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::{Database, DirectoryTx};
use crate::sites::agents::Agent;

/// An agent's connection, and the node that holds it.
#[derive(FromRow, Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// Which agent.
    pub agent: AgentId,
    /// The node.
    pub node: Uuid,
    /// Where the node is asked.
    pub address: String,
}

/// The connections of a site's agents at nodes heard of since `alive`, the longest first.
pub async fn of_site(
    db: &Database,
    tenant: TenantId,
    site: SiteId,
    alive: Timestamp,
) -> sqlx::Result<Vec<Held>> {
    let mut glance = db.glance().await?;
    sqlx::query_as(
        "select c.agent_id as agent, n.node_id as node, n.address
           from directory.connections c
           join directory.nodes n using (node_id)
          where c.tenant_id = $1 and c.site_id = $2 and n.seen_at > $3
          order by c.since, c.agent_id
          limit 16",
    )
    .bind(tenant)
    .bind(site)
    .bind(alive)
    .fetch_all(&mut *glance)
    .await
}

/// The connection of one agent of a tenant, at a node heard of since `alive`.
pub async fn of_agent(
    db: &Database,
    tenant: TenantId,
    agent: AgentId,
    alive: Timestamp,
) -> sqlx::Result<Vec<Held>> {
    let mut glance = db.glance().await?;
    sqlx::query_as(
        "select c.agent_id as agent, n.node_id as node, n.address
           from directory.connections c
           join directory.nodes n using (node_id)
          where c.agent_id = $2 and c.tenant_id = $1 and n.seen_at > $3",
    )
    .bind(tenant)
    .bind(agent)
    .bind(alive)
    .fetch_all(&mut *glance)
    .await
}

/// Notes that a node is there; whether it had no row, or none any more.
pub async fn beat(
    tx: &mut DirectoryTx,
    node: Uuid,
    address: &str,
    started: Timestamp,
    now: Timestamp,
) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "insert into directory.nodes (node_id, address, started_at, seen_at)
         values ($1, $2, $3, $4)
             on conflict (node_id) do update set seen_at = excluded.seen_at
      returning xmax = 0",
    )
    .bind(node)
    .bind(address)
    .bind(started)
    .bind(now)
    .fetch_one(&mut **tx)
    .await
}

/// What becomes of the row that another node wrote of the same agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Row {
    /// It is this node's from here on: the agent came just now.
    TakenOver,
    /// The one of the later connection stays.
    KeptByLater,
}

/// Writes that a node holds these agents, each since then.
pub async fn arrived(
    tx: &mut DirectoryTx,
    node: Uuid,
    agents: &[(Agent, Timestamp)],
    row: Row,
) -> sqlx::Result<()> {
    if agents.is_empty() {
        return Ok(());
    }
    let ids: Vec<AgentId> = agents.iter().map(|(agent, _)| agent.id).collect();
    let tenants: Vec<TenantId> = agents.iter().map(|(agent, _)| agent.tenant).collect();
    let sites: Vec<SiteId> = agents.iter().map(|(agent, _)| agent.site).collect();
    let since: Vec<Timestamp> = agents.iter().map(|(_, since)| *since).collect();
    sqlx::query(
        "insert into directory.connections as held (agent_id, tenant_id, site_id, node_id, since)
         select agent_id, tenant_id, site_id, $1, since
           from unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::timestamptz[])
                as here (agent_id, tenant_id, site_id, since)
          order by agent_id
             on conflict (agent_id) do update
            set tenant_id = excluded.tenant_id, site_id = excluded.site_id,
                node_id = excluded.node_id, since = excluded.since
          where $6 or held.since <= excluded.since",
    )
    .bind(node)
    .bind(ids)
    .bind(tenants)
    .bind(sites)
    .bind(since)
    .bind(row == Row::TakenOver)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes that a node does not hold these agents any more; who is at another one stays there.
pub async fn left(tx: &mut DirectoryTx, node: Uuid, agents: &[AgentId]) -> sqlx::Result<()> {
    if agents.is_empty() {
        return Ok(());
    }
    sqlx::query("delete from directory.connections where agent_id = any($2) and node_id = $1")
        .bind(node)
        .bind(agents)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets other nodes that were silent since before, with whom they held.
pub async fn forget_dead(tx: &mut DirectoryTx, node: Uuid, before: Timestamp) -> sqlx::Result<()> {
    sqlx::query("delete from directory.nodes where seen_at < $2 and node_id <> $1")
        .bind(node)
        .bind(before)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets a node that stops, with whom it held.
pub async fn leave(db: &Database, node: Uuid) -> sqlx::Result<()> {
    let mut tx = db.directory().await?;
    sqlx::query("delete from directory.nodes where node_id = $1")
        .bind(node)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}
