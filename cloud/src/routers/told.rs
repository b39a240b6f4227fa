//! What webhooks are told of routers.

use easyisp_shared::id::{RouterId, SiteId};
use easyisp_shared::time::Timestamp;
use serde::Serialize;

use super::{SILENCE, store};
use crate::db::Tx;
use crate::webhooks::{self, Event, EventKind};

/// `router.down` and `router.up`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Changed<'a> {
    router_id: RouterId,
    name: &'a str,
    site_id: SiteId,
    /// When it was last heard of.
    last_seen: Timestamp,
    /// When an agent of its site was: whether the router is away or its whole site.
    site_last_seen: Option<Timestamp>,
}

/// Tells, once, which routers fell silent or are heard of again. A router is heard of by its RADIUS requests
/// and by the answers of its API; one that was never heard is neither up nor down. How routers were before
/// somebody wanted to know (`since`) is told nobody.
pub async fn tell_changed(tx: &mut Tx, since: Timestamp, now: Timestamp) -> sqlx::Result<()> {
    let changed = store::changed(tx, since, now.minus(SILENCE), AT_ONCE).await?;
    if changed.is_empty() {
        return Ok(());
    }
    let (tenant, entropy) = (tx.tenant(), tx.entropy());
    let events: Vec<Event> = changed
        .iter()
        .filter(|router| !router.is_new)
        .map(|router| {
            let data = Changed {
                router_id: router.id,
                name: &router.name,
                site_id: router.site_id,
                last_seen: router.last_seen,
                site_last_seen: router.site_last_seen,
            };
            let kind = match router.is_down {
                true => EventKind::RouterDown,
                false => EventKind::RouterUp,
            };
            Event::new(tenant, kind, &data, now, &entropy)
        })
        .collect();
    store::note_told(tx, &changed, now).await?;
    webhooks::tell(tx, &events, now).await
}

/// How many are told in one look; the rest a minute later.
const AT_ONCE: i64 = 500;
