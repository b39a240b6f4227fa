//! SQL on routers.

mod certificates;
mod claims;
mod drift;
mod heard;
mod login;
mod provision;
mod rotation;
mod told;

use easyisp_shared::id::{RouterId, RouterLoginId, SiteId, TenantId};
use easyisp_shared::time::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use super::rules::{Draft, Drifted, LocalSecrets, WAY_UNSEEN};
use super::words::{Provisioning, Signing, Status};
use crate::api::{Order, Sort, Sortable};
use crate::db::Tx;

pub use certificates::{
    Certificate, MOST as MOST_CERTIFICATES, certificates, end_certificate, holders, put_certificate,
};
pub use claims::{claim, holder, release};
pub use drift::note_drift;
pub use heard::{
    Read, Said, alive, heard, heard_at, note_local_secrets, note_reading, note_said, outside,
};
pub use login::{entered_at, put_api_port, put_login, renew_login, was_never_entered};
pub use provision::{lock_by_name, placed, provisioning, was_entered};
pub use rotation::{begin_rotation, forget_previous_secret, note_secret};
pub use told::{changed, note_board, note_pools, note_told};

/// A router as it is stored.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Stored {
    /// Its id.
    pub id: RouterId,
    /// The site it stands at.
    pub site_id: SiteId,
    /// Its name.
    pub name: String,
    ip_address: String,
    source_network: String,
    /// The RADIUS secret, sealed for `routers.secret`.
    pub secret_sealed: Vec<u8>,
    /// The one before, sealed for `routers.previous_secret`; taken while a rotation is under way.
    pub previous_secret_sealed: Option<Vec<u8>>,
    /// Since when it has the present one; `None` when it never had another.
    pub secret_changed_at: Option<Timestamp>,
    /// Whether it was seen to use the present one since.
    pub secret_seen: Option<bool>,
    /// Whether unsigned requests are taken.
    pub message_authenticator: Signing,
    coa_port: i32,
    dhcp_radius: bool,
    api_username: Option<String>,
    /// The API password, sealed for `routers.api_password`.
    pub api_password_sealed: Option<Vec<u8>>,
    api_port: i32,
    latitude: Option<f64>,
    longitude: Option<f64>,
    location: Option<String>,
    parent_id: Option<RouterId>,
    /// How far its set-up is.
    pub provisioning_status: Provisioning,
    /// What it said of itself.
    pub board_name: Option<String>,
    /// What it said of itself.
    pub model: Option<String>,
    /// What it said of itself.
    pub serial_number: Option<String>,
    /// What it said of itself.
    pub routeros_version: Option<String>,
    /// Percent.
    pub cpu_load: Option<i32>,
    /// Megabytes.
    pub memory_usage_mb: Option<i32>,
    /// Megabytes.
    pub memory_total_mb: Option<i32>,
    /// What it said of itself.
    pub uptime: Option<String>,
    local_secrets: serde_json::Value,
    local_secrets_count: i64,
    local_secrets_at: Option<Timestamp>,
    drift: serde_json::Value,
    drift_count: i64,
    drift_since: Option<Timestamp>,
    /// When anything of it was last heard.
    pub last_seen_at: Option<Timestamp>,
    /// Grows with every change by a person.
    pub version: i64,
    /// When it was entered.
    pub created_at: Timestamp,
    /// When its record last changed.
    pub updated_at: Timestamp,
}

impl Stored {
    /// The customers whom the router answers by its own lists.
    pub fn local_secrets(&self) -> LocalSecrets {
        LocalSecrets {
            names: serde_json::from_value(self.local_secrets.clone()).unwrap_or_default(),
            count: self.local_secrets_count,
            at: self.local_secrets_at,
        }
    }

    /// What of it differs from its set-up.
    pub fn drifted(&self) -> Drifted {
        Drifted {
            shown: serde_json::from_value(self.drift.clone()).unwrap_or_default(),
            count: self.drift_count,
            since: self.drift_since,
        }
    }

    /// The content.
    pub fn draft(&self) -> Draft {
        Draft {
            name: self.name.clone(),
            ip_address: self
                .ip_address
                .parse()
                .expect("stored addresses were parsed"),
            source_network: self
                .source_network
                .parse()
                .expect("stored networks were parsed"),
            coa_port: self.coa_port,
            message_authenticator: Some(self.message_authenticator),
            dhcp_radius: self.dhcp_radius,
            api_username: self.api_username.clone(),
            api_port: self.api_port,
            latitude: self.latitude,
            longitude: self.longitude,
            location: self.location.clone(),
            parent: self.parent_id,
        }
    }
}

/// A router with what a list shows beside it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Row {
    /// The router.
    #[sqlx(flatten)]
    pub stored: Stored,
    /// Whether it was heard of lately.
    pub present_status: Status,
    /// Open sessions of homes.
    pub pppoe: i64,
    /// Open hotspot sessions.
    pub hotspot: i64,
    /// Customers who belong to it.
    pub customers: i64,
    /// Where somebody comes in by the way to its WinBox that was opened last, while one is open.
    pub winbox_port: Option<i32>,
}

/// Which routers a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Part of name, address or place.
    pub search: Option<String>,
    /// A status; OFFLINE means everything that is not ONLINE.
    pub status: Option<Status>,
}

/// What routers are sorted by.
#[derive(Clone, Copy, Debug)]
pub struct By;

impl Sortable for By {
    const ALL: &'static [(&'static str, &'static [&'static str])] = &[
        ("name", &["name_key", "id"]),
        ("status", &["present_status", "name_key", "id"]),
        ("lastSeen", &["last_seen_at", "id"]),
        ("createdAt", &["created_at", "id"]),
        ("customerCount", &["customers", "id"]),
    ];
    const USUAL: Order = Order::Asc;
}

/// One page of routers, by name unless asked otherwise, and how many there are in all.
///
/// `heard` is the moment since when a router must have been heard to count as online; a way to one is open while its
/// time is not over `now`.
pub async fn list(
    tx: &mut Tx,
    filter: &Filter,
    sort: Sort<By>,
    (heard, now): (Timestamp, Timestamp),
    limit: i64,
    offset: i64,
) -> sqlx::Result<(Vec<Row>, i64)> {
    let (status, anything_but) = match filter.status {
        Some(Status::Offline) => (None, Some(Status::Online)),
        status => (status, None),
    };
    let pattern = filter.search.as_deref().map(crate::db::like);
    let rows: Vec<Row> = sqlx::query_as(sort.text(
        "with wanted as (
             select r.*, lower(r.name) as name_key, case when r.status = 'ONLINE' and r.last_seen_at < $2 then 'OFFLINE'
                              when r.status = 'ONLINE' and r.api_problem is not null and r.api_asked_at >= $2 then 'ERROR'
                              else r.status end as present_status
               from routers r
              where r.tenant_id = $1 and r.deleted_at is null
                and ($3::text is null or r.name ilike $3 or r.ip_address ilike $3
                     or r.location ilike $3 or r.board_name ilike $3))
         select w.*, s.pppoe, s.hotspot, c.customers, a.listen_port as winbox_port
           from wanted w
          cross join lateral (
                select count(*) filter (where connection_type is distinct from 'HOTSPOT') as pppoe,
                       count(*) filter (where connection_type = 'HOTSPOT') as hotspot
                  from sessions s
                 where s.tenant_id = $1 and s.router_id = w.id and s.status <> 'COMPLETED') s
          cross join lateral (
                select count(*) as customers from customers c
                 where c.tenant_id = $1 and c.router_id = w.id and c.deleted_at is null) c
           left join lateral (
                select g.listen_port from access_grants g
                 where g.tenant_id = $1 and g.router_id = w.id and g.service = 'WINBOX'
                   and g.closed_at is null and g.expires_at > $8 and g.listen_port is not null
                   and (g.served_at is null or g.served_at > $9)
                 order by g.opened_at desc, g.id desc
                 limit 1) a on true
          where ($4::text is null or w.present_status = $4)
            and ($5::text is null or w.present_status <> $5)
          order by {order}
          limit $6 offset $7",
    ))
    .bind(tx.tenant())
    .bind(heard)
    .bind(&pattern)
    .bind(status)
    .bind(anything_but)
    .bind(limit)
    .bind(offset)
    .bind(now)
    .bind(now.minus(WAY_UNSEEN))
    .fetch_all(&mut **tx)
    .await?;
    let total = sqlx::query_scalar(
        "select count(*)
           from (select case when r.status = 'ONLINE' and r.last_seen_at < $2 then 'OFFLINE'
                             when r.status = 'ONLINE' and r.api_problem is not null and r.api_asked_at >= $2 then 'ERROR'
                             else r.status end as present_status
                   from routers r
                  where r.tenant_id = $1 and r.deleted_at is null
                    and ($3::text is null or r.name ilike $3 or r.ip_address ilike $3
                         or r.location ilike $3 or r.board_name ilike $3)) w
          where ($4::text is null or w.present_status = $4)
            and ($5::text is null or w.present_status <> $5)",
    )
    .bind(tx.tenant())
    .bind(heard)
    .bind(&pattern)
    .bind(status)
    .bind(anything_but)
    .fetch_one(&mut **tx)
    .await?;
    Ok((rows, total))
}

/// One router; `None` when this tenant has no such router.
pub async fn find(
    tx: &mut Tx,
    router: RouterId,
    (heard, now): (Timestamp, Timestamp),
) -> sqlx::Result<Option<Row>> {
    sqlx::query_as(
        "select r.*, case when r.status = 'ONLINE' and r.last_seen_at < $3 then 'OFFLINE'
                          when r.status = 'ONLINE' and r.api_problem is not null and r.api_asked_at >= $3 then 'ERROR'
                          else r.status end as present_status,
                s.pppoe, s.hotspot, c.customers, a.listen_port as winbox_port
           from routers r
          cross join lateral (
                select count(*) filter (where connection_type is distinct from 'HOTSPOT') as pppoe,
                       count(*) filter (where connection_type = 'HOTSPOT') as hotspot
                  from sessions s
                 where s.tenant_id = $1 and s.router_id = r.id and s.status <> 'COMPLETED') s
          cross join lateral (
                select count(*) as customers from customers c
                 where c.tenant_id = $1 and c.router_id = r.id and c.deleted_at is null) c
           left join lateral (
                select g.listen_port from access_grants g
                 where g.tenant_id = $1 and g.router_id = r.id and g.service = 'WINBOX'
                   and g.closed_at is null and g.expires_at > $4 and g.listen_port is not null
                   and (g.served_at is null or g.served_at > $5)
                 order by g.opened_at desc, g.id desc
                 limit 1) a on true
          where r.tenant_id = $1 and r.id = $2 and r.deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(heard)
    .bind(now)
    .bind(now.minus(WAY_UNSEEN))
    .fetch_optional(&mut **tx)
    .await
}

/// Locks a router until the transaction ends; whether this tenant has it.
///
/// A customer being given this router waits, so a count made under it stays true.
pub async fn lock(tx: &mut Tx, router: RouterId) -> sqlx::Result<bool> {
    let found: Option<i32> = sqlx::query_scalar(
        "select 1 from routers where tenant_id = $1 and id = $2 and deleted_at is null for update",
    )
    .bind(tx.tenant())
    .bind(router)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.is_some())
}

/// Locks a router until the transaction ends, to note what is heard of it; whether this tenant has it.
///
/// Who changes it waits; who writes what refers to it does not.
pub async fn lock_to_note(tx: &mut Tx, router: RouterId) -> sqlx::Result<bool> {
    let found: Option<i32> = sqlx::query_scalar(
        "select 1 from routers where tenant_id = $1 and id = $2 and deleted_at is null for no key update",
    )
    .bind(tx.tenant())
    .bind(router)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.is_some())
}

/// The site that was asked for, else the tenant's first; `None` when there is no such site.
pub async fn site(tx: &mut Tx, asked: Option<SiteId>) -> sqlx::Result<Option<SiteId>> {
    sqlx::query_scalar(
        "select id from sites
          where tenant_id = $1 and deleted_at is null and ($2::uuid is null or id = $2)
          order by created_at, id
          limit 1",
    )
    .bind(tx.tenant())
    .bind(asked)
    .fetch_optional(&mut **tx)
    .await
}

/// The sealed secrets of a router.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// For `routers.secret`.
    pub secret: Vec<u8>,
    /// For `routers.previous_secret`.
    pub previous: Option<Vec<u8>>,
    /// For `routers.api_password`.
    pub api_password: Option<Vec<u8>>,
}

/// Writes a new router, not heard of yet.
pub async fn insert(
    tx: &mut Tx,
    router: RouterId,
    site: SiteId,
    (draft, signing): (&Draft, Signing),
    sealed: &Sealed,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into routers (tenant_id, id, site_id, name, ip_address, source_network,
                secret_sealed, coa_port, api_username, api_password_sealed, api_port, latitude,
                longitude, location, created_at, updated_at, message_authenticator,
                dhcp_radius, parent_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $15, $16, $17, $18)",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(site)
    .bind(&draft.name)
    .bind(draft.ip_address.to_string())
    .bind(draft.source_network.to_string())
    .bind(&sealed.secret)
    .bind(draft.coa_port)
    .bind(&draft.api_username)
    .bind(&sealed.api_password)
    .bind(draft.api_port)
    .bind(draft.latitude)
    .bind(draft.longitude)
    .bind(&draft.location)
    .bind(now)
    .bind(signing)
    .bind(draft.dhcp_radius)
    .bind(draft.parent)
    .execute(&mut **tx)
    .await?;
    sqlx::query("insert into directory.routers (router_id, tenant_id) values ($2, $1)")
        .bind(tx.tenant())
        .bind(router)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whose router this is, deleted ones too; `None` when there never was one of this id.
pub async fn tenant_of(
    directory: &mut PgConnection,
    router: RouterId,
) -> sqlx::Result<Option<TenantId>> {
    sqlx::query_scalar("select tenant_id from directory.routers where router_id = $1")
        .bind(router)
        .fetch_optional(directory)
        .await
}

/// Writes the new content of a router.
pub async fn update(
    tx: &mut Tx,
    router: RouterId,
    site: SiteId,
    draft: &Draft,
    sealed: &Sealed,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update routers
            set site_id = $3, name = $4, ip_address = $5, source_network = $6, secret_sealed = $7,
                previous_secret_sealed = $8, coa_port = $9, api_username = $10,
                api_password_sealed = $11, api_port = $12, latitude = $13, longitude = $14,
                location = $15, message_authenticator = coalesce($17, message_authenticator),
                dhcp_radius = $18, parent_id = $19,
                version = version + 1, updated_at = $16
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(site)
    .bind(&draft.name)
    .bind(draft.ip_address.to_string())
    .bind(draft.source_network.to_string())
    .bind(&sealed.secret)
    .bind(&sealed.previous)
    .bind(draft.coa_port)
    .bind(&draft.api_username)
    .bind(&sealed.api_password)
    .bind(draft.api_port)
    .bind(draft.latitude)
    .bind(draft.longitude)
    .bind(&draft.location)
    .bind(now)
    .bind(draft.message_authenticator)
    .bind(draft.dhcp_radius)
    .bind(draft.parent)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whoever stands before a device, it and those through which it is reached, as far as 32; empty where this tenant
/// has no such device.
pub async fn before(tx: &mut Tx, device: RouterId) -> sqlx::Result<Vec<RouterId>> {
    sqlx::query_scalar(
        "with recursive up as (
             select id, parent_id, 1 as step from routers
              where tenant_id = $1 and id = $2 and deleted_at is null
             union all
             select r.id, r.parent_id, up.step + 1
               from up join routers r on r.tenant_id = $1 and r.id = up.parent_id
              where up.step < 32)
         select id from up order by step",
    )
    .bind(tx.tenant())
    .bind(device)
    .fetch_all(&mut **tx)
    .await
}

/// Marks a router deleted; its name is free again, no package is sold at it and nothing stands behind it.
pub async fn delete(tx: &mut Tx, router: RouterId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "with unsold as (delete from package_routers where tenant_id = $1 and router_id = $2),
              behind as (update routers set parent_id = null where tenant_id = $1 and parent_id = $2)
         update routers set deleted_at = $3, updated_at = $3 where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(router)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The routers among `ids` that exist.
pub async fn present(tx: &mut Tx, ids: &[Uuid]) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as(
        "select * from routers where tenant_id = $1 and id = any($2) and deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(ids)
    .fetch_all(&mut **tx)
    .await
}

/// Where a router is entered to be.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Place {
    /// Which.
    pub id: RouterId,
    /// Of which site.
    pub site_id: SiteId,
    /// Its name.
    pub name: String,
    /// Where CoA, API and SNMP go.
    pub ip_address: String,
}

/// Where the routers of these sites are entered to be.
pub async fn places(tx: &mut Tx, sites: &[SiteId]) -> sqlx::Result<Vec<Place>> {
    sqlx::query_as(
        "select id, site_id, name, ip_address from routers
          where tenant_id = $1 and site_id = any($2)
          order by id
          limit 10000",
    )
    .bind(tx.tenant())
    .bind(sites)
    .fetch_all(&mut **tx)
    .await
}

/// Which of these routers stand at `site`.
pub async fn at_site(
    tx: &mut Tx,
    site: SiteId,
    routers: &[RouterId],
) -> sqlx::Result<Vec<RouterId>> {
    sqlx::query_scalar(
        "select id from routers where tenant_id = $1 and site_id = $2 and id = any($3)",
    )
    .bind(tx.tenant())
    .bind(site)
    .bind(routers)
    .fetch_all(&mut **tx)
    .await
}

/// The ids of all routers, for comparing them with what sites know.
pub async fn every_id(tx: &mut Tx, after: Uuid, most: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "select id from routers where tenant_id = $1 and id > $2 order by id limit $3",
    )
    .bind(tx.tenant())
    .bind(after)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// The site where a router stands; `None` when this tenant has no such router.
pub async fn site_of(tx: &mut Tx, router: RouterId) -> sqlx::Result<Option<SiteId>> {
    sqlx::query_scalar(
        "select site_id from routers where tenant_id = $1 and id = $2 and deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(router)
    .fetch_optional(&mut **tx)
    .await
}

/// A router's name; `None` when this tenant has no such router.
pub async fn name_of(tx: &mut Tx, router: RouterId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "select name from routers where tenant_id = $1 and id = $2 and deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(router)
    .fetch_optional(&mut **tx)
    .await
}

/// The routers that are called one of these words, in lower case, by name or id: the word in lower case, and which.
pub async fn called(tx: &mut Tx, words: &[String]) -> sqlx::Result<Vec<(String, RouterId)>> {
    sqlx::query_as(
        "select case when lower(name) = any($2) then lower(name) else id::text end, id
           from routers
          where tenant_id = $1 and deleted_at is null
            and (lower(name) = any($2) or id::text = any($2))
          limit 5000",
    )
    .bind(tx.tenant())
    .bind(words)
    .fetch_all(&mut **tx)
    .await
}

/// The logins that hold at this router only.
pub async fn logins(tx: &mut Tx, router: RouterId) -> sqlx::Result<Vec<RouterLoginId>> {
    sqlx::query_scalar("select id from router_logins where tenant_id = $1 and router_id = $2")
        .bind(tx.tenant())
        .bind(router)
        .fetch_all(&mut **tx)
        .await
}

/// Forgets the logins that hold at this router only.
pub async fn delete_logins(tx: &mut Tx, router: RouterId) -> sqlx::Result<()> {
    sqlx::query("delete from router_logins where tenant_id = $1 and router_id = $2")
        .bind(tx.tenant())
        .bind(router)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
