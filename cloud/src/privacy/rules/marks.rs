//! By what words somebody is found in texts that others wrote.

use std::collections::BTreeSet;

use easyisp_shared::net::Mac;
use easyisp_shared::phone::PhoneNumber;

/// What is known of somebody.
#[derive(Clone, Default, Debug)]
pub struct Known {
    /// His name.
    pub name: String,
    /// His user name.
    pub username: String,
    /// His e-mail address.
    pub email: Option<String>,
    /// His phone as somebody typed it, and as a number.
    pub phones: Vec<String>,
    /// His devices.
    pub devices: Vec<String>,
}

/// The words, as regular expressions of the database that find them whole, in any case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Marks {
    words: Vec<String>,
    /// What is nobody else's: numbers, addresses, devices. `None` = nothing is known.
    pub numbers: Option<String>,
    /// User name and name, which others may share.
    pub names: Option<String>,
}

impl Marks {
    /// The words by which `known` is found.
    pub fn of(known: &Known) -> Marks {
        let mut numbers = BTreeSet::new();
        numbers.extend(known.email.clone());
        for phone in &known.phones {
            numbers.insert(phone.trim().to_owned());
            if let Some(number) = PhoneNumber::parse(phone) {
                let whole = number.as_str();
                let local = whole.strip_prefix("254").unwrap_or(whole);
                numbers.extend([whole.to_owned(), format!("0{local}"), local.to_owned()]);
            }
        }
        for device in &known.devices {
            numbers.insert(device.clone());
            if let Some(mac) = Mac::parse(device) {
                let colons = mac.to_string();
                numbers.extend([colons.replace(':', "-"), colons.replace(':', ""), colons]);
            }
        }
        numbers.retain(|word| word.chars().count() >= SHORTEST_NUMBER);
        let names: BTreeSet<String> = [&known.name, &known.username]
            .into_iter()
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        Marks {
            numbers: pattern(&numbers),
            names: pattern(&names),
            words: numbers.into_iter().chain(names).collect(),
        }
    }

    /// The first of the words that stands in `text`.
    pub fn found_in(&self, text: &str) -> Option<&str> {
        let text = text.to_lowercase();
        let stands = |word: &&String| {
            let word = word.to_lowercase();
            text.match_indices(&word).any(|(at, found)| {
                let before = text[..at].chars().next_back();
                let after = text[at + found.len()..].chars().next();
                !before.is_some_and(char::is_alphanumeric)
                    && !after.is_some_and(char::is_alphanumeric)
            })
        };
        self.words.iter().find(stands).map(String::as_str)
    }
}

/// Shorter ones are no numbers but a house or an extension, and stand everywhere.
const SHORTEST_NUMBER: usize = 6;

/// Finds any of `words` between what is no letter and no digit.
fn pattern(words: &BTreeSet<String>) -> Option<String> {
    if words.is_empty() {
        return None;
    }
    let literal = |word: &String| -> String {
        word.chars()
            .flat_map(|letter| {
                let special = letter.is_ascii() && !letter.is_ascii_alphanumeric();
                special.then_some('\\').into_iter().chain([letter])
            })
            .collect()
    };
    let words: Vec<String> = words.iter().map(literal).collect();
    Some(format!(
        "(^|[^[:alnum:]])({})($|[^[:alnum:]])",
        words.join("|")
    ))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn jane() -> Marks {
        Marks::of(&Known {
            name: "Jane (Doe)".to_owned(),
            username: "jane".to_owned(),
            email: Some("jane@home.example".to_owned()),
            phones: vec!["0712 345678".to_owned()],
            devices: vec!["AA:BB:CC:00:11:22".to_owned()],
        })
    }

    #[test]
    fn somebody_is_found_in_every_spelling() {
        let marks = jane();
        for text in [
            "call +254712345678 back",
            "0712345678",
            "her device aa-bb-cc-00-11-22",
            "JANE asked",
            "write to jane@home.example.",
        ] {
            assert!(marks.found_in(text).is_some(), "{text}");
        }
        for text in ["janet asked", "12547123456789", "moved out"] {
            assert_eq!(marks.found_in(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_special_in_an_expression_is_a_letter_like_others() {
        let names = jane().names.unwrap();
        assert!(names.contains("Jane\\ \\(Doe\\)|jane"), "{names}");
        assert_eq!(Marks::of(&Known::default()).numbers, None);
    }
}
