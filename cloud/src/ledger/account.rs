//! The accounts every tenant begins with.

use std::borrow::Cow;

use easyisp_shared::money::Cents;
use serde::{Deserialize, Serialize};

/// The code of an account: four to eight digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AccountCode(Cow<'static, str>);

impl AccountCode {
    /// Notes and coins.
    pub const CASH: AccountCode = AccountCode::of("1000");
    /// The M-Pesa short codes.
    pub const MPESA: AccountCode = AccountCode::of("1010");
    /// The accounts at Airtel Money.
    pub const AIRTEL: AccountCode = AccountCode::of("1011");
    /// Bank accounts.
    pub const BANK: AccountCode = AccountCode::of("1020");
    /// What a card processor owes us.
    pub const CARD: AccountCode = AccountCode::of("1030");
    /// What the platform collected for us through its own short code, and owes us.
    pub const HELD: AccountCode = AccountCode::of("1040");
    /// Money that came another way.
    pub const OTHER_MONEY: AccountCode = AccountCode::of("1090");
    /// What customers owe us for invoices, one party each.
    pub const RECEIVABLES: AccountCode = AccountCode::of("1100");
    /// What sellers owe us for their floats, one party each.
    pub const OWED_BY_SELLERS: AccountCode = AccountCode::of("1110");
    /// What we owe customers: their wallets, one party each.
    pub const WALLETS: AccountCode = AccountCode::of("2000");
    /// Money that arrived and belongs to nobody yet.
    pub const SUSPENSE: AccountCode = AccountCode::of("2100");
    /// What we owe for vouchers: credited when they are sold, debited when they are used.
    pub const VOUCHERS: AccountCode = AccountCode::of("2200");
    /// Taxes that invoices charged, owed to the state.
    pub const TAXES: AccountCode = AccountCode::of("2300");
    /// Money that is on its way back to its payers.
    pub const REFUNDS: AccountCode = AccountCode::of("2400");
    /// What sellers may sell yet: their floats, one party each.
    pub const FLOATS: AccountCode = AccountCode::of("2500");
    /// Periods of internet sold.
    pub const INTERNET: AccountCode = AccountCode::of("4000");
    /// Installations.
    pub const INSTALLATION: AccountCode = AccountCode::of("4010");
    /// What invoices billed.
    pub const INVOICED: AccountCode = AccountCode::of("4020");
    /// Any other income.
    pub const OTHER_INCOME: AccountCode = AccountCode::of("4090");
    /// Expenses without an account of their own.
    pub const EXPENSES: AccountCode = AccountCode::of("5000");

    /// What sellers earn of what they sell.
    pub const COMMISSION: AccountCode = AccountCode::of("5040");
    /// What customers did not pay of prices, where the package tolerates it.
    pub const WRITTEN_OFF: AccountCode = AccountCode::of("5090");

    const fn of(code: &'static str) -> AccountCode {
        AccountCode(Cow::Borrowed(code))
    }

    /// Parses four to eight digits.
    pub fn parse(text: &str) -> Option<AccountCode> {
        let digits = text.bytes().all(|letter| letter.is_ascii_digit());
        (digits && (4..=8).contains(&text.len())).then(|| AccountCode(Cow::Owned(text.to_owned())))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What kind of account it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub enum AccountType {
    /// What we have.
    Asset,
    /// What we owe.
    Liability,
    /// What the owner put in.
    Equity,
    /// What we earned.
    Revenue,
    /// What we spent.
    Expense,
}

impl AccountType {
    /// Every kind, in the order of a balance sheet.
    pub const ALL: [AccountType; 5] = [
        AccountType::Asset,
        AccountType::Liability,
        AccountType::Equity,
        AccountType::Revenue,
        AccountType::Expense,
    ];

    /// From the word of [`AccountType::as_str`].
    pub fn parse(text: &str) -> Option<AccountType> {
        AccountType::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }

    /// What an account of this kind holds: debits grow what we have and spend, credits the rest. `None` when it
    /// does not fit.
    pub fn balance(self, debits: Cents, credits: Cents) -> Option<Cents> {
        match self {
            AccountType::Asset | AccountType::Expense => debits.minus(credits),
            AccountType::Liability | AccountType::Equity | AccountType::Revenue => {
                credits.minus(debits)
            }
        }
    }

    /// As the database and the API write it.
    pub fn as_str(self) -> &'static str {
        match self {
            AccountType::Asset => "Asset",
            AccountType::Liability => "Liability",
            AccountType::Equity => "Equity",
            AccountType::Revenue => "Revenue",
            AccountType::Expense => "Expense",
        }
    }
}

/// An account as it is made with a tenant.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its code.
    pub code: AccountCode,
    /// What people call it.
    pub name: &'static str,
    /// Its kind.
    pub kind: AccountType,
}

/// The chart of accounts of a new tenant. Its accounts cannot be deleted.
pub static CHART: [Account; 23] = {
    use AccountType::{Asset, Equity, Expense, Liability, Revenue};
    [
        account(AccountCode::CASH, "Cash", Asset),
        account(AccountCode::MPESA, "M-Pesa", Asset),
        account(AccountCode::AIRTEL, "Airtel Money", Asset),
        account(AccountCode::BANK, "Bank", Asset),
        account(AccountCode::CARD, "Card payments", Asset),
        account(AccountCode::HELD, "Held by the platform", Asset),
        account(AccountCode::OTHER_MONEY, "Other receipts", Asset),
        account(AccountCode::RECEIVABLES, "Receivables", Asset),
        account(AccountCode::OWED_BY_SELLERS, "Owed by sellers", Asset),
        account(AccountCode::WALLETS, "Customer wallets", Liability),
        account(AccountCode::SUSPENSE, "Unallocated payments", Liability),
        account(AccountCode::VOUCHERS, "Vouchers not yet used", Liability),
        account(AccountCode::TAXES, "Taxes owed", Liability),
        account(AccountCode::REFUNDS, "Refunds under way", Liability),
        account(AccountCode::FLOATS, "Seller floats", Liability),
        account(AccountCode::of("3000"), "Owner's equity", Equity),
        account(AccountCode::INTERNET, "Internet", Revenue),
        account(AccountCode::INSTALLATION, "Installation", Revenue),
        account(AccountCode::INVOICED, "Invoiced services", Revenue),
        account(AccountCode::OTHER_INCOME, "Other income", Revenue),
        account(AccountCode::EXPENSES, "Expenses", Expense),
        account(AccountCode::COMMISSION, "Sellers' commission", Expense),
        account(
            AccountCode::WRITTEN_OFF,
            "Underpayments written off",
            Expense,
        ),
    ]
};

const fn account(code: AccountCode, name: &'static str, kind: AccountType) -> Account {
    Account { code, name, kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_chart_is_a_code_and_stands_once() {
        let codes = CHART
            .iter()
            .map(|account| AccountCode::parse(account.code.as_str()));
        let mut codes: Vec<AccountCode> = codes.map(Option::unwrap).collect();
        codes.sort();
        assert!(codes.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn what_is_not_a_code_is_refused() {
        for text in ["", "123", "123456789", "12a4", "-123"] {
            assert_eq!(AccountCode::parse(text), None, "{text}");
        }
    }
}
