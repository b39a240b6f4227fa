//! A router's DHCP server asks whether a device gets an address (`/ip dhcp-server use-radius`).
//!
//! It shows a hardware address and nothing that proves it, so it opens one thing alone: the lease of the DHCP customer
//! whose registered device that is, at a router that an operator lets ask so. Leases are short, for DHCP has no CoA: what
//! is new reaches a device with its next request, and who may have nothing any more loses his lease through the API.

use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::entitlement::{Answer, Reason, Verdict};
use easyisp_shared::net::Mac;
use easyisp_shared::setup::ALLOWED;
use easyisp_shared::wire::up::LoginOutcome;

use super::driver::{Known, Radius};
use super::login::buffer;
use super::reply::Accept;
use super::verify::{VerifiedAccess, VerifiedAccounting};
use super::{AccessRequest, AccountingRequest, Credential, Service};
use crate::enforce;
use crate::sessions;
use crate::site::{Router, Subscriber};

impl Radius {
    /// Answers a DHCP server; `None` where something else asks.
    pub(super) fn lease(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
    ) -> Option<Option<Vec<u8>>> {
        let device = asking(request)?;
        let Some(line) = self.holder(&known.router, device) else {
            // Somebody may be called like a device, and then has a password to show.
            if self.parts.site.subscriber(request.user_name).is_some() {
                return None;
            }
            self.parts.counters.count("unknown_lease");
            return Some(self.reject(known, request, None, &self.random()));
        };
        Some(self.lend(known, request, &line, device))
    }

    /// Whether a DHCP server asks for somebody of ours.
    pub(super) fn knows_lease(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
    ) -> bool {
        let holder = asking(request).and_then(|device| self.holder(&known.router, device));
        holder.is_some()
    }

    /// Whose lease a report is about, and of which device.
    pub(super) fn lease_reported(
        &self,
        known: &Known<VerifiedAccounting<'_>>,
        request: &AccountingRequest<'_>,
    ) -> Option<(Arc<Subscriber>, Mac)> {
        let device = named(request.user_name).filter(|_| request.service == Service::Other)?;
        Some((self.holder(&known.router, device)?, device))
    }

    fn holder(&self, router: &Router, device: Mac) -> Option<Arc<Subscriber>> {
        let asked = router
            .leases
            .then(|| self.parts.site.of_lease(device, router.id));
        asked.flatten()
    }

    fn lend(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        line: &Subscriber,
        device: Mac,
    ) -> Option<Vec<u8>> {
        let (site, now) = (&self.parts.site, self.parts.clock.now());
        let verdict = enforce::of_line(site, &self.parts.sessions, line, known.router.id, now);
        let outcome = outcome(&verdict, site.policy().lease_is_over(now));
        self.log_login(known, request, Some(line), Some(device), outcome, now);
        let policy = site.policy();
        let (rate, list, pool, most) = match (verdict.answer, policy.row.as_ref()) {
            (Answer::Reject, _) | (_, None) => {
                return self.reject(known, request, Some(verdict.reason), &self.random());
            }
            (Answer::Accept, Some(_)) => {
                let package = line.package.and_then(|id| site.package(id));
                let pool = package.and_then(|package| package.pool.clone());
                (verdict.rate, ALLOWED, pool, LEASE)
            }
            (Answer::WalledGarden, Some(row)) => (
                Some(row.garden_rate),
                row.garden_list.as_str(),
                row.garden_pool.clone(),
                GARDEN_LEASE,
            ),
        };
        let until = [verdict.end, verdict.next_change]
            .into_iter()
            .flatten()
            .min();
        let rate = rate.map(|rate| rate.to_mikrotik());
        let cookie = sessions::cookie(self.pool.take(&self.parts.entropy));
        let accept = Accept {
            rate_limit: rate.as_deref(),
            session_timeout: Some(until.map_or(most, |until| until.since(now).min(most))),
            interim_interval: Some(INTERIM),
            framed_address: line.static_ip.filter(|ip| !ip.is_unspecified()),
            framed_pool: pool.as_deref(),
            address_list: Some(list),
            class: Some(&cookie),
            ..Accept::default()
        };
        self.parts.counters.count("lease");
        accept.encode(&known.packet, &known.secret, buffer()).ok()
    }
}

fn outcome(verdict: &Verdict, lease_over: bool) -> LoginOutcome {
    match (verdict.answer, verdict.reason) {
        (Answer::Accept, _) => LoginOutcome::Accepted,
        (Answer::WalledGarden, reason) => LoginOutcome::Garden(reason),
        (Answer::Reject, Reason::Expired) if lease_over => LoginOutcome::LeaseOver,
        (Answer::Reject, reason) => LoginOutcome::Refused(reason),
    }
}

/// The device for which a DHCP server asks: on Ethernet, by the server's name, without a Service-Type, and with no
/// password or the router's own. Calling-Station-Id is what the device calls itself, not its hardware address.
fn asking(request: &AccessRequest<'_>) -> Option<Mac> {
    let station = &request.station;
    let wired = station.nas_port_type == Some(ETHERNET)
        && station.called.is_some()
        && !request.names_service;
    match (request.service, request.credential) {
        (Service::Other, Credential::None | Credential::Pap { .. }) if wired => {
            named(request.user_name)
        }
        (Service::Other | Service::Ppp | Service::Hotspot | Service::Router, _) => None,
    }
}

fn named(name: &[u8]) -> Option<Mac> {
    str::from_utf8(name).ok().and_then(Mac::parse)
}

/// NAS-Port-Type (RFC 2865 §5.41).
const ETHERNET: u32 = 15;
/// A device asks again after half of it: so long, at most, it has what it had.
pub const LEASE: Duration = Duration::from_secs(600);
/// Who pays is let out of the garden with his next request.
const GARDEN_LEASE: Duration = Duration::from_secs(120);
const INTERIM: Duration = Duration::from_secs(300);
