//! SQL on what the platform collects for a tenant and pays out to him.

use easyisp_shared::id::{GatewayId, SettlementId, TenantId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::civil::Date;
use sqlx::FromRow;

use super::super::payout::State;
use super::super::words::SubType;
use crate::db::{DirectoryTx, Tx};

/// What was agreed about collecting for a tenant.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Collecting {
    pub(in super::super) gateway_id: GatewayId,
    pub(in super::super) enabled: bool,
    pub(in super::super) payout_kind: SubType,
    pub(in super::super) payout_number: String,
    pub(in super::super) payout_account: Option<String>,
    /// What stays with the platform.
    pub(in super::super) reserve: Cents,
    /// What the platform keeps, in hundredths of a percent.
    pub(in super::super) fee_basis_points: i32,
    /// The most of one day.
    pub(in super::super) most: Cents,
    pub(in super::super) updated_at: Timestamp,
}

/// Reads it and locks it until the transaction ends: what is held is given away once. `None` = it was never
/// switched on.
pub(in super::super) async fn lock_collecting(tx: &mut Tx) -> sqlx::Result<Option<Collecting>> {
    sqlx::query_as(
        "select gateway_id, enabled, payout_kind, payout_number, payout_account, reserve, fee_basis_points, most,
                updated_at
           from collecting
          where tenant_id = $1
            for update",
    )
    .bind(tx.tenant())
    .fetch_optional(&mut **tx)
    .await
}

/// Reads it.
pub(in super::super) async fn collecting(tx: &mut Tx) -> sqlx::Result<Option<Collecting>> {
    sqlx::query_as(
        "select gateway_id, enabled, payout_kind, payout_number, payout_account, reserve, fee_basis_points, most,
                updated_at
           from collecting
          where tenant_id = $1",
    )
    .bind(tx.tenant())
    .fetch_optional(&mut **tx)
    .await
}

/// Writes what is agreed.
pub(in super::super) async fn agree(tx: &mut Tx, agreed: &Collecting) -> sqlx::Result<()> {
    sqlx::query(
        "insert into collecting (tenant_id, gateway_id, enabled, payout_kind, payout_number, payout_account,
                                 reserve, fee_basis_points, most, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             on conflict (tenant_id) do update
            set enabled = $3, payout_kind = $4, payout_number = $5, payout_account = $6, reserve = $7,
                fee_basis_points = $8, most = $9, updated_at = $10",
    )
    .bind(tx.tenant())
    .bind(agreed.gateway_id)
    .bind(agreed.enabled)
    .bind(agreed.payout_kind)
    .bind(&agreed.payout_number)
    .bind(&agreed.payout_account)
    .bind(agreed.reserve)
    .bind(agreed.fee_basis_points)
    .bind(agreed.most)
    .bind(agreed.updated_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What of what is held is on its way: to the tenant, and back to payers.
#[derive(FromRow, Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct UnderWay {
    pub(in super::super) settlements: Cents,
    pub(in super::super) refunds: Cents,
}

/// Sums it.
pub(in super::super) async fn under_way(tx: &mut Tx) -> sqlx::Result<UnderWay> {
    sqlx::query_as(
        "select (select coalesce(sum(amount + fee), 0)::bigint from settlements
                  where tenant_id = $1 and state in ('DUE', 'SENT', 'UNKNOWN')) as settlements,
                (select coalesce(sum(r.amount), 0)::bigint
                   from refunds r
                   join gateways g on g.tenant_id = $1 and g.id = r.gateway_id and g.platform
                  where r.tenant_id = $1 and r.state in ('APPROVED', 'SENT', 'UNKNOWN')) as refunds",
    )
    .bind(tx.tenant())
    .fetch_one(&mut **tx)
    .await
}

/// A settlement's row.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Settlement {
    pub(in super::super) id: SettlementId,
    pub(in super::super) gateway_id: GatewayId,
    /// The tenant's day up to whose end it was reckoned.
    pub(in super::super) day: String,
    pub(in super::super) held: Cents,
    pub(in super::super) amount: Cents,
    pub(in super::super) fee: Cents,
    pub(in super::super) payout_kind: SubType,
    pub(in super::super) payout_number: String,
    pub(in super::super) payout_account: Option<String>,
    pub(in super::super) state: State,
    pub(in super::super) message: Option<String>,
    pub(in super::super) attempts: i32,
    pub(in super::super) asked: i32,
    pub(in super::super) created_at: Timestamp,
    pub(in super::super) sent_at: Option<Timestamp>,
    pub(in super::super) ended_at: Option<Timestamp>,
    pub(in super::super) originator_conversation_id: Option<String>,
    pub(in super::super) conversation_id: Option<String>,
    pub(in super::super) receipt: Option<String>,
}

/// Writes a settlement. `false` = there is one of this day.
pub(in super::super) async fn insert(tx: &mut Tx, new: &Settlement) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "insert into settlements (tenant_id, id, gateway_id, day, held, amount, fee, payout_kind, payout_number,
                                  payout_account, state, created_at)
         values ($1, $2, $3, $4::date, $5, $6, $7, $8, $9, $10, $11, $12)
             on conflict (tenant_id, day) do nothing",
    )
    .bind(tx.tenant())
    .bind(new.id)
    .bind(new.gateway_id)
    .bind(&new.day)
    .bind(new.held)
    .bind(new.amount)
    .bind(new.fee)
    .bind(new.payout_kind)
    .bind(&new.payout_number)
    .bind(&new.payout_account)
    .bind(new.state)
    .bind(new.created_at)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether there is a settlement of this day.
pub(in super::super) async fn is_settled(tx: &mut Tx, day: Date) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from settlements where tenant_id = $1 and day = $2::date)",
    )
    .bind(tx.tenant())
    .bind(day.to_string())
    .fetch_one(&mut **tx)
    .await
}

macro_rules! columns {
    () => {
        "select id, gateway_id, day::text as day, held, amount, fee, payout_kind, payout_number, payout_account, state,
                message, attempts, asked, created_at, sent_at, ended_at, originator_conversation_id,
                conversation_id, receipt
           from settlements
          where tenant_id = $1"
    };
}

/// Reads a settlement and locks it until the transaction ends.
pub(in super::super) async fn lock(
    tx: &mut Tx,
    id: SettlementId,
) -> sqlx::Result<Option<Settlement>> {
    sqlx::query_as(concat!(columns!(), " and id = $2 for update"))
        .bind(tx.tenant())
        .bind(id)
        .fetch_optional(&mut **tx)
        .await
}

/// Settlements, the newest day first, and how many there are; those that stand so, or all.
pub(in super::super) async fn list(
    tx: &mut Tx,
    state: Option<State>,
    (limit, offset): (i64, i64),
) -> sqlx::Result<(Vec<Settlement>, i64)> {
    let rows = sqlx::query_as(concat!(
        columns!(),
        " and ($2::text is null or state = $2) order by day desc limit $3 offset $4"
    ))
    .bind(tx.tenant())
    .bind(state)
    .bind(limit)
    .bind(offset)
    .fetch_all(&mut **tx)
    .await?;
    let total = sqlx::query_scalar(
        "select count(*) from settlements where tenant_id = $1 and ($2::text is null or state = $2)",
    )
    .bind(tx.tenant())
    .bind(state)
    .fetch_one(&mut **tx)
    .await?;
    Ok((rows, total))
}

/// Writes what became of a settlement.
pub(in super::super) async fn save(tx: &mut Tx, settlement: &Settlement) -> sqlx::Result<()> {
    sqlx::query(
        "update settlements
            set state = $3, message = $4, attempts = $5, asked = $6, sent_at = $7, ended_at = $8,
                originator_conversation_id = $9, conversation_id = $10, receipt = $11
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(settlement.id)
    .bind(settlement.state)
    .bind(&settlement.message)
    .bind(settlement.attempts)
    .bind(settlement.asked)
    .bind(settlement.sent_at)
    .bind(settlement.ended_at)
    .bind(&settlement.originator_conversation_id)
    .bind(&settlement.conversation_id)
    .bind(&settlement.receipt)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A settlement in the platform's own list.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Listed {
    pub(in super::super) tenant_id: TenantId,
    pub(in super::super) business_name: String,
    pub(in super::super) id: SettlementId,
    pub(in super::super) day: String,
    pub(in super::super) held: Cents,
    pub(in super::super) amount: Cents,
    pub(in super::super) fee: Cents,
    pub(in super::super) payout_kind: SubType,
    pub(in super::super) payout_number: String,
    pub(in super::super) payout_account: Option<String>,
    pub(in super::super) state: State,
    pub(in super::super) message: Option<String>,
    pub(in super::super) created_at: Timestamp,
    pub(in super::super) sent_at: Option<Timestamp>,
    pub(in super::super) ended_at: Option<Timestamp>,
    pub(in super::super) receipt: Option<String>,
}

/// Which of them.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Wanted {
    pub(in super::super) state: Option<State>,
    pub(in super::super) from: Option<Date>,
    pub(in super::super) to: Option<Date>,
}

/// Those of these tenants, the newest day first. Each is read under its own row security; afterwards the transaction
/// is none's.
pub(in super::super) async fn of_all(
    directory: &mut DirectoryTx,
    tenants: &[TenantId],
    wanted: Wanted,
    most: i64,
) -> sqlx::Result<Vec<Listed>> {
    let ids: Vec<uuid::Uuid> = tenants.iter().map(|tenant| tenant.0).collect();
    sqlx::query_as(
        "select tenant_id, business_name, id, day::text as day, held, amount, fee, payout_kind, payout_number,
                payout_account, state, message, created_at, sent_at, ended_at, receipt
           from platform_settlements($1, $2, $3::date, $4::date) s
          order by s.day desc, s.business_name, s.id
          limit $5",
    )
    .bind(ids)
    .bind(wanted.state)
    .bind(wanted.from.map(|day| day.to_string()))
    .bind(wanted.to.map(|day| day.to_string()))
    .bind(most)
    .fetch_all(&mut **directory)
    .await
}
