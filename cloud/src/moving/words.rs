//! Who answers at a router, and in what two answers differ; as they are stored and shown.

use serde::{Deserialize, Serialize};

/// Who answers at a router.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema,
)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Mode {
    /// We, everybody.
    Own,
    /// We answer whom we know, the old server everybody else.
    Shadow,
    /// The old server, everybody.
    Forward,
}

/// In what two answers differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, sqlx::Type, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub enum Difference {
    /// Whether he is let in.
    Answer,
    /// Speed.
    Rate,
    /// Address or pool.
    Address,
    /// When the session ends.
    Timeout,
}
