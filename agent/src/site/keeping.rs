//! The site's vouchers, and how this agent lets them in for the first time: alone, with another one, or not.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLockReadGuard};

use easyisp_shared::id::{AgentId, VoucherId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::voucher::VoucherDigest;
use easyisp_shared::wire::down::VoucherV1;

use super::{Recalled, Redemption, Resume, Site, Subscriber, Turn, Vote};

/// How an agent lets vouchers in for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// By itself.
    Alone,
    /// Of itself, this other agent and the cloud, two must have written it down.
    With(AgentId),
    /// It asks the cloud.
    Not,
}

impl Site {
    /// How this agent lets vouchers in for the first time.
    pub fn keeping(&self) -> Keeping {
        self.keeping_after(*self.joined())
    }

    /// Acts, unless this agent does not let vouchers in alone. Once [`Site::join`] has returned, nothing acts
    /// on it any more.
    pub fn while_alone<T>(&self, act: impl FnOnce() -> T) -> Option<T> {
        let joined = self.joined();
        (self.keeping_after(*joined) == Keeping::Alone).then(act)
    }

    /// From here on this agent lets no voucher in alone, until the cloud names it so in a later term.
    pub fn join(&self, with: AgentId, term: u64) {
        let mut joined = self.joined.write().unwrap_or_else(PoisonError::into_inner);
        *joined = Some((with, term));
    }

    fn joined(&self) -> RwLockReadGuard<'_, Option<(AgentId, u64)>> {
        self.joined.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn keeping_after(&self, joined: Option<(AgentId, u64)>) -> Keeping {
        let Some(me) = self.agent else {
            return Keeping::Alone;
        };
        let policy = self.policy();
        let Some(named) = policy.row.as_ref().map(|row| &row.keepers) else {
            return Keeping::Not;
        };
        // What was used before the cloud named it must be known too.
        if policy.version > self.known.load(Ordering::Acquire) {
            return Keeping::Not;
        }
        match (named.agents.as_slice(), joined) {
            ([one], Some((with, term))) if *one == me && named.term <= term => Keeping::With(with),
            ([one], _) if *one == me => Keeping::Alone,
            ([one, other], _) if *one == me => Keeping::With(*other),
            ([other, one], _) if *one == me => Keeping::With(*other),
            (_, _) => Keeping::Not,
        }
    }

    /// The voucher held here whose code has this digest.
    pub fn voucher(&self, digest: &VoucherDigest) -> Option<Arc<VoucherV1>> {
        self.vouchers.find(digest)
    }

    /// How many vouchers are held here that nobody used.
    pub fn vouchers_held(&self) -> usize {
        self.vouchers.unused()
    }

    /// The first use made here of the voucher whose code has this digest.
    pub fn redemption(&self, digest: &VoucherDigest) -> Option<Arc<Redemption>> {
        self.vouchers.used(digest)
    }

    /// The first use of a voucher that was told here or made here, by its id.
    pub fn redemption_of(&self, voucher: VoucherId) -> Option<Arc<Redemption>> {
        self.vouchers.used_by_id(voucher)
    }

    /// Whose turn it is to use a voucher for the first time; see [`Turn`].
    pub fn take_turn(&self, voucher: VoucherId, resume: Resume) -> Turn {
        self.vouchers.take_turn(voucher, resume)
    }

    /// A first use was written to disk, or could not be; returns whom to call.
    pub fn settle(&self, voucher: VoucherId, used: Option<Redemption>) -> Vec<Resume> {
        if let Some(used) = &used {
            self.subscribe(used);
        }
        self.vouchers.settle(voucher, used)
    }

    /// Takes a first use that was on disk at the start.
    pub fn remember(&self, used: Redemption) {
        let held = self.vouchers.find(&used.digest).is_some();
        if held {
            self.subscribe(&used);
        }
        self.vouchers.remember(used);
    }

    /// Takes a first use whose time was found to have begun later than was written, with who got in by it.
    pub fn redate(&self, used: Redemption) {
        let Some(before) = self.vouchers.used_by_id(used.voucher) else {
            return self.remember(used);
        };
        if before.from == used.from {
            return;
        }
        // Of whom the cloud knows, it says itself until when.
        if let Some(known) = self.subscribers.by_id(used.customer())
            && known.password.is_none()
            && known.entitlement.paid_until == before.until
        {
            self.subscribers
                .put(Arc::new(Subscriber::of_voucher(&used)));
        }
        self.vouchers.remember(used);
    }

    /// Takes a first use of which only the record was on disk at the start.
    pub fn recall(&self, recalled: Recalled) {
        self.vouchers.recall(recalled);
        if let Some(used) = self.vouchers.used_by_id(recalled.voucher) {
            self.subscribe(&used);
        }
    }

    /// The cloud let a device in with a voucher that was held elsewhere. Its feed says the same soon.
    pub fn moved_here(&self, told: VoucherV1, mac: Option<Mac>) {
        let used = told.used.map(|used| Redemption {
            from: used.from,
            until: used.until,
            ..Redemption::of(&told, mac, used.from)
        });
        self.put_voucher(told);
        if let Some(used) = used {
            self.subscribe(&used);
        }
    }

    /// Gives a voucher back to the cloud: it is not used here for the first time any more. `Err` when it
    /// was used, or is being used: with the instant, once that is known.
    pub fn release(&self, voucher: VoucherId) -> Result<(), Option<Timestamp>> {
        self.vouchers.release(voucher, self.agent)
    }

    /// Whom this agent gave its vote for a voucher's first use.
    pub fn voted(&self, voucher: VoucherId) -> Option<Arc<Vote>> {
        self.vouchers.voted(voucher)
    }

    /// Takes a vote that is on stable storage.
    pub fn vote(&self, vote: Vote) {
        self.vouchers.vote(vote);
    }

    /// Forgets a vote: what it was given for did not happen.
    pub fn withdraw(&self, voucher: VoucherId) {
        self.vouchers.withdraw(voucher);
    }

    /// Whether a vote was given of which only an agent that is none of `these` knows whether it came to
    /// anything.
    pub fn has_votes_beyond(&self, these: &[AgentId]) -> bool {
        self.vouchers.has_votes_beyond(these)
    }

    pub(super) fn put_voucher(&self, told: VoucherV1) {
        let voucher = told.voucher;
        self.vouchers.put(told);
        if let Some(used) = self.vouchers.used_by_id(voucher) {
            self.subscribe(&used);
        }
    }

    /// Who uses a voucher is a subscriber from then on; the cloud's own word on him replaces ours.
    pub(super) fn subscribe(&self, used: &Redemption) {
        if self.subscribers.by_id(used.customer()).is_none() {
            let subscriber = Subscriber::of_voucher(used);
            self.file_devices(&subscriber);
            self.subscribers.put(Arc::new(subscriber));
        }
    }
}
