//! What is done to one customer: each is an audited change that his site knows with the same commit.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use easyisp_shared::id::{CustomerId, PackageId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::down::Whom;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::lines::fits_router;
use super::super::rules::{Deed, usable_address};
use super::super::store::{self, Rate};
use super::super::words::{ConnectionType, Standing, Status};
use super::super::{
    ChangeError, FOLLOW, RECKON, RESUME, disconnect as end_sessions, fits, give_back, sites_of,
};
use super::{answer, find, has_own_time, is_not_away, locked, note};
use crate::api::{Json, Path, Said, blank};
use crate::audit::Action;
use crate::auth::Operator;
use crate::commands::{self, End};
use crate::db::{Database, Kind, Tx};
use crate::due;
use crate::error::{ApiError, FieldError};
use crate::secrets::Secrets;
use crate::sites::Live;

/// `POST /api/customers/{customer}/suspend`: stops him and ends his session; his time runs on. A repeat changes nothing.
#[utoipa::path(post, path = "/api/customers/{customer}/suspend", tag = "Customers",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = Said)))]
pub async fn suspend(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
) -> Result<Json<Said>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, &operator, customer, Deed::Suspend, now).await?;
    stand(&mut tx, customer, Standing::Suspended, now).await?;
    due::at(&mut tx, RECKON, customer, now).await?;
    let ended = end_sessions(&mut tx, customer, row.site_id, now).await?;
    tx.changed(Kind::Subscriber, customer);
    note(
        &mut tx,
        &operator,
        Action::CustomerSuspend,
        &row,
        String::new(),
        now,
    )
    .await?;
    tx.commit().await?;
    Ok(Json(Said::done(format!(
        "Suspended {}. {}",
        row.row.name,
        ended.sentence()
    ))))
}

/// Sets how he stands. Who is paused is not any more, and what was left of his time goes on: `Some` until then.
async fn stand(
    tx: &mut Tx,
    customer: CustomerId,
    standing: Standing,
    now: Timestamp,
) -> Result<Option<Timestamp>, ApiError> {
    let given = give_back(tx, customer, standing, now).await?;
    match given {
        Some(_) => due::never(tx, RESUME, customer).await?,
        None => store::set_standing(tx, customer, standing, now).await?,
    }
    Ok(given)
}

/// `POST /api/customers/{customer}/activate`: lets him online again as far as he is paid; ends a pause. 409
/// `FOLLOWS_PARENT` for a child account whose parent is paused.
#[utoipa::path(post, path = "/api/customers/{customer}/activate", tag = "Customers",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = Said)))]
pub async fn activate(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
) -> Result<Json<Said>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, &operator, customer, Deed::Suspend, now).await?;
    is_not_away(&mut tx, &row).await?;
    let until = stand(&mut tx, customer, Standing::Active, now).await?;
    due::at(&mut tx, RECKON, customer, now).await?;
    if let Some(parent) = row.parent_id {
        due::at(&mut tx, FOLLOW, parent, now).await?; // who is paused at this moment
    }
    tx.changed(Kind::Subscriber, customer);
    note(
        &mut tx,
        &operator,
        Action::CustomerActivate,
        &row,
        String::new(),
        now,
    )
    .await?;
    tx.commit().await?;
    let until = until.unwrap_or(row.row.served_until);
    Ok(Json(Said::done(
        match Status::of(Standing::Active, until, now) {
            Status::Expired => format!(
                "{} is active again, but the paid time is over: recharge or set the expiry",
                row.row.name
            ),
            Status::Active | Status::Suspended | Status::Disabled => {
                format!("{} is active again", row.row.name)
            }
        },
    )))
}

/// When a customer's time ends.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExpiryRequest {
    expires_at: Timestamp,
}

/// When a customer's time ends.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Expiry {
    success: bool,
    expires_at: Timestamp,
}

/// `PUT /api/customers/{customer}/expiry`: sets the end of his time by hand, earlier or later. 409 `PAUSED`
/// while his time stands still, `FOLLOWS_PARENT` for a child account.
#[utoipa::path(put, path = "/api/customers/{customer}/expiry", tag = "Customers",
    params(("customer" = CustomerId, Path)), request_body = ExpiryRequest,
    responses((status = 200, body = Expiry)))]
pub async fn expiry(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
    Json(request): Json<ExpiryRequest>,
) -> Result<Json<Expiry>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, &operator, customer, Deed::ChangeExpiry, now).await?;
    has_own_time(&row)?;
    store::set_expiry(&mut tx, customer, request.expires_at, now).await?;
    due::at(&mut tx, RECKON, customer, now).await?;
    tx.changed(Kind::Subscriber, customer);
    let details = format!("Until {}, was {}", request.expires_at, row.row.paid_until);
    note(&mut tx, &operator, Action::ExpiryUpdate, &row, details, now).await?;
    tx.commit().await?;
    Ok(Json(Expiry {
        success: true,
        expires_at: request.expires_at,
    }))
}

/// Another package.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PackageChange {
    package_id: PackageId,
}

/// `PUT /api/customers/{customer}/package`: gives him another package from now on; a live session takes
/// its speed. A speed set by hand goes with the package before. Answers the full customer.
#[utoipa::path(put, path = "/api/customers/{customer}/package", tag = "Customers",
    params(("customer" = CustomerId, Path)), request_body = PackageChange,
    responses((status = 200, body = super::Customer)))]
pub async fn package(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    Path(customer): Path<CustomerId>,
    Json(request): Json<PackageChange>,
) -> Result<Response, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let before = locked(&mut tx, &operator, customer, Deed::ChangePackage, now).await?;
    if before.row.package_id != Some(request.package_id) {
        let place = (before.draft().router, Some(before.site_id));
        let kind = before.row.connection_type;
        fits(&mut tx, request.package_id, kind, place).await?;
    }
    store::set_package(&mut tx, customer, request.package_id, now).await?;
    due::at(&mut tx, RECKON, customer, now).await?;
    if let Some(parent) = before.parent_id {
        due::at(&mut tx, FOLLOW, parent, now).await?;
    }
    tx.changed(Kind::Subscriber, customer);
    let row = find(&mut tx, customer, now).await?;
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
    let details = format!(
        "{}, was {}",
        name(&row.row.package_name),
        name(&before.row.package_name)
    );
    note(
        &mut tx,
        &operator,
        Action::PackageChange,
        &row,
        details,
        now,
    )
    .await?;
    let response = answer(&mut tx, &secrets, &operator, row, now).await?;
    tx.commit().await?;
    Ok(response)
}

/// A speed.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Speed {
    /// 1 to 1000.
    download_mbps: i32,
    /// 1 to 1000.
    upload_mbps: i32,
}

/// A speed until somebody takes it away, or until a moment.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    #[serde(flatten)]
    speed: Speed,
    /// When the package's speed comes back by itself, at most ten years ahead; absent or null = only when it is
    /// taken away or the package changes.
    #[serde(default, deserialize_with = "blank::option")]
    until: Option<Timestamp>,
}

/// A speed for a while.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Boost {
    #[serde(flatten)]
    speed: Speed,
    /// 1 to 1440.
    duration_minutes: i64,
}

impl Speed {
    fn checked(&self, until: Option<Timestamp>) -> Result<Rate, ApiError> {
        let fields = [
            ("downloadMbps", self.download_mbps),
            ("uploadMbps", self.upload_mbps),
        ];
        let wrong: Vec<FieldError> = fields
            .into_iter()
            .filter(|(_, mbps)| !(1..=1000).contains(mbps))
            .map(|(field, _)| FieldError {
                field: field.to_owned(),
                message: "must be 1 to 1000".to_owned(),
            })
            .collect();
        if !wrong.is_empty() {
            return Err(ApiError::fields(wrong));
        }
        Ok(Rate {
            up_mbps: self.upload_mbps,
            down_mbps: self.download_mbps,
            until,
        })
    }
}

/// `POST /api/customers/{customer}/override-plan`: another speed until it is taken away, the package changes or
/// `until` has come: his site then goes back by itself, with or without us. A session that runs takes both.
#[utoipa::path(post, path = "/api/customers/{customer}/override-plan", tag = "Customers",
    params(("customer" = CustomerId, Path)), request_body = Override,
    responses((status = 200, body = Said)))]
pub async fn override_plan(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
    Json(request): Json<Override>,
) -> Result<Json<Said>, ApiError> {
    let now = clock.now();
    if request
        .until
        .is_some_and(|until| until <= now || until > now.plus(LONGEST_OVERRIDE))
    {
        return Err(ApiError::field(
            "until",
            "must lie ahead, at most ten years",
        ));
    }
    let rate = request.speed.checked(request.until)?;
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, &operator, customer, Deed::OverridePlan, now).await?;
    store::set_rate(&mut tx, customer, Some(rate), now).await?;
    tx.changed(Kind::Subscriber, customer);
    let speed = format!("{}/{} Mbit/s down/up", rate.down_mbps, rate.up_mbps);
    let details = match rate.until {
        Some(until) => format!("{speed} until {until}"),
        None => speed,
    };
    note(
        &mut tx,
        &operator,
        Action::OverridePlan,
        &row,
        details.clone(),
        now,
    )
    .await?;
    tx.commit().await?;
    Ok(Json(Said::done(format!("{} has {details}", row.row.name))))
}

/// `DELETE /api/customers/{customer}/override-plan`: back to the package's speed; ends a boost too.
#[utoipa::path(delete, path = "/api/customers/{customer}/override-plan", tag = "Customers",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = Said)))]
pub async fn end_override(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
) -> Result<Json<Said>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, &operator, customer, Deed::OverridePlan, now).await?;
    store::set_rate(&mut tx, customer, None, now).await?;
    tx.changed(Kind::Subscriber, customer);
    let details = "Back to the package's speed".to_owned();
    note(&mut tx, &operator, Action::OverridePlan, &row, details, now).await?;
    tx.commit().await?;
    Ok(Json(Said::done(format!(
        "{} has the package's speed",
        row.row.name
    ))))
}

/// `POST /api/customers/{customer}/speed-boost`: another speed for 1 to 1,440 minutes, then the
/// package's.
#[utoipa::path(post, path = "/api/customers/{customer}/speed-boost", tag = "Customers",
    params(("customer" = CustomerId, Path)), request_body = Boost,
    responses((status = 200, body = Said)))]
pub async fn speed_boost(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
    Json(request): Json<Boost>,
) -> Result<Json<Said>, ApiError> {
    let now = clock.now();
    let minutes = u64::try_from(request.duration_minutes).unwrap_or(0);
    if !(1..=1440).contains(&minutes) {
        return Err(ApiError::field("durationMinutes", "must be 1 to 1440"));
    }
    let rate = request
        .speed
        .checked(Some(now.plus(Duration::from_secs(minutes * 60))))?;
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, &operator, customer, Deed::SpeedBoost, now).await?;
    store::set_rate(&mut tx, customer, Some(rate), now).await?;
    tx.changed(Kind::Subscriber, customer);
    let details = format!(
        "{}/{} Mbit/s down/up for {minutes} minutes",
        rate.down_mbps, rate.up_mbps
    );
    note(
        &mut tx,
        &operator,
        Action::SpeedBoost,
        &row,
        details.clone(),
        now,
    )
    .await?;
    tx.commit().await?;
    Ok(Json(Said::done(format!("{} has {details}", row.row.name))))
}

/// An address.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssignIp {
    /// Empty or null: back to an address of the pool.
    #[serde(default, deserialize_with = "blank::option")]
    ip_address: Option<String>,
    /// The device that gets it: the only one he may use from then on. A DHCP line needs one; not mentioned, it
    /// stays as it is.
    #[serde(default, deserialize_with = "blank::option")]
    mac_address: Option<String>,
}

/// `POST /api/customers/{customer}/assign-ip`: an IPv4 address of his own: from the next login on, or, where he
/// logs in nowhere (STATIC, DHCP), as soon as his router has it.
///
/// Errors: 400 when it is no address, is one of his router's own, of its network or broadcast, or lies in a pool
/// of it (as far as the router can be asked now; DHCP may share a pool), 409 `ADDRESS_TAKEN` when another customer
/// of the site has it.
#[utoipa::path(post, path = "/api/customers/{customer}/assign-ip", tag = "Customers",
    params(("customer" = CustomerId, Path)), request_body = AssignIp,
    responses((status = 200, body = Said)))]
pub async fn assign_ip(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(customer): Path<CustomerId>,
    Json(request): Json<AssignIp>,
) -> Result<Json<Said>, ApiError> {
    let now = clock.now();
    let mac = request.mac_address.as_deref().map(|text| {
        let mac = Mac::parse(text);
        mac.ok_or_else(|| ApiError::field("macAddress", "must be like AA:BB:CC:DD:EE:FF"))
    });
    let mac = mac.transpose()?;
    let address = request
        .ip_address
        .as_deref()
        .map(usable_address)
        .transpose()
        .map_err(|wrong| ApiError::fields(vec![wrong]))?;
    if let Some(address) = address {
        let mut tx = db.begin(operator.tenant).await?;
        let row = find(&mut tx, customer, now).await?.row;
        operator.require_any(Deed::StaticIp.permissions(row.connection_type))?;
        drop(tx);
        let line = (row.connection_type, row.router_id);
        fits_router((&db, &live), operator.tenant, line, address, now).await?;
    }
    let address = address.map(|address| address.to_string());
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, &operator, customer, Deed::StaticIp, now).await?;
    if let Some(mac) = mac {
        operator.require_any(Deed::LockMac.permissions(row.row.connection_type))?;
        store::set_macs(&mut tx, customer, &[mac.to_string()], now).await?;
    }
    store::set_static_ip(&mut tx, customer, address.as_deref(), now)
        .await
        .map_err(ChangeError::from)?;
    tx.changed(Kind::Subscriber, customer);
    let from = match row.row.connection_type {
        ConnectionType::Pppoe | ConnectionType::Hotspot => "from the next login on",
        ConnectionType::Dhcp | ConnectionType::Static => "as soon as his router has it",
    };
    let details = match (&address, mac) {
        (Some(address), None) => format!("{address} {from}"),
        (Some(address), Some(mac)) => format!("{address} for {mac} {from}"),
        (None, None) => format!("an address of the pool {from}"),
        (None, Some(mac)) => format!("an address of the pool for {mac} {from}"),
    };
    note(
        &mut tx,
        &operator,
        Action::AssignStaticIp,
        &row,
        details.clone(),
        now,
    )
    .await?;
    tx.commit().await?;
    Ok(Json(Said::done(format!("{} gets {details}", row.row.name))))
}

/// The device a customer is locked to.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Locked {
    success: bool,
    mac_address: String,
}

/// `POST /api/customers/{customer}/mac-lock`: locks him to the device he was last seen with.
///
/// 409 `NO_DEVICE_KNOWN` when none was seen yet.
#[utoipa::path(post, path = "/api/customers/{customer}/mac-lock", tag = "Customers",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = Locked)))]
pub async fn mac_lock(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
) -> Result<Json<Locked>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, &operator, customer, Deed::LockMac, now).await?;
    let Some(mac) = store::known_mac(&mut tx, customer).await? else {
        return Err(ApiError::conflict(
            "NO_DEVICE_KNOWN",
            "No device of this customer was seen yet; lock him once he has been online",
        ));
    };
    store::set_macs(&mut tx, customer, std::slice::from_ref(&mac), now).await?;
    tx.changed(Kind::Subscriber, customer);
    note(&mut tx, &operator, Action::MacLock, &row, mac.clone(), now).await?;
    tx.commit().await?;
    Ok(Json(Locked {
        success: true,
        mac_address: mac,
    }))
}

/// `POST /api/customers/{customer}/mac-reset`: any device may log in again.
#[utoipa::path(post, path = "/api/customers/{customer}/mac-reset", tag = "Customers",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = Said)))]
pub async fn mac_reset(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(customer): Path<CustomerId>,
) -> Result<Json<Said>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, &operator, customer, Deed::ResetMac, now).await?;
    store::set_macs(&mut tx, customer, &[], now).await?;
    tx.changed(Kind::Subscriber, customer);
    note(
        &mut tx,
        &operator,
        Action::MacReset,
        &row,
        row.macs.join(", "),
        now,
    )
    .await?;
    tx.commit().await?;
    Ok(Json(Said::done(format!(
        "{} may use any device",
        row.row.name
    ))))
}

/// `POST /api/customers/{customer}/disconnect`: ends his sessions, and says what his router made of it.
///
/// Errors: 503 when his site is away (named, with since when), 502 or 504 when the router is silent: then
/// it is done as soon as the site can.
#[utoipa::path(post, path = "/api/customers/{customer}/disconnect", tag = "Customers",
    params(("customer" = CustomerId, Path)), responses((status = 200, body = Said),
        (status = 502, description = "The device or its site cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn disconnect(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(live): State<Live>,
    Path(customer): Path<CustomerId>,
) -> Result<Json<Said>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = locked(&mut tx, &operator, customer, Deed::Disconnect, now).await?;
    let sites = sites_of(&mut tx, customer, row.site_id).await?;
    note(
        &mut tx,
        &operator,
        Action::CustomerDisconnect,
        &row,
        String::new(),
        now,
    )
    .await?;
    tx.commit().await?;
    let ends: Vec<End> = sites
        .into_iter()
        .map(|site| End {
            tenant: operator.tenant,
            site,
            whom: Whom::Customer(customer),
            customer: Some(customer),
        })
        .collect();
    let ended = commands::end_now(&db, &live, &ends, now).await?;
    Ok(Json(Said::done(ended.sentence())))
}

/// Ten years and some days.
const LONGEST_OVERRIDE: Duration = Duration::from_secs(3_653 * 86_400);
