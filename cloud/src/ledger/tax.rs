//! Taxes that prices include: what of a price is which.

use easyisp_shared::money::Cents;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{AccountCode, Leg};

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

impl Charged {
    /// The account on which it is owed.
    pub fn leg(&self) -> Leg {
        Leg::account(AccountCode::parse(&self.account).unwrap_or(AccountCode::TAXES))
    }

    /// The tax itself, without an amount.
    fn tax(&self) -> Tax {
        Tax {
            name: self.name.clone(),
            rate: self.rate,
            account: self.account.clone(),
        }
    }
}

/// How much taxes come to.
pub fn total_tax(charged: &[Charged]) -> Cents {
    let each = charged.iter().map(|tax| tax.amount);
    each.fold(Cents::ZERO, |sum, tax| sum.plus(tax).unwrap_or(sum))
}

/// What is net and what are taxes in `back`, the last part of `gross` that is given back. What is left carries the
/// taxes that it would carry by itself, so that parts given back one after the other give back the whole, to the cent.
///
/// None of them is below nothing: each part of [`split`] grows with the whole.
pub fn given_back(gross: Cents, charged: &[Charged], back: Cents) -> (Cents, Vec<Charged>) {
    let taxes: Vec<Tax> = charged.iter().map(Charged::tax).collect();
    let (net, before) = split(gross, &taxes);
    let (left, after) = split(gross.minus(back).unwrap_or_default(), &taxes);
    let parts = before
        .into_iter()
        .zip(after)
        .map(|(before, after)| Charged {
            amount: before.amount.minus(after.amount).unwrap_or_default(),
            ..before
        });
    (net.minus(left).unwrap_or_default(), parts.collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

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

    proptest! {
        #[test]
        fn the_parts_are_the_whole(gross in 1i64..1_000_000_000_000, rates in prop::collection::vec(1i64..=10_000, 0..5)) {
            let taxes: Vec<Tax> = rates.iter().map(|rate| tax("any", *rate)).collect();
            let (net, charged) = split(Cents::new(gross), &taxes);
            let sum: i64 = charged.iter().map(|tax| tax.amount.minor()).sum();
            prop_assert_eq!(net.minor() + sum, gross);
            prop_assert!(net.minor() >= 0 && charged.iter().all(|tax| tax.amount.minor() >= 0));
        }

        #[test]
        fn what_is_given_back_in_parts_is_the_whole(
            parts in prop::collection::vec(1i64..1_000_000, 1..6),
            rates in prop::collection::vec(1i64..=10_000, 0..5),
        ) {
            let taxes: Vec<Tax> = rates.iter().map(|rate| tax("any", *rate)).collect();
            let mut left: i64 = parts.iter().sum();
            let (mut net, mut charged) = split(Cents::new(left), &taxes);
            for part in parts {
                let (net_back, back) = given_back(Cents::new(left), &charged, Cents::new(part));
                let all = total_tax(&back).minor() + net_back.minor();
                prop_assert_eq!(all, part);
                prop_assert!(net_back.minor() >= 0 && back.iter().all(|tax| tax.amount.minor() >= 0));
                left -= part;
                net = net.minus(net_back).unwrap();
                for (tax, back) in charged.iter_mut().zip(&back) {
                    tax.amount = tax.amount.minus(back.amount).unwrap();
                }
            }
            prop_assert_eq!(net, Cents::ZERO);
            prop_assert_eq!(total_tax(&charged), Cents::ZERO);
        }
    }
}
