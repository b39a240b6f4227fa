//! What can go wrong with the books that people keep.

use crate::error::{ApiError, FieldError, violated};

/// Why nothing was booked.
#[derive(Debug, thiserror::Error)]
pub enum FinanceError {
    /// Fields of the request.
    #[error("something is missing or malformed")]
    Fields(Vec<FieldError>),
    /// The tenant has none of that id.
    #[error("no such {0}")]
    Unknown(&'static str),
    /// Another account has this code.
    #[error("an account has this code already; choose another")]
    CodeTaken,
    /// A chart has so many accounts at most.
    #[error("there are {0} accounts already; delete one that was never used")]
    TooManyAccounts(i64),
    /// An account of the system.
    #[error("this account belongs to the system: what customers pay is booked on it; it stays")]
    SystemAccount,
    /// Something was booked on it.
    #[error("something was booked on this account, or is every month; it stays in the books")]
    AccountUsed,
    /// The reference is the receipt of a payment that was booked by itself.
    #[error("this M-Pesa receipt was booked by itself; it is in the list already")]
    ReceiptKnown,
    /// What he takes in would pass by his float.
    #[error(
        "who sells out of a float books no money by hand: record the customer's payment, which comes out of it, or ask \
         somebody else"
    )]
    Seller,
    /// The expense is booked once, not every month.
    #[error("this expense does not come every month")]
    NotRecurring,
    /// The database.
    #[error(transparent)]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for FinanceError {
    fn from(error: sqlx::Error) -> FinanceError {
        match violated(&error) {
            Some("accounts_pkey") => FinanceError::CodeTaken,
            Some(_) | None => FinanceError::Database(error),
        }
    }
}

impl From<FinanceError> for ApiError {
    fn from(error: FinanceError) -> ApiError {
        let message = error.to_string();
        match error {
            FinanceError::Fields(fields) => ApiError::fields(fields),
            FinanceError::Unknown(what) => ApiError::NotFound(what),
            FinanceError::CodeTaken => ApiError::conflict("CODE_TAKEN", message),
            FinanceError::TooManyAccounts(_) => ApiError::conflict("TOO_MANY_ACCOUNTS", message),
            FinanceError::SystemAccount => ApiError::bad_request("SYSTEM_ACCOUNT", message),
            FinanceError::AccountUsed => ApiError::conflict("ACCOUNT_USED", message),
            FinanceError::ReceiptKnown => ApiError::conflict("RECEIPT_KNOWN", message),
            FinanceError::Seller => ApiError::forbidden("SELLER", message),
            FinanceError::NotRecurring => ApiError::conflict("NOT_RECURRING", message),
            FinanceError::Database(cause) => cause.into(),
        }
    }
}
