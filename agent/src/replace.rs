//! A spare box takes a site's place: identity from the cloud, the address that the routers know, and nothing
//! to do on any router.

use std::path::Path;
use std::process::Command;

use ipnet::IpNet;

use crate::config::IDENTITY_FOLDER;
use crate::radius::eap::authority;
use crate::sync::Identity;

/// What a site's routers know its agent by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAddress {
    /// Address and prefix length.
    pub address: IpNet,
    /// The interface that gets it.
    pub interface: String,
}

/// What was done, and what a person has still to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    /// In sentences.
    pub done: Vec<String>,
    /// In sentences; empty when the box can be started.
    pub left: Vec<String>,
    /// What starts it.
    pub next: Option<&'static str>,
}

/// Whether `asked` (a site's id or its name) is the site that the token was for.
pub fn is_site(identity: &Identity, asked: &str) -> bool {
    identity.site.to_string() == asked || identity.site_name == asked
}

impl Deeds {
    /// What the cloud did when it took the token.
    pub fn note_enrolled(&mut self, identity: &Identity) {
        self.done.push(format!(
            "This box is an agent of {} now, with a certificate of its own (fingerprint {}).",
            identity.site_name,
            identity.fingerprint()
        ));
        match identity.replaced {
            Some(old) => self.done.push(format!(
                "Agent {old} was revoked: the cloud takes nothing from it any more."
            )),
            None => self.left.push(
                "The token names no agent to replace: revoke the old one in the console (Sites), so \
                 that it cannot come back."
                    .to_owned(),
            ),
        }
        self.done.push(
            "The routers' secrets and all subscribers come with the first link; on routers that ask over UDP \
             nothing changes."
                .to_owned(),
        );
    }

    /// The authority by which RadSec and the tunnels of EAP are known came with the identity where the old box had told it;
    /// without it, who trusts that must be told this box's.
    pub fn note_authority(&mut self, data_dir: &Path) {
        if data_dir.join(authority::CERTIFICATE).exists() {
            return;
        }
        let given = data_dir.join(IDENTITY_FOLDER);
        if given.join(authority::CERTIFICATE).exists() {
            self.done.push(
                "The site's access authority came too: who asks by RadSec, 802.1X or IKEv2 knows this box as the old one."
                    .to_owned(),
            );
            return;
        }
        self.done.push(format!(
            "Where routers ask by RadSec, or devices by 802.1X or IKEv2: put the old box's {} and {} into {} before \
             the first start. Where they are lost, this box makes new ones, and each of those routers and devices must \
             be given its {}.",
            authority::CERTIFICATE,
            authority::KEY,
            data_dir.display(),
            authority::CERTIFICATE,
        ));
    }

    /// Moves the service address here, at once and for every start of the service, where this process may;
    /// says how where it may not. `device` is the interface's unit where there is one.
    pub fn move_address(&mut self, service: &ServiceAddress, system: &Path, device: Option<&str>) {
        let line = [
            "address",
            "replace",
            &service.address.to_string(),
            "dev",
            &service.interface,
        ];
        let text = format!("ip {}", line.join(" "));
        match run("ip", &line) {
            Ok(()) => {
                self.done.push(format!("Done: {text}"));
                self.announce(service);
            }
            Err(why) => self.left.push(format!("As root: {text}    ({why})")),
        }
        self.keep_address(&text, system, device);
    }

    /// Neighbours ask again within their own time (RouterOS: 30 s); told, they know at once.
    fn announce(&mut self, service: &ServiceAddress) {
        let address = service.address.addr().to_string();
        let told = run(
            "arping",
            &["-U", "-c", "3", "-I", &service.interface, &address],
        );
        self.done.push(match told {
            Ok(()) => format!("Told the neighbours that {address} is here."),
            Err(_) => format!("The neighbours learn within half a minute that {address} is here."),
        });
    }

    /// The address comes with the service, so that a box that is switched off does not hold it. Both come with the
    /// interface, and again with one that was away: it has lost the address.
    fn keep_address(&mut self, text: &str, system: &Path, device: Option<&str>) {
        let folder = system.join("easyisp-agent.service.d");
        let file = folder.join("service-address.conf");
        let mut unit = format!("[Service]\nExecStartPre=+/usr/sbin/{text}\n");
        if let Some(device) = device {
            let first = format!("[Unit]\nBindsTo={device}\nAfter={device}\n\n");
            unit = format!("{first}{unit}\n[Install]\nWantedBy={device}\n");
        }
        self.next = Some("systemctl daemon-reload && systemctl enable --now easyisp-agent");
        let kept = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, &unit));
        match kept {
            Ok(()) => {
                self.done.push(format!(
                    "Wrote {}: the address comes with the service.",
                    file.display()
                ));
            }
            Err(cause) => {
                self.left.push(format!(
                    "So that the address stays: write to {} ({cause}):\n      {}",
                    file.display(),
                    unit.trim_end().replace('\n', "\n      ")
                ));
            }
        }
    }
}

/// The unit by which systemd knows a network interface; `None` where no udev tells it of any, as in a container: what waits
/// for it there waits for ever.
pub fn device_unit(interface: &str) -> Option<String> {
    Path::new("/run/udev/control")
        .exists()
        .then(|| device_unit_of(interface))
}

/// `systemd-escape --path --suffix=device /sys/subsystem/net/devices/INTERFACE`.
fn device_unit_of(interface: &str) -> String {
    let octets = interface.bytes().map(|octet| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'.' => char::from(octet).into(),
        other => format!("\\x{other:02x}"),
    });
    format!(
        "sys-subsystem-net-devices-{}.device",
        octets.collect::<String>()
    )
}

/// Runs a program; why it did not work, in a line.
fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let ran = Command::new(program).args(arguments).output();
    match ran {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(said.lines().next().unwrap_or("it failed").trim().to_owned())
        }
        Err(cause) => Err(format!("cannot run {program}: {cause}")),
    }
}

impl std::fmt::Display for Deeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.done {
            writeln!(f, "done  {line}")?;
        }
        for line in &self.left {
            writeln!(f, "TO DO {line}")?;
        }
        match self.next {
            Some(next) => writeln!(f, "next  {next}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// An interface that is not there stands for every reason why the address cannot be moved by us.
    #[test]
    fn what_cannot_be_done_is_said_as_a_command_and_the_unit_is_written() {
        let system = tempfile::tempdir().unwrap();
        let service = ServiceAddress {
            address: "10.255.7.2/24".parse().unwrap(),
            interface: "nosuchinterface0".into(),
        };
        let mut deeds = Deeds::default();
        let device = device_unit_of(&service.interface);
        deeds.move_address(&service, system.path(), Some(&device));
        let said = deeds.to_string();
        assert!(
            said.contains("TO DO As root: ip address replace 10.255.7.2/24 dev nosuchinterface0"),
            "{said}"
        );
        let unit = system
            .path()
            .join("easyisp-agent.service.d/service-address.conf");
        let unit = std::fs::read_to_string(unit).unwrap();
        assert!(
            said.ends_with(
                "\nnext  systemctl daemon-reload && systemctl enable --now easyisp-agent\n"
            ),
            "{said}"
        );
        deeds.note_authority(system.path());
        assert!(
            deeds
                .to_string()
                .contains("put the old box's eap-ca.pem and eap-ca.key")
        );
        std::fs::write(system.path().join("eap-ca.pem"), "").unwrap();
        let mut kept = Deeds::default();
        kept.note_authority(system.path());
        assert_eq!(kept, Deeds::default());
        let expected = "\
[Unit]
BindsTo=sys-subsystem-net-devices-nosuchinterface0.device
After=sys-subsystem-net-devices-nosuchinterface0.device

[Service]
ExecStartPre=+/usr/sbin/ip address replace 10.255.7.2/24 dev nosuchinterface0

[Install]
WantedBy=sys-subsystem-net-devices-nosuchinterface0.device
";
        assert_eq!(unit, expected);
    }

    #[test]
    fn an_interface_is_named_as_systemd_names_it() {
        for (interface, name) in [
            ("eth0.100", "eth0.100"),
            ("br-lan", r"br\x2dlan"),
            ("enx_0:1", "enx_0:1"),
            ("wan\u{e9}", r"wan\xc3\xa9"),
        ] {
            let unit = format!("sys-subsystem-net-devices-{name}.device");
            assert_eq!(device_unit_of(interface), unit);
        }
    }

    /// Where nobody tells systemd of interfaces, nothing waits to be told.
    #[test]
    fn without_udev_the_service_waits_for_no_device() {
        let system = tempfile::tempdir().unwrap();
        let service = ServiceAddress {
            address: "10.255.7.2/24".parse().unwrap(),
            interface: "nosuchinterface0".into(),
        };
        Deeds::default().move_address(&service, system.path(), None);
        let unit = system
            .path()
            .join("easyisp-agent.service.d/service-address.conf");
        let unit = std::fs::read_to_string(unit).unwrap();
        assert!(unit.starts_with("[Service]\n"), "{unit}");
        assert!(!unit.contains(".device"), "{unit}");
    }
}
