//! Sessions: what agents report and what an operator reads of it.

use std::time::Duration;

use anyhow::Result;
use easyisp_cloud::sites::agents::Agent;
use easyisp_cloud::sites::reports::{Report, Unusable};
use easyisp_shared::entitlement::Reason;
use easyisp_shared::id::{AgentId, CustomerId, RouterId, SiteId};
use easyisp_shared::ipv6::Prefixes;
use easyisp_shared::line;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::up::{AccountingStatus, AccountingV1, LoginOutcome, LoginV1};
use easyisp_shared::wire::{Up, UpKind};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{World, customer, given_world, noon, refused, text};

/// A router, a customer behind it, and the agent that tells of both.
struct Place {
    world: World,
    agent: Agent,
    router: RouterId,
    customer: CustomerId,
}

async fn given_place() -> Result<Place> {
    let world = given_world().await?;
    let router = json!({"name": "Tower", "ipAddress": "10.0.0.1"});
    let router = world.owner.post("/nas", &router).await?;
    let jane = world.owner.post("/customers", &customer("jane")).await?;
    Ok(Place {
        agent: Agent {
            tenant: world.tenant,
            site: world.site().await?,
            id: AgentId(Uuid::from_u128(1)),
        },
        router: text(&router["id"]).parse()?,
        customer: text(&jane["id"]).parse()?,
        world,
    })
}

impl Place {
    async fn report(&self, agent: &Agent, kind: UpKind, records: Vec<Up>) -> Result<Vec<Unusable>> {
        let appliers = easyisp_cloud::appliers(&self.world.cloud.app.secrets);
        let apply = appliers.of(kind).expect("every kind is taken");
        let reports: Vec<Report> = records
            .into_iter()
            .zip(1..)
            .map(|(body, sequence)| Report { sequence, body })
            .collect();
        let mut tx = self.world.cloud.app.db.begin(agent.tenant).await?;
        let unusable = apply(&mut tx, agent, &reports, self.world.clock.now()).await?;
        tx.commit().await?;
        Ok(unusable)
    }

    async fn account(&self, records: Vec<AccountingV1>) -> Result<()> {
        let records = records.into_iter().map(Up::Accounting).collect();
        let unusable = self
            .report(&self.agent, UpKind::Accounting, records)
            .await?;
        assert_eq!(unusable, []);
        Ok(())
    }

    fn record(
        &self,
        session: &str,
        status: AccountingStatus,
        minute: i64,
        up: u64,
    ) -> AccountingV1 {
        let started = noon().minus(Duration::from_secs(3600));
        AccountingV1 {
            router: self.router,
            session: session.as_bytes().to_vec(),
            class: b"cookie".to_vec(),
            status,
            username: b"jane".to_vec(),
            customer: None,
            framed_ip: Some([10, 10, 10, 9].into()),
            prefixes: Prefixes::default(),
            mac: easyisp_shared::net::Mac::parse("AA:BB:CC:00:11:22"),
            at: Timestamp::from_secs(started.secs() + minute * 60),
            started,
            session_secs: u32::try_from(minute * 60).unwrap(),
            bytes_up: up,
            bytes_down: up * 10,
            bytes_free: 0,
            cause: None,
        }
    }

    async fn usage(&self) -> Result<(i64, i64)> {
        let mut tx = self.world.cloud.app.db.begin(self.world.tenant).await?;
        Ok(sqlx::query_as(
            "select coalesce(sum(bytes_in), 0)::bigint, coalesce(sum(bytes_out), 0)::bigint
               from usage where tenant_id = $1 and customer_id = $2",
        )
        .bind(self.world.tenant)
        .bind(self.customer)
        .fetch_one(&mut *tx)
        .await?)
    }

    /// The status of the only session.
    async fn status(&self) -> Result<String> {
        let mut tx = self.world.cloud.app.db.begin(self.world.tenant).await?;
        Ok(
            sqlx::query_scalar("select status from sessions where tenant_id = $1")
                .bind(self.world.tenant)
                .fetch_one(&mut *tx)
                .await?,
        )
    }

    async fn sessions(&self) -> Result<Vec<Value>> {
        let list = self.world.owner.get("/sessions?page=1&pageSize=50").await?;
        Ok(list["sessions"].as_array().cloned().unwrap_or_default())
    }
}

/// A lost start, a late interim and a repeat leave one session and the generator's bytes.
#[tokio::test]
async fn reports_in_any_order_and_number_give_one_session() -> Result<()> {
    let place = given_place().await?;
    let gib = 1 << 30;
    let interim = |minute, up| place.record("81", AccountingStatus::Interim, minute, up);
    let mut stop = place.record("81", AccountingStatus::Stop, 50, 5 * gib);
    stop.cause = Some(1);
    place
        .account(vec![interim(30, 3 * gib), interim(10, gib)])
        .await?;
    place
        .account(vec![stop.clone(), interim(20, 2 * gib)])
        .await?;
    place.account(vec![interim(30, 3 * gib), stop]).await?;

    let sessions = place.sessions().await?;
    assert_eq!(sessions.len(), 1);
    let session = &sessions[0];
    assert_eq!(session["status"], json!("completed"));
    assert_eq!(session["bytesIn"], json!(5 * gib));
    assert_eq!(session["bytesOut"], json!(50 * gib));
    assert_eq!(session["terminateCause"], json!("User-Request"));
    assert_eq!(session["durationSeconds"], json!(3000));
    assert_eq!(session["customer"]["name"], json!("Jane Doe"));
    let (up, down) = place.usage().await?;
    assert_eq!((up, down), (5 * gib as i64, 50 * gib as i64));

    let full = place
        .world
        .owner
        .get(&format!("/customers/{}", place.customer))
        .await?;
    assert_eq!(full["dataUsed"], json!(55 * gib / 1024));
    assert_eq!(
        full["monthlyUsage"],
        json!({"download": 50.0, "upload": 5.0})
    );
    assert_eq!(full["lastMac"], json!("AA:BB:CC:00:11:22"));
    assert_eq!(
        full["vendor"],
        json!(null),
        "an address that its owner made up"
    );

    // Counting anew: what was used before is no longer this period's.
    let path = format!("/customers/{}", place.customer);
    let full = place
        .world
        .owner
        .put(&path, &json!({"dataUsed": 0}))
        .await?;
    assert_eq!(full["dataUsed"], json!(0));
    place.world.stop().await
}

/// A router that is moved here brings a session of before the customer's period: its share of the time counts in that,
/// all of it in the books.
#[tokio::test]
async fn what_was_used_before_a_period_is_not_counted_in_it() -> Result<()> {
    let place = given_place().await?;
    let gib = 1 << 30;
    let path = format!("/customers/{}", place.customer);
    let owner = &place.world.owner;
    let (mib, before) = (1 << 20, AccountingStatus::Stop);
    place
        .account(vec![place.record("80", before, 50, mib)])
        .await?;
    owner.put(&path, &json!({"dataUsed": 0})).await?;
    place.world.clock.advance(Duration::from_secs(1800));
    let interim = |minute, up| place.record("81", AccountingStatus::Interim, minute, up);
    place.account(vec![interim(90, 9 * gib)]).await?;
    let full = owner.get(&path).await?;
    assert_eq!(full["dataUsed"], json!(33 * gib / 1024));
    place.world.clock.advance(Duration::from_secs(1800));
    place.account(vec![interim(120, 10 * gib)]).await?;
    let full = owner.get(&path).await?;
    assert_eq!(full["dataUsed"], json!(44 * gib / 1024));
    let (up, down) = place.usage().await?;
    let up_and_down = 10 * gib + mib;
    assert_eq!((up, down), (up_and_down as i64, 10 * up_and_down as i64));
    place.world.stop().await
}

/// A router numbers a session like one of long ago, and nobody gave either a cookie: they are two.
#[tokio::test]
async fn a_session_that_is_numbered_anew_is_another() -> Result<()> {
    let place = given_place().await?;
    let gib = 1 << 30;
    let bare = |status, minute, up| AccountingV1 {
        class: Vec::new(),
        ..place.record("81", status, minute, up)
    };
    let mut stop = bare(AccountingStatus::Stop, 10, 5 * gib);
    stop.cause = Some(1);
    place.account(vec![stop.clone()]).await?;
    place.account(vec![stop]).await?;
    assert_eq!(place.sessions().await?.len(), 1, "a repeat");

    place.world.clock.advance(Duration::from_secs(86_400));
    let now = place.world.clock.now();
    let again = |secs: u32, up| AccountingV1 {
        started: now.minus(Duration::from_secs(600)),
        at: now.minus(Duration::from_secs(u64::from(600 - secs))),
        session_secs: secs,
        framed_ip: Some([10, 10, 10, 7].into()),
        prefixes: Prefixes::default(),
        ..bare(AccountingStatus::Interim, 0, up)
    };
    place.account(vec![again(300, gib)]).await?;
    place.account(vec![again(600, 2 * gib)]).await?;
    let sessions = place.sessions().await?;
    let told = |session: &Value| {
        let [bytes, status] = ["bytesIn", "status"].map(|field| session[field].clone());
        (bytes, status)
    };
    let told: Vec<_> = sessions.iter().map(told).collect();
    assert_eq!(
        told,
        [
            (json!(2 * gib), json!("active")),
            (json!(5 * gib), json!("completed"))
        ]
    );
    let (up, _) = place.usage().await?;
    assert_eq!(up, 7 * gib as i64);
    place.world.stop().await
}

/// A second agent names a line's stretch as the first one did, long after that one ended it: it is counted once.
#[tokio::test]
async fn a_lines_session_is_the_same_whoever_tells_of_it() -> Result<()> {
    let place = given_place().await?;
    let customer = place.customer;
    let name = line::seen(customer, noon());
    let told = |status, minute, up| AccountingV1 {
        class: Vec::new(),
        customer: Some(customer),
        ..place.record(&name, status, minute, up)
    };
    let gib = 1 << 30;
    place
        .account(vec![told(AccountingStatus::Start, 0, 0)])
        .await?;
    let stop = told(AccountingStatus::Stop, 60, 3 * gib);
    place.account(vec![stop]).await?;

    place.world.clock.advance(Duration::from_secs(9 * 3600));
    let now = place.world.clock.now();
    let mut other = told(AccountingStatus::Start, 0, 3 * gib);
    (other.started, other.at) = (now, now);
    place.account(vec![other]).await?;
    assert_eq!(place.sessions().await?.len(), 1);
    let (up, _) = place.usage().await?;
    assert_eq!(up, 3 * gib as i64);
    place.world.stop().await
}

/// The same session id at two routers, or with another cookie, is another session.
#[tokio::test]
async fn a_session_id_alone_names_nothing() -> Result<()> {
    let place = given_place().await?;
    let other = json!({"name": "Hill", "ipAddress": "10.0.0.2"});
    let other = place.world.owner.post("/nas", &other).await?;
    let first = place.record("81", AccountingStatus::Start, 1, 0);
    let mut elsewhere = first.clone();
    elsewhere.router = text(&other["id"]).parse()?;
    let mut again = first.clone();
    again.class = b"after a reboot".to_vec();
    place.account(vec![first, elsewhere, again]).await?;
    assert_eq!(place.sessions().await?.len(), 3);
    place.world.stop().await
}

#[tokio::test]
async fn who_is_online_shows_everywhere_and_is_asked_to_leave() -> Result<()> {
    let place = given_place().await?;
    let owner = &place.world.owner;
    place
        .account(vec![place.record(
            "81",
            AccountingStatus::Interim,
            55,
            1000,
        )])
        .await?;

    let list = owner.get("/customers?page=1&pageSize=20").await?;
    let row = &list["customers"][0];
    assert_eq!(row["isOnline"], json!(true));
    assert_eq!(row["ipAddress"], json!("10.10.10.9"));
    assert_eq!(row["macAddress"], json!("AA:BB:CC:00:11:22"));
    let live = owner
        .get(&format!("/customers/{}/live-status", place.customer))
        .await?;
    assert_eq!(live["isOnline"], json!(true));
    assert_eq!(live["uptime"], json!("1h 0m 0s"));
    assert_eq!(live["lastSeenAgo"], json!("5m ago"));
    assert!(text(&live["error"]).contains("No agent"), "{live}");
    let router = owner.get(&format!("/nas/{}", place.router)).await?;
    assert_eq!(router["status"], json!("ONLINE"));
    assert_eq!(router["pppoeCount"], json!(1));
    let stats = owner.get("/sessions/stats").await?;
    assert_eq!((&stats["total"], &stats["pppoe"]), (&json!(1), &json!(1)));
    assert_eq!(stats["byNas"][0]["nasName"], json!("Tower"));
    assert_eq!(stats["sessions"]["today"], json!(1));
    let bare = owner.get("/radius/sessions").await?;
    assert_eq!(bare[0]["callingStationId"], json!("AA:BB:CC:00:11:22"));
    let paged = owner.get("/radius/sessions?page=1&pageSize=10").await?;
    assert_eq!(paged["total"], json!(1));
    assert_eq!(
        owner.get("/radius/stats").await?["activeSessions"],
        json!(1)
    );
    assert_eq!(
        owner.get("/radius/status").await?["activeSessions"],
        json!(1)
    );
    let records = owner.get("/radius/accounting?page=1&pageSize=10").await?;
    assert_eq!(records["summary"]["totalBytesOut"], json!(10_000));
    assert_eq!(records["records"][0]["nas"]["name"], json!("Tower"));

    let lock = owner
        .post(
            &format!("/customers/{}/mac-lock", place.customer),
            &json!({}),
        )
        .await?;
    assert_eq!(lock["macAddress"], json!("AA:BB:CC:00:11:22"));

    // No agent is there to do it: that is said, and it is written down for when one is.
    let (status, answer) = owner
        .call(
            Method::POST,
            "/radius/disconnect",
            Some(&json!({"username": "jane"})),
        )
        .await?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    let session = text(&place.sessions().await?[0]["id"]).to_owned();
    let (status, answer) = owner
        .call(Method::DELETE, &format!("/sessions/{session}"), None)
        .await?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        text(&answer["message"]).contains("written down"),
        "{answer}"
    );
    let (status, _, _) = refused(
        owner,
        Method::POST,
        "/radius/disconnect",
        &json!({"username": "nobody"}),
    )
    .await?;
    assert_eq!(status, 404);

    // Silence makes it doubtful by itself, the next report certain again.
    let cleanup = owner.post("/sessions/cleanup", &json!({})).await?;
    assert_eq!(cleanup["cleanedCount"], json!(0));
    place.world.clock.advance(Duration::from_secs(1_800));
    while place.status().await? != "UNCONFIRMED" {
        tokio::task::yield_now().await;
    }
    place
        .account(vec![place.record(
            "81",
            AccountingStatus::Interim,
            85,
            2000,
        )])
        .await?;
    assert_eq!(place.sessions().await?[0]["status"], json!("active"));
    place.world.stop().await
}

#[tokio::test]
async fn a_refused_login_tells_the_operator_why() -> Result<()> {
    let place = given_place().await?;
    let owner = &place.world.owner;
    let login = |username: &str, customer, outcome| {
        Up::Login(LoginV1 {
            at: noon(),
            router: place.router,
            username: username.as_bytes().to_vec(),
            customer,
            mac: None,
            outcome,
        })
    };
    let logins = vec![
        login(
            "jane",
            Some(place.customer),
            LoginOutcome::Refused(Reason::Expired),
        ),
        login("jane", Some(place.customer), LoginOutcome::WrongPassword),
        login("jnae", None, LoginOutcome::UnknownUser),
    ];
    assert_eq!(place.report(&place.agent, UpKind::Login, logins).await?, []);

    let log = owner
        .get(&format!("/customers/{}/auth-log", place.customer))
        .await?;
    let mut reasons: Vec<&str> = log["logins"]
        .as_array()
        .map(|logins| logins.iter().map(|login| text(&login["reason"])).collect())
        .unwrap_or_default();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        ["The paid period is over.", "The password is wrong."]
    );
    let log = owner.get("/radius/auth-log?username=jnae").await?;
    assert_eq!(
        log["logins"][0]["reason"],
        json!("Nobody of this name at this site.")
    );
    assert_eq!(log["logins"][0]["accepted"], json!(false));
    assert_eq!(log["logins"][0]["nasName"], json!("Tower"));
    place.world.stop().await
}

#[tokio::test]
async fn an_agent_speaks_of_its_own_site_only() -> Result<()> {
    let place = given_place().await?;
    let elsewhere = Agent {
        site: SiteId(Uuid::from_u128(99)),
        ..place.agent
    };
    let mut record = place.record("81", AccountingStatus::Stop, 10, 1000);
    record.customer = Some(place.customer);
    let unusable = place
        .report(&elsewhere, UpKind::Accounting, vec![Up::Accounting(record)])
        .await?;
    assert_eq!(unusable.len(), 1);
    assert!(place.sessions().await?.is_empty());
    assert_eq!(place.usage().await?, (0, 0));
    place.world.stop().await
}

#[tokio::test]
async fn a_strangers_session_does_not_exist() -> Result<()> {
    let place = given_place().await?;
    place
        .account(vec![place.record("81", AccountingStatus::Start, 55, 0)])
        .await?;
    let session = text(&place.sessions().await?[0]["id"]).to_owned();
    let none = json!({});
    let path = format!("/sessions/{session}");
    place
        .world
        .is_hidden_from_strangers(&[
            (Method::GET, path.clone(), none.clone()),
            (Method::DELETE, path, none),
            (
                Method::POST,
                "/radius/disconnect".into(),
                json!({"sessionId": session}),
            ),
            (
                Method::POST,
                "/radius/disconnect".into(),
                json!({"username": "jane"}),
            ),
        ])
        .await?;
    for path in ["/sessions", "/radius/accounting"] {
        assert_eq!(
            place.world.stranger.get(path).await?["total"],
            json!(0),
            "{path}"
        );
    }
    assert_eq!(
        place.world.stranger.get("/radius/sessions").await?,
        json!([])
    );
    place.world.stop().await
}

/// A router that says Gigawords 0xffffffff: its session goes on, nothing of that is counted, and whoever is counted
/// after it that day still is.
#[tokio::test]
async fn one_counter_that_cannot_be_true_stops_nobodys_accounting() -> Result<()> {
    let place = given_place().await?;
    let interim =
        |session, minute, up| place.record(session, AccountingStatus::Interim, minute, up);
    place.account(vec![interim("81", 10, 1_000)]).await?;
    let mut wild = interim("81", 15, 0);
    wild.bytes_up = u64::MAX - u64::from(u32::MAX);
    wild.bytes_down = u64::MAX;
    place.account(vec![wild.clone()]).await?;
    wild.session = b"82".to_vec();
    place.account(vec![wild]).await?;
    assert_eq!(place.usage().await?, (1_000, 10_000));
    assert_eq!(place.sessions().await?.len(), 2, "both are known");

    place.account(vec![interim("81", 20, 3_000)]).await?;
    place.account(vec![interim("83", 20, 7)]).await?;
    assert_eq!(place.usage().await?, (3_007, 30_070));
    let mut tx = place.world.cloud.app.db.begin(place.world.tenant).await?;
    let of_day: Vec<(i64, i64)> =
        sqlx::query_as("select bytes_in, bytes_out from site_usage where tenant_id = $1")
            .bind(place.world.tenant)
            .fetch_all(&mut *tx)
            .await?;
    assert_eq!(of_day, [(3_007, 30_070)]);
    // A sum that is full stays full.
    sqlx::query("update site_usage set bytes_in = 9223372036854775807 where tenant_id = $1")
        .bind(place.world.tenant)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    place.account(vec![interim("83", 25, 9)]).await?;
    assert_eq!(place.usage().await?, (3_009, 30_090));
    place.world.stop().await
}

/// A customer moves while his old site is cut off: what it tells of him when it is back is still his.
#[tokio::test]
async fn what_a_site_tells_late_of_who_was_moved_is_his() -> Result<()> {
    let place = given_place().await?;
    let hill = place
        .world
        .owner
        .post("/sites", &json!({"name": "Hill"}))
        .await?;
    let mast = json!({"name": "Mast", "ipAddress": "10.0.0.2", "siteId": hill["id"]});
    let mast = place.world.owner.post("/nas", &mast).await?;
    let path = format!("/customers/{}", place.customer);
    let moved = json!({"nasId": mast["id"]});
    place.world.owner.put(&path, &moved).await?;
    let mut tx = place.world.cloud.app.db.begin(place.world.tenant).await?;
    let his: Uuid = sqlx::query_scalar("select site_id from customers where tenant_id = $1")
        .bind(place.world.tenant)
        .fetch_one(&mut *tx)
        .await?;
    assert_eq!(his.to_string(), text(&hill["id"]), "he lives there now");
    tx.rollback().await?;

    let mut late = place.record("81", AccountingStatus::Stop, 30, 500);
    late.customer = Some(place.customer);
    place.account(vec![late.clone()]).await?;
    assert_eq!(place.usage().await?, (500, 5_000));

    // By name alone nobody is meant who lives elsewhere.
    late.customer = None;
    late.session = b"82".to_vec();
    place.account(vec![late]).await?;
    assert_eq!(place.usage().await?, (500, 5_000));
    place.world.stop().await
}

/// A session that is doubted is in neither the list of open sessions nor their number.
#[tokio::test]
async fn a_list_of_open_sessions_has_as_many_as_their_number_says() -> Result<()> {
    let place = given_place().await?;
    let interim = |session| place.record(session, AccountingStatus::Interim, 60, 1);
    place.account(vec![interim("81"), interim("82")]).await?;
    place.world.clock.advance(Duration::from_secs(1_200));
    let mut fresh = interim("82");
    fresh.at = place.world.clock.now();
    place.account(vec![fresh]).await?;
    let owner = &place.world.owner;
    owner.post("/sessions/cleanup", &json!({})).await?;
    let number = owner.get("/radius/status").await?["activeSessions"].clone();
    assert_eq!(number, 1);
    let list = owner.get("/radius/sessions?page=1").await?;
    assert_eq!(
        (&list["total"], list["sessions"].as_array().map(Vec::len)),
        (&number, Some(1))
    );
    assert_eq!(list["sessions"][0]["sessionId"], "82");
    place.world.stop().await
}
