//! Numbers of invoices, and what becomes of them.

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

/// Taxes of one invoice.
pub const MOST_TAXES: usize = 10;

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

/// Why an invoice is owed again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Because {
    /// An operator says so.
    Asked,
    /// The money it was paid with was taken back; what of that comes back pays it again.
    TakenBack,
}

/// Whether money that came and was taken back was in the wallet when that paid.
pub fn paid_with(paid_at: Timestamp, (came, gone): (Timestamp, Timestamp)) -> bool {
    came <= paid_at && paid_at <= gone
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
