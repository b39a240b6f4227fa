//! SQL on days that were compared with a statement.

use easyisp_shared::id::{GatewayId, OperatorId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use jiff::civil::Date;
use sqlx::FromRow;

use super::super::stated::{Difference, DifferenceKind, Stated};
use crate::db::Tx;

/// How a day stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, utoipa::ToSchema, sqlx::Type)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
#[schema(as = DayState)]
pub enum State {
    /// Something is not explained yet, or it was opened again.
    Open,
    /// The statement and the books agree, or each difference was explained.
    Closed,
}

/// A day that was compared.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Day {
    pub(in super::super) gateway_id: GatewayId,
    pub(in super::super) shortcode: String,
    pub(in super::super) day: String,
    pub(in super::super) state: State,
    pub(in super::super) received: Cents,
    pub(in super::super) booked: Cents,
    pub(in super::super) opening_balance: Option<Cents>,
    pub(in super::super) closing_balance: Option<Cents>,
    pub(in super::super) compared_at: Timestamp,
    pub(in super::super) compared_by: OperatorId,
    pub(in super::super) closed_at: Option<Timestamp>,
    pub(in super::super) closed_by: Option<OperatorId>,
    pub(in super::super) reopened_at: Option<Timestamp>,
    pub(in super::super) reopened_by: Option<OperatorId>,
    pub(in super::super) reopen_reason: Option<String>,
}

/// A difference as its row has it.
#[derive(FromRow, Clone, Debug)]
pub(in super::super) struct Found {
    pub(in super::super) gateway_id: GatewayId,
    pub(in super::super) day: String,
    pub(in super::super) reference: String,
    pub(in super::super) kind: DifferenceKind,
    pub(in super::super) stated: Option<Cents>,
    pub(in super::super) booked: Option<Cents>,
    pub(in super::super) reason: Option<String>,
    pub(in super::super) explained_by: Option<OperatorId>,
    pub(in super::super) explained_at: Option<Timestamp>,
}

/// The days of all gateways, or of one, the newest first, and how many there are.
pub(in super::super) async fn list(
    tx: &mut Tx,
    gateway: Option<GatewayId>,
    (limit, offset): (i64, i64),
) -> sqlx::Result<(Vec<Day>, i64)> {
    let days = sqlx::query_as(
        "select d.gateway_id, g.shortcode, d.day::text, d.state, d.received, d.booked, d.opening_balance,
                d.closing_balance, d.compared_at, d.compared_by, d.closed_at, d.closed_by, d.reopened_at,
                d.reopened_by, d.reopen_reason
           from statement_days d
           join gateways g on g.tenant_id = $1 and g.id = d.gateway_id
          where d.tenant_id = $1 and ($2::uuid is null or d.gateway_id = $2)
          order by d.day desc, d.gateway_id
          limit $3 offset $4",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .bind(limit)
    .bind(offset)
    .fetch_all(&mut **tx)
    .await?;
    let total = sqlx::query_scalar(
        "select count(*) from statement_days where tenant_id = $1 and ($2::uuid is null or gateway_id = $2)",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .fetch_one(&mut **tx)
    .await?;
    Ok((days, total))
}

/// The first `most` differences of the days from `from` to `to`.
pub(in super::super) async fn differences(
    tx: &mut Tx,
    (from, to): (&str, &str),
    most: i64,
) -> sqlx::Result<Vec<Found>> {
    sqlx::query_as(
        "select gateway_id, day::text, reference, kind, stated, booked, reason, explained_by, explained_at
           from statement_differences
          where tenant_id = $1 and day between $2::date and $3::date
          order by day desc, gateway_id, reference
          limit $4",
    )
    .bind(tx.tenant())
    .bind(from)
    .bind(to)
    .bind(most)
    .fetch_all(&mut **tx)
    .await
}

/// Locks a day; how it stands. `None` = it was never compared.
pub(in super::super) async fn lock(
    tx: &mut Tx,
    gateway: GatewayId,
    day: Date,
) -> sqlx::Result<Option<State>> {
    sqlx::query_scalar(
        "select state from statement_days
          where tenant_id = $1 and gateway_id = $2 and day = $3::date
            for update",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .bind(day.to_string())
    .fetch_optional(&mut **tx)
    .await
}

/// What our payments to a gateway's short code say came from `from` on and before `to`: a statement is of all its
/// gateways.
pub(in super::super) async fn booked(
    tx: &mut Tx,
    gateway: GatewayId,
    from: Timestamp,
    to: Timestamp,
) -> sqlx::Result<Cents> {
    sqlx::query_scalar(
        "select coalesce(sum(amount), 0)::bigint
           from payments
          where tenant_id = $1 and paid_at >= $3 and paid_at < $4 and method = 'MPESA' and status <> 'voided'
            and gateway_id in (select same.id
                                 from gateways here
                                 join gateways same on same.tenant_id = $1 and same.shortcode = here.shortcode
                                                   and same.type = here.type
                                where here.tenant_id = $1 and here.id = $2)",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .bind(from)
    .bind(to)
    .fetch_one(&mut **tx)
    .await
}

/// The balance with which the last day before ended that has a statement, as that said: what moved on days between them
/// stands in none.
pub(in super::super) async fn balance_before(
    tx: &mut Tx,
    gateway: GatewayId,
    day: Date,
) -> sqlx::Result<Option<Cents>> {
    let balance: Option<Option<Cents>> = sqlx::query_scalar(
        "select closing_balance from statement_days
          where tenant_id = $1 and gateway_id = $2 and day < $3::date
          order by day desc
          limit 1",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .bind(day.to_string())
    .fetch_optional(&mut **tx)
    .await?;
    Ok(balance.flatten())
}

/// Writes what a comparison of an open day found; a difference that was explained and is the same stays so. Returns
/// how many are not explained.
pub(in super::super) async fn write(
    tx: &mut Tx,
    gateway: GatewayId,
    stated: &Stated,
    booked: Cents,
    by: OperatorId,
    now: Timestamp,
) -> sqlx::Result<i64> {
    let day = stated.day.to_string();
    sqlx::query(
        "insert into statement_days (tenant_id, gateway_id, day, state, received, booked, opening_balance,
                closing_balance, compared_at, compared_by)
         values ($1, $2, $3::date, 'OPEN', $4, $5, $6, $7, $8, $9)
             on conflict (tenant_id, gateway_id, day) do update
            set received = excluded.received, booked = excluded.booked,
                opening_balance = excluded.opening_balance, closing_balance = excluded.closing_balance,
                compared_at = excluded.compared_at, compared_by = excluded.compared_by",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .bind(&day)
    .bind(stated.received)
    .bind(booked)
    .bind(stated.opening)
    .bind(stated.closing)
    .bind(now)
    .bind(by)
    .execute(&mut **tx)
    .await?;
    let each = |of: fn(&Difference) -> String| -> Vec<String> {
        stated.differences.iter().map(of).collect()
    };
    let amounts = |of: fn(&Difference) -> Option<Cents>| -> Vec<Option<Cents>> {
        stated.differences.iter().map(of).collect()
    };
    sqlx::query(
        "with gone as (
             delete from statement_differences
              where tenant_id = $1 and gateway_id = $2 and day = $3::date and reference <> all($4))
         insert into statement_differences as d
                (tenant_id, gateway_id, day, reference, kind, stated, booked)
         select $1, $2, $3::date, n.reference, n.kind, n.stated, n.booked
           from unnest($4::text[], $5::text[], $6::bigint[], $7::bigint[])
             as n (reference, kind, stated, booked)
             on conflict (tenant_id, gateway_id, day, reference) do update
            set kind = excluded.kind, stated = excluded.stated, booked = excluded.booked,
                reason = null, explained_by = null, explained_at = null
          where (d.kind, d.stated, d.booked) is distinct from
                (excluded.kind, excluded.stated, excluded.booked)",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .bind(&day)
    .bind(each(|one| one.reference.clone()))
    .bind(each(|one| one.kind.as_str().to_owned()))
    .bind(amounts(|one| one.stated))
    .bind(amounts(|one| one.booked))
    .execute(&mut **tx)
    .await?;
    unexplained(tx, gateway, stated.day).await
}

/// How many differences of a day nobody explained.
pub(in super::super) async fn unexplained(
    tx: &mut Tx,
    gateway: GatewayId,
    day: Date,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*) from statement_differences
          where tenant_id = $1 and gateway_id = $2 and day = $3::date and reason is null",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .bind(day.to_string())
    .fetch_one(&mut **tx)
    .await
}

/// What kinds of differences of a day nobody explained.
pub(in super::super) async fn waits_for(
    tx: &mut Tx,
    gateway: GatewayId,
    day: Date,
) -> sqlx::Result<Vec<DifferenceKind>> {
    sqlx::query_scalar(
        "select distinct kind from statement_differences
          where tenant_id = $1 and gateway_id = $2 and day = $3::date and reason is null
          order by kind",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .bind(day.to_string())
    .fetch_all(&mut **tx)
    .await
}

/// The days from `from` to `to` that are closed.
pub(in super::super) async fn closed(
    tx: &mut Tx,
    gateway: GatewayId,
    from: Date,
    to: Date,
) -> sqlx::Result<Vec<Date>> {
    let days: Vec<String> = sqlx::query_scalar(
        "select day::text from statement_days
          where tenant_id = $1 and gateway_id = $2 and day between $3::date and $4::date and state = 'CLOSED'",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .bind(from.to_string())
    .bind(to.to_string())
    .fetch_all(&mut **tx)
    .await?;
    let days = days.into_iter().map(|day| read(Some(day)));
    Ok(days
        .collect::<sqlx::Result<Vec<Option<Date>>>>()?
        .into_iter()
        .flatten()
        .collect())
}

/// Writes why a difference is in order; whether there is such a one.
pub(in super::super) async fn explain(
    tx: &mut Tx,
    (gateway, day): (GatewayId, Date),
    reference: &str,
    reason: &str,
    by: OperatorId,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update statement_differences set reason = $5, explained_by = $6, explained_at = $7
          where tenant_id = $1 and gateway_id = $2 and day = $3::date and reference = $4",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .bind(day.to_string())
    .bind(reference)
    .bind(reason)
    .bind(by)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Marks a day as closed.
pub(in super::super) async fn close(
    tx: &mut Tx,
    gateway: GatewayId,
    day: Date,
    by: OperatorId,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update statement_days set state = 'CLOSED', closed_at = $4, closed_by = $5
          where tenant_id = $1 and gateway_id = $2 and day = $3::date",
    )
    .bind(tx.tenant())
    .bind(gateway)
    .bind(day.to_string())
    .bind(now)
    .bind(by)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Opens a day again at every gateway where it is closed; at how many it was.
pub(in super::super) async fn reopen(
    tx: &mut Tx,
    day: Date,
    reason: &str,
    by: OperatorId,
    now: Timestamp,
) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "update statement_days
            set state = 'OPEN', closed_at = null, closed_by = null, reopened_at = $3, reopened_by = $4,
                reopen_reason = $5
          where tenant_id = $1 and day = $2::date and state = 'CLOSED'",
    )
    .bind(tx.tenant())
    .bind(day.to_string())
    .bind(now)
    .bind(by)
    .bind(reason)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// The last day from `from` on that is closed at some gateway.
pub(in super::super) async fn last_closed(
    tx: &mut Tx,
    from: Option<Date>,
) -> sqlx::Result<Option<Date>> {
    let day: Option<String> = sqlx::query_scalar(
        "select max(day)::text from statement_days
          where tenant_id = $1 and state = 'CLOSED' and ($2::date is null or day >= $2::date)",
    )
    .bind(tx.tenant())
    .bind(from.map(|day| day.to_string()))
    .fetch_one(&mut **tx)
    .await?;
    read(day)
}

/// The last closed day up to which nothing is open: no day that was compared, and none since the books' first open day
/// on which money came to an M-Pesa gateway that no statement closed for its short code.
pub(in super::super) async fn closed_through(tx: &mut Tx) -> sqlx::Result<Option<Date>> {
    let day: Option<String> = sqlx::query_scalar(
        "with books as (
             select t.time_zone,
                    coalesce((select l.first_open from book_locks l where l.tenant_id = $1
                               order by l.number desc limit 1), '-infinity'::date) as first_open
               from tenants t
              where t.tenant_id = $1),
         uncompared as (
             select (p.paid_at at time zone b.time_zone)::date as day
               from books b
               join payments p on p.tenant_id = $1 and p.status <> 'voided' and p.method = 'MPESA'
                              and p.paid_at >= b.first_open::timestamp at time zone b.time_zone
               join gateways g on g.tenant_id = $1 and g.id = p.gateway_id and g.type = 'MPESA_API'
                              and not g.platform and g.deleted_at is null
              where not exists (select from statement_days s
                                  join gateways o on o.tenant_id = $1 and o.id = s.gateway_id
                                                 and o.shortcode = g.shortcode and o.type = g.type
                                 where s.tenant_id = $1
                                   and s.day = (p.paid_at at time zone b.time_zone)::date and s.state = 'CLOSED')
              order by p.paid_at
              limit 1)
         select max(d.day)::text
           from statement_days d
           join books b on true
          where d.tenant_id = $1 and d.state = 'CLOSED' and d.day >= b.first_open
            and not exists (select from statement_days o
                             where o.tenant_id = $1 and o.state = 'OPEN' and o.day <= d.day)
            and not exists (select from uncompared u where u.day <= d.day)",
    )
    .bind(tx.tenant())
    .fetch_one(&mut **tx)
    .await?;
    read(day)
}

fn read(day: Option<String>) -> sqlx::Result<Option<Date>> {
    day.map(|day| day.parse())
        .transpose()
        .map_err(|error: jiff::Error| sqlx::Error::Decode(error.into()))
}
