//! What a site knows of a customer, from which it follows why he is offline.

use serde::{Deserialize, Serialize};

use super::up::{LoginOutcome, OutsideWhy};
use crate::entitlement::Reason;
use crate::id::RouterId;
use crate::net::Mac;
use crate::time::Timestamp;

/// What a site knows of a customer. Every list is short: sixteen lines at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosisV1 {
    /// Whether the site knows him at all.
    pub known: bool,
    /// The only router he may use.
    pub bound: Option<RouterId>,
    /// What would be answered if he asked now, with the device and at the router of his last attempt.
    pub would: Option<WouldV1>,
    /// When his service ends, or ended, if nothing is paid.
    pub until: Option<Timestamp>,
    /// Where he is online, the latest first.
    pub sessions: Vec<OpenV1>,
    /// What happened to him, the oldest first.
    pub happened: Vec<HappenedV1>,
    /// The last request in his name that did not verify under the router's secret. Anybody who can send
    /// from the router's address can make one.
    pub unproven: Option<UnprovenV1>,
    /// Who asks with his device, or under nearly his name, and is nobody here; the latest first.
    pub strangers: Vec<StrangerV1>,
    /// The site's routers, his own first.
    pub routers: Vec<RouterFactV1>,
}

/// What would be answered to a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WouldV1 {
    /// Why.
    pub reason: Reason,
    /// Whether who is refused gets into the walled garden.
    pub garden: bool,
}

/// Where he is online.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenV1 {
    /// The router.
    pub router: RouterId,
    /// Device.
    pub mac: Option<Mac>,
    /// Since when.
    pub started: Timestamp,
    /// When it was last heard of.
    pub seen: Timestamp,
    /// Whether he is only let into the walled garden.
    pub garden: bool,
    /// Why it is no session of ours; `None` for one that is.
    pub outside: Option<OutsideWhy>,
}

/// One thing that happened, perhaps several times in a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HappenedV1 {
    /// When first.
    pub first: Timestamp,
    /// When last.
    pub last: Timestamp,
    /// How often.
    pub count: u32,
    /// At which router.
    pub router: RouterId,
    /// With which device.
    pub mac: Option<Mac>,
    /// What.
    pub what: HappeningV1,
}

/// What can happen to a customer. New ones go at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HappeningV1 {
    /// He tried to log in.
    Login(LoginOutcome),
    /// His router opened a session.
    Began,
    /// His router ended it; its Acct-Terminate-Cause, where it gave one.
    Ended(Option<u32>),
    /// It ended unseen: the router restarted, or does not list it.
    Lost,
    /// Anything else; a sentence for a person.
    Noted(String),
}

/// Requests in his name under another secret than the router's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnprovenV1 {
    /// From the address of this router.
    pub router: RouterId,
    /// How many since the agent's start.
    pub count: u64,
    /// The last of them.
    pub last: Timestamp,
}

/// Somebody who asks and is nobody here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrangerV1 {
    /// Under this name, octet for octet.
    pub username: Vec<u8>,
    /// At which router.
    pub router: RouterId,
    /// With which device.
    pub mac: Option<Mac>,
    /// How often.
    pub count: u32,
    /// When last.
    pub last: Timestamp,
}

/// How a router is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterFactV1 {
    /// The router.
    pub router: RouterId,
    /// What people call it.
    pub name: String,
    /// When a request of it was last verified.
    pub heard: Option<Timestamp>,
    /// When a request from its address last failed to verify under its secret.
    pub mismatched: Option<Timestamp>,
    /// Whether it answers now.
    pub reach: ReachV1,
    /// When it started last, where that is known.
    pub booted: Option<Timestamp>,
    /// Whether a user on the router itself has the customer's name, so that RADIUS is not asked for him.
    pub hides: bool,
}

/// Whether a router answers. New ones go at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReachV1 {
    /// It was not asked.
    Unasked,
    /// It answers on its CoA port or its API.
    Answers,
    /// Neither its CoA port nor its API answers.
    Silent,
    /// Its CoA port does not answer, and there is no other way to ask it.
    Unclear,
}
