//! Puts everything on stage: the outside world and the router here, cloud and agent as child processes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use easyisp_agent::sync::Identity;
use easyisp_tests::outside::Outside;
use easyisp_tests::prepare::prepare_demo;
use easyisp_tests::router::api::Api;
use easyisp_tests::router::online::Traffic;
use easyisp_tests::router::snmp::Snmp;
use easyisp_tests::router::subscriber::Method;
use easyisp_tests::router::{Router, Settings};

use crate::banner;
use crate::child::Part;
use crate::ports::{Ports, loopback};
use crate::seed;

/// Runs the demo until Ctrl-C.
pub async fn run(
    data: Option<PathBuf>,
    ports: Ports,
    base: Option<u16>,
    no_router: bool,
) -> Result<()> {
    ports.check_free()?;
    prepare_demo()?;
    let folder = Folder::open(data)?;

    let outside = Outside::start(loopback(ports.outside)).await?;
    let mut common = Vec::new();
    if let Some(base) = base {
        common.extend(["--base-port".to_owned(), base.to_string()]);
    }
    let mut cloud_args = common.clone();
    let agent_is_new = Identity::load(&folder.path().join("agent/identity")).is_err();
    if agent_is_new {
        cloud_args.push("--invite-agent".to_owned());
    }
    eprintln!("Starting the cloud (the first time it makes its own database) …");
    let (mut cloud, report) = Part::start("cloud", folder.path(), &cloud_args).await?;

    let mut agent_args = common;
    if agent_is_new {
        let token = report["joinToken"]
            .as_str()
            .context("the cloud invites the agent")?;
        agent_args.extend(["--token".to_owned(), token.to_owned()]);
    }
    eprintln!("Starting the agent …");
    let (mut agent, _) = Part::start("agent", folder.path(), &agent_args).await?;

    let router = if no_router {
        None
    } else {
        Some(switch_on(&ports).await?)
    };
    let expired = report["expiredCustomer"]
        .as_str()
        .context("the cloud names demo021")?;
    banner::print(&ports, folder.path(), expired, router.is_some());

    let ended = tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Into::into),
        terminated = terminated() => terminated,
        error = cloud.ended() => Err(error),
        error = agent.ended() => Err(error),
    };
    eprintln!("Stopping …");
    if let Some(router) = router {
        router.stop().await;
    }
    agent.stop().await;
    cloud.stop().await;
    outside.stop().await;
    folder.close()?;
    ended
}

async fn terminated() -> Result<()> {
    let mut signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    signal.recv().await;
    Ok(())
}

/// The pretend MikroTik, with the subscribers that are online.
async fn switch_on(ports: &Ports) -> Result<Router> {
    let settings = Settings {
        source: ROUTER,
        incoming: Some(loopback(ports.coa)),
        api: Some(Api {
            listen: loopback(ports.router_api),
            ..Api::new(seed::API_USER, seed::API_PASSWORD)
        }),
        snmp: Some(Snmp {
            listen: loopback(ports.snmp),
            ..Snmp::new(seed::COMMUNITY)
        }),
        ..Settings::new(seed::SECRET, loopback(ports.auth), loopback(ports.acct))
    };
    let router = Router::start(settings)
        .await
        .context("the pretend router cannot start")?;
    for name in seed::online() {
        let subscriber = router.subscriber(&name, &name, Method::MsChapV2);
        router.keep_online(subscriber, TRAFFIC);
    }
    router
        .until(|router| (router.sessions().len() == seed::online().count()).then_some(()))
        .await;
    Ok(router)
}

/// The pretend router's own address: what is typed by hand comes from another one.
const ROUTER: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 0, 0, 2);

/// What a subscriber of the demo does all day.
const TRAFFIC: Traffic = Traffic {
    up_bits_per_second: 200_000,
    down_bits_per_second: 2_000_000,
};

/// Where the demo keeps its state.
enum Folder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    fn open(data: Option<PathBuf>) -> Result<Folder> {
        let Some(path) = data else {
            return Ok(Folder::Temporary(
                tempfile::Builder::new().prefix("easyisp-demo-").tempdir()?,
            ));
        };
        std::fs::create_dir_all(&path)
            .with_context(|| format!("--data {} cannot be made", path.display()))?;
        let path = path.canonicalize()?;
        let is_empty = path.read_dir()?.next().is_none();
        let marker = path.join(MARKER);
        if !is_empty && !marker.exists() {
            bail!(
                "--data {} holds something that is not a demo's; give an empty or new folder",
                path.display()
            );
        }
        std::fs::write(marker, "State of `cargo demo`; may be removed.\n")?;
        Ok(Folder::Kept(path))
    }

    fn path(&self) -> &Path {
        match self {
            Folder::Kept(path) => path,
            Folder::Temporary(folder) => folder.path(),
        }
    }

    fn close(self) -> Result<()> {
        match self {
            Folder::Kept(_) => Ok(()),
            Folder::Temporary(folder) => folder
                .close()
                .context("the demo's folder cannot be removed"),
        }
    }
}

const MARKER: &str = "easyisp-demo";
