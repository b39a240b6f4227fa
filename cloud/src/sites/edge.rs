//! What an agent's report does to what is known of it.

use std::sync::Arc;

use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::condition::ConditionV1;
use easyisp_shared::wire::up::HeartbeatV1;

use super::agents::{Agent, short, store};
use super::reports::{Applier, Report, Unusable};
use crate::db::{Database, Tx};

/// Takes heartbeats.
pub fn heartbeats() -> Applier {
    Arc::new(|tx, agent, reports, now| Box::pin(take(tx, agent, reports, now)))
}

/// Keeps what a person should look at, as an agent tells it; lists are cut to what an agent should send.
pub async fn note_condition(
    db: &Database,
    agent: &Agent,
    mut condition: ConditionV1,
    now: Timestamp,
) -> sqlx::Result<()> {
    condition.moved_aside.truncate(16);
    condition.routers.truncate(256);
    let Ok(told) = serde_json::to_value(&condition) else {
        return Ok(()); // numbers and names always are JSON
    };
    let mut tx = db.begin(agent.tenant).await?;
    store::put_condition(&mut tx, agent.id, &told, now).await?;
    tx.commit().await
}

/// Keeps the newest of `reports`: an older one says nothing that still holds.
async fn take(
    tx: &mut Tx,
    agent: &Agent,
    reports: &[Report],
    now: Timestamp,
) -> sqlx::Result<Vec<Unusable>> {
    let newest = reports
        .iter()
        .filter_map(|report| match &report.body {
            Up::Heartbeat(heartbeat) => Some(heartbeat),
            Up::Accounting(_)
            | Up::Login(_)
            | Up::CommandResult(_)
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
        .max_by_key(|heartbeat| heartbeat.at);
    if let Some(heartbeat) = newest {
        let version = short(&heartbeat.version);
        let health = store::Health {
            version: &version,
            queue: i64::try_from(heartbeat.queue).unwrap_or(i64::MAX),
            clock_offset_millis: heartbeat.clock_offset_millis,
            report: report(heartbeat),
        };
        store::put_health(tx, agent.id, &health, now).await?;
    }
    Ok(Vec::new())
}

/// The rest of a heartbeat as the console shows it; lists are cut to what an agent should send.
fn report(heartbeat: &HeartbeatV1) -> serde_json::Value {
    let sources = heartbeat.unknown_sources.iter().take(16);
    let mismatches = heartbeat.secret_mismatches.iter().take(256);
    let counters = heartbeat.counters.iter().take(64);
    serde_json::json!({
        "at": heartbeat.at,
        "sessions": heartbeat.sessions,
        "unknownSources": sources
            .map(|(address, count)| serde_json::json!({"address": address, "count": count}))
            .collect::<Vec<_>>(),
        "secretMismatches": mismatches
            .map(|(router, count)| serde_json::json!({"routerId": router, "count": count}))
            .collect::<Vec<_>>(),
        "unsignedRouters": heartbeat.unsigned_routers.iter().take(256).collect::<Vec<_>>(),
        "counters": counters
            .map(|(name, count)| (short(name), serde_json::Value::from(*count)))
            .collect::<serde_json::Map<_, _>>(),
    })
}
