//! The sockets: one for IPv4 and one for IPv6 carry the questions to all devices; an answer is known by its
//! id and by whom it comes from.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use easyisp_shared::entropy::Entropy;
use tokio::net::UdpSocket;
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::pdu::{self, Pdu, Request};
use super::session::{Heard, Session, SnmpError};
use super::walk::{Part, Values, Walk};

/// Asks devices.
pub struct Exchange {
    local: IpAddr,
    entropy: Entropy,
    began: Instant,
    v4: OnceCell<Arc<UdpSocket>>,
    v6: OnceCell<Arc<UdpSocket>>,
    waiting: Arc<Mutex<HashMap<i32, Waiting>>>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

struct Waiting {
    from: IpAddr,
    tell: mpsc::Sender<Vec<u8>>,
}

/// What a device said, and how soon it began to.
#[derive(Debug)]
pub struct Walked {
    /// What it said.
    pub values: Values,
    /// Until its first answer.
    pub first: Duration,
}

impl Exchange {
    /// Asks from `local`; the sockets are opened with the first question.
    pub fn new(local: IpAddr, entropy: Entropy, cancel: CancellationToken) -> Exchange {
        Exchange {
            local,
            entropy,
            began: Instant::now(),
            v4: OnceCell::new(),
            v6: OnceCell::new(),
            waiting: Arc::default(),
            cancel,
            tasks: TaskTracker::new(),
        }
    }

    /// Reads `parts` of a device.
    pub async fn walk(
        &self,
        session: &mut Session,
        device: SocketAddr,
        parts: Vec<Part>,
    ) -> Result<Walked, SnmpError> {
        let began = Instant::now();
        let mut first = None;
        let mut walk = Walk::new(parts);
        let mut line = Line::new(self, device).await?;
        while let Some(request) = walk.next() {
            let patience = if first.is_none() {
                PATIENCE
            } else {
                LATER_PATIENCE
            };
            match line.ask(session, &request, patience).await {
                Ok(pdu) => {
                    first.get_or_insert_with(|| began.elapsed());
                    walk.take(pdu);
                }
                Err(SnmpError::Silent) if walk.silence() => {}
                Err(cause) => {
                    session.forget();
                    return Err(cause);
                }
            }
        }
        Ok(Walked {
            values: walk.finish()?,
            first: first.unwrap_or_default(),
        })
    }

    async fn socket(&self, device: SocketAddr) -> Result<Arc<UdpSocket>, SnmpError> {
        let (cell, any): (_, IpAddr) = match device {
            SocketAddr::V4(_) => (&self.v4, Ipv4Addr::UNSPECIFIED.into()),
            SocketAddr::V6(_) => (&self.v6, Ipv6Addr::UNSPECIFIED.into()),
        };
        // Devices let one address in: the one that RADIUS answers from, where that is one of its family.
        let from = if self.local.is_ipv4() == device.is_ipv4() {
            self.local
        } else {
            any
        };
        let open = async {
            let socket = UdpSocket::bind(SocketAddr::new(from, 0)).await;
            let socket = socket.map_err(|cause| SnmpError::Socket(cause.to_string()))?;
            // A thousand devices may answer while this box does something else.
            let _smaller_works =
                socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
            let socket = Arc::new(socket);
            let receive = receive(socket.clone(), self.waiting.clone());
            let cancel = self.cancel.clone();
            self.tasks
                .spawn(async move { cancel.run_until_cancelled(receive).await });
            Ok(socket)
        };
        cell.get_or_try_init(|| open).await.cloned()
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<i32, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to one device, for some questions one after the other.
struct Line<'a> {
    exchange: &'a Exchange,
    socket: Arc<UdpSocket>,
    device: SocketAddr,
    tell: mpsc::Sender<Vec<u8>>,
    told: mpsc::Receiver<Vec<u8>>,
    open: Option<i32>,
}

impl<'a> Line<'a> {
    async fn new(exchange: &'a Exchange, device: SocketAddr) -> Result<Line<'a>, SnmpError> {
        let socket = exchange.socket(device).await?;
        let (tell, told) = mpsc::channel(4);
        Ok(Line {
            exchange,
            socket,
            device,
            tell,
            told,
            open: None,
        })
    }

    /// Asks until there is an answer, as often as `patience` has parts.
    async fn ask(
        &mut self,
        session: &mut Session,
        request: &Request,
        patience: &[Duration],
    ) -> Result<Pdu, SnmpError> {
        let mut learned = 0;
        let mut tries = patience.iter();
        let mut wait = tries.next().copied().unwrap_or_default();
        loop {
            let id = self.begin();
            let datagram = session.write(id, request, self.now());
            if let Err(cause) = self.socket.send_to(&datagram, self.device).await {
                return Err(SnmpError::Unreachable(cause.to_string()));
            }
            match tokio::time::timeout(wait, self.hear(session, id)).await {
                Ok(Some(Heard::Answer(pdu))) => return Ok(pdu),
                Ok(Some(Heard::Failed(cause))) => return Err(cause),
                // Who is learned from again and again does not want to be understood.
                Ok(Some(Heard::Again)) if learned < MOST_LESSONS => learned += 1,
                Ok(Some(Heard::Again | Heard::Nothing) | None) | Err(_) => match tries.next() {
                    Some(longer) => wait = *longer,
                    // It just said who it is, and is deaf to what is enciphered: Net-SNMP drops what does not
                    // decipher to anything, without the report that RFC 3414 asks for.
                    None if learned > 0 && session.enciphers() => {
                        return Err(SnmpError::WrongPrivacy);
                    }
                    None => return Err(SnmpError::Silent),
                },
            }
        }
    }

    async fn hear(&mut self, session: &mut Session, id: i32) -> Option<Heard> {
        loop {
            let datagram = self.told.recv().await?;
            match session.hear(id, &datagram, self.now()) {
                Heard::Nothing => {}
                heard => return Some(heard),
            }
        }
    }

    /// An id that nobody can guess, and that nobody waits for.
    fn begin(&mut self) -> i32 {
        self.end();
        let mut waiting = self.exchange.waiting();
        loop {
            let id = i32::from_be_bytes(self.exchange.entropy.bytes()) & i32::MAX;
            if id != 0 && !waiting.contains_key(&id) {
                let from = self.device.ip();
                let tell = self.tell.clone();
                waiting.insert(id, Waiting { from, tell });
                self.open = Some(id);
                return id;
            }
        }
    }

    fn end(&mut self) {
        if let Some(id) = self.open.take() {
            self.exchange.waiting().remove(&id);
        }
    }

    fn now(&self) -> Duration {
        self.exchange.began.elapsed()
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// Hands datagrams to who waits for them. What nobody waits for, or comes from elsewhere, is dropped.
async fn receive(socket: Arc<UdpSocket>, waiting: Arc<Mutex<HashMap<i32, Waiting>>>) {
    let mut buffer = vec![0; 65_536];
    loop {
        // An error is of a datagram that could not be delivered; its device is silent.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let datagram = buffer.get(..length).unwrap_or_default();
        let Some(id) = pdu::id_of(datagram) else {
            continue;
        };
        let waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(who) = waiting.get(&id).filter(|who| who.from == from.ip()) {
            let _full_means_heard = who.tell.try_send(datagram.to_vec());
        }
    }
}

/// How long a device has for its first answer, try by try.
const PATIENCE: &[Duration] = &[
    Duration::from_millis(1000),
    Duration::from_millis(2000),
    Duration::from_millis(3000),
];
/// How long for the others: it is there, but a long answer may be lost.
const LATER_PATIENCE: &[Duration] = &[Duration::from_millis(1500), Duration::from_millis(3000)];
/// Who is there, what time it is there, and both again after it restarted.
const MOST_LESSONS: u32 = 5;
const RECEIVE_BUFFER: usize = 4 << 20;
