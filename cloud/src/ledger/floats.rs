//! What sellers have to sell: a balance that is kept, because it has a limit. Who posts an entry that moves a float moves
//! its balance in the same transaction.

use easyisp_shared::id::{EntryId, OperatorId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use super::{AccountCode, Entry, EntryKind, Leg, Transfer, post};
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

/// Pays a seller what he earns of a sale, into his float; what it is. `source` is what justifies the sale, of `sold`.
pub async fn pay_commission(
    tx: &mut Tx,
    seller: OperatorId,
    (source, sold): (&str, Cents),
    now: Timestamp,
) -> sqlx::Result<Cents> {
    let terms: Option<(i32, Cents)> = sqlx::query_as(
        "select commission_basis_points, commission_fixed
           from floats
          where tenant_id = $1 and operator_id = $2",
    )
    .bind(tx.tenant())
    .bind(seller)
    .fetch_optional(&mut **tx)
    .await?;
    let Some((basis_points, fixed)) = terms else {
        return Ok(Cents::ZERO);
    };
    let earned = commission(sold, basis_points, fixed);
    if earned.is_positive() {
        let transfer = Transfer {
            debit: Leg::account(AccountCode::COMMISSION),
            credit: Leg::float(seller),
            amount: earned,
        };
        let what = (format!("commission on {source}"), "Commission");
        post_commission(tx, seller, (earned, transfer), what, now).await?;
    }
    Ok(earned)
}

/// Takes back of a seller's float what he earned of a sale, or its share of one in so many equal `parts`: each part to
/// the next cent, all of them together what he earned.
pub async fn take_commission_back(
    tx: &mut Tx,
    seller: OperatorId,
    (source, parts): (&str, i64),
    now: Timestamp,
) -> sqlx::Result<()> {
    let (earned, back): (i64, i64) = sqlx::query_as(
        "select coalesce(sum(t.amount) filter (where e.source = $2), 0)::bigint,
                coalesce(sum(t.amount) filter (where e.source = $3), 0)::bigint
           from entries e
           join transfers t on t.tenant_id = $1 and t.entry_id = e.id
          where e.tenant_id = $1 and e.kind = 'COMMISSION' and e.source in ($2, $3)",
    )
    .bind(tx.tenant())
    .bind(format!("commission on {source}"))
    .bind(format!("commission back on {source}"))
    .fetch_one(&mut **tx)
    .await?;
    let share = share(earned, back, parts);
    if !share.is_positive() {
        return Ok(());
    }
    let transfer = Transfer {
        debit: Leg::float(seller),
        credit: Leg::account(AccountCode::COMMISSION),
        amount: share,
    };
    let less = Cents::ZERO.minus(share).unwrap_or_default();
    let what = (
        format!("commission back on {source}"),
        "Commission taken back",
    );
    post_commission(tx, seller, (less, transfer), what, now).await
}

async fn post_commission(
    tx: &mut Tx,
    seller: OperatorId,
    (by, transfer): (Cents, Transfer),
    (source, description): (String, &str),
    now: Timestamp,
) -> sqlx::Result<()> {
    move_float(tx, seller, (by, Cents::ZERO), now).await?;
    let entry = Entry {
        id: EntryId::new(now, &tx.entropy()),
        kind: EntryKind::Commission,
        occurred_at: now,
        customer: None,
        source,
        description: description.to_owned(),
        transfers: vec![transfer],
    };
    post(tx, entry, now).await?;
    Ok(())
}

/// The share, rounded down to the cent, and what is paid for each sale; never more than was sold.
fn commission(sold: Cents, basis_points: i32, fixed: Cents) -> Cents {
    let share = i128::from(sold.minor()) * i128::from(basis_points.max(0)) / 10_000;
    let share = Cents::new(i64::try_from(share).unwrap_or_default());
    share.plus(fixed).unwrap_or(sold).min(sold)
}

/// What goes back with one of so many parts of a sale of which so much is `back` already.
fn share(earned: i64, back: i64, parts: i64) -> Cents {
    let parts = parts.max(1);
    let whole = earned / parts + i64::from(earned % parts > 0);
    Cents::new(whole.min(earned - back).max(0))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commission_is_rounded_down_and_no_more_than_the_sale() {
        let of = |sold, basis_points, fixed| {
            commission(Cents::new(sold), basis_points, Cents::new(fixed)).minor()
        };
        assert_eq!(of(100_000, 250, 0), 2_500);
        assert_eq!(of(99, 250, 0), 2);
        assert_eq!(of(100_000, 250, 500), 3_000);
        assert_eq!(of(300, 0, 500), 300);
        assert_eq!(of(100_000, 0, 0), 0);
    }

    #[test]
    fn a_commission_goes_back_to_the_last_cent_and_once() {
        for (earned, parts) in [(100, 3), (2, 3), (99, 1), (0, 4), (7, 7)] {
            let mut back = 0;
            for part in 1..=parts {
                back += share(earned, back, parts).minor();
                let due = earned * part / parts;
                assert!(
                    (due..=due + part).contains(&back),
                    "{earned} {parts} {back}"
                );
            }
            assert_eq!(back, earned);
            assert_eq!(share(earned, back, parts), Cents::ZERO, "it is all back");
        }
    }
}
