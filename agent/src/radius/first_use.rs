//! A code that nobody used yet, or that another place holds.
//!
//! What is written down before anybody is let in depends on how this agent keeps vouchers ([`Keeping`]): its
//! own disk where it does so alone, one of two others besides where it shares them, the cloud otherwise.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use easyisp_shared::entitlement::Reason;
use easyisp_shared::id::RouterId;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::down::VoucherV1;
use easyisp_shared::wire::question::{AgentQuestion, AskFailure, CloudReply};
use easyisp_shared::wire::up::{LoginOutcome, RedemptionV1};

use super::driver::Radius;
use super::hotspot::{NOT_STORED, Shows};
use super::later::{Later, Learnt};
use super::login_log::record;
use crate::site::{Fate, Keeping, Reading, Redemption, SiteClock, Turn, Vote};
use crate::sizes::Size;
use crate::store::{Change, Committed, Done, Job, Urgency, Write};

/// Asks the cloud and calls back with what it said.
pub type AskCloud = dyn Fn(AgentQuestion, Duration, Box<dyn FnOnce(Result<CloudReply, AskFailure>) + Send>)
    + Send
    + Sync;

/// Has a first use at a router written down by another too, and settles it; this agent has its turn. It began when the
/// clock was read.
pub type Agree = dyn Fn(Redemption, RouterId, Reading) + Send + Sync;

/// Who is asked about codes that this agent does not let in alone.
#[derive(Default)]
pub(super) struct Others {
    ask: OnceLock<Box<AskCloud>>,
    agree: OnceLock<Box<Agree>>,
    asking: Arc<AtomicUsize>,
}

impl Others {
    /// Whether one more may wait for the cloud; it is counted until it has waited.
    fn may_ask(&self) -> bool {
        let may = self.asking.fetch_add(1, Ordering::Relaxed) < MOST_ASKED;
        if !may {
            self.asking.fetch_sub(1, Ordering::Relaxed);
        }
        may
    }

    pub(super) fn size(&self) -> Size {
        let asking = self.asking.load(Ordering::Relaxed);
        Size::new("questions about codes", asking, MOST_ASKED)
    }
}

impl Radius {
    /// From here on the cloud can be asked about codes that are not held here.
    pub fn ask_through(&self, ask: Box<AskCloud>) {
        let _asked_already = self.others.ask.set(ask);
    }

    /// From here on others can be asked to write a first use down.
    pub fn agree_through(&self, agree: Box<Agree>) {
        let _agreed_already = self.others.agree.set(agree);
    }

    /// Nobody used it yet. Who shows the code meanwhile waits for what becomes of it.
    pub(super) fn first_use(
        &self,
        shows: &Shows<'_, '_>,
        row: &VoucherV1,
        later: &Later<'_>,
    ) -> Option<Vec<u8>> {
        let site = &self.parts.site;
        match later.learnt {
            Learnt::Fate(Fate::NotStored) => {
                return self.refuse(shows, Some(NOT_STORED), LoginOutcome::NotStored);
            }
            Learnt::Fate(Fate::Alone) => {
                return self.refuse(shows, Some(NOBODY_ELSE), LoginOutcome::VoucherElsewhere);
            }
            Learnt::Fate(Fate::Stored)
            | Learnt::Nothing
            | Learnt::Cloud(_)
            | Learnt::Old(_)
            | Learnt::OldSilent => {}
        }
        if row.expires.is_some_and(|end| end <= shows.now) {
            let reason = Some("The voucher was not used in time.");
            return self.refuse(shows, reason, LoginOutcome::VoucherExpired);
        }
        if site.policy().lease_is_over(shows.now) {
            let reason = Some(Reason::Expired.sentence());
            return self.refuse(shows, reason, LoginOutcome::LeaseOver);
        }
        if site.package(row.package).is_none() {
            let reason = Reason::NoPackage;
            return self.refuse(
                shows,
                Some(reason.sentence()),
                LoginOutcome::Refused(reason),
            );
        }
        let agree = match (site.keeping(), self.others.agree.get()) {
            (Keeping::Alone, _) => None,
            (Keeping::With(_), Some(agree)) => Some(agree),
            (Keeping::With(_), None) | (Keeping::Not, _) => return self.elsewhere(shows, later),
        };
        match site.take_turn(row.voucher, later.resume()) {
            Turn::First => {
                match agree {
                    None => self.spend(shows, row, later),
                    Some(agree) => agree(
                        Redemption::of(row, shows.device, shows.now),
                        shows.known.router.id,
                        shows.read,
                    ),
                }
                None
            }
            Turn::Waits => None,
            Turn::TooMany => {
                later.at_once();
                self.parts.counters.count("voucher_turns_full");
                None
            }
            // Settled between our look and our turn.
            Turn::Used => {
                later.at_once();
                None
            }
            Turn::Released => {
                later.at_once();
                self.elsewhere(shows, later)
            }
        }
    }

    /// Writes the first use with what the cloud is told of it, in accounting's group commit.
    fn spend(&self, shows: &Shows<'_, '_>, row: &VoucherV1, later: &Later<'_>) {
        let site = &self.parts.site;
        let used = Redemption::of(row, shows.device, shows.now);
        // What it asked the cloud for came to nothing, or the feed had said so before it named this agent alone.
        let vote = site.voted(row.voucher);
        let vote = vote.filter(|vote| Some(vote.agent) != site.agent());
        let used = match vote {
            None => Some(used),
            // The other one may have let that device in.
            Some(vote) => (vote.used.mac == used.mac).then(|| used.as_voted(&vote)),
        };
        let settle = {
            let (radius, voucher) = (later.radius.clone(), row.voucher);
            move |fate, used| {
                for resume in radius.parts.site.settle(voucher, used) {
                    resume(fate);
                }
            }
        };
        let Some(used) = used else {
            return settle(Fate::Alone, None);
        };
        let (used, dated) = dated(used, shows.read, &self.parts.clock);
        let filed = used.clone();
        let write = first_use(used, shows.known.router.id, dated, {
            let settle = settle.clone();
            Box::new(move |committed| match committed {
                Committed::Yes => settle(Fate::Stored, Some(filed)),
                Committed::No => settle(Fate::NotStored, None),
            })
        });
        // A refused write has told everybody who waits.
        let submitted = site.while_alone(|| self.parts.outbox.submit(Job::Write(write)));
        if submitted.is_none() {
            settle(Fate::Alone, None);
        }
    }

    /// Not held here: only the cloud can say whether it is good, and it moves here if so.
    pub(super) fn elsewhere(&self, shows: &Shows<'_, '_>, later: &Later<'_>) -> Option<Vec<u8>> {
        match &later.learnt {
            Learnt::Nothing | Learnt::Fate(_) | Learnt::Old(_) | Learnt::OldSilent => {}
            Learnt::Cloud(Err(AskFailure::NotFound | AskFailure::Refused(_))) => {
                return self.wrong_code(shows, LoginOutcome::UnknownUser);
            }
            // Nobody said that it is wrong.
            Learnt::Cloud(_) => return self.refuse(shows, None, LoginOutcome::VoucherElsewhere),
        }
        let Some(ask) = self.others.ask.get() else {
            return self.wrong_code(shows, LoginOutcome::UnknownUser);
        };
        let asking = self.others.asking.clone();
        if !self.others.may_ask() {
            return self.refuse(shows, None, LoginOutcome::VoucherElsewhere);
        }
        let question = AgentQuestion::Voucher {
            digest: shows.digest,
            mac: shows.device,
            voted: None,
        };
        let (radius, device, again) = (later.radius.clone(), shows.device, later.again());
        let done = move |answer: Result<CloudReply, AskFailure>| {
            asking.fetch_sub(1, Ordering::Relaxed);
            again(Learnt::Cloud(answer.map(|reply| match reply {
                CloudReply::Voucher(row) => radius.parts.site.moved_here(row, device),
                CloudReply::Pong { .. }
                | CloudReply::Certificate { .. }
                | CloudReply::Noted
                | CloudReply::Authority(_) => {}
            })));
        };
        ask(question, CLOUD_PATIENCE, Box::new(done));
        None
    }
}

/// By whose clock a first use is dated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dated {
    /// One that the cloud vouched for since this agent started.
    ByTheCloud,
    /// This box's own, which may be behind by as long as it was off: the cloud's word moves the use, too.
    ByThisBox,
}

impl Dated {
    /// What another box says of a use of some time ago, by the clock of this one. Where this one gave its vote for that
    /// device, it knows itself when that was: the other one's clock may be hours behind. Where it is ahead of the own
    /// clock, that is behind, and moves nothing which the other one dated.
    pub fn as_told(
        used: Redemption,
        vote: Option<&Vote>,
        clock: &SiteClock,
    ) -> (Redemption, Dated) {
        let read = clock.reading();
        let vote = vote.filter(|vote| vote.used.mac == used.mac);
        let Some(voted) = vote.map(|vote| vote.used.from) else {
            let dated = match read.vouched || used.from > read.at {
                true => Dated::ByTheCloud,
                false => Dated::ByThisBox,
            };
            return (used, dated);
        };
        if read.vouched {
            // It came to nothing then, perhaps, and the cloud let that device in later.
            let later = Some(used.from).filter(|told| *told <= read.at);
            return (
                used.begun(voted.max(later.unwrap_or(voted))),
                Dated::ByTheCloud,
            );
        }
        let dated = match voted < clock.began() {
            // How far behind it is since it was off says nothing of what was before.
            true => Dated::ByTheCloud,
            false => Dated::ByThisBox,
        };
        (used.begun(voted), dated)
    }
}

/// A first use that begins as the clock was read, as it is dated by now. What came in between belongs to it: a code
/// that another one must write down too waits for that, and the cloud may tell the time meanwhile. What another one dated
/// by a clock that shows something else is dated by this one.
pub fn dated(used: Redemption, read: Reading, clock: &SiteClock) -> (Redemption, Dated) {
    let known = clock.corrected(read);
    let used = match used.is_just_now(read.at) {
        true => {
            let from = used.from.plus(known.at.since(read.at));
            used.begun(from)
        }
        false => used.by_clock(known.at),
    };
    let dated = match known.vouched {
        true => Dated::ByTheCloud,
        false => Dated::ByThisBox,
    };
    (used, dated)
}

/// A first use and what the cloud is told of it, written together.
pub fn first_use(used: Redemption, router: RouterId, dated: Dated, done: Done) -> Write {
    let told = Up::Redemption(RedemptionV1 {
        voucher: used.voucher,
        at: used.from,
        router,
        mac: used.mac,
    });
    let told = record(&told, used.from);
    let doubt = match dated {
        Dated::ByTheCloud => None,
        Dated::ByThisBox => Some(Change::Doubt(used.voucher)),
    };
    let written = [Change::Redemption(Box::new(used)), Change::Record(told)];
    Write {
        changes: written.into_iter().chain(doubt).collect(),
        urgency: Urgency::Kept,
        done,
    }
}

/// What he reads whose code is good, while neither the site's other agent nor the cloud can write it down.
const NOBODY_ELSE: &str = "This code cannot be checked now. Try again in a minute.";
/// Questions about codes that wait for the cloud at once.
const MOST_ASKED: usize = 16;
/// A router gives up after some seconds; a login that comes again hears the same.
pub const CLOUD_PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use easyisp_shared::id::{AgentId, PackageId, VoucherId};
    use easyisp_shared::net::Mac;
    use easyisp_shared::time::{Clock, Timestamp};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn questions_that_wait_for_the_cloud_are_bounded() {
        let others = Others::default();
        for number in 0..MOST_ASKED + 10 {
            assert_eq!(others.may_ask(), number < MOST_ASKED, "{number}");
        }
        assert!(!others.size().is_beyond());
    }

    /// Two agents agree on a first use for a moment, in which the cloud tells one that was off for three days the time.
    #[test]
    fn a_use_that_was_agreed_on_while_the_cloud_spoke_is_dated_by_the_cloud() {
        let at = |days: i64| Timestamp::from_secs(1_780_000_000 + days * 86_400);
        let clock = Clock::test(at(-500));
        let site = SiteClock::start(clock, Some(at(0)), None);
        let read = site.reading();
        let hour = Duration::from_secs(3600);
        let used = Redemption {
            voucher: VoucherId(Uuid::from_u128(1)),
            digest: [1; 32],
            package: PackageId(Uuid::from_u128(2)),
            bytes: None,
            from: read.at,
            until: read.at.plus(hour),
            mac: None,
        };
        let same = (used.clone(), Dated::ByThisBox);
        assert_eq!(dated(used.clone(), read, &site), same);

        site.on_cloud_time(at(3));
        let (moved, by) = dated(used.clone(), read, &site);
        assert_eq!((moved.from, moved.until), (at(3), at(3).plus(hour)));
        assert_eq!(by, Dated::ByTheCloud);
        // What another one had voted for a little before began then, by whichever of the two clocks.
        let ago = Duration::from_secs(40);
        for voted in [at(0), at(3)].map(|now| used.clone().begun(now.minus(ago))) {
            let (moved, by) = dated(voted, read, &site);
            assert_eq!((moved.from, by), (at(3).minus(ago), Dated::ByTheCloud));
        }
        // What another one dated by a clock of its own is not.
        for wrong in [at(-1), at(2), at(4)].map(|from| used.clone().begun(from)) {
            let (moved, by) = dated(wrong, read, &site);
            let dated = (moved.from, moved.until, by);
            assert_eq!(dated, (at(3), at(3).plus(hour), Dated::ByTheCloud));
        }
    }

    /// By the clock of a box that was off for three days, and has not heard the cloud yet, nothing lasts for three days
    /// more; what was used before it woke is as it was told.
    #[test]
    fn a_clock_that_is_behind_dates_what_begins_and_nothing_else() {
        let at = |hours: i64| Timestamp::from_secs(1_780_000_000 + hours * 3600);
        let clock = Clock::test(at(-9000));
        let site = SiteClock::start(clock.clone(), Some(at(0)), None);
        let read = site.reading();
        let hour = Duration::from_secs(3600);
        let used = |from: Timestamp| Redemption {
            voucher: VoucherId(Uuid::from_u128(1)),
            digest: [1; 32],
            package: PackageId(Uuid::from_u128(2)),
            bytes: None,
            from,
            until: from.plus(hour),
            mac: None,
        };
        for told in [at(72), at(-72)].map(used) {
            let here = (used(at(0)), Dated::ByThisBox);
            assert_eq!(dated(told, read, &site), here);
        }
        for (told, by) in [(71, Dated::ByTheCloud), (-1, Dated::ByThisBox)] {
            let told = used(at(told));
            let dated = Dated::as_told(told.clone(), None, &site);
            assert_eq!(dated, (told, by));
        }
        site.on_cloud_time(at(72));
        let told = used(at(71));
        let dated = Dated::as_told(told.clone(), None, &site);
        assert_eq!(dated, (told, Dated::ByTheCloud));
    }

    /// The other box let him in, and its word of that was lost: it tells of it by a clock that is three hours behind, or
    /// that is not while this one's is.
    #[test]
    fn what_this_box_voted_for_it_dates_itself() {
        let at = |minutes: i64| Timestamp::from_secs(1_780_000_000 + minutes * 60);
        let hour = Duration::from_secs(3600);
        let used = |minutes: i64, device: u8| Redemption {
            voucher: VoucherId(Uuid::from_u128(1)),
            digest: [1; 32],
            package: PackageId(Uuid::from_u128(2)),
            bytes: None,
            from: at(minutes),
            until: at(minutes).plus(hour),
            mac: Some(Mac::new([device; 6])),
        };
        let vote = |minutes, device| Vote {
            used: used(minutes, device),
            agent: AgentId(Uuid::from_u128(3)),
        };
        let told = |site: &SiteClock, told: i64, vote: Option<Vote>| {
            let (used, dated) = Dated::as_told(used(told, 1), vote.as_ref(), site);
            assert_eq!(used.until, used.from.plus(hour));
            (used.from, dated)
        };
        let clock = Clock::test(at(-9000));
        let site = SiteClock::start(clock.clone(), Some(at(0)), None);
        clock.advance(hour);
        // Nobody vouched for this clock since it was started, an hour ago: what was voted for since is moved with it.
        for other in [-180, 40, 200] {
            let since = told(&site, other, Some(vote(10, 1)));
            assert_eq!(since, (at(10), Dated::ByThisBox), "{other}");
            let before = told(&site, other, Some(vote(-10, 1)));
            assert_eq!(before, (at(-10), Dated::ByTheCloud), "{other}");
        }
        let another = told(&site, -20, Some(vote(10, 2)));
        assert_eq!(
            another,
            (at(-20), Dated::ByThisBox),
            "another device's vote"
        );

        site.on_cloud_time(at(60));
        // Let in later, by the cloud's word; nobody is let in in time to come.
        for (other, from) in [(-180, 10), (40, 40), (200, 10)] {
            let dated = told(&site, other, Some(vote(10, 1)));
            assert_eq!(dated, (at(from), Dated::ByTheCloud), "{other}");
        }
    }
}
