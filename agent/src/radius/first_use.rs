//! A voucher's first use: told to who may take this agent's place, then on stable storage, then somebody is
//! let in; or asked for where the voucher is held elsewhere.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use easyisp_shared::entitlement::Reason;
use easyisp_shared::id::{RouterId, VoucherId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::voucher::VoucherDigest;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::down::{VoucherUseV1, VoucherV1};
use easyisp_shared::wire::peer::No;
use easyisp_shared::wire::question::AskFailure;
use easyisp_shared::wire::up::{LoginOutcome, RedemptionV1};

use super::driver::Radius;
use super::hotspot::{NOT_STORED, Shows};
use super::later::{Later, Learnt};
use super::login_log::record;
use crate::site::{Fate, Redemption, Turn};
use crate::store::{Change, Committed, Job, Urgency, Write};

/// A code that is shown, for whoever holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What it is known by.
    pub digest: VoucherDigest,
    /// The device that shows it.
    pub mac: Option<Mac>,
    /// Where.
    pub router: RouterId,
}

/// Asks who holds a voucher, and calls back with it once it is used here, or with why not.
pub type AskHolder =
    dyn Fn(Shown, Duration, Box<dyn FnOnce(Result<VoucherV1, AskFailure>) + Send>) + Send + Sync;

/// How an agent with others beside it redeems.
pub struct Agreement {
    /// Whether it lets vouchers in for the first time without asking.
    pub may_redeem: Box<dyn Fn() -> bool + Send + Sync>,
    /// Tells a first use to who must know of it, then calls back with whether it may happen.
    pub tell_first: Box<TellFirst>,
    /// It is written, or will not be.
    pub settled: Box<dyn Fn(VoucherId) + Send + Sync>,
}

/// See [`Agreement::tell_first`].
pub type TellFirst = dyn Fn(&Redemption, Box<dyn FnOnce(bool) + Send>) + Send + Sync;

/// Called once with what came of redeeming for another agent; dropped where nobody can say.
pub type Redeemed = Box<dyn FnOnce(Result<VoucherV1, No>) + Send>;

/// Who else has to do with this agent's vouchers.
#[derive(Default)]
pub(super) struct Others {
    ask: OnceLock<Box<AskHolder>>,
    /// A bounded number at once.
    asking: Arc<AtomicUsize>,
    agreement: OnceLock<Agreement>,
}

impl Radius {
    /// From here on somebody can be asked about codes that are not held here.
    pub fn ask_through(&self, ask: Box<AskHolder>) {
        let _set_already = self.others.ask.set(ask);
    }

    /// From here on first uses are agreed on with the site's other agents.
    pub fn agree_through(&self, agreement: Agreement) {
        let _set_already = self.others.agreement.set(agreement);
    }

    /// Whether this agent lets vouchers in for the first time without asking.
    pub fn may_redeem(&self) -> bool {
        match self.others.agreement.get() {
            Some(agreement) => (agreement.may_redeem)(),
            None => self.parts.site.has_post(),
        }
    }

    /// Nobody used it yet. Who shows the code meanwhile waits for the same.
    pub(super) fn first_use(
        &self,
        shows: &Shows<'_, '_>,
        row: &VoucherV1,
        later: &Later<'_>,
    ) -> Option<Vec<u8>> {
        let site = &self.parts.site;
        match &later.learnt {
            Learnt::Fate(Fate::NotStored) => {
                return self.refuse(shows, Some(NOT_STORED), LoginOutcome::NotStored);
            }
            Learnt::Fate(Fate::NotTold) => {
                return self.refuse(shows, None, LoginOutcome::VoucherElsewhere);
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
        if !self.may_redeem() {
            return self.elsewhere(shows, later);
        }
        match site.take_turn(row.voucher, later.resume()) {
            Turn::First => {
                let (device, router) = (shows.device, shows.known.router.id);
                later.radius.spend(row, device, router, shows.now);
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

    /// Lets somebody in who shows another agent of the site a code that this one holds, as if he showed it
    /// here. Dropping `done` says that this agent cannot say.
    pub fn redeem_for(self: &Arc<Self>, shown: Shown, done: Redeemed) {
        let (site, now) = (&self.parts.site, self.parts.clock.now());
        let Some(row) = site.voucher(&shown.digest) else {
            return;
        };
        if let Some(used) = site.redemption(&shown.digest) {
            let his = used.mac.is_none() || used.mac == shown.mac;
            return done(match his {
                true => Ok(used_row(&row, &used)),
                false => Err(No::NotGood),
            });
        }
        if row.used.is_some() || row.expires.is_some_and(|end| end <= now) {
            return done(Err(No::NotGood));
        }
        let served = site.package(row.package).is_some() && !site.policy().lease_is_over(now);
        if !served || !self.may_redeem() {
            return;
        }
        let radius = self.clone();
        let resume = Box::new(move |fate| match fate {
            Fate::Stored => radius.redeem_for(shown, done),
            Fate::NotStored | Fate::NotTold => {}
        });
        if let Turn::First = site.take_turn(row.voucher, resume) {
            self.spend(&row, shown.mac, shown.router, now);
        }
    }

    /// Tells the first use to who must know, then writes it with what the cloud is told of it, in
    /// accounting's group commit.
    fn spend(
        self: &Arc<Self>,
        row: &VoucherV1,
        mac: Option<Mac>,
        router: RouterId,
        now: Timestamp,
    ) {
        let used = Redemption {
            router: Some(router),
            ..Redemption::of(row, mac, now)
        };
        let (radius, filed) = (self.clone(), used.clone());
        let write = move |told: bool| match told {
            true => radius.write_first_use(filed, router, now),
            false => radius.settle(filed.voucher, None, Fate::NotTold),
        };
        match self.others.agreement.get() {
            Some(agreement) => (agreement.tell_first)(&used, Box::new(write)),
            None => write(true),
        }
    }

    fn write_first_use(self: &Arc<Self>, used: Redemption, router: RouterId, now: Timestamp) {
        let told = Up::Redemption(RedemptionV1 {
            voucher: used.voucher,
            at: used.from,
            router,
            mac: used.mac,
        });
        let (radius, voucher, filed) = (self.clone(), used.voucher, used.clone());
        let write = Write {
            changes: vec![
                Change::Redemption(Box::new(used)),
                Change::Record(record(&told, now)),
            ],
            urgency: Urgency::Kept,
            done: Box::new(move |committed| match committed {
                Committed::Yes => radius.settle(voucher, Some(filed), Fate::Stored),
                Committed::No => radius.settle(voucher, None, Fate::NotStored),
            }),
        };
        // A refused write has told everybody who waits.
        let _told = self.parts.outbox.submit(Job::Write(write));
    }

    fn settle(&self, voucher: VoucherId, used: Option<Redemption>, fate: Fate) {
        for resume in self.parts.site.settle(voucher, used) {
            resume(fate);
        }
        if let Some(agreement) = self.others.agreement.get() {
            (agreement.settled)(voucher);
        }
    }

    /// Not held here: only its holder can say whether it is good, and it is used here if so.
    pub(super) fn elsewhere(&self, shows: &Shows<'_, '_>, later: &Later<'_>) -> Option<Vec<u8>> {
        match &later.learnt {
            Learnt::Nothing | Learnt::Fate(_) | Learnt::Old(_) | Learnt::OldSilent => {}
            Learnt::Cloud(Err(AskFailure::NotFound | AskFailure::Refused(_))) => {
                return self.wrong_code(shows, LoginOutcome::UnknownUser);
            }
            Learnt::Cloud(_) => return self.wrong_code(shows, LoginOutcome::VoucherElsewhere),
        }
        let Some(ask) = self.others.ask.get() else {
            return self.wrong_code(shows, LoginOutcome::UnknownUser);
        };
        let asking = self.others.asking.clone();
        if asking.fetch_add(1, Ordering::Relaxed) >= MOST_ASKED {
            asking.fetch_sub(1, Ordering::Relaxed);
            return self.refuse(shows, None, LoginOutcome::VoucherElsewhere);
        }
        let shown = Shown {
            digest: shows.digest,
            mac: shows.device,
            router: shows.known.router.id,
        };
        let (radius, device, again) = (later.radius.clone(), shows.device, later.again());
        let done = move |answer: Result<VoucherV1, AskFailure>| {
            asking.fetch_sub(1, Ordering::Relaxed);
            again(Learnt::Cloud(
                answer.map(|row| radius.parts.site.moved_here(row, device)),
            ));
        };
        ask(shown, PATIENCE, Box::new(done));
        None
    }
}

fn used_row(row: &VoucherV1, used: &Redemption) -> VoucherV1 {
    VoucherV1 {
        used: Some(VoucherUseV1 {
            from: used.from,
            until: used.until,
        }),
        ..row.clone()
    }
}

/// Questions about codes that wait for an answer at once.
const MOST_ASKED: usize = 16;
/// A router gives up after some seconds; a login that comes again hears the same.
const PATIENCE: Duration = Duration::from_secs(5);
