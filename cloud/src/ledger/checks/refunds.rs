//! Money that goes back.

use sqlx::FromRow;

use super::Report;
use crate::db::Tx;

#[derive(FromRow)]
struct Wrong {
    what: String,
    held: i64,
    gone: i64,
}

/// Exactly what is on its way back is set aside, and exactly what was sent back is gone.
pub async fn entries(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<Wrong> = sqlx::query_as(
        "with moved as (
             select e.source,
                    sum(case when t.credit_account = '2400' then t.amount
                             when t.debit_account = '2400' then -t.amount else 0 end)::bigint as held,
                    sum(case when t.credit_account in ('1010', '1011', '1040') then t.amount else 0 end)::bigint as gone,
                    bool_or(t.credit_account = '1040') as held_by_platform
               from entries e
               join transfers t on t.tenant_id = $1 and t.entry_id = e.id
              where e.tenant_id = $1 and e.kind in ('REFUND', 'REVERSAL', 'RELEASE')
              group by e.source)
         select coalesce('refund ' || r.id, m.source) as what, coalesce(m.held, 0) as held,
                coalesce(m.gone, 0) as gone
           from (select r.*, g.platform
                   from refunds r
                   join gateways g on g.tenant_id = $1 and g.id = r.gateway_id
                  where r.tenant_id = $1) r
           full join moved m on m.source = 'refund ' || r.id
          where (coalesce(m.held, 0), coalesce(m.gone, 0)) is distinct from
                (case when r.state in ('APPROVED', 'SENT', 'UNKNOWN') then r.amount else 0 end,
                 case when r.state = 'DONE' then r.amount else 0 end)
             or r.state = 'DONE' and m.held_by_platform is distinct from r.platform
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for Wrong { what, held, gone } in wrong {
        let what =
            format!("{what} has {held} set aside and {gone} gone, which is not what it says");
        report.found(tx.tenant(), what);
    }
    Ok(())
}

/// What was given back of periods is what customers got back of what was earned and of the taxes in it.
pub async fn periods(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<(Option<uuid::Uuid>, i64, i64)> = sqlx::query_as(
        "with moved as (
             select t.credit_party as customer_id, sum(t.amount)::bigint as amount,
                    coalesce(sum(t.amount) filter (where t.debit_account <> '4000'), 0)::bigint as tax
               from entries e
               join transfers t on t.tenant_id = $1 and t.entry_id = e.id and t.credit_account = '2000'
              where e.tenant_id = $1 and e.kind = 'REVERSAL'
              group by t.credit_party),
         said as (
             select customer_id, sum(taken_back)::bigint as amount, sum(tax_taken_back)::bigint as tax
               from periods
              where tenant_id = $1 and taken_back > 0
              group by customer_id)
         select coalesce(s.customer_id, m.customer_id), coalesce(m.amount, 0), coalesce(s.amount, 0)
           from said s
           full join moved m on m.customer_id = s.customer_id
          where (m.amount, m.tax) is distinct from (s.amount, s.tax)
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for (customer, moved, said) in wrong {
        let whose = customer.map_or("nobody".to_owned(), |id| id.to_string());
        let what = format!(
            "{moved} was given back to {whose} where his periods say {said}, or other taxes of it"
        );
        report.found(tx.tenant(), what);
    }
    Ok(())
}

/// A payment says what of it is sent back or on its way, and that it is refunded when nothing is left.
pub async fn payments(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<uuid::Uuid> = sqlx::query_scalar(
        "select p.id
           from payments p
           left join (select payment_id,
                             sum(amount) filter (where state in ('APPROVED', 'SENT', 'UNKNOWN', 'DONE')) as taken,
                             sum(amount) filter (where state = 'DONE') as gone
                        from refunds
                       where tenant_id = $1
                       group by payment_id) r on r.payment_id = p.id
          where p.tenant_id = $1
            and (p.refunded <> coalesce(r.taken, 0)
                 or (p.status = 'refunded') <> (coalesce(r.gone, 0) = p.amount))
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for id in wrong {
        let what = format!("payment {id} does not agree with its refunds");
        report.found(tx.tenant(), what);
    }
    Ok(())
}
