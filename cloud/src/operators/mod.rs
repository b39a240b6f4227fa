//! Operators: a provider's own people, and what each may do.
//!
//! `auth` reads the same rows to sign them in; their logins, passwords and sessions are changed through it.
//! Nobody hands out what he lacks, touches who stands above him, or changes his own rights.

mod http;
mod rules;
mod store;
mod words;

use easyisp_shared::id::OperatorId;

use crate::api::{Access, Routes, routes};
use crate::db::Tx;
use crate::permission::Permission::{
    OperatorsAdd, OperatorsDelete, OperatorsDetailsView, OperatorsEdit, OperatorsManagePermissions,
    OperatorsView, TicketsAssign,
};

/// The routes of `/api/tenant/operators`. Tickets are given to people, so who assigns them sees the list.
pub fn routes() -> Routes {
    Routes::new()
        .route(
            Access::Any(&[OperatorsView, TicketsAssign]),
            routes!(http::list),
        )
        .route(Access::Any(&[OperatorsAdd]), routes!(http::create))
        .route(Access::Any(&[OperatorsDetailsView]), routes!(http::get))
        .route(
            Access::Any(&[OperatorsEdit, OperatorsManagePermissions]),
            routes!(http::update),
        )
        .route(Access::Any(&[OperatorsDelete]), routes!(http::delete))
        .route(
            Access::Any(&[OperatorsEdit]),
            routes!(http::access::reset_password),
        )
        .route(
            Access::Any(&[OperatorsEdit]),
            routes!(http::access::forget_second_factor),
        )
}

/// Whether the tenant has, or had, this operator.
pub async fn is_known(tx: &mut Tx, operator: OperatorId) -> sqlx::Result<bool> {
    store::is_known(tx, operator).await
}
