//! SQL on what was spent here: first uses of vouchers with the votes for them, devices seen for the first time,
//! and devices that customers are bound to.

use std::time::Duration;

use easyisp_shared::id::{AgentId, CustomerId, PackageId, VoucherId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::unlock::Grant;
use easyisp_shared::wire::{Up, UpKind};
use rusqlite::{Connection, Row, Transaction};
use uuid::Uuid;

use super::records::{self, Record};
use crate::site::{Bind, Recalled, Redemption, Unlocked, Vote};

/// Writes a first use. A second one of the same voucher is a constraint violation: nobody is let in by it.
pub(super) fn put(tx: &Transaction<'_>, used: &Redemption) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "insert into redemptions (voucher, digest, package, bytes, from_at, until_at, mac)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute((
        used.voucher.as_bytes(),
        used.digest,
        used.package.as_bytes(),
        used.bytes,
        used.from,
        used.until,
        used.mac.map(Mac::octets),
    ))?;
    withdraw(tx, used.voucher)
}

/// Notes that a first use is dated by a clock that nobody vouched for.
pub(super) fn doubt(tx: &Transaction<'_>, voucher: VoucherId) -> rusqlite::Result<()> {
    tx.prepare_cached("insert or ignore into doubtful_uses (voucher) values (?1)")?
        .execute([voucher.as_bytes()])?;
    Ok(())
}

/// The first uses that are dated so.
pub(super) fn doubtful(connection: &Connection) -> rusqlite::Result<Vec<VoucherId>> {
    connection
        .prepare("select voucher from doubtful_uses")?
        .query_map([], |row| Ok(VoucherId(Uuid::from_bytes(row.get(0)?))))?
        .collect()
}

/// Moves first uses that are dated by such a clock, with what the cloud was not told of them yet; from here on they
/// are dated well.
pub(super) fn redate(tx: &Transaction<'_>, by: Duration) -> rusqlite::Result<()> {
    let micros = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
    tx.execute(
        "update redemptions set from_at = from_at + ?1, until_at = until_at + ?1
          where voucher in (select voucher from doubtful_uses)",
        [micros],
    )?;
    let lane = UpKind::Redemption.lane().code();
    let untold: Vec<(u64, Vec<u8>, Timestamp)> = tx
        .prepare(
            "select seq, body, at from records
              where lane = ?1 and kind = ?2
                and seq > coalesce((select acknowledged from lanes where lane = ?1), 0)
                and exists (select 1 from doubtful_uses)",
        )?
        .query_map((lane, UpKind::Redemption.code()), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    for (seq, body, at) in untold {
        let Ok(Up::Redemption(mut told)) = Up::decode(UpKind::Redemption.code(), &body) else {
            continue; // of a later build, which says itself what it means
        };
        let doubted: bool = tx
            .prepare_cached("select exists (select 1 from doubtful_uses where voucher = ?1)")?
            .query_row([told.voucher.as_bytes()], |row| row.get(0))?;
        if doubted {
            told.at = told.at.plus(by);
            let record = Record {
                lane,
                kind: UpKind::Redemption.code(),
                body: Up::Redemption(told).encode(),
                at,
            };
            records::replace(tx, seq, &record)?;
        }
    }
    tx.execute("delete from doubtful_uses", [])?;
    Ok(())
}

/// Writes a vote for a first use; a later one for the same voucher takes its place.
pub(super) fn vote(tx: &Transaction<'_>, vote: &Vote) -> rusqlite::Result<()> {
    let used = &vote.used;
    tx.prepare_cached(
        "insert into votes (voucher, digest, package, bytes, from_at, until_at, mac, agent)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         on conflict (voucher) do update
             set from_at = ?5, until_at = ?6, mac = ?7, agent = ?8",
    )?
    .execute((
        used.voucher.as_bytes(),
        used.digest,
        used.package.as_bytes(),
        used.bytes,
        used.from,
        used.until,
        used.mac.map(Mac::octets),
        vote.agent.as_bytes(),
    ))?;
    Ok(())
}

/// Forgets a vote.
pub(super) fn withdraw(tx: &Transaction<'_>, voucher: VoucherId) -> rusqlite::Result<()> {
    tx.prepare_cached("delete from votes where voucher = ?1")?
        .execute([voucher.as_bytes()])?;
    Ok(())
}

/// Every vote that is not forgotten.
pub(super) fn votes(connection: &Connection) -> rusqlite::Result<Vec<Vote>> {
    connection
        .prepare(
            "select voucher, digest, package, bytes, from_at, until_at, mac, agent from votes",
        )?
        .query_map([], |row| {
            Ok(Vote {
                used: read(row)?,
                agent: AgentId(Uuid::from_bytes(row.get(7)?)),
            })
        })?
        .collect()
}

/// Every first use that is not forgotten.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Redemption>> {
    connection
        .prepare("select voucher, digest, package, bytes, from_at, until_at, mac from redemptions")?
        .query_map([], read)?
        .collect()
}

/// Writes a first use of which only its record was found.
pub(super) fn recall(tx: &Transaction<'_>, recalled: &Recalled) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "insert or ignore into recalled (voucher, from_at, mac)
         select ?1, ?2, ?3 where not exists (select 1 from redemptions where voucher = ?1)",
    )?
    .execute((
        recalled.voucher.as_bytes(),
        recalled.from,
        recalled.mac.map(Mac::octets),
    ))?;
    Ok(())
}

/// The first uses of which only the record was found.
pub(super) fn recalled(connection: &Connection) -> rusqlite::Result<Vec<Recalled>> {
    connection
        .prepare("select voucher, from_at, mac from recalled")?
        .query_map([], |row| {
            Ok(Recalled {
                voucher: VoucherId(Uuid::from_bytes(row.get(0)?)),
                from: row.get(1)?,
                mac: row.get::<_, Option<[u8; 6]>>(2)?.map(Mac::new),
            })
        })?
        .collect()
}

/// Writes that a customer was seen with a device; who was freed of it in between is seen with it anew.
pub(super) fn put_device(
    tx: &Transaction<'_>,
    customer: CustomerId,
    mac: Mac,
    at: Timestamp,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "insert into devices (customer, mac, at) values (?1, ?2, ?3)
             on conflict (customer, mac) do update set at = max(at, ?3)",
    )?
    .execute((customer.as_bytes(), mac.octets(), at))?;
    Ok(())
}

/// The devices customers were seen with, oldest first.
pub(super) fn devices(
    connection: &Connection,
) -> rusqlite::Result<Vec<(CustomerId, Mac, Timestamp)>> {
    connection
        .prepare("select customer, mac, at from devices order by at, customer, mac")?
        .query_map([], |row| {
            let customer = CustomerId(Uuid::from_bytes(row.get(0)?));
            Ok((customer, Mac::new(row.get(1)?), row.get(2)?))
        })?
        .collect()
}

/// Writes that a customer is bound to a device; a later word of the same device takes its place.
pub(super) fn put_bind(tx: &Transaction<'_>, bind: &Bind) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "insert into binds (customer, mac, instead_of, at) values (?1, ?2, ?3, ?4)
             on conflict (customer, mac) do update set instead_of = ?3, at = ?4",
    )?
    .execute((
        bind.customer.as_bytes(),
        bind.mac.octets(),
        bind.instead_of.map(Mac::octets),
        bind.at,
    ))?;
    Ok(())
}

/// The devices that customers are bound to, oldest first.
pub(super) fn binds(connection: &Connection) -> rusqlite::Result<Vec<Bind>> {
    connection
        .prepare("select customer, mac, instead_of, at from binds order by at, customer, mac")?
        .query_map([], |row| {
            Ok(Bind {
                customer: CustomerId(Uuid::from_bytes(row.get(0)?)),
                mac: Mac::new(row.get(1)?),
                instead_of: row.get::<_, Option<[u8; 6]>>(2)?.map(Mac::new),
                at: row.get(3)?,
            })
        })?
        .collect()
}

/// Writes that a code was used. The same one twice is a constraint violation: nobody is let in by it.
pub(super) fn put_unlock(tx: &Transaction<'_>, unlocked: &Unlocked) -> rusqlite::Result<()> {
    let Unlocked { grant, until } = unlocked;
    tx.prepare_cached(
        "insert into unlocks (customer, hour, hours, serial, until_at) values (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((
        grant.customer.as_bytes(),
        grant.hour,
        grant.hours,
        grant.serial,
        until,
    ))?;
    Ok(())
}

/// The codes that were used here.
pub(super) fn unlocks(connection: &Connection) -> rusqlite::Result<Vec<Unlocked>> {
    connection
        .prepare("select customer, hour, hours, serial, until_at from unlocks")?
        .query_map([], |row| {
            Ok(Unlocked {
                grant: Grant {
                    customer: CustomerId(Uuid::from_bytes(row.get(0)?)),
                    hour: row.get(1)?,
                    hours: row.get(2)?,
                    serial: row.get(3)?,
                },
                until: row.get(4)?,
            })
        })?
        .collect()
}

/// Forgets vouchers and codes whose time ended, votes, and devices seen or bound, before `before`: the cloud has them.
pub(super) fn prune(tx: &Transaction<'_>, before: Timestamp) -> rusqlite::Result<()> {
    tx.prepare_cached("delete from redemptions where until_at < ?1")?
        .execute([before])?;
    tx.prepare_cached("delete from recalled where from_at < ?1")?
        .execute([before.minus(LONGEST_VOUCHER)])?;
    tx.prepare_cached("delete from votes where from_at < ?1")?
        .execute([before])?;
    tx.prepare_cached("delete from devices where at < ?1")?
        .execute([before])?;
    tx.prepare_cached("delete from binds where at < ?1")?
        .execute([before])?;
    tx.prepare_cached("delete from unlocks where until_at < ?1")?
        .execute([before])?;
    Ok(())
}

/// How long a voucher lasts is not known here; by then the cloud has been heard.
const LONGEST_VOUCHER: Duration = Duration::from_secs(400 * 86_400);

fn read(row: &Row<'_>) -> rusqlite::Result<Redemption> {
    Ok(Redemption {
        voucher: VoucherId(Uuid::from_bytes(row.get(0)?)),
        digest: row.get(1)?,
        package: PackageId(Uuid::from_bytes(row.get(2)?)),
        bytes: row.get(3)?,
        from: row.get(4)?,
        until: row.get(5)?,
        mac: row.get::<_, Option<[u8; 6]>>(6)?.map(Mac::new),
    })
}
