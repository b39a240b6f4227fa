//! Customers whose device gets its address from the router's DHCP server.

use anyhow::{Context, Result, ensure};
use easyisp_tests::router::kept::KeptRow;
use easyisp_tests::world::eventually;
use serde_json::json;

use super::{LEASES, OPEN, Place};
use crate::words::{DAY, MINUTE};

const MAC: &str = "02:00:00:00:09:09";

#[tokio::test(flavor = "multi_thread")]
async fn a_devices_lease_becomes_its_own_and_a_strangers_lease_is_left_alone() -> Result<()> {
    let place = Place::open("leased").await?;
    let until = place.world.clock.now().plus(30 * DAY);
    let id = place.connect("clinic", "DHCP", until).await?;
    let line = place.line_is(&id, "REFUSED").await?;
    ensure!(
        line["reason"]
            .as_str()
            .is_some_and(|why| why.contains("hardware address")),
        "{line}"
    );

    let path = format!("/customers/{id}/assign-ip");
    let device = json!({"macAddress": MAC});
    place.isp.owner.post(&path, &device).await?;
    place.line_is(&id, "WAITING").await?;

    // The device gets an address of the server's pool, and keeps it.
    let router = &place.site.router;
    let before = router.kept(LEASES);
    let given = [
        ("address", "10.20.0.120"),
        ("mac-address", MAC),
        ("server", "homes"),
        ("status", "bound"),
        ("dynamic", "true"),
    ];
    router.enter(LEASES, &given).context("a lease")?;
    place.world.clock.advance(5 * MINUTE + MINUTE / 4);
    place
        .holds("clinic", "10.20.0.120", "10000000/10000000", OPEN)
        .await?;
    place.line_is(&id, "ENFORCED").await?;
    let his = |row: &&KeptRow| row.value("mac-address") == Some(MAC);
    let lease = router
        .kept(LEASES)
        .iter()
        .find(his)
        .cloned()
        .context("his lease")?;
    assert_eq!(lease.value("dynamic"), Some("false"));
    let comment = format!("easyisp:line:{id}");
    assert_eq!(lease.value("comment"), Some(comment.as_str()));

    // Another address is the lease's too.
    let moved = json!({"ipAddress": "10.20.0.121"});
    place.isp.owner.post(&path, &moved).await?;
    place
        .holds("clinic", "10.20.0.121", "10000000/10000000", OPEN)
        .await?;
    eventually("his lease is of it", async || {
        let lease = router.kept(LEASES).iter().find(his).cloned();
        Ok(lease.filter(|lease| lease.value("address") == Some("10.20.0.121")))
    })
    .await?;
    let others: Vec<KeptRow> = router
        .kept(LEASES)
        .into_iter()
        .filter(|row| !his(&row))
        .collect();
    assert_eq!(others, before);

    // A lease that somebody else wrote for another device stays, and is named.
    let second = place.connect("shop", "DHCP", until).await?;
    let mac = "02:00:00:00:09:0A";
    let written = [
        ("address", "10.20.0.30"),
        ("mac-address", mac),
        ("comment", "till"),
    ];
    router.enter(LEASES, &written).context("a lease")?;
    let wanted = json!({"macAddress": mac, "ipAddress": "10.20.0.31"});
    place
        .isp
        .owner
        .post(&format!("/customers/{second}/assign-ip"), &wanted)
        .await?;
    let refused = eventually("it is refused", async || {
        let line = place.isp.customer(&second).await?["line"].clone();
        let why = line["reason"].as_str().unwrap_or_default().to_owned();
        Ok(Some(why).filter(|why| why.contains("somebody else wrote")))
    });
    refused.await?;
    let till = |row: &&KeptRow| row.value("comment") == Some("till");
    let kept = router
        .kept(LEASES)
        .iter()
        .find(till)
        .cloned()
        .context("theirs")?;
    assert_eq!(kept.value("address"), Some("10.20.0.30"));
    place.close().await
}
