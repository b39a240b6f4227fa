//! What may be said of a move.

use std::net::IpAddr;

use crate::api::is_masked;
use crate::error::{FieldError, Wrong};

/// What a request says of an old server. `None`: not mentioned.
#[derive(Clone, Default)]
pub struct Change {
    /// Where it is.
    pub address: Option<String>,
    /// Its port for logins.
    pub auth_port: Option<i32>,
    /// Its port for accounting.
    pub acct_port: Option<i32>,
    /// What it shares with the site; masked or empty = unchanged.
    pub secret: Option<String>,
}

/// Where an old server is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its address.
    pub address: IpAddr,
    /// Its port for logins.
    pub auth_port: i32,
    /// Its port for accounting.
    pub acct_port: i32,
}

/// The place and, where it is a new one, the secret that a request makes from the ones before.
///
/// The site's agent asks it only inside its own networks; which those are is not known here.
pub fn old_server(
    change: &Change,
    before: Option<&Place>,
) -> Result<(Place, Option<String>), Vec<FieldError>> {
    let mut wrong = Wrong::default();
    let address = match (&change.address, before) {
        (Some(text), _) => text.trim().parse().ok(),
        (None, Some(before)) => Some(before.address),
        (None, None) => None,
    };
    let usable = |address: &IpAddr| !address.is_unspecified() && !address.is_multicast();
    let address = address.filter(usable).unwrap_or_else(|| {
        let what = "is required: the old server's address, such as 192.168.88.5";
        wrong.add("oldServer.address", what);
        IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)
    });
    let place = Place {
        address,
        auth_port: change
            .auth_port
            .or(before.map(|before| before.auth_port))
            .unwrap_or(1812),
        acct_port: change
            .acct_port
            .or(before.map(|before| before.acct_port))
            .unwrap_or(1813),
    };
    for (field, port) in [
        ("oldServer.authPort", place.auth_port),
        ("oldServer.acctPort", place.acct_port),
    ] {
        if !(1..=65535).contains(&port) {
            wrong.add(field, "must be 1 to 65535");
        }
    }
    let secret = change.secret.clone().filter(|text| !is_masked(text));
    match &secret {
        Some(text) if text.len() > 128 || text.chars().any(char::is_control) => {
            wrong.add("oldServer.secret", "must have at most 128 characters");
        }
        None if before.is_none() => wrong.add("oldServer.secret", "is required"),
        Some(_) | None => {}
    }
    wrong.none_or((place, secret))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_server_needs_an_address_and_a_secret_once() {
        let fields = |change: &Change, before: Option<&Place>| -> Vec<String> {
            let wrong = old_server(change, before).unwrap_err().into_iter();
            wrong.map(|one| one.field).collect()
        };
        let nothing = Change::default();
        let both = ["oldServer.address", "oldServer.secret"];
        assert_eq!(fields(&nothing, None), both);

        let first = Change {
            address: Some("10.0.0.5".into()),
            secret: Some("testing123".into()),
            ..Change::default()
        };
        let (place, secret) = old_server(&first, None).unwrap();
        assert_eq!((place.auth_port, place.acct_port), (1812, 1813));
        assert_eq!(secret.as_deref(), Some("testing123"));

        let masked = Change {
            secret: Some("********".into()),
            auth_port: Some(1645),
            ..Change::default()
        };
        let (moved, secret) = old_server(&masked, Some(&place)).unwrap();
        assert_eq!((moved.address, moved.auth_port), (place.address, 1645));
        assert_eq!(secret, None);

        let bad = Change {
            address: Some("old.example".into()),
            acct_port: Some(0),
            ..Change::default()
        };
        let wrong = ["oldServer.address", "oldServer.acctPort"];
        assert_eq!(fields(&bad, Some(&place)), wrong);
    }
}
