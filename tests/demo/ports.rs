//! Where everything listens.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use anyhow::{Result, bail};

/// The demo's ports, all on loopback.
#[derive(Clone, Debug)]
pub struct Ports {
    pub http: u16,
    pub quic: u16,
    pub auth: u16,
    pub acct: u16,
    pub portal: u16,
    pub agent_status: u16,
    pub outside: u16,
    pub router_api: u16,
    pub snmp: u16,
    pub coa: u16,
    pub metrics: u16,
    pub peers: u16,
}

impl Ports {
    /// The fixed ports, or a block from `base` on.
    pub fn new(base: Option<u16>) -> Ports {
        match base {
            None => Ports {
                http: 8080,
                quic: 4433,
                auth: 11812,
                acct: 11813,
                portal: 8081,
                agent_status: 9091,
                outside: 8090,
                router_api: 18728,
                snmp: 11161,
                coa: 13799,
                metrics: 9090,
                peers: 11814,
            },
            Some(base) => Ports {
                http: base,
                quic: base + 1,
                auth: base + 2,
                acct: base + 3,
                portal: base + 4,
                agent_status: base + 5,
                outside: base + 6,
                router_api: base + 7,
                snmp: base + 8,
                coa: base + 9,
                metrics: base + 10,
                peers: base + 11,
            },
        }
    }

    /// Refuses early, and by name, when somebody else holds a port.
    pub fn check_free(&self) -> Result<()> {
        let tcp = [
            ("HTTP", self.http),
            ("portal", self.portal),
            ("agent status", self.agent_status),
            ("M-Pesa and SMS", self.outside),
            ("router API", self.router_api),
            ("metrics", self.metrics),
            ("agents of the site", self.peers),
        ];
        let udp = [
            ("QUIC", self.quic),
            ("RADIUS authentication", self.auth),
            ("RADIUS accounting", self.acct),
            ("CoA", self.coa),
            ("SNMP", self.snmp),
        ];
        for (what, port) in tcp {
            if let Err(error) = TcpListener::bind(loopback(port)) {
                bail!("port {port}/tcp ({what}) is not free: {error}; try --base-port 20000");
            }
        }
        for (what, port) in udp {
            if let Err(error) = UdpSocket::bind(loopback(port)) {
                bail!("port {port}/udp ({what}) is not free: {error}; try --base-port 20000");
            }
        }
        Ok(())
    }
}

/// A loopback address.
pub fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
