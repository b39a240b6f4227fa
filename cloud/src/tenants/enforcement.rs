//! How a tenant's sites treat who may not be online.

use axum::extract::State;
use easyisp_shared::entitlement::{Bind, Reason, Reasons, Refusal};
use easyisp_shared::time::Clock;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::{edge, store};
use crate::api::Json;
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::{ApiError, FieldError, Wrong};

/// How sites treat who may not be online. What is absent in a change is the default.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Enforcement {
    /// Minutes of service after the paid end.
    pub grace_minutes: i32,
    /// Whether there is a walled garden at all; else everybody is rejected.
    pub walled_garden: bool,
    /// The reasons that lead to it: `EXPIRED`, `NO_PACKAGE`, `QUOTA`, `TIME`, `SUSPENDED`, `DISABLED`,
    /// `WRONG_MAC`, `WRONG_ROUTER`, `TOO_MANY_DEVICES`. An unknown name and a wrong password are none: who proved nothing
    /// is rejected.
    pub garden_reasons: Vec<String>,
    /// The routers' firewall address list that is the garden.
    pub address_list: String,
    /// An address pool on the routers for who is in it.
    pub address_pool: Option<String>,
    /// A PPP or hotspot user profile on the routers for who is in it.
    pub router_profile: Option<String>,
    /// Mbit/s inside, both ways.
    pub speed: i32,
    /// The page it leads to; null = the agent's own. `reason` and `account` are added to it.
    pub portal_url: Option<String>,
    /// To how many devices the first logins bind a customer, 0 to 10; 0 = to none. Others are then refused as
    /// `WRONG_MAC`, until `mac-reset`. A package's terms may say otherwise.
    pub bind_macs: i32,
    /// Whether one device more takes the place of the oldest instead of being refused.
    pub bind_oldest_out: bool,
}

impl Default for Enforcement {
    fn default() -> Enforcement {
        let money = Reason::REFUSALS
            .into_iter()
            .filter(|reason| reason.is_about_money());
        Enforcement {
            grace_minutes: 0,
            walled_garden: false,
            garden_reasons: money.map(|reason| reason.code().to_owned()).collect(),
            address_list: "easyisp-garden".to_owned(),
            address_pool: None,
            router_profile: None,
            speed: 1,
            portal_url: None,
            bind_macs: 0,
            bind_oldest_out: false,
        }
    }
}

impl Enforcement {
    /// The reasons as a site must know them.
    pub fn reasons(&self) -> Reasons {
        let known = self.garden_reasons.iter();
        Reasons::of(known.filter_map(|code| Reason::from_code(code)))
    }

    /// What happens to who may not be online.
    pub fn refusal(&self) -> Refusal {
        match self.walled_garden {
            true => Refusal::WalledGarden,
            false => Refusal::Reject,
        }
    }

    /// How first logins bind.
    pub fn bind(&self) -> Bind {
        Bind {
            macs: u8::try_from(self.bind_macs).unwrap_or(0),
            oldest_out: self.bind_oldest_out,
        }
    }

    fn check(&self) -> Result<(), Vec<FieldError>> {
        let mut wrong = Wrong::default();
        if !(0..=43_200).contains(&self.grace_minutes) {
            wrong.add("graceMinutes", "must be 0 to 43200, which is thirty days");
        }
        let known = |code: &String| Reason::from_code(code).is_some();
        if self.garden_reasons.len() > Reason::REFUSALS.len()
            || !self.garden_reasons.iter().all(known)
        {
            wrong.add("gardenReasons", "must be reasons to refuse, like EXPIRED");
        }
        let names = [&self.address_pool, &self.router_profile];
        let mut names = names.into_iter().flatten().chain([&self.address_list]);
        if names
            .any(|name| name.is_empty() || name.len() > 100 || name.chars().any(char::is_control))
        {
            wrong.add(
                "addressList",
                "and the other names have 1 to 100 characters",
            );
        }
        if !(1..=1000).contains(&self.speed) {
            wrong.add("speed", "must be 1 to 1000 Mbit/s");
        }
        if !(0..=10).contains(&self.bind_macs) {
            wrong.add("bindMacs", "must be 0 to 10");
        }
        let page = |url: &String| {
            let web = url.starts_with("http://") || url.starts_with("https://");
            web && url.len() <= 200 && !url.chars().any(|c| c.is_whitespace() || c.is_control())
        };
        if !self.portal_url.as_ref().is_none_or(page) {
            wrong.add("portalUrl", "must be an address of the web, or null");
        }
        wrong.none_or(())
    }
}

/// `GET /api/tenant/enforcement`: how sites treat who may not be online.
#[utoipa::path(get, path = "/api/tenant/enforcement", tag = "Tenant",
    responses((status = 200, body = Enforcement)))]
pub async fn get(
    operator: Operator,
    State(db): State<Database>,
) -> Result<Json<Enforcement>, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    Ok(Json(store::policy(&mut tx).await?.enforcement))
}

/// `PUT /api/tenant/enforcement`: changes it as a whole; every site knows with the same commit, and who
/// is online follows.
#[utoipa::path(put, path = "/api/tenant/enforcement", tag = "Tenant", request_body = Enforcement,
    responses((status = 200, body = Enforcement)))]
pub async fn set(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Json(wanted): Json<Enforcement>,
) -> Result<Json<Enforcement>, ApiError> {
    let now = clock.now();
    wanted.check().map_err(ApiError::fields)?;
    let mut tx = db.begin(operator.tenant).await?;
    let before = store::policy(&mut tx).await?;
    store::set_enforcement(&mut tx, &wanted, now).await?;
    edge::changed(&mut tx).await?;
    let line = Audit {
        before: Some(json!(before.enforcement)),
        after: Some(json!(wanted)),
        ..Audit::new(
            Action::SettingsUpdate,
            "tenant",
            operator.tenant,
            &before.business_name,
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(wanted))
}
