//! What a customer's site decides at the moment, as far as the cloud knows.

use easyisp_shared::entitlement::{Live, Verdict, decide};
use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;

use super::{edge, store};
use crate::db::Tx;
use crate::{packages, tenants};

/// How he would ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asks {
    /// With this device; the one he is locked to where nobody knows.
    pub mac: Option<Mac>,
    /// At this router; at a right one where nobody knows.
    pub router: Option<RouterId>,
}

/// What he would be told.
#[derive(Clone, Debug)]
pub struct Forecast {
    /// The decision.
    pub verdict: Verdict,
    /// The only router he may use.
    pub bound: Option<RouterId>,
    /// When what is paid ends.
    pub until: Timestamp,
}

/// Asks the function that his site asks, with the usage that the cloud knows. `None` when this tenant has no
/// such customer.
pub async fn forecast(
    tx: &mut Tx,
    customer: CustomerId,
    asks: Asks,
    now: Timestamp,
) -> sqlx::Result<Option<Forecast>> {
    let known = store::edge(tx, &[customer.0]).await?;
    let Some(known) = known.first() else {
        return Ok(None);
    };
    let subscriber = edge::entitlement(known);
    let package = match known.package_id {
        Some(package) => packages::entitlement(tx, package).await?,
        None => None,
    };
    let policy = tenants::site_policy(tx).await?;
    let used = store::used(tx, customer).await?;
    let bound = edge::bound(known);
    let live = Live {
        mac: asks
            .mac
            .or(subscriber.macs.first().copied())
            .or(bound.first().copied()),
        router: asks.router,
        bytes_used: used.bytes.unsigned_abs(),
        secs_used: used.secs.unsigned_abs(),
        bound,
        ..Live::default()
    };
    Ok(Some(Forecast {
        verdict: decide(&subscriber, package.as_ref(), &live, &policy, now),
        bound: subscriber.router,
        until: subscriber.paid_until.max(subscriber.funded_until),
    }))
}
