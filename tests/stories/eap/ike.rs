//! A VPN gateway and a computer that dials in (both strongSwan), in network namespaces of their own: host and
//! gateway are joined by one pair of virtual Ethernet interfaces, gateway and computer by another.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use easyisp_tests::world::eventually;
use tokio::process::{Child, Command};

use super::supplicant::{OneAgent, SECRET};
use super::wired::ip;

/// Behind the gateway; the tunnel leads there.
const INSIDE: &str = "10.77.0.1";

/// The two namespaces and the interfaces between them. Dropping it removes all of it.
pub struct Roads {
    gate: String,
    home: String,
    host: Ipv4Addr,
    port: Ipv4Addr,
}

/// Both programs on their roads; all of it goes with this.
pub struct Tunnel {
    gate: Charon,
    home: Charon,
    roads: Roads,
}

/// One charon-systemd with files and a control socket of its own.
struct Charon {
    running: Child,
    folder: PathBuf,
}

impl Roads {
    /// Lays them. Their addresses on the host are made from the process's number.
    pub async fn lay() -> Result<Roads> {
        let number = std::process::id();
        let [.., high, low] = number.to_be_bytes();
        let net = |last| Ipv4Addr::new(10, 64 | high & 0x3f, low, last);
        let roads = Roads {
            gate: format!("ei{number}gate"),
            home: format!("ei{number}home"),
            host: net(1),
            port: net(2),
        };
        let Roads { gate, home, .. } = &roads;
        let (host, port) = (format!("{}/24", roads.host), format!("{}/24", roads.port));
        // Of those that give up part of the way the drop removes what there is.
        for namespace in [gate, home] {
            ip(&["netns", "add", namespace]).await?;
            ip(&["-n", namespace, "link", "set", "lo", "up"]).await?;
        }
        let pair = ["type", "veth", "peer", "name", "agent", "netns", gate];
        ip(&[&["link", "add", gate][..], &pair].concat()).await?;
        let pair = ["type", "veth", "peer", "name", "world", "netns", home];
        ip(&[&["-n", gate, "link", "add", "world"][..], &pair].concat()).await?;
        ip(&["addr", "add", &host, "dev", gate]).await?;
        ip(&["link", "set", gate, "up"]).await?;
        for (namespace, device, address) in [
            (gate, "agent", port.as_str()),
            (gate, "world", "192.0.2.1/24"),
            (home, "world", "192.0.2.2/24"),
        ] {
            ip(&["-n", namespace, "addr", "add", address, "dev", device]).await?;
            ip(&["-n", namespace, "link", "set", device, "up"]).await?;
        }
        let inside = format!("{INSIDE}/32");
        ip(&["-n", gate, "addr", "add", &inside, "dev", "lo"]).await?;
        Ok(roads)
    }

    /// Where the agent is to listen.
    pub fn host(&self) -> Ipv4Addr {
        self.host
    }

    /// Where the gateway takes Disconnect.
    pub fn gate(&self) -> Ipv4Addr {
        self.port
    }
}

impl Drop for Roads {
    fn drop(&mut self) {
        for words in [
            ["link", "del", &self.gate],
            ["netns", "del", &self.gate],
            ["netns", "del", &self.home],
        ] {
            let mut command = std::process::Command::new("ip");
            let _gone = command.args(words).stderr(Stdio::null()).status();
        }
    }
}

impl Tunnel {
    /// Starts gateway and computer; nobody dials yet.
    pub async fn build(roads: Roads, site: &OneAgent, das: u16) -> Result<Tunnel> {
        let (auth, acct) = (site.agent.radius_auth(), site.agent.radius_acct());
        let radius = format!(
            "eap-radius {{
               accounting = yes
               accounting_send_class = yes
               servers {{ agent {{
                 address = {}
                 auth_port = {}
                 acct_port = {}
                 secret = {SECRET}
               }} }}
               dae {{ enable = yes\n listen = {}\n port = {das}\n secret = {SECRET} }}
             }}",
            auth.ip(),
            auth.port(),
            acct.port(),
            roads.port
        );
        let door = "connections { door {
               version = 2
               local_addrs = 192.0.2.1
               proposals = aes128-sha256-modp2048
               pools = radius, homes
               local { auth = psk\n id = gate }
               remote { auth = eap-radius\n id = %any\n eap_id = %any }
               children { inside { local_ts = 10.77.0.1/32\n esp_proposals = aes128-sha256 } }
             } }
             pools { homes { addrs = 10.88.0.0/24 } }
             secrets { ike-gate { id = gate\n secret = between-gate-and-homes } }";
        let folder = site.folder.path();
        let gate = Charon::start(&roads.gate, folder.join("gate"), &radius).await?;
        let home = Charon::start(&roads.home, folder.join("home"), "").await?;
        gate.load(door).await?;
        Ok(Tunnel { gate, home, roads })
    }

    /// Dials in by IKEv2 with EAP-MSCHAPv2; the virtual address, or `None` when it is refused.
    pub async fn dial(&self, name: &str, password: &str) -> Result<Option<Ipv4Addr>> {
        let home = format!(
            "connections {{ home {{
               version = 2
               local_addrs = 192.0.2.2
               remote_addrs = 192.0.2.1
               vips = 0.0.0.0
               proposals = aes128-sha256-modp2048
               local {{ auth = eap-mschapv2\n id = {name}\n eap_id = {name} }}
               remote {{ auth = psk\n id = gate }}
               children {{ inside {{ remote_ts = 10.77.0.1/32\n esp_proposals = aes128-sha256 }} }}
             }} }}
             secrets {{
               ike-gate {{ id = gate\n secret = between-gate-and-homes }}
               eap-home {{ id = {name}\n secret = {password} }}
             }}"
        );
        self.home.load(&home).await?;
        let words = ["--initiate", "--child", "inside", "--timeout", "20"];
        let said = self.home.control(&words).await?;
        let refusals = [
            "ERROR_AUTHENTICATION_FAILURE",
            "ERROR_NO_DIALIN_PERMISSION",
            "received EAP_FAILURE",
        ];
        if refusals.iter().any(|words| said.contains(words)) {
            return Ok(None);
        }
        let address = said
            .split_once("installing new virtual IP ")
            .and_then(|(_, rest)| rest.split_whitespace().next());
        let Some(address) = address else {
            bail!("neither let in nor refused: {said}");
        };
        Ok(Some(address.parse()?))
    }

    /// Sends so many packets of a kilobyte through the tunnel; each must come back.
    pub async fn ping(&self, from: Ipv4Addr, count: u32) -> Result<()> {
        let mut ping = Command::new("ip");
        ping.args([
            "netns",
            "exec",
            &self.roads.home,
            "ping",
            "-q",
            "-i",
            "0.05",
        ]);
        ping.args(["-s", "1000", "-W", "5", "-c", &count.to_string()]);
        ping.args(["-I", &from.to_string(), INSIDE]);
        let output = ping.output().await.context("ping (package iputils-ping)")?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(said.contains(" 0% packet loss"), "{said}{}", self.said()?);
        Ok(())
    }

    /// Whether the computer still has a tunnel.
    pub async fn is_up(&self) -> Result<bool> {
        Ok(self
            .home
            .control(&["--list-sas"])
            .await?
            .contains("ESTABLISHED"))
    }

    /// The computer hangs up.
    pub async fn hang_up(&self) -> Result<()> {
        let said = self.home.control(&["--terminate", "--ike", "home"]).await?;
        ensure!(said.contains("terminate completed successfully"), "{said}");
        Ok(())
    }

    /// What the gateway and the computer said so far.
    pub fn said(&self) -> Result<String> {
        Ok(format!(
            "{}\n----\n{}",
            self.gate.said()?,
            self.home.said()?
        ))
    }

    /// Stops both.
    pub async fn tear_down(mut self) -> Result<()> {
        self.home.running.kill().await?;
        self.gate.running.kill().await?;
        Ok(())
    }
}

impl Charon {
    async fn start(namespace: &str, folder: PathBuf, plugins: &str) -> Result<Charon> {
        std::fs::create_dir_all(&folder)?;
        let settings = format!(
            "charon-systemd {{
               load = random nonce aes sha1 sha2 md5 hmac kdf mgf1 pem pkcs1 pkcs8 x509 pubkey \
                      constraints openssl gmp eap-radius kernel-libipsec kernel-netlink socket-default updown vici \
                      eap-identity eap-mschapv2
               filelog {{ said {{ path = {log}\n default = 1\n ike = 2\n cfg = 2\n flush_line = yes }} }}
               journal {{ default = -1 }}
               plugins {{ vici {{ socket = unix://{control} }}\n {plugins} }}
             }}
             swanctl {{ load = pem pkcs1 pkcs8 x509 pubkey openssl random nonce }}",
            log = folder.join("log").display(),
            control = folder.join("control").display(),
        );
        std::fs::write(folder.join("strongswan.conf"), settings)?;
        let out = std::fs::File::create(folder.join("out"))?;
        let mut command = Command::new("ip");
        let running = command
            .args(["netns", "exec", namespace, "charon-systemd"])
            .env("STRONGSWAN_CONF", folder.join("strongswan.conf"))
            .env("SWANCTL_DIR", &folder)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .kill_on_drop(true)
            .spawn()
            .context("charon-systemd (package charon-systemd)")?;
        let charon = Charon { running, folder };
        let ready = eventually("strongSwan takes orders", async || {
            Ok(charon.folder.join("control").exists().then_some(()))
        });
        ready
            .await
            .with_context(|| charon.said().unwrap_or_default())?;
        Ok(charon)
    }

    /// Puts these connections in place of what it had.
    async fn load(&self, words: &str) -> Result<()> {
        let file = self.folder.join("swanctl.conf");
        std::fs::write(&file, words)?;
        let file = file.display().to_string();
        let said = self
            .control(&["--load-all", "--clear", "--noprompt", "--file", &file])
            .await?;
        let loaded = said.contains("successfully loaded 1 connections");
        ensure!(loaded, "{said}{}", self.said()?);
        Ok(())
    }

    async fn control(&self, words: &[&str]) -> Result<String> {
        let control = format!("unix://{}", self.folder.join("control").display());
        let output = Command::new("swanctl")
            .args(words)
            .args(["--uri", &control])
            .env("STRONGSWAN_CONF", self.folder.join("strongswan.conf"))
            .env("SWANCTL_DIR", &self.folder)
            .output()
            .await
            .context("swanctl (package strongswan-swanctl)")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(text(&output.stdout) + &text(&output.stderr))
    }

    fn said(&self) -> Result<String> {
        let read = |name: &Path| std::fs::read(self.folder.join(name)).unwrap_or_default();
        let bytes = [read("out".as_ref()), read("log".as_ref())].concat();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
