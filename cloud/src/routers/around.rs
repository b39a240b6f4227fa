//! Routers that are there and not entered yet: they announce themselves at a site, or ask its agent in vain.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::State;
use easyisp_shared::id::{RouterId, SiteId};
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::question::{AnnouncedV1, AroundV1, Question, Reply};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{edge, store};
use crate::api::{Json, Query};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::sites::{self, Live};

/// At which site.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase")]
pub struct AroundQuery {
    /// Every site when left out.
    site_id: Option<SiteId>,
}

/// What could be entered as a router.
#[derive(Serialize, ToSchema)]
pub struct Around {
    devices: Vec<Found>,
    total: usize,
    /// Sites that could not be asked or cannot hear announcements, and why.
    problems: Vec<String>,
}

/// A device that was found.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    site_id: SiteId,
    /// `ANNOUNCED`: it told its neighbours of itself. `ASKING`: it asks the site's agent for logins and is not known.
    how: How,
    /// Null where it has none yet.
    #[schema(value_type = Option<String>)]
    ip_address: Option<IpAddr>,
    mac_address: Option<String>,
    /// What it calls itself. As everything here it is its own word: nothing proves it.
    identity: Option<String>,
    board_name: Option<String>,
    router_os_version: Option<String>,
    platform: Option<String>,
    /// Its interface towards the agent.
    interface: Option<String>,
    uptime: Option<String>,
    /// When it was heard last; null where only counted.
    heard_at: Option<Timestamp>,
    /// How often it asked in vain.
    requests: Option<u64>,
    /// The router that is entered with this address at this site.
    nas_id: Option<RouterId>,
    nas_name: Option<String>,
}

/// How a device was found.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum How {
    /// It announces itself.
    Announced,
    /// It asks for logins.
    Asking,
}

/// `GET /api/nas/around`: what is around at the sites and could be entered as a router: RouterOS devices on the
/// agents' networks that announce themselves (MNDP), and addresses that ask an agent for logins and are no router of
/// its site. Asked of the agents now; a site that is away is a line in `problems`.
///
/// Errors: 404 for a site that is not there.
#[utoipa::path(get, path = "/api/nas/around", tag = "Routers", params(AroundQuery),
    responses((status = 200, body = Around), (status = 404, description = "There is no such site")))]
pub async fn around(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Query(query): Query<AroundQuery>,
) -> Result<Json<Around>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let mut sites = sites::ids(&mut tx).await?;
    if let Some(only) = query.site_id {
        sites.retain(|site| *site == only);
        if sites.is_empty() {
            return Err(ApiError::NotFound("site"));
        }
    }
    let entered = store::places(&mut tx, &sites).await?;
    drop(tx);

    let ask = |site| {
        let told = live.ask(operator.tenant, site, &Question::Around, PATIENCE, now);
        async move { (site, told.await) }
    };
    let mut devices = Vec::new();
    let mut problems = Vec::new();
    for (site, told) in join_all(sites.into_iter().map(ask)).await {
        match told {
            Ok(Reply::Around(AroundV1 {
                neighbours,
                asking,
                deaf,
            })) => {
                let known = |address: Option<IpAddr>| {
                    let shown = address?.to_string();
                    let here = |place: &&store::Place| place.site_id == site;
                    let mut here = entered.iter().filter(here);
                    here.find(|place| place.ip_address == shown)
                };
                problems.extend(deaf);
                let announced = neighbours.into_iter().take(MOST);
                devices.extend(announced.map(|told| {
                    let entered = known(told.address);
                    announced_at(site, told, now).entered(entered)
                }));
                let asking = asking.into_iter().take(MOST);
                devices.extend(asking.map(|(address, requests)| {
                    let entered = known(Some(address));
                    asking_at(site, address, requests).entered(entered)
                }));
            }
            Ok(_) => problems.push("A site answered something else.".to_owned()),
            Err(why) => problems.push(why.to_string()),
        }
    }
    let total = devices.len();
    Ok(Json(Around {
        devices,
        total,
        problems,
    }))
}

fn announced_at(site_id: SiteId, told: AnnouncedV1, now: Timestamp) -> Found {
    let said = |text: String| Some(text).filter(|text| !text.is_empty());
    Found {
        site_id,
        how: How::Announced,
        ip_address: told.address,
        mac_address: Some(told.mac.to_string()),
        identity: said(told.identity),
        board_name: said(told.board),
        router_os_version: said(told.version),
        platform: said(told.platform),
        interface: said(told.interface),
        uptime: told.uptime_secs.map(|secs| edge::uptime(secs.into())),
        heard_at: Some(now.minus(Duration::from_secs(told.silent_secs))),
        requests: None,
        nas_id: None,
        nas_name: None,
    }
}

fn asking_at(site_id: SiteId, address: IpAddr, requests: u64) -> Found {
    Found {
        site_id,
        how: How::Asking,
        ip_address: Some(address),
        mac_address: None,
        identity: None,
        board_name: None,
        router_os_version: None,
        platform: None,
        interface: None,
        uptime: None,
        heard_at: None,
        requests: Some(requests),
        nas_id: None,
        nas_name: None,
    }
}

impl Found {
    fn entered(self, place: Option<&store::Place>) -> Found {
        Found {
            nas_id: place.map(|place| place.id),
            nas_name: place.map(|place| place.name.clone()),
            ..self
        }
    }
}

/// Somebody looks for his router.
const PATIENCE: Duration = Duration::from_secs(4);
/// An agent tells no more.
const MOST: usize = 512;
