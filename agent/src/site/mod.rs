//! What this site knows, in memory: subscribers, packages, routers, policy; and the one decision.
//!
//! A site is a value without process-wide state. Rows of the cloud's feed go in through
//! [`Site::apply`], at start from the cache and later as they come; nothing is rebuilt or swapped.

mod adopted;
pub mod description;
mod devices;
mod directory;
mod moving;
mod router;
mod router_login;
mod seen;
mod signers;
mod subscriber;
mod time;
mod vouchers;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use easyisp_shared::entitlement::{self, Live, Verdict};
use easyisp_shared::id::{
    AgentId, CommandId, CustomerId, PackageId, RouterId, RouterLoginId, VoucherId,
};
use easyisp_shared::net::Mac;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Timestamp;
use easyisp_shared::voucher::VoucherDigest;
use easyisp_shared::wire::down::{
    CommandV1, Connection, MovingMode, PackageV1, PolicyV1, VoucherV1, secret_place,
};
use easyisp_shared::wire::{Down, DownKind, DownRecord, WireError};
use tokio::sync::watch;
use tracing::warn;
use uuid::Uuid;

pub use adopted::Ranges;
pub use moving::{Moving, OldServer};
pub use router::{Router, RouterApi, Signing};
pub use router_login::RouterLogin;
pub use seen::UnknownSources;
pub use subscriber::Subscriber;
pub use time::{SiteClock, TimeKeeper};
pub use vouchers::{Fate, Redemption, Resume, Turn, Vote};

use adopted::Adopted;
use devices::Devices;
use directory::{Directory, Table};
use router_login::RouterLogins;
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
    /// Routers with an old server behind them.
    moving: Table<RouterId, Moving>,
    router_logins: RouterLogins,
    vouchers: Vouchers,
    /// Whose a hotspot device is.
    devices: RwLock<Devices>,
    /// This agent, when it is one of a cloud's.
    agent: Option<AgentId>,
    /// With whom it keeps vouchers until the cloud names it alone in a later term, as it decided itself.
    joined: RwLock<Option<(AgentId, u64)>>,
    /// Up to which version of the feed everything is known.
    known: AtomicU64,
    /// Counts policies.
    policies: watch::Sender<u64>,
}

/// How an agent lets vouchers in for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// By itself.
    Alone,
    /// Of itself, this other agent and the cloud, two must have written it down.
    With(AgentId),
    /// It asks the cloud.
    Not,
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

/// Who may have to be looked at again after a row was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touched {
    /// Nobody.
    Nobody,
    /// One customer.
    Customer {
        /// Who.
        customer: CustomerId,
        /// Whether the password is another one: who is online with the old one must log in again.
        password: PasswordChange,
    },
    /// Everybody on a package.
    Package(PackageId),
    /// Everybody.
    All,
    /// A command to carry out.
    Command(CommandId),
    /// Everybody at a router.
    Router(RouterId),
}

/// Whether a row brought another password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordChange {
    /// The same as before.
    Same,
    /// Another one.
    Changed,
}

impl Site {
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
            moving: Table::default(),
            router_logins: RouterLogins::default(),
            vouchers: Vouchers::default(),
            devices: RwLock::default(),
            agent: None,
            joined: RwLock::default(),
            known: AtomicU64::new(0),
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

    /// Takes one row of the feed. A row that cannot be read changes nothing and is told once here:
    /// the cache keeps its bytes for a later build.
    pub fn apply(&self, row: &DownRecord) -> Touched {
        let Some(kind) = DownKind::from_code(row.kind) else {
            return Touched::Nobody;
        };
        match &row.body {
            None => self.remove(kind, row.id),
            Some(body) => match self.put(kind, row, body) {
                Ok(touched) => touched,
                Err(cause) => {
                    warn!(row.id = %row.id, ?kind, %cause, "Cannot use a row of the feed");
                    Touched::Nobody
                }
            },
        }
    }

    /// May this subscriber be online now?
    ///
    /// When the lease from the cloud has run out, only what was paid counts: no grace, nothing funded
    /// ahead (G6). A voucher gives its face value and no grace either (V5).
    pub fn verdict(&self, subscriber: &Subscriber, live: &Live, now: Timestamp) -> Verdict {
        let policy = self.policy();
        let package = subscriber.package.and_then(|id| self.packages.find(id));
        let mut package = package.as_deref().map(PackageV1::entitlement);
        let face = self.face(subscriber);
        if let (Some(bytes), Some(package)) = (face, &mut package) {
            package.data_limit = bytes;
        }
        if !policy.lease_is_over(now) && face.is_none() {
            let known = &subscriber.entitlement;
            let verdict =
                entitlement::decide(known, package.as_ref(), live, &policy.entitlement, now);
            // The end of the lease may be the end of grace.
            let lease = policy.row.as_ref().and_then(|row| row.lease_until);
            return Verdict {
                next_change: [verdict.next_change, lease].into_iter().flatten().min(),
                ..verdict
            };
        }
        let paid_only = entitlement::Subscriber {
            funded_until: subscriber.entitlement.paid_until,
            ..subscriber.entitlement.clone()
        };
        let strict = entitlement::SitePolicy {
            grace: std::time::Duration::ZERO,
            ..policy.entitlement.clone()
        };
        entitlement::decide(&paid_only, package.as_ref(), live, &strict, now)
    }

    /// The voucher held here whose code has this digest.
    pub fn voucher(&self, digest: &VoucherDigest) -> Option<Arc<VoucherV1>> {
        self.vouchers.find(digest)
    }

    /// How many vouchers are held here that nobody used.
    pub fn vouchers_held(&self) -> usize {
        self.vouchers.unused()
    }

    /// The first use made here of the voucher whose code has this digest.
    pub fn redemption(&self, digest: &VoucherDigest) -> Option<Arc<Redemption>> {
        self.vouchers.used(digest)
    }

    /// How this agent lets vouchers in for the first time.
    pub fn keeping(&self) -> Keeping {
        self.keeping_after(*self.joined())
    }

    /// Acts, unless this agent does not let vouchers in alone. Once [`Site::join`] has returned, nothing acts
    /// on it any more.
    pub fn while_alone<T>(&self, act: impl FnOnce() -> T) -> Option<T> {
        let joined = self.joined();
        (self.keeping_after(*joined) == Keeping::Alone).then(act)
    }

    /// From here on this agent lets no voucher in alone, until the cloud names it so in a later term.
    pub fn join(&self, with: AgentId, term: u64) {
        let mut joined = self.joined.write().unwrap_or_else(PoisonError::into_inner);
        *joined = Some((with, term));
    }

    fn joined(&self) -> RwLockReadGuard<'_, Option<(AgentId, u64)>> {
        self.joined.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn keeping_after(&self, joined: Option<(AgentId, u64)>) -> Keeping {
        let Some(me) = self.agent else {
            return Keeping::Alone;
        };
        let policy = self.policy();
        let Some(named) = policy.row.as_ref().map(|row| &row.keepers) else {
            return Keeping::Not;
        };
        // What was used before the cloud named it must be known too.
        if policy.version > self.known.load(Ordering::Acquire) {
            return Keeping::Not;
        }
        match (named.agents.as_slice(), joined) {
            ([one], Some((with, term))) if *one == me && named.term <= term => Keeping::With(with),
            ([one], _) if *one == me => Keeping::Alone,
            ([one, other], _) if *one == me => Keeping::With(*other),
            ([other, one], _) if *one == me => Keeping::With(*other),
            (_, _) => Keeping::Not,
        }
    }

    /// Whom this agent gave its vote for a voucher's first use.
    pub fn voted(&self, voucher: VoucherId) -> Option<Arc<Vote>> {
        self.vouchers.voted(voucher)
    }

    /// Takes a vote that is on stable storage.
    pub fn vote(&self, vote: Vote) {
        self.vouchers.vote(vote);
    }

    /// Forgets a vote: what it was given for did not happen.
    pub fn withdraw(&self, voucher: VoucherId) {
        self.vouchers.withdraw(voucher);
    }

    /// Whether a vote was given of which only an agent that is none of `these` knows whether it came to
    /// anything.
    pub fn has_votes_beyond(&self, these: &[AgentId]) -> bool {
        self.vouchers.has_votes_beyond(these)
    }

    /// The first use of a voucher that was told here or made here, by its id.
    pub fn redemption_of(&self, voucher: VoucherId) -> Option<Arc<Redemption>> {
        self.vouchers.used_by_id(voucher)
    }

    /// Whose turn it is to use a voucher for the first time; see [`Turn`].
    pub fn take_turn(&self, voucher: VoucherId, resume: Resume) -> Turn {
        self.vouchers.take_turn(voucher, resume)
    }

    /// A first use was written to disk, or could not be; returns whom to call.
    pub fn settle(&self, voucher: VoucherId, used: Option<Redemption>) -> Vec<Resume> {
        if let Some(used) = &used {
            self.subscribe(used);
        }
        self.vouchers.settle(voucher, used)
    }

    /// Takes a first use that was on disk at the start.
    pub fn remember(&self, used: Redemption) {
        let held = self.vouchers.find(&used.digest).is_some();
        if held {
            self.subscribe(&used);
        }
        self.vouchers.remember(used);
    }

    /// The cloud let a device in with a voucher that was held elsewhere. Its feed says the same soon.
    pub fn moved_here(&self, told: VoucherV1, mac: Option<Mac>) {
        let used = told.used.map(|used| Redemption {
            from: used.from,
            until: used.until,
            ..Redemption::of(&told, mac, used.from)
        });
        self.put_voucher(told);
        if let Some(used) = used {
            self.subscribe(&used);
        }
    }

    /// Who is known to use a device at a hotspot: locked to it, or seen with it.
    pub fn of_device(&self, device: Mac) -> Option<Arc<Subscriber>> {
        let devices = self.devices.read().unwrap_or_else(PoisonError::into_inner);
        let owners = devices.owners(device).iter();
        let owners = owners.filter_map(|owner| self.customer(*owner));
        // The latest who still has time, else the latest at all.
        owners.max_by_key(|owner| {
            owner
                .entitlement
                .paid_until
                .max(owner.entitlement.funded_until)
        })
    }

    /// Files a customer under a device he was seen with.
    pub fn remember_device(&self, customer: CustomerId, device: Mac) {
        self.devices_mut().add(customer, device);
    }

    /// The same for a device that was on disk at the start: what the cloud says since comes first.
    pub fn remember_device_again(&self, customer: CustomerId, device: Mac) {
        let most = self.remembered_devices();
        let mut devices = self.devices_mut();
        if devices.owned(customer).len() < most {
            devices.add(customer, device);
        }
    }

    /// Whether a customer's login from this device must be remembered first.
    pub fn is_new_device(&self, subscriber: &Subscriber, device: Mac) -> bool {
        if self.remembered_devices() == 0 || subscriber.connection != Connection::Hotspot {
            return false;
        }
        let devices = self.devices.read().unwrap_or_else(PoisonError::into_inner);
        !devices.owned(subscriber.id).contains(&device)
    }

    /// How many devices are remembered for a customer; none where nobody may log in by them.
    fn remembered_devices(&self) -> usize {
        let policy = self.policy();
        let row = policy.row.as_ref().filter(|row| row.mac_login);
        row.map_or(0, |row| usize::from(row.remembered_macs))
    }

    /// Gives a voucher back to the cloud: it is not used here for the first time any more. `Err` when it
    /// was used, or is being used: with the instant, once that is known.
    pub fn release(&self, voucher: VoucherId) -> Result<(), Option<Timestamp>> {
        self.vouchers.release(voucher, self.agent)
    }

    /// How many bytes of the present period a subscriber may use; `None` = unlimited.
    pub fn data_limit(&self, subscriber: &Subscriber) -> Option<u64> {
        match self.face(subscriber) {
            Some(bytes) => bytes,
            None => self.package(subscriber.package?)?.data_limit,
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

    /// How many subscribers are known.
    pub fn subscriber_count(&self) -> usize {
        self.subscribers.len()
    }

    /// A package.
    pub fn package(&self, package: PackageId) -> Option<Arc<PackageV1>> {
        self.packages.find(package)
    }

    /// Everything of the feed up to this version has been applied.
    pub fn knows_up_to(&self, version: u64) {
        let before = self.known.swap(version, Ordering::AcqRel);
        let policy = self.policy().version;
        if (before < policy) != (version < policy) {
            self.policies.send_modify(|count| *count += 1);
        }
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

    /// Calls `verify` with the routers a datagram from `source` may come from until one of them
    /// knows it: the routers of that source, the narrowest network first.
    pub fn router_from<T>(
        &self,
        source: IpAddr,
        mut verify: impl FnMut(&Arc<Router>) -> Option<T>,
    ) -> Option<(Arc<Router>, T)> {
        let routers = self.routers.read().unwrap_or_else(PoisonError::into_inner);
        let adopted = self.adopted.router(source);
        routers
            .iter()
            .filter(|router| router.source.contains(&source) || adopted == Some(router.id))
            .find_map(|router| verify(router).map(|found| (router.clone(), found)))
    }

    /// Whether any router may speak from `source`.
    pub fn knows_source(&self, source: IpAddr) -> bool {
        self.router_from(source, |_| Some(())).is_some()
    }

    /// A signed request came from a source nobody has: the router whose secret verifies it moved
    /// there (B11). Only inside the site's ranges, and only by proof of the secret.
    pub fn adopt<T>(
        &self,
        source: IpAddr,
        mut verify: impl FnMut(&Arc<Router>) -> Option<T>,
    ) -> Option<(Arc<Router>, T)> {
        if !self.adopted.may_adopt(source) {
            return None;
        }
        let routers = self.routers();
        let found = routers
            .iter()
            .find_map(|router| verify(router).map(|found| (router.clone(), found)));
        if let Some((router, _)) = &found {
            self.adopted.note(source, router.id);
            warn!(router.id = %router.id, %source, "Router {} speaks from a new address", router.name);
        }
        found
    }

    fn put(&self, kind: DownKind, row: &DownRecord, body: &[u8]) -> Result<Touched, WireError> {
        let down = Down::decode(row.kind, body)?;
        debug_assert_eq!(down.kind(), kind);
        Ok(match down {
            Down::Subscriber(told) => self.put_subscriber(told),
            Down::Package(told) => {
                let package = told.package;
                self.packages.put(package, told);
                Touched::Package(package)
            }
            Down::Router(told) => {
                self.put_router(told);
                Touched::Nobody
            }
            Down::Voucher(told) => {
                self.put_voucher(told);
                Touched::Nobody
            }
            Down::Policy(told) => {
                let place = secret_place(DownKind::Policy, row.id, "voucher_key");
                let voucher_key = self.key.open(&place, &told.voucher_key).ok();
                let voucher_key = voucher_key.and_then(|key| key.as_slice().try_into().ok());
                let policy = Policy {
                    entitlement: told.entitlement(),
                    voucher_key: voucher_key.map(SealKey::new),
                    row: Some(told),
                    version: row.version,
                };
                *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
                self.policies.send_modify(|count| *count += 1);
                Touched::All
            }
            Down::Command(told) => {
                let command = told.command;
                self.commands.put(command, (row.version, told));
                Touched::Command(command)
            }
            Down::Moving(told) => {
                let router = told.router;
                let moving = Moving::open(&told, &self.key, self.adopted.ranges());
                self.moving.put(router, moving);
                Touched::Router(router)
            }
            Down::RouterLogin(told) => {
                self.router_logins.put(told, &self.key);
                Touched::Nobody
            }
        })
    }

    /// A voucher's face value in data, for somebody who has nothing else. Only hotspots have vouchers.
    fn face(&self, subscriber: &Subscriber) -> Option<Option<u64>> {
        match subscriber.connection {
            Connection::Hotspot => self.vouchers.face(subscriber),
            Connection::Pppoe | Connection::Dhcp | Connection::Static => None,
        }
    }

    /// Who uses a voucher is a subscriber from then on; the cloud's own word on him replaces ours.
    fn subscribe(&self, used: &Redemption) {
        if self.subscribers.by_id(used.customer()).is_none() {
            let subscriber = Subscriber::of_voucher(used);
            self.file_devices(&subscriber);
            self.subscribers.put(Arc::new(subscriber));
        }
    }

    fn file_devices(&self, subscriber: &Subscriber) {
        self.devices_mut()
            .replace(subscriber.id, subscriber.devices());
    }

    fn devices_mut(&self) -> RwLockWriteGuard<'_, Devices> {
        self.devices.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_voucher(&self, told: VoucherV1) {
        let voucher = told.voucher;
        self.vouchers.put(told);
        if let Some(used) = self.vouchers.used_by_id(voucher) {
            self.subscribe(&used);
        }
    }

    fn put_subscriber(&self, told: easyisp_shared::wire::down::SubscriberV1) -> Touched {
        let customer = told.customer;
        let subscriber = Subscriber::open(told, &self.key);
        self.file_devices(&subscriber);
        let before = self.subscribers.put(Arc::new(subscriber));
        let after = self.subscribers.by_id(customer);
        let password = match (before, after) {
            (Some(before), Some(after)) if !before.same_password(&after) => PasswordChange::Changed,
            (Some(_) | None, Some(_) | None) => PasswordChange::Same,
        };
        Touched::Customer { customer, password }
    }

    fn put_router(&self, told: easyisp_shared::wire::down::RouterV1) {
        let Some(router) = Router::open(told, &self.key) else {
            return;
        };
        let mut routers = self.routers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = routers.iter().find(|held| held.id == router.id) {
            router.inherit(held.signing());
            if let Some(seen) = held.last_seen() {
                router.note_seen(seen);
            }
        }
        routers.retain(|held| held.id != router.id);
        routers.push(Arc::new(router));
        routers.sort_by_key(|router| std::cmp::Reverse(router.source.prefix_len()));
    }

    fn remove(&self, kind: DownKind, id: Uuid) -> Touched {
        match kind {
            DownKind::Subscriber => {
                let customer = CustomerId(id);
                self.devices_mut().replace(customer, std::iter::empty());
                self.subscribers.remove(customer);
                Touched::Customer {
                    customer,
                    password: PasswordChange::Same,
                }
            }
            DownKind::Package => {
                self.packages.remove(PackageId(id));
                Touched::Package(PackageId(id))
            }
            DownKind::Router => {
                let mut routers = self.routers.write().unwrap_or_else(PoisonError::into_inner);
                routers.retain(|router| router.id != RouterId(id));
                Touched::Nobody
            }
            DownKind::Voucher => {
                self.vouchers.remove(VoucherId(id));
                Touched::Nobody
            }
            DownKind::Policy => Touched::Nobody, // a site without policy keeps the last one
            DownKind::Command => {
                self.commands.remove(CommandId(id));
                Touched::Nobody
            }
            DownKind::Moving => {
                self.moving.remove(RouterId(id));
                Touched::Router(RouterId(id))
            }
            DownKind::RouterLogin => {
                self.router_logins.remove(RouterLoginId(id));
                Touched::Nobody
            }
        }
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
