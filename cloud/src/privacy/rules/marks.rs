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
///
/// Only what nobody else can be called counts: a phone or an address that is none may be any word, and the
/// lines in which that stands are not his.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Marks {
    words: Vec<String>,
    /// Phone and e-mail address. `None` = neither is known.
    pub numbers: Option<String>,
    /// User name and name, which others may share. `None` = they are too short to be told from other words.
    pub names: Option<String>,
    /// Devices: twelve hex digits in upper case.
    pub devices: Vec<String>,
}

impl Marks {
    /// The words by which `known` is found.
    pub fn of(known: &Known) -> Marks {
        let mut numbers = BTreeSet::new();
        numbers.extend(known.email.clone().filter(|email| email.contains('@')));
        for number in known
            .phones
            .iter()
            .filter_map(|phone| PhoneNumber::parse(phone))
        {
            let (whole, local) = (number.as_str(), number.local());
            numbers.extend([whole.to_owned(), format!("0{local}"), local.to_owned()]);
        }
        let macs = known.devices.iter().filter_map(|device| Mac::parse(device));
        let devices: Vec<String> = macs.map(|mac| mac.to_string().replace(':', "")).collect();
        let names = [&known.name, &known.username].map(|name| name.trim().to_owned());
        let names: BTreeSet<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
        let tellable = names
            .iter()
            .filter(|name| is_tellable(name))
            .cloned()
            .collect();
        let (expression, names_expression) = (pattern(&numbers), pattern(&tellable));
        let typed = known.phones.iter().chain(&known.devices).cloned();
        let dashed = known.devices.iter().map(|device| device.replace(':', "-"));
        let words = numbers.into_iter().chain(names).chain(typed).chain(dashed);
        Marks {
            words: words.chain(devices.iter().cloned()).collect(),
            numbers: expression,
            names: names_expression,
            devices,
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

/// Whether a name can be told from other words and numbers.
fn is_tellable(name: &str) -> bool {
    name.chars().count() >= 4 && name.chars().any(char::is_alphabetic)
}

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

    #[test]
    fn what_may_be_any_word_is_no_mark() {
        let marks = Marks::of(&Known {
            name: "Ali".to_owned(),
            username: "500".to_owned(),
            email: Some("amount".to_owned()),
            phones: vec!["enabled".to_owned(), "PERSON".to_owned()],
            devices: vec!["of hers".to_owned()],
        });
        assert_eq!((marks.numbers.clone(), marks.names.clone()), (None, None));
        assert_eq!(marks.devices, Vec::<String>::new());
        assert_eq!(marks.found_in("Ali asked"), Some("Ali"));
    }
}
