//! Places held at the site's other agents: hearsay. It keeps a further device out as a session here does, for
//! as long, and ends nothing: what this agent heard of a session itself is worth more.

use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;

use super::SessionKey;
use super::index::Index;
use super::slots::UNCONFIRMED_AFTER;
use crate::sizes::Size;

/// A session that another agent says is going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hearsay {
    /// Which.
    pub key: SessionKey,
    /// Whose.
    pub username: Box<[u8]>,
    /// On which device.
    pub mac: Option<Mac>,
    /// How long ago its router spoke of it, there.
    pub silent: Duration,
}

/// The place that it holds.
#[derive(Clone, Debug)]
pub(super) struct Place {
    username: Box<[u8]>,
    pub(super) mac: Option<Mac>,
    pub(super) until: Timestamp,
}

impl Index {
    /// Notes a place. What is known here to be over stays over.
    pub(super) fn hold(&mut self, told: Hearsay, now: Timestamp) {
        let known = self.online.get(&told.key);
        if known.is_some_and(|known| known.session.closed.is_some())
            || told.silent >= UNCONFIRMED_AFTER
        {
            return;
        }
        let until = now.plus(UNCONFIRMED_AFTER - told.silent);
        if let Some(held) = self.elsewhere.get_mut(&told.key)
            && held.username == told.username
        {
            held.until = held.until.max(until);
            held.mac = told.mac;
            return;
        }
        self.release(&told.key);
        let key = Arc::new(told.key);
        let person = self.people.entry(told.username.clone()).or_default();
        if person.elsewhere.len() >= MOST_ELSEWHERE {
            return;
        }
        person.elsewhere.push(key.clone());
        let place = Place {
            username: told.username,
            mac: told.mac,
            until,
        };
        self.elsewhere.insert(key, place);
    }

    /// Frees a place: the session is over, or known here.
    pub(super) fn release(&mut self, key: &SessionKey) {
        let Some(place) = self.elsewhere.remove(key) else {
            return;
        };
        if let Some(person) = self.people.get_mut(&place.username) {
            person.elsewhere.retain(|held| **held != *key);
        }
    }

    /// Frees those that nobody spoke of for too long.
    pub(super) fn release_silent(&mut self, now: Timestamp) {
        let Index {
            elsewhere, people, ..
        } = self;
        elsewhere.retain(|_, place| now < place.until);
        for person in people.values_mut() {
            person.elsewhere.retain(|key| elsewhere.contains_key(key));
        }
    }
}

pub(super) fn size(longest: usize) -> Size {
    Size::new("places elsewhere under a name", longest, MOST_ELSEWHERE)
}

/// Places remembered for one name: more than any package has devices.
const MOST_ELSEWHERE: usize = 64;
