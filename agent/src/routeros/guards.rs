//! Whose dead man's guards an agent calls off: where it just begins its own, and those that nobody comes back for; where it
//! ends what it writes all there are.

use std::sync::Arc;

use easyisp_shared::id::AgentId;

use super::guard::NAME;
use super::sentence::Row;
use crate::site::Site;

/// How this agent's is called.
fn name(agent: Option<AgentId>) -> String {
    agent.map_or_else(|| NAME.to_owned(), |agent| format!("{NAME}:{agent}"))
}

/// The guards of one agent, and of those that are not there any more.
pub(super) struct Guards {
    /// How its own is called.
    mine: String,
    site: Option<Arc<Site>>,
}

impl Guards {
    pub(super) fn of(site: Option<Arc<Site>>) -> Guards {
        Guards {
            mine: name(site.as_ref().and_then(|site| site.agent())),
            site,
        }
    }

    /// How its own is called.
    pub(super) fn mine(&self) -> &str {
        &self.mine
    }

    /// Id and name of those of the scheduler's entries that go when it just begins.
    pub(super) fn to_call_off<'a>(
        &self,
        entries: &'a [Row],
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        named(entries).filter(move |(_, name)| self.calls_off(name))
    }

    fn calls_off(&self, name: &str) -> bool {
        let policy = self.site.as_ref().map(|site| site.policy());
        let row = policy.as_ref().and_then(|policy| policy.row.as_ref());
        let agents = row.map(|row| row.agents.iter().map(|one| one.agent));
        let agents: Vec<AgentId> = agents.into_iter().flatten().collect();
        is_to_go(name, &self.mine, &agents)
    }
}

/// Id and name of all guards among the scheduler's entries, whoever held them. Who ends what he writes calls them all off:
/// one writer is at a router at a time, and what another agent of the site began he ended.
pub(super) fn all(entries: &[Row]) -> impl Iterator<Item = (&str, &str)> {
    named(entries).filter(|(_, name)| is_guard(name))
}

fn named(entries: &[Row]) -> impl Iterator<Item = (&str, &str)> {
    let entries = entries.iter();
    entries.filter_map(|row| Some((row.text(".id")?, row.text("name")?)))
}

fn is_guard(name: &str) -> bool {
    let rest = name.strip_prefix(NAME);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// Whether a guard goes when this agent enters: also one that an agent of before left, when guards bore no id, and one of
/// an agent that is not the site's any more. Where the site's agents are not known, this one is not among them.
fn is_to_go(held: &str, mine: &str, agents: &[AgentId]) -> bool {
    if held == mine || held == NAME {
        return true;
    }
    let of = held.strip_prefix(NAME).and_then(|of| of.strip_prefix(':'));
    let of = of.and_then(|of| of.parse::<AgentId>().ok());
    let are_known = agents.iter().any(|agent| name(Some(*agent)) == mine);
    of.is_some_and(|of| are_known && !agents.contains(&of))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was made by two, one after the other, is taken back by nobody.
    #[test]
    fn who_ends_what_he_writes_calls_every_guard_off_and_nothing_else() {
        for name in ["easyisp:guard", "easyisp:guard:7", "easyisp:guard:"] {
            assert!(is_guard(name), "{name}");
        }
        for name in ["easyisp:guarded", "easyisp:alive", "backup", ""] {
            assert!(!is_guard(name), "{name}");
        }
    }

    /// One that is not called off takes back in ten minutes what who entered made; another agent's is its to call off.
    #[test]
    fn a_guard_that_nobody_comes_back_for_goes_and_a_neighbours_stays() {
        let [me, beside, gone] = [1, 2, 3].map(|number| AgentId(uuid::Uuid::from_u128(number)));
        let of = |agent| name(Some(agent));
        let goes = |held: &str, agents: &[AgentId]| is_to_go(held, &of(me), agents);
        for agents in [vec![], vec![beside], vec![me, beside]] {
            assert!(goes(&of(me), &agents) && goes(NAME, &agents));
            assert!(!goes(&of(beside), &agents), "{agents:?}");
            let knows = agents.contains(&me);
            assert_eq!(goes(&of(gone), &agents), knows, "{agents:?}");
            for other in [
                "easyisp:alive",
                "easyisp:guard:",
                "easyisp:guarded",
                "backup",
            ] {
                assert!(!goes(other, &agents), "{other}");
            }
        }
    }
}
