//! Carries a rollout on: who is begun with, which ring, or its end.

use easyisp_shared::id::{RolloutId, TenantId};
use easyisp_shared::time::Timestamp;
use jiff::tz::TimeZone;

use super::TURN;
use super::rules::{self, Course};
use super::store;
use super::words::{State, Step};
use crate::audit::{self, Action as Deed, Actor, Audit};
use crate::db::Database;
use crate::{due, tenants};

/// Looks at a rollout; when to look again where nothing else brings it about.
pub async fn run(
    db: &Database,
    (tenant, rollout): (TenantId, RolloutId),
    now: Timestamp,
) -> anyhow::Result<Option<Timestamp>> {
    let mut tx = db.begin(tenant).await?;
    let Some(row) = store::lock(&mut tx, rollout).await? else {
        return Ok(None);
    };
    let zone = TimeZone::get(&tenants::time_zone(&mut tx).await?)?;
    let parts = store::parts(&mut tx, rollout).await?;
    let window = row.window().filter(|window| !window.is_open(now, &zone));
    let course = Course {
        state: row.state,
        ring: row.ring,
        rings: row.rings,
        max_failed: row.max_failed,
        until: row.until_at,
        opens: window.map(|window| window.opens(now, &zone)),
    };
    let next = rules::next(course, &parts, now);
    for step in [Step::Missed, Step::Untouched] {
        let over = next.over.iter().filter(|(_, how)| *how == step);
        let over: Vec<_> = over.map(|(part, _)| *part).collect();
        if !over.is_empty() {
            store::move_on(&mut tx, &over, step, now).await?;
        }
    }
    if !next.begin.is_empty() {
        store::move_on(&mut tx, &next.begin, Step::Checking, now).await?;
        due::at_once(&mut tx, TURN, &next.begin, now).await?;
    }
    if (next.state, next.ring) != (row.state, row.ring) {
        let because = next.because.as_deref();
        store::note(&mut tx, rollout, (next.state, next.ring), because, now).await?;
    }
    if next.state != row.state && matches!(next.state, State::Stopped | State::Done) {
        let line = Audit {
            details: match &next.because {
                Some(why) => format!("Stopped by itself in ring {}: {why}", next.ring),
                None => "Every router came to its end".to_owned(),
            },
            ..Audit::new(Deed::RolloutEnd, "rollout", rollout, &row.name)
        };
        audit::record(&mut tx, &Actor::system(), line, now).await?;
    }
    tx.commit().await?;
    Ok(next.again)
}
