//! Invoices: what was billed is owed, until it is paid or taken back.

use uuid::Uuid;

use super::Report;
use crate::db::Tx;

/// Every invoice has the entries that its state asks for, to the cent, and every such entry one invoice.
pub async fn entries(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<Uuid> = sqlx::query_scalar(
        "with asked as (
             select id, customer_id, amount, entry_id, 'INVOICE' as kind from invoices
              where tenant_id = $1 and period_id is null
             union all
             select id, customer_id, amount - credited, settlement_id, 'SETTLEMENT' from invoices
              where tenant_id = $1 and settlement_id is not null and period_id is null
             union all
             select i.id, i.customer_id, coalesce(n.amount, i.amount), n.entry_id, 'CREDIT_NOTE'
               from credit_notes n
               join invoices i on i.tenant_id = $1 and i.id = n.invoice_id
              where n.tenant_id = $1 and i.period_id is null
             union all
             -- what had been taken back of it by then
             select i.id, i.customer_id,
                    i.amount - (select coalesce(sum(n.amount), 0) from credit_notes n
                                 where n.tenant_id = $1 and n.invoice_id = i.id and n.issued_at <= r.paid_at),
                    w.entry_id, w.kind
               from invoice_reopenings r
               join invoices i on i.tenant_id = $1 and i.id = r.invoice_id
              cross join lateral (values (r.settlement_id, 'SETTLEMENT'), (r.reversal_id, 'REOPENING'))
                         as w (entry_id, kind)
              where r.tenant_id = $1),
         posted as (
             select e.id, e.kind, e.customer_id,
                    (select coalesce(sum(case when t.debit_account = '1100' then t.amount else 0 end
                                       - case when t.credit_account = '1100' then t.amount else 0 end), 0)
                       from transfers t where t.tenant_id = $1 and t.entry_id = e.id) as owed
               from entries e
              where e.tenant_id = $1 and e.kind in ('INVOICE', 'SETTLEMENT', 'CREDIT_NOTE', 'REOPENING'))
         select coalesce(a.id, p.id)
           from asked a
           full join posted p on p.id = a.entry_id and p.kind = a.kind
          where a.id is null or p.id is null
             or p.customer_id is distinct from a.customer_id
             or p.owed <> case when a.kind in ('INVOICE', 'REOPENING') then a.amount else -a.amount end
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for id in wrong {
        let what = format!("invoice {id} and its entries do not say the same");
        report.found(tx.tenant(), what);
    }
    Ok(())
}

/// A year's numbers begin at one and have no gap.
pub async fn numbers(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<(i16, i64, Option<i32>)> = sqlx::query_as(
        "select coalesce(i.year, n.year), coalesce(i.issued, 0), n.last
           from (select year, count(*) as issued, min(serial) as first, max(serial) as last
                   from invoices where tenant_id = $1 group by year) i
           full join (select year, last from invoice_numbers where tenant_id = $1) n on n.year = i.year
          where i.first <> 1 or i.issued <> i.last or n.last is distinct from i.last",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for (year, issued, last) in wrong {
        let last = last.unwrap_or_default();
        let what = format!("{issued} invoices of {year} have numbers that end at {last}");
        report.found(tx.tenant(), what);
    }
    Ok(())
}

/// Whatever took an invoice back is a document, and a year's numbers of these have no gap either.
pub async fn notes(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let bare: Vec<String> = sqlx::query_scalar(
        "select coalesce(i.number, n.number)
           from (select * from invoices where tenant_id = $1 and credit_note_id is not null) i
           full join (select n.*
                        from credit_notes n
                        join invoices o on o.tenant_id = $1 and o.id = n.invoice_id
                       where n.tenant_id = $1 and (n.amount is null or n.entry_id = o.credit_note_id)) n
                  on n.invoice_id = i.id
          where i.credit_note_id is distinct from n.entry_id
             or (n.amount is null and i.credited <> 0) or (n.amount is not null and i.credited <> i.amount)
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for number in bare {
        let what = format!("{number} was taken back without a document, or the other way round");
        report.found(tx.tenant(), what);
    }
    let wrong: Vec<(i16, i64, Option<i32>)> = sqlx::query_as(
        "select coalesce(i.year, n.year), coalesce(i.issued, 0), n.last
           from (select year, count(*) as issued, min(serial) as first, max(serial) as last
                   from credit_notes where tenant_id = $1 group by year) i
           full join (select year, last from credit_note_numbers where tenant_id = $1) n on n.year = i.year
          where i.first <> 1 or i.issued <> i.last or n.last is distinct from i.last",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for (year, issued, last) in wrong {
        let last = last.unwrap_or_default();
        let what = format!("{issued} credit notes of {year} have numbers that end at {last}");
        report.found(tx.tenant(), what);
    }
    Ok(())
}

/// A receipt says what was sold, to the cent, and its credit notes no more than what of that was given back.
pub async fn receipts(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<String> = sqlx::query_scalar(
        "select i.number
           from invoices i
           left join periods p on p.tenant_id = $1 and p.id = i.period_id and p.receipted
           left join (select invoice_id, sum(amount)::bigint as amount, sum(taxes_of(coalesce(taxes, '[]')))::bigint as tax
                        from credit_notes
                       where tenant_id = $1 and amount is not null
                       group by invoice_id) n on n.invoice_id = i.id
          where i.tenant_id = $1
            and (i.period_id is not null
                 and ((p.entry_id, p.customer_id, p.price, coalesce(p.taxes, '[]'::jsonb))
                      is distinct from (i.entry_id, i.customer_id, i.amount, i.taxes)
                      or i.credited > p.taken_back)
                 or i.credited <> coalesce(n.amount, 0)
                 or i.credited_tax <> coalesce(n.tax, 0))
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for number in wrong {
        let what = format!("receipt {number} and its credit notes do not say what was sold");
        report.found(tx.tenant(), what);
    }
    Ok(())
}

/// What a customer owes is the sum of his open invoices.
pub async fn debts(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<(Option<Uuid>, i64, i64)> = sqlx::query_as(
        "with legs as (
             select debit_party as customer_id, amount from transfers
              where tenant_id = $1 and debit_account = '1100'
             union all
             select credit_party, -amount from transfers
              where tenant_id = $1 and credit_account = '1100'),
         owed as (select customer_id, sum(amount)::bigint as n from legs group by customer_id),
         open as (select customer_id, sum(amount - credited)::bigint as n from invoices
                   where tenant_id = $1 and status = 'PENDING' group by customer_id)
         select coalesce(o.customer_id, i.customer_id), coalesce(o.n, 0), coalesce(i.n, 0)
           from owed o
           full join open i on i.customer_id = o.customer_id
          where coalesce(o.n, 0) <> coalesce(i.n, 0)
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for (customer, owed, open) in wrong {
        let whose = customer.map_or("nobody".to_owned(), |id| id.to_string());
        let what = format!("{whose} owes {owed} where his open invoices are {open}");
        report.found(tx.tenant(), what);
    }
    Ok(())
}
