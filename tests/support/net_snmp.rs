//! Debian's real Net-SNMP and snmpsim in folders of their own: the judges of our SNMP.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::ports;

/// A user of SNMPv3: name, authentication and its password, privacy and its password.
pub type User<'a> = (&'a str, (&'a str, &'a str), (&'a str, &'a str));

/// A running `snmpd` of this machine. Dropping it kills the process.
pub struct Snmpd {
    /// Where it answers.
    pub address: SocketAddr,
    folder: TempDir,
    process: Child,
}

impl Snmpd {
    /// Starts it with the community `public` and these users: name, authentication, privacy, as
    /// `createUser` takes them, with the passwords `auth-password` and `priv-password`.
    pub async fn start(users: &[(&str, &str, &str)]) -> Result<Snmpd> {
        Snmpd::start_on(ports::free_here()?, users).await
    }

    /// The same with passwords of their own.
    pub async fn start_with(users: &[User<'_>]) -> Result<Snmpd> {
        let words = users.iter().map(|(name, auth, privacy)| {
            let ((auth, signs), (privacy, enciphers)) = (auth, privacy);
            format!("createUser {name} {auth} {signs} {privacy} {enciphers}\nrouser {name} priv\n")
        });
        Snmpd::run(ports::free_here()?, &words.collect::<String>()).await
    }

    /// One that says what these lines of its configuration have it say: a router of another maker.
    pub async fn start_as(words: &str) -> Result<Snmpd> {
        Snmpd::run(ports::free_here()?, words).await
    }

    /// The same at this address: again where it was before.
    pub async fn start_on(address: SocketAddr, users: &[(&str, &str, &str)]) -> Result<Snmpd> {
        let mut words = String::new();
        for (name, auth, privacy) in users {
            let (auth, level) = match (*auth, *privacy) {
                ("", _) => (String::new(), "noauth"),
                (auth, "") => (format!("{auth} auth-password"), "auth"),
                (auth, privacy) => (
                    format!("{auth} auth-password {privacy} priv-password"),
                    "priv",
                ),
            };
            words.push_str(&format!(
                "createUser {name} {auth}\nrouser {name} {level}\n"
            ));
        }
        Snmpd::run(address, &words).await
    }

    async fn run(address: SocketAddr, more: &str) -> Result<Snmpd> {
        let folder = tempfile::tempdir()?;
        let words = format!("rocommunity public 127.0.0.0/8\nsysLocation shelf 7\n{more}");
        let config = folder.path().join("snmpd.conf");
        std::fs::write(&config, words)?;
        let process = Command::new("snmpd")
            .args(["-f", "-r", "-C", "-Lf"])
            .arg(folder.path().join("log"))
            .arg("-c")
            .arg(&config)
            .args(["-I", "-smux", "-p"])
            .arg(folder.path().join("pid"))
            .arg(format!("udp:{address}"))
            .env("SNMP_PERSISTENT_DIR", folder.path())
            .env("PATH", path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting snmpd (Debian package snmpd, installed by tests/prepare)")?;
        let snmpd = Snmpd {
            address,
            folder,
            process,
        };
        answers(address, "public", &snmpd.folder.path().join("log")).await?;
        Ok(snmpd)
    }

    /// Ends it at once.
    pub async fn stop(mut self) -> Result<()> {
        self.process.kill().await?;
        Ok(())
    }
}

/// A running snmpsim that replays recordings: the community is the file's name without `.snmprec`.
pub struct SnmpSim {
    /// Where it answers.
    pub address: SocketAddr,
    _folder: TempDir,
    _process: Child,
}

impl SnmpSim {
    /// Starts it over copies of these recordings in a folder that goes with it.
    pub async fn start(recordings: &[PathBuf]) -> Result<SnmpSim> {
        let folder = tempfile::tempdir()?;
        let open = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        };
        open(folder.path(), 0o755)?;
        let data = folder.path().join("data");
        let cache = folder.path().join("cache");
        for made in [&data, &cache] {
            std::fs::create_dir(made)?;
            open(made, 0o777)?;
        }
        let mut first = None;
        for recording in recordings {
            let name = recording.file_name().context("a file")?;
            std::fs::copy(recording, data.join(name))?;
            open(&data.join(name), 0o644)?;
            first = first.or(recording.file_stem());
        }
        let community = first.context("a recording")?.to_string_lossy().into_owned();
        let address = ports::free_here()?;
        let log = folder.path().join("log");
        let file = std::fs::File::create(&log)?;
        let mut command = Command::new("snmpsimd");
        command
            .arg(format!("--data-dir={}", data.display()))
            .arg(format!("--cache-dir={}", cache.display()))
            .arg(format!("--agent-udpv4-endpoint={address}"))
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true);
        // It refuses to stay root.
        if std::env::var_os("USER").is_none_or(|user| user == "root") {
            command.args(["--process-user=nobody", "--process-group=nogroup"]);
        }
        let process = command
            .spawn()
            .context("starting snmpsimd (Debian package snmpsim, installed by tests/prepare)")?;
        answers(address, &community, &log).await?;
        Ok(SnmpSim {
            address,
            _folder: folder,
            _process: process,
        })
    }
}

/// What Net-SNMP's client reads: the values of one object, or of everything under one.
pub async fn snmp(
    program: &str,
    address: SocketAddr,
    community: &str,
    name: &str,
) -> Result<Vec<String>> {
    let output = Command::new(program)
        .args(["-v2c", "-c", community, "-On", "-Oqv", "-t", "5", "-r", "3"])
        .arg(format!("udp:{address}"))
        .arg(name)
        .output()
        .await
        .with_context(|| format!("starting {program} (Debian package snmp)"))?;
    ensure!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    // Net-SNMP's words for nothing.
    let told = text.lines().filter(|line| !line.starts_with("No "));
    Ok(told.map(|line| line.trim_matches('"').to_owned()).collect())
}

/// Waits until somebody answers there.
async fn answers(address: SocketAddr, community: &str, log: &Path) -> Result<()> {
    for _ in 0..100 {
        let asked = Command::new("snmpget")
            .args(["-v2c", "-c", community, "-t", "0.3", "-r", "0"])
            .arg(format!("udp:{address}"))
            .arg(".1.3.6.1.2.1.1.3.0")
            .output()
            .await
            .context("starting snmpget (Debian package snmp)")?;
        if asked.status.success() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let said = std::fs::read_to_string(log).unwrap_or_default();
    bail!("nobody answers SNMP at {address}:\n{said}")
}

/// Debian keeps servers off a user's path.
fn path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/sbin:/sbin")
}
