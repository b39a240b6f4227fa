//! Guessing passwords through a router: hardly a guess is looked at, rejects come later, and nobody else
//! notices.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_agent::config::Config;
use easyisp_agent::radius::builder::Signature;
use easyisp_agent::radius::client::{Login, Method, access_request, read_answer};
use easyisp_agent::radius::dictionary::attribute;
use easyisp_agent::radius::{Code, Packet, Secret};
use easyisp_agent::site::description::Description;
use easyisp_agent::{Agent, AgentOptions, Source};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::seal::SealKey;
use easyisp_shared::time::Clock;
use easyisp_tests::world::{START, soon};
use serde_json::json;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::words::{DAY, MINUTE, full};

const JANE: &str = "jane";
const PIN: usize = 1234;
const GUESSER: &str = "02:BA:D0:00:00:00";
const HOME: &str = "02:00:00:00:00:01";

/// A9: a four-digit password against everybody who knows the name, a hundred guesses a second, from one
/// device and then from a new one each time. The right one comes by and is not looked at; she herself, on
/// the device she always has, and everybody else get in at the first try meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_hardly_count_and_nobody_else_notices() -> Result<()> {
    let given = Given::start().await?;
    let (pin, honest) = (format!("{PIN:04}"), UdpSocket::bind(ANY).await?);
    let home = given.login(JANE, &pin, HOME, 0)?;
    assert_eq!(given.once(&honest, &home).await?, Code::AccessAccept);
    let count = if full() { 10_000 } else { 2_000 };
    for of_one_device in [true, false] {
        let guesser = Guesser::start(&given).await?;
        for guess in 0..count {
            let device = match of_one_device {
                true => GUESSER.to_owned(),
                false => format!("02:BA:D1:00:{:02X}:{:02X}", guess >> 8, guess & 0xff),
            };
            guesser
                .shows(&device, &format!("{guess:04}"), guess)
                .await?;
            given.clock.advance(Duration::from_millis(10));
            if guess % 100 == 50 {
                for (name, password, device) in
                    [(JANE, &*pin, HOME), ("john", "john", "02:00:00:00:00:02")]
                {
                    let request = given.login(name, password, device, 1)?;
                    let code = given.once(&honest, &request).await?;
                    assert_eq!(code, Code::AccessAccept, "{name} at guess {guess}");
                }
            }
        }
        let answers = guesser.stop().await?;
        ensure!(answers.rejects > 0, "the guesser is answered");
        assert_eq!(answers.accepts, 0, "one device: {of_one_device}");

        // Ten quiet minutes later all is forgotten.
        given.clock.advance(10 * MINUTE);
        let request = given.login(JANE, &pin, GUESSER, 1)?;
        let code = given.once(&honest, &request).await?;
        assert_eq!(code, Code::AccessAccept);
    }
    given.stop().await;
    Ok(())
}

/// The reject that waits stands behind what is asked later, is sent once however often the router repeats
/// itself, and is the same octets for a copy that comes afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_reject_that_waits_is_one_answer() -> Result<()> {
    let given = Given::start().await?;
    let socket = UdpSocket::bind(ANY).await?;
    for number in 0..9 {
        let request = given.login(JANE, "wrong", GUESSER, number)?;
        assert_eq!(given.once(&socket, &request).await?, Code::AccessReject);
        given.clock.advance(MINUTE);
    }
    let wrong = given.login(JANE, "wrong", GUESSER, 100)?;
    let right = given.login("john", "john", "02:00:00:00:00:02", 101)?;
    for datagram in [&wrong, &wrong, &wrong, &right] {
        socket.send_to(datagram, given.auth()).await?;
    }
    let first = hear(&socket).await?;
    assert_eq!(read(&first, &right)?, Code::AccessAccept, "it overtakes");
    let late = hear(&socket).await?;
    assert_eq!(read(&late, &wrong)?, Code::AccessReject);
    socket.send_to(&wrong, given.auth()).await?;
    let copy = hear(&socket).await?;
    assert_eq!(copy, late, "and the copies before it got nothing");
    given.stop().await;
    Ok(())
}

/// An unknown name reads as a wrong password does, looked at or not; and a phone that is refused by its
/// address has guessed nothing, however often it comes by.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_name_and_a_phone_that_passes_tell_nothing() -> Result<()> {
    let given = Given::start().await?;
    let socket = UdpSocket::bind(ANY).await?;
    let mut said = Vec::new();
    for (name, device) in [(JANE, "02:BA:D0:00:00:01"), ("nobody", "02:BA:D0:00:00:02")] {
        for number in 0..12 {
            let request = given.login(name, "wrong", device, number)?;
            socket.send_to(&request, given.auth()).await?;
            let answer = hear(&socket).await?;
            assert_eq!(read(&answer, &request)?, Code::AccessReject);
            said.push(attributes(&answer)?);
        }
    }
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");

    let phone = "02:0A:0B:0C:0D:0E";
    for number in 0..50 {
        let login = Login {
            user_name: phone.as_bytes(),
            method: Method::Pap { password: b"" },
            extra: &[
                (attribute::CALLING_STATION_ID, phone.as_bytes()),
                (attribute::SERVICE_TYPE, &[0, 0, 0, 1]),
                (attribute::CALLED_STATION_ID, b"hotspot1"),
                (attribute::FRAMED_IP_ADDRESS, &[10, 5, 50, 3]),
            ],
            signature: Signature::MessageAuthenticator,
        };
        let request = access_request(&login, number, &rand::random(), &secret())?;
        assert_eq!(given.once(&socket, &request).await?, Code::AccessReject);
    }
    let request = given.login("john", "john", phone, 100)?;
    assert_eq!(given.once(&socket, &request).await?, Code::AccessAccept);
    given.stop().await;
    Ok(())
}

/// An agent with two subscribers, on a clock of the story's own.
struct Given {
    agent: Agent,
    clock: Clock,
    _folder: tempfile::TempDir,
}

impl Given {
    async fn start() -> Result<Given> {
        let (clock, entropy) = (Clock::test(START), Entropy::system());
        let folder = tempfile::tempdir()?;
        let key = SealKey::generate(&entropy);
        let paid_until = START.plus(30 * DAY);
        let description: Description = serde_json::from_value(json!({
            "packages": [{"name": "Home", "up_kbps": 2000, "down_kbps": 10000, "devices": 5}],
            "routers": [{"name": "R1", "address": "127.0.0.1", "source": "127.0.0.0/8",
                         "secret": "demo-secret", "coa_port": 3799}],
            "subscribers": [
                {"username": JANE, "password": format!("{PIN:04}"), "package": "Home",
                 "paid_until": paid_until},
                {"username": "john", "password": "john", "package": "Home", "paid_until": paid_until},
            ],
        }))?;
        let mut config = Config {
            data_dir: folder.path().to_path_buf(),
            ..Config::default()
        };
        config.radius.auth = ANY;
        config.radius.acct = ANY;
        config.status.listen = ANY;
        let source = Source::Described {
            rows: description.rows(&key, &entropy, 1),
            key,
        };
        let options = AgentOptions {
            config,
            clock: clock.clone(),
            entropy,
            source,
        };
        Ok(Given {
            agent: Agent::start(options).await?,
            clock,
            _folder: folder,
        })
    }

    fn auth(&self) -> SocketAddr {
        self.agent.radius_auth()
    }

    fn login(&self, name: &str, password: &str, device: &str, identifier: u8) -> Result<Vec<u8>> {
        let login = Login {
            user_name: name.as_bytes(),
            method: Method::Pap {
                password: password.as_bytes(),
            },
            extra: &[(attribute::CALLING_STATION_ID, device.as_bytes())],
            signature: Signature::MessageAuthenticator,
        };
        Ok(access_request(
            &login,
            identifier,
            &rand::random(),
            &secret(),
        )?)
    }

    /// Asks once: nothing is sent again.
    async fn once(&self, socket: &UdpSocket, request: &[u8]) -> Result<Code> {
        socket.send_to(request, self.auth()).await?;
        read(&hear(socket).await?, request)
    }

    async fn stop(self) {
        self.agent.stop().await;
    }
}

/// Somebody who does not wait for an answer before he guesses again.
struct Guesser<'a> {
    given: &'a Given,
    socket: Arc<UdpSocket>,
    hearing: JoinHandle<Answers>,
}

#[derive(Default, Debug)]
struct Answers {
    accepts: u32,
    rejects: u32,
}

impl<'a> Guesser<'a> {
    async fn start(given: &'a Given) -> Result<Guesser<'a>> {
        let socket = Arc::new(UdpSocket::bind(ANY).await?);
        let heard = socket.clone();
        let hearing = tokio::spawn(async move {
            let mut answers = Answers::default();
            let mut buffer = [0; 4096];
            while let Ok(length) = heard.recv(&mut buffer).await {
                let Ok(answer) = Packet::parse(&buffer[..length]) else {
                    continue;
                };
                match answer.code() {
                    Some(Code::AccessAccept) => answers.accepts += 1,
                    Some(Code::AccessReject) => answers.rejects += 1,
                    _ => {}
                }
                if answer.identifier() == LAST {
                    break;
                }
            }
            answers
        });
        Ok(Guesser {
            given,
            socket,
            hearing,
        })
    }

    async fn shows(&self, device: &str, password: &str, number: usize) -> Result<()> {
        let identifier = (number % usize::from(LAST)) as u8;
        self.send(device, password, identifier).await
    }

    async fn send(&self, device: &str, password: &str, identifier: u8) -> Result<()> {
        let request = self.given.login(JANE, password, device, identifier)?;
        self.socket.send_to(&request, self.given.auth()).await?;
        Ok(())
    }

    /// Shows one more wrong one, whose answer waits longest, and says how many of each came.
    async fn stop(self) -> Result<Answers> {
        self.send(GUESSER, "last", LAST).await?;
        Ok(soon("the last answer", self.hearing).await??)
    }
}

/// The identifier of a guesser's last request.
const LAST: u8 = 255;

async fn hear(socket: &UdpSocket) -> Result<Vec<u8>> {
    let mut buffer = vec![0; 4096];
    let length = soon("an answer", socket.recv(&mut buffer)).await??;
    buffer.truncate(length);
    Ok(buffer)
}

fn read(answer: &[u8], request: &[u8]) -> Result<Code> {
    read_answer(answer, request, &secret())?
        .code()
        .context("a known code")
}

/// Everything an answer says but its signature.
fn attributes(answer: &[u8]) -> Result<Vec<(u8, Vec<u8>)>> {
    let packet = Packet::parse(answer)?;
    let attributes = packet.attributes();
    let said = attributes.filter(|said| said.kind != attribute::MESSAGE_AUTHENTICATOR);
    Ok(said.map(|said| (said.kind, said.value.to_vec())).collect())
}

fn secret() -> Secret {
    Secret::new(b"demo-secret")
}

const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
