//! One site's files and memory, and its answers to RADIUS: everything that decides, before any socket
//! or task. What runs around it is [`crate::Agent`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::AgentId;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::{Clock, Timestamp};
use ipnet::IpNet;
use tokio::sync::{mpsc, watch};
use tracing::warn;
use uuid::Uuid;

use crate::diagnosis::{Counters, Timeline};
use crate::enforce::Timers;
use crate::housekeeping;
use crate::local::{CLOUD_MARK, Feed, Load, known_mark};
use crate::peers;
use crate::radius::driver::{Parts, Radius, place_mark, place_of, signer_marks};
use crate::radius::eap::{Authority, TunnelCertificate};
use crate::sessions::{SessionKey, Sessions};
use crate::site::{Ranges, Site, SiteClock, Touched, UnknownSources};
use crate::store::{Job, Outbox, OutboxReader, Store, StoreError, StoreGuard};

/// What a site is opened with.
pub struct CoreOptions {
    /// Where its files are.
    pub data_dir: PathBuf,
    /// Where its routers may be.
    pub ranges: Vec<IpNet>,
    /// Whether a router that moved is known again by its secret (B11).
    pub adopts: bool,
    /// What time it is.
    pub clock: Clock,
    /// Randomness.
    pub entropy: Entropy,
    /// What the secrets of its rows are sealed under.
    pub key: SealKey,
    /// Which of a cloud's agents this is, when it is one.
    pub agent: Option<AgentId>,
    /// Rows made by hand; none where a cloud sends them.
    pub load: Load,
}

/// An open site.
pub struct Core {
    /// Who may be online.
    pub site: Arc<Site>,
    /// Who is online.
    pub sessions: Arc<Sessions>,
    /// Sessions that are to end, whatever is known of their users.
    pub owed_cuts: Vec<SessionKey>,
    /// Answers datagrams.
    pub radius: Arc<Radius>,
    /// Takes what the cloud sends.
    pub feed: Arc<Feed>,
    /// What must not be lost.
    pub outbox: Outbox,
    /// Reads it.
    pub reader: Arc<OutboxReader>,
    /// The clock of its decisions.
    pub clock: Arc<SiteClock>,
    /// When to look at a session again.
    pub timers: Arc<Timers>,
    /// Why somebody is offline.
    pub timeline: Arc<Timeline>,
    /// What happened how often.
    pub counters: Arc<Counters>,
    /// Who spoke and is no router of ours.
    pub unknown: Arc<UnknownSources>,
    /// Signs for tunnels and for routers; `None` when its files are unusable.
    pub authority: Option<Arc<Authority>>,
    /// Changes with every commit of records.
    pub commits: watch::Receiver<u64>,
    /// What changed, for whoever enforces it.
    pub touched: mpsc::Receiver<Touched>,
    /// Where it is written, by whatever else changes what somebody may.
    pub touches: mpsc::Sender<Touched>,
    /// Files that were found damaged and moved aside.
    pub moved_aside: Vec<PathBuf>,
    /// Closes the files.
    pub guard: StoreGuard,
}

impl Core {
    /// Opens the files and loads the site. Blocks; needs no runtime.
    pub fn open(options: CoreOptions) -> Result<Core, StoreError> {
        let (commit_sender, commits) = watch::channel(0u64);
        let wake = move || commit_sender.send_modify(|count| *count += 1);
        let store = Store::open(&options.data_dir, &options.entropy, wake)?;
        let moved_aside = store.moved_aside.clone();
        for path in &moved_aside {
            warn!("A damaged file was moved to {}", path.display());
        }
        let (outbox, reader, cache, guard) = store.split();

        let high_mark = reader.mark(housekeeping::CLOCK_MARK)?;
        let high_mark = high_mark.map(Timestamp::from_micros);
        let boot = housekeeping::boot(&reader)?;
        let clock = Arc::new(SiteClock::start(options.clock, high_mark, boot));
        if let Some(told) = reader.mark(CLOUD_MARK)? {
            clock.recall(Timestamp::from_micros(told));
        }
        let mut site = Site::new(options.key, Ranges::new(options.ranges));
        if let Some(agent) = options.agent {
            site = site.of_agent(agent);
        }
        if !options.adopts {
            site = site.without_adoption();
        }
        let site = Arc::new(site);
        let (touched_sender, touched) = mpsc::channel(TOUCHED_AT_ONCE);
        let feed = Feed::start(cache, options.load, site.clone(), touched_sender.clone())?;

        let held = feed.position();
        if let Some(known) = reader.mark(&known_mark(held.epoch))? {
            site.knew_up_to(known.unsigned_abs());
        }

        let sessions = Arc::new(Sessions::default());
        let now = clock.now();
        let late = now.minus(LATE_REPORTS);
        sessions.load(reader.sessions(late)?, reader.usage()?, now);
        sessions.serve_since(served_since(&outbox, &reader, now)?);
        let owed_cuts = reader.owed_cuts()?;
        for used in reader.redemptions()? {
            site.remember(used);
        }
        for recalled in reader.recalled()? {
            site.recall(recalled);
        }
        peers::recall(&site, &reader)?;
        for vote in reader.votes()? {
            site.vote(vote);
        }
        for (customer, device, seen) in reader.devices()? {
            site.remember_device_again(customer, device, seen);
        }
        for bind in reader.binds()? {
            site.recall_bind(&bind);
        }
        for unlocked in reader.unlocks()? {
            site.recall_unlock(&unlocked);
        }
        for released in reader.marks(RELEASED)? {
            if let Ok(voucher) = released.parse() {
                // Used ones were not released.
                let _used = site.release(voucher);
            }
        }
        for router in site.routers() {
            let signers = reader.marks(&signer_marks(&router))?;
            router.recall_signers(signers.iter().filter_map(|ip| ip.parse().ok()));
            let place = reader.mark(&place_mark(&router))?;
            if let Some((address, since)) = place.and_then(place_of)
                && site.may_be_at(address)
            {
                site.find_at(&router, address, since);
            }
        }

        let authority = authority(&options.data_dir, now, &options.entropy);
        let timers = Arc::new(Timers::default());
        let timeline = Arc::new(Timeline::default());
        let counters = Arc::new(Counters::default());
        let unknown = Arc::new(UnknownSources::default());
        let radius = Arc::new(Radius::new(Parts {
            site: site.clone(),
            sessions: sessions.clone(),
            outbox: outbox.clone(),
            clock: clock.clone(),
            entropy: options.entropy,
            timeline: timeline.clone(),
            timers: timers.clone(),
            counters: counters.clone(),
            unknown: unknown.clone(),
            tunnels: authority.clone().map(TunnelCertificate::new),
        }));
        Ok(Core {
            site,
            sessions,
            owed_cuts,
            radius,
            feed: Arc::new(feed),
            outbox,
            reader,
            clock,
            timers,
            timeline,
            counters,
            unknown,
            authority,
            commits,
            touched,
            touches: touched_sender,
            moved_aside,
            guard,
        })
    }
}

impl Core {
    /// Writes down what time it is, as the housekeeping does once a minute.
    pub fn note_time(&self) {
        // What is refused is written a minute later.
        let _refused = self.outbox.submit(housekeeping::mark(&self.clock));
    }
}

/// Since when the outbox is written under its name: a new file has a new one, and so has one that lost something.
fn served_since(
    outbox: &Outbox,
    reader: &OutboxReader,
    now: Timestamp,
) -> Result<Timestamp, StoreError> {
    let name = format!("{SERVED}{}", Uuid::from_bytes(outbox.id()));
    if let Some(since) = reader.mark(&name)? {
        return Ok(Timestamp::from_micros(since));
    }
    // What is refused is written at the next start.
    let _refused = outbox.submit(Job::Mark {
        name,
        value: now.micros(),
        done: Box::new(|_| {}),
    });
    Ok(now)
}

/// The box's own authority. Without one passwords are taken all the same, only not in tunnels.
fn authority(folder: &Path, now: Timestamp, entropy: &Entropy) -> Option<Arc<Authority>> {
    Authority::open(folder, now, entropy)
        .inspect_err(|cause| warn!(%cause, "No EAP tunnels and no RadSec on this box"))
        .ok()
        .map(Arc::new)
}

/// What the names begin with under which the outbox remembers vouchers that were given back.
pub(crate) const RELEASED: &str = "released/";

/// What the names begin with under which it is noted since when an outbox is written.
const SERVED: &str = "served/";
const TOUCHED_AT_ONCE: usize = 1024;
/// Sessions that ended so long ago are still known after a restart, so that late reports do not open them.
const LATE_REPORTS: Duration = Duration::from_secs(3600);
