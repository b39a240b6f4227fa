//! Somebody logs in to the router itself (`/user aaa` on it): an operator on the tenant's list, never a
//! subscriber. Without this, whoever buys an hour of internet could read the router's configuration.

use easyisp_shared::wire::up::LoginOutcome;

use super::driver::{Known, Radius};
use super::later::Later;
use super::login::{buffer, ms_chap, unknown_user};
use super::password::PasswordError;
use super::reply::Accept;
use super::verify::{Proof, Refused, VerifiedAccess};
use super::{AccessRequest, Service};

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
        let guessed = guessed_name(request.user_name);
        let barred = self.is_barred(request, &guessed, None);
        let outcome = match (&checked, &login) {
            (Err(PasswordError::Garbled), _) if known.packet.proof() == Proof::Unsigned => {
                let cause = Refused::BadRequestAuthenticator;
                self.note_refused(&known.router, cause, known.packet.packet());
                return None;
            }
            (_, _) if barred => LoginOutcome::TooManyTries,
            (_, None) => LoginOutcome::UnknownRouterLogin,
            (Err(_), Some(_)) => LoginOutcome::WrongRouterPassword,
            (Ok(_), Some(_)) => LoginOutcome::RouterLogin,
        };
        self.log_router_login(known, request, &guessed, outcome);
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
                self.failed(request, &guessed, None, barred, later);
                self.reject(known, request, None, &random)
            }
        }
    }

    /// Whether somebody of this name may log in to this router.
    pub(super) fn knows_router_login(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
    ) -> bool {
        let site = &self.parts.site;
        site.router_login(request.user_name, known.router.id)
            .is_some()
    }
}

/// Under which name wrong passwords are counted: a customer of the same name is not kept out by them.
fn guessed_name(name: &[u8]) -> Vec<u8> {
    [b"router login\0", name].concat()
}
