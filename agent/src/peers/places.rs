//! Who is online through another agent of the site: a router tells one agent. Told to the others, a session
//! holds its device's place there too, and when it is over it keeps nobody out. And how far lines were counted.

use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::wire::peer::{PeerQuestion, PlaceV1, SessionNameV1};
use tokio::sync::mpsc;

use super::{Other, Peers, Touch};
use crate::lines::Word;
use crate::sessions::{Heard, Hearsay, Session, SessionKey};

/// What is told, in the order in which it was heard.
pub(super) enum Told {
    Open(PlaceV1),
    Ended(SessionNameV1),
    Counted(Word),
}

/// Told by the register, taken by [`Peers::tell`].
pub(super) fn channel(peers: &Arc<Peers>) -> mpsc::Receiver<Told> {
    let (told, heard) = mpsc::channel(WAITING);
    let counted = told.clone();
    peers.parts.lines.tell_through(Arc::new(move |word| {
        // What is told next says the same and more.
        let _too_many = counted.try_send(Told::Counted(word));
    }));
    peers.parts.sessions.tell_through(Box::new(move |word| {
        let word = match word {
            Heard::Open(session) => Told::Open(open(session, Duration::ZERO)),
            Heard::Over(key) => Told::Ended(name_of(key)),
        };
        // What does not fit is told when the other one is met again, or found out by its silence.
        let _too_many = told.try_send(word);
    }));
    heard
}

impl Peers {
    /// Tells whoever is reached, as it is heard.
    pub(super) async fn tell(&self, mut heard: mpsc::Receiver<Told>) {
        loop {
            let mut some = Vec::new();
            if heard.recv_many(&mut some, AT_ONCE).await == 0 {
                return;
            }
            let others = self.in_touch();
            for question in self.questions(some) {
                let is_count = matches!(question, PeerQuestion::Counted(_));
                for other in &others {
                    // Who has not said how far he counted may be of a release that hangs up.
                    if is_count && !self.has_counted(*other) {
                        continue;
                    }
                    let _lost = self.ask(*other, &question).await;
                }
            }
        }
    }

    /// Tells who was not reached for a while what is going on, and what ended meanwhile.
    pub(super) async fn catch_up(&self, other: &Other) {
        let sessions = &self.parts.sessions;
        let open_now = sessions.open_now(self.parts.clock.now()).into_iter();
        let mut all: Vec<Told> = open_now
            .map(|(session, silent)| Told::Open(open(&session, silent)))
            .collect();
        let ended = sessions.ended_lately();
        all.extend(ended.iter().map(name_of).map(Told::Ended));
        for question in self.questions(all) {
            if other.touch() != Touch::Reached {
                return;
            }
            let _lost = self.ask(other.agent, &question).await;
        }
    }

    /// The fewest questions that keep the order.
    fn questions(&self, told: Vec<Told>) -> Vec<PeerQuestion> {
        let mut questions = Vec::new();
        for word in told {
            match (questions.last_mut(), word) {
                (Some(PeerQuestion::Open(open)), Told::Open(more)) if open.len() < AT_ONCE => {
                    open.push(more);
                }
                (Some(PeerQuestion::Ended(names)), Told::Ended(more)) if names.len() < AT_ONCE => {
                    names.push(more);
                }
                (Some(PeerQuestion::Counted(counted)), Told::Counted(more))
                    if counted.len() < AT_ONCE =>
                {
                    counted.push(self.parts.lines.counted(&more));
                }
                (_, Told::Open(first)) => questions.push(PeerQuestion::Open(vec![first])),
                (_, Told::Ended(first)) => questions.push(PeerQuestion::Ended(vec![first])),
                (_, Told::Counted(first)) => {
                    let first = self.parts.lines.counted(&first);
                    questions.push(PeerQuestion::Counted(vec![first]));
                }
            }
        }
        questions
    }

    /// Takes what another one told of sessions that go on.
    pub(super) fn open(&self, told: Vec<PlaceV1>) {
        let now = self.parts.clock.now();
        for open in told {
            let hearsay = Hearsay {
                key: key_of(open.name),
                username: open.username.into(),
                mac: open.mac,
                silent: Duration::from_secs(open.silent_secs.into()),
            };
            self.parts.sessions.open_elsewhere(hearsay, now);
        }
    }

    /// Takes what another one told of sessions that are over.
    pub(super) fn ended(&self, names: Vec<SessionNameV1>) {
        let now = self.parts.clock.now();
        for name in names {
            self.parts.sessions.ended_elsewhere(&key_of(name), now);
        }
    }
}

fn open(session: &Session, silent: Duration) -> PlaceV1 {
    PlaceV1 {
        name: name_of(&session.key),
        username: session.username.to_vec(),
        mac: session.mac,
        silent_secs: u32::try_from(silent.as_secs()).unwrap_or(u32::MAX),
    }
}

fn name_of(key: &SessionKey) -> SessionNameV1 {
    SessionNameV1 {
        router: key.router,
        session: key.acct_session_id.to_vec(),
        class: key.class.to_vec(),
    }
}

fn key_of(name: SessionNameV1) -> SessionKey {
    SessionKey {
        router: name.router,
        acct_session_id: name.session.into(),
        class: name.class.into(),
    }
}

/// Sessions of a router that restarted, and some.
const WAITING: usize = 4096;
/// Each is at most some 900 octets long (RFC 2865 §5: 253 in an attribute), all less than a question may be.
const AT_ONCE: usize = 64;
