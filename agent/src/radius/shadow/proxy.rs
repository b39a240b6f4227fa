//! The requests under way to one port of an old server: identifiers, answers, copies, silence.
//!
//! Pure: the driver owns the sockets. A socket ("line") carries 256 requests at once, for the identifier is
//! one octet; lines are opened as they are needed, up to [`MOST_LINES`].

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::translate::{OldAnswer, Outgoing, Signed};
use crate::radius::Secret;
use crate::radius::dictionary::{Code, attribute};
use crate::radius::packet::Packet;
use crate::radius::reply::Port;
use crate::radius::verify::{Proof, check_answer};

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody waits for the answer.
    Answer,
    /// Nobody does: it is compared, or a copy. These take at most half of the room.
    Aside,
}

/// The requests under way; `T` is what each was asked for.
pub struct Proxy<T> {
    server: SocketAddr,
    secret: Arc<Secret>,
    port: Port,
    lines: Vec<Line<T>>,
    /// When each request must be looked at again: line and identifier.
    due: BTreeSet<(Instant, usize, u8)>,
    open: usize,
    aside: usize,
    /// It was seen to send a Message-Authenticator: from then on it must (A1).
    signs: bool,
}

struct Line<T> {
    next: u8,
    slots: Vec<Option<Waiting<T>>>,
}

struct Waiting<T> {
    request: Signed,
    purpose: Purpose,
    subject: T,
    due: Instant,
    copies: u32,
    ends: Instant,
}

/// No room: as many requests wait as may.
#[derive(Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

/// Where to send what.
#[derive(Debug, PartialEq, Eq)]
pub struct Send<'a> {
    /// The line, counted from 0; the driver opens a socket for each.
    pub line: usize,
    /// The octets.
    pub datagram: &'a [u8],
}

/// What the driver does when [`Proxy::poll_timeout`] has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a, T> {
    /// Send a copy: the same octets, so that the old server knows it for one (RFC 5080 §2.2.2).
    Resend(Send<'a>),
    /// The old server is silent.
    Silent(T),
}

/// Why a datagram is not the old server's answer; it changes nothing and is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// From another address or port.
    WrongSource,
    /// No RADIUS packet.
    Malformed,
    /// Nothing waits under this identifier: a second answer, or one too late.
    NotAsked,
    /// A code that answers something else.
    WrongCode,
    /// An authenticator that only somebody without the secret would send.
    Forged,
    /// No Message-Authenticator, where this server always sent one, or where EAP demands it.
    Unsigned,
}

impl<T> Proxy<T> {
    /// Nothing under way yet.
    pub fn new(server: SocketAddr, secret: Arc<Secret>, port: Port) -> Proxy<T> {
        Proxy {
            server,
            secret,
            port,
            lines: Vec::new(),
            due: BTreeSet::new(),
            open: 0,
            aside: 0,
            signs: false,
        }
    }

    /// Takes nothing without a Message-Authenticator from the first answer on: the server is known to sign.
    #[must_use]
    pub fn of_signer(self) -> Proxy<T> {
        Proxy {
            signs: true,
            ..self
        }
    }

    /// Whether the server has signed an answer.
    pub fn is_of_signer(&self) -> bool {
        self.signs
    }

    /// Takes a request; the driver sends what is returned.
    pub fn ask(
        &mut self,
        request: Outgoing,
        purpose: Purpose,
        subject: T,
        now: Instant,
    ) -> Result<Send<'_>, Full<T>> {
        if purpose == Purpose::Aside && self.aside >= MOST / 2 {
            return Err(Full(subject));
        }
        let Some((line, identifier)) = self.free_slot() else {
            return Err(Full(subject));
        };
        self.open += 1;
        self.aside += usize::from(purpose == Purpose::Aside);
        let due = now + FIRST_WAIT;
        self.due.insert((due, line, identifier));
        let waiting = Waiting {
            request: request.sign(identifier, &self.secret),
            purpose,
            subject,
            due,
            copies: 0,
            ends: now + PATIENCE,
        };
        let slot = &mut self.lines[line].slots[usize::from(identifier)];
        let datagram = &slot.insert(waiting).request.datagram;
        Ok(Send { line, datagram })
    }

    /// Judges a datagram that came to a line. Only the old server's own answer settles a request.
    pub fn on_reply(
        &mut self,
        line: usize,
        source: SocketAddr,
        datagram: &[u8],
    ) -> Result<(T, OldAnswer), Ignored> {
        if source != self.server {
            return Err(Ignored::WrongSource);
        }
        let answer = Packet::parse(datagram).map_err(|_| Ignored::Malformed)?;
        let identifier = answer.identifier();
        let waiting = self.waiting(line, identifier).ok_or(Ignored::NotAsked)?;
        let fits = match (self.port, answer.code()) {
            (
                Port::Authentication,
                Some(Code::AccessAccept | Code::AccessReject | Code::AccessChallenge),
            )
            | (Port::Accounting, Some(Code::AccountingResponse)) => true,
            (Port::Authentication | Port::Accounting, _) => false,
        };
        if !fits {
            return Err(Ignored::WrongCode);
        }
        let request = &waiting.request;
        let proof = check_answer(&answer, &request.authenticator, &self.secret)
            .map_err(|_| Ignored::Forged)?;
        let must_sign = match self.port {
            Port::Authentication => self.signs || answer.first(attribute::EAP_MESSAGE).is_some(),
            Port::Accounting => false, // RFC 2866 knows no Message-Authenticator
        };
        if proof == Proof::Unsigned && must_sign {
            return Err(Ignored::Unsigned);
        }
        let old = OldAnswer::new(&answer, request, self.secret.clone());
        self.signs |= self.port == Port::Authentication && proof == Proof::Signed;
        let settled = self.settle(line, identifier).ok_or(Ignored::NotAsked)?;
        Ok((settled, old))
    }

    /// When to call [`Proxy::on_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, ..)| *at)
    }

    /// What to do at `now`; `None` when nothing is due.
    pub fn on_timeout(&mut self, now: Instant) -> Option<Step<'_, T>> {
        let (at, line, identifier) = *self.due.first()?;
        if at > now {
            return None;
        }
        if now >= self.waiting(line, identifier)?.ends {
            return self.settle(line, identifier).map(Step::Silent);
        }
        self.due.remove(&(at, line, identifier));
        let slots = &mut self.lines.get_mut(line)?.slots;
        let waiting = slots.get_mut(usize::from(identifier))?.as_mut()?;
        waiting.copies += 1;
        let wait = FIRST_WAIT * 2u32.pow(waiting.copies.min(8));
        waiting.due = (now + wait).min(waiting.ends);
        self.due.insert((waiting.due, line, identifier));
        let datagram = &waiting.request.datagram;
        Some(Step::Resend(Send { line, datagram }))
    }

    /// Gives everything up that is under way.
    pub fn give_up(&mut self) -> Vec<T> {
        let under_way = std::mem::take(&mut self.due).into_iter();
        let settled = under_way.map(|(_, line, identifier)| self.settle(line, identifier));
        settled.flatten().collect()
    }

    /// How many requests are under way.
    pub fn under_way(&self) -> usize {
        self.open
    }

    fn waiting(&self, line: usize, identifier: u8) -> Option<&Waiting<T>> {
        let slots = &self.lines.get(line)?.slots;
        slots.get(usize::from(identifier))?.as_ref()
    }

    fn settle(&mut self, line: usize, identifier: u8) -> Option<T> {
        let slots = &mut self.lines.get_mut(line)?.slots;
        let waiting = slots.get_mut(usize::from(identifier))?.take()?;
        self.due.remove(&(waiting.due, line, identifier));
        self.open -= 1;
        self.aside -= usize::from(waiting.purpose == Purpose::Aside);
        Some(waiting.subject)
    }

    /// The identifier that was free for the longest on the first line that has one.
    fn free_slot(&mut self) -> Option<(usize, u8)> {
        let found = self.lines.iter_mut().enumerate();
        let mut found = found.filter_map(|(number, line)| Some((number, line.take()?)));
        if let Some(free) = found.next() {
            return Some(free);
        }
        drop(found);
        if self.lines.len() >= MOST_LINES {
            return None;
        }
        self.lines.push(Line {
            next: 1,
            slots: (0..=u8::MAX).map(|_| None).collect(),
        });
        Some((self.lines.len() - 1, 0))
    }
}

impl<T> Line<T> {
    /// In a circle, so that a late answer meets an identifier that is free, not another request's.
    fn take(&mut self) -> Option<u8> {
        let from = self.next;
        let mut all = (0..=u8::MAX).map(|step| from.wrapping_add(step));
        let free = all.find(|identifier| self.slots[usize::from(*identifier)].is_none())?;
        self.next = free.wrapping_add(1);
        Some(free)
    }
}

/// Sockets to one port of an old server.
pub const MOST_LINES: usize = 8;
/// Requests that wait for it at once; with the largest packets 8 MB.
pub const MOST: usize = MOST_LINES * 256;
/// Copies leave after half a second and a second and a half: a router repeats itself to us, but its copies
/// are not passed on.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// After this the next copy of the router is a new try. FreeRADIUS holds a refusal back for one second.
pub const PATIENCE: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::translate::{login, record};
    use super::*;
    use crate::radius::SigningPolicy;
    use crate::radius::builder::{Builder, Signature};
    use crate::radius::client::{self, Login, Method};
    use crate::radius::verify::{VerifiedAccess, VerifiedAccounting};

    #[test]
    fn the_old_servers_answer_settles_its_request_once() {
        let (mut proxy, now) = (given_proxy(), Instant::now());
        let sent = ask(&mut proxy, "one", now);
        let answer = accept(&sent, Signature::MessageAuthenticator, &secret());
        let (subject, old) = proxy.on_reply(0, server(), &answer).unwrap();
        assert_eq!((subject, old.is_marked()), ("one", true));
        assert_eq!(proxy.on_reply(0, server(), &answer), Err(Ignored::NotAsked));
        assert_eq!((proxy.under_way(), proxy.poll_timeout()), (0, None));
    }

    /// What is not the old server's answer to this request changes nothing.
    #[test]
    fn forged_answers_are_ignored() {
        let (mut proxy, now) = (given_proxy(), Instant::now());
        let sent = ask(&mut proxy, "one", now);
        let signed = Signature::MessageAuthenticator;
        let good = accept(&sent, signed, &secret());
        let forged = accept(&sent, signed, &Secret::new(b"a guess"));
        let mut changed = good.clone();
        *changed.last_mut().unwrap() ^= 1;
        let mut other = good.clone();
        other[1] ^= 1;
        let mut code = good.clone();
        code[0] = 5;
        let elsewhere = SocketAddr::from(([10, 0, 0, 5], 1645));
        for (source, datagram, why) in [
            (elsewhere, &good, Ignored::WrongSource),
            (server(), &forged, Ignored::Forged),
            (server(), &changed, Ignored::Forged),
            (server(), &other, Ignored::NotAsked),
            (server(), &code, Ignored::WrongCode),
            (server(), &vec![2, 0], Ignored::Malformed),
        ] {
            assert_eq!(proxy.on_reply(0, source, datagram), Err(why));
        }
        assert_eq!(proxy.on_reply(3, server(), &good), Err(Ignored::NotAsked));
        assert!(proxy.on_reply(0, server(), &good).is_ok());
    }

    #[test]
    fn a_server_that_is_known_to_sign_must_sign_from_the_first_answer_on() {
        let (mut proxy, now) = (given_proxy().of_signer(), Instant::now());
        let sent = ask(&mut proxy, "attacked", now);
        let unsigned = accept(&sent, Signature::None, &secret());
        assert_eq!(
            proxy.on_reply(0, server(), &unsigned),
            Err(Ignored::Unsigned)
        );
        let signed = accept(&sent, Signature::MessageAuthenticator, &secret());
        assert!(proxy.on_reply(0, server(), &signed).is_ok() && proxy.is_of_signer());
    }

    #[test]
    fn a_server_that_signed_once_must_sign() {
        let (mut proxy, now) = (given_proxy(), Instant::now());
        let first = ask(&mut proxy, "an old build", now);
        let unsigned = accept(&first, Signature::None, &secret());
        assert!(proxy.on_reply(0, server(), &unsigned).is_ok());
        let second = ask(&mut proxy, "updated", now);
        let signed = accept(&second, Signature::MessageAuthenticator, &secret());
        assert!(proxy.on_reply(0, server(), &signed).is_ok());
        let third = ask(&mut proxy, "attacked", now);
        let unsigned = accept(&third, Signature::None, &secret());
        let judged = proxy.on_reply(0, server(), &unsigned);
        assert_eq!(judged, Err(Ignored::Unsigned));
    }

    #[test]
    fn a_silent_server_gets_two_copies_and_is_given_up() {
        let (mut proxy, start) = (given_proxy(), Instant::now());
        let sent = ask(&mut proxy, "one", start);
        let mut copies = Vec::new();
        let silent = loop {
            let now = proxy.poll_timeout().unwrap();
            match proxy.on_timeout(now).unwrap() {
                Step::Resend(copy) => {
                    assert_eq!(copy.datagram, sent);
                    copies.push((now - start).as_millis());
                }
                Step::Silent(subject) => break (subject, now - start),
            }
        };
        assert_eq!(copies, [500, 1500]);
        assert_eq!(silent, ("one", PATIENCE));
        assert_eq!(proxy.under_way(), 0);
        assert_eq!(proxy.on_timeout(start + PATIENCE), None);
    }

    #[test]
    fn room_is_bounded_and_half_of_it_is_for_who_waits() {
        let (mut proxy, now) = (given_proxy(), Instant::now());
        let mut aside = 0;
        while proxy.ask(outgoing(), Purpose::Aside, "aside", now).is_ok() {
            aside += 1;
        }
        let mut waits = 0;
        while proxy.ask(outgoing(), Purpose::Answer, "waits", now).is_ok() {
            waits += 1;
        }
        assert_eq!(
            (aside, waits, proxy.under_way()),
            (MOST / 2, MOST / 2, MOST)
        );
        let full = proxy.ask(outgoing(), Purpose::Answer, "one more", now);
        assert_eq!(full, Err(Full("one more")));
        let mut given_up = 0;
        while let Some(step) = proxy.on_timeout(now + PATIENCE) {
            given_up += usize::from(matches!(step, Step::Silent(_)));
        }
        assert_eq!((given_up, proxy.under_way()), (MOST, 0));
        assert!(proxy.ask(outgoing(), Purpose::Aside, "again", now).is_ok());
        assert_eq!(proxy.give_up(), ["again"]);
    }

    #[test]
    fn accounting_is_acknowledged_by_its_own_code() {
        let secret = Arc::new(secret());
        let mut proxy = Proxy::new(server(), secret.clone(), Port::Accounting);
        let told = [(attribute::ACCT_STATUS_TYPE, &1u32.to_be_bytes()[..])];
        let told = client::accounting_request(&told, 1, &secret).unwrap();
        let told = VerifiedAccounting::check(Packet::parse(&told).unwrap(), &secret).unwrap();
        let told = record(&told, [1; 8]).unwrap();
        let sent = proxy
            .ask(told, Purpose::Answer, (), Instant::now())
            .unwrap();
        let request = sent.datagram.to_vec();
        let answer = |code| {
            let request = Packet::parse(&request).unwrap();
            let answer = Builder::new(Vec::new(), code, request.identifier(), Signature::None);
            answer.sign_answer(request.authenticator(), &secret)
        };
        let accept = proxy.on_reply(0, server(), &answer(Code::AccessAccept));
        assert_eq!(accept.err(), Some(Ignored::WrongCode));
        let acknowledged = proxy.on_reply(0, server(), &answer(Code::AccountingResponse));
        assert!(acknowledged.is_ok());
    }

    fn given_proxy() -> Proxy<&'static str> {
        Proxy::new(server(), Arc::new(secret()), Port::Authentication)
    }

    fn ask(proxy: &mut Proxy<&'static str>, subject: &'static str, now: Instant) -> Vec<u8> {
        let sent = proxy.ask(outgoing(), Purpose::Answer, subject, now);
        sent.unwrap().datagram.to_vec()
    }

    fn outgoing() -> Outgoing {
        let asked = Login {
            user_name: b"jane",
            method: Method::Pap { password: b"x" },
            extra: &[],
            signature: Signature::MessageAuthenticator,
        };
        let router = Secret::new(b"router");
        let asked = client::access_request(&asked, 1, &[2; 16], &router).unwrap();
        let packet = Packet::parse(&asked).unwrap();
        let asked = VerifiedAccess::check(packet, &router, SigningPolicy::Require).unwrap();
        login(&asked, &router, &secret(), [9; 16], [1; 8]).unwrap()
    }

    fn accept(request: &[u8], signature: Signature, secret: &Secret) -> Vec<u8> {
        let request = Packet::parse(request).unwrap();
        let code = Code::AccessAccept;
        let mut answer = Builder::new(Vec::new(), code, request.identifier(), signature);
        answer.push_proxy_state(&request).unwrap();
        answer.sign_answer(request.authenticator(), secret)
    }

    fn server() -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 5], 1812))
    }

    fn secret() -> Secret {
        Secret::new(b"the old server's secret")
    }
}
