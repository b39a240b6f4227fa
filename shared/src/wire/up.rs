//! What an agent reports: the bodies of outbox records.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::brought::BroughtUpV1;
use super::configuration::ConfigurationV1;
use super::frame::{encode, take};
use super::line::LinesV1;
use super::logs::LogsV1;
use super::monitor::{MetricsV1, PackedMetricsV1};
use super::{Lane, WireError};
use crate::entitlement::Reason;
use crate::id::{AgentId, CommandId, CustomerId, RouterId, VoucherId};
use crate::ipv6::Prefixes;
use crate::net::Mac;
use crate::time::Timestamp;

/// What an outbox record is about. The codes are on the wire and in both databases: they never change.
///
/// A batch is applied kind by kind in this order: who a voucher makes a customer comes before his sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UpKind {
    /// A router that the agent brought up by itself: what is told of it comes after.
    BroughtUp,
    /// A voucher was used for the first time.
    Redemption,
    /// Who is to keep the site's vouchers.
    Keepers,
    /// A customer was seen with a device for the first time.
    Device,
    /// A device became one of those that a customer is bound to.
    Bind,
    /// A session began, goes on or ended.
    Accounting,
    /// Somebody tried to log in.
    Login,
    /// What became of a command.
    CommandResult,
    /// How the agent is.
    Heartbeat,
    /// How a router is, as its API says.
    Router,
    /// What an old RADIUS server said beside us.
    Moving,
    /// Customers whom a router's own lists hide.
    LocalSecrets,
    /// What a device said over SNMP.
    Metrics,
    /// What routers have of customers who log in nowhere.
    Lines,
    /// Codes from the phone that were used.
    Unlock,
    /// What routers wrote to their logs.
    Logs,
    /// How a router is configured.
    Configuration,
}

impl UpKind {
    /// Every kind of this build.
    pub const ALL: [UpKind; 17] = [
        UpKind::BroughtUp,
        UpKind::Redemption,
        UpKind::Keepers,
        UpKind::Device,
        UpKind::Bind,
        UpKind::Accounting,
        UpKind::Login,
        UpKind::CommandResult,
        UpKind::Heartbeat,
        UpKind::Router,
        UpKind::Moving,
        UpKind::LocalSecrets,
        UpKind::Metrics,
        UpKind::Lines,
        UpKind::Unlock,
        UpKind::Logs,
        UpKind::Configuration,
    ];

    /// The number of this kind on the wire and in both databases.
    pub const fn code(self) -> u16 {
        match self {
            UpKind::Accounting => 1,
            UpKind::Login => 2,
            UpKind::CommandResult => 3,
            UpKind::Heartbeat => 4,
            UpKind::Redemption => 5,
            UpKind::Device => 6,
            UpKind::Router => 7,
            UpKind::Moving => 13,
            UpKind::LocalSecrets => 14,
            UpKind::Keepers => 15,
            UpKind::Metrics => 20,
            UpKind::Bind => 22,
            UpKind::Lines => 23,
            UpKind::Unlock => 24,
            UpKind::Logs => 28,
            UpKind::Configuration => 30,
            UpKind::BroughtUp => 40,
        }
    }

    /// The kind with this number.
    pub fn from_code(code: u16) -> Option<UpKind> {
        UpKind::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The lane that records of this kind travel in.
    pub const fn lane(self) -> Lane {
        match self {
            UpKind::BroughtUp
            | UpKind::Accounting
            | UpKind::Redemption
            | UpKind::Keepers
            | UpKind::Device
            | UpKind::Bind => Lane::Accounting,
            UpKind::Login
            | UpKind::CommandResult
            | UpKind::Moving
            | UpKind::Lines
            | UpKind::Unlock => Lane::Results,
            UpKind::Heartbeat
            | UpKind::Router
            | UpKind::LocalSecrets
            | UpKind::Metrics
            | UpKind::Logs
            | UpKind::Configuration => Lane::Metrics,
        }
    }
}

/// The decoded body of an outbox record.
#[derive(Debug, Clone, PartialEq)]
pub enum Up {
    /// See [`AccountingV1`].
    Accounting(AccountingV1),
    /// See [`LoginV1`].
    Login(LoginV1),
    /// See [`CommandResultV1`].
    CommandResult(CommandResultV1),
    /// See [`HeartbeatV1`].
    Heartbeat(HeartbeatV1),
    /// See [`RedemptionV1`].
    Redemption(RedemptionV1),
    /// See [`DeviceV1`].
    Device(DeviceV1),
    /// See [`RouterStateV1`].
    Router(RouterStateV1),
    /// See [`PoolsV1`].
    Pools(PoolsV1),
    /// See [`MovingReportV1`].
    Moving(MovingReportV1),
    /// See [`LocalSecretsV1`].
    LocalSecrets(LocalSecretsV1),
    /// See [`KeepWithV1`].
    Keepers(KeepWithV1),
    /// See [`MetricsV1`].
    Metrics(Box<MetricsV1>),
    /// See [`PackedMetricsV1`].
    PackedMetrics(PackedMetricsV1),
    /// See [`BindV1`].
    Bind(BindV1),
    /// See [`LinesV1`].
    Lines(LinesV1),
    /// See [`UnlockV1`].
    Unlock(UnlockV1),
    /// See [`LogsV1`].
    Logs(LogsV1),
    /// See [`ConfigurationV1`].
    Configuration(Box<ConfigurationV1>),
    /// See [`BroughtUpV1`].
    BroughtUp(Box<BroughtUpV1>),
}

impl Up {
    /// The kind of the record that carries this body.
    pub const fn kind(&self) -> UpKind {
        match self {
            Up::Accounting(_) => UpKind::Accounting,
            Up::Login(_) => UpKind::Login,
            Up::CommandResult(_) => UpKind::CommandResult,
            Up::Heartbeat(_) => UpKind::Heartbeat,
            Up::Redemption(_) => UpKind::Redemption,
            Up::Device(_) => UpKind::Device,
            Up::Router(_) | Up::Pools(_) => UpKind::Router,
            Up::Moving(_) => UpKind::Moving,
            Up::LocalSecrets(_) => UpKind::LocalSecrets,
            Up::Keepers(_) => UpKind::Keepers,
            Up::Metrics(_) | Up::PackedMetrics(_) => UpKind::Metrics,
            Up::Bind(_) => UpKind::Bind,
            Up::Lines(_) => UpKind::Lines,
            Up::Unlock(_) => UpKind::Unlock,
            Up::Logs(_) => UpKind::Logs,
            Up::Configuration(_) => UpKind::Configuration,
            Up::BroughtUp(_) => UpKind::BroughtUp,
        }
    }

    /// The body's bytes, as they stand in the outbox and on the wire.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Up::Accounting(body) => match body.prefixes.is_empty() {
                true => encode(&Accounting::<_, Prefixes>::V1(body)),
                false => encode(&Accounting::V2(body, &body.prefixes)),
            },
            Up::Login(body) => encode(&Login::V1(body)),
            Up::CommandResult(body) => encode(&CommandResult::V1(body)),
            Up::Heartbeat(body) => encode(&Heartbeat::V1(body)),
            Up::Redemption(body) => encode(&Redemption::V1(body)),
            Up::Device(body) => encode(&Device::V1(body)),
            Up::Router(body) => encode(&Router::<_, PoolsV1>::V1(body)),
            Up::Pools(body) => encode(&Router::<RouterStateV1, _>::Pools(body)),
            Up::Moving(body) => encode(&Moving::V1(body)),
            Up::LocalSecrets(body) => encode(&LocalSecrets::V1(body)),
            Up::Keepers(body) => encode(&KeepWith::V1(body)),
            Up::Metrics(body) => encode(&Metrics::<_, PackedMetricsV1>::V1(body)),
            Up::PackedMetrics(body) => encode(&Metrics::<Box<MetricsV1>, _>::V2(body)),
            Up::Bind(body) => encode(&Bind::V1(body)),
            Up::Lines(body) => encode(&Lines::V1(body)),
            Up::Unlock(body) => encode(&Unlock::V1(body)),
            Up::Logs(body) => encode(&Logs::V1(body)),
            Up::Configuration(body) => encode(&Configuration::V1(body)),
            Up::BroughtUp(body) => match body.before.is_empty() {
                true => encode(&BroughtUp::<_, Vec<Vec<u8>>>::V1(body)),
                false => encode(&BroughtUp::V2(body, &body.before)),
            },
        }
    }

    /// Reads a record's body.
    ///
    /// Reads untrusted bytes. Any error concerns this record alone: it goes to quarantine with its raw
    /// bytes and the mark moves on.
    pub fn decode(kind: u16, body: &[u8]) -> Result<Up, WireError> {
        let known = UpKind::from_code(kind).ok_or(WireError::UnknownKind(kind))?;
        Ok(match known {
            UpKind::Accounting => Up::Accounting(match take(body)? {
                Accounting::V1(body) => body,
                Accounting::V2(body, prefixes) => AccountingV1 { prefixes, ..body },
            }),
            UpKind::Login => {
                let Login::V1(body) = take(body)?;
                Up::Login(body)
            }
            UpKind::CommandResult => {
                let CommandResult::V1(body) = take(body)?;
                Up::CommandResult(body)
            }
            UpKind::Heartbeat => {
                let Heartbeat::V1(body) = take(body)?;
                Up::Heartbeat(body)
            }
            UpKind::Redemption => {
                let Redemption::V1(body) = take(body)?;
                Up::Redemption(body)
            }
            UpKind::Device => {
                let Device::V1(body) = take(body)?;
                Up::Device(body)
            }
            UpKind::Router => match take(body)? {
                Router::V1(body) => Up::Router(body),
                Router::Pools(body) => Up::Pools(body),
            },
            UpKind::Moving => {
                let Moving::V1(body) = take(body)?;
                Up::Moving(body)
            }
            UpKind::LocalSecrets => {
                let LocalSecrets::V1(body) = take(body)?;
                Up::LocalSecrets(body)
            }
            UpKind::Keepers => {
                let KeepWith::V1(body) = take(body)?;
                Up::Keepers(body)
            }
            UpKind::Metrics => match take(body)? {
                Metrics::V1(body) => Up::Metrics(body),
                Metrics::V2(body) => Up::PackedMetrics(body),
            },
            UpKind::Bind => {
                let Bind::V1(body) = take(body)?;
                Up::Bind(body)
            }
            UpKind::Lines => {
                let Lines::V1(body) = take(body)?;
                Up::Lines(body)
            }
            UpKind::Unlock => {
                let Unlock::V1(body) = take(body)?;
                Up::Unlock(body)
            }
            UpKind::Logs => {
                let Logs::V1(body) = take(body)?;
                Up::Logs(body)
            }
            UpKind::Configuration => {
                let Configuration::V1(body) = take(body)?;
                Up::Configuration(body)
            }
            UpKind::BroughtUp => Up::BroughtUp(match take(body)? {
                BroughtUp::<Box<BroughtUpV1>, _>::V1(body) => body,
                BroughtUp::V2(body, before) => Box::new(BroughtUpV1 { before, ..*body }),
            }),
        })
    }
}

/// The pools of a router, as its API tells them to a cloud that has [`ROUTER_POOLS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolsV1 {
    /// The router.
    pub router: RouterId,
    /// When it was asked.
    pub at: Timestamp,
    /// Its pools, at most 64.
    pub pools: Vec<PoolV1>,
}

/// A pool of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolV1 {
    /// What it is called.
    pub name: String,
    /// How many addresses it has.
    pub size: u32,
    /// How many of them are given out.
    pub used: u32,
}

/// The ability of a cloud that reads [`PoolsV1`].
pub const ROUTER_POOLS: &str = "router-pools";

/// The ability of a cloud that reads the prefixes of [`AccountingV1`].
pub const SESSION_PREFIXES: &str = "session-prefixes";

/// A record's octets for a cloud without [`SESSION_PREFIXES`]: what it cannot read is left out, so that the usage beside it is
/// counted; `None` where they are the same.
pub fn without_prefixes(kind: u16, body: &[u8]) -> Option<Vec<u8>> {
    if kind != UpKind::Accounting.code() {
        return None;
    }
    match Up::decode(kind, body) {
        Ok(Up::Accounting(told)) if !told.prefixes.is_empty() => {
            Some(encode(&Accounting::<_, Prefixes>::V1(&told)))
        }
        Ok(_) | Err(_) => None,
    }
}

#[derive(Serialize, Deserialize)]
enum Accounting<T = AccountingV1, P = Prefixes> {
    V1(T),
    /// Of a session that has IPv6 too.
    V2(T, P),
}

#[derive(Serialize, Deserialize)]
enum Login<T = LoginV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum CommandResult<T = CommandResultV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum Heartbeat<T = HeartbeatV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum Redemption<T = RedemptionV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum Device<T = DeviceV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum Router<T = RouterStateV1, P = PoolsV1> {
    V1(T),
    Pools(P),
}

#[derive(Serialize, Deserialize)]
enum Moving<T = MovingReportV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum LocalSecrets<T = LocalSecretsV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum KeepWith<T = KeepWithV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum Metrics<T = Box<MetricsV1>, P = PackedMetricsV1> {
    V1(T),
    V2(P),
}

#[derive(Serialize, Deserialize)]
enum Bind<T = BindV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum Lines<T = LinesV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum Unlock<T = UnlockV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum Logs<T = LogsV1> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum Configuration<T = Box<ConfigurationV1>> {
    V1(T),
}

#[derive(Serialize, Deserialize)]
enum BroughtUp<T = Box<BroughtUpV1>, P = Vec<Vec<u8>>> {
    V1(T),
    /// Of one that was entered by another password before.
    V2(T, P),
}

/// The state of one session as its router told it: cumulative, so that repeats and overtaking are harmless.
///
/// Sessions are merged by (tenant, router, `session`, `class`), whichever of a site's agents sent them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountingV1 {
    /// The router that told it.
    pub router: RouterId,
    /// Acct-Session-Id, octet for octet.
    pub session: Vec<u8>,
    /// The cookie given at accept and echoed in Class; empty when the router did not echo it.
    pub class: Vec<u8>,
    /// What happened.
    pub status: AccountingStatus,
    /// User-Name, octet for octet.
    pub username: Vec<u8>,
    /// Who that is at this site; `None` for a name the site does not know.
    pub customer: Option<CustomerId>,
    /// Framed-IP-Address.
    pub framed_ip: Option<Ipv4Addr>,
    /// Calling-Station-Id, when it is a hardware address.
    pub mac: Option<Mac>,
    /// When this state held (the event, not its arrival).
    pub at: Timestamp,
    /// When the session began: event time less session time.
    pub started: Timestamp,
    /// Acct-Session-Time, seconds.
    pub session_secs: u32,
    /// From the subscriber, bytes, gigawords included.
    pub bytes_up: u64,
    /// To the subscriber, bytes, gigawords included.
    pub bytes_down: u64,
    /// Of both, bytes of hours whose data does not count.
    pub bytes_free: u64,
    /// Acct-Terminate-Cause (RFC 2866 §5.10) of a stop; `None` where the router gave none.
    pub cause: Option<u32>,
    /// What it has of IPv6, as far as the router told it. On the wire it goes beside the rest, in a shape of its own:
    /// who has none costs no octet.
    #[serde(skip)]
    pub prefixes: Prefixes,
}

/// What happened to a session. New ones go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AccountingStatus {
    /// It began.
    Start,
    /// It goes on.
    Interim,
    /// It ended, says the router.
    Stop,
    /// It ended unseen: the router restarted, or no longer lists it. `at` is when it was last seen.
    Lost,
}

/// One attempt to log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginV1 {
    /// When.
    pub at: Timestamp,
    /// At which router.
    pub router: RouterId,
    /// User-Name, octet for octet.
    pub username: Vec<u8>,
    /// Who that is at this site.
    pub customer: Option<CustomerId>,
    /// Calling-Station-Id, when it is a hardware address.
    pub mac: Option<Mac>,
    /// What came of it.
    pub outcome: LoginOutcome,
}

/// What came of an attempt to log in. New ones go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LoginOutcome {
    /// Let in.
    Accepted,
    /// Let into the walled garden, for this reason.
    Garden(Reason),
    /// The password was right, but the answer is no.
    Refused(Reason),
    /// Nobody of that name here.
    UnknownUser,
    /// A wrong password.
    WrongPassword,
    /// The site's lease from the cloud ran out.
    LeaseOver,
    /// A voucher nobody used in time.
    VoucherExpired,
    /// The voucher is held elsewhere, and whoever holds it cannot be asked now.
    VoucherElsewhere,
    /// The first use could not be written to disk, so it did not happen.
    NotStored,
    /// Too many wrong passwords from this device or under this name, or codes from it or at this router.
    TooManyTries,
    /// Let in to the router itself.
    RouterLogin,
    /// Nobody of that name may log in to this router.
    UnknownRouterLogin,
    /// A wrong password, for the router itself.
    WrongRouterPassword,
    /// Too many wrong passwords for the router itself, from one place.
    TooManyRouterTries,
}

/// A voucher was used for the first time: its time runs, on stable storage, before the device was let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedemptionV1 {
    /// The voucher.
    pub voucher: VoucherId,
    /// When its time began.
    pub at: Timestamp,
    /// At which router.
    pub router: RouterId,
    /// The device it is bound to, when the router named one.
    pub mac: Option<Mac>,
}

/// A keeper of the site's vouchers wants to keep them with another agent, or alone.
///
/// With another: from this record on, which follows every first use that it let in alone, it lets nobody in
/// without a second vote. Alone: it does so once its feed names it alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepWithV1 {
    /// The term in which it was named.
    pub term: u64,
    /// The other one; `None` = alone.
    pub with: Option<AgentId>,
    /// When.
    pub at: Timestamp,
}

/// A customer was seen with a device for the first time, on stable storage, before the device was let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceV1 {
    /// The customer.
    pub customer: CustomerId,
    /// The device.
    pub mac: Mac,
    /// When.
    pub at: Timestamp,
}

/// A customer was let in with a code from the phone (see [`crate::unlock`]), on stable storage, before he was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnlockV1 {
    /// The customer.
    pub customer: CustomerId,
    /// In which hour since 1970 the code was made.
    pub hour: i64,
    /// For how many hours.
    pub hours: u8,
    /// Which of that hour's.
    pub serial: u8,
    /// When it was typed.
    pub at: Timestamp,
    /// Until when it lets him in, by the box's clock.
    pub until: Timestamp,
}

/// A device became one of those that a customer is bound to, on stable storage, before it was let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindV1 {
    /// The customer.
    pub customer: CustomerId,
    /// The device.
    pub mac: Mac,
    /// The one that left for it, where the policy lets the oldest go.
    pub instead_of: Option<Mac>,
    /// When.
    pub at: Timestamp,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandResultV1 {
    /// The command.
    pub command: CommandId,
    /// The feed version that carried it.
    pub version: u64,
    /// When.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: CommandOutcome,
}

/// What came of a command. New ones go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandOutcome {
    /// Done, and seen to be done, for so many sessions.
    Done {
        /// Sessions it took effect on.
        sessions: u32,
    },
    /// There was nothing to do it to.
    NothingThere,
    /// It arrived after it expired.
    TooLate,
    /// The router could not be brought to it; a sentence for a person.
    Failed(String),
}

/// How the agent is, about once a minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatV1 {
    /// When.
    pub at: Timestamp,
    /// Build version.
    pub version: String,
    /// Outbox records not acknowledged.
    pub queue: u64,
    /// Sessions open.
    pub sessions: u32,
    /// The box's clock less the cloud's, milliseconds; `None` while it is not known.
    pub clock_offset_millis: Option<i64>,
    /// Sources that are no router of this site, the loudest first, at most 16.
    pub unknown_sources: Vec<(IpAddr, u64)>,
    /// Routers whose requests did not verify, and how many since start.
    pub secret_mismatches: Vec<(RouterId, u64)>,
    /// Routers that send no Message-Authenticator.
    pub unsigned_routers: Vec<RouterId>,
    /// Other counters since start, by name; at most 64.
    pub counters: Vec<(String, u64)>,
}

/// How a router is, as its API says, about once an interim interval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterStateV1 {
    /// The router.
    pub router: RouterId,
    /// When it was asked.
    pub at: Timestamp,
    /// Why its API could not be read, a sentence for a person; the rest is then empty.
    pub problem: Option<String>,
    /// Since its start.
    pub uptime_secs: u64,
    /// RouterOS version; empty where it is not told.
    pub version: String,
    /// Board name; empty where it is not told.
    pub board: String,
    /// Percent.
    pub cpu_load: Option<u32>,
    /// Octets.
    pub free_memory: Option<u64>,
    /// Octets.
    pub total_memory: Option<u64>,
    /// Who is online there outside the system, at most 100.
    pub outside: Vec<OutsideV1>,
    /// How many that are.
    pub outside_count: u32,
}

/// Somebody online at a router who is no session of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideV1 {
    /// The router.
    pub router: RouterId,
    /// The name, octet for octet.
    pub username: Vec<u8>,
    /// Address.
    pub framed_ip: Option<Ipv4Addr>,
    /// Device.
    pub mac: Option<Mac>,
    /// For how long.
    pub uptime_secs: u64,
    /// Whether it is a hotspot session.
    pub hotspot: bool,
    /// Why it is none of ours.
    pub why: OutsideWhy,
}

/// Why somebody online is no session of ours. New reasons go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OutsideWhy {
    /// A secret on the router itself let him in; RADIUS was not asked.
    Local,
    /// Some RADIUS server let him in whose name nobody here has.
    Unknown,
    /// A subscriber of ours whose session the router does not report: is accounting switched on?
    Unreported,
}

/// What an old RADIUS server said beside us at one router, since the report before: counts are to be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovingReportV1 {
    /// The router.
    pub router: RouterId,
    /// When this was written.
    pub at: Timestamp,
    /// What happened how often.
    pub counts: MovingCountsV1,
    /// Known users to whom the two say different things, the newest of each kind.
    pub differences: Vec<MovingDifferenceV1>,
    /// Known users who were among the differences, and to whom the two say the same now.
    pub agreed: Vec<Vec<u8>>,
    /// Users whom only the old server knows.
    pub strangers: Vec<MovingStrangerV1>,
    /// Why the old server cannot be asked at all, a sentence for a person.
    pub problem: Option<String>,
}

/// What happened how often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovingCountsV1 {
    /// Known users' logins about which the old server was asked too.
    pub asked: u64,
    /// Of these, both said the same.
    pub same: u64,
    /// One let him in, the other did not.
    pub other_answer: u64,
    /// Both let him in, at different speeds.
    pub other_rate: u64,
    /// Both let him in, at different addresses.
    pub other_address: u64,
    /// Both let him in, until different ends.
    pub other_timeout: u64,
    /// Of those asked about, the old server said nothing.
    pub not_compared: u64,
    /// Logins that the old server was to answer.
    pub forwarded: u64,
    /// Of these, it let in.
    pub accepted: u64,
    /// Of these, it refused.
    pub rejected: u64,
    /// Of these, it said nothing, and so nothing was said to the router.
    pub silent: u64,
    /// Accounting records that it acknowledged.
    pub accounted: u64,
    /// Accounting records that it did not.
    pub not_accounted: u64,
    /// Requests that did not go to it because too many waited for it already.
    pub shed: u64,
    /// Datagrams from its address that were not its answers.
    pub ignored: u64,
}

/// A known user to whom this site and the old server say different things.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovingDifferenceV1 {
    /// User-Name, octet for octet.
    pub username: Vec<u8>,
    /// In what.
    pub kind: MovingDifference,
    /// What this site says.
    pub ours: String,
    /// What the old server says.
    pub theirs: String,
    /// When.
    pub at: Timestamp,
}

/// In what two answers differ. New kinds go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MovingDifference {
    /// Whether he is let in.
    Answer,
    /// Mikrotik-Rate-Limit.
    Rate,
    /// Framed-IP-Address or Framed-Pool.
    Address,
    /// Session-Timeout.
    Timeout,
}

/// A user whom the old server let in and this site does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovingStrangerV1 {
    /// User-Name, octet for octet.
    pub username: Vec<u8>,
    /// Whether it was at a hotspot.
    pub hotspot: bool,
    /// His device.
    pub mac: Option<Mac>,
    /// The speed he was given; empty where none was said.
    pub rate: String,
    /// His own address, or the pool his address is from; empty where neither was said.
    pub address: String,
    /// When he was let in last.
    pub at: Timestamp,
}

/// Customers whom a router answers by its own lists before it asks RADIUS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalSecretsV1 {
    /// The router.
    pub router: RouterId,
    /// When its lists were read.
    pub at: Timestamp,
    /// How many entries they have that are switched on.
    pub listed: u32,
    /// Those of them that are customers, at most 200.
    pub hidden: Vec<LocalSecretV1>,
    /// How many those are.
    pub hidden_count: u32,
}

/// A customer on a router's own list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalSecretV1 {
    /// The name, octet for octet.
    pub username: Vec<u8>,
    /// On `/ip/hotspot/user`, else on `/ppp/secret`.
    pub hotspot: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_code() {
        for kind in UpKind::ALL {
            assert_eq!(UpKind::from_code(kind.code()), Some(kind));
        }
        assert_eq!(UpKind::from_code(0), None);
    }

    /// D7: a shape of a later release is one broken record, not a broken batch.
    #[test]
    fn a_later_shape_is_broken_and_a_new_kind_unknown() {
        assert_eq!(
            Up::decode(UpKind::Accounting.code(), &[2]),
            Err(WireError::Broken)
        );
        assert_eq!(Up::decode(77, &[]), Err(WireError::UnknownKind(77)));
    }
}
