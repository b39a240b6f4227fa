//! PEAP version 0 with EAP-MSCHAPv2 inside (draft-kamath-pppext-peapv0-00): what Windows, phones and
//! switches speak.
//!
//! Inside the tunnel EAP packets travel without their header, except the one that tells the result.

use std::sync::Arc;

use rustls::ServerConfig;

use super::conversation::{Step, World};
use super::mschap::MsChap;
use super::tunnel::{Heard, Tunnel};
use super::{Keys, Kind, Response, packet};

/// One run of the method.
pub(super) struct Peap {
    tunnel: Tunnel,
    phase: Phase,
}

enum Phase {
    Handshake,
    /// We asked who is there.
    Identity,
    MsChap(MsChap),
    /// The password was wrong and the peer was told; its answer is awaited.
    Denied,
    /// The result is out.
    Result(Option<(Vec<u8>, Keys)>),
}

impl Peap {
    /// Begins; returns the body of the first request.
    pub(super) fn begin(config: &Arc<ServerConfig>, mtu: usize) -> Option<(Peap, Vec<u8>)> {
        let (tunnel, start) = Tunnel::begin(Kind::Peap, config, mtu)?;
        let phase = Phase::Handshake;
        Some((Peap { tunnel, phase }, start))
    }

    /// Takes what follows the type octet of a response; `next` is the identifier of our next request.
    pub(super) fn on_response(&mut self, data: &[u8], next: u8, world: &World<'_>) -> Step {
        let plain = match self.tunnel.on_response(data) {
            Heard::Carry(body) => return Step::Ask(body),
            Heard::Broken => return Step::Fail(None),
            Heard::Message(plain) => plain,
        };
        match &mut self.phase {
            Phase::Handshake if !self.tunnel.is_open() || self.tunnel.has_to_send() => {
                Step::Ask(self.tunnel.say(&[]))
            }
            Phase::Handshake => {
                self.phase = Phase::Identity;
                Step::Ask(self.tunnel.say(&[Kind::Identity as u8]))
            }
            Phase::Identity => match plain.split_first() {
                Some((kind, _)) if *kind == Kind::Identity as u8 => {
                    let (method, body) = MsChap::begin(world);
                    self.phase = Phase::MsChap(method);
                    Step::Ask(self.tunnel.say(&body))
                }
                Some(_) | None => Step::Fail(None),
            },
            Phase::MsChap(method) => match plain.split_first() {
                Some((kind, data)) if *kind == Kind::MsChapV2 as u8 => {
                    let step = method.on_response(data, world);
                    self.go_on(step, next)
                }
                Some(_) | None => self.go_on(Step::Fail(None), next),
            },
            Phase::Denied => self.go_on(Step::Fail(None), next),
            Phase::Result(result) => match result.take() {
                Some((name, keys)) if says_success(&plain) => Step::Proven { name, keys },
                Some(_) | None => Step::Fail(None),
            },
        }
    }

    /// Takes a step of the inner method outside.
    fn go_on(&mut self, step: Step, next: u8) -> Step {
        match step {
            Step::Ask(body) => Step::Ask(self.tunnel.say(&body)),
            Step::Deny(body, denied) => {
                self.phase = Phase::Denied;
                Step::Deny(self.tunnel.say(&body), denied)
            }
            Step::Proven { name, .. } => {
                let Some(keys) = self.tunnel.keys() else {
                    return Step::Fail(None);
                };
                self.phase = Phase::Result(Some((name, keys)));
                Step::Ask(self.tunnel.say(&result(next, SUCCESS)))
            }
            Step::Fail(denied) => {
                self.phase = Phase::Result(None);
                let body = self.tunnel.say(&result(next, FAILURE));
                match denied {
                    Some(denied) => Step::Deny(body, denied),
                    None => Step::Ask(body),
                }
            }
        }
    }
}

/// A whole EAP-Request with a Result TLV that the peer must understand.
fn result(identifier: u8, status: u8) -> Vec<u8> {
    let mut body = vec![Kind::Tlv as u8];
    body.extend(RESULT_TLV);
    body.extend([0, status]);
    packet::request(identifier, &body)
}

fn says_success(plain: &[u8]) -> bool {
    let Some(response) = Response::parse(plain) else {
        return false;
    };
    response.kind == Kind::Tlv as u8
        && response.data.strip_prefix(&RESULT_TLV) == Some(&[0, SUCCESS])
}

/// Mandatory, type 3, two octets long.
const RESULT_TLV: [u8; 4] = [0x80, 3, 0, 2];
const SUCCESS: u8 = 1;
const FAILURE: u8 = 2;
