//! SQL on income: what was typed by hand, and the list of it and of what customers paid.

use easyisp_shared::id::{EntryId, IncomeId, OperatorId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::tz::TimeZone;
use sqlx::FromRow;
use uuid::Uuid;

use crate::api::{Order, Page, Sort, Sortable};
use crate::customers::beginning_of_phone;
use crate::db::Tx;
use crate::finance::rules::WholeDays;
use crate::ledger::{self, Tallied, Tally};
use crate::renewals::Method;

/// Income that was typed by hand.
#[derive(Clone, Debug)]
pub struct Income {
    pub id: IncomeId,
    pub customer_name: String,
    pub description: String,
    pub amount: Cents,
    pub method: Method,
    pub reference: Option<String>,
    pub account: String,
    pub occurred_at: Timestamp,
    pub entry: EntryId,
    pub operator: OperatorId,
}

/// Writes it down.
pub async fn insert(tx: &mut Tx, income: &Income, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "insert into incomes (tenant_id, id, customer_name, description, amount, method, reference, account,
                              occurred_at, entry_id, operator_id, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(tx.tenant())
    .bind(income.id)
    .bind(&income.customer_name)
    .bind(&income.description)
    .bind(income.amount)
    .bind(income.method)
    .bind(&income.reference)
    .bind(&income.account)
    .bind(income.occurred_at)
    .bind(income.entry)
    .bind(income.operator)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What is needed to take it back.
#[derive(FromRow, Clone, Debug)]
pub struct Booked {
    pub amount: Cents,
    pub method: Method,
    pub account: String,
    pub reversal_id: Option<EntryId>,
}

/// Reads and locks it.
pub async fn lock(tx: &mut Tx, id: IncomeId) -> sqlx::Result<Option<Booked>> {
    sqlx::query_as(
        "select amount, method, account, reversal_id
           from incomes
          where tenant_id = $1 and id = $2
            for update",
    )
    .bind(tx.tenant())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await
}

/// Writes by which entry it was taken back.
pub async fn void(tx: &mut Tx, id: IncomeId, reversal: EntryId) -> sqlx::Result<()> {
    sqlx::query("update incomes set reversal_id = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(id)
        .bind(reversal)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Which income to list.
#[derive(Clone, Default, Debug)]
pub struct Filter {
    pub id: Option<Uuid>,
    pub search: Option<String>,
    pub method: Option<Method>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

/// A line of the list.
#[derive(FromRow, Clone, Debug)]
pub struct Line {
    pub id: Uuid,
    pub date: Timestamp,
    pub booked_at: Timestamp,
    pub customer: String,
    pub description: String,
    pub amount: Cents,
    pub method: Method,
    pub reference: String,
    pub status: String,
}

/// Sums over what the filter leaves; money that was taken back, or sent back in part, is no income.
#[derive(FromRow, Clone, Copy, Default, Debug)]
pub struct Sums {
    pub total: i64,
    pub income: Cents,
    pub mpesa: Cents,
    pub cash: Cents,
    pub standing: i64,
}

/// What income is sorted by.
#[derive(Clone, Copy, Debug)]
pub struct By;

impl Sortable for By {
    const ALL: &'static [(&'static str, &'static [&'static str])] =
        &[("date", &["date", "id"]), ("amount", &["amount", "id"])];
    const USUAL: Order = Order::Desc;
}

/// A page of income, newest first unless asked otherwise: each source gives its own first, in the order of an
/// index.
pub async fn page(
    tx: &mut Tx,
    filter: &Filter,
    sort: Sort<By>,
    page: Page,
) -> sqlx::Result<Vec<Line>> {
    let search = crate::db::sought(filter.search.as_deref());
    sqlx::query_as(sort.text(
        "with paid as (
             select p.id, p.paid_at as date, p.entry_id, coalesce(c.name, 'Unallocated') as customer,
                    p.description, p.amount, p.method, coalesce(p.receipt, p.account, '') as reference,
                    p.status
               from payments p
               left join customers c on c.tenant_id = $1 and c.id = p.customer_id
              where p.tenant_id = $1 and ($2::uuid is null or p.id = $2)
                and ($3::text is null or p.id = any((select found_payments($1, $3, $9))::uuid[]))
                and ($4::text is null or p.method = $4)
                and ($5::timestamptz is null or p.paid_at >= $5)
                and ($6::timestamptz is null or p.paid_at < $6)
              order by {order}
              limit $7 + $8),
         typed as (
             select id, occurred_at as date, entry_id, customer_name as customer, description, amount, method,
                    coalesce(reference, '') as reference,
                    case when reversal_id is null then 'completed' else 'voided' end as status
               from incomes
              where tenant_id = $1 and ($2::uuid is null or id = $2)
                and ($3::text is null or id = any((select found_incomes($1, $3))::uuid[]))
                and ($4::text is null or method = $4)
                and ($5::timestamptz is null or occurred_at >= $5)
                and ($6::timestamptz is null or occurred_at < $6)
              order by {order}
              limit $7 + $8),
         billed as (
             select i.id, i.paid_at as date, i.settlement_id as entry_id, c.name as customer,
                    'Invoice ' || i.number as description, i.amount - i.credited as amount,
                    i.paid_by as method,
                    coalesce(i.reference, '') as reference, 'completed' as status
               from invoices i
               join customers c on c.tenant_id = $1 and c.id = i.customer_id
              where i.tenant_id = $1 and i.status = 'PAID' and i.paid_by <> 'WALLET' and i.period_id is null
                and ($2::uuid is null or i.id = $2)
                and ($3::text is null or i.id = any((select found_invoices($1, $3, $9))::uuid[]))
                and ($4::text is null or i.paid_by = $4)
                and ($5::timestamptz is null or i.paid_at >= $5)
                and ($6::timestamptz is null or i.paid_at < $6)
              order by {order}
              limit $7 + $8),
         line as (
             select * from (select * from paid union all select * from typed
                            union all select * from billed) every_source
              order by {order}
              limit $7 offset $8)
         select l.id, l.date, e.occurred_at as booked_at, l.customer, l.description, l.amount, l.method,
                l.reference, l.status
           from line l
           join entries e on e.tenant_id = $1 and e.id = l.entry_id
          order by {order}",
    ))
    .bind(tx.tenant())
    .bind(filter.id)
    .bind(&search)
    .bind(filter.method)
    .bind(filter.from)
    .bind(filter.to)
    .bind(page.limit())
    .bind(page.offset())
    .bind(search.as_deref().and_then(beginning_of_phone))
    .fetch_all(&mut **tx)
    .await
}

/// The sums over all pages: of whole days those that are kept, unless something is searched for; the rest from rows.
pub async fn sums(tx: &mut Tx, filter: &Filter, zone: &TimeZone) -> sqlx::Result<Sums> {
    if filter.search.is_some() {
        return sums_of_rows(tx, filter).await;
    }
    let whole = WholeDays::of(filter.from, filter.to, zone);
    let mut sums = Sums::default();
    if let Some(days) = whole.days {
        let what = [Tallied::Payments, Tallied::Incomes, Tallied::Settled];
        for tally in ledger::tallied(tx, &what, days).await? {
            sums.add(&tally, filter.method)?;
        }
    }
    for (from, to) in whole.edges {
        let edge = Filter {
            from: Some(from),
            to: Some(to),
            ..filter.clone()
        };
        let edge = sums_of_rows(tx, &edge).await?;
        sums = Sums {
            total: sums.total + edge.total,
            income: plus(sums.income, edge.income)?,
            mpesa: plus(sums.mpesa, edge.mpesa)?,
            cash: plus(sums.cash, edge.cash)?,
            standing: sums.standing + edge.standing,
        };
    }
    Ok(sums)
}

impl Sums {
    fn add(&mut self, tally: &Tally, method: Option<Method>) -> sqlx::Result<()> {
        if method.is_some_and(|method| method.as_str() != tally.method) {
            return Ok(());
        }
        self.total += tally.n;
        if tally.status != "completed" {
            return Ok(());
        }
        self.standing += tally.n;
        self.income = plus(self.income, tally.amount)?;
        if tally.method == Method::Mpesa.as_str() {
            self.mpesa = plus(self.mpesa, tally.amount)?;
        } else if tally.method == Method::Cash.as_str() {
            self.cash = plus(self.cash, tally.amount)?;
        }
        Ok(())
    }
}

fn plus(one: Cents, other: Cents) -> sqlx::Result<Cents> {
    one.plus(other)
        .ok_or_else(|| sqlx::Error::Decode("a sum does not fit".into()))
}

async fn sums_of_rows(tx: &mut Tx, filter: &Filter) -> sqlx::Result<Sums> {
    let search = crate::db::sought(filter.search.as_deref());
    sqlx::query_as(
        "with line as (
             select p.amount - p.refunded as amount, p.method, p.status = 'completed' as stands
               from payments p
              where p.tenant_id = $1
                and ($2::text is null or p.id = any((select found_payments($1, $2, $6))::uuid[]))
                and ($3::text is null or p.method = $3)
                and ($4::timestamptz is null or p.paid_at >= $4)
                and ($5::timestamptz is null or p.paid_at < $5)
             union all
             select amount, method, reversal_id is null
               from incomes
              where tenant_id = $1
                and ($2::text is null or id = any((select found_incomes($1, $2))::uuid[]))
                and ($3::text is null or method = $3)
                and ($4::timestamptz is null or occurred_at >= $4)
                and ($5::timestamptz is null or occurred_at < $5)
             union all
             select i.amount - i.credited, i.paid_by, true
               from invoices i
              where i.tenant_id = $1 and i.status = 'PAID' and i.paid_by <> 'WALLET' and i.period_id is null
                and ($2::text is null or i.id = any((select found_invoices($1, $2, $6))::uuid[]))
                and ($3::text is null or i.paid_by = $3)
                and ($4::timestamptz is null or i.paid_at >= $4)
                and ($5::timestamptz is null or i.paid_at < $5))
         select count(*) as total,
                coalesce(sum(amount) filter (where stands), 0)::bigint as income,
                coalesce(sum(amount) filter (where stands and method = 'MPESA'), 0)::bigint as mpesa,
                coalesce(sum(amount) filter (where stands and method = 'CASH'), 0)::bigint as cash,
                count(*) filter (where stands) as standing
           from line",
    )
    .bind(tx.tenant())
    .bind(&search)
    .bind(filter.method)
    .bind(filter.from)
    .bind(filter.to)
    .bind(search.as_deref().and_then(beginning_of_phone))
    .fetch_one(&mut **tx)
    .await
}
