//! `POST /api/nas/{router}/configurations/{configuration}/restore`: ours as it was then.

use std::time::Instant;

use axum::extract::State;
use easyisp_shared::id::{ConfigurationId, RouterId};
use easyisp_shared::setup::text;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::drift::DriftV1;
use easyisp_shared::wire::router::{RouterAsk, RouterTold};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::http::{found, is_there, read_now};
use crate::api::{Json, Path, Query};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::control::{Drift, ask, other_answer};
use crate::db::Database;
use crate::error::ApiError;
use crate::routers;
use crate::secrets::Secrets;
use crate::sites::Live;
use crate::wizard::{self, Choice, Configured};

/// How to restore.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct RestoreQuery {
    /// Only tells what would change.
    dry_run: Option<bool>,
}

/// What is restored.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// The version.
    id: ConfigurationId,
    /// Nothing was changed.
    dry_run: bool,
    /// What of ours was otherwise than in the version, before anything was changed.
    changes: Drift,
    /// What stood there and cannot be written again, in words: a secret is in no version.
    left: Vec<String>,
    /// What a restore never does, sentence by sentence.
    not_restored: Vec<&'static str>,
    /// What came of it; null where nothing was done.
    outcome: Option<Configured>,
}

/// What is said beside every restore.
const NOT_RESTORED: [&str; 4] = [
    "What EasyISP did not make stays as it is now, also where this version had it otherwise: rules, addresses, queues \
     and routes of somebody's own are written again by hand, by what the version says of them",
    "Secrets are in no version: those that the router has now stay",
    "The agents' login, certificates and files stay as they are",
    "A router that was reset, or another one in its place, takes a new command of the wizard first; the backup that \
     holds all of a router lies on the router itself, encrypted, and is good for that device alone",
];

/// `POST /api/nas/{router}/configurations/{configuration}/restore`: what EasyISP manages of the router becomes as it
/// was in this version, row by row of the menus that its script names; whatever is not ours stays as it is, as do the
/// agents' login and the present secrets: `notRestored` says so, for whoever reads the answer alone.
///
/// `dryRun=true` only tells what would change. Else the present configuration is kept as a version, a backup is saved
/// on the router, and it goes step by step as the wizard configures: read back, tried, and undone when anything fails;
/// `outcome.message` says so, and `outcome.success` is also false while it is still under way. The choice is that of
/// `GET /api/nas/{router}/config`; without one that of the wizard. Errors: 400 naming what is wrong with the choice, 404, 409
/// `CONFIGURATION_INCOMPLETE` for a version that had no room for all of it, 409 `WIZARD_RUNNING`, 422 without an API
/// user, 503 when the site is away, 502 or 504 when the router is.
#[utoipa::path(post, path = "/api/nas/{router}/configurations/{configuration}/restore", tag = "Routers",
    params(("router" = RouterId, Path), ("configuration" = ConfigurationId, Path), RestoreQuery, Choice),
    responses((status = 200, body = Restored),
        (status = 422, description = "No API user is entered for this router"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
#[expect(clippy::too_many_arguments, reason = "a handler names what it needs")]
pub async fn restore(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(live): State<Live>,
    Path((router, configuration)): Path<(RouterId, ConfigurationId)>,
    Query(query): Query<RestoreQuery>,
    Query(choice): Query<Choice>,
) -> Result<Json<Restored>, ApiError> {
    let (begun, now) = (Instant::now(), clock.now());
    let mut tx = db.begin(operator.tenant).await?;
    is_there(&mut tx, router).await?;
    let version = found(&mut tx, router, configuration).await?;
    drop(tx);
    if version.left_out > 0 {
        return Err(ApiError::conflict(
            "CONFIGURATION_INCOMPLETE",
            "This version had no room for all of the configuration: what is not in it cannot be told from what was \
             not there",
        ));
    }
    let rows = text::read(&version.body);
    let going = wizard::plan_back(&db, &secrets, &operator, router, choice, &rows).await?;
    let compare = RouterAsk::Compare(going.back.wanted());
    let RouterTold::Drift(found) = ask(&db, &live, &operator, router, compare, now).await? else {
        return Err(other_answer());
    };
    let differs = !found.fields.is_empty();
    let dry_run = query.dry_run.unwrap_or(false);
    let mut restored = Restored {
        id: version.id,
        dry_run: dry_run || !differs,
        changes: Drift::new(router, (*found).clone(), now),
        left: going.back.left.clone(),
        not_restored: NOT_RESTORED.to_vec(),
        outcome: None,
    };
    if dry_run {
        return Ok(Json(restored));
    }
    read_now((&db, &live, &clock), &operator, router).await?;
    note(&db, &operator, router, version.taken_at, &found, now).await?;
    if differs {
        let details = format!("Takes it back to the configuration of {}", version.taken_at);
        let parts = (&db, &secrets, &live);
        let when = (begun, now);
        let outcome = wizard::go_back(parts, &operator, router, going, &details, when).await?;
        restored.outcome = Some(outcome);
    }
    Ok(Json(restored))
}

/// Writes down who wants what back before it is written: a router that fell silent may have done it.
async fn note(
    db: &Database,
    operator: &Operator,
    router: RouterId,
    taken_at: Timestamp,
    found: &DriftV1,
    now: Timestamp,
) -> Result<(), ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let name = routers::lock_named(&mut tx, router).await?;
    let name = name.ok_or(ApiError::NotFound("router"))?;
    let fields = found.fields.iter().take(MOST_NOTED).map(|field| {
        json!({ "path": field.menu, "row": field.row, "field": field.field,
            "wanted": field.wanted, "found": field.found })
    });
    let audit = Audit {
        details: format!(
            "{} differences from the configuration of {taken_at} are to be taken back",
            found.fields.len()
        ),
        before: Some(json!(fields.collect::<Vec<_>>())),
        ..Audit::new(Action::RouterRestore, "router", router, &name)
    };
    audit::record(&mut tx, &Actor::from(operator), audit, now).await?;
    tx.commit().await?;
    Ok(())
}

/// In one line of the trail.
const MOST_NOTED: usize = 50;
