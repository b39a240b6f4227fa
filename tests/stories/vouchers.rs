//! A code on a slip of paper: it works the first time with the cloud gone, for one device, and never twice.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::id::TenantId;
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_tests::router::subscriber::{Dial, Method, Subscriber};
use easyisp_tests::world::{Provider, Site, World, eventually, soon};
use futures_util::future::join_all;
use reqwest::{Method as Http, StatusCode};
use serde_json::{Value, json};

use crate::boxes::start_box;
use crate::words::{DAY, HOUR, MINUTE};

/// Made in the cloud, used at the site with the cloud gone: one device gets the whole hour and no more,
/// through a restart of the box, and the cloud hears it as one period of one customer.
#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_works_for_the_first_time_without_the_cloud() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::sign_up(&world, "kiosk").await?;
    let mut site = Site::open(&world, &isp).await?;
    let batch = make(&isp, 2).await?;
    let code = batch.codes[0].clone();
    held(&site, 2).await?;
    world.stop_cloud().await?;
    site.cut_off().await?;

    let online = phone(&site, 1, &format!("V-{code}"), &code)
        .dial()
        .await
        .online();
    let given = online.session().context("online")?.grants.session_timeout;
    assert_eq!(given, Some(3600));
    online.started().await;
    let stranger = phone(&site, 2, &format!("V-{code}"), &code).dial().await;
    assert!(matches!(stranger, Dial::Rejected(_)), "{stranger:?}");
    assert!(online.hang_up().await);

    site.stop_agent().await;
    site.start_agent().await?;
    world.clock.advance(40 * MINUTE);
    let typed = format!("{}-{}", &code[..5], &code[5..]).to_lowercase();
    let again = phone(&site, 1, &typed, "").dial().await.online();
    let rest = again.session().context("online")?.grants.session_timeout;
    assert_eq!(rest, Some(20 * 60), "the hour began at the first login");
    again.started().await;
    let stranger = phone(&site, 2, &code, &code).dial().await;
    assert!(matches!(stranger, Dial::Rejected(_)), "{stranger:?}");

    world.start_cloud().await?;
    site.caught_up().await?;
    site.reported().await?;
    let voucher = listed(&isp, &batch.ids[0], "USED").await?;
    let used_by = voucher["usedBy"]["id"].as_str().context("its user")?;
    assert_eq!(
        used_by, batch.ids[0],
        "its user is the customer with its id"
    );
    let customer = isp.customer(used_by).await?;
    let end = again.session().context("online")?.started.plus(20 * MINUTE);
    assert_eq!(customer["expiresAt"], end.to_string());
    let sessions = isp.sessions_of("voucher.").await?;
    assert_eq!(sessions.len(), 2, "{sessions:?}");
    assert!(
        sessions
            .iter()
            .all(|session| session["customer"]["id"] == used_by),
        "{sessions:?}"
    );
    site.knows(&name_of(&batch.ids[0]), "from the cloud", |known| {
        known.password.is_some()
    })
    .await?;
    assert!(
        again.session().is_some(),
        "what the cloud says cuts nobody off"
    );
    assert!(again.hang_up().await);
    assert!(
        !in_files(&site.agent().overview().data_dir, &code)?,
        "the code lies in a file"
    );

    world.clock.advance(20 * MINUTE);
    let late = phone(&site, 1, &code, &code).dial().await;
    assert!(matches!(late, Dial::Rejected(_)), "{late:?}");
    assert_eq!(periods(&world, &isp).await?, 1);
    site.stop().await;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// A box without a clock of its own wakes with the time of when it went off, hours ago, and cut off. The hour that a
/// code buys there is an hour, whatever the box believed: when the cloud has told it the time, and after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_used_by_a_clock_that_is_behind_keeps_its_time() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::sign_up(&world, "behind").await?;
    let mut site = Site::open(&world, &isp).await?;
    let batch = make(&isp, 1).await?;
    let code = batch.codes[0].clone();
    held(&site, 1).await?;
    site.stop_agent().await;
    world.stop_cloud().await?;
    let behind = Clock::test(world.clock.now());
    world.clock.advance(180 * MINUTE);
    site.start_agent_on(behind.clone()).await?;
    let dial = async || {
        let phone = phone(&site, 1, &format!("V-{code}"), &code);
        phone.dial().await
    };
    let online = dial().await.online();
    online.started().await;
    let began = world.clock.now();
    assert!(online.hang_up().await);
    for clock in [&world.clock, &behind] {
        clock.advance(10 * MINUTE);
    }

    world.start_cloud().await?;
    site.caught_up().await?;
    site.reported().await?;
    let voucher = listed(&isp, &batch.ids[0], "USED").await?;
    let used_by = voucher["usedBy"]["id"].as_str().context("its user")?;
    let customer = isp.customer(used_by).await?;
    // The cloud's time is as old as half a round trip when it is heard.
    let soon_after = |told: Timestamp, at: Timestamp| {
        let late = told.since(at);
        ensure!(
            told >= at && late < Duration::from_secs(1),
            "{told} for {at}"
        );
        Ok(())
    };
    let until = customer["expiresAt"].as_str().and_then(Timestamp::parse);
    soon_after(until.context("an end")?, began.plus(60 * MINUTE))?;
    let again = dial().await.online();
    let rest = again.session().context("online")?.grants.session_timeout;
    let rest = rest.context("a rest")?;
    assert!((3_000..=3_001).contains(&rest), "{rest}");
    again.started().await;
    assert!(again.hang_up().await);
    let file = site.agent().overview().reader.redemptions()?;
    soon_after(file.first().context("a first use")?.from, began)?;
    site.stop().await;
    world.stop().await
}

/// Fifty devices show one code at once: one of them gets in.
#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_who_show_one_code_at_once_one_gets_in() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "market").await?;
    let site = Site::open(&world, &isp).await?;
    let batch = make(&isp, 1).await?;
    held(&site, 1).await?;
    let code = &batch.codes[0];
    let dials = (0..50).map(|number| {
        let phone = phone(&site, number, &format!("V-{code}"), code);
        async move { phone.dial().await }
    });
    let dials = join_all(dials).await;
    let online = dials
        .iter()
        .filter(|dial| matches!(dial, Dial::Online(_)))
        .count();
    assert_eq!(online, 1);
    listed(&isp, &batch.ids[0], "USED").await?;
    assert_eq!(periods(&world, &isp).await?, 1);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    site.stop().await;
    world.stop().await
}

/// Taken back, or out of date, a code lets nobody in; used, it cannot be taken back.
#[tokio::test(flavor = "multi_thread")]
async fn revoked_and_expired_codes_let_nobody_in() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "bazaar").await?;
    let site = Site::open(&world, &isp).await?;
    let batch = make(&isp, 2).await?;
    let package = batch.package.clone();
    let until = world.clock.now().plus(HOUR).to_string();
    let body = json!({"quantity": 1, "packageId": package, "expiresAt": until, "prefix": "wifi"});
    let short = isp.owner.post("/vouchers", &body).await?;
    let short = short["codes"][0].as_str().context("a code")?.to_owned();
    held(&site, 3).await?;

    let path = format!("/vouchers/{}", batch.ids[0]);
    let (status, _) = isp.owner.call(Http::DELETE, &path, None).await?;
    assert_eq!(status, StatusCode::OK);
    held(&site, 2).await?;
    let revoked = phone(&site, 1, &batch.codes[0], "").dial().await;
    assert!(matches!(revoked, Dial::Rejected(_)), "{revoked:?}");

    phone(&site, 2, &batch.codes[1], "").dial().await.online();
    listed(&isp, &batch.ids[1], "USED").await?;
    let path = format!("/vouchers/{}", batch.ids[1]);
    let (status, _) = isp.owner.call(Http::DELETE, &path, None).await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);

    world.clock.advance(HOUR);
    let expired = phone(&site, 3, &short, &short).dial().await;
    let Dial::Rejected(why) = expired else {
        panic!("{expired:?}");
    };
    assert_eq!(why, "The voucher was not used in time.");
    let stats = isp.owner.get("/vouchers").await?["stats"].clone();
    let wanted = json!({"total": 3, "available": 0, "used": 1, "expired": 1, "revoked": 1});
    assert_eq!(stats, wanted);
    let package = isp.owner.get(&format!("/packages/{package}")).await?;
    assert_eq!(package["voucherCount"], 2, "all but the one taken back");
    site.stop().await;
    world.stop().await
}

/// A9: five wrong codes a minute from one device, then even a right one waits; nobody else does.
#[tokio::test(flavor = "multi_thread")]
async fn guessing_is_slow_for_who_guesses() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "guess").await?;
    let site = Site::open(&world, &isp).await?;
    let batch = make(&isp, 2).await?;
    held(&site, 2).await?;
    for wrong in [
        "AAAAAAAAAA",
        "BBBBBBBBBB",
        "CCCCCCCCCC",
        "DDDDDDDDDD",
        "EEEEEEEEEE",
    ] {
        let dial = phone(&site, 1, wrong, wrong).dial().await;
        assert!(matches!(dial, Dial::Rejected(_)), "{wrong}: {dial:?}");
    }
    let right = phone(&site, 1, &batch.codes[0], "").dial().await;
    assert!(matches!(right, Dial::Rejected(_)), "{right:?}");
    phone(&site, 2, &batch.codes[1], "").dial().await.online();
    world.clock.advance(MINUTE);
    phone(&site, 1, &batch.codes[0], "").dial().await.online();
    site.stop().await;
    world.stop().await
}

/// A code held by the cloud moves to the site where it is shown; one that the counter used first is good
/// at the site too, and one that the box holds is asked back from it, or from nobody when it is off.
#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_moves_to_where_it_is_shown() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "roaming").await?;
    let mut site = Site::open(&world, &isp).await?;
    let here = make(&isp, 3).await?;
    held(&site, 3).await?;
    isp.owner.post("/sites", &json!({"name": "Second"})).await?;
    let cloud = make_of(&isp, &here.package, 1).await?;

    let shown = phone(&site, 1, &cloud.codes[0], &cloud.codes[0])
        .dial()
        .await;
    shown.online();
    listed(&isp, &cloud.ids[0], "USED").await?;
    let other = phone(&site, 2, &cloud.codes[0], "").dial().await;
    assert!(matches!(other, Dial::Rejected(_)), "{other:?}");

    let body = json!({"code": here.codes[0]});
    let redeemed = isp.owner.post("/vouchers/redeem", &body).await?;
    assert_eq!(redeemed["customerId"], here.ids[0].as_str());
    site.knows(&name_of(&here.ids[0]), "from the counter", |_| true)
        .await?;
    phone(&site, 3, &here.codes[0], "").dial().await.online();
    let (status, _) = isp
        .owner
        .call(Http::POST, "/vouchers/redeem", Some(&body))
        .await?;
    assert_eq!(status, StatusCode::CONFLICT);

    phone(&site, 4, &here.codes[1], "").dial().await.online();
    site.reported().await?;
    let body = json!({"code": here.codes[1]});
    let (status, _) = isp
        .owner
        .call(Http::POST, "/vouchers/redeem", Some(&body))
        .await?;
    assert_eq!(status, StatusCode::CONFLICT);

    site.stop_agent().await;
    let body = json!({"code": here.codes[2]});
    let off = eventually("the box is seen to be off", async || {
        let (status, _) = isp
            .owner
            .call(Http::POST, "/vouchers/redeem", Some(&body))
            .await?;
        Ok(Some(status).filter(|status| *status == StatusCode::SERVICE_UNAVAILABLE))
    });
    off.await?;
    assert_eq!(periods(&world, &isp).await?, 3);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    site.stop().await;
    world.stop().await
}

/// Killed at any instant around the first use: either nothing happened, or the hour is this device's.
#[tokio::test(flavor = "multi_thread")]
async fn a_box_killed_at_the_first_use_gives_no_second_hour() -> Result<()> {
    let world = World::start_on(Clock::system()).await?;
    let isp = Provider::sign_up(&world, "killed").await?;
    let mut site = Site::open(&world, &isp).await?;
    let batch = make(&isp, 4).await?;
    held(&site, 4).await?;
    site.stop_agent().await;
    for (round, code) in (0u64..).zip(&batch.codes) {
        let mut child = start_box(&site).await?;
        let asks = phone(&site, 1, &format!("V-{code}"), code);
        let dial = tokio::spawn(async move { asks.dial().await });
        for _ in 0..round * 40 {
            tokio::task::yield_now().await;
        }
        child.kill().await?; // SIGKILL
        soon("the phone gives up or is in", dial).await??;
        let mut child = start_box(&site).await?;
        phone(&site, 1, code, code).dial().await.online();
        let other = phone(&site, 2, code, code).dial().await;
        ensure!(matches!(other, Dial::Rejected(_)), "{round}: {other:?}");
        child.kill().await?;
    }
    site.start_agent().await?;
    site.caught_up().await?;
    site.reported().await?;
    for id in &batch.ids {
        listed(&isp, id, "USED").await?;
    }
    assert_eq!(periods(&world, &isp).await?, 4);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    site.stop().await;
    world.stop().await
}

/// A device that logged in once logs in by its address, where the provider wishes it, with the cloud
/// gone; an unknown one is refused without a line in the log.
#[tokio::test(flavor = "multi_thread")]
async fn a_known_device_logs_in_by_its_address() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::sign_up(&world, "devices").await?;
    let mut site = Site::open(&world, &isp).await?;
    let package = hotspot_package(&isp).await?;
    let until = world.clock.now().plus(DAY).to_string();
    let guest = json!({"username": "guest", "password": "guest", "name": "Guest",
        "connectionType": "HOTSPOT", "packageId": package, "expiresAt": until});
    let guest = isp.owner.post("/customers", &guest).await?;
    isp.owner
        .put(
            "/tenant/settings",
            &json!({"macLogin": true, "rememberedMacs": 1}),
        )
        .await?;
    site.knows("guest", "at all", |_| true).await?;
    eventually("the site may let devices in", async || {
        let policy = site.agent().overview().site.policy();
        Ok(policy.row.as_ref().filter(|row| row.mac_login).map(|_| ()))
    })
    .await?;
    world.stop_cloud().await?;
    site.cut_off().await?;

    let by_address = |site: &Site, number: u8| {
        let mac = mac(number);
        phone(site, number, &mac, "")
    };
    let unknown = by_address(&site, 1).dial().await;
    assert!(matches!(unknown, Dial::Rejected(_)), "{unknown:?}");
    let typed = phone(&site, 1, "guest", "guest").dial().await.online();
    assert!(typed.hang_up().await);
    by_address(&site, 1).dial().await.online().hang_up().await;
    site.stop_agent().await;
    site.start_agent().await?;
    let known = by_address(&site, 1).dial().await.online();
    known.started().await;
    assert!(known.hang_up().await);

    world.start_cloud().await?;
    site.caught_up().await?;
    site.reported().await?;
    let sessions = isp.sessions_of("guest").await?;
    assert_eq!(sessions.len(), 3, "sessions by address are the customer's");
    let id = guest["id"].as_str().context("an id")?;
    site.knows("guest", "with the device", |known| {
        known.remembered_macs.len() == 1
    })
    .await?;

    phone(&site, 2, "guest", "guest")
        .dial()
        .await
        .online()
        .hang_up()
        .await;
    site.reported().await?;
    site.knows("guest", "with the other device", |known| {
        known
            .remembered_macs
            .iter()
            .any(|held| held.to_string() == mac(2))
    })
    .await?;
    let forgotten = by_address(&site, 1).dial().await;
    assert!(
        matches!(forgotten, Dial::Rejected(_)),
        "the oldest made room"
    );
    isp.owner
        .post(&format!("/customers/{id}/mac-reset"), &json!({}))
        .await?;
    site.knows("guest", "without devices", |known| {
        known.remembered_macs.is_empty()
    })
    .await?;
    let reset = by_address(&site, 2).dial().await;
    assert!(matches!(reset, Dial::Rejected(_)), "{reset:?}");
    // The box met them before he was freed: its own files do not bring them back, a login does.
    site.stop_agent().await;
    site.start_agent().await?;
    let reset = by_address(&site, 2).dial().await;
    assert!(matches!(reset, Dial::Rejected(_)), "{reset:?}");
    world.clock.advance(Duration::from_secs(1));
    let typed = phone(&site, 2, "guest", "guest").dial().await.online();
    assert!(typed.hang_up().await);
    site.stop_agent().await;
    site.start_agent().await?;
    by_address(&site, 2).dial().await.online().hang_up().await;
    site.stop().await;
    world.stop().await
}

pub struct Batch {
    pub package: String,
    pub ids: Vec<String>,
    pub codes: Vec<String>,
}

async fn hotspot_package(isp: &Provider) -> Result<String> {
    let package = json!({"name": "Hour", "type": "HOTSPOT", "price": 20, "downloadSpeed": 4,
        "uploadSpeed": 2, "sessionTime": 60});
    let package = isp.owner.post("/packages", &package).await?;
    Ok(package["id"].as_str().context("an id")?.to_owned())
}

/// Vouchers for an hour at 20 KES.
pub async fn make(isp: &Provider, count: usize) -> Result<Batch> {
    let package = hotspot_package(isp).await?;
    make_of(isp, &package, count).await
}

pub async fn make_of(isp: &Provider, package: &str, count: usize) -> Result<Batch> {
    let body = json!({"count": count, "packageId": package, "type": "HOTSPOT"});
    let made = isp.owner.post("/vouchers", &body).await?;
    let vouchers = made["vouchers"].as_array().context("vouchers")?;
    let texts = |field: &str| -> Vec<String> {
        let texts = vouchers
            .iter()
            .filter_map(|voucher| voucher[field].as_str());
        texts.map(str::to_owned).collect()
    };
    let (ids, codes) = (texts("id"), texts("code"));
    ensure!(ids.len() == count && codes.len() == count, "{made}");
    Ok(Batch {
        package: package.to_owned(),
        ids,
        codes,
    })
}

/// Waits until the site holds so many unused vouchers.
pub async fn held(site: &Site, count: usize) -> Result<()> {
    let known = &site.agent().overview().site;
    eventually("the site holds its vouchers", async || {
        Ok((known.vouchers_held() == count).then_some(()))
    })
    .await
}

async fn listed(isp: &Provider, id: &str, status: &str) -> Result<Value> {
    eventually(&format!("the voucher is {status}"), async || {
        let list = isp.owner.get(&format!("/vouchers?status={status}")).await?;
        let rows = list["vouchers"].as_array().context("a list")?;
        Ok(rows.iter().find(|row| row["id"] == id).cloned())
    })
    .await
}

/// How many periods the provider ever sold.
async fn periods(world: &World, isp: &Provider) -> Result<i64> {
    let me = isp.owner.get("/tenant/me").await?;
    let tenant = me["id"].as_str().context("the tenant's id")?.parse()?;
    let mut tx = world.db().begin(TenantId(tenant)).await?;
    let count = sqlx::query_scalar("select count(*) from periods");
    Ok(count.fetch_one(&mut *tx).await?)
}

pub fn phone(site: &Site, number: u8, name: &str, password: &str) -> Subscriber {
    let method = match number % 2 {
        0 => Method::Pap,
        _ => Method::Chap,
    };
    site.router
        .subscriber(name, password, method)
        .hotspot(Ipv4Addr::new(10, 5, 50, number.max(1)))
        .mac(&mac(number))
}

fn mac(number: u8) -> String {
    format!("02:00:00:00:00:{number:02X}")
}

fn name_of(voucher: &str) -> String {
    let id = voucher.parse().map(easyisp_shared::id::VoucherId);
    easyisp_shared::voucher::username(id.expect("the API's ids are UUIDs"))
}

/// Whether any file of the box holds this text.
fn in_files(folder: &Path, text: &str) -> Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let found = match path.is_dir() {
            true => in_files(&path, text)?,
            false => {
                let bytes = std::fs::read(&path)?;
                let lower = text.to_lowercase();
                let holds = |text: &str| bytes.windows(text.len()).any(|at| at == text.as_bytes());
                holds(text) || holds(&lower)
            }
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}
