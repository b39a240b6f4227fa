//! Money that is nobody's yet, whose it may be, and a person's word whose it is; and "has he paid already?".

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use easyisp_shared::id::{CustomerId, IntentId, PaymentId};
use easyisp_shared::money::Cents;
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::arrival::Payer;
use super::owner::near_accounts;
use super::provider::receipt_of_any;
use super::store::suspense::{self as store, Held, Hints, Past, Possible};
use crate::api::{Idempotency, Json, Page, Path, Query};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::renewals;

/// Most customers who are suggested for one payment.
const MOST_SUGGESTED: usize = 3;
/// Most customers who are looked at for the suggestions of one page.
const MOST_POSSIBLE: i64 = 3_000;

/// Which payments to list.
#[derive(Deserialize, IntoParams)]
pub struct HeldFilter {
    /// A part of receipt, phone, account or payer's name.
    search: Option<String>,
}

/// Money that is nobody's yet.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldPayment {
    id: PaymentId,
    receipt: Option<String>,
    amount: Cents,
    /// The payer's phone, or what M-Pesa shows of it.
    phone: Option<String>,
    /// What the payer typed as account.
    account: Option<String>,
    payer_name: Option<String>,
    /// Why it is here, for people.
    description: String,
    paid_at: Timestamp,
    created_at: Timestamp,
    /// Whose it may be, at most three.
    suggestions: Vec<Suggestion>,
}

/// A customer whose money it may be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Suggestion {
    customer_id: CustomerId,
    name: String,
    username: String,
    account_number: String,
    reason: Reason,
}

/// Why somebody may be the owner; the strongest of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// It was paid from the phone of this customer.
    Phone,
    /// One slip makes his account number of what was typed.
    SimilarAccount,
    /// His user name was typed, and somebody else's.
    Username,
    /// What M-Pesa shows of the payer's phone fits his.
    MaskedPhone,
}

/// A page of money that is nobody's yet.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldPayments {
    payments: Vec<HeldPayment>,
    total: i64,
    page: u32,
    page_size: u32,
}

/// `GET /api/payments/unallocated`: M-Pesa payments that belong to nobody known, newest first, each with at most
/// three customers whose it may be. Without `page` the newest 1,000.
#[utoipa::path(get, path = "/api/payments/unallocated", tag = "Payments",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query), HeldFilter),
    responses((status = 200, body = HeldPayments)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    page: Page,
    Query(filter): Query<HeldFilter>,
) -> Result<Json<HeldPayments>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let (rows, total) = store::held(&mut tx, filter.search.as_deref(), page).await?;
    let hints = hints(&rows);
    let possible = store::possible(&mut tx, &hints, MOST_POSSIBLE).await?;
    let payment = |held: Held| HeldPayment {
        suggestions: suggest(&held, &possible),
        id: held.id,
        receipt: held.receipt,
        amount: held.amount,
        phone: held.phone,
        account: held.account,
        payer_name: held.payer_name,
        description: held.description,
        paid_at: held.paid_at,
        created_at: held.created_at,
    };
    Ok(Json(HeldPayments {
        payments: rows.into_iter().map(payment).collect(),
        total,
        page: page.number,
        page_size: page.size,
    }))
}

/// What the owners of all this money are looked for by, in one question.
fn hints(held: &[Held]) -> Hints {
    let mut hints = Hints::default();
    for held in held {
        match payer(held) {
            Payer::Masked { last, .. } => hints.last_digits.push(last),
            known => hints.hashes.extend(known.hash()),
        }
        let account = held.account.as_deref().unwrap_or_default();
        hints.accounts.extend(near_accounts(account));
        hints.usernames.extend(username_key(account));
    }
    hints
}

/// Who of those may own this money, the likeliest first.
fn suggest(held: &Held, possible: &[Possible]) -> Vec<Suggestion> {
    let payer = payer(held);
    let (hash, account) = (payer.hash(), held.account.as_deref().unwrap_or_default());
    let (near, username) = (near_accounts(account), username_key(account));
    let reason = |customer: &Possible| {
        let number = customer.phone_number.as_deref().unwrap_or_default();
        match &payer {
            _ if hash.is_some() && customer.phone_hash == hash => Some(Reason::Phone),
            _ if near.contains(&customer.account_number) => Some(Reason::SimilarAccount),
            _ if username.as_ref() == Some(&customer.username_key) => Some(Reason::Username),
            Payer::Masked { .. } if payer.may_be(number) => Some(Reason::MaskedPhone),
            Payer::Number(_) | Payer::Hash(_) | Payer::Masked { .. } | Payer::Unknown => None,
        }
    };
    let suggested = possible.iter().filter_map(|customer| {
        Some(Suggestion {
            reason: reason(customer)?,
            customer_id: customer.id,
            name: customer.name.clone(),
            username: customer.username.clone(),
            account_number: customer.account_number.to_string(),
        })
    });
    let mut suggested: Vec<Suggestion> = suggested.collect();
    suggested.sort_by_key(|suggestion| suggestion.reason);
    suggested.truncate(MOST_SUGGESTED);
    suggested
}

fn payer(held: &Held) -> Payer {
    match &held.payer_hash {
        Some(hash) => Payer::Hash(hash.clone()),
        None => Payer::read(held.phone.as_deref().unwrap_or_default()),
    }
}

fn username_key(account: &str) -> Option<String> {
    let bare = account.chars().filter(|letter| !letter.is_whitespace());
    let key: String = bare.collect::<String>().to_lowercase();
    (!key.is_empty()).then_some(key)
}

/// Whose money it is.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllocateRequest {
    customer_id: CustomerId,
}

/// What the money gave its owner.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllocatedPayment {
    success: bool,
    payment_id: PaymentId,
    new_balance: Cents,
    expires_at: Timestamp,
}

/// `POST /api/payments/{payment}/allocate`: says whose money it is. It goes into his wallet, and when that then
/// covers the price of his package, one period is bought.
///
/// Repeating a request (same `Idempotency-Key` header) returns the first answer and moves nothing. Errors: 404
/// unknown payment or customer, 409 `ALREADY_ALLOCATED` with whose it is, 409 `NOT_ALLOCATABLE` when it was
/// taken back.
#[utoipa::path(post, path = "/api/payments/{payment}/allocate", tag = "Payments",
    params(("payment" = PaymentId, Path)), request_body = AllocateRequest,
    responses((status = 200, body = AllocatedPayment)))]
pub async fn allocate(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(payment): Path<PaymentId>,
    mut idempotency: Idempotency,
    Json(request): Json<AllocateRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    let found = store::lock(&mut tx, payment).await?;
    let found = found.ok_or(ApiError::NotFound("payment"))?;
    let receipt = match found.receipt {
        Some(receipt) if !found.owned && found.status == "completed" => receipt,
        Some(_) | None if found.owned => {
            let name = found.customer_name.unwrap_or_default();
            let username = found.customer_username.unwrap_or_default();
            return Err(ApiError::conflict(
                "ALREADY_ALLOCATED",
                format!(
                    "This payment is {name}'s ({username}) already; to move it, recharge the rightful owner with \
                     0 and the description \"Resolved transaction: CODE\""
                ),
            ));
        }
        Some(_) | None => {
            return Err(ApiError::conflict(
                "NOT_ALLOCATABLE",
                "This payment was taken back; there is nothing to allocate",
            ));
        }
    };
    let moved = renewals::resolve(&mut tx, &receipt, request.customer_id, now).await?;
    let moved = moved.ok_or(ApiError::NotFound("payment"))?;
    let line = Audit {
        details: format!("Allocated payment {receipt}"),
        ..Audit::new(
            Action::TransactionResolve,
            "customer",
            request.customer_id,
            &moved.customer_name,
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let body = AllocatedPayment {
        success: true,
        payment_id: moved.payment,
        new_balance: moved.balance,
        expires_at: moved.paid_until,
    };
    let answer = idempotency.finish(&mut tx, StatusCode::OK, &body).await?;
    tx.commit().await?;
    Ok(answer)
}

/// What is asked after.
#[derive(Deserialize, IntoParams)]
pub struct LookupQuery {
    /// A receipt, as it stands in the payer's message.
    receipt: Option<String>,
    /// A phone, in place of the receipt.
    phone: Option<String>,
}

/// A payment that came.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PastPayment {
    id: PaymentId,
    receipt: Option<String>,
    amount: Cents,
    status: String,
    phone: Option<String>,
    account: Option<String>,
    /// Null: it is nobody's yet, and waits to be allocated.
    customer_id: Option<CustomerId>,
    customer_name: Option<String>,
    paid_at: Timestamp,
    created_at: Timestamp,
}

/// A prompt that may still bring money.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OpenPrompt {
    id: IntentId,
    amount: Cents,
    created_at: Timestamp,
}

/// What is known.
#[derive(Serialize, ToSchema)]
pub struct Known {
    known: bool,
    /// For people.
    message: String,
    /// With the receipt, or the newest 20 of the phone.
    payments: Vec<PastPayment>,
    /// Prompts that are open on the phone.
    prompts: Vec<OpenPrompt>,
}

/// `GET /api/payments/lookup`: "he says that he has paid": what we know of a receipt, or of a phone's newest 20
/// M-Pesa payments and open prompts. Nothing is booked by it: a message that a payer shows is no proof.
/// Errors: 400 names the field.
#[utoipa::path(get, path = "/api/payments/lookup", tag = "Payments", params(LookupQuery),
    responses((status = 200, body = Known)))]
pub async fn lookup(
    operator: Operator,
    State(db): State<Database>,
    Query(query): Query<LookupQuery>,
) -> Result<Json<Known>, ApiError> {
    const MOST: i64 = 20;

    let mut tx = db.begin(operator.tenant).await?;
    let (payments, prompts, message) = match (query.receipt.as_deref(), query.phone.as_deref()) {
        (Some(receipt), None) => {
            let wrong = || ApiError::field("receipt", "must be 6 to 32 letters, digits and dots");
            let receipt = receipt_of_any(receipt).ok_or_else(wrong)?;
            let payments = store::past(&mut tx, Some(&receipt), None, MOST).await?;
            let message = match payments.first() {
                Some(one) => of_payment(one),
                None => unbooked(&mut tx, &receipt).await?,
            };
            (payments, Vec::new(), message)
        }
        (None, Some(phone)) => {
            let wrong =
                || ApiError::field("phone", "must be a Kenyan mobile number such as 0712345678");
            let phone = PhoneNumber::parse(phone).ok_or_else(wrong)?;
            let both = (phone.as_str(), phone.hash());
            let payments = store::past(&mut tx, None, Some((both.0, &both.1)), MOST).await?;
            let prompts = store::open_prompts(&mut tx, phone.as_str(), MOST).await?;
            let message = match (payments.is_empty(), prompts.is_empty()) {
                (true, true) => "Nothing is known of this phone",
                (true, false) => "A prompt is open on this phone; nothing has come from it yet",
                (false, _) => "Payments of this phone, newest first",
            };
            (payments, prompts, message.to_owned())
        }
        (Some(_), Some(_)) => return Err(ApiError::field("phone", "goes without receipt")),
        (None, None) => return Err(ApiError::field("receipt", "or phone is required")),
    };
    Ok(Json(Known {
        known: !payments.is_empty(),
        message,
        payments: payments.into_iter().map(PastPayment::from).collect(),
        prompts: prompts
            .into_iter()
            .map(|open| OpenPrompt {
                id: open.id,
                amount: open.amount,
                created_at: open.created_at,
            })
            .collect(),
    }))
}

fn of_payment(past: &Past) -> String {
    match (past.status.as_str(), &past.customer_name) {
        ("completed", Some(name)) => format!("Credited to {name}"),
        ("completed", None) => "Received; it is nobody's yet: allocate it".to_owned(),
        (_, _) => "Received, and taken back".to_owned(),
    }
}

/// What is known of a receipt that is not booked.
async fn unbooked(tx: &mut crate::db::Tx, receipt: &str) -> Result<String, ApiError> {
    let heard = store::hearsay(tx, receipt).await?;
    let claimed = store::claimed(tx, receipt).await?;
    Ok(match (heard, claimed) {
        (Some(heard), _) if !heard.processed => {
            format!(
                "M-Pesa told of it at {}; it is being booked",
                heard.received_at
            )
        }
        (Some(heard), _) => format!(
            "It was told of at {} and not booked: {}",
            heard.received_at,
            heard.outcome.unwrap_or_default()
        ),
        (None, Some(_)) => "It was reported; M-Pesa is being asked whether it is true".to_owned(),
        (None, None) => "Nothing is known of this receipt".to_owned(),
    })
}

impl From<Past> for PastPayment {
    fn from(past: Past) -> PastPayment {
        PastPayment {
            id: past.id,
            receipt: past.receipt,
            amount: past.amount,
            status: past.status,
            phone: past.phone,
            account: past.account,
            customer_id: past.customer_id,
            customer_name: past.customer_name,
            paid_at: past.paid_at,
            created_at: past.created_at,
        }
    }
}
