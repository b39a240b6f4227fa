//! A login whose answer waits: for the disk, because it spends something, for the cloud, because the
//! voucher is held elsewhere, or for the router's old server, which answers whom we do not know. The request
//! is kept as it came and decided again once the wait is over.
//! A reject that waits because of many failures before it is decided already (see `held`).

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::id::RouterId;
use easyisp_shared::wire::question::AskFailure;

use super::driver::{Known, Radius, slot};
use super::heard::Heard;
use super::held::Answer;
use super::reply_cache::Slot;
use super::shadow::OldAnswer;
use super::verify::{SigningPolicy, VerifiedAccess};
use super::{Packet, Port, Secret};
use crate::site::{Fate, Resume, Router};

/// What a login learnt while it waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Learnt {
    /// Nothing: it is decided for the first time.
    Nothing,
    /// What became of the first use it waited for.
    Fate(Fate),
    /// What the cloud said to a code that is not held here.
    Cloud(Result<(), AskFailure>),
    /// What the router's old server said.
    Old(Arc<OldAnswer>),
    /// That it said nothing.
    OldSilent,
}

/// Decides a kept request again.
pub(super) type Again = Box<dyn FnOnce(Learnt) + std::marker::Send>;

/// Sends an answer over the connection its request came by; whether it could be sent.
pub(super) type Send = Box<dyn FnOnce(&[u8]) -> bool + std::marker::Send>;

/// How to answer a login later.
pub(super) struct Later<'a> {
    pub(super) radius: &'a Arc<Radius>,
    pub(super) learnt: Learnt,
    /// Keeps the request; called only where the answer waits.
    keep: &'a dyn Fn() -> Again,
    /// The way back to who asked, where it is still to be had.
    send: &'a dyn Fn() -> Option<Send>,
    waits: Cell<bool>,
    held_for: Cell<Option<Duration>>,
}

impl<'a> Later<'a> {
    pub(super) fn new(
        radius: &'a Arc<Radius>,
        learnt: Learnt,
        keep: &'a dyn Fn() -> Again,
        send: &'a dyn Fn() -> Option<Send>,
    ) -> Later<'a> {
        Later {
            radius,
            learnt,
            keep,
            send,
            waits: Cell::new(false),
            held_for: Cell::new(None),
        }
    }

    /// Whether the answer comes later: the reply slot stays open, so that copies are dropped meanwhile.
    pub(super) fn waits(&self) -> bool {
        self.waits.get()
    }

    /// Decides the same request again, with what was learnt.
    pub(super) fn again(&self) -> Again {
        self.waits.set(true);
        (self.keep)()
    }

    /// The same for who waits for the disk.
    pub(super) fn resume(&self) -> Resume {
        let again = self.again();
        Box::new(move |fate| again(Learnt::Fate(fate)))
    }

    /// The answer is sent after this time.
    pub(super) fn hold(&self, time: Duration) {
        self.held_for.set(Some(time));
    }

    /// The answer does not wait after all.
    pub(super) fn at_once(&self) {
        self.waits.set(false);
    }
}

impl Radius {
    /// Keeps a datagram until its answer can be decided. It is then decided on the thread that ended
    /// the wait.
    pub(super) fn again_by_socket(
        self: &Arc<Self>,
        source: SocketAddr,
        datagram: &[u8],
        heard: &Heard,
    ) -> Again {
        let (radius, heard) = (self.clone(), heard.clone());
        let datagram: Box<[u8]> = datagram.into();
        Box::new(move |learnt| {
            let Some(packet) = radius.parse(&datagram) else {
                return;
            };
            let check = |router: &Router, secret: &Secret| {
                VerifiedAccess::check(packet, secret, router.signing_policy(source.ip()))
            };
            let Some(known) = radius.identify(source.ip(), &packet, check) else {
                return;
            };
            let slot = slot(source, Port::Authentication, &packet);
            let again = || radius.again_by_socket(source, &datagram, &heard);
            let send = || Some(send_by_socket(source, &heard));
            let later = Later::new(&radius, learnt, &again, &send);
            if let Some(reply) = radius.answer(&known, slot, &packet, &later) {
                let _lost = heard.send_to(&reply, source);
            }
        })
    }

    /// The same for a request that came over a router's own connection.
    pub(super) fn again_by_stream(
        self: &Arc<Self>,
        router: RouterId,
        source: SocketAddr,
        octets: &[u8],
        send: Option<Send>,
    ) -> Again {
        let radius = self.clone();
        let octets: Box<[u8]> = octets.into();
        Box::new(move |learnt| {
            let packet = radius.parse(&octets);
            let (Some(packet), Some(router)) = (packet, radius.parts.site.router(router)) else {
                return;
            };
            let secret = radius.stream_secret.clone();
            let checked = VerifiedAccess::check(packet, &secret, SigningPolicy::Protected);
            let Ok(verified) = checked else {
                return;
            };
            let known = Known {
                router,
                secret,
                packet: verified,
            };
            let slot = slot(source, Port::Authentication, &packet);
            let send = Cell::new(send);
            let id = known.router.id;
            let again = || radius.again_by_stream(id, source, &octets, send.take());
            let take = || send.take();
            let later = Later::new(&radius, learnt, &again, &take);
            let reply = radius.answer(&known, slot, &packet, &later);
            if let (Some(reply), Some(send)) = (reply, send.take()) {
                let _lost = send(&reply);
            }
        })
    }

    /// Decides a login and settles its reply slot, unless the answer waits.
    pub(super) fn answer(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        slot: Slot,
        packet: &Packet<'_>,
        later: &Later<'_>,
    ) -> Option<Arc<[u8]>> {
        let reply = self.log_in(known, later);
        if later.waits() {
            return None;
        }
        let Some(reply) = reply else {
            self.replies(slot).abandon(slot, packet.authenticator());
            return None;
        };
        let reply: Arc<[u8]> = reply.into();
        let wait = later.held_for.get();
        if let Some((wait, send)) = wait.and_then(|wait| Some((wait, (later.send)()?))) {
            let answer = Answer {
                slot,
                authenticator: *packet.authenticator(),
                octets: reply,
                send,
            };
            if let Err(answer) = self.held.keep(wait, answer) {
                self.parts.counters.count("reject_not_held");
                self.send_answer(answer);
            }
            return None;
        }
        self.replies(slot)
            .finish(slot, packet.authenticator(), reply.clone());
        self.compare_aside(known, &reply, later);
        Some(reply)
    }
}

/// The way back to who sent a datagram.
pub(super) fn send_by_socket(source: SocketAddr, heard: &Heard) -> Send {
    let heard = heard.clone();
    Box::new(move |octets| heard.send_to(octets, source))
}
