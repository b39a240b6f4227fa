//! SQL on receipts that somebody typed beside money he booked by hand.

use crate::db::Tx;

/// Beside what a receipt was typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Typed {
    /// A customer's payment.
    Payment,
    /// Income that is no customer's payment.
    Income,
    /// An invoice that was marked as paid.
    Invoice,
}

/// Beside which money that stands a receipt was typed, without regard to case and spaces. Until the transaction ends
/// nobody else types it or books it by itself.
pub async fn typed_by_hand(tx: &mut Tx, receipt: &str) -> sqlx::Result<Option<Typed>> {
    sqlx::query_scalar("select typed_by_hand($1, $2)")
        .bind(tx.tenant())
        .bind(receipt)
        .fetch_one(&mut **tx)
        .await
}
