//! SQL of the door: feeds to read, marks to move, records to set aside.

use easyisp_shared::id::{AgentId, SiteId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::{DownRecord, Lane, UpRecord};
use uuid::Uuid;

use crate::db::Tx;
use crate::sites::agents::Agent;

/// A site's head and horizon; `None` when the tenant has no such site.
pub(super) async fn counters(tx: &mut Tx, site: SiteId) -> sqlx::Result<Option<(u64, u64)>> {
    let counters: Option<(i64, i64)> = sqlx::query_as(
        "select head, horizon from site_counters where tenant_id = $1 and site_id = $2",
    )
    .bind(tx.tenant())
    .bind(site)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(counters.map(|(head, horizon)| (unsigned(head), unsigned(horizon))))
}

/// The heads of a tenant's sites.
pub(super) async fn heads(tx: &mut Tx, sites: &[SiteId]) -> sqlx::Result<Vec<(SiteId, u64)>> {
    let heads: Vec<(SiteId, i64)> = sqlx::query_as(
        "select site_id, head from site_counters where tenant_id = $1 and site_id = any($2)",
    )
    .bind(tx.tenant())
    .bind(sites)
    .fetch_all(&mut **tx)
    .await?;
    Ok(heads
        .into_iter()
        .map(|(site, head)| (site, unsigned(head)))
        .collect())
}

/// Which of these agents were revoked, or found to have a copy, or count at another node: in a later generation than
/// the one they were offered here.
pub(super) async fn revoked(tx: &mut Tx, here: &[(AgentId, u64)]) -> sqlx::Result<Vec<AgentId>> {
    let agents: Vec<AgentId> = here.iter().map(|(agent, _)| *agent).collect();
    let offered: Vec<i64> = here.iter().map(|(_, offered)| signed(*offered)).collect();
    sqlx::query_scalar(
        "select a.id
           from unnest($2::uuid[], $3::bigint[]) as here (id, offered)
           join agents a on a.tenant_id = $1 and a.id = here.id
          where a.revoked_at is not null or a.cloned_at is not null or a.generation > here.offered",
    )
    .bind(tx.tenant())
    .bind(agents)
    .bind(offered)
    .fetch_all(&mut **tx)
    .await
}

/// Where a reader of the feed is: everything up to this row is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub version: u64,
    pub kind: i16,
    pub id: Uuid,
}

impl Place {
    /// Everything of `version` is read.
    pub(super) fn after(version: u64) -> Place {
        Place {
            version,
            kind: i16::MAX,
            id: Uuid::max(),
        }
    }
}

type FeedRow = (i16, Uuid, i64, Option<Vec<u8>>);

/// A stretch of a site's feed and where the site stood at the same instant.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    /// The site's newest version; every version up to it is whole in what was read.
    pub head: u64,
    /// Tombstones up to here are forgotten.
    pub horizon: u64,
    pub rows: Vec<DownRecord>,
}

type StretchRow = (
    i64,
    i64,
    Option<i16>,
    Option<Uuid>,
    Option<i64>,
    Option<Vec<u8>>,
);

impl Stretch {
    fn of(found: Vec<StretchRow>) -> Stretch {
        let mut stretch = Stretch::default();
        for (head, horizon, kind, id, version, body) in found {
            (stretch.head, stretch.horizon) = (unsigned(head), unsigned(horizon));
            if let (Some(kind), Some(id), Some(version)) = (kind, id, version) {
                stretch.rows.push(record((kind, id, version, body)));
            }
        }
        stretch
    }
}

/// The rows of a site's feed after `place`, in version order, with head and horizon.
///
/// One statement, so that tombstones cannot be forgotten between the horizon and the rows.
pub(super) async fn changes(
    tx: &mut Tx,
    site: SiteId,
    place: Place,
    most: i64,
) -> sqlx::Result<Stretch> {
    let rows: Vec<StretchRow> = sqlx::query_as(
        "select c.head, c.horizon, f.kind, f.id, f.version, f.body
           from site_counters c
           left join lateral (
                select kind, id, version, body
                  from feed
                 where tenant_id = c.tenant_id and site_id = c.site_id
                   and version >= $3 and (version, kind, id) > ($3, $4, $5)
                 order by version, kind, id
                 limit $6) f on true
          where c.tenant_id = $1 and c.site_id = $2
          order by f.version, f.kind, f.id",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(signed(place.version))
    .bind(place.kind)
    .bind(place.id)
    .bind(most)
    .fetch_all(&mut **tx)
    .await?;
    Ok(Stretch::of(rows))
}

/// What a site holds, tombstones left out, in the order of kind and id, after the row given.
pub(super) async fn state(
    tx: &mut Tx,
    site: SiteId,
    after: (i16, Uuid),
    most: i64,
) -> sqlx::Result<Stretch> {
    let rows: Vec<StretchRow> = sqlx::query_as(
        "select c.head, c.horizon, f.kind, f.id, f.version, f.body
           from site_counters c
           left join lateral (
                select kind, id, version, body
                  from feed
                 where tenant_id = c.tenant_id and site_id = c.site_id
                   and (kind, id) > ($3, $4) and body is not null
                 order by kind, id
                 limit $5) f on true
          where c.tenant_id = $1 and c.site_id = $2
          order by f.kind, f.id",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(after.0)
    .bind(after.1)
    .bind(most)
    .fetch_all(&mut **tx)
    .await?;
    Ok(Stretch::of(rows))
}

/// A site's head and what its rows come to at that version, per kind.
pub(super) async fn digests(
    tx: &mut Tx,
    site: SiteId,
    epoch: Uuid,
) -> sqlx::Result<(u64, Vec<(u16, u128)>)> {
    let rows: Vec<(i64, Option<i16>, Option<String>)> = sqlx::query_as(
        "select c.head, d.kind, d.digest::text
           from site_counters c
           left join feed_digests d
             on d.tenant_id = c.tenant_id and d.site_id = c.site_id and d.epoch = $3
          where c.tenant_id = $1 and c.site_id = $2
          order by d.kind",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(epoch)
    .fetch_all(&mut **tx)
    .await?;
    let head = rows.first().map_or(0, |(head, ..)| unsigned(*head));
    let digest = |(_, kind, bits): (i64, Option<i16>, Option<String>)| {
        let kind = u16::try_from(kind?).ok()?;
        Some((kind, u128::from_str_radix(&bits?, 2).ok()?))
    };
    Ok((head, rows.into_iter().filter_map(digest).collect()))
}

/// Adds up a site's digests anew from its rows; returns how many kinds had another.
///
/// Locks the site's counter, so that no row changes meanwhile.
pub(super) async fn recount(tx: &mut Tx, site: SiteId, epoch: Uuid) -> sqlx::Result<u64> {
    sqlx::query("select head from site_counters where tenant_id = $1 and site_id = $2 for update")
        .bind(tx.tenant())
        .bind(site)
        .execute(&mut **tx)
        .await?;
    let mended = sqlx::query(
        "insert into feed_digests as d (tenant_id, site_id, kind, epoch, digest)
         select k.tenant_id, k.site_id, k.kind, $3, coalesce(f.digest, repeat('0', 128)::bit(128))
           from (select tenant_id, site_id, kind from feed_digests
                  where tenant_id = $1 and site_id = $2
                  union
                 select distinct tenant_id, site_id, kind from feed
                  where tenant_id = $1 and site_id = $2 and body is not null) k
           left join (select kind, bit_xor(feed_weight($3, kind, id, version, body)) as digest
                        from feed
                       where tenant_id = $1 and site_id = $2 and body is not null
                       group by kind) f using (kind)
             on conflict (tenant_id, site_id, kind)
             do update set epoch = excluded.epoch, digest = excluded.digest
          where (d.epoch, d.digest) is distinct from (excluded.epoch, excluded.digest)",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(epoch)
    .execute(&mut **tx)
    .await?;
    Ok(mended.rows_affected())
}

/// Notes where a site's feed stands on a day; the day's first word stays.
pub(super) async fn note_day(tx: &mut Tx, site: SiteId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "insert into feed_days (tenant_id, site_id, day, head)
         select tenant_id, site_id, ($3::timestamptz at time zone 'UTC')::date, head
           from site_counters
          where tenant_id = $1 and site_id = $2
             on conflict do nothing",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Tombstones up to where the feed stood at `before` are about to go; from here on whoever is behind that
/// is given everything. Returns the horizon.
pub(super) async fn raise_horizon(
    tx: &mut Tx,
    site: SiteId,
    before: Timestamp,
) -> sqlx::Result<i64> {
    let horizon: Option<i64> = sqlx::query_scalar(
        "with old as (
             delete from feed_days
              where tenant_id = $1 and site_id = $2 and day <= ($3::timestamptz at time zone 'UTC')::date
             returning head)
         update site_counters
            set horizon = greatest(horizon, (select coalesce(max(head), 0) from old))
          where tenant_id = $1 and site_id = $2
         returning horizon",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(before)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(horizon.unwrap_or(0))
}

/// Forgets tombstones up to the horizon, at most so many; returns how many.
pub(super) async fn forget_tombstones(
    tx: &mut Tx,
    site: SiteId,
    horizon: i64,
    most: i64,
) -> sqlx::Result<u64> {
    let gone = sqlx::query(
        "delete from feed
          where tenant_id = $1 and site_id = $2
            and (kind, id) in (select kind, id from feed
                                where tenant_id = $1 and site_id = $2 and body is null and version <= $3
                                limit $4)
            and body is null",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(horizon)
    .bind(most)
    .execute(&mut **tx)
    .await?;
    Ok(gone.rows_affected())
}

/// How far each lane of an agent's outbox is stored.
pub(super) async fn marks(
    tx: &mut Tx,
    agent: AgentId,
    outbox: Uuid,
) -> sqlx::Result<Vec<(u8, u64)>> {
    let marks: Vec<(i16, i64)> = sqlx::query_as(
        "select lane, mark from uplink_marks
          where tenant_id = $1 and agent_id = $2 and outbox_id = $3",
    )
    .bind(tx.tenant())
    .bind(agent)
    .bind(outbox)
    .fetch_all(&mut **tx)
    .await?;
    let of_lane = |(lane, mark): (i16, i64)| Some((u8::try_from(lane).ok()?, unsigned(mark)));
    Ok(marks.into_iter().filter_map(of_lane).collect())
}

/// A box that was enrolled anew keeps its outbox: its marks go on where those of the revoked agent stood.
pub(super) async fn inherit_marks(tx: &mut Tx, agent: &Agent, outbox: Uuid) -> sqlx::Result<()> {
    sqlx::query(
        "insert into uplink_marks (tenant_id, agent_id, outbox_id, lane, mark, updated_at)
         select m.tenant_id, $2, m.outbox_id, m.lane, max(m.mark), max(m.updated_at)
           from uplink_marks m
           join agents a on a.tenant_id = m.tenant_id and a.id = m.agent_id
          where m.tenant_id = $1 and m.outbox_id = $3 and a.id <> $2
            and a.site_id = $4 and a.revoked_at is not null
          group by m.tenant_id, m.outbox_id, m.lane
             on conflict do nothing",
    )
    .bind(tx.tenant())
    .bind(agent.id)
    .bind(outbox)
    .bind(agent.site)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A lane's mark, 0 where there was none; locked until the transaction ends.
pub(super) async fn lock_mark(
    tx: &mut Tx,
    agent: &Agent,
    outbox: Uuid,
    lane: Lane,
    now: Timestamp,
) -> sqlx::Result<u64> {
    let mark: i64 = sqlx::query_scalar(
        "insert into uplink_marks (tenant_id, agent_id, outbox_id, lane, mark, updated_at)
         values ($1, $2, $3, $4, 0, $5)
             on conflict (tenant_id, agent_id, outbox_id, lane)
             do update set updated_at = excluded.updated_at
         returning mark",
    )
    .bind(tx.tenant())
    .bind(agent.id)
    .bind(outbox)
    .bind(i16::from(lane.code()))
    .bind(now)
    .fetch_one(&mut **tx)
    .await?;
    Ok(unsigned(mark))
}

/// Moves a lane's mark, which is locked.
pub(super) async fn move_mark(
    tx: &mut Tx,
    agent: &Agent,
    outbox: Uuid,
    lane: Lane,
    mark: u64,
) -> sqlx::Result<()> {
    sqlx::query(
        "update uplink_marks set mark = $5
          where tenant_id = $1 and agent_id = $2 and outbox_id = $3 and lane = $4",
    )
    .bind(tx.tenant())
    .bind(agent.id)
    .bind(outbox)
    .bind(i16::from(lane.code()))
    .bind(signed(mark))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Keeps a record raw that could not be applied.
pub(super) async fn quarantine(
    tx: &mut Tx,
    agent: &Agent,
    (outbox, lane): (Uuid, Lane),
    record: &UpRecord,
    error: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    // The first octet of a body is the number of its shape, counted from 0.
    let shape = record.body.first().map_or(0, |first| i16::from(*first) + 1);
    sqlx::query(
        "insert into quarantine
             (tenant_id, agent_id, outbox_id, lane, sequence, kind, version, body, error, at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             on conflict do nothing",
    )
    .bind(tx.tenant())
    .bind(agent.id)
    .bind(outbox)
    .bind(i16::from(lane.code()))
    .bind(signed(record.sequence))
    .bind(i16::try_from(record.kind).unwrap_or(-1))
    .bind(shape)
    .bind(&record.body)
    .bind(error)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How much is kept aside of an agent.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub(super) struct Held {
    pub rows: i64,
    pub octets: i64,
}

/// How much is kept aside of an agent.
pub(super) async fn held_aside(tx: &mut Tx, agent: &Agent, lane: Lane) -> sqlx::Result<Held> {
    sqlx::query_as(
        "select count(*) as rows, coalesce(sum(octet_length(body)), 0)::bigint as octets
           from quarantine
          where tenant_id = $1 and agent_id = $2 and lane = $3",
    )
    .bind(tx.tenant())
    .bind(agent.id)
    .bind(i16::from(lane.code()))
    .fetch_one(&mut **tx)
    .await
}

/// A record that was set aside.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct SetAside {
    pub agent_id: AgentId,
    pub site_id: SiteId,
    pub outbox_id: Uuid,
    pub lane: i16,
    pub sequence: i64,
    pub kind: i16,
    pub body: Vec<u8>,
    /// When it came.
    pub at: Timestamp,
}

/// Records that were set aside after this one, in the order in which their agents sent them.
pub(super) async fn set_aside_after(
    tx: &mut Tx,
    after: Option<&SetAside>,
    most: i64,
) -> sqlx::Result<Vec<SetAside>> {
    sqlx::query_as(
        "select q.agent_id, a.site_id, q.outbox_id, q.lane, q.sequence, q.kind, q.body, q.at
           from quarantine q
           join agents a on a.tenant_id = $1 and a.id = q.agent_id and a.cloned_at is null
          where q.tenant_id = $1
            and ($2::uuid is null or (q.agent_id, q.outbox_id, q.lane, q.sequence) > ($2, $3, $4, $5))
          order by q.agent_id, q.outbox_id, q.lane, q.sequence
          limit $6",
    )
    .bind(tx.tenant())
    .bind(after.map(|after| after.agent_id))
    .bind(after.map(|after| after.outbox_id))
    .bind(after.map(|after| after.lane))
    .bind(after.map(|after| after.sequence))
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// Locks a record that was set aside; whether it is still there.
pub(super) async fn lock_aside(tx: &mut Tx, record: &SetAside) -> sqlx::Result<bool> {
    let found: Option<i32> = sqlx::query_scalar(
        "select 1 from quarantine
          where tenant_id = $1 and agent_id = $2 and outbox_id = $3 and lane = $4 and sequence = $5
            for update",
    )
    .bind(tx.tenant())
    .bind(record.agent_id)
    .bind(record.outbox_id)
    .bind(record.lane)
    .bind(record.sequence)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.is_some())
}

/// Forgets a record that was set aside: it is applied.
pub(super) async fn release(tx: &mut Tx, record: &SetAside) -> sqlx::Result<()> {
    sqlx::query(
        "delete from quarantine
          where tenant_id = $1 and agent_id = $2 and outbox_id = $3 and lane = $4 and sequence = $5",
    )
    .bind(tx.tenant())
    .bind(record.agent_id)
    .bind(record.outbox_id)
    .bind(record.lane)
    .bind(record.sequence)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Begins a part of the transaction that can be undone alone.
pub(super) async fn savepoint(tx: &mut Tx) -> sqlx::Result<()> {
    sqlx::query("savepoint record").execute(&mut **tx).await?;
    Ok(())
}

/// Keeps what was done since the savepoint.
pub(super) async fn keep(tx: &mut Tx) -> sqlx::Result<()> {
    sqlx::query("release savepoint record")
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Undoes what was done since the savepoint.
pub(super) async fn undo(tx: &mut Tx) -> sqlx::Result<()> {
    sqlx::query("rollback to savepoint record")
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn record((kind, id, version, body): FeedRow) -> DownRecord {
    DownRecord {
        kind: u16::try_from(kind).unwrap_or(0),
        id,
        version: unsigned(version),
        body,
    }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
