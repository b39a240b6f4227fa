//! What webhooks are told of customers.

use std::time::Duration;

use easyisp_shared::account::AccountNumber;
use easyisp_shared::id::{CustomerId, PackageId, SiteId};
use easyisp_shared::time::Timestamp;
use serde::Serialize;

use super::rules::Draft;
use super::store;
use super::words::ConnectionType;
use crate::db::Tx;
use crate::webhooks::{self, Event, EventKind};

/// `customer.created`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created<'a> {
    customer_id: CustomerId,
    account_number: String,
    username: &'a str,
    connection_type: ConnectionType,
    package_id: Option<PackageId>,
    site_id: SiteId,
    expires_at: Timestamp,
}

/// `customer.expired`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Expired<'a> {
    customer_id: CustomerId,
    account_number: String,
    username: &'a str,
    package_id: Option<PackageId>,
    expired_at: Timestamp,
}

/// Somebody was entered.
pub(super) fn created(
    tx: &Tx,
    customer: CustomerId,
    number: AccountNumber,
    site: SiteId,
    draft: &Draft,
    until: Timestamp,
    now: Timestamp,
) -> Event {
    let data = Created {
        customer_id: customer,
        account_number: number.to_string(),
        username: &draft.username,
        connection_type: draft.connection_type,
        package_id: draft.package,
        site_id: site,
        expires_at: until,
    };
    let kind = EventKind::CustomerCreated;
    Event::new(tx.tenant(), kind, &data, now, &tx.entropy())
}

/// Tells, once, whose time ended after `since`: for those who may be online while paid, and whom no wallet
/// carries on. Looks back over a week: an end that is set further back is told nobody.
pub async fn tell_expired(tx: &mut Tx, since: Timestamp, now: Timestamp) -> sqlx::Result<()> {
    let back = now.minus(LOOK_BACK);
    let ended = store::ended(tx, since.max(back), back, now, AT_ONCE).await?;
    let (tenant, entropy) = (tx.tenant(), tx.entropy());
    let events: Vec<Event> = ended
        .iter()
        .map(|ended| {
            let data = Expired {
                customer_id: ended.id,
                account_number: ended.account_number.to_string(),
                username: &ended.username,
                package_id: ended.package_id,
                expired_at: ended.ended_at,
            };
            Event::new(tenant, EventKind::CustomerExpired, &data, now, &entropy)
        })
        .collect();
    if events.is_empty() {
        return Ok(());
    }
    store::note_told(tx, &ended, back).await?;
    webhooks::tell(tx, &events, now).await
}

/// How far back somebody's end may lie: longer than a cloud stands still.
const LOOK_BACK: Duration = Duration::from_secs(7 * 86_400);
/// How many are told in one look; the rest a minute later.
const AT_ONCE: i64 = 500;
