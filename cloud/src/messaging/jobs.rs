//! Sends what stands in the outbox.

use std::time::Duration;

use anyhow::Context;
use easyisp_shared::id::{MessageId, TenantId};
use easyisp_shared::time::{Clock, Timestamp};

use crate::config;
use crate::db::Database;
use crate::mail::{self, Mail};
use crate::outbound::http_client;

use super::rules::{Fate, Heard, fate};
use super::sms::SmsGateway;
use super::store::{self, Channel, Outgoing};

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
    /// The mail server.
    pub mail: Mail,
}

impl Sender {
    /// As configured: without an address or a key there is no gateway.
    pub fn new(
        config: &config::Sms,
        mail: Mail,
        db: Database,
        clock: Clock,
    ) -> anyhow::Result<Sender> {
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
        Ok(Sender {
            db,
            clock,
            gateway,
            mail,
        })
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

    let (provider, heard) = match (outgoing.channel, &sender.gateway) {
        (Channel::Email, _) => ("SMTP", post(&sender.mail, &outgoing).await),
        (Channel::Sms, Some(gateway)) => {
            let reference = outgoing.id.to_string();
            let heard = gateway
                .send(&outgoing.recipient, &outgoing.body, &reference)
                .await;
            ("TEXTSMS", heard)
        }
        (Channel::Sms, None) => ("", Heard::Refused("no SMS gateway is configured".into())),
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

/// Hands a letter to the mail server. One that does not answer may have it: a letter that comes twice does less harm
/// than one that does not come.
async fn post(server: &Mail, outgoing: &Outgoing) -> Heard {
    let (subject, body) = outgoing
        .body
        .split_once('\n')
        .unwrap_or((&outgoing.body, ""));
    let sent = server.send(&outgoing.recipient, subject, body.to_owned());
    match sent.await {
        Ok(()) => Heard::Accepted { id: None },
        Err(error) => {
            let why: String = format!("{error:#}").chars().take(200).collect();
            match server.is_there() && !mail::is_final(&error) {
                true => Heard::Busy(why),
                false => Heard::Refused(why),
            }
        }
    }
}
