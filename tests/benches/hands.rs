//! What the agent does with a router's API, beside librouteros at the same pretend router: the list of everybody online,
//! and changes written in one go.
//!
//! What counts of a list is the reader's own CPU time: the router's is another process's, and waiting costs nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_agent::routeros::{Fix, Pins, QueueShape, RouterApis, Scope};
use easyisp_agent::site::{self, Ranges};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::net::RateLimit;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Clock;
use easyisp_shared::wire::DownKind;
use easyisp_shared::wire::down::{
    MessageAuthenticator, Network, RouterApiV1, RouterV1, secret_place,
};
use easyisp_tests::router::api::Api;
use easyisp_tests::router::{Router, Settings};
use uuid::Uuid;

use crate::child::{SERVER_CORE, Server, cpu, serve_until_told};
use crate::table::{Row, millis};

/// Who is online.
const ONLINE: usize = 2_000;
const LISTS: u32 = 20;
/// Customers whose queue and whose entry in a list are to be written.
const WAITING: usize = 500;
const USER: &str = "agent";
const PASSWORD: &str = "secret-word";
const PATIENCE: Duration = Duration::from_secs(30);
/// A question about now is answered within this time on the LAN.
const LIVE: Duration = Duration::from_millis(300);
const CONVERGED: Duration = Duration::from_secs(10);
const LIST: &str = "bench";

/// What it prints: seconds for the changes, one after the other, as a script would make them.
const PEER: &str = r#"
import sys, time, librouteros
api = librouteros.connect(host=sys.argv[1], port=int(sys.argv[2]), username=sys.argv[3], password=sys.argv[4])
if sys.argv[5] == "list":
    for _ in range(int(sys.argv[6])):
        assert len(list(api.path("/ppp/active"))) == int(sys.argv[7])
        assert len(list(api.path("/ip/hotspot/active"))) == 0
    print(0)
else:
    began, queues, entries = time.monotonic(), api.path("/queue/simple"), api.path("/ip/firewall/address-list")
    for number in range(int(sys.argv[6])):
        address = f"10.41.{number // 250}.{number % 250 + 2}"
        queues.add(name=f"peer {number}", target=address + "/32", **{"max-limit": "5M/10M"})
        entries.add(list="peer", address=address)
    assert len([row for row in queues if row["name"].startswith("peer")]) == int(sys.argv[6])
    print(time.monotonic() - began)
"#;

/// Lists everybody, then writes what waits and reads it back.
pub fn measure(folder: &Path) -> Result<[Row; 4]> {
    let (server, address) = Server::start_self("hands", SERVER_CORE, folder)?;
    let router: SocketAddr = address.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (ours, longest, changed) = runtime.block_on(ours(router))?;

    let before = cpu()?.1;
    peer(router, &["list", &LISTS.to_string(), &ONLINE.to_string()])?;
    let theirs = cpu()?.1 - before;
    let slowly = Duration::from_secs_f64(peer(router, &["change", &WAITING.to_string()])?);
    server.stop()?;

    let per_second = |cpu: Duration| f64::from(LISTS) / cpu.as_secs_f64();
    let a_second = |took: Duration| WAITING as f64 / took.as_secs_f64();
    Ok([
        Row::ratio(
            "lists of 2,000 sessions a CPU second",
            per_second(ours),
            "librouteros",
            Some(per_second(theirs)),
            Some(5.0),
        ),
        Row::bound(
            "the longest of them",
            &millis(longest),
            "<= 300 ms",
            longest <= LIVE,
        ),
        Row::ratio(
            "queues with a list's entry a second, written and read back",
            a_second(changed),
            "librouteros",
            Some(a_second(slowly)),
            None,
        ),
        Row::bound(
            "500 of them in one go",
            &millis(changed),
            "<= 10 s",
            changed <= CONVERGED,
        ),
    ])
}

/// Our CPU time for the lists, the longest of them, and how long the changes took.
async fn ours(address: SocketAddr) -> Result<(Duration, Duration, Duration)> {
    let apis = RouterApis::new(
        Ranges::new(vec!["127.0.0.0/8".parse()?]),
        Pins::new([], |_| {}),
    );
    let router = entry(address)?;
    let (before, mut longest) = (cpu()?.0, Duration::ZERO);
    for _ in 0..LISTS {
        let began = Instant::now();
        let listed = apis.active(&router, None, PATIENCE).await?;
        longest = longest.max(began.elapsed());
        ensure!(listed.len() == ONLINE, "{} are listed", listed.len());
    }
    let cpu = cpu()?.0 - before;

    let rate = RateLimit::mbps(5, 10);
    let fixes = (0..WAITING).flat_map(|number| {
        let customer = CustomerId(Uuid::from_u128(number as u128 + 1));
        let address = Ipv4Addr::new(10, 40, (number / 250) as u8, (number % 250) as u8 + 2);
        let queue = QueueShape::new(format!("line {number}"), address, &rate);
        [
            (customer, Fix::Queue(None, queue)),
            (customer, Fix::Entry(LIST.to_owned(), address)),
        ]
    });
    let fixes: Vec<(CustomerId, Fix)> = fixes.collect();
    let began = Instant::now();
    let refused = apis.write_lines(&router, fixes, PATIENCE).await?;
    ensure!(refused.is_empty(), "refused: {refused:?}");
    let scope = Scope::All(vec![LIST.to_owned()]);
    let kept = apis.kept_lines(&router, &scope, PATIENCE).await?;
    let changed = began.elapsed();
    ensure!(
        kept.queues.len() == WAITING && kept.entries.len() == WAITING,
        "{} queues and {} entries are there",
        kept.queues.len(),
        kept.entries.len()
    );
    Ok((cpu, longest, changed))
}

fn peer(router: SocketAddr, words: &[&str]) -> Result<f64> {
    const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/python/bin/python3");
    let (host, port) = (router.ip().to_string(), router.port().to_string());
    let output = Command::new(PYTHON)
        .args(["-c", PEER, &host, &port, USER, PASSWORD])
        .args(words)
        .output()
        .context("Python and its clients (tests/prepare bench installs them)")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "librouteros: {told}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().parse()?)
}

/// The part that is the router. Its only line: where its API is.
pub fn part() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let router = runtime.block_on(async {
        let nowhere: SocketAddr = ([127, 0, 0, 1], 9).into();
        let settings = Settings {
            api: Some(Api::new(USER, PASSWORD)),
            ..Settings::new("a-long-shared-secret", nowhere, nowhere)
        };
        let clock = Clock::test(easyisp_tests::world::START);
        Router::start_on(settings, clock, Entropy::system()).await
    })?;
    for number in 0..ONLINE {
        let mac = format!("02:00:00:00:{:02X}:{:02X}", number / 256, number % 256);
        router.dial_locally(&format!("user{number:05}"), &mac);
    }
    serve_until_told(&router.api().context("an API")?.to_string())?;
    runtime.block_on(router.stop());
    Ok(())
}

/// The router as the feed tells of it.
fn entry(address: SocketAddr) -> Result<site::Router> {
    let key = SealKey::new([7; 32]);
    let id = RouterId(Uuid::from_u128(9));
    let seal = |field: &str, clear: &str| {
        let place = secret_place(DownKind::Router, id.0, field);
        key.seal(&place, clear.as_bytes(), &Entropy::seeded(1))
    };
    let row = RouterV1 {
        router: id,
        name: "Tower".into(),
        address: address.ip(),
        source: Network {
            address: address.ip(),
            prefix: 32,
        },
        secret: seal("secret", "a-long-shared-secret"),
        previous_secret: None,
        coa_port: 3799,
        message_authenticator: MessageAuthenticator::Learn,
        api: Some(RouterApiV1 {
            port: address.port(),
            tls: false,
            user: USER.into(),
            password: seal("api", PASSWORD),
        }),
        ended_certificates: Vec::new(),
        certificates_since: None,
        leases: false,
    };
    site::Router::open(row, &key).context("a row that opens")
}
