//! A forgotten password: a link by mail, through a real mail server.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_cloud::config::{Config, SmtpTls};
use easyisp_tests::ports;
use easyisp_tests::world::eventually;
use reqwest::StatusCode;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::cloud::{Client, PASSWORD, given_cloud, given_cloud_with};
use crate::platform::given_platform;
use crate::words::MINUTE;

const FORGOT: &str = "/api/auth/password/forgot";
const RESET: &str = "/api/auth/password/reset";
const NEW: &str = "seven-quiet-rivers";

/// The link is good once and for half an hour, and whoever was in is out.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_by_mail_sets_a_forgotten_password() -> Result<()> {
    let post = Post::open().await?;
    let ours = given_cloud_with(|config| post.is_used_by(config)).await?;
    let owner = ours.given_owner("acme").await?;
    let anonymous = ours.anonymous();
    let forgot = anonymous
        .post(FORGOT, &json!({"email": "owner@acme.isp"}))
        .await?;
    assert_eq!(forgot.status, StatusCode::OK, "{:?}", forgot.body);
    let first = post.link(1).await?;
    let forgot = anonymous
        .post(FORGOT, &json!({"email": "Owner@acme.isp "}))
        .await?;
    assert_eq!(forgot.status, StatusCode::OK);
    let second = post.link(2).await?;

    let reset = async |token: &str, password: &str| {
        let body = json!({"token": token, "newPassword": password});
        anonymous.post(RESET, &body).await
    };
    assert_eq!(
        reset(&first, NEW).await?.code(),
        "BAD_RESET_TOKEN",
        "the later one counts"
    );
    let short = reset(&second, "short").await?;
    assert_eq!(short.status, StatusCode::BAD_REQUEST);
    let done = reset(&second, NEW).await?;
    assert_eq!(done.status, StatusCode::OK, "{:?}", done.body);
    assert_eq!(reset(&second, NEW).await?.code(), "BAD_RESET_TOKEN", "once");
    assert_eq!(
        owner.get("/api/auth/me").await?.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        sign_in(&anonymous, PASSWORD).await?,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(sign_in(&anonymous, NEW).await?, StatusCode::OK);

    anonymous
        .post(FORGOT, &json!({"email": "owner@acme.isp"}))
        .await?;
    let third = post.link(3).await?;
    ours.clock.advance(30 * MINUTE);
    assert_eq!(
        reset(&third, PASSWORD).await?.code(),
        "BAD_RESET_TOKEN",
        "half an hour"
    );
    Ok(())
}

/// Nobody learns from the answer who has an account, mail goes to nobody else, and none moves the platform.
#[tokio::test(flavor = "multi_thread")]
async fn asking_for_a_link_tells_nothing() -> Result<()> {
    let post = Post::open().await?;
    let ours = given_cloud_with(|config| post.is_used_by(config)).await?;
    ours.given_owner("acme").await?;
    given_platform(&ours).await?;
    let anonymous = ours.anonymous();
    let mut answers = Vec::new();
    for email in ["nobody@acme.isp", "pat@platform.isp", "owner@acme.isp"] {
        let begun = std::time::Instant::now();
        let answer = anonymous.post(FORGOT, &json!({"email": email})).await?;
        assert!(begun.elapsed() >= Duration::from_millis(250), "{email}");
        assert_eq!(answer.status, StatusCode::OK);
        answers.push(answer.body);
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    let mail = post.mail(1).await?;
    assert!(mail.contains("To: owner@acme.isp"), "{mail}");
    assert_eq!(post.letters()?.len(), 1);

    for _ in 0..4 {
        anonymous
            .post(FORGOT, &json!({"email": "owner@acme.isp"}))
            .await?;
    }
    let many = anonymous
        .post(FORGOT, &json!({"email": "owner@acme.isp"}))
        .await?;
    assert_eq!(many.status, StatusCode::TOO_MANY_REQUESTS);

    let without = given_cloud().await?;
    let answer = without
        .anonymous()
        .post(FORGOT, &json!({"email": "a@b.isp"}))
        .await?;
    assert_eq!(answer.code(), "NO_MAIL");
    Ok(())
}

/// A mail server that is away gets the mail when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_is_away_is_tried_again() -> Result<()> {
    let mut post = Post::open().await?;
    post.server.kill().await?;
    let ours = given_cloud_with(|config| post.is_used_by(config)).await?;
    ours.given_owner("acme").await?;
    let body = json!({"email": "owner@acme.isp"});
    assert_eq!(
        ours.anonymous().post(FORGOT, &body).await?.status,
        StatusCode::OK
    );
    post.reopen().await?;
    eventually("the mail came", async || {
        ours.clock.advance(Duration::from_secs(2));
        Ok((!post.letters()?.is_empty()).then_some(()))
    })
    .await?;
    Ok(())
}

async fn sign_in(client: &Client, password: &str) -> Result<StatusCode> {
    let body = json!({"email": "owner@acme.isp", "password": password});
    Ok(client.post("/api/auth/login", &body).await?.status)
}

/// A mail server and what it took.
pub struct Post {
    address: SocketAddr,
    folder: TempDir,
    server: Child,
}

impl Post {
    pub async fn open() -> Result<Post> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free_here()?.port()));
        let folder = TempDir::new()?;
        let server = Post::start(address, &folder)?;
        let post = Post {
            address,
            folder,
            server,
        };
        post.answers().await?;
        Ok(post)
    }

    fn start(address: SocketAddr, folder: &TempDir) -> Result<Child> {
        let python = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/python");
        let mut command = Command::new(python);
        command
            .args([
                "-m",
                "aiosmtpd",
                "--nosetuid",
                "--listen",
                &address.to_string(),
            ])
            .args(["--class", "aiosmtpd.handlers.Mailbox"])
            .arg(folder.path().join("mail"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        command
            .spawn()
            .context("aiosmtpd: tests/prepare installs it")
    }

    async fn reopen(&mut self) -> Result<()> {
        self.server = Post::start(self.address, &self.folder)?;
        self.answers().await
    }

    async fn answers(&self) -> Result<()> {
        eventually("the mail server answers", async || {
            Ok(TcpStream::connect(self.address).await.ok().map(drop))
        })
        .await
    }

    fn is_used_by(&self, config: &mut Config) {
        config.http.public_url = Some("https://isp.example".into());
        self.carries(config);
    }

    /// From here on mail goes there.
    pub fn carries(&self, config: &mut Config) {
        config.smtp.host = Some(self.address.ip().to_string());
        config.smtp.port = Some(self.address.port());
        config.smtp.tls = Some(SmtpTls::None);
        config.smtp.from = Some("Acme <no-reply@acme.isp>".into());
    }

    pub fn letters(&self) -> Result<Vec<PathBuf>> {
        let new = self.folder.path().join("mail/new");
        let Ok(entries) = std::fs::read_dir(new) else {
            return Ok(Vec::new());
        };
        let mut letters = entries
            .map(|entry| {
                let entry = entry?;
                Ok((entry.metadata()?.modified()?, entry.path()))
            })
            .collect::<Result<Vec<_>>>()?;
        letters.sort();
        Ok(letters.into_iter().map(|(_, path)| path).collect())
    }

    /// The newest mail, once there are so many.
    async fn mail(&self, count: usize) -> Result<String> {
        eventually("a mail came", async || {
            let letters = self.letters()?;
            let newest = letters.last().filter(|_| letters.len() == count);
            Ok(match newest {
                Some(newest) => Some(std::fs::read_to_string(newest)?),
                None => None,
            })
        })
        .await
    }

    /// The token of the newest mail's link.
    async fn link(&self, count: usize) -> Result<String> {
        let mail = self.mail(count).await?;
        // As RFC 2045 §6.7 breaks long lines.
        let mail = mail.replace("=\r\n", "").replace("=\n", "");
        let (_, rest) = mail
            .split_once("https://isp.example/console/reset#")
            .with_context(|| format!("a link in {mail}"))?;
        let token = rest.split_whitespace().next().context("a token")?;
        Ok(token.to_owned())
    }
}
