//! What the database itself promises about tenants.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use easyisp_cloud::db::{Database, Projectors};
use easyisp_cloud::privacy::KEPT;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;
use easyisp_tests::database::fresh_database;
use sqlx::{Connection, PgConnection};

/// A row of usage is written anew with every report of its hour: its pages are not filled, so that it stays where it is.
#[tokio::test]
async fn months_of_usage_leave_room_on_their_pages() -> Result<()> {
    let database = fresh_database().await?;
    let mut app = PgConnection::connect_with(&database.app()).await?;
    sqlx::query("select ensure_partitions($1::timestamptz::date, 3)")
        .bind(Timestamp::from_secs(1_800_000_000))
        .execute(&mut app)
        .await?;
    let months: Vec<Option<Vec<String>>> = sqlx::query_scalar(
        "select c.reloptions from pg_inherits i join pg_class c on c.oid = i.inhrelid
          where i.inhparent = 'usage'::regclass",
    )
    .fetch_all(&mut app)
    .await?;
    assert!(months.len() >= 3, "{months:?}");
    let room = Some(vec!["fillfactor=60".to_owned()]);
    assert!(months.iter().all(|options| *options == room), "{months:?}");
    Ok(())
}

/// G3: row security is on and forced wherever a tenant is named, and the server's role cannot pass it.
#[tokio::test]
async fn every_tenants_table_is_forced_and_the_server_owns_nothing() -> Result<()> {
    let database = fresh_database().await?;
    let mut app = PgConnection::connect_with(&database.app()).await?;
    sqlx::query("select ensure_partitions($1::timestamptz::date, 3)")
        .bind(Timestamp::from_secs(1_800_000_000))
        .execute(&mut app)
        .await?;

    let open: Vec<String> = sqlx::query_scalar(
        "select c.relname::text
           from pg_class c
           join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = 'public' and c.relkind in ('r', 'p')
            and c.relname <> '_sqlx_migrations'
            and not (c.relrowsecurity and c.relforcerowsecurity
                     and exists (select from pg_attribute a
                                  where a.attrelid = c.oid and a.attname = 'tenant_id'))",
    )
    .fetch_all(&mut app)
    .await?;
    assert_eq!(open, Vec::<String>::new(), "without forced row security");

    let without_policy: Vec<String> = sqlx::query_scalar(
        "select c.relname::text
           from pg_class c
           join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition
            and c.relname <> '_sqlx_migrations'
            and not exists (select from pg_policy p where p.polrelid = c.oid)",
    )
    .fetch_all(&mut app)
    .await?;
    assert_eq!(without_policy, Vec::<String>::new());

    let owned: i64 = sqlx::query_scalar(
        "select count(*) from pg_class c join pg_roles r on r.oid = c.relowner
          where r.rolname = current_user",
    )
    .fetch_one(&mut app)
    .await?;
    let (superuser, bypasses): (bool, bool) =
        sqlx::query_as("select rolsuper, rolbypassrls from pg_roles where rolname = current_user")
            .fetch_one(&mut app)
            .await?;
    assert_eq!((owned, superuser, bypasses), (0, false, false));

    let definers: Vec<String> = sqlx::query_scalar(
        "select p.proname::text
           from pg_proc p
           join pg_namespace n on n.oid = p.pronamespace
          where n.nspname = 'public' and p.prosecdef and has_function_privilege(p.oid, 'execute')
          order by 1",
    )
    .fetch_all(&mut app)
    .await?;
    assert_eq!(
        definers,
        [
            "blank_audit",
            "blank_entries",
            "ensure_partitions",
            "free_receipt",
            "purge_tenant"
        ],
        "functions that run as the owner are known by name"
    );
    Ok(())
}

/// What is kept of people is written down for every table: whoever adds one says what it holds of them, and
/// what becomes of it when one of them is erased.
#[tokio::test]
async fn every_table_is_written_down_with_what_it_holds_of_people() -> Result<()> {
    let database = fresh_database().await?;
    let mut app = PgConnection::connect_with(&database.app()).await?;
    let tables: BTreeSet<String> = sqlx::query_scalar(
        "select c.relname::text
           from pg_class c
           join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition
            and c.relname <> '_sqlx_migrations'",
    )
    .fetch_all(&mut app)
    .await?
    .into_iter()
    .collect();
    let written: BTreeSet<String> = KEPT.iter().map(|kept| kept.table.to_owned()).collect();
    assert_eq!(tables, written, "see cloud/src/privacy/rules.rs");
    Ok(())
}

#[tokio::test]
async fn a_begin_that_was_given_up_leaves_no_tenant_behind() -> Result<()> {
    let database = fresh_database().await?;
    let db = Database::connect(database.app(), 1, Entropy::system(), Projectors::default()).await?;
    let somebody = TenantId::new(Timestamp::from_secs(1_800_000_000), db.entropy());
    for micros in (0..2_000).step_by(20) {
        // Given up at every stage: before it is sent, while it is under way, after the answer.
        let begin = tokio::time::timeout(Duration::from_micros(micros), db.begin(somebody));
        drop(begin.await);

        let mut next = db.glance().await?;
        let tenant: Option<String> =
            sqlx::query_scalar("select current_setting('app.tenant', true)")
                .fetch_one(&mut *next)
                .await?;
        assert_eq!(tenant.unwrap_or_default(), "", "after {micros} µs");
    }
    Ok(())
}
