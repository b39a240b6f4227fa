//! What is posted: an entry and its transfers.

use easyisp_shared::id::{CustomerId, EntryId, OperatorId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use uuid::Uuid;

use super::AccountCode;

/// Transfers that are posted together because one thing happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// What happened.
    pub kind: EntryKind,
    /// When the money moved, by the word of who moved it.
    pub occurred_at: Timestamp,
    /// Whom it concerns.
    pub customer: Option<CustomerId>,
    /// What justifies it: one receipt, one voucher or one audited operator action.
    pub source: String,
    /// For people.
    pub description: String,
    /// At least one.
    pub transfers: Vec<Transfer>,
}

impl Entry {
    /// What its transfers move in all, or `None` when that does not fit.
    pub fn total(&self) -> Option<Cents> {
        self.transfers
            .iter()
            .try_fold(Cents::ZERO, |sum, transfer| sum.plus(transfer.amount))
    }
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// Money arrived.
    Payment,
    /// A period of service was sold.
    Period,
    /// An operator put money into a wallet.
    Recharge,
    /// A payment typed by hand was taken back.
    Void,
    /// A provider sent a payment, or a part of it, back.
    Reversal,
    /// Other income.
    Income,
    /// An expense.
    Expense,
    /// What a provider charges.
    Fee,
    /// A payment found its rightful owner or amount.
    Adjustment,
    /// Income or an expense that was typed by hand was taken back.
    Correction,
    /// A customer owes what he was billed.
    Invoice,
    /// An invoice was paid.
    Settlement,
    /// An invoice was taken back.
    CreditNote,
    /// Money that is to go back to its payer is set aside.
    Refund,
    /// What was set aside did not go back: it is its owner's again.
    Release,
    /// What an invoice was paid with was taken back: it is owed again.
    Reopening,
    /// What the platform held for us was paid out to us, less its fee.
    Payout,
    /// A seller loaded his float, handed over what he owed, or gave back what he did not sell.
    Float,
    /// A seller took vouchers to sell, or one of them was revoked.
    VoucherSale,
    /// What a seller earned of a sale, or gives back with it.
    Commission,
}

impl EntryKind {
    /// As the database writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            EntryKind::Payment => "PAYMENT",
            EntryKind::Period => "PERIOD",
            EntryKind::Recharge => "RECHARGE",
            EntryKind::Void => "VOID",
            EntryKind::Reversal => "REVERSAL",
            EntryKind::Income => "INCOME",
            EntryKind::Expense => "EXPENSE",
            EntryKind::Fee => "FEE",
            EntryKind::Adjustment => "ADJUSTMENT",
            EntryKind::Correction => "CORRECTION",
            EntryKind::Invoice => "INVOICE",
            EntryKind::Settlement => "SETTLEMENT",
            EntryKind::CreditNote => "CREDIT_NOTE",
            EntryKind::Refund => "REFUND",
            EntryKind::Release => "RELEASE",
            EntryKind::Reopening => "REOPENING",
            EntryKind::Payout => "PAYOUT",
            EntryKind::Float => "FLOAT",
            EntryKind::VoucherSale => "VOUCHER_SALE",
            EntryKind::Commission => "COMMISSION",
        }
    }

    /// Whether it takes back money that may be spent already, and so may leave a wallet below zero.
    pub fn takes_back(self) -> bool {
        match self {
            EntryKind::Void | EntryKind::Reversal | EntryKind::Adjustment | EntryKind::Refund => {
                true
            }
            EntryKind::Payment
            | EntryKind::Period
            | EntryKind::Recharge
            | EntryKind::Income
            | EntryKind::Expense
            | EntryKind::Fee
            | EntryKind::Correction
            | EntryKind::Invoice
            | EntryKind::Settlement
            | EntryKind::CreditNote
            | EntryKind::Release
            | EntryKind::Reopening
            | EntryKind::Payout
            | EntryKind::Float
            | EntryKind::VoucherSale
            | EntryKind::Commission => false,
        }
    }
}

/// One movement of money: out of `credit`, into `debit`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// Which account's debits grow.
    pub debit: Leg,
    /// Which account's credits grow.
    pub credit: Leg,
    /// How much; more than nothing.
    pub amount: Cents,
}

impl Transfer {
    /// The same amount the other way: what takes it back.
    #[must_use]
    pub fn reversed(&self) -> Transfer {
        Transfer {
            debit: self.credit.clone(),
            credit: self.debit.clone(),
            amount: self.amount,
        }
    }
}

/// One side of a transfer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leg {
    pub(super) account: AccountCode,
    pub(super) party: Option<Uuid>,
}

impl Leg {
    /// An account without parties. Wallets, receivables and floats always have one: see [`Leg::wallet`],
    /// [`Leg::receivable`], [`Leg::float`] and [`Leg::owed_by_seller`].
    pub fn account(account: AccountCode) -> Leg {
        debug_assert_ne!(account, AccountCode::WALLETS, "a wallet is somebody's");
        debug_assert_ne!(account, AccountCode::RECEIVABLES, "a debt is somebody's");
        Leg {
            account,
            party: None,
        }
    }

    /// A customer's wallet.
    pub fn wallet(customer: CustomerId) -> Leg {
        Leg {
            account: AccountCode::WALLETS,
            party: Some(customer.0),
        }
    }

    /// What a seller may sell yet.
    pub fn float(seller: OperatorId) -> Leg {
        Leg {
            account: AccountCode::FLOATS,
            party: Some(seller.0),
        }
    }

    /// What a seller has not handed over.
    pub fn owed_by_seller(seller: OperatorId) -> Leg {
        Leg {
            account: AccountCode::OWED_BY_SELLERS,
            party: Some(seller.0),
        }
    }

    /// What a customer owes for invoices.
    pub fn receivable(customer: CustomerId) -> Leg {
        Leg {
            account: AccountCode::RECEIVABLES,
            party: Some(customer.0),
        }
    }
}
