//! "Why is this customer offline?": each cause really happens, and the one that is named is it.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use easyisp_shared::id::TenantId;
use easyisp_tests::router::subscriber::{Dial, Method, Subscriber};
use easyisp_tests::world::{Provider, Site, World, eventually};
use serde_json::{Value, json};

use crate::words::{DAY, MINUTE};

mod away;
mod guests;
mod refused;
mod routers;

/// A provider with a site whose router can be asked.
struct Place {
    world: World,
    isp: Provider,
    site: Site,
}

impl Place {
    async fn open(name: &str) -> Result<Place> {
        let world = World::start().await?;
        let isp = Provider::sign_up(&world, name).await?;
        let site = Site::open_with_api(&world, &isp).await?;
        Ok(Place { world, isp, site })
    }

    /// A customer who is paid for a month; his password is his name.
    async fn customer(&self, name: &str) -> Result<String> {
        self.customer_on(name, &self.isp.package).await
    }

    async fn customer_on(&self, name: &str, package: &str) -> Result<String> {
        let until = self.world.clock.now().plus(30 * DAY).to_string();
        let owner = &self.isp.owner;
        let id = owner
            .add_customer(name, package, "254712345699", &until)
            .await?;
        self.site.knows(name, "at all", |_| true).await?;
        Ok(id)
    }

    /// What one customer's equipment shows.
    fn equipment(&self, name: &str, password: &str) -> Subscriber {
        self.site
            .router
            .subscriber(name, password, Method::MsChapV2)
    }

    async fn ask(&self, customer: &str) -> Result<Value> {
        self.isp
            .owner
            .get(&format!("/customers/{customer}/diagnosis"))
            .await
    }

    /// The site itself says that this is why, and that this is to be done about it.
    async fn finds(&self, customer: &str, cause: &str, action: &str) -> Result<Value> {
        let found = self.ask(customer).await?;
        Place::is_found(customer, cause, action, &found)?;
        Ok(found)
    }

    /// The same once the site has heard of what was changed.
    async fn comes_to_find(&self, customer: &str, cause: &str, action: &str) -> Result<Value> {
        eventually(cause, async || {
            let found = self.ask(customer).await?;
            let is_it = found["cause"] == cause && found["source"] == "SITE";
            if is_it {
                Place::is_found(customer, cause, action, &found)?;
            }
            Ok(is_it.then_some(found))
        })
        .await
    }

    fn is_found(customer: &str, cause: &str, action: &str, found: &Value) -> Result<()> {
        ensure!(found["cause"] == cause, "{cause} was expected: {found}");
        ensure!(
            says(&found["action"], action),
            "{action:?} was expected: {found}"
        );
        ensure!(found["source"] == "SITE", "{found}");
        ensure!(found["site"]["connected"] == true, "{found}");
        ensure!(found["customerId"] == customer, "{found}");
        Ok(())
    }

    async fn put(&self, customer: &str, body: Value) -> Result<()> {
        self.isp
            .owner
            .put(&format!("/customers/{customer}"), &body)
            .await?;
        Ok(())
    }

    async fn post(&self, customer: &str, what: &str, body: Value) -> Result<()> {
        let path = format!("/customers/{customer}/{what}");
        self.isp.owner.post(&path, &body).await?;
        Ok(())
    }

    /// Waits until the cloud's log has an attempt of his: it is written after the answer.
    async fn logged(&self, customer: &str) -> Result<()> {
        let path = format!("/customers/{customer}/auth-log");
        eventually("his attempt is in the log", async || {
            let log = self.isp.owner.get(&path).await?;
            let logins = log["logins"].as_array().context("a list")?;
            Ok((!logins.is_empty()).then_some(()))
        })
        .await
    }

    async fn tenant(&self) -> Result<TenantId> {
        let me = self.isp.owner.get("/tenant/me").await?;
        Ok(TenantId(
            me["id"].as_str().context("the tenant's id")?.parse()?,
        ))
    }

    async fn close(self) -> Result<()> {
        self.site.stop().await;
        self.world.stop().await
    }
}

/// Whether a text contains this.
fn says(text: &Value, part: &str) -> bool {
    text.as_str().is_some_and(|text| text.contains(part))
}

/// Whether some line of the evidence contains this.
fn shows(found: &Value, part: &str) -> bool {
    let lines = found["evidence"].as_array();
    lines.is_some_and(|lines| lines.iter().any(|line| says(&line["text"], part)))
}

async fn is_refused(equipment: Subscriber) -> Result<()> {
    let dial = equipment.dial().await;
    ensure!(matches!(dial, Dial::Rejected(_)), "{dial:?}");
    Ok(())
}

fn phone(site: &Site, number: u8, name: &str, password: &str) -> Subscriber {
    let mac = format!("02:00:00:00:00:{number:02X}");
    let phone = site.router.subscriber(name, password, Method::Pap);
    phone.hotspot(Ipv4Addr::new(10, 5, 50, number)).mac(&mac)
}

/// Another provider's customer is no customer, and who may not see him is not told of him: neither without
/// any right nor with that of the other kind of customer.
#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_see_a_customer_is_told_why_he_is_offline() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "seen").await?;
    let other = Provider::sign_up(&world, "unseen").await?;
    let until = world.clock.now().plus(30 * DAY);
    let ada = isp.add_subscriber("adanna", "254712345601", until).await?;
    let path = format!("/customers/{ada}/diagnosis");
    let status = async |operator: &Provider| -> Result<u16> {
        let (status, _) = operator
            .owner
            .call(reqwest::Method::GET, &path, None)
            .await?;
        Ok(status.as_u16())
    };
    assert_eq!(status(&isp).await?, 200);
    assert_eq!(status(&other).await?, 404);

    let me = isp.owner.get("/tenant/me").await?;
    let tenant = TenantId(me["id"].as_str().context("the tenant's id")?.parse()?);
    for (granted, expected) in [
        ("", 403),
        ("hotspot:details_view", 403),
        ("pppoe:view", 403),
        ("pppoe:details_view", 200),
    ] {
        let mut tx = world.db().begin(tenant).await?;
        sqlx::query(
            "update operators set role = 'STAFF', added_permissions = $2 where tenant_id = $1",
        )
        .bind(tenant)
        .bind(granted.split_whitespace().collect::<Vec<_>>())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        assert_eq!(status(&isp).await?, expected, "{granted}");
    }
    world.stop().await
}

/// The words of the manual are those that are answered.
#[test]
fn the_manual_lists_every_cause() {
    let manual = easyisp_cloud::openapi();
    let manual = serde_json::to_value(&manual).expect("a manual is JSON");
    let listed = &manual["components"]["schemas"]["WhyOffline"]["properties"]["cause"]["enum"];
    let listed: Vec<&str> = listed
        .as_array()
        .expect("a list of words")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let all = easyisp_shared::diagnosis::Cause::ALL.iter();
    let all: Vec<&str> = all.map(|cause| cause.code()).collect();
    assert_eq!(listed, all);
}

/// A minute passes, so that what comes next is later.
fn later(world: &World) {
    world.clock.advance(MINUTE);
}

fn nothing() -> Value {
    json!({})
}
