//! Object identifiers: the names of everything SNMP tells.

use std::fmt;

/// The name of an object: a path of numbers, ordered as agents walk them.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(Vec<u32>);

impl Oid {
    /// From its numbers.
    pub fn new(arcs: &[u32]) -> Oid {
        Oid(arcs.to_vec())
    }

    /// Reads `1.3.6.1.2.1.1.1.0`, with or without a dot before it.
    pub fn parse(text: &str) -> Option<Oid> {
        let text = text.strip_prefix('.').unwrap_or(text);
        let arcs: Option<Vec<u32>> = text.split('.').map(|arc| arc.parse().ok()).collect();
        arcs.filter(|arcs| arcs.len() <= MOST_ARCS).map(Oid)
    }

    /// Its numbers.
    pub fn arcs(&self) -> &[u32] {
        &self.0
    }

    /// This one and the numbers after it.
    #[must_use]
    pub fn then(&self, arcs: &[u32]) -> Oid {
        Oid([&self.0, arcs].concat())
    }

    /// What follows `root` in this one; `None` where it is not under it.
    pub fn under(&self, root: &[u32]) -> Option<&[u32]> {
        self.0.strip_prefix(root)
    }

    pub(super) fn push(&mut self, arc: u32) {
        self.0.push(arc);
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut arcs = self.0.iter();
        if let Some(first) = arcs.next() {
            write!(f, "{first}")?;
        }
        arcs.try_for_each(|arc| write!(f, ".{arc}"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The most numbers of a name (RFC 2578 §3.5).
pub const MOST_ARCS: usize = 128;
