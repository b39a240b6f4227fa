//! `/api/snmp`: which devices are watched, how, and what they say now.

use std::time::Duration;

use axum::extract::State;
use easyisp_shared::id::RouterId;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::monitor::{PortFactV1, SensorUnit};
use easyisp_shared::wire::question::{Question, Reply};
use easyisp_shared::wire::router::{RouterAsk, RouterTold, SnmpReadingV1};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::rules::{self, Change, Way, auth_word, fresh, privacy_word};
use super::store::{self, Counted, Listed, Sealed, Stored};
use super::{AUTH, COMMUNITY, PRIVACY};
use crate::api::{Json, Masked, Page, Path, Success, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::{Database, Kind};
use crate::error::ApiError;
use crate::routers;
use crate::secrets::Secrets;
use crate::sites::Live;

/// Every watched device.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Whether anything is watched.
    enabled: bool,
    /// Seconds between two readings: the shortest of all; 60 without any.
    poll_interval: i32,
    /// `v2c`, `v3` or `mixed`.
    version: &'static str,
    /// By name: one page of them, or the first 1,000 where no page is asked for.
    devices: Vec<Device>,
    stats: Stats,
    page: u32,
    page_size: u32,
    total_pages: i64,
}

/// How many there are, on this page or not. Those not read yet are in `total` alone.
#[derive(Serialize, ToSchema)]
pub struct Stats {
    total: i64,
    online: i64,
    offline: i64,
}

/// A watched device.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// The router's.
    id: RouterId,
    name: String,
    ip: String,
    port: i32,
    version: &'static str,
    poll_interval: i32,
    /// Masked; null for v3.
    community: Option<Masked>,
    username: Option<String>,
    auth_protocol: Option<&'static str>,
    privacy_protocol: Option<&'static str>,
    /// `ONLINE`, `OFFLINE`, or `PENDING` before the first reading.
    status: &'static str,
    /// Why it said nothing.
    problem: Option<String>,
    last_polled: Option<Timestamp>,
    /// Interfaces that are not watched, because it has more than are read at every poll.
    ports_left_out: i32,
}

/// `GET /api/snmp/status`: which devices are watched and whether they answer.
#[utoipa::path(get, path = "/api/snmp/status", tag = "SNMP",
    params(("page" = Option<u32>, Query), ("pageSize" = Option<u32>, Query)),
    responses((status = 200, body = Status)))]
pub async fn status(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    page: Page,
) -> Result<Json<Status>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let listed = store::list(&mut tx, page.limit(), page.offset()).await?;
    let Counted {
        total,
        online,
        offline,
        by_user,
        shortest_secs,
    } = store::count(&mut tx, now).await?;
    Ok(Json(Status {
        enabled: total > 0,
        poll_interval: shortest_secs.unwrap_or(60),
        version: match by_user {
            0 => "v2c",
            some if some < total => "mixed",
            _ => "v3", // all
        },
        devices: listed
            .into_iter()
            .map(|listed| device(listed, now))
            .collect(),
        stats: Stats {
            total,
            online,
            offline,
        },
        page: page.number,
        page_size: page.size,
        total_pages: page.total_pages(total),
    }))
}

fn device(listed: Listed, now: Timestamp) -> Device {
    let Listed {
        name,
        ip_address,
        stored,
    } = listed;
    let status = rules::standing(
        stored.polled_at,
        stored.problem.as_deref(),
        stored.interval_secs,
        now,
    );
    let (version, username, auth, privacy) = match stored.draft().way {
        Way::Community => ("v2c", None, None, None),
        Way::User {
            name,
            auth,
            privacy,
        } => ("v3", Some(name), auth, privacy),
    };
    Device {
        id: stored.router_id,
        name,
        ip: ip_address,
        port: stored.port,
        version,
        poll_interval: stored.interval_secs,
        community: (version == "v2c").then_some(Masked),
        username,
        auth_protocol: auth.map(auth_word),
        privacy_protocol: privacy.map(privacy_word),
        status,
        problem: stored.problem,
        last_polled: stored.polled_at,
        ports_left_out: stored.ports_left_out,
    }
}

/// What a device says now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Polled {
    nas_id: RouterId,
    nas_name: String,
    polled_at: Timestamp,
    /// Milliseconds until its first answer.
    latency: u32,
    data: Reading,
}

/// A reading.
#[derive(Serialize, ToSchema)]
pub struct Reading {
    system: System,
    interfaces: Vec<Port>,
    /// Percent, over all cores.
    cpu: Option<u32>,
    memory: Room,
    disk: Room,
    sensors: Vec<Sensor>,
    sessions: Sessions,
}

/// Who a device is. Names as in its MIB.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct System {
    sys_descr: String,
    /// Seconds.
    sys_up_time: Option<u64>,
    sys_name: String,
    sys_location: String,
    sys_object_id: String,
    version: Option<String>,
    licence_level: Option<u32>,
    serial_number: Option<String>,
    firmware: Option<String>,
    board_name: Option<String>,
    cores: u32,
    /// When it started last, as it says.
    started: Option<Timestamp>,
}

/// An interface. Names as in its MIB.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    if_index: u32,
    if_descr: String,
    if_alias: String,
    /// 1 up, 2 down, 3 testing, 4 unknown, 5 dormant, 6 not present, 7 lower layer down.
    if_oper_status: Option<u32>,
    if_in_octets: Option<u64>,
    if_out_octets: Option<u64>,
    /// Bits a second.
    speed: Option<u64>,
    /// Bits a second since the reading before; null after the first.
    in_bps: Option<u64>,
    /// Bits a second.
    out_bps: Option<u64>,
    /// Broken packets since the reading before.
    errors: u64,
    /// Packets thrown away since then.
    drops: u64,
}

/// How full something is, bytes.
#[derive(Serialize, ToSchema)]
pub struct Room {
    used: Option<u64>,
    total: Option<u64>,
    percent: Option<f64>,
}

/// A sensor.
#[derive(Serialize, ToSchema)]
pub struct Sensor {
    name: String,
    value: Option<f64>,
    /// `C`, `V`, `A`, `W`, `RPM`; empty for a state, of which 0 is well.
    unit: &'static str,
}

/// Who is online there, as it counts.
#[derive(Serialize, ToSchema)]
pub struct Sessions {
    pppoe: Option<u32>,
    hotspot: Option<u32>,
    leases: Option<u32>,
}

/// `GET /api/snmp/poll/{router}`: reads a device now, through its site.
///
/// Errors: 422 when the router is not watched, 503 when the site is away, 502 when the device does not answer
/// (the message says what to look at), 504 when it is too slow.
#[utoipa::path(get, path = "/api/snmp/poll/{router}", tag = "SNMP",
    params(("router" = RouterId, Path)), responses((status = 200, body = Polled),
        (status = 422, description = "The router is not watched over SNMP"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn poll(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
) -> Result<Json<Polled>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let site = routers::site_of(&mut tx, router).await?;
    let site = site.ok_or(ApiError::NotFound("router"))?;
    let name = routers::name_of(&mut tx, router).await?.unwrap_or_default();
    drop(tx);
    let question = Question::Router {
        router,
        ask: RouterAsk::Snmp,
    };
    let told = live
        .ask(operator.tenant, site, &question, PATIENCE, clock.now())
        .await?;
    match told {
        Reply::Router(RouterTold::Snmp(told)) => Ok(Json(Polled {
            nas_id: router,
            nas_name: name,
            polled_at: told.sample.at,
            latency: told.sample.millis,
            data: reading(*told),
        })),
        _ => Err(ApiError::BadGateway {
            // An answer to something else.
            message: "The site answered something else".to_owned(),
        }),
    }
}

fn reading(told: SnmpReadingV1) -> Reading {
    let (facts, sample) = (told.facts, told.sample);
    let room = |used: Option<u64>, total: Option<u64>| Room {
        percent: used
            .zip(total.filter(|total| *total > 0))
            .map(|(used, total)| (used as f64 * 10_000.0 / total as f64).round() / 100.0),
        used,
        total,
    };
    let mut octets = told.octets.into_iter();
    let mut samples = sample.ports.iter().copied();
    let mut port = |fact: PortFactV1| {
        let (input, output) = octets.next().unwrap_or_default();
        let now = samples.next().unwrap_or_default();
        Port {
            if_index: fact.index,
            if_descr: fact.name,
            if_alias: fact.alias,
            if_oper_status: now.status,
            if_in_octets: input,
            if_out_octets: output,
            speed: fact.speed_bps,
            in_bps: now.in_bps,
            out_bps: now.out_bps,
            errors: now.errors,
            drops: now.drops,
        }
    };
    let sensors = facts.sensors.into_iter().zip(&sample.sensors);
    let sensors = sensors.map(|(fact, milli)| {
        let (unit, scale) = unit(fact.unit);
        Sensor {
            name: fact.name,
            value: milli.map(|milli| milli as f64 / scale),
            unit,
        }
    });
    Reading {
        sensors: sensors.collect(),
        interfaces: facts.ports.into_iter().map(&mut port).collect(),
        cpu: sample.cpu,
        memory: room(sample.memory_used, facts.memory_total),
        disk: room(sample.disk_used, facts.disk_total),
        sessions: Sessions {
            pppoe: sample.ppp,
            hotspot: sample.hotspot,
            leases: sample.leases,
        },
        system: System {
            sys_descr: facts.description,
            sys_up_time: sample.uptime_secs,
            sys_name: facts.name,
            sys_location: facts.location,
            sys_object_id: facts.object,
            version: facts.version,
            licence_level: facts.licence_level,
            serial_number: facts.serial,
            firmware: facts.firmware,
            board_name: facts.board,
            cores: facts.cores,
            started: told.started,
        },
    }
}

/// How a unit is written, and how many thousandths it has.
pub(super) fn unit(unit: SensorUnit) -> (&'static str, f64) {
    match unit {
        SensorUnit::Celsius => ("C", 1000.0),
        SensorUnit::Rpm => ("RPM", 1000.0),
        SensorUnit::Volt => ("V", 1000.0),
        SensorUnit::Ampere => ("A", 1000.0),
        SensorUnit::Watt => ("W", 1000.0),
        SensorUnit::Status => ("", 1.0),
    }
}

/// How a device is entered.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettingsRequest {
    /// The router to watch.
    #[serde(default, deserialize_with = "blank::option")]
    nas_id: Option<RouterId>,
    /// `v2c` or `v3`.
    #[serde(default, deserialize_with = "blank::option")]
    version: Option<String>,
    /// 161 when it is never said.
    #[serde(default, deserialize_with = "blank::option")]
    port: Option<i32>,
    /// Seconds between two readings, 10 to 86400; 60 when it is never said.
    #[serde(default, deserialize_with = "blank::option")]
    poll_interval: Option<i32>,
    /// v2c. Masked or empty: unchanged.
    #[serde(default, deserialize_with = "blank::option")]
    #[schema(value_type = Option<String>)]
    community: Option<SecretString>,
    /// v3.
    #[serde(default, deserialize_with = "blank::option")]
    username: Option<String>,
    /// `MD5`, `SHA1`, `SHA224`, `SHA256`, `SHA384`, `SHA512` or `none`; SHA1 when only a password is said.
    #[serde(default, deserialize_with = "blank::option")]
    auth_protocol: Option<String>,
    /// 8 to 64 characters of ASCII. Masked or empty: unchanged.
    #[serde(default, deserialize_with = "blank::option")]
    #[schema(value_type = Option<String>)]
    auth_password: Option<SecretString>,
    /// `DES`, `AES` or `none`; AES when only a password is said.
    #[serde(default, deserialize_with = "blank::option")]
    privacy_protocol: Option<String>,
    /// 8 to 64 characters of ASCII. Masked or empty: unchanged.
    #[serde(default, deserialize_with = "blank::option")]
    #[schema(value_type = Option<String>)]
    privacy_password: Option<SecretString>,
}

/// `POST /api/snmp/settings`: watches a router over SNMP, or changes how.
///
/// What is not mentioned stays. The site's agent reads it from then on. Errors: 400 naming the fields, 404
/// when `nasId` is no router of this tenant.
#[utoipa::path(post, path = "/api/snmp/settings", tag = "SNMP", request_body = SettingsRequest,
    responses((status = 200, body = Device)))]
pub async fn settings(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    Json(request): Json<SettingsRequest>,
) -> Result<Json<Device>, ApiError> {
    let now = clock.now();
    let router = request
        .nas_id
        .ok_or_else(|| ApiError::field("nasId", "is required"))?;
    let change = Change {
        version: request.version,
        port: request.port,
        interval_secs: request.poll_interval,
        community: request.community,
        username: request.username,
        auth_protocol: request.auth_protocol,
        auth_password: request.auth_password,
        privacy_protocol: request.privacy_protocol,
        privacy_password: request.privacy_password,
    };
    let mut tx = db.begin(operator.tenant).await?;
    let name = routers::lock_named(&mut tx, router).await?;
    let name = name.ok_or(ApiError::NotFound("router"))?;
    let stored = store::find(&mut tx, router).await?;
    let before = stored.as_ref().map(Stored::draft);
    let held = stored.as_ref().map(Stored::held).unwrap_or_default();
    let draft = rules::draft(&change, before.as_ref(), held).map_err(ApiError::fields)?;
    let key = secrets.tenant(&mut tx).await?;
    let mut new_secret = false;
    let mut seal =
        |column: &str, said: Option<&SecretString>, held: Option<Vec<u8>>| match fresh(said) {
            Some(clear) => {
                new_secret = true;
                Some(key.seal(column, router.0, clear.as_bytes()))
            }
            None => held,
        };
    let stored = stored.as_ref();
    let held = |of: fn(&Stored) -> &Option<Vec<u8>>| stored.and_then(|stored| of(stored).clone());
    let community = seal(
        COMMUNITY,
        change.community.as_ref(),
        held(|s| &s.community_sealed),
    );
    let auth = seal(
        AUTH,
        change.auth_password.as_ref(),
        held(|s| &s.auth_sealed),
    );
    let privacy = seal(
        PRIVACY,
        change.privacy_password.as_ref(),
        held(|s| &s.privacy_sealed),
    );
    let sealed = Sealed {
        community,
        auth,
        privacy,
    };
    store::put(&mut tx, router, &draft, &sealed, now).await?;
    tx.changed(Kind::Monitored, router);
    let facts = |draft: &rules::Draft| {
        let way = match &draft.way {
            Way::Community => json!({ "version": "v2c" }),
            Way::User {
                name,
                auth,
                privacy,
            } => json!({ "version": "v3", "username": name, "authProtocol": auth.map(auth_word),
                "privacyProtocol": privacy.map(privacy_word) }),
        };
        json!({ "port": draft.port, "pollInterval": draft.interval_secs, "access": way })
    };
    let audit = Audit {
        details: if new_secret {
            "SNMP, with a new secret"
        } else {
            "SNMP"
        }
        .to_owned(),
        before: before.as_ref().map(facts),
        after: Some(facts(&draft)),
        ..Audit::new(Action::RouterMonitor, "router", router, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), audit, now).await?;
    let listed = store::one(&mut tx, router).await?;
    let body = listed.map(|listed| device(listed, now));
    tx.commit().await?;
    body.map(Json).ok_or(ApiError::NotFound("router"))
}

/// `DELETE /api/snmp/settings/{router}`: watches a router no more. Its graphs stay until they are old.
///
/// Errors: 404 when it is not watched.
#[utoipa::path(delete, path = "/api/snmp/settings/{router}", tag = "SNMP",
    params(("router" = RouterId, Path)), responses((status = 200, body = Success)))]
pub async fn forget(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(router): Path<RouterId>,
) -> Result<Json<Success>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let name = routers::lock_named(&mut tx, router).await?;
    let name = name.ok_or(ApiError::NotFound("router"))?;
    if !store::delete(&mut tx, router).await? {
        return Err(ApiError::NotFound("monitored router"));
    }
    tx.changed(Kind::Monitored, router);
    let audit = Audit {
        details: "SNMP switched off".to_owned(),
        ..Audit::new(Action::RouterMonitor, "router", router, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), audit, now).await?;
    tx.commit().await?;
    Ok(Json(Success::YES))
}

const PATIENCE: Duration = Duration::from_secs(15);
