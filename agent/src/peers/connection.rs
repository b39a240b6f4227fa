//! One connection to another agent of the site: beats and echoes, places, first uses, questions.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use easyisp_shared::id::AgentId;
use easyisp_shared::wire::peer::{No, Place, Say};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::rules::{Echo, Heard};
use super::sealed::{Side, Sink, Source};
use super::{PROMISE, Peers};
use crate::radius::Shown;
use crate::sessions::Teller;

/// A connection that stands.
pub(super) struct Connection {
    /// To whom.
    pub(super) agent: AgentId,
    /// Which of all connections: a later one has a larger number.
    round: u64,
    /// Of two at once the one that the larger id dialled stays.
    preferred: bool,
    out: mpsc::Sender<Say>,
    cut: CancellationToken,
    beat_now: Notify,
    /// What did not fit into `out`: all places are told again.
    missed: AtomicBool,
    counts: Mutex<Counts>,
    /// Questions of the other one that are being answered.
    answering: Arc<Semaphore>,
}

#[derive(Default)]
struct Counts {
    /// Own beats that were not echoed yet, and the last one that was: number and when it left.
    beats: VecDeque<(u64, Duration)>,
    sent: u64,
    echoed: u64,
    /// The serial of the last echo heard, and whether it was a long promise.
    heard: u64,
    long: bool,
    /// The other one's last beat, and our echoes.
    beaten: u64,
    serial: u64,
}

impl Connection {
    /// Queues a sentence. Where too many wait, places are told anew; anything else ends the connection,
    /// whose next one begins with all of it.
    pub(super) fn say(&self, say: Say) {
        let is_place = matches!(say, Say::Place(_));
        if self.out.try_send(say).is_err() {
            match is_place {
                true => self.missed.store(true, Ordering::Relaxed),
                false => self.end(),
            }
        }
    }

    /// Whether the other one has on stable storage what was known here when it was met.
    pub(super) fn is_ready(&self) -> bool {
        self.counts().echoed > 0
    }

    pub(super) fn end(&self) {
        self.cut.cancel();
    }

    /// Returns once everything said before the call is on stable storage at the other one.
    pub(super) async fn settled(&self, peers: &Peers) {
        let mut changes = peers.changes.subscribe();
        // The next beat may be on its way already.
        let after = self.counts().sent + 2;
        while self.counts().echoed < after && !self.cut.is_cancelled() {
            self.beat_now.notify_one();
            let _changed = changes.changed().await;
        }
    }

    /// A beat out of turn.
    pub(super) fn beat(&self) {
        self.beat_now.notify_one();
    }

    fn teller(&self) -> Teller {
        Teller {
            agent: self.agent,
            round: self.round,
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_beat(&self, term: u64, holds: bool, now: Duration) -> Say {
        let mut counts = self.counts();
        counts.sent += 1;
        let number = counts.sent;
        counts.beats.push_back((number, now));
        Say::Beat {
            number,
            heard: counts.heard,
            term,
            holds,
        }
    }

    /// Whether the other one has not echoed two beats, the older one for long.
    fn is_silent(&self, now: Duration) -> bool {
        let counts = self.counts();
        let mut open = counts
            .beats
            .iter()
            .filter(|(number, _)| *number > counts.echoed);
        match (open.next(), open.next()) {
            (Some((_, sent)), Some(_)) => now.saturating_sub(*sent) >= SILENT,
            (_, _) => false,
        }
    }
}

impl Peers {
    /// Talks until either side ends it.
    pub(super) async fn talk(
        self: &Arc<Self>,
        (agent, side): (AgentId, Side),
        sink: Sink,
        source: Source,
    ) {
        let larger = self.parts.me.max(agent);
        let dialled = match side {
            Side::Dialler => self.parts.me,
            Side::Listener => agent,
        };
        let (out, queue) = mpsc::channel(WAITING);
        let connection = Arc::new(Connection {
            agent,
            round: self.numbers.fetch_add(1, Ordering::Relaxed),
            preferred: dialled == larger,
            out,
            cut: CancellationToken::new(),
            beat_now: Notify::new(),
            missed: AtomicBool::new(false),
            counts: Mutex::default(),
            answering: Arc::new(Semaphore::new(ANSWERED_AT_ONCE)),
        });
        if !self.meet(&connection) {
            return;
        }
        info!(%agent, "In touch with agent {agent} of this site");
        tokio::select! {
            () = connection.cut.cancelled() => {}
            _ended = self.write(&connection, sink, queue) => {}
            _ended = self.read(&connection, source) => {}
        }
        self.part(&connection);
    }

    /// Files a connection, unless there is a better one.
    fn meet(&self, connection: &Arc<Connection>) -> bool {
        let mut connections = self.connections();
        if let Some(held) = connections.get(&connection.agent) {
            if held.preferred && !connection.preferred {
                return false;
            }
            held.end();
        }
        connections.insert(connection.agent, connection.clone());
        self.post().on_parted(connection.agent);
        true
    }

    fn part(&self, connection: &Arc<Connection>) {
        connection.end();
        let mut connections = self.connections();
        let held = connections.get(&connection.agent);
        if held.is_some_and(|held| Arc::ptr_eq(held, connection)) {
            connections.remove(&connection.agent);
            drop(connections);
            let agent = connection.agent;
            info!(%agent, "Agent {agent} of this site is not in touch any more");
        }
        self.changed();
    }

    async fn write(
        &self,
        connection: &Connection,
        mut sink: Sink,
        mut queue: mpsc::Receiver<Say>,
    ) -> io::Result<()> {
        // What happens meanwhile waits in the queue and is said afterwards.
        for used in self.known_uses() {
            sink.send(&Say::Used(used).encode()).await?;
        }
        self.say_places(&mut sink).await?;
        let mut beat_at = self.now();
        loop {
            let rest = beat_at.saturating_sub(self.now());
            tokio::select! {
                biased;
                said = queue.recv() => match said {
                    Some(say) => {
                        sink.send(&say.encode()).await?;
                        if queue.is_empty() {
                            sink.flush().await?;
                        }
                    }
                    None => return Ok(()),
                },
                () = connection.beat_now.notified() => beat_at = self.beat(connection, &mut sink).await?,
                () = self.parts.clock.sleep(rest) => {
                    if connection.is_silent(self.now()) {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    beat_at = self.beat(connection, &mut sink).await?;
                }
            }
        }
    }

    /// Beats; when to beat again.
    async fn beat(&self, connection: &Connection, sink: &mut Sink) -> io::Result<Duration> {
        if connection.missed.swap(false, Ordering::Relaxed) {
            self.say_places(sink).await?;
        }
        let (term, holds) = {
            let post = self.post();
            (post.term(), post.is_mine())
        };
        let now = self.now();
        let beat = connection.next_beat(term, holds, now);
        sink.send(&beat.encode()).await?;
        sink.flush().await?;
        Ok(now + BEAT)
    }

    async fn say_places(&self, sink: &mut Sink) -> io::Result<()> {
        for place in self.parts.sessions.places(self.parts.clock.now()) {
            sink.send(&Say::Place(place).encode()).await?;
        }
        sink.flush().await
    }

    async fn read(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        mut source: Source,
    ) -> io::Result<()> {
        let mut storing: Vec<oneshot::Receiver<bool>> = Vec::new();
        loop {
            let Ok(say) = Say::decode(&source.receive().await?) else {
                continue; // a later release's
            };
            match say {
                Say::Beat {
                    number,
                    heard,
                    term,
                    holds,
                } => {
                    all_stored(&mut storing).await?;
                    connection.counts().beaten = number;
                    if number == 1 {
                        self.parts.sessions.heard_all(connection.teller());
                    }
                    self.echo(connection, heard, Heard { term, holds }).await;
                }
                Say::Echo {
                    number,
                    serial,
                    long,
                } => self.on_echo(connection, number, serial, long),
                Say::Place(place) => self.hear(connection.teller(), place),
                Say::Used(used) => {
                    if storing.len() >= STORED_AT_ONCE {
                        all_stored(&mut storing).await?;
                    }
                    storing.extend(self.store_told(connection, used));
                }
                Say::Kept {
                    voucher,
                    from,
                    kept,
                } => self.on_kept(connection.agent, voucher, from, kept),
                Say::Ask {
                    number,
                    digest,
                    mac,
                    router,
                } => {
                    let shown = Shown {
                        digest,
                        mac,
                        router,
                    };
                    self.answer(connection.clone(), number, shown);
                }
                Say::Told { number, answer } => {
                    if let Some(asked) = self.asked().remove(&number) {
                        let _gave_up = asked.send(answer);
                    }
                }
            }
        }
    }

    /// Echoes the other one's last beat. A long promise is on stable storage before it is given.
    pub(super) async fn echo(&self, connection: &Connection, heard: u64, says: Heard) {
        let agent = connection.agent;
        let was_long = self.post().is_promised(agent);
        let said = {
            let (cloud, now) = (self.has_cloud(), self.now());
            self.post().on_beat(agent, heard, says, cloud, now)
        };
        let long = match said {
            Echo::Short => false,
            Echo::Long { new } => {
                if new && !self.note(format!("{PROMISE}{agent}"), 1).await {
                    warn!(%agent, "A promise to another agent could not be written, so it is not given");
                    return;
                }
                true
            }
        };
        if was_long && !self.post().is_promised(agent) {
            // Forgotten late it only makes this agent wait longer after a start.
            let _forgotten_later = self.note(format!("{PROMISE}{agent}"), 0).await;
        }
        let (number, serial) = {
            let mut counts = connection.counts();
            counts.serial += 1;
            (counts.beaten, counts.serial)
        };
        if !long && self.post().is_promised(agent) {
            self.post().on_short_said(agent, serial);
        }
        connection.say(Say::Echo {
            number,
            serial,
            long,
        });
    }

    fn on_echo(&self, connection: &Connection, number: u64, serial: u64, long: bool) {
        let shorter = {
            let mut counts = connection.counts();
            let sent = counts.beats.iter().find(|(held, _)| *held == number);
            let Some((_, sent)) = sent.copied() else {
                return; // an echo of nothing that was said
            };
            counts.echoed = counts.echoed.max(number);
            counts.beats.retain(|(held, _)| *held >= number);
            counts.heard = serial;
            self.post().on_echo(connection.agent, long, sent);
            std::mem::replace(&mut counts.long, long) && !long
        };
        if shorter {
            connection.beat(); // says that it was heard
        }
        self.changed();
    }

    fn hear(&self, by: Teller, place: Place) {
        let suspect = match &place {
            Place::Open { username, .. } => Some(username.clone()),
            Place::Kept { .. } | Place::Over { .. } | Place::Restarted { .. } => None,
        };
        self.parts.sessions.hear(by, place, self.parts.clock.now());
        // Looked at by another task: what is to be seen must be there.
        if let Some(username) = suspect {
            self.suspect(&username);
        }
    }

    /// How the link to the cloud is has changed: what the others may count on is another.
    pub(super) async fn echo_all(&self) {
        let connections: Vec<Arc<Connection>> = self.connections().values().cloned().collect();
        for connection in connections {
            let (beaten, heard) = (connection.counts().beaten, 0);
            if beaten > 0 {
                let says = self.post().heard_of(connection.agent);
                self.echo(&connection, heard, says).await;
            }
        }
    }

    fn answer(self: &Arc<Self>, connection: Arc<Connection>, number: u64, shown: Shown) {
        let Ok(turn) = connection.answering.clone().try_acquire_owned() else {
            let answer = Err(No::CannotSay);
            return connection.say(Say::Told { number, answer });
        };
        let (told, answer) = oneshot::channel();
        if let Some(redeem) = self.redeem.get() {
            redeem(shown, told);
        }
        self.runtime.spawn(async move {
            let answer = answer.await.unwrap_or(Err(No::CannotSay));
            connection.say(Say::Told { number, answer });
            drop(turn);
        });
    }
}

/// Waits until all that was told is on stable storage; what cannot be written ends the connection.
async fn all_stored(storing: &mut Vec<oneshot::Receiver<bool>>) -> io::Result<()> {
    for stored in storing.drain(..) {
        if !stored.await.unwrap_or(false) {
            return Err(io::ErrorKind::Other.into());
        }
    }
    Ok(())
}

/// Between beats.
const BEAT: Duration = Duration::from_secs(5);
/// Two beats without an echo.
const SILENT: Duration = Duration::from_secs(10);
/// Sentences that wait for the network: a second of the heaviest storm.
const WAITING: usize = 16_384;
/// As many as another agent asks at once, and some: the rest it asks the cloud.
const ANSWERED_AT_ONCE: usize = 64;
/// First uses that wait for the disk at once: a few group commits.
const STORED_AT_ONCE: usize = 1024;
