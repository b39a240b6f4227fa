//! A small site written down by hand, for tests and for a first look without a cloud.
//!
//! It becomes the same feed rows that the cloud would send, so there is no second way to decide.

use std::net::{IpAddr, Ipv4Addr};

use easyisp_shared::entitlement::{RateOverride, Reasons, Refusal, Standing, Tier, Window};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{CustomerId, PackageId, RouterId};
use easyisp_shared::net::{Mac, RateLimit};
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::down::{
    Connection, KeepersV1, MessageAuthenticator, MovingMode, MovingV1, PackageV1, PolicyV1,
    RouterApiV1, RouterV1, SubscriberV1, UsedV1, secret_place,
};
use easyisp_shared::wire::{Down, DownKind, DownRecord};
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use uuid::Uuid;

/// A site in plain words; JSON with these names describes one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Description {
    /// What customers buy.
    pub packages: Vec<PackageWords>,
    /// Routers.
    pub routers: Vec<RouterWords>,
    /// Customers.
    pub subscribers: Vec<SubscriberWords>,
    /// Seconds of service after the paid end.
    pub grace_secs: u32,
    /// What happens to who may not be online.
    pub refusal: Refusal,
    /// To how many devices first logins bind; 0 = to none.
    pub bind_macs: u8,
    /// Whether one device more takes the place of the oldest.
    pub bind_oldest_out: bool,
}

/// A package in plain words.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PackageWords {
    /// Its name, by which subscribers refer to it.
    pub name: String,
    /// Upload, kbit/s.
    pub up_kbps: u32,
    /// Download, kbit/s.
    pub down_kbps: u32,
    /// Devices at once.
    pub devices: u16,
    /// Bytes per period.
    #[serde(default)]
    pub data_limit: Option<u64>,
    /// Seconds online per period.
    #[serde(default)]
    pub time_limit_secs: Option<u64>,
    /// Slower speeds from some usage on.
    #[serde(default)]
    pub fair_use: Vec<Tier>,
    /// Hours with rules of their own.
    #[serde(default)]
    pub schedule: Vec<Window>,
}

/// A router in plain words.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouterWords {
    /// Its name.
    pub name: String,
    /// Where CoA goes.
    pub address: IpAddr,
    /// Where its requests come from.
    pub source: IpNet,
    /// The RADIUS secret.
    pub secret: SecretString,
    /// Where it takes CoA and Disconnect.
    pub coa_port: u16,
    /// Whether Message-Authenticator is required from the first packet.
    #[serde(default)]
    pub require_signature: bool,
    /// How to enter its API.
    #[serde(default)]
    pub api: Option<ApiWords>,
    /// An old RADIUS server behind it.
    #[serde(default)]
    pub moving: Option<MovingWords>,
}

/// An old RADIUS server in plain words.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MovingWords {
    /// Who answers.
    pub mode: MovingMode,
    /// Where it is.
    pub address: IpAddr,
    /// Its port for logins.
    pub auth_port: u16,
    /// Its port for accounting.
    pub acct_port: u16,
    /// What it shares with the agent.
    pub secret: SecretString,
    /// Whether it hears of known users' sessions too.
    #[serde(default)]
    pub copy_accounting: bool,
}

/// A router's API in plain words.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiWords {
    /// TCP port.
    pub port: u16,
    /// Whether it speaks TLS.
    #[serde(default)]
    pub tls: bool,
    /// User.
    pub user: String,
    /// Password.
    pub password: SecretString,
}

/// A subscriber in plain words.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriberWords {
    /// What he types.
    pub username: String,
    /// His password.
    pub password: SecretString,
    /// The package's name.
    pub package: String,
    /// End of the paid period.
    pub paid_until: Timestamp,
    /// PPPoE unless said otherwise.
    #[serde(default = "pppoe")]
    pub connection: Connection,
    /// Active unless said otherwise.
    #[serde(default = "active")]
    pub standing: Standing,
    /// Devices he is locked to.
    #[serde(default)]
    pub macs: Vec<Mac>,
    /// His own address.
    #[serde(default)]
    pub static_ip: Option<Ipv4Addr>,
    /// A boost or override.
    #[serde(default)]
    pub rate_override: Option<RateOverride>,
}

impl Description {
    /// The feed rows that say the same, their secrets sealed under `key`, all of one `version`.
    ///
    /// Ids follow from the names, so a changed description changes the rows it should.
    pub fn rows(&self, key: &SealKey, entropy: &Entropy, version: u64) -> Vec<DownRecord> {
        let packages = self.packages.iter().map(PackageWords::row);
        let routers = self.routers.iter().map(|words| words.row(key, entropy));
        let moving = self
            .routers
            .iter()
            .filter_map(|words| words.moving(key, entropy));
        let subscribers = self.subscribers.iter().map(|words| words.row(key, entropy));
        std::iter::once(self.policy())
            .chain(packages)
            .chain(routers)
            .chain(moving)
            .chain(subscribers)
            .map(|(id, down)| DownRecord {
                kind: down.kind().code(),
                id,
                version,
                body: Some(down.encode()),
            })
            .collect()
    }

    fn policy(&self) -> (Uuid, Down) {
        let policy = PolicyV1 {
            grace_secs: self.grace_secs,
            refusal: self.refusal,
            garden_for: Reasons::MONEY,
            garden_list: "garden".into(),
            garden_pool: None,
            garden_profile: None,
            garden_rate: RateLimit::mbps(1, 1),
            portal_url: None,
            lease_until: None,
            zone: "Africa/Nairobi".into(),
            provider_name: "EasyISP".into(),
            voucher_key: Vec::new(),
            keepers: KeepersV1::default(),
            agents: Vec::new(),
            mac_login: false,
            remembered_macs: 0,
            bind_macs: self.bind_macs,
            bind_oldest_out: self.bind_oldest_out,
        };
        (Uuid::nil(), Down::Policy(policy))
    }
}

impl PackageWords {
    fn row(&self) -> (Uuid, Down) {
        let package = package_id(&self.name);
        let row = PackageV1 {
            package,
            name: self.name.clone(),
            rate: RateLimit {
                up_kbps: self.up_kbps,
                down_kbps: self.down_kbps,
                burst: None,
            },
            session_secs: None,
            data_limit: self.data_limit,
            time_limit_secs: self.time_limit_secs,
            fair_use: self.fair_use.clone(),
            schedule: self.schedule.clone(),
            devices: self.devices,
            idle_secs: None,
            interim_secs: 300,
            pool: None,
            profile: None,
            ipv6_pool: None,
            delegated_pool: None,
            bind_macs: None,
            anti_sharing: false,
            grace_secs: None,
        };
        (package.0, Down::Package(row))
    }
}

impl RouterWords {
    fn row(&self, key: &SealKey, entropy: &Entropy) -> (Uuid, Down) {
        let router = router_id(&self.name);
        let place = secret_place(DownKind::Router, router.0, "secret");
        let row = RouterV1 {
            router,
            name: self.name.clone(),
            address: self.address,
            source: self.source.into(),
            secret: key.seal(&place, self.secret.expose_secret().as_bytes(), entropy),
            previous_secret: None,
            coa_port: self.coa_port,
            message_authenticator: if self.require_signature {
                MessageAuthenticator::Require
            } else {
                MessageAuthenticator::Learn
            },
            api: self.api.as_ref().map(|api| {
                let place = secret_place(DownKind::Router, router.0, "api");
                let password = api.password.expose_secret().as_bytes();
                RouterApiV1 {
                    port: api.port,
                    tls: api.tls,
                    user: api.user.clone(),
                    password: key.seal(&place, password, entropy),
                }
            }),
            ended_certificates: Vec::new(),
            certificates_since: None,
            leases: false,
        };
        (router.0, Down::Router(row))
    }

    fn moving(&self, key: &SealKey, entropy: &Entropy) -> Option<(Uuid, Down)> {
        let (router, words) = (router_id(&self.name), self.moving.as_ref()?);
        let place = secret_place(DownKind::Moving, router.0, "old_secret");
        let row = MovingV1 {
            router,
            mode: words.mode,
            address: words.address,
            auth_port: words.auth_port,
            acct_port: words.acct_port,
            secret: key.seal(&place, words.secret.expose_secret().as_bytes(), entropy),
            copy_accounting: words.copy_accounting,
        };
        Some((router.0, Down::Moving(row)))
    }
}

impl SubscriberWords {
    fn row(&self, key: &SealKey, entropy: &Entropy) -> (Uuid, Down) {
        let customer = customer_id(&self.username);
        let place = secret_place(DownKind::Subscriber, customer.0, "password");
        let row = SubscriberV1 {
            customer,
            username: self.username.clone().into_bytes(),
            password: key.seal(&place, self.password.expose_secret().as_bytes(), entropy),
            connection: self.connection,
            standing: self.standing,
            period_start: Timestamp::default(),
            paid_until: self.paid_until,
            funded_until: Timestamp::default(),
            package: Some(package_id(&self.package)),
            static_ip: self.static_ip,
            macs: self.macs.clone(),
            devices: None,
            router: None,
            rate_override: self.rate_override,
            account: 0,
            remembered_macs: Vec::new(),
            bound_macs: Vec::new(),
            unbound_at: None,
            used: UsedV1::default(),
            routes: Vec::new(),
            ipv6_prefix: None,
            delegated_prefix: None,
        };
        (customer.0, Down::Subscriber(row))
    }
}

/// The id a described customer gets.
pub fn customer_id(username: &str) -> CustomerId {
    CustomerId(named("customer", username))
}

/// The id a described router gets.
pub fn router_id(name: &str) -> RouterId {
    RouterId(named("router", name))
}

/// The id a described package gets.
pub fn package_id(name: &str) -> PackageId {
    PackageId(named("package", name))
}

fn named(kind: &str, name: &str) -> Uuid {
    use sha2::{Digest, Sha256};

    let hash = Sha256::new()
        .chain_update(kind)
        .chain_update([0])
        .chain_update(name)
        .finalize();
    let (first, _) = hash.split_first_chunk::<16>().expect("32 is over 16");
    uuid::Builder::from_sha1_bytes(*first).into_uuid()
}

fn pppoe() -> Connection {
    Connection::Pppoe
}

fn active() -> Standing {
    Standing::Active
}
