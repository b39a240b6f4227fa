//! A request as the old server must see it, and its answer as the router must see it: the same attributes
//! under another secret.
//!
//! What a shared secret hides is hidden anew: User-Password on the way there, the MPPE keys and
//! Tunnel-Password on the way back. CHAP, MS-CHAP and EAP prove a password without the secret and pass as
//! they are. A Proxy-State of our own is added last and taken off again, those of others stay where they
//! were (RFC 2865 §5.33).

use std::sync::Arc;

use crate::radius::builder::{Builder, DoesNotFit, Signature};
use crate::radius::dictionary::{Code, attribute, microsoft};
use crate::radius::packet::{Attribute, Authenticator, Packet};
use crate::radius::pap;
use crate::radius::verify::{VerifiedAccess, VerifiedAccounting};
use crate::radius::{Secret, mppe};

/// What our Proxy-State says.
pub type Mark = [u8; 8];

/// A request for the old server, up to its identifier and signature.
#[derive(Debug)]
pub struct Outgoing {
    builder: Builder,
    /// The Request Authenticator of a login; accounting's is a digest.
    authenticator: Option<Authenticator>,
    mark: Mark,
}

/// A signed request.
#[derive(Debug)]
pub struct Signed {
    /// The octets to send.
    pub datagram: Vec<u8>,
    /// What its answer is signed with.
    pub authenticator: Authenticator,
    /// What its Proxy-State says.
    pub mark: Mark,
}

/// An answer of the old server that was verified.
#[derive(Debug, Clone)]
pub struct OldAnswer {
    octets: Box<[u8]>,
    /// Of the request that it answers.
    request: Authenticator,
    secret: Arc<Secret>,
    mark: Mark,
}

/// Why a request or an answer cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untranslatable {
    /// A User-Password of an impossible length, or a hidden attribute that does not open.
    #[error("a hidden attribute does not open")]
    Hidden,
    /// It would be larger than RADIUS can carry.
    #[error(transparent)]
    DoesNotFit(#[from] DoesNotFit),
}

/// Writes a login for the old server. `authenticator` and `mark` are random.
///
/// A CHAP login whose challenge is the Request Authenticator gets it as an attribute, for the
/// authenticator is another one from here on (RFC 2865 §5.40).
pub fn login(
    request: &VerifiedAccess<'_>,
    router: &Secret,
    server: &Secret,
    authenticator: Authenticator,
    mark: Mark,
) -> Result<Outgoing, Untranslatable> {
    let packet = request.packet();
    let signed = Signature::MessageAuthenticator;
    let mut builder = Builder::new(Vec::new(), Code::AccessRequest, 0, signed);
    for attribute in packet.attributes() {
        match attribute.kind {
            attribute::MESSAGE_AUTHENTICATOR => {}
            attribute::USER_PASSWORD => {
                let clear = pap::reveal(attribute.value, packet.authenticator(), router)
                    .map_err(|pap::BadLength| Untranslatable::Hidden)?;
                let hidden = pap::hide(clear.as_bytes(), &authenticator, server)
                    .map_err(|pap::BadLength| Untranslatable::Hidden)?;
                builder.push(attribute.kind, &hidden)?;
            }
            _ => builder.push(attribute.kind, attribute.value)?,
        }
    }
    let chap = packet.first(attribute::CHAP_PASSWORD).is_some();
    if chap && packet.first(attribute::CHAP_CHALLENGE).is_none() {
        builder.push(attribute::CHAP_CHALLENGE, packet.authenticator())?;
    }
    builder.push(attribute::PROXY_STATE, &mark)?;
    Ok(Outgoing {
        builder,
        authenticator: Some(authenticator),
        mark,
    })
}

/// Writes an accounting record for the old server; nothing in it is hidden. `mark` is random.
///
/// A Message-Authenticator, which RFC 2866 does not define here, would be wrong and is left out.
pub fn record(request: &VerifiedAccounting<'_>, mark: Mark) -> Result<Outgoing, Untranslatable> {
    let none = Signature::None;
    let mut builder = Builder::new(Vec::new(), Code::AccountingRequest, 0, none);
    let attributes = request.packet().attributes();
    for attribute in attributes.filter(|one| one.kind != attribute::MESSAGE_AUTHENTICATOR) {
        builder.push(attribute.kind, attribute.value)?;
    }
    builder.push(attribute::PROXY_STATE, &mark)?;
    Ok(Outgoing {
        builder,
        authenticator: None,
        mark,
    })
}

impl Outgoing {
    /// Signs it under this identifier.
    pub fn sign(self, identifier: u8, server: &Secret) -> Signed {
        let builder = self.builder.numbered(identifier);
        let (datagram, authenticator) = match self.authenticator {
            Some(authenticator) => (builder.sign_access(&authenticator, server), authenticator),
            None => {
                let datagram = builder.sign_request(server);
                let digest = datagram.get(4..20).and_then(|digest| digest.first_chunk());
                let digest = *digest.expect("a built packet has a header");
                (datagram, digest)
            }
        };
        Signed {
            datagram,
            authenticator,
            mark: self.mark,
        }
    }
}

impl OldAnswer {
    /// Keeps an answer that was verified against this request.
    pub(super) fn new(answer: &Packet<'_>, request: &Signed, secret: Arc<Secret>) -> OldAnswer {
        OldAnswer {
            octets: answer.bytes().into(),
            request: request.authenticator,
            secret,
            mark: request.mark,
        }
    }

    /// The answer as it came.
    pub fn packet(&self) -> Packet<'_> {
        Packet::parse(&self.octets).expect("it was parsed before it was verified")
    }

    /// Writes and signs the answer for the router that asked.
    ///
    /// The Message-Authenticator goes first and the router's own Proxy-State attributes last. Fails where
    /// a hidden attribute does not open or the packet grows too large: nothing of it is passed on then.
    pub fn encode(
        &self,
        request: &VerifiedAccess<'_>,
        router: &Secret,
    ) -> Result<Vec<u8>, Untranslatable> {
        let (answer, request) = (self.packet(), request.packet());
        let code = match answer.code() {
            Some(code @ (Code::AccessAccept | Code::AccessReject | Code::AccessChallenge)) => code,
            Some(_) | None => return Err(Untranslatable::Hidden), // the proxy lets no other through
        };
        let signed = Signature::MessageAuthenticator;
        let mut reply = Builder::new(Vec::new(), code, request.identifier(), signed);
        let hide = Rehide {
            from: (&self.request, &self.secret),
            to: (request.authenticator(), router),
        };
        for attribute in answer.attributes() {
            match attribute.kind {
                attribute::MESSAGE_AUTHENTICATOR | attribute::PROXY_STATE => {}
                attribute::TUNNEL_PASSWORD => {
                    let (tag, hidden) = attribute
                        .value
                        .split_first()
                        .ok_or(Untranslatable::Hidden)?;
                    let mut value = vec![*tag];
                    value.extend(hide.salted(hidden)?);
                    reply.push(attribute.kind, &value)?;
                }
                attribute::VENDOR_SPECIFIC => hide.push_vendor(&mut reply, attribute)?,
                _ => reply.push(attribute.kind, attribute.value)?,
            }
        }
        reply.push_proxy_state(request)?;
        Ok(reply.sign_answer(request.authenticator(), router))
    }

    /// Whether the old server gave our Proxy-State back, as it must.
    pub fn is_marked(&self) -> bool {
        let answer = self.packet();
        let mut states = answer.attributes();
        states.any(|one| one.kind == attribute::PROXY_STATE && one.value == self.mark)
    }
}

impl PartialEq for OldAnswer {
    fn eq(&self, other: &OldAnswer) -> bool {
        self.octets == other.octets && self.mark == other.mark
    }
}

impl Eq for OldAnswer {}

/// Hides anew what was hidden for us.
struct Rehide<'a> {
    from: (&'a Authenticator, &'a Secret),
    to: (&'a Authenticator, &'a Secret),
}

impl Rehide<'_> {
    /// Only Microsoft hides anything that a router here could use (RFC 2548 §2.4). An envelope without
    /// such a thing stays as it is, whatever its format.
    fn push_vendor(
        &self,
        reply: &mut Builder,
        envelope: Attribute<'_>,
    ) -> Result<(), Untranslatable> {
        let hidden = [
            microsoft::CHAP_MPPE_KEYS,
            microsoft::MPPE_SEND_KEY,
            microsoft::MPPE_RECV_KEY,
        ];
        let specific = envelope.vendor_specific();
        let specific = specific.filter(|specific| {
            specific.vendor == microsoft::VENDOR
                && specific
                    .attributes()
                    .any(|inner| hidden.contains(&inner.kind))
        });
        let Some(specific) = specific else {
            return Ok(reply.push(envelope.kind, envelope.value)?);
        };
        for inner in specific.attributes() {
            let value = match inner.kind {
                microsoft::CHAP_MPPE_KEYS => self.unsalted(inner.value)?,
                microsoft::MPPE_SEND_KEY | microsoft::MPPE_RECV_KEY => self.salted(inner.value)?,
                _ => inner.value.to_vec(),
            };
            reply.push_vendor(specific.vendor, inner.kind, &value)?;
        }
        Ok(())
    }

    /// Salt, then length, text and padding (RFC 2548 §2.4.2, RFC 2868 §3.5). The salt stays: it differs
    /// from the others of its packet already.
    fn salted(&self, hidden: &[u8]) -> Result<Vec<u8>, Untranslatable> {
        let clear = mppe::reveal_any(hidden, self.from.0, self.from.1);
        let clear = clear.ok_or(Untranslatable::Hidden)?;
        let salt = hidden.first_chunk().ok_or(Untranslatable::Hidden)?;
        Ok(mppe::hide_any(&clear, *salt, self.to.0, self.to.1))
    }

    /// As User-Password is hidden, of a fixed length (RFC 2548 §2.4.1).
    fn unsalted(&self, hidden: &[u8]) -> Result<Vec<u8>, Untranslatable> {
        let clear = pap::reveal(hidden, self.from.0, self.from.1);
        let clear = clear.map_err(|pap::BadLength| Untranslatable::Hidden)?;
        let mut padded = zeroize::Zeroizing::new(clear.as_bytes().to_vec());
        padded.resize(hidden.len(), 0);
        pap::hide(&padded, self.to.0, self.to.1).map_err(|pap::BadLength| Untranslatable::Hidden)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;
    use crate::radius::SigningPolicy;
    use crate::radius::client::{self, Login, Method};
    use crate::radius::verify::check_answer;

    const OLD: Authenticator = [7; 16];
    const MARK: Mark = *b"our mark";

    #[test]
    fn a_password_is_hidden_under_the_old_servers_secret() {
        let asked = asked(
            Method::Pap {
                password: b"jane's",
            },
            &[],
        );
        let sent = forward(&asked).sign(9, &server());
        let packet = Packet::parse(&sent.datagram).unwrap();
        assert_eq!((packet.identifier(), packet.authenticator()), (9, &OLD));
        let hidden = packet.first(attribute::USER_PASSWORD).unwrap();
        let clear = pap::reveal(hidden, &OLD, &server()).unwrap();
        assert_eq!(clear.as_bytes(), b"jane's");
        // Signed for the old server, and our Proxy-State is last.
        let checked = VerifiedAccess::check(packet, &server(), SigningPolicy::Require);
        assert!(checked.is_ok());
        let last = packet.attributes().last().unwrap();
        assert_eq!((last.kind, last.value), (attribute::PROXY_STATE, &MARK[..]));
    }

    #[test]
    fn a_challenge_that_was_the_authenticator_goes_along() {
        let digest = crate::radius::chap::digest(3, b"jane's", &AUTHENTICATOR);
        let value = [&[3][..], &digest].concat();
        let asked = asked(Method::None, &[(attribute::CHAP_PASSWORD, &value)]);
        let sent = forward(&asked).sign(9, &server());
        let packet = Packet::parse(&sent.datagram).unwrap();
        let challenge = packet.first(attribute::CHAP_CHALLENGE);
        assert_eq!(challenge, Some(&AUTHENTICATOR[..]));
        assert_eq!(packet.first(attribute::CHAP_PASSWORD), Some(&value[..]));
    }

    #[test]
    fn the_answer_comes_back_under_the_routers_secret_without_our_state() {
        let others = [
            (attribute::PROXY_STATE, &b"theirs"[..]),
            (attribute::PROXY_STATE, b"and theirs"),
        ];
        let asked = asked(Method::Pap { password: b"x" }, &others);
        let sent = forward(&asked).sign(9, &server());
        let request = Packet::parse(&sent.datagram).unwrap();
        let states = |packet: &Packet<'_>| -> Vec<Vec<u8>> {
            let all = packet.attributes();
            let all = all.filter(|one| one.kind == attribute::PROXY_STATE);
            all.map(|one| one.value.to_vec()).collect()
        };
        assert_eq!(states(&request), [&b"theirs"[..], b"and theirs", &MARK]);

        let mut answer = Builder::new(Vec::new(), Code::AccessAccept, 9, Signature::None);
        let key = |number: u8, salt| mppe::hide_any(&[number; 16], salt, &OLD, &server());
        let (send, recv) = (key(1, [0x80, 1]), key(2, [0x80, 2]));
        // Both keys in one envelope, as some servers send them.
        let inner = [
            &microsoft::VENDOR.to_be_bytes()[..],
            &[microsoft::MPPE_SEND_KEY, 36],
            &send,
            &[microsoft::MPPE_RECV_KEY, 36],
            &recv,
        ];
        answer
            .push(attribute::VENDOR_SPECIFIC, &inner.concat())
            .unwrap();
        let both = [[3; 8].as_slice(), &[4; 16], &[0; 8]].concat();
        let both = pap::hide(&both, &OLD, &server()).unwrap();
        let (vendor, keys) = (microsoft::VENDOR, microsoft::CHAP_MPPE_KEYS);
        answer.push_vendor(vendor, keys, &both).unwrap();
        let tunnel = mppe::hide_any(b"tunnel", [0x90, 3], &OLD, &server());
        let tunnel = [&[1][..], &tunnel].concat();
        answer.push(attribute::TUNNEL_PASSWORD, &tunnel).unwrap();
        answer.push_vendor(14988, 8, b"5M/5M").unwrap();
        answer.push(attribute::CLASS, b"old class").unwrap();
        answer.push_proxy_state(&request).unwrap();
        let answer = answer.sign_answer(&OLD, &server());
        let old = OldAnswer::new(&Packet::parse(&answer).unwrap(), &sent, Arc::new(server()));
        assert!(old.is_marked());

        let verified = verified(&asked);
        let reply = old.encode(&verified, &router()).unwrap();
        let reply = client::read_answer(&reply, &asked, &router()).unwrap();
        assert_eq!(reply.identifier(), 5);
        assert_eq!(states(&reply), [&b"theirs"[..], b"and theirs"]);
        let keys = client::mppe_keys(&reply, &AUTHENTICATOR, &router()).unwrap();
        assert_eq!((keys.send, keys.recv), ([1; 16], [2; 16]));
        let both = reply
            .first_vendor(vendor, microsoft::CHAP_MPPE_KEYS)
            .unwrap();
        let clear = pap::reveal(both, &AUTHENTICATOR, &router()).unwrap();
        assert_eq!(clear.as_bytes(), [[3; 8].as_slice(), &[4; 16]].concat());
        let tunnel = reply.first(attribute::TUNNEL_PASSWORD).unwrap();
        let clear = mppe::reveal_any(&tunnel[1..], &AUTHENTICATOR, &router()).unwrap();
        assert_eq!((tunnel[0], clear.as_slice()), (1, &b"tunnel"[..]));
        assert_eq!(reply.first_vendor(14988, 8), Some(&b"5M/5M"[..]));
        assert_eq!(reply.first(attribute::CLASS), Some(&b"old class"[..]));
    }

    #[test]
    fn a_record_keeps_everything_but_its_signature() {
        let attributes = [
            (attribute::ACCT_STATUS_TYPE, &1u32.to_be_bytes()[..]),
            (attribute::ACCT_SESSION_ID, b"81000001"),
            (attribute::MESSAGE_AUTHENTICATOR, &[0; 16]),
        ];
        let told = client::accounting_request(&attributes, 3, &router()).unwrap();
        let told = VerifiedAccounting::check(Packet::parse(&told).unwrap(), &router()).unwrap();
        let sent = record(&told, MARK).unwrap().sign(77, &server());
        let packet = Packet::parse(&sent.datagram).unwrap();
        assert!(VerifiedAccounting::check(packet, &server()).is_ok());
        assert_eq!(packet.authenticator(), &sent.authenticator);
        let kinds: Vec<u8> = packet.attributes().map(|one| one.kind).collect();
        assert_eq!(kinds, [40, 44, 33]);
    }

    proptest! {
        /// Whatever the old server says: an answer that the router can read, or none.
        #[test]
        fn no_answer_of_the_old_server_breaks_us(
            attributes in prop::collection::vec(
                (prop::sample::select(vec![1u8, 18, 24, 26, 33, 69, 79, 80]),
                 prop::collection::vec(any::<u8>(), 0..80)), 0..20),
            microsoft in any::<bool>(),
        ) {
            let asked = asked(Method::Pap { password: b"x" }, &[]);
            let sent = forward(&asked).sign(9, &server());
            let mut answer = Builder::new(Vec::new(), Code::AccessAccept, 9, Signature::None);
            for (kind, value) in &attributes {
                let vendor = [&microsoft::VENDOR.to_be_bytes()[..], value].concat();
                let value = if *kind == 26 && microsoft { &vendor } else { value };
                answer.push(*kind, value).unwrap();
            }
            let answer = answer.sign_answer(&OLD, &server());
            let old = OldAnswer::new(&Packet::parse(&answer).unwrap(), &sent, Arc::new(server()));
            if let Ok(reply) = old.encode(&verified(&asked), &router()) {
                let reply = Packet::parse(&reply).unwrap();
                prop_assert!(check_answer(&reply, &AUTHENTICATOR, &router()).is_ok());
            }
        }
    }

    const AUTHENTICATOR: Authenticator = [5; 16];

    fn asked(method: Method<'_>, extra: &[(u8, &[u8])]) -> Vec<u8> {
        let login = Login {
            user_name: b"jane",
            method,
            extra,
            signature: Signature::MessageAuthenticator,
        };
        client::access_request(&login, 5, &AUTHENTICATOR, &router()).unwrap()
    }

    fn verified(asked: &[u8]) -> VerifiedAccess<'_> {
        let packet = Packet::parse(asked).unwrap();
        VerifiedAccess::check(packet, &router(), SigningPolicy::Require).unwrap()
    }

    fn forward(asked: &[u8]) -> Outgoing {
        login(&verified(asked), &router(), &server(), OLD, MARK).unwrap()
    }

    fn router() -> Secret {
        Secret::new(b"the router's secret")
    }

    fn server() -> Secret {
        Secret::new(b"the old server's secret")
    }
}
