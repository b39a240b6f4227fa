//! The ways that are open at this node: their ports, what goes through them, and their end.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{AccessGrantId, AgentId, SiteId, TenantId};
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::access::CONNECTIONS;
use easyisp_shared::wire::question::{AskFailure, Question, Reply};
use rustls::ServerConfig;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::carry::{Meter, carry};
use super::page::Page;
use super::store::{self, Grant, Moved};
use super::tls;
use super::words::Closed;
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::sessions::{self, SignedIn};
use crate::config::AccessConfig;
use crate::db::Database;
use crate::error::ApiError;
use crate::nodes::{Nodes, Place};
use crate::permission::Permission;
use crate::sync::Pipe;

/// The ways of this node. Cloning shares them.
#[derive(Clone)]
pub struct Desk {
    inner: Arc<Inner>,
}

struct Inner {
    db: Database,
    clock: Clock,
    entropy: Entropy,
    nodes: Nodes,
    config: AccessConfig,
    open: Mutex<HashMap<AccessGrantId, Arc<Way>>>,
    /// Closed, and not written down yet: as many as were open when the database went away.
    owed: Mutex<Vec<Over>>,
    opened: Notify,
    tasks: TaskTracker,
}

/// A way that is open.
pub(super) struct Way {
    tenant: TenantId,
    pub(super) grant: Grant,
    opened: Opened,
    pub(super) meter: Meter,
    connections: AtomicI64,
    turns: Semaphore,
    stop: CancellationToken,
}

/// By whom a way was opened, and how it is used.
pub(super) struct Opened {
    /// By what who opened it is known to be signed in still.
    pub(super) signed_in: SignedIn,
    pub(super) from: IpAddr,
    /// None where octets are passed on as they are.
    pub(super) page: Option<Page>,
}

/// A way that was closed.
struct Over {
    way: Arc<Way>,
    why: Closed,
    actor: Actor,
    at: Timestamp,
    moved: Moved,
}

impl Desk {
    /// None is open.
    pub fn new(
        db: Database,
        clock: Clock,
        entropy: Entropy,
        nodes: Nodes,
        config: AccessConfig,
    ) -> Desk {
        Desk {
            inner: Arc::new(Inner {
                db,
                clock,
                entropy,
                nodes,
                config,
                open: Mutex::default(),
                owed: Mutex::default(),
                opened: Notify::new(),
                tasks: TaskTracker::new(),
            }),
        }
    }

    /// Where operators come in; 409 where nobody said.
    pub(super) fn place(&self) -> Result<IpAddr, ApiError> {
        self.inner.config.listen.ok_or_else(|| {
            ApiError::conflict(
                "ACCESS_NOT_SET_UP",
                "This server opens no ways to devices: [access] listen in its configuration says where operators \
                 come in",
            )
        })
    }

    /// What operators call that place: a name of this way's own, that begins with `tag`, where there are such.
    pub(super) fn host(&self, place: IpAddr, tag: &str) -> String {
        match self.inner.config.host.as_deref() {
            None => place.to_string(),
            Some(named) => match named.strip_prefix("*.") {
                Some(rest) => format!("{tag}.{rest}"),
                None => named.to_owned(),
            },
        }
    }

    /// Whether all ways have one name.
    pub(super) fn has_one_name(&self) -> bool {
        let named = self.inner.config.host.as_deref();
        !named.is_some_and(|named| named.starts_with("*."))
    }

    /// TLS towards browsers, where there is a certificate; 503 where it cannot be used.
    pub(super) async fn tls(&self) -> Result<Option<Arc<ServerConfig>>, ApiError> {
        let AccessConfig {
            certificate, key, ..
        } = &self.inner.config;
        let Some((certificate, key)) = certificate.as_deref().zip(key.as_deref()) else {
            return Ok(None);
        };
        let read = tls::towards_browsers(certificate, key).await;
        read.map(Some).map_err(|error| {
            warn!(
                error = format!("{error:#}"),
                "Cannot use the certificate of [access]: {error:#}"
            );
            ApiError::Unavailable {
                message:
                    "The certificate for pages of devices cannot be used; the server's log says why"
                        .to_owned(),
            }
        })
    }

    /// A port that nobody has, of those that are for this; any of them, so that nobody knows the next.
    pub(super) async fn bind(&self, place: IpAddr) -> Result<TcpListener, ApiError> {
        let (first, last) = self.inner.config.ports;
        let many = u32::from(last.saturating_sub(first)) + 1;
        let begin = u32::from_be_bytes(self.inner.entropy.bytes()) % many;
        for step in 0..many {
            let port = u32::from(first) + (begin + step) % many;
            let port = u16::try_from(port).unwrap_or(first);
            if let Ok(listener) = TcpListener::bind(SocketAddr::new(place, port)).await {
                return Ok(listener);
            }
        }
        Err(ApiError::Unavailable {
            message: "Every port of [access] ports is in use; close a way that is not needed"
                .to_owned(),
        })
    }

    /// Serves a way that the agent opened and that was written down.
    pub(super) fn open(
        &self,
        tenant: TenantId,
        grant: Grant,
        opened: Opened,
        listener: TcpListener,
    ) {
        let way = Arc::new(Way {
            tenant,
            opened,
            meter: Meter::new(),
            connections: AtomicI64::new(0),
            turns: Semaphore::new(CONNECTIONS),
            stop: CancellationToken::new(),
            grant,
        });
        self.lock().insert(way.grant.id, way.clone());
        self.inner.opened.notify_one();
        let desk = self.clone();
        self.inner.tasks.spawn(async move {
            let listening = desk.listen(&listener, &way);
            way.stop.run_until_cancelled(listening).await;
        });
    }

    async fn listen(&self, listener: &TcpListener, way: &Arc<Way>) {
        loop {
            match listener.accept().await {
                // A port says nothing to whoever else finds it.
                Ok((socket, peer)) if peer.ip().to_canonical() == way.opened.from => {
                    let (desk, served) = (self.clone(), way.clone());
                    self.spawn(way, async move {
                        match &served.opened.page {
                            None => desk.through(socket, &served).await,
                            Some(page) => page.serve(socket, &desk, &served).await,
                        }
                    });
                }
                Ok((socket, peer)) => {
                    debug!(access.id = %way.grant.id, %peer, "Somebody else came to a way");
                    drop(socket);
                }
                Err(_) => tokio::time::sleep(BREATH).await,
            }
        }
    }

    async fn through(&self, socket: TcpStream, way: &Way) {
        let Ok(_turn) = way.turns.try_acquire() else {
            return;
        };
        let (pipe, _place) = match self.pipe(way).await {
            Ok(opened) => opened,
            Err(failure) => {
                debug!(access.id = %way.grant.id, ?failure, "A connection was not let through");
                return;
            }
        };
        let _slower_without = socket.set_nodelay(true);
        if let Err(broken) = carry(socket, pipe, &way.meter).await {
            debug!(access.id = %way.grant.id, %broken, "A connection broke off");
        }
    }

    /// A connection to the device.
    pub(super) async fn pipe(&self, way: &Way) -> Result<(Pipe, Place), AskFailure> {
        let nodes = &self.inner.nodes;
        let opening = nodes.through(way.tenant, way.grant.agent_id, way.grant.id);
        let opened = tokio::time::timeout(PATIENCE, opening).await;
        let opened = opened.map_err(|_| AskFailure::TimedOut)??;
        way.connections.fetch_add(1, Ordering::Relaxed);
        Ok(opened)
    }

    /// Does something until the way ends.
    pub(super) fn spawn(&self, way: &Way, work: impl Future<Output = ()> + Send + 'static) {
        let stop = way.stop.clone();
        self.inner.tasks.spawn(async move {
            stop.run_until_cancelled(work).await;
        });
    }

    /// Does something until the way ends, or until what this gives is let go.
    pub(super) fn during(
        &self,
        way: &Way,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> DropGuard {
        let stop = way.stop.child_token();
        let guard = stop.clone().drop_guard();
        self.inner.tasks.spawn(async move {
            stop.run_until_cancelled(work).await;
        });
        guard
    }

    /// Writes down that who opened a way came in to its page.
    pub(super) async fn note_entry(&self, way: &Way) -> sqlx::Result<()> {
        let grant = &way.grant;
        let actor = Actor::person(grant.operator_id, &grant.operator_name, way.opened.from);
        let mut tx = self.inner.db.begin(way.tenant).await?;
        audit::record(&mut tx, &actor, entering(grant), self.now()).await?;
        tx.commit().await
    }

    /// What went through a way that is open here so far.
    pub(super) fn moved(&self, grant: AccessGrantId) -> Option<Moved> {
        self.lock().get(&grant).map(|way| way.moved())
    }

    /// Closes a way, and every connection by it, at once; then it is written down, now or when the database is back.
    /// Whether it was open here.
    pub(super) async fn close(&self, grant: AccessGrantId, why: Closed, actor: &Actor) -> bool {
        let Some(way) = self.lock().remove(&grant) else {
            return false;
        };
        way.stop.cancel();
        let nodes = self.inner.nodes.clone();
        let (tenant, agent) = (way.tenant, way.grant.agent_id);
        self.inner.tasks.spawn(async move {
            let over = Question::AccessOver { grant };
            // An agent that is not there closes it by its own clock.
            let _told = nodes.ask_agent(tenant, agent, &over, PATIENCE).await;
        });
        let over = Over {
            why,
            actor: actor.clone(),
            at: self.now(),
            moved: way.moved(),
            way,
        };
        if let Err(error) = self.write_down(&over).await {
            warn!(%error, access.id = %grant, "Cannot write down yet that a way was closed");
            self.owed().push(over);
        }
        true
    }

    async fn write_down(&self, over: &Over) -> sqlx::Result<()> {
        let (way, moved) = (&over.way, over.moved);
        let grant = &way.grant;
        let mut tx = self.inner.db.begin(way.tenant).await?;
        if store::close(&mut tx, grant.id, over.why, moved, over.at).await? {
            let line = closing(grant, over.why, moved);
            audit::record(&mut tx, &over.actor, line, over.at).await?;
        } else {
            // Another node has said why.
            store::note_moved(&mut tx, grant.id, moved).await?;
        }
        tx.commit().await
    }

    /// Writes down what could not be, until the database takes it.
    async fn settle(&self) {
        let mut owed = std::mem::take(&mut *self.owed());
        while let Some(over) = owed.pop() {
            if self.write_down(&over).await.is_err() {
                owed.push(over);
                break;
            }
        }
        self.owed().append(&mut owed);
    }

    /// Closes ways that have ended, until the cloud stops; then all.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let look = async {
                if self.lock().is_empty() && self.owed().is_empty() {
                    self.inner.opened.notified().await;
                }
                tokio::time::sleep(LOOK).await;
            };
            let stopped = stop.run_until_cancelled(look).await.is_none();
            let ways: Vec<Arc<Way>> = self.lock().values().cloned().collect();
            for way in ways {
                let ended = match stopped {
                    true => Some(Closed::Stopped),
                    false => self.ended(&way).await,
                };
                let Some(why) = ended else { continue };
                self.close(way.grant.id, why, &Actor::system()).await;
            }
            self.settle().await;
            if stopped {
                for _ in 0..LAST_TRIES {
                    if self.owed().is_empty() {
                        break;
                    }
                    tokio::time::sleep(LOOK).await;
                    self.settle().await;
                }
                self.inner.tasks.close();
                self.inner.tasks.wait().await;
                return;
            }
        }
    }

    /// Whether a way has ended, and why.
    async fn ended(&self, way: &Way) -> Option<Closed> {
        let now = self.now();
        if way.grant.expires_at <= now {
            return Some(Closed::Expired);
        }
        let (tenant, agent) = (way.tenant, way.grant.agent_id);
        if !self.inner.nodes.reaches(tenant, agent).await {
            return Some(Closed::AgentLeft);
        }
        // A database that is busy for a moment is asked again.
        if let Ok(true) = self.closed_elsewhere(way, now).await {
            return Some(Closed::ByHand);
        }
        let still = sessions::still(&self.inner.db, tenant, &way.opened.signed_in, now).await;
        match still {
            Ok(Some(permissions)) if permissions.has(Permission::RoutersConfig) => None,
            Ok(Some(_) | None) => Some(Closed::OperatorLeft),
            Err(_) => None,
        }
    }

    /// Whether somebody closed it at another node; else it is noted now and then that it is served still.
    async fn closed_elsewhere(&self, way: &Way, now: Timestamp) -> sqlx::Result<bool> {
        let mut tx = self.inner.db.begin(way.tenant).await?;
        let Some(found) = store::find(&mut tx, way.grant.id).await? else {
            return Ok(false);
        };
        if found.closed_at.is_some() {
            return Ok(true);
        }
        if found.served_at.is_none_or(|at| now.since(at) >= SERVED) {
            store::note_served(&mut tx, way.grant.id, now).await?;
            tx.commit().await?;
        }
        Ok(false)
    }

    /// Which agent of a site leads to its devices, wherever it is connected.
    pub(super) async fn agent_of(&self, tenant: TenantId, site: SiteId) -> Option<AgentId> {
        self.inner.nodes.leading(tenant, site).await
    }

    /// Asks an agent, wherever it is connected.
    pub(super) async fn ask(
        &self,
        tenant: TenantId,
        agent: AgentId,
        question: &Question,
    ) -> Result<Reply, AskFailure> {
        let nodes = &self.inner.nodes;
        nodes.ask_agent(tenant, agent, question, PATIENCE).await
    }

    pub(super) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(super) fn entropy(&self) -> &Entropy {
        &self.inner.entropy
    }

    fn owed(&self) -> MutexGuard<'_, Vec<Over>> {
        let owed = self.inner.owed.lock();
        owed.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccessGrantId, Arc<Way>>> {
        self.inner
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    fn moved(&self) -> Moved {
        let octets = |count: &std::sync::atomic::AtomicU64| {
            i64::try_from(count.load(Ordering::Relaxed)).unwrap_or(i64::MAX)
        };
        Moved {
            connections: self.connections.load(Ordering::Relaxed),
            there: octets(&self.meter.there),
            back: octets(&self.meter.back),
        }
    }
}

/// The line of the trail that says that somebody came in to a page.
fn entering(grant: &Grant) -> Audit<'_> {
    let (kind, id) = grant.target();
    Audit {
        details: format!(
            "Came in to the page at port {} that was opened: {}",
            grant.port, grant.reason
        ),
        after: Some(json!({ "access": grant.id, "from": grant.from_address })),
        ..Audit::new(Action::AccessEnter, kind, id, &grant.target_name)
    }
}

/// The line of the trail that says that a way was closed.
pub(super) fn closing(grant: &Grant, why: Closed, moved: Moved) -> Audit<'_> {
    let (kind, id) = grant.target();
    Audit {
        details: format!(
            "The way that {} opened was closed: {}",
            grant.operator_name,
            why.sentence()
        ),
        after: Some(json!({
            "access": grant.id, "service": grant.service, "port": grant.port, "openedAt": grant.opened_at,
            "why": why, "connections": moved.connections, "bytesThere": moved.there, "bytesBack": moved.back,
        })),
        ..Audit::new(Action::AccessClose, kind, id, &grant.target_name)
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Desk({})", self.lock().len())
    }
}

const BREATH: Duration = Duration::from_millis(100);
/// By the time of the machine: whatever a clock says, who may not any more is out within a second.
const LOOK: Duration = Duration::from_millis(500);
/// How often it is noted that a way is served: several times within what makes it a dead one.
const SERVED: Duration = Duration::from_secs(3);
/// Of a server that is being stopped: its supervisor has not endless patience.
const LAST_TRIES: u32 = 10;
const PATIENCE: Duration = Duration::from_secs(10);
