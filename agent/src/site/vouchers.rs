//! Vouchers: those this site holds, those used here, and who is using one for the first time just now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use easyisp_shared::id::{AgentId, CustomerId, PackageId, VoucherId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::voucher::VoucherDigest;
use easyisp_shared::wire::down::VoucherV1;

use super::Subscriber;
use super::directory::Table;
use crate::sizes::Size;

/// A first use, on stable storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redemption {
    /// The voucher.
    pub voucher: VoucherId,
    /// What its code is known by.
    pub digest: VoucherDigest,
    /// What it gives.
    pub package: PackageId,
    /// Its face value in data.
    pub bytes: Option<u64>,
    /// When its time began.
    pub from: Timestamp,
    /// When its time ends.
    pub until: Timestamp,
    /// The device it is bound to.
    pub mac: Option<Mac>,
}

impl Redemption {
    /// The first use of a voucher by a device.
    pub fn of(voucher: &VoucherV1, mac: Option<Mac>, now: Timestamp) -> Redemption {
        Redemption {
            voucher: voucher.voucher,
            digest: voucher.digest,
            package: voucher.package,
            bytes: voucher.bytes,
            from: now,
            until: now.plus(Duration::from_secs(voucher.secs)),
            mac,
        }
    }

    /// The same use as it was voted for: its time began then, unless that is so long ago that it cannot have
    /// come to anything, or was told by a clock that shows something else.
    #[must_use]
    pub fn as_voted(self, vote: &Vote) -> Redemption {
        match vote.used.is_just_now(self.from) {
            true => vote.used.clone(),
            false => self,
        }
    }

    /// Whether it began about when a clock shows this: just now, or as somebody was voted for lately. Another box's
    /// clock may be hours behind.
    pub fn is_just_now(&self, now: Timestamp) -> bool {
        now.since(self.from) < VOTE_LIFE && self.from.since(now) < APART
    }

    /// The same use by a clock that shows this: each box dates by its own what begins just now, since by another one's
    /// its time could be over before it began, or last for longer.
    #[must_use]
    pub fn by_clock(self, now: Timestamp) -> Redemption {
        match self.is_just_now(now) {
            true => self,
            false => self.begun(now),
        }
    }

    /// The same use, begun then.
    #[must_use]
    pub fn begun(self, from: Timestamp) -> Redemption {
        let lasts = self.until.since(self.from);
        Redemption {
            from,
            until: from.plus(lasts),
            ..self
        }
    }

    /// Who it makes a subscriber.
    pub fn customer(&self) -> CustomerId {
        CustomerId(self.voucher.0)
    }
}

/// A first use of which a damaged file held only the record for the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recalled {
    /// The voucher.
    pub voucher: VoucherId,
    /// When its time began.
    pub from: Timestamp,
    /// The device it is bound to.
    pub mac: Option<Mac>,
}

/// A first use that this agent wrote down for another one, or before it asked the cloud. It gives no other
/// device its vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Of what.
    pub used: Redemption,
    /// Which agent is to let that device in, and knows whether it did.
    pub agent: AgentId,
}

/// What somebody who waits for the disk is called with.
pub type Resume = Box<dyn FnOnce(Fate) + Send>;

/// What became of a first use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is on stable storage.
    Stored,
    /// It is not, so it did not happen.
    NotStored,
    /// Nobody else wrote it down who must have: it did not happen, or nobody here knows that it did.
    Alone,
}

/// What to do about a code that is shown.
pub enum Turn {
    /// The first: write it down, then [`super::Site::settle`]. The one who asks is called then too.
    First,
    /// Somebody is being the first; the one who asks is called when that is settled.
    Waits,
    /// Too many wait already.
    TooMany,
    /// It was used meanwhile: look again.
    Used,
    /// It was given back to the cloud.
    Released,
}

/// The vouchers of one site.
#[derive(Default)]
pub(super) struct Vouchers {
    rows: Table<VoucherId, VoucherV1>,
    by_digest: Table<VoucherDigest, VoucherV1>,
    uses: Table<VoucherId, Redemption>,
    uses_by_digest: Table<VoucherDigest, Redemption>,
    recalled: Table<VoucherId, Recalled>,
    votes: Table<VoucherId, Vote>,
    turns: Mutex<HashMap<VoucherId, State>>,
}

enum State {
    Storing(Vec<Resume>),
    Released,
}

impl Vouchers {
    pub(super) fn put(&self, told: VoucherV1) {
        let row = Arc::new(told);
        // Before anybody can show its code.
        if let Some(recalled) = self.recalled.remove(row.voucher) {
            self.complete(&row, &recalled);
        }
        self.by_digest.put_shared(row.digest, row.clone());
        self.rows.put_shared(row.voucher, row);
    }

    /// Takes a first use of which only the record was found. What it gives the voucher says: where that is not known
    /// here, nobody is let in by its code, and it waits until it is told.
    pub(super) fn recall(&self, recalled: Recalled) {
        match self.rows.find(recalled.voucher) {
            Some(row) => self.complete(&row, &recalled),
            None => drop(self.recalled.put(recalled.voucher, recalled)),
        }
    }

    fn complete(&self, row: &VoucherV1, recalled: &Recalled) {
        // What the cloud says of it, or what stands in the file, says more.
        if row.used.is_none() && self.uses.find(row.voucher).is_none() {
            self.remember(Redemption::of(row, recalled.mac, recalled.from));
        }
    }

    pub(super) fn remove(&self, voucher: VoucherId) {
        if let Some(row) = self.rows.remove(voucher) {
            self.by_digest.remove(row.digest);
        }
        self.votes.remove(voucher);
    }

    pub(super) fn find(&self, digest: &VoucherDigest) -> Option<Arc<VoucherV1>> {
        self.by_digest.find_by(digest)
    }

    /// For people and tests: it looks at every row.
    pub(super) fn unused(&self) -> usize {
        let keys = self.rows.keys().into_iter();
        keys.filter_map(|voucher| self.rows.find(voucher))
            .filter(|row| row.used.is_none() && self.uses.find(row.voucher).is_none())
            .count()
    }

    pub(super) fn used(&self, digest: &VoucherDigest) -> Option<Arc<Redemption>> {
        self.uses_by_digest.find_by(digest)
    }

    pub(super) fn used_by_id(&self, voucher: VoucherId) -> Option<Arc<Redemption>> {
        self.uses.find(voucher)
    }

    /// The face value in data of the voucher that is all a subscriber has; `None` when he has bought more
    /// since, or never had one.
    pub(super) fn face(&self, subscriber: &Subscriber) -> Option<Option<u64>> {
        let voucher = VoucherId(subscriber.id.0);
        let told = self.rows.find(voucher);
        let told = told.and_then(|row| row.used.map(|used| (used.until, row.bytes)));
        let (until, bytes) = told.or_else(|| {
            let used = self.uses.find(voucher)?;
            Some((used.until, used.bytes))
        })?;
        (subscriber.entitlement.paid_until <= until).then_some(bytes)
    }

    /// Takes a use that is on stable storage.
    pub(super) fn remember(&self, used: Redemption) {
        self.votes.remove(used.voucher);
        let used = Arc::new(used);
        self.uses_by_digest.put_shared(used.digest, used.clone());
        self.uses.put_shared(used.voucher, used);
    }

    /// Takes a vote that is on stable storage.
    pub(super) fn vote(&self, vote: Vote) {
        self.votes.put_shared(vote.used.voucher, Arc::new(vote));
    }

    /// Forgets one.
    pub(super) fn withdraw(&self, voucher: VoucherId) {
        self.votes.remove(voucher);
    }

    /// Whom this agent gave its vote.
    pub(super) fn voted(&self, voucher: VoucherId) -> Option<Arc<Vote>> {
        self.votes.find(voucher)
    }

    /// Whether a vote was given of which only an agent that is none of `these` knows whether it came to
    /// anything. It looks at every vote; there are few.
    pub(super) fn has_votes_beyond(&self, these: &[AgentId]) -> bool {
        let open = |voucher: VoucherId| {
            let row = self.rows.find(voucher);
            row.is_none_or(|row| row.used.is_none())
        };
        let beyond = |voucher: VoucherId| {
            let vote = self.votes.find(voucher);
            vote.is_some_and(|vote| !these.contains(&vote.agent))
        };
        let mut votes = self.votes.keys().into_iter();
        votes.any(|voucher| open(voucher) && beyond(voucher))
    }

    /// Whose turn it is to use a voucher for the first time.
    pub(super) fn take_turn(&self, voucher: VoucherId, resume: Resume) -> Turn {
        let mut turns = self.turns();
        // Looked at under the lock: whoever settled has filed the use before.
        if self.uses.find(voucher).is_some() {
            return Turn::Used;
        }
        match turns.get_mut(&voucher) {
            None => {
                turns.insert(voucher, State::Storing(vec![resume]));
                Turn::First
            }
            Some(State::Storing(waiting)) if waiting.len() < MOST_WAITING => {
                waiting.push(resume);
                Turn::Waits
            }
            Some(State::Storing(_)) => Turn::TooMany,
            Some(State::Released) => Turn::Released,
        }
    }

    /// The write that a first use waited for was decided; `used` is filed before anybody looks again.
    /// Returns whom to call.
    pub(super) fn settle(&self, voucher: VoucherId, used: Option<Redemption>) -> Vec<Resume> {
        let mut turns = self.turns();
        if let Some(used) = used {
            self.remember(used);
        }
        match turns.remove(&voucher) {
            Some(State::Storing(waiting)) => waiting,
            Some(State::Released) | None => Vec::new(),
        }
    }

    /// Gives a voucher back: from here on it is not used here for the first time. The use that stands, or
    /// is being written, is the answer instead; `Err(None)` while it is being written, and where another
    /// agent has this one's vote.
    pub(super) fn release(
        &self,
        voucher: VoucherId,
        me: Option<AgentId>,
    ) -> Result<(), Option<Timestamp>> {
        let mut turns = self.turns();
        if let Some(used) = self.uses.find(voucher) {
            return Err(Some(used.from));
        }
        // Its own vote it gave the cloud alone, which asks.
        let vote = self.votes.find(voucher);
        if vote.is_some_and(|vote| Some(vote.agent) != me) {
            return Err(None);
        }
        match turns.get(&voucher) {
            Some(State::Storing(_)) => Err(None),
            Some(State::Released) | None => {
                turns.insert(voucher, State::Released);
                Ok(())
            }
        }
    }

    pub(super) fn size(&self) -> Size {
        let turns = self.turns();
        let waiting = turns.values().map(|state| match state {
            State::Storing(waiting) => waiting.len(),
            State::Released => 0,
        });
        let longest = waiting.max().unwrap_or_default();
        Size::new(
            "devices that wait for a voucher's first use",
            longest,
            MOST_WAITING,
        )
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<VoucherId, State>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who was voted for and is not let in tries again before this is over.
const VOTE_LIFE: Duration = Duration::from_secs(60);
/// What two clocks differ by that are both right, with the way from one box to the other.
const APART: Duration = Duration::from_secs(5);
/// More devices than this do not show one code within the time of one write.
const MOST_WAITING: usize = 64;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::atomic::{AtomicU32, Ordering};

    use uuid::Uuid;

    use super::*;

    fn voucher() -> VoucherV1 {
        VoucherV1 {
            voucher: VoucherId(Uuid::from_u128(1)),
            digest: [1; 32],
            package: PackageId(Uuid::from_u128(2)),
            secs: 3600,
            bytes: None,
            expires: None,
            used: None,
        }
    }

    /// V5: of a first use only the record was saved. The voucher is used, by that device and to that end, whether it is
    /// known before or after; what the cloud says of it counts for more.
    #[test]
    fn a_use_that_is_only_recorded_is_a_use() {
        let (from, mac) = (Timestamp::from_secs(5), Some(Mac::new([9; 6])));
        let row = voucher();
        let recalled = Recalled {
            voucher: row.voucher,
            from,
            mac,
        };
        let stands = |vouchers: &Vouchers| {
            let turn = vouchers.take_turn(row.voucher, nothing());
            assert!(matches!(turn, Turn::Used));
            let used = vouchers.used(&row.digest).unwrap();
            assert_eq!(*used, Redemption::of(&row, mac, from));
        };
        let known_before = Vouchers::default();
        known_before.put(row.clone());
        known_before.recall(recalled);
        stands(&known_before);
        let known_after = Vouchers::default();
        known_after.recall(recalled);
        known_after.put(row.clone());
        stands(&known_after);

        let told = Vouchers::default();
        told.recall(recalled);
        told.put(VoucherV1 {
            used: Some(easyisp_shared::wire::down::VoucherUseV1 {
                from,
                until: Timestamp::from_secs(7),
            }),
            ..row.clone()
        });
        assert!(told.used(&row.digest).is_none());
    }

    fn nothing() -> Resume {
        Box::new(|_| {})
    }

    #[test]
    fn one_is_first_and_the_others_wait_for_what_becomes_of_it() {
        let (vouchers, row) = (Vouchers::default(), voucher());
        vouchers.put(row.clone());
        let called = Arc::new(AtomicU32::new(0));
        let wait = || -> Resume {
            let called = called.clone();
            Box::new(move |_| {
                called.fetch_add(1, Ordering::Relaxed);
            })
        };
        assert!(matches!(
            vouchers.take_turn(row.voucher, wait()),
            Turn::First
        ));
        assert!(matches!(
            vouchers.take_turn(row.voucher, wait()),
            Turn::Waits
        ));
        assert_eq!(vouchers.release(row.voucher, None), Err(None));

        let used = Redemption::of(&row, None, Timestamp::from_secs(5));
        for resume in vouchers.settle(row.voucher, Some(used)) {
            resume(Fate::Stored);
        }
        assert_eq!(called.load(Ordering::Relaxed), 2);
        assert!(matches!(
            vouchers.take_turn(row.voucher, nothing()),
            Turn::Used
        ));
        assert_eq!(
            vouchers.release(row.voucher, None),
            Err(Some(Timestamp::from_secs(5)))
        );
        let used = vouchers.used(&row.digest).unwrap();
        assert_eq!(used.until, Timestamp::from_secs(3605));
    }

    #[test]
    fn what_was_not_stored_may_be_tried_again_and_what_was_released_may_not() {
        let (vouchers, row) = (Vouchers::default(), voucher());
        let first = vouchers.take_turn(row.voucher, nothing());
        assert!(matches!(first, Turn::First));
        assert_eq!(vouchers.settle(row.voucher, None).len(), 1);
        let again = vouchers.take_turn(row.voucher, nothing());
        assert!(matches!(again, Turn::First));
        vouchers.settle(row.voucher, None);

        assert_eq!(vouchers.release(row.voucher, None), Ok(()));
        let late = vouchers.take_turn(row.voucher, nothing());
        assert!(matches!(late, Turn::Released));
    }
    #[test]
    fn who_waits_for_a_first_use_are_bounded() {
        let (vouchers, row) = (Vouchers::default(), voucher());
        vouchers.put(row.clone());
        for number in 0..MOST_WAITING + 10 {
            let turn = vouchers.take_turn(row.voucher, nothing());
            let is_beyond = number >= MOST_WAITING;
            assert_eq!(matches!(turn, Turn::TooMany), is_beyond, "{number}");
        }
        assert!(!vouchers.size().is_beyond());
    }
}
