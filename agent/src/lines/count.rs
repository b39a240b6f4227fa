//! What queues counted becomes sessions and usage; who has a lease by RADIUS is online, where his router does not report
//! it itself.
//!
//! Somebody is online while something comes *from* him: what the internet sends to an address whose device is
//! off is nobody's session, and is not counted. A session begins with the first look that finds something, goes
//! on with each, and ends as it was last seen when three looks in turn found nothing, or when its queue began anew:
//! what it counts is one stretch of one counter, as its name says.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use easyisp_shared::entitlement::Reason;
use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::ipv6::Prefixes;
use easyisp_shared::line::{self as names, LineName};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::line::LinePlace;

use super::driver::{INTERVAL, Lines};
use super::rules;
use crate::routeros::{FoundLines, LeaseRow, QueueRow};
use crate::sessions::{Event, LineCounter, Report, Service, Session, SessionKey};
use crate::site::Subscriber;
use crate::store::Change;

impl Lines {
    /// Takes what the queues of a router say; not while another agent may yet say how far it counted them.
    pub(super) fn count(&self, router: RouterId, found: &FoundLines, now: Timestamp) {
        if !self.knows.load(Ordering::Relaxed) {
            return;
        }
        let booted = found.uptime.map(|uptime| now.minus(uptime));
        for row in &found.queues {
            let line = self.parts.site.customer(row.customer);
            if let Some(line) = line.filter(|line| rules::is_line(line)) {
                self.count_one(router, &line, row, booted, now);
            }
        }
    }

    fn count_one(
        &self,
        router: RouterId,
        line: &Subscriber,
        row: &QueueRow,
        booted: Option<Timestamp>,
        now: Timestamp,
    ) {
        let mut counter = LineCounter {
            router,
            queue: row.id.clone(),
            bytes_in: row.bytes.0,
            bytes_out: row.bytes.1,
            at: now,
        };
        let (before, moved) = {
            let mut state = self.lock();
            let before = state.counters.get(&line.id).cloned();
            let moved = before.as_ref().is_none_or(|before| counter.moved(before));
            if moved {
                counter.at = before
                    .as_ref()
                    .map_or(now, |before| before.followed_at(now));
                state.counters.insert(line.id, counter.clone());
            }
            (before, moved)
        };
        let base = counter.base(before.as_ref(), booted);
        let (up, down) = counter.since(base);
        let place = self.shape(line.id).map(|shape| shape.place);
        let open = place.is_none_or(|place| place == LinePlace::Open);
        let held = self.session(&line.username, router);
        if up > 0 && open {
            // Whoever counts on from there calls it the same.
            let name = LineName {
                since: before.map_or(now, |before| before.at),
                queue: counter.queue.clone(),
                base,
            };
            let (held, over) = match held {
                Some(held) if !counts_on(&held, &name) => (None, Some(held)),
                held => (held, None),
            };
            if let Some(over) = over {
                self.stop(&over, IDLE);
            }
            let name = name.of(line.id);
            let report = report(router, line, held.as_ref(), (up, down), name, now);
            let counted = Change::LineCounter(line.id, counter);
            let told = self.telling(line.id, Some(report.key.clone()));
            let radius = &self.parts.radius;
            radius.confirm_with(&report, vec![counted], told);
            return;
        }
        if moved {
            let told = self.telling(line.id, held.as_ref().map(|held| held.key.clone()));
            let counted = Change::LineCounter(line.id, counter);
            self.parts.radius.note(vec![counted], told);
        }
        if let Some(held) = held
            && now.since(held.seen_at) >= SILENT
        {
            self.stop(&held, IDLE);
        }
    }

    /// Ends who may not be online any more, or has no line here. What his router reported to have begun after his line
    /// was looked at is not meant.
    pub(super) fn end(
        &self,
        customer: CustomerId,
        router: RouterId,
        reason: Option<Reason>,
        began: Timestamp,
    ) {
        let Some(line) = self.parts.site.customer(customer) else {
            return;
        };
        let cause = match reason {
            Some(reason) if reason.is_about_money() => SESSION_TIMEOUT,
            Some(_) | None => ADMIN_RESET,
        };
        let meant = |held: &Session| is_ours(held) || held.started_at < began;
        let held = self.sessions_of(&line.username, router).into_iter();
        for held in held.filter(meant) {
            self.stop(&held, cause);
        }
    }

    /// What the router says of a device with a lease by RADIUS: `row` where it may be online. A router that reports
    /// leases itself is believed, and counts; another says no more than this.
    pub(super) fn see_lease(
        &self,
        router: RouterId,
        line: &Subscriber,
        row: Option<&LeaseRow>,
        now: Timestamp,
    ) {
        let held = self.sessions_of(&line.username, router);
        let (ours, reported): (Vec<Session>, Vec<Session>) = held.into_iter().partition(is_ours);
        let mut ours = latest_first(ours);
        if let Some(row) = row.filter(|_| reported.is_empty()) {
            // What nobody looked at for so long may have ended and begun again.
            let goes_on = |held: &Session| now.since(held.seen_at) < SILENT;
            let held = match ours.front().is_some_and(goes_on) {
                true => ours.pop_front(),
                false => None,
            };
            let name = names::seen(line.id, now);
            let mut report = report(router, line, held.as_ref(), (0, 0), name, now);
            report.framed_ip = row.address.or(report.framed_ip);
            let told = self.telling(line.id, Some(report.key.clone()));
            let radius = &self.parts.radius;
            radius.confirm_with(&report, Vec::new(), told);
        }
        ours.iter().for_each(|held| self.stop(held, IDLE));
    }

    /// The end is what was seen last: what came after was not his.
    pub(super) fn stop(&self, held: &Session, cause: u32) {
        let report = Report {
            key: held.key.clone(),
            event: Event::Stop(cause),
            customer: held.customer,
            username: held.username.clone(),
            service: Service::Line,
            mac: held.mac,
            framed_ip: held.framed_ip,
            prefixes: Prefixes::default(),
            port: held.port.clone(),
            at: held.seen_at,
            secs: held.secs,
            bytes_in: held.bytes_in,
            bytes_out: held.bytes_out,
            narrow: [false; 2],
        };
        let told = held.customer;
        let told = told.map(|customer| self.telling(customer, Some(held.key.clone())));
        let told = told.unwrap_or_else(|| Box::new(|_| {}));
        self.parts.radius.confirm_with(&report, Vec::new(), told);
    }

    /// The session that goes on; others, of another agent that did not know of it, end as they were seen last.
    fn session(&self, username: &[u8], router: RouterId) -> Option<Session> {
        let mut held = latest_first(self.sessions_of(username, router));
        let first = held.pop_front();
        for other in held.iter().filter(|other| is_ours(other)) {
            self.stop(other, IDLE);
        }
        first
    }

    fn sessions_of(&self, username: &[u8], router: RouterId) -> Vec<Session> {
        let open = self.parts.sessions.open_by_name(username).into_iter();
        open.map(|online| online.session)
            .filter(|session| session.service == Service::Line && session.key.router == router)
            .collect()
    }
}

fn report(
    router: RouterId,
    line: &Subscriber,
    held: Option<&Session>,
    (up, down): (u64, u64),
    name: String,
    now: Timestamp,
) -> Report {
    let started = held.map_or(now, |held| held.started_at);
    let (bytes_in, bytes_out) = held.map_or((0, 0), |held| (held.bytes_in, held.bytes_out));
    let key = held.map_or_else(
        || SessionKey {
            router,
            acct_session_id: name.into_bytes().into(),
            class: Box::default(),
        },
        |held| held.key.clone(),
    );
    Report {
        key,
        event: match held {
            Some(_) => Event::Interim,
            None => Event::Start,
        },
        customer: Some(line.id),
        username: line.username.clone(),
        service: Service::Line,
        mac: line.entitlement.macs.first().copied(),
        framed_ip: line.static_ip,
        prefixes: Prefixes::default(),
        port: Box::default(),
        at: now,
        secs: u32::try_from(now.since(started).as_secs()).unwrap_or(u32::MAX),
        bytes_in: bytes_in.saturating_add(up),
        bytes_out: bytes_out.saturating_add(down),
        narrow: [false; 2],
    }
}

pub(super) fn is_ours(held: &Session) -> bool {
    names::is_ours(&held.key.acct_session_id)
}

/// Whether a session that began with what `next` would begin with now is the same that is held: its router's, or one
/// that has counted in the same queue up to there. What came to a device that was off is in no session.
fn counts_on(held: &Session, next: &LineName) -> bool {
    let name = std::str::from_utf8(&held.key.acct_session_id).ok();
    let name = name.and_then(LineName::parse);
    let up_to_there = |name: LineName| {
        let counted = name.base.0.saturating_add(held.bytes_in);
        name.queue == next.queue && counted == next.base.0
    };
    !is_ours(held) || name.is_some_and(up_to_there)
}

/// Two agents that hold the same ones agree on the first.
fn latest_first(mut held: Vec<Session>) -> VecDeque<Session> {
    held.sort_by(|one, other| {
        let of = |session: &Session| (session.seen_at, session.key.clone());
        of(other).cmp(&of(one))
    });
    held.into()
}

/// Three looks: a line that is used says something more often.
const SILENT: Duration = INTERVAL.saturating_mul(3);
/// Acct-Terminate-Cause (RFC 2866 §5.10).
pub(super) const IDLE: u32 = 4;
const SESSION_TIMEOUT: u32 = 5;
const ADMIN_RESET: u32 = 6;
