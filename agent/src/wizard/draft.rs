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
    /// The one that it had before the present command was made.
    Was,
}

/// How a router that serves is entered until it calls by the command that was made last.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Was {
    pub password: String,
    pub address: IpAddr,
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
    /// `None` for one that did not serve yet.
    #[serde(default)]
    pub was: Option<Was>,
    pub plan: Option<Plan>,
    /// What was done at it as it came to its end last: that holds again where a later attempt fails.
    #[serde(default)]
    pub served: Option<Plan>,
    /// What an earlier configuration left that would not go back.
    pub left: Vec<BeforeV1>,
    /// Whether it was tried, and serves: what is left is its login.
    #[serde(default)]
    pub proved: bool,
    /// Why it is being undone.
    pub why: String,
    /// Whether the cloud's record, as it is by now, is in the outbox.
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
            was: None,
            plan: None,
            served: None,
            left: Vec::new(),
            proved: false,
            why: String::new(),
            reported: false,
        }
    }

    /// A command is shown. What it brings counts once the router called: one that serves is entered as before until then,
    /// and gets a last password of its own each time, as it may be another board by now, with another certificate.
    pub(super) fn show(&mut self, offer: Offer, now: Timestamp) {
        if self.serves() {
            let was = self.login().map(|(address, password)| Was {
                password: password.to_owned(),
                address,
            });
            self.was = was;
            self.knows = Knows::Was;
            self.password = offer.password;
        } else {
            self.knows = Knows::First;
        }
        if matches!(self.stage, Stage::Done) {
            self.served = self.plan.take().map(|plan| Plan {
                before: Vec::new(),
                ..plan
            });
        }
        self.wish = offer.wish;
        self.agent = offer.agent;
        self.stage = Stage::Waiting;
        "The command was shown; paste it into the router's terminal".clone_into(&mut self.message);
        self.lines = Vec::new();
        self.since = now;
        self.fetch = Some(offer.fetch);
        self.callback = None;
        self.first_password = offer.first_password;
        self.plan = None;
        self.proved = false;
    }

    /// It called from where it fetched its script, of which so many steps failed.
    pub(super) fn called(&mut self, from: IpAddr, failed: u16, now: Timestamp) {
        self.callback = None;
        self.since = now;
        if failed == 0 {
            self.knows = Knows::First;
            self.stage = Stage::Called;
            self.message = format!("The router at {from} called");
            return;
        }
        let why = format!(
            "The router at {from} called: {failed} steps of its script failed (they stand in its log, /log print)"
        );
        match self.serves() {
            true => self.give_up(why, now),
            false => {
                self.stage = Stage::Failed;
                self.message = format!("{why}; put that right, take a new command and paste it");
            }
        }
    }

    /// It does not come to its end. What was done is undone next, and of one that serves it is found out by which
    /// password it lets the agent in.
    pub(super) fn give_up(&mut self, why: String, now: Timestamp) {
        self.message = format!("{why}. It is being undone");
        self.stage = Stage::Undoing;
        self.callback = None;
        self.why = why;
        self.since = now;
    }

    /// It came to its end, and the cloud is to hear of it, also where it heard of another one before.
    pub(super) fn end(&mut self, kept: &str) {
        self.stage = Stage::Done;
        self.message = format!("It serves.{kept} The cloud hears of it as soon as it is reached");
        self.reported = false;
    }

    /// It is undone. One that serves has another password since, which the cloud is to hear.
    pub(super) fn undone(&mut self, end: &str, left: Vec<BeforeV1>) {
        self.stage = Stage::Failed;
        self.message = format!(
            "{}. {end}. Put right what is named, take a new command and paste it",
            self.why
        );
        self.plan = None;
        self.left = left;
        self.reported = self.reported && self.served.is_none();
    }

    /// What the cloud is to hear of what it serves by.
    pub(super) fn serving(&self) -> Option<&Plan> {
        match self.stage {
            Stage::Done => self.plan.as_ref(),
            Stage::Waiting
            | Stage::Fetched
            | Stage::Called
            | Stage::Configuring
            | Stage::Undoing
            | Stage::Failed => self.served.as_ref(),
        }
    }

    /// The passwords by which it may let the agent in, the likeliest first.
    pub(super) fn logins(&self) -> Vec<Knows> {
        let mut all = vec![Knows::First, Knows::Last];
        all.extend(self.was.as_ref().map(|_| Knows::Was));
        let at = all.iter().position(|one| *one == self.knows);
        all.rotate_left(at.unwrap_or_default());
        all
    }

    /// Where it is, and the password by which it lets the agent in; `None` before it showed where it is.
    pub(super) fn login(&self) -> Option<(IpAddr, &str)> {
        match (self.knows, &self.was) {
            (Knows::Was, Some(was)) => Some((was.address, &was.password)),
            (Knows::First, _) => Some((self.address?, &self.first_password)),
            (Knows::Last, _) | (Knows::Was, None) => Some((self.address?, &self.password)),
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
        self.reported || self.served.is_some() || matches!(self.stage, Stage::Done)
    }

    /// Whether the cloud's record is to be written: it came to its end, or serves still after another attempt failed.
    pub(super) fn is_untold(&self) -> bool {
        matches!(self.stage, Stage::Done | Stage::Failed) && self.serves() && !self.reported
    }

    /// Whether it serves, took another script and did not call in time: it may have imported it all the same.
    pub(super) fn never_called(&self, now: Timestamp) -> bool {
        matches!(self.stage, Stage::Fetched) && self.serves() && !self.is_awaited(now)
    }

    /// Whether all that is known of it here is known to the cloud, once it speaks of it.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        let is_midway = self.is_at_work() || matches!(self.stage, Stage::Fetched);
        self.serves() && !is_midway && !self.is_untold() && !self.is_awaited(now)
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
        let (address, password) = self.login()?;
        let id = self.router.0;
        let seal = |field: &str, clear: &str| {
            site.seal(&secret_place(DownKind::Router, id, field), clear.as_bytes())
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

/// A command as it is made.
pub(super) struct Offer {
    pub wish: Wish,
    /// Where the router finds this box.
    pub agent: Ipv4Addr,
    /// What the token is known by.
    pub fetch: String,
    /// For the login, in the script.
    pub first_password: String,
    /// And for afterwards.
    pub password: String,
}

/// Names that nobody tells apart.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

/// Where it listens for CoA and Disconnect.
pub(super) const COA_PORT: u16 = 3799;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use easyisp_shared::seal::SealKey;
    use uuid::Uuid;

    use super::*;
    use crate::site::Ranges;

    const BEGUN: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn wish(port: &str) -> Wish {
        Wish {
            name: "Tower".to_owned(),
            pppoe: Some(vec![port.to_owned()]),
            hotspot: None,
            wan: None,
            agent: None,
            firewall: true,
        }
    }

    fn draft() -> Draft {
        let at = (Ipv4Addr::new(10, 9, 0, 2), BEGUN);
        let secret = "secret".to_owned();
        Draft::new(
            RouterId(Uuid::nil()),
            wish("ether2"),
            at,
            secret,
            "last-1".to_owned(),
        )
    }

    fn plan(port: &str) -> Plan {
        Plan {
            serves: ServesV1 {
                pppoe: Some(vec![port.to_owned()]),
                hotspot: None,
                bridges: Vec::new(),
                wan: "ether1".to_owned(),
                agents: Vec::new(),
                firewall: true,
            },
            version: "7.16".to_owned(),
            serial: None,
            before: Vec::new(),
        }
    }

    fn show(draft: &mut Draft, number: u8, now: Timestamp) {
        let offer = Offer {
            wish: wish("ether3"),
            agent: draft.agent,
            fetch: format!("digest-{number}"),
            first_password: format!("first-{number}"),
            password: format!("last-{number}"),
        };
        draft.show(offer, now);
    }

    fn fetch(draft: &mut Draft, from: IpAddr) {
        draft.stage = Stage::Fetched;
        draft.fetch = None;
        draft.callback = Some("key".to_owned());
        draft.address = Some(from);
    }

    /// Brought up, and the cloud's record is written.
    fn serving() -> Draft {
        let mut draft = draft();
        show(&mut draft, 1, BEGUN);
        fetch(&mut draft, HERE);
        draft.called(HERE, 0, BEGUN);
        draft.plan = Some(plan("ether2"));
        draft.knows = Knows::Last;
        draft.end("");
        assert!(draft.is_untold());
        draft.reported = true;
        draft
    }

    /// Where it is entered, and by which password, as the site and the cloud hear it.
    fn entered(draft: &Draft) -> (IpAddr, String) {
        let site = Site::new(SealKey::new([1; 32]), Ranges::new(Vec::new()));
        let row = draft.row(&site).unwrap();
        let place = secret_place(DownKind::Router, draft.router.0, "api");
        let clear = site.unseal(&place, &row.api.unwrap().password).unwrap();
        (row.address, String::from_utf8(clear.to_vec()).unwrap())
    }

    fn ports(draft: &Draft) -> Option<Vec<String>> {
        draft.serving()?.serves.pppoe.clone()
    }

    /// A box's clock may jump either way when it hears the cloud: no command lasts longer by it.
    #[test]
    fn a_command_ends_by_any_clock() {
        let mut draft = draft();
        assert!(!draft.is_awaited(BEGUN), "no command was shown");
        draft.fetch = Some("digest".to_owned());
        let second = Duration::from_secs(1);
        assert!(draft.is_awaited(BEGUN.plus(TOKEN_LIFE.saturating_sub(second))));
        assert!(!draft.is_awaited(BEGUN.plus(TOKEN_LIFE)));
        assert!(!draft.is_awaited(BEGUN.minus(TOKEN_LIFE)));
        draft.stage = Stage::Called;
        assert!(!draft.is_awaited(BEGUN));
    }

    /// A command that nobody pastes, or whose script somebody else takes, does not part the box from a router that serves.
    #[test]
    fn a_router_that_serves_is_entered_as_before_until_it_calls() {
        let mut draft = serving();
        assert_eq!(entered(&draft), (HERE, "last-1".to_owned()));
        show(&mut draft, 2, BEGUN);
        assert_eq!(entered(&draft), (HERE, "last-1".to_owned()));
        show(&mut draft, 3, BEGUN);
        fetch(&mut draft, THERE);
        assert_eq!(entered(&draft), (HERE, "last-1".to_owned()));
        assert_eq!(draft.logins(), [Knows::Was, Knows::First, Knows::Last]);

        draft.called(THERE, 0, BEGUN);
        assert_eq!(entered(&draft), (THERE, "first-3".to_owned()));
        assert_eq!(draft.logins(), [Knows::First, Knows::Last, Knows::Was]);
        draft.knows = Knows::Last;
        assert_eq!(entered(&draft), (THERE, "last-3".to_owned()));

        // Where it keeps the one that travelled it is that which counts until the next one calls.
        draft.plan = Some(plan("ether3"));
        draft.knows = Knows::First;
        draft.end(" Its login keeps it.");
        draft.reported = true;
        show(&mut draft, 4, BEGUN);
        assert_eq!(entered(&draft), (THERE, "first-3".to_owned()));
    }

    /// Who was not brought up yet has no password of before.
    #[test]
    fn a_first_attempt_is_entered_by_the_passwords_of_its_command() {
        let mut draft = draft();
        show(&mut draft, 1, BEGUN);
        assert!(
            draft
                .row(&Site::new(SealKey::new([1; 32]), Ranges::new(Vec::new())))
                .is_none()
        );
        fetch(&mut draft, HERE);
        draft.called(HERE, 0, BEGUN);
        assert_eq!(entered(&draft).1, "first-1");
        assert_eq!(draft.logins(), [Knows::First, Knows::Last]);
        draft.give_up("no".to_owned(), BEGUN);
        draft.undone("It is as before", Vec::new());
        assert!(!draft.serves() && !draft.is_untold());
    }

    #[test]
    fn the_cloud_hears_of_each_end_and_of_what_serves_after_one_that_failed() {
        let mut draft = serving();
        assert_eq!(ports(&draft), plan("ether2").serves.pppoe);
        show(&mut draft, 2, BEGUN);
        assert!(!draft.is_untold() && draft.serves());
        fetch(&mut draft, HERE);
        draft.called(HERE, 0, BEGUN);
        draft.plan = Some(plan("ether3"));
        draft.give_up("no".to_owned(), BEGUN);
        assert!(!draft.is_untold() && draft.serves());
        draft.undone("The router is as it was before", Vec::new());
        assert!(draft.is_untold() && draft.serves());
        assert_eq!(ports(&draft), plan("ether2").serves.pppoe);
        draft.reported = true;

        show(&mut draft, 3, BEGUN);
        fetch(&mut draft, HERE);
        draft.called(HERE, 0, BEGUN);
        draft.plan = Some(plan("ether3"));
        draft.end("");
        assert!(draft.is_untold());
        assert_eq!(ports(&draft), plan("ether3").serves.pppoe);
    }

    /// Which password it has is found out where its script failed half-way, and where it never called.
    #[test]
    fn one_that_serves_and_did_not_import_its_script_is_looked_after() {
        let mut draft = serving();
        show(&mut draft, 2, BEGUN);
        fetch(&mut draft, HERE);
        assert!(!draft.never_called(BEGUN));
        assert!(draft.never_called(BEGUN.plus(TOKEN_LIFE)));
        draft.called(HERE, 2, BEGUN);
        assert_eq!(draft.stage, Stage::Undoing);
        assert!(
            draft.why.contains("2 steps of its script failed"),
            "{}",
            draft.why
        );
        assert_eq!(entered(&draft).1, "last-1");

        let mut draft = super::tests::draft();
        show(&mut draft, 1, BEGUN);
        fetch(&mut draft, HERE);
        assert!(
            !draft.never_called(BEGUN.plus(TOKEN_LIFE)),
            "it serves nobody"
        );
        draft.called(HERE, 2, BEGUN);
        assert_eq!(draft.stage, Stage::Failed);
    }

    /// When the cloud spoke of it: not while a command of it may be pasted, or more is to be told.
    #[test]
    fn it_is_over_when_the_cloud_knows_all_of_it() {
        let mut draft = serving();
        assert!(draft.is_over(BEGUN));
        draft.reported = false;
        assert!(!draft.is_over(BEGUN), "more is to be told");
        draft.reported = true;
        show(&mut draft, 2, BEGUN);
        assert!(!draft.is_over(BEGUN));
        assert!(draft.is_over(BEGUN.plus(TOKEN_LIFE)), "nobody pasted it");
        fetch(&mut draft, HERE);
        assert!(
            !draft.is_over(BEGUN.plus(TOKEN_LIFE)),
            "it may have imported it"
        );
    }

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 7));
}
