//! Ways through this box to devices of its site, which a person opens in the cloud for a limited time.
//!
//! The cloud asks, and this box decides: it leads to its site's routers and to the devices of customers who are online,
//! on the ports that its own settings name, and to nothing else, whatever the cloud says. Each way ends by this box's
//! own clock, and with the session that it leads to. Who came in, where to and why is in this box's log and on its page.

mod carry;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use easyisp_shared::id::AccessGrantId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::Message;
use easyisp_shared::wire::access::{
    AccessTargetV1, AccessV1, CONNECTIONS, CONNECTIONS_OF_AGENT, LONGEST_SECS,
};
use easyisp_shared::wire::down::Whom;
use easyisp_shared::wire::question::{Answer, AskFailure};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::AccessConfig;
use crate::enforce::Enforcer;
use crate::site::{Ranges, SiteClock};
use crate::sync::{Pipe, PipeError};
use carry::{Meter, carry};

/// What ways are decided by.
pub struct Parts {
    /// `[access]`
    pub config: AccessConfig,
    /// Whether every octet to the cloud costs.
    pub metered: bool,
    /// Only inside these anybody is reached.
    pub ranges: Ranges,
    /// Which routers there are, and who is online.
    pub enforcer: Arc<Enforcer>,
    /// What time it is.
    pub clock: Arc<SiteClock>,
}

/// The ways that are open.
pub struct Access {
    parts: Parts,
    open: Mutex<HashMap<AccessGrantId, Arc<Way>>>,
    opened: Notify,
    connections: Semaphore,
}

struct Way {
    asked: AccessV1,
    leads_to: SocketAddr,
    opened: Timestamp,
    until: Timestamp,
    meter: Meter,
    connections: Semaphore,
    stop: CancellationToken,
}

/// A way, as this box's page tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessReport {
    /// Who opened it.
    pub who: String,
    /// Why.
    pub why: String,
    /// Where it leads.
    pub leads_to: SocketAddr,
    /// Since when.
    pub opened: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Octets to the device.
    pub there: u64,
    /// Octets from it.
    pub back: u64,
}

impl Access {
    /// None is open.
    pub fn new(parts: Parts) -> Arc<Access> {
        Arc::new(Access {
            parts,
            open: Mutex::default(),
            opened: Notify::new(),
            connections: Semaphore::new(CONNECTIONS_OF_AGENT),
        })
    }

    /// Opens a way, or says why not; where it leads.
    pub fn open(&self, asked: AccessV1) -> Result<IpAddr, AskFailure> {
        let leads_to = self.leads_to(&asked).inspect_err(|refused| {
            warn!(who = %asked.who, "Refused a way to {:?} port {}: {refused:?}", asked.target, asked.port);
        })?;
        let now = self.parts.clock.now();
        let longest = now.plus(Duration::from_secs(LONGEST_SECS));
        let until = asked.until.min(longest);
        if until <= now {
            return Err(AskFailure::Refused(
                "its time is over by this box's clock".into(),
            ));
        }
        let mut open = self.lock();
        if open.len() >= MOST && !open.contains_key(&asked.grant) {
            return Err(AskFailure::Busy);
        }
        // What is asked again may not last longer for it.
        if !open.contains_key(&asked.grant) {
            info!(
                access.id = %asked.grant, who = %asked.who, why = %asked.why,
                "Opened a way to {leads_to} until {until}"
            );
            let way = Way {
                leads_to,
                opened: now,
                until,
                meter: Meter::new(),
                connections: Semaphore::new(CONNECTIONS),
                stop: CancellationToken::new(),
                asked,
            };
            open.insert(way.asked.grant, Arc::new(way));
            self.opened.notify_one();
        }
        Ok(leads_to.ip())
    }

    /// Closes a way, and every connection by it.
    pub fn close(&self, grant: AccessGrantId, why: &str) {
        let way = self.lock().remove(&grant);
        if let Some(way) = way {
            way.stop.cancel();
            let moved = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
            info!(
                access.id = %grant, who = %way.asked.who,
                "Closed the way to {}: {why}; {} octets there, {} back",
                way.leads_to, moved(&way.meter.there), moved(&way.meter.back)
            );
        }
    }

    /// Closes ways whose time is over, or whose customer is not there any more, until cancelled; then all.
    pub async fn run(self: Arc<Self>, cancel: CancellationToken) {
        loop {
            let look = async {
                if self.lock().is_empty() {
                    self.opened.notified().await;
                }
                self.parts.clock.sleep(LOOK).await;
            };
            let cancelled = cancel.run_until_cancelled(look).await.is_none();
            let now = self.parts.clock.now();
            let ways: Vec<Arc<Way>> = self.lock().values().cloned().collect();
            for way in ways {
                let grant = way.asked.grant;
                if cancelled {
                    self.close(grant, "the agent stops");
                } else if way.until <= now {
                    self.close(grant, "its time is over");
                } else if !self.still_leads(&way) {
                    self.close(grant, "what it led to is not there any more");
                }
            }
            if cancelled {
                return;
            }
        }
    }

    /// One connection by a way that is open, until it ends.
    pub async fn through(&self, grant: AccessGrantId, mut pipe: Pipe) -> Result<(), PipeError> {
        pipe.sink.give_way();
        let way = self.lock().get(&grant).cloned();
        let now = self.parts.clock.now();
        let way = way.filter(|way| now < way.until && self.still_leads(way));
        let (answer, connected) = match &way {
            None => (Err(AskFailure::NotFound), None),
            Some(way) => match self.connect(way).await {
                Ok(connected) => (Ok(()), Some((way, connected))),
                Err(failure) => (Err(failure), None),
            },
        };
        let answer = match answer {
            Ok(()) => Answer::Body(Vec::new()),
            Err(failure) => Answer::Failed(failure),
        };
        pipe.sink.send(&Message::Answer(answer)).await?;
        let Some((way, (socket, _turns))) = connected else {
            return pipe.sink.finish().await;
        };
        let carried = carry(socket, pipe, &way.meter);
        if let Some(Err(broken)) = way.stop.run_until_cancelled(carried).await {
            debug!(access.id = %grant, %broken, "A connection broke off");
        }
        Ok(())
    }

    async fn connect<'a>(
        &'a self,
        way: &'a Way,
    ) -> Result<(TcpStream, [tokio::sync::SemaphorePermit<'a>; 2]), AskFailure> {
        let busy = |_| AskFailure::Busy;
        let turns = [
            way.connections.try_acquire().map_err(busy)?,
            self.connections.try_acquire().map_err(busy)?,
        ];
        let connecting = TcpStream::connect(way.leads_to);
        let connecting = way.stop.run_until_cancelled(connecting);
        match tokio::time::timeout(PATIENCE, connecting).await {
            Err(_) => Err(AskFailure::TimedOut),
            Ok(None) => Err(AskFailure::NotFound),
            Ok(Some(Err(cause))) => Err(AskFailure::Unreachable(format!(
                "{} does not answer: {cause}",
                way.leads_to
            ))),
            Ok(Some(Ok(socket))) => {
                let _slower_without = socket.set_nodelay(true);
                Ok((socket, turns))
            }
        }
    }

    /// Where a way would lead; deny by default.
    fn leads_to(&self, asked: &AccessV1) -> Result<SocketAddr, AskFailure> {
        let config = &self.parts.config;
        let refused = |why: &str| Err(AskFailure::Refused(why.to_owned()));
        if !config.allow {
            return refused("ways through this box are switched off at the site ([access] allow)");
        }
        if self.parts.metered && !asked.force {
            return refused(
                "the site's line is paid by the octet; say force when it is to be used all the same",
            );
        }
        let (address, ports) = match asked.target {
            AccessTargetV1::Router(router) => {
                let router = self.parts.enforcer.site().router(router);
                let router = router.ok_or(AskFailure::NotFound)?;
                (router.proved_place(), &config.router_ports)
            }
            AccessTargetV1::Customer(_) => match self.place_of(asked.target) {
                Some(address) => (address, &config.customer_ports),
                None => return refused("the customer has no session with an address here now"),
            },
        };
        if !ports.contains(&asked.port) {
            return refused("this port is none of those that the box leads to ([access])");
        }
        if !self.parts.ranges.contain(address) {
            return refused("the address is in none of the site's networks ([site] ranges)");
        }
        Ok(SocketAddr::new(address, asked.port))
    }

    /// The address of a customer's latest session.
    fn place_of(&self, target: AccessTargetV1) -> Option<IpAddr> {
        let AccessTargetV1::Customer(customer) = target else {
            return None;
        };
        let open = self.parts.enforcer.open_to(&Whom::Customer(customer));
        let latest = open
            .into_iter()
            .filter(|online| online.session.framed_ip.is_some())
            .max_by_key(|online| online.session.started_at);
        latest
            .and_then(|online| online.session.framed_ip)
            .map(IpAddr::V4)
    }

    /// Whether a way leads to the same still: an address goes from one customer to the next.
    fn still_leads(&self, way: &Way) -> bool {
        self.leads_to(&way.asked)
            .is_ok_and(|now| now == way.leads_to)
    }

    /// The ways that are open, the oldest first.
    pub fn report(&self) -> Vec<AccessReport> {
        let open = self.lock();
        let mut ways: Vec<AccessReport> = open
            .values()
            .map(|way| AccessReport {
                who: way.asked.who.clone(),
                why: way.asked.why.clone(),
                leads_to: way.leads_to,
                opened: way.opened,
                until: way.until,
                there: way.meter.there.load(Ordering::Relaxed),
                back: way.meter.back.load(Ordering::Relaxed),
            })
            .collect();
        ways.sort_by_key(|way| way.opened);
        ways
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccessGrantId, Arc<Way>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More than a site's people open at once.
const MOST: usize = 64;
const LOOK: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);
