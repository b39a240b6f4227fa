//! A provider with years behind him: how long his pages, searches and reports take over 100,000 customers and 5,000,000
//! payments.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_shared::id::TenantId;
use easyisp_tests::database::SOCKET_DIR;
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{Provider, World};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

use crate::child::{EVERY_CORE, Server, on_core};
use crate::table::{Row, millis};

/// Payments that one statement writes.
const BATCH: i64 = 250_000;
/// To write all of it: a machine that takes longer says nothing about pages either.
const LOADED: Duration = Duration::from_secs(1_800);
const CLIENTS: usize = 4;
const REQUESTS: i64 = 400;
const GOAL: Duration = Duration::from_millis(50);
const PAGES: [(&str, &str); 12] = [
    ("customers, a page", "/customers?page={page}&pageSize=20"),
    (
        "customers by name and family",
        "/customers?search=name{a}%20fam{b}&pageSize=20",
    ),
    (
        "customers by phone",
        "/customers?search=07{phone}&pageSize=20",
    ),
    (
        "customers by the end of a phone",
        "/customers?search={end}&pageSize=20",
    ),
    ("dashboard", "/dashboard/stats"),
    ("dashboard, the year", "/dashboard/revenue"),
    (
        "payments, a page",
        "/payments/mpesa?page={page}&pageSize=20",
    ),
    ("income, a page", "/finance/income?page={page}&pageSize=20"),
    (
        "income of a month",
        "/finance/income?pageSize=20&startDate=2026-03-01&endDate=2026-03-31",
    ),
    (
        "report by package, a year",
        "/reports/revenue?by=package&from=2026-01-01&to=2026-12-31",
    ),
    (
        "report by router, a month",
        "/reports/revenue?by=router&from=2026-03-01&to=2026-03-31",
    ),
    (
        "report by operator, a year",
        "/reports/revenue?by=operator&from=2026-01-01&to=2026-12-31",
    ),
];

/// Runs the product in a process of its own, on a PostgreSQL that syncs every commit.
pub fn measure(folder: &Path, customers: i64, payments: i64) -> Result<Vec<Row>> {
    let folder = folder.join("years");
    let (database, socket_dir) = Server::start_self("postgres", EVERY_CORE, &folder)?;
    let output = on_core(EVERY_CORE, std::env::current_exe()?)
        .args(["part", "years"])
        .arg(&folder)
        .args([customers.to_string(), payments.to_string()])
        .env(SOCKET_DIR, socket_dir)
        .stderr(Stdio::inherit())
        .output()?;
    database.stop()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "the years failed:\n{said}");
    print!("{said}");
    let line = said.lines().last().context("it says what it measured")?;
    let figures: Vec<u64> = line
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    ensure!(
        figures.len() == 2 * PAGES.len(),
        "not two figures each: {line}"
    );
    let rows = PAGES.iter().zip(figures.chunks(2));
    Ok(rows
        .map(|((what, _), took)| {
            let [p50, p99] = [took[0], took[1]].map(Duration::from_micros);
            Row {
                beside: format!("p50 {}", millis(p50)),
                ..Row::bound(
                    &format!("{what}: of {customers} and {payments} payments, 4 at once, p99"),
                    &millis(p99),
                    "<= 50 ms",
                    p99 <= GOAL,
                )
            }
        })
        .collect())
}

/// The part that is the product with its operators. Its last line, in microseconds: p50 and p99 of each page.
pub fn part(sizes: &[i64]) -> Result<()> {
    let &[customers, payments] = sizes else {
        anyhow::bail!("how many customers and payments?");
    };
    tokio::runtime::Runtime::new()?.block_on(async {
        let world = World::start().await?;
        let provider = Provider::sign_up(&world, "years").await?;
        provider.subscribe(&world).await?;
        let mut routers = Vec::new();
        for n in 0..10 {
            let router =
                json!({"name": format!("Router {n}"), "ipAddress": format!("10.0.0.{}", n + 1)});
            let router = provider.owner.post("/nas", &router).await?;
            routers.push(router["id"].as_str().context("a router")?.parse()?);
        }
        let begun = Instant::now();
        load(&world, &provider, &routers, (customers, payments)).await?;
        println!("  loaded in {:.0} s", begun.elapsed().as_secs_f64());
        let mut said = Vec::new();
        for (what, path) in PAGES {
            let took = ask(&provider.owner, path, customers).await?;
            let at = |share: f64| took[((took.len() as f64 * share) as usize).min(took.len() - 1)];
            println!(
                "  {what}: p50 {}, p99 {}",
                millis(at(0.5)),
                millis(at(0.99))
            );
            said.extend([at(0.5), at(0.99)].map(|took| took.as_micros().to_string()));
        }
        println!("{}", said.join(" "));
        world.stop().await
    })
}

/// Writes three years into the tables, as the product would have: without the chain, which no page reads.
async fn load(
    world: &World,
    provider: &Provider,
    routers: &[uuid::Uuid],
    (customers, payments): (i64, i64),
) -> Result<()> {
    let begun = Instant::now();
    let tenant = provider.tenant().await?;
    let package: uuid::Uuid = provider.package.parse()?;
    let now = world.clock.now();
    let mut admin = PgConnection::connect_with(&world.database.anybody()).await?;
    // What keeps words and tallies row by row would take longer than all the rest; they are written as wholes below.
    admin
        .execute("set session_replication_role = replica")
        .await?;
    sqlx::query(
        "insert into customers (tenant_id, id, account_number, site_id, username, password_sealed, name, phone,
                phone_number, connection_type, standing, package_id, router_id, paid_until, created_at, updated_at)
         select $1, md5('customer' || n)::uuid, 10000000 + n, s.id, 'user' || lpad(n::text, 6, '0'), '',
                'Name' || n % 997 || ' Family' || n / 97 % 1009, '07' || lpad((n * 7 % 100000000)::text, 8, '0'),
                '2547' || lpad((n * 7 % 100000000)::text, 8, '0'), 'PPPOE', 'ACTIVE', $3,
                ($4::uuid[])[1 + n % cardinality($4::uuid[])], $5::timestamptz + (n % 30 - 10) * interval '1 day',
                $5::timestamptz - n * interval '15 minutes', $5
           from generate_series(0, $2 - 1) as n
          cross join (select id from sites where tenant_id = $1 order by created_at limit 1) s",
    )
    .bind(tenant)
    .bind(customers)
    .bind(package)
    .bind(routers)
    .bind(now)
    .execute(&mut admin)
    .await?;
    for whole in [
        "insert into customer_words (tenant_id, word, customer_id)
         select tenant_id, unnest(words_of_customer(username, name, email, phone, phone_number, account_number)), id
           from customers where tenant_id = $1",
        "insert into wallets (tenant_id, customer_id, updated_at)
         select tenant_id, id, created_at from customers where tenant_id = $1",
        "insert into counts (tenant_id, what, n)
         select $1, 'customers.PPPOE', count(*) from customers where tenant_id = $1
             on conflict (tenant_id, what) do update set n = excluded.n",
    ] {
        sqlx::query(whole).bind(tenant).execute(&mut admin).await?;
    }
    let operator: uuid::Uuid =
        sqlx::query_scalar("select id from operators where tenant_id = $1 limit 1")
            .bind(tenant)
            .fetch_one(&mut admin)
            .await?;
    let mut from = 0;
    while from < payments {
        let to = (from + BATCH).min(payments);
        // One in ten is cash, and one in four bought a period.
        sqlx::query(
            "with n as materialized (
                 select n, md5('entry' || n)::uuid as entry, md5('customer' || n % $4)::uuid as customer,
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
                 select $1, md5('period' || n)::uuid, customer, $7, entry, 100000, at, at + interval '30 days', at,
                        ($8::uuid[])[1 + n % cardinality($8::uuid[])]
                   from n
                  where n % 4 = 0)
             insert into payments (tenant_id, id, customer_id, method, receipt, amount, status, description, entry_id,
                                   operator_id, paid_at, created_at)
             select $1, md5('payment' || n)::uuid, customer, case when n % 10 = 0 then 'CASH' else 'MPESA' end,
                    'Y' || lpad(n::text, 9, '0'), 25000, 'completed', 'M-Pesa', entry,
                    case when n % 10 = 0 then $9::uuid end, at, at
               from n",
        )
        .bind(tenant)
        .bind(from)
        .bind(to)
        .bind(customers)
        .bind(now)
        .bind(payments)
        .bind(package)
        .bind(routers)
        .bind(operator)
        .execute(&mut admin)
        .await?;
        from = to;
        println!(
            "  {from} payments in {:.0} s",
            begun.elapsed().as_secs_f64()
        );
        ensure!(begun.elapsed() < LOADED, "loading takes too long");
    }
    sum_up(&mut admin, tenant).await?;
    admin.execute("vacuum analyze").await?;
    Ok(admin.close().await?)
}

async fn sum_up(admin: &mut PgConnection, tenant: TenantId) -> Result<()> {
    for whole in [
        "insert into tallies (tenant_id, what, day, method, status, subject, n, amount)
         select $1, 'PAYMENT', (p.paid_at at time zone t.time_zone)::date, p.method, p.status,
                coalesce(p.operator_id, '00000000-0000-0000-0000-000000000000'), count(*), sum(p.amount)
           from payments p
           join tenants t on t.tenant_id = $1
          where p.tenant_id = $1
          group by 3, 4, 5, 6",
        "insert into tallies (tenant_id, what, day, method, status, subject, n, amount)
         select $1, w.what, (p.created_at at time zone t.time_zone)::date, '', '', w.subject, count(*), sum(p.price)
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
    ] {
        sqlx::query(whole).bind(tenant).execute(&mut *admin).await?;
    }
    Ok(())
}

/// Asks for a page again and again, each time about somebody else; how long each took, the shortest first.
async fn ask(owner: &Operator, path: &str, customers: i64) -> Result<Vec<Duration>> {
    let mut took: Vec<Duration> = stream::iter(0..REQUESTS)
        .map(|nth| {
            let n = nth * 2_654_435_761 % customers;
            let phone = format!("{:08}", n * 7 % 100_000_000);
            let path = path
                .replace("{page}", &(n % 50 + 1).to_string())
                .replace("{a}", &(n % 997).to_string())
                .replace("{b}", &format!("ily{}", n / 97 % 1009))
                .replace("{phone}", &phone)
                .replace("{end}", &phone[2..]);
            async move {
                let begun = Instant::now();
                owner.get(&path).await?;
                anyhow::Ok(begun.elapsed())
            }
        })
        .buffer_unordered(CLIENTS)
        .try_collect()
        .await?;
    took.sort_unstable();
    Ok(took)
}
