//! Text in scripts.

/// A text as one word of a RouterOS script, whatever it holds: letters, digits and `._:@/-` as they are, every
/// other byte as `\XX` within quotes.
///
/// `MikroTik`, Scripting: constant escape sequences; the hex digits must be upper case.
///
/// ```
/// assert_eq!(easyisp_shared::setup::quote("site-001"), "\"site-001\"");
/// assert_eq!(easyisp_shared::setup::quote("p$s\"?"), r#""p\24s\22\3F""#);
/// ```
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => quoted.push(char::from(byte)),
            b'.' | b'_' | b':' | b'@' | b'/' | b'-' => quoted.push(char::from(byte)),
            _ => quoted.push_str(&format!("\\{byte:02X}")),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::quote;

    /// What RouterOS reads.
    fn read(word: &str) -> Option<Vec<u8>> {
        let mut rest = word.strip_prefix('"')?.strip_suffix('"')?.bytes();
        let mut bytes = Vec::new();
        while let Some(byte) = rest.next() {
            if byte != b'\\' {
                bytes.push(byte);
                continue;
            }
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        }
        Some(bytes)
    }

    proptest! {
        #[test]
        fn whatever_it_holds_is_read_back_and_ends_nothing(text in any::<String>()) {
            let word = quote(&text);
            prop_assert_eq!(read(&word), Some(text.into_bytes()));
            let inner = &word[1..word.len() - 1];
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@/-\\".contains(&byte);
            prop_assert!(inner.bytes().all(plain), "{}", word);
        }
    }
}
