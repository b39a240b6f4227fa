//! A machine of its own: user-mode Linux on the host's files, for kernels' parts that the host lacks.
//!
//! It boots in seconds as an ordinary process, does what it is told through files, and reaches the host
//! through a TAP interface. It sees the host's whole file tree and may write it: what it is told writes
//! only under `/run`, `/dev` and its own folder.

use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A running guest. Dropping it is pulling its plug.
pub struct Guest {
    machine: Child,
    folder: TempDir,
    orders: u32,
    cable: Cable,
}

/// A TAP interface with addresses for both ends. Dropping it removes it.
struct Cable {
    device: String,
    host: Ipv4Addr,
    guest: Ipv4Addr,
}

impl Guest {
    /// Boots one with these kernel modules.
    pub async fn boot(modules: &[&str]) -> Result<Guest> {
        let cable = Cable::lay().await?;
        let folder = TempDir::new()?;
        let home = folder.path();
        std::fs::create_dir_all(home.join("lib/modules"))?;
        for kernel in std::fs::read_dir(MODULES).context("package user-mode-linux")? {
            let kernel = kernel?;
            symlink(
                kernel.path(),
                home.join("lib/modules").join(kernel.file_name()),
            )?;
        }
        let init = INIT
            .replace("FOLDER", &home.display().to_string())
            .replace("MODULES", &modules.join(" "))
            .replace("ADDRESS", &cable.guest.to_string());
        let script = home.join("init");
        std::fs::write(&script, init)?;
        let out = std::fs::File::create(home.join("console"))?;
        let machine = Command::new("linux.uml")
            .args([
                "mem=256M",
                "root=/dev/root",
                "rootfstype=hostfs",
                "rootflags=/",
            ])
            .args(["rw", "con=null", "con0=fd:0,fd:1", "quiet"])
            .arg(format!(
                "vec0:transport=tap,ifname={},depth=64",
                cable.device
            ))
            .arg(format!("init=/bin/sh -- {}", script.display()))
            .current_dir(home)
            .env("TMPDIR", home)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("linux.uml (package user-mode-linux)")?;
        let mut guest = Guest {
            machine,
            folder,
            orders: 0,
            cable,
        };
        guest.run("uname -r").await.context("booting the guest")?;
        Ok(guest)
    }

    /// The host's address on the cable between them.
    pub fn host(&self) -> Ipv4Addr {
        self.cable.host
    }

    /// The guest's.
    pub fn address(&self) -> Ipv4Addr {
        self.cable.guest
    }

    /// A folder that both see.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Has these words of shell run; what they said, or an error with it when they failed.
    pub async fn run(&mut self, shell: &str) -> Result<String> {
        let (status, said) = self.try_run(shell).await?;
        ensure!(status == 0, "{shell}\nended with {status}: {said}");
        Ok(said)
    }

    /// The same; how they ended and what they said.
    pub async fn try_run(&mut self, shell: &str) -> Result<(i32, String)> {
        let number = self.orders;
        self.orders += 1;
        let place = |what: &str| -> PathBuf { self.folder.path().join(format!("{what}{number}")) };
        let part = place("part");
        std::fs::write(&part, shell)?;
        std::fs::rename(&part, place("order"))?;
        for _ in 0..PATIENCE.as_millis() / PAUSE.as_millis() {
            if place("status").exists() {
                let said = String::from_utf8_lossy(&std::fs::read(place("answer"))?).into_owned();
                let status = std::fs::read_to_string(place("status"))?;
                return Ok((status.trim().parse()?, said));
            }
            if let Some(status) = self.machine.try_wait()? {
                bail!("the guest ended with {status}: {}", self.console());
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("the guest is silent: {}", self.console())
    }

    /// Switches it off in order.
    pub async fn stop(mut self) -> Result<()> {
        std::fs::write(self.folder.path().join("off"), "")?;
        let off = tokio::time::timeout(PATIENCE, self.machine.wait()).await;
        off.context("the guest does not stop")??;
        Ok(())
    }

    fn console(&self) -> String {
        let console = std::fs::read(self.folder.path().join("console")).unwrap_or_default();
        String::from_utf8_lossy(&console).into_owned()
    }
}

impl Drop for Guest {
    /// It is several processes, and they outlive the first.
    fn drop(&mut self) {
        if let Some(first) = self.machine.id() {
            let mut shell = std::process::Command::new("sh");
            let group = shell.args(["-c", &format!("kill -9 -{first}")]);
            let _gone = group.stderr(Stdio::null()).status();
        }
    }
}

impl Cable {
    async fn lay() -> Result<Cable> {
        let number = std::process::id();
        let [.., high, low] = number.to_be_bytes();
        let net = |last| Ipv4Addr::new(10, 128 | high & 0x3f, low, last);
        let cable = Cable {
            device: format!("ei{number}tap"),
            host: net(1),
            guest: net(2),
        };
        let address = format!("{}/24", cable.host);
        for words in [
            &["tuntap", "add", "dev", &cable.device, "mode", "tap"][..],
            &["addr", "add", &address, "dev", &cable.device],
            &["link", "set", &cable.device, "up"],
        ] {
            let output = Command::new("ip").args(words).output().await;
            let output = output.context("ip (package iproute2)")?;
            ensure!(
                output.status.success(),
                "ip {}: {}(TAP interfaces need root)",
                words.join(" "),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(cable)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let mut command = std::process::Command::new("ip");
        let remove = command.args(["link", "del", &self.device]);
        let _gone = remove.stderr(Stdio::null()).status();
    }
}

const MODULES: &str = "/usr/lib/uml/modules";
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(20);

/// What runs in place of init: takes orders until told to switch off.
const INIT: &str = r#"
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs none /run
mkdir -p /dev/pts
mount -t devpts none /dev/pts
hostname localhost
ip link set lo up
for module in MODULES; do modprobe -d FOLDER $module; done
ip addr add ADDRESS/24 dev vec0
ip link set vec0 up
cd FOLDER
number=0
until [ -e off ]; do
  if [ -e order$number ]; then
    sh ./order$number >answer$number 2>&1
    echo $? >ended$number
    mv ended$number status$number
    number=$((number + 1))
  else
    sleep 0.05
  fi
done
sync
echo o >/proc/sysrq-trigger
sleep 60
"#;
