//! Documents that a state's own system must hear of: each invoice and credit note, once, and what it answered stands on
//! the paper.
//!
//! What is issued is taken in by its number and gets a number of its own, one after the other, for good. A job sends
//! the lowest that is open, one at a time. An answer that did not come says nothing: the same number is sent again,
//! later each time, and a system that knows it already says so. What it refuses waits for a person and holds nobody
//! up but the credit note that takes it back. The gap list says what is missing, day by day.
//!
//! `etims` is Kenya's; another country's is a folder like it and a word in `words::Provider`.

mod etims;
mod http;
mod jobs;
mod rules;
mod store;
mod words;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission::*;

pub use jobs::{Door, SUBMIT, submit, take_in};

/// The routes of this feature.
pub fn routes() -> Routes {
    const SEES: Access = Access::Any(&[FinanceIncomeView, SettingsInvoices]);

    Routes::new()
        .route(
            Access::Any(&[SettingsInvoices]),
            routes!(http::get, http::set),
        )
        .route(SEES, routes!(http::list))
        .route(SEES, routes!(http::gaps))
        .route(Access::Any(&[SettingsInvoices]), routes!(http::retry))
}
