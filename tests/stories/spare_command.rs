//! `easyisp-agent replace --site`, as somebody types it at a spare box: in a network namespace of its own, with one
//! interface towards the routers and the cloud behind it.

use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use easyisp_agent::VERSION;
use easyisp_agent::sync::{Identity, enroll};
use easyisp_tests::line::Line;
use easyisp_tests::world::{Provider, World, soon};
use serde_json::json;
use tokio::process::Command;

/// The command that the console shows for a dead box does all of it: the spare one is the site's agent and the dead one
/// nobody, the service's user can read what it is now, the address that the routers ask is on its interface and comes with
/// the service, and it ends with 0. With an interface that is not there it says what is left to do, and ends with 1.
#[tokio::test(flavor = "multi_thread")]
async fn a_spare_box_takes_over_by_one_command() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "onecommand").await?;
    let wire = Wire::lay().await?;
    let line = Line::from(wire.host, world.agents(), 1).await?;
    let token = isp.owner.join_token().await?;
    let cloud = world.agents().to_string();
    let dead = enroll(&cloud, &token, &world.new_box(), VERSION).await?;

    let replaced = replace(&world, &isp, &line, &wire, (&dead, wire.inside.as_str())).await?;
    let said = String::from_utf8_lossy(&replaced.output.stdout);
    assert_eq!(replaced.output.status.code(), Some(0), "{replaced:?}");
    let spare = replaced.identity.context("an identity")?;
    assert_eq!(
        (spare.site, spare.replaced),
        (dead.site, Some(dead.agent)),
        "{said}"
    );
    assert!(said.contains("was revoked"), "{said}");
    assert!(!said.contains("TO DO"), "{said}");
    assert!(
        said.contains("next  systemctl daemon-reload && systemctl enable --now easyisp-agent"),
        "{said}"
    );
    assert_eq!(replaced.strangers, Vec::<PathBuf>::new());
    // What stands where the service manager looks for it, and what the interface has.
    let unit = format!(
        "[Service]\nExecStartPre=+/usr/sbin/ip address replace {SERVICE} dev {}\n",
        wire.inside
    );
    assert!(said.contains(&unit), "{said}");
    assert!(said.contains(&format!("inet {SERVICE} ")), "{said}");
    let path = format!("/sites/{}", dead.site);
    let agents = isp.owner.get(&path).await?["agents"].clone();
    let ids: Vec<_> = agents
        .as_array()
        .into_iter()
        .flatten()
        .map(|agent| &agent["id"])
        .collect();
    assert_eq!(ids, [&json!(spare.agent)], "{agents}");

    let failed = replace(&world, &isp, &line, &wire, (&spare, "nosuch0")).await?;
    let said = String::from_utf8_lossy(&failed.output.stdout);
    assert_eq!(failed.output.status.code(), Some(1), "{failed:?}");
    assert!(
        said.contains(&format!(
            "TO DO As root: ip address replace {SERVICE} dev nosuch0"
        )),
        "{said}"
    );
    world.stop().await
}

/// What came of the command.
#[derive(Debug)]
struct Replaced {
    output: Output,
    identity: Option<Identity>,
    /// Of what the box holds, what the service's user cannot read.
    strangers: Vec<PathBuf>,
}

/// Types what the console shows, with the address and an interface filled in, at a box that has nothing.
async fn replace(
    world: &World,
    isp: &Provider,
    line: &Line,
    wire: &Wire,
    (dead, interface): (&Identity, &str),
) -> Result<Replaced> {
    let path = format!("/sites/{}/join-token?replaces={}", dead.site, dead.agent);
    let made = isp.owner.post(&path, &json!({})).await?;
    let shown = made["command"].as_str().context("a command")?;
    let typed = shown
        .replace(&world.agents().to_string(), &line.address.to_string())
        .replace("ADDRESS/LENGTH", SERVICE)
        .replace("INTERFACE", interface);
    let words = typed
        .strip_prefix("easyisp-agent ")
        .context("the program")?;
    let folder = world.new_box();
    std::fs::create_dir_all(&folder)?;
    chown(&folder, Some(SERVICE_USER), Some(SERVICE_USER))?;
    let configuration = folder.join("agent.toml");
    std::fs::write(&configuration, format!("data_dir = {folder:?}\n"))?;
    let mut command = Command::new("ip");
    command
        .args([
            "netns",
            "exec",
            &wire.namespace,
            "sh",
            "-c",
            AT_THE_BOX,
            "sh",
        ])
        .arg(env!("CARGO_BIN_EXE_agent"))
        .arg("--config")
        .arg(configuration)
        .args(words.split(' '))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    // It refuses variables that it does not know, and the tests have some.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EASYISP_") {
            command.env_remove(name);
        }
    }
    let output = soon("the command ends", command.output()).await??;
    let given = folder.join("identity");
    let mut strangers = Vec::new();
    if let Ok(held) = std::fs::read_dir(&given) {
        let held = held.map(|held| held.map(|held| held.path()));
        let held: Vec<PathBuf> = held.collect::<Result<_, _>>()?;
        ensure!(held.len() > 4, "an identity is of several files: {held:?}");
        for path in held.into_iter().chain([given.clone()]) {
            let found = std::fs::metadata(&path)?;
            if (found.uid(), found.gid()) != (SERVICE_USER, SERVICE_USER) {
                strangers.push(path);
            }
        }
    }
    Ok(Replaced {
        output,
        identity: Identity::load(&given).ok(),
        strangers,
    })
}

/// Nothing of the machine's own /etc is written: `ip netns exec` gives a place for mounts of its own too.
const AT_THE_BOX: &str = r#"mount -t tmpfs tmpfs /etc || exit 99
"$@"
ended=$?
cat /etc/systemd/system/easyisp-agent.service.d/service-address.conf
ip -4 address show
exit $ended"#;

/// Whose the spare box's folder is: its service ran there before, without an identity.
const SERVICE_USER: u32 = 4711;
/// The address that the site's routers ask.
const SERVICE: &str = "10.255.7.2/24";

/// A box's network: one interface, and this machine behind it. Dropping it removes it.
struct Wire {
    namespace: String,
    outside: String,
    inside: String,
    /// Where the box finds this machine.
    host: Ipv4Addr,
}

impl Wire {
    async fn lay() -> Result<Wire> {
        let number = std::process::id();
        // Of what is kept for measurements (RFC 2544), so that nothing else is there.
        let [.., net, _] = number.wrapping_mul(2).to_be_bytes();
        let wire = Wire {
            namespace: format!("easyisp-spare-{number}"),
            outside: format!("es{number}o"),
            inside: format!("es{number}i"),
            host: Ipv4Addr::new(198, 18, net, 1),
        };
        let Wire {
            namespace,
            outside,
            inside,
            host,
        } = &wire;
        let here = format!("{host}/24");
        let there = format!("198.18.{net}.2/24");
        ip(&["netns", "add", namespace]).await?;
        let pair = ["type", "veth", "peer", "name", inside, "netns", namespace];
        ip(&[&["link", "add", outside][..], &pair[..]].concat()).await?;
        ip(&["address", "add", &here, "dev", outside]).await?;
        ip(&["link", "set", outside, "up"]).await?;
        ip(&["-n", namespace, "address", "add", &there, "dev", inside]).await?;
        ip(&["-n", namespace, "link", "set", inside, "up"]).await?;
        Ok(wire)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for words in [
            ["link", "del", &self.outside],
            ["netns", "del", &self.namespace],
        ] {
            let mut command = std::process::Command::new("ip");
            let _gone = command.args(words).stderr(Stdio::null()).status();
        }
    }
}

async fn ip(words: &[&str]) -> Result<()> {
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
