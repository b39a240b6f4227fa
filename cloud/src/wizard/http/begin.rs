//! The wizard's first pages: a command to paste, and whether the router has come.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{RouterId, SiteId};
use easyisp_shared::setup::{API_PORT, API_USER};
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::router::{RouterAsk, RouterTold};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::super::plan::Stage;
use super::super::rules;
use super::super::run::At;
use super::super::store::{self, Purpose};
use super::system::device_mode;
use super::through::BEGINS;
use super::{NO_AGENT, kept, known, last, refused};
use crate::api::{Json, Path, Success, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::{Operator, Token};
use crate::config::Config;
use crate::db::{Database, Tx};
use crate::error::{ApiError, violated};
use crate::moving;
use crate::routers::{self, Change, Clear, Provisioning, Status, running};
use crate::secrets::{SecretError, Secrets};
use crate::sites::{self, Live};

/// How long a command may be pasted, and how long importing may take.
pub const TOKEN_LIFE: Duration = Duration::from_secs(30 * 60);
/// What a person reads who was given the command.
const MESSAGE: &str =
    "Paste the command into the router's terminal within half an hour; it works once.";
/// What a device may have to be let first: those that are made with RouterOS 7.17 or newer.
const DEVICE_MODE: &str = "Look first at /system device-mode print on a device with RouterOS 7.17 or newer: where it says no to fetch, \
     scheduler or hotspot, or flagged: yes, type /system device-mode update mode=advanced flagged=no, press the reset or \
     mode button or cut the power within 5 minutes, and paste once it is up again. A router that must not fetch takes \
     its script as a file: download it (GET /api/wizard/{id}/script), drag it into Files, /import it, and enter the \
     router's address.";
/// How long a router has for a question that a person waits for.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);

/// Which router is to be brought up.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartRequest {
    /// Of a new router.
    #[serde(default, deserialize_with = "blank::option")]
    name: Option<String>,
    /// A router that is there already: it gets a new command.
    #[serde(default, deserialize_with = "blank::option")]
    router_id: Option<RouterId>,
    /// Where it stands; needed where agents of several sites listen, else the site of those that do.
    #[serde(default, deserialize_with = "blank::option")]
    site_id: Option<SiteId>,
    /// Addresses of one or two agents as the router sees them; those of its site when left out.
    #[serde(default)]
    agents: Vec<String>,
    /// Whether API, SNMP and CoA are closed to all but the agents. When left out as it was chosen last, else true; for a
    /// router that moves in (`SHADOW` or `FORWARD`) firewall and SNMP stay as they are unless it is true.
    #[serde(default, deserialize_with = "blank::option")]
    configure_firewall: Option<bool>,
    /// Whether the pages that the hotspot shows to guests become ours; when left out, those of a new router do, and
    /// those of one that is there already stay.
    #[serde(default, deserialize_with = "blank::option")]
    hotspot_pages: Option<bool>,
}

/// A command to paste.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Started {
    router_id: RouterId,
    /// What the command holds: good once, for half an hour.
    token: String,
    /// The RADIUS secret.
    secret: String,
    /// To be pasted into the router's terminal. The router believes whatever certificate it is shown meanwhile: whoever
    /// stands between it and this server could give it another script.
    provision_command: String,
    /// The same for a router that checks the certificate: RouterOS 7.19 or newer, and its clock right (`/system clock
    /// print`). Null where this server is reached without TLS.
    checked_command: Option<String>,
    /// What to do with it, and what it changes at the router.
    message: String,
}

/// `POST /api/wizard/start`: enters a router that nobody has met yet, and gives the command that brings it up.
///
/// The command is good once, for half an hour; with `routerId` a router that is there gets another one, and the one
/// before is worth nothing. What such a router serves goes on as it was configured. Errors: 400 naming the fields, 409 `ROUTER_NAME_TAKEN`, 409 `WIZARD_RUNNING`, 422
/// `NO_AGENT` where no agent of the site is known to listen, 422 `NO_PUBLIC_URL`.
#[utoipa::path(post, path = "/api/wizard/start", tag = "Routers", request_body = StartRequest,
    responses((status = 200, body = Started)))]
pub async fn start(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(entropy): State<Entropy>,
    State(config): State<Arc<Config>>,
    Json(request): Json<StartRequest>,
) -> Result<Json<Started>, ApiError> {
    let now = clock.now();
    let url = public_url(&config)?;
    let mut tx = db.begin(operator.tenant).await?;
    let mut elsewhere = String::new();
    let router = match request.router_id {
        Some(router) => router,
        None => {
            let place = place(&mut tx, request.site_id).await?;
            if !place.beside.is_empty() {
                elsewhere = format!(
                    " Where it will stand at another site, say so with siteId: {}.",
                    place.beside.join(" or ")
                );
            }
            let named = (request.name.as_deref(), place.site);
            enter(&mut tx, &secrets, &entropy, named, now).await?
        }
    };
    let is_new = request.router_id.is_none();
    let pages = request.hotspot_pages;
    let asked = (request.agents, request.configure_firewall, url, pages);
    let Offer {
        name,
        secret,
        text,
        changes,
    } = offer(&mut tx, &secrets, router, asked, is_new, now).await?;
    let audit = Audit {
        details: "Took the command that brings it up".to_owned(),
        ..Audit::new(Action::RouterSetup, "router", router, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), audit, now).await?;
    tx.commit().await?;
    Ok(Json(Started {
        router_id: router,
        provision_command: rules::command(url, &text),
        checked_command: rules::checked_command(url, &text),
        token: text,
        secret,
        message: format!("{MESSAGE} {DEVICE_MODE} {changes}{elsewhere}"),
    }))
}

/// What brings a router up.
pub(super) struct Offer {
    /// How it is called.
    pub name: String,
    /// The RADIUS secret.
    pub secret: String,
    /// The token of its command.
    pub text: String,
    /// What it changes at the router, in words.
    pub changes: String,
}

/// Gives a router a command that fetches its script once, in place of an earlier one. What is asked for is its agents,
/// and whether its firewall closes it to others.
pub(super) async fn offer(
    tx: &mut Tx,
    secrets: &Secrets,
    router: RouterId,
    (agents, firewall, url, pages): (Vec<String>, Option<bool>, &str, Option<bool>),
    is_new: bool,
    now: Timestamp,
) -> Result<Offer, ApiError> {
    let name = routers::lock_named(tx, router).await?;
    let name = name.ok_or(ApiError::NotFound("router"))?;
    let row = store::find(tx, router).await?;
    if row.as_ref().is_some_and(|row| row.stage.is_under_way()) {
        return Err(running());
    }
    let moves_in = moving::is_under_way(tx, router).await?;
    // A new one that did not come yet is a new one.
    let awaited = row.as_ref().filter(|row| row.stage.is_awaited());
    let usual = is_new || awaited.and_then(last).is_some_and(|last| last.pages);
    let chosen = rules::Chosen {
        cloud: Some(url.to_owned()),
        pages: pages.unwrap_or(usual),
        ..rules::begun(row.as_ref().and_then(kept), agents, firewall, moves_in)
    };
    let known = known(tx, secrets, router).await?;
    if known.api.is_none() {
        return Err(ApiError::unprocessable(
            "NO_API_USER",
            "No API user is entered for this router; enter one, and start again",
        ));
    }
    let secret = known.secret.clone();
    let choice = serde_json::to_value(&chosen).map_err(ApiError::internal)?;
    // What cannot be written is found out here and not on the roof.
    let changes = rules::told_first(known, chosen).map_err(|faults| {
        match faults.iter().any(|fault| fault.field == "agents") && is_new {
            true => ApiError::unprocessable("NO_AGENT", NO_AGENT),
            false => refused(faults),
        }
    })?;
    let (token, text) = Token::new(&tx.entropy());
    let ends = now.plus(TOKEN_LIFE);
    store::delete_tokens(tx, router).await?;
    store::put_token(tx, router, (Purpose::Fetch, None), token.digest(), ends).await?;
    let message = format!("{MESSAGE} {DEVICE_MODE}");
    store::begin(tx, router, &message, &choice, now).await?;
    routers::provisioning(tx, router, Provisioning::CommandPending).await?;
    Ok(Offer {
        name,
        secret,
        text,
        changes,
    })
}

/// Enters a router of which nothing but its name is known.
pub(super) async fn enter(
    tx: &mut Tx,
    secrets: &Secrets,
    entropy: &Entropy,
    (name, site): (Option<&str>, SiteId),
    now: Timestamp,
) -> Result<RouterId, ApiError> {
    let change = Change {
        name: name.map(str::to_owned),
        // Until it calls.
        ip_address: Some("0.0.0.0".to_owned()),
        api_username: Some(Some(API_USER.to_owned())),
        api_port: Some(i32::from(API_PORT)),
        ..Change::default()
    };
    let draft = routers::draft(change, None).map_err(ApiError::fields)?;
    let clear = Clear {
        secret: routers::random_secret(entropy),
        api_password: Some(routers::random_secret(entropy)),
    };
    routers::create(tx, secrets, site, &draft, &clear, now)
        .await
        .map_err(|error| match &error {
            SecretError::Database(cause) if violated(cause) == Some("router_name") => {
                ApiError::conflict(
                    "ROUTER_NAME_TAKEN",
                    "There is a router of this name already; choose another name",
                )
            }
            SecretError::Database(_) | SecretError::CannotOpen(_) => error.into(),
        })
}

/// Where a new router will stand.
pub(super) struct Place {
    /// The site.
    pub site: SiteId,
    /// Other sites with an agent, where nobody said at which one.
    pub beside: Vec<String>,
}

/// Where somebody says; else at the only site with an agent, the first one where it has one, or the first that has.
pub(super) async fn place(tx: &mut Tx, asked: Option<SiteId>) -> Result<Place, ApiError> {
    let unknown = || ApiError::field("siteId", "is no site of yours");
    let first = routers::site(tx, asked).await?.ok_or_else(unknown)?;
    let mut listening = match asked {
        Some(_) => Vec::new(),
        None => sites::agents::store::sites_listening(tx).await?,
    };
    let at = listening.iter().position(|(site, _)| *site == first);
    if listening.is_empty() {
        return Ok(Place {
            site: first,
            beside: Vec::new(),
        });
    }
    let (site, _) = listening.remove(at.unwrap_or(0));
    let named = |(site, name): (SiteId, String)| format!("{name} ({site})");
    Ok(Place {
        site,
        beside: listening.into_iter().map(named).collect(),
    })
}

pub(super) fn public_url(config: &Config) -> Result<&str, ApiError> {
    let url = config.http.public_url.as_deref();
    let url = url.map(|url| url.trim_end_matches('/'));
    url.ok_or_else(|| {
        ApiError::unprocessable(
            "NO_PUBLIC_URL",
            "Routers cannot find this server: its [http] public_url is not set",
        )
    })
}

/// Where a router's set-up is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetupStatus {
    router_id: RouterId,
    name: String,
    status: Status,
    provisioning_status: Provisioning,
    /// Null where the wizard never had to do with it.
    step: Option<Stage>,
    /// Percent.
    progress: i32,
    message: String,
    /// What the configuration did so far.
    results: Value,
    ip_address: String,
    last_seen: Option<Timestamp>,
    is_provisioned: bool,
}

/// `GET /api/wizard/{router}/status`: how far a router's set-up is, as it is written down.
#[utoipa::path(get, path = "/api/wizard/{router}/status", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = SetupStatus)))]
pub async fn status(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(router): Path<RouterId>,
) -> Result<Json<SetupStatus>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    shown(&mut tx, router, clock.now()).await.map(Json)
}

async fn shown(tx: &mut Tx, router: RouterId, now: Timestamp) -> Result<SetupStatus, ApiError> {
    let brief = routers::brief(tx, router, now).await?;
    let brief = brief.ok_or(ApiError::NotFound("router"))?;
    let row = store::find(tx, router).await?;
    let progress = |row: &store::Row| row.stage.progress(row.place, row.places);
    let is_asked = match &row {
        Some(row) if row.stage.is_under_way() => false,
        Some(_) | None => matches!(
            routers::idle(tx, router, now).await,
            Err(ApiError::Conflict {
                code: "WIZARD_RUNNING",
                ..
            })
        ),
    };
    Ok(SetupStatus {
        router_id: router,
        name: brief.name,
        status: brief.status,
        provisioning_status: brief.provisioning,
        step: row.as_ref().map(|row| row.stage),
        progress: row.as_ref().map_or(0, progress),
        results: row.as_ref().map_or(json!([]), |row| row.results.clone()),
        message: match (is_asked, row) {
            (true, _) => BEGINS.to_owned(),
            (false, Some(row)) => row.message,
            (false, None) => "Not begun".to_owned(),
        },
        ip_address: brief.address.to_string(),
        last_seen: brief.last_seen,
        is_provisioned: brief.provisioning == Provisioning::Provisioned,
    })
}

/// Whether a router has come.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// It imported its script and called, or was heard of lately.
    online: bool,
    /// Its agent enters its API.
    api_reachable: bool,
    message: String,
}

/// `GET /api/wizard/{router}/verify`: whether the router has come, and whether its agent enters it. 200 either way;
/// `message` begins with what failed, where something did, and says what of its device-mode is in the way. A router whose address is entered may have its script from a
/// file: it has come once its agent enters it.
#[utoipa::path(get, path = "/api/wizard/{router}/verify", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = Verified)))]
pub async fn verify(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
) -> Result<Json<Verified>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let brief = routers::brief(&mut tx, router, now).await?;
    let brief = brief.ok_or(ApiError::NotFound("router"))?;
    let row = store::find(&mut tx, router).await?;
    drop(tx);
    let awaited = row.as_ref().filter(|row| row.stage.is_awaited());
    let awaited = awaited.map(|row| row.message.clone());
    let waits = |message| {
        Ok(Json(Verified {
            online: false,
            api_reachable: false,
            message,
        }))
    };
    if let Some(message) = &awaited
        && brief.address.is_unspecified()
    {
        return waits(message.clone());
    }
    let at = At {
        live: &live,
        tenant: operator.tenant,
        site: brief.site,
        router,
        now,
    };
    let told = at.ask(RouterAsk::System, PATIENCE).await;
    let message = match &told {
        Ok(RouterTold::System(told)) => {
            routers::note_board(&db, operator.tenant, router, told).await?;
            let answers = format!("{} {} answers its agent", told.board, told.version);
            let mode = device_mode(&at).await;
            match mode.and_then(|mode| mode.sentence()) {
                Some(limits) => format!("{answers}; {limits}"),
                None => answers,
            }
        }
        Ok(_) => "It answers its agent".to_owned(),
        Err(why) => format!("Its agent cannot enter it: {why}"),
    };
    let message = match (awaited, &told) {
        (Some(awaited), Err(_)) => return waits(awaited),
        // Its script came as a file, or it has another one still.
        (Some(_), Ok(_)) => format!("{message}; it did not use its command (yet)"),
        (None, _) => message,
    };
    // That it answers does not make good what of it failed.
    let failed = row.filter(|_| brief.provisioning == Provisioning::Failed);
    Ok(Json(Verified {
        online: matches!(brief.status, Status::Online | Status::Error) || told.is_ok(),
        api_reachable: told.is_ok(),
        message: match failed {
            Some(row) => format!("{} ({message})", row.message),
            None => message,
        },
    }))
}

/// The site of a router; 404 for a router of somebody else.
pub async fn site_of(
    db: &Database,
    operator: &Operator,
    router: RouterId,
) -> Result<SiteId, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let site = routers::site_of(&mut tx, router).await?;
    site.ok_or(ApiError::NotFound("router"))
}

/// Where somebody left the wizard.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resumed {
    #[serde(flatten)]
    status: SetupStatus,
    /// What the page kept.
    state: Value,
}

/// `GET /api/wizard/{router}/resume`: where the set-up is, and what the page kept for itself.
///
/// What is under way goes on by itself; one that failed is begun anew with `POST /api/wizard/{router}/configure`.
#[utoipa::path(get, path = "/api/wizard/{router}/resume", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = Resumed)))]
pub async fn resume(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(router): Path<RouterId>,
) -> Result<Json<Resumed>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let status = shown(&mut tx, router, clock.now()).await?;
    let row = store::find(&mut tx, router).await?;
    let state = row.and_then(|row| row.saved).unwrap_or(Value::Null);
    Ok(Json(Resumed { status, state }))
}

/// What the wizard's page keeps for itself.
#[derive(Deserialize, ToSchema)]
#[schema(value_type = Object)]
pub struct Kept(Value);

/// `POST /api/wizard/{router}/save-state`: keeps what the page sends, to be read again at `resume`.
///
/// Errors: 404 where the wizard was never begun, 400 over 16 KiB.
#[utoipa::path(post, path = "/api/wizard/{router}/save-state", tag = "Routers",
    params(("router" = RouterId, Path)), request_body = Kept,
    responses((status = 200, body = Success)))]
pub async fn save_state(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(router): Path<RouterId>,
    Json(kept): Json<Kept>,
) -> Result<Json<Success>, ApiError> {
    let now = clock.now();
    if kept.0.to_string().len() > 16 * 1024 || kept.0.to_string().contains("\\u0000") {
        return Err(ApiError::bad_request(
            "TOO_LONG",
            "The page may keep 16 KiB of text at the most",
        ));
    }
    let mut tx = db.begin(operator.tenant).await?;
    let name = routers::lock_named(&mut tx, router).await?;
    let name = name.ok_or(ApiError::NotFound("router"))?;
    if !store::save(&mut tx, router, &kept.0, now).await? {
        return Err(ApiError::NotFound("set-up"));
    }
    let audit = Audit {
        details: "Kept what the wizard's page was told".to_owned(),
        ..Audit::new(Action::RouterSetup, "router", router, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), audit, now).await?;
    tx.commit().await?;
    Ok(Json(Success::YES))
}

/// `DELETE /api/wizard/{router}`: forgets a set-up, and its command. A router that never came goes with it.
///
/// Errors: 409 `WIZARD_RUNNING` while it is being configured.
#[utoipa::path(delete, path = "/api/wizard/{router}", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = Success)))]
pub async fn forget(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(router): Path<RouterId>,
) -> Result<Json<Success>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    crate::sites::stand_still(&mut tx).await?; // what is known of logins to this router only
    let name = routers::lock_named(&mut tx, router).await?;
    let name = name.ok_or(ApiError::NotFound("router"))?;
    let row = store::find(&mut tx, router).await?;
    let row = row.ok_or(ApiError::NotFound("set-up"))?;
    if row.stage.is_under_way() {
        return Err(running());
    }
    store::delete_tokens(&mut tx, router).await?;
    store::delete(&mut tx, router).await?;
    let brief = routers::brief(&mut tx, router, now).await?;
    let never_came = row.stage.is_awaited() && brief.is_some_and(|brief| brief.last_seen.is_none());
    let details = match never_came && routers::withdraw(&mut tx, router, now).await? {
        true => "Forgot its set-up, and the router, which never came",
        false => "Forgot its set-up",
    };
    let audit = Audit {
        details: details.to_owned(),
        ..Audit::new(Action::RouterSetup, "router", router, &name)
    };
    audit::record(&mut tx, &Actor::from(&operator), audit, now).await?;
    tx.commit().await?;
    Ok(Json(Success::YES))
}
