//! Which lines belong together, by which words they are found, and how a search is put.

use std::collections::BTreeSet;
use std::time::Duration;

use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use uuid::Uuid;

/// A line as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// RFC 5424 §6.2.1.
    pub severity: i16,
    /// Separated by commas.
    pub topics: String,
    /// The words.
    pub message: String,
    /// So many lines are not there.
    pub missing: Option<i64>,
}

/// A block that still takes lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// Its id.
    pub id: Uuid,
    /// The earliest of its lines.
    pub first_at: Timestamp,
    /// The latest.
    pub last_at: Timestamp,
    /// How many.
    pub lines: i32,
}

impl Block {
    /// How many of `lines`, the first of which comes first, go into it.
    pub fn takes(&self, lines: &[Line]) -> usize {
        let room = usize::try_from(FULL - self.lines).unwrap_or(0);
        let near = |line: &&Line| {
            line.at.since(self.first_at) < SPAN && self.last_at.since(line.at) < SPAN
        };
        lines.iter().take(room).take_while(near).count()
    }
}

/// How many of `lines`, which are sorted by time, a new block begins with.
pub fn begins_with(lines: &[Line]) -> usize {
    let Some(first) = lines.first() else { return 0 };
    let full = usize::try_from(FULL).unwrap_or(0);
    let near = |line: &&Line| line.at.since(first.at) < SPAN;
    lines.iter().take(full).take_while(near).count()
}

/// Every word of these lines, and every topic.
pub fn words_of(lines: &[(String, String)]) -> Vec<String> {
    let mut words = BTreeSet::new();
    for (topics, message) in lines {
        let topics = topics.split(',').filter(|topic| !topic.is_empty());
        words.extend(topics.map(topic_word));
        add_words(message, &mut words);
    }
    words.into_iter().collect()
}

/// How a topic stands among words.
pub fn topic_word(topic: &str) -> String {
    format!("#{}", cut(&topic.trim().to_lowercase()))
}

/// What somebody can begin to type of a line: its words, and of one that is made of parts what stands behind each sign.
/// An address and a device are whole: nobody looks for the end of one.
fn add_words(message: &str, words: &mut BTreeSet<String>) {
    let lower = message.to_lowercase();
    for token in lower.split(is_between) {
        let token = token.trim_matches(is_sign);
        add(token, words);
        if Mac::parse(token).is_some() {
            continue;
        }
        let signs = token
            .char_indices()
            .filter(|(_, c)| is_sign(*c) && *c != '.');
        for (at, sign) in signs.take(MOST_PARTS) {
            let rest = token[at + sign.len_utf8()..].trim_start_matches(is_sign);
            add(rest, words);
        }
    }
}

fn add(word: &str, words: &mut BTreeSet<String>) {
    if word.chars().count() >= SHORTEST {
        words.insert(cut(word).to_owned());
    }
}

fn cut(word: &str) -> &str {
    match word.char_indices().nth(LONGEST) {
        Some((at, _)) => &word[..at],
        None => word,
    }
}

fn is_between(c: char) -> bool {
    c.is_whitespace() || ",;()[]{}<>\"'=|".contains(c)
}

fn is_sign(c: char) -> bool {
    "-._:/@#!?*&+".contains(c)
}

/// What a search looks for in words.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Wanted {
    /// Blocks have a word that begins so, the longest that was typed; `None` = any block.
    pub word: Option<String>,
    /// Patterns of `like`, each of which a line fits.
    pub patterns: Vec<String>,
}

/// What was typed.
pub fn wanted(typed: &str) -> Wanted {
    let lower = typed.to_lowercase();
    let parts = lower
        .split(is_between)
        .map(|part| part.trim_matches(is_sign));
    let longest = parts
        .filter(|part| part.chars().count() >= SHORTEST)
        .max_by_key(|part| part.chars().count());
    let patterns = lower.split_whitespace().take(MOST_TERMS);
    Wanted {
        word: longest.map(|word| cut(word).to_owned()),
        patterns: patterns
            .map(|term| format!("%{}%", escaped(term)))
            .collect(),
    }
}

fn escaped(term: &str) -> String {
    term.chars().fold(String::new(), |mut text, c| {
        if matches!(c, '%' | '_' | '\\') {
            text.push('\\');
        }
        text.push(c);
        text
    })
}

/// The first word after all that begin so, in the order of octets.
pub fn end_of(word: &str) -> String {
    format!("{word}\u{10ffff}")
}

/// What everybody calls them; the place is the number.
pub const SEVERITIES: [&str; 8] = [
    "EMERGENCY",
    "ALERT",
    "CRITICAL",
    "ERROR",
    "WARNING",
    "NOTICE",
    "INFO",
    "DEBUG",
];

/// The number of a severity by its name, in any case.
pub fn severity(name: &str) -> Option<i16> {
    let place = SEVERITIES
        .iter()
        .position(|known| known.eq_ignore_ascii_case(name.trim()))?;
    i16::try_from(place).ok()
}

/// The name of a severity.
pub fn severity_name(severity: i16) -> &'static str {
    let place = usize::try_from(severity).ok();
    place
        .and_then(|place| SEVERITIES.get(place))
        .unwrap_or(&"DEBUG")
}

/// Where a page ends: everything before it, in the order of pages, was shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The time of the last line.
    pub at: Timestamp,
    /// Its block.
    pub block: Uuid,
    /// Its place there.
    pub line: i32,
}

impl Mark {
    /// Before every line of this instant.
    pub fn begin_of(at: Timestamp) -> Mark {
        Mark {
            at,
            block: Uuid::max(),
            line: i32::MAX,
        }
    }

    /// Reads one as it was written.
    pub fn parse(text: &str) -> Option<Mark> {
        let mut parts = text.trim().split('.');
        let mark = Mark {
            at: Timestamp::from_micros(parts.next()?.parse().ok()?),
            block: Uuid::try_parse(parts.next()?).ok()?,
            line: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(mark)
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}.{}.{}",
            self.at.micros(),
            self.block.simple(),
            self.line
        )
    }
}

/// Reading a block costs about a millisecond, and a word is seldom in one line of it alone.
pub const FULL: i32 = 500;
const SPAN: Duration = Duration::from_secs(3600);
/// One letter is in every block.
pub const SHORTEST: usize = 2;
const LONGEST: usize = 64;
/// Of one word.
const MOST_PARTS: usize = 6;
const MOST_TERMS: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(message: &str) -> Vec<String> {
        words_of(&[(String::new(), message.to_owned())])
    }

    #[test]
    fn words_are_found_as_somebody_types_them() {
        assert_eq!(
            words("<pppoe-jane>: terminating..."),
            ["jane", "pppoe-jane", "terminating"]
        );
        assert_eq!(
            words("dhcp1 assigned 10.64.0.7 for AA:BB:CC:00:11:22 Phone"),
            [
                "10.64.0.7",
                "aa:bb:cc:00:11:22",
                "assigned",
                "dhcp1",
                "for",
                "phone"
            ]
        );
        assert_eq!(
            words("in:ether1 10.0.0.5:53->8.8.8.8:443"),
            [
                "10.0.0.5:53",
                "443",
                "53",
                "8.8.8.8:443",
                "ether1",
                "in:ether1"
            ]
        );
        let topics = words_of(&[("pppoe,info".to_owned(), "a".to_owned())]);
        assert_eq!(topics, ["#info", "#pppoe"]);
    }

    #[test]
    fn the_longest_word_leads_to_the_blocks_and_every_one_to_the_lines() {
        let of = |typed: &str| {
            let wanted = wanted(typed);
            (wanted.word.unwrap_or_default(), wanted.patterns)
        };
        assert_eq!(
            of("Jane login"),
            (
                "login".to_owned(),
                vec!["%jane%".to_owned(), "%login%".to_owned()]
            )
        );
        assert_eq!(
            of("<pppoe-jane>:"),
            ("pppoe-jane".to_owned(), vec!["%<pppoe-jane>:%".to_owned()])
        );
        assert_eq!(
            of("5%_"),
            (String::from("5%"), vec!["%5\\%\\_%".to_owned()])
        );
        assert_eq!(of("x"), (String::new(), vec!["%x%".to_owned()]));
        assert_eq!(of("  "), (String::new(), Vec::new()));
    }

    #[test]
    fn a_block_takes_what_is_near_and_has_room() {
        let at = |secs: i64| Timestamp::from_secs(1_800_000_000 + secs);
        let line = |secs| Line {
            at: at(secs),
            severity: 6,
            topics: String::new(),
            message: "x".to_owned(),
            missing: None,
        };
        let block = Block {
            id: Uuid::nil(),
            first_at: at(0),
            last_at: at(600),
            lines: 498,
        };
        assert_eq!(block.takes(&[line(700), line(800), line(900)]), 2);
        assert_eq!(block.takes(&[line(3600)]), 0);
        assert_eq!(block.takes(&[line(-4000)]), 0);
        assert_eq!(begins_with(&[line(0), line(3599), line(3600)]), 2);
        assert_eq!(begins_with(&[]), 0);
    }

    proptest! {
        /// Whoever types the beginning of a word of a line finds the block that it is in.
        #[test]
        fn a_search_for_a_beginning_leads_to_the_block(message in "[a-zA-Z0-9:.@/<>()=_ -]{1,60}", at in 0..60usize) {
            let token = message.split(is_between).nth(at % 7).unwrap_or_default().trim_matches(is_sign);
            let typed: String = token.chars().take(1 + at % 12).collect();
            if let Some(word) = wanted(&typed).word {
                let end = end_of(&word);
                prop_assert!(words(&message).iter().any(|held| *held >= word && *held < end), "{word}");
            }
        }

        #[test]
        fn a_mark_survives_the_trip(micros in 0..2_000_000_000_000_000i64, block: u128, line: i32) {
            let mark = Mark { at: Timestamp::from_micros(micros), block: Uuid::from_u128(block), line };
            prop_assert_eq!(Mark::parse(&mark.to_string()), Some(mark));
        }
    }
}
