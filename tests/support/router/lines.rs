//! The sockets a router asks from: 256 requests at a time on each, resent by RouterOS's timer.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Router;

/// Most sockets of one router: 4096 requests under way.
const MOST_LINES: usize = 16;

pub(super) struct Lines {
    source: IpAddr,
    lines: tokio::sync::Mutex<Vec<Arc<Line>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

struct Line {
    socket: UdpSocket,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    next: u8,
    slots: [Option<mpsc::Sender<Heard>>; 256],
}

/// A datagram and who sent it.
type Heard = (SocketAddr, Vec<u8>);

/// An identifier on a socket, ours until dropped.
struct Slot {
    line: Arc<Line>,
    identifier: u8,
    answers: mpsc::Receiver<Heard>,
}

impl Lines {
    pub(super) fn new(source: IpAddr, tasks: TaskTracker, stop: CancellationToken) -> Lines {
        Lines {
            source,
            lines: tokio::sync::Mutex::default(),
            tasks,
            stop,
        }
    }

    async fn take(&self) -> std::io::Result<Option<Slot>> {
        let mut lines = self.lines.lock().await;
        if let Some(slot) = lines.iter().find_map(Line::take) {
            return Ok(Some(slot));
        }
        if lines.len() == MOST_LINES {
            return Ok(None);
        }
        let line = Arc::new(Line {
            socket: UdpSocket::bind((self.source, 0)).await?,
            waiting: Mutex::new(Waiting {
                next: 0,
                slots: [const { None }; 256],
            }),
        });
        let (hearing, stop) = (line.clone(), self.stop.clone());
        self.tasks
            .spawn(async move { stop.run_until_cancelled(hearing.hear()).await });
        lines.push(line.clone());
        Ok(line.take())
    }
}

impl Line {
    fn take(self: &Arc<Line>) -> Option<Slot> {
        let mut waiting = self.waiting.lock().expect("no change of the slots panics");
        let from = waiting.next;
        let identifier = (0..=255).map(|step| from.wrapping_add(step));
        let mut free =
            identifier.filter(|identifier| waiting.slots[usize::from(*identifier)].is_none());
        let identifier = free.next()?;
        let (sender, answers) = mpsc::channel(8);
        drop(free);
        waiting.slots[usize::from(identifier)] = Some(sender);
        waiting.next = identifier.wrapping_add(1);
        Some(Slot {
            line: self.clone(),
            identifier,
            answers,
        })
    }

    /// Hands each datagram to who waits for its identifier; a full or missing waiter loses it.
    async fn hear(self: Arc<Line>) {
        let mut buffer = [0; 4096];
        loop {
            let Ok((length, source)) = self.socket.recv_from(&mut buffer).await else {
                continue;
            };
            let (datagram, _) = buffer.split_at(length);
            let Some(identifier) = datagram.get(1) else {
                continue;
            };
            let waiting = self.waiting.lock().expect("no change of the slots panics");
            if let Some(waiter) = &waiting.slots[usize::from(*identifier)] {
                // A full waiter has eight answers to judge already.
                let _ = waiter.try_send((source, datagram.to_vec()));
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut waiting = self
            .line
            .waiting
            .lock()
            .expect("no change of the slots panics");
        waiting.slots[usize::from(self.identifier)] = None;
    }
}

impl Router {
    /// Asks one server until it answers or the router gives up.
    ///
    /// `write` makes the datagram for an identifier; `judge` says whether an answer is the answer.
    /// What it refuses counts as a bad reply and the router goes on waiting.
    pub(super) async fn ask<T>(
        &self,
        server: SocketAddr,
        write: impl FnOnce(u8) -> Vec<u8>,
        judge: impl Fn(&[u8], &[u8]) -> Option<T>,
    ) -> Option<T> {
        let settings = &self.shared.settings;
        let mut slot = match self.shared.lines.take().await {
            Ok(slot) => slot?,
            Err(error) => {
                tracing::error!("The pretend router cannot send: {error}");
                return None;
            }
        };
        let datagram = write(slot.identifier);
        self.change(|state| state.counters.requests += 1);

        for attempt in 0..=settings.resends {
            if attempt > 0 {
                self.change(|state| state.counters.resends += 1);
            }
            let copies = match self.state().is_cut() {
                true => 0,
                false => settings.copies,
            };
            for _ in 0..copies {
                // A datagram that cannot leave is one the network lost.
                let _ = slot.line.socket.send_to(&datagram, server).await;
            }
            let patience = tokio::time::sleep(settings.resend);
            tokio::pin!(patience);
            loop {
                let (source, answer) = tokio::select! {
                    Some(answer) = slot.answers.recv() => answer,
                    () = &mut patience => break,
                };
                match judge(&answer, &datagram).filter(|_| source == server) {
                    Some(judged) => return Some(judged),
                    None => self.change(|state| state.counters.bad_replies += 1),
                }
            }
        }
        self.change(|state| state.counters.timeouts += 1);
        None
    }
}
