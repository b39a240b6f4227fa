//! Looks how every router is configured, at its own minute of the hour and soon after a change of ours, and tells the
//! cloud what became of it. Whatever is told waits in the outbox while the link is away; what was told last is not
//! told again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use easyisp_shared::id::RouterId;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::configuration::{ConfigurationV1, ConfigurationWhy};
use futures_util::StreamExt;
use futures_util::stream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::radius::driver::Radius;
use crate::routeros::{ApiError, RouterApis};
use crate::site::{Router, Site, SiteClock};
use crate::snmp::schedule::Schedule;

/// What looking works with.
pub struct Parts {
    /// Which routers there are.
    pub site: Arc<Site>,
    /// Writes what was found.
    pub radius: Arc<Radius>,
    /// Asks them.
    pub apis: Arc<RouterApis>,
    /// What time it is.
    pub clock: Arc<SiteClock>,
    /// Whether every octet costs: then a router is looked at once a day.
    pub metered: bool,
}

/// Knows how routers were configured when they were looked at last.
pub struct Keeper {
    parts: Parts,
    schedule: Mutex<Schedule>,
    known: Mutex<HashMap<RouterId, Known>>,
}

#[derive(Default)]
struct Known {
    /// What the cloud was told last.
    told: Option<[u8; 32]>,
    /// How often we changed something, and how often we had when it was read last.
    changes: u64,
    seen: u64,
    /// When to look out of turn, in time since some beginning.
    soon: Option<Duration>,
}

impl Keeper {
    /// Ready to [`run`](Keeper::run).
    pub fn new(parts: Parts) -> Arc<Keeper> {
        Arc::new(Keeper {
            parts,
            schedule: Mutex::default(),
            known: Mutex::default(),
        })
    }

    /// Looks at every router whose API is set up at its turn, until cancelled.
    pub async fn run(self: Arc<Self>, cancel: CancellationToken) {
        let turns = async {
            loop {
                self.settle();
                let due = stream::iter(self.due());
                let looked = due.for_each_concurrent(AT_ONCE, async |router| {
                    let answered = self.look(router).await;
                    let now = self.parts.clock.monotonic();
                    self.schedule().done(router, answered, now);
                });
                looked.await;
                self.parts.clock.sleep(PAUSE).await;
            }
        };
        let _cancelled = cancel.run_until_cancelled(turns).await;
    }

    /// We change something at this router: it is looked at when nothing more was changed for a while.
    pub fn changes(&self, router: RouterId) {
        let soon = self.parts.clock.monotonic() + SETTLED;
        let mut known = self.known();
        let known = known.entry(router).or_default();
        known.changes += 1;
        known.soon = Some(soon);
    }

    /// How a router is configured now, for somebody who waits for it.
    pub async fn now(
        &self,
        router: &Router,
        within: Duration,
    ) -> Result<ConfigurationV1, ApiError> {
        // The answer may be lost on its way: the next look tells it too, and it is one version.
        let (read, _) = self.read(router, ConfigurationWhy::Asked, within).await?;
        Ok(read)
    }

    /// Takes over which routers there are.
    fn settle(&self) {
        let routers = self.parts.site.routers();
        let has_api = |id: RouterId| routers.iter().any(|one| one.id == id && one.api.is_some());
        let now = self.parts.clock.monotonic();
        let interval = match self.parts.metered {
            true => DAY,
            false => HOUR,
        };
        let mut schedule = self.schedule();
        for router in routers.iter().filter(|router| router.api.is_some()) {
            schedule.set(router.id, interval, now);
        }
        schedule.keep(has_api);
        self.known().retain(|router, _| has_api(*router));
    }

    /// Whose turn it is, and who was changed by us.
    fn due(&self) -> Vec<RouterId> {
        let now = self.parts.clock.monotonic();
        let mut due = self.schedule().take(now, usize::MAX);
        for (router, known) in self.known().iter_mut() {
            if known.soon.is_some_and(|soon| soon <= now) {
                known.soon = None;
                due.push(*router);
            }
        }
        due.sort_unstable();
        due.dedup();
        due
    }

    /// Whether it answered.
    async fn look(&self, id: RouterId) -> bool {
        let Some(router) = self.parts.site.router(id) else {
            return true; // taken away meanwhile
        };
        match self.read(&router, ConfigurationWhy::Looked, PATIENCE).await {
            Ok((read, before)) => {
                if self.note(id, &read, before) {
                    let told = Up::Configuration(Box::new(read));
                    self.parts.radius.report_result(&told);
                }
                true
            }
            Err(cause) => {
                debug!(router.id = %id, %cause, "Cannot read how a router is configured");
                false
            }
        }
    }

    /// Reads it; and how many changes of ours there were before.
    async fn read(
        &self,
        router: &Router,
        why: ConfigurationWhy,
        within: Duration,
    ) -> Result<(ConfigurationV1, u64), ApiError> {
        let (changes, ours) = {
            let mut known = self.known();
            let known = known.entry(router.id).or_default();
            (known.changes, known.changes > known.seen)
        };
        let at = self.parts.clock.now();
        let site = &self.parts.site;
        let found = self.parts.apis.configuration(router, site, within).await?;
        let read = ConfigurationV1 {
            router: router.id,
            at,
            why: match (why, ours) {
                (ConfigurationWhy::Looked, true) => ConfigurationWhy::Ours,
                (why, _) => why,
            },
            digest: found.digest,
            text: found.text,
            left_out: found.left_out,
        };
        Ok((read, changes))
    }

    /// Notes what was read after so many changes of ours; whether it is otherwise than was told last.
    fn note(&self, router: RouterId, read: &ConfigurationV1, changes: u64) -> bool {
        let mut known = self.known();
        let known = known.entry(router).or_default();
        known.seen = known.seen.max(changes);
        known.told.replace(read.digest) != Some(read.digest)
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<RouterId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reading fifty menus costs a small router two seconds of its processor.
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// Routers read at once.
const AT_ONCE: usize = 4;
/// Between two looks for who is due.
const PAUSE: Duration = Duration::from_secs(30);
/// The turns of a configuration follow each other faster.
const SETTLED: Duration = Duration::from_secs(60);
/// A thousand rules of a small router come in some seconds.
const PATIENCE: Duration = Duration::from_secs(60);
