//! Account numbers: what a payer types at a pay bill.

/// Six to eight digits whose last is a Luhn check digit; unique on the platform.
///
/// One mistyped digit and nearly every swap of two neighbours is noticed, so a slip becomes a question
/// and never somebody else's internet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AccountNumber(u32);

impl AccountNumber {
    /// How many numbers there are: bodies 10000..=9999999, each with its check digit.
    pub const COUNT: u64 = 9_990_000;

    /// The `nth` number there is (below [`AccountNumber::COUNT`]; larger wraps round).
    pub fn nth(nth: u64) -> AccountNumber {
        let body = 10_000 + u32::try_from(nth % Self::COUNT).unwrap_or(0);
        AccountNumber(body * 10 + check_digit(body))
    }

    /// The number itself; fits any integer column.
    pub fn number(self) -> i32 {
        i32::try_from(self.0).expect("eight digits fit")
    }

    /// Parses what a payer typed; spaces and dashes are ignored. `None` when the check digit is wrong.
    pub fn parse(text: &str) -> Option<AccountNumber> {
        let mut digits = String::new();
        for letter in text.chars() {
            match letter {
                '0'..='9' if digits.len() < 8 => digits.push(letter),
                ' ' | '-' => {}
                _ => return None,
            }
        }
        if digits.len() < 6 || digits.starts_with('0') {
            return None;
        }
        let number: u32 = digits.parse().ok()?;
        (check_digit(number / 10) == number % 10).then_some(AccountNumber(number))
    }
}

impl std::fmt::Display for AccountNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The Luhn digit (ISO/IEC 7812-1 annex B) that follows `body`.
fn check_digit(body: u32) -> u32 {
    let mut rest = body;
    let mut sum = 0;
    let mut double = true;
    while rest > 0 {
        let digit = rest % 10;
        sum += match (double, digit * 2) {
            (false, _) => digit,
            (true, twice) if twice > 9 => twice - 9,
            (true, twice) => twice,
        };
        double = !double;
        rest /= 10;
    }
    (10 - sum % 10) % 10
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_have_six_to_eight_digits() {
        assert_eq!(AccountNumber::nth(0).to_string().len(), 6);
        assert_eq!(
            AccountNumber::nth(AccountNumber::COUNT - 1)
                .to_string()
                .len(),
            8
        );
    }

    proptest! {
        #[test]
        fn one_wrong_digit_is_always_noticed(nth in 0..AccountNumber::COUNT, at in 0usize..8, by in 1u32..10) {
            let right = AccountNumber::nth(nth).to_string();
            prop_assert_eq!(AccountNumber::parse(&right), Some(AccountNumber::nth(nth)));

            let at = at % right.len();
            let wrong: String = right.chars().enumerate().map(|(i, digit)| {
                let digit = digit.to_digit(10).unwrap();
                char::from_digit(if i == at { (digit + by) % 10 } else { digit }, 10).unwrap()
            }).collect();
            prop_assert_eq!(AccountNumber::parse(&wrong), None);
        }
    }
}
