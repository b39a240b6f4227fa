//! What money that arrives goes to: service, and invoices that are open.

use std::time::Duration;

use easyisp_shared::id::InvoiceId;
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use super::rules::{Purchase, purchases};

/// An open invoice of a customer, or of a child account of his.
#[derive(FromRow, Clone, PartialEq, Eq, Debug)]
pub struct Open {
    pub id: InvoiceId,
    /// For people.
    pub number: String,
    /// What is still to be paid of it.
    pub owed: Cents,
    /// Whether its due day is over.
    pub overdue: bool,
    /// Whose it is is billed afterwards: money in the wallet pays it by itself, in its turn.
    pub billed: bool,
    /// Money that arrived before is set aside for it, until the job has paid it.
    pub awaited: bool,
}

/// Money that arrived, and the wallet it went into.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    pub amount: Cents,
    /// What the payer gave as account or reference, if anything.
    pub reference: Option<&'a str>,
    /// When it moved.
    pub paid_at: Timestamp,
    /// What is in the wallet with it, less what is set aside.
    pub balance: Cents,
}

/// What can be bought, and how.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    pub price: Cents,
    pub tolerance: Cents,
    pub at_once: usize,
    /// What the customer has lasts so much longer.
    pub has: Duration,
}

/// What a wallet's money goes to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shares {
    pub purchases: Vec<Purchase>,
    pub invoices: Vec<Open>,
}

/// Shares money that arrived between service and `open` invoices, which come the one first that is due first. An invoice
/// is paid whole or not at all, and one for which money is set aside already gets no more. Who is billed afterwards names
/// one, or the oldest is paid by itself.
///
/// 1. An invoice that the payer names, or that asks for exactly what he paid, or all of them together, where that is not
///    the price of his service.
/// 2. What is overdue, where his service lasts for [`EARLY`] yet: he does not pay for service then.
/// 3. One period: nobody's service stops because of an old invoice.
/// 4. The other invoices, the oldest first, up to the first one that is not covered; where he has his period, or what he
///    has lasts for [`EARLY`] yet.
/// 5. More periods, where his package says that money buys them.
pub fn share(open: &[Open], money: Arrived<'_>, offer: Option<Offer>) -> Shares {
    let mut shares = Shares::default();
    let mut left = money.balance;
    let (billed, open): (Vec<Open>, Vec<Open>) = open
        .iter()
        .filter(|invoice| !invoice.awaited)
        .cloned()
        .partition(|invoice| invoice.billed);
    let mut meant = named(&billed, money);
    meant.extend(match named(&open, money) {
        named if named.is_empty() && meant.is_empty() => asked_for(&open, money, offer),
        named => named,
    });
    for invoice in &meant {
        left = shares.pay(invoice, left).unwrap_or(left);
    }
    let has_time = offer.is_some_and(|offer| offer.has >= EARLY);
    if meant.is_empty() && has_time {
        left = shares.pay_all(open.iter().filter(|invoice| invoice.overdue), left);
    }
    let Some(offer) = offer else {
        shares.pay_all(open.iter(), left);
        return shares;
    };
    let buy = |left, most| purchases(left, offer.price, offer.tolerance, most);
    let first = buy(left, offer.at_once.min(1));
    left = less(left, &first);
    let first_is_empty = first.is_empty();
    let goes_on = !first_is_empty && offer.price.is_positive();
    shares.purchases.extend(first);
    // Who pays for a month in parts is not cut off for an old invoice either.
    if !first_is_empty || has_time || !offer.price.is_positive() {
        left = shares.pay_all(open.iter(), left);
    }
    if goes_on {
        let more = buy(left, offer.at_once.saturating_sub(1));
        shares.purchases.extend(more);
    }
    shares
}

/// For how long somebody's service must last yet, for money to be no renewal: people renew in the last days.
pub const EARLY: Duration = Duration::from_secs(7 * 86_400);

/// The number of an invoice, where a payer typed that as account and nothing else: without regard to case, spaces and
/// strokes, `inv 2026/0001` is `INV-20260001`. Reads untrusted text.
pub fn invoice_number(text: &str) -> Option<String> {
    let is_stroke = |letter: &char| letter.is_whitespace() || "-/.#:_".contains(*letter);
    let bare: String = text.chars().filter(|letter| !is_stroke(letter)).collect();
    let (head, number) = bare.split_at_checked(3)?;
    let is_number = (8..=14).contains(&number.len()) && number.bytes().all(|c| c.is_ascii_digit());
    (head.eq_ignore_ascii_case("inv") && is_number).then(|| format!("INV-{number}"))
}

/// Which invoices the payer names, by themselves or among other words.
fn named(open: &[Open], money: Arrived<'_>) -> Vec<Open> {
    let said = money.reference.unwrap_or_default();
    let words = said.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    let numbers: Vec<String> = words
        .map(|word| invoice_number(word).unwrap_or_else(|| word.to_ascii_uppercase()))
        .chain(invoice_number(said))
        .collect();
    let named = open
        .iter()
        .filter(|invoice| numbers.contains(&invoice.number));
    named.cloned().collect()
}

/// Which invoices ask for what he paid, one or all of them together; none where that is the price of his service.
fn asked_for(open: &[Open], money: Arrived<'_>, offer: Option<Offer>) -> Vec<Open> {
    if offer.is_some_and(|offer| offer.price == money.amount) {
        return Vec::new();
    }
    if let Some(invoice) = open.iter().find(|invoice| invoice.owed == money.amount) {
        return vec![invoice.clone()];
    }
    let all = open
        .iter()
        .try_fold(Cents::ZERO, |sum, invoice| sum.plus(invoice.owed));
    match all == Some(money.amount) {
        true => open.to_vec(),
        false => Vec::new(),
    }
}

impl Shares {
    /// Pays one that is not paid yet; returns what is left, or `None` when there is not enough.
    fn pay(&mut self, invoice: &Open, left: Cents) -> Option<Cents> {
        if self.invoices.iter().any(|paid| paid.id == invoice.id) {
            return Some(left);
        }
        let rest = left.pay(invoice.owed)?;
        self.invoices.push(invoice.clone());
        Some(rest)
    }

    /// Pays them up to the first that is not covered; returns what is left.
    fn pay_all<'a>(&mut self, open: impl Iterator<Item = &'a Open>, left: Cents) -> Cents {
        let mut left = left;
        for invoice in open {
            match self.pay(invoice, left) {
                Some(rest) => left = rest,
                None => break,
            }
        }
        left
    }
}

fn less(left: Cents, bought: &[Purchase]) -> Cents {
    bought
        .iter()
        .fold(left, |left, one| left.pay(one.paid).unwrap_or(left))
}

#[cfg(test)]
mod tests {
    use easyisp_shared::entropy::Entropy;
    use proptest::prelude::*;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn open(number: &str, owed: i64, overdue: bool) -> Open {
        Open {
            id: InvoiceId::new(Timestamp::from_secs(0), &Entropy::system()),
            number: number.to_owned(),
            owed: Cents::whole(owed),
            overdue,
            billed: false,
            awaited: false,
        }
    }

    fn money(amount: i64, balance: i64) -> Arrived<'static> {
        Arrived {
            amount: Cents::whole(amount),
            reference: None,
            paid_at: Timestamp::from_secs(0),
            balance: Cents::whole(balance),
        }
    }

    fn month(at_once: usize, has: Duration) -> Option<Offer> {
        Some(Offer {
            price: Cents::whole(1000),
            tolerance: Cents::ZERO,
            at_once,
            has,
        })
    }

    fn shown(shares: &Shares) -> (usize, Vec<&str>) {
        let invoices = shares.invoices.iter().map(|one| one.number.as_str());
        (shares.purchases.len(), invoices.collect())
    }

    #[test]
    fn an_installation_paid_as_printed_is_paid_and_the_price_of_a_month_buys_a_month() {
        let fee = [open("A-1", 1500, false)];
        let of =
            |amount, at_once| share(&fee, money(amount, amount), month(at_once, Duration::ZERO));
        assert_eq!(shown(&of(1500, 1)), (0, vec!["A-1"]));
        assert_eq!(shown(&of(1000, 1)), (1, vec![]));
        assert_eq!(shown(&of(2500, 1)), (1, vec!["A-1"]));
        assert_eq!(
            shown(&of(2500, 9)),
            (1, vec!["A-1"]),
            "before a second month"
        );
        assert_eq!(shown(&of(3500, 9)), (2, vec!["A-1"]));
        assert_eq!(shown(&of(2400, 9)), (2, vec![]));
    }

    #[test]
    fn service_comes_before_an_old_invoice_unless_it_lasts_or_the_invoice_is_meant() {
        let old = [open("A-1", 1000, true), open("A-2", 300, false)];
        let of = |reference, has| {
            let money = Arrived {
                reference,
                ..money(1000, 1000)
            };
            share(&old, money, month(1, has))
        };
        assert_eq!(shown(&of(None, DAY)), (1, vec![]));
        assert_eq!(shown(&of(None, DAY * 20)), (0, vec!["A-1"]));
        assert_eq!(shown(&of(Some("for a-1"), DAY)), (0, vec!["A-1"]));
        let all = share(&old, money(1300, 1300), month(1, DAY));
        assert_eq!(shown(&all), (0, vec!["A-1", "A-2"]));
        let second = share(&old, money(300, 300), month(1, DAY));
        assert_eq!(shown(&second), (0, vec!["A-2"]));
    }

    #[test]
    fn an_invoice_that_money_is_set_aside_for_gets_no_more() {
        let mut fee = [open("A-1", 1500, false)];
        fee[0].awaited = true;
        let again = share(&fee, money(1500, 1500), month(1, Duration::ZERO));
        assert_eq!(shown(&again), (1, vec![]));
    }

    #[test]
    fn who_is_billed_afterwards_pays_the_one_he_names() {
        let mut bills = [
            open("INV-20270001", 300, true),
            open("INV-20270002", 500, false),
        ];
        for bill in &mut bills {
            bill.billed = true;
        }
        let of = |reference, amount| {
            let money = Arrived {
                reference,
                ..money(amount, amount)
            };
            let shares = share(&bills, money, None);
            shown(&shares).1.join(" ")
        };
        assert_eq!(of(Some("inv 2027/0002"), 500), "INV-20270002");
        assert_eq!(of(Some("for inv20270002, thanks"), 600), "INV-20270002");
        assert_eq!(of(Some("INV-20270002"), 499), "", "not covered");
        // His wallet pays the oldest first, by itself.
        assert_eq!(of(None, 500), "");
        assert_eq!(of(Some("INV-20270003"), 500), "");
    }

    #[test]
    fn an_invoice_is_named_without_regard_to_case_spaces_and_strokes() {
        let right = Some("INV-20260001".to_owned());
        for typed in [
            "INV-20260001",
            "inv20260001",
            " Inv 2026 0001",
            "INV/2026/0001",
            "inv.#20260001",
        ] {
            assert_eq!(invoice_number(typed), right, "{typed}");
        }
        let long = invoice_number("INV-202610000");
        assert_eq!(long.as_deref(), Some("INV-202610000"));
        for other in [
            "20260001",
            "INV-2026",
            "INV-2026000a",
            "CN-20260001",
            "my INV-20260001",
            "INV-202600010000000",
            "\u{e4}\u{f6}\u{fc}",
            "",
        ] {
            assert_eq!(invoice_number(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = invoice_number(&text);
        }

        /// Nobody is given more than there is, and who owes no invoice buys what he always bought.
        #[test]
        fn no_more_is_shared_than_there_is(
            owed in prop::collection::vec((1i64..3000, any::<bool>()), 0..5),
            (amount, before) in (1i64..9000, -500i64..3000),
            (price, tolerance, at_once, days) in (0i64..3000, 0i64..100, 1usize..5, 0u32..20),
        ) {
            let invoices: Vec<Open> = owed.iter().map(|(owed, overdue)| open("A-1", *owed, *overdue)).collect();
            let offer = Offer {
                price: Cents::whole(price),
                tolerance: Cents::whole(tolerance),
                at_once,
                has: DAY * days,
            };
            let arrived = money(amount, amount + before);
            let shares = share(&invoices, arrived, Some(offer));
            let spent: i64 = shares.purchases.iter().map(|one| one.paid.minor()).sum::<i64>()
                + shares.invoices.iter().map(|one| one.owed.minor()).sum::<i64>();
            prop_assert!(spent <= arrived.balance.minor().max(0));
            let always = purchases(arrived.balance, offer.price, offer.tolerance, at_once);
            let none = share(&[], arrived, Some(offer));
            prop_assert_eq!(none, Shares { purchases: always, invoices: Vec::new() });
        }
    }
}
