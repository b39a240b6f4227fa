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
use serde::{Deserialize, Deserializer, Serialize};

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
    /// Whether another board stands in the place of the one that serves under this name: no other one is configured.
    #[serde(default)]
    pub replaced: bool,
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

/// How a router that serves may be entered besides by the command that was made last.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Was {
    pub password: String,
    pub address: IpAddr,
}

/// One of the ways in which it may be entered.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub knows: Knows,
    pub is: Was,
}

/// How the cloud has a router that the site knows.
pub(super) struct Known {
    pub login: Option<Was>,
    /// Its RADIUS secret.
    pub secret: Option<String>,
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
    /// Whether it was entered so since its script was taken last: until then each of the ways is one that it may know.
    #[serde(default = "yes")]
    pub sure: bool,
    /// The likeliest first; empty for one that did not serve yet.
    #[serde(default, deserialize_with = "one_or_more")]
    pub was: Vec<Was>,
    /// Passwords by which it was entered before, the newest first: who names one of them did not hear what came after.
    #[serde(default)]
    pub older: Vec<String>,
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
            sure: false,
            was: Vec::new(),
            older: Vec::new(),
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
            if let Some(login) = self.login() {
                self.grows_older(login.password);
            }
            self.was = self.ways();
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

    /// How it may be entered when the present command is worth nothing any more.
    fn ways(&self) -> Vec<Was> {
        let mut ways = self.logins();
        // A script that nobody took says nothing, and the last password is given to who called.
        match self.stage {
            _ if self.sure => ways.truncate(1),
            Stage::Waiting => ways.retain(|one| one.knows == Knows::Was),
            Stage::Fetched => ways.retain(|one| one.knows != Knows::Last),
            Stage::Called | Stage::Configuring | Stage::Undoing | Stage::Done | Stage::Failed => {}
        }
        ways.truncate(MOST_WAYS);
        ways.into_iter().map(|one| one.is).collect()
    }

    fn grows_older(&mut self, password: String) {
        self.older.retain(|one| *one != password);
        self.older.insert(0, password);
        self.older.truncate(MOST_WAYS);
    }

    /// The cloud has it in a way that this box did not give it: the router may know that one, and whatever comes of this
    /// one here was chosen after.
    pub(super) fn learn(&mut self, known: Known) {
        if let Some(secret) = known.secret {
            self.secret = secret;
        }
        if let Some(login) = known.login.filter(|login| !self.has(&login.password)) {
            if let Some(present) = self.login() {
                self.grows_older(present.password);
            }
            self.grows_older(login.password.clone());
            self.was.insert(0, login);
            self.was.truncate(MOST_WAYS);
            self.knows = Knows::Was;
            self.sure = false;
        }
    }

    /// Whether `known` says what this box does not know.
    pub(super) fn is_news(&self, known: &Known) -> bool {
        let login = known.login.as_ref();
        login.is_some_and(|login| !self.has(&login.password))
            || known
                .secret
                .as_ref()
                .is_some_and(|secret| *secret != self.secret)
    }

    /// Whether this box gave it this password, or learnt it from the cloud.
    pub(super) fn has(&self, password: &str) -> bool {
        self.older.iter().any(|one| one == password)
            || self.logins().iter().any(|one| one.is.password == password)
    }

    /// Whether the cloud has it by an older password than this box: it did not hear yet of what came after.
    pub(super) fn is_late(&self, known: &Known) -> bool {
        let Some(login) = &known.login else {
            return false;
        };
        let present = self.login().map(|login| login.password);
        present.as_ref() != Some(&login.password) && self.older.contains(&login.password)
    }

    /// It takes its script.
    pub(super) fn fetched(&mut self, callback: String, from: IpAddr) {
        self.stage = Stage::Fetched;
        self.fetch = None;
        self.callback = Some(callback);
        self.address = Some(from);
        self.message = format!("A router at {from} took the script, and imports it");
        self.sure = false;
    }

    /// What is said where another board answers than the one that serves, and nobody said that it stands in its place: it
    /// may be anybody's who took the script, and the router's secret is not for him.
    pub(super) fn anothers(&self, serial: &str) -> Option<String> {
        let known = self.served.as_ref()?.serial.as_ref()?;
        let is_known = self.wish.replaced || known == serial;
        (!is_known).then(|| {
            format!(
                "another board answers there ({serial}, not {known}): where it stands in the place of the one that serves, take the next command with --replaced"
            )
        })
    }

    /// It was entered so.
    pub(super) fn entered(&mut self, login: &Login) {
        self.knows = login.knows;
        self.sure = true;
        if login.knows == Knows::Was {
            self.was.retain(|one| *one != login.is);
            self.was.insert(0, login.is.clone());
        }
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
            true => {
                self.knows = Knows::First; // likely: of the ways in which it is entered all are tried
                self.give_up(why, now);
            }
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

    /// It is undone. Where one that serves was entered, the cloud is to hear by which password; by what it refused, or
    /// where nobody answered, it is not entered from here on.
    pub(super) fn undone(&mut self, end: &str, left: Vec<BeforeV1>) {
        self.stage = Stage::Failed;
        self.message = format!(
            "{}. {end}. Put right what is named, take a new command and paste it",
            self.why
        );
        if !self.sure && self.plan.is_none() && !self.was.is_empty() {
            self.knows = Knows::Was;
        }
        self.plan = None;
        self.left = left;
        self.reported = self.reported && (self.served.is_none() || !self.sure);
    }

    /// What is left to be put back where it cannot be entered: what an attempt before this one left, where this one did
    /// not come so far.
    pub(super) fn half_way(&self) -> Vec<BeforeV1> {
        let before = self.plan.as_ref().map(|plan| &plan.before);
        let before = before.filter(|before| !before.is_empty());
        before.unwrap_or(&self.left).clone()
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

    /// The ways in which it may let the agent in, the likeliest first.
    pub(super) fn logins(&self) -> Vec<Login> {
        let of_command = |knows, password: &String| {
            let password = password.clone();
            self.address.map(|address| Login {
                knows,
                is: Was { password, address },
            })
        };
        let first = of_command(Knows::First, &self.first_password);
        let last = of_command(Knows::Last, &self.password);
        let was = self.was.iter().map(|is| Login {
            knows: Knows::Was,
            is: is.clone(),
        });
        let mut all: Vec<Login> = first.into_iter().chain(last).chain(was).collect();
        let at = all.iter().position(|one| one.knows == self.knows);
        all.rotate_left(at.unwrap_or_default());
        all
    }

    /// Where it is, and the password by which it lets the agent in; `None` before it showed where it is.
    pub(super) fn login(&self) -> Option<Was> {
        let first = self.logins().into_iter().next();
        first.map(|login| login.is)
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

    /// Whether it serves, took another script and did not call in time: it may have imported it all the same, also where
    /// one more command was shown since.
    pub(super) fn never_called(&self, now: Timestamp) -> bool {
        let is_unsure = match self.stage {
            Stage::Fetched => true,
            Stage::Waiting => !self.sure,
            Stage::Called | Stage::Configuring | Stage::Undoing | Stage::Done | Stage::Failed => {
                false
            }
        };
        is_unsure && self.serves() && !self.is_awaited(now)
    }

    /// Whether nothing is under way, and all that is to be told was.
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
        Some(self.row_by(site, &self.login()?))
    }

    /// Passwords of before, sealed as in its row.
    pub(super) fn before(&self, site: &Site) -> Vec<Vec<u8>> {
        let login = self.login().map(|login| login.password);
        let older = self.older.iter().filter(|one| Some(*one) != login.as_ref());
        older
            .map(|one| site.sealed_login(self.router, one))
            .collect()
    }

    /// The same as if it were entered in this way.
    pub(super) fn row_by(&self, site: &Site, login: &Was) -> RouterV1 {
        let address = login.address;
        let place = secret_place(DownKind::Router, self.router.0, "secret");
        RouterV1 {
            router: self.router,
            name: self.wish.name.clone(),
            address,
            source: IpNet::from(address).into(),
            secret: site.seal(&place, self.secret.as_bytes()),
            previous_secret: None,
            coa_port: COA_PORT,
            message_authenticator: MessageAuthenticator::Learn,
            api: Some(RouterApiV1 {
                port: API_PORT,
                tls: true,
                user: API_USER.to_owned(),
                password: site.sealed_login(self.router, &login.password),
            }),
            ended_certificates: Vec::new(),
            certificates_since: None,
            leases: false,
        }
    }

    pub(super) fn told(&self, now: Timestamp) -> Told {
        let is_over = matches!(self.stage, Stage::Waiting) && !self.is_awaited(now);
        let message = match (is_over, self.serves()) {
            (false, _) => self.message.clone(),
            (true, false) => RAN_OUT.to_owned(),
            (true, true) => format!("It serves as before. {RAN_OUT}"),
        };
        // Who took the script of one that serves may be anybody.
        let login = self.login().filter(|_| self.serves());
        Told {
            router: self.router,
            name: self.wish.name.clone(),
            stage: self.stage,
            message,
            lines: self.lines.clone(),
            address: login.map(|login| login.address).or(self.address),
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

fn yes() -> bool {
    true
}

/// There was one alone, or none.
fn one_or_more<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Was>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Kept {
        More(Vec<Was>),
        One(Option<Was>),
    }
    Ok(match Kept::deserialize(from)? {
        Kept::More(all) => all,
        Kept::One(one) => one.into_iter().collect(),
    })
}

const RAN_OUT: &str =
    "The command that was shown ran out and is worth nothing any more: take a new one";
/// How many ways in, and passwords of before, are kept.
const MOST_WAYS: usize = 8;
/// Where it listens for CoA and Disconnect.
pub(super) const COA_PORT: u16 = 3799;

#[cfg(test)]
mod tests;
