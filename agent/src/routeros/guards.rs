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

    /// The name of a guard among the scheduler's entries that another agent of the site holds and that goes off.
    pub(super) fn anothers<'a>(&self, entries: &'a [Row]) -> Option<&'a str> {
        let able = entries.iter().filter(|row| goes_off(row));
        let mut names = able.filter_map(|row| row.text("name"));
        names.find(|name| is_guard(name) && !self.calls_off(name))
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

/// Whether an entry is ever run: not one that somebody switched off, nor while the device's mode forbids it.
fn goes_off(row: &Row) -> bool {
    row.flag("disabled") != Some(true) && kept_off(row).is_none()
}

/// What a router says beside an entry that its device's mode keeps from running.
pub(super) fn kept_off(row: &Row) -> Option<&str> {
    let words = row.text("comment");
    words.filter(|words| words.contains("device-mode"))
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
    use crate::routeros::sentence::{Reply, read as read_sentence};

    fn row(fields: &[(&str, &str)]) -> Row {
        let words = fields
            .iter()
            .map(|(name, value)| format!("={name}={value}"));
        let words: Vec<Vec<u8>> = [b"!re".to_vec()]
            .into_iter()
            .chain(words.map(String::into_bytes))
            .collect();
        match read_sentence(&words) {
            Ok((_, Reply::Row(row))) => row,
            other => panic!("{other:?}"),
        }
    }

    /// It would be waited for for ever.
    #[test]
    fn anothers_guard_that_does_not_go_off_holds_nobody_up() {
        let other = name(Some(AgentId(uuid::Uuid::from_u128(2))));
        let guards = Guards::of(None);
        let held = |fields: &[(&str, &str)]| {
            let fields = [&[(".id", "*1"), ("name", other.as_str())], fields].concat();
            guards.anothers(&[row(&fields)]).map(str::to_owned)
        };
        for goes_off in [
            &[][..],
            &[("disabled", "false")],
            &[("disabled", "no"), ("comment", "mine")],
        ] {
            assert_eq!(held(goes_off).as_ref(), Some(&other), "{goes_off:?}");
        }
        for does_not in [
            ("disabled", "true"),
            ("disabled", "yes"),
            ("comment", "inactivated, not allowed by device-mode"),
        ] {
            assert_eq!(held(&[does_not]), None, "{does_not:?}");
        }
        let own = [
            row(&[(".id", "*1"), ("name", NAME)]),
            row(&[(".id", "*2"), ("name", "backup")]),
        ];
        assert_eq!(guards.anothers(&own), None);
    }

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
