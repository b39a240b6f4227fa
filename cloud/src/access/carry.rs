//! One connection: octets between a socket and a pipe, each direction as fast as the other end takes them.
//! The same as the agent does at the other end; neither sees the other.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use easyisp_shared::pace::Pace;
use easyisp_shared::wire::Message;
use easyisp_shared::wire::access::{CHUNK, OCTETS_PER_SECOND, WINDOW};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use crate::sync::{Pipe, PipeError};

/// What a way carries, over all of its connections.
#[derive(Debug)]
pub(super) struct Meter {
    began: Instant,
    pace: Mutex<Pace>,
    /// To the device.
    pub(super) there: AtomicU64,
    /// From the device.
    pub(super) back: AtomicU64,
}

impl Meter {
    pub(super) fn new() -> Meter {
        Meter {
            began: Instant::now(),
            pace: Mutex::new(Pace::new(OCTETS_PER_SECOND)),
            there: AtomicU64::new(0),
            back: AtomicU64::new(0),
        }
    }

    /// Waits until so many octets are not too many.
    async fn pace(&self, octets: usize) {
        let wait = match self.pace.lock() {
            Ok(mut pace) => pace.passed(octets, self.began.elapsed()),
            Err(_) => Duration::ZERO, // no code panics under this lock
        };
        tokio::time::sleep(wait).await;
    }
}

/// Why a connection ended before both sides had said everything.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The socket.
    #[error("{0}")]
    Socket(#[from] io::Error),
    /// The pipe.
    #[error("{0}")]
    Pipe(#[from] PipeError),
}

/// Carries until both sides have said everything, or one of them breaks off.
pub(super) async fn carry(
    socket: impl AsyncRead + AsyncWrite,
    pipe: Pipe,
    meter: &Meter,
) -> Result<(), Broken> {
    let Pipe {
        mut sink,
        mut source,
    } = pipe;
    let (mut read, mut write) = tokio::io::split(socket);
    let flow = Flow::default();
    let hearing = async {
        let mut ended = false;
        loop {
            match source.receive().await? {
                Some(Message::Octets(octets)) if ended || octets.len() > CHUNK => {
                    return Err(Broken::Pipe(PipeError::Unexpected));
                }
                Some(Message::Octets(octets)) if octets.is_empty() => {
                    ended = true;
                    write.shutdown().await?;
                    flow.heard_all();
                }
                Some(Message::Octets(octets)) => {
                    write.write_all(&octets).await?;
                    meter.back.fetch_add(octets.len() as u64, Ordering::Relaxed);
                    flow.heard(octets.len());
                }
                Some(Message::Taken(octets)) if flow.taken(octets) => {}
                Some(_) => return Err(Broken::Pipe(PipeError::Unexpected)),
                None if ended => return Ok(()),
                None => return Err(Broken::Pipe(PipeError::Ended)),
            }
        }
    };
    let telling = async {
        let mut buffer = vec![0; CHUNK];
        let mut said_all = false;
        loop {
            if let Some(octets) = flow.owed() {
                sink.send(&Message::Taken(octets)).await?;
                continue;
            }
            if said_all && flow.all_heard() {
                sink.finish().await?;
                return Ok::<(), Broken>(());
            }
            let room = flow.room().min(CHUNK);
            tokio::select! {
                () = flow.changed.notified() => {}
                got = read.read(&mut buffer[..room]), if !said_all && room > 0 => {
                    let octets = got?;
                    said_all = octets == 0;
                    flow.sent(octets);
                    meter.there.fetch_add(octets as u64, Ordering::Relaxed);
                    sink.send(&Message::Octets(buffer[..octets].to_vec())).await?;
                    meter.pace(octets).await;
                }
            }
        }
    };
    tokio::try_join!(hearing, telling).map(|((), ())| ())
}

/// What both directions must know of each other.
#[derive(Default)]
struct Flow {
    /// Octets that are on their way to the other end.
    away: AtomicU32,
    /// Octets that were passed on here and not told yet.
    owed: AtomicU32,
    heard_all: AtomicBool,
    changed: Notify,
}

impl Flow {
    fn room(&self) -> usize {
        let away = self.away.load(Ordering::Relaxed);
        usize::try_from(WINDOW.saturating_sub(away)).unwrap_or(0)
    }

    fn sent(&self, octets: usize) {
        let octets = u32::try_from(octets).unwrap_or(WINDOW);
        self.away.fetch_add(octets, Ordering::Relaxed);
    }

    /// Whether so many can have been passed on there.
    fn taken(&self, octets: u32) -> bool {
        let possible = self
            .away
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |away| {
                away.checked_sub(octets)
            });
        self.changed.notify_one();
        possible.is_ok()
    }

    fn heard(&self, octets: usize) {
        let octets = u32::try_from(octets).unwrap_or(WINDOW);
        self.owed.fetch_add(octets, Ordering::Relaxed);
        self.changed.notify_one();
    }

    fn owed(&self) -> Option<u32> {
        Some(self.owed.swap(0, Ordering::Relaxed)).filter(|owed| *owed > 0)
    }

    fn heard_all(&self) {
        self.heard_all.store(true, Ordering::Relaxed);
        self.changed.notify_one();
    }

    fn all_heard(&self) -> bool {
        self.heard_all.load(Ordering::Relaxed)
    }
}
