//! Logins that the pretend router does not make: with a look at the keys, by EAP, and ten thousand at once.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_agent::radius::builder::Signature;
use easyisp_agent::radius::client::{self, Login, Method};
use easyisp_agent::radius::dictionary::attribute;
use easyisp_agent::radius::mppe::MppeKeys;
use easyisp_agent::radius::mschap::{NtHash, challenge_hash, challenge_response};
use easyisp_agent::radius::{Code, Secret};
use easyisp_shared::entropy::Entropy;
use easyisp_tests::world::{PATIENCE, Site, soon};
use tokio::net::UdpSocket;
use tokio::process::Command;

/// What the world's site is installed with.
const SITE_SECRET: &str = "a-long-shared-secret";

/// The keys that the old server made, revealed as the router reveals them, are those of the subscriber's
/// own password and answer.
pub async fn mppe_keys_are_the_subscribers(site: &Site) -> Result<()> {
    let (entropy, secret) = (Entropy::system(), Secret::new(SITE_SECRET.as_bytes()));
    let (challenge, peer_challenge) = (entropy.bytes(), entropy.bytes());
    let authenticator = entropy.bytes();
    let theirs = [(attribute::PROXY_STATE, &b"of another proxy"[..])];
    let login = Login {
        user_name: b"halima",
        method: Method::MsChapV2 {
            password: b"halima",
            identifier: 1,
            challenge,
            peer_challenge,
        },
        extra: &theirs,
        signature: Signature::MessageAuthenticator,
    };
    let request = client::access_request(&login, 77, &authenticator, &secret)?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.send_to(&request, site.asked()).await?;
    let mut buffer = [0; 4096];
    let heard = soon("an answer", socket.recv(&mut buffer)).await??;
    let answer = client::read_answer(&buffer[..heard], &request, &secret)?;
    ensure!(answer.code() == Some(Code::AccessAccept));

    let keys = client::mppe_keys(&answer, &authenticator, &secret).context("keys")?;
    let password = NtHash::of(b"halima");
    let short = challenge_hash(&peer_challenge, &challenge, b"halima");
    let expected = MppeKeys::derive(&password, &challenge_response(&short, &password));
    ensure!(keys == expected, "the router would encrypt with other keys");
    let states = answer
        .attributes()
        .filter(|one| one.kind == attribute::PROXY_STATE);
    let states: Vec<&[u8]> = states.map(|one| one.value).collect();
    ensure!(states == [&b"of another proxy"[..]], "{states:?}");
    Ok(())
}

/// A real supplicant and the old server talk EAP-MSCHAPv2 through us; both ends have the same keys.
pub async fn eap_goes_through(site: &Site, name: &str) -> Result<()> {
    let file = site.config().data_dir.join("eapol.conf");
    let settings = format!(
        "network={{\nkey_mgmt=IEEE8021X\neap=MSCHAPV2\nidentity=\"{name}\"\npassword=\"{name}\"\n}}\n"
    );
    tokio::fs::write(&file, settings).await?;
    let asked = site.asked();
    let run = Command::new("eapol_test")
        .arg("-c")
        .arg(&file)
        .args([
            "-a",
            &asked.ip().to_string(),
            "-p",
            &asked.port().to_string(),
        ])
        .args(["-s", SITE_SECRET, "-A", "127.0.0.1", "-t", "10"])
        .output();
    let output = run.await.context("eapol_test (package eapoltest)")?;
    let transcript = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && transcript.contains("MPPE keys OK: 1  mismatch: 0"),
        "{transcript}"
    );
    Ok(())
}

/// A customer whose password is his name logs in; how long that took.
pub async fn customer(site: &Site, name: &str, identifier: u8) -> Result<Duration> {
    let (entropy, secret) = (Entropy::system(), Secret::new(SITE_SECRET.as_bytes()));
    let login = Login {
        user_name: name.as_bytes(),
        method: Method::Pap {
            password: name.as_bytes(),
        },
        extra: &[(attribute::CALLING_STATION_ID, b"02:00:00:00:00:01")],
        signature: Signature::MessageAuthenticator,
    };
    let request = client::access_request(&login, identifier, &entropy.bytes(), &secret)?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (began, mut buffer) = (Instant::now(), [0; 4096]);
    loop {
        socket.send_to(&request, site.asked()).await?;
        let heard = tokio::time::timeout(RESEND, socket.recv(&mut buffer)).await;
        match heard {
            Ok(heard) => {
                let answer = client::read_answer(&buffer[..heard?], &request, &secret)?;
                ensure!(answer.code() == Some(Code::AccessAccept), "refused");
                return Ok(began.elapsed());
            }
            Err(_) => ensure!(began.elapsed() < PATIENCE, "no answer"),
        }
    }
}

/// As RouterOS is shipped.
const RESEND: Duration = Duration::from_millis(300);

/// A router of before RouterOS 7.15 whose secret is another one: no Message-Authenticator, and a password
/// that no keyboard can type once it is revealed.
pub async fn garbled(site: &Site) -> Result<()> {
    let login = Login {
        user_name: b"garbled",
        method: Method::Pap {
            password: b"a password of two blocks",
        },
        extra: &[],
        signature: Signature::None,
    };
    let other = Secret::new(b"not the site's secret");
    let request = client::access_request(&login, 3, &[3; 16], &other)?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.send_to(&request, site.asked()).await?;
    Ok(())
}

/// So many unknown users log in at once, as fast as the agent reads.
pub async fn crowd(site: &Site, many: usize) -> Result<()> {
    let (entropy, secret) = (Entropy::system(), Secret::new(SITE_SECRET.as_bytes()));
    let mut sockets = Vec::new();
    for number in 0..many {
        let identifier = u8::try_from(number % 256)?;
        if identifier == 0 {
            sockets.push(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        }
        let name = format!("stranger.{number}");
        let login = Login {
            user_name: name.as_bytes(),
            method: Method::Pap { password: b"x" },
            extra: &[],
            signature: Signature::MessageAuthenticator,
        };
        let request = client::access_request(&login, identifier, &entropy.bytes(), &secret)?;
        let socket = sockets.last().context("a socket")?;
        socket.send_to(&request, site.asked()).await?;
        // The agent's socket holds some hundred datagrams.
        if number % 100 == 99 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    // The sockets stay open while the agent may still answer.
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(())
}
