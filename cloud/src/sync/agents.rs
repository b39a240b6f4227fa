//! Which agents are connected to this node, and how to ask them something.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use easyisp_shared::id::{AccessGrantId, AgentId, SiteId, TenantId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::Message;
use easyisp_shared::wire::access::{CONNECTIONS_OF_AGENT, ThroughV1};
use easyisp_shared::wire::question::{Answer, Ask, AskFailure, Question, Reply};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::pipe::{Carrier, Pipe, PipeError, Traffic};
use crate::sites::agents::Agent;

/// The agents connected to this node. Cloning shares them.
#[derive(Clone, Default)]
pub struct Agents {
    connected: Arc<Mutex<HashMap<AgentId, Arc<Presence>>>>,
    /// What the connections moved that ended.
    ended: Arc<Mutex<Traffic>>,
    /// Rings when one came or left.
    changed: Arc<Notify>,
}

/// One connected agent.
pub struct Presence {
    /// Who it is.
    pub agent: Agent,
    /// Since when.
    pub since: Timestamp,
    /// The generation that it was offered: one that counts beyond it is that of another link.
    pub(super) offered: u64,
    /// Ends the connection.
    pub(super) cut: CancellationToken,
    carrier: Arc<dyn Carrier>,
    /// The site version that was sent last.
    sent: AtomicU64,
    /// The site version that the agent says it has stored.
    stored: AtomicU64,
    questions: Semaphore,
    /// Connections by ways to devices.
    ways: Arc<Semaphore>,
}

impl Agents {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Octets to and from agents since the start.
    pub fn traffic(&self) -> Traffic {
        let here = self.all();
        let mut all = *self.ended.lock().expect("no code panics under this lock");
        for presence in here {
            all.add(presence.carrier.traffic());
        }
        all
    }

    /// Whether an agent is connected here, and since when.
    pub fn since(&self, agent: AgentId) -> Option<Timestamp> {
        self.lock().get(&agent).map(|presence| presence.since)
    }

    /// How many agents of a site are connected here.
    pub fn connected(&self, tenant: TenantId, site: SiteId) -> usize {
        self.of_site(tenant, site).len()
    }

    /// Asks an agent of a tenant's site; where there are several, the one that was here longest. All of them
    /// where sessions are to end: each knows those that were told to it.
    ///
    /// [`AskFailure::Unreachable`] at once where none is connected.
    pub async fn ask(
        &self,
        tenant: TenantId,
        site: SiteId,
        question: &Question,
        within: Duration,
    ) -> Result<Reply, AskFailure> {
        let mut here = self.of_site(tenant, site);
        if let Question::Disconnect(_) = question
            && here.len() > 1
        {
            return disconnect_at_all(&here, question, within).await;
        }
        here.sort_by_key(|presence| (presence.since, presence.agent.id));
        match here.first() {
            Some(presence) => presence.ask(question, within).await,
            None => Err(AskFailure::Unreachable(
                "no agent of this site is connected".to_owned(),
            )),
        }
    }

    /// Asks one agent; [`AskFailure::Unreachable`] at once where it is not connected here.
    pub async fn ask_agent(
        &self,
        tenant: TenantId,
        agent: AgentId,
        question: &Question,
        within: Duration,
    ) -> Result<Reply, AskFailure> {
        let here = self.lock().get(&agent).cloned();
        match here.filter(|presence| presence.agent.tenant == tenant) {
            Some(presence) => presence.ask(question, within).await,
            None => Err(AskFailure::Unreachable(
                "this agent is not connected".to_owned(),
            )),
        }
    }

    /// The agent of a site that was here longest.
    pub fn first(&self, tenant: TenantId, site: SiteId) -> Option<AgentId> {
        let here = self.of_site(tenant, site);
        let first = here
            .into_iter()
            .min_by_key(|presence| (presence.since, presence.agent.id));
        first.map(|presence| presence.agent.id)
    }

    /// A connection by a way that an agent opened, with its place among those of the agent.
    pub async fn through(
        &self,
        tenant: TenantId,
        agent: AgentId,
        grant: AccessGrantId,
    ) -> Result<(Pipe, OwnedSemaphorePermit), AskFailure> {
        let here = self.lock().get(&agent).cloned();
        match here.filter(|presence| presence.agent.tenant == tenant) {
            Some(presence) => presence.through(grant).await,
            None => Err(AskFailure::Unreachable(
                "this agent is not connected".to_owned(),
            )),
        }
    }

    /// Rings when an agent came or left; for one listener.
    pub fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Cuts an agent's connection, if it is connected here.
    pub fn cut(&self, agent: AgentId) {
        if let Some(presence) = self.lock().get(&agent) {
            presence.cut.cancel();
        }
    }

    /// Adds a connection for as long as the answer is held; an older one of the same agent is cut.
    pub(super) fn arrive(
        &self,
        agent: Agent,
        (since, offered): (Timestamp, u64),
        carrier: Arc<dyn Carrier>,
        cut: CancellationToken,
    ) -> Stay {
        let presence = Arc::new(Presence {
            agent,
            since,
            offered,
            cut,
            carrier,
            sent: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            questions: Semaphore::new(MOST_QUESTIONS),
            ways: Arc::new(Semaphore::new(CONNECTIONS_OF_AGENT)),
        });
        if let Some(older) = self.lock().insert(agent.id, presence.clone()) {
            older.cut.cancel();
        }
        self.changed.notify_one();
        Stay {
            agents: self.clone(),
            presence,
        }
    }

    /// Everyone who is connected here.
    pub fn all(&self) -> Vec<Arc<Presence>> {
        self.lock().values().cloned().collect()
    }

    fn of_site(&self, tenant: TenantId, site: SiteId) -> Vec<Arc<Presence>> {
        let of_site = |presence: &&Arc<Presence>| {
            presence.agent.site == site && presence.agent.tenant == tenant
        };
        self.lock().values().filter(of_site).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AgentId, Arc<Presence>>> {
        self.connected
            .lock()
            .expect("no code panics under this lock")
    }
}

async fn disconnect_at_all(
    here: &[Arc<Presence>],
    question: &Question,
    within: Duration,
) -> Result<Reply, AskFailure> {
    let asked = here.iter().map(|presence| presence.ask(question, within));
    merged(futures_util::future::join_all(asked).await)
}

/// What several agents made of ending the same sessions.
pub fn merged(answers: Vec<Result<Reply, AskFailure>>) -> Result<Reply, AskFailure> {
    let (mut all, mut silent) = ((0, 0), None);
    for answer in answers {
        match answer {
            Ok(Reply::Disconnected { ended, unconfirmed }) => {
                all = (all.0 + ended, all.1 + unconfirmed);
            }
            Ok(_) => silent = Some(AskFailure::NotUnderstood),
            Err(failure) => silent = Some(failure),
        }
    }
    match (all, silent) {
        ((0, 0), Some(failure)) => Err(failure),
        ((ended, unconfirmed), silent) => Ok(Reply::Disconnected {
            ended,
            // Who did not answer may have sessions of his: they go the durable way.
            unconfirmed: unconfirmed + u32::from(silent.is_some()),
        }),
    }
}

impl Presence {
    /// Asks this agent; waits `within` at most.
    pub async fn ask(&self, question: &Question, within: Duration) -> Result<Reply, AskFailure> {
        let _turn = self.questions.try_acquire().map_err(|_| AskFailure::Busy)?;
        match tokio::time::timeout(within, self.exchange(question, within)).await {
            Err(_) => Err(AskFailure::TimedOut),
            Ok(Err(error)) => Err(AskFailure::Unreachable(error.to_string())),
            Ok(Ok(Answer::Failed(failure))) => Err(failure),
            Ok(Ok(Answer::Body(body))) => {
                Reply::decode(&body).map_err(|_| AskFailure::NotUnderstood)
            }
        }
    }

    async fn through(
        &self,
        grant: AccessGrantId,
    ) -> Result<(Pipe, OwnedSemaphorePermit), AskFailure> {
        let turn = self.ways.clone().try_acquire_owned();
        let turn = turn.map_err(|_| AskFailure::Busy)?;
        let opened = async {
            let mut pipe = self.carrier.open().await?;
            pipe.sink.give_way();
            let through = Message::Through(ThroughV1::V1 { grant });
            pipe.sink.send(&through).await?;
            match pipe.source.receive().await? {
                Some(Message::Answer(answer)) => Ok((pipe, answer)),
                Some(_) => Err(PipeError::Unexpected),
                None => Err(PipeError::Ended),
            }
        };
        match opened.await {
            Ok((pipe, Answer::Body(_))) => Ok((pipe, turn)),
            Ok((_, Answer::Failed(failure))) => Err(failure),
            Err(error) => Err(AskFailure::Unreachable(error.to_string())),
        }
    }

    /// The site version that the agent says it has stored.
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    pub(super) fn note_stored(&self, cursor: u64) {
        self.stored.store(cursor, Ordering::Relaxed);
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) fn note_sent(&self, version: u64) {
        self.sent.store(version, Ordering::Relaxed);
    }

    async fn exchange(&self, question: &Question, within: Duration) -> Result<Answer, PipeError> {
        let mut pipe = self.carrier.open().await?;
        let asked = Message::Ask(Ask {
            deadline_millis: u32::try_from(within.as_millis()).unwrap_or(u32::MAX),
            body: question.encode(),
        });
        pipe.sink.send(&asked).await?;
        match pipe.source.receive().await? {
            Some(Message::Answer(answer)) => Ok(answer),
            Some(_) => Err(PipeError::Unexpected),
            None => Err(PipeError::Ended),
        }
    }
}

/// A connection's place among the connected; it ends when this is dropped.
pub(super) struct Stay {
    agents: Agents,
    presence: Arc<Presence>,
}

impl Stay {
    pub(super) fn presence(&self) -> &Arc<Presence> {
        &self.presence
    }
}

impl Drop for Stay {
    /// A newer connection of the same agent keeps the place.
    fn drop(&mut self) {
        let moved = self.presence.carrier.traffic();
        let ended = self.agents.ended.lock();
        ended.expect("no code panics under this lock").add(moved);
        let mut connected = self.agents.lock();
        let id = self.presence.agent.id;
        if connected
            .get(&id)
            .is_some_and(|now| Arc::ptr_eq(now, &self.presence))
        {
            connected.remove(&id);
        }
        self.agents.changed.notify_one();
    }
}

impl std::fmt::Debug for Agents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Agents({})", self.count())
    }
}

/// Questions one agent is asked at once; half of what its carrier allows.
const MOST_QUESTIONS: usize = 8;
