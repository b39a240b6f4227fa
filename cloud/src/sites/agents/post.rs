//! The voucher post: which agent of a site lets vouchers in for the first time, and who takes its place.
//!
//! One agent at a time has the post. It says itself which others may take it (its deputies: they know of
//! every first use before anybody is let in by it), and may at any time say that they may not. A deputy that
//! hears nothing of it takes the post here. Both lock the site's row, so that of two that are cut off from
//! each other the first to ask is right, and the other hears no.

use easyisp_shared::id::AgentId;
use easyisp_shared::time::Timestamp;
use uuid::Uuid;

use super::{Agent, store};
use crate::audit::{self, Action, Actor, Audit};
use crate::db::{Kind, Tx};

/// Who has a site's voucher post.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Post {
    /// The agent; `None` at a site without one.
    pub agent: Option<AgentId>,
    /// How often it became another one.
    pub term: i64,
    /// Who may take its place.
    pub deputies: Vec<AgentId>,
    /// The epoch in which it named them.
    pub epoch: Option<Uuid>,
}

impl Post {
    /// Whether `agent` may take the post in place of who has it in `term`.
    fn may_pass_to(&self, agent: AgentId, term: u64, epoch: Uuid) -> bool {
        // What was said between a backup and its return is not known here: then nobody is a deputy.
        u64::try_from(self.term) == Ok(term)
            && self.epoch == Some(epoch)
            && self.deputies.contains(&agent)
    }
}

/// Notes whom the agent that has the post lets take it; `false` when it does not have it, or not in this
/// term. Locks the site's row until the transaction ends.
pub async fn name_deputies(
    tx: &mut Tx,
    agent: &Agent,
    term: u64,
    deputies: &[AgentId],
    epoch: Uuid,
) -> sqlx::Result<bool> {
    let post = store::lock_post(tx, agent.site).await?;
    let held = post
        .is_some_and(|post| post.agent == Some(agent.id) && u64::try_from(post.term) == Ok(term));
    if held {
        store::put_deputies(tx, agent, deputies, epoch).await?;
    }
    Ok(held)
}

/// Gives the post to a deputy, in place of the one that has it in `term`; the term that begins, or `None`
/// when it may not have it. Asked again by who has it already, it says so again.
///
/// Locks the set of agents, then the site's row, until the transaction ends.
pub async fn take_over(
    tx: &mut Tx,
    agent: &Agent,
    term: u64,
    epoch: Uuid,
    now: Timestamp,
) -> sqlx::Result<Option<u64>> {
    crate::sites::store::lock_set(tx).await?;
    let Some(post) = store::lock_post(tx, agent.site).await? else {
        return Ok(None);
    };
    if post.agent == Some(agent.id) {
        return Ok(u64::try_from(post.term).ok());
    }
    if !post.may_pass_to(agent.id, term, epoch) {
        return Ok(None);
    }
    let begun = store::put_post(tx, agent).await?;
    tx.changed(Kind::Policy, agent.site);
    let before = post.agent.map(|agent| agent.to_string());
    let line = Audit {
        details: format!(
            "lets vouchers in from now on, in place of {}, which is silent",
            before.unwrap_or_default()
        ),
        ..Audit::new(Action::AgentTakeOver, "agent", agent.id, "agent")
    };
    audit::record(tx, &Actor::agent(agent.id), line, now).await?;
    Ok(u64::try_from(begun).ok())
}
