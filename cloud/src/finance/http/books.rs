//! `/api/finance/books`: whether the books prove, as they are proved by themselves.

use axum::extract::State;
use easyisp_shared::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Json;
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::ledger;

/// How the books stand.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BooksProof)]
pub struct Proof {
    /// Nothing is known to be wrong.
    proved: bool,
    /// Rows of the chain that are proved.
    rows: i64,
    /// When the newest rows were looked at last; every five minutes.
    checked_at: Option<Timestamp>,
    /// When the whole was proved last; every night.
    proved_at: Option<Timestamp>,
    /// What is wrong, the first hundred, each naming the row.
    findings: Vec<String>,
    /// Since when that is known.
    found_at: Option<Timestamp>,
}

/// `GET /api/finance/books`: whether the books prove. What was sealed lately is proved every five minutes, the whole
/// every night; what is found stays here until a whole proof finds nothing.
#[utoipa::path(get, path = "/api/finance/books", tag = "Finance", responses((status = 200, body = Proof)))]
pub async fn get(operator: Operator, State(db): State<Database>) -> Result<Json<Proof>, ApiError> {
    let known = ledger::proof(&db, operator.tenant).await?;
    Ok(Json(known.map_or_else(Proof::default, |known| Proof {
        proved: known.findings.is_empty(),
        rows: known.sequence,
        checked_at: Some(known.checked_at),
        proved_at: known.proved_at,
        findings: known.findings,
        found_at: known.found_at,
    })))
}
