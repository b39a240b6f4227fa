//! `/api/tenant/invoices`: what a provider owes the platform.

use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::{Json, Page};
use crate::auth::{Operator, Permission};
use crate::error::ApiError;

/// What the platform billed a provider.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlatformInvoice {
    id: Uuid,
    #[serde(rename = "ref")]
    reference: String,
    reason: String,
    amount: Cents,
    currency: String,
    created_at: Timestamp,
    due_at: Timestamp,
    /// `PENDING`, `PAID`, `OVERDUE` or `CANCELLED`.
    status: String,
    receipt_url: Option<String>,
}

/// A page of what the platform billed a provider.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlatformInvoices {
    invoices: Vec<PlatformInvoice>,
    total: i64,
    page: u32,
    page_size: u32,
}

/// `GET /api/tenant/invoices`: what the platform billed this provider, open to the owner of an expired one too.
///
/// The platform is paid in advance and bills nobody, so the page is empty. Errors: 403 without
/// `settings:invoices` or `settings:licence`.
#[utoipa::path(get, path = "/api/tenant/invoices", tag = "Tenant",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query),
        ("search" = Option<String>, Query)),
    responses((status = 200, body = PlatformInvoices)))]
pub async fn list(operator: Operator, page: Page) -> Result<Json<PlatformInvoices>, ApiError> {
    operator.require_any(&[Permission::SettingsInvoices, Permission::SettingsLicence])?;
    Ok(Json(PlatformInvoices {
        invoices: Vec::new(),
        total: 0,
        page: page.number,
        page_size: page.size,
    }))
}
