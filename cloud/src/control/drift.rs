//! `/api/nas/{router}/drift`: what a router is to be, against what it is.

use axum::extract::State;
use easyisp_shared::id::RouterId;
use easyisp_shared::setup::wanted;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::drift::{self, DriftFieldV1, DriftV1, WantedV1};
use easyisp_shared::wire::router::{RouterAsk, RouterTold};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{ask, other_answer};
use crate::api::{Json, Path, Query};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::routers::{self, Writer};
use crate::secrets::Secrets;
use crate::sites::Live;
use crate::wizard::{self, Choice};

/// What differs at a router.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    router_id: RouterId,
    checked_at: Timestamp,
    /// Whether nothing differs and everything could be read.
    is_as_wanted: bool,
    /// How many fields were compared.
    compared: u32,
    /// At most 200.
    fields: Vec<Field>,
    /// Menus that could not be read or written: a package that is not installed, a right that the agent's login
    /// has not.
    problems: Vec<Problem>,
}

/// One difference.
#[derive(Serialize, ToSchema)]
pub struct Field {
    /// Like `/ip hotspot profile`.
    path: String,
    /// Which row of it, `name=easyisp-hotspot`; empty for the menu itself.
    row: String,
    /// Which property; empty where the row as a whole is missing, or should be.
    field: String,
    /// What it is to be; null = gone. Secrets are masked.
    wanted: Option<String>,
    /// What it is; null = not there.
    found: Option<String>,
}

/// A menu that could not be read or written.
#[derive(Serialize, ToSchema)]
pub struct Problem {
    /// Like `/interface pppoe-server server`.
    path: String,
    /// In the router's words.
    message: String,
}

impl Drift {
    /// What an agent told, when.
    pub fn new(router_id: RouterId, told: DriftV1, checked_at: Timestamp) -> Drift {
        let field = |field: DriftFieldV1| Field {
            path: field.menu,
            row: field.row,
            field: field.field,
            wanted: field.wanted,
            found: field.found,
        };
        let problem = |(path, message)| Problem { path, message };
        Drift {
            router_id,
            checked_at,
            is_as_wanted: told.fields.is_empty() && told.problems.is_empty(),
            compared: told.compared,
            fields: told.fields.into_iter().map(field).collect(),
            problems: told.problems.into_iter().map(problem).collect(),
        }
    }
}

/// `GET /api/nas/{router}/drift`: field by field, where the router is not what its script would make of it: asked
/// of it now, with the same choice as its script; without one, with that of the wizard. Nothing is written.
///
/// Errors: 400 naming what is wrong with the choice, 404, 422 without an API user, 503 when the site is away, 502
/// or 504 when the router is.
#[utoipa::path(get, path = "/api/nas/{router}/drift", tag = "Routers",
    params(("router" = RouterId, Path), Choice), responses((status = 200, body = Drift),
        (status = 422, description = "No API user is entered for this router"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn find(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
    Query(choice): Query<Choice>,
) -> Result<Json<Drift>, ApiError> {
    let now = clock.now();
    let wanted = items(&db, &secrets, &operator, router, choice).await?;
    let compare = RouterAsk::Compare(wanted);
    match ask(&db, &live, &operator, router, compare, now).await? {
        RouterTold::Drift(told) => Ok(Json(Drift::new(router, *told, now))),
        _ => Err(other_answer()), // an answer to something else
    }
}

/// `POST /api/nas/{router}/drift/repair`: writes what differs, and nothing else; answers what differs still, read
/// back. Who asked is in the trail before anything is written, with what differed.
///
/// The choice is that of `GET /api/nas/{router}/drift`. Repeating it changes nothing more. Errors: as there, 422
/// `AGENT_NOT_LISTED` where it would close the router to the address from which its agent enters, and 409
/// `WIZARD_RUNNING` or `ROUTER_BUSY` while somebody else writes to it.
#[utoipa::path(post, path = "/api/nas/{router}/drift/repair", tag = "Routers",
    params(("router" = RouterId, Path), Choice), responses((status = 200, body = Drift),
        (status = 422, description = "No API user is entered for this router; AGENT_NOT_LISTED"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn repair(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
    Query(choice): Query<Choice>,
) -> Result<Json<Drift>, ApiError> {
    let now = clock.now();
    let wanted = items(&db, &secrets, &operator, router, choice).await?;
    let told = mended(db, live, operator, router, wanted, now).await?;
    Ok(Json(Drift::new(router, told, now)))
}

/// Writes what differs from this, and nothing else; what differs still. Nobody else writes to the router meanwhile.
pub(super) async fn mended(
    db: Database,
    live: Live,
    operator: Operator,
    router: RouterId,
    wanted: Vec<WantedV1>,
    now: Timestamp,
) -> Result<DriftV1, ApiError> {
    let writer = Writer::Repair(hex::encode(db.entropy().bytes::<8>()));
    let mut tx = db.begin(operator.tenant).await?;
    let name = routers::lock_named(&mut tx, router).await?;
    name.ok_or(ApiError::NotFound("router"))?;
    routers::claim(&mut tx, router, &writer, now).await?;
    tx.commit().await?;
    // It ends whoever still waits for it: a request that is given up leaves no router claimed.
    let mending = tokio::spawn(async move {
        let mended = mend((&db, &live), &operator, router, wanted, now).await;
        let mut tx = db.begin(operator.tenant).await?;
        routers::release(&mut tx, router, &writer).await?;
        tx.commit().await?;
        mended
    });
    mending.await.map_err(ApiError::internal)?
}

/// Looks what differs, writes it down, and mends it.
async fn mend(
    (db, live): (&Database, &Live),
    operator: &Operator,
    router: RouterId,
    wanted: Vec<WantedV1>,
    now: Timestamp,
) -> Result<DriftV1, ApiError> {
    let compare = RouterAsk::Compare(wanted.clone());
    let found = match ask(db, live, operator, router, compare, now).await {
        Ok(RouterTold::Drift(found)) => Some(found),
        Ok(_) => return Err(other_answer()), // an answer to something else
        Err(cause) => {
            note(db, operator, router, None, now).await?;
            return Err(cause);
        }
    };
    note(db, operator, router, found.as_deref(), now).await?;
    let mend = RouterAsk::Repair(wanted);
    match ask(db, live, operator, router, mend, now).await? {
        RouterTold::Drift(told) => match drift::not_listed(&told) {
            Some(words) => Err(ApiError::unprocessable(
                "AGENT_NOT_LISTED",
                format!("Nothing was mended: {words}"),
            )),
            None => Ok(*told),
        },
        _ => Err(other_answer()), // an answer to something else
    }
}

async fn items(
    db: &Database,
    secrets: &Secrets,
    operator: &Operator,
    router: RouterId,
    choice: Choice,
) -> Result<Vec<WantedV1>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let (setup, release) = wizard::setup(&mut tx, secrets, router, choice).await?;
    Ok(drift::wanted(&wanted(&setup, release)))
}

/// Writes down what is to be mended before it is: a router that fell silent may have done it.
async fn note(
    db: &Database,
    operator: &Operator,
    router: RouterId,
    found: Option<&DriftV1>,
    now: Timestamp,
) -> Result<(), ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let name = routers::lock_named(&mut tx, router).await?;
    let name = name.ok_or(ApiError::NotFound("router"))?;
    let audit = Audit {
        details: match found {
            Some(found) => format!("{} differences are to be mended", found.fields.len()),
            None => "It could not be asked what differs".to_owned(),
        },
        before: found.map(|found| {
            let one = |field: &DriftFieldV1| {
                json!({ "path": field.menu, "row": field.row, "field": field.field,
                    "wanted": field.wanted, "found": field.found })
            };
            json!(
                found
                    .fields
                    .iter()
                    .take(MOST_NOTED)
                    .map(one)
                    .collect::<Vec<_>>()
            )
        }),
        ..Audit::new(Action::RouterRepair, "router", router, &name)
    };
    audit::record(&mut tx, &Actor::from(operator), audit, now).await?;
    tx.commit().await?;
    Ok(())
}

/// In one line of the trail.
const MOST_NOTED: usize = 50;
