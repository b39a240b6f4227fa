//! The log of logins: who tried, what came of it, and why.

use easyisp_shared::id::{CustomerId, RouterId, SiteId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::up::LoginOutcome;
use uuid::Uuid;

use crate::db::Tx;

/// One attempt to log in, to be logged.
#[derive(Clone, Debug)]
pub struct Login {
    /// When.
    pub at: Timestamp,
    /// The row's id.
    pub id: Uuid,
    /// Where.
    pub router: RouterId,
    /// Who, when the site knows.
    pub customer: Option<CustomerId>,
    /// Under which name.
    pub username: String,
    /// With which device.
    pub mac: Option<String>,
    /// Whether he was let in.
    pub accepted: bool,
    /// Why or why not, for the operator.
    pub reason: String,
    /// What came of it, for programs, and why he was refused.
    pub words: (&'static str, Option<&'static str>),
}

/// Writes a batch of a site's attempts. A customer of another site is not named, one who was erased by his
/// pseudonym.
pub async fn log(tx: &mut Tx, site: SiteId, logins: &[Login]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into auth_log (tenant_id, at, id, site_id, router_id, customer_id, username, mac,
                accepted, reason, outcome, refusal)
         select $1, n.at, n.id, $2, n.router, c.id,
                case when c.erased_at is null then n.username else c.username end,
                case when c.erased_at is null then n.mac end, n.accepted, n.reason, n.outcome, n.refusal
           from unnest($3::timestamptz[], $4::uuid[], $5::uuid[], $6::uuid[], $7::text[], $8::text[],
                       $9::boolean[], $10::text[], $11::text[], $12::text[])
                as n (at, id, router, customer, username, mac, accepted, reason, outcome, refusal)
           left join customers c on c.tenant_id = $1 and c.id = n.customer
                                and (c.site_id = $2 or c.erased_at is not null)",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(logins.iter().map(|login| login.at).collect::<Vec<_>>())
    .bind(logins.iter().map(|login| login.id).collect::<Vec<_>>())
    .bind(logins.iter().map(|login| login.router).collect::<Vec<_>>())
    .bind(logins.iter().map(|login| login.customer).collect::<Vec<_>>())
    .bind(logins.iter().map(|login| login.username.as_str()).collect::<Vec<_>>())
    .bind(logins.iter().map(|login| login.mac.as_deref()).collect::<Vec<_>>())
    .bind(logins.iter().map(|login| login.accepted).collect::<Vec<_>>())
    .bind(logins.iter().map(|login| login.reason.as_str()).collect::<Vec<_>>())
    .bind(logins.iter().map(|login| login.words.0).collect::<Vec<_>>())
    .bind(logins.iter().map(|login| login.words.1).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A line of the log as an operator reads it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct LogRow {
    /// The row.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// Under which name.
    pub username: String,
    /// Who, when the site knew.
    pub customer_id: Option<CustomerId>,
    /// With which device.
    pub mac: Option<String>,
    /// Where.
    pub router_id: Option<RouterId>,
    /// What people call it.
    pub router_name: Option<String>,
    /// Whether he was let in.
    pub accepted: bool,
    /// Why or why not.
    pub reason: String,
    /// At which site.
    pub site_id: SiteId,
    /// What came of it, for programs; `None` for a line that is older than these words.
    pub outcome: Option<String>,
    /// Why he was refused, for programs.
    pub refusal: Option<String>,
}

/// The newest attempts under a name (every name when `None`), accepted or refused or both.
pub async fn logins(
    tx: &mut Tx,
    username: Option<&str>,
    accepted: Option<bool>,
    limit: i64,
    offset: i64,
) -> sqlx::Result<Vec<LogRow>> {
    sqlx::query_as(
        "select l.id, l.at, l.username, l.customer_id, l.mac, l.router_id, r.name as router_name,
                l.accepted, l.reason, l.site_id, l.outcome, l.refusal
           from auth_log l
           left join routers r on r.tenant_id = $1 and r.id = l.router_id
          where l.tenant_id = $1
            and ($2::text is null or l.username = $2)
            and ($3::boolean is null or l.accepted = $3)
          order by l.at desc, l.id desc
          limit $4 offset $5",
    )
    .bind(tx.tenant())
    .bind(username)
    .bind(accepted)
    .bind(limit)
    .bind(offset)
    .fetch_all(&mut **tx)
    .await
}

/// The newest attempts of one customer, also those under his name that the site could not place.
pub async fn logins_of(
    tx: &mut Tx,
    customer: CustomerId,
    username: &str,
    limit: i64,
    offset: i64,
) -> sqlx::Result<Vec<LogRow>> {
    sqlx::query_as(
        "select l.id, l.at, l.username, l.customer_id, l.mac, l.router_id, r.name as router_name,
                l.accepted, l.reason, l.site_id, l.outcome, l.refusal
           from auth_log l
           left join routers r on r.tenant_id = $1 and r.id = l.router_id
          where l.tenant_id = $1
            and (l.customer_id = $2 or l.username = $3 and l.customer_id is null)
            and (l.outcome is null or l.outcome <> all($6))
          order by l.at desc, l.id desc
          limit $4 offset $5",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(username)
    .bind(limit)
    .bind(offset)
    .bind(LoginOutcome::AT_THE_ROUTER.map(|outcome| outcome.code().0))
    .fetch_all(&mut **tx)
    .await
}
