//! What the cloud tells a site: the bodies of feed records.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::WireError;
use super::frame::{encode, take};
use super::monitor::MonitoredV1;
use crate::entitlement::{self, RateOverride, Reasons, Refusal, Standing, Tier, Window};
use crate::id::{AgentId, CommandId, CustomerId, PackageId, RouterId, RouterLoginId, VoucherId};
use crate::net::{Mac, RateLimit};
use crate::time::Timestamp;
use crate::voucher::VoucherDigest;

/// What a feed record is about. The codes are on the wire and in both databases: they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DownKind {
    /// How the site treats its subscribers; one row, its id is the site's.
    Policy,
    /// A router of the site.
    Router,
    /// What customers buy.
    Package,
    /// A customer as the site needs him.
    Subscriber,
    /// Something to be done once.
    Command,
    /// A code that is worth a period.
    Voucher,
    /// A router that still has an old RADIUS server behind it; its id is the router's.
    Moving,
    /// Somebody who may log in to the routers themselves.
    RouterLogin,
    /// How a router is read over SNMP; its id is the router's.
    Monitored,
}

impl DownKind {
    /// Every kind of this build, in the order of their codes: what others refer to comes first.
    pub const ALL: [DownKind; 9] = [
        DownKind::Policy,
        DownKind::Router,
        DownKind::Package,
        DownKind::Subscriber,
        DownKind::Command,
        DownKind::Voucher,
        DownKind::Moving,
        DownKind::RouterLogin,
        DownKind::Monitored,
    ];

    /// The number of this kind on the wire and in both databases.
    pub const fn code(self) -> u16 {
        match self {
            DownKind::Policy => 1,
            DownKind::Router => 2,
            DownKind::Package => 3,
            DownKind::Subscriber => 4,
            DownKind::Command => 5,
            DownKind::Voucher => 6,
            DownKind::Moving => 13,
            DownKind::RouterLogin => 14,
            DownKind::Monitored => 20,
        }
    }

    /// The kind with this number.
    pub fn from_code(code: u16) -> Option<DownKind> {
        DownKind::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// The decoded body of a feed record.
#[derive(Debug, Clone, PartialEq)]
pub enum Down {
    /// See [`SubscriberV1`].
    Subscriber(SubscriberV1),
    /// See [`PackageV1`].
    Package(PackageV1),
    /// See [`RouterV1`].
    Router(RouterV1),
    /// See [`PolicyV1`].
    Policy(PolicyV1),
    /// See [`CommandV1`].
    Command(CommandV1),
    /// See [`VoucherV1`].
    Voucher(VoucherV1),
    /// See [`MovingV1`].
    Moving(MovingV1),
    /// See [`RouterLoginV1`].
    RouterLogin(RouterLoginV1),
    /// See [`MonitoredV1`].
    Monitored(MonitoredV1),
}

impl Down {
    /// The kind of the record that carries this body.
    pub const fn kind(&self) -> DownKind {
        match self {
            Down::Subscriber(_) => DownKind::Subscriber,
            Down::Package(_) => DownKind::Package,
            Down::Router(_) => DownKind::Router,
            Down::Policy(_) => DownKind::Policy,
            Down::Command(_) => DownKind::Command,
            Down::Voucher(_) => DownKind::Voucher,
            Down::Moving(_) => DownKind::Moving,
            Down::RouterLogin(_) => DownKind::RouterLogin,
            Down::Monitored(_) => DownKind::Monitored,
        }
    }

    /// The body's bytes, as they stand in the feed, on the wire and in the agent's cache.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Down::Subscriber(body) => encode(&Subscriber::V1(body)),
            Down::Package(body) => encode(&Package::V1(body)),
            Down::Router(body) => encode(&Router::V1(body)),
            Down::Policy(body) => encode(&Policy::V1(body)),
            Down::Command(body) => encode(&Command::V1(body)),
            Down::Voucher(body) => encode(&Voucher::V1(body)),
            Down::Moving(body) => encode(&Moving::V1(body)),
            Down::RouterLogin(body) => encode(&RouterLogin::V1(body)),
            Down::Monitored(body) => encode(&Monitored::V1(body)),
        }
    }

    /// Reads a record's body.
    ///
    /// Reads untrusted bytes. [`WireError::UnknownKind`] and [`WireError::Broken`] concern this record
    /// alone: keep its bytes, use the others.
    pub fn decode(kind: u16, body: &[u8]) -> Result<Down, WireError> {
        let known = DownKind::from_code(kind).ok_or(WireError::UnknownKind(kind))?;
        Ok(match known {
            DownKind::Subscriber => {
                let Subscriber::V1(body) = take(body)?;
                Down::Subscriber(body)
            }
            DownKind::Package => {
                let Package::V1(body) = take(body)?;
                Down::Package(body)
            }
            DownKind::Router => {
                let Router::V1(body) = take(body)?;
                Down::Router(body)
            }
            DownKind::Policy => {
                let Policy::V1(body) = take(body)?;
                Down::Policy(body)
            }
            DownKind::Command => {
                let Command::V1(body) = take(body)?;
                Down::Command(body)
            }
            DownKind::Voucher => {
                let Voucher::V1(body) = take(body)?;
                Down::Voucher(body)
            }
            DownKind::Moving => {
                let Moving::V1(body) = take(body)?;
                Down::Moving(body)
            }
            DownKind::RouterLogin => {
                let RouterLogin::V1(body) = take(body)?;
                Down::RouterLogin(body)
            }
            DownKind::Monitored => {
                let Monitored::V1(body) = take(body)?;
                Down::Monitored(body)
            }
        })
    }
}

#[derive(Serialize, Deserialize)]
enum Subscriber<T = SubscriberV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum Package<T = PackageV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum Router<T = RouterV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum Policy<T = PolicyV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum Command<T = CommandV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum Voucher<T = VoucherV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum Moving<T = MovingV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum RouterLogin<T = RouterLoginV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum Monitored<T = MonitoredV1> {
    V1(T),
}

/// A secret sealed under the site key: the same bytes in the feed and in the agent's cache.
///
/// Seal and open with [`crate::seal::SealKey`] at the place that [`secret_place`] names.
pub type Sealed = Vec<u8>;

/// The place (associated data) of a secret inside a feed record, so that it opens in no other row.
pub fn secret_place(kind: DownKind, id: uuid::Uuid, field: &str) -> Vec<u8> {
    let mut place = b"feed/".to_vec();
    place.extend_from_slice(&kind.code().to_be_bytes());
    place.extend_from_slice(id.as_bytes());
    place.extend_from_slice(field.as_bytes());
    place
}

/// A customer as the site needs him.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriberV1 {
    /// The record's id.
    pub customer: CustomerId,
    /// What he types at the far end, octet for octet.
    pub username: Vec<u8>,
    /// The password, sealed for the field `password`. PAP, CHAP and MS-CHAPv2 need it in the clear.
    pub password: Sealed,
    /// How he is connected.
    pub connection: Connection,
    /// What the operator set.
    pub standing: Standing,
    /// When the paid period began: usage before it does not count against the data limit.
    pub period_start: Timestamp,
    /// End of the paid period.
    pub paid_until: Timestamp,
    /// End of the periods that the wallet covers under auto-renew; at or before `paid_until` when none.
    pub funded_until: Timestamp,
    /// The package, by id: a package edit is one row a site.
    pub package: Option<PackageId>,
    /// His own address.
    pub static_ip: Option<Ipv4Addr>,
    /// Hardware addresses he is locked to; empty = any.
    pub macs: Vec<Mac>,
    /// Devices at once, when it differs from the package's.
    pub devices: Option<u16>,
    /// The only router he may use; `None` = any of the site.
    pub router: Option<RouterId>,
    /// A plan override or a speed boost.
    pub rate_override: Option<RateOverride>,
    /// Account number, shown on the expired page as what to pay to.
    pub account: u32,
    /// Devices he was seen with, oldest first: they lock nobody out, but may log in by their address.
    pub remembered_macs: Vec<Mac>,
    /// What the cloud knew to be used in this period, at all sites: said anew at every twentieth of a
    /// limit and at every tier, so that another site or a new box goes on where he was.
    pub used: UsedV1,
    /// Networks behind his line.
    pub routes: Vec<Network>,
    /// The IPv6 prefix of his line.
    pub ipv6_prefix: Option<Network>,
    /// The IPv6 prefix delegated to his own router.
    pub delegated_prefix: Option<Network>,
    /// Devices that he is bound to by first login, oldest first, where the terms bind.
    pub bound_macs: Vec<Mac>,
    /// When they were last taken off him: what was bound before does not count.
    pub unbound_at: Option<Timestamp>,
}

impl SubscriberV1 {
    /// The part that [`entitlement::decide`] looks at.
    pub fn entitlement(&self) -> entitlement::Subscriber {
        entitlement::Subscriber {
            standing: self.standing,
            paid_until: self.paid_until,
            funded_until: self.funded_until,
            macs: self.macs.clone(),
            router: self.router,
            devices: self.devices,
            rate_override: self.rate_override,
        }
    }
}

/// What was used in a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UsedV1 {
    /// Bytes both ways, without those that were free.
    pub bytes: u64,
    /// Seconds online.
    pub secs: u64,
}

/// How a customer is connected. New kinds go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Connection {
    /// Dials with a name and a password.
    Pppoe,
    /// Logs in at a captive portal.
    Hotspot,
    /// Gets a lease.
    Dhcp,
    /// Has a fixed address.
    Static,
}

/// What customers buy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageV1 {
    /// The record's id.
    pub package: PackageId,
    /// Its name.
    pub name: String,
    /// Speed.
    pub rate: RateLimit,
    /// Length of a period that is counted in time, in seconds; `None` = calendar months.
    pub session_secs: Option<u64>,
    /// Bytes per paid period, both directions together; `None` = unlimited.
    pub data_limit: Option<u64>,
    /// Seconds online per paid period, all devices together; `None` = unlimited.
    pub time_limit_secs: Option<u64>,
    /// Slower speeds from some usage on.
    pub fair_use: Vec<Tier>,
    /// Hours with rules of their own.
    pub schedule: Vec<Window>,
    /// Devices at once.
    pub devices: u16,
    /// Ends a silent session after so many seconds; never for PPPoE.
    pub idle_secs: Option<u32>,
    /// Seconds between interim updates, before jitter.
    pub interim_secs: u32,
    /// The router's address pool.
    pub pool: Option<String>,
    /// The profile on the router: PPP or hotspot user profile.
    pub profile: Option<String>,
    /// The router's pool of IPv6 prefixes for lines.
    pub ipv6_pool: Option<String>,
    /// The router's pool of IPv6 prefixes to delegate.
    pub delegated_pool: Option<String>,
    /// Service after the paid end in place of the site's, in seconds; `None` = the site's.
    pub grace_secs: Option<u32>,
    /// How many devices a customer is bound to by first login in place of the site's; `None` = the site's.
    pub bind_macs: Option<u8>,
    /// Whether what comes to him reaches his own device alone: it leaves the router with a TTL of 1.
    pub anti_sharing: bool,
}

impl PackageV1 {
    /// Whether anything depends on usage, so that it must be counted.
    pub fn is_metered(&self) -> bool {
        self.data_limit.is_some() || self.time_limit_secs.is_some() || !self.fair_use.is_empty()
    }

    /// Whether there are hours whose data does not count.
    pub fn has_free_hours(&self) -> bool {
        entitlement::schedule::any_free(&self.schedule)
    }

    /// The part that [`entitlement::decide`] looks at.
    pub fn entitlement(&self) -> entitlement::Package {
        entitlement::Package {
            rate: self.rate,
            data_limit: self.data_limit,
            time_limit_secs: self.time_limit_secs,
            devices: self.devices,
            fair_use: self.fair_use.clone(),
            schedule: self.schedule.clone(),
            grace: self
                .grace_secs
                .map(|secs| Duration::from_secs(u64::from(secs))),
            bind_macs: self.bind_macs,
        }
    }
}

/// A router of the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterV1 {
    /// The record's id.
    pub router: RouterId,
    /// Its name.
    pub name: String,
    /// Where CoA, API and SNMP go.
    pub address: IpAddr,
    /// Where its requests come from.
    pub source: Network,
    /// The RADIUS secret, sealed for the field `secret`.
    pub secret: Sealed,
    /// The secret before, while a rotation is under way; sealed for the field `previous`.
    pub previous_secret: Option<Sealed>,
    /// Where it takes CoA and Disconnect.
    pub coa_port: u16,
    /// Whether requests without Message-Authenticator are taken.
    pub message_authenticator: MessageAuthenticator,
    /// How to reach its API; `None` when nobody entered it.
    pub api: Option<RouterApiV1>,
    /// Serial numbers of its RadSec certificates that an operator ended before their time.
    pub ended_certificates: Vec<Vec<u8>>,
    /// Certificates that are good from an earlier instant on were ended all together, known or not.
    pub certificates_since: Option<Timestamp>,
    /// Whether its DHCP servers ask for the leases of DHCP customers.
    pub leases: bool,
}

/// A block of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its first address.
    pub address: IpAddr,
    /// How many leading bits are fixed.
    pub prefix: u8,
}

impl Network {
    /// The block for containment questions; `None` when `prefix` is longer than the address.
    pub fn to_ipnet(self) -> Option<IpNet> {
        IpNet::new(self.address, self.prefix).ok()
    }
}

impl From<IpNet> for Network {
    fn from(net: IpNet) -> Network {
        Network {
            address: net.network(),
            prefix: net.prefix_len(),
        }
    }
}

/// Whether requests without Message-Authenticator are taken. New policies go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageAuthenticator {
    /// Until the first request that carries one, then required for good.
    Learn,
    /// Never.
    Require,
}

/// How to reach a router's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterApiV1 {
    /// TCP port.
    pub port: u16,
    /// Whether the port speaks TLS.
    pub tls: bool,
    /// User.
    pub user: String,
    /// Password, sealed for the field `api`.
    pub password: Sealed,
}

/// How the site treats its subscribers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyV1 {
    /// Service after the paid end, in seconds.
    pub grace_secs: u32,
    /// What happens to who may not be online.
    pub refusal: Refusal,
    /// The reasons for which that may be the walled garden.
    pub garden_for: Reasons,
    /// The router's address list that is the walled garden.
    pub garden_list: String,
    /// The router's address pool for who is in it.
    pub garden_pool: Option<String>,
    /// The profile on the router for who is in it.
    pub garden_profile: Option<String>,
    /// Speed inside the walled garden.
    pub garden_rate: RateLimit,
    /// Where the walled garden leads; `None` = the agent's own page.
    pub portal_url: Option<String>,
    /// The site serves while this lies ahead; the cloud moves it forward. `None` = without end.
    pub lease_until: Option<Timestamp>,
    /// The tenant's time zone, IANA name.
    pub zone: String,
    /// What the tenant calls itself to its customers.
    pub provider_name: String,
    /// What voucher codes are known by; sealed for the field `voucher_key`.
    pub voucher_key: Sealed,
    /// Who lets vouchers in for the first time; see [`KeepersV1`].
    pub keepers: KeepersV1,
    /// Whether a hotspot device that is known may log in by its hardware address alone.
    pub mac_login: bool,
    /// How many devices are remembered for each hotspot customer, the oldest forgotten first.
    pub remembered_macs: u8,
    /// The site's agents: those that hear each other, and those without an address, which hear the routers alone.
    pub agents: Vec<SiteAgentV1>,
    /// How many devices a customer is bound to by first login; 0 = none.
    pub bind_macs: u8,
    /// Whether one more takes the place of the oldest instead of being refused.
    pub bind_oldest_out: bool,
}

/// The agents of a site that let vouchers in for the first time. One does so alone. Of two, and the cloud,
/// any two must have written a first use down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepersV1 {
    /// Counts how often they became others.
    pub term: u64,
    /// At most two; none where the site has no agent.
    pub agents: Vec<AgentId>,
}

/// One of a site's agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteAgentV1 {
    /// Which.
    pub agent: AgentId,
    /// SHA-256 of the public key in its certificate: the same in all of them.
    pub key: [u8; 32],
    /// Where it hears the others, as it said itself.
    pub addresses: Vec<SocketAddr>,
}

impl PolicyV1 {
    /// The part that [`entitlement::decide`] looks at.
    pub fn entitlement(&self) -> entitlement::SitePolicy {
        entitlement::SitePolicy {
            grace: Duration::from_secs(u64::from(self.grace_secs)),
            refusal: self.refusal,
            garden_for: self.garden_for,
            zone: entitlement::zone_of(&self.zone),
            bind: entitlement::Bind {
                macs: self.bind_macs,
                oldest_out: self.bind_oldest_out,
            },
        }
    }
}

/// A code that is worth a period, at the site that holds it. The code itself is in no record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoucherV1 {
    /// The record's id.
    pub voucher: VoucherId,
    /// What the code is known by.
    pub digest: VoucherDigest,
    /// What it gives: speed, devices.
    pub package: PackageId,
    /// Its face value in time, seconds from the first login.
    pub secs: u64,
    /// Its face value in data, bytes both ways; `None` = unlimited.
    pub bytes: Option<u64>,
    /// Nobody may use it for the first time from here on.
    pub expires: Option<Timestamp>,
    /// Its first use; `None` while nobody used it.
    pub used: Option<VoucherUseV1>,
}

/// What became of a voucher. Its user is the customer with the voucher's own id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoucherUseV1 {
    /// When its time began.
    pub from: Timestamp,
    /// When its time ends.
    pub until: Timestamp,
}

/// Somebody who may log in to the routers themselves (`/user aaa` on the router). No subscriber ever may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterLoginV1 {
    /// The record's id.
    pub login: RouterLoginId,
    /// What he types, octet for octet.
    pub username: Vec<u8>,
    /// The password, sealed for the field `password`.
    pub password: Sealed,
    /// The router's `/user group` whose rights he gets.
    pub group: String,
    /// The only router he may log in to; `None` = every one.
    pub router: Option<RouterId>,
}

/// A router that still has an old RADIUS server behind it. A router without this record has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovingV1 {
    /// The record's id.
    pub router: RouterId,
    /// Who answers.
    pub mode: MovingMode,
    /// Where the old server is; asked only inside the site's ranges.
    pub address: IpAddr,
    /// Its port for logins.
    pub auth_port: u16,
    /// Its port for accounting.
    pub acct_port: u16,
    /// What it shares with this site, sealed for the field `old_secret`.
    pub secret: Sealed,
    /// Whether it hears of known users' sessions too.
    pub copy_accounting: bool,
}

/// Who answers at a router with an old server behind it. New modes go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MovingMode {
    /// This site answers whom it knows, the old server everybody else.
    Shadow,
    /// The old server answers everybody.
    Forward,
}

/// A wanted state that is reached once: idempotent, an older version never overrides a newer one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandV1 {
    /// The record's id; the answer names it.
    pub command: CommandId,
    /// What to do.
    pub order: Order,
    /// When it was asked for: sessions that began later are not meant.
    pub issued: Timestamp,
    /// After this the command is answered as too late instead of done.
    pub expires: Timestamp,
}

/// What to do. New orders go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// End sessions.
    Disconnect(Whom),
    /// Decide anew and bring live sessions to it (rate, end) without cutting them.
    Reauthorize(Whom),
}

/// Whose sessions are meant. New ways to say it go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whom {
    /// All of one customer.
    Customer(CustomerId),
    /// All under one name.
    Username(Vec<u8>),
    /// One session of one router, by its Acct-Session-Id.
    Session {
        /// The router.
        router: RouterId,
        /// Acct-Session-Id, octet for octet.
        session: Vec<u8>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// D7: what a later release adds concerns its own records only.
    #[test]
    fn unknown_kinds_and_shapes_are_told_apart() {
        assert_eq!(Down::decode(999, b""), Err(WireError::UnknownKind(999)));
        let a_second_shape = [1u8, 0, 0];
        for kind in DownKind::ALL {
            assert_eq!(
                Down::decode(kind.code(), &a_second_shape),
                Err(WireError::Broken)
            );
        }
    }

    #[test]
    fn a_body_with_a_tail_is_broken() {
        let mut body = Down::Command(CommandV1 {
            command: uuid::Uuid::from_u128(1).into(),
            order: Order::Disconnect(Whom::Username(b"demo001".to_vec())),
            issued: Timestamp::from_secs(1),
            expires: Timestamp::from_secs(2),
        })
        .encode();
        assert!(Down::decode(DownKind::Command.code(), &body).is_ok());
        body.push(0);
        assert_eq!(
            Down::decode(DownKind::Command.code(), &body),
            Err(WireError::Broken)
        );
    }
}
