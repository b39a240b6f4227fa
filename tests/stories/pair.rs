//! Two agents at one site: a place taken at one is taken at the other, and a voucher is good once, whoever
//! dies, comes back, or cannot be reached.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_agent::Agent;
use easyisp_shared::id::TenantId;
use easyisp_shared::net::Mac;
use easyisp_shared::time::Clock;
use easyisp_tests::router::session::Usage;
use easyisp_tests::router::subscriber::{Dial, Method, Subscriber};
use easyisp_tests::world::{Pair, Provider, Site, World, eventually, soon};
use serde_json::json;

use crate::words::{DAY, HOUR, comes_to_agree};

mod orders;

const FIRST: usize = 0;
const SECOND: usize = 1;

/// Somebody who may have one device is online through one agent; his other device asks the other one.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_taken_at_one_agent_is_taken_at_the_other() -> Result<()> {
    let mut world = World::start().await?;
    let isp = one_device(&world, "oneplace").await?;
    let pair = Site::open_pair(&world, &isp).await?;
    pair.know("jane").await?;

    // Let in, not yet started; then online; then gone, by a Stop that the other agent heard.
    let home = device(&pair, FIRST, 1).dial().await.online();
    refused(&world, &pair, SECOND, 2).await?;
    soon("the Start is answered", home.started()).await?;
    refused(&world, &pair, SECOND, 2).await?;
    let again = device(&pair, SECOND, 1).dial().await.online();
    soon("the Start is answered", again.started()).await?;
    refused(&world, &pair, FIRST, 2).await?;
    pair.site.router.ask_only(Some(SECOND));
    assert!(home.hang_up().await && again.hang_up().await);
    let other = gets_in(&pair, FIRST, 2).await?;
    refused(&world, &pair, SECOND, 1).await?;

    // The cloud has nothing to do with it, and a box that restarts learns it anew.
    world.stop_cloud().await?;
    pair.cut_off().await?;
    let mut pair = pair;
    pair.stop_second().await;
    pair.start_second().await?;
    refused(&world, &pair, SECOND, 1).await?;
    assert!(other.hang_up().await);
    pair.stop().await;
    world.stop().await
}

/// While the agents do not hear each other, somebody's session ends by a Stop that the one heard which did not
/// let him in, and another's by one that the other could not be told of. Joined again, neither keeps a place.
#[tokio::test(flavor = "multi_thread")]
async fn what_ended_while_the_agents_were_cut_off_holds_no_place() -> Result<()> {
    let world = World::start().await?;
    let isp = one_device(&world, "apart").await?;
    let pair = Site::open_pair(&world, &isp).await?;
    pair.know("jane").await?;
    for (agent, number) in [(FIRST, 1), (SECOND, 2)] {
        let online = device(&pair, agent, number).dial().await.online();
        soon("the Start is answered", online.started()).await?;
        refused(&world, &pair, 1 - agent, 9).await?;
        pair.cut_between(true);
        out_of_touch(&pair).await?;
        pair.site.router.ask_only(Some(FIRST));
        assert!(online.hang_up().await);
        refused(&world, &pair, SECOND, 9).await?;
        pair.cut_between(false);
        pair.in_touch().await?;
        let other = gets_in(&pair, SECOND, 9).await?;
        soon("the Start is answered", other.started()).await?;
        pair.site.router.ask_only(None);
        assert!(other.hang_up().await);
        free(&world, &pair).await?;
    }
    pair.stop().await;
    world.stop().await
}

/// Two devices ask the two agents in the same moment: neither can know of the other's answer. One stays.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_race_through_two_agents_one_stays() -> Result<()> {
    let world = World::start_on(Clock::system()).await?;
    let isp = one_device(&world, "raced").await?;
    let pair = Site::open_pair(&world, &isp).await?;
    pair.know("jane").await?;
    let mut both_in = 0;
    for round in 0..20u8 {
        let (one, other) = (round * 2 + 1, round * 2 + 2);
        // Cut off, they decide alone as surely as in a race, and meet what they did when joined.
        let apart = round % 4 == 3;
        pair.cut_between(apart);
        let first = device(&pair, FIRST, one);
        let one = tokio::spawn(async move { first.dial().await });
        wait_for_request(&pair).await;
        let second = device(&pair, SECOND, other);
        let (one, other) = (one.await?, second.dial().await);
        pair.site.router.ask_only(None);
        let online: Vec<_> = [one, other]
            .into_iter()
            .filter_map(|dial| match dial {
                Dial::Online(online) => Some(online),
                Dial::Rejected(_) | Dial::NoAnswer | Dial::Unproven => None,
            })
            .collect();
        ensure!(!online.is_empty(), "nobody got in");
        both_in += u32::from(online.len() == 2);
        pair.cut_between(false);
        eventually("one is left", async || {
            let left = pair.site.router.sessions_of("jane").len();
            ensure!(left > 0, "both were ended");
            Ok((left == 1).then_some(()))
        })
        .await?;
        for session in online {
            if session.session().is_some() {
                session.hang_up().await;
            }
        }
        pair.in_touch().await?;
    }
    println!("both got in at first in {both_in} of 20 rounds");
    ensure!(both_in > 0, "the story never raced");
    comes_to_agree(&isp, &pair.site).await?;
    pair.stop().await;
    world.stop().await
}

/// A session whose reports go now to one agent and now to the other is one, to the byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_told_to_both_agents_is_counted_once() -> Result<()> {
    let world = World::start_on(Clock::system()).await?;
    let isp = one_device(&world, "toldtwice").await?;
    let pair = Site::open_pair(&world, &isp).await?;
    pair.know("jane").await?;
    let session = device(&pair, FIRST, 1).dial().await.online();
    soon("the Start is answered", session.started()).await?;
    for round in 0..6 {
        session.transfer(Usage {
            up: 1000,
            down: 3 << 30,
        });
        pair.site.router.ask_only(Some(round % 2));
        assert!(session.interim().await);
    }
    pair.site.router.ask_only(Some(SECOND));
    assert!(session.hang_up().await);
    pair.second_reported().await?;
    comes_to_agree(&isp, &pair.site).await?;
    assert_eq!(isp.sessions_of("jane").await?.len(), 1);
    pair.stop().await;
    world.stop().await
}

/// A hosted spare reaches nobody at the site: what two such agents let in is too much, and the cloud ends it
/// within the 90 s of a lease (V8).
#[tokio::test(flavor = "multi_thread")]
async fn the_cloud_ends_what_agents_without_touch_let_in() -> Result<()> {
    let world = World::start().await?;
    let isp = one_device(&world, "strangers").await?;
    let pair = Site::open_strangers(&world, &isp).await?;
    pair.know("jane").await?;
    let first = device(&pair, FIRST, 1).dial().await.online();
    soon("the Start is answered", first.started()).await?;
    world.clock.advance(Duration::from_secs(10));
    let second = device(&pair, SECOND, 2).dial().await.online();
    soon("the Start is answered", second.started()).await?;
    pair.site.reported().await?;
    pair.second_reported().await?;
    world.clock.advance(Duration::from_secs(60));
    eventually("the earlier one is ended", async || {
        let left = pair.site.router.sessions_of("jane");
        Ok((left.len() == 1 && second.session().is_some()).then_some(()))
    })
    .await?;
    pair.stop().await;
    world.stop().await
}

/// A code shown to the agent that does not hold it is redeemed by the one that does, with the cloud gone too,
/// and known to both.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_good_at_either_agent_with_the_cloud_gone() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::sign_up(&world, "either").await?;
    let mut pair = Site::open_pair(&world, &isp).await?;
    let codes = held(&pair, &isp, 4).await?;
    phone(&pair, SECOND, 1, &codes[0]).dial().await.online();
    world.stop_cloud().await?;
    pair.cut_off().await?;

    let shown = phone(&pair, SECOND, 2, &codes[1]).dial().await.online();
    assert!(shown.hang_up().await);
    for agent in [FIRST, SECOND] {
        lets_nobody_else_in(&pair, agent, 9, &codes[1]).await?;
        let again = phone(&pair, agent, 2, &codes[1]).dial().await.online();
        assert!(again.hang_up().await);
    }
    // What the holder let in the other one lets in too, once the holder is dead.
    phone(&pair, FIRST, 3, &codes[2]).dial().await.online();
    pair.site.stop_agent().await;
    let known = phone(&pair, SECOND, 3, &codes[2]).dial().await;
    known.online();
    lets_nobody_else_in(&pair, SECOND, 9, &codes[2]).await?;
    let first_use = phone(&pair, SECOND, 4, &codes[3]).dial().await;
    assert!(
        !matches!(first_use, Dial::Online(_)),
        "nobody says that the holder is dead"
    );

    world.start_cloud().await?;
    pair.site.start_agent().await?;
    pair.site.caught_up().await?;
    pair.site.reported().await?;
    used(&isp, 3).await?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    pair.stop().await;
    world.stop().await
}

/// The cloud is gone for three days, and so is the second box after a while: the holder goes on redeeming.
/// A box that was away meanwhile takes nothing that was promised.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_without_cloud_goes_on_alone_for_three_days() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::sign_up(&world, "threedays").await?;
    let mut pair = Site::open_pair(&world, &isp).await?;
    let codes = held(&pair, &isp, 4).await?;
    world.stop_cloud().await?;
    pair.cut_off().await?;
    eventually("the second has promised", async || {
        let reader = &pair.second().overview().reader;
        let promised = reader.marks("promise/")?;
        Ok((promised.len() == 1).then_some(()))
    })
    .await?;
    phone(&pair, FIRST, 1, &codes[0]).dial().await.online();
    pair.stop_second().await;
    world.clock.advance(HOUR);
    gets_voucher_in(&pair, FIRST, 2, &codes[1]).await?;
    world.clock.advance(71 * HOUR - Duration::from_secs(60));
    gets_voucher_in(&pair, FIRST, 3, &codes[2]).await?;

    // The second is back with a cloud, and cannot reach the holder, which has none: it waits.
    pair.cut_between(true);
    pair.cut_from_cloud(FIRST, true);
    world.start_cloud().await?;
    pair.start_second().await?;
    linked(pair.second()).await?;
    world.clock.advance(HOUR);
    let early = phone(&pair, SECOND, 4, &codes[3]).dial().await;
    assert!(!matches!(early, Dial::Online(_)), "{early:?}");

    pair.cut_from_cloud(FIRST, false);
    pair.cut_between(false);
    pair.site.caught_up().await?;
    pair.site.reported().await?;
    used(&isp, 3).await?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    pair.stop().await;
    world.stop().await
}

/// The holder dies: within 30 s the other one redeems, knows what was used, and reports what the dead one had
/// not. The old holder comes back and is none.
#[tokio::test(flavor = "multi_thread")]
async fn within_thirty_seconds_another_agent_redeems() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "holderdies").await?;
    let mut pair = Site::open_pair(&world, &isp).await?;
    let codes = held(&pair, &isp, 4).await?;
    // Let in by a holder that is cut off from the cloud, and never reported by it.
    pair.cut_from_cloud(FIRST, true);
    phone(&pair, FIRST, 1, &codes[0]).dial().await.online();
    pair.site.stop_agent().await;

    let early = phone(&pair, SECOND, 2, &codes[1]).dial().await;
    assert!(!matches!(early, Dial::Online(_)), "{early:?}");
    world.clock.advance(Duration::from_secs(29));
    gets_voucher_in(&pair, SECOND, 2, &codes[1]).await?;
    lets_nobody_else_in(&pair, SECOND, 9, &codes[0]).await?;
    pair.second_reported().await?;
    used(&isp, 2).await?;

    // It comes back with its files and no cloud, as if nothing had been.
    pair.cut_between(true);
    pair.site.start_agent().await?;
    let old = phone(&pair, FIRST, 3, &codes[2]).dial().await;
    assert!(!matches!(old, Dial::Online(_)), "{old:?}");
    lets_nobody_else_in(&pair, FIRST, 9, &codes[0]).await?;
    pair.cut_between(false);
    gets_voucher_in(&pair, FIRST, 3, &codes[2]).await?;

    pair.cut_from_cloud(FIRST, false);
    pair.site.caught_up().await?;
    pair.in_touch().await?;
    assert!(!redeems(pair.site.agent()) && redeems(pair.second()));
    gets_voucher_in(&pair, FIRST, 4, &codes[3]).await?;
    pair.site.reported().await?;
    pair.second_reported().await?;
    used(&isp, 4).await?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    assert_eq!(conflicts(&world, &isp).await?, 0);
    pair.stop().await;
    world.stop().await
}

/// The holder lives, and reaches neither the cloud nor the other agent; the same codes are shown to both.
/// No code gives its hour twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_cut_off_gives_no_hour_twice() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "splitbrain").await?;
    let pair = Site::open_pair(&world, &isp).await?;
    let codes = held(&pair, &isp, 4).await?;
    pair.cut_from_cloud(FIRST, true);
    pair.cut_between(true);

    let mut given = 0;
    for (step, code) in codes.iter().enumerate() {
        let number = u8::try_from(step * 2 + 1)?;
        let at_holder = phone(&pair, FIRST, number, code).dial().await;
        let at_second = phone(&pair, SECOND, number + 1, code).dial().await;
        let both = [at_holder, at_second];
        let online = both.iter().filter(|dial| matches!(dial, Dial::Online(_)));
        let online = online.count();
        ensure!(online <= 1, "{step}: {both:?}");
        given += online;
        world.clock.advance(Duration::from_secs(15));
        if step == 1 {
            eventually("the second has the post", async || {
                Ok(redeems(pair.second()).then_some(()))
            })
            .await?;
        }
    }
    ensure!(given >= 2, "the second redeems: {given}");

    pair.cut_from_cloud(FIRST, false);
    pair.cut_between(false);
    pair.in_touch().await?;
    for (step, code) in codes.iter().enumerate() {
        let number = u8::try_from(100 + step)?;
        lets_nobody_else_in_if_used(&pair, number, code).await?;
    }
    assert_eq!(conflicts(&world, &isp).await?, 0);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    pair.stop().await;
    world.stop().await
}

/// The second box is gone: the holder has it struck off and goes on at once; back again, it is a deputy.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_goes_on_when_its_deputy_dies() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::sign_up(&world, "deputydies").await?;
    let mut pair = Site::open_pair(&world, &isp).await?;
    let codes = held(&pair, &isp, 3).await?;
    pair.stop_second().await;
    gets_voucher_in(&pair, FIRST, 1, &codes[0]).await?;
    // Struck off while there was a cloud, it is nobody to wait for without one.
    world.stop_cloud().await?;
    pair.site.cut_off().await?;
    phone(&pair, FIRST, 2, &codes[1]).dial().await.online();
    world.start_cloud().await?;
    pair.site.caught_up().await?;
    pair.start_second().await?;
    pair.in_touch().await?;
    phone(&pair, FIRST, 3, &codes[2]).dial().await.online();
    eventually("the second knows of it", async || {
        let site = &pair.second().overview().site;
        Ok((site.vouchers_held() == 0).then_some(()))
    })
    .await?;
    pair.stop().await;
    world.stop().await
}

async fn one_device(world: &World, name: &str) -> Result<Provider> {
    let mut isp = Provider::sign_up(world, name).await?;
    isp.package = isp.owner.add_package("One", 10, 1000, 1).await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("jane", "254712345640", until).await?;
    Ok(isp)
}

/// One of jane's devices, asking one agent alone.
fn device(pair: &Pair, agent: usize, number: u8) -> Subscriber {
    pair.site.router.ask_only(Some(agent));
    let jane = pair
        .site
        .router
        .subscriber("jane", "jane", Method::MsChapV2);
    jane.mac(&mac(number))
}

/// An agent is told of a place within milliseconds, and a login waits for nobody: until then a device gets in,
/// which [`of_two_who_race_through_two_agents_one_stays`] tells of.
async fn refused(world: &World, pair: &Pair, agent: usize, number: u8) -> Result<()> {
    eventually("the agent knows of the place", async || {
        Ok((others(world, pair, agent, number) > 0).then_some(()))
    })
    .await?;
    let dial = device(pair, agent, number).dial().await;
    ensure!(
        matches!(dial, Dial::Rejected(_)),
        "device {number}: {dial:?}"
    );
    Ok(())
}

/// Waits until neither agent knows of a place under jane's name.
async fn free(world: &World, pair: &Pair) -> Result<()> {
    eventually("nobody has a place", async || {
        let held = [FIRST, SECOND].map(|agent| others(world, pair, agent, 0));
        Ok((held == [0, 0]).then_some(()))
    })
    .await
}

/// How many other devices of jane's hold a place, as one agent knows.
fn others(world: &World, pair: &Pair, agent: usize, number: u8) -> u16 {
    let agent = match agent {
        FIRST => pair.site.agent(),
        _ => pair.second(),
    };
    let (sessions, device) = (&agent.overview().sessions, Mac::parse(&mac(number)));
    let standing = sessions.at_the_door(b"jane", device, None, world.clock.now());
    standing.other_devices
}

async fn out_of_touch(pair: &Pair) -> Result<()> {
    eventually("the agents are out of touch", async || {
        let touch = [pair.site.agent(), pair.second()].map(|agent| {
            let peers = agent.overview().peers.as_ref();
            peers.map_or(0, |peers| peers.in_touch().len())
        });
        Ok((touch == [0, 0]).then_some(()))
    })
    .await
}

async fn gets_in(
    pair: &Pair,
    agent: usize,
    number: u8,
) -> Result<easyisp_tests::router::online::Online> {
    eventually("the other device gets in", async || {
        let dial = device(pair, agent, number).dial().await;
        Ok(match dial {
            Dial::Online(online) => Some(online),
            Dial::Rejected(_) | Dial::NoAnswer | Dial::Unproven => None,
        })
    })
    .await
}

/// Until the router has begun to ask.
async fn wait_for_request(pair: &Pair) {
    let before = pair.site.router.counters().requests;
    let asks = pair
        .site
        .router
        .until(|router| (router.counters().requests > before).then_some(()));
    let _asked_already = tokio::time::timeout(Duration::from_millis(5), asks).await;
}

/// Vouchers for an hour, held by both agents.
async fn held(pair: &Pair, isp: &Provider, count: usize) -> Result<Vec<String>> {
    let package = json!({"name": "Hour", "type": "HOTSPOT", "price": 20, "downloadSpeed": 4,
        "uploadSpeed": 2, "sessionTime": 6000});
    let package = isp.owner.post("/packages", &package).await?;
    let body = json!({"count": count, "packageId": package["id"], "type": "HOTSPOT"});
    let made = isp.owner.post("/vouchers", &body).await?;
    let made = made["vouchers"].as_array().context("vouchers")?;
    let codes = made.iter().filter_map(|made| made["code"].as_str());
    let codes: Vec<String> = codes.map(str::to_owned).collect();
    for agent in [pair.site.agent(), pair.second()] {
        let site = &agent.overview().site;
        eventually("an agent holds the vouchers", async || {
            Ok((site.vouchers_held() == count).then_some(()))
        })
        .await?;
    }
    Ok(codes)
}

fn phone(pair: &Pair, agent: usize, number: u8, code: &str) -> Subscriber {
    pair.site.router.ask_only(Some(agent));
    pair.site
        .router
        .subscriber(code, code, Method::Pap)
        .hotspot(Ipv4Addr::new(10, 5, 50, number))
        .mac(&mac(number))
}

async fn gets_voucher_in(pair: &Pair, agent: usize, number: u8, code: &str) -> Result<()> {
    eventually("the code lets its device in", async || {
        let dial = phone(pair, agent, number, code).dial().await;
        Ok(matches!(dial, Dial::Online(_)).then_some(()))
    })
    .await
}

async fn lets_nobody_else_in(pair: &Pair, agent: usize, number: u8, code: &str) -> Result<()> {
    let dial = phone(pair, agent, number, code).dial().await;
    ensure!(!matches!(dial, Dial::Online(_)), "{code} let in another");
    Ok(())
}

/// A code that was used lets in nobody else at either agent; one that was not is good still, once.
async fn lets_nobody_else_in_if_used(pair: &Pair, number: u8, code: &str) -> Result<()> {
    let mut online = 0;
    for agent in [FIRST, SECOND] {
        let dial = phone(pair, agent, number + 10 * u8::from(agent == SECOND), code);
        online += u32::from(matches!(dial.dial().await, Dial::Online(_)));
    }
    ensure!(online <= 1, "{code} let in two");
    Ok(())
}

fn redeems(agent: &Agent) -> bool {
    let peers = agent.overview().peers.as_ref();
    peers.is_some_and(|peers| peers.may_redeem())
}

async fn linked(agent: &Agent) -> Result<()> {
    eventually("the link is up", async || {
        let overview = agent.overview().clone();
        let report = tokio::task::spawn_blocking(move || overview.report()).await?;
        Ok(report.link_up.then_some(()))
    })
    .await
}

/// Waits until the cloud has so many vouchers as used.
async fn used(isp: &Provider, count: usize) -> Result<()> {
    eventually(&format!("{count} vouchers are used"), async || {
        let list = isp.owner.get("/vouchers?status=USED").await?;
        let rows = list["vouchers"].as_array().map(Vec::len);
        Ok((rows == Some(count)).then_some(()))
    })
    .await
}

/// How often the cloud heard of a second first use of a voucher.
async fn conflicts(world: &World, isp: &Provider) -> Result<i64> {
    let me = isp.owner.get("/tenant/me").await?;
    let tenant = me["id"].as_str().context("the tenant's id")?.parse()?;
    let mut tx = world.db().begin(TenantId(tenant)).await?;
    let count = sqlx::query_scalar("select count(*) from audit where action = 'VOUCHER_CONFLICT'");
    Ok(count.fetch_one(&mut *tx).await?)
}

fn mac(number: u8) -> String {
    format!("02:00:00:00:01:{number:02X}")
}
