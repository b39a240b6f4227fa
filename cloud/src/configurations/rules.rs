//! What differs between two versions.

use similar::{ChangeTag, TextDiff};

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
}
