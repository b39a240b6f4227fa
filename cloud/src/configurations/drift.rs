//! Whether routers are as they were set up: looked at whenever a version is kept, and once an hour, because what they
//! are to be changes too. The router itself is not asked: its agent tells within the hour when anything is otherwise.

use std::time::Duration;

use easyisp_shared::id::{RouterId, TenantId};
use easyisp_shared::time::Timestamp;

use super::store;
use crate::db::Database;
use crate::error::ApiError;
use crate::routers;
use crate::secrets::Secrets;
use crate::wizard::{self, Differences};

/// The kind of the job that looks; its subject is the router.
pub const DRIFT: &str = "configurations.drift";

/// Looks at one router; when to look again, `None` where nobody set it up, or it is gone.
pub async fn look(
    db: &Database,
    secrets: &Secrets,
    (tenant, router): (TenantId, RouterId),
    now: Timestamp,
) -> anyhow::Result<Option<Timestamp>> {
    let mut tx = db.begin(tenant).await?;
    if routers::site_of(&mut tx, router).await?.is_none() {
        return Ok(None);
    }
    let newest = store::newest(&mut tx, router).await?;
    let Some(newest) = newest.filter(|newest| newest.left_out == 0) else {
        return Ok(None);
    };
    let differs = wizard::differences(&mut tx, secrets, router, &newest.body).await;
    let found = match differs.map_err(ApiError::into_cause)? {
        Differences::Found(found) => found,
        Differences::NotNow => return Ok(Some(now.plus(AGAIN))), // what was noted last stays
        Differences::NotOurs => {
            routers::note_drift(&mut tx, router, &[], now).await?;
            tx.commit().await?;
            return Ok(None);
        }
    };
    routers::note_drift(&mut tx, router, &found, now).await?;
    tx.commit().await?;
    Ok(Some(now.plus(AGAIN)))
}

const AGAIN: Duration = Duration::from_secs(3600);
