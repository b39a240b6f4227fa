//! What a site on a line that is paid by the octet sends, as its agent really sends it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_cloud::sessions;
use easyisp_tests::operator::http_client;
use easyisp_tests::router::session::Usage;
use easyisp_tests::world::{Provider, Site, World, eventually};
use futures_util::future::join_all;

use crate::words::{DAY, MINUTE};

/// Online all day at 5-minute interims: the octets of each subscriber and day, with everything that the agent tells
/// meanwhile (heartbeats, conditions, marks) and what the cloud answers. Not in it: headers of IP and UDP, and the
/// keep-alives of the link, which cost the same with one subscriber and with a thousand.
#[tokio::test(flavor = "multi_thread")]
async fn a_metered_subscriber_costs_some_kilobytes_a_day() -> Result<()> {
    const SUBSCRIBERS: usize = 50;
    const HOURS: usize = 4;
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "metered").await?;
    let mut site = Site::prepare(&world, &isp).await?;
    site.configure(|config| config.cloud.metered = true);
    site.start_agent().await?;
    site.caught_up().await?;
    let until = world.clock.now().plus(30 * DAY);
    let mut online = Vec::new();
    for number in 0..SUBSCRIBERS {
        let (name, phone) = (format!("home{number:02}"), format!("2547000000{number:02}"));
        isp.add_subscriber(&name, &phone, until).await?;
        site.knows(&name, "at all", |_| true).await?;
        let session = site.dial(&name).await.online();
        session.started().await;
        online.push(session);
    }
    site.reported().await?;

    let before = octets(&world).await?;
    for hour in 0..HOURS {
        for step in 0..12 {
            world.clock.advance(5 * MINUTE);
            let sent = join_all(online.iter().map(|session| {
                session.transfer(Usage {
                    up: 12_345_678,
                    down: 123_456_789,
                });
                session.interim()
            }));
            let answered = sent.await;
            ensure!(answered.iter().all(|yes| *yes), "hour {hour}, step {step}");
        }
        // A minute into the next hour the last one goes up, as one batch.
        world.clock.advance(MINUTE);
        eventually("the hour has gone up", async || {
            // A link that was lost meanwhile is dialled anew by this clock.
            world.clock.advance(Duration::from_secs(1));
            let overview = site.agent().overview().clone();
            let report = tokio::task::spawn_blocking(move || overview.report()).await?;
            let waiting = report.waiting.get("accounting").copied().unwrap_or(0);
            Ok((waiting < SUBSCRIBERS as u64 * 6).then_some(()))
        })
        .await?;
    }
    let spent = octets(&world).await? - before;
    let story = HOURS as u64 * 61;
    let each = spent * 24 * 60 / story / SUBSCRIBERS as u64;
    println!(
        "{each} octets a metered subscriber and day, {SUBSCRIBERS} online at 5-minute interims"
    );
    ensure!(each <= MOST, "{each}");
    site.stop().await;
    world.stop().await
}

/// Between two hours nobody there is told to be offline, and after two of silence nobody is told to be online.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_online_behind_a_metered_line_is_shown_so() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "meteredtoo").await?;
    let mut site = Site::prepare(&world, &isp).await?;
    site.configure(|config| config.cloud.metered = true);
    site.start_agent().await?;
    site.caught_up().await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("home", "254700000001", until).await?;
    site.knows("home", "at all", |_| true).await?;
    let session = site.dial("home").await.online();
    session.started().await;
    site.reported().await?;
    let tenant = isp.tenant().await?;
    let status = async || -> Result<String> {
        sessions::doubt_silent(world.db(), tenant, world.clock.now()).await?;
        let mut tx = world.db().begin(tenant).await?;
        let status = "select status from sessions where tenant_id = $1";
        let status = sqlx::query_scalar(status).bind(tenant);
        Ok(status.fetch_one(&mut *tx).await?)
    };
    world.clock.advance(40 * MINUTE);
    assert_eq!(status().await?, "ACTIVE");
    world.clock.advance(120 * MINUTE);
    assert_eq!(status().await?, "UNCONFIRMED");
    site.stop().await;
    world.stop().await
}

/// What the link moved, both ways, as the node counts it.
async fn octets(world: &World) -> Result<u64> {
    let metrics = format!("http://{}/metrics", world.cloud().metrics_addr);
    let text = http_client().get(metrics).send().await?.text().await?;
    let lines = text
        .lines()
        .filter(|line| line.starts_with("easyisp_link_octets{"));
    let counts = lines.map(|line| {
        let (_, count) = line.rsplit_once(' ').context("a count")?;
        Ok(count.parse::<u64>()?)
    });
    counts.sum()
}

/// Far more than the some 9,000 that it was here: a link that is dialled anew again and again would cost it.
const MOST: u64 = 100_000;
