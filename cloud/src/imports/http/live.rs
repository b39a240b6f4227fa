//! `/api/nas/{router}/import`: the users of a router's own, read from it now.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::Response;
use easyisp_shared::id::RouterId;
use easyisp_shared::time::Clock;
use easyisp_shared::wire::question::{
    AskFailure, Question, Reply, RouterUserV1, SubscribersAskV1, SubscribersPlaceV1,
};
use serde::Deserialize;

use super::super::MOST_CUSTOMERS;
use super::super::customers::mark_repeats;
use super::super::fields::Field;
use super::super::formats::routeros;
use super::super::row::Row;
use super::super::run::ROUTER;
use super::super::words::OnExisting;
use super::report::{JobAnswer, Report};
use super::{How, Lot, take};
use crate::api::{Idempotency, Path, Query};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::{ApiError, ErrorEnvelope};
use crate::permission::Permission;
use crate::routers;
use crate::secrets::Secrets;
use crate::sites::Live;
use crate::sites::live::Silence;

/// How a router's users are taken in.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct RouterQuery {
    /// True: says what would be done, and does nothing.
    #[serde(default)]
    dry_run: bool,
    /// What to do with users who are customers already; `skip` when not said.
    #[serde(default)]
    #[param(value_type = Option<OnExisting>, inline)]
    on_existing: OnExisting,
}

/// `POST /api/nas/{router}/import`: customers from the router's own lists (`/ppp secret`, `/ip hotspot user`), with
/// their passwords, read from it now; at most 20,000.
///
/// As `POST /api/customers/import` of an export of theirs, row by row, and undone like it; `row` is the place on the
/// lists, PPP before hotspot. Whoever is made or changed belongs to this router. What the router makes of itself
/// (trials) is left out; a profile is a package by its name or router profile. The router's own users stay on it, and
/// it answers them without us until they are taken off (`GET /api/nas/{router}/moving`). A repeat with the same
/// `Idempotency-Key` reads the router again and returns the first answer.
///
/// Needs `routers:details_view` as well, for passwords are read; a dry run shows none. Errors: 403
/// `FRESH_LOGIN_REQUIRED`, 404, 422 `SITE_REFUSED` where the router hides passwords from the agents' login or has no
/// API user, `AGENT_TOO_OLD`, `NO_USERS` or `TOO_MANY_USERS`, 502 or 504 when the router is away, 503 when its site
/// is.
#[utoipa::path(post, path = "/api/nas/{router}/import", tag = "Imports",
    params(("router" = RouterId, Path), RouterQuery),
    responses((status = 200, body = Report), (status = 202, body = JobAnswer),
        (status = 422, body = ErrorEnvelope),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
#[expect(clippy::too_many_arguments, reason = "a handler names what it needs")]
pub async fn router(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(live): State<Live>,
    idempotency: Idempotency,
    Path(router): Path<RouterId>,
    Query(query): Query<RouterQuery>,
) -> Result<Response, ApiError> {
    operator.require(Permission::RoutersDetailsView)?;
    if query.on_existing == OnExisting::Update {
        operator.require(Permission::CustomersEdit)?;
    }
    operator.fresh(clock.now())?;
    let mut tx = db.begin(operator.tenant).await?;
    let name = routers::name_of(&mut tx, router).await?;
    let name = name.ok_or(ApiError::NotFound("router"))?;
    // Whatever becomes of them, and also of a dry run: their passwords come here.
    let line = Audit {
        details: "Read the users of the router's own lists, with their passwords".to_owned(),
        ..Audit::new(Action::CustomerImport, "router", router, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), line, clock.now()).await?;
    tx.commit().await?;

    let users = users(&db, &live, &operator, router, &clock).await?;
    if users.is_empty() {
        return Err(ApiError::unprocessable(
            "NO_USERS",
            format!("{name} has no users of its own: /ppp secret and /ip hotspot user are empty"),
        ));
    }
    let rows = rows(router, &users);
    let lot = Lot {
        format: ROUTER,
        rows,
        warnings: Vec::new(),
    };
    let how = How {
        dry_run: query.dry_run,
        on_existing: query.on_existing,
        dates: None,
        connection_type: None,
    };
    take(
        &db,
        &secrets,
        &operator,
        (idempotency, lot, how),
        clock.now(),
    )
    .await
}

/// A row for each, in their order.
fn rows(router: RouterId, users: &[RouterUserV1]) -> Vec<Row> {
    let row = |(place, user): (u32, &RouterUserV1)| {
        let mut row = routeros::told(place, user);
        row.say(Field::Router, router.to_string());
        row
    };
    let mut rows: Vec<Row> = (1..).zip(users).map(row).collect();
    mark_repeats(&mut rows);
    rows
}

/// Everybody on a router's own lists, page by page.
async fn users(
    db: &Database,
    live: &Live,
    operator: &Operator,
    router: RouterId,
    clock: &Clock,
) -> Result<Vec<RouterUserV1>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let site = routers::site_of(&mut tx, router).await?;
    let site = site.ok_or(ApiError::NotFound("router"))?;
    tx.rollback().await?;
    let began = Instant::now();
    let mut all: Vec<RouterUserV1> = Vec::new();
    let mut from: Option<SubscribersPlaceV1> = None;
    loop {
        let ask = SubscribersAskV1 { router, from };
        let question = Question::Subscribers(ask);
        let rest = PATIENCE.saturating_sub(began.elapsed());
        let told = live.ask(operator.tenant, site, &question, rest, clock.now());
        let told = told.await.map_err(silence)?;
        let Reply::Subscribers(page) = told else {
            return Err(ApiError::BadGateway {
                // A reply of another question.
                message: "The site answered something else".to_owned(),
            });
        };
        all.extend(page.users);
        if all.len() > MOST_CUSTOMERS {
            return Err(ApiError::unprocessable(
                "TOO_MANY_USERS",
                format!(
                    "The router has more than {MOST_CUSTOMERS} users of its own; send its export in parts \
                     (POST /api/customers/import)"
                ),
            ));
        }
        from = page.next;
        if from.is_none() {
            return Ok(all);
        }
    }
}

/// What no agent of the site can be asked yet is nobody's outage.
fn silence(silence: Silence) -> ApiError {
    let is_too_old = matches!(
        silence,
        Silence::Failed {
            failure: AskFailure::NotUnderstood,
            ..
        }
    );
    match is_too_old {
        true => ApiError::unprocessable(
            "AGENT_TOO_OLD",
            format!("{silence}, or send the router's export (POST /api/customers/import)"),
        ),
        false => silence.into(),
    }
}

/// For all pages: a small router takes seconds for thousands of rows, and the request itself ends after thirty.
const PATIENCE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_of_an_earlier_release_is_named_with_what_helps() {
        let answer = |failure| {
            silence(Silence::Failed {
                site: "Tower".to_owned(),
                failure,
            })
        };
        let old = answer(AskFailure::NotUnderstood);
        assert!(
            matches!(&old, ApiError::Unprocessable { code: "AGENT_TOO_OLD", message, .. }
                if message.contains("update it")),
            "{old:?}"
        );
        let away = answer(AskFailure::Unreachable("it is off".to_owned()));
        assert!(matches!(away, ApiError::BadGateway { .. }));
    }
}
