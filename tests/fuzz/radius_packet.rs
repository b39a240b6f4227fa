//! Any octets as a packet: parsed, every attribute read, every reading tried.
#![no_main]

use easyisp_agent::radius::{
    AccessRequest, AccountingRequest, Packet, Secret, SigningPolicy, VerifiedAccess,
    VerifiedAccounting, VerifiedStatus,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let Ok(packet) = Packet::parse(octets) else {
        return;
    };
    let read: usize = packet.attributes().map(|found| found.value.len()).sum();
    assert!(read <= octets.len());
    let secret = Secret::new(b"demo-secret");
    for signs in [false, true] {
        let policy = SigningPolicy::Learn { signs };
        if let Ok(verified) = VerifiedAccess::check(packet, &secret, policy) {
            let _request = AccessRequest::read(&verified);
        }
    }
    if let Ok(verified) = VerifiedAccounting::check(packet, &secret) {
        let _report = AccountingRequest::read(&verified);
    }
    let _ping = VerifiedStatus::check(packet, &secret);
});
