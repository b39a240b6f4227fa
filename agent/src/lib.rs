//! The agent: a box beside the router that keeps deciding correctly with the cloud gone for days.

pub mod config;
pub mod core;
pub mod diagnosis;
pub mod doctor;
pub mod enforce;
mod housekeeping;
pub mod local;
pub mod radius;
pub mod routeros;
pub mod sessions;
pub mod site;
pub mod status;
pub mod store;
pub mod sync;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use easyisp_shared::entropy::Entropy;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Clock;
use easyisp_shared::wire::DownRecord;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;
use uuid::Uuid;

use crate::config::Config;
use crate::core::{Core, CoreOptions};
use crate::enforce::Enforcer;
use crate::local::{Feed, Load, LocalSite};
use crate::radius::radsec::driver::RadSec;
use crate::radius::server::{Server, Sockets};
use crate::site::{Site, SiteClock, Touched};
use crate::status::Overview;
use crate::store::{StoreError, StoreGuard};
use crate::sync::{Identity, IdentityError, Link, LinkConfig, Patience};

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
    overview: Arc<Overview>,
    cancel: CancellationToken,
    tasks: TaskTracker,
    server: Server,
    feed: Arc<Feed>,
    link: Option<Link>,
    guard: StoreGuard,
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
        let (identity, key, load) = match source {
            Source::Enrolled => {
                let identity = Identity::load(&config.identity_folder())?;
                let key = identity.site_key.clone();
                (Some(identity), key, Load::default())
            }
            Source::Described { rows, key } => (None, key, Load { rows }),
        };
        let sockets = bind_radius(&config)?;
        let status_listener = bind_tcp("status", config.status.listen).await?;
        let radsec_listener = match config.radius.radsec {
            Some(address) => Some(bind_tcp("radius", address).await?),
            None => None,
        };
        let radsec = radsec_listener.as_ref().map(address_of);
        let (radius_auth, radius_acct) = sockets.addresses();
        let status = address_of(&status_listener);

        let options = CoreOptions {
            data_dir: config.data_dir.clone(),
            ranges: config.site.ranges.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            key,
            agent: identity.as_ref().map(|identity| identity.agent),
            load,
        };
        let core = blocking(move || Core::open(options)).await?;
        let Core {
            site,
            sessions,
            radius,
            feed,
            outbox,
            reader,
            clock: site_clock,
            timers,
            timeline,
            counters,
            unknown,
            authority,
            commits,
            touched_sender,
            touched,
            moved_aside,
            guard,
        } = core;
        let enforcer = Enforcer::new(enforce::Parts {
            site: site.clone(),
            sessions: sessions.clone(),
            timers,
            clock: site_clock.clone(),
            entropy: entropy.clone(),
            timeline: timeline.clone(),
            radius: radius.clone(),
            local: radius_auth.ip(),
        });
        let server = Server::start(radius.clone(), sockets, workers()).map_err(|cause| {
            StartError::Port {
                section: "radius",
                address: radius_auth,
                cause,
            }
        })?;

        if config.cloud.metered {
            radius.keep_logins_here();
        }
        let cancel = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(enforcer.clone().run(touched, cancel.clone()));
        tasks.spawn(pending_commands(
            site.clone(),
            site_clock.clone(),
            touched_sender,
        ));
        if let (Some(listener), Some(authority)) = (radsec_listener, authority) {
            let radsec = RadSec {
                radius: radius.clone(),
                authority,
                clock: site_clock.clone(),
            };
            tasks.spawn(radsec.serve(listener, cancel.clone()));
        }
        let link = identity.map(|identity| {
            let local_site = LocalSite {
                feed: feed.clone(),
                outbox: outbox.clone(),
                reader: reader.clone(),
                commits,
                clock: site_clock.clone(),
                enforcer,
                epoch: Mutex::new(Uuid::nil()),
                generation: identity.generation(),
                metered: config.cloud.metered,
            };
            let floor = site_clock.clone();
            let link_config = LinkConfig {
                cloud: config
                    .cloud
                    .address
                    .clone()
                    .unwrap_or_else(|| identity.cloud.clone()),
                version: VERSION.to_owned(),
                clock: clock.clone(),
                entropy,
                floor: Arc::new(move || floor.floor()),
                patience: Patience::default(),
            };
            Link::start(link_config, identity, Arc::new(local_site))
        });
        let overview = Arc::new(Overview {
            site,
            sessions,
            outbox,
            reader,
            clock: site_clock,
            timeline,
            counters,
            unknown,
            link: link.as_ref().map(Link::status),
            moved_aside,
            data_dir: config.data_dir,
            metered: config.cloud.metered,
        });
        tasks.spawn(housekeeping::run(overview.clone(), radius, cancel.clone()));
        tasks.spawn(status::serve(
            status_listener,
            overview.clone(),
            cancel.clone(),
        ));
        tasks.close();
        info!("Answers RADIUS on {radius_auth} and {radius_acct}, tells its state on {status}");
        Ok(Agent {
            radius_auth,
            radius_acct,
            radsec,
            status,
            overview,
            cancel,
            tasks,
            server,
            feed,
            link,
            guard,
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

    /// Where the status page is.
    pub fn status(&self) -> SocketAddr {
        self.status
    }

    /// What this agent knows and does, for tests and the status page.
    pub fn overview(&self) -> &Arc<Overview> {
        &self.overview
    }

    /// Stops: no new requests, then the link, then what waits is written, then the files are closed.
    pub async fn stop(self) {
        self.cancel.cancel();
        let server = self.server;
        let _ended = tokio::task::spawn_blocking(move || server.stop()).await;
        if let Some(link) = self.link {
            link.stop().await;
        }
        self.tasks.wait().await;
        let (feed, guard) = (self.feed, self.guard);
        let _closed = tokio::task::spawn_blocking(move || {
            feed.stop();
            guard.close();
        })
        .await;
        info!("Stopped");
    }
}

/// Commands that stood in the cache at the start and may not have been carried out before it.
async fn pending_commands(site: Arc<Site>, clock: Arc<SiteClock>, touched: mpsc::Sender<Touched>) {
    for id in site.commands() {
        let pending = site.command(id);
        let pending = pending.is_some_and(|held| clock.now() < held.1.expires);
        if pending && touched.send(Touched::Command(id)).await.is_err() {
            return;
        }
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

async fn bind_tcp(section: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|cause| StartError::Port {
            section,
            address,
            cause,
        })
}

fn address_of(listener: &TcpListener) -> SocketAddr {
    listener
        .local_addr()
        .expect("a bound listener has an address")
}

async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(run).await;
    done.map_err(|_| StoreError::Closed)?
}

/// A login is some microseconds of one core; more threads than four gain nothing on any box.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4))
}

#[cfg(test)]
mod tests;
