//! TLS inside EAP (RFC 5216 §2.1.5, §3): records cut into packets, put together again, and keys.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::{ProtocolVersion, ServerConfig, ServerConnection};
use zeroize::Zeroizing;

use super::{Keys, Kind};

/// Our end of a tunnel. Nothing here touches a socket: octets in, octets out.
pub(super) struct Tunnel {
    kind: Kind,
    tls: ServerConnection,
    /// A message of the peer that is still coming in.
    incoming: Vec<u8>,
    /// A message of ours, and how much of it is out.
    outgoing: Vec<u8>,
    sent: usize,
    /// The most TLS octets in one packet.
    room: usize,
    /// TLS failed; our alert may still be on its way.
    broken: bool,
}

/// What a packet of the peer amounts to.
pub(super) enum Heard {
    /// Only the transport: answer with this and wait on.
    Carry(Vec<u8>),
    /// A whole message; what it said inside the tunnel, which may be nothing.
    Message(Zeroizing<Vec<u8>>),
    /// There is nothing to be had from this peer.
    Broken,
}

impl Tunnel {
    /// A tunnel of one method in packets of at most `mtu` octets, and the request that starts it.
    pub(super) fn begin(
        kind: Kind,
        config: &Arc<ServerConfig>,
        mtu: usize,
    ) -> Option<(Tunnel, Vec<u8>)> {
        let mut tls = ServerConnection::new(config.clone()).ok()?;
        tls.set_buffer_limit(Some(MOST_BUFFERED));
        let tunnel = Tunnel {
            kind,
            tls,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            sent: 0,
            room: mtu.saturating_sub(OVERHEAD).max(64),
            broken: false,
        };
        Some((tunnel, vec![kind as u8, START]))
    }

    /// Takes what follows the type octet of a response.
    pub(super) fn on_response(&mut self, data: &[u8]) -> Heard {
        let Some(fragment) = Fragment::parse(data) else {
            return Heard::Broken;
        };
        if self.sent < self.outgoing.len() {
            return match fragment.is_acknowledgement() {
                true => Heard::Carry(self.next_fragment()),
                false => Heard::Broken,
            };
        }
        if self.broken || self.incoming.len() + fragment.octets.len() > MOST_BUFFERED {
            return Heard::Broken;
        }
        self.incoming.extend(fragment.octets);
        if fragment.more {
            return Heard::Carry(vec![self.kind as u8, 0]);
        }
        let message = Zeroizing::new(std::mem::take(&mut self.incoming));
        self.decrypt(&message)
    }

    /// Whether both sides have finished the handshake.
    pub(super) fn is_open(&self) -> bool {
        !self.tls.is_handshaking()
    }

    /// Whether TLS has something for the peer.
    pub(super) fn has_to_send(&self) -> bool {
        self.tls.wants_write()
    }

    /// What is next for the peer, with `plain` inside the tunnel: a request's type and data.
    pub(super) fn say(&mut self, plain: &[u8]) -> Vec<u8> {
        // The buffer takes it: what is said inside is short, and one message is out at a time.
        let _all = self.tls.writer().write(plain);
        self.outgoing.clear();
        self.sent = 0;
        while self.tls.wants_write() {
            let written = self.tls.write_tls(&mut self.outgoing);
            if written.unwrap_or(0) == 0 {
                break;
            }
        }
        self.next_fragment()
    }

    /// The Master Session Key (RFC 5216 §2.3, RFC 5281 §8; with TLS 1.3 RFC 9427 §2.1).
    pub(super) fn keys(&self) -> Option<Keys> {
        let label: &[u8] = match self.kind {
            Kind::Ttls => b"ttls keying material",
            Kind::Peap | Kind::Identity | Kind::Nak | Kind::MsChapV2 | Kind::Tlv => {
                b"client EAP encryption"
            }
        };
        let mut keys = Zeroizing::new([0; 64]);
        match self.tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => {
                let mut all = Zeroizing::new([0; 128]);
                let label = b"EXPORTER_EAP_TLS_Key_Material";
                self.export(all.as_mut(), label, Some(&[self.kind as u8]))?;
                keys.copy_from_slice(&all[..64]);
            }
            _ => self.export(keys.as_mut(), label, None)?,
        }
        Some(Keys::Tunnel(keys))
    }

    /// Octets that only the two ends of this tunnel can compute (RFC 5705).
    pub(super) fn export(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: Option<&[u8]>,
    ) -> Option<()> {
        let exported = self.tls.export_keying_material(out, label, context);
        exported.ok().map(|_| ())
    }

    fn decrypt(&mut self, mut message: &[u8]) -> Heard {
        let mut plain = Zeroizing::new(Vec::new());
        while !message.is_empty() {
            let taken = self.tls.read_tls(&mut message).unwrap_or(0);
            if taken == 0 {
                return Heard::Broken;
            }
            if self.tls.process_new_packets().is_err() {
                self.broken = true;
                // The alert says what was wrong; the peer's acknowledgement ends it.
                return match self.tls.wants_write() {
                    true => Heard::Carry(self.say(&[])),
                    false => Heard::Broken,
                };
            }
            // Ends with "would block" when there is no more.
            let _empty = self.tls.reader().read_to_end(&mut plain);
            if plain.len() > MOST_BUFFERED {
                return Heard::Broken;
            }
        }
        Heard::Message(plain)
    }

    fn next_fragment(&mut self) -> Vec<u8> {
        let rest = &self.outgoing[self.sent..];
        let part = &rest[..rest.len().min(self.room)];
        let mut flags = 0;
        let mut packet = vec![self.kind as u8, 0];
        if part.len() < rest.len() {
            flags |= MORE;
            if self.sent == 0 {
                flags |= LENGTH;
                packet.extend((rest.len() as u32).to_be_bytes()); // some thousand octets
            }
        }
        packet[1] = flags;
        packet.extend(part);
        self.sent += part.len();
        packet
    }
}

/// One packet's part of a TLS message.
struct Fragment<'a> {
    more: bool,
    octets: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Reads flags, the length of the whole message where it stands (it says nothing that the flag for
    /// "more" does not), and octets.
    fn parse(data: &'a [u8]) -> Option<Fragment<'a>> {
        let (flags, rest) = data.split_first()?;
        let octets = match flags & LENGTH {
            0 => rest,
            _ => rest.get(4..)?,
        };
        Some(Fragment {
            more: flags & MORE != 0,
            octets,
        })
    }

    fn is_acknowledgement(&self) -> bool {
        !self.more && self.octets.is_empty()
    }
}

const LENGTH: u8 = 0x80;
const MORE: u8 = 0x40;
const START: u8 = 0x20;
/// EAP header, type, flags and length.
const OVERHEAD: usize = 10;
/// A handshake of a peer without certificate is below 2 KiB, an inner message below 1.
const MOST_BUFFERED: usize = 16 * 1024;
