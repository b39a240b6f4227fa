//! The other end: a supplicant as simple as one can be.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::super::authority::{Authority, SERVER_NAME};
use super::super::avp::push_vendor;
use super::super::{Kind, packet};
use crate::radius::mschap::{NtHash, challenge_hash, challenge_response};

/// What a peer logs in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inner {
    MsChapV2,
    Peap,
    TtlsPap,
    TtlsMsChapV2,
}

impl Inner {
    pub(super) const ALL: [Inner; 4] = [
        Inner::MsChapV2,
        Inner::Peap,
        Inner::TtlsPap,
        Inner::TtlsMsChapV2,
    ];

    fn kind(self) -> Kind {
        match self {
            Inner::MsChapV2 => Kind::MsChapV2,
            Inner::Peap => Kind::Peap,
            Inner::TtlsPap | Inner::TtlsMsChapV2 => Kind::Ttls,
        }
    }
}

/// A change to what is said.
pub(super) type Damage = Box<dyn FnMut(&mut Vec<u8>)>;

/// A supplicant.
pub(super) struct Peer {
    inner: Inner,
    tls: ClientConnection,
    name: Vec<u8>,
    password: Vec<u8>,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    spoken: bool,
    /// The most TLS octets in one packet.
    pub(super) mtu: usize,
    /// Changes what is said inside a tunnel.
    pub(super) damage: Option<Damage>,
}

impl Peer {
    pub(super) fn new(
        authority: &Authority,
        inner: Inner,
        version: &'static SupportedProtocolVersion,
        name: &[u8],
        password: &[u8],
    ) -> Peer {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = ServerName::try_from(SERVER_NAME).unwrap();
        Peer {
            inner,
            tls: ClientConnection::new(Arc::new(config), server).unwrap(),
            name: name.to_vec(),
            password: password.to_vec(),
            incoming: Vec::new(),
            outgoing: Vec::new(),
            spoken: false,
            mtu: 1000,
            damage: None,
        }
    }

    /// The answer to a request; `None` when the peer gives up.
    pub(super) fn answer(&mut self, request: &[u8]) -> Option<Vec<u8>> {
        let [1, identifier, _, _, kind, data @ ..] = request else {
            return None;
        };
        let wanted = self.inner.kind() as u8;
        if *kind != wanted {
            return Some(packet::response(*identifier, &[Kind::Nak as u8, wanted]));
        }
        let body = match self.inner {
            Inner::MsChapV2 => self.ms_chap(data)?,
            Inner::Peap | Inner::TtlsPap | Inner::TtlsMsChapV2 => self.tunnel(data)?,
        };
        Some(packet::response(*identifier, &body))
    }

    /// The Master Session Key as this end computes it.
    pub(super) fn keys(&self) -> Option<Vec<u8>> {
        let label: &[u8] = match self.inner {
            Inner::MsChapV2 => return None,
            Inner::Peap => b"client EAP encryption",
            Inner::TtlsPap | Inner::TtlsMsChapV2 => b"ttls keying material",
        };
        let kind = [self.inner.kind() as u8];
        let exported = match self.tls.protocol_version().unwrap() {
            rustls::ProtocolVersion::TLSv1_3 => {
                let label = b"EXPORTER_EAP_TLS_Key_Material";
                self.tls
                    .export_keying_material([0; 128], label, Some(&kind))
            }
            _ => {
                let short = self.tls.export_keying_material([0; 64], label, None);
                return Some(short.unwrap().to_vec());
            }
        };
        Some(exported.unwrap()[..64].to_vec())
    }

    fn tunnel(&mut self, data: &[u8]) -> Option<Vec<u8>> {
        let (flags, rest) = data.split_first()?;
        let octets = if flags & 0x80 == 0 {
            rest
        } else {
            rest.get(4..)?
        };
        self.incoming.extend(octets);
        if flags & 0x40 != 0 {
            return Some(vec![self.inner.kind() as u8, 0]);
        }
        if self.outgoing.is_empty() {
            let message = std::mem::take(&mut self.incoming);
            let mut message = &message[..];
            let mut plain = Vec::new();
            while !message.is_empty() {
                self.tls.read_tls(&mut message).ok()?;
                self.tls.process_new_packets().ok()?;
                let _empty = self.tls.reader().read_to_end(&mut plain);
            }
            if !self.tls.is_handshaking() {
                self.speak(&plain);
            }
            while self.tls.wants_write() {
                self.tls.write_tls(&mut self.outgoing).unwrap();
            }
        }
        let part: Vec<u8> = self
            .outgoing
            .drain(..self.mtu.min(self.outgoing.len()))
            .collect();
        let more = if self.outgoing.is_empty() { 0 } else { 0x40 };
        Some([&[self.inner.kind() as u8, more], &part[..]].concat())
    }

    /// What is said inside, in answer to `plain`.
    fn speak(&mut self, plain: &[u8]) {
        let said = match (self.inner, plain) {
            (Inner::Peap, [1]) => Some([&[1], &self.name[..]].concat()),
            (Inner::Peap, [26, data @ ..]) => self.ms_chap(data),
            (Inner::Peap, [1, identifier, _, _, 33, tlv @ ..]) => {
                Some(packet::response(*identifier, &[&[33], tlv].concat()))
            }
            (Inner::TtlsPap, []) if !self.spoken => Some(self.pap()),
            (Inner::TtlsMsChapV2, []) if !self.spoken => Some(self.ttls_ms_chap()),
            (_, _) => None,
        };
        if let Some(mut said) = said {
            self.spoken = true;
            if let Some(damage) = &mut self.damage {
                damage(&mut said);
            }
            self.tls.writer().write_all(&said).unwrap();
        }
    }

    fn ms_chap(&self, data: &[u8]) -> Option<Vec<u8>> {
        match data {
            [1, identifier, _, _, 16, rest @ ..] => {
                let challenge = rest.first_chunk()?;
                let short = challenge_hash(&[9; 16], challenge, &self.name);
                let mut value = vec![49];
                value.extend([9; 16]);
                value.extend([0; 8]);
                value.extend(challenge_response(&short, &NtHash::of(&self.password)));
                value.push(0);
                value.extend(&self.name);
                let length = (4 + value.len()) as u8;
                Some([&[26, 2, *identifier, 0, length], &value[..]].concat())
            }
            [code @ (3 | 4), ..] => Some(vec![26, *code]),
            _ => None,
        }
    }

    fn pap(&self) -> Vec<u8> {
        let mut message = Vec::new();
        let mut padded = self.password.clone();
        padded.resize(padded.len().next_multiple_of(16), 0);
        push(&mut message, 1, &self.name);
        push(&mut message, 2, &padded);
        message
    }

    fn ttls_ms_chap(&self) -> Vec<u8> {
        let own = self
            .tls
            .export_keying_material([0; 17], b"ttls challenge", None)
            .unwrap();
        let challenge = own.first_chunk().unwrap();
        let short = challenge_hash(&[9; 16], challenge, &self.name);
        let mut response = vec![own[16], 0];
        response.extend([9; 16]);
        response.extend([0; 8]);
        response.extend(challenge_response(&short, &NtHash::of(&self.password)));
        let mut message = Vec::new();
        push(&mut message, 1, &self.name);
        push_vendor(&mut message, 11, challenge);
        push_vendor(&mut message, 25, &response);
        message
    }
}

fn push(message: &mut Vec<u8>, code: u8, value: &[u8]) {
    message.extend(u32::from(code).to_be_bytes());
    message.extend((0x4000_0000 | (8 + value.len() as u32)).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}
