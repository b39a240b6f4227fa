//! `/api/finance/accounts`: the chart of accounts and what is on each.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use easyisp_shared::id::AccountId;
use easyisp_shared::money::Cents;
use easyisp_shared::time::Clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::{Idempotency, Json, Path, Query, Success, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::{ApiError, Wrong};
use crate::finance::FinanceError;
use crate::finance::rules;
use crate::finance::store::{self, AccountRow};
use crate::ledger::{self, AccountCode, AccountType, Total};

/// Accounts of one chart: its list has no pages.
const MOST: i64 = 500;

/// An account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LedgerAccount)]
pub struct Account {
    id: AccountId,
    /// Four to eight digits.
    code: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    /// What is on it: assets and expenses grow by debits, the others by credits.
    balance: Cents,
    /// Whether the platform books on it by itself; it cannot be deleted.
    is_system: bool,
    description: String,
}

impl Account {
    /// An account with what moved on it.
    fn with(row: AccountRow, moved: Option<&Total>) -> Account {
        let (debits, credits) = moved.map_or((Cents::ZERO, Cents::ZERO), |total| {
            (total.debits, total.credits)
        });
        let kind = AccountType::parse(&row.kind);
        let balance = kind.and_then(|kind| kind.balance(debits, credits));
        Account {
            id: row.id,
            code: row.code,
            name: row.name,
            kind: row.kind,
            balance: balance.unwrap_or_default(),
            is_system: row.is_system,
            description: row.description,
        }
    }
}

/// Which accounts.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct Filter {
    /// `Asset`, `Liability`, `Equity`, `Revenue` or `Expense`.
    #[serde(rename = "type")]
    #[param(inline)]
    kind: Option<AccountType>,
}

/// `GET /api/finance/accounts`: the chart of accounts by code, with balances, as a bare list of at most 500.
///
/// A balance is what its entries sum to at this moment: the totals of sealed days and what waits to be sealed.
#[utoipa::path(get, path = "/api/finance/accounts", tag = "Finance", params(Filter),
    responses((status = 200, body = Vec<Account>)))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    Query(filter): Query<Filter>,
) -> Result<Json<Vec<Account>>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let rows = store::accounts(&mut tx, filter.kind).await?;
    let moved = ledger::totals(&mut tx, None, None).await?;
    let moved: HashMap<&str, &Total> = moved
        .iter()
        .map(|total| (total.account.as_str(), total))
        .collect();
    let accounts = rows.into_iter().map(|row| {
        let total = moved.get(row.code.as_str()).copied();
        Account::with(row, total)
    });
    Ok(Json(accounts.collect()))
}

/// What an account is to be.
#[derive(Deserialize, ToSchema)]
#[schema(as = LedgerAccountRequest)]
pub struct AccountRequest {
    /// Four to eight digits; no other account has them.
    #[serde(default, deserialize_with = "blank::option")]
    code: Option<String>,
    /// At most 100 characters. An expense whose category is this name is booked on it.
    #[serde(default, deserialize_with = "blank::option")]
    name: Option<String>,
    #[serde(default, rename = "type", deserialize_with = "blank::option")]
    kind: Option<AccountType>,
    /// At most 500 characters.
    #[serde(default, deserialize_with = "blank::option")]
    description: Option<String>,
}

/// `POST /api/finance/accounts`: another account.
///
/// Errors: 400 naming the fields, 409 `CODE_TAKEN`, 409 `TOO_MANY_ACCOUNTS` over 500. Repeating with the same
/// `Idempotency-Key` returns the first answer.
#[utoipa::path(post, path = "/api/finance/accounts", tag = "Finance", request_body = AccountRequest,
    responses((status = 201, body = Account)))]
pub async fn create(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    mut idempotency: Idempotency,
    Json(request): Json<AccountRequest>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let mut row = draft(request).map_err(FinanceError::Fields)?;
    let mut tx = db.begin(operator.tenant).await?;
    if let Some(answer) = idempotency.begin(&mut tx, operator.id, now).await? {
        return Ok(answer);
    }
    row.id = AccountId::new(now, &tx.entropy());
    let made = store::insert_account(&mut tx, &row, MOST, now).await;
    if !made.map_err(FinanceError::from)? {
        return Err(FinanceError::TooManyAccounts(MOST).into());
    }
    let name = format!("{} {}", row.code, row.name);
    let line = Audit {
        details: row.kind.clone(),
        ..Audit::new(Action::LedgerAccountCreate, "account", row.id, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let body = Account::with(row, None);
    let answer = idempotency
        .finish(&mut tx, StatusCode::CREATED, &body)
        .await?;
    tx.commit().await?;
    Ok(answer)
}

fn draft(request: AccountRequest) -> Result<AccountRow, Vec<crate::error::FieldError>> {
    let mut wrong = Wrong::default();
    let code = request.code.as_deref().unwrap_or_default().trim();
    if AccountCode::parse(code).is_none() {
        wrong.add("code", "must be four to eight digits");
    }
    if request.kind.is_none() {
        wrong.add("type", "is required");
    }
    let row = AccountRow {
        id: AccountId(uuid::Uuid::nil()),
        code: code.to_owned(),
        name: rules::needed("name", request.name, 100, &mut wrong),
        kind: request.kind.map_or("", AccountType::as_str).to_owned(),
        is_system: false,
        description: rules::text("description", request.description, 500, &mut wrong),
    };
    wrong.none_or(row)
}

/// `DELETE /api/finance/accounts/{account}`: an account on which nothing was ever booked.
///
/// Errors: 400 `SYSTEM_ACCOUNT`, 404, 409 `ACCOUNT_USED`.
#[utoipa::path(delete, path = "/api/finance/accounts/{account}", tag = "Finance",
    params(("account" = AccountId, Path)), responses((status = 200, body = Success)))]
pub async fn delete(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(account): Path<AccountId>,
) -> Result<Json<Success>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = store::find_account(&mut tx, account).await?;
    let row = row.ok_or(FinanceError::Unknown("account"))?;
    if row.is_system {
        return Err(FinanceError::SystemAccount.into());
    }
    let gone = store::delete_account(&mut tx, account).await;
    gone.map_err(|error| match crate::error::violated(&error) {
        Some(_) => FinanceError::AccountUsed,
        None => FinanceError::Database(error),
    })?;
    let name = format!("{} {}", row.code, row.name);
    let line = Audit::new(Action::LedgerAccountDelete, "account", account, &name);
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(Success::YES))
}
