//! Sums by day that lists and reports are answered from.

use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use super::Report;
use crate::db::Tx;

#[derive(FromRow)]
struct Wrong {
    place: String,
    n: i64,
    amount: i64,
    rows_n: i64,
    rows_amount: i64,
}

/// The sums by day, with the differences that wait, are what the rows give; those of the day of that instant and later
/// ones, where one is named. That no day is longer than 26 hours spares the rows before it.
pub async fn sums(tx: &mut Tx, since: Option<Timestamp>, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<Wrong> = sqlx::query_as(
        "with zone as materialized (
             select time_zone as name, ($2::timestamptz at time zone time_zone)::date as first,
                    ($2::timestamptz at time zone time_zone)::date::timestamp at time zone time_zone as begins
               from tenants
              where tenant_id = $1),
         line as (
             select 'PAYMENT' as what, paid_at as at, method, status, operator_id as subject,
                    amount - refunded as amount
               from payments
              where tenant_id = $1 and ($2::timestamptz is null or paid_at >= $2::timestamptz - interval '26 hours')
                and paid_at >= coalesce((select begins from zone), '-infinity')
             union all
             select 'INCOME', occurred_at, method, case when reversal_id is null then 'completed' else 'voided' end,
                    null, amount
               from incomes
              where tenant_id = $1 and ($2::timestamptz is null or occurred_at >= $2::timestamptz - interval '26 hours')
                and occurred_at >= coalesce((select begins from zone), '-infinity')
             union all
             select w.what, p.created_at, '', '', w.subject,
                    p.price - p.taken_back - (p.tax - p.tax_taken_back)
               from periods p
              cross join lateral (values ('PACKAGE', p.package_id), ('ROUTER', p.router_id)) as w (what, subject)
              where p.tenant_id = $1 and ($2::timestamptz is null or p.created_at >= $2::timestamptz - interval '26 hours')
                and p.created_at >= coalesce((select begins from zone), '-infinity')
             union all
             select 'BILLED', issued_at, case when period_id is null then 'INVOICE' else 'RECEIPT' end, status, null,
                    amount - credited
               from invoices
              where tenant_id = $1 and ($2::timestamptz is null or issued_at >= $2::timestamptz - interval '26 hours')
                and issued_at >= coalesce((select begins from zone), '-infinity')
             union all
             select w.what, i.issued_at, '', '', w.subject,
                    i.amount - i.credited - (taxes_of(i.taxes) - i.credited_tax)
               from invoices i
              cross join lateral (values ('PACKAGE', i.package_id), ('ROUTER', i.router_id)) as w (what, subject)
              where i.tenant_id = $1 and ($2::timestamptz is null or i.issued_at >= $2::timestamptz - interval '26 hours')
                and i.issued_at >= coalesce((select begins from zone), '-infinity')
                and i.period_id is null and i.status <> 'CANCELLED'
             union all
             select 'SETTLED', paid_at, paid_by, 'completed', settled_by, amount - credited
               from invoices
              where tenant_id = $1 and ($2::timestamptz is null or paid_at >= $2::timestamptz - interval '26 hours')
                and paid_at >= coalesce((select begins from zone), '-infinity')
                and period_id is null and status = 'PAID' and paid_by <> 'WALLET'
             union all
             select 'INTENT', created_at, '', outcome_of(state), null, 0
               from intents
              where tenant_id = $1 and ($2::timestamptz is null or created_at >= $2::timestamptz - interval '26 hours')
                and created_at >= coalesce((select begins from zone), '-infinity')),
         given as (
             select l.what, (l.at at time zone z.name)::date as day, l.method, l.status,
                    coalesce(l.subject, '00000000-0000-0000-0000-000000000000') as subject,
                    count(*) as n, sum(l.amount)::bigint as amount
               from line l
              cross join zone z
              group by 1, 2, 3, 4, 5),
         kept as (
             select what, day, method, status, subject, sum(n)::bigint as n, sum(amount)::bigint as amount
               from (select what, day, method, status, subject, n, amount from tallies
                      where tenant_id = $1
                     union all
                     select what, day, method, status, subject, n, amount from untallied
                      where tenant_id = $1) t
              where day >= coalesce((select first from zone), '-infinity')
              group by 1, 2, 3, 4, 5)
         select concat_ws(' ', what, nullif(method, ''), nullif(status, ''),
                          nullif(subject, '00000000-0000-0000-0000-000000000000'), 'on', day) as place,
                coalesce(k.n, 0) as n, coalesce(k.amount, 0) as amount,
                coalesce(g.n, 0) as rows_n, coalesce(g.amount, 0) as rows_amount
           from kept k
           full join given g using (what, day, method, status, subject)
          where coalesce(k.n, 0) <> coalesce(g.n, 0) or coalesce(k.amount, 0) <> coalesce(g.amount, 0)
          order by day, place
          limit 1000",
    )
    .bind(tx.tenant())
    .bind(since)
    .fetch_all(&mut **tx)
    .await?;
    for Wrong {
        place,
        n,
        amount,
        rows_n,
        rows_amount,
    } in wrong
    {
        let what = format!(
            "the tally of {place} is {n} of {amount} where the rows give {rows_n} of {rows_amount}"
        );
        report.found(tx.tenant(), what);
    }
    Ok(())
}
