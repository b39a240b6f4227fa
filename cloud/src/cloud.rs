//! A whole cloud as one value: started and stopped by `main`, by stories and by the demo, as many in one
//! process as one likes.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::expiry::{Nearness, nearness};
use easyisp_shared::time::{Clock, Timestamp};
use secrecy::ExposeSecret;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Limits};
use crate::auth::SignIn;
use crate::config::Config;
use crate::db::cluster::{self, Cluster, ClusterError, Role};
use crate::db::{self, CLOCK_COMPARED_EVERY, Database};
use crate::health::Description;
use crate::mail::Mail;
use crate::messaging::Sender;
use crate::metrics::Metrics;
use crate::nodes::Nodes;
use crate::payments::Payments;
use crate::secrets::Secrets;
use crate::sync::{Agents, Carrier, Door, DoorConfig, OwnCertificate, PATIENCE};
use crate::webhooks::Hooks;
use crate::{App, sites};

/// What a cloud is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Settings.
    pub config: Config,
    /// What time it is.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Entropy,
    /// Where the data is.
    pub database: DatabaseSource,
}

/// Where the data is.
#[derive(Clone)]
pub enum DatabaseSource {
    /// As configured: a server, or a private cluster that keeps what it commits.
    Configured,
    /// A private cluster run in another way: for tests and demos.
    Private(cluster::Options),
    /// A database whose connections somebody else knows: for tests.
    Given {
        /// The application role's.
        app: Box<PgConnectOptions>,
        /// The owning role's.
        owner: Box<PgConnectOptions>,
    },
    /// Connections of [`db::open_pool`] to a database whose schema is up to date. They stay open when the
    /// cloud stops: for a simulation, whose clouds live for a second.
    Lent(PgPool),
}

impl std::fmt::Debug for DatabaseSource {
    /// Without what the connections are made with: passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DatabaseSource::Configured => f.write_str("Configured"),
            DatabaseSource::Private(options) => write!(f, "Private({options:?})"),
            DatabaseSource::Given { .. } => f.write_str("Given(…)"),
            DatabaseSource::Lent(_) => f.write_str("Lent(…)"),
        }
    }
}

impl Options {
    /// With these settings, the system's clock and randomness, and the database they name.
    pub fn new(config: Config) -> Options {
        Options {
            config,
            clock: Clock::system(),
            entropy: Entropy::system(),
            database: DatabaseSource::Configured,
        }
    }
}

/// The database, reachable, and the cluster it is in where that is our own.
pub struct Store {
    cluster: Option<Cluster>,
    access: Access,
}

enum Access {
    /// How both roles connect.
    Own {
        app: Box<PgConnectOptions>,
        owner: Box<PgConnectOptions>,
    },
    /// Somebody else's connections.
    Lent(PgPool),
}

impl Store {
    /// Starts the private cluster where there is to be one.
    pub async fn open(config: &Config, source: &DatabaseSource) -> anyhow::Result<Store> {
        let private = match (source, &config.database.url) {
            (DatabaseSource::Given { app, owner }, _) => {
                return Ok(Store::of(None, (**app).clone(), (**owner).clone()));
            }
            (DatabaseSource::Lent(pool), _) => {
                return Ok(Store {
                    cluster: None,
                    access: Access::Lent(pool.clone()),
                });
            }
            (DatabaseSource::Configured, Some(url)) => {
                let read = |url: &str, key| {
                    PgConnectOptions::from_str(url)
                        .with_context(|| format!("[database] {key} is not a postgres:// address"))
                };
                let app = read(url.expose_secret(), "url")?;
                let owner = match &config.database.migrate_url {
                    Some(url) => read(url.expose_secret(), "migrate_url")?,
                    None => app.clone().username(Role::Owner.name()),
                };
                return Ok(Store::of(None, app, owner));
            }
            (DatabaseSource::Configured, None) => cluster::Options::default(),
            (DatabaseSource::Private(options), _) => *options,
        };
        let cluster = Cluster::start(&config.data_dir, private).await?;
        let (app, owner) = (cluster.options(Role::App), cluster.options(Role::Owner));
        Ok(Store::of(Some(cluster), app, owner))
    }

    fn of(cluster: Option<Cluster>, app: PgConnectOptions, owner: PgConnectOptions) -> Store {
        let (app, owner) = (Box::new(app), Box::new(owner));
        Store {
            cluster,
            access: Access::Own { app, owner },
        }
    }

    /// Brings the schema up to date; returns how many migrations there are. None where it is up to date by
    /// the lender's word.
    pub async fn migrate(&self) -> anyhow::Result<usize> {
        match &self.access {
            Access::Own { owner, .. } => Ok(db::migrate((**owner).clone()).await?),
            Access::Lent(_) => Ok(0),
        }
    }

    /// Connects as the application role.
    pub async fn connect(
        &self,
        config: &Config,
        secrets: &Secrets,
        entropy: &Entropy,
    ) -> anyhow::Result<Database> {
        let connections = config.database.connections.get();
        let (entropy, projectors) = (entropy.clone(), crate::projectors(secrets));
        let db = match &self.access {
            Access::Own { app, .. } => {
                Database::connect((**app).clone(), connections, entropy, projectors).await?
            }
            Access::Lent(pool) => Database::over(pool.clone(), entropy, projectors).await?,
        };
        Ok(db)
    }

    /// The same for what an administrator does while a server may be running: then its cluster is used.
    pub async fn open_beside(config: &Config) -> anyhow::Result<Store> {
        let error = match Store::open(config, &DatabaseSource::Configured).await {
            Ok(store) => return Ok(store),
            Err(error) => error,
        };
        let in_use = matches!(error.downcast_ref(), Some(ClusterError::InUse(_)));
        match cluster::socket_of_running(&config.data_dir) {
            Some(socket) if in_use => {
                let of = |role| cluster::connect_options(&socket, role, cluster::DATABASE);
                Ok(Store::of(None, of(Role::App), of(Role::Owner)))
            }
            Some(_) | None => Err(error),
        }
    }

    /// Stops the private cluster, if there is one.
    pub async fn close(self) -> anyhow::Result<()> {
        if let Some(cluster) = self.cluster {
            cluster.stop().await?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Store {
    /// Without the connections' passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

/// A running cloud.
pub struct Cloud {
    /// Where HTTP is served.
    pub http_addr: SocketAddr,
    /// Where agents connect.
    pub agents_addr: SocketAddr,
    /// Where `/metrics` is.
    pub metrics_addr: SocketAddr,
    /// What handlers see: for seeds and stories.
    pub app: App,
    door: Door,
    store: Store,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Cloud {
    /// Starts everything and returns when it serves.
    pub async fn start(options: Options) -> anyhow::Result<Cloud> {
        let Options {
            mut config,
            clock,
            entropy,
            database,
        } = options;
        // The process's one provider of cryptography; whoever came first installed the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = Store::open(&config, &database).await?;
        store.migrate().await?;
        let secrets = Secrets::from_file(&config.master_key_file(), entropy.clone())?;
        let db = store.connect(&config, &secrets, &entropy).await?;
        db.ensure_partitions(clock.now()).await?;
        let standing = sites::agents::standing(&db, &secrets, clock.now()).await?;

        let agents = Agents::default();
        let nodes = Nodes::new(db.clone(), clock.clone(), &secrets, agents.clone());
        let door = Door::open(DoorConfig {
            listen: config.agents.listen,
            tcp: config.agents.tcp(),
            most_agents: config.limits.agents.get() as usize,
            patience: PATIENCE,
            db: db.clone(),
            secrets: secrets.clone(),
            standing: standing.clone(),
            appliers: crate::appliers(&secrets),
            clock: clock.clone(),
            agents: agents.clone(),
            questions: nodes.questions(),
        })
        .await
        .context("[agents] listen")?;
        let agents_addr = door.address()?;
        let http = bind(config.http.listen, "[http] listen").await?;
        let http_addr = http.local_addr()?;
        let metrics_socket = bind(config.metrics.listen, "[metrics] listen").await?;
        let metrics_addr = metrics_socket.local_addr()?;
        let for_nodes = match config.nodes.listen {
            Some(listen) => Some(bind(listen, "[nodes] listen").await?),
            None => None,
        };
        // Port 0 was a wish; from here on the settings say where we are.
        config.agents.listen = agents_addr;
        config.http.listen = http_addr;
        config.metrics.listen = metrics_addr;
        if let Some(socket) = &for_nodes {
            config.nodes.listen = Some(socket.local_addr()?);
        }

        let mail = Mail::new(&config.smtp)?;
        let app = App {
            sign_in: SignIn::new(&secrets, &config.limits, entropy.clone()),
            limits: Limits::new(&config.limits),
            metrics: Metrics::new(),
            description: Description::default(),
            questions: nodes.questions(),
            live: sites::Live::new(Arc::new(nodes.clone()), db.clone()),
            access: crate::access::Desk::new(
                db.clone(),
                clock.clone(),
                entropy.clone(),
                nodes.clone(),
                config.access.clone(),
            ),
            agents,
            own: door.own(),
            payments: Payments::new(&config, db.clone(), clock.clone(), secrets.clone()),
            sender: Sender::new(&config.sms, mail.clone(), db.clone(), clock.clone())?,
            mail,
            hooks: Hooks::new(&config.webhooks, db.clone(), clock.clone(), secrets.clone())?,
            fiscal: crate::fiscal::Door::new(
                db.clone(),
                clock.clone(),
                secrets.clone(),
                config.fiscal.base_url.clone(),
            ),
            standing,
            db,
            clock,
            secrets,
            entropy,
            config: Arc::new(config),
        };
        let stop = CancellationToken::new();
        let listener = api::Listener {
            socket: http,
            connections: app.config.limits.connections.get() as usize,
            per_network: app.config.limits.connections_per_address.get() as usize,
        };
        let for_metrics = api::Listener {
            socket: metrics_socket,
            connections: 64,
            per_network: 64,
        };
        let mut tasks = vec![
            tokio::spawn(api::serve(listener, router(&app)?, stop.clone())),
            tokio::spawn(api::serve(for_metrics, metrics_router(&app), stop.clone())),
            tokio::spawn(crate::jobs(&app).run(app.db.clone(), app.clock.clone(), stop.clone())),
            tokio::spawn(crate::providers(&app).run(
                app.db.clone(),
                app.clock.clone(),
                stop.clone(),
            )),
            tokio::spawn(crate::messages(&app).run(
                app.db.clone(),
                app.clock.clone(),
                stop.clone(),
            )),
            tokio::spawn(crate::deliveries(&app).run(
                app.db.clone(),
                app.clock.clone(),
                stop.clone(),
            )),
            tokio::spawn(housekeeping(app.clone(), stop.clone())),
            tokio::spawn(app.db.clone().watch_clock(
                app.clock.clone(),
                CLOCK_COMPARED_EVERY,
                stop.clone(),
            )),
            tokio::spawn(app.db.clone().number_left(stop.clone())),
            tokio::spawn(app.access.clone().run(stop.clone())),
        ];
        if let (Some(socket), Some(address)) = (for_nodes, app.config.nodes.reached_at()) {
            let listener = api::Listener {
                socket,
                connections: 256,
                per_network: 256,
            };
            let asked = crate::nodes::router(nodes.clone());
            tasks.push(tokio::spawn(api::serve(listener, asked, stop.clone())));
            tasks.push(tokio::spawn(nodes.run(address, stop.clone())));
            tasks.push(tokio::spawn(app.db.clone().share_wakes(stop.clone())));
        }
        Ok(Cloud {
            http_addr,
            agents_addr,
            metrics_addr,
            app,
            door,
            store,
            stop,
            tasks,
        })
    }

    /// Connects an agent over a carrier of the caller's own: for tests.
    pub fn connect(&self, carrier: Arc<dyn Carrier>) {
        self.door.let_in(carrier);
    }

    /// Stops taking requests, lets those under way finish, sees agents off, closes the database.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        for task in self.tasks {
            task.await?;
        }
        self.app.payments.stopped().await;
        self.door.close().await;
        match self.store.access {
            Access::Own { .. } => self.app.db.close().await,
            Access::Lent(_) => {}
        }
        self.store.close().await
    }
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cloud({})", self.http_addr)
    }
}

/// Every route with its guard, inside what all requests share.
pub fn router(app: &App) -> anyhow::Result<axum::Router> {
    let layers = (crate::auth::guard as _, crate::exports::as_file as _);
    let (router, description) = crate::routes().build(app.clone(), layers, crate::description());
    app.description
        .0
        .set(description.to_json()?)
        .map_err(|_| anyhow::anyhow!("the routes of one cloud are built once"))?;
    let commons = api::Commons {
        allowed_origins: app.config.http.allowed_origins.clone(),
        trusted_proxies: app.config.http.trusted_proxies.clone(),
        entropy: app.entropy.clone(),
        metrics: app.metrics.clone(),
    };
    Ok(api::commons(router, commons))
}

fn metrics_router(app: &App) -> axum::Router {
    let app = app.clone();
    let text = move || {
        let app = app.clone();
        async move {
            let (open, idle) = app.db.connections();
            app.metrics.database(open, idle);
            let moved = app.agents.traffic();
            app.metrics.link(moved.sent, moved.received);
            let (authority, link) = app.own.ends();
            app.metrics.certificates(authority, link);
            const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            (
                [(axum::http::header::CONTENT_TYPE, FORMAT)],
                app.metrics.text(),
            )
        }
    };
    axum::Router::new().route("/metrics", axum::routing::get(text))
}

async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{key}: cannot listen on {address}"))
}

/// What a node does for itself every minute; failures wait for the next.
async fn housekeeping(app: App, stop: CancellationToken) {
    const MINUTE: Duration = Duration::from_secs(60);
    let mut said = [None; 2];
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.clock.sleep(MINUTE) => {}
        }
        app.limits.forget_quiet();
        let now = app.clock.now();
        warn_of_ends(&app.own, &mut said, now);
        let tidied = async {
            app.db.ensure_partitions(now).await?;
            app.metrics
                .unproved(crate::ledger::count_unproved(&app.db).await?);
            crate::auth::forget_sessions(&app.db, now).await
        };
        if let Err(error) = tidied.await {
            tracing::warn!(%error, "Cannot tidy up: {error}");
        }
    }
}

/// Says in the log, once for each step, that what agents know us by comes to its end (I5). The certificate of the
/// door renews itself 45 days before; the authority is replaced by a person.
fn warn_of_ends(own: &OwnCertificate, said: &mut [Option<Nearness>; 2], now: Timestamp) {
    let (authority, link) = own.ends();
    let ends = [
        (
            authority,
            "authority",
            "replace it: easyisp-cloud authority announce",
        ),
        (
            link,
            "certificate of the agents' door",
            "look above for why it is not renewed",
        ),
    ];
    for ((ends, what, remedy), said) in ends.into_iter().zip(said) {
        let near = ends.and_then(|ends| nearness(ends, now));
        if let Some(ends) = ends.filter(|_| near > *said) {
            match near {
                Some(Nearness::Week | Nearness::Over) => {
                    tracing::error!("The {what} ends at {ends}; {remedy}");
                }
                Some(Nearness::Month | Nearness::Fortnight) | None => {
                    tracing::warn!("The {what} ends at {ends}; {remedy}");
                }
            }
        }
        *said = near;
    }
}
