//! Commands on their way to agents, and agents' answers.

use std::sync::Arc;

use easyisp_shared::id::CommandId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::up::{CommandOutcome, CommandResultV1};

use super::store;
use crate::db::{Kind, Lister, Projector, Tx};
use crate::sites::agents::Agent;
use crate::sites::reports::{Applier, Report, Unusable};

/// Projects commands that wait for an answer; an answered one is gone from its site.
pub fn projector() -> Projector {
    Arc::new(|tx, ids| Box::pin(store::waiting(tx, ids)))
}

/// Names all commands.
pub fn lister() -> Lister {
    Arc::new(|tx, after, most| Box::pin(store::every_id(tx, after, most)))
}

/// Takes what became of commands; repeats change nothing.
pub fn results() -> Applier {
    Arc::new(|tx, agent, reports, now| Box::pin(take(tx, agent, reports, now)))
}

async fn take(
    tx: &mut Tx,
    agent: &Agent,
    reports: &[Report],
    now: Timestamp,
) -> sqlx::Result<Vec<Unusable>> {
    let results: Vec<&CommandResultV1> = reports
        .iter()
        .filter_map(|report| match &report.body {
            Up::CommandResult(result) => Some(result),
            Up::Accounting(_)
            | Up::Login(_)
            | Up::Heartbeat(_)
            | Up::Redemption(_)
            | Up::Keepers(_)
            | Up::Device(_)
            | Up::Bind(_)
            | Up::Router(_)
            | Up::Pools(_)
            | Up::Moving(_)
            | Up::LocalSecrets(_)
            | Up::Metrics(_)
            | Up::PackedMetrics(_)
            | Up::Lines(_)
            | Up::Unlock(_)
            | Up::BroughtUp(_)
            | Up::Logs(_)
            | Up::Configuration(_) => None,
        })
        .collect();
    // The session may be another agent's of the site.
    let idle = results
        .iter()
        .filter(|result| result.outcome == CommandOutcome::NothingThere);
    let idle: Vec<CommandId> = idle.map(|result| result.command).collect();
    let nowhere = store::nothing_there(tx, agent, &idle).await?;

    let (mut ids, mut sentences, mut at) = (Vec::new(), Vec::new(), Vec::new());
    for result in results {
        if result.outcome == CommandOutcome::NothingThere && !nowhere.contains(&result.command) {
            continue;
        }
        ids.push(result.command);
        sentences.push(sentence(&result.outcome));
        at.push(result.at.min(now));
    }
    for command in store::finish(tx, agent.site, &ids, &sentences, &at).await? {
        tx.changed(Kind::Command, command);
    }
    Ok(Vec::new())
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
