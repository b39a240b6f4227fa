//! Live questions: each on a pipe of its own, with a deadline and an honest error.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::WireError;
use super::access::AccessV1;
use super::condition::ConditionV1;
use super::diagnosis::DiagnosisV1;
use super::down::{VoucherV1, Whom};
use super::enroll::SiteAuthorityV1;
use super::frame::{encode, take};
use super::router::{RouterAsk, RouterTold};
use super::up::{LocalSecretsV1, OutsideV1};
use crate::id::{AccessGrantId, CustomerId, RouterId, VoucherId};
use crate::net::Mac;
use crate::time::Timestamp;
use crate::voucher::VoucherDigest;

/// A question as it travels: its body apart, so that one that is not understood can be answered so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// How long the asker waits, counted from arrival.
    pub deadline_millis: u32,
    /// A [`Question`] (cloud asks) or an [`AgentQuestion`] (agent asks).
    pub body: Vec<u8>,
}

/// What the cloud asks an agent. New questions go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Are you there?
    Ping,
    /// Who is online at a router, as the router itself says; `None` = at all of them, as the agent knows.
    LiveSessions {
        /// The router.
        router: Option<RouterId>,
    },
    /// End these sessions now, and say whether it happened.
    Disconnect(Whom),
    /// Can you reach this router, and does it take our secret?
    TestConnection {
        /// The router.
        router: RouterId,
    },
    /// Give this voucher back, unless it was used: another place wants to use it.
    ReleaseVoucher {
        /// The voucher.
        voucher: VoucherId,
    },
    /// Where are they online? Their routers are asked where they can be.
    Sessions(Whom),
    /// Compare what is believed to be online with the routers' own lists, now.
    Reconcile {
        /// One router; `None` = every one whose API is set up.
        router: Option<RouterId>,
    },
    /// How much goes through their session now?
    Traffic(Whom),
    /// Which customers does a router answer by its own lists, before it asks RADIUS?
    LocalSecrets {
        /// The router.
        router: RouterId,
    },
    /// What is known of this customer, from which it follows why he is offline?
    Diagnose {
        /// The customer; also one that a voucher's first user would become.
        customer: CustomerId,
        /// His User-Name, under which a site knows attempts of who is not its customer yet.
        username: Vec<u8>,
    },
    /// Something of one router, now.
    Router {
        /// The router.
        router: RouterId,
        /// What.
        ask: RouterAsk,
    },
    /// Which routers are around that could be this site's?
    Around,
    /// May somebody come through to this, and where does it lead?
    Access(AccessV1),
    /// He comes through no more.
    AccessOver {
        /// Which way.
        grant: AccessGrantId,
    },
    /// As [`Question::LiveSessions`] of one router, a page of it.
    OnlinePage(OnlineAskV1),
    /// Who stands on a router's own lists of users, with their passwords? Some of them: they are taken over.
    Subscribers(SubscribersAskV1),
}

/// What an agent asks the cloud. New questions go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentQuestion {
    /// Are you there?
    Ping,
    /// A new certificate for this key, please: mine is half way through its life.
    Renew {
        /// A certificate signing request, DER.
        csr: Vec<u8>,
    },
    /// Somebody shows a code that is not held here: may he come in with it?
    Voucher {
        /// What the code is known by.
        digest: VoucherDigest,
        /// His device.
        mac: Option<Mac>,
        /// The asker is a keeper of its site's vouchers and has written down that this device is the first
        /// to use it, from this instant on.
        voted: Option<Timestamp>,
    },
    /// This is what a person should look at here; what was told before is over.
    Condition(ConditionV1),
    /// This is the authority by which devices and routers know this box: is it the site's?
    Authority(SiteAuthorityV1),
}

/// An answer as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The question was answered; a [`Reply`] (to the cloud) or a [`CloudReply`] (to an agent).
    Body(Vec<u8>),
    /// It was not.
    Failed(AskFailure),
}

/// What an agent answers. New answers go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Question::Ping`].
    Pong {
        /// The agent's clock.
        now: Timestamp,
    },
    /// To [`Question::LiveSessions`].
    LiveSessions(Vec<LiveSessionV1>),
    /// To [`Question::Disconnect`].
    Disconnected {
        /// Sessions that ended.
        ended: u32,
        /// Sessions whose router did not confirm it in time.
        unconfirmed: u32,
    },
    /// To [`Question::TestConnection`].
    Connection(ConnectionV1),
    /// To [`Question::ReleaseVoucher`]: on stable storage; this agent lets nobody in with it any more.
    VoucherReleased,
    /// To [`Question::ReleaseVoucher`]: it was used here; the report is on its way.
    VoucherUsed {
        /// When its time began.
        at: Timestamp,
    },
    /// To [`Question::Sessions`].
    Sessions(SessionsV1),
    /// To [`Question::Reconcile`].
    Reconciled(ReconciledV1),
    /// To [`Question::Traffic`].
    Traffic(TrafficV1),
    /// To [`Question::LocalSecrets`].
    LocalSecrets(LocalSecretsV1),
    /// To [`Question::Diagnose`].
    Diagnosis(Box<DiagnosisV1>),
    /// To [`Question::Router`].
    Router(RouterTold),
    /// To [`Question::Around`].
    Around(AroundV1),
    /// To [`Question::Access`]: he may.
    Access {
        /// Where it leads.
        address: IpAddr,
    },
    /// To [`Question::AccessOver`].
    AccessOver,
    /// To [`Question::OnlinePage`].
    OnlinePage(OnlinePageV1),
    /// To [`Question::Subscribers`].
    Subscribers(SubscribersV1),
}

/// What the cloud answers. New answers go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloudReply {
    /// To [`AgentQuestion::Ping`].
    Pong {
        /// The cloud's clock.
        now: Timestamp,
    },
    /// To [`AgentQuestion::Renew`].
    Certificate {
        /// The chain, DER, the agent's own first.
        chain: Vec<Vec<u8>>,
        /// The authorities to trust a cloud by from here on, DER; two during a rotation.
        authorities: Vec<Vec<u8>>,
    },
    /// To [`AgentQuestion::Voucher`]: it is used from now on, at this site.
    Voucher(VoucherV1),
    /// To [`AgentQuestion::Condition`]: it is shown from now on. To [`AgentQuestion::Authority`]: it is the site's.
    Noted,
    /// To [`AgentQuestion::Authority`]: the site has another one, this.
    Authority(SiteAuthorityV1),
}

/// Why there is no answer. New reasons go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum AskFailure {
    /// This build does not know the question.
    #[error("the other side does not know this question")]
    NotUnderstood,
    /// The time was up before there was an answer.
    #[error("no answer in time")]
    TimedOut,
    /// What was asked about cannot be reached; a sentence for a person.
    #[error("{0}")]
    Unreachable(String),
    /// What was asked about does not exist here.
    #[error("not known at this site")]
    NotFound,
    /// Too many questions at once.
    #[error("too many questions at once")]
    Busy,
    /// The answer is no; a sentence for a person.
    #[error("{0}")]
    Refused(String),
}

/// Somebody online.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSessionV1 {
    /// The router.
    pub router: RouterId,
    /// Acct-Session-Id, octet for octet; empty where only the router's own list knows the session.
    pub session: Vec<u8>,
    /// User-Name, octet for octet.
    pub username: Vec<u8>,
    /// Who that is at this site.
    pub customer: Option<CustomerId>,
    /// Address.
    pub framed_ip: Option<Ipv4Addr>,
    /// Device.
    pub mac: Option<Mac>,
    /// When it began.
    pub started: Timestamp,
    /// When it was last heard of.
    pub seen: Timestamp,
    /// From the subscriber, bytes.
    pub bytes_up: u64,
    /// To the subscriber, bytes.
    pub bytes_down: u64,
    /// Whether it is a hotspot session.
    pub hotspot: bool,
}

/// Which of those online at a router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlineAskV1 {
    /// The router.
    pub router: RouterId,
    /// Whether those at its hotspot, or those elsewhere; `None` = both.
    pub hotspot: Option<bool>,
    /// Those after this one; `None` = from the first.
    pub after: Option<OnlinePlaceV1>,
}

/// Where in the order of pages somebody stands: first whoever only the router's list knows, then the sessions, by id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OnlinePlaceV1 {
    /// Acct-Session-Id; empty where only the list knows the session.
    pub session: Vec<u8>,
    /// User-Name.
    pub username: Vec<u8>,
    /// Address.
    pub framed_ip: Option<Ipv4Addr>,
    /// Device.
    pub mac: Option<Mac>,
}

/// Some of those online at a router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlinePageV1 {
    /// As many as an answer holds.
    pub sessions: Vec<LiveSessionV1>,
    /// Who stands last, where there are more.
    pub next: Option<OnlinePlaceV1>,
}

impl LiveSessionV1 {
    /// Where it stands in the order of pages.
    pub fn place(&self) -> OnlinePlaceV1 {
        OnlinePlaceV1 {
            session: self.session.clone(),
            username: self.username.clone(),
            framed_ip: self.framed_ip,
            mac: self.mac,
        }
    }
}

/// Which of the users on a router's own lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscribersAskV1 {
    /// The router.
    pub router: RouterId,
    /// From where on; `None` = from the first.
    pub from: Option<SubscribersPlaceV1>,
}

/// Where in the order of pages somebody stands: first the users of PPP, then those of the hotspot, by their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscribersPlaceV1 {
    /// Whether on the hotspot's list.
    pub hotspot: bool,
    /// Those whose number is higher; `None` = all on that list.
    pub after: Option<u64>,
}

/// Some users of a router's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscribersV1 {
    /// As many as an answer holds, in their order.
    pub users: Vec<RouterUserV1>,
    /// Where to go on, where there may be more.
    pub next: Option<SubscribersPlaceV1>,
}

/// A user of a router's own.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterUserV1 {
    /// Whether on the hotspot's list.
    pub hotspot: bool,
    /// What his row says, octet for octet, by the router's names for it.
    pub says: Vec<(String, Vec<u8>)>,
}

/// How much he says alone: his password is among it.
impl std::fmt::Debug for RouterUserV1 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.says.iter().map(|(name, _)| name);
        f.debug_struct("RouterUserV1")
            .field("hotspot", &self.hotspot)
            .field("says", &names.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// Where somebody is online.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionsV1 {
    /// His sessions, the latest first.
    pub sessions: Vec<LiveSessionV1>,
    /// Why this may not be the present truth: a router could not be asked; a sentence for a person.
    pub doubt: Option<String>,
}

/// What came of comparing with the routers' lists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconciledV1 {
    /// Routers that were asked and answered.
    pub asked: u32,
    /// Sessions closed: their router does not list them.
    pub closed: u32,
    /// Sessions that had been given up and go on.
    pub opened: u32,
    /// Who is online outside the system, at most 200.
    pub outside: Vec<OutsideV1>,
    /// Routers that could not be asked, and why.
    pub problems: Vec<(RouterId, String)>,
}

/// How much goes through somebody's session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficV1 {
    /// Whether he is online at all.
    pub online: bool,
    /// Bits a second from him.
    pub up_bps: u64,
    /// Bits a second to him.
    pub down_bps: u64,
}

/// How a router answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionV1 {
    /// When it last sent a RADIUS request that verified.
    pub radius_seen: Option<Timestamp>,
    /// Whether it answered on its CoA port; `None` when it was not tried.
    pub coa: Option<bool>,
    /// Whether it let us in on its API; `None` when no API is set up.
    pub api: Option<bool>,
    /// Round trip, when anything answered.
    pub millis: Option<u32>,
    /// A sentence for a person.
    pub detail: String,
}

/// What could be a router of the site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AroundV1 {
    /// Devices that announce themselves on the agent's network, at most 512.
    pub neighbours: Vec<AnnouncedV1>,
    /// Addresses that ask RADIUS and are no router of the site, the loudest first, and how often each asked.
    pub asking: Vec<(IpAddr, u64)>,
    /// Why nobody can be heard announcing himself; a sentence for a person.
    pub deaf: Option<String>,
}

/// A device that announces itself (MNDP). It may say anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnouncedV1 {
    /// The device.
    pub mac: Mac,
    /// Where it was heard; `None` where it has no address yet.
    pub address: Option<IpAddr>,
    /// What it is called.
    pub identity: String,
    /// Its software.
    pub version: String,
    /// Who made it.
    pub platform: String,
    /// The board.
    pub board: String,
    /// Its interface towards the agent.
    pub interface: String,
    /// Seconds since it started.
    pub uptime_secs: Option<u32>,
    /// Seconds since it was heard last.
    pub silent_secs: u64,
}

/// The most octets a question or an answer may take.
pub const QUESTION_CAP: usize = 256 * 1024;

macro_rules! bodies {
    ($($name:ident)*) => {$(
        impl $name {
            /// The bytes that travel.
            pub fn encode(&self) -> Vec<u8> {
                encode(self)
            }

            /// Reads what travelled; a variant of a later release is [`WireError::Broken`].
            pub fn decode(body: &[u8]) -> Result<$name, WireError> {
                take(body)
            }
        }
    )*};
}

/// How many of these an answer holds, from the first.
pub fn fitting<T: Serialize>(rows: &[T]) -> usize {
    let mut room = QUESTION_CAP - RESERVED;
    let fits = |row: &&T| match room.checked_sub(encode(row).len()) {
        Some(rest) => {
            room = rest;
            true
        }
        None => false,
    };
    rows.iter().take_while(fits).count()
}

/// Octets of an answer that are not its rows.
const RESERVED: usize = 1024;

bodies! { Question AgentQuestion Reply CloudReply }
