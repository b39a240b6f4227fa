//! Asking for a payment: written down, then asked for once, whatever happens in between.

use std::time::Duration;

use easyisp_shared::id::{CustomerId, GatewayId, IntentId, TenantId};
use easyisp_shared::money::Cents;
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::Timestamp;
use secrecy::ExposeSecret;

use super::Payments;
use super::mpesa::stk::OTHER_PROMPT;
use super::provider::{Accepted, Prompt, ProviderError};
use super::rules::{Event, State, WINDOW};
use super::settle;
use super::store::gateways::{self, Keys};
use super::store::{self, First, NewIntent, Which};
use super::words::GatewayType;
use crate::audit::{self, Action, Actor, Audit};
use crate::error::ApiError;
use crate::renewals::{self, RenewError};
use crate::secrets::SecretError;

/// What somebody wants to be paid.
#[derive(Clone, Debug)]
pub struct Wish {
    /// By whom.
    pub customer: CustomerId,
    /// How much; M-Pesa is asked for the next whole shilling.
    pub amount: Cents,
    /// On which phone; the customer's own when absent.
    pub phone: Option<PhoneNumber>,
    /// The client's name for this request, for repeats.
    pub client_key: Option<String>,
    /// Through which gateway; the one that fits the phone and how he is connected when absent.
    pub gateway: Option<GatewayId>,
    /// Who asks, for the trail.
    pub by: Actor,
}

/// A prompt that was asked for, now or before.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Our id of it.
    pub intent: IntentId,
    /// M-Pesa's id of it, when M-Pesa told.
    pub checkout_request_id: Option<String>,
}

/// Why there is no prompt.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// This tenant has no such customer.
    #[error("no such customer")]
    UnknownCustomer,
    /// The customer has no phone that M-Pesa knows.
    #[error("must be a Kenyan mobile number such as 0712345678")]
    NoPhone,
    /// Less than a shilling or more than M-Pesa moves at once.
    #[error("must be between 1 and 250000")]
    Amount,
    /// No gateway is set up.
    #[error("no payment gateway is set up; add one under payment gateways")]
    NoGateway,
    /// The platform's short code cannot be used.
    #[error("the platform's short code cannot be used: {0}")]
    Platform(String),
    /// The server does not know its own address, so M-Pesa could not call back.
    #[error("the server has no public address: set [http] public_url")]
    NoPublicUrl,
    /// M-Pesa takes no address with this word in it.
    #[error(
        "M-Pesa takes no address with \"{0}\" in it; set [http] public_url to a name without it"
    )]
    PublicUrlRefused(&'static str),
    /// Nobody is set up who asks in the short code's name.
    #[error(
        "this short code has no initiator; set initiatorName and initiatorPassword of the payment gateway"
    )]
    NoInitiator,
    /// Nobody's answer would be believed.
    #[error(
        "M-Pesa's answers are believed from its own addresses alone: list them in [mpesa] sources"
    )]
    NoSources,
    /// The initiator's password cannot be encrypted.
    #[error("the certificate of M-Pesa cannot be used: {0}")]
    Certificate(String),
    /// A prompt of somebody else is open on this phone.
    #[error("another prompt is open on this phone")]
    PhoneBusy,
    /// Another prompt of this customer is open.
    #[error(
        "a prompt for {0} is open for this customer; wait until it is paid or five minutes old"
    )]
    OtherOpen(Cents),
    /// The client's key named another request before.
    #[error("this Idempotency-Key was used with another request; use a new key")]
    KeyReused,
    /// Too many prompts.
    #[error("too many prompts")]
    TooMany(Duration),
    /// The provider, by its name, did not take it.
    #[error("{0} {1}")]
    Provider(&'static str, ProviderError),
    /// The prompt was refused before.
    #[error("{0}")]
    Refused(String),
    /// The database did not do it.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A key does not open.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The books did not take it.
    #[error(transparent)]
    Renew(#[from] RenewError),
}

impl From<PromptError> for ApiError {
    fn from(error: PromptError) -> ApiError {
        let message = error.to_string();
        match error {
            PromptError::UnknownCustomer => ApiError::NotFound("customer"),
            PromptError::NoPhone => ApiError::field("phone", message),
            PromptError::Amount => ApiError::field("amount", message),
            PromptError::NoGateway => ApiError::unprocessable("NO_GATEWAY", message),
            PromptError::Platform(_) => ApiError::unprocessable("PLATFORM_GATEWAY", message),
            PromptError::NoPublicUrl => ApiError::unprocessable("NO_PUBLIC_URL", message),
            PromptError::PublicUrlRefused(_) => {
                ApiError::unprocessable("PUBLIC_URL_REFUSED", message)
            }
            PromptError::NoInitiator => ApiError::unprocessable("NO_INITIATOR", message),
            PromptError::NoSources => ApiError::unprocessable("NO_SOURCES", message),
            PromptError::Certificate(_) => ApiError::unprocessable("NO_CERTIFICATE", message),
            PromptError::PhoneBusy => ApiError::conflict("PROMPT_OPEN", message),
            PromptError::OtherOpen(_) => ApiError::conflict("PROMPT_OPEN", message),
            PromptError::KeyReused => ApiError::conflict("IDEMPOTENCY_KEY_REUSED", message),
            PromptError::TooMany(retry_after) => ApiError::TooManyRequests { retry_after },
            PromptError::Provider(
                _,
                ProviderError::Refused(_)
                | ProviderError::Credentials(_)
                | ProviderError::Registered(_)
                | ProviderError::NoProduct(_),
            )
            | PromptError::Refused(_) => ApiError::BadGateway { message },
            PromptError::Provider(_, ProviderError::Busy(_) | ProviderError::Unreachable) => {
                ApiError::Unavailable { message }
            }
            PromptError::Provider(_, ProviderError::Silent) => ApiError::GatewayTimeout { message },
            PromptError::Database(error) => error.into(),
            PromptError::Secret(error) => error.into(),
            PromptError::Renew(error) => error.into(),
        }
    }
}

/// The largest amount M-Pesa moves at once.
pub(super) const MOST: Cents = Cents::whole(250_000);
/// Prompts to one phone in [`PHONE_WINDOW`].
const MOST_OF_PHONE: i64 = 3;
const PHONE_WINDOW: Duration = Duration::from_secs(600);
/// Prompts of one tenant in a minute.
const MOST_OF_TENANT: i64 = 60;
const MINUTE: Duration = Duration::from_secs(60);
/// When the provider is asked for the first time.
const FIRST_QUERY: Duration = Duration::from_secs(10);

/// Puts a prompt on a phone, or finds the one that is open for this customer and package.
///
/// Written down before it is asked for; the asking goes on when the caller hangs up. No answer is not a
/// failure: the payment is then settled by callback or query, and never asked for a second time by itself.
pub async fn ask(payments: &Payments, tenant: TenantId, wish: Wish) -> Result<Asked, PromptError> {
    let amount = wish.amount.rounded_up_to_whole();
    if !amount.is_positive() || amount > MOST {
        return Err(PromptError::Amount);
    }
    let base = payments
        .public_url
        .as_deref()
        .ok_or(PromptError::NoPublicUrl)?;
    let now = payments.clock.now();
    let mut tx = payments.db.begin(tenant).await?;
    let payer = store::payer(&mut tx, wish.customer).await?;
    let payer = payer.ok_or(PromptError::UnknownCustomer)?;
    let own = payer.phone_number.as_deref().and_then(PhoneNumber::parse);
    let phone = wish.phone.or(own).ok_or(PromptError::NoPhone)?;
    let keys = match wish.gateway {
        Some(gateway) => gateways::in_use(&mut tx, gateway).await?,
        None => gateways::choose(&mut tx, payer.hotspot, GatewayType::of_phone(&phone)).await?,
    };
    let keys = keys.ok_or(PromptError::NoGateway)?;
    let id = IntentId::new(now, payments.db.entropy());
    let new = NewIntent {
        id,
        gateway: keys.id,
        customer: wish.customer,
        package: payer.package_id,
        amount,
        phone: phone.as_str().to_owned(),
        reference: reference(&keys, payer.account_number, id),
        client_key: wish.client_key,
        checkout_request_id: keys.kind.name_of_prompt(id),
        expires_at: now.plus(WINDOW),
    };
    store::close_stale(&mut tx, wish.customer, now).await?;
    let known = new.client_key.as_deref();
    if let Some(first) = store::already_open(&mut tx, new.customer, new.package, known).await? {
        tx.commit().await?;
        return wait_for(payments, tenant, same(&first, &new)?).await;
    }
    renewals::may_renew(&mut tx, new.customer, new.package, now).await?;
    within_limits(&mut tx, &new, now).await?;
    if !store::insert(&mut tx, &new, now.plus(FIRST_QUERY), now).await? {
        let first = store::already_open(&mut tx, new.customer, new.package, known).await?;
        tx.commit().await?;
        let first = first.map_or(Ok(id), |first| same(&first, &new))?;
        return wait_for(payments, tenant, first).await;
    }
    let audit = Audit {
        details: format!("Asked for {amount} by {}", keys.kind.name()),
        ..Audit::new(Action::PaymentProcess, "customer", new.customer, "")
    };
    audit::record(&mut tx, &wish.by, audit, now).await?;
    let account = payments.account(&mut tx, &keys).await?;
    let token = gateways::callback_token(&payments.secrets, &mut tx, &keys).await?;
    tx.commit().await?;

    let callback_url = format!("{base}/api/hooks/stk/{}/{id}", token.expose_secret());
    let prompt = Prompt {
        id,
        phone,
        amount,
        reference: new.reference,
        callback_url,
    };
    let worker = payments.clone();
    let asking = payments.tasks.spawn(async move {
        let answer = worker.push(&account, &prompt).await;
        hear(&worker, tenant, id, answer).await
    });
    match asking.await {
        Ok(asked) => asked,
        // Stopped in between: as if the provider had not answered.
        Err(_) => Ok(Asked {
            intent: id,
            checkout_request_id: None,
        }),
    }
}

/// A repeat is the same wish once more; anything else is told, not taken for it.
fn same(first: &First, new: &NewIntent) -> Result<IntentId, PromptError> {
    let wished = (new.customer, new.amount, &new.phone);
    match (first.customer_id, first.amount, &first.phone_number) == wished {
        true => Ok(first.id),
        false if first.by_key => Err(PromptError::KeyReused),
        false => Err(PromptError::OtherOpen(first.amount)),
    }
}

/// Writes down what the provider answered to a push.
async fn hear(
    payments: &Payments,
    tenant: TenantId,
    id: IntentId,
    answer: Result<Accepted, ProviderError>,
) -> Result<Asked, PromptError> {
    let now = payments.clock.now();
    let mut tx = payments.db.begin(tenant).await?;
    let intent = store::lock(&mut tx, Which::Id(id)).await?;
    let mut intent = intent.ok_or(PromptError::UnknownCustomer)?;
    let event = match &answer {
        Ok(accepted) => {
            let (checkout, merchant) =
                (&accepted.checkout_request_id, &accepted.merchant_request_id);
            // The provider's own answer stands above what a callback named before it.
            if intent
                .checkout_request_id
                .as_ref()
                .is_some_and(|told| told != checkout)
            {
                intent.needs_review = Some(OTHER_PROMPT.to_owned());
            }
            intent.checkout_request_id = Some(checkout.clone());
            intent.merchant_request_id = Some(merchant.clone());
            Event::Accepted
        }
        Err(ProviderError::Silent) => Event::Silent,
        Err(
            ProviderError::Refused(_)
            | ProviderError::Credentials(_)
            | ProviderError::Registered(_)
            | ProviderError::NoProduct(_)
            | ProviderError::Busy(_)
            | ProviderError::Unreachable,
        ) => Event::Rejected,
    };
    let _: settle::Then = settle::apply(&mut tx, &mut intent, event, now).await?;
    tx.commit().await?;
    match answer {
        Ok(_) | Err(ProviderError::Silent) => Ok(Asked {
            intent: id,
            checkout_request_id: intent.checkout_request_id,
        }),
        Err(error) => {
            tracing::warn!(intent.id = %id, "A push was refused: {error}");
            Err(intent.provider.failed(error))
        }
    }
}

/// Waits until the first request for this payment knows what became of its push.
async fn wait_for(
    payments: &Payments,
    tenant: TenantId,
    id: IntentId,
) -> Result<Asked, PromptError> {
    const STEP: Duration = Duration::from_millis(100);
    const STEPS: u32 = 150;

    for _ in 0..STEPS {
        let mut tx = payments.db.begin(tenant).await?;
        let intent = store::find(&mut tx, Which::Id(id)).await?;
        drop(tx);
        let intent = intent.ok_or(PromptError::UnknownCustomer)?;
        let asked = Asked {
            intent: id,
            checkout_request_id: intent.checkout_request_id.clone(),
        };
        match intent.push().state {
            State::Created if intent.checkout_request_id.is_none() => {
                tokio::time::sleep(STEP).await
            }
            State::Refused { .. } => {
                return Err(PromptError::Refused(intent.message.unwrap_or_default()));
            }
            State::Created
            | State::Pending
            | State::Unknown
            | State::Provisional
            | State::Posted { .. }
            | State::Expired => return Ok(asked),
        }
    }
    Ok(Asked {
        intent: id,
        checkout_request_id: None,
    })
}

async fn within_limits(
    tx: &mut crate::db::Tx,
    new: &NewIntent,
    now: Timestamp,
) -> Result<(), PromptError> {
    let (phone_since, tenant_since) = (now.minus(PHONE_WINDOW), now.minus(MINUTE));
    let busy = store::prompts(tx, &new.phone, new.customer, phone_since, tenant_since).await?;
    if busy.open_elsewhere > 0 {
        return Err(PromptError::PhoneBusy);
    }
    if busy.of_phone >= MOST_OF_PHONE {
        return Err(PromptError::TooMany(PHONE_WINDOW));
    }
    if busy.of_tenant >= MOST_OF_TENANT {
        return Err(PromptError::TooMany(MINUTE));
    }
    Ok(())
}

/// What the payer sees as account: the account number and two letters of this prompt, so that a receipt
/// that arrives another way finds it; a bank wants its own account.
fn reference(keys: &Keys, account_number: i32, id: IntentId) -> String {
    keys.bank_account().unwrap_or_else(|| {
        let [.., a, b] = *id.as_bytes();
        let letter = |byte: u8| char::from(b'A' + byte % 26);
        format!("{account_number}{}{}", letter(a), letter(b))
    })
}
