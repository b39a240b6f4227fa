//! The interfaces for radio of a router.

use std::time::Instant;

use axum::extract::State;
use easyisp_shared::id::RouterId;
use easyisp_shared::setup::{Driver, Radio, radio};
use easyisp_shared::time::Clock;
use easyisp_shared::wire::setup::{ItemV1, RowV1, WhichV1};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::plan::Work;
use super::super::rules::Services;
use super::configure::Configured;
use super::hands::{Hands, Left};
use super::through::Until;
use crate::api::{Json, Path, blank};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::routers::Writer;
use crate::secrets::Secrets;
use crate::sites::Live;

/// The interfaces for radio of a router.
#[derive(Serialize, ToSchema)]
#[schema(as = RouterRadios)]
pub struct Radios {
    /// Of either driver; none where it has no radio.
    interfaces: Vec<Shown>,
}

/// One of them. Its password is never told.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RouterRadio)]
pub struct Shown {
    name: String,
    /// `wireless`, or `wifi` of the newer driver.
    driver: String,
    mac_address: String,
    ssid: Option<String>,
    /// In the router's words.
    mode: Option<String>,
    band: Option<String>,
    frequency: Option<String>,
    country: Option<String>,
    /// Which of the router's profiles says who comes in.
    security_profile: Option<String>,
    hidden: bool,
    disabled: bool,
    running: bool,
}

/// `GET /api/wizard/{router}/wireless`: the router's interfaces for radio, asked of it now. No password is told.
///
/// Errors: 422 without an API user, 503 when the site is away, 502 or 504 when the router is.
#[utoipa::path(get, path = "/api/wizard/{router}/wireless", tag = "Routers",
    params(("router" = RouterId, Path)), responses((status = 200, body = Radios),
        (status = 422, description = "No API user is entered for this router"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn list(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
) -> Result<Json<Radios>, ApiError> {
    let site = super::begin::site_of(&db, &operator, router).await?;
    let hands = Hands {
        writer: Writer::beginning(db.entropy()),
        db,
        secrets,
        live,
        operator,
        router,
        now: clock.now(),
    };
    let interfaces = radios(&hands, site).await?;
    Ok(Json(Radios { interfaces }))
}

/// What an interface for radio shall be.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RadioRequest {
    /// Which; the only one when left out.
    #[serde(default, deserialize_with = "blank::option")]
    interface: Option<String>,
    /// What it is called in the air: 1 to 32 bytes.
    ssid: String,
    /// 8 to 63 characters of ASCII: WPA2, and WPA3 where the driver knows it. Everybody comes in without it, as guests
    /// of a hotspot do.
    #[serde(default, deserialize_with = "blank::option")]
    #[schema(value_type = Option<String>)]
    password: Option<SecretString>,
    /// In the router's words, like `kenya`; as it is when left out.
    #[serde(default, deserialize_with = "blank::option")]
    country: Option<String>,
    /// Whether its name is kept out of the air; false when left out.
    #[serde(default, deserialize_with = "blank::option")]
    hidden: Option<bool>,
    /// Whether it is switched on; true when left out.
    #[serde(default, deserialize_with = "blank::option")]
    enabled: Option<bool>,
    /// Whether the router saves a backup first; true when left out.
    #[serde(default, deserialize_with = "blank::option")]
    create_backup: Option<bool>,
}

/// `POST /api/wizard/{router}/configure-wireless`: has an interface for radio be so, by the way of `configure`: a backup
/// first, step by step, read back, undone when anything fails. What the router serves stays as it is.
///
/// Repeating it changes nothing more. The password is kept nowhere but on the router. Errors: 400 naming the fields, 409
/// `WIZARD_RUNNING` or `ROUTER_BUSY` while somebody else writes to it, 422 `NO_RADIO` where it has none, 422 without an
/// API user, 503 when the site is away, 502 or 504 when the router is.
#[utoipa::path(post, path = "/api/wizard/{router}/configure-wireless", tag = "Routers",
    params(("router" = RouterId, Path)), request_body = RadioRequest,
    responses((status = 200, body = Configured),
        (status = 422, description = "It has no radio, or no API user is entered for it"),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn configure(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(live): State<Live>,
    Path(router): Path<RouterId>,
    Json(request): Json<RadioRequest>,
) -> Result<Json<Configured>, ApiError> {
    let until = Until::the_limit(Instant::now());
    let hands = Hands {
        writer: Writer::beginning(db.entropy()),
        db,
        secrets,
        live,
        operator,
        router,
        now: clock.now(),
    };
    hands.free().await?;
    sound(&request)?;
    let set_up = move |hands: Hands| async move { set_up(&hands, request).await };
    hands.through(until, set_up).await.map(Json)
}

async fn set_up(hands: &Hands, request: RadioRequest) -> Result<(), ApiError> {
    let site = super::begin::site_of(&hands.db, &hands.operator, hands.router).await?;
    let found = radios(hands, site).await?;
    let named = request.interface.as_deref();
    let mut meant = found
        .iter()
        .filter(|one| named.is_none_or(|name| one.name == name));
    let (one, more) = (meant.next(), meant.next());
    let one = match (one, more, named) {
        (Some(one), None, _) | (Some(one), Some(_), Some(_)) => one,
        (Some(_), Some(_), None) => {
            let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
            return Err(ApiError::field(
                "interface",
                format!(
                    "is needed where there are several: one of {}",
                    names.join(", ")
                ),
            ));
        }
        (None, _, Some(name)) if !found.is_empty() => {
            return Err(ApiError::field(
                "interface",
                format!("names {name:?}, which is no radio of this router"),
            ));
        }
        (None, _, _) => {
            return Err(ApiError::unprocessable(
                "NO_RADIO",
                "This router has no interface for radio that its API tells of",
            ));
        }
    };
    let driver = match one.driver.as_str() {
        WIFI => Driver::Wifi,
        _ => Driver::Wireless, // the other of two
    };
    let enabled = request.enabled.unwrap_or(true);
    let wish = Radio {
        interface: one.name.clone(),
        ssid: request.ssid,
        password: request.password,
        country: request.country,
        hidden: request.hidden.unwrap_or(false),
        enabled,
    };
    let step = radio(&wish, driver);
    let work = Work {
        is_part: true,
        unsaved: None,
        silent: None,
        ..Work::new(Services::Both, None, &[step], Vec::new())
    };
    let choice = hands.serves().await?;
    let choice = serde_json::to_value(&choice).map_err(ApiError::internal)?;
    let details = format!("Sets the radio {} up", wish.interface);
    let backup = request.create_backup.unwrap_or(true);
    hands
        .start(site, work, choice, (backup, Left::Undo), &details)
        .await
}

fn sound(request: &RadioRequest) -> Result<(), ApiError> {
    use secrecy::ExposeSecret;

    let plain = |text: &str| !text.chars().any(char::is_control);
    if !(1..=32).contains(&request.ssid.len()) || !plain(&request.ssid) {
        return Err(ApiError::field("ssid", "must be 1 to 32 bytes on one line"));
    }
    if let Some(password) = &request.password {
        let password = password.expose_secret();
        let ascii = password.bytes().all(|byte| (32..127).contains(&byte));
        if !(8..=63).contains(&password.len()) || !ascii {
            return Err(ApiError::field(
                "password",
                "must be 8 to 63 characters of ASCII",
            ));
        }
    }
    if let Some(country) = &request.country
        && (country.len() > 64 || !plain(country))
    {
        return Err(ApiError::field(
            "country",
            "must be at most 64 bytes on one line",
        ));
    }
    Ok(())
}

async fn radios(hands: &Hands, site: easyisp_shared::id::SiteId) -> Result<Vec<Shown>, ApiError> {
    let menu = |driver: Driver| ItemV1 {
        menu: driver.menu().to_owned(),
        which: WhichV1::Menu { lenient: true },
        fields: Vec::new(),
    };
    let asked = [Driver::Wireless, Driver::Wifi].map(menu).to_vec();
    let (told, _) = hands.look(site, asked).await?;
    let shown = told.into_iter().flat_map(|told| {
        let is_wifi = told.item.menu == Driver::Wifi.menu();
        told.rows
            .into_iter()
            .filter_map(move |row| shown(&row, is_wifi))
    });
    Ok(shown.take(MOST).collect())
}

/// The newer driver calls its properties by where they come from.
fn shown(row: &RowV1, is_wifi: bool) -> Option<Shown> {
    let of = |name: &str| {
        let held = row.fields.iter().find(|(held, _)| held == name);
        let text = held.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        text.filter(|text| !text.is_empty())
    };
    let either = |old: &str, new: &str| of(if is_wifi { new } else { old });
    let is = |text: Option<String>| text.is_some_and(|text| text == "true" || text == "yes");
    Some(Shown {
        name: of("name")?,
        driver: if is_wifi { WIFI } else { "wireless" }.to_owned(),
        mac_address: of("mac-address").unwrap_or_default(),
        ssid: either("ssid", "configuration.ssid"),
        mode: either("mode", "configuration.mode"),
        band: either("band", "channel.band"),
        frequency: either("frequency", "channel.frequency"),
        country: either("country", "configuration.country"),
        security_profile: either("security-profile", "security"),
        hidden: is(either("hide-ssid", "configuration.hide-ssid")),
        disabled: is(of("disabled")),
        running: is(of("running")),
    })
}

const WIFI: &str = "wifi";
/// More than any board has, virtual ones with them.
const MOST: usize = 64;
