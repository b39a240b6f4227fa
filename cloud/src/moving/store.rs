//! SQL on moves.

use easyisp_shared::id::{RouterId, SiteId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::up::MovingCountsV1;
use uuid::Uuid;

use super::rules::Place;
use super::words::{Difference, Mode};
use crate::db::Tx;

/// A move as it is stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Stored {
    /// The router.
    pub router_id: RouterId,
    /// Who answers.
    pub mode: Mode,
    old_address: String,
    old_auth_port: i32,
    old_acct_port: i32,
    /// The old server's secret, sealed for `moving.old_secret`.
    pub old_secret_sealed: Vec<u8>,
    /// Whether it hears of known users' sessions too.
    pub copy_accounting: bool,
    /// When the move began.
    pub since: Timestamp,
}

impl Stored {
    /// Where the old server is.
    pub fn place(&self) -> Place {
        Place {
            address: self
                .old_address
                .parse()
                .expect("stored addresses were parsed"),
            auth_port: self.old_auth_port,
            acct_port: self.old_acct_port,
        }
    }
}

/// The move of a router; `None` where there never was one.
pub async fn find(tx: &mut Tx, router: RouterId) -> sqlx::Result<Option<Stored>> {
    sqlx::query_as("select * from moving where tenant_id = $1 and router_id = $2")
        .bind(tx.tenant())
        .bind(router)
        .fetch_optional(&mut **tx)
        .await
}

/// What is to be stored of a move.
pub struct New<'a> {
    /// The router.
    pub router: RouterId,
    /// Who answers.
    pub mode: Mode,
    /// Where the old server is.
    pub place: &'a Place,
    /// Its sealed secret.
    pub secret: &'a [u8],
    /// Whether it hears of known users' sessions too.
    pub copy_accounting: bool,
    /// When the move began.
    pub since: Timestamp,
}

/// Writes a move over the one before.
pub async fn put(tx: &mut Tx, new: &New<'_>, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "insert into moving (tenant_id, router_id, mode, old_address, old_auth_port, old_acct_port,
                old_secret_sealed, copy_accounting, since, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             on conflict (tenant_id, router_id) do update
            set mode = excluded.mode, old_address = excluded.old_address,
                old_auth_port = excluded.old_auth_port, old_acct_port = excluded.old_acct_port,
                old_secret_sealed = excluded.old_secret_sealed,
                copy_accounting = excluded.copy_accounting, since = excluded.since,
                updated_at = excluded.updated_at",
    )
    .bind(tx.tenant())
    .bind(new.router)
    .bind(new.mode)
    .bind(new.place.address.to_string())
    .bind(new.place.auth_port)
    .bind(new.place.acct_port)
    .bind(new.secret)
    .bind(new.copy_accounting)
    .bind(new.since)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets what the two servers said: another move begins.
pub async fn forget_report(tx: &mut Tx, router: RouterId) -> sqlx::Result<()> {
    sqlx::query(
        "with tallies as (delete from moving_tallies where tenant_id = $1 and router_id = $2),
              differences as (delete from moving_differences where tenant_id = $1 and router_id = $2)
         delete from moving_strangers where tenant_id = $1 and router_id = $2",
    )
    .bind(tx.tenant())
    .bind(router)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A move that a site must know, and the site.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct AtSite {
    /// The move.
    #[sqlx(flatten)]
    pub stored: Stored,
    /// Where the router stands.
    pub site_id: SiteId,
}

/// The moves among these routers that are under way.
pub async fn under_way(tx: &mut Tx, routers: &[Uuid]) -> sqlx::Result<Vec<AtSite>> {
    sqlx::query_as(
        "select m.*, r.site_id
           from moving m
           join routers r on r.tenant_id = m.tenant_id and r.id = m.router_id
          where m.tenant_id = $1 and m.router_id = any($2) and m.mode <> 'OWN'
            and r.deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(routers)
    .fetch_all(&mut **tx)
    .await
}

/// The routers of all moves, for comparing them with what sites know.
pub async fn every_id(tx: &mut Tx, after: Uuid, most: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "select router_id from moving where tenant_id = $1 and router_id > $2
          order by router_id limit $3",
    )
    .bind(tx.tenant())
    .bind(after)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// What happened how often since a move began.
#[derive(Clone, Debug, Default, sqlx::FromRow)]
pub struct Tallies {
    pub asked: i64,
    pub same: i64,
    pub other_answer: i64,
    pub other_rate: i64,
    pub other_address: i64,
    pub other_timeout: i64,
    pub not_compared: i64,
    pub forwarded: i64,
    pub accepted: i64,
    pub rejected: i64,
    pub silent: i64,
    pub accounted: i64,
    pub not_accounted: i64,
    pub shed: i64,
    pub ignored: i64,
    pub problem: Option<String>,
    pub reported_at: Option<Timestamp>,
}

/// The counts of a router; `None` where nothing was reported yet.
pub async fn tallies(tx: &mut Tx, router: RouterId) -> sqlx::Result<Option<Tallies>> {
    sqlx::query_as("select * from moving_tallies where tenant_id = $1 and router_id = $2")
        .bind(tx.tenant())
        .bind(router)
        .fetch_optional(&mut **tx)
        .await
}

/// Adds to the counts of a router.
pub async fn add(
    tx: &mut Tx,
    router: RouterId,
    counts: &MovingCountsV1,
    problem: Option<&str>,
    at: Timestamp,
) -> sqlx::Result<()> {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    sqlx::query(
        "insert into moving_tallies as t (tenant_id, router_id, asked, same, other_answer, other_rate,
                other_address, other_timeout, not_compared, forwarded, accepted, rejected, silent,
                accounted, not_accounted, shed, ignored, problem, reported_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
             on conflict (tenant_id, router_id) do update
            set asked = t.asked + excluded.asked, same = t.same + excluded.same,
                other_answer = t.other_answer + excluded.other_answer,
                other_rate = t.other_rate + excluded.other_rate,
                other_address = t.other_address + excluded.other_address,
                other_timeout = t.other_timeout + excluded.other_timeout,
                not_compared = t.not_compared + excluded.not_compared,
                forwarded = t.forwarded + excluded.forwarded,
                accepted = t.accepted + excluded.accepted,
                rejected = t.rejected + excluded.rejected, silent = t.silent + excluded.silent,
                accounted = t.accounted + excluded.accounted,
                not_accounted = t.not_accounted + excluded.not_accounted,
                shed = t.shed + excluded.shed, ignored = t.ignored + excluded.ignored,
                problem = excluded.problem,
                reported_at = greatest(t.reported_at, excluded.reported_at)",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(count(counts.asked))
    .bind(count(counts.same))
    .bind(count(counts.other_answer))
    .bind(count(counts.other_rate))
    .bind(count(counts.other_address))
    .bind(count(counts.other_timeout))
    .bind(count(counts.not_compared))
    .bind(count(counts.forwarded))
    .bind(count(counts.accepted))
    .bind(count(counts.rejected))
    .bind(count(counts.silent))
    .bind(count(counts.accounted))
    .bind(count(counts.not_accounted))
    .bind(count(counts.shed))
    .bind(count(counts.ignored))
    .bind(problem)
    .bind(at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// One user to whom the two say different things.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct DifferenceRow {
    /// Who.
    pub username: String,
    /// In what.
    pub kind: Difference,
    /// What we say.
    pub ours: String,
    /// What the old server says.
    pub theirs: String,
    /// When.
    pub at: Timestamp,
}

/// The newest differences of a router.
pub async fn differences(tx: &mut Tx, router: RouterId) -> sqlx::Result<Vec<DifferenceRow>> {
    sqlx::query_as(
        "select username, kind, ours, theirs, at from moving_differences
          where tenant_id = $1 and router_id = $2
          order by at desc, username, kind
          limit $3",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(MOST_DIFFERENCES)
    .fetch_all(&mut **tx)
    .await
}

/// Takes differences over the ones before of the same users and kinds, forgets those of `agreed`, and keeps
/// the newest of all.
pub async fn put_differences(
    tx: &mut Tx,
    router: RouterId,
    rows: &[DifferenceRow],
    agreed: &[String],
) -> sqlx::Result<()> {
    sqlx::query(
        "delete from moving_differences
          where tenant_id = $1 and router_id = $2 and username = any($3)",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(agreed)
    .execute(&mut **tx)
    .await?;
    for row in rows {
        sqlx::query(
            "insert into moving_differences (tenant_id, router_id, username, kind, ours, theirs, at)
             values ($1, $2, $3, $4, $5, $6, $7)
                 on conflict (tenant_id, router_id, username, kind) do update
                set ours = excluded.ours, theirs = excluded.theirs, at = excluded.at
              where moving_differences.at <= excluded.at",
        )
        .bind(tx.tenant())
        .bind(router)
        .bind(&row.username)
        .bind(row.kind)
        .bind(&row.ours)
        .bind(&row.theirs)
        .bind(row.at)
        .execute(&mut **tx)
        .await?;
    }
    sqlx::query(
        "delete from moving_differences d
          using (select username, kind from moving_differences
                  where tenant_id = $1 and router_id = $2
                  order by at desc, username, kind offset $3) old
          where d.tenant_id = $1 and d.router_id = $2 and d.username = old.username
            and d.kind = old.kind",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(MOST_DIFFERENCES)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A user whom only the old server knew when it let him in.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Stranger {
    /// His name.
    pub username: String,
    /// Whether it was at a hotspot.
    pub hotspot: bool,
    /// His device.
    pub mac: Option<String>,
    /// The speed he was given; empty where none was said.
    pub rate: String,
    /// His address or its pool; empty where neither was said.
    pub address: String,
    /// When he was let in first.
    pub first_at: Timestamp,
    /// When he was let in last.
    pub last_at: Timestamp,
}

/// The users of a router whom only the old server knew, the last let in first.
pub async fn strangers(tx: &mut Tx, router: RouterId) -> sqlx::Result<Vec<Stranger>> {
    sqlx::query_as(
        "select username, hotspot, mac, rate, address, first_at, last_at
           from moving_strangers
          where tenant_id = $1 and router_id = $2
          order by last_at desc, username
          limit $3",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(MOST_STRANGERS)
    .fetch_all(&mut **tx)
    .await
}

/// Takes users over what was known of them, and keeps those who were let in last.
pub async fn put_strangers(
    tx: &mut Tx,
    router: RouterId,
    strangers: &[Stranger],
) -> sqlx::Result<()> {
    if strangers.is_empty() {
        return Ok(());
    }
    let column = |of: fn(&Stranger) -> String| strangers.iter().map(of).collect::<Vec<String>>();
    let hotspot: Vec<bool> = strangers.iter().map(|one| one.hotspot).collect();
    let macs: Vec<Option<String>> = strangers.iter().map(|one| one.mac.clone()).collect();
    let at: Vec<Timestamp> = strangers.iter().map(|one| one.last_at).collect();
    sqlx::query(
        "insert into moving_strangers as s (tenant_id, router_id, username, hotspot, mac, rate,
                address, first_at, last_at)
         select $1, $2, n.username, n.hotspot, n.mac, n.rate, n.address, n.at, n.at
           from unnest($3::text[], $4::bool[], $5::text[], $6::text[], $7::text[], $8::timestamptz[])
                as n (username, hotspot, mac, rate, address, at)
             on conflict (tenant_id, router_id, username) do update
            set hotspot = excluded.hotspot, mac = excluded.mac, rate = excluded.rate,
                address = excluded.address, last_at = greatest(s.last_at, excluded.last_at)",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(column(|one| one.username.clone()))
    .bind(hotspot)
    .bind(macs)
    .bind(column(|one| one.rate.clone()))
    .bind(column(|one| one.address.clone()))
    .bind(at)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "delete from moving_strangers d
          using (select username from moving_strangers
                  where tenant_id = $1 and router_id = $2
                  order by last_at desc, username offset $3) old
          where d.tenant_id = $1 and d.router_id = $2 and d.username = old.username",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(MOST_STRANGERS)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// As many as a person reads.
const MOST_DIFFERENCES: i64 = 200;
/// More users than any router carries.
const MOST_STRANGERS: i64 = 5000;
