//! One site in service: its core with everything that runs around it but the sockets, which a process
//! of many sites shares.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::CustomerId;
use easyisp_shared::time::Clock;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;
use uuid::Uuid;

use crate::access::{self, Access};
use crate::config::Config;
use crate::configurations::{self, Keeper};
use crate::core::{Core, CoreOptions};
use crate::enforce::{self, Enforcer};
use crate::lines::{self, Lead, Lines};
use crate::local::{Feed, Load, LocalSite, Questions};
use crate::neighbours::Neighbours;
use crate::peers::{self, Peers};
use crate::radius::driver::Radius;
use crate::radius::eap::Authority;
use crate::radius::shadow;
use crate::radius::{Agree, AskCloud};
use crate::reconcile::{self, Reconciler};
use crate::routeros::{Pins, RouterApis};
use crate::sessions::LineCounter;
use crate::site::{Ranges, Site};
use crate::snmp::{self, Poller};
use crate::status::Overview;
use crate::status::unlock::Unlocker;
use crate::store::{Job, Outbox, OutboxReader, StoreError, StoreGuard};
use crate::sync::{Asker, Identity, Link, LinkConfig, Patience};
use crate::syslog::{self, Syslog};
use crate::upstream::{self, Upstream};
use crate::wizard::{self, Wizard};
use crate::{Source, StartError, VERSION, housekeeping};

/// A site in service.
pub(crate) struct Served {
    /// Answers its datagrams.
    pub radius: Arc<Radius>,
    /// What it knows and does.
    pub overview: Arc<Overview>,
    /// Takes what the cloud sends.
    pub feed: Arc<Feed>,
    /// Hears the routers around.
    pub neighbours: Arc<Neighbours>,
    /// Hears what routers write to their logs.
    pub syslog: Arc<Syslog>,
    /// Signs for tunnels and for routers.
    pub authority: Option<Arc<Authority>>,
    cancel: CancellationToken,
    tasks: TaskTracker,
    link: Option<Link>,
    guard: StoreGuard,
}

impl Served {
    /// Opens the files in the folder of `config`, loads the site, and serves it. Its commands to routers
    /// leave from `local`, the address that they know.
    pub async fn start(
        config: Config,
        clock: Clock,
        entropy: Entropy,
        source: Source,
        local: IpAddr,
        place: Place,
    ) -> Result<Served, StartError> {
        let (identity, key, load) = match source {
            Source::Enrolled => {
                let identity = Identity::load(&config.identity_folder())?;
                let key = identity.site_key.clone();
                (Some(identity), key, Load::default())
            }
            Source::Described { rows, key } => (None, key, Load { rows }),
        };
        let options = CoreOptions {
            data_dir: config.data_dir.clone(),
            ranges: config.site.ranges.clone(),
            adopts: matches!(place, Place::AtSite { .. }),
            clock: clock.clone(),
            entropy: entropy.clone(),
            key,
            agent: identity.as_ref().map(|identity| identity.agent),
            load,
        };
        let core = blocking(move || Core::open(options)).await?;
        if identity.is_none() {
            core.site.begin_abreast(); // a file says all that there is
        }
        if config.store.save_wear {
            core.outbox.save_wear();
        }
        let line_counters = core.reader.line_counters()?;
        let away = housekeeping::away(&core.reader, &core.clock)?;
        let ranges = Ranges::new(config.site.ranges.clone());
        let apis = RouterApis::new(ranges, pins(&core.reader, &core.outbox)?);
        let apis = apis.of_site(core.site.clone());
        let outside = Outside {
            apis: Arc::new(apis),
            local,
            place,
            line_counters,
            away,
        };
        Ok(Served::around(
            core, outside, config, clock, entropy, identity,
        ))
    }

    fn around(
        core: Core,
        outside: Outside,
        config: Config,
        clock: Clock,
        entropy: Entropy,
        identity: Option<Identity>,
    ) -> Served {
        let Outside {
            apis,
            local,
            place,
            line_counters,
            away,
        } = outside;
        let hosted = matches!(place, Place::Hosted);
        let known = identity
            .as_ref()
            .map(|identity| housekeeping::authority::Known {
                site: identity.site,
                key: identity.site_key.clone(),
                identity: config.identity_folder(),
            });
        let (listener, heard, logs) = match place {
            Place::Hosted => (None, None, None),
            Place::AtSite {
                peers,
                neighbours,
                syslog,
            } => (peers, neighbours, syslog),
        };
        let Core {
            site,
            sessions,
            owed_cuts,
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
            touched,
            touches,
            moved_aside,
            guard,
        } = core;
        let enforcer = Enforcer::new(enforce::Parts {
            site: site.clone(),
            sessions: sessions.clone(),
            timers,
            clock: site_clock.clone(),
            pace: Clock::system(),
            entropy: entropy.clone(),
            timeline: timeline.clone(),
            radius: radius.clone(),
            apis: apis.clone(),
            local,
            owed_cuts,
        });
        let lines = Lines::new(
            lines::Parts {
                site: site.clone(),
                sessions: sessions.clone(),
                radius: radius.clone(),
                apis: apis.clone(),
                clock: site_clock.clone(),
                away,
            },
            line_counters,
        );
        let (hearing, touched) = lines.hear(touched);
        let reconciler = Reconciler::new(reconcile::Parts {
            site: site.clone(),
            sessions: sessions.clone(),
            radius: radius.clone(),
            apis: apis.clone(),
            clock: site_clock.clone(),
        });
        if config.cloud.metered {
            radius.keep_logins_here();
        }
        let cancel = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(radius.clone().send_held(cancel.clone()));
        tasks.spawn(enforcer.clone().run(touched, cancel.clone()));
        let deaf = cancel.clone();
        tasks.spawn(async move {
            deaf.run_until_cancelled(hearing).await;
        });
        tasks.spawn(reconciler.clone().run(cancel.clone()));
        let keeper = Keeper::new(configurations::Parts {
            site: site.clone(),
            radius: radius.clone(),
            apis: apis.clone(),
            clock: site_clock.clone(),
            metered: config.cloud.metered,
        });
        tasks.spawn(keeper.clone().run(cancel.clone()));
        let poller = Poller::new(
            snmp::poller::Parts {
                site: site.clone(),
                radius: radius.clone(),
                clock: site_clock.clone(),
                counters: counters.clone(),
                entropy: entropy.clone(),
                ranges: Ranges::new(config.site.ranges.clone()),
                local,
                metered: config.cloud.metered,
            },
            cancel.clone(),
        );
        tasks.spawn(poller.clone().run());
        let ranges = Ranges::new(config.site.ranges.clone());
        let neighbours = Neighbours::new(heard, ranges, Clock::system());
        tasks.spawn(neighbours.clone().listen(cancel.clone()));
        let upstream = Upstream::new(site_clock.clone());
        if !hosted && !config.cloud.metered {
            let hosts = upstream::askable(&config.upstream.hosts, local);
            tasks.spawn(upstream.clone().watch(hosts, cancel.clone()));
        }
        let parts = syslog::Parts {
            site: site.clone(),
            outbox: outbox.clone(),
            reader: reader.clone(),
            clock: site_clock.clone(),
            counters: counters.clone(),
            metered: config.cloud.metered,
        };
        let syslog = Syslog::new(parts, logs);
        let access = Access::new(access::Parts {
            config: config.access.clone(),
            metered: config.cloud.metered,
            ranges: Ranges::new(config.site.ranges.clone()),
            enforcer: enforcer.clone(),
            clock: site_clock.clone(),
        });
        tasks.spawn(access.clone().run(cancel.clone()));
        let old_servers = shadow::Driver::new(radius.clone(), site_clock.clone(), local);
        tasks.spawn(old_servers.run(cancel.clone()));
        let unlocker = Unlocker::new(site.clone(), outbox.clone(), site_clock.clone(), touches);
        let wizard = Wizard::open(wizard::Parts {
            site: site.clone(),
            outbox: outbox.clone(),
            reader: reader.clone(),
            apis: apis.clone(),
            enforcer: enforcer.clone(),
            clock: site_clock.clone(),
            entropy: entropy.clone(),
            data_dir: config.data_dir.clone(),
            listen: config.wizard.listen,
            announce: config.peers.announce,
            hosted,
        });
        tasks.spawn(wizard.clone().run(cancel.clone()));
        let addresses = announced(&config, listener.as_ref(), &site);
        let link = identity.clone().map(|identity| {
            let local_site = LocalSite {
                feed: feed.clone(),
                outbox: outbox.clone(),
                reader: reader.clone(),
                commits,
                clock: site_clock.clone(),
                questions: Questions {
                    enforcer,
                    reconciler,
                    apis,
                    keeper,
                    poller,
                    neighbours: neighbours.clone(),
                    access: access.clone(),
                    unknown: unknown.clone(),
                    timeline: timeline.clone(),
                    radsec: authority.clone().filter(|_| config.radius.radsec.is_some()),
                },
                epoch: Mutex::new(Uuid::nil()),
                generation: identity.generation(),
                metered: config.cloud.metered,
                prefixes: AtomicBool::new(false),
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
                metered: config.cloud.metered,
                addresses,
            };
            Link::start(link_config, identity, Arc::new(local_site))
        });
        if let Some(link) = &link {
            radius.ask_through(ask_cloud(link.asker(), &tasks, &cancel));
        }
        let mut peers = None;
        if let (Some(identity), Some(link), Some(listener)) = (identity, &link, listener) {
            let met = Peers::new(peers::Parts {
                identity,
                site: site.clone(),
                sessions: sessions.clone(),
                outbox: outbox.clone(),
                lines: lines.clone(),
                clock: site_clock.clone(),
                ranges: Ranges::new(config.site.ranges.clone()),
                cloud: link.asker(),
                link: link.status(),
            });
            match met {
                Ok(met) => {
                    radius.agree_through(agree(&met, &tasks, &cancel));
                    tasks.spawn(met.clone().run(listener, cancel.clone()));
                    lines.led_by(lead(&met));
                    syslog.led_by(first_of(&met, &site));
                    peers = Some(met);
                }
                Err(cause) => warn!(%cause, "The site's other agents cannot be met"),
            }
        }
        // Who leads is known before anything is counted: a box that boots takes itself for the only one else.
        tasks.spawn(lines.clone().run(cancel.clone()));
        tasks.spawn(syslog.clone().run(cancel.clone()));
        let began = site_clock.monotonic();
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
            peers,
            upstream,
            moved_aside,
            unlocker,
            wizard,
            access,
            data_dir: config.data_dir,
            metered: config.cloud.metered,
            hosted,
            began,
        });
        if let (Some(link), Some(known), false) = (&link, known, hosted) {
            tasks.spawn(housekeeping::authority::run(
                overview.clone(),
                known,
                link.asker(),
                cancel.clone(),
            ));
        }
        if let Some(link) = &link {
            tasks.spawn(housekeeping::condition::run(
                overview.clone(),
                link.asker(),
                cancel.clone(),
            ));
        }
        tasks.spawn(housekeeping::run(
            overview.clone(),
            radius.clone(),
            cancel.clone(),
        ));
        tasks.close();
        Served {
            radius,
            overview,
            feed,
            neighbours,
            syslog,
            authority,
            cancel,
            tasks,
            link,
            guard,
        }
    }

    /// Stops, once nothing hands it datagrams any more: the link, then what waits is written, then the
    /// files are closed.
    pub async fn stop(self) {
        self.cancel.cancel();
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
    }
}

/// What a site has to do with outside its files.
struct Outside {
    apis: Arc<RouterApis>,
    /// Where its RADIUS sockets are.
    local: IpAddr,
    place: Place,
    /// How far queues of lines had counted.
    line_counters: Vec<(CustomerId, LineCounter)>,
    /// How long the agent was off.
    away: Duration,
}

/// Where an agent stands.
pub(crate) enum Place {
    /// At its site.
    AtSite {
        /// Where it hears the site's other agents.
        peers: Option<TcpListener>,
        /// Where it hears the routers around.
        neighbours: Option<UdpSocket>,
        /// Where it hears what routers write to their logs.
        syslog: Option<UdpSocket>,
    },
    /// In a process of many sites, across a WAN from it.
    Hosted,
}

/// Has a first use written down by another too, on the runtime: RADIUS has threads of its own.
fn agree(peers: &Arc<Peers>, tasks: &TaskTracker, cancel: &CancellationToken) -> Box<Agree> {
    let runtime = tokio::runtime::Handle::current();
    // They hold the lines, which hold RADIUS, which holds this.
    let (peers, tasks, cancel) = (Arc::downgrade(peers), tasks.clone(), cancel.clone());
    Box::new(move |used, router, read| {
        let Some(peers) = peers.upgrade() else {
            return; // the agent stops
        };
        let stop = cancel.clone();
        tasks.spawn_on(
            async move { peers.spend(used, router, read, &stop).await },
            &runtime,
        );
    })
}

/// Of the agents that reach each other one keeps the lines.
fn lead(peers: &Arc<Peers>) -> Box<lines::Leads> {
    let peers = Arc::downgrade(peers);
    Box::new(move || peers.upgrade().map_or(Lead::No, |peers| peers.lead()))
}

/// Of the agents that reach each other the first one hears what routers write to their logs.
fn first_of(peers: &Arc<Peers>, site: &Arc<Site>) -> Box<syslog::Leads> {
    let (peers, me) = (peers.clone(), site.agent());
    Box::new(move || peers.in_touch().into_iter().all(|other| me < Some(other)))
}

/// Where the site's other agents find this one.
fn announced(
    config: &Config,
    listener: Option<&TcpListener>,
    site: &Arc<Site>,
) -> Arc<dyn Fn() -> Vec<SocketAddr> + Send + Sync> {
    let listen = listener.and_then(|listener| listener.local_addr().ok());
    let (announce, site) = (config.peers.announce, site.clone());
    Arc::new(move || match (announce, listen) {
        (Some(announce), Some(_)) => vec![announce],
        (None, Some(listen)) => peers::addresses(listen, &site),
        (_, None) => Vec::new(),
    })
}

/// Asks the cloud on the runtime that runs the link; RADIUS has threads of its own.
fn ask_cloud(asker: Asker, tasks: &TaskTracker, cancel: &CancellationToken) -> Box<AskCloud> {
    let runtime = tokio::runtime::Handle::current();
    let (tasks, cancel) = (tasks.clone(), cancel.clone());
    Box::new(move |question, within, done| {
        let (asker, stop) = (asker.clone(), cancel.clone());
        let asked = async move {
            let answer = stop.run_until_cancelled(asker.ask(question, within)).await;
            // Nobody is answered any more by an agent that stops: the router asks another one.
            if let Some(answer) = answer {
                done(answer);
            }
        };
        tasks.spawn_on(asked, &runtime);
    })
}

/// The certificates of routers' APIs, kept among the outbox's small facts.
fn pins(reader: &OutboxReader, outbox: &Outbox) -> Result<Pins, StoreError> {
    let outbox = outbox.clone();
    Ok(Pins::new(reader.marks(PINS)?, move |pin| {
        let kept = outbox.submit(Job::Mark {
            name: format!("{PINS}{pin}"),
            value: 1,
            done: Box::new(|_| {}),
        });
        if kept.is_err() {
            warn!("A router's certificate could not be noted; it is met again after a restart");
        }
    }))
}

async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(run).await;
    done.map_err(|_| StoreError::Closed)?
}

/// What the names of those facts begin with.
const PINS: &str = "pin/";
