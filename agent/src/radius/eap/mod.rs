//! EAP over RADIUS (RFC 3748, RFC 3579): a login that takes several packets.
//!
//! Served are EAP-MSCHAPv2, which suits IKEv2, and PEAP and EAP-TTLS, which hide name and password
//! from the air and suit 802.1X. A [`Conversation`] is a pure machine from the packets of a peer to
//! ours; [`Conversations`] holds a bounded number of them between the packets, found by the State
//! attribute; `login` carries them to and from RADIUS, where who proved himself is decided upon as
//! after any other method.

pub mod authority;
mod avp;
pub mod certificate;
pub mod conversation;
pub mod conversations;
mod login;
mod mschap;
pub mod packet;
mod peap;
mod ttls;
mod tunnel;

use std::fmt;

use zeroize::Zeroizing;

use super::mppe::MppeKeys;

pub use authority::Authority;
pub use certificate::TunnelCertificate;
pub use conversation::{Conversation, Denied, Reply, Turn, World};
pub use conversations::Conversations;
pub use packet::{Kind, Response, failure, success};

/// Who proved himself at the end of a conversation.
#[derive(Debug, Clone)]
pub struct Success {
    /// Of the response that proved it; EAP-Success carries it back.
    pub identifier: u8,
    /// The name that the password belongs to: the inner one where there is a tunnel.
    pub name: Vec<u8>,
    /// What both sides know now and nobody between them does.
    pub keys: Keys,
}

/// The Master Session Key in the two halves that RADIUS carries (RFC 2548 §2.4.2), named from the
/// router's side. It cannot be printed, and is wiped when dropped.
#[derive(Clone)]
pub enum Keys {
    /// Of EAP-MSCHAPv2: 16 octets each way.
    MsChap(MppeKeys),
    /// Of a tunnel: 64 octets, the first half to receive with and the second to send with.
    Tunnel(Zeroizing<[u8; 64]>),
}

impl Keys {
    /// What the router sends with.
    pub fn send(&self) -> &[u8] {
        match self {
            Keys::MsChap(keys) => &keys.send,
            Keys::Tunnel(keys) => &keys[32..],
        }
    }

    /// What the router receives with.
    pub fn recv(&self) -> &[u8] {
        match self {
            Keys::MsChap(keys) => &keys.recv,
            Keys::Tunnel(keys) => &keys[..32],
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

#[cfg(test)]
mod tests;
