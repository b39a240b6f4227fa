//! How large everything in memory is that somebody outside could make grow, beside what it may grow to (V16). What grows with
//! the site's own customers and routers, as its operator makes them, is not told.
//!
//! Each keeps its own bound where it grows; nobody asks this in service. The simulation looks after every step.
//! What stands on disk is bounded by the disk, and what is done then is told at [`crate::store`].

use crate::core::Core;

/// One thing that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// What it is.
    pub name: &'static str,
    /// How much it holds.
    pub size: usize,
    /// How much it may hold.
    pub most: usize,
}

impl Size {
    pub(crate) fn new(name: &'static str, size: usize, most: usize) -> Size {
        Size { name, size, most }
    }

    /// Whether it holds more than it may.
    pub fn is_beyond(&self) -> bool {
        self.size > self.most
    }
}

impl Core {
    /// Everything that grows.
    pub fn sizes(&self) -> Vec<Size> {
        let mut sizes = vec![self.outbox.size(), self.unknown.size()];
        sizes.extend(self.radius.sizes());
        sizes.extend(self.sessions.sizes());
        sizes.extend(self.timeline.sizes());
        sizes.extend(self.site.sizes());
        sizes
    }
}
