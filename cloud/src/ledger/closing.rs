//! Days that are closed: nothing is booked on them any more.

use easyisp_shared::id::OperatorId;
use easyisp_shared::time::Timestamp;
use jiff::civil::Date;

use crate::db::Tx;

/// From when the books are open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closing {
    /// The first open day, in the tenant's zone.
    pub first_open: Date,
    /// Its first instant.
    pub open_from: Timestamp,
}

/// What is closed today. `None` = every day is open.
pub async fn closing(tx: &mut Tx) -> sqlx::Result<Option<Closing>> {
    let row: Option<(Option<String>, Option<Timestamp>)> = sqlx::query_as(
        "select first_open::text, open_from
           from book_locks
          where tenant_id = $1
          order by number desc
          limit 1",
    )
    .bind(tx.tenant())
    .fetch_optional(&mut **tx)
    .await?;
    let Some((Some(day), Some(open_from))) = row else {
        return Ok(None);
    };
    let first_open = day
        .parse()
        .map_err(|error: jiff::Error| sqlx::Error::Decode(error.into()))?;
    Ok(Some(Closing {
        first_open,
        open_from,
    }))
}

/// Waits until no posting of the tenant is under way and lets none begin until the transaction ends.
///
/// It gives up (lock not free) after half a second, sooner than it could stand in a circle of those who wait
/// for each other.
pub async fn wait_for_postings(tx: &mut Tx) -> sqlx::Result<()> {
    sqlx::query("set local lock_timeout = '500ms'")
        .execute(&mut **tx)
        .await?;
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('books ' || $1::text, 0))")
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Closes every day before `closing`, or opens all with `None`. Call [`wait_for_postings`] first and read the
/// clock after it, so that what was posted before is not called late.
pub async fn close(
    tx: &mut Tx,
    closing: Option<Closing>,
    operator: OperatorId,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into book_locks (tenant_id, number, first_open, open_from, operator_id, set_at)
         select $1, 1 + coalesce(max(number), 0), $2::date, $3, $4, $5
           from book_locks
          where tenant_id = $1",
    )
    .bind(tx.tenant())
    .bind(closing.map(|closing| closing.first_open.to_string()))
    .bind(closing.map(|closing| closing.open_from))
    .bind(operator)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
