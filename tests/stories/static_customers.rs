//! Customers who log in nowhere: what their router holds for each is kept there by the agent alone.

mod away;
mod beside;
mod by_radius;
mod half_told;
mod leases;

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use easyisp_shared::time::Timestamp;
use easyisp_tests::router::api::Face;
use easyisp_tests::router::kept::KeptRow;
use easyisp_tests::world::{Provider, Site, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::words::{DAY, HOUR, MINUTE};

const QUEUES: &str = "/queue/simple";
const LISTS: &str = "/ip/firewall/address-list";
const LEASES: &str = "/ip/dhcp-server/lease";

/// A provider with a router whose API is set up.
struct Place {
    world: World,
    isp: Provider,
    site: Site,
}

impl Place {
    async fn open(name: &str) -> Result<Place> {
        Place::open_at(Face::Seven, name).await
    }

    /// The same beside a router of this version.
    async fn open_at(face: Face, name: &str) -> Result<Place> {
        let world = World::start().await?;
        let isp = Provider::sign_up(&world, name).await?;
        let site = Site::open_with_face(&world, &isp, face).await?;
        Ok(Place { world, isp, site })
    }

    /// Somebody at this router, connected so.
    async fn connect(&self, name: &str, how: &str, until: Timestamp) -> Result<String> {
        let customer = json!({
            "username": name, "password": name, "name": format!("Customer {name}"), "phone": "0712345678",
            "connectionType": how, "packageId": self.isp.package, "nasId": self.site.router_id,
            "expiresAt": until.to_string(),
        });
        let made = self.isp.owner.post("/customers", &customer).await?;
        Ok(made["id"].as_str().context("an id")?.to_owned())
    }

    /// The same at a fixed address.
    async fn line(&self, name: &str, address: &str, until: Timestamp) -> Result<String> {
        let id = self.connect(name, "STATIC", until).await?;
        let given = json!({"ipAddress": address});
        self.isp
            .owner
            .post(&format!("/customers/{id}/assign-ip"), &given)
            .await?;
        Ok(id)
    }

    fn queue(&self, name: &str) -> Option<KeptRow> {
        let name = format!("easyisp-{name}");
        let mut queues = self.site.router.kept(QUEUES).into_iter();
        queues.find(|row| row.value("name") == Some(&name))
    }

    /// The lists an address is in.
    fn lists(&self, address: &str) -> Vec<String> {
        let rows = self.site.router.kept(LISTS).into_iter();
        let his = rows.filter(|row| row.value("address") == Some(address));
        let mut lists: Vec<String> = his
            .filter_map(|row| row.value("list").map(str::to_owned))
            .collect();
        lists.sort();
        lists
    }

    /// Waits until the router holds a line so: speed, and lists.
    async fn holds(&self, name: &str, address: &str, limit: &str, lists: &[&str]) -> Result<()> {
        let held = eventually("the router holds it", async || {
            let queue = self.queue(name);
            let fits = queue.as_ref().is_some_and(|queue| {
                queue.value("max-limit") == Some(limit)
                    && queue.value("target") == Some(&format!("{address}/32"))
            });
            Ok((fits && self.lists(address) == lists).then_some(()))
        });
        held.await.with_context(|| {
            format!(
                "{limit} {lists:?}, not {:?} {:?}",
                self.queue(name),
                self.lists(address)
            )
        })
    }

    /// Waits until a customer's line is in this state at the API.
    async fn line_is(&self, id: &str, state: &str) -> Result<Value> {
        let customer = self
            .isp
            .customer_becomes(id, state, |customer| customer["line"]["state"] == state);
        Ok(customer.await?["line"].clone())
    }

    /// Time goes on until everything at the router was read again.
    async fn look(&self) -> Result<()> {
        let router = &self.site.router;
        let before = router.counters().api_plans;
        self.world.clock.advance(5 * MINUTE + MINUTE / 4);
        eventually("the router is looked at", async || {
            Ok((router.counters().api_plans > before).then_some(()))
        })
        .await
    }

    async fn close(self) -> Result<()> {
        self.site.stop().await;
        self.world.stop().await
    }
}

const OPEN: &[&str] = &["easyisp-allowed"];
const EXPIRED: &[&str] = &["easyisp-blocked", "easyisp-expired"];
const CLOSED: &str = "1000/1000";

#[tokio::test(flavor = "multi_thread")]
async fn who_pays_is_let_through_and_who_expires_is_not_with_the_cloud_gone() -> Result<()> {
    let_through(Face::Seven).await
}

/// The same at RouterOS 6, with the login from before 6.43.
#[tokio::test(flavor = "multi_thread")]
async fn who_pays_is_let_through_and_who_expires_is_not_with_the_cloud_gone_at_six() -> Result<()> {
    let_through(Face::Six).await
}

async fn let_through(face: Face) -> Result<()> {
    let mut place = Place::open_at(face, "fixed").await?;
    let soon = place.world.clock.now().plus(HOUR);
    let id = place.line("school", "10.20.0.9", soon).await?;
    place
        .holds("school", "10.20.0.9", "10000000/10000000", OPEN)
        .await?;
    let line = place.line_is(&id, "ENFORCED").await?;
    assert_eq!(
        (&line["ipAddress"], &line["reach"], &line["downloadKbps"]),
        (&json!("10.20.0.9"), &json!("OPEN"), &json!(10_000)),
        "{line}"
    );
    assert_eq!(line["nasId"], place.site.router_id.as_str());

    place.world.stop_cloud().await?;
    place.site.cut_off().await?;
    place.world.clock.advance(HOUR + MINUTE);
    place.holds("school", "10.20.0.9", CLOSED, EXPIRED).await?;

    place.world.start_cloud().await?;
    place.site.caught_up().await?;
    let began = Instant::now();
    let paid = json!({"amount": 1000, "description": "Cash"});
    place
        .isp
        .owner
        .post(&format!("/customers/{id}/recharge"), &paid)
        .await?;
    place
        .holds("school", "10.20.0.9", "10000000/10000000", OPEN)
        .await?;
    println!("paid and open after {:?}", began.elapsed());

    // Suspended he reaches nothing, and the reason is another.
    place
        .isp
        .owner
        .post(&format!("/customers/{id}/suspend"), &json!({}))
        .await?;
    let suspended = &["easyisp-blocked", "easyisp-suspended"];
    place
        .holds("school", "10.20.0.9", CLOSED, suspended)
        .await?;
    let line = eventually("it is told", async || {
        let line = place.line_is(&id, "ENFORCED").await?;
        Ok(Some(line).filter(|line| line["reach"] == "BLOCKED"))
    });
    line.await?;
    place
        .isp
        .owner
        .post(&format!("/customers/{id}/activate"), &json!({}))
        .await?;
    place
        .holds("school", "10.20.0.9", "10000000/10000000", OPEN)
        .await?;

    // Gone, he leaves nothing behind.
    let (status, _) = place
        .isp
        .owner
        .call(Method::DELETE, &format!("/customers/{id}"), None)
        .await?;
    assert_eq!(status, StatusCode::OK);
    eventually("nothing of his is left", async || {
        let left = place.queue("school").is_some() || !place.lists("10.20.0.9").is_empty();
        Ok((!left).then_some(()))
    })
    .await?;
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_router_loses_is_put_back_and_what_others_made_stays() -> Result<()> {
    put_back(Face::Seven).await
}

/// The same at RouterOS 6, with the login from before 6.43.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_router_loses_is_put_back_and_what_others_made_stays_at_six() -> Result<()> {
    put_back(Face::Six).await
}

async fn put_back(face: Face) -> Result<()> {
    let place = Place::open_at(face, "repaired").await?;
    let until = place.world.clock.now().plus(30 * DAY);
    let router = &place.site.router;
    let theirs = [
        ("name", "Office"),
        ("target", "10.20.0.77/32"),
        ("comment", "do not touch"),
    ];
    router.enter(QUEUES, &theirs).context("a queue")?;
    let entry = [("list", "easyisp-allowed"), ("address", "10.20.0.77")];
    router.enter(LISTS, &entry).context("an entry")?;
    let others = || {
        let of = |menu| {
            let rows = router.kept(menu).into_iter();
            rows.filter(|row| {
                row.value("comment")
                    .is_none_or(|text| !text.starts_with("easyisp:"))
            })
            .collect::<Vec<KeptRow>>()
        };
        (of(QUEUES), of(LISTS))
    };
    let before = others();
    place.line("school", "10.20.0.9", until).await?;
    let ten = "10000000/10000000";
    place.holds("school", "10.20.0.9", ten, OPEN).await?;

    // Somebody slows it down by hand, and the next look mends it.
    let held = place.queue("school").context("a queue")?;
    router.edit(&held.id, &[("max-limit", "1000000/1000000")]);
    place.look().await?;
    place.holds("school", "10.20.0.9", ten, OPEN).await?;
    assert_eq!(place.queue("school").context("a queue")?.id, held.id);

    // Power is lost, and what comes back is a configuration of before.
    router.reboot();
    for row in router.kept(QUEUES).into_iter().chain(router.kept(LISTS)) {
        if row
            .value("comment")
            .is_some_and(|text| text.starts_with("easyisp:line:"))
        {
            router.forget(&row.id);
        }
    }
    assert_eq!(place.queue("school"), None);
    place.look().await?;
    place.holds("school", "10.20.0.9", ten, OPEN).await?;
    assert_eq!(others(), before);
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_nobodys_twice_and_never_the_routers() -> Result<()> {
    let place = Place::open("addresses").await?;
    let until = place.world.clock.now().plus(30 * DAY);
    let router = &place.site.router;
    let own = [("address", "10.20.0.1/24"), ("interface", "bridge1")];
    router.enter("/ip/address", &own).context("an address")?;
    let pool = [
        ("name", "homes"),
        ("ranges", "10.20.0.100-10.20.0.199,10.20.0.250"),
    ];
    router.enter("/ip/pool", &pool).context("a pool")?;
    place.line("school", "10.20.0.9", until).await?;
    place
        .holds("school", "10.20.0.9", "10000000/10000000", OPEN)
        .await?;

    let other = place.connect("clinic", "STATIC", until).await?;
    let dialler = place
        .isp
        .add_subscriber("joyce", "254712345650", until)
        .await?;
    let given = async |id: &str, address: &str| {
        let path = format!("/customers/{id}/assign-ip");
        let body = json!({"ipAddress": address});
        place.isp.owner.call(Method::POST, &path, Some(&body)).await
    };
    for id in [&other, &dialler] {
        let (status, answer) = given(id, "10.20.0.9").await?;
        assert_eq!(
            (status, &answer["code"]),
            (StatusCode::CONFLICT, &json!("ADDRESS_TAKEN")),
            "{answer}"
        );
        let said = answer["message"].as_str().unwrap_or_default();
        ensure!(said.starts_with("ipAddress"), "{said}");
    }
    for (address, why) in [
        ("10.20.0.1", "own address"),
        ("10.20.0.0", "network address"),
        ("10.20.0.255", "broadcast address"),
        ("10.20.0.150", "pool homes"),
        ("10.20.0.250", "pool homes"),
    ] {
        let (status, answer) = given(&other, address).await?;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{address}: {answer}");
        assert_eq!(answer["details"][0]["field"], "ipAddress", "{answer}");
        let said = answer["message"].as_str().unwrap_or_default();
        ensure!(said.contains(why), "{address}: {said}");
    }
    // Without an address he waits for one, and says so.
    let line = place.line_is(&other, "REFUSED").await?;
    ensure!(
        line["reason"]
            .as_str()
            .is_some_and(|why| why.contains("assign one")),
        "{line}"
    );

    // A pool that somebody widens later is found at the next look; nobody loses what he has.
    let wide = [("name", "wide"), ("ranges", "10.20.0.2-10.20.0.99")];
    router.enter("/ip/pool", &wide).context("a pool")?;
    place.look().await?;
    let found = eventually("the clash is told", async || {
        let customers = place
            .isp
            .owner
            .get("/customers?search=school&page=1&pageSize=1")
            .await?;
        let id = customers["customers"][0]["id"].as_str().context("an id")?;
        let line = place.isp.customer(id).await?["line"].clone();
        Ok(Some(line).filter(|line| line["state"] == "REFUSED"))
    });
    let found = found.await?;
    ensure!(
        found["reason"]
            .as_str()
            .is_some_and(|why| why.contains("pool wide")),
        "{found}"
    );
    assert_eq!(found["ipAddress"], "10.20.0.9");
    place
        .holds("school", "10.20.0.9", "10000000/10000000", OPEN)
        .await?;
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_speed_reaches_the_router_at_once_and_a_boost_ends_by_itself() -> Result<()> {
    let place = Place::open("speeds").await?;
    let until = place.world.clock.now().plus(30 * DAY);
    let id = place.line("school", "10.20.0.9", until).await?;
    let ten = "10000000/10000000";
    place.holds("school", "10.20.0.9", ten, OPEN).await?;
    let queue = place.queue("school").context("a queue")?.id;

    let boost = json!({"downloadMbps": 50, "uploadMbps": 25, "durationMinutes": 30});
    place
        .isp
        .owner
        .post(&format!("/customers/{id}/speed-boost"), &boost)
        .await?;
    place
        .holds("school", "10.20.0.9", "25000000/50000000", OPEN)
        .await?;
    place.world.clock.advance(30 * MINUTE);
    place.holds("school", "10.20.0.9", ten, OPEN).await?;

    let faster = place.isp.owner.add_package("Home 40", 40, 3000, 2).await?;
    let path = format!("/customers/{id}/package");
    place
        .isp
        .owner
        .put(&path, &json!({"packageId": faster}))
        .await?;
    place
        .holds("school", "10.20.0.9", "40000000/40000000", OPEN)
        .await?;
    // The package itself: everybody on it.
    let slower = json!({"name": "Home 40", "type": "PPPOE", "price": 3000, "downloadSpeed": 30, "uploadSpeed": 15});
    place
        .isp
        .owner
        .put(&format!("/packages/{faster}"), &slower)
        .await?;
    place
        .holds("school", "10.20.0.9", "15000000/30000000", OPEN)
        .await?;
    // Another address takes the old one along.
    let moved = json!({"ipAddress": "10.20.0.10"});
    place
        .isp
        .owner
        .post(&format!("/customers/{id}/assign-ip"), &moved)
        .await?;
    place
        .holds("school", "10.20.0.10", "15000000/30000000", OPEN)
        .await?;
    assert_eq!(place.lists("10.20.0.9"), Vec::<String>::new());
    assert_eq!(
        place.queue("school").context("a queue")?.id,
        queue,
        "the queue counts on"
    );
    place.close().await
}

/// What the queue counts is his usage; who sends nothing is not online.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_online_while_it_sends_and_its_quota_ends_it() -> Result<()> {
    let mut place = Place::open("counted").await?;
    const MEGABYTE: u64 = 1_000_000;
    let limited = json!({"name": "Limited", "type": "PPPOE", "price": 1000, "downloadSpeed": 10,
        "uploadSpeed": 10, "dataLimit": 1000 * MEGABYTE});
    let limited = place.isp.owner.post("/packages", &limited).await?;
    place.isp.package = limited["id"].as_str().context("an id")?.to_owned();
    let until = place.world.clock.now().plus(30 * DAY);
    let id = place.line("school", "10.20.0.9", until).await?;
    let ten = "10000000/10000000";
    place.holds("school", "10.20.0.9", ten, OPEN).await?;
    place.line_is(&id, "ENFORCED").await?;
    let online = async |wanted: bool| {
        let what = if wanted { "online" } else { "offline" };
        let like = |customer: &Value| customer["isOnline"] == wanted;
        place.isp.customer_becomes(&id, what, like).await
    };
    let router = &place.site.router;

    // What the internet sends to a device that is off makes nobody online.
    ensure!(router.pass_through("easyisp-school", 0, MEGABYTE));
    place.look().await?;
    place.site.reported().await?;
    online(false).await?;
    ensure!(router.pass_through("easyisp-school", 100 * MEGABYTE, 200 * MEGABYTE));
    place.look().await?;
    let customer = online(true).await?;
    assert_eq!(customer["ipAddress"], "10.20.0.9");
    let used = |kilobytes: u64| {
        let kilobytes = json!(kilobytes * 1000 * 1000 / 1024);
        let like = move |customer: &Value| customer["dataUsed"] == kilobytes;
        place.isp.customer_becomes(&id, "what he used", like)
    };
    used(300).await?;

    // A restart of the router begins to count anew, in another session; nothing is counted twice, and nothing is lost.
    router.reboot();
    ensure!(router.pass_through("easyisp-school", 50 * MEGABYTE, 50 * MEGABYTE));
    place.look().await?;
    used(400).await?;
    // So does the agent's, from its files.
    place.site.stop_agent().await;
    ensure!(
        place
            .site
            .router
            .pass_through("easyisp-school", 100 * MEGABYTE, 0)
    );
    place.site.start_agent().await?;
    let used = |kilobytes: u64| {
        let kilobytes = json!(kilobytes * 1000 * 1000 / 1024);
        let like = move |customer: &Value| customer["dataUsed"] == kilobytes;
        place.isp.customer_becomes(&id, "what he used", like)
    };
    used(500).await?;
    let sessions = place.isp.sessions_of("school").await?;
    assert_eq!(sessions.len(), 2, "one for each start of it: {sessions:?}");
    assert_eq!(sessions[0]["customer"]["id"], id.as_str(), "{sessions:?}");

    // The quota is used up: he is cut without the cloud, and his session is over.
    place.world.stop_cloud().await?;
    place.site.cut_off().await?;
    ensure!(
        place
            .site
            .router
            .pass_through("easyisp-school", 0, 500 * MEGABYTE)
    );
    ensure!(
        place
            .site
            .router
            .pass_through("easyisp-school", MEGABYTE, 0)
    );
    place.look().await?;
    place
        .holds(
            "school",
            "10.20.0.9",
            CLOSED,
            &["easyisp-blocked", "easyisp-quota"],
        )
        .await?;
    place.world.start_cloud().await?;
    place.site.caught_up().await?;
    place.site.reported().await?;
    let like = |customer: &Value| customer["isOnline"] == false;
    place.isp.customer_becomes(&id, "offline", like).await?;
    let access = place
        .isp
        .owner
        .get(&format!("/customers/{id}/access"))
        .await?;
    assert_eq!(access["reason"], "QUOTA", "{access}");
    place.close().await
}

/// Silence for three looks ends a session as it was seen last.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_falls_silent_was_online_until_it_did() -> Result<()> {
    let place = Place::open("silent").await?;
    let until = place.world.clock.now().plus(30 * DAY);
    let id = place.line("school", "10.20.0.9", until).await?;
    place
        .holds("school", "10.20.0.9", "10000000/10000000", OPEN)
        .await?;
    place.line_is(&id, "ENFORCED").await?;
    place.site.router.pass_through("easyisp-school", 1000, 1000);
    place.look().await?;
    let like = |customer: &Value| customer["isOnline"] == true;
    place.isp.customer_becomes(&id, "online", like).await?;
    let seen = place.world.clock.now();
    for look in 0..3 {
        place.look().await.with_context(|| format!("look {look}"))?;
    }
    let like = |customer: &Value| customer["isOnline"] == false;
    place.isp.customer_becomes(&id, "offline", like).await?;
    let sessions = place.isp.sessions_of("school").await?;
    let stopped = sessions[0]["stopTime"].as_str().and_then(Timestamp::parse);
    ensure!(
        stopped.is_some_and(|stopped| stopped <= seen),
        "{sessions:?}"
    );
    place.close().await
}
