//! Writes what agents must know: for each changed thing its newest encoded state, per site.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use easyisp_shared::id::SiteId;
/// What a feed row is about.
pub use easyisp_shared::wire::DownKind as Kind;
use uuid::Uuid;

use super::Tx;

/// The state of one thing as one site must know it.
#[derive(Clone, Debug)]
pub struct Projection {
    /// The thing.
    pub id: Uuid,
    /// The site that must know it.
    pub site: SiteId,
    /// Its encoded state.
    pub body: Vec<u8>,
}

/// A future that can be kept in a table of functions.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Reads the present state of some things of one kind. A thing without a projection is gone from every
/// site, and from a site it moved away from. It may hold what encoding needs, such as keys.
///
/// The same state must encode to the same bytes, so that a later projection can be compared with the
/// feed: secrets are sealed with [`easyisp_shared::seal::SealKey::seal_same`].
pub type Projector = Arc<
    dyn for<'a> Fn(&'a mut Tx, &'a [Uuid]) -> BoxFuture<'a, sqlx::Result<Vec<Projection>>>
        + Send
        + Sync,
>;

/// Names everything of one kind that some site must know, by id, after the id given.
pub type Lister = Arc<
    dyn for<'a> Fn(&'a mut Tx, Uuid, i64) -> BoxFuture<'a, sqlx::Result<Vec<Uuid>>> + Send + Sync,
>;

/// Which function projects which kind; filled once, where the application is put together.
#[derive(Clone, Default)]
pub struct Projectors {
    by_kind: BTreeMap<Kind, Projector>,
    listers: BTreeMap<Kind, Lister>,
}

impl Projectors {
    /// Adds the projector of `kind`.
    #[must_use]
    pub fn with(mut self, kind: Kind, projector: Projector) -> Projectors {
        self.by_kind.insert(kind, projector);
        self
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Kind, &Projector)> {
        self.by_kind.iter()
    }

    pub(super) fn lister(&self, kind: Kind) -> Option<&Lister> {
        self.listers.get(&kind)
    }

    /// Adds the function that names everything of `kind`, for `Database::reproject`.
    #[must_use]
    pub fn listed(mut self, kind: Kind, lister: Lister) -> Projectors {
        self.listers.insert(kind, lister);
        self
    }
}

/// Projects everything in `changed` and writes it to the feeds; returns the sites that have news. `None`, and nothing is
/// written, where `unless_noted` and one of these subscribers has a change that waits for its number: whoever numbers it may
/// have projected it and not be through, so that what it wrote is not seen yet.
///
/// Two statements for one kind: the projection, and the write under the counters' locks.
pub(super) async fn write(
    tx: &mut Tx,
    changed: &BTreeSet<(Kind, Uuid)>,
    unless_noted: bool,
) -> sqlx::Result<Option<Vec<SiteId>>> {
    if changed.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let mut by_kind: BTreeMap<Kind, Vec<Uuid>> = BTreeMap::new();
    for (kind, id) in changed {
        by_kind.entry(*kind).or_default().push(*id);
    }
    let mut rows = Rows::default();
    let database = tx.database();
    for (kind, ids) in &by_kind {
        let projector = database.projectors().by_kind.get(kind).ok_or_else(|| {
            sqlx::Error::Configuration(format!("no projector is registered for {kind:?}").into())
        })?;
        for projection in projector(tx, ids).await? {
            rows.push(*kind, projection);
        }
    }
    let (kinds, ids) = columns(changed);
    write_rows(tx, (&kinds, &ids), &rows, unless_noted).await
}

/// Changes, column by column.
pub(super) fn columns(changed: &BTreeSet<(Kind, Uuid)>) -> (Vec<i16>, Vec<Uuid>) {
    changed.iter().map(|(kind, id)| (code(*kind), *id)).unzip()
}

/// Locks the counters of all of a tenant's sites, in site order: nobody writes a feed of his meanwhile.
pub(super) async fn lock_all(tx: &mut Tx) -> sqlx::Result<()> {
    sqlx::query("select head from site_counters where tenant_id = $1 order by site_id for update")
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// A kind's number as PostgreSQL keeps it.
pub(super) fn code(kind: Kind) -> i16 {
    i16::try_from(kind.code()).expect("kinds are few")
}

#[derive(Default)]
struct Rows {
    kinds: Vec<i16>,
    ids: Vec<Uuid>,
    sites: Vec<SiteId>,
    bodies: Vec<Vec<u8>>,
}

impl Rows {
    fn push(&mut self, kind: Kind, projection: Projection) {
        self.kinds.push(code(kind));
        self.ids.push(projection.id);
        self.sites.push(projection.site);
        self.bodies.push(projection.body);
    }
}

/// Locks the counters of every site that learns something or must forget something, in site order, raises
/// them by one and writes all rows at the new version: bodies where there is one, tombstones at sites that
/// held the thing and hold it no longer. Returns those sites; `None` as [`write`] does.
///
/// What a site holds is read before the locks are waited for: right because whoever changes a thing holds
/// the lock of its row, so that nobody else writes feed rows about it meanwhile but who numbers what was noted of it; where
/// that may be so nothing is written here (`unless_noted`).
async fn write_rows(
    tx: &mut Tx,
    (kinds, ids): (&[i16], &[Uuid]),
    rows: &Rows,
    unless_noted: bool,
) -> sqlx::Result<Option<Vec<SiteId>>> {
    let written: Vec<Option<SiteId>> = sqlx::query_scalar(
        "with noted as materialized (
             select true as is_noted
               from directory.changes n
               join unnest($2::smallint[], $3::uuid[]) as c (kind, id) on n.kind = c.kind and n.subject = c.id
              where $8 and n.tenant_id = $1 and n.kind = $9
              limit 1),
         live as (
             select * from unnest($4::smallint[], $5::uuid[], $6::uuid[], $7::bytea[])
                        as l (kind, id, site_id, body)),
         gone as (
             select f.kind, f.id, f.site_id, null::bytea as body
               from feed f
               join unnest($2::smallint[], $3::uuid[]) as c (kind, id) using (kind, id)
              where f.tenant_id = $1 and f.body is not null
                and not exists (select 1 from live l
                                 where l.kind = f.kind and l.id = f.id and l.site_id = f.site_id)),
         news as materialized (
             select * from (select * from live union all select * from gone) all_news
              where not exists (select from noted)),
         locked as materialized (
             select site_id
               from site_counters
              where tenant_id = $1 and site_id in (select site_id from news)
              order by site_id
                for update),
         counter as (
             update site_counters s
                set head = s.head + 1
               from locked l
              where s.tenant_id = $1 and s.site_id = l.site_id
             returning s.site_id, s.head),
         written as (
             insert into feed (tenant_id, site_id, kind, id, version, body)
             select $1, n.site_id, n.kind, n.id, c.head, n.body
               from news n
               join counter c using (site_id)
                 on conflict (tenant_id, site_id, kind, id)
                 do update set version = excluded.version, body = excluded.body)
         select site_id from counter
          union all
         select null from noted
          order by site_id",
    )
    .bind(tx.tenant())
    .bind(kinds)
    .bind(ids)
    .bind(&rows.kinds)
    .bind(&rows.ids)
    .bind(&rows.sites)
    .bind(&rows.bodies)
    .bind(unless_noted)
    .bind(code(Kind::Subscriber))
    .fetch_all(&mut **tx)
    .await?;
    Ok(written.into_iter().collect())
}
