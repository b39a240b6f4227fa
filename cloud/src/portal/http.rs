//! `/api/portal`.

use axum::extract::State;
use easyisp_shared::id::{RouterId, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::{Json, Query};
use crate::db::Database;
use crate::error::ApiError;
use crate::packages::{self, Offer};
use crate::tenants;

/// Whose packages, and where.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct Whose {
    /// The provider's.
    tenant_id: TenantId,
    /// Those that are sold at this router, when it is named.
    #[serde(default)]
    nas_id: Option<RouterId>,
}

/// What guests can buy.
#[derive(Serialize, ToSchema)]
pub struct Offers {
    packages: Vec<Offer>,
}

/// `GET /api/portal/packages`: what guests of a provider's hotspots can buy, the cheapest first; at most 100.
///
/// Errors: 400 without `tenantId`, 404 for nobody's.
#[utoipa::path(get, path = "/api/portal/packages", tag = "Portal", params(Whose),
    responses((status = 200, body = Offers), (status = 404, description = "There is no such provider")))]
pub async fn packages(
    State(db): State<Database>,
    Query(whose): Query<Whose>,
) -> Result<Json<Offers>, ApiError> {
    let mut tx = db.begin(whose.tenant_id).await?;
    let brand = tenants::brand(&mut tx).await?;
    brand.ok_or(ApiError::NotFound("provider"))?;
    let packages = packages::offers(&mut tx, whose.nas_id).await?;
    Ok(Json(Offers { packages }))
}
