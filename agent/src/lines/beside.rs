//! What the agents of a site tell each other of its lines. A queue counts for everybody who reads it: whoever goes on
//! from what another one counted, in the session that the other one began, says what that one would have said, and
//! the cloud counts it once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use easyisp_shared::id::CustomerId;
use easyisp_shared::ipv6::Prefixes;
use easyisp_shared::wire::peer::{CountedV1, LineQueueV1, LineSessionV1, SessionNameV1};
use tracing::info;

use super::count::{IDLE, is_ours};
use super::driver::Lines;
use super::rules;
use crate::sessions::{Cause, Event, LineCounter, Report, Service, Session, SessionKey};
use crate::site::Subscriber;
use crate::store::{Change, Committed, Done};

/// Called with whose line was counted, from the accounting thread: it must not block.
pub type Tell = dyn Fn(Word) + Send + Sync;

/// Whose line was counted, and in which session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Whose.
    pub customer: CustomerId,
    /// His session, where that is known.
    pub session: Option<SessionKey>,
}

impl Lines {
    /// From here on `tell` hears whose lines were counted.
    pub fn tell_through(&self, tell: Arc<Tell>) {
        let _told_already = self.tell.set(tell);
    }

    /// Tells it once it is on stable storage.
    pub(super) fn telling(&self, customer: CustomerId, session: Option<SessionKey>) -> Done {
        let tell = self.tell.get().cloned();
        Box::new(move |outcome| match (outcome, tell) {
            (Committed::Yes, Some(tell)) => tell(Word { customer, session }),
            (Committed::Yes, None) | (Committed::No, _) => {}
        })
    }

    /// How far somebody's line is counted by now.
    pub fn counted(&self, word: &Word) -> CountedV1 {
        let session = word.session.as_ref();
        let session = session.and_then(|key| self.parts.sessions.find(key));
        let session = session.map(|online| online.session);
        self.counted_in(word.customer, session.as_ref())
    }

    /// The same for a number of customers after this one.
    pub fn counted_after(&self, after: Option<CustomerId>) -> Vec<CountedV1> {
        let mut sessions: BTreeMap<CustomerId, Session> = BTreeMap::new();
        for session in self.parts.sessions.of_lines() {
            let Some(customer) = session.customer.filter(|_| is_ours(&session)) else {
                continue;
            };
            let rank = |session: &Session| (session.closed.is_none(), session.seen_at);
            let held = sessions.get(&customer);
            if held.is_none_or(|held| rank(held) < rank(&session)) {
                sessions.insert(customer, session);
            }
        }
        let counted: Vec<CustomerId> = self.lock().counters.keys().copied().collect();
        let all: BTreeSet<CustomerId> = counted
            .into_iter()
            .chain(sessions.keys().copied())
            .collect();
        let next = all.into_iter().filter(|customer| Some(*customer) > after);
        next.take(AT_ONCE)
            .map(|customer| self.counted_in(customer, sessions.get(&customer)))
            .collect()
    }

    fn counted_in(&self, customer: CustomerId, session: Option<&Session>) -> CountedV1 {
        let queue = self
            .lock()
            .counters
            .get(&customer)
            .map(|counter| LineQueueV1 {
                router: counter.router,
                queue: counter.queue.clone(),
                bytes_up: counter.bytes_in,
                bytes_down: counter.bytes_out,
                at: counter.at,
            });
        CountedV1 {
            customer,
            queue,
            session: session.and_then(told),
        }
    }

    /// Takes what another agent counted.
    pub fn take(&self, told: Vec<CountedV1>) {
        for one in told {
            let line = self.parts.site.customer(one.customer);
            let line = line.filter(|line| rules::is_line(line));
            self.take_one(line.as_deref(), one);
        }
    }

    /// Of whom this agent does not know yet it keeps how far his queue was counted, so that nothing of it is lost once it
    /// does.
    fn take_one(&self, line: Option<&Subscriber>, told: CountedV1) {
        let customer = told.customer;
        let counter = told.queue.map(|queue| LineCounter {
            router: queue.router,
            queue: queue.queue,
            bytes_in: queue.bytes_up,
            bytes_out: queue.bytes_down,
            at: queue.at,
        });
        let counted = counter.clone().filter(|counter| {
            let mut state = self.lock();
            let held = state.counters.get(&customer);
            let is_newer = held.is_none_or(|held| held.at < counter.at)
                && state.forgotten.is_none_or(|at| at <= counter.at);
            if is_newer {
                state.counters.insert(customer, counter.clone());
            }
            is_newer
        });
        let is_newer = counted.is_some();
        let changes = counted.map(|counter| Change::LineCounter(customer, counter));
        let changes: Vec<Change> = changes.into_iter().collect();
        let Some(line) = line else {
            if !changes.is_empty() {
                self.parts.radius.note(changes, Box::new(|_| {}));
            }
            return;
        };
        let told_open = told.session.as_ref().map(|session| session.over.is_none());
        let session = told.session.map(|session| report(line, session));
        match &session {
            Some(session) => self.parts.radius.adopt(session, changes),
            None if changes.is_empty() => {}
            None => self.parts.radius.note(changes, Box::new(|_| {})),
        }
        // What goes on here and is not what the one who counted last goes on with ended while this one did not look.
        // That another session is over says nothing of it.
        let is_whole = told_open.is_none_or(|goes_on| goes_on);
        let open = self.parts.sessions.open_by_name(&line.username).into_iter();
        let others = open.map(|online| online.session).filter(|held| {
            let is_other = session
                .as_ref()
                .is_none_or(|session| session.key != held.key);
            let seen_later = session
                .as_ref()
                .is_some_and(|session| session.at > held.seen_at);
            let is_over = is_newer || (counter.is_none() && seen_later);
            held.service == Service::Line && is_ours(held) && is_other && is_over && is_whole
        });
        for held in others.collect::<Vec<Session>>() {
            self.stop(&held, IDLE);
        }
    }

    /// Another agent has said how far everything is counted, or there is none.
    pub fn is_told(&self) {
        self.knows.store(true, Ordering::Relaxed);
    }

    /// This agent was away for long, and another one may have counted meanwhile that does not say how far: what is
    /// counted from the files of before would count twice what that one did. Nobody pays for what nobody knows.
    pub(super) fn doubt(&self) {
        if self.knows.swap(true, Ordering::Relaxed) {
            return;
        }
        let now = self.parts.clock.now();
        let forgotten = {
            let mut state = self.lock();
            state.forgotten = Some(now);
            std::mem::take(&mut state.counters).len()
        };
        info!("{forgotten} lines are counted from now on: another agent may have counted before");
        for held in self.parts.sessions.of_lines() {
            if held.closed.is_none() && is_ours(&held) {
                self.parts.radius.give_up(&held.key);
            }
        }
    }
}

/// A session as another agent is told of it; none that was only given up.
fn told(session: &Session) -> Option<LineSessionV1> {
    let over = match session.closed.map(|closed| closed.cause) {
        None => None,
        Some(Cause::Router(cause)) => Some(cause),
        Some(Cause::Lost) => return None,
    };
    Some(LineSessionV1 {
        name: SessionNameV1 {
            router: session.key.router,
            session: session.key.acct_session_id.to_vec(),
            class: session.key.class.to_vec(),
        },
        username: session.username.to_vec(),
        mac: session.mac,
        framed_ip: session.framed_ip,
        seen: session.seen_at,
        session_secs: session.secs,
        bytes_up: session.bytes_in,
        bytes_down: session.bytes_out,
        over,
    })
}

fn report(line: &Subscriber, told: LineSessionV1) -> Report {
    Report {
        key: SessionKey {
            router: told.name.router,
            acct_session_id: told.name.session.into(),
            class: told.name.class.into(),
        },
        event: match told.over {
            Some(cause) => Event::Stop(cause),
            None => Event::Interim,
        },
        customer: Some(line.id),
        username: told.username.into(),
        service: Service::Line,
        mac: told.mac,
        framed_ip: told.framed_ip,
        prefixes: Prefixes::default(),
        port: Box::default(),
        at: told.seen,
        secs: told.session_secs,
        bytes_in: told.bytes_up,
        bytes_out: told.bytes_down,
        narrow: [false; 2],
    }
}

/// Each is at most some 900 octets long, all less than an answer may be.
const AT_ONCE: usize = 64;
