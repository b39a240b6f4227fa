//! What is reached, and why a way ends.

/// What is reached at the device.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    serde::Serialize,
    serde::Deserialize,
    sqlx::Type,
    utoipa::ToSchema,
)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Service {
    /// RouterOS's own program.
    Winbox,
    /// The page of the router.
    Webfig,
    /// The page of a customer's device.
    Web,
}

impl Service {
    /// The port when none is named.
    pub fn port(self) -> u16 {
        match self {
            Service::Winbox => 8291,
            Service::Webfig | Service::Web => 80,
        }
    }
}

/// Why a way was closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Closed {
    /// Its time was over.
    Expired,
    /// Somebody closed it.
    ByHand,
    /// Who opened it may not any more, or signed out.
    OperatorLeft,
    /// The site's agent is not connected any more, or was revoked.
    AgentLeft,
    /// The cloud was stopped.
    Stopped,
}

impl Closed {
    /// For people.
    pub fn sentence(self) -> &'static str {
        match self {
            Closed::Expired => "its time was over",
            Closed::ByHand => "it was closed by hand",
            Closed::OperatorLeft => "who opened it signed out, or may not any more",
            Closed::AgentLeft => "the site's agent is not connected any more",
            Closed::Stopped => "the cloud was stopped",
        }
    }
}
