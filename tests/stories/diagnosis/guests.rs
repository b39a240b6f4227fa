//! Vouchers, hotspot users, and a box whose disk is full.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_agent::site::Keeping;
use easyisp_tests::router::session::Service;
use easyisp_tests::router::subscriber::Dial;
use easyisp_tests::world::{Provider, Site, World, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Place, is_refused, later, phone, says, shows};
use crate::words::{DAY, HOUR};

async fn hotspot_package(isp: &Provider) -> Result<Value> {
    let hour = json!({"name": "Hour", "type": "HOTSPOT", "price": 20, "downloadSpeed": 4,
        "uploadSpeed": 2, "sessionTime": 60});
    Ok(isp.owner.post("/packages", &hour).await?["id"].clone())
}

/// Ids and codes of new vouchers.
async fn vouchers(isp: &Provider, body: Value) -> Result<Vec<(String, String)>> {
    let made = isp.owner.post("/vouchers", &body).await?;
    let made = made["vouchers"].as_array().context("vouchers")?;
    let text = |voucher: &Value, field: &str| voucher[field].as_str().map(str::to_owned);
    let pairs = made
        .iter()
        .map(|voucher| text(voucher, "id").zip(text(voucher, "code")));
    pairs.collect::<Option<_>>().context("ids and codes")
}

async fn held(site: &Site, count: usize) -> Result<()> {
    let known = &site.agent().overview().site;
    eventually("the site holds its vouchers", async || {
        Ok((known.vouchers_held() == count).then_some(()))
    })
    .await
}

/// The id of a voucher that nobody used is taken in place of a customer's: its user becomes that customer.
#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_says_why_it_lets_nobody_in() -> Result<()> {
    let place = Place::open("kiosk").await?;
    let package = hotspot_package(&place.isp).await?;
    let good = vouchers(&place.isp, json!({"count": 3, "packageId": package})).await?;
    let until = place.world.clock.now().plus(HOUR).to_string();
    let short = json!({"count": 1, "packageId": package, "expiresAt": until});
    let short = vouchers(&place.isp, short).await?;
    held(&place.site, 4).await?;
    let [unused, revoked, used] = good.as_slice() else {
        anyhow::bail!("three vouchers, not {good:?}");
    };
    let found = place
        .finds(&unused.0, "VOUCHER_UNUSED", "type the code")
        .await?;
    ensure!(says(&found["sentence"], "Main site"), "{found}");
    ensure!(!found.to_string().contains(&unused.1), "the code is shown");

    // Five wrong codes, then even the right one waits.
    for wrong in [
        "AAAAAAAAAA",
        "BBBBBBBBBB",
        "CCCCCCCCCC",
        "DDDDDDDDDD",
        "EEEEEEEEEE",
    ] {
        is_refused(phone(&place.site, 1, wrong, wrong)).await?;
    }
    is_refused(phone(&place.site, 1, &unused.1, &unused.1)).await?;
    place
        .finds(&unused.0, "TOO_MANY_TRIES", "wait a minute")
        .await?;

    let path = format!("/vouchers/{}", revoked.0);
    let (status, _) = place.isp.owner.call(Method::DELETE, &path, None).await?;
    ensure!(status.is_success(), "{status}");
    place
        .finds(&revoked.0, "VOUCHER_REVOKED", "Give him another voucher")
        .await?;

    // Used, he is a customer, and then his hour is over.
    later(&place.world);
    let online = phone(&place.site, 2, &used.1, &used.1)
        .dial()
        .await
        .online();
    online.started().await;
    place.site.reported().await?;
    place.comes_to_find(&used.0, "ONLINE", "").await?;
    assert!(online.hang_up().await);
    place.world.clock.advance(HOUR);
    is_refused(phone(&place.site, 2, &used.1, &used.1)).await?;
    place.finds(&used.0, "EXPIRED", "").await?;
    is_refused(phone(&place.site, 3, &short[0].1, &short[0].1)).await?;
    let found = place
        .finds(&short[0].0, "VOUCHER_EXPIRED", "Give him another voucher")
        .await?;
    ensure!(
        shows(&found, "The voucher was not used in time."),
        "{found}"
    );

    let stranger = Provider::sign_up(&place.world, "elsewhere").await?;
    let path = format!("/customers/{}/diagnosis", unused.0);
    let (status, _) = stranger.owner.call(Method::GET, &path, None).await?;
    assert_eq!(status.as_u16(), 404);
    place.close().await
}

/// Of a site's two boxes only one lets vouchers in for the first time without asking; the other was asked
/// while the cloud was gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_voucher_that_could_not_be_asked_for_is_named() -> Result<()> {
    let mut world = World::start().await?;
    let isp = Provider::sign_up(&world, "twoboxes").await?;
    let mut pair = Site::open_pair(&world, &isp).await?;
    let package = hotspot_package(&isp).await?;
    let made = vouchers(&isp, json!({"count": 1, "packageId": package})).await?;
    let (id, code) = made.first().context("a voucher")?;
    held(&pair.site, 1).await?;
    let (first, other) = (
        pair.site.agent().overview().site.clone(),
        pair.second().overview().site.clone(),
    );
    eventually("both keep vouchers", async || {
        let known = other.vouchers_held() == 1
            && first.keeping() != Keeping::Not
            && other.keeping() != Keeping::Not;
        Ok(known.then_some(()))
    })
    .await?;
    pair.site.stop_agent().await;
    world.stop_cloud().await?;
    let shown = phone(&pair.site, 1, code, code).dial().await;
    ensure!(matches!(shown, Dial::Rejected(_)), "{shown:?}");
    world.start_cloud().await?;
    let path = format!("/customers/{id}/diagnosis");
    let found = eventually("the other box is back", async || {
        let found = isp.owner.get(&path).await?;
        Ok((found["source"] == "SITE").then_some(found))
    })
    .await?;
    assert_eq!(found["cause"], "VOUCHER_ELSEWHERE", "{found}");
    ensure!(
        says(&found["action"], "try again while his site is connected"),
        "{found}"
    );
    pair.stop().await;
    world.stop().await
}

/// A hotspot has users of its own too.
#[tokio::test(flavor = "multi_thread")]
async fn a_hotspot_user_of_the_routers_own_hides_a_guest() -> Result<()> {
    let place = Place::open("lobby").await?;
    let guest = guest(&place).await?;
    place.site.router.add_user(Service::Pppoe, "guest", "word");
    place.finds(&guest, "NEVER_ASKED", "").await?;
    place
        .site
        .router
        .add_user(Service::Hotspot, "guest", "word");
    place
        .finds(&guest, "LOCAL_SECRET", "/ip hotspot user")
        .await?;
    place.close().await
}

/// A first login from a device is written down before the answer; where that cannot be, it is refused.
/// Needs a small file system of its own, which only root can mount.
#[tokio::test(flavor = "multi_thread")]
async fn a_box_whose_disk_is_full_is_named() -> Result<()> {
    let world = World::start().await?;
    let folder = world.folder().join("box0");
    let Some(_disk) = SmallDisk::mount(&folder) else {
        eprintln!("not root: a full disk is not tried");
        return world.stop().await;
    };
    let isp = Provider::sign_up(&world, "fulldisk").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let place = Place { world, isp, site };
    let id = guest(&place).await?;
    let remembered = json!({"macLogin": true, "rememberedMacs": 5});
    place.isp.owner.put("/tenant/settings", &remembered).await?;
    let known = &place.site.agent().overview().site;
    eventually("the site remembers devices", async || {
        let policy = known.policy();
        Ok(policy.row.as_ref().filter(|row| row.mac_login).map(|_| ()))
    })
    .await?;
    let ballast = folder.join("ballast");
    let mut refused = None;
    for number in 1..200 {
        fill(&ballast)?;
        let dial = phone(&place.site, number, "guest", "guest").dial().await;
        if let Dial::Rejected(why) = dial {
            refused = Some(why);
            break;
        }
    }
    let refused = refused.context("the disk never fills")?;
    ensure!(refused.contains("cannot store"), "{refused}");
    // A box whose disk is full may lose its link as well: somebody makes room, and it dials again by the clock.
    std::fs::remove_file(&ballast)?;
    let action = "Make room on the disk of the box at Main site";
    eventually("the box is back", async || {
        place.world.clock.advance(Duration::from_secs(2));
        let found = place.ask(&id).await?;
        Ok((found["cause"] == "CANNOT_STORE" && found["source"] == "SITE").then_some(()))
    })
    .await?;
    let found = place.comes_to_find(&id, "CANNOT_STORE", action).await?;
    ensure!(
        shows(&found, "could not be written to the agent's disk"),
        "{found}"
    );
    let online = phone(&place.site, 201, "guest", "guest")
        .dial()
        .await
        .online();
    online.started().await;
    place.comes_to_find(&id, "ONLINE", "").await?;
    place.close().await
}

async fn guest(place: &Place) -> Result<String> {
    let package = hotspot_package(&place.isp).await?;
    let until = place.world.clock.now().plus(DAY).to_string();
    let guest = json!({"username": "guest", "password": "guest", "name": "Guest",
        "connectionType": "HOTSPOT", "packageId": package, "expiresAt": until, "devices": 1000});
    let guest = place.isp.owner.post("/customers", &guest).await?;
    place.site.knows("guest", "at all", |_| true).await?;
    Ok(guest["id"].as_str().context("an id")?.to_owned())
}

/// Fills what is left of the file system; what was a reserve a moment ago as well.
fn fill(ballast: &Path) -> Result<()> {
    let mut ballast = File::options().append(true).create(true).open(ballast)?;
    for size in [64 << 10, 4 << 10] {
        while ballast.write_all(&vec![1; size]).is_ok() {}
    }
    Ok(())
}

/// A file system of 12 MiB in memory.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<SmallDisk> {
        std::fs::create_dir_all(at).ok()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"])
            .arg(at)
            .stderr(std::process::Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| SmallDisk(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}
