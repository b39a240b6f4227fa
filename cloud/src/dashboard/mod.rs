//! What a provider looks at first: who is online, who pays, what came in, what went through; and reports.
//!
//! Reads any table and writes none. What an open page asks again and again is read from totals that its
//! writers keep: counts, day totals and the unsealed tail, usage by day.

mod http;
mod rules;
mod store;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission::*;

/// The routes of this feature.
pub fn routes() -> Routes {
    const SEE: Access = Access::Any(&[DashboardView]);
    const MONEY: Access = Access::Any(&[DashboardView, FinanceDashboardView, FinanceViewCharts]);
    const REPORTS: Access = Access::Any(&[FinanceReportsView]);

    Routes::new()
        .route(MONEY, routes!(http::stats))
        .route(MONEY, routes!(http::revenue))
        .route(SEE, routes!(http::network_usage))
        .route(REPORTS, routes!(http::reports::revenue))
        .route(REPORTS, routes!(http::reports::expiring))
        .route(REPORTS, routes!(http::reports::churn))
        .route(REPORTS, routes!(http::reports::arrears))
}
