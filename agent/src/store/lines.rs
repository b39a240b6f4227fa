//! SQL on how far the queues of customers who log in nowhere had counted.

use easyisp_shared::id::{CustomerId, RouterId};
use rusqlite::{Connection, Transaction};
use uuid::Uuid;

use crate::sessions::LineCounter;

/// Writes how far a queue had counted, over what was known before.
pub(super) fn put(
    tx: &Transaction<'_>,
    customer: CustomerId,
    counter: &LineCounter,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "insert into line_counters (customer, router, queue, bytes_in, bytes_out, at)
         values (?1, ?2, ?3, ?4, ?5, ?6)
             on conflict (customer) do update
            set router = excluded.router, queue = excluded.queue, bytes_in = excluded.bytes_in,
                bytes_out = excluded.bytes_out, at = excluded.at",
    )?
    .execute((
        customer.as_bytes(),
        counter.router.as_bytes(),
        &counter.queue,
        counter.bytes_in,
        counter.bytes_out,
        counter.at,
    ))?;
    Ok(())
}

/// How far every queue had counted.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<(CustomerId, LineCounter)>> {
    connection
        .prepare("select customer, router, queue, bytes_in, bytes_out, at from line_counters")?
        .query_map([], |row| {
            let counter = LineCounter {
                router: RouterId(Uuid::from_bytes(row.get(1)?)),
                queue: row.get(2)?,
                bytes_in: row.get(3)?,
                bytes_out: row.get(4)?,
                at: row.get(5)?,
            };
            Ok((CustomerId(Uuid::from_bytes(row.get(0)?)), counter))
        })?
        .collect()
}
