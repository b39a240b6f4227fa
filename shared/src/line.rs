//! How sessions of customers who log in nowhere are called: their router names none, so the agent does that counts.
//!
//! The name says from where on in its queue's counters a session counts. Two agents that do not know of each other and
//! read one queue begin sessions of their own; by their names the cloud sees which octets both tell of.

use crate::id::CustomerId;
use crate::time::Timestamp;

/// What the name of such a session says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineName {
    /// When its queue was read last before it.
    pub since: Timestamp,
    /// The queue's id at the router.
    pub queue: String,
    /// What the queue had counted by then, from the customer and to him; nothing where it began anew meanwhile.
    pub base: (u64, u64),
}

impl LineName {
    /// As the session is called.
    pub fn of(&self, customer: CustomerId) -> String {
        let (up, down) = self.base;
        let queue: String = self.queue.chars().take(LONGEST_QUEUE).collect();
        format!("{}-{queue}-{up:x}-{down:x}", seen(customer, self.since))
    }

    /// Reads a name. Reads untrusted bytes; `None` for any other one.
    pub fn parse(name: &str) -> Option<LineName> {
        let mut parts = name.strip_prefix(OURS)?.splitn(3, '-');
        let _customer = parts.next()?;
        let since = i64::from_str_radix(parts.next()?, 16).ok()?;
        let (rest, down) = parts.next()?.rsplit_once('-')?;
        let (queue, up) = rest.rsplit_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some(LineName {
            since: Timestamp::from_micros(since),
            queue: queue.to_owned(),
            base: (number(up)?, number(down)?),
        })
    }
}

/// How the session of somebody is called who is online since then, and whom no queue counts. Ids begin with the time
/// they were made at: their end tells customers apart.
pub fn seen(customer: CustomerId, since: Timestamp) -> String {
    let id = customer.0.simple().to_string();
    let end = id.get(20..).unwrap_or(&id);
    format!("{OURS}{end}-{:x}", since.micros())
}

/// Whether an agent called a session so.
pub fn is_ours(name: &[u8]) -> bool {
    name.starts_with(OURS.as_bytes())
}

/// How those names begin.
pub const OURS: &str = "line-";
/// Ids of rows are a star and a number.
const LONGEST_QUEUE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u128 = 0x0198_0000_0000_7000_8000_0000_0000_0000;

    fn name(queue: &str, base: (u64, u64)) -> LineName {
        LineName {
            since: Timestamp::from_micros(1_700_000_000_000_123),
            queue: queue.to_owned(),
            base,
        }
    }

    #[test]
    fn a_name_is_read_as_it_was_given() {
        let customer = CustomerId(uuid::Uuid::from_u128(MINUTE + 7));
        for name in [
            name("*1F", (0, 0)),
            name("*1", (u64::MAX, 12)),
            name("a-b", (1, 2)),
        ] {
            assert_eq!(LineName::parse(&name.of(customer)), Some(name));
        }
        let seen = seen(customer, Timestamp::from_secs(7));
        for other in [seen.as_str(), "line-x", "80000001", "line-a-z-c-d-e", ""] {
            assert_eq!(LineName::parse(other), None, "{other}");
        }
        assert!(is_ours(seen.as_bytes()) && !is_ours(b"80000001"));
    }

    /// Ids that were made within a minute begin alike, and all queues of a router are read at one instant.
    #[test]
    fn two_customers_of_one_minute_have_sessions_of_their_own() {
        let of = |number: u128, micros: i64| {
            let customer = CustomerId(uuid::Uuid::from_u128(MINUTE + number));
            seen(customer, Timestamp::from_micros(micros))
        };
        assert_ne!(of(1, 5), of(2, 5));
        assert_ne!(of(1, 5), of(1, 6));
        assert_eq!(of(1, 5), of(1, 5), "whoever counts");
    }
}
