//! The text of `/ppp secret export` and `/ip hotspot user export`, of RouterOS 6 and 7; and what a router itself says
//! of its users.
//!
//! A command goes on over the end of a line with a backslash, also in the middle of a word; a value with
//! spaces stands in quotes, in which a backslash escapes the next letter or gives two hex digits.

use std::collections::BTreeMap;

use easyisp_shared::wire::question::RouterUserV1;

use super::super::fields::Field;
use super::super::row::{Row, yes_or_no};
use super::super::table::decoded;
use super::{MOST_WARNINGS, name_or_username};

/// The subscribers of an export; what else it holds is counted in the warnings.
pub fn read(text: &str) -> (Vec<Row>, Vec<String>) {
    let mut rows = Vec::new();
    let mut left_out: BTreeMap<String, u32> = BTreeMap::new();
    let mut menu = String::new();
    for (line, command) in commands(text) {
        let mut words = words(&command);
        if words.first().is_some_and(|word| word.text.starts_with('/')) {
            let path: Vec<String> = words
                .iter()
                .take_while(|word| word.value.is_none() && !VERBS.contains(&word.text.as_str()))
                .map(|word| word.text.trim_matches('/').replace('/', " "))
                .collect();
            words.drain(..path.len());
            menu = path.join(" ");
        }
        let kind = match menu.as_str() {
            "ppp secret" => "PPPOE",
            "ip hotspot user" => "HOTSPOT",
            _ => {
                if !words.is_empty() {
                    *left_out.entry(format!("/{menu}")).or_default() += 1;
                }
                continue;
            }
        };
        match words.first().map(|word| word.text.as_str()) {
            None => {}
            Some("add") => rows.push(exported(line, kind, &words[1..])),
            Some(verb) => *left_out.entry(format!("/{menu} {verb}")).or_default() += 1,
        }
    }
    let warnings = left_out.into_iter().map(|(what, times)| {
        let lines = if times == 1 { "line" } else { "lines" };
        format!("{times} {lines} of {what} are no subscribers and are left out")
    });
    (rows, warnings.take(MOST_WARNINGS).collect())
}

const VERBS: [&str; 4] = ["add", "set", "remove", "print"];

fn exported(line: u32, kind: &str, words: &[Word]) -> Row {
    let said = words
        .iter()
        .filter_map(|word| Some((word.text.as_str(), word.value.as_deref()?)));
    let mut row = subscriber(line, kind, said);
    for word in words.iter().filter(|word| word.value.is_none()) {
        row.warn(&word.text, "is no name=value and is left out");
    }
    row
}

/// A user as his router tells of him, who is number `place` of those it told of.
pub fn told(place: u32, user: &RouterUserV1) -> Row {
    let (mut nul, mut odd) = (Vec::new(), Vec::new());
    let mut said = Vec::with_capacity(user.says.len());
    for (name, value) in &user.says {
        // What RADIUS compares octet for octet is no text in another alphabet.
        if matches!(name.as_str(), "name" | "password") && std::str::from_utf8(value).is_err() {
            odd.push(name);
        }
        let value = decoded(value);
        match value.contains('\0') {
            true => nul.push(name),
            false => said.push((name.as_str(), value)),
        }
    }
    let kind = match user.hotspot {
        true => "HOTSPOT",
        false => "PPPOE",
    };
    let meant = said
        .iter()
        .map(|(name, value)| (*name, &**value))
        .filter(|(name, value)| !is_usual(name, value));
    let mut row = subscriber(place, kind, meant);
    for name in nul {
        row.error(name, "holds the character U+0000, which no text may");
    }
    for name in odd {
        let why = "is not UTF-8 on the router, and what his device sends would not be it; give him another there, and import him again";
        row.error(name, why);
    }
    row
}

/// What a router says of everybody of whom nobody said otherwise; an export is silent about it.
fn is_usual(name: &str, value: &str) -> bool {
    match name {
        "server" => value == "all",
        "limit-uptime" => value == "0s",
        "limit-bytes-in" | "limit-bytes-out" | "limit-bytes-total" => value == "0",
        _ => false, // words of a router
    }
}

/// What he is, by the router's names for it.
fn subscriber<'a>(line: u32, kind: &str, said: impl Iterator<Item = (&'a str, &'a str)>) -> Row {
    let mut row = Row::at(line);
    row.say(Field::ConnectionType, kind);
    for (name, value) in said {
        match name {
            "name" => row.say(Field::Username, value),
            "password" => row.say(Field::Password, value),
            "profile" if value == "default" || value == "default-encryption" => {}
            "profile" => row.say(Field::Package, value),
            "remote-address" | "address" if value.parse::<std::net::Ipv4Addr>().is_ok() => {
                row.say(Field::StaticIp, value);
            }
            "caller-id" | "mac-address" if value == "00:00:00:00:00:00" => {}
            "caller-id" | "mac-address" => row.say(Field::Macs, value),
            "email" => row.say(Field::Email, value),
            "comment" => row.say(Field::Name, value.trim()),
            "disabled" => {
                if yes_or_no(value) == Some(true) {
                    row.say(Field::Status, "DISABLED");
                }
            }
            "service" if value == "pppoe" || value == "any" => {}
            "service" => {
                row.error(
                    "service",
                    format!("is {value}, which no subscriber here can use; leave the line out, or make it pppoe"),
                );
            }
            other => row.warn(other, "has no place here and is left out"),
        }
    }
    name_or_username(&mut row);
    row
}

/// Every command with the line on which it begins; lines that are gone on are joined.
fn commands(text: &str) -> Vec<(u32, String)> {
    let mut commands: Vec<(u32, String)> = Vec::new();
    let mut open: Option<(u32, String)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end_matches('\r');
        let (from, mut so_far) = match open.take() {
            // What is indented below a backslash goes on where the line above stopped.
            Some((from, so_far)) => (from, so_far + line.trim_start()),
            None if line.trim_start().starts_with('#') || line.trim().is_empty() => continue,
            None => (number, line.trim_start().to_owned()),
        };
        let slashes = so_far.len() - so_far.trim_end_matches('\\').len();
        if slashes % 2 == 1 {
            so_far.pop();
            open = Some((from, so_far));
        } else {
            commands.push((from, so_far));
        }
    }
    commands.extend(open);
    commands
}

#[derive(Debug)]
struct Word {
    text: String,
    /// What stands after `=`.
    value: Option<String>,
}

/// The words of a command. A bracketed word, such as `[ find default=yes ]`, is one.
fn words(command: &str) -> Vec<Word> {
    let mut letters = command.chars().peekable();
    let mut words = Vec::new();
    loop {
        while letters.next_if(|c| c.is_whitespace()).is_some() {}
        if letters.peek().is_none() {
            return words;
        }
        let (mut text, mut value) = (String::new(), None::<String>);
        let (mut quoted, mut depth) = (false, 0_u32);
        while let Some(letter) = letters.peek().copied() {
            if letter.is_whitespace() && !quoted && depth == 0 {
                break;
            }
            letters.next();
            if letter == '=' && !quoted && depth == 0 && value.is_none() {
                value = Some(String::new());
                continue;
            }
            let target = match &mut value {
                Some(value) => value,
                None => &mut text,
            };
            match letter {
                '"' => quoted = !quoted,
                '\\' if quoted => target.extend(escaped(&mut letters)),
                '[' if !quoted => depth += 1,
                ']' if !quoted => depth = depth.saturating_sub(1),
                other => target.push(other),
            }
        }
        words.push(Word { text, value });
    }
}

/// What a backslash in quotes stands for.
fn escaped(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    let letter = letters.next()?;
    Some(match letter {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        '_' => ' ',
        first if first.is_ascii_hexdigit() && !first.is_ascii_lowercase() => {
            let second = letters.next_if(char::is_ascii_hexdigit);
            let byte =
                second.and_then(|second| u8::from_str_radix(&format!("{first}{second}"), 16).ok());
            byte.map_or(first, char::from)
        }
        other => other, // a quote, a dollar, a question mark, a backslash
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPORT: &str = r#"# jan/02/2026 10:11:12 by RouterOS 6.49.10
# software id = ABCD-EFGH
/interface bridge
add name=bridge1
/ppp profile
add name=10M rate-limit=10M/10M
/ppp secret
add comment="Jane \"JD\" Doe, house 5" name=jane password="p w\\d\24" profile=10M \
    remote-address=10.10.0.7 service=pppoe
add disabled=yes name=joh\
    n password=john1234 profile=default service=any caller-id=AA:BB:CC:DD:EE:FF
add name=vpn password=secret1 service=l2tp
add limit-bytes-in=5 local-address=10.0.0.1 name=odd password=odd12345 flag
/ip hotspot user
set [ find default=yes ] disabled=yes
add name=guest password="" mac-address=11:22:33:44:55:66 limit-uptime=1h
/ip hotspot user add name=last password=abcd profile="2 hours"
"#;

    #[test]
    fn subscribers_are_read_and_what_has_no_place_is_named() {
        let (rows, warnings) = read(EXPORT);
        assert_eq!(rows.len(), 6);
        let jane = &rows[0];
        assert_eq!(jane.line, 8);
        assert_eq!(jane.username(), "jane");
        assert_eq!(jane.get(Field::Name), Some("Jane \"JD\" Doe, house 5"));
        assert_eq!(jane.get(Field::Password), Some("p w\\d$"));
        assert_eq!(jane.get(Field::Package), Some("10M"));
        assert_eq!(jane.get(Field::StaticIp), Some("10.10.0.7"));
        assert_eq!(jane.get(Field::ConnectionType), Some("PPPOE"));
        assert!(
            jane.errors.is_empty() && jane.warnings.is_empty(),
            "{jane:?}"
        );

        let john = &rows[1];
        assert_eq!((john.line, john.username()), (10, "john"));
        assert_eq!(john.get(Field::Status), Some("DISABLED"));
        assert_eq!(john.get(Field::Name), Some("john"));
        assert_eq!(john.get(Field::Package), None);
        assert_eq!(john.get(Field::Macs), Some("AA:BB:CC:DD:EE:FF"));

        assert_eq!(rows[2].errors[0].field, "service");
        let odd: Vec<&str> = rows[3].warnings.iter().map(|w| w.field.as_str()).collect();
        assert_eq!(odd, ["limit-bytes-in", "local-address", "flag"]);

        let guest = &rows[4];
        assert_eq!(guest.get(Field::ConnectionType), Some("HOTSPOT"));
        assert_eq!(guest.get(Field::Password), None);
        assert_eq!(guest.warnings[0].field, "limit-uptime");
        assert_eq!(rows[5].get(Field::Package), Some("2 hours"));

        assert_eq!(
            warnings,
            [
                "1 line of /interface bridge are no subscribers and are left out",
                "1 line of /ip hotspot user set are no subscribers and are left out",
                "1 line of /ppp profile are no subscribers and are left out",
            ]
        );
    }

    #[test]
    fn a_router_tells_of_a_user_as_an_export_does() {
        let says = |pairs: &[(&str, &[u8])]| RouterUserV1 {
            hotspot: false,
            says: pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
                .collect(),
        };
        let jane = says(&[
            ("name", b"jane"),
            ("service", b"any"),
            ("password", b"p w\\d$"),
            ("profile", b"10M"),
            ("limit-bytes-in", b"0"),
            ("limit-bytes-out", b"500"),
            ("remote-address", b"10.10.0.7"),
            ("disabled", b"false"),
            ("comment", b"Caf\xe9 Jane"),
        ]);
        let row = told(7, &jane);
        assert_eq!((row.line, row.username()), (7, "jane"));
        assert_eq!(row.get(Field::Password), Some("p w\\d$"));
        assert_eq!(row.get(Field::Name), Some("Café Jane"));
        assert_eq!(row.get(Field::Status), None);
        assert_eq!(row.warnings.len(), 1, "{row:?}");
        assert_eq!(row.warnings[0].field, "limit-bytes-out");
        assert!(row.errors.is_empty());

        let card = RouterUserV1 {
            hotspot: true,
            ..says(&[
                ("server", b"all"),
                ("name", b"card"),
                ("limit-uptime", b"0s"),
                ("limit-bytes-total", b"0"),
                ("disabled", b"true"),
                ("comment", b"a\0b"),
            ])
        };
        let row = told(8, &card);
        assert_eq!(row.get(Field::ConnectionType), Some("HOTSPOT"));
        assert_eq!(row.get(Field::Status), Some("DISABLED"));
        assert_eq!(row.get(Field::Name), Some("card"));
        assert_eq!((row.warnings.len(), &*row.errors[0].field), (0, "comment"));
    }

    #[test]
    fn any_text_at_all_is_read_without_a_panic() {
        for text in [
            "\\",
            "/",
            "add",
            "/ppp secret add name=\"",
            "=\\\\\\",
            "\"[]]=\\E9",
            "/ppp secret\nadd \\",
        ] {
            read(text);
        }
    }
}
