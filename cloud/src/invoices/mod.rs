//! Invoices to customers, and what a provider owes the platform.
//!
//! A customer owes what he was billed from the moment it is issued: receivable against revenue and taxes, in one
//! entry. Paying it takes the money out of his wallet, where payments arrive by themselves, or books what came by
//! hand; who pays before he gets service has money shared between that and his invoices as it arrives (`renewals`); taking it back is a credit note, a document with a number of its own. When the
//! payment itself is taken back, the invoice is owed again. Numbers are of a tenant and a year, one after the other: the number is
//! taken in the transaction that issues, as its last lock. `overdue` is what an open invoice is once the
//! tenant's day after the due one has begun; no job sets it.
//!
//! A prepaid sale gets a receipt where the tenant says so: an invoice in the same numbers that was paid when it was
//! issued. Its entry is that of the period: it moves nothing, and neither do the credit notes for what of it is given back.

mod deed;
mod error;
mod http;
mod paper;
mod pdf;
mod receipt;
mod rules;
mod store;
mod words;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission;

pub use deed::{Bill, ISSUED, install, issue, owed_again, pay_from_wallet, settle};
pub use error::InvoiceError;
pub use receipt::document_sale;
pub use rules::{Item, Number};
pub use store::report::{self, Document, FiscalReceipt};
pub use store::{oldest_open, open};

/// The routes of this feature.
pub fn routes() -> Routes {
    use Permission::{FinanceIncomeCreate, FinanceIncomeView, SettingsInvoices};

    const SEES: Access = Access::Any(&[FinanceIncomeView, SettingsInvoices]);
    const BILLS: Access = Access::Any(&[FinanceIncomeCreate]);

    Routes::new()
        .route(SEES, routes!(http::list))
        .route(BILLS, routes!(http::create))
        .route(SEES, routes!(http::get))
        .route(BILLS, routes!(http::set_status))
        .route(SEES, routes!(http::print))
        .route(SEES, routes!(http::notes::list))
        .route(BILLS, routes!(http::notes::create))
        .route(SEES, routes!(http::notes::print))
        .route(SEES, routes!(http::taxes::get))
        .route(Access::Any(&[SettingsInvoices]), routes!(http::taxes::set))
        .route(SEES, routes!(http::prepaid::get))
        .route(
            Access::Any(&[SettingsInvoices]),
            routes!(http::prepaid::set),
        )
        .route(Access::SignedInEvenExpired, routes!(http::platform::list))
}
