//! SQL on what was spent here: first uses of vouchers, and devices seen for the first time.

use easyisp_shared::id::{CustomerId, PackageId, RouterId, VoucherId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use rusqlite::{Connection, Row, Transaction};
use uuid::Uuid;

use crate::site::{By, Redemption};

/// Writes a first use. A second one of the same voucher is a constraint violation: nobody is let in by it.
/// What another agent told gives way to what it tells later.
pub(super) fn put(tx: &Transaction<'_>, used: &Redemption) -> rusqlite::Result<()> {
    if used.by == By::Another {
        tx.prepare_cached("delete from redemptions where voucher = ?1 and told = 1")?
            .execute([used.voucher.as_bytes()])?;
    }
    tx.prepare_cached(
        "insert into redemptions (voucher, digest, package, bytes, from_at, until_at, mac, router, told)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute((
        used.voucher.as_bytes(),
        used.digest,
        used.package.as_bytes(),
        used.bytes,
        used.from,
        used.until,
        used.mac.map(Mac::octets),
        used.router.map(|router| *router.0.as_bytes()),
        used.by == By::Another,
    ))?;
    Ok(())
}

/// Every first use that is not forgotten.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Redemption>> {
    connection
        .prepare(
            "select voucher, digest, package, bytes, from_at, until_at, mac, router, told
               from redemptions",
        )?
        .query_map([], read)?
        .collect()
}

/// Writes that a customer was seen with a device; a repeat changes nothing.
pub(super) fn put_device(
    tx: &Transaction<'_>,
    customer: CustomerId,
    mac: Mac,
    at: Timestamp,
) -> rusqlite::Result<()> {
    tx.prepare_cached("insert or ignore into devices (customer, mac, at) values (?1, ?2, ?3)")?
        .execute((customer.as_bytes(), mac.octets(), at))?;
    Ok(())
}

/// The devices customers were seen with, oldest first.
pub(super) fn devices(connection: &Connection) -> rusqlite::Result<Vec<(CustomerId, Mac)>> {
    connection
        .prepare("select customer, mac from devices order by at, customer, mac")?
        .query_map([], |row| {
            let customer = CustomerId(Uuid::from_bytes(row.get(0)?));
            Ok((customer, Mac::new(row.get(1)?)))
        })?
        .collect()
}

/// Forgets vouchers whose time ended, and devices seen, before `before`: the cloud has them.
pub(super) fn prune(tx: &Transaction<'_>, before: Timestamp) -> rusqlite::Result<()> {
    tx.prepare_cached("delete from redemptions where until_at < ?1")?
        .execute([before])?;
    tx.prepare_cached("delete from devices where at < ?1")?
        .execute([before])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Redemption> {
    Ok(Redemption {
        voucher: VoucherId(Uuid::from_bytes(row.get(0)?)),
        digest: row.get(1)?,
        package: PackageId(Uuid::from_bytes(row.get(2)?)),
        bytes: row.get(3)?,
        from: row.get(4)?,
        until: row.get(5)?,
        mac: row.get::<_, Option<[u8; 6]>>(6)?.map(Mac::new),
        router: row
            .get::<_, Option<[u8; 16]>>(7)?
            .map(|router| RouterId(Uuid::from_bytes(router))),
        by: match row.get(8)? {
            true => By::Another,
            false => By::Us,
        },
    })
}
