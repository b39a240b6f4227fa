//! What a router calls sessions that go by another name here: by a voucher's code, which is written
//! nowhere, or by a device's address. In memory alone, for the router must hear its own word again when
//! a session is to end.

use std::collections::HashMap;

use zeroize::Zeroizing;

use crate::sessions::SessionKey;
use crate::sizes::Size;

/// The routers' names of open sessions.
#[derive(Default)]
pub(super) struct Spoken(HashMap<SessionKey, Zeroizing<Box<[u8]>>>);

impl Spoken {
    /// A router spoke of a session under this name.
    pub(super) fn note(&mut self, key: &SessionKey, name: &[u8]) {
        if self.0.len() < MOST && !self.0.contains_key(key) {
            self.0.insert(key.clone(), Zeroizing::new(name.into()));
        }
    }

    pub(super) fn size(&self) -> Size {
        Size::new("sessions by their routers' names", self.0.len(), MOST)
    }

    /// A session is over.
    pub(super) fn forget(&mut self, key: &SessionKey) {
        self.0.remove(key);
    }

    /// What its router calls a session of a hotspot, or one under another name than ours.
    pub(super) fn of(&self, key: &SessionKey) -> Option<Zeroizing<Box<[u8]>>> {
        self.0.get(key).cloned()
    }
}

/// More hotspot sessions than any box serves.
const MOST: usize = 50_000;

#[cfg(test)]
mod tests {
    use easyisp_shared::id::RouterId;

    use super::*;

    #[test]
    fn names_at_routers_are_bounded() {
        let mut spoken = Spoken::default();
        for number in 0..MOST + 10 {
            let key = SessionKey {
                router: RouterId(uuid::Uuid::nil()),
                acct_session_id: number.to_be_bytes().into(),
                class: Box::default(),
            };
            spoken.note(&key, b"a code");
        }
        assert!(!spoken.size().is_beyond());
        assert_eq!(spoken.size().size, MOST);
    }
}
