//! Writes one packet and signs it: answers to a verified request, and requests of our own.

use std::net::Ipv4Addr;

use super::dictionary::{Code, attribute};
use super::packet::{Authenticator, HEADER_LEN, MAX_LEN, MAX_VALUE_LEN, Packet};
use super::secret::Secret;

/// The largest value of a vendor's attribute: 253 less vendor number, type and length.
pub const MAX_VENDOR_VALUE_LEN: usize = MAX_VALUE_LEN - 6;

/// An attribute, or the packet with it, would be larger than RADIUS can carry. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("attribute {kind} does not fit")]
pub struct DoesNotFit {
    /// The attribute's type (26 for a vendor's).
    pub kind: u8,
}

/// A packet being written into a buffer of the caller's, which is cleared first and grows as needed.
#[derive(Debug)]
pub struct Builder {
    bytes: Vec<u8>,
    /// Where the value of the Message-Authenticator stands.
    signature_at: Option<usize>,
}

/// Whether a packet carries a Message-Authenticator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// It does, as the first attribute.
    MessageAuthenticator,
    /// It does not.
    None,
}

impl Builder {
    /// Begins a packet. A Message-Authenticator goes first, where an answer forged by an MD5
    /// collision cannot put anything before it.
    pub fn new(buffer: Vec<u8>, code: Code, identifier: u8, signature: Signature) -> Builder {
        let mut bytes = buffer;
        bytes.clear();
        bytes.extend([code as u8, identifier]);
        bytes.extend([0; HEADER_LEN - 2]);
        let signature_at = match signature {
            Signature::MessageAuthenticator => {
                bytes.extend([attribute::MESSAGE_AUTHENTICATOR, 18]);
                bytes.extend([0; 16]);
                Some(HEADER_LEN + 2)
            }
            Signature::None => None,
        };
        Builder {
            bytes,
            signature_at,
        }
    }

    /// The same packet under another identifier.
    #[must_use]
    pub fn numbered(mut self, identifier: u8) -> Builder {
        self.bytes[1] = identifier;
        self
    }

    /// Appends an attribute.
    pub fn push(&mut self, kind: u8, value: &[u8]) -> Result<(), DoesNotFit> {
        if value.len() > MAX_VALUE_LEN || self.bytes.len() + 2 + value.len() > MAX_LEN {
            return Err(DoesNotFit { kind });
        }
        self.bytes.extend([kind, 2 + value.len() as u8]);
        self.bytes.extend(value);
        Ok(())
    }

    /// Appends a number of four octets.
    pub fn push_number(&mut self, kind: u8, value: u32) -> Result<(), DoesNotFit> {
        self.push(kind, &value.to_be_bytes())
    }

    /// Appends an IPv4 address.
    pub fn push_address(&mut self, kind: u8, value: Ipv4Addr) -> Result<(), DoesNotFit> {
        self.push(kind, &value.octets())
    }

    /// Appends one attribute of a vendor in an envelope of its own (RFC 2865 §5.26).
    pub fn push_vendor(&mut self, vendor: u32, kind: u8, value: &[u8]) -> Result<(), DoesNotFit> {
        let outer = attribute::VENDOR_SPECIFIC;
        if value.len() > MAX_VENDOR_VALUE_LEN || self.bytes.len() + 8 + value.len() > MAX_LEN {
            return Err(DoesNotFit { kind: outer });
        }
        let length = value.len() as u8;
        self.bytes.extend([outer, length + 8]);
        self.bytes.extend(vendor.to_be_bytes());
        self.bytes.extend([kind, length + 2]);
        self.bytes.extend(value);
        Ok(())
    }

    /// Appends a vendor's number of four octets.
    pub fn push_vendor_number(
        &mut self,
        vendor: u32,
        kind: u8,
        value: u32,
    ) -> Result<(), DoesNotFit> {
        self.push_vendor(vendor, kind, &value.to_be_bytes())
    }

    /// Copies the Proxy-State attributes of a request in their order, as an answer must
    /// (RFC 2865 §5.33).
    pub fn push_proxy_state(&mut self, request: &Packet<'_>) -> Result<(), DoesNotFit> {
        request
            .attributes()
            .filter(|attribute| attribute.kind == attribute::PROXY_STATE)
            .try_for_each(|attribute| self.push(attribute.kind, attribute.value))
    }

    /// Signs an answer with the authenticator of its request (RFC 2865 §3, RFC 3579 §3.2).
    pub fn sign_answer(mut self, request: &Authenticator, secret: &Secret) -> Vec<u8> {
        self.write_header(request);
        self.write_message_authenticator(secret);
        self.write_digest(secret);
        self.bytes
    }

    /// Signs an Accounting-, CoA- or Disconnect-Request, whose authenticator is a digest over
    /// zeros in its own place (RFC 2866 §3, RFC 5176 §2.3).
    pub fn sign_request(mut self, secret: &Secret) -> Vec<u8> {
        self.write_header(&[0; 16]);
        self.write_message_authenticator(secret);
        self.write_digest(secret);
        self.bytes
    }

    /// Signs an Access-Request or Status-Server, whose authenticator is sixteen random octets.
    pub fn sign_access(mut self, authenticator: &Authenticator, secret: &Secret) -> Vec<u8> {
        self.write_header(authenticator);
        self.write_message_authenticator(secret);
        self.bytes
    }

    fn write_header(&mut self, authenticator: &Authenticator) {
        let length = self.bytes.len() as u16; // at most 4096: push refuses more
        self.bytes[2..4].copy_from_slice(&length.to_be_bytes());
        self.bytes[4..HEADER_LEN].copy_from_slice(authenticator);
    }

    fn write_message_authenticator(&mut self, secret: &Secret) {
        if let Some(at) = self.signature_at {
            let mac = secret.hmac(&[&self.bytes]);
            self.bytes[at..at + 16].copy_from_slice(&mac);
        }
    }

    fn write_digest(&mut self, secret: &Secret) {
        let digest = secret.md5_suffixed(&[&self.bytes]);
        self.bytes[4..HEADER_LEN].copy_from_slice(&digest);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_leaves_no_trace() {
        let mut builder = Builder::new(Vec::new(), Code::AccessAccept, 1, Signature::None);
        assert_eq!(builder.push(25, &[0; 254]), Err(DoesNotFit { kind: 25 }));
        assert_eq!(
            builder.push_vendor(14988, 8, &[0; 248]),
            Err(DoesNotFit { kind: 26 })
        );
        assert_eq!(builder.push_vendor(14988, 8, &[7; 247]), Ok(()));
        while builder.push(25, &[1; 253]).is_ok() {}
        while builder.push(25, &[]).is_ok() {}
        assert!(builder.push(25, &[]).is_err());

        let bytes = builder.sign_answer(&[0; 16], &Secret::new(b"s"));
        assert!(bytes.len() > 4094);
        let packet = Packet::parse(&bytes).unwrap();
        assert_eq!(packet.first_vendor(14988, 8), Some(&[7; 247][..]));
    }

    /// RFC 2865 §7.1: the answer to nemo's login, octet by octet.
    #[test]
    fn the_answer_of_rfc_2865_is_reproduced() {
        let request = hex::decode("0f403f9473978057bd83d5cb98f4227a").unwrap();
        let mut builder = Builder::new(Vec::new(), Code::AccessAccept, 0, Signature::None);
        builder.push_number(attribute::SERVICE_TYPE, 1).unwrap();
        builder.push_number(15, 0).unwrap(); // Login-Service Telnet
        builder
            .push_address(14, Ipv4Addr::new(192, 168, 1, 3)) // Login-IP-Host
            .unwrap();
        let bytes = builder.sign_answer(&request.try_into().unwrap(), &Secret::new(b"xyzzy5461"));
        assert_eq!(
            hex::encode(bytes),
            "0200002686fe220e7624ba2a1005f6bf9b55e0b20606000000010f06000000000e06c0a80103"
        );
    }
}
