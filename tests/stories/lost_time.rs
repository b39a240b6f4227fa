//! Time that subscribers lost to an outage comes back by itself, once; and an operator gives time to everybody
//! behind a place.

use anyhow::{Context, Result};
use easyisp_shared::time::Timestamp;
use easyisp_tests::operator::http_client;
use easyisp_tests::world::{Provider, Site, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::words::{DAY, HOUR, MINUTE};

/// A provider with one site, looked at all the while.
struct Town {
    world: World,
    isp: Provider,
    site: Site,
    on: bool,
}

impl Town {
    async fn open(name: &str) -> Result<Town> {
        let world = World::start().await?;
        let isp = Provider::sign_up(&world, name).await?;
        let site = Site::open(&world, &isp).await?;
        let town = Town {
            world,
            isp,
            site,
            on: true,
        };
        town.looked().await?;
        // Somebody has listened for as long as silence must last.
        town.pass(20).await?;
        Ok(town)
    }

    /// Lets minutes go by, five at a time, as the cloud looks.
    async fn pass(&self, minutes: u32) -> Result<()> {
        for _ in 0..minutes / 5 {
            self.world.clock.advance(5 * MINUTE);
            self.looked().await?;
            if self.on {
                self.heard().await?;
            }
        }
        Ok(())
    }

    /// Switches the box off at a moment at which it is heard.
    async fn off(&mut self) -> Result<Timestamp> {
        self.heard_since(self.world.clock.now()).await?;
        self.site.stop_agent().await;
        self.on = false;
        let mut tx = self.world.db().begin(self.isp.tenant().await?).await?;
        let at = sqlx::query_scalar("select max(last_seen_at) from agents");
        Ok(at.fetch_one(&mut *tx).await?)
    }

    async fn on(&mut self) -> Result<()> {
        self.site.start_agent().await?;
        self.site.caught_up().await?;
        self.on = true;
        self.heard().await
    }

    async fn looked(&self) -> Result<()> {
        let tenant = self.isp.tenant().await?;
        let now = self.world.clock.now();
        eventually("the cloud looked", async || {
            let mut tx = self.world.db().begin(tenant).await?;
            let at: Option<Timestamp> = sqlx::query_scalar("select looked_at from outage_watches")
                .fetch_optional(&mut *tx)
                .await?;
            Ok((at >= Some(now)).then_some(()))
        })
        .await
    }

    /// The cloud has heard the box as lately as its word of every five minutes lets it.
    async fn heard(&self) -> Result<()> {
        self.heard_since(self.world.clock.now().minus(5 * MINUTE))
            .await
    }

    async fn heard_since(&self, since: Timestamp) -> Result<()> {
        let tenant = self.isp.tenant().await?;
        eventually("the box is heard", async || {
            let mut tx = self.world.db().begin(tenant).await?;
            let at: Option<Timestamp> = sqlx::query_scalar("select max(last_seen_at) from agents")
                .fetch_one(&mut *tx)
                .await?;
            Ok((at >= Some(since)).then_some(()))
        })
        .await
    }

    async fn customer(&self, name: &str, place: u32, until: Timestamp) -> Result<String> {
        let phone = format!("2547123457{place:02}");
        self.isp.add_subscriber(name, &phone, until).await
    }

    async fn end(&self, customer: &str) -> Result<String> {
        let shown = self.isp.customer(customer).await?;
        Ok(shown["expiresAt"].as_str().context("an end")?.to_owned())
    }

    /// What the page of the site says of its way to the internet.
    async fn uplink(&self) -> Result<Option<Value>> {
        let nas = format!("/nas/{}", self.site.router_id);
        let site = self.isp.owner.get(&nas).await?;
        let site = site["siteId"].as_str().context("a site")?;
        let page = self.isp.owner.get(&format!("/sites/{site}")).await?;
        let warnings = page["warnings"].as_array().context("warnings")?;
        let about = |warning: &&Value| warning["code"] == "UPSTREAM_DOWN";
        Ok(warnings.iter().find(about).cloned())
    }

    async fn outages(&self) -> Result<Vec<Value>> {
        let mut answer = self.isp.owner.get("/outages").await?;
        Ok(serde_json::from_value(answer["outages"].take())?)
    }

    /// The newest outage, once everybody behind it was looked at.
    async fn repaid(&self, which: usize) -> Result<Value> {
        let found = eventually("it is repaid", async || {
            let outages = self.outages().await?;
            let one = outages.get(which).cloned();
            Ok(one.filter(|one| one["repaidAt"].is_string()))
        })
        .await?;
        let id = found["id"].as_str().context("an id")?;
        self.isp.owner.get(&format!("/outages/{id}")).await
    }

    /// As if the one who repaid had died before he wrote how far he came.
    async fn repay_again(&self, outage: &Value) -> Result<()> {
        let id: uuid::Uuid = outage["id"].as_str().context("an id")?.parse()?;
        let mut tx = self.world.db().begin(self.isp.tenant().await?).await?;
        sqlx::query(
            "update outages set repaid_at = null, looked_to = null, customers = 0 where id = $1",
        )
        .bind(id)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into directory.jobs (tenant_id, kind, subject, due_at) values ($1, 'outages.repay', $2, $3)",
        )
        .bind(tx.tenant())
        .bind(id)
        .bind(self.world.clock.now())
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    async fn messages(&self) -> Result<Vec<String>> {
        let mut tx = self.world.db().begin(self.isp.tenant().await?).await?;
        let bodies = sqlx::query_scalar(
            "select body from messages where purpose = 'outage' order by recipient",
        )
        .fetch_all(&mut *tx)
        .await?;
        Ok(bodies)
    }

    async fn close(self) -> Result<()> {
        assert_eq!(self.world.book_findings().await?, Vec::<String>::new());
        self.site.stop().await;
        self.world.stop().await
    }
}

/// Three hours without the box: everybody whose time ran meanwhile gets it back behind what is paid, as his
/// package says, and is told; nobody gets it twice, whoever dies while he gives it.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_repays_itself_once() -> Result<()> {
    let mut town = Town::open("dark").await?;
    let owner = &town.isp.owner;
    let now = town.world.clock.now();
    let far = now.plus(10 * DAY);
    let asha = town.customer("asha", 1, far).await?;
    let gone = town.customer("gone", 2, now.minus(HOUR)).await?;
    let short = town.customer("short", 3, now.plus(HOUR)).await?;
    let late = town.customer("late", 4, now.minus(HOUR)).await?;
    let away = town.customer("away", 5, far).await?;
    owner
        .post(&format!("/customers/{away}/pause"), &json!({}))
        .await?;
    let strict = json!({"name": "Strict", "type": "PPPOE", "price": 500, "downloadSpeed": 5, "uploadSpeed": 5,
        "terms": {"keepsOutages": true}});
    let strict = owner.post("/packages", &strict).await?;
    let strict = strict["id"].as_str().context("an id")?;
    let firm = owner
        .add_customer("firm", strict, "254712345706", &far.to_string())
        .await?;
    town.site.knows("asha", "at all", |_| true).await?;
    let heard = town.off().await?;
    town.pass(120).await?;
    let open = town.outages().await?;
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(
        (&open[0]["cause"], &open[0]["endedAt"], &open[0]["beganAt"]),
        (
            &json!("AGENT_SILENT"),
            &json!(null),
            &json!(heard.to_string())
        )
    );
    // Two hours into it, somebody pays for his month.
    let owner = &town.isp.owner;
    let paid = town.world.clock.now();
    owner
        .post(
            &format!("/customers/{late}/recharge"),
            &json!({"amount": 1000}),
        )
        .await?;
    let late_end = Timestamp::parse(&town.end(&late).await?).context("an end")?;
    assert!(late_end > paid.plus(27 * DAY));
    town.pass(60).await?;
    town.on().await?;
    town.pass(5).await?;

    let repaid = town.repaid(0).await?;
    assert_eq!(repaid["customers"], 3, "{repaid}");
    let ended =
        Timestamp::parse(repaid["endedAt"].as_str().context("an end")?).context("an instant")?;
    let lasted = ended.since(heard);
    assert!(
        (3 * HOUR..=3 * HOUR + 10 * MINUTE).contains(&lasted),
        "{lasted:?}"
    );
    let known = town.world.clock.now();
    assert_eq!(town.end(&asha).await?, far.plus(lasted).to_string());
    assert_eq!(
        town.end(&late).await?,
        late_end.plus(ended.since(paid)).to_string()
    );
    // His hour began twenty minutes before the box went: the rest of it, from now.
    let rest = now.plus(HOUR).since(heard);
    assert_eq!(town.end(&short).await?, known.plus(rest).to_string());
    assert_eq!(town.end(&gone).await?, now.minus(HOUR).to_string());
    assert_eq!(town.end(&away).await?, far.to_string());
    assert_eq!(town.end(&firm).await?, far.to_string());
    town.site
        .knows("asha", "served for longer", |one| {
            one.entitlement.paid_until == far.plus(lasted)
        })
        .await?;
    // Each of the three has a line of his own in the trail.
    let trail = format!("/audit-logs?action=OUTAGE_REPAY&targetType=customer&targetId={asha}");
    let trail = town.isp.owner.get(&trail).await?;
    let lines = trail["logs"].as_array().context("lines")?;
    assert_eq!(lines.len(), 1, "{trail}");
    assert_eq!(
        (&lines[0]["before"], &lines[0]["after"]),
        (
            &json!({"expiresAt": far.to_string()}),
            &json!({"expiresAt": far.plus(lasted).to_string()})
        )
    );
    let told = town.messages().await?;
    assert_eq!(told.len(), 3);
    assert!(
        told[0].contains("sorry that Main site was offline. 3 h"),
        "{told:?}"
    );

    town.repay_again(&repaid).await?;
    let again = eventually("it was looked at again", async || {
        let one = town.outages().await?.swap_remove(0);
        Ok(one["repaidAt"].is_string().then_some(one))
    })
    .await?;
    assert_eq!(again["customers"], 0);
    town.pass(10).await?;
    assert_eq!(town.outages().await?.len(), 1);
    assert_eq!(town.end(&asha).await?, far.plus(lasted).to_string());
    assert_eq!(town.messages().await?.len(), 3);
    town.close().await
}

/// A router that is down while its site is heard, and then the site with it: the hours of both together, once. One
/// that is over within an hour costs nobody anything; and while the cloud itself was away, nobody was.
#[tokio::test(flavor = "multi_thread")]
async fn hours_lost_twice_come_back_once() -> Result<()> {
    let mut town = Town::open("twice").await?;
    let now = town.world.clock.now();
    let far = now.plus(10 * DAY);
    let owner = &town.isp.owner;
    let juma = json!({"username": "juma", "password": "juma", "name": "Juma", "connectionType": "PPPOE",
        "packageId": town.isp.package, "nasId": town.site.router_id, "expiresAt": far.to_string()});
    let juma = owner.post("/customers", &juma).await?;
    let juma = juma["id"].as_str().context("an id")?.to_owned();
    let other = town.customer("other", 8, far).await?;
    town.site.knows("juma", "at all", |_| true).await?;
    let online = town.site.dial("juma").await.online();
    online.started().await;
    town.site.reported().await?;
    let fell = town.world.clock.now();

    // Nothing more comes from the router, and nobody hung up.
    town.pass(120).await?;
    let open = town.outages().await?;
    assert_eq!(open[0]["cause"], "ROUTER_SILENT", "{open:?}");
    assert_eq!(open[0]["routerId"], town.site.router_id.as_str());
    town.off().await?;
    town.pass(120).await?;
    town.on().await?;
    assert!(online.interim().await);
    town.site.reported().await?;
    town.pass(5).await?;
    town.repaid(0).await?;
    town.repaid(1).await?;
    let outages = town.outages().await?;
    assert_eq!(outages.len(), 2, "{outages:?}");
    let given = |end: &str| -> Result<std::time::Duration> {
        Ok(Timestamp::parse(end).context("an end")?.since(far))
    };
    let (his, others) = (
        given(&town.end(&juma).await?)?,
        given(&town.end(&other).await?)?,
    );
    let whole = town.world.clock.now().since(fell);
    assert!(
        his <= whole && his + 10 * MINUTE >= whole,
        "{his:?} of {whole:?}"
    );
    assert!(others < 3 * HOUR && others > HOUR, "{others:?}");

    // Half an hour is nobody's loss, and a cloud that was away all night heard nobody.
    online.hang_up().await;
    town.off().await?;
    town.pass(30).await?;
    town.on().await?;
    town.pass(5).await?;
    let brief = town.repaid(0).await?;
    assert_eq!(
        (&brief["cause"], &brief["customers"]),
        (&json!("AGENT_SILENT"), &json!(0))
    );
    let end = town.end(&other).await?;
    town.world.clock.advance(8 * HOUR);
    town.looked().await?;
    town.pass(30).await?;
    assert_eq!(town.outages().await?.len(), 3);
    assert_eq!(town.end(&other).await?, end);
    town.close().await
}

/// The box is heard, over a line of its own, and the internet is not reached from there: an outage as well, from the
/// first look in vain to the first answer, on the page of the site while it lasts. One that never ended when the box
/// went away is over once it is back and reaches somebody.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_reaches_nobody_is_an_outage_though_its_box_is_heard() -> Result<()> {
    let mut town = Town::open("uplink").await?;
    let far = town.world.clock.now().plus(10 * DAY);
    let asha = town.customer("asha", 1, far).await?;
    let out_there = std::net::TcpListener::bind("127.0.0.1:0")?;
    let host = out_there.local_addr()?;
    town.site.stop_agent().await;
    town.site
        .configure(|config| config.upstream.hosts = vec![host]);
    town.on().await?;
    town.pass(20).await?;
    assert_eq!(town.outages().await?, Vec::<Value>::new());
    assert_eq!(town.uplink().await?, None);

    drop(out_there);
    let fell = town.world.clock.now();
    let warned = eventually("it is on the site's page", async || {
        town.world.clock.advance(MINUTE);
        town.uplink().await
    })
    .await?;
    town.pass(40).await?;
    let open = town.outages().await?;
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0]["cause"], "UPSTREAM_DOWN");
    assert_eq!(open[0]["beganAt"], warned["since"]);
    assert_eq!(open[0]["endedAt"], Value::Null);
    // The power fails as well: it is the same hour.
    town.off().await?;
    town.pass(60).await?;
    assert_eq!(town.outages().await?.len(), 1);
    town.on().await?;
    town.pass(30).await?;
    assert_eq!(town.outages().await?[0]["endedAt"], Value::Null);

    let _out_there = std::net::TcpListener::bind(host)?;
    let mended = town.world.clock.now();
    eventually("it is gone from the site's page", async || {
        town.world.clock.advance(MINUTE);
        let over = town.outages().await?[0]["endedAt"].is_string();
        Ok((over && town.uplink().await?.is_none()).then_some(()))
    })
    .await?;
    town.pass(10).await?;
    let repaid = town.repaid(0).await?;
    assert_eq!(repaid["customers"], 1, "{repaid}");
    let at = |name: &str| -> Result<Timestamp> {
        Timestamp::parse(repaid[name].as_str().context("a time")?).context("an instant")
    };
    let (began, ended) = (at("beganAt")?, at("endedAt")?);
    assert!(began <= fell.plus(10 * MINUTE) && began >= fell.minus(5 * MINUTE));
    assert!(
        ended >= mended && ended <= mended.plus(10 * MINUTE),
        "{ended} after {mended}"
    );
    let end = town.end(&asha).await?;
    assert_eq!(end, far.plus(ended.since(began)).to_string());
    town.close().await
}

/// Everybody behind a router or a site gets hours from an operator: first counted, then given, once for a request
/// however often it is sent.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_gives_hours_to_everybody_behind_a_place() -> Result<()> {
    let town = Town::open("gift").await?;
    let owner = &town.isp.owner;
    let now = town.world.clock.now();
    let far = now.plus(DAY);
    let asha = town.customer("asha", 1, far).await?;
    let gone = town.customer("gone", 2, now.minus(HOUR)).await?;
    let sites = owner.get("/sites").await?;
    let site = sites["sites"][0]["id"]
        .as_str()
        .context("a site")?
        .to_owned();
    let wish = |dry: bool| json!({"siteId": site, "hours": 6, "reason": "Storm", "dryRun": dry});

    let counted = owner.post("/outages/extend", &wish(true)).await?;
    assert_eq!(
        (&counted["customers"], &counted["id"]),
        (&json!(1), &json!(null))
    );
    assert!(town.outages().await?.is_empty());
    let http = http_client();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let answer = http
            .post(format!("http://{}/api/outages/extend", town.world.api()))
            .bearer_auth(owner.token())
            .header("Idempotency-Key", "storm")
            .json(&wish(false))
            .send()
            .await?;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        let answer: Value = answer.json().await?;
        ids.push(answer["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
    let given = town.repaid(0).await?;
    assert_eq!(
        (&given["cause"], &given["customers"], &given["hours"]),
        (&json!("EXTENSION"), &json!(1), &json!(6))
    );
    assert_eq!(given["given"][0]["seconds"], 6 * 3600);
    assert_eq!(town.end(&asha).await?, far.plus(6 * HOUR).to_string());
    assert_eq!(town.end(&gone).await?, now.minus(HOUR).to_string());
    let told = town.messages().await?;
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("6 h were added to your time"), "{told:?}");

    // Nobody belongs to the router, and nobody was online at it.
    let router = json!({"routerId": town.site.router_id, "hours": 1, "dryRun": true});
    assert_eq!(
        owner.post("/outages/extend", &router).await?["customers"],
        0
    );
    for (wrong, field) in [
        (json!({"hours": 1}), "siteId"),
        (json!({"siteId": site, "hours": 0}), "hours"),
        (json!({"siteId": site, "hours": 721}), "hours"),
    ] {
        let (status, answer) = owner
            .call(Method::POST, "/outages/extend", Some(&wrong))
            .await?;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(answer["details"][0]["field"], field);
    }
    town.close().await
}
