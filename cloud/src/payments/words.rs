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

impl Env {
    /// How receipts name a short code of it: equal numbers of both worlds are two.
    pub(super) fn code(self, shortcode: &str) -> String {
        let word = match self {
            Env::Production => "production",
            Env::Sandbox => "sandbox",
        };
        format!("{word} {shortcode}")
    }
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
    /// Airtel Africa's Open API.
    AirtelMoney,
}

/// Which of the two products of C2B an application has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum C2bVersion {
    /// Confirmations carry the payer's number.
    V1,
    /// Confirmations carry its SHA-256, or a part of it.
    V2,
}

impl C2bVersion {
    /// As it stands in the provider's addresses.
    pub fn as_str(self) -> &'static str {
        match self {
            C2bVersion::V1 => "v1",
            C2bVersion::V2 => "v2",
        }
    }
}
