//! When a delivery is tried again, when a webhook is switched off, and how a body is signed.

use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Timestamp;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::event::EventKind;
use crate::error::Wrong;

/// Most webhooks of one tenant.
pub const MOST: usize = 20;
/// How long the secret before signs beside the new one.
pub const ROTATION: Duration = Duration::from_secs(DAY);
/// How long a webhook may take nothing at all before it is switched off.
pub const DEAF: Duration = Duration::from_secs(3 * DAY);
/// How long a delivery is kept.
pub const KEPT: Duration = Duration::from_secs(30 * DAY);

/// The rests after the first, second … try of one event: a little under three days in all.
const RESTS: [u64; 9] = [
    10,
    MINUTE,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    DAY,
];
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// What an address said to one try.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Heard {
    /// The status; `None` when there was no answer.
    pub status: Option<u16>,
    /// What went wrong, for people; `None` when nothing did.
    pub error: Option<String>,
    /// The beginning of the body.
    pub body: String,
}

/// What becomes of a delivery after a try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The address has it.
    Delivered,
    /// Try again after this rest.
    Again(Duration),
    /// It is not tried again.
    Failed,
    /// The address is gone for good, by its own word (410): the webhook is switched off.
    Gone,
}

/// Decides after try number `tries` (from 1). `draw` is a random number: many that fail together do not come
/// back together.
pub fn fate(kind: Option<EventKind>, tries: u32, heard: &Heard, draw: u64) -> Fate {
    match heard.status {
        Some(200..=299) => return Fate::Delivered,
        Some(410) => return Fate::Gone,
        Some(_) | None => {}
    }
    if kind.is_none() {
        return Fate::Failed; // a ping is for the person who looks now
    }
    match rest(tries, draw) {
        Some(rest) => Fate::Again(rest),
        None => Fate::Failed,
    }
}

/// The rest after this try, up to a tenth longer; `None` after the last.
fn rest(tries: u32, draw: u64) -> Option<Duration> {
    let place = usize::try_from(tries.checked_sub(1)?).ok()?;
    let millis = RESTS.get(place)? * 1000;
    Some(Duration::from_millis(millis + draw % (millis / 10)))
}

/// The header `EasyISP-Signature`: `t=<unix seconds>,v1=<hex>`, one `v1` for each secret that counts. Each is
/// the HMAC-SHA256 of `<t>.<body>` under the whole text of the secret.
pub fn signature(secrets: &[SecretString], body: &str, now: Timestamp) -> String {
    let at = now.secs();
    let mut header = format!("t={at}");
    for secret in secrets {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
            .expect("HMAC takes keys of every length");
        mac.update(format!("{at}.{body}").as_bytes());
        header.push_str(",v1=");
        header.push_str(&hex::encode(mac.finalize().into_bytes()));
    }
    header
}

/// A new signing secret: 256 random bits behind a word by which leaked ones are found.
pub fn new_secret(entropy: &Entropy) -> SecretString {
    format!("whsec_{}", hex::encode(entropy.bytes::<32>())).into()
}

/// What a stranger's answer says, fit to be kept and shown: no control characters, at most 1,024 letters.
pub fn plain(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let shown = text.chars().map(|c| match c {
        '\n' | '\t' => ' ',
        c => c,
    });
    shown.filter(|c| !c.is_control()).take(1024).collect()
}

/// The events that a webhook wants, each once; notes in `wrong` what is none.
pub fn events(said: &[String], wrong: &mut Wrong) -> Vec<String> {
    let mut events: Vec<String> = Vec::new();
    for name in said {
        match EventKind::parse(name) {
            Some(_) if events.contains(name) => {}
            Some(_) => events.push(name.clone()),
            None => {
                let known = EventKind::WANTED.map(EventKind::name).join(", ");
                let shown: String = name.chars().take(60).collect();
                wrong.add(
                    "events",
                    &format!("must hold some of {known}, not {shown:?}"),
                );
                return events;
            }
        }
    }
    if events.is_empty() {
        wrong.add(
            "events",
            "must hold at least one name, such as payment.received",
        );
    }
    events
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answered(status: u16) -> Heard {
        Heard {
            status: Some(status),
            ..Heard::default()
        }
    }

    #[test]
    fn a_delivery_is_tried_ten_times_over_three_days() {
        let kind = Some(EventKind::PaymentReceived);
        let mut all = Duration::ZERO;
        for tries in 1..=9 {
            match fate(kind, tries, &answered(500), 0) {
                Fate::Again(rest) => all += rest,
                other => panic!("{other:?} after {tries}"),
            }
        }
        assert_eq!(fate(kind, 10, &answered(500), 0), Fate::Failed);
        let days = all.as_secs_f64() / 86_400.0;
        assert!((2.5..3.0).contains(&days), "{days}");
        assert_eq!(
            fate(kind, 1, &Heard::default(), 0),
            Fate::Again(Duration::from_secs(10))
        );
    }

    #[test]
    fn success_is_2xx_and_gone_is_gone() {
        let kind = Some(EventKind::RouterUp);
        assert_eq!(fate(kind, 3, &answered(204), 0), Fate::Delivered);
        assert_eq!(fate(kind, 1, &answered(410), 0), Fate::Gone);
        assert!(matches!(fate(kind, 1, &answered(302), 0), Fate::Again(_)));
        assert_eq!(fate(None, 1, &answered(500), 0), Fate::Failed);
    }

    proptest! {
        #[test]
        fn a_rest_grows_by_a_tenth_at_most(tries in 1u32..10, draw in any::<u64>()) {
            let shortest = rest(tries, 0).expect("a rest");
            let drawn = rest(tries, draw).expect("a rest");
            prop_assert!(drawn >= shortest && drawn <= shortest.mul_f64(1.1));
        }

        #[test]
        fn what_is_kept_of_an_answer_is_short_and_plain(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            let kept = plain(&bytes);
            prop_assert!(kept.chars().count() <= 1024);
            prop_assert!(!kept.chars().any(char::is_control));
        }
    }

    /// The bytes that other programs check.
    #[test]
    fn a_signature_covers_time_and_body() {
        let (old, new) = ("whsec_old".into(), "whsec_new".into());
        let at = Timestamp::from_secs(1_800_000_000);
        let one = signature(std::slice::from_ref(&new), "{}", at);
        let two = signature(&[new, old], "{}", at);
        assert!(one.starts_with("t=1800000000,v1="), "{one}");
        assert!(two.starts_with(&one), "the new one first");
        assert_eq!(two.matches("v1=").count(), 2);
        assert_eq!(one.len(), "t=1800000000,v1=".len() + 64);
    }

    #[test]
    fn a_secret_is_256_bits_and_no_other() {
        let entropy = Entropy::seeded(1);
        let (one, other) = (new_secret(&entropy), new_secret(&entropy));
        assert_eq!(one.expose_secret().len(), 6 + 64);
        assert_ne!(one.expose_secret(), other.expose_secret());
    }
}
