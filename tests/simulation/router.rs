//! A router as RouterOS behaves: one session id after the other, three tries a datagram, power cuts.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use easyisp_agent::radius::builder::Signature;
use easyisp_agent::radius::client::{
    Login, Method, access_request, accounting_request, read_answer,
};
use easyisp_agent::radius::dictionary::attribute;
use easyisp_agent::radius::{Code, Heard, Secret};
use easyisp_shared::time::Timestamp;
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::agent::Agent;
use crate::orders::{Orders, rate};
use crate::radio::Fate;

/// The secret between router and box.
pub const SECRET: &str = "a-long-shared-secret";

/// A router with subscribers behind it.
pub struct Router {
    pub(super) secret: Secret,
    /// Where the accounting thread's answers arrive.
    inbox: UdpSocket,
    outgoing: Arc<UdpSocket>,
    boot: u8,
    count: u32,
    identifier: u8,
    /// Who is online.
    pub sessions: BTreeMap<String, Session>,
    /// Reports without an answer so far, oldest first.
    waiting: VecDeque<Waiting>,
    /// Where it is told what to do.
    pub orders: Orders,
    /// Whether it ends sessions by itself when their time is over.
    keeps_time: bool,
    /// What time it is.
    pub now: Timestamp,
}

/// A live session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who.
    pub user: String,
    /// On which device.
    pub mac: String,
    service: Service,
    class: Vec<u8>,
    /// When it began.
    pub started: Timestamp,
    reported: Timestamp,
    /// When the router ends it by itself.
    pub ends: Option<Timestamp>,
    /// Its speed.
    pub rate: Option<String>,
    /// A change of it was acknowledged and not made.
    pub deceived: bool,
    /// Octets up and down.
    pub octets: [u64; 2],
}

/// Which of the router's services carries a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// PPPoE.
    Ppp,
    /// A hotspot's page.
    Hotspot,
}

/// Somebody who wants to be online.
#[derive(Clone, Copy, Debug)]
pub struct Dial<'a> {
    /// The name he gives.
    pub user: &'a str,
    /// His password.
    pub password: &'a str,
    /// His device.
    pub mac: &'a str,
    /// Where he comes in.
    pub service: Service,
}

impl Service {
    /// What a session's id begins with; its router's boot and a number follow.
    fn digits(self) -> &'static str {
        match self {
            Service::Ppp => "81",
            Service::Hotspot => "80",
        }
    }

    /// By what the box knows it.
    fn attributes(self) -> &'static [(u8, &'static [u8])] {
        match self {
            Service::Ppp => &[
                (attribute::SERVICE_TYPE, &[0, 0, 0, 2]),
                (attribute::FRAMED_PROTOCOL, &[0, 0, 0, 1]),
                (attribute::NAS_PORT_TYPE, &[0, 0, 0, 15]),
            ],
            Service::Hotspot => &[
                (attribute::SERVICE_TYPE, &[0, 0, 0, 1]),
                (attribute::CALLED_STATION_ID, b"hotspot1"),
                (attribute::FRAMED_IP_ADDRESS, &[10, 5, 0, 7]),
                (attribute::NAS_PORT_TYPE, &[0, 0, 0, 19]),
            ],
        }
    }
}

/// A report as it goes out, again and again.
struct Waiting {
    bytes: Vec<u8>,
    report: Report,
    /// When the router booted, where that is what it says.
    booted: Option<Timestamp>,
    tries: u32,
}

/// What a report says.
#[derive(Clone, Debug)]
pub struct Report {
    /// Of which session; `None` when the router itself began anew.
    pub session: Option<String>,
    /// Octets up and down.
    pub octets: [u64; 2],
    /// The last of its session.
    pub stop: bool,
}

/// What became of a report that was sent once more.
#[derive(Debug)]
pub struct Told {
    /// What it says.
    pub report: Report,
    /// It arrived at the box.
    pub arrived: bool,
    /// The box answered and the router heard it.
    pub acknowledged: bool,
    /// It was sent for the first time.
    pub first: bool,
}

/// What a login came to, and what the box made of it, heard or not.
#[derive(Debug)]
pub struct Dialled {
    /// What the router heard.
    pub answer: Answer,
    /// The box decided yes at any of the tries.
    pub decided_yes: bool,
    /// A try that arrived was not answered.
    pub unanswered: bool,
    /// How long the router leaves him online by itself, where he was let in.
    pub for_secs: Option<u32>,
}

/// What a router hears of a login.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Online; the session's id.
    Accepted(String),
    /// Refused.
    Rejected,
    /// No answer in three tries.
    Silence,
}

impl Router {
    /// Where the box hears it, and answers it later.
    fn heard(&self) -> Heard {
        Heard::new(self.outgoing.clone(), None)
    }

    /// Switched on, with nobody online. One that keeps no time leaves every session's end to the box.
    pub fn start(keeps_time: bool, now: Timestamp) -> Result<Router> {
        let inbox = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        inbox.set_nonblocking(true)?;
        Ok(Router {
            secret: Secret::new(SECRET.as_bytes()),
            inbox,
            outgoing: Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?),
            boot: 1,
            count: 0,
            identifier: 0,
            sessions: BTreeMap::new(),
            waiting: VecDeque::new(),
            orders: Orders::listen()?,
            keeps_time,
            now,
        })
    }

    fn address(&self) -> Result<SocketAddr> {
        Ok(self.inbox.local_addr()?)
    }

    fn next_identifier(&mut self) -> u8 {
        self.identifier = self.identifier.wrapping_add(1);
        self.identifier
    }

    /// Asks for a subscriber, three times at most.
    pub fn log_in(
        &mut self,
        agent: &Agent,
        dial: &Dial<'_>,
        trouble: u32,
        random: &mut SmallRng,
    ) -> Result<Dialled> {
        let core = agent.core();
        let Dial {
            user,
            password,
            mac,
            service,
        } = *dial;
        let identifier = self.next_identifier();
        let method = match random.random_range(0..3) {
            0 => Method::Pap {
                password: password.as_bytes(),
            },
            1 => Method::Chap {
                password: password.as_bytes(),
                identifier,
                challenge: random.random(),
            },
            _ => Method::MsChapV2 {
                password: password.as_bytes(),
                identifier,
                challenge: random.random(),
                peer_challenge: random.random(),
            },
        };
        let mut extra = vec![(attribute::CALLING_STATION_ID, mac.as_bytes())];
        extra.extend(service.attributes());
        let login = Login {
            user_name: user.as_bytes(),
            method,
            extra: &extra,
            signature: Signature::MessageAuthenticator,
        };
        let request = access_request(&login, identifier, &random.random(), &self.secret)?;
        let mut dialled = Dialled {
            answer: Answer::Silence,
            decided_yes: false,
            unanswered: false,
            for_secs: None,
        };
        for _ in 0..TRIES {
            let fate = Fate::draw(random, trouble);
            let mut answer = None;
            for _ in 0..fate.arrivals() {
                let at_once = core
                    .radius
                    .on_access_port(self.address()?, &request, &self.heard());
                answer = self.answer(agent, at_once)?;
                let read = answer
                    .as_deref()
                    .map(|answer| read_answer(answer, &request, &self.secret));
                let read = read.transpose()?;
                dialled.unanswered |= read.is_none();
                dialled.decided_yes |=
                    read.is_some_and(|read| read.code() == Some(Code::AccessAccept));
            }
            let Some(answer) = answer.filter(|_| fate.answers()) else {
                continue;
            };
            let read = read_answer(&answer, &request, &self.secret)?;
            if read.code() != Some(Code::AccessAccept) {
                dialled.answer = Answer::Rejected;
                return Ok(dialled);
            }
            let now = self.now;
            let timeout = read.first(attribute::SESSION_TIMEOUT);
            let timeout =
                timeout.and_then(|octets| Some(u32::from_be_bytes(octets.try_into().ok()?)));
            dialled.for_secs = timeout;
            let ends = timeout.map(|secs| now.plus(Duration::from_secs(u64::from(secs))));
            self.count += 1;
            let id = format!("{}{:x}{:05x}", service.digits(), self.boot % 16, self.count);
            let session = Session {
                user: user.to_owned(),
                mac: mac.to_owned(),
                service,
                class: read.first(attribute::CLASS).unwrap_or_default().to_vec(),
                started: now,
                reported: now,
                ends,
                rate: rate(&read)?,
                deceived: false,
                octets: [0; 2],
            };
            self.report(&id, &session, START, now)?;
            self.sessions.insert(id.clone(), session);
            dialled.answer = Answer::Accepted(id);
            return Ok(dialled);
        }
        Ok(dialled)
    }

    /// Traffic on a session, within what fits any counter.
    pub fn use_some(&mut self, id: &str, random: &mut SmallRng) {
        if let Some(session) = self.sessions.get_mut(id) {
            // Now and then past 4 GiB at once.
            let most = if random.random_ratio(1, 10) {
                6 << 30
            } else {
                50 << 20
            };
            session.octets[0] += random.random_range(0..most / 10);
            session.octets[1] += random.random_range(0..most);
        }
    }

    /// The subscriber leaves, or the router ends the session.
    pub fn end(&mut self, id: &str, now: Timestamp) -> Result<()> {
        match self.sessions.remove(id) {
            Some(session) => self.report(id, &session, STOP, now),
            None => Ok(()),
        }
    }

    /// What is due by the router's own clock: interims, and ends by Session-Timeout.
    pub fn tick(&mut self, now: Timestamp, random: &mut SmallRng) -> Result<()> {
        let ids: Vec<String> = self.sessions.keys().cloned().collect();
        for id in ids {
            let session = self.sessions.get(&id).expect("just listed").clone();
            if self.keeps_time && session.ends.is_some_and(|ends| ends <= now) {
                self.end(&id, now)?;
            } else if now.since(session.reported) >= INTERIM {
                self.use_some(&id, random);
                self.interim(&id, now)?;
            }
        }
        Ok(())
    }

    /// Reports a live session.
    pub fn interim(&mut self, id: &str, now: Timestamp) -> Result<()> {
        if let Some(session) = self.sessions.get_mut(id) {
            session.reported = now;
            let session = session.clone();
            self.report(id, &session, ALIVE, now)?;
        }
        Ok(())
    }

    /// The power fails: nobody is online, nothing waits.
    pub fn power_cut(&mut self) {
        self.sessions.clear();
        self.waiting.clear();
        self.orders.forget();
        self.boot += 1;
        self.count = 0;
    }

    /// It is back, and says so.
    pub fn announce(&mut self, now: Timestamp) {
        self.waiting.push_back(Waiting {
            bytes: Vec::new(),
            report: Report {
                session: None,
                octets: [0; 2],
                stop: true,
            },
            booted: Some(now),
            tries: 0,
        });
    }

    /// What it says of its boot: how long ago that was stands in it, and so it has an identifier of its own each
    /// time (RFC 2866 §5.2).
    fn accounting_on(&mut self, ago: Duration) -> Result<Vec<u8>> {
        let identifier = self.next_identifier();
        let ago = u32::try_from(ago.as_secs())?.to_be_bytes();
        let attributes = [
            (attribute::ACCT_STATUS_TYPE, &ON.to_be_bytes()[..]),
            (attribute::ACCT_DELAY_TIME, &ago[..]),
        ];
        Ok(accounting_request(&attributes, identifier, &self.secret)?)
    }

    /// Sends everything that waits once more; what had its last try is forgotten.
    pub fn send_reports(
        &mut self,
        agent: Option<&Agent>,
        trouble: u32,
        now: Timestamp,
        random: &mut SmallRng,
    ) -> Result<Vec<Told>> {
        let mut told = Vec::new();
        let mut again = VecDeque::new();
        // A datagram may overtake the one before it.
        if trouble > 0 && self.waiting.len() > 1 && random.random_ratio(1, 4) {
            self.waiting.rotate_left(1);
        }
        while let Some(mut waiting) = self.waiting.pop_front() {
            if let Some(booted) = waiting.booted {
                waiting.bytes = self.accounting_on(now.since(booted))?;
            }
            let fate = Fate::draw(random, trouble);
            let arrivals = agent.map_or(0, |_| fate.arrivals());
            let mut answered = false;
            for _ in 0..arrivals {
                if let Some(agent) = agent {
                    answered |= self.tell(agent, &waiting.bytes)?;
                }
            }
            let acknowledged = answered && fate.answers();
            told.push(Told {
                report: waiting.report.clone(),
                arrived: arrivals > 0,
                acknowledged,
                first: waiting.tries == 0,
            });
            waiting.tries += 1;
            if !acknowledged && (waiting.tries < TRIES || trouble == 0) {
                again.push_back(waiting);
            }
        }
        self.waiting = again;
        Ok(told)
    }

    /// Whether something still waits for its answer.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The answer given at once, or by the accounting thread when the disk has what it promises.
    fn answer(&self, agent: &Agent, at_once: Option<Arc<[u8]>>) -> Result<Option<Arc<[u8]>>> {
        if at_once.is_some() {
            return Ok(at_once);
        }
        agent.settle()?;
        let mut buffer = [0; 4096];
        let box_port = self.outgoing.local_addr()?;
        while let Ok((length, from)) = self.inbox.recv_from(&mut buffer) {
            // A port that another life closed may be ours, and be answered late.
            if from == box_port {
                return Ok(Some(buffer[..length].into()));
            }
        }
        Ok(None)
    }

    /// One datagram to the box's accounting port; whether it is answered.
    fn tell(&self, agent: &Agent, bytes: &[u8]) -> Result<bool> {
        let from = self.address()?;
        let radius = &agent.core().radius;
        let at_once = radius.on_accounting_port(from, bytes, &self.heard());
        let Some(answer) = self.answer(agent, at_once)? else {
            return Ok(false);
        };
        let read = read_answer(&answer, bytes, &self.secret)?;
        ensure!(
            read.code() == Some(Code::AccountingResponse),
            "{:?}",
            read.code()
        );
        Ok(true)
    }

    fn report(&mut self, id: &str, session: &Session, status: u32, now: Timestamp) -> Result<()> {
        let identifier = self.next_identifier();
        let [up, down] = session.octets;
        let low = |octets: u64| ((octets & u64::from(u32::MAX)) as u32).to_be_bytes();
        let high = |octets: u64| ((octets >> 32) as u32).to_be_bytes();
        let secs = u32::try_from(now.since(session.started).as_secs())?.to_be_bytes();
        let (up_low, up_high) = (low(up), high(up));
        let (down_low, down_high) = (low(down), high(down));
        let mut attributes: Vec<(u8, &[u8])> = vec![
            (attribute::USER_NAME, session.user.as_bytes()),
            (attribute::CALLING_STATION_ID, session.mac.as_bytes()),
            (attribute::ACCT_SESSION_ID, id.as_bytes()),
            (attribute::CLASS, &session.class),
        ];
        attributes.extend(session.service.attributes());
        if status != START {
            attributes.extend([
                (attribute::ACCT_SESSION_TIME, &secs[..]),
                (attribute::ACCT_INPUT_OCTETS, &up_low),
                (attribute::ACCT_INPUT_GIGAWORDS, &up_high),
                (attribute::ACCT_OUTPUT_OCTETS, &down_low),
                (attribute::ACCT_OUTPUT_GIGAWORDS, &down_high),
            ]);
        }
        let status_octets = status.to_be_bytes();
        attributes.push((attribute::ACCT_STATUS_TYPE, &status_octets));
        let bytes = accounting_request(&attributes, identifier, &self.secret)?;
        self.waiting.push_back(Waiting {
            bytes,
            report: Report {
                session: Some(id.to_owned()),
                octets: if status == START {
                    [0; 2]
                } else {
                    session.octets
                },
                stop: status == STOP,
            },
            booted: None,
            tries: 0,
        });
        Ok(())
    }
}

const START: u32 = 1;
const STOP: u32 = 2;
const ALIVE: u32 = 3;
const ON: u32 = 7;
const TRIES: u32 = 3;
const INTERIM: Duration = Duration::from_secs(300);
