//! What the platform's own people see of tenants, at `/api/super-admin`.

use axum::extract::State;
use easyisp_shared::id::{OperatorId, TenantId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::{Json, MASK, Path};
use crate::auth::{Operator, Role, Standing, TenantStatus};
use crate::db::Database;
use crate::error::ApiError;
use crate::tenants::governed::{self, Listed, PersonRow, Rest};

/// The platform at a glance.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformStatsAnswer)]
pub struct StatsAnswer {
    stats: Stats,
}

/// What there is on the platform, its own tenant not counted.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlatformStats)]
pub struct Stats {
    tenants: TenantCounts,
    total_customers: i64,
    total_users: i64,
    total_routers: i64,
}

/// Tenants by how they stand at this moment.
#[derive(Default, Serialize, ToSchema)]
pub struct TenantCounts {
    total: usize,
    active: usize,
    trial: usize,
    expired: usize,
    suspended: usize,
}

/// Tenants.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformTenants)]
pub struct Tenants {
    tenants: Vec<Tenant>,
}

/// A tenant in the platform's list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlatformTenant)]
pub struct Tenant {
    id: TenantId,
    /// Its slug.
    name: String,
    business_name: String,
    email: String,
    phone: Option<String>,
    /// How it stands at this moment.
    status: TenantStatus,
    /// Whether it is, or was, more than a trial.
    is_activated: bool,
    trial_ends_at: Option<Timestamp>,
    /// Null = never.
    subscription_ends_at: Option<Timestamp>,
    created_at: Timestamp,
    subscription_status: SubscriptionStatus,
    /// Whole days left, begun ones counted; null = without end.
    days_remaining: Option<u64>,
    #[serde(rename = "_count")]
    count: Counts,
}

/// How a tenant's subscription stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SubscriptionStatus {
    /// Trying it out.
    Trial,
    /// Paid up to a day.
    Subscribed,
    /// Paid without end.
    Lifetime,
    /// The trial or the subscription has ended.
    Expired,
    /// Stopped by the platform.
    Suspended,
}

/// How much a tenant has.
#[derive(Serialize, ToSchema)]
pub struct Counts {
    users: i64,
    customers: i64,
    routers: i64,
}

impl Tenant {
    /// As it stands at this moment.
    pub fn of(row: Listed, now: Timestamp) -> Tenant {
        let standing = row.standing().at(now);
        let (status, subscription, end) = match (standing, row.status) {
            (Standing::Suspended, _) => {
                (TenantStatus::Suspended, SubscriptionStatus::Suspended, None)
            }
            (Standing::Expired, _) => (
                TenantStatus::Expired,
                SubscriptionStatus::Expired,
                Some(now),
            ),
            (Standing::Good, TenantStatus::Trial) => {
                (row.status, SubscriptionStatus::Trial, row.trial_ends_at)
            }
            (Standing::Good, status) => match row.subscription_ends_at {
                Some(end) => (status, SubscriptionStatus::Subscribed, Some(end)),
                None => (status, SubscriptionStatus::Lifetime, None),
            },
        };
        Tenant {
            is_activated: row.activated_at.is_some() || row.status == TenantStatus::Active,
            id: row.id,
            name: row.slug,
            business_name: row.business_name,
            email: row.email,
            phone: row.phone,
            status,
            trial_ends_at: row.trial_ends_at,
            subscription_ends_at: row.subscription_ends_at,
            created_at: row.created_at,
            subscription_status: subscription,
            days_remaining: end.map(|end| end.since(now).as_secs().div_ceil(86_400)),
            count: Counts {
                users: row.users,
                customers: row.customers,
                routers: row.routers,
            },
        }
    }
}

/// `GET /api/super-admin/stats`: the platform at a glance.
#[utoipa::path(get, path = "/api/super-admin/stats", tag = "Platform",
    responses((status = 200, body = StatsAnswer)))]
pub async fn stats(
    _operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
) -> Result<Json<StatsAnswer>, ApiError> {
    let now = clock.now();
    let mut stats = Stats::default();
    for row in governed::every(&db).await? {
        stats.total_customers += row.customers;
        stats.total_users += row.users;
        stats.total_routers += row.routers;
        let tenants = &mut stats.tenants;
        tenants.total += 1;
        *match Tenant::of(row, now).status {
            TenantStatus::Active => &mut tenants.active,
            TenantStatus::Trial => &mut tenants.trial,
            TenantStatus::Expired => &mut tenants.expired,
            TenantStatus::Suspended => &mut tenants.suspended,
        } += 1;
    }
    Ok(Json(StatsAnswer { stats }))
}

/// `GET /api/super-admin/tenants`: the newest 1,000 tenants.
#[utoipa::path(get, path = "/api/super-admin/tenants", tag = "Platform",
    responses((status = 200, body = Tenants)))]
pub async fn list(
    _operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
) -> Result<Json<Tenants>, ApiError> {
    let now = clock.now();
    let rows = governed::list(&db).await?.into_iter();
    Ok(Json(Tenants {
        tenants: rows.map(|row| Tenant::of(row, now)).collect(),
    }))
}

/// Everything of one tenant that the platform shows.
#[derive(Serialize, ToSchema)]
#[schema(as = PlatformTenantAnswer)]
pub struct WholeAnswer {
    tenant: Whole,
}

/// A tenant with its people and balances.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlatformWholeTenant)]
pub struct Whole {
    id: TenantId,
    name: String,
    business_name: String,
    email: String,
    phone: Option<String>,
    location: Option<String>,
    logo: Option<String>,
    status: TenantStatus,
    is_activated: bool,
    trial_ends_at: Option<Timestamp>,
    subscription_ends_at: Option<Timestamp>,
    /// What it has paid the platform in advance.
    wallet_balance: Cents,
    /// What is left of what it has paid for messages in advance: each part of a text takes `[sms] price` out of it, where
    /// the platform has one; else it is as it was added.
    sms_balance: Cents,
    sms_provider: Option<String>,
    /// Masked where there is one.
    sms_api_key: Option<&'static str>,
    sms_sender_id: Option<String>,
    created_at: Timestamp,
    users: Vec<Person>,
    #[serde(rename = "_count")]
    count: WholeCounts,
}

/// One of a tenant's people.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PlatformTenantUser)]
pub struct Person {
    id: OperatorId,
    email: String,
    name: String,
    role: Role,
    status: String,
    created_at: Timestamp,
}

/// How much a tenant has.
#[derive(Serialize, ToSchema)]
pub struct WholeCounts {
    customers: i64,
    packages: i64,
    routers: i64,
    /// Counted up to 100,000.
    payments: i64,
}

impl Whole {
    fn of((listed, rest, people): (Listed, Rest, Vec<PersonRow>), now: Timestamp) -> Whole {
        let tenant = Tenant::of(listed, now);
        Whole {
            id: tenant.id,
            name: tenant.name,
            business_name: tenant.business_name,
            email: tenant.email,
            phone: tenant.phone,
            location: rest.location,
            logo: rest.logo,
            status: tenant.status,
            is_activated: tenant.is_activated,
            trial_ends_at: tenant.trial_ends_at,
            subscription_ends_at: tenant.subscription_ends_at,
            wallet_balance: rest.platform_balance,
            sms_balance: rest.sms_balance,
            sms_provider: rest.sms_provider,
            sms_api_key: rest.has_sms_key.then_some(MASK),
            sms_sender_id: rest.sms_sender_id,
            created_at: tenant.created_at,
            users: people
                .into_iter()
                .map(|row| Person {
                    id: row.id,
                    email: row.email,
                    name: row.name,
                    role: row.role,
                    status: row.status,
                    created_at: row.created_at,
                })
                .collect(),
            count: WholeCounts {
                customers: tenant.count.customers,
                packages: rest.packages,
                routers: tenant.count.routers,
                payments: rest.payments,
            },
        }
    }
}

/// `GET /api/super-admin/tenants/{tenant}`: one tenant with its people and balances.
#[utoipa::path(get, path = "/api/super-admin/tenants/{tenant}", tag = "Platform",
    params(("tenant" = TenantId, Path)), responses((status = 200, body = WholeAnswer)))]
pub async fn get(
    _operator: Operator,
    State(db): State<Database>,
    State(clock): State<Clock>,
    Path(tenant): Path<TenantId>,
) -> Result<Json<WholeAnswer>, ApiError> {
    let mut tx = governed::begin(&db, tenant).await?;
    let tenant = Whole::of(governed::whole(&mut tx).await?, clock.now());
    Ok(Json(WholeAnswer { tenant }))
}
