//! `/api/finance/invoices`.

pub mod notes;
pub mod platform;
pub mod prepaid;
pub mod taxes;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use easyisp_shared::id::{CustomerId, InvoiceId, PeriodId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::deed::{self, Bill, Facts, Money, Stepped, issue};
use super::rules::Item;
use super::store::{self, By, Row, Which};
use super::words::Status;
use super::{FiscalReceipt, InvoiceError, paper};
use crate::api::{Idempotency, Json, Page, Path, Query, Sort, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::{Database, Tx};
use crate::error::{ApiError, Wrong};
use crate::finance::{self, Moment};
use crate::ledger::{self, AccountCode, Charged};
use crate::payments;
use crate::pictures;
use crate::renewals::Method;

/// Lines of one invoice.
const MOST_ITEMS: usize = 100;

/// An invoice.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Invoice {
    /// Its number.
    id: String,
    /// Its id; routes take either.
    uuid: InvoiceId,
    customer_id: CustomerId,
    customer_name: String,
    /// Taxes included.
    amount: Cents,
    status: Status,
    due_date: Timestamp,
    items: Vec<Item>,
    /// How much of the amount each tax is.
    taxes: Vec<Charged>,
    created_at: Timestamp,
    paid_at: Option<Timestamp>,
    /// `WALLET`, `CASH`, `BANK_TRANSFER`, `CARD`, `OTHER` or, receipts only, `VOUCHER`.
    paid_by: Option<String>,
    reference: Option<String>,
    cancelled_at: Option<Timestamp>,
    /// The number of the document that took it back, or of the last one that gave some of a receipt back.
    credit_note: Option<String>,
    /// The period that was sold, when this is the receipt of a prepaid sale.
    period_id: Option<PeriodId>,
    /// What of a receipt was given back.
    credited: Cents,
    /// What the state's system answered to it.
    fiscal: Option<FiscalReceipt>,
}

impl From<Row> for Invoice {
    fn from(row: Row) -> Invoice {
        Invoice {
            id: row.number,
            uuid: row.id,
            customer_id: row.customer_id,
            customer_name: row.customer_name,
            amount: row.amount,
            status: row.status,
            due_date: row.due_at,
            items: row.items.0,
            taxes: row.taxes.0,
            created_at: row.issued_at,
            paid_at: row.paid_at,
            paid_by: row.paid_by,
            reference: row.reference,
            cancelled_at: row.cancelled_at,
            credit_note: row.credit_note,
            period_id: row.period_id,
            credited: row.credited,
            fiscal: row.fiscal.map(|fiscal| fiscal.0),
        }
    }
}

/// What the invoices come to that the filter leaves, all pages of them; what was taken back is not counted.
#[derive(Serialize, ToSchema)]
pub struct InvoiceStats {
    total: Cents,
    paid: Cents,
    /// Owed and not due yet.
    pending: Cents,
    overdue: Cents,
}

/// A page of invoices.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvoicePage {
    invoices: Vec<Invoice>,
    stats: InvoiceStats,
    total: i64,
    page: u32,
    page_size: u32,
}

/// Which invoices.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct Filter {
    /// The beginning of a number or of its digits, the whole of a reference, or the beginning of a word of a customer. In
    /// the newest 10,000 invoices also any part of a number or a reference.
    search: Option<String>,
    /// `pending`, `paid`, `overdue` or `cancelled`.
    #[param(inline)]
    status: Option<Status>,
    /// `true`: receipts of prepaid sales alone; `false`: none of them.
    receipts: Option<bool>,
}

/// `GET /api/finance/invoices`: invoices to customers, the newest first or sorted as asked.
#[utoipa::path(get, path = "/api/finance/invoices", tag = "Invoices",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query), Sort<By>, Filter),
    responses((status = 200, body = InvoicePage)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    page: Page,
    sort: Sort<By>,
    Query(filter): Query<Filter>,
) -> Result<Json<InvoicePage>, ApiError> {
    let now = clock.now();
    let filter = store::Filter {
        search: filter.search,
        status: filter.status,
        receipts: filter.receipts,
    };
    let mut tx = db.begin(operator.tenant).await?;
    let rows = store::page(&mut tx, &filter, sort, page, now).await?;
    let sums = store::sums(&mut tx, &filter, now).await?;
    Ok(Json(InvoicePage {
        invoices: rows.into_iter().map(Invoice::from).collect(),
        stats: InvoiceStats {
            total: sums.total,
            paid: sums.paid,
            pending: sums.pending,
            overdue: sums.overdue,
        },
        total: sums.n,
        page: page.number,
        page_size: page.size,
    }))
}

/// What a customer is to be billed.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InvoiceRequest {
    #[serde(default, deserialize_with = "blank::option")]
    customer_id: Option<CustomerId>,
    /// Taxes included; what the items sum to.
    #[serde(default, deserialize_with = "blank::option")]
    amount: Option<Cents>,
    /// A day or an instant, today at the earliest.
    #[serde(default, deserialize_with = "blank::option")]
    #[schema(value_type = Option<String>)]
    due_date: Option<Moment>,
    /// 1 to 100 lines.
    #[serde(default, deserialize_with = "blank::option")]
    items: Option<Vec<ItemRequest>>,
}

/// A line of what is billed.
#[derive(Clone, Deserialize, ToSchema)]
pub struct ItemRequest {
    /// At most 200 characters.
    #[serde(default, deserialize_with = "blank::option")]
    description: Option<String>,
    /// Taxes included.
    #[serde(default, deserialize_with = "blank::option")]
    amount: Option<Cents>,
}

/// `POST /api/finance/invoices`: bills a customer. From then on he owes it; number, lines and taxes stay as they
/// are. Numbers of a year follow one another without a gap.
///
/// Repeating with the same `Idempotency-Key` returns the first answer and issues nothing. Errors: 400 naming the
/// fields, 404 unknown customer.
#[utoipa::path(post, path = "/api/finance/invoices", tag = "Invoices", request_body = InvoiceRequest,
    responses((status = 201, body = Invoice)))]
pub async fn create(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    mut idempotency: Idempotency,
    Json(request): Json<InvoiceRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let bill = draft(&mut tx, &operator, request, now).await?;
    let amount = bill.amount;
    let (id, number) = issue(&mut tx, bill, now).await?;
    let name = number.to_string();
    let line = Audit {
        details: amount.to_string(),
        ..Audit::new(Action::InvoiceCreate, "invoice", id, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let body = find(&mut tx, &Which::Id(id), now).await?;
    let answer = idempotency
        .finish(&mut tx, StatusCode::CREATED, &Invoice::from(body))
        .await?;
    tx.commit().await?;
    Ok(answer)
}

async fn draft(
    tx: &mut Tx,
    operator: &Operator,
    request: InvoiceRequest,
    now: Timestamp,
) -> Result<Bill, ApiError> {
    let zone = ledger::zone(tx).await?;
    let mut wrong = Wrong::default();
    if request.customer_id.is_none() {
        wrong.add("customerId", "is required");
    }
    match request.due_date {
        None => wrong.add("dueDate", "is required"),
        Some(due) if due.day(&zone) < now.in_zone(&zone).date() => {
            wrong.add("dueDate", "must be today or later");
        }
        Some(_) => {}
    }
    let amount = finance::amount("amount", request.amount, &mut wrong);
    let items = request.items.unwrap_or_default();
    if !(1..=MOST_ITEMS).contains(&items.len()) {
        wrong.add("items", "must have 1 to 100 lines");
    }
    let items: Vec<Item> = items
        .into_iter()
        .take(MOST_ITEMS)
        .enumerate()
        .map(|(place, item)| {
            let field = |name: &str| format!("items[{place}].{name}");
            Item {
                description: finance::needed(
                    &field("description"),
                    item.description,
                    200,
                    &mut wrong,
                ),
                amount: finance::amount(&field("amount"), item.amount, &mut wrong),
            }
        })
        .collect();
    let sum = items
        .iter()
        .try_fold(Cents::ZERO, |sum, item| sum.plus(item.amount));
    if wrong.is_empty() && sum != Some(amount) {
        wrong.add("amount", "must be what the items sum to");
    }
    let due = request.due_date.unwrap_or(Moment::At(now));
    let bill = Bill {
        customer: request.customer_id.unwrap_or(CustomerId(uuid::Uuid::nil())),
        items,
        amount,
        due_at: due.begins(&zone),
        overdue_from: Moment::Day(due.day(&zone)).ends(&zone),
        operator: Some(operator.id),
        period_from: None,
        revenue: AccountCode::INVOICED,
    };
    wrong.none_or(bill).map_err(ApiError::fields)
}

/// `GET /api/finance/invoices/{invoice}`: one invoice, by number or id. Errors: 404.
#[utoipa::path(get, path = "/api/finance/invoices/{invoice}", tag = "Invoices",
    params(("invoice" = String, Path)), responses((status = 200, body = Invoice)))]
pub async fn get(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(invoice): Path<String>,
) -> Result<Json<Invoice>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let row = find(&mut tx, &Which::parse(&invoice), clock.now()).await?;
    Ok(Json(row.into()))
}

/// What an invoice is to be.
#[derive(Deserialize, ToSchema)]
pub struct StatusRequest {
    /// `paid` or `cancelled`.
    #[serde(default, deserialize_with = "blank::option")]
    status: Option<Status>,
    /// How it was paid when the money is in no wallet: `Cash`, `Bank Transfer`, `Card` or `Other`. Left out, it
    /// is taken from the customer's wallet, where M-Pesa payments arrive by themselves, and has come by hand (`Other`)
    /// where there is too little in it; `Wallet` takes it from nowhere else, and neither does who sells out of a float.
    #[serde(default, deserialize_with = "blank::option")]
    method: Option<PaidBy>,
    /// What the payer gave as reference: at most 100 characters.
    #[serde(default, deserialize_with = "blank::option")]
    reference: Option<String>,
}

/// How an invoice was paid.
#[derive(Clone, Copy, Deserialize, ToSchema)]
pub enum PaidBy {
    /// Out of the customer's wallet.
    Wallet,
    /// In notes and coins.
    Cash,
    /// To the bank account.
    #[serde(rename = "Bank Transfer")]
    BankTransfer,
    /// By card.
    Card,
    /// Another way.
    Other,
}

/// What an invoice is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusAnswer {
    /// Its number.
    id: String,
    status: Status,
    paid_at: Option<Timestamp>,
}

impl From<Stepped> for StatusAnswer {
    fn from(stepped: Stepped) -> StatusAnswer {
        StatusAnswer {
            id: stepped.number,
            status: stepped.after.status,
            paid_at: stepped.paid_at,
        }
    }
}

/// `PUT /api/finance/invoices/{invoice}/status`: `paid` takes the money out of the customer's wallet or, with
/// `method`, books what came by hand; `cancelled` books a credit note; `pending` takes the payment of a paid one back:
/// the wallet has its money again, or what came by hand is gone. A repeat changes nothing. What the wallet of a customer
/// has again who is or was billed once a month pays his invoices by itself, this one too: `cancelled` takes one back that his
/// wallet paid, and he has the money; any other payment is taken back first. An invoice that the wallet
/// paid is owed again by itself when the money it was paid with is taken back and the wallet stands below zero, and paid
/// again when that money did not go after all.
///
/// Errors: 400 `overdue`, which the due day alone decides; 403 `SELLER` for who sells out of a float and names another way
/// than the wallet; 404; 409 `BALANCE_TOO_LOW` when the wallet is named, or he is such a one, and it does not cover it,
/// `SET_ASIDE` when the wallet, named or not, has enough and that is set aside for another invoice, `RECEIPT_KNOWN` when
/// the reference is an M-Pesa receipt that was booked by itself, `INVOICE_PAID`, `INVOICE_CANCELLED`, `INVOICE_IS_RECEIPT`
/// for the receipt of a prepaid sale.
#[utoipa::path(put, path = "/api/finance/invoices/{invoice}/status", tag = "Invoices",
    params(("invoice" = String, Path)), request_body = StatusRequest,
    responses((status = 200, body = StatusAnswer)))]
pub async fn set_status(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(invoice): Path<String>,
    Json(request): Json<StatusRequest>,
) -> Result<Json<StatusAnswer>, ApiError> {
    let now = clock.now();
    let mut wrong = Wrong::default();
    if request.status.is_none() {
        wrong.add("status", "is required");
    }
    let reference = finance::text("reference", request.reference, 100, &mut wrong);
    let wanted = wrong
        .none_or(request.status.unwrap_or(Status::Pending))
        .map_err(ApiError::fields)?;
    let reference = Some(reference).filter(|text| !text.is_empty());
    let by = operator.id;
    let came = |method| Money::Came {
        method,
        reference: reference.clone(),
        by,
    };
    let money = match request.method {
        None | Some(PaidBy::Wallet) => Money::Wallet,
        Some(PaidBy::Cash) => came(Method::Cash),
        Some(PaidBy::BankTransfer) => came(Method::BankTransfer),
        Some(PaidBy::Card) => came(Method::Card),
        Some(PaidBy::Other) => came(Method::Other),
    };
    let mut tx = db.begin(operator.tenant).await?;
    // Nor is it silently his to say "paid" where the wallet does not cover it.
    let by_hand = matches!(money, Money::Came { .. });
    let seller = ledger::is_seller(&mut tx, operator.id).await?;
    if seller && by_hand && wanted == Status::Paid {
        return Err(finance::FinanceError::Seller.into());
    }
    let which = Which::parse(&invoice);
    let stepped = match deed::change(&mut tx, &which, wanted, money, now).await {
        // He says no more than that it is paid: what is not in the wallet came by hand. What is in it and set aside for
        // another invoice did not: nobody handed over anything.
        Err(InvoiceError::BalanceTooLow) if request.method.is_none() && !seller => {
            drop(tx);
            tx = db.begin(operator.tenant).await?;
            deed::change(&mut tx, &which, wanted, came(Method::Other), now).await?
        }
        Err(InvoiceError::BalanceTooLow) if seller => {
            return Err(InvoiceError::SellersWallet.into());
        }
        other => other?,
    };
    if stepped.changed {
        let after = &stepped.after;
        let said = [
            Some(after.status.word()),
            after.paid_by.as_deref(),
            after.reference.as_deref(),
        ];
        let line = Audit {
            details: said.into_iter().flatten().collect::<Vec<_>>().join(", "),
            before: Some(shown(&stepped.before)),
            after: Some(shown(after)),
            ..Audit::new(
                Action::InvoiceUpdate,
                "invoice",
                stepped.id,
                &stepped.number,
            )
        };
        audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
        tx.commit().await?;
    }
    Ok(Json(stepped.into()))
}

/// As the trail has it.
fn shown(facts: &Facts) -> Value {
    json!({
        "status": facts.status.word(),
        "paidBy": facts.paid_by,
        "reference": facts.reference,
    })
}

/// `GET /api/finance/invoices/{invoice}/pdf`: the invoice on paper, by number or id. What is open of it can be paid to the
/// paybill or till through which the customer would be asked for it, which stands there in words and as a QR code; none
/// stands there of a short code that is the platform's. Errors: 404.
#[utoipa::path(get, path = "/api/finance/invoices/{invoice}/pdf", tag = "Invoices",
    params(("invoice" = String, Path)),
    responses((status = 200, description = "The document", body = Vec<u8>, content_type = "application/pdf")))]
pub async fn print(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(invoice): Path<String>,
) -> Result<Response, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let row = find(&mut tx, &Which::parse(&invoice), clock.now()).await?;
    let head = store::letterhead(&mut tx, row.customer_id).await?;
    let pay_to = payments::pay_to(&mut tx, head.hotspot, head.account_number).await?;
    let logo = pictures::logo(&mut tx).await?;
    drop(tx);
    let document = paper::of(&row, &head, pay_to.as_ref(), logo.as_ref());
    Ok(pdf(&row.number, document))
}

/// A document as an answer.
fn pdf(number: &str, document: Vec<u8>) -> Response {
    let name = format!("inline; filename=\"{number}.pdf\"");
    let headers = [
        (CONTENT_TYPE, "application/pdf".to_owned()),
        (CONTENT_DISPOSITION, name),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    (headers, document).into_response()
}

async fn find(tx: &mut Tx, which: &Which, now: Timestamp) -> Result<Row, ApiError> {
    let row = store::find(tx, which, now).await?;
    Ok(row.ok_or(InvoiceError::Unknown)?)
}
