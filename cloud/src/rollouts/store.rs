//! SQL on rollouts.

use easyisp_shared::id::{OperatorId, RolloutId, RolloutPartId, RouterId, SiteId};
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;
use sqlx::types::Json;

use super::actions::Action;
use super::rules;
use super::words::{State, Step};
use crate::api::Page;
use crate::db::Tx;

/// A rollout as it is stored.
#[derive(FromRow, Clone, Debug)]
pub struct Rollout {
    pub id: RolloutId,
    pub name: String,
    pub action: Json<Action>,
    pub state: State,
    pub state_since: Timestamp,
    pub because: Option<String>,
    pub ring: i32,
    pub rings: i32,
    pub max_failed: i32,
    pub soak_secs: i32,
    pub window_from: Option<i16>,
    pub window_to: Option<i16>,
    pub until_at: Timestamp,
    pub release: Option<String>,
    pub operator_id: Option<OperatorId>,
    pub created_at: Timestamp,
}

impl Rollout {
    /// When routers are begun with.
    pub fn window(&self) -> Option<rules::Window> {
        let (from, to) = self.window_from.zip(self.window_to)?;
        Some(rules::Window { from, to })
    }
}

/// A router that can be part of one.
#[derive(FromRow, Clone, Debug)]
pub struct Candidate {
    pub id: RouterId,
    pub name: String,
    /// Whether it has an API user.
    pub has_api: bool,
    /// Whether another rollout has to do with it.
    pub is_taken: bool,
}

/// Which routers are meant.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub site: Option<SiteId>,
    pub model: Option<String>,
    pub release: Option<String>,
}

/// Those of these routers that there are, in their order.
pub async fn named(tx: &mut Tx, routers: &[RouterId]) -> sqlx::Result<Vec<Candidate>> {
    sqlx::query_as(
        "select r.id, r.name, r.api_password_sealed is not null as has_api,
                exists (select from rollout_routers p
                         where p.tenant_id = $1 and p.router_id = r.id
                           and p.step not in ('DONE', 'SKIPPED', 'FAILED', 'MISSED', 'UNTOUCHED')) as is_taken
           from unnest($2::uuid[]) with ordinality as n (id, place)
           join routers r on r.tenant_id = $1 and r.id = n.id and r.deleted_at is null
          order by n.place",
    )
    .bind(tx.tenant())
    .bind(routers)
    .fetch_all(&mut **tx)
    .await
}

/// Every router with an API user that a filter means, by name, at most `most`.
pub async fn meant(tx: &mut Tx, filter: &Filter, most: i64) -> sqlx::Result<Vec<Candidate>> {
    sqlx::query_as(
        "select r.id, r.name, true as has_api,
                exists (select from rollout_routers p
                         where p.tenant_id = $1 and p.router_id = r.id
                           and p.step not in ('DONE', 'SKIPPED', 'FAILED', 'MISSED', 'UNTOUCHED')) as is_taken
           from routers r
          where r.tenant_id = $1 and r.deleted_at is null and r.api_password_sealed is not null
            and ($2::uuid is null or r.site_id = $2)
            and ($3::text is null or r.model ilike $3 or r.board_name ilike $3)
            and ($4::text is null or starts_with(r.routeros_version, $4))
          order by lower(r.name), r.id
          limit $5",
    )
    .bind(tx.tenant())
    .bind(filter.site)
    .bind(filter.model.as_deref().map(crate::db::like))
    .bind(&filter.release)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// Writes a rollout with its routers: each with its ring, in order.
pub async fn insert(
    tx: &mut Tx,
    rollout: &Rollout,
    routers: &[(RolloutPartId, RouterId, i32)],
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into rollouts (tenant_id, id, name, action, state, state_since, rings, max_failed, soak_secs,
                window_from, window_to, until_at, operator_id, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $6)",
    )
    .bind(tx.tenant())
    .bind(rollout.id)
    .bind(&rollout.name)
    .bind(&rollout.action)
    .bind(rollout.state)
    .bind(rollout.created_at)
    .bind(rollout.rings)
    .bind(rollout.max_failed)
    .bind(rollout.soak_secs)
    .bind(rollout.window_from)
    .bind(rollout.window_to)
    .bind(rollout.until_at)
    .bind(rollout.operator_id)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "insert into rollout_routers (tenant_id, id, rollout_id, router_id, place, ring, step, step_since)
         select $1, n.id, $2, n.router_id, n.place, n.ring, 'WAITING', $6
           from unnest($3::uuid[], $4::uuid[], $5::integer[])
                with ordinality as n (id, router_id, ring, place)",
    )
    .bind(tx.tenant())
    .bind(rollout.id)
    .bind(routers.iter().map(|(id, ..)| *id).collect::<Vec<_>>())
    .bind(routers.iter().map(|(_, router, _)| *router).collect::<Vec<_>>())
    .bind(routers.iter().map(|(.., ring)| *ring).collect::<Vec<_>>())
    .bind(rollout.created_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A rollout, locked until the transaction ends; `None` when this tenant has no such one.
pub async fn lock(tx: &mut Tx, rollout: RolloutId) -> sqlx::Result<Option<Rollout>> {
    sqlx::query_as(
        "select id, name, action, state, state_since, because, ring, rings, max_failed, soak_secs,
                window_from, window_to, until_at, release, operator_id, created_at
           from rollouts
          where tenant_id = $1 and id = $2
            for update",
    )
    .bind(tx.tenant())
    .bind(rollout)
    .fetch_optional(&mut **tx)
    .await
}

/// A rollout with what a list shows beside it.
#[derive(FromRow, Clone, Debug)]
pub struct Listed {
    #[sqlx(flatten)]
    pub rollout: Rollout,
    /// Who began it.
    pub operator_name: Option<String>,
    /// How many routers it has.
    pub routers: i64,
    pub done: i64,
    pub failed: i64,
    /// Not reached in time, or not begun with before it was stopped.
    pub left_over: i64,
}

/// One page of rollouts, the newest first, or only one; and how many there are in all.
pub async fn page(
    tx: &mut Tx,
    only: Option<RolloutId>,
    page: Page,
) -> sqlx::Result<(Vec<Listed>, i64)> {
    let rows = sqlx::query_as(
        "select r.*, o.name as operator_name, p.routers, p.done, p.failed, p.left_over
           from rollouts r
           left join operators o on o.tenant_id = $1 and o.id = r.operator_id
          cross join lateral (
                select count(*) as routers, count(*) filter (where step in ('DONE', 'SKIPPED')) as done,
                       count(*) filter (where step = 'FAILED') as failed,
                       count(*) filter (where step in ('MISSED', 'UNTOUCHED')) as left_over
                  from rollout_routers
                 where tenant_id = $1 and rollout_id = r.id) p
          where r.tenant_id = $1 and ($2::uuid is null or r.id = $2)
          order by r.created_at desc, r.id desc
          limit $3 offset $4",
    )
    .bind(tx.tenant())
    .bind(only)
    .bind(page.limit())
    .bind(page.offset())
    .fetch_all(&mut **tx)
    .await?;
    let total = sqlx::query_scalar("select count(*) from rollouts where tenant_id = $1")
        .bind(tx.tenant())
        .fetch_one(&mut **tx)
        .await?;
    Ok((rows, total))
}

/// A router's part as people see it.
#[derive(FromRow, Clone, Debug)]
pub struct Shown {
    pub router_id: RouterId,
    pub router_name: String,
    pub ring: i32,
    pub step: Step,
    pub step_since: Timestamp,
    pub release_before: Option<String>,
    pub release_wanted: Option<String>,
    pub release_now: Option<String>,
    pub message: String,
}

/// Every router of a rollout, in order.
pub async fn shown(tx: &mut Tx, rollout: RolloutId) -> sqlx::Result<Vec<Shown>> {
    sqlx::query_as(
        "select p.router_id, r.name as router_name, p.ring, p.step, p.step_since, p.release_before,
                p.release_wanted, p.release_now, p.message
           from rollout_routers p
           join routers r on r.tenant_id = $1 and r.id = p.router_id
          where p.tenant_id = $1 and p.rollout_id = $2
          order by p.place",
    )
    .bind(tx.tenant())
    .bind(rollout)
    .fetch_all(&mut **tx)
    .await
}

/// Every router of a rollout as far as its next step hangs on it, in order.
pub async fn parts(tx: &mut Tx, rollout: RolloutId) -> sqlx::Result<Vec<rules::Part>> {
    let rows: Vec<(RolloutPartId, i32, Step, Timestamp)> = sqlx::query_as(
        "select id, ring, step, step_since from rollout_routers
          where tenant_id = $1 and rollout_id = $2
          order by place",
    )
    .bind(tx.tenant())
    .bind(rollout)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(id, ring, step, since)| rules::Part {
            id,
            ring,
            step,
            since,
        })
        .collect())
}

/// Notes how a rollout is, and in which ring; `because` = why it stopped by itself.
pub async fn note(
    tx: &mut Tx,
    rollout: RolloutId,
    (state, ring): (State, i32),
    because: Option<&str>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update rollouts
            set state_since = case when state = $3 then state_since else $6 end,
                state = $3, ring = $4, because = coalesce($5, because)
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(rollout)
    .bind(state)
    .bind(ring)
    .bind(because)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes the release that a rollout's first router found, unless one did before; the one that holds.
pub async fn hold_release(
    tx: &mut Tx,
    rollout: RolloutId,
    release: &str,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "update rollouts set release = coalesce(release, $3)
          where tenant_id = $1 and id = $2
         returning release",
    )
    .bind(tx.tenant())
    .bind(rollout)
    .bind(release)
    .fetch_optional(&mut **tx)
    .await
}

/// Moves parts on that nothing is under way at: they are begun with, or over.
pub async fn move_on(
    tx: &mut Tx,
    parts: &[RolloutPartId],
    step: Step,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update rollout_routers set step = $3, step_since = $4, turn = turn + 1
          where tenant_id = $1 and id = any($2)
            and step in ('WAITING', 'AWAY', 'CHECKING', 'SAVING', 'DOWNLOADING')",
    )
    .bind(tx.tenant())
    .bind(parts)
    .bind(step)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The parts that are under way.
pub async fn under_way(tx: &mut Tx, rollout: RolloutId) -> sqlx::Result<Vec<RolloutPartId>> {
    sqlx::query_scalar(
        "select id from rollout_routers
          where tenant_id = $1 and rollout_id = $2
            and step not in ('WAITING', 'AWAY', 'DONE', 'SKIPPED', 'FAILED', 'MISSED', 'UNTOUCHED')",
    )
    .bind(tx.tenant())
    .bind(rollout)
    .fetch_all(&mut **tx)
    .await
}

/// A router's part, as whoever works at it needs it.
#[derive(FromRow, Clone, Debug)]
pub struct Part {
    pub id: RolloutPartId,
    pub rollout_id: RolloutId,
    pub router_id: RouterId,
    pub step: Step,
    pub step_since: Timestamp,
    pub turn: i64,
    pub ordered_at: Option<Timestamp>,
    pub orders: i16,
    pub release_before: Option<String>,
    pub release_wanted: Option<String>,
    pub knew_us: bool,
    pub action: Json<Action>,
    pub state: State,
    pub soak_secs: i32,
    pub window_from: Option<i16>,
    pub window_to: Option<i16>,
    /// The release that the rollout holds to.
    pub release: Option<String>,
    pub router_name: String,
    /// Where it stands; `None` when it was deleted.
    pub site_id: Option<SiteId>,
}

/// A router's part; `None` when this tenant has no such one.
pub async fn part(tx: &mut Tx, part: RolloutPartId) -> sqlx::Result<Option<Part>> {
    sqlx::query_as(
        "select p.id, p.rollout_id, p.router_id, p.step, p.step_since, p.turn, p.ordered_at, p.orders,
                p.release_before, p.release_wanted, p.knew_us, o.action, o.state, o.soak_secs, o.window_from,
                o.window_to, o.release, r.name as router_name,
                case when r.deleted_at is null then r.site_id end as site_id
           from rollout_routers p
           join rollouts o on o.tenant_id = $1 and o.id = p.rollout_id
           join routers r on r.tenant_id = $1 and r.id = p.router_id
          where p.tenant_id = $1 and p.id = $2",
    )
    .bind(tx.tenant())
    .bind(part)
    .fetch_optional(&mut **tx)
    .await
}

/// What a turn changes.
#[derive(Clone, Debug)]
pub struct Turned<'a> {
    pub step: Step,
    pub since: Timestamp,
    pub ordered_at: Option<Timestamp>,
    pub orders: i16,
    pub message: &'a str,
    /// What it runs, as it just said.
    pub release_now: Option<&'a str>,
    /// What it is to run.
    pub release_wanted: Option<&'a str>,
    pub knew_us: bool,
}

/// Writes a turn down; `false` when somebody else did the turn.
pub async fn turned(tx: &mut Tx, part: &Part, turned: &Turned<'_>) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update rollout_routers
            set step = $4, step_since = $5, ordered_at = $6, orders = $7, message = $8, turn = turn + 1,
                release_before = coalesce(release_before, $9), release_now = coalesce($9, release_now),
                release_wanted = coalesce($10, release_wanted), knew_us = $11
          where tenant_id = $1 and id = $2 and turn = $3",
    )
    .bind(tx.tenant())
    .bind(part.id)
    .bind(part.turn)
    .bind(turned.step)
    .bind(turned.since)
    .bind(turned.ordered_at)
    .bind(turned.orders)
    .bind(turned.message)
    .bind(turned.release_now)
    .bind(turned.release_wanted)
    .bind(turned.knew_us)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Routers that may be gone for a while because a rollout said so.
pub async fn expected_away(tx: &mut Tx) -> sqlx::Result<Vec<RouterId>> {
    sqlx::query_scalar(
        "select router_id from rollout_routers
          where tenant_id = $1
            and step in ('INSTALLING', 'BOARD', 'BOARD_RESTARTING', 'RESTARTING', 'SETTLING')",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await
}

/// Rollouts that stopped by themselves after `since`: which, its name, why, when.
pub async fn stopped(
    tx: &mut Tx,
    since: Timestamp,
) -> sqlx::Result<Vec<(RolloutId, String, String, Timestamp)>> {
    sqlx::query_as(
        "select id, name, because, state_since from rollouts
          where tenant_id = $1 and state = 'STOPPED' and because is not null and state_since > $2
          order by state_since, id
          limit 100",
    )
    .bind(tx.tenant())
    .bind(since)
    .fetch_all(&mut **tx)
    .await
}
