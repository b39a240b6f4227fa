//! Income and expenses typed by hand, and days that are closed.

use uuid::Uuid;

use super::Report;
use crate::db::Tx;

/// Every income that was typed has its entry, and every such entry its income.
pub async fn incomes(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<Uuid> = sqlx::query_scalar(
        "select coalesce(i.id, e.id)
           from (select * from incomes where tenant_id = $1) i
           full join (select * from entries where tenant_id = $1 and kind = 'INCOME') e on e.id = i.entry_id
           left join transfers t on t.tenant_id = $1 and t.entry_id = e.id and t.line = 1
          where i.id is null or e.id is null
             or (t.amount, t.credit_account) is distinct from (i.amount, i.account)
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for id in wrong {
        let what = format!("income {id} does not agree with its entry, or one of them is missing");
        report.found(tx.tenant(), what);
    }
    Ok(())
}

/// Every expense has its entry, and every such entry its expense.
pub async fn expenses(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<Uuid> = sqlx::query_scalar(
        "select coalesce(x.id, e.id)
           from (select * from expenses where tenant_id = $1) x
           full join (select * from entries where tenant_id = $1 and kind = 'EXPENSE') e on e.id = x.entry_id
           left join transfers t on t.tenant_id = $1 and t.entry_id = e.id and t.line = 1
          where x.id is null or e.id is null
             or (t.amount, t.debit_account) is distinct from (x.amount, x.account)
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for id in wrong {
        let what = format!("expense {id} does not agree with its entry, or one of them is missing");
        report.found(tx.tenant(), what);
    }
    Ok(())
}

/// What was taken back was booked the other way, once, to the cent.
pub async fn corrections(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<Uuid> = sqlx::query_scalar(
        "with taken_back as (
             select id, entry_id, reversal_id from incomes where tenant_id = $1 and reversal_id is not null
             union all
             select id, entry_id, reversal_id from expenses where tenant_id = $1 and reversal_id is not null)
         select coalesce(b.id, e.id)
           from taken_back b
           full join (select * from entries where tenant_id = $1 and kind = 'CORRECTION') e
             on e.id = b.reversal_id
           left join transfers was on was.tenant_id = $1 and was.entry_id = b.entry_id and was.line = 1
           left join transfers is_now on is_now.tenant_id = $1 and is_now.entry_id = e.id and is_now.line = 1
          where b.id is null or e.id is null
             or (was.amount, was.debit_account, was.credit_account)
                is distinct from (is_now.amount, is_now.credit_account, is_now.debit_account)
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for id in wrong {
        let what = format!("{id} was taken back and its correction is missing or another");
        report.found(tx.tenant(), what);
    }
    Ok(())
}

/// Nothing was booked on a day that was closed at the time. Two nodes' clocks differ by a second at most.
pub async fn closed_days(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let late: Vec<Uuid> = sqlx::query_scalar(
        "select e.id
           from (select open_from, set_at,
                        lead(set_at) over (order by number) as until
                   from book_locks
                  where tenant_id = $1) l
           join entries e on e.tenant_id = $1 and e.occurred_at < l.open_from
            and e.posted_at > l.set_at + interval '2 seconds'
            and (l.until is null or e.posted_at < l.until - interval '2 seconds')
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for id in late {
        report.found(
            tx.tenant(),
            format!("entry {id} was booked on a day that was closed"),
        );
    }
    Ok(())
}
