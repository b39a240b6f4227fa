//! Where a datagram was heard: what answers it leaves from the address that was asked, for nobody takes an answer of
//! another one. A box may have several addresses, the one of its site (`replace --address`) among them.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, sendmsg, setsockopt, sockopt,
};

/// Our end of a datagram.
#[derive(Clone, Debug)]
pub struct Heard {
    socket: Arc<UdpSocket>,
    at: Option<IpAddr>,
}

impl Heard {
    /// By this socket, at this address of ours; none where the socket has one address alone.
    pub fn new(socket: Arc<UdpSocket>, at: Option<IpAddr>) -> Heard {
        Heard { socket, at }
    }

    /// At which address, where the socket has several.
    pub fn at(&self) -> Option<IpAddr> {
        self.at
    }

    /// Sends what answers the datagram; whether it could.
    pub(super) fn send_to(&self, octets: &[u8], to: SocketAddr) -> bool {
        send_from(&self.socket, self.at, octets, to).is_ok()
    }
}

/// What the system must be told so that something leaves from an address of ours.
#[derive(Clone, Copy)]
pub(super) enum Origin {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Origin {
    pub(super) fn of(address: IpAddr) -> Origin {
        match address {
            IpAddr::V4(address) => Origin::V4(libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from_ne_bytes(address.octets()),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            }),
            IpAddr::V6(address) => Origin::V6(libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: address.octets(),
                },
                ipi6_ifindex: 0,
            }),
        }
    }

    pub(super) fn message(&self) -> ControlMessage<'_> {
        match self {
            Origin::V4(told) => ControlMessage::Ipv4PacketInfo(told),
            Origin::V6(told) => ControlMessage::Ipv6PacketInfo(told),
        }
    }
}

/// Room for what the system says of one datagram.
pub(super) fn room() -> Vec<u8> {
    nix::cmsg_space!(libc::in6_pktinfo)
}

/// Has a socket that has every address say at which one it was asked.
pub(super) fn tell_where(socket: &UdpSocket, bound: IpAddr) -> nix::Result<()> {
    match bound {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => setsockopt(socket, sockopt::Ipv4PacketInfo, &true),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true),
        IpAddr::V4(_) | IpAddr::V6(_) => Ok(()),
    }
}

/// At which address of ours it was heard, by what the system says of it.
pub(super) fn told(message: &ControlMessageOwned) -> Option<IpAddr> {
    match message {
        ControlMessageOwned::Ipv4PacketInfo(told) => {
            Some(IpAddr::V4(told.ipi_spec_dst.s_addr.to_ne_bytes().into()))
        }
        ControlMessageOwned::Ipv6PacketInfo(told) => {
            Some(IpAddr::V6(told.ipi6_addr.s6_addr.into()))
        }
        _ => None,
    }
}

/// Sends from this address of ours, or from the socket's.
pub(super) fn send_from(
    socket: &UdpSocket,
    at: Option<IpAddr>,
    octets: &[u8],
    to: SocketAddr,
) -> io::Result<()> {
    let Some(at) = at else {
        return socket.send_to(octets, to).map(|_| ());
    };
    let (origin, to) = (Origin::of(at), SockaddrStorage::from(to));
    let messages = [origin.message()];
    let octets = [IoSlice::new(octets)];
    sendmsg(
        socket.as_raw_fd(),
        &octets,
        &messages,
        MsgFlags::empty(),
        Some(&to),
    )?;
    Ok(())
}
