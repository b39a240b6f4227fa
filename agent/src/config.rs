//! Every setting: one TOML file, each key also an environment variable `EASYISP_<SECTION>_<KEY>`.
//!
//! Read once at start. An unknown key, a bad value and an unknown variable are errors that name the key.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use easyisp_shared::setup::SYSLOG_PORT;
use ipnet::IpNet;
use serde::Deserialize;
use toml::{Table, Value};

/// The folder in the data folder that holds this agent's identity.
pub const IDENTITY_FOLDER: &str = "identity";

/// The agent's settings, checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where identity, outbox and cache live.
    pub data_dir: PathBuf,
    /// `[cloud]`
    pub cloud: Cloud,
    /// `[radius]`
    pub radius: RadiusConfig,
    /// `[portal]`
    pub portal: Portal,
    /// `[status]`
    pub status: Status,
    /// `[site]`
    pub site: SiteConfig,
    /// `[peers]`
    pub peers: PeersConfig,
    /// `[neighbours]`
    pub neighbours: NeighboursConfig,
    /// `[upstream]`
    pub upstream: UpstreamConfig,
    /// `[syslog]`
    pub syslog: SyslogConfig,
    /// `[wizard]`
    pub wizard: WizardConfig,
    /// `[access]`
    pub access: AccessConfig,
    /// `[store]`
    pub store: StoreConfig,
    /// `[log]`
    pub log: Log,
}

/// `[cloud]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cloud {
    /// Where the cloud is, `HOST:PORT`; absent = as it was when this agent was enrolled.
    pub address: Option<String>,
    /// Whether the line is paid by the octet (LTE): only money, entitlement and sessions travel; interims
    /// once an hour, no log of logins.
    pub metered: bool,
}

/// `[radius]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RadiusConfig {
    /// Where logins are answered (UDP). Best the address the routers know, on the site's side only.
    pub auth: SocketAddr,
    /// Where accounting is answered (UDP).
    pub acct: SocketAddr,
    /// Where RADIUS in TLS is answered (TCP, usually port 2083); absent = nowhere.
    pub radsec: Option<SocketAddr>,
}

/// `[portal]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Portal {
    /// Where the hotspot pages are served.
    pub listen: SocketAddr,
}

/// `[status]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Status {
    /// Where this box tells how it is; loopback, because it tells who is online.
    pub listen: SocketAddr,
}

/// `[site]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SiteConfig {
    /// Networks in which routers may be found and dialled.
    pub ranges: Vec<IpNet>,
}

/// `[peers]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeersConfig {
    /// Where the site's other agents are heard (TCP, on the site's side).
    pub listen: SocketAddr,
    /// Where they find this one, when that is not where it listens (a tunnel, a translated address).
    pub announce: Option<SocketAddr>,
}

/// `[neighbours]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NeighboursConfig {
    /// Where routers around are heard announcing themselves (UDP, MNDP), to be offered to who looks for one.
    pub listen: SocketAddr,
}

/// `[upstream]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Hosts on the internet, `ADDRESS:PORT` (TCP), by which it is told whether the site reaches it: when none answers
    /// it does not. Empty = it is not measured, nor on a metered line.
    pub hosts: Vec<SocketAddr>,
}

/// `[syslog]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyslogConfig {
    /// Where routers are heard writing to their logs (UDP, RFC 3164 and 5424); the script that sets a router up names
    /// port 5514.
    pub listen: SocketAddr,
}

/// `[wizard]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WizardConfig {
    /// Where a router that this box brings up by itself fetches its script (TCP, on the site's side); nothing listens
    /// while none is awaited.
    pub listen: SocketAddr,
}

/// `[access]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessConfig {
    /// Whether operators may come through this box to devices of the site, for a limited time.
    pub allow: bool,
    /// TCP ports that they reach at routers.
    pub router_ports: Vec<u16>,
    /// TCP ports that they reach at devices of customers who are online.
    pub customer_ports: Vec<u16>,
}

/// `[store]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Whether the disk is a memory card that is to last: what is written waits for company, at most 250 ms and
    /// half of the shortest time-out that a router shows. Each answer still follows its sync.
    pub save_wear: bool,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What is written: `info`, or a filter such as `info,easyisp_agent::radius=debug`.
    pub filter: String,
    /// Text for people or JSON for machines.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data_dir: "/var/lib/easyisp-agent".into(),
            cloud: Cloud::default(),
            radius: RadiusConfig::default(),
            portal: Portal::default(),
            status: Status::default(),
            site: SiteConfig::default(),
            peers: PeersConfig::default(),
            neighbours: NeighboursConfig::default(),
            upstream: UpstreamConfig::default(),
            syslog: SyslogConfig::default(),
            wizard: WizardConfig::default(),
            access: AccessConfig::default(),
            store: StoreConfig::default(),
            log: Log::default(),
        }
    }
}

impl Default for RadiusConfig {
    fn default() -> RadiusConfig {
        RadiusConfig {
            auth: (Ipv4Addr::UNSPECIFIED, 1812).into(),
            acct: (Ipv4Addr::UNSPECIFIED, 1813).into(),
            radsec: None,
        }
    }
}

impl Default for Portal {
    fn default() -> Portal {
        Portal {
            listen: (Ipv4Addr::UNSPECIFIED, 8081).into(),
        }
    }
}

impl Default for Status {
    fn default() -> Status {
        Status {
            listen: (Ipv4Addr::LOCALHOST, 9091).into(),
        }
    }
}

impl Default for PeersConfig {
    fn default() -> PeersConfig {
        PeersConfig {
            listen: (Ipv4Addr::UNSPECIFIED, 1814).into(),
            announce: None,
        }
    }
}

impl Default for NeighboursConfig {
    fn default() -> NeighboursConfig {
        NeighboursConfig {
            listen: (Ipv4Addr::UNSPECIFIED, 5678).into(),
        }
    }
}

impl Default for UpstreamConfig {
    /// Name servers that many stand behind each, of three houses.
    fn default() -> UpstreamConfig {
        let hosts = [[1, 1, 1, 1], [8, 8, 8, 8], [9, 9, 9, 9]];
        UpstreamConfig {
            hosts: hosts.map(|host| (host, 443).into()).to_vec(),
        }
    }
}

impl Default for SyslogConfig {
    fn default() -> SyslogConfig {
        SyslogConfig {
            listen: (Ipv4Addr::UNSPECIFIED, SYSLOG_PORT).into(),
        }
    }
}

impl Default for WizardConfig {
    fn default() -> WizardConfig {
        WizardConfig {
            listen: (Ipv4Addr::UNSPECIFIED, 8082).into(),
        }
    }
}

impl Default for AccessConfig {
    /// WinBox and pages.
    fn default() -> AccessConfig {
        AccessConfig {
            allow: true,
            router_ports: vec![8291, 80, 443],
            customer_ports: vec![80, 443, 8080],
        }
    }
}

impl Default for SiteConfig {
    /// The private ranges (RFC 1918, RFC 6598, RFC 4193).
    fn default() -> SiteConfig {
        let private = [
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",
            "fc00::/7",
        ];
        SiteConfig {
            ranges: private
                .iter()
                .map(|range| range.parse().expect("a network"))
                .collect(),
        }
    }
}

impl Default for Log {
    fn default() -> Log {
        Log {
            filter: "info".into(),
            format: LogFormat::Text,
        }
    }
}

/// Every key: its section (empty = none), its name, whether it is a list.
const KEYS: &[(&str, &str, Form)] = &[
    ("", "data_dir", Form::Text),
    ("cloud", "address", Form::Text),
    ("cloud", "metered", Form::Flag),
    ("radius", "auth", Form::Text),
    ("radius", "acct", Form::Text),
    ("radius", "radsec", Form::Text),
    ("portal", "listen", Form::Text),
    ("status", "listen", Form::Text),
    ("site", "ranges", Form::List),
    ("peers", "listen", Form::Text),
    ("peers", "announce", Form::Text),
    ("neighbours", "listen", Form::Text),
    ("upstream", "hosts", Form::List),
    ("syslog", "listen", Form::Text),
    ("wizard", "listen", Form::Text),
    ("access", "allow", Form::Flag),
    ("access", "router_ports", Form::Numbers),
    ("access", "customer_ports", Form::Numbers),
    ("store", "save_wear", Form::Flag),
    ("log", "filter", Form::Text),
    ("log", "format", Form::Text),
];

#[derive(Clone, Copy)]
enum Form {
    Text,
    /// `true` or `false`.
    Flag,
    /// Separated by commas.
    List,
    /// The same of numbers.
    Numbers,
}

impl Config {
    /// From a file's text (empty for none) and environment variables, which win.
    pub fn read(
        file: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let mut table: Table = file
            .parse()
            .map_err(|error| ConfigError(format!("not valid TOML: {error}")))?;
        overlay(&mut table, environment)?;
        known_keys(&table)?;
        let config: Config = table
            .try_into()
            .map_err(|error: toml::de::Error| ConfigError(error.to_string().trim().to_owned()))?;
        config.check()?;
        Ok(config)
    }

    /// From a file and this process's environment.
    pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
        let text = match file {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| ConfigError(format!("cannot read {}: {error}", path.display())))?,
        };
        Config::read(&text, std::env::vars()).map_err(|ConfigError(what)| match file {
            Some(path) => ConfigError(format!("{}: {what}", path.display())),
            None => ConfigError(what),
        })
    }

    /// Where this agent's identity is kept.
    pub fn identity_folder(&self) -> PathBuf {
        self.data_dir.join(IDENTITY_FOLDER)
    }

    /// The local address CoA leaves from: the one the routers send to.
    pub fn radius_address(&self) -> IpAddr {
        self.radius.auth.ip()
    }

    fn check(&self) -> Result<(), ConfigError> {
        let Some(address) = &self.cloud.address else {
            return Ok(());
        };
        match address.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(()),
            Some(_) | None => Err(ConfigError("[cloud] address must be HOST:PORT".into())),
        }
    }
}

/// Every setting with its variable, for `--help`.
pub fn variables() -> String {
    let lines = KEYS.iter().map(|(section, key, _)| match *section {
        "" => format!("  {key:<18} {}\n", variable(section, key)),
        section => {
            let name = format!("[{section}] {key}");
            format!("  {name:<18} {}\n", variable(section, key))
        }
    });
    lines.collect()
}

fn overlay(
    table: &mut Table,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    for (name, text) in environment {
        if !name.starts_with("EASYISP_") {
            continue;
        }
        let known = KEYS
            .iter()
            .find(|(section, key, _)| variable(section, key) == name);
        let Some((section, key, form)) = known else {
            return Err(ConfigError(format!(
                "unknown environment variable {name}; `easyisp-agent --help` lists them"
            )));
        };
        let value = match form {
            Form::Text => Value::String(text),
            Form::Flag => match text.parse() {
                Ok(flag) => Value::Boolean(flag),
                Err(_) => {
                    return Err(ConfigError(format!("{name} must be true or false")));
                }
            },
            Form::List => text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| Value::String(part.to_owned()))
                .collect::<Vec<_>>()
                .into(),
            Form::Numbers => {
                let numbers = text
                    .split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(|part| part.parse().map(Value::Integer));
                let numbers: Result<Vec<Value>, _> = numbers.collect();
                let wrong = |_| ConfigError(format!("{name} must be numbers separated by commas"));
                Value::Array(numbers.map_err(wrong)?)
            }
        };
        if section.is_empty() {
            table.insert((*key).into(), value);
            continue;
        }
        let inner = table
            .entry(*section)
            .or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(inner) = inner else {
            return Err(ConfigError(format!("[{section}] must be a section")));
        };
        inner.insert((*key).into(), value);
    }
    Ok(())
}

fn known_keys(table: &Table) -> Result<(), ConfigError> {
    let known = |section: &str, key: &str| {
        KEYS.iter()
            .any(|(held, name, _)| *held == section && *name == key)
    };
    for (name, value) in table {
        match value {
            Value::Table(inner) => {
                if let Some(key) = inner.keys().find(|key| !known(name, key)) {
                    return Err(ConfigError(format!("unknown key {key} in [{name}]")));
                }
                if !KEYS.iter().any(|(section, ..)| section == name) {
                    return Err(ConfigError(format!("unknown section [{name}]")));
                }
            }
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => {
                if !known("", name) {
                    return Err(ConfigError(format!("unknown key {name}")));
                }
            }
        }
    }
    Ok(())
}

fn variable(section: &str, key: &str) -> String {
    let name = match section {
        "" => format!("EASYISP_{key}"),
        section => format!("EASYISP_{section}_{key}"),
    };
    name.to_ascii_uppercase()
}

/// A setting that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("configuration: {0}")]
pub struct ConfigError(String);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let pairs = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::read(file, pairs).map_err(|error| error.to_string())
    }

    #[test]
    fn variables_win_over_the_file_and_defaults_fill_the_rest() {
        let file = "data_dir = \"/a\"\n[radius]\nauth = \"127.0.0.1:11812\"";
        let environment = [
            ("EASYISP_DATA_DIR", "/b"),
            ("EASYISP_SITE_RANGES", "10.0.0.0/8, 127.0.0.0/8"),
            ("PATH", "/bin"),
        ];
        let config = read(file, &environment).unwrap();
        assert_eq!(config.data_dir, Path::new("/b"));
        assert_eq!(config.radius.auth.port(), 11812);
        assert_eq!(config.radius.acct.port(), 1813);
        assert_eq!(config.site.ranges.len(), 2);
        assert_eq!(config.status.listen, ([127, 0, 0, 1], 9091).into());
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (file, name) in [
            ("[radius]\nauht = \"x\"", "auht"),
            ("[radios]\nauth = \"x\"", "radios"),
            ("datadir = \"x\"", "datadir"),
            ("[radius]\nauth = \"x\"", "auth"),
            ("[cloud]\naddress = \"host\"", "address"),
        ] {
            let error = read(file, &[]).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
        let error = read("", &[("EASYISP_RADIUS_AUHT", "x")]).unwrap_err();
        assert!(error.contains("EASYISP_RADIUS_AUHT"), "{error}");
    }

    #[test]
    fn every_key_of_the_list_exists() {
        let file = "data_dir = \"/a\"\n[cloud]\naddress = \"a:1\"\nmetered = true\n[radius]\nauth = \"0.0.0.0:1\"\n\
            acct = \"0.0.0.0:1\"\nradsec = \"0.0.0.0:1\"\n[portal]\nlisten = \"0.0.0.0:1\"\n[status]\nlisten = \"0.0.0.0:1\"\n\
            [site]\nranges = []\n[peers]\nlisten = \"0.0.0.0:1\"\nannounce = \"10.0.0.2:1\"\n[neighbours]\nlisten = \"0.0.0.0:1\"\n\
            [upstream]\nhosts = []\n[syslog]\nlisten = \"0.0.0.0:1\"\n[wizard]\nlisten = \"0.0.0.0:1\"\n[access]\nallow = false\nrouter_ports = [1]\ncustomer_ports = []\n[store]\nsave_wear = true\n[log]\nfilter = \"info\"\nformat = \"json\"";
        let table: Table = file.parse().unwrap();
        let leaves: usize = table
            .values()
            .map(|value| value.as_table().map_or(1, Table::len))
            .sum();
        assert_eq!(leaves, KEYS.len());
        read(file, &[]).unwrap();
    }
}
