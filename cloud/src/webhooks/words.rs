//! The words that stand in the database.

use serde::{Deserialize, Serialize};

/// How a delivery stands.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[schema(as = DeliveryState)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum State {
    /// To be sent, for the first time or again.
    Pending,
    /// The address answered with success.
    Delivered,
    /// Given up. It can be replayed.
    Failed,
}

/// What is looked for because nobody's transaction brings it about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Watch {
    /// Customers whose time is over.
    Expiries,
    /// Routers that fall silent or speak again.
    Routers,
}

impl Watch {
    /// As it stands in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Watch::Expiries => "EXPIRIES",
            Watch::Routers => "ROUTERS",
        }
    }
}
