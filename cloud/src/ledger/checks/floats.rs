//! Sellers' floats.

use uuid::Uuid;

use super::Report;
use crate::db::Tx;

/// What a seller has and owes is what was booked for him.
pub async fn balances(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<(Option<Uuid>, i64, i64)> = sqlx::query_as(
        "with legs as (
             select credit_party as seller, credit_account as account, amount from transfers
              where tenant_id = $1 and credit_account in ('1110', '2500')
             union all
             select debit_party, debit_account, -amount from transfers
              where tenant_id = $1 and debit_account in ('1110', '2500')),
         booked as (
             select seller, coalesce(sum(amount) filter (where account = '2500'), 0)::bigint as balance,
                    coalesce(-sum(amount) filter (where account = '1110'), 0)::bigint as owed
               from legs
              group by seller)
         select coalesce(f.operator_id, b.seller), coalesce(b.balance, 0), coalesce(f.balance, 0)
           from (select * from floats where tenant_id = $1) f
           full join booked b on b.seller = f.operator_id
          where (coalesce(b.balance, 0), coalesce(b.owed, 0))
                is distinct from (coalesce(f.balance, 0), coalesce(f.owed, 0))
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for (seller, booked, kept) in wrong {
        let whose = seller.map_or("nobody".to_owned(), |id| id.to_string());
        let what = format!(
            "the float of {whose} is {kept} where its transfers give {booked}, or what he owes is another"
        );
        report.found(tx.tenant(), what);
    }
    Ok(())
}

/// Every load, handover and return has its entry, and so has what sellers took vouchers for; every such entry is of one.
pub async fn entries(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<String> = sqlx::query_scalar(
        "with posted as (
             select e.id, e.kind, e.source, sum(t.amount)::bigint as amount,
                    max(t.credit_account) = '2500' as into_float
               from entries e
               join transfers t on t.tenant_id = $1 and t.entry_id = e.id
              where e.tenant_id = $1 and e.kind in ('FLOAT', 'VOUCHER_SALE')
              group by e.id, e.kind, e.source),
         said as (
             select 'FLOAT' as kind, 'float ' || id as source, entry_id, amount, kind = 'LOAD' as into_float
               from float_moves
              where tenant_id = $1
             union all
             select 'VOUCHER_SALE', 'voucher batch ' || id, null::uuid, quantity * price, false
               from voucher_batches
              where tenant_id = $1 and seller_id is not null and price > 0)
         select coalesce(s.source, p.source)
           from said s
           full join posted p on p.kind = s.kind and p.source = s.source
          where not (p.kind = 'VOUCHER_SALE' and p.into_float and p.source like 'revoked voucher %'
                     and s.source is null
                     and exists (select from vouchers v
                                   join voucher_batches b on b.tenant_id = $1 and b.id = v.batch_id
                                                         and b.seller_id is not null
                                  where v.tenant_id = $1 and p.source = 'revoked voucher ' || v.id
                                    and v.price = p.amount))
            and (s.source is null or p.id is null or p.amount <> s.amount or p.into_float <> s.into_float
                 or s.entry_id is not null and s.entry_id <> p.id)
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for source in wrong {
        let what = format!("{source} of a seller does not agree with its entry, or one is missing");
        report.found(tx.tenant(), what);
    }
    Ok(())
}
