//! "Who used 10.5.3.7 on 2 March at 14:05?": the answer of years later, who asked, and when it is gone.

mod ipv6;
mod place;

use std::time::Duration;

use anyhow::{Context, Result};
use easyisp_cloud::api::Access;
use easyisp_cloud::permission::{Permission, Role};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::up::AccountingStatus;
use easyisp_tests::router::subscriber::Method;
use easyisp_tests::world::{Provider, Site, World, eventually};
use place::{Place, Told};
use reqwest::{Method as Http, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};

use crate::words::{DAY, HOUR, MINUTE};

const ADDRESS: &str = "10.5.3.7";
/// What the lines of it have behind them, and an address in there.
const HOME: &str = "2001:db8:5:300::/56";
const CAMERA: &str = "2001:db8:5:37f::c0de";
const ASHA: &str = "02:00:00:00:00:0A";
const BRIAN: &str = "02:00:00:00:00:0B";
const CHIPO: &str = "02:00:00:00:00:0C";

/// One address, three customers, two years: each moment has one holder, and a search that finds nobody
/// says so. Another provider's sessions with the same address and devices never appear.
#[tokio::test(flavor = "multi_thread")]
async fn every_moment_of_an_address_has_its_holder() -> Result<()> {
    let world = World::start().await?;
    let now = world.clock.now();
    let place = Place::settle(&world, "asked").await?;
    let other = Place::settle(&world, "other").await?;
    for place in [&place, &other] {
        place.history(&world).await?;
    }

    for (at, holder) in [
        ("2025-03-02T12:59:59.999Z", None),
        ("2025-03-02T13:00:00Z", Some("asha")),
        ("2025-03-02T14:04:59.999Z", Some("asha")),
        // Given back and given out again in one second: the next one has it.
        ("2025-03-02T14:05:00Z", Some("brian")),
        ("2025-03-02T17:05:00%2B03:00", Some("brian")),
        ("2025-03-03T00:00:00Z", Some("brian")),
        ("2025-03-03T00:29:59Z", Some("brian")),
        ("2025-03-03T00:30:00Z", None),
        ("2025-03-03T00:31:00Z", Some("chipo")),
        ("2025-12-31T23:59:59Z", Some("chipo")),
        ("2026-09-01T08:00:00Z", None),
    ] {
        for address in [ADDRESS, CAMERA, HOME] {
            let found = place.search(&format!("ip={address}&at={at}")).await?;
            assert_eq!(names(&found), Vec::from_iter(holder), "{address} {at}");
            assert_eq!(
                found["total"],
                i32::from(holder.is_some()),
                "{address} {at}"
            );
        }
    }

    let found = place
        .search(&format!("ip={ADDRESS}&at=2025-03-02T14:05:00Z"))
        .await?;
    let brian = &found["sessions"][0];
    assert_eq!(brian["customer"]["name"], "Customer brian");
    assert_eq!(brian["macAddress"], BRIAN);
    assert_eq!(brian["framedIp"], ADDRESS);
    assert_eq!(brian["ipv6Prefixes"], json!([HOME]));
    assert_eq!(brian["nas"]["name"], "Tower");
    assert_eq!(brian["startTime"], "2025-03-02T14:05:00.000Z");
    assert_eq!(brian["stopTime"], "2025-03-03T00:30:00.000Z");
    assert_eq!(brian["certain"], true);

    // Open, and told of five minutes ago: sure until then.
    for (ago, certain) in [(10 * MINUTE, true), (MINUTE, false)] {
        let at = now.minus(ago);
        for address in [ADDRESS, CAMERA] {
            let found = place.search(&format!("ip={address}&at={at}")).await?;
            assert_eq!(names(&found), ["asha"]);
            assert_eq!(found["sessions"][0]["stopTime"], Value::Null);
            assert_eq!(found["sessions"][0]["certain"], certain);
        }
    }

    let window = "from=2025-03-02T14:00:00Z&to=2025-03-02T14:05:00Z";
    let found = place.search(&format!("ip={ADDRESS}&{window}")).await?;
    assert_eq!(names(&found), ["brian", "asha"]);
    let years = "from=2020-01-01T00:00:00Z&to=2030-01-01T00:00:00Z";
    let found = place
        .search(&format!("mac=02-00-00-00-00-0a&{years}&page=2&pageSize=1"))
        .await?;
    assert_eq!(found["total"], 2);
    assert_eq!(
        found["sessions"][0]["startTime"],
        "2025-03-02T13:00:00.000Z"
    );
    for address in [ADDRESS, CAMERA] {
        let found = place
            .search(&format!("ip={address}&mac={BRIAN}&{years}"))
            .await?;
        assert_eq!(names(&found), ["brian"]);
        let found = place
            .search(&format!("ip={address}&mac=02:00:00:00:00:99&{years}"))
            .await?;
        assert_eq!(names(&found), Vec::<&str>::new());
        let found = place
            .search(&format!("ip={address}&{years}&page=2&pageSize=3"))
            .await?;
        assert_eq!((names(&found), &found["total"]), (vec!["asha"], &json!(4)));
    }

    // The list of sessions, which leaves no trace in the trail, tells who has it and not who had it.
    let listed = place
        .isp
        .owner
        .get(&format!("/sessions?search={ADDRESS}"))
        .await?;
    assert_eq!(names(&listed), ["asha"]);
    assert_eq!(listed["sessions"][0]["stopTime"], Value::Null);
    world.stop().await
}

/// A router that lost power told no end: who was there is named for some minutes more, as uncertain.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_nobody_saw_is_no_alibi() -> Result<()> {
    let world = World::start().await?;
    let place = Place::settle(&world, "power").await?;
    let (from, seen) = (at("2025-06-01T10:00:00Z"), at("2025-06-01T11:00:00Z"));
    let lost = AccountingStatus::Lost;
    place
        .told(&world, &[("81a", "asha", ASHA, lost, from, seen)])
        .await?;
    for (moment, found_certain) in [
        ("2025-06-01T10:59:59Z", Some(true)),
        ("2025-06-01T11:10:00Z", Some(false)),
        ("2025-06-01T11:16:30Z", None),
    ] {
        for address in [ADDRESS, CAMERA] {
            let found = place.search(&format!("ip={address}&at={moment}")).await?;
            let certain = found["sessions"][0]["certain"].as_bool();
            assert_eq!(certain, found_certain, "{address} {moment}");
        }
    }
    world.stop().await
}

/// The same through a router: one hotspot address goes from hand to hand over midnight.
#[tokio::test(flavor = "multi_thread")]
async fn the_routers_own_reports_answer_it() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "hotel").await?;
    let site = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(3 * DAY);
    for (name, phone) in [("asha", "254712345601"), ("brian", "254712345602")] {
        isp.add_subscriber(name, phone, until).await?;
        site.knows(name, "at all", |_| true).await?;
    }
    let host = ADDRESS.parse()?;
    let dial = async |name: &str| {
        let guest = site.router.subscriber(name, name, Method::Chap);
        guest.hotspot(host).dial().await.online()
    };
    // 11:00 in Nairobi; the first stays until two in the morning.
    let first = dial("asha").await;
    first.started().await;
    world.clock.advance(15 * HOUR);
    assert!(first.hang_up().await);
    let second = dial("brian").await;
    second.started().await;
    world.clock.advance(MINUTE);
    assert!(second.interim().await);
    site.reported().await?;

    let changed = world.clock.now().minus(MINUTE);
    for (at, holder) in [
        (changed.minus(5 * HOUR), "asha"),
        (changed.minus(Duration::from_secs(1)), "asha"),
        (changed, "brian"),
    ] {
        let path = format!("/sessions/search?ip={ADDRESS}&at={at}&reason=OB+12/2027");
        let found = eventually("the answer is one", async || {
            let found = isp.owner.get(&path).await?;
            Ok(Some(found).filter(|found| found["total"] == 1))
        })
        .await?;
        assert_eq!(names(&found), [holder], "{at}");
    }
    site.stop().await;
    world.stop().await
}

/// Whoever asks leaves his name, his reason and what he was told, also when that was nothing; and the
/// counter's people may not ask.
#[tokio::test(flavor = "multi_thread")]
async fn every_search_is_in_the_trail() -> Result<()> {
    let world = World::start().await?;
    let place = Place::settle(&world, "trail").await?;
    place.history(&world).await?;
    let before = place.trail(&world).await?.len();
    assert_eq!(before, 0);
    place
        .search(&format!("ip={ADDRESS}&at=2025-03-02T14:05:00Z"))
        .await?;
    world.clock.advance(MINUTE);
    place
        .search(&format!("mac={CHIPO}&at=2024-01-01T00:00:00Z"))
        .await?;
    let trail = place.trail(&world).await?;
    assert_eq!(trail.len(), 2, "{trail:?}");
    let me = place.isp.owner.get("/auth/me").await?;
    for (line, (searched, found)) in trail.iter().zip([(ADDRESS, 1), (CHIPO, 0)]) {
        let (actor, address, details, after) = line;
        assert_eq!(actor.to_string(), me["id"].as_str().unwrap());
        assert!(address.is_some());
        for said in [searched, "Court order 17/2027", &format!("found {found}")] {
            assert!(details.contains(said), "{said}: {details}");
        }
        assert_eq!(after["found"], found);
        assert_eq!(after["reason"], "Court order 17/2027");
    }

    let routes = easyisp_cloud::routes().infos();
    let route = routes
        .iter()
        .find(|route| route.path == "/api/sessions/search")
        .context("the route")?;
    assert_eq!(
        route.access,
        Access::Any(&[Permission::OperatorsDetailsView])
    );
    for role in [Role::CustomerCare, Role::FieldTech, Role::Staff] {
        assert!(!role.defaults().has(Permission::OperatorsDetailsView));
    }
    world.stop().await
}

/// What is wrong is named, and nothing is searched then.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_question_names_the_field() -> Result<()> {
    let world = World::start().await?;
    let place = Place::settle(&world, "vague").await?;
    let at = "at=2025-03-02T14:05:00Z";
    for (query, field) in [
        (format!("{at}&reason=Court"), "ip"),
        (format!("ip=10.5.3.700&{at}&reason=Court"), "ip"),
        (format!("ip=10.5.3&{at}&reason=Court"), "ip"),
        (format!("ip=10.5.3.0/24&{at}&reason=Court"), "ip"),
        (format!("ip=2001:db8::g&{at}&reason=Court"), "ip"),
        (format!("ip=2001:db8::/40&{at}&reason=Court"), "ip"),
        (format!("ip=fe80::1&{at}&reason=Court"), "ip"),
        (format!("mac=02:00&{at}&reason=Court"), "mac"),
        (format!("ip={ADDRESS}&reason=Court"), "at"),
        (format!("ip={ADDRESS}&at=yesterday&reason=Court"), "at"),
        (
            format!("ip={ADDRESS}&{at}&to=2025-03-02T14:05:00Z&reason=Court"),
            "at",
        ),
        (
            format!("ip={ADDRESS}&from=2025-03-02T14:05:00Z&reason=Court"),
            "to",
        ),
        (
            format!("ip={ADDRESS}&to=2025-03-02T14:05:00Z&reason=Court"),
            "from",
        ),
        (
            format!("ip={ADDRESS}&from=2025-03-02T14:05:00Z&to=2025-03-02T14:04:59Z&reason=Court"),
            "to",
        ),
        (format!("ip={ADDRESS}&{at}"), "reason"),
        (format!("ip={ADDRESS}&{at}&reason=%20%20me%20%20"), "reason"),
        (
            format!("ip={ADDRESS}&{at}&reason={}", "x".repeat(501)),
            "reason",
        ),
    ] {
        let path = format!("/sessions/search?{query}");
        let (status, answer) = place.isp.owner.call(Http::GET, &path, None).await?;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {answer}");
        assert_eq!(answer["details"][0]["field"], field, "{query}: {answer}");
    }
    assert_eq!(place.trail(&world).await?.len(), 0);

    for (days, fits) in [(89, false), (90, true), (3650, true), (3651, false)] {
        let body = json!({"sessionRetentionDays": days});
        let (status, answer) = place
            .isp
            .owner
            .call(Http::PUT, "/tenant/settings", Some(&body))
            .await?;
        assert_eq!(status.is_success(), fits, "{days}: {answer}");
        match fits {
            true => assert_eq!(answer["tenant"]["sessionRetentionDays"], days),
            false => assert_eq!(answer["details"][0]["field"], "sessionRetentionDays"),
        }
    }
    world.stop().await
}

/// After the tenant's retention the sessions that are over go, 500 a transaction, and only those: what ended
/// a second later stays, so does what is open since long before, so does everything of who keeps for longer.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_the_retention_goes_and_nothing_else() -> Result<()> {
    let mut world = World::start().await?;
    let place = Place::settle(&world, "brief").await?;
    let longer = Place::settle(&world, "longer").await?;
    let days = json!({"sessionRetentionDays": 100});
    place.isp.owner.put("/tenant/settings", &days).await?;

    // The job's next day: a second at which one session is old enough and the other is not.
    let then = world.clock.now().plus(DAY);
    let cutoff = then.minus(100 * DAY);
    let second = Duration::from_secs(1);
    let long_ago = cutoff.minus(700 * DAY);
    let (stop, interim) = (AccountingStatus::Stop, AccountingStatus::Interim);
    for place in [&place, &longer] {
        let mut told = vec![
            ("stays".to_owned(), stop, cutoff.minus(DAY), cutoff),
            ("open".to_owned(), interim, long_ago, then.minus(DAY)),
            ("goes".to_owned(), stop, long_ago, cutoff.minus(second)),
        ];
        told.extend((0..1200).map(|number| {
            let end = cutoff.minus(HOUR + number * second);
            (format!("old{number}"), stop, end.minus(MINUTE), end)
        }));
        let told: Vec<Told<'_>> = told
            .iter()
            .map(|(id, status, from, at)| (id.as_str(), "asha", ASHA, *status, *from, *at))
            .collect();
        place.told(&world, &told).await?;
        assert_eq!(place.sessions(&world).await?.len(), 1203);
        assert_eq!(place.prefixes(&world).await?, 1203);
    }
    // What every tenant's first day begins with is over.
    eventually("both are tidied", async || {
        let mut directory = world.db().directory().await?;
        let due: i64 = sqlx::query_scalar(
            "select count(*) from directory.jobs where kind = 'tenants.tidy' and due_at = $1",
        )
        .bind(then)
        .fetch_one(&mut *directory)
        .await?;
        Ok((due == 2).then_some(()))
    })
    .await?;
    world.listen_in().await?;
    world.clock.advance(DAY);
    let left = eventually("the old ones are gone", async || {
        let left = place.sessions(&world).await?;
        Ok(Some(left).filter(|left| left.len() <= 2))
    })
    .await?;
    assert_eq!(left, ["open", "stays"]);
    assert_eq!(place.prefixes(&world).await?, 2, "go with their sessions");
    assert_eq!(longer.sessions(&world).await?.len(), 1203);
    assert_eq!(longer.prefixes(&world).await?, 1203);
    let removals = || {
        let spoken = world.spoken();
        let removes = |said: &&Vec<String>| {
            said.iter()
                .any(|said| said.starts_with("delete from sessions"))
        };
        spoken.iter().filter(removes).count()
    };
    let turns = eventually("all turns are over", async || {
        Ok(Some(removals()).filter(|turns| *turns >= 4))
    })
    .await?;
    assert_eq!(turns, 4, "three for 1201 of one, one for none of the other");
    world.stop().await
}

/// Two hundred thousand sessions later a search still goes by the index, whether the planner knows the
/// values or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_reads_no_more_than_the_addresss_own_sessions() -> Result<()> {
    let mut world = World::start().await?;
    let place = Place::settle(&world, "large").await?;
    place.fill(&world).await?;
    let mut owner = PgConnection::connect_with(&world.database.owner()).await?;
    owner.execute("analyze sessions").await?;
    owner.close().await?;
    world.listen_in().await?;
    let moment = "at=2025-03-02T14:05:00Z";
    for (query, index) in [
        (format!("ip=10.0.3.7&{moment}"), "session_addresses"),
        (format!("mac={ASHA}&{moment}"), "session_devices"),
    ] {
        let before = world.spoken().len();
        place.search(&query).await?;
        let spoken = world.spoken();
        let asked: Vec<&String> = spoken[before..]
            .iter()
            .flatten()
            .filter(|said| said.contains("from sessions") && said.contains("$5"))
            .collect();
        assert_eq!(asked.len(), 2, "a count and a page: {asked:?}");
        for text in asked {
            for mode in ["force_custom_plan", "force_generic_plan"] {
                let plan = place.plan(&world, text, mode).await?;
                assert!(plan.contains(index), "{mode}: {plan}");
                assert!(!plan.contains("Seq Scan on sessions"), "{mode}: {plan}");
            }
        }
    }
    world.stop().await
}

/// Under which names the sessions of an answer were.
fn names(found: &Value) -> Vec<&str> {
    let sessions = found["sessions"].as_array().map_or(&[][..], Vec::as_slice);
    sessions
        .iter()
        .map(|session| session["username"].as_str().unwrap_or_default())
        .collect()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}
