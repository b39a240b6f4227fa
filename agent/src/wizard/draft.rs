//! A router that is being brought up: what is wished, how far it is, what it is let in by.

use std::net::{IpAddr, Ipv4Addr};

use easyisp_shared::id::RouterId;
use easyisp_shared::setup::{API_PORT, API_USER};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::DownKind;
use easyisp_shared::wire::brought::ServesV1;
use easyisp_shared::wire::down::{MessageAuthenticator, RouterApiV1, RouterV1, secret_place};
use easyisp_shared::wire::setup::BeforeV1;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{TOKEN_LIFE, Told};
use crate::site::Site;

/// What somebody at the box wants of a router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wish {
    /// How it shall be called.
    pub name: String,
    /// Where subscribers shall dial, empty = wherever is left; absent = nobody shall.
    pub pppoe: Option<Vec<String>>,
    /// Where guests shall come in, empty = wherever is left; absent = none shall.
    pub hotspot: Option<Vec<String>>,
    /// The interface to the internet; absent = the likeliest.
    pub wan: Option<String>,
    /// Where the router finds this box; absent = where it says that it listens.
    pub agent: Option<Ipv4Addr>,
    /// Whether API, SNMP and CoA are closed to all others.
    pub firewall: bool,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Stage {
    /// The command was shown.
    Waiting,
    /// The router took its script.
    Fetched,
    /// It imported it and called.
    Called,
    /// It is being configured.
    Configuring,
    /// What was configured is being undone.
    Undoing,
    /// It serves.
    Done,
    /// It does not.
    Failed,
}

/// The password by which it lets the agent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Knows {
    /// The one that its script brought.
    First,
    /// The one that nobody heard.
    Last,
}

/// What is done at it, and what stood there before.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Plan {
    pub serves: ServesV1,
    pub version: String,
    pub serial: Option<String>,
    pub before: Vec<BeforeV1>,
}

/// It holds secrets, and is not shown.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Draft {
    pub router: RouterId,
    pub wish: Wish,
    /// Where the router finds this box.
    pub agent: Ipv4Addr,
    pub stage: Stage,
    pub message: String,
    pub lines: Vec<String>,
    /// When the command was made, or the configuration begun.
    pub since: Timestamp,
    /// What the token of the command is known by.
    pub fetch: Option<String>,
    /// And that of the call.
    pub callback: Option<String>,
    /// Where it fetched its script from.
    pub address: Option<IpAddr>,
    pub secret: String,
    pub first_password: String,
    pub password: String,
    pub knows: Knows,
    pub plan: Option<Plan>,
    /// What an earlier configuration left that would not go back.
    pub left: Vec<BeforeV1>,
    /// Whether it was tried, and serves: what is left is its login.
    #[serde(default)]
    pub proved: bool,
    /// Why it is being undone.
    pub why: String,
    /// Whether the cloud's record is in the outbox.
    pub reported: bool,
}

impl Draft {
    pub(super) fn new(
        router: RouterId,
        wish: Wish,
        (agent, since): (Ipv4Addr, Timestamp),
        secret: String,
        password: String,
    ) -> Draft {
        Draft {
            router,
            wish,
            agent,
            stage: Stage::Waiting,
            message: String::new(),
            lines: Vec::new(),
            since,
            fetch: None,
            callback: None,
            address: None,
            secret,
            first_password: String::new(),
            password,
            knows: Knows::First,
            plan: None,
            left: Vec::new(),
            proved: false,
            why: String::new(),
            reported: false,
        }
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        same(&self.wish.name, name)
    }

    /// Whether somebody works at it.
    pub(super) fn is_at_work(&self) -> bool {
        match self.stage {
            Stage::Called | Stage::Configuring | Stage::Undoing => true,
            Stage::Waiting | Stage::Fetched | Stage::Done | Stage::Failed => false,
        }
    }

    /// Whether it was brought up once: from then on it is a router of the site, whatever is tried anew.
    pub(super) fn serves(&self) -> bool {
        self.reported || matches!(self.stage, Stage::Done)
    }

    /// Whether its script may still be fetched, or it may still call.
    pub(super) fn is_awaited(&self, now: Timestamp) -> bool {
        let token = match self.stage {
            Stage::Waiting => self.fetch.is_some(),
            Stage::Fetched => self.callback.is_some(),
            Stage::Called | Stage::Configuring | Stage::Undoing | Stage::Done | Stage::Failed => {
                false
            }
        };
        token && self.is_fresh(now)
    }

    /// A clock that was set back makes no command last.
    fn is_fresh(&self, now: Timestamp) -> bool {
        now.since(self.since) < TOKEN_LIFE && self.since.since(now) < TOKEN_LIFE
    }

    /// The router as the cloud would tell of it; `None` before it showed where it is.
    pub(super) fn row(&self, site: &Site) -> Option<RouterV1> {
        let address = self.address?;
        let id = self.router.0;
        let seal = |field: &str, clear: &str| {
            site.seal(&secret_place(DownKind::Router, id, field), clear.as_bytes())
        };
        let password = match self.knows {
            Knows::First => &self.first_password,
            Knows::Last => &self.password,
        };
        Some(RouterV1 {
            router: self.router,
            name: self.wish.name.clone(),
            address,
            source: IpNet::from(address).into(),
            secret: seal("secret", &self.secret),
            previous_secret: None,
            coa_port: COA_PORT,
            message_authenticator: MessageAuthenticator::Learn,
            api: Some(RouterApiV1 {
                port: API_PORT,
                tls: true,
                user: API_USER.to_owned(),
                password: seal("api", password),
            }),
            ended_certificates: Vec::new(),
            certificates_since: None,
            leases: false,
        })
    }

    pub(super) fn told(&self) -> Told {
        Told {
            router: self.router,
            name: self.wish.name.clone(),
            stage: self.stage,
            message: self.message.clone(),
            lines: self.lines.clone(),
            address: self.address,
        }
    }
}

/// Names that nobody tells apart.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

/// Where it listens for CoA and Disconnect.
pub(super) const COA_PORT: u16 = 3799;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    /// A box's clock may jump either way when it hears the cloud: no command lasts longer by it.
    #[test]
    fn a_command_ends_by_any_clock() {
        let begun = Timestamp::from_secs(1_800_000_000);
        let wish = Wish {
            name: "Tower".to_owned(),
            pppoe: None,
            hotspot: Some(Vec::new()),
            wan: None,
            agent: None,
            firewall: true,
        };
        let at = (Ipv4Addr::new(10, 9, 0, 2), begun);
        let mut draft = Draft::new(
            RouterId(Uuid::nil()),
            wish,
            at,
            String::new(),
            String::new(),
        );
        assert!(!draft.is_awaited(begun), "no command was shown");
        draft.fetch = Some("digest".to_owned());
        let second = Duration::from_secs(1);
        assert!(draft.is_awaited(begun.plus(TOKEN_LIFE.saturating_sub(second))));
        assert!(!draft.is_awaited(begun.plus(TOKEN_LIFE)));
        assert!(!draft.is_awaited(begun.minus(TOKEN_LIFE)));
        draft.stage = Stage::Called;
        assert!(!draft.is_awaited(begun));
    }
}
