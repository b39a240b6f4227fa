//! Commands on their way to agents, and agents' answers.

use std::sync::Arc;

use easyisp_shared::id::{CommandId, SiteId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::up::{CommandOutcome, CommandResultV1};

use super::store;
use crate::db::{Kind, Projector, Tx};

/// Projects commands that wait for an answer; an answered one is gone from its site.
pub fn projector() -> Projector {
    Arc::new(|tx, ids| Box::pin(store::waiting(tx, ids)))
}

/// Applies the answers of one site's agent, all at once. Repeats change nothing.
pub async fn finish(tx: &mut Tx, site: SiteId, results: &[CommandResultV1]) -> sqlx::Result<()> {
    let ids: Vec<CommandId> = results.iter().map(|result| result.command).collect();
    let sentences: Vec<String> = results
        .iter()
        .map(|result| sentence(&result.outcome))
        .collect();
    let at: Vec<Timestamp> = results.iter().map(|result| result.at).collect();
    for command in store::finish(tx, site, &ids, &sentences, &at).await? {
        tx.changed(Kind::Command, command);
    }
    Ok(())
}

fn sentence(outcome: &CommandOutcome) -> String {
    match outcome {
        CommandOutcome::Done { sessions: 1 } => "Done for 1 session.".to_owned(),
        CommandOutcome::Done { sessions } => format!("Done for {sessions} sessions."),
        CommandOutcome::NothingThere => "Nobody was online.".to_owned(),
        CommandOutcome::TooLate => "It reached the site too late and was not done.".to_owned(),
        // PostgreSQL text holds everything but NUL.
        CommandOutcome::Failed(why) => why.chars().filter(|c| *c != '\0').take(500).collect(),
    }
}
