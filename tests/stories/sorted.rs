//! Lists in the order that an operator asks for: whole over all pages, by columns that a list names, and fast
//! where it is long.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_shared::id::TenantId;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::cloud::{Client, Ours, given_cloud};
use crate::words::full;

/// A list that can be sorted: its path, where its rows are, and its names.
const LISTS: [(&str, &str, &[&str]); 13] = [
    (
        "/api/customers",
        "customers",
        &[
            "createdAt",
            "username",
            "name",
            "expiresAt",
            "accountNumber",
        ],
    ),
    (
        "/api/packages",
        "",
        &["createdAt", "name", "type", "price", "customerCount"],
    ),
    (
        "/api/payments/mpesa",
        "transactions",
        &["createdAt", "amount"],
    ),
    (
        "/api/payments/electronic",
        "transactions",
        &["createdAt", "amount"],
    ),
    (
        "/api/payments/manual?page=1",
        "transactions",
        &["createdAt", "amount", "method"],
    ),
    (
        "/api/tenant/operators",
        "operators",
        &["createdAt", "name", "email", "role", "status"],
    ),
    (
        "/api/nas",
        "routers",
        &["name", "status", "lastSeen", "createdAt", "customerCount"],
    ),
    (
        "/api/vouchers",
        "vouchers",
        &["createdAt", "usedAt", "expiresAt"],
    ),
    (
        "/api/sessions?status=active",
        "sessions",
        &["startTime", "username", "bytesIn", "bytesOut"],
    ),
    (
        "/api/finance/invoices",
        "invoices",
        &["createdAt", "dueDate", "amount"],
    ),
    ("/api/finance/income", "transactions", &["date", "amount"]),
    (
        "/api/finance/expenses",
        "expenses",
        &["date", "amount", "category"],
    ),
    ("/api/audit-logs", "logs", &["timestamp"]),
];

/// Every list that can be sorted answers each of its names in both directions, and refuses another with them.
#[tokio::test]
async fn an_unknown_column_is_refused_with_those_there_are() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    furnish(&owner).await?;
    for (list, rows, names) in LISTS {
        let and = if list.contains('?') { '&' } else { '?' };
        for name in names {
            for order in ["asc", "desc"] {
                let path = format!("{list}{and}sortBy={name}&sortOrder={order}");
                let answer = owner.get(&path).await?;
                ensure!(answer.status == StatusCode::OK, "{path}: {:?}", answer.body);
                let at = if rows.is_empty() {
                    &answer.body
                } else {
                    &answer.body[rows]
                };
                ensure!(at.is_array(), "{path}: {:?}", answer.body);
            }
        }
        let wrong = owner.get(&format!("{list}{and}sortBy=password")).await?;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{list}");
        assert_eq!(wrong.body["details"][0]["field"], "sortBy", "{list}");
        let said = wrong.body["details"][0]["message"]
            .as_str()
            .context("why")?;
        assert_eq!(
            said,
            format!("must be one of {}", names.join(", ")),
            "{list}"
        );
        let wrong = owner.get(&format!("{list}{and}sortOrder=up")).await?;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{list}");
        assert_eq!(wrong.body["details"][0]["field"], "sortOrder", "{list}");
    }
    let endless = owner.get("/api/sessions?sortBy=bytesOut").await?;
    assert_eq!(endless.status, StatusCode::BAD_REQUEST);
    let said = endless.body["details"][0]["message"].as_str();
    assert!(
        said.is_some_and(|said| said.contains("status=active")),
        "{said:?}"
    );
    Ok(())
}

/// Some of most things, with equal values among them.
async fn furnish(owner: &Client) -> Result<Vec<Value>> {
    let mut customers = Vec::new();
    for (username, name) in [
        ("zuri", "Amina"),
        ("adam", "Zola"),
        ("musa", "Kofi"),
        ("eve", "Kofi"),
    ] {
        let body = json!({"username": username, "password": "secret-word", "name": name,
            "connectionType": "PPPOE"});
        let made = owner.post("/api/customers", &body).await?;
        ensure!(made.status == StatusCode::CREATED, "{:?}", made.body);
        customers.push(made.body);
    }
    for (place, amount) in [300, 100, 300, 200, 300].into_iter().enumerate() {
        let customer = &customers[place % customers.len()]["id"];
        let body = json!({"customerId": customer, "amount": amount, "method": "CASH"});
        let paid = owner.post("/api/payments/manual", &body).await?;
        ensure!(paid.status == StatusCode::CREATED, "{:?}", paid.body);
    }
    Ok(customers)
}

fn column(rows: &Value, name: &str) -> Vec<Value> {
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter().map(|row| row[name].clone()).collect()
}

/// Sorted pages neither repeat nor leave out a row, also where many are equal.
#[tokio::test]
async fn sorted_pages_are_one_list() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    furnish(&owner).await?;
    let names = owner.get("/api/customers?sortBy=name").await?.body;
    assert_eq!(
        column(&names["customers"], "name"),
        ["Amina", "Kofi", "Kofi", "Zola"]
    );
    let names = owner
        .get("/api/customers?sortBy=username&sortOrder=desc&search=a")
        .await?;
    assert_eq!(
        column(&names.body["customers"], "username"),
        ["zuri", "musa", "adam"]
    );
    let status = "/api/customers?sortBy=username&status=ACTIVE";
    let names = owner.get(status).await?.body;
    assert_eq!(
        column(&names["customers"], "username"),
        ["adam", "eve", "musa", "zuri"]
    );

    for (path, rows, by) in [
        ("/api/payments/manual", "transactions", "amount"),
        ("/api/finance/income", "transactions", "amount"),
        ("/api/customers", "customers", "name"),
    ] {
        for order in ["asc", "desc"] {
            let (mut ids, mut values) = (Vec::new(), Vec::new());
            for page in 1.. {
                let path = format!("{path}?page={page}&pageSize=2&sortBy={by}&sortOrder={order}");
                let part = owner.get(&path).await?.body;
                if part[rows].as_array().is_none_or(Vec::is_empty) {
                    break;
                }
                ids.extend(column(&part[rows], "id"));
                values.extend(column(&part[rows], by));
            }
            let mut sorted = values.clone();
            sorted.sort_by_key(|value| match value.as_f64() {
                Some(number) => format!("{number:09.2}"),
                None => value.to_string(),
            });
            if order == "desc" {
                sorted.reverse();
            }
            assert_eq!(values, sorted, "{path} {order}");
            let all = ids.len();
            ids.sort_by_key(Value::to_string);
            ids.dedup();
            assert_eq!((ids.len(), ids.len() >= 4), (all, true), "{path} {order}");
        }
    }
    Ok(())
}

/// A page of a long list comes from an index, however it is sorted: a hundred thousand customers, a million payments.
#[tokio::test]
async fn a_long_list_is_sorted_by_an_index() -> Result<()> {
    let ours = given_cloud().await?;
    let owner = ours.given_owner("acme").await?;
    furnish(&owner).await?;
    let (customers, payments) = if full() {
        (100_000, 1_000_000)
    } else {
        (4_000, 8_000)
    };
    let me = owner.get("/api/tenant/me").await?.body;
    let tenant = TenantId(me["id"].as_str().context("an id")?.parse()?);
    copies(
        &ours,
        tenant,
        "customers",
        customers,
        &[
            ("id", "md5('row' || n)::uuid"),
            ("username", "'user-' || n"),
            ("name", "'Name ' || n % 977"),
            ("account_number", "20000000 + n"),
            ("created_at", "created_at + make_interval(secs => n)"),
            ("paid_until", "paid_until + make_interval(mins => n)"),
        ],
    )
    .await?;
    copies(
        &ours,
        tenant,
        "payments",
        payments,
        &[
            ("id", "md5('row' || n)::uuid"),
            ("amount", "100 * (1 + n % 1500)"),
            ("method", "'MPESA'"),
            ("receipt", "'R' || n"),
            ("created_at", "created_at + make_interval(secs => n)"),
            ("paid_at", "paid_at + make_interval(secs => n)"),
        ],
    )
    .await?;
    let mut slowest = Duration::ZERO;
    for path in [
        "/api/customers?sortBy=name",
        "/api/customers?sortBy=username&connectionType=PPPOE",
        "/api/customers?sortBy=expiresAt&sortOrder=desc",
        "/api/customers?sortBy=expiresAt&status=ACTIVE",
        "/api/customers?sortBy=accountNumber",
        "/api/customers?sortBy=createdAt&sortOrder=asc",
        "/api/payments/mpesa?sortBy=createdAt",
        "/api/payments/mpesa?sortBy=amount",
        "/api/payments/mpesa?sortBy=amount&sortOrder=desc&status=completed",
        "/api/payments/manual?sortBy=amount",
        "/api/finance/income?sortBy=amount&sortOrder=desc",
    ] {
        let mut best = Duration::MAX;
        for _ in 0..3 {
            let asked = Instant::now();
            let answer = owner.get(&format!("{path}&page=1&pageSize=50")).await?;
            best = best.min(asked.elapsed());
            ensure!(answer.status == StatusCode::OK, "{path}: {:?}", answer.body);
        }
        println!("{path}: {best:?}");
        slowest = slowest.max(best);
    }
    ensure!(slowest < Duration::from_secs(1), "{slowest:?}");
    Ok(())
}

/// Copies of a tenant's newest row of a table that differ in these columns; `n` counts them.
async fn copies(
    ours: &Ours,
    tenant: TenantId,
    table: &str,
    many: u32,
    differ: &[(&str, &str)],
) -> Result<()> {
    // As the owner: the server's own statements end after seconds.
    let mut owner = PgConnection::connect_with(&ours.database.owner()).await?;
    let mut tx = owner.begin().await?;
    let of_it = AssertSqlSafe(format!("set local app.tenant = '{tenant}'"));
    sqlx::query(of_it).execute(&mut *tx).await?;
    let columns: Vec<String> = sqlx::query_scalar(
        "select column_name::text from information_schema.columns
          where table_schema = 'public' and table_name = $1 and is_generated = 'NEVER'",
    )
    .bind(table)
    .fetch_all(&mut *tx)
    .await?;
    let value = |column: &String| {
        let other = differ.iter().find(|(name, _)| name == column);
        other.map_or(column.clone(), |(_, text)| (*text).to_owned())
    };
    let values: Vec<String> = columns.iter().map(value).collect();
    let text = format!(
        "insert into {table} ({}) select {} from (select * from {table} order by created_at desc, id limit 1) row,
         generate_series(1, {many}) n",
        columns.join(", "),
        values.join(", ")
    );
    sqlx::query(AssertSqlSafe(text)).execute(&mut *tx).await?;
    tx.commit().await?;
    sqlx::query(AssertSqlSafe(format!("analyze {table}")))
        .execute(&mut owner)
        .await?;
    Ok(())
}
