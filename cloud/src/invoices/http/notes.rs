//! `/api/finance/credit-notes`: what took invoices back.

use axum::extract::State;
use axum::response::Response;
use easyisp_shared::id::{CreditNoteId, CustomerId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::store::{self, NoteRow, Which};
use super::super::{FiscalReceipt, paper};
use super::{find, pdf};
use crate::api::{Json, Page, Path};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;

/// A credit note.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreditNote {
    /// Its number.
    id: String,
    /// Its id; routes take either.
    uuid: CreditNoteId,
    /// The number of the invoice that it takes back, whole or, of a receipt, a part.
    invoice: String,
    customer_id: CustomerId,
    customer_name: String,
    amount: Cents,
    created_at: Timestamp,
    /// What the state's system answered to it.
    fiscal: Option<FiscalReceipt>,
}

impl From<NoteRow> for CreditNote {
    fn from(row: NoteRow) -> CreditNote {
        CreditNote {
            id: row.number,
            uuid: row.id,
            invoice: row.invoice,
            customer_id: row.customer_id,
            customer_name: row.customer_name,
            amount: row.amount,
            created_at: row.issued_at,
            fiscal: row.fiscal.map(|fiscal| fiscal.0),
        }
    }
}

/// A page of credit notes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreditNotePage {
    credit_notes: Vec<CreditNote>,
    total: i64,
    page: u32,
    page_size: u32,
}

/// `GET /api/finance/credit-notes`: the newest first. One is issued by making an invoice `cancelled`, or
/// when some of a prepaid sale that has a receipt is given back.
#[utoipa::path(get, path = "/api/finance/credit-notes", tag = "Invoices",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query)),
    responses((status = 200, body = CreditNotePage)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    page: Page,
) -> Result<Json<CreditNotePage>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let (rows, total) = store::notes(&mut tx, page).await?;
    Ok(Json(CreditNotePage {
        credit_notes: rows.into_iter().map(CreditNote::from).collect(),
        total,
        page: page.number,
        page_size: page.size,
    }))
}

/// `GET /api/finance/credit-notes/{note}/pdf`: the credit note on paper, by number or id. Errors: 404.
#[utoipa::path(get, path = "/api/finance/credit-notes/{note}/pdf", tag = "Invoices",
    params(("note" = String, Path)),
    responses((status = 200, description = "The document", body = Vec<u8>, content_type = "application/pdf")))]
pub async fn print(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(note): Path<String>,
) -> Result<Response, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let note = store::note(&mut tx, &Which::parse(&note)).await?;
    let note = note.ok_or(ApiError::NotFound("credit note"))?;
    let row = find(&mut tx, &Which::Id(note.invoice_id), clock.now()).await?;
    let head = store::letterhead(&mut tx, row.customer_id).await?;
    drop(tx);
    let document = paper::of_note(&row, &note, &head);
    Ok(pdf(&note.number, document))
}
