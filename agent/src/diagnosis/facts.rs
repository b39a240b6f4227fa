//! What this box knows of a customer, from memory, in the words that the cloud understands.

use easyisp_shared::entitlement::{Answer, Live};
use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::voucher;
use easyisp_shared::wire::diagnosis::{
    DiagnosisV1, HappenedV1, HappeningV1, OpenV1, ReachV1, RouterFactV1, StrangerV1, UnprovenV1,
    WouldV1,
};

use super::{Entry, Timeline, What};
use crate::sessions::{Cause, Metered, Online, Sessions};
use crate::site::{Router, Site, Subscriber};

/// Where a box knows it from.
#[derive(Clone, Copy)]
pub struct Knowledge<'a> {
    /// Who may be online.
    pub site: &'a Site,
    /// Who is.
    pub sessions: &'a Sessions,
    /// What happened.
    pub timeline: &'a Timeline,
}

/// What is known of a customer; `username` says under which name he may have been a stranger here. No
/// router is asked.
pub fn facts(
    knowledge: Knowledge<'_>,
    customer: CustomerId,
    username: &[u8],
    now: Timestamp,
) -> DiagnosisV1 {
    let Knowledge {
        site,
        sessions,
        timeline,
    } = knowledge;
    let subscriber = site.customer(customer);
    let name = subscriber
        .as_ref()
        .map_or(username, |known| &known.username);
    let strangers = timeline.strangers();
    let as_stranger = strangers.iter().filter(|(held, _)| **held == *name);
    let mut happened = timeline.of(customer);
    happened.extend(as_stranger.map(|(_, entry)| *entry));
    happened.sort_by_key(|entry| entry.last);
    let last = happened
        .iter()
        .rfind(|entry| matches!(entry.what, What::Login(_)));
    let would = subscriber
        .as_deref()
        .map(|subscriber| would(knowledge, subscriber, last, now));
    let open = sessions.open_of(customer, name);
    let mut opened: Vec<OpenV1> = open.iter().map(|online| session(online, would)).collect();
    opened.sort_by_key(|session| std::cmp::Reverse(session.started));
    let known = subscriber.as_deref();
    let devices = devices(known, &open, &happened);
    let bound = known.and_then(|known| known.entitlement.router);
    let mut facts = DiagnosisV1 {
        known: subscriber.is_some(),
        bound,
        would,
        until: known.map(|known| {
            known
                .entitlement
                .paid_until
                .max(known.entitlement.funded_until)
        }),
        sessions: opened,
        happened: happened.iter().map(told).collect(),
        unproven: timeline.unproven(customer).map(|held| UnprovenV1 {
            router: held.router,
            count: held.count,
            last: held.last,
        }),
        strangers: alike(&strangers, name, &devices),
        routers: Vec::new(),
    };
    facts.routers = routers(site, &facts);
    facts.sessions.truncate(MOST);
    let surplus = facts.happened.len().saturating_sub(MOST);
    facts.happened.drain(..surplus);
    facts
}

/// What he would be told now, with the device and at the router of his last attempt; with his own device
/// where nothing is known of one.
fn would(
    knowledge: Knowledge<'_>,
    subscriber: &Subscriber,
    last: Option<&Entry>,
    now: Timestamp,
) -> WouldV1 {
    let Knowledge { site, sessions, .. } = knowledge;
    let own = subscriber.entitlement.macs.first().copied();
    let own = own.or_else(|| site.bound(subscriber.id).first().copied());
    let (mac, router) = match last {
        Some(last) => (last.mac.or(own), Some(last.router)),
        None => (own, None),
    };
    let metered = Metered::of(site, subscriber, now);
    let standing = sessions.at_the_door(subscriber.who(), mac, metered.as_ref(), now);
    let live = Live {
        mac,
        router,
        // Who never asked has no device that the others could keep out.
        other_devices: last.map_or(0, |_| standing.other_devices),
        bytes_used: standing.used.bytes,
        secs_used: standing.used.secs,
        ..Live::default()
    };
    let verdict = site.verdict(subscriber, &live, now);
    WouldV1 {
        reason: verdict.reason,
        garden: verdict.answer == Answer::WalledGarden,
    }
}

/// After a restart of the agent nobody knows what was granted: then it is what would be.
fn session(online: &Online, would: Option<WouldV1>) -> OpenV1 {
    let session = &online.session;
    OpenV1 {
        router: session.key.router,
        mac: session.mac,
        started: session.started_at,
        seen: online.heard,
        garden: match session.grant {
            Some(grant) => grant.garden,
            None => would.is_some_and(|would| would.garden),
        },
        outside: None,
    }
}

fn devices(subscriber: Option<&Subscriber>, open: &[Online], happened: &[Entry]) -> Vec<Mac> {
    let own = subscriber.into_iter().flat_map(|known| {
        let locked = known.entitlement.macs.iter();
        locked.chain(&known.remembered_macs).copied()
    });
    let seen = open.iter().filter_map(|online| online.session.mac);
    own.chain(seen)
        .chain(happened.iter().filter_map(|entry| entry.mac))
        .collect()
}

/// Strangers with one of his devices, or whose name differs from his in capitals and blanks only.
fn alike(strangers: &[(Box<[u8]>, Entry)], name: &[u8], devices: &[Mac]) -> Vec<StrangerV1> {
    let plain = |name: &[u8]| -> Vec<u8> {
        let letters = name.iter().filter(|octet| !octet.is_ascii_whitespace());
        letters.map(u8::to_ascii_lowercase).collect()
    };
    let own = plain(name);
    let is_his = |held: &[u8], entry: &Entry| {
        held != name
            && !voucher::is_username(held)
            && (plain(held) == own || entry.mac.is_some_and(|mac| devices.contains(&mac)))
    };
    let mut found: Vec<StrangerV1> = strangers
        .iter()
        .filter(|(held, entry)| is_his(held, entry))
        .map(|(held, entry)| StrangerV1 {
            username: held.to_vec(),
            router: entry.router,
            mac: entry.mac,
            count: entry.count,
            last: entry.last,
        })
        .collect();
    found.sort_by_key(|stranger| std::cmp::Reverse(stranger.last));
    found.truncate(MOST_STRANGERS);
    found
}

/// The site's routers, those he has to do with first.
fn routers(site: &Site, facts: &DiagnosisV1) -> Vec<RouterFactV1> {
    let mut all = site.routers();
    all.sort_by_key(|router| !is_his(facts, router.id));
    all.truncate(MOST);
    all.iter().map(|router| fact(router)).collect()
}

/// Whether a customer has to do with a router: he is there, was there, or may be nowhere else.
pub fn is_his(facts: &DiagnosisV1, router: RouterId) -> bool {
    let mut open = facts.sessions.iter();
    let mut happened = facts.happened.iter();
    facts.bound == Some(router)
        || open.any(|session| session.router == router)
        || happened.any(|entry| entry.router == router)
}

fn fact(router: &Router) -> RouterFactV1 {
    RouterFactV1 {
        router: router.id,
        name: router.name.clone(),
        heard: router.last_seen(),
        mismatched: router.signing().mismatched,
        reach: ReachV1::Unasked,
        booted: None,
        hides: false,
    }
}

fn told(entry: &Entry) -> HappenedV1 {
    HappenedV1 {
        first: entry.first,
        last: entry.last,
        count: entry.count,
        router: entry.router,
        mac: entry.mac,
        what: match entry.what {
            What::Login(outcome) => HappeningV1::Login(outcome),
            What::Began => HappeningV1::Began,
            What::Ended(Cause::Router(cause)) => {
                HappeningV1::Ended(Some(cause).filter(|cause| *cause != 0))
            }
            What::Ended(Cause::Lost) => HappeningV1::Lost,
            other @ (What::Cut(_) | What::CutProved(_) | What::CutFailed(_) | What::Changed) => {
                HappeningV1::Noted(other.to_string())
            }
        },
    }
}

const MOST: usize = 16;
const MOST_STRANGERS: usize = 4;

#[cfg(test)]
mod tests {
    use easyisp_shared::wire::up::LoginOutcome;

    use super::*;

    #[test]
    fn a_stranger_is_his_by_device_or_by_a_name_that_nearly_is() {
        let router = RouterId(uuid::Uuid::from_u128(1));
        let (own, other) = (Mac::new([2; 6]), Mac::new([3; 6]));
        let stranger = |name: &str, mac, secs| {
            let what = What::Login(LoginOutcome::UnknownUser);
            let at = Timestamp::from_secs(secs);
            (
                name.as_bytes().into(),
                Entry::once(at, router, Some(mac), what),
            )
        };
        let strangers = [
            stranger("jane doe", other, 1),
            stranger("janedoe", own, 2),
            stranger("jahne", own, 3),
            stranger("jahne", other, 4),
            stranger("voucher.?", own, 5),
        ];
        let found = alike(&strangers, b"JaneDoe", &[own]);
        let names: Vec<(&[u8], i64)> = found
            .iter()
            .map(|one| (one.username.as_slice(), one.last.secs()))
            .collect();
        let wanted: [(&[u8], i64); 3] = [(b"jahne", 3), (b"janedoe", 2), (b"jane doe", 1)];
        assert_eq!(names, wanted);
    }
}
