//! EAP-TTLS version 0 (RFC 5281) with PAP or MS-CHAPv2 inside.

use std::sync::Arc;

use rustls::ServerConfig;

use super::avp::{Avp, avps, push_vendor};
use super::conversation::{Denied, Step, World};
use super::tunnel::{Heard, Tunnel};
use super::{Keys, Kind};
use crate::radius::dictionary::{attribute, microsoft};
use crate::radius::mschap::MsChapV2Response;

/// One run of the method.
pub(super) struct Ttls {
    tunnel: Tunnel,
    phase: Phase,
}

enum Phase {
    Handshake,
    /// Name and password are awaited.
    Open,
    /// Our own proof is out (MS-CHAPv2); an empty message takes it.
    Proving {
        name: Vec<u8>,
        keys: Keys,
    },
}

/// What a peer says inside, attribute by attribute.
#[derive(Default)]
struct Credentials<'a> {
    user_name: Option<&'a [u8]>,
    password: Option<&'a [u8]>,
    ms_challenge: Option<&'a [u8]>,
    ms_response: Option<&'a [u8]>,
}

impl Ttls {
    /// Begins; returns the body of the first request.
    pub(super) fn begin(config: &Arc<ServerConfig>, mtu: usize) -> Option<(Ttls, Vec<u8>)> {
        let (tunnel, start) = Tunnel::begin(Kind::Ttls, config, mtu)?;
        let phase = Phase::Handshake;
        Some((Ttls { tunnel, phase }, start))
    }

    /// Takes what follows the type octet of a response.
    pub(super) fn on_response(&mut self, data: &[u8], world: &World<'_>) -> Step {
        let plain = match self.tunnel.on_response(data) {
            Heard::Carry(body) => return Step::Ask(body),
            Heard::Broken => return Step::Fail(None),
            Heard::Message(plain) => plain,
        };
        match &mut self.phase {
            Phase::Handshake if !self.tunnel.is_open() => Step::Ask(self.tunnel.say(&[])),
            // With TLS 1.3 the peer may speak with the last message of the handshake.
            Phase::Handshake | Phase::Open if plain.is_empty() => {
                self.phase = Phase::Open;
                Step::Ask(self.tunnel.say(&[]))
            }
            Phase::Handshake | Phase::Open => self.judge(&plain, world),
            Phase::Proving { name, keys } if plain.is_empty() => Step::Proven {
                name: std::mem::take(name),
                keys: keys.clone(),
            },
            Phase::Proving { .. } => Step::Fail(None),
        }
    }

    fn judge(&mut self, plain: &[u8], world: &World<'_>) -> Step {
        let (Some(told), Some(keys)) = (Credentials::read(plain), self.tunnel.keys()) else {
            return Step::Fail(None);
        };
        let name = told.user_name.unwrap_or_default();
        let denied = Step::Fail(Some(Denied {
            name: name.to_vec(),
        }));
        match (told.password, told.ms_challenge, told.ms_response) {
            (Some(padded), None, None) => {
                let name = name.to_vec();
                match world.password_of(&name).is(without_padding(padded)) {
                    true => Step::Proven { name, keys },
                    false => denied,
                }
            }
            (None, Some(challenge), Some(response)) => {
                let Some(login) = self.ms_chap(challenge, response) else {
                    return Step::Fail(None);
                };
                let Some(proof) = world.password_of(name).check_ms_chap(name, &login) else {
                    return denied;
                };
                let mut success = vec![proof.identifier];
                success.extend(proof.response);
                let mut answer = Vec::new();
                push_vendor(&mut answer, microsoft::CHAP2_SUCCESS, &success);
                self.phase = Phase::Proving {
                    name: name.to_vec(),
                    keys,
                };
                Step::Ask(self.tunnel.say(&answer))
            }
            (_, _, _) => Step::Fail(None), // none or several
        }
    }

    /// The challenge and the identifier come from the tunnel, so that a login seen elsewhere proves
    /// nothing here (RFC 5281 §11.2.4).
    fn ms_chap<'a>(&self, challenge: &'a [u8], response: &'a [u8]) -> Option<MsChapV2Response<'a>> {
        let mut own = [0; 17];
        self.tunnel.export(&mut own, b"ttls challenge", None)?;
        let login = MsChapV2Response::parse(response, challenge)?;
        (login.challenge[..] == own[..16] && login.identifier == own[16]).then_some(login)
    }
}

impl<'a> Credentials<'a> {
    fn read(plain: &'a [u8]) -> Option<Credentials<'a>> {
        let mut told = Credentials::default();
        for avp in avps(plain) {
            let Avp {
                vendor,
                code,
                value,
            } = avp?;
            let place = match (vendor, code) {
                (0, code) if code == u32::from(attribute::USER_NAME) => &mut told.user_name,
                (0, code) if code == u32::from(attribute::USER_PASSWORD) => &mut told.password,
                (microsoft::VENDOR, code) if code == u32::from(microsoft::CHAP_CHALLENGE) => {
                    &mut told.ms_challenge
                }
                (microsoft::VENDOR, code) if code == u32::from(microsoft::CHAP2_RESPONSE) => {
                    &mut told.ms_response
                }
                _ => continue,
            };
            place.get_or_insert(value);
        }
        Some(told)
    }
}

/// Passwords are padded with zeros to hide how long they are (RFC 5281 §11.2.5).
fn without_padding(padded: &[u8]) -> &[u8] {
    let end = padded.iter().rposition(|octet| *octet != 0);
    &padded[..end.map_or(0, |end| end + 1)]
}
