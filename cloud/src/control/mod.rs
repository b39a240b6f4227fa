//! What a router says of itself now, and what is done to it by hand: asked through its site's agent, nothing
//! stored but the trail.

mod drift;
mod http;
mod queues;
mod shown;
mod update;

use std::time::Duration;

use easyisp_shared::id::{RouterId, SiteId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::question::{AskFailure, Question, Reply};
use easyisp_shared::wire::router::{RouterAsk, RouterTold, RowsOf};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::{Access, Routes, routes};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::permission::Permission::*;
use crate::routers;
use crate::sites::{Live, Silence};

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
    let site = site_of(db, operator, router).await?;
    let question = Question::Router { router, ask };
    let told = live.ask(operator.tenant, site, &question, within, now);
    match told.await? {
        Reply::Router(told) => Ok(told),
        _ => Err(other_answer()), // a reply of another question
    }
}

/// Which rows of a list.
#[derive(Deserialize, utoipa::IntoParams)]
pub struct RowsQuery {
    /// How many rows to leave out; 0 when it is not said.
    offset: Option<u32>,
}

/// How much of a list an answer holds.
#[derive(Serialize, ToSchema)]
pub struct Extent {
    /// Rows that the list has; absent where the site's agent is too old to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u32>,
    /// Whether there are more rows than these: ask again with a greater `offset`.
    truncated: bool,
}

/// Asks one router for a list, from a row on; as much as an answer holds of it.
async fn rows(
    db: &Database,
    live: &Live,
    operator: &Operator,
    router: RouterId,
    (of, query): (RowsOf, &RowsQuery),
    now: Timestamp,
) -> Result<(RouterTold, Extent), ApiError> {
    let from = query.offset.unwrap_or(0);
    let site = site_of(db, operator, router).await?;
    let put = async |ask| {
        let question = Question::Router { router, ask };
        live.ask(operator.tenant, site, &question, PATIENCE, now)
            .await
    };
    match put(RouterAsk::Rows { of, from }).await {
        Ok(Reply::Router(RouterTold::Rows { told, all })) => {
            let end = from.saturating_add(count(&told));
            let extent = Extent {
                total: Some(all),
                truncated: end < all,
            };
            Ok((*told, extent))
        }
        // An older agent cuts a long list without a word.
        Err(Silence::Failed {
            failure: AskFailure::NotUnderstood,
            ..
        }) => {
            let (ask, most) = before(of);
            let Reply::Router(told) = put(ask).await? else {
                return Err(other_answer());
            };
            let extent = Extent {
                total: None,
                truncated: count(&told) >= most,
            };
            Ok((told, extent))
        }
        Err(silence) => Err(silence.into()),
        Ok(_) => Err(other_answer()), // a reply of another question
    }
}

/// How the last releases were asked for a list, and how many rows they told at most.
fn before(of: RowsOf) -> (RouterAsk, u32) {
    match of {
        RowsOf::Interfaces => (RouterAsk::Interfaces, 1000),
        RowsOf::Queues => (RouterAsk::Queues, 1000),
        RowsOf::Leases => (RouterAsk::Leases, 1000),
        RowsOf::Neighbours => (RouterAsk::Neighbours, 500),
        RowsOf::Netwatch => (RouterAsk::Netwatch, 500),
    }
}

fn count(told: &RouterTold) -> u32 {
    let rows = match told {
        RouterTold::Interfaces(rows) => rows.len(),
        RouterTold::Queues(rows) => rows.len(),
        RouterTold::Leases(rows) => rows.len(),
        RouterTold::Neighbours(rows) => rows.len(),
        RouterTold::Netwatch(rows) => rows.len(),
        _ => 0, // no list
    };
    u32::try_from(rows).unwrap_or(u32::MAX)
}

async fn site_of(db: &Database, operator: &Operator, router: RouterId) -> Result<SiteId, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let site = routers::site_of(&mut tx, router).await?;
    site.ok_or(ApiError::NotFound("router"))
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
