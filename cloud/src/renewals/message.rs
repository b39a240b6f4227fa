//! What a customer reads after money arrived.

use easyisp_shared::money::Cents;

use super::Barred;
use super::deed::{Account, Deed};

/// The text after a receipt; short enough for one part in nearly every case.
pub(super) fn of_receipt(
    account: &Account,
    (amount, receipt): (Cents, Option<&str>),
    deed: &Deed,
    rest: Cents,
    barred: Option<&Barred>,
) -> Option<String> {
    account.phone.as_ref()?;
    let currency = &account.currency;
    let thanks = match receipt {
        Some(code) => format!("{code}: {currency} {amount} received."),
        None => format!("{currency} {amount} received."),
    };
    let service = match (deed.bought.last(), account.plan()) {
        (None, Some(plan)) if barred.is_some() => {
            let again = barred.and_then(|barred| barred.again);
            let from = again.map(|at| at.in_zone(&account.zone));
            match from {
                Some(from) => format!(
                    " {} can be bought again from {} on.",
                    plan.name,
                    from.strftime("%-d %b %Y %H:%M")
                ),
                None => format!(" {} can not be bought again.", plan.name),
            }
        }
        (Some(bought), _) => {
            let end = bought.period.ends_at.in_zone(&account.zone);
            format!(" Internet until {}.", end.strftime("%-d %b %Y %H:%M"))
        }
        (None, Some(plan)) => {
            let missing = plan.price.minus(rest).unwrap_or(plan.price);
            format!(" {currency} {missing} more renews {}.", plan.name)
        }
        (None, None) => String::new(),
    };
    let invoices: String = deed
        .invoices
        .iter()
        .map(|invoice| format!(" {currency} {} for {}.", invoice.owed, invoice.number))
        .collect();
    let wallet = match rest {
        Cents::ZERO => String::new(),
        rest => format!(" Wallet: {currency} {rest}."),
    };
    Some(format!(
        "{}: {thanks}{invoices}{service}{wallet}",
        account.business
    ))
}

/// The text after money was sent back.
pub(super) fn of_refund(account: &Account, amount: Cents, receipt: Option<&str>) -> String {
    let code = receipt.map(|code| format!("{code}: ")).unwrap_or_default();
    let (business, currency) = (&account.business, &account.currency);
    format!("{business}: {code}{currency} {amount} sent back to your M-Pesa.")
}
