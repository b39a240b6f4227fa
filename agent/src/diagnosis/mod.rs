//! Why is he offline? A bounded timeline for every customer, and one for names nobody has.

mod counters;
mod facts;

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use easyisp_shared::entitlement::Reason;
use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::up::LoginOutcome;

pub use counters::Counters;
pub use facts::{Knowledge, facts, is_his};

use crate::sessions::Cause;
use crate::sizes::Size;

/// The last things that happened to each customer.
#[derive(Default)]
pub struct Timeline {
    known: Mutex<HashMap<CustomerId, VecDeque<Entry>>>,
    strangers: Mutex<VecDeque<(Box<[u8]>, Entry)>>,
    unproven: Mutex<HashMap<CustomerId, Unproven>>,
}

/// Requests in a customer's name that did not verify under the router's secret. They are kept apart: whoever
/// forges the router's address can make them, and must not push out what is certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unproven {
    /// From the address of this router.
    pub router: RouterId,
    /// How many.
    pub count: u64,
    /// The last of them.
    pub last: Timestamp,
}

/// One thing that happened, perhaps several times in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
    /// How often.
    pub count: u32,
    /// At which router.
    pub router: RouterId,
    /// With which device.
    pub mac: Option<Mac>,
    /// What.
    pub what: What,
}

/// What can happen to a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// He tried to log in.
    Login(LoginOutcome),
    /// His router opened a session.
    Began,
    /// His session ended.
    Ended(Cause),
    /// We asked the router to cut him off.
    Cut(Why),
    /// His session ended then, and this proves it.
    CutProved(Proof),
    /// The session could not be ended, or nobody can tell.
    CutFailed(Stuck),
    /// We asked the router to change his session.
    Changed,
}

/// What proves that a session was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The router reported its end.
    Stop,
    /// The router has no such session (any more).
    NotListed,
    /// It was taken off the router's list through the API.
    Removed,
}

/// Why a session could not be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// The router refused.
    Refused,
    /// The router did not answer.
    Silent,
    /// There is no router to ask any more, or no way to reach it.
    NotAsked,
    /// The router says it ended it, and did not.
    StillThere,
    /// The API refused.
    ApiRefused,
    /// The router's list cannot be read.
    ApiSilent,
}

/// Why a session was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// He may not be online any more.
    Refused(Reason),
    /// The customer is gone from this site.
    Unknown,
    /// The password is another one.
    PasswordChanged,
    /// He paid and leaves the walled garden by logging in again.
    LeavesGarden,
    /// He may not share his line any more, or may again.
    ChangesList,
    /// The router could not change the session, so it begins anew.
    ChangeRefused,
    /// An operator asked for it.
    Command,
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            What::Login(LoginOutcome::Accepted) => f.write_str("let in"),
            What::Login(LoginOutcome::Garden(reason)) => {
                write!(f, "let into the walled garden: {}", reason.sentence())
            }
            What::Login(LoginOutcome::Refused(reason)) => {
                write!(f, "refused: {}", reason.sentence())
            }
            What::Login(LoginOutcome::UnknownUser) => f.write_str("refused: no such name here"),
            What::Login(LoginOutcome::WrongPassword) => f.write_str("refused: wrong password"),
            What::Login(LoginOutcome::LeaseOver) => {
                f.write_str("refused: the site has not heard from the cloud for too long")
            }
            What::Login(LoginOutcome::VoucherExpired) => {
                f.write_str("refused: the voucher was not used in time")
            }
            What::Login(LoginOutcome::VoucherElsewhere) => {
                f.write_str("refused: the voucher is held elsewhere, and cannot be asked for now")
            }
            What::Login(LoginOutcome::NotStored) => {
                f.write_str("refused: the first use could not be written to disk")
            }
            What::Login(LoginOutcome::RouterLogin) => f.write_str("logged in to the router"),
            What::Login(LoginOutcome::UnknownRouterLogin) => {
                f.write_str("refused at the router itself: nobody of this name may log in to it")
            }
            What::Login(LoginOutcome::WrongRouterPassword) => {
                f.write_str("refused at the router itself: wrong password")
            }
            What::Login(LoginOutcome::TooManyRouterTries) => {
                f.write_str("refused at the router itself: too many wrong passwords from there")
            }
            What::Login(LoginOutcome::TooManyTries) => f.write_str(
                "refused: too many wrong passwords or codes from this device or under this name",
            ),
            What::Began => f.write_str("online"),
            What::Ended(Cause::Router(cause)) => {
                write!(
                    f,
                    "offline: ended by the router (Acct-Terminate-Cause {cause})"
                )
            }
            What::Ended(Cause::Lost) => f.write_str("offline: the router forgot the session"),
            What::Cut(why) => write!(f, "cut off: {why}"),
            What::CutProved(proof) => f.write_str(match proof {
                Proof::Stop => "the router reported the end",
                Proof::NotListed => "the router has no such session",
                Proof::Removed => "taken off the router's list through its API",
            }),
            What::CutFailed(stuck) => write!(f, "still online? {stuck}"),
            What::Changed => f.write_str("the running session was changed"),
        }
    }
}

impl std::fmt::Display for Stuck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Stuck::Refused => "The router refused to end the session.",
            Stuck::Silent => "The router does not answer on its CoA port.",
            Stuck::NotAsked => "The router of this session cannot be asked.",
            Stuck::StillThere => "The router says that it ended the session, but did not.",
            Stuck::ApiRefused => "The router's API refused to end the session.",
            Stuck::ApiSilent => "Neither CoA nor the router's list can be read.",
        })
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Why::Refused(reason) => reason.sentence(),
            Why::Unknown => "the customer left this site",
            Why::PasswordChanged => "the password was changed",
            Why::LeavesGarden => "to leave the walled garden",
            Why::ChangesList => "his package says otherwise whether he may share his line",
            Why::ChangeRefused => "the router could not change the session",
            Why::Command => "an operator asked for it",
        })
    }
}

/// Whether an entry says something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Novelty {
    /// It is worth telling the cloud.
    New,
    /// The same as just before: a dialer that tries for ever, a copy.
    Repeated,
}

impl Timeline {
    /// Notes what happened to a customer.
    pub fn note(&self, customer: CustomerId, entry: Entry) -> Novelty {
        let mut known = lock(&self.known);
        if !known.contains_key(&customer) && known.len() >= MOST_CUSTOMERS {
            return Novelty::Repeated;
        }
        let entries = known
            .entry(customer)
            .or_insert_with(|| VecDeque::with_capacity(1));
        if let Some(last) = entries.back_mut()
            && last.repeats(&entry)
        {
            let novelty = last.novelty(entry.last);
            last.merge(&entry, novelty);
            return novelty;
        }
        if entries.len() >= MOST_ENTRIES {
            entries.pop_front();
        }
        entries.push_back(entry);
        Novelty::New
    }

    /// Notes a login under a name nobody here has.
    pub fn note_stranger(&self, username: &[u8], entry: Entry) -> Novelty {
        let mut strangers = lock(&self.strangers);
        let held = strangers
            .iter_mut()
            .find(|(name, held)| **name == *username && held.repeats(&entry));
        if let Some((_, held)) = held {
            let novelty = held.novelty(entry.last);
            held.merge(&entry, novelty);
            return novelty;
        }
        if strangers.len() >= MOST_STRANGERS {
            strangers.pop_front();
        }
        strangers.push_back((username.into(), entry));
        Novelty::New
    }

    /// Notes a request in a customer's name that did not verify. When too many customers have such, all are
    /// forgotten: whose equipment asks on is noted again within seconds.
    pub fn note_unproven(&self, customer: CustomerId, router: RouterId, now: Timestamp) {
        let mut unproven = lock(&self.unproven);
        if unproven.len() >= MOST_UNPROVEN && !unproven.contains_key(&customer) {
            unproven.clear();
        }
        let held = unproven.entry(customer).or_insert(Unproven {
            router,
            count: 0,
            last: now,
        });
        *held = Unproven {
            router,
            count: held.count.saturating_add(1),
            last: now,
        };
    }

    /// The requests in a customer's name that did not verify.
    pub fn unproven(&self, customer: CustomerId) -> Option<Unproven> {
        lock(&self.unproven).get(&customer).copied()
    }

    /// What happened to a customer, the oldest first.
    pub fn of(&self, customer: CustomerId) -> Vec<Entry> {
        let known = lock(&self.known);
        let entries = known.get(&customer);
        entries
            .map(|entries| entries.iter().copied().collect())
            .unwrap_or_default()
    }

    pub(crate) fn sizes(&self) -> [Size; 4] {
        let (customers, longest) = {
            let known = lock(&self.known);
            let longest = known.values().map(VecDeque::len).max();
            (known.len(), longest.unwrap_or_default())
        };
        let (strangers, unproven) = (lock(&self.strangers).len(), lock(&self.unproven).len());
        [
            Size::new("customers in the timeline", customers, MOST_CUSTOMERS),
            Size::new("entries of a customer", longest, MOST_ENTRIES),
            Size::new("strangers in the timeline", strangers, MOST_STRANGERS),
            Size::new("customers with unproven requests", unproven, MOST_UNPROVEN),
        ]
    }

    /// Names that tried and are nobody's, the oldest first.
    pub fn strangers(&self) -> Vec<(Box<[u8]>, Entry)> {
        lock(&self.strangers).iter().cloned().collect()
    }
}

impl Entry {
    /// Something that happened once.
    pub fn once(at: Timestamp, router: RouterId, mac: Option<Mac>, what: What) -> Entry {
        Entry {
            first: at,
            last: at,
            count: 1,
            router,
            mac,
            what,
        }
    }

    fn repeats(&self, next: &Entry) -> bool {
        self.what == next.what && self.router == next.router && self.mac == next.mac
    }

    /// A repeat is told again every five minutes, so that the cloud sees it goes on.
    fn novelty(&self, at: Timestamp) -> Novelty {
        if at.since(self.first) >= TOLD_EVERY {
            Novelty::New
        } else {
            Novelty::Repeated
        }
    }

    fn merge(&mut self, next: &Entry, novelty: Novelty) {
        match novelty {
            Novelty::New => *self = *next,
            Novelty::Repeated => {
                self.last = next.last;
                self.count = self.count.saturating_add(1);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const MOST_ENTRIES: usize = 12;
/// At 12 entries of 80 octets this is a hundred megabytes, on a box that serves so many.
const MOST_CUSTOMERS: usize = 100_000;
const MOST_STRANGERS: usize = 256;
const MOST_UNPROVEN: usize = 4096;
const TOLD_EVERY: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn entry(secs: i64, what: What) -> Entry {
        let router = RouterId(uuid::Uuid::from_u128(1));
        Entry::once(at(secs), router, None, what)
    }

    const REFUSED: What = What::Login(LoginOutcome::Refused(Reason::Expired));

    #[test]
    fn a_dialer_that_tries_for_ever_is_one_line_told_every_five_minutes() {
        let timeline = Timeline::default();
        let customer = CustomerId(uuid::Uuid::from_u128(1));
        let told =
            (0..900).filter(|secs| timeline.note(customer, entry(*secs, REFUSED)) == Novelty::New);
        assert_eq!(told.count(), 3);
        assert_eq!(timeline.of(customer).len(), 1);
    }

    #[test]
    fn the_oldest_entries_and_strangers_make_room() {
        let timeline = Timeline::default();
        let customer = CustomerId(uuid::Uuid::from_u128(1));
        for secs in 0..1000 {
            timeline.note(
                customer,
                entry(secs, if secs % 2 == 0 { REFUSED } else { What::Began }),
            );
            let name = secs.to_string();
            timeline.note_stranger(
                name.as_bytes(),
                entry(secs, What::Login(LoginOutcome::UnknownUser)),
            );
        }
        assert_eq!(timeline.of(customer).len(), MOST_ENTRIES);
        assert_eq!(timeline.of(customer)[0].first, at(988));
        assert_eq!(timeline.strangers().len(), MOST_STRANGERS);
    }

    #[test]
    fn forged_requests_are_bounded_and_push_nothing_out() {
        let timeline = Timeline::default();
        let router = RouterId(uuid::Uuid::from_u128(1));
        let customer = |number: u32| CustomerId(uuid::Uuid::from_u128(number.into()));
        timeline.note(customer(7), entry(0, REFUSED));
        for number in 0..100_000 {
            timeline.note_unproven(customer(number % 10_000), router, at(number.into()));
        }
        assert!(lock(&timeline.unproven).len() <= MOST_UNPROVEN);
        assert_eq!(timeline.of(customer(7)).len(), 1);
        timeline.note_unproven(customer(9_999), router, at(200_000));
        let held = timeline.unproven(customer(9_999));
        assert_eq!(
            held.map(|held| (held.count, held.last)),
            Some((2, at(200_000)))
        );
    }
}
