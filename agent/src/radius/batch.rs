//! Many datagrams with one call to the system: what waits is read together, and what is answered at once is sent
//! together. A lone datagram waits for no other one.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

/// How many are read with one call: the first of them is answered when the last of them is, a fraction of a
/// millisecond later.
const MOST: usize = 32;
/// One octet more than the largest packet, so that a longer datagram is seen to be longer.
const LENGTH: usize = 4097;

/// Room for the datagrams of one thread.
pub(super) struct Batch {
    room: Vec<[u8; LENGTH]>,
    read: MultiHeaders<SockaddrStorage>,
    answers: Vec<(SocketAddr, Arc<[u8]>)>,
}

impl Batch {
    pub(super) fn new() -> Batch {
        Batch {
            room: vec![[0; LENGTH]; MOST],
            read: MultiHeaders::preallocate(MOST, None),
            answers: Vec::with_capacity(MOST),
        }
    }

    /// Waits for a datagram, hands it and those that wait behind it over in the order they came, and sends what is
    /// answered.
    pub(super) fn serve(
        &mut self,
        socket: &UdpSocket,
        mut handle: impl FnMut(SocketAddr, &[u8]) -> Option<Arc<[u8]>>,
    ) -> io::Result<()> {
        let mut places: Vec<[IoSliceMut<'_>; 1]> = self
            .room
            .iter_mut()
            .map(|room| [IoSliceMut::new(room)])
            .collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        let datagrams = recvmmsg(socket.as_raw_fd(), &mut self.read, &mut places, flags, None)?;
        for datagram in datagrams {
            let Some(source) = datagram.address.and_then(address) else {
                continue;
            };
            let octets = datagram.iovs().next().unwrap_or_default();
            if let Some(answer) = handle(source, octets) {
                self.answers.push((source, answer));
            }
        }
        self.send(socket);
        Ok(())
    }

    /// An answer that cannot be sent is one the router asks for again.
    fn send(&mut self, socket: &UdpSocket) {
        let mut rest = self.answers.as_slice();
        while let [(source, answer), others @ ..] = rest {
            let sent = match others {
                [] => socket.send_to(answer, source).map(|_| 1),
                _ => send_together(socket, rest),
            };
            // Where none was sent, the first one is why.
            rest = &rest[sent.unwrap_or(1).max(1)..];
        }
        self.answers.clear();
    }
}

/// Sends the first answers, and says how many.
fn send_together(socket: &UdpSocket, answers: &[(SocketAddr, Arc<[u8]>)]) -> io::Result<usize> {
    let octets: Vec<[IoSlice<'_>; 1]> = answers
        .iter()
        .map(|(_, answer)| [IoSlice::new(answer)])
        .collect();
    let to: Vec<SocketAddrAny> = answers.iter().map(|(to, _)| (*to).into()).collect();
    let mut nothing_beside: Vec<SendAncillaryBuffer<'_, '_, '_>> = answers
        .iter()
        .map(|_| SendAncillaryBuffer::default())
        .collect();
    let mut messages: Vec<MMsgHdr<'_>> = to
        .iter()
        .zip(&octets)
        .zip(&mut nothing_beside)
        .map(|((to, octets), nothing)| MMsgHdr::new_with_addr(to, octets, nothing))
        .collect();
    Ok(sendmmsg(socket, &mut messages, SendFlags::empty())?)
}

fn address(found: SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = found.as_sockaddr_in() {
        return Some(SocketAddrV4::from(*v4).into());
    }
    let v6 = found.as_sockaddr_in6()?;
    Some(SocketAddrV6::from(*v6).into())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use super::*;

    fn pair(address: &str) -> (UdpSocket, UdpSocket) {
        let (server, client) = (
            UdpSocket::bind(address).unwrap(),
            UdpSocket::bind(address).unwrap(),
        );
        for socket in [&server, &client] {
            socket
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
        }
        (server, client)
    }

    /// What a client hears who sent `datagrams` before anybody read.
    fn answered(address: &str, datagrams: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let (server, client) = pair(address);
        let to = server.local_addr().unwrap();
        for datagram in datagrams {
            client.send_to(datagram, to).unwrap();
        }
        let (mut batch, mut seen) = (Batch::new(), 0);
        while seen < datagrams.len() {
            let serve = batch.serve(&server, |source, octets| {
                assert_eq!(source, client.local_addr().unwrap());
                seen += 1;
                // Nobody is answered who sent nothing.
                (!octets.is_empty()).then(|| Arc::from(octets))
            });
            serve.unwrap();
        }
        let answers = datagrams.iter().filter(|datagram| !datagram.is_empty());
        answers
            .map(|_| {
                let mut buffer = [0; 5000];
                let (length, from) = client.recv_from(&mut buffer).unwrap();
                assert_eq!(from, to);
                buffer[..length].to_vec()
            })
            .collect()
    }

    #[test]
    fn each_is_answered_in_the_order_it_came() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            // More than one call reads, of all lengths.
            let some: Vec<Vec<u8>> = (1..=80_u8).map(|n| vec![n; usize::from(n) * 7]).collect();
            assert_eq!(answered(address, &some), some);
            assert_eq!(answered(address, &some[..1]), some[..1]);
        }
    }

    #[test]
    fn who_is_not_answered_shifts_nobody_elses_answer() {
        let some = [
            vec![1; 20],
            vec![],
            vec![3; 4],
            vec![],
            vec![],
            vec![6; 4096],
        ];
        let heard: Vec<Vec<u8>> = some
            .iter()
            .filter(|sent| !sent.is_empty())
            .cloned()
            .collect();
        assert_eq!(answered("127.0.0.1:0", &some), heard);
    }

    #[test]
    fn a_datagram_that_is_too_long_is_seen_to_be() {
        let heard = answered("127.0.0.1:0", &[vec![7; 4099]]);
        assert_eq!(heard[0].len(), LENGTH);
    }

    #[test]
    fn an_answer_that_cannot_be_sent_holds_up_no_other() {
        let (server, client) = pair("127.0.0.1:0");
        let mut batch = Batch::new();
        let good = client.local_addr().unwrap();
        // IPv4 sockets send nothing to IPv6.
        let bad: SocketAddr = "[::1]:9".parse().unwrap();
        for (to, word) in [(bad, 1), (good, 2), (bad, 3), (bad, 4), (good, 5), (bad, 6)] {
            batch.answers.push((to, Arc::from([word])));
        }
        batch.send(&server);
        let mut buffer = [0; 8];
        for word in [2, 5] {
            assert_eq!(client.recv(&mut buffer).unwrap(), 1);
            assert_eq!(buffer[0], word);
        }
        assert!(batch.answers.is_empty());
    }

    #[test]
    fn nobody_speaks_and_the_reader_looks_up() {
        let (server, _client) = pair("127.0.0.1:0");
        server
            .set_read_timeout(Some(Duration::from_millis(10)))
            .unwrap();
        let cause = Batch::new().serve(&server, |_, _| None).unwrap_err();
        assert_eq!(cause.kind(), io::ErrorKind::WouldBlock);
    }
}
