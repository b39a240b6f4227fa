//! What a router says of itself now, and what is done to it by hand: asked through its site's agent, nothing
//! stored but the trail.

mod drift;
mod http;
mod queues;
mod shown;
mod update;

use std::time::Duration;

use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::question::{Question, Reply};
use easyisp_shared::wire::router::{RouterAsk, RouterTold};

use crate::api::{Access, Routes, routes};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::permission::Permission::*;
use crate::routers;
use crate::sites::Live;

pub use drift::Drift;

/// The routes of this feature.
pub fn routes() -> Routes {
    const SEE: Access = Access::Any(&[RoutersDetailsView, RoutersView]);
    const CHANGE: Access = Access::Any(&[RoutersConfig]);
    const TEST: Access = Access::Any(&[RoutersTest]);

    Routes::new()
        .route(SEE, routes!(http::system_stats))
        .route(SEE, routes!(http::interfaces))
        .route(SEE, routes!(http::log))
        .route(SEE, routes!(http::leases))
        .route(SEE, routes!(http::neighbours))
        .route(SEE, routes!(http::netwatch))
        .route(TEST, routes!(http::ping))
        .route(CHANGE, routes!(http::reboot))
        .route(CHANGE, routes!(drift::find))
        .route(CHANGE, routes!(drift::repair))
        .route(CHANGE, routes!(update::config))
        .route(CHANGE, routes!(update::hotspot))
        .route(SEE, routes!(queues::list))
        .route(CHANGE, routes!(queues::create))
        .route(CHANGE, routes!(queues::update, queues::delete))
}

/// Asks one router something; hold no transaction meanwhile. 404 for a router of somebody else.
pub async fn ask(
    db: &Database,
    live: &Live,
    operator: &Operator,
    router: RouterId,
    ask: RouterAsk,
    now: Timestamp,
) -> Result<RouterTold, ApiError> {
    // What writes row by row takes as long as a turn of the wizard.
    let within = match &ask {
        RouterAsk::Repair(_) => REPAIR,
        _ => PATIENCE, // one question, and its answer
    };
    let mut tx = db.begin(operator.tenant).await?;
    let site = routers::site_of(&mut tx, router).await?;
    let site = site.ok_or(ApiError::NotFound("router"))?;
    drop(tx);
    let question = Question::Router { router, ask };
    let told = live
        .ask(operator.tenant, site, &question, within, now)
        .await?;
    match told {
        Reply::Router(told) => Ok(told),
        _ => Err(other_answer()), // a reply of another question
    }
}

/// The site answered another question.
pub fn other_answer() -> ApiError {
    ApiError::BadGateway {
        message: "The site answered something else".to_owned(),
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
/// Below the time limit of a request.
const REPAIR: Duration = Duration::from_secs(25);
