//! What a site must know of its routers' old servers, and what its agents heard from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::{MovingMode, MovingV1, secret_place};
use easyisp_shared::wire::up::{
    MovingDifference, MovingDifferenceV1, MovingReportV1, MovingStrangerV1,
};
use easyisp_shared::wire::{Down, Up};
use uuid::Uuid;

use super::OLD_SECRET;
use super::store::{self, AtSite, DifferenceRow, Stranger};
use super::words::{Difference, Mode};
use crate::db::{Kind, Lister, Projection, Projector, Tx};
use crate::routers;
use crate::secrets::{SecretError, Secrets};
use crate::sites::agents::Agent;
use crate::sites::reports::{Applier, Report, Unusable};

/// Projects moves that are under way to the site where the router stands.
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

/// Names all routers with a move.
pub fn lister() -> Lister {
    Arc::new(|tx, after, most| Box::pin(store::every_id(tx, after, most)))
}

/// Takes what agents heard from old servers.
pub fn reports() -> Applier {
    Arc::new(|tx, agent, reports, now| Box::pin(take(tx, agent, reports, now)))
}

async fn project(
    tx: &mut Tx,
    ids: &[Uuid],
    secrets: &Secrets,
) -> Result<Vec<Projection>, SecretError> {
    let mut site_keys = secrets.site_keys();
    let mut projections = Vec::new();
    for AtSite { stored, site_id } in store::under_way(tx, ids).await? {
        let mode = match stored.mode {
            Mode::Own => continue,
            Mode::Shadow => MovingMode::Shadow,
            Mode::Forward => MovingMode::Forward,
        };
        let (id, place) = (stored.router_id.0, stored.place());
        let clear = secrets
            .tenant(tx)
            .await?
            .open(OLD_SECRET, id, &stored.old_secret_sealed)?;
        let site_key = site_keys.of(tx, site_id).await?;
        let port = |port: i32| u16::try_from(port).unwrap_or(0); // the table checks it
        let body = Down::Moving(MovingV1 {
            router: stored.router_id,
            mode,
            address: place.address,
            auth_port: port(place.auth_port),
            acct_port: port(place.acct_port),
            secret: site_key.seal_same(&secret_place(Kind::Moving, id, "old_secret"), &clear),
            copy_accounting: stored.copy_accounting,
        });
        projections.push(Projection {
            id,
            site: site_id,
            body: body.encode(),
        });
    }
    Ok(projections)
}

async fn take(
    tx: &mut Tx,
    agent: &Agent,
    reports: &[Report],
    now: Timestamp,
) -> sqlx::Result<Vec<Unusable>> {
    let mut told: BTreeMap<Uuid, Vec<&MovingReportV1>> = BTreeMap::new();
    for report in reports {
        if let Up::Moving(body) = &report.body {
            told.entry(body.router.0).or_default().push(body);
        }
    }
    let routers: Vec<RouterId> = told.keys().copied().map(RouterId).collect();
    for router in routers::at_site(tx, agent.site, &routers).await? {
        for report in told.get(&router.0).into_iter().flatten() {
            apply(tx, router, report, now).await?;
        }
    }
    Ok(Vec::new())
}

async fn apply(
    tx: &mut Tx,
    router: RouterId,
    report: &MovingReportV1,
    now: Timestamp,
) -> sqlx::Result<()> {
    let problem = report.problem.as_deref().map(|text| plain(text, 300));
    let at = report.at.min(now);
    store::add(tx, router, &report.counts, problem.as_deref(), at).await?;
    let rows = report.differences.iter().take(MOST);
    let rows: Vec<DifferenceRow> = rows.map(|one| difference(one, now)).collect();
    let agreed = report.agreed.iter().take(MOST);
    let agreed: Vec<String> = agreed.map(|name| name_of(name)).collect();
    if !rows.is_empty() || !agreed.is_empty() {
        store::put_differences(tx, router, &rows, &agreed).await?;
    }
    // The last of one name counts, and one statement may not touch a row twice.
    let strangers = report.strangers.iter().take(MOST);
    let strangers: BTreeMap<String, Stranger> = strangers
        .map(|one| (name_of(&one.username), stranger(one, now)))
        .collect();
    let strangers: Vec<Stranger> = strangers.into_values().collect();
    store::put_strangers(tx, router, &strangers).await
}

fn difference(told: &MovingDifferenceV1, now: Timestamp) -> DifferenceRow {
    DifferenceRow {
        username: name_of(&told.username),
        kind: match told.kind {
            MovingDifference::Answer => Difference::Answer,
            MovingDifference::Rate => Difference::Rate,
            MovingDifference::Address => Difference::Address,
            MovingDifference::Timeout => Difference::Timeout,
        },
        ours: plain(&told.ours, 200),
        theirs: plain(&told.theirs, 200),
        at: told.at.min(now),
    }
}

fn stranger(told: &MovingStrangerV1, now: Timestamp) -> Stranger {
    let at = told.at.min(now);
    Stranger {
        username: name_of(&told.username),
        hotspot: told.hotspot,
        mac: told.mac.map(|mac| mac.to_string()),
        rate: plain(&told.rate, 200),
        address: plain(&told.address, 200),
        first_at: at,
        last_at: at,
    }
}

/// A name as a person reads it: the database takes no octet 0 and no half letters.
fn name_of(name: &[u8]) -> String {
    plain(&String::from_utf8_lossy(name), 253)
}

fn plain(text: &str, most: usize) -> String {
    let letters = text.chars().filter(|letter| !letter.is_control());
    letters.take(most).collect()
}

/// Of each kind in one report; an agent sends no more.
const MOST: usize = 500;
