//! Once a second: which connected sites have news that no bell told of, and which agents were revoked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::id::TenantId;

use super::agents::Presence;
use super::{Shared, store};

/// Polls until the door closes. One transaction per tenant with connected agents.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut round: u32 = 0;
    loop {
        tokio::time::sleep(PAUSE).await;
        round = round.wrapping_add(1);
        let mut tenants: BTreeMap<TenantId, Vec<Arc<Presence>>> = BTreeMap::new();
        for presence in shared.agents.all() {
            let tenant = presence.agent.tenant;
            tenants.entry(tenant).or_default().push(presence);
        }
        for (tenant, here) in tenants {
            let look_for_revoked = round.is_multiple_of(REVOKED_EVERY);
            if let Err(cause) = look(&shared, tenant, &here, look_for_revoked).await {
                tracing::warn!(%cause, "Cannot look for news of connected sites");
            }
        }
    }
}

async fn look(
    shared: &Shared,
    tenant: TenantId,
    here: &[Arc<Presence>],
    look_for_revoked: bool,
) -> sqlx::Result<()> {
    let mut tx = shared.db.begin(tenant).await?;
    let sites: Vec<_> = here.iter().map(|presence| presence.agent.site).collect();
    let heads = store::heads(&mut tx, &sites).await?;
    let revoked = if look_for_revoked {
        let agents: Vec<_> = here.iter().map(|presence| presence.agent.id).collect();
        store::revoked(&mut tx, &agents).await?
    } else {
        Vec::new()
    };
    tx.rollback().await?;

    let heads: BTreeMap<_, _> = heads.into_iter().collect();
    let news: Vec<_> = here
        .iter()
        .filter(|presence| {
            let head = heads.get(&presence.agent.site);
            head.is_some_and(|head| *head > presence.sent())
        })
        .map(|presence| presence.agent.site)
        .collect();
    shared.db.wakes().wake(&news);
    for agent in revoked {
        tracing::info!(agent.id = %agent, "Agent {agent} was revoked; its link is cut");
        shared.agents.cut(agent);
    }
    Ok(())
}

const PAUSE: Duration = Duration::from_secs(1);
/// Revocation takes effect within 60 s; this is well inside.
const REVOKED_EVERY: u32 = 4;
