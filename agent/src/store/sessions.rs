//! SQL on sessions: the durable image of who is online.

use std::net::Ipv4Addr;

use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::ipv6::Prefixes;
use easyisp_shared::net::{Mac, RateLimit};
use easyisp_shared::time::Timestamp;
use rusqlite::{Connection, Row, Transaction};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::sessions::{
    Cause, Closed, Cookie, Grant, LOST_REMEMBERED_FOR, Service, Session, SessionKey, Usage,
};

/// Writes what is known of a session over what was known before.
pub(super) fn put(tx: &Transaction<'_>, session: &Session) -> rusqlite::Result<()> {
    let key = &session.key;
    let closed = session.closed;
    tx.prepare_cached(
        "insert into sessions (router, acct_session_id, class, customer, username, service, mac,
                               framed_ip, port, started_at, seen_at, secs, bytes_in, bytes_out,
                               bytes_free, closed_at, cause, granted, prefixes)
         values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)
             on conflict (router, acct_session_id, class) do update
            set customer = excluded.customer, username = excluded.username,
                service = excluded.service, mac = excluded.mac, framed_ip = excluded.framed_ip,
                port = excluded.port, started_at = excluded.started_at,
                seen_at = excluded.seen_at, secs = excluded.secs, bytes_in = excluded.bytes_in,
                bytes_out = excluded.bytes_out, bytes_free = excluded.bytes_free,
                closed_at = excluded.closed_at, cause = excluded.cause,
                granted = excluded.granted, prefixes = excluded.prefixes",
    )?
    .execute(rusqlite::params![
        key.router.as_bytes(),
        key.acct_session_id,
        key.class,
        session.customer.as_ref().map(|id| id.as_bytes()),
        session.username,
        session.service.as_str(),
        session.mac.map(Mac::octets),
        session.framed_ip.map(u32::from),
        session.port,
        session.started_at,
        session.seen_at,
        session.secs,
        // Counters are cut at the door to what SQLite's integer holds (8 EiB).
        session.bytes_in,
        session.bytes_out,
        session.bytes_free,
        closed.map(|closed| closed.at),
        closed.map(|closed| stored_cause(closed.cause)),
        session.grant.map(Granted::bytes),
        prefix_bytes(&session.prefixes),
    ])?;
    Ok(())
}

/// Every open session and those closed since `since`: late reports on them must not open them again. Those that
/// were given up are known for longer: what they had counted must not count twice when they are heard of again.
pub(super) fn since(connection: &Connection, since: Timestamp) -> rusqlite::Result<Vec<Session>> {
    let mut query = connection.prepare_cached(
            "select router, acct_session_id, class, customer, username, service, mac, framed_ip,
                    port, started_at, seen_at, secs, bytes_in, bytes_out, bytes_free, closed_at, cause,
                    granted, prefixes
               from sessions
              where closed_at is null or closed_at >= ?1 or cause = ?2 and closed_at >= ?3",
    )?;
    let lost_since = since.minus(LOST_REMEMBERED_FOR);
    let mut rows = query.query((since, LOST, lost_since))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        match read(row) {
            Ok(session) => found.push(session),
            // The router's next report brings it back.
            Err(cause) => warn!(%cause, "A damaged session is left out"),
        }
    }
    Ok(found)
}

/// Writes that a session is to end.
pub(super) fn owe_cut(tx: &Transaction<'_>, key: &SessionKey) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "insert or ignore into owed_cuts (router, acct_session_id, class) values (?1, ?2, ?3)",
    )?
    .execute((key.router.as_bytes(), &key.acct_session_id, &key.class))?;
    Ok(())
}

/// The sessions that are to end, and go on or may do so: those that were given up may come back.
pub(super) fn owed_cuts(connection: &Connection) -> rusqlite::Result<Vec<SessionKey>> {
    connection
        .prepare(
            "select router, acct_session_id, class from owed_cuts
              join sessions using (router, acct_session_id, class)
             where closed_at is null or cause = ?1",
        )?
        .query_map([LOST], |row| {
            Ok(SessionKey {
                router: RouterId(uuid::Uuid::from_bytes(row.get(0)?)),
                acct_session_id: bytes(row, 1)?,
                class: bytes(row, 2)?,
            })
        })?
        .collect()
}

/// Forgets up to `most` sessions closed before `before`, those given up some days later; returns how many.
pub(super) fn prune(tx: &Transaction<'_>, before: Timestamp, most: u64) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "delete from owed_cuts
          where not exists (select 1 from sessions s
                             where s.router = owed_cuts.router and s.class = owed_cuts.class
                               and s.acct_session_id = owed_cuts.acct_session_id)",
    )?
    .execute([])?;
    tx.prepare_cached(
        "delete from sessions
          where (router, acct_session_id, class) in
                (select router, acct_session_id, class
                   from sessions
                  where closed_at < ?1 and (cause <> ?2 or closed_at < ?3) limit ?4)",
    )?
    .execute((before, LOST, before.minus(LOST_REMEMBERED_FOR), most))
}

/// Writes what a customer used in the present period.
pub(super) fn put_usage(
    tx: &Transaction<'_>,
    customer: CustomerId,
    usage: Usage,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "insert into usage (customer, period_start, bytes, secs) values (?1, ?2, ?3, ?4)
             on conflict (customer) do update
            set period_start = excluded.period_start, bytes = excluded.bytes, secs = excluded.secs",
    )?
    .execute((
        customer.as_bytes(),
        usage.period_start,
        usage.bytes,
        usage.secs,
    ))?;
    Ok(())
}

/// What every customer whose usage counts used in the period known last.
pub(super) fn usage(connection: &Connection) -> rusqlite::Result<Vec<(CustomerId, Usage)>> {
    connection
        .prepare("select customer, period_start, bytes, secs from usage")?
        .query_map([], |row| {
            let usage = Usage {
                period_start: row.get(1)?,
                bytes: row.get(2)?,
                secs: row.get(3)?,
            };
            Ok((CustomerId(uuid::Uuid::from_bytes(row.get(0)?)), usage))
        })?
        .collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Session> {
    let closed_at: Option<Timestamp> = row.get(15)?;
    let cause: Option<i64> = row.get(16)?;
    let service: String = row.get(5)?;
    Ok(Session {
        key: SessionKey {
            router: RouterId(uuid::Uuid::from_bytes(row.get(0)?)),
            acct_session_id: bytes(row, 1)?,
            class: bytes(row, 2)?,
        },
        customer: row
            .get::<_, Option<[u8; 16]>>(3)?
            .map(|id| CustomerId(uuid::Uuid::from_bytes(id))),
        username: bytes(row, 4)?,
        service: Service::parse(&service).ok_or(rusqlite::Error::InvalidQuery)?,
        mac: row.get::<_, Option<[u8; 6]>>(6)?.map(Mac::new),
        framed_ip: row.get::<_, Option<u32>>(7)?.map(Ipv4Addr::from),
        prefixes: row
            .get::<_, Option<Vec<u8>>>(18)?
            .and_then(|bytes| postcard::from_bytes(&bytes).ok())
            .unwrap_or_default(),
        port: bytes(row, 8)?,
        started_at: row.get(9)?,
        seen_at: row.get(10)?,
        secs: row.get(11)?,
        bytes_in: row.get(12)?,
        bytes_out: row.get(13)?,
        bytes_free: row.get(14)?,
        grant: row
            .get::<_, Option<Vec<u8>>>(17)?
            .and_then(|bytes| Granted::read(&bytes)),
        closed: closed_at.map(|at| Closed {
            at,
            cause: cause_stored(cause),
        }),
    })
}

/// Prefixes as they stand in the file; most sessions have none, and take no room for it.
fn prefix_bytes(prefixes: &Prefixes) -> Option<Vec<u8>> {
    let bytes = || postcard::to_stdvec(prefixes).expect("prefixes always encode");
    (!prefixes.is_empty()).then(bytes)
}

/// What a session was given, as it stands in the file; a later shape is a variant at the end.
#[derive(Serialize, Deserialize)]
enum Granted {
    V1(Option<RateLimit>, Option<Timestamp>, Place),
    V2(Option<RateLimit>, Option<Timestamp>, Place, List),
}

#[derive(Serialize, Deserialize)]
enum Place {
    Internet,
    Garden,
}

#[derive(Serialize, Deserialize)]
enum List {
    None,
    AntiSharing,
}

impl Granted {
    fn bytes(grant: Grant) -> Vec<u8> {
        let place = match grant.garden {
            true => Place::Garden,
            false => Place::Internet,
        };
        let list = match grant.listed {
            true => List::AntiSharing,
            false => List::None,
        };
        postcard::to_stdvec(&Granted::V2(grant.rate, grant.end, place, list))
            .expect("rates and times always encode")
    }

    /// `None` for bytes of a later release: then nobody knows what the session was given. The cookie
    /// was spent when the session began.
    fn read(bytes: &[u8]) -> Option<Grant> {
        let (rate, end, place, list) = match postcard::from_bytes(bytes).ok()? {
            Granted::V1(rate, end, place) => (rate, end, place, List::None),
            Granted::V2(rate, end, place, list) => (rate, end, place, list),
        };
        Some(Grant {
            cookie: Cookie::default(),
            rate,
            end,
            garden: matches!(place, Place::Garden),
            listed: matches!(list, List::AntiSharing),
        })
    }
}

fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Box<[u8]>> {
    row.get::<_, Vec<u8>>(column).map(Vec::into_boxed_slice)
}

/// `LOST` for a session nobody ended, else the router's number.
fn stored_cause(cause: Cause) -> i64 {
    match cause {
        Cause::Router(number) => i64::from(number),
        Cause::Lost => LOST,
    }
}

fn cause_stored(number: Option<i64>) -> Cause {
    number
        .and_then(|number| u32::try_from(number).ok())
        .map_or(Cause::Lost, Cause::Router)
}

const LOST: i64 = -1;
