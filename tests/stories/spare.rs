//! Any box can die: a second agent takes over at once, a spare box takes the dead one's place.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_agent::VERSION;
use easyisp_agent::sync::{Identity, enroll};
use easyisp_shared::time::Clock;
use easyisp_tests::router::online::Online;
use easyisp_tests::router::session::Usage;
use easyisp_tests::world::{Provider, Site, World, eventually, soon};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::words::{DAY, comes_to_agree, full};

/// A card is put back to an earlier image, and its box, which the cloud takes for a copy, is enrolled anew. What it
/// reports from then on has sequences that the cloud has of before, and is not taken for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_was_put_back_loses_nothing_that_it_reports_after() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "putback").await?;
    let mut site = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("jane", "254712345631", until).await?;
    site.knows("jane", "at all", |_| true).await?;
    let comes_and_goes = async |site: &Site| {
        let session = site.dial("jane").await.online();
        session.started().await;
        session.transfer(Usage { up: 1, down: 1000 });
        ensure!(session.hang_up().await, "a Stop");
        Ok(())
    };
    comes_and_goes(&site).await?;
    site.reported().await?;
    site.stop_agent().await;
    let file = site.config().data_dir.join("outbox.db");
    let image = std::fs::read(&file)?;
    site.start_agent().await?;
    site.caught_up().await?;
    for _ in 0..5 {
        comes_and_goes(&site).await?;
    }
    site.reported().await?;
    assert_eq!(isp.sessions_of("jane").await?.len(), 6);

    site.stop_agent().await;
    for end in ["-wal", "-shm"] {
        let beside = file.with_file_name(format!("outbox.db{end}"));
        if beside.exists() {
            std::fs::remove_file(beside)?;
        }
    }
    std::fs::write(&file, image)?;
    let home = site.identity_folder();
    std::fs::rename(&home, home.with_extension("old"))?;
    let sites = isp.owner.get("/sites").await?;
    let (id, old) = (
        &sites["sites"][0]["id"],
        &sites["sites"][0]["agents"][0]["id"],
    );
    let old = old.as_str().context("its agent")?;
    let revoke = format!(
        "/sites/{}/agents/{old}/revoke",
        id.as_str().context("a site")?
    );
    isp.owner.post(&revoke, &serde_json::json!({})).await?;
    let token = isp.owner.join_token().await?;
    enroll(&world.agents().to_string(), &token, &home, VERSION).await?;

    site.start_agent().await?;
    site.caught_up().await?;
    site.knows("jane", "at all", |_| true).await?;
    comes_and_goes(&site).await?;
    site.reported().await?;
    let told = isp.sessions_of("jane").await?;
    assert_eq!(told.len(), 7, "{told:?}");
    site.stop().await;
    world.stop().await
}

/// The first agent is unplugged with hundreds online: nobody drops, who logs in gets in by the second within
/// ten seconds, and what began at one agent and ended at the other is counted once and to the byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_carries_on_where_the_first_died() -> Result<()> {
    let world = World::start_on(Clock::system()).await?;
    let isp = Provider::sign_up(&world, "twoboxes").await?;
    let mut pair = Site::open_pair(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    let subscribers = if full() { 2000 } else { 300 };
    let name = |number: usize| format!("user{number:04}");
    let (isp, site) = (&isp, &pair.site);
    let signed_up = stream::iter(0..=subscribers)
        .map(async |number| {
            isp.add_subscriber(&name(number), "254712345630", until)
                .await
        })
        .buffered(4);
    signed_up.try_collect::<Vec<String>>().await?;
    for number in 0..=subscribers {
        pair.know(&name(number)).await?;
    }
    let came_up = stream::iter(0..subscribers)
        .map(async |number| {
            let session = site.dial(&name(number)).await.online();
            soon("the Start is answered", session.started()).await?;
            session.transfer(Usage {
                up: 1000,
                down: 5 << 30,
            });
            anyhow::Ok(session)
        })
        .buffered(AT_ONCE);
    let online: Vec<Online> = came_up.try_collect().await?;
    for session in online.iter().take(5) {
        assert!(session.interim().await);
    }

    pair.site.stop_agent().await;
    let unplugged = Instant::now();
    let newcomer = pair.site.dial(&name(subscribers)).await.online();
    let took = unplugged.elapsed();
    assert!(took < Duration::from_secs(10), "a login took {took:?}");
    println!("{subscribers} sessions up; a login through the second agent took {took:?}");
    assert!(
        online.iter().all(|session| session.session().is_some()),
        "somebody dropped"
    );

    let carried_on = stream::iter(online.iter().enumerate())
        .map(async |(number, session)| {
            session.transfer(Usage { up: 7, down: 9 });
            let taken = session.interim().await;
            ensure!(taken, "an interim of a session that the second never saw");
            ensure!(number % 2 == 1 || session.hang_up().await, "a Stop");
            Ok(())
        })
        .buffered(AT_ONCE);
    carried_on.try_collect::<Vec<()>>().await?;
    assert!(newcomer.hang_up().await);
    pair.site.start_agent().await?;
    pair.site.caught_up().await?;
    let stayed = stream::iter(online.iter().skip(1).step_by(2))
        .map(async |session| {
            session.transfer(Usage { up: 1, down: 1 });
            ensure!(session.hang_up().await, "it ends at the first");
            Ok(())
        })
        .buffered(AT_ONCE);
    stayed.try_collect::<Vec<()>>().await?;
    pair.second_reported().await?;
    comes_to_agree(isp, &pair.site).await?;
    pair.stop().await;
    world.stop().await
}

/// As many as a site's routers ask about at once in a bad minute.
const AT_ONCE: usize = 64;

/// A spare box takes a dead one's place with a token made for it; in the same moment the old one is nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_spare_box_takes_a_dead_ones_place() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "sparebox").await?;
    let mut site = Site::open(&world, &isp).await?;
    isp.add_subscriber("jane", "254712345631", world.clock.now().plus(DAY))
        .await?;
    site.knows("jane", "at all", |_| true).await?;

    let sites = isp.owner.get("/sites").await?;
    let (id, old) = (
        &sites["sites"][0]["id"],
        &sites["sites"][0]["agents"][0]["id"],
    );
    let (id, old) = (
        id.as_str().context("a site")?,
        old.as_str().context("an agent")?,
    );
    let path = format!("/sites/{id}/join-token?replaces={old}");
    let made = isp.owner.post(&path, &serde_json::json!({})).await?;
    let command = made["command"].as_str().context("a command")?;
    assert!(
        command.starts_with(&format!("easyisp-agent replace --site {id} ")),
        "{command}"
    );
    let unknown = format!("/sites/{id}/join-token?replaces={id}");
    assert!(
        isp.owner
            .post(&unknown, &serde_json::json!({}))
            .await
            .is_err()
    );

    // The old box dies, the spare one comes with nothing; the routers' settings stay as they are.
    site.stop_agent().await;
    let home = site.identity_folder();
    let dead = home.with_extension("dead");
    std::fs::rename(&home, &dead)?;
    site.forget_files()?;
    let token = made["token"].as_str().context("a token")?;
    let cloud = world.agents().to_string();
    let identity = enroll(&cloud, token, &home, VERSION).await?;
    assert_eq!(
        identity.replaced.map(|id| id.to_string()).as_deref(),
        Some(old)
    );
    assert!(easyisp_agent::replace::is_site(&identity, id));
    assert_ne!(Identity::load(&dead)?.agent, identity.agent);

    site.start_agent().await?;
    site.caught_up().await?;
    site.knows("jane", "at all", |_| true).await?;
    let session = soon("she logs in", site.dial("jane")).await?.online();
    assert!(session.hang_up().await);
    let sites = isp.owner.get(&format!("/sites/{id}")).await?;
    assert_eq!(sites["agents"].as_array().map(Vec::len), Some(1), "{sites}");

    // The dead box comes back to life and is nobody.
    site.stop_agent().await;
    std::fs::rename(&home, home.with_extension("spare"))?;
    std::fs::rename(&dead, &home)?;
    site.start_agent().await?;
    eventually("it is told so", async || {
        let overview = site.agent().overview().clone();
        let report = tokio::task::spawn_blocking(move || overview.report()).await?;
        Ok((!report.link_up && report.link.contains("revoked")).then_some(()))
    })
    .await?;
    site.stop().await;
    world.stop().await
}

/// B8: a customer with a data limit is online while his site's box is replaced. What the dead one told of his session is
/// not used twice, and what he uses from then on is counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_spare_box_counts_no_session_twice() -> Result<()> {
    const MEGABYTE: u64 = 1_000_000;
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "sparequota").await?;
    let package = serde_json::json!({
        "name": "Limited", "type": "PPPOE", "price": 1000, "downloadSpeed": 10, "uploadSpeed": 10,
        "dataLimit": 100 * MEGABYTE,
    });
    let package = isp.owner.post("/packages", &package).await?;
    let package = package["id"].as_str().context("an id")?;
    let mut site = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY).to_string();
    let phone = "254712345631";
    isp.owner
        .add_customer("jane", package, phone, &until)
        .await?;
    site.knows("jane", "at all", |_| true).await?;
    let online = site.dial("jane").await.online();
    online.started().await;
    let uses = async |megabytes| {
        online.transfer(Usage {
            up: 0,
            down: megabytes * MEGABYTE,
        });
        assert!(online.interim().await);
    };
    uses(60).await;
    site.reported().await?;
    let told = async |site: &Site| {
        let known = |known: &easyisp_agent::site::Subscriber| known.used.bytes == 60 * MEGABYTE;
        site.knows("jane", "what she used", known).await
    };
    told(&site).await?;
    world.clock.advance(Duration::from_secs(60));

    let sites = isp.owner.get("/sites").await?;
    let (id, old) = (
        &sites["sites"][0]["id"],
        &sites["sites"][0]["agents"][0]["id"],
    );
    let path = format!(
        "/sites/{}/join-token?replaces={}",
        id.as_str().context("a site")?,
        old.as_str().context("an agent")?
    );
    let made = isp.owner.post(&path, &serde_json::json!({})).await?;
    site.stop_agent().await;
    let home = site.identity_folder();
    std::fs::rename(&home, home.with_extension("dead"))?;
    site.forget_files()?;
    let token = made["token"].as_str().context("a token")?;
    enroll(&world.agents().to_string(), token, &home, VERSION).await?;
    site.start_agent().await?;
    site.caught_up().await?;
    told(&site).await?;

    uses(20).await;
    assert!(online.hang_up().await);
    let left = site.dial("jane").await.online();
    let left = left.session().context("online")?.grants.total_limit;
    assert_eq!(left, Some(20 * MEGABYTE));
    site.stop().await;
    world.stop().await
}

/// Who asks and is no router of the site gets silence, and the operator is asked whether to add it.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_router_is_shown_to_the_operator() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "stranger").await?;
    let site = Site::open(&world, &isp).await?;
    let stranger = std::net::UdpSocket::bind("127.250.3.9:0")?;
    stranger.send_to(
        &[1, 7, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        site.asked(),
    )?;
    eventually("the agent heard it", async || {
        let known = site.agent().overview().unknown.loudest(1);
        Ok((!known.is_empty()).then_some(()))
    })
    .await?;

    world.clock.advance(Duration::from_secs(61)); // the next heartbeat
    let sites = isp.owner.get("/sites").await?;
    let id = sites["sites"][0]["id"]
        .as_str()
        .context("a site")?
        .to_owned();
    let shown = eventually("the site shows it", async || {
        let shown = isp.owner.get(&format!("/sites/{id}")).await?;
        Ok(shown["unknownRouters"].get(0).cloned())
    })
    .await?;
    assert_eq!(shown["address"], "127.250.3.9");
    assert_eq!(shown["requests"], 1);
    assert_eq!(
        shown["message"],
        "A router at 127.250.3.9 is asking. Add it?"
    );
    site.stop().await;
    world.stop().await
}
