//! Sends what stands in the outbox, one delivery a try.

use std::time::Duration;

use anyhow::Context;
use easyisp_shared::id::{DeliveryId, TenantId};
use easyisp_shared::time::{Clock, Timestamp};
use reqwest::header::{CONTENT_TYPE, USER_AGENT};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::SecretString;

use super::SECRET;
use super::event::EventKind;
use super::rules::{DEAF, Fate, Heard, fate, plain, signature};
use super::store;
use super::store::deliveries::{self, Outgoing};
use super::words::State;
use crate::audit::{self, Action, Actor, Audit};
use crate::config;
use crate::db::{Database, Tx};
use crate::outbound::{self, Reach};
use crate::secrets::{SecretError, Secrets};
use crate::turns::Turns;

/// How long an address may take for all of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Deliveries of one tenant under way at once, of the 64 that a node sends at once.
const AT_ONCE: usize = 8;
/// How much is read of an answer: what is kept of it.
const MOST_BYTES: usize = 1024;

/// What sending needs. Cloning shares it.
#[derive(Clone)]
pub struct Hooks {
    db: Database,
    clock: Clock,
    secrets: Secrets,
    http: reqwest::Client,
    /// How far addresses may lead.
    pub reach: Reach,
    turns: Turns<TenantId>,
}

impl Hooks {
    /// As configured.
    pub fn new(
        config: &config::Webhooks,
        db: Database,
        clock: Clock,
        secrets: Secrets,
    ) -> anyhow::Result<Hooks> {
        let reach = match config.allow_private {
            true => Reach::Anywhere,
            false => Reach::Public,
        };
        let authorities = match &config.ca_file {
            Some(file) => CertificateDer::pem_file_iter(file)
                .and_then(|found| found.collect::<Result<Vec<_>, _>>())
                .with_context(|| format!("[webhooks] ca_file {}", file.display()))?,
            None => Vec::new(),
        };
        Ok(Hooks {
            db,
            clock,
            secrets,
            http: outbound::typed_client(reach, &authorities).context("[webhooks] ca_file")?,
            reach,
            turns: Turns::new(AT_ONCE),
        })
    }
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hooks({:?})", self.reach)
    }
}

/// Tries one delivery once. `Some` = when to try again.
///
/// The try is counted before the call; a crash in between is followed by another one, so an address may hear
/// an event twice and never not at all.
pub async fn send(
    hooks: &Hooks,
    tenant: TenantId,
    delivery: DeliveryId,
) -> Result<Option<Timestamp>, SecretError> {
    let now = hooks.clock.now();
    let _turn = match hooks.turns.take(tenant, now) {
        Ok(turn) => turn,
        Err(again) => return Ok(Some(again)),
    };
    let mut tx = hooks.db.begin(tenant).await?;
    let Some(outgoing) = deliveries::take(&mut tx, delivery, now).await? else {
        let off = Heard {
            error: Some("The webhook is switched off".to_owned()),
            ..Heard::default()
        };
        deliveries::settle(&mut tx, (delivery, None), State::Failed, &off, None, now).await?;
        tx.commit().await?;
        return Ok(None);
    };
    let secrets = open(hooks, &mut tx, &outgoing).await?;
    tx.commit().await?;

    let heard = call(hooks, delivery, &outgoing, &secrets, now).await;

    let now = hooks.clock.now();
    let tries = u32::try_from(outgoing.tries).unwrap_or(u32::MAX);
    let mut tx = hooks.db.begin(tenant).await?;
    let kind = EventKind::parse(&outgoing.event);
    let fate = fate(kind, tries, &heard, tx.entropy().below(u64::MAX));
    let (state, next) = match fate {
        Fate::Delivered => (State::Delivered, None),
        Fate::Again(rest) => (State::Pending, Some(now.plus(rest))),
        Fate::Failed | Fate::Gone => (State::Failed, None),
    };
    let this = (delivery, Some(outgoing.tries));
    deliveries::settle(&mut tx, this, state, &heard, next, now).await?;
    note(&mut tx, &outgoing, kind, fate, now).await?;
    tx.commit().await?;
    Ok(next)
}

/// The secrets that sign: the new one first.
async fn open(
    hooks: &Hooks,
    tx: &mut Tx,
    outgoing: &Outgoing,
) -> Result<Vec<SecretString>, SecretError> {
    let key = hooks.secrets.tenant(tx).await?;
    let mut secrets = Vec::new();
    let sealed = [
        Some(&outgoing.secret_sealed),
        outgoing.previous_secret_sealed.as_ref(),
    ];
    for sealed in sealed.into_iter().flatten() {
        let clear = key.open(SECRET, outgoing.webhook_id.0, sealed)?;
        secrets.push(String::from_utf8_lossy(&clear).into_owned().into());
    }
    Ok(secrets)
}

async fn call(
    hooks: &Hooks,
    delivery: DeliveryId,
    outgoing: &Outgoing,
    secrets: &[SecretString],
    now: Timestamp,
) -> Heard {
    let failed = |why: String| Heard {
        error: Some(why),
        ..Heard::default()
    };
    // The settings may have changed since the address was typed.
    let url = match outbound::typed(&outgoing.url, hooks.reach) {
        Ok(url) => url,
        Err(unfit) => return failed(format!("The address {unfit}")),
    };
    let request = hooks
        .http
        .post(url)
        .timeout(PATIENCE)
        .header(CONTENT_TYPE, "application/json")
        .header(
            USER_AGENT,
            concat!("EasyISP-Webhooks/", env!("CARGO_PKG_VERSION")),
        )
        .header("EasyISP-Event", &outgoing.event)
        .header("EasyISP-Delivery", delivery.to_string())
        .header(
            "EasyISP-Signature",
            signature(secrets, &outgoing.payload, now),
        )
        .body(outgoing.payload.clone());
    match request.send().await {
        Ok(answer) => read(answer).await,
        Err(error) => failed(match outbound::unfit(&error) {
            Some(unfit) => format!("The address {unfit}"),
            None if error.is_timeout() => format!("No answer within {} s", PATIENCE.as_secs()),
            None if error.is_connect() => format!("No connection: {}", root(&error)),
            None => format!("The call was cut: {}", root(&error)),
        }),
    }
}

async fn read(mut answer: reqwest::Response) -> Heard {
    let status = answer.status();
    let mut body = Vec::new();
    // The status says it all; a body that is cut off or endless changes nothing.
    while body.len() < MOST_BYTES
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        body.extend_from_slice(&chunk[..chunk.len().min(MOST_BYTES - body.len())]);
    }
    let error = match status.as_u16() {
        200..=299 => None,
        300..=399 => Some(format!("Answered {status}; redirects are not followed")),
        _ => Some(format!("Answered {status}")),
    };
    Heard {
        status: Some(status.as_u16()),
        error,
        body: plain(&body),
    }
}

/// The cause at the bottom: what stands above it repeats the address, which may hold a secret.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    plain(cause.to_string().as_bytes())
}

/// Notes at the webhook how it does, and switches it off when it has been deaf for too long: when an event
/// was tried to its end and nothing else got through either. What an address says that the webhook does not
/// have any more is not its.
async fn note(
    tx: &mut Tx,
    outgoing: &Outgoing,
    kind: Option<EventKind>,
    fate: Fate,
    now: Timestamp,
) -> sqlx::Result<()> {
    let webhook = outgoing.webhook_id;
    let called = (webhook, outgoing.url.as_str());
    let (reason, deaf_since) = match fate {
        Fate::Delivered => return store::heals(tx, called).await,
        Fate::Gone => ("The address answered 410: it is gone", None),
        // A ping that fails is no event that was missed.
        Fate::Again(_) | Fate::Failed if kind.is_none() => return Ok(()),
        Fate::Again(_) => return store::fails(tx, called, now).await,
        Fate::Failed => {
            store::fails(tx, called, now).await?;
            (
                "Nothing has got through for three days",
                Some(now.minus(DEAF)),
            )
        }
    };
    if store::switch_off(tx, called, reason, deaf_since, now).await? {
        let name = outbound::origin(&outgoing.url);
        let line = Audit {
            details: reason.to_owned(),
            ..Audit::new(Action::WebhookOff, "webhook", webhook, &name)
        };
        audit::record(tx, &Actor::system(), line, now).await?;
        tracing::info!(webhook.id = %webhook, "Switched off webhook {webhook}: {reason}");
    }
    Ok(())
}
