//! What happens to every tenant without a request: its books are sealed, its old keys forgotten.

use std::time::Duration;

use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;

use crate::api::Idempotency;
use crate::db::Database;
use crate::ledger;

/// The kind of the job that tidies up behind a tenant once a day; its subject is the tenant.
pub const TIDY: &str = "tenants.tidy";

/// The kind of the job that looks for what fell silent every few minutes; its subject is the tenant.
pub const WATCH: &str = "tenants.watch";

/// The kind of the job that looks every minute whether a device needs a person; its subject is the tenant.
pub const ALERT: &str = "tenants.alert";

/// The kind of the job that compares what sites were told with what is, once a day; its subject is the tenant.
pub const CARE: &str = "tenants.care";

/// How soon a tenant's books are sealed again after something was.
const BUSY: Duration = Duration::from_secs(1);
/// And after nothing was: reports add the unsealed tail meanwhile.
const QUIET: Duration = Duration::from_secs(20);
/// How often a tenant is tidied.
const DAY: Duration = Duration::from_secs(86_400);

/// Numbers what was committed and chains it; returns when to do it again.
pub async fn seal(db: &Database, tenant: TenantId, now: Timestamp) -> sqlx::Result<Timestamp> {
    let sealed = ledger::seal_all(db, tenant, now).await?;
    Ok(now.plus(if sealed > 0 { BUSY } else { QUIET }))
}

/// Forgets answers to repeated requests after their three days; returns when to do it again.
pub async fn tidy(db: &Database, tenant: TenantId, now: Timestamp) -> sqlx::Result<Timestamp> {
    loop {
        let mut tx = db.begin(tenant).await?;
        let gone = Idempotency::forget(&mut tx, now).await?;
        tx.commit().await?;
        if gone == 0 {
            return Ok(now.plus(DAY));
        }
    }
}
