//! How a session is.

use serde::{Deserialize, Serialize};

/// How a session is.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Status {
    /// Going on.
    #[serde(alias = "active")]
    Active,
    /// Not heard of for three intervals: the router has to say. Ends nobody's session.
    #[serde(alias = "unconfirmed")]
    Unconfirmed,
    /// Over.
    #[serde(alias = "completed")]
    Completed,
}

impl Status {
    /// The word in the database.
    pub fn word(self) -> &'static str {
        match self {
            Status::Active => "ACTIVE",
            Status::Unconfirmed => "UNCONFIRMED",
            Status::Completed => "COMPLETED",
        }
    }
}
