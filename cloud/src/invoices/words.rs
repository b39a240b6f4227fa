//! What an invoice is, in a word.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an invoice is; `overdue` is a pending one whose day has gone by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[schema(as = InvoiceStatus)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Status {
    /// Owed.
    Pending,
    /// Paid.
    Paid,
    /// Owed, and the due day has gone by.
    Overdue,
    /// Taken back.
    Cancelled,
}

impl Status {
    /// For people.
    pub fn word(self) -> &'static str {
        match self {
            Status::Pending => "pending",
            Status::Paid => "paid",
            Status::Overdue => "overdue",
            Status::Cancelled => "cancelled",
        }
    }
}
