//! What becomes of a message after a try, and at what time of day people are written to.

use std::time::Duration;

use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::ToSpan;
use jiff::tz::TimeZone;

/// What a gateway said to one try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// It took the message; its id for it.
    Accepted {
        /// The gateway's id.
        id: Option<String>,
    },
    /// It will never take this message.
    Refused(String),
    /// It surely did not take it, and may another time.
    Busy(String),
    /// It may have taken it; twice does less harm than not at all.
    Doubt(String),
    /// The try may have reached it.
    Silence(String),
}

/// What to write down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// On its way to the phone.
    Sent {
        /// The gateway's id.
        id: Option<String>,
    },
    /// Try once more, later.
    Again {
        /// Why it did not go now.
        why: String,
        /// When.
        at: Timestamp,
    },
    /// It will not be sent.
    Failed(String),
    /// Nobody knows. Sending again could reach the customer twice.
    Unknown(String),
}

/// Most tries of one message that may have arrived. Those that surely did not are not counted.
pub const MOST_DOUBTFUL: i32 = 2;

/// A message that was tried just now.
#[derive(Clone, Copy, Debug)]
pub struct Tried<'a> {
    /// How often, from 1.
    pub tries: i32,
    /// How many of the tries before may have arrived.
    pub doubtful: i32,
    /// When it was written.
    pub since: Timestamp,
    /// What it is for.
    pub purpose: &'a str,
}

/// Decides after a try. What surely did not arrive is tried for half a day, at the hours at which its purpose lets
/// people be written to: a gateway that is down loses no message, and one that is late by more says nothing any more.
pub fn fate(tried: &Tried<'_>, heard: Heard, zone: &TimeZone, now: Timestamp) -> Fate {
    let (why, doubtful) = match heard {
        Heard::Accepted { id } => return Fate::Sent { id },
        Heard::Refused(why) => return Fate::Failed(why),
        Heard::Silence(why) => return Fate::Unknown(why),
        Heard::Busy(why) => (why, tried.doubtful),
        Heard::Doubt(why) => (why, tried.doubtful.saturating_add(1)),
    };
    let soon = now.plus(rest(tried.tries));
    let at = match is_for_daytime(tried.purpose) {
        true => daytime(soon, zone),
        false => soon,
    };
    match doubtful < MOST_DOUBTFUL && at <= daytime(tried.since, zone).plus(LONGEST) {
        true => Fate::Again { why, at },
        false => Fate::Failed(why),
    }
}

/// How long it rests after so many tries.
fn rest(tries: i32) -> Duration {
    let minutes = match tries {
        ..=1 => 1,
        2 => 5,
        3 => 15,
        4 => 30,
        _ => 60,
    };
    Duration::from_secs(minutes * 60)
}

/// From when it may be sent, so long it is tried.
const LONGEST: Duration = Duration::from_secs(12 * 3600);

/// Whether this waits for the day. What somebody did himself a moment ago, or wrote by hand, goes at once.
fn is_for_daytime(purpose: &str) -> bool {
    matches!(purpose, "reminder" | "outage" | "invoice")
}

/// Whether it is about money, or about something that burns: nothing else may use up the texts of the day that are
/// kept for it, or its turn.
pub fn is_about_money(purpose: &str) -> bool {
    matches!(purpose, "receipt" | "invoice" | "alert")
}

/// How many texts of a day each tenant may send.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// A tenant that tries it out.
    pub trial: i64,
    /// Every other one.
    pub others: i64,
}

impl Budget {
    /// Why nothing goes any more today, or `None`.
    pub fn is_used_up(self, is_trial: bool, texts: i64) -> Option<String> {
        let most = if is_trial { self.trial } else { self.others };
        (texts >= most).then(|| {
            let tries = if is_trial { " of a trial" } else { "" };
            format!("the day's {most} texts{tries} have been sent; the next day begins at midnight")
        })
    }
}

/// What a text costs at so much a part; `None` = more than fits.
pub fn cost(body: &str, price: Cents) -> Option<Cents> {
    price.minor().checked_mul(parts(body)).map(Cents::new)
}

/// In how many parts a text goes: 160 characters of the GSM alphabet fit in one and 153 in each of several; where it has
/// any other character, 70 and 67 units of UTF-16 (3GPP 23.038 and 23.040).
fn parts(body: &str) -> i64 {
    let septets: Option<usize> = body.chars().map(septets).sum();
    let (length, one, of_several) = match septets {
        Some(septets) => (septets, 160, 153),
        None => (body.encode_utf16().count(), 70, 67),
    };
    let parts = if length <= one {
        1
    } else {
        length.div_ceil(of_several)
    };
    i64::try_from(parts).unwrap_or(i64::MAX)
}

/// How much of the GSM alphabet's room a character takes; `None` = it is not in it.
fn septets(letter: char) -> Option<usize> {
    const BASIC: &str = "@\u{a3}$\u{a5}\u{e8}\u{e9}\u{f9}\u{ec}\u{f2}\u{c7}\n\u{d8}\u{f8}\r\u{c5}\u{e5}\u{394}_\u{3a6}\
        \u{393}\u{39b}\u{3a9}\u{3a0}\u{3a8}\u{3a3}\u{398}\u{39e}\u{c6}\u{e6}\u{df}\u{c9} !\"#\u{a4}%&'()*+,-./:;<=>?\u{a1}\
        \u{c4}\u{d6}\u{d1}\u{dc}\u{a7}\u{bf}\u{e4}\u{f6}\u{f1}\u{fc}\u{e0}";

    match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' => Some(1),
        '^' | '{' | '}' | '\\' | '[' | '~' | ']' | '|' | '\u{20ac}' | '\u{c}' => Some(2),
        _ if BASIC.contains(letter) => Some(1),
        _ => None,
    }
}

/// Why a text is not sent that costs so much, or `None`: nobody sends on credit.
pub fn is_uncovered(balance: Cents, cost: Cents) -> Option<String> {
    (balance < cost).then(|| {
        format!(
            "the SMS balance of {balance} does not cover this text, which costs {cost}; ask the platform to add to it"
        )
    })
}

/// Whether people are written to at this time of day: from 8 to 20 o'clock.
pub fn awake(now: Timestamp, zone: &TimeZone) -> bool {
    (8..20).contains(&now.in_zone(zone).hour())
}

/// The first moment from `soon` on at which people are written to.
pub fn daytime(soon: Timestamp, zone: &TimeZone) -> Timestamp {
    if awake(soon, zone) {
        return soon;
    }
    let local = soon.in_zone(zone);
    let day = match local.hour() {
        0..8 => local.date(),
        _ => local.date().saturating_add(1.day()),
    };
    let eight = day.at(8, 0, 0, 0).to_zoned(zone.clone());
    eight.map_or(soon, |eight| {
        Timestamp::from_jiff(eight.timestamp()).max(soon)
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn tried(tries: i32, doubtful: i32, purpose: &str) -> Tried<'_> {
        Tried {
            tries,
            doubtful,
            since: at("2026-02-26T09:00:00Z"),
            purpose,
        }
    }

    fn nairobi() -> TimeZone {
        TimeZone::get("Africa/Nairobi").unwrap()
    }

    #[test]
    fn a_message_whose_fate_is_unknown_is_not_sent_again() {
        let now = at("2026-02-26T09:00:00Z");
        assert_eq!(
            fate(
                &tried(1, 0, "receipt"),
                Heard::Silence("x".into()),
                &nairobi(),
                now
            ),
            Fate::Unknown("x".into())
        );
    }

    #[test]
    fn what_may_have_arrived_is_tried_twice() {
        let now = at("2026-02-26T09:00:00Z");
        let doubt = |doubtful| {
            let tried = tried(7, doubtful, "alert");
            fate(&tried, Heard::Doubt("x".into()), &nairobi(), now)
        };
        assert!(matches!(doubt(0), Fate::Again { .. }));
        assert_eq!(doubt(1), Fate::Failed("x".into()));
    }

    #[test]
    fn what_surely_did_not_arrive_rests_longer_each_time_and_is_given_up_after_half_a_day() {
        let mut now = at("2026-02-26T09:00:00Z");
        let mut rests = Vec::new();
        for tries in 1..100 {
            match fate(
                &tried(tries, 0, "receipt"),
                Heard::Busy("x".into()),
                &nairobi(),
                now,
            ) {
                Fate::Again { at, .. } => {
                    rests.push(at.since(now).as_secs() / 60);
                    now = at;
                }
                Fate::Failed(_) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(rests[..6], [1, 5, 15, 30, 60, 60]);
        assert_eq!(rests.len(), 15);
    }

    #[test]
    fn a_reminder_is_not_tried_at_night() {
        let late = at("2026-02-26T16:50:00Z");
        let given = Tried {
            since: late,
            ..tried(3, 0, "reminder")
        };
        let again = fate(&given, Heard::Busy("x".into()), &nairobi(), late);
        assert_eq!(
            again,
            Fate::Failed("x".into()),
            "the next morning is too late"
        );
        let given = Tried {
            since: at("2026-02-26T18:00:00Z"),
            ..given
        };
        let again = fate(&given, Heard::Busy("x".into()), &nairobi(), late);
        let morning = at("2026-02-27T05:00:00Z");
        assert_eq!(
            again,
            Fate::Again {
                why: "x".into(),
                at: morning
            }
        );
    }

    #[test]
    fn a_text_goes_in_as_many_parts_as_its_letters_ask_for() {
        for (body, count) in [
            (String::new(), 1),
            ("x".repeat(160), 1),
            ("x".repeat(161), 2),
            ("x".repeat(306), 2),
            ("x".repeat(307), 3),
            ("\u{20ac}".repeat(80), 1), // two places each
            ("\u{20ac}".repeat(81), 2),
            ("@ \n'&".repeat(32), 1),
            ("\u{44f}".repeat(70), 1),
            ("\u{44f}".repeat(71), 2),
            ("\u{1f600}".repeat(36), 2), // two units each
        ] {
            assert_eq!(parts(&body), count, "{body}");
        }
        let price = Cents::parse("0.80").unwrap();
        assert_eq!(cost(&"x".repeat(161), price), Cents::parse("1.60").ok());
        assert_eq!(is_uncovered(price, price), None);
        assert!(
            is_uncovered(Cents::ZERO, price)
                .unwrap()
                .contains("costs 0.8;")
        );
    }

    #[test]
    fn a_trial_sends_few() {
        let budget = Budget {
            trial: 2,
            others: 5,
        };
        assert_eq!(budget.is_used_up(true, 1), None);
        assert!(budget.is_used_up(true, 2).unwrap().contains("2 texts"));
        assert_eq!(budget.is_used_up(false, 4), None);
        assert!(budget.is_used_up(false, 5).is_some());
    }
}
