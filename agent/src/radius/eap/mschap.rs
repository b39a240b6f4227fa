//! EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2-02), by itself or inside PEAP.

use super::conversation::{Denied, Step, World};
use super::{Keys, Kind};
use crate::radius::mschap::MsChapV2Response;

/// One run of the method.
pub(super) struct MsChap {
    challenge: [u8; 16],
    state: State,
}

enum State {
    /// Our challenge is out.
    Challenged,
    /// The password was right; the peer still judges our proof that we hold it too.
    Proving { name: Vec<u8>, keys: Keys },
    /// It was not, and the peer was told.
    Denied,
}

impl MsChap {
    /// Begins with a challenge; returns the body of the request that carries it.
    pub(super) fn begin(world: &World<'_>) -> (MsChap, Vec<u8>) {
        let challenge: [u8; 16] = world.entropy.bytes();
        let identifier = challenge[0]; // any number; the peer returns it
        let mut value = vec![16];
        value.extend(challenge);
        value.extend(SERVER_NAME);
        let body = body(CHALLENGE, identifier, &value);
        let state = State::Challenged;
        (MsChap { challenge, state }, body)
    }

    /// Takes what follows the type octet of a response.
    pub(super) fn on_response(&mut self, data: &[u8], world: &World<'_>) -> Step {
        match (&mut self.state, data) {
            (State::Challenged, [RESPONSE, identifier, _, _, 49, rest @ ..]) => {
                self.judge(*identifier, rest, world)
            }
            (State::Proving { name, keys }, [SUCCESS, ..]) => Step::Proven {
                name: std::mem::take(name),
                keys: keys.clone(),
            },
            (State::Challenged | State::Proving { .. } | State::Denied, _) => Step::Fail(None),
        }
    }

    /// `rest` is the peer's challenge, eight reserved octets, the answer, flags, and the name.
    fn judge(&mut self, identifier: u8, rest: &[u8], world: &World<'_>) -> Step {
        let Some((value, name)) = rest.split_at_checked(49) else {
            return Step::Fail(None);
        };
        let (Ok(peer_challenge), Ok(response)) = (value[..16].try_into(), value[24..48].try_into())
        else {
            return Step::Fail(None);
        };
        let login = MsChapV2Response {
            identifier,
            challenge: &self.challenge,
            peer_challenge,
            response,
        };
        match world.password_of(name).check_ms_chap(name, &login) {
            Some(proof) => {
                let text = [&proof.response[..], b" M=OK"].concat();
                self.state = State::Proving {
                    name: name.to_vec(),
                    keys: Keys::MsChap(proof.keys),
                };
                Step::Ask(body(SUCCESS, identifier, &text))
            }
            None => {
                self.state = State::Denied;
                let challenge: [u8; 16] = world.entropy.bytes();
                let challenge = hex::encode_upper(challenge);
                // 691: unknown user or wrong password; R=0: no second try in this conversation.
                let text = format!("E=691 R=0 C={challenge} V=3 M=Login incorrect.");
                Step::Deny(
                    body(FAILURE, identifier, text.as_bytes()),
                    Denied {
                        name: name.to_vec(),
                    },
                )
            }
        }
    }
}

/// Type, code, identifier, and a length that counts from the code on.
fn body(code: u8, identifier: u8, rest: &[u8]) -> Vec<u8> {
    let length = (4 + rest.len()) as u16;
    let mut body = vec![Kind::MsChapV2 as u8, code, identifier];
    body.extend(length.to_be_bytes());
    body.extend(rest);
    body
}

const CHALLENGE: u8 = 1;
const RESPONSE: u8 = 2;
const SUCCESS: u8 = 3;
const FAILURE: u8 = 4;
/// Shown by some dialers beside the password prompt.
const SERVER_NAME: &[u8] = b"easyisp";
