//! What can go wrong with invoices.

use crate::error::{ApiError, FieldError};
use crate::renewals::RenewError;

/// Why nothing was issued or changed.
#[derive(Debug, thiserror::Error)]
pub enum InvoiceError {
    /// Fields of the request.
    #[error("something is missing or malformed")]
    Fields(Vec<FieldError>),
    /// The tenant has no such customer.
    #[error("no such customer")]
    UnknownCustomer,
    /// The tenant has no such invoice.
    #[error("no such invoice")]
    Unknown,
    /// It was paid.
    #[error("this invoice was paid; take the payment back first: send status pending")]
    Paid,
    /// It was taken back.
    #[error("this invoice was taken back; issue another")]
    Cancelled,
    /// It is the receipt of a sale.
    #[error(
        "this is the receipt of a prepaid sale; send the payment back, and what was given back gets a credit note by itself"
    )]
    Receipt,
    /// The wallet does not cover it.
    #[error(
        "the customer's wallet does not cover this invoice; record what he paid first, or send method: Cash, \
         Bank Transfer, Card or Other"
    )]
    BalanceTooLow,
    /// The wallet does not cover it, and who says that it is paid sells out of a float: no money comes by his hand but by
    /// that.
    #[error(
        "the customer's wallet does not cover this invoice; record what he paid, which comes out of your float and into \
         his wallet, and say paid again, or ask somebody who sells out of none"
    )]
    SellersWallet,
    /// The wallet has enough, and it is set aside for other invoices.
    #[error(
        "the customer's wallet has enough for this invoice, but it is set aside for {0}, which is paid in a moment; \
         if he handed over money for this one, record it and say paid again, or send method: Cash, Bank Transfer, Card or \
         Other; else wait until he has paid"
    )]
    SetAside(String),
    /// The reference is the receipt of a payment that was booked by itself.
    #[error("this M-Pesa receipt was booked by itself and is in the wallet; leave method out")]
    ReceiptKnown,
    /// The wallet.
    #[error(transparent)]
    Renewal(RenewError),
    /// The database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<RenewError> for InvoiceError {
    fn from(error: RenewError) -> InvoiceError {
        match error {
            RenewError::BalanceTooLow => InvoiceError::BalanceTooLow,
            RenewError::SetAside(invoices) => InvoiceError::SetAside(invoices),
            RenewError::UnknownCustomer => InvoiceError::UnknownCustomer,
            other @ (RenewError::NothingPaid
            | RenewError::TooMuch
            | RenewError::FloatUsedUp
            | RenewError::NoPackage
            | RenewError::Barred(_)
            | RenewError::ReceiptKnown
            | RenewError::NotRefundable
            | RenewError::GoesBack
            | RenewError::Database(_)) => InvoiceError::Renewal(other),
        }
    }
}

impl From<InvoiceError> for ApiError {
    fn from(error: InvoiceError) -> ApiError {
        let message = error.to_string();
        match error {
            InvoiceError::Fields(fields) => ApiError::fields(fields),
            InvoiceError::UnknownCustomer => ApiError::NotFound("customer"),
            InvoiceError::Unknown => ApiError::NotFound("invoice"),
            InvoiceError::Paid => ApiError::conflict("INVOICE_PAID", message),
            InvoiceError::Cancelled => ApiError::conflict("INVOICE_CANCELLED", message),
            InvoiceError::Receipt => ApiError::conflict("INVOICE_IS_RECEIPT", message),
            InvoiceError::BalanceTooLow | InvoiceError::SellersWallet => {
                ApiError::conflict("BALANCE_TOO_LOW", message)
            }
            InvoiceError::SetAside(_) => ApiError::conflict("SET_ASIDE", message),
            InvoiceError::ReceiptKnown => ApiError::conflict("RECEIPT_KNOWN", message),
            InvoiceError::Renewal(cause) => cause.into(),
            InvoiceError::Database(cause) => cause.into(),
        }
    }
}
