//! Asking a connected agent, for features above the door that agents come in by.

use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::id::{AgentId, TenantId};
use easyisp_shared::wire::question::{AskFailure, Question, Reply};

use crate::db::BoxFuture;

/// Asks one agent of a tenant.
pub type Ask = dyn Fn(TenantId, AgentId, Question, Duration) -> BoxFuture<'static, Result<Reply, AskFailure>>
    + Send
    + Sync;

/// How to ask agents; the application says who carries it.
#[derive(Clone)]
pub struct Questions(Arc<Ask>);

impl Questions {
    /// Through this function.
    pub fn new(ask: Arc<Ask>) -> Questions {
        Questions(ask)
    }

    /// Asks an agent; waits `within` at most. [`AskFailure::Unreachable`] at once where it is not connected.
    pub async fn ask(
        &self,
        tenant: TenantId,
        agent: AgentId,
        question: Question,
        within: Duration,
    ) -> Result<Reply, AskFailure> {
        (self.0)(tenant, agent, question, within).await
    }
}

impl std::fmt::Debug for Questions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Questions")
    }
}
