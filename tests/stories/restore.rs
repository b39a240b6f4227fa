//! The cloud's database is lost and a backup put in its place, under a running agent.

use anyhow::Result;
use easyisp_tests::router::session::Usage;
use easyisp_tests::world::{Provider, Site, World, eventually, soon};

use crate::words::{DAY, HOUR, MINUTE, comes_to_agree};

/// D3: the agent sends again what the backup does not have, with its certificate renewed, its generation and
/// its cursor ahead of the backup; usage comes to what the router counted, nobody is cut off, and what the
/// backup knows of customers is what the site knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_cloud_learns_again_what_it_lost() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::sign_up(&world, "restored").await?;
    let mut site = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(DAY);
    for name in ["kept", "lost"] {
        isp.add_subscriber(name, "254712345610", until).await?;
        site.knows(name, "at all", |_| true).await?;
    }
    let kept = site.dial("kept").await.online();
    soon("the Start is answered", kept.started()).await?;
    comes_to_agree(&isp, &site).await?;
    world.stop_cloud().await?;
    let backup = world.database.copy().await?;
    world.start_cloud().await?;
    site.caught_up().await?;

    // What the backup does not have: a customer, sessions, links with newer generations.
    isp.add_subscriber("newer", "254712345611", until).await?;
    site.knows("newer", "at all", |_| true).await?;
    let lost = site.dial("lost").await.online();
    soon("the Start is answered", lost.started()).await?;
    for _ in 0..6 {
        kept.transfer(Usage {
            up: 10,
            down: 1 << 30,
        });
        lost.transfer(Usage { up: 1, down: 2 });
        world.clock.advance(5 * MINUTE);
        soon("an answer", kept.interim()).await?;
    }
    assert!(lost.hang_up().await, "the Stop is answered");
    for _ in 0..3 {
        site.stop_agent().await;
        site.start_agent().await?;
        site.caught_up().await?;
    }
    comes_to_agree(&isp, &site).await?;

    world.stop_cloud().await?;
    site.cut_off().await?;
    world.database = backup;
    world.clock.advance(HOUR / 12);
    world.start_cloud().await?;
    site.caught_up().await?;
    eventually("the lost session is back", async || {
        let shown = isp.sessions_of("lost").await?;
        Ok(shown
            .iter()
            .any(|session| session["bytesOut"] == 12)
            .then_some(()))
    })
    .await?;
    comes_to_agree(&isp, &site).await?;
    eventually("the site forgets who is not in the backup", async || {
        let known = &site.agent().overview().site;
        Ok(known.subscriber(b"newer").is_none().then_some(()))
    })
    .await?;
    assert!(kept.session().is_some(), "somebody was cut off");

    site.stop().await;
    world.stop().await
}
