//! Several nodes of one cloud: whatever node is asked, the agent answers, also after its node died.

mod others;

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_shared::time::Clock;
use easyisp_tests::line::Line;
use easyisp_tests::router::session::Cause;
use easyisp_tests::world::{Provider, Site, World, eventually, soon};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::words::DAY;

/// A node in a process of its own.
pub struct Node {
    /// Its process.
    pub child: Child,
    /// Where its API is.
    pub http: SocketAddr,
    /// Where agents connect.
    pub agents: SocketAddr,
    /// Where other nodes ask.
    pub nodes: SocketAddr,
}

impl Node {
    /// Another node of the world's cloud: the same database and the same master key.
    pub async fn start(world: &World) -> Result<Node> {
        let folder = world.folder().join("another");
        std::fs::create_dir_all(&folder)?;
        let (agents, nodes) = (world.free_port()?, world.free_port()?);
        let http = world.free_port()?;
        let (app, owner) = world.database.urls();
        let key = world.folder().join("cloud/keys/master.key");
        let text = format!(
            "data_dir = {folder:?}\n\
             [http]\nlisten = \"{http}\"\n\
             [agents]\nlisten = \"{agents}\"\n\
             [nodes]\nlisten = \"{nodes}\"\n\
             [access]\nlisten = \"127.0.0.1\"\n\
             [metrics]\nlisten = \"{metrics}\"\n\
             [keys]\nmaster_key_file = {key:?}\n\
             [database]\nurl = \"{app}\"\nmigrate_url = \"{owner}\"\n\
             [limits]\npassword_millis = 0\n",
            metrics = world.free_port()?,
        );
        let file = folder.join("cloud.toml");
        std::fs::write(&file, text)?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_node"))
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the node")?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = soon("the node is ready", lines.next_line()).await??;
        ensure!(line.as_deref() == Some("ready"), "the node said {line:?}");
        Ok(Node {
            child,
            http,
            agents,
            nodes,
        })
    }
}

/// A world that has room for another node.
async fn given_world() -> Result<World> {
    World::start_with(Clock::system(), has_room).await
}

/// What lets another node in.
pub fn has_room(config: &mut easyisp_cloud::config::Config) {
    let mut listen = config.metrics.listen;
    listen.set_port(0);
    config.nodes.listen = Some(listen);
}

/// How often the trail says that somebody's sessions were ended.
async fn disconnects(isp: &Provider) -> Result<usize> {
    let trail = isp
        .owner
        .get("/audit-logs?action=CUSTOMER_DISCONNECT")
        .await?;
    Ok(trail["logs"].as_array().context("logs")?.len())
}

/// Two processes on one database. The agent is connected to one, its operator asks the other: he is answered
/// like anywhere, what he does is done once. The agent's node is killed: he is told so at once; the agent comes
/// to the node that is left, and is asked there.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_is_asked_through_any_node_and_moves_when_its_own_dies() -> Result<()> {
    let world = given_world().await?;
    let mut node = Node::start(&world).await?;
    let line = Line::to(node.agents, 1).await?;
    // A dead node is noticed at once over TCP, over QUIC after a minute.
    line.block_udp(true);
    let isp = Provider::sign_up(&world, "nodes").await?;
    let site = Site::open_over(&line, &world, &isp).await?;
    let here = &world.cloud().app.agents;
    assert_eq!(here.count(), 0, "the agent is at the other node");

    let until = world.clock.now().plus(30 * DAY);
    let jo = isp.add_subscriber("joyce", "254712345650", until).await?;
    site.knows("joyce", "at all", |_| true).await?;
    let online = site.dial("joyce").await.online();
    online.started().await;
    let status = format!("/customers/{jo}/live-status");
    let shown = isp.owner.get(&status).await?;
    assert_eq!(shown["isOnline"], true, "{shown}");
    assert_eq!(shown.get("error"), None, "{shown}");
    let test = format!("/nas/{}/test", site.router_id);
    let tested = isp.owner.post(&test, &json!({})).await?;
    assert_eq!(tested["success"], true, "{tested}");
    let end = format!("/customers/{jo}/disconnect");
    let ended = isp.owner.post(&end, &json!({})).await?;
    assert_eq!(ended["message"], "1 session was ended.");
    assert_eq!(soon("it ends", online.ended()).await?.0, Cause::AdminReset);
    assert_eq!(disconnects(&isp).await?, 1, "once in the trail");

    // Who is no node gets nothing of the node, whatever he says.
    for body in [Vec::new(), vec![1; 41], vec![1; 4_000]] {
        let asked = reqwest::Client::new()
            .post(format!("http://{}/question", node.nodes))
            .body(body);
        assert_eq!(asked.send().await?.status().as_u16(), 403);
    }

    node.child.kill().await?; // SIGKILL
    let asked = Instant::now();
    let bandwidth = format!("/customers/{jo}/bandwidth");
    let (code, answer) = isp.owner.call(Method::GET, &bandwidth, None).await?;
    assert_eq!(code.as_u16(), 502, "{answer}");
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("Main site") && message.contains("node of the cloud"),
        "{message}"
    );
    assert!(asked.elapsed() < Duration::from_secs(10));

    line.lead_to(world.agents());
    eventually("the agent is here", async || {
        Ok((here.count() == 1).then_some(()))
    })
    .await?;
    site.caught_up().await?;
    let again = site.dial("joyce").await.online();
    again.started().await;
    let shown = isp.owner.get(&status).await?;
    assert_eq!(shown["isOnline"], true, "{shown}");
    assert_eq!(shown.get("error"), None, "{shown}");
    let ended = isp.owner.post(&end, &json!({})).await?;
    assert_eq!(ended["message"], "1 session was ended.");

    site.stop().await;
    world.stop().await
}

/// A site whose two boxes are connected to two nodes: who is online at either is seen and ended by one request,
/// and a box that is away is told of as such.
#[tokio::test(flavor = "multi_thread")]
async fn two_boxes_at_two_nodes_end_sessions_by_one_request() -> Result<()> {
    let world = given_world().await?;
    let node = Node::start(&world).await?;
    let line = Line::to(node.agents, 1).await?;
    let isp = Provider::sign_up(&world, "halves").await?;
    let site = Site::open_over(&line, &world, &isp).await?;
    let spare = world.join(&isp.owner.join_token().await?).await?;
    let here = &world.cloud().app.agents;
    eventually("the spare box is here", async || {
        Ok((here.count() == 1).then_some(()))
    })
    .await?;

    let until = world.clock.now().plus(30 * DAY);
    let jo = isp.add_subscriber("joyce", "254712345650", until).await?;
    site.knows("joyce", "at all", |_| true).await?;
    let online = site.dial("joyce").await.online();
    online.started().await;
    // The box that is here knows nothing of the session, which the other's router has told it alone.
    let end = format!("/customers/{jo}/disconnect");
    let ended: Value = isp.owner.post(&end, &json!({})).await?;
    let message = ended["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("1 session was ended"), "{ended}");
    assert_eq!(soon("it ends", online.ended()).await?.0, Cause::AdminReset);

    spare.stop().await;
    site.stop().await;
    world.stop().await
}
