//! The nodes of one cloud are equal: an agent is connected to any of them, and a question for it is asked at
//! any other. Each node writes which agents it holds; a question for one that is held elsewhere is passed on
//! to that node, once, and its answer comes back as it is.
//!
//! What travels is the question, unchanged, and not the HTTP request that led to it. One request may ask several
//! sites, whose agents are held by several nodes, or both agents of one site; jobs ask sites and agents ask for
//! each other's vouchers without any request; and a request that were done over again at another node would be
//! in the trail twice. Who may ask is decided where the request came in. The node that is asked checks anew what
//! only it can know: that the asker is a node of this cloud (whoever holds the master key), that the question is
//! fresh and was not asked before, and that the agent is connected to it and is that tenant's. It never passes a
//! question on: it asks the agents that it holds, and nobody else. A person's connection to a device goes the same way,
//! piece by piece, under the same key.
//!
//! Addresses are those that nodes wrote of themselves, and nothing that a tenant types becomes one.

mod http;
mod pieces;
mod presence;
mod rules;
mod store;
mod ways;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use easyisp_shared::id::{AgentId, SiteId, TenantId};
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::FRAME_CAP;
use easyisp_shared::wire::question::{Answer, AskFailure, Question, Reply};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub use http::router;
pub use ways::Place;

use crate::db::{BoxFuture, Database};
use crate::outbound;
use crate::secrets::Secrets;
use crate::sites::Questions;
use crate::sites::live::Door;
use crate::sync::{Agents, merged};
use rules::{Asked, LEASE, Passed, Told};
use store::Held;

/// This node among the others. Cloning shares it.
#[derive(Clone)]
pub struct Nodes {
    inner: Arc<Inner>,
}

struct Inner {
    id: Uuid,
    key: SealKey,
    db: Database,
    clock: Clock,
    agents: Agents,
    client: reqwest::Client,
    asked: Mutex<Asked>,
    turns: Semaphore,
    /// Connections by ways that other nodes ask for.
    ways: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Nodes {
    /// The node that holds these agents' connections.
    pub fn new(db: Database, clock: Clock, secrets: &Secrets, agents: Agents) -> Nodes {
        let id = uuid::Builder::from_random_bytes(db.entropy().bytes()).into_uuid();
        Nodes {
            inner: Arc::new(Inner {
                id,
                key: SealKey::new(*secrets.derive("questions between nodes")),
                db,
                clock,
                agents,
                client: outbound::node_client(),
                asked: Mutex::default(),
                turns: Semaphore::new(MOST_AT_ONCE),
                ways: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
            }),
        }
    }

    /// How features ask an agent, wherever it is connected.
    pub fn questions(&self) -> Questions {
        let nodes = self.clone();
        Questions::new(Arc::new(move |tenant, agent, question, within| {
            let nodes = nodes.clone();
            Box::pin(async move { nodes.ask_agent(tenant, agent, &question, within).await })
        }))
    }

    /// Asks an agent, wherever it is connected.
    pub async fn ask_agent(
        &self,
        tenant: TenantId,
        agent: AgentId,
        question: &Question,
        within: Duration,
    ) -> Result<Reply, AskFailure> {
        let here = &self.inner.agents;
        if here.since(agent).is_none() {
            let held = self.looked_up(store::of_agent(&self.inner.db, tenant, agent, self.alive()));
            let elsewhere = |held: &Held| held.node != self.inner.id;
            if let Some(held) = held.await.into_iter().find(elsewhere) {
                return self.pass(tenant, &held, question, within).await;
            }
        }
        here.ask_agent(tenant, agent, question, within).await
    }

    /// Asks a site: an agent that is here where there is one, else the one that was elsewhere longest. All of
    /// them, wherever they are, where sessions are to end.
    async fn ask_site(
        &self,
        tenant: TenantId,
        site: SiteId,
        question: &Question,
        within: Duration,
    ) -> Option<Result<Reply, AskFailure>> {
        let agents = &self.inner.agents;
        let here = agents.connected(tenant, site) > 0;
        let everyone = matches!(question, Question::Disconnect(_));
        if here && !everyone {
            return Some(agents.ask(tenant, site, question, within).await);
        }
        let elsewhere = self.elsewhere(tenant, site).await;
        match (here, elsewhere.first()) {
            (false, None) => None,
            (true, None) => Some(agents.ask(tenant, site, question, within).await),
            (false, Some(first)) if !everyone => {
                Some(self.pass(tenant, first, question, within).await)
            }
            (here, Some(_)) => {
                let passed = elsewhere
                    .iter()
                    .map(|held| self.pass(tenant, held, question, within));
                let passed = futures_util::future::join_all(passed);
                let own = async {
                    match here {
                        true => Some(agents.ask(tenant, site, question, within).await),
                        false => None,
                    }
                };
                let (mut answers, own) = tokio::join!(passed, own);
                answers.extend(own);
                Some(merged(answers))
            }
        }
    }

    /// The agents of a site that other nodes hold.
    async fn elsewhere(&self, tenant: TenantId, site: SiteId) -> Vec<Held> {
        let (db, alive) = (&self.inner.db, self.alive());
        let mut held = self
            .looked_up(store::of_site(db, tenant, site, alive))
            .await;
        // What this node wrote before an agent came back to it, or of one that has just left.
        held.retain(|held| {
            held.node != self.inner.id && self.inner.agents.since(held.agent).is_none()
        });
        held
    }

    fn alive(&self) -> Timestamp {
        self.inner.clock.now().minus(LEASE)
    }

    /// A database that does not answer leaves what is here.
    async fn looked_up(&self, held: impl Future<Output = sqlx::Result<Vec<Held>>>) -> Vec<Held> {
        held.await.unwrap_or_else(|cause| {
            tracing::warn!(%cause, "Cannot look up which node holds an agent: {cause}");
            Vec::new()
        })
    }

    /// Passes a question on to the node that holds an agent. Never again: what became of it is then known to
    /// that node alone.
    async fn pass(
        &self,
        tenant: TenantId,
        held: &Held,
        question: &Question,
        within: Duration,
    ) -> Result<Reply, AskFailure> {
        let inner = &self.inner;
        let passed = Passed {
            tenant,
            agent: held.agent,
            at: inner.clock.now(),
            nonce: inner.db.entropy().bytes(),
            within_millis: u32::try_from(within.as_millis()).unwrap_or(u32::MAX),
            question: question.encode(),
        };
        let sealed = passed.seal(&inner.key, held.node, inner.db.entropy());
        let told = match self.exchange(held, sealed, within).await {
            Ok(told) => Told::open(&inner.key, &passed.nonce, &told),
            Err(error) if error.is_timeout() && !error.is_connect() => {
                return Err(AskFailure::TimedOut);
            }
            Err(error) => {
                tracing::warn!(node.id = %held.node, %error, "Node {} does not answer", held.node);
                return Err(unreachable("does not answer"));
            }
        };
        match told {
            Some(Told::Answer(Answer::Body(body))) => {
                Reply::decode(&body).map_err(|_| AskFailure::NotUnderstood)
            }
            Some(Told::Answer(Answer::Failed(failure))) => Err(failure),
            Some(Told::Gone) => Err(changing()),
            None => {
                tracing::warn!(node.id = %held.node, "Node {} answers what no node of this cloud would; \
                    have all nodes the same master key and time?", held.node);
                Err(unreachable("refuses the question"))
            }
        }
    }

    async fn exchange(
        &self,
        held: &Held,
        sealed: Vec<u8>,
        within: Duration,
    ) -> reqwest::Result<Vec<u8>> {
        let url = format!("http://{}{}", held.address, http::PATH);
        let sent = self.inner.client.post(url).timeout(within).body(sealed);
        let mut answer = sent.send().await?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > MOST_ANSWER {
                break; // what is cut off does not open
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn changing() -> AskFailure {
    AskFailure::Unreachable(
        "its agent is changing from one node of the cloud to another; try again".to_owned(),
    )
}

fn unreachable(what: &str) -> AskFailure {
    AskFailure::Unreachable(format!(
        "the node of the cloud that its agent is connected to {what}"
    ))
}

impl Door for Nodes {
    fn ask<'a>(
        &'a self,
        tenant: TenantId,
        site: SiteId,
        question: &'a Question,
        within: Duration,
    ) -> BoxFuture<'a, Option<Result<Reply, AskFailure>>> {
        Box::pin(self.ask_site(tenant, site, question, within))
    }

    fn connected(&self, tenant: TenantId, site: SiteId) -> BoxFuture<'_, usize> {
        Box::pin(async move {
            let here = self.inner.agents.connected(tenant, site);
            here + self.elsewhere(tenant, site).await.len()
        })
    }
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Nodes({})", self.inner.id)
    }
}

/// Questions of other nodes under way at once; each agent has a bound of its own.
const MOST_AT_ONCE: usize = 512;
/// Each holds one of the 256 connections that other nodes have here; the rest is for questions.
const MOST_CONNECTIONS: usize = 128;
/// An agent's answer is one frame; this is above.
const MOST_ANSWER: usize = FRAME_CAP * 2;
