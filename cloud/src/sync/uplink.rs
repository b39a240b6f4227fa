//! Takes what an agent reports, each record once: the mark moves in the transaction that applies it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

use easyisp_shared::id::AgentId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::hello::UpAck;
use easyisp_shared::wire::{Lane, Up, UpBatch, UpKind, UpRecord};
use tracing::{error, warn};

use super::{Shared, store};
use crate::db::Tx;
use crate::sites::agents::{self, Agent};
use crate::sites::reports::{Applier, Report, Unusable};

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

/// What became of a batch.
pub(super) enum Taken {
    /// What the agent is told.
    Told(UpAck),
    /// The agent counts elsewhere, or not at all: this link is of no more use.
    Overtaken,
}

/// Stores a batch and says how far the lane is stored.
///
/// What is the data's fault is set aside at once; what fails for another reason is tried again, and set
/// aside too when five tries did not help: one record never stops a lane. What is this node's own fault, or the
/// database's, is nobody's data's: the agent keeps its reports until that passes.
pub(super) async fn take(
    shared: &Shared,
    agent: &Agent,
    generation: u64,
    batch: &UpBatch,
    now: Timestamp,
) -> Taken {
    let lane = batch.lane.code();
    let blame: fn(&sqlx::Error) -> bool = match shared.tries.count(agent, lane) {
        0..MOST_TRIES => is_about_data,
        MOST_TRIES.. => |cause| !will_pass(cause),
    };
    let whose = Whose { agent, generation };
    let mark = match apply(shared, whose, batch, Granularity::Batch, now).await {
        Err(cause) if blame(&cause) => {
            warn!(%cause, agent.id = %agent.id, "A batch does not apply; trying its records one by one");
            apply(shared, whose, batch, Granularity::Record(blame), now).await
        }
        outcome => outcome,
    };
    match mark {
        Ok(None) => Taken::Overtaken,
        Ok(Some(mark)) => {
            shared.tries.worked(agent, lane);
            Taken::Told(UpAck::V1 { lane, mark })
        }
        Err(cause) => {
            shared.tries.failed(agent, lane);
            error!(%cause, agent.id = %agent.id, "Cannot store an agent's reports; it keeps them");
            Taken::Told(UpAck::Later {
                lane,
                retry_after_millis: RETRY_MILLIS,
            })
        }
    }
}

/// Who reports, and under which generation it was let in.
#[derive(Clone, Copy)]
struct Whose<'a> {
    agent: &'a Agent,
    generation: u64,
}

#[derive(Clone, Copy)]
enum Granularity {
    Batch,
    /// Which failures are a record's own fault.
    Record(fn(&sqlx::Error) -> bool),
}

/// One transaction. A batch that does not follow the mark changes nothing; records below it are skipped. `None` where
/// another link of this identity counts, at whichever node: what a copy reports is nobody's.
async fn apply(
    shared: &Shared,
    Whose { agent, generation }: Whose<'_>,
    batch: &UpBatch,
    granularity: Granularity,
    now: Timestamp,
) -> sqlx::Result<Option<u64>> {
    let mut tx = shared.db.begin(agent.tenant).await?;
    let mark = store::lock_mark(&mut tx, agent, batch.outbox, batch.lane, now).await?;
    if agents::store::counted(&mut tx, agent.id).await? != Some(generation) {
        tx.rollback().await?;
        return Ok(None);
    }
    if batch.after > mark || batch.mark() <= mark {
        tx.rollback().await?;
        return Ok(Some(mark));
    }
    let mut aside = Aside::of(agent, batch, now);
    let fresh = batch.records.iter().filter(|record| record.sequence > mark);
    let mut reports: BTreeMap<UpKind, Vec<Report>> = BTreeMap::new();
    for record in fresh {
        match Up::decode(record.kind, &record.body) {
            Ok(body) => {
                let sequence = record.sequence;
                let of_kind = reports.entry(body.kind()).or_default();
                of_kind.push(Report { sequence, body });
            }
            Err(why) => aside.set(&mut tx, record, &why.to_string()).await?,
        }
    }
    for (kind, reports) in &reports {
        let Some(applier) = shared.appliers.of(*kind) else {
            for report in reports {
                let why = format!("nothing here takes {kind:?}");
                aside.set_report(&mut tx, report.sequence, &why).await?;
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
            aside.set_report(&mut tx, sequence, &why).await?;
        }
    }
    aside.count(&mut tx).await?;
    store::move_mark(&mut tx, agent, batch.outbox, batch.lane, batch.mark()).await?;
    tx.commit().await?;
    Ok(Some(batch.mark()))
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

/// Sets records of a batch aside, as long as there is room for the agent's.
struct Aside<'a> {
    agent: &'a Agent,
    batch: &'a UpBatch,
    now: Timestamp,
    /// What is kept of this agent's lane; read when the first record is set aside.
    held: Option<store::Held>,
    /// Records for which there was no room.
    dropped: u32,
}

impl<'a> Aside<'a> {
    fn of(agent: &'a Agent, batch: &'a UpBatch, now: Timestamp) -> Aside<'a> {
        Aside {
            agent,
            batch,
            now,
            held: None,
            dropped: 0,
        }
    }

    async fn set_report(&mut self, tx: &mut Tx, sequence: u64, why: &str) -> sqlx::Result<()> {
        let mut records = self.batch.records.iter();
        match records.find(|record| record.sequence == sequence) {
            Some(record) => self.set(tx, record, why).await,
            None => Ok(()), // an applier may only speak of what it was given
        }
    }

    async fn set(&mut self, tx: &mut Tx, record: &UpRecord, why: &str) -> sqlx::Result<()> {
        let before = match self.held {
            Some(held) => held,
            None => store::held_aside(tx, self.agent, self.batch.lane).await?,
        };
        let octets = i64::try_from(record.body.len()).unwrap_or(i64::MAX);
        let after = store::Held {
            rows: before.rows + 1,
            octets: before.octets.saturating_add(octets),
        };
        let (most_rows, most_octets) = match self.batch.lane {
            Lane::Accounting => (MOST_WORTH_MONEY, MOST_OCTETS_WORTH_MONEY),
            Lane::Results | Lane::Metrics => (MOST_ASIDE, MOST_OCTETS_ASIDE),
        };
        if after.rows > most_rows || after.octets > most_octets {
            self.held = Some(before);
            self.dropped += 1;
            return Ok(());
        }
        self.held = Some(after);
        warn!(
            agent.id = %self.agent.id, lane = ?self.batch.lane, sequence = record.sequence,
            kind = record.kind, why, "Set a record aside that cannot be applied"
        );
        let place = (self.batch.outbox, self.batch.lane);
        store::quarantine(tx, self.agent, place, record, why, self.now).await
    }

    /// Notes what was not kept: a person should know how much is missing.
    async fn count(self, tx: &mut Tx) -> sqlx::Result<()> {
        if self.dropped == 0 {
            return Ok(());
        }
        warn!(
            agent.id = %self.agent.id, lane = ?self.batch.lane, dropped = self.dropped,
            "Counted records that cannot be applied and did not keep them: too many are kept of this agent"
        );
        agents::store::note_dropped(tx, self.agent.id, self.dropped, self.now).await
    }
}

/// Whether trying the same again would fail again: not what a lock, a time-out or a lost connection says.
fn is_about_data(cause: &sqlx::Error) -> bool {
    match cause {
        sqlx::Error::Database(error) => {
            let class = error
                .code()
                .map(|code| code[..2.min(code.len())].to_owned());
            // 22 data exception, 23 constraint, 21 cardinality.
            matches!(class.as_deref(), Some("21" | "22" | "23"))
        }
        sqlx::Error::Encode(_) => true,
        _ => false, // sqlx's enum: the connection's and the pool's troubles pass
    }
}

/// Whether it has nothing to do with what was to be stored: no connection, no room, a lock, a server that
/// stops or is damaged (58, XX), or a schema that this node does not know (42): it is older or newer than the database.
pub(super) fn will_pass(cause: &sqlx::Error) -> bool {
    match cause {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            // 57014: a statement that takes too long takes too long again.
            let classes = ["08", "25", "28", "40", "42", "53", "55", "57", "58", "XX"];
            code != "57014" && classes.iter().any(|class| code.starts_with(class))
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        // The schema's, not the data's: a column that is gone, or is of another type.
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::TypeNotFound { .. } => true,
        _ => false, // sqlx's enum: what it makes of the data
    }
}

/// What is kept of one agent's unusable records in a lane: a fault shows in the first of them, and no agent fills the disk
/// of all. The rest is counted.
const MOST_ASIDE: i64 = 2_000;
const MOST_OCTETS_ASIDE: i64 = 4 * 1024 * 1024;
/// The same of what money is counted from: a day of a large site's, until a release comes that knows it.
const MOST_WORTH_MONEY: i64 = 200_000;
const MOST_OCTETS_WORTH_MONEY: i64 = 64 * 1024 * 1024;
const MOST_TRIES: u32 = 5;
const RETRY_MILLIS: u32 = 2_000;
