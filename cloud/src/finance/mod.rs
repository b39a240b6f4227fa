//! Money beside the customers' wallets: the chart of accounts, income and expenses typed by hand, reports, and
//! days that are closed.
//!
//! What is typed here is booked by the ledger alone; a row of ours keeps the words, the entry the money. What
//! was typed by mistake is booked the other way, never deleted. Balances are the sealer's day totals and its
//! unsealed tail. Expenses that come every month are booked by a due job, a month once.

mod error;
mod http;
mod recurring;
mod rules;
mod store;
mod words;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission;

pub use error::FinanceError;
pub use recurring::{RECURRING, post_due};
pub use rules::{Known, Moment, account, amount, begin_of, needed, text};
pub use store::chart;
pub use words::How;

/// The routes of this feature.
pub fn routes() -> Routes {
    use Permission::{
        FinanceExpensesCreate, FinanceExpensesView, FinanceIncomeCreate, FinanceIncomeView,
        FinanceReportsGenerate, FinanceReportsView, PaymentsProcess, PaymentsViewManual,
    };

    const BOOKS: Access =
        Access::Any(&[FinanceReportsView, FinanceIncomeView, FinanceExpensesView]);
    const CLOSES: Access = Access::Any(&[FinanceReportsGenerate]);
    const REPORTS: Access = Access::Any(&[FinanceReportsView]);

    Routes::new()
        .route(BOOKS, routes!(http::accounts::list))
        .route(CLOSES, routes!(http::accounts::create))
        .route(CLOSES, routes!(http::accounts::delete))
        .route(
            Access::Any(&[FinanceIncomeView]),
            routes!(http::income::list),
        )
        .route(
            Access::Any(&[FinanceIncomeCreate]),
            routes!(http::income::create),
        )
        .route(
            Access::Any(&[FinanceIncomeCreate]),
            routes!(http::income::void),
        )
        .route(
            Access::Any(&[FinanceExpensesView]),
            routes!(http::expenses::list),
        )
        .route(
            Access::Any(&[FinanceExpensesCreate]),
            routes!(http::expenses::create),
        )
        .route(
            Access::Any(&[FinanceExpensesCreate]),
            routes!(http::expenses::void),
        )
        .route(
            Access::Any(&[FinanceExpensesCreate]),
            routes!(http::expenses::stop),
        )
        .route(REPORTS, routes!(http::reports::trial_balance))
        .route(REPORTS, routes!(http::reports::profit_and_loss))
        .route(
            Access::Any(&[FinanceReportsView, PaymentsViewManual]),
            routes!(http::reports::statement),
        )
        .route(BOOKS, routes!(http::books::get))
        .route(
            Access::Any(&[FinanceReportsView, FinanceIncomeView]),
            routes!(http::sellers::list),
        )
        .route(
            Access::Any(&[FinanceIncomeCreate]),
            routes!(http::sellers::set),
        )
        .route(
            Access::Any(&[FinanceIncomeCreate]),
            routes!(http::sellers::book),
        )
        .route(
            Access::Any(&[FinanceReportsView, FinanceIncomeView, PaymentsProcess]),
            routes!(http::sellers::statement),
        )
        .route(BOOKS, routes!(http::closing::get))
        .route(CLOSES, routes!(http::closing::set))
}
