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
