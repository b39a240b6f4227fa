//! A router that hears nothing asks again: the same question gets the same octets, once decided.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::packet::Authenticator;
use super::reply::Port;
use crate::sizes::Size;

/// How long a router may repeat itself; RouterOS gives up after four of its time-outs.
pub const KEPT_FOR: Duration = Duration::from_secs(30);
/// All answers remembered, over all shards together.
pub const CAPACITY: usize = 65_536;

/// One reply slot: a client socket has 256 on each of our ports (RFC 2865 §3, Identifier).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Where the datagram came from.
    pub source: SocketAddr,
    /// The socket of ours it came to.
    pub port: Port,
    /// The packet's identifier.
    pub identifier: u8,
}

impl Slot {
    /// Which of `shards` caches holds this slot. All of one source go to the same.
    pub fn shard(&self, shards: usize) -> usize {
        let mut hasher = DefaultHasher::new();
        self.source.hash(&mut hasher);
        (hasher.finish() % shards.max(1) as u64) as usize
    }
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// New: decide, then [`ReplyCache::finish`] or [`ReplyCache::abandon`].
    Decide,
    /// A copy of one being decided: drop it.
    InProgress,
    /// A copy of one answered: send these octets.
    Repeat(Arc<[u8]>),
}

/// The reply slots of one shard. Forgets an answer after 30 s, and the longest unused when full.
pub struct ReplyCache {
    capacity: usize,
    places: HashMap<Slot, u32>,
    entries: Vec<Entry>,
    /// Most and least recently used; [`NOWHERE`] when empty.
    newest: u32,
    oldest: u32,
}

struct Entry {
    slot: Slot,
    authenticator: Authenticator,
    state: State,
    begun: Instant,
    newer: u32,
    older: u32,
}

enum State {
    Deciding,
    Answered(Arc<[u8]>),
    /// Given up without an answer.
    Abandoned,
}

const NOWHERE: u32 = u32::MAX;

impl ReplyCache {
    /// A cache of at most `capacity` slots: [`CAPACITY`] divided by the number of shards.
    pub fn new(capacity: usize) -> ReplyCache {
        ReplyCache {
            capacity: capacity.clamp(1, CAPACITY),
            places: HashMap::new(),
            entries: Vec::new(),
            newest: NOWHERE,
            oldest: NOWHERE,
        }
    }

    /// Takes note of a request. The same slot with another authenticator is a new request and
    /// replaces the one before.
    pub fn begin(&mut self, slot: Slot, authenticator: &Authenticator, now: Instant) -> Begin {
        let Some(place) = self.places.get(&slot).copied() else {
            let place = self.free_place(slot, *authenticator, now);
            self.places.insert(slot, place);
            self.link_newest(place);
            return Begin::Decide;
        };
        self.unlink(place);
        self.link_newest(place);

        let entry = self.entry(place);
        let fresh = now.saturating_duration_since(entry.begun) < KEPT_FOR;
        if fresh && entry.authenticator == *authenticator {
            match &entry.state {
                State::Answered(reply) => return Begin::Repeat(reply.clone()),
                State::Deciding => return Begin::InProgress,
                State::Abandoned => {}
            }
        }
        entry.authenticator = *authenticator;
        entry.state = State::Deciding;
        entry.begun = now;
        Begin::Decide
    }

    /// For how long the request in this slot has waited for its answer.
    pub fn waited(&self, slot: Slot, now: Instant) -> Option<Duration> {
        let entry = self.entries.get(*self.places.get(&slot)? as usize)?;
        let waits = matches!(entry.state, State::Deciding);
        waits.then(|| now.saturating_duration_since(entry.begun))
    }

    /// Keeps the answer that is being sent. Nothing happens when the slot has moved on.
    pub fn finish(&mut self, slot: Slot, authenticator: &Authenticator, reply: Arc<[u8]>) {
        self.settle(slot, authenticator, State::Answered(reply));
    }

    /// No answer is given: the router's next copy is decided afresh.
    pub fn abandon(&mut self, slot: Slot, authenticator: &Authenticator) {
        self.settle(slot, authenticator, State::Abandoned);
    }

    fn settle(&mut self, slot: Slot, authenticator: &Authenticator, state: State) {
        if let Some(place) = self.places.get(&slot).copied() {
            let entry = self.entry(place);
            if entry.authenticator == *authenticator && matches!(entry.state, State::Deciding) {
                entry.state = state;
            }
        }
    }

    /// Slots held.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn size(&self) -> Size {
        Size::new("answers of a shard", self.entries.len(), self.capacity)
    }

    /// Whether no slot is held.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// A place for a new entry: a new one while there is room, else the longest unused.
    fn free_place(&mut self, slot: Slot, authenticator: Authenticator, now: Instant) -> u32 {
        let entry = Entry {
            slot,
            authenticator,
            state: State::Deciding,
            begun: now,
            newer: NOWHERE,
            older: NOWHERE,
        };
        if self.entries.len() < self.capacity {
            self.entries.push(entry);
            return (self.entries.len() - 1) as u32; // at most CAPACITY
        }
        let place = self.oldest;
        self.unlink(place);
        let forgotten = std::mem::replace(self.entry(place), entry);
        self.places.remove(&forgotten.slot);
        place
    }

    fn link_newest(&mut self, place: u32) {
        let before = std::mem::replace(&mut self.newest, place);
        let entry = self.entry(place);
        entry.older = before;
        entry.newer = NOWHERE;
        match before {
            NOWHERE => self.oldest = place,
            before => self.entry(before).newer = place,
        }
    }

    fn unlink(&mut self, place: u32) {
        let Entry { newer, older, .. } = *self.entry(place);
        match newer {
            NOWHERE => self.newest = older,
            newer => self.entry(newer).older = older,
        }
        match older {
            NOWHERE => self.oldest = newer,
            older => self.entry(older).newer = newer,
        }
    }

    fn entry(&mut self, place: u32) -> &mut Entry {
        &mut self.entries[place as usize]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_copy_gets_the_same_octets_and_no_second_decision() {
        let (mut cache, now) = (ReplyCache::new(10), Instant::now());
        assert_eq!(cache.begin(slot(1, 7), &[1; 16], now), Begin::Decide);
        assert_eq!(cache.begin(slot(1, 7), &[1; 16], now), Begin::InProgress);
        cache.finish(slot(1, 7), &[1; 16], reply(b"yes"));

        let later = now + Duration::from_millis(29_999);
        let repeat = Begin::Repeat(reply(b"yes"));
        assert_eq!(cache.begin(slot(1, 7), &[1; 16], later), repeat);
        let too_late = now + KEPT_FOR;
        assert_eq!(cache.begin(slot(1, 7), &[1; 16], too_late), Begin::Decide);
    }

    #[test]
    fn another_authenticator_port_or_source_is_another_request() {
        let (mut cache, now) = (ReplyCache::new(10), Instant::now());
        cache.begin(slot(1, 7), &[1; 16], now);
        let accounting = Slot {
            port: Port::Accounting,
            ..slot(1, 7)
        };
        assert_eq!(cache.begin(accounting, &[1; 16], now), Begin::Decide);
        assert_eq!(cache.begin(slot(2, 7), &[1; 16], now), Begin::Decide);
        assert_eq!(cache.begin(slot(1, 8), &[1; 16], now), Begin::Decide);

        assert_eq!(cache.begin(slot(1, 7), &[2; 16], now), Begin::Decide);
        cache.finish(slot(1, 7), &[1; 16], reply(b"late answer to the first"));
        assert_eq!(cache.begin(slot(1, 7), &[2; 16], now), Begin::InProgress);
    }

    #[test]
    fn what_was_given_up_is_decided_afresh() {
        let (mut cache, now) = (ReplyCache::new(10), Instant::now());
        cache.begin(slot(1, 7), &[0; 16], now);
        cache.abandon(slot(1, 7), &[0; 16]);
        assert_eq!(cache.begin(slot(1, 7), &[0; 16], now), Begin::Decide);
        cache.finish(slot(1, 7), &[0; 16], reply(b"x"));
        cache.abandon(slot(1, 7), &[0; 16]);
        let repeat = Begin::Repeat(reply(b"x"));
        assert_eq!(cache.begin(slot(1, 7), &[0; 16], now), repeat);
    }

    proptest! {
        /// Against a plain list kept in order of use.
        #[test]
        fn the_longest_unused_slot_is_forgotten(
            steps in prop::collection::vec((0u16..6, 0u8..3, any::<bool>()), 0..200),
            capacity in 1usize..8,
        ) {
            let (mut cache, now) = (ReplyCache::new(capacity), Instant::now());
            let mut model: Vec<(Slot, [u8; 16], bool)> = Vec::new();
            for (port, authenticator, answer) in steps {
                let (slot, authenticator) = (slot(port, 0), [authenticator; 16]);
                let held = model.iter().position(|entry| entry.0 == slot).map(|at| model.remove(at));
                let (expected, answered) = match held {
                    Some((_, same, true)) if same == authenticator => (Begin::Repeat(reply(b"r")), true),
                    Some((_, same, false)) if same == authenticator => (Begin::InProgress, false),
                    Some(_) | None => (Begin::Decide, false),
                };
                prop_assert_eq!(cache.begin(slot, &authenticator, now), expected);
                if answer {
                    cache.finish(slot, &authenticator, reply(b"r"));
                }
                model.push((slot, authenticator, answered || answer));
                if model.len() > capacity {
                    model.remove(0);
                }
                prop_assert_eq!(cache.len(), model.len());
            }
        }
    }

    fn slot(port: u16, identifier: u8) -> Slot {
        Slot {
            source: SocketAddr::from(([10, 0, 0, 1], port)),
            port: Port::Authentication,
            identifier,
        }
    }

    fn reply(octets: &[u8]) -> Arc<[u8]> {
        octets.into()
    }
}
