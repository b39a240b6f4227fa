//! A session that came up, held by a test: use it, watch it, end it.

use super::Router;
use super::ledger::Account;
use super::session::{Cause, Session, Usage};

/// A hold on a session that came up. Dropping it leaves the session alone.
#[derive(Clone)]
pub struct Online {
    pub(super) router: Router,
    pub(super) id: String,
    pub(super) number: u64,
}

/// A steady stream through a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the subscriber.
    pub up_bits_per_second: u64,
    /// To the subscriber.
    pub down_bits_per_second: u64,
}

impl Online {
    /// Acct-Session-Id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The session as it is on the active list; `None` once it has ended.
    pub fn session(&self) -> Option<Session> {
        let state = self.router.state();
        let live = state
            .sessions
            .get(&self.id)
            .filter(|live| live.number == self.number)?;
        Some(live.session.clone())
    }

    /// What the ledger has of it.
    ///
    /// # Panics
    /// When a hundred thousand later sessions made the ledger forget it.
    pub fn account(&self) -> Account {
        let state = self.router.state();
        state
            .ledger
            .get(self.number)
            .expect("the ledger remembers this session")
            .clone()
    }

    /// Lets bytes through at once.
    pub fn transfer(&self, usage: Usage) {
        let now = self.router.shared.clock.now();
        self.router
            .with_session(&self.id, |session| session.add(usage, now));
    }

    /// Lets bytes through steadily from here on.
    pub fn flow(&self, traffic: Traffic) {
        let now = self.router.shared.clock.now();
        self.router
            .with_session(&self.id, |session| session.flow(traffic, now));
    }

    /// Waits until the Start was answered.
    pub async fn started(&self) {
        self.when(|account| account.start_acknowledged.then_some(()))
            .await;
    }

    /// Sends an interim update now; whether it was answered.
    pub async fn interim(&self) -> bool {
        self.router.report(&self.id).await
    }

    /// Hangs up and waits for the Stop's answer; whether it came.
    pub async fn hang_up(&self) -> bool {
        self.end(Cause::UserRequest).await
    }

    /// The line dies (the subscriber's power is cut); the router notices and sends its Stop.
    pub async fn lose(&self) -> bool {
        self.end(Cause::LostCarrier).await
    }

    /// An operator removes it from the active list, as `/ppp/active/remove` does.
    pub async fn remove(&self) -> bool {
        self.end(Cause::AdminReset).await
    }

    async fn end(&self, cause: Cause) -> bool {
        self.router.take_down(&self.id, cause);
        self.when(|account| account.settled.then_some(account.stop_acknowledged))
            .await
    }

    /// Waits until it is off the active list.
    pub async fn ended(&self) -> (Cause, Usage) {
        self.when(|account| account.ended).await
    }

    /// Waits until its ledger line answers `question` with something.
    pub async fn when<T>(&self, question: impl Fn(&Account) -> Option<T>) -> T {
        self.router.until(|_| question(&self.account())).await
    }

    /// Waits until the running session looks like that: after a CoA, say.
    pub async fn becomes(&self, like: impl Fn(&Session) -> bool) -> Session {
        self.router
            .until(|_| self.session().filter(|session| like(session)))
            .await
    }
}
