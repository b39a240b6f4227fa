//! The router's CoA port: orders are obeyed, ignored, refused, acknowledged for nothing or answered late.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_agent::radius::client::{answer_order, read_order};
use easyisp_agent::radius::dictionary::{attribute, mikrotik};
use easyisp_agent::radius::{Code, Packet};
use easyisp_shared::time::Timestamp;
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::radio::Fate;
use crate::router::{Router, Session};

/// What a router makes of orders, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Carries them out.
    Obeys,
    /// Does not hear them.
    Ignores,
    /// Says no, for this Error-Cause.
    Refuses(u32),
    /// Says yes and does nothing.
    Pretends,
    /// Carries them out and says so after this time.
    Late(Duration),
}

/// The port, and what is on its way from it.
pub struct Orders {
    port: UdpSocket,
    /// What it makes of orders.
    pub mood: Mood,
    late: Vec<(Timestamp, SocketAddr, Vec<u8>)>,
    /// How often each order came.
    copies: BTreeMap<(SocketAddr, u8), u32>,
}

/// An order as it came.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Heard {
    session: String,
    code: u8,
    bytes: Vec<u8>,
    from: SocketAddr,
}

/// An order that was dealt with.
#[derive(Debug)]
pub struct Order {
    /// Of which session.
    pub session: String,
    /// Under which name, where the box can say it: a voucher's code is in none of its files.
    pub user: Option<String>,
    /// What is asked for.
    pub what: What,
    /// It came before.
    pub copy: bool,
    /// What the router answered, heard or not.
    pub answered: Option<Result<(), u32>>,
}

/// What an order asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The session's end.
    Disconnect,
    /// Another rate, another end, counted from the session's beginning.
    Change {
        /// Mikrotik-Rate-Limit.
        rate: Option<String>,
        /// Session-Timeout.
        timeout: Option<Duration>,
    },
}

impl Heard {
    /// Of which session.
    pub fn session(&self) -> &str {
        &self.session
    }
}

impl Orders {
    /// A port that obeys.
    pub fn listen() -> Result<Orders> {
        let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        port.set_nonblocking(true)?;
        Ok(Orders {
            port,
            mood: Mood::Obeys,
            late: Vec::new(),
            copies: BTreeMap::new(),
        })
    }

    /// Its number.
    pub fn number(&self) -> Result<u16> {
        Ok(self.port.local_addr()?.port())
    }

    /// Another mood, as the seed has it.
    pub fn change_mood(&mut self, random: &mut SmallRng) {
        self.mood = match random.random_range(0..8) {
            0..3 => Mood::Obeys,
            3 => Mood::Ignores,
            4 => Mood::Refuses(RESOURCES_UNAVAILABLE),
            5 => Mood::Refuses(UNSUPPORTED_ATTRIBUTE),
            6 => Mood::Pretends,
            _ => Mood::Late(Duration::from_secs(random.random_range(1..25))),
        };
    }

    /// When the next late answer is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.late.iter().map(|(due, ..)| *due).min()
    }

    /// Sends late answers that are due; whether there were any.
    pub fn send_late(&mut self, now: Timestamp) -> Result<bool> {
        let due: Vec<_> = self.late.extract_if(.., |late| late.0 <= now).collect();
        for (_, to, answer) in &due {
            self.send(answer, *to)?;
        }
        Ok(!due.is_empty())
    }

    /// What came since, in an order that is the same in every run of a seed.
    pub fn hear(&mut self) -> Result<Vec<Heard>> {
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = self.port.recv_from(&mut buffer) {
            let bytes = buffer[..length].to_vec();
            let packet = Packet::parse(&bytes)?;
            // A port that another life closed may be ours, and be answered late.
            let Some(code @ (Code::DisconnectRequest | Code::CoaRequest)) = packet.code() else {
                continue;
            };
            heard.push(Heard {
                session: text(&packet, attribute::ACCT_SESSION_ID)?,
                code: code as u8,
                from,
                bytes,
            });
        }
        heard.sort();
        Ok(heard)
    }

    /// The power fails: nothing is on its way.
    pub fn forget(&mut self) {
        self.late.clear();
    }

    fn send(&self, answer: &[u8], to: SocketAddr) -> Result<()> {
        self.port.send_to(answer, to)?;
        Ok(())
    }
}

impl Router {
    /// Deals with an order as its mood is. Of each order the third copy arrives, and so does its answer.
    pub fn take_order(
        &mut self,
        heard: &Heard,
        trouble: u32,
        now: Timestamp,
        random: &mut SmallRng,
    ) -> Result<Order> {
        let packet = read_order(&heard.bytes, &self.secret)?;
        let disconnect = packet.code() == Some(Code::DisconnectRequest);
        let timeout = packet.first(attribute::SESSION_TIMEOUT);
        let timeout = timeout.and_then(|octets| Some(u32::from_be_bytes(octets.try_into().ok()?)));
        let what = match disconnect {
            true => What::Disconnect,
            false => What::Change {
                rate: rate(&packet)?,
                timeout: timeout.map(|secs| Duration::from_secs(secs.into())),
            },
        };
        let copies = self.orders.copies.entry((heard.from, packet.identifier()));
        let copies = copies.and_modify(|copies| *copies += 1).or_insert(1);
        let fate = match *copies < CERTAIN {
            true => Fate::draw(random, trouble),
            false => Fate::Through,
        };
        let mut order = Order {
            session: heard.session.clone(),
            user: packet
                .first(attribute::USER_NAME)
                .map(|_| text(&packet, attribute::USER_NAME))
                .transpose()?,
            what,
            copy: *copies > 1,
            answered: None,
        };
        for _ in 0..fate.arrivals() {
            order.answered = self.carry_out(&order, now)?;
            let Some(outcome) = order.answered.filter(|_| fate.answers()) else {
                continue;
            };
            let answer = answer_order(&packet, outcome.err(), &self.secret)?;
            match self.orders.mood {
                Mood::Late(after) => {
                    let due = now.plus(after);
                    self.orders.late.push((due, heard.from, answer));
                }
                Mood::Obeys | Mood::Ignores | Mood::Refuses(_) | Mood::Pretends => {
                    self.orders.send(&answer, heard.from)?;
                }
            }
        }
        Ok(order)
    }

    fn carry_out(&mut self, order: &Order, now: Timestamp) -> Result<Option<Result<(), u32>>> {
        match self.orders.mood {
            Mood::Ignores => return Ok(None),
            Mood::Refuses(cause) => return Ok(Some(Err(cause))),
            Mood::Pretends => {
                if let Some(session) = self.sessions.get_mut(&order.session) {
                    session.deceived |= order.what != What::Disconnect;
                }
                return Ok(Some(Ok(())));
            }
            Mood::Obeys | Mood::Late(_) => {}
        }
        let session = self.sessions.get_mut(&order.session);
        let named = order.user.as_ref();
        let meant = |session: &&mut Session| named.is_none_or(|user| *user == session.user);
        let Some(session) = session.filter(meant) else {
            return Ok(Some(Err(SESSION_NOT_FOUND)));
        };
        match &order.what {
            What::Disconnect => self.end(&order.session, now)?,
            What::Change { rate, timeout } => {
                if rate.is_some() {
                    session.rate.clone_from(rate);
                    session.deceived = false;
                }
                if let Some(timeout) = timeout {
                    session.ends = Some(session.started.plus(*timeout));
                }
            }
        }
        Ok(Some(Ok(())))
    }
}

/// Mikrotik-Rate-Limit.
pub fn rate(packet: &Packet<'_>) -> Result<Option<String>> {
    let rate = packet.first_vendor(mikrotik::VENDOR, mikrotik::RATE_LIMIT);
    let rate = rate.map(|octets| String::from_utf8(octets.to_vec()));
    rate.transpose().context("a rate in letters")
}

fn text(packet: &Packet<'_>, kind: u8) -> Result<String> {
    let octets = packet.first(kind).unwrap_or_default();
    String::from_utf8(octets.to_vec()).context("an order in letters")
}

/// Error-Cause Session-Context-Not-Found (RFC 5176 §3.5).
pub const SESSION_NOT_FOUND: u32 = 503;
const RESOURCES_UNAVAILABLE: u32 = 506;
const UNSUPPORTED_ATTRIBUTE: u32 = 401;
/// The copy that no seed loses.
const CERTAIN: u32 = 3;
