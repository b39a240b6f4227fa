//! `/api/dashboard`: numbers for one page, all of the caller's tenant and in its time zone.
//!
//! The page fetches three routes together and shows nothing when one of them is refused: so whoever may see
//! the dashboard at all gets zeros where a finer permission is missing.

pub mod reports;

use axum::extract::State;
use easyisp_shared::money::Cents;
use easyisp_shared::time::Clock;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::rules::{MONTHS, Period, Sums, first_day};
use super::store;
use crate::api::{Json, Query};
use crate::auth::{Operator, Permission};
use crate::db::Database;
use crate::error::ApiError;

/// Counts and sums at this moment.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = DashboardStats)]
pub struct Stats {
    /// Who is online.
    active_sessions: i64,
    total_customers: i64,
    pppoe_customers: i64,
    hotspot_customers: i64,
    /// With service left, and not stopped.
    active_customers: i64,
    /// What customers paid in the calendar month.
    monthly_revenue: Cents,
    /// What customers paid today.
    today_revenue: Cents,
    /// Codes nobody used, and that are still good.
    active_vouchers: i64,
    used_vouchers: i64,
}

/// `GET /api/dashboard/stats`: who is there and what came in. Zeros where the permission for a number is
/// missing: `dashboard:active_sessions`, `dashboard:total_customers`, `dashboard:monthly_revenue`,
/// `dashboard:today_revenue`.
///
/// Revenue is what customers paid, when they paid it, less what was taken back and, where prepaid sales are taxed, less
/// taxes on the day that they are owed; a voucher counts when it is used. Today and the month are the tenant's.
#[utoipa::path(get, path = "/api/dashboard/stats", tag = "Dashboard",
    responses((status = 200, body = Stats)))]
pub async fn stats(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
) -> Result<Json<Stats>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let zone = store::zone(&mut tx).await?;
    let counts = store::counts(&mut tx, now).await?;
    let today = now.in_zone(&zone).date();
    let days = store::takings(&mut tx, today.first_of_month(), &zone).await?;
    let sums = Sums::of(&days, today, Period::ThisMonth);
    let shown = |permission, n: i64| if operator.may(permission) { n } else { 0 };
    let sees = Sees::of(&operator);
    Ok(Json(Stats {
        active_sessions: shown(Permission::DashboardActiveSessions, counts.active_sessions),
        total_customers: shown(Permission::DashboardTotalCustomers, counts.customers),
        pppoe_customers: shown(Permission::DashboardTotalCustomers, counts.pppoe),
        hotspot_customers: shown(Permission::DashboardTotalCustomers, counts.hotspot),
        active_customers: shown(Permission::DashboardTotalCustomers, counts.active),
        monthly_revenue: sees.month(sums.this_month),
        today_revenue: sees.today(sums.today),
        active_vouchers: shown(Permission::DashboardView, counts.active_vouchers),
        used_vouchers: shown(Permission::DashboardView, counts.used_vouchers),
    }))
}

/// Which months a trend shows.
#[derive(Deserialize, IntoParams)]
pub struct PeriodQuery {
    /// `this_year` (also when absent), `this_month` or `last_year`.
    period: Option<String>,
}

/// Money by month and so far.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = DashboardRevenue)]
pub struct Revenue {
    /// January to December.
    revenue_trend: Vec<RevenueMonth>,
    total_by_period: RevenueTotals,
}

/// Money of a month.
#[derive(Serialize, ToSchema, Debug)]
pub struct RevenueMonth {
    /// `Jan` to `Dec`.
    month: &'static str,
    amount: Cents,
}

/// Money so far.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct RevenueTotals {
    today: Cents,
    /// Since Monday.
    this_week: Cents,
    this_month: Cents,
    this_year: Cents,
}

/// `GET /api/dashboard/revenue`: what customers paid, by month of the period and so far, as
/// `GET /api/dashboard/stats` counts it. Always twelve months; of `this_month` the others are zero. Zeros
/// without `dashboard:monthly_revenue`; `today` needs `dashboard:today_revenue`.
#[utoipa::path(get, path = "/api/dashboard/revenue", tag = "Dashboard", params(PeriodQuery),
    responses((status = 200, body = Revenue)))]
pub async fn revenue(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Query(query): Query<PeriodQuery>,
) -> Result<Json<Revenue>, ApiError> {
    let period = Period::parse(query.period.as_deref())?;
    let mut tx = db.begin(operator.tenant).await?;
    let zone = store::zone(&mut tx).await?;
    let today = clock.now().in_zone(&zone).date();
    let days = store::takings(&mut tx, first_day(today, period), &zone).await?;
    let sums = Sums::of(&days, today, period);
    let sees = Sees::of(&operator);
    let month = |(month, amount)| RevenueMonth {
        month,
        amount: sees.month(amount),
    };
    Ok(Json(Revenue {
        revenue_trend: MONTHS.into_iter().zip(sums.months).map(month).collect(),
        total_by_period: RevenueTotals {
            today: sees.today(sums.today),
            this_week: sees.month(sums.this_week),
            this_month: sees.month(sums.this_month),
            this_year: sees.month(sums.this_year),
        },
    }))
}

/// Traffic by month and so far.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
#[schema(as = DashboardUsage)]
pub struct Usage {
    /// January to December.
    usage_trend: Vec<UsageMonth>,
    total_by_period: UsageTotals,
}

/// Traffic of a month.
#[derive(Serialize, ToSchema, Debug)]
pub struct UsageMonth {
    /// `Jan` to `Dec`.
    month: &'static str,
    /// Gigabytes, both ways.
    usage: f64,
}

/// Traffic so far, gigabytes both ways.
#[derive(Serialize, ToSchema, Debug)]
#[serde(rename_all = "camelCase")]
pub struct UsageTotals {
    today: f64,
    /// Since Monday.
    this_week: f64,
    this_month: f64,
    this_year: f64,
}

/// `GET /api/dashboard/network-usage`: gigabytes that customers moved, both ways together, by month of the
/// period and so far. Always twelve months. Zeros without `dashboard:network_usage`.
#[utoipa::path(get, path = "/api/dashboard/network-usage", tag = "Dashboard", params(PeriodQuery),
    responses((status = 200, body = Usage)))]
pub async fn network_usage(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Query(query): Query<PeriodQuery>,
) -> Result<Json<Usage>, ApiError> {
    let period = Period::parse(query.period.as_deref())?;
    let mut tx = db.begin(operator.tenant).await?;
    let zone = store::zone(&mut tx).await?;
    let today = clock.now().in_zone(&zone).date();
    let days = store::usage(&mut tx, first_day(today, period)).await?;
    let sums = match operator.may(Permission::DashboardNetworkUsage) {
        true => Sums::of(&days, today, period),
        false => Sums::default(),
    };
    let month = |(month, bytes)| UsageMonth {
        month,
        usage: gigabytes(bytes),
    };
    Ok(Json(Usage {
        usage_trend: MONTHS.into_iter().zip(sums.months).map(month).collect(),
        total_by_period: UsageTotals {
            today: gigabytes(sums.today),
            this_week: gigabytes(sums.this_week),
            this_month: gigabytes(sums.this_month),
            this_year: gigabytes(sums.this_year),
        },
    }))
}

/// Which money an operator may see.
#[derive(Clone, Copy)]
struct Sees {
    today: bool,
    month: bool,
}

impl Sees {
    fn of(operator: &Operator) -> Sees {
        let finance = [
            Permission::FinanceDashboardView,
            Permission::FinanceViewCharts,
        ];
        let all = finance.into_iter().any(|may| operator.may(may));
        Sees {
            today: all || operator.may(Permission::DashboardTodayRevenue),
            month: all || operator.may(Permission::DashboardMonthlyRevenue),
        }
    }

    fn today(self, amount: i64) -> Cents {
        Cents::new(if self.today { amount } else { 0 })
    }

    fn month(self, amount: i64) -> Cents {
        Cents::new(if self.month { amount } else { 0 })
    }
}

/// Bytes as gigabytes (1024³) with six decimals: a kilobyte shows.
fn gigabytes(bytes: i64) -> f64 {
    (bytes as f64 / 1_073_741_824.0 * 1_000_000.0).round() / 1_000_000.0
}
