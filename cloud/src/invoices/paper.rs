//! An invoice on paper.

use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::tz::TimeZone;

use super::FiscalReceipt;
use super::Item;
use super::pdf::{Face, HEIGHT, PageText, WIDTH, document};
use super::store::{Letterhead, Note, Row};
use crate::ledger::Charged;
use crate::payments::PayTo;
use crate::pictures::Pixels;

const MARGIN: u32 = 50;
const RIGHT: u32 = WIDTH - MARGIN;
/// From line to line.
const LEADING: u32 = 16;
/// Points of a logo's longer side.
const LOGO: u32 = 72;
/// Letters of a description that fit beside its amount.
const LETTERS: usize = 70;

/// The invoice as a PDF document. While something of it is open it says where to pay that to, where there is such a place.
pub fn of(
    invoice: &Row,
    head: &Letterhead,
    pay_to: Option<&PayTo>,
    logo: Option<&Pixels>,
) -> Vec<u8> {
    let zone = TimeZone::get(&head.time_zone).unwrap_or(TimeZone::UTC);
    let mut paper = Paper::begin();
    paper.head(head, logo);
    let kind = match invoice.period_id {
        Some(_) => "Receipt",
        None => "Invoice",
    };
    paper.line(Face::Bold, 14, &format!("{kind} {}", invoice.number));
    paper.to(invoice, head);
    let issued = format!("Issued: {}", day(invoice.issued_at, &zone));
    paper.line(Face::Plain, 10, &issued);
    let due = match (invoice.period_id, invoice.paid_at) {
        (Some(_), Some(at)) => format!("Paid: {}", day(at, &zone)),
        (Some(_) | None, _) => format!("Due: {}", day(invoice.due_at, &zone)),
    };
    paper.line(Face::Plain, 10, &due);
    paper.line(
        Face::Plain,
        10,
        &format!("Status: {}", invoice.status.word()),
    );
    paper.billed((&invoice.items.0, invoice.amount, &invoice.taxes.0), head);
    if invoice.credited.is_positive() {
        let back = Cents::ZERO.minus(invoice.credited).unwrap_or_default();
        paper.amount(Face::Plain, "Given back by credit notes", back);
        paper.gap();
    }
    let open = invoice.open();
    if let Some(open) = open.filter(|open| *open != invoice.amount) {
        let owed = format!("Still to be paid {}", head.currency);
        paper.amount(Face::Bold, &owed, open);
        paper.gap();
    }
    if let (Some(pay_to), Some(amount)) = (pay_to, open) {
        let (said, coded) = match pay_to {
            PayTo::Paybill { number, account } => (
                format!("pay bill {number}, account {account}"),
                format!("pay bill {number} account {account}"),
            ),
            PayTo::Till { number } => (
                format!("Buy goods till {number}"),
                format!("buy goods till {number}"),
            ),
        };
        paper.line(Face::Plain, 10, &format!("Pay by M-Pesa: {said}"));
        // Text, which every phone shows: codes that M-Pesa's own program pays by are made by M-Pesa alone.
        paper.code(&format!(
            "M-PESA {coded} amount {amount} {}",
            invoice.number
        ));
    }
    if let Some(fiscal) = &invoice.fiscal {
        paper.fiscal(fiscal, &zone);
    }
    document(&invoice.number, &paper.pages, logo)
}

/// A credit note that takes an invoice back, or a part of a receipt, as a PDF document.
pub fn of_note(invoice: &Row, note: &Note, head: &Letterhead, logo: Option<&Pixels>) -> Vec<u8> {
    let zone = TimeZone::get(&head.time_zone).unwrap_or(TimeZone::UTC);
    let number = &note.number;
    let mut paper = Paper::begin();
    paper.head(head, logo);
    paper.line(Face::Bold, 14, &format!("Credit note {number}"));
    paper.to(invoice, head);
    let issued = format!("Issued: {}", day(note.issued_at, &zone));
    paper.line(Face::Plain, 10, &issued);
    let what = match (note.amount, invoice.period_id) {
        (Some(_), Some(_)) => "Gives back of receipt",
        (Some(_), None) => "Gives back of invoice",
        (None, Some(_)) => "Takes back receipt",
        (None, None) => "Takes back invoice",
    };
    let takes_back = format!(
        "{what} {} of {}",
        invoice.number,
        day(invoice.issued_at, &zone)
    );
    paper.line(Face::Plain, 10, &takes_back);
    let amount = note.amount.unwrap_or(invoice.amount);
    let items = note.items.as_ref().unwrap_or(&invoice.items);
    let taxes = note.taxes.as_ref().unwrap_or(&invoice.taxes);
    paper.billed((&items.0, amount, &taxes.0), head);
    if let Some(fiscal) = &note.fiscal {
        paper.fiscal(fiscal, &zone);
    }
    document(number, &paper.pages, logo)
}

/// Pages that are filled from the top.
struct Paper {
    pages: Vec<PageText>,
    y: u32,
}

impl Paper {
    fn begin() -> Paper {
        Paper {
            pages: vec![PageText::default()],
            y: HEIGHT - MARGIN,
        }
    }

    /// The page to write on, a line further down.
    fn next(&mut self) -> (&mut PageText, u32) {
        if self.y < 2 * MARGIN {
            self.pages.push(PageText::default());
            self.y = HEIGHT - MARGIN;
        }
        self.y -= LEADING;
        let y = self.y;
        (self.pages.last_mut().expect("it begins with a page"), y)
    }

    fn gap(&mut self) {
        self.y = self.y.saturating_sub(LEADING);
    }

    fn rule(&mut self) {
        let (page, y) = self.next();
        page.rule((MARGIN, RIGHT), y + LEADING / 2);
    }

    fn line(&mut self, face: Face, size: u32, text: &str) {
        let (page, y) = self.next();
        page.left((MARGIN, y), face, size, text);
    }

    /// Who writes.
    fn head(&mut self, head: &Letterhead, logo: Option<&Pixels>) {
        if let (Some(logo), Some(page)) = (logo, self.pages.last_mut()) {
            // In the corner, two and a half centimetres at most.
            let fit = |side: u32| side * LOGO / logo.width.max(logo.height).max(1);
            let (width, height) = (fit(logo.width).max(1), fit(logo.height).max(1));
            let corner = (RIGHT - width, HEIGHT - MARGIN - height);
            page.picture(corner, (width, height));
        }
        let from = [
            head.location.as_deref(),
            head.phone.as_deref(),
            Some(head.email.as_str()),
        ];
        self.line(Face::Bold, 18, &head.business_name);
        for line in from.into_iter().flatten() {
            self.line(Face::Plain, 10, line);
        }
        self.gap();
    }

    /// To whom.
    fn to(&mut self, invoice: &Row, head: &Letterhead) {
        self.line(Face::Plain, 10, &format!("To: {}", invoice.customer_name));
        let account = format!("Account number: {}", head.account_number);
        self.line(Face::Plain, 10, &account);
    }

    /// What for, how much, and which taxes are in it.
    fn billed(&mut self, (items, amount, taxes): (&[Item], Cents, &[Charged]), head: &Letterhead) {
        self.gap();
        self.rule();
        for item in items {
            self.amount(Face::Plain, &item.description, item.amount);
        }
        self.rule();
        let total = format!("Total {}", head.currency);
        self.amount(Face::Bold, &total, amount);
        for tax in taxes {
            let label = format!("of which {} {} %", tax.name, tax.rate);
            self.amount(Face::Plain, &label, tax.amount);
        }
        self.gap();
    }

    /// What the state's system says of it.
    fn fiscal(&mut self, fiscal: &FiscalReceipt, zone: &TimeZone) {
        self.gap();
        let control = format!("Control unit invoice number: {}", fiscal.control_number);
        self.line(Face::Bold, 10, &control);
        let data = format!("Internal data: {}", fiscal.internal_data);
        self.line(Face::Plain, 10, &data);
        let signature = format!("Receipt signature: {}", fiscal.signature);
        self.line(Face::Plain, 10, &signature);
        if let Some(at) = fiscal.signed_at {
            let signed = at.in_zone(zone).strftime("%-d %B %Y %H:%M:%S").to_string();
            self.line(Face::Plain, 10, &format!("Signed: {signed}"));
        }
        self.code(&fiscal.check_url);
    }

    /// A code, on the next page where this one has no room for it; one that would be too long is left out.
    fn code(&mut self, text: &str) {
        let mut drawn = PageText::default();
        let Some(size) = drawn.code((0, 0), text) else {
            return;
        };
        if self.y < MARGIN + LEADING + size {
            self.pages.push(PageText::default());
            self.y = HEIGHT - MARGIN;
        }
        self.y -= LEADING / 2 + size;
        let y = self.y;
        if let Some(page) = self.pages.last_mut() {
            page.code((MARGIN, y), text);
        }
    }

    /// Text in as many lines as it needs, and an amount beside the first.
    fn amount(&mut self, face: Face, text: &str, amount: Cents) {
        let letters: Vec<char> = match text {
            "" => vec!['-'], // an erased customer's
            text => text.chars().collect(),
        };
        let mut amount = Some(amount);
        for part in letters.chunks(LETTERS) {
            let (page, y) = self.next();
            page.left((MARGIN, y), face, 10, &String::from_iter(part));
            if let Some(amount) = amount.take() {
                page.right((RIGHT, y), face, 10, &grouped(amount));
            }
        }
    }
}

fn day(at: Timestamp, zone: &TimeZone) -> String {
    at.in_zone(zone).strftime("%-d %B %Y").to_string()
}

/// `1,234,567.50`.
fn grouped(amount: Cents) -> String {
    let (whole, cents) = (
        amount.minor().unsigned_abs() / 100,
        amount.minor().unsigned_abs() % 100,
    );
    let digits = whole.to_string();
    let mut text = String::new();
    if amount.minor() < 0 {
        text.push('-');
    }
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text}.{cents:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_grouped() {
        assert_eq!(grouped(Cents::new(5)), "0.05");
        assert_eq!(grouped(Cents::new(123_450)), "1,234.50");
        assert_eq!(grouped(Cents::new(12_345_678_900)), "123,456,789.00");
        assert_eq!(grouped(Cents::whole(-100)), "-100.00");
    }

    #[test]
    fn a_long_invoice_has_more_pages() {
        let mut paper = Paper::begin();
        for _ in 0..100 {
            paper.amount(Face::Plain, "Cable", Cents::whole(1));
        }
        assert_eq!(paper.pages.len(), 3);
    }
}
