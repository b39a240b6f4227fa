//! Single questions the verifier asks, each with the sentence for a wrong answer.
//!
//! They read the tables of the features that money touches: that those agree with the books is the proof. Each is
//! one pass over its tables, joined as wholes: a question per row would take hours over a million payments, and an
//! index for it would slow every payment down.

pub(super) mod by_hand;
pub(super) mod floats;
pub(super) mod held;
pub(super) mod invoices;
pub(super) mod kept;
pub(super) mod refunds;
pub(super) mod tallies;

use std::collections::BTreeMap;

use easyisp_shared::time::Timestamp;
use sqlx::FromRow;
use uuid::Uuid;

use crate::db::Tx;

use super::sealer::Days;
use super::verify::Report;

/// The day totals are the sums of what was sealed.
pub(super) async fn day_totals(tx: &mut Tx, days: &Days, report: &mut Report) -> sqlx::Result<()> {
    let tenant = tx.tenant();
    let kept: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "select day::text, account, debits, credits from day_totals where tenant_id = $1",
    )
    .bind(tenant)
    .fetch_all(&mut **tx)
    .await?;
    let kept: BTreeMap<_, _> = kept
        .into_iter()
        .map(|(day, account, debits, credits)| ((day, account), (debits, credits)))
        .collect();
    for place in kept.keys().chain(days.sums.keys()) {
        let (is, should) = (kept.get(place), days.sums.get(place));
        if is == should {
            continue;
        }
        let (day, account) = place;
        let (is, should) = (
            is.copied().unwrap_or_default(),
            should.copied().unwrap_or_default(),
        );
        let what = format!(
            "the totals of account {account} on {day} are {}/{} where the entries give {}/{}",
            is.0, is.1, should.0, should.1
        );
        if !report.findings.iter().any(|finding| finding.what == what) {
            report.found(tenant, what);
        }
    }
    Ok(())
}

/// On every day that the totals know, as much was debited as was credited.
pub(super) async fn trial_balance(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<(String, i64, i64)> = sqlx::query_as(
        "select day::text, sum(debits)::bigint, sum(credits)::bigint
           from day_totals
          where tenant_id = $1
          group by day
         having sum(debits) <> sum(credits)
          order by day
          limit 100",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for (day, debits, credits) in wrong {
        let what =
            format!("the totals of {day} do not balance: {debits} debits, {credits} credits");
        report.found(tx.tenant(), what);
    }
    Ok(())
}

/// The wallets that moved since then hold what their transfers sum to; the newest 2,000 of them.
pub(super) async fn moved_wallets(
    tx: &mut Tx,
    since: Option<Timestamp>,
    report: &mut Report,
) -> sqlx::Result<()> {
    let wrong: Vec<Purse> = sqlx::query_as(
        "with moved as (
             select customer_id, balance from wallets
              where tenant_id = $1 and updated_at >= coalesce($2::timestamptz, '-infinity')
              order by updated_at desc
              limit 2000)
         select m.customer_id, m.balance, f.fold
           from moved m
          cross join lateral (
                select coalesce((select sum(amount) from transfers
                                  where tenant_id = $1 and credit_account = '2000'
                                    and credit_party = m.customer_id), 0)::bigint
                     - coalesce((select sum(amount) from transfers
                                  where tenant_id = $1 and debit_account = '2000'
                                    and debit_party = m.customer_id), 0)::bigint as fold) f
          where m.balance <> f.fold",
    )
    .bind(tx.tenant())
    .bind(since)
    .fetch_all(&mut **tx)
    .await?;
    name_wallets(tx, wrong, report);
    Ok(())
}

/// Everything posted is either sealed or waits for it, and not both.
pub(super) async fn queue(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let lost: Vec<(String, Uuid)> = sqlx::query_as(
        "select 'entry', e.id
           from entries e
           left join chain c on c.tenant_id = $1 and c.kind = 'ENTRY' and c.subject_id = e.id
           left join unsealed u on u.tenant_id = $1 and u.kind = 'ENTRY' and u.subject_id = e.id
          where e.tenant_id = $1 and (c.subject_id is null) = (u.subject_id is null)
         union all
         select 'audit line', a.id
           from audit a
           left join chain c on c.tenant_id = $1 and c.kind = 'AUDIT' and c.subject_id = a.id
           left join unsealed u on u.tenant_id = $1 and u.kind = 'AUDIT' and u.subject_id = a.id
          where a.tenant_id = $1 and (c.subject_id is null) = (u.subject_id is null)
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for (what, id) in lost {
        let what = format!("{what} {id} is not exactly once in the chain or on its way there");
        report.found(tx.tenant(), what);
    }
    Ok(())
}

/// Every entry moves something, in the tenant's currency.
pub(super) async fn entries(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let empty: Vec<Uuid> = sqlx::query_scalar(
        "select e.id
           from entries e
          where e.tenant_id = $1
            and not exists (select from transfers t where t.tenant_id = $1 and t.entry_id = e.id)
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for id in empty {
        report.found(tx.tenant(), format!("entry {id} moves nothing"));
    }
    let foreign: Vec<(Uuid, i16, String)> = sqlx::query_as(
        "select t.entry_id, t.line, t.currency
           from transfers t
           left join entries e on e.tenant_id = $1 and e.id = t.entry_id
           join tenants o on o.tenant_id = $1
          where t.tenant_id = $1 and (t.currency <> o.currency or e.id is null or t.amount <= 0)
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for (entry, line, currency) in foreign {
        let what = format!(
            "transfer {line} of entry {entry} is in {currency}, moves nothing or has no entry"
        );
        report.found(tx.tenant(), what);
    }
    Ok(())
}

#[derive(FromRow)]
struct Purse {
    customer_id: Option<Uuid>,
    balance: Option<i64>,
    fold: i64,
}

/// Every wallet holds what its transfers sum to.
pub(super) async fn wallets(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<Purse> = sqlx::query_as(
        "with legs as (
             select credit_party as customer_id, amount
               from transfers where tenant_id = $1 and credit_account = '2000'
             union all
             select debit_party, -amount
               from transfers where tenant_id = $1 and debit_account = '2000'),
         folded as (
             select customer_id, sum(amount)::bigint as fold from legs group by customer_id)
         select coalesce(w.customer_id, f.customer_id) as customer_id, w.balance,
                coalesce(f.fold, 0) as fold
           from (select customer_id, balance from wallets where tenant_id = $1) w
           full join folded f on f.customer_id = w.customer_id
          where coalesce(w.balance, 0) <> coalesce(f.fold, 0) or f.customer_id is null and w.balance <> 0
             or w.customer_id is null
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    name_wallets(tx, wrong, report);
    Ok(())
}

fn name_wallets(tx: &Tx, wrong: Vec<Purse>, report: &mut Report) {
    for Purse {
        customer_id,
        balance,
        fold,
    } in wrong
    {
        let whose = customer_id.map_or("nobody".to_owned(), |id| id.to_string());
        let is = balance.map_or("missing".to_owned(), |balance| balance.to_string());
        let what = format!("the wallet of {whose} is {is} where its transfers give {fold}");
        report.found(tx.tenant(), what);
    }
}

/// A wallet may stand below zero only as far as money was taken back from it.
pub(super) async fn floors(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let low: Vec<(Uuid, i64, i64)> = sqlx::query_as(
        "select customer_id, floor, balance
           from wallets
          where tenant_id = $1 and floor <> least(0, balance)
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for (customer, floor, balance) in low {
        let what = format!("the wallet of {customer} holds {balance} and may fall to {floor}");
        report.found(tx.tenant(), what);
    }
    Ok(())
}

/// V4: a period of service exists if and only if its debit is posted: what of it is taxes is owed, the rest earned, and
/// what was not paid of it written off.
pub(super) async fn periods(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let unpaid: Vec<Uuid> = sqlx::query_scalar(
        "select p.id
           from periods p
           left join entries e on e.tenant_id = $1 and e.id = p.entry_id
           left join (select entry_id, sum(amount) as moved,
                             sum(amount) filter (where credit_account = '4000') as earned,
                             sum(amount) filter (where debit_account = '5090') as written_off
                        from transfers
                       where tenant_id = $1 group by entry_id) t on t.entry_id = p.entry_id
          where p.tenant_id = $1 and p.entry_id is not null
            and (e.id is null or e.kind <> 'PERIOD' or e.customer_id is distinct from p.customer_id
                 or p.price + p.written_off <> coalesce(t.moved, 0)
                 or p.price - p.tax + p.written_off <> coalesce(t.earned, 0)
                 or p.written_off <> coalesce(t.written_off, 0))
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for id in unpaid {
        report.found(
            tx.tenant(),
            format!("period {id} has no entry that pays its price"),
        );
    }
    let undelivered: Vec<Uuid> = sqlx::query_scalar(
        "select e.id
           from entries e
           left join (select entry_id, count(*) as times from periods
                       where tenant_id = $1 group by entry_id) p on p.entry_id = e.id
          where e.tenant_id = $1 and e.kind = 'PERIOD' and coalesce(p.times, 0) <> 1
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for id in undelivered {
        report.found(
            tx.tenant(),
            format!("entry {id} pays for a period that does not exist once"),
        );
    }
    Ok(())
}

/// V2: every payment has its entry and its receipt, stands on its account and with its owner, and every
/// such entry has one payment.
pub(super) async fn payments(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<Uuid> = sqlx::query_scalar(
        "with resolved as (
             select source, party
               from (select e.source, t.credit_party as party,
                            rank() over (partition by e.source order by e.posted_at desc) as place
                       from entries e
                       join transfers t on t.tenant_id = $1 and t.entry_id = e.id and t.line = 1
                      where e.tenant_id = $1 and e.kind = 'ADJUSTMENT') r
              where place = 1)
         select distinct p.id
           from payments p
           left join entries e on e.tenant_id = $1 and e.id = p.entry_id
           left join transfers t on t.tenant_id = $1 and t.entry_id = p.entry_id and t.line = 1
           left join (select entry_id, sum(amount) as moved from transfers
                       where tenant_id = $1 group by entry_id) a on a.entry_id = p.entry_id
           left join directory.receipts own on own.provider = p.method and own.receipt = p.receipt
                                           and own.payment_id = p.id
           left join gateways g on g.tenant_id = $1 and g.id = p.gateway_id
          where p.tenant_id = $1
            and (e.id is null
                 or p.amount <> coalesce(a.moved, 0)
                 or t.debit_party is distinct from p.seller_id
                 or t.debit_account is distinct from
                    case when p.seller_id is not null then '2500' else
                    case p.method when 'MPESA' then case when g.platform then '1040' else '1010' end
                                  when 'AIRTEL' then '1011' when 'CASH' then '1000'
                                  when 'BANK_TRANSFER' then '1020' when 'CARD' then '1030' else '1090' end end
                 or p.customer_id is distinct from t.credit_party
                    and not exists (select from resolved r
                                     where r.source = 'resolved ' || p.receipt and r.party = p.customer_id)
                 or p.method in ('MPESA', 'AIRTEL') and p.receipt is not null and p.status <> 'voided'
                    and own.receipt is null)
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for id in wrong {
        let what = format!(
            "payment {id} does not agree with its entry, is not its owner's or has no receipt of its own"
        );
        report.found(tx.tenant(), what);
    }
    let orphans: Vec<Uuid> = sqlx::query_scalar(
        "select e.id
           from entries e
           left join (select entry_id, count(*) as times from payments
                       where tenant_id = $1 group by entry_id) p on p.entry_id = e.id
          where e.tenant_id = $1 and e.kind in ('PAYMENT', 'RECHARGE') and coalesce(p.times, 0) <> 1
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for id in orphans {
        report.found(
            tx.tenant(),
            format!("entry {id} credits money that no single payment brought"),
        );
    }
    Ok(())
}

/// What stands in suspense is what waits for a person and is not on its way back, payment by payment, and nothing
/// else.
pub(super) async fn suspense(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<(Option<Uuid>, Option<Uuid>, i64, i64)> = sqlx::query_as(
        "with legs as (
             select e.id, e.source, sum(case when t.credit_account = '2100' then t.amount else 0 end
                                      - case when t.debit_account = '2100' then t.amount else 0 end) as n
               from transfers t
               join entries e on e.tenant_id = $1 and e.id = t.entry_id
              where t.tenant_id = $1 and (t.credit_account = '2100' or t.debit_account = '2100')
              group by e.id, e.source),
         mine as (
             select l.id as entry, l.n, coalesce(b.id, v.id, r.id, f.payment_id) as payment
               from legs l
               left join payments b on b.tenant_id = $1 and b.entry_id = l.id
               left join payments v on v.tenant_id = $1 and v.reversal_id = l.id
               left join payments r on r.tenant_id = $1 and l.source = 'resolved ' || r.receipt
               left join refunds f on f.tenant_id = $1 and l.source = 'refund ' || f.id),
         booked as (
             select payment, sum(n)::bigint as n from mine where payment is not null group by payment),
         waiting as (
             select id, amount - refunded as amount from payments
              where tenant_id = $1 and customer_id is null and status = 'completed')
         select coalesce(b.payment, w.id), null::uuid, coalesce(b.n, 0), coalesce(w.amount, 0)
           from booked b
           full join waiting w on w.id = b.payment
          where coalesce(b.n, 0) <> coalesce(w.amount, 0)
         union all
         select null, entry, n::bigint, 0 from mine where payment is null
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for (payment, entry, booked, waiting) in wrong {
        let what = match (payment, entry) {
            (Some(payment), _) => format!(
                "payment {payment} stands in suspense with {booked} where {waiting} waits for a person"
            ),
            (None, Some(entry)) => {
                format!("entry {entry} moves {booked} in suspense for no payment")
            }
            (None, None) => continue,
        };
        report.found(tx.tenant(), what);
    }
    Ok(())
}

/// A payment is taken back exactly when an entry pays it back.
pub(super) async fn voids(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<Uuid> = sqlx::query_scalar(
        "select p.id
           from payments p
           left join entries v on v.tenant_id = $1 and v.id = p.reversal_id and v.kind = 'VOID'
           left join transfers t on t.tenant_id = $1 and t.entry_id = v.id and t.line = 1
          where p.tenant_id = $1
            and ((p.status = 'voided') <> (v.id is not null)
                 or v.id is not null and (t.amount, t.debit_party) is distinct from (p.amount, p.customer_id))
         union all
         select v.id
           from entries v
           left join (select reversal_id, count(*) as times from payments
                       where tenant_id = $1 group by reversal_id) p on p.reversal_id = v.id
          where v.tenant_id = $1 and v.kind = 'VOID' and coalesce(p.times, 0) <> 1
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for id in wrong {
        let what = format!("{id} is taken back without being paid back, or the other way");
        report.found(tx.tenant(), what);
    }
    Ok(())
}

/// V3: a prompt says paid exactly when a payment of its receipt was credited.
pub(super) async fn prompts(tx: &mut Tx, report: &mut Report) -> sqlx::Result<()> {
    let wrong: Vec<Uuid> = sqlx::query_scalar(
        "select i.id
           from intents i
           left join payments p on p.tenant_id = $1 and p.intent_id = i.id
          where i.tenant_id = $1
            and ((i.state in ('PROVISIONAL', 'POSTED')) <> (p.id is not null)
                 or i.state = 'POSTED' and p.receipt is distinct from i.receipt)
          limit 1000",
    )
    .bind(tx.tenant())
    .fetch_all(&mut **tx)
    .await?;
    for id in wrong {
        let what = format!("prompt {id} says paid and no payment agrees, or the other way");
        report.found(tx.tenant(), what);
    }
    Ok(())
}
