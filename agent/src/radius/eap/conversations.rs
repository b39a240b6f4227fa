//! The conversations that wait for a peer, found by the State attribute (RFC 2865 §5.24).

use std::collections::HashMap;
use std::time::Duration;

use easyisp_shared::id::RouterId;

use super::Conversation;
use crate::sizes::Size;

/// What the router returns with the next packet of a conversation. Random, so that nobody guesses it.
pub type State = [u8; 16];

/// A bounded number of conversations. The longest unheard gives way to a new one, first among those of
/// the same router when that router has its share.
pub struct Conversations {
    held: HashMap<State, Held>,
    most: usize,
    most_per_router: usize,
}

struct Held {
    router: RouterId,
    /// When it was heard last, monotonic.
    heard: Duration,
    /// `None` while a thread works on it.
    conversation: Option<Box<Conversation>>,
}

/// What belongs to a State.
pub enum Taken {
    /// This conversation; it is to be put back, or removed.
    Conversation(Box<Conversation>),
    /// One that another packet is being worked on for: drop this one.
    Busy,
    /// None: it is over, timed out, or another router's.
    Unknown,
}

impl Default for Conversations {
    fn default() -> Conversations {
        Conversations::new(MOST, MOST_PER_ROUTER)
    }
}

impl Conversations {
    /// Room for `most`, of which one router may have `most_per_router`.
    pub fn new(most: usize, most_per_router: usize) -> Conversations {
        Conversations {
            held: HashMap::new(),
            most: most.max(1),
            most_per_router: most_per_router.max(1),
        }
    }

    /// Holds a new conversation with `router`.
    pub fn begin(
        &mut self,
        state: State,
        router: RouterId,
        conversation: Box<Conversation>,
        now: Duration,
    ) {
        let of_router = self.held.values().filter(|held| held.router == router);
        if of_router.count() >= self.most_per_router {
            self.forget_one(Some(router), now);
        } else if self.held.len() >= self.most {
            self.forget_one(None, now);
        }
        let held = Held {
            router,
            heard: now,
            conversation: Some(conversation),
        };
        self.held.insert(state, held);
    }

    /// Takes the conversation of `state` out, to work on it without a lock.
    pub fn take(&mut self, state: &[u8], router: RouterId, now: Duration) -> Taken {
        let Ok(key) = State::try_from(state) else {
            return Taken::Unknown;
        };
        let Some(held) = self.held.get_mut(&key).filter(|held| held.router == router) else {
            return Taken::Unknown;
        };
        if now.saturating_sub(held.heard) >= KEPT_FOR {
            self.held.remove(&key);
            return Taken::Unknown;
        }
        held.heard = now;
        match held.conversation.take() {
            Some(conversation) => Taken::Conversation(conversation),
            None => Taken::Busy,
        }
    }

    /// Whether a State is of a conversation that is held.
    pub fn holds(&self, state: &[u8]) -> bool {
        let state = State::try_from(state);
        state.is_ok_and(|state| self.held.contains_key(&state))
    }

    /// Puts a conversation back that goes on. Nothing happens when it had to give way meanwhile.
    pub fn put_back(&mut self, state: &[u8], conversation: Box<Conversation>) {
        if let Some(held) = State::try_from(state)
            .ok()
            .and_then(|state| self.held.get_mut(&state))
        {
            held.conversation = Some(conversation);
        }
    }

    /// Forgets a conversation that is over.
    pub fn remove(&mut self, state: &[u8]) {
        if let Ok(state) = State::try_from(state) {
            self.held.remove(&state);
        }
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    pub(in crate::radius) fn size(&self) -> Size {
        Size::new("EAP conversations", self.len(), self.most)
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Makes room: all that timed out, else the longest unheard.
    fn forget_one(&mut self, router: Option<RouterId>, now: Duration) {
        let before = self.held.len();
        self.held
            .retain(|_, held| now.saturating_sub(held.heard) < KEPT_FOR);
        if self.held.len() < before && router.is_none() {
            return;
        }
        let candidates = self
            .held
            .iter()
            .filter(|(_, held)| router.is_none_or(|router| held.router == router));
        if let Some(oldest) = candidates.min_by_key(|(_, held)| held.heard) {
            let oldest = *oldest.0;
            self.held.remove(&oldest);
        }
    }
}

/// A person who types a password into a dialer that asks late still makes it; routers give up sooner.
pub const KEPT_FOR: Duration = Duration::from_secs(30);
/// A conversation in a tunnel is up to 60 KiB: 30 MiB at the very most.
const MOST: usize = 512;
/// So that one router cannot push the others' out.
const MOST_PER_ROUTER: usize = 256;
