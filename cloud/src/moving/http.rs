//! `/api/nas/{router}/moving`.

use std::time::Duration;

use axum::extract::State;
use easyisp_shared::id::RouterId;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::question::{Question, Reply};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::OLD_SECRET;
use super::rules::{self, Change};
use super::store::{self, DifferenceRow, New, Stored, Stranger, Tallies};
use super::words::{Difference, Mode};
use crate::api::{Json, Masked, Page, Path, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::customers;
use crate::db::{Database, Kind, Tx};
use crate::error::ApiError;
use crate::routers;
use crate::secrets::Secrets;
use crate::sites::Live;

/// How far a router's move is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Moving {
    nas_id: RouterId,
    mode: Mode,
    /// Null where none was ever entered.
    old_server: Option<OldServer>,
    /// Whether the old server hears of known users' sessions too.
    copy_accounting: bool,
    /// When the move began; the report counts from there.
    since: Option<Timestamp>,
    /// When the site reported last.
    reported_at: Option<Timestamp>,
    /// Why the old server cannot be asked at all.
    problem: Option<String>,
    report: Report,
    /// The newest difference of each user and kind, at most 200.
    differences: Vec<DifferenceBody>,
    /// How many users only the old server knows: `GET /api/nas/{router}/moving/users` lists them.
    unknown_users: usize,
    /// Customers whom the router answers by its own lists, without asking RADIUS.
    local_secrets: Vec<String>,
    /// When those lists were read; null where they never were (the router's API is not set up).
    local_secrets_at: Option<Timestamp>,
    /// What a person should look at.
    warnings: Vec<String>,
}

/// An old RADIUS server.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OldServer {
    address: String,
    auth_port: i32,
    acct_port: i32,
    secret: Masked,
}

/// What happened how often.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Known users' logins about which the old server was asked too.
    asked: i64,
    /// Of these, both said the same.
    same: i64,
    different: Different,
    /// Of those asked about, the old server said nothing.
    not_compared: i64,
    /// Logins left to the old server.
    forwarded: i64,
    /// Of these, it let in.
    accepted: i64,
    /// Of these, it refused.
    rejected: i64,
    /// Of these, it said nothing, and so nothing was said to the router.
    old_server_silent: i64,
    /// Accounting records that it acknowledged.
    accounted: i64,
    /// Accounting records that it did not.
    not_accounted: i64,
    /// Requests that did not go to it because too many waited already.
    shed: i64,
    /// Datagrams from its address that were not its answers.
    ignored: i64,
}

/// In what the two differed how often; one login may differ in several things.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Different {
    answer: i64,
    rate: i64,
    address: i64,
    session_timeout: i64,
}

/// A user to whom the two say different things.
#[derive(Serialize, ToSchema)]
pub struct DifferenceBody {
    username: String,
    kind: Difference,
    /// What we say; empty where we say nothing of it.
    ours: String,
    /// What the old server says; empty where it says nothing of it.
    theirs: String,
    at: Timestamp,
}

/// What a client says of a move.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MovingRequest {
    /// `OWN`, `SHADOW` or `FORWARD`; unchanged when left out.
    #[serde(default, deserialize_with = "blank::option")]
    mode: Option<Mode>,
    /// Needed once, before the first mode but `OWN`.
    #[serde(default, deserialize_with = "blank::option")]
    old_server: Option<OldServerRequest>,
    /// Yes, when it is never said.
    #[serde(default, deserialize_with = "blank::option")]
    copy_accounting: Option<bool>,
}

/// What a client says of an old server.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OldServerRequest {
    #[serde(default, deserialize_with = "blank::option")]
    address: Option<String>,
    /// 1812 when it is never said.
    #[serde(default, deserialize_with = "blank::option")]
    auth_port: Option<i32>,
    /// 1813 when it is never said.
    #[serde(default, deserialize_with = "blank::option")]
    acct_port: Option<i32>,
    /// Masked or empty: unchanged.
    #[serde(default, deserialize_with = "blank::option")]
    secret: Option<String>,
}

/// `GET /api/nas/{router}/moving`: who answers at a router, and what its old server said beside us. 404 when
/// this tenant has no such router.
#[utoipa::path(get, path = "/api/nas/{router}/moving", tag = "Moving in",
    params(("router" = RouterId, Path)), responses((status = 200, body = Moving)))]
pub async fn get(
    operator: Operator,
    State(db): State<Database>,
    Path(router): Path<RouterId>,
) -> Result<Json<Moving>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    Ok(Json(show(&mut tx, router).await?))
}

/// `PUT /api/nas/{router}/moving`: changes what is mentioned; a masked or empty secret is unchanged.
///
/// The mode counts from the site's next request on, and can be taken back at any time: `FORWARD` leaves
/// every answer to the old server and compares ours in silence, `SHADOW` answers customers and leaves
/// everybody else to the old server, `OWN` ends the move. Sessions that run go on. A move that begins, or
/// goes to another server, begins its report anew. Errors: 400 naming the fields, 404.
#[utoipa::path(put, path = "/api/nas/{router}/moving", tag = "Moving in",
    params(("router" = RouterId, Path)), request_body = MovingRequest,
    responses((status = 200, body = Moving)))]
pub async fn put(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    Path(router): Path<RouterId>,
    Json(request): Json<MovingRequest>,
) -> Result<Json<Moving>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let name = routers::lock_named(&mut tx, router).await?;
    let name = name.ok_or(ApiError::NotFound("router"))?;
    let before = store::find(&mut tx, router).await?;
    let mode = request.mode.or(before.as_ref().map(|before| before.mode));
    let mode = mode.unwrap_or(Mode::Own);
    if before.is_none() && request.old_server.is_none() && mode == Mode::Own {
        return Ok(Json(show(&mut tx, router).await?)); // nothing to take back
    }
    let change = request
        .old_server
        .map_or_else(Change::default, |said| Change {
            address: said.address,
            auth_port: said.auth_port,
            acct_port: said.acct_port,
            secret: said.secret,
        });
    let place_before = before.as_ref().map(Stored::place);
    let (place, secret) =
        rules::old_server(&change, place_before.as_ref()).map_err(ApiError::fields)?;
    let secret = match (secret, &before) {
        (Some(secret), _) => {
            let key = secrets.tenant(&mut tx).await?;
            key.seal(OLD_SECRET, router.0, secret.as_bytes())
        }
        (None, Some(before)) => before.old_secret_sealed.clone(),
        (None, None) => return Err(ApiError::field("oldServer.secret", "is required")),
    };
    let begins = match &before {
        None => true,
        Some(before) => {
            before.mode == Mode::Own && mode != Mode::Own || before.place().address != place.address
        }
    };
    if begins {
        store::forget_report(&mut tx, router).await?;
    }
    let new = New {
        router,
        mode,
        place: &place,
        secret: &secret,
        copy_accounting: request
            .copy_accounting
            .or(before.as_ref().map(|before| before.copy_accounting))
            .unwrap_or(true),
        since: match &before {
            Some(before) if !begins => before.since,
            Some(_) | None => now,
        },
    };
    store::put(&mut tx, &new, now).await?;
    tx.changed(Kind::Moving, router);
    let new_secret = before.is_some_and(|before| before.old_secret_sealed != secret);
    let audit = Audit {
        details: format!(
            "Moving: {}, old RADIUS server {}{}",
            word(mode),
            place.address,
            if new_secret { ", a new secret" } else { "" },
        ),
        ..Audit::new(Action::RouterUpdate, "router", router, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), audit, now).await?;
    let body = show(&mut tx, router).await?;
    tx.commit().await?;
    Ok(Json(body))
}

/// `POST /api/nas/{router}/moving/check`: reads the router's own lists of users now, and answers like the
/// `GET`. They are read about once an hour besides.
///
/// Errors: 404; 502 when the router's API cannot be asked; 503 when the site is away.
#[utoipa::path(post, path = "/api/nas/{router}/moving/check", tag = "Moving in",
    params(("router" = RouterId, Path)), responses((status = 200, body = Moving),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn check(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
) -> Result<Json<Moving>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let site = routers::site_of(&mut tx, router).await?;
    let site = site.ok_or(ApiError::NotFound("router"))?;
    tx.rollback().await?;
    let question = Question::LocalSecrets { router };
    let told = live
        .ask(operator.tenant, site, &question, PATIENCE, now)
        .await?;
    let Reply::LocalSecrets(told) = told else {
        return Err(ApiError::BadGateway {
            message: "The site answered something else".to_owned(),
        });
    };
    let mut tx = db.begin(operator.tenant).await?;
    if told.router == router {
        routers::edge::note_local_secrets(&mut tx, site, &told, now).await?;
    }
    let body = show(&mut tx, router).await?;
    tx.commit().await?;
    Ok(Json(body))
}

/// Users whom only the old server knows.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnknownUsers {
    users: Vec<UnknownUser>,
    total: usize,
    page: u32,
    page_size: u32,
    total_pages: i64,
}

/// A user whom the old server let in and who is no customer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnknownUser {
    username: String,
    /// `PPPOE` or `HOTSPOT`.
    connection_type: &'static str,
    mac_address: Option<String>,
    /// The speed he was given, in the router's words: upload first.
    rate_limit: String,
    /// His address, or `pool NAME`.
    ip_address: String,
    first_seen_at: Timestamp,
    last_seen_at: Timestamp,
}

/// `GET /api/nas/{router}/moving/users`: users whom the old server let in and who are no customers, the last
/// let in first: who is still to be entered. Their passwords are not kept. 404 when this tenant has no such
/// router.
#[utoipa::path(get, path = "/api/nas/{router}/moving/users", tag = "Moving in",
    params(("router" = RouterId, Path)), responses((status = 200, body = UnknownUsers)))]
pub async fn users(
    operator: Operator,
    State(db): State<Database>,
    page: Page,
    Path(router): Path<RouterId>,
) -> Result<Json<UnknownUsers>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let site = routers::site_of(&mut tx, router).await?;
    site.ok_or(ApiError::NotFound("router"))?;
    let all = strangers(&mut tx, router).await?;
    let total = all.len();
    let skipped = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    let shown = all.into_iter().skip(skipped).take(page.size as usize);
    Ok(Json(UnknownUsers {
        users: shown.map(UnknownUser::from).collect(),
        total,
        page: page.number,
        page_size: page.size,
        total_pages: page.total_pages(i64::try_from(total).unwrap_or(i64::MAX)),
    }))
}

impl From<Stranger> for UnknownUser {
    fn from(row: Stranger) -> UnknownUser {
        UnknownUser {
            username: row.username,
            connection_type: if row.hotspot { "HOTSPOT" } else { "PPPOE" },
            mac_address: row.mac,
            rate_limit: row.rate,
            ip_address: row.address,
            first_seen_at: row.first_at,
            last_seen_at: row.last_at,
        }
    }
}

async fn show(tx: &mut Tx, router: RouterId) -> Result<Moving, ApiError> {
    let local = routers::local_secrets(tx, router).await?;
    let local = local.ok_or(ApiError::NotFound("router"))?;
    let stored = store::find(tx, router).await?;
    let tallies = store::tallies(tx, router).await?.unwrap_or_default();
    let differences = store::differences(tx, router).await?;
    let unknown_users = strangers(tx, router).await?.len();
    let mode = stored.as_ref().map_or(Mode::Own, |stored| stored.mode);
    let problem = tallies.problem.clone().filter(|_| mode != Mode::Own);
    let hidden = local.warning();
    let hidden = hidden.map(|(wrong, remedy)| format!("{wrong} {remedy}"));
    let warnings = problem.clone().into_iter().chain(hidden);
    Ok(Moving {
        nas_id: router,
        mode,
        copy_accounting: stored.as_ref().is_none_or(|stored| stored.copy_accounting),
        since: stored.as_ref().map(|stored| stored.since),
        old_server: stored.as_ref().map(OldServer::from),
        reported_at: tallies.reported_at,
        warnings: warnings.collect(),
        problem,
        report: Report::from(tallies),
        differences: differences.into_iter().map(DifferenceBody::from).collect(),
        unknown_users,
        local_secrets: local.names,
        local_secrets_at: local.at,
    })
}

/// The old server's users who are no customers by now.
async fn strangers(tx: &mut Tx, router: RouterId) -> sqlx::Result<Vec<Stranger>> {
    let mut all = store::strangers(tx, router).await?;
    let names: Vec<String> = all.iter().map(|one| one.username.clone()).collect();
    let taken = customers::taken(tx, &names).await?;
    all.retain(|one| !taken.contains(&one.username));
    Ok(all)
}

impl From<&Stored> for OldServer {
    fn from(stored: &Stored) -> OldServer {
        let place = stored.place();
        OldServer {
            address: place.address.to_string(),
            auth_port: place.auth_port,
            acct_port: place.acct_port,
            secret: Masked,
        }
    }
}

impl From<Tallies> for Report {
    fn from(tallies: Tallies) -> Report {
        Report {
            asked: tallies.asked,
            same: tallies.same,
            different: Different {
                answer: tallies.other_answer,
                rate: tallies.other_rate,
                address: tallies.other_address,
                session_timeout: tallies.other_timeout,
            },
            not_compared: tallies.not_compared,
            forwarded: tallies.forwarded,
            accepted: tallies.accepted,
            rejected: tallies.rejected,
            old_server_silent: tallies.silent,
            accounted: tallies.accounted,
            not_accounted: tallies.not_accounted,
            shed: tallies.shed,
            ignored: tallies.ignored,
        }
    }
}

impl From<DifferenceRow> for DifferenceBody {
    fn from(row: DifferenceRow) -> DifferenceBody {
        DifferenceBody {
            username: row.username,
            kind: row.kind,
            ours: row.ours,
            theirs: row.theirs,
            at: row.at,
        }
    }
}

fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Own => "OWN",
        Mode::Shadow => "SHADOW",
        Mode::Forward => "FORWARD",
    }
}

/// A list of a thousand takes a small router some seconds.
const PATIENCE: Duration = Duration::from_secs(20);
