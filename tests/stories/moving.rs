//! Moving in: a real FreeRADIUS goes on behind the agent, and nobody at the router notices.

mod old;
mod stranger;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use easyisp_agent::radius::builder::{Builder, Signature};
use easyisp_agent::radius::dictionary::attribute;
use easyisp_agent::radius::shadow::proxy;
use easyisp_agent::radius::{Code, Packet, Secret};
use easyisp_tests::freeradius::radclient;
use easyisp_tests::ports;
use easyisp_tests::router::Server;
use easyisp_tests::router::session::Service;
use easyisp_tests::router::subscriber::{Dial, Method};
use easyisp_tests::world::{Provider, Site, World, eventually, soon};
use old::{OLD_SECRET, Old, users};
use serde_json::{Value, json};
use tokio::net::UdpSocket;

use crate::words::{DAY, HOUR, MINUTE};

/// Whoever is no customer yet is let in by the old server through us: by PAP, CHAP and MS-CHAPv2, with what
/// the old server gives him. His sessions are booked at both, and the operator reads who he is.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_is_let_in_by_the_old_server() -> Result<()> {
    let (world, isp, site) = given("unknown").await?;
    let old = Old::start(&users(&[("halima", "5M/5M", 3600)])).await?;
    old.put(&isp, &site, "SHADOW").await?;

    for method in [Method::Pap, Method::Chap, Method::MsChapV2] {
        let online = site.router.subscriber("halima", "halima", method);
        let online = online.dial().await.online();
        let session = online.session().context("online")?;
        assert_eq!(session.grants.rate_limit.as_deref(), Some("5M/5M"));
        assert_eq!(session.grants.session_timeout, Some(3600));
        online.started().await;
        assert!(online.hang_up().await, "{method:?}");
    }
    let wrong = site.router.subscriber("halima", "guess", Method::Chap);
    assert!(matches!(wrong.dial().await, Dial::Rejected(_)));
    let nobody = site.router.subscriber("nobody", "nobody", Method::MsChapV2);
    assert!(matches!(nobody.dial().await, Dial::Rejected(_)));
    stranger::mppe_keys_are_the_subscribers(&site).await?;
    stranger::eap_goes_through(&site, "halima").await?;

    let booked = old.radius.accounting()?;
    assert_eq!(booked.matches("Acct-Status-Type = Start").count(), 3);
    assert_eq!(booked.matches("Acct-Status-Type = Stop").count(), 3);
    site.reported().await?;
    assert_eq!(isp.sessions_of("halima").await?.len(), 3, "and ours");

    let shown = reported(&world, &isp, &site, |shown| {
        let report = &shown["report"];
        shown["unknownUsers"] == 1
            && report["accepted"].as_i64() >= Some(5)
            && report["rejected"].as_i64() >= Some(2)
            && report["accounted"] == 6
    })
    .await?;
    let report = &shown["report"];
    assert_eq!(
        (&report["asked"], &report["ignored"]),
        (&json!(0), &json!(0))
    );
    let path = format!("/nas/{}/moving/users", site.router_id);
    let list = isp.owner.get(&path).await?;
    let user = &list["users"][0];
    assert_eq!(
        (&list["total"], &user["username"]),
        (&json!(1), &json!("halima"))
    );
    assert_eq!(
        (&user["rateLimit"], &user["connectionType"]),
        (&json!("5M/5M"), &json!("PPPOE"))
    );

    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("halima", "254712345671", until).await?;
    assert_eq!(isp.owner.get(&path).await?["total"], 0, "he moved in");
    old.radius.stop().await?;
    site.stop().await;
    world.stop().await
}

/// The old server does not look at what a password is shown for. A customer's name is not shown to it when
/// somebody wants into the router itself; the provider's people, who are unknown here, get in as before.
#[tokio::test(flavor = "multi_thread")]
async fn a_customer_gets_into_no_router_while_we_move_in() -> Result<()> {
    let (world, isp, site) = given("inward").await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("amina", "254712345678", until).await?;
    site.knows("amina", "at all", |_| true).await?;
    let people = [("amina", "5M/5M", 3600), ("staff", "5M/5M", 3600)];
    let old = Old::start(&users(&people)).await?;
    let opens = async |name: &str| -> Result<bool> {
        let shown = format!(
            "User-Name = \"{name}\"\nUser-Password = \"{name}\"\nService-Type = Login-User\n\
             Calling-Station-Id = \"192.168.88.20\"\nMessage-Authenticator = 0x00\n"
        );
        let answer = radclient(site.asked(), "auth", site.secret(), &shown).await?;
        Ok(answer.contains("Received Access-Accept"))
    };
    for mode in ["SHADOW", "FORWARD"] {
        old.put(&isp, &site, mode).await?;
        assert!(!opens("amina").await?, "{mode}");
        assert!(opens("staff").await?, "{mode}");
    }
    old.radius.stop().await?;
    site.stop().await;
    world.stop().await
}

/// The old server is dead: customers do not notice, nobody is told a lie, and once it is back it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_known_user_does_not_wait_for_a_dead_old_server() -> Result<()> {
    let (world, isp, site) = given("dead").await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("amina", "254712345672", until).await?;
    site.knows("amina", "at all", |_| true).await?;
    let old = Old::start(&users(&[("halima", "5M/5M", 3600)])).await?;
    old.put(&isp, &site, "SHADOW").await?;
    let unknown = site.router.subscriber("halima", "halima", Method::Pap);
    let stranger = unknown.dial().await.online();
    stranger.started().await;
    let server = old.radius.server;
    old.radius.stop().await?;

    let began = Instant::now();
    let customer = site.dial("amina").await.online();
    ensure!(
        began.elapsed() < proxy::PATIENCE / 2,
        "{:?}",
        began.elapsed()
    );
    soon("a customer's Start", customer.started()).await?;
    assert!(customer.interim().await, "ours is the truth");
    let nobody = unknown.dial().await;
    assert!(
        matches!(nobody, Dial::NoAnswer),
        "silence, not a refusal: {nobody:?}"
    );
    assert!(!stranger.interim().await, "the old server has not got it");

    let back = old::start_on(server, &users(&[("halima", "5M/5M", 3600)])).await?;
    assert!(matches!(unknown.dial().await, Dial::Online(_)));
    assert!(stranger.interim().await);
    let booked = back.accounting()?;
    ensure!(booked.contains("Interim-Update"), "{booked}");
    reported(&world, &isp, &site, |shown| {
        let some = |count: &str| shown["report"][count].as_i64() >= Some(1);
        some("oldServerSilent") && some("notCompared") && some("notAccounted")
    })
    .await?;
    back.stop().await?;
    site.stop().await;
    world.stop().await
}

/// The old server says 5 Mbit/s and we say 10: he gets ours, the operator reads of it, and reads no more of
/// it once that is mended. A copy of the session goes to the old server.
#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_reported_until_it_is_mended() -> Result<()> {
    let (world, isp, site) = given("differs").await?;
    let until = world.clock.now().plus(30 * DAY);
    for (name, phone) in [("amina", "254712345673"), ("brenda", "254712345674")] {
        isp.add_subscriber(name, phone, until).await?;
        site.knows(name, "at all", |_| true).await?;
    }
    let month = 30 * 86_400;
    let old = Old::start(&users(&[("amina", "5M/5M", month)])).await?;
    old.put(&isp, &site, "SHADOW").await?;

    let online = site.dial("amina").await.online();
    let session = online.session().context("online")?;
    assert_eq!(session.grants.rate_limit.as_deref(), Some("10M/10M"));
    online.started().await;
    assert!(online.hang_up().await);
    site.dial("brenda").await.online();
    let shown = reported(&world, &isp, &site, |shown| shown["report"]["asked"] == 2).await?;
    let report = &shown["report"];
    let different = json!({"answer": 1, "rate": 1, "address": 0, "sessionTimeout": 0});
    assert_eq!(report["different"], different, "{shown}");
    assert_eq!(
        (&report["same"], &report["forwarded"]),
        (&json!(0), &json!(0))
    );
    let told = |name: &str, shown: &Value| {
        let all = shown["differences"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|one| one["username"] == name)
    };
    let rate = told("amina", &shown).context("amina differs")?;
    assert_eq!(
        (&rate["kind"], &rate["ours"], &rate["theirs"]),
        (&json!("RATE"), &json!("10M/10M"), &json!("5M/5M"))
    );
    let answer = told("brenda", &shown).context("brenda differs")?;
    assert_eq!(
        (&answer["kind"], &answer["ours"], &answer["theirs"]),
        (&json!("ANSWER"), &json!("accept"), &json!("reject"))
    );
    eventually("a copy of the session", async || {
        let booked = old.radius.accounting().unwrap_or_default();
        Ok(booked.contains("Acct-Status-Type = Stop").then_some(()))
    })
    .await?;

    let slower = json!({"downloadSpeed": 5, "uploadSpeed": 5});
    isp.owner
        .put(&format!("/packages/{}", isp.package), &slower)
        .await?;
    let package = isp.package.parse()?;
    let knows = site.agent().overview().site.clone();
    eventually("the site knows the new speed", async || {
        let known = knows.package(package);
        Ok(known.filter(|known| known.rate.up_kbps == 5000).map(|_| ()))
    })
    .await?;
    site.dial("amina").await.online();
    let shown = reported(&world, &isp, &site, |shown| shown["report"]["same"] == 1).await?;
    assert_eq!(told("amina", &shown), None, "{shown}");
    assert!(told("brenda", &shown).is_some(), "{shown}");
    old.radius.stop().await?;
    site.stop().await;
    world.stop().await
}

/// To our own answers and back, router by router, while people are online.
#[tokio::test(flavor = "multi_thread")]
async fn every_step_can_be_taken_back() -> Result<()> {
    let (world, isp, site) = given("steps").await?;
    let soon_over = world.clock.now().plus(HOUR);
    isp.add_subscriber("amina", "254712345675", soon_over)
        .await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("brenda", "254712345679", until).await?;
    site.knows("amina", "at all", |_| true).await?;
    site.knows("brenda", "at all", |_| true).await?;
    let day = 86_400;
    let old = [
        ("halima", "5M/5M", day),
        ("amina", "3M/3M", day),
        ("brenda", "3M/3M", day),
    ];
    let old = Old::start(&users(&old)).await?;
    let unknown = site.router.subscriber("halima", "halima", Method::MsChapV2);
    let rate = async || -> Result<Option<String>> {
        let online = site.dial("brenda").await.online();
        online.started().await;
        let rate = online.session().context("online")?.grants.rate_limit;
        assert!(online.hang_up().await);
        Ok(rate)
    };

    old.put(&isp, &site, "FORWARD").await?;
    assert_eq!(rate().await?.as_deref(), Some("3M/3M"), "the old server's");
    assert!(matches!(unknown.dial().await, Dial::Online(_)));
    let shown = reported(&world, &isp, &site, |shown| {
        shown["report"]["asked"] == 1 && shown["unknownUsers"] == 1
    })
    .await?;
    let differences = shown["differences"].as_array().context("a list")?;
    let differs = |kind: &str| differences.iter().find(|one| one["kind"] == kind);
    let rates = differs("RATE").context("in speed")?;
    assert_eq!(rates["ours"], "10M/10M", "{shown}");
    assert!(differs("TIMEOUT").is_some(), "{shown}");
    // Her time with us runs out, and nothing of ours reaches her there.
    let amina = site.dial("amina").await.online();
    amina.started().await;
    world.clock.advance(2 * HOUR);
    assert!(amina.interim().await);
    let again = site.dial("amina").await.online();
    again.started().await;
    assert!(again.hang_up().await);
    // A second session of her device had ended the first for us, until the router spoke of it again.
    world.clock.advance(MINUTE);
    assert!(amina.interim().await);
    assert!(amina.session().is_some(), "still online");
    assert_eq!(site.router.counters().orders, 0);

    old.put(&isp, &site, "SHADOW").await?;
    soon("ours counts from here on", amina.ended()).await?;
    let refused = site.dial("amina").await;
    assert!(matches!(refused, Dial::Rejected(_)), "{refused:?}");
    assert_eq!(rate().await?.as_deref(), Some("10M/10M"), "ours");
    assert!(matches!(unknown.dial().await, Dial::Online(_)));
    old.put(&isp, &site, "OWN").await?;
    let refused = unknown.dial().await;
    assert!(matches!(refused, Dial::Rejected(_)), "{refused:?}");
    assert_eq!(rate().await?.as_deref(), Some("10M/10M"));
    old.put(&isp, &site, "SHADOW").await?;
    assert!(matches!(unknown.dial().await, Dial::Online(_)));
    old.put(&isp, &site, "FORWARD").await?;
    assert_eq!(rate().await?.as_deref(), Some("3M/3M"));
    old.radius.stop().await?;
    site.stop().await;
    world.stop().await
}

/// Somebody at the old server's own address who does not know its secret decides nothing, for anybody.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_answer_from_the_old_servers_address_is_ignored() -> Result<()> {
    let (world, isp, site) = given("forged").await?;
    let server = Server {
        auth: ports::free_here()?,
        acct: ports::free_here()?,
    };
    let impostor = UdpSocket::bind(server.auth).await?;
    old::put(&isp, &site, server, "SHADOW").await?;

    let answering = async |secret: &[u8]| -> Result<()> {
        let secret = Secret::new(secret);
        let mut buffer = [0; 4096];
        loop {
            let (length, asker) = impostor.recv_from(&mut buffer).await?;
            let request = Packet::parse(&buffer[..length])?;
            let signed = Signature::MessageAuthenticator;
            let code = Code::AccessAccept;
            let mut answer = Builder::new(Vec::new(), code, request.identifier(), signed);
            answer.push_proxy_state(&request)?;
            let answer = answer.sign_answer(request.authenticator(), &secret);
            impostor.send_to(&answer, asker).await?;
        }
    };
    let unknown = site.router.subscriber("halima", "halima", Method::Pap);
    let dial = tokio::select! {
        dial = unknown.dial() => dial,
        ended = answering(b"a guess") => anyhow::bail!("{ended:?}"),
    };
    assert!(matches!(dial, Dial::NoAnswer), "{dial:?}");
    let dial = tokio::select! {
        dial = unknown.dial() => dial,
        ended = answering(OLD_SECRET.as_bytes()) => anyhow::bail!("{ended:?}"),
    };
    assert!(
        matches!(dial, Dial::Online(_)),
        "who knows it decides: {dial:?}"
    );
    reported(&world, &isp, &site, |shown| {
        shown["report"]["ignored"].as_i64() >= Some(1) && shown["report"]["accepted"] == 1
    })
    .await?;
    site.stop().await;
    world.stop().await
}

/// A router with another secret garbles its passwords: the old server is not shown them, or it would lock
/// customers out who typed the right ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_garbled_password_goes_to_nobody() -> Result<()> {
    let (world, isp, site) = given("garbled").await?;
    let server = Server {
        auth: ports::free_here()?,
        acct: ports::free_here()?,
    };
    let old = UdpSocket::bind(server.auth).await?;
    old::put(&isp, &site, server, "SHADOW").await?;

    stranger::garbled(&site).await?;
    let unknown = site.router.subscriber("halima", "halima", Method::Pap);
    let dial = unknown.dial().await;
    assert!(matches!(dial, Dial::NoAnswer), "{dial:?}");
    let mut buffer = [0; 4096];
    let (length, _) = soon("what it was asked", old.recv_from(&mut buffer)).await??;
    let asked = Packet::parse(&buffer[..length])?;
    assert_eq!(asked.first(attribute::USER_NAME), Some(&b"halima"[..]));
    site.stop().await;
    world.stop().await
}

/// Ten thousand unknown users and a dead old server: what waits is bounded, and customers do not notice.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_unknown_users_fill_a_bounded_room() -> Result<()> {
    const MANY: usize = 10_000;
    let (world, isp, site) = given("crowd").await?;
    let until = world.clock.now().plus(30 * DAY);
    isp.add_subscriber("amina", "254712345676", until).await?;
    site.knows("amina", "at all", |_| true).await?;
    let server = Server {
        auth: ports::free_here()?,
        acct: ports::free_here()?,
    };
    // It reads and never answers.
    let silent = UdpSocket::bind(server.auth).await?;
    old::put(&isp, &site, server, "SHADOW").await?;

    let (mut marks, mut buffer) = (HashSet::new(), [0; 4096]);
    let began = Instant::now();
    let crowd = stranger::crowd(&site, MANY);
    let customers = async {
        let mut slowest = Duration::ZERO;
        for number in 0..20 {
            slowest = slowest.max(stranger::customer(&site, "amina", number).await?);
        }
        anyhow::Ok(slowest)
    };
    let listening = async {
        loop {
            let (length, _) = silent.recv_from(&mut buffer).await?;
            let request = Packet::parse(&buffer[..length])?;
            let mark = request
                .attributes()
                .filter(|one| one.kind == attribute::PROXY_STATE)
                .last();
            marks.insert(mark.context("a Proxy-State")?.value.to_vec());
        }
    };
    let storm = async { tokio::try_join!(crowd, customers) };
    let slowest = tokio::select! {
        done = storm => done?.1,
        ended = listening => {
            let ended: Result<()> = ended;
            anyhow::bail!("{ended:?}");
        }
    };
    ensure!(slowest < proxy::PATIENCE, "a customer waited {slowest:?}");
    let rounds = began.elapsed().as_millis() / proxy::PATIENCE.as_millis() + 1;
    let most = proxy::MOST * usize::try_from(rounds)?;
    ensure!(marks.len() <= most, "{} in {rounds} rounds", marks.len());
    // The agent's socket may have lost some of the crowd; whom it read is accounted for.
    let shown = reported(&world, &isp, &site, |shown| {
        let report = &shown["report"];
        report["forwarded"].as_u64() >= Some(MANY as u64 / 2)
            && report["oldServerSilent"] == report["forwarded"]
    })
    .await?;
    let count = |name: &str| shown["report"][name].as_u64().unwrap_or_default();
    let (forwarded, shed) = (count("forwarded"), count("shed"));
    ensure!(shed + most as u64 >= forwarded, "{shown}");
    println!(
        "{forwarded} came, {} were asked about, {shed} shed; the slowest customer took {slowest:?}",
        marks.len()
    );
    site.stop().await;
    world.stop().await
}

/// A secret on the router hides a customer from us: it is found when asked for and by itself, and shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_local_secret_that_hides_a_customer_is_shown() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "hidden").await?;
    let site = Site::open_with_api(&world, &isp).await?;
    let until = world.clock.now().plus(30 * DAY);
    for (name, phone) in [("leah", "254712345677"), ("grace", "254712345678")] {
        isp.add_subscriber(name, phone, until).await?;
        site.knows(name, "at all", |_| true).await?;
    }
    let router = format!("/nas/{}", site.router_id);
    let path = format!("{router}/moving");
    site.router.add_user(Service::Pppoe, "leah", "leah");
    site.router.add_user(Service::Pppoe, "grace", "grace");
    site.router.disable_user("grace", true);
    site.router.add_user(Service::Pppoe, "admin", "admin");
    let asked = site.router.counters().requests;
    assert!(matches!(site.dial("leah").await, Dial::Online(_)));
    assert_eq!(site.router.counters().requests, asked, "nobody asked us");
    assert_eq!(isp.owner.get(&path).await?["localSecretsAt"], Value::Null);

    let checked = isp.owner.post(&format!("{path}/check"), &json!({})).await?;
    assert_eq!(checked["localSecrets"], json!(["leah"]), "{checked}");
    assert_eq!(checked["mode"], "OWN");
    let shown = isp.owner.get(&router).await?;
    let warning = shown["warnings"][0]["message"].as_str();
    let warning = warning.context("a warning")?;
    ensure!(warning.contains("hides 1 customer (leah)"), "{warning}");
    let moving = isp.owner.get(&path).await?;
    let told = moving["warnings"][0].as_str().context("a warning")?;
    ensure!(told.starts_with(warning), "{told}");

    site.router.remove_user("leah");
    site.router.add_user(Service::Hotspot, "grace", "grace");
    eventually("read again by itself", async || {
        world.clock.advance(5 * MINUTE);
        let shown = isp.owner.get(&path).await?;
        Ok((shown["localSecrets"] == json!(["grace"])).then_some(()))
    })
    .await?;
    site.router.remove_user("grace");
    let checked = isp.owner.post(&format!("{path}/check"), &json!({})).await?;
    assert_eq!(
        (&checked["localSecrets"], &checked["warnings"]),
        (&json!([]), &json!([]))
    );
    site.stop().await;
    world.stop().await
}

/// What an operator may enter, what he reads back, and where the agent does not go.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_is_asked_only_inside_the_site() -> Result<()> {
    let (world, isp, site) = given("where").await?;
    let path = format!("/nas/{}/moving", site.router_id);
    let put = async |body: Value| {
        isp.owner
            .call(reqwest::Method::PUT, &path, Some(&body))
            .await
    };
    let (status, _) = put(json!({"mode": "SHADOW"})).await?;
    assert_eq!(status, 400, "which server?");
    let (status, shown) = put(json!({"mode": "OWN"})).await?;
    assert_eq!((status.as_u16(), &shown["oldServer"]), (200, &Value::Null));
    let outside =
        json!({"mode": "SHADOW", "oldServer": {"address": "198.51.100.7", "secret": "testing123"}});
    let (status, shown) = put(outside).await?;
    assert_eq!(status, 200, "{shown}");
    let server = json!({"address": "198.51.100.7", "authPort": 1812, "acctPort": 1813, "secret": "********"});
    assert_eq!(shown["oldServer"], server);
    old::knows(&site, "SHADOW").await?;
    let unknown = site.router.subscriber("halima", "halima", Method::Pap);
    assert!(matches!(unknown.dial().await, Dial::NoAnswer));
    let shown = reported(&world, &isp, &site, |shown| {
        shown["problem"] != Value::Null && shown["report"]["oldServerSilent"].as_u64() >= Some(1)
    })
    .await?;
    let problem = shown["problem"].as_str().context("a problem")?;
    ensure!(
        problem.contains("outside this site's networks"),
        "{problem}"
    );

    // The mask sent back changes no secret, and another address begins the report anew.
    let old = Old::start(&users(&[("halima", "5M/5M", 3600)])).await?;
    let ports = old.radius.server;
    let moved = json!({"oldServer": {"address": "127.0.0.1", "authPort": ports.auth.port(),
        "acctPort": ports.acct.port(), "secret": OLD_SECRET}});
    let (_, shown) = put(moved).await?;
    assert_eq!(shown["report"]["forwarded"], 0, "{shown}");
    let (_, shown) =
        put(json!({"oldServer": {"secret": "********"}, "copyAccounting": false})).await?;
    assert_eq!(
        (&shown["mode"], &shown["copyAccounting"]),
        (&json!("SHADOW"), &json!(false))
    );
    eventually("the right secret at the right place", async || {
        Ok(matches!(unknown.dial().await, Dial::Online(_)).then_some(()))
    })
    .await?;
    let trail = isp.owner.get("/sites").await?; // an owner may look
    ensure!(!trail.to_string().contains(OLD_SECRET));
    old.radius.stop().await?;
    site.stop().await;
    world.stop().await
}

async fn given(name: &str) -> Result<(World, Provider, Site)> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, name).await?;
    let site = Site::open(&world, &isp).await?;
    Ok((world, isp, site))
}

/// What the API shows of the move once it looks like that. The agent tells about once a minute, counts and
/// users each in their own time: whoever reads several of them asks for all of them here.
async fn reported(
    world: &World,
    isp: &Provider,
    site: &Site,
    like: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let path = format!("/nas/{}/moving", site.router_id);
    let mut last = Value::Null;
    let shown = eventually("the report", async || {
        world.clock.advance(Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(20)).await;
        last = isp.owner.get(&path).await?;
        Ok(Some(last.clone()).filter(|shown| like(shown)))
    })
    .await;
    shown.with_context(|| format!("at last: {last}"))
}
