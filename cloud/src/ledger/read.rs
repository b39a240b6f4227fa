//! What the books say: sums of days from the sealer's totals, and the tail that it has still to seal.

use easyisp_shared::id::{CustomerId, EntryId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::civil::Date;
use sqlx::FromRow;
use uuid::Uuid;

use super::AccountCode;
use crate::db::Tx;

/// What moved on one account.
#[derive(FromRow, Clone, PartialEq, Eq, Debug)]
pub struct Total {
    /// The account's code.
    pub account: String,
    /// Its debits.
    pub debits: Cents,
    /// Its credits.
    pub credits: Cents,
}

/// What moved on each account from the tenant's day `from` to the end of `to`; `None` = from the beginning, to
/// the end. An account on which nothing moved is not named.
///
/// One statement, so sealing meanwhile counts nothing twice.
pub async fn totals(tx: &mut Tx, from: Option<Date>, to: Option<Date>) -> sqlx::Result<Vec<Total>> {
    sqlx::query_as(
        "with tail as materialized (
             select t.debit_account, t.credit_account, t.amount,
                    (e.occurred_at at time zone o.time_zone)::date as day
               from unsealed u
               join tenants o on o.tenant_id = $1
               join entries e on e.tenant_id = $1 and e.id = u.subject_id
               join transfers t on t.tenant_id = $1 and t.entry_id = e.id
              where u.tenant_id = $1 and u.kind = 'ENTRY'),
         moved as (
             select account, day, debits, credits from day_totals where tenant_id = $1
             union all select debit_account, day, amount, 0 from tail
             union all select credit_account, day, 0, amount from tail)
         select account, sum(debits)::bigint as debits, sum(credits)::bigint as credits
           from moved
          where ($2::date is null or day >= $2::date) and ($3::date is null or day <= $3::date)
          group by account
          order by account",
    )
    .bind(tx.tenant())
    .bind(from.map(|day| day.to_string()))
    .bind(to.map(|day| day.to_string()))
    .fetch_all(&mut **tx)
    .await
}

/// How a customer stands with us: wallet less what he owes for invoices. Positive = in his favour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// Before the first line.
    pub opening: Cents,
    /// After the last line, also of those on other pages.
    pub closing: Cents,
    /// How many lines there are.
    pub total: i64,
    /// Some of them, the oldest first.
    pub lines: Vec<StatementLine>,
}

/// What one entry did to a customer's account.
#[derive(FromRow, Clone, PartialEq, Eq, Debug)]
pub struct StatementLine {
    /// The entry.
    pub entry: EntryId,
    /// When it was booked.
    pub occurred_at: Timestamp,
    /// What happened.
    pub kind: String,
    /// What justifies it.
    pub source: String,
    /// For people.
    pub description: String,
    /// Positive: in his favour. Zero: paid out of his wallet for what he owed.
    pub amount: Cents,
    /// How he stood after it.
    pub balance: Cents,
}

#[derive(FromRow)]
struct StatementRow {
    opening: Cents,
    closing: Cents,
    total: i64,
    entry: Option<EntryId>,
    occurred_at: Option<Timestamp>,
    kind: Option<String>,
    source: Option<String>,
    description: Option<String>,
    amount: Option<Cents>,
    balance: Option<Cents>,
}

/// A customer's statement from `from` until before `to`, with the lines after the first `offset`, at most `limit`.
/// Of one instant what came in stands first.
pub async fn statement(
    tx: &mut Tx,
    customer: CustomerId,
    stretch: (Timestamp, Timestamp),
    window: (i64, i64),
) -> sqlx::Result<Statement> {
    let accounts = [AccountCode::RECEIVABLES, AccountCode::WALLETS];
    statement_of(tx, &accounts, customer.0, stretch, window).await
}

/// The same of any party of these accounts.
pub async fn statement_of(
    tx: &mut Tx,
    accounts: &[AccountCode],
    party: Uuid,
    (from, to): (Timestamp, Timestamp),
    (limit, offset): (i64, i64),
) -> sqlx::Result<Statement> {
    let accounts: Vec<&str> = accounts.iter().map(AccountCode::as_str).collect();
    let rows: Vec<StatementRow> = sqlx::query_as(
        "with moved as (
             select entry_id, amount from transfers
              where tenant_id = $1 and credit_account = any($7) and credit_party = $2
             union all
             select entry_id, -amount from transfers
              where tenant_id = $1 and debit_account = any($7) and debit_party = $2),
         entry as (
             select entry_id, sum(amount)::bigint as amount from moved group by entry_id),
         line as materialized (
             select e.id, e.occurred_at, e.kind, e.source, e.description, m.amount,
                    sum(m.amount) over (order by e.occurred_at, m.amount < 0, e.id)::bigint as balance
               from entry m
               join entries e on e.tenant_id = $1 and e.id = m.entry_id
              where e.occurred_at < $4),
         sums as (
             select coalesce(sum(amount) filter (where occurred_at < $3), 0)::bigint as opening,
                    coalesce(sum(amount), 0)::bigint as closing,
                    count(*) filter (where occurred_at >= $3) as total
               from line)
         select s.opening, s.closing, s.total, l.id as entry, l.occurred_at, l.kind, l.source,
                l.description, l.amount, l.balance
           from sums s
           left join (select * from line where occurred_at >= $3
                       order by occurred_at, amount < 0, id limit $5 offset $6) l on true
          order by l.occurred_at, l.amount < 0, l.id",
    )
    .bind(tx.tenant())
    .bind(party)
    .bind(from)
    .bind(to)
    .bind(limit)
    .bind(offset)
    .bind(accounts)
    .fetch_all(&mut **tx)
    .await?;
    let (opening, closing, total) = rows.first().map_or((Cents::ZERO, Cents::ZERO, 0), |row| {
        (row.opening, row.closing, row.total)
    });
    let lines = rows.into_iter().filter_map(line).collect();
    Ok(Statement {
        opening,
        closing,
        total,
        lines,
    })
}

fn line(row: StatementRow) -> Option<StatementLine> {
    Some(StatementLine {
        entry: row.entry?,
        occurred_at: row.occurred_at?,
        kind: row.kind?,
        source: row.source?,
        description: row.description?,
        amount: row.amount?,
        balance: row.balance?,
    })
}
