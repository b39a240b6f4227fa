//! Every setting: one TOML file, each key also an environment variable `EASYISP_<SECTION>_<KEY>`.
//!
//! Read once at start. An unknown key, a bad value and an unknown variable are errors that name the key and
//! say what to write.

mod keys;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use easyisp_shared::money::Cents;
use ipnet::IpNet;
use secrecy::SecretString;
use serde::Deserialize;

/// The cloud's settings, checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the private cluster, the keys and uploads live.
    pub data_dir: PathBuf,
    /// `[http]`: API, console, health.
    pub http: Http,
    /// `[agents]`: the agents' door.
    pub agents: Agents,
    /// `[access]`: ways to devices.
    pub access: AccessConfig,
    /// `[nodes]`: the other nodes of this cloud.
    pub nodes: Nodes,
    /// `[database]`
    pub database: DatabaseConfig,
    /// `[keys]`
    pub keys: Keys,
    /// `[mpesa]`: how M-Pesa is reached, and the platform's own short code.
    pub mpesa: Mpesa,
    /// `[airtel]`: how Airtel Money is reached.
    pub airtel: Airtel,
    /// `[sms]`
    pub sms: Sms,
    /// `[fiscal]`
    pub fiscal: Fiscal,
    /// `[smtp]`
    pub smtp: Smtp,
    /// `[webhooks]`
    pub webhooks: Webhooks,
    /// `[metrics]`
    pub metrics: MetricsConfig,
    /// `[limits]`
    pub limits: Limits,
    /// `[log]`
    pub log: Log,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            data_dir: "/var/lib/easyisp-cloud".into(),
            http: Http::default(),
            agents: Agents::default(),
            access: AccessConfig::default(),
            nodes: Nodes::default(),
            database: DatabaseConfig::default(),
            keys: Keys::default(),
            mpesa: Mpesa::default(),
            airtel: Airtel::default(),
            sms: Sms::default(),
            fiscal: Fiscal::default(),
            smtp: Smtp::default(),
            webhooks: Webhooks::default(),
            metrics: MetricsConfig::default(),
            limits: Limits::default(),
            log: Log::default(),
        }
    }
}

/// `[http]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// How the world reaches it: `https://isp.example.com`. Callbacks and links start with it.
    pub public_url: Option<String>,
    /// Origins whose pages may call the API.
    pub allowed_origins: Vec<String>,
    /// Networks of proxies whose X-Forwarded-For counts.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for Http {
    fn default() -> Http {
        Http {
            listen: (Ipv4Addr::UNSPECIFIED, 8080).into(),
            public_url: None,
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// `[agents]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Agents {
    /// Where agents connect (UDP).
    pub listen: SocketAddr,
    /// Where agents connect whose line lets no UDP through (TCP); absent = the same address and port.
    /// Agents try the port they know and then 443.
    pub tcp_listen: Option<Vec<SocketAddr>>,
    /// How agents reach it: `isp.example.com:4433`. Stands in the enrolment command.
    pub public_address: Option<String>,
}

impl Default for Agents {
    fn default() -> Agents {
        Agents {
            listen: (Ipv4Addr::UNSPECIFIED, 4433).into(),
            tcp_listen: None,
            public_address: None,
        }
    }
}

impl Agents {
    /// Where TCP is listened on.
    pub fn tcp(&self) -> Vec<SocketAddr> {
        match &self.tcp_listen {
            Some(listen) => listen.clone(),
            None => vec![self.listen],
        }
    }
}

/// `[access]`: where operators come in who open a way to a device of a site.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessConfig {
    /// The address to listen on; each way has a port of its own there, which takes its operator's address alone.
    /// Absent = no way is opened.
    pub listen: Option<IpAddr>,
    /// How operators reach it: a host name of its own, so that browsers share nothing with the console's. Absent =
    /// `listen`. With `*.` before it each way has a name of its own, so that browsers share nothing between two devices
    /// either; all of those names must lead to `listen`.
    pub host: Option<String>,
    /// The certificate that pages are shown by (PEM, with what proves it); absent = they are shown without TLS.
    pub certificate: Option<PathBuf>,
    /// Its key (PEM).
    pub key: Option<PathBuf>,
    /// The first and the last port.
    pub ports: (u16, u16),
}

impl Default for AccessConfig {
    fn default() -> AccessConfig {
        AccessConfig {
            listen: None,
            host: None,
            certificate: None,
            key: None,
            ports: (42_000, 42_999),
        }
    }
}

/// `[nodes]`: for a cloud of several nodes on one database, with one master key.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Nodes {
    /// Where the other nodes pass questions on to this one's agents: `10.0.0.5:4434`. Absent = there are none.
    pub listen: Option<SocketAddr>,
    /// How they reach it; absent = `listen`.
    pub address: Option<String>,
}

impl Nodes {
    /// How other nodes reach this one; `None` = there are none.
    pub fn reached_at(&self) -> Option<String> {
        let listen = self.listen?;
        Some(self.address.clone().unwrap_or_else(|| listen.to_string()))
    }
}

/// `[database]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// The application role's connection; absent = a private cluster under `data_dir`.
    pub url: Option<SecretString>,
    /// The owning role's connection, for migrations.
    pub migrate_url: Option<SecretString>,
    /// Connections of this node.
    pub connections: NonZeroU32,
}

impl Default for DatabaseConfig {
    fn default() -> DatabaseConfig {
        DatabaseConfig {
            url: None,
            migrate_url: None,
            connections: number(20),
        }
    }
}

/// `[keys]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// The master key; absent = `data_dir/keys/master.key`.
    pub master_key_file: Option<PathBuf>,
}

/// `[mpesa]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mpesa {
    /// Calls this address in place of Safaricom's (both environments).
    pub base_url: Option<String>,
    /// The platform's own short code, a paybill: it collects for those tenants for whom the platform's people switch
    /// that on. Absent = it collects for nobody.
    pub shortcode: Option<String>,
    /// True: the short code is of M-Pesa's sandbox.
    pub sandbox: bool,
    /// File with its consumer key. This file and those below are read when they are used, so new ones need no
    /// restart.
    pub consumer_key_file: Option<PathBuf>,
    /// File with its consumer secret.
    pub consumer_secret_file: Option<PathBuf>,
    /// File with its passkey.
    pub passkey_file: Option<PathBuf>,
    /// Who pays out in its name what it collected.
    pub initiator_name: Option<String>,
    /// File with his password.
    pub initiator_password_file: Option<PathBuf>,
    /// Networks that callbacks come from: the addresses M-Pesa publishes. A callback from elsewhere, and
    /// every one while the list is empty, waits for our own query, about a second. Nobody can be asked about
    /// money that payers send by themselves: told of from elsewhere, and while the list is empty, it waits for a
    /// person. What M-Pesa answers later, about a receipt or a refund, is believed from here alone.
    pub sources: Vec<IpNet>,
    /// File with the certificate (PEM) that M-Pesa publishes for its production environment: initiators'
    /// passwords are encrypted with it. Read when it is used, so a new one needs no restart.
    pub certificate_file: Option<PathBuf>,
    /// The same for its sandbox.
    pub sandbox_certificate_file: Option<PathBuf>,
}

/// `[airtel]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Airtel {
    /// Calls this address in place of Airtel's own (both environments).
    pub base_url: Option<String>,
}

/// `[sms]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sms {
    /// Calls this address in place of every gateway's.
    pub base_url: Option<String>,
    /// File with the API key of the platform's account at the gateway.
    pub api_key_file: Option<PathBuf>,
    /// The account's partner id.
    pub partner_id: Option<String>,
    /// What messages come from.
    pub sender_id: Option<String>,
    /// The most texts of one tenant in a day (20,000 when absent), receipts and bills as many again: all of them go
    /// through the platform's account and are paid by it.
    pub texts_per_day: Option<u32>,
    /// The same of a tenant that tries it out: 100 when absent.
    pub trial_texts_per_day: Option<u32>,
    /// What a part of a text costs a tenant, `"0.80"`: taken out of the SMS balance that the platform's owner adds to, and
    /// nothing is sent that this does not cover. Absent = the platform pays, and nobody's balance is touched.
    pub price: Option<String>,
}

/// `[fiscal]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fiscal {
    /// Calls this address in place of every state's own system.
    pub base_url: Option<String>,
}

/// `[smtp]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Smtp {
    /// The mail server; absent = no mail.
    pub host: Option<String>,
    /// Its port; absent = 465 with `implicit` TLS, else 587.
    pub port: Option<u16>,
    /// How the connection is protected: `starttls` (absent), `implicit`, or `none`, for a server on this machine.
    pub tls: Option<SmtpTls>,
    /// The account.
    pub username: Option<String>,
    /// File with its password.
    pub password_file: Option<PathBuf>,
    /// The sender's address.
    pub from: Option<String>,
}

/// How a connection to the mail server is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// It begins in the clear and is refused unless TLS follows.
    Starttls,
    /// From the first byte.
    Implicit,
    /// Not at all.
    None,
}

impl Smtp {
    /// The protection that counts.
    pub fn tls(&self) -> SmtpTls {
        match (self.tls, self.port) {
            (Some(tls), _) => tls,
            (None, Some(465)) => SmtpTls::Implicit,
            (None, _) => SmtpTls::Starttls,
        }
    }

    /// The port that counts.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(match self.tls() {
            SmtpTls::Implicit => 465,
            SmtpTls::Starttls | SmtpTls::None => 587,
        })
    }
}

/// `[webhooks]`: addresses that tenants typed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// Whether they may lead into private networks. Only where every tenant may reach what this server
    /// reaches: one provider on a server of his own, and tests.
    pub allow_private: bool,
    /// File with certificates (PEM) of authorities that are trusted beside the public ones.
    pub ca_file: Option<PathBuf>,
}

/// `[metrics]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Where `/metrics` is served; keep it on loopback or a private network.
    pub listen: SocketAddr,
}

impl Default for MetricsConfig {
    fn default() -> MetricsConfig {
        MetricsConfig {
            listen: (Ipv4Addr::LOCALHOST, 9090).into(),
        }
    }
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests a second of one user.
    pub user_per_second: NonZeroU32,
    /// Requests of one user at once.
    pub user_burst: NonZeroU32,
    /// Requests a second of one tenant.
    pub tenant_per_second: NonZeroU32,
    /// Requests a second of one address on public routes.
    pub address_per_second: NonZeroU32,
    /// Requests of one address on public routes at once.
    pub address_burst: NonZeroU32,
    /// Failed sign-ins of one account in 15 minutes before it has to wait.
    pub account_failures: NonZeroU32,
    /// Failed sign-ins and registrations of one address in 15 minutes before it has to wait.
    pub address_failures: NonZeroU32,
    /// Registrations of one address in an hour.
    pub registrations: NonZeroU32,
    /// How long hashing a password should take; more work is chosen at start to reach it. 0 = the floor.
    pub password_millis: u32,
    /// Agents connected to this node at once.
    pub agents: NonZeroU32,
    /// HTTP connections in total.
    pub connections: NonZeroU32,
    /// HTTP connections of one address.
    pub connections_per_address: NonZeroU32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            user_per_second: number(20),
            user_burst: number(40),
            tenant_per_second: number(100),
            address_per_second: number(20),
            address_burst: number(40),
            account_failures: number(10),
            address_failures: number(100),
            registrations: number(20),
            password_millis: 100,
            agents: number(5_000),
            connections: number(10_000),
            connections_per_address: number(1_000),
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What is written: `info`, or a filter such as `info,easyisp_cloud::payments=debug`.
    pub filter: String,
    /// Text for people or JSON for machines.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Log {
        Log {
            filter: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
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

impl Config {
    /// From a file's text (empty for none) and environment variables.
    pub fn read(
        file: &str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        let mut table: toml::Table = file
            .parse()
            .map_err(|error: toml::de::Error| ConfigError(format!("not valid TOML: {error}")))?;
        keys::overlay(&mut table, environment)?;
        let config: Config = serde_path_to_error::deserialize(table).map_err(|error| {
            let text = error.inner().message().to_owned();
            ConfigError(keys::explain(&error.path().to_string(), &text))
        })?;
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

    /// The environment variables there are.
    pub fn variables() -> impl Iterator<Item = String> {
        keys::variables()
    }

    /// The file of the master key.
    pub fn master_key_file(&self) -> PathBuf {
        match &self.keys.master_key_file {
            Some(file) => file.clone(),
            None => self.data_dir.join("keys/master.key"),
        }
    }

    /// How agents reach this cloud, for the command that an operator pastes: as configured, else the host
    /// of `public_url` or of this request, at the port of the agents' door.
    pub fn agents_address(&self, request_host: Option<&str>) -> String {
        if let Some(address) = &self.agents.public_address {
            return address.clone();
        }
        let host = self.public_host().or(request_host.map(host_of));
        let host = host.unwrap_or("localhost");
        format!("{host}:{}", self.agents.listen.port())
    }

    fn public_host(&self) -> Option<&str> {
        let url = self.http.public_url.as_deref()?;
        url.split("://").nth(1).map(host_of)
    }

    /// Browsers send what they keep of a name to every port of it: a page of somebody's device at the console's name
    /// would be told the console's session.
    fn check_access(&self) -> Result<(), ConfigError> {
        let Some(listen) = self.access.listen else {
            return Ok(());
        };
        let say = |what: &str| Err(ConfigError(format!("[access] host {what}")));
        let host = match &self.access.host {
            Some(host) => host.clone(),
            None if listen.is_unspecified() => {
                return say(
                    "must say how operators reach it, where [access] listen names no address",
                );
            }
            None => listen.to_string(),
        };
        let name = host.strip_prefix("*.").unwrap_or(&host);
        let has_port = name.contains(':') && name.parse::<IpAddr>().is_err();
        if name.is_empty() || has_port || name.contains(['*', '/', '@', '?', '#', ' ', '[']) {
            return say("must be a name or an address, without a port; or `*.` and a name");
        }
        if self.access.certificate.is_some() != self.access.key.is_some() {
            let what = "[access] certificate and [access] key must be set together";
            return Err(ConfigError::new(what));
        }
        let is_consoles = |console: &str| {
            let (console, name) = (console.to_ascii_lowercase(), name.to_ascii_lowercase());
            console == name || (name != host && console.ends_with(&format!(".{name}")))
        };
        match self.public_host() {
            Some(console) if is_consoles(console) => say(
                "must be another name than that of [http] public_url, such as devices.isp.example.com",
            ),
            Some(_) | None => Ok(()),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.check_access()?;
        let say = |key: &str, what: &str| Err(ConfigError(format!("{key} {what}")));
        for (key, url) in [
            ("[http] public_url", &self.http.public_url),
            ("[mpesa] base_url", &self.mpesa.base_url),
            ("[airtel] base_url", &self.airtel.base_url),
            ("[sms] base_url", &self.sms.base_url),
            ("[fiscal] base_url", &self.fiscal.base_url),
        ] {
            if url.as_ref().is_some_and(|url| !is_base(url)) {
                return say(
                    key,
                    "must be like https://isp.example.com, without a slash at the end",
                );
            }
        }
        let price = self.sms.price.as_deref().map(Cents::parse);
        if price.is_some_and(|price| !price.is_ok_and(Cents::is_positive)) {
            return say("[sms] price", "must be an amount such as \"0.80\"");
        }
        if let Some(code) = &self.mpesa.shortcode {
            if !(4..=10).contains(&code.len()) || !code.bytes().all(|digit| digit.is_ascii_digit())
            {
                return say("[mpesa] shortcode", "must be 4 to 10 digits");
            }
            for (key, there) in [
                (
                    "[mpesa] consumer_key_file",
                    self.mpesa.consumer_key_file.is_some(),
                ),
                (
                    "[mpesa] consumer_secret_file",
                    self.mpesa.consumer_secret_file.is_some(),
                ),
                ("[mpesa] passkey_file", self.mpesa.passkey_file.is_some()),
                (
                    "[mpesa] initiator_name",
                    self.mpesa.initiator_name.is_some(),
                ),
                (
                    "[mpesa] initiator_password_file",
                    self.mpesa.initiator_password_file.is_some(),
                ),
            ] {
                if !there {
                    return say(key, "must be set beside [mpesa] shortcode");
                }
            }
        }
        if !self
            .http
            .allowed_origins
            .iter()
            .all(|origin| is_base(origin))
        {
            return say(
                "[http] allowed_origins",
                "must be a list of origins like https://app.example.com, without a path",
            );
        }
        for (key, address) in [
            ("[agents] public_address", &self.agents.public_address),
            ("[nodes] address", &self.nodes.address),
        ] {
            if address
                .as_ref()
                .is_some_and(|address| !is_host_port(address))
            {
                return say(key, "must be HOST:PORT");
            }
        }
        match (&self.nodes.listen, &self.nodes.address) {
            (None, Some(_)) => say("[nodes] listen", "must be set beside [nodes] address"),
            (Some(listen), None) if listen.ip().is_unspecified() => say(
                "[nodes] address",
                "must say how other nodes reach this one, where [nodes] listen names no address",
            ),
            (_, _) => Ok(()),
        }
    }
}

fn is_host_port(address: &str) -> bool {
    let fits = |(host, port): (&str, &str)| {
        !host.is_empty() && !host.contains(['/', '@', '?', '#', ' ']) && port.parse::<u16>().is_ok()
    };
    address.len() <= 262 && address.rsplit_once(':').is_some_and(fits)
}

/// What stands before the port and the path.
fn host_of(address: &str) -> &str {
    let host = address.split('/').next().unwrap_or(address);
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

fn is_base(url: &str) -> bool {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.ends_with('/') && !rest.contains([' ', '?', '#'])
    })
}

const fn number(n: u32) -> NonZeroU32 {
    match NonZeroU32::new(n) {
        Some(n) => n,
        None => panic!("a default is not zero"),
    }
}

/// A setting that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("configuration: {0}")]
pub struct ConfigError(String);

impl ConfigError {
    fn new(what: impl Into<String>) -> ConfigError {
        ConfigError(what.into())
    }
}

#[cfg(test)]
mod tests;
