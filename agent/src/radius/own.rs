//! What only this process asks itself: the watchdog's login, and whose a datagram is.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::driver::{Radius, slot};
use super::packet::Packet;
use super::reply::{Accept, Port};
use super::verify::{VerifiedAccess, VerifiedAccounting, VerifiedStatus};
use super::{AccessRequest, Code, KnownPassword, Secret, SigningPolicy};
use crate::sessions::Asker;

/// The one login that is no customer's: from a socket of this process, under a secret and a password
/// that were made at the start and never leave it.
pub(crate) struct Own {
    /// The socket, which no other process can have meanwhile.
    pub source: SocketAddr,
    /// What signs its requests.
    pub secret: Arc<Secret>,
    /// What it shows.
    pub password: KnownPassword,
}

impl Radius {
    /// Lets the watchdog in from now on.
    pub(crate) fn take_own(&self, own: Own) {
        let _first_stays = self.own.set(own);
    }

    /// Whether this is the watchdog's socket.
    pub(crate) fn is_own(&self, source: SocketAddr) -> bool {
        self.own.get().is_some_and(|own| own.source == source)
    }

    /// Whether any router of this site may speak from `source`.
    pub(crate) fn knows_source(&self, source: IpAddr) -> bool {
        self.parts.site.knows_source(source)
    }

    /// Whether a router of this site signed the datagram.
    pub(crate) fn signed(&self, source: IpAddr, datagram: &[u8], port: Port) -> bool {
        let Ok(packet) = Packet::parse(datagram) else {
            return false;
        };
        let status = packet.code() == Some(Code::StatusServer);
        let verifies = |secret: &Arc<Secret>| match port {
            _ if status => VerifiedStatus::check(packet, secret).is_ok(),
            Port::Authentication => {
                VerifiedAccess::check(packet, secret, SigningPolicy::Require).is_ok()
            }
            Port::Accounting => VerifiedAccounting::check(packet, secret).is_ok(),
        };
        let site = &self.parts.site;
        let found = site.router_from(source, |router| {
            router.secrets.iter().any(verifies).then_some(())
        });
        found.is_some()
    }

    /// Answers the watchdog by the way of every login (reply cache, names, places, policy, signature),
    /// but keeps no place and tells nobody.
    pub(super) fn own_login(&self, source: SocketAddr, packet: &Packet<'_>) -> Option<Arc<[u8]>> {
        let own = self.own.get()?;
        let verified = VerifiedAccess::check(*packet, &own.secret, SigningPolicy::Require).ok()?;
        let slot = slot(source, Port::Authentication, packet);
        if let Some(settled) = self.begin(slot, packet) {
            return settled;
        }
        let request = AccessRequest::read(&verified);
        let _nobody = self.parts.site.subscriber(request.user_name);
        let _policy = self.parts.site.policy();
        let now = self.parts.clock.now();
        let name = request.user_name;
        let right = own.password.check(&request, &own.secret).is_ok();
        let right = self.parts.sessions.admit(
            Asker {
                customer: None,
                username: name,
            },
            None,
            None,
            now,
            |_| (None, right),
        );
        let reply = right.then(|| Accept::default().encode(&verified, &own.secret, Vec::new()));
        let reply: Arc<[u8]> = reply?.ok()?.into();
        self.replies(slot)
            .finish(slot, packet.authenticator(), reply.clone());
        Some(reply)
    }
}
