//! What a site tells and what the cloud stored, together.

use std::time::Duration;

use crate::time::Timestamp;
use crate::wire::diagnosis::{DiagnosisV1, HappenedV1, OpenV1};
use crate::wire::up::OutsideWhy;

/// How many agents a site has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agents {
    /// The one that was asked: what it does not know of sessions is not so.
    One,
    /// Several: what another of them reported stands in the cloud only.
    Several,
}

/// The site's word, and what the cloud knows besides: what happened before the agent's last start, or was
/// told by another agent of the site.
pub fn merge(site: DiagnosisV1, cloud: DiagnosisV1, agents: Agents, now: Timestamp) -> DiagnosisV1 {
    let mut all = site;
    if agents == Agents::Several {
        // Another agent's session looks to this one like one that is not reported.
        let others = |why: Option<OutsideWhy>| why == Some(OutsideWhy::Unreported);
        if all.sessions.iter().all(|session| others(session.outside)) && !cloud.sessions.is_empty()
        {
            // Those that the cloud holds for confirmed, where reports come once an hour as well.
            let confirmed = |session| OpenV1 {
                seen: now,
                ..session
            };
            all.sessions = cloud.sessions.into_iter().map(confirmed).collect();
        }
    }
    let news: Vec<HappenedV1> = cloud
        .happened
        .into_iter()
        .filter(|one| !all.happened.iter().any(|held| is_same(held, one)))
        .collect();
    all.happened.extend(news);
    all.happened.sort_by_key(|one| one.last);
    let surplus = all.happened.len().saturating_sub(MOST);
    all.happened.drain(..surplus);
    for known in cloud.routers {
        match all
            .routers
            .iter_mut()
            .find(|held| held.router == known.router)
        {
            // The cloud dates it by when the report came, which may be much later.
            Some(held) => {
                held.heard = match agents {
                    Agents::One => held.heard.or(known.heard),
                    Agents::Several => held.heard.max(known.heard),
                }
            }
            None => all.routers.push(known),
        }
    }
    all.bound = all.bound.or(cloud.bound);
    all.would = all.would.or(cloud.would);
    all.until = all.until.or(cloud.until);
    all
}

/// The cloud hears a repeat every five minutes, and dates a session a little differently.
fn is_same(held: &HappenedV1, told: &HappenedV1) -> bool {
    let near = told.last.plus(APART) >= held.first && told.last <= held.last.plus(APART);
    held.router == told.router && held.what == told.what && near
}

const APART: Duration = Duration::from_secs(300);
const MOST: usize = 16;
