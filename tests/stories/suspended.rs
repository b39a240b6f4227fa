//! The platform suspends a tenant: its operators are out at once, its sites give what was paid and no more.

use anyhow::{Context, Result};
use easyisp_cloud::auth::Email;
use easyisp_cloud::tenants;
use easyisp_tests::line::Line;
use easyisp_tests::operator::Operator;
use easyisp_tests::router::subscriber::{Dial, Method as By};
use easyisp_tests::world::{Provider, Site, World, eventually, soon};
use reqwest::Method;
use serde_json::json;

use crate::words::{DAY, HOUR};

/// G6: grace ends within the minute, paid time does not, and a site that cannot be told ends it by its lease.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_reaches_operators_and_sites() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "arrears").await?;
    let platform = given_platform(&world).await?;
    isp.subscribe(&world).await?;
    let line = Line::to(world.agents(), 1).await?;
    let site = Site::open_over(&line, &world, &isp).await?;
    let grace = json!({"graceMinutes": 30 * 24 * 60});
    isp.owner.put("/tenant/enforcement", &grace).await?;
    let now = world.clock.now();
    for (name, until) in [("paid", now.plus(20 * DAY)), ("late", now.minus(HOUR))] {
        isp.add_subscriber(name, "254712345610", until).await?;
        site.knows(name, "at all", |_| true).await?;
    }
    let code = voucher(&isp).await?;
    let paid = site.dial("paid").await.online();
    let late = site.dial("late").await.online();
    for session in [&paid, &late] {
        soon("the Start is answered", session.started()).await?;
    }

    let base = format!("/super-admin/tenants/{}", isp.tenant().await?);
    let deed = async |deed: &str| platform.post(&format!("{base}/{deed}"), &json!({})).await;
    deed("suspend").await?;
    let (status, answer) = isp.owner.call(Method::GET, "/tenant/me", None).await?;
    assert_eq!(status.as_u16(), 403, "{answer}");
    assert_eq!(answer["code"], "TENANT_SUSPENDED");
    // No clock moves: what the site does it does on the word of the feed.
    soon("grace is over", late.ended()).await?;
    assert!(paid.session().is_some());
    assert!(matches!(site.dial("late").await, Dial::Rejected(_)));
    let again = site.dial("paid").await.online();
    assert!(again.hang_up().await, "who paid comes in");
    let shown = site.router.subscriber(&code, &code, By::Pap);
    assert!(!matches!(shown.dial().await, Dial::Online(_)), "a new code");

    deed("reactivate").await?;
    eventually("grace is back", async || {
        let dial = site.dial("late").await;
        Ok(matches!(dial, Dial::Online(_)).then_some(()))
    })
    .await?;

    // Cut off, the site is not told; two weeks later its lease is over.
    line.cut(true);
    deed("suspend").await?;
    assert!(matches!(site.dial("late").await, Dial::Online(_)));
    for _ in 0..13 {
        world.clock.advance(DAY);
    }
    assert!(matches!(site.dial("late").await, Dial::Online(_)));
    world.clock.advance(DAY);
    assert!(matches!(site.dial("late").await, Dial::Rejected(_)));
    assert!(matches!(site.dial("paid").await, Dial::Online(_)));
    site.stop().await;
    world.stop().await
}

async fn voucher(isp: &Provider) -> Result<String> {
    let package = json!({"name": "Hour", "type": "HOTSPOT", "price": 20, "downloadSpeed": 4,
        "uploadSpeed": 2, "sessionTime": 60});
    let package = isp.owner.post("/packages", &package).await?;
    let body = json!({"count": 1, "packageId": package["id"], "type": "HOTSPOT"});
    let made = isp.owner.post("/vouchers", &body).await?;
    let code = made["vouchers"][0]["code"].as_str();
    Ok(code.context("a code")?.to_owned())
}

pub async fn given_platform(world: &World) -> Result<Operator> {
    let app = &world.cloud().app;
    let (email, password) = ("pat@platform.isp", "a pass phrase of the platform");
    let address = Email::parse(email).context("an address")?;
    let secret = password.into();
    let hash = app.sign_in.new_password("password", &secret, &address);
    let hash = hash.await.map_err(|error| error.into_cause())?;
    let made = tenants::create_platform_owner(
        &app.db,
        &app.secrets,
        "Pat",
        &address,
        &hash,
        world.clock.now(),
    );
    made.await.map_err(|error| error.into_cause())?;
    Operator::login(world.api(), email, password).await
}
