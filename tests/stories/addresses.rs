//! "Who used 10.5.3.7 on 2 March at 14:05?": the answer of years later, who asked, and when it is gone.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_cloud::api::Access;
use easyisp_cloud::permission::{Permission, Role};
use easyisp_cloud::sites::agents::Agent;
use easyisp_cloud::sites::reports::Report;
use easyisp_shared::id::{AgentId, RouterId, TenantId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::up::{AccountingStatus, AccountingV1};
use easyisp_shared::wire::{Up, UpKind};
use easyisp_tests::database::plan;
use easyisp_tests::router::subscriber::Method;
use easyisp_tests::world::{Provider, Site, World, eventually};
use reqwest::{Method as Http, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::words::{DAY, HOUR, MINUTE};

const ADDRESS: &str = "10.5.3.7";
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
        let found = place.search(&format!("ip={ADDRESS}&at={at}")).await?;
        assert_eq!(names(&found), Vec::from_iter(holder), "{at}");
        assert_eq!(found["total"], i32::from(holder.is_some()), "{at}");
    }

    let found = place
        .search(&format!("ip={ADDRESS}&at=2025-03-02T14:05:00Z"))
        .await?;
    let brian = &found["sessions"][0];
    assert_eq!(brian["customer"]["name"], "Customer brian");
    assert_eq!(brian["macAddress"], BRIAN);
    assert_eq!(brian["framedIp"], ADDRESS);
    assert_eq!(brian["nas"]["name"], "Tower");
    assert_eq!(brian["startTime"], "2025-03-02T14:05:00.000Z");
    assert_eq!(brian["stopTime"], "2025-03-03T00:30:00.000Z");
    assert_eq!(brian["certain"], true);

    // Open, and told of five minutes ago: sure until then.
    for (ago, certain) in [(10 * MINUTE, true), (MINUTE, false)] {
        let at = now.minus(ago);
        let found = place.search(&format!("ip={ADDRESS}&at={at}")).await?;
        assert_eq!(names(&found), ["asha"]);
        assert_eq!(found["sessions"][0]["stopTime"], Value::Null);
        assert_eq!(found["sessions"][0]["certain"], certain);
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
    let found = place
        .search(&format!("ip={ADDRESS}&mac={BRIAN}&{years}"))
        .await?;
    assert_eq!(names(&found), ["brian"]);
    let found = place
        .search(&format!("ip={ADDRESS}&mac=02:00:00:00:00:99&{years}"))
        .await?;
    assert_eq!(names(&found), Vec::<&str>::new());

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
        let found = place.search(&format!("ip={ADDRESS}&at={moment}")).await?;
        let certain = found["sessions"][0]["certain"].as_bool();
        assert_eq!(certain, found_certain, "{moment}");
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
    assert_eq!(longer.sessions(&world).await?.len(), 1203);
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

/// Acct-Session-Id, user, device, status, start and moment of a record.
type Told<'a> = (
    &'a str,
    &'a str,
    &'a str,
    AccountingStatus,
    Timestamp,
    Timestamp,
);

/// Actor, address, details and facts of a line of the trail.
type Line = (Uuid, Option<String>, String, Value);

/// A provider with a router, and customers who all had one address.
struct Place {
    isp: Provider,
    agent: Agent,
    router: RouterId,
}

impl Place {
    async fn settle(world: &World, name: &str) -> Result<Place> {
        let isp = Provider::sign_up(world, name).await?;
        let router = json!({"name": "Tower", "ipAddress": "10.0.0.1"});
        let router = isp.owner.post("/nas", &router).await?;
        let until = world.clock.now().plus(DAY);
        for (name, phone) in [
            ("asha", "254712345601"),
            ("brian", "254712345602"),
            ("chipo", "254712345603"),
        ] {
            isp.add_subscriber(name, phone, until).await?;
        }
        let me = isp.owner.get("/tenant/me").await?;
        let sites = isp.owner.get("/sites").await?;
        let id = |value: &Value| -> Result<Uuid> { Ok(value.as_str().context("an id")?.parse()?) };
        Ok(Place {
            agent: Agent {
                tenant: TenantId(id(&me["id"])?),
                site: id(&sites["sites"][0]["id"])?.into(),
                id: AgentId(Uuid::from_u128(1)),
            },
            router: RouterId(id(&router["id"])?),
            isp,
        })
    }

    /// Three customers and two years of one address; the first has it again.
    async fn history(&self, world: &World) -> Result<()> {
        let (start, stop) = (AccountingStatus::Start, AccountingStatus::Stop);
        let interim = AccountingStatus::Interim;
        let now = world.clock.now();
        let (one, two) = (at("2025-03-02T13:00:00Z"), at("2025-03-02T14:05:00Z"));
        let (three, four) = (at("2025-03-03T00:30:00Z"), at("2025-03-03T00:31:00Z"));
        let (five, since) = (at("2026-09-01T08:00:00Z"), now.minus(HOUR));
        self.told(
            world,
            &[
                ("811", "asha", ASHA, start, one, one),
                ("811", "asha", ASHA, stop, one, two),
                ("812", "brian", BRIAN, stop, two, three),
                (
                    "813",
                    "chipo",
                    CHIPO,
                    interim,
                    four,
                    at("2025-08-01T00:00:00Z"),
                ),
                ("813", "chipo", CHIPO, stop, four, five),
                ("814", "asha", ASHA, interim, since, now.minus(5 * MINUTE)),
            ],
        )
        .await
    }

    /// Takes what an agent tells, as its link does.
    async fn told(&self, world: &World, told: &[Told<'_>]) -> Result<()> {
        let app = &world.cloud().app;
        let apply = easyisp_cloud::appliers(&app.secrets);
        let apply = apply
            .of(UpKind::Accounting)
            .context("accounting is taken")?;
        for told in told.chunks(400) {
            let reports: Vec<Report> = told
                .iter()
                .zip(1..)
                .map(|(told, sequence)| Report {
                    sequence,
                    body: Up::Accounting(self.record(told)),
                })
                .collect();
            let mut tx = app.db.begin(self.agent.tenant).await?;
            let unusable = apply(&mut tx, &self.agent, &reports, world.clock.now()).await?;
            ensure!(unusable.is_empty(), "{unusable:?}");
            tx.commit().await?;
        }
        Ok(())
    }

    fn record(&self, told: &Told<'_>) -> AccountingV1 {
        let (session, username, mac, status, started, at) = *told;
        AccountingV1 {
            router: self.router,
            session: session.as_bytes().to_vec(),
            class: Vec::new(),
            status,
            username: username.as_bytes().to_vec(),
            customer: None,
            framed_ip: ADDRESS.parse().ok(),
            mac: Mac::parse(mac),
            at,
            started,
            session_secs: u32::try_from(at.since(started).as_secs()).unwrap(),
            bytes_up: 0,
            bytes_down: 0,
            bytes_free: 0,
            cause: (status == AccountingStatus::Stop).then_some(1),
        }
    }

    async fn search(&self, query: &str) -> Result<Value> {
        let reason = "reason=Court+order+17/2027";
        let path = format!("/sessions/search?{query}&{reason}");
        self.isp.owner.get(&path).await
    }

    /// The searches in the trail, oldest first.
    async fn trail(&self, world: &World) -> Result<Vec<Line>> {
        let mut tx = world.db().begin(self.agent.tenant).await?;
        Ok(sqlx::query_as(
            "select actor_id, ip_address, details, after from audit
              where action = 'SESSION_SEARCH' order by id",
        )
        .fetch_all(&mut *tx)
        .await?)
    }

    /// The router's names of all sessions that are kept.
    async fn sessions(&self, world: &World) -> Result<Vec<String>> {
        let mut tx = world.db().begin(self.agent.tenant).await?;
        Ok(
            sqlx::query_scalar("select acct_session_id from sessions order by acct_session_id")
                .fetch_all(&mut *tx)
                .await?,
        )
    }

    /// Two hundred thousand sessions of two years on five thousand addresses and as many devices.
    async fn fill(&self, world: &World) -> Result<()> {
        for part in 0..40_i32 {
            let mut tx = world.db().begin(self.agent.tenant).await?;
            sqlx::query(
                "insert into sessions (tenant_id, id, site_id, router_id, acct_session_id, username,
                        framed_ip, mac, status, started_at, last_seen_at, stopped_at, terminate_cause)
                 select $1, md5($1::text || n)::uuid, $2, $3, n::text, 'asha',
                        '10.0.' || (n % 5000) / 250 || '.' || n % 250,
                        '02:00:00:00:' || lpad(to_hex((n % 5000) / 256), 2, '0') || ':'
                            || upper(lpad(to_hex(n % 256), 2, '0')),
                        'COMPLETED', t, t + interval '6 hours', t + interval '6 hours', 'User-Request'
                   from (select n, timestamptz '2025-01-01T00:00:00Z' + n * interval '5 minutes' as t
                           from generate_series($4 * 5000, $4 * 5000 + 4999) n) as s",
            )
            .bind(self.agent.tenant)
            .bind(self.agent.site)
            .bind(self.router)
            .bind(part)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// How the server would go about a statement of a search.
    async fn plan(&self, world: &World, text: &str, mode: &str) -> Result<String> {
        let mut tx = world.db().begin(self.agent.tenant).await?;
        let (ip, mac) = match text.contains("and framed_ip = $2") {
            true => ("'10.0.3.7'", "null"),
            false => ("null", "'02:00:00:00:00:0A'"),
        };
        let values = [
            format!("'{}'", self.agent.tenant.0),
            ip.to_owned(),
            mac.to_owned(),
            "'2025-03-02T14:05:00Z'".to_owned(),
            "'2025-03-02T14:05:00Z'".to_owned(),
            "'2025-03-02T13:48:30Z'".to_owned(),
            "'Lost'".to_owned(),
            "50".to_owned(),
            "0".to_owned(),
        ];
        let values = match text.contains("$9") {
            true => &values[..],
            false => &values[..7],
        };
        plan(&mut tx, text, values, mode).await
    }
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
