//! What an e-mail address and a password must look like.

use std::collections::HashSet;
use std::sync::LazyLock;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::error::FieldError;

/// An e-mail address in the form in which it is stored and compared: lower case, no blanks around it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Email(String);

impl Email {
    /// Reads an address; `None` when it cannot be one. Whether mail arrives is not asked.
    pub fn parse(text: &str) -> Option<Email> {
        let text = text.trim().to_lowercase();
        let (local, domain) = text.rsplit_once('@')?;
        let clean = |part: &str| {
            !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || c.is_control())
        };
        let domain_fits = domain.contains('.')
            && !domain.starts_with('.')
            && !domain.ends_with('.')
            && !domain.contains("..");
        (text.len() <= 254 && clean(local) && clean(domain) && domain_fits && !local.contains('@'))
            .then_some(Email(text))
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What the directory finds an account by.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

/// Checks a new password: 12 to 128 characters, no other rules of composition, none that attackers try first.
pub fn check_password(field: &str, password: &SecretString, email: &str) -> Result<(), FieldError> {
    let say = |message: &str| {
        Err(FieldError {
            field: field.to_owned(),
            message: message.to_owned(),
        })
    };
    let password = password.expose_secret();
    let length = password.chars().count();
    if length < 12 {
        return say("must have at least 12 characters; three or four words make a good one");
    }
    if length > 128 {
        return say("must have at most 128 characters");
    }
    if is_easy(password, email) {
        return say("is one of those that attackers try first; choose another");
    }
    Ok(())
}

fn is_easy(password: &str, email: &str) -> bool {
    let lower = password.to_lowercase();
    let (local, _) = email.split_once('@').unwrap_or((email, ""));
    if BREACHED.contains(lower.as_str())
        || lower == email
        || is_repetition(&lower)
        || is_run(&lower)
    {
        return true;
    }
    let core = lower.trim_end_matches(|c: char| c.is_ascii_digit() || c.is_ascii_punctuation());
    let core = core.trim_start_matches(|c: char| c.is_ascii_digit());
    BREACHED.contains(core) || core == local || is_repetition(core)
}

/// One short piece again and again: `abcabcabcabc`, `passwordpassword`.
fn is_repetition(text: &str) -> bool {
    let letters: Vec<char> = text.chars().collect();
    (1..=letters.len() / 2).any(|piece| {
        letters.len().is_multiple_of(piece)
            && letters
                .iter()
                .zip(letters.iter().skip(piece))
                .all(|(a, b)| a == b)
    })
}

/// Neighbours all the way: `123456789012`, `abcdefghijklm`, `zyxwvutsrqpon`.
fn is_run(text: &str) -> bool {
    let letters: Vec<char> = text.chars().collect();
    let step = |a: &char, b: &char| match (*a, *b) {
        ('9', '0') => 1,
        ('0', '9') => -1,
        (a, b) => i64::from(u32::from(b)) - i64::from(u32::from(a)),
    };
    let all = |wanted: i64| {
        letters
            .iter()
            .zip(letters.iter().skip(1))
            .all(|(a, b)| step(a, b) == wanted)
    };
    all(1) || all(-1)
}

/// Common passwords and the words they are made of, in lower case.
static BREACHED: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    include_str!("breached.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
});

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn is_taken(password: &str) -> bool {
        check_password(
            "password",
            &SecretString::from(password),
            "jane.doe@isp.example",
        )
        .is_ok()
    }

    #[test]
    fn addresses_compare_in_one_form() {
        assert_eq!(
            Email::parse(" Owner@Demo.ISP ").unwrap().as_str(),
            "owner@demo.isp"
        );
        for wrong in [
            "",
            "owner",
            "owner@",
            "@demo.isp",
            "a b@c.d",
            "a@b",
            "a@.b",
            "a@b..c",
        ] {
            assert_eq!(Email::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn long_enough_and_not_tried_first() {
        for good in [
            "demo-owner-pass",
            "demo-platform-pass",
            "correct horse battery",
        ] {
            assert!(is_taken(good), "{good}");
        }
        for bad in [
            "short",
            "eleven char",
            "password1234",
            "Password2024!",
            "passwordpassword",
            "123456789012",
            "aaaaaaaaaaaaaa",
            "qwertyuiop123",
            "abcdefghijklm",
            "jane.doe@isp.example",
            "jane.doe2024",
            &"x1".repeat(65),
        ] {
            assert!(!is_taken(bad), "{bad}");
        }
    }
}
