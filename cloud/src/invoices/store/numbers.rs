//! SQL on the numbers of invoices and credit notes: one after the other, without a gap.

use jiff::civil::Date;

use crate::db::Tx;
use crate::invoices::rules::Number;

/// The next number of a day's year. Its row stays locked until the transaction ends: whoever issues waits for whoever
/// issues, and a number that was not committed is given again.
///
/// Nothing is numbered in a year behind the first of the next one: who comes too late on the year's last day has the
/// next year's number, so that what is read in the order of numbers is not passed.
pub async fn next_number(tx: &mut Tx, today: Date) -> sqlx::Result<Number> {
    if is_turn(today) {
        sqlx::query(
            "select from invoice_numbers where tenant_id = $1 order by year desc limit 1 for update",
        )
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    }
    let (year, serial) = sqlx::query_as(
        "insert into invoice_numbers (tenant_id, year, last)
         select $1, coalesce((select n.year from invoice_numbers n
                               where n.tenant_id = $1 and n.year = $2::smallint + 1 and $3), $2), 1
             on conflict (tenant_id, year) do update set last = invoice_numbers.last + 1
         returning year, last",
    )
    .bind(tx.tenant())
    .bind(today.year())
    .bind(is_turn(today))
    .fetch_one(&mut **tx)
    .await?;
    Ok(Number { year, serial })
}

/// The next number of a day's credit notes, in the same way.
pub async fn next_note_number(tx: &mut Tx, today: Date) -> sqlx::Result<Number> {
    if is_turn(today) {
        sqlx::query(
            "select from credit_note_numbers where tenant_id = $1 order by year desc limit 1 for update",
        )
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    }
    let (year, serial) = sqlx::query_as(
        "insert into credit_note_numbers (tenant_id, year, last)
         select $1, coalesce((select n.year from credit_note_numbers n
                               where n.tenant_id = $1 and n.year = $2::smallint + 1 and $3), $2), 1
             on conflict (tenant_id, year) do update set last = credit_note_numbers.last + 1
         returning year, last",
    )
    .bind(tx.tenant())
    .bind(today.year())
    .bind(is_turn(today))
    .fetch_one(&mut **tx)
    .await?;
    Ok(Number { year, serial })
}

/// Whether a day is the last or the first one of a year.
fn is_turn(day: Date) -> bool {
    matches!((day.month(), day.day()), (12, 31) | (1, 1))
}
