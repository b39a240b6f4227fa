//! What an operator wants done at a site: state with a version in the site's feed, answered by an agent.
//!
//! [`issue`] writes the wish in the transaction that causes it; [`edge::results`] takes the agents'
//! answers, which end it. Delivery may repeat; the agent does a thing once and never after it expired.

pub mod edge;
mod now;
mod store;

use std::time::Duration;

use easyisp_shared::id::{CommandId, CustomerId, SiteId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::Down;
use easyisp_shared::wire::down::{CommandV1, Order};

use crate::db::{Kind, Tx};

pub use now::{End, Ended, end_now};
pub use store::Outcome;

/// Asks a site's agents to do something; it is on its way once the transaction commits.
pub async fn issue(
    tx: &mut Tx,
    site: SiteId,
    order: Order,
    customer: Option<CustomerId>,
    now: Timestamp,
) -> sqlx::Result<CommandId> {
    let command = CommandV1 {
        command: CommandId::new(now, &tx.entropy()),
        order,
        issued: now,
        expires: now.plus(LIFE),
    };
    for expired in store::expire(tx, site, now).await? {
        tx.changed(Kind::Command, expired);
    }
    store::insert(tx, site, &command, customer).await?;
    tx.changed(Kind::Command, command.command);
    Ok(command.command)
}

/// What came of a command so far; `None` when this tenant issued no such command.
pub async fn outcome(tx: &mut Tx, command: CommandId) -> sqlx::Result<Option<Outcome>> {
    store::outcome(tx, command).await
}

/// Forgets orders that ended, or could have been answered, before `cutoff`, at most so many; returns how many.
pub async fn forget(tx: &mut Tx, cutoff: Timestamp, most: i64) -> sqlx::Result<u64> {
    let gone = store::forget(tx, cutoff, most).await?;
    let count = gone.len() as u64;
    for command in gone {
        tx.changed(Kind::Command, command);
    }
    Ok(count)
}

/// How long a site that is cut off may take to hear of it. A day: sessions that began after the wish are
/// not meant, so a late command does no harm.
const LIFE: Duration = Duration::from_secs(86_400);

fn encode(command: &CommandV1) -> Vec<u8> {
    Down::Command(command.clone()).encode()
}

fn kind(order: &Order) -> &'static str {
    match order {
        Order::Disconnect(_) => "DISCONNECT",
        Order::Reauthorize(_) => "REAUTHORIZE",
    }
}
