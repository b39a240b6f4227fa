//! The words in which a gateway is described.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a short code is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum SubType {
    /// A paybill.
    Paybill,
    /// A till.
    Buygoods,
    /// A bank's paybill with an account behind it.
    Bank,
}

/// Which of the provider's worlds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum Env {
    /// Real money.
    Production,
    /// Play money.
    Sandbox,
}

/// The provider behind a gateway.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, sqlx::Type, ToSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GatewayType {
    /// Safaricom's Daraja.
    #[default]
    MpesaApi,
}
