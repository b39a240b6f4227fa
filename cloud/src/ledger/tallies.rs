//! Sums by day of what lists and reports show over years. The database notes each change as a difference, in the
//! transaction that makes it; the sealer adds differences up, and who reads takes both.

use easyisp_shared::id::PackageId;
use easyisp_shared::money::Cents;
use jiff::civil::Date;
use sqlx::FromRow;

use crate::db::Tx;

/// What is summed. Only what counts for a sum is told apart in it: see the table's own words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tallied {
    /// Payments, when the money moved, by method, status and who wrote them down.
    Payments,
    /// Income that was typed by hand, when the money moved, by method and status.
    Incomes,
    /// Invoices paid without a wallet, when they were, by method and who took the money.
    Settled,
    /// Invoices and receipts of sales, when they were issued, by `INVOICE` or `RECEIPT` and status.
    Billed,
    /// Prompts, when they were begun: `paid`, `pending` or `failed`.
    Intents,
}

impl Tallied {
    fn as_str(self) -> &'static str {
        match self {
            Tallied::Payments => "PAYMENT",
            Tallied::Incomes => "INCOME",
            Tallied::Settled => "SETTLED",
            Tallied::Billed => "BILLED",
            Tallied::Intents => "INTENT",
        }
    }
}

/// How many of a kind there are, and how much.
#[derive(FromRow, Clone, PartialEq, Eq, Debug)]
pub struct Tally {
    /// How the money came, or which kind of paper it is.
    pub method: String,
    /// What became of it.
    pub status: String,
    /// How many.
    pub n: i64,
    /// How much, less what was sent or given back.
    pub amount: Cents,
}

/// The sums of some of these from one of the tenant's days on and before another; from the first and to the last where
/// there is none.
pub async fn tallied(
    tx: &mut Tx,
    what: &[Tallied],
    (from, before): (Option<Date>, Option<Date>),
) -> sqlx::Result<Vec<Tally>> {
    let what: Vec<&str> = what.iter().map(|what| what.as_str()).collect();
    sqlx::query_as(
        "select method, status, sum(n)::bigint as n, sum(amount)::bigint as amount
           from (select method, status, n, amount from tallies
                  where tenant_id = $1 and what = any($2)
                    and day >= coalesce($3::date, '-infinity') and day < coalesce($4::date, 'infinity')
                 union all
                 select method, status, n, amount from untallied
                  where tenant_id = $1 and what = any($2)
                    and day >= coalesce($3::date, '-infinity') and day < coalesce($4::date, 'infinity')) t
          group by method, status",
    )
    .bind(tx.tenant())
    .bind(what)
    .bind(from.map(|day| day.to_string()))
    .bind(before.map(|day| day.to_string()))
    .fetch_all(&mut **tx)
    .await
}

/// What was sold or billed of a package in all, without taxes and less what was taken back.
pub async fn earned_with(tx: &mut Tx, package: PackageId) -> sqlx::Result<Cents> {
    sqlx::query_scalar(
        "select coalesce(sum(amount), 0)::bigint
           from (select amount from tallies where tenant_id = $1 and what = 'PACKAGE' and subject = $2
                 union all
                 select amount from untallied where tenant_id = $1 and what = 'PACKAGE' and subject = $2) t",
    )
    .bind(tx.tenant())
    .bind(package)
    .fetch_one(&mut **tx)
    .await
}

/// Adds up to `most` differences to the sums, in the caller's transaction; how many there were.
///
/// Of two that meet, the later one finds what the earlier one left.
pub async fn add_up(tx: &mut Tx, most: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "with gone as (
             delete from untallied
              where tenant_id = $1
                and id = any(array(select id from untallied where tenant_id = $1 order by id limit $2))
             returning what, day, method, status, subject, n, amount),
         kept as (
             insert into tallies as t (tenant_id, what, day, method, status, subject, n, amount)
             select $1, what, day, method, status, subject, sum(n), sum(amount)
               from gone
              group by what, day, method, status, subject
              order by what, day, method, status, subject
                 on conflict (tenant_id, what, day, method, status, subject) do update
                    set n = t.n + excluded.n, amount = t.amount + excluded.amount)
         select count(*) from gone",
    )
    .bind(tx.tenant())
    .bind(most)
    .fetch_one(&mut **tx)
    .await
}
