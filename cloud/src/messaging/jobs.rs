//! Sends what stands in the outbox.

use anyhow::Context;
use easyisp_shared::id::{MessageId, TenantId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};
use jiff::tz::TimeZone;

use crate::config;
use crate::db::Database;
use crate::mail::{self, Mail};
use crate::outbound::http_client;
use crate::turns::Turns;

use super::rules::{Budget, Fate, Heard, Tried, cost, fate, is_about_money, is_uncovered};
use super::sms::SmsGateway;
use super::store::{self, Channel, Outgoing};

/// The kind of the due job that sends a message; its subject is the message.
pub const SEND: &str = "messaging.send";

/// Messages of one tenant under way at once on a node, those about money apart, of the 64 that it sends at once.
pub const AT_ONCE: usize = 16;
/// Texts of one tenant in a day where nothing is configured: more than its customers can all be written to by hand.
const TEXTS: u32 = 20_000;
/// And of one that tries it out: enough to see that they arrive, and too few to be worth an account.
const TRIAL_TEXTS: u32 = 100;

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
    /// How many texts a day go through the gateway, which is the platform's.
    pub budget: Budget,
    /// What a part of a text costs the tenant; `None` = nothing.
    pub price: Option<Cents>,
    /// Whose messages are under way.
    pub turns: Turns<(TenantId, bool)>,
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
        let price = config.price.as_deref().map(Cents::parse).transpose();
        let price = price.context("[sms] price")?;
        Ok(Sender {
            db,
            clock,
            gateway,
            mail,
            budget: Budget {
                trial: config.trial_texts_per_day.unwrap_or(TRIAL_TEXTS).into(),
                others: config.texts_per_day.unwrap_or(TEXTS).into(),
            },
            price,
            turns: Turns::new(AT_ONCE),
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
    let now = sender.clock.now();
    let mut tx = sender.db.begin(tenant).await?;
    let Some(waiting) = store::waiting(&mut tx, message, now).await? else {
        return Ok(None);
    };
    let about_money = is_about_money(&waiting.purpose);
    let _turn = match sender.turns.take((tenant, about_money), now) {
        Ok(turn) => turn,
        Err(again) => return Ok(Some(again)),
    };
    let outgoing = store::take(&mut tx, message).await?;
    tx.commit().await?;
    let Some(outgoing) = outgoing else {
        return Ok(None);
    };

    let texts = if about_money {
        waiting.money
    } else {
        waiting.others
    };
    let cost = sender.price.and_then(|price| cost(&outgoing.body, price));
    let used_up = sender
        .budget
        .is_used_up(waiting.is_trial, texts)
        .or_else(|| is_uncovered(waiting.sms_balance, cost?));
    let (provider, heard) = match (waiting.channel, &sender.gateway, used_up) {
        (Channel::Email, _, _) => ("SMTP", post(&sender.mail, &outgoing).await),
        (Channel::Sms, Some(_), Some(why)) => ("", Heard::Refused(why)),
        (Channel::Sms, Some(gateway), None) => {
            let reference = outgoing.id.to_string();
            let heard = gateway
                .send(&outgoing.recipient, &outgoing.body, &reference)
                .await;
            ("TEXTSMS", heard)
        }
        (Channel::Sms, None, _) => ("", Heard::Refused("no SMS gateway is configured".into())),
    };

    let now = sender.clock.now();
    let zone = TimeZone::get(&waiting.time_zone).unwrap_or(TimeZone::UTC);
    let tried = Tried {
        tries: outgoing.attempts,
        doubtful: waiting.doubtful,
        since: waiting.since,
        purpose: &waiting.purpose,
    };
    let is_doubtful = matches!(heard, Heard::Doubt(_));
    let fate = fate(&tried, heard, &zone, now);
    // It went through the platform's account.
    let went =
        waiting.channel == Channel::Sms && matches!(fate, Fate::Sent { .. } | Fate::Unknown(_));
    let how = (
        is_doubtful,
        went.then(|| (about_money, cost.unwrap_or_default())),
    );
    let mut tx = sender.db.begin(tenant).await?;
    store::settle(&mut tx, message, provider, &fate, how, now).await?;
    tx.commit().await?;
    Ok(match fate {
        Fate::Again { at, .. } => Some(at),
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
            match (
                server.is_there() && !mail::is_final(&error),
                mail::was_not_taken(&error),
            ) {
                (false, _) => Heard::Refused(why),
                (true, true) => Heard::Busy(why),
                (true, false) => Heard::Doubt(why),
            }
        }
    }
}
