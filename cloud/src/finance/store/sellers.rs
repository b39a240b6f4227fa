//! SQL on operators who sell out of a float, and what they load and hand over.

use easyisp_shared::id::{EntryId, OperatorId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;
use crate::renewals::Method;

/// Somebody who sells, or sold.
#[derive(FromRow, Clone, Debug)]
pub struct SellerRow {
    pub operator_id: OperatorId,
    pub name: Option<String>,
    pub active: bool,
    pub balance: Cents,
    pub owed: Cents,
    pub commission_basis_points: i32,
    pub commission_fixed: Cents,
    pub since: Timestamp,
}

/// All of them, by name; only one where he is named.
pub async fn sellers(tx: &mut Tx, one: Option<OperatorId>) -> sqlx::Result<Vec<SellerRow>> {
    sqlx::query_as(
        "select f.operator_id, o.name, f.active, f.balance, f.owed, f.commission_basis_points,
                f.commission_fixed, f.since
           from floats f
           left join operators o on o.tenant_id = $1 and o.id = f.operator_id
          where f.tenant_id = $1 and ($2::uuid is null or f.operator_id = $2)
          order by o.name, f.operator_id
          limit 1000",
    )
    .bind(tx.tenant())
    .bind(one)
    .fetch_all(&mut **tx)
    .await
}

/// Makes an operator a seller, or no seller any more; what is in his float stays, and what he earns where it is `None`. `false` = there is no such operator.
pub async fn set(
    tx: &mut Tx,
    operator: OperatorId,
    active: bool,
    (share, fixed): (Option<i32>, Option<Cents>),
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "insert into floats as f (tenant_id, operator_id, active, commission_basis_points, commission_fixed,
                                  since, updated_at)
         select $1, id, $3, coalesce($5::integer, 0), coalesce($6::bigint, 0), $4, $4 from operators
          where tenant_id = $1 and id = $2 and (deleted_at is null or not $3)
             on conflict (tenant_id, operator_id) do update
                set active = excluded.active, updated_at = excluded.updated_at,
                    commission_basis_points = coalesce($5::integer, f.commission_basis_points),
                    commission_fixed = coalesce($6::bigint, f.commission_fixed)",
    )
    .bind(tx.tenant())
    .bind(operator)
    .bind(active)
    .bind(now)
    .bind(share)
    .bind(fixed)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// What a seller loaded, handed over or gave back.
#[derive(Clone, Debug)]
pub struct Move {
    pub id: Uuid,
    pub seller: OperatorId,
    pub kind: &'static str,
    pub amount: Cents,
    pub method: Option<Method>,
    pub reference: String,
    pub entry: EntryId,
    pub by: OperatorId,
}

/// Writes it down.
pub async fn insert_move(tx: &mut Tx, one: &Move, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "insert into float_moves (tenant_id, id, operator_id, kind, amount, method, reference, entry_id,
                                  by_operator, at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(tx.tenant())
    .bind(one.id)
    .bind(one.seller)
    .bind(one.kind)
    .bind(one.amount)
    .bind(one.method)
    .bind(&one.reference)
    .bind(one.entry)
    .bind(one.by)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
