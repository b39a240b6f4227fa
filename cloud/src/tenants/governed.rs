//! What the platform's own people do with a tenant, each deed in the tenant's own trail.

use easyisp_shared::entitlement::zone_of;
use easyisp_shared::id::{OperatorId, TenantId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::store::{self, SettingsRow, platform};
use super::terms::{Longer, Terms, TermsError};
use super::{edge, lease, purge};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth;
use crate::db::{Database, Tx};
use crate::due;
use crate::error::ApiError;
use crate::secrets::Secrets;

pub use super::store::platform::{Listed, PersonRow, Rest};

/// Most tenants of one list.
const MOST: i64 = 1_000;
/// Tenants read in one round trip.
const AT_ONCE: usize = 200;

/// Begins a transaction of a tenant and locks it; 404 when there is none, it was deleted, or it is the
/// platform's own.
pub async fn begin(db: &Database, tenant: TenantId) -> Result<Tx, ApiError> {
    if own(db).await? == Some(tenant) {
        return Err(ApiError::NotFound("tenant"));
    }
    let mut tx = db.begin(tenant).await?;
    match platform::lock_live(&mut tx).await? {
        true => Ok(tx),
        false => Err(ApiError::NotFound("tenant")),
    }
}

/// The newest 1,000 tenants, but the platform's own.
pub async fn list(db: &Database) -> Result<Vec<Listed>, ApiError> {
    some(db, MOST).await
}

/// Every tenant but the platform's own.
pub async fn every(db: &Database) -> Result<Vec<Listed>, ApiError> {
    some(db, i64::MAX).await
}

async fn some(db: &Database, most: i64) -> Result<Vec<Listed>, ApiError> {
    let own = own(db).await?;
    let mut directory = db.directory().await?;
    let ids = platform::live(&mut directory, most).await?;
    let ids: Vec<_> = ids.into_iter().filter(|id| Some(*id) != own).collect();
    let mut listed = Vec::with_capacity(ids.len());
    for ids in ids.chunks(AT_ONCE) {
        listed.extend(platform::listed(&mut directory, ids).await?);
    }
    Ok(listed)
}

/// The platform's own tenant. `None` before there is anybody of the platform.
pub async fn own(db: &Database) -> sqlx::Result<Option<TenantId>> {
    let mut directory = db.directory().await?;
    store::platform(&mut directory).await
}

/// The transaction's tenant in a list of its own.
pub async fn one(tx: &mut Tx) -> Result<Listed, ApiError> {
    let listed = platform::one(tx).await?;
    listed.ok_or(ApiError::NotFound("tenant"))
}

/// Everything the platform knows of the transaction's tenant.
pub async fn whole(tx: &mut Tx) -> Result<(Listed, Rest, Vec<PersonRow>), ApiError> {
    let listed = one(tx).await?;
    Ok((
        listed,
        platform::rest(tx).await?,
        platform::people(tx).await?,
    ))
}

/// A change of what was agreed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// A subscription from now, for so many months or without end.
    Activate(Option<u32>),
    /// Everybody out, at once.
    Suspend,
    /// As before it was suspended.
    Reactivate,
    /// So many days more to try.
    ExtendTrial(u32),
    /// More of the subscription.
    Extend(Longer),
}

/// Changes what was agreed with the transaction's tenant.
pub async fn change(
    tx: &mut Tx,
    actor: &Actor,
    deed: Deed,
    now: Timestamp,
) -> Result<Listed, ApiError> {
    let listed = one(tx).await?;
    let before = listed.terms();
    let zone = zone_of(&platform::rest(tx).await?.time_zone);
    let after = match deed {
        Deed::Activate(months) => Ok(before.activated(months, &zone, now)),
        Deed::Suspend => before.suspended(),
        Deed::Reactivate => before.reactivated(),
        Deed::ExtendTrial(days) => before.trial_extended(days, now),
        Deed::Extend(longer) => before.extended(longer, &zone, now),
    };
    let after = after.map_err(|error: TermsError| ApiError::from(error))?;
    platform::set_terms(tx, &after, now).await?;
    lease::write(tx, now).await?;
    let action = match deed {
        Deed::Activate(_) => Action::TenantActivate,
        Deed::Suspend => Action::TenantSuspend,
        Deed::Reactivate => Action::TenantReactivate,
        Deed::ExtendTrial(_) | Deed::Extend(_) => Action::TenantExtend,
    };
    let line = Audit {
        before: Some(facts(&before)),
        after: Some(facts(&after)),
        ..Audit::new(action, "tenant", tx.tenant(), &listed.business_name)
    };
    audit::record(tx, actor, line, now).await?;
    one(tx).await
}

/// Adds to what the transaction's tenant has paid in advance, for itself and for its messages.
pub async fn add_balance(
    tx: &mut Tx,
    actor: &Actor,
    (wallet, sms): (Cents, Cents),
    now: Timestamp,
) -> Result<Listed, ApiError> {
    let before = platform::rest(tx).await?;
    platform::add_balance(tx, wallet, sms, now).await?;
    let after = platform::rest(tx).await?;
    let listed = one(tx).await?;
    let balances = |rest: &Rest| json!({ "walletBalance": rest.platform_balance, "smsBalance": rest.sms_balance });
    let line = Audit {
        before: Some(balances(&before)),
        after: Some(balances(&after)),
        ..Audit::new(
            Action::TenantTopUp,
            "tenant",
            tx.tenant(),
            &listed.business_name,
        )
    };
    audit::record(tx, actor, line, now).await?;
    Ok(listed)
}

/// What the platform changes of a tenant's own data; `None` = unchanged, `Some(None)` = emptied.
#[derive(Default)]
pub struct Settings {
    /// What it calls itself.
    pub business_name: Option<String>,
    /// Where to write to it.
    pub email: Option<auth::Email>,
    /// Free text.
    pub phone: Option<Option<String>>,
    /// Free text.
    pub location: Option<Option<String>>,
    /// By whom its messages are sent.
    pub sms_provider: Option<Option<String>>,
    /// The key there; masked ones are taken out before.
    pub sms_api_key: Option<SecretString>,
    /// The name messages come from.
    pub sms_sender_id: Option<Option<String>>,
}

/// Changes the transaction's tenant's own data.
pub async fn set(
    tx: &mut Tx,
    secrets: &Secrets,
    actor: &Actor,
    settings: &Settings,
    now: Timestamp,
) -> Result<Listed, ApiError> {
    let before = whole(tx).await?;
    let own = SettingsRow {
        business_name: settings.business_name.as_deref(),
        email: settings.email.as_ref().map(auth::Email::as_str),
        phone: settings.phone.as_ref().map(Option::as_deref),
        location: settings.location.as_ref().map(Option::as_deref),
        primary_color: None,
        mac_login: None,
        remembered_macs: None,
        confirm_agents: None,
        session_retention_days: None,
        log_retention_days: None,
        time_zone: None,
        currency: None,
    };
    store::update(tx, &own, now).await?;
    let sealed = match &settings.sms_api_key {
        Some(key) => {
            let sealing = secrets.tenant(tx).await?;
            Some(sealing.seal(SMS_KEY, tx.tenant().0, key.expose_secret().as_bytes()))
        }
        None => None,
    };
    let sms = platform::SmsRow {
        provider: settings.sms_provider.as_ref().map(Option::as_deref),
        api_key_sealed: sealed.as_deref(),
        sender_id: settings.sms_sender_id.as_ref().map(Option::as_deref),
    };
    platform::set_sms(tx, &sms, now).await?;
    let after = whole(tx).await?;
    if before.0.business_name != after.0.business_name {
        edge::changed(tx).await?;
    }
    let said = |(listed, rest, _): &(Listed, Rest, Vec<PersonRow>)| {
        json!({
            "businessName": listed.business_name, "email": listed.email,
            "location": rest.location, "smsProvider": rest.sms_provider,
            "smsSenderId": rest.sms_sender_id,
        })
    };
    let mut is = said(&after);
    // That they are others, never what they are.
    if before.0.phone != after.0.phone {
        is["phone"] = json!("changed");
    }
    if sealed.is_some() {
        is["smsApiKey"] = json!("changed");
    }
    let line = Audit {
        before: Some(said(&before)),
        after: Some(is),
        ..Audit::new(
            Action::SettingsUpdate,
            "tenant",
            tx.tenant(),
            &after.0.business_name,
        )
    };
    audit::record(tx, actor, line, now).await?;
    Ok(after.0)
}

/// Hides the transaction's tenant and cuts everybody of it off: its people, their programs, its boxes.
///
/// Money that arrives for it is still taken and booked. Its rows stay.
pub async fn delete(tx: &mut Tx, actor: &Actor, now: Timestamp) -> Result<(), ApiError> {
    let listed = one(tx).await?;
    let stopped = Terms {
        status: auth::TenantStatus::Suspended,
        ..listed.terms()
    };
    platform::set_terms(tx, &stopped, now).await?;
    platform::delete(tx, now).await?;
    auth::sessions::end_tenant(tx).await?;
    crate::sites::revoke_all(tx, now).await?;
    due::at(tx, purge::PURGE, tx.tenant().0, now.plus(purge::KEPT)).await?;
    let line = Audit {
        before: Some(facts(&listed.terms())),
        ..Audit::new(
            Action::TenantDelete,
            "tenant",
            tx.tenant(),
            &listed.business_name,
        )
    };
    audit::record(tx, actor, line, now).await?;
    Ok(())
}

/// Who signs in as this operator, and as what; 404 when the transaction's tenant has no such operator.
pub async fn person(tx: &mut Tx, person: OperatorId) -> Result<PersonRow, ApiError> {
    let people = platform::people(tx).await?;
    let found = people.into_iter().find(|row| row.id == person);
    found.ok_or(ApiError::NotFound("user"))
}

/// Under which name a tenant's key for messages is sealed.
const SMS_KEY: &str = "tenants.sms_api_key";

/// What the trail keeps of what was agreed.
fn facts(terms: &Terms) -> Value {
    json!({
        "status": terms.status,
        "trialEndsAt": terms.trial_ends_at,
        "subscriptionEndsAt": terms.subscription_ends_at,
    })
}
