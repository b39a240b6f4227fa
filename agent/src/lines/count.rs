//! What queues counted becomes sessions and usage; who has a lease by RADIUS is online, where his router does not report
//! it itself.
//!
//! Somebody is online while something comes *from* him: what the internet sends to an address whose device is
//! off is nobody's session, and is not counted. A session begins with the first look that finds something, goes
//! on with each, and ends as it was last seen when three looks in turn found nothing.

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
        let counter = LineCounter {
            router,
            queue: row.id.clone(),
            bytes_in: row.bytes.0,
            bytes_out: row.bytes.1,
            at: now,
        };
        let before = self.lock().counters.insert(line.id, counter.clone());
        let (up, down) = counter.since(before.as_ref(), booted);
        let place = self.shape(line.id).map(|shape| shape.place);
        let open = place.is_none_or(|place| place == LinePlace::Open);
        let held = self.session(&line.username, router);
        if up > 0 && open {
            let report = report(router, line, held.as_ref(), (up, down), now);
            let counted = Change::LineCounter(line.id, counter);
            self.parts.radius.confirm_with(&report, vec![counted]);
            return;
        }
        let moved = before.is_none_or(|before| {
            (before.bytes_in, before.bytes_out) != (counter.bytes_in, counter.bytes_out)
                || before.queue != counter.queue
        });
        if moved {
            self.parts
                .radius
                .note(vec![Change::LineCounter(line.id, counter)]);
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
        let meant =
            |held: &Session| held.key.acct_session_id.starts_with(OURS) || held.started_at < began;
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
        let (ours, reported): (Vec<Session>, Vec<Session>) = held
            .into_iter()
            .partition(|held| held.key.acct_session_id.starts_with(OURS));
        match row.filter(|_| reported.is_empty()) {
            Some(row) => {
                let mut report = report(router, line, ours.first(), (0, 0), now);
                report.framed_ip = row.address.or(report.framed_ip);
                self.parts.radius.confirm(&report);
            }
            None => ours.iter().for_each(|held| self.stop(held, IDLE)),
        }
    }

    /// The end is what was seen last: what came after was not his.
    fn stop(&self, held: &Session, cause: u32) {
        self.parts.radius.confirm(&Report {
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
        });
    }

    fn session(&self, username: &[u8], router: RouterId) -> Option<Session> {
        self.sessions_of(username, router).into_iter().next()
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
    now: Timestamp,
) -> Report {
    let started = held.map_or(now, |held| held.started_at);
    let (bytes_in, bytes_out) = held.map_or((0, 0), |held| (held.bytes_in, held.bytes_out));
    let key = held.map_or_else(
        || SessionKey {
            router,
            acct_session_id: name(line.id, now).into(),
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
    }
}

/// How those are called that were made here.
const OURS: &[u8] = b"line-";

/// Told by nobody, so made here: once for a line and an instant.
fn name(customer: CustomerId, at: Timestamp) -> Vec<u8> {
    let id = customer.0.simple().to_string();
    let short = id.get(..8).unwrap_or(&id);
    format!("line-{short}-{:x}", at.secs()).into_bytes()
}

/// Three looks: a line that is used says something more often.
const SILENT: Duration = INTERVAL.saturating_mul(3);
/// Acct-Terminate-Cause (RFC 2866 §5.10).
const IDLE: u32 = 4;
const SESSION_TIMEOUT: u32 = 5;
const ADMIN_RESET: u32 = 6;
