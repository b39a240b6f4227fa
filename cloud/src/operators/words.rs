//! The words that stand in the database.

use serde::{Deserialize, Serialize};

/// Whether an operator may sign in.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Status {
    /// He may.
    Active,
    /// Switched off.
    Disabled,
    /// Switched off for a while.
    Suspended,
}
