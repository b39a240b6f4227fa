//! Reports: trial balance, profit and loss, a customer's statement.

use std::collections::HashMap;

use axum::extract::State;
use easyisp_shared::id::{CustomerId, EntryId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::{Json, Page, Path, Query};
use crate::auth::Operator;
use crate::db::{Database, Tx};
use crate::error::ApiError;
use crate::finance::rules::Moment;
use crate::finance::store::{self, AccountRow};
use crate::ledger::{self, AccountType, Total};

/// Every account on which something was booked, and both sides' sums.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrialBalance {
    /// The last day of it.
    at: String,
    accounts: Vec<TrialLine>,
    total_debits: Cents,
    /// The same as `totalDebits`, or the books are broken.
    total_credits: Cents,
}

/// What is on one account: on one side of it.
#[derive(Serialize, ToSchema)]
pub struct TrialLine {
    code: String,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    debit: Cents,
    credit: Cents,
}

/// Until when.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct At {
    /// The last day; today when it is not given.
    #[param(value_type = Option<String>)]
    at: Option<Moment>,
}

/// `GET /api/finance/trial-balance`: what is on each account at the end of a day of the tenant's.
#[utoipa::path(get, path = "/api/finance/trial-balance", tag = "Finance", params(At),
    responses((status = 200, body = TrialBalance)))]
pub async fn trial_balance(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Query(query): Query<At>,
) -> Result<Json<TrialBalance>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let zone = ledger::zone(&mut tx).await?;
    let at = query.at.unwrap_or(Moment::At(clock.now())).day(&zone);
    let totals = ledger::totals(&mut tx, None, Some(at)).await?;
    let chart = chart(&mut tx).await?;
    let mut report = TrialBalance {
        at: at.to_string(),
        accounts: Vec::with_capacity(totals.len()),
        total_debits: Cents::ZERO,
        total_credits: Cents::ZERO,
    };
    for total in totals {
        let net = total.debits.minus(total.credits).ok_or_else(too_much)?;
        let (debit, credit) = match net.is_positive() {
            true => (net, Cents::ZERO),
            false => (Cents::ZERO, Cents::ZERO.minus(net).ok_or_else(too_much)?),
        };
        report.total_debits = report.total_debits.plus(debit).ok_or_else(too_much)?;
        report.total_credits = report.total_credits.plus(credit).ok_or_else(too_much)?;
        let known = chart.get(&total.account);
        report.accounts.push(TrialLine {
            code: total.account,
            name: known.map(|row| row.name.clone()).unwrap_or_default(),
            kind: known.map(|row| row.kind.clone()).unwrap_or_default(),
            debit,
            credit,
        });
    }
    Ok(Json(report))
}

/// What was earned and what was spent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfitAndLoss {
    /// Its first day.
    from: String,
    /// Its last day.
    to: String,
    revenue: Vec<ReportLine>,
    expenses: Vec<ReportLine>,
    total_revenue: Cents,
    total_expenses: Cents,
    /// Negative = a loss.
    profit: Cents,
}

/// What moved on one account.
#[derive(Serialize, ToSchema)]
pub struct ReportLine {
    code: String,
    name: String,
    amount: Cents,
}

/// From when until when.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct Between {
    /// The first day; the first of its month when it is not given.
    #[param(value_type = Option<String>)]
    pub(super) from: Option<Moment>,
    /// The last day; today when it is not given.
    #[param(value_type = Option<String>)]
    pub(super) to: Option<Moment>,
}

/// `GET /api/finance/profit-and-loss`: revenue and expenses by account, over days of the tenant's, both ends
/// included. Errors: 400 `from` after `to`.
#[utoipa::path(get, path = "/api/finance/profit-and-loss", tag = "Finance", params(Between),
    responses((status = 200, body = ProfitAndLoss)))]
pub async fn profit_and_loss(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Query(query): Query<Between>,
) -> Result<Json<ProfitAndLoss>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let zone = ledger::zone(&mut tx).await?;
    let to = query.to.unwrap_or(Moment::At(clock.now())).day(&zone);
    let from = query
        .from
        .map_or(to.first_of_month(), |from| from.day(&zone));
    if from > to {
        return Err(ApiError::field("from", "must not be after to"));
    }
    let totals = ledger::totals(&mut tx, Some(from), Some(to)).await?;
    let chart = chart(&mut tx).await?;
    let (revenue, total_revenue) = lines(&totals, &chart, AccountType::Revenue)?;
    let (expenses, total_expenses) = lines(&totals, &chart, AccountType::Expense)?;
    Ok(Json(ProfitAndLoss {
        from: from.to_string(),
        to: to.to_string(),
        revenue,
        expenses,
        total_revenue,
        total_expenses,
        profit: total_revenue.minus(total_expenses).ok_or_else(too_much)?,
    }))
}

/// What moved on the accounts of one kind, and its sum.
fn lines(
    totals: &[Total],
    chart: &HashMap<String, AccountRow>,
    kind: AccountType,
) -> Result<(Vec<ReportLine>, Cents), ApiError> {
    let (mut lines, mut sum) = (Vec::new(), Cents::ZERO);
    for total in totals {
        let Some(row) = chart
            .get(&total.account)
            .filter(|row| row.kind == kind.as_str())
        else {
            continue;
        };
        let amount = kind.balance(total.debits, total.credits);
        let amount = amount.ok_or_else(too_much)?;
        sum = sum.plus(amount).ok_or_else(too_much)?;
        lines.push(ReportLine {
            code: row.code.clone(),
            name: row.name.clone(),
            amount,
        });
    }
    Ok((lines, sum))
}

async fn chart(tx: &mut Tx) -> sqlx::Result<HashMap<String, AccountRow>> {
    let rows = store::accounts(tx, None).await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.code.clone(), row))
        .collect())
}

fn too_much() -> ApiError {
    ApiError::internal(anyhow::anyhow!("a sum of the books does not fit"))
}

/// How a customer stands with his provider: his wallet, less what he owes for invoices.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomerStatement {
    customer_id: CustomerId,
    customer_name: String,
    from: Timestamp,
    /// The first instant after it.
    to: Timestamp,
    /// Before the first line; positive: in his favour.
    opening_balance: Cents,
    lines: Vec<CustomerLine>,
    /// After the last line, also of those on other pages.
    closing_balance: Cents,
    total: i64,
    page: u32,
    page_size: u32,
}

/// What one entry did to his account.
#[derive(Serialize, ToSchema)]
#[schema(as = CustomerStatementLine)]
pub struct CustomerLine {
    id: EntryId,
    date: Timestamp,
    /// `PAYMENT`, `PERIOD`, `INVOICE`, …
    kind: String,
    description: String,
    /// What justifies it.
    reference: String,
    /// Positive: in his favour. Zero: what he owed was paid out of his wallet.
    amount: Cents,
    /// How he stood after it.
    balance: Cents,
}

/// `GET /api/customers/{customer}/statement`: opening balance, what moved, closing balance; the oldest line
/// first. Without `page` the first 1,000 lines.
///
/// Errors: 400 `from` after `to`, 404.
#[utoipa::path(get, path = "/api/customers/{customer}/statement", tag = "Finance",
    params(("customer" = CustomerId, Path), ("page" = Option<u32>, Query),
        ("pageSize" = Option<u32>, Query), Between),
    responses((status = 200, body = CustomerStatement)))]
pub async fn statement(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
    page: Page,
    Query(query): Query<Between>,
) -> Result<Json<CustomerStatement>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let customer_name = store::customer_name(&mut tx, customer).await?;
    let customer_name = customer_name.ok_or(ApiError::NotFound("customer"))?;
    let zone = ledger::zone(&mut tx).await?;
    let last = query.to.unwrap_or(Moment::At(clock.now()));
    let to = last.ends(&zone);
    let from = query
        .from
        .unwrap_or(Moment::Day(last.day(&zone).first_of_month()))
        .begins(&zone);
    if from > to {
        return Err(ApiError::field("from", "must not be after to"));
    }
    let window = (page.limit(), page.offset());
    let statement = ledger::statement(&mut tx, customer, (from, to), window).await?;
    let lines = statement.lines.into_iter().map(|line| CustomerLine {
        id: line.entry,
        date: line.occurred_at,
        kind: line.kind,
        description: line.description,
        reference: line.source,
        amount: line.amount,
        balance: line.balance,
    });
    Ok(Json(CustomerStatement {
        customer_id: customer,
        customer_name,
        from,
        to,
        opening_balance: statement.opening,
        lines: lines.collect(),
        closing_balance: statement.closing,
        total: statement.total,
        page: page.number,
        page_size: page.size,
    }))
}
