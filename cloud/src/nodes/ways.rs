//! A connection by a way to a device whose agent another node holds: asked for there, and carried between the two.
//!
//! It is one request whose body and whose answer flow at the same time. The node that is asked checks what it checks of a
//! question, and leads to agents that it holds alone; where a way leads is the agent's to know.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use easyisp_shared::id::{AccessGrantId, AgentId, SiteId, TenantId};
use easyisp_shared::wire::access::CHUNK;
use easyisp_shared::wire::question::{Answer, AskFailure};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::DropGuard;

use super::pieces::{self, Pieces, Seals};
use super::rules::{Called, Direction, Told};
use super::store::Held;
use super::{Nodes, changing, http, store, unreachable};
use crate::sync::{Pipe, PipeError, Sink, Source};

/// A connection's place; the connection ends with it.
#[derive(Debug)]
pub enum Place {
    /// Among those of an agent that is connected here.
    Here(OwnedSemaphorePermit),
    /// On the way to another node.
    Elsewhere(DropGuard),
}

impl Nodes {
    /// Which agent of a site leads to its devices: the one that was here longest, else the one that was elsewhere
    /// longest.
    pub async fn leading(&self, tenant: TenantId, site: SiteId) -> Option<AgentId> {
        match self.inner.agents.first(tenant, site) {
            Some(agent) => Some(agent),
            None => {
                let elsewhere = self.elsewhere(tenant, site).await;
                elsewhere.first().map(|held| held.agent)
            }
        }
    }

    /// Whether an agent is connected to any node; a database that does not answer has not said that it is not.
    pub async fn reaches(&self, tenant: TenantId, agent: AgentId) -> bool {
        if self.inner.agents.since(agent).is_some() {
            return true;
        }
        let held = store::of_agent(&self.inner.db, tenant, agent, self.alive()).await;
        held.map_or(true, |held| held.iter().any(|held| self.is_other(held)))
    }

    /// A connection by a way that an agent opened, wherever that is connected.
    pub async fn through(
        &self,
        tenant: TenantId,
        agent: AgentId,
        grant: AccessGrantId,
    ) -> Result<(Pipe, Place), AskFailure> {
        let here = &self.inner.agents;
        if here.since(agent).is_none() {
            let held = self.looked_up(store::of_agent(&self.inner.db, tenant, agent, self.alive()));
            if let Some(held) = held.await.into_iter().find(|held| self.is_other(held)) {
                return self.through_node(tenant, &held, grant).await;
            }
        }
        let (pipe, turn) = here.through(tenant, agent, grant).await?;
        Ok((pipe, Place::Here(turn)))
    }

    async fn through_node(
        &self,
        tenant: TenantId,
        held: &Held,
        grant: AccessGrantId,
    ) -> Result<(Pipe, Place), AskFailure> {
        let inner = &self.inner;
        let called = Called {
            tenant,
            agent: held.agent,
            grant,
            at: inner.clock.now(),
            nonce: inner.db.entropy().bytes(),
        };
        let (out, body) = pieces::body();
        let sealed = called.seal(&inner.key, held.node, inner.db.entropy());
        let url = format!("http://{}{}", held.address, http::WAY);
        let asking = async {
            let sent = inner.client.post(url).body(reqwest::Body::wrap(body));
            let (sent, answer) = tokio::join!(out.send(&sealed), sent.send());
            sent.map_err(anyhow::Error::new)?;
            let mut coming = Pieces::new(reqwest::Body::from(answer?));
            let told = coming.next().await?;
            anyhow::Ok((told, coming))
        };
        let (told, coming) = asking.await.map_err(|error| {
            tracing::warn!(node.id = %held.node, %error, "Node {} leads nowhere", held.node);
            unreachable("does not answer")
        })?;
        match Told::open(&inner.key, &called.nonce, &told) {
            Some(Told::Answer(Answer::Body(_))) => {}
            Some(Told::Answer(Answer::Failed(failure))) => return Err(failure),
            Some(Told::Gone) => return Err(changing()),
            None => return Err(unreachable("refuses the connection")),
        }
        let (near, far) = tokio::io::duplex(CHUNK);
        let stop = inner.stop.child_token();
        let guard = stop.clone().drop_guard();
        let seals = self.seals(&called, Direction::There);
        inner.tasks.spawn(async move {
            let carrying = pieces::carry(seals, far, out, coming);
            if let Some(Err(torn)) = stop.run_until_cancelled(carrying).await {
                tracing::debug!(access.id = %grant, %torn, "A connection by another node broke off");
            }
        });
        let (read, write) = tokio::io::split(near);
        Ok((Pipe::new(write, read), Place::Elsewhere(guard)))
    }

    fn is_other(&self, held: &Held) -> bool {
        held.node != self.inner.id
    }

    fn seals(&self, called: &Called, sends: Direction) -> Seals {
        Seals {
            key: self.inner.key.clone(),
            nonce: called.nonce,
            entropy: self.inner.db.entropy().clone(),
            sends,
        }
    }
}

/// Leads to an agent that is connected here, for a node whose operator goes there.
///
/// 403 to who holds another key, or none, and for what is old or was asked before.
pub(super) async fn through(
    State(nodes): State<Nodes>,
    request: Request,
) -> Result<Response, StatusCode> {
    let inner = &nodes.inner;
    let mut coming = Pieces::new(request.into_body());
    let first = tokio::time::timeout(PATIENCE, coming.next()).await;
    let Ok(Ok(first)) = first else {
        return Err(StatusCode::FORBIDDEN);
    };
    let called = Called::open(&inner.key, inner.id, &first).ok_or(StatusCode::FORBIDDEN)?;
    nodes.is_new(called.at, called.nonce)?;
    let (told, led) = led(&nodes, &called).await;
    let (out, body) = pieces::body();
    let sealed = told.seal(&inner.key, &called.nonce, inner.db.entropy());
    let begun = out.send(&sealed).await;
    begun.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    if let Some((pipe, turns)) = led {
        let (near, far) = tokio::io::duplex(CHUNK);
        let seals = nodes.seals(&called, Direction::Back);
        let stop = inner.stop.child_token();
        inner.tasks.spawn(async move {
            let _held = turns;
            let (read, write) = tokio::io::split(near);
            let between = async {
                let carried = async { Ok(pieces::carry(seals, far, out, coming).await?) };
                tokio::try_join!(carried, relay(Pipe::new(write, read), pipe)).map(|_| ())
            };
            let ended: Option<anyhow::Result<()>> = stop.run_until_cancelled(between).await;
            if let Some(Err(torn)) = ended {
                tracing::debug!(access.id = %called.grant, %torn, "A connection for another node broke off");
            }
        });
    }
    Ok(Response::new(Body::new(body)))
}

type Led = (Pipe, [OwnedSemaphorePermit; 2]);

async fn led(nodes: &Nodes, called: &Called) -> (Told, Option<Led>) {
    let inner = &nodes.inner;
    let failed = |failure| (Told::Answer(Answer::Failed(failure)), None);
    let Ok(turn) = inner.ways.clone().try_acquire_owned() else {
        return failed(AskFailure::Busy);
    };
    if inner.agents.since(called.agent).is_none() {
        return (Told::Gone, None);
    }
    let leading = inner
        .agents
        .through(called.tenant, called.agent, called.grant);
    match tokio::time::timeout(PATIENCE, leading).await {
        Ok(Ok((pipe, of_agent))) => {
            let told = Told::Answer(Answer::Body(Vec::new()));
            (told, Some((pipe, [turn, of_agent])))
        }
        Ok(Err(failure)) => failed(failure),
        Err(_) => failed(AskFailure::TimedOut),
    }
}

/// Passes on what both say, until both have said everything.
async fn relay(near: Pipe, agent: Pipe) -> anyhow::Result<()> {
    let there = pass(near.source, agent.sink);
    let back = pass(agent.source, near.sink);
    tokio::try_join!(there, back)?;
    Ok(())
}

async fn pass(mut from: Source, mut to: Sink) -> Result<(), PipeError> {
    while let Some(message) = from.receive().await? {
        to.send(&message).await?;
    }
    to.finish().await
}

/// How long an agent may take to lead to a device, and a node to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
