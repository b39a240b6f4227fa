//! Whose books do not prove, at `/api/super-admin/books`.

use axum::extract::State;
use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Json;
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::ledger;

/// Most tenants that are shown.
const MOST: i64 = 1_000;

/// Tenants whose books do not prove.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformBooks)]
pub struct Books {
    tenants: Vec<Unproved>,
}

/// One of them.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlatformUnprovedBooks)]
pub struct Unproved {
    tenant_id: TenantId,
    /// What is wrong, the first hundred.
    findings: Vec<String>,
    /// Since when that is known.
    found_at: Option<Timestamp>,
    checked_at: Timestamp,
    /// When the whole was proved last.
    proved_at: Option<Timestamp>,
}

/// `GET /api/super-admin/books`: tenants whose books do not prove, 1,000 at most; `easyisp_books_unproved` in the
/// metrics counts them.
#[utoipa::path(get, path = "/api/super-admin/books", tag = "Platform", responses((status = 200, body = Books)))]
pub async fn list(
    _operator: Operator,
    State(db): State<Database>,
) -> Result<Json<Books>, ApiError> {
    let unproved = ledger::unproved(&db, MOST).await?;
    Ok(Json(Books {
        tenants: unproved
            .into_iter()
            .map(|known| Unproved {
                tenant_id: known.tenant_id,
                findings: known.findings,
                found_at: known.found_at,
                checked_at: known.checked_at,
                proved_at: known.proved_at,
            })
            .collect(),
    }))
}
