//! What a site's agents know of their tenant: how to treat its subscribers.

use std::sync::Arc;

use easyisp_shared::net::RateLimit;
use easyisp_shared::wire::Down;
use easyisp_shared::wire::down::{KeepersV1, PolicyV1, SiteAgentV1, secret_place};
use uuid::Uuid;

use super::store;
use crate::db::{Kind, Lister, Projection, Projector, Tx};
use crate::secrets::{SecretError, Secrets};
use crate::sites::{self, agents};

/// Notes that every site must learn the tenant's policy anew; the transaction has changed the tenant's row,
/// so no site is added meanwhile.
pub async fn changed(tx: &mut Tx) -> sqlx::Result<()> {
    for site in sites::ids(tx).await? {
        tx.changed(Kind::Policy, site);
    }
    Ok(())
}

/// Seconds of service after the paid end.
pub(super) fn grace_secs(policy: &store::PolicyRow) -> u32 {
    policy
        .enforcement
        .grace_minutes
        .unsigned_abs()
        .saturating_mul(60)
}

/// The projector of [`Kind::Policy`]: one row a site, its id is the site's.
pub fn projector(secrets: Secrets) -> Projector {
    Arc::new(move |tx, ids| {
        let secrets = secrets.clone();
        Box::pin(async move {
            project(tx, ids, &secrets)
                .await
                .map_err(SecretError::into_sqlx)
        })
    })
}

/// Names every site: each has a policy.
pub fn lister() -> Lister {
    Arc::new(|tx, after, most| Box::pin(every_site(tx, after, most)))
}

async fn every_site(tx: &mut Tx, after: Uuid, most: i64) -> sqlx::Result<Vec<Uuid>> {
    let mut ids: Vec<Uuid> = sites::ids(tx)
        .await?
        .into_iter()
        .map(|site| site.0)
        .collect();
    ids.sort_unstable();
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    Ok(ids
        .into_iter()
        .filter(|id| *id > after)
        .take(most)
        .collect())
}

async fn project(
    tx: &mut Tx,
    ids: &[Uuid],
    secrets: &Secrets,
) -> Result<Vec<Projection>, SecretError> {
    let policy = store::policy(tx).await?;
    let garden = &policy.enforcement;
    let mbps = garden.speed.unsigned_abs();
    let codes = secrets.tenant(tx).await?.voucher_key();
    let live = sites::ids(tx).await?;
    let mut projections = Vec::new();
    for site in live.into_iter().filter(|site| ids.contains(&site.0)) {
        let place = secret_place(Kind::Policy, site.0, "voucher_key");
        let site_key = secrets.site_key(tx, site).await?;
        let keepers = agents::store::keepers(tx, site).await?;
        let around = agents::store::around(tx, site).await?;
        let body = Down::Policy(PolicyV1 {
            grace_secs: grace_secs(&policy),
            refusal: garden.refusal(),
            garden_for: garden.reasons(),
            garden_list: garden.address_list.clone(),
            garden_pool: garden.address_pool.clone(),
            garden_profile: garden.router_profile.clone(),
            garden_rate: RateLimit::mbps(mbps, mbps),
            portal_url: garden.portal_url.clone(),
            lease_until: policy.lease_until,
            zone: policy.time_zone.clone(),
            provider_name: policy.business_name.clone(),
            voucher_key: site_key.seal_same(&place, codes.expose()),
            keepers: KeepersV1 {
                term: u64::try_from(keepers.term).unwrap_or(0),
                agents: keepers.agents,
            },
            mac_login: policy.mac_login,
            remembered_macs: u8::try_from(policy.remembered_macs).unwrap_or(0),
            agents: around.into_iter().filter_map(neighbour).collect(),
            bind_macs: garden.bind().macs,
            bind_oldest_out: garden.bind().oldest_out,
        });
        projections.push(Projection {
            id: site.0,
            site,
            body: body.encode(),
        });
    }
    Ok(projections)
}

fn neighbour(listening: agents::store::Listening) -> Option<SiteAgentV1> {
    let addresses = listening.addresses.iter();
    Some(SiteAgentV1 {
        agent: listening.id,
        key: listening.key_digest.try_into().ok()?,
        addresses: addresses.filter_map(|text| text.parse().ok()).collect(),
    })
}
