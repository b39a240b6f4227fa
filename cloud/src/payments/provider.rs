//! What a payment provider does for us, in words that fit each of them: it puts a prompt on a phone, and says what
//! became of it.
//!
//! A provider is one folder (`mpesa/`, `airtel/`): its client, what it says and the doors to which it says it. This file
//! is where the rest of payments meets it, and where a further one is named; its word in `words.rs` tells what it is
//! called and into which account its money comes.

use easyisp_shared::id::IntentId;
use easyisp_shared::money::Cents;
use easyisp_shared::phone::PhoneNumber;

use super::arrival::receipt_of;
use super::prompt::PromptError;
use super::store::gateways::Keys;
use super::words::GatewayType;
use super::{Payments, airtel, mpesa};
use crate::db::Tx;
use crate::renewals::Method;

/// A prompt that is to appear on a phone.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// Our id of the payment.
    pub id: IntentId,
    /// Whose phone.
    pub phone: PhoneNumber,
    /// Whole shillings.
    pub amount: Cents,
    /// What the payer sees as account.
    pub reference: String,
    /// Where the outcome is told, where a prompt says that.
    pub callback_url: String,
}

/// A prompt that a provider took.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// Its name of the prompt, by which it is asked.
    pub checkout_request_id: String,
    /// Its name of the request; empty where it has none.
    pub merchant_request_id: String,
}

/// What a provider says when it is asked about a prompt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Paid.
    Paid {
        /// Its receipt, where it tells that.
        receipt: Option<String>,
    },
    /// Not paid, for good.
    Failed {
        /// Its number for the reason.
        code: i32,
    },
    /// Not decided yet.
    Pending,
}

/// Why a call gave nothing; read after the provider's name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProviderError {
    /// It refused the request itself.
    #[error("refused the request: {0}")]
    Refused(String),
    /// The keys, the passkey or the short code are wrong.
    #[error("does not accept the gateway's keys: {0}")]
    Credentials(String),
    /// Too many requests, or it is down; nothing was done.
    #[error("is busy: {0}")]
    Busy(String),
    /// Addresses are registered for the short code already.
    #[error("has addresses for this short code already: {0}")]
    Registered(String),
    /// The application has no such product.
    #[error("does not offer this product to the gateway's application: {0}")]
    NoProduct(String),
    /// No connection; nothing was done.
    #[error("cannot be reached")]
    Unreachable,
    /// No answer, or none that can be read: it may have been done.
    #[error("did not answer")]
    Silent,
}

impl ProviderError {
    /// Whether the provider does not work, as far as can be heard; one phone that is busy says nothing of that.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            ProviderError::Busy(said) => !said.to_lowercase().contains("lock subscriber"),
            ProviderError::Unreachable | ProviderError::Silent => true,
            ProviderError::Refused(_)
            | ProviderError::Credentials(_)
            | ProviderError::Registered(_)
            | ProviderError::NoProduct(_) => false,
        }
    }
}

/// An account at a provider, its keys opened.
#[derive(Clone, Debug)]
pub(super) enum Account {
    /// A short code.
    Mpesa(mpesa::Merchant),
    /// An application.
    Airtel(airtel::Merchant),
}

/// A receipt of any provider, in the form in which it is kept.
pub(super) fn receipt_of_any(text: &str) -> Option<String> {
    GatewayType::ALL
        .into_iter()
        .find_map(|provider| provider.receipt_of(text))
}

impl GatewayType {
    /// Every one.
    const ALL: [GatewayType; 2] = [GatewayType::MpesaApi, GatewayType::AirtelMoney];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            GatewayType::MpesaApi => "M-Pesa",
            GatewayType::AirtelMoney => "Airtel Money",
        }
    }

    /// How money that it brings has come.
    pub fn method(self) -> Method {
        match self {
            GatewayType::MpesaApi => Method::Mpesa,
            GatewayType::AirtelMoney => Method::Airtel,
        }
    }

    /// The one whose wallet is most likely behind a number.
    pub(super) fn of_phone(phone: &PhoneNumber) -> GatewayType {
        match airtel::has_number(phone) {
            true => GatewayType::AirtelMoney,
            false => GatewayType::MpesaApi,
        }
    }

    /// Its name of a prompt, where that is ours to give: then it can be asked whatever became of the call.
    pub(super) fn name_of_prompt(self, id: IntentId) -> Option<String> {
        match self {
            GatewayType::MpesaApi => None,
            GatewayType::AirtelMoney => Some(airtel::name_of_prompt(id)),
        }
    }

    /// What a payer reads of a prompt that it refused; `None` = it never took the prompt.
    pub(super) fn explain(self, code: Option<i32>) -> &'static str {
        match (self, code) {
            (_, None) => "The prompt could not be sent.",
            (GatewayType::MpesaApi, Some(code)) => mpesa::explain(code),
            (GatewayType::AirtelMoney, Some(code)) => airtel::explain(code),
        }
    }

    /// Whether it sends money back at our word; else a person does, in its portal.
    pub(super) fn sends_back(self) -> bool {
        match self {
            GatewayType::MpesaApi => true,
            GatewayType::AirtelMoney => false,
        }
    }

    /// A receipt of its, in the form in which it is kept.
    pub(super) fn receipt_of(self, text: &str) -> Option<String> {
        match self {
            GatewayType::MpesaApi => receipt_of(text),
            GatewayType::AirtelMoney => airtel::receipt_of(text),
        }
    }

    /// What its receipts look like.
    pub(super) fn form_of_receipt(self) -> &'static str {
        match self {
            GatewayType::MpesaApi => "must be 6 to 20 letters and digits",
            GatewayType::AirtelMoney => "must be 6 to 32 letters, digits and dots",
        }
    }

    /// An error of its, as it is told.
    pub(super) fn failed(self, error: ProviderError) -> PromptError {
        PromptError::Provider(self.name(), error)
    }
}

impl Payments {
    /// A gateway's account, its keys opened.
    pub(super) async fn account(&self, tx: &mut Tx, keys: &Keys) -> Result<Account, PromptError> {
        Ok(match keys.kind {
            GatewayType::MpesaApi => Account::Mpesa(self.merchant(tx, keys).await?),
            GatewayType::AirtelMoney => Account::Airtel(self.airtel_merchant(tx, keys).await?),
        })
    }

    /// Puts a prompt on a phone. [`ProviderError::Silent`] = it may be there; never ask again by itself.
    pub(super) async fn push(
        &self,
        account: &Account,
        prompt: &Prompt,
    ) -> Result<Accepted, ProviderError> {
        match account {
            Account::Mpesa(merchant) => self.daraja.push(merchant, prompt).await,
            Account::Airtel(merchant) => self.airtel.push(merchant, prompt).await,
        }
    }

    /// Asks what became of a prompt, by the provider's name of it.
    pub(super) async fn ask_after(
        &self,
        account: &Account,
        checkout: &str,
    ) -> Result<Answer, ProviderError> {
        match account {
            Account::Mpesa(merchant) => self.daraja.query(merchant, checkout).await,
            Account::Airtel(merchant) => self.airtel.query(merchant, checkout).await,
        }
    }

    /// Whether the provider accepts the keys; not from memory.
    pub(super) async fn test(&self, account: &Account) -> Result<(), ProviderError> {
        match account {
            Account::Mpesa(merchant) => self.daraja.test(merchant).await,
            Account::Airtel(merchant) => self.airtel.test(merchant).await,
        }
    }
}
