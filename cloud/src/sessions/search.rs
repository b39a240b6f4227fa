//! Who had an address then: what is asked, and how sure an answer is.

use std::net::Ipv4Addr;

use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;

/// What a session is found by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Searched {
    /// The address it had, and the device where that is known too.
    Address(Ipv4Addr, Option<Mac>),
    /// Its device.
    Device(Mac),
}

impl std::fmt::Display for Searched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Searched::Address(ip, None) => write!(f, "{ip}"),
            Searched::Address(ip, Some(mac)) => write!(f, "{ip} with {mac}"),
            Searched::Device(mac) => write!(f, "{mac}"),
        }
    }
}

/// When: a window with both its ends, or one moment, where they are the same.
///
/// A session is open from its start until just before its end; one of no length was open at its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// The window's beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
}

impl Moment {
    /// Whether a session that was open within the window by our record was so beyond doubt: it began in it,
    /// or its router told of it after the window began.
    pub fn is_certain(self, started: Timestamp, last_seen: Timestamp) -> bool {
        started >= self.from || last_seen >= self.from
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.from == self.to {
            true => write!(f, "at {}", self.from),
            false => write!(f, "from {} to {}", self.from, self.to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_of_later_or_began_within_is_certain() {
        let at = Timestamp::from_secs;
        let window = Moment {
            from: at(100),
            to: at(200),
        };
        assert!(window.is_certain(at(150), at(150)));
        assert!(window.is_certain(at(50), at(100)));
        assert!(!window.is_certain(at(50), at(99)));
    }
}
