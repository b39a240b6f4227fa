//! Tells the service manager that this process serves: after a real login through the RADIUS socket and a
//! real write to the outbox, and after nothing else (L5).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use easyisp_shared::entropy::Entropy;
use tracing::{error, warn};

use crate::radius::builder::Signature;
use crate::radius::client::{self, Login, Method};
use crate::radius::driver::Radius;
use crate::radius::own::Own;
use crate::radius::{Code, KnownPassword, Secret};
use crate::store::{Job, Outbox, Refused};

/// One site to look at.
pub(crate) struct Watch {
    /// Who answers its logins.
    pub radius: Arc<Radius>,
    /// Where it writes.
    pub outbox: Outbox,
}

/// What the watchdog looks at: the sites of this process behind one socket.
pub struct Watched {
    sites: Vec<Watch>,
    socket: UdpSocket,
    secret: Arc<Secret>,
    password: [u8; 16],
    entropy: Entropy,
    /// Which site is asked at the moment; shared sockets look at it.
    asked: Arc<AtomicUsize>,
}

/// What does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Hang {
    /// A login through the socket.
    #[error("a login through the RADIUS socket is not answered")]
    Login,
    /// The accounting thread.
    #[error("the accounting thread does not answer")]
    Write,
    /// It answers, and never again with yes: a file is mended only when it is opened.
    #[error("outbox.db is damaged, and a start mends it")]
    Damaged,
}

impl Watched {
    /// Opens a socket towards `radius` that only this process has.
    pub(crate) fn new(
        sites: Vec<Watch>,
        radius: SocketAddr,
        asked: Arc<AtomicUsize>,
        entropy: &Entropy,
    ) -> io::Result<Watched> {
        let mut target = radius;
        if target.ip().is_unspecified() {
            target.set_ip(match target.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let socket = UdpSocket::bind((target.ip(), 0))?;
        socket.connect(target)?;
        socket.set_read_timeout(Some(RESEND))?;
        let secret = Arc::new(Secret::new(&entropy.bytes::<32>()));
        let (source, password) = (socket.local_addr()?, entropy.bytes());
        for site in &sites {
            site.radius.take_own(Own {
                source,
                secret: secret.clone(),
                password: KnownPassword::new(&password),
            });
        }
        Ok(Watched {
            sites,
            socket,
            secret,
            password,
            entropy: entropy.clone(),
            asked,
        })
    }

    /// Logs in at every site and writes to every outbox; the first that does not answer in `patience`.
    ///
    /// A disk that refuses a write answers: logins go on from memory, and a restart would lose those too
    /// (E1, E7). One that is damaged refuses for ever.
    pub fn look(&self, patience: Duration) -> Result<(), Hang> {
        for (place, site) in self.sites.iter().enumerate() {
            self.asked.store(place, Ordering::Relaxed);
            if !self.log_in(patience) {
                return Err(Hang::Login);
            }
            if !write(&site.outbox, patience) {
                return Err(Hang::Write);
            }
        }
        match self.sites.iter().any(|site| site.outbox.stats().damaged) {
            true => Err(Hang::Damaged),
            false => Ok(()),
        }
    }

    fn log_in(&self, patience: Duration) -> bool {
        let login = Login {
            user_name: b"easyisp-watchdog",
            method: Method::Pap {
                password: &self.password,
            },
            extra: &[],
            signature: Signature::MessageAuthenticator,
        };
        let [identifier, authenticator @ ..] = self.entropy.bytes::<17>();
        let request = client::access_request(&login, identifier, &authenticator, &self.secret);
        let Ok(request) = request else { return false };
        let began = Instant::now();
        let mut answer = [0; 4096];
        while began.elapsed() < patience {
            let sent = self.socket.send(&request);
            let Ok(length) = sent.and_then(|_| self.socket.recv(&mut answer)) else {
                continue; // asked again, as a router does
            };
            let read = client::read_answer(&answer[..length], &request, &self.secret);
            if read.is_ok_and(|answer| answer.code() == Some(Code::AccessAccept)) {
                return true;
            }
        }
        false
    }
}

/// Whether the accounting thread says yes or no in time.
fn write(outbox: &Outbox, patience: Duration) -> bool {
    let began = Instant::now();
    while began.elapsed() < patience {
        let (told, answered) = mpsc::sync_channel(1);
        let mark = Job::Mark {
            name: "watchdog".into(),
            value: 1,
            done: Box::new(move |_| {
                let _nobody_waits = told.send(());
            }),
        };
        match outbox.submit(mark) {
            Ok(()) => return answered.recv_timeout(patience).is_ok(),
            Err(Refused::Closed) => return true, // it is being stopped in order
            Err(Refused::Full) => std::thread::sleep(RESEND),
        }
    }
    false
}

/// The service manager, as `NOTIFY_SOCKET` and `WATCHDOG_USEC` name it (sd_notify(3)).
pub struct Supervisor {
    socket: UnixDatagram,
    /// How long it waits for a sign of life; `None` when it does not.
    patience: Option<Duration>,
}

impl Supervisor {
    /// From this process's environment; `None` where nobody listens.
    pub fn of(environment: impl IntoIterator<Item = (String, String)>) -> Option<Supervisor> {
        let (mut path, mut patience) = (None, None);
        for (name, value) in environment {
            match name.as_str() {
                "NOTIFY_SOCKET" => path = Some(value),
                "WATCHDOG_USEC" => patience = value.parse().ok().map(Duration::from_micros),
                _ => {}
            }
        }
        let path = path?;
        let address = match path.strip_prefix('@') {
            Some(name) => UnixAddress::from_abstract_name(name),
            None => UnixAddress::from_pathname(&path),
        };
        let socket = UnixDatagram::unbound().ok()?;
        let connected = address.and_then(|address| socket.connect_addr(&address));
        if let Err(cause) = connected {
            warn!(%cause, "Cannot reach the service manager at {path}");
            return None;
        }
        Some(Supervisor { socket, patience })
    }

    fn tell(&self, what: &str) {
        if let Err(cause) = self.socket.send(what.as_bytes()) {
            warn!(%cause, "Cannot tell the service manager {what}");
        }
    }
}

/// The thread that looks.
pub struct Watchdog {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Watchdog {
    /// Looks until stopped. Without a sign of life for [`HANGS_AFTER`], `on_hang` is called: a process
    /// that does not serve must end, so that it is started again.
    pub fn start(
        watched: Arc<Watched>,
        supervisor: Option<Supervisor>,
        on_hang: impl Fn(Hang) + Send + 'static,
    ) -> io::Result<Watchdog> {
        let patience = supervisor.as_ref().and_then(|told| told.patience);
        let every = patience.map_or(HANGS_AFTER, |patience| patience.min(HANGS_AFTER)) / 3;
        let (stop, stopped) = mpsc::sync_channel(1);
        let tell = move |what: &str| {
            if let Some(supervisor) = &supervisor {
                supervisor.tell(what);
            }
        };
        let began = Instant::now();
        let mut alive = began;
        let run = move || {
            tell("READY=1");
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                match watched.look(every) {
                    Ok(()) => {
                        alive = Instant::now();
                        tell("WATCHDOG=1");
                    }
                    Err(hang) => {
                        error!(%hang, "This agent does not serve: {hang}");
                        if must_end(hang, alive.elapsed(), began.elapsed()) {
                            on_hang(hang);
                        } else if hang == Hang::Damaged {
                            // Logins are answered, from memory.
                            alive = Instant::now();
                            tell("WATCHDOG=1");
                        }
                    }
                }
            }
            tell("STOPPING=1");
        };
        let thread = std::thread::Builder::new()
            .name("watchdog".into())
            .spawn(run)?;
        Ok(Watchdog { stop, thread })
    }

    /// Ends it; a stop in order is no hang.
    pub fn stop(self) {
        drop(self.stop);
        let _ended = self.thread.join();
    }
}

/// Whether to end for a hang, after so long without a sign of life and so long since the start.
fn must_end(hang: Hang, silent: Duration, running: Duration) -> bool {
    match hang {
        Hang::Login | Hang::Write => silent >= HANGS_AFTER,
        Hang::Damaged => running >= MENDED_EVERY,
    }
}

/// A card that damages what was just begun anew would be filled with damaged files.
const MENDED_EVERY: Duration = Duration::from_secs(600);
/// Ten seconds before the 30 in which a hanging process must serve again; longer than a bad card stalls.
pub const HANGS_AFTER: Duration = Duration::from_secs(18);
const RESEND: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_ends_a_process_that_ran_for_a_while() {
        let minute = Duration::from_secs(60);
        assert!(!must_end(Hang::Damaged, Duration::ZERO, minute));
        assert!(must_end(Hang::Damaged, Duration::ZERO, 10 * minute));
        assert!(!must_end(Hang::Write, Duration::ZERO, 10 * minute));
        assert!(must_end(Hang::Write, minute, minute));
    }
}
