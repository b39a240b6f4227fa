//! A tenant that was deleted goes for good.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_cloud::db::Tx;
use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;
use easyisp_tests::world::eventually;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::{ADMIN, given_platform, tenant_of};
use crate::cloud::{Ours, PASSWORD, given_cloud};
use crate::operators::delete;
use crate::words::DAY;

/// After thirty days its books are a file and its rows are gone; nobody else's are touched.
#[tokio::test]
async fn what_was_deleted_goes_after_thirty_days() -> Result<()> {
    let ours = given_cloud().await?;
    let platform = given_platform(&ours).await?;
    let home: TenantId = tenant_of(&platform).await?.parse()?;
    let (acme, other) = (
        ours.given_owner("acme").await?,
        ours.given_owner("other").await?,
    );
    let mut tenants = Vec::new();
    for owner in [&acme, &other] {
        let until = ours.clock.now().plus(90 * DAY);
        let subscriber = json!({"username": "imani", "password": "imani", "name": "Imani",
            "connectionType": "PPPOE", "expiresAt": until});
        let subscriber = owner.post("/api/customers", &subscriber).await?;
        let path = format!(
            "/api/customers/{}/recharge",
            subscriber.body["id"].as_str().context("an id")?
        );
        let paid = owner.post(&path, &json!({"amount": 77.5})).await?;
        assert_eq!(paid.status, StatusCode::OK, "{:?}", paid.body);
        let key = json!({"name": "Books", "permissions": ["pppoe:view"], "password": PASSWORD});
        owner.post("/api/api-keys", &key).await?;
        tenants.push(tenant_of(owner).await?.parse()?);
    }
    let [gone, stays]: [TenantId; 2] = tenants.try_into().map_err(|_| anyhow::anyhow!("two"))?;
    let kept = rows_of(&ours, stays).await?;
    let base = format!("{ADMIN}/tenants/{gone}");
    assert_eq!(delete(&platform, &base).await?.status, StatusCode::OK);
    let books = ours.cloud.app.config.data_dir.join("purged");
    let books = books.join(format!("{gone}.jsonl"));

    ours.clock.advance(30 * DAY - Duration::from_secs(1));
    let early = ours.cloud.app.db.begin(gone).await?;
    let early = refuses_to_purge(early, gone, ours.clock.now().minus(30 * DAY)).await?;
    assert!(early.contains("not deleted by then"), "{early}");
    assert!(rows_of(&ours, gone).await?.contains_key("entries"));
    assert!(!books.exists());

    ours.clock.advance(Duration::from_secs(1));
    let left = eventually("its rows are gone", async || {
        let mut directory = ours.cloud.app.db.directory().await?;
        let failed: Option<String> = sqlx::query_scalar(
            "select last_error from directory.jobs where kind = 'tenants.purge' and last_error <> ''",
        )
        .fetch_optional(&mut *directory)
        .await?;
        ensure!(failed.is_none(), "{failed:?}");
        drop(directory);
        // What is chained, and what is purged in turns, come one after the other.
        ours.clock.advance(Duration::from_secs(31));
        let left = rows_of(&ours, gone).await?;
        Ok((left.len() <= 2).then_some(left))
    })
    .await?;
    let left: Vec<&str> = left.keys().map(String::as_str).collect();
    assert_eq!(left, ["directory.account_numbers", "directory.tenants"]);
    let text = std::fs::read_to_string(&books)?;
    let lines: Vec<Value> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    for (number, line) in (1..).zip(&lines) {
        assert_eq!(line["sequence"], number);
    }
    let moved = |line: &&Value| line["transfers"][0]["amount"] == 7750;
    assert_eq!(lines.iter().filter(moved).count(), 1, "{text}");
    let deed = |line: &&Value| line["line"]["action"] == "TENANT_DELETE";
    assert_eq!(lines.iter().filter(deed).count(), 1);

    // The platform's own trail says so, and what the books' file is.
    // It comes after the last row went.
    let told = eventually("the purge is in the trail", async || {
        let mut tx = ours.cloud.app.db.begin(home).await?;
        let told: Vec<(uuid::Uuid, String)> =
            sqlx::query_as("select target_id, details from audit where action = 'TENANT_PURGE'")
                .fetch_all(&mut *tx)
                .await?;
        Ok((!told.is_empty()).then_some(told))
    })
    .await?;
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(text.as_bytes()));
    let [(target, details)] = told.as_slice() else {
        anyhow::bail!("{told:?}");
    };
    assert_eq!(*target, gone.0);
    assert!(
        details.contains(&digest) && details.contains("purged/"),
        "{details}"
    );

    let now = rows_of(&ours, stays).await?;
    for table in [
        "customers",
        "entries",
        "transfers",
        "payments",
        "operators",
        "api_keys",
    ] {
        assert_eq!(now.get(table), kept.get(table), "{table}");
    }
    // His address is free again.
    ours.given_owner("acme").await?;
    Ok(())
}

/// Books are kept whole or not at all: where rows went already, by another node that has the file, what is left of them is
/// not written over it, nor taken for it.
#[tokio::test]
async fn books_of_which_rows_went_already_are_not_kept_as_whole() -> Result<()> {
    let ours = given_cloud().await?;
    let platform = given_platform(&ours).await?;
    let acme = ours.given_owner("acme").await?;
    let gone: TenantId = tenant_of(&acme).await?.parse()?;
    let base = format!("{ADMIN}/tenants/{gone}");
    assert_eq!(delete(&platform, &base).await?.status, StatusCode::OK);
    let begun = async |at: Option<Timestamp>| -> Result<()> {
        let mut tx = ours.cloud.app.db.begin(gone).await?;
        sqlx::query("update directory.tenants set purge_began_at = $2 where tenant_id = $1")
            .bind(gone)
            .bind(at)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    };
    begun(Some(ours.clock.now())).await?;
    ours.clock.advance(30 * DAY);
    let failed = eventually("it says why not", async || {
        ours.clock.advance(Duration::from_secs(1));
        let mut directory = ours.cloud.app.db.directory().await?;
        sqlx::query_scalar::<_, String>(
            "select last_error from directory.jobs where kind = 'tenants.purge' and last_error <> ''",
        )
        .fetch_optional(&mut *directory)
        .await
        .map_err(Into::into)
    })
    .await?;
    ensure!(failed.contains("copy that file"), "{failed}");
    ensure!(rows_of(&ours, gone).await?.contains_key("chain"));
    let folder = ours.cloud.app.config.data_dir.join("purged");
    ensure!(!folder.exists(), "nothing was written");
    // What a try that was cut off left is taken away by the next one.
    std::fs::create_dir(&folder)?;
    std::fs::write(folder.join(format!("{gone}.1.part")), "half of it")?;

    // It was nobody after all: the job is tried again, and ends.
    begun(None).await?;
    eventually("it is purged", async || {
        ours.clock.advance(Duration::from_secs(31));
        let left = rows_of(&ours, gone).await?;
        Ok((!left.contains_key("chain")).then_some(()))
    })
    .await?;
    let files: Vec<_> = std::fs::read_dir(&folder)?.collect::<Result<_, _>>()?;
    assert_eq!(files.len(), 1, "{files:?}");
    Ok(())
}

/// How many rows every table has of a tenant; tables without one are left out.
async fn rows_of(ours: &Ours, tenant: TenantId) -> Result<BTreeMap<String, i64>> {
    let mut owner = PgConnection::connect_with(&ours.database.owner()).await?;
    sqlx::query("select set_config('app.tenant', $1::text, false)")
        .bind(tenant.to_string())
        .execute(&mut owner)
        .await?;
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select c.oid::regclass::text,
                (xpath('/row/n/text()', query_to_xml(format(
                    'select count(*) as n from %s where tenant_id = %L', c.oid::regclass, $1::text),
                    false, true, '')))[1]::text::bigint
           from pg_class c
           join pg_namespace n on n.oid = c.relnamespace and n.nspname in ('public', 'directory')
           join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
          where c.relkind in ('r', 'p') and not c.relispartition",
    )
    .bind(tenant.to_string())
    .fetch_all(&mut owner)
    .await?;
    owner.close().await?;
    Ok(rows.into_iter().filter(|(_, rows)| *rows > 0).collect())
}

/// What the database says to the server when it wants rows gone too early.
async fn refuses_to_purge(mut tx: Tx, tenant: TenantId, cutoff: Timestamp) -> Result<String> {
    let refused = sqlx::query("select purge_tenant($1, $2, 500)")
        .bind(tenant)
        .bind(cutoff)
        .execute(&mut *tx)
        .await;
    Ok(refused.err().context("it was let")?.to_string())
}
