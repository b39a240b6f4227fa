//! The trail: who did what, read by the tenant itself. `audit` writes it; nothing here changes anything.

mod http;

use crate::api::{Access, Routes, routes};
use crate::permission::Permission::OperatorsDetailsView;

/// The routes of `/api/audit-logs`, and of one operator's log.
pub fn routes() -> Routes {
    const SEE: Access = Access::Any(&[OperatorsDetailsView]);

    Routes::new()
        .route(SEE, routes!(http::list))
        .route(SEE, routes!(http::export))
        .route(SEE, routes!(http::of_operator))
}
