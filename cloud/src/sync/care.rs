//! What happens to feeds once a day: what was forgotten is told, digests are added up anew, old tombstones go.

use std::time::Duration;

use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;
use uuid::Uuid;

use super::store;
use crate::db::Database;
use crate::sites;

/// Looks after the feeds of a tenant's sites; returns when to do it again.
pub async fn care(
    db: &Database,
    tenant: TenantId,
    epoch: Uuid,
    now: Timestamp,
) -> sqlx::Result<Timestamp> {
    let forgotten = db.reproject(tenant).await?;
    for (kind, id) in &forgotten {
        tracing::error!(tenant.id = %tenant, ?kind, %id, "A change was not told to its sites; it is now");
    }
    let mut tx = db.begin(tenant).await?;
    let sites = sites::ids(&mut tx).await?;
    tx.rollback().await?;
    for site in sites {
        let mut tx = db.begin(tenant).await?;
        let mended = store::recount(&mut tx, site, epoch).await?;
        tx.commit().await?;
        if mended > 0 {
            tracing::warn!(site.id = %site, mended, "Digests of a site's feed were wrong");
        }
        let mut tx = db.begin(tenant).await?;
        store::note_day(&mut tx, site, now).await?;
        let horizon = store::raise_horizon(&mut tx, site, now.minus(KEPT)).await?;
        tx.commit().await?;
        loop {
            let mut tx = db.begin(tenant).await?;
            let gone = store::forget_tombstones(&mut tx, site, horizon, AT_ONCE).await?;
            tx.commit().await?;
            if gone == 0 {
                break;
            }
        }
    }
    Ok(now.plus(DAY))
}

const DAY: Duration = Duration::from_secs(86_400);
/// Who was away for longer gets everything as a replacement, which costs him some octets a row.
const KEPT: Duration = Duration::from_secs(30 * 86_400);
const AT_ONCE: i64 = 500;
