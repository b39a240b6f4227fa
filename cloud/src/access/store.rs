//! SQL on ways.

use easyisp_shared::id::{AccessGrantId, AgentId, CustomerId, OperatorId, RouterId, SiteId};
use easyisp_shared::time::Timestamp;
use uuid::Uuid;

use super::words::{Closed, Service};
use crate::db::Tx;
use crate::routers::WAY_UNSEEN;

/// A way, as it is stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Grant {
    /// Its id.
    pub id: AccessGrantId,
    /// Through which site.
    pub site_id: SiteId,
    /// Through which of its agents.
    pub agent_id: AgentId,
    /// To which router.
    pub router_id: Option<RouterId>,
    /// To whose device.
    pub customer_id: Option<CustomerId>,
    /// What it is called.
    pub target_name: String,
    /// What is reached there.
    pub service: Service,
    /// Where the agent leads to.
    pub address: String,
    /// TCP port.
    pub port: i32,
    /// Where operators come in; none of what was opened before that was kept.
    pub listen_port: Option<i32>,
    /// Why.
    pub reason: String,
    /// Who opened it.
    pub operator_id: OperatorId,
    /// What he is called.
    pub operator_name: String,
    /// From where it may be used.
    pub from_address: String,
    /// When.
    pub opened_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// When the server that serves it was last seen at it; None of what was opened before that was kept.
    pub served_at: Option<Timestamp>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// Why.
    pub closed_why: Option<Closed>,
    /// TCP connections there were.
    pub connections: i64,
    /// Bytes to the device.
    pub bytes_there: i64,
    /// Bytes from it.
    pub bytes_back: i64,
}

impl Grant {
    /// What the trail says that it leads to.
    pub fn target(&self) -> (&'static str, Uuid) {
        match (self.router_id, self.customer_id) {
            (Some(router), _) => ("router", router.0),
            (None, Some(customer)) => ("customer", customer.0),
            (None, None) => ("access", self.id.0), // the table does not hold such a row
        }
    }
}

/// Notes a way that is opened.
pub async fn insert(tx: &mut Tx, grant: &Grant) -> sqlx::Result<()> {
    sqlx::query(
        "insert into access_grants (tenant_id, id, site_id, agent_id, router_id, customer_id, target_name, service,
                address, port, reason, operator_id, operator_name, from_address, opened_at, expires_at,
                listen_port, served_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
    )
    .bind(tx.tenant())
    .bind(grant.id)
    .bind(grant.site_id)
    .bind(grant.agent_id)
    .bind(grant.router_id)
    .bind(grant.customer_id)
    .bind(&grant.target_name)
    .bind(grant.service)
    .bind(&grant.address)
    .bind(grant.port)
    .bind(&grant.reason)
    .bind(grant.operator_id)
    .bind(&grant.operator_name)
    .bind(&grant.from_address)
    .bind(grant.opened_at)
    .bind(grant.expires_at)
    .bind(grant.listen_port)
    .bind(grant.served_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How much went through a way.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Moved {
    /// TCP connections there were.
    pub connections: i64,
    /// Bytes to the device.
    pub there: i64,
    /// Bytes from it.
    pub back: i64,
}

/// Notes that a way is closed; whether it was open.
pub async fn close(
    tx: &mut Tx,
    grant: AccessGrantId,
    why: Closed,
    moved: Moved,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update access_grants
            set closed_at = $3, closed_why = $4, connections = $5, bytes_there = $6, bytes_back = $7
          where tenant_id = $1 and id = $2 and closed_at is null",
    )
    .bind(tx.tenant())
    .bind(grant)
    .bind(now)
    .bind(why)
    .bind(moved.connections)
    .bind(moved.there)
    .bind(moved.back)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Notes what went through a way that was closed at another node than its own.
pub async fn note_moved(tx: &mut Tx, grant: AccessGrantId, moved: Moved) -> sqlx::Result<()> {
    sqlx::query(
        "update access_grants
            set connections = $3, bytes_there = $4, bytes_back = $5
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(grant)
    .bind(moved.connections)
    .bind(moved.there)
    .bind(moved.back)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that the server that serves a way is there.
pub async fn note_served(tx: &mut Tx, grant: AccessGrantId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "update access_grants set served_at = $3
          where tenant_id = $1 and id = $2 and closed_at is null",
    )
    .bind(tx.tenant())
    .bind(grant)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A way.
pub async fn find(tx: &mut Tx, grant: AccessGrantId) -> sqlx::Result<Option<Grant>> {
    sqlx::query_as("select * from access_grants where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(grant)
        .fetch_optional(&mut **tx)
        .await
}

/// One page of ways, the latest first; those that are open alone where it is asked for.
pub async fn list(
    tx: &mut Tx,
    open: bool,
    now: Timestamp,
    limit: i64,
    offset: i64,
) -> sqlx::Result<Vec<Grant>> {
    sqlx::query_as(
        "select * from access_grants
          where tenant_id = $1 and (not $2 or closed_at is null and expires_at > $3 and (served_at is null or served_at > $6))
          order by opened_at desc, id
          limit $4 offset $5",
    )
    .bind(tx.tenant())
    .bind(open)
    .bind(now)
    .bind(limit)
    .bind(offset)
    .bind(now.minus(WAY_UNSEEN))
    .fetch_all(&mut **tx)
    .await
}

/// How many that are.
pub async fn count(tx: &mut Tx, open: bool, now: Timestamp) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*) from access_grants
          where tenant_id = $1 and (not $2 or closed_at is null and expires_at > $3 and (served_at is null or served_at > $4))",
    )
    .bind(tx.tenant())
    .bind(open)
    .bind(now)
    .bind(now.minus(WAY_UNSEEN))
    .fetch_one(&mut **tx)
    .await
}
