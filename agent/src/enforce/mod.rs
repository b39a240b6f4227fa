//! Keeps what is online equal to what may be online: one timer per session; CoA, Disconnect, API.
//!
//! Why somebody may be online is decided elsewhere; here it is only carried out.

mod command;
mod driver;
mod exchange;
mod ladder;
mod rules;
mod rungs;
mod timers;
mod ways;

use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::entitlement::{Answer, Live, Reason, Standing, Verdict};
use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;

pub use driver::{Enforcer, Parts};
pub(crate) use exchange::matching;
pub use rules::{Act, Wanted, Whose, act};
pub use rungs::{is_same, is_same_device};
pub use timers::Timers;

use crate::sessions::{self, Cookie, Grant, Metered, Service, Session, Sessions};
use crate::site::{Site, Subscriber};

/// When to look at a session that was just reported: at once where something is to be done about it.
///
/// A report may arrive in the moment its session's timer is due, before anybody looked: it must not
/// put the timer off to the change after. A name that is not known is a local user's, or the box lost its copy of
/// the feed and waits for another: it is looked at when what it was given ends. Who leaves the site is told by the
/// feed. Whom an agent let in is looked at again until it is known whether he is still there: the box may have been told that
/// he left before it heard that he is online.
pub fn next_look(
    site: &Site,
    sessions: &Sessions,
    session: &Session,
    now: Timestamp,
) -> Option<Timestamp> {
    if session.service == Service::Line || site.is_observed(session.key.router) {
        return None;
    }
    if subscriber_of(site, session).is_none() && !is_stranger(session) {
        return given_end(session);
    }
    match judge(site, sessions, session, now) {
        Act::Leave { until } => until,
        // Another agent let him in: he has what holds until the next change.
        Act::Change(wanted) if session.grant.is_none() => wanted.until,
        Act::Change(_) | Act::Cut(_) => Some(now),
    }
}

/// Takes what held when a session's router was heard last for what the session was given, where nothing
/// says so: another agent of the site let him in, which decides alike. Told once more what it has, a router
/// that takes no changes would lose the session.
pub fn assume_grant(site: &Site, sessions: &Sessions, session: &Session) {
    if session.grant.is_some() || session.service == Service::Line {
        return;
    }
    let Some(subscriber) = subscriber_of(site, session) else {
        return;
    };
    let held = verdict(site, sessions, &subscriber, session, session.seen_at);
    let garden = match held.answer {
        Answer::Accept => false,
        Answer::WalledGarden => true,
        Answer::Reject => return,
    };
    let grant = Grant {
        cookie: Cookie::default(),
        rate: held.rate,
        end: held.end,
        garden,
        listed: !garden && site.may_not_share(&subscriber),
    };
    sessions.regrant(&session.key, grant);
}

/// What to do about a session now: nothing where an old RADIUS server decides for everybody.
fn judge(site: &Site, sessions: &Sessions, session: &Session, now: Timestamp) -> Act {
    if site.is_observed(session.key.router) || session.service == Service::Line {
        return Act::Leave { until: None };
    }
    let grant = session.grant.as_ref();
    let Some(subscriber) = subscriber_of(site, session) else {
        let whose = match session.customer {
            Some(_) if site.was_abreast_once() => Whose::Gone,
            // A snapshot that is being applied has not come to him yet.
            Some(_) => strangers(given_end(session), now),
            None if !is_stranger(session) => Whose::Nobodys,
            None if site.was_abreast_after(session.started_at.plus(ABREAST), now) => Whose::Gone,
            None => strangers(given_end(session), now),
        };
        return act(grant, whose);
    };
    let unknown = |package| site.package(package).is_none();
    let is_active = subscriber.entitlement.standing == Standing::Active;
    if is_active
        && subscriber.package.is_some_and(unknown)
        && !site.was_abreast_after(now.minus(ABREAST), now)
    {
        // News that is being applied tells of him before it tells of what he buys.
        let end = given_end(session).map(|given| site.stated_end(&subscriber, given));
        return act(grant, strangers(end, now));
    }
    let verdict = verdict(site, sessions, &subscriber, session, now);
    if is_active
        && verdict.reason == Reason::Expired
        && site.is_behind_itself()
        && let Some(given) = given_end(session)
    {
        // He was given a later end than an older copy of the cache knows: he had paid by then.
        return act(grant, strangers(Some(given), now));
    }
    let act = act(grant, Whose::Customer(&verdict));
    rules::relist(act, grant, site.may_not_share(&subscriber))
}

/// When what a session was given ends. A visit to the pay page ends by itself.
fn given_end(session: &Session) -> Option<Timestamp> {
    let grant = session.grant.filter(|grant| !grant.garden);
    grant.and_then(|grant| grant.end)
}

/// Nobody known, or nobody of whom enough is known, whose service ends then as far as was stated.
fn strangers(end: Option<Timestamp>, now: Timestamp) -> Whose<'static> {
    let again = now.plus(AGAIN);
    match end {
        Some(end) if end <= now => Whose::Over,
        Some(end) => Whose::Strangers {
            look: end.min(again),
        },
        None => Whose::Strangers { look: again },
    }
}

/// Whose session it is: the customer's who began it, whatever he is called by now, else his who has the name.
fn subscriber_of(site: &Site, session: &Session) -> Option<Arc<Subscriber>> {
    let began = session
        .customer
        .and_then(|customer| site.customer(customer));
    began.or_else(|| site.subscriber(&session.username))
}

/// Whether an agent let somebody in whom this one never knew: he is gone, or the other is ahead of this one.
fn is_stranger(session: &Session) -> bool {
    session.customer.is_none() && sessions::is_cookie(&session.key.class)
}

/// How much later than another agent one may hear the same news, and how far their clocks may be apart.
pub const ABREAST: Duration = Duration::from_secs(120);
/// When a stranger is looked at again: his service ends within 60 s of what is known by then (V9).
const AGAIN: Duration = Duration::from_secs(30);

/// What the subscriber of a running session may have. His other devices do not count: who got in
/// stays in, the limit is kept at the door.
fn verdict(
    site: &Site,
    sessions: &Sessions,
    subscriber: &Subscriber,
    session: &Session,
    now: Timestamp,
) -> Verdict {
    let metered = Metered::of(site, subscriber, now);
    let standing = sessions.standing(&session.username, metered.as_ref(), now);
    let live = Live {
        mac: session.mac,
        router: Some(session.key.router),
        other_devices: 0,
        bytes_used: standing.used.bytes,
        secs_used: standing.used.secs,
        ..Live::default()
    };
    site.verdict(subscriber, &live, now)
}

/// What a customer who logs in nowhere may have at a router. His device is the one he has: nobody else can be at his
/// address.
pub fn of_line(
    site: &Site,
    sessions: &Sessions,
    line: &Subscriber,
    router: RouterId,
    now: Timestamp,
) -> Verdict {
    let metered = Metered::of(site, line, now);
    let standing = sessions.standing(&line.username, metered.as_ref(), now);
    let live = Live {
        mac: line.entitlement.macs.first().copied(),
        router: Some(router),
        other_devices: 0,
        bytes_used: standing.used.bytes,
        secs_used: standing.used.secs,
        bound: Vec::new(),
    };
    site.verdict(line, &live, now)
}

#[cfg(test)]
mod tests;
