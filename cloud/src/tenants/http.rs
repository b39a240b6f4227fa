//! A tenant's own view of itself.

use axum::extract::State;
use easyisp_shared::id::TenantId;
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::edge;
use super::rules::{self, SESSION_DAYS};
use super::store::{self, SettingsRow, TenantRow};
use crate::api::{Json, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::{Email, Operator, Standing, StandingRow, TenantStatus, bad_email};
use crate::db::Database;
use crate::error::ApiError;

/// The tenant as header, sidebar and settings show it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tenant {
    /// The tenant.
    pub id: TenantId,
    /// Its slug.
    pub name: String,
    /// What it calls itself.
    pub business_name: String,
    /// Where to write to it.
    pub email: String,
    /// Free text.
    pub phone: Option<String>,
    /// Free text.
    pub location: Option<String>,
    /// Path of its logo.
    pub logo: Option<String>,
    /// Its colour, such as `#0F62FE`.
    pub primary_color: Option<String>,
    /// How it stands at this moment.
    pub status: TenantStatus,
    /// When its trial ends.
    pub trial_ends_at: Option<Timestamp>,
    /// When its subscription ends; null = never.
    pub subscription_ends_at: Option<Timestamp>,
    /// What it has paid the platform in advance.
    pub wallet_balance: Cents,
    /// Customers with time left.
    pub active_users: i64,
    /// Its people.
    pub operators: i64,
    /// Whether hotspot devices that are known log in by their hardware address.
    pub mac_login: bool,
    /// How many devices are remembered for each hotspot customer.
    pub remembered_macs: i32,
    /// Whether a box that joins one of its sites waits until an operator confirms its key.
    pub confirm_agents: bool,
    /// Days for which a session is kept after its end.
    pub session_retention_days: i32,
    /// Days for which lines of routers' logs are kept.
    pub log_retention_days: i32,
    /// Where its clock is: months end, quotas begin anew and schedules run by it.
    pub time_zone: String,
    /// In which its customers pay.
    pub currency: String,
    /// When it began.
    pub created_at: Timestamp,
}

impl Tenant {
    fn of(id: TenantId, row: TenantRow, now: Timestamp) -> Tenant {
        let standing = StandingRow {
            status: row.status,
            trial_ends_at: row.trial_ends_at,
            subscription_ends_at: row.subscription_ends_at,
        };
        Tenant {
            id,
            name: row.slug,
            business_name: row.business_name,
            email: row.email,
            phone: row.phone,
            location: row.location,
            logo: row.logo,
            primary_color: row.primary_color,
            status: match standing.at(now) {
                Standing::Good => row.status,
                Standing::Expired => TenantStatus::Expired,
                Standing::Suspended => TenantStatus::Suspended,
            },
            trial_ends_at: row.trial_ends_at,
            subscription_ends_at: row.subscription_ends_at,
            wallet_balance: row.platform_balance,
            active_users: row.active_users,
            operators: row.operators,
            mac_login: row.mac_login,
            remembered_macs: row.remembered_macs,
            confirm_agents: row.confirm_agents,
            session_retention_days: row.session_retention_days,
            log_retention_days: row.log_retention_days,
            time_zone: row.time_zone,
            currency: row.currency,
            created_at: row.created_at,
        }
    }
}

/// `GET /api/tenant/me`: the caller's tenant. Open to the owner of an expired tenant.
#[utoipa::path(get, path = "/api/tenant/me", tag = "Tenant", responses((status = 200, body = Tenant)))]
pub async fn me(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
) -> Result<Json<Tenant>, ApiError> {
    let now = clock.now();
    let mut tx = db.begin(operator.tenant).await?;
    let row = store::me(&mut tx, now).await?;
    Ok(Json(Tenant::of(operator.tenant, row, now)))
}

/// A change of the tenant's own data. A field that is absent stays; phone, location and colour may be emptied.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// What it calls itself; empty = unchanged.
    #[serde(default, deserialize_with = "blank::option")]
    pub business_name: Option<String>,
    /// Where to write to it; empty = unchanged.
    #[serde(default, deserialize_with = "blank::option")]
    pub email: Option<String>,
    /// Free text.
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    pub phone: Option<Option<String>>,
    /// Free text.
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>)]
    pub location: Option<Option<String>>,
    /// Its colour as `#RRGGBB`; empty = none.
    #[serde(default, deserialize_with = "blank::change")]
    #[schema(value_type = Option<String>, example = "#0F62FE")]
    pub primary_color: Option<Option<String>>,
    /// Whether hotspot devices that are known log in by their hardware address.
    #[serde(default, deserialize_with = "blank::option")]
    pub mac_login: Option<bool>,
    /// How many devices are remembered for each hotspot customer, 0 to 10; the oldest is forgotten first.
    #[serde(default, deserialize_with = "blank::option")]
    pub remembered_macs: Option<i32>,
    /// Whether a box that joins one of the tenant's sites waits, with nothing of the site, until an operator confirms
    /// its key (`POST /api/sites/{site}/agents/{agent}/confirm`).
    #[serde(default, deserialize_with = "blank::option")]
    pub confirm_agents: Option<bool>,
    /// Days for which a session is kept after its end, so that it can be told who had an address; 90 to
    /// 3650. What is older is removed within a day.
    #[serde(default, deserialize_with = "blank::option")]
    pub session_retention_days: Option<i32>,
    /// Days for which lines of routers' logs are kept, 1 to 90. What is older is removed within a day.
    #[serde(default, deserialize_with = "blank::option")]
    pub log_retention_days: Option<i32>,
    /// A name of the time zone database, such as `Africa/Nairobi`: where days and months end, quotas begin anew
    /// and schedules run. It can be changed until the first money is booked: the books have days.
    #[serde(default, deserialize_with = "blank::option")]
    pub time_zone: Option<String>,
    /// Three letters, such as `KES` (ISO 4217). It can be changed until there are customers or money.
    #[serde(default, deserialize_with = "blank::option")]
    pub currency: Option<String>,
}

/// The tenant after a change.
#[derive(Serialize, ToSchema)]
pub struct SettingsAnswer {
    /// Always true.
    pub success: bool,
    /// As `GET /api/tenant/me` answers.
    pub tenant: Tenant,
}

/// `PUT /api/tenant/settings`: changes the tenant's own data. A repeat changes nothing more. Errors: 400 naming
/// the field, 409 `BOOKS_BEGUN` for another time zone or currency once there is money.
#[utoipa::path(put, path = "/api/tenant/settings", tag = "Tenant", request_body = Settings,
    responses((status = 200, body = SettingsAnswer)))]
pub async fn settings(
    operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Json(settings): Json<Settings>,
) -> Result<Json<SettingsAnswer>, ApiError> {
    let now = clock.now();
    let business_name = settings.business_name.as_deref().map(str::trim);
    if business_name.is_some_and(|name| !(2..=100).contains(&name.chars().count())) {
        return Err(ApiError::field(
            "businessName",
            "must have 2 to 100 characters",
        ));
    }
    let email = settings
        .email
        .as_deref()
        .map(|text| Email::parse(text).ok_or_else(|| bad_email("email")));
    let email = email.transpose()?;
    for (field, text) in [("phone", &settings.phone), ("location", &settings.location)] {
        let length = text
            .as_ref()
            .and_then(|text| text.as_ref())
            .map_or(0, |t| t.chars().count());
        if length > 200 {
            return Err(ApiError::field(field, "must have at most 200 characters"));
        }
    }

    if settings
        .remembered_macs
        .is_some_and(|n| !(0..=10).contains(&n))
    {
        return Err(ApiError::field("rememberedMacs", "must be from 0 to 10"));
    }
    if settings
        .session_retention_days
        .is_some_and(|days| !SESSION_DAYS.contains(&days))
    {
        return Err(ApiError::field(
            "sessionRetentionDays",
            "must be from 90 to 3650",
        ));
    }

    if settings
        .log_retention_days
        .is_some_and(|days| !(1..=90).contains(&days))
    {
        return Err(ApiError::field("logRetentionDays", "must be from 1 to 90"));
    }

    let colour = settings.primary_color.as_ref().map(|colour| {
        let what = "must be # and six hexadecimal digits, such as #0F62FE";
        let read = |text| rules::colour(text).ok_or_else(|| ApiError::field("primaryColor", what));
        colour.as_deref().map(read).transpose()
    });
    let colour = colour.transpose()?;
    let zone = settings.time_zone.as_deref().map(|name| {
        let what = "must be a name of the time zone database, such as Africa/Nairobi";
        rules::time_zone(name).ok_or_else(|| ApiError::field("timeZone", what))
    });
    let zone = zone.transpose()?;
    let currency = settings.currency.as_deref().map(|code| {
        let what = "must be three letters, such as KES";
        rules::currency(code).ok_or_else(|| ApiError::field("currency", what))
    });
    let currency = currency.transpose()?;

    let mut tx = db.begin(operator.tenant).await?;
    let before = store::me(&mut tx, now).await?;
    let other_zone = zone.as_ref().is_some_and(|zone| *zone != before.time_zone);
    let other_currency = currency
        .as_ref()
        .is_some_and(|code| *code != before.currency);
    if other_zone || other_currency {
        let begun = store::begun(&mut tx).await?;
        if begun.entries || other_currency && begun.customers {
            return Err(books_begun(other_currency));
        }
    }
    let change = SettingsRow {
        business_name,
        email: email.as_ref().map(Email::as_str),
        phone: settings.phone.as_ref().map(Option::as_deref),
        location: settings.location.as_ref().map(Option::as_deref),
        primary_color: colour.as_ref().map(Option::as_deref),
        mac_login: settings.mac_login,
        remembered_macs: settings.remembered_macs,
        confirm_agents: settings.confirm_agents,
        session_retention_days: settings.session_retention_days,
        log_retention_days: settings.log_retention_days,
        time_zone: zone.as_deref(),
        currency: currency.as_deref(),
    };
    store::update(&mut tx, &change, now).await?;
    let after = store::me(&mut tx, now).await?;
    let policy = |row: &TenantRow| {
        (
            row.business_name.clone(),
            row.mac_login,
            row.remembered_macs,
            row.time_zone.clone(),
        )
    };
    if policy(&before) != policy(&after) {
        edge::changed(&mut tx).await?;
    }
    let line = Audit {
        before: Some(facts(&before)),
        after: Some(facts(&after)),
        ..Audit::new(
            Action::SettingsUpdate,
            "tenant",
            operator.tenant,
            &after.business_name,
        )
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    tx.commit().await?;
    Ok(Json(SettingsAnswer {
        success: true,
        tenant: Tenant::of(operator.tenant, after, now),
    }))
}

/// What the trail keeps of a tenant.
fn facts(row: &TenantRow) -> serde_json::Value {
    json!({
        "businessName": row.business_name,
        "email": row.email,
        "location": row.location,
        "primaryColor": row.primary_color,
        "macLogin": row.mac_login,
        "rememberedMacs": row.remembered_macs,
        "confirmAgents": row.confirm_agents,
        "sessionRetentionDays": row.session_retention_days,
        "logRetentionDays": row.log_retention_days,
        "timeZone": row.time_zone,
        "currency": row.currency,
    })
}

fn books_begun(currency: bool) -> ApiError {
    ApiError::conflict(
        "BOOKS_BEGUN",
        match currency {
            true => {
                "The currency can be changed until there are customers or money; register anew for another"
            }
            false => {
                "The time zone can be changed until the first money is booked: the books have days"
            }
        },
    )
}
