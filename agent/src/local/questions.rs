//! Live questions of the cloud, answered from memory and by asking the router.

use std::sync::Arc;
use std::time::{Duration, Instant};

use easyisp_shared::id::{RouterId, VoucherId};
use easyisp_shared::wire::down::Whom;
use easyisp_shared::wire::question::{
    AroundV1, AskFailure, ConnectionV1, LiveSessionV1, Question, ReconciledV1, Reply, SessionsV1,
    SubscribersAskV1, TrafficV1, fitting,
};
use easyisp_shared::wire::up::OutsideV1;
use futures_util::future::join_all;

use super::LocalSite;
use super::router::failure;
use crate::access::Access;
use crate::configurations::Keeper;
use crate::core::RELEASED;
use crate::diagnosis::Timeline;
use crate::enforce::Enforcer;
use crate::neighbours::Neighbours;
use crate::radius::eap::Authority;
use crate::reconcile::{Reach, Reconciler};
use crate::routeros::{ApiError, RouterApis, Subscribers};
use crate::sessions::{Online, Service};
use crate::site::{Router, UnknownSources};
use crate::snmp::Poller;
use crate::store::Job;
use crate::sync::Unavailable;

pub(super) async fn answer(
    local: &LocalSite,
    question: Question,
    within: Duration,
) -> Result<Reply, AskFailure> {
    // The answer has to travel too.
    let patience = within.mul_f32(0.9);
    let asked = &local.questions;
    match question {
        Question::Ping => Ok(Reply::Pong {
            now: asked.enforcer.now(),
        }),
        Question::LiveSessions { router } => asked.live_sessions(router, patience).await,
        Question::OnlinePage(ask) => asked.online_page(ask, patience).await,
        Question::Disconnect(whom) => Ok(asked.disconnect(&whom, patience).await),
        Question::TestConnection { router } => asked.test(router, patience).await,
        Question::Sessions(whom) => Ok(Reply::Sessions(asked.sessions(&whom, patience).await)),
        Question::Reconcile { router } => asked.reconcile(router, patience).await,
        Question::Traffic(whom) => asked.traffic(&whom, patience).await,
        Question::LocalSecrets { router } => asked.local_secrets(router, patience).await,
        Question::Subscribers(ask) => asked.subscribers(ask, patience).await,
        Question::Router { router, ask } => asked.router(router, ask, patience).await,
        Question::Around => Ok(Reply::Around(asked.around(patience).await)),
        Question::Access(wish) => {
            let address = asked.access.open(wish)?;
            Ok(Reply::Access { address })
        }
        Question::AccessOver { grant } => {
            asked.access.close(grant, "the cloud closed it");
            Ok(Reply::AccessOver)
        }
        Question::ReleaseVoucher { voucher } => release(local, voucher).await,
        Question::Diagnose { customer, username } => {
            let told = asked.diagnose(customer, &username, patience).await;
            Ok(Reply::Diagnosis(Box::new(told)))
        }
    }
}

/// Gives a voucher back: on stable storage before the cloud hears it, so that no restart forgets it.
async fn release(local: &LocalSite, voucher: VoucherId) -> Result<Reply, AskFailure> {
    match local.questions.enforcer.site().release(voucher) {
        Err(Some(at)) => Ok(Reply::VoucherUsed { at }),
        Err(None) => Err(AskFailure::Busy), // it is being written; asked again it is used
        Ok(()) => {
            let mark = |done| Job::Mark {
                name: format!("{RELEASED}{voucher}"),
                value: 1,
                done,
            };
            match local.durably(mark).await {
                Ok(()) => Ok(Reply::VoucherReleased),
                Err(Unavailable) => Err(AskFailure::Busy),
            }
        }
    }
}

/// Who answers.
pub struct Questions {
    /// Who is online, and how to end that.
    pub enforcer: Arc<Enforcer>,
    /// Asks the routers' own lists.
    pub reconciler: Arc<Reconciler>,
    /// Asks the routers anything else.
    pub apis: Arc<RouterApis>,
    /// Knows how they were configured.
    pub keeper: Arc<Keeper>,
    /// Reads devices over SNMP.
    pub poller: Arc<Poller>,
    /// Hears the routers around.
    pub neighbours: Arc<Neighbours>,
    /// Leads people through to devices.
    pub access: Arc<Access>,
    /// Who asks and is no router of this site.
    pub unknown: Arc<UnknownSources>,
    /// What happened to whom.
    pub timeline: Arc<Timeline>,
    /// Makes routers' certificates, where this box answers by RadSec.
    pub radsec: Option<Arc<Authority>>,
}

impl Questions {
    /// Ends sessions; what was not confirmed in time is counted, and goes on being tried.
    async fn disconnect(&self, whom: &Whom, patience: Duration) -> Reply {
        let mut meant = self.enforcer.open_to(whom);
        meant.retain(|online| online.session.service != Service::Line);
        let all = u32::try_from(meant.len()).unwrap_or(u32::MAX);
        let ended = self.enforcer.cut_now(meant, patience).await;
        Reply::Disconnected {
            ended,
            unconfirmed: all.saturating_sub(ended),
        }
    }

    /// Where somebody is online.
    async fn sessions(&self, whom: &Whom, patience: Duration) -> SessionsV1 {
        let (outside, doubt) = self.compare(whom, patience).await;
        let open = self.enforcer.open_to(whom).into_iter().map(live);
        let mut sessions: Vec<LiveSessionV1> = open.collect();
        sessions.extend(outside.into_iter().map(|line| self.listed(line)));
        sessions.sort_unstable_by_key(|session| std::cmp::Reverse(session.started));
        sessions.truncate(fitting(&sessions));
        SessionsV1 { sessions, doubt }
    }

    /// Compares what is believed of somebody with the lists of his sessions' routers, or of all when he has
    /// none. Returns the lines that are no session of ours, and why the lists may not be the whole truth.
    pub(super) async fn compare(
        &self,
        whom: &Whom,
        patience: Duration,
    ) -> (Vec<OutsideV1>, Option<String>) {
        let known = self.enforcer.open_to(whom);
        let name = self.name(whom, &known);
        let mut routers = self.reconciler.routers(None);
        if !known.is_empty() {
            let his = |router: &Arc<Router>| {
                let mut at = known.iter().map(|online| online.session.key.router);
                at.any(|at| at == router.id)
            };
            routers.retain(his);
        }
        routers.truncate(MOST_ROUTERS);
        let asked = match &name {
            Some(name) => {
                let ask = |router: Arc<Router>| async move {
                    self.reconciler.name(&router, name, patience).await
                };
                join_all(routers.into_iter().map(ask)).await
            }
            None => Vec::new(),
        };
        let mut doubt = None;
        let mut outside = Vec::new();
        for told in asked {
            match told {
                Ok(told) => {
                    if told.missing > 0 {
                        doubt = Some(UNLISTED.to_owned());
                    }
                    outside.extend(told.outside);
                }
                Err(cause) => doubt = Some(format!("{cause}.")),
            }
        }
        (outside, doubt)
    }

    fn name(&self, whom: &Whom, known: &[Online]) -> Option<Box<[u8]>> {
        match whom {
            Whom::Username(name) => Some(name.as_slice().into()),
            Whom::Customer(customer) => {
                let subscriber = self.enforcer.site().customer(*customer);
                subscriber.map(|subscriber| subscriber.username.clone())
            }
            Whom::Session { .. } => known.first().map(|online| online.session.username.clone()),
        }
    }

    /// A line of a router's list that is no session of ours, as far as it can be told as one.
    pub(super) fn listed(&self, line: OutsideV1) -> LiveSessionV1 {
        let now = self.enforcer.now();
        let subscriber = self.enforcer.site().subscriber(&line.username);
        LiveSessionV1 {
            router: line.router,
            session: Vec::new(),
            customer: subscriber.map(|subscriber| subscriber.id),
            username: line.username,
            framed_ip: line.framed_ip,
            mac: line.mac,
            started: now.minus(Duration::from_secs(line.uptime_secs)),
            seen: now,
            bytes_up: 0,
            bytes_down: 0,
            hotspot: line.hotspot,
        }
    }

    /// Compares with the routers' lists, all at once.
    async fn reconcile(
        &self,
        router: Option<RouterId>,
        patience: Duration,
    ) -> Result<Reply, AskFailure> {
        if router.is_some_and(|router| self.enforcer.site().router(router).is_none()) {
            return Err(AskFailure::NotFound);
        }
        let routers = self.reconciler.routers(router);
        let ask = |router: Arc<Router>| async move {
            let told = self.reconciler.router(&router, Reach::Every, patience);
            (router.id, told.await)
        };
        let mut all = ReconciledV1::default();
        for (router, told) in join_all(routers.into_iter().map(ask)).await {
            match told {
                Ok(outcome) => {
                    all.asked += 1;
                    all.closed += outcome.closed;
                    all.opened += outcome.opened;
                    all.outside.extend(outcome.outside);
                }
                Err(cause) => all.problems.push((router, cause.to_string())),
            }
        }
        all.outside.truncate(MOST_OUTSIDE);
        Ok(Reply::Reconciled(all))
    }

    /// Which customers a router answers by its own lists.
    async fn local_secrets(
        &self,
        router: RouterId,
        patience: Duration,
    ) -> Result<Reply, AskFailure> {
        let router = self.enforcer.site().router(router);
        let router = router.ok_or(AskFailure::NotFound)?;
        let told = self.reconciler.local_secrets(&router, patience).await;
        let told = told.map_err(|cause| AskFailure::Unreachable(cause.to_string()))?;
        Ok(Reply::LocalSecrets(told))
    }

    /// Who stands on a router's own lists, some of them.
    async fn subscribers(
        &self,
        ask: SubscribersAskV1,
        patience: Duration,
    ) -> Result<Reply, AskFailure> {
        let router = self.enforcer.site().router(ask.router);
        let router = router.ok_or(AskFailure::NotFound)?;
        let told = self.apis.subscribers(&router, ask.from, patience).await;
        match told.map_err(failure)? {
            Subscribers::Users(users) => Ok(Reply::Subscribers(users)),
            Subscribers::Hidden(why) => Err(AskFailure::Refused(why)),
        }
    }

    /// Which routers could be this site's.
    async fn around(&self, patience: Duration) -> AroundV1 {
        let site = self.enforcer.site();
        let deaf = self.neighbours.address().is_none();
        AroundV1 {
            neighbours: self.neighbours.around(patience).await,
            asking: self.unknown.strangers(|source| site.knows_source(source)),
            deaf: deaf.then(|| DEAF.to_owned()),
        }
    }

    /// What goes through somebody's latest session now.
    async fn traffic(&self, whom: &Whom, patience: Duration) -> Result<Reply, AskFailure> {
        let open = self.enforcer.open_to(whom);
        let latest = open
            .into_iter()
            .max_by_key(|online| online.session.started_at);
        let Some(Online { session, .. }) = latest else {
            return Ok(Reply::Traffic(TrafficV1 {
                online: false,
                up_bps: 0,
                down_bps: 0,
            }));
        };
        let router = self.enforcer.site().router(session.key.router);
        let router = router.ok_or(AskFailure::NotFound)?;
        let name = self.enforcer.name_at_router(&session);
        let name = name.as_ref().map_or(&*session.username, |name| &**name);
        let rates = self
            .apis
            .rate(&router, session.service, name, patience)
            .await;
        let rates = rates.map_err(|cause| AskFailure::Unreachable(cause.to_string()))?;
        Ok(Reply::Traffic(TrafficV1 {
            online: true,
            up_bps: rates.up_bps,
            down_bps: rates.down_bps,
        }))
    }

    /// Asks the router to end a session nobody has, and enters its API: any authentic answer proves
    /// address, port and secret.
    async fn test(&self, router: RouterId, patience: Duration) -> Result<Reply, AskFailure> {
        let router = self.enforcer.site().router(router);
        let router = router.ok_or(AskFailure::NotFound)?;
        let enforcer = &self.enforcer;
        // Each by itself: the one that is silent says nothing of how soon the other answered.
        let ((asked, asked_took), (entered, entered_took)) = tokio::join!(
            timed(tokio::time::timeout(patience, enforcer.probe(&router))),
            timed(self.apis.resource(&router, patience)),
        );
        let coa = matches!(asked, Ok(true));
        let api = match &entered {
            Ok(_) => Some(true),
            Err(ApiError::NotSetUp) => None,
            Err(_) => Some(false),
        };
        let radius_seen = router.last_seen();
        let detail = match (radius_seen, coa) {
            (Some(_), true) => "It asks this agent and takes its commands.",
            (Some(_), false) => "It asks this agent, but does not answer on its CoA port.",
            (None, true) => "It takes commands, but has not asked this agent since the start.",
            (None, false) => "Nothing was heard of it since the start.",
        };
        let detail = match entered {
            Ok(_) => format!("{detail} Its API lets this agent in."),
            Err(ApiError::NotSetUp) => detail.to_owned(),
            Err(cause) => format!("{detail} Its API: {cause}."),
        };
        let answered = [(coa, asked_took), (api == Some(true), entered_took)];
        let answered = answered.into_iter().filter(|(answered, _)| *answered);
        let soonest = answered.map(|(_, took)| took).min();
        let millis = soonest.and_then(|took| u32::try_from(took.as_millis()).ok());
        Ok(Reply::Connection(ConnectionV1 {
            radius_seen,
            coa: Some(coa),
            api,
            millis,
            detail,
        }))
    }
}

/// What came of it, and how long it took.
async fn timed<T>(what: impl Future<Output = T>) -> (T, Duration) {
    let started = Instant::now();
    let came = what.await;
    (came, started.elapsed())
}

pub(super) fn live(online: Online) -> LiveSessionV1 {
    let session = online.session;
    LiveSessionV1 {
        router: session.key.router,
        session: session.key.acct_session_id.into(),
        username: session.username.into(),
        customer: session.customer,
        framed_ip: session.framed_ip,
        mac: session.mac,
        started: session.started_at,
        seen: online.heard,
        bytes_up: session.bytes_in,
        bytes_down: session.bytes_out,
        hotspot: session.service == Service::Hotspot,
    }
}

const DEAF: &str = "Nobody is heard here: [neighbours] listen names a port that another program has, this agent serves \
                    many sites, or it answers RADIUS on loopback alone.";
pub(super) const UNLISTED: &str =
    "His router does not list his session now; it ends once two lists in a row do not name it.";
/// Routers asked for one name.
const MOST_ROUTERS: usize = 16;
const MOST_OUTSIDE: usize = 200;
