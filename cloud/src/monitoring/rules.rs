//! How a device may be entered, and whether it answers.

use std::time::Duration;

use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::monitor::{SnmpAuth, SnmpPrivacy};
use secrecy::{ExposeSecret, SecretString};

use crate::api::is_masked;
use crate::error::{FieldError, Wrong};

/// How to enter a device, checked; secrets apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// UDP port.
    pub port: i32,
    /// Seconds between two readings.
    pub interval_secs: i32,
    /// How.
    pub way: Way,
}

/// How to enter, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// SNMPv2c.
    Community,
    /// SNMPv3.
    User {
        /// His name.
        name: String,
        /// How he signs.
        auth: Option<SnmpAuth>,
        /// How he enciphers.
        privacy: Option<SnmpPrivacy>,
    },
}

/// What a request says. `None`: not mentioned.
#[derive(Clone, Default)]
pub struct Change {
    pub version: Option<String>,
    pub port: Option<i32>,
    pub interval_secs: Option<i32>,
    pub community: Option<SecretString>,
    pub username: Option<String>,
    pub auth_protocol: Option<String>,
    pub auth_password: Option<SecretString>,
    pub privacy_protocol: Option<String>,
    pub privacy_password: Option<SecretString>,
}

/// Which secrets are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// A community.
    pub community: bool,
    /// A password that signs.
    pub auth: bool,
    /// A password that enciphers.
    pub privacy: bool,
}

/// What a change makes, from nothing or from what was before.
pub fn draft(
    change: &Change,
    before: Option<&Draft>,
    held: Held,
) -> Result<Draft, Vec<FieldError>> {
    let mut wrong = Wrong::default();
    let port = change
        .port
        .or(before.map(|before| before.port))
        .unwrap_or(161);
    if !(1..=65535).contains(&port) {
        wrong.add("port", "must be 1 to 65535");
    }
    let interval = before.map(|before| before.interval_secs);
    let interval_secs = change.interval_secs.or(interval).unwrap_or(60);
    if !(10..=86_400).contains(&interval_secs) {
        wrong.add("pollInterval", "must be 10 to 86400 seconds");
    }
    let said = change
        .version
        .as_deref()
        .map(|text| text.trim().to_ascii_lowercase());
    let three = match said.as_deref() {
        Some("3" | "v3") => true,
        Some("2" | "2c" | "v2" | "v2c") => false,
        Some(_) => {
            wrong.add(
                "version",
                "must be v2c or v3; v1 is not spoken: it has no counters of 64 bits",
            );
            false
        }
        // Whoever names a community and no user means it to be used.
        None if fresh(change.community.as_ref()).is_some() && change.username.is_none() => false,
        None => match before.map(|before| &before.way) {
            // Nobody sends a community for a user: without a word of one it is the other way that is meant.
            Some(Way::User { .. }) => {
                let of_user = [&change.auth_password, &change.privacy_password];
                let names_user = change.username.is_some()
                    || change.auth_protocol.is_some()
                    || change.privacy_protocol.is_some()
                    || of_user.iter().any(|held| fresh(held.as_ref()).is_some());
                names_user || fresh(change.community.as_ref()).is_none()
            }
            Some(Way::Community) => false,
            None => change.username.is_some() && change.community.is_none(),
        },
    };
    if three && fresh(change.community.as_ref()).is_some() {
        wrong.add("community", "is of v2c: leave it out, or say version v2c");
    }
    let way = match three {
        true => user(change, before, held, &mut wrong),
        false => {
            match fresh(change.community.as_ref()) {
                Some(community) if !fits(community, 1, 64) => {
                    wrong.add("community", "must have 1 to 64 characters of ASCII");
                }
                None if !held.community => wrong.add("community", "is required for v2c"),
                Some(_) | None => {}
            }
            Way::Community
        }
    };
    let draft = Draft {
        port,
        interval_secs,
        way,
    };
    wrong.none_or(draft)
}

fn user(change: &Change, before: Option<&Draft>, held: Held, wrong: &mut Wrong) -> Way {
    let (name, auth, privacy) = match before.map(|before| &before.way) {
        Some(Way::User {
            name,
            auth,
            privacy,
        }) => (Some(name.clone()), *auth, *privacy),
        Some(Way::Community) | None => (None, None, None),
    };
    let name = change
        .username
        .as_ref()
        .map(|name| name.trim().to_owned())
        .or(name);
    let name = wrong.required("username", name);
    if !name.is_empty() && (name.len() > 32 || name.chars().any(char::is_control)) {
        wrong.add("username", "must have 1 to 32 characters"); // RFC 3414: 32 octets
    }
    let auth = match change.auth_protocol.as_deref() {
        None => auth.or(change.auth_password.is_some().then_some(SnmpAuth::Sha1)),
        Some(text) => match auth_of(text) {
            Ok(auth) => auth,
            Err(()) => {
                wrong.add(
                    "authProtocol",
                    "must be MD5, SHA1, SHA224, SHA256, SHA384, SHA512 or none",
                );
                None
            }
        },
    };
    let privacy = match change.privacy_protocol.as_deref() {
        None => privacy.or(change
            .privacy_password
            .is_some()
            .then_some(SnmpPrivacy::Aes128)),
        Some(text) => match privacy_of(text) {
            Ok(privacy) => privacy,
            Err(()) => {
                wrong.add("privacyProtocol", "must be DES, AES or none");
                None
            }
        },
    };
    if privacy.is_some() && auth.is_none() {
        wrong.add("authProtocol", "is required where privacyProtocol is set");
    }
    let mut password = |field: &str, wanted: bool, said: Option<&SecretString>, held: bool| {
        match fresh(said) {
            // RFC 3414 §11.2, and RouterOS takes no shorter ones either.
            Some(text) if wanted && !fits(text, 8, 64) => {
                wrong.add(field, "must have 8 to 64 characters of ASCII");
            }
            None if wanted && !held => wrong.add(field, "is required"),
            Some(_) | None => {}
        }
    };
    let (signs, enciphers) = (auth.is_some(), privacy.is_some());
    password(
        "authPassword",
        signs,
        change.auth_password.as_ref(),
        held.auth,
    );
    password(
        "privacyPassword",
        enciphers,
        change.privacy_password.as_ref(),
        held.privacy,
    );
    Way::User {
        name,
        auth,
        privacy,
    }
}

/// A secret that is not the mask that was shown.
pub fn fresh(said: Option<&SecretString>) -> Option<&str> {
    let text = said?.expose_secret();
    (!is_masked(text) && !text.is_empty()).then_some(text)
}

fn fits(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len())
        && text.chars().all(|c| c.is_ascii() && !c.is_ascii_control())
}

/// A protocol by its name; `Ok(None)` for none.
pub fn auth_of(text: &str) -> Result<Option<SnmpAuth>, ()> {
    Ok(Some(
        match text.trim().to_ascii_uppercase().replace('-', "").as_str() {
            "" | "NONE" => return Ok(None),
            "MD5" => SnmpAuth::Md5,
            "SHA" | "SHA1" => SnmpAuth::Sha1,
            "SHA224" => SnmpAuth::Sha224,
            "SHA256" => SnmpAuth::Sha256,
            "SHA384" => SnmpAuth::Sha384,
            "SHA512" => SnmpAuth::Sha512,
            _ => return Err(()), // words of a client
        },
    ))
}

/// The same for ciphers.
pub fn privacy_of(text: &str) -> Result<Option<SnmpPrivacy>, ()> {
    Ok(Some(
        match text.trim().to_ascii_uppercase().replace('-', "").as_str() {
            "" | "NONE" => return Ok(None),
            "DES" => SnmpPrivacy::Des,
            "AES" | "AES128" => SnmpPrivacy::Aes128,
            _ => return Err(()), // words of a client
        },
    ))
}

/// The word that is stored.
pub const fn auth_word(auth: SnmpAuth) -> &'static str {
    match auth {
        SnmpAuth::Md5 => "MD5",
        SnmpAuth::Sha1 => "SHA1",
        SnmpAuth::Sha224 => "SHA224",
        SnmpAuth::Sha256 => "SHA256",
        SnmpAuth::Sha384 => "SHA384",
        SnmpAuth::Sha512 => "SHA512",
    }
}

/// The word that is stored.
pub const fn privacy_word(privacy: SnmpPrivacy) -> &'static str {
    match privacy {
        SnmpPrivacy::Des => "DES",
        SnmpPrivacy::Aes128 => "AES",
    }
}

/// Whether a device answers, by what was told of it last.
pub fn standing(
    polled_at: Option<Timestamp>,
    problem: Option<&str>,
    interval_secs: i32,
    now: Timestamp,
) -> &'static str {
    let interval = Duration::from_secs(u64::from(interval_secs.unsigned_abs()));
    match (polled_at, problem) {
        (None, _) => "PENDING",
        (Some(at), None) if now.since(at) <= GATHER + interval * MISSED => "ONLINE",
        (Some(_), Some(_) | None) => "OFFLINE",
    }
}

/// How long agents gather readings.
pub const GATHER: Duration = Duration::from_secs(360);
/// So many intervals later something is wrong between here and there.
pub const MISSED: u32 = 3;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn secret(text: &str) -> Option<SecretString> {
        Some(SecretString::from(text))
    }

    fn fields(change: &Change, before: Option<&Draft>, held: Held) -> Vec<String> {
        let wrong = draft(change, before, held).err().unwrap_or_default();
        wrong.into_iter().map(|wrong| wrong.field).collect()
    }

    /// What is stored is what was said.
    #[test]
    fn a_community_for_a_device_with_a_user_is_used_or_refused() {
        let user = Draft {
            port: 161,
            interval_secs: 60,
            way: Way::User {
                name: "ours".to_owned(),
                auth: Some(SnmpAuth::Sha1),
                privacy: None,
            },
        };
        let held = Held {
            auth: true,
            ..Held::default()
        };
        let mut change = Change {
            community: secret("ROtext"),
            ..Change::default()
        };
        let made = draft(&change, Some(&user), held).unwrap();
        assert_eq!(made.way, Way::Community);
        change.version = Some("v3".to_owned());
        assert_eq!(fields(&change, Some(&user), held), ["community"]);
        let other = Change {
            port: Some(1161),
            ..Change::default()
        };
        let made = draft(&other, Some(&user), held).unwrap();
        assert_eq!((made.port, made.way), (1161, user.way));
    }

    #[test]
    fn a_device_is_entered_by_community_or_by_user() {
        let nothing = Change::default();
        assert_eq!(fields(&nothing, None, Held::default()), ["community"]);
        let community = Change {
            community: secret("ROtext"),
            ..Change::default()
        };
        let made = draft(&community, None, Held::default()).unwrap();
        assert_eq!(
            (made.port, made.interval_secs, made.way),
            (161, 60, Way::Community)
        );

        let user = Change {
            username: Some("watcher".to_owned()),
            auth_password: secret("a good one"),
            privacy_password: secret("another one"),
            ..Change::default()
        };
        let made = draft(&user, None, Held::default()).unwrap();
        let way = Way::User {
            name: "watcher".to_owned(),
            auth: Some(SnmpAuth::Sha1),
            privacy: Some(SnmpPrivacy::Aes128),
        };
        assert_eq!(made.way, way);
        // Who names a community afterwards means it to be used.
        let again = draft(&community, Some(&made), Held::default()).unwrap();
        assert_eq!(again.way, Way::Community);
        let short = Change {
            auth_password: secret("short"),
            privacy_protocol: Some("AES".to_owned()),
            version: Some("v3".to_owned()),
            port: Some(0),
            interval_secs: Some(5),
            ..Change::default()
        };
        assert_eq!(
            fields(&short, None, Held::default()),
            [
                "port",
                "pollInterval",
                "username",
                "authPassword",
                "privacyPassword"
            ]
        );
        let unsigned = Change {
            auth_protocol: Some("none".to_owned()),
            ..Change::default()
        };
        let held = Held {
            auth: true,
            privacy: true,
            ..Held::default()
        };
        assert_eq!(fields(&unsigned, Some(&made), held), ["authProtocol"]);
        // A mask is what was shown, not what is wanted.
        let masked = Change {
            auth_password: secret(crate::api::MASK),
            ..Change::default()
        };
        assert_eq!(draft(&masked, Some(&made), held).unwrap(), made);
        let odd = Change {
            version: Some("1".to_owned()),
            community: secret("x"),
            ..Change::default()
        };
        assert_eq!(fields(&odd, None, Held::default()), ["version"]);
    }
}
