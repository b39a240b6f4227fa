//! The ways that are open at this node: their ports, what goes through them, and their end.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{AccessGrantId, AgentId, TenantId};
use easyisp_shared::time::{Clock, Timestamp};
use easyisp_shared::wire::access::CONNECTIONS;
use easyisp_shared::wire::question::Question;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::carry::{Meter, carry};
use super::store::{self, Grant, Moved};
use super::words::Closed;
use crate::audit::{self, Action, Actor, Audit};
use crate::auth::sessions::{self, SignedIn};
use crate::config::AccessConfig;
use crate::db::Database;
use crate::error::ApiError;
use crate::permission::Permission;
use crate::sync::Agents;

/// The ways of this node. Cloning shares them.
#[derive(Clone)]
pub struct Desk {
    inner: Arc<Inner>,
}

struct Inner {
    db: Database,
    clock: Clock,
    entropy: Entropy,
    agents: Agents,
    config: AccessConfig,
    open: Mutex<HashMap<AccessGrantId, Arc<Way>>>,
    opened: Notify,
    tasks: TaskTracker,
}

struct Way {
    tenant: TenantId,
    grant: Grant,
    /// By what who opened it is known to be signed in still.
    signed_in: SignedIn,
    from: IpAddr,
    meter: Meter,
    connections: AtomicI64,
    turns: Semaphore,
    stop: CancellationToken,
}

impl Desk {
    /// None is open.
    pub fn new(
        db: Database,
        clock: Clock,
        entropy: Entropy,
        agents: Agents,
        config: AccessConfig,
    ) -> Desk {
        Desk {
            inner: Arc::new(Inner {
                db,
                clock,
                entropy,
                agents,
                config,
                open: Mutex::default(),
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

    /// What operators call that place.
    pub(super) fn host(&self, place: IpAddr) -> String {
        let named = self.inner.config.host.clone();
        named.unwrap_or_else(|| place.to_string())
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
        signed_in: SignedIn,
        from: IpAddr,
        listener: TcpListener,
    ) {
        let way = Arc::new(Way {
            tenant,
            signed_in,
            from,
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
            let stop = way.stop.clone();
            stop.run_until_cancelled(desk.listen(&listener, &way)).await;
        });
    }

    async fn listen(&self, listener: &TcpListener, way: &Arc<Way>) {
        loop {
            match listener.accept().await {
                // A port says nothing to whoever else finds it.
                Ok((socket, peer)) if peer.ip().to_canonical() == way.from => {
                    let (desk, way) = (self.clone(), way.clone());
                    self.inner.tasks.spawn(async move {
                        let through = desk.through(socket, &way);
                        way.stop.run_until_cancelled(through).await;
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
        let agents = &self.inner.agents;
        let opening = agents.through(way.tenant, way.grant.agent_id, way.grant.id);
        let (pipe, _turn_of_agent) = match tokio::time::timeout(PATIENCE, opening).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(failure)) => {
                debug!(access.id = %way.grant.id, ?failure, "A connection was not let through");
                return;
            }
            Err(_) => return,
        };
        way.connections.fetch_add(1, Ordering::Relaxed);
        let _slower_without = socket.set_nodelay(true);
        if let Err(broken) = carry(socket, pipe, &way.meter).await {
            debug!(access.id = %way.grant.id, %broken, "A connection broke off");
        }
    }

    /// What went through a way that is open here so far.
    pub(super) fn moved(&self, grant: AccessGrantId) -> Option<Moved> {
        self.lock().get(&grant).map(|way| way.moved())
    }

    /// Closes a way, and every connection by it, at once; then it is written down. Whether it was open here.
    pub(super) async fn close(
        &self,
        grant: AccessGrantId,
        why: Closed,
        actor: &Actor,
    ) -> sqlx::Result<bool> {
        let Some(way) = self.lock().remove(&grant) else {
            return Ok(false);
        };
        way.stop.cancel();
        let agents = self.inner.agents.clone();
        let (tenant, agent) = (way.tenant, way.grant.agent_id);
        self.inner.tasks.spawn(async move {
            let over = Question::AccessOver { grant };
            // An agent that is not there closes it by its own clock.
            let _told = agents.ask_agent(tenant, agent, &over, PATIENCE).await;
        });
        let now = self.inner.clock.now();
        let moved = way.moved();
        let mut tx = self.inner.db.begin(way.tenant).await?;
        if store::close(&mut tx, grant, why, moved, now).await? {
            let line = closing(&way.grant, why, moved);
            audit::record(&mut tx, actor, line, now).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Closes ways that have ended, until the cloud stops; then all.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let look = async {
                if self.lock().is_empty() {
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
                if let Err(error) = self.close(way.grant.id, why, &Actor::system()).await {
                    warn!(%error, access.id = %way.grant.id, "Cannot write down that a way was closed");
                }
            }
            if stopped {
                self.inner.tasks.close();
                self.inner.tasks.wait().await;
                return;
            }
        }
    }

    /// Whether a way has ended, and why.
    async fn ended(&self, way: &Way) -> Option<Closed> {
        let now = self.inner.clock.now();
        if way.grant.expires_at <= now {
            return Some(Closed::Expired);
        }
        if self.inner.agents.since(way.grant.agent_id).is_none() {
            return Some(Closed::AgentLeft);
        }
        let asked = sessions::still(&self.inner.db, way.tenant, &way.signed_in, now).await;
        match asked {
            Ok(Some(permissions)) if permissions.has(Permission::RoutersConfig) => None,
            Ok(Some(_) | None) => Some(Closed::OperatorLeft),
            // A database that is busy for a moment is asked again.
            Err(_) => None,
        }
    }

    /// Which agent of a site leads to its devices: the one that was here longest.
    pub(super) fn agent_of(
        &self,
        tenant: TenantId,
        site: easyisp_shared::id::SiteId,
    ) -> Option<AgentId> {
        self.inner.agents.first(tenant, site)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(super) fn agents(&self) -> &Agents {
        &self.inner.agents
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

/// The line of the trail that says that a way was closed.
fn closing(grant: &Grant, why: Closed, moved: Moved) -> Audit<'_> {
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
const PATIENCE: Duration = Duration::from_secs(10);
