//! The router's side of the codec: asks as a router does and judges the answer. For the self-login
//! of `doctor` and for pretend routers; the agent proper only answers.

use super::builder::{Builder, DoesNotFit, Signature};
use super::dictionary::{Code, attribute, microsoft};
use super::mppe::MppeKeys;
use super::mschap::{MsChapV2Response, NtHash, challenge_hash, challenge_response};
use super::packet::{Authenticator, Malformed, Packet};
use super::secret::Secret;
use super::verify::{Proof, Refused, check_answer};
use super::{chap, mppe, pap};

/// A login to send. Attributes beyond name and password are `extra`, in wire form.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    /// User-Name.
    pub user_name: &'a [u8],
    /// How the password is shown.
    pub method: Method<'a>,
    /// Type and value of further attributes, in order.
    pub extra: &'a [(u8, &'a [u8])],
    /// With Message-Authenticator as RouterOS 7.15 and newer, or without as older ones.
    pub signature: Signature,
}

/// The subscriber's side of authentication.
#[derive(Debug, Clone, Copy)]
pub enum Method<'a> {
    /// User-Password.
    Pap {
        /// Clear text, at most 128 octets.
        password: &'a [u8],
    },
    /// CHAP-Password and CHAP-Challenge.
    Chap {
        /// Clear text.
        password: &'a [u8],
        /// Random.
        identifier: u8,
        /// Random.
        challenge: [u8; 16],
    },
    /// MS-CHAP2-Response and MS-CHAP-Challenge.
    MsChapV2 {
        /// Clear text.
        password: &'a [u8],
        /// Any.
        identifier: u8,
        /// Random, the router's.
        challenge: [u8; 16],
        /// Random, the subscriber's.
        peer_challenge: [u8; 16],
    },
    /// No password attribute.
    None,
}

/// Writes an Access-Request; `authenticator` is random.
pub fn access_request(
    login: &Login<'_>,
    identifier: u8,
    authenticator: &Authenticator,
    secret: &Secret,
) -> Result<Vec<u8>, DoesNotFit> {
    let code = Code::AccessRequest;
    let mut request = Builder::new(Vec::new(), code, identifier, login.signature);
    request.push(attribute::USER_NAME, login.user_name)?;
    login.push_password(&mut request, authenticator, secret)?;
    for (kind, value) in login.extra {
        request.push(*kind, value)?;
    }
    Ok(request.sign_access(authenticator, secret))
}

impl Login<'_> {
    fn push_password(
        &self,
        request: &mut Builder,
        authenticator: &Authenticator,
        secret: &Secret,
    ) -> Result<(), DoesNotFit> {
        match self.method {
            Method::Pap { password } => {
                let kind = attribute::USER_PASSWORD;
                let hidden = pap::hide(password, authenticator, secret)
                    .map_err(|pap::BadLength| DoesNotFit { kind })?;
                request.push(kind, &hidden)
            }
            Method::Chap {
                password,
                identifier,
                challenge,
            } => {
                let mut value = [identifier; 17];
                value[1..].copy_from_slice(&chap::digest(identifier, password, &challenge));
                request.push(attribute::CHAP_PASSWORD, &value)?;
                request.push(attribute::CHAP_CHALLENGE, &challenge)
            }
            Method::MsChapV2 {
                password,
                identifier,
                challenge,
                peer_challenge,
            } => {
                let short = challenge_hash(&peer_challenge, &challenge, self.user_name);
                let mut value = [0; 50];
                value[0] = identifier;
                value[2..18].copy_from_slice(&peer_challenge);
                value[26..].copy_from_slice(&challenge_response(&short, &NtHash::of(password)));
                let vendor = microsoft::VENDOR;
                request.push_vendor(vendor, microsoft::CHAP_CHALLENGE, &challenge)?;
                request.push_vendor(vendor, microsoft::CHAP2_RESPONSE, &value)
            }
            Method::None => Ok(()),
        }
    }
}

/// Writes an Accounting-Request from attributes in order.
pub fn accounting_request(
    attributes: &[(u8, &[u8])],
    identifier: u8,
    secret: &Secret,
) -> Result<Vec<u8>, DoesNotFit> {
    let code = Code::AccountingRequest;
    let mut request = Builder::new(Vec::new(), code, identifier, Signature::None);
    for (kind, value) in attributes {
        request.push(*kind, value)?;
    }
    Ok(request.sign_request(secret))
}

/// Writes a Status-Server (RFC 5997); `authenticator` is random.
pub fn status_server(identifier: u8, authenticator: &Authenticator, secret: &Secret) -> Vec<u8> {
    Builder::new(
        Vec::new(),
        Code::StatusServer,
        identifier,
        Signature::MessageAuthenticator,
    )
    .sign_access(authenticator, secret)
}

/// Why a datagram is not the answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTheAnswer {
    /// No RADIUS packet.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Another request's.
    #[error("answer to another request")]
    WrongIdentifier,
    /// Signed by somebody else.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// An Access answer that a current RouterOS would drop: Message-Authenticator missing or not
    /// the first attribute.
    #[error("Message-Authenticator is not the first attribute")]
    NotSignedFirst,
}

/// Judges an answer as strictly as the strictest router.
pub fn read_answer<'a>(
    datagram: &'a [u8],
    request: &[u8],
    secret: &Secret,
) -> Result<Packet<'a>, NotTheAnswer> {
    let (answer, request) = (Packet::parse(datagram)?, Packet::parse(request)?);
    if answer.identifier() != request.identifier() {
        return Err(NotTheAnswer::WrongIdentifier);
    }
    let proof = check_answer(&answer, request.authenticator(), secret)?;
    let access = matches!(
        answer.code(),
        Some(Code::AccessAccept | Code::AccessReject | Code::AccessChallenge)
    );
    let first = answer.attributes().next().map(|attribute| attribute.kind);
    if access && (proof != Proof::Signed || first != Some(attribute::MESSAGE_AUTHENTICATOR)) {
        return Err(NotTheAnswer::NotSignedFirst);
    }
    Ok(answer)
}

/// Judges a CoA- or Disconnect-Request as a router does (RFC 5176 §2.3, §3.4).
pub fn read_order<'a>(datagram: &'a [u8], secret: &Secret) -> Result<Packet<'a>, NotTheAnswer> {
    let order = Packet::parse(datagram)?;
    match order.code() {
        Some(Code::CoaRequest | Code::DisconnectRequest) => {}
        Some(_) | None => return Err(Refused::WrongCode.into()),
    }
    check_answer(&order, &[0; 16], secret)?;
    Ok(order)
}

/// A router's answer to a CoA- or Disconnect-Request: done, or refused with an Error-Cause.
pub fn answer_order(
    order: &Packet<'_>,
    refusal: Option<u32>,
    secret: &Secret,
) -> Result<Vec<u8>, DoesNotFit> {
    let disconnect = order.code() == Some(Code::DisconnectRequest);
    let code = match (disconnect, refusal) {
        (true, None) => Code::DisconnectAck,
        (true, Some(_)) => Code::DisconnectNak,
        (false, None) => Code::CoaAck,
        (false, Some(_)) => Code::CoaNak,
    };
    let mut answer = Builder::new(Vec::new(), code, order.identifier(), Signature::None);
    if let Some(cause) = refusal {
        answer.push_number(attribute::ERROR_CAUSE, cause)?;
    }
    Ok(answer.sign_answer(order.authenticator(), secret))
}

/// Whether an Accept proves to an MS-CHAPv2 subscriber that the server knows the password.
pub fn proves_password(
    accept: &Packet<'_>,
    user_name: &[u8],
    login: &MsChapV2Response<'_>,
    password: &NtHash,
) -> bool {
    let success = accept.first_vendor(microsoft::VENDOR, microsoft::CHAP2_SUCCESS);
    match (success, login.check(user_name, password)) {
        (Some([identifier, text @ ..]), Some(expected)) => {
            *identifier == login.identifier && text == expected
        }
        (_, _) => false,
    }
}

/// The MPPE keys of an Accept.
pub fn mppe_keys(
    accept: &Packet<'_>,
    request: &Authenticator,
    secret: &Secret,
) -> Option<MppeKeys> {
    let reveal = |kind| {
        let hidden = accept.first_vendor(microsoft::VENDOR, kind)?;
        mppe::reveal(hidden, request, secret)
    };
    Some(MppeKeys {
        send: reveal(microsoft::MPPE_SEND_KEY)?,
        recv: reveal(microsoft::MPPE_RECV_KEY)?,
    })
}
