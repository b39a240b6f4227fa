//! One thing done to many routers, in rings, with a stop.
//!
//! A rollout has routers in rings. A ring is begun with when every router of the one before is well again: reachable,
//! with the release that was wanted, its API and its CoA port answering the agent, and still so after a while. When more
//! than so many failed it stops by itself and an alert says so; what was ordered is seen to its end. Each router's part
//! is a row and a job: it goes on a turn at a time through its site's agent, each noted before the next, so that a crash
//! asks the router what became of an order before it gives it again. Who cannot be reached is left for later, and missed
//! at the end.

mod actions;
mod http;
mod rules;
mod run;
mod store;
mod turn;
mod words;

use std::time::Duration;

use easyisp_shared::id::{RolloutId, RouterId};
use easyisp_shared::time::Timestamp;

use crate::api::{Access, Routes, routes};
use crate::db::Tx;
use crate::permission::Permission::{RoutersConfig, RoutersDetailsView, RoutersView};

pub use run::run;
pub use turn::turn;

/// The routes of this feature.
pub fn routes() -> Routes {
    const CONFIG: Access = Access::Any(&[RoutersConfig]);
    const SEE: Access = Access::Any(&[RoutersView, RoutersDetailsView]);

    Routes::new()
        .route(CONFIG, routes!(http::create))
        .route(SEE, routes!(http::list))
        .route(SEE, routes!(http::get))
        .route(CONFIG, routes!(http::pause))
        .route(CONFIG, routes!(http::resume))
        .route(CONFIG, routes!(http::stop))
        .route(SEE, routes!(http::firmware::look))
        .route(CONFIG, routes!(http::firmware::check))
        .route(CONFIG, routes!(http::firmware::update))
}

/// Routers that may be gone for a while because a rollout said so: nobody need be told of it.
pub async fn expected_away(tx: &mut Tx) -> sqlx::Result<Vec<RouterId>> {
    store::expected_away(tx).await
}

/// A rollout that stopped by itself.
pub struct Stopped {
    /// Which.
    pub id: RolloutId,
    /// What it is called.
    pub name: String,
    /// Why.
    pub because: String,
    /// When.
    pub at: Timestamp,
}

/// Rollouts that stopped by themselves in the last day.
pub async fn stopped(tx: &mut Tx, now: Timestamp) -> sqlx::Result<Vec<Stopped>> {
    let rows = store::stopped(tx, now.minus(DAY)).await?.into_iter();
    Ok(rows
        .map(|(id, name, because, at)| Stopped {
            id,
            name,
            because,
            at,
        })
        .collect())
}

/// The kind of the job that looks at a rollout; its subject is the rollout.
pub const RUN: &str = "rollouts.run";
/// The kind of the job that carries one router's part on; its subject is the part.
pub const TURN: &str = "rollouts.turn";
const DAY: Duration = Duration::from_secs(86_400);
