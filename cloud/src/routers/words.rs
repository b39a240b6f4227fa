//! How a router is.

use serde::{Deserialize, Serialize};

/// Whether a router is heard of.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Status {
    /// Heard within the last quarter of an hour.
    Online,
    /// Not heard lately.
    Offline,
    /// Entered, never heard.
    Pending,
    /// Heard, and something is wrong with it.
    Error,
}

/// Whether a router's requests without Message-Authenticator are taken.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Signing {
    /// Until the first that carries one, or until its RouterOS is known to be 7.15 or newer; then never again.
    Learn,
    /// Never: the way for a router across a WAN or tunnel.
    Require,
}

/// How far a router's set-up is. The strings are the web client's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, sqlx::Type, utoipa::ToSchema)]
#[sqlx(type_name = "text")]
pub enum Provisioning {
    /// Configured by us.
    Provisioned,
    /// The command was shown, the router has not called yet.
    #[serde(rename = "Command Pending")]
    #[sqlx(rename = "Command Pending")]
    CommandPending,
    /// It called and could not be configured.
    Failed,
    /// Nothing was done.
    Pending,
}
