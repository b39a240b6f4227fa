//! Our agent, alone at its site: enrolled, its feed in the cache, its cloud out of reach.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use easyisp_agent::config::Config;
use easyisp_agent::radius::Secret;
use easyisp_agent::store::{CachePosition, Snapshot, Store};
use easyisp_agent::sync::Draft;
use easyisp_agent::{Agent, AgentOptions, Source};
use easyisp_shared::entitlement::{Reasons, Refusal, Standing};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{AgentId, CustomerId, PackageId, RouterId, SiteId, TenantId};
use easyisp_shared::net::RateLimit;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Clock;
use easyisp_shared::wire::down::{
    Connection, MessageAuthenticator, Network, PackageV1, PolicyV1, RouterV1, SubscriberV1, UsedV1,
    secret_place,
};
use easyisp_shared::wire::enroll::EnrolledV1;
use easyisp_shared::wire::{Down, DownRecord};
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::child::{SERVER_CORE, Server, serve_until_told};
use crate::load::users::User;
use crate::load::{self};
use crate::peers::SECRET;
use crate::radius::{Effort, Figures, Target};
use crate::table::{Row, mebibytes};

/// A running agent.
pub struct Ours {
    auth: SocketAddr,
    acct: SocketAddr,
    server: Server,
    /// From the start of the process to its first right answers.
    ready_after: Duration,
}

impl Ours {
    /// Starts an agent below `folder` whose cache holds so many subscribers.
    pub fn start(folder: &Path, users: u32) -> Result<Ours> {
        fill(folder, users)?;
        let begun = Instant::now();
        let (server, ports) = Server::start_self("agent", SERVER_CORE, folder)?;
        let (auth, acct) = ports.split_once(' ').context("two addresses")?;
        let (auth, acct) = (auth.parse()?, acct.parse()?);
        load::check(
            auth,
            &Secret::new(SECRET.as_bytes()),
            Duration::from_secs(10),
        )?;
        Ok(Ours {
            auth,
            acct,
            server,
            ready_after: begun.elapsed(),
        })
    }
}

/// The agent's figures with all users.
pub fn measure(folder: &Path, wants: impl Fn(&str) -> bool, effort: Effort) -> Result<Figures> {
    let secret = Secret::new(SECRET.as_bytes());
    let ours = Ours::start(&folder.join("agent"), effort.users)?;
    let mut target = Target {
        name: "EasyISP agent",
        auth: ours.auth,
        acct: ours.acct,
        secret: &secret,
        sessions: 1,
    };
    let mut figures = target.measure_all(wants, effort)?;
    figures.memory = ours.server.peak_memory()?;
    println!("  {}: {} at most", target.name, mebibytes(figures.memory));
    ours.server.stop()?;
    Ok(figures)
}

/// A site as most are: 10,000 subscribers, 2,000 of them online.
pub fn ordinary_site(folder: &Path) -> Result<[Row; 2]> {
    let secret = Secret::new(SECRET.as_bytes());
    let ours = Ours::start(&folder.join("ordinary"), 10_000)?;
    let online = load::storm::run(
        ours.auth,
        ours.acct,
        2_000,
        1,
        &secret,
        Duration::from_secs(10),
    )?;
    let memory = ours.server.peak_memory()?;
    let ready = ours.ready_after;
    ours.server.stop()?;
    Ok([
        Row::bound(
            "memory, 10,000 subscribers, 2,000 online",
            &mebibytes(memory),
            "<= 64 MB",
            memory * 1024 <= 64_000_000 && online.online == 2_000,
        ),
        Row::bound(
            "start to first answers, 10,000 subscribers",
            &format!("{:.2} s", ready.as_secs_f64()),
            "<= 1 s",
            ready <= Duration::from_secs(1),
        ),
    ])
}

/// The part that is the agent.
pub fn part(folder: &Path) -> Result<()> {
    let (runtime, agent) = start(folder)?;
    serve_until_told(&format!("{} {}", agent.radius_auth(), agent.radius_acct()))?;
    runtime.block_on(agent.stop());
    Ok(())
}

/// An agent whose files are in `folder`, on free ports.
pub fn start(folder: &Path) -> Result<(Runtime, Agent)> {
    let log = File::create(folder.join("agent.log"))?;
    tracing_subscriber::fmt()
        .with_writer(log)
        .with_ansi(false)
        .init();
    let mut config = Config {
        data_dir: folder.to_path_buf(),
        ..Config::default()
    };
    config.radius.auth = (Ipv4Addr::LOCALHOST, 0).into();
    config.radius.acct = (Ipv4Addr::LOCALHOST, 0).into();
    config.status.listen = (Ipv4Addr::LOCALHOST, 0).into();
    config.portal.listen = (Ipv4Addr::LOCALHOST, 0).into();
    let options = AgentOptions {
        config,
        clock: Clock::system(),
        entropy: Entropy::system(),
        source: Source::Enrolled,
    };
    let runtime = Runtime::new()?;
    let agent = runtime.block_on(Agent::start(options))?;
    Ok((runtime, agent))
}

/// What the rows of a site were made with.
pub struct Filled {
    pub key: SealKey,
    pub package: PackageId,
    /// Everything but the subscribers.
    pub rows: Vec<DownRecord>,
}

/// Writes what enrolment and a first snapshot leave behind.
pub fn fill(folder: &Path, users: u32) -> Result<Filled> {
    let entropy = Entropy::system();
    let key = SealKey::generate(&entropy);
    let enrolled = EnrolledV1 {
        agent: AgentId(Uuid::now_v7()),
        site: SiteId(Uuid::now_v7()),
        tenant: TenantId(Uuid::now_v7()),
        chain: vec![vec![0x30, 0]],
        authorities: vec![vec![0x30, 0]],
        site_key: *key.expose(),
        site_name: "Main site".into(),
        cloud_name: "bench".into(),
        now: Clock::system().now(),
        replaced: None,
    };
    std::fs::create_dir_all(folder)?;
    let identity = Config {
        data_dir: folder.to_path_buf(),
        ..Config::default()
    };
    // Nobody listens on the discard port: the agent stays alone.
    Draft::begin(&identity.identity_folder())?.finish("127.0.0.1:9", &enrolled, None)?;

    let (_, _, mut cache, guard) = Store::open(folder, &entropy, || {})?.split();
    let (package, first) = describe(&key);
    let mut rows = first.clone();
    let mut position = Snapshot::First;
    for first in (0..users).step_by(1000) {
        let some =
            (first..users.min(first + 1000)).map(|user| subscriber(User(user), package, &key));
        rows.extend(some);
        cache.stage(position, &rows)?;
        rows.clear();
        position = Snapshot::More;
    }
    cache.replace(CachePosition {
        epoch: Uuid::now_v7(),
        cursor: VERSION,
    })?;
    drop(cache);
    guard.close();
    Ok(Filled {
        key,
        package,
        rows: first,
    })
}

pub const VERSION: u64 = 1;

fn row(id: Uuid, body: &Down) -> DownRecord {
    DownRecord {
        kind: body.kind().code(),
        id,
        version: VERSION,
        body: Some(body.encode()),
    }
}

/// Policy, the one router, the one package.
fn describe(key: &SealKey) -> (PackageId, Vec<DownRecord>) {
    let policy = PolicyV1 {
        grace_secs: 0,
        refusal: Refusal::Reject,
        garden_for: Reasons::MONEY,
        garden_list: "easyisp-garden".into(),
        garden_pool: None,
        garden_profile: None,
        garden_rate: RateLimit::mbps(1, 1),
        portal_url: None,
        lease_until: None,
        zone: "Africa/Nairobi".into(),
        provider_name: "Bench".into(),
        voucher_key: Vec::new(),
        keepers: easyisp_shared::wire::down::KeepersV1::default(),
        mac_login: false,
        remembered_macs: 0,
        bind_macs: 0,
        bind_oldest_out: false,
        agents: Vec::new(),
    };
    let router = RouterId(Uuid::now_v7());
    let place = secret_place(easyisp_shared::wire::DownKind::Router, router.0, "secret");
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let router_row = RouterV1 {
        router,
        name: "MikroTik".into(),
        address: loopback,
        source: Network {
            address: Ipv4Addr::new(127, 0, 0, 0).into(),
            prefix: 8,
        },
        secret: key.seal_same(&place, SECRET.as_bytes()),
        previous_secret: None,
        coa_port: 3799,
        message_authenticator: MessageAuthenticator::Learn,
        api: None,
        ended_certificates: Vec::new(),
        certificates_since: None,
        leases: false,
    };
    let package = PackageId(Uuid::now_v7());
    let package_row = PackageV1 {
        package,
        name: "Home 10".into(),
        rate: RateLimit::mbps(2, 10),
        session_secs: None,
        data_limit: None,
        time_limit_secs: None,
        fair_use: Vec::new(),
        schedule: Vec::new(),
        devices: 1,
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
    let rows = vec![
        row(Uuid::now_v7(), &Down::Policy(policy)),
        row(router.0, &Down::Router(router_row)),
        row(package.0, &Down::Package(package_row)),
    ];
    (package, rows)
}

/// The row of a subscriber who has paid for a month.
pub fn subscriber(user: User, package: PackageId, key: &SealKey) -> DownRecord {
    let customer = CustomerId(Uuid::from_u128(u128::from(user.0) + 1));
    let place = secret_place(
        easyisp_shared::wire::DownKind::Subscriber,
        customer.0,
        "password",
    );
    let now = Clock::system().now();
    let paid_until = now.plus(Duration::from_secs(30 * 86_400));
    let body = SubscriberV1 {
        customer,
        username: user.name().into_bytes(),
        password: key.seal_same(&place, user.password().as_bytes()),
        connection: Connection::Pppoe,
        standing: Standing::Active,
        period_start: now,
        paid_until,
        funded_until: paid_until,
        package: Some(package),
        static_ip: None,
        macs: Vec::new(),
        devices: None,
        router: None,
        rate_override: None,
        account: user.0,
        remembered_macs: Vec::new(),
        bound_macs: Vec::new(),
        unbound_at: None,
        used: UsedV1::default(),
        routes: Vec::new(),
        ipv6_prefix: None,
        delegated_prefix: None,
    };
    row(customer.0, &Down::Subscriber(body))
}
