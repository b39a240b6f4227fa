//! Numbers changes behind their commits, where several of one tenant commit at one moment.
//!
//! A site's counter is locked from the write of its feed until the commit is on disk, so that commits of one site
//! would take turns at the disk. The first of a tenant on a node writes its feed itself; who meets another one notes
//! what changed in the same transaction as the change, commits without the counters, and has it numbered right behind:
//! all that wait, in one transaction. A commit returns when its change has its number. What is noted and was not numbered,
//! because its node ended in between, another look of any node numbers within a second.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use easyisp_shared::id::{SiteId, TenantId};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::feed::{self, Kind};
use super::{Database, Tx};

/// Of this node's tenants: who commits at this moment, and who waits for his number.
#[derive(Default)]
pub(super) struct Numbering {
    tenants: Mutex<HashMap<TenantId, Moment>>,
}

#[derive(Default)]
struct Moment {
    /// Commits that have, or wait for, the counters.
    writing: usize,
    /// Whether waiting changes are being numbered.
    numbering: bool,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Moment {
    fn is_over(&self) -> bool {
        self.writing == 0 && !self.numbering && self.waiting.is_empty()
    }
}

/// A commit that writes the feed itself, until it is dropped.
pub(super) struct Writing<'a> {
    numbering: &'a Numbering,
    tenant: TenantId,
}

impl Numbering {
    /// Notes that a commit writes the feed of this tenant's sites. `None` when it would meet another one there and
    /// `may_wait`.
    pub(super) fn write(&self, tenant: TenantId, may_wait: bool) -> Option<Writing<'_>> {
        let mut tenants = self.lock();
        let moment = tenants.entry(tenant).or_default();
        if may_wait && (moment.writing > 0 || moment.numbering) {
            return None;
        }
        moment.writing += 1;
        Some(Writing {
            numbering: self,
            tenant,
        })
    }

    /// Waits for a number; `true` when nobody is numbering and the caller begins to.
    fn wait(&self, tenant: TenantId, tell: oneshot::Sender<()>) -> bool {
        let mut tenants = self.lock();
        let moment = tenants.entry(tenant).or_default();
        moment.waiting.push(tell);
        !std::mem::replace(&mut moment.numbering, true)
    }

    /// Who waits, for whoever is numbering; nobody any more = he is not numbering any more.
    fn next(&self, tenant: TenantId) -> Vec<oneshot::Sender<()>> {
        let mut tenants = self.lock();
        let Some(moment) = tenants.get_mut(&tenant) else {
            return Vec::new();
        };
        let waiting = std::mem::take(&mut moment.waiting);
        moment.numbering = !waiting.is_empty();
        if moment.is_over() {
            tenants.remove(&tenant);
        }
        waiting
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Moment>> {
        self.tenants.lock().expect("no code panics under this lock")
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut tenants = self.numbering.lock();
        if let Some(moment) = tenants.get_mut(&self.tenant) {
            moment.writing -= 1;
            if moment.is_over() {
                tenants.remove(&self.tenant);
            }
        }
    }
}

/// Whether changes may be numbered behind their commit: those of customers, which many make at once, and few, as a bulk
/// is written at once anyway.
pub(super) fn may_wait(changed: &BTreeSet<(Kind, Uuid)>) -> bool {
    changed.len() <= FEW && changed.iter().all(|(kind, _)| *kind == Kind::Subscriber)
}

const FEW: usize = 16;

/// Notes changes in the transaction that makes them.
pub(super) async fn note(tx: &mut Tx, changed: &BTreeSet<(Kind, Uuid)>) -> sqlx::Result<()> {
    let (kinds, subjects) = feed::columns(changed);
    sqlx::query(
        "insert into directory.changes (tenant_id, kind, subject)
         select $1, c.kind, c.subject from unnest($2::smallint[], $3::uuid[]) as c (kind, subject)",
    )
    .bind(tx.tenant())
    .bind(kinds)
    .bind(subjects)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Of some things, those with changes that wait for their number.
pub(super) async fn noted(tx: &mut Tx, kind: Kind, subjects: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "select subject from directory.changes where tenant_id = $1 and kind = $2 and subject = any($3)",
    )
    .bind(tx.tenant())
    .bind(feed::code(kind))
    .bind(subjects)
    .fetch_all(&mut **tx)
    .await
}

impl Database {
    /// Returns when what was noted of this tenant has its number, or could not be numbered now.
    pub(super) async fn numbered(&self, tenant: TenantId) {
        let (tell, told) = oneshot::channel();
        if self.numbering().wait(tenant, tell) {
            // A task of its own: others wait for it when the caller is given up.
            tokio::spawn(number_waiting(self.clone(), tenant));
        }
        // An error: the runtime is going down, and the next start looks.
        let _ = told.await;
    }

    /// Numbers what some node noted and did not come to number, until `stop`.
    pub async fn number_left(self, stop: CancellationToken) {
        let looking = async {
            loop {
                match self.left().await {
                    Ok(tenants) => {
                        for tenant in tenants {
                            self.numbered(tenant).await;
                        }
                    }
                    // Whatever else needs the database says so too.
                    Err(cause) => {
                        tracing::debug!(%cause, "Cannot look for changes without a number")
                    }
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    async fn left(&self) -> sqlx::Result<Vec<TenantId>> {
        let mut alone = self.alone().await?;
        sqlx::query_scalar("select distinct tenant_id from directory.changes limit 1000")
            .fetch_all(&mut *alone)
            .await
    }
}

const LOOK: Duration = Duration::from_secs(1);

async fn number_waiting(db: Database, tenant: TenantId) {
    loop {
        let waiting = db.numbering().next(tenant);
        if waiting.is_empty() {
            return;
        }
        // A panic must not leave others waiting for good.
        match tokio::spawn(number_all(db.clone(), tenant)).await {
            Ok(Ok(sites)) => db.wakes().committed(&Vec::from_iter(sites)),
            Ok(Err(cause)) => {
                tracing::warn!(%cause, tenant.id = %tenant, "Cannot number changes now: {cause}");
            }
            Err(cause) => tracing::error!(%cause, "Numbering changes ended: {cause}"),
        }
        for tell in waiting {
            // Who gave up does not want to know.
            let _ = tell.send(());
        }
    }
}

/// Numbers everything that is noted of a tenant, some at a time; returns the sites that have news. What cannot be
/// projected keeps nothing else from its number: it stays noted, and is told.
async fn number_all(db: Database, tenant: TenantId) -> sqlx::Result<BTreeSet<SiteId>> {
    let mut sites = BTreeSet::new();
    let mut after = 0;
    loop {
        match number(&db, tenant, after, BITE).await {
            Ok(None) => return Ok(sites),
            Ok(Some(bite)) => {
                sites.extend(bite.news);
                if bite.count < BITE {
                    return Ok(sites);
                }
                after = bite.last;
                continue;
            }
            Err(cause) if is_passing(&cause) => return Err(cause),
            Err(_) => {}
        }
        // One of these does not go: one by one.
        for _ in 0..BITE {
            let next = match number(&db, tenant, after, 1).await {
                Ok(None) => return Ok(sites),
                Ok(Some(bite)) => {
                    sites.extend(bite.news);
                    bite.last
                }
                Err(cause) if is_passing(&cause) => return Err(cause),
                Err(cause) => {
                    let (number, subject) = following(&db, tenant, after).await?;
                    tracing::error!(%cause, tenant.id = %tenant, %subject, "A change cannot be numbered: {cause}");
                    number
                }
            };
            after = next;
        }
    }
}

/// Whether the database, not the change, is the reason.
fn is_passing(cause: &sqlx::Error) -> bool {
    match cause {
        // Locks and time, resources, a server that stops, a deadlock.
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            ["55", "57", "53", "40"]
                .iter()
                .any(|class| code.starts_with(class))
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        _ => false, // sqlx's enum: anything else is of the change
    }
}

/// The first change that is noted after a number.
async fn following(db: &Database, tenant: TenantId, after: i64) -> sqlx::Result<(i64, Uuid)> {
    let mut tx = db.directory().await?;
    sqlx::query_as(
        "select number, subject from directory.changes
          where tenant_id = $1 and number > $2 order by number limit 1",
    )
    .bind(tenant)
    .bind(after)
    .fetch_one(&mut *tx)
    .await
}

/// Changes that have their numbers.
struct Bite {
    /// The sites that have news.
    news: Vec<SiteId>,
    /// The note of the last one.
    last: i64,
    count: i64,
}

/// Numbers changes that are noted of a tenant, at most `most` of those after a number. `None` when there are none.
///
/// All counters are locked before anything is read: what is projected then is as new as what any transaction wrote into
/// these feeds before, and whoever writes the same thing there later has the counter, and its state, after.
async fn number(
    db: &Database,
    tenant: TenantId,
    after: i64,
    most: i64,
) -> sqlx::Result<Option<Bite>> {
    let mut tx = db.begin(tenant).await?;
    feed::lock_all(&mut tx).await?;
    let kinds: Vec<i16> = Kind::ALL.map(feed::code).to_vec();
    let noted: Vec<(i64, i16, Uuid)> = sqlx::query_as(
        "delete from directory.changes
          where tenant_id = $1
            and number in (select number from directory.changes
                            where tenant_id = $1 and number > $3 and kind = any($2)
                            order by number
                            limit $4)
         returning number, kind, subject",
    )
    .bind(tenant)
    .bind(kinds)
    .bind(after)
    .bind(most)
    .fetch_all(&mut *tx)
    .await?;
    let Some(last) = noted.iter().map(|(number, ..)| *number).max() else {
        return Ok(None);
    };
    let kind = |code: i16| Kind::from_code(u16::try_from(code).ok()?);
    let count = i64::try_from(noted.len()).unwrap_or(i64::MAX);
    let noted = noted.into_iter();
    let changed = noted.filter_map(|(_, code, subject)| Some((kind(code)?, subject)));
    let news = feed::write(&mut tx, &changed.collect(), false).await?;
    let news = news.unwrap_or_default();
    tx.end().await?;
    Ok(Some(Bite { news, last, count }))
}

/// Changes that are numbered at once.
const BITE: i64 = 500;
