//! An accounting record: merged in memory, written, and answered once it is on stable storage (B1).

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use easyisp_shared::time::Timestamp;
use easyisp_shared::voucher;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::up::{AccountingStatus as Told, AccountingV1};
use zeroize::Zeroizing;

use super::dictionary::{Code, TerminateCause};
use super::driver::{Known, Radius, mac, slot};
use super::heard::Heard;
use super::login_log::record;
use super::spoken::Spoken;
use super::verify::VerifiedAccounting;
use super::{AccountingRequest, AccountingStatus, Packet, Port, Secret, accounting_response};
use crate::diagnosis::{Entry, What};
use crate::enforce;
use crate::radius::reply_cache::Slot;
use crate::sessions::{
    Cause, Changes, Event, Metered, Moved, Report, Service, Session, SessionKey, Word, event_time,
};
use crate::site::{Router, Subscriber};
use crate::store::{Change, Committed, Done, Job, Refused, Urgency, Write};

impl Radius {
    /// Takes a datagram of the accounting port. What is answered at once is returned; what must be
    /// durable first is answered where it was `heard`, by the accounting thread.
    pub fn on_accounting_port(
        self: &Arc<Self>,
        source: SocketAddr,
        datagram: &[u8],
        heard: &Heard,
    ) -> Option<Arc<[u8]>> {
        let packet = self.parse(datagram)?;
        if packet.code() == Some(Code::StatusServer) {
            return self.on_status(source, packet, Port::Accounting);
        }
        let check = |_: &Router, secret: &Secret| VerifiedAccounting::check(packet, secret);
        let known = self.identify(source.ip(), &packet, check)?;
        known.router.note_proved(&known.secret);
        known.router.note_asked_at(heard.at());
        let heard = heard.clone();
        self.take_accounting(source, &known, move |answer| heard.send_to(answer, source))
    }

    /// Takes a checked report; its answer goes through `send`, which says whether it could.
    pub(super) fn take_accounting(
        self: &Arc<Self>,
        source: SocketAddr,
        known: &Known<VerifiedAccounting<'_>>,
        send: impl FnOnce(&[u8]) -> bool + Send + 'static,
    ) -> Option<Arc<[u8]>> {
        let packet = known.packet.packet();
        let slot = slot(source, Port::Accounting, packet);
        if let Some(settled) = self.begin(slot, packet) {
            return settled;
        }
        let answer = accounting_response(&known.packet, &known.secret, Vec::new());
        let (Ok(request), Ok(answer)) = (AccountingRequest::read(&known.packet), answer) else {
            self.parts.counters.count("incomplete_accounting");
            self.replies(slot).abandon(slot, packet.authenticator());
            return None;
        };
        let answer = self.answer_later(slot, packet, answer.into(), send);
        let answer = self.account_beside(known, &request, answer);
        self.account(known, &request, answer);
        None
    }

    /// What the accounting thread does with an answer once the commit is decided.
    fn answer_later(
        self: &Arc<Self>,
        slot: Slot,
        packet: &Packet<'_>,
        answer: Arc<[u8]>,
        send: impl FnOnce(&[u8]) -> bool + Send + 'static,
    ) -> Done {
        let (radius, authenticator) = (self.clone(), *packet.authenticator());
        Box::new(move |committed| match committed {
            Committed::Yes => {
                radius
                    .replies(slot)
                    .finish(slot, &authenticator, answer.clone());
                let counters = &radius.parts.counters;
                if send(&answer) {
                    counters.accounted.fetch_add(1, Ordering::Relaxed);
                } else {
                    counters.count("accounting_answer_not_sent");
                }
            }
            Committed::No => radius.replies(slot).abandon(slot, &authenticator),
        })
    }

    fn account(
        &self,
        known: &Known<VerifiedAccounting<'_>>,
        request: &AccountingRequest<'_>,
        answer: Done,
    ) {
        let event = match request.status {
            AccountingStatus::Start => Event::Start,
            AccountingStatus::Interim => Event::Interim,
            AccountingStatus::Stop => Event::Stop(request.terminate_cause.map_or(0, number)),
            AccountingStatus::On => return self.restarted(known, request, Word::On, answer),
            AccountingStatus::Off => return self.restarted(known, request, Word::Off, answer),
            // Acknowledged, not used, and nothing to make durable.
            AccountingStatus::Other(_) => return answer(Committed::Yes),
        };
        if self.is_of_router_login(known, request) {
            // A person at the router itself is nobody's session.
            self.parts.counters.count("router_login_accounting");
            return answer(Committed::Yes);
        }
        let now = self.parts.clock.now();
        let subscriber = self.parts.site.subscriber(request.user_name);
        // A code goes into no file, and a device's session is its owner's.
        let stranger = subscriber.is_none() && !self.is_old_servers(known, request);
        let lease = stranger
            .then(|| self.lease_reported(known, request))
            .flatten();
        let device = lease.as_ref().map(|(_, device)| *device);
        let other = match &lease {
            Some((owner, _)) => Some(owner.username.clone()),
            None => stranger
                .then(|| self.other_name(request.user_name))
                .flatten(),
        };
        let name = other.as_deref().unwrap_or(request.user_name);
        let subscriber = subscriber.or_else(|| self.parts.site.subscriber(name));
        let spoken = request.user_name;
        let request = &AccountingRequest {
            user_name: name,
            ..request.clone()
        };
        let mut report = report(known, request, event, subscriber.as_deref(), now);
        if let Some(device) = device {
            (report.service, report.mac) = (Service::Line, Some(device));
        }
        if name != spoken || report.service == Service::Hotspot {
            self.spoken().note(&report.key, spoken);
        }
        let metered = self.metered(&report, now);
        let metered = metered.as_ref();
        let urgency = match event {
            Event::Interim => Urgency::Interim,
            Event::Start | Event::Stop(_) => Urgency::Kept,
        };
        let changes = self
            .parts
            .sessions
            .report(&report, metered, now, |changes| {
                self.submit_changes(changes, urgency, answer);
            });
        self.follow_up(&changes, metered.is_some(), now);
    }

    /// Accounting-On or -Off: every session of the router from before it is over.
    fn restarted(
        &self,
        known: &Known<VerifiedAccounting<'_>>,
        request: &AccountingRequest<'_>,
        word: Word,
        answer: Done,
    ) {
        let now = self.parts.clock.now();
        let at = event_time(request.event_unix, request.delay_secs, now);
        let sessions = &self.parts.sessions;
        let changes = sessions.restarted(known.router.id, word, at, |changes| {
            self.submit_changes(changes, Urgency::Kept, answer);
        });
        self.follow_up(&changes, false, now);
    }

    /// Writes the ends that could not be written, and gives up what was silent for a day. Called by the
    /// housekeeping, not by a router.
    pub fn sweep(&self) {
        let owed = self.owed.take();
        if !owed.is_empty() {
            self.parts.sessions.write_again(owed, |changes| {
                self.submit_changes(changes, Urgency::Kept, Box::new(|_| {}));
            });
        }
        let now = self.parts.clock.now();
        let changes = self.parts.sessions.sweep(now, |changes| {
            if !changes.moved.is_empty() {
                self.submit_changes(changes, Urgency::Kept, Box::new(|_| {}));
            }
        });
        self.follow_up(&changes, false, now);
        let full = self.parts.sessions.full();
        for router in self.parts.site.routers() {
            match full.contains(&router.id) {
                true => router.note_full(now),
                false => router.note_room(),
            }
        }
    }

    /// Ends a session that its router says it does not have.
    pub fn give_up(&self, key: &SessionKey) {
        let changes = self.parts.sessions.give_up(key, |changes| {
            self.submit_changes(changes, Urgency::Kept, Box::new(|_| {}));
        });
        self.follow_up(&changes, false, self.parts.clock.now());
    }

    /// Takes the word of the router's own list for a session: as if it had reported it.
    pub fn confirm(&self, report: &Report) {
        self.confirm_with(report, Vec::new(), Box::new(|_| {}));
    }

    /// The same, with something that is true from then on: written together or not at all.
    pub fn confirm_with(&self, report: &Report, more: Vec<Change>, done: Done) {
        let now = self.parts.clock.now();
        let metered = self.metered(report, now);
        let sessions = &self.parts.sessions;
        let changes = sessions.report(report, metered.as_ref(), now, |changes| {
            self.submit(changes, more, Urgency::Kept, done);
        });
        self.follow_up(&changes, true, now);
    }

    /// Takes another agent's word for a session. What goes on the cloud hears from whoever leads; an end is told by
    /// both, as the other one may die before it is.
    pub fn adopt(&self, report: &Report, mut more: Vec<Change>) {
        let now = self.parts.clock.now();
        let metered = self.metered(report, now);
        let sessions = &self.parts.sessions;
        let changes = sessions.adopt(report, metered.as_ref(), now, |changes| {
            let mut told = changes.clone();
            told.moved.retain(|moved| {
                let goes_on = moved.session.key == report.key && moved.session.closed.is_none();
                if goes_on {
                    more.push(Change::Session(Box::new(moved.session.clone())));
                }
                !goes_on
            });
            self.submit(&told, more, Urgency::Kept, Box::new(|_| {}));
        });
        self.follow_up(&changes, true, now);
    }

    /// What is counted of a session: for the customer who began it, whatever he is called by now.
    fn metered(&self, report: &Report, now: Timestamp) -> Option<Metered> {
        let site = &self.parts.site;
        let subscriber = match self.parts.sessions.customer_of(&report.key) {
            Some(customer) => site.customer(customer)?,
            None => site.subscriber(&report.username)?,
        };
        Metered::of(site, &subscriber, now)
    }

    /// Writes something that concerns no session.
    pub fn note(&self, changes: Vec<Change>, done: Done) {
        self.submit(&Changes::default(), changes, Urgency::Kept, done);
    }

    /// Writes the result of a command, or what a router said of itself, for the cloud.
    pub fn report_result(&self, result: &Up) {
        self.report(result, Urgency::Kept);
    }

    /// Writes what was read of a device, for the cloud: worth keeping while there is room.
    pub fn report_reading(&self, reading: &Up) {
        self.report(reading, Urgency::Log);
    }

    fn report(&self, told: &Up, urgency: Urgency) {
        let write = Write {
            changes: vec![Change::Record(record(told, self.parts.clock.now()))],
            urgency,
            done: Box::new(|_| {}),
        };
        if self.parts.outbox.submit(Job::Write(write)).is_err() {
            self.parts.counters.count("result_not_written");
        }
    }

    /// Sessions, usage and records of one report, written together. Refused for want of room means
    /// silence: `answer` hears "no", and the router asks again.
    fn submit_changes(&self, changes: &Changes, urgency: Urgency, answer: Done) {
        self.submit(changes, Vec::new(), urgency, answer);
    }

    fn submit(&self, changes: &Changes, more: Vec<Change>, urgency: Urgency, answer: Done) {
        if changes.beyond {
            // No answer: it is asked again, and taken once there is room.
            self.parts.counters.count("sessions_beyond_bound");
            return answer(Committed::No);
        }
        let mut steps = more;
        for moved in &changes.moved {
            steps.push(Change::Session(Box::new(moved.session.clone())));
            let up = Up::Accounting(told(moved));
            steps.push(Change::Record(record(&up, moved.session.seen_at)));
        }
        steps.extend(
            changes
                .usage
                .iter()
                .map(|(customer, usage)| Change::Usage(*customer, *usage)),
        );
        let write = Write {
            changes: steps,
            urgency,
            done: self.owing_ends(changes, answer),
        };
        match self.parts.outbox.submit(Job::Write(write)) {
            Ok(()) => {}
            Err(Refused::Full) => self.parts.counters.count("accounting_shed"),
            Err(Refused::Closed) => self.parts.counters.count("accounting_closed"),
        }
    }

    /// `done`, and what ends among `changes` is owed when it is not written: memory has it ended.
    fn owing_ends(&self, changes: &Changes, done: Done) -> Done {
        let moved = changes.moved.iter().map(|moved| &moved.session);
        let ended: Vec<Session> = moved
            .filter(|session| session.closed.is_some())
            .cloned()
            .collect();
        if ended.is_empty() {
            return done;
        }
        let owed = self.owed.clone();
        Box::new(move |committed| {
            if committed == Committed::No {
                owed.keep(ended);
            }
            done(committed);
        })
    }

    /// Under which name a session goes here that its router lists under `name`.
    pub fn our_name(&self, name: &[u8]) -> Box<[u8]> {
        let other = match self.parts.site.subscriber(name) {
            Some(_) => None,
            None => self.other_name(name),
        };
        other.unwrap_or_else(|| name.into())
    }

    /// The owner's name for his device's address, and a name without the code for a voucher's user.
    fn other_name(&self, name: &[u8]) -> Option<Box<[u8]>> {
        match self.owner(name) {
            Some(owner) => Some(owner.username.clone()),
            None => self.alias(name).map(Vec::into_boxed_slice),
        }
    }

    /// What its router calls a session, to be said to the router again; `None` where it may be another name than
    /// ours, and was not heard since the start: a wrong one is answered with "no such session".
    pub fn name_at_router(&self, session: &Session) -> Option<Zeroizing<Box<[u8]>>> {
        let spoken = self.spoken().of(&session.key);
        let device = session.mac.filter(|_| session.service == Service::Hotspot);
        let owner = device.and_then(|device| self.parts.site.of_device(device));
        let by_device = owner.is_some_and(|owner| owner.username == session.username);
        match by_device || voucher::is_username(&session.username) {
            true => spoken,
            false => spoken.or_else(|| Some(Zeroizing::new(session.username.clone()))),
        }
    }

    fn spoken(&self) -> MutexGuard<'_, Spoken> {
        self.spoken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Timers and timelines follow what was reported.
    fn follow_up(&self, changes: &Changes, metered: bool, now: Timestamp) {
        for moved in &changes.moved {
            let session = &moved.session;
            let what = match (moved.status, session.closed) {
                (Told::Start | Told::Interim, None) => What::Began,
                (_, Some(closed)) => What::Ended(closed.cause),
                (Told::Stop | Told::Lost, None) => continue,
            };
            let ended = session.closed.is_some();
            if ended {
                self.spoken().forget(&session.key);
                self.parts.timers.arm(&session.key, None);
            } else if changes.begun || metered {
                enforce::assume_grant(&self.parts.site, &self.parts.sessions, session);
                let next = enforce::next_look(&self.parts.site, &self.parts.sessions, session, now);
                self.parts.timers.arm_by(&session.key, next);
            }
            if let Some(customer) = session.customer
                && (ended || changes.begun)
            {
                let entry = Entry::once(now, session.key.router, session.mac, what);
                self.parts.timeline.note(customer, entry);
            }
        }
    }
}

fn report(
    known: &Known<VerifiedAccounting<'_>>,
    request: &AccountingRequest<'_>,
    event: Event,
    subscriber: Option<&Subscriber>,
    now: Timestamp,
) -> Report {
    let station = &request.station;
    Report {
        key: SessionKey {
            router: known.router.id,
            acct_session_id: request.session_id.into(),
            class: request.class.unwrap_or_default().into(),
        },
        event,
        customer: subscriber.map(|subscriber| subscriber.id),
        username: request.user_name.into(),
        service: match request.service {
            super::Service::Hotspot => Service::Hotspot,
            super::Service::Ppp | super::Service::Router | super::Service::Other => Service::Ppp,
        },
        mac: mac(station.calling),
        framed_ip: station.framed_address,
        prefixes: request.prefixes.clone(),
        port: station.nas_port_id.unwrap_or_default().into(),
        at: event_time(request.event_unix, request.delay_secs, now),
        secs: request.session_secs.unwrap_or(0),
        bytes_in: request.input_octets.unwrap_or(0),
        bytes_out: request.output_octets.unwrap_or(0),
        narrow: request.narrow,
    }
}

/// What the cloud is told of a session's new state.
fn told(moved: &Moved) -> AccountingV1 {
    let session: &Session = &moved.session;
    AccountingV1 {
        router: session.key.router,
        session: session.key.acct_session_id.to_vec(),
        class: session.key.class.to_vec(),
        status: moved.status,
        username: session.username.to_vec(),
        customer: session.customer,
        framed_ip: session.framed_ip,
        mac: session.mac,
        at: session.closed.map_or(session.seen_at, |closed| closed.at),
        started: session.started_at,
        session_secs: session.secs,
        bytes_up: session.bytes_in,
        bytes_down: session.bytes_out,
        bytes_free: session.bytes_free,
        cause: match session.closed.map(|closed| closed.cause) {
            Some(Cause::Router(number)) => Some(number).filter(|number| *number != 0),
            Some(Cause::Lost) | None => None,
        },
        prefixes: session.prefixes.clone(),
    }
}

/// Acct-Terminate-Cause as the number RFC 2866 §5.10 gives it.
fn number(cause: TerminateCause) -> u32 {
    use TerminateCause::*;
    match cause {
        UserRequest => 1,
        LostCarrier => 2,
        LostService => 3,
        IdleTimeout => 4,
        SessionTimeout => 5,
        AdminReset => 6,
        AdminReboot => 7,
        PortError => 8,
        NasError => 9,
        NasRequest => 10,
        NasReboot => 11,
        PortUnneeded => 12,
        PortPreempted => 13,
        PortSuspended => 14,
        ServiceUnavailable => 15,
        Callback => 16,
        UserError => 17,
        HostRequest => 18,
        Other(number) => number,
    }
}
