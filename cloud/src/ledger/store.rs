//! Postings in SQL: one statement, whatever is posted.

use easyisp_shared::id::{AccountId, CustomerId, EntryId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{Postgres, Row};

use crate::db::Tx;

use super::{CHART, Entry};

/// Makes the chart of accounts of a new tenant. Accounts that are there already stay as they are.
pub async fn seed_accounts(tx: &mut Tx, now: Timestamp) -> sqlx::Result<()> {
    let entropy = tx.entropy();
    let ids: Vec<AccountId> = CHART
        .iter()
        .map(|_| AccountId::new(now, &entropy))
        .collect();
    let codes: Vec<&str> = CHART.iter().map(|account| account.code.as_str()).collect();
    let names: Vec<&str> = CHART.iter().map(|account| account.name).collect();
    let kinds: Vec<&str> = CHART.iter().map(|account| account.kind.as_str()).collect();
    sqlx::query(
        "insert into accounts (tenant_id, code, id, name, type, is_system, created_at)
         select $1, a.code, a.id, a.name, a.type, true, $6
           from unnest($2::text[], $3::uuid[], $4::text[], $5::text[]) as a (code, id, name, type)
             on conflict do nothing",
    )
    .bind(tx.tenant())
    .bind(codes)
    .bind(ids)
    .bind(names)
    .bind(kinds)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Opens the wallet of a new customer, empty: money is moved under the lock of its row.
pub async fn open_wallet(tx: &mut Tx, customer: CustomerId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query("insert into wallets (tenant_id, customer_id, updated_at) values ($1, $2, $3)")
        .bind(tx.tenant())
        .bind(customer)
        .bind(now)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Opens the wallets of new customers, as [`open_wallet`] does one.
pub async fn open_wallets(
    tx: &mut Tx,
    customers: &[CustomerId],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into wallets (tenant_id, customer_id, updated_at)
         select $1, id, $3 from unnest($2::uuid[]) as c (id)",
    )
    .bind(tx.tenant())
    .bind(customers)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Posts one entry; returns the balances of the wallets it touched. See [`post_all`].
pub async fn post(
    tx: &mut Tx,
    entry: Entry,
    now: Timestamp,
) -> sqlx::Result<Vec<(CustomerId, Cents)>> {
    post_all(tx, &[entry], now).await
}

/// Posts entries with their transfers, wallet balances and places in the sealer's queue, in one statement;
/// returns the balances of the wallets they touched.
///
/// Wallet rows are locked until the transaction ends. Spending below a wallet's floor fails
/// ([`super::is_overdrawn`]); taking money back lowers the floor instead.
pub async fn post_all(
    tx: &mut Tx,
    entries: &[Entry],
    now: Timestamp,
) -> sqlx::Result<Vec<(CustomerId, Cents)>> {
    let posting = sqlx::query(concat!(
        "with ",
        posting_ctes!(),
        " select customer_id, balance from wallet"
    ));
    let rows = bind_posting(posting, tx, entries, now)
        .fetch_all(&mut **tx)
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

/// The common table expressions that post entries, for a statement that does more beside it. They take
/// the parameters `$1` to `$17` of [`bind_posting`]; `$1` is the tenant, `$2` is now. What is of a closed day is
/// booked on the first open one, and says so.
///
/// Offers `wallet (customer_id, balance)`: the wallets touched and what is in them afterwards. A wallet
/// row that money came into stands at or above zero again, so its floor rises with it.
macro_rules! posting_ctes {
    () => {
        "books as materialized (
             select books_open_from($1) as open_from, t.time_zone, t.currency
               from tenants t
              where t.tenant_id = $1),
         entry as (
             insert into entries (tenant_id, id, kind, occurred_at, posted_at, customer_id, source, description,
                                  salt)
             select $1, e.id, e.kind, greatest(e.occurred_at, b.open_from), $2, e.customer_id, e.source,
                    case when e.occurred_at < b.open_from
                         then concat_ws(' ', nullif(e.description, ''),
                                        to_char(e.occurred_at at time zone b.time_zone, '\"(of\" YYYY-MM-DD\", a closed day)\"'))
                         else e.description end,
                    e.salt
               from books b
              cross join unnest($3::uuid[], $4::text[], $5::timestamptz[], $6::uuid[], $7::text[], $8::text[],
                                $17::bytea[])
                 as e (id, kind, occurred_at, customer_id, source, description, salt)),
         line as materialized (
             select *
               from unnest($9::uuid[], $10::smallint[], $11::text[], $12::uuid[], $13::text[], $14::uuid[], $15::bigint[])
                 as l (entry_id, line, debit_account, debit_party, credit_account, credit_party, amount)),
         transfer as (
             insert into transfers (tenant_id, entry_id, line, debit_account, debit_party, credit_account,
                                    credit_party, amount, currency)
             select $1, l.entry_id, l.line, l.debit_account, l.debit_party, l.credit_account,
                    l.credit_party, l.amount, b.currency
               from line l cross join books b),
         moved as materialized (
             select party, sum(amount)::bigint as delta
               from (select credit_party as party, amount from line where credit_account = '2000'
                     union all
                     select debit_party, -amount from line where debit_account = '2000') as both_sides
              group by party),
         kept as (
             update wallets w
                set balance = w.balance + m.delta,
                    floor = case when m.delta >= 0 then least(0, greatest(w.floor, w.balance + m.delta))
                                 when $16 then least(w.floor, w.balance + m.delta)
                                 else w.floor end,
                    updated_at = $2
               from moved m
              where w.tenant_id = $1 and w.customer_id = m.party
             returning w.customer_id, w.balance),
         opened as (
             insert into wallets (tenant_id, customer_id, balance, floor, updated_at)
             select $1, m.party, m.delta, case when $16 then least(0, m.delta) else 0 end, $2
               from moved m
              where not exists (select from kept k where k.customer_id = m.party)
             returning customer_id, balance),
         wallet as (select * from kept union all select * from opened),
         queued as (
             insert into unsealed (tenant_id, kind, subject_id)
             select $1, 'ENTRY', e.id from unnest($3::uuid[]) as e (id))"
    };
}
pub(crate) use posting_ctes;

/// Binds the parameters of [`posting_ctes`].
pub(crate) fn bind_posting<'q>(
    query: Query<'q, Postgres, PgArguments>,
    tx: &Tx,
    entries: &[Entry],
    now: Timestamp,
) -> Query<'q, Postgres, PgArguments> {
    let each = || entries.iter();
    let query = query
        .bind(tx.tenant())
        .bind(now)
        .bind(each().map(|entry| entry.id).collect::<Vec<_>>())
        .bind(each().map(|entry| entry.kind.as_str()).collect::<Vec<_>>())
        .bind(each().map(|entry| entry.occurred_at).collect::<Vec<_>>())
        .bind(each().map(|entry| entry.customer).collect::<Vec<_>>())
        .bind(each().map(|entry| entry.source.clone()).collect::<Vec<_>>())
        .bind(
            each()
                .map(|entry| entry.description.clone())
                .collect::<Vec<_>>(),
        );
    let lines = Lines::of(entries);
    query
        .bind(lines.entries)
        .bind(lines.numbers)
        .bind(lines.debit_accounts)
        .bind(lines.debit_parties)
        .bind(lines.credit_accounts)
        .bind(lines.credit_parties)
        .bind(lines.amounts)
        .bind(each().any(|entry| entry.kind.takes_back()))
        .bind(each().map(|_| new_salt(tx)).collect::<Vec<_>>())
}

/// What is hashed with the words of a row that is chained, and goes with them: see `redact`.
pub(crate) fn new_salt(tx: &Tx) -> Vec<u8> {
    tx.entropy().bytes::<16>().to_vec()
}

/// Transfers, column by column.
#[derive(Default)]
struct Lines {
    entries: Vec<EntryId>,
    numbers: Vec<i16>,
    debit_accounts: Vec<String>,
    debit_parties: Vec<Option<uuid::Uuid>>,
    credit_accounts: Vec<String>,
    credit_parties: Vec<Option<uuid::Uuid>>,
    amounts: Vec<Cents>,
}

impl Lines {
    fn of(entries: &[Entry]) -> Lines {
        let mut lines = Lines::default();
        for entry in entries {
            for (number, transfer) in (1..).zip(&entry.transfers) {
                lines.entries.push(entry.id);
                lines.numbers.push(number);
                lines
                    .debit_accounts
                    .push(transfer.debit.account.as_str().to_owned());
                lines.debit_parties.push(transfer.debit.party);
                lines
                    .credit_accounts
                    .push(transfer.credit.account.as_str().to_owned());
                lines.credit_parties.push(transfer.credit.party);
                lines.amounts.push(transfer.amount);
            }
        }
        lines
    }
}
