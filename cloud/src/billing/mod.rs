//! Customers who pay afterwards: billed once a month, served until an invoice stays open for too long.
//!
//! Who is billed has no periods: on the tenant's day of the month a job issues one invoice for the days since the last
//! one, each at the price of what he had on it. Days are the tenant's. A change of package counts from its day on, a
//! change of a package's price from the next month on, and days of a pause are not billed. His service ends at his
//! paid end like everybody's; that end is moved along with his invoices: as many days behind the oldest open one's due
//! day as the tenant is patient, or behind the next one's. Money that arrives in his wallet pays his invoices, the
//! oldest first.

mod http;
mod jobs;
mod rules;
mod store;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission::*;

pub use http::{Begun, begin_for};
pub use jobs::{BILL, bill, collect, note_plan};
pub use rules::Billing;

/// The routes of this feature.
pub fn routes() -> Routes {
    Routes::new()
        .route(
            Access::Any(&[FinanceIncomeView, SettingsInvoices]),
            routes!(http::get),
        )
        .route(Access::Any(&[SettingsInvoices]), routes!(http::set))
        .route(
            Access::Any(&[FinanceIncomeView, CustomersEdit]),
            routes!(http::get_customer),
        )
        .route(
            Access::Any(&[FinanceIncomeCreate]),
            routes!(http::set_customer),
        )
}
