//! Sends a site's state down: what changed since the agent's cursor, or all of it.
//!
//! The cursor never splits a version. A version that does not fit one frame goes out in several whose
//! `to` stays where it was, and the last one moves it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use easyisp_shared::id::TenantId;
use easyisp_shared::wire::{DownRecord, FeedBatch, FeedMode, Message};
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

use super::Shared;
use super::agents::Presence;
use super::pipe::{PipeError, Sink};
use super::store::{self, Place, Stretch};
use crate::sites::agents::Agent;

/// What the sender shares with whoever reads the agent's acknowledgements.
#[derive(Debug)]
pub(super) struct Window {
    room: Semaphore,
    snapshot: AtomicBool,
    asked: Notify,
}

impl Window {
    pub(super) fn new(snapshot: bool) -> Window {
        Window {
            room: Semaphore::new(WINDOW),
            snapshot: AtomicBool::new(snapshot),
            asked: Notify::new(),
        }
    }

    /// The agent answered for one batch; `false` when none was due.
    pub(super) fn acknowledged(&self) -> bool {
        if self.room.available_permits() >= WINDOW {
            return false;
        }
        self.room.add_permits(1);
        true
    }

    fn wants_snapshot(&self) -> bool {
        self.snapshot.load(Ordering::Relaxed)
    }

    /// The agent wants everything.
    pub(super) fn ask_snapshot(&self) {
        self.snapshot.store(true, Ordering::Relaxed);
        self.asked.notify_one();
    }
}

/// Sends until the pipe ends.
pub(super) async fn send(
    shared: Arc<Shared>,
    presence: Arc<Presence>,
    window: Arc<Window>,
    sink: Sink,
    cursor: u64,
) -> PipeError {
    let mut sender = Sender {
        shared,
        presence,
        window,
        sink,
        cursor,
        spacing: Spacing::default(),
        compare_at: None,
    };
    loop {
        match sender.run().await {
            Ok(never) => match never {},
            Err(Stop::Pipe(error)) => return error,
            Err(Stop::Database(cause)) => {
                tracing::error!(%cause, "Cannot read a site's feed; trying again");
                tokio::time::sleep(DATABASE_PAUSE).await;
            }
        }
    }
}

struct Sender {
    shared: Arc<Shared>,
    presence: Arc<Presence>,
    window: Arc<Window>,
    sink: Sink,
    cursor: u64,
    /// When the next snapshot may begin that the agent asks for.
    spacing: Spacing,
    /// When digests are told again; `None` = with the next batch that reaches the head.
    compare_at: Option<Instant>,
}

#[derive(Debug)]
enum Stop {
    Pipe(PipeError),
    Database(sqlx::Error),
}

impl From<PipeError> for Stop {
    fn from(error: PipeError) -> Stop {
        Stop::Pipe(error)
    }
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Stop {
        Stop::Database(error)
    }
}

impl Sender {
    async fn run(&mut self) -> Result<std::convert::Infallible, Stop> {
        let bell = self.shared.db.wakes().of(self.presence.agent.site);
        let mut place = Place::after(self.cursor);
        let mut lost = self.window.wants_snapshot(); // before the agent could have asked for one
        loop {
            // Changes go on meanwhile: an agent that disagrees about one row applies the others.
            if self.window.wants_snapshot() && (lost || self.spacing.may(Instant::now())) {
                Box::pin(self.snapshot(lost)).await?;
                (place, lost) = (Place::after(self.cursor), false);
            }
            // Listening begins before reading, so that news in between is not missed.
            let news = bell.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            let page = Box::pin(self.changes(place)).await?;
            // Ahead of the head: not this database's cursor. Behind the horizon: tombstones are missing.
            if self.cursor < page.horizon || self.cursor > page.head {
                self.window.ask_snapshot();
                lost = true;
                continue;
            }
            match page.rows.last() {
                None if page.head == self.cursor => {
                    let now = Instant::now();
                    if self.compare_at.is_none_or(|at| at <= now) {
                        self.compare(page).await?;
                        continue;
                    }
                    let pause = self.pause(now);
                    tokio::select! {
                        () = news => {}
                        () = self.window.asked.notified() => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                }
                last => {
                    let last = last.map(|row| (row.version, row.kind, row.id));
                    place = self.send_changes(page, last).await?;
                }
            }
        }
    }

    /// How long there is nothing to do unless something happens.
    fn pause(&self, now: Instant) -> Duration {
        let compare = self.compare_at.unwrap_or(now);
        let next = match self.window.wants_snapshot() {
            true => compare.min(self.spacing.next.unwrap_or(now)),
            false => compare,
        };
        next.saturating_duration_since(now)
    }

    /// Tells the agent, who has everything, what everything should come to. Asked for once after a change,
    /// not with each: a busy site would be told of a state that is past when it arrives.
    async fn compare(&mut self, page: Page) -> Result<(), Stop> {
        let (head, digests) = self.digests().await?;
        if head != page.head {
            return Ok(()); // it moved on; the next reading follows it
        }
        self.compare_at = Some(Instant::now() + A_LONG_TIME);
        if !digests.is_empty() {
            let batch = FeedBatch {
                from: self.cursor,
                to: self.cursor,
                mode: FeedMode::Changes,
                last: true,
                digests,
                records: Vec::new(),
            };
            self.send_batch(batch).await?;
        }
        Ok(())
    }

    async fn send_changes(
        &mut self,
        page: Page,
        last: Option<(u64, u16, Uuid)>,
    ) -> Result<Place, Stop> {
        let (to, place) = match last {
            Some((version, kind, id)) if page.more => {
                // The last row's version may go on in the next page; those before it are whole.
                let kind = i16::try_from(kind).unwrap_or(i16::MAX);
                let to = self.cursor.max(version - 1);
                (to, Place { version, kind, id })
            }
            Some((version, _, _)) => {
                let to = page.head.max(version);
                (to, Place::after(to))
            }
            None => (page.head, Place::after(page.head)),
        };
        let batch = FeedBatch {
            from: self.cursor,
            to,
            mode: FeedMode::Changes,
            last: !page.more,
            digests: Vec::new(),
            records: page.rows,
        };
        self.send_batch(batch).await?;
        self.moved_to(to);
        Ok(place)
    }

    fn moved_to(&mut self, to: u64) {
        self.cursor = to;
        self.presence.note_sent(to);
        let soon = Instant::now() + COMPARE_AFTER;
        self.compare_at = self.compare_at.map(|at| at.min(soon));
    }

    /// All of a site's state as a replacement. Rows are read in key order and not as of one instant: what
    /// changes meanwhile has a version above `to` and follows as a change.
    ///
    /// One that the agent asked for has the digests added up anew first: the rows are what counts.
    async fn snapshot(&mut self, lost: bool) -> Result<(), Stop> {
        if !lost {
            self.spacing.begin(Instant::now());
            self.recount().await?;
        }
        // Answers to what is still under way must not ask for a second snapshot.
        let all = u32::try_from(WINDOW).unwrap_or(u32::MAX);
        let idle = self.window.room.acquire_many(all);
        let idle = tokio::time::timeout(self.shared.patience, idle).await;
        drop(
            idle.map_err(|_| silent())?
                .expect("the window is never closed"),
        );
        let shared = self.shared.clone();
        let of_tenant = shared.snapshots.of(self.presence.agent.tenant);
        let _turn_of_tenant = of_tenant.acquire().await;
        let _turn = shared.snapshots.all.acquire().await;
        self.window.snapshot.store(false, Ordering::Relaxed);

        let mut to = None;
        let mut after = (i16::MIN, Uuid::nil());
        loop {
            let Stretch { head, rows, .. } = self.state(after).await?;
            let (rows, more) = cut(rows);
            if let Some(last) = rows.last() {
                after = (i16::try_from(last.kind).unwrap_or(i16::MAX), last.id);
            }
            let first = to.is_none();
            let to = *to.get_or_insert(head);
            let batch = FeedBatch {
                from: 0,
                to,
                mode: match (first, more) {
                    (true, true) => FeedMode::SnapshotBegin,
                    (true, false) => FeedMode::SnapshotWhole,
                    (false, true) => FeedMode::SnapshotMore,
                    (false, false) => FeedMode::SnapshotEnd,
                },
                last: !more && head == to,
                digests: Vec::new(),
                records: rows,
            };
            self.send_batch(batch).await?;
            if !more {
                self.moved_to(to);
                return Ok(());
            }
        }
    }

    /// An agent that neither reads nor answers must not hold what others wait for: its link ends.
    async fn send_batch(&mut self, batch: FeedBatch) -> Result<(), Stop> {
        let patience = self.shared.patience;
        let room = tokio::time::timeout(patience, self.window.room.acquire()).await;
        let room = room.map_err(|_| silent())?;
        room.expect("the window is never closed").forget();
        let message = Message::Feed(batch);
        let sent = tokio::time::timeout(patience, self.sink.send(&message)).await;
        Ok(sent.map_err(|_| silent())??)
    }

    async fn state(&self, after: (i16, Uuid)) -> sqlx::Result<Stretch> {
        let _turn = self.shared.reads.acquire().await;
        let mut tx = self.shared.db.begin(self.presence.agent.tenant).await?;
        let site = self.presence.agent.site;
        let stretch = store::state(&mut tx, site, after, PAGE + 1).await?;
        tx.rollback().await?;
        Ok(stretch)
    }

    async fn changes(&self, place: Place) -> sqlx::Result<Page> {
        let _turn = self.shared.reads.acquire().await;
        let mut tx = self.shared.db.begin(self.presence.agent.tenant).await?;
        let site = self.presence.agent.site;
        let stretch = store::changes(&mut tx, site, place, PAGE + 1).await?;
        tx.rollback().await?;
        let (rows, more) = cut(stretch.rows);
        Ok(Page {
            head: stretch.head,
            horizon: stretch.horizon,
            rows,
            more,
        })
    }

    async fn digests(&self) -> sqlx::Result<(u64, Vec<(u16, u128)>)> {
        let _turn = self.shared.reads.acquire().await;
        let mut tx = self.shared.db.begin(self.presence.agent.tenant).await?;
        let (site, epoch) = (self.presence.agent.site, self.shared.standing.epoch);
        let digests = store::digests(&mut tx, site, epoch).await?;
        tx.rollback().await?;
        Ok(digests)
    }

    async fn recount(&self) -> sqlx::Result<()> {
        let _turn = self.shared.reads.acquire().await;
        let Agent { tenant, site, id } = self.presence.agent;
        let mut tx = self.shared.db.begin(tenant).await?;
        let mended = store::recount(&mut tx, site, self.shared.standing.epoch).await?;
        tx.commit().await?;
        tracing::warn!(
            agent.id = %id, site.id = %site, mended,
            "Agent {id} does not hold what its site's feed says; it gets everything ({mended} digests were wrong)"
        );
        Ok(())
    }
}

/// Whose turn it is to be given everything: so many sites at once, and of one tenant so many.
#[derive(Debug)]
pub(super) struct Snapshots {
    all: Semaphore,
    by_tenant: Mutex<HashMap<TenantId, Weak<Semaphore>>>,
}

impl Default for Snapshots {
    fn default() -> Snapshots {
        Snapshots {
            all: Semaphore::new(MOST_SNAPSHOTS),
            by_tenant: Mutex::default(),
        }
    }
}

impl Snapshots {
    fn of(&self, tenant: TenantId) -> Arc<Semaphore> {
        let mut by_tenant = self
            .by_tenant
            .lock()
            .expect("no code panics under this lock");
        by_tenant.retain(|_, turns| turns.strong_count() > 0);
        if let Some(turns) = by_tenant.get(&tenant).and_then(Weak::upgrade) {
            return turns;
        }
        let turns = Arc::new(Semaphore::new(MOST_SNAPSHOTS_OF_TENANT));
        by_tenant.insert(tenant, Arc::downgrade(&turns));
        turns
    }
}

fn silent() -> Stop {
    Stop::Pipe(PipeError::Lost("it took nothing for too long".to_owned()))
}

/// A site that never agrees with what it is sent must not keep the database busy: the pause between two
/// snapshots that it asks for doubles.
#[derive(Debug, Default)]
struct Spacing {
    next: Option<Instant>,
    pause: Duration,
}

impl Spacing {
    fn may(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    fn begin(&mut self, now: Instant) {
        let old = self.next.is_some_and(|next| now > next + 2 * self.pause);
        self.pause = match old {
            true => BETWEEN_SNAPSHOTS,
            false => (2 * self.pause).clamp(BETWEEN_SNAPSHOTS, MOST_BETWEEN_SNAPSHOTS),
        };
        self.next = Some(now + self.pause);
    }
}

struct Page {
    head: u64,
    horizon: u64,
    rows: Vec<DownRecord>,
    /// Whether rows are left for the next page.
    more: bool,
}

/// Keeps what fits one batch, at least one row; whether something is left.
fn cut(mut rows: Vec<DownRecord>) -> (Vec<DownRecord>, bool) {
    let page = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let mut octets = 0;
    let fits = rows.iter().take(page).take_while(|row| {
        octets += row.wire_len();
        octets <= BATCH_OCTETS
    });
    let fits = fits.count().max(1);
    let more = rows.len() > fits;
    rows.truncate(fits);
    (rows, more)
}

const MOST_SNAPSHOTS: usize = 8;
const MOST_SNAPSHOTS_OF_TENANT: usize = 2;
/// How long one batch may take, there and back: 256 KiB over a line of 18 kbit/s.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Batches under way to an agent: a long line is kept busy, and no more is held than this.
const WINDOW: usize = 4;
/// Rows in a batch: one transaction of the agent's, a few milliseconds on a small board.
const PAGE: i64 = 500;
const BATCH_OCTETS: usize = 256 * 1024;
const BETWEEN_SNAPSHOTS: Duration = Duration::from_secs(30);
const MOST_BETWEEN_SNAPSHOTS: Duration = Duration::from_secs(3600);
/// How long after the last change agent and cloud compare what they hold.
const COMPARE_AFTER: Duration = Duration::from_secs(60);
/// And without any change: never, as far as a link lives.
const A_LONG_TIME: Duration = Duration::from_secs(86_400);
const DATABASE_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn row(octets: usize) -> DownRecord {
        DownRecord {
            kind: 1,
            id: Uuid::nil(),
            version: 1,
            body: Some(vec![0; octets]),
        }
    }

    /// Of eight turns one tenant has two, however many of its sites want everything.
    #[test]
    fn one_tenant_does_not_take_every_turn() {
        let snapshots = Snapshots::default();
        let tenant = |number| TenantId(Uuid::from_u128(number));
        let (first, second) = (snapshots.of(tenant(1)), snapshots.of(tenant(1)));
        let turns = [first.try_acquire(), second.try_acquire()];
        assert!(turns.iter().all(Result::is_ok));
        assert!(snapshots.of(tenant(1)).try_acquire().is_err());
        assert!(snapshots.of(tenant(2)).try_acquire().is_ok());
        drop(turns);
        assert!(first.try_acquire().is_ok());
        drop((first, second));
        let _third = snapshots.of(tenant(3));
        assert_eq!(snapshots.by_tenant.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_page_ends_before_it_is_too_many_rows_or_octets() {
        let page = usize::try_from(PAGE).unwrap();
        let (rows, more) = cut(vec![row(1); page + 1]);
        assert_eq!((rows.len(), more), (page, true));

        let (rows, more) = cut(vec![row(1); page]);
        assert_eq!((rows.len(), more), (page, false));

        let (rows, more) = cut(vec![row(BATCH_OCTETS / 2); 3]);
        assert_eq!((rows.len(), more), (1, true));

        let (rows, more) = cut(vec![row(BATCH_OCTETS * 2)]);
        assert_eq!((rows.len(), more), (1, false));
    }
}
