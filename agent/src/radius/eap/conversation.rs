//! One login by EAP as a machine: the peer's packets in, ours out (RFC 4137 without its sub-machines).

use std::sync::Arc;

use easyisp_shared::entropy::Entropy;
use rustls::ServerConfig;

use super::mschap::MsChap;
use super::peap::Peap;
use super::ttls::Ttls;
use super::{Keys, Kind, Response, Success, packet};
use crate::radius::KnownPassword;

/// A conversation that waits for the answer to its last request.
pub struct Conversation {
    /// Of that request.
    identifier: u8,
    method: Method,
    /// The methods offered so far; a peer cannot ask for one again.
    offered: Vec<Kind>,
    /// Whether the peer has not yet taken the last offer.
    fresh: bool,
    requests: u8,
}

/// What a conversation works with.
pub struct World<'a> {
    /// The password that belongs to a name.
    pub passwords: &'a dyn Fn(&[u8]) -> Option<KnownPassword>,
    /// Challenges.
    pub entropy: &'a Entropy,
    /// The certificate and ciphers of tunnels; `None` when this agent offers none.
    pub tls: Option<&'a Arc<ServerConfig>>,
    /// Which method is offered first.
    pub first: First,
    /// The largest EAP packet the line takes.
    pub mtu: usize,
}

/// Which method is offered first; the peer may ask for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// PEAP: name and password travel over the air in a tunnel.
    Tunnel,
    /// EAP-MSCHAPv2: IKEv2 is a tunnel already, and its clients know few methods.
    Plain,
}

/// What came of a packet.
#[derive(Debug)]
pub struct Turn {
    /// What is sent.
    pub reply: Reply,
    /// Set once, when a password turned out to be wrong; the conversation may go on to tell the peer.
    pub denied: Option<Denied>,
}

/// What is sent.
#[derive(Debug)]
pub enum Reply {
    /// This EAP-Request; the conversation goes on.
    Ask(Vec<u8>),
    /// The conversation is over and the peer is who he says.
    Success(Box<Success>),
    /// The conversation is over.
    Failure,
    /// Nothing: the packet belongs to another moment, and the conversation waits on.
    Silence,
}

/// A password was wrong, or a name unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Whose.
    pub name: Vec<u8>,
}

/// What a method makes of a response.
pub(super) enum Step {
    /// Ask this: a request's type and data.
    Ask(Vec<u8>),
    /// The password is wrong; this tells the peer.
    Deny(Vec<u8>, Denied),
    /// The peer is who he says.
    Proven { name: Vec<u8>, keys: Keys },
    /// It is over.
    Fail(Option<Denied>),
}

enum Method {
    MsChapV2(MsChap),
    Peap(Box<Peap>),
    Ttls(Box<Ttls>),
}

impl Conversation {
    /// Begins after an EAP-Response/Identity; `None` when no method can be offered to the peer.
    pub fn begin(identity: &Response<'_>, world: &World<'_>) -> Option<(Conversation, Vec<u8>)> {
        if Kind::from_number(identity.kind) != Some(Kind::Identity) {
            return None;
        }
        let first = match (world.first, world.tls) {
            (First::Tunnel, Some(_)) => Kind::Peap,
            (First::Tunnel, None) | (First::Plain, _) => Kind::MsChapV2,
        };
        let (method, body) = Method::begin(first, world)?;
        let identifier = identity.identifier.wrapping_add(1);
        let conversation = Conversation {
            identifier,
            method,
            offered: vec![first],
            fresh: true,
            requests: 1,
        };
        Some((conversation, packet::request(identifier, &body)))
    }

    /// Takes the peer's next packet.
    pub fn on_response(&mut self, response: &Response<'_>, world: &World<'_>) -> Turn {
        if response.identifier != self.identifier {
            return Turn::of(Reply::Silence); // RFC 3748 §4.1
        }
        let kind = Kind::from_number(response.kind);
        if kind == Some(Kind::Nak) && self.fresh {
            return self.offer_another(response.data, world);
        }
        if kind != Some(self.method.kind()) {
            return Turn::of(Reply::Failure);
        }
        self.fresh = false;
        let next = self.identifier.wrapping_add(1);
        match self.method.on_response(response.data, next, world) {
            Step::Ask(body) => self.ask(&body, None),
            Step::Deny(body, denied) => self.ask(&body, Some(denied)),
            Step::Proven { name, keys } => Turn::of(Reply::Success(Box::new(Success {
                identifier: response.identifier,
                name,
                keys,
            }))),
            Step::Fail(denied) => Turn {
                reply: Reply::Failure,
                denied,
            },
        }
    }

    /// The peer's first choice among what we have and have not offered (RFC 3748 §5.3.1).
    fn offer_another(&mut self, wanted: &[u8], world: &World<'_>) -> Turn {
        let another = wanted
            .iter()
            .filter_map(|number| Kind::from_number(*number))
            .filter(|kind| !self.offered.contains(kind))
            .find_map(|kind| Some((kind, Method::begin(kind, world)?)));
        let Some((kind, (method, body))) = another else {
            return Turn::of(Reply::Failure);
        };
        self.offered.push(kind);
        self.method = method;
        self.ask(&body, None)
    }

    fn ask(&mut self, body: &[u8], denied: Option<Denied>) -> Turn {
        self.requests += 1;
        let reply = if self.requests > MOST_REQUESTS {
            Reply::Failure
        } else {
            self.identifier = self.identifier.wrapping_add(1);
            Reply::Ask(packet::request(self.identifier, body))
        };
        Turn { reply, denied }
    }
}

impl Turn {
    fn of(reply: Reply) -> Turn {
        Turn {
            reply,
            denied: None,
        }
    }
}

impl Method {
    /// A new run and its first request; `None` for what is no method, or a tunnel where there is none.
    fn begin(kind: Kind, world: &World<'_>) -> Option<(Method, Vec<u8>)> {
        match kind {
            Kind::MsChapV2 => {
                let (method, body) = MsChap::begin(world);
                Some((Method::MsChapV2(method), body))
            }
            Kind::Peap => {
                let (method, body) = Peap::begin(world.tls?, world.mtu)?;
                Some((Method::Peap(Box::new(method)), body))
            }
            Kind::Ttls => {
                let (method, body) = Ttls::begin(world.tls?, world.mtu)?;
                Some((Method::Ttls(Box::new(method)), body))
            }
            Kind::Identity | Kind::Nak | Kind::Tlv => None,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Method::MsChapV2(_) => Kind::MsChapV2,
            Method::Peap(_) => Kind::Peap,
            Method::Ttls(_) => Kind::Ttls,
        }
    }

    /// `next` is the identifier of the request that follows.
    fn on_response(&mut self, data: &[u8], next: u8, world: &World<'_>) -> Step {
        match self {
            Method::MsChapV2(method) => method.on_response(data, world),
            Method::Peap(method) => method.on_response(data, next, world),
            Method::Ttls(method) => method.on_response(data, world),
        }
    }
}

impl World<'_> {
    /// The password of a name; an unknown one gets one that nobody has, and takes as long.
    pub(super) fn password_of(&self, name: &[u8]) -> KnownPassword {
        (self.passwords)(name).unwrap_or_else(|| {
            let nobody: [u8; 16] = self.entropy.bytes();
            KnownPassword::new(&nobody)
        })
    }
}

/// A tunnel with a long chain of certificates takes some twenty; more is a peer that plays.
const MOST_REQUESTS: u8 = 50;
