//! The agent: a box beside the router that keeps deciding correctly with the cloud gone for days.

pub mod access;
pub mod config;
pub mod configurations;
pub mod core;
pub mod diagnosis;
pub mod doctor;
pub mod enforce;
pub mod hosted;
mod housekeeping;
pub mod lines;
pub mod local;
pub mod neighbours;
pub mod peers;
pub mod radius;
pub mod reconcile;
pub mod replace;
pub mod routeros;
mod served;
pub mod sessions;
pub mod site;
pub mod sizes;
pub mod snmp;
pub mod status;
pub mod store;
pub mod sync;
pub mod syslog;
pub mod upstream;
pub mod watchdog;
pub mod wizard;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Clock;
use easyisp_shared::wire::DownRecord;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::config::Config;
use crate::radius::radsec::driver::RadSec;
use crate::radius::server::{Server, Sockets};
use crate::served::{Place, Served};
use crate::status::Overview;
use crate::store::StoreError;
use crate::sync::IdentityError;
use crate::watchdog::{Watch, Watched};

/// This build.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What an agent is started with.
pub struct AgentOptions {
    /// Every setting.
    pub config: Config,
    /// What time it is.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Entropy,
    /// Where its site comes from.
    pub source: Source,
}

/// Where an agent's site comes from.
pub enum Source {
    /// The cloud it is enrolled at, through the identity in its data folder.
    Enrolled,
    /// A description made by hand (see [`site::description`]); there is no link.
    Described {
        /// The site's rows.
        rows: Vec<DownRecord>,
        /// What their secrets are sealed under.
        key: SealKey,
    },
}

/// A running agent of one site. Several may run in one process; nothing is process-wide.
pub struct Agent {
    radius_auth: SocketAddr,
    radius_acct: SocketAddr,
    radsec: Option<SocketAddr>,
    status: SocketAddr,
    served: Served,
    server: Server,
    watched: Arc<Watched>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// Why an agent did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It is not enrolled, or its identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Its files cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A port cannot be had.
    #[error("cannot listen on {address} ([{section}] in the configuration): {cause}")]
    Port {
        /// Which section names it.
        section: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        cause: std::io::Error,
    },
    /// A process of many sites has no RadSec: a certificate is one site's.
    #[error(
        "[radius] radsec is not served for many sites in one process: leave it out, and give a site whose \
         routers need RadSec an agent of its own"
    )]
    SharedRadSec,
}

impl Agent {
    /// Opens the files, loads the site, and answers from then on. Without a cloud it serves from what
    /// it knew last.
    pub async fn start(options: AgentOptions) -> Result<Agent, StartError> {
        let AgentOptions {
            config,
            clock,
            entropy,
            source,
        } = options;
        let sockets = bind_radius(&config)?;
        let status_listener = bind_tcp("status", config.status.listen).await?;
        let radsec_listener = match config.radius.radsec {
            Some(address) => Some(bind_tcp("radius", address).await?),
            None => None,
        };
        let radsec = radsec_listener.as_ref().map(address_of);
        let (radius_auth, radius_acct) = sockets.addresses();
        let status = address_of(&status_listener);
        let local = radius_auth.ip();
        let peers = match source {
            Source::Enrolled => bind_peers(config.peers.listen).await,
            Source::Described { .. } => None,
        };
        let neighbours = bind_neighbours(config.neighbours.listen, local);
        let syslog = bind_syslog(config.syslog.listen, local);
        let place = Place::AtSite {
            peers,
            neighbours,
            syslog,
        };
        let served = Served::start(config, clock, entropy.clone(), source, local, place).await?;
        let started = Server::start(served.radius.clone(), sockets, workers());
        let server = started.map_err(|cause| StartError::Port {
            section: "radius",
            address: radius_auth,
            cause,
        })?;
        let watch = Watch {
            radius: served.radius.clone(),
            outbox: served.overview.outbox.clone(),
        };
        let watched = watch_over(vec![watch], radius_auth, Arc::default(), &entropy)?;
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        let page = status::serve(status_listener, served.overview.clone(), cancel.clone());
        tasks.spawn(page);
        if let (Some(listener), Some(authority)) = (radsec_listener, served.authority.clone()) {
            let radsec = RadSec {
                radius: served.radius.clone(),
                authority,
                clock: served.overview.clock.clone(),
            };
            tasks.spawn(radsec.serve(listener, cancel.clone()));
        }
        tasks.close();
        info!("Answers RADIUS on {radius_auth} and {radius_acct}, tells its state on {status}");
        Ok(Agent {
            radius_auth,
            radius_acct,
            radsec,
            status,
            served,
            server,
            watched,
            cancel,
            tasks,
        })
    }

    /// Where logins are answered.
    pub fn radius_auth(&self) -> SocketAddr {
        self.radius_auth
    }

    /// Where accounting is answered.
    pub fn radius_acct(&self) -> SocketAddr {
        self.radius_acct
    }

    /// Where RADIUS in TLS is answered.
    pub fn radsec(&self) -> Option<SocketAddr> {
        self.radsec
    }

    /// Where routers around are heard announcing themselves.
    pub fn neighbours(&self) -> Option<SocketAddr> {
        self.served.neighbours.address()
    }

    /// Where routers are heard writing to their logs.
    pub fn syslog(&self) -> Option<SocketAddr> {
        self.served.syslog.address()
    }

    /// Where the status page is.
    pub fn status(&self) -> SocketAddr {
        self.status
    }

    /// What this agent knows and does, for tests and the status page.
    pub fn overview(&self) -> &Arc<Overview> {
        &self.served.overview
    }

    /// Takes what the cloud sends; for benches, which send it themselves.
    pub fn feed(&self) -> &Arc<local::Feed> {
        &self.served.feed
    }

    /// What the watchdog looks at.
    pub fn watched(&self) -> &Arc<Watched> {
        &self.watched
    }

    /// Stops: no new requests, then the link, then what waits is written, then the files are closed.
    pub async fn stop(self) {
        self.cancel.cancel();
        let server = self.server;
        let _ended = tokio::task::spawn_blocking(move || server.stop()).await;
        self.served.stop().await;
        self.tasks.wait().await;
        info!("Stopped");
    }
}

fn bind_radius(config: &Config) -> Result<Sockets, StartError> {
    Sockets::bind(config.radius.auth, config.radius.acct).map_err(|(address, cause)| {
        StartError::Port {
            section: "radius",
            address,
            cause,
        }
    })
}

fn watch_over(
    sites: Vec<Watch>,
    radius: SocketAddr,
    asked: Arc<AtomicUsize>,
    entropy: &Entropy,
) -> Result<Arc<Watched>, StartError> {
    let watched =
        Watched::new(sites, radius, asked, entropy).map_err(|cause| StartError::Port {
            section: "radius",
            address: radius,
            cause,
        })?;
    Ok(Arc::new(watched))
}

async fn bind_tcp(section: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|cause| StartError::Port {
            section,
            address,
            cause,
        })
}

/// Logins must go on without the port: then this agent meets no other one.
async fn bind_peers(address: SocketAddr) -> Option<TcpListener> {
    TcpListener::bind(address)
        .await
        .inspect_err(|cause| {
            warn!(%cause, "The site's other agents cannot reach this one: {address} ([peers] listen) is not free");
        })
        .ok()
}

/// A box that answers on loopback alone has no neighbours, and says nothing on a network that is not its site's.
fn bind_neighbours(address: SocketAddr, radius: IpAddr) -> Option<UdpSocket> {
    if is_out_of_place(address, radius) {
        return None;
    }
    neighbours::bind(address)
        .inspect_err(|cause| {
            warn!(%cause, "Routers around cannot be heard: {address} ([neighbours] listen) is not free");
        })
        .ok()
}

/// Whether this address is for a network, and the box answers on loopback alone.
fn is_out_of_place(address: SocketAddr, radius: IpAddr) -> bool {
    radius.is_loopback() && !address.ip().is_loopback()
}

/// The same for what routers write to their logs.
fn bind_syslog(address: SocketAddr, radius: IpAddr) -> Option<UdpSocket> {
    if is_out_of_place(address, radius) {
        return None;
    }
    syslog::bind(address)
        .inspect_err(|cause| {
            warn!(%cause, "Logs of routers cannot be heard: {address} ([syslog] listen) is not free");
        })
        .ok()
}

fn address_of(listener: &TcpListener) -> SocketAddr {
    listener
        .local_addr()
        .expect("a bound listener has an address")
}

/// A login is some microseconds of one core; more threads than four gain nothing on any box.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4))
}

#[cfg(test)]
mod tests;
