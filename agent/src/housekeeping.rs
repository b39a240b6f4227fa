//! What has to be done once a minute: the heartbeat, the clock's high mark, forgetting what is old.

use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::wire::up::HeartbeatV1;
use easyisp_shared::wire::{Lane, Up};
use tokio_util::sync::CancellationToken;

use crate::VERSION;
use crate::radius::driver::Radius;
use crate::radius::login_log::record;
use crate::status::Overview;
use crate::store::{Change, Job, Urgency, Write};

/// Runs until cancelled.
pub(crate) async fn run(overview: Arc<Overview>, radius: Arc<Radius>, cancel: CancellationToken) {
    loop {
        radius.sweep();
        overview.submit(mark(&overview));
        for _ in 0..PRUNES {
            overview.submit(prune(&overview));
        }
        let (told, at) = (overview.clone(), overview.clock.now());
        let heartbeat = tokio::task::spawn_blocking(move || heartbeat(&told)).await;
        if let Ok(heartbeat) = heartbeat {
            overview.submit(Job::Write(Write {
                changes: vec![Change::Record(record(&heartbeat, at))],
                urgency: Urgency::Log,
                done: Box::new(|_| {}),
            }));
        }
        tokio::select! {
            () = cancel.cancelled() => break,
            () = overview.clock.sleep(Duration::from_secs(60)) => {}
        }
    }
    overview.submit(mark(&overview));
}

/// The latest instant known to have passed, so that a boot in the past is seen to be one (F1).
fn mark(overview: &Overview) -> Job {
    Job::Mark {
        name: CLOCK_MARK.into(),
        value: overview.clock.now().micros(),
        done: Box::new(|_| {}),
    }
}

fn prune(overview: &Overview) -> Job {
    let now = overview.clock.now();
    Job::Prune {
        records_before: now.minus(RECORDS_KEPT),
        sessions_before: now.minus(SESSIONS_KEPT),
    }
}

fn heartbeat(overview: &Overview) -> Up {
    let routers = overview.site.routers();
    let mismatches = routers
        .iter()
        .map(|router| (router.id, router.signing().mismatches));
    let unsigned = routers.iter().filter(|router| {
        let signing = router.signing();
        signing.unsigned && !signing.signs
    });
    let counters = overview.counters.all().into_iter();
    let waiting = |lane: Lane| overview.reader.waiting(lane.code()).unwrap_or(0);
    Up::Heartbeat(HeartbeatV1 {
        at: overview.clock.now(),
        version: VERSION.to_owned(),
        queue: Lane::ALL.into_iter().map(waiting).sum(),
        sessions: u32::try_from(overview.sessions.count()).unwrap_or(u32::MAX),
        clock_offset_millis: overview.clock.offset_millis(),
        unknown_sources: overview.unknown.loudest(16),
        secret_mismatches: mismatches.filter(|(_, count)| *count > 0).collect(),
        unsigned_routers: unsigned.map(|router| router.id).collect(),
        counters: counters
            .map(|(name, count)| (name.to_owned(), count))
            .take(64)
            .collect(),
    })
}

/// A minute of the busiest site (500 records each time).
const PRUNES: u32 = 20;
/// Where the latest instant known to have passed is kept.
pub(crate) const CLOCK_MARK: &str = "clock";
/// A cloud restored from a backup may ask again for a month (D3).
const RECORDS_KEPT: Duration = Duration::from_secs(30 * 86_400);
const SESSIONS_KEPT: Duration = Duration::from_secs(86_400);
