//! Sends what stands in the outbox.

use std::time::Duration;

use anyhow::Context;
use easyisp_shared::id::{MessageId, TenantId};
use easyisp_shared::time::{Clock, Timestamp};

use crate::config;
use crate::db::Database;
use crate::outbound::http_client;

use super::rules::{Fate, Heard, fate};
use super::sms::SmsGateway;
use super::store;

/// The kind of the due job that sends a message; its subject is the message.
pub const SEND: &str = "messaging.send";

/// How long before a second try.
const PAUSE: Duration = Duration::from_secs(60);

/// What sending needs.
#[derive(Clone, Debug)]
pub struct Sender {
    /// The database.
    pub db: Database,
    /// What time it is.
    pub clock: Clock,
    /// The gateway; without one messages fail and say so.
    pub gateway: Option<SmsGateway>,
}

impl Sender {
    /// As configured: without an address or a key there is no gateway.
    pub fn new(config: &config::Sms, db: Database, clock: Clock) -> anyhow::Result<Sender> {
        let gateway = match (&config.base_url, &config.api_key_file) {
            (Some(base_url), Some(file)) => {
                let key = std::fs::read_to_string(file)
                    .with_context(|| format!("[sms] api_key_file {}", file.display()))?;
                let partner = config.partner_id.clone().unwrap_or_default();
                let sender = config.sender_id.clone().unwrap_or_default();
                Some(SmsGateway::new(
                    http_client(),
                    base_url,
                    key.trim(),
                    partner,
                    sender,
                ))
            }
            (_, _) => None, // nothing to send through
        };
        Ok(Sender { db, clock, gateway })
    }
}

/// Tries one message once. `Some` = when to try again.
///
/// The try is counted before the call, so a crash in between leaves a message of unknown fate, never one
/// that is sent twice.
pub async fn send(
    sender: &Sender,
    tenant: TenantId,
    message: MessageId,
) -> sqlx::Result<Option<Timestamp>> {
    let mut tx = sender.db.begin(tenant).await?;
    let outgoing = store::take(&mut tx, message).await?;
    tx.commit().await?;
    let Some(outgoing) = outgoing else {
        return Ok(None);
    };

    let (provider, heard) = match &sender.gateway {
        Some(gateway) => {
            let reference = outgoing.id.to_string();
            let heard = gateway
                .send(&outgoing.recipient, &outgoing.body, &reference)
                .await;
            ("TEXTSMS", heard)
        }
        None => ("", Heard::Refused("no SMS gateway is configured".into())),
    };

    let fate = fate(outgoing.attempts, heard);
    let now = sender.clock.now();
    let mut tx = sender.db.begin(tenant).await?;
    store::settle(&mut tx, message, provider, &fate, now).await?;
    tx.commit().await?;
    Ok(match fate {
        Fate::Again(_) => Some(now.plus(PAUSE)),
        Fate::Sent { .. } | Fate::Failed(_) | Fate::Unknown(_) => None,
    })
}
