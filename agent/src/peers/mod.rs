//! The agents of one site, in direct touch with each other: whose places are taken, and who may let a voucher
//! in for the first time. No decision waits for another agent but the one that spends a voucher.
//!
//! *Places.* Each agent tells the others who it let in and who is online ([`Place`]), over one connection for
//! each pair. That costs the line to the cloud nothing, and works while the cloud is gone. Rows of the feed
//! would cost some 100 octets per interim and agent on that line, or 1.2 kB per subscriber and hour, and would
//! be silent exactly when the site is alone. Agents that cannot reach each other (a hosted spare) are left to
//! the cloud, which ends what is too much within the 90 s of a lease.
//!
//! *Vouchers.* One agent of the site has the *voucher post*: the cloud names it in the policy. It may have
//! *deputies*, agents it is in touch with, and it has said to the cloud which they are. Before it lets anybody
//! in by a voucher for the first time, each deputy has that first use on stable storage and has said so. A
//! deputy that hears nothing for 25 s asks the cloud for the post; the holder that hears nothing of a deputy
//! asks the cloud to strike it. Of the two the cloud serves the first, so:
//!
//! - the holder is dead: the deputy has the post within 30 s, and knows every first use;
//! - they are cut off from each other: whoever reaches the cloud goes on, the other one redeems nothing. No
//!   clock is part of that: a holder that sleeps, or whose disk hangs, is not believed by anybody when it
//!   wakes;
//! - the cloud is gone: the holder goes on, and redeems what is shown to the others. A deputy without a cloud
//!   says so and promises not to take the post for 76 h, written down before it is said, and the holder relies
//!   on 74 of them; so it also outlives the deputy. These two are counted on monotonic clocks, from before the
//!   question was asked at the one and from after the answer (or the start) at the other;
//! - the holder dies while the cloud is gone: nobody redeems first uses at the site until an operator revokes
//!   the dead agent or those 76 h are over. Without a third party the deputy cannot tell that from a cut cable;
//! - holder and deputy lose each other and the cloud at once, before the deputy could promise: nobody redeems
//!   until one of the three is reached again. Everything else goes on.
//!
//! A voucher is never given twice in any of these; what gives way, where something must, is redeeming.

mod connection;
mod dialing;
mod keeper;
mod rules;
mod sealed;
mod spending;

pub use dialing::addresses;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{AgentId, VoucherId};
use easyisp_shared::seal::SealKey;
use easyisp_shared::wire::down::VoucherV1;
use easyisp_shared::wire::peer::{No, Place, Say};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use connection::Connection;
use rules::Post;
use spending::UnderWay;

use crate::local::Feed;
use crate::radius::Shown;
use crate::sessions::Sessions;
use crate::site::{Ranges, Site, SiteClock};
use crate::store::{Committed, Job, Outbox, OutboxReader, StoreError};
use crate::sync::LinkStatus;

/// What the site's other agents are met with.
pub struct Parts {
    /// Which agent this is.
    pub me: AgentId,
    /// What they seal their sentences under.
    pub key: SealKey,
    /// What the site knows.
    pub site: Arc<Site>,
    /// Who is online.
    pub sessions: Arc<Sessions>,
    /// Where promises and first uses are written.
    pub outbox: Outbox,
    /// How far the cloud's word is known.
    pub feed: Arc<Feed>,
    /// Monotonic readings.
    pub clock: Arc<SiteClock>,
    /// Nonces.
    pub entropy: Entropy,
    /// Where other agents may be dialled.
    pub ranges: Ranges,
    /// How the link to the cloud is.
    pub link: watch::Receiver<LinkStatus>,
}

/// Lets somebody in on another agent's behalf; says it, or drops the sender where it cannot say.
pub type Redeem = dyn Fn(Shown, oneshot::Sender<Result<VoucherV1, No>>) + Send + Sync;

/// The site's other agents.
pub struct Peers {
    parts: Parts,
    runtime: Handle,
    post: Mutex<Post>,
    connections: Mutex<HashMap<AgentId, Arc<Connection>>>,
    /// First uses that are being told, or written.
    under_way: Mutex<HashMap<VoucherId, UnderWay>>,
    /// What other agents are asked at the moment.
    asked: Mutex<HashMap<u64, oneshot::Sender<Result<VoucherV1, No>>>>,
    numbers: AtomicU64,
    redeem: OnceLock<Box<Redeem>>,
    /// Names with sessions here and elsewhere.
    suspects: OnceLock<mpsc::Sender<Box<[u8]>>>,
    /// Counts what somebody may wait for.
    changes: watch::Sender<u64>,
}

impl Peers {
    /// Knows the other agents from `site`, and what was promised before from `reader`. Needs a runtime.
    pub fn new(parts: Parts, reader: &OutboxReader) -> Result<Arc<Peers>, StoreError> {
        let standing = |prefix: &str| -> Result<Vec<String>, StoreError> {
            let mut names = reader.marks(prefix)?;
            let mut values = names
                .iter()
                .map(|name| reader.mark(&format!("{prefix}{name}")));
            let values: Result<Vec<Option<i64>>, StoreError> = values.by_ref().collect();
            let mut values = values?.into_iter();
            names.retain(|_| values.next().flatten() == Some(1));
            Ok(names)
        };
        let deputies = standing(DEPUTY)?;
        let deputies = deputies.iter().filter_map(|name| {
            let (term, agent) = name.split_once('/')?;
            Some((term.parse().ok()?, AgentId(agent.parse().ok()?)))
        });
        let promised = standing(PROMISE)?;
        let promised = promised
            .iter()
            .filter_map(|name| name.parse().ok().map(AgentId));
        let post = Post::new(parts.me, deputies, promised, parts.clock.monotonic());
        let peers = Arc::new(Peers {
            runtime: Handle::current(),
            post: Mutex::new(post),
            connections: Mutex::default(),
            under_way: Mutex::default(),
            asked: Mutex::default(),
            numbers: AtomicU64::new(0),
            redeem: OnceLock::new(),
            suspects: OnceLock::new(),
            changes: watch::Sender::new(0),
            parts,
        });
        peers.look_at_policy();
        let (policy, places) = (Arc::downgrade(&peers), Arc::downgrade(&peers));
        peers.parts.site.on_policy(Box::new(move || {
            if let Some(peers) = policy.upgrade() {
                peers.look_at_policy();
            }
        }));
        peers.parts.sessions.tell_through(Box::new(move |place| {
            if let Some(peers) = places.upgrade() {
                peers.tell(place);
            }
        }));
        Ok(peers)
    }

    /// Answers other agents that show codes held here through `redeem`.
    pub fn redeem_through(&self, redeem: Box<Redeem>) {
        let _set_already = self.redeem.set(redeem);
    }

    /// The agents this one is in touch with.
    pub fn in_touch(&self) -> Vec<AgentId> {
        let connections = self.connections();
        let ready = connections
            .iter()
            .filter(|(_, connection)| connection.is_ready());
        ready.map(|(agent, _)| *agent).collect()
    }

    /// How many other agents should be in touch, because they listen, and are not.
    pub fn missing(&self) -> usize {
        let in_touch = self.in_touch();
        let others = self.post().others().to_vec().into_iter();
        let missing = others.filter(|other| !in_touch.contains(other));
        missing
            .filter(|other| !self.addresses(*other).is_empty())
            .count()
    }

    /// Who may take this agent's place.
    pub fn deputies(&self) -> Vec<AgentId> {
        self.post().deputies()
    }

    /// Whether this agent lets vouchers in for the first time: it has the post, and knows everything that
    /// happened before it was named.
    pub fn may_redeem(&self) -> bool {
        let site = &self.parts.site;
        let known = self.parts.feed.position().cursor;
        known >= site.policy().version && self.post().may_redeem(self.now())
    }

    /// Asks the agent that has the post, where there is touch with it, for somebody who shows a code here.
    /// `None` where it cannot say.
    pub async fn ask(&self, shown: Shown, within: Duration) -> Option<Result<VoucherV1, No>> {
        let holder = self.post().to_ask()?;
        let connection = self.connections().get(&holder).cloned()?;
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let (told, answer) = oneshot::channel();
        self.asked().insert(number, told);
        connection.say(Say::Ask {
            number,
            digest: shown.digest,
            mac: shown.mac,
            router: shown.router,
        });
        let answer = tokio::time::timeout(within, answer).await;
        self.asked().remove(&number);
        match answer {
            Ok(Ok(Err(No::CannotSay))) | Ok(Err(_)) | Err(_) => None,
            Ok(Ok(said)) => Some(said),
        }
    }

    /// Tells every agent in touch of a place. Called under the register's lock.
    fn tell(&self, place: Place) {
        // Also while there is touch with nobody: whom another agent let in may be reported here.
        if let Place::Open { username, .. } = &place
            && !self.post().others().is_empty()
        {
            self.suspect(username);
        }
        let connections = self.connections();
        for connection in connections.values() {
            connection.say(Say::Place(place.clone()));
        }
    }

    /// Has somebody look whether too many are online under a name.
    pub(super) fn suspect(&self, username: &[u8]) {
        if let Some(suspects) = self.suspects.get() {
            // Each report of a session raises it again.
            let _looked_at_later = suspects.try_send(username.into());
        }
    }

    fn look_at_policy(&self) {
        let policy = self.parts.site.policy();
        let Some(row) = &policy.row else { return };
        let others: BTreeSet<AgentId> = row.agents.iter().map(|told| told.agent).collect();
        let others = others.into_iter().filter(|other| *other != self.parts.me);
        let others: Vec<AgentId> = others.collect();
        let gone = |agent: &AgentId| !others.contains(agent);
        let connections = self.connections();
        for (_, connection) in connections.iter().filter(|(agent, _)| gone(agent)) {
            connection.end();
        }
        drop(connections);
        let begins = self
            .post()
            .on_named(row.voucher_term, row.voucher_agent, others);
        if begins {
            self.adopt();
        }
        self.changed();
    }

    /// Where an agent listens, as the cloud told, inside the site's ranges.
    fn addresses(&self, agent: AgentId) -> Vec<SocketAddr> {
        let policy = self.parts.site.policy();
        let row = policy.row.as_ref();
        let told = row.and_then(|row| row.agents.iter().find(|told| told.agent == agent));
        let addresses = told
            .map(|told| told.addresses.as_slice())
            .unwrap_or_default();
        let addresses = addresses.iter().copied();
        addresses
            .filter(|address| self.parts.ranges.contain(address.ip()))
            .collect()
    }

    fn has_cloud(&self) -> bool {
        matches!(*self.parts.link.borrow(), LinkStatus::Up { .. })
    }

    /// A small fact on stable storage; whether it is.
    async fn note(&self, name: String, value: i64) -> bool {
        let (told, committed) = oneshot::channel();
        let job = Job::Mark {
            name,
            value,
            done: Box::new(move |outcome| {
                let _nobody_waits = told.send(outcome);
            }),
        };
        self.parts.outbox.submit(job).is_ok() && matches!(committed.await, Ok(Committed::Yes))
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn now(&self) -> Duration {
        self.parts.clock.monotonic()
    }

    fn post(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<AgentId, Arc<Connection>>> {
        let connections = self.connections.lock();
        connections.unwrap_or_else(PoisonError::into_inner)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<VoucherId, UnderWay>> {
        let under_way = self.under_way.lock();
        under_way.unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Result<VoucherV1, No>>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the names begin with under which an agent remembers whom it is bound to tell, by term.
const DEPUTY: &str = "deputy/";
/// What the names begin with under which it remembers to whom it promised not to take the post.
const PROMISE: &str = "promise/";
