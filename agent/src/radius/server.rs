//! The two RADIUS sockets and the threads that read them.
//!
//! Plain blocking threads: a datagram is answered by the thread that read it, without a hop.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;
use tracing::warn;

use super::batch::Batch;
use super::driver::Radius;
use super::heard::{self, Heard};

/// Two bound sockets, before anybody answers on them.
pub struct Sockets {
    pub(crate) authentication: Arc<UdpSocket>,
    pub(crate) accounting: Arc<UdpSocket>,
}

/// The running server.
pub struct Server {
    sockets: Sockets,
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Sockets {
    /// Binds both ports; port 0 takes a free one. An error names the address that cannot be had.
    pub fn bind(
        authentication: SocketAddr,
        accounting: SocketAddr,
    ) -> Result<Sockets, (SocketAddr, io::Error)> {
        let open = |address| {
            bind(address)
                .map(Arc::new)
                .map_err(|cause| (address, cause))
        };
        Ok(Sockets {
            authentication: open(authentication)?,
            accounting: open(accounting)?,
        })
    }

    /// Where logins and where accounting are answered.
    pub fn addresses(&self) -> (SocketAddr, SocketAddr) {
        let address =
            |socket: &UdpSocket| socket.local_addr().expect("a bound socket has an address");
        (address(&self.authentication), address(&self.accounting))
    }
}

impl Server {
    /// Begins to answer, with `workers` threads for logins and one for accounting (whose reports then
    /// stay in the order they came).
    pub fn start(radius: Arc<Radius>, sockets: Sockets, workers: usize) -> io::Result<Server> {
        let stopping = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for number in 0..workers.max(1) {
            let radius = radius.clone();
            let reader = Reader::new(&sockets.authentication, &stopping);
            threads.push(spawn(format!("radius-auth-{number}"), move || {
                reader
                    .run(|source, datagram, heard| radius.on_access_port(source, datagram, heard));
            })?);
        }
        let reader = Reader::new(&sockets.accounting, &stopping);
        threads.push(spawn("radius-acct".into(), move || {
            reader
                .run(|source, datagram, heard| radius.on_accounting_port(source, datagram, heard));
        })?);
        Ok(Server {
            sockets,
            stopping,
            threads,
        })
    }

    /// Stops reading. Accounting that was taken is still answered when its commit is done.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::SeqCst);
        for _ in &self.threads {
            wake(&self.sockets.authentication);
            wake(&self.sockets.accounting);
        }
        for thread in self.threads {
            let _ended = thread.join();
        }
    }
}

/// One thread's view of a socket.
pub(crate) struct Reader {
    socket: Arc<UdpSocket>,
    stopping: Arc<AtomicBool>,
}

impl Reader {
    pub(crate) fn new(socket: &Arc<UdpSocket>, stopping: &Arc<AtomicBool>) -> Reader {
        Reader {
            socket: socket.clone(),
            stopping: stopping.clone(),
        }
    }

    /// Hands each datagram over until told to stop, and sends what it gives back.
    pub(crate) fn run(
        self,
        mut handle: impl FnMut(SocketAddr, &[u8], &Heard) -> Option<Arc<[u8]>>,
    ) {
        let mut batch = Batch::new();
        while !self.stopping.load(Ordering::Relaxed) {
            let Err(cause) = batch.serve(&self.socket, &mut handle) else {
                continue;
            };
            match cause.kind() {
                // The time-out is there to look at `stopping`; the others name a client that is gone.
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset => {}
                _ => {
                    warn!(%cause, "Cannot read a RADIUS socket");
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }
}

pub(crate) fn spawn(
    name: String,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(run)
}

/// The system's default buffer holds some hundred datagrams: a site that redials after a power cut
/// sends thousands. What the kernel does not grant is not an error.
fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    let _less = SockRef::from(&socket).set_recv_buffer_size(4 << 20);
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    heard::tell_where(&socket, address.ip())?;
    Ok(socket)
}

/// An answer that cannot be sent is one the router asks for again.
pub(crate) fn send(heard: &Heard, reply: &[u8], source: SocketAddr) {
    let _lost = heard.send_to(reply, source);
}

/// An empty datagram to ourselves ends a read at once.
pub(crate) fn wake(socket: &UdpSocket) {
    let Ok(mut address) = socket.local_addr() else {
        return;
    };
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    let _the_timeout_ends_it_too = socket.send_to(&[], address);
}
