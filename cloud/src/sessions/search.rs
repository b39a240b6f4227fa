//! Who had an address then: what is asked, and how sure an answer is.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use easyisp_shared::ipv6::{alone, of_a_line};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

/// An address that is asked about: of IPv4, of IPv6, or an IPv6 prefix with all that is in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Asked {
    /// One of IPv4.
    V4(Ipv4Addr),
    /// A prefix; an address has 128 bits.
    V6(Ipv6Net),
}

/// The most that is searched through at once: what one line gets at most.
const WIDEST: u8 = 48;

impl FromStr for Asked {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Asked, &'static str> {
        const WRONG: &str = "must be an IPv4 address, an IPv6 address, or an IPv6 prefix of 48 to 128 bits that a line can have";
        let prefix = match text.parse().map(|address: IpAddr| address.to_canonical()) {
            Ok(IpAddr::V4(address)) => return Ok(Asked::V4(address)),
            Ok(IpAddr::V6(address)) => alone(address),
            Err(_) => text.parse().map_err(|_| WRONG)?,
        };
        let known = of_a_line(prefix).filter(|prefix| prefix.prefix_len() >= WIDEST);
        known.map(Asked::V6).ok_or(WRONG)
    }
}

impl TryFrom<String> for Asked {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Asked, &'static str> {
        text.parse()
    }
}

impl From<Asked> for String {
    fn from(asked: Asked) -> String {
        asked.to_string()
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Asked::V4(address) => write!(f, "{address}"),
            Asked::V6(prefix) if prefix.prefix_len() == 128 => write!(f, "{}", prefix.addr()),
            Asked::V6(prefix) => write!(f, "{prefix}"),
        }
    }
}

/// What a session is found by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Searched {
    /// The address it had, and the device where that is known too.
    Address(Asked, Option<Mac>),
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
    fn addresses_and_prefixes_are_asked_about() {
        for (text, means) in [
            ("10.5.3.7", Some("10.5.3.7")),
            ("::ffff:10.5.3.7", Some("10.5.3.7")),
            ("2001:DB8::7", Some("2001:db8::7")),
            ("2001:db8::7/128", Some("2001:db8::7")),
            ("2001:db8::7/64", Some("2001:db8::/64")),
            ("2001:db8::/48", Some("2001:db8::/48")),
            ("2001:db8::/47", None),
            ("2001:db8::/129", None),
            ("10.5.3.0/24", None),
            ("::1", None),
            ("fe80::1", None),
            ("2001:db8::g", None),
            ("", None),
        ] {
            let asked = text.parse::<Asked>().map(|asked| asked.to_string());
            assert_eq!(asked.ok().as_deref(), means, "{text}");
        }
    }

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
