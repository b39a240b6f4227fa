//! A way to a device whose agent is connected to another node of the cloud.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, ensure};
use easyisp_shared::time::Clock;
use easyisp_tests::device::{Device, WELCOME};
use easyisp_tests::line::Line;
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{PASSWORD, Provider, Site, World, eventually};
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{address_of, echoed, echoing, is_cut, shows_winbox};
use crate::nodes::{Node, has_room};

/// The operator asks one node, the agent is at the other: octets and pages come through all the same, in pieces that
/// nobody else can say or hear. Any node closes the way, and the one that serves it cuts within a second; when the node
/// that holds the agent dies, nobody comes through.
#[tokio::test(flavor = "multi_thread")]
async fn a_way_leads_through_whichever_node_holds_the_agent() -> Result<()> {
    let world = World::start_with(Clock::system(), |config| {
        has_room(config);
        config.access.listen = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    })
    .await?;
    let mut node = Node::start(&world).await?;
    let line = Line::to(node.agents, 1).await?;
    // A dead node is noticed at once over TCP, over QUIC after a minute.
    line.block_udp(true);
    let isp = Provider::sign_up(&world, "ways").await?;
    let page = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (port, web) = (echoing().await?, page.local_addr()?.port());
    let device = Device::plain(page);
    let mut site = Site::open_over(&line, &world, &isp).await?;
    site.stop_agent().await;
    site.configure(|config| config.access.router_ports = vec![port, web]);
    site.start_agent().await?;
    site.caught_up().await?;
    assert_eq!(world.cloud().app.agents.count(), 0, "the agent is here");

    let door = format!("/nas/{}/access", site.router_id);
    let wish = |service: &str, port: u16| json!({"service": service, "port": port, "reason": "A new queue for jane"});
    let opened = eventually("the other node has said whom it holds", async || {
        let wish = wish("WINBOX", port);
        let (status, answer) = isp.owner.call(Method::POST, &door, Some(&wish)).await?;
        Ok((status == StatusCode::OK).then_some(answer))
    })
    .await?;
    let id = opened["id"].as_str().context("an id")?.to_owned();
    let mut winbox = TcpStream::connect(address_of(&opened)?).await?;
    let sent: Vec<u8> = (0..300_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let (mut read, mut write) = winbox.split();
    let mut came = vec![0; sent.len()];
    tokio::try_join!(read.read_exact(&mut came), write.write_all(&sent))?;
    ensure!(came == sent, "octets are not what they were");
    // Who says all he has to say still hears the rest.
    let mut said = TcpStream::connect(address_of(&opened)?).await?;
    said.write_all(b"the last words").await?;
    said.shutdown().await?;
    let mut heard = String::new();
    said.read_to_string(&mut heard).await?;
    assert_eq!(heard, "the last words");

    let at = isp.owner.post(&door, &wish("WEBFIG", web)).await?;
    let text = |field: &str| at[field].as_str().context("words");
    let client = Client::builder().no_proxy().build()?;
    let entered = client
        .post(text("enterUrl")?)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("secret={}", text("secret")?));
    let entered = entered.send().await?;
    let cookie = entered.headers()[SET_COOKIE].to_str()?;
    let cookie = cookie.split(';').next().context("a cookie")?.to_owned();
    let shown = client.get(text("url")?).header(COOKIE, &cookie);
    ensure!(shown.send().await?.text().await?.contains(WELCOME));
    assert_eq!(device.asked().len(), 1);

    // Who is no node gets nowhere by it.
    for body in [
        Vec::new(),
        vec![0u8, 0, 0, 41],
        vec![0; 4_000],
        vec![1; 4_000],
    ] {
        let asked = client.post(format!("http://{}/way", node.nodes)).body(body);
        assert_eq!(asked.send().await?.status(), StatusCode::FORBIDDEN);
    }

    // The node that serves nothing of it closes it.
    let there = Operator::login(node.http, &isp.email(), PASSWORD).await?;
    let (status, answer) = there
        .call(Method::DELETE, &format!("/access/{id}"), None)
        .await?;
    assert_eq!(status, StatusCode::OK, "{answer}");
    is_cut(&mut winbox).await?;
    let past = eventually("what went through it is written down", async || {
        let past = there.get("/access").await?["access"]
            .as_array()
            .and_then(|all| all.iter().find(|way| way["id"] == id.as_str()).cloned())
            .unwrap_or(Value::Null);
        Ok((past["connections"] == 2).then_some(past))
    })
    .await?;
    assert_eq!(past["closedWhy"], "BY_HAND");
    let trail = isp.owner.get("/audit-logs?action=ACCESS_CLOSE").await?;
    assert_eq!(trail["logs"].as_array().map(Vec::len), Some(1), "{trail}");

    let opened = isp.owner.post(&door, &wish("WINBOX", port)).await?;
    let mut winbox = echoed(address_of(&opened)?).await?;
    // Of two that are open the router says the later, which the node serves that is to die.
    let there = there.post(&door, &wish("WINBOX", port)).await?;
    drop(echoed(address_of(&there)?).await?);
    shows_winbox(&isp, &site, there["port"].as_u64()).await?;
    node.child.kill().await?; // SIGKILL
    is_cut(&mut winbox).await?;
    let late = client
        .get(text("url")?)
        .header(COOKIE, &cookie)
        .send()
        .await?;
    assert_eq!(late.status(), StatusCode::BAD_GATEWAY);
    eventually("a port where nobody listens is said no more", async || {
        let shown = isp.owner.get(&format!("/nas/{}", site.router_id)).await?;
        Ok((shown["remoteWinboxEnabled"] == false).then_some(()))
    })
    .await?;
    shows_winbox(&isp, &site, None).await?;
    let past = isp.owner.get("/access").await?;
    let all = past["access"].as_array().context("ways")?;
    let dead = all.iter().find(|way| way["id"] == there["id"]);
    let dead = dead.context("the way of the node that died")?;
    assert_eq!(
        (&dead["open"], &dead["closedWhy"]),
        (&json!(false), &json!("STOPPED"))
    );
    let open = isp.owner.get("/access?open=true").await?;
    assert_eq!(open["total"], 0, "{open}");
    site.stop().await;
    world.stop().await
}
