//! What a router's record may say.

use std::net::IpAddr;
use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::words::Signing;
use crate::api::is_masked;
use crate::error::{FieldError, Wrong};

/// The content of a router's record, checked; secrets apart.
#[derive(Clone, PartialEq, Debug)]
pub struct Draft {
    /// Unique in the tenant.
    pub name: String,
    /// Where CoA, API and SNMP go.
    pub ip_address: IpAddr,
    /// Where its requests come from.
    pub source_network: IpNet,
    /// Where it takes CoA and Disconnect.
    pub coa_port: i32,
    /// Whether unsigned requests are taken; `None` = as is usual at its site.
    pub message_authenticator: Option<Signing>,
    /// Whether its DHCP servers ask for the leases of DHCP customers.
    pub dhcp_radius: bool,
    /// User of its API.
    pub api_username: Option<String>,
    /// Port of its API.
    pub api_port: i32,
    /// Degrees north.
    pub latitude: Option<f64>,
    /// Degrees east.
    pub longitude: Option<f64>,
    /// A place a person would find.
    pub location: Option<String>,
    /// The device through which it is reached.
    pub parent: Option<RouterId>,
}

/// What a request says about a router. Outer `None`: not mentioned; `Some(None)`: emptied.
#[derive(Clone, PartialEq, Debug, Default)]
#[expect(missing_docs, reason = "see Draft")]
pub struct Change {
    pub name: Option<String>,
    pub ip_address: Option<String>,
    pub source_network: Option<Option<String>>,
    pub coa_port: Option<i32>,
    pub message_authenticator: Option<Signing>,
    pub dhcp_radius: Option<bool>,
    pub api_username: Option<Option<String>>,
    pub api_port: Option<i32>,
    pub latitude: Option<Option<f64>>,
    pub longitude: Option<Option<f64>>,
    pub location: Option<Option<String>>,
    pub parent: Option<Option<RouterId>>,
}

/// The record that a change makes, from nothing or from the one before.
///
/// A source network that was only ever the address follows the address.
pub fn draft(change: Change, before: Option<&Draft>) -> Result<Draft, Vec<FieldError>> {
    let mut wrong = Wrong::default();
    let name = change.name.map(|name| name.trim().to_owned());
    let name = wrong.required("name", name.or(before.map(|before| before.name.clone())));
    if !name.is_empty() && (name.chars().count() > 100 || name.chars().any(char::is_control)) {
        wrong.add("name", "must have 1 to 100 characters");
    }

    let ip_address = match (change.ip_address, before) {
        (Some(text), _) => text.trim().parse().unwrap_or_else(|_| {
            wrong.add("ipAddress", "must be an address such as 192.168.88.1");
            UNKNOWN
        }),
        (None, Some(before)) => before.ip_address,
        (None, None) => {
            wrong.add("ipAddress", "is required");
            UNKNOWN
        }
    };
    let source_network = match (change.source_network.flatten(), before) {
        (Some(text), _) => network(text.trim()).unwrap_or_else(|| {
            wrong.add(
                "sourceNetwork",
                "must be an address or a network such as 10.0.0.0/24",
            );
            IpNet::from(ip_address)
        }),
        (None, Some(before)) if before.source_network != IpNet::from(before.ip_address) => {
            before.source_network
        }
        (None, Some(_) | None) => IpNet::from(ip_address),
    };

    let draft = Draft {
        name,
        ip_address,
        source_network,
        coa_port: change
            .coa_port
            .or(before.map(|b| b.coa_port))
            .unwrap_or(3799),
        message_authenticator: change
            .message_authenticator
            .or(before.and_then(|before| before.message_authenticator)),
        dhcp_radius: change
            .dhcp_radius
            .unwrap_or_else(|| before.is_some_and(|before| before.dhcp_radius)),
        api_username: change
            .api_username
            .unwrap_or_else(|| before.and_then(|before| before.api_username.clone())),
        api_port: change
            .api_port
            .or(before.map(|b| b.api_port))
            .unwrap_or(8728),
        latitude: change
            .latitude
            .unwrap_or(before.and_then(|before| before.latitude)),
        longitude: change
            .longitude
            .unwrap_or(before.and_then(|before| before.longitude)),
        location: change
            .location
            .unwrap_or_else(|| before.and_then(|before| before.location.clone())),
        parent: change
            .parent
            .unwrap_or(before.and_then(|before| before.parent)),
    };
    for (field, port) in [("coaPort", draft.coa_port), ("apiPort", draft.api_port)] {
        if !(1..=65535).contains(&port) {
            wrong.add(field, "must be 1 to 65535");
        }
    }
    wrong.coordinates(draft.latitude, draft.longitude);
    for (field, text) in [
        ("apiUsername", &draft.api_username),
        ("location", &draft.location),
    ] {
        if text
            .as_ref()
            .is_some_and(|text| text.chars().count() > 200 || text.contains('\0'))
        {
            wrong.add(field, "must have at most 200 characters");
        }
    }
    wrong.none_or(draft)
}

/// Stands where no address could be read; never stored.
const UNKNOWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// A way to a router at which its server was not seen for so long leads nowhere any more.
pub const WAY_UNSEEN: Duration = Duration::from_secs(15);

/// A network, or an address as the network of itself.
fn network(text: &str) -> Option<IpNet> {
    match text.parse::<IpNet>() {
        Ok(network) => Some(network.trunc()),
        Err(_) => text.parse::<IpAddr>().ok().map(IpNet::from),
    }
}

/// What a request says of a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Secret {
    /// Absent, empty or the mask sent back.
    Unchanged,
    /// A new one.
    New(String),
}

/// Reads a secret field: a RADIUS secret has 8 to 128 printable ASCII characters, which every RouterOS
/// takes; spaces and quotes are refused because scripts would have to escape them.
pub fn secret(field: &str, text: Option<&str>) -> Result<Secret, FieldError> {
    let Some(text) = text.filter(|text| !is_masked(text)) else {
        return Ok(Secret::Unchanged);
    };
    let plain = |c: char| c.is_ascii_graphic() && !"\"\\$`'".contains(c);
    if !(8..=128).contains(&text.len()) || !text.chars().all(plain) {
        return Err(FieldError {
            field: field.to_owned(),
            message:
                "must have 8 to 128 letters, digits or signs, without spaces, quotes, $ and \\"
                    .to_owned(),
        });
    }
    Ok(Secret::New(text.to_owned()))
}

/// Reads the password of an API user: whatever a person chose at the router.
pub fn password(field: &str, text: Option<&str>) -> Result<Secret, FieldError> {
    let Some(text) = text.filter(|text| !is_masked(text)) else {
        return Ok(Secret::Unchanged);
    };
    if text.len() > 128 || text.chars().any(char::is_control) {
        return Err(FieldError {
            field: field.to_owned(),
            message: "must have at most 128 characters".to_owned(),
        });
    }
    Ok(Secret::New(text.to_owned()))
}

/// A random secret: 24 letters and digits that are not mistaken for one another, about 138 bits.
pub fn random_secret(entropy: &Entropy) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    let letter = |_| {
        let at = usize::try_from(entropy.below(LETTERS.len() as u64)).unwrap_or(0);
        char::from(LETTERS[at])
    };
    (0..24).map(letter).collect()
}

/// The customers whom a router answers by its own lists, as it was last read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LocalSecrets {
    /// Their names, at most 200.
    pub names: Vec<String>,
    /// How many they are.
    pub count: i64,
    /// When the lists were read.
    pub at: Option<Timestamp>,
}

impl LocalSecrets {
    /// What is wrong and what to do about it; `None` where nobody is hidden.
    pub fn warning(&self) -> Option<(String, &'static str)> {
        let who = match self.count {
            ..1 => return None,
            1 => "1 customer".to_owned(),
            count => format!("{count} customers"),
        };
        let shown = self.names.iter().take(5).map(String::as_str);
        let mut names = shown.collect::<Vec<&str>>().join(", ");
        if self.count > 5 {
            names.push_str(", …");
        }
        let wrong = format!(
            "A local secret on the router hides {who} ({names}): the router answers them itself, without \
             asking us, so nothing that is paid or blocked here reaches them."
        );
        Some((wrong, "Remove them from /ppp secret or /ip hotspot user."))
    }
}

/// A pool of a router's addresses, as it told of it.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Pool {
    /// What it is called.
    pub name: String,
    /// How many addresses it has.
    pub size: u32,
    /// How many of them are given out.
    pub used: u32,
}

/// What of a router differs from its set-up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Drifted {
    /// As `/ppp aaa use-radius`, at most ten.
    pub shown: Vec<String>,
    /// How much it is.
    pub count: i64,
    /// Since when.
    pub since: Option<Timestamp>,
}

impl Drifted {
    /// How much differs, and the first `most` of it by name; `None` where nothing does.
    pub fn words(&self, most: usize) -> Option<String> {
        let what = match self.count {
            ..1 => return None,
            1 => "1 setting".to_owned(),
            count => format!("{count} settings"),
        };
        let named: Vec<&str> = self.shown.iter().take(most).map(String::as_str).collect();
        let more = match self.count > i64::try_from(named.len()).unwrap_or(i64::MAX) {
            true => ", …",
            false => "",
        };
        Some(format!("{what} ({}{more})", named.join(", ")))
    }

    /// What is wrong and what to do about it; `None` where nothing differs.
    pub fn warning(&self) -> Option<(String, &'static str)> {
        let what = self.words(self.shown.len())?;
        Some((
            format!("{what} of this router differ from its set-up."),
            "Look at GET /api/nas/{router}/drift; POST /api/nas/{router}/drift/repair writes what differs.",
        ))
    }
}

/// What an edit changed, in words that hold no secret.
pub fn differences(before: &Draft, after: &Draft) -> Vec<String> {
    let mut said = Vec::new();
    if before.name != after.name {
        said.push(format!("name to {}", after.name));
    }
    if before.ip_address != after.ip_address {
        said.push(format!("address to {}", after.ip_address));
    }
    if before.source_network != after.source_network {
        said.push(format!("source network to {}", after.source_network));
    }
    if (before.coa_port, before.api_port) != (after.coa_port, after.api_port) {
        said.push("ports".to_owned());
    }
    if before.message_authenticator != after.message_authenticator {
        said.push(match after.message_authenticator {
            Some(Signing::Require) => "Message-Authenticator to required".to_owned(),
            Some(Signing::Learn) | None => "Message-Authenticator to learnt".to_owned(),
        });
    }
    if before.dhcp_radius != after.dhcp_radius {
        said.push(match after.dhcp_radius {
            true => "DHCP to RADIUS".to_owned(),
            false => "DHCP to its API".to_owned(),
        });
    }
    if before.api_username != after.api_username {
        said.push("API user".to_owned());
    }
    if (before.latitude, before.longitude, &before.location)
        != (after.latitude, after.longitude, &after.location)
    {
        said.push("location".to_owned());
    }
    if before.parent != after.parent {
        said.push("what it stands behind".to_owned());
    }
    said
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn named(ip: &str) -> Change {
        Change {
            name: Some("Core".to_owned()),
            ip_address: Some(ip.to_owned()),
            ..Change::default()
        }
    }

    #[test]
    fn the_source_is_the_address_until_another_is_named() {
        let first = draft(named("10.0.0.1"), None).unwrap();
        assert_eq!(first.source_network.to_string(), "10.0.0.1/32");
        let moved = draft(named("10.0.0.2"), Some(&first)).unwrap();
        assert_eq!(moved.source_network.to_string(), "10.0.0.2/32");

        let wide = Change {
            source_network: Some(Some("127.3.2.1/8".to_owned())),
            ..Change::default()
        };
        let wide = draft(wide, Some(&first)).unwrap();
        assert_eq!(wide.source_network.to_string(), "127.0.0.0/8");
        let moved = draft(named("10.0.0.2"), Some(&wide)).unwrap();
        assert_eq!(moved.source_network.to_string(), "127.0.0.0/8");
    }

    #[test]
    fn what_a_form_sends_back_masked_is_unchanged() {
        for text in [None, Some(""), Some("********"), Some("  ")] {
            assert_eq!(secret("secret", text), Ok(Secret::Unchanged), "{text:?}");
        }
        assert_eq!(
            secret("secret", Some("demo-secret")),
            Ok(Secret::New("demo-secret".to_owned()))
        );
        for bad in ["short", "with space", "quo\"te-quote", "naïve-secret"] {
            assert!(secret("secret", Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_random_secret_has_24_letters_and_passes_its_own_check() {
        let text = random_secret(&Entropy::seeded(5));
        assert_eq!(text.len(), 24);
        assert_ne!(text, random_secret(&Entropy::seeded(6)));
        assert!(matches!(secret("secret", Some(&text)), Ok(Secret::New(_))));
    }

    #[test]
    fn wrong_fields_are_named() {
        let change = Change {
            coa_port: Some(0),
            latitude: Some(Some(91.0)),
            ..named("somewhere")
        };
        let fields: Vec<String> = draft(change, None)
            .unwrap_err()
            .into_iter()
            .map(|error| error.field)
            .collect();
        assert_eq!(fields, ["ipAddress", "coaPort", "latitude"]);
    }
}
