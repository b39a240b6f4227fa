//! How long what devices said is kept.

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;
use easyisp_tests::world::{Provider, World, eventually};
use uuid::Uuid;

use crate::words::{DAY, HOUR, MINUTE};

/// Minutes for two days, hours for forty, days for two years; what began a second later stays. There are more old minutes
/// than one transaction removes.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_goes_at_its_age_and_no_earlier() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "retention").await?;
    let me = isp.owner.get("/tenant/me").await?;
    let tenant: TenantId = me["id"].as_str().context("a tenant")?.parse()?;
    // What a tenant's first day begins with is over; this is its next one.
    let then = world.clock.now().plus(DAY);
    eventually("the first day is tidied", async || {
        let mut directory = world.db().directory().await?;
        let due: i64 = sqlx::query_scalar(
            "select count(*) from directory.jobs where kind = 'tenants.tidy' and due_at = $1",
        )
        .bind(then)
        .fetch_one(&mut *directory)
        .await?;
        Ok((due == 1).then_some(()))
    })
    .await?;

    let second = Duration::from_secs(1);
    let mut stay = Vec::new();
    for (step, days) in [(MINUTE, 2), (HOUR, 40), (DAY, 732)] {
        let cutoff = then.minus(days * DAY);
        let step = i32::try_from(step.as_secs())?;
        stay.push((step, cutoff));
        keep(&world, tenant, step, &[cutoff, cutoff.minus(second)]).await?;
    }
    let cutoff = then.minus(2 * DAY);
    let old: Vec<Timestamp> = (1..=1_200)
        .map(|minutes| cutoff.minus(minutes * MINUTE))
        .collect();
    keep(&world, tenant, 60, &old).await?;
    assert_eq!(kept(&world, tenant).await?.len(), 1_206);

    world.clock.advance(DAY);
    let left = eventually("the old ones are gone", async || {
        let left = kept(&world, tenant).await?;
        Ok(Some(left).filter(|left| left.len() <= stay.len()))
    })
    .await?;
    assert_eq!(left, stay);
    world.stop().await
}

async fn keep(world: &World, tenant: TenantId, step: i32, at: &[Timestamp]) -> Result<()> {
    for at in at.iter().take(2) {
        world.db().ensure_partitions(*at).await?;
    }
    let mut tx = world.db().begin(tenant).await?;
    sqlx::query(
        "insert into metrics (tenant_id, router_id, step, at, body)
         select $1, $2, $3, at, '{}' from unnest($4) at",
    )
    .bind(tenant)
    .bind(Uuid::from_u128(7))
    .bind(step)
    .bind(at)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

async fn kept(world: &World, tenant: TenantId) -> Result<Vec<(i32, Timestamp)>> {
    let mut tx = world.db().begin(tenant).await?;
    let rows =
        sqlx::query_as("select step, at from metrics where tenant_id = $1 order by step, at")
            .bind(tenant)
            .fetch_all(&mut *tx)
            .await?;
    Ok(rows)
}
