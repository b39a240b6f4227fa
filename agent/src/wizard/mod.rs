//! Brings a router up from this box, while nobody can ask the cloud: somebody at the box says what it shall serve and
//! pastes one line into its terminal; the rest happens by itself.
//!
//! The line fetches a script over the site's own network, in the clear. What it holds is a login that is good for the
//! agent's address alone and until the agent came in by it: everything else, the RADIUS secret first, goes through the
//! TLS of the router's API, and the last thing that is done there is to give that login another password. A token is
//! good once, for half an hour; the address that fetched the script is the one that has to call back.
//!
//! What is under way lies sealed in a file for each router, so that a box that died goes on. The cloud is told through
//! the outbox, under the id that this box made; the file goes when the cloud has the router by the login that it has here,
//! or by one that was given there since. What the cloud says by an older one is late: all of it holds but the login. Until
//! then it may be brought up anew under its name, and the cloud hears of each end: what it serves, by which password it is
//! entered, and by which it was before.

mod door;
mod draft;
mod entered;
mod kept;
mod plan;
mod rests;
mod stop;
mod work;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::RouterId;
use easyisp_shared::setup;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::UpKind;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use draft::{Stage, Wish};

use crate::enforce::Enforcer;
use crate::routeros::RouterApis;
use crate::site::{Site, SiteClock};
use crate::store::{Outbox, OutboxReader};
use draft::{Draft, Known, Offer, Was};
use kept::Folder;

/// What the wizard is made of.
pub(crate) struct Parts {
    pub site: Arc<Site>,
    pub outbox: Outbox,
    pub reader: Arc<OutboxReader>,
    pub apis: Arc<RouterApis>,
    pub enforcer: Arc<Enforcer>,
    pub clock: Arc<SiteClock>,
    pub entropy: Entropy,
    /// Where what is under way is kept.
    pub data_dir: PathBuf,
    /// Where routers fetch their script; nothing listens while none is awaited.
    pub listen: SocketAddr,
    /// Where this box says that it is found.
    pub announce: Option<SocketAddr>,
    /// Whether it stands across a WAN from its routers.
    pub hosted: bool,
}

/// The routers that this box brings up.
pub struct Wizard {
    parts: Parts,
    folder: Folder,
    drafts: Mutex<HashMap<RouterId, Draft>>,
    /// Held while one of them changes, in memory and on the disk.
    writing: tokio::sync::Mutex<()>,
    /// Counts changes.
    changes: watch::Sender<u64>,
    /// Whether routers can fetch their script.
    door: watch::Sender<bool>,
}

/// Why nothing was begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be a router.
    #[error("{0}")]
    Cannot(String),
    /// Somebody works at it.
    #[error(
        "this router is being configured at this moment: wait for its end (easyisp-agent wizard status)"
    )]
    Running,
    /// It is a router of the site.
    #[error(
        "this router serves, and this box alone knows how: what it keeps of it goes by itself once the cloud heard of it, \
         and can be forgotten once there was a link"
    )]
    Serves,
    /// What came of it is not written down yet.
    #[error(
        "what came of it before is being written down: try again in a moment, and where that stays so see \
         easyisp-agent doctor"
    )]
    Untold,
    /// Nobody knows it.
    #[error("no router of this name is being brought up here")]
    Unknown,
    /// The disk takes nothing.
    #[error("this box cannot write it down: see easyisp-agent doctor")]
    NotKept,
    /// The same for what never was, what is over and what was used: nobody learns which.
    #[error(
        "each command is good once, for half an hour: take a new one (easyisp-agent wizard start)"
    )]
    Over,
}

/// A line to paste.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Begun {
    /// Its id, here and at the cloud later.
    pub router: RouterId,
    /// For the router's terminal.
    pub command: String,
}

/// Where one of them is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Its id.
    pub router: RouterId,
    /// Its name.
    pub name: String,
    /// How far it is.
    pub stage: Stage,
    /// For people.
    pub message: String,
    /// What was done, line by line.
    pub lines: Vec<String>,
    /// Where it is.
    pub address: Option<IpAddr>,
}

impl Wizard {
    /// Knows again what was under way; routers that served are known to the site again. Reads files.
    pub(crate) fn open(parts: Parts) -> Arc<Wizard> {
        let folder = Folder::new(&parts.data_dir);
        let mut drafts = HashMap::new();
        for draft in folder.all(&parts.site) {
            // What the cloud spoke of before the box was switched off may be older than what this box knows.
            let is_late = match known(&parts.site, draft.router) {
                Some(known) if ends(&draft, &known, parts.clock.now()) => {
                    folder.remove(draft.router);
                    continue;
                }
                Some(known) => draft.is_late(&known),
                None => true,
            };
            if draft.serves()
                && is_late
                && let Some(row) = draft.row(&parts.site)
            {
                let before = draft.before(&parts.site);
                parts.site.bring(row, before);
            }
            drafts.insert(draft.router, draft);
        }
        Arc::new(Wizard {
            parts,
            folder,
            drafts: Mutex::new(drafts),
            writing: tokio::sync::Mutex::default(),
            changes: watch::Sender::new(0),
            door: watch::Sender::new(false),
        })
    }

    /// Lets routers fetch their scripts, configures those that called, and forgets those of which the cloud spoke.
    pub(crate) async fn run(self: Arc<Wizard>, cancel: CancellationToken) {
        if self.parts.hosted {
            return;
        }
        tokio::join!(
            door::keep(&self, &cancel),
            cancel.run_until_cancelled(work::run(&self)),
            cancel.run_until_cancelled(self.tend()),
        );
    }

    /// Begins with a router that nobody has met, or anew with one of which the cloud did not speak yet; the line to paste.
    /// One that was given before is worth nothing.
    pub async fn start(&self, wish: Wish) -> Result<Begun, Refusal> {
        if self.parts.hosted {
            return Err(Refusal::Cannot(
                "this process stands across a WAN from its routers: use the console's wizard"
                    .to_owned(),
            ));
        }
        let agent = self.address(wish.agent)?;
        let name = wish.name.trim().to_owned();
        let wish = Wish { name, ..wish };
        let policy = self.parts.site.policy();
        let faults = plan::setup(&wish, agent, &policy, None).faults();
        if let Some(fault) = faults.first() {
            return Err(Refusal::Cannot(format!(
                "{} {}",
                fault.field, fault.message
            )));
        }
        let begun = self
            .drafts()
            .values()
            .find(|one| one.is_called(&wish.name))
            .map(|one| one.router);
        if begun.is_none()
            && self
                .parts
                .site
                .routers()
                .iter()
                .any(|one| draft::same(&one.name, &wish.name))
        {
            return Err(Refusal::Cannot(format!(
                "the site has a router called {} already: choose another name, or bring it up in the console",
                wish.name
            )));
        }
        if begun.is_none() && self.drafts().len() >= MOST {
            return Err(Refusal::Cannot(
                "too many routers are being brought up: forget those that never came (easyisp-agent wizard forget)"
                    .to_owned(),
            ));
        }
        let now = self.parts.clock.now();
        let (token, text) = self.token();
        let (first, secret) = (self.secret(), self.secret());
        let (password, again) = (self.secret(), self.secret());
        let router = match begun {
            Some(router) => router,
            None => {
                let router = RouterId::new(now, &self.parts.entropy);
                self.put(Draft::new(
                    router,
                    wish.clone(),
                    (agent, now),
                    secret,
                    password,
                ))
                .await?;
                router
            }
        };
        let known = self.known(router);
        self.change(router, |draft| {
            if draft.is_at_work() {
                return Err(Refusal::Running);
            }
            if draft.is_untold() {
                return Err(Refusal::Untold);
            }
            if let Some(known) = known {
                draft.learn(known);
            }
            let offer = Offer {
                wish,
                agent,
                fetch: token,
                first_password: first,
                password: again,
            };
            draft.show(offer, now);
            Ok(())
        })
        .await?;
        if !self.find(router).is_some_and(|draft| draft.serves()) {
            self.parts.site.let_go(router);
        }
        let mut door = self.door.subscribe();
        let open = door.wait_for(|open| *open);
        if !matches!(tokio::time::timeout(PATIENCE, open).await, Ok(Ok(_))) {
            return Err(Refusal::Cannot(format!(
                "routers cannot fetch their script: {} ([wizard] listen) is not free",
                self.parts.listen
            )));
        }
        let url = format!(
            "http://{agent}:{}/provision/{text}",
            self.parts.listen.port()
        );
        Ok(Begun {
            router,
            command: setup::pasted(&url),
        })
    }

    /// Every router that is being brought up, by name.
    pub fn told(&self) -> Vec<Told> {
        let now = self.parts.clock.now();
        let drafts = self.drafts();
        let mut told: Vec<Told> = drafts.values().map(|one| one.told(now)).collect();
        told.sort_by(|one, other| one.name.cmp(&other.name));
        told
    }

    /// Forgets one, and its command. What was configured on the router stays as it is. One that serves is known as the cloud
    /// has it from then on, and no more where the cloud does not: it is forgotten once the cloud has all that was told.
    pub async fn forget(&self, name: &str) -> Result<(), Refusal> {
        let _one_at_a_time = self.writing.lock().await;
        let found = self
            .drafts()
            .values()
            .find(|one| one.is_called(name))
            .cloned();
        let draft = found.ok_or(Refusal::Unknown)?;
        if draft.is_at_work() {
            return Err(Refusal::Running);
        }
        if draft.serves() {
            if draft.is_untold() {
                return Err(Refusal::Untold);
            }
            if self.parts.is_waiting().await {
                return Err(Refusal::Serves);
            }
            info!(router.id = %draft.router, "Forgot a router that serves: from here on it is known as the cloud has it");
        }
        self.folder.remove(draft.router);
        self.drafts().remove(&draft.router);
        self.parts.site.let_go(draft.router);
        self.changes.send_modify(|count| *count += 1);
        Ok(())
    }

    /// The address of this box as a router sees it.
    fn address(&self, asked: Option<Ipv4Addr>) -> Result<Ipv4Addr, Refusal> {
        let said = [self.parts.announce, Some(self.parts.listen)];
        let said = said
            .into_iter()
            .flatten()
            .find_map(|socket| match socket.ip() {
                IpAddr::V4(ip) if !ip.is_unspecified() && !ip.is_loopback() => Some(ip),
                IpAddr::V4(_) | IpAddr::V6(_) => None,
            });
        if let Some(address) = asked.or(said) {
            return Ok(address);
        }
        match own_addresses().as_slice() {
            [one] => Ok(*one),
            [] => Err(Refusal::Cannot(
                "this box has no private address: give it one in the router's network".to_owned(),
            )),
            several => {
                let several: Vec<String> = several.iter().map(Ipv4Addr::to_string).collect();
                Err(Refusal::Cannot(format!(
                    "this box has several addresses ({}): say at which one the router finds it (--agent)",
                    several.join(", ")
                )))
            }
        }
    }

    /// Forgets those of which the cloud spoke, and has those looked after that serve and never called by their last command.
    async fn tend(&self) {
        let mut spoken = self.parts.site.spoken_of();
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let serving: Vec<RouterId> = {
                let drafts = self.drafts();
                let site = &self.parts.site;
                let tended = drafts
                    .values()
                    .filter(|draft| draft.serves() || site.is_gone(draft.router));
                tended.map(|draft| draft.router).collect()
            };
            let mut waits = false;
            for router in serving {
                waits |= self.tend_one(router).await;
            }
            let look = async {
                match waits {
                    true => tokio::time::sleep(door::LOOK).await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                told = spoken.changed() => if told.is_err() { return }, // the site ends
                _ = changes.changed() => {}
                () = look => {}
            }
        }
    }

    /// Whether it is to be looked at again after a while: an end by time is no change.
    async fn tend_one(&self, router: RouterId) -> bool {
        let now = self.parts.clock.now();
        let Some(draft) = self.find(router) else {
            return false;
        };
        if draft.never_called(now) {
            let given_up = self.change(router, |draft| {
                if draft.never_called(now) {
                    let why = "The router took the script and did not call".to_owned();
                    draft.give_up(why, now);
                }
                Ok(())
            });
            return given_up.await.is_err();
        }
        let is_gone = self.parts.site.is_gone(router);
        if self.parts.site.is_brought(router) && !is_gone {
            return draft.is_awaited(now);
        }
        let _one_at_a_time = self.writing.lock().await;
        let Some(draft) = self.find(router) else {
            return false;
        };
        let known = self.known(router);
        if !is_gone && !known.is_some_and(|known| ends(&draft, &known, now)) {
            return true;
        }
        self.folder.remove(router);
        self.drafts().remove(&router);
        if is_gone {
            self.parts.site.let_go(router);
            info!(router.id = %router, "A router that was brought up here was deleted in the cloud");
            return false;
        }
        info!(router.id = %router, "The cloud knows a router that was brought up here");
        false
    }

    /// Changes one of them, on the disk before in memory; what refuses changes nothing.
    async fn change<T>(
        &self,
        router: RouterId,
        change: impl FnOnce(&mut Draft) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let _one_at_a_time = self.writing.lock().await;
        let found = self.drafts().get(&router).cloned();
        let mut draft = found.ok_or(Refusal::Over)?;
        let done = change(&mut draft)?;
        self.hold(draft).await?;
        Ok(done)
    }

    async fn put(&self, draft: Draft) -> Result<(), Refusal> {
        let _one_at_a_time = self.writing.lock().await;
        self.hold(draft).await
    }

    async fn hold(&self, draft: Draft) -> Result<(), Refusal> {
        let (folder, site, written) = (self.folder.clone(), self.parts.site.clone(), draft.clone());
        let put = tokio::task::spawn_blocking(move || folder.put(&site, &written)).await;
        match put {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => {
                warn!(%cause, "A router that is being brought up cannot be written down");
                return Err(Refusal::NotKept);
            }
            Err(_) => return Err(Refusal::NotKept), // the process ends
        }
        self.drafts().insert(draft.router, draft);
        self.changes.send_modify(|count| *count += 1);
        Ok(())
    }

    /// How the cloud has it; its login where this box does not know better.
    fn known(&self, router: RouterId) -> Option<Known> {
        let site = &self.parts.site;
        let known = known(site, router)?;
        let login = known.login.filter(|_| !site.is_brought(router));
        Some(Known { login, ..known })
    }

    fn find(&self, router: RouterId) -> Option<Draft> {
        self.drafts().get(&router).cloned()
    }

    fn drafts(&self) -> MutexGuard<'_, HashMap<RouterId, Draft>> {
        self.drafts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a token is known by, and the token.
    fn token(&self) -> (String, String) {
        let text = self.secret();
        (digest(&text), text)
    }

    fn secret(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.parts.entropy.bytes::<32>())
    }
}

impl Parts {
    /// Whether the cloud does not have all that it is to be told of routers that were brought up.
    async fn is_waiting(&self) -> bool {
        let reader = self.reader.clone();
        let lane = UpKind::BroughtUp.lane().code();
        let waiting = tokio::task::spawn_blocking(move || reader.waiting(lane)).await;
        !matches!(waiting, Ok(Ok(0)))
    }
}

/// How the site has a router.
fn known(site: &Site, router: RouterId) -> Option<Known> {
    let held = site.router(router)?;
    let login = held.api.as_ref().map(|api| Was {
        password: api.access.password.expose_secret().to_owned(),
        address: held.address,
    });
    let secret = held.secrets.first();
    let secret = secret.and_then(|secret| String::from_utf8(secret.octets().to_vec()).ok());
    Some(Known { login, secret })
}

/// Whether a draft is over, as the cloud has the router in this way: by the login that it has here, or by one that was given
/// there since. One whose login nobody is sure of is kept, as none but this box may know it.
fn ends(draft: &Draft, known: &Known, now: Timestamp) -> bool {
    let is_other = known
        .login
        .as_ref()
        .is_none_or(|login| !draft.has(&login.password));
    draft.is_over(now) && !draft.is_late(known) && (draft.sure || is_other)
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// The private addresses of this box.
fn own_addresses() -> Vec<Ipv4Addr> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    let address = |one: nix::ifaddrs::InterfaceAddress| {
        let ip = one.address?.as_sockaddr_in()?.ip();
        ip.is_private().then_some(ip)
    };
    let mut found: Vec<Ipv4Addr> = all.filter_map(address).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// How long a command may be pasted, and how long importing may take.
const TOKEN_LIFE: Duration = Duration::from_secs(30 * 60);
/// How long the door takes to open.
const PATIENCE: Duration = Duration::from_secs(4);
/// More than any roof has.
const MOST: usize = 32;
