//! `/api/finance/credit-notes`: what took invoices back.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use easyisp_shared::id::{CreditNoteId, CustomerId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::rules::Item;
use super::super::store::{self, NoteRow, Which};
use super::super::{FiscalReceipt, deed, paper};
use super::{find, pdf};
use crate::api::{Idempotency, Json, Page, Path, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::{ApiError, FieldError, Wrong};
use crate::finance;
use crate::pictures;

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

/// What of an invoice is taken back.
#[derive(Deserialize, ToSchema)]
pub struct CreditRequest {
    /// Taxes included; what the lines sum to, where there are lines.
    #[serde(default, deserialize_with = "blank::option")]
    amount: Option<Cents>,
    /// At most 100 lines; without them one line says which invoice.
    #[serde(default, deserialize_with = "blank::option")]
    lines: Option<Vec<CreditLine>>,
    /// What the one line says, where there are none: at most 200 characters.
    #[serde(default, deserialize_with = "blank::option")]
    description: Option<String>,
}

/// A line of a credit note.
#[derive(Deserialize, ToSchema)]
pub struct CreditLine {
    /// At most 200 characters.
    #[serde(default, deserialize_with = "blank::option")]
    description: Option<String>,
    /// Taxes included.
    #[serde(default, deserialize_with = "blank::option")]
    amount: Option<Cents>,
}

impl CreditRequest {
    /// The lines, none of them empty.
    fn items(self, invoice: &str) -> Result<Vec<Item>, Vec<FieldError>> {
        let mut wrong = Wrong::default();
        let lines = self.lines.unwrap_or_default();
        let items: Vec<Item> = match lines.is_empty() {
            true => {
                let text = finance::text("description", self.description, 200, &mut wrong);
                let amount = finance::amount("amount", self.amount, &mut wrong);
                let description = match text.is_empty() {
                    true => format!("A part of {invoice}"),
                    false => text,
                };
                vec![Item {
                    description,
                    amount,
                }]
            }
            false => (0..)
                .zip(lines)
                .map(|(place, line): (usize, CreditLine)| {
                    let field = |name: &str| format!("lines[{place}].{name}");
                    let text =
                        finance::needed(&field("description"), line.description, 200, &mut wrong);
                    Item {
                        description: text,
                        amount: finance::amount(&field("amount"), line.amount, &mut wrong),
                    }
                })
                .collect(),
        };
        if items.len() > 100 {
            wrong.add("lines", "must be at most 100");
        }
        let sum = items
            .iter()
            .try_fold(Cents::ZERO, |sum, item| sum.plus(item.amount));
        if self.amount.is_some() && self.amount != sum {
            wrong.add("amount", "must be what the lines sum to");
        }
        wrong.none_or(items)
    }
}

/// `POST /api/finance/invoices/{invoice}/credit-notes`: takes a part of an open invoice back, by lines or by an amount,
/// with a credit note of its own. The taxes in it go back in the same parts; what is left is owed, and paid by itself
/// as before. With the last of it the invoice is cancelled. Send an `Idempotency-Key`: a repeat without one takes back
/// once more.
///
/// Errors: 400 naming the fields, 404, 409 `INVOICE_PAID`, `INVOICE_CANCELLED`, `INVOICE_IS_RECEIPT`.
#[utoipa::path(post, path = "/api/finance/invoices/{invoice}/credit-notes", tag = "Invoices",
    params(("invoice" = String, Path)), request_body = CreditRequest,
    responses((status = 201, body = CreditNote)))]
pub async fn create(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(invoice): Path<String>,
    mut idempotency: Idempotency,
    Json(request): Json<CreditRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let which = Which::parse(&invoice);
    let row = find(&mut tx, &which, now).await?;
    let items = request.items(&row.number).map_err(ApiError::fields)?;
    let credited = deed::credit(&mut tx, &which, items, now).await?;
    let note = store::note_row(&mut tx, credited.id).await?;
    let note = note.ok_or(ApiError::NotFound("credit note"))?;
    let line = Audit {
        details: format!("{} of {} taken back", note.amount, credited.invoice),
        ..Audit::new(
            Action::InvoiceUpdate,
            "credit note",
            credited.id,
            &credited.number,
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let answer = idempotency
        .finish(&mut tx, StatusCode::CREATED, &CreditNote::from(note))
        .await?;
    tx.commit().await?;
    Ok(answer)
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
    let logo = pictures::logo(&mut tx).await?;
    drop(tx);
    let document = paper::of_note(&row, &note, &head, logo.as_ref());
    Ok(pdf(&note.number, document))
}
