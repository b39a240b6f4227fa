//! Waits for timers and changes, and carries out what the rules say about each session.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Held;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::time::{Clock, Timestamp};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::ladder::Password;
use super::rules::{Act, Wanted};
use super::{Timers, exchange, ways};
use crate::diagnosis::{Entry, Timeline, What, Why};
use crate::radius::coa::{Change as Changed, Order, Outcome, Target};
use crate::radius::dictionary::ErrorCause;
use crate::radius::driver::Radius;
use crate::routeros::RouterApis;
use crate::sessions::{Cause, Grant, Online, Service, Session, SessionKey, Sessions};
use crate::site::{PasswordChange, Router, Site, SiteClock, Touched};
use crate::sizes::Size;
use crate::store::Change;

/// What enforcement works with.
pub struct Parts {
    /// Who may be online.
    pub site: Arc<Site>,
    /// Who is online.
    pub sessions: Arc<Sessions>,
    /// When to look again.
    pub timers: Arc<Timers>,
    /// What time it is.
    pub clock: Arc<SiteClock>,
    /// What counts the time until a router answers.
    pub pace: Clock,
    /// Identifiers and jitter.
    pub entropy: Entropy,
    /// Why somebody is offline.
    pub timeline: Arc<Timeline>,
    /// Writes sessions that a router no longer has, and command results.
    pub radius: Arc<Radius>,
    /// The routers' own lists, and the last rung of the ladder.
    pub apis: Arc<RouterApis>,
    /// The address of the RADIUS port, where CoA leaves from.
    pub local: IpAddr,
    /// The sessions that an earlier run was to end because their passwords were changed, and that go on.
    pub owed_cuts: Vec<SessionKey>,
}

/// The enforcement of one site.
pub struct Enforcer {
    pub(super) parts: Parts,
    under_way: Mutex<UnderWay>,
    permits: Semaphore,
    tasks: TaskTracker,
}

/// What is being done at the moment.
#[derive(Default)]
struct UnderWay {
    /// Exchanges at once with each router: one that does not answer holds up nobody else.
    routers: HashMap<RouterId, Arc<Semaphore>>,
    sessions: HashMap<SessionKey, Afterwards>,
    /// How often a session was asked to end and did not, and whether its password was changed.
    attempts: HashMap<SessionKey, (u32, Password)>,
}

/// What is to be done about a session once what is under way is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Afterwards {
    /// Nothing happened meanwhile.
    Nothing,
    /// It is looked at: what may be is another by now, or its time is over.
    Look,
    /// It ends.
    Cut(Why),
}

/// What came of asking a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It is so: proved, or acknowledged where nothing can be read back.
    Done,
    /// It is not, or nobody can tell; a sentence for a person.
    Failed(String),
}

impl Enforcer {
    /// Ready to [`run`](Enforcer::run). What is applied from now on counts as a change to who is online.
    pub fn new(parts: Parts) -> Arc<Enforcer> {
        let owed = parts.owed_cuts.iter().cloned();
        let attempts = owed.map(|key| (key, (0, Password::Another))).collect();
        let enforcer = Enforcer {
            parts,
            under_way: Mutex::new(UnderWay {
                attempts,
                ..UnderWay::default()
            }),
            permits: Semaphore::new(AT_ONCE),
            tasks: TaskTracker::new(),
        };
        enforcer.take_over();
        Arc::new(enforcer)
    }

    /// Carries out until cancelled; exchanges under way are dropped then, their timers return at the
    /// next start.
    pub async fn run(
        self: Arc<Self>,
        mut touched: mpsc::Receiver<Touched>,
        cancel: CancellationToken,
    ) {
        for command in self.pending() {
            self.on_touched(Touched::Command(command), &cancel);
        }
        loop {
            let clock = &self.parts.clock;
            let first = self.parts.timers.first();
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(touched) = touched.recv() => self.on_touched(touched, &cancel),
                () = self.parts.site.somebody_moved() => self.prove_places(&cancel),
                // Who is gone since an earlier run, was told then, and is still online is not told again. Who was
                // let in before the time was known was given a day at most, and has what he paid from now on.
                () = self.parts.site.first_abreast() => self.look_at(self.parts.sessions.open(|_| true), &cancel),
                () = self.parts.timers.earlier() => {}
                () = clock.sleep_until(first.unwrap_or_default()), if first.is_some() => {
                    let due = self.parts.timers.take(clock.now(), LOOKED_AT_ONCE);
                    due.iter().for_each(|key| self.look(key, &cancel));
                }
            }
            tokio::task::yield_now().await;
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// After a start every open session gets its timer again.
    fn take_over(&self) {
        let (site, sessions) = (&self.parts.site, &self.parts.sessions);
        for online in sessions.open(|_| true) {
            super::assume_grant(site, sessions, &online.session);
        }
        self.arm(sessions.open(|_| true));
        // One that was given up may come back.
        let now = self.parts.clock.now();
        for key in &self.parts.owed_cuts {
            self.parts.timers.arm_by(key, Some(now));
        }
    }

    fn arm(&self, sessions: Vec<Online>) {
        let now = self.parts.clock.now();
        for online in sessions {
            let session = &online.session;
            let next = match self.is_owed(session) {
                true => Some(now),
                false => super::next_look(&self.parts.site, &self.parts.sessions, session, now),
            };
            self.parts.timers.arm(&session.key, next);
        }
    }

    /// Whether a session goes on under a password that counts no more. Where an old server decides, its password counts.
    fn is_owed(&self, session: &Session) -> bool {
        let attempts = self.lock().attempts.get(&session.key).copied();
        let is_another = attempts.is_some_and(|(_, password)| password == Password::Another);
        is_another && !self.parts.site.is_observed(session.key.router)
    }

    fn on_touched(self: &Arc<Self>, touched: Touched, cancel: &CancellationToken) {
        match touched {
            Touched::Nobody => {}
            Touched::Customer { customer, password } => {
                let logins = self.open_of(customer).into_iter();
                for online in logins.filter(|online| online.session.service != Service::Line) {
                    match password {
                        PasswordChange::Same => self.look(&online.session.key, cancel),
                        // Where an old server decides, its password counts.
                        PasswordChange::Changed
                            if self.parts.site.is_observed(online.session.key.router) => {}
                        PasswordChange::Changed => {
                            // No look tells it after a restart.
                            let owed = Change::OwedCut(online.session.key.clone());
                            self.parts.radius.note(vec![owed], Box::new(|_| {}));
                            self.start_cut(online.session, Why::PasswordChanged, cancel);
                        }
                    }
                }
            }
            Touched::Gone { customer, username } => {
                let his = |session: &Session| {
                    session.customer == Some(customer) || session.username == username
                };
                for online in self.parts.sessions.open(his) {
                    let session = &online.session;
                    let logs_in = session.service != Service::Line
                        && !self.parts.site.is_observed(session.key.router);
                    match super::subscriber_of(&self.parts.site, session) {
                        None if logs_in => self.start_cut(online.session, Why::Unknown, cancel),
                        Some(_) | None => self.look(&session.key, cancel),
                    }
                }
            }
            Touched::Package(package) => {
                let on_it = |session: &Session| {
                    let subscriber = super::subscriber_of(&self.parts.site, session);
                    subscriber.is_some_and(|subscriber| subscriber.package == Some(package))
                };
                self.look_at(self.parts.sessions.open(on_it), cancel);
            }
            Touched::All => self.look_at(self.parts.sessions.open(|_| true), cancel),
            // Another decides there from here on: who is online stays so until his own time comes.
            Touched::Router(router) => {
                self.arm(
                    self.parts
                        .sessions
                        .open(|session| session.key.router == router),
                );
            }
            Touched::Command(command) => {
                let (enforcer, stop) = (self.clone(), cancel.clone());
                self.tasks.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = enforcer.carry_out(command) => {}
                    }
                });
            }
        }
    }

    fn look_at(self: &Arc<Self>, sessions: Vec<Online>, cancel: &CancellationToken) {
        for online in sessions {
            self.look(&online.session.key, cancel);
        }
    }

    /// The open sessions of a customer: by his names while he is known, else one by one.
    pub(super) fn open_of(&self, customer: CustomerId) -> Vec<Online> {
        match self.parts.site.customer(customer) {
            Some(known) => self.parts.sessions.open_of(customer, &known.username),
            None => {
                let his = |session: &Session| session.customer == Some(customer);
                self.parts.sessions.open(his)
            }
        }
    }

    /// Looks at one session and begins what is to be done about it.
    fn look(self: &Arc<Self>, key: &SessionKey, cancel: &CancellationToken) {
        let Some(online) = self.parts.sessions.find(key) else {
            return;
        };
        if online.session.service == Service::Line {
            return; // what a line is to have is kept by `lines`
        }
        if online.session.closed.is_some() {
            if self.is_owed(&online.session) {
                self.rested(key, Password::Another);
            }
            return;
        }
        match self.judge(&online.session) {
            Act::Leave { until } => {
                self.parts.timers.arm_by(key, until);
                // What is under way was begun by what was known before, and sets its own timer when it ends.
                self.look_afterwards(key);
            }
            Act::Change(wanted) => self.start_change(online, wanted, cancel),
            Act::Cut(why) => self.start_cut(online.session, why, cancel),
        }
    }

    pub(super) fn judge(&self, session: &Session) -> Act {
        let parts = &self.parts;
        match self.is_owed(session) {
            // It holds until the end is proved.
            true => Act::Cut(Why::PasswordChanged),
            false => super::judge(&parts.site, &parts.sessions, session, parts.clock.now()),
        }
    }

    fn start_change(self: &Arc<Self>, online: Online, wanted: Wanted, cancel: &CancellationToken) {
        let key = online.session.key.clone();
        if !self.begin(&key, Afterwards::Look) {
            return;
        }
        let (enforcer, stop) = (self.clone(), cancel.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = enforcer.change(&online, wanted) => {}
            }
            enforcer.ended(&key, &stop);
        });
    }

    fn start_cut(self: &Arc<Self>, session: Session, why: Why, cancel: &CancellationToken) {
        let key = session.key.clone();
        // An old server decides there by now, whatever was begun before.
        if self.parts.site.is_observed(key.router) {
            return;
        }
        let afterwards = match why {
            // Nothing that a look finds tells it.
            Why::PasswordChanged => Afterwards::Cut(why),
            Why::Refused(_)
            | Why::Unknown
            | Why::LeavesGarden
            | Why::ChangesList
            | Why::ChangeRefused
            | Why::Command => Afterwards::Look,
        };
        if !self.begin(&key, afterwards) {
            return;
        }
        let (enforcer, stop) = (self.clone(), cancel.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = enforcer.cut(&session, why) => {}
            }
            enforcer.ended(&key, &stop);
        });
    }

    /// Whether something may be begun about a session. What is under way goes by what was known when it
    /// began: where that is so, `afterwards` follows.
    fn begin(&self, key: &SessionKey, afterwards: Afterwards) -> bool {
        match self.lock().sessions.entry(key.clone()) {
            Held::Vacant(free) => {
                free.insert(Afterwards::Nothing);
                true
            }
            Held::Occupied(mut held) => {
                if !matches!(held.get(), Afterwards::Cut(_)) {
                    held.insert(afterwards);
                }
                false
            }
        }
    }

    /// What is under way about a session, if anything, is followed by a look.
    fn look_afterwards(&self, key: &SessionKey) {
        if let Some(held @ (Afterwards::Nothing | Afterwards::Look)) =
            self.lock().sessions.get_mut(key)
        {
            *held = Afterwards::Look;
        }
    }

    fn ended(self: &Arc<Self>, key: &SessionKey, cancel: &CancellationToken) {
        let afterwards = self.lock().sessions.remove(key);
        if cancel.is_cancelled() {
            return;
        }
        match afterwards {
            Some(Afterwards::Look) => self.look(key, cancel),
            Some(Afterwards::Cut(why)) => {
                let online = self.parts.sessions.find(key);
                if let Some(online) = online.filter(|online| online.session.closed.is_none()) {
                    self.start_cut(online.session, why, cancel);
                }
            }
            Some(Afterwards::Nothing) | None => {}
        }
    }

    /// Brings a running session to what is wanted; one that cannot be changed begins anew.
    pub(super) async fn change(&self, online: &Online, wanted: Wanted) -> Effect {
        let session = &online.session;
        let rate = wanted.rate.map(|rate| rate.to_mikrotik());
        let secs = wanted.raise_end.map(|end| {
            let secs = end.since(session.started_at).as_secs();
            u32::try_from(secs.min(crate::radius::reply::MAX_SESSION_SECS)).unwrap_or(u32::MAX)
        });
        let change = Changed {
            rate_limit: rate.as_deref(),
            session_timeout_secs: secs,
            ..Changed::default()
        };
        let outcome = self.ask(session, Order::Change(change)).await;
        let (key, now) = (&session.key, self.parts.clock.now());
        // Nobody begins anew for a speed that he has.
        let missing = match (&outcome, wanted.rate) {
            (Some(Outcome::Nak(_) | Outcome::NoAnswer) | None, Some(rate)) => {
                let has = self.has_rate(session, rate).await == Some(true);
                Some(rate).filter(|_| !has)
            }
            (_, rate) => rate,
        };
        match (outcome, missing) {
            (Some(Outcome::Acked), Some(rate))
                if self.has_rate(session, rate).await == Some(false) =>
            {
                self.cut(session, Why::ChangeRefused).await
            }
            // An end that it acknowledged and did not move is asked for again, before it comes.
            (Some(Outcome::Acked), _) if self.kept_end(session, secs).await => {
                let again = now.plus(self.patience(key, Password::Same));
                self.parts
                    .timers
                    .arm_by(key, Some(wanted.retried_at(again)));
                Effect::Failed("The router acknowledges a later end and keeps the old one.".into())
            }
            (Some(Outcome::Acked), _) => {
                self.granted(online, wanted);
                self.note(session, What::Changed);
                self.parts.timers.arm_by(key, wanted.until);
                Effect::Done
            }
            (Some(Outcome::Nak(Some(ErrorCause::SessionNotFound))), _) => self.gone(session),
            // The end alone is left to our own timer: the router cuts him, he dials and is let in.
            (Some(Outcome::Nak(_) | Outcome::NoAnswer) | None, None) => {
                self.granted(online, wanted);
                self.parts.timers.arm_by(key, wanted.until);
                Effect::Failed("The router does not change the end of a running session.".into())
            }
            (Some(Outcome::Nak(_)), Some(_)) => self.cut(session, Why::ChangeRefused).await,
            // Who does not hear of a change does not hear of a Disconnect either; the API is left.
            (Some(Outcome::NoAnswer) | None, Some(_)) if self.has_api(session) => {
                self.cut(session, Why::ChangeRefused).await
            }
            (Some(Outcome::NoAnswer) | None, Some(_)) => {
                let again = now.plus(self.patience(key, Password::Same));
                self.parts
                    .timers
                    .arm_by(key, Some(wanted.retried_at(again)));
                let router = self.parts.site.router(session.key.router);
                Effect::Failed(ways::unheard(router.as_deref()))
            }
        }
    }

    /// Whether the router was asked for a later end, and its own list says that it has another (F6).
    async fn kept_end(&self, session: &Session, secs: Option<u32>) -> bool {
        match secs {
            Some(secs) => {
                let wanted = Duration::from_secs(secs.into());
                self.has_end(session, wanted).await == Some(false)
            }
            None => false,
        }
    }

    pub(super) async fn ask(&self, session: &Session, order: Order<'_>) -> Option<Outcome> {
        let router = self.parts.site.router(session.key.router)?;
        let turn = self.turn(router.id);
        let _turn = turn.acquire().await.ok()?;
        let _permit = self.permits.acquire().await.ok()?;
        let name = self.parts.radius.name_at_router(session);
        let target = Target {
            user_name: name.as_ref().map(|name| &***name),
            session_id: Some(&session.key.acct_session_id),
            framed_address: match session.service {
                Service::Hotspot => session.framed_ip,
                Service::Ppp | Service::Line => None,
            },
            calling_station: None,
        };
        self.exchange(&router, target, order).await
    }

    /// Asks a router in the ways that it may understand, and notes in which it did.
    async fn exchange(
        &self,
        router: &Router,
        target: Target<'_>,
        order: Order<'_>,
    ) -> Option<Outcome> {
        let local = router.asked_at().unwrap_or(self.parts.local);
        let address = router.coa_address();
        let ways = ways::ways(router);
        let by = exchange::By {
            pace: &self.parts.pace,
            entropy: &self.parts.entropy,
        };
        let asked = exchange::exchange(local, address, &ways, target, order, by)
            .await
            .inspect_err(|cause| warn!(router.id = %router.id, %cause, "Cannot ask a router"))
            .ok()?;
        if let Some(way) = asked.way {
            router.note_order_answered(address.ip(), &way.secret, way.signature);
        }
        Some(asked.outcome)
    }

    fn turn(&self, router: RouterId) -> Arc<Semaphore> {
        let mut under_way = self.lock();
        let turns = under_way.routers.entry(router);
        turns
            .or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE_EACH)))
            .clone()
    }

    pub(super) fn has_api(&self, session: &Session) -> bool {
        let router = self.parts.site.router(session.key.router);
        router.is_some_and(|router| router.api.is_some())
    }

    fn granted(&self, online: &Online, wanted: Wanted) {
        let held = online.session.grant;
        let site = &self.parts.site;
        let is_wanted = || {
            let subscriber = super::subscriber_of(site, &online.session);
            subscriber.is_some_and(|subscriber| site.may_not_share(&subscriber))
        };
        let grant = Grant {
            cookie: held.map_or([0; 16], |grant| grant.cookie),
            rate: wanted.rate.or(held.and_then(|grant| grant.rate)),
            end: wanted.end,
            garden: false,
            listed: held.map_or_else(is_wanted, |grant| grant.listed),
        };
        self.parts.sessions.regrant(&online.session.key, grant);
    }

    /// The router does not have the session: nobody will ever report its end.
    fn gone(&self, session: &Session) -> Effect {
        self.parts.radius.give_up(&session.key);
        Effect::Done
    }

    pub(super) fn note(&self, session: &Session, what: What) {
        if let Some(customer) = session.customer {
            let now = self.parts.clock.now();
            let entry = Entry::once(now, session.key.router, session.mac, what);
            self.parts.timeline.note(customer, entry);
        }
    }

    /// 15 s after the first attempt, then twice as long each time, at most five minutes.
    pub(super) fn patience(&self, key: &SessionKey, password: Password) -> Duration {
        let attempts = self.lock().attempt(&self.parts.sessions, key, password);
        (FIRST_PATIENCE * 2u32.pow((attempts - 1).min(5))).min(LAST_PATIENCE)
    }

    /// How many sessions it has asked to end, and how many it may count so.
    pub fn size(&self) -> Size {
        Size::new(
            "attempts to end a session",
            self.lock().attempts.len(),
            MOST_ATTEMPTS,
        )
    }

    /// The session is over: what was counted of it is forgotten, but not that it is to end, where only its Stop says that
    /// it does not come back.
    pub(super) fn rested(&self, key: &SessionKey, password: Password) {
        let may_come_back = may_come_back(&self.parts.sessions, key);
        let mut under_way = self.lock();
        let held = under_way.attempts.remove(key);
        let password = held.map_or(password, |(_, held)| held.max(password));
        if password == Password::Another && may_come_back {
            under_way.attempts.insert(key.clone(), (0, password));
            drop(under_way);
            let again = self.now().plus(LAST_PATIENCE);
            self.parts.timers.arm_by(key, Some(again));
        }
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends sessions at once; returns how many routers confirmed within `patience`.
    pub async fn cut_now(&self, sessions: Vec<Online>, patience: Duration) -> u32 {
        let mut cuts: FuturesUnordered<_> = sessions
            .iter()
            .map(|online| self.cut(&online.session, Why::Command))
            .collect();
        let mut ended = 0;
        let all = async {
            while let Some(effect) = cuts.next().await {
                ended += u32::from(effect == Effect::Done);
            }
        };
        let _what_is_late_is_unconfirmed = self.within(patience, all).await;
        ended
    }

    /// What came of something within a while; `None` where nothing did.
    pub(super) async fn within<T>(
        &self,
        while_: Duration,
        of: impl Future<Output = T>,
    ) -> Option<T> {
        tokio::select! {
            biased;
            outcome = of => Some(outcome),
            () = self.parts.pace.sleep(while_) => None,
        }
    }

    /// Asks a router to end a session nobody has; whether it answered authentically.
    pub async fn probe(&self, router: &Router) -> bool {
        let Ok(_permit) = self.permits.acquire().await else {
            return false;
        };
        let nobody = Target {
            user_name: Some(b"easyisp-connection-test"),
            session_id: Some(b"0"),
            ..Target::default()
        };
        let asked = self.exchange(router, nobody, Order::Disconnect).await;
        matches!(asked, Some(Outcome::Acked | Outcome::Nak(_)))
    }

    /// Has routers that were found elsewhere prove that they are there: a request could have been a copy.
    fn prove_places(self: &Arc<Self>, cancel: &CancellationToken) {
        let routers = self.parts.site.routers().into_iter();
        for router in routers.filter(|router| router.found_at().is_some_and(|at| !at.proved)) {
            let (enforcer, stop) = (self.clone(), cancel.clone());
            self.tasks.spawn(async move {
                let proving = enforcer.probe(&router);
                if stop.run_until_cancelled(proving).await == Some(true) {
                    info!(router.id = %router.id, "Router {} proved where it is", router.name);
                }
            });
        }
    }

    /// The site whose sessions these are.
    pub fn site(&self) -> &Site {
        &self.parts.site
    }

    /// Who is online.
    pub fn sessions(&self) -> &Sessions {
        &self.parts.sessions
    }

    /// The instant to decide at.
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }
}

impl UnderWay {
    /// Counts one more; of too many, those are forgotten of which nothing more can be heard.
    fn attempt(&mut self, sessions: &Sessions, key: &SessionKey, password: Password) -> u32 {
        if self.attempts.len() >= MOST_ATTEMPTS {
            self.attempts.retain(|key, _| may_come_back(sessions, key));
        }
        let held = self.attempts.entry(key.clone());
        let (attempts, known) = held.or_insert((0, password));
        *attempts += 1;
        *known = password.max(*known);
        *attempts
    }
}

/// Whether a session goes on, or was given up and would go on with the router's next word of it.
fn may_come_back(sessions: &Sessions, key: &SessionKey) -> bool {
    let closed = sessions.find(key).map(|online| online.session.closed);
    closed.is_some_and(|closed| closed.is_none_or(|closed| closed.cause == Cause::Lost))
}

/// Sockets open at once.
const AT_ONCE: usize = 256;
const AT_ONCE_EACH: usize = 16;
const LOOKED_AT_ONCE: usize = 256;
const MOST_ATTEMPTS: usize = 4096;
const FIRST_PATIENCE: Duration = Duration::from_secs(15);
const LAST_PATIENCE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_to_end_sessions_are_bounded() {
        let (sessions, mut under_way) = (Sessions::default(), UnderWay::default());
        for number in 0..MOST_ATTEMPTS + 10 {
            let key = SessionKey {
                router: RouterId(uuid::Uuid::nil()),
                acct_session_id: number.to_be_bytes().into(),
                class: Box::default(),
            };
            assert_eq!(under_way.attempt(&sessions, &key, Password::Another), 1);
            assert!(under_way.attempts.len() <= MOST_ATTEMPTS);
        }
    }
}
