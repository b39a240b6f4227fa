//! Does the sender know the secret? Only this file makes the types that say so.

use subtle::ConstantTimeEq;

use super::dictionary::{Code, attribute};
use super::packet::{Authenticator, HEADER_LEN, Packet};
use super::secret::Secret;

/// An Access-Request that may be acted upon.
#[derive(Clone, Copy)]
pub struct VerifiedAccess<'a> {
    packet: Packet<'a>,
    proof: Proof,
}

/// An Accounting-Request whose Request Authenticator is right.
#[derive(Clone, Copy)]
pub struct VerifiedAccounting<'a> {
    packet: Packet<'a>,
}

/// A Status-Server whose Message-Authenticator is right.
#[derive(Clone, Copy)]
pub struct VerifiedStatus<'a> {
    packet: Packet<'a>,
}

/// What an accepted Access-Request showed of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// A valid Message-Authenticator. The caller remembers that this router sends them.
    Signed,
    /// None was sent and none was asked for: the router deserves its standing warning.
    Unsigned,
}

/// What a router's Access-Requests must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningPolicy {
    /// Required from the first packet that carries one; `signs` is whether that packet was seen
    /// (or the RouterOS version is known to sign).
    Learn {
        /// This router was seen to sign.
        signs: bool,
    },
    /// Required from the start: the way for routers across a WAN or tunnel.
    Require,
    /// Not needed: the packet came through TLS, which proves more. EAP signs all the same.
    Protected,
}

/// Why a sound packet is dropped in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// This code does not belong on this socket.
    #[error("packet code not served here")]
    WrongCode,
    /// The Message-Authenticator is wrong: most likely another secret on the router.
    #[error("Message-Authenticator is wrong: the shared secrets differ")]
    BadMessageAuthenticator,
    /// The Request Authenticator is wrong: most likely another secret on the router.
    #[error("Request Authenticator is wrong: the shared secrets differ")]
    BadRequestAuthenticator,
    /// Missing where policy or RFC wants one.
    #[error("Message-Authenticator is missing")]
    MissingMessageAuthenticator,
    /// Present more than once, or not sixteen octets.
    #[error("Message-Authenticator is repeated or mis-sized")]
    MalformedMessageAuthenticator,
    /// Proxy-State without Message-Authenticator: the door of the BlastRADIUS attack.
    #[error("Proxy-State without Message-Authenticator")]
    UnsignedProxyState,
}

impl Refused {
    /// The reason as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Refused::WrongCode => "wrong_code",
            Refused::BadMessageAuthenticator => "bad_message_authenticator",
            Refused::BadRequestAuthenticator => "bad_request_authenticator",
            Refused::MissingMessageAuthenticator => "missing_message_authenticator",
            Refused::MalformedMessageAuthenticator => "malformed_message_authenticator",
            Refused::UnsignedProxyState => "unsigned_proxy_state",
        }
    }

    /// Whether the router must be brought to send a Message-Authenticator.
    pub fn wants_signature(self) -> bool {
        match self {
            Refused::MissingMessageAuthenticator | Refused::UnsignedProxyState => true,
            Refused::WrongCode
            | Refused::BadMessageAuthenticator
            | Refused::BadRequestAuthenticator
            | Refused::MalformedMessageAuthenticator => false,
        }
    }

    /// Whether the router page should name a shared secret that differs.
    pub fn suggests_other_secret(self) -> bool {
        match self {
            Refused::BadMessageAuthenticator | Refused::BadRequestAuthenticator => true,
            Refused::WrongCode
            | Refused::MissingMessageAuthenticator
            | Refused::MalformedMessageAuthenticator
            | Refused::UnsignedProxyState => false,
        }
    }
}

impl<'a> VerifiedAccess<'a> {
    /// Checks an Access-Request (RFC 3579 §3.2) against the router's secret and policy.
    pub fn check(
        packet: Packet<'a>,
        secret: &Secret,
        policy: SigningPolicy,
    ) -> Result<VerifiedAccess<'a>, Refused> {
        if packet.code() != Some(Code::AccessRequest) {
            return Err(Refused::WrongCode);
        }
        let proof = match signature_offset(&packet)? {
            Some(at) => {
                check_signature(&packet, at, packet.authenticator(), secret)?;
                Proof::Signed
            }
            None => Proof::Unsigned,
        };
        match (proof, policy) {
            (
                Proof::Signed,
                SigningPolicy::Learn { .. } | SigningPolicy::Require | SigningPolicy::Protected,
            ) => {}
            (Proof::Unsigned, SigningPolicy::Protected) => {
                if packet.first(attribute::EAP_MESSAGE).is_some() {
                    return Err(Refused::MissingMessageAuthenticator);
                }
            }
            (Proof::Unsigned, SigningPolicy::Learn { signs: false }) => {
                if packet.first(attribute::PROXY_STATE).is_some() {
                    return Err(Refused::UnsignedProxyState);
                }
                if packet.first(attribute::EAP_MESSAGE).is_some() {
                    return Err(Refused::MissingMessageAuthenticator); // RFC 3579 §3.1
                }
            }
            (Proof::Unsigned, SigningPolicy::Learn { signs: true } | SigningPolicy::Require) => {
                return Err(Refused::MissingMessageAuthenticator);
            }
        }
        Ok(VerifiedAccess { packet, proof })
    }

    /// The packet itself.
    pub fn packet(&self) -> &Packet<'a> {
        &self.packet
    }

    /// What the packet showed of its sender.
    pub fn proof(&self) -> Proof {
        self.proof
    }
}

impl<'a> VerifiedAccounting<'a> {
    /// Checks an Accounting-Request: its authenticator is the digest of the packet with zeros in
    /// that place (RFC 2866 §3).
    ///
    /// It covers every octet, so a Message-Authenticator, which RFC 2866 does not define here and
    /// clients compute in two ways, adds nothing and is not looked at.
    pub fn check(packet: Packet<'a>, secret: &Secret) -> Result<VerifiedAccounting<'a>, Refused> {
        if packet.code() != Some(Code::AccountingRequest) {
            return Err(Refused::WrongCode);
        }
        if !digest_matches(&packet, &[0; 16], secret) {
            return Err(Refused::BadRequestAuthenticator);
        }
        Ok(VerifiedAccounting { packet })
    }

    /// The packet itself.
    pub fn packet(&self) -> &Packet<'a> {
        &self.packet
    }
}

impl<'a> VerifiedStatus<'a> {
    /// Checks a Status-Server, which must be signed (RFC 5997 §3).
    pub fn check(packet: Packet<'a>, secret: &Secret) -> Result<VerifiedStatus<'a>, Refused> {
        if packet.code() != Some(Code::StatusServer) {
            return Err(Refused::WrongCode);
        }
        let at = signature_offset(&packet)?.ok_or(Refused::MissingMessageAuthenticator)?;
        check_signature(&packet, at, packet.authenticator(), secret)?;
        Ok(VerifiedStatus { packet })
    }

    /// The packet itself.
    pub fn packet(&self) -> &Packet<'a> {
        &self.packet
    }
}

/// Checks an answer to a request of ours: Response Authenticator, and Message-Authenticator where
/// there is one. The caller has compared identifier and source.
pub fn check_answer(
    answer: &Packet<'_>,
    request: &Authenticator,
    secret: &Secret,
) -> Result<Proof, Refused> {
    if !digest_matches(answer, request, secret) {
        return Err(Refused::BadRequestAuthenticator);
    }
    match signature_offset(answer)? {
        Some(at) => check_signature(answer, at, request, secret).map(|()| Proof::Signed),
        None => Ok(Proof::Unsigned),
    }
}

/// Whether the packet's authenticator is the digest with `seed` in its place.
fn digest_matches(packet: &Packet<'_>, seed: &Authenticator, secret: &Secret) -> bool {
    let bytes = packet.bytes();
    let digest = secret.md5_suffixed(&[&bytes[..4], seed, &bytes[HEADER_LEN..]]);
    digest.ct_eq(packet.authenticator()).into()
}

/// Where the value of the one Message-Authenticator begins.
fn signature_offset(packet: &Packet<'_>) -> Result<Option<usize>, Refused> {
    let mut found = None;
    let mut attributes = packet.attributes();
    while let Some(attribute) = attributes.next() {
        if attribute.kind == attribute::MESSAGE_AUTHENTICATOR {
            if found.is_some() || attribute.value.len() != 16 {
                return Err(Refused::MalformedMessageAuthenticator);
            }
            found = Some(packet.bytes().len() - attributes.remaining() - 16);
        }
    }
    Ok(found)
}

/// HMAC-MD5 over the packet with `seed` as authenticator and zeros in the signature's place.
fn check_signature(
    packet: &Packet<'_>,
    at: usize,
    seed: &Authenticator,
    secret: &Secret,
) -> Result<(), Refused> {
    let bytes = packet.bytes();
    let mac = secret.hmac(&[
        &bytes[..4],
        seed,
        &bytes[HEADER_LEN..at],
        &[0; 16],
        &bytes[at + 16..],
    ]);
    if mac.ct_eq(&bytes[at..at + 16]).into() {
        Ok(())
    } else {
        Err(Refused::BadMessageAuthenticator)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::radius::builder::{Builder, Signature};

    const LEARNING: SigningPolicy = SigningPolicy::Learn { signs: false };
    const LEARNT: SigningPolicy = SigningPolicy::Learn { signs: true };

    #[test]
    fn an_unsigned_login_is_served_only_while_learning() {
        let bytes = login(Signature::None, &[]);
        assert_eq!(check(&bytes, LEARNING), Ok(Proof::Unsigned));
        for policy in [LEARNT, SigningPolicy::Require] {
            assert_eq!(
                check(&bytes, policy),
                Err(Refused::MissingMessageAuthenticator)
            );
        }
    }

    #[test]
    fn a_signed_login_is_served_and_any_change_to_it_refused() {
        let bytes = login(Signature::MessageAuthenticator, &[]);
        for policy in [LEARNING, LEARNT, SigningPolicy::Require] {
            assert_eq!(check(&bytes, policy), Ok(Proof::Signed));
        }
        for at in (1..bytes.len()).filter(|at| !(2..4).contains(at)) {
            let mut forged = bytes.clone();
            forged[at] ^= 1;
            assert!(check(&forged, LEARNT).is_err(), "octet {at}");
        }
        let refused = VerifiedAccess::check(
            Packet::parse(&bytes).unwrap(),
            &Secret::new(b"other"),
            LEARNING,
        )
        .err()
        .unwrap();
        assert_eq!(refused, Refused::BadMessageAuthenticator);
        assert!(refused.suggests_other_secret());
    }

    #[test]
    fn a_repeated_or_mis_sized_signature_is_malformed() {
        let wrong = Err(Refused::MalformedMessageAuthenticator);
        let twice = login(Signature::MessageAuthenticator, &[(80, &[0; 16])]);
        assert_eq!(check(&twice, LEARNING), wrong);
        for size in [0, 15, 17] {
            let bytes = login(Signature::None, &[(80, &vec![0; size])]);
            assert_eq!(check(&bytes, LEARNING), wrong);
        }
    }

    #[test]
    fn a_proxy_and_eap_must_sign_even_while_learning() {
        let proxied = login(Signature::None, &[(attribute::PROXY_STATE, b"x")]);
        assert_eq!(check(&proxied, LEARNING), Err(Refused::UnsignedProxyState));
        let eap = login(Signature::None, &[(attribute::EAP_MESSAGE, b"x")]);
        assert_eq!(
            check(&eap, LEARNING),
            Err(Refused::MissingMessageAuthenticator)
        );
        let signed = login(
            Signature::MessageAuthenticator,
            &[(attribute::PROXY_STATE, b"x")],
        );
        assert_eq!(check(&signed, LEARNING), Ok(Proof::Signed));
    }

    #[test]
    fn an_accounting_record_is_covered_octet_by_octet() {
        let code = Code::AccountingRequest;
        let mut builder = Builder::new(Vec::new(), code, 9, Signature::None);
        builder
            .push(attribute::ACCT_SESSION_ID, b"80100014")
            .unwrap();
        let bytes = builder.sign_request(&secret());
        let accounting = |bytes: &[u8]| {
            VerifiedAccounting::check(Packet::parse(bytes).unwrap(), &secret()).map(|_| ())
        };
        assert_eq!(accounting(&bytes), Ok(()));
        for at in (1..bytes.len()).filter(|at| ![2, 3, 21].contains(at)) {
            let mut forged = bytes.clone();
            forged[at] ^= 1;
            assert_eq!(accounting(&forged), Err(Refused::BadRequestAuthenticator));
        }
    }

    #[test]
    fn codes_are_not_mistaken_for_each_other() {
        let packet = login(Signature::MessageAuthenticator, &[]);
        let packet = Packet::parse(&packet).unwrap();
        let wrong = Refused::WrongCode;
        assert_eq!(
            VerifiedAccounting::check(packet, &secret()).err(),
            Some(wrong)
        );
        assert_eq!(VerifiedStatus::check(packet, &secret()).err(), Some(wrong));
    }

    /// RFC 2865 §7.2: the server's answer to flopsy.
    #[test]
    fn the_answer_of_rfc_2865_is_authentic() {
        let answer = hex::decode(
            "0201003815efbc7dab26cfa3dc34d9c03c8601a4\
             0606000000020706000000010806fffffffe0a06000000020d06000000010c06000005dc",
        )
        .unwrap();
        let request = hex::decode("2aee86f08d0d55969ca5978e0d3367a2").unwrap();
        let request: Authenticator = request.try_into().unwrap();
        let answer = Packet::parse(&answer).unwrap();
        let secret = Secret::new(b"xyzzy5461");
        assert_eq!(
            check_answer(&answer, &request, &secret),
            Ok(Proof::Unsigned)
        );
        assert!(check_answer(&answer, &[0; 16], &secret).is_err());
    }

    fn check(bytes: &[u8], policy: SigningPolicy) -> Result<Proof, Refused> {
        let packet = Packet::parse(bytes).map_err(|_| Refused::WrongCode)?;
        VerifiedAccess::check(packet, &secret(), policy).map(|verified| verified.proof())
    }

    fn login(signature: Signature, extra: &[(u8, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new(), Code::AccessRequest, 7, signature);
        builder.push(attribute::USER_NAME, b"demo001").unwrap();
        for (kind, value) in extra {
            builder.push(*kind, value).unwrap();
        }
        builder.sign_access(&[0x5a; 16], &secret())
    }

    fn secret() -> Secret {
        Secret::new(b"demo-secret")
    }
}
