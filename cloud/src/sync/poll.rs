//! Once a second: which connected sites have news that no bell told of, and which agents were revoked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::id::{AgentId, TenantId};

use super::agents::Presence;
use super::{Shared, store};
use crate::sites::agents;

/// Polls until the door closes. One transaction per tenant with connected agents.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut round: u32 = 0;
    let mut noted = shared.clock.now();
    loop {
        tokio::time::sleep(PAUSE).await;
        round = round.wrapping_add(1);
        let now = shared.clock.now();
        let is_time = now.since(noted) >= SEEN_EVERY;
        if is_time {
            noted = now;
        }
        let mut tenants: BTreeMap<TenantId, Vec<Arc<Presence>>> = BTreeMap::new();
        for presence in shared.agents.all() {
            let tenant = presence.agent.tenant;
            tenants.entry(tenant).or_default().push(presence);
        }
        for (tenant, here) in tenants {
            let looked = async {
                look_for_news(&shared, tenant, &here).await?;
                if round.is_multiple_of(REVOKED_EVERY) {
                    cut_revoked(&shared, tenant, &here).await?;
                }
                if is_time {
                    note_seen(&shared, tenant, &here).await?;
                }
                Ok::<(), sqlx::Error>(())
            };
            if let Err(cause) = looked.await {
                tracing::warn!(%cause, "Cannot look for news of connected sites");
            }
        }
    }
}

async fn look_for_news(
    shared: &Shared,
    tenant: TenantId,
    here: &[Arc<Presence>],
) -> sqlx::Result<()> {
    let mut tx = shared.db.begin(tenant).await?;
    let sites: Vec<_> = here.iter().map(|presence| presence.agent.site).collect();
    let heads = store::heads(&mut tx, &sites).await?;
    tx.rollback().await?;

    let heads: BTreeMap<_, _> = heads.into_iter().collect();
    let news = here.iter().filter(|presence| {
        let head = heads.get(&presence.agent.site);
        head.is_some_and(|head| *head > presence.sent())
    });
    let news: Vec<_> = news.map(|presence| presence.agent.site).collect();
    shared.db.wakes().wake(&news);
    Ok(())
}

async fn cut_revoked(
    shared: &Shared,
    tenant: TenantId,
    here: &[Arc<Presence>],
) -> sqlx::Result<()> {
    let mut tx = shared.db.begin(tenant).await?;
    let offered = here.iter();
    let offered = offered.map(|presence| (presence.agent.id, presence.offered));
    let revoked = store::revoked(&mut tx, &offered.collect::<Vec<_>>()).await?;
    tx.rollback().await?;
    for agent in revoked {
        tracing::info!(agent.id = %agent, "Agent {agent} was revoked or counts elsewhere; its link is cut");
        shared.agents.cut(agent);
    }
    Ok(())
}

/// Links die after 60 s of silence, so whoever is connected was heard of.
async fn note_seen(shared: &Shared, tenant: TenantId, here: &[Arc<Presence>]) -> sqlx::Result<()> {
    let mut tx = shared.db.begin(tenant).await?;
    agents::store::still_here(&mut tx, &ids(here), shared.clock.now()).await?;
    tx.commit().await
}

fn ids(here: &[Arc<Presence>]) -> Vec<AgentId> {
    here.iter().map(|presence| presence.agent.id).collect()
}

const PAUSE: Duration = Duration::from_secs(1);
/// Revocation takes effect within 60 s; this is well inside.
const REVOKED_EVERY: u32 = 4;
/// So that the console's "last seen" is young, at one statement per tenant.
const SEEN_EVERY: Duration = Duration::from_secs(20);
