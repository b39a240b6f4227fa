//! Whose money is that came by itself: what its owner is found by, and who that is. What payers type is untrusted:
//! every input gives an answer, none panics.

use easyisp_shared::account::AccountNumber;
use easyisp_shared::id::CustomerId;
use easyisp_shared::phone::PhoneNumber;
use serde::Deserialize;

use super::arrival::Arrival;
use crate::renewals::invoice_number;

/// What the owner of money that came by itself is looked for by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys {
    /// The account that a prompt of ours showed: an account number and two letters.
    pub prompt: Option<String>,
    /// The account number.
    pub account: Option<i32>,
    /// A user name without regard to case and spaces.
    pub username: Option<String>,
    /// The hash of a phone that was typed as account.
    pub phone: Option<String>,
    /// The hash of the payer's phone.
    pub payer: Option<String>,
    /// The number of an invoice that was typed as account.
    pub invoice: Option<String>,
    /// The payer named somebody by digits: when that is nobody, whose money it is would be a guess.
    pub named_a_number: bool,
    /// The payer named nobody.
    pub named_nobody: bool,
}

impl Keys {
    /// Of money of which is not known what its payer typed: it has no owner that could be known.
    pub fn none() -> Keys {
        Keys {
            prompt: None,
            account: None,
            username: None,
            phone: None,
            payer: None,
            invoice: None,
            named_a_number: false,
            named_nobody: false,
        }
    }

    /// Of this money.
    pub fn of(arrival: &Arrival) -> Keys {
        let bare: String = arrival
            .reference
            .chars()
            .filter(|letter| !letter.is_whitespace())
            .collect();
        let (number, letters) = match bare.len().checked_sub(2) {
            Some(at) if bare.is_char_boundary(at) => bare.split_at(at),
            Some(_) | None => (bare.as_str(), ""),
        };
        let of_prompt = letters.len() == 2
            && letters.bytes().all(|letter| letter.is_ascii_alphabetic())
            && AccountNumber::parse(number).is_some();
        let account = match of_prompt {
            true => AccountNumber::parse(number),
            false => AccountNumber::parse(&bare),
        };
        Keys {
            prompt: of_prompt.then(|| bare.to_ascii_uppercase()),
            account: account.map(AccountNumber::number),
            username: (!bare.is_empty()).then(|| bare.to_lowercase()),
            phone: PhoneNumber::parse(&bare).map(|phone| phone.hash()),
            payer: arrival.payer.hash(),
            invoice: invoice_number(&arrival.reference),
            named_a_number: !bare.is_empty()
                && (bare.chars().filter(char::is_ascii_digit).count() >= 6
                    || bare.chars().all(|letter| {
                        letter.is_ascii_digit() || matches!(letter, '-' | '+' | '.')
                    })),
            named_nobody: bare.is_empty(),
        }
    }
}

/// A customer whom some of the keys fit.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Candidate {
    /// The customer.
    pub id: CustomerId,
    /// The account number is his.
    pub by_account: bool,
    /// The user name is his.
    pub by_name: bool,
    /// The phone typed as account is his.
    pub by_phone: bool,
    /// The payer's phone is his.
    pub by_payer: bool,
    /// That phone, when it is.
    pub phone: Option<String>,
}

/// Whose money it is: the account number before the user name, before a phone that was typed, before the
/// phone it was paid from. `None` when that is nobody or more than one.
///
/// `by_payer` = whether the phone it was paid from is enough; it is not when the payer named a number that is
/// nobody's: he may have paid for somebody else.
pub fn owner<'c>(
    candidates: &'c [Candidate],
    keys: &Keys,
    by_payer: bool,
) -> Option<&'c Candidate> {
    let ways: [fn(&Candidate) -> bool; 4] = [
        |candidate| candidate.by_account,
        |candidate| candidate.by_name,
        |candidate| candidate.by_phone,
        |candidate| candidate.by_payer,
    ];
    let ways = match by_payer && !keys.named_a_number {
        true => &ways[..],
        false => &ways[..3],
    };
    for way in ways {
        let mut found = candidates.iter().filter(|candidate| way(candidate));
        match (found.next(), found.next()) {
            (None, _) => {}
            (Some(one), None) => return Some(one),
            (Some(_), Some(_)) => return None,
        }
    }
    None
}

/// The account numbers that one slip makes of what was typed: one digit wrong, or two neighbours swapped.
pub fn near_accounts(reference: &str) -> Vec<i32> {
    let digits: Vec<char> = reference
        .chars()
        .filter(|letter| !letter.is_whitespace() && *letter != '-')
        .collect();
    if !(6..=8).contains(&digits.len()) || !digits.iter().all(char::is_ascii_digit) {
        return Vec::new();
    }
    let mut near = Vec::new();
    let mut add = |slip: Vec<char>| {
        let text: String = slip.into_iter().collect();
        near.extend(AccountNumber::parse(&text).map(AccountNumber::number));
    };
    add(digits.clone());
    for at in 0..digits.len() {
        for digit in '0'..='9' {
            let mut slip = digits.clone();
            slip[at] = digit;
            add(slip);
        }
        if at + 1 < digits.len() {
            let mut slip = digits.clone();
            slip.swap(at, at + 1);
            add(slip);
        }
    }
    near.sort_unstable();
    near.dedup();
    near
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use easyisp_shared::money::Cents;
    use proptest::prelude::*;

    use super::super::arrival::Payer;
    use super::*;

    fn keys(reference: &str) -> Keys {
        Keys::of(&Arrival {
            receipt: "RKTQDM7W6S".into(),
            amount: Cents::whole(1),
            paid_at: None,
            reference: reference.into(),
            payer: Payer::read("0712345678"),
            payer_name: None,
        })
    }

    #[test]
    fn what_was_typed_is_read_without_case_and_spaces() {
        let number = AccountNumber::nth(7).to_string();
        let account = Some(AccountNumber::nth(7).number());
        for typed in [
            number.clone(),
            format!(" {} {}", &number[..3], &number[3..]),
        ] {
            assert_eq!((keys(&typed).account, keys(&typed).prompt), (account, None));
        }
        let prompt = keys(&format!("{number}qz"));
        assert_eq!(prompt.account, account);
        assert_eq!(prompt.prompt, Some(format!("{number}QZ")));
        assert_eq!(keys("Demo 001").username.as_deref(), Some("demo001"));
        assert_eq!(keys("0712 345 678").phone, keys("").payer);
        assert!(keys("100001").named_a_number && !keys("net 1").named_a_number);
        assert!(keys("100009AB").named_a_number && keys("A/C100009").named_a_number);
        assert!(keys("").named_nobody);
        let invoice = keys("inv 2027 0001");
        assert_eq!(invoice.invoice.as_deref(), Some("INV-20270001"));
        assert!(
            invoice.named_a_number,
            "nobody's, where it is not open: no guess by the phone"
        );
    }

    #[test]
    fn one_is_the_owner_and_two_are_nobody() {
        let one = |nth: u8, by: usize| Candidate {
            id: CustomerId(uuid::Uuid::from_bytes([nth; 16])),
            by_account: by == 0,
            by_name: by == 1,
            by_phone: by == 2,
            by_payer: by == 3,
            phone: None,
        };
        let unnamed = keys("");
        for by in 0..4 {
            let several = [one(1, by), one(2, 3)];
            let found = owner(&several[..1], &unnamed, true);
            assert_eq!(found, Some(&one(1, by)), "{by}");
            assert_eq!(owner(&several, &unnamed, true).is_some(), by < 3, "{by}");
        }
        // He named a number that nobody has: perhaps another's.
        assert_eq!(owner(&[one(1, 3)], &keys("100001"), true), None);
        assert_eq!(owner(&[one(1, 3)], &unnamed, false), None);
        assert_eq!(owner(&[one(1, 1), one(2, 1)], &keys("jane"), true), None);
    }

    #[test]
    fn a_slip_is_near() {
        let right = AccountNumber::nth(77_777);
        let mut wrong = right.to_string().into_bytes();
        wrong[2] = if wrong[2] == b'9' { b'8' } else { wrong[2] + 1 };
        let wrong = String::from_utf8(wrong).unwrap();
        assert!(near_accounts(&wrong).contains(&right.number()));
        assert!(near_accounts("jane").is_empty() && near_accounts("123456789").is_empty());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            let _ = (keys(&text), near_accounts(&text));
        }
    }
}
