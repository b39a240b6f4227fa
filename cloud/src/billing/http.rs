//! How a tenant bills, and who is billed.

use axum::extract::State;
use easyisp_shared::id::CustomerId;
use easyisp_shared::time::{Clock, Timestamp};
use jiff::ToSpan;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::BILL;
use super::jobs::{bill_one, serve};
use super::rules::{Billing, midnight};
use super::store::{self, Billed, Prices};
use crate::api::{Json, Path, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::customers;
use crate::db::{Database, Kind, Tx};
use crate::due;
use crate::error::{ApiError, Wrong};

/// `GET /api/tenant/billing`: when and how those are billed who pay afterwards.
#[utoipa::path(get, path = "/api/tenant/billing", tag = "Invoices",
    responses((status = 200, body = Billing)))]
pub async fn get(
    operator: Operator,
    State(db): State<Database>,
) -> Result<Json<Billing>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    Ok(Json(store::house(&mut tx).await?.billing))
}

/// `PUT /api/tenant/billing`: changes it as a whole. Another billing day makes the next invoice a shorter or longer
/// one. Errors: 400 naming the fields.
#[utoipa::path(put, path = "/api/tenant/billing", tag = "Invoices", request_body = Billing,
    responses((status = 200, body = Billing)))]
pub async fn set(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Json(wanted): Json<Billing>,
) -> Result<Json<Billing>, ApiError> {
    let now = clock.now();
    wanted.check().map_err(ApiError::fields)?;
    let mut tx = db.begin(operator.tenant).await?;
    let before = store::house(&mut tx).await?;
    store::set(&mut tx, &wanted, now).await?;
    let line = Audit {
        before: Some(json!(before.billing)),
        after: Some(json!(wanted)),
        ..Audit::new(
            Action::BillingUpdate,
            "tenant",
            operator.tenant,
            &before.business_name,
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    due::at(&mut tx, BILL, operator.tenant, now).await?;
    tx.commit().await?;
    Ok(Json(wanted))
}

/// Whether and since when a customer is billed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomerBilling {
    postpaid: bool,
    /// The first day that is billed: `2027-01-15`.
    since: Option<String>,
    /// The first day that was not billed yet.
    billed_to: Option<String>,
    /// When the next invoice is issued.
    next_invoice: Option<String>,
    /// When his service ends if nothing is paid.
    served_until: Timestamp,
}

/// `GET /api/customers/{customer}/billing`: whether he pays afterwards. Errors: 404.
#[utoipa::path(get, path = "/api/customers/{customer}/billing", tag = "Invoices",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = CustomerBilling)))]
pub async fn get_customer(
    operator: Operator,
    State(db): State<Database>,
    Path(customer): Path<CustomerId>,
) -> Result<Json<CustomerBilling>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    Ok(Json(show(&mut tx, customer).await?))
}

async fn show(tx: &mut Tx, customer: CustomerId) -> Result<CustomerBilling, ApiError> {
    let known = store::customer(tx, customer).await?;
    let known = known.ok_or(ApiError::NotFound("customer"))?;
    let house = store::house(tx).await?;
    let billed = store::find(tx, customer).await?;
    let billed = billed.filter(|billed| billed.until.is_none());
    Ok(CustomerBilling {
        postpaid: billed.is_some(),
        since: billed.map(|billed| billed.since.to_string()),
        billed_to: billed.map(|billed| billed.to.to_string()),
        next_invoice: billed.map(|billed| house.billing.next(billed.to).to_string()),
        served_until: known.paid_until,
    })
}

/// How somebody pays.
#[derive(Deserialize, ToSchema)]
pub struct BillingRequest {
    /// Whether he is billed once a month afterwards; else he pays ahead.
    #[serde(default, deserialize_with = "blank::option")]
    postpaid: Option<bool>,
}

/// `PUT /api/customers/{customer}/billing`: has a customer billed once a month afterwards, from the day on that he has
/// not paid for, or not any more: then the days up to today are billed at once, and he pays ahead from tomorrow on.
/// Repeating it changes nothing. What is in his wallet pays his invoices.
///
/// Errors: 400; 404; 409 `FOLLOWS_PARENT` for a child account, `NO_PACKAGE` for who has none to be billed.
#[utoipa::path(put, path = "/api/customers/{customer}/billing", tag = "Invoices",
    params(("customer" = CustomerId, Path)), request_body = BillingRequest,
    responses((status = 200, body = CustomerBilling)))]
pub async fn set_customer(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
    Json(request): Json<BillingRequest>,
) -> Result<Json<CustomerBilling>, ApiError> {
    let now = clock.now();
    let mut wrong = Wrong::default();
    if request.postpaid.is_none() {
        wrong.add("postpaid", "is required: true or false");
    }
    let wanted = wrong
        .none_or(request.postpaid.unwrap_or(false))
        .map_err(ApiError::fields)?;
    let mut tx = db.begin(operator.tenant).await?;
    let billed = store::lock(&mut tx, customer).await?;
    let known = store::customer(&mut tx, customer).await?;
    let known = known.ok_or(ApiError::NotFound("customer"))?;
    let before = billed.filter(|billed| billed.until.is_none());
    if before.is_some() == wanted {
        return Ok(Json(show(&mut tx, customer).await?));
    }
    match before {
        None => {
            if known.child {
                return Err(ApiError::conflict(
                    "FOLLOWS_PARENT",
                    "A child account is billed with its parent; change the parent",
                ));
            }
            if !known.has_package {
                return Err(ApiError::conflict(
                    "NO_PACKAGE",
                    "He has no package to be billed for; give him one first",
                ));
            }
            begin(&mut tx, customer, known.paid_until, now).await?;
        }
        Some(billed) => end(&mut tx, customer, billed, now).await?,
    }
    tx.changed(Kind::Subscriber, customer);
    let line = Audit {
        details: match wanted {
            true => "billed once a month".to_owned(),
            false => "pays ahead".to_owned(),
        },
        ..Audit::new(Action::CustomerBilling, "customer", customer, &known.name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    let answer = show(&mut tx, customer).await?;
    tx.commit().await?;
    Ok(Json(answer))
}

/// What came of having somebody billed once a month.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begun {
    /// He is from now on.
    Now,
    /// He was already.
    Before,
    /// A child account is billed with its parent.
    FollowsParent,
    /// He has no package to be billed for.
    NoPackage,
    /// There is no such customer.
    Nobody,
}

/// Has a customer billed once a month afterwards, on the tenant's day.
pub async fn begin_for(tx: &mut Tx, customer: CustomerId, now: Timestamp) -> sqlx::Result<Begun> {
    let billed = store::lock(tx, customer).await?;
    let Some(known) = store::customer(tx, customer).await? else {
        return Ok(Begun::Nobody);
    };
    if billed.is_some_and(|billed| billed.until.is_none()) {
        return Ok(Begun::Before);
    }
    if known.child {
        return Ok(Begun::FollowsParent);
    }
    if !known.has_package {
        return Ok(Begun::NoPackage);
    }
    begin(tx, customer, known.paid_until, now).await?;
    tx.changed(Kind::Subscriber, customer);
    Ok(Begun::Now)
}

async fn begin(
    tx: &mut Tx,
    customer: CustomerId,
    paid_until: Timestamp,
    now: Timestamp,
) -> sqlx::Result<()> {
    let house = store::house(tx).await?;
    let zone =
        TimeZone::get(&house.time_zone).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let since = unpaid_from(paid_until, now, &zone);
    store::begin(tx, customer, since).await?;
    customers::set_postpaid(tx, customer, true, now).await?;
    store::note_plans(tx, Some(customer), Prices::New, since).await?;
    serve(tx, &house, customer, (since, None), None, &zone, now).await?;
    due::at(tx, customers::COLLECT, customer, now).await?;
    let tenant = tx.tenant();
    due::at(tx, BILL, tenant, now).await?;
    Ok(())
}

/// The first day that he has not paid for: one of which he has paid a part that is ahead is not billed again.
fn unpaid_from(paid_until: Timestamp, now: Timestamp, zone: &TimeZone) -> Date {
    let today = now.in_zone(zone).date();
    let ends = paid_until.in_zone(zone);
    let begun = ends.time() != Time::midnight();
    let day = match begun && now < paid_until {
        true => ends.date().saturating_add(1.day()),
        false => ends.date(),
    };
    day.max(today)
}

async fn end(
    tx: &mut Tx,
    customer: CustomerId,
    billed: Billed,
    now: Timestamp,
) -> Result<(), ApiError> {
    let house = store::house(tx).await?;
    let zone = TimeZone::get(&house.time_zone).map_err(ApiError::internal)?;
    let today = now.in_zone(&zone).date();
    let until = today.saturating_add(1.day()).max(billed.since);
    store::end(tx, customer, until).await?;
    let boundary = house.billing.last(today);
    // Months that the job has not come to yet, and the days of this one.
    while bill_one(tx, &house, customer, boundary, &zone, now)
        .await
        .map_err(ApiError::internal)?
    {}
    customers::set_postpaid(tx, customer, false, now).await?;
    customers::serve_billed(tx, customer, midnight(until, &zone), None, now).await?;
    due::at(tx, customers::RECKON, customer, now).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// In Nairobi it is midnight at 21:00.
    #[test]
    fn a_day_that_is_paid_in_part_is_not_billed_again() {
        let zone = TimeZone::get("Africa/Nairobi").unwrap();
        let from = |paid_until: &str| {
            let at = |text: &str| Timestamp::parse(text).unwrap();
            unpaid_from(at(paid_until), at("2027-01-08T09:00:00Z"), &zone).to_string()
        };
        assert_eq!(from("2027-01-10T20:00:00Z"), "2027-01-11");
        assert_eq!(
            from("2027-01-10T21:00:00Z"),
            "2027-01-11",
            "paid up to its midnight"
        );
        assert_eq!(from("2027-01-08T15:00:00Z"), "2027-01-09", "today");
        assert_eq!(from("2027-01-08T08:00:00Z"), "2027-01-08", "it is over");
        assert_eq!(from("2026-12-01T08:00:00Z"), "2027-01-08");
    }
}
