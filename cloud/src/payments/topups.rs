//! `/api/tenant/wallet/topup`: a provider pays the platform ahead, by a prompt of the platform's own short code.
//!
//! Nothing is believed but M-Pesa's answer to our own query: there is no callback that credits. A prompt whose asking
//! was not answered has no name to be asked by, and is for a person of the platform (`unknown.rs`).

use axum::extract::State as With;
use easyisp_shared::id::{IntentId, TenantId, TopupId};
use easyisp_shared::money::Cents;
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::mpesa::{self, explain};
use super::prompt::{MOST, PromptError};
use super::provider::{Answer, Prompt, ProviderError};
use super::rules::{NO_ANSWER, WINDOW};
use super::store::topups::{self as store, State};
use super::{Payments, next_query};
use crate::api::{Json, blank};
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::Operator;
use crate::due;
use crate::error::ApiError;
use crate::permission::Permission;
use crate::tenants::governed;

/// The kind of the due job that asks what became of a top-up; its subject is the top-up.
pub const TOP_UP: &str = "payments.topup";

/// How much to pay ahead.
#[derive(Deserialize, ToSchema)]
pub struct TopupRequest {
    /// Whole shillings are asked for: the next one.
    #[serde(default, deserialize_with = "blank::option")]
    amount: Option<Cents>,
    /// Whose phone; the caller's own when absent, else the business's.
    #[serde(default, deserialize_with = "blank::option")]
    phone: Option<String>,
}

/// A prompt that is on its way.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TopupAsked {
    success: bool,
    /// For people.
    message: String,
    /// M-Pesa's name of the prompt, when it told.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkout_request_id: Option<String>,
}

/// `POST /api/tenant/wallet/topup`: puts a prompt of the platform's short code on a phone; what is paid is in the
/// account's `walletBalance` once M-Pesa says so. Open to the owner of an expired account, so that he can pay.
///
/// Errors: 400 `amount` or `phone`, 403 without `settings:licence` or `settings:invoices`, 409 `PROMPT_OPEN` while
/// another one is open, for five minutes at most: what becomes of that one is asked for longer, 422 `PLATFORM_GATEWAY` where the platform takes no money by M-Pesa, 502 and 503 by M-Pesa.
#[utoipa::path(post, path = "/api/tenant/wallet/topup", tag = "Tenant", request_body = TopupRequest,
    responses((status = 200, body = TopupAsked),
        (status = 502, description = "The provider cannot be asked"),
        (status = 504, description = "It did not answer in time")))]
pub async fn top_up(
    operator: Operator,
    With(payments): With<Payments>,
    Json(request): Json<TopupRequest>,
) -> Result<Json<TopupAsked>, ApiError> {
    operator.require_any(&[Permission::SettingsLicence, Permission::SettingsInvoices])?;
    let now = payments.clock.now();
    let amount = request.amount.unwrap_or_default().rounded_up_to_whole();
    if !amount.is_positive() || amount > MOST {
        return Err(PromptError::Amount.into());
    }
    let merchant = payments.platforms_merchant().await?;
    let base = payments.public_url.clone();
    let base = base.ok_or(PromptError::NoPublicUrl)?;
    let mut tx = payments.db.begin(operator.tenant).await?;
    let (own, business) = store::phones(&mut tx, operator.id).await?;
    let wanted = match request.phone {
        Some(typed) => PhoneNumber::parse(&typed),
        None => [own, business]
            .into_iter()
            .flatten()
            .find_map(|typed| PhoneNumber::parse(&typed)),
    };
    let phone = wanted.ok_or(PromptError::NoPhone)?;
    let id = TopupId::new(now, payments.db.entropy());
    let times = (now, now.minus(WINDOW));
    let written = store::insert(&mut tx, id, amount, phone.as_str(), operator.id, times).await?;
    if !written {
        return Err(ApiError::conflict(
            "PROMPT_OPEN",
            "A prompt for a top-up is open already; pay it, or wait until it has ended",
        ));
    }
    let line = Audit {
        details: format!("Asked for {amount} by M-Pesa"),
        ..Audit::new(Action::TenantTopUp, "tenant", operator.tenant, "")
    };
    audit::record(&mut tx, &Actor::from(&operator), line, now).await?;
    due::at(&mut tx, TOP_UP, id, next_from(now, now)).await?;
    tx.commit().await?;

    // Nobody listens there: it is asked after.
    let callback_url = format!("{base}/api/hooks/stk/{id}");
    let prompt = Prompt {
        id: IntentId(id.0),
        phone,
        amount,
        reference: "TOPUP".to_owned(),
        callback_url,
    };
    let worker = payments.clone();
    let asking = payments.tasks.spawn(async move {
        worker
            .ask_for(operator.tenant, id, &merchant, &prompt)
            .await
    });
    // Stopped in between: as if M-Pesa had not answered.
    let checkout_request_id = asking.await.unwrap_or(Ok(None))?;
    Ok(Json(TopupAsked {
        success: true,
        message: format!("Type your PIN on the phone to pay {amount}"),
        checkout_request_id,
    }))
}

fn next_from(created: Timestamp, now: Timestamp) -> Timestamp {
    next_query(now.since(created)).map_or(now, |age| created.plus(age))
}

impl Payments {
    /// Puts the prompt on the phone, and writes down what M-Pesa called it.
    async fn ask_for(
        &self,
        tenant: TenantId,
        id: TopupId,
        merchant: &mpesa::Merchant,
        prompt: &Prompt,
    ) -> Result<Option<String>, PromptError> {
        let answer = self.daraja.push(merchant, prompt).await;
        let now = self.clock.now();
        let mut tx = self.db.begin(tenant).await?;
        let asked = match answer {
            Ok(accepted) => {
                store::note(&mut tx, id, &accepted.checkout_request_id).await?;
                Ok(Some(accepted.checkout_request_id))
            }
            Err(ProviderError::Silent) => Ok(None),
            Err(error) => {
                let why = error.to_string();
                store::end(&mut tx, id, State::Failed, Some(&why), now).await?;
                Err(mpesa::failed(error))
            }
        };
        tx.commit().await?;
        asked
    }

    /// Asks what became of a top-up, and credits what was paid, once. `Some` = when to ask again.
    pub async fn top_up(
        &self,
        tenant: TenantId,
        id: TopupId,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, PromptError> {
        let mut tx = self.db.begin(tenant).await?;
        let topup = store::lock(&mut tx, id).await?;
        let Some(topup) = topup.filter(|topup| topup.state == State::Pending) else {
            return Ok(None);
        };
        drop(tx);
        let answer = match &topup.checkout_request_id {
            None => Answer::Pending, // perhaps it is being asked for at this moment
            Some(checkout) => {
                let merchant = self.platforms_merchant().await?;
                match self.daraja.query(&merchant, checkout).await {
                    Ok(answer) => answer,
                    Err(error) => {
                        tracing::info!(topup.id = %id, "A query told nothing: M-Pesa {error}");
                        Answer::Pending
                    }
                }
            }
        };
        let nameless = topup.checkout_request_id.is_none()
            && now.since(topup.created_at) >= std::time::Duration::from_secs(160);
        let next = next_query(now.since(topup.created_at)).filter(|_| !nameless);
        let mut tx = self.db.begin(tenant).await?;
        let still = store::lock(&mut tx, id).await?;
        if still.is_none_or(|topup| topup.state != State::Pending) {
            return Ok(None);
        }
        match answer {
            Answer::Paid { .. } => {
                store::end(&mut tx, id, State::Done, None, now).await?;
                governed::add_balance(&mut tx, &Actor::system(), (topup.amount, Cents::ZERO), now)
                    .await
                    .map_err(|error| {
                        PromptError::Platform(format!("nothing is credited: {error:?}"))
                    })?;
            }
            // Nobody typed his PIN so far. M-Pesa may take it late and tell nobody: it is asked on, and another prompt
            // may be put on the phone meanwhile.
            Answer::Failed { code: NO_ANSWER } if next.is_some() => {
                store::free(&mut tx, id, explain(NO_ANSWER)).await?;
                tx.commit().await?;
                return Ok(next.map(|age| topup.created_at.plus(age)));
            }
            Answer::Failed { code } if code != NO_ANSWER => {
                store::end(&mut tx, id, State::Failed, Some(explain(code)), now).await?;
            }
            Answer::Pending | Answer::Failed { .. } => {
                if let Some(age) = next {
                    return Ok(Some(topup.created_at.plus(age)));
                }
                let why = "M-Pesa does not say whether it was paid; the platform's statement does";
                store::end(&mut tx, id, State::Unknown, Some(why), now).await?;
            }
        }
        tx.commit().await?;
        Ok(None)
    }
}
