//! What is secret in what RouterOS writes.
//!
//! Since 7.13 it writes the command that changed something, with its values (`… changed by winbox … (/ppp secret set
//! 0 password=…)`), and scripts write what they like. With `debug` it writes RADIUS attributes and PPP packets
//! (`User-Password = 0x…`, `password="…"`), and with `raw` their octets.
//!
//! A hotspot writes who logs in by which name (`7K3MQ-X9A2B (10.5.50.3): logged in`), and a voucher's name is its code.

/// What the value after it is replaced by.
const MASK: &str = "***";

/// Names whose value is nobody's business, in lower case. The end of a longer name counts too: `wpa2-pre-shared-key`.
const NAMES: [&str; 26] = [
    "password",
    "passwd",
    "pass",
    "secret",
    "passphrase",
    "pre-shared-key",
    "preshared-key",
    "private-key",
    "auth-key",
    "enc-key",
    "static-key-0",
    "static-key-1",
    "static-key-2",
    "static-key-3",
    "authentication-key",
    "community",
    "token",
    "pin",
    "chap-challenge",
    "chap-response",
    "ms-chap-challenge",
    "ms-chap2-response",
    "ms-chap-response",
    "ms-mppe-send-key",
    "ms-mppe-recv-key",
    "message-authenticator",
];

/// The same line without what is secret; `is_code` says whether a name may be a voucher's code.
pub(super) fn mask(line: &str, topics: &str, is_code: impl Fn(&str) -> bool) -> String {
    let about = |topic: &str| topics.split(',').any(|held| held == topic);
    if about("raw") {
        // Octets of packets, which may be of a login.
        return format!("{MASK} ({} octets)", line.len());
    }
    let mut masked = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((name, value)) = next_name(rest) {
        masked.push_str(&rest[..name]);
        let length = value_length(&rest[name..][value..]);
        masked.push_str(&rest[name..][..value]);
        if length > 0 {
            masked.push_str(MASK);
        }
        rest = &rest[name..][value + length..];
    }
    masked.push_str(rest);
    match about("hotspot") || about("radius") {
        true => mask_codes(&masked, is_code),
        false => masked,
    }
}

/// The name that a hotspot's line begins with, however it was typed, and every word that looks like a code.
fn mask_codes(line: &str, is_code: impl Fn(&str) -> bool) -> String {
    let mut masked = String::with_capacity(line.len());
    let mut rest = line;
    if let Some(said) = rest.strip_prefix(DEBUGGED) {
        masked.push_str(DEBUGGED);
        rest = said;
    }
    if let Some(name) = rest.find(" (")
        && is_code(&rest[..name])
    {
        masked.push_str(MASK);
        rest = &rest[name..];
    }
    while let Some(begin) = rest.find(is_of_word) {
        let (before, word) = rest.split_at(begin);
        let end = word.find(|c| !is_of_word(c)).unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        masked.push_str(before);
        masked.push_str(match looks_drawn(word) && is_code(word) {
            true => MASK,
            false => word,
        });
        rest = after;
    }
    masked.push_str(rest);
    masked
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// Words of a sentence are read as codes too (`unreachable`); octets in hexadecimal are no words.
fn looks_drawn(word: &str) -> bool {
    let shouted = !word.contains(|c: char| c.is_ascii_lowercase());
    !word.starts_with("0x") && (shouted || word.contains(|c: char| c.is_ascii_digit()))
}

/// What a hotspot with `debug` begins lines with.
const DEBUGGED: &str = "->: ";

/// Where the next such name stands, and how far after it its value begins.
fn next_name(text: &str) -> Option<(usize, usize)> {
    // Octet for octet: names are ASCII, and lower case keeps their places.
    let lower = text.to_ascii_lowercase();
    let mut from = 0;
    while let Some(found) = lower[from..].find(['=', ':', ' ']) {
        let at = from + found;
        let before = &lower[..at];
        let begin = before
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
            .map_or(0, |other| {
                other + before[other..].chars().next().map_or(1, char::len_utf8)
            });
        let word = &before[begin..];
        if is_secret(word)
            && let Some(value) = value_begins(&text[at..])
        {
            return Some((begin, at - begin + value));
        }
        from = at + 1;
    }
    None
}

fn is_secret(word: &str) -> bool {
    NAMES.iter().any(|name| {
        word.strip_suffix(name)
            .is_some_and(|before| before.is_empty() || before.ends_with(['-', '_']))
    })
}

/// How far a value begins after the name: behind `=`, ` = `, `:` and `: `. A name that stands before nothing of the
/// kind is a word of a sentence.
fn value_begins(after: &str) -> Option<usize> {
    let trimmed = after.trim_start_matches(' ');
    let sign = trimmed.strip_prefix('=').or_else(|| {
        let behind = trimmed.strip_prefix(':')?;
        (!behind.is_empty()).then_some(behind)
    })?;
    let value = sign.trim_start_matches(' ');
    Some(after.len() - value.len())
}

/// To the closing quote, else to the next space, comma, semicolon or bracket.
fn value_length(text: &str) -> usize {
    if let Some(inner) = text.strip_prefix('"') {
        let mut escaped = false;
        for (at, character) in inner.char_indices() {
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return 1 + at + 1,
                _ => {}
            }
        }
        return text.len();
    }
    text.find([' ', ',', ';', ')', ']', '}', '>'])
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use easyisp_shared::voucher::VoucherCode;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_go_and_words_stay() {
        for (line, expected) in [
            (
                "ppp secret <jane> changed by winbox:admin@10.0.0.9 (/ppp secret set 0 name=jane password=hush profile=p)",
                "ppp secret <jane> changed by winbox:admin@10.0.0.9 (/ppp secret set 0 name=jane password=*** profile=p)",
            ),
            (
                "(/radius set *1 secret=\"a \\\" b\" timeout=2s)",
                "(/radius set *1 secret=*** timeout=2s)",
            ),
            ("User-Password = 0x6a6f", "User-Password = ***"),
            (
                "        MS-CHAP2-Response = 0x00ab",
                "        MS-CHAP2-Response = ***",
            ),
            ("password:\"x\",user", "password:***,user"),
            ("Wpa2-Pre-Shared-Key=longone;x", "Wpa2-Pre-Shared-Key=***;x"),
            ("é secret=é2 password= x", "é secret=*** password= ***"),
            (
                "login failure for user admin: wrong password",
                "login failure for user admin: wrong password",
            ),
            ("password expired for jane", "password expired for jane"),
            ("ppp secret: jane", "ppp secret: ***"),
            ("compass=north", "compass=north"),
            ("", ""),
        ] {
            assert_eq!(mask(line, "system,info", is_code), expected);
        }
        let raw = mask("02 1f 00 6a 6f", "ppp,debug,raw", is_code);
        assert_eq!(raw, "*** (14 octets)");
    }

    fn is_code(name: &str) -> bool {
        VoucherCode::parse(name).is_some() && name != "masterplan10"
    }

    #[test]
    fn codes_go_and_names_stay() {
        for (line, expected) in [
            (
                "7K3MQX9A2B (10.5.50.3): logged in",
                "*** (10.5.50.3): logged in",
            ),
            (
                "->: 7k3mq x9a2b (10.5.50.3): trying to log in by http-chap",
                "->: *** (10.5.50.3): trying to log in by http-chap",
            ),
            (
                "V-7K3MQ-X9A2B (10.5.50.3): login failed: invalid username or password",
                "*** (10.5.50.3): login failed: invalid username or password",
            ),
            (
                "kmqtxwabcd (10.5.50.3): logged out: session timeout",
                "*** (10.5.50.3): logged out: session timeout",
            ),
            ("    User-Name = \"7K3MQX9A2B\"", "    User-Name = \"***\""),
            (
                "masterplan10 (10.5.50.3): logged in",
                "masterplan10 (10.5.50.3): logged in",
            ),
            (
                "02:00:00:00:00:0A (10.5.50.3): login failed: RADIUS server is unreachable",
                "02:00:00:00:00:0A (10.5.50.3): login failed: RADIUS server is unreachable",
            ),
            ("    Class = 0x0011223344", "    Class = 0x0011223344"),
        ] {
            assert_eq!(mask(line, "hotspot,info,debug", is_code), expected);
        }
        let other = "interface lobby-sector-10 link up";
        assert_eq!(mask(other, "interface,info", is_code), other);
    }

    proptest! {
        /// Whatever stands around it, and whatever it holds.
        #[test]
        fn a_password_never_passes(before in "[a-zé ]{0,20}", secret in "[A-Z]{8}", after in "( [a-zé=:\"]{0,20})?") {
            for sign in ["=", " = ", ": ", ":"] {
                let line = format!("{before} password{sign}{secret}{after}");
                prop_assert!(!mask(&line, "script,info", is_code).contains(&secret), "{line}");
            }
        }

        #[test]
        fn any_line_is_read(line in ".{0,80}") {
            let _ = mask(&line, "hotspot", is_code);
        }
    }
}
