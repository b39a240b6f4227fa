//! When he was online, how much he used, and why he was not.

use easyisp_shared::id::{CommandId, CustomerId, SessionId};
use easyisp_shared::time::Timestamp;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::db::Tx;

/// A time online.
#[derive(FromRow, Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectSession)]
pub struct SessionRow {
    id: SessionId,
    username: String,
    router: Option<String>,
    status: String,
    ip_address: Option<String>,
    /// Of IPv6, what it had last.
    ipv6_prefixes: Vec<String>,
    mac_address: Option<String>,
    started_at: Timestamp,
    stopped_at: Option<Timestamp>,
    secs: i64,
    bytes_in: i64,
    bytes_out: i64,
    terminate_cause: Option<String>,
}

/// His times online.
pub async fn sessions(
    tx: &mut Tx,
    customer: CustomerId,
    most: i64,
) -> sqlx::Result<Vec<SessionRow>> {
    sqlx::query_as(
        "select s.id, s.username, r.name as router, s.status, s.framed_ip as ip_address,
                s.prefixes as ipv6_prefixes,
                s.mac as mac_address, s.started_at, s.stopped_at, s.session_secs as secs, s.bytes_in,
                s.bytes_out, s.terminate_cause
           from sessions s
           left join routers r on r.tenant_id = $1 and r.id = s.router_id
          where s.tenant_id = $1 and s.customer_id = $2
          order by s.started_at desc
          limit $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// What was used on one day (UTC).
#[derive(FromRow, Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectUsage)]
pub struct UsageDay {
    day: String,
    bytes_in: i64,
    bytes_out: i64,
}

/// What he used, by day. It is kept by hour.
pub async fn usage(tx: &mut Tx, customer: CustomerId, most: i64) -> sqlx::Result<Vec<UsageDay>> {
    sqlx::query_as(
        "select (at at time zone 'UTC')::date::text as day, sum(bytes_in)::bigint as bytes_in,
                sum(bytes_out)::bigint as bytes_out
           from usage
          where tenant_id = $1 and customer_id = $2
          group by 1
          order by 1 desc
          limit $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// An attempt to log in.
#[derive(FromRow, Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectLogin)]
pub struct LoginRow {
    at: Timestamp,
    username: String,
    mac_address: Option<String>,
    router: Option<String>,
    accepted: bool,
    reason: String,
}

/// His attempts to log in, also those under his name that the site could not place.
pub async fn logins(
    tx: &mut Tx,
    customer: CustomerId,
    username: &str,
    most: i64,
) -> sqlx::Result<Vec<LoginRow>> {
    sqlx::query_as(
        "select l.at, l.username, l.mac as mac_address, r.name as router, l.accepted, l.reason
           from auth_log l
           left join routers r on r.tenant_id = $1 and r.id = l.router_id
          where l.tenant_id = $1
            and (l.customer_id = $2 or l.customer_id is null and l.username = $3)
          order by l.at desc, l.id desc
          limit $4",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(username)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// What a site was asked to do about him.
#[derive(FromRow, Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectCommand)]
pub struct CommandRow {
    id: CommandId,
    kind: String,
    issued_at: Timestamp,
    finished_at: Option<Timestamp>,
    result: Option<String>,
}

/// What sites were asked to do about him.
pub async fn commands(
    tx: &mut Tx,
    customer: CustomerId,
    most: i64,
) -> sqlx::Result<Vec<CommandRow>> {
    sqlx::query_as(
        "select id, kind, issued_at, finished_at, result
           from commands
          where tenant_id = $1 and customer_id = $2
          order by issued_at desc
          limit $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// How an old server answered differently while the tenant moved in.
#[derive(FromRow, Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectDifference)]
pub struct DifferenceRow {
    router: String,
    kind: String,
    ours: String,
    theirs: String,
    at: Timestamp,
}

/// What was learnt of him while the tenant moved in.
pub async fn differences(
    tx: &mut Tx,
    username: &str,
    most: i64,
) -> sqlx::Result<Vec<DifferenceRow>> {
    sqlx::query_as(
        "select r.name as router, d.kind, d.ours, d.theirs, d.at
           from moving_differences d
           join routers r on r.tenant_id = $1 and r.id = d.router_id
          where d.tenant_id = $1 and d.username = $2
          order by d.at desc
          limit $3",
    )
    .bind(tx.tenant())
    .bind(username)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}
