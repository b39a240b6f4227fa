//! Work that is due, on a real database: once, again after a failure, and never by two at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use easyisp_cloud::db::{Database, Measured, Projectors};
use easyisp_cloud::due;
use easyisp_cloud::jobs::{Job, Jobs, Outcome};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::TenantId;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_tests::database::{FreshDatabase, fresh_database};
use easyisp_tests::world::eventually;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const KIND: &str = "test.work";
const SUBJECT: Uuid = Uuid::from_u128(5);

#[tokio::test]
async fn work_runs_when_it_is_due_and_not_before() -> Result<()> {
    let world = World::start().await?;
    world.put_in(Duration::from_secs(3600)).await?;
    let (done, mut seen) = mpsc::channel(10);
    let running = world.run(move |_, now| {
        let done = done.clone();
        async move {
            done.send(now).await?;
            Ok(Outcome::Done)
        }
    });

    world.clock.advance(Duration::from_secs(3599));
    assert!(seen.try_recv().is_err());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(seen.recv().await, Some(world.clock.now()));
    running.stop().await?;
    assert_eq!(world.waiting().await?, 0);
    Ok(())
}

#[tokio::test]
async fn failed_work_rests_and_runs_again() -> Result<()> {
    let world = World::start().await?;
    world.put_in(Duration::ZERO).await?;
    let (done, mut seen) = mpsc::channel(10);
    let running = world.run(move |job: Job, _| {
        let done = done.clone();
        async move {
            done.send(job.attempts).await?;
            match job.attempts {
                0 => bail!("the provider is down"),
                1 => panic!("a bug"),
                _ => Ok(Outcome::Done),
            }
        }
    });

    assert_eq!(seen.recv().await, Some(0));
    for attempt in 1..=2 {
        // The rest begins when the failure is written; until then there is nothing to wait for.
        while world.attempts().await? != attempt {
            tokio::task::yield_now().await;
        }
        world.clock.advance(Duration::from_secs(2));
        assert_eq!(seen.recv().await, Some(u32::try_from(attempt)?));
    }
    running.stop().await
}

/// By a wrong clock everything is due, or nothing.
#[tokio::test]
async fn a_node_whose_clock_is_off_takes_no_jobs() -> Result<()> {
    let world = World::start().await?;
    let at = world.clock.now();
    let measured = |off| Measured {
        asked: at,
        server: at.plus(Duration::from_secs(off)),
        round_trip: Duration::ZERO,
    };
    for _ in 0..3 {
        world.db.drift().note(measured(2));
    }
    world.put_in(Duration::ZERO).await?;
    let (done, mut seen) = mpsc::channel(10);
    let running = world.run(move |_, now| {
        let done = done.clone();
        async move {
            done.send(now).await?;
            Ok(Outcome::Done)
        }
    });
    // Two looks of a second each.
    let early = tokio::time::timeout(Duration::from_secs(2), seen.recv()).await;
    assert!(early.is_err(), "{early:?}");
    for _ in 0..3 {
        world.db.drift().note(measured(0));
    }
    assert_eq!(seen.recv().await, Some(at));
    running.stop().await
}

/// L4: a holder that sleeps past its lease cannot commit what the next holder does again.
#[tokio::test]
async fn a_lost_lease_is_noticed_at_commit() -> Result<()> {
    let world = World::start().await?;
    world.put_in(Duration::ZERO).await?;
    let (started, mut first_started) = mpsc::channel::<oneshot::Sender<()>>(2);
    let (result, mut results) = mpsc::channel(2);
    let db = world.db.clone();
    let calls = Arc::new(AtomicU32::new(0));
    let running = world.run(move |job: Job, _| {
        let (db, started, result) = (db.clone(), started.clone(), result.clone());
        let call = calls.fetch_add(1, Ordering::Relaxed);
        async move {
            if call == 0 {
                let (go_on, waits) = oneshot::channel();
                started.send(go_on).await?;
                waits.await?;
            }
            let mut tx = db.begin(job.tenant).await?;
            let held = job.hold(&mut tx).await.is_ok();
            tx.commit().await?;
            result.send((call, held)).await?;
            Ok(Outcome::Done)
        }
    });

    let slow = first_started.recv().await.expect("the first holder starts");
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(
        results.recv().await,
        Some((1, true)),
        "the second holder commits"
    );
    slow.send(()).expect("the first holder still waits");
    assert_eq!(
        results.recv().await,
        Some((0, false)),
        "the first holder is told"
    );
    running.stop().await
}

/// Who works on holds on to his claim, so that long work is not begun by somebody else beside him.
#[tokio::test]
async fn long_work_is_done_by_one_alone() -> Result<()> {
    let world = World::start().await?;
    world.put_in(Duration::ZERO).await?;
    let (started, mut starts) = mpsc::channel::<oneshot::Sender<()>>(2);
    let running = world.run(move |_, _| {
        let started = started.clone();
        async move {
            let (go_on, waits) = oneshot::channel();
            started.send(go_on).await?;
            waits.await?;
            Ok(Outcome::Done)
        }
    });
    let first = starts.recv().await.context("it starts")?;
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(41));
        eventually("the claim is made longer", async || {
            let until = world.lease_until().await?;
            let wanted = world.clock.now().plus(Duration::from_secs(60));
            Ok((until == Some(wanted)).then_some(()))
        })
        .await?;
        assert!(starts.try_recv().is_err());
    }
    first.send(()).expect("it still waits");
    running.stop().await?;
    assert_eq!(world.waiting().await?, 0);
    Ok(())
}

/// What is done is taken out together with what ended beside it, but for what fell due again meanwhile.
#[tokio::test]
async fn work_that_falls_due_while_it_is_done_is_done_once_more() -> Result<()> {
    let world = World::start().await?;
    let subjects: Vec<Uuid> = (1..=40).map(Uuid::from_u128).collect();
    let mut tx = world.db.begin(world.tenant).await?;
    due::at_once(&mut tx, KIND, &subjects, world.clock.now()).await?;
    tx.commit().await?;
    let (done, mut seen) = mpsc::channel(50);
    let (db, calls) = (world.db.clone(), AtomicU32::new(0));
    let running = world.run(move |job: Job, now| {
        let (db, done) = (db.clone(), done.clone());
        let first = job.subject == SUBJECT && calls.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if first {
                let mut tx = db.begin(job.tenant).await?;
                due::at(&mut tx, KIND, SUBJECT, now).await?;
                tx.commit().await?;
            }
            done.send(job.subject).await?;
            Ok(Outcome::Done)
        }
    });

    let mut times: BTreeMap<Uuid, u32> = BTreeMap::new();
    for _ in 0..=subjects.len() {
        let subject = seen.recv().await.context("it runs")?;
        *times.entry(subject).or_default() += 1;
    }
    running.stop().await?;
    assert_eq!(times.remove(&SUBJECT), Some(2));
    assert_eq!(times.into_values().collect::<Vec<_>>(), [1; 39]);
    assert_eq!(world.waiting().await?, 0);
    Ok(())
}

struct World {
    db: Database,
    clock: Clock,
    tenant: TenantId,
    _fresh: FreshDatabase,
}

struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn stop(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.task.await?)
    }
}

impl World {
    async fn start() -> Result<World> {
        let fresh = fresh_database().await?;
        let db =
            Database::connect(fresh.app(), 10, Entropy::seeded(1), Projectors::default()).await?;
        let tenant = TenantId(Uuid::from_u128(1));
        let mut tx = db.directory().await?;
        sqlx::query("insert into directory.tenants (tenant_id, created_at) values ($1, $2)")
            .bind(tenant)
            .bind(Timestamp::default())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        let clock = Clock::test(Timestamp::from_secs(1_800_000_000));
        Ok(World {
            db,
            clock,
            tenant,
            _fresh: fresh,
        })
    }

    async fn put_in(&self, after: Duration) -> Result<()> {
        let mut tx = self.db.begin(self.tenant).await?;
        due::at(&mut tx, KIND, SUBJECT, self.clock.now().plus(after)).await?;
        Ok(tx.commit().await?)
    }

    fn run<F, Fut>(&self, handler: F) -> Running
    where
        F: Fn(Job, Timestamp) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Outcome>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let jobs = Jobs::default().with(KIND, handler);
        let task = tokio::spawn(jobs.run(self.db.clone(), self.clock.clone(), stop.clone()));
        Running { stop, task }
    }

    async fn waiting(&self) -> Result<i64> {
        let mut tx = self.db.directory().await?;
        let count = sqlx::query_scalar("select count(*) from directory.jobs");
        Ok(count.fetch_one(&mut *tx).await?)
    }

    async fn lease_until(&self) -> Result<Option<Timestamp>> {
        let mut tx = self.db.directory().await?;
        let until = sqlx::query_scalar("select lease_until from directory.jobs");
        Ok(until.fetch_one(&mut *tx).await?)
    }

    async fn attempts(&self) -> Result<i32> {
        let mut tx = self.db.directory().await?;
        let attempts = sqlx::query_scalar("select attempts from directory.jobs");
        Ok(attempts.fetch_one(&mut *tx).await?)
    }
}
