//! How long a lease lasts and how long a failed job rests.

use std::time::Duration;

use easyisp_shared::time::Timestamp;

/// How long a claim holds unless its holder, alive, makes it longer. A holder that says nothing for so long loses the job
/// to the next one.
pub const LEASE: Duration = Duration::from_secs(60);

/// How long a claim is made longer: what goes on for more has hung.
const LONGEST: Duration = Duration::from_secs(3600);

/// Whether its holder makes a claim longer: once a third of it is gone; not when it ended already (who slept through it has
/// lost it), and not for ever: work that hangs is somebody else's in the end.
pub fn is_to_renew(since: Timestamp, until: Timestamp, now: Timestamp) -> bool {
    until > now && until.since(now) < LEASE * 2 / 3 && now.since(since) < LONGEST
}

/// Jobs under way at once on one node, where nothing else is said.
pub const AT_ONCE: usize = 16;

/// How long a job rests after its `attempts`-th failure in a row: 1, 2, 4 … seconds, 5 minutes at most.
pub fn rest(attempts: u32) -> Duration {
    let secs = 1u64
        .checked_shl(attempts.saturating_sub(1).min(32))
        .unwrap_or(u64::MAX);
    Duration::from_secs(secs.min(300))
}

/// What a tenant is told of an error: its first line, without addresses, long numbers and what stands in quotes; of one
/// of the database only that it was one.
pub fn told(error: &str) -> String {
    const MOST_LETTERS: usize = 200;

    if error.contains("database") {
        return "The database did not do it; the server's log says why".to_owned();
    }
    let first = error.lines().next().unwrap_or_default();
    // Every second part is inside quotes.
    let parts = first.split('"').enumerate();
    let outside = parts.map(|(place, part)| if place % 2 == 0 { part } else { "\u{2026}" });
    let text: String = outside.collect();
    let words = text.split_whitespace().map(|word| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        match word.contains("://") || word.contains('@') || digits > 5 || word.len() > 30 {
            true => "\u{2026}",
            false => word,
        }
    });
    let text = words.collect::<Vec<&str>>().join(" ");
    text.chars().take(MOST_LETTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_an_error_names_nobody_and_opens_nothing() {
        let of = |error: &str| told(error);
        assert_eq!(of("M-Pesa did not answer"), "M-Pesa did not answer");
        let url = "error sending request for url (https://hooks.example/SECRET): timed out";
        assert_eq!(of(url), "error sending request for url \u{2026} timed out");
        assert_eq!(of("254712345678 is busy\nbacktrace"), "\u{2026} is busy");
        assert_eq!(of("no \"jane doe\" there"), "no \u{2026} there");
        assert!(!of("error returned from database: key (phone)=(jane)").contains("jane"));
        assert_eq!(of(&"x y ".repeat(500)).chars().count(), 200);
    }

    #[test]
    fn a_claim_is_made_longer_in_time_and_for_an_hour() {
        let since = Timestamp::from_secs(1_000);
        let at = |secs: u64| since.plus(Duration::from_secs(secs));
        let renews = |until: u64, now: u64| is_to_renew(since, at(until), at(now));
        assert!(!renews(60, 20));
        assert!(renews(60, 21) && renews(60, 59));
        assert!(!renews(60, 60), "it has ended");
        assert!(renews(3_620, 3_599));
        assert!(!renews(3_620, 3_600), "it hangs");
    }

    #[test]
    fn rests_grow_up_to_five_minutes() {
        let secs: Vec<u64> = [1, 2, 3, 9, 10, 99]
            .map(|attempts| rest(attempts).as_secs())
            .into();
        assert_eq!(secs, [1, 2, 4, 256, 300, 300]);
    }
}
