//! Asks M-Pesa every ten minutes what has moved, where it answers that: money that no callback told of is
//! found and booked like any other.

use std::time::Duration;

use easyisp_shared::id::{GatewayId, OperatorId, TenantId};
use easyisp_shared::time::Timestamp;
use secrecy::ExposeSecret;

use super::super::Payments;
use super::super::arrival::Arrival;
use super::super::book::{self, Booking, HEARSAY, Trust};
use super::super::owner::Keys;
use super::super::prompt::PromptError;
use super::super::provider::ProviderError;
use super::super::store::arrivals;
use super::super::store::gateways as store;
use super::c2b::door;
use super::register;
use super::{Merchant, failed};
use crate::db::Tx;
use crate::renewals::RenewError;

/// The kind of the due job that asks what has moved; its subject is the gateway.
pub const PULL: &str = "payments.pull";

/// How often is asked.
const EVERY: Duration = Duration::from_secs(600);
/// How much of what was asked for is asked for again: M-Pesa books late.
const OVERLAP: Duration = Duration::from_secs(900);
/// How far back M-Pesa knows: two days, and a margin for the call.
const REACH: Duration = Duration::from_secs(48 * 3_600 - 300);
/// How much time one question spans. What was asked for whole is not asked for again after a failure.
const SPAN: Duration = Duration::from_secs(6 * 3_600);
/// After so many pages the spans that are left wait for the next run, which follows at once.
const MANY_PAGES: usize = 40;
/// Most pages of one span: a provider that never ends is not followed.
const MOST_PAGES: usize = 2_000;

/// What is to be pulled.
struct Pulling {
    merchant: Merchant,
    callback_url: String,
    number: String,
    registered: bool,
    from: Timestamp,
    since: Timestamp,
    /// It is the platform's own short code: whose money comes there is to be found.
    central: bool,
}

impl Payments {
    /// Asks what has moved to a gateway since the last time and books what is not known. `Some` = when to ask
    /// again; `None` when it is switched off.
    pub async fn pull(
        &self,
        tenant: TenantId,
        gateway: GatewayId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, PromptError> {
        let Some(pulling) = self.pulling(tenant, gateway, now).await? else {
            return Ok(None);
        };
        match self.pull_all(tenant, gateway, &pulling, now).await {
            Ok(true) => Ok(Some(now.plus(EVERY))),
            Ok(false) => Ok(Some(now)),
            Err(error @ PromptError::Provider(..)) => {
                tracing::warn!(gateway.id = %gateway, "It is not told what has moved: {error}");
                Ok(Some(now.plus(EVERY)))
            }
            Err(error) => Err(error),
        }
    }

    async fn pulling(
        &self,
        tenant: TenantId,
        gateway: GatewayId,
        now: Timestamp,
    ) -> Result<Option<Pulling>, PromptError> {
        let mut tx = self.db.begin(tenant).await?;
        let Some(mut keys) = store::lock_to_pull(&mut tx, gateway).await? else {
            return Ok(None);
        };
        let base = self.public_url.as_deref();
        let base = base.ok_or(PromptError::NoPublicUrl)?;
        let entropy = tx.entropy();
        let token = register::token(&self.secrets, &entropy, &mut tx, &mut keys, false).await?;
        let door = door(base, token.expose_secret()).map_err(PromptError::PublicUrlRefused)?;
        let merchant = self.merchant(&mut tx, &keys).await?;
        tx.commit().await?;
        let from = keys.pulled_until.map(|until| until.minus(OVERLAP));
        Ok(Some(Pulling {
            merchant,
            callback_url: door.confirmation,
            number: keys.pull_number.unwrap_or_default(),
            registered: keys.pull_registered_at.is_some(),
            central: keys.platform,
            from: from
                .unwrap_or(keys.created_at)
                .max(now.minus(REACH))
                .max(keys.created_at)
                .min(now),
            since: keys.created_at,
        }))
    }

    /// Whether everything was asked for.
    async fn pull_all(
        &self,
        tenant: TenantId,
        gateway: GatewayId,
        pulling: &Pulling,
        now: Timestamp,
    ) -> Result<bool, PromptError> {
        if !pulling.registered {
            let (number, url) = (&pulling.number, &pulling.callback_url);
            match self
                .daraja
                .register_pull(&pulling.merchant, number, url)
                .await
            {
                Ok(()) | Err(ProviderError::Registered(_)) => {}
                Err(error) => return Err(failed(error)),
            }
            let mut tx = self.db.begin(tenant).await?;
            store::pull_registered(&mut tx, gateway, now).await?;
            tx.commit().await?;
        }
        let (mut from, mut pages) = (pulling.from, 0);
        // What was not read or booked is asked for again, and is no obstacle to what moved after it.
        let mut whole = true;
        loop {
            let to = from.plus(SPAN).min(now);
            let mut offset = 0;
            for nth in 0..=MOST_PAGES {
                // A gateway that was set up at this moment: nothing has moved yet.
                if from == to {
                    break;
                }
                if nth == MOST_PAGES {
                    tracing::warn!(gateway.id = %gateway, "M-Pesa tells of more and more that has moved");
                    whole = false;
                    break;
                }
                pages += 1;
                let page = self
                    .daraja
                    .pull(&pulling.merchant, from, to, offset)
                    .await
                    .map_err(failed)?;
                if page.rows == 0 {
                    break;
                }
                if page.unreadable > 0 {
                    tracing::warn!(
                        gateway.id = %gateway,
                        "{} of {} rows that M-Pesa says have moved cannot be read; look in the statement",
                        page.unreadable,
                        page.rows
                    );
                }
                // Where nothing can be read, it is asked for again.
                whole &= page.unreadable < page.rows;
                offset += page.rows;
                whole &= self
                    .book_all(tenant, gateway, page.arrivals, pulling, now)
                    .await?;
            }
            if whole {
                let mut tx = self.db.begin(tenant).await?;
                store::pulled(&mut tx, gateway, to).await?;
                tx.commit().await?;
            }
            from = to;
            if from >= now || whole && pages >= MANY_PAGES {
                return Ok(from >= now);
            }
        }
    }

    /// Books those of them that are not known, each by itself. What moved before the gateway was ours is nothing of ours.
    /// Whether all of them are booked: one that cannot be is no obstacle to the others.
    async fn book_all(
        &self,
        tenant: TenantId,
        gateway: GatewayId,
        arrivals: Vec<Arrival>,
        pulling: &Pulling,
        now: Timestamp,
    ) -> Result<bool, RenewError> {
        let receipts: Vec<String> = arrivals
            .iter()
            .map(|arrival| arrival.receipt.clone())
            .collect();
        let mut tx = self.db.begin(tenant).await?;
        let known = arrivals::known(&mut tx, gateway, &receipts, &HEARSAY).await?;
        drop(tx);
        let ours = |arrival: &Arrival| arrival.paid_at.is_none_or(|at| at >= pulling.since);
        let mut failed = 0_usize;
        for arrival in arrivals {
            if !ours(&arrival) || known.contains(&arrival.receipt) {
                continue;
            }
            let booked = match pulling.central {
                true => self.place(tenant, gateway, &arrival, now).await,
                false => {
                    let booked = self.book_one(tenant, gateway, &arrival, None, now);
                    booked.await.map(|_| ())
                }
            };
            if let Err(cause) = booked {
                failed += 1;
                tracing::warn!(%cause, gateway.id = %gateway, "Cannot book {}", arrival.receipt);
            }
        }
        if failed > 0 {
            tracing::warn!(gateway.id = %gateway, "{failed} payments cannot be booked; they are tried again");
        }
        Ok(failed == 0)
    }

    /// Books money that we asked after (`by`: that this person's statement has), unless it is known.
    pub(in super::super) async fn book_one(
        &self,
        tenant: TenantId,
        gateway: GatewayId,
        arrival: &Arrival,
        by: Option<OperatorId>,
        now: Timestamp,
    ) -> Result<Booking, RenewError> {
        let mut tx = self.db.begin(tenant).await?;
        match book_in(&mut tx, gateway, arrival, Trust::Asked(by), now).await {
            Ok(what) => {
                tx.commit().await?;
                Ok(what)
            }
            Err(RenewError::ReceiptKnown) => Ok(Booking::Known),
            Err(error) => Err(error),
        }
    }
}

/// Books money in this transaction, unless it is known; what is told on nobody's word changes nothing that is.
///
/// # Errors
/// [`RenewError::ReceiptKnown`] when it was booked meanwhile: the transaction is then spent.
pub(in super::super) async fn book_in(
    tx: &mut Tx,
    gateway: GatewayId,
    arrival: &Arrival,
    trust: Trust,
    now: Timestamp,
) -> Result<Booking, RenewError> {
    let keys = Keys::of(arrival);
    let found = arrivals::find(tx, gateway, arrival, &keys, book::since(now)).await?;
    match (found, trust) {
        (None, _) => Ok(Booking::Elsewhere),
        (Some(found), Trust::Held(_)) if found.known => Ok(Booking::Known),
        (Some(found), _) if found.known => {
            book::confirm(tx, gateway, found, arrival, &keys, trust, now).await
        }
        // No prompt is asked after: who is believed is, and who is not names none.
        (Some(found), _) => {
            let booked = book::book(tx, gateway, found, arrival, &keys, trust, now);
            booked.await.map(|_| Booking::Booked)
        }
    }
}
