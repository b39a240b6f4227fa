//! The certificates with which routers connect by RadSec: told of before they end, renewed with one request, ended.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_agent::radius::builder::Signature;
use easyisp_agent::radius::client::{Login, Method, access_request};
use easyisp_agent::radius::eap::Authority;
use easyisp_agent::radius::eap::authority::Purpose;
use easyisp_agent::radius::{Code, Packet, Secret, radsec};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::RouterId;
use easyisp_shared::time::Clock;
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{PASSWORD, Provider, Site, World, eventually};
use reqwest::StatusCode;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::words::DAY;

/// A certificate that somebody made on the box and forgot: 30 days before its end the router's page says so, 7 days
/// before it in stronger words; one request makes the next, and with it the old one is heard no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_is_told_of_and_renewed_with_one_request() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "sealed").await?;
    isp.subscribe(&world).await?;
    let mut site = Site::prepare(&world, &isp).await?;
    site.configure(|config| config.radius.radsec = Some((Ipv4Addr::LOCALHOST, 0).into()));
    site.start_agent().await?;
    site.caught_up().await?;
    let until = world.clock.now().plus(90 * DAY);
    isp.add_subscriber("akinyi", "254712345690", until).await?;
    site.knows("akinyi", "at all", |_| true).await?;
    let nas = format!("/nas/{}", site.router_id);
    let list = format!("/nas/certificates?routerId={}", site.router_id);
    let none = isp.owner.get(&list).await?;
    assert_eq!(none["certificates"], json!([]), "{none}");

    let old = made_on_the_box(&world, &site)?;
    let mut connected = old.connect(&world, &site).await?;
    assert_eq!(ask(&mut connected).await?, Code::AccessAccept);
    let page = |owner: Operator, code| {
        let (world, nas) = (&world, &nas);
        async move {
            eventually(code, async || {
                world.clock.advance(LOOK);
                let shown = owner.get(nas).await?;
                let warnings = shown["warnings"].as_array().context("warnings")?;
                Ok(warnings.iter().find(|one| one["code"] == code).cloned())
            })
            .await
        }
    };
    let warned = page(isp.owner.clone(), "CERTIFICATE_ENDING").await?;
    ensure!(
        warned["message"]
            .as_str()
            .is_some_and(|text| text.contains("20 days")),
        "{warned}"
    );
    world.clock.advance(14 * DAY);
    let owner = Operator::login(world.api(), "owner@sealed.example", PASSWORD).await?;
    page(owner.clone(), "CERTIFICATE_ENDS_SOON").await?;
    let listed = owner.get(&list).await?;
    let [one] = listed["certificates"]
        .as_array()
        .context("a list")?
        .as_slice()
    else {
        anyhow::bail!("one is known: {listed}");
    };
    assert_eq!(
        (&one["inUse"], &one["status"]),
        (&json!(true), &json!("ENDING")),
        "{one}"
    );
    assert_eq!(one["issuedAt"], Value::Null, "the box made it by itself");

    owner.confirm().await?;
    let certificates = format!("{nas}/certificates");
    let first = owner.post(&certificates, &json!({})).await?;
    assert_eq!(first["ended"], json!([]), "the old one stays good");
    assert_eq!(ask(&mut connected).await?, Code::AccessAccept);
    let mut second = Shown::of(&first)?.connect(&world, &site).await?;
    assert_eq!(ask(&mut second).await?, Code::AccessAccept);
    eventually("nothing is wrong any more", async || {
        world.clock.advance(LOOK);
        Ok((owner.get(&nas).await?["warnings"] == json!([])).then_some(()))
    })
    .await?;

    let third = owner
        .post(&certificates, &json!({"endOthers": true}))
        .await?;
    assert_eq!(third["ended"], json!([first["serial"]]), "{third}");
    for connection in [&mut connected, &mut second] {
        eventually("who shows an ended one is not heard", async || {
            Ok(ask(connection).await.is_err().then_some(()))
        })
        .await?;
    }
    ensure!(
        anew(&old, &world, &site).await.is_err(),
        "nor comes in again"
    );
    let third = Shown::of(&third)?;
    assert_eq!(anew(&third, &world, &site).await?, Code::AccessAccept);
    let listed = owner.get(&list).await?;
    let mut states: Vec<&str> = listed["certificates"]
        .as_array()
        .context("a list")?
        .iter()
        .filter_map(|one| one["status"].as_str())
        .collect();
    states.sort_unstable();
    assert_eq!(states, ["GOOD", "REVOKED"], "{listed}");

    let trail = owner.get("/audit-logs?action=ROUTER_CERTIFICATE").await?;
    assert_eq!(trail["total"], 2, "{trail}");
    let serial = third.serial.context("a serial number")?;
    let (status, _) = owner
        .call(
            reqwest::Method::DELETE,
            &format!("{certificates}/{serial}"),
            None,
        )
        .await?;
    assert_eq!(status, StatusCode::NO_CONTENT);
    site.stop().await;
    world.stop().await
}

/// Where no box answers by RadSec nobody makes a certificate that is good for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn without_radsec_there_are_no_certificates() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "plain").await?;
    let site = Site::open(&world, &isp).await?;
    isp.owner.confirm().await?;
    let path = format!("/nas/{}/certificates", site.router_id);
    let (status, answer) = isp
        .owner
        .call(reqwest::Method::POST, &path, Some(&json!({})))
        .await?;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    let (status, _) = isp
        .owner
        .call(reqwest::Method::DELETE, &format!("{path}/4001"), None)
        .await?;
    assert_eq!(status, StatusCode::NOT_FOUND);
    site.stop().await;
    world.stop().await
}

/// What a router is given.
struct Shown {
    authority: String,
    certificate: String,
    key: String,
    serial: Option<String>,
}

fn made_on_the_box(world: &World, site: &Site) -> Result<Shown> {
    let now = world.clock.now();
    let authority = Authority::open(&site.config().data_dir, now, &Entropy::system())?;
    let router = RouterId(site.router_id.parse()?);
    let name = radsec::client_name(router);
    let leaf = authority.issue(Purpose::Client(&name), now, 20 * DAY)?;
    Ok(Shown {
        authority: authority.certificate_pem(),
        certificate: leaf.certificate_pem(),
        key: leaf.key_pem().to_string(),
        serial: None,
    })
}

impl Shown {
    fn of(answer: &Value) -> Result<Shown> {
        let text = |field: &str| answer[field].as_str().map(str::to_owned);
        Ok(Shown {
            authority: text("authority").context("an authority")?,
            certificate: text("certificate").context("a certificate")?,
            key: text("key").context("a key")?,
            serial: text("serial"),
        })
    }

    async fn connect(&self, world: &World, site: &Site) -> Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.as_bytes())?)?;
        let own = CertificateDer::from_pem_slice(self.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let time = Arc::new(StoryTime(world.clock.clone()));
        let config = ClientConfig::builder_with_details(provider, time)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![own], key)?;
        let agent: SocketAddr = site.agent().radsec().context("the agent listens")?;
        let stream = TcpStream::connect(agent).await?;
        let name = ServerName::try_from("radius.easyisp.internal")?;
        Ok(TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?)
    }
}

async fn anew(shown: &Shown, world: &World, site: &Site) -> Result<Code> {
    ask(&mut shown.connect(world, site).await?).await
}

/// Logs akinyi in over a connection.
async fn ask(stream: &mut TlsStream<TcpStream>) -> Result<Code> {
    let secret = Secret::new(radsec::SECRET);
    let login = Login {
        user_name: b"akinyi",
        method: Method::Pap {
            password: b"akinyi",
        },
        extra: &[],
        signature: Signature::MessageAuthenticator,
    };
    let authenticator: [u8; 16] = Entropy::system().bytes();
    let request = access_request(&login, authenticator[0], &authenticator, &secret)?;
    let answered = async {
        stream.write_all(&request).await?;
        let mut answer = vec![0; 4];
        stream.read_exact(&mut answer).await?;
        let length = u16::from_be_bytes([answer[2], answer[3]]);
        answer.resize(usize::from(length), 0);
        stream.read_exact(&mut answer[4..]).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(PATIENCE, answered).await??;
    Packet::parse(&answer)?.code().context("a known code")
}

/// The story's own time, by which certificates count.
#[derive(Debug)]
struct StoryTime(Clock);

impl TimeProvider for StoryTime {
    fn current_time(&self) -> Option<UnixTime> {
        let secs = u64::try_from(self.0.now().secs()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(secs)))
    }
}

/// How often an agent looks for what is to be told.
const LOOK: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(5);
