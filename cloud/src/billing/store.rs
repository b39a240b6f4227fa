//! SQL on who is billed afterwards, and what he had.

use easyisp_shared::id::CustomerId;
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::civil::Date;
use sqlx::FromRow;
use sqlx::types::Json;

use super::rules::{Billing, Length, Plan};
use crate::db::Tx;

/// How the tenant bills, and what it calls itself.
#[derive(Clone, Debug)]
pub struct House {
    pub billing: Billing,
    pub business_name: String,
    pub currency: String,
    pub time_zone: String,
}

/// Reads it.
pub async fn house(tx: &mut Tx) -> sqlx::Result<House> {
    let (Json(billing), business_name, currency, time_zone): (Json<Billing>, _, _, _) =
        sqlx::query_as(
            "select billing, business_name, currency, time_zone from tenants where tenant_id = $1",
        )
        .bind(tx.tenant())
        .fetch_one(&mut **tx)
        .await?;
    Ok(House {
        billing,
        business_name,
        currency,
        time_zone,
    })
}

/// Writes how the tenant bills.
pub async fn set(tx: &mut Tx, billing: &Billing, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("update tenants set billing = $2, updated_at = $3 where tenant_id = $1")
        .bind(tx.tenant())
        .bind(Json(billing))
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Somebody who is or was billed, in the tenant's days.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Billed {
    /// The first day that is billed.
    pub since: Date,
    /// The first one that is not any more.
    pub until: Option<Date>,
    /// The first one that was not billed yet.
    pub to: Date,
}

#[derive(FromRow)]
struct BilledRow {
    since: String,
    until: Option<String>,
    billed_to: String,
}

fn day(text: &str) -> sqlx::Result<Date> {
    text.parse()
        .map_err(|error: jiff::Error| sqlx::Error::Decode(error.into()))
}

impl BilledRow {
    fn billed(&self) -> sqlx::Result<Billed> {
        Ok(Billed {
            since: day(&self.since)?,
            until: self.until.as_deref().map(day).transpose()?,
            to: day(&self.billed_to)?,
        })
    }
}

/// Reads him.
pub async fn find(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Option<Billed>> {
    let row: Option<BilledRow> = sqlx::query_as(
        "select since::text, until::text, billed_to::text from billed_customers
          where tenant_id = $1 and customer_id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await?;
    row.map(|row| row.billed()).transpose()
}

/// Reads and locks him: before his invoices and his wallet, like every intent.
pub async fn lock(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Option<Billed>> {
    let row: Option<BilledRow> = sqlx::query_as(
        "select since::text, until::text, billed_to::text from billed_customers
          where tenant_id = $1 and customer_id = $2
            for update",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await?;
    row.map(|row| row.billed()).transpose()
}

/// Begins to bill him, for the first time or again: no day twice.
pub async fn begin(tx: &mut Tx, customer: CustomerId, since: Date) -> sqlx::Result<()> {
    sqlx::query(
        "insert into billed_customers (tenant_id, customer_id, since, billed_to)
         values ($1, $2, $3::date, $3::date)
             on conflict (tenant_id, customer_id) do update
                set since = greatest(excluded.since, billed_customers.billed_to), until = null,
                    billed_to = greatest(excluded.billed_to, billed_customers.billed_to)",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(since.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends it with the day before `until`.
pub async fn end(tx: &mut Tx, customer: CustomerId, until: Date) -> sqlx::Result<()> {
    sqlx::query(
        "update billed_customers set until = greatest($3::date, since)
          where tenant_id = $1 and customer_id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(until.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that the days before `to` were billed.
pub async fn billed_to(tx: &mut Tx, customer: CustomerId, to: Date) -> sqlx::Result<()> {
    sqlx::query(
        "update billed_customers set billed_to = $3::date where tenant_id = $1 and customer_id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(to.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Some who have days before `boundary` that were not billed, other than these.
pub async fn due(
    tx: &mut Tx,
    boundary: Date,
    but: &[CustomerId],
    most: i64,
) -> sqlx::Result<Vec<CustomerId>> {
    sqlx::query_scalar(
        "select customer_id from billed_customers
          where tenant_id = $1 and (billed_to < $2::date and until is null or billed_to < until)
            and customer_id <> all($4)
          order by customer_id
          limit $3",
    )
    .bind(tx.tenant())
    .bind(boundary.to_string())
    .bind(most)
    .bind(but)
    .fetch_all(&mut **tx)
    .await
}

/// Whether anybody is or was billed.
pub async fn any(tx: &mut Tx) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from billed_customers where tenant_id = $1)")
        .bind(tx.tenant())
        .fetch_one(&mut **tx)
        .await
}

/// Notes what those have today who are billed and have something else than was noted last: one of them, or all.
/// With `Prices::New` another price of the same package is something else too.
pub async fn note_plans(
    tx: &mut Tx,
    one: Option<CustomerId>,
    prices: Prices,
    today: Date,
) -> sqlx::Result<()> {
    sqlx::query(
        "with has as (
             select b.customer_id, greatest($3::date, b.since) as from_day,
                    case when c.paused_at is null and c.deleted_at is null then p.id end as package_id,
                    coalesce(p.name, 'Internet') as name,
                    case when c.paused_at is null and c.deleted_at is null and p.id is not null
                         then p.price else 0 end as price,
                    coalesce(p.period_count, 1) as period_count,
                    coalesce(p.period_unit, 'MONTHS') as period_unit
               from billed_customers b
               join customers c on c.tenant_id = $1 and c.id = b.customer_id
               left join packages p on p.tenant_id = $1 and p.id = c.package_id
              where b.tenant_id = $1 and (b.until is null or b.until > $3::date)
                and ($2::uuid is null or b.customer_id = $2))
         insert into billed_plans as l (tenant_id, customer_id, from_day, package_id, name, price, period_count,
                                        period_unit)
         select $1, h.*
           from has h
           left join lateral (
                select package_id, price from billed_plans b
                 where b.tenant_id = $1 and b.customer_id = h.customer_id and b.from_day <= h.from_day
                 order by b.from_day desc
                 limit 1) n on true
          where n.price is null or n.package_id is distinct from h.package_id or $4 and n.price <> h.price
          order by h.customer_id
             on conflict (tenant_id, customer_id, from_day) do update
                set package_id = excluded.package_id, name = excluded.name, price = excluded.price,
                    period_count = excluded.period_count, period_unit = excluded.period_unit",
    )
    .bind(tx.tenant())
    .bind(one)
    .bind(today.to_string())
    .bind(prices == Prices::New)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whether another price of the same package counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prices {
    /// From today on.
    New,
    /// Not before the next month.
    Old,
}

#[derive(FromRow)]
struct PlanRow {
    from_day: String,
    name: String,
    price: Cents,
    period_count: i32,
    period_unit: String,
}

/// What somebody had from when on, up to `to`.
pub async fn plans(tx: &mut Tx, customer: CustomerId, to: Date) -> sqlx::Result<Vec<Plan>> {
    let rows: Vec<PlanRow> = sqlx::query_as(
        "select from_day::text, name, price, period_count, period_unit
           from billed_plans
          where tenant_id = $1 and customer_id = $2 and from_day < $3::date
          order by from_day",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(to.to_string())
    .fetch_all(&mut **tx)
    .await?;
    let plan = |row: PlanRow| {
        let count = i64::from(row.period_count);
        let secs = |each: i64| Length::Secs(count.saturating_mul(each));
        Ok(Plan {
            from: day(&row.from_day)?,
            name: row.name,
            price: row.price,
            period: match row.period_unit.as_str() {
                "MINUTES" => secs(60),
                "HOURS" => secs(3_600),
                "DAYS" => secs(86_400),
                "WEEKS" => secs(7 * 86_400),
                _ => Length::Months(count), // a checked column: only months are left
            },
        })
    };
    rows.into_iter().map(plan).collect()
}

/// What of a customer decides whether and from when he can be billed.
#[derive(FromRow, Clone, Debug)]
pub struct Known {
    pub name: String,
    pub paid_until: Timestamp,
    pub child: bool,
    pub has_package: bool,
}

/// Reads and locks him. `None` = this tenant has no such customer.
pub async fn customer(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Option<Known>> {
    sqlx::query_as(
        "select name, paid_until, parent_id is not null as child, package_id is not null as has_package
           from customers
          where tenant_id = $1 and id = $2 and deleted_at is null
            for update",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
}

/// An invoice that somebody is told of.
#[derive(FromRow, Clone, Debug)]
pub struct Notice {
    pub number: String,
    pub customer_id: CustomerId,
    /// What is still owed of it.
    pub amount: Cents,
    pub overdue_from: Timestamp,
}

/// The invoices of those who are billed that became overdue, and nobody was told of that.
pub async fn overdue(tx: &mut Tx, now: Timestamp, most: i64) -> sqlx::Result<Vec<Notice>> {
    sqlx::query_as(
        "update invoices i set reminded_at = $2
          where i.tenant_id = $1
            and i.id in (select o.id from invoices o
                           join customers k on k.tenant_id = $1 and k.id = o.customer_id and k.postpaid
                          where o.tenant_id = $1 and o.status = 'PENDING' and o.overdue_from <= $2
                            and o.amount > o.credited
                            and o.reminded_at is null
                          order by o.overdue_from, o.id
                          limit $3)
         returning i.number, i.customer_id, i.amount - i.credited as amount, i.overdue_from",
    )
    .bind(tx.tenant())
    .bind(now)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// Where somebody is told of an invoice that was just issued.
pub async fn phone(
    tx: &mut Tx,
    customer: CustomerId,
) -> sqlx::Result<Option<(Option<String>, i32)>> {
    sqlx::query_as(
        "select phone_number, account_number from customers where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
}
