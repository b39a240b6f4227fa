//! Nothing keeps him out: what his own equipment does, or does not.

use super::case::{Case, DAY, Named, SETTLES};
use super::cause::Cause;
use super::{Evidence, evidence};
use crate::time::Timestamp;
use crate::wire::diagnosis::{HappenedV1, HappeningV1, OpenV1};
use crate::wire::up::LoginOutcome;

impl Case<'_> {
    /// Nobody asks in his name, and somebody nearly in it, or with his device.
    pub(super) fn other_name(&self) -> Option<Named> {
        let since = self.told.happened.iter().map(|one| one.last).max();
        let stranger = self.told.strangers.first()?;
        let later = since.is_none_or(|since| since < stranger.last);
        if !later || !self.is_within(stranger.last, DAY) {
            return None;
        }
        let name = evidence::printable(&stranger.username);
        Some(Named {
            cause: Cause::WrongUsername,
            sentence: format!("His equipment asks under the name \"{name}\", which nobody has."),
            action: "Enter his user name in his equipment again.".to_owned(),
            proof: vec![Evidence::at(
                stranger.last,
                format!(
                    "\"{name}\" asked at {}{}.",
                    self.name(stranger.router),
                    evidence::device(stranger.mac)
                ),
            )],
        })
    }

    /// He was let in, and nothing came of it.
    pub(super) fn no_session(&self) -> Option<Named> {
        let (last, outcome) = self.last?;
        let came = self.newest(|what| !matches!(what, HappeningV1::Login(_)));
        let came = came.is_some_and(|came| came.last >= last.first);
        if !outcome.is_in() || came || !self.is_within(last.last, DAY) {
            return None;
        }
        let router = self.name(last.router);
        let just = self.is_within(last.last, SETTLES);
        Some(Named {
            cause: Cause::NoSession,
            sentence: match just {
                true => format!(
                    "He was let in a moment ago; {router} has not reported his session yet."
                ),
                false => format!("He was let in, but {router} reported no session."),
            },
            action: match just {
                true => "Look again in a minute.".to_owned(),
                false => format!(
                    "Look at the log of router {router}: an address pool that is used up, another RADIUS \
                     secret, or accounting that is switched off."
                ),
            },
            proof: vec![self.seen(last)],
        })
    }

    /// Nothing keeps him out: it is his equipment that does not ask.
    pub(super) fn silence(&self) -> Named {
        let ask = "Check power, cable and signal of his equipment, and its user name and password.";
        if let Some(session) = self.told.sessions.first() {
            return self.unconfirmed(session);
        }
        let newest = self.newest(|what| !matches!(what, HappeningV1::Noted(_)));
        let Some(newest) = newest else {
            return Named {
                cause: Cause::NeverAsked,
                sentence: "Nothing was ever heard of his equipment.".to_owned(),
                action: ask.to_owned(),
                proof: Vec::new(),
            };
        };
        let at = newest.last;
        let router = self.name(newest.router);
        let (cause, sentence, action) = match &newest.what {
            HappeningV1::Lost => (
                Cause::SessionLost,
                match self.restart(newest) {
                    Some(booted) => format!(
                        "Router {router} restarted at {booted} and lost his session; he has not asked since."
                    ),
                    None => format!("Router {router} lost his session; he has not asked since."),
                },
                "Have him switch his equipment off and on, so that it dials again.".to_owned(),
            ),
            HappeningV1::Login(outcome) if self.is_mended(*outcome) => (
                Cause::NotAsking,
                format!("He has not asked since {at}; what he was refused for then is mended."),
                "Have him switch his equipment off and on, so that it dials again.".to_owned(),
            ),
            HappeningV1::Ended(cause) => (
                Cause::NotAsking,
                format!(
                    "He is offline since {at} ({}), and has not asked since.",
                    evidence::end(*cause)
                ),
                ask.to_owned(),
            ),
            HappeningV1::Login(_) | HappeningV1::Began | HappeningV1::Noted(_) => (
                Cause::NotAsking,
                format!("His equipment has not asked since {at}."),
                ask.to_owned(),
            ),
        };
        Named {
            cause,
            sentence,
            action,
            proof: vec![self.seen(newest)],
        }
    }

    /// A session that nobody ended and of which nothing is heard.
    fn unconfirmed(&self, session: &OpenV1) -> Named {
        let (router, seen) = (self.name(session.router), session.seen);
        Named {
            cause: Cause::SessionLost,
            sentence: format!(
                "Router {router} has not spoken of his session since {seen}, nor said that it ended."
            ),
            action: format!(
                "Look whether router {router} lists him (/ppp active, /ip hotspot active); where it does not, have \
                 him switch his equipment off and on, so that it dials again."
            ),
            proof: vec![Evidence::at(
                seen,
                format!("The last that {router} reported of his session."),
            )],
        }
    }

    /// The router's start by which a session was lost: after it began, and before that was found out.
    fn restart(&self, lost: &HappenedV1) -> Option<Timestamp> {
        let began = self.newest(|what| *what == HappeningV1::Began);
        let booted = self.fact(lost.router)?.booted?;
        let after = began.is_none_or(|began| began.last <= booted);
        (after && booted <= lost.last).then_some(booted)
    }

    /// A refusal that would not be repeated: asked after nothing else was found that keeps him out.
    fn is_mended(&self, outcome: LoginOutcome) -> bool {
        match outcome {
            LoginOutcome::Refused(_) | LoginOutcome::LeaseOver | LoginOutcome::UnknownUser => {
                self.told.would.is_some()
            }
            LoginOutcome::Accepted
            | LoginOutcome::Garden(_)
            | LoginOutcome::WrongPassword
            | LoginOutcome::VoucherExpired
            | LoginOutcome::VoucherElsewhere
            | LoginOutcome::NotStored
            | LoginOutcome::TooManyTries
            | LoginOutcome::RouterLogin
            | LoginOutcome::UnknownRouterLogin
            | LoginOutcome::WrongRouterPassword
            | LoginOutcome::TooManyRouterTries => false,
        }
    }
}
