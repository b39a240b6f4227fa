//! The books of a provider who has grown: a million payments in a few statements.

use anyhow::{Context, Result, ensure};
use easyisp_shared::id::TenantId;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::database::FreshDatabase;

/// Payments of 100 shillings, ten from each customer, and a period of 1000 that every second one of them bought: as
/// the product writes them, in a few statements.
pub async fn write(
    database: &FreshDatabase,
    tenant: TenantId,
    customers: i64,
    payments: i64,
) -> Result<()> {
    ensure!(payments == customers * 10, "ten payments each");
    let mut admin = PgConnection::connect_with(&database.anybody()).await?;
    // What refers to customers needs none here.
    admin
        .execute("set session_replication_role = replica")
        .await?;
    let id = |what: &str, number: &str| format!("md5('{what}' || {number})::uuid");
    let (customer, entry, payment) = (
        id("customer", "n % c"),
        id("entry", "n"),
        id("payment", "n"),
    );
    let (bought, period) = (id("bought", "n"), id("period", "n"));
    let at = "timestamptz '2025-01-01 12:00:00Z' + n * interval '30 seconds'";
    let pay = format!(
        "from (select n, {customers}::bigint as c from generate_series(0, {payments} - 1) n) x"
    );
    // The second half of the year, after all of them have paid.
    let buy = format!(
        "from (select n, {customers}::bigint as c from generate_series(0, {customers} - 2, 2) n) x"
    );
    let later = "timestamptz '2025-12-31 12:00:00Z'";
    for statement in [
        format!(
            "insert into wallets (tenant_id, customer_id, balance, updated_at)
             select '{tenant}', {customer}, case when n % 2 = 0 then 0 else 100000 end, {later}
               from (select n, {customers}::bigint as c from generate_series(0, {customers} - 1) n) x"
        ),
        format!(
            "insert into entries (tenant_id, id, kind, occurred_at, posted_at, customer_id, source, description,
                                  salt)
             select '{tenant}', {entry}, 'PAYMENT', {at}, {at}, {customer}, 'M-Pesa R' || lpad(n::text, 9, '0'),
                    'M-Pesa', decode(md5('salt' || n), 'hex') {pay}"
        ),
        format!(
            "insert into transfers (tenant_id, entry_id, line, debit_account, credit_account, credit_party, amount,
                                    currency)
             select '{tenant}', {entry}, 1, '1010', '2000', {customer}, 10000, 'KES' {pay}"
        ),
        format!(
            "insert into payments (tenant_id, id, customer_id, method, receipt, amount, status, description,
                                   entry_id, paid_at, created_at)
             select '{tenant}', {payment}, {customer}, 'MPESA', 'R' || lpad(n::text, 9, '0'), 10000, 'completed',
                    'M-Pesa', {entry}, {at}, {at} {pay}"
        ),
        format!(
            "insert into directory.receipts (provider, receipt, tenant_id, payment_id)
             select 'MPESA', 'R' || lpad(n::text, 9, '0'), '{tenant}', {payment} {pay}"
        ),
        format!(
            "insert into entries (tenant_id, id, kind, occurred_at, posted_at, customer_id, source, description,
                                  salt)
             select '{tenant}', {bought}, 'PERIOD', {later}, {later}, {customer}, 'auto-renew', 'Home 10',
                    decode(md5('salt of period' || n), 'hex') {buy}"
        ),
        format!(
            "insert into transfers (tenant_id, entry_id, line, debit_account, debit_party, credit_account, amount,
                                    currency)
             select '{tenant}', {bought}, 1, '2000', {customer}, '4000', 100000, 'KES' {buy}"
        ),
        format!(
            "insert into periods (tenant_id, id, customer_id, package_id, entry_id, price, starts_at, ends_at,
                                  created_at)
             select '{tenant}', {period}, {customer}, md5('package')::uuid, {bought}, 100000, {later},
                    {later} + interval '30 days', {later} {buy}"
        ),
        format!(
            "insert into unsealed (tenant_id, kind, subject_id)
             select tenant_id, 'ENTRY', id from entries where tenant_id = '{tenant}'"
        ),
        // What the triggers keep, which do not run here.
        format!(
            "insert into tallies (tenant_id, what, day, method, status, subject, n, amount)
             select p.tenant_id, 'PAYMENT', (p.paid_at at time zone t.time_zone)::date, p.method, p.status,
                    '00000000-0000-0000-0000-000000000000', count(*), sum(p.amount)
               from payments p
               join tenants t on t.tenant_id = p.tenant_id
              where p.tenant_id = '{tenant}'
              group by 1, 3, 4, 5"
        ),
        format!(
            "insert into tallies (tenant_id, what, day, method, status, subject, n, amount)
             select p.tenant_id, w.what, (p.created_at at time zone t.time_zone)::date, '', '',
                    coalesce(w.subject, '00000000-0000-0000-0000-000000000000'), count(*), sum(p.price)
               from periods p
              cross join lateral (values ('PACKAGE', p.package_id), ('ROUTER', p.router_id)) as w (what, subject)
               join tenants t on t.tenant_id = p.tenant_id
              where p.tenant_id = '{tenant}'
              group by 1, 2, 3, 6"
        ),
        "analyze".to_owned(),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut admin).await?;
    }
    admin.close().await?;
    Ok(())
}

/// The entry of the payment with this number, from 0.
pub fn entry_of_payment(number: i64) -> Uuid {
    use md5::{Digest, Md5};
    Uuid::from_bytes(Md5::digest(format!("entry{number}")).into())
}

/// What this process has in memory.
pub fn resident_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(number.context("the kernel tells VmRSS")?.parse()?)
}
