//! What is kept, and what goes when it is old; and what the other stories of this folder arrange in tables.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_cloud::audit::{self, Action, Actor, Audit};
use easyisp_cloud::ledger::seal_all;
use easyisp_shared::id::{CustomerId, TenantId};
use easyisp_shared::time::Timestamp;
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{Provider, World, eventually};
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::words::DAY;

/// Once a day what is older than it is kept goes; what is a second younger stays.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_goes_and_what_is_younger_stays() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "ages").await?;
    let tenant = isp.tenant().await?;
    let until = world.clock.now().plus(DAY);
    let customer = isp.add_subscriber("asha", "254712345601", until).await?;
    let customer: CustomerId = customer.parse()?;
    let days = days_kept(&isp).await?;

    // The job's next day is the moment that everything is reckoned from.
    let then = world.clock.now().plus(DAY);
    eventually("the first day is tidied", async || {
        let mut directory = world.db().directory().await?;
        let due: i64 = sqlx::query_scalar(
            "select count(*) from directory.jobs
              where tenant_id = $1 and kind = 'tenants.tidy' and due_at = $2",
        )
        .bind(tenant)
        .bind(then)
        .fetch_one(&mut *directory)
        .await?;
        Ok((due == 1).then_some(()))
    })
    .await?;
    let second = Duration::from_secs(1);
    let cutoff = |table: &str| then.minus(DAY * days(table));
    for (is_old, number) in [(true, 1200), (false, 1)] {
        let at = |table: &str| match is_old {
            true => cutoff(table).minus(second),
            false => cutoff(table).plus(second),
        };
        log_in(&world, tenant, customer, number, at("auth_log")).await?;
        write_down(&world, tenant, customer, [at("usage"), at("messages")]).await?;
        hear(&world, tenant, [at("payment_inbox"), at("quarantine")]).await?;
        do_something(&world, tenant, customer, at("audit")).await?;
        let name = if is_old { "gone" } else { "leaving" };
        delete(&world, &isp, name, cutoff_of_gone(then, is_old)).await?;
    }
    seal_all(world.db(), tenant, world.clock.now()).await?;
    assert_eq!(counts(&world, tenant).await?, [1201, 2, 2, 2, 2, 0, 0]);

    world.clock.advance(DAY);
    eventually("all that is old is gone", async || {
        let left = counts(&world, tenant).await?;
        Ok((left == [1, 1, 1, 1, 1, 1, 1]).then_some(()))
    })
    .await?;
    let young = cutoff("auth_log").plus(second);
    assert_eq!(youngest_login(&world, tenant).await?, Some(young));
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    seal_all(world.db(), tenant, world.clock.now()).await?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// For how many days each table's rows are kept, as the owner reads it.
async fn days_kept(isp: &Provider) -> Result<impl Fn(&str) -> u32> {
    let kept = isp.owner.get("/privacy/retention").await?;
    let kept = kept["kept"].as_array().context("a list")?.clone();
    let of = move |table: &str| -> u32 {
        let row = kept.iter().find(|row| row["table"] == table).unwrap();
        u32::try_from(row["days"].as_u64().unwrap()).unwrap()
    };
    assert_eq!((of("audit"), of("sessions")), (730, 730));
    Ok(of)
}

fn cutoff_of_gone(then: Timestamp, is_old: bool) -> Timestamp {
    let cutoff = then.minus(DAY * 730);
    match is_old {
        true => cutoff.minus(Duration::from_secs(1)),
        false => cutoff.plus(Duration::from_secs(1)),
    }
}

/// Logins, usage, messages, callbacks and unusable reports there are; lines that were blanked; customers who
/// were erased.
async fn counts(world: &World, tenant: TenantId) -> Result<[i64; 7]> {
    let mut tx = world.db().begin(tenant).await?;
    let counts: Vec<i64> = sqlx::query_scalar(
        "select n from (
             select 1 as place, count(*) as n from auth_log
             union all select 2, count(*) from usage
             union all select 3, count(*) from messages
             union all select 4, count(*) from payment_inbox
             union all select 5, count(*) from quarantine
             union all select 6, count(*) from audit
                        where action = 'CUSTOMER_UPDATE' and actor_name = '' and details = ''
             union all select 7, count(*) from customers where erased_at is not null) counts
          order by place",
    )
    .fetch_all(&mut *tx)
    .await?;
    counts
        .try_into()
        .map_err(|counts| anyhow::anyhow!("{counts:?}"))
}

async fn youngest_login(world: &World, tenant: TenantId) -> Result<Option<Timestamp>> {
    let mut tx = world.db().begin(tenant).await?;
    Ok(sqlx::query_scalar("select max(at) from auth_log")
        .fetch_one(&mut *tx)
        .await?)
}

async fn log_in(
    world: &World,
    tenant: TenantId,
    customer: CustomerId,
    number: i32,
    at: Timestamp,
) -> Result<()> {
    let mut tx = world.db().begin(tenant).await?;
    sqlx::query("select ensure_partitions(($1 at time zone 'UTC')::date, 2)")
        .bind(at)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "insert into auth_log (tenant_id, at, id, site_id, customer_id, username, accepted, reason)
         select $1, $2, md5($2::timestamptz::text || n)::uuid, $4, $4, 'asha', true, 'Let in.'
           from generate_series(1, $3::int) n",
    )
    .bind(tenant)
    .bind(at)
    .bind(number)
    .bind(customer)
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

async fn write_down(
    world: &World,
    tenant: TenantId,
    customer: CustomerId,
    [used, told]: [Timestamp; 2],
) -> Result<()> {
    let mut tx = world.db().begin(tenant).await?;
    sqlx::query("select ensure_partitions(($1 at time zone 'UTC')::date, 2)")
        .bind(used)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "insert into usage (tenant_id, at, customer_id, session_id, bytes_in, bytes_out)
         values ($1, $2, $3, $3, 1, 1)",
    )
    .bind(tenant)
    .bind(used)
    .bind(customer)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "insert into messages (tenant_id, id, channel, recipient, body, purpose, customer_id, initiator,
                               state, created_at)
         values ($1, md5($2::timestamptz::text)::uuid, 'SMS', '254712345601', 'Paid', 'receipt', $3, 'system', 'SENT', $2)",
    )
    .bind(tenant)
    .bind(told)
    .bind(customer)
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

async fn hear(world: &World, tenant: TenantId, [called, reported]: [Timestamp; 2]) -> Result<()> {
    let mut tx = world.db().begin(tenant).await?;
    sqlx::query(
        "insert into payment_inbox (tenant_id, id, kind, body, source, received_at, processed_at)
         values ($1, md5($2::timestamptz::text)::uuid, 'STK_CALLBACK', 'told', 'M-Pesa', $2, $2)",
    )
    .bind(tenant)
    .bind(called)
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "insert into quarantine (tenant_id, agent_id, outbox_id, lane, sequence, kind, version, body, error, at)
         values ($1, $1, $1, 1, extract(epoch from $2::timestamptz)::bigint, 1, 1, 'what', 'why', $2)",
    )
    .bind(tenant)
    .bind(reported)
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

async fn do_something(
    world: &World,
    tenant: TenantId,
    customer: CustomerId,
    at: Timestamp,
) -> Result<()> {
    let mut tx = world.db().begin(tenant).await?;
    let line = Audit {
        details: "Changed something".to_owned(),
        ..Audit::new(Action::CustomerUpdate, "customer", customer, "Asha")
    };
    audit::record(&mut tx, &Actor::system(), line, at).await?;
    Ok(tx.commit().await?)
}

async fn delete(world: &World, isp: &Provider, name: &str, at: Timestamp) -> Result<()> {
    let until = world.clock.now().plus(DAY);
    let id = isp.add_subscriber(name, "254712345602", until).await?;
    let path = format!("/customers/{id}");
    isp.owner.call(Method::DELETE, &path, None).await?;
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    sqlx::query(
        "update customers set deleted_at = $2 where id = $1::uuid and deleted_at is not null",
    )
    .bind(&id)
    .bind(at)
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// The tables as who owns them sees them: one tenant's rows.
pub async fn owner(world: &World, tenant: TenantId) -> Result<PgConnection> {
    let mut owner = PgConnection::connect_with(&world.database.owner()).await?;
    sqlx::query("select set_config('app.tenant', $1::text, false)")
        .bind(tenant.to_string())
        .execute(&mut owner)
        .await?;
    Ok(owner)
}

/// He owes five shillings.
pub async fn owes(world: &World, tenant: TenantId, customer: &str) -> Result<()> {
    set_balance(world, tenant, customer, -500).await
}

/// He has five shillings.
pub async fn has(world: &World, tenant: TenantId, customer: &str) -> Result<()> {
    set_balance(world, tenant, customer, 500).await
}

async fn set_balance(world: &World, tenant: TenantId, customer: &str, cents: i64) -> Result<()> {
    let mut tx = world.db().begin(tenant).await?;
    sqlx::query(
        "update wallets set balance = $2, floor = least($2, 0) where customer_id = $1::uuid",
    )
    .bind(customer)
    .bind(cents)
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Makes a voucher, and hers the use of it.
pub async fn use_a_voucher(world: &World, isp: &Provider, customer: &str) -> Result<()> {
    let hour = json!({"name": "Hour", "type": "HOTSPOT", "price": 20, "downloadSpeed": 4,
        "uploadSpeed": 2, "sessionTime": 60});
    let hour = isp.owner.post("/packages", &hour).await?;
    let batch = json!({"count": 1, "packageId": hour["id"]});
    isp.owner.post("/vouchers", &batch).await?;
    let now = world.clock.now();
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    sqlx::query("update vouchers set status = 'USED', customer_id = $1::uuid, used_at = $2, used_until = $2")
        .bind(customer)
        .bind(now)
        .execute(&mut *tx)
        .await?;
    sqlx::query("update voucher_batches set used = 1")
        .execute(&mut *tx)
        .await?;
    Ok(tx.commit().await?)
}

/// Waits until the cloud heard of the end of all of her sessions.
pub async fn no_session_is_open(world: &World, tenant: TenantId, customer: &str) -> Result<()> {
    eventually("her sessions are over", async || {
        let mut tx = world.db().begin(tenant).await?;
        let open: i64 = sqlx::query_scalar(
            "select count(*) from sessions where customer_id = $1::uuid and status <> 'COMPLETED'",
        )
        .bind(customer)
        .fetch_one(&mut *tx)
        .await?;
        Ok((open == 0).then_some(()))
    })
    .await
}

/// Waits until the tenant's one payment that was asked for is in this state.
pub async fn intent_becomes(world: &World, tenant: TenantId, state: &str) -> Result<()> {
    eventually(&format!("the payment is {state}"), async || {
        let mut tx = world.db().begin(tenant).await?;
        let now: String = sqlx::query_scalar("select state from intents")
            .fetch_one(&mut *tx)
            .await?;
        Ok((now == state).then_some(()))
    })
    .await
}

/// Lets time pass until the provider, asked by us, has said of every payment what it told us before.
pub async fn the_provider_confirms(world: &World, tenant: TenantId) -> Result<()> {
    world.clock.advance(Duration::from_secs(30));
    eventually("every payment is confirmed", async || {
        let mut tx = world.db().begin(tenant).await?;
        let open: i64 = sqlx::query_scalar(
            "select count(*) from intents where state = 'POSTED' and confirmed_at is null",
        )
        .fetch_one(&mut *tx)
        .await?;
        Ok((open == 0).then_some(()))
    })
    .await
}

/// Bills her, and types her name where income and expenses have words.
pub async fn have_books(owner: &Operator, customer: &str) -> Result<()> {
    let bill = json!({"customerId": customer, "amount": 5, "dueDate": "2027-02-15",
        "items": [{"description": "Cable for Wanjiku Kamau", "amount": 5}]});
    let bill = owner.post("/finance/invoices", &bill).await?;
    let number = bill["id"].as_str().context("a number")?;
    let paid = json!({"status": "paid", "method": "Cash", "reference": "from 0712345691"});
    owner
        .put(&format!("/finance/invoices/{number}/status"), &paid)
        .await?;
    let income = json!({"customerName": "Wanjiku Kamau", "amount": 5, "method": "Cash",
        "description": "An old router"});
    owner.post("/finance/income", &income).await?;
    let expense = json!({"description": "Lunch", "category": "Food", "vendor": "Wanjiku Kamau",
        "amount": 5, "date": "2027-01-15", "isRecurring": true});
    owner.post("/finance/expenses", &expense).await?;
    Ok(())
}
