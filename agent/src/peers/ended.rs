//! Sessions that ended while another agent of the site believes that they go on: a router tells one agent. Told
//! to the others, they keep nobody out there.

use std::sync::Arc;

use easyisp_shared::wire::peer::{PeerQuestion, SessionNameV1};
use tokio::sync::mpsc;

use super::{Other, Peers, Touch};
use crate::sessions::SessionKey;

/// Told by the register, taken by [`Peers::tell_ended`].
pub(super) fn channel(peers: &Arc<Peers>) -> mpsc::Receiver<SessionNameV1> {
    let (told, ended) = mpsc::channel(WAITING);
    peers
        .parts
        .sessions
        .tell_ended_through(Box::new(move |key| {
            // What does not fit is told when the other one is met again, or found out by its silence.
            let _too_many = told.try_send(name_of(key));
        }));
    ended
}

impl Peers {
    /// Tells whoever is reached, as they end.
    pub(super) async fn tell_ended(&self, mut ended: mpsc::Receiver<SessionNameV1>) {
        loop {
            let mut some = Vec::new();
            if ended.recv_many(&mut some, AT_ONCE).await == 0 {
                return;
            }
            for other in self.in_touch() {
                let _lost = self.ask(other, &PeerQuestion::Ended(some.clone())).await;
            }
        }
    }

    /// Tells who was not reached for a while what ended meanwhile.
    pub(super) async fn catch_up(&self, other: &Other) {
        let ended = self.parts.sessions.ended_lately();
        let names: Vec<SessionNameV1> = ended.iter().map(name_of).collect();
        for some in names.chunks(AT_ONCE) {
            if other.touch() != Touch::Reached {
                return;
            }
            let _lost = self
                .ask(other.agent, &PeerQuestion::Ended(some.to_vec()))
                .await;
        }
    }

    /// Takes what another one told.
    pub(super) fn ended(&self, names: Vec<SessionNameV1>) {
        let now = self.parts.clock.now();
        for name in names {
            let key = SessionKey {
                router: name.router,
                acct_session_id: name.session.into(),
                class: name.class.into(),
            };
            self.parts.sessions.ended_elsewhere(&key, now);
        }
    }
}

fn name_of(key: &SessionKey) -> SessionNameV1 {
    SessionNameV1 {
        router: key.router,
        session: key.acct_session_id.to_vec(),
        class: key.class.to_vec(),
    }
}

/// Sessions of a router that restarted, and some.
const WAITING: usize = 4096;
/// Each name is at most some 550 octets long (RFC 2865 §5: 253 in an attribute).
const AT_ONCE: usize = 100;
