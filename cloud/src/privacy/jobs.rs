//! What ends with its time, once a day and tenant: a part of the work that tidies up behind a tenant.
//!
//! Sessions are forgotten by their own feature, after the tenant's own days; answers to repeated requests
//! and sign-ins as well.

use std::time::Duration;

use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;

use crate::audit::Actor;
use crate::commands;
use crate::db::{Database, Tx};
use crate::ledger::Blank;

use super::erase::{Erasure, Rest, blank, erase};
use super::rules::{self, Marks, days};
use super::store;

/// Forgets what is older than it is kept, 500 rows a transaction, the oldest first; returns when to go on.
pub async fn forget_old(
    db: &Database,
    tenant: TenantId,
    now: Timestamp,
) -> anyhow::Result<Timestamp> {
    let mut again = now.plus(DAY);
    for old in Old::ALL {
        if !forget_all(db, tenant, old, now).await? {
            again = now.plus(BREATH);
        }
    }
    if erase_gone(db, tenant, now).await? {
        again = now.plus(BREATH);
    }
    blank_again(db, tenant).await?;
    Ok(again)
}

/// Whether all of it is gone.
async fn forget_all(
    db: &Database,
    tenant: TenantId,
    old: Old,
    now: Timestamp,
) -> anyhow::Result<bool> {
    for _ in 0..TURNS {
        let mut tx = db.begin(tenant).await?;
        let gone = old.forget(&mut tx, now).await?;
        tx.commit().await?;
        if gone < AT_ONCE.unsigned_abs() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is forgotten here.
#[derive(Clone, Copy, Debug)]
enum Old {
    Logins,
    Usage,
    Messages,
    Callbacks,
    Unusable,
    Access,
    Commands,
    /// What lines of the trail say.
    Trail,
}

impl Old {
    const ALL: [Old; 8] = [
        Old::Logins,
        Old::Usage,
        Old::Messages,
        Old::Callbacks,
        Old::Unusable,
        Old::Access,
        Old::Commands,
        Old::Trail,
    ];

    async fn forget(self, tx: &mut Tx, now: Timestamp) -> anyhow::Result<u64> {
        let before = |kept| now.minus(days(kept));
        Ok(match self {
            Old::Logins => store::forget_logins(tx, before(rules::LOGINS), AT_ONCE).await?,
            Old::Usage => store::forget_usage(tx, before(rules::USAGE), AT_ONCE).await?,
            Old::Messages => store::forget_messages(tx, before(rules::MESSAGES), AT_ONCE).await?,
            Old::Callbacks => {
                store::forget_callbacks(tx, before(rules::CALLBACKS), AT_ONCE).await?
            }
            Old::Unusable => store::forget_unusable(tx, before(rules::QUARANTINE), AT_ONCE).await?,
            Old::Access => store::forget_access(tx, before(rules::TRAIL), AT_ONCE).await?,
            Old::Commands => commands::forget(tx, before(rules::COMMANDS), AT_ONCE).await?,
            Old::Trail => blank_lines(tx, before(rules::TRAIL), now).await?,
        })
    }
}

/// Takes words and names out of old lines of the trail.
async fn blank_lines(tx: &mut Tx, cutoff: Timestamp, now: Timestamp) -> sqlx::Result<u64> {
    let lines = store::old_lines(tx, cutoff, AT_ONCE).await?;
    let what = Blank {
        lines: lines.iter().map(|line| (*line, true)).collect(),
        is_old: true,
        ..Blank::default()
    };
    let why = format!("Lines from before {cutoff} keep what was done, when and to which id");
    blank(tx, &what, &Actor::system(), &why, now).await?;
    Ok(lines.len() as u64)
}

/// Erases some who were deleted long ago, each in a transaction of his own, and returns whether there may be
/// more: each is looked for in the whole trail, and a job's lease is a minute. Who still has something open,
/// or cannot be erased for whatever reason, waits his turn again in a month; nobody waits behind him.
async fn erase_gone(db: &Database, tenant: TenantId, now: Timestamp) -> sqlx::Result<bool> {
    let actor = Actor::system();
    let erasure = Erasure {
        actor: &actor,
        reason: "Deleted longer ago than customers are kept",
        rest: Rest::MustBeNothing,
    };
    let mut tx = db.begin(tenant).await?;
    let gone = store::gone(&mut tx, now.minus(days(rules::GONE)), now, ERASED_AT_ONCE).await?;
    tx.commit().await?;
    let more = gone.len() == usize::try_from(ERASED_AT_ONCE).unwrap_or(usize::MAX);
    for customer in gone {
        let mut tx = db.begin(tenant).await?;
        let subject = store::lock(&mut tx, customer).await?;
        let Some(subject) = subject.filter(|subject| subject.erased_at.is_none()) else {
            continue; // somebody was faster
        };
        let refused = match erase(&mut tx, &subject, erasure, now).await {
            Ok(()) => {
                tx.commit().await?;
                continue;
            }
            Err(refused) => refused,
        };
        tx.rollback().await?;
        tracing::info!(customer.id = %customer, "Customer {customer} is not erased yet: {refused}");
        let mut tx = db.begin(tenant).await?;
        store::erase_later(&mut tx, customer, now.plus(days(REFUSED))).await?;
        tx.commit().await?;
    }
    Ok(more)
}

/// Takes out what came in about somebody after he was erased: the report of a payment that nobody waited
/// for any more is booked like any other, and has his phone.
async fn blank_again(db: &Database, tenant: TenantId) -> sqlx::Result<()> {
    let mut tx = db.begin(tenant).await?;
    for customer in store::named_again(&mut tx, NAMED_AT_ONCE).await? {
        store::blank_callbacks(&mut tx, customer).await?;
        store::blank_intents(&mut tx, customer).await?;
        store::blank_payments(&mut tx, customer, &Marks::default()).await?;
    }
    tx.commit().await
}

/// Rows that one transaction removes at most.
const AT_ONCE: i64 = 500;
/// Customers erased without being asked for before other work has its turn.
const ERASED_AT_ONCE: i64 = 2;
/// Days until it is tried again with one who could not be.
const REFUSED: u16 = 30;
/// Erased customers of whom something came in, looked at at once.
const NAMED_AT_ONCE: i64 = 100;
/// Transactions in a row before other work has its turn: some seconds, a job's lease is a minute.
const TURNS: u32 = 10;
/// And how soon it goes on.
const BREATH: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
