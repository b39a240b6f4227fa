//! SQL on expenses, those that come every month too.

use easyisp_shared::id::{EntryId, ExpenseId, OperatorId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::civil::Date;
use sqlx::FromRow;

use crate::api::{Order, Page, Sort, Sortable};
use crate::db::Tx;
use crate::renewals::Method;

/// An expense.
#[derive(Clone, Debug)]
pub struct Expense {
    pub id: ExpenseId,
    pub about: About,
    pub occurred_at: Timestamp,
    /// The series it belongs to, and which month's it is.
    pub of: Option<(ExpenseId, Date)>,
    pub entry: EntryId,
    /// `None` = it is booked by itself.
    pub operator: Option<OperatorId>,
}

/// What it is for: the same every month.
#[derive(FromRow, Clone, Debug)]
pub struct About {
    pub description: String,
    pub category: String,
    pub vendor: String,
    pub amount: Cents,
    pub method: Method,
    pub notes: String,
    pub account: String,
}

/// Writes it down. A month of a series that was booked before violates `expense_of_month`.
pub async fn insert(tx: &mut Tx, expense: &Expense, now: Timestamp) -> sqlx::Result<()> {
    let about = &expense.about;
    sqlx::query(
        "insert into expenses (tenant_id, id, description, category, vendor, amount, method, notes, account,
                               occurred_at, recurring_id, due_on, entry_id, operator_id, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::date, $13, $14, $15)",
    )
    .bind(tx.tenant())
    .bind(expense.id)
    .bind(&about.description)
    .bind(&about.category)
    .bind(&about.vendor)
    .bind(about.amount)
    .bind(about.method)
    .bind(&about.notes)
    .bind(&about.account)
    .bind(expense.occurred_at)
    .bind(expense.of.map(|(series, _)| series))
    .bind(expense.of.map(|(_, day)| day.to_string()))
    .bind(expense.entry)
    .bind(expense.operator)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Begins a series: its next expense is due on `next_on`.
pub async fn insert_series(
    tx: &mut Tx,
    series: ExpenseId,
    about: &About,
    (anchor_day, next_on): (i8, Date),
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into recurring_expenses (tenant_id, id, description, category, vendor, amount, method, notes,
                                         account, anchor_day, next_on, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::date, $12)",
    )
    .bind(tx.tenant())
    .bind(series)
    .bind(&about.description)
    .bind(&about.category)
    .bind(&about.vendor)
    .bind(about.amount)
    .bind(about.method)
    .bind(&about.notes)
    .bind(&about.account)
    .bind(i16::from(anchor_day))
    .bind(next_on.to_string())
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

#[derive(FromRow)]
struct SeriesRow {
    #[sqlx(flatten)]
    about: About,
    anchor_day: i16,
    next_on: String,
}

/// A series that goes on.
#[derive(Clone, Debug)]
pub struct Series {
    pub about: About,
    pub anchor_day: i8,
    pub next_on: Date,
}

/// Reads and locks a series. `None` when it ended or never was.
pub async fn lock_series(tx: &mut Tx, id: ExpenseId) -> sqlx::Result<Option<Series>> {
    let row: Option<SeriesRow> = sqlx::query_as(
        "select description, category, vendor, amount, method, notes, account, anchor_day,
                next_on::text as next_on
           from recurring_expenses
          where tenant_id = $1 and id = $2 and ended_at is null
            for update",
    )
    .bind(tx.tenant())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await?;
    row.map(|row| {
        let next_on = row
            .next_on
            .parse()
            .map_err(|error: jiff::Error| sqlx::Error::Decode(error.into()))?;
        Ok(Series {
            about: row.about,
            anchor_day: i8::try_from(row.anchor_day).unwrap_or(1),
            next_on,
        })
    })
    .transpose()
}

/// Writes which day of a series is next.
pub async fn go_on(tx: &mut Tx, series: ExpenseId, next_on: Date) -> sqlx::Result<()> {
    sqlx::query(
        "update recurring_expenses set next_on = $3::date where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(series)
    .bind(next_on.to_string())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends a series; `false` when it had ended.
pub async fn end_series(tx: &mut Tx, series: ExpenseId, now: Timestamp) -> sqlx::Result<bool> {
    let ended = sqlx::query(
        "update recurring_expenses
            set ended_at = $3
          where tenant_id = $1 and id = $2 and ended_at is null",
    )
    .bind(tx.tenant())
    .bind(series)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(ended.rows_affected() > 0)
}

/// What is needed to take it back.
#[derive(FromRow, Clone, Debug)]
pub struct Booked {
    #[sqlx(flatten)]
    pub about: About,
    pub recurring_id: Option<ExpenseId>,
    pub reversal_id: Option<EntryId>,
}

/// Reads and locks it.
pub async fn lock(tx: &mut Tx, id: ExpenseId) -> sqlx::Result<Option<Booked>> {
    sqlx::query_as(
        "select description, category, vendor, amount, method, notes, account, recurring_id, reversal_id
           from expenses
          where tenant_id = $1 and id = $2
            for update",
    )
    .bind(tx.tenant())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await
}

/// Writes by which entry it was taken back.
pub async fn void(tx: &mut Tx, id: ExpenseId, reversal: EntryId) -> sqlx::Result<()> {
    sqlx::query("update expenses set reversal_id = $3 where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(id)
        .bind(reversal)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Which expenses to list; what was taken back is on no list.
#[derive(Clone, Default, Debug)]
pub struct Filter {
    pub id: Option<ExpenseId>,
    pub search: Option<String>,
    pub category: Option<String>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

/// A line of the list.
#[derive(FromRow, Clone, Debug)]
pub struct Line {
    pub id: ExpenseId,
    #[sqlx(flatten)]
    pub about: About,
    pub date: Timestamp,
    pub booked_at: Timestamp,
    pub is_recurring: bool,
    pub next_on: Option<String>,
}

/// What expenses are sorted by.
#[derive(Clone, Copy, Debug)]
pub struct By;

impl Sortable for By {
    const ALL: &'static [(&'static str, &'static [&'static str])] = &[
        ("date", &["date", "id"]),
        ("amount", &["amount", "id"]),
        ("category", &["category", "date", "id"]),
    ];
    const USUAL: Order = Order::Desc;
}

/// A page of expenses, newest first unless asked otherwise.
pub async fn page(
    tx: &mut Tx,
    filter: &Filter,
    sort: Sort<By>,
    page: Page,
) -> sqlx::Result<Vec<Line>> {
    sqlx::query_as(sort.text(
        "select x.id, x.description, x.category, x.vendor, x.amount, x.method, x.notes, x.account,
                x.occurred_at as date, e.occurred_at as booked_at,
                x.recurring_id is not null as is_recurring, r.next_on::text as next_on
           from expenses x
           join entries e on e.tenant_id = $1 and e.id = x.entry_id
           left join recurring_expenses r
             on r.tenant_id = $1 and r.id = x.recurring_id and r.ended_at is null
          where x.tenant_id = $1 and x.reversal_id is null and ($2::uuid is null or x.id = $2)
            and ($3::text is null or x.description ilike $3 or x.vendor ilike $3 or x.category ilike $3)
            and ($4::text is null or lower(x.category) = lower($4))
            and ($5::timestamptz is null or x.occurred_at >= $5)
            and ($6::timestamptz is null or x.occurred_at < $6)
          order by {order}
          limit $7 offset $8",
    ))
    .bind(tx.tenant())
    .bind(filter.id)
    .bind(filter.search.as_deref().map(crate::db::like))
    .bind(&filter.category)
    .bind(filter.from)
    .bind(filter.to)
    .bind(page.limit())
    .bind(page.offset())
    .fetch_all(&mut **tx)
    .await
}

/// How many expenses of one category there are, and their sum.
#[derive(FromRow, Clone, Debug)]
pub struct Sum {
    pub category: String,
    pub n: i64,
    pub amount: Cents,
}

/// The sums over all pages, by category, the dearest first.
pub async fn sums(tx: &mut Tx, filter: &Filter) -> sqlx::Result<Vec<Sum>> {
    sqlx::query_as(
        "select category, count(*) as n, sum(amount)::bigint as amount
           from expenses
          where tenant_id = $1 and reversal_id is null
            and ($2::text is null or description ilike $2 or vendor ilike $2 or category ilike $2)
            and ($3::text is null or lower(category) = lower($3))
            and ($4::timestamptz is null or occurred_at >= $4)
            and ($5::timestamptz is null or occurred_at < $5)
          group by category
          order by 3 desc, 1",
    )
    .bind(tx.tenant())
    .bind(filter.search.as_deref().map(crate::db::like))
    .bind(&filter.category)
    .bind(filter.from)
    .bind(filter.to)
    .fetch_all(&mut **tx)
    .await
}
