//! Numbers and taxes of invoices, and what becomes of them.

use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words::Status;

/// What is billed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = InvoiceItem)]
pub struct Item {
    /// For people.
    pub description: String,
    /// Taxes included.
    pub amount: Cents,
}

/// A tax that prices include.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Tax {
    /// `Excise duty`.
    pub name: String,
    /// Percent, with at most two decimals: 16 or 12.5.
    pub rate: Cents,
    /// The code of the account on which it is owed.
    pub account: String,
}

/// A tax as an invoice charged it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = InvoiceTax)]
pub struct Charged {
    /// Which.
    pub name: String,
    /// Percent.
    pub rate: Cents,
    /// The code of the account on which it is owed.
    pub account: String,
    /// How much of the invoice it is.
    pub amount: Cents,
}

/// Taxes of one invoice.
pub const MOST_TAXES: usize = 10;

/// What is left of `gross` without `taxes`, and how much each of them is, in their order.
///
/// Each tax was added to all before it: the price is net × (1 + first) × (1 + second) … So the last one is taken
/// out first. A base is rounded to the nearest cent (half up), here and nowhere else; its tax is the rest, so
/// that all parts sum to `gross`.
pub fn split(gross: Cents, taxes: &[Tax]) -> (Cents, Vec<Charged>) {
    let mut left = gross;
    let mut charged = Vec::with_capacity(taxes.len());
    for tax in taxes.iter().rev() {
        let base = without(left, tax.rate);
        charged.push(Charged {
            name: tax.name.clone(),
            rate: tax.rate,
            account: tax.account.clone(),
            amount: left.minus(base).unwrap_or_default(),
        });
        left = base;
    }
    charged.reverse();
    (left, charged)
}

/// What `percent` was added to; hundredths of a percent are whole numbers.
fn without(gross: Cents, percent: Cents) -> Cents {
    const WHOLE: i128 = 10_000;

    let with = WHOLE + i128::from(percent.minor().max(0));
    let base = (i128::from(gross.minor()) * WHOLE * 2 + with).div_euclid(with * 2);
    Cents::new(i64::try_from(base).unwrap_or(gross.minor()))
}

/// The number of an invoice: `INV-20260001` is the first one of 2026.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Number {
    /// The tenant's year in which it was issued.
    pub year: i16,
    /// From one.
    pub serial: i32,
}

impl std::fmt::Display for Number {
    /// Four digits of the year and four of the serial, more when four are not enough.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "INV-{:04}{:04}", self.year, self.serial)
    }
}

impl Number {
    /// That of a credit note, whose numbers are their own: `CN-20260001`.
    pub fn of_note(self) -> String {
        format!("CN-{:04}{:04}", self.year, self.serial)
    }
}

/// What becomes of an invoice that is to be something else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// It is that already.
    Stay,
    /// Money is taken for it.
    Pay,
    /// It is taken back.
    Cancel,
    /// What it was paid with is taken back.
    Reopen,
}

/// Why an invoice does not become that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It was paid.
    Paid,
    /// It was taken back.
    Cancelled,
    /// Its due day decides that.
    Derived,
}

/// How an invoice that is `now` becomes `wanted`.
pub fn step(now: Status, wanted: Status) -> Result<Step, Refusal> {
    use Status::{Cancelled, Overdue, Paid, Pending};

    match (now, wanted) {
        (now, wanted) if now == wanted => Ok(Step::Stay),
        (Pending | Overdue, Paid) => Ok(Step::Pay),
        (Pending | Overdue, Cancelled) => Ok(Step::Cancel),
        (Pending, Overdue) | (Overdue, Pending) => Err(Refusal::Derived),
        (Paid, Pending) => Ok(Step::Reopen),
        (Paid, Overdue) => Err(Refusal::Derived),
        (Paid, Cancelled) => Err(Refusal::Paid),
        (Cancelled, Pending | Overdue | Paid) => Err(Refusal::Cancelled),
        (Pending, Pending) | (Overdue, Overdue) | (Paid, Paid) | (Cancelled, Cancelled) => {
            Ok(Step::Stay)
        }
    }
}

/// Whether money that came and was taken back was in the wallet when that paid.
pub fn paid_with(paid_at: Timestamp, (came, gone): (Timestamp, Timestamp)) -> bool {
    came <= paid_at && paid_at <= gone
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tax(name: &str, percent: i64) -> Tax {
        Tax {
            name: name.to_owned(),
            rate: Cents::new(percent),
            account: "2300".to_owned(),
        }
    }

    #[test]
    fn value_added_tax_is_on_the_excise_duty_too() {
        // 1000 net, 15 % excise duty, 16 % value added tax: 1334.
        let (net, charged) = split(Cents::whole(1334), &[tax("Excise", 1500), tax("VAT", 1600)]);
        assert_eq!(net, Cents::whole(1000));
        let amounts: Vec<Cents> = charged.iter().map(|tax| tax.amount).collect();
        assert_eq!(amounts, [Cents::whole(150), Cents::whole(184)]);
        assert_eq!(charged[0].name, "Excise");
    }

    #[test]
    fn a_number_has_its_year_and_at_least_four_digits() {
        let number = |serial| Number { year: 2026, serial }.to_string();
        assert_eq!(number(1), "INV-20260001");
        assert_eq!(number(9_999), "INV-20269999");
        assert_eq!(number(10_000), "INV-202610000");
    }

    #[test]
    fn credit_notes_are_numbered_like_invoices() {
        let number = Number {
            year: 2026,
            serial: 7,
        };
        assert_eq!(number.of_note(), "CN-20260007");
    }

    #[test]
    fn what_was_taken_back_stays_so_and_what_was_paid_until_that_is_taken_back() {
        use Status::{Cancelled, Overdue, Paid, Pending};
        assert_eq!(step(Overdue, Paid), Ok(Step::Pay));
        assert_eq!(step(Pending, Cancelled), Ok(Step::Cancel));
        assert_eq!(step(Paid, Paid), Ok(Step::Stay));
        assert_eq!(step(Paid, Cancelled), Err(Refusal::Paid));
        assert_eq!(step(Paid, Overdue), Err(Refusal::Derived));
        assert_eq!(step(Paid, Pending), Ok(Step::Reopen));
        for wanted in [Pending, Overdue, Paid] {
            assert_eq!(step(Cancelled, wanted), Err(Refusal::Cancelled));
        }
        assert_eq!(step(Pending, Overdue), Err(Refusal::Derived));
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole(gross in 1i64..1_000_000_000_000, rates in prop::collection::vec(1i64..=10_000, 0..5)) {
            let taxes: Vec<Tax> = rates.iter().map(|rate| tax("any", *rate)).collect();
            let (net, charged) = split(Cents::new(gross), &taxes);
            let sum: i64 = charged.iter().map(|tax| tax.amount.minor()).sum();
            prop_assert_eq!(net.minor() + sum, gross);
            prop_assert!(net.minor() >= 0 && charged.iter().all(|tax| tax.amount.minor() >= 0));
        }
    }
}
