//! Conversations with a peer of our own making, honest and damaged.
#![expect(clippy::unwrap_used, reason = "tests")]

mod mutations;
mod peer;

use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::RouterId;
use easyisp_shared::time::Clock;
use rustls::ServerConfig;
use uuid::Uuid;

use super::authority::Authority;
use super::certificate::TunnelCertificate;
use super::conversation::First;
use super::conversations::{KEPT_FOR, Taken};
use super::*;
use crate::radius::KnownPassword;
use peer::{Inner, Peer};

/// What conversations of a test share.
struct Stage {
    entropy: Entropy,
    authority: Arc<Authority>,
    tls: Arc<ServerConfig>,
    mtu: usize,
}

/// How a conversation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    Success(Vec<u8>),
    Failure,
    Unfinished,
}

impl Stage {
    fn new() -> Stage {
        let entropy = Entropy::system();
        // The peer's own clock is the system's.
        let now = Clock::system().now();
        let folder = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::open(folder.path(), now, &entropy).unwrap());
        let tls = TunnelCertificate::new(authority.clone())
            .config(now)
            .unwrap();
        Stage {
            entropy,
            authority,
            tls,
            mtu: 1024,
        }
    }

    /// Talks until the end; what was denied on the way, how it ended, and our and the peer's keys.
    fn talk(&self, peer: &mut Peer) -> (Option<Denied>, End, Option<Success>) {
        let passwords = |name: &[u8]| (name == b"jane").then(|| KnownPassword::new(b"secret"));
        let world = World {
            passwords: &passwords,
            entropy: &self.entropy,
            tls: Some(&self.tls),
            first: First::Tunnel,
            mtu: self.mtu,
        };
        let identity = packet::response(1, b"\x01anybody");
        let identity = Response::parse(&identity).unwrap();
        let (mut conversation, mut request) = Conversation::begin(&identity, &world).unwrap();
        let mut denied = None;
        for _ in 0..100 {
            let Some(answer) = peer.answer(&request) else {
                return (denied, End::Unfinished, None);
            };
            let Some(response) = Response::parse(&answer) else {
                return (denied, End::Unfinished, None);
            };
            let turn = conversation.on_response(&response, &world);
            denied = denied.or(turn.denied);
            match turn.reply {
                Reply::Ask(next) => request = next,
                Reply::Silence => return (denied, End::Unfinished, None),
                Reply::Failure => return (denied, End::Failure, None),
                Reply::Success(success) => {
                    return (denied, End::Success(success.name.clone()), Some(*success));
                }
            }
        }
        panic!("a conversation goes on for ever");
    }
}

#[test]
fn every_method_ends_in_success_with_the_same_keys_on_both_sides() {
    let stage = Stage::new();
    for inner in Inner::ALL {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let mut peer = Peer::new(&stage.authority, inner, version, b"jane", b"secret");
            let (denied, end, success) = stage.talk(&mut peer);
            assert_eq!(end, End::Success(b"jane".to_vec()), "{inner:?} {version:?}");
            assert_eq!(denied, None);
            let keys = success.unwrap().keys;
            if let Some(expected) = peer.keys() {
                assert_eq!([keys.recv(), keys.send()].concat(), expected, "{inner:?}");
            }
        }
    }
}

#[test]
fn a_wrong_password_and_an_unknown_name_end_in_failure_and_are_told_once() {
    let stage = Stage::new();
    for inner in Inner::ALL {
        for (name, password) in [(b"jane", b"wrong!"), (b"paul", b"secret")] {
            let version = &rustls::version::TLS12;
            let mut peer = Peer::new(&stage.authority, inner, version, name, password);
            let (denied, end, _) = stage.talk(&mut peer);
            assert_eq!(end, End::Failure, "{inner:?}");
            let name = name.to_vec();
            assert_eq!(denied, Some(Denied { name }), "{inner:?}");
        }
    }
}

/// A line that takes little: dozens of fragments in our direction, and a few in the peer's.
#[test]
fn narrow_lines_carry_tunnels_in_pieces() {
    let stage = Stage {
        mtu: 128,
        ..Stage::new()
    };
    let version = &rustls::version::TLS13;
    for inner in [Inner::Peap, Inner::TtlsPap] {
        let mut peer = Peer::new(&stage.authority, inner, version, b"jane", b"secret");
        peer.mtu = 100;
        let (_, end, _) = stage.talk(&mut peer);
        assert_eq!(end, End::Success(b"jane".to_vec()), "{inner:?}");
    }
}

#[test]
fn a_peer_chooses_once_among_what_is_left() {
    let stage = Stage::new();
    let passwords = |_: &[u8]| None;
    let world = World {
        passwords: &passwords,
        entropy: &stage.entropy,
        tls: Some(&stage.tls),
        first: First::Tunnel,
        mtu: 1024,
    };
    let identity = packet::response(7, b"\x01jane");
    let identity = Response::parse(&identity).unwrap();
    let begin = || Conversation::begin(&identity, &world).unwrap();
    let answer = |conversation: &mut Conversation, identifier, body: &[u8]| {
        let response = packet::response(identifier, body);
        conversation
            .on_response(&Response::parse(&response).unwrap(), &world)
            .reply
    };

    let (mut conversation, request) = begin();
    assert_eq!(request[1..2], [8]);
    assert_eq!(request[4], Kind::Peap as u8);
    let reply = answer(&mut conversation, 8, &[3, 4, 25, 26, 21]);
    assert!(matches!(reply, Reply::Ask(body) if body[4] == Kind::MsChapV2 as u8));
    let late = answer(&mut conversation, 8, &[3, 21]);
    assert!(
        matches!(late, Reply::Silence),
        "an old packet changes nothing"
    );
    let reply = answer(&mut conversation, 9, &[3, 25, 26]);
    assert!(
        matches!(reply, Reply::Failure),
        "all that is left was offered"
    );

    let (mut conversation, _) = begin();
    let reply = answer(&mut conversation, 8, &[3, 0]);
    assert!(
        matches!(reply, Reply::Failure),
        "the peer wants none of ours"
    );

    let plain = World {
        first: First::Plain,
        ..world
    };
    let (_, request) = Conversation::begin(&identity, &plain).unwrap();
    assert_eq!(request[4], Kind::MsChapV2 as u8);
}

#[test]
fn a_state_is_one_routers_for_thirty_seconds() {
    let stage = Stage::new();
    let (one, other) = (router(1), router(2));
    let mut held = Conversations::new(10, 5);
    held.begin([1; 16], one, stage.waiting(), Duration::ZERO);

    let later = KEPT_FOR - Duration::from_millis(1);
    assert!(matches!(held.take(&[1; 16], other, later), Taken::Unknown));
    assert!(matches!(held.take(&[1; 15], one, later), Taken::Unknown));
    let Taken::Conversation(taken) = held.take(&[1; 16], one, later) else {
        panic!("it waits");
    };
    assert!(matches!(held.take(&[1; 16], one, later), Taken::Busy));
    held.put_back(&[1; 16], taken);
    assert!(matches!(
        held.take(&[1; 16], one, later + KEPT_FOR),
        Taken::Unknown
    ));
    assert!(held.is_empty());
}

/// Half-open conversations are what an attacker with a switch port makes most of.
#[test]
fn the_longest_unheard_gives_way_and_a_loud_router_to_itself() {
    let stage = Stage::new();
    let (quiet, loud) = (router(1), router(2));
    let mut held = Conversations::new(10, 5);
    held.begin([0; 16], quiet, stage.waiting(), Duration::ZERO);
    for number in 1..=200u8 {
        let now = Duration::from_millis(u64::from(number));
        held.begin([number; 16], loud, stage.waiting(), now);
        assert!(held.len() <= 6);
    }
    let now = Duration::from_secs(1);
    assert!(matches!(
        held.take(&[0; 16], quiet, now),
        Taken::Conversation(_)
    ));
    assert!(matches!(
        held.take(&[200; 16], loud, now),
        Taken::Conversation(_)
    ));
    assert!(matches!(held.take(&[195; 16], loud, now), Taken::Unknown));
    for number in 1..=100u8 {
        held.begin([number; 16], router(number.into()), stage.waiting(), now);
        assert!(held.len() <= 10);
    }
}

impl Stage {
    fn waiting(&self) -> Box<Conversation> {
        let world = World {
            passwords: &|_| None,
            entropy: &self.entropy,
            tls: None,
            first: First::Tunnel,
            mtu: 1024,
        };
        let identity = packet::response(7, b"\x01jane");
        let identity = Response::parse(&identity).unwrap();
        Box::new(Conversation::begin(&identity, &world).unwrap().0)
    }
}

fn router(number: u128) -> RouterId {
    RouterId(Uuid::from_u128(number))
}
