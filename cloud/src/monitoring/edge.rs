//! What sites know of monitored devices, and what their agents read of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::secret_place;
use easyisp_shared::wire::monitor::{
    DeviceFactsV1, MetricsV1, MonitoredV1, PackedMetricsV1, READINGS_CAP, ReadingsV1, SnmpAccessV1,
};
use easyisp_shared::wire::{Down, Up};
use flate2::read::DeflateDecoder;
use uuid::Uuid;

use super::bucket::{self, Bucket};
use super::rules::Way;
use super::store::{self, Stored};
use super::{AUTH, COMMUNITY, PRIVACY};
use crate::db::{Kind, Lister, Projection, Projector, Tx};
use crate::routers;
use crate::secrets::{SecretError, Secrets, TenantKey};
use crate::sites::agents::Agent;
use crate::sites::reports::{Applier, Report, Unusable};

/// Projects devices to the site where their router stands, their secrets sealed under the site's key.
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

/// Names all devices.
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
    for (site, stored) in store::for_sites(tx, ids).await? {
        let site_key = site_keys.of(tx, site).await?;
        projections.push(Projection {
            id: stored.router_id.0,
            site,
            body: Down::Monitored(body(&stored, &key, site_key)?).encode(),
        });
    }
    Ok(projections)
}

fn body(stored: &Stored, key: &TenantKey, site_key: &SealKey) -> Result<MonitoredV1, SecretError> {
    let id = stored.router_id.0;
    // From under the tenant's key to under the site's. One that is not there opens nothing.
    let reseal = |column: &str, field: &str, sealed: Option<&Vec<u8>>| {
        let clear = match sealed {
            Some(sealed) => key.open(column, id, sealed)?,
            None => Default::default(),
        };
        let place = secret_place(Kind::Monitored, id, field);
        Ok::<_, SecretError>(site_key.seal_same(&place, &clear))
    };
    let draft = stored.draft();
    let access = match draft.way {
        Way::Community => {
            let sealed = stored.community_sealed.as_ref();
            SnmpAccessV1::Community(reseal(COMMUNITY, "community", sealed)?)
        }
        Way::User {
            name,
            auth,
            privacy,
        } => SnmpAccessV1::User {
            name,
            auth: match auth {
                Some(auth) => Some((auth, reseal(AUTH, "auth", stored.auth_sealed.as_ref())?)),
                None => None,
            },
            privacy: match privacy {
                Some(privacy) => {
                    let sealed = stored.privacy_sealed.as_ref();
                    Some((privacy, reseal(PRIVACY, "privacy", sealed)?))
                }
                None => None,
            },
        },
    };
    Ok(MonitoredV1 {
        router: stored.router_id,
        port: u16::try_from(draft.port).unwrap_or(161),
        interval_secs: u32::try_from(draft.interval_secs).unwrap_or(60),
        access,
    })
}

/// Takes what devices said.
pub fn metrics() -> Applier {
    Arc::new(|tx, agent, reports, now| Box::pin(take(tx, agent, reports, now)))
}

/// Devices are locked in the order of their ids, so that two agents of a site never wait for each other.
async fn take(
    tx: &mut Tx,
    agent: &Agent,
    reports: &[Report],
    now: Timestamp,
) -> sqlx::Result<Vec<Unusable>> {
    let mut unusable = Vec::new();
    let mut by_router: BTreeMap<Uuid, Vec<Told<'_>>> = BTreeMap::new();
    for report in reports {
        let told = match &report.body {
            Up::Metrics(told) => (Cow::Borrowed(&**told), None),
            Up::PackedMetrics(packed) => match unpacked(packed) {
                Some(ReadingsV1::V1 {
                    told,
                    ports_left_out,
                }) => (Cow::Owned(told), Some(ports_left_out)),
                None => {
                    unusable.push(Unusable {
                        sequence: report.sequence,
                        why: "its readings cannot be read".to_owned(),
                    });
                    continue;
                }
            },
            _ => continue, // not of devices
        };
        by_router.entry(told.0.router.0).or_default().push(told);
    }
    for told in by_router.into_values() {
        take_of(tx, agent, &told, now).await?;
    }
    Ok(unusable)
}

/// What was read of a device, and how many of its interfaces were not, where that was said.
type Told<'a> = (Cow<'a, MetricsV1>, Option<u32>);

/// An agent's word: it may be anything, and as large as it likes once it is inflated.
fn unpacked(packed: &PackedMetricsV1) -> Option<ReadingsV1> {
    let mut octets = Vec::new();
    let limit = READINGS_CAP as u64 + 1;
    let mut inflating = DeflateDecoder::new(packed.deflated.as_slice()).take(limit);
    inflating.read_to_end(&mut octets).ok()?;
    if octets.len() > READINGS_CAP {
        return None;
    }
    ReadingsV1::decode(&octets).ok()
}

async fn take_of(
    tx: &mut Tx,
    agent: &Agent,
    told: &[Told<'_>],
    now: Timestamp,
) -> sqlx::Result<()> {
    let Some(router) = told.first().map(|(told, _)| told.router) else {
        return Ok(());
    };
    // As whoever changes how it is read: the router first, at which some of this is noted, then the device.
    if !routers::lock_to_note(tx, router).await? {
        return Ok(());
    }
    // Not watched any more, or moved to another site: what was read meanwhile is of no use.
    let Some(known) = store::lock_at(tx, agent.site, router).await? else {
        return Ok(());
    };
    let mut facts = known;
    let mut rows: BTreeMap<(i32, i64), Bucket> = BTreeMap::new();
    let mut newest = None;
    for (told, _) in told {
        if let Some(new) = &told.facts {
            facts = Some(bounded(new));
        }
        let Some(facts) = &facts else { continue };
        for sample in &told.samples {
            // A clock that ran ahead, or a box that was away for years, makes no graph.
            let at = sample.at.min(now);
            if now.since(at) > TOO_OLD {
                continue;
            }
            let read = Bucket::of(sample, facts);
            for (step, kept) in bucket::KEPT {
                if now.since(at) < kept {
                    let begin = bucket::begin(at, step).secs();
                    rows.entry((step, begin)).or_default().add(&read);
                }
            }
            newest = Some(sample);
        }
    }
    for ((step, begin), read) in rows {
        let at = Timestamp::from_secs(begin);
        let row = match store::bucket(tx, router, step, at).await? {
            Some(mut row) => {
                row.add(&read);
                row
            }
            None => read,
        };
        store::put_bucket(tx, router, step, at, &row).await?;
    }
    let left_out = told.iter().rev().find_map(|(_, left_out)| *left_out);
    if let Some((last, _)) = told.last() {
        let problem = last.problem.as_deref().map(|text| words(text, 300));
        let (at, problem) = (last.at.min(now), problem.as_deref());
        store::note(tx, router, at, problem, facts.as_ref(), newest).await?;
        if let Some(left_out) = left_out {
            store::note_left_out(tx, router, left_out).await?;
        }
        if let (Some(facts), Some(sample), None) = (&facts, newest, problem) {
            routers::note_reading(tx, router, facts, sample, at).await?;
            // It lives, whether or not its API is open to us.
            routers::heard(tx, &[router], at).await?;
        }
    }
    Ok(())
}

/// Names come from devices.
fn bounded(told: &DeviceFactsV1) -> DeviceFactsV1 {
    let mut facts = told.clone();
    facts.sensors.truncate(64);
    facts.ports.truncate(256);
    for text in [
        &mut facts.description,
        &mut facts.name,
        &mut facts.location,
        &mut facts.object,
    ] {
        *text = words(text, 255);
    }
    for sensor in &mut facts.sensors {
        sensor.name = words(&sensor.name, 64);
    }
    for port in &mut facts.ports {
        port.name = words(&port.name, 64);
        port.alias = words(&port.alias, 128);
    }
    for text in [
        &mut facts.version,
        &mut facts.serial,
        &mut facts.firmware,
        &mut facts.board,
    ]
    .into_iter()
    .flatten()
    {
        *text = words(text, 100);
    }
    facts
}

fn words(text: &str, most: usize) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(most)
        .collect()
}

/// Beyond what an outbox keeps, and within the months that have a place.
const TOO_OLD: Duration = Duration::from_secs(20 * 86_400);
