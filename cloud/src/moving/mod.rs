//! Moving in: a router whose old RADIUS server goes on behind our agent until nobody needs it any more.
//!
//! What each mode does is the agent's (`agent/src/radius/shadow`). Here stands which router is in which mode,
//! where its old server is, and what the two servers said to the same people: counts since the move began,
//! the newest differences, and the users whom only the old server knows.

pub mod edge;
mod http;
mod rules;
mod store;
mod words;

use easyisp_shared::id::RouterId;

use self::words::Mode;
use crate::api::{Access, Routes, routes};
use crate::db::Tx;
use crate::permission::Permission::{RoutersDetailsView, RoutersEdit, RoutersTest, RoutersView};

/// Whether an old server still answers somebody at a router.
pub async fn is_under_way(tx: &mut Tx, router: RouterId) -> sqlx::Result<bool> {
    let stored = store::find(tx, router).await?;
    Ok(stored.is_some_and(|stored| stored.mode != Mode::Own))
}

/// The routes of this feature.
pub fn routes() -> Routes {
    const VIEW: Access = Access::Any(&[RoutersView, RoutersDetailsView]);

    Routes::new()
        .route(VIEW, routes!(http::get))
        .route(Access::Any(&[RoutersEdit]), routes!(http::put))
        .route(Access::Any(&[RoutersTest]), routes!(http::check))
        .route(VIEW, routes!(http::users))
}

/// Under which name an old server's secret is sealed.
const OLD_SECRET: &str = "moving.old_secret";
