//! What a person types, and what he reads back.

use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use easyisp_agent::config::{Config, LogFormat, variables};
use easyisp_agent::hosted::{self, Hosted};
use easyisp_agent::radius::eap::Authority;
use easyisp_agent::radius::eap::authority::CERTIFICATE;
use easyisp_agent::radius::radsec;
use easyisp_agent::replace::{self, Deeds, ServiceAddress};
use easyisp_agent::site::description::Description;
use easyisp_agent::status::{Named, Report, SharedReport};
use easyisp_agent::watchdog::{Hang, Supervisor, Watchdog, Watched};
use easyisp_agent::wizard::{Begun, Told, Wish};
use easyisp_agent::{Agent, AgentOptions, Source, VERSION, doctor, sync};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Clock;
use secrecy::{ExposeSecret, SecretString};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The box beside your routers: answers their RADIUS requests, meters and enforces, with or without
/// the cloud.
///
/// First `enroll` with the token from the console (Sites, "Add an agent"), then `run`; a service manager
/// usually does the second. `status` tells how a running agent is, `doctor` what keeps one from working.
#[derive(Debug, Parser)]
#[command(name = "easyisp-agent", version, after_long_help = settings())]
pub struct Command {
    /// The configuration file; without one, defaults and EASYISP_* variables hold.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// Make this box an agent of a site.
    ///
    /// A key is made here and never leaves this box; the cloud is recognised by the fingerprint inside
    /// the token. The token works once, for an hour.
    Enroll(Enroll),
    /// Serve until stopped (Ctrl-C or SIGTERM).
    Run {
        /// Serve the site described in this JSON file instead of the one this box is enrolled for: for
        /// a first look, without a cloud.
        #[arg(long, value_name = "FILE")]
        site: Option<PathBuf>,
        /// Serve every site in DATA_DIR/sites, each enrolled with `enroll --hosted NAME`, on shared sockets:
        /// for sites without a box. A router is known by its address, which must stay the same.
        #[arg(long, conflicts_with = "site")]
        hosted: bool,
    },
    /// Take the place of a site's agent that died: identity, secrets and the address its routers know.
    ///
    /// Needs a token made for replacing (POST /api/sites/SITE/join-token?replaces=AGENT). Nothing is changed
    /// on any router. Says what was done; what is left for a person ends it with 1.
    Replace(Replace),
    /// Tell how the agent running on this box is.
    Status {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Make a certificate with which a router connects by RadSec (RADIUS in TLS).
    ///
    /// Writes ROUTER.pem and ROUTER.key; import both on the router, and eap-ca.pem from the data folder.
    /// The agent must be running with [radius] radsec set; the shared secret on the router is "radsec".
    Certificate {
        /// The router's name, as the console shows it.
        #[arg(long, value_name = "NAME")]
        router: String,
        /// Where the two files go.
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        out: PathBuf,
    },
    /// Bring a router up from this box, without the cloud: one line to paste, the rest happens by itself.
    ///
    /// For a site whose uplink is not there (yet). The agent must be running, the router must be in one network with
    /// this box, and customers whom the agent knows come in as soon as it is done. The cloud hears of the router when
    /// it is reached.
    Wizard {
        #[command(subcommand)]
        deed: WizardDeed,
    },
    /// Look for what keeps an agent from working, and say the remedy.
    ///
    /// Checks identity, certificate, disk and its wear, files, ports, clock, the way to the cloud and to the
    /// routers. Each failure comes with its remedy. Ends with 0 when all is well, else with 1.
    Doctor,
}

#[derive(Debug, Subcommand)]
enum WizardDeed {
    /// Print the line to paste for a new router, or for one that did not come to its end.
    ///
    /// It works once, for half an hour; one printed before for the same router is worth nothing any more.
    Start(Start),
    /// Tell how far each router is.
    Status,
    /// Forget a router that never came.
    Forget {
        /// Its name.
        #[arg(long, value_name = "NAME")]
        name: String,
    },
}

#[derive(Debug, Args)]
struct Start {
    /// What the router shall be called.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it shall serve.
    #[arg(long, value_enum, default_value = "both")]
    service: Service,
    /// The interface to the internet; the likeliest when left out, ether1 where none is up yet.
    #[arg(long, value_name = "INTERFACE")]
    wan: Option<String>,
    /// Where subscribers dial, commas between; every free port when left out.
    #[arg(long, value_name = "INTERFACES", value_delimiter = ',')]
    pppoe: Vec<String>,
    /// Where guests come in, commas between; every free port when left out.
    #[arg(long, value_name = "INTERFACES", value_delimiter = ',')]
    hotspot: Vec<String>,
    /// The address of this box as the router sees it; needed where it has several.
    #[arg(long, value_name = "ADDRESS")]
    agent: Option<std::net::Ipv4Addr>,
    /// Leave API, SNMP and CoA of the router open to others.
    #[arg(long)]
    no_firewall: bool,
    /// Another board stands in the place of the one that serves under this name; without this only that one is configured.
    #[arg(long)]
    replaced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Service {
    /// Subscribers who dial.
    Pppoe,
    /// Guests who meet a page.
    Hotspot,
    /// Both.
    Both,
}

#[derive(Debug, Args)]
struct Enroll {
    /// Where the cloud is.
    #[arg(long, value_name = "HOST:PORT")]
    cloud: String,
    /// The join token from the console.
    #[arg(long, value_name = "TOKEN")]
    token: SecretString,
    /// Make it one of many sites of this machine (see `run --hosted`), under this name.
    #[arg(long, value_name = "NAME")]
    hosted: Option<String>,
}

#[derive(Debug, Args)]
struct Replace {
    /// The site's id, or its name as the console shows it.
    #[arg(long, value_name = "SITE")]
    site: String,
    /// Where the cloud is.
    #[arg(long, value_name = "HOST:PORT")]
    cloud: String,
    /// The token from the console.
    #[arg(long, value_name = "TOKEN")]
    token: SecretString,
    /// The address that the site's routers ask, with its prefix length.
    #[arg(long, value_name = "ADDRESS/LENGTH", requires = "interface")]
    address: Option<ipnet::IpNet>,
    /// The interface towards the routers.
    #[arg(long, value_name = "NAME", requires = "address")]
    interface: Option<String>,
}

/// Does what was asked; prints errors with their causes.
pub fn run(command: Command) -> ExitCode {
    match perform(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("easyisp-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(command: Command) -> anyhow::Result<ExitCode> {
    let config = Config::load(command.config.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match command.deed {
        Deed::Enroll(asked) => runtime.block_on(enroll(&config, &asked)),
        Deed::Run { hosted: true, .. } => {
            log_to_stderr(&config)?;
            runtime.block_on(serve_many(config))
        }
        Deed::Run { site, .. } => {
            let source = match site {
                None => Source::Enrolled,
                Some(file) => described(&file)?,
            };
            log_to_stderr(&config)?;
            runtime.block_on(serve(config, source))
        }
        Deed::Replace(asked) => runtime.block_on(take_place(&config, asked)),
        Deed::Status { json } => runtime.block_on(status(&config, json)),
        Deed::Certificate { router, out } => runtime.block_on(certificate(&config, &router, &out)),
        Deed::Wizard { deed } => runtime.block_on(wizard(&config, deed)),
        Deed::Doctor => runtime.block_on(diagnose(&config)),
    }
}

async fn enroll(config: &Config, asked: &Enroll) -> anyhow::Result<ExitCode> {
    let mut config = config.clone();
    if let Some(name) = &asked.hosted {
        anyhow::ensure!(
            hosted::is_name(name),
            "--hosted {name}: letters, digits, - and _ make a name"
        );
        config.data_dir = hosted::folder(&config.data_dir, name);
    }
    let run = match asked.hosted {
        None => "easyisp-agent run",
        Some(_) => "easyisp-agent run --hosted (a running one: restart it)",
    };
    let folder = config.identity_folder();
    sync::make_folder(&config.data_dir)
        .with_context(|| format!("cannot make {}", config.data_dir.display()))?;
    let token = asked.token.expose_secret();
    let identity = sync::enroll_unless(&asked.cloud, token, &folder, VERSION, waits).await?;
    say(&format!(
        "Enrolled as an agent of {}.\nFingerprint {} (compare it with the console).\n\
         Start it with: {run}\n",
        identity.site_name,
        identity.fingerprint(),
    ));
    Ok(ExitCode::SUCCESS)
}

/// What a person at the box reads while an operator makes up his mind.
fn waits(fingerprint: &str) {
    say(&format!(
        "This box waits until somebody confirms it in the console (Sites). Compare the fingerprint:\n{fingerprint}\n"
    ));
}

async fn take_place(config: &Config, asked: Replace) -> anyhow::Result<ExitCode> {
    let folder = config.identity_folder();
    sync::make_folder(&config.data_dir)
        .with_context(|| format!("cannot make {}", config.data_dir.display()))?;
    let token = asked.token.expose_secret();
    let identity = sync::enroll_unless(&asked.cloud, token, &folder, VERSION, waits).await?;
    let mut deeds = Deeds::default();
    deeds.note_enrolled(&identity);
    deeds.note_authority(&config.data_dir);
    if !replace::is_site(&identity, &asked.site) {
        deeds.left.push(format!(
            "The token was for {}, not for {}: if that is wrong, revoke this agent in the console, remove \
             {} and begin again.",
            identity.site_name,
            asked.site,
            folder.display()
        ));
    } else if let (Some(address), Some(interface)) = (asked.address, asked.interface) {
        let service = ServiceAddress { address, interface };
        let device = replace::device_unit(&service.interface);
        deeds.move_address(
            &service,
            Path::new("/etc/systemd/system"),
            device.as_deref(),
        );
    } else {
        deeds.left.push(
            "Give this box the address that the routers ask (--address and --interface do it), and \
             start it: systemctl enable --now easyisp-agent"
                .to_owned(),
        );
    }
    say(&deeds.to_string());
    Ok(match deeds.left.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// A site written by hand. Its secrets are in the clear in that file, so the key that seals them for
/// this run need not be kept.
fn described(file: &Path) -> anyhow::Result<Source> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let description: Description =
        serde_json::from_str(&text).with_context(|| format!("{}", file.display()))?;
    let entropy = Entropy::system();
    let key = SealKey::generate(&entropy);
    let rows = description.rows(&key, &entropy, 1);
    Ok(Source::Described { rows, key })
}

async fn serve(config: Config, source: Source) -> anyhow::Result<ExitCode> {
    let agent = Agent::start(AgentOptions {
        config,
        clock: Clock::system(),
        entropy: Entropy::system(),
        source,
    })
    .await?;
    let watchdog = guard(agent.watched())?;
    told_to_stop().await?;
    stop(watchdog).await;
    agent.stop().await;
    Ok(ExitCode::SUCCESS)
}

async fn serve_many(config: Config) -> anyhow::Result<ExitCode> {
    let agent = Hosted::start(config, Clock::system(), Entropy::system()).await?;
    let watchdog = guard(agent.watched())?;
    told_to_stop().await?;
    stop(watchdog).await;
    agent.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// A process that does not serve ends, and whoever started it starts it again (L5).
fn guard(watched: &Arc<Watched>) -> std::io::Result<Watchdog> {
    let supervisor = Supervisor::of(std::env::vars());
    let end = |hang: Hang| {
        eprintln!("easyisp-agent: {hang}: ends, to be started again");
        std::process::exit(HUNG);
    };
    Watchdog::start(watched.clone(), supervisor, end)
}

async fn stop(watchdog: Watchdog) {
    let _ended = tokio::task::spawn_blocking(move || watchdog.stop()).await;
}

async fn told_to_stop() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
    }
    Ok(())
}

async fn status(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let address = config.status.listen;
    let body = doctor::fetch_status(address).await.with_context(|| {
        format!("no agent tells its state on {address}; start one with: easyisp-agent run")
    })?;
    let text = match serde_json::from_str::<SharedReport>(&body) {
        Ok(sites) => sites.to_string(),
        Err(_) => {
            let one: Report =
                serde_json::from_str(&body).context("that is not an agent's state")?;
            one.to_string()
        }
    };
    match json {
        true => say(&format!("{body}\n")),
        false => say(&text),
    }
    Ok(ExitCode::SUCCESS)
}

async fn certificate(config: &Config, name: &str, out: &Path) -> anyhow::Result<ExitCode> {
    let address = config.status.listen;
    let body = doctor::fetch_status(address).await.with_context(|| {
        format!("no agent tells its routers on {address}; start one with: easyisp-agent run")
    })?;
    let report: Report = serde_json::from_str(&body).context("that is not an agent's state")?;
    let named: Vec<_> = report.routers.iter().filter(|r| r.name == name).collect();
    let [router] = named[..] else {
        bail!("this site has {} routers named {name}", named.len());
    };
    let folder = &config.data_dir;
    let authority = Authority::open(folder, report.now, &Entropy::system())?;
    let leaf = radsec::certificate_for(&authority, router.id, report.now)?;
    let file: String = name
        .chars()
        .map(|c| if c.is_alphanumeric() { c } else { '-' })
        .collect();
    let (pem, key) = (out.join(file.clone() + ".pem"), out.join(file + ".key"));
    std::fs::write(&pem, leaf.certificate_pem())
        .with_context(|| format!("cannot write {}", pem.display()))?;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&key)
        .and_then(|mut file| file.write_all(leaf.key_pem().as_bytes()))
        .with_context(|| format!("cannot write {}", key.display()))?;
    say(&format!(
        "Wrote {} and {}; the router also needs {}.\n",
        pem.display(),
        key.display(),
        folder.join(CERTIFICATE).display()
    ));
    Ok(ExitCode::SUCCESS)
}

async fn wizard(config: &Config, deed: WizardDeed) -> anyhow::Result<ExitCode> {
    let address = config.status.listen;
    let nobody = || format!("no agent listens on {address}; start one with: easyisp-agent run");
    let body = match deed {
        WizardDeed::Status => doctor::fetch_wizard(address).await.with_context(nobody)?,
        WizardDeed::Forget { name } => {
            let told = doctor::tell(address, "/wizard/forget", &Named { name }).await;
            told.with_context(nobody)?.map_err(anyhow::Error::msg)?
        }
        WizardDeed::Start(asked) => {
            let told = doctor::tell(address, "/wizard", &wish(asked)).await;
            let body = told.with_context(nobody)?.map_err(anyhow::Error::msg)?;
            let begun: Begun = serde_json::from_str(&body).context("that is no agent's answer")?;
            say(&format!(
                "Paste this line into the router's terminal within half an hour; it works once:\n\n{}\n\n\
                 Then: easyisp-agent wizard status\n",
                begun.command
            ));
            return Ok(ExitCode::SUCCESS);
        }
    };
    let routers: Vec<Told> = serde_json::from_str(&body).context("that is no agent's answer")?;
    if routers.is_empty() {
        say("No router is being brought up from this box.\n");
    }
    for router in routers {
        say(&format!("{}: {}\n", router.name, router.message));
        for line in &router.lines {
            say(&format!("  {line}\n"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn wish(asked: Start) -> Wish {
    Wish {
        name: asked.name,
        pppoe: (asked.service != Service::Hotspot).then_some(asked.pppoe),
        hotspot: (asked.service != Service::Pppoe).then_some(asked.hotspot),
        wan: asked.wan,
        agent: asked.agent,
        firewall: !asked.no_firewall,
        replaced: asked.replaced,
    }
}

async fn diagnose(config: &Config) -> anyhow::Result<ExitCode> {
    let findings = doctor::examine(config, &Clock::system()).await;
    let mut sound = true;
    for finding in &findings {
        match &finding.remedy {
            None => say(&format!("ok    {}: {}\n", finding.what, finding.found)),
            Some(remedy) => {
                sound = false;
                say(&format!(
                    "FAIL  {}: {}\n      {remedy}\n",
                    finding.what, finding.found
                ));
            }
        }
    }
    Ok(if sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A reader that went away is no error.
fn say(text: &str) {
    let _gone = std::io::stdout().write_all(text.as_bytes());
}

fn log_to_stderr(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log.filter)
        .with_context(|| format!("[log] filter {:?}", config.log.filter))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}

/// EX_SOFTWARE of sysexits(3).
const HUNG: i32 = 70;

fn settings() -> String {
    format!(
        "Settings, in the file of --config (TOML) or as environment variables, which win:\n\n{}\n\
         Files: DATA_DIR/identity (keys, mode 0600), DATA_DIR/outbox.db (what the cloud has not heard; \
         never delete it), DATA_DIR/cache.db (a copy of the cloud's state; may be deleted).",
        variables()
    )
}
