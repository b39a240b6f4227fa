//! Is this the subscriber's password? One answer for PAP, CHAP and MS-CHAPv2, in EAP or not.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::eap::Success;
use super::mppe::MppeKeys;
use super::mschap::{AuthenticatorResponse, MsChapV2Response, NtHash};
use super::pap;
use super::request::{AccessRequest, Credential};
use super::secret::Secret;

/// A subscriber's password with what MS-CHAPv2 needs of it computed once (32 octets and the text).
///
/// PAP and CHAP need the clear text, MS-CHAPv2 the hash. It cannot be printed, and is wiped when
/// dropped.
#[derive(Clone)]
pub struct KnownPassword {
    clear: Zeroizing<Box<[u8]>>,
    nt_hash: NtHash,
}

impl KnownPassword {
    /// Takes the clear text, as octets: what a customer typed need not be UTF-8.
    pub fn new(clear: &[u8]) -> KnownPassword {
        KnownPassword {
            nt_hash: NtHash::of(clear),
            clear: Zeroizing::new(clear.into()),
        }
    }
}

impl fmt::Debug for KnownPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KnownPassword(..)")
    }
}

/// The password was right; what the Accept must say of it.
#[derive(Debug, Clone)]
pub enum Authenticated {
    /// PAP or CHAP: nothing to add.
    Plain,
    /// MS-CHAPv2: the subscriber wants proof, and the tunnel may want keys.
    MsChapV2(MsChapV2Proof),
    /// EAP: the end of the conversation, and keys for the line.
    Eap(Box<Success>),
}

/// What an Accept carries back to an MS-CHAPv2 subscriber.
#[derive(Debug, Clone)]
pub struct MsChapV2Proof {
    /// The identifier of the response.
    pub identifier: u8,
    /// `S=` and 40 hex digits.
    pub response: AuthenticatorResponse,
    /// Keys for MPPE; only used by routers that encrypt.
    pub keys: MppeKeys,
}

/// Why a login's password was not right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// It is another password.
    #[error("wrong password")]
    Wrong,
    /// It is another password and looks as if the router had another shared secret.
    #[error("unreadable password: the router's shared secret may differ")]
    Garbled,
    /// The request carries none.
    #[error("no password in the request")]
    Missing,
    /// Password attributes of impossible lengths, or an MS-CHAPv2 response without its challenge.
    #[error("malformed password attributes")]
    Malformed,
    /// MS-CHAPv1, which is not served; or EAP, which is no password but a conversation.
    #[error("authentication method not served")]
    Unsupported,
}

impl KnownPassword {
    /// Whether `typed` is the password, as clear text.
    pub fn is(&self, typed: &[u8]) -> bool {
        typed.ct_eq(&self.clear).into()
    }

    /// Checks an MS-CHAPv2 response of `user_name`; the proof and keys when it is right.
    pub fn check_ms_chap(
        &self,
        user_name: &[u8],
        login: &MsChapV2Response<'_>,
    ) -> Option<MsChapV2Proof> {
        let response = login.check(user_name, &self.nt_hash)?;
        Some(MsChapV2Proof {
            identifier: login.identifier,
            response,
            keys: MppeKeys::derive(&self.nt_hash, login.response),
        })
    }

    /// Checks a login. Equal comparisons take equal time.
    pub fn check(
        &self,
        request: &AccessRequest<'_>,
        secret: &Secret,
    ) -> Result<Authenticated, PasswordError> {
        match &request.credential {
            Credential::Pap { hidden } => {
                let typed = pap::reveal(hidden, request.authenticator, secret)
                    .map_err(|pap::BadLength| PasswordError::Malformed)?;
                if self.is(typed.as_bytes()) {
                    Ok(Authenticated::Plain)
                } else if typed.looks_garbled() {
                    Err(PasswordError::Garbled)
                } else {
                    Err(PasswordError::Wrong)
                }
            }
            Credential::Chap(chap) => match chap.matches(&self.clear) {
                true => Ok(Authenticated::Plain),
                false => Err(PasswordError::Wrong),
            },
            Credential::MsChapV2(login) => self
                .check_ms_chap(request.user_name, login)
                .map(Authenticated::MsChapV2)
                .ok_or(PasswordError::Wrong),
            Credential::MsChapV1 | Credential::Eap { .. } => Err(PasswordError::Unsupported),
            Credential::Malformed => Err(PasswordError::Malformed),
            Credential::None => Err(PasswordError::Missing),
        }
    }
}
