//! A person comes through to a router's WinBox or a customer's page, for a limited time, and nowhere else.

mod nodes;
mod pages;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::id::{AccessGrantId, AgentId};
use easyisp_shared::wire::access::{AccessTargetV1, AccessV1};
use easyisp_shared::wire::question::{AskFailure, Question};
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{PASSWORD, Provider, Site, World, eventually, soon};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::words::DAY;

/// A megabyte goes through and comes back as it was; whoever comes from elsewhere meets a closed door; closing cuts at
/// once; the trail and the list say who, why and how much; another provider sees nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn winbox_is_reached_for_a_while_and_no_longer() -> Result<()> {
    let (world, isp, site, port) = given("winbox", |_| {}).await?;
    let other = Provider::sign_up(&world, "winbox-other").await?;
    let wish = json!({"service": "WINBOX", "port": port, "reason": "A new queue for jane"});
    let door = format!("/nas/{}/access", site.router_id);
    shows_winbox(&isp, &site, None).await?;
    let opened = isp.owner.post(&door, &wish).await?;
    let id = opened["id"].as_str().context("an id")?.to_owned();
    shows_winbox(&isp, &site, opened["port"].as_u64()).await?;
    assert_eq!(opened["url"], Value::Null);
    let expected = world.clock.now().plus(Duration::from_secs(900));
    assert_eq!(opened["expiresAt"], json!(expected));
    let at = address_of(&opened)?;

    let mut winbox = TcpStream::connect(at).await?;
    let sent: Vec<u8> = (0..1_000_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let (mut read, mut write) = winbox.split();
    let (came, _) = tokio::try_join!(
        async {
            let mut came = vec![0; sent.len()];
            read.read_exact(&mut came).await?;
            Ok::<_, std::io::Error>(came)
        },
        write.write_all(&sent),
    )?;
    ensure!(came == sent, "octets are not what they were");
    let told = &site.agent().overview().access.report()[0];
    assert_eq!(
        (told.there, told.back, told.leads_to.port()),
        (1_000_000, 1_000_000, port)
    );
    assert_eq!(told.why, "A new queue for jane");

    // From another address there is nobody.
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::new(127, 0, 0, 9), 0).into())?;
    let mut elsewhere = socket.connect(at).await?;
    assert_eq!(
        soon("the door is shut", elsewhere.read(&mut [0; 8]))
            .await?
            .unwrap_or(0),
        0
    );

    let listed = isp.owner.get("/access?open=true").await?;
    assert_eq!(
        (&listed["total"], &listed["access"][0]["bytesBack"]),
        (&json!(1), &json!(1_000_000))
    );
    assert_eq!(other.owner.get("/access").await?["total"], 0);
    let way = format!("/access/{id}");
    for (method, path, body) in [
        (Method::DELETE, &way, None),
        (Method::POST, &door, Some(&wish)),
    ] {
        let (status, _) = other.owner.call(method, path, body).await?;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }

    let (status, _) = isp.owner.call(Method::DELETE, &way, None).await?;
    assert_eq!(status, StatusCode::OK);
    is_cut(&mut winbox).await?;
    eventually("the port is closed", async || {
        Ok(TcpStream::connect(at).await.is_err().then_some(()))
    })
    .await?;
    eventually("the agent has closed it too", async || {
        Ok(site
            .agent()
            .overview()
            .access
            .report()
            .is_empty()
            .then_some(()))
    })
    .await?;
    let (status, _) = isp.owner.call(Method::DELETE, &way, None).await?;
    assert_eq!(status, StatusCode::OK);
    let past = isp.owner.get("/access").await?["access"][0].clone();
    assert_eq!(past["open"], false);
    assert_eq!(past["closedWhy"], "BY_HAND");
    shows_winbox(&isp, &site, None).await?;
    assert_eq!(
        (
            &past["connections"],
            &past["bytesThere"],
            &past["bytesBack"]
        ),
        (&json!(1), &json!(1_000_000), &json!(1_000_000))
    );
    let trail = isp.owner.get("/audit-logs").await?.to_string();
    for said in ["ACCESS_OPEN", "ACCESS_CLOSE", "A new queue for jane"] {
        ensure!(trail.contains(said), "{said}: {trail}");
    }
    site.stop().await;
    world.stop().await
}

/// Its time is over: both ends cut, each by its own clock; and whoever opened it signs out.
#[tokio::test(flavor = "multi_thread")]
async fn a_way_ends_with_its_time_and_with_who_opened_it() -> Result<()> {
    let (world, isp, site, port) = given("ends", |_| {}).await?;
    let wish =
        json!({"service": "WINBOX", "port": port, "minutes": 1, "reason": "Looking at the log"});
    let door = format!("/nas/{}/access", site.router_id);
    let opened = isp.owner.post(&door, &wish).await?;
    let at = address_of(&opened)?;
    assert_eq!(
        (&opened["url"], &opened["secret"]),
        (&Value::Null, &Value::Null)
    );
    let mut page = echoed(at).await?;
    world.clock.advance(Duration::from_secs(59));
    echoes(&mut page).await?;
    eventually("its server is seen at it again", async || {
        let shown = isp.owner.get(&format!("/nas/{}", site.router_id)).await?;
        Ok((shown["remoteWinboxEnabled"] == true).then_some(()))
    })
    .await?;
    shows_winbox(&isp, &site, opened["port"].as_u64()).await?;
    world.clock.advance(Duration::from_secs(2));
    // Its time is over, whether or not that is written down yet.
    shows_winbox(&isp, &site, None).await?;
    is_cut(&mut page).await?;
    eventually("the agent has closed it by itself", async || {
        world.clock.advance(Duration::from_secs(1));
        Ok(site
            .agent()
            .overview()
            .access
            .report()
            .is_empty()
            .then_some(()))
    })
    .await?;
    eventually("it is written down", async || {
        let past = isp.owner.get("/access").await?;
        Ok((past["access"][0]["closedWhy"] == "EXPIRED").then_some(()))
    })
    .await?;

    let (host, email) = (world.api(), isp.email());
    let again = Operator::login(host, &email, PASSWORD).await?;
    let opened = again.post(&door, &wish).await?;
    let mut page = echoed(address_of(&opened)?).await?;
    again.call(Method::POST, "/auth/logout", None).await?;
    is_cut(&mut page).await?;
    eventually("it is written down", async || {
        let past = isp.owner.get("/access").await?;
        Ok((past["access"][0]["closedWhy"] == "OPERATOR_LEFT").then_some(()))
    })
    .await?;
    site.stop().await;
    world.stop().await
}

/// What its own settings do not name, no word of the cloud's opens: another port, somebody who is not online, a way that
/// was never opened, a time that never ends. Over a line that is paid by the octet only who says so comes through; and
/// where the site's owner switched it off, nobody.
#[tokio::test(flavor = "multi_thread")]
async fn the_agent_refuses_whatever_the_cloud_says() -> Result<()> {
    let (world, isp, mut site, port) = given("refuses", |_| {}).await?;
    let door = format!("/nas/{}/access", site.router_id);
    let wish = |port: u16| json!({"service": "WINBOX", "port": port, "reason": "Because I can"});
    let refused = async |wish: &Value, says: &str| -> Result<()> {
        let (status, answer) = isp.owner.call(Method::POST, &door, Some(wish)).await?;
        assert_eq!(
            (status, &answer["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("SITE_REFUSED"))
        );
        let said = answer["message"].as_str().context("words")?;
        ensure!(said.contains(says), "{said}");
        Ok(())
    };
    refused(&wish(22), "none of those that the box leads to").await?;
    for (wrong, field) in [
        (
            json!({"service": "WINBOX", "minutes": 121, "reason": "Because I can"}),
            "minutes",
        ),
        (json!({"service": "WINBOX", "reason": "x"}), "reason"),
        (
            json!({"service": "WEB", "reason": "Because I can"}),
            "service",
        ),
    ] {
        let (status, answer) = isp.owner.call(Method::POST, &door, Some(&wrong)).await?;
        assert_eq!(
            (status, &answer["details"][0]["field"]),
            (StatusCode::BAD_REQUEST, &json!(field))
        );
    }

    // Somebody has the cloud in his hands, and asks the agent past every check of its own.
    let tenant = isp.tenant().await?;
    let agents = &world.cloud().app.agents;
    let presence = agents.all().into_iter().next().context("an agent")?;
    let agent: AgentId = presence.agent.id;
    let router = site.router_id.parse()?;
    let stolen = |port, target| AccessV1 {
        grant: AccessGrantId::new(world.clock.now(), world.db().entropy()),
        target,
        port,
        until: world.clock.now().plus(DAY * 365),
        force: true,
        who: "thief".to_owned(),
        why: "none".to_owned(),
    };
    let patience = Duration::from_secs(5);
    let customer = AccessTargetV1::Customer(uuid::Uuid::nil().into());
    for (port, target) in [(22, AccessTargetV1::Router(router)), (80, customer)] {
        let asked = Question::Access(stolen(port, target));
        let told = agents.ask_agent(tenant, agent, &asked, patience).await;
        ensure!(matches!(told, Err(AskFailure::Refused(_))), "{told:?}");
    }
    let unheard_of = AccessGrantId::new(world.clock.now(), world.db().entropy());
    let through = agents.through(tenant, agent, unheard_of).await;
    ensure!(
        matches!(through, Err(AskFailure::NotFound)),
        "a way that nobody opened leads somewhere"
    );
    let long = Question::Access(stolen(port, AccessTargetV1::Router(router)));
    agents
        .ask_agent(tenant, agent, &long, patience)
        .await
        .map_err(|failure| anyhow::anyhow!("{failure:?}"))?;
    let until = site.agent().overview().access.report()[0].until;
    assert_eq!(until, world.clock.now().plus(Duration::from_secs(7200)));

    site.stop_agent().await;
    site.configure(|config| config.cloud.metered = true);
    site.start_agent().await?;
    site.caught_up().await?;
    refused(&wish(port), "paid by the octet").await?;
    let forced =
        json!({"service": "WINBOX", "port": port, "reason": "Because I must", "force": true});
    let opened = isp.owner.post(&door, &forced).await?;
    echoed(address_of(&opened)?).await?;

    site.stop_agent().await;
    site.configure(|config| config.access.allow = false);
    site.start_agent().await?;
    site.caught_up().await?;
    refused(&forced, "switched off at the site").await?;
    site.stop().await;
    world.stop().await
}

/// The database is away as a way closes: nobody comes through, and its line in the trail follows.
#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_closes_without_the_database_is_written_down_later() -> Result<()> {
    let (world, isp, site, port) = given("later", |_| {}).await?;
    let wish =
        json!({"service": "WINBOX", "port": port, "minutes": 1, "reason": "A new queue for jane"});
    let door = format!("/nas/{}/access", site.router_id);
    let opened = isp.owner.post(&door, &wish).await?;
    let mut winbox = echoed(address_of(&opened)?).await?;
    let mut admin = PgConnection::connect_with(&world.database.anybody()).await?;
    admin
        .execute("alter table access_grants rename to away")
        .await?;
    world.clock.advance(Duration::from_secs(61));
    is_cut(&mut winbox).await?;
    let said = isp.owner.get("/audit-logs").await?.to_string();
    ensure!(!said.contains("ACCESS_CLOSE"), "{said}");
    admin
        .execute("alter table away rename to access_grants")
        .await?;
    eventually("it is written down", async || {
        let said = isp.owner.get("/audit-logs").await?.to_string();
        Ok(said.contains("ACCESS_CLOSE").then_some(()))
    })
    .await?;
    let past = isp.owner.get("/access").await?["access"][0].clone();
    assert_eq!(
        (&past["closedWhy"], &past["bytesBack"]),
        (&json!("EXPIRED"), &json!(5))
    );
    site.stop().await;
    world.stop().await
}

/// Nothing is opened where nobody said where operators come in.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_opened_where_it_is_not_set_up() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "closed").await?;
    let site = Site::open(&world, &isp).await?;
    let wish = json!({"service": "WINBOX", "reason": "A new queue for jane"});
    let (status, answer) = isp
        .owner
        .call(
            Method::POST,
            &format!("/nas/{}/access", site.router_id),
            Some(&wish),
        )
        .await?;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::CONFLICT, &json!("ACCESS_NOT_SET_UP"))
    );
    site.stop().await;
    world.stop().await
}

/// A world where ways are opened, and a site whose router says back what it hears on a port.
async fn given(
    name: &str,
    change: impl FnOnce(&mut easyisp_cloud::config::Config),
) -> Result<(World, Provider, Site, u16)> {
    let clock = easyisp_shared::time::Clock::test(easyisp_shared::time::Timestamp::from_secs(
        1_800_000_000,
    ));
    let world = World::start_with(clock, |config| {
        config.access.listen = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        change(config);
    })
    .await?;
    let isp = Provider::sign_up(&world, name).await?;
    let mut site = Site::prepare(&world, &isp).await?;
    let port = echoing().await?;
    site.configure(|config| config.access.router_ports = vec![port]);
    site.start_agent().await?;
    site.caught_up().await?;
    eventually("the agent knows its router", async || {
        Ok((!site.agent().overview().site.routers().is_empty()).then_some(()))
    })
    .await?;
    Ok((world, isp, site, port))
}

/// A port of a router that says back what it hears.
async fn echoing() -> Result<u16> {
    let router = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = router.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = router.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = socket.split();
                let _gone = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    Ok(port)
}

/// The router, and the list of them, say at which port its WinBox is reached, or that it is not.
async fn shows_winbox(isp: &Provider, site: &Site, port: Option<u64>) -> Result<()> {
    let one = isp.owner.get(&format!("/nas/{}", site.router_id)).await?;
    let all = isp.owner.get("/nas").await?;
    for router in [&one, &all["routers"][0]] {
        assert_eq!(
            (&router["remoteWinboxEnabled"], &router["remoteWinboxPort"]),
            (&json!(port.is_some()), &json!(port)),
            "{router}"
        );
        assert_eq!(router["vpnTunnelIp"], Value::Null);
    }
    Ok(())
}

fn address_of(opened: &Value) -> Result<SocketAddr> {
    let host: IpAddr = opened["host"].as_str().context("a host")?.parse()?;
    let port = opened["port"].as_u64().context("a port")?;
    Ok((host, u16::try_from(port)?).into())
}

async fn echoed(at: SocketAddr) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(at).await?;
    echoes(&mut socket).await?;
    Ok(socket)
}

async fn echoes(socket: &mut TcpStream) -> Result<()> {
    socket.write_all(b"hello").await?;
    let mut came = [0; 5];
    soon("an echo", socket.read_exact(&mut came)).await??;
    assert_eq!(&came, b"hello");
    Ok(())
}

/// Nothing comes any more, within a second.
async fn is_cut(socket: &mut TcpStream) -> Result<()> {
    let mut rest = [0; 64];
    let read = tokio::time::timeout(Duration::from_secs(2), socket.read(&mut rest)).await;
    let read = read.context("the connection is open still")?;
    assert_eq!(read.unwrap_or(0), 0);
    Ok(())
}
