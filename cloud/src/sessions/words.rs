//! How a session is; in lower case at the API, as the contract lists it.

use serde::{Deserialize, Serialize};

/// How a session is.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Status {
    /// Going on.
    #[serde(alias = "ACTIVE")]
    Active,
    /// Not heard of for three intervals: the router has to say. Ends nobody's session.
    #[serde(alias = "UNCONFIRMED")]
    Unconfirmed,
    /// Over.
    #[serde(alias = "COMPLETED")]
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
