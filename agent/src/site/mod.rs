//! What this site knows, in memory: subscribers, packages, routers, policy; and the one decision.
//!
//! A site is a value without process-wide state. Rows of the cloud's feed go in through
//! [`Site::apply`], at start from the cache and later as they come; nothing is rebuilt or swapped.

mod adopted;
pub mod description;
mod directory;
mod router;
mod seen;
mod signers;
mod subscriber;
mod time;

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use easyisp_shared::entitlement::{self, Live, Verdict};
use easyisp_shared::id::{CommandId, CustomerId, PackageId, RouterId};
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::{CommandV1, PackageV1, PolicyV1};
use easyisp_shared::wire::{Down, DownKind, DownRecord, WireError};
use tracing::warn;
use uuid::Uuid;

pub use adopted::Ranges;
pub use router::{Router, RouterApi, Signing};
pub use seen::UnknownSources;
pub use subscriber::Subscriber;
pub use time::{SiteClock, TimeKeeper};

use adopted::Adopted;
use directory::{Directory, Table};

/// What one site knows.
pub struct Site {
    key: SealKey,
    subscribers: Directory,
    packages: Table<PackageId, PackageV1>,
    routers: RwLock<Vec<Arc<Router>>>,
    commands: Table<CommandId, (u64, CommandV1)>,
    policy: RwLock<Arc<Policy>>,
    adopted: Adopted,
}

/// The site's policy, with the part that decides prepared.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// As the cloud says it; `None` before the first feed.
    pub row: Option<PolicyV1>,
    /// What [`entitlement::decide`] looks at.
    pub entitlement: entitlement::SitePolicy,
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
    /// ahead (G6).
    pub fn verdict(&self, subscriber: &Subscriber, live: &Live, now: Timestamp) -> Verdict {
        let policy = self.policy();
        let package = subscriber.package.and_then(|id| self.packages.find(id));
        let package = package.as_deref().map(PackageV1::entitlement);
        if !policy.lease_is_over(now) {
            let known = &subscriber.entitlement;
            return entitlement::decide(known, package.as_ref(), live, &policy.entitlement, now);
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
            Down::Policy(told) => {
                let policy = Policy {
                    entitlement: told.entitlement(),
                    row: Some(told),
                };
                *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
                Touched::All
            }
            Down::Command(told) => {
                let command = told.command;
                self.commands.put(command, (row.version, told));
                Touched::Command(command)
            }
        })
    }

    fn put_subscriber(&self, told: easyisp_shared::wire::down::SubscriberV1) -> Touched {
        let customer = told.customer;
        let subscriber = Subscriber::open(told, &self.key);
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
            DownKind::Policy => Touched::Nobody, // a site without policy keeps the last one
            DownKind::Command => {
                self.commands.remove(CommandId(id));
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
