//! Whether a router means by one word what we mean by another: it answers `true` to `yes`, `5m` to `300s`, and lists
//! in an order of its own.

use std::time::Duration;

/// Whether two words are the same to a router.
pub fn same(wanted: &str, found: &str) -> bool {
    if wanted == found {
        return true;
    }
    let truth = |text: &str| match text {
        "yes" | "true" => Some(true),
        "no" | "false" => Some(false),
        _ => None, // a word of a router
    };
    let span = |text: &str| duration(text).filter(|_| text.len() > 1);
    let set = |text: &str| {
        let mut parts: Vec<String> = text
            .split(',')
            .filter(|part| !part.starts_with('!'))
            .map(|part| part.strip_suffix("/32").unwrap_or(part).to_owned())
            .collect();
        parts.sort();
        parts
    };
    let equal = |one: Option<Duration>, other| one.is_some() && one == other;
    (truth(wanted).is_some() && truth(wanted) == truth(found))
        || equal(span(wanted), span(found))
        || set(wanted) == set(found)
}

/// Reads a time: `2d20h12m20s`, `1w2d03:04:05`, `01:22:53`, `10ms`; `None` where it is none.
pub fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        if rest.contains(':') && !rest.contains(|c: char| c.is_ascii_alphabetic()) {
            return total.checked_add(clock(rest)?);
        }
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let number: u64 = number.parse().ok()?;
        let part = match unit {
            "w" => Duration::from_secs(number.checked_mul(604_800)?),
            "d" => Duration::from_secs(number.checked_mul(86_400)?),
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "s" => Duration::from_secs(number),
            "ms" => Duration::from_millis(number),
            "us" => Duration::from_micros(number),
            _ => return None, // text from a router
        };
        total = total.checked_add(part)?;
        rest = after;
    }
    Some(total)
}

/// `03:04:05`.
fn clock(text: &str) -> Option<Duration> {
    let mut secs: u64 = 0;
    for part in text.split(':') {
        secs = secs.checked_mul(60)?.checked_add(part.parse().ok()?)?;
    }
    Some(Duration::from_secs(secs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_has_its_own_words() {
        for (wanted, found) in [
            ("yes", "true"),
            ("300s", "5m"),
            ("http-pap,mac-cookie", "mac-cookie,http-pap"),
            ("10.9.0.2/32", "10.9.0.2"),
            ("read,write", "write,read,!ftp"),
        ] {
            assert!(same(wanted, found), "{wanted} and {found}");
        }
        assert!(!same("yes", "no") && !same("5m", "6m") && !same("5", "6"));
    }
}
