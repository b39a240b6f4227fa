//! How this box is, on loopback: `/` for people, `/status.json` for programs, `/why/NAME` for a customer.

mod page;
mod shared;
pub mod unlock;
mod wizard;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::{get, post};
use axum::{Form, Json, Router as Routes};
use easyisp_shared::diagnosis::{self, Facts, diagnose};
use easyisp_shared::expiry::{Nearness, days_left, nearness};
use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::Lane;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::VERSION;
use crate::access::{Access, AccessReport};
use crate::config::IDENTITY_FOLDER;
use crate::diagnosis::{Counters, Knowledge, Timeline, facts};
use crate::doctor::MOST_WRITTEN;
use crate::peers::Peers;
use crate::sessions::Sessions;
use crate::site::{Site, SiteClock, UnknownSources};
use crate::store::{Job, Outbox, OutboxReader, used_percent};
use crate::sync::{Identity, LinkStatus};
use crate::upstream::Upstream;
use crate::wizard::{Told, Wizard};
use unlock::{Refusal, Unlocker};

pub(crate) use shared::{Shared, serve_shared};
pub use shared::{SharedReport, SiteReport};
pub use wizard::Named;

/// What an agent knows and does.
pub struct Overview {
    /// Who may be online.
    pub site: Arc<Site>,
    /// Who is online.
    pub sessions: Arc<Sessions>,
    /// Where records are written.
    pub outbox: Outbox,
    /// Where records are read.
    pub reader: Arc<OutboxReader>,
    /// What time it is.
    pub clock: Arc<SiteClock>,
    /// Why somebody is offline.
    pub timeline: Arc<Timeline>,
    /// What happened how often.
    pub counters: Arc<Counters>,
    /// Who spoke and is no router.
    pub unknown: Arc<UnknownSources>,
    /// How the link is; `None` for a site described by hand.
    pub link: Option<watch::Receiver<LinkStatus>>,
    /// The site's other agents, where this one can meet them.
    pub peers: Option<Arc<Peers>>,
    /// Whether the site reaches the internet.
    pub upstream: Arc<Upstream>,
    /// Files found damaged at the start.
    pub moved_aside: Vec<PathBuf>,
    /// Takes codes from the phone.
    pub unlocker: Unlocker,
    /// Brings routers up from here.
    pub wizard: Arc<Wizard>,
    /// Ways through this box.
    pub access: Arc<Access>,
    /// Where the files are.
    pub data_dir: PathBuf,
    /// Whether the line to the cloud is paid by the octet.
    pub metered: bool,
    /// Whether it stands across a WAN from its routers, as one of many in a process.
    pub hosted: bool,
    /// The monotonic reading when it began.
    pub began: Duration,
}

/// The state of an agent, as `/status.json` tells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Build.
    pub version: String,
    /// Instant the agent decides at.
    pub now: Timestamp,
    /// Whether that instant is vouched for.
    pub clock_trusted: bool,
    /// This box's clock less the cloud's, milliseconds.
    pub clock_offset_millis: Option<i64>,
    /// How the link is.
    pub link: String,
    /// Whether it is up.
    pub link_up: bool,
    /// Subscribers known.
    pub subscribers: usize,
    /// Sessions open.
    pub sessions: usize,
    /// Records the cloud has not acknowledged, by lane.
    pub waiting: BTreeMap<String, u64>,
    /// Routers.
    pub routers: Vec<RouterReport>,
    /// Sources that are no router of this site, the loudest first.
    pub unknown_sources: Vec<(IpAddr, u64)>,
    /// Counters since the start.
    pub counters: BTreeMap<String, u64>,
    /// What a person should look at.
    pub warnings: Vec<String>,
    /// Who may come through this box to a device of the site now.
    #[serde(default)]
    pub access: Vec<AccessReport>,
    /// Routers that are being brought up from here.
    #[serde(default)]
    pub wizard: Vec<Told>,
    /// How full the disk is.
    #[serde(default)]
    pub disk_used_percent: Option<u8>,
    /// What this process writes to its disk, megabytes a day; after its first ten minutes.
    #[serde(default)]
    pub written_mb_per_day: Option<u64>,
    /// For how long what is written waits for company, so that the card lasts; 0 = not at all.
    #[serde(default)]
    pub gathers_millis: u64,
    /// What keeps `outbox.db` safe, as SQLite reports it.
    #[serde(default)]
    pub durability: Option<String>,
}

/// One router, as `/status.json` tells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouterReport {
    /// Its id.
    pub id: RouterId,
    /// Its name.
    pub name: String,
    /// Where it speaks from.
    pub source: String,
    /// Where it takes commands.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// When it was heard last.
    pub last_seen: Option<Timestamp>,
    /// Whether it signs its requests.
    pub signs: bool,
    /// Requests that did not verify.
    pub mismatches: u64,
    /// The last one did not.
    #[serde(default)]
    pub shows_another_secret: bool,
}

/// Serves the page until cancelled.
pub(crate) async fn serve(
    listener: TcpListener,
    overview: Arc<Overview>,
    cancel: CancellationToken,
) {
    let routes = Routes::new()
        .route("/", get(page))
        .route("/status.json", get(json))
        .route("/why/{username}", get(why))
        .route("/unlock", get(for_codes).post(take_code))
        .route("/wizard", get(wizard::list).post(wizard::start))
        .route("/wizard/forget", post(wizard::forget))
        .with_state(overview);
    run(listener, routes, cancel).await;
}

async fn run(listener: TcpListener, routes: Routes, cancel: CancellationToken) {
    let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, routes).with_graceful_shutdown(cancel.cancelled_owned());
    if let Err(cause) = served.await {
        tracing::error!(%cause, "The status page ended");
    }
}

async fn page(State(overview): State<Arc<Overview>>) -> Result<Html<String>, StatusCode> {
    let report = report(overview).await?;
    Ok(Html(page::of_site(&report, "EasyISP agent", "/unlock")))
}

async fn json(State(overview): State<Arc<Overview>>) -> Result<Json<Report>, StatusCode> {
    report(overview).await.map(Json)
}

async fn report(overview: Arc<Overview>) -> Result<Report, StatusCode> {
    let report = tokio::task::spawn_blocking(move || overview.report()).await;
    report.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

/// Why a customer is offline as far as this box knows, and what happened to him, the oldest first.
async fn why(
    State(overview): State<Arc<Overview>>,
    Path(username): Path<String>,
) -> Result<String, StatusCode> {
    lines_on(&overview, &username).ok_or(StatusCode::NOT_FOUND)
}

/// What somebody at the box typed.
#[derive(Deserialize)]
struct Typed {
    name: String,
    code: String,
}

async fn for_codes() -> Html<String> {
    Html(page::for_codes())
}

async fn take_code(
    State(overview): State<Arc<Overview>>,
    Form(typed): Form<Typed>,
) -> (StatusCode, String) {
    use_code(&overview, &typed).await
}

/// Lets a customer in for some hours with a code that was read out to him.
async fn use_code(overview: &Overview, typed: &Typed) -> (StatusCode, String) {
    let refusal = match overview.unlocker.unlock(&typed.name, &typed.code).await {
        Ok(until) => {
            let said = format!("{} is let in until {until}.\n", typed.name);
            return (StatusCode::OK, said);
        }
        Err(refusal) => refusal,
    };
    let status = match refusal {
        Refusal::Wrong | Refusal::Over => StatusCode::FORBIDDEN,
        Refusal::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Refusal::NotStored => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, format!("{refusal}\n"))
}

fn lines_on(overview: &Overview, username: &str) -> Option<String> {
    let subscriber = overview.site.subscriber(username.as_bytes())?;
    let online = overview.sessions.open_by_name(username.as_bytes()).len();
    let mut lines = format!("{online} sessions open\n");
    let found = diagnose(&overview.facts(subscriber.id, &subscriber.username));
    lines += &format!(
        "{}: {} {}\n",
        found.cause.code(),
        found.sentence,
        found.action
    );
    for entry in overview.timeline.of(subscriber.id) {
        let device = entry
            .mac
            .map_or_else(String::new, |mac| format!(" from {mac}"));
        let times = match entry.count {
            1 => String::new(),
            count => format!(" ({count} times since {})", entry.first),
        };
        lines += &format!("{} {}{device}{times}\n", entry.last, entry.what);
    }
    Some(lines)
}

impl Overview {
    /// What this box knows of a customer without asking anybody.
    fn facts(&self, customer: CustomerId, username: &[u8]) -> Facts {
        let knowledge = Knowledge {
            site: &self.site,
            sessions: &self.sessions,
            timeline: &self.timeline,
        };
        let now = self.clock.now();
        Facts {
            now,
            site: "this site".to_owned(),
            agent: diagnosis::Agent::Connected,
            told: facts(knowledge, customer, username, now),
            elsewhere: Vec::new(),
            voucher: None,
        }
    }

    /// The state at this moment. Reads the outbox: not for an async thread.
    pub fn report(&self) -> Report {
        let (link_up, link) = self.link_sentence();
        let lanes = Lane::ALL.into_iter();
        let waiting = lanes.map(|lane| {
            let count = self.reader.waiting(lane.code()).unwrap_or(0);
            (format!("{lane:?}").to_lowercase(), count)
        });
        let mut counters: BTreeMap<String, u64> = self
            .counters
            .all()
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
            .collect();
        let outbox = self.outbox.stats();
        counters.extend([
            ("outbox_commits".to_owned(), outbox.commits),
            ("outbox_failed".to_owned(), outbox.failed),
            ("shed_interims".to_owned(), outbox.shed_interims),
            ("shed_logs".to_owned(), outbox.shed_logs),
            ("shed_others".to_owned(), outbox.shed_others),
        ]);
        let routers: Vec<RouterReport> = self.site.routers().iter().map(|r| router(r)).collect();
        Report {
            version: VERSION.to_owned(),
            now: self.clock.now(),
            clock_trusted: self.clock.trusted(),
            clock_offset_millis: self.clock.offset_millis(),
            link,
            link_up,
            subscribers: self.site.subscriber_count(),
            sessions: self.sessions.count(),
            waiting: waiting.collect(),
            warnings: self.warnings(),
            access: self.access.report(),
            wizard: self.wizard.told(),
            routers,
            unknown_sources: self.asking(),
            counters,
            disk_used_percent: used_percent(&self.data_dir),
            written_mb_per_day: self.written_per_day(),
            gathers_millis: u64::try_from(self.outbox.gathers().as_millis()).unwrap_or(u64::MAX),
            durability: self.reader.pragmas().ok().map(|found| found.to_string()),
        }
    }

    /// Hands housekeeping to the accounting thread; what does not fit is counted there.
    pub(crate) fn submit(&self, job: Job) {
        let _shed_is_counted = self.outbox.submit(job);
    }

    /// Who asks and is no router of this site, the loudest first. One that was added meanwhile is none of them.
    pub(crate) fn asking(&self) -> Vec<(IpAddr, u64)> {
        self.unknown
            .strangers(|source| self.site.knows_source(source))
    }

    /// Wear of the card: what the kernel wrote for this process, as a rate over its life.
    fn written_per_day(&self) -> Option<u64> {
        let uptime = self.clock.monotonic().saturating_sub(self.began).as_secs();
        let told = std::fs::read_to_string("/proc/self/io").ok()?;
        let line = told
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes: "))?;
        let written: u64 = line.trim().parse().ok()?;
        let rate = written.checked_mul(86_400)?.checked_div(uptime)?;
        (uptime >= RATE_AFTER_SECS).then_some(rate / 1_000_000)
    }

    fn link_sentence(&self) -> (bool, String) {
        let Some(link) = &self.link else {
            return (false, "none: this site is described by hand".into());
        };
        match &*link.borrow() {
            LinkStatus::Up {
                since,
                caught_up: true,
                over,
            } => (true, format!("up since {since}, over {over}")),
            LinkStatus::Up {
                since,
                caught_up: false,
                over,
            } => (
                true,
                format!("up since {since}, over {over}, still fetching"),
            ),
            LinkStatus::Down { since, reason } => (false, format!("down since {since}: {reason}")),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.clock.trusted() {
            warnings.push(
                "The clock cannot be trusted: set it, or let the link to the cloud come up."
                    .to_owned(),
            );
        }
        if let Some(percent @ 80..) = used_percent(&self.data_dir) {
            warnings.push(format!(
                "The disk is {percent} % full: make room before accounting has to stop."
            ));
        }
        let upstream = self.upstream.state();
        if let Some(upstream) = upstream.filter(|upstream| !upstream.reached) {
            warnings.push(format!(
                "The internet is not reached from here since {}: look at the site's uplink.",
                upstream.since
            ));
        }
        let identity = Identity::load(&self.data_dir.join(IDENTITY_FOLDER)).ok();
        if let Some(identity) = identity {
            warnings.extend(ends(&identity, self.clock.now()));
        }
        for path in &self.moved_aside {
            warnings.push(format!("A damaged file was moved to {}.", path.display()));
        }
        let missing = self.peers.as_ref().map(|peers| peers.missing().len());
        if let Some(missing @ 1..) = missing {
            warnings.push(format!(
                "Other agents of this site that are not reached: {missing}. Are they switched on, and is TCP 1814 \
                 open between the boxes?"
            ));
        }
        for router in self.site.routers() {
            let signing = router.signing();
            if signing.unsigned && signing.signers.is_empty() {
                warnings.push(format!(
                    "Router {} sends no Message-Authenticator: update RouterOS to 7.15 or newer.",
                    router.name
                ));
            }
            if let Some(last) = signing.mismatched.filter(|_| signing.shows_another_secret) {
                warnings.push(format!(
                    "Router {} sent {} requests under another secret, the last at {last}: set the same on both sides.",
                    router.name, signing.mismatches
                ));
            }
        }
        warnings
    }
}

/// That this box's certificate, which renews itself with 15 days left, or the authority that it knows the cloud by
/// comes to its end (I5).
fn ends(identity: &Identity, now: Timestamp) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(ends) = identity.ends_soon(now) {
        warnings.push(match nearness(ends, now) {
            Some(Nearness::Over) => format!(
                "This agent's certificate ended at {ends}: it still renews when the link comes up, up to 90 days \
                 late."
            ),
            Some(Nearness::Week) => format!(
                "This agent's certificate ends in {} and was not renewed for a week and more: let the link to the \
                 cloud come up now.",
                days_left(ends, now)
            ),
            Some(Nearness::Month | Nearness::Fortnight) | None => format!(
                "This agent's certificate ends at {ends} and was not renewed: let the link to the cloud come up."
            ),
        });
    }
    let authority = identity.authorities_end();
    if let Some(ends) = authority.filter(|ends| nearness(*ends, now).is_some()) {
        warnings.push(format!(
            "The authority by which this box knows the cloud ends at {ends}: ask who runs the cloud for the next one."
        ));
    }
    warnings
}

const RATE_AFTER_SECS: u64 = 600;

fn router(router: &crate::site::Router) -> RouterReport {
    let signing = router.signing();
    RouterReport {
        id: router.id,
        name: router.name.clone(),
        source: router.source.to_string(),
        address: Some(router.place()),
        last_seen: router.last_seen(),
        signs: !signing.signers.is_empty(),
        mismatches: signing.mismatches,
        shows_another_secret: signing.shows_another_secret,
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let trusted = if self.clock_trusted {
            "trusted"
        } else {
            "NOT trusted"
        };
        writeln!(f, "EasyISP agent {}", self.version)?;
        writeln!(f, "clock        {} ({trusted})", self.now)?;
        writeln!(f, "link         {}", self.link)?;
        writeln!(f, "subscribers  {}", self.subscribers)?;
        writeln!(f, "online       {}", self.sessions)?;
        for (lane, count) in &self.waiting {
            writeln!(f, "{:<12} {count} waiting for the cloud", lane)?;
        }
        for router in &self.routers {
            let seen = router.last_seen.map_or_else(
                || "not heard since the start".into(),
                |at| format!("heard {at}"),
            );
            writeln!(f, "router       {} ({}) {seen}", router.name, router.source)?;
        }
        for (source, count) in &self.unknown_sources {
            writeln!(
                f,
                "unknown      {source} spoke {count} times and is no router of this site"
            )?;
        }
        for (name, count) in &self.counters {
            writeln!(f, "count        {name} {count}")?;
        }
        if let Some(percent) = self.disk_used_percent {
            writeln!(f, "disk         {percent} % full")?;
        }
        if let Some(written) = self.written_mb_per_day {
            writeln!(
                f,
                "written      {written} MB a day (at most {MOST_WRITTEN} wanted)"
            )?;
        }
        for warning in &self.warnings {
            writeln!(f, "WARNING      {warning}")?;
        }
        Ok(())
    }
}
