//! A session's task: Start, interim updates, its own end, Stop.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use easyisp_agent::radius::client::accounting_request;
use easyisp_agent::radius::verify::check_answer;
use easyisp_agent::radius::{Code, Packet, Secret};
use easyisp_shared::time::Timestamp;

use super::record::Record;
use super::session::{Cause, Due, Session};
use super::{Router, State};

/// A session on the active list, and the way to its task.
pub(super) struct Live {
    pub(super) session: Session,
    /// Its number in the ledger.
    pub(super) number: u64,
    orders: mpsc::Sender<Order>,
}

/// What a session's task is told.
pub(super) enum Order {
    /// Its timer may have changed.
    LookAgain,
    /// Send an interim update and say whether it was answered.
    Report(oneshot::Sender<bool>),
    /// It is off the active list: send the Stop.
    Stop(Box<Session>, Cause),
}

impl Router {
    /// Puts a session on the active list and starts its task.
    pub(super) fn bring_up(&self, session: Session) -> u64 {
        let (orders, inbox) = mpsc::channel(INBOX);
        let started = session.clone();
        let number = self.change(|state| {
            let number = state.ledger.began(&session.id, &session.user);
            let id = session.id.clone();
            state.sessions.insert(
                id,
                Live {
                    session,
                    number,
                    orders,
                },
            );
            number
        });
        self.spawn(live(self.clone(), started, number, inbox));
        number
    }

    /// Puts a session on the active list that nobody accounts for.
    pub(super) fn list_locally(&self, session: Session) -> u64 {
        let (orders, _nobody) = mpsc::channel(1);
        self.change(|state| {
            let number = state.ledger.began(&session.id, &session.user);
            let id = session.id.clone();
            let live = Live {
                session,
                number,
                orders,
            };
            state.sessions.insert(id, live);
            number
        })
    }

    /// Takes a session off the active list at once; its Stop follows. `false` when it is not there.
    pub(super) fn take_down(&self, id: &str, cause: Cause) -> bool {
        let now = self.shared.clock.now();
        self.change(|state| state.take_down(id, cause, now))
    }

    /// Changes a running session and lets its task look again. `None` when it is not there.
    pub(super) fn with_session<T>(
        &self,
        id: &str,
        change: impl FnOnce(&mut Session) -> T,
    ) -> Option<T> {
        self.change(|state| {
            let live = state.sessions.get_mut(id)?;
            let result = change(&mut live.session);
            // Orders that wait make the task look again anyway, and a Stop must find room.
            if live.orders.capacity() > INBOX / 2 {
                let _ = live.orders.try_send(Order::LookAgain);
            }
            Some(result)
        })
    }

    /// Sends an interim update now; whether it was answered.
    pub(super) async fn report(&self, id: &str) -> bool {
        let orders = self
            .state()
            .sessions
            .get(id)
            .map(|live| live.orders.clone());
        let (answer, answered) = oneshot::channel();
        match orders {
            Some(orders) => {
                orders.send(Order::Report(answer)).await.is_ok() && answered.await == Ok(true)
            }
            None => false,
        }
    }

    /// Sends one accounting record to the servers in turn until one answers.
    async fn account(&self, session: &Session, record: Record, now: Timestamp) -> bool {
        let settings = &self.shared.settings;
        let wiring = self.wiring();
        let attributes = session.record(record, &wiring.identity, settings.source, now);
        let attributes: Vec<(u8, &[u8])> = attributes
            .iter()
            .map(|(kind, value)| (*kind, value.as_slice()))
            .collect();
        for server in self.servers() {
            let write = |identifier| {
                accounting_request(&attributes, identifier, &wiring.secret)
                    .expect("a record of tested attributes fits")
            };
            let judge = |answer: &[u8], request: &[u8]| {
                is_acknowledged(answer, request, &wiring.secret).then_some(())
            };
            if self.ask(server.acct, write, judge).await.is_some() {
                return true;
            }
        }
        false
    }
}

pub(super) fn is_acknowledged(answer: &[u8], request: &[u8], secret: &Secret) -> bool {
    let (Ok(answer), Ok(request)) = (Packet::parse(answer), Packet::parse(request)) else {
        return false;
    };
    answer.code() == Some(Code::AccountingResponse)
        && answer.identifier() == request.identifier()
        && check_answer(&answer, request.authenticator(), secret).is_ok()
}

impl State {
    pub(super) fn take_down(&mut self, id: &str, cause: Cause, now: Timestamp) -> bool {
        let Some(live) = self.sessions.remove(id) else {
            return false;
        };
        let usage = live.session.usage(now);
        self.passed = self.passed.and(usage);
        self.ledger.ended(live.number, cause, usage);
        let told = live
            .orders
            .try_send(Order::Stop(Box::new(live.session), cause));
        if told.is_err() {
            // The router is stopping, or dozens of reports wait: nobody hears of the end.
            self.ledger
                .change(live.number, |account| account.settled = true);
        }
        true
    }
}

/// Runs until the Stop has been answered or given up, or the session was lost in a reboot.
async fn live(router: Router, started: Session, number: u64, mut inbox: mpsc::Receiver<Order>) {
    let clock = router.shared.clock.clone();
    let mut reported = started.started;
    if router.account(&started, Record::Start, reported).await {
        router.change(|state| {
            state
                .ledger
                .change(number, |account| account.start_acknowledged = true)
        });
    }

    loop {
        let due = router.state().sessions.get(&started.id).and_then(|live| {
            let now = clock.now();
            live.session
                .next(reported, router.shared.settings.interim, now)
        });
        let order = match due {
            Some((at, due)) => tokio::select! {
                biased;
                order = inbox.recv() => order.map(Next::Ordered),
                () = clock.sleep_until(at) => Some(Next::Due(due)),
            },
            None => inbox.recv().await.map(Next::Ordered),
        };
        match order {
            None => return, // rebooted
            Some(Next::Ordered(Order::LookAgain)) => {}
            Some(Next::Due(Due::End(cause))) => {
                router.take_down(&started.id, cause);
            }
            Some(Next::Due(Due::Interim)) => {
                reported = clock.now();
                interim(&router, &started.id, number).await;
            }
            Some(Next::Ordered(Order::Report(answer))) => {
                // Who asked may have gone.
                let _ = answer.send(interim(&router, &started.id, number).await);
            }
            Some(Next::Ordered(Order::Stop(session, cause))) => {
                stop(&router, &session, cause, number).await;
                return;
            }
        }
    }
}

enum Next {
    Ordered(Order),
    Due(Due),
}

async fn interim(router: &Router, id: &str, number: u64) -> bool {
    let Some(session) = router
        .state()
        .sessions
        .get(id)
        .map(|live| live.session.clone())
    else {
        return false;
    };
    let now = router.shared.clock.now();
    let usage = session.usage(now);
    let answered = router.account(&session, Record::Interim, now).await;
    if answered {
        router.change(|state| {
            state.ledger.change(number, |account| {
                account.acknowledged = usage;
                account.interims_acknowledged += 1;
            })
        });
    }
    answered
}

async fn stop(router: &Router, session: &Session, cause: Cause, number: u64) {
    let ended = router
        .state()
        .ledger
        .get(number)
        .and_then(|account| account.ended);
    let now = router.shared.clock.now();
    let mut session = session.clone();
    session.freeze(
        ended.map_or_else(|| session.usage(now), |(_, usage)| usage),
        now,
    );
    let usage = session.usage(now);

    let answered = router.account(&session, Record::Stop(cause), now).await;

    router.change(|state| {
        state.ledger.change(number, |account| {
            account.stop_acknowledged = answered;
            account.settled = true;
            if answered {
                account.acknowledged = usage;
            }
        })
    });
}

/// Most orders that wait for one session's task.
const INBOX: usize = 32;

/// How long a dead line takes to be noticed and dialled again.
pub(super) const REDIAL: Duration = Duration::from_secs(3);
