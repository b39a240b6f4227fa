//! Totals that are kept beside the rows they sum, because a page cannot count each time it is opened.

use uuid::Uuid;

use super::Report;
use crate::db::Tx;

/// What a customer spent is what his periods were sold for, less what was taken back of it.
pub async fn spent(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<(Uuid, i64, i64)> = sqlx::query_as(
        "select c.id, c.total_spent, coalesce(p.n, 0)
           from customers c
           left join (select customer_id, sum(price - taken_back)::bigint as n
                        from periods where tenant_id = $1 group by customer_id) p on p.customer_id = c.id
          where c.tenant_id = $1 and c.total_spent <> coalesce(p.n, 0)
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for (customer, kept, sold) in wrong {
        let what = format!("{customer} is said to have spent {kept} where his periods give {sold}");
        report.found(tx.tenant(), what);
    }
    Ok(())
}

/// How many customers and used codes there are is how many there are.
pub async fn counts(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<(String, i64, i64)> = sqlx::query_as(
        "select k.what, k.n::bigint, coalesce(c.n, 0)
           from counts k
           left join (select 'customers.' || connection_type as what, count(*) as n
                        from customers where tenant_id = $1 and deleted_at is null
                       group by connection_type) c on c.what = k.what
          where k.tenant_id = $1 and k.what like 'customers.%' and k.n <> coalesce(c.n, 0)
         union all
         select 'codes of batch ' || b.id, (b.used + b.revoked)::bigint, coalesce(v.n, 0)
           from voucher_batches b
           left join (select batch_id, count(*) as n from vouchers
                       where tenant_id = $1 and status in ('USED', 'REVOKED')
                       group by batch_id) v on v.batch_id = b.id
          where b.tenant_id = $1 and b.used + b.revoked <> coalesce(v.n, 0)
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for (what, kept, counted) in wrong {
        report.found(
            tx.tenant(),
            format!("{what}: {kept} are kept where there are {counted}"),
        );
    }
    Ok(())
}
