//! `/api/finance/taxes`: what prices include, in order and from when.

use axum::extract::State;
use easyisp_shared::money::Cents;
use easyisp_shared::time::Clock;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::api::{Json, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::{ApiError, Wrong};
use crate::finance::{self, Moment};
use crate::invoices::rules::MOST_TAXES;
use crate::invoices::store::{self, TaxTable};
use crate::ledger::{self, AccountCode, AccountType, Tax};

/// Tables that are shown.
const MOST_TABLES: i64 = 100;

/// The taxes of invoices.
#[derive(Serialize, ToSchema)]
pub struct Taxes {
    /// What invoices charge today, in the order in which it is added.
    current: Vec<Tax>,
    /// What is in force from when, the latest day first, at most 100.
    tables: Vec<Table>,
}

/// Taxes that are in force from a day on.
#[derive(Serialize, ToSchema)]
#[schema(as = TaxTable)]
pub struct Table {
    /// The first day, as `2026-07-01`.
    from: String,
    taxes: Vec<Tax>,
}

impl From<TaxTable> for Table {
    fn from(table: TaxTable) -> Table {
        Table {
            from: table.first_day.to_string(),
            taxes: table.taxes,
        }
    }
}

/// `GET /api/finance/taxes`: what invoices charge today, and what is in force from when.
#[utoipa::path(get, path = "/api/finance/taxes", tag = "Invoices", responses((status = 200, body = Taxes)))]
pub async fn get(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
) -> Result<Json<Taxes>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let zone = ledger::zone(&mut tx).await?;
    let today = clock.now().in_zone(&zone).date();
    let current = store::taxes_on(&mut tx, today).await?;
    let tables = store::tax_tables(&mut tx, MOST_TABLES).await?;
    Ok(Json(Taxes {
        current: current.map(|table| table.taxes).unwrap_or_default(),
        tables: tables.into_iter().map(Table::from).collect(),
    }))
}

/// What is to be in force.
#[derive(Deserialize, ToSchema)]
pub struct TaxesRequest {
    /// From which day on; today when it is not given.
    #[serde(default, deserialize_with = "blank::option")]
    #[schema(value_type = Option<String>)]
    from: Option<Moment>,
    /// In the order in which they are added to the price: excise duty, then value added tax on both. Empty = none.
    #[serde(default, deserialize_with = "blank::option")]
    taxes: Option<Vec<TaxRequest>>,
}

/// A tax that prices include.
#[derive(Clone, Deserialize, ToSchema)]
pub struct TaxRequest {
    /// At most 50 characters.
    #[serde(default, deserialize_with = "blank::option")]
    name: Option<String>,
    /// Percent, more than 0 and at most 100, with at most two decimals.
    #[serde(default, deserialize_with = "blank::option")]
    rate: Option<Cents>,
    /// The code of the liability account on which it is owed; 2300 when it is not given.
    #[serde(default, deserialize_with = "blank::option")]
    account: Option<String>,
}

/// `PUT /api/finance/taxes`: what invoices charge that are issued from a day on. Those issued before stay as they
/// are. Errors: 400 naming the fields, a day that is over among them.
#[utoipa::path(put, path = "/api/finance/taxes", tag = "Invoices", request_body = TaxesRequest,
    responses((status = 200, body = Table)))]
pub async fn set(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Json(request): Json<TaxesRequest>,
) -> Result<Json<Table>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let zone = ledger::zone(&mut tx).await?;
    let chart = finance::chart(&mut tx).await?;
    let today = now.in_zone(&zone).date();
    let mut wrong = Wrong::default();
    let first_day = request.from.map_or(today, |from| from.day(&zone));
    if first_day < today {
        wrong.add("from", "must be today or later");
    }
    let taxes = wrong.required("taxes", request.taxes);
    if taxes.len() > MOST_TAXES {
        wrong.add("taxes", "must be at most 10");
    }
    let taxes = taxes.into_iter().take(MOST_TAXES).enumerate();
    let taxes = taxes.map(|(place, tax)| {
        let field = |name: &str| format!("taxes[{place}].{name}");
        if !tax
            .rate
            .is_some_and(|rate| rate.is_positive() && rate <= Cents::whole(100))
        {
            wrong.add(
                &field("rate"),
                "must be more than 0 and at most 100 percent",
            );
        }
        let account = match &tax.account {
            None => AccountCode::TAXES,
            Some(code) => finance::account(&chart, code, AccountType::Liability, &mut wrong),
        };
        Tax {
            name: finance::needed(&field("name"), tax.name, 50, &mut wrong),
            rate: tax.rate.unwrap_or_default(),
            account: account.as_str().to_owned(),
        }
    });
    let taxes: Vec<Tax> = taxes.collect();
    let table = wrong
        .none_or(TaxTable { first_day, taxes })
        .map_err(ApiError::fields)?;
    store::set_taxes(&mut tx, &table, operator.id, now).await?;
    let line = Audit {
        details: format!("From {first_day}"),
        after: Some(json!(table.taxes)),
        ..Audit::new(Action::TaxUpdate, "books", operator.tenant, "Taxes")
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(table.into()))
}
