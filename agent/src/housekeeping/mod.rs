//! What has to be done once a minute: the heartbeat where there is news, the clock's high mark, forgetting what is old.

pub(crate) mod authority;
pub(crate) mod condition;
mod fold;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::up::HeartbeatV1;
use easyisp_shared::wire::{Lane, Up};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use fold::Fold;

use crate::VERSION;
use crate::radius::driver::Radius;
use crate::radius::login_log::record;
use crate::site::SiteClock;
use crate::status::Overview;
use crate::store::{Change, Job, OutboxReader, StoreError, Urgency, Write};
use crate::sync::LinkStatus;

/// Waits until the link is otherwise than it was; for ever where there is none.
async fn news(link: &mut Option<watch::Receiver<LinkStatus>>) {
    let changed = match link {
        Some(link) => link.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending::<()>().await;
    }
}

/// Runs until cancelled.
pub(crate) async fn run(overview: Arc<Overview>, radius: Arc<Radius>, cancel: CancellationToken) {
    let mut fold = Fold::default();
    let mut told: Option<HeartbeatV1> = None;
    loop {
        radius.sweep();
        overview.submit(mark(&overview.clock));
        for _ in 0..PRUNES {
            overview.submit(prune(&overview));
        }
        let (looked, at) = (overview.clone(), overview.clock.now());
        let read = tokio::task::spawn_blocking(move || {
            fold_acknowledged(&looked, &mut fold);
            (heartbeat(&looked), fold)
        });
        let Ok((heartbeat, folded)) = read.await else {
            break;
        };
        fold = folded;
        let pause = match overview.metered {
            true => METERED_HEARTBEAT,
            false => HEARTBEAT,
        };
        if told
            .as_ref()
            .is_none_or(|told| is_news(told, &heartbeat, pause))
        {
            let up = Up::Heartbeat(heartbeat.clone());
            overview.submit(Job::Write(Write {
                changes: vec![Change::Record(record(&up, at))],
                urgency: Urgency::Log,
                done: Box::new(|_| {}),
            }));
            told = Some(heartbeat);
        }
        tokio::select! {
            () = cancel.cancelled() => break,
            () = overview.clock.sleep(Duration::from_secs(60)) => {}
        }
    }
    overview.submit(mark(&overview.clock));
}

/// Leaves one row for each session of what the cloud has already.
fn fold_acknowledged(overview: &Overview, fold: &mut Fold) {
    let lane = Lane::Accounting.code();
    let reader = &overview.reader;
    let Ok(acknowledged) = reader.acknowledged(lane) else {
        return;
    };
    for _ in 0..FOLDS {
        let kept = match reader.records(lane, fold.done(), FOLDED_AT_ONCE, 1 << 20) {
            Ok(kept) if !kept.is_empty() => kept,
            Ok(_) | Err(_) => return,
        };
        let taken = kept.iter().filter(|kept| kept.seq <= acknowledged);
        let mut seqs = Vec::new();
        for kept in taken {
            let up = Up::decode(kept.record.kind, &kept.record.body).ok();
            seqs.extend(fold.take(kept.seq, up.as_ref()));
        }
        if !seqs.is_empty() {
            overview.submit(Job::Forget { lane, seqs });
        }
        if kept.last().is_some_and(|kept| kept.seq > acknowledged) {
            return;
        }
    }
}

/// The latest instant known to have passed, so that a boot in the past is seen to be one (F1); and what the clock
/// showed at this boot, so that a jump is seen to be one after a restart too (F2).
pub(crate) fn mark(clock: &SiteClock) -> Job {
    let mut changes = vec![Change::Mark(CLOCK_MARK.into(), clock.now().micros())];
    if let Some((boot, began)) = clock.boot() {
        changes.push(Change::Mark(BOOT_MARK.into(), boot));
        changes.push(Change::Mark(BEGAN_MARK.into(), began.micros()));
    }
    if let Some(here) = clock.counted() {
        let counted = i64::try_from(here.counted.as_millis()).unwrap_or(i64::MAX);
        changes.push(Change::Mark(ALIVE_BOOT_MARK.into(), here.id));
        changes.push(Change::Mark(ALIVE_MARK.into(), counted));
    }
    Job::Write(Write {
        changes,
        urgency: Urgency::Kept,
        done: Box::new(|_| {}),
    })
}

/// For how long the agent was off, as far as the machine itself counted that; without end after another boot: what the
/// clock shows then says nothing, because a box without one of its own goes on where it stopped.
pub(crate) fn away(reader: &OutboxReader, clock: &SiteClock) -> Result<Duration, StoreError> {
    let (boot, counted) = (reader.mark(ALIVE_BOOT_MARK)?, reader.mark(ALIVE_MARK)?);
    let counted = counted.map(|millis| Duration::from_millis(millis.unsigned_abs()));
    let here = clock.counted();
    Ok(match (boot.zip(counted), here) {
        (Some((boot, counted)), Some(here)) if boot == here.id => {
            here.counted.saturating_sub(counted)
        }
        _ => Duration::MAX,
    })
}

/// At which boot the clock could be trusted last, and what it showed then.
pub(crate) fn boot(reader: &OutboxReader) -> Result<Option<(i64, Timestamp)>, StoreError> {
    let (boot, began) = (reader.mark(BOOT_MARK)?, reader.mark(BEGAN_MARK)?);
    Ok(boot.zip(began.map(Timestamp::from_micros)))
}

fn prune(overview: &Overview) -> Job {
    let now = overview.clock.now();
    Job::Prune {
        records_before: now.minus(RECORDS_KEPT),
        sessions_before: now.minus(SESSIONS_KEPT),
    }
}

/// Whether the cloud should hear it now: after the pause, or because something is there for a person to mend.
fn is_news(told: &HeartbeatV1, now: &HeartbeatV1, pause: Duration) -> bool {
    let strangers = |of: &HeartbeatV1| -> BTreeSet<IpAddr> {
        of.unknown_sources
            .iter()
            .map(|(source, _)| *source)
            .collect()
    };
    let mismatched = |of: &HeartbeatV1| -> BTreeSet<RouterId> {
        of.secret_mismatches
            .iter()
            .map(|(router, _)| *router)
            .collect()
    };
    now.at.since(told.at) >= pause
        || strangers(told) != strangers(now)
        || mismatched(told) != mismatched(now)
        || told.unsigned_routers != now.unsigned_routers
}

fn heartbeat(overview: &Overview) -> HeartbeatV1 {
    let routers = overview.site.routers();
    let mismatches = routers
        .iter()
        .map(|router| (router.id, router.signing().mismatches));
    let unsigned = routers.iter().filter(|router| {
        let signing = router.signing();
        signing.unsigned && signing.signers.is_empty()
    });
    let counters = overview.counters.all().into_iter();
    let waiting = |lane: Lane| overview.reader.waiting(lane.code()).unwrap_or(0);
    HeartbeatV1 {
        at: overview.clock.now(),
        version: VERSION.to_owned(),
        queue: Lane::ALL.into_iter().map(waiting).sum(),
        sessions: u32::try_from(overview.sessions.count()).unwrap_or(u32::MAX),
        clock_offset_millis: overview.clock.offset_millis(),
        unknown_sources: overview.asking(),
        secret_mismatches: mismatches.filter(|(_, count)| *count > 0).collect(),
        unsigned_routers: unsigned.map(|router| router.id).collect(),
        counters: counters
            .map(|(name, count)| (name.to_owned(), count))
            .take(64)
            .collect(),
    }
}

/// That the agent is there shows in the link itself; this says how it is.
const HEARTBEAT: Duration = Duration::from_secs(300);
const METERED_HEARTBEAT: Duration = Duration::from_secs(3600);
const FOLDS: u32 = 50;
const FOLDED_AT_ONCE: usize = 500;
/// A minute of the busiest site (500 records each time).
const PRUNES: u32 = 20;
/// Where the latest instant known to have passed is kept.
pub(crate) const CLOCK_MARK: &str = "clock";
const BOOT_MARK: &str = "clock/boot";
const BEGAN_MARK: &str = "clock/began";
/// At which boot the agent was last alive, and for how many milliseconds the machine had counted by then.
const ALIVE_BOOT_MARK: &str = "alive/boot";
const ALIVE_MARK: &str = "alive/counted";
/// A cloud restored from a backup may ask again for a month (D3).
const RECORDS_KEPT: Duration = Duration::from_secs(30 * 86_400);
const SESSIONS_KEPT: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use easyisp_shared::entropy::Entropy;
    use easyisp_shared::time::Clock;

    use super::*;
    use crate::store::Store;

    /// A box without a clock goes on where it stopped, for however long it was off: only a machine that stayed on counted.
    #[test]
    fn how_long_an_agent_was_off_is_known_in_the_same_boot_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &Entropy::seeded(1), || {}).unwrap();
        let (outbox, reader, _cache, guard) = store.split();
        let clock = Clock::test(Timestamp::from_secs(1_800_000_000));
        let site = |clock: &Clock| {
            let high_mark = reader.mark(CLOCK_MARK).unwrap().map(Timestamp::from_micros);
            SiteClock::start(clock.clone(), high_mark, boot(&reader).unwrap())
        };
        assert_eq!(away(&reader, &site(&clock)).unwrap(), Duration::MAX);

        clock.advance(Duration::from_secs(100));
        assert!(outbox.submit(mark(&site(&clock))).is_ok());
        let (done, written) = std::sync::mpsc::channel();
        let last = Job::Mark {
            name: "written".into(),
            value: 1,
            done: Box::new(move |_| done.send(()).unwrap()),
        };
        assert!(outbox.submit(last).is_ok());
        written.recv().unwrap();
        let hour = Duration::from_secs(3600);
        clock.advance(hour);
        clock.set(Timestamp::from_secs(0));
        assert_eq!(away(&reader, &site(&clock)).unwrap(), hour);

        let booted = site(&Clock::test(Timestamp::from_secs(1_800_000_100)));
        assert_eq!(booted.now(), Timestamp::from_secs(1_800_000_100));
        assert_eq!(away(&reader, &booted).unwrap(), Duration::MAX);
        guard.close();
    }
}
