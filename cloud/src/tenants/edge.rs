//! What a site's agents know of their tenant: how to treat its subscribers.

use std::sync::Arc;

use easyisp_shared::id::SiteId;
use easyisp_shared::net::RateLimit;
use easyisp_shared::wire::Down;
use easyisp_shared::wire::down::PolicyV1;
use uuid::Uuid;

use super::store;
use crate::db::{Kind, Projection, Projector, Tx};
use crate::sites;

/// The router's address list that is the walled garden.
const GARDEN_LIST: &str = "easyisp-garden";
/// Speed inside it, Mbit/s: enough for a payment page.
const GARDEN_MBPS: u32 = 1;

/// Notes that every site must learn the tenant's policy anew; the transaction has changed the tenant's row,
/// so no site is added meanwhile.
pub async fn changed(tx: &mut Tx) -> sqlx::Result<()> {
    for site in sites::ids(tx).await? {
        tx.changed(Kind::Policy, site);
    }
    Ok(())
}

/// The projector of [`Kind::Policy`]: one row a site, its id is the site's.
pub fn projector() -> Projector {
    Arc::new(|tx, ids| Box::pin(project(tx, ids)))
}

async fn project(tx: &mut Tx, ids: &[Uuid]) -> sqlx::Result<Vec<Projection>> {
    let policy = store::policy(tx).await?;
    let body = Down::Policy(PolicyV1 {
        grace_secs: policy.grace_secs.unsigned_abs(),
        refusal: policy.refusal,
        garden_list: GARDEN_LIST.to_owned(),
        garden_rate: RateLimit::mbps(GARDEN_MBPS, GARDEN_MBPS),
        portal_url: None,
        lease_until: None,
        zone: policy.time_zone,
        provider_name: policy.business_name,
    })
    .encode();
    let live = sites::ids(tx).await?;
    let projections = live
        .into_iter()
        .filter(|site| ids.contains(&site.0))
        .map(|site: SiteId| Projection {
            id: site.0,
            site,
            body: body.clone(),
        });
    Ok(projections.collect())
}
