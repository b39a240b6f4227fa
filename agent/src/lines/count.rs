//! What queues counted becomes sessions and usage; who has a lease by RADIUS is online, where his router does not report
//! it itself.
//!
//! Somebody is online while something comes *from* him: what the internet sends to an address whose device is
//! off is nobody's session, and is not counted. A session begins with the first look that finds something, goes
//! on with each, and ends as it was last seen when three looks in turn found nothing.

use std::collections::VecDeque;
use std::time::Duration;

use easyisp_shared::entitlement::Reason;
use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::line::LinePlace;

use super::driver::{INTERVAL, Lines};
use super::rules;
use crate::routeros::{FoundLines, LeaseRow, QueueRow};
use crate::sessions::{Event, LineCounter, Report, Service, Session, SessionKey};
use crate::site::Subscriber;
use crate::store::Change;

impl Lines {
    /// Takes what the queues of a router say.
    pub(super) fn count(&self, router: RouterId, found: &FoundLines, now: Timestamp) {
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
        let (up, down) = counter.since(before.as_ref(), booted);
        let place = self.shape(line.id).map(|shape| shape.place);
        let open = place.is_none_or(|place| place == LinePlace::Open);
        let held = self.session(&line.username, router);
        if up > 0 && open {
            // Whoever counts on from there calls it the same.
            let since = before.map_or(now, |before| before.at);
            let report = report(router, line, held.as_ref(), (up, down), since, now);
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
            let mut report = report(router, line, held.as_ref(), (0, 0), now, now);
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
    since: Timestamp,
    now: Timestamp,
) -> Report {
    let started = held.map_or(now, |held| held.started_at);
    let (bytes_in, bytes_out) = held.map_or((0, 0), |held| (held.bytes_in, held.bytes_out));
    let key = held.map_or_else(
        || SessionKey {
            router,
            acct_session_id: name(line.id, since).into(),
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
        port: Box::default(),
        at: now,
        secs: u32::try_from(now.since(started).as_secs()).unwrap_or(u32::MAX),
        bytes_in: bytes_in.saturating_add(up),
        bytes_out: bytes_out.saturating_add(down),
        narrow: [false; 2],
    }
}

pub(super) fn is_ours(held: &Session) -> bool {
    held.key.acct_session_id.starts_with(OURS)
}

/// Two agents that hold the same ones agree on the first.
fn latest_first(mut held: Vec<Session>) -> VecDeque<Session> {
    held.sort_by(|one, other| {
        let of = |session: &Session| (session.seen_at, session.key.clone());
        of(other).cmp(&of(one))
    });
    held.into()
}

/// How those are called that were made here.
const OURS: &[u8] = b"line-";

/// Told by nobody, so made here: once for a line and for what its queue had counted by an instant. Ids begin with the
/// time they were made at: their end tells customers apart.
fn name(customer: CustomerId, since: Timestamp) -> Vec<u8> {
    let id = customer.0.simple().to_string();
    let end = id.get(20..).unwrap_or(&id);
    format!("line-{end}-{:x}", since.micros()).into_bytes()
}

/// Three looks: a line that is used says something more often.
const SILENT: Duration = INTERVAL.saturating_mul(3);
/// Acct-Terminate-Cause (RFC 2866 §5.10).
pub(super) const IDLE: u32 = 4;
const SESSION_TIMEOUT: u32 = 5;
const ADMIN_RESET: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids that were made within a minute begin alike, and all queues of a router are read at one instant.
    #[test]
    fn two_customers_of_one_minute_have_sessions_of_their_own() {
        let minute = 0x0198_0000_0000_7000_8000_0000_0000_0000;
        let of = |number: u128, micros: i64| {
            let customer = CustomerId(uuid::Uuid::from_u128(minute + number));
            name(customer, Timestamp::from_micros(micros))
        };
        assert_ne!(of(1, 5), of(2, 5));
        assert_ne!(of(1, 5), of(1, 6));
        assert_eq!(of(1, 5), of(1, 5), "whoever counts");
    }
}
