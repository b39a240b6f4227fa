//! A switch (hostapd) and a computer on one of its ports (wpa_supplicant), on a pair of virtual
//! Ethernet interfaces of which one lies in a network namespace of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use easyisp_tests::ports;
use tokio::process::{Child, Command};

use super::supplicant::{OneAgent, SECRET};

/// Both programs and the wire between them; all of it goes with this.
pub struct Wired {
    switch: Child,
    computer: Child,
    folder: PathBuf,
    _wire: Wire,
}

/// A pair of interfaces. Dropping it removes them with the namespace.
struct Wire {
    namespace: String,
    switch: String,
    computer: String,
}

impl Wired {
    /// Plugs in; the computer logs in by PEAP under `name`, which is its password too.
    pub async fn plug_in(site: &OneAgent, name: &str, das: u16) -> Result<Wired> {
        let wire = Wire::lay().await?;
        let folder = site.folder.path().to_owned();
        let (auth, acct) = (site.agent.radius_auth(), site.agent.radius_acct());
        let switch = format!(
            "interface={}\ndriver=wired\nlogger_stdout=-1\nlogger_stdout_level=0\nieee8021x=1\n\
             eap_reauth_period=0\nuse_pae_group_addr=1\nown_ip_addr=127.0.0.1\nnas_identifier=switch\n\
             auth_server_addr={}\nauth_server_port={}\nauth_server_shared_secret={SECRET}\n\
             acct_server_addr={}\nacct_server_port={}\nacct_server_shared_secret={SECRET}\n\
             radius_das_port={das}\nradius_das_client=127.0.0.1 {SECRET}\n",
            wire.switch,
            auth.ip(),
            auth.port(),
            acct.ip(),
            acct.port(),
        );
        let computer = format!(
            "ap_scan=0\neapol_version=2\nnetwork={{\nkey_mgmt=IEEE8021X\neap=PEAP\n\
             identity=\"{name}\"\nanonymous_identity=\"anonymous\"\npassword=\"{name}\"\n\
             phase2=\"auth=MSCHAPV2\"\nca_cert=\"{}\"\neapol_flags=0\n}}\n",
            site.authority().display(),
        );
        std::fs::write(folder.join("switch.conf"), switch)?;
        std::fs::write(folder.join("computer.conf"), computer)?;

        let switch = start(
            Command::new("hostapd")
                .arg("-d")
                .arg(folder.join("switch.conf")),
            &folder.join("switch.log"),
        )?;
        let computer = start(
            Command::new("ip")
                .args(["netns", "exec", &wire.namespace, "wpa_supplicant"])
                .args(["-D", "wired", "-i", &wire.computer, "-c"])
                .arg(folder.join("computer.conf")),
            &folder.join("computer.log"),
        )?;
        Ok(Wired {
            switch,
            computer,
            folder,
            _wire: wire,
        })
    }

    /// What switch and computer said so far.
    pub fn said(&self) -> Result<(String, String)> {
        let read = |name: &str| std::fs::read(self.folder.join(name));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((text(read("switch.log")?), text(read("computer.log")?)))
    }

    /// Pulls the plug.
    pub async fn unplug(mut self) -> Result<()> {
        self.computer.kill().await?;
        self.switch.kill().await?;
        Ok(())
    }
}

impl Wire {
    async fn lay() -> Result<Wire> {
        let number = std::process::id();
        let wire = Wire {
            namespace: format!("easyisp-{number}"),
            switch: format!("ei{number}s"),
            computer: format!("ei{number}c"),
        };
        let Wire {
            namespace,
            switch,
            computer,
        } = &wire;
        // Of those that give up part of the way the drop removes what there is.
        ip(&["netns", "add", namespace]).await?;
        ip(&[
            "link", "add", switch, "type", "veth", "peer", "name", computer, "netns", namespace,
        ])
        .await?;
        ip(&["link", "set", switch, "up"]).await?;
        ip(&["-n", namespace, "link", "set", computer, "up"]).await?;
        Ok(wire)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let remove = |words: &[&str]| {
            let mut command = std::process::Command::new("ip");
            let _gone = command.args(words).stderr(Stdio::null()).status();
        };
        remove(&["link", "del", &self.switch]);
        remove(&["netns", "del", &self.namespace]);
    }
}

/// A port for the switch to take Disconnect on.
pub fn free_port() -> Result<u16> {
    Ok(ports::free_here()?.port())
}

/// Runs `ip`.
pub async fn ip(words: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(words).output().await;
    let output = output.context("ip (package iproute2)")?;
    ensure!(
        output.status.success(),
        "ip {}: {}(network namespaces and veth interfaces need root and a kernel that has them)",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn start(command: &mut Command, log: &Path) -> Result<Child> {
    let log = std::fs::File::create(log)?;
    command
        .stdin(Stdio::null())
        .stderr(log.try_clone()?)
        .stdout(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{command:?} (packages hostapd, wpasupplicant, iproute2)"))
}
