//! CHAP: MD5 over identifier, password and challenge (RFC 1994 §4.1, RFC 2865 §5.3).

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

/// A CHAP-Password with its challenge.
#[derive(Debug, Clone, Copy)]
pub struct ChapResponse<'a> {
    /// The CHAP identifier.
    pub identifier: u8,
    /// The subscriber's answer.
    pub response: &'a [u8; 16],
    /// The CHAP-Challenge attribute, or the Request Authenticator where there is none.
    pub challenge: &'a [u8],
}

impl<'a> ChapResponse<'a> {
    /// Reads a CHAP-Password's 17 octets; `None` for any other length.
    pub fn parse(value: &'a [u8], challenge: &'a [u8]) -> Option<ChapResponse<'a>> {
        let (identifier, response) = value.split_first()?;
        Some(ChapResponse {
            identifier: *identifier,
            response: response.try_into().ok()?,
            challenge,
        })
    }

    /// Whether the answer belongs to this password.
    pub fn matches(&self, password: &[u8]) -> bool {
        digest(self.identifier, password, self.challenge)
            .ct_eq(self.response)
            .into()
    }
}

/// A subscriber's answer.
pub fn digest(identifier: u8, password: &[u8], challenge: &[u8]) -> [u8; 16] {
    Md5::new()
        .chain_update([identifier])
        .chain_update(password)
        .chain_update(challenge)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// RFC 2865 §7.2: flopsy's CHAP login; the challenge is the Request Authenticator.
    #[test]
    fn the_login_of_rfc_2865_matches() {
        let challenge = hex::decode("2aee86f08d0d55969ca5978e0d3367a2").unwrap();
        let value = hex::decode("16e97557c316185895f293ff6344077275").unwrap();
        let login = ChapResponse::parse(&value, &challenge).unwrap();
        assert_eq!(login.identifier, 0x16);
        assert!(login.matches(b"arctangent"));
        assert!(!login.matches(b"arctangenT"));
    }

    #[test]
    fn other_lengths_are_no_chap_password() {
        assert!(ChapResponse::parse(&[], b"c").is_none());
        assert!(ChapResponse::parse(&[0; 16], b"c").is_none());
        assert!(ChapResponse::parse(&[0; 18], b"c").is_none());
        assert!(ChapResponse::parse(&[0; 17], b"c").is_some());
    }
}
