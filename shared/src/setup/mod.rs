//! What a MikroTik router is to be, as data; from it follow what every menu must hold ([`wanted`]) and the script
//! that an installer pastes ([`script`]).
//!
//! Both RouterOS 6 and 7 (`Release`). Everything of ours carries a mark, so that applying it twice changes
//! nothing, what others made stays, and what is not wanted any more goes away.

mod around;
mod checks;
mod first;
mod modes;
mod quote;
mod pasted;
mod same;
mod script;
pub mod text;
mod wanted;
mod wireless;

use std::net::Ipv4Addr;

use secrecy::SecretString;

use crate::wire::monitor::{SnmpAuth, SnmpPrivacy};
use crate::wire::router::InterfaceV1;

pub use around::Around;
pub use checks::{Fault, network};
pub use first::first_script;
pub use modes::DeviceMode;
pub use pasted::{imported, mode, pasted, pasted_checked};
pub use quote::quote;
pub use same::{duration, same};
pub use script::script;
pub use wanted::{
    ALIVE, ALLOWED, ANTI_SHARING, BLOCKED, HOTSPOTS, Item, PLAIN_API, PPPOE_SERVERS, SYSLOG_PORT,
    Step, Value, Which, wanted,
};
pub use wireless::{Driver, Radio, radio};

/// The major release of RouterOS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Release {
    /// 6.43 and newer.
    V6,
    /// And whatever comes after it.
    V7,
}

impl Release {
    /// From what `/system/resource` calls the version: `6.49.10 (long-term)`, `7.16.1 (stable)`. What comes after 7
    /// is written like 7.
    pub fn of(version: &str) -> Option<Release> {
        match version.trim().split('.').next()?.parse::<u16>().ok()? {
            6 => Some(Release::V6),
            7.. => Some(Release::V7),
            _ => None,
        }
    }

    fn digit(self) -> char {
        match self {
            Release::V6 => '6',
            Release::V7 => '7',
        }
    }
}

/// What a router is to be.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How it is called.
    pub identity: String,
    /// Of the IANA database, like `Africa/Nairobi`.
    pub time_zone: String,
    /// The agents that it asks, one or two, the first one first.
    pub agents: Vec<Ipv4Addr>,
    /// Between it and its agents; the same for CoA.
    pub radius_secret: SecretString,
    /// Where it listens for CoA and Disconnect.
    pub coa_port: u16,
    /// With what the agents log in to its API; left as it is without it.
    pub api: Option<ApiLogin>,
    /// How the agents read its counters; not at all without it.
    pub snmp: Option<Snmp>,
    /// Where the agents ask for them.
    pub snmp_port: u16,
    /// The interface to the internet; nothing is masqueraded before it is known.
    pub wan: Option<String>,
    /// Further ones, of a router with several lines.
    pub more_wans: Vec<String>,
    /// Subscribers who dial.
    pub pppoe: Option<Pppoe>,
    /// Guests who meet a page.
    pub hotspot: Option<Hotspot>,
    /// Its DHCP servers that ask for the leases of DHCP customers; `None` where none does.
    pub leases: Option<Vec<String>>,
    /// Whether nobody but the agents may reach API, SNMP and CoA.
    pub firewall: bool,
    /// Whom it tells by itself that it lives; nobody without it.
    pub alive: Option<Alive>,
}

/// Whom a router tells, agents or not, that it lives.
#[derive(Clone, Debug)]
pub struct Alive {
    /// Where it is told, `https://…`.
    pub url: String,
    /// By what that one knows which router it is; in no address, and the right to nothing else.
    pub token: SecretString,
}

/// With what the agents log in to a router.
#[derive(Clone, Debug)]
pub struct ApiLogin {
    /// Made on the router; one that somebody else made there stays as it is.
    pub user: String,
    /// Set there where the user is ours.
    pub password: SecretString,
}

/// How the agents read a router's counters. RouterOS knows each way as a community.
#[derive(Clone, Debug)]
pub enum Snmp {
    /// SNMPv2c: who knows this may read, and it is heard on the wire.
    Community(SecretString),
    /// SNMPv3.
    User {
        /// His name.
        name: String,
        /// How he signs.
        auth: Option<Password<SnmpAuth>>,
        /// How he enciphers.
        privacy: Option<Password<SnmpPrivacy>>,
    },
}

/// A password and what is made of it.
#[derive(Clone, Debug)]
pub struct Password<By> {
    /// By which protocol.
    pub by: By,
    /// The password.
    pub password: SecretString,
}

impl Snmp {
    /// The digests and ciphers of RouterOS: others it takes no user with.
    pub fn is_known(&self) -> bool {
        match self {
            Snmp::Community(_) => true,
            Snmp::User { auth, .. } => auth.as_ref().is_none_or(|auth| digest(auth.by).is_some()),
        }
    }
}

/// What RouterOS calls it; `None` where it has no such.
fn digest(auth: SnmpAuth) -> Option<&'static str> {
    match auth {
        SnmpAuth::Md5 => Some("MD5"),
        SnmpAuth::Sha1 => Some("SHA1"),
        SnmpAuth::Sha224 | SnmpAuth::Sha256 | SnmpAuth::Sha384 | SnmpAuth::Sha512 => None,
    }
}

/// The interfaces where subscribers come in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lan {
    /// A bridge that is there already.
    Bridge(String),
    /// Put into a bridge of ours.
    Ports(Vec<String>),
}

impl Lan {
    /// Of interfaces by name: one that is a bridge at the router is used as it is. `None` without any.
    pub fn of(names: Vec<String>, bridges: &[String]) -> Option<Lan> {
        match names.as_slice() {
            [] => None,
            [one] if bridges.contains(one) => Some(Lan::Bridge(one.clone())),
            _ => Some(Lan::Ports(names)),
        }
    }

    fn names(&self) -> Vec<&str> {
        match self {
            Lan::Bridge(name) => vec![name],
            Lan::Ports(names) => names.iter().map(String::as_str).collect(),
        }
    }
}

/// A PPPoE server.
#[derive(Clone, Debug)]
pub struct Pppoe {
    /// Where they dial; everything but the server is set up before it is known.
    pub lan: Option<Lan>,
    /// What the line is called to those who ask.
    pub service_name: String,
    /// The router's end of every line.
    pub local_address: Ipv4Addr,
    /// The other ends.
    pub pool: Pool,
    /// Name servers that subscribers are told.
    pub dns: Vec<Ipv4Addr>,
}

/// A hotspot.
#[derive(Clone, Debug)]
pub struct Hotspot {
    /// Where they come in; everything but the server is set up before it is known.
    pub lan: Option<Lan>,
    /// The router's address among them.
    pub gateway: Ipv4Addr,
    /// Their addresses.
    pub pool: Pool,
    /// Name servers that the router asks for them.
    pub dns: Vec<Ipv4Addr>,
    /// Hosts that a guest reaches before he logged in: where he pays, and the cloud. A name, or an address.
    pub open_hosts: Vec<String>,
    /// Whether these are all: what else we opened is closed again.
    pub opens_no_others: bool,
    /// Where its first script takes the pages from that guests meet; the router's own stay without it.
    pub pages: Option<Pages>,
}

/// Where PPPoE ends, unless it is said.
pub const LINE: Ipv4Addr = Ipv4Addr::new(10, 10, 10, 1);
/// Where guests find the hotspot, unless it is said.
pub const GUESTS: Ipv4Addr = Ipv4Addr::new(10, 5, 50, 1);
/// Name servers, unless they are said.
pub const NAME_SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::new(1, 1, 1, 1)];
/// What the line of PPPoE is called, unless it is said.
pub const SERVICE_NAME: &str = "easyisp-pppoe";
/// Where agents find the API that the first script sets up: in TLS.
pub const API_PORT: u16 = 8729;
/// With what agents log in there.
pub const API_USER: &str = "easyisp";

/// Ports that lead neither to the internet nor to an agent: where subscribers may come in when nobody says where.
pub fn free_ports(interfaces: &[InterfaceV1], wan: &str, agents: &[String]) -> Vec<String> {
    let is_free = |one: &&InterfaceV1| {
        ["ether", "wlan", "wifi"].contains(&one.kind.as_str())
            && !one.disabled
            && one.name != wan
            && !agents.contains(&one.name)
    };
    let free = interfaces.iter().filter(is_free);
    free.map(|one| one.name.clone()).collect()
}

/// Where the pages are: `{url}{file}?{query}`.
#[derive(Clone, Debug)]
pub struct Pages {
    /// Up to the name of the file.
    pub url: String,
    /// Whose they are.
    pub query: String,
}

/// The pages that are taken from there.
pub const PAGES: [&str; 5] = [
    "login.html",
    "status.html",
    "error.html",
    "styles.css",
    "script.js",
];

/// Whether routers may be without a menu: IPv6 is a package of RouterOS 6.
pub fn is_optional(menu: &str) -> bool {
    menu.starts_with("/ipv6 ")
}

/// Addresses, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pool {
    /// The lowest.
    pub first: Ipv4Addr,
    /// The highest.
    pub last: Ipv4Addr,
}

impl Pool {
    /// The widest one of the `/24` around an address, without it where it is its first: `.2` to `.254`.
    pub fn beside(address: Ipv4Addr) -> Pool {
        let [a, b, c, _] = address.octets();
        Pool {
            first: Ipv4Addr::new(a, b, c, 2),
            last: Ipv4Addr::new(a, b, c, 254),
        }
    }

    /// Whether an address is in it.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        self.first <= address && address <= self.last
    }
}

impl std::fmt::Display for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}
