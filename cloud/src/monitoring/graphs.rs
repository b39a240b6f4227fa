//! `/api/snmp/metrics`: graphs.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use easyisp_shared::id::RouterId;
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::bucket::{self, Bucket, DAY, HOUR, MINUTE, Stat};
use super::store;
use crate::api::{Json, Query};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::routers;

/// Of what, and how long.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct MetricsQuery {
    /// `1h`, `24h`, `7d`, `30d` or `365d`; `24h` when it is not said.
    period: Option<String>,
    /// One router, with its interfaces and sensors; without it the main values of the first 50.
    #[param(value_type = Option<RouterId>)]
    nas_id: Option<RouterId>,
}

/// Graphs.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    period: &'static str,
    /// Seconds from one point to the next.
    step: i32,
    from: Timestamp,
    to: Timestamp,
    devices: Vec<DeviceMetrics>,
}

/// One device's graphs.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceMetrics {
    nas_id: RouterId,
    nas_name: String,
    /// By name: `cpu`, `memory` and `disk` in percent, `pppoe`, `hotspot`, `leases`, `latency` in milliseconds,
    /// `sensor:NAME` in the sensor's unit.
    series: BTreeMap<String, Vec<Point>>,
    /// By name.
    interfaces: BTreeMap<String, Vec<PortPoint>>,
}

/// A value over one step.
#[derive(Serialize, ToSchema)]
pub struct Point {
    at: Timestamp,
    avg: f64,
    min: f64,
    max: f64,
}

/// An interface over one step, bits a second.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PortPoint {
    at: Timestamp,
    in_bps: Option<f64>,
    out_bps: Option<f64>,
    in_max: Option<f64>,
    out_max: Option<f64>,
    /// Part of the time that it had a link, 0 to 1.
    up: Option<f64>,
    errors: u64,
    drops: u64,
}

/// A period: its name, its length, how long the rows are that are read, and the points that are shown.
type Period = (&'static str, Duration, i32, i32);

const PERIODS: [Period; 5] = [
    ("1h", Duration::from_secs(3600), MINUTE, MINUTE),
    ("24h", Duration::from_secs(86_400), MINUTE, 5 * MINUTE),
    ("7d", Duration::from_secs(7 * 86_400), HOUR, HOUR),
    ("30d", Duration::from_secs(30 * 86_400), HOUR, 4 * HOUR),
    ("365d", Duration::from_secs(365 * 86_400), DAY, DAY),
];

/// `GET /api/snmp/metrics`: what devices said, as graphs.
///
/// Errors: 400 for another period, 404 when `nasId` is no router of this tenant.
#[utoipa::path(get, path = "/api/snmp/metrics", tag = "SNMP", params(MetricsQuery),
    responses((status = 200, body = Metrics),
        (status = 404, description = "There is no such router in this tenant")))]
pub async fn metrics(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Query(query): Query<MetricsQuery>,
) -> Result<Json<Metrics>, ApiError> {
    let wanted = query.period.as_deref().unwrap_or("24h").trim();
    let period = PERIODS.into_iter().find(|(name, ..)| *name == wanted);
    let (period, length, rows, step) =
        period.ok_or_else(|| ApiError::field("period", "must be 1h, 24h, 7d, 30d or 365d"))?;
    let to = clock.now();
    let from = bucket::begin(to.minus(length), step);
    let mut tx = db.begin(operator.tenant).await?;
    let names: Vec<(RouterId, String)> = match query.nas_id {
        Some(router) => {
            let name = routers::name_of(&mut tx, router).await?;
            vec![(router, name.ok_or(ApiError::NotFound("router"))?)]
        }
        None => {
            let listed = store::list(&mut tx, MOST_DEVICES, 0).await?.into_iter();
            listed
                .map(|listed| (listed.stored.router_id, listed.name))
                .collect()
        }
    };
    let alone = query.nas_id.is_some();
    // All of them at once need no more points than a small picture has.
    let (rows, step) = match (alone, rows) {
        (false, MINUTE) if step > MINUTE => (HOUR, HOUR),
        (_, _) => (rows, step),
    };
    let from = bucket::begin(from, step);
    let ids: Vec<RouterId> = names.iter().map(|(router, _)| *router).collect();
    let read = store::buckets(&mut tx, &ids, rows, from, MOST_ROWS).await?;
    drop(tx);
    let mut by_device: BTreeMap<RouterId, BTreeMap<i64, Bucket>> = BTreeMap::new();
    for (router, at, bucket) in read {
        let point = bucket::begin(at, step).secs();
        let points = by_device.entry(router).or_default();
        points.entry(point).or_default().add(&bucket);
    }
    let devices = names.into_iter().map(|(router, name)| {
        let points = by_device.remove(&router).unwrap_or_default();
        device(router, name, points, alone)
    });
    Ok(Json(Metrics {
        period,
        step,
        from,
        to,
        devices: devices.collect(),
    }))
}

fn device(
    router: RouterId,
    name: String,
    points: BTreeMap<i64, Bucket>,
    alone: bool,
) -> DeviceMetrics {
    let mut series: BTreeMap<String, Vec<Point>> = BTreeMap::new();
    let mut interfaces: BTreeMap<String, Vec<PortPoint>> = BTreeMap::new();
    for (at, bucket) in points {
        let at = Timestamp::from_secs(at);
        for (name, stat) in bucket.values {
            if !alone && !MAIN.contains(&name.as_str()) {
                continue;
            }
            if let Some(avg) = stat.mean() {
                let (min, max) = (round(stat.min), round(stat.max));
                let avg = round(avg);
                series
                    .entry(name)
                    .or_default()
                    .push(Point { at, avg, min, max });
            }
        }
        for (name, port) in bucket.ports.into_iter().filter(|_| alone) {
            let most = |stat: Stat| stat.mean().map(|_| round(stat.max));
            interfaces.entry(name).or_default().push(PortPoint {
                at,
                in_bps: port.input.mean().map(round),
                out_bps: port.output.mean().map(round),
                in_max: most(port.input),
                out_max: most(port.output),
                up: port.up.mean().map(round),
                errors: port.errors,
                drops: port.drops,
            });
        }
    }
    DeviceMetrics {
        nas_id: router,
        nas_name: name,
        series,
        interfaces,
    }
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

const MAIN: [&str; 5] = ["cpu", "memory", "pppoe", "hotspot", "latency"];
const MOST_DEVICES: i64 = 50;
/// A day of minutes of one device, or a week of hours of fifty.
const MOST_ROWS: i64 = 20_000;
