//! What a person types, and what he reads back.

use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use easyisp_agent::config::{Config, LogFormat, variables};
use easyisp_agent::radius::eap::Authority;
use easyisp_agent::radius::eap::authority::CERTIFICATE;
use easyisp_agent::radius::radsec;
use easyisp_agent::site::description::Description;
use easyisp_agent::status::Report;
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
    },
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
    /// Look for what keeps an agent from working, and say the remedy.
    ///
    /// Checks identity, disk, ports, clock and the way to the cloud. Ends with 0 when all is well.
    Doctor,
}

#[derive(Debug, Args)]
struct Enroll {
    /// Where the cloud is.
    #[arg(long, value_name = "HOST:PORT")]
    cloud: String,
    /// The join token from the console.
    #[arg(long, value_name = "TOKEN")]
    token: SecretString,
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
        Deed::Run { site } => {
            let source = match site {
                None => Source::Enrolled,
                Some(file) => described(&file)?,
            };
            log_to_stderr(&config)?;
            runtime.block_on(serve(config, source))
        }
        Deed::Status { json } => runtime.block_on(status(&config, json)),
        Deed::Certificate { router, out } => runtime.block_on(certificate(&config, &router, &out)),
        Deed::Doctor => runtime.block_on(diagnose(&config)),
    }
}

async fn enroll(config: &Config, asked: &Enroll) -> anyhow::Result<ExitCode> {
    let folder = config.identity_folder();
    std::fs::create_dir_all(&config.data_dir)
        .with_context(|| format!("cannot make {}", config.data_dir.display()))?;
    let token = asked.token.expose_secret();
    let identity = sync::enroll(&asked.cloud, token, &folder, VERSION).await?;
    say(&format!(
        "Enrolled as an agent of {}.\nFingerprint {} (compare it with the console).\n\
         Start it with: easyisp-agent run\n",
        identity.site_name,
        identity.fingerprint()
    ));
    Ok(ExitCode::SUCCESS)
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
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
    }
    agent.stop().await;
    Ok(ExitCode::SUCCESS)
}

async fn status(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let address = config.status.listen;
    let body = doctor::fetch_status(address).await.with_context(|| {
        format!("no agent tells its state on {address}; start one with: easyisp-agent run")
    })?;
    let report: Report = serde_json::from_str(&body).context("that is not an agent's state")?;
    if json {
        say(&format!("{body}\n"));
    } else {
        say(&report.to_string());
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

fn settings() -> String {
    format!(
        "Settings, in the file of --config (TOML) or as environment variables, which win:\n\n{}\n\
         Files: DATA_DIR/identity (keys, mode 0600), DATA_DIR/outbox.db (what the cloud has not heard; \
         never delete it), DATA_DIR/cache.db (a copy of the cloud's state; may be deleted).",
        variables()
    )
}
