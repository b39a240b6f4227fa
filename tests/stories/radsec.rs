//! RADIUS in TLS: a router behind radsecproxy logs subscribers in and accounts for them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use easyisp_agent::radius::eap::Authority;
use easyisp_agent::radius::radsec;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::RouterId;
use easyisp_shared::time::Clock;
use easyisp_tests::ports;
use easyisp_tests::world::eventually;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use crate::eap::supplicant::{OneAgent, SECRET};

/// radclient speaks UDP with radsecproxy 1.9, which speaks TLS with the agent.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_behind_radsecproxy_is_served_as_any_other() -> Result<()> {
    let site = listening().await?;
    let (proxy, mut running) = start_proxy(&site, site.folder.path(), site_router(&site)).await?;

    let pap = "User-Name = demo001\nUser-Password = demo001\n";
    eventually("the proxy is connected", async || {
        let answer = radclient(proxy, "auth", pap).await?;
        Ok(answer.contains("Received Access-Accept").then_some(()))
    })
    .await?;
    let wrong = "User-Name = demo001\nUser-Password = demo002\n";
    let answer = radclient(proxy, "auth", wrong).await?;
    ensure!(answer.contains("Received Access-Reject"), "{answer}");
    let started = "User-Name = demo001\nAcct-Status-Type = Start\nAcct-Session-Id = 81000001\n\
                   Calling-Station-Id = \"02:EA:51:00:00:01\"\n";
    let answer = radclient(proxy, "acct", started).await?;
    ensure!(answer.contains("Received Accounting-Response"), "{answer}");

    let overview = site.agent.overview();
    ensure!(overview.sessions.count() == 1, "the session is known");
    eventually("it is counted, once its answer has left", async || {
        let accounted = overview.report().counters.get("accounted").copied();
        Ok((accounted == Some(1)).then_some(()))
    })
    .await?;
    running.kill().await?;
    site.agent.stop().await;
    Ok(())
}

/// A certificate of another box, and one of this box for a router that is not of the site.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_not_heard() -> Result<()> {
    let (site, other) = (listening().await?, listening().await?);
    let pap = "User-Name = demo001\nUser-Password = demo001\n";
    let nobody = RouterId(uuid::Uuid::from_u128(7));
    for (folder, router, counter) in [
        (other.folder.path(), site_router(&site), "radsec_refused"),
        (site.folder.path(), nobody, "radsec_unknown_router"),
    ] {
        let (proxy, mut running) = start_proxy(&site, folder, router).await?;
        eventually("the stranger is counted", async || {
            let answer = radclient(proxy, "auth", pap).await?;
            ensure!(!answer.contains("Received Access"), "{answer}");
            let counters = site.agent.overview().report().counters;
            Ok(counters.contains_key(counter).then_some(()))
        })
        .await?;
        running.kill().await?;
    }
    site.agent.stop().await;
    other.agent.stop().await;
    Ok(())
}

async fn listening() -> Result<OneAgent> {
    OneAgent::start_with(|config| config.radius.radsec = Some((Ipv4Addr::LOCALHOST, 0).into()))
        .await
}

fn site_router(site: &OneAgent) -> RouterId {
    site.agent.overview().site.routers()[0].id
}

/// Starts radsecproxy with a certificate of the authority in `folder`; where it listens.
async fn start_proxy(
    site: &OneAgent,
    folder: &Path,
    router: RouterId,
) -> Result<(SocketAddr, Child)> {
    let now = Clock::system().now();
    let authority = Authority::open(folder, now, &Entropy::system())?;
    let leaf = radsec::certificate_for(&authority, router, now)?;
    let file = |name: &str| site.folder.path().join(name);
    std::fs::write(file("router.pem"), leaf.certificate_pem())?;
    std::fs::write(file("router.key"), leaf.key_pem().as_bytes())?;

    let listen = ports::free_here()?;
    let agent = site.agent.radsec().context("the agent listens")?;
    let settings = format!(
        "ListenUDP {listen}\nLogLevel 2\nLogDestination file://{log}\n\
         tls default {{\n CACertificateFile {ca}\n CertificateFile {pem}\n CertificateKeyFile {key}\n}}\n\
         client 127.0.0.1 {{\n type udp\n secret {SECRET}\n}}\n\
         server agent {{\n host 127.0.0.1\n port {port}\n type tls\n secret radsec\n\
         StatusServer on\n CertificateNameCheck off\n}}\n\
         realm * {{\n server agent\n accountingServer agent\n}}\n",
        log = file("proxy.log").display(),
        ca = site.authority().display(),
        pem = file("router.pem").display(),
        key = file("router.key").display(),
        port = agent.port(),
    );
    std::fs::write(file("proxy.conf"), settings)?;
    let child = Command::new("radsecproxy")
        .arg("-f")
        .arg("-c")
        .arg(file("proxy.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("radsecproxy (package radsecproxy)")?;
    Ok((listen, child))
}

/// Asks once, for a second.
async fn radclient(proxy: SocketAddr, kind: &str, attributes: &str) -> Result<String> {
    let mut child = Command::new("radclient")
        .args(["-x", "-r", "1", "-t", "1", &proxy.to_string(), kind, SECRET])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("radclient (package freeradius-utils)")?;
    let mut stdin = child.stdin.take().context("standard input is piped")?;
    stdin.write_all(attributes.as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
