//! Damaged and random datagrams through every reader: none panics.

use proptest::prelude::*;

use super::{AUTHENTICATOR, SIGNED, given_login, methods, secret};
use crate::radius::mschap::MsChapV2Response;
use crate::radius::*;

/// Nothing that arrives makes the codec panic. Valid packets are damaged, signed again
/// where a signature would stop them at the door, and taken through every reader.
///
/// `EASYISP_MUTATIONS` sets how many (100,000 otherwise; ten million with `EASYISP_TEST_FULL`).
#[test]
fn no_datagram_makes_the_codec_panic() {
    let usual = match std::env::var_os("EASYISP_TEST_FULL") {
        Some(_) => 10_000_000,
        None => 100_000,
    };
    let count = std::env::var("EASYISP_MUTATIONS").map_or(usual, |count| {
        count.parse().expect("EASYISP_MUTATIONS is a number")
    });
    let (corpus, secret, known) = (corpus(), secret(), KnownPassword::new(b"secret"));
    let mut seed = Seed(0x9e37_79b9_7f4a_7c15);
    let mut reached = [0u32; 3];
    for round in 0..count {
        let mut datagram = corpus[seed.below(corpus.len())].clone();
        for _ in 0..=seed.below(4) {
            mutate(&mut datagram, &mut seed);
        }
        if round % 2 == 0 {
            sign_again(&mut datagram, &secret);
        }
        reached[consume(&datagram, &secret, &known)] += 1;
    }
    assert!(
        reached.iter().all(|times| *times > count / 50),
        "{reached:?}"
    );
}

proptest! {
    #[test]
    fn any_octets_are_read_or_refused(datagram in prop::collection::vec(any::<u8>(), 0..300)) {
        consume(&datagram, &secret(), &KnownPassword::new(b"x"));
    }
}

/// Takes a datagram as far as it goes: 0 no packet, 1 not authentic, 2 read.
fn consume(datagram: &[u8], secret: &Secret, known: &KnownPassword) -> usize {
    let Ok(packet) = Packet::parse(datagram) else {
        return 0;
    };
    let mut reached = 1;
    let policy = SigningPolicy::Learn { signs: false };
    if let Ok(verified) = VerifiedAccess::check(packet, secret, policy) {
        let request = AccessRequest::read(&verified);
        let _ = known.check(&request, secret);
        let accept = Accept {
            class: Some(request.user_name),
            ..Accept::default()
        };
        let _ = accept.encode(&verified, secret, Vec::new());
        reached = 2;
    }
    if let Ok(verified) = VerifiedAccounting::check(packet, secret) {
        let _ = AccountingRequest::read(&verified);
        let _ = accounting_response(&verified, secret, Vec::new());
        reached = 2;
    }
    let _ = VerifiedStatus::check(packet, secret);
    let _ = client::read_answer(datagram, datagram, secret);
    let _ = client::mppe_keys(&packet, packet.authenticator(), secret);
    for attribute in packet.attributes() {
        let _ = MsChapV2Response::parse(attribute.value, &[0; 16]);
    }
    reached
}

fn corpus() -> Vec<Vec<u8>> {
    let extra: [(u8, &[u8]); 8] = [
        (6, &[0, 0, 0, 2]),
        (31, b"AA:BB:CC:00:11:22"),
        (87, b"ether2"),
        (33, b"proxy"),
        (26, &[0, 0, 0x3a, 0x8c, 10, 6, 10, 0, 0, 1]),
        (60, b"a challenge"),
        (8, &[10, 5, 0, 7]),
        (79, b"eap"),
    ];
    let mut corpus: Vec<Vec<u8>> = methods(b"secret")
        .into_iter()
        .flat_map(|method| {
            [7, 8].map(|extras| given_login(b"jane", method, SIGNED, &extra[..extras]))
        })
        .collect();
    let counters = [42, 43, 46, 47, 48, 49, 52, 53, 55].map(|kind| (kind, &[0, 1, 2, 3][..]));
    let mut record: Vec<(u8, &[u8])> = vec![(40, &[0, 0, 0, 2]), (44, b"80100014"), (25, b"class")];
    record.extend(counters);
    record.extend(extra);
    corpus.push(client::accounting_request(&record, 1, &secret()).unwrap());
    corpus.push(client::status_server(1, &AUTHENTICATOR, &secret()));
    corpus
}

fn mutate(datagram: &mut Vec<u8>, seed: &mut Seed) {
    let at = seed
        .below(datagram.len().max(1))
        .min(datagram.len().saturating_sub(1));
    let octet = seed.next() as u8;
    match seed.below(6) {
        0 | 1 if !datagram.is_empty() => datagram[at] = octet,
        2 if !datagram.is_empty() => datagram[at] ^= 1 << (octet % 8),
        3 => datagram.truncate(at),
        4 => datagram.insert(at, octet),
        _ => datagram.extend_from_within(at..),
    }
}

/// Makes the length and authenticator of a damaged packet right again.
fn sign_again(datagram: &mut [u8], secret: &Secret) {
    if datagram.len() < 20 {
        return;
    }
    let length = datagram.len() as u16;
    datagram[2..4].copy_from_slice(&length.to_be_bytes());
    if datagram[0] == Code::AccountingRequest as u8 {
        let digest = secret.md5_suffixed(&[&datagram[..4], &[0; 16], &datagram[20..]]);
        datagram[4..20].copy_from_slice(&digest);
    } else if datagram.len() >= 38 && datagram[20..22] == [80, 18] {
        datagram[22..38].fill(0);
        let mac = secret.hmac(&[datagram]);
        datagram[22..38].copy_from_slice(&mac);
    }
}

/// xorshift64: the same damage in every run.
struct Seed(u64);

impl Seed {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
