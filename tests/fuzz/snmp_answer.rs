//! Any octets as a device's answer: read in both versions, walked on with, and taken for what they say.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use easyisp_agent::snmp::pdu::{Pdu, id_of};
use easyisp_agent::snmp::session::{Heard, User};
use easyisp_agent::snmp::usm::{Auth, Envelope, Privacy};
use easyisp_agent::snmp::walk::Walk;
use easyisp_agent::snmp::{Access, Session, reading};
use libfuzzer_sys::fuzz_target;

/// A password becomes a key in a megabyte of digests: once is enough.
static USER: LazyLock<Arc<Access>> = LazyLock::new(|| {
    let auth = (Auth::Md5, b"auth-password".as_slice());
    let privacy = (Privacy::Aes128, b"priv-password".as_slice());
    Arc::new(Access::User(User::new(b"user", Some(auth), Some(privacy))))
});

fuzz_target!(|octets: &[u8]| {
    let id = id_of(octets);
    let _envelope = Envelope::read(octets);
    if let Ok(Some(pdu)) = Pdu::read_community_message(octets) {
        assert_eq!(id, Some(pdu.id));
        let mut walk = Walk::new(reading::everything());
        for _ in 0..64 {
            if walk.next().is_none() {
                break;
            }
            walk.take(pdu.clone());
        }
        if let Ok(values) = walk.finish() {
            assert!(values.len() <= 64 * pdu.bindings.len());
            let read = reading::read(&values);
            let _next = reading::what_changes(&reading::watched(values, 16).0);
            assert!(read.interfaces.len() <= 64 * pdu.bindings.len());
        }
    }
    // A stranger's report, and then whatever follows from the same octets.
    let mut session = Session::new(USER.clone(), 1);
    let request = easyisp_agent::snmp::pdu::Request::Get(Vec::new());
    for now in [1, 2, 900] {
        let id = id.unwrap_or(1);
        let _sent = session.write(id, &request, Duration::from_secs(now));
        let heard = session.hear(id, octets, Duration::from_secs(now));
        // Without the passwords nobody can answer.
        assert!(!matches!(heard, Heard::Answer(_)), "{heard:?}");
    }
});
