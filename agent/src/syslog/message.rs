//! Syslog as RouterOS and others send it: RFC 5424, RFC 3164, and RouterOS's own, which is topics and words alone.

/// What a datagram says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// RFC 5424 §6.2.1: 0 = emergency, 7 = debug.
    pub(super) severity: u8,
    /// RouterOS's topics, separated by commas.
    pub(super) topics: String,
    pub(super) message: String,
}

/// Reads a datagram; `None` when it has no words.
///
/// Reads untrusted octets: every input gives something or nothing, none panics. Control characters become spaces,
/// what is no UTF-8 becomes U+FFFD, and `most` octets are kept of the words.
pub(super) fn read(datagram: &[u8], most: usize) -> Option<Told> {
    let text = String::from_utf8_lossy(datagram);
    let (priority, rest) = priority(&text);
    let words = match priority {
        Some(_) => without_header(rest),
        None => rest,
    };
    let (topics, words) = topics(words.trim_start());
    let message = plain(words, most);
    if message.is_empty() {
        return None;
    }
    let named = topics.and_then(severity_of);
    Some(Told {
        // A topic says what the router means; the octet before it, what somebody configured.
        severity: named.or(priority).unwrap_or(INFO),
        topics: topics.unwrap_or_default().to_owned(),
        message,
    })
}

/// `<30>`: facility times 8 and severity.
fn priority(text: &str) -> (Option<u8>, &str) {
    let inner = text.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    let read = inner.and_then(|(digits, rest)| {
        let number: u8 = digits.parse().ok().filter(|number| *number < 192)?;
        Some((number % 8, rest))
    });
    match read {
        Some((severity, rest)) => (Some(severity), rest),
        None => (None, text),
    }
}

/// What follows the time and the sender's name, whichever way they are written. The name is not needed: who sent it
/// is known by its address.
fn without_header(text: &str) -> &str {
    if let Some(rest) = text.strip_prefix("1 ") {
        // TIMESTAMP HOSTNAME APP-NAME PROCID MSGID, then structured data (RFC 5424 §6).
        return fields(rest, 5).map_or(text, without_data);
    }
    // `Nov  3 01:27:33 name `, or one word of ISO 8601 in place of the three.
    let after_time = if is_month(text) {
        after(text, 3)
    } else if text.starts_with(|first: char| first.is_ascii_digit()) && text.contains('T') {
        fields(text, 1)
    } else {
        None
    };
    match after_time {
        Some(rest) => fields(rest, 1).unwrap_or(rest),
        None => text,
    }
}

fn is_month(text: &str) -> bool {
    text.get(..3).is_some_and(|month| MONTHS.contains(&month))
}

/// What follows so many words, however many spaces are between them.
fn after(text: &str, words: usize) -> Option<&str> {
    (0..words).try_fold(text, |rest, _| {
        let rest = rest.trim_start_matches(' ');
        rest.split_once(' ').map(|(_, rest)| rest)
    })
}

/// What follows so many words with one space after each.
fn fields(text: &str, count: usize) -> Option<&str> {
    (0..count).try_fold(text, |rest, _| rest.split_once(' ').map(|(_, rest)| rest))
}

/// `-`, or `[id name="value"]…`, in which `\` takes the next character as it is.
fn without_data(text: &str) -> &str {
    if let Some(rest) = text.strip_prefix('-') {
        return rest.trim_start().trim_start_matches('\u{feff}');
    }
    let (mut quoted, mut escaped, mut depth) = (false, false, 0u32);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth = depth.saturating_sub(1),
            _ if depth == 0 => return text[at..].trim_start().trim_start_matches('\u{feff}'),
            _ => {}
        }
    }
    ""
}

/// `pppoe,info words`, or `pppoe,info: words`: topics name how serious it is among other things.
fn topics(text: &str) -> (Option<&str>, &str) {
    let Some((first, rest)) = text.split_once(' ') else {
        return (None, text);
    };
    let topics = first.trim_end_matches(':');
    let is_topic = |topic: &str| {
        !topic.is_empty()
            && topic.len() <= 24
            && topic
                .bytes()
                .all(|octet| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-')
    };
    let known = topics.len() <= easyisp_shared::wire::logs::TOPICS_CAP
        && topics.split(',').all(is_topic)
        && severity_of(topics).is_some();
    match known {
        true => (Some(topics), rest),
        false => (None, text),
    }
}

fn severity_of(topics: &str) -> Option<u8> {
    let named = topics.split(',').filter_map(|topic| match topic {
        "critical" => Some(2),
        "error" => Some(3),
        "warning" => Some(WARNING),
        "info" => Some(INFO),
        "debug" => Some(7),
        _ => None, // what it is about
    });
    named.min()
}

/// One line of at most `most` octets.
fn plain(words: &str, most: usize) -> String {
    let mut line = String::with_capacity(words.len().min(most));
    for character in words.trim().chars() {
        let character = match character {
            '\0' | '\u{7f}'..='\u{9f}' => ' ',
            other if other.is_control() => ' ',
            other => other,
        };
        if line.len() + character.len_utf8() > most {
            break;
        }
        line.push(character);
    }
    line.truncate(line.trim_end().len());
    line
}

/// Up to here a line travels over a line that is paid by the octet.
pub(super) const WARNING: u8 = 4;
const INFO: u8 = 6;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn reads(datagram: &str, severity: u8, topics: &str, message: &str) {
        let told = read(datagram.as_bytes(), 1024).unwrap();
        let expected = (severity, topics, message);
        assert_eq!((told.severity, &*told.topics, &*told.message), expected);
    }

    #[test]
    fn every_way_that_a_router_writes_is_read() {
        let login = "user admin logged in from 10.0.0.9 via winbox";
        let topics = "system,info,account";
        // RouterOS's own; BSD's; BSD's with the time of ISO 8601; RFC 5424 with and without data.
        for header in [
            "",
            "<30>Nov  3 01:27:33 Tower3 ",
            "<30>Nov 30 01:27:33 Tower3 ",
            "<30>2026-11-30T01:27:33+0300 Tower3 ",
            "<30>1 2026-11-30T01:27:33.003Z Tower3 - - - - ",
            "<30>1 2026-11-30T01:27:33.003Z Tower3 app 8 id [a@1 b=\"c]\\\" \"][d@2] ",
        ] {
            reads(&format!("{header}{topics} {login}"), 6, topics, login);
        }
        reads(
            "pppoe,ppp,error <pppoe-1>: no",
            3,
            "pppoe,ppp,error",
            "<pppoe-1>: no",
        );
        reads("firewall,info: in:ether1", 6, "firewall,info", "in:ether1");
    }

    #[test]
    fn others_are_read_as_far_as_they_go() {
        reads(
            "<11>Nov  3 01:27:33 sw1 sshd[9]: bad, info",
            3,
            "",
            "sshd[9]: bad, info",
        );
        reads("user admin came", 6, "", "user admin came");
        reads("<999>x", 6, "", "<999>x");
        reads("<13>words alone", 5, "", "words alone");
        reads("a\tb\r\n\0\u{1b}[31mc\n", 6, "", "a b    [31mc");
        for nothing in ["", "<30>", "  \n", "<30>Nov  3 01:27:33 name "] {
            assert_eq!(read(nothing.as_bytes(), 1024), None, "{nothing:?}");
        }
        assert_eq!(read("ééé".as_bytes(), 5).unwrap().message, "éé");
    }

    proptest! {
        #[test]
        fn any_octets_end_in_something_or_nothing(datagram in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some(told) = read(&datagram, 64) {
                prop_assert!(told.message.len() <= 64 && told.severity < 8);
                prop_assert!(!told.message.chars().any(char::is_control));
            }
        }
    }
}
