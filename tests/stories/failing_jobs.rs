//! What the owner sees of work that fails by itself.

use anyhow::{Context, Result};
use easyisp_tests::world::{Provider, World};

/// How often it failed and why, without the number of whom it failed for and without an address that opens something.
#[tokio::test(flavor = "multi_thread")]
async fn the_owner_sees_why_work_fails() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "failing").await?;
    let tenant = isp.tenant().await?;
    let mut tx = world.db().begin(tenant).await?;
    for (subject, attempts, error) in [
        (1_u128, 1, "M-Pesa did not answer"),
        (
            2,
            7,
            "254712345678 cannot be reached at https://sms.example/SECRET",
        ),
    ] {
        // A kind that nobody does.
        sqlx::query(
            "insert into directory.jobs (tenant_id, kind, subject, due_at, attempts, last_error)
             values ($1, 'test.nobodys', $2, $3, $4, $5)",
        )
        .bind(tenant)
        .bind(uuid::Uuid::from_u128(subject))
        .bind(world.clock.now())
        .bind(attempts)
        .bind(error)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    let jobs = isp.owner.get("/jobs").await?;
    let mut kinds = jobs["background"].as_array().into_iter().flatten();
    let failing = kinds.find(|kind| kind["kind"] == "test.nobodys");
    let failing = failing.context("it is shown")?;
    assert_eq!(failing["failing"], 2, "{failing}");
    assert_eq!(failing["attempts"], 7, "{failing}");
    assert_eq!(
        failing["lastError"], "\u{2026} cannot be reached at \u{2026}",
        "{failing}"
    );
    world.stop().await
}
