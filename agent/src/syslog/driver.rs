//! Hears datagrams, and hands what they say to the outbox: never more than the cloud takes.

use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use easyisp_shared::id::RouterId;
use easyisp_shared::voucher::VoucherCode;
use easyisp_shared::wire::logs::{LINE_CAP, LogsV1, MissingWhy, WrittenV1, encode_lines};
use easyisp_shared::wire::{Lane, Up, UpKind};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::hold::Hold;
use super::mask::mask;
use super::message::{self, WARNING};
use crate::diagnosis::Counters;
use crate::radius::login_log::record;
use crate::site::{Site, SiteClock};
use crate::store::{Change, Committed, Job, Outbox, OutboxReader, Urgency, Write};

/// What hearing routers works with.
pub struct Parts {
    /// Which routers there are.
    pub site: Arc<Site>,
    /// Where lines go.
    pub outbox: Outbox,
    /// What of them the cloud has.
    pub reader: Arc<OutboxReader>,
    /// What time it is.
    pub clock: Arc<SiteClock>,
    /// What is not taken.
    pub counters: Arc<Counters>,
    /// Whether every octet to the cloud costs: then warnings and errors alone travel.
    pub metered: bool,
}

/// Whether this is the one of a site's agents that tells what routers say: they say it to all of them.
pub type Leads = dyn Fn() -> bool + Send + Sync;

/// Hears what routers write to their logs.
pub struct Syslog {
    parts: Parts,
    socket: Option<UdpSocket>,
    hold: Mutex<Hold>,
    leads: OnceLock<Box<Leads>>,
}

/// The port that routers send to.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    // A rush; as much as the system gives.
    socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVED)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

impl Syslog {
    /// Nobody was heard yet.
    pub fn new(parts: Parts, socket: Option<UdpSocket>) -> Arc<Syslog> {
        Arc::new(Syslog {
            parts,
            socket,
            hold: Mutex::default(),
            leads: OnceLock::new(),
        })
    }

    /// Where routers are heard.
    pub fn address(&self) -> Option<SocketAddr> {
        let socket = self.socket.as_ref()?;
        socket.local_addr().ok()
    }

    /// From here on `leads` says whether this agent tells what it hears.
    pub fn led_by(&self, leads: Box<Leads>) {
        let _told_already = self.leads.set(leads);
    }

    /// Hears and hands on until cancelled. What waits then is lost, like what is said while the box is off.
    pub async fn run(self: Arc<Self>, cancel: CancellationToken) {
        let Some(socket) = &self.socket else { return };
        if let Some(address) = self.address() {
            info!("Hears the logs of routers on {address}");
        }
        tokio::select! {
            () = cancel.cancelled() => {}
            () = self.listen(socket) => {}
            () = self.hand_on() => {}
            () = self.forget() => {}
        }
    }

    async fn listen(&self, socket: &UdpSocket) {
        let mut datagram = [0; LONGEST];
        loop {
            match socket.recv_from(&mut datagram).await {
                Ok((length, source)) => self.hear(source.ip(), &datagram[..length]),
                // Such as an ICMP error; the next line is waited for.
                Err(_) => self.parts.clock.sleep(BREATH).await,
            }
        }
    }

    fn hear(&self, source: IpAddr, datagram: &[u8]) {
        let counters = &self.parts.counters;
        let Some(router) = self.router_at(source) else {
            counters.count("log_line_of_nobody");
            return;
        };
        if self.leads.get().is_some_and(|leads| !leads()) {
            counters.count("log_line_left_to_another_agent");
            return;
        }
        if !self.hold().admits(router, self.parts.clock.monotonic()) {
            counters.count("log_line_too_many");
            return;
        }
        let Some(told) = message::read(datagram, LINE_CAP) else {
            counters.count("log_line_without_words");
            return;
        };
        if self.parts.metered && told.severity > WARNING {
            counters.count("log_line_kept_here");
            self.hold().miss(router, MissingWhy::Metered, 1);
            return;
        }
        let line = WrittenV1::Said {
            router,
            at: self.parts.clock.now(),
            severity: told.severity,
            message: mask(&told.message, &told.topics, |name| self.is_code(name)),
            topics: told.topics,
        };
        self.hold().push(line);
        counters.count("log_line");
    }

    /// Whether a name may be a voucher's code: where there are vouchers, and it is no customer's.
    fn is_code(&self, name: &str) -> bool {
        let site = &self.parts.site;
        site.policy().voucher_key.is_some()
            && VoucherCode::parse(name).is_some()
            && site.subscriber(name.as_bytes()).is_none()
    }

    /// The router that is there; else the only one whose requests come from a network around it.
    fn router_at(&self, source: IpAddr) -> Option<RouterId> {
        let routers = self.parts.site.routers();
        let is_there = routers.iter().find(|router| router.place() == source);
        if let Some(router) = is_there {
            return Some(router.id);
        }
        let mut around = routers
            .iter()
            .filter(|router| router.source.contains(&source));
        match (around.next(), around.next()) {
            (Some(router), None) => Some(router.id),
            // Nothing in a line proves which of them it is.
            (None | Some(_), _) => None,
        }
    }

    async fn hand_on(&self) {
        let mut since_told = TOLD_EVERY;
        loop {
            self.parts.clock.sleep(GATHER).await;
            since_told += GATHER;
            let every = match self.parts.metered {
                true => METERED_TOLD_EVERY,
                false => TOLD_EVERY,
            };
            if since_told >= every && self.hold().misses() {
                let now = self.parts.clock.now();
                self.hold().tell_missing(now);
                since_told = Duration::ZERO;
            }
            while self.cloud_follows().await {
                let lines = self.hold().take();
                if lines.is_empty() {
                    break;
                }
                if !self.write(&lines).await {
                    self.hold().give_back(lines);
                    break;
                }
            }
        }
    }

    /// Whether there is room on the way: what the cloud does not take yet waits in memory, not on the card.
    async fn cloud_follows(&self) -> bool {
        let reader = self.parts.reader.clone();
        let waiting =
            tokio::task::spawn_blocking(move || reader.waiting(Lane::Metrics.code())).await;
        matches!(waiting, Ok(Ok(waiting)) if waiting < MOST_ON_THE_WAY)
    }

    async fn write(&self, lines: &[WrittenV1]) -> bool {
        let mut deflated = DeflateEncoder::new(Vec::new(), Compression::default());
        let deflated = deflated
            .write_all(&encode_lines(lines))
            .and_then(|()| deflated.finish());
        let Ok(deflated) = deflated else {
            return false; // a growing buffer takes everything
        };
        let up = Up::Logs(LogsV1 { deflated });
        let (told, written) = oneshot::channel();
        let write = Write {
            changes: vec![Change::Record(record(&up, self.parts.clock.now()))],
            urgency: Urgency::Log,
            done: Box::new(move |fate| {
                let _nobody_waits = told.send(fate);
            }),
        };
        let taken = self.parts.outbox.submit(Job::Write(write));
        taken.is_ok() && matches!(written.await, Ok(Committed::Yes))
    }

    /// What the cloud has needs no place on the card: nobody asks for it again but a cloud that was restored, and
    /// that one has lost more than lines.
    async fn forget(&self) {
        let mut done = 0;
        loop {
            self.parts.clock.sleep(FORGET_EVERY).await;
            let reader = self.parts.reader.clone();
            let looked = tokio::task::spawn_blocking(move || acknowledged(&reader, done)).await;
            let Ok((looked, seqs)) = looked else { return };
            done = looked;
            if !seqs.is_empty() {
                let lane = Lane::Metrics.code();
                let _again_at_the_next_start = self.parts.outbox.submit(Job::Forget { lane, seqs });
            }
        }
    }

    fn hold(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sequences of lines after `done` that the cloud has, and up to where was looked.
fn acknowledged(reader: &OutboxReader, mut done: u64) -> (u64, Vec<u64>) {
    let lane = Lane::Metrics.code();
    let mut seqs = Vec::new();
    let Ok(acknowledged) = reader.acknowledged(lane) else {
        return (done, seqs);
    };
    for _ in 0..LOOKS {
        let kept = reader.records(lane, done, LOOKED_AT_ONCE, 1 << 20);
        let kept = kept.unwrap_or_default();
        for kept in kept.iter().filter(|kept| kept.seq <= acknowledged) {
            done = kept.seq;
            if kept.record.kind == UpKind::Logs.code() {
                seqs.push(kept.seq);
            }
        }
        if kept.last().is_none_or(|kept| kept.seq >= acknowledged) {
            break;
        }
    }
    (done, seqs)
}

/// The longest line that is heard; what is longer is cut anyway.
const LONGEST: usize = 4096;
const RECEIVED: usize = 1 << 20;
const BREATH: Duration = Duration::from_millis(100);
/// How long lines wait for company.
const GATHER: Duration = Duration::from_secs(5);
/// How often it is told that some are missing.
const TOLD_EVERY: Duration = Duration::from_secs(60);
const METERED_TOLD_EVERY: Duration = Duration::from_secs(3600);
/// Records of the lowest lane that are not acknowledged: 32,000 lines, on a card some megabytes.
const MOST_ON_THE_WAY: u64 = 64;
const FORGET_EVERY: Duration = Duration::from_secs(60);
const LOOKS: u32 = 20;
const LOOKED_AT_ONCE: usize = 500;
