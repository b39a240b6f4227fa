//! Ends sessions rung by rung, and knows the result: carries out what `rungs` decides.

use std::time::Duration;

use tracing::info;
use zeroize::Zeroizing;

use super::driver::{Effect, Enforcer};
use super::rungs::{self, Api, Next};
use super::ways;
use crate::diagnosis::{Proof, Stuck, What, Why};
use crate::radius::coa::{Order, Outcome};
use crate::routeros::{Active, ApiError, Rates};
use crate::sessions::{Service, Session, SessionKey};

/// Whether a session that should have ended goes on under a password that counts no more. No look tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Password {
    /// It does not.
    Same,
    /// It does.
    Another,
}

impl Password {
    fn of(why: Why) -> Password {
        match why {
            Why::PasswordChanged => Password::Another,
            Why::Refused(_)
            | Why::Unknown
            | Why::LeavesGarden
            | Why::ChangesList
            | Why::ChangeRefused
            | Why::Command => Password::Same,
        }
    }
}

impl Enforcer {
    /// Ends a session: Disconnect, then the API, until its end is proved or there is nothing to try.
    /// A session whose end is not proved is looked at again, after longer and longer pauses.
    pub(super) async fn cut(&self, session: &Session, why: Why) -> Effect {
        if session.service == Service::Line {
            return Effect::Failed(NO_LOGIN.into());
        }
        info!(session = %session.key.acct_session_id.escape_ascii(), ?why, "Cutting a session");
        self.note(session, What::Cut(why));
        match self.climb(session).await {
            Ok(proof) => {
                self.note(session, What::CutProved(proof));
                // Its Stop may still come and will tell more; nobody waits for it.
                if proof != Proof::Stop && !self.is_over(&session.key) {
                    self.parts.radius.give_up(&session.key);
                }
                self.rested(&session.key, Password::of(why));
                Effect::Done
            }
            Err((stuck, detail)) => {
                self.note(session, What::CutFailed(stuck));
                let password = Password::of(why);
                let again = self.now().plus(self.patience(&session.key, password));
                self.parts.timers.arm_by(&session.key, Some(again));
                Effect::Failed(match (detail, stuck) {
                    (Some(detail), _) => detail,
                    (None, Stuck::Silent) => {
                        let router = self.parts.site.router(session.key.router);
                        ways::unheard(router.as_deref())
                    }
                    (None, stuck) => stuck.to_string(),
                })
            }
        }
    }

    async fn climb(&self, session: &Session) -> Result<Proof, (Stuck, Option<String>)> {
        let api = self.api_of(session);
        let mut asked = 0;
        let mut next = None;
        loop {
            let step = match next.take() {
                Some(step) => step,
                None => {
                    asked += 1;
                    let outcome = self.disconnect(session, api).await;
                    rungs::after_disconnect(outcome, api)
                }
            };
            match step {
                Next::Gone => return Ok(Proof::NotListed),
                Next::GiveUp(stuck) => return Err((stuck, None)),
                Next::AskApi => return self.remove(session).await,
                Next::AwaitStop => {
                    if self.ends_within(&session.key, STOP_COMES).await {
                        return Ok(Proof::Stop);
                    }
                    next = rungs::after_no_stop(asked, api);
                }
            }
        }
    }

    /// Where there is another rung, silence is not waited out to the end.
    async fn disconnect(&self, session: &Session, api: Api) -> Option<Outcome> {
        let asking = self.ask(session, Order::Disconnect);
        match api {
            Api::None => asking.await,
            Api::SetUp => {
                let answered = self.within(COA_ANSWERS, asking).await;
                answered.unwrap_or(Some(Outcome::NoAnswer))
            }
        }
    }

    /// Takes a session off the router's list; the list itself is the proof.
    async fn remove(&self, session: &Session) -> Result<Proof, (Stuck, Option<String>)> {
        let Some(found) = self.listed(session).await? else {
            return Ok(Proof::NotListed);
        };
        let router = self.parts.site.router(session.key.router);
        let router = router.ok_or((Stuck::NotAsked, None))?;
        let removed = self.parts.apis.remove(&router, &found, API_ANSWERS).await;
        removed.map_err(|cause| (Stuck::ApiRefused, Some(cause.to_string())))?;
        if self.ends_within(&session.key, STOP_FOLLOWS).await
            || self.listed(session).await?.is_none()
        {
            return Ok(Proof::Removed);
        }
        Err((Stuck::StillThere, None))
    }

    /// The line of the router's list that is this session.
    async fn listed(&self, session: &Session) -> Result<Option<Active>, (Stuck, Option<String>)> {
        let router = self.parts.site.router(session.key.router);
        let router = router.ok_or((Stuck::NotAsked, None))?;
        let name = self.parts.radius.name_at_router(session);
        let name = name.as_ref().map(|name| &***name);
        let unreadable = |cause: ApiError| (Stuck::ApiSilent, Some(cause.to_string()));
        if name.is_some() {
            let listed = self.parts.apis.active(&router, name, API_ANSWERS).await;
            let found = self.session_in(listed.map_err(unreadable)?, session);
            // After a restart of this agent a device's address is not known to stand for its owner.
            let spoken = name.is_some_and(|name| *name != *session.username);
            if found.is_some() || spoken || session.service != Service::Hotspot {
                return Ok(found);
            }
        }
        let listed = self.parts.apis.active(&router, None, API_ANSWERS).await;
        Ok(self.session_in(listed.map_err(unreadable)?, session))
    }

    fn session_in(&self, listed: Vec<Active>, session: &Session) -> Option<Active> {
        let ours = |active: &Active| self.parts.radius.our_name(&active.name);
        let named = |active: &&Active| rungs::is_same(active, &ours(active), session);
        let device = |active: &&Active| rungs::is_same_device(active, &ours(active), session);
        let mut lines = listed.iter();
        let found = lines.find(named).or_else(|| listed.iter().find(device));
        found.cloned()
    }

    /// Whether the router took over a new rate; `None` where that cannot be read.
    pub(super) async fn has_rate(
        &self,
        session: &Session,
        wanted: easyisp_shared::net::RateLimit,
    ) -> Option<bool> {
        let router = self.parts.site.router(session.key.router)?;
        router.api.as_ref()?;
        // A second session of one name has a queue of another name.
        if self.parts.sessions.open_by_name(&session.username).len() > 1 {
            return None;
        }
        let name = self.parts.radius.name_at_router(session)?;
        let limit = self
            .parts
            .apis
            .limit(&router, session.service, &name, API_ANSWERS)
            .await;
        let wanted = Rates {
            up_bps: u64::from(wanted.up_kbps) * 1000,
            down_bps: u64::from(wanted.down_kbps) * 1000,
        };
        Some(limit.ok()?? == wanted)
    }

    /// Whether the router took over a later end; `None` where that cannot be read: without its API, and on
    /// PPP, whose list of who is online has no word for it. There its acknowledgement is believed.
    pub(super) async fn has_end(&self, session: &Session, wanted: Duration) -> Option<bool> {
        match session.service {
            Service::Ppp | Service::Line => return None,
            Service::Hotspot => {}
        }
        let left = self.listed(session).await.ok()??.left?;
        let end = session.started_at.plus(wanted);
        Some(self.now().plus(left + CLOCKS) >= end)
    }

    /// What its router calls a session; `None` while that is not known.
    pub fn name_at_router(&self, session: &Session) -> Option<Zeroizing<Box<[u8]>>> {
        self.parts.radius.name_at_router(session)
    }

    fn api_of(&self, session: &Session) -> Api {
        match self.has_api(session) {
            true => Api::SetUp,
            false => Api::None,
        }
    }

    /// Whether a session's end was reported within a while.
    async fn ends_within(&self, key: &SessionKey, while_: Duration) -> bool {
        let ends = async {
            loop {
                let ended = self.parts.timers.disarmed();
                if self.is_over(key) {
                    return;
                }
                ended.await;
            }
        };
        self.within(while_, ends).await.is_some()
    }

    fn is_over(&self, key: &SessionKey) -> bool {
        let found = self.parts.sessions.find(key);
        found.is_none_or(|online| online.session.closed.is_some())
    }
}

/// To a person who wants to end what was never begun.
const NO_LOGIN: &str = "He is connected without a login, so there is no session to end; suspend him to close his line.";
/// After an ACK the Stop follows at once; accounting is sent again after a second or two.
const STOP_COMES: Duration = Duration::from_secs(3);
/// The same, where the list can be asked meanwhile.
const STOP_FOLLOWS: Duration = Duration::from_millis(500);
/// The first copy and one more, two seconds later.
const COA_ANSWERS: Duration = Duration::from_secs(3);
const API_ANSWERS: Duration = Duration::from_secs(8);
/// What is asked for is counted from a start that is known to some seconds only.
const CLOCKS: Duration = Duration::from_secs(60);
