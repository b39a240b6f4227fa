//! Applies what was set aside once more: what an older release did not know, or could not store, a later one may.

use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::Up;

use super::store::{self, SetAside};
use super::uplink::will_pass;
use crate::db::Database;
use crate::sites::agents::Agent;
use crate::sites::reports::{Appliers, Report};

/// What became of the records that were set aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Applied, and not kept any more.
    pub applied: u64,
    /// Kept: they still cannot be applied.
    pub kept: u64,
}

/// Applies the records of a tenant that were set aside, each in a transaction of its own, in the order in which
/// their agents sent them. A report takes effect once however often it comes, so a second run changes nothing.
pub async fn replay(
    db: &Database,
    appliers: &Appliers,
    tenant: TenantId,
    now: Timestamp,
) -> sqlx::Result<Replayed> {
    let mut replayed = Replayed::default();
    let mut after: Option<SetAside> = None;
    loop {
        let mut tx = db.begin(tenant).await?;
        let found = store::set_aside_after(&mut tx, after.as_ref(), AT_ONCE).await?;
        tx.rollback().await?;
        for record in &found {
            match again(db, appliers, tenant, record, now).await {
                Ok(true) => replayed.applied += 1,
                Ok(false) => replayed.kept += 1,
                Err(cause) if will_pass(&cause) => return Err(cause),
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

/// Whether a record could be applied this time.
async fn again(
    db: &Database,
    appliers: &Appliers,
    tenant: TenantId,
    record: &SetAside,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let kind = u16::try_from(record.kind).ok();
    let body = kind.and_then(|kind| Up::decode(kind, &record.body).ok());
    let Some(body) = body else {
        return Ok(false);
    };
    let Some(applier) = appliers.of(body.kind()) else {
        return Ok(false);
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
    let unusable = applier(&mut tx, &agent, std::slice::from_ref(&report), now).await?;
    if !unusable.is_empty() {
        tx.rollback().await?;
        return Ok(false);
    }
    store::release(&mut tx, record).await?;
    tx.commit().await?;
    Ok(true)
}

/// Bodies read at once: some megabytes at most.
const AT_ONCE: i64 = 100;
