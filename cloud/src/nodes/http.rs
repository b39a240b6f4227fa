//! Where other nodes ask: a listener of its own, which understands nothing that is not sealed.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::FRAME_CAP;
use easyisp_shared::wire::question::{Answer, AskFailure, Question};

use super::rules::{Passed, Told};
use super::{Nodes, ways};

/// Where a question is posted.
pub(super) const PATH: &str = "/question";
/// Where a connection by a way is asked for.
pub(super) const WAY: &str = "/way";

/// What other nodes reach.
pub fn router(nodes: Nodes) -> Router {
    Router::new()
        .route(PATH, post(answer))
        .route(WAY, post(ways::through))
        .layer(DefaultBodyLimit::max(MOST_QUESTION))
        .with_state(nodes)
}

/// Asks an agent that is connected here what another node passed on.
///
/// 403 to who holds another key, or none, and for what is old or was asked before.
async fn answer(State(nodes): State<Nodes>, sealed: Bytes) -> Result<Vec<u8>, StatusCode> {
    let inner = &nodes.inner;
    let passed = Passed::open(&inner.key, inner.id, &sealed).ok_or(StatusCode::FORBIDDEN)?;
    nodes.is_new(passed.at, passed.nonce)?;
    let told = told(&nodes, &passed).await;
    Ok(told.seal(&inner.key, &passed.nonce, inner.db.entropy()))
}

impl Nodes {
    /// 403 for what is old or was asked before.
    pub(super) fn is_new(&self, at: Timestamp, nonce: [u8; 16]) -> Result<(), StatusCode> {
        let mut asked = self
            .inner
            .asked
            .lock()
            .expect("no code panics under this lock");
        let is_new = asked.is_new(at, nonce, self.inner.clock.now());
        is_new.then_some(()).ok_or(StatusCode::FORBIDDEN)
    }
}

async fn told(nodes: &Nodes, passed: &Passed) -> Told {
    let inner = &nodes.inner;
    let failed = |failure| Told::Answer(Answer::Failed(failure));
    let Ok(_turn) = inner.turns.try_acquire() else {
        return failed(AskFailure::Busy);
    };
    let Ok(question) = Question::decode(&passed.question) else {
        return failed(AskFailure::NotUnderstood);
    };
    if inner.agents.since(passed.agent).is_none() {
        return Told::Gone;
    }
    let (tenant, agent) = (passed.tenant, passed.agent);
    let asked = inner
        .agents
        .ask_agent(tenant, agent, &question, passed.patience());
    match asked.await {
        Ok(reply) => Told::Answer(Answer::Body(reply.encode())),
        Err(failure) => failed(failure),
    }
}

/// A question is one frame to the agent; this is above.
const MOST_QUESTION: usize = FRAME_CAP * 2;
