//! A box whose clock is in another year.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_tests::world::{Provider, Site, World};

use crate::words::{DAY, MINUTE};

/// F3: a box that wakes in 1970 or in 2040 reaches the cloud within half a minute, though by its own clock no
/// certificate is valid, is told the time, and decides by that.
#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_wakes_in_another_year_is_told_the_time() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::sign_up(&world, "otheryear").await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("amani", "254712345680", until).await?;
    let mut site = Site::prepare(&world, &isp).await?;
    for year in ["1970-01-01T00:05:00Z", "2040-06-01T00:00:00Z"] {
        let wrong = Clock::test(Timestamp::parse(year).context("a time")?);
        let began = Instant::now();
        site.start_agent_on(wrong).await?;
        site.caught_up().await?;
        assert!(began.elapsed() < Duration::from_secs(30), "{year}");
        let (told, now) = (site.agent().overview().clock.now(), world.clock.now());
        assert!(
            told.since(now).max(now.since(told)) < MINUTE,
            "{told} in {year}"
        );
        site.knows("amani", "at all", |_| true).await?;
        let online = site.dial("amani").await.online();
        online.started().await;
        assert!(online.hang_up().await);
        site.stop_agent().await;
    }

    // What it was told it knows with the cloud gone, too: what ended before that has ended for sure.
    world.stop_cloud().await?;
    let wrong = Clock::test(Timestamp::parse("1970-01-01T00:05:00Z").context("a time")?);
    site.start_agent_on(wrong).await?;
    let (floor, now) = (site.agent().overview().clock.floor(), world.clock.now());
    assert!(
        floor.since(now).max(now.since(floor)) < MINUTE,
        "{floor} where it is {now}"
    );
    site.stop().await;
    world.stop().await
}
