//! A node compares its clock with the database's, again and again.

use std::time::Duration;

use anyhow::Result;
use easyisp_shared::time::Clock;
use easyisp_tests::world::eventually;
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::money::given_books;

/// The server's clock goes wrong and is set right, as the node sees it, which finds out both by itself.
#[tokio::test]
async fn a_node_finds_out_that_its_clock_is_off() -> Result<()> {
    let books = given_books().await?;
    let mut admin = PgConnection::connect_with(&books.fresh.anybody()).await?;
    sqlx::raw_sql(
        "create schema late;
         grant usage on schema late to easyisp_app;
         create function late.clock_timestamp() returns timestamptz language sql as
             $$ select pg_catalog.clock_timestamp() - interval '1 minute' $$;",
    )
    .execute(&mut admin)
    .await?;
    let stop = CancellationToken::new();
    let (db, every) = (books.db.clone(), Duration::from_millis(5));
    let watching = tokio::spawn(db.watch_clock(Clock::system(), every, stop.clone()));
    let drift = books.db.drift();
    eventually("it is compared", async || {
        Ok((drift.looks() > 3).then_some(()))
    })
    .await?;
    assert!(!drift.is_off());
    let (wrong, right) = (
        "do $$ begin
             execute format('alter role easyisp_app in database %I set search_path = late, pg_catalog, public',
                            current_database());
         end $$",
        "do $$ begin
             execute format('alter role easyisp_app in database %I reset search_path', current_database());
         end $$",
    );
    for (clock, off) in [(wrong, true), (right, false)] {
        sqlx::raw_sql(clock).execute(&mut admin).await?;
        // Who is connected goes on with what he had.
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
              where datname = current_database() and usename = 'easyisp_app'",
        )
        .execute(&mut admin)
        .await?;
        eventually("it is found out", async || {
            Ok((drift.is_off() == off).then_some(()))
        })
        .await?;
    }
    stop.cancel();
    Ok(watching.await?)
}
