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
          where not (p.kind = 'VOUCHER_SALE' and s.source is null
                     and exists (select from vouchers v
                                   join voucher_batches b on b.tenant_id = $1 and b.id = v.batch_id
                                                         and b.seller_id is not null
                                  where v.tenant_id = $1 and v.price = p.amount
                                    and p.source = case when p.into_float then 'revoked voucher ' || v.id
                                                        else 'used voucher ' || v.id end))
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

/// What sellers earned of a sale went back with what was taken back of it: of a payment all or nothing, of a batch of
/// vouchers the share of those that were revoked, to the cent of each.
pub async fn commissions(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<(String, i64, i64)> = sqlx::query_as(
        "with posted as (
             select e.source like 'commission back on %' as back,
                    substr(e.source, case when e.source like 'commission back on %' then 20 else 15 end) as sale,
                    t.amount
               from entries e
               join transfers t on t.tenant_id = $1 and t.entry_id = e.id
              where e.tenant_id = $1 and e.kind = 'COMMISSION'),
         sales as (
             select sale, coalesce(sum(amount) filter (where not back), 0)::bigint as earned,
                    coalesce(sum(amount) filter (where back), 0)::bigint as back
               from posted
              group by sale),
         paid as (
             select 'payment ' || id as sale, status <> 'completed' as gone
               from payments
              where tenant_id = $1 and seller_id is not null),
         revoked as (
             select v.batch_id, count(*) as n
               from entries e
               join vouchers v on v.tenant_id = $1 and e.source = 'revoked voucher ' || v.id
              where e.tenant_id = $1 and e.kind = 'VOUCHER_SALE'
              group by v.batch_id),
         made as (
             select 'voucher batch ' || b.id as sale, b.quantity, coalesce(r.n, 0) as n
               from voucher_batches b
               left join revoked r on r.batch_id = b.id
              where b.tenant_id = $1 and b.seller_id is not null)
         select s.sale, s.earned, s.back
           from sales s
           left join paid p on p.sale = s.sale
           left join made m on m.sale = s.sale
          where not coalesce(case when p.sale is not null then s.back = case when p.gone then s.earned else 0 end
                                  else s.back between 0 and s.earned
                                   and abs(s.back - s.earned * m.n / m.quantity) <= m.n end, false)
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for (sale, earned, back) in wrong {
        let what = format!(
            "the commission of {sale} is {earned}, of which {back} went back: not what was taken back of the sale"
        );
        report.found(tx.tenant(), what);
    }
    Ok(())
}
