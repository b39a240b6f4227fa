//! Free ports for servers that a test starts.
//!
//! They lie below what the kernel hands out to outgoing connections: between the moment a port is found
//! free and the moment its server listens, no client can take it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// A port at `host` that is free for UDP and for TCP; no second call in this process returns it until
/// all others were returned.
pub fn free(host: impl Into<IpAddr>) -> io::Result<SocketAddr> {
    let host = host.into();
    for _ in 0..PORTS {
        let address = SocketAddr::new(host, next());
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(io::Error::other("no port is free"))
}

/// The same on the first loopback address.
pub fn free_here() -> io::Result<SocketAddr> {
    free(Ipv4Addr::LOCALHOST)
}

/// Test programs that run at once begin at different places.
fn next() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let begin = std::process::id().wrapping_mul(977) % u32::from(PORTS);
    let taken = u32::from(TAKEN.fetch_add(1, Ordering::Relaxed));
    FIRST + u16::try_from((begin + taken) % u32::from(PORTS)).unwrap_or(0)
}

/// Above the product's own defaults, below Linux's first port for outgoing connections (32,768).
const FIRST: u16 = 20_000;
const PORTS: u16 = 12_000;
