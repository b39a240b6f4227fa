//! What agents report of their routers' configurations.

use std::sync::Arc;

use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::configuration::{
    CONFIGURATION_CAP, CONFIGURATION_LINES, ConfigurationV1,
};

use crate::db::Tx;
use crate::routers;
use crate::sites::agents::Agent;
use crate::sites::reports::{Applier, Report, Unusable};

/// Takes how routers are configured.
pub fn configurations() -> Applier {
    Arc::new(|tx, agent, reports, now| Box::pin(take(tx, agent, reports, now)))
}

/// One after the other, the routers in the order of their ids, so that two agents of a site never wait for each
/// other.
async fn take(
    tx: &mut Tx,
    agent: &Agent,
    reports: &[Report],
    now: Timestamp,
) -> sqlx::Result<Vec<Unusable>> {
    let mut told: Vec<(u64, &ConfigurationV1)> = reports
        .iter()
        .filter_map(|report| {
            let Up::Configuration(told) = &report.body else {
                return None;
            };
            Some((report.sequence, &**told))
        })
        .collect();
    told.sort_by_key(|(sequence, told)| (told.router, *sequence));
    let ids: Vec<_> = told.iter().map(|(_, told)| told.router).collect();
    let here = routers::at_site(tx, agent.site, &ids).await?;
    let mut unusable = Vec::new();
    for (sequence, told) in told {
        let mut refuse = |why: &str| {
            unusable.push(Unusable {
                sequence,
                why: why.to_owned(),
            });
        };
        if !is_bounded(told) {
            refuse("more of a configuration than an agent tells");
            continue;
        }
        let name = match here.contains(&told.router) {
            true => routers::lock_named(tx, told.router).await?,
            false => None,
        };
        match name {
            Some(name) => {
                super::keep(tx, (told.router, &name), told, now).await?;
            }
            None => refuse("no router of this site"),
        }
    }
    Ok(unusable)
}

/// Whether it can be compared in a moment.
pub fn is_bounded(told: &ConfigurationV1) -> bool {
    told.text.len() <= CONFIGURATION_CAP
        && told.text.lines().take(CONFIGURATION_LINES + 1).count() <= CONFIGURATION_LINES
        && !told.text.contains('\0')
}
