//! What we answer: structs in, signed packets out.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::builder::{Builder, DoesNotFit, Signature};
use super::dictionary::{
    Code, FRAMED_PROTOCOL_PPP, attribute, microsoft, mikrotik, service_type, wispr,
};
use super::eap::{self, Keys};
use super::mppe;
use super::networks::Networks;
use super::packet::{MAX_VALUE_LEN, Packet};
use super::password::MsChapV2Proof;
use super::request::Service;
use super::secret::Secret;
use super::verify::{VerifiedAccess, VerifiedAccounting, VerifiedStatus};

/// The longest Session-Timeout RouterOS takes: 248.5 days in hundredths of a second are 31 bits.
pub const MAX_SESSION_SECS: u64 = 21_474_720;
/// The least Acct-Interim-Interval (RFC 2869 §5.16).
pub const MIN_INTERIM_SECS: u64 = 60;

/// The grant of an Access-Accept. What is `None` is left to the router's own profile.
#[derive(Debug, Clone)]
pub struct Accept<'a> {
    /// PPP gets Service-Type and Framed-Protocol back.
    pub service: Service,
    /// Mikrotik-Rate-Limit, in the router's words: upload first.
    pub rate_limit: Option<&'a str>,
    /// Session-Timeout, capped at what RouterOS takes; at least one second, for zero means no end.
    pub session_timeout: Option<Duration>,
    /// Acct-Interim-Interval, at least 60 s.
    pub interim_interval: Option<Duration>,
    /// Idle-Timeout.
    pub idle_timeout: Option<Duration>,
    /// Framed-IP-Address; wins over the pool on the router.
    pub framed_address: Option<Ipv4Addr>,
    /// Framed-Pool: a pool that exists on the router.
    pub framed_pool: Option<&'a str>,
    /// Port-Limit: devices at once on a hotspot.
    pub port_limit: Option<u32>,
    /// Mikrotik-Total-Limit: octets both ways that are left.
    pub total_limit: Option<u64>,
    /// Mikrotik-Address-List: walled garden and the like.
    pub address_list: Option<&'a str>,
    /// Mikrotik-Group: a profile that exists on the router.
    pub group: Option<&'a str>,
    /// Class: comes back in every accounting record.
    pub class: Option<&'a [u8]>,
    /// WISPr-Redirection-URL: the page a hotspot opens after the login.
    pub redirect: Option<&'a str>,
    /// Routes and IPv6, for PPP.
    pub networks: Networks<'a>,
    /// Reply-Message.
    pub message: Option<&'a str>,
    /// The proof and keys of an MS-CHAPv2 login, and how to hide the keys.
    pub ms_chap: Option<MsChapV2Grant<'a>>,
    /// The end of an EAP conversation and its keys.
    pub eap: Option<EapGrant<'a>>,
}

/// An MS-CHAPv2 login's part of an Accept.
#[derive(Debug, Clone, Copy)]
pub struct MsChapV2Grant<'a> {
    /// From [`KnownPassword::check`](super::password::KnownPassword::check).
    pub proof: &'a MsChapV2Proof,
    /// Random salt for the two keys.
    pub salt: [u8; 2],
}

/// An EAP login's part of an Accept.
#[derive(Debug, Clone, Copy)]
pub struct EapGrant<'a> {
    /// Of the response that this answers.
    pub identifier: u8,
    /// Who proved himself, for User-Name: the outer name may be anybody's (RFC 5281 §11.2.1).
    pub user_name: &'a [u8],
    /// For the line: 802.1X and IKEv2 sign and encrypt with them.
    pub keys: &'a Keys,
    /// Random salt for the two keys.
    pub salt: [u8; 2],
}

/// An Access-Challenge: the next packet of an EAP conversation.
#[derive(Debug, Clone, Copy)]
pub struct Challenge<'a> {
    /// Comes back with the answer; empty where nothing is remembered of it.
    pub state: &'a [u8],
    /// The EAP-Request.
    pub eap: &'a [u8],
}

/// The text of an Access-Reject.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reject<'a> {
    /// Reply-Message: a hotspot shows it on its login page.
    pub message: Option<&'a str>,
    /// MS-CHAP-Error for a login by MS-CHAPv2.
    pub ms_chap: Option<MsChapError>,
    /// The identifier of an EAP-Failure; there is no message then (RFC 3579 §2.6.5).
    pub eap: Option<u8>,
}

/// Why an MS-CHAPv2 login failed (RFC 2759 §6).
#[derive(Debug, Clone, Copy)]
pub struct MsChapError {
    /// The identifier of the response.
    pub identifier: u8,
    /// What the dialer shows.
    pub reason: MsChapReason,
    /// Random octets; a dialer may use them for another try.
    pub challenge: [u8; 16],
}

/// The error numbers of RFC 2759 §6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MsChapReason {
    /// 646: not at this hour.
    RestrictedHours,
    /// 647: suspended.
    AccountDisabled,
    /// 649: expired, no device slot, not on this router.
    NoPermission,
    /// 691: unknown user or wrong password.
    AuthenticationFailure,
}

impl Default for Accept<'_> {
    fn default() -> Self {
        Accept {
            service: Service::Other,
            rate_limit: None,
            session_timeout: None,
            interim_interval: None,
            idle_timeout: None,
            framed_address: None,
            framed_pool: None,
            port_limit: None,
            total_limit: None,
            address_list: None,
            group: None,
            class: None,
            redirect: None,
            networks: Networks::default(),
            message: None,
            ms_chap: None,
            eap: None,
        }
    }
}

impl Accept<'_> {
    /// Writes and signs the Access-Accept for a request into `buffer`, whose capacity is reused.
    pub fn encode(
        &self,
        request: &VerifiedAccess<'_>,
        secret: &Secret,
        buffer: Vec<u8>,
    ) -> Result<Vec<u8>, DoesNotFit> {
        let request = request.packet();
        let mut reply = answer(request, Code::AccessAccept, buffer);
        self.push_session(&mut reply)?;
        self.push_mikrotik(&mut reply)?;
        if let Some(grant) = self.ms_chap {
            grant.push(&mut reply, request, secret)?;
        }
        if let Some(grant) = self.eap {
            grant.push(&mut reply, request, secret)?;
        }
        reply.push_proxy_state(request)?;
        Ok(reply.sign_answer(request.authenticator(), secret))
    }

    fn push_session(&self, reply: &mut Builder) -> Result<(), DoesNotFit> {
        match self.service {
            Service::Ppp => {
                reply.push_number(attribute::SERVICE_TYPE, service_type::FRAMED)?;
                reply.push_number(attribute::FRAMED_PROTOCOL, FRAMED_PROTOCOL_PPP)?;
                self.networks.push(reply)?;
            }
            Service::Hotspot => {
                if let Some(url) = self.redirect {
                    reply.push_vendor(wispr::VENDOR, wispr::REDIRECTION_URL, url.as_bytes())?;
                }
            }
            Service::Router | Service::Other => {}
        }
        if let Some(timeout) = self.session_timeout {
            let secs = timeout.as_secs().clamp(1, MAX_SESSION_SECS);
            reply.push_number(attribute::SESSION_TIMEOUT, secs as u32)?;
        }
        if let Some(timeout) = self.idle_timeout {
            let secs = timeout.as_secs().clamp(1, MAX_SESSION_SECS);
            reply.push_number(attribute::IDLE_TIMEOUT, secs as u32)?;
        }
        if let Some(interval) = self.interim_interval {
            let secs = interval.as_secs().clamp(MIN_INTERIM_SECS, MAX_SESSION_SECS);
            reply.push_number(attribute::ACCT_INTERIM_INTERVAL, secs as u32)?;
        }
        if let Some(address) = self.framed_address {
            reply.push_address(attribute::FRAMED_IP_ADDRESS, address)?;
        }
        if let Some(pool) = self.framed_pool {
            reply.push(attribute::FRAMED_POOL, pool.as_bytes())?;
        }
        if let Some(limit) = self.port_limit {
            reply.push_number(attribute::PORT_LIMIT, limit)?;
        }
        if let Some(class) = self.class {
            reply.push(attribute::CLASS, class)?;
        }
        match self.eap {
            Some(_) => Ok(()), // an EAP peer shows nothing (RFC 3579 §2.6.5)
            None => push_message(reply, self.message),
        }
    }

    fn push_mikrotik(&self, reply: &mut Builder) -> Result<(), DoesNotFit> {
        let texts = [
            (mikrotik::RATE_LIMIT, self.rate_limit),
            (mikrotik::ADDRESS_LIST, self.address_list),
            (mikrotik::GROUP, self.group),
        ];
        for (kind, text) in texts {
            if let Some(text) = text {
                reply.push_vendor(mikrotik::VENDOR, kind, text.as_bytes())?;
            }
        }
        if let Some(octets) = self.total_limit {
            let (high, low) = ((octets >> 32) as u32, octets as u32);
            reply.push_vendor_number(mikrotik::VENDOR, mikrotik::TOTAL_LIMIT, low)?;
            reply.push_vendor_number(mikrotik::VENDOR, mikrotik::TOTAL_LIMIT_GIGAWORDS, high)?;
        }
        Ok(())
    }
}

impl MsChapV2Grant<'_> {
    fn push(
        &self,
        reply: &mut Builder,
        request: &Packet<'_>,
        secret: &Secret,
    ) -> Result<(), DoesNotFit> {
        let vendor = microsoft::VENDOR;
        let mut success = [0; 43];
        success[0] = self.proof.identifier;
        success[1..].copy_from_slice(&self.proof.response);
        reply.push_vendor(vendor, microsoft::CHAP2_SUCCESS, &success)?;

        let [high, low] = self.salt;
        let hide = |key, salt| mppe::hide(key, salt, request.authenticator(), secret);
        let send = hide(&self.proof.keys.send, [high, low]);
        let recv = hide(&self.proof.keys.recv, [high, low ^ 1]);
        reply.push_vendor(vendor, microsoft::MPPE_SEND_KEY, &send)?;
        reply.push_vendor(vendor, microsoft::MPPE_RECV_KEY, &recv)?;
        // Encryption allowed, not required; 128 bit only (RFC 2548 §2.4.4, §2.4.5).
        reply.push_vendor_number(vendor, microsoft::MPPE_ENCRYPTION_POLICY, 1)?;
        reply.push_vendor_number(vendor, microsoft::MPPE_ENCRYPTION_TYPES, 4)
    }
}

impl EapGrant<'_> {
    fn push(
        &self,
        reply: &mut Builder,
        request: &Packet<'_>,
        secret: &Secret,
    ) -> Result<(), DoesNotFit> {
        push_eap(reply, &eap::success(self.identifier))?;
        reply.push(attribute::USER_NAME, self.user_name)?;
        let [high, low] = self.salt;
        let salts = [[high, low], [high, low ^ 1]];
        let kinds = [microsoft::MPPE_SEND_KEY, microsoft::MPPE_RECV_KEY];
        let keys = [self.keys.send(), self.keys.recv()];
        for ((key, salt), kind) in keys.into_iter().zip(salts).zip(kinds) {
            let hidden = mppe::hide_any(key, salt, request.authenticator(), secret);
            reply.push_vendor(microsoft::VENDOR, kind, &hidden)?;
        }
        Ok(())
    }
}

impl Challenge<'_> {
    /// Writes and signs the Access-Challenge for a request into `buffer`, whose capacity is reused.
    pub fn encode(
        &self,
        request: &VerifiedAccess<'_>,
        secret: &Secret,
        buffer: Vec<u8>,
    ) -> Result<Vec<u8>, DoesNotFit> {
        let request = request.packet();
        let mut reply = answer(request, Code::AccessChallenge, buffer);
        push_eap(&mut reply, self.eap)?;
        if !self.state.is_empty() {
            reply.push(attribute::STATE, self.state)?;
        }
        reply.push_proxy_state(request)?;
        Ok(reply.sign_answer(request.authenticator(), secret))
    }
}

impl Reject<'_> {
    /// Writes and signs the Access-Reject for a request into `buffer`, whose capacity is reused.
    pub fn encode(
        &self,
        request: &VerifiedAccess<'_>,
        secret: &Secret,
        buffer: Vec<u8>,
    ) -> Result<Vec<u8>, DoesNotFit> {
        let request = request.packet();
        let mut reply = answer(request, Code::AccessReject, buffer);
        match self.eap {
            Some(identifier) => push_eap(&mut reply, &eap::failure(identifier))?,
            None => push_message(&mut reply, self.message)?,
        }
        if let Some(error) = self.ms_chap {
            reply.push_vendor(microsoft::VENDOR, microsoft::CHAP_ERROR, &error.text())?;
        }
        reply.push_proxy_state(request)?;
        Ok(reply.sign_answer(request.authenticator(), secret))
    }
}

impl MsChapError {
    /// Identifier and `E=… R=0 C=… V=3`: no retry within this dial.
    fn text(&self) -> Vec<u8> {
        let number = match self.reason {
            MsChapReason::RestrictedHours => 646,
            MsChapReason::AccountDisabled => 647,
            MsChapReason::NoPermission => 649,
            MsChapReason::AuthenticationFailure => 691,
        };
        let challenge = hex::encode_upper(self.challenge);
        let mut text = vec![self.identifier];
        text.extend(format!("E={number} R=0 C={challenge} V=3").into_bytes());
        text
    }
}

/// Writes and signs the Accounting-Response for a record that is on stable storage.
pub fn accounting_response(
    request: &VerifiedAccounting<'_>,
    secret: &Secret,
    buffer: Vec<u8>,
) -> Result<Vec<u8>, DoesNotFit> {
    let request = request.packet();
    let code = Code::AccountingResponse;
    let mut reply = Builder::new(buffer, code, request.identifier(), Signature::None);
    reply.push_proxy_state(request)?;
    Ok(reply.sign_answer(request.authenticator(), secret))
}

/// Which socket a Status-Server came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Port {
    /// 1812
    Authentication,
    /// 1813
    Accounting,
}

/// Answers a Status-Server: alive (RFC 5997 §4.2).
pub fn status_response(
    request: &VerifiedStatus<'_>,
    port: Port,
    secret: &Secret,
    buffer: Vec<u8>,
) -> Result<Vec<u8>, DoesNotFit> {
    let request = request.packet();
    let code = match port {
        Port::Authentication => Code::AccessAccept,
        Port::Accounting => Code::AccountingResponse,
    };
    let mut reply = answer(request, code, buffer);
    reply.push_proxy_state(request)?;
    Ok(reply.sign_answer(request.authenticator(), secret))
}

fn answer(request: &Packet<'_>, code: Code, buffer: Vec<u8>) -> Builder {
    Builder::new(
        buffer,
        code,
        request.identifier(),
        Signature::MessageAuthenticator,
    )
}

/// A long message is cut at a letter's edge: better short than no answer.
fn push_message(reply: &mut Builder, message: Option<&str>) -> Result<(), DoesNotFit> {
    match message {
        Some(text) => {
            let end = text.floor_char_boundary(MAX_VALUE_LEN);
            reply.push(attribute::REPLY_MESSAGE, &text.as_bytes()[..end])
        }
        None => Ok(()),
    }
}

/// An EAP packet in as many attributes as it needs, one after the other (RFC 3579 §3.1).
fn push_eap(reply: &mut Builder, packet: &[u8]) -> Result<(), DoesNotFit> {
    packet
        .chunks(MAX_VALUE_LEN)
        .try_for_each(|part| reply.push(attribute::EAP_MESSAGE, part))
}
