//! Which site a datagram is for. Shared sockets know it by the source alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::radius::Port;
use crate::radius::driver::Radius;

/// The sites of a process.
pub(crate) struct Places {
    sites: Vec<Arc<Radius>>,
    /// Whom the watchdog asks at the moment.
    watched: Arc<AtomicUsize>,
}

impl Places {
    /// Of these sites. The watchdog's own datagrams go to the one that `watched` says.
    pub(crate) fn new(sites: Vec<Arc<Radius>>, watched: Arc<AtomicUsize>) -> Places {
        Places { sites, watched }
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.sites.len()
    }

    /// One of them.
    pub(crate) fn site(&self, place: usize) -> &Arc<Radius> {
        &self.sites[place]
    }

    /// The site whose router speaks from `source`; `None` is silence.
    ///
    /// Where several have a router there (two tenants behind one tunnel address), the one whose secret
    /// signed the datagram; one that nobody's secret signed is nobody's.
    pub(crate) fn of(&self, source: SocketAddr, datagram: &[u8], port: Port) -> Option<usize> {
        let watched = self.watched.load(Ordering::Relaxed);
        if self
            .sites
            .get(watched)
            .is_some_and(|site| site.is_own(source))
        {
            return Some(watched);
        }
        let knows = |place: &usize| self.sites[*place].knows_source(source.ip());
        let mut known = (0..self.sites.len()).filter(knows);
        let first = known.next()?;
        let Some(second) = known.next() else {
            return Some(first);
        };
        let signed = |place: &usize| self.sites[*place].signed(source.ip(), datagram, port);
        [first, second].into_iter().chain(known).find(signed)
    }
}
