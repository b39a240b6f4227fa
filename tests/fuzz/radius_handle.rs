//! A sender who knows the secret and says anything: signed, sent to a site's core, and answered or not.
//!
//! The input is code, identifier and attributes; what a fuzzer cannot guess (length, authenticator,
//! Message-Authenticator, a password's hiding) is put in.
#![no_main]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, OnceLock};

use easyisp_agent::core::{Core, CoreOptions};
use easyisp_agent::local::Load;
use easyisp_agent::radius::builder::{Builder, Signature};
use easyisp_agent::radius::dictionary::attribute;
use easyisp_agent::radius::{Code, Heard, Packet, Secret, pap};
use easyisp_agent::site::description::Description;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::{Clock, Timestamp};
use libfuzzer_sys::fuzz_target;

struct Given {
    core: Core,
    clock: Clock,
    heard: Heard,
    _folder: tempfile::TempDir,
}

fn given() -> &'static Given {
    static GIVEN: OnceLock<Given> = OnceLock::new();
    GIVEN.get_or_init(|| {
        let text = include_str!("site.json");
        let described: Description = serde_json::from_str(text).expect("a description");
        let key = SealKey::new([1; 32]);
        let entropy = Entropy::seeded(1);
        let rows = described.rows(&key, &entropy, 1);
        let clock = Clock::test(Timestamp::from_secs(1_800_000_000));
        let folder = tempfile::tempdir().expect("a folder");
        let core = Core::open(CoreOptions {
            data_dir: folder.path().to_owned(),
            ranges: Vec::new(),
            adopts: true,
            clock: clock.clone(),
            entropy,
            key,
            agent: None,
            load: Load { rows },
        });
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        Given {
            core: core.expect("an open site"),
            clock,
            heard: Heard::new(Arc::new(socket), None),
            _folder: folder,
        }
    })
}

fuzz_target!(|octets: &[u8]| {
    let [code, identifier, rest @ ..] = octets else {
        return;
    };
    let given = given();
    given.clock.advance(std::time::Duration::from_millis(100));
    let secret = Secret::new(b"demo-secret");
    let code = match code % 4 {
        0 | 1 => Code::AccessRequest,
        2 => Code::AccountingRequest,
        _ => Code::StatusServer,
    };
    let authenticator = [*identifier; 16];
    let mut packet = Builder::new(
        Vec::new(),
        code,
        *identifier,
        Signature::MessageAuthenticator,
    );
    let mut rest = rest;
    while let [kind, length, more @ ..] = rest {
        let (value, after) = more.split_at(usize::from(*length).min(more.len()));
        rest = after;
        // A password that fits what is typed is the way behind the first door.
        let hidden = match *kind {
            attribute::USER_PASSWORD => pap::hide(value, &authenticator, &secret).ok(),
            _ => None,
        };
        let _too_long = packet.push(*kind, hidden.as_deref().unwrap_or(value));
    }
    let datagram = match code {
        Code::AccountingRequest => packet.sign_request(&secret),
        _ => packet.sign_access(&authenticator, &secret),
    };
    let source = SocketAddr::from((Ipv4Addr::LOCALHOST, 9)); // discard: answers go nowhere
    let radius = &given.core.radius;
    let answer = match code {
        Code::AccountingRequest => radius.on_accounting_port(source, &datagram, &given.heard),
        _ => radius.on_access_port(source, &datagram, &given.heard),
    };
    if let Some(answer) = answer {
        Packet::parse(&answer).expect("we answer with packets");
    }
});
