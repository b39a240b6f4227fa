//! Somebody logs in to the router itself (`/user aaa` on it): an operator on the tenant's list, never a
//! subscriber. Without this, whoever buys an hour of internet could read the router's configuration.

use easyisp_shared::id::RouterId;
use easyisp_shared::net::Mac;
use easyisp_shared::wire::up::LoginOutcome;

use super::driver::{Known, Radius, mac};
use super::later::Later;
use super::login::{buffer, ms_chap, unknown_user};
use super::password::PasswordError;
use super::reply::Accept;
use super::request::Station;
use super::verify::{Proof, Refused, VerifiedAccess, VerifiedAccounting};
use super::{AccessRequest, AccountingRequest, Service};

impl Radius {
    /// Answers a login to the router itself: its group where name and password are right, and nothing that
    /// a subscriber gets. Guessing is slowed as it is for subscribers, apart from them.
    pub(super) fn router_login(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        later: &Later<'_>,
    ) -> Option<Vec<u8>> {
        let random = self.random();
        let login = self
            .parts
            .site
            .router_login(request.user_name, known.router.id);
        let password = login.as_deref().and_then(|login| login.password.as_ref());
        let checked = match password {
            Some(password) => password.check(request, &known.secret),
            None => Err(unknown_user(request, known)),
        };
        let guessed = guessed_name(known.router.id, request);
        // Counted apart from customers: without the device, and under a name that nobody has.
        let apart = AccessRequest {
            station: Station::default(),
            ..request.clone()
        };
        let barred = self.is_barred(&apart, &guessed, None);
        let outcome = match (&checked, &login) {
            (Err(PasswordError::Garbled), _) if known.packet.proof() == Proof::Unsigned => {
                let cause = Refused::BadRequestAuthenticator;
                self.note_refused(&known.router, cause, known.packet.packet());
                return None;
            }
            (_, _) if barred => LoginOutcome::TooManyRouterTries,
            (_, None) => LoginOutcome::UnknownRouterLogin,
            (Err(_), Some(_)) => LoginOutcome::WrongRouterPassword,
            (Ok(_), Some(_)) => LoginOutcome::RouterLogin,
        };
        // What is nobody's name may be a code that was typed in the wrong place.
        let alias = match &login {
            Some(_) => None,
            None => self.alias(request.user_name),
        };
        let shown = alias.as_deref().unwrap_or(request.user_name);
        self.log_router_login(known, shown, outcome);
        match (checked, login) {
            (Ok(authenticated), Some(login)) if !barred => {
                let accept = Accept {
                    service: Service::Router,
                    group: Some(&login.group),
                    ms_chap: ms_chap(&authenticated, &random),
                    ..Accept::default()
                };
                self.parts.counters.count("router_login");
                accept.encode(&known.packet, &known.secret, buffer()).ok()
            }
            (Ok(_) | Err(_), _) => {
                self.failed(&apart, &guessed, None, barred, later);
                self.reject(known, request, None, &random)
            }
        }
    }

    /// Whether the name that is shown to a router is somebody's here: on the list, a customer's, a code or a
    /// customer's device.
    pub(super) fn knows_by_any_name(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
    ) -> bool {
        let (site, name) = (&self.parts.site, request.user_name);
        let device = str::from_utf8(name).ok().and_then(Mac::parse);
        site.router_login(name, known.router.id).is_some()
            || site.subscriber(name).is_some()
            || self.knows_code(name)
            || device.is_some_and(|device| site.of_device(device).is_some())
    }

    /// Whether a report is about somebody at the router itself. RouterOS may leave Service-Type out of it;
    /// what was let in as a session comes back with its Class.
    pub(super) fn is_of_router_login(
        &self,
        known: &Known<VerifiedAccounting<'_>>,
        request: &AccountingRequest<'_>,
    ) -> bool {
        let station = &request.station;
        let is_session = request.class.is_some() || station.framed_address.is_some();
        match request.service {
            _ if is_session => false,
            Service::Router => true,
            Service::Other => mac(station.calling).is_none() && self.is_listed(known, request),
            Service::Ppp | Service::Hotspot => false,
        }
    }

    /// Whether a report bears the name of somebody who may log in to this router.
    pub(super) fn is_listed(
        &self,
        known: &Known<VerifiedAccounting<'_>>,
        request: &AccountingRequest<'_>,
    ) -> bool {
        let login = self
            .parts
            .site
            .router_login(request.user_name, known.router.id);
        login.is_some()
    }
}

/// Under which name wrong passwords are counted: of one name, at one router, from one place. A customer of
/// the same name is not kept out by them, nor is he whose name it is, from where he works.
fn guessed_name(router: RouterId, request: &AccessRequest<'_>) -> Vec<u8> {
    let from = request.station.calling.unwrap_or_default();
    [
        b"router login\0",
        &router.as_bytes()[..],
        from,
        b"\0",
        request.user_name,
    ]
    .concat()
}
