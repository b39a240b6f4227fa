//! Whole ways through the codec: a router's request in, an answer the strictest router takes out.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac as _};
use md5::Md5;
use proptest::prelude::*;

use super::builder::Signature;
use super::client::{self, Login, Method, NotTheAnswer};
use super::dictionary::{ErrorCause, attribute, microsoft, mikrotik};
use super::mppe::MppeKeys;
use super::mschap::NtHash;
use super::reply::{MAX_SESSION_SECS, MsChapError, MsChapReason, MsChapV2Grant};
use super::*;

mod mutations;

const SIGNED: Signature = Signature::MessageAuthenticator;
const AUTHENTICATOR: [u8; 16] = [0x5a; 16];

#[test]
fn the_right_password_is_accepted_by_every_method_and_others_are_not() {
    for method in methods(b"p\xc3\xa4ss wort") {
        for signature in [SIGNED, Signature::None] {
            let request = given_login(b"jane", method, signature, &[]);
            assert_eq!(check(&request, "päss wort".as_bytes()), Ok(()));
            let wrong = Err(PasswordError::Wrong);
            assert_eq!(check(&request, b"p\xc3\xa4ss wor"), wrong);
            assert_eq!(check(&request, b""), wrong);
        }
    }
}

#[test]
fn requests_without_a_usable_password_are_told_apart() {
    let none = given_login(b"jane", Method::None, SIGNED, &[]);
    assert_eq!(check(&none, b""), Err(PasswordError::Missing));
    for (kind, value) in [(2, &[0; 17][..]), (2, &[]), (3, &[0; 16])] {
        let odd = given_login(b"jane", Method::None, SIGNED, &[(kind, value)]);
        assert_eq!(check(&odd, b""), Err(PasswordError::Malformed));
    }
    let eap = given_login(b"jane", Method::None, SIGNED, &[(79, b"\x02")]);
    assert_eq!(check(&eap, b""), Err(PasswordError::Unsupported));
}

#[test]
fn another_secret_on_an_unsigned_router_garbles_the_password() {
    let method = Method::Pap {
        password: b"a long enough password",
    };
    let request = given_login(b"jane", method, Signature::None, &[]);
    let verified = access(&request);
    let known = KnownPassword::new(b"a long enough password");
    let judged = known.check(&AccessRequest::read(&verified), &Secret::new(b"other"));
    assert_eq!(judged.err(), Some(PasswordError::Garbled));
}

/// Fault A2: a router that wants Message-Authenticator first in every answer takes ours, and our orders carry
/// it as well.
#[test]
fn every_answer_satisfies_the_strictest_router() {
    let proxied = [
        (attribute::PROXY_STATE, &b"one"[..]),
        (attribute::PROXY_STATE, b"two"),
    ];
    let request = given_login(b"jane", Method::None, SIGNED, &proxied);
    let verified = access(&request);
    let accept = Accept::default()
        .encode(&verified, &secret(), Vec::new())
        .unwrap();
    let reject = Reject::default()
        .encode(&verified, &secret(), Vec::new())
        .unwrap();
    let (state, eap) = (&b"state"[..], &[1; 300][..]);
    let challenge = Challenge { state, eap }
        .encode(&verified, &secret(), Vec::new())
        .unwrap();
    for (bytes, code) in [
        (&accept, Code::AccessAccept),
        (&reject, Code::AccessReject),
        (&challenge, Code::AccessChallenge),
    ] {
        assert_signed_first(bytes, &AUTHENTICATOR);
        let answer = client::read_answer(bytes, &request, &secret()).unwrap();
        assert_eq!(answer.code(), Some(code));
        let states: Vec<&[u8]> = answer
            .attributes()
            .filter(|attribute| attribute.kind == attribute::PROXY_STATE)
            .map(|attribute| attribute.value)
            .collect();
        assert_eq!(states, [b"one", b"two"]);
    }
    assert!(client::read_answer(&accept, &request, &Secret::new(b"other")).is_err());

    // What an attacker without the secret can make of it.
    let mut turned = reject.clone();
    turned[0] = 2;
    assert!(client::read_answer(&turned, &request, &secret()).is_err());
    let mut builder = builder::Builder::new(Vec::new(), Code::AccessAccept, 7, Signature::None);
    builder.push(attribute::REPLY_MESSAGE, b"x").unwrap();
    let unsigned = builder.sign_answer(&AUTHENTICATOR, &secret());
    assert_eq!(
        client::read_answer(&unsigned, &request, &secret()).err(),
        Some(NotTheAnswer::NotSignedFirst)
    );

    let change = coa::Change {
        rate_limit: Some("1M/1M"),
        ..coa::Change::default()
    };
    for order in [coa::Order::Disconnect, coa::Order::Change(change)] {
        let exchange = given_order(order);
        assert_signed_first(exchange.datagram(), &[0; 16]);
    }
}

/// A signature over the whole packet in its first attribute (RFC 3579 §3.2, RFC 5176 §2.3), computed beside the
/// codec.
fn assert_signed_first(packet: &[u8], authenticator: &[u8; 16]) {
    assert_eq!(packet[20..22], [80, 18]);
    let (before, rest) = (&packet[..4], &packet[38..]);
    let parts: [&[u8]; 5] = [before, authenticator, &[80, 18], &[0; 16], rest];
    let mut mac = Hmac::<Md5>::new_from_slice(b"demo-secret").unwrap();
    parts.iter().for_each(|part| mac.update(part));
    assert_eq!(packet[22..38], *mac.finalize().into_bytes());
}

#[test]
fn a_status_server_is_answered_on_both_ports() {
    let request = client::status_server(7, &AUTHENTICATOR, &secret());
    let verified = VerifiedStatus::check(Packet::parse(&request).unwrap(), &secret()).unwrap();
    for (port, code) in [
        (Port::Authentication, Code::AccessAccept),
        (Port::Accounting, Code::AccountingResponse),
    ] {
        let bytes = status_response(&verified, port, &secret(), Vec::new()).unwrap();
        let answer = client::read_answer(&bytes, &request, &secret()).unwrap();
        assert_eq!(answer.code(), Some(code));
    }
}

#[test]
fn a_grant_says_what_routeros_understands() {
    let request = given_login(b"jane", Method::None, SIGNED, &[]);
    let accept = Accept {
        service: Service::Ppp,
        rate_limit: Some("2M/10M"),
        session_timeout: Some(Duration::from_secs(u64::from(u32::MAX))),
        interim_interval: Some(Duration::from_secs(5)),
        framed_address: Some([10, 5, 0, 7].into()),
        total_limit: Some((5 << 32) + 9),
        class: Some(b"cookie"),
        message: Some(&"é".repeat(200)),
        ..Accept::default()
    };
    let bytes = accept
        .encode(&access(&request), &secret(), Vec::new())
        .unwrap();
    let answer = client::read_answer(&bytes, &request, &secret()).unwrap();

    let number = |value: u32| Some(value.to_be_bytes().to_vec());
    let sent = |kind| answer.first(kind).map(<[u8]>::to_vec);
    assert_eq!(sent(attribute::SERVICE_TYPE), number(2));
    assert_eq!(sent(attribute::FRAMED_PROTOCOL), number(1));
    assert_eq!(
        sent(attribute::SESSION_TIMEOUT),
        number(MAX_SESSION_SECS as u32)
    );
    assert_eq!(sent(attribute::ACCT_INTERIM_INTERVAL), number(60));
    assert_eq!(sent(attribute::FRAMED_IP_ADDRESS), Some(vec![10, 5, 0, 7]));
    assert_eq!(sent(attribute::CLASS), Some(b"cookie".to_vec()));
    assert_eq!(
        sent(attribute::REPLY_MESSAGE),
        Some("é".repeat(126).into_bytes())
    );
    let vendor = |kind| {
        answer
            .first_vendor(mikrotik::VENDOR, kind)
            .map(<[u8]>::to_vec)
    };
    assert_eq!(vendor(mikrotik::RATE_LIMIT), Some(b"2M/10M".to_vec()));
    assert_eq!(vendor(mikrotik::TOTAL_LIMIT), number(9));
    assert_eq!(vendor(mikrotik::TOTAL_LIMIT_GIGAWORDS), number(5));
    assert_eq!(vendor(mikrotik::GROUP), None);
}

#[test]
fn a_time_that_is_up_is_never_sent_as_no_limit() {
    let request = given_login(b"jane", Method::None, SIGNED, &[]);
    let accept = Accept {
        session_timeout: Some(Duration::from_millis(400)),
        ..Accept::default()
    };
    let bytes = accept
        .encode(&access(&request), &secret(), Vec::new())
        .unwrap();
    let answer = Packet::parse(&bytes).unwrap();
    assert_eq!(
        answer.first(attribute::SESSION_TIMEOUT),
        Some(&[0, 0, 0, 1][..])
    );
}

#[test]
fn an_ms_chap_login_gets_proof_and_the_subscribers_keys() {
    let [_, _, method] = methods(b"secret");
    let request = given_login(b"ISP\\jane", method, SIGNED, &[]);
    let verified = access(&request);
    let login = AccessRequest::read(&verified);
    let proof = match KnownPassword::new(b"secret")
        .check(&login, &secret())
        .unwrap()
    {
        Authenticated::MsChapV2(proof) => proof,
        Authenticated::Plain | Authenticated::Eap(_) => panic!("MS-CHAPv2 was sent"),
    };
    let accept = Accept {
        ms_chap: Some(MsChapV2Grant {
            proof: &proof,
            salt: [1, 2],
        }),
        ..Accept::default()
    };
    let bytes = accept.encode(&verified, &secret(), Vec::new()).unwrap();
    let answer = client::read_answer(&bytes, &request, &secret()).unwrap();

    let Credential::MsChapV2(response) = login.credential else {
        panic!("MS-CHAPv2 was sent");
    };
    let hash = NtHash::of(b"secret");
    assert!(client::proves_password(
        &answer,
        b"ISP\\jane",
        &response,
        &hash
    ));
    assert!(!client::proves_password(
        &answer,
        b"ISP\\jane",
        &response,
        &NtHash::of(b"x")
    ));
    assert_eq!(
        client::mppe_keys(&answer, &AUTHENTICATOR, &secret()),
        Some(MppeKeys::derive(&hash, response.response))
    );
}

#[test]
fn a_failed_ms_chap_login_is_told_why() {
    let request = given_login(b"jane", Method::None, SIGNED, &[]);
    let reject = Reject {
        message: Some("Expired"),
        eap: None,
        ms_chap: Some(MsChapError {
            identifier: 9,
            reason: MsChapReason::NoPermission,
            challenge: [0xab; 16],
        }),
    };
    let bytes = reject
        .encode(&access(&request), &secret(), Vec::new())
        .unwrap();
    let answer = client::read_answer(&bytes, &request, &secret()).unwrap();
    assert_eq!(
        answer.first(attribute::REPLY_MESSAGE),
        Some(&b"Expired"[..])
    );
    assert_eq!(
        answer.first_vendor(microsoft::VENDOR, microsoft::CHAP_ERROR),
        Some(&b"\x09E=649 R=0 C=ABABABABABABABABABABABABABABABAB V=3"[..])
    );
}

#[test]
fn a_router_knows_our_order_and_we_know_its_answer() {
    let mut exchange = given_disconnect();
    let bytes = exchange.datagram().to_vec();
    let order = client::read_order(&bytes, &secret()).unwrap();
    assert!(client::read_order(&bytes, &Secret::new(b"other")).is_err());

    let refused = client::answer_order(&order, Some(503), &secret()).unwrap();
    assert_eq!(
        exchange.on_reply(exchange.router(), &refused),
        Ok(coa::Outcome::Nak(Some(ErrorCause::SessionNotFound)))
    );
    let done = client::answer_order(&order, None, &secret()).unwrap();
    let judged = exchange.on_reply(exchange.router(), &done);
    assert_eq!(judged, Ok(coa::Outcome::Acked));
}

/// The `radius` crate reads what we write and writes what we read, where it is right.
#[test]
fn a_second_codec_agrees() {
    use ::radius::core::{code, packet, rfc2865, rfc2866};

    let mut theirs = packet::Packet::new(code::Code::AccessRequest, b"demo-secret");
    rfc2865::add_user_name(&mut theirs, "jane");
    rfc2865::add_user_password(&mut theirs, b"a password of two blocks").unwrap();
    let request = theirs.encode().unwrap();
    assert_eq!(check(&request, b"a password of two blocks"), Ok(()));

    let accept = Accept {
        session_timeout: Some(Duration::from_secs(3600)),
        class: Some(b"cookie"),
        ..Accept::default()
    };
    let answer = accept
        .encode(&access(&request), &secret(), Vec::new())
        .unwrap();
    assert!(packet::Packet::is_authentic_response(
        &answer,
        &request,
        b"demo-secret"
    ));
    let answer = packet::Packet::decode(&answer, b"demo-secret").unwrap();
    assert_eq!(answer.get_code(), code::Code::AccessAccept);
    assert_eq!(
        rfc2865::lookup_session_timeout(&answer).unwrap().unwrap(),
        3600
    );
    assert_eq!(rfc2865::lookup_class(&answer).unwrap(), b"cookie");

    let mut theirs = packet::Packet::new(code::Code::AccountingRequest, b"demo-secret");
    rfc2866::add_acct_status_type(&mut theirs, rfc2866::ACCT_STATUS_TYPE_START);
    rfc2866::add_acct_session_id(&mut theirs, "80100014");
    let request = theirs.encode().unwrap();
    let packet = Packet::parse(&request).unwrap();
    let verified = VerifiedAccounting::check(packet, &secret()).unwrap();
    let report = AccountingRequest::read(&verified).unwrap();
    assert_eq!(report.status, AccountingStatus::Start);
    assert_eq!(report.session_id, b"80100014");
    let answer = accounting_response(&verified, &secret(), Vec::new()).unwrap();
    assert!(packet::Packet::is_authentic_response(
        &answer,
        &request,
        b"demo-secret"
    ));

    let ours = client::accounting_request(&[(44, b"x")], 1, &secret()).unwrap();
    assert!(packet::Packet::is_authentic_request(&ours, b"demo-secret"));
    let disconnect = given_disconnect();
    assert!(packet::Packet::is_authentic_request(
        disconnect.datagram(),
        b"demo-secret"
    ));
}

proptest! {
    /// Whatever stands in the attributes of an authentic login comes out as it went in.
    #[test]
    fn attributes_survive_the_way(
        attributes in prop::collection::vec(
            (any::<u8>(), prop::collection::vec(any::<u8>(), 0..=60)), 0..40,
        ),
    ) {
        let attributes: Vec<(u8, &[u8])> = attributes
            .iter()
            .filter(|(kind, _)| *kind != attribute::MESSAGE_AUTHENTICATOR)
            .map(|(kind, value)| (*kind, value.as_slice()))
            .collect();
        let request = given_login(b"jane", Method::None, SIGNED, &attributes);
        let verified = access(&request);
        let read: Vec<(u8, &[u8])> = verified
            .packet()
            .attributes()
            .skip(2)
            .map(|attribute| (attribute.kind, attribute.value))
            .collect();
        prop_assert_eq!(read, attributes);
        let _ = check(&request, b"x");
    }
}

fn methods(password: &[u8]) -> [Method<'_>; 3] {
    let (identifier, challenge) = (3, [4; 16]);
    [
        Method::Pap { password },
        Method::Chap {
            password,
            identifier,
            challenge,
        },
        Method::MsChapV2 {
            password,
            identifier,
            challenge,
            peer_challenge: [5; 16],
        },
    ]
}

fn given_login(
    user_name: &[u8],
    method: Method<'_>,
    signature: Signature,
    extra: &[(u8, &[u8])],
) -> Vec<u8> {
    let login = Login {
        user_name,
        method,
        extra,
        signature,
    };
    client::access_request(&login, 7, &AUTHENTICATOR, &secret()).unwrap()
}

fn given_disconnect() -> coa::Exchange {
    given_order(coa::Order::Disconnect)
}

fn given_order(order: coa::Order<'_>) -> coa::Exchange {
    let envelope = coa::Envelope {
        router: ([10, 0, 0, 1], 3799).into(),
        identifier: 9,
        signature: SIGNED,
        event_unix: Some(1_800_000_000),
    };
    let target = coa::Target {
        user_name: Some(b"jane"),
        ..coa::Target::default()
    };
    coa::Exchange::start(envelope, target, order, secret().into(), 0, Instant::now()).unwrap()
}

fn check(request: &[u8], password: &[u8]) -> Result<(), PasswordError> {
    KnownPassword::new(password)
        .check(&AccessRequest::read(&access(request)), &secret())
        .map(|_| ())
}

fn access(request: &[u8]) -> VerifiedAccess<'_> {
    let policy = SigningPolicy::Learn { signs: false };
    VerifiedAccess::check(Packet::parse(request).unwrap(), &secret(), policy).unwrap()
}

fn secret() -> Secret {
    Secret::new(b"demo-secret")
}
