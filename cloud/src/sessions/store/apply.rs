//! Applying accounting: each statement takes a whole batch.

use easyisp_shared::id::{CustomerId, RouterId, SessionId, SiteId};
use easyisp_shared::ipv6::Prefixes;
use easyisp_shared::time::Timestamp;
use easyisp_shared::usage::MOST_BYTES;

use crate::customers::ConnectionType;
use crate::db::{Kind, Tx};
use crate::sessions::rules::{Growth, State};
use crate::sessions::words::Status;

/// What tells a session from all others of a tenant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key {
    /// Where.
    pub router: RouterId,
    /// Acct-Session-Id.
    pub session: String,
    /// The cookie sent in Class; empty when the router does not echo it.
    pub cookie: Vec<u8>,
}

/// Lets one batch of a site at a time apply, until the transaction ends.
///
/// What a batch adds is computed from what was there; two agents of a site may tell of one session.
pub async fn lock_site(tx: &mut Tx, site: SiteId) -> sqlx::Result<()> {
    let (high, low) = site.0.as_u64_pair();
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind((high ^ low).cast_signed())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// A session that is there already.
#[derive(Clone, Debug)]
pub struct Known {
    /// Which of the keys asked for.
    pub key: usize,
    /// Its id.
    pub id: SessionId,
    /// The site that told of it.
    pub site: SiteId,
    /// Whose it is.
    pub customer: Option<CustomerId>,
    /// Whether he was erased: then neither address nor device is kept of him.
    pub erased: bool,
    /// What is known of it.
    pub state: State,
}

#[derive(sqlx::FromRow)]
struct KnownRow {
    place: i64,
    id: SessionId,
    site_id: SiteId,
    customer_id: Option<CustomerId>,
    erased: bool,
    status: Status,
    started_at: Timestamp,
    last_seen_at: Timestamp,
    stopped_at: Option<Timestamp>,
    session_secs: i64,
    bytes_in: i64,
    bytes_out: i64,
    bytes_free: i64,
    framed_ip: Option<String>,
    prefixes: Vec<String>,
    mac: Option<String>,
    terminate_cause: Option<String>,
}

/// The sessions among `keys` that are there already.
pub async fn known(tx: &mut Tx, keys: &[&Key]) -> sqlx::Result<Vec<Known>> {
    let routers: Vec<RouterId> = keys.iter().map(|key| key.router).collect();
    let sessions: Vec<&str> = keys.iter().map(|key| key.session.as_str()).collect();
    let cookies: Vec<&[u8]> = keys.iter().map(|key| key.cookie.as_slice()).collect();
    let rows: Vec<KnownRow> = sqlx::query_as(
        "select k.place, s.id, s.site_id, s.customer_id, s.status, s.started_at, s.last_seen_at,
                s.stopped_at, s.session_secs, s.bytes_in, s.bytes_out, s.bytes_free, s.framed_ip,
                s.prefixes, s.mac, s.terminate_cause,
                s.customer_id is null and s.username like 'erased-%'
                    or exists (select from customers c
                                where c.tenant_id = $1 and c.id = s.customer_id
                                  and c.erased_at is not null) as erased
           from unnest($2::uuid[], $3::text[], $4::bytea[])
                with ordinality as k (router_id, acct_session_id, cookie, place)
           join sessions s on s.tenant_id = $1 and s.router_id = k.router_id
                          and s.acct_session_id = k.acct_session_id and s.cookie = k.cookie",
    )
    .bind(tx.tenant())
    .bind(routers)
    .bind(sessions)
    .bind(cookies)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(KnownRow::read).collect())
}

/// Makes room for sessions that are numbered like these, which are over and have no cookie: each gets its id for one.
pub async fn set_aside(tx: &mut Tx, sessions: &[SessionId]) -> sqlx::Result<()> {
    if sessions.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "update sessions set cookie = uuid_send(id)
          where tenant_id = $1 and id = any($2) and cookie = ''",
    )
    .bind(tx.tenant())
    .bind(sessions)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl KnownRow {
    fn read(self) -> Known {
        Known {
            key: usize::try_from(self.place - 1).unwrap_or(usize::MAX),
            id: self.id,
            site: self.site_id,
            customer: self.customer_id,
            erased: self.erased,
            state: State {
                status: self.status,
                started: self.started_at,
                last_seen: self.last_seen_at,
                stopped: self.stopped_at,
                session_secs: self.session_secs,
                bytes_in: self.bytes_in,
                bytes_out: self.bytes_out,
                bytes_free: self.bytes_free,
                framed_ip: self.framed_ip,
                prefixes: read_prefixes(&self.prefixes),
                mac: self.mac,
                cause: self.terminate_cause,
            },
        }
    }
}

/// Prefixes as they were written.
fn read_prefixes(texts: &[String]) -> Prefixes {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// A customer of the site, by whom a session may be.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Subscriber {
    /// Who.
    pub id: CustomerId,
    /// Under which name.
    pub username: String,
    /// How he is connected.
    pub connection_type: ConnectionType,
    /// Whether he is gone: then only his id names him.
    pub deleted: bool,
    /// Whether he was erased: then his name here is a pseudonym.
    pub erased: bool,
}

/// The customers of `site` with one of these ids or user names, with those who may roam; of those named by id also who
/// was the site's before he was moved, as long as its feed says so, for what it tells late; and whoever was erased,
/// wherever he was last.
pub async fn subscribers(
    tx: &mut Tx,
    site: SiteId,
    ids: &[CustomerId],
    usernames: &[&str],
) -> sqlx::Result<Vec<Subscriber>> {
    sqlx::query_as(
        "select c.id, c.username, c.connection_type, c.deleted_at is not null as deleted,
                c.erased_at is not null as erased
           from customers c
           left join packages p on p.tenant_id = $1 and p.id = c.package_id
          where c.tenant_id = $1
            and ((c.site_id = $2 or (p.terms ->> 'roams')::boolean)
                     and (c.id = any($3) or c.username = any($4) and c.deleted_at is null)
                 or c.id = any($3)
                     and (c.erased_at is not null
                          or exists (select from feed f
                                      where f.tenant_id = $1 and f.site_id = $2 and f.kind = $5
                                        and f.id = c.id)))",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(ids)
    .bind(usernames)
    .bind(i16::try_from(Kind::Subscriber.code()).unwrap_or(0))
    .fetch_all(&mut **tx)
    .await
}

/// A session to be written.
#[derive(Clone, Debug)]
pub struct Write<'a> {
    /// Its id.
    pub id: SessionId,
    /// What tells it from others.
    pub key: &'a Key,
    /// Under which name.
    pub username: &'a str,
    /// By whom.
    pub customer: Option<CustomerId>,
    /// How he is connected.
    pub connection_type: Option<ConnectionType>,
    /// What is known of it.
    pub state: &'a State,
}

/// Writes sessions that were not there.
pub async fn insert(tx: &mut Tx, site: SiteId, writes: &[Write<'_>]) -> sqlx::Result<()> {
    let of = Columns::of(writes);
    sqlx::query(
        "insert into sessions (tenant_id, id, site_id, router_id, acct_session_id, cookie, username,
                customer_id, connection_type, status, started_at, last_seen_at, stopped_at,
                session_secs, bytes_in, bytes_out, framed_ip, mac, terminate_cause, bytes_free,
                prefixes)
         select $1, n.id, $2, n.router, n.session, n.cookie, n.username, n.customer, n.kind, n.status,
                n.started, n.seen, n.stopped, n.secs, n.up, n.down, n.ip, n.mac, n.cause, n.free,
                string_to_array(n.prefixes, ' ')
           from unnest($3::uuid[], $4::uuid[], $5::text[], $6::bytea[], $7::text[], $8::uuid[],
                       $9::text[], $10::text[], $11::timestamptz[], $12::timestamptz[],
                       $13::timestamptz[], $14::bigint[], $15::bigint[], $16::bigint[], $17::text[],
                       $18::text[], $19::text[], $20::bigint[], $21::text[])
                as n (id, router, session, cookie, username, customer, kind, status, started, seen,
                      stopped, secs, up, down, ip, mac, cause, free, prefixes)",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(of.ids)
    .bind(writes.iter().map(|write| write.key.router).collect::<Vec<_>>())
    .bind(writes.iter().map(|write| write.key.session.as_str()).collect::<Vec<_>>())
    .bind(writes.iter().map(|write| write.key.cookie.as_slice()).collect::<Vec<_>>())
    .bind(writes.iter().map(|write| write.username).collect::<Vec<_>>())
    .bind(writes.iter().map(|write| write.customer).collect::<Vec<_>>())
    .bind(
        writes
            .iter()
            .map(|write| write.connection_type.map(ConnectionType::word))
            .collect::<Vec<_>>(),
    )
    .bind(of.statuses)
    .bind(of.started)
    .bind(of.seen)
    .bind(of.stopped)
    .bind(of.secs)
    .bind(of.up)
    .bind(of.down)
    .bind(of.ips)
    .bind(of.macs)
    .bind(of.causes)
    .bind(of.free)
    .bind(of.prefixes)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes what is new of sessions that were there; `site` is the one that told it.
pub async fn update(tx: &mut Tx, site: SiteId, writes: &[Write<'_>]) -> sqlx::Result<()> {
    let of = Columns::of(writes);
    sqlx::query(
        "update sessions s
            set site_id = $2, status = n.status, started_at = n.started, last_seen_at = n.seen,
                stopped_at = n.stopped, session_secs = n.secs, bytes_in = n.up, bytes_out = n.down,
                framed_ip = n.ip, mac = n.mac, terminate_cause = n.cause, bytes_free = n.free,
                prefixes = string_to_array(n.prefixes, ' ')
           from unnest($3::uuid[], $4::text[], $5::timestamptz[], $6::timestamptz[],
                       $7::timestamptz[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[],
                       $12::text[], $13::text[], $14::bigint[], $15::text[])
                as n (id, status, started, seen, stopped, secs, up, down, ip, mac, cause, free, prefixes)
          where s.tenant_id = $1 and s.id = n.id",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(of.ids)
    .bind(of.statuses)
    .bind(of.started)
    .bind(of.seen)
    .bind(of.stopped)
    .bind(of.secs)
    .bind(of.up)
    .bind(of.down)
    .bind(of.ips)
    .bind(of.macs)
    .bind(of.causes)
    .bind(of.free)
    .bind(of.prefixes)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What inserts and updates write alike, column by column.
struct Columns<'a> {
    ids: Vec<SessionId>,
    statuses: Vec<&'static str>,
    started: Vec<Timestamp>,
    seen: Vec<Timestamp>,
    stopped: Vec<Option<Timestamp>>,
    secs: Vec<i64>,
    up: Vec<i64>,
    down: Vec<i64>,
    ips: Vec<Option<&'a str>>,
    macs: Vec<Option<&'a str>>,
    causes: Vec<Option<&'a str>>,
    free: Vec<i64>,
    prefixes: Vec<String>,
}

impl<'a> Columns<'a> {
    fn of(writes: &[Write<'a>]) -> Columns<'a> {
        let states = || writes.iter().map(|write| write.state);
        Columns {
            ids: writes.iter().map(|write| write.id).collect(),
            statuses: states().map(|state| state.status.word()).collect(),
            started: states().map(|state| state.started).collect(),
            seen: states().map(|state| state.last_seen).collect(),
            stopped: states().map(|state| state.stopped).collect(),
            secs: states().map(|state| state.session_secs).collect(),
            up: states().map(|state| state.bytes_in).collect(),
            down: states().map(|state| state.bytes_out).collect(),
            ips: states().map(|state| state.framed_ip.as_deref()).collect(),
            macs: states().map(|state| state.mac.as_deref()).collect(),
            causes: states().map(|state| state.cause.as_deref()).collect(),
            free: states().map(|state| state.bytes_free).collect(),
            prefixes: states()
                .map(|state| state.prefixes.texts().join(" "))
                .collect(),
        }
    }
}

/// What one record added to a customer's usage.
#[derive(Clone, Debug)]
pub struct Used {
    /// Who.
    pub customer: CustomerId,
    /// In which session.
    pub session: SessionId,
    /// To which hour it is booked.
    pub hour: Timestamp,
    /// When it was told.
    pub at: Timestamp,
    /// When the session began, where this is the first that was heard of it.
    pub began: Option<Timestamp>,
    /// How much.
    pub growth: Growth,
    /// The session's address.
    pub ip: Option<String>,
    /// The session's device.
    pub mac: Option<String>,
}

/// Adds to the usage by hour, and to the site's by day in the tenant's zone. What is full stays full: a sum that does
/// not fit would fail every later record of its day. Under the site's lock, as all of
/// [`lock_site`]: nobody else adds to its days.
pub async fn use_hours(tx: &mut Tx, site: SiteId, used: &[&Used]) -> sqlx::Result<()> {
    sqlx::query(
        "with day as (
             insert into site_usage (tenant_id, day, site_id, bytes_in, bytes_out)
             select $1, (n.at at time zone t.time_zone)::date, $7, least(sum(n.up), $9)::bigint,
                    least(sum(n.down), $9)::bigint
               from unnest($8::timestamptz[], $5::bigint[], $6::bigint[]) as n (at, up, down)
               join tenants t on t.tenant_id = $1
              group by 2
                 on conflict (tenant_id, day, site_id)
                 do update set bytes_in = greatest(site_usage.bytes_in,
                                                  least(site_usage.bytes_in::numeric + excluded.bytes_in, $9)),
                               bytes_out = greatest(site_usage.bytes_out,
                                                  least(site_usage.bytes_out::numeric + excluded.bytes_out, $9)))
         insert into usage (tenant_id, at, customer_id, session_id, bytes_in, bytes_out)
         select $1, at, customer, session, least(sum(up), $9)::bigint, least(sum(down), $9)::bigint
           from unnest($2::timestamptz[], $3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[])
                as n (at, customer, session, up, down)
          group by at, customer, session
             on conflict (tenant_id, customer_id, at, session_id)
             do update set bytes_in = greatest(usage.bytes_in,
                                               least(usage.bytes_in::numeric + excluded.bytes_in, $9)),
                           bytes_out = greatest(usage.bytes_out,
                                               least(usage.bytes_out::numeric + excluded.bytes_out, $9))",
    )
    .bind(tx.tenant())
    .bind(used.iter().map(|used| used.hour).collect::<Vec<_>>())
    .bind(used.iter().map(|used| used.customer).collect::<Vec<_>>())
    .bind(used.iter().map(|used| used.session).collect::<Vec<_>>())
    .bind(
        used.iter()
            .map(|used| used.growth.bytes_in)
            .collect::<Vec<_>>(),
    )
    .bind(
        used.iter()
            .map(|used| used.growth.bytes_out)
            .collect::<Vec<_>>(),
    )
    .bind(site)
    .bind(used.iter().map(|used| used.at.max(used.hour)).collect::<Vec<_>>())
    .bind(MOST_BYTES.cast_signed())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Adds to the usage of the customers' present periods and notes where they were last seen.
///
/// What was told before a period began does not count in it, and of a session that is first heard of long after it
/// began, as all of a router are when it is moved here, its share of the time since then does; a period that is another than the one
/// counted so far starts from nothing. Rows are taken in the customers' order.
pub async fn use_periods(tx: &mut Tx, used: &[Used]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into customer_usage as u (tenant_id, customer_id, since, bytes_up, bytes_down, bytes_free,
                secs, last_ip, last_mac, last_seen_at)
         select $1, c.id, c.bytes_used_since,
                least(coalesce(sum(floor(n.up * s.part / s.whole)), 0), $10)::bigint,
                least(coalesce(sum(floor(n.down * s.part / s.whole)), 0), $10)::bigint,
                least(coalesce(sum(least(n.free, floor((n.up::numeric + n.down) * s.part / s.whole))), 0), $10)
                    ::bigint,
                coalesce(sum(floor(n.secs * s.part / s.whole)), 0)::bigint,
                (array_agg(n.ip order by n.at desc) filter (where n.ip is not null))[1],
                (array_agg(n.mac order by n.at desc) filter (where n.mac is not null))[1],
                max(n.at)
           from unnest($2::uuid[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::text[], $7::text[],
                       $8::bigint[], $9::bigint[], $11::timestamptz[])
                as n (customer, at, up, down, ip, mac, free, secs, began)
           join customers c on c.tenant_id = $1 and c.id = n.customer
           cross join lateral (
                select case when n.at < c.bytes_used_since then 0
                            when n.began < c.bytes_used_since and n.began < n.at
                            then extract(epoch from n.at - c.bytes_used_since)
                            else 1 end::numeric as part,
                       case when n.began < c.bytes_used_since and n.began < n.at
                            then extract(epoch from n.at - n.began)
                            else 1 end::numeric as whole) s
          group by c.id, c.bytes_used_since
          order by c.id
             on conflict (tenant_id, customer_id) do update
            set bytes_up = least(excluded.bytes_up
                         + case when u.since is not distinct from excluded.since then u.bytes_up::numeric
                                else 0 end, $10),
                bytes_down = least(excluded.bytes_down
                         + case when u.since is not distinct from excluded.since then u.bytes_down::numeric
                                else 0 end, $10),
                bytes_free = least(excluded.bytes_free
                         + case when u.since is not distinct from excluded.since then u.bytes_free::numeric
                                else 0 end, $10),
                secs = excluded.secs
                     + case when u.since is not distinct from excluded.since then u.secs else 0 end,
                since = excluded.since,
                last_ip = case when excluded.last_seen_at >= u.last_seen_at
                               then coalesce(excluded.last_ip, u.last_ip) else u.last_ip end,
                last_mac = case when excluded.last_seen_at >= u.last_seen_at
                                then coalesce(excluded.last_mac, u.last_mac) else u.last_mac end,
                last_seen_at = greatest(u.last_seen_at, excluded.last_seen_at)",
    )
    .bind(tx.tenant())
    .bind(used.iter().map(|used| used.customer).collect::<Vec<_>>())
    .bind(used.iter().map(|used| used.at).collect::<Vec<_>>())
    .bind(used.iter().map(|used| used.growth.bytes_in).collect::<Vec<_>>())
    .bind(used.iter().map(|used| used.growth.bytes_out).collect::<Vec<_>>())
    .bind(used.iter().map(|used| used.ip.as_deref()).collect::<Vec<_>>())
    .bind(used.iter().map(|used| used.mac.as_deref()).collect::<Vec<_>>())
    .bind(used.iter().map(|used| used.growth.bytes_free).collect::<Vec<_>>())
    .bind(used.iter().map(|used| used.growth.secs).collect::<Vec<_>>())
    .bind(MOST_BYTES.cast_signed())
    .bind(used.iter().map(|used| used.began).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}
