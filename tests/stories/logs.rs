//! What routers write to their logs is heard by the agent, masked, and found again by its words.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::setup::{Release, Setup, script};
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{Provider, Site, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// The script makes the router send its log; what it writes is at the cloud some seconds later, without the password that
/// stands in it, and found by router, time, words, topic and how bad it is. What a stranger sends is counted alone, and
/// another provider sees nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_router_writes_is_found_again() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "logs").await?;
    let other = Provider::sign_up(&world, "logs-other").await?;
    let site = Site::open(&world, &isp).await?;
    send_to_the_agent(&site)?;

    let began = world.clock.now();
    let before = [
        (
            "system,info",
            "ppp secret <jane> changed by winbox:admin@10.0.0.9 (/ppp secret set 0 password=hush-hush)",
        ),
        ("pppoe,ppp,info", "<pppoe-jane>: authenticated"),
        ("pppoe,ppp,debug", "rcvd PADI"),
    ];
    for (topics, message) in before {
        site.router.write_log(topics, message).await?;
    }
    let login = "login failure for user root from 10.9.0.77 via ssh";
    let bsd = format!("<27>Nov  3 01:27:33 Tower system,error,critical {login}");
    site.router
        .send_log("system,error,critical", bsd.as_bytes())
        .await?;
    let hears = site.agent().syslog().context("nobody is heard")?;
    let stranger = UdpSocket::bind("127.7.7.7:0")?;
    stranger.send_to(b"system,info from nowhere", hears)?;
    let heard = all(&world, &isp.owner, "", 3).await?;
    let told: Vec<(&str, &str)> = heard
        .iter()
        .map(|line| {
            (
                line["severity"].as_str().unwrap_or(""),
                line["message"].as_str().unwrap_or(""),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("CRITICAL", login),
            ("INFO", "<pppoe-jane>: authenticated"),
            (
                "INFO",
                "ppp secret <jane> changed by winbox:admin@10.0.0.9 (/ppp secret set 0 password=***)"
            ),
        ]
    );
    assert_eq!(heard[0]["nasId"], site.router_id);
    assert_eq!(heard[0]["nasName"], "Tower");
    assert_eq!(heard[0]["topics"], json!(["system", "error", "critical"]));
    assert_eq!(heard[0]["missing"], Value::Null);
    // Whose packets they are is the address of the router alone; 127.0.0.0/8 is no router's here.
    let counted = site.agent().overview().counters.all();
    assert_eq!(counted.get("log_line_of_nobody"), Some(&1), "{counted:?}");

    let router = &site.router_id;
    for (query, found) in [
        (format!("nasId={router}"), 3),
        (format!("nasId={}", uuid::Uuid::nil()), 0),
        ("q=jane".to_owned(), 2),
        ("q=JANE%20authent".to_owned(), 1),
        ("q=pppoe-j".to_owned(), 1),
        ("q=10.9.0.7".to_owned(), 1),
        ("q=hush".to_owned(), 0),
        ("q=nothing".to_owned(), 0),
        ("severity=error".to_owned(), 1),
        ("severity=INFO&topic=pppoe".to_owned(), 1),
        ("topic=hotspot".to_owned(), 0),
        (format!("from={began}"), 3),
        (format!("to={}", began.minus(Duration::from_secs(1))), 0),
    ] {
        let lines = page(&isp.owner, &query).await?.0;
        assert_eq!(lines.len(), found, "{query}: {lines:?}");
    }
    for (query, field) in [
        ("severity=loud", "severity"),
        ("cursor=x", "cursor"),
        ("page=900", "page"),
    ] {
        let (status, answer) = isp
            .owner
            .call(Method::GET, &format!("/logs?{query}"), None)
            .await?;
        assert_eq!(
            (status, &answer["details"][0]["field"]),
            (StatusCode::BAD_REQUEST, &json!(field))
        );
    }
    assert_eq!(page(&other.owner, "").await?.0.len(), 0);
    assert_eq!(
        page(&other.owner, &format!("nasId={router}&q=jane"))
            .await?
            .0
            .len(),
        0
    );
    site.stop().await;
    world.stop().await
}

/// A rush of lines is told page by page, each once and in order, over the blocks they are kept in; what was more than is
/// taken of one router is counted in their place; a link that is down loses nothing that there is room for. What is
/// older than the provider has it kept goes, with its words.
#[tokio::test(flavor = "multi_thread")]
async fn a_rush_is_told_page_by_page_and_counted_where_it_is_cut() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "rush").await?;
    let site = Site::open(&world, &isp).await?;
    send_to_the_agent(&site)?;
    let rush = (0..700).map(|number| format!("packet {number} dropped"));
    say(&site, &rush.collect::<Vec<_>>()).await?;
    // 500 at once, and one line that says how many are not there.
    let heard = all(&world, &isp.owner, "pageSize=200", 501).await?;
    let missing: Vec<i64> = heard
        .iter()
        .filter_map(|line| line["missing"].as_i64())
        .collect();
    assert_eq!(missing, [200]);
    let mut expected: Vec<String> = (0..500)
        .map(|number| format!("packet {number} dropped"))
        .collect();
    let mut told: Vec<String> = heard
        .iter()
        .filter(|line| line["missing"].is_null())
        .map(|line| line["message"].as_str().unwrap_or_default().to_owned())
        .collect();
    told.reverse();
    assert_eq!(told, expected);
    let file = "/logs?format=csv&q=dropped";
    let (_, csv) = isp.owner.call(Method::GET, file, None).await?;
    let csv = csv.as_str().context("a file")?;
    assert_eq!(csv.lines().count(), 1 + expected.len(), "{csv:.200}");

    // Time goes on, and the router may say more: 50 a second, 500 at most.
    for day in 0..4 {
        world.clock.advance(Duration::from_secs(86_400));
        let lines = (0..400).map(|number| format!("packet {day}-{number} dropped"));
        let lines: Vec<String> = lines.collect();
        say(&site, &lines).await?;
        expected.extend(lines);
        eventually("they are there", async || {
            world.clock.advance(Duration::from_secs(5));
            let found = page(&isp.owner, &format!("q={day}-399")).await?.0;
            Ok((!found.is_empty()).then_some(()))
        })
        .await?;
    }
    let mut told = Vec::new();
    let mut cursor = String::new();
    loop {
        let (lines, next) = page(&isp.owner, &format!("q=dropped&pageSize=170{cursor}")).await?;
        told.extend(
            lines
                .iter()
                .map(|line| line["message"].as_str().unwrap_or_default().to_owned()),
        );
        let Some(next) = next else { break };
        cursor = format!("&cursor={next}");
    }
    told.reverse();
    assert_eq!(told, expected);
    isp.owner
        .put("/tenant/settings", &json!({"logRetentionDays": 2}))
        .await?;
    for days in [0, 91] {
        let body = json!({"logRetentionDays": days});
        let (status, _) = isp
            .owner
            .call(Method::PUT, "/tenant/settings", Some(&body))
            .await?;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
    world.clock.advance(Duration::from_secs(86_400));
    let kept = eventually("old ones go", async || {
        world.clock.advance(Duration::from_secs(60));
        let kept = count(&world, &isp).await?;
        Ok((kept.0 < 500).then_some(kept))
    })
    .await?;
    let lines = page(&isp.owner, "q=3-399").await?.0;
    assert_eq!(lines.len(), 1);
    ensure!(kept.1 < 1000, "words of lines that went stayed: {kept:?}");
    site.stop().await;
    world.stop().await
}

/// The router writes these, and the agent hears them: a datagram that finds no room on its way is lost.
async fn say(site: &Site, lines: &[String]) -> Result<()> {
    let counters = &site.agent().overview().counters;
    let heard = || {
        let all = counters.all();
        let of = |name| all.get(name).copied().unwrap_or(0);
        of("log_line") + of("log_line_too_many")
    };
    let mut due = heard();
    for some in lines.chunks(50) {
        for line in some {
            site.router.write_log("firewall,info", line).await?;
        }
        due += some.len() as u64;
        eventually(
            "they are heard",
            async || Ok((heard() >= due).then_some(())),
        )
        .await?;
    }
    Ok(())
}

/// Carries out of the script what makes the router send its log.
fn send_to_the_agent(site: &Site) -> Result<()> {
    let setup = Setup {
        identity: "Tower".to_owned(),
        time_zone: "Africa/Nairobi".to_owned(),
        agents: vec![std::net::Ipv4Addr::new(10, 9, 0, 2)],
        radius_secret: "unused".into(),
        coa_port: 3799,
        api: None,
        snmp: None,
        snmp_port: 161,
        wan: None,
        more_wans: Vec::new(),
        pppoe: None,
        hotspot: None,
        leases: None,
        firewall: false,
        alive: None,
    };
    let whole = script(&setup, Release::V7);
    let logging = whole
        .lines()
        .filter(|line| line.contains("/system logging"));
    let lines: Vec<String> = logging.map(str::to_owned).collect();
    ensure!(lines.len() > 2, "the script says nothing of logs");
    site.router
        .configure(|machine| machine.import(&lines.join("\n")))
        .map_err(anyhow::Error::msg)
}

/// Lets time go on until so many lines are there, and reads them page by page.
async fn all(world: &World, owner: &Operator, query: &str, wanted: usize) -> Result<Vec<Value>> {
    let mut last = Vec::new();
    let found = eventually("the lines are there", async || {
        world.clock.advance(Duration::from_secs(5));
        let (mut lines, mut next) = page(owner, query).await?;
        while let Some(cursor) = next {
            let more = page(owner, &format!("{query}&cursor={cursor}")).await?;
            lines.extend(more.0);
            next = more.1;
        }
        last.clone_from(&lines);
        Ok((lines.len() >= wanted).then_some(lines))
    })
    .await;
    found.with_context(|| format!("{} lines: {:?}", last.len(), last.first()))
}

async fn page(owner: &Operator, query: &str) -> Result<(Vec<Value>, Option<String>)> {
    let answer = owner.get(&format!("/logs?{query}")).await?;
    let lines = answer["logs"].as_array().context("lines")?.clone();
    Ok((lines, answer["nextCursor"].as_str().map(str::to_owned)))
}

/// Lines and words that are kept.
async fn count(world: &World, isp: &Provider) -> Result<(i64, i64)> {
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    let lines = sqlx::query_scalar("select count(*) from router_logs")
        .fetch_one(&mut *tx)
        .await?;
    let words = sqlx::query_scalar("select count(*) from log_words")
        .fetch_one(&mut *tx)
        .await?;
    Ok((lines, words))
}
