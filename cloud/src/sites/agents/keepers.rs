//! The agents of a site that let vouchers in for the first time.
//!
//! One agent does so alone, cut off or not. Two share it: of them and the cloud, any two must have written a
//! first use down before anybody is let in by it, so that whoever of the three is asked next knows. Whether
//! they are one or two they decide themselves, because only they know whether they reach each other.
//!
//! Changes follow one order. An agent that was alone says that it wants another beside it in the same breath
//! in which it stops acting alone, behind every first use that it let in until then. One that is to act alone
//! hears so in its feed, behind every first use that was written down here with the other.

use std::sync::Arc;

use easyisp_shared::id::{AgentId, SiteId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::up::KeepWithV1;
use tracing::{info, warn};

use super::{Agent, store};
use crate::db::{Kind, Tx};
use crate::sites::reports::{Applier, Report, Unusable};
use crate::sites::stand_still;

/// Who keeps a site's vouchers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keepers {
    /// Counts how often they became others.
    pub term: i64,
    /// At most two.
    pub agents: Vec<AgentId>,
}

/// Names others where one of them is gone or never came, or where there was none: the agent that was there first.
/// Called when one is revoked, and when one counts for the first time.
pub async fn settle(tx: &mut Tx, site: SiteId) -> sqlx::Result<()> {
    let Some(named) = store::lock_keepers(tx, site).await? else {
        return Ok(());
    };
    let here = store::serving(tx, site).await?;
    let mut agents = named.agents.clone();
    agents.retain(|agent| here.contains(agent));
    let gone = named.agents.iter().filter(|agent| !agents.contains(agent));
    for agent in gone {
        warn!(agent.id = %agent, site.id = %site, "Agent {agent} kept the site's vouchers and does not serve it");
    }
    if agents.is_empty() {
        agents.extend(here.first());
    }
    if agents != named.agents {
        name(tx, site, named.term + 1, &agents).await?;
    }
    // The others hear that it may count, or does not any more.
    tx.changed(Kind::Policy, site);
    Ok(())
}

/// Takes wishes of keepers.
pub fn wishes() -> Applier {
    Arc::new(|tx, agent, reports, _now| Box::pin(take(tx, agent, reports)))
}

async fn take(tx: &mut Tx, agent: &Agent, reports: &[Report]) -> sqlx::Result<Vec<Unusable>> {
    for report in reports {
        if let Up::Keepers(told) = &report.body {
            wish(tx, agent, told).await?;
        }
    }
    Ok(Vec::new())
}

/// A wish of an earlier term was overtaken and changes nothing. Any other begins a term, also where it is
/// not granted: so the one who stopped acting alone hears that it may go on.
async fn wish(tx: &mut Tx, agent: &Agent, told: &KeepWithV1) -> sqlx::Result<()> {
    stand_still(tx).await?;
    let Some(named) = store::lock_keepers(tx, agent.site).await? else {
        return Ok(());
    };
    // A later one than ours is of before a backup that was put back.
    let term = i64::try_from(told.term).unwrap_or(i64::MAX - 1);
    if term < named.term || !named.agents.contains(&agent.id) {
        return Ok(());
    }
    let here = store::serving(tx, agent.site).await?;
    let alone = named.agents == [agent.id];
    let agents = match told.with {
        None => vec![agent.id],
        Some(other) if alone && other != agent.id && here.contains(&other) => vec![agent.id, other],
        Some(_) => named.agents,
    };
    name(tx, agent.site, term + 1, &agents).await
}

async fn name(tx: &mut Tx, site: SiteId, term: i64, agents: &[AgentId]) -> sqlx::Result<()> {
    store::put_keepers(tx, site, term, agents).await?;
    tx.changed(Kind::Policy, site);
    info!(site.id = %site, term, ?agents, "Others keep a site's vouchers from now on");
    Ok(())
}

/// Who keeps a site's vouchers; nobody else does until the transaction ends. Whoever gives the cloud's vote
/// reads them by this, so that a keeper that is to act alone hears of it first.
pub async fn hold(tx: &mut Tx, site: SiteId) -> sqlx::Result<Keepers> {
    Ok(store::hold_keepers(tx, site).await?.unwrap_or_default())
}

/// Notes where an agent hears the others of its site, which is news, and lets them know.
pub async fn note_addresses(tx: &mut Tx, agent: &Agent, addresses: &[String]) -> sqlx::Result<()> {
    stand_still(tx).await?;
    // What they are told is one row: its parts change one after the other.
    let _named = store::lock_keepers(tx, agent.site).await?;
    if store::put_addresses(tx, agent.id, addresses).await? {
        tx.changed(Kind::Policy, agent.site);
    }
    Ok(())
}

/// When a first use that an agent wrote down began; its clock may be ahead of ours.
pub fn began(voted: Option<Timestamp>, now: Timestamp) -> Timestamp {
    voted.map_or(now, |at| at.min(now))
}
