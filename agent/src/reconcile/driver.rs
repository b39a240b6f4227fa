//! Asks the routers, one after the other's interval and whenever somebody wants to know now.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::voucher;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::down::Connection;
use easyisp_shared::wire::up::{
    LocalSecretV1, LocalSecretsV1, OutsideV1, OutsideWhy, PoolsV1, RouterStateV1,
};
use futures_util::StreamExt;
use futures_util::stream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::rules::{Findings, Listing, Missing, Reach, Who, compare};
use crate::enforce::is_same_device;
use crate::radius::driver::Radius;
use crate::routeros::{Active, ApiError, LocalSecret, Resource, Roll, RouterApis};
use crate::sessions::{Online, Service, Sessions};
use crate::site::{Router, Site, SiteClock};

/// What reconciling works with.
pub struct Parts {
    /// Which routers there are, and who is a subscriber.
    pub site: Arc<Site>,
    /// Who is online as accounting tells it.
    pub sessions: Arc<Sessions>,
    /// Writes what the lists say, and what the routers say of themselves.
    pub radius: Arc<Radius>,
    /// The routers' lists.
    pub apis: Arc<RouterApis>,
    /// What time it is.
    pub clock: Arc<SiteClock>,
}

/// Keeps what we believe to be online equal to what is.
pub struct Reconciler {
    parts: Parts,
    /// When each router started last, as it said.
    booted: Mutex<HashMap<RouterId, Timestamp>>,
    /// Whom each router's last list did not name, where it was whole.
    missing: Mutex<HashMap<RouterId, Missing>>,
    /// When each router's own users were read last.
    secrets_read: Mutex<HashMap<RouterId, Timestamp>>,
    /// Whether the cloud reads of pools.
    tells_pools: AtomicBool,
}

/// What came of asking one router.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Sessions closed as lost.
    pub closed: u32,
    /// Sessions that had been given up and go on.
    pub opened: u32,
    /// Sessions that were in doubt and go on.
    pub confirmed: u32,
    /// Sessions that this list does not name, also those that go on.
    pub missing: u32,
    /// Of them, how many end if the next list does not name them either.
    pub once: u32,
    /// Who is online there and is no session of ours.
    pub outside: Vec<OutsideV1>,
}

impl Reconciler {
    /// Ready to [`run`](Reconciler::run).
    pub fn new(parts: Parts) -> Arc<Reconciler> {
        Arc::new(Reconciler {
            parts,
            booted: Mutex::default(),
            missing: Mutex::default(),
            secrets_read: Mutex::default(),
            tells_pools: AtomicBool::new(false),
        })
    }

    /// From here on pools are told, or not: the cloud said what it reads.
    pub fn tell_pools(&self, tells: bool) {
        self.tells_pools.store(tells, Ordering::Relaxed);
    }

    /// Asks every router whose API is set up once an interval, until cancelled.
    pub async fn run(self: Arc<Self>, cancel: CancellationToken) {
        loop {
            let pass = async {
                self.parts.clock.sleep(INTERVAL).await;
                self.pass().await;
            };
            if cancel.run_until_cancelled(pass).await.is_none() {
                return;
            }
        }
    }

    async fn pass(&self) {
        let routers = self.routers(None);
        let asked = stream::iter(routers).for_each_concurrent(AT_ONCE, async |router| {
            let told = self.router(&router, Reach::Doubtful, PATIENCE).await;
            if let Err(cause) = told {
                warn!(router.id = %router.id, %cause, "Cannot read the list of router {}", router.name);
                return;
            }
            self.pools(&router).await;
            if self.secrets_are_due(router.id)
                && let Err(cause) = self.local_secrets(&router, PATIENCE).await
            {
                warn!(router.id = %router.id, %cause, "Cannot read the users of router {}", router.name);
            }
        });
        asked.await;
    }

    /// Reads how full a router's pools are, and tells the cloud.
    async fn pools(&self, router: &Router) {
        if !self.tells_pools.load(Ordering::Relaxed) {
            return;
        }
        let at = self.parts.clock.now();
        match self.parts.apis.pools(router, PATIENCE).await {
            Ok(mut pools) => {
                pools.truncate(MOST_POOLS);
                let router = router.id;
                let told = PoolsV1 { router, at, pools };
                self.parts.radius.report_result(&Up::Pools(told));
            }
            Err(cause) => {
                debug!(router.id = %router.id, %cause, "Cannot read the pools of router {}", router.name);
            }
        }
    }

    /// The routers whose list can be asked: one, or all.
    pub fn routers(&self, one: Option<RouterId>) -> Vec<Arc<Router>> {
        let wanted =
            |router: &Arc<Router>| router.api.is_some() && one.is_none_or(|one| one == router.id);
        self.parts
            .site
            .routers()
            .into_iter()
            .filter(wanted)
            .collect()
    }

    /// Asks one router for everybody, corrects what we believed, and tells the cloud how it is. Who is missing for
    /// the first time is asked for again at once: a list may be cut short.
    pub async fn router(
        &self,
        router: &Router,
        reach: Reach,
        within: Duration,
    ) -> Result<Outcome, ApiError> {
        let began = Instant::now();
        let first = self.list(router, reach, within).await?;
        if first.once == 0 {
            return Ok(first);
        }
        let rest = within.saturating_sub(began.elapsed());
        match self.list(router, reach, rest).await {
            Ok(second) => Ok(Outcome {
                closed: first.closed + second.closed,
                opened: first.opened + second.opened,
                confirmed: first.confirmed + second.confirmed,
                ..second
            }),
            Err(cause) => {
                debug!(router.id = %router.id, %cause, "Nobody ends by one list of router {}", router.name);
                Ok(first)
            }
        }
    }

    async fn list(
        &self,
        router: &Router,
        reach: Reach,
        within: Duration,
    ) -> Result<Outcome, ApiError> {
        let asked = self.parts.clock.now();
        let (roll, resource) = tokio::join!(
            self.parts.apis.roll(router, None, within),
            self.parts.apis.resource(router, within),
        );
        // Taken away: two lists in a row are two with nothing between them that failed.
        let before = self.missing().remove(&router.id).unwrap_or_default();
        let told = roll.map(|roll| (roll, resource.ok()));
        let (Roll { lines, whole }, resource) = match told {
            Ok(told) => told,
            Err(cause) => {
                self.tell(router, asked, None, Some(cause.to_string()), &[]);
                return Err(cause);
            }
        };
        let booted = self.note_boot(router.id, asked, resource.as_ref());
        let held = self.logins_at(router.id);
        let listing = Listing {
            lines: &lines,
            whole: &whole,
            before: &before,
            asked,
            booted,
        };
        let mut findings = compare(&held, listing, reach, |name| self.who(name));
        let missing = std::mem::take(&mut findings.missing);
        let count = number(missing.len());
        self.missing().insert(router.id, missing);
        let outcome = Outcome {
            missing: count,
            ..self.correct(router, findings)
        };
        self.tell(router, asked, resource, None, &outcome.outside);
        Ok(outcome)
    }

    fn missing(&self) -> MutexGuard<'_, HashMap<RouterId, Missing>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks one router for the users on its own lists, and tells the cloud which of them are customers: the
    /// router answers those by itself, so nothing that is decided here reaches them.
    pub async fn local_secrets(
        &self,
        router: &Router,
        within: Duration,
    ) -> Result<LocalSecretsV1, ApiError> {
        let at = self.parts.clock.now();
        let listed = self.parts.apis.local_secrets(router, None, within).await?;
        let is_customer = |one: &&LocalSecret| self.parts.site.subscriber(&one.name).is_some();
        let hidden: Vec<&LocalSecret> = listed.iter().filter(is_customer).collect();
        let told = LocalSecretsV1 {
            router: router.id,
            at,
            listed: number(listed.len()),
            hidden_count: number(hidden.len()),
            hidden: hidden
                .into_iter()
                .take(MOST_HIDDEN)
                .map(|one| LocalSecretV1 {
                    username: one.name.clone(),
                    hotspot: one.service == Service::Hotspot,
                })
                .collect(),
        };
        let read = &self.secrets_read;
        let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
        read.insert(router.id, at);
        drop(read);
        self.parts
            .radius
            .report_result(&Up::LocalSecrets(told.clone()));
        Ok(told)
    }

    fn secrets_are_due(&self, router: RouterId) -> bool {
        let read = &self.secrets_read;
        let read = read.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.parts.clock.now();
        read.get(&router)
            .is_none_or(|read| now.since(*read) >= SECRETS_INTERVAL)
    }

    /// Asks one router for the sessions under one name; nothing ends by it. Who logs in by a voucher or a device is listed under
    /// another, so of a hotspot's customer the whole list is read.
    pub async fn name(
        &self,
        router: &Router,
        name: &[u8],
        within: Duration,
    ) -> Result<Outcome, ApiError> {
        let asked = self.parts.clock.now();
        let mut held = self.logins_at(router.id);
        held.retain(|online| *online.session.username == *name);
        let by_name = (!self.is_listed_otherwise(name, &held)).then_some(name);
        let Roll { mut lines, whole } = self.parts.apis.roll(router, by_name, within).await?;
        let is_device = |line: &Active, ours: &[u8]| {
            let mut held = held.iter();
            held.any(|online| is_same_device(line, ours, &online.session))
        };
        lines.retain(|line| {
            let ours = self.parts.radius.our_name(&line.name);
            *line.name == *name || *ours == *name || is_device(line, &ours)
        });
        let listing = Listing {
            lines: &lines,
            whole: &whole,
            before: &Missing::new(),
            asked,
            booted: None,
        };
        let findings = compare(&held, listing, Reach::Nobody, |name| self.who(name));
        let missing = number(findings.missing.len());
        Ok(Outcome {
            missing,
            ..self.correct(router, findings)
        })
    }

    fn is_listed_otherwise(&self, name: &[u8], held: &[Online]) -> bool {
        let subscriber = self.parts.site.subscriber(name);
        voucher::is_username(name)
            || subscriber.is_some_and(|known| known.connection == Connection::Hotspot)
            || held.iter().any(|of| of.session.service == Service::Hotspot)
    }

    fn who(&self, name: &[u8]) -> Who {
        let name = self.parts.radius.our_name(name);
        Who {
            known: self.parts.site.subscriber(&name).is_some(),
            name,
        }
    }

    /// Lines stand on no list: what their queues count is their truth.
    fn logins_at(&self, router: RouterId) -> Vec<Online> {
        let mut held = self.parts.sessions.known_at(router);
        held.retain(|online| online.session.service != Service::Line);
        held
    }

    fn correct(&self, router: &Router, findings: Findings) -> Outcome {
        let mut outcome = Outcome {
            once: number(findings.once),
            outside: findings
                .outside
                .into_iter()
                .map(|(line, why)| outside(router.id, line, why))
                .collect(),
            ..Outcome::default()
        };
        for report in &findings.confirmed {
            let known = self.parts.sessions.find(&report.key);
            let was_closed = known.is_some_and(|online| online.session.closed.is_some());
            match was_closed {
                true => outcome.opened += 1,
                false => outcome.confirmed += 1,
            }
            self.parts.radius.confirm(report);
        }
        for key in &findings.lost {
            outcome.closed += 1;
            self.parts.radius.give_up(key);
        }
        if outcome.closed + outcome.opened > 0 {
            info!(
                router.id = %router.id,
                "Router {}: {} sessions are over, {} go on after all",
                router.name, outcome.closed, outcome.opened
            );
        }
        outcome
    }

    /// When the router started: now less its uptime. What it says moves by the time a question takes.
    fn note_boot(
        &self,
        router: RouterId,
        asked: Timestamp,
        resource: Option<&Resource>,
    ) -> Option<Timestamp> {
        let booted = asked.minus(resource?.uptime);
        let mut known = self.booted.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.get(&router).copied();
        match before {
            Some(before) if booted.since(before) < SAME_BOOT => Some(before),
            Some(_) => {
                info!(router.id = %router, "A router restarted at {booted}");
                known.insert(router, booted);
                Some(booted)
            }
            None => {
                known.insert(router, booted);
                Some(booted)
            }
        }
    }

    fn tell(
        &self,
        router: &Router,
        at: Timestamp,
        resource: Option<Resource>,
        problem: Option<String>,
        outside: &[OutsideV1],
    ) {
        let resource = resource.unwrap_or_default();
        router.note_build(&resource.version);
        let up = Up::Router(RouterStateV1 {
            router: router.id,
            at,
            problem,
            uptime_secs: resource.uptime.as_secs(),
            version: resource.version,
            board: resource.board,
            cpu_load: resource.cpu_load,
            free_memory: resource.free_memory,
            total_memory: resource.total_memory,
            outside: outside.iter().take(MOST_OUTSIDE).cloned().collect(),
            outside_count: number(outside.len()),
        });
        self.parts.radius.report_result(&up);
    }
}

fn outside(router: RouterId, line: Active, why: OutsideWhy) -> OutsideV1 {
    OutsideV1 {
        router,
        username: line.name,
        framed_ip: line.address,
        mac: line.mac,
        uptime_secs: line.uptime.as_secs(),
        hotspot: line.service == Service::Hotspot,
        why,
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// As often as accounting is told; a list of a thousand costs a small router a second of its CPU.
const INTERVAL: Duration = Duration::from_secs(300);
/// They change by hand, and a list of thousands is heavy for a small router.
const SECRETS_INTERVAL: Duration = Duration::from_secs(3600);
const AT_ONCE: usize = 4;
const PATIENCE: Duration = Duration::from_secs(20);
/// Uptime is told in whole seconds, and asking takes a moment.
const SAME_BOOT: Duration = Duration::from_secs(30);
/// As many as a person reads; the count says how many there are.
const MOST_OUTSIDE: usize = 100;
const MOST_HIDDEN: usize = 200;
const MOST_POOLS: usize = 64;
