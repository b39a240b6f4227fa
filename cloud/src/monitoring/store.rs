//! SQL on monitored devices and what they said.

use easyisp_shared::id::{RouterId, SiteId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::monitor::{DeviceFactsV1, SampleV1};
use sqlx::types::Json;
use uuid::Uuid;

use super::bucket::Bucket;
use super::rules::{
    Draft, GATHER, Held, MISSED, Way, auth_of, auth_word, privacy_of, privacy_word,
};
use crate::db::Tx;

/// A device as it is stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Stored {
    /// The router.
    pub router_id: RouterId,
    /// 2 or 3.
    pub version: i16,
    /// UDP port.
    pub port: i32,
    /// Seconds between two readings.
    pub interval_secs: i32,
    /// Sealed for `monitored.community`.
    pub community_sealed: Option<Vec<u8>>,
    /// SNMPv3.
    pub username: Option<String>,
    /// How he signs.
    pub auth_protocol: Option<String>,
    /// Sealed for `monitored.auth`.
    pub auth_sealed: Option<Vec<u8>>,
    /// How he enciphers.
    pub privacy_protocol: Option<String>,
    /// Sealed for `monitored.privacy`.
    pub privacy_sealed: Option<Vec<u8>>,
    /// When an agent asked it last.
    pub polled_at: Option<Timestamp>,
    /// Why it said nothing then.
    pub problem: Option<String>,
    /// Interfaces that are not watched.
    pub ports_left_out: i32,
}

impl Stored {
    /// The content, secrets apart.
    pub fn draft(&self) -> Draft {
        let way = match &self.username {
            Some(name) if self.version == 3 => Way::User {
                name: name.clone(),
                auth: self
                    .auth_protocol
                    .as_deref()
                    .and_then(|word| auth_of(word).ok()?),
                privacy: self
                    .privacy_protocol
                    .as_deref()
                    .and_then(|word| privacy_of(word).ok()?),
            },
            Some(_) | None => Way::Community,
        };
        Draft {
            port: self.port,
            interval_secs: self.interval_secs,
            way,
        }
    }

    /// Which secrets there are.
    pub fn held(&self) -> Held {
        Held {
            community: self.community_sealed.is_some(),
            auth: self.auth_sealed.is_some(),
            privacy: self.privacy_sealed.is_some(),
        }
    }
}

/// One device; `None` where the router is not watched. Lock the router before you change it.
pub async fn find(tx: &mut Tx, router: RouterId) -> sqlx::Result<Option<Stored>> {
    sqlx::query_as("select * from monitored where tenant_id = $1 and router_id = $2")
        .bind(tx.tenant())
        .bind(router)
        .fetch_optional(&mut **tx)
        .await
}

/// The sealed secrets of a device.
#[derive(Clone, Debug, Default)]
pub struct Sealed {
    /// Community.
    pub community: Option<Vec<u8>>,
    /// What signs.
    pub auth: Option<Vec<u8>>,
    /// What enciphers.
    pub privacy: Option<Vec<u8>>,
}

/// Writes how to enter a device over what was before; what it said stays.
pub async fn put(
    tx: &mut Tx,
    router: RouterId,
    draft: &Draft,
    sealed: &Sealed,
    now: Timestamp,
) -> sqlx::Result<()> {
    let (version, name, auth, privacy) = match &draft.way {
        Way::Community => (2_i16, None, None, None),
        Way::User {
            name,
            auth,
            privacy,
        } => (3, Some(name.as_str()), *auth, *privacy),
    };
    sqlx::query(
        "insert into monitored (tenant_id, router_id, version, port, interval_secs, community_sealed,
                username, auth_protocol, auth_sealed, privacy_protocol, privacy_sealed, created_at,
                updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)
             on conflict (tenant_id, router_id) do update
            set version = excluded.version, port = excluded.port,
                interval_secs = excluded.interval_secs,
                community_sealed = excluded.community_sealed, username = excluded.username,
                auth_protocol = excluded.auth_protocol, auth_sealed = excluded.auth_sealed,
                privacy_protocol = excluded.privacy_protocol,
                privacy_sealed = excluded.privacy_sealed, updated_at = excluded.updated_at",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(version)
    .bind(draft.port)
    .bind(draft.interval_secs)
    .bind(&sealed.community)
    .bind(name)
    .bind(auth.map(auth_word))
    .bind(sealed.auth.as_ref().filter(|_| auth.is_some()))
    .bind(privacy.map(privacy_word))
    .bind(sealed.privacy.as_ref().filter(|_| privacy.is_some()))
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Watches a router no more; its graphs stay until they are old. `false` when it was not watched.
pub async fn delete(tx: &mut Tx, router: RouterId) -> sqlx::Result<bool> {
    let done = sqlx::query("delete from monitored where tenant_id = $1 and router_id = $2")
        .bind(tx.tenant())
        .bind(router)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// The devices among `ids` whose routers exist, and where those stand.
pub async fn for_sites(tx: &mut Tx, ids: &[Uuid]) -> sqlx::Result<Vec<(SiteId, Stored)>> {
    #[derive(sqlx::FromRow)]
    struct AtSite {
        site_id: SiteId,
        #[sqlx(flatten)]
        stored: Stored,
    }
    let rows: Vec<AtSite> = sqlx::query_as(
        "select r.site_id, m.*
           from monitored m
           join routers r on r.tenant_id = $1 and r.id = m.router_id and r.deleted_at is null
          where m.tenant_id = $1 and m.router_id = any($2)",
    )
    .bind(tx.tenant())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.site_id, row.stored))
        .collect())
}

/// The ids of all devices, for comparing them with what sites know.
pub async fn every_id(tx: &mut Tx, after: Uuid, most: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "select router_id from monitored where tenant_id = $1 and router_id > $2
          order by router_id limit $3",
    )
    .bind(tx.tenant())
    .bind(after)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// A device in the list.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Listed {
    /// The router's name.
    pub name: String,
    /// Its address.
    pub ip_address: String,
    /// The device.
    #[sqlx(flatten)]
    pub stored: Stored,
}

/// The watched devices, by name: one page of them.
pub async fn list(tx: &mut Tx, limit: i64, offset: i64) -> sqlx::Result<Vec<Listed>> {
    sqlx::query_as(
        "select r.name, r.ip_address, m.*
           from monitored m
           join routers r on r.tenant_id = $1 and r.id = m.router_id and r.deleted_at is null
          where m.tenant_id = $1
          order by r.name, r.id
          limit $2 offset $3",
    )
    .bind(tx.tenant())
    .bind(limit)
    .bind(offset)
    .fetch_all(&mut **tx)
    .await
}

/// The watched devices in numbers, by the rule of [`rules::standing`](super::rules::standing).
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Counted {
    /// All.
    pub total: i64,
    /// They answer.
    pub online: i64,
    /// They were asked, and do not.
    pub offline: i64,
    /// Entered by version 3.
    pub by_user: i64,
    /// The shortest time between two readings.
    pub shortest_secs: Option<i32>,
}

/// Counts the watched devices.
pub async fn count(tx: &mut Tx, now: Timestamp) -> sqlx::Result<Counted> {
    sqlx::query_as(
        "select count(*) as total,
                count(*) filter (where m.polled_at is not null and m.problem is null and m.fresh) as online,
                count(*) filter (where m.polled_at is not null and (m.problem is not null or not m.fresh))
                    as offline,
                count(*) filter (where m.version = 3) as by_user,
                min(m.interval_secs) as shortest_secs
           from (select *, polled_at >= $2 - make_interval(secs => $3 + $4 * interval_secs) as fresh
                   from monitored
                  where tenant_id = $1) m
           join routers r on r.tenant_id = $1 and r.id = m.router_id and r.deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(now)
    .bind(GATHER.as_secs_f64())
    .bind(f64::from(MISSED))
    .fetch_one(&mut **tx)
    .await
}

/// One watched device, as in the list.
pub async fn one(tx: &mut Tx, router: RouterId) -> sqlx::Result<Option<Listed>> {
    sqlx::query_as(
        "select r.name, r.ip_address, m.*
           from monitored m
           join routers r on r.tenant_id = $1 and r.id = m.router_id and r.deleted_at is null
          where m.tenant_id = $1 and m.router_id = $2",
    )
    .bind(tx.tenant())
    .bind(router)
    .fetch_optional(&mut **tx)
    .await
}

/// Locks a device of `site` until the transaction ends; gives the facts it told last. `None` when that site
/// does not watch it.
pub async fn lock_at(
    tx: &mut Tx,
    site: SiteId,
    router: RouterId,
) -> sqlx::Result<Option<Option<DeviceFactsV1>>> {
    let found: Option<Option<Json<DeviceFactsV1>>> = sqlx::query_scalar(
        "select m.facts
           from monitored m
           join routers r on r.tenant_id = $1 and r.id = m.router_id and r.site_id = $2
          where m.tenant_id = $1 and m.router_id = $3 and r.deleted_at is null
            for update of m",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(router)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.map(|facts| facts.map(|Json(facts)| facts)))
}

/// Notes what a device said last; what is `None` stays, but for the problem.
pub async fn note(
    tx: &mut Tx,
    router: RouterId,
    at: Timestamp,
    problem: Option<&str>,
    facts: Option<&DeviceFactsV1>,
    sample: Option<&SampleV1>,
) -> sqlx::Result<()> {
    sqlx::query(
        "update monitored
            set polled_at = $3, problem = $4, facts = coalesce($5, facts),
                sample = coalesce($6, sample)
          where tenant_id = $1 and router_id = $2 and (polled_at is null or polled_at <= $3)",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(at)
    .bind(problem)
    .bind(facts.map(Json))
    .bind(sample.map(Json))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes how many interfaces of a device are not watched.
pub async fn note_left_out(tx: &mut Tx, router: RouterId, left_out: u32) -> sqlx::Result<()> {
    sqlx::query(
        "update monitored set ports_left_out = $3
          where tenant_id = $1 and router_id = $2 and ports_left_out <> $3",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(i32::try_from(left_out).unwrap_or(i32::MAX))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// One row of metrics. Its device is locked: nobody else adds to it.
pub async fn bucket(
    tx: &mut Tx,
    router: RouterId,
    step: i32,
    at: Timestamp,
) -> sqlx::Result<Option<Bucket>> {
    let found: Option<Json<Bucket>> = sqlx::query_scalar(
        "select body from metrics
          where tenant_id = $1 and router_id = $2 and step = $3 and at = $4",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(step)
    .bind(at)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.map(|Json(bucket)| bucket))
}

/// Writes a row of metrics over the one before.
pub async fn put_bucket(
    tx: &mut Tx,
    router: RouterId,
    step: i32,
    at: Timestamp,
    bucket: &Bucket,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into metrics (tenant_id, router_id, step, at, body) values ($1, $2, $3, $4, $5)
             on conflict (tenant_id, router_id, step, at) do update set body = excluded.body",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(step)
    .bind(at)
    .bind(Json(bucket))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The rows of these devices of one length from `from` on, by device and time, at most `most`.
pub async fn buckets(
    tx: &mut Tx,
    routers: &[RouterId],
    step: i32,
    from: Timestamp,
    most: i64,
) -> sqlx::Result<Vec<(RouterId, Timestamp, Bucket)>> {
    let rows: Vec<(RouterId, Timestamp, Json<Bucket>)> = sqlx::query_as(
        "select router_id, at, body
           from metrics
          where tenant_id = $1 and router_id = any($2) and step = $3 and at >= $4
          order by router_id, at
          limit $5",
    )
    .bind(tx.tenant())
    .bind(routers)
    .bind(step)
    .bind(from)
    .bind(most)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(router, at, Json(bucket))| (router, at, bucket))
        .collect())
}

/// Forgets at most `most` rows of a length that began before `until`; says how many.
pub async fn forget(tx: &mut Tx, step: i32, until: Timestamp, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "delete from metrics m
          using (select router_id, step, at from metrics
                  where tenant_id = $1 and step = $2 and at < $3 limit $4) old
          where m.tenant_id = $1 and m.router_id = old.router_id and m.step = old.step
            and m.at = old.at",
    )
    .bind(tx.tenant())
    .bind(step)
    .bind(until)
    .bind(most)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}
