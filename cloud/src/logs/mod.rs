//! What routers write to their logs: kept for the tenant's own days, and searched.
//!
//! Agents hear and mask the lines. They are kept in blocks, some hundred lines of one router each, and a block is found
//! by its router, its time, its worst line and its words; only what is found is read line by line.

pub mod edge;
mod http;
mod rules;
mod store;

use std::time::Duration;

use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;

use crate::api::{Access, Routes, routes};
use crate::db::{Database, Tx};
use crate::permission::Permission::*;
use crate::tenants;

/// The routes of this feature.
pub fn routes() -> Routes {
    const SEE: Access = Access::Any(&[RoutersDetailsView, RoutersView]);

    Routes::new().route(SEE, routes!(http::list))
}

/// Forgets blocks that are older than the tenant has them kept; returns when to look again.
pub async fn forget_old(
    db: &Database,
    tenant: TenantId,
    now: Timestamp,
) -> sqlx::Result<Timestamp> {
    for _ in 0..TURNS {
        let mut tx = db.begin(tenant).await?;
        let kept = tenants::log_retention(&mut tx).await?;
        let old = store::old_blocks(&mut tx, now.minus(kept), AT_ONCE).await?;
        if old.is_empty() {
            return Ok(now.plus(DAY));
        }
        // Its words are found by its lines: no index by block is needed.
        let said = store::messages(&mut tx, &old).await?;
        let words = rules::words_of(&said);
        store::forget(&mut tx, &old, &words).await?;
        tx.commit().await?;
    }
    Ok(now.plus(BREATH))
}

/// Takes lines away that name somebody by one of these.
pub async fn forget_person(tx: &mut Tx, names: &[&str]) -> sqlx::Result<()> {
    let names = names.iter().map(|name| name.trim().to_lowercase());
    for name in names.filter(|name| name.chars().count() >= rules::SHORTEST) {
        store::forget_named(tx, &name, &rules::end_of(&name)).await?;
    }
    Ok(())
}

/// Blocks that one transaction removes at most.
const AT_ONCE: i64 = 4;
/// Rounds in a row before other work has its turn.
const TURNS: u32 = 50;
const BREATH: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
