//! The cloud is gone for an hour, for three days; the agent for a week: the site goes on.

mod three_days;
mod week;

use anyhow::Result;
use easyisp_tests::router::session::{Cause, Usage};
use easyisp_tests::router::subscriber::Dial;
use easyisp_tests::world::{Provider, Site, World, soon};

use crate::words::{DAY, HOUR, MINUTE, comes_to_agree};

/// Logins, expiry and metering go on without the cloud, and nothing metered is lost or doubled.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_without_its_cloud_admits_expires_and_meters() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::sign_up(&world, "upcountry").await?;
    let site = Site::open(&world, &isp).await?;
    let now = world.clock.now();
    for (name, until) in [
        ("online", now.plus(DAY)),
        ("newcomer", now.plus(DAY)),
        ("ending", now.plus(HOUR / 2)),
        ("expired", now.minus(DAY)),
    ] {
        isp.add_subscriber(name, "254712345610", until).await?;
        site.knows(name, "at all", |_| true).await?;
    }
    let online = site.dial("online").await.online();
    online.started().await;

    world.stop_cloud().await?;
    site.cut_off().await?;

    let newcomer = site.dial("newcomer").await.online();
    let ending = site.dial("ending").await.online();
    assert!(matches!(site.dial("expired").await, Dial::Rejected(_)));
    for session in [&newcomer, &ending] {
        soon("the Start is answered", session.started()).await?;
    }
    for _ in 0..12 {
        online.transfer(Usage {
            up: 1 << 20,
            down: 5 << 30,
        });
        newcomer.transfer(Usage { up: 3, down: 4 });
        let before = online.account().interims_acknowledged;
        world.clock.advance(5 * MINUTE);
        // Intervals are jittered, so not every five minutes bring a record of themselves.
        soon("an answer", online.interim()).await?;
        assert!(online.account().interims_acknowledged > before);
    }
    let (cause, _) = soon("who expired is cut off", ending.ended()).await?;
    assert!(
        matches!(cause, Cause::SessionTimeout | Cause::AdminReset),
        "{cause:?}"
    );
    let late = site.dial("ending").await;
    assert!(matches!(late, Dial::Rejected(_)), "{late:?}");
    assert!(newcomer.hang_up().await, "the Stop is answered");
    assert!(online.session().is_some(), "who paid stays online");

    world.start_cloud().await?;
    site.caught_up().await?;
    comes_to_agree(&isp, &site).await?;
    let shown = isp.sessions_of("newcomer").await?;
    assert_eq!(shown[0]["bytesOut"], 48, "{shown:?}");
    let shown = isp.sessions_of("online").await?;
    assert_eq!(shown[0]["bytesOut"], 60_u64 << 30, "{shown:?}");

    site.stop().await;
    world.stop().await
}
