//! Why a version is kept, and what differs between two.

use easyisp_shared::wire::configuration::ConfigurationWhy;
use serde::Serialize;
use similar::{ChangeTag, TextDiff};
use utoipa::ToSchema;

/// Why a version is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Reason {
    /// There was none before.
    First,
    /// Somebody changed something, by hand or by another program.
    Seen,
    /// The platform did, perhaps somebody else meanwhile too.
    Setup,
    /// It was asked for, and was otherwise than the one before.
    Request,
}

impl Reason {
    /// Of what an agent said.
    pub fn of(why: ConfigurationWhy, is_first: bool) -> Reason {
        match why {
            _ if is_first => Reason::First,
            ConfigurationWhy::Looked => Reason::Seen,
            ConfigurationWhy::Ours => Reason::Setup,
            ConfigurationWhy::Asked => Reason::Request,
        }
    }
}

/// What differs between two texts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Compared {
    /// Lines that the second has and the first has not.
    pub added: i32,
    /// The other way round.
    pub removed: i32,
}

/// How many lines differ.
pub fn compared(before: &str, after: &str) -> Compared {
    let diff = TextDiff::from_lines(before, after);
    let (mut added, mut removed) = (0, 0);
    for change in diff.iter_all_changes() {
        match change.tag() {
            ChangeTag::Insert => added += 1,
            ChangeTag::Delete => removed += 1,
            ChangeTag::Equal => {}
        }
    }
    Compared {
        added: count(added),
        removed: count(removed),
    }
}

/// The lines that differ with three around each, as `diff -u` writes them; empty where nothing does.
pub fn unified(before: &str, after: &str, names: (&str, &str)) -> String {
    TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(3)
        .header(names.0, names.1)
        .to_string()
}

/// A count as it is stored.
pub fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_counted_and_shown() {
        let (one, other) = ("a\nb\nc\n", "a\nB\nc\nd\n");
        let changed = Compared {
            added: 2,
            removed: 1,
        };
        assert_eq!(compared(one, other), changed);
        assert_eq!(
            unified(one, other, ("1", "2")),
            "--- 1\n+++ 2\n@@ -1,3 +1,4 @@\n a\n-b\n+B\n c\n+d\n"
        );
        assert_eq!(unified(one, one, ("1", "2")), "");
    }

    #[test]
    fn the_first_one_is_the_first_whoever_wanted_it() {
        assert_eq!(Reason::of(ConfigurationWhy::Asked, true), Reason::First);
        assert_eq!(Reason::of(ConfigurationWhy::Looked, false), Reason::Seen);
    }
}
