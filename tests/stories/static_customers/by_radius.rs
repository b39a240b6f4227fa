//! Routers whose DHCP servers ask for the leases of DHCP customers.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::time::Timestamp;
use easyisp_tests::router::dhcp::{Lease, Report};
use easyisp_tests::world::eventually;
use reqwest::Method;
use serde_json::{Value, json};

use super::{LEASES, LISTS, OPEN, Place};
use crate::words::{DAY, HOUR, MINUTE};

const MAC: &str = "02:00:00:00:09:09";
const MEGABYTE: u32 = 1_000_000;

/// Whether the router's DHCP servers ask; waits until its agent knows.
async fn asks(place: &Place, wanted: bool) -> Result<()> {
    let path = format!("/nas/{}", place.site.router_id);
    let router = place
        .isp
        .owner
        .put(&path, &json!({"dhcpRadius": wanted}))
        .await?;
    assert_eq!(router["dhcpRadius"], wanted, "{router}");
    eventually("the agent knows who lends", async || {
        let routers = place.site.agent().overview().site.routers();
        Ok(routers
            .iter()
            .any(|router| router.leases == wanted)
            .then_some(()))
    })
    .await
}

/// Somebody with this device, who is known to the agent.
async fn with_device(place: &Place, name: &str, how: &str, until: Timestamp) -> Result<String> {
    let id = place.connect(name, how, until).await?;
    let device = json!({"macAddress": MAC});
    let path = format!("/customers/{id}/assign-ip");
    place.isp.owner.post(&path, &device).await?;
    let has = |known: &easyisp_agent::site::Subscriber| !known.entitlement.macs.is_empty();
    place.site.knows(name, "with his device", has).await?;
    Ok(id)
}

/// Whether anything of ours stands at the router.
fn is_written(place: &Place) -> bool {
    let router = &place.site.router;
    [super::QUEUES, LISTS, LEASES].into_iter().any(|menu| {
        router.kept(menu).iter().any(|row| {
            row.value("comment")
                .is_some_and(|text| text.starts_with("easyisp:line:"))
        })
    })
}

/// Waits until a customer's line waits, for this reason.
async fn waits(place: &Place, id: &str, why: &str) -> Result<()> {
    let like = |customer: &Value| {
        let line = &customer["line"];
        let said = line["reason"]
            .as_str()
            .is_some_and(|said| said.contains(why));
        line["state"] == "WAITING" && said
    };
    place.isp.customer_becomes(id, why, like).await.map(|_| ())
}

async fn is_online(place: &Place, id: &str, wanted: bool) -> Result<Value> {
    let what = if wanted { "online" } else { "offline" };
    let like = move |customer: &Value| customer["isOnline"] == wanted;
    place.isp.customer_becomes(id, what, like).await
}

/// A device that pays has a lease with its speed and its list, short, and nothing of ours beside it; when the paid time
/// ends with the cloud away, it loses the lease and gets no other. Paid again, its next request is granted.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_granted_by_radius_and_taken_at_the_paid_end() -> Result<()> {
    let mut place = Place::open("lent").await?;
    asks(&place, true).await?;
    let soon = place.world.clock.now().plus(HOUR);
    let id = with_device(&place, "clinic", "DHCP", soon).await?;
    waits(&place, &id, "has not asked the router").await?;

    let device = place.site.router.device(MAC);
    let granted = device.ask().await.lent();
    assert_eq!(granted.rate_limit.as_deref(), Some("10M/10M"));
    assert_eq!(granted.address_list.as_deref(), Some("easyisp-allowed"));
    assert_eq!(granted.session_timeout, Some(600));
    // A second agent that does not know him yet sees by it that he was let in.
    let class = granted.class.first().context("a cookie")?;
    ensure!(easyisp_agent::sessions::is_cookie(class), "{class:?}");
    let address = device.lease().context("a lease")?;
    let address = address.value("address").context("an address")?.to_owned();
    place.look().await?;
    let line = place.line_is(&id, "ENFORCED").await?;
    assert_eq!(
        (&line["ipAddress"], &line["reach"], &line["downloadKbps"]),
        (&json!(address), &json!("OPEN"), &json!(10_000)),
        "{line}"
    );
    ensure!(!is_written(&place), "a queue beside the lease's own");
    // His router reports nothing: who has a lease is online.
    is_online(&place, &id, true).await?;

    // The last lease ends with what is paid, and the router hears of the end without the cloud.
    place.world.clock.advance(HOUR - 11 * MINUTE);
    let last = device.ask().await.lent();
    let left = last.session_timeout.context("an end")?;
    ensure!((1..=600).contains(&left), "{left} s");
    place.world.stop_cloud().await?;
    place.site.cut_off().await?;
    place.world.clock.advance(12 * MINUTE);
    eventually("the lease is taken", async || {
        Ok(device.lease().is_none().then_some(()))
    })
    .await?;
    assert_eq!(device.ask().await, Lease::Refused);

    place.world.start_cloud().await?;
    place.site.caught_up().await?;
    place.site.reported().await?;
    is_online(&place, &id, false).await?;
    let paid = json!({"amount": 1000, "description": "Cash"});
    place
        .isp
        .owner
        .post(&format!("/customers/{id}/recharge"), &paid)
        .await?;
    eventually("paid, he gets a lease", async || {
        Ok(matches!(device.ask().await, Lease::Lent(..)).then_some(()))
    })
    .await?;
    place.close().await
}

/// What a router reports of leases is his usage, and one session; his quota takes the lease.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_router_reports_of_a_lease_counts_and_ends_it() -> Result<()> {
    let mut place = Place::open("lentcounted").await?;
    asks(&place, true).await?;
    let limited = json!({"name": "Limited", "type": "PPPOE", "price": 1000, "downloadSpeed": 10,
        "uploadSpeed": 10, "dataLimit": 1_000_000_000});
    let limited = place.isp.owner.post("/packages", &limited).await?;
    place.isp.package = limited["id"].as_str().context("an id")?.to_owned();
    let until = place.world.clock.now().plus(30 * DAY);
    let id = with_device(&place, "clinic", "DHCP", until).await?;
    let device = place.site.router.device(MAC);
    device.ask().await.lent();
    let session = "86100001";
    ensure!(device.report(session, Report::Start).await);
    is_online(&place, &id, true).await?;
    place.world.clock.advance(Duration::from_secs(60));
    let used = Report::Interim(60, 100 * MEGABYTE, 200 * MEGABYTE);
    ensure!(device.report(session, used).await);
    let kilobytes = json!(300 * 1000 * 1000 / 1024);
    let like = |customer: &Value| customer["dataUsed"] == kilobytes;
    place
        .isp
        .customer_becomes(&id, "what he used", like)
        .await?;
    place.look().await?;
    let sessions = place.isp.sessions_of("clinic").await?;
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    ensure!(device.lease().is_some());

    let used = Report::Interim(400, 400 * MEGABYTE, 700 * MEGABYTE);
    ensure!(device.report(session, used).await);
    place.look().await?;
    eventually("the lease is taken", async || {
        Ok(device.lease().is_none().then_some(()))
    })
    .await?;
    assert_eq!(device.ask().await, Lease::Refused);
    is_online(&place, &id, false).await?;
    let access = place
        .isp
        .owner
        .get(&format!("/customers/{id}/access"))
        .await?;
    assert_eq!(access["reason"], "QUOTA", "{access}");
    place.close().await
}

/// A hardware address proves nothing: it opens the lease of a DHCP customer with that device, where the switch is on, and
/// never what somebody else has.
#[tokio::test(flavor = "multi_thread")]
async fn a_hardware_address_opens_nothing_but_its_own_lease() -> Result<()> {
    let mut place = Place::open("lentonly").await?;
    let until = place.world.clock.now().plus(30 * DAY);
    place
        .isp
        .owner
        .put("/tenant/settings", &json!({"macLogin": true}))
        .await?;
    let device = place.site.router.device(MAC);
    let hour = json!({"name": "Hour", "type": "HOTSPOT", "price": 20, "downloadSpeed": 4,
        "uploadSpeed": 2, "sessionTime": 60});
    let hour = place.isp.owner.post("/packages", &hour).await?;
    let hour = hour["id"].as_str().context("an id")?.to_owned();
    let homes = place.isp.package.clone();
    for (name, how) in [("guest", "HOTSPOT"), ("dialler", "PPPOE")] {
        place.isp.package = match how {
            "HOTSPOT" => hour.clone(),
            _ => homes.clone(),
        };
        let id = with_device(&place, name, how, until).await?;
        for on in [true, false] {
            asks(&place, on).await?;
            assert_eq!(device.ask().await, Lease::Refused, "{how} {on}");
        }
        let path = format!("/customers/{id}");
        place.isp.owner.call(Method::DELETE, &path, None).await?;
    }
    // His own, but the router may not ask.
    with_device(&place, "clinic", "DHCP", until).await?;
    assert_eq!(device.ask().await, Lease::Refused);
    asks(&place, true).await?;
    device.ask().await.lent();
    let stranger = place.site.router.device("02:00:00:00:09:0A");
    assert_eq!(stranger.ask().await, Lease::Refused);
    // Nor does it open another login than a DHCP server's.
    let dialled =
        place
            .site
            .router
            .subscriber(MAC, "", easyisp_tests::router::subscriber::Method::Pap);
    let told = dialled.dial().await;
    ensure!(
        matches!(told, easyisp_tests::router::subscriber::Dial::Rejected(_)),
        "{told:?}"
    );
    place.close().await
}

/// The switch moves a customer from what the API keeps to what RADIUS gives and back, never with two queues; another
/// speed waits for his device's next request.
#[tokio::test(flavor = "multi_thread")]
async fn the_switch_takes_along_what_the_other_way_wrote() -> Result<()> {
    let place = Place::open("lentmoved").await?;
    let until = place.world.clock.now().plus(30 * DAY);
    let id = with_device(&place, "clinic", "DHCP", until).await?;
    let given = [
        ("address", "10.20.0.120"),
        ("mac-address", MAC),
        ("server", "homes"),
        ("status", "bound"),
        ("dynamic", "true"),
    ];
    let router = &place.site.router;
    router.enter(LEASES, &given).context("a lease")?;
    place.world.clock.advance(5 * MINUTE + MINUTE / 4);
    place
        .holds("clinic", "10.20.0.120", "10000000/10000000", OPEN)
        .await?;

    asks(&place, true).await?;
    eventually("nothing of ours is left", async || {
        Ok((!is_written(&place)).then_some(()))
    })
    .await?;
    // What the cloud showed of the queue is told anew before his device asks.
    waits(&place, &id, "has not asked the router").await?;
    let device = router.device(MAC);
    device.ask().await.lent();
    place.look().await?;
    place.line_is(&id, "ENFORCED").await?;

    let faster = place.isp.owner.add_package("Home 40", 40, 3000, 2).await?;
    let path = format!("/customers/{id}/package");
    place
        .isp
        .owner
        .put(&path, &json!({"packageId": faster}))
        .await?;
    waits(&place, &id, "another speed").await?;
    let granted = device.ask().await.lent();
    assert_eq!(granted.rate_limit.as_deref(), Some("40M/40M"));
    place.look().await?;
    let line = place.line_is(&id, "ENFORCED").await?;
    assert_eq!(line["downloadKbps"], 40_000, "{line}");

    asks(&place, false).await?;
    let address = line["ipAddress"].as_str().context("an address")?.to_owned();
    place
        .holds("clinic", &address, "40000000/40000000", OPEN)
        .await?;
    place.close().await
}
