//! Between RADIUS and a conversation: State, EAP-Message, and the decision at the end.

use std::sync::{Arc, MutexGuard, PoisonError};

use easyisp_shared::wire::up::LoginOutcome;

use super::Success;
use super::conversation::{Conversation, First, Reply, World};
use super::conversations::{Conversations, Taken};
use super::packet::{self, Kind, Response, collect};
use crate::radius::dictionary::NAS_PORT_TYPE_VIRTUAL;
use crate::radius::driver::{Known, Radius, mac};
use crate::radius::later::Later;
use crate::radius::password::Authenticated;
use crate::radius::verify::VerifiedAccess;
use crate::radius::{AccessRequest, Challenge};
use crate::site::Subscriber;

impl Radius {
    /// Takes a packet of an EAP login; `None` is silence.
    pub(in crate::radius) fn converse(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        later: &Later<'_>,
    ) -> Option<Vec<u8>> {
        let message = collect(known.packet.packet());
        if message.is_empty() && request.state.is_none() {
            // EAP-Start: the first question is left to us (RFC 3579 §2.1). Its answer begins the conversation.
            let who = packet::request(FIRST_IDENTIFIER, &[Kind::Identity as u8]);
            return challenge(known, &[], &who);
        }
        let Some(response) = Response::parse(&message) else {
            self.parts.counters.count("malformed_eap");
            return None;
        };
        // Not in the answer alone: what the tunnel says of a right password must not be said either.
        let passwords = |name: &[u8]| {
            let subscriber = self.who(name)?;
            let barred = self.is_barred(request, name, Some(&subscriber));
            subscriber.password.clone().filter(|_| !barred)
        };
        let tunnels = self.parts.tunnels.as_ref();
        let tls = tunnels.and_then(|tunnels| tunnels.config(self.parts.clock.now()));
        let world = World {
            passwords: &passwords,
            entropy: &self.parts.entropy,
            tls: tls.as_ref(),
            first: first(request),
            mtu: mtu(request),
        };
        match request.state {
            None => self.begin_conversation(known, request, &response, &world),
            Some(state) => self.go_on(known, request, state, &response, &world, later),
        }
    }

    fn begin_conversation(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        identity: &Response<'_>,
        world: &World<'_>,
    ) -> Option<Vec<u8>> {
        let Some((conversation, eap)) = Conversation::begin(identity, world) else {
            return self.reject(known, request, None, &self.random());
        };
        let state: [u8; 16] = self.pool.take(&self.parts.entropy);
        let now = self.parts.clock.monotonic();
        self.conversations()
            .begin(state, known.router.id, Box::new(conversation), now);
        challenge(known, &state, &eap)
    }

    fn go_on(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        state: &[u8],
        response: &Response<'_>,
        world: &World<'_>,
        later: &Later<'_>,
    ) -> Option<Vec<u8>> {
        let now = self.parts.clock.monotonic();
        let taken = self.conversations().take(state, known.router.id, now);
        let mut conversation = match taken {
            Taken::Conversation(conversation) => conversation,
            Taken::Busy => return None,
            Taken::Unknown => {
                self.parts.counters.count("unknown_eap_state");
                return self.reject(known, request, None, &self.random());
            }
        };
        let turn = conversation.on_response(response, world);
        if let Some(denied) = turn.denied {
            self.note_denied(known, request, &denied.name, later);
        }
        match turn.reply {
            Reply::Ask(eap) => {
                self.conversations().put_back(state, conversation);
                challenge(known, state, &eap)
            }
            Reply::Silence => {
                self.conversations().put_back(state, conversation);
                None
            }
            Reply::Failure => {
                self.conversations().remove(state);
                self.reject(known, request, None, &self.random())
            }
            Reply::Success(success) => {
                self.conversations().remove(state);
                self.let_in_by_eap(known, request, success)
            }
        }
    }

    /// From here on it is a login like any other, of the name that was proved.
    fn let_in_by_eap(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        success: Box<Success>,
    ) -> Option<Vec<u8>> {
        let random = self.random();
        let Some(subscriber) = self.who(&success.name) else {
            return self.reject(known, request, None, &random);
        };
        let inner = AccessRequest {
            user_name: &subscriber.username,
            ..request.clone()
        };
        if let Some(device) = mac(request.station.calling) {
            self.bind_beside(known, &subscriber, device);
        }
        let authenticated = Authenticated::Eap(success);
        self.let_in(known, &inner, &subscriber, &authenticated, &random)
    }

    fn note_denied(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        name: &[u8],
        later: &Later<'_>,
    ) {
        let subscriber = self.who(name);
        let barred = self.is_barred(request, name, subscriber.as_deref());
        let outcome = match (barred, &subscriber) {
            (true, _) => LoginOutcome::TooManyTries,
            (false, Some(_)) => LoginOutcome::WrongPassword,
            (false, None) => LoginOutcome::UnknownUser,
        };
        self.failed(request, name, subscriber.as_deref(), barred, later);
        let inner = AccessRequest {
            user_name: name,
            ..request.clone()
        };
        let (device, now) = (mac(request.station.calling), self.parts.clock.now());
        self.log_login(known, &inner, subscriber.as_deref(), device, outcome, now);
    }

    /// A name as typed, or without the domain that Windows puts before it.
    pub(in crate::radius) fn who(&self, name: &[u8]) -> Option<Arc<Subscriber>> {
        let site = &self.parts.site;
        site.subscriber(name).or_else(|| {
            let at = name.iter().position(|octet| *octet == b'\\')?;
            site.subscriber(&name[at + 1..])
        })
    }

    /// Whether a State is of a conversation that goes on here.
    pub(in crate::radius) fn is_own_conversation(&self, state: &[u8]) -> bool {
        self.conversations().holds(state)
    }

    fn conversations(&self) -> MutexGuard<'_, Conversations> {
        let held = self.conversations.lock();
        held.unwrap_or_else(PoisonError::into_inner)
    }
}

fn challenge(known: &Known<VerifiedAccess<'_>>, state: &[u8], eap: &[u8]) -> Option<Vec<u8>> {
    let challenge = Challenge { state, eap };
    challenge
        .encode(&known.packet, &known.secret, Vec::with_capacity(1500))
        .ok()
}

fn first(request: &AccessRequest<'_>) -> First {
    match request.station.nas_port_type {
        Some(NAS_PORT_TYPE_VIRTUAL) => First::Plain,
        Some(_) | None => First::Tunnel,
    }
}

/// What the line takes (RFC 3579 §2.4), within what is sensible.
fn mtu(request: &AccessRequest<'_>) -> usize {
    let line = request.framed_mtu.unwrap_or(MOST_AT_ONCE);
    line.clamp(LEAST_AT_ONCE, MOST_AT_ONCE) as usize
}

/// With everything around it still one datagram on any path, and our certificates are one packet.
const MOST_AT_ONCE: u32 = 1200;
const LEAST_AT_ONCE: u32 = 128;
const FIRST_IDENTIFIER: u8 = 0;
