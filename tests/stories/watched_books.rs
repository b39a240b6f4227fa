//! The books are proved by themselves: what is changed behind the server's back is found and shown.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_tests::world::{Provider, World, eventually};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::suspended::given_platform;
use crate::words::DAY;

const FIVE_MINUTES: Duration = Duration::from_secs(301);

/// Somebody changes one cent of a row that was sealed a moment ago, with psql: within five minutes the owner and
/// the platform see which row it is. Of one that was proved long ago they see it in the morning. When it is undone,
/// the next night's proof says so.
#[tokio::test(flavor = "multi_thread")]
async fn one_changed_cent_is_found_and_named() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    let jane = isp
        .add_subscriber("jane", "254712345601", world.clock.now().minus(DAY))
        .await?;
    let recharge = json!({"amount": 300});
    let path = format!("/customers/{jane}/recharge");
    isp.owner.post(&path, &recharge).await?;
    let rows = proved(&world, &isp, Duration::ZERO).await?["rows"].clone();
    assert!(rows.as_i64() > Some(0), "{rows}");

    isp.owner.post(&path, &json!({"amount": 400})).await?;
    let newer = change(&world, &isp, 40_000, 40_001).await?;
    let books = found(&world, &isp, FIVE_MINUTES).await?;
    let wrong = books["findings"].to_string();
    assert!(wrong.contains(&format!("entry {newer}")), "{wrong}");
    let platform = given_platform(&world).await?;
    let theirs = platform.get("/super-admin/books").await?;
    assert_eq!(theirs["tenants"][0]["findings"], books["findings"]);
    change(&world, &isp, 40_001, 40_000).await?;
    let books = proved(&world, &isp, DAY).await?;
    assert_eq!(books["foundAt"], Value::Null);

    let older = change(&world, &isp, 30_000, 30_001).await?;
    let books = found(&world, &isp, DAY).await?;
    let wrong = books["findings"].to_string();
    assert!(wrong.contains(&format!("entry {older}")), "{wrong}");
    world.stop().await
}

/// Changes an amount as whoever owns the tables can; the entry it is of.
async fn change(world: &World, isp: &Provider, from: i64, to: i64) -> Result<Uuid> {
    let mut psql = PgConnection::connect_with(&world.database.owner()).await?;
    sqlx::query("select set_config('app.tenant', $1::text, false)")
        .bind(isp.tenant().await?.to_string())
        .execute(&mut psql)
        .await?;
    // What is changed is sealed before, as it would be found at once otherwise.
    eventually("everything is sealed", async || {
        world.clock.advance(Duration::from_secs(1));
        let waiting: i64 = sqlx::query_scalar("select count(*) from unsealed")
            .fetch_one(&mut psql)
            .await?;
        Ok((waiting == 0).then_some(()))
    })
    .await?;
    let changed = "update transfers set amount = $2 where amount = $1 returning entry_id";
    let entry: Option<Uuid> = sqlx::query_scalar(changed)
        .bind(from)
        .bind(to)
        .fetch_optional(&mut psql)
        .await?;
    entry.context("a transfer of this amount")
}

/// Lets so much time go by, and waits until the books are said to prove.
async fn proved(world: &World, isp: &Provider, pause: Duration) -> Result<Value> {
    world.clock.advance(pause);
    stand(world, isp, "the books prove", true).await
}

async fn found(world: &World, isp: &Provider, pause: Duration) -> Result<Value> {
    world.clock.advance(pause);
    stand(world, isp, "the change is found", false).await
}

async fn stand(world: &World, isp: &Provider, what: &str, proved: bool) -> Result<Value> {
    let shown = async || -> Result<Option<Value>> {
        let books = isp.owner.get("/finance/books").await?;
        let rows = books["rows"].as_i64() > Some(0);
        let stands = books["proved"] == proved && (rows || !proved);
        if !stands {
            world.clock.advance(Duration::from_secs(10));
        }
        Ok(stands.then_some(books))
    };
    eventually(what, shown).await
}
