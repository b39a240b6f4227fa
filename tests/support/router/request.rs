//! Writes an Access-Request as RouterOS does and judges its answer as RouterOS does.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

use easyisp_agent::radius::builder::{Builder, Signature};
use easyisp_agent::radius::client::proves_password;
use easyisp_agent::radius::dictionary::{attribute, microsoft, mikrotik};
use easyisp_agent::radius::mschap::{self, MsChapV2Response, NtHash};
use easyisp_agent::radius::verify::check_answer;
use easyisp_agent::radius::{Code, Packet, Proof, Secret, chap, pap};
use easyisp_shared::entropy::Entropy;

use super::grants::Grants;
use super::record::describe;
use super::session::Service;
use super::subscriber::{Method, Subscriber};
use super::wiring::Wiring;
use super::{Settings, Strictness};

/// A login whose random parts are drawn; the identifier is still open.
pub(super) struct Login {
    authenticator: [u8; 16],
    attributes: Vec<(u8, Vec<u8>)>,
    proof: Option<MsChap>,
}

struct MsChap {
    user: Vec<u8>,
    password: NtHash,
    challenge: [u8; 16],
    peer_challenge: [u8; 16],
    response: [u8; 24],
}

/// What the answer to a login says.
pub(super) enum Answer {
    Accept(Box<Grants>),
    Reject(String),
    /// An Accept that does not prove to an MS-CHAPv2 subscriber that the server knows the password.
    Unproven,
}

impl Login {
    /// Draws a login of this subscriber on NAS-Port `nas_port` (hotspot: the coming session's id).
    pub(super) fn new(
        subscriber: &Subscriber,
        nas_port: u32,
        settings: &Settings,
        wiring: &Wiring,
        entropy: &Entropy,
    ) -> Login {
        let secret: &Secret = &wiring.secret;
        let authenticator = entropy.bytes();
        let name = subscriber.name.as_str();
        let mut attributes = describe(subscriber.service, &subscriber.mac, name, nas_port);
        if let (Service::Hotspot, Some(address)) = (subscriber.service, subscriber.host) {
            let host = [
                &mikrotik::VENDOR.to_be_bytes()[..],
                &[mikrotik::HOST_IP, 6],
                &address.octets(),
            ];
            attributes.push((
                attribute::ACCT_SESSION_ID,
                format!("{nas_port:08x}").into_bytes(),
            ));
            attributes.push((attribute::FRAMED_IP_ADDRESS, address.octets().to_vec()));
            attributes.push((attribute::VENDOR_SPECIFIC, host.concat()));
        }

        let password = subscriber.password.as_bytes();
        let mut proof = None;
        match subscriber.method {
            Method::Pap => {
                let hidden = pap::hide(password, &authenticator, secret).unwrap_or_default();
                attributes.push((attribute::USER_PASSWORD, hidden));
            }
            Method::Chap => {
                let [identifier] = entropy.bytes();
                let challenge: [u8; 16] = entropy.bytes();
                let digest = chap::digest(identifier, password, &challenge);
                attributes.push((attribute::CHAP_CHALLENGE, challenge.to_vec()));
                attributes.push((
                    attribute::CHAP_PASSWORD,
                    [&[identifier][..], &digest].concat(),
                ));
            }
            Method::MsChapV2 => {
                let login = MsChap::new(name, password, entropy);
                let mut response = vec![IDENTIFIER, 0];
                response.extend(login.peer_challenge);
                response.extend([0; 8]);
                response.extend(login.response);
                attributes.push(microsoft_attribute(
                    microsoft::CHAP_CHALLENGE,
                    &login.challenge,
                ));
                attributes.push(microsoft_attribute(microsoft::CHAP2_RESPONSE, &response));
                proof = Some(login);
            }
        }

        attributes.push((
            attribute::NAS_IDENTIFIER,
            wiring.identity.as_bytes().to_vec(),
        ));
        attributes.push((attribute::NAS_IP_ADDRESS, settings.source.octets().to_vec()));
        Login {
            authenticator,
            attributes,
            proof,
        }
    }

    /// What a DHCP server asks of a device that is described so: without a password.
    pub(super) fn of_lease(
        described: Vec<(u8, Vec<u8>)>,
        settings: &Settings,
        wiring: &Wiring,
        entropy: &Entropy,
    ) -> Login {
        let authenticator = entropy.bytes();
        let blank = pap::hide(b"", &authenticator, &wiring.secret).unwrap_or_default();
        let mut attributes = described;
        attributes.push((attribute::USER_PASSWORD, blank));
        attributes.push((
            attribute::NAS_IDENTIFIER,
            wiring.identity.as_bytes().to_vec(),
        ));
        attributes.push((attribute::NAS_IP_ADDRESS, settings.source.octets().to_vec()));
        Login {
            authenticator,
            attributes,
            proof: None,
        }
    }

    /// The datagram. RouterOS puts Message-Authenticator last, so it is signed here.
    pub(super) fn write(&self, identifier: u8, settings: &Settings, wiring: &Wiring) -> Vec<u8> {
        let secret: &Secret = &wiring.secret;
        let mut request =
            Builder::new(Vec::new(), Code::AccessRequest, identifier, Signature::None);
        for (kind, value) in &self.attributes {
            request
                .push(*kind, value)
                .expect("a login of a tested length fits");
        }
        match settings.strictness {
            Strictness::Old => request.sign_access(&self.authenticator, secret),
            Strictness::Signed | Strictness::SignedFirst => {
                let signature = (attribute::MESSAGE_AUTHENTICATOR, [0; 16]);
                request
                    .push(signature.0, &signature.1)
                    .expect("a login of a tested length fits");
                let mut bytes = request.sign_access(&self.authenticator, secret);
                let mac = hmac_md5(wiring.secret_text.as_bytes(), &bytes);
                let value = bytes.len() - mac.len();
                bytes[value..].copy_from_slice(&mac);
                bytes
            }
        }
    }

    /// What an answer says; `None` for one that RouterOS drops.
    pub(super) fn judge(
        &self,
        answer: &[u8],
        request: &[u8],
        strictness: Strictness,
        secret: &Secret,
    ) -> Option<Answer> {
        let answer = Packet::parse(answer)
            .ok()
            .filter(|answer| request.get(1) == Some(&answer.identifier()))?;
        let proof = check_answer(&answer, &self.authenticator, secret).ok()?;
        let first = answer.attributes().next().map(|attribute| attribute.kind);
        let good = match strictness {
            Strictness::Old => true,
            Strictness::Signed => proof == Proof::Signed,
            Strictness::SignedFirst => first == Some(attribute::MESSAGE_AUTHENTICATOR),
        };
        match answer.code().filter(|_| good)? {
            Code::AccessAccept
                if self
                    .proof
                    .as_ref()
                    .is_some_and(|login| !login.is_proven(&answer)) =>
            {
                Some(Answer::Unproven)
            }
            Code::AccessAccept => Some(Answer::Accept(Box::new(Grants::read(&answer)))),
            Code::AccessReject => {
                let message = answer.first(attribute::REPLY_MESSAGE).unwrap_or_default();
                Some(Answer::Reject(
                    String::from_utf8_lossy(message).into_owned(),
                ))
            }
            _ => None, // no other code answers a login without EAP
        }
    }
}

impl MsChap {
    fn new(user: &str, password: &[u8], entropy: &Entropy) -> MsChap {
        let (challenge, peer_challenge) = (entropy.bytes(), entropy.bytes());
        let password = NtHash::of(password);
        let short = mschap::challenge_hash(&peer_challenge, &challenge, user.as_bytes());
        let response = mschap::challenge_response(&short, &password);
        MsChap {
            user: user.as_bytes().to_vec(),
            password,
            challenge,
            peer_challenge,
            response,
        }
    }

    fn is_proven(&self, accept: &Packet<'_>) -> bool {
        let login = MsChapV2Response {
            identifier: IDENTIFIER,
            challenge: &self.challenge,
            peer_challenge: &self.peer_challenge,
            response: &self.response,
        };
        proves_password(accept, &self.user, &login, &self.password)
    }
}

/// The MS-CHAP identifier of every login here.
const IDENTIFIER: u8 = 1;

fn microsoft_attribute(kind: u8, value: &[u8]) -> (u8, Vec<u8>) {
    let length = u8::try_from(value.len() + 2).expect("MS-CHAP values are short");
    let inner = [&microsoft::VENDOR.to_be_bytes()[..], &[kind, length], value];
    (attribute::VENDOR_SPECIFIC, inner.concat())
}

pub(super) fn hmac_md5(key: &[u8], bytes: &[u8]) -> [u8; 16] {
    let mut mac = Hmac::<Md5>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}
