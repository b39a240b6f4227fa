//! Too many devices of one customer online: let in by agents that do not hear each other, at one site or at
//! several. The cloud sees what all of them report, and ends what is too much.

use std::time::Duration;

use easyisp_shared::id::{CustomerId, TenantId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::{Order, Whom};

use super::{SILENCE, store};
use crate::commands;
use crate::db::Database;

/// The kind of the due job that looks at a customer's open sessions.
pub const SURPLUS: &str = "sessions.surplus";

/// Ends the sessions of a customer that are more than he may have, and says how many those are.
///
/// The device that came last stays. An older session may be one whose end was told to an agent that died:
/// asked to end it, the router says that it has no such session, and nobody is cut off by a report that is
/// on its way.
pub async fn end_surplus(
    db: &Database,
    tenant: TenantId,
    customer: CustomerId,
    now: Timestamp,
) -> sqlx::Result<usize> {
    let mut tx = db.begin(tenant).await?;
    let open = store::open_devices(&mut tx, customer, now.minus(SILENCE), now).await?;
    let mut staying: Vec<Option<String>> = Vec::new();
    let mut ended = 0;
    for session in open {
        let most = usize::try_from(session.most.max(1)).unwrap_or(1);
        if staying.contains(&session.mac) {
            continue;
        }
        if staying.len() < most {
            staying.push(session.mac);
            continue;
        }
        let order = Order::Disconnect(Whom::Session {
            router: session.router_id,
            session: session.acct_session_id.into_bytes(),
        });
        commands::issue(&mut tx, session.site_id, order, Some(customer), now).await?;
        ended += 1;
    }
    tx.commit().await?;
    if ended > 0 {
        tracing::info!(customer.id = %customer, ended, "Too many devices online at agents that do not hear each other");
    }
    Ok(ended)
}

/// How long agents in touch are given to settle it; with what a command takes it is inside the 90 s of a
/// lease.
pub const SETTLED: Duration = Duration::from_secs(45);
