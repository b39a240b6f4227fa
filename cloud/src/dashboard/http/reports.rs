//! `/api/reports`: where money came from, what will end, who left, who owes. Days and months are the tenant's.

use axum::extract::State;
use easyisp_shared::id::CustomerId;
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};
use jiff::ToSpan;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::api::{Json, Page, Query};
use crate::auth::Operator;
use crate::customers::ConnectionType;
use crate::dashboard::rules::{Stretch, churn as months_of, midnight};
use crate::dashboard::store::{self, reports};
use crate::db::Database;
use crate::error::ApiError;

/// By what money is told apart.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// What was bought.
    Package,
    /// Where the buyer is.
    Router,
    /// How it was paid.
    Method,
    /// Who wrote it down.
    Operator,
}

/// Which money.
#[derive(Deserialize, IntoParams)]
pub struct RevenueQuery {
    /// `package`, `router`, `method` or `operator`.
    #[param(inline)]
    by: By,
    /// The first day, like `2026-01-01`; the first of the month when absent.
    from: Option<String>,
    /// The last day; today when absent. At most 366 days from the first.
    to: Option<String>,
}

/// Where money came from.
#[derive(Serialize, ToSchema, Debug)]
#[schema(as = RevenueReport)]
pub struct RevenueReport {
    by: By,
    /// The first day.
    from: String,
    /// The last day.
    to: String,
    /// The largest first, at most 1,000.
    rows: Vec<RevenueRow>,
    /// What all rows come to.
    total: Cents,
}

/// Money under one heading.
#[derive(Serialize, ToSchema, Debug)]
pub struct RevenueRow {
    /// Of package, router or operator; null for methods and for what belongs to none.
    id: Option<Uuid>,
    /// What people call it; `MPESA` … or `VOUCHER` for methods.
    name: String,
    /// Periods and invoices, or payments; vouchers are not counted here.
    count: i64,
    amount: Cents,
}

/// `GET /api/reports/revenue`: where money came from.
///
/// By `package` and `router`: what periods were sold for and what was invoiced, without the taxes in it and less what was
/// taken back, on the day it was booked; an invoice belongs to the router at which its customer was then, that of a month
/// also to the package he had when it was issued, and any other to no package. By `method` and `operator`: payments that
/// stand, and invoices that were paid without a wallet, on the day the money moved; vouchers used are a method of their
/// own.
/// Errors: 400 naming `by`, `from` or `to`.
#[utoipa::path(get, path = "/api/reports/revenue", tag = "Reports", params(RevenueQuery),
    responses((status = 200, body = RevenueReport)))]
pub async fn revenue(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Query(query): Query<RevenueQuery>,
) -> Result<Json<RevenueReport>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let zone = store::zone(&mut tx).await?;
    let today = clock.now().in_zone(&zone).date();
    let stretch = Stretch::parse(query.from.as_deref(), query.to.as_deref(), today)?;
    let Stretch { from, to } = stretch;
    let shares = match query.by {
        By::Package => reports::by_package(&mut tx, from, to).await?,
        By::Router => reports::by_router(&mut tx, from, to).await?,
        By::Operator => reports::by_operator(&mut tx, from, to).await?,
        By::Method => {
            let mut shares = reports::by_method(&mut tx, from, to).await?;
            let used = reports::vouchers(&mut tx, from, to, &zone).await?;
            if used.is_positive() {
                shares.push(reports::Share {
                    id: None,
                    name: Some("VOUCHER".to_owned()),
                    count: 0,
                    amount: used,
                });
            }
            shares.sort_by_key(|share| std::cmp::Reverse(share.amount));
            shares
        }
    };
    let nothing = match query.by {
        By::Package => "No package",
        By::Router => "No router",
        By::Method => "No method",
        By::Operator => "By itself",
    };
    let total = total(shares.iter().map(|share| share.amount))?;
    let rows = shares.into_iter().map(|share| RevenueRow {
        id: share.id,
        name: share.name.unwrap_or_else(|| nothing.to_owned()),
        count: share.count,
        amount: share.amount,
    });
    Ok(Json(RevenueReport {
        by: query.by,
        from: stretch.from.to_string(),
        to: stretch.to.to_string(),
        rows: rows.collect(),
        total,
    }))
}

/// How far ahead.
#[derive(Deserialize, IntoParams)]
pub struct ExpiringQuery {
    /// 1 to 92; 7 when absent.
    days: Option<u32>,
}

/// What will end.
#[derive(Serialize, ToSchema, Debug)]
pub struct Expiring {
    /// Today and the days after it, also those on which nobody's time ends.
    days: Vec<ExpiringDay>,
    customers: i64,
    amount: Cents,
}

/// Whose paid time ends on one day.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct ExpiringDay {
    date: String,
    customers: i64,
    /// What they pay when all of them go on.
    amount: Cents,
    /// Those whose wallets carry them on.
    funded: i64,
    /// And with how much.
    funded_amount: Cents,
}

/// `GET /api/reports/expiring`: whose paid time ends on which of the next days, and what they pay when they
/// go on. Who was stopped, or is on another's account, is left out. Errors: 400 naming `days`.
#[utoipa::path(get, path = "/api/reports/expiring", tag = "Reports", params(ExpiringQuery),
    responses((status = 200, body = Expiring)))]
pub async fn expiring(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Query(query): Query<ExpiringQuery>,
) -> Result<Json<Expiring>, ApiError> {
    let days = query.days.unwrap_or(7);
    if !(1..=92).contains(&days) {
        return Err(ApiError::field("days", "must be 1 to 92"));
    }
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let zone = store::zone(&mut tx).await?;
    let today = now.in_zone(&zone).date();
    let until = midnight(today.saturating_add(i64::from(days).days()), &zone);
    let endings = reports::endings(&mut tx, now, until, &zone).await?;
    let day = |ahead: u32| {
        let date = today.saturating_add(i64::from(ahead).days());
        let ending = endings.iter().find(|ending| ending.day == date);
        ExpiringDay {
            date: date.to_string(),
            customers: ending.map_or(0, |ending| ending.customers),
            amount: ending.map_or(Cents::ZERO, |ending| ending.amount),
            funded: ending.map_or(0, |ending| ending.funded),
            funded_amount: ending.map_or(Cents::ZERO, |ending| ending.funded_amount),
        }
    };
    Ok(Json(Expiring {
        days: (0..days).map(day).collect(),
        customers: endings.iter().map(|ending| ending.customers).sum(),
        amount: total(endings.iter().map(|ending| ending.amount))?,
    }))
}

/// How far back.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct ChurnQuery {
    /// 1 to 24, the present month included; 12 when absent.
    months: Option<u32>,
    /// Only customers connected so.
    connection_type: Option<ConnectionType>,
}

/// Who came and who left.
#[derive(Serialize, ToSchema, Debug)]
pub struct Churn {
    /// The oldest first.
    months: Vec<ChurnMonth>,
}

/// What a month did to the number of customers.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct ChurnMonth {
    /// Like `2026-01`.
    month: String,
    /// Who was served when it began.
    at_start: i64,
    joined: i64,
    /// Whose service ended in it and did not go on since, or who was deleted.
    lost: i64,
    /// Percent of those at the start.
    lost_percent: f64,
}

/// `GET /api/reports/churn`: who came and who left, month by month. Somebody left in the month in which his
/// service ended for the last time: who comes back later was not lost. Errors: 400 naming `months`.
#[utoipa::path(get, path = "/api/reports/churn", tag = "Reports", params(ChurnQuery),
    responses((status = 200, body = Churn)))]
pub async fn churn(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Query(query): Query<ChurnQuery>,
) -> Result<Json<Churn>, ApiError> {
    let months = query.months.unwrap_or(12);
    if !(1..=24).contains(&months) {
        return Err(ApiError::field("months", "must be 1 to 24"));
    }
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let zone = store::zone(&mut tx).await?;
    let today = now.in_zone(&zone).date();
    let begins: Vec<_> = (0..i64::from(months))
        .rev()
        .map(|back| today.first_of_month().saturating_sub(back.months()))
        .collect();
    let kind = query.connection_type;
    let lives = reports::lives(&mut tx, kind, &begins, &zone, now).await?;
    let months = months_of(&lives, today, months);
    let month = |month: &crate::dashboard::rules::Month| ChurnMonth {
        month: month.first.strftime("%Y-%m").to_string(),
        at_start: month.at_start,
        joined: month.joined,
        lost: month.lost,
        lost_percent: month.lost_permille() as f64 / 10.0,
    };
    Ok(Json(Churn {
        months: months.iter().map(month).collect(),
    }))
}

/// Who owes.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Arrears {
    /// The largest debt first.
    customers: Vec<Debtor>,
    total: i64,
    /// What all of them owe together.
    total_owed: Cents,
    page: u32,
    page_size: u32,
}

/// Somebody who owes, or is served on his word.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct Debtor {
    id: CustomerId,
    username: String,
    name: String,
    phone: Option<String>,
    /// Below zero where money was taken back after it was spent.
    wallet_balance: Cents,
    /// Until when he is served on his word.
    promised_until: Option<Timestamp>,
    /// What is missing in the wallet, and the price of what he promised to pay for.
    owed: Cents,
}

/// `GET /api/reports/arrears`: whose wallet is below zero, and who is or was served on a promise and has not
/// paid; the largest debt first.
#[utoipa::path(get, path = "/api/reports/arrears", tag = "Reports",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query)),
    responses((status = 200, body = Arrears)))]
pub async fn arrears(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    page: Page,
) -> Result<Json<Arrears>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let now = clock.now();
    let debts = reports::debts(&mut tx, page, now).await?;
    Ok(Json(Arrears {
        total: debts.n,
        total_owed: debts.owed,
        customers: debts
            .page
            .into_iter()
            .map(|row| Debtor {
                id: row.id,
                username: row.username,
                name: row.name,
                phone: row.phone,
                wallet_balance: row.balance,
                promised_until: row.promised_until,
                owed: row.owed,
            })
            .collect(),
        page: page.number,
        page_size: page.size,
    }))
}

fn total(amounts: impl Iterator<Item = Cents>) -> Result<Cents, ApiError> {
    let mut sum = Cents::ZERO;
    for amount in amounts {
        let more = sum.plus(amount);
        sum = more.ok_or_else(|| ApiError::internal(anyhow::anyhow!("a sum does not fit")))?;
    }
    Ok(sum)
}
