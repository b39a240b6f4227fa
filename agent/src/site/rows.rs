//! Rows of the cloud's feed become what the site knows.

use std::sync::{Arc, PoisonError};

use easyisp_shared::id::{CommandId, CustomerId, PackageId, RouterId, RouterLoginId, VoucherId};
use easyisp_shared::seal::SealKey;
use easyisp_shared::wire::down::{RouterV1, SubscriberV1, secret_place};
use easyisp_shared::wire::{Down, DownKind, DownRecord, WireError};
use tracing::warn;
use uuid::Uuid;

use super::{Monitored, Moving, Policy, Router, Site, Subscriber};

/// Who may have to be looked at again after a row was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Somebody who is a customer no more. Who is online by his name began, perhaps, under one of before who had it.
    Gone {
        /// Who.
        customer: CustomerId,
        /// What he was called.
        username: Box<[u8]>,
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
    /// Takes one row of the feed. A row that cannot be read changes nothing and is told once here:
    /// the cache keeps its bytes for a later build.
    pub fn apply(&self, row: &DownRecord) -> Touched {
        let Some(kind) = DownKind::from_code(row.kind) else {
            return Touched::Nobody;
        };
        match &row.body {
            None => {
                let touched = self.remove(kind, row.id);
                if kind == DownKind::Router {
                    self.speaks_of(RouterId(row.id), None);
                }
                touched
            }
            Some(body) => match self.put(kind, row, body) {
                Ok(touched) => touched,
                Err(cause) => {
                    warn!(row.id = %row.id, ?kind, %cause, "Cannot use a row of the feed");
                    Touched::Nobody
                }
            },
        }
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
                let (router, leases) = (told.router, told.leases);
                let before = self.router(router).map(|router| router.leases);
                self.put_router(told.clone());
                self.speaks_of(router, Some(&told));
                // Who has a lease there has it in another way from here on.
                match before {
                    Some(before) if before != leases => Touched::Router(router),
                    Some(_) | None => Touched::Nobody,
                }
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
            Down::Monitored(told) => {
                let router = told.router;
                // One whose secrets do not open is not read any more, rather than with old ones.
                self.monitored.remove(router);
                if let Some(monitored) = Monitored::open(told, &self.key) {
                    self.monitored.put(router, monitored);
                }
                Touched::Nobody
            }
        })
    }

    fn put_subscriber(&self, mut told: SubscriberV1) -> Touched {
        let customer = told.customer;
        self.file_binds(customer, std::mem::take(&mut told.bound_macs));
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

    pub(super) fn put_router(&self, told: RouterV1) {
        if let Some(router) = Router::open(told, &self.key) {
            self.put_open_router(router);
        }
    }

    pub(super) fn put_open_router(&self, mut router: Router) {
        let mut routers = self.routers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = routers.iter().find(|held| held.id == router.id) {
            router = router.succeeds(held);
            if router.found_at().is_none() {
                self.adopted.forget(router.id);
            }
        }
        put_among(&mut routers, Arc::new(router));
    }

    /// One that was known before, with what it learnt then.
    pub(super) fn put_shared_router(&self, router: Arc<Router>) {
        let mut routers = self.routers.write().unwrap_or_else(PoisonError::into_inner);
        put_among(&mut routers, router);
    }

    pub(super) fn remove(&self, kind: DownKind, id: Uuid) -> Touched {
        match kind {
            DownKind::Subscriber => {
                let customer = CustomerId(id);
                self.devices_mut().replace(customer, std::iter::empty());
                self.file_binds(customer, Vec::new());
                match self.subscribers.remove(customer) {
                    Some(known) => Touched::Gone {
                        customer,
                        username: known.username.clone(),
                    },
                    None => Touched::Customer {
                        customer,
                        password: PasswordChange::Same,
                    },
                }
            }
            DownKind::Package => {
                self.packages.remove(PackageId(id));
                Touched::Package(PackageId(id))
            }
            DownKind::Router => {
                let mut routers = self.routers.write().unwrap_or_else(PoisonError::into_inner);
                routers.retain(|router| router.id != RouterId(id));
                self.adopted.forget(RouterId(id));
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
            DownKind::Monitored => {
                self.monitored.remove(RouterId(id));
                Touched::Nobody
            }
        }
    }
}

fn put_among(routers: &mut Vec<Arc<Router>>, router: Arc<Router>) {
    routers.retain(|held| held.id != router.id);
    routers.push(router);
    routers.sort_by_key(|router| std::cmp::Reverse(router.source.prefix_len()));
}
