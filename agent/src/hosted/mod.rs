//! Many sites in one process, for sites without a box: shared sockets, everything else apart.
//!
//! Each site has a folder `DATA_DIR/sites/NAME` with an identity and files of its own. A router is known by
//! the address it speaks from, which therefore must not change: a new one is not adopted here.

mod fair;
mod places;
mod server;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Clock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use crate::config::Config;
use crate::served::{Place, Served};
use crate::status::{self, Overview, Shared};
use crate::watchdog::{Watch, Watched};
use crate::{Source, StartError, address_of, bind_radius, bind_tcp, watch_over, workers};
use places::Places;
use server::SharedServer;
pub(crate) use server::Strangers;

/// A running process of many sites.
pub struct Hosted {
    radius_auth: SocketAddr,
    radius_acct: SocketAddr,
    status: SocketAddr,
    sites: Vec<(String, Served)>,
    shared: Arc<Shared>,
    server: SharedServer,
    watched: Arc<Watched>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Hosted {
    /// Serves every site that has a folder. One that cannot be opened is told and left out: the others
    /// must not wait for it.
    pub async fn start(
        config: Config,
        clock: Clock,
        entropy: Entropy,
    ) -> Result<Hosted, StartError> {
        if config.radius.radsec.is_some() {
            return Err(StartError::SharedRadSec);
        }
        let sockets = bind_radius(&config)?;
        let listener = bind_tcp("status", config.status.listen).await?;
        let (radius_auth, radius_acct) = sockets.addresses();
        let status = address_of(&listener);

        let mut sites = Vec::new();
        let mut left_out = Vec::new();
        for name in names(&config.data_dir) {
            let mut own = config.clone();
            own.data_dir = folder(&config.data_dir, &name);
            let (clock, entropy) = (clock.clone(), entropy.clone());
            let opened = Served::start(
                own,
                clock,
                entropy,
                Source::Enrolled,
                radius_auth.ip(),
                Place::Hosted,
            )
            .await;
            match opened {
                Ok(served) => sites.push((name, served)),
                Err(cause) => {
                    error!(%cause, "Cannot serve site {name}: {cause}");
                    left_out.push((name, cause.to_string()));
                }
            }
        }

        let asked = Arc::new(AtomicUsize::new(0));
        let answering = sites.iter().map(|(_, site)| site.radius.clone());
        let places = Arc::new(Places::new(answering.collect(), asked.clone()));
        let strangers = Arc::new(Strangers::new(places.count()));
        let server = SharedServer::start(&places, &strangers, sockets, workers());
        let server = server.map_err(|cause| StartError::Port {
            section: "radius",
            address: radius_auth,
            cause,
        })?;
        let overviews = |(name, site): &(String, Served)| (name.clone(), site.overview.clone());
        let shared = Arc::new(Shared {
            sites: sites.iter().map(overviews).collect(),
            left_out,
            strangers,
        });
        let watch = |(_, site): &(String, Served)| Watch {
            radius: site.radius.clone(),
            outbox: site.overview.outbox.clone(),
        };
        let watches = sites.iter().map(watch).collect();
        let watched = watch_over(watches, radius_auth, asked, &entropy)?;
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(status::serve_shared(
            listener,
            shared.clone(),
            cancel.clone(),
        ));
        tasks.close();
        info!(
            "Answers RADIUS for {} sites on {radius_auth} and {radius_acct}, tells its state on {status}",
            sites.len()
        );
        Ok(Hosted {
            radius_auth,
            radius_acct,
            status,
            sites,
            shared,
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

    /// Where the status page is.
    pub fn status(&self) -> SocketAddr {
        self.status
    }

    /// What a site knows and does.
    pub fn overview(&self, name: &str) -> Option<&Arc<Overview>> {
        let found = self.sites.iter().find(|(held, _)| held == name);
        found.map(|(_, site)| &site.overview)
    }

    /// Takes what a site's cloud would send.
    #[cfg(test)]
    pub(crate) fn feed(&self, name: &str) -> Option<&Arc<crate::local::Feed>> {
        let found = self.sites.iter().find(|(held, _)| held == name);
        found.map(|(_, site)| &site.feed)
    }

    /// How many datagrams came from a source that no site knows.
    pub fn unknown_datagrams(&self) -> u64 {
        self.shared.report().unknown_datagrams
    }

    /// What the watchdog looks at.
    pub fn watched(&self) -> &Arc<Watched> {
        &self.watched
    }

    /// Stops: no new requests, then each site in order.
    pub async fn stop(self) {
        self.cancel.cancel();
        let server = self.server;
        let _ended = tokio::task::spawn_blocking(move || server.stop()).await;
        for (_, site) in self.sites {
            site.stop().await;
        }
        self.tasks.wait().await;
        info!("Stopped");
    }
}

/// The folder of one site.
pub fn folder(data_dir: &Path, name: &str) -> PathBuf {
    data_dir.join("sites").join(name)
}

/// Whether `name` may be a site's folder: letters, digits, dashes and underscores.
pub fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= 64 && name.chars().all(plain)
}

/// The sites that have a folder, by name.
pub(crate) fn names(data_dir: &Path) -> Vec<String> {
    let Ok(found) = std::fs::read_dir(data_dir.join("sites")) else {
        return Vec::new();
    };
    let names = found.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| is_name(name)).collect();
    names.sort_unstable();
    names
}
