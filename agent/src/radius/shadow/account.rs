//! An accounting record at a router with an old server behind it: ours, and the old server's too.

use std::sync::Arc;

use easyisp_shared::wire::down::MovingMode;

use super::driver::{Ask, Outcome};
use super::proxy::Purpose;
use super::translate::{self, Outgoing};
use crate::radius::accounting::{AccountingRequest, AccountingStatus};
use crate::radius::driver::{Known, Radius};
use crate::radius::reply::Port;
use crate::radius::verify::VerifiedAccounting;
use crate::site::{Moving, OldServer};
use crate::store::{Committed, Done};

/// What becomes of a record besides its being ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The router hears an answer when the old server acknowledged it too.
    Both,
    /// The old server gets a copy, and nobody waits for it.
    Copied,
    /// It stays here.
    Ours,
}

impl Radius {
    /// Lets the old server hear of a record once it is on stable storage here; returns what is to be told
    /// when that is so.
    pub(in crate::radius) fn account_beside(
        self: &Arc<Self>,
        known: &Known<VerifiedAccounting<'_>>,
        request: &AccountingRequest<'_>,
        answer: Done,
    ) -> Done {
        let Some(moving) = self.parts.site.moving(known.router.id) else {
            return answer;
        };
        let fate = self.fate(&moving, known, request);
        if fate == Fate::Ours {
            return answer;
        }
        let mark = self.pool.take(&self.parts.entropy);
        let ready = moving.server.as_ref().ok();
        let ready = ready.and_then(|server| {
            let outgoing = translate::record(&known.packet, mark).ok()?;
            Some((server.clone(), outgoing))
        });
        let (radius, router) = (self.clone(), known.router.id);
        let ask = move |(server, request): (Arc<OldServer>, Outgoing), purpose, answer: Done| {
            let telling = radius.clone();
            radius.ask_old_server(Ask {
                router,
                server,
                port: Port::Accounting,
                request,
                purpose,
                settle: Box::new(move |outcome| {
                    let acknowledged = matches!(outcome, Outcome::Answer(_));
                    telling.tallies().note(router, |tally| {
                        let counts = tally.counts();
                        match acknowledged {
                            true => counts.accounted += 1,
                            false => counts.not_accounted += 1,
                        }
                    });
                    answer(match acknowledged {
                        true => Committed::Yes,
                        false => Committed::No,
                    });
                }),
            });
        };
        match (fate, ready) {
            (Fate::Ours, _) | (Fate::Copied, None) => answer,
            (Fate::Copied, Some(ready)) => Box::new(move |committed| {
                answer(committed);
                if committed == Committed::Yes {
                    ask(ready, Purpose::Aside, Box::new(|_| {}));
                }
            }),
            // Nobody there who could acknowledge it: the router keeps it and asks again.
            (Fate::Both, None) => Box::new(move |_| answer(Committed::No)),
            (Fate::Both, Some(ready)) => Box::new(move |committed| match committed {
                Committed::Yes => ask(ready, Purpose::Answer, answer),
                Committed::No => answer(Committed::No),
            }),
        }
    }

    /// Whether a session is one that the old server let in.
    pub(in crate::radius) fn is_old_servers(
        &self,
        known: &Known<VerifiedAccounting<'_>>,
        request: &AccountingRequest<'_>,
    ) -> bool {
        let moving = self.parts.site.moving(known.router.id);
        moving.is_some_and(|moving| self.fate(&moving, known, request) == Fate::Both)
    }

    /// What a router says of itself concerns the sessions of both; ours are not to wait for the old server.
    fn fate(
        &self,
        moving: &Moving,
        known: &Known<VerifiedAccounting<'_>>,
        request: &AccountingRequest<'_>,
    ) -> Fate {
        let of_the_router = match request.status {
            AccountingStatus::On | AccountingStatus::Off => true,
            AccountingStatus::Start
            | AccountingStatus::Stop
            | AccountingStatus::Interim
            | AccountingStatus::Other(_) => false,
        };
        if self.is_of_router_login(known, request) {
            return match self.is_listed(known, request) {
                true => Fate::Ours,
                false => Fate::Both,
            };
        }
        match moving.mode {
            MovingMode::Forward => Fate::Both,
            MovingMode::Shadow if of_the_router => Fate::Copied,
            MovingMode::Shadow if !self.knows_reported(request) => Fate::Both,
            MovingMode::Shadow if moving.copy_accounting => Fate::Copied,
            MovingMode::Shadow => Fate::Ours,
        }
    }
}
