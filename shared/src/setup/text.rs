//! A configuration as text, canonical: one line a row, properties by name, under the headings of their menus. Two
//! routers that are configured alike have the same text, and what is written is read back.

use std::fmt::Write;

/// Properties and values of a row, octet for octet.
pub type Fields = Vec<(String, Vec<u8>)>;

/// How a row is made so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb<'a> {
    /// It is one more.
    Add,
    /// The menu itself.
    Set,
    /// It is there: the one with this property.
    SetWhere(&'a str, &'a [u8]),
}

/// One line: `add name=easyisp-pppoe ranges=10.10.10.2-10.10.10.254`.
pub fn line(verb: Verb<'_>, fields: &Fields) -> String {
    let mut text = match verb {
        Verb::Add => "add".to_owned(),
        Verb::Set => "set".to_owned(),
        Verb::SetWhere(name, is) => format!("set [ find {name}={} ]", value(is)),
    };
    for (name, held) in fields {
        // Writing into a String does not fail.
        let _ = write!(text, " {name}={}", value(held));
    }
    text
}

/// A value as `/export` writes it: bare where it may be, else in quotes.
pub fn value(held: &[u8]) -> String {
    let bare = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:@/,-".contains(byte);
    if !held.is_empty() && held.iter().all(bare) {
        return String::from_utf8_lossy(held).into_owned();
    }
    let mut text = String::with_capacity(held.len() + 2);
    text.push('"');
    for byte in held {
        match byte {
            b'"' | b'\\' | b'$' | b'?' => text.extend(['\\', char::from(*byte)]),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "\\{byte:02X}");
            }
        }
    }
    text.push('"');
    text
}

/// Every row of a text with the menu it stands in, in order; by what a row is found stands among its properties.
/// What is no line of ours is passed over.
pub fn read(text: &str) -> Vec<(&str, Fields)> {
    let mut menu = "";
    let mut rows = Vec::new();
    for line in text.lines() {
        if line.starts_with('/') {
            menu = line;
        } else if let Some(fields) = fields(line) {
            rows.push((menu, fields));
        }
    }
    rows
}

fn fields(line: &str) -> Option<Fields> {
    let mut rest = line
        .strip_prefix("add")
        .or_else(|| line.strip_prefix("set"))?;
    let mut key = None;
    if let Some(found) = rest.strip_prefix(" [ find ") {
        let (name, after) = found.split_once('=')?;
        let (held, after) = split_value(after)?;
        rest = after.strip_prefix(" ]")?;
        key = Some((name.to_owned(), held));
    }
    let mut fields = Fields::new();
    while !rest.is_empty() {
        let (name, after) = rest.strip_prefix(' ')?.split_once('=')?;
        let (held, after) = split_value(after)?;
        fields.push((name.to_owned(), held));
        rest = after;
    }
    let named = |(key, _): &(String, Vec<u8>)| fields.iter().any(|(name, _)| name == key);
    let key = key.filter(|key| !named(key));
    fields.extend(key);
    Some(fields)
}

fn split_value(text: &str) -> Option<(Vec<u8>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(' ').unwrap_or(text.len());
        let (bare, rest) = text.split_at_checked(end)?;
        return Some((bare.as_bytes().to_vec(), rest));
    };
    let mut held = Vec::new();
    let mut bytes = quoted.bytes().enumerate();
    while let Some((place, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((held, quoted.get(place + 1..)?)),
            b'\\' => match bytes.next()?.1 {
                b'n' => held.push(b'\n'),
                b'r' => held.push(b'\r'),
                b't' => held.push(b'\t'),
                high if high.is_ascii_hexdigit() => {
                    let digits = [high, bytes.next()?.1];
                    let digits = std::str::from_utf8(&digits).ok()?;
                    held.push(u8::from_str_radix(digits, 16).ok()?);
                }
                plain => held.push(plain),
            },
            plain => held.push(plain),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_fields() -> impl Strategy<Value = Fields> {
        prop::collection::vec(
            (
                "[a-z][a-z0-9-]{0,8}",
                prop::collection::vec(any::<u8>(), 0..12),
            ),
            0..5,
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(rows in prop::collection::vec(any_fields(), 0..6)) {
            let lines: Vec<String> = rows.iter().map(|row| line(Verb::Add, row)).collect();
            let text = format!("# a comment\n/ip pool\n{}\n", lines.join("\n"));
            let read: Vec<Fields> = read(&text).into_iter().map(|(_, row)| row).collect();
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn reading_any_text_ends(text in any::<String>()) {
            let _ = read(&text);
        }
    }

    #[test]
    fn lines_look_as_a_router_exports_them() {
        let fields = vec![
            ("comment".to_owned(), b"drop \"the\" rest".to_vec()),
            ("disabled".to_owned(), b"no".to_vec()),
        ];
        assert_eq!(
            line(Verb::Add, &fields),
            r#"add comment="drop \"the\" rest" disabled=no"#
        );
        let told = line(Verb::SetWhere("name", b"api-ssl"), &fields);
        assert_eq!(
            told,
            r#"set [ find name=api-ssl ] comment="drop \"the\" rest" disabled=no"#
        );
        let text = format!("/ip service\n{told}\n");
        let found = [("name".to_owned(), b"api-ssl".to_vec())];
        let fields = fields.into_iter().chain(found).collect();
        assert_eq!(read(&text), [("/ip service", fields)]);
    }
}
