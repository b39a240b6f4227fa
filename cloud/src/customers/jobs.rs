//! What happens to customers when nobody asks: who was away is back, and child accounts follow their parent.

use easyisp_shared::id::CustomerId;
use easyisp_shared::time::Timestamp;

use super::words::Standing;
use super::{BEGIN, RECKON, store};
use crate::audit::{self, Action, Actor, Audit};
use crate::db::{Kind, Tx};
use crate::due;

/// The kind of the due job that resumes a paused customer; its subject is the customer.
pub const RESUME: &str = "customers.resume";

/// The kind of the due job that gives children their parent's time; its subject is the parent.
pub const FOLLOW: &str = "customers.follow";

/// The kind of the due job that pays a customer's invoices from his wallet, where he is billed afterwards; its
/// subject is the customer. Invoices are another feature's: the application says who does it.
pub const COLLECT: &str = "invoices.collect";

/// The kind of the due job that bills a new customer's installation; its subject is the customer. Invoices are another
/// feature's: the application says who does it.
pub const INSTALL: &str = "invoices.install";

/// Resumes a customer whose pause is over. `Some` = when to ask again, because it ends then.
pub async fn resume(
    tx: &mut Tx,
    customer: CustomerId,
    now: Timestamp,
) -> sqlx::Result<Option<Timestamp>> {
    match store::paused_until(tx, customer).await? {
        // Back already, deleted, or away until somebody resumes him.
        None | Some(None) => return Ok(None),
        Some(Some(until)) if until > now => return Ok(Some(until)),
        Some(Some(_)) => {}
    }
    let Some(until) = give_back(tx, customer, Standing::Active, now).await? else {
        return Ok(None);
    };
    due::at(tx, RECKON, customer, now).await?;
    tx.changed(Kind::Subscriber, customer);
    if let Some(row) = store::find(tx, customer, now).await? {
        let line = Audit {
            details: format!("By itself, until {until}"),
            ..Audit::new(Action::CustomerResume, "customer", customer, &row.row.name)
        };
        audit::record(tx, &Actor::system(), line, now).await?;
    }
    Ok(None)
}

/// Lets a paused customer's time go on, as he stands from then on; what he bought ahead begins so much later.
/// `None` when he is not paused, else his new end.
pub(super) async fn give_back(
    tx: &mut Tx,
    customer: CustomerId,
    standing: Standing,
    now: Timestamp,
) -> sqlx::Result<Option<Timestamp>> {
    let Some((until, ahead)) = store::give_back(tx, customer, standing, now).await? else {
        return Ok(None);
    };
    if ahead {
        due::at(tx, BEGIN, customer, now).await?;
    }
    Ok(Some(until))
}

/// Gives the children of a customer his time, and stops theirs with his.
pub async fn follow(tx: &mut Tx, parent: CustomerId, now: Timestamp) -> sqlx::Result<()> {
    for child in store::follow(tx, parent, now).await? {
        tx.changed(Kind::Subscriber, child);
    }
    Ok(())
}
