//! Takes what an agent reports, each record once: the mark moves in the transaction that applies it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

use easyisp_shared::id::AgentId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::hello::UpAck;
use easyisp_shared::wire::{Lane, Up, UpBatch, UpKind, UpRecord};
use tracing::{error, warn};

use super::{Shared, store};
use crate::db::{Database, Tx};
use crate::sites::agents::Agent;
use crate::sites::reports::{Applier, Appliers, Report, Unusable};

/// How often in a row the batch at the front of a lane did not apply.
#[derive(Default)]
pub(super) struct Tries(Mutex<HashMap<(AgentId, u8), u32>>);

impl Tries {
    fn count(&self, agent: &Agent, lane: u8) -> u32 {
        self.lock().get(&(agent.id, lane)).copied().unwrap_or(0)
    }

    fn failed(&self, agent: &Agent, lane: u8) {
        *self.lock().entry((agent.id, lane)).or_default() += 1;
    }

    fn worked(&self, agent: &Agent, lane: u8) {
        self.lock().remove(&(agent.id, lane));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(AgentId, u8), u32>> {
        self.0.lock().expect("no code panics under this lock")
    }
}

/// Stores a batch and says how far the lane is stored.
///
/// What is the data's fault is set aside at once; what fails for another reason is tried again, and set
/// aside too when five tries did not help: one record never stops a lane.
pub(super) async fn take(shared: &Shared, agent: &Agent, batch: &UpBatch, now: Timestamp) -> UpAck {
    let (db, appliers) = (&shared.db, &shared.appliers);
    let lane = batch.lane.code();
    let blame: fn(&sqlx::Error) -> bool = match shared.tries.count(agent, lane) {
        0..MOST_TRIES => is_about_data,
        MOST_TRIES.. => |cause| !will_pass(cause),
    };
    let mark = match apply(db, appliers, agent, batch, Granularity::Batch, now).await {
        Err(cause) if blame(&cause) => {
            warn!(%cause, agent.id = %agent.id, "A batch does not apply; trying its records one by one");
            apply(db, appliers, agent, batch, Granularity::Record(blame), now).await
        }
        outcome => outcome,
    };
    match mark {
        Ok(mark) => {
            shared.tries.worked(agent, lane);
            UpAck::V1 { lane, mark }
        }
        Err(cause) => {
            shared.tries.failed(agent, lane);
            error!(%cause, agent.id = %agent.id, "Cannot store an agent's reports; it keeps them");
            UpAck::Later {
                lane,
                retry_after_millis: RETRY_MILLIS,
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Granularity {
    Batch,
    /// Which failures are a record's own fault.
    Record(fn(&sqlx::Error) -> bool),
}

/// One transaction. A batch that does not follow the mark changes nothing; records below it are skipped.
async fn apply(
    db: &Database,
    appliers: &Appliers,
    agent: &Agent,
    batch: &UpBatch,
    granularity: Granularity,
    now: Timestamp,
) -> sqlx::Result<u64> {
    let mut tx = db.begin(agent.tenant).await?;
    let mark = store::lock_mark(&mut tx, agent, batch.outbox, batch.lane, now).await?;
    if batch.after > mark || batch.mark() <= mark {
        tx.rollback().await?;
        return Ok(mark);
    }
    let place = (batch.outbox, batch.lane);
    let fresh = batch.records.iter().filter(|record| record.sequence > mark);
    let mut reports: BTreeMap<UpKind, Vec<Report>> = BTreeMap::new();
    for record in fresh {
        match Up::decode(record.kind, &record.body) {
            Ok(body) => {
                let sequence = record.sequence;
                let of_kind = reports.entry(body.kind()).or_default();
                of_kind.push(Report { sequence, body });
            }
            Err(why) => set_aside(&mut tx, agent, place, record, &why.to_string(), now).await?,
        }
    }
    for (kind, reports) in &reports {
        let Some(applier) = appliers.of(*kind) else {
            for report in reports {
                let why = format!("nothing here takes {kind:?}");
                set_aside_report(&mut tx, agent, batch, report.sequence, &why, now).await?;
            }
            continue;
        };
        let unusable = match granularity {
            Granularity::Batch => applier(&mut tx, agent, reports, now).await?,
            Granularity::Record(blame) => {
                one_by_one(&mut tx, applier, agent, reports, blame, now).await?
            }
        };
        for Unusable { sequence, why } in unusable {
            set_aside_report(&mut tx, agent, batch, sequence, &why, now).await?;
        }
    }
    store::move_mark(&mut tx, agent, batch.outbox, batch.lane, batch.mark()).await?;
    tx.commit().await?;
    Ok(batch.mark())
}

async fn one_by_one(
    tx: &mut Tx,
    applier: &Applier,
    agent: &Agent,
    reports: &[Report],
    blame: fn(&sqlx::Error) -> bool,
    now: Timestamp,
) -> sqlx::Result<Vec<Unusable>> {
    let mut unusable = Vec::new();
    for report in reports {
        store::savepoint(tx).await?;
        match applier(tx, agent, std::slice::from_ref(report), now).await {
            Ok(refused) => {
                store::keep(tx).await?;
                unusable.extend(refused);
            }
            Err(cause) if blame(&cause) => {
                store::undo(tx).await?;
                unusable.push(Unusable {
                    sequence: report.sequence,
                    why: cause.to_string(),
                });
            }
            Err(cause) => return Err(cause),
        }
    }
    Ok(unusable)
}

async fn set_aside_report(
    tx: &mut Tx,
    agent: &Agent,
    batch: &UpBatch,
    sequence: u64,
    why: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    let record = batch
        .records
        .iter()
        .find(|record| record.sequence == sequence);
    match record {
        Some(record) => set_aside(tx, agent, (batch.outbox, batch.lane), record, why, now).await,
        None => Ok(()), // an applier may only speak of what it was given
    }
}

async fn set_aside(
    tx: &mut Tx,
    agent: &Agent,
    place: (uuid::Uuid, Lane),
    record: &UpRecord,
    why: &str,
    now: Timestamp,
) -> sqlx::Result<()> {
    warn!(
        agent.id = %agent.id, lane = ?place.1, sequence = record.sequence, kind = record.kind, why,
        "Set a record aside that cannot be applied"
    );
    store::quarantine(tx, agent, place, record, why, now).await
}

/// Whether trying the same again would fail again: not what a lock, a time-out or a lost connection says.
fn is_about_data(cause: &sqlx::Error) -> bool {
    match cause {
        sqlx::Error::Database(error) => {
            let class = error
                .code()
                .map(|code| code[..2.min(code.len())].to_owned());
            // 22 data exception, 23 constraint, 21 cardinality, 42 a statement wrong for this data.
            matches!(class.as_deref(), Some("21" | "22" | "23" | "42"))
        }
        sqlx::Error::Encode(_) => true,
        _ => false, // sqlx's enum: the connection's and the pool's troubles pass
    }
}

/// Whether it has nothing to do with what was to be stored: no connection, no room, a lock, a server that
/// stops.
fn will_pass(cause: &sqlx::Error) -> bool {
    match cause {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            // 57014: a statement that takes too long takes too long again.
            let classes = ["08", "25", "40", "53", "55", "57"];
            code != "57014" && classes.iter().any(|class| code.starts_with(class))
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false, // sqlx's enum: what it makes of the data
    }
}

const MOST_TRIES: u32 = 5;
const RETRY_MILLIS: u32 = 2_000;
