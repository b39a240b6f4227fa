//! A second reader, which shares no line with ours: pyrad, with the dictionaries of FreeRADIUS.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_agent::radius::builder::Signature;
use easyisp_agent::radius::client::{Login, Method, access_request, accounting_request};
use easyisp_agent::radius::coa::{Change, Envelope, Exchange, Order, Target};
use easyisp_agent::radius::dictionary::attribute;
use easyisp_agent::radius::networks::Networks;
use easyisp_agent::radius::reply::{MsChapError, MsChapReason, MsChapV2Grant};
use easyisp_agent::radius::{
    Accept, AccessRequest, Authenticated, Challenge, KnownPassword, Packet, Reject, Secret,
    Service, SigningPolicy, VerifiedAccess, VerifiedAccounting, accounting_response,
};
use easyisp_shared::wire::down::Network;
use serde_json::{Value, json};

/// Every attribute we send, in Accept, Reject, Challenge, CoA and Disconnect, is read by pyrad under its name in
/// the public dictionaries and with the value that was meant; and every signature is right to it.
#[test]
fn another_library_reads_what_was_meant() -> Result<()> {
    let request = login(Method::MsChapV2 {
        password: PASSWORD,
        identifier: 7,
        challenge: [9; 16],
        peer_challenge: [8; 16],
    })?;
    let policy = SigningPolicy::Learn { signs: false };
    let verified = VerifiedAccess::check(Packet::parse(&request)?, &secret(), policy)?;
    let proof = KnownPassword::new(PASSWORD).check(&AccessRequest::read(&verified), &secret())?;
    let Authenticated::MsChapV2(proof) = proof else {
        anyhow::bail!("an MS-CHAPv2 login");
    };
    let routes = [network("10.9.0.0/24")?, network("10.9.1.0/24")?];
    let line = Accept {
        service: Service::Ppp,
        rate_limit: Some("2M/10M"),
        session_timeout: Some(Duration::from_secs(3600)),
        interim_interval: Some(Duration::from_secs(300)),
        idle_timeout: Some(Duration::from_secs(900)),
        framed_address: Some([10, 5, 0, 7].into()),
        framed_pool: Some("homes"),
        port_limit: Some(2),
        total_limit: Some((5 << 32) + 9),
        address_list: Some("garden"),
        group: Some("fast"),
        class: Some(b"a cookie of ours"),
        networks: Networks {
            routes: &routes,
            ipv6_prefix: Some(network("2001:db8:1::/64")?),
            delegated_prefix: Some(network("2001:db8:900::/56")?),
            ..Networks::default()
        },
        message: Some("Karibu, é"),
        ms_chap: Some(MsChapV2Grant {
            proof: &proof,
            salt: [0x81, 2],
        }),
        ..Accept::default()
    };
    let from_pools = Accept {
        service: Service::Ppp,
        networks: Networks {
            ipv6_pool: Some("v6-lines"),
            delegated_pool: Some("v6-homes"),
            ..Networks::default()
        },
        ..Accept::default()
    };
    let hotspot = Accept {
        service: Service::Hotspot,
        redirect: Some("https://pay.example.net/"),
        ..Accept::default()
    };
    let reject = Reject {
        message: Some("Expired"),
        ms_chap: Some(MsChapError {
            identifier: 7,
            reason: MsChapReason::NoPermission,
            challenge: [0xab; 16],
        }),
        eap: None,
    };
    let (state, eap) = (&b"sixteen octets.."[..], &[1; 300][..]);
    let challenge = Challenge { state, eap };
    let answers = [
        line.encode(&verified, &secret(), Vec::new())?,
        from_pools.encode(&verified, &secret(), Vec::new())?,
        hotspot.encode(&verified, &secret(), Vec::new())?,
        reject.encode(&verified, &secret(), Vec::new())?,
        challenge.encode(&verified, &secret(), Vec::new())?,
    ];
    let change = Order::Change(Change {
        rate_limit: Some("5M/5M"),
        session_timeout_secs: Some(7200),
        group: Some("slow"),
        address_list: Some("garden"),
    });
    let orders = [order(change)?, order(Order::Disconnect)?];
    let report = accounting_request(
        &[(attribute::ACCT_STATUS_TYPE, &[0, 0, 0, 1])],
        5,
        &secret(),
    )?;
    let reported = VerifiedAccounting::check(Packet::parse(&report)?, &secret())?;
    let receipt = accounting_response(&reported, &secret(), Vec::new())?;

    let read = pyrad(&json!({
        "secret": SECRET,
        "request": hex(&request),
        "answers": answers.iter().map(|octets| hex(octets)).collect::<Vec<_>>(),
        "orders": orders.iter().map(|octets| hex(octets)).collect::<Vec<_>>(),
        "report": hex(&report),
        "receipt": hex(&receipt),
    }))?;
    assert_eq!(read["unsound"], json!([]), "{read}");

    let raw = |octets: &[u8], vendor, kind| -> Result<String> {
        let packet = Packet::parse(octets)?;
        Ok(hex(packet
            .first_vendor(vendor, kind)
            .context("it was sent")?))
    };
    let success = raw(&answers[0], 311, 26)?;
    let proxied = ("Proxy-State", json!([hex(b"the way back")]));
    let expected: [Vec<(&str, Value)>; 7] = [
        vec![
            ("Service-Type", json!(["Framed-User"])),
            ("Framed-Protocol", json!(["PPP"])),
            (
                "Framed-Route",
                json!(["10.9.0.0/24 0.0.0.0 1", "10.9.1.0/24 0.0.0.0 1"]),
            ),
            ("Framed-IPv6-Prefix", json!(["2001:db8:1::/64"])),
            ("Delegated-IPv6-Prefix", json!(["2001:db8:900::/56"])),
            ("Session-Timeout", json!([3600])),
            ("Idle-Timeout", json!([900])),
            ("Acct-Interim-Interval", json!([300])),
            ("Framed-IP-Address", json!(["10.5.0.7"])),
            ("Framed-Pool", json!(["homes"])),
            ("Port-Limit", json!([2])),
            ("Class", json!([hex(b"a cookie of ours")])),
            ("Reply-Message", json!(["Karibu, é"])),
            ("Mikrotik-Rate-Limit", json!(["2M/10M"])),
            ("Mikrotik-Address-List", json!(["garden"])),
            ("Mikrotik-Group", json!(["fast"])),
            ("Mikrotik-Total-Limit", json!([9])),
            ("Mikrotik-Total-Limit-Gigawords", json!([5])),
            ("MS-CHAP2-Success", json!([success])),
            ("MS-MPPE-Send-Key", json!([hex(&proof.keys.send)])),
            ("MS-MPPE-Recv-Key", json!([hex(&proof.keys.recv)])),
            ("MS-MPPE-Encryption-Policy", json!(["Encryption-Allowed"])),
            // 128 bit only (RFC 2548 §2.4.5); the dictionary has words for other numbers.
            ("MS-MPPE-Encryption-Types", json!([4])),
            proxied.clone(),
        ],
        vec![
            ("Service-Type", json!(["Framed-User"])),
            ("Framed-Protocol", json!(["PPP"])),
            ("Framed-IPv6-Pool", json!(["v6-lines"])),
            ("Mikrotik-Delegated-IPv6-Pool", json!(["v6-homes"])),
            proxied.clone(),
        ],
        vec![
            ("WISPr-Redirection-URL", json!(["https://pay.example.net/"])),
            proxied.clone(),
        ],
        vec![
            ("Reply-Message", json!(["Expired"])),
            ("MS-CHAP-Error", json!([CHAP_ERROR])),
            proxied.clone(),
        ],
        vec![
            ("EAP-Message", json!([hex(&[1; 253]), hex(&[1; 47])])),
            ("State", json!([hex(state)])),
            proxied,
        ],
        vec![
            ("User-Name", json!(["jane"])),
            ("Acct-Session-Id", json!(["8110000a"])),
            ("Framed-IP-Address", json!(["10.5.50.9"])),
            ("Mikrotik-Rate-Limit", json!(["5M/5M"])),
            ("Session-Timeout", json!([7200])),
            ("Mikrotik-Group", json!(["slow"])),
            ("Mikrotik-Address-List", json!(["garden"])),
            ("Event-Timestamp", json!([1_800_000_000])),
        ],
        vec![
            ("User-Name", json!(["jane"])),
            ("Acct-Session-Id", json!(["8110000a"])),
            ("Framed-IP-Address", json!(["10.5.50.9"])),
            ("Event-Timestamp", json!([1_800_000_000])),
        ],
    ];
    let read = read["read"].as_array().context("packets")?;
    assert_eq!(read.len(), expected.len());
    for (packet, expected) in read.iter().zip(expected) {
        let mut found: BTreeMap<String, Value> = serde_json::from_value(packet.clone())?;
        ensure!(found.remove("Message-Authenticator").is_some(), "{packet}");
        let expected: BTreeMap<String, Value> = expected
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        assert_eq!(found, expected);
    }
    Ok(())
}

/// Has pyrad judge and read the packets of `question`.
fn pyrad(question: &Value) -> Result<Value> {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/python/bin/python");
    let mut reader = Command::new(python)
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("tests/prepare installs pyrad")?;
    let mut input = reader.stdin.take().context("its input")?;
    input.write_all(question.to_string().as_bytes())?;
    drop(input);
    let said = reader.wait_with_output()?;
    ensure!(said.status.success(), "pyrad ended with {}", said.status);
    Ok(serde_json::from_slice(&said.stdout)?)
}

/// Reads packets by pyrad's own code; names those whose signatures it finds wrong.
const READER: &str = r#"
import json, sys
from pyrad.dictionary import Dictionary
from pyrad.packet import AcctPacket, AuthPacket, CoAPacket

asked = json.load(sys.stdin)
secret = asked["secret"].encode()
names = ["rfc2865", "rfc2866", "rfc2869", "rfc3162", "rfc4818", "microsoft", "mikrotik", "wispr"]
known = Dictionary(*["/usr/share/freeradius/dictionary." + name for name in names])
unsound, read = [], []

def plain(value):
    return value.hex() if isinstance(value, bytes) else value if isinstance(value, int) else str(value)

def attributes(packet):
    found = {}
    for name in packet.keys():
        found[name] = [plain(value) for value in packet[name]]
    return found

request = AuthPacket(secret=secret, dict=known, packet=bytes.fromhex(asked["request"]))
if not request.verify_message_authenticator():
    unsound.append("request")
for number, text in enumerate(asked["answers"]):
    octets = bytes.fromhex(text)
    answer = request.CreateReply(packet=octets)
    answer.request_authenticator = request.authenticator
    if not request.VerifyReply(answer, octets, enforce_ma=True):
        unsound.append("answer %d" % number)
    read.append(attributes(answer))
for number, text in enumerate(asked["orders"]):
    order = CoAPacket(secret=secret, dict=known, packet=bytes.fromhex(text))
    if not order.VerifyCoARequest():
        unsound.append("authenticator of order %d" % number)
    if not order.verify_message_authenticator():
        unsound.append("signature of order %d" % number)
    read.append(attributes(order))
report = AcctPacket(secret=secret, dict=known, packet=bytes.fromhex(asked["report"]))
receipt = bytes.fromhex(asked["receipt"])
if not report.VerifyAcctRequest() or not report.VerifyReply(report.CreateReply(packet=receipt), receipt):
    unsound.append("receipt")
json.dump({"unsound": unsound, "read": read}, sys.stdout)
"#;

fn login(method: Method<'_>) -> Result<Vec<u8>> {
    let login = Login {
        user_name: b"jane",
        method,
        extra: &[(attribute::PROXY_STATE, b"the way back")],
        signature: Signature::MessageAuthenticator,
    };
    Ok(access_request(&login, 7, &[0x5a; 16], &secret())?)
}

fn order(order: Order<'_>) -> Result<Vec<u8>> {
    let envelope = Envelope {
        router: ([10, 0, 0, 1], 3799).into(),
        identifier: 9,
        signature: Signature::MessageAuthenticator,
        event_unix: Some(1_800_000_000),
    };
    let target = Target {
        user_name: Some(b"jane"),
        session_id: Some(b"8110000a"),
        framed_address: Some([10, 5, 50, 9].into()),
        calling_station: None,
    };
    let secret = Arc::new(secret());
    let exchange = Exchange::start(envelope, target, order, secret, 0, Instant::now())?;
    Ok(exchange.datagram().to_vec())
}

fn network(text: &str) -> Result<Network> {
    Ok(text.parse::<ipnet::IpNet>()?.into())
}

fn hex(octets: &[u8]) -> String {
    hex::encode(octets)
}

fn secret() -> Secret {
    Secret::new(SECRET.as_bytes())
}

/// The identifier comes first.
const CHAP_ERROR: &str = "\u{7}E=649 R=0 C=ABABABABABABABABABABABABABABABAB V=3";
const SECRET: &str = "demo-secret";
const PASSWORD: &[u8] = b"a password";
