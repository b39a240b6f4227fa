//! Providers' doors: what one tells is kept byte for byte, answered, and then worked on in its own folder.

use std::time::Duration;

use axum::extract::Request;
use easyisp_shared::id::{GatewayId, InboxId, TenantId};
use easyisp_shared::time::Timestamp;
use sha2::{Digest, Sha256};

use super::Payments;
use super::prompt::PromptError;
use super::settle::Then;
use super::store::{self, Purpose, Report};
use crate::api::{ClientAddress, Limits};
use crate::db::Tx;
use crate::error::ApiError;
use crate::renewals::RenewError;

/// The largest body of a callback.
const MOST_BYTES: usize = 64 * 1024;
/// When the job takes up a report that nobody worked on: its node stopped in between.
pub(super) const RESCUE: Duration = Duration::from_secs(5);

/// Whose a path secret is. An unknown one changes nothing and is a 404.
pub(super) async fn owner(
    payments: &Payments,
    limits: &Limits,
    address: ClientAddress,
    token: &str,
    purpose: Purpose,
) -> Result<(TenantId, GatewayId), ApiError> {
    // The secret is looked up by its digest, so its text is never compared.
    let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let mut directory = payments.db.directory().await.map_err(unkept)?;
    let owner = store::gateway_of_token(&mut directory, &digest, purpose)
        .await
        .map_err(unkept)?;
    drop(directory);
    if owner.is_none() {
        limits.address(address.0)?;
    }
    owner.ok_or(ApiError::NotFound("address"))
}

/// The body of a report, byte for byte.
pub(super) async fn read(request: Request) -> Result<Vec<u8>, ApiError> {
    let body = axum::body::to_bytes(request.into_body(), MOST_BYTES).await;
    let body = body.map_err(|_| ApiError::TooLarge { limit: MOST_BYTES })?;
    Ok(body.to_vec())
}

/// Makes a report durable, and has it worked on once it was answered.
pub(super) async fn take_in(
    payments: &Payments,
    tenant: TenantId,
    report: Report,
) -> Result<(), ApiError> {
    let id = keep(payments, tenant, &report).await?;
    let worker = payments.clone();
    payments.tasks.spawn(async move {
        let now = worker.clock.now();
        let then = worker.work_on(tenant, id, &report, now).await;
        follow(&worker, tenant, id, then, now).await;
    });
    Ok(())
}

/// Makes a report durable, with the work on it due soon: its node may stop in between.
async fn keep(payments: &Payments, tenant: TenantId, report: &Report) -> Result<InboxId, ApiError> {
    let now = payments.clock.now();
    let id = InboxId::new(now, payments.db.entropy());
    let kept = async {
        let mut tx = payments.db.begin(tenant).await?;
        store::keep(&mut tx, id, report, now.plus(RESCUE), now).await?;
        tx.commit().await
    };
    kept.await.map_err(unkept)?;
    Ok(id)
}

/// The provider comes again.
pub(super) fn unkept(_: sqlx::Error) -> ApiError {
    ApiError::Unavailable {
        message: "The report could not be kept; send it again".to_owned(),
    }
}

/// What remains to be done once a report was worked on; what failed is due work, and soon.
pub(super) async fn follow(
    payments: &Payments,
    tenant: TenantId,
    id: InboxId,
    then: Result<Then, RenewError>,
    now: Timestamp,
) {
    let asked = match then {
        Ok(Then::Rest) => return,
        Ok(Then::Ask(intent)) => payments.query(tenant, intent, now).await.map(|_| ()),
        Err(cause) => Err(PromptError::from(cause)),
    };
    if let Err(cause) = asked {
        tracing::warn!(%cause, inbox.id = %id, "Cannot work on report {id}; it is tried again");
    }
}

/// Writes why a report has no effect.
pub(super) async fn dismiss(mut tx: Tx, id: InboxId, why: &str) -> Result<Then, RenewError> {
    tracing::info!(inbox.id = %id, "A provider's report had no effect: {why}");
    store::note(&mut tx, id, why).await?;
    tx.commit().await?;
    Ok(Then::Rest)
}
