//! Keeps a link to the cloud: dials, greets, serves, and dials again.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Clock;
use easyisp_shared::wire::access::ThroughV1;
use easyisp_shared::wire::hello::{
    FeedAck, Hello, HelloV1, METERED, RefusalReason, Refused, Welcome, WelcomeV1,
};
use easyisp_shared::wire::monitor::PACKED_METRICS;
use easyisp_shared::wire::question::{
    AgentQuestion, Answer, Ask, AskFailure, CloudReply, QUESTION_CAP, Question,
};
use easyisp_shared::wire::up::{ROUTER_POOLS, SESSION_PREFIXES};
use easyisp_shared::wire::{ALPN_LINK, Lane, Message, PROTOCOL, PROTOCOL_OLDEST};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::backoff::Backoff;
use super::dial::{DialError, dial, reach, tls};
use super::identity::Identity;
use super::path::{Path, Paths, Patience};
use super::pipe::{Carrier, Pipe, PipeError, Sink, Source};
use super::trust::{Floor, Trust};
use super::{ApplyError, LinkStatus, Local, Position, Terms, Unavailable, uplink};

/// What a link needs besides the agent behind it.
#[derive(Clone)]
pub struct LinkConfig {
    /// Where the cloud is, `host:port`.
    pub cloud: String,
    /// Build version, for people.
    pub version: String,
    /// The box's clock.
    pub clock: Clock,
    /// Jitter.
    pub entropy: Entropy,
    /// The latest time known to have passed; certificates are judged at it.
    pub floor: Floor,
    /// How long each way to the cloud may be silent.
    pub patience: Patience,
    /// Whether every octet of the line costs: the cloud then hears of sessions once an hour, and knows it.
    pub metered: bool,
    /// Where this agent listens to the others of its site.
    pub addresses: Arc<dyn Fn() -> Vec<SocketAddr> + Send + Sync>,
}

/// A link that is kept up until [`Link::stop`].
pub struct Link {
    status: watch::Receiver<LinkStatus>,
    carrier: watch::Receiver<Option<Arc<dyn Carrier>>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Link {
    /// Starts to keep a link for `identity`, serving `local`.
    pub fn start<L: Local>(config: LinkConfig, identity: Identity, local: Arc<L>) -> Link {
        let down = LinkStatus::Down {
            since: config.clock.now(),
            reason: "not dialled yet".into(),
        };
        let (status_sender, status) = watch::channel(down);
        let (carrier_sender, carrier) = watch::channel(None);
        let stop = CancellationToken::new();
        let keeper = Keeper {
            paths: Mutex::new(Paths::new(config.patience)),
            ready: Mutex::new(None),
            config,
            identity: Arc::new(Mutex::new(identity)),
            local,
            status: status_sender,
            carrier: carrier_sender,
            renew_now: AtomicBool::new(false),
        };
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                () = keeper.keep() => {}
            }
            keeper.hang_up();
        });
        Link {
            status,
            carrier,
            stop,
            task,
        }
    }

    /// How the link is; changes are seen by whoever watches.
    pub fn status(&self) -> watch::Receiver<LinkStatus> {
        self.status.clone()
    }

    /// A handle that asks the cloud questions as long as this link is kept.
    pub fn asker(&self) -> Asker {
        Asker {
            carrier: self.carrier.clone(),
        }
    }

    /// Hangs up and returns when nothing of the link runs any more.
    pub async fn stop(self) {
        self.stop.cancel();
        let _joined = self.task.await;
    }
}

/// Asks the cloud live questions. Cloning shares the link.
#[derive(Clone)]
pub struct Asker {
    carrier: watch::Receiver<Option<Arc<dyn Carrier>>>,
}

impl Asker {
    /// Asks; waits `within` at most. [`AskFailure::Unreachable`] at once where no link is up.
    pub async fn ask(
        &self,
        question: AgentQuestion,
        within: Duration,
    ) -> Result<CloudReply, AskFailure> {
        let carrier = self.carrier.borrow().clone();
        let carrier =
            carrier.ok_or_else(|| AskFailure::Unreachable("the cloud is not reached".into()))?;
        ask(carrier.as_ref(), question, within).await
    }
}

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// The cloud was not reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The conversation broke off.
    #[error(transparent)]
    Pipe(#[from] PipeError),
    /// The cloud does not let us stay.
    #[error("{}", reason.sentence())]
    Refused {
        /// Why.
        reason: RefusalReason,
        /// When to come back.
        retry_after: Duration,
    },
    /// The site's own store cannot serve it.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Something else that a person should read.
    #[error("{0}")]
    Failed(String),
    /// The certificate was renewed: dial at once with the new one.
    #[error("the certificate was renewed")]
    Renewed,
    /// The outbox has another name: greet with it.
    #[error("the outbox goes on under another name")]
    Renamed,
    /// QUIC answers again after a while on TCP.
    #[error("the line lets UDP through again")]
    Better,
}

struct Keeper<L> {
    config: LinkConfig,
    identity: Arc<Mutex<Identity>>,
    local: Arc<L>,
    status: watch::Sender<LinkStatus>,
    carrier: watch::Sender<Option<Arc<dyn Carrier>>>,
    paths: Mutex<Paths>,
    /// A better connection than the one that was up.
    ready: Mutex<Option<(Path, Arc<dyn Carrier>)>>,
    /// The cloud said that the certificate has ended.
    renew_now: AtomicBool,
}

impl<L: Local> Keeper<L> {
    async fn keep(&self) {
        let mut backoff = Backoff::default();
        loop {
            let ended = self.once(&mut backoff).await;
            self.hang_up();
            if let Ended::Refused { reason, .. } = &ended {
                // By the cloud's clock, whatever ours says.
                let late = *reason == RefusalReason::Late;
                self.renew_now.store(late, Ordering::Relaxed);
                if *reason == RefusalReason::Revoked {
                    self.local.shut_out();
                }
            }
            let wait = pause(&ended, &mut backoff, &self.config.entropy);
            self.down(&ended);
            tokio::time::sleep(wait).await;
        }
    }

    /// One link from dial to end.
    async fn once(&self, backoff: &mut Backoff) -> Ended {
        match self.serve(backoff).await {
            Ok(never) => match never {},
            Err(ended) => ended,
        }
    }

    async fn serve(&self, backoff: &mut Backoff) -> Result<std::convert::Infallible, Ended> {
        let (path, carrier) = self.reach().await?;
        if self.renew_if_due(carrier.as_ref()).await {
            carrier.close();
            return Err(Ended::Renewed);
        }

        let (pipe, position, welcome) = self.greet(carrier.as_ref()).await?;
        backoff.worked();
        lock(&self.paths).won(path);
        self.carrier.send_replace(Some(carrier.clone()));
        self.up(
            path,
            welcome.head <= position.cursor && welcome.epoch == position.epoch,
        );
        let Pipe { sink, source } = pipe;

        let lanes = Lane::ALL.map(|lane| {
            let (carrier, local) = (carrier.clone(), self.local.clone());
            uplink::run(carrier, local, position.outbox, lane, welcome.mark(lane))
        });
        let lanes = async {
            let (ended, _, _) = futures_util::future::select_all(lanes.map(Box::pin)).await;
            ended
        };
        Err(tokio::select! {
            ended = self.feed(sink, source) => ended,
            ended = lanes => ended,
            ended = self.questions(carrier.as_ref()) => ended,
            ended = self.upkeep(carrier.as_ref()) => ended,
            ended = self.look_for_better() => ended,
            lost = carrier.closed() => Ended::Pipe(lost),
        })
    }

    /// A connection: the last way that worked first, the others when it is silent.
    async fn reach(&self) -> Result<(Path, Arc<dyn Carrier>), Ended> {
        if let Some(ready) = lock(&self.ready).take() {
            return Ok(ready);
        }
        let ways = lock(&self.paths).order();
        let silence = self.config.patience.silence;
        Ok(reach(&self.config.cloud, &ways, &self.tls()?, silence).await?)
    }

    fn tls(&self) -> Result<Arc<rustls::ClientConfig>, DialError> {
        let identity = self.identity();
        let trust = Trust::authorities(&identity.authorities, self.config.floor.clone());
        let trust = trust.map_err(|error| DialError::Identity(error.to_string()))?;
        tls(ALPN_LINK, trust, Some(identity.credentials()))
    }

    /// While TCP carries the link: tries QUIC now and then, and ends the link once it answers.
    async fn look_for_better(&self) -> Ended {
        loop {
            let Some(pause) = lock(&self.paths).look_again() else {
                return std::future::pending().await;
            };
            self.config.clock.sleep(pause).await;
            let tls = match self.tls() {
                Ok(tls) => tls,
                Err(error) => return error.into(),
            };
            let silence = self.config.patience.silence;
            if let Ok(carrier) = dial(&self.config.cloud, Path::Quic, tls, silence).await {
                *lock(&self.ready) = Some((Path::Quic, carrier));
                return Ended::Better;
            }
        }
    }

    /// Hello, welcome, and the generation on disk.
    async fn greet(&self, carrier: &dyn Carrier) -> Result<(Pipe, Position, WelcomeV1), Ended> {
        let position = self.local.position().await?;
        let hello = Message::Hello(Hello::V1(HelloV1 {
            protocol_oldest: PROTOCOL_OLDEST,
            protocol: PROTOCOL,
            capabilities: match self.config.metered {
                true => vec![METERED.to_owned()],
                false => Vec::new(),
            },
            version: self.config.version.clone(),
            outbox: position.outbox,
            generation: position.generation,
            epoch: position.epoch,
            cursor: position.cursor,
            addresses: (self.config.addresses)(),
        }));
        let mut pipe = carrier.open().await?;
        let asked = Instant::now();
        pipe.sink.send(&hello).await?;
        let answer = tokio::time::timeout(GREETING, pipe.source.receive())
            .await
            .map_err(|_| Ended::Failed("the cloud does not greet back".into()))?;
        let Welcome::V1(welcome) = match answer? {
            Some(Message::Welcome(welcome)) => welcome,
            Some(Message::Refused(refused)) => return Err(refused_by(&refused)),
            Some(_) => return Err(PipeError::Unexpected.into()),
            None => return Err(PipeError::Ended.into()),
        };
        let round_trip = asked.elapsed();
        if !(PROTOCOL_OLDEST..=PROTOCOL).contains(&welcome.protocol) {
            return Err(PipeError::Unexpected.into());
        }
        if !self.local.wrote(&welcome.marks).await? {
            warn!(
                "The cloud has reports that this box never wrote: its files were put back. It reports under another name"
            );
            return Err(Ended::Renamed);
        }
        let can = |what: &str| welcome.capabilities.iter().any(|word| word == what);
        let terms = Terms {
            epoch: welcome.epoch,
            generation: welcome.generation,
            now: welcome.now,
            round_trip,
            packed_metrics: can(PACKED_METRICS),
            pools: can(ROUTER_POOLS),
            prefixes: can(SESSION_PREFIXES),
        };
        self.local.welcomed(terms).await?;
        let holds = FeedAck::Holds {
            generation: welcome.generation,
        };
        pipe.sink.send(&Message::FeedAck(holds)).await?;
        Ok((pipe, position, welcome))
    }

    /// Applies what comes down, one batch at a time.
    async fn feed(&self, mut sink: Sink, mut source: Source) -> Ended {
        loop {
            let batch = match source.receive().await {
                Ok(Some(Message::Feed(batch))) => batch,
                Ok(Some(Message::Refused(refused))) => return refused_by(&refused),
                Ok(Some(_)) => return PipeError::Unexpected.into(),
                Ok(None) => return PipeError::Ended.into(),
                Err(error) => return error.into(),
            };
            let last = batch.last;
            let ack = match self.local.apply(batch).await {
                Ok(cursor) => FeedAck::V1 { cursor },
                Err(ApplyError::NeedSnapshot) => FeedAck::NeedSnapshot,
                Err(ApplyError::Unavailable(unavailable)) => return unavailable.into(),
            };
            let caught_up = last && ack != FeedAck::NeedSnapshot;
            if let Err(error) = sink.send(&Message::FeedAck(ack)).await {
                return error.into();
            }
            self.caught_up(caught_up);
        }
    }

    /// Answers what the cloud asks; the carrier bounds how many at once.
    async fn questions(&self, carrier: &dyn Carrier) -> Ended {
        let mut answering = JoinSet::new();
        loop {
            tokio::select! {
                accepted = carrier.accept() => match accepted {
                    Ok(pipe) => {
                        let local = self.local.clone();
                        answering.spawn(async move {
                            if let Err(error) = answer(pipe, local.as_ref()).await {
                                debug!(%error, "A question went unanswered");
                            }
                        });
                    }
                    Err(error) => return error.into(),
                },
                Some(_done) = answering.join_next() => {}
            }
        }
    }

    /// What a link needs that stays up for weeks: the cloud's time, and a certificate for the next dial.
    async fn upkeep(&self, carrier: &dyn Carrier) -> Ended {
        loop {
            tokio::time::sleep(UPKEEP).await;
            let asked = Instant::now();
            if let Ok(CloudReply::Pong { now }) = ask(carrier, AgentQuestion::Ping, GREETING).await
            {
                self.local.cloud_time(now, asked.elapsed());
            }
            self.renew_if_due(carrier).await;
        }
    }

    /// Renews the certificate from half its life on; `true` when there is a new one.
    async fn renew_if_due(&self, carrier: &dyn Carrier) -> bool {
        let (due, request) = {
            let identity = self.identity();
            (identity.renew_at(), identity.renewal_request())
        };
        let now = (self.config.floor)();
        let due = due.is_some_and(|due| due <= now);
        if !due && !self.renew_now.swap(false, Ordering::Relaxed) {
            return false;
        }
        let Ok(csr) = request else { return false };
        match ask(carrier, AgentQuestion::Renew { csr }, GREETING).await {
            Ok(CloudReply::Certificate { chain, authorities }) => {
                match self.identity().renewed(chain, authorities) {
                    Ok(()) => {
                        info!("Renewed this agent's certificate");
                        true
                    }
                    Err(error) => {
                        warn!(%error, "Cannot keep the renewed certificate");
                        false
                    }
                }
            }
            Ok(
                CloudReply::Pong { .. }
                | CloudReply::Voucher(_)
                | CloudReply::Noted
                | CloudReply::Authority(_),
            ) => false,
            Err(error) => {
                warn!(%error, "The certificate is half way through its life and was not renewed");
                false
            }
        }
    }

    fn identity(&self) -> MutexGuard<'_, Identity> {
        lock(&self.identity)
    }

    fn hang_up(&self) {
        if let Some(carrier) = self.carrier.send_replace(None) {
            carrier.close();
        }
    }

    fn up(&self, over: Path, caught_up: bool) {
        info!(cloud = %self.config.cloud, "The link to the cloud is up, over {over}");
        let since = self.config.clock.now();
        self.local.caught_up(caught_up);
        self.status.send_replace(LinkStatus::Up {
            since,
            caught_up,
            over,
        });
    }

    fn caught_up(&self, now: bool) {
        self.local.caught_up(now);
        self.status.send_if_modified(|status| match status {
            LinkStatus::Up { caught_up, .. } if *caught_up != now => {
                *caught_up = now;
                true
            }
            LinkStatus::Up { .. } | LinkStatus::Down { .. } => false,
        });
    }

    /// Tells why once, not at every try.
    fn down(&self, ended: &Ended) {
        self.local.caught_up(false);
        let reason = ended.to_string();
        let since = self.config.clock.now();
        let told = self.status.send_if_modified(|status| {
            let was = match status {
                LinkStatus::Down { since, reason: old } if *old == reason => return false,
                LinkStatus::Down { since, .. } => *since,
                LinkStatus::Up { .. } => since,
            };
            *status = LinkStatus::Down {
                since: was,
                reason: reason.clone(),
            };
            true
        });
        if told {
            warn!(cloud = %self.config.cloud, %reason, "The link to the cloud is down: {reason}");
        }
    }
}

/// How long to wait before the next dial. A cloud that is not believed is no reason to hurry (I5): it is waited
/// for like one that is silent.
fn pause(ended: &Ended, backoff: &mut Backoff, entropy: &Entropy) -> Duration {
    match ended {
        Ended::Renewed | Ended::Renamed | Ended::Better => Duration::ZERO,
        Ended::Refused { retry_after, .. } => backoff.told(*retry_after, entropy),
        Ended::Dial(_) | Ended::Pipe(_) | Ended::Unavailable(_) | Ended::Failed(_) => {
            backoff.failed(entropy)
        }
    }
}

async fn answer<L: Local>(mut pipe: Pipe, local: &L) -> Result<(), PipeError> {
    let asked = tokio::time::timeout(GREETING, pipe.source.receive()).await;
    let asked = match asked {
        Ok(Ok(Some(Message::Ask(asked)))) => asked,
        Ok(Ok(Some(Message::Through(ThroughV1::V1 { grant })))) => {
            return local.through(grant, pipe).await;
        }
        _ => return Err(PipeError::Unexpected), // whatever else a pipe may begin with
    };
    let within = Duration::from_millis(u64::from(asked.deadline_millis)).min(LONGEST_ANSWER);
    let answered = match Question::decode(&asked.body) {
        Err(_) => Err(AskFailure::NotUnderstood),
        Ok(question) => tokio::time::timeout(within, local.answer(question, within))
            .await
            .unwrap_or(Err(AskFailure::TimedOut)),
    };
    let answer = match answered.map(|reply| reply.encode()) {
        Ok(body) if body.len() <= QUESTION_CAP => Answer::Body(body),
        Ok(_) => Answer::Failed(AskFailure::Refused("the answer is too long".into())),
        Err(failure) => Answer::Failed(failure),
    };
    pipe.sink.send(&Message::Answer(answer)).await?;
    pipe.sink.finish().await
}

async fn ask(
    carrier: &dyn Carrier,
    question: AgentQuestion,
    within: Duration,
) -> Result<CloudReply, AskFailure> {
    let exchange = async {
        let mut pipe = carrier.open().await?;
        let deadline_millis = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
        let body = question.encode();
        let asked = Message::Ask(Ask {
            deadline_millis,
            body,
        });
        pipe.sink.send(&asked).await?;
        match pipe.source.receive().await? {
            Some(Message::Answer(answer)) => Ok(answer),
            Some(_) => Err(PipeError::Unexpected),
            None => Err(PipeError::Ended),
        }
    };
    match tokio::time::timeout(within, exchange).await {
        Err(_) => Err(AskFailure::TimedOut),
        Ok(Err(error)) => Err(AskFailure::Unreachable(error.to_string())),
        Ok(Ok(Answer::Failed(failure))) => Err(failure),
        Ok(Ok(Answer::Body(body))) => {
            CloudReply::decode(&body).map_err(|_| AskFailure::NotUnderstood)
        }
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().expect("no code panics under this lock")
}

fn refused_by(refused: &Refused) -> Ended {
    let Refused::V1(refused) = refused;
    Ended::Refused {
        reason: refused.reason,
        retry_after: Duration::from_secs(u64::from(refused.retry_after_secs)),
    }
}

const GREETING: Duration = Duration::from_secs(10);
const LONGEST_ANSWER: Duration = Duration::from_secs(60);
/// Often enough that a drifting clock (50 ppm) is off by less than the 60 ms of a long line.
const UPKEEP: Duration = Duration::from_secs(20 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    /// A fake cloud that answers at once gets no more dials than one that says nothing, and once the true one is
    /// back it is found within the half minute that a link may be down.
    #[test]
    fn a_cloud_that_is_not_believed_is_dialled_as_seldom_as_a_silent_one() {
        let address = SocketAddr::from(([192, 0, 2, 1], 8443));
        let silent = Ended::Dial(DialError::Silent(address, "QUIC"));
        let unbelieved = [
            Ended::Dial(DialError::Handshake(address, "UnknownIssuer".into())),
            Ended::Pipe(PipeError::Ended),
        ];
        let pauses = |ended: &Ended| {
            let (entropy, mut backoff) = (Entropy::seeded(4), Backoff::default());
            let pauses = (0..50).map(|_| pause(ended, &mut backoff, &entropy));
            pauses.collect::<Vec<Duration>>()
        };
        for ended in unbelieved {
            assert_eq!(pauses(&ended), pauses(&silent));
        }
        let last = pauses(&silent).into_iter().skip(10);
        assert!(last.clone().sum::<Duration>() > Duration::from_secs(40 * 5));
        assert!(
            last.max().unwrap_or_default() + Patience::default().silence <= Duration::from_secs(30)
        );
    }
}
