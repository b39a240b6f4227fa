//! What this site knows, in memory: subscribers, packages, routers, policy; and the one decision.
//!
//! A site is a value without process-wide state. Rows of the cloud's feed go in through
//! [`Site::apply`], at start from the cache and later as they come; nothing is rebuilt or swapped.

mod abreast;
mod adopted;
mod binds;
mod boot;
mod brought;
pub mod description;
mod devices;
mod directory;
mod keeping;
mod learnt;
mod monitored;
mod moving;
mod router;
mod router_login;
mod rows;
mod seen;
mod signers;
mod subscriber;
mod time;
mod unlocks;
mod verdict;
mod vouchers;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use easyisp_shared::entitlement;
use easyisp_shared::id::{AgentId, CommandId, CustomerId, PackageId, RouterId};
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::{CommandV1, MovingMode, PackageV1, PolicyV1};
use tokio::sync::watch;

pub use adopted::Ranges;
pub use binds::Bind;
pub use keeping::Keeping;
pub use learnt::{Orders, Place};
pub use monitored::{Entry, Monitored};
pub use moving::{Moving, OldServer};
pub use router::{Router, RouterApi, Signing};
pub use router_login::RouterLogin;
pub use rows::{PasswordChange, Touched};
pub use seen::UnknownSources;
pub use subscriber::Subscriber;
pub use time::{Reading, SiteClock, TimeKeeper};
pub use unlocks::Unlocked;
pub use vouchers::{Fate, Recalled, Redemption, Resume, Turn, Vote};

use crate::sizes::Size;
use abreast::Abreast;
use adopted::Adopted;
use binds::Binds;
use brought::Brought;
use devices::Devices;
use directory::{Directory, Table};
use router_login::RouterLogins;
use unlocks::Unlocks;
use vouchers::Vouchers;

/// What one site knows.
pub struct Site {
    key: SealKey,
    subscribers: Directory,
    packages: Table<PackageId, PackageV1>,
    routers: RwLock<Vec<Arc<Router>>>,
    commands: Table<CommandId, (u64, CommandV1)>,
    policy: RwLock<Arc<Policy>>,
    adopted: Adopted,
    /// Routers of whom only this box knows.
    brought: Brought,
    /// Routers with an old server behind them.
    moving: Table<RouterId, Moving>,
    router_logins: RouterLogins,
    /// Devices to read over SNMP.
    monitored: Table<RouterId, Monitored>,
    vouchers: Vouchers,
    /// Whose a hotspot device is.
    devices: RwLock<Devices>,
    binds: Binds,
    unlocks: Unlocks,
    /// This agent, when it is one of a cloud's.
    agent: Option<AgentId>,
    /// With whom it keeps vouchers until the cloud names it alone in a later term, as it decided itself.
    joined: RwLock<Option<(AgentId, u64)>>,
    /// Up to which version of the feed everything is known.
    known: AtomicU64,
    /// Up to which version the agent had known it before it was started again.
    known_once: AtomicU64,
    /// Whether that is everything there is.
    abreast: Abreast,
    /// Whether the cloud took it for one of its agents when it was asked last.
    shut_out: AtomicBool,
    /// Counts policies.
    policies: watch::Sender<u64>,
}

/// The site's policy, with the part that decides prepared.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// As the cloud says it; `None` before the first feed.
    pub row: Option<PolicyV1>,
    /// What [`entitlement::decide`] looks at.
    pub entitlement: entitlement::SitePolicy,
    /// What voucher codes are known by.
    pub voucher_key: Option<SealKey>,
    /// The feed's version that brought it.
    pub version: u64,
}

impl Site {
    /// A digest that nobody outside this site can compute; all its agents give the same.
    pub fn digest(&self, place: &[u8], text: &[u8]) -> [u8; 32] {
        self.key.digest(place, text)
    }

    /// An empty site whose secrets open with `key`, with routers expected inside `ranges`.
    pub fn new(key: SealKey, ranges: Ranges) -> Site {
        Site {
            key,
            subscribers: Directory::default(),
            packages: Table::default(),
            routers: RwLock::default(),
            commands: Table::default(),
            policy: RwLock::default(),
            adopted: Adopted::new(ranges),
            brought: Brought::default(),
            moving: Table::default(),
            router_logins: RouterLogins::default(),
            monitored: Table::default(),
            vouchers: Vouchers::default(),
            devices: RwLock::default(),
            binds: Binds::default(),
            unlocks: Unlocks::default(),
            agent: None,
            joined: RwLock::default(),
            known_once: AtomicU64::new(0),
            known: AtomicU64::new(0),
            abreast: Abreast::default(),
            shut_out: AtomicBool::new(false),
            policies: watch::Sender::new(0),
        }
    }

    /// The same as one of a cloud's agents.
    #[must_use]
    pub fn of_agent(self, agent: AgentId) -> Site {
        Site {
            agent: Some(agent),
            ..self
        }
    }

    /// The same in a process of many sites, where nobody is adopted.
    #[must_use]
    pub fn without_adoption(self) -> Site {
        Site {
            adopted: self.adopted.never(),
            ..self
        }
    }

    /// The subscriber of this name, octet for octet.
    pub fn subscriber(&self, username: &[u8]) -> Option<Arc<Subscriber>> {
        self.subscribers.by_name(username)
    }

    /// The subscriber of this id.
    pub fn customer(&self, customer: CustomerId) -> Option<Arc<Subscriber>> {
        self.subscribers.by_id(customer)
    }

    /// The customers that `which` picks. Looks at everybody.
    pub fn customers_who(&self, which: impl Fn(&Subscriber) -> bool) -> Vec<CustomerId> {
        self.subscribers.ids_where(which)
    }

    /// Whether everything is known that was told up to the present policy: who is not known is not there.
    pub fn is_complete(&self) -> bool {
        let policy = self.policy();
        policy.row.is_some() && policy.version <= self.known.load(Ordering::Acquire)
    }

    /// How many subscribers are known.
    pub fn subscriber_count(&self) -> usize {
        self.subscribers.len()
    }

    /// A package.
    pub fn package(&self, package: PackageId) -> Option<Arc<PackageV1>> {
        self.packages.find(package)
    }

    /// Whether a subscriber's package keeps him from sharing his line.
    pub fn may_not_share(&self, subscriber: &Subscriber) -> bool {
        let package = subscriber.package.and_then(|package| self.package(package));
        package.is_some_and(|package| package.anti_sharing)
    }

    /// Everything of the feed up to this version has been applied.
    pub fn knows_up_to(&self, version: u64) {
        let before = self.known.swap(version, Ordering::AcqRel);
        let policy = self.policy().version;
        if (before < policy) != (version < policy) {
            self.policies.send_modify(|count| *count += 1);
        }
    }

    /// Before this start everything up to this version had been applied.
    pub fn knew_up_to(&self, version: u64) {
        self.known_once.store(version, Ordering::Release);
    }

    /// Whether less is known than was before: the cache is an older copy of itself, until the cloud has told the rest.
    pub fn is_behind_itself(&self) -> bool {
        self.known.load(Ordering::Acquire) < self.known_once.load(Ordering::Acquire)
    }

    /// Up to which version of the feed everything is known.
    pub fn version(&self) -> u64 {
        self.known.load(Ordering::Acquire)
    }

    /// The cloud does not take this agent for one of the site's any more: another box may be in its place.
    pub fn shut_out(&self) {
        self.shut_out.store(true, Ordering::Release);
    }

    /// Whether that is so.
    pub fn is_shut_out(&self) -> bool {
        self.shut_out.load(Ordering::Acquire)
    }

    /// Everything that the cloud had is applied, from now on until told otherwise.
    pub fn begin_abreast(&self) {
        self.shut_out.store(false, Ordering::Release);
        // A cloud that was put back counts from an earlier version on.
        self.known_once.store(0, Ordering::Release);
        self.abreast.begin();
    }

    /// Returns once this run knows everything for the first time; to one who waits, once.
    pub async fn first_abreast(&self) {
        self.abreast.first().await;
    }

    /// From `now` on the cloud may have more to say than was heard.
    pub fn end_abreast(&self, now: Timestamp) {
        self.abreast.end(now);
    }

    /// Whether this run knew everything that the cloud knew at some time after `then`: who is not known since is
    /// not there.
    pub fn was_abreast_after(&self, then: Timestamp, now: Timestamp) -> bool {
        self.abreast.after(then, now)
    }

    /// Whether this run knew everything at some time: whom it knew by id and does not know is not there.
    pub fn was_abreast_once(&self) -> bool {
        self.abreast.once()
    }

    /// Changes with each policy.
    pub fn policies(&self) -> watch::Receiver<u64> {
        self.policies.subscribe()
    }

    /// This agent, when it is one of a cloud's.
    pub fn agent(&self) -> Option<AgentId> {
        self.agent
    }

    /// The site's policy.
    pub fn policy(&self) -> Arc<Policy> {
        let policy = self.policy.read().unwrap_or_else(PoisonError::into_inner);
        policy.clone()
    }

    /// A command and the feed version that carried it.
    pub fn command(&self, command: CommandId) -> Option<Arc<(u64, CommandV1)>> {
        self.commands.find(command)
    }

    /// Every command held, done or not.
    pub fn commands(&self) -> Vec<CommandId> {
        self.commands.keys()
    }

    /// How a router's old server is used; `None` where this site decides alone.
    pub fn moving(&self, router: RouterId) -> Option<Arc<Moving>> {
        self.moving.find(router)
    }

    /// Every router with an old server behind it.
    pub fn all_moving(&self) -> Vec<Arc<Moving>> {
        let routers = self.moving.keys().into_iter();
        routers.filter_map(|router| self.moving(router)).collect()
    }

    /// Whether an old server decides at a router for everybody: nothing is enforced there.
    pub fn is_observed(&self, router: RouterId) -> bool {
        let moving = self.moving(router);
        moving.is_some_and(|moving| moving.mode == MovingMode::Forward)
    }

    /// How a device is read over SNMP.
    pub fn monitored(&self, router: RouterId) -> Option<Arc<Monitored>> {
        self.monitored.find(router)
    }

    /// Every device that is read over SNMP.
    pub fn all_monitored(&self) -> Vec<Arc<Monitored>> {
        let routers = self.monitored.keys().into_iter();
        let found = routers.filter_map(|router| self.monitored(router));
        found.collect()
    }

    /// Who of this name may log in to a router itself.
    pub fn router_login(&self, username: &[u8], router: RouterId) -> Option<Arc<RouterLogin>> {
        self.router_logins.find(username, router)
    }

    /// A router by id.
    pub fn router(&self, router: RouterId) -> Option<Arc<Router>> {
        self.routers().into_iter().find(|held| held.id == router)
    }

    /// Every router of the site.
    pub fn routers(&self) -> Vec<Arc<Router>> {
        let routers = self.routers.read().unwrap_or_else(PoisonError::into_inner);
        routers.clone()
    }

    pub(crate) fn sizes(&self) -> Vec<Size> {
        let routers = self.routers();
        let routers = routers.iter().map(|router| router.size());
        let mut sizes: Vec<Size> = routers.collect();
        sizes.extend([self.adopted.size(), self.vouchers.size()]);
        sizes
    }
}

impl Policy {
    /// Whether the cloud's lease has run out at `now`.
    pub fn lease_is_over(&self, now: Timestamp) -> bool {
        let lease = self.row.as_ref().and_then(|row| row.lease_until);
        lease.is_some_and(|until| until <= now)
    }
}

#[cfg(test)]
mod tests;
