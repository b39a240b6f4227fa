//! Many datagrams with one call to the system: what waits is read together, and what is answered at once is sent
//! together. A lone datagram waits for no other one.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};

use super::heard::{self, Heard, Origin};

/// How many are read with one call: the first of them is answered when the last of them is, a fraction of a
/// millisecond later.
const MOST: usize = 32;
/// One octet more than the largest packet, so that a longer datagram is seen to be longer.
const LENGTH: usize = 4097;

/// Room for the datagrams of one thread.
pub(super) struct Batch {
    room: Vec<[u8; LENGTH]>,
    read: MultiHeaders<SockaddrStorage>,
    answers: Vec<Answer>,
    headers: Headers,
}

/// What is sent, to whom, from which address of ours.
struct Answer {
    to: SocketAddr,
    from: Option<IpAddr>,
    octets: Arc<[u8]>,
}

/// Room for what the system is told of what is sent: as much as it is told, and no more.
struct Headers {
    plain: MultiHeaders<SockaddrStorage>,
    v4: MultiHeaders<SockaddrStorage>,
    v6: MultiHeaders<SockaddrStorage>,
}

impl Batch {
    pub(super) fn new() -> Batch {
        Batch {
            room: vec![[0; LENGTH]; MOST],
            read: MultiHeaders::preallocate(MOST, Some(heard::room())),
            answers: Vec::with_capacity(MOST),
            headers: Headers::new(),
        }
    }

    /// Waits for a datagram, hands it and those that wait behind it over in the order they came, and sends what is
    /// answered.
    pub(super) fn serve(
        &mut self,
        socket: &Arc<UdpSocket>,
        mut handle: impl FnMut(SocketAddr, &[u8], &Heard) -> Option<Arc<[u8]>>,
    ) -> io::Result<()> {
        let mut places: Vec<[IoSliceMut<'_>; 1]> = self
            .room
            .iter_mut()
            .map(|room| [IoSliceMut::new(room)])
            .collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        let datagrams = recvmmsg(socket.as_raw_fd(), &mut self.read, &mut places, flags, None)?;
        let mut heard = Heard::new(socket.clone(), None);
        for datagram in datagrams {
            let Some(source) = datagram.address.and_then(address) else {
                continue;
            };
            let told = datagram.cmsgs().ok();
            let at = told.and_then(|mut told| told.find_map(|message| heard::told(&message)));
            if at != heard.at() {
                heard = Heard::new(socket.clone(), at);
            }
            let octets = datagram.iovs().next().unwrap_or_default();
            if let Some(octets) = handle(source, octets, &heard) {
                self.answers.push(Answer {
                    to: source,
                    from: at,
                    octets,
                });
            }
        }
        self.send(socket);
        Ok(())
    }

    /// An answer that cannot be sent is one the router asks for again.
    fn send(&mut self, socket: &UdpSocket) {
        let mut rest = self.answers.as_slice();
        while let [first, ..] = rest {
            let others = rest.iter().take_while(|other| other.from == first.from);
            let sent = match others.count() {
                1 => heard::send_from(socket, first.from, &first.octets, first.to).map(|()| 1),
                together => self.headers.send(socket, first.from, &rest[..together]),
            };
            // Where none was sent, the first one is why.
            rest = &rest[sent.unwrap_or(1).max(1)..];
        }
        self.answers.clear();
    }
}

impl Headers {
    fn new() -> Headers {
        let with = |room| MultiHeaders::preallocate(MOST, room);
        Headers {
            plain: with(None),
            v4: with(Some(nix::cmsg_space!(nix::libc::in_pktinfo))),
            v6: with(Some(nix::cmsg_space!(nix::libc::in6_pktinfo))),
        }
    }

    /// Sends the first answers, and says how many.
    fn send(
        &mut self,
        socket: &UdpSocket,
        from: Option<IpAddr>,
        answers: &[Answer],
    ) -> io::Result<usize> {
        let octets: Vec<[IoSlice<'_>; 1]> = answers
            .iter()
            .map(|answer| [IoSlice::new(&answer.octets)])
            .collect();
        let to: Vec<Option<SockaddrStorage>> = answers
            .iter()
            .map(|answer| Some(answer.to.into()))
            .collect();
        let origin = from.map(Origin::of);
        let messages: Vec<_> = origin.iter().map(Origin::message).collect();
        let headers = match origin {
            None => &mut self.plain,
            Some(Origin::V4(_)) => &mut self.v4,
            Some(Origin::V6(_)) => &mut self.v6,
        };
        let sent = sendmmsg(
            socket.as_raw_fd(),
            headers,
            &octets,
            to,
            messages,
            MsgFlags::empty(),
        )?;
        Ok(sent.count())
    }
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

    fn pair(address: &str) -> (Arc<UdpSocket>, UdpSocket) {
        let (server, client) = (
            Arc::new(UdpSocket::bind(address).unwrap()),
            UdpSocket::bind(address).unwrap(),
        );
        for socket in [&*server, &client] {
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
            let serve = batch.serve(&server, |source, octets, _| {
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
            batch.answers.push(Answer {
                to,
                from: None,
                octets: Arc::from([word]),
            });
        }
        batch.send(&server);
        let mut buffer = [0; 8];
        for word in [2, 5] {
            assert_eq!(client.recv(&mut buffer).unwrap(), 1);
            assert_eq!(buffer[0], word);
        }
        assert!(batch.answers.is_empty());
    }

    /// A box with several addresses: at once, together with others, and later.
    #[test]
    fn an_answer_leaves_from_the_address_that_was_asked() {
        for bound in ["0.0.0.0:0", "[::]:0"] {
            let server = Arc::new(UdpSocket::bind(bound).unwrap());
            let port = server.local_addr().unwrap().port();
            heard::tell_where(&server, server.local_addr().unwrap().ip()).unwrap();
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            let mut asked: Vec<SocketAddr> = Vec::new();
            for last in [2, 2, 3, 2, 4, 4, 4] {
                let at = SocketAddr::from(([127, 0, 0, last], port));
                client.send_to(&[last], at).unwrap();
                asked.push(at);
            }
            let (mut batch, mut seen, mut later) = (Batch::new(), 0, Vec::new());
            while seen < asked.len() {
                let serve = batch.serve(&server, |source, octets, heard| {
                    seen += 1;
                    later.push((heard.clone(), source));
                    Some(Arc::from(octets))
                });
                serve.unwrap();
            }
            for (heard, source) in later {
                assert!(heard.send_to(b"later", source));
            }
            client
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            let mut answered: Vec<SocketAddr> = Vec::new();
            for _ in 0..2 * asked.len() {
                let (_, from) = client.recv_from(&mut [0; 16]).unwrap();
                answered.push(from);
            }
            let (at_once, later) = answered.split_at(asked.len());
            assert_eq!((at_once, later), (&*asked, &*asked), "{bound}");
        }
    }

    #[test]
    fn nobody_speaks_and_the_reader_looks_up() {
        let (server, _client) = pair("127.0.0.1:0");
        server
            .set_read_timeout(Some(Duration::from_millis(10)))
            .unwrap();
        let cause = Batch::new().serve(&server, |_, _, _| None).unwrap_err();
        assert_eq!(cause.kind(), io::ErrorKind::WouldBlock);
    }
}
