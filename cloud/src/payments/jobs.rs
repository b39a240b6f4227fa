//! What happens to payments without a request: silent ones are asked after, reports are rescued.

use easyisp_shared::id::{InboxId, IntentId, TenantId};
use easyisp_shared::time::Timestamp;

use super::book;
use super::prompt::PromptError;
use super::provider::Answer;
use super::rules::{Claim, Event, next_query};
use super::settle::{self, RECEIPT_KNOWN, Then};
use super::store::gateways;
use super::store::{self, Intent, Kind, Report, Which};
use super::words::GatewayType;
use super::{Payments, airtel, inquiry, mpesa};
use crate::renewals::RenewError;

/// The kind of the due job that asks the provider about a payment; its subject is the payment.
pub const QUERY: &str = "payments.query";

/// The kind of the due job that works on a report nobody worked on; its subject is the report.
pub const INBOX: &str = "payments.inbox";

impl Payments {
    /// Works on a report. Whoever comes second finds it done.
    pub async fn work(
        &self,
        tenant: TenantId,
        report: InboxId,
        now: Timestamp,
    ) -> Result<(), RenewError> {
        let mut tx = self.db.begin(tenant).await?;
        let waiting = store::waiting(&mut tx, report).await?;
        drop(tx);
        let Some(waiting) = waiting else {
            return Ok(());
        };
        // What is to be asked then is due work, and soon.
        let _: Then = self.work_on(tenant, report, &waiting, now).await?;
        Ok(())
    }

    /// Works on a report by its kind: each provider's own folder knows how.
    pub(super) async fn work_on(
        &self,
        tenant: TenantId,
        id: InboxId,
        report: &Report,
        now: Timestamp,
    ) -> Result<Then, RenewError> {
        match report.kind {
            Kind::StkCallback => mpesa::stk::work(self, tenant, id, now).await,
            Kind::C2bConfirmation => mpesa::c2b::work(self, tenant, id, report, now).await,
            Kind::CentralConfirmation => self.hand_on(tenant, id, report, now).await,
            Kind::C2bValidation => Ok(Then::Rest), // kept as done
            Kind::Result | Kind::TimeOut => mpesa::results::work(self, tenant, id, now).await,
            Kind::AirtelCallback => airtel::door::work(self, tenant, id, now).await,
        }
    }

    /// Asks the provider what became of a payment and books what it says. `Some` = when to ask again.
    pub async fn query(
        &self,
        tenant: TenantId,
        id: IntentId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, PromptError> {
        let mut tx = self.db.begin(tenant).await?;
        let Some(mut intent) = store::lock(&mut tx, Which::Id(id)).await? else {
            return Ok(None);
        };
        let over = intent.expires_at <= now;
        if now.since(intent.created_at) >= std::time::Duration::from_secs(20) {
            let _: Then = settle::apply(&mut tx, &mut intent, Event::Tick { over }, now).await?;
        }
        let worth = intent.push().is_worth_asking();
        let next = next_query(now.since(intent.created_at)).map(|age| intent.created_at.plus(age));
        let Some(checkout) = intent.checkout_request_id.clone().filter(|_| worth) else {
            if worth && next.is_none() {
                intent.needs_review = Some(never_answered(intent.provider));
                store::save(&mut tx, &intent, now).await?;
            }
            tx.commit().await?;
            return Ok(next.filter(|_| worth));
        };
        let keys = gateways::find(&mut tx, intent.gateway_id).await?;
        let account = match keys {
            Some(keys) => self.account(&mut tx, &keys).await?,
            None => return Err(PromptError::NoGateway),
        };
        tx.commit().await?;

        let answer = match self.ask_after(&account, &checkout).await {
            Ok(answer) => answer,
            Err(error) => {
                let provider = intent.provider.name();
                tracing::info!(intent.id = %id, "A query told nothing: {provider} {error}");
                Answer::Pending
            }
        };
        self.settle(tenant, id, answer, next).await
    }

    /// Books what a query said; returns when to ask again.
    async fn settle(
        &self,
        tenant: TenantId,
        id: IntentId,
        answer: Answer,
        next: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, PromptError> {
        let now = self.clock.now();
        let mut tx = self.db.begin(tenant).await?;
        let Some(mut intent) = store::lock(&mut tx, Which::Id(id)).await? else {
            return Ok(None);
        };
        intent.queried_at = Some(now);
        let (event, proven) = match answer {
            Answer::Paid { receipt: None } => (Some(Event::QueryPaid), false),
            // What the provider itself names stands above what anybody claimed before.
            Answer::Paid {
                receipt: Some(receipt),
            } => {
                let amount = Some(intent.amount);
                let mut push = intent.push();
                push.claim = Some(Claim {
                    receipt,
                    amount,
                    paid_at: None,
                });
                intent.set(&push, now);
                (Some(Event::QueryPaid), true)
            }
            Answer::Failed { code } => (Some(Event::QueryFailed { code }), false),
            Answer::Pending => (None, false),
        };
        let claimed = intent.push().claim.map(|claim| claim.receipt);
        let applied = match event {
            Some(event) => settle::apply_as(&mut tx, &mut intent, event, proven, now)
                .await
                .map(|_| ()),
            None => Ok(store::save(&mut tx, &intent, now).await?),
        };
        match applied {
            Ok(()) => {}
            Err(RenewError::ReceiptKnown) => {
                drop(tx);
                return self.known(tenant, id, claimed, next).await;
            }
            Err(error) => return Err(error.into()),
        }
        let again = again(&mut intent, next);
        if again.is_none() && intent.push().is_undecided() {
            if let Some(claim) = intent.push().claim
                && !self.sources.is_empty()
            {
                let gateway = intent.gateway_id;
                inquiry::open_by_itself(&mut tx, gateway, &claim.receipt, now).await?;
            }
            let provider = intent.provider;
            intent
                .needs_review
                .get_or_insert_with(|| never_decided(provider));
            store::save(&mut tx, &intent, now).await?;
        }
        tx.commit().await?;
        Ok(again)
    }
}

impl Payments {
    /// The receipt that a query confirmed was booked before: by a confirmation, or to somebody else.
    async fn known(
        &self,
        tenant: TenantId,
        id: IntentId,
        claimed: Option<String>,
        next: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, PromptError> {
        let now = self.clock.now();
        let mut tx = self.db.begin(tenant).await?;
        if let Some(receipt) = claimed {
            if settle::adopt(&mut tx, id, &receipt, now).await? {
                tx.commit().await?;
                return Ok(None);
            }
            // He has paid, whatever somebody made up under the receipt: M-Pesa's report of it joins the credit.
            let locked = store::lock(&mut tx, Which::Id(id)).await?;
            if let Some(mut intent) = locked
                && book::hearsay(&mut tx, &receipt).await?.is_some()
            {
                let mut push = intent.push();
                push.claim = None;
                intent.set(&push, now);
                let _: Then = settle::apply(&mut tx, &mut intent, Event::QueryPaid, now).await?;
                let again = again(&mut intent, next);
                tx.commit().await?;
                return Ok(again);
            }
        }
        drop(tx);
        settle::review(&self.db, tenant, id, RECEIPT_KNOWN, now).await?;
        Ok(next)
    }
}

fn again(intent: &mut Intent, next: Option<Timestamp>) -> Option<Timestamp> {
    next.filter(|_| intent.push().is_worth_asking())
}

/// What a person reads when a push was never answered and nobody called back.
fn never_answered(provider: GatewayType) -> String {
    let provider = provider.name();
    format!("{provider} never answered this push; look for the payment in the statement")
}

/// What a person reads when the provider decided nothing in a day.
fn never_decided(provider: GatewayType) -> String {
    let provider = provider.name();
    format!("{provider} did not say in a day what became of this; look in the statement")
}
