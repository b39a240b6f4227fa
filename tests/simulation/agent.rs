//! The box: a real core on real files and its enforcer, without its RADIUS sockets and its dialling.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_agent::VERSION;
use easyisp_agent::access::{self, Access};
use easyisp_agent::config::AccessConfig;
use easyisp_agent::configurations::{self, Keeper};
use easyisp_agent::core::{Core, CoreOptions};
use easyisp_agent::enforce::{self, Enforcer};
use easyisp_agent::local::{Load, LocalSite, Questions};
use easyisp_agent::neighbours::Neighbours;
use easyisp_agent::reconcile::{self, Reconciler};
use easyisp_agent::routeros::{Pins, RouterApis};
use easyisp_agent::site::{Ranges, Touched};
use easyisp_agent::sizes::Size;
use easyisp_agent::snmp::{self, Poller};
use easyisp_agent::store::{Committed, Job};
use easyisp_agent::sync::{ApplyError, Identity, Local};
use easyisp_cloud::Cloud;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Clock;
use easyisp_shared::wire::hello::{FeedAck, Hello, HelloV1, UpAck, Welcome, WelcomeV1};
use easyisp_shared::wire::{Lane, Message, PROTOCOL, PROTOCOL_OLDEST, UpBatch};
use rand::RngExt;
use rand::rngs::SmallRng;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, yield_now};
use tokio_util::sync::CancellationToken;

use crate::disk::Disk;
use crate::line::{Line, terms};

/// A box that is on or off.
pub struct Agent {
    folder: PathBuf,
    identity: Identity,
    certificate: Vec<u8>,
    /// What its clock shows, and counts.
    pub clock: Clock,
    entropy: Entropy,
    disk: Disk,
    on: Option<On>,
}

/// What runs while it is on.
struct On {
    core: Core,
    local: Arc<LocalSite>,
    /// What changed, for the enforcer.
    touched: mpsc::Sender<Touched>,
    stop: CancellationToken,
    enforcing: JoinHandle<()>,
}

/// Kind, id, version and body of a row of the feed.
pub type Row = (u16, Vec<u8>, u64, Vec<u8>);

/// What a conversation came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Exchanged {
    /// The cloud said what time it is.
    pub timed: bool,
    /// It let us in.
    pub greeted: bool,
    /// Batches of state applied.
    pub applied: u32,
    /// Snapshots asked for.
    pub snapshots: u32,
    /// Records that the cloud says it has.
    pub reported: u64,
}

impl Agent {
    /// An enrolled box with this identity, switched off.
    pub fn new(folder: PathBuf, clock: Clock, entropy: Entropy) -> Result<Agent> {
        let identity = Identity::load(&folder.join("identity"))?;
        let pem = fs::read(folder.join("identity/agent.pem"))?;
        let certificate = CertificateDer::from_pem_slice(&pem).context("the box's certificate")?;
        Ok(Agent {
            folder,
            identity,
            certificate: certificate.to_vec(),
            clock,
            entropy,
            disk: Disk::Sound,
            on: None,
        })
    }

    /// Switches it on.
    pub fn boot(&mut self) -> Result<()> {
        // What an older copy of a file knows of the disk is old too.
        if self.is_installed() {
            self.disk.apply(&self.folder)?;
        }
        let core = Core::open(CoreOptions {
            data_dir: self.folder.clone(),
            ranges: Vec::new(),
            adopts: true,
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            key: self.identity.site_key.clone(),
            agent: Some(self.identity.agent),
            load: Load::default(),
        })?;
        ensure!(
            core.moved_aside.is_empty(),
            "a crash damaged {:?}",
            core.moved_aside
        );
        let apis = RouterApis::new(Ranges::new(Vec::new()), Pins::new(Vec::new(), |_| {}));
        let apis = Arc::new(apis);
        let enforcer = Enforcer::new(enforce::Parts {
            site: core.site.clone(),
            sessions: core.sessions.clone(),
            timers: core.timers.clone(),
            clock: core.clock.clone(),
            pace: self.clock.clone(),
            entropy: self.entropy.clone(),
            timeline: core.timeline.clone(),
            radius: core.radius.clone(),
            apis: apis.clone(),
            local: IpAddr::V4(Ipv4Addr::LOCALHOST),
            owed_cuts: core.owed_cuts.clone(),
        });
        let reconciler = Reconciler::new(reconcile::Parts {
            site: core.site.clone(),
            sessions: core.sessions.clone(),
            radius: core.radius.clone(),
            apis: apis.clone(),
            clock: core.clock.clone(),
        });
        let poller = Poller::new(
            snmp::poller::Parts {
                site: core.site.clone(),
                radius: core.radius.clone(),
                clock: core.clock.clone(),
                counters: core.counters.clone(),
                entropy: self.entropy.clone(),
                ranges: Ranges::new(Vec::new()),
                local: IpAddr::V4(Ipv4Addr::LOCALHOST),
                metered: false,
            },
            CancellationToken::new(),
        );
        let access = Access::new(access::Parts {
            config: AccessConfig::default(),
            metered: false,
            ranges: Ranges::new(Vec::new()),
            enforcer: enforcer.clone(),
            clock: core.clock.clone(),
        });
        let local = LocalSite {
            feed: core.feed.clone(),
            outbox: core.outbox.clone(),
            reader: core.reader.clone(),
            commits: core.commits.clone(),
            clock: core.clock.clone(),
            questions: Questions {
                enforcer: enforcer.clone(),
                reconciler,
                keeper: Keeper::new(configurations::Parts {
                    site: core.site.clone(),
                    radius: core.radius.clone(),
                    apis: apis.clone(),
                    clock: core.clock.clone(),
                    metered: false,
                }),
                apis,
                poller,
                neighbours: Neighbours::new(None, Ranges::new(Vec::new()), self.clock.clone()),
                access,
                unknown: core.unknown.clone(),
                timeline: core.timeline.clone(),
                radsec: None,
            },
            epoch: Mutex::default(),
            generation: self.identity.generation(),
            metered: false,
            prefixes: AtomicBool::new(true),
        };
        let (touched, changes) = mpsc::channel(CHANGES);
        let stop = CancellationToken::new();
        self.on = Some(On {
            core,
            local: Arc::new(local),
            touched,
            enforcing: tokio::spawn(enforcer.run(changes, stop.clone())),
            stop,
        });
        Ok(())
    }

    /// Switches it off. What was acknowledged is in its files, and nothing else is waiting.
    pub async fn power_cut(&mut self) -> Result<()> {
        if let Some(on) = self.on.take() {
            on.stop.cancel();
            on.enforcing.await?;
            on.core.feed.stop();
            on.core.guard.close();
        }
        Ok(())
    }

    /// The core while it is on.
    ///
    /// # Panics
    /// While it is off.
    pub fn core(&self) -> &Core {
        &self.on.as_ref().expect("the box is on").core
    }

    /// How large everything in it is while it is on.
    pub fn sizes(&self) -> Vec<Size> {
        let mut sizes = self.core().sizes();
        sizes.push(self.local().questions.enforcer.size());
        sizes
    }

    fn local(&self) -> &Arc<LocalSite> {
        &self.on.as_ref().expect("the box is on").local
    }

    /// Tells the enforcer what a batch changed, once the batch is applied: half-way through one it would
    /// look at something else in every run.
    fn pass_on(&mut self) -> Result<()> {
        if let Some(on) = &mut self.on {
            while let Ok(touched) = on.core.touched.try_recv() {
                on.touched.try_send(touched)?;
            }
        }
        Ok(())
    }

    /// Until the enforcer has nothing to do but wait, for its clock or for a router's answer. A socket is ready
    /// and heard, a task woken and another begun within one turn of the runtime each.
    pub async fn rest(&self) {
        for _ in 0..TURNS {
            yield_now().await;
        }
    }

    /// How its disk is.
    pub fn disk(&self) -> Disk {
        self.disk
    }

    /// From here on its disk is sound or faulty, whether it is on or off.
    pub fn set_disk(&mut self, disk: Disk) -> Result<()> {
        if self.on.is_some() {
            self.settle()?;
        }
        self.disk = disk;
        disk.apply(&self.folder)
    }

    /// Whether it was switched on before.
    fn is_installed(&self) -> bool {
        self.folder.join("outbox.db").exists() && self.folder.join("cache.db").exists()
    }

    /// Waits until everything that was handed to the accounting thread is written and answered, or is not.
    pub fn settle(&self) -> Result<()> {
        let (done, written) = channel();
        let job = Job::Mark {
            name: "settled".into(),
            value: 1,
            done: Box::new(move |committed| done.send(committed).unwrap_or(())),
        };
        let taken = self.core().outbox.submit(job);
        ensure!(taken.is_ok(), "the outbox takes nothing");
        let expected = match self.disk {
            Disk::Sound => Committed::Yes,
            Disk::Faulty => Committed::No,
        };
        let settled = written.recv()?;
        ensure!(settled == expected, "the outbox settles: {settled:?}");
        Ok(())
    }

    /// How long until it looks after somebody by itself.
    pub fn next_wake(&self) -> Option<Duration> {
        self.on.as_ref().and_then(|_| self.clock.next_wake())
    }

    /// The site version that it holds.
    pub fn cursor(&self) -> u64 {
        self.core().feed.position().cursor
    }

    /// Keeps a copy of the cache as the disk has it: what a power cut may leave of a file that is not
    /// synced with every commit. Only while it is off.
    pub fn keep_old_cache(&self) -> Result<()> {
        for file in CACHE {
            copy(
                &self.folder.join(file),
                &self.folder.join(format!("old-{file}")),
            )?;
        }
        Ok(())
    }

    /// Puts that copy back. Only while it is off.
    pub fn lose_cache_writes(&self) -> Result<bool> {
        let kept = self.folder.join(format!("old-{}", CACHE[0])).exists();
        if kept {
            for file in CACHE {
                copy(
                    &self.folder.join(format!("old-{file}")),
                    &self.folder.join(file),
                )?;
            }
        }
        Ok(kept)
    }

    /// The rows it holds, in order.
    pub fn rows(&self) -> Result<Vec<Row>> {
        let cache = rusqlite::Connection::open(self.folder.join("cache.db"))?;
        let mut rows =
            cache.prepare("select kind, id, version, body from feed order by kind, id")?;
        let rows = rows.query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Talks to the cloud for at most `messages` messages: state down to `head`, then every lane up.
    pub async fn exchange(
        &mut self,
        cloud: &Cloud,
        head: u64,
        messages: u64,
        random: &mut SmallRng,
    ) -> Result<Exchanged> {
        let done = self.converse(cloud, head, messages, random).await;
        self.local().caught_up(false);
        done
    }

    async fn converse(
        &mut self,
        cloud: &Cloud,
        head: u64,
        messages: u64,
        random: &mut SmallRng,
    ) -> Result<Exchanged> {
        self.settle()?;
        let line = Line::dial(cloud, &self.certificate, messages);
        let mut done = Exchanged::default();
        let mut pipe = line.open()?;
        let position = self.local().position().await?;
        let hello = Message::Hello(Hello::V1(HelloV1 {
            protocol_oldest: PROTOCOL_OLDEST,
            protocol: PROTOCOL,
            capabilities: Vec::new(),
            version: VERSION.to_owned(),
            outbox: position.outbox,
            generation: position.generation,
            epoch: position.epoch,
            cursor: position.cursor,
            addresses: Vec::new(),
        }));
        if !pipe.send(&hello).await {
            return Ok(done);
        }
        let welcome = match pipe.receive().await {
            Some(Message::Welcome(Welcome::V1(welcome))) => welcome,
            None => return Ok(done),
            Some(other) => anyhow::bail!("not let in: {other:?}"),
        };
        self.local().welcomed(terms(&welcome)).await?;
        done.timed = true;
        let holds = FeedAck::Holds {
            generation: welcome.generation,
        };
        if !pipe.send(&Message::FeedAck(holds)).await {
            return Ok(done);
        }
        done.greeted = true;
        self.counts(cloud, welcome.generation).await?;
        let mut behind = position.epoch != welcome.epoch || position.cursor != head;
        self.local().caught_up(!behind);
        while behind {
            let Some(Message::Feed(batch)) = pipe.receive().await else {
                return Ok(done);
            };
            let last = batch.last;
            let ack = match self.local().apply(batch).await {
                Ok(cursor) => {
                    done.applied += 1;
                    behind = !(last && cursor >= head);
                    FeedAck::V1 { cursor }
                }
                Err(ApplyError::NeedSnapshot) => {
                    done.snapshots += 1;
                    FeedAck::NeedSnapshot
                }
                Err(_) if self.disk == Disk::Faulty => return Ok(done),
                Err(error) => return Err(error.into()),
            };
            self.pass_on()?;
            self.local().caught_up(!behind);
            if !pipe.send(&Message::FeedAck(ack)).await {
                return Ok(done);
            }
        }
        // What it says of the news is written by then, in every run.
        self.rest().await;
        self.settle()?;
        for lane in Lane::ALL {
            self.report(&line, &welcome, lane, &mut done, random)
                .await?;
        }
        Ok(done)
    }

    /// Waits until the cloud has written down that this box counts, which names it the first time: a link that is cut before
    /// that leaves no trace, and how fast it is written is no seed's to say.
    async fn counts(&self, cloud: &Cloud, generation: u64) -> Result<()> {
        let identity = &self.identity;
        for _ in 0..2_000 {
            let mut tx = cloud.app.db.begin(identity.tenant).await?;
            let held: Option<i64> =
                sqlx::query_scalar("select generation from agents where id = $1")
                    .bind(identity.agent)
                    .fetch_optional(&mut *tx)
                    .await?;
            drop(tx);
            if held.is_some_and(|held| held.unsigned_abs() >= generation) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // It may be another's place by now, or the cloud asks again: what follows says so.
        Ok(())
    }

    /// One lane, until it is empty or the line is cut. An acknowledged batch may be sent again.
    async fn report(
        &self,
        line: &Line,
        welcome: &WelcomeV1,
        lane: Lane,
        done: &mut Exchanged,
        random: &mut SmallRng,
    ) -> Result<()> {
        if line.is_cut() {
            return Ok(());
        }
        let mut pipe = line.open()?;
        let mark = welcome.marks.iter().find(|(of, _)| *of == lane.code());
        let mut mark = mark.map_or(0, |(_, mark)| *mark);
        self.local().acknowledged(lane, mark).await;
        loop {
            let records = self
                .local()
                .next_batch(lane, mark, random.random_range(1..20), 64 << 10);
            let records = records.await?.list;
            if records.is_empty() {
                return Ok(());
            }
            let batch = Message::Up(UpBatch {
                outbox: uuid::Uuid::from_bytes(self.core().outbox.id()),
                lane,
                after: mark,
                records,
            });
            for _ in 0..=u32::from(random.random_ratio(1, 8)) {
                if !pipe.send(&batch).await {
                    return Ok(());
                }
                let told = match pipe.receive().await {
                    Some(Message::UpAck(UpAck::V1 { mark, .. })) => mark,
                    None => return Ok(()),
                    // The database has no time for it on a busy machine: it is kept and sent again, as by
                    // a box. Where that never ends, nothing converges.
                    Some(Message::UpAck(UpAck::Later { .. })) => return Ok(()),
                    Some(other) => anyhow::bail!("a batch is answered with {other:?}"),
                };
                ensure!(
                    told >= mark,
                    "the mark of {lane:?} fell from {mark} to {told}"
                );
                done.reported += told - mark;
                mark = told;
            }
            self.local().acknowledged(lane, mark).await;
        }
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    match fs::copy(from, to) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let _absent_too = fs::remove_file(to);
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Rows that change at once, with room to spare.
const CHANGES: usize = 1024;
/// Twice what the longest way from a datagram to the next one takes.
const TURNS: u32 = 12;
const CACHE: [&str; 3] = ["cache.db", "cache.db-wal", "cache.db-shm"];
