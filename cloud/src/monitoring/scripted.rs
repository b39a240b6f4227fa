//! What a router's script makes of SNMP: how it is watched, and a way of its own for one that is not watched yet.

use easyisp_shared::id::RouterId;
use easyisp_shared::setup::{Password, Snmp};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::monitor::{SnmpAuth, SnmpPrivacy};
use secrecy::SecretString;

use super::rules::{Draft, Way};
use super::store::{self, Sealed};
use super::{AUTH, COMMUNITY, PRIVACY};
use crate::audit::{self, Action, Actor, Audit};
use crate::db::{Kind, Tx};
use crate::error::ApiError;
use crate::routers;
use crate::secrets::{SecretError, Secrets};

/// How a router is entered, in the clear; `None` where it is not watched.
pub async fn entered(
    tx: &mut Tx,
    secrets: &Secrets,
    router: RouterId,
) -> Result<Option<(Snmp, u16)>, ApiError> {
    let Some(stored) = store::find(tx, router).await? else {
        return Ok(None);
    };
    let key = secrets.tenant(tx).await?;
    let open = |column: &str, sealed: &Option<Vec<u8>>| -> Result<SecretString, ApiError> {
        let Some(sealed) = sealed else {
            return Ok(SecretString::default());
        };
        let clear = key
            .open(column, router.0, sealed)
            .map_err(SecretError::from)?;
        let clear = std::str::from_utf8(&clear).map_err(ApiError::internal)?;
        Ok(clear.into())
    };
    let draft = stored.draft();
    let snmp = match draft.way {
        Way::Community => Snmp::Community(open(COMMUNITY, &stored.community_sealed)?),
        Way::User {
            name,
            auth,
            privacy,
        } => Snmp::User {
            name,
            auth: match auth {
                Some(by) => Some(Password {
                    by,
                    password: open(AUTH, &stored.auth_sealed)?,
                }),
                None => None,
            },
            privacy: match privacy {
                Some(by) => Some(Password {
                    by,
                    password: open(PRIVACY, &stored.privacy_sealed)?,
                }),
                None => None,
            },
        },
    };
    Ok(Some((snmp, u16::try_from(draft.port).unwrap_or(161))))
}

/// Has a router watched that is not yet: by a user of its own who signs and enciphers as both releases of RouterOS can.
///
/// Locks the router until the transaction ends.
pub async fn watch(
    tx: &mut Tx,
    secrets: &Secrets,
    router: RouterId,
    actor: &Actor,
    now: Timestamp,
) -> Result<(), ApiError> {
    let name = routers::lock_named(tx, router).await?;
    let name = name.ok_or(ApiError::NotFound("router"))?;
    if store::find(tx, router).await?.is_some() {
        return Ok(());
    }
    let entropy = tx.entropy();
    let suffix: String = routers::random_secret(&entropy).chars().take(6).collect();
    let draft = Draft {
        port: 161,
        interval_secs: 60,
        way: Way::User {
            name: format!("easyisp-{suffix}"),
            auth: Some(SnmpAuth::Sha1),
            privacy: Some(SnmpPrivacy::Aes128),
        },
    };
    let key = secrets.tenant(tx).await?;
    let seal = |column: &str| {
        let clear = routers::random_secret(&entropy);
        Some(key.seal(column, router.0, clear.as_bytes()))
    };
    let sealed = Sealed {
        community: None,
        auth: seal(AUTH),
        privacy: seal(PRIVACY),
    };
    store::put(tx, router, &draft, &sealed, now).await?;
    tx.changed(Kind::Monitored, router);
    let audit = Audit {
        details: "SNMP, by a user of its script".to_owned(),
        ..Audit::new(Action::RouterMonitor, "router", router, &name)
    };
    audit::record(tx, actor, audit, now).await?;
    Ok(())
}
