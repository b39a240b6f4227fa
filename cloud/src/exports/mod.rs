//! Files that leave: lists as tables, for a spreadsheet or for another system.
//!
//! A file is sent while it is read, 500 rows a transaction, so that no list is ever whole in memory. Every cell
//! is safe to open (`api::Sheet`), and a file of customers or packages can be taken in again by `imports`. Every other
//! list is a file when it is asked for as one (`lists.rs`).

mod http;
mod lists;
mod table;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission::{
    FinanceReportsGenerate, HotspotDetailsView, PackagesView, PaymentsViewElectronic,
    PaymentsViewManual, PppoeDetailsView,
};

pub use lists::as_file;

/// The routes of this feature.
pub fn routes() -> Routes {
    Routes::new()
        .route(
            Access::Any(&[PppoeDetailsView, HotspotDetailsView]),
            routes!(http::customers),
        )
        .route(Access::Any(&[PackagesView]), routes!(http::packages))
        .route(Access::Any(&[FinanceReportsGenerate]), routes!(http::books))
        .route(
            Access::Any(&[PaymentsViewElectronic, PaymentsViewManual]),
            routes!(http::payments),
        )
}
