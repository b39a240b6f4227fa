//! SQL on alerts, their rules, and what they are judged by.

use std::collections::BTreeMap;
use std::time::Duration;

use easyisp_shared::id::{AlertId, OperatorId, RouterId, SiteId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::monitor::{DeviceFactsV1, SampleV1};
use sqlx::FromRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::device::{Device, Place, Site};
use super::rules::{Rule, Watch};
use super::words::{Kind, Severity, Tell};
use crate::db::Tx;
use crate::routers::{Drifted, Pool};

/// Notes a look at `now`; returns since when there was one at least every `gap`. `None` where the tenant was deleted: what
/// is written while his rows go would be in their way.
pub async fn look(tx: &mut Tx, gap: Duration, now: Timestamp) -> sqlx::Result<Option<Timestamp>> {
    sqlx::query_scalar(
        "insert into alert_looks as l (tenant_id, looked_at, awake_from)
         select $1, $2, $2
          where not exists (select from directory.tenants t where t.tenant_id = $1 and t.deleted_at is not null)
             on conflict (tenant_id) do update
                set looked_at = greatest(l.looked_at, $2),
                    awake_from = case when l.looked_at < $3 then $2 else l.awake_from end
         returning awake_from",
    )
    .bind(tx.tenant())
    .bind(now)
    .bind(now.minus(gap))
    .fetch_optional(&mut **tx)
    .await
}

/// The rules that the tenant changed.
pub async fn changed_rules(tx: &mut Tx) -> sqlx::Result<BTreeMap<Kind, Rule>> {
    let rows: Vec<(Kind, Json<Rule>)> =
        sqlx::query_as("select rule, body from alert_rules where tenant_id = $1")
            .bind(tx.tenant())
            .fetch_all(&mut **tx)
            .await?;
    Ok(rows
        .into_iter()
        .map(|(kind, Json(rule))| (kind, rule))
        .collect())
}

/// Writes a rule; `None` = as usual.
pub async fn put_rule(
    tx: &mut Tx,
    kind: Kind,
    rule: Option<&Rule>,
    now: Timestamp,
) -> sqlx::Result<()> {
    match rule {
        Some(rule) => sqlx::query(
            "insert into alert_rules (tenant_id, rule, body, updated_at) values ($1, $2, $3, $4)
                     on conflict (tenant_id, rule) do update
                    set body = excluded.body, updated_at = excluded.updated_at",
        )
        .bind(tx.tenant())
        .bind(kind)
        .bind(Json(rule))
        .bind(now)
        .execute(&mut **tx)
        .await?,
        None => {
            sqlx::query("delete from alert_rules where tenant_id = $1 and rule = $2")
                .bind(tx.tenant())
                .bind(kind)
                .execute(&mut **tx)
                .await?
        }
    };
    Ok(())
}

/// Who is told, and of what.
#[derive(FromRow, Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// These people; `None` = the owners.
    pub operators: Option<Vec<OperatorId>>,
    /// From which severity on by SMS.
    pub sms: Tell,
    /// From which severity on by e-mail.
    pub email: Tell,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            operators: None,
            sms: Tell::Critical,
            email: Tell::Warning,
        }
    }
}

/// Who is told.
pub async fn settings(tx: &mut Tx) -> sqlx::Result<Settings> {
    let row =
        sqlx::query_as("select operators, sms, email from alert_settings where tenant_id = $1")
            .bind(tx.tenant())
            .fetch_optional(&mut **tx)
            .await?;
    Ok(row.unwrap_or_default())
}

/// Writes who is told.
pub async fn put_settings(tx: &mut Tx, settings: &Settings) -> sqlx::Result<()> {
    sqlx::query(
        "insert into alert_settings (tenant_id, operators, sms, email) values ($1, $2, $3, $4)
             on conflict (tenant_id) do update
            set operators = excluded.operators, sms = excluded.sms, email = excluded.email",
    )
    .bind(tx.tenant())
    .bind(&settings.operators)
    .bind(settings.sms)
    .bind(settings.email)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Somebody who is told.
#[derive(FromRow, Clone, Debug)]
pub struct Contact {
    /// Where to write.
    pub email: String,
    /// Where to call, as it was typed.
    pub phone: Option<String>,
}

/// The people named, or the owners; none who left or may not sign in. At most 20.
pub async fn contacts(tx: &mut Tx, named: Option<&[OperatorId]>) -> sqlx::Result<Vec<Contact>> {
    sqlx::query_as(
        "select email, phone
           from operators
          where tenant_id = $1 and deleted_at is null and status = 'ACTIVE'
            and case when $2::uuid[] is null then role = 'SUPER_ADMIN' else id = any($2) end
          order by created_at, id
          limit 20",
    )
    .bind(tx.tenant())
    .bind(named)
    .fetch_all(&mut **tx)
    .await
}

/// What the tenant calls itself, and where its clock is.
pub async fn house(tx: &mut Tx) -> sqlx::Result<(String, String)> {
    sqlx::query_as("select business_name, time_zone from tenants where tenant_id = $1")
        .bind(tx.tenant())
        .fetch_one(&mut **tx)
        .await
}

/// Every site that has an agent, and when it was heard of last.
pub async fn sites(tx: &mut Tx) -> sqlx::Result<Vec<Site>> {
    let rows: Vec<(SiteId, String, Timestamp)> = sqlx::query_as(
        "select s.id, s.name, max(a.last_seen_at)
           from sites s
           join agents a on a.tenant_id = $1 and a.site_id = s.id and a.revoked_at is null
          where s.tenant_id = $1 and s.deleted_at is null and a.last_seen_at is not null
          group by s.id, s.name
          order by s.id",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(id, name, heard)| Site { id, name, heard })
        .collect())
}

#[derive(FromRow)]
struct DeviceRow {
    id: RouterId,
    site_id: SiteId,
    parent_id: Option<RouterId>,
    name: String,
    heard: Option<Timestamp>,
    api_asked_at: Option<Timestamp>,
    api_problem: Option<String>,
    polled_at: Option<Timestamp>,
    problem: Option<String>,
    interval_secs: Option<i32>,
    facts: Option<Json<DeviceFactsV1>>,
    sample: Option<Json<SampleV1>>,
    cpu_load: Option<i32>,
    memory_usage_mb: Option<i32>,
    memory_total_mb: Option<i32>,
    choice: Option<serde_json::Value>,
    drift: Option<Json<Vec<String>>>,
    drift_count: i64,
    drift_since: Option<Timestamp>,
    pppoe: i64,
    hotspot: i64,
    pools: Json<Vec<Pool>>,
    pools_at: Option<Timestamp>,
}

/// Some routers of the sites that an agent serves, those after one by id, by what was heard of them; and what their
/// wizard was told, for the pools, with what differs from that. None: there are no more.
pub async fn devices(tx: &mut Tx, after: Option<RouterId>) -> sqlx::Result<Vec<(Place, Device)>> {
    let rows: Vec<DeviceRow> = sqlx::query_as(
        "select r.id, r.site_id, r.parent_id, r.name, r.last_seen_at as heard,
                case when r.api_password_sealed is not null then r.api_asked_at end as api_asked_at,
                r.api_problem, m.polled_at, m.problem, m.interval_secs, m.facts, m.sample, r.cpu_load,
                r.memory_usage_mb, r.memory_total_mb, w.kept as choice,
                case when w.router_id is not null then r.drift end as drift, r.drift_count, r.drift_since,
                coalesce(o.pppoe, 0) as pppoe, coalesce(o.hotspot, 0) as hotspot, r.pools, r.pools_at
           from routers r
           left join monitored m on m.tenant_id = $1 and m.router_id = r.id
           left join router_setups w on w.tenant_id = $1 and w.router_id = r.id and w.kept is not null
           left join (select router_id, count(*) filter (where connection_type = 'PPPOE') as pppoe,
                             count(*) filter (where connection_type = 'HOTSPOT') as hotspot
                        from sessions
                       where tenant_id = $1 and status <> 'COMPLETED'
                       group by router_id) o on o.router_id = r.id
          where r.tenant_id = $1 and r.deleted_at is null and ($2::uuid is null or r.id > $2)
            and exists (select from agents a
                         where a.tenant_id = $1 and a.site_id = r.site_id and a.revoked_at is null)
          order by r.id
          limit 1000",
    )
    .bind(tx.tenant())
    .bind(after)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(DeviceRow::read).collect())
}

impl DeviceRow {
    fn read(self) -> (Place, Device) {
        let place = Place {
            id: self.id,
            site: self.site_id,
            name: self.name,
            parent: self.parent_id,
        };
        let is_ours = self.choice.is_some();
        let (pppoe, hotspot) = self.choice.map(crate::wizard::room).unwrap_or_default();
        let counted = |name: &str, used, all: Option<u32>| {
            Some((name.to_owned(), used, i64::from(all?), None))
        };
        let counted = [
            counted("PPPoE", self.pppoe, pppoe),
            counted("Hotspot", self.hotspot, hotspot),
        ];
        // Of the wizard's own what is counted is newer than what the router told.
        let Json(told) = self.pools;
        let told = told.into_iter();
        let told = told.filter(|pool| !(is_ours && pool.name.starts_with(OURS)));
        let told = told.map(|pool| {
            let (used, size) = (i64::from(pool.used), i64::from(pool.size));
            (pool.name, used, size, self.pools_at)
        });
        let pools = counted.into_iter().flatten().chain(told).collect();
        let device = Device {
            heard: self.heard,
            api: self.api_asked_at.map(|at| (at, self.api_problem)),
            snmp: self.polled_at.map(|at| (at, self.problem)),
            interval_secs: u64::from(self.interval_secs.unwrap_or(60).unsigned_abs()),
            facts: self.facts.map(|Json(facts)| facts),
            sample: self.sample.map(|Json(sample)| sample),
            cpu: self.cpu_load,
            memory: self.memory_usage_mb.zip(self.memory_total_mb),
            pools,
            drifted: self.drift.map(|Json(shown)| Drifted {
                shown,
                count: self.drift_count,
                since: self.drift_since,
            }),
        };
        (place, device)
    }
}

/// Money that was sent.
#[derive(FromRow, Clone, PartialEq, Eq, Debug)]
pub struct Payout {
    /// The refund's or the settlement's id.
    pub id: Uuid,
    /// What it is.
    pub name: String,
    /// How much.
    pub amount: Cents,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// Whether nobody knows yet what became of it.
    pub open: bool,
}

/// Money that was sent and nobody knows of, and what became of it that was looked at before (`watched`).
pub async fn payouts(tx: &mut Tx, watched: &[Uuid]) -> sqlx::Result<Vec<Payout>> {
    sqlx::query_as(
        "select id, 'Refund' as name, amount, sent_at, state in ('SENT', 'UNKNOWN') as open
           from refunds
          where tenant_id = $1 and sent_at is not null
            and (state in ('SENT', 'UNKNOWN') or id = any($2))
          union all
         select id, 'Settlement of ' || day, amount, sent_at, state in ('SENT', 'UNKNOWN')
           from settlements
          where tenant_id = $1 and sent_at is not null
            and (state in ('SENT', 'UNKNOWN') or id = any($2))
          order by 4, 1
          limit 1000",
    )
    .bind(tx.tenant())
    .bind(watched)
    .fetch_all(&mut **tx)
    .await
}

/// How the rules stand, by what they are about.
pub type States = BTreeMap<String, Watch>;

/// How everything stood at the last look.
pub async fn states(tx: &mut Tx) -> sqlx::Result<BTreeMap<Uuid, States>> {
    let rows: Vec<(Uuid, Json<States>)> =
        sqlx::query_as("select target_id, body from alert_states where tenant_id = $1")
            .bind(tx.tenant())
            .fetch_all(&mut **tx)
            .await?;
    Ok(rows
        .into_iter()
        .map(|(target, Json(states))| (target, states))
        .collect())
}

/// Writes how these stand now; who stands nowhere any more is forgotten.
pub async fn put_states(tx: &mut Tx, states: &[(Uuid, States)]) -> sqlx::Result<()> {
    if states.is_empty() {
        return Ok(());
    }
    let (gone, kept): (Vec<_>, Vec<_>) = states.iter().partition(|(_, states)| states.is_empty());
    let gone: Vec<Uuid> = gone.into_iter().map(|(target, _)| *target).collect();
    sqlx::query(
        "with gone as (delete from alert_states where tenant_id = $1 and target_id = any($2))
         insert into alert_states (tenant_id, target_id, body)
         select $1, target_id, body from unnest($3::uuid[], $4::jsonb[]) as n (target_id, body)
             on conflict (tenant_id, target_id) do update set body = excluded.body",
    )
    .bind(tx.tenant())
    .bind(gone)
    .bind(kept.iter().map(|(target, _)| *target).collect::<Vec<_>>())
    .bind(
        kept.iter()
            .map(|(_, states)| Json(states))
            .collect::<Vec<_>>(),
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An alert.
#[derive(FromRow, Clone, PartialEq, Debug)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// Which rule it is of.
    pub rule: Kind,
    /// How bad.
    pub severity: Severity,
    /// Where; `None` = at no site.
    pub site_id: Option<SiteId>,
    /// At which router; `None` = the whole site.
    pub router_id: Option<RouterId>,
    /// What it is called.
    pub device: String,
    /// What of it; empty = itself.
    pub subject: String,
    /// What was measured.
    pub value: Option<f64>,
    /// For people.
    pub message: String,
    /// When people were told.
    pub raised_at: Timestamp,
    /// When it was over.
    pub cleared_at: Option<Timestamp>,
    /// How often it came back meanwhile.
    pub flaps: i32,
    /// When somebody said that he knows.
    pub acknowledged_at: Option<Timestamp>,
    /// Who.
    pub acknowledged_by: Option<OperatorId>,
    /// What he wrote.
    pub note: Option<String>,
}

/// Writes a new alert.
pub async fn insert(tx: &mut Tx, alert: &Alert) -> sqlx::Result<()> {
    sqlx::query(
        "insert into alerts (tenant_id, id, rule, severity, site_id, router_id, device, subject, value,
                message, raised_at, flaps)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(tx.tenant())
    .bind(alert.id)
    .bind(alert.rule)
    .bind(alert.severity)
    .bind(alert.site_id)
    .bind(alert.router_id)
    .bind(&alert.device)
    .bind(&alert.subject)
    .bind(alert.value)
    .bind(&alert.message)
    .bind(alert.raised_at)
    .bind(alert.flaps)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that an alert is over, or came back, and how often it did; what it is then.
pub async fn note(
    tx: &mut Tx,
    alert: AlertId,
    flaps: u32,
    cleared_at: Option<Timestamp>,
) -> sqlx::Result<Option<Alert>> {
    sqlx::query_as(
        "update alerts set flaps = $3, cleared_at = $4
          where tenant_id = $1 and id = $2 and cleared_at is null
         returning id, rule, severity, site_id, router_id, device, subject, value, message, raised_at,
                   cleared_at, flaps, acknowledged_at, acknowledged_by, note",
    )
    .bind(tx.tenant())
    .bind(alert)
    .bind(i32::try_from(flaps).unwrap_or(i32::MAX))
    .bind(cleared_at)
    .fetch_optional(&mut **tx)
    .await
}

/// Which alerts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// Those that go on.
    Open,
    /// Also those that are over.
    All,
}

/// Alerts, the newest first, at most `most`.
pub async fn list(tx: &mut Tx, which: Which, most: i64) -> sqlx::Result<Vec<Alert>> {
    sqlx::query_as(
        "select id, rule, severity, site_id, router_id, device, subject, value, message, raised_at,
                cleared_at, flaps, acknowledged_at, acknowledged_by, note
           from alerts
          where tenant_id = $1 and (cleared_at is null or $2)
          order by raised_at desc, id desc
          limit $3",
    )
    .bind(tx.tenant())
    .bind(which == Which::All)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// Notes that somebody knows of an alert; a second word changes nothing but the note. `None` when this tenant
/// has no such alert.
pub async fn acknowledge(
    tx: &mut Tx,
    alert: AlertId,
    who: OperatorId,
    note: Option<&str>,
    now: Timestamp,
) -> sqlx::Result<Option<Alert>> {
    sqlx::query_as(
        "update alerts
            set acknowledged_at = coalesce(acknowledged_at, $4),
                acknowledged_by = coalesce(acknowledged_by, $3), note = coalesce($5, note)
          where tenant_id = $1 and id = $2
         returning id, rule, severity, site_id, router_id, device, subject, value, message, raised_at,
                   cleared_at, flaps, acknowledged_at, acknowledged_by, note",
    )
    .bind(tx.tenant())
    .bind(alert)
    .bind(who)
    .bind(now)
    .bind(note)
    .fetch_optional(&mut **tx)
    .await
}

/// Forgets alerts that were over before then, at most `most`; says how many.
pub async fn forget(tx: &mut Tx, before: Timestamp, most: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "delete from alerts
          where tenant_id = $1
            and id in (select id from alerts where tenant_id = $1 and cleared_at < $2 limit $3)",
    )
    .bind(tx.tenant())
    .bind(before)
    .bind(most)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// How the wizard's pools begin.
const OURS: &str = "easyisp-";
