//! Hears what is new, keeps the time, and sends somebody to each router that is due.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::line::LineV1;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::beside::Tell;
use super::desk::{Desks, Due, News};
use super::rules;
use crate::enforce::Timers;
use crate::radius::driver::Radius;
use crate::routeros::RouterApis;
use crate::sessions::{LineCounter, Sessions};
use crate::site::{Router, Site, SiteClock, Subscriber, Touched};

/// What lines are kept with.
pub struct Parts {
    /// Who has one.
    pub site: Arc<Site>,
    /// Who is online.
    pub sessions: Arc<Sessions>,
    /// Writes what was counted, and what became of lines.
    pub radius: Arc<Radius>,
    /// The routers.
    pub apis: Arc<RouterApis>,
    /// What time it is.
    pub clock: Arc<SiteClock>,
    /// How long nobody was here to count, before this start; without end where nobody can tell.
    pub away: Duration,
}

/// Keeps the lines of one site.
pub struct Lines {
    pub(super) parts: Parts,
    state: Mutex<State>,
    pub(super) timers: Timers<CustomerId>,
    wake: Arc<Notify>,
    leads: OnceLock<Box<Leads>>,
    pub(super) tell: OnceLock<Arc<Tell>>,
    /// Whether what was known at the start is worth something still.
    pub(super) knows: AtomicBool,
    tasks: TaskTracker,
}

/// Which of a site's agents keeps its lines.
pub type Leads = dyn Fn() -> Lead + Send + Sync;

/// Whether this agent keeps the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// Another one does, or has not said yet how far it counted.
    No,
    /// It does.
    Yes,
    /// It does, and others may still say how far they counted.
    Early,
    /// It does, and others that may have counted did not say how far.
    Unheard,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) desks: Desks,
    /// Who has a line, as far as is known.
    known: HashSet<CustomerId>,
    /// At which router rows of whom stand.
    pub(super) placed: HashMap<CustomerId, RouterId>,
    /// At which router rows of whom stand that this run did not write and knows nothing of, and since when it sees them.
    pub(super) strangers: HashMap<RouterId, HashMap<CustomerId, Timestamp>>,
    /// What the cloud was told last of whom.
    pub(super) told: HashMap<CustomerId, LineV1>,
    /// Since when more is known to come than came, as the clock counts.
    incomplete: Option<Duration>,
    /// Since when a lease has had another speed than it is to have.
    pub(super) slow: HashMap<CustomerId, Timestamp>,
    /// How far the queues had counted.
    pub(super) counters: HashMap<CustomerId, LineCounter>,
    /// When what was known of them was given up: from here on what others counted before is worth nothing either.
    pub(super) forgotten: Option<Timestamp>,
}

impl Lines {
    /// Ready to [`run`](Lines::run); `counters` is what was known of the queues before.
    pub fn new(parts: Parts, counters: Vec<(CustomerId, LineCounter)>) -> Arc<Lines> {
        let knows = parts.away < AWAY;
        let lines = Lines {
            parts,
            state: Mutex::new(State {
                counters: counters.into_iter().collect(),
                ..State::default()
            }),
            timers: Timers::default(),
            wake: Arc::default(),
            leads: OnceLock::new(),
            tell: OnceLock::new(),
            knows: AtomicBool::new(knows),
            tasks: TaskTracker::new(),
        };
        let all = lines.parts.site.customers_who(rules::is_line);
        {
            let mut state = lines.lock();
            state.known.extend(all);
            // Also where nobody has a line any more: somebody may have had one.
            let routers = lines.parts.site.routers().into_iter();
            for router in routers.filter(|router| router.api.is_some()) {
                state.desks.tell(router.id, News::All);
            }
        }
        Arc::new(lines)
    }

    /// From here on `leads` says whether this agent keeps the lines.
    pub fn led_by(&self, leads: Box<Leads>) {
        let _told_already = self.leads.set(leads);
    }

    /// Hears what is new, and passes it on.
    pub fn hear(
        self: &Arc<Self>,
        mut touched: mpsc::Receiver<Touched>,
    ) -> (impl Future<Output = ()> + use<>, mpsc::Receiver<Touched>) {
        let (pass_on, next) = mpsc::channel(1);
        let lines = self.clone();
        let hearing = async move {
            while let Some(news) = touched.recv().await {
                lines.on_touched(&news);
                if pass_on.send(news).await.is_err() {
                    return;
                }
            }
        };
        (hearing, next)
    }

    fn on_touched(&self, touched: &Touched) {
        match touched {
            Touched::Nobody | Touched::Command(_) => return,
            Touched::Customer { customer, .. } | Touched::Gone { customer, .. } => {
                self.customer(*customer);
            }
            Touched::Package(package) => {
                let site = &self.parts.site;
                let has = |customer: &CustomerId| {
                    let known = site.customer(*customer);
                    known.is_some_and(|known| known.package == Some(*package))
                };
                let on_it: Vec<CustomerId> =
                    self.lock().known.iter().copied().filter(has).collect();
                on_it
                    .into_iter()
                    .for_each(|customer| self.customer(customer));
            }
            Touched::All => self.everybody(),
            Touched::Router(router) => {
                let mut state = self.lock();
                state.desks.tell(*router, News::All);
                // What it could not be asked for may have been mended.
                if let Some(desk) = state.desks.0.get_mut(router) {
                    desk.wake();
                }
            }
        }
        self.wake.notify_one();
    }

    /// Something is new of a customer, at the router where he is and at the one where he was.
    fn customer(&self, customer: CustomerId) {
        let known = self.parts.site.customer(customer);
        let line = known.filter(|known| rules::is_line(known));
        let mut state = self.lock();
        let was = state.placed.get(&customer).copied();
        let is = match &line {
            Some(line) => {
                state.known.insert(customer);
                self.router_of(line, was)
            }
            None => {
                state.known.remove(&customer);
                None
            }
        };
        let routers: HashSet<RouterId> = was.into_iter().chain(is).collect();
        for router in routers {
            state
                .desks
                .tell(router, News::Of(HashSet::from([customer])));
        }
    }

    fn everybody(&self) {
        let mut state = self.lock();
        let known = state.known.iter();
        let of = |customer: &CustomerId| {
            let line = self.parts.site.customer(*customer)?;
            self.router_of(&line, state.placed.get(customer).copied())
        };
        let routers: HashSet<RouterId> = known.filter_map(of).collect();
        for router in routers {
            state.desks.tell(router, News::All);
        }
    }

    /// Where a line is: at the router that was chosen, else the only one with an API that there is, else the one where
    /// its rows stand: a second router takes nobody's line away.
    pub(super) fn router_of(
        &self,
        line: &Subscriber,
        placed: Option<RouterId>,
    ) -> Option<RouterId> {
        line.entitlement.router.or_else(|| {
            let routers = self.parts.site.routers();
            let mut with_api = routers.iter().filter(|router| router.api.is_some());
            match (with_api.next(), with_api.next()) {
                (Some(only), None) => Some(only.id),
                // Nobody can write there: his provider is told so.
                (None, _) => match routers.as_slice() {
                    [only] => Some(only.id),
                    _ => None,
                },
                (Some(_), Some(_)) => placed.filter(|placed| {
                    routers
                        .iter()
                        .any(|router| router.id == *placed && router.api.is_some())
                }),
            }
        })
    }

    /// Everybody whose line is at a router.
    pub(super) fn at(&self, router: RouterId) -> HashSet<CustomerId> {
        let known: Vec<(CustomerId, Option<RouterId>)> = {
            let state = self.lock();
            let known = state.known.iter();
            known
                .map(|customer| (*customer, state.placed.get(customer).copied()))
                .collect()
        };
        let site = &self.parts.site;
        let here = |(customer, placed): &(CustomerId, Option<RouterId>)| {
            let line = site.customer(*customer);
            line.is_some_and(|line| self.router_of(&line, *placed) == Some(router))
        };
        let here = known.into_iter().filter(here);
        here.map(|(customer, _)| customer).collect()
    }

    /// Keeps them until cancelled.
    pub async fn run(self: Arc<Self>, cancel: CancellationToken) {
        loop {
            let clock = &self.parts.clock;
            self.rouse().await;
            self.begin(&cancel);
            let first = {
                let desks = self.lock().desks.next();
                desks.into_iter().chain(self.timers.first()).min()
            };
            tokio::select! {
                () = cancel.cancelled() => break,
                () = self.wake.notified() => {}
                () = clock.sleep_until(first.unwrap_or_default()), if first.is_some() => {}
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// What waits for a router that could not be asked waits no longer once it gives a sign of life.
    async fn rouse(&self) {
        let now = self.parts.clock.now();
        let site = &self.parts.site;
        let signs = |router| site.router(router).map_or(0, |router| router.signs());
        let roused = self.lock().desks.rouse(signs, now);
        for router in roused {
            self.parts.apis.dial_again(router).await;
        }
    }

    /// Begins what is due.
    fn begin(self: &Arc<Self>, cancel: &CancellationToken) {
        let now = self.parts.clock.now();
        for customer in self.timers.take(now, usize::MAX) {
            self.customer(customer);
        }
        let due = self.lock().desks.take(now);
        for due in due {
            let (lines, stop) = (self.clone(), cancel.clone());
            self.tasks.spawn(async move {
                stop.run_until_cancelled(lines.visit(due)).await;
            });
        }
    }

    async fn visit(&self, due: Due) {
        let site = &self.parts.site;
        let leads = match self.leads.get().map_or(Lead::Yes, |leads| leads()) {
            Lead::No => false,
            Lead::Yes => {
                self.is_told();
                true
            }
            // What was known at the start may be worth something still: until then nothing is counted.
            Lead::Early => true,
            Lead::Unheard => {
                self.doubt();
                true
            }
        };
        let router = site.router(due.router);
        let signs = router.as_ref().map_or(0, |router| router.signs());
        if site.is_complete() {
            self.lock().incomplete = None;
        }
        let ready = (site.is_complete() || self.lingers()) && !site.is_observed(due.router);
        let began = self.parts.clock.now();
        let outcome = match &router {
            Some(router) if leads && ready => self.pass(router, &due).await,
            Some(_) if !leads => Ok(BESIDE),
            Some(_) | None => Ok(INTERVAL),
        };
        let now = self.parts.clock.now();
        let mut state = self.lock();
        if router.is_none() {
            state.desks.0.remove(&due.router);
            state.strangers.remove(&due.router);
            return;
        }
        let desk = state.desks.0.get_mut(&due.router);
        if let Some(desk) = desk
            && leads
            && !site.is_complete()
        {
            // What is to be done was told in the middle of more: it is done once all of that is known.
            desk.failed(due.news.clone(), now);
            self.wake.notify_one();
            return;
        }
        let desk = state.desks.0.get_mut(&due.router);
        match outcome {
            Ok(again) => {
                let whole = due.whole || !leads;
                let look_at = whole.then(|| began.plus(again));
                if let Some(desk) = desk {
                    desk.done(look_at);
                }
            }
            Err(cause) => {
                debug!(router.id = %due.router, %cause, "Cannot keep the lines of a router");
                if let Some(desk) = desk {
                    desk.failed(due.news.clone(), now);
                    desk.signs = signs;
                }
                drop(state);
                if let Some(router) = &router {
                    router.await_life(&self.wake);
                    self.told_to_wait(router, &due, &cause.to_string());
                }
            }
        }
        self.wake.notify_one();
    }

    /// Whether what was told in the middle of more has been waiting for the rest for a while: the link went down in
    /// between. What is known for certain is done without.
    fn lingers(&self) -> bool {
        let now = self.parts.clock.monotonic();
        let since = *self.lock().incomplete.get_or_insert(now);
        now.saturating_sub(since) >= LINGERS
    }

    /// Says of whom something was to be written that it was not.
    fn told_to_wait(&self, router: &Router, due: &Due, cause: &str) {
        let concerned: Vec<CustomerId> = self
            .at(router.id)
            .into_iter()
            .filter(|customer| due.news.concerns(*customer))
            .collect();
        if !concerned.is_empty() {
            warn!(router.id = %router.id, %cause, "{} lines wait for router {}", concerned.len(), router.name);
        }
        self.waiting(router.id, concerned, cause);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who leads by then looks at everything.
const BESIDE: Duration = Duration::from_secs(5);
/// Three looks: what others counted in less goes on in the same sessions.
const AWAY: Duration = INTERVAL.saturating_mul(3);
/// News that is being applied is through in seconds.
const LINGERS: Duration = Duration::from_secs(30);
/// As often as accounting is told.
pub(super) const INTERVAL: Duration = Duration::from_secs(300);
