//! Writes three years into the tables, as the product would have: without the chain, which no page reads.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;
use easyisp_tests::world::{Provider, World};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

pub const INVOICES: i64 = 20_000;
const ONLINE: i64 = 2_000;
const SITES: u32 = 10;
/// Payments that one statement writes.
const BATCH: i64 = 250_000;
/// To write all of it: a machine that takes longer says nothing about pages either.
const LOADED: Duration = Duration::from_secs(1_800);

/// The receipt of the nth payment.
pub fn receipt(n: i64) -> String {
    format!("Y{n:09}")
}

/// The number of the nth invoice.
pub fn invoice(n: i64) -> String {
    format!("INV-2026{n:05}")
}

/// Who is written about.
struct Of<'a> {
    tenant: TenantId,
    package: Uuid,
    routers: &'a [Uuid],
    now: Timestamp,
    customers: i64,
}

/// Writes customers, their payments and what came of them.
pub async fn years(
    world: &World,
    provider: &Provider,
    routers: &[Uuid],
    (customers, payments): (i64, i64),
) -> Result<()> {
    for n in 1..SITES {
        let site = json!({"name": format!("Site {n}")});
        provider.owner.post("/sites", &site).await?;
    }
    let of = Of {
        tenant: provider.tenant().await?,
        package: provider.package.parse()?,
        routers,
        now: world.clock.now(),
        customers,
    };
    let mut admin = PgConnection::connect_with(&world.database.anybody()).await?;
    // What keeps words and tallies row by row would take longer than all the rest; they are written as wholes below.
    admin
        .execute("set session_replication_role = replica")
        .await?;
    admin.execute("set synchronous_commit = off").await?;
    admin.execute("set maintenance_work_mem = '512MB'").await?;
    admin.execute(IDS).await?;
    people(&mut admin, &of).await?;
    money(&mut admin, &of, payments).await?;
    invoices(&mut admin, &of).await?;
    sum_up(&mut admin, of.tenant).await?;
    admin.execute("vacuum analyze").await?;
    Ok(admin.close().await?)
}

/// Ids that rise, as the product's do: rows that were written together lie together.
const IDS: &str = "create function pg_temp.bench_id(kind text, n bigint) returns uuid
    language sql immutable parallel safe as $$
        select (kind || '0000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid
    $$";

/// Customers of all ages: one in five went away at some time of the years, of the others a third has run out lately.
async fn people(admin: &mut PgConnection, of: &Of<'_>) -> Result<()> {
    sqlx::query(
        "insert into customers (tenant_id, id, account_number, site_id, username, password_sealed, name, phone,
                phone_number, connection_type, standing, package_id, router_id, paid_until, created_at, updated_at)
         select $1, pg_temp.bench_id('c', n), 10000000 + n, s.id, 'user' || lpad(n::text, 6, '0'), '',
                'Name' || n % 997 || ' Family' || n / 97 % 1009, '07' || lpad((n * 7 % 100000000)::text, 8, '0'),
                '2547' || lpad((n * 7 % 100000000)::text, 8, '0'), 'PPPOE', 'ACTIVE', $3,
                ($4::uuid[])[1 + n % cardinality($4::uuid[])],
                $5::timestamptz + case when n % 5 = 4 then -(n % 900) else n % 30 - 10 end * interval '1 day',
                $5::timestamptz - n * (interval '1095 days' / $2::double precision), $5
           from generate_series(0, $2 - 1) as n
          cross join (select id from sites where tenant_id = $1 order by created_at limit 1) s",
    )
    .bind(of.tenant)
    .bind(of.customers)
    .bind(of.package)
    .bind(of.routers)
    .bind(of.now)
    .execute(&mut *admin)
    .await?;
    sqlx::query(
        "insert into sessions (tenant_id, id, site_id, router_id, acct_session_id, username, customer_id,
                connection_type, framed_ip, mac, status, started_at, last_seen_at, bytes_in, bytes_out)
         select $1, pg_temp.bench_id('a', n), c.site_id, c.router_id, 'session' || n, c.username, c.id, 'PPPOE',
                host('10.0.0.0'::inet + n), '02:00:00:00:' || lpad(to_hex(n / 256), 2, '0') || ':'
                                                          || lpad(to_hex(n % 256), 2, '0'),
                'ACTIVE', $3::timestamptz - n * interval '20 seconds', $3, n * 1000000, n * 10000000
           from generate_series(0, $2 - 1) as n
           join customers c on c.tenant_id = $1 and c.id = pg_temp.bench_id('c', n)",
    )
    .bind(of.tenant)
    .bind(ONLINE)
    .bind(of.now)
    .execute(&mut *admin)
    .await?;
    sqlx::query(
        "insert into site_usage (tenant_id, day, site_id, bytes_in, bytes_out)
         select $1, $2::date - n, s.id, 50000000000, 500000000000
           from generate_series(0, 1094) as n
          cross join (select id from sites where tenant_id = $1) s",
    )
    .bind(of.tenant)
    .bind(of.now)
    .execute(&mut *admin)
    .await?;
    wholes(
        admin,
        of.tenant,
        &[
            "insert into customer_words (tenant_id, word, customer_id)
             select tenant_id, w.word, id
               from customers
              cross join unnest(words_of_customer(username, name, email, phone, phone_number, account_number)) w (word)
              where tenant_id = $1
              order by 2",
            // one in a hundred owes
            "insert into wallets (tenant_id, customer_id, balance, floor, updated_at)
             select tenant_id, id, b.balance, b.balance, created_at
               from customers
              cross join lateral (select case when account_number % 100 = 0 then -50000 else 0 end) b (balance)
              where tenant_id = $1",
            "insert into counts (tenant_id, what, n)
             select $1, 'customers.PPPOE', count(*) from customers where tenant_id = $1
                 on conflict (tenant_id, what) do update set n = excluded.n",
        ],
    )
    .await
}

/// One in ten is cash, and one in four bought a period.
async fn money(admin: &mut PgConnection, of: &Of<'_>, payments: i64) -> Result<()> {
    let begun = Instant::now();
    let operator: Uuid =
        sqlx::query_scalar("select id from operators where tenant_id = $1 limit 1")
            .bind(of.tenant)
            .fetch_one(&mut *admin)
            .await?;
    let indexes = without_indexes(admin).await?;
    let mut from = 0;
    while from < payments {
        let to = (from + BATCH).min(payments);
        sqlx::query(
            "with n as materialized (
                 select n, pg_temp.bench_id('e', n) as entry, pg_temp.bench_id('c', n % $4) as customer,
                        $5::timestamptz - (($6 - n) * (interval '1095 days' / $6::double precision)) as at
                   from generate_series($2, $3 - 1) as n),
             entry as (
                 insert into entries (tenant_id, id, kind, occurred_at, posted_at, customer_id, source, description,
                                      salt)
                 select $1, entry, 'PAYMENT', at, at, customer, 'M-Pesa Y' || lpad(n::text, 9, '0'), 'M-Pesa',
                        decode(md5('salt' || n), 'hex')
                   from n),
             period as (
                 insert into periods (tenant_id, id, customer_id, package_id, entry_id, price, starts_at, ends_at,
                                      created_at, router_id)
                 select $1, pg_temp.bench_id('d', n), customer, $7, entry, 100000, at, at + interval '30 days', at,
                        ($8::uuid[])[1 + n % cardinality($8::uuid[])]
                   from n
                  where n % 4 = 0)
             insert into payments (tenant_id, id, customer_id, method, receipt, amount, status, description, entry_id,
                                   operator_id, paid_at, created_at)
             select $1, pg_temp.bench_id('f', n), customer, case when n % 10 = 0 then 'CASH' else 'MPESA' end,
                    'Y' || lpad(n::text, 9, '0'), 25000, 'completed', 'M-Pesa', entry,
                    case when n % 10 = 0 then $9::uuid end, at, at
               from n",
        )
        .bind(of.tenant)
        .bind(from)
        .bind(to)
        .bind(of.customers)
        .bind(of.now)
        .bind(payments)
        .bind(of.package)
        .bind(of.routers)
        .bind(operator)
        .execute(&mut *admin)
        .await?;
        from = to;
        println!(
            "  {from} payments in {:.0} s",
            begun.elapsed().as_secs_f64()
        );
        ensure!(begun.elapsed() < LOADED, "loading takes too long");
    }
    for index in indexes {
        admin.execute(AssertSqlSafe(index)).await?;
    }
    println!("  and indexes in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Drops the indexes of what grows most, and gives the statements that make them again: one sort is quicker than
/// millions of single places.
async fn without_indexes(admin: &mut PgConnection) -> Result<Vec<String>> {
    let indexes: Vec<(String, String)> = sqlx::query_as(
        "select i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
           from pg_index i
          where i.indrelid in ('entries'::regclass, 'payments'::regclass, 'periods'::regclass)
            and not exists (select from pg_constraint c where c.conindid = i.indexrelid)",
    )
    .fetch_all(&mut *admin)
    .await?;
    let mut again = Vec::new();
    for (name, definition) in indexes {
        admin
            .execute(AssertSqlSafe(format!("drop index {name}")))
            .await?;
        again.push(definition);
    }
    Ok(again)
}

/// The last invoices of two years: one in ten is open, and half of those are overdue.
async fn invoices(admin: &mut PgConnection, of: &Of<'_>) -> Result<()> {
    sqlx::query(
        "insert into invoices (tenant_id, id, year, serial, number, customer_id, amount, status, due_at, overdue_from,
                items, taxes, issued_at, entry_id, settlement_id, paid_by, paid_at, package_id, router_id)
         select $1, pg_temp.bench_id('b', n), 2026, n, 'INV-2026' || lpad(n::text, 5, '0'), pg_temp.bench_id('c', n * 13 % $3), 100000,
                case when n % 10 = 0 then 'PENDING' else 'PAID' end, at + interval '14 days', at + interval '15 days',
                '[{\"description\": \"A month\", \"amount\": 1000}]', '[]', at, pg_temp.bench_id('9', n),
                case when n % 10 > 0 then pg_temp.bench_id('8', n) end, case when n % 10 > 0 then 'WALLET' end,
                case when n % 10 > 0 then at end, $4, ($5::uuid[])[1 + n % cardinality($5::uuid[])]
           from (select n, $6::timestamptz
                           - case when n % 20 = 0 then 10 else 20 + ($2 - n) % 700 end * interval '1 day' as at
                   from generate_series(0, $2 - 1) as n) n",
    )
    .bind(of.tenant)
    .bind(INVOICES)
    .bind(of.customers)
    .bind(of.package)
    .bind(of.routers)
    .bind(of.now)
    .execute(&mut *admin)
    .await?;
    wholes(
        admin,
        of.tenant,
        &[
            "insert into tallies (tenant_id, what, day, method, status, subject, n, amount)
           select $1, 'BILLED', (i.issued_at at time zone t.time_zone)::date, 'INVOICE', i.status,
                  '00000000-0000-0000-0000-000000000000', count(*), sum(i.amount)
             from invoices i
             join tenants t on t.tenant_id = $1
            where i.tenant_id = $1
            group by 3, 5",
        ],
    )
    .await
}

async fn sum_up(admin: &mut PgConnection, tenant: TenantId) -> Result<()> {
    wholes(
        admin,
        tenant,
        &[
            "insert into tallies (tenant_id, what, day, method, status, subject, n, amount)
             select $1, 'PAYMENT', (p.paid_at at time zone t.time_zone)::date, p.method, p.status,
                    coalesce(p.operator_id, '00000000-0000-0000-0000-000000000000'), count(*), sum(p.amount)
               from payments p
               join tenants t on t.tenant_id = $1
              where p.tenant_id = $1
              group by 3, 4, 5, 6",
            "insert into tallies (tenant_id, what, day, method, status, subject, n, amount)
             select $1, w.what, (p.created_at at time zone t.time_zone)::date, '', '', w.subject, count(*),
                    sum(p.price)
               from periods p
              cross join lateral (values ('PACKAGE', p.package_id), ('ROUTER', p.router_id)) as w (what, subject)
               join tenants t on t.tenant_id = $1
              where p.tenant_id = $1
              group by 2, 3, 6",
            "insert into day_totals (tenant_id, day, account, debits, credits)
             select $1, t.day, a.account, t.amount * a.debit, t.amount * (1 - a.debit)
               from (select day, sum(amount)::bigint as amount from tallies
                      where tenant_id = $1 and what = 'PAYMENT' group by day) t
              cross join (values ('1010', 1), ('2000', 0)) as a (account, debit)",
        ],
    )
    .await
}

async fn wholes(
    admin: &mut PgConnection,
    tenant: TenantId,
    statements: &[&'static str],
) -> Result<()> {
    for whole in statements {
        sqlx::query(*whole)
            .bind(tenant)
            .execute(&mut *admin)
            .await?;
    }
    Ok(())
}
