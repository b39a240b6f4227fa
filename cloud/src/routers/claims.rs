//! Who writes to a router: the wizard, a repair or a rollout, one at a time. Two would undo each other's rows, and what
//! one of them read before he wrote would be nothing to go back to.

use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;

use super::store;
use crate::db::Tx;
use crate::error::ApiError;

/// Somebody who writes to a router.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Writer {
    /// The wizard, before a configuration is written down, by a name of its own: one that ends late gives up nothing
    /// that another one holds by then, nor what was written down since.
    Beginning(String),
    /// A configuration by the wizard.
    Wizard,
    /// A repair, by a name of its own.
    Repair(String),
    /// A rollout's part.
    Rollout(String),
}

impl Writer {
    /// The wizard, before a configuration is written down.
    pub fn beginning(entropy: &Entropy) -> Writer {
        Writer::Beginning(hex::encode(entropy.bytes::<8>()))
    }

    fn name(&self) -> String {
        match self {
            Writer::Beginning(name) => format!("{WIZARD} {name}"),
            Writer::Wizard => WIZARD.to_owned(),
            Writer::Repair(name) => format!("REPAIR {name}"),
            Writer::Rollout(name) => format!("ROLLOUT {name}"),
        }
    }

    /// How long he holds it without a word: a turn that takes longer was lost.
    fn holds(&self) -> Duration {
        match self {
            Writer::Wizard | Writer::Rollout(_) => Duration::from_secs(1800),
            // It asks the router several things, each for as long as a question may take.
            Writer::Beginning(_) => Duration::from_secs(300),
            Writer::Repair(_) => Duration::from_secs(120),
        }
    }
}

/// Claims a router that the caller has locked, or goes on holding it. Errors: 409 `WIZARD_RUNNING` or `ROUTER_BUSY`
/// while somebody else writes to it.
pub async fn claim(
    tx: &mut Tx,
    router: RouterId,
    writer: &Writer,
    now: Timestamp,
) -> Result<(), ApiError> {
    let until = now.plus(writer.holds());
    if store::claim(tx, router, &writer.name(), until, now).await? {
        return Ok(());
    }
    idle(tx, router, now).await
}

/// Gives a router up.
pub async fn release(tx: &mut Tx, router: RouterId, writer: &Writer) -> sqlx::Result<()> {
    store::release(tx, router, &writer.name()).await
}

/// 409 while anybody writes to a router: `WIZARD_RUNNING` or `ROUTER_BUSY`.
pub async fn idle(tx: &mut Tx, router: RouterId, now: Timestamp) -> Result<(), ApiError> {
    match store::holder(tx, router, now).await? {
        None => Ok(()),
        Some(holder) if holder.starts_with(WIZARD) => Err(running()),
        Some(holder) => {
            let who = match holder.starts_with("ROLLOUT") {
                true => "A rollout",
                false => "A repair",
            };
            Err(ApiError::conflict(
                "ROUTER_BUSY",
                format!("{who} writes to this router at present; wait until that is through"),
            ))
        }
    }
}

/// 409: the wizard works at it.
pub fn running() -> ApiError {
    ApiError::conflict(
        "WIZARD_RUNNING",
        "This router is being configured; wait until that is through (GET /api/wizard/{id}/status)",
    )
}

const WIZARD: &str = "WIZARD";
