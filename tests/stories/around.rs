//! Routers that are around and not entered yet are offered: who announces himself, and who asks in vain.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use anyhow::{Context, Result, ensure};
use easyisp_agent::radius::Secret;
use easyisp_agent::radius::builder::Signature;
use easyisp_agent::radius::client::{Login, Method, access_request};
use easyisp_tests::world::{Provider, Site, World, eventually};
use serde_json::{Value, json};

/// A new router is switched on beside the box, and a third one was given the box's address by hand with a secret that
/// nobody knows: both are in the list, with the one that is entered marked as such. A site that is away is said to be.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_is_around_is_offered() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "finder").await?;
    let mut site = Site::prepare(&world, &isp).await?;
    site.configure(|config| config.neighbours.listen = (Ipv4Addr::LOCALHOST, 0).into());
    let away = isp.owner.get("/nas/around").await?;
    assert_eq!(away["total"], 0, "{away}");
    let problem = away["problems"][0].as_str().context("a problem")?;
    ensure!(problem.contains("No agent serves the site"), "{problem}");

    site.start_agent().await?;
    site.caught_up().await?;
    let hears = site.agent().neighbours().context("nobody is heard")?;
    let device = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    device.send_to(&[0; 4], hears)?;
    device.send_to(&announcement(), hears)?;

    let stranger = UdpSocket::bind((Ipv4Addr::new(127, 7, 7, 7), 0))?;
    let login = Login {
        user_name: b"anybody",
        method: Method::Pap { password: b"x" },
        extra: &[],
        signature: Signature::MessageAuthenticator,
    };
    let request = access_request(&login, 1, &[7; 16], &Secret::new(b"made up"))?;
    stranger.send_to(&request, site.agent().radius_auth())?;

    let (announced, asking) = eventually("both are found", async || {
        let told = isp.owner.get("/nas/around").await?;
        let devices = told["devices"].as_array().context("devices")?;
        let how = |how: &str| devices.iter().find(|one| one["how"] == how).cloned();
        Ok(how("ANNOUNCED").zip(how("ASKING")))
    })
    .await?;
    let entered: Value = isp.owner.get(&format!("/nas/{}", site.router_id)).await?;
    let expected = json!({
        "siteId": entered["siteId"], "how": "ANNOUNCED", "ipAddress": "127.0.0.1",
        "macAddress": "74:4D:28:91:0D:2F", "identity": "Tower 3", "boardName": "RB760iGS",
        "routerOsVersion": "7.15.3 (stable)", "platform": "MikroTik", "interface": "bridge/ether2",
        "uptime": announced["uptime"], "heardAt": announced["heardAt"], "requests": null,
        "nasId": site.router_id, "nasName": entered["name"],
    });
    assert_eq!(announced, expected);
    assert_eq!(
        asking["ipAddress"],
        IpAddr::from([127, 7, 7, 7]).to_string()
    );
    assert_eq!(
        (&asking["requests"], &asking["nasId"]),
        (&json!(1), &json!(null))
    );

    let nowhere = format!("/nas/around?siteId={}", uuid::Uuid::nil());
    ensure!(
        isp.owner.get(&nowhere).await.is_err(),
        "a site that is not there was asked"
    );
    world.stop().await
}

/// As RouterOS 7 sends it every minute: 4 octets, then type, length and value of each attribute.
fn announcement() -> Vec<u8> {
    let attributes: [(u16, &[u8]); 6] = [
        (1, &[0x74, 0x4d, 0x28, 0x91, 0x0d, 0x2f]),
        (5, b"Tower 3"),
        (7, b"7.15.3 (stable)"),
        (8, b"MikroTik"),
        (12, b"RB760iGS"),
        (16, b"bridge/ether2"),
    ];
    let mut datagram = vec![0, 0, 0, 9];
    for (kind, value) in attributes {
        datagram.extend(kind.to_be_bytes());
        datagram.extend((value.len() as u16).to_be_bytes());
        datagram.extend(value);
    }
    datagram
}
