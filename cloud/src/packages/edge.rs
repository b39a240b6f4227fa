//! What sites know of packages: each site knows them all, because a customer may move or roam.

use std::sync::Arc;

use easyisp_shared::wire::Down;
use easyisp_shared::wire::down::PackageV1;
use uuid::Uuid;

use super::store::{self, Stored};
use crate::db::{Lister, Projection, Projector, Tx};

/// Seconds between interim updates: the contract's five minutes; agents add the jitter.
const INTERIM_SECS: u32 = 300;

/// Projects packages to every site of their tenant.
pub fn projector() -> Projector {
    Arc::new(|tx, ids| Box::pin(project(tx, ids)))
}

/// Names all packages.
pub fn lister() -> Lister {
    Arc::new(|tx, after, most| Box::pin(store::every_id(tx, after, most)))
}

async fn project(tx: &mut Tx, ids: &[Uuid]) -> sqlx::Result<Vec<Projection>> {
    let rows = store::for_sites(tx, ids).await?;
    Ok(rows
        .into_iter()
        .map(|row| Projection {
            id: row.stored.id.0,
            site: row.site_id,
            body: Down::Package(body(&row.stored)).encode(),
        })
        .collect())
}

pub(super) fn body(stored: &Stored) -> PackageV1 {
    let draft = stored.draft();
    let terms = &draft.terms;
    let minutes = draft.period.minutes();
    PackageV1 {
        package: stored.id,
        rate: draft.rate(),
        session_secs: minutes.and_then(|minutes| u64::try_from(minutes * 60).ok()),
        data_limit: draft.data_limit.and_then(|limit| u64::try_from(limit).ok()),
        time_limit_secs: terms.time_limit_secs(),
        fair_use: terms.tiers(),
        schedule: terms.windows((draft.upload_mbps, draft.download_mbps)),
        devices: u16::try_from(draft.devices).unwrap_or(1),
        idle_secs: stored
            .idle_timeout_secs
            .and_then(|secs| u32::try_from(secs).ok()),
        interim_secs: INTERIM_SECS,
        pool: terms.address_pool.clone(),
        profile: terms.router_profile.clone(),
        ipv6_pool: terms.ipv6_pool.clone(),
        delegated_pool: terms.delegated_ipv6_pool.clone(),
        grace_secs: terms.grace_secs(),
        bind_macs: terms.bind_macs.and_then(|macs| u8::try_from(macs).ok()),
        anti_sharing: terms.anti_sharing,
        name: draft.name,
    }
}
