//! Two sockets for many sites: readers find the site, workers answer the sites in turn.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::warn;

use super::fair::Fair;
use super::places::Places;
use crate::radius::server::{Reader, Sockets, send, spawn, wake};
use crate::radius::{Heard, Port};
use crate::site::UnknownSources;

/// The running server of many sites.
pub(crate) struct SharedServer {
    sockets: Sockets,
    stopping: Arc<AtomicBool>,
    access: Arc<Fair<Datagram>>,
    accounting: Arc<Fair<Datagram>>,
    threads: Vec<JoinHandle<()>>,
}

/// What nobody's site can count.
pub(crate) struct Strangers {
    /// Who spoke and is no router of any site.
    pub sources: UnknownSources,
    /// How many datagrams they sent.
    pub datagrams: AtomicU64,
    /// How many datagrams of a site waited in too long a queue and were dropped, by site.
    pub shed: Vec<AtomicU64>,
    began: Mutex<Instant>,
}

struct Datagram {
    source: SocketAddr,
    bytes: Box<[u8]>,
    heard: Heard,
}

impl Strangers {
    /// Nobody yet, beside `sites` sites.
    pub(crate) fn new(sites: usize) -> Strangers {
        Strangers {
            sources: UnknownSources::default(),
            datagrams: AtomicU64::new(0),
            shed: (0..sites).map(|_| AtomicU64::new(0)).collect(),
            began: Mutex::new(Instant::now()),
        }
    }

    fn note(&self, source: SocketAddr) {
        self.datagrams.fetch_add(1, Ordering::Relaxed);
        let uptime = self.began.lock().map_or(Duration::ZERO, |at| at.elapsed());
        if self.sources.note(source.ip(), uptime) {
            let source = source.ip();
            warn!(%source, "A request from {source}, which is no router of any site here");
        }
    }
}

impl SharedServer {
    /// Begins to answer, with `workers` threads for logins and one for accounting, whose reports then
    /// stay in each site's order.
    pub(crate) fn start(
        places: &Arc<Places>,
        strangers: &Arc<Strangers>,
        sockets: Sockets,
        workers: usize,
    ) -> io::Result<SharedServer> {
        let mut server = SharedServer {
            stopping: Arc::new(AtomicBool::new(false)),
            access: Arc::new(Fair::new(places.count())),
            accounting: Arc::new(Fair::new(places.count())),
            threads: Vec::new(),
            sockets,
        };
        for number in 0..workers.max(1) {
            let (places, waiting) = (places.clone(), server.access.clone());
            let work = move || {
                while let Some((place, datagram)) = waiting.take() {
                    let Datagram {
                        source,
                        bytes,
                        heard,
                    } = datagram;
                    let site = places.site(place);
                    if let Some(reply) = site.on_access_port(source, &bytes, &heard) {
                        send(&heard, &reply, source);
                    }
                }
            };
            let thread = spawn(format!("radius-auth-{number}"), work)?;
            server.threads.push(thread);
        }
        let (held, waiting) = (places.clone(), server.accounting.clone());
        let work = move || {
            while let Some((place, datagram)) = waiting.take() {
                let Datagram {
                    source,
                    bytes,
                    heard,
                } = datagram;
                let site = held.site(place);
                if let Some(reply) = site.on_accounting_port(source, &bytes, &heard) {
                    send(&heard, &reply, source);
                }
            }
        };
        server.threads.push(spawn("radius-acct".into(), work)?);

        let (auth, acct) = (&server.sockets.authentication, &server.sockets.accounting);
        let ports = [
            (auth, &server.access, Port::Authentication),
            (acct, &server.accounting, Port::Accounting),
        ];
        let mut readers = Vec::new();
        for (socket, queue, port) in ports {
            readers.push(server.read(socket, queue, port, places, strangers)?);
        }
        server.threads.extend(readers);
        Ok(server)
    }

    fn read(
        &self,
        socket: &Arc<UdpSocket>,
        queue: &Arc<Fair<Datagram>>,
        port: Port,
        places: &Arc<Places>,
        strangers: &Arc<Strangers>,
    ) -> io::Result<JoinHandle<()>> {
        let reader = Reader::new(socket, &self.stopping);
        let (queue, places, strangers) = (queue.clone(), places.clone(), strangers.clone());
        spawn(format!("radius-read-{port:?}"), move || {
            reader.run(|source, bytes, heard| {
                match places.of(source, bytes, port) {
                    None => strangers.note(source),
                    Some(place) => {
                        let datagram = Datagram {
                            source,
                            bytes: bytes.into(),
                            heard: heard.clone(),
                        };
                        if !queue.push(place, datagram) {
                            strangers.shed[place].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                None // a worker answers
            });
        })
    }

    /// Stops reading and answering. Accounting that was taken is still answered when its commit is done.
    pub(crate) fn stop(self) {
        self.stopping.store(true, Ordering::SeqCst);
        wake(&self.sockets.authentication);
        wake(&self.sockets.accounting);
        self.access.close();
        self.accounting.close();
        for thread in self.threads {
            let _ended = thread.join();
        }
    }
}
