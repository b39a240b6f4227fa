//! Lists of who is online that are cut short, told twice or told too slowly.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use easyisp_tests::router::{Mishap, Telling};
use easyisp_tests::world::{Provider, Site, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::words::{DAY, MINUTE};

const LIST: &str = "/ppp/active/print";
const MANY: usize = 6;

/// J5: who is missing from a list is not offline for it. Looking ends nobody, however often and whatever the router
/// leaves out; a comparison believes only two whole lists in a row.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_cut_short_ends_no_session() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "cutlists").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    let names: Vec<String> = (0..MANY).map(|number| format!("home{number}")).collect();
    let mut customers = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let phone = format!("25471234567{number}");
        customers.push(isp.add_subscriber(name, &phone, until).await?);
    }
    for name in &names {
        site.knows(name, "at all", |_| true).await?;
        site.dial(name).await.online().started().await;
    }
    site.reported().await?;
    world.clock.advance(MINUTE);
    let online = || site.agent().overview().sessions.count();
    let sessions = format!("/mikrotik/{}/sessions", site.router_id);
    let look = async || isp.owner.call(Method::GET, &sessions, None).await;
    let tell = |how| site.router.mishap(LIST, Mishap::Tell(how));
    let sync = async || isp.owner.post("/sessions/sync", &json!({})).await;

    for how in [Telling::Half, Telling::Half, Telling::Twice] {
        tell(how);
        let (status, listed) = look().await?;
        assert_eq!(status, StatusCode::OK, "{listed}");
        let count = listed.as_array().map(Vec::len);
        assert_eq!((count, online()), (Some(MANY), MANY), "{how:?}: {listed}");
    }
    // One that breaks off is asked for anew; twice, and it is no list.
    tell(Telling::HalfAndLeave);
    assert_eq!(look().await?.0, StatusCode::OK);
    tell(Telling::HalfAndLeave);
    tell(Telling::HalfAndLeave);
    let (status, said) = look().await?;
    assert_eq!(status, StatusCode::BAD_GATEWAY, "{said}");
    assert_eq!(online(), MANY);
    site.router.mend();

    // Nor does a look at one customer.
    tell(Telling::Half);
    let status = format!("/customers/{}/live-status", customers[0]);
    let shown = isp.owner.get(&status).await?;
    assert_eq!(shown["isOnline"], true, "{shown}");
    let doubt = shown["error"].as_str().unwrap_or_default();
    ensure!(doubt.contains("does not list his session"), "{shown}");
    assert_eq!(online(), MANY);

    // A comparison asks again at once; what came between two lists that miss somebody parts them.
    tell(Telling::Half);
    let synced = sync().await?;
    assert_eq!((&synced["closed"], online()), (&json!(0), MANY), "{synced}");
    tell(Telling::Half);
    tell(Telling::HalfAndLeave);
    tell(Telling::HalfAndLeave);
    let synced = sync().await?;
    assert_eq!((&synced["closed"], online()), (&json!(0), MANY), "{synced}");
    tell(Telling::Half);
    let synced = sync().await?;
    assert_eq!((&synced["closed"], online()), (&json!(0), MANY), "{synced}");

    // Two whole ones that agree are believed: the router lost power, and told nobody.
    site.router.reboot();
    let synced = sync().await?;
    assert_eq!(synced["closed"], MANY, "{synced}");
    eventually("they are over", async || Ok((online() == 0).then_some(()))).await?;

    // One that takes longer than anybody waits is no list either.
    for number in 0..200 {
        let mac = format!("02:00:00:00:00:{number:02X}");
        site.router.dial_locally(&format!("local{number}"), &mac);
    }
    tell(Telling::Slowly);
    let (status, said) = look().await?;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{said}");
    site.stop().await;
    world.stop().await
}

/// Two thousand are online, more than one answer of an agent holds: the page shows every one of them, and the hotspot's
/// alone where only those are asked for. Lists that are longer than a page say so, and are read on from there.
#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_online_are_all_shown() -> Result<()> {
    const ONLINE: usize = 2_000;
    const GUESTS: usize = 30;
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "thousands").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("joyce", "254712345650", until).await?;
    site.knows("joyce", "at all", |_| true).await?;
    // The oldest: where a list is cut, the oldest go first.
    site.dial("joyce").await.online().started().await;
    world.clock.advance(MINUTE);
    for number in 1..ONLINE {
        let mac = format!("02:00:00:00:{:02X}:{:02X}", number / 256, number % 256);
        let name = format!("home{number:05}.{}", "x".repeat(90));
        match number < GUESTS {
            true => site.router.log_in_locally(&name, &mac),
            false => site.router.dial_locally(&name, &mac),
        };
    }
    world.clock.advance(MINUTE);
    let router = format!("/mikrotik/{}", site.router_id);
    let list = async |path: &str| -> Result<Vec<Value>> {
        let told = isp.owner.get(&format!("{router}/{path}")).await?;
        Ok(told.as_array().context("a bare list")?.clone())
    };
    let names = |rows: &[Value], field: &str| -> BTreeSet<String> {
        let name = |row: &Value| row[field].as_str().unwrap_or_default().to_owned();
        rows.iter().map(name).collect()
    };
    let all = list("sessions").await?;
    let unlike = names(&all, "username");
    assert_eq!((all.len(), unlike.len()), (ONLINE, ONLINE));
    assert_eq!(
        all[ONLINE - 1]["username"],
        "joyce",
        "the latest come first"
    );
    let guests = list("sessions?type=hotspot").await?;
    assert_eq!(guests.len(), GUESTS - 1);
    ensure!(guests.iter().all(|row| row["type"] == "hotspot"));
    assert_eq!(
        list("sessions?type=pppoe").await?.len(),
        ONLINE - GUESTS + 1
    );
    let users = list("hotspot-users").await?;
    assert_eq!(names(&users, "name"), names(&guests, "username"));

    let queues = async |path: &str| isp.owner.get(&format!("{router}/{path}")).await;
    let first = queues("queues").await?;
    let rows = first["queues"].as_array().context("a list")?;
    ensure!(rows.len() <= 1000, "{}", rows.len());
    assert_eq!(
        (&first["total"], &first["truncated"]),
        (&json!(ONLINE), &json!(true))
    );
    let mut seen: BTreeSet<String> = names(rows, "name");
    let mut read = rows.len();
    loop {
        let next = queues(&format!("queues?offset={read}")).await?;
        let rows = next["queues"].as_array().context("a list")?;
        seen.extend(names(rows, "name"));
        read += rows.len();
        if next["truncated"] == false {
            break;
        }
    }
    assert_eq!((read, seen.len()), (ONLINE, ONLINE));
    for (path, few) in [("dhcp-leases", "leases"), ("neighbours", "neighbours")] {
        let told = queues(path).await?;
        let rows = told[few].as_array().map(Vec::len);
        assert_eq!(told["truncated"], false, "{told}");
        assert_eq!(told["total"].as_u64().map(|total| total as usize), rows);
    }
    let told = queues("interfaces").await?;
    assert_eq!(told["truncated"], true);
    site.stop().await;
    world.stop().await
}
