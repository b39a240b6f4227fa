//! One connected agent: its pipes, each told by its first message.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use easyisp_shared::wire::hello::{
    FeedAck, Hello, HelloV1, METERED, RefusalReason, Refused, RefusedV1, Welcome, WelcomeV1,
};
use easyisp_shared::wire::monitor::PACKED_METRICS;
use easyisp_shared::wire::question::{AgentQuestion, Answer, Ask, AskFailure, CloudReply};
use easyisp_shared::wire::up::{ROUTER_POOLS, SESSION_PREFIXES};
use easyisp_shared::wire::{Message, PROTOCOL, PROTOCOL_OLDEST, UpBatch};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::agents::Presence;
use super::feed::{self, Window};
use super::identity::Caller;
use super::pipe::{Carrier, Pipe, PipeError, Source};
use super::uplink::Taken;
use super::{Shared, store, uplink};
use crate::audit::Actor;
use crate::sites;
use crate::sites::agents::generation::History;
use crate::sites::agents::{self, Agent};
use crate::sites::authorities::AuthorityError;
use crate::vouchers::{self, Shown, VoucherError};

/// Serves one connection until it ends, from either side.
pub(super) async fn serve(shared: Arc<Shared>, carrier: Arc<dyn Carrier>, caller: Caller) {
    let cut = shared.stop.child_token();
    let session = Arc::new(Session {
        shared,
        carrier: carrier.clone(),
        caller,
        cut: cut.clone(),
        offered: AtomicU64::new(NOT_GREETED),
        counts: watch::Sender::new(false),
        storing: Mutex::new(()),
    });
    let mut pipes = JoinSet::new();
    let silent = tokio::time::sleep(UNGREETED);
    tokio::pin!(silent);
    loop {
        tokio::select! {
            () = cut.cancelled() => break,
            () = &mut silent, if !session.is_greeted() => break,
            accepted = carrier.accept() => match accepted {
                Ok(pipe) => {
                    let session = session.clone();
                    pipes.spawn(async move {
                        if let Err(error) = session.pipe(pipe).await {
                            debug!(%error, "An agent's pipe ended");
                        }
                    });
                }
                Err(_) => break,
            },
            Some(_ended) = pipes.join_next() => {}
        }
    }
    // A batch that is being stored is undone: it was not acknowledged and comes again.
    pipes.shutdown().await;
    carrier.close();
}

struct Session {
    shared: Arc<Shared>,
    carrier: Arc<dyn Carrier>,
    caller: Caller,
    cut: CancellationToken,
    /// The generation that the agent was offered.
    offered: AtomicU64,
    /// Whether it counts: reports are taken from then on.
    counts: watch::Sender<bool>,
    /// Batches of one agent are stored one after the other: while one waits, for a lock of its own site, those of
    /// other tenants have the other turns.
    storing: Mutex<()>,
}

impl Session {
    fn is_greeted(&self) -> bool {
        self.offered.load(Ordering::Relaxed) != NOT_GREETED
    }

    /// What is over soon has a place of its own: this waits for months, most of the time for nothing.
    async fn pipe(&self, mut pipe: Pipe) -> Result<(), PipeError> {
        let first = tokio::time::timeout(FIRST_WORD, pipe.source.receive()).await;
        match first.map_err(|_| PipeError::Ended)?? {
            Some(Message::Hello(Hello::V1(hello))) => {
                let ended = self.sync(pipe, hello).await;
                self.cut.cancel();
                ended
            }
            Some(Message::Up(batch)) => self.uplink(pipe, batch).await,
            Some(Message::Ask(question)) => Box::pin(self.question(pipe, &question)).await,
            Some(_) => Err(PipeError::Unexpected),
            None => Ok(()),
        }
    }

    /// The sync pipe: greets, sends the feed, hears acknowledgements.
    async fn sync(&self, mut pipe: Pipe, hello: HelloV1) -> Result<(), PipeError> {
        let (agent, welcome) = match Box::pin(self.greet(&hello)).await {
            Ok(greeted) => greeted,
            Err(refused) => {
                pipe.sink
                    .send(&Message::Refused(Refused::V1(refused)))
                    .await?;
                pipe.sink.finish().await?;
                // Closing at once could overtake the refusal.
                let _closed = tokio::time::timeout(FIRST_WORD, self.carrier.closed()).await;
                return Ok(());
            }
        };
        let restored = hello.epoch != welcome.epoch;
        let window = Arc::new(Window::new(restored));
        let here = (self.shared.clock.now(), welcome.generation);
        let stay = self
            .shared
            .agents
            .arrive(agent, here, self.carrier.clone(), self.cut.clone());
        let presence = stay.presence();
        info!(agent.id = %agent.id, site.id = %agent.site, "Agent {} is connected", agent.id);
        pipe.sink
            .send(&Message::Welcome(Welcome::V1(welcome)))
            .await?;

        let Pipe { sink, source } = pipe;
        let sending = feed::send(
            self.shared.clone(),
            presence.clone(),
            window.clone(),
            sink,
            if restored { 0 } else { hello.cursor },
        );
        let ended = tokio::select! {
            ended = sending => ended,
            ended = self.hear(source, presence, &window) => ended,
        };
        info!(agent.id = %agent.id, reason = %ended, "Agent {} is gone: {ended}", agent.id);
        Ok(())
    }

    /// Checks a hello, and what to answer it with.
    async fn greet(&self, hello: &HelloV1) -> Result<(Agent, WelcomeV1), RefusedV1> {
        let agent = match self.caller {
            Caller::Agent(agent) => agent,
            Caller::Late(_) => return Err(refuse(RefusalReason::Late, Duration::from_secs(5))),
            Caller::Nobody => return Err(refuse(RefusalReason::Revoked, A_LONG_WHILE)),
        };
        if self.is_greeted() {
            return Err(refuse(RefusalReason::Busy, A_WHILE));
        }
        let oldest = PROTOCOL_OLDEST.max(hello.protocol_oldest);
        let protocol = PROTOCOL.min(hello.protocol);
        if protocol < oldest {
            return Err(refuse(RefusalReason::Protocol, A_LONG_WHILE));
        }
        let full = self.shared.agents.count() >= self.shared.most_agents;
        // An agent sets its clock by ours.
        let wrong = self.shared.db.drift().is_off();
        if wrong || full || self.shared.admissions.check().is_err() {
            return Err(refuse(RefusalReason::Busy, A_WHILE));
        }
        let read = self.admit(&agent, hello).await.map_err(|cause| {
            warn!(%cause, "Cannot greet an agent");
            refuse(RefusalReason::Busy, A_WHILE)
        })?;
        let Admitted {
            generation,
            marks,
            head,
            addresses,
        } = read?;
        self.note_addresses(&agent, &addresses, hello).await;
        self.offered.store(generation, Ordering::Relaxed);
        let welcome = WelcomeV1 {
            protocol,
            capabilities: [PACKED_METRICS, ROUTER_POOLS, SESSION_PREFIXES]
                .map(str::to_owned)
                .to_vec(),
            epoch: self.shared.standing.epoch,
            now: self.shared.clock.now(),
            generation,
            marks,
            head,
        };
        Ok((agent, welcome))
    }

    /// Compares generations and notes the visit, in one transaction.
    ///
    /// An agent that knows another epoch, or a version that this database never had, tells that the database
    /// was put back: its generation may be ahead then.
    async fn admit(
        &self,
        agent: &Agent,
        hello: &HelloV1,
    ) -> sqlx::Result<Result<Admitted, RefusedV1>> {
        let now = self.shared.clock.now();
        let mut tx = self.shared.db.begin(agent.tenant).await?;
        let Some(held) = agents::store::lock_held(&mut tx, agent.id).await? else {
            return Ok(Err(refuse(RefusalReason::Revoked, A_LONG_WHILE)));
        };
        let counters = store::counters(&mut tx, agent.site).await?;
        let (head, _) = counters.unwrap_or_default();
        let another = hello.epoch != self.shared.standing.epoch && !hello.epoch.is_nil();
        let history = match another || hello.cursor > head {
            true => History::PutBack,
            false => History::Whole,
        };
        let presented = held.generations().present(hello.generation, history);
        let Some(generations) = presented.filter(|_| held.cloned_at.is_none()) else {
            if held.cloned_at.is_none() {
                warn!(agent.id = %agent.id, "Another box uses the identity of agent {}: both are shut out", agent.id);
                agents::store::cloned(&mut tx, agent.id, now).await?;
                tx.commit().await?;
                self.shared.agents.cut(agent.id);
            }
            return Ok(Err(refuse(RefusalReason::Cloned, A_LONG_WHILE)));
        };
        let version = agents::short(&hello.version);
        agents::store::seen(&mut tx, agent.id, generations, Some(&version), now).await?;
        let metered = hello.capabilities.iter().any(|word| word == METERED);
        agents::store::put_metered(&mut tx, agent.id, metered).await?;
        store::inherit_marks(&mut tx, agent, hello.outbox).await?;
        let marks = store::marks(&mut tx, agent.id, hello.outbox).await?;
        tx.commit().await?;
        Ok(Ok(Admitted {
            generation: generations.offered,
            marks,
            head,
            addresses: held.addresses,
        }))
    }

    /// Where the agent hears the others of its site, when that is news. They find each other a hello later
    /// where it cannot be noted.
    async fn note_addresses(&self, agent: &Agent, known: &[String], hello: &HelloV1) {
        let told = hello.addresses.iter().take(MOST_ADDRESSES);
        let told: Vec<String> = told.map(ToString::to_string).collect();
        if told == known {
            return;
        }
        let noted = async {
            let mut tx = self.shared.db.begin(agent.tenant).await?;
            agents::keepers::note_addresses(&mut tx, agent, &told).await?;
            tx.commit().await
        };
        if let Err(cause) = noted.await {
            warn!(%cause, agent.id = %agent.id, "Cannot note where an agent hears the others of its site");
        }
    }

    /// Hears what the agent says about the feed.
    async fn hear(&self, mut source: Source, presence: &Presence, window: &Window) -> PipeError {
        loop {
            let ack = match source.receive().await {
                Ok(Some(Message::FeedAck(ack))) => ack,
                Ok(Some(_)) => return PipeError::Unexpected,
                Ok(None) => return PipeError::Ended,
                Err(error) => return error,
            };
            match ack {
                FeedAck::V1 { cursor } => {
                    presence.note_stored(cursor);
                    if !window.acknowledged() {
                        return PipeError::Unexpected;
                    }
                }
                FeedAck::NeedSnapshot => {
                    // Asked first, so that the sender sees it before it sees room.
                    window.ask_snapshot();
                    if !window.acknowledged() {
                        return PipeError::Unexpected;
                    }
                }
                FeedAck::Holds { generation } => {
                    if generation != self.offered.load(Ordering::Relaxed) {
                        return PipeError::Unexpected;
                    }
                    match Box::pin(self.count(&presence.agent, generation)).await {
                        Ok(true) => drop(self.counts.send_replace(true)),
                        // Another link of this identity came further.
                        Ok(false) => return PipeError::Unexpected,
                        Err(cause) => {
                            warn!(%cause, "Cannot note an agent's generation; it is asked again");
                            return PipeError::Ended;
                        }
                    }
                }
            }
        }
    }

    async fn count(&self, agent: &Agent, generation: u64) -> sqlx::Result<bool> {
        let now = self.shared.clock.now();
        let mut tx = self.shared.db.begin(agent.tenant).await?;
        // Whoever changes what sites know locks that first.
        let first = agents::store::counted(&mut tx, agent.id).await? == Some(0);
        if first {
            sites::stand_still(&mut tx).await?;
        }
        let held = agents::store::lock_held(&mut tx, agent.id).await?;
        let held = held.filter(|held| held.cloned_at.is_none());
        let Some(generations) = held.and_then(|held| held.generations().hold(generation)) else {
            return Ok(false);
        };
        agents::store::seen(&mut tx, agent.id, generations, None, now).await?;
        if first {
            agents::keepers::settle(&mut tx, agent.site).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// An uplink pipe: batches in order, each answered.
    async fn uplink(&self, mut pipe: Pipe, first: UpBatch) -> Result<(), PipeError> {
        let Caller::Agent(agent) = self.caller else {
            return Err(PipeError::Unexpected);
        };
        if !self.comes_to_count().await {
            return Err(PipeError::Unexpected);
        }
        let generation = self.offered.load(Ordering::Relaxed);
        let mut batch = first;
        loop {
            if batch.records.len() > MOST_RECORDS {
                return Err(PipeError::Unexpected);
            }
            let shared = &self.shared;
            let alone = self.storing.lock().await;
            let turn = shared.uplinks.acquire().await;
            let now = shared.clock.now();
            let taken = uplink::take(shared, &agent, generation, &batch, now);
            let taken = Box::pin(taken).await;
            drop((turn, alone));
            let ack = match taken {
                Taken::Told(ack) => ack,
                Taken::Overtaken => {
                    warn!(agent.id = %agent.id, "Another link of agent {} counts; this one is cut", agent.id);
                    self.cut.cancel();
                    return Err(PipeError::Unexpected);
                }
            };
            pipe.sink.send(&Message::UpAck(ack)).await?;
            batch = match pipe.source.receive().await? {
                Some(Message::Up(batch)) => batch,
                Some(_) => return Err(PipeError::Unexpected),
                None => return Ok(()),
            };
        }
    }

    /// Waits for the agent to count; whether it does. Who was not greeted is not waited for.
    async fn comes_to_count(&self) -> bool {
        if !self.is_greeted() {
            return false;
        }
        let mut counts = self.counts.subscribe();
        let counts = tokio::time::timeout(FIRST_WORD, counts.wait_for(|counts| *counts));
        matches!(counts.await, Ok(Ok(_)))
    }

    /// A question from the agent.
    async fn question(&self, mut pipe: Pipe, asked: &Ask) -> Result<(), PipeError> {
        let within = Duration::from_millis(u64::from(asked.deadline_millis)).min(LONGEST_ANSWER);
        let answered = match AgentQuestion::decode(&asked.body) {
            Err(_) => Err(AskFailure::NotUnderstood),
            Ok(question) => tokio::time::timeout(within, self.answer(question))
                .await
                .unwrap_or(Err(AskFailure::TimedOut)),
        };
        let answer = match answered {
            Ok(reply) => Answer::Body(reply.encode()),
            Err(failure) => Answer::Failed(failure),
        };
        pipe.sink.send(&Message::Answer(answer)).await?;
        pipe.sink.finish().await
    }

    async fn answer(&self, question: AgentQuestion) -> Result<CloudReply, AskFailure> {
        let agent = match (self.caller, &question) {
            (Caller::Agent(agent), _) | (Caller::Late(agent), AgentQuestion::Renew { .. }) => agent,
            (Caller::Late(_) | Caller::Nobody, _) => {
                return Err(AskFailure::Refused(
                    RefusalReason::Revoked.sentence().to_owned(),
                ));
            }
        };
        let needs_no_greeting = match question {
            AgentQuestion::Ping | AgentQuestion::Renew { .. } => true,
            AgentQuestion::Voucher { .. }
            | AgentQuestion::Condition(_)
            | AgentQuestion::Authority(_) => false,
        };
        // What is asked changes things: a box that was shut out, or a copy, changes nothing.
        if !needs_no_greeting && !self.comes_to_count().await {
            return Err(AskFailure::Refused(
                "this agent was not let in, so it is not answered".to_owned(),
            ));
        }
        match question {
            AgentQuestion::Ping => Ok(CloudReply::Pong {
                now: self.shared.clock.now(),
            }),
            AgentQuestion::Voucher { digest, mac, voted } => {
                let shown = Shown {
                    digest,
                    customer: None,
                    mac,
                    agent: Some(agent),
                    released: None,
                    voted,
                };
                self.voucher(agent, shown).await
            }
            AgentQuestion::Condition(condition) => {
                let now = self.shared.clock.now();
                sites::edge::note_condition(&self.shared.db, &agent, condition, now)
                    .await
                    .map(|()| CloudReply::Noted)
                    .map_err(|error| {
                        warn!(%error, agent.id = %agent.id, "Did not note an agent's condition");
                        AskFailure::Unreachable("the cloud cannot note it now".to_owned())
                    })
            }
            AgentQuestion::Authority(told) => {
                let now = self.shared.clock.now();
                let (db, secrets) = (&self.shared.db, &self.shared.secrets);
                match sites::authorities::tell(db, secrets, &agent, &told, now).await {
                    Ok(None) => Ok(CloudReply::Noted),
                    Ok(Some(other)) => Ok(CloudReply::Authority(other)),
                    Err(error @ AuthorityError::Unusable) => {
                        Err(AskFailure::Refused(error.to_string()))
                    }
                    Err(error) => {
                        warn!(%error, agent.id = %agent.id, "Did not note an agent's access authority");
                        Err(AskFailure::Unreachable(
                            "the cloud cannot note it now".to_owned(),
                        ))
                    }
                }
            }
            AgentQuestion::Renew { csr } => {
                let authority = &self.shared.standing.authority;
                let now = self.shared.clock.now();
                agents::renew(&self.shared.db, authority, &agent, &csr, now)
                    .await
                    .map(|chain| CloudReply::Certificate {
                        chain,
                        authorities: authority.believed(),
                    })
                    .map_err(|error| {
                        warn!(%error, agent.id = %agent.id, "Did not renew a certificate");
                        AskFailure::Refused("the certificate was not renewed".to_owned())
                    })
            }
        }
    }
}

impl Session {
    /// A code that is held elsewhere than at the agent that asks.
    async fn voucher(&self, agent: Agent, shown: Shown) -> Result<CloudReply, AskFailure> {
        let shared = &self.shared;
        let (tenant, actor) = (agent.tenant, Actor::agent(agent.id));
        let asked = vouchers::show(
            &shared.db,
            &shared.secrets,
            &shared.questions,
            tenant,
            shown,
            &actor,
            &shared.clock,
        );
        match asked.await {
            Ok(let_in) => Ok(CloudReply::Voucher(let_in.voucher)),
            Err(VoucherError::Unknown) => Err(AskFailure::NotFound),
            Err(VoucherError::HeldBy { .. }) => Err(AskFailure::Unreachable(
                "the site that holds it is not reached".to_owned(),
            )),
            Err(error) => match error.into_database() {
                Ok(cause) => {
                    warn!(%cause, "Cannot look a voucher up");
                    Err(AskFailure::Busy)
                }
                Err(no) => Err(AskFailure::Refused(no.to_string())),
            },
        }
    }
}

/// On what terms an agent was let in.
struct Admitted {
    /// What it is offered.
    generation: u64,
    /// How far its outbox is stored.
    marks: Vec<(u8, u64)>,
    /// The site's newest version.
    head: u64,
    /// Where it heard the others of its site before.
    addresses: Vec<String>,
}

fn refuse(reason: RefusalReason, retry_after: Duration) -> RefusedV1 {
    RefusedV1 {
        reason,
        retry_after_secs: u32::try_from(retry_after.as_secs()).unwrap_or(u32::MAX),
    }
}

const NOT_GREETED: u64 = u64::MAX;
/// A box has a few networks.
const MOST_ADDRESSES: usize = 4;
const FIRST_WORD: Duration = Duration::from_secs(10);
/// A caller who says no hello may renew his certificate and must go.
const UNGREETED: Duration = Duration::from_secs(30);
/// Twice what an agent sends at once.
const MOST_RECORDS: usize = 1_000;
const LONGEST_ANSWER: Duration = Duration::from_secs(60);
const A_WHILE: Duration = Duration::from_secs(10);
/// What only a person can change; often enough that it is noticed when he did.
const A_LONG_WHILE: Duration = Duration::from_secs(60);
