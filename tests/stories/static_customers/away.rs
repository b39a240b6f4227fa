//! A router that cannot be asked, or says no; and five hundred changes that wait for one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_tests::scenario::ApiManners;
use easyisp_tests::world::eventually;
use serde_json::json;

use super::{LISTS, OPEN, Place, QUEUES};
use crate::imports;
use crate::words::DAY;

/// The router's API is found where it is, or where nothing is.
async fn api_is_at(place: &Place, port: u16) -> Result<()> {
    let path = format!("/nas/{}", place.site.router_id);
    place
        .isp
        .owner
        .put(&path, &json!({"apiPort": port}))
        .await?;
    eventually("the agent knows the port", async || {
        let routers = place.site.agent().overview().site.routers();
        let at = |router: &std::sync::Arc<easyisp_agent::site::Router>| {
            router
                .api
                .as_ref()
                .is_some_and(|api| api.access.address.port() == port)
        };
        Ok(routers.iter().any(at).then_some(()))
    })
    .await
}

/// A second router at a site takes nobody's line away whose router was never chosen; nor does a switch.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_router_takes_nobodys_line_away() -> Result<()> {
    let mut place = Place::open("second").await?;
    let until = place.world.clock.now().plus(30 * DAY);
    let customer = json!({
        "username": "school", "password": "school", "name": "A school", "phone": "0712345678",
        "connectionType": "STATIC", "packageId": place.isp.package, "expiresAt": until.to_string(),
    });
    let made = place.isp.owner.post("/customers", &customer).await?;
    let id = made["id"].as_str().context("an id")?.to_owned();
    let given = json!({"ipAddress": "10.20.0.9"});
    let path = format!("/customers/{id}/assign-ip");
    place.isp.owner.post(&path, &given).await?;
    let stands = async |place: &Place| {
        place
            .holds("school", "10.20.0.9", "10000000/10000000", OPEN)
            .await
    };
    stands(&place).await?;

    let owner = place.isp.owner.clone();
    let new = async |name: &str, source: &str| {
        owner
            .add_router(name, source, "a-secret-of-another", 3799)
            .await
    };
    new("Switch", "127.0.0.66").await?;
    let second = new("Roof", "127.0.0.67").await?;
    owner
        .set_router_api(&second, "agent", "a-password", 1)
        .await?;
    let known = async |place: &Place| {
        eventually("the agent knows all three", async || {
            let routers = place.site.agent().overview().site.routers();
            let with_api = routers.iter().filter(|router| router.api.is_some());
            Ok((routers.len() == 3 && with_api.count() == 2).then_some(()))
        })
        .await
    };
    known(&place).await?;
    // The second look begins when all of the first is done.
    place.look().await?;
    place.look().await?;
    stands(&place).await?;

    // Nor does a start of the box, which remembers nothing of what it wrote.
    place.site.stop_agent().await;
    place.site.start_agent().await?;
    known(&place).await?;
    place.look().await?;
    place.look().await?;
    stands(&place).await?;
    place.line_is(&id, "ENFORCED").await?;
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_is_away_or_says_no_is_said_and_tried_again() -> Result<()> {
    let place = Place::open("awayrouter").await?;
    let until = place.world.clock.now().plus(30 * DAY);
    let api = place.site.router.api().context("an API")?.port();
    api_is_at(&place, 1).await?;
    let id = place.line("school", "10.20.0.9", until).await?;
    // Until his site has tried he waits for no reason of the router's.
    place
        .isp
        .customer_becomes(&id, "waiting for the API", |customer| {
            let why = customer["line"]["reason"].as_str().unwrap_or_default();
            customer["line"]["state"] == "WAITING" && why.contains("API")
        })
        .await?;

    // It says no: the reason is the router's own, and he is tried again.
    place.site.router.api_manners(ApiManners::RefuseRemoval);
    api_is_at(&place, api).await?;
    place.world.clock.advance(Duration::from_secs(120));
    let line = place.line_is(&id, "REFUSED").await?;
    let why = line["reason"].as_str().unwrap_or_default();
    ensure!(why.contains("not enough permissions"), "{line}");
    place.site.router.api_manners(ApiManners::Obey);
    place.world.clock.advance(Duration::from_secs(315));
    place
        .holds("school", "10.20.0.9", "10000000/10000000", OPEN)
        .await?;
    place.line_is(&id, "ENFORCED").await?;
    place.close().await
}

/// The router gives a sign of life, and nobody waits for the pause after the last try to be over: everything is read
/// once, written over one connection without waiting for each answer, and read back once.
#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_changes_wait_for_a_router_and_are_written_in_seconds() -> Result<()> {
    const MANY: usize = 500;
    let place = Place::open("fivehundred").await?;
    let router = &place.site.router;
    let until = place.world.clock.now().plus(30 * DAY);
    place
        .isp
        .add_subscriber("joyce", "254712345650", until)
        .await?;
    place.site.knows("joyce", "at all", |_| true).await?;
    router.unplug(true);
    router.reboot();
    let mut file = "username,password,name,phone,type,package,expires,static ip\n".to_owned();
    for number in 0..MANY {
        let (high, low) = (number / 250, number % 250 + 2);
        file.push_str(&format!(
            "line{number:03},line{number:03},Line {number},0712345601,static,Home 10,2027-12-01,10.30.{high}.{low}\n"
        ));
    }
    let report = imports::report(&place.world, &place.isp.owner, "", file).await?;
    assert_eq!(imports::counts(&report), [MANY as i64, 0, 0, 0], "{report}");
    place.site.knows("line499", "at all", |_| true).await?;
    // It is tried again and again, after longer and longer pauses.
    eventually("they wait for it", async || {
        place.world.clock.advance(Duration::from_secs(1));
        let last = imports::find(&place.isp.owner, "line499").await?;
        Ok((last["line"]["state"] == "WAITING").then_some(()))
    })
    .await?;
    assert!(router.kept(QUEUES).is_empty());

    let before = router.counters();
    router.unplug(false);
    let began = Instant::now();
    // The clock stands still: no pause is over by itself.
    place.site.dial("joyce").await.online().started().await;
    let ours = |menu| router.kept(menu).len();
    eventually("all are written", async || {
        Ok((ours(QUEUES) == MANY && ours(LISTS) == MANY).then_some(()))
    })
    .await?;
    let took = began.elapsed();
    eventually("all are told", async || {
        let last = imports::find(&place.isp.owner, "line499").await?;
        Ok((last["line"]["state"] == "ENFORCED").then_some(()))
    })
    .await?;
    let after = router.counters();
    let commands = after.api_commands - before.api_commands;
    println!("{MANY} lines: {commands} commands in {took:?}");
    // A queue and an entry each; six questions before, and six after; some more where a look at who is online came between.
    ensure!(commands <= 2 * MANY as u64 + 40, "{commands} commands");
    assert_eq!(after.api_logins - before.api_logins, 1, "one connection");
    ensure!(took < Duration::from_secs(10), "{took:?}");
    place.close().await
}
