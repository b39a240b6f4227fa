//! Damaged conversations: no panic, an end to every one, and nobody gets in who should not.

use super::peer::{Inner, Peer};
use super::*;

/// Damages what a supplicant sends, outside its tunnel and inside, at any moment of a conversation.
///
/// `EASYISP_TEST_FULL` sets 100,000 conversations; 2,000 otherwise.
#[test]
fn no_damaged_conversation_panics_or_lets_a_stranger_in() {
    let count = match std::env::var_os("EASYISP_TEST_FULL") {
        Some(_) => 100_000,
        None => 2_000,
    };
    let stage = Stage::new();
    let random = Entropy::seeded(5);
    let mut ends = [0u32; 3];
    for _ in 0..count {
        let inner = Inner::ALL[random.below(4) as usize];
        let version = match random.below(2) {
            0 => &rustls::version::TLS12,
            _ => &rustls::version::TLS13,
        };
        let password: &[u8] = if random.below(2) == 0 {
            b"secret"
        } else {
            b"wrong!"
        };
        let peer = Peer::new(&stage.authority, inner, version, b"jane", password);
        let end = stage.talk_damaged(peer, &random);
        if password == b"wrong!" {
            assert_ne!(end, End::Success(b"jane".to_vec()), "{inner:?}");
        }
        ends[match end {
            End::Success(_) => 0,
            End::Failure => 1,
            End::Unfinished => 2,
        }] += 1;
    }
    assert!(ends.iter().all(|end| *end > count / 100), "{ends:?}");
}

impl Stage {
    /// One honest conversation in which a few packets are damaged, lost or said twice.
    fn talk_damaged(&self, mut peer: Peer, random: &Entropy) -> End {
        let passwords = |name: &[u8]| (name == b"jane").then(|| KnownPassword::new(b"secret"));
        let world = World {
            passwords: &passwords,
            entropy: &self.entropy,
            tls: Some(&self.tls),
            first: if random.below(2) == 0 {
                First::Tunnel
            } else {
                First::Plain
            },
            mtu: 100 + random.below(900) as usize,
        };
        if random.below(3) == 0 {
            let random = random.clone();
            peer.damage = Some(Box::new(move |said| {
                if random.below(2) == 0 {
                    damage(said, &random);
                }
            }));
        }
        peer.mtu = 50 + random.below(900) as usize;
        let odds = 2 + random.below(12);
        let identity = packet::response(1, b"\x01anybody");
        let identity = Response::parse(&identity).unwrap();
        let (mut conversation, mut request) = Conversation::begin(&identity, &world).unwrap();
        for _ in 0..120 {
            let Some(mut answer) = peer.answer(&request) else {
                return End::Unfinished;
            };
            if random.below(odds) == 0 {
                damage(&mut answer, random);
            }
            let Some(response) = Response::parse(&answer) else {
                return End::Unfinished;
            };
            match conversation.on_response(&response, &world).reply {
                Reply::Ask(next) => request = next,
                Reply::Silence => return End::Unfinished,
                Reply::Failure => return End::Failure,
                Reply::Success(success) => return End::Success(success.name),
            }
        }
        panic!("a conversation goes on for ever");
    }
}

/// One change beyond the identifier, which alone would only be silence; the length is put right.
fn damage(octets: &mut Vec<u8>, random: &Entropy) {
    let at = random.below(octets.len().max(1) as u64) as usize;
    let octet = random.bytes::<1>()[0];
    match random.below(6) {
        0 | 1 if !octets.is_empty() => octets[at] = octet,
        2 if !octets.is_empty() => octets[at] ^= 1 << (octet % 8),
        3 => octets.truncate(at),
        4 => octets.insert(at, octet),
        _ => octets.extend_from_within(at..),
    }
    if octets.len() >= 4 && random.below(4) != 0 {
        let length = (octets.len() as u16).to_be_bytes();
        octets[2..4].copy_from_slice(&length);
    }
}
