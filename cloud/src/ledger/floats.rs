//! What sellers have to sell: a balance that is kept, because it has a limit. Who posts an entry that moves a float moves
//! its balance in the same transaction.

use easyisp_shared::id::OperatorId;
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use crate::db::Tx;

/// A seller's float.
#[derive(FromRow, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Float {
    /// What he may sell yet.
    pub balance: Cents,
    /// What of it he has not handed over.
    pub owed: Cents,
}

/// What a seller reads whose float does not cover what he sells.
pub const FLOAT_USED_UP: &str = "the seller's float does not cover this; load it first";

/// Whether an operator sells out of a float.
pub async fn is_seller(tx: &mut Tx, operator: OperatorId) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from floats where tenant_id = $1 and operator_id = $2 and active)",
    )
    .bind(tx.tenant())
    .bind(operator)
    .fetch_one(&mut **tx)
    .await
}

/// Moves what a seller may sell and what he owes, each by so much; his row stays locked until the transaction ends. Fails
/// where either would fall below nothing: see [`is_used_up`] and [`is_not_owed`]. `None` = he is no seller and was none.
pub async fn move_float(
    tx: &mut Tx,
    seller: OperatorId,
    (balance, owed): (Cents, Cents),
    now: Timestamp,
) -> sqlx::Result<Option<Float>> {
    sqlx::query_as(
        "update floats set balance = balance + $3, owed = owed + $4, updated_at = $5
          where tenant_id = $1 and operator_id = $2
         returning balance, owed",
    )
    .bind(tx.tenant())
    .bind(seller)
    .bind(balance)
    .bind(owed)
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
}

/// Whether a statement failed because a float does not cover it.
pub fn is_used_up(error: &sqlx::Error) -> bool {
    violates(error, "float_not_below_zero")
}

/// Whether a statement failed because a seller does not owe so much.
pub fn is_not_owed(error: &sqlx::Error) -> bool {
    violates(error, "seller_owes_no_less")
}

fn violates(error: &sqlx::Error, constraint: &str) -> bool {
    match error {
        sqlx::Error::Database(database) => database.constraint() == Some(constraint),
        _ => false, // sqlx's enum: nothing else names a constraint
    }
}
