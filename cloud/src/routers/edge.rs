//! What a site knows of its own routers, and what their APIs told its agents.

use std::collections::BTreeMap;
use std::sync::Arc;

use easyisp_shared::id::SiteId;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::{MessageAuthenticator, RouterApiV1, RouterV1, secret_place};
use easyisp_shared::wire::monitor::{DeviceFactsV1, SampleV1};
use easyisp_shared::wire::up::{LocalSecretsV1, OutsideV1, OutsideWhy, PoolV1, RouterStateV1};
use easyisp_shared::wire::{Down, Up};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::store::{self, Stored};
use super::words::Signing;
use super::{
    API_PASSWORD, AWAITS_LIFE, LocalSecrets, PREVIOUS_SECRET, Pool, SECRET, SILENCE, certificates,
};
use crate::db::{Kind, Lister, Projection, Projector, Tx};
use crate::due;
use crate::secrets::{SecretError, Secrets, TenantKey};
use crate::sites::agents::Agent;
use crate::sites::reports::{Applier, Report, Unusable};

/// Projects routers to the site they stand at, their secrets sealed under the site's key.
pub fn projector(secrets: Secrets) -> Projector {
    Arc::new(move |tx, ids| {
        let secrets = secrets.clone();
        Box::pin(async move {
            project(tx, ids, &secrets)
                .await
                .map_err(SecretError::into_sqlx)
        })
    })
}

/// Names all routers.
pub fn lister() -> Lister {
    Arc::new(|tx, after, most| Box::pin(store::every_id(tx, after, most)))
}

async fn project(
    tx: &mut Tx,
    ids: &[Uuid],
    secrets: &Secrets,
) -> Result<Vec<Projection>, SecretError> {
    let key = secrets.tenant(tx).await?;
    let mut site_keys = secrets.site_keys();
    let mut projections = Vec::new();
    for stored in store::present(tx, ids).await? {
        let site_key = site_keys.of(tx, stored.site_id).await?;
        let (ended_certificates, certificates_since) = certificates::ended(tx, stored.id).await?;
        projections.push(Projection {
            id: stored.id.0,
            site: stored.site_id,
            body: Down::Router(RouterV1 {
                ended_certificates,
                certificates_since,
                ..body(&stored, &key, site_key)?
            })
            .encode(),
        });
    }
    Ok(projections)
}

fn body(stored: &Stored, key: &TenantKey, site_key: &SealKey) -> Result<RouterV1, SecretError> {
    let id = stored.id.0;
    // From under the tenant's key to under the site's.
    let reseal = |column: &str, field: &str, sealed: &[u8]| {
        let clear = key.open(column, id, sealed)?;
        Ok::<_, SecretError>(site_key.seal_same(&secret_place(Kind::Router, id, field), &clear))
    };
    let draft = stored.draft();
    let port = u16::try_from(draft.api_port).unwrap_or(8728);
    let api = match (draft.api_username, &stored.api_password_sealed) {
        (Some(user), Some(sealed)) => Some(RouterApiV1 {
            port,
            tls: port == 8729,
            user,
            password: reseal(API_PASSWORD, "api", sealed)?,
        }),
        (None, _) | (_, None) => None,
    };
    Ok(RouterV1 {
        router: stored.id,
        name: draft.name,
        address: draft.ip_address,
        source: draft.source_network.into(),
        secret: reseal(SECRET, "secret", &stored.secret_sealed)?,
        previous_secret: match &stored.previous_secret_sealed {
            Some(sealed) => Some(reseal(PREVIOUS_SECRET, "previous", sealed)?),
            None => None,
        },
        coa_port: u16::try_from(draft.coa_port).unwrap_or(3799),
        message_authenticator: match stored.message_authenticator {
            Signing::Require => MessageAuthenticator::Require,
            Signing::Learn => MessageAuthenticator::Learn,
        },
        api,
        ended_certificates: Vec::new(),
        certificates_since: None,
        leases: draft.dhcp_radius,
    })
}

/// Somebody online at a router who is no session of ours, as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outside {
    /// The name.
    pub username: String,
    /// Address.
    pub ip_address: Option<String>,
    /// Device.
    pub mac_address: Option<String>,
    /// For how long, in seconds.
    pub uptime_secs: u64,
    /// `pppoe` or `hotspot`.
    pub kind: String,
    /// `LOCAL`, `UNKNOWN` or `UNREPORTED`.
    pub reason: String,
}

/// Takes what routers' APIs said.
pub fn states() -> Applier {
    Arc::new(|tx, agent, reports, now| Box::pin(take(tx, agent, reports, now)))
}

async fn take(
    tx: &mut Tx,
    agent: &Agent,
    reports: &[Report],
    now: Timestamp,
) -> sqlx::Result<Vec<Unusable>> {
    let mut newest: BTreeMap<Uuid, &RouterStateV1> = BTreeMap::new();
    for report in reports {
        if let Up::Router(state) = &report.body {
            let held = newest.entry(state.router.0).or_insert(state);
            if state.at >= held.at {
                *held = state;
            }
        }
    }
    let mut woken = Vec::new();
    for state in newest.into_values() {
        let silent_since = now.minus(SILENCE);
        if store::note_said(tx, agent.site, &said(state, now), silent_since).await? {
            woken.push(state.router);
        }
    }
    due::sooner(tx, &AWAITS_LIFE, &woken, now).await?;
    for report in reports {
        if let Up::Pools(told) = &report.body {
            let pools: Vec<Pool> = told.pools.iter().take(64).map(pool).collect();
            let at = told.at.min(now);
            store::note_pools(tx, agent.site, told.router, &pools, at).await?;
        }
    }
    Ok(Vec::new())
}

fn pool(told: &PoolV1) -> Pool {
    let name = told.name.chars().filter(|c| !c.is_control());
    Pool {
        name: name.take(64).collect(),
        size: told.size,
        used: told.used,
    }
}

/// Takes which customers stand on routers' own lists.
pub fn local_secrets() -> Applier {
    Arc::new(|tx, agent, reports, now| Box::pin(take_local_secrets(tx, agent, reports, now)))
}

async fn take_local_secrets(
    tx: &mut Tx,
    agent: &Agent,
    reports: &[Report],
    now: Timestamp,
) -> sqlx::Result<Vec<Unusable>> {
    for report in reports {
        if let Up::LocalSecrets(told) = &report.body {
            note_local_secrets(tx, agent.site, told, now).await?;
        }
    }
    Ok(Vec::new())
}

/// Notes which customers stand on the own lists of a router of `site`.
pub async fn note_local_secrets(
    tx: &mut Tx,
    site: SiteId,
    told: &LocalSecretsV1,
    now: Timestamp,
) -> sqlx::Result<()> {
    let name = |name: &[u8]| {
        let name = String::from_utf8_lossy(name);
        name.chars().filter(|c| !c.is_control()).collect::<String>()
    };
    let hidden = told.hidden.iter().take(200);
    let found = LocalSecrets {
        names: hidden.map(|one| name(&one.username)).collect(),
        count: i64::from(told.hidden_count),
        at: Some(told.at.min(now)),
    };
    store::note_local_secrets(tx, site, told.router, &found).await
}

fn said(state: &RouterStateV1, now: Timestamp) -> store::Said {
    let text = |text: &str| {
        let clean: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
        (!clean.is_empty()).then_some(clean)
    };
    let mb = |octets: u64| i32::try_from(octets >> 20).ok();
    let used = state.total_memory.zip(state.free_memory);
    let listed: Vec<Outside> = state.outside.iter().map(listed).collect();
    store::Said {
        router: state.router,
        at: state.at.min(now),
        problem: state.problem.as_deref().and_then(text),
        version: text(&state.version),
        board: text(&state.board),
        cpu_load: state.cpu_load.and_then(|load| i32::try_from(load).ok()),
        memory_mb: used.and_then(|(total, free)| mb(total.saturating_sub(free))),
        memory_total_mb: state.total_memory.and_then(mb),
        uptime: state.problem.is_none().then(|| uptime(state.uptime_secs)),
        outside: serde_json::to_value(listed).unwrap_or_default(),
        outside_count: i64::from(state.outside_count),
    }
}

/// What a reading over SNMP says of a router's row.
pub(super) fn read(facts: &DeviceFactsV1, sample: &SampleV1) -> store::Read {
    let mb = |octets: u64| i32::try_from(octets >> 20).ok();
    store::Read {
        version: facts.version.clone(),
        board: facts.board.clone(),
        serial: facts.serial.clone(),
        cpu_load: sample.cpu.and_then(|load| i32::try_from(load).ok()),
        memory_mb: sample.memory_used.and_then(mb),
        memory_total_mb: facts.memory_total.and_then(mb),
        uptime: sample.uptime_secs.map(uptime),
    }
}

fn listed(one: &OutsideV1) -> Outside {
    let name = String::from_utf8_lossy(&one.username);
    Outside {
        username: name.chars().filter(|c| !c.is_control()).collect(),
        ip_address: one.framed_ip.map(|address| address.to_string()),
        mac_address: one.mac.map(|mac| mac.to_string()),
        uptime_secs: one.uptime_secs,
        kind: if one.hotspot { "hotspot" } else { "pppoe" }.to_owned(),
        reason: match one.why {
            OutsideWhy::Local => "LOCAL",
            OutsideWhy::Unknown => "UNKNOWN",
            OutsideWhy::Unreported => "UNREPORTED",
        }
        .to_owned(),
    }
}

/// `3d 4h 5m 6s`.
pub(super) fn uptime(secs: u64) -> String {
    let (days, hours) = (secs / 86_400, secs / 3600 % 24);
    let (minutes, secs) = (secs / 60 % 60, secs % 60);
    format!("{days}d {hours}h {minutes}m {secs}s")
}
