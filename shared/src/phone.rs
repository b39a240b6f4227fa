//! Telephone numbers in one form, and their hash.

use sha2::{Digest, Sha256};

/// A Kenyan mobile number as the providers want it: `254` and nine digits, no `+`.
///
/// Printed masked (first five and last two digits), because logs are read by many.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// Parses `07…`, `01…`, `7…`, `1…`, `254…` and `+254…`, with spaces, dashes or brackets between.
    pub fn parse(text: &str) -> Option<PhoneNumber> {
        let mut digits = String::with_capacity(12);
        for (at, letter) in text.trim().chars().enumerate() {
            match letter {
                '0'..='9' if digits.len() < 15 => digits.push(letter),
                '+' if at == 0 => {}
                ' ' | '-' | '(' | ')' | '.' => {}
                _ => return None,
            }
        }
        let local = match digits.len() {
            12 => digits.strip_prefix("254")?,
            10 => digits.strip_prefix('0')?,
            9 => &digits,
            _ => return None,
        };
        local
            .starts_with(['7', '1'])
            .then(|| PhoneNumber(format!("254{local}")))
    }

    /// `254XXXXXXXXX`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nine digits that follow the country's code.
    pub fn local(&self) -> &str {
        &self.0[3..]
    }

    /// SHA-256 of the twelve digits, in lower-case hex: the form in which C2B version 2 names a payer.
    pub fn hash(&self) -> String {
        hex::encode(Sha256::digest(self.0.as_bytes()))
    }

    /// `25471*****49`: enough for a person to recognise, too little to call.
    pub fn masked(&self) -> String {
        let (first, last) = (&self.0[..5], &self.0[self.0.len() - 2..]);
        format!("{first}*****{last}")
    }
}

impl std::fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.masked())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn every_usual_spelling_is_one_number() {
        for text in [
            "0712345678",
            "712345678",
            "254712345678",
            "+254712345678",
            "+254 712-345 678",
        ] {
            assert_eq!(
                PhoneNumber::parse(text).unwrap().as_str(),
                "254712345678",
                "{text}"
            );
        }
        assert_eq!(
            PhoneNumber::parse("0110123456").unwrap().as_str(),
            "254110123456"
        );
    }

    #[test]
    fn user_names_and_foreign_numbers_are_not_numbers() {
        for text in [
            "",
            "demo001",
            "12345",
            "0812345678",
            "447700900123",
            "07123456789",
            "٠٧١٢٣٤٥٦٧٨",
        ] {
            assert_eq!(PhoneNumber::parse(text), None, "{text}");
        }
    }

    #[test]
    fn debug_output_hides_the_middle() {
        let number = PhoneNumber::parse("0712345678").unwrap();
        assert_eq!(format!("{number:?}"), "25471*****78");
        assert_eq!(number.hash().len(), 64);
    }
}
