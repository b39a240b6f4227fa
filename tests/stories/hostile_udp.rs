//! Whoever can reach the agent's two ports may send anything: the agent goes on answering routers.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_agent::config::Config;
use easyisp_agent::radius::builder::{Builder, Signature};
use easyisp_agent::radius::client::{
    Login, Method, access_request, accounting_request, read_answer, status_server,
};
use easyisp_agent::radius::dictionary::attribute;
use easyisp_agent::radius::{Code, Secret};
use easyisp_agent::site::description::Description;
use easyisp_agent::{Agent, AgentOptions, Source};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::{Clock, Timestamp};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

/// Damaged packets, random octets, and packets whose sender knows the secret but says nonsense: none
/// of them stops the agent, and a subscriber logs in afterwards as before.
#[tokio::test(flavor = "multi_thread")]
async fn after_any_datagrams_a_subscriber_still_logs_in() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let agent = given_agent(folder.path()).await?;
    let ports = [agent.radius_auth(), agent.radius_acct()];

    let sending = tokio::task::spawn_blocking(move || {
        log_in(ports[0])?;
        let seed: u64 = rand::random();
        println!("seed {seed}");
        pelt(ports, seed, count())?;
        log_in(ports[0])
    });
    sending.await??;

    agent.stop().await;
    Ok(())
}

fn count() -> usize {
    match std::env::var_os("EASYISP_TEST_FULL") {
        Some(_) => 100_000,
        None => 10_000,
    }
}

/// Sends hostile datagrams to both ports in turn, and asks now and then whether somebody is there.
fn pelt(ports: [SocketAddr; 2], seed: u64, count: usize) -> Result<()> {
    let mut random = SmallRng::seed_from_u64(seed);
    let sound = sound_packets()?;
    let socket = socket()?;
    for number in 0..count {
        let port = ports[number % 2];
        let datagram = match number % 3 {
            0 => damaged(&sound[random.random_range(0..sound.len())], &mut random),
            1 => signed_nonsense(&mut random),
            _ => (0..random.random_range(0..300))
                .map(|_| random.random())
                .collect(),
        };
        socket.send_to(&datagram, port)?;
        if number % 200 == 199 {
            ping(port).with_context(|| format!("after {} datagrams of seed {seed}", number + 1))?;
        }
    }
    Ok(())
}

fn sound_packets() -> Result<Vec<Vec<u8>>> {
    let challenge = [7; 16];
    let methods = [
        Method::Pap { password: PASSWORD },
        Method::Chap {
            password: PASSWORD,
            identifier: 1,
            challenge,
        },
        Method::MsChapV2 {
            password: PASSWORD,
            identifier: 1,
            challenge,
            peer_challenge: challenge,
        },
    ];
    let logins = methods.map(|method| login(method, Signature::MessageAuthenticator));
    let mut packets = logins.into_iter().collect::<Result<Vec<_>>>()?;
    for status in 1..=8 {
        let attributes: [(u8, &[u8]); 3] = [
            (attribute::ACCT_STATUS_TYPE, &[0, 0, 0, status]),
            (attribute::USER_NAME, USER),
            (attribute::ACCT_SESSION_ID, b"80100014"),
        ];
        packets.push(accounting_request(&attributes, status, &secret())?);
    }
    packets.push(status_server(3, &[9; 16], &secret()));
    Ok(packets)
}

fn damaged(packet: &[u8], random: &mut SmallRng) -> Vec<u8> {
    let mut datagram = packet.to_vec();
    for _ in 0..random.random_range(1..5) {
        let at = random.random_range(0..datagram.len().max(1));
        match random.random_range(0..4) {
            0 => datagram.truncate(at),
            1 => datagram.extend((0..random.random_range(0..40)).map(|_| random.random::<u8>())),
            _ => {
                if let Some(octet) = datagram.get_mut(at) {
                    *octet = random.random();
                }
            }
        }
    }
    datagram
}

/// A packet that passes every check of its sender, with any attributes of any length.
fn signed_nonsense(random: &mut SmallRng) -> Vec<u8> {
    let codes = [
        Code::AccessRequest,
        Code::AccountingRequest,
        Code::StatusServer,
        Code::CoaRequest,
    ];
    let code = codes[random.random_range(0..codes.len())];
    let signature = match random.random_range(0..3) {
        0 => Signature::None,
        _ => Signature::MessageAuthenticator,
    };
    let mut packet = Builder::new(Vec::new(), code, random.random(), signature);
    for _ in 0..random.random_range(0..30) {
        let kind = match random.random_range(0..3) {
            0 => random.random(),
            _ => COMMON[random.random_range(0..COMMON.len())],
        };
        let value: Vec<u8> = (0..random.random_range(0..253))
            .map(|_| random.random())
            .collect();
        let known: &[u8] = match random.random_range(0..4) {
            0 => USER,
            1 => &[0, 0, 0, 1],
            _ => &value,
        };
        // What does not fit is left out.
        let _ = packet.push(kind, known);
    }
    match code {
        Code::AccountingRequest | Code::CoaRequest => packet.sign_request(&secret()),
        _ => packet.sign_access(&random.random(), &secret()),
    }
}

/// What the agent reads.
const COMMON: [u8; 17] = [
    attribute::USER_NAME,
    attribute::USER_PASSWORD,
    attribute::CHAP_PASSWORD,
    attribute::CHAP_CHALLENGE,
    attribute::VENDOR_SPECIFIC,
    attribute::CALLING_STATION_ID,
    attribute::ACCT_STATUS_TYPE,
    attribute::ACCT_SESSION_ID,
    attribute::ACCT_SESSION_TIME,
    attribute::ACCT_INPUT_OCTETS,
    attribute::EVENT_TIMESTAMP,
    attribute::ACCT_DELAY_TIME,
    attribute::CLASS,
    attribute::PROXY_STATE,
    attribute::EAP_MESSAGE,
    attribute::STATE,
    attribute::FRAMED_MTU,
];

/// Is somebody there? What was sent before has been read once this is answered.
fn ping(port: SocketAddr) -> Result<()> {
    let request = status_server(1, &rand::random(), &secret());
    ask(port, &request).map(|_| ())
}

fn log_in(auth: SocketAddr) -> Result<()> {
    let request = login(
        Method::Pap { password: PASSWORD },
        Signature::MessageAuthenticator,
    )?;
    let code = ask(auth, &request)?;
    ensure!(code == Some(Code::AccessAccept), "answered with {code:?}");
    Ok(())
}

fn login(method: Method<'_>, signature: Signature) -> Result<Vec<u8>> {
    let login = Login {
        user_name: USER,
        method,
        extra: &[(attribute::CALLING_STATION_ID, b"02:EA:51:00:00:01")],
        signature,
    };
    Ok(access_request(&login, 1, &rand::random(), &secret())?)
}

/// Asks as a router does, four times a second apart.
fn ask(port: SocketAddr, request: &[u8]) -> Result<Option<Code>> {
    let socket = socket()?;
    let mut buffer = [0; 4096];
    for _ in 0..4 {
        socket.send_to(request, port)?;
        if let Ok((length, _)) = socket.recv_from(&mut buffer) {
            return Ok(read_answer(&buffer[..length], request, &secret())?.code());
        }
    }
    anyhow::bail!("{port} does not answer")
}

fn socket() -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    Ok(socket)
}

const USER: &[u8] = b"demo001";
const PASSWORD: &[u8] = b"demo001";

fn secret() -> Secret {
    Secret::new(b"demo-secret")
}

async fn given_agent(folder: &std::path::Path) -> Result<Agent> {
    let (clock, entropy) = (Clock::system(), Entropy::system());
    let key = SealKey::generate(&entropy);
    let paid_until: Timestamp = clock.now().plus(Duration::from_secs(86_400));
    let description: Description = serde_json::from_value(json!({
        "packages": [{"name": "Home", "up_kbps": 2000, "down_kbps": 10000, "devices": 5}],
        "routers": [{"name": "R1", "address": "127.0.0.1", "source": "127.0.0.0/8",
                     "secret": "demo-secret", "coa_port": 3799}],
        "subscribers": [{"username": "demo001", "password": "demo001", "package": "Home",
                         "paid_until": paid_until}],
    }))?;
    let mut config = Config {
        data_dir: folder.to_path_buf(),
        ..Config::default()
    };
    config.radius.auth = (Ipv4Addr::LOCALHOST, 0).into();
    config.radius.acct = (Ipv4Addr::LOCALHOST, 0).into();
    config.status.listen = (Ipv4Addr::LOCALHOST, 0).into();
    let source = Source::Described {
        rows: description.rows(&key, &entropy, 1),
        key,
    };
    let options = AgentOptions {
        config,
        clock,
        entropy,
        source,
    };
    Ok(Agent::start(options).await?)
}
