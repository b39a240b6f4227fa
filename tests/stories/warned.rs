//! What is wrong with a router or a box, on the operator's page within a minute, and gone when it is mended.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use easyisp_agent::hosted::{self, Hosted};
use easyisp_agent::radius::builder::Signature;
use easyisp_agent::radius::client::{Login, Method, access_request, read_answer};
use easyisp_agent::radius::dictionary::attribute;
use easyisp_agent::radius::{Code, Packet, Secret, SigningPolicy};
use easyisp_agent::sync::enroll;
use easyisp_shared::entropy::Entropy;
use easyisp_tests::operator::Operator;
use easyisp_tests::router::subscriber::Dial;
use easyisp_tests::world::{PASSWORD, Provider, Site, World, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::words::{DAY, MINUTE};

const HOME: [u8; 4] = [127, 0, 0, 1];
const NAME: &[u8] = b"akinyi";

/// Another secret at the router, whatever way the password is shown in: silence, counts, no customer locked out,
/// and a sentence with a remedy on the router's and the site's page until the right secret is proved.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_named_on_the_routers_page() -> Result<()> {
    let world = World::start().await?;
    let (isp, site) = given_site(&world, "secrets").await?;
    let nas = format!("/nas/{}", site.router_id);
    let shown = isp.owner.get(&nas).await?;
    assert_eq!(shown["warnings"], json!([]), "{shown}");
    let page = format!("/sites/{}", shown["siteId"].as_str().context("a site")?);

    let asked = site.asked();
    let answered = blocking(move || {
        let mut answered = 0;
        for method in methods().into_iter().cycle().take(36) {
            let answer = ask(HOME, asked, b"some-other-secret", &signed(method))?;
            answered += usize::from(answer.is_some());
        }
        Ok(answered)
    });
    assert_eq!(answered.await?, 0);
    let counters = site.agent().overview().counters.all();
    assert_eq!(counters.get("bad_message_authenticator"), Some(&36));
    assert_eq!(counters.get("rejected"), Some(&0));

    let warning = warned(&world, &isp, &nas, "WRONG_SECRET").await?;
    let message = warning["message"].as_str().context("a message")?;
    ensure!(message.contains("Tower"), "{message}");
    ensure!(!warning["remedy"].as_str().unwrap_or("").is_empty());
    let since = warning["since"].as_str().context("since when")?;
    assert_eq!(since, easyisp_tests::world::START.to_string());
    let of_site = warned(&world, &isp, &page, "WRONG_SECRET").await?;
    assert_eq!(of_site, warning);
    let listed = isp.owner.get("/nas").await?;
    assert_eq!(listed["routers"][0]["warnings"][0], warning);

    let online = site.dial("akinyi").await.online();
    online.started().await;
    mended(&world, &isp, &nas, "WRONG_SECRET").await?;
    mended(&world, &isp, &page, "WRONG_SECRET").await?;
    site.stop().await;
    world.stop().await
}

/// D7: what could not be applied is told where people look, with how much of it.
#[tokio::test(flavor = "multi_thread")]
async fn reports_that_were_set_aside_are_named_on_the_sites_page() -> Result<()> {
    let world = World::start().await?;
    let (isp, site) = given_site(&world, "aside").await?;
    let shown = isp.owner.get(&format!("/nas/{}", site.router_id)).await?;
    let page = format!("/sites/{}", shown["siteId"].as_str().context("a site")?);
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    let now = world.clock.now();
    sqlx::query(
        "insert into quarantine
             (tenant_id, agent_id, outbox_id, lane, sequence, kind, version, body, error, at)
         select tenant_id, id, id, 1, 7, 900, 1, '', 'unknown', $1 from agents",
    )
    .bind(now)
    .execute(&mut *tx)
    .await?;
    sqlx::query("update agents set dropped_reports = 12, dropped_at = $1")
        .bind(now.plus(MINUTE))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    let warning = warned(&world, &isp, &page, "REPORTS_SET_ASIDE").await?;
    let message = warning["message"].as_str().context("a message")?;
    ensure!(
        message.contains("1 kept") && message.contains("12 only"),
        "{message}"
    );
    assert_eq!(warning["since"], now.to_string());

    // Nobody hears of them for ever.
    let mut admin = PgConnection::connect_with(&world.database.anybody()).await?;
    for whole in [
        "update quarantine set at = $1",
        "update agents set dropped_at = $1",
    ] {
        let long_ago = now.minus(90 * DAY);
        sqlx::query(whole)
            .bind(long_ago)
            .execute(&mut admin)
            .await?;
    }
    admin.close().await?;
    world.clock.advance(DAY);
    mended(&world, &isp, &page, "REPORTS_SET_ASIDE").await?;
    site.stop().await;
    world.stop().await
}

/// Whether unsigned requests are taken: by what the router was seen or is known to do, or never. What is not
/// taken meets silence and a count, and is named; a reject could be made into something else on the way.
#[tokio::test(flavor = "multi_thread")]
async fn unsigned_requests_are_taken_as_the_router_is_set() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "signing").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("akinyi", "254712345690", until).await?;
    site.knows("akinyi", "at all", |_| true).await?;
    let nas = format!("/nas/{}", site.router_id);
    let shown = isp.owner.get(&nas).await?;
    assert_eq!(shown["messageAuthenticator"], "LEARN", "{shown}");
    let count = |what: &str| {
        let counters = site.agent().overview().counters.all();
        counters.get(what).copied().unwrap_or(0)
    };
    let send = async |signature, proxied, secret: &'static [u8]| {
        let asked = site.asked();
        blocking(move || {
            let extra: &[(u8, &[u8])] = match proxied {
                true => &[(attribute::PROXY_STATE, b"through")],
                false => &[],
            };
            let login = Login {
                user_name: NAME,
                method: Method::Pap { password: NAME },
                extra,
                signature,
            };
            ask(HOME, asked, secret, &login)
        })
        .await
    };
    let (none, some) = (Signature::None, Signature::MessageAuthenticator);
    let right = site.secret().as_bytes();

    assert_eq!(send(none, false, right).await?, Some(Code::AccessAccept));
    warned(&world, &isp, &nas, "UNSIGNED").await?;
    assert_eq!(send(none, true, right).await?, None);
    assert_eq!(count("unsigned_proxy_state"), 1);
    warned(&world, &isp, &nas, "UNSIGNED_REFUSED").await?;

    // The router's own API says that its build signs.
    eventually("the build is known", async || {
        world.clock.advance(5 * MINUTE);
        let router = site.agent().overview().site.routers().remove(0);
        let signs = SigningPolicy::Learn { signs: true };
        Ok((router.signing_policy(HOME.into()) == signs).then_some(()))
    })
    .await?;
    assert_eq!(send(none, false, right).await?, None);
    assert_eq!(count("missing_message_authenticator"), 1);

    let require = json!({"messageAuthenticator": "REQUIRE"});
    let changed = isp.owner.put(&nas, &require).await?;
    assert_eq!(changed["messageAuthenticator"], "REQUIRE", "{changed}");
    eventually("the agent requires it", async || {
        let router = site.agent().overview().site.routers().remove(0);
        let policy = router.signing_policy(HOME.into());
        Ok((policy == SigningPolicy::Require).then_some(()))
    })
    .await?;
    assert_eq!(send(none, false, right).await?, None);
    assert_eq!(send(none, true, right).await?, None);
    assert_eq!(count("missing_message_authenticator"), 3);
    assert_eq!(send(some, false, b"some-other-secret").await?, None);
    assert_eq!(count("bad_message_authenticator"), 1);
    assert_eq!(send(some, false, right).await?, Some(Code::AccessAccept));
    assert_eq!(send(some, true, right).await?, Some(Code::AccessAccept));
    assert_eq!(count("rejected"), 0);

    let (status, refused) = isp
        .owner
        .call(
            reqwest::Method::PUT,
            &nas,
            Some(&json!({"messageAuthenticator": "SOMETIMES"})),
        )
        .await?;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
    site.stop().await;
    world.stop().await
}

/// Across a WAN nothing unsigned is taken unless an operator says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_of_a_hosted_site_must_sign_from_the_start() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "hosted").await?;
    let token = isp.owner.join_token().await?;
    let mut config = world.box_config()?;
    let folder = hosted::folder(&config.data_dir, "far");
    let identity = easyisp_agent::config::Config {
        data_dir: folder,
        ..easyisp_agent::config::Config::default()
    };
    let cloud = world.agents().to_string();
    enroll(
        &cloud,
        &token,
        &identity.identity_folder(),
        easyisp_agent::VERSION,
    )
    .await?;
    config.site.ranges.clear();
    let agent = Hosted::start(config, world.clock.clone(), Entropy::system()).await?;

    let sites = isp.owner.get("/sites").await?;
    let site = sites["sites"][0]["id"]
        .as_str()
        .context("a site")?
        .to_owned();
    let mut number = 0;
    let made = eventually("the cloud knows that the agent is hosted", async || {
        world.clock.advance(LOOK);
        number += 1;
        let router = json!({"name": format!("Far {number}"), "ipAddress": format!("198.51.100.{number}"),
            "siteId": site});
        let made = isp.owner.post("/nas", &router).await?;
        Ok((made["messageAuthenticator"] == "REQUIRE").then_some(made))
    })
    .await?;
    let nas = format!("/nas/{}", made["id"].as_str().context("an id")?);
    let learn = json!({"messageAuthenticator": "LEARN"});
    assert_eq!(
        isp.owner.put(&nas, &learn).await?["messageAuthenticator"],
        "LEARN"
    );
    agent.stop().await;
    world.stop().await
}

/// A router found at another address is served there and shown there, until it is where its record says.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_moved_is_shown_where_it_is() -> Result<()> {
    let world = World::start().await?;
    let (isp, site) = given_site(&world, "moved").await?;
    let nas = format!("/nas/{}", site.router_id);
    let (asked, secret) = (site.asked(), site.secret().as_bytes());
    let login = || signed(Method::Pap { password: NAME });
    let from_there = blocking(move || ask([127, 0, 9, 7], asked, secret, &login()));
    assert_eq!(from_there.await?, Some(Code::AccessAccept));

    let warning = warned(&world, &isp, &nas, "ROUTER_MOVED").await?;
    let message = warning["message"].as_str().context("a message")?;
    ensure!(message.contains("127.0.9.7"), "{message}");
    assert_eq!(isp.owner.get(&nas).await?["lastSource"], "127.0.9.7");

    site.dial("akinyi").await.online().started().await;
    mended(&world, &isp, &nas, "ROUTER_MOVED").await?;
    assert_eq!(isp.owner.get(&nas).await?["lastSource"], Value::Null);
    site.stop().await;
    world.stop().await
}

/// A box that can write nothing says so while it cannot: not in its outbox, which cannot be written.
#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_cannot_write_is_named_while_it_cannot() -> Result<()> {
    let world = World::start().await?;
    let (isp, mut site) = given_site(&world, "full").await?;
    site.stop_agent().await;
    let outbox = rusqlite::Connection::open(site.config().data_dir.join("outbox.db"))?;
    // Whatever is written, marks too, fails as on a full disk.
    let broken = ["records", "marks"].map(|table| {
        format!(
            "create trigger broken_{table} before insert on {table} begin select raise(abort, 'disk'); end;"
        )
    });
    outbox.execute_batch(&broken.concat())?;
    site.start_agent().await?;
    site.caught_up().await?;
    let shown = isp.owner.get(&format!("/nas/{}", site.router_id)).await?;
    let page = format!("/sites/{}", shown["siteId"].as_str().context("a site")?);

    let dialled = site.dial("akinyi").await;
    ensure!(matches!(dialled, Dial::Online(_)), "logins go on");
    let warning = warned(&world, &isp, &page, "ACCOUNTING_REFUSED").await?;
    assert_eq!(
        warning["agentId"],
        isp.owner.get(&page).await?["agents"][0]["id"]
    );

    outbox.busy_timeout(Duration::from_secs(5))?;
    outbox.execute_batch("drop trigger broken_records; drop trigger broken_marks;")?;
    mended(&world, &isp, &page, "ACCOUNTING_REFUSED").await?;
    site.stop().await;
    world.stop().await
}

/// A box that is away for too long to renew its certificate in time is named before that, in earnest a week before,
/// and no more once it came back and renewed it.
#[tokio::test(flavor = "multi_thread")]
async fn a_box_whose_certificate_is_not_renewed_is_named() -> Result<()> {
    let world = World::start().await?;
    let (isp, mut site) = given_site(&world, "away").await?;
    isp.subscribe(&world).await?;
    let shown = isp.owner.get(&format!("/nas/{}", site.router_id)).await?;
    let page = format!("/sites/{}", shown["siteId"].as_str().context("a site")?);
    site.stop_agent().await;
    let after = async |days: u32| {
        world.clock.advance(days * DAY);
        let owner = Operator::login(world.api(), "owner@away.example", PASSWORD).await?;
        let shown = owner.get(&page).await?;
        let warnings = shown["warnings"].as_array().context("warnings")?;
        let codes = warnings.iter().filter_map(|one| one["code"].as_str());
        anyhow::Ok(codes.map(str::to_owned).collect::<Vec<String>>())
    };
    assert_eq!(after(15).await?, [""; 0]);
    assert_eq!(after(2).await?, ["AGENT_CERTIFICATE_ENDING"]);
    assert_eq!(after(7).await?, ["AGENT_CERTIFICATE_ENDS_SOON"]);

    // Back, it is told what time it is, and begins once more by that.
    for _ in 0..2 {
        site.start_agent().await?;
        site.caught_up().await?;
        site.stop_agent().await;
    }
    let left = after(0).await?;
    assert!(
        !left
            .iter()
            .any(|code| code.starts_with("AGENT_CERTIFICATE")),
        "{left:?}"
    );
    site.stop().await;
    world.stop().await
}

async fn given_site(world: &World, name: &str) -> Result<(Provider, Site)> {
    let isp = Provider::sign_up(world, name).await?;
    let site = Site::open(world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("akinyi", "254712345690", until).await?;
    site.knows("akinyi", "at all", |_| true).await?;
    Ok((isp, site))
}

/// Moves the clock by at most a minute until a page warns of this.
async fn warned(world: &World, isp: &Provider, page: &str, code: &str) -> Result<Value> {
    for _ in 0..4 {
        world.clock.advance(LOOK);
        let look = eventually(code, async || Ok(warning(isp, page, code).await?));
        if let Ok(found) = tokio::time::timeout(SOON, look).await {
            return found;
        }
    }
    bail!("no {code} within a minute: {}", isp.owner.get(page).await?)
}

/// Moves the clock until a page does not warn of this any more.
async fn mended(world: &World, isp: &Provider, page: &str, code: &str) -> Result<()> {
    eventually(&format!("{code} is over"), async || {
        world.clock.advance(LOOK);
        Ok(warning(isp, page, code).await?.is_none().then_some(()))
    })
    .await
}

async fn warning(isp: &Provider, page: &str, code: &str) -> Result<Option<Value>> {
    let shown = isp.owner.get(page).await?;
    let warnings = shown["warnings"].as_array().context("warnings")?;
    let found = warnings.iter().find(|warning| warning["code"] == code);
    Ok(found.cloned())
}

fn methods() -> [Method<'static>; 3] {
    let challenge = [7; 16];
    [
        Method::Pap { password: NAME },
        Method::Chap {
            password: NAME,
            identifier: 1,
            challenge,
        },
        Method::MsChapV2 {
            password: NAME,
            identifier: 1,
            challenge,
            peer_challenge: challenge,
        },
    ]
}

fn signed(method: Method<'static>) -> Login<'static> {
    Login {
        user_name: NAME,
        method,
        extra: &[],
        signature: Signature::MessageAuthenticator,
    }
}

/// Asks from an address of the router's; what the answer is, `None` for silence.
fn ask(from: [u8; 4], to: SocketAddr, secret: &[u8], login: &Login<'_>) -> Result<Option<Code>> {
    let socket = UdpSocket::bind(SocketAddr::from((from, 0)))?;
    socket.set_read_timeout(Some(SILENCE))?;
    let secret = Secret::new(secret);
    let authenticator: [u8; 16] = Entropy::system().bytes();
    let request = access_request(login, 1, &authenticator, &secret)?;
    socket.send_to(&request, to)?;
    let mut buffer = [0; 4096];
    let Ok((length, _)) = socket.recv_from(&mut buffer) else {
        return Ok(None);
    };
    read_answer(&buffer[..length], &request, &secret)?;
    Ok(Packet::parse(&buffer[..length])?.code())
}

async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(ask).await?
}

/// How often an agent looks for what is to be told.
const LOOK: Duration = Duration::from_secs(15);
const SILENCE: Duration = Duration::from_millis(150);
const SOON: Duration = Duration::from_secs(3);
