//! What two servers say to the same login, and in what that differs.

use std::net::Ipv4Addr;
use std::time::Duration;

use easyisp_shared::wire::up::MovingDifference;

use crate::radius::dictionary::{Code, attribute, mikrotik, wispr};
use crate::radius::packet::Packet;

/// What an answer gives. Text is as the router reads it; empty where nothing is said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// Whether he is let in.
    pub accepted: bool,
    /// Mikrotik-Rate-Limit, WISPr's bandwidths in the same words, or `profile NAME`.
    pub rate: String,
    /// Framed-IP-Address, or `pool NAME`.
    pub address: String,
    /// Session-Timeout.
    pub timeout: Option<Duration>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In what.
    pub kind: MovingDifference,
    /// What we say.
    pub ours: String,
    /// What the old server says.
    pub theirs: String,
}

impl Said {
    /// Reads an Accept or a Reject; `None` for a challenge, which decides nothing yet.
    pub fn read(answer: &Packet<'_>) -> Option<Said> {
        match answer.code()? {
            Code::AccessAccept => {}
            Code::AccessReject => return Some(Said::default()),
            _ => return None, // no other code answers a login
        }
        let number = |kind| {
            let mut all = answer.attributes().filter(|one| one.kind == kind);
            all.find_map(|one| one.number())
        };
        let pool = answer.first(attribute::FRAMED_POOL);
        let address = number(attribute::FRAMED_IP_ADDRESS).map(Ipv4Addr::from_bits);
        Some(Said {
            accepted: true,
            rate: rate(answer),
            address: match (address.filter(is_his_own), pool) {
                (Some(address), _) => address.to_string(),
                (None, Some(pool)) => format!("pool {}", text(pool)),
                (None, None) => String::new(),
            },
            timeout: number(attribute::SESSION_TIMEOUT)
                .map(|secs| Duration::from_secs(u64::from(secs))),
        })
    }

    /// In what `theirs` differs. Who is let in by one of the two only differs in nothing else.
    pub fn differences(&self, theirs: &Said) -> Vec<Difference> {
        let say = |kind, ours: String, theirs: String| Difference { kind, ours, theirs };
        if self.accepted != theirs.accepted {
            let word = |said: &Said| if said.accepted { "accept" } else { "reject" }.to_owned();
            return vec![say(MovingDifference::Answer, word(self), word(theirs))];
        }
        if !self.accepted {
            return Vec::new();
        }
        let mut all = Vec::new();
        if Speed::read(&self.rate) != Speed::read(&theirs.rate) {
            let (ours, theirs) = (self.rate.clone(), theirs.rate.clone());
            all.push(say(MovingDifference::Rate, ours, theirs));
        }
        if self.address != theirs.address {
            let (ours, theirs) = (self.address.clone(), theirs.address.clone());
            all.push(say(MovingDifference::Address, ours, theirs));
        }
        if !same_end(self.timeout, theirs.timeout) {
            let (ours, theirs) = (timeout(self.timeout), timeout(theirs.timeout));
            all.push(say(MovingDifference::Timeout, ours, theirs));
        }
        all
    }
}

/// What names a speed: the first of these that a router would heed.
fn rate(answer: &Packet<'_>) -> String {
    let vendor = |kind| answer.first_vendor(mikrotik::VENDOR, kind);
    let bandwidth = |kind| {
        let octets = answer.first_vendor(wispr::VENDOR, kind)?;
        Some(u32::from_be_bytes(octets.try_into().ok()?))
    };
    if let Some(rate) = vendor(mikrotik::RATE_LIMIT) {
        return text(rate);
    }
    let (up, down) = (
        bandwidth(wispr::BANDWIDTH_MAX_UP),
        bandwidth(wispr::BANDWIDTH_MAX_DOWN),
    );
    match (up.zip(down), vendor(mikrotik::GROUP)) {
        (Some((up, down)), _) => format!("{up}/{down}"),
        (None, Some(profile)) => format!("profile {}", text(profile)),
        (None, None) => String::new(),
    }
}

/// RouterOS reads an address in 127/8 or 224/3 as "from your pool".
fn is_his_own(address: &Ipv4Addr) -> bool {
    !address.is_loopback() && address.octets()[0] < 224 && !address.is_unspecified()
}

/// Text of an attribute for people: bounded, without control characters.
pub(super) fn text(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

/// Both end at the same time, for a person: clocks and rounding are minutes at most.
fn same_end(ours: Option<Duration>, theirs: Option<Duration>) -> bool {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => ours.abs_diff(theirs) <= SAME_END,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn timeout(timeout: Option<Duration>) -> String {
    timeout.map_or_else(String::new, |timeout| format!("{} s", timeout.as_secs()))
}

/// A Mikrotik-Rate-Limit as far as it is a speed: rates and bursts, both ways, in bits a second. Priority
/// and guaranteed rate, which packages here do not have, are left out.
#[derive(Debug, PartialEq, Eq)]
enum Speed {
    Limit {
        rate: (u64, u64),
        burst: Option<Burst>,
    },
    /// Something that is no limit: equal as text only.
    Words(String),
}

#[derive(Debug, PartialEq, Eq)]
struct Burst {
    ceiling: (u64, u64),
    threshold: (u64, u64),
    secs: (u64, u64),
}

impl Speed {
    fn read(text: &str) -> Speed {
        Speed::limit(text).unwrap_or_else(|| Speed::Words(text.trim().to_owned()))
    }

    /// The grammar of RouterOS: what is missing of a burst follows from the rate, over one second.
    fn limit(text: &str) -> Option<Speed> {
        let mut words = text.split_whitespace();
        let rate = pair(words.next()?)?;
        let ceiling = words.next().map(pair);
        let threshold = words.next().map(pair);
        let secs = words.next().map(pair);
        let burst = match ceiling {
            None => None,
            Some(ceiling) => Some(ceiling?).filter(|ceiling| *ceiling != (0, 0)),
        };
        let burst = match burst {
            None => None,
            Some(ceiling) => Some(Burst {
                ceiling,
                threshold: threshold.unwrap_or(Some(rate))?,
                secs: secs.unwrap_or(Some((1, 1)))?,
            }),
        };
        Some(Speed::Limit { rate, burst })
    }
}

/// `5M/10M`; one number counts for both.
fn pair(word: &str) -> Option<(u64, u64)> {
    match word.split_once('/') {
        Some((up, down)) => Some((number(up)?, number(down)?)),
        None => number(word).map(|both| (both, both)),
    }
}

fn number(word: &str) -> Option<u64> {
    let (digits, unit) = match word.char_indices().next_back()? {
        (at, 'k' | 'K') => (&word[..at], 1000),
        (at, 'M' | 'm') => (&word[..at], 1_000_000),
        (at, 'G' | 'g') => (&word[..at], 1_000_000_000),
        (_, _) => (word, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

const SAME_END: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::radius::Secret;
    use crate::radius::builder::{Builder, Signature};

    #[test]
    fn an_answer_is_read_as_the_router_would() {
        let said = |push: &dyn Fn(&mut Builder)| {
            let mut answer = Builder::new(Vec::new(), Code::AccessAccept, 1, Signature::None);
            push(&mut answer);
            let answer = answer.sign_answer(&[0; 16], &Secret::new(b"s"));
            Said::read(&Packet::parse(&answer).unwrap()).unwrap()
        };
        let all = said(&|answer| {
            answer.push_vendor(14988, 8, b"5M/10M").unwrap();
            answer.push_vendor(14988, 3, b"gold").unwrap();
            answer.push_number(8, 0x0a09_0007).unwrap();
            answer.push_number(27, 3600).unwrap();
        });
        let expected = Said {
            accepted: true,
            rate: "5M/10M".into(),
            address: "10.9.0.7".into(),
            timeout: Some(Duration::from_secs(3600)),
        };
        assert_eq!(all, expected);
        let other_words = said(&|answer| {
            answer.push_vendor_number(14122, 7, 5_000_000).unwrap();
            answer.push_vendor_number(14122, 8, 10_000_000).unwrap();
            answer.push_number(8, 0xffff_fffe).unwrap();
            answer.push(88, b"homes").unwrap();
        });
        assert_eq!(other_words.address, "pool homes");
        let kinds: Vec<MovingDifference> = all
            .differences(&other_words)
            .into_iter()
            .map(|one| one.kind)
            .collect();
        assert_eq!(
            kinds,
            [MovingDifference::Address, MovingDifference::Timeout]
        );
        let profile = said(&|answer| answer.push_vendor(14988, 3, b"gold").unwrap());
        assert_eq!(profile.rate, "profile gold");
    }

    #[test]
    fn the_same_speed_in_other_words_is_no_difference() {
        for (one, other) in [
            ("5M", "5M/5M"),
            ("5M/5M", "5000k/5000000"),
            ("10M/20M", "10M/20M 0/0 0/0 0/0 5 2M/4M"),
            ("64k 256k", "64k/64k 256k/256k 64k/64k 1/1"),
            ("profile gold", "profile gold "),
        ] {
            assert_eq!(Speed::read(one), Speed::read(other), "{one}: {other}");
        }
        for (one, other) in [
            ("5M/10M", "10M/5M"),
            ("10M", "5M"),
            ("5M/5M", "5M/5M 10M/10M"),
            ("5M", ""),
            ("", "profile gold"),
        ] {
            assert_ne!(Speed::read(one), Speed::read(other), "{one}: {other}");
        }
    }

    #[test]
    fn who_is_refused_differs_in_nothing_else() {
        let accepted = Said {
            accepted: true,
            rate: "10M/10M".into(),
            ..Said::default()
        };
        let refused = Said::default();
        let differences = accepted.differences(&refused);
        assert_eq!(differences.len(), 1);
        assert_eq!(differences[0].kind, MovingDifference::Answer);
        assert_eq!(
            (&*differences[0].ours, &*differences[0].theirs),
            ("accept", "reject")
        );
        assert_eq!(refused.differences(&refused), []);
        assert_eq!(accepted.differences(&accepted), []);
    }

    #[test]
    fn ends_some_minutes_apart_are_the_same() {
        let secs = |secs| Some(Duration::from_secs(secs));
        assert!(same_end(secs(10_000), secs(10_300)));
        assert!(!same_end(secs(10_000), secs(10_301)));
        assert!(!same_end(secs(10_000), None));
    }
}
