//! One agent, and `eapol_test` (of wpa_supplicant) logging in at it as switch and supplicant in one.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_agent::config::Config;
use easyisp_agent::site::description::Description;
use easyisp_agent::{Agent, AgentOptions, Source};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Clock;
use easyisp_shared::wire::{Down, DownRecord};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

/// An agent of a small site; its files go with it.
pub struct OneAgent {
    pub agent: Agent,
    pub folder: TempDir,
}

/// An agent's port for logins, as a switch is set up for it.
pub struct Door {
    pub auth: SocketAddr,
    pub secret: &'static str,
    /// What supplicants recognise the agent by.
    pub authority: PathBuf,
    /// Where supplicants' settings are written.
    pub folder: PathBuf,
}

/// How a supplicant proves itself, in the words of wpa_supplicant.
pub struct Method {
    pub eap: &'static str,
    pub phase1: Option<&'static str>,
    pub phase2: Option<&'static str>,
    /// The name outside the tunnel.
    pub outer: Option<&'static str>,
}

/// What came of a login.
pub struct Login {
    /// In one word.
    pub answer: Answer,
    /// All that the program said.
    pub transcript: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Accepted, and the keys of both ends are the same.
    Accepted,
    /// EAP-Failure in an Access-Reject.
    Refused,
    /// Anything else.
    Broken,
}

impl OneAgent {
    /// Knows `demo001` to `demo003`, of whom the last has an address of his own, and `demo021` whose month is
    /// over. The password is the name.
    pub async fn start() -> Result<OneAgent> {
        OneAgent::start_with(|_| {}).await
    }

    /// The same with other settings.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Result<OneAgent> {
        let switch = (Ipv4Addr::LOCALHOST, 3799).into();
        OneAgent::start_on(Clock::system(), switch, change).await
    }

    /// The same on another clock, with a switch that takes Disconnect there.
    pub async fn start_on(
        clock: Clock,
        switch: SocketAddr,
        change: impl FnOnce(&mut Config),
    ) -> Result<OneAgent> {
        let folder = tempfile::tempdir()?;
        let entropy = Entropy::system();
        let key = SealKey::generate(&entropy);
        let (past, future) = (
            clock.now().minus(Duration::from_secs(60)),
            clock.now().plus(PAID_FOR),
        );
        let subscriber = |name: &str, paid_until| json!({"username": name, "password": name, "package": "Home", "paid_until": paid_until});
        let mut at_home = subscriber("demo003", future);
        at_home["static_ip"] = json!(STATIC_ADDRESS);
        let description: Description = serde_json::from_value(json!({
            "packages": [{"name": "Home", "up_kbps": 2000, "down_kbps": 10000, "devices": 5}],
            "routers": [{"name": "Switch", "address": switch.ip(), "source": "0.0.0.0/0",
                         "secret": SECRET, "coa_port": switch.port()}],
            "subscribers": [subscriber("demo001", future), subscriber("demo002", future),
                            at_home, subscriber("demo021", past)],
        }))?;
        let mut config = Config {
            data_dir: folder.path().to_owned(),
            ..Config::default()
        };
        config.radius.auth = (Ipv4Addr::LOCALHOST, 0).into();
        config.radius.acct = (Ipv4Addr::LOCALHOST, 0).into();
        config.status.listen = (Ipv4Addr::LOCALHOST, 0).into();
        change(&mut config);
        let mut rows = description.rows(&key, &entropy, 1);
        rows.iter_mut().for_each(report_often);
        let source = Source::Described { rows, key };
        let agent = Agent::start(AgentOptions {
            config,
            clock,
            entropy,
            source,
        })
        .await?;
        Ok(OneAgent { agent, folder })
    }

    /// What supplicants are given to recognise the agent by.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("eap-ca.pem")
    }

    /// One login from beginning to end.
    pub async fn log_in(&self, method: &Method, name: &str, password: &str) -> Result<Login> {
        let door = Door {
            auth: self.agent.radius_auth(),
            secret: SECRET,
            authority: self.authority(),
            folder: self.folder.path().to_owned(),
        };
        door.log_in(method, name, password).await
    }
}

/// The programs that play router and switch live by the system's clock: once a minute is the least that may
/// be asked of them.
fn report_often(row: &mut DownRecord) {
    let body = row.body.as_deref().unwrap_or_default();
    if let Ok(Down::Package(mut package)) = Down::decode(row.kind, body) {
        package.interim_secs = 60;
        row.body = Some(Down::Package(package).encode());
    }
}

impl Door {
    /// One login from beginning to end.
    pub async fn log_in(&self, method: &Method, name: &str, password: &str) -> Result<Login> {
        let settings = self.settings(method, name, password);
        let file = self.folder.join(format!("{name}.conf"));
        tokio::fs::write(&file, settings).await?;
        let auth = self.auth;
        let run = Command::new("eapol_test")
            .arg("-c")
            .arg(&file)
            .args(["-a", &auth.ip().to_string(), "-p", &auth.port().to_string()])
            .args(["-s", self.secret, "-M", "02:ea:51:00:00:01", "-t", "10"])
            .output();
        let output = run.await.context("eapol_test (package eapoltest)")?;
        let transcript = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(Login {
            answer: Answer::read(output.status.success(), &transcript),
            transcript,
        })
    }

    fn settings(&self, method: &Method, name: &str, password: &str) -> String {
        let mut lines = vec![
            "key_mgmt=IEEE8021X".to_owned(),
            format!("eap={}", method.eap),
            format!("identity=\"{name}\""),
            format!("password=\"{password}\""),
            format!("ca_cert=\"{}\"", self.authority.display()),
        ];
        let texts = [
            ("anonymous_identity", method.outer),
            ("phase1", method.phase1),
            ("phase2", method.phase2),
        ];
        let given = texts
            .into_iter()
            .filter_map(|(key, text)| Some((key, text?)));
        lines.extend(given.map(|(key, text)| format!("{key}=\"{text}\"")));
        format!("network={{\n{}\n}}\n", lines.join("\n"))
    }
}

impl Answer {
    /// The program ends with 0 only when accepted, the keys match, and the peer saw success.
    fn read(ended_well: bool, transcript: &str) -> Answer {
        if ended_well && transcript.contains("MPPE keys OK: 1  mismatch: 0") {
            Answer::Accepted
        } else if transcript.contains("code=3 (Access-Reject)")
            && transcript.contains("EAP: Received EAP-Failure")
        {
            Answer::Refused
        } else {
            Answer::Broken
        }
    }
}

/// Between switch and agent.
pub const SECRET: &str = "demo-secret";
/// The address of `demo003`.
pub const STATIC_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 33);
/// How long everybody else has paid for.
pub const PAID_FOR: Duration = Duration::from_secs(3600);
