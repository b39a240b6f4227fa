//! What routers' configurations were: a version for every change that an agent saw, and what differs between two.
//!
//! Agents look at their routers once an hour and after each change of ours, and report what is otherwise; a version
//! holds no secret, only that one changed. The newest hundred of a router are kept, those of the last year of them.

mod drift;
pub mod edge;
mod http;
mod restore;
mod rules;
mod store;
mod words;

use easyisp_shared::id::{ConfigurationId, RouterId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::configuration::ConfigurationV1;
use serde::Serialize;

use crate::api::{Access, Routes, routes};
use crate::db::Tx;
use crate::due;
use crate::permission::Permission::RoutersConfig;
use crate::webhooks::{self, Event, EventKind};

pub use drift::{DRIFT, look};
pub use words::Reason;

/// The routes of this feature.
pub fn routes() -> Routes {
    // Rules and names of people: as the script itself.
    const CONFIG: Access = Access::Any(&[RoutersConfig]);

    Routes::new()
        .route(CONFIG, routes!(http::list, http::take))
        .route(CONFIG, routes!(http::get))
        .route(CONFIG, routes!(http::diff))
        .route(CONFIG, routes!(restore::restore))
}

/// Keeps a version of a router that stands here, unless it is the newest one that is kept already or older than
/// that; whether it is new.
///
/// Locks the router until the transaction ends. What is changed by nobody of ours is told to webhooks.
pub async fn keep(
    tx: &mut Tx,
    (router, name): (RouterId, &str),
    told: &ConfigurationV1,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let newest = store::newest(tx, router).await?;
    // A box whose clock is ahead takes no version's place for good.
    let taken_at = told.at.min(now);
    if newest
        .as_ref()
        .is_some_and(|newest| newest.digest == told.digest || newest.taken_at > taken_at)
    {
        return Ok(false);
    }
    let reason = Reason::of(told.why, newest.is_none());
    let before = newest.map(|newest| newest.body).unwrap_or_default();
    let changed = rules::compared(&before, &told.text);
    let version = store::Version {
        id: ConfigurationId::new(now, &tx.entropy()),
        taken_at,
        reason,
        digest: told.digest.to_vec(),
        lines: rules::count(told.text.lines().count()),
        left_out: i32::try_from(told.left_out).unwrap_or(i32::MAX),
        added: changed.added,
        removed: changed.removed,
        body: told.text.clone(),
    };
    store::insert(tx, router, &version, now).await?;
    due::at(tx, DRIFT, router, now).await?;
    store::forget(tx, router, KEPT, now.minus(LONGEST)).await?;
    if reason == Reason::Seen {
        let data = Changed {
            router_id: router,
            name,
            configuration_id: version.id,
            taken_at,
            lines_added: version.added,
            lines_removed: version.removed,
        };
        let event = Event::new(
            tx.tenant(),
            EventKind::RouterConfigurationChanged,
            &data,
            now,
            &tx.entropy(),
        );
        webhooks::tell(tx, &[event], now).await?;
    }
    Ok(true)
}

/// `router.configuration_changed`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Changed<'a> {
    router_id: RouterId,
    name: &'a str,
    configuration_id: ConfigurationId,
    taken_at: Timestamp,
    lines_added: i32,
    lines_removed: i32,
}

/// Versions of a router.
const KEPT: i64 = 100;
/// For so long; the newest one stays.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(366 * 86_400);
