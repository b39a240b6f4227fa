//! Applies what was set aside once more: what an older release did not know, or could not store, a later one may.

use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::{Up, UpKind};

use super::store::{self, SetAside};
use super::uplink::will_pass;
use crate::db::Database;
use crate::sites::agents::Agent;
use crate::sites::reports::{Appliers, Report};
use crate::tenants;

/// How many a job tries before it does something else: some seconds of them.
pub const REPLAYED_AT_ONCE: u64 = 2_000;

/// What became of the records that were set aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Applied, and not kept any more.
    pub applied: u64,
    /// Kept: they still cannot be applied.
    pub kept: u64,
}

/// Applies all records that were set aside, of one tenant or of every one: see [`replay`].
pub async fn replay_all(
    db: &Database,
    appliers: &Appliers,
    tenant: Option<TenantId>,
    now: Timestamp,
) -> sqlx::Result<Replayed> {
    let tenants = match tenant {
        Some(tenant) => vec![tenant],
        None => tenants::all(db).await?,
    };
    let mut all = Replayed::default();
    for tenant in tenants {
        let replayed = replay(db, appliers, tenant, None, now).await?;
        all.applied += replayed.applied;
        all.kept += replayed.kept;
    }
    Ok(all)
}

/// Applies the records of a tenant that were set aside, each in a transaction of its own, in the order in which
/// their agents sent them. A report takes effect once however often it comes, so a second run changes nothing, and what
/// was overtaken changes nothing either: a report that replaces something says what.
///
/// Ends once so many (`most`) were tried that this release knows: a job has other things to do.
pub async fn replay(
    db: &Database,
    appliers: &Appliers,
    tenant: TenantId,
    most: Option<u64>,
    now: Timestamp,
) -> sqlx::Result<Replayed> {
    let mut replayed = Replayed::default();
    let mut after: Option<SetAside> = None;
    let mut tried = 0;
    while most.is_none_or(|most| tried < most) {
        let mut tx = db.begin(tenant).await?;
        let found = store::set_aside_after(&mut tx, after.as_ref(), AT_ONCE).await?;
        tx.rollback().await?;
        for record in &found {
            let Some(body) = known(record) else {
                replayed.kept += 1;
                continue;
            };
            tried += 1;
            match again(db, appliers, tenant, (record, body), now).await {
                Ok(true) => replayed.applied += 1,
                Ok(false) => replayed.kept += 1,
                Err(cause) if is_elsewhere(&cause) => return Err(cause),
                Err(_still_unusable) => replayed.kept += 1,
            }
        }
        match found.into_iter().next_back() {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    if replayed.applied > 0 {
        tracing::info!(
            tenant.id = %tenant, applied = replayed.applied, kept = replayed.kept,
            "Applied {} records that were set aside; {} are kept", replayed.applied, replayed.kept
        );
    }
    Ok(replayed)
}

/// What a record says that happened, where this release knows that. What tells how something was then says nothing of how
/// it is now.
fn known(record: &SetAside) -> Option<Up> {
    let kind = u16::try_from(record.kind).ok()?;
    let body = Up::decode(kind, &record.body).ok()?;
    is_event(body.kind()).then_some(body)
}

/// Whether a record could be applied this time.
async fn again(
    db: &Database,
    appliers: &Appliers,
    tenant: TenantId,
    (record, body): (&SetAside, Up),
    now: Timestamp,
) -> sqlx::Result<bool> {
    let Some(applier) = appliers.of(body.kind()) else {
        return Ok(false);
    };
    // Who was heard of then was not heard of now.
    let heard = match body.kind() {
        UpKind::Accounting => record.at,
        _ => now,
    };
    let agent = Agent {
        tenant,
        site: record.site_id,
        id: record.agent_id,
    };
    let report = Report {
        sequence: u64::try_from(record.sequence).unwrap_or(0),
        body,
    };
    let mut tx = db.begin(tenant).await?;
    if !store::lock_aside(&mut tx, record).await? {
        return Ok(true); // another run was quicker
    }
    let unusable = applier(&mut tx, &agent, std::slice::from_ref(&report), heard).await?;
    if !unusable.is_empty() {
        tx.rollback().await?;
        return Ok(false);
    }
    store::release(&mut tx, record).await?;
    tx.commit().await?;
    Ok(true)
}

/// Whether a record tells what happened.
fn is_event(kind: UpKind) -> bool {
    matches!(
        kind,
        UpKind::Redemption
            | UpKind::Device
            | UpKind::Bind
            | UpKind::Accounting
            | UpKind::CommandResult
            | UpKind::Unlock
            | UpKind::BroughtUp
    )
}

/// Whether it is not the record's fault, nor that of what it does: a lock, a connection, a server that ends.
fn is_elsewhere(cause: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = cause else {
        return will_pass(cause);
    };
    let code = error.code();
    !code.is_some_and(|code| code.starts_with("42") || code.starts_with("XX")) && will_pass(cause)
}

/// Bodies read at once: some megabytes at most.
const AT_ONCE: i64 = 100;
