//! The platform's own short code: its keys stand in the server's settings, and it collects for those tenants for whom
//! the platform's people switched that on. Each of them has it as a gateway without keys of its own. The platform's own
//! tenant has it as one too, hidden: its door is where M-Pesa tells of money that nobody was asked for.

use std::path::{Path, PathBuf};

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::GatewayId;
use easyisp_shared::time::Timestamp;
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use super::super::Payments;
use super::super::gateways::new_gateway;
use super::super::prompt::PromptError;
use super::super::store::gateways::{self as store, Keys};
use super::super::words::{Env, SubType};
use super::Merchant;
use crate::config;
use crate::db::Tx;
use crate::secrets::SecretError;

/// The platform's short code, as the settings have it.
pub(in super::super) struct Central {
    pub(in super::super) shortcode: String,
    pub(in super::super) env: Env,
    pub(in super::super) initiator: String,
    consumer_key: PathBuf,
    consumer_secret: PathBuf,
    passkey: PathBuf,
    initiator_password: PathBuf,
}

impl Central {
    /// As configured; `None` = the platform has none.
    pub(in super::super) fn of(settings: &config::Mpesa) -> Option<Central> {
        Some(Central {
            shortcode: settings.shortcode.clone()?,
            env: match settings.sandbox {
                true => Env::Sandbox,
                false => Env::Production,
            },
            initiator: settings.initiator_name.clone()?,
            consumer_key: settings.consumer_key_file.clone()?,
            consumer_secret: settings.consumer_secret_file.clone()?,
            passkey: settings.passkey_file.clone()?,
            initiator_password: settings.initiator_password_file.clone()?,
        })
    }
}

/// The platform's short code as a gateway of the transaction's tenant, locked, and as the settings have it: a new one
/// where there is none. `off_since` = nothing is asked for through it.
pub(in super::super) async fn stand(
    payments: &Payments,
    entropy: &Entropy,
    tx: &mut Tx,
    central: &Central,
    off_since: Option<Timestamp>,
    now: Timestamp,
) -> Result<Keys, SecretError> {
    let mut gateway = match store::lock_platform(tx).await? {
        Some(known) => known,
        None => {
            let key = payments.secrets.tenant(tx).await?;
            let token = hex::encode(entropy.bytes::<32>());
            let mut new = new_gateway(&key, GatewayId::new(now, entropy), &token, now);
            new.name = Some("The platform's".to_owned());
            new.platform = true;
            store::insert(tx, &new, &Sha256::digest(token.as_bytes()).into()).await?;
            new
        }
    };
    if (&gateway.shortcode, gateway.env) != (&central.shortcode, central.env) {
        (gateway.c2b_registered_at, gateway.c2b_asked_at) = (None, None);
        gateway.pull_registered_at = None;
    }
    gateway.shortcode.clone_from(&central.shortcode);
    gateway.env = central.env;
    gateway.initiator_name = Some(central.initiator.clone());
    gateway.updated_at = now;
    store::set_platform(tx, &gateway, off_since).await?;
    Ok(gateway)
}

impl Payments {
    /// A gateway's merchant: its own keys opened, or the platform's read.
    pub(in super::super) async fn merchant(
        &self,
        tx: &mut Tx,
        keys: &Keys,
    ) -> Result<Merchant, PromptError> {
        if !keys.platform {
            return Ok(store::merchant(&self.secrets, tx, keys).await?);
        }
        merchant_of(self.central_of(keys)?).await
    }

    /// The platform's short code, for what is paid to the platform itself.
    pub(in super::super) async fn platforms_merchant(&self) -> Result<Merchant, PromptError> {
        let central = self.central.as_deref();
        let none =
            || PromptError::Platform("[mpesa] shortcode is not set on the server".to_owned());
        merchant_of(central.ok_or_else(none)?).await
    }

    /// The password of a gateway's initiator; `None` when there is none.
    pub(in super::super) async fn initiator_password(
        &self,
        tx: &mut Tx,
        keys: &Keys,
    ) -> Result<Option<SecretString>, PromptError> {
        if !keys.platform {
            return Ok(store::initiator_password(&self.secrets, tx, keys).await?);
        }
        let file = &self.central_of(keys)?.initiator_password;
        read("initiator_password_file", file).await.map(Some)
    }

    /// The settings that a tenant's gateway stands for. They may have been changed since: what was asked for at
    /// another short code is not asked after at this one.
    fn central_of(&self, keys: &Keys) -> Result<&Central, PromptError> {
        let no = |why: &str| PromptError::Platform(why.to_owned());
        let central = self.central.as_deref();
        let central = central.ok_or_else(|| no("[mpesa] shortcode is not set on the server"))?;
        match central.shortcode == keys.shortcode && central.env == keys.env {
            true => Ok(central),
            false => Err(no(
                "[mpesa] shortcode of the server is another one now; the platform must save its settings for this \
                 provider again",
            )),
        }
    }
}

async fn merchant_of(central: &Central) -> Result<Merchant, PromptError> {
    Ok(Merchant {
        env: central.env,
        kind: SubType::Paybill,
        shortcode: central.shortcode.clone(),
        store_number: None,
        key: read("consumer_key_file", &central.consumer_key).await?,
        secret: read("consumer_secret_file", &central.consumer_secret).await?,
        passkey: read("passkey_file", &central.passkey).await?,
    })
}

async fn read(setting: &str, file: &Path) -> Result<SecretString, PromptError> {
    let text = tokio::fs::read_to_string(file).await;
    let text = text.map_err(|error| {
        tracing::warn!(%error, "Cannot read [mpesa] {setting}");
        PromptError::Platform(format!("[mpesa] {setting} of the server cannot be read"))
    })?;
    Ok(text.trim_end().to_owned().into())
}
