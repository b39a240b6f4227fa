//! The page of a device in a browser, behind a secret that counts once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_tests::device::{Device, WELCOME};
use easyisp_tests::router::online::Online;
use easyisp_tests::router::subscriber::Dial;
use easyisp_tests::world::{Provider, Site, World, eventually, soon};
use reqwest::header::{COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::given;
use crate::words::DAY;

/// Jane's device, with its page, and the way to it.
struct Way {
    world: World,
    isp: Provider,
    site: Site,
    device: Device,
    jane: Online,
    at: SocketAddr,
    customer: String,
    opened: Value,
}

impl Way {
    async fn open(
        name: &str,
        port: u16,
        device: impl FnOnce(TcpListener) -> Result<Device>,
        change: impl FnOnce(&mut easyisp_cloud::config::Config),
    ) -> Result<Way> {
        let (world, isp, mut site, _) = given(name, change).await?;
        let home = world.roof();
        let page = TcpListener::bind((home, port)).await?;
        let at = page.local_addr()?;
        let device = device(page)?;
        site.stop_agent().await;
        site.configure(|config| config.access.customer_ports = vec![at.port()]);
        site.start_agent().await?;
        site.caught_up().await?;
        site.router.lease_from(home);
        let until = world.clock.now().plus(DAY);
        let customer = isp.add_subscriber("jane", "254712345670", until).await?;
        site.knows("jane", "at all", |_| true).await?;
        let Dial::Online(jane) = site.dial("jane").await else {
            anyhow::bail!("jane is not online");
        };
        let wish = json!({"port": at.port(), "minutes": 5, "reason": "Her Wi-Fi is slow"});
        let opened = eventually("the agent knows her session", async || {
            let door = format!("/customers/{customer}/access");
            let (status, answer) = isp.owner.call(Method::POST, &door, Some(&wish)).await?;
            Ok((status == StatusCode::OK).then_some(answer))
        })
        .await?;
        Ok(Way {
            world,
            isp,
            site,
            device,
            jane,
            at,
            customer,
            opened,
        })
    }

    fn said(&self, field: &str) -> Result<String> {
        let said = self.opened[field].as_str().context("words")?;
        Ok(said.to_owned())
    }

    /// Shows a secret as a console's form does, which another page sends.
    async fn shows(&self, client: &Client, secret: &str) -> Result<Response> {
        let form = client.post(self.said("enterUrl")?);
        let form = form.header("content-type", "application/x-www-form-urlencoded");
        let form = form.header(ORIGIN, "https://isp.example");
        Ok(form.body(format!("secret={secret}")).send().await?)
    }

    /// The cookie that a browser holds from then on, and its flags.
    async fn enters(&self, client: &Client) -> Result<(String, String)> {
        let entered = self.shows(client, &self.said("secret")?).await?;
        assert_eq!(entered.status(), StatusCode::OK);
        let cookie = entered.headers()[SET_COOKIE].to_str()?;
        let (cookie, flags) = cookie.split_once(';').context("flags")?;
        Ok((cookie.to_owned(), flags.to_owned()))
    }

    async fn stop(self) -> Result<()> {
        self.site.stop().await;
        self.world.stop().await
    }
}

/// Who does not show the secret sees a form and nothing of the device, from wherever he asks; the secret counts once and
/// is in no address, list or trail. Who showed it sees the page, the device sees a browser at its own address and nothing
/// of the console's, and what the device says stays on its page. The way is gone with the session that it led to.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_seen_by_who_showed_the_secret_and_by_nobody_else() -> Result<()> {
    let way = Way::open("cpe", 0, |at| Ok(Device::plain(at)), |_| {}).await?;
    let (url, secret) = (way.said("url")?, way.said("secret")?);
    ensure!(!url.contains(&secret) && !way.said("enterUrl")?.contains(&secret));
    let client = browser(|client| client)?;

    for (asked, wanted) in [
        (client.get(&url), StatusCode::UNAUTHORIZED),
        (
            client.get(format!("{url}?secret={secret}")),
            StatusCode::UNAUTHORIZED,
        ),
        (
            client.get(way.said("enterUrl")?),
            StatusCode::METHOD_NOT_ALLOWED,
        ),
        (
            client.get(&url).header(HOST, "evil.example:42000"),
            StatusCode::MISDIRECTED_REQUEST,
        ),
    ] {
        let answer = asked.send().await?;
        assert_eq!(answer.status(), wanted);
        ensure!(!answer.text().await?.contains(WELCOME));
    }
    let long = way.shows(&client, &"x".repeat(2_000)).await?;
    assert_eq!(long.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let guessed = way.shows(&client, "guessed").await?;
    assert_eq!(guessed.status(), StatusCode::UNAUTHORIZED);
    let elsewhere = browser(|client| client.local_address(IpAddr::from([127, 0, 0, 9])))?;
    ensure!(elsewhere.get(&url).send().await.is_err(), "not his address");
    ensure!(way.device.asked().is_empty(), "the device was asked");

    let (cookie, flags) = way.enters(&client).await?;
    for flag in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        ensure!(flags.contains(flag), "{flags}");
    }
    ensure!(!flags.contains("Domain") && !cookie.contains(&secret));
    let again = way.shows(&client, &secret).await?;
    assert_eq!(again.status(), StatusCode::UNAUTHORIZED, "once");
    let trail = way.isp.owner.get("/audit-logs").await?.to_string();
    let listed = way.isp.owner.get("/access").await?.to_string();
    ensure!(trail.contains("ACCESS_ENTER"), "{trail}");
    ensure!(!trail.contains(&secret) && !listed.contains(&secret));

    let get = |path: &str| client.get(format!("{url}{path}")).header(COOKIE, &cookie);
    ensure!(get("").send().await?.text().await?.contains(WELCOME));
    let large = get("large").send().await?.bytes().await?;
    assert_eq!(large.len(), 1_000_000);
    let own = url.trim_end_matches('/');
    let posted = client.post(format!("{url}echo")).header(COOKIE, &cookie);
    let posted = posted.header(ORIGIN, own).body("ssid=jane").send().await?;
    assert_eq!(posted.text().await?, "ssid=jane");

    // Logging in at the device: its cookie and its address, as the browser is to know them.
    let login = client.post(format!("{url}login")).header(COOKIE, &cookie);
    let login = login.send().await?;
    assert_eq!(login.headers()[LOCATION].to_str()?, url);
    let session = login.headers()[SET_COOKIE].to_str()?;
    ensure!(!session.contains("Domain"), "{session}");
    let session = session.split(';').next().context("a cookie")?;
    way.device.asked();
    let seen = client
        .get(format!("{url}seen?a=1"))
        .header(
            COOKIE,
            format!("sid=other; {cookie}; {session}; __Host-easyisp=console"),
        )
        .header("authorization", "Bearer console")
        .header("x-forwarded-for", "10.0.0.1");
    let seen = seen.send().await?;
    for gone in [
        "strict-transport-security",
        "access-control-allow-origin",
        "set-cookie",
    ] {
        assert_eq!(seen.headers().get(gone), None, "{gone}");
    }
    assert_eq!(seen.headers()["cache-control"], "no-store");
    let (path, with) = way.device.asked().pop().context("it was asked")?;
    assert_eq!(path, "/seen?a=1");
    assert_eq!(with["cookie"], "sid=8");
    assert_eq!(with["host"], way.at.to_string());
    for hidden in ["authorization", "x-forwarded-for", "origin"] {
        assert_eq!(with.get(hidden), None, "{hidden}");
    }

    // Another page, in the same browser and with the same cookies.
    for (asked, wanted) in [
        (
            get("seen").header(ORIGIN, "http://127.0.0.1:1"),
            StatusCode::FORBIDDEN,
        ),
        (
            get("seen").header("referer", "http://127.0.0.1:1/"),
            StatusCode::FORBIDDEN,
        ),
        (
            get("seen").header("sec-fetch-site", "same-site"),
            StatusCode::FORBIDDEN,
        ),
        (
            get("seen").header("service-worker", "script"),
            StatusCode::METHOD_NOT_ALLOWED,
        ),
        (
            get("seen")
                .header("connection", "upgrade")
                .header("upgrade", "websocket"),
            StatusCode::NOT_IMPLEMENTED,
        ),
    ] {
        assert_eq!(asked.send().await?.status(), wanted);
    }
    ensure!(way.device.asked().is_empty(), "the device was asked");
    let away = get("away").send().await?;
    assert_eq!(
        (away.status(), away.headers().get(LOCATION)),
        (StatusCode::BAD_GATEWAY, None)
    );

    // Bob is not online: there is nowhere to lead to.
    let until = way.world.clock.now().plus(DAY);
    let bob = way
        .isp
        .add_subscriber("bobby", "254712345671", until)
        .await?;
    let wish = json!({"port": way.at.port(), "reason": "His Wi-Fi is slow"});
    let door = format!("/customers/{bob}/access");
    let (status, answer) = way.isp.owner.call(Method::POST, &door, Some(&wish)).await?;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");

    way.jane.hang_up().await;
    eventually("the way is gone with her session", async || {
        way.world.clock.advance(Duration::from_secs(1));
        let open = way.site.agent().overview().access.report();
        Ok(open.is_empty().then_some(()))
    })
    .await?;
    let late = get("").send().await;
    let late = late.map_or(StatusCode::BAD_GATEWAY, |answer| answer.status());
    assert_eq!(
        late,
        StatusCode::BAD_GATEWAY,
        "somebody answers in her place"
    );
    way.site.stop().await;
    way.world.stop().await
}

/// What is on its way when a way ends, by its time, ends where it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_being_read_ends_with_the_ways_time() -> Result<()> {
    let way = Way::open("endless", 0, |at| Ok(Device::plain(at)), |_| {}).await?;
    let client = browser(|client| client)?;
    let (cookie, _) = way.enters(&client).await?;
    let asked = client.get(format!("{}endless", way.said("url")?));
    let mut reading = asked.header(COOKIE, cookie).send().await?;
    for _ in 0..3 {
        ensure!(soon("a line", reading.chunk()).await??.is_some());
    }
    // The secret of another way, when its minute is over: that way lets nobody in.
    let wish = json!({"port": way.at.port(), "minutes": 5, "reason": "Her Wi-Fi is slow"});
    let door = format!("/customers/{}/access", way.customer);
    let late = way.isp.owner.post(&door, &wish).await?;
    way.world.clock.advance(Duration::from_secs(61));
    let enter = late["enterUrl"].as_str().context("a way in")?;
    let shown = client.post(enter);
    let shown = shown.header("content-type", "application/x-www-form-urlencoded");
    let secret = late["secret"].as_str().context("a secret")?;
    let shown = shown.body(format!("secret={secret}")).send().await?;
    assert_eq!(shown.status(), StatusCode::UNAUTHORIZED);

    ensure!(soon("a line", reading.chunk()).await??.is_some());
    let reads = async {
        while let Ok(Some(_)) = reading.chunk().await {}
        std::time::Instant::now()
    };
    let ends = async {
        way.world.clock.advance(Duration::from_secs(240));
        std::time::Instant::now()
    };
    let (read, ended) = soon("it ends", async { tokio::join!(reads, ends) }).await?;
    ensure!(read.duration_since(ended) < Duration::from_secs(2), "late");
    eventually("both are written down", async || {
        let past = way.isp.owner.get("/access").await?;
        let why = [0, 1].map(|nth| past["access"][nth]["closedWhy"].clone());
        Ok((why.contains(&json!("EXPIRED")) && !why.contains(&Value::Null)).then_some(()))
    })
    .await?;
    way.stop().await
}

/// A device that speaks TLS by a certificate of its own, and pages under names of their own with the certificate of the
/// cloud's: browsers share nothing between two ways.
#[tokio::test(flavor = "multi_thread")]
async fn pages_have_names_of_their_own_and_tls() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let made = rcgen::generate_simple_self_signed(["*.devices.example".to_owned()])?;
    let (certificate, key) = (
        folder.path().join("chain.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&certificate, made.cert.pem())?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    let change = |config: &mut easyisp_cloud::config::Config| {
        config.access.host = Some("*.devices.example".to_owned());
        config.access.certificate = Some(certificate);
        config.access.key = Some(key);
    };
    let way = Way::open("named", 8443, Device::safe, change).await?;
    let (url, host) = (way.said("url")?, way.said("host")?);
    let port = u16::try_from(way.opened["port"].as_u64().context("a port")?)?;
    assert_eq!(url, format!("https://{host}:{port}/"));
    let another = "other.devices.example";
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let authority = reqwest::Certificate::from_pem(made.cert.pem().as_bytes())?;
    let client = browser(|client| {
        let client = client.tls_certs_only([authority]);
        client.resolve(&host, at).resolve(another, at)
    })?;
    let (cookie, flags) = way.enters(&client).await?;
    ensure!(
        cookie.starts_with("__Host-") && flags.contains("Secure"),
        "{cookie} {flags}"
    );
    let page = client.get(&url).header(COOKIE, &cookie).send().await?;
    ensure!(page.text().await?.contains(WELCOME));
    let login = client.post(format!("{url}login")).header(COOKIE, &cookie);
    let login = login.send().await?;
    assert_eq!(login.headers()[SET_COOKIE], "sid=8; Path=/; HttpOnly");
    assert_eq!(login.headers()[LOCATION].to_str()?, url);
    let other = client.get(format!("https://{another}:{port}/"));
    let other = other.header(COOKIE, &cookie).send().await?;
    assert_eq!(other.status(), StatusCode::MISDIRECTED_REQUEST);
    way.stop().await
}

/// A browser that follows nothing by itself.
fn browser(
    change: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<Client> {
    let client = Client::builder().no_proxy();
    let client = client.redirect(reqwest::redirect::Policy::none());
    Ok(change(client).build()?)
}
