//! What happens to webhooks without a request.

use std::time::Duration;

use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;

use super::event::EventKind;
use super::rules::{KEPT, MOST};
use super::store::{self, Stored};
use super::words::Watch;
use crate::db::{Database, Tx};
use crate::due;

/// The kind of the due job that sends one delivery, as `event_cte` writes it.
pub const SEND: &str = "webhooks.send";

/// The kind of the due job that looks for what time alone brought about; its subject is the tenant.
pub const WATCH: &str = "webhooks.watch";

/// How often it looks.
const EVERY: Duration = Duration::from_secs(60);
/// Rows that one transaction forgets at most.
const AT_ONCE: i64 = 500;
/// Transactions in a row before other work has its turn.
const TURNS: u32 = 20;
/// And how soon it goes on.
const BREATH: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// Since when somebody wants to be told of it; `None` = nobody does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// Of customers whose time is over.
    pub expiries: Option<Timestamp>,
    /// Of routers that fall silent or speak again.
    pub routers: Option<Timestamp>,
}

impl Wanted {
    /// When to look again; `None` = not until somebody wants something.
    pub fn again(&self, now: Timestamp) -> Option<Timestamp> {
        let any = self.expiries.or(self.routers);
        any.map(|_| now.plus(EVERY))
    }
}

/// What is to be looked for now. Waits for whoever changes webhooks.
pub async fn wanted(tx: &mut Tx, now: Timestamp) -> sqlx::Result<Wanted> {
    store::lock_list(tx).await?;
    let webhooks = store::list(tx, MOST).await?;
    let mut wanted = Wanted::default();
    for (what, since) in store::watch(tx, &watches(&webhooks), now).await? {
        match what {
            Watch::Expiries => wanted.expiries = Some(since),
            Watch::Routers => wanted.routers = Some(since),
        }
    }
    Ok(wanted)
}

/// Begins to look for what these webhooks, which are all there are, want from now on.
pub(super) async fn begin(tx: &mut Tx, webhooks: &[Stored], now: Timestamp) -> sqlx::Result<()> {
    let what = watches(webhooks);
    store::watch(tx, &what, now).await?;
    if !what.is_empty() {
        let tenant = tx.tenant();
        due::at(tx, WATCH, tenant, now).await?;
    }
    Ok(())
}

fn watches(webhooks: &[Stored]) -> Vec<Watch> {
    let wants = |kind: EventKind| {
        let mut on = webhooks.iter().filter(|webhook| webhook.enabled);
        on.any(|webhook| webhook.events.iter().any(|event| event == kind.name()))
    };
    let mut what = Vec::new();
    if wants(EventKind::CustomerExpired) {
        what.push(Watch::Expiries);
    }
    if wants(EventKind::RouterDown) || wants(EventKind::RouterUp) {
        what.push(Watch::Routers);
    }
    what
}

/// Forgets deliveries after 30 days, 500 a transaction, secrets that sign no longer and webhooks that were
/// deleted; returns when to go on.
pub async fn forget_old(
    db: &Database,
    tenant: TenantId,
    now: Timestamp,
) -> sqlx::Result<Timestamp> {
    for _ in 0..TURNS {
        let mut tx = db.begin(tenant).await?;
        let gone = store::deliveries::forget(&mut tx, now.minus(KEPT), AT_ONCE).await?;
        if gone < AT_ONCE.unsigned_abs() {
            store::forget(&mut tx, now.minus(KEPT), now).await?;
            tx.commit().await?;
            return Ok(now.plus(DAY));
        }
        tx.commit().await?;
    }
    Ok(now.plus(BREATH))
}
