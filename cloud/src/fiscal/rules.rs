//! What becomes of a document that is reported.

use std::time::Duration;

use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;

use super::words::State;
use crate::invoices::FiscalReceipt;

/// What was heard of one try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Signed.
    Signed(FiscalReceipt),
    /// This number was taken before.
    Known,
    /// Refused for what it says; again the same would be refused again.
    Refused(String),
    /// Not taken, for a while.
    Busy(String),
    /// It answered, in words that nobody knows: whether it has the document or not is not known.
    Odd(String),
    /// No answer, or none that says anything.
    Silence(String),
}

/// What a try makes of a document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// What it is.
    pub state: State,
    /// Why it is not signed, and what to do.
    pub problem: Option<String>,
    /// When to try again.
    pub again: Option<Timestamp>,
    /// Whether it was an answer that nobody knows.
    pub odd: bool,
}

/// After the `attempts`th try. A number that was sent once is never taken for free again, so whatever is not heard of
/// is sent under the same. What is answered oddly again and again, `odd` times before this one, is for a person to look
/// at: those behind it go on.
pub fn outcome(heard: &Heard, attempts: i32, odd: i32, now: Timestamp) -> Outcome {
    let later = Some(now.plus(rest(attempts)));
    let (state, problem, again) = match heard {
        Heard::Signed(_) => (State::Signed, None, None),
        Heard::Known => (
            State::Accepted,
            Some(
                "The system has it, but its signature did not reach us; read it in the system's own portal"
                    .to_owned(),
            ),
            None,
        ),
        Heard::Refused(why) => (
            State::Refused,
            Some(format!("{why}; correct the settings and retry it")),
            None,
        ),
        Heard::Busy(why) => (State::Waiting, Some(why.clone()), later),
        Heard::Odd(why) if odd.saturating_add(1) >= MOST_ODD => (
            State::Refused,
            Some(format!(
                "{why}; it says so every time: look for the number in the system's own portal, then retry it"
            )),
            None,
        ),
        Heard::Odd(why) | Heard::Silence(why) => (State::Unknown, Some(why.clone()), later),
    };
    Outcome {
        state,
        problem,
        again,
        odd: matches!(heard, Heard::Odd(_)),
    }
}

/// Answers that nobody knows, to one document: with the rests between, an hour and some.
const MOST_ODD: i32 = 8;

/// 30 seconds, twice as long after each try, an hour at most.
fn rest(attempts: i32) -> Duration {
    let doubled = attempts.clamp(1, 8) - 1;
    Duration::from_secs(30 << doubled).min(Duration::from_secs(3600))
}

/// A document as it is reported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sale {
    /// Its number there.
    pub serial: i64,
    /// Its number here.
    pub number: String,
    /// That of the one it takes back there; `None` = it is an invoice.
    pub original: Option<i64>,
    /// The customer's name.
    pub customer: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// Taxes included.
    pub total: Cents,
    /// Of that, value added tax.
    pub vat: Cents,
    /// Its rate in percent; `None` = there is none in it.
    pub rate: Option<Cents>,
    /// What for.
    pub lines: Vec<Line>,
}

/// A line of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// What.
    pub name: String,
    /// Taxes included.
    pub amount: Cents,
    /// Of that, value added tax: the lines' together are the whole.
    pub vat: Cents,
}

/// Shares `vat` out over lines that sum to `total`, each to its part, rounded down to a cent; the last takes the rest.
pub fn shared_out(items: &[(String, Cents)], total: Cents, vat: Cents) -> Vec<Line> {
    let mut left = vat;
    let mut lines = Vec::with_capacity(items.len());
    for (place, (name, amount)) in items.iter().enumerate() {
        let part = match place + 1 == items.len() || !total.is_positive() {
            true => left,
            false => {
                let part = i128::from(vat.minor()) * i128::from(amount.minor())
                    / i128::from(total.minor());
                Cents::new(i64::try_from(part).unwrap_or(0)).min(left)
            }
        };
        left = left.minus(part).unwrap_or_default();
        lines.push(Line {
            name: name.clone(),
            amount: *amount,
            vat: part,
        });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_heard_of_is_sent_again_later_each_time() {
        let now = Timestamp::from_secs(1_800_000_000);
        let rests: Vec<u64> = [1, 2, 3, 7, 8, 100]
            .map(|attempts| rest(attempts).as_secs())
            .to_vec();
        assert_eq!(rests, [30, 60, 120, 1920, 3600, 3600]);
        let silent = outcome(&Heard::Silence("no answer".into()), 2, 0, now);
        assert_eq!(silent.state, State::Unknown);
        assert_eq!(silent.again, Some(now.plus(Duration::from_secs(60))));
        assert_eq!(outcome(&Heard::Known, 2, 0, now).state, State::Accepted);
        let refused = outcome(&Heard::Refused("itemClsCd".into()), 1, 0, now);
        assert_eq!((refused.state, refused.again), (State::Refused, None));
        let odd = |before| outcome(&Heard::Odd("899".into()), 20, before, now);
        assert_eq!(odd(6).state, State::Unknown);
        assert!(odd(6).again.is_some());
        assert_eq!((odd(7).state, odd(7).again), (State::Refused, None));
    }

    #[test]
    fn the_lines_taxes_are_the_whole() {
        let items = [1, 1, 1].map(|amount| ("Cable".to_owned(), Cents::new(amount)));
        let lines = shared_out(&items, Cents::new(3), Cents::new(2));
        let vats: Vec<i64> = lines.iter().map(|line| line.vat.minor()).collect();
        assert_eq!(vats, [0, 0, 2]);
        let items = [
            ("A".to_owned(), Cents::whole(1160)),
            ("B".to_owned(), Cents::whole(116)),
        ];
        let lines = shared_out(&items, Cents::whole(1276), Cents::whole(176));
        assert_eq!(lines[0].vat, Cents::whole(160));
        assert_eq!(lines[1].vat, Cents::whole(16));
    }
}
