//! What can go wrong where money becomes a period.

use super::Barred;
use crate::error::{ApiError, violated};
use crate::ledger::{FLOAT_USED_UP, is_overdrawn, is_used_up};

/// Why nothing was booked.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// This tenant has no such customer.
    #[error("no such customer")]
    UnknownCustomer,
    /// An amount of nothing or less.
    #[error("the amount must be more than nothing")]
    NothingPaid,
    /// An amount with which the wallet would not fit.
    #[error("the amount is larger than a wallet holds")]
    TooMuch,
    /// The customer has no package, or it is not sold any more.
    #[error("the customer has no package that is sold")]
    NoPackage,
    /// The wallet does not cover the price.
    #[error("the wallet does not cover the price of the package")]
    BalanceTooLow,
    /// The wallet has enough, and what is missing of it is set aside for these invoices, by their numbers.
    #[error("the wallet has enough, but it is set aside for {0}, which is paid in a moment")]
    SetAside(String),
    /// He bought this package as often as it may be.
    #[error("{0}")]
    Barred(Barred),
    /// A seller's float does not cover it.
    #[error("{FLOAT_USED_UP}")]
    FloatUsedUp,
    /// The provider's receipt was credited before.
    #[error("this receipt was credited before")]
    ReceiptKnown,
    /// So much of the payment is not there to be sent back.
    #[error("so much of the payment is not there to be sent back, or it is somebody else's now")]
    NotRefundable,
    /// The payment is sent back, or on its way.
    #[error("this payment, or a part of it, is sent back or on its way; it stays with its owner")]
    GoesBack,
    /// The database did not do it.
    #[error(transparent)]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for RenewError {
    fn from(error: sqlx::Error) -> RenewError {
        if is_overdrawn(&error) {
            return RenewError::BalanceTooLow;
        }
        if is_used_up(&error) {
            return RenewError::FloatUsedUp;
        }
        match violated(&error) {
            Some("receipts_pkey" | "receipt_at_shortcode" | "payment_intent") => {
                RenewError::ReceiptKnown
            }
            Some(_) | None => RenewError::Database(error),
        }
    }
}

impl From<RenewError> for ApiError {
    fn from(error: RenewError) -> ApiError {
        let message = error.to_string();
        match error {
            RenewError::UnknownCustomer => ApiError::NotFound("customer"),
            RenewError::NothingPaid => ApiError::field("amount", "must be more than nothing"),
            RenewError::TooMuch => ApiError::field("amount", "is larger than a wallet holds"),
            RenewError::NoPackage => ApiError::unprocessable("NO_PACKAGE", message),
            RenewError::BalanceTooLow => ApiError::conflict("BALANCE_TOO_LOW", message),
            RenewError::SetAside(_) => ApiError::conflict("SET_ASIDE", message),
            RenewError::FloatUsedUp => ApiError::conflict("FLOAT_USED_UP", message),
            RenewError::Barred(_) => ApiError::conflict("PURCHASE_LIMIT", message),
            RenewError::ReceiptKnown => ApiError::conflict("RECEIPT_KNOWN", message),
            RenewError::NotRefundable => ApiError::conflict("NOT_REFUNDABLE", message),
            RenewError::GoesBack => ApiError::conflict("REFUND_OPEN", message),
            RenewError::Database(cause) => cause.into(),
        }
    }
}
