//! The end of a router's secret: not before the router was seen to use the new one.

use std::time::Duration;

use easyisp_shared::id::{RouterId, TenantId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::question::{Question, Reply};
use easyisp_shared::wire::router::{RouterAsk, RouterTold, SecretV1};

use super::store::{self, Stored};
use crate::db::{Database, Kind};
use crate::sites::{Live, Warning};

/// Asks the router's site which secret it uses, and ends the one before where that is the new one; when to look again,
/// `None` when nothing is left to end.
pub async fn end(
    db: &Database,
    live: &Live,
    (tenant, router): (TenantId, RouterId),
    now: Timestamp,
) -> sqlx::Result<Option<Timestamp>> {
    let again = Some(now.plus(LOOK));
    let mut tx = db.begin(tenant).await?;
    let stored = store::present(&mut tx, &[router.0])
        .await?
        .into_iter()
        .next();
    let Some(stored) = stored.filter(|stored| stored.previous_secret_sealed.is_some()) else {
        return Ok(None);
    };
    drop(tx);
    let ask = RouterAsk::Secret;
    let question = Question::Router { router, ask };
    let told = live
        .ask(tenant, stored.site_id, &question, PATIENCE, now)
        .await;
    let in_use = match told {
        Ok(Reply::Router(RouterTold::Secret(in_use))) => in_use,
        // The site is away, or too old to know: nobody knows, and nobody is cut off.
        Ok(_) | Err(_) => None,
    };
    let changed = stored.secret_changed_at.unwrap_or_default();
    let mut tx = db.begin(tenant).await?;
    let Some(in_use) = in_use else {
        if now.since(changed) < PATIENT {
            return Ok(again);
        }
        if !store::note_secret(&mut tx, router, stored.secret_changed_at, false).await? {
            return Ok(again); // another change came meanwhile
        }
        if store::forget_previous_secret(&mut tx, router).await? {
            tx.changed(Kind::Router, router);
        }
        tx.commit().await?;
        return Ok(None);
    };
    let is_seen = in_use == SecretV1::Present;
    // Another change may have come meanwhile: the answer was of the one before.
    if !store::note_secret(&mut tx, router, stored.secret_changed_at, is_seen).await? {
        return Ok(again);
    }
    let is_over = is_seen && now.since(changed) >= ROTATION;
    if is_over && store::forget_previous_secret(&mut tx, router).await? {
        tx.changed(Kind::Router, router);
    }
    tx.commit().await?;
    Ok(again.filter(|_| !is_over))
}

/// A secret of which nobody knows yet that the router uses it.
pub fn warning(stored: &Stored) -> Option<Warning> {
    let is_open = stored.previous_secret_sealed.is_some() && stored.secret_seen != Some(true);
    is_open.then(|| Warning {
        code: "OLD_SECRET",
        message: format!(
            "Router {} was not seen to use its new RADIUS secret yet: the one before is taken until it does.",
            stored.name
        ),
        remedy: "Set the new secret at the router (/radius set … secret=), or paste a new command from the wizard."
            .to_owned(),
        since: stored.secret_changed_at,
        router_id: Some(stored.id),
        agent_id: None,
    })
}

/// How long the secret before stays valid at the least.
const ROTATION: Duration = Duration::from_secs(86_400);
/// How long it does where nobody tells which one is in use.
const PATIENT: Duration = Duration::from_secs(30 * 86_400);
/// How often it is asked which is in use.
pub const LOOK: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(8);
