//! Looks for what keeps an agent from working, and says the remedy.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use easyisp_shared::time::{Clock, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use futures_util::future::join_all;

use crate::config::Config;
use crate::hosted;
use crate::housekeeping::CLOCK_MARK;
use crate::radius::eap::authority as access;
use crate::site::TimeKeeper;
use crate::status::{Report, RouterReport, SharedReport};
use crate::store::used_percent;
use crate::sync::{Identity, IdentityError};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// What was found.
    pub found: String,
    /// What to do about it; `None` when all is well.
    pub remedy: Option<String>,
}

impl Finding {
    /// The same of one of many sites.
    fn of(self, site: &str) -> Finding {
        Finding {
            found: format!("{site}: {}", self.found),
            ..self
        }
    }
}

/// Looks at everything, whether an agent runs here or not.
pub async fn examine(config: &Config, clock: &Clock) -> Vec<Finding> {
    let now = clock.now();
    let told = fetch_status(config.status.listen).await.ok();
    let told = told.as_deref();
    if let Some(many) = told.and_then(|body| serde_json::from_str(body).ok()) {
        return examine_many(config, &many, now).await;
    }
    let running = told.and_then(|body| serde_json::from_str::<Report>(body).ok());
    let hosted = hosted::names(&config.data_dir);
    let mut findings = vec![disk(&config.data_dir), space(&config.data_dir)];
    if let Some(report) = &running {
        findings.extend(of_files(&config.data_dir, Some(report), now));
        findings.extend(of_agent(report, now).await);
        findings.extend(report.unknown_sources.iter().map(asking));
        return findings;
    }
    if hosted.is_empty() {
        findings.extend(of_files(&config.data_dir, None, now));
    }
    for name in &hosted {
        let found = of_files(&hosted::folder(&config.data_dir, name), None, now);
        findings.extend(found.into_iter().map(|finding| finding.of(name)));
    }
    findings.extend(ports(config, hosted.is_empty()));
    let missing = "no agent runs on this box".to_owned();
    let remedy = match hosted.is_empty() {
        true => "start it: easyisp-agent run (or: systemctl start easyisp-agent)",
        false => "start it: easyisp-agent run --hosted (or its service)",
    };
    findings.push(failed("agent", missing, remedy));
    findings
}

/// The same for a process of many sites, as far as it can tell of itself.
async fn examine_many(config: &Config, report: &SharedReport, now: Timestamp) -> Vec<Finding> {
    let mut findings = vec![disk(&config.data_dir), space(&config.data_dir)];
    for (site, why) in &report.left_out {
        findings.push(failed(
            "site",
            format!("{site} is not served: {why}"),
            "mend its folder or enrol it anew, and restart the agent",
        ));
    }
    findings.extend(report.unknown_sources.iter().map(asking));
    for site in &report.sites {
        let folder = hosted::folder(&config.data_dir, &site.name);
        let mut of_site = of_files(&folder, Some(&site.report), now);
        of_site.extend(of_agent(&site.report, now).await);
        findings.extend(of_site.into_iter().map(|finding| finding.of(&site.name)));
    }
    findings
}

/// What a site's files say, beside the agent that uses them or beside none.
fn of_files(folder: &Path, running: Option<&Report>, now: Timestamp) -> Vec<Finding> {
    let identity = Identity::load(&folder.join("identity"));
    vec![
        is_enrolled(&identity),
        certificate(&identity, now),
        files(folder),
        authority(folder),
        match running {
            Some(report) => time(report, now),
            None => time_alone(folder, now),
        },
    ]
}

/// What an agent says of itself, and whether its routers are there.
async fn of_agent(report: &Report, now: Timestamp) -> Vec<Finding> {
    let mut findings = vec![link(report), routers(report), wear(report)];
    let reached = report.routers.iter().map(|router| reach(router, now));
    findings.extend(join_all(reached).await);
    findings
}

/// Every port that an agent would listen on, while none does.
fn ports(config: &Config, alone: bool) -> Vec<Finding> {
    let mut findings = vec![
        port("[radius] auth", config.radius.auth),
        port("[radius] acct", config.radius.acct),
        tcp_port("[status] listen", config.status.listen),
    ];
    if !alone {
        return findings;
    }
    if let Some(address) = config.radius.radsec {
        findings.push(tcp_port("[radius] radsec", address));
    }
    findings.push(tcp_port("[peers] listen", config.peers.listen));
    findings.push(tcp_port("[wizard] listen", config.wizard.listen));
    let local = config.radius.auth.ip();
    let (around, logs) = (config.neighbours.listen, config.syslog.listen);
    if !crate::is_out_of_place(around, local) {
        // As the agent does: others may hear the same announcements.
        let refused = crate::neighbours::bind(around).err();
        findings.push(bound("[neighbours] listen", around, refused, "ss -lunp"));
    }
    if !crate::is_out_of_place(logs, local) {
        findings.push(port("[syslog] listen", logs));
    }
    findings
}

/// Asks the agent on this box which routers it brings up, as JSON.
pub async fn fetch_wizard(address: SocketAddr) -> io::Result<String> {
    fetch(address, "/wizard").await
}

/// Asks the agent on this box for its state, as JSON.
pub async fn fetch_status(address: SocketAddr) -> io::Result<String> {
    fetch(address, "/status.json").await
}

/// Asks it for a page.
pub(crate) async fn fetch(address: SocketAddr, path: &str) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    let (status, body) = exchange(address, &request).await?;
    match status == OK {
        true => Ok(body),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Has the agent on this box do something; its refusal is the inner error, in its own words.
pub async fn tell(
    address: SocketAddr,
    path: &str,
    wish: &impl serde::Serialize,
) -> io::Result<Result<String, String>> {
    let body = serde_json::to_string(wish).map_err(io::Error::other)?;
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let (status, body) = exchange(address, &request).await?;
    Ok(match status == OK {
        true => Ok(body),
        false => Err(body.trim().to_owned()),
    })
}

async fn exchange(address: SocketAddr, request: &str) -> io::Result<(String, String)> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(MOST).read_to_string(&mut answer).await?;
        Ok::<String, io::Error>(answer)
    };
    let answer = tokio::time::timeout(PATIENCE, ask)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or(io::ErrorKind::InvalidData)?;
    let status = head.split(' ').nth(1).ok_or(io::ErrorKind::InvalidData)?;
    Ok((status.to_owned(), body.to_owned()))
}

fn is_enrolled(identity: &Result<Identity, IdentityError>) -> Finding {
    match identity {
        Ok(identity) => well("identity", format!("agent of {}", identity.site_name)),
        Err(error) => failed(
            "identity",
            error.to_string(),
            "get a token in the console (Sites, \"Add an agent\") and run: easyisp-agent enroll --cloud HOST:PORT --token TOKEN",
        ),
    }
}

fn certificate(identity: &Result<Identity, IdentityError>, now: Timestamp) -> Finding {
    let renew_at = identity.as_ref().ok().and_then(Identity::renew_at);
    match renew_at {
        Some(at) if now < at => well("certificate", format!("to be renewed at {at}")),
        Some(at) => failed(
            "certificate",
            format!("should have been renewed at {at}"),
            "let the link to the cloud come up: it renews by itself, up to 90 days late",
        ),
        None => failed(
            "certificate",
            "there is none".into(),
            "enrol this box first",
        ),
    }
}

/// Writes and syncs a file, as every accounting answer needs.
fn disk(dir: &Path) -> Finding {
    let probe = dir.join(".doctor");
    let started = std::time::Instant::now();
    let written = std::fs::File::create(&probe).and_then(|mut file| {
        file.write_all(b"doctor")?;
        file.sync_all()
    });
    let _left_behind_is_harmless = std::fs::remove_file(&probe);
    match written {
        Ok(()) => {
            let millis = started.elapsed().as_millis();
            well(
                "disk",
                format!("{} takes a synced write in {millis} ms", dir.display()),
            )
        }
        Err(cause) => failed(
            "disk",
            format!("{} cannot be written: {cause}", dir.display()),
            "make room, or make it writable for the user this agent runs as",
        ),
    }
}

/// What is not there cannot be synced: accounting stops where the disk is full.
fn space(dir: &Path) -> Finding {
    match used_percent(dir) {
        Some(percent) => room(percent),
        None => failed(
            "room",
            format!("how full {} is cannot be said", dir.display()),
            "make the folder, or name another as data_dir",
        ),
    }
}

fn room(percent: u8) -> Finding {
    let found = format!("the disk is {percent} % full");
    match percent {
        FULL.. => failed(
            "room",
            found,
            "make room (journalctl --vacuum-size=100M, apt-get clean); accounting stops when it is full",
        ),
        _ => well("room", found),
    }
}

fn files(dir: &Path) -> Finding {
    match crate::store::inspect(&dir.join("outbox.db")) {
        Ok(Some(pragmas)) => well("outbox.db", pragmas.to_string()),
        Ok(None) => well("outbox.db", "not there yet; the first run makes it".into()),
        Err(cause) => failed(
            "outbox.db",
            cause.to_string(),
            "start the agent: it moves a damaged file aside and begins a new one; keep the old one",
        ),
    }
}

/// What devices and routers know this box by.
fn authority(dir: &Path) -> Finding {
    match access::fingerprint_in(dir) {
        Ok(Some(fingerprint)) => well(
            access::CERTIFICATE,
            format!("for 802.1X devices and RadSec; SHA-256 {fingerprint}"),
        ),
        Ok(None) => well(
            access::CERTIFICATE,
            "not there yet; the first run makes it".into(),
        ),
        Err(cause) => failed(
            access::CERTIFICATE,
            cause.to_string(),
            "put a copy of eap-ca.pem and eap-ca.key back; devices that trust it log in no other way",
        ),
    }
}

fn time(report: &Report, now: Timestamp) -> Finding {
    match report.clock_offset_millis {
        Some(offset) if offset.abs() > 1000 => {
            let found = format!("{offset} ms beside the cloud's");
            failed("clock", found, SET_CLOCK)
        }
        Some(offset) => well("clock", format!("{offset} ms beside the cloud's")),
        None if report.clock_trusted => well("clock", format!("{now}; the cloud has not said yet")),
        None => failed("clock", "cannot be trusted".into(), SET_CLOCK),
    }
}

/// The same while no agent runs: whether one that is started would trust this clock, by what time it was when one wrote
/// it down last.
fn time_alone(dir: &Path, now: Timestamp) -> Finding {
    let mark = crate::store::mark(&dir.join("outbox.db"), CLOCK_MARK).map(Timestamp::from_micros);
    let found = match mark {
        Some(mark) => format!("{now} on this box; an agent ran here at {mark}"),
        None => format!("{now} on this box"),
    };
    match TimeKeeper::start(now, Duration::ZERO, mark, None).trusted() {
        true => well("clock", found),
        false => failed("clock", format!("{found}: it cannot be trusted"), SET_CLOCK),
    }
}

fn link(report: &Report) -> Finding {
    if report.link_up {
        return well("link", report.link.clone());
    }
    failed(
        "link",
        report.link.clone(),
        "let UDP to the cloud's port, or TCP to it or to 443, out of this network; logins go on meanwhile",
    )
}

fn routers(report: &Report) -> Finding {
    let silent: Vec<&str> = report
        .routers
        .iter()
        .filter(|router| router.last_seen.is_none())
        .map(|router| router.name.as_str())
        .collect();
    let wrong: Vec<&str> = report
        .routers
        .iter()
        .filter(|router| router.shows_another_secret)
        .map(|router| router.name.as_str())
        .collect();
    if !wrong.is_empty() {
        let found = format!("another RADIUS secret on {}", wrong.join(", "));
        return failed(
            "routers",
            found,
            "set the secret the console shows on the router",
        );
    }
    if report.routers.is_empty() || !silent.is_empty() {
        let found = match silent.is_empty() {
            true => "this site has none".to_owned(),
            false => format!("nothing heard of {}", silent.join(", ")),
        };
        return failed(
            "routers",
            found,
            "run the router's configuration script from the console again",
        );
    }
    well("routers", format!("all {} heard", report.routers.len()))
}

/// A card bears so much (B1): 1 GB a day is what 2,000 sessions should cost.
fn wear(report: &Report) -> Finding {
    match report.written_mb_per_day {
        None => well("wear", "too early to say; ask again in ten minutes".into()),
        Some(written) if written <= MOST_WRITTEN => well(
            "wear",
            format!("{written} MB a day, of {MOST_WRITTEN} that a card should bear"),
        ),
        Some(written) => failed(
            "wear",
            format!("{written} MB a day wear out a memory card within months"),
            match report.gathers_millis {
                0 => {
                    "on a memory card set [store] save_wear = true, and raise the interim interval of the packages \
                     (10 minutes); or use an SSD"
                }
                _ => "raise the interim interval of the packages (10 minutes), or use an SSD",
            },
        ),
    }
}

fn asking((source, count): &(IpAddr, u64)) -> Finding {
    failed(
        "unknown router",
        format!("a router at {source} is asking ({count} requests) and gets no answer"),
        "add it in the console if it is yours; else find out who it is",
    )
}

/// Whether a router is there: it asked lately, or its API port says anything, yes or no.
async fn reach(router: &RouterReport, now: Timestamp) -> Finding {
    let name = &router.name;
    if router.last_seen.is_some_and(|at| now.since(at) < LATELY) {
        return well("router", format!("{name} asked this agent lately"));
    }
    let Some(address) = router.address else {
        return well(
            "router",
            format!("{name}: this agent does not say where it is"),
        );
    };
    for port in [8728, 8729, 80] {
        let tried =
            tokio::time::timeout(Duration::from_secs(1), TcpStream::connect((address, port)));
        let answered = match tried.await {
            Ok(Ok(_)) => true,
            Ok(Err(cause)) => cause.kind() == io::ErrorKind::ConnectionRefused,
            Err(_) => false,
        };
        if answered {
            return well("router", format!("{name} is there at {address}"));
        }
    }
    failed(
        "router",
        format!("{name} does not answer at {address}"),
        "check its power, cable and address, and that its firewall lets this box in",
    )
}

fn port(what: &'static str, address: SocketAddr) -> Finding {
    bound(what, address, UdpSocket::bind(address).err(), "ss -lunp")
}

fn tcp_port(what: &'static str, address: SocketAddr) -> Finding {
    let tried = std::net::TcpListener::bind(address);
    bound(what, address, tried.err(), "ss -ltnp")
}

fn bound(
    what: &'static str,
    address: SocketAddr,
    refused: Option<io::Error>,
    list: &str,
) -> Finding {
    match refused {
        None => well(what, format!("{address} is free")),
        Some(cause) => failed(
            what,
            format!("{address}: {cause}"),
            &format!(
                "stop what uses the port ({list}), or set another address in the configuration"
            ),
        ),
    }
}

fn well(what: &'static str, found: String) -> Finding {
    Finding {
        what,
        found,
        remedy: None,
    }
}

fn failed(what: &'static str, found: String, remedy: &str) -> Finding {
    Finding {
        what,
        found,
        remedy: Some(remedy.to_owned()),
    }
}

pub(crate) const MOST_WRITTEN: u64 = 1000;
const FULL: u8 = 80;
const SET_CLOCK: &str = "let this box set its clock by NTP (timedatectl set-ntp true)";
const LATELY: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(5);
const MOST: u64 = 1 << 20;
const OK: &str = "200";

#[cfg(test)]
mod tests;
