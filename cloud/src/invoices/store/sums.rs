//! What the list of invoices comes to.

use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use super::Filter;
use crate::customers::beginning_of_phone;
use crate::db::Tx;
use crate::invoices::words::Status;
use crate::ledger::{self, Tallied};

/// How many there are and what they come to; what was taken back is in `n` alone.
#[derive(FromRow, Clone, Copy, Default, Debug)]
pub struct Sums {
    pub n: i64,
    pub total: Cents,
    pub paid: Cents,
    pub pending: Cents,
    pub overdue: Cents,
}

/// The sums over all pages: the kept ones, and of what is overdue the rows that are open; from all rows where something
/// is searched for.
pub async fn sums(tx: &mut Tx, filter: &Filter, now: Timestamp) -> sqlx::Result<Sums> {
    if filter.search.is_some() {
        return sums_of_rows(tx, filter, now).await;
    }
    let late = match filter.receipts {
        Some(true) => (0, Cents::ZERO), // a receipt was paid when it was issued
        Some(false) | None => overdue(tx, now).await?,
    };
    let paper = filter.receipts.map(|receipts| match receipts {
        true => "RECEIPT",
        false => "INVOICE",
    });
    let mut sums = Sums::default();
    let wanted = |status| filter.status.is_none_or(|wanted| wanted == status);
    if wanted(Status::Overdue) {
        sums.n += late.0;
        sums.overdue = late.1;
    }
    let tallies = ledger::tallied(tx, &[Tallied::Billed], (None, None)).await?;
    for tally in tallies {
        if paper.is_some_and(|paper| paper != tally.method) {
            continue;
        }
        match tally.status.as_str() {
            "PAID" if wanted(Status::Paid) => {
                sums.n += tally.n;
                sums.paid = plus(sums.paid, tally.amount)?;
            }
            "PENDING" if wanted(Status::Pending) => {
                sums.n += tally.n - late.0;
                sums.pending = minus(tally.amount, late.1)?;
            }
            "CANCELLED" if wanted(Status::Cancelled) => sums.n += tally.n,
            _ => {} // another one than is asked for
        }
    }
    sums.total = plus(plus(sums.paid, sums.pending)?, sums.overdue)?;
    Ok(sums)
}

/// How many invoices are overdue, and what they come to.
async fn overdue(tx: &mut Tx, now: Timestamp) -> sqlx::Result<(i64, Cents)> {
    sqlx::query_as(
        "select count(*), coalesce(sum(amount - credited), 0)::bigint
           from invoices
          where tenant_id = $1 and status = 'PENDING' and overdue_from <= $2",
    )
    .bind(tx.tenant())
    .bind(now)
    .fetch_one(&mut **tx)
    .await
}

fn plus(one: Cents, other: Cents) -> sqlx::Result<Cents> {
    one.plus(other).ok_or_else(too_much)
}

fn minus(one: Cents, other: Cents) -> sqlx::Result<Cents> {
    one.minus(other).ok_or_else(too_much)
}

fn too_much() -> sqlx::Error {
    sqlx::Error::Decode("a sum does not fit".into())
}

async fn sums_of_rows(tx: &mut Tx, filter: &Filter, now: Timestamp) -> sqlx::Result<Sums> {
    let search = crate::db::sought(filter.search.as_deref());
    sqlx::query_as(
        "with line as (
             select i.amount - i.credited as amount,
                    case when i.status = 'PENDING' and i.overdue_from <= $4 then 'OVERDUE' else i.status end as status
               from invoices i
              where i.tenant_id = $1
                and ($2::text is null or i.id = any((select found_invoices($1, $2, $6))::uuid[]))
                and ($5::boolean is null or $5 = (i.period_id is not null)))
         select count(*) as n,
                coalesce(sum(amount) filter (where status <> 'CANCELLED'), 0)::bigint as total,
                coalesce(sum(amount) filter (where status = 'PAID'), 0)::bigint as paid,
                coalesce(sum(amount) filter (where status = 'PENDING'), 0)::bigint as pending,
                coalesce(sum(amount) filter (where status = 'OVERDUE'), 0)::bigint as overdue
           from line
          where $3::text is null or status = $3",
    )
    .bind(tx.tenant())
    .bind(&search)
    .bind(filter.status)
    .bind(now)
    .bind(filter.receipts)
    .bind(search.as_deref().and_then(beginning_of_phone))
    .fetch_one(&mut **tx)
    .await
}
