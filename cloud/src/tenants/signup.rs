//! How a tenant begins: with its key, its owner, its first site and its books, all in one transaction.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use easyisp_shared::id::TenantId;
use easyisp_shared::time::{Clock, Timestamp};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use super::jobs::{ALERT, CARE, TIDY, WATCH};
use super::{Created, lease, rules, store};
use crate::api::{Json, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::{self, Email, NewOperator, Origin, Role, SignIn, SignedIn, TenantStatus};
use crate::db::{Database, Tx};
use crate::due;
use crate::error::{ApiError, ErrorEnvelope, FieldError};
use crate::ledger;
use crate::secrets::Secrets;
use crate::sites;

/// How long a new tenant may try.
const TRIAL: Duration = Duration::from_secs(7 * 86_400);
/// The first site of every tenant.
const MAIN_SITE: &str = "Main site";
/// The totals that features keep for every tenant.
const COUNTS: [&str; 4] = [
    "customers.PPPOE",
    "customers.HOTSPOT",
    "customers.DHCP",
    "customers.STATIC",
];

/// A registration.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// The owner's name, 2 characters at least.
    pub name: String,
    /// How he will sign in.
    pub email: String,
    /// 12 to 128 characters.
    #[schema(value_type = String, format = Password)]
    pub password: SecretString,
    /// The provider's name, 2 characters at least.
    pub business_name: String,
    /// Free text.
    #[serde(default, deserialize_with = "blank::option")]
    pub phone: Option<String>,
}

/// `POST /api/auth/register`: a new tenant on a trial of seven days, and its owner signed in.
///
/// Not repeatable: the second call is a 409, and signing in is the way on.
#[utoipa::path(post, path = "/api/auth/register", tag = "Auth", request_body = Registration, responses(
    (status = 201, body = SignedIn),
    (status = 400, description = "A field is wrong; says which and what to write", body = ErrorEnvelope),
    (status = 409, description = "The e-mail address has an account", body = ErrorEnvelope),
    (status = 429, description = "Too many registrations from this address", body = ErrorEnvelope),
))]
pub async fn register(
    origin: Origin,
    State(db): State<Database>,
    State(clock): State<Clock>,
    State(secrets): State<Secrets>,
    State(sign_in): State<SignIn>,
    Json(registration): Json<Registration>,
) -> Result<(StatusCode, Json<SignedIn>), ApiError> {
    let now = clock.now();
    let email = check(&registration)?;
    sign_in.register(origin.address, now)?;
    let password_hash = sign_in
        .new_password("password", &registration.password, &email)
        .await?;
    let new = NewTenant {
        business_name: registration.business_name.trim(),
        owner_name: registration.name.trim(),
        email: &email,
        phone: registration.phone.as_deref(),
        password_hash: &password_hash,
        kind: TenantKind::Trial,
    };
    let (mut tx, created) = create(&db, &secrets, &new, now).await?;
    let actor = Actor::person(created.owner, new.owner_name, origin.address);
    let line = Audit::new(
        Action::TenantCreate,
        "tenant",
        created.tenant,
        new.business_name,
    );
    audit::record(&mut tx, &actor, line, now).await?;
    let signed_in = auth::sign_in(&mut tx, &secrets, created.owner, &origin, now).await?;
    tx.commit().await?;
    Ok(Json(signed_in).with(StatusCode::CREATED))
}

fn check(registration: &Registration) -> Result<Email, ApiError> {
    let mut wrong = Vec::new();
    for (field, text) in [
        ("name", &registration.name),
        ("businessName", &registration.business_name),
    ] {
        if !(2..=100).contains(&text.trim().chars().count()) {
            wrong.push(FieldError {
                field: field.to_owned(),
                message: "must have 2 to 100 characters".to_owned(),
            });
        }
    }
    let email = Email::parse(&registration.email);
    match email {
        Some(email) if wrong.is_empty() => Ok(email),
        Some(_) => Err(ApiError::fields(wrong)),
        None => {
            wrong.push(FieldError {
                field: "email".to_owned(),
                message: "must be an e-mail address such as name@example.com".to_owned(),
            });
            Err(ApiError::fields(wrong))
        }
    }
}

/// A new tenant and its owner.
#[derive(Debug)]
pub struct NewTenant<'a> {
    /// The provider's name.
    pub business_name: &'a str,
    /// The owner's name.
    pub owner_name: &'a str,
    /// How the owner signs in.
    pub email: &'a Email,
    /// Free text.
    pub phone: Option<&'a str>,
    /// From [`SignIn::new_password`].
    pub password_hash: &'a str,
    /// How it begins.
    pub kind: TenantKind,
}

/// How a tenant begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TenantKind {
    /// On a trial.
    Trial,
    /// ACTIVE without end.
    Active,
}

/// Makes a tenant in a transaction of its own, which the caller commits; 409 when the e-mail is taken.
pub async fn create(
    db: &Database,
    secrets: &Secrets,
    new: &NewTenant<'_>,
    now: Timestamp,
) -> Result<(Tx, Created), ApiError> {
    let tenant = TenantId::new(now, db.entropy());
    let mut tx = db.begin(tenant).await?;
    let row = store::NewTenantRow {
        slug: &rules::slug(new.business_name),
        business_name: new.business_name,
        email: new.email.as_str(),
        phone: new.phone,
        status: match new.kind {
            TenantKind::Trial => TenantStatus::Trial,
            TenantKind::Active => TenantStatus::Active,
        },
        trial_ends_at: (new.kind == TenantKind::Trial).then(|| now.plus(TRIAL)),
    };
    store::insert(&mut tx, &row, now).await?;
    let owner = NewOperator {
        name: new.owner_name,
        email: new.email,
        phone: new.phone,
        role: Role::SuperAdmin,
        password_hash: new.password_hash,
        added_permissions: &[],
        removed_permissions: &[],
    };
    let owner = auth::create_operator(&mut tx, &owner, now).await?;
    let key = secrets.create_tenant_key(&mut tx, now).await?;
    sites::create(&mut tx, &key, MAIN_SITE, now).await?;
    lease::write(&mut tx, now).await?;
    ledger::seed_accounts(&mut tx, now).await?;
    store::insert_counts(&mut tx, &COUNTS).await?;
    due::at(&mut tx, ledger::SEAL, tenant, now).await?;
    due::at(&mut tx, ledger::CHECK, tenant, now).await?;
    due::at(&mut tx, ledger::PROVE, tenant, now).await?;
    due::at(&mut tx, TIDY, tenant, now).await?;
    due::at(&mut tx, WATCH, tenant, now).await?;
    due::at(&mut tx, CARE, tenant, now).await?;
    due::at(&mut tx, ALERT, tenant, now).await?;
    Ok((tx, Created { tenant, owner }))
}

/// Makes a person of the platform: in the reserved ACTIVE tenant "Platform", which the first one brings.
pub async fn create_platform_owner(
    db: &Database,
    secrets: &Secrets,
    name: &str,
    email: &Email,
    password_hash: &str,
    now: Timestamp,
) -> Result<Created, ApiError> {
    let mut directory = db.directory().await?;
    let platform = store::platform(&mut directory).await?;
    drop(directory);
    let (mut tx, created) = match platform {
        None => {
            let new = NewTenant {
                business_name: "Platform",
                owner_name: name,
                email,
                phone: None,
                password_hash,
                kind: TenantKind::Active,
            };
            create(db, secrets, &new, now).await?
        }
        Some(tenant) => {
            let mut tx = db.begin(tenant).await?;
            let new = NewOperator {
                name,
                email,
                phone: None,
                role: Role::SuperAdmin,
                password_hash,
                added_permissions: &[],
                removed_permissions: &[],
            };
            let owner = auth::create_operator(&mut tx, &new, now).await?;
            (tx, Created { tenant, owner })
        }
    };
    auth::make_platform(&mut tx, created.owner, now).await?;
    let line = Audit::new(Action::OperatorCreate, "operator", created.owner, name);
    audit::record(&mut tx, &Actor::system(), line, now).await?;
    tx.commit().await?;
    Ok(created)
}
