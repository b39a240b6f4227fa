//! A code shown elsewhere than where it is held: one of its keepers is asked to give it back, then it is taken.

use std::time::Duration;

use easyisp_shared::id::{AgentId, TenantId, VoucherId};
use easyisp_shared::time::Clock;
use easyisp_shared::wire::question::{Question, Reply};

use super::VoucherError;
use super::redeem::{self, LetIn, Shown};
use crate::audit::Actor;
use crate::db::Database;
use crate::secrets::Secrets;
use crate::sites::Questions;

/// Takes a code wherever it is held.
///
/// # Errors
/// [`VoucherError::HeldBy`] when its holder cannot be reached, [`VoucherError::Used`] when it was used
/// there and the report of it is on its way.
pub async fn show(
    db: &Database,
    secrets: &Secrets,
    questions: &Questions,
    tenant: TenantId,
    shown: Shown,
    actor: &Actor,
    clock: &Clock,
) -> Result<LetIn, VoucherError> {
    let held = once(db, secrets, tenant, &shown, actor, clock).await;
    let Err(VoucherError::HeldBy {
        voucher, keepers, ..
    }) = &held
    else {
        return held;
    };
    for keeper in keepers {
        if give_back(questions, tenant, *keeper, *voucher).await? {
            let shown = Shown {
                released: Some(*keeper),
                ..shown
            };
            return once(db, secrets, tenant, &shown, actor, clock).await;
        }
    }
    held
}

/// Asks a keeper to give a voucher back; whether it did. `false` where it cannot say, or is not reached.
async fn give_back(
    questions: &Questions,
    tenant: TenantId,
    keeper: AgentId,
    voucher: VoucherId,
) -> Result<bool, VoucherError> {
    let question = Question::ReleaseVoucher { voucher };
    match questions.ask(tenant, keeper, question, PATIENCE).await {
        Ok(Reply::VoucherReleased) => Ok(true),
        Ok(Reply::VoucherUsed { .. }) => Err(VoucherError::Used { by: None }),
        Ok(
            Reply::Pong { .. }
            | Reply::LiveSessions(_)
            | Reply::OnlinePage(_)
            | Reply::Subscribers(_)
            | Reply::Disconnected { .. }
            | Reply::Connection(_)
            | Reply::Sessions(_)
            | Reply::Reconciled(_)
            | Reply::Traffic(_)
            | Reply::LocalSecrets(_)
            | Reply::Diagnosis(_)
            | Reply::Router(_)
            | Reply::Around(_)
            | Reply::Access { .. }
            | Reply::AccessOver,
        )
        | Err(_) => Ok(false),
    }
}

async fn once(
    db: &Database,
    secrets: &Secrets,
    tenant: TenantId,
    shown: &Shown,
    actor: &Actor,
    clock: &Clock,
) -> Result<LetIn, VoucherError> {
    let mut tx = db.begin(tenant).await?;
    let let_in = redeem::show(&mut tx, secrets, shown, actor, clock.now()).await?;
    tx.commit().await?;
    Ok(let_in)
}

/// Somebody stands at a hotspot meanwhile.
const PATIENCE: Duration = Duration::from_secs(4);
