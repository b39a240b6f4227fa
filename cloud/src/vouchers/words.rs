//! The words that stand in the database.

/// How a voucher stands in the database.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub(super) enum Stored {
    Available,
    Used,
    Revoked,
}
