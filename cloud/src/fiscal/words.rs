//! Whose system it is, and what a document is to it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whose system it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = FiscalProvider)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Provider {
    /// The Kenya Revenue Authority's eTIMS.
    KeEtims,
}

/// What becomes of what was reported when reports go to another system or device from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Reported {
    /// It is reported there as well, from number one: where it went to the system for tries.
    Again,
    /// It stays as it is; what comes goes on with the next number.
    Keep,
}

/// What a document is to the state's system.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema, sqlx::Type)]
#[serde(rename_all = "UPPERCASE")]
#[schema(as = FiscalState)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum State {
    /// It was not sent yet, or was not taken.
    Waiting,
    /// A try began, or went unanswered: it may be there or not.
    Unknown,
    /// It is there, and signed.
    Signed,
    /// It is there; its signature did not reach us.
    Accepted,
    /// It was refused; a person must look.
    Refused,
}
