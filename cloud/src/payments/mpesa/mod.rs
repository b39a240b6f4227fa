//! M-Pesa: all that only Safaricom's Daraja knows. Another provider is a folder beside this one.
//!
//! `daraja.rs` and `initiator.rs` call M-Pesa; `callback.rs`, `confirmation.rs`, `result.rs` and `sheet.rs` read, pure,
//! what it says; `stk.rs`, `c2b.rs` and `results.rs` are the doors it comes to; `register.rs` and `pull.rs` tell it where they
//! are and ask what came to none of them. `central.rs` is the platform's own short code.

pub(super) mod c2b;
pub mod callback;
pub(super) mod central;
pub mod confirmation;
mod daraja;
pub mod initiator;
pub(super) mod pull;
pub(super) mod register;
pub mod result;
pub(super) mod results;
pub(super) mod sheet;
pub(super) mod stk;

pub use daraja::{Daraja, Merchant, explain, is_final};

use super::prompt::PromptError;
use super::provider::ProviderError;
use super::words::GatewayType;

/// An error of M-Pesa's, as it is told.
pub(super) fn failed(error: ProviderError) -> PromptError {
    GatewayType::MpesaApi.failed(error)
}
