//! First uses, told before they happen: no deputy learns of one only by the cloud.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use easyisp_shared::id::{AgentId, VoucherId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::peer::{FirstUse, Say};
use easyisp_shared::wire::up::RedemptionV1;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::Peers;
use super::connection::Connection;
use crate::radius::login_log::record;
use crate::site::{By, Fate, Hearsay, Redemption};
use crate::store::{Change, Committed, Job, Urgency, Write};

/// A first use that is being told, or written.
pub(super) struct UnderWay {
    used: Redemption,
    /// Who has it on stable storage, or says that the voucher was used otherwise.
    kept: BTreeMap<AgentId, bool>,
    /// Over which connections it was told.
    told: Vec<Arc<Connection>>,
}

impl Peers {
    /// Tells a first use to who may take this agent's place, then says whether it may happen. At once where
    /// there is nobody. Until [`Peers::settled`] an agent that is met hears of it too.
    pub fn tell_first(self: &Arc<Self>, used: &Redemption, then: Box<dyn FnOnce(bool) + Send>) {
        let voucher = used.voucher;
        let under_way = UnderWay {
            used: used.clone(),
            kept: BTreeMap::new(),
            told: Vec::new(),
        };
        self.under_way().insert(voucher, under_way);
        self.tell_use(voucher);
        if self.post().must_know(self.now()).is_empty() {
            return then(true);
        }
        let peers = self.clone();
        self.runtime.spawn(async move {
            let known = tokio::time::timeout(PATIENCE, peers.known_to_all(voucher)).await;
            then(known.unwrap_or(false));
        });
    }

    /// A first use that was told is written, or will not be.
    pub fn settled(&self, voucher: VoucherId) {
        self.under_way().remove(&voucher);
    }

    /// Tells a first use over every connection over which it was not told.
    fn tell_use(&self, voucher: VoucherId) {
        let connections: Vec<Arc<Connection>> = self.connections().values().cloned().collect();
        let mut under_way = self.under_way();
        let Some(first) = under_way.get_mut(&voucher) else {
            return;
        };
        for connection in connections {
            if !first.told.iter().any(|told| Arc::ptr_eq(told, &connection)) {
                connection.say(Say::Used(sentence(&first.used)));
                first.told.push(connection);
            }
        }
    }

    /// Whether the use may happen: once all who must know do. A deputy that has promised to stay away is
    /// waited for only while it is in touch, and only for a moment.
    async fn known_to_all(&self, voucher: VoucherId) -> bool {
        let mut changes = self.changes.subscribe();
        let began = Instant::now();
        loop {
            self.tell_use(voucher);
            if !self.may_redeem() {
                return false;
            }
            let must_know = self.post().must_know(self.now());
            let kept = match self.under_way().get(&voucher) {
                Some(first) => first.kept.clone(),
                None => return false,
            };
            if kept.values().any(|kept| !kept) {
                return false;
            }
            let in_touch = self.in_touch();
            let moment_over = began.elapsed() >= MOMENT;
            let missing = must_know.iter().any(|deputy| {
                let waits = !deputy.bound || in_touch.contains(&deputy.agent) && !moment_over;
                !kept.contains_key(&deputy.agent) && waits
            });
            if !missing {
                return true;
            }
            let _changed_or_later = tokio::time::timeout(MOMENT / 4, changes.changed()).await;
        }
    }

    pub(super) fn on_kept(&self, by: AgentId, voucher: VoucherId, from: Timestamp, kept: bool) {
        if let Some(first) = self.under_way().get_mut(&voucher)
            && first.used.from == from
        {
            first.kept.insert(by, kept);
        }
        self.changed();
    }

    /// What an agent that is met must hear: first uses of which the cloud's feed does not tell yet.
    pub(super) fn known_uses(&self) -> Vec<FirstUse> {
        let mut uses: Vec<FirstUse> = self
            .under_way()
            .values()
            .map(|first| sentence(&first.used))
            .collect();
        let untold = self.parts.site.untold_uses();
        uses.extend(untold.iter().map(|used| sentence(used)));
        uses
    }

    /// Another agent tells of a first use: on stable storage before it is said to be. The answer to wait for
    /// before the next echo, where there is one.
    pub(super) fn store_told(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        told: FirstUse,
    ) -> Option<oneshot::Receiver<bool>> {
        let used = Redemption {
            voucher: told.voucher,
            digest: told.digest,
            package: told.package,
            bytes: told.bytes,
            from: told.from,
            until: told.until,
            mac: told.mac,
            router: told.router,
            by: By::Another,
        };
        let (voucher, from) = (told.voucher, told.from);
        let kept = move |kept| Say::Kept {
            voucher,
            from,
            kept,
        };
        let said = match self.stands_otherwise(&used) {
            true => Hearsay::Contradicts,
            false => self.parts.site.hear(&used),
        };
        match said {
            Hearsay::Known => connection.say(kept(true)),
            Hearsay::Contradicts => {
                warn!(%voucher, "Another agent tells of a first use of a voucher that was used otherwise");
                connection.say(kept(false));
            }
            Hearsay::New => {
                let (stored, storing) = oneshot::channel();
                let (peers, connection, filed) = (self.clone(), connection.clone(), used.clone());
                let write = Write {
                    changes: vec![Change::Redemption(Box::new(used))],
                    urgency: Urgency::Kept,
                    done: Box::new(move |committed| {
                        let (fate, filed) = match committed {
                            Committed::Yes => (Fate::Stored, Some(filed)),
                            Committed::No => (Fate::NotStored, None),
                        };
                        for resume in peers.parts.site.settle(voucher, filed) {
                            resume(fate);
                        }
                        if committed == Committed::Yes {
                            peers.report_told(voucher, &connection);
                            connection.say(kept(true));
                        }
                        let _nobody_waits = stored.send(committed == Committed::Yes);
                    }),
                };
                // A refused write has said so already.
                let _said = self.parts.outbox.submit(Job::Write(write));
                return Some(storing);
            }
        }
        None
    }

    /// Whether this agent has the post and another use of the voucher stands: that one it has reported.
    fn stands_otherwise(&self, told: &Redemption) -> bool {
        let held = self.parts.site.redemption(&told.digest);
        held.is_some_and(|held| held.from != told.from) && self.post().is_mine()
    }

    /// Who told of this use may not have known that this agent has the post by now. Then he lets nobody in by
    /// it, so that he never reports it; here it stands, and whoever shows the code again gets in.
    fn report_told(&self, voucher: VoucherId, by: &Arc<Connection>) {
        if !self.post().is_mine() {
            return;
        }
        let Some(used) = self.parts.site.untold_use(voucher) else {
            return;
        };
        let connections: Vec<Arc<Connection>> = self.connections().values().cloned().collect();
        let others = connections.iter().filter(|other| !Arc::ptr_eq(other, by));
        others.for_each(|other| other.say(Say::Used(sentence(&used))));
        self.report(std::iter::once(used));
    }

    /// This agent has the post from now on: what the one before it told, and may not have reported, it
    /// reports itself. The cloud takes a use once, whoever tells it.
    pub(super) fn adopt(&self) {
        let reported = self.report(self.parts.site.untold_uses().into_iter());
        info!(
            uses = reported,
            "This agent lets vouchers in for the first time from now on"
        );
    }

    /// Writes down for the cloud those of the uses that another agent told; how many they are.
    fn report(&self, uses: impl Iterator<Item = Arc<Redemption>>) -> usize {
        let now = self.parts.clock.now();
        let changes: Vec<Change> = uses
            .filter(|used| used.by == By::Another)
            .filter_map(|used| {
                let told = Up::Redemption(RedemptionV1 {
                    voucher: used.voucher,
                    at: used.from,
                    router: used.router?,
                    mac: used.mac,
                });
                Some(Change::Record(record(&told, now)))
            })
            .collect();
        let reported = changes.len();
        if reported > 0 {
            let write = Write {
                changes,
                urgency: Urgency::Kept,
                done: Box::new(|committed| {
                    if committed == Committed::No {
                        warn!(
                            "First uses of another agent could not be written down for the cloud"
                        );
                    }
                }),
            };
            let _told_by_done = self.parts.outbox.submit(Job::Write(write));
        }
        reported
    }
}

fn sentence(used: &Redemption) -> FirstUse {
    FirstUse {
        voucher: used.voucher,
        digest: used.digest,
        package: used.package,
        bytes: used.bytes,
        from: used.from,
        until: used.until,
        mac: used.mac,
        router: used.router,
    }
}

/// Who shows a code and got no answer shows it again and waits for the same.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long an agent is waited for that need not know.
const MOMENT: Duration = Duration::from_secs(1);
