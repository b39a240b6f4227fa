//! Many source ports towards one server: a request's place is its port and its identifier.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

/// Ports of one wire. With 256 identifiers each they hold far more requests than are ever
/// outstanding, so a place is long free when its turn comes again.
const PORTS: usize = 16;

/// How many requests can be told apart at once.
pub const PLACES: usize = PORTS * 256;

/// Sockets that never wait.
pub struct Wire {
    sockets: Vec<UdpSocket>,
    buffer: Vec<u8>,
}

impl Wire {
    /// Opens ports of its own, never used before.
    pub fn open(server: SocketAddr) -> io::Result<Wire> {
        let open = |_| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.connect(server)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        Ok(Wire {
            sockets: (0..PORTS).map(open).collect::<io::Result<_>>()?,
            buffer: vec![0; 4096],
        })
    }

    /// Sends the request of a place. What a full queue drops is lost as on any network.
    pub fn send(&self, place: usize, request: &[u8]) -> io::Result<()> {
        match self.sockets[place % PORTS].send(request) {
            Ok(_) => Ok(()),
            Err(error) if passing(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Hands over every datagram that has come, with the place it answers; gives their number.
    pub fn receive(&mut self, mut take: impl FnMut(usize, &[u8])) -> io::Result<usize> {
        let mut taken = 0;
        for (port, socket) in self.sockets.iter().enumerate() {
            loop {
                match socket.recv(&mut self.buffer) {
                    Ok(length) => {
                        taken += 1;
                        let identifier = usize::from(self.buffer[1]);
                        take(identifier * PORTS + port, &self.buffer[..length]);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if passing(&error) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(taken)
    }
}

/// The identifier that a request at this place must carry.
pub fn identifier(place: usize) -> u8 {
    u8::try_from(place % PLACES / PORTS).expect("a place has one of 256 identifiers")
}

fn passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, Interrupted, WouldBlock};
    matches!(
        error.kind(),
        WouldBlock | Interrupted | ConnectionRefused // the server is not up yet
    )
}
