//! Money that the platform collected for a tenant.

use sqlx::FromRow;

use super::Report;
use crate::db::Tx;

#[derive(FromRow)]
struct Wrong {
    what: String,
    gone: i64,
    said: i64,
}

/// Exactly what was settled left what the platform holds, settlement by settlement.
pub async fn payouts(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<Wrong> = sqlx::query_as(
        "with moved as (
             select e.source, sum(case when t.credit_account = '1040' then t.amount else 0 end)::bigint as gone
               from entries e
               join transfers t on t.tenant_id = $1 and t.entry_id = e.id
              where e.tenant_id = $1 and e.kind = 'PAYOUT'
              group by e.source),
         said as (
             select 'settlement ' || id as source,
                    case when state = 'DONE' then amount + fee else 0 end as gone
               from settlements
              where tenant_id = $1)
         select coalesce(s.source, m.source) as what, coalesce(m.gone, 0) as gone, coalesce(s.gone, 0) as said
           from said s
           full join moved m on m.source = s.source
          where coalesce(m.gone, 0) <> coalesce(s.gone, 0)
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for Wrong { what, gone, said } in wrong {
        report.found(
            tx.tenant(),
            format!("{what} took {gone} out of what the platform holds where it says {said}"),
        );
    }
    Ok(())
}

/// What the platform holds is what came to its short code, less what went back to payers and what was settled.
pub async fn balance(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let (held, should): (i64, i64) = sqlx::query_as(
        "select (select coalesce(sum(case when debit_account = '1040' then amount else -amount end), 0)
                   from transfers
                  where tenant_id = $1 and '1040' in (debit_account, credit_account))::bigint,
                (select coalesce(sum(p.amount), 0)
                   from payments p
                   join gateways g on g.tenant_id = $1 and g.id = p.gateway_id and g.platform
                  where p.tenant_id = $1 and p.status <> 'voided')::bigint
              - (select coalesce(sum(r.amount), 0)
                   from refunds r
                   join gateways g on g.tenant_id = $1 and g.id = r.gateway_id and g.platform
                  where r.tenant_id = $1 and r.state = 'DONE')::bigint
              - (select coalesce(sum(amount + fee), 0)
                   from settlements
                  where tenant_id = $1 and state = 'DONE')::bigint",
    )
    .bind(tx.tenant())
    .fetch_one(&mut **tx)
    .await?;
    if held != should {
        report.found(
            tx.tenant(),
            format!(
                "the platform holds {held} by the books, where payments, refunds and settlements give {should}"
            ),
        );
    }
    Ok(())
}
