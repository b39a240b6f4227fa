//! Whoever is erased takes nothing of others with him, and nothing that is told late brings him back.

use anyhow::{Context, Result};
use easyisp_shared::id::TenantId;
use easyisp_tests::line::Line;
use easyisp_tests::router::session::Usage;
use easyisp_tests::router::subscriber::Method as Login;
use easyisp_tests::world::{Provider, Site, World, eventually};
use serde_json::json;

use super::rows_that_say;
use crate::words::DAY;

/// Names, a phone and an address may be any words: what others did, and what is told of them, stays.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_called_like_other_words_takes_nothing_of_others_with_him() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "words").await?;
    let tenant = isp.tenant().await?;
    let until = world.clock.now().plus(DAY);
    let other = isp.add_subscriber("salima", "254712345680", until).await?;
    let cash = json!({"amount": 1000, "description": "Cash, amount counted by ali"});
    isp.owner
        .post(&format!("/customers/{other}/recharge"), &cash)
        .await?;
    isp.owner
        .put("/tenant/settings", &json!({"location": "Cash corner, ali"}))
        .await?;
    let now = world.clock.now();
    let search = format!("/sessions/search?ip=10.1.2.3&at={now}&reason=counted");
    isp.owner.get(&search).await?;
    quarantine(&world, tenant, 1, b"\x06salima").await?;
    quarantine(&world, tenant, 2, b"\x03ali\x00").await?;

    let dummy = json!({
        "username": "ali", "password": "ali-secret", "name": "Cash", "phone": "amount",
        "connectionType": "PPPOE", "packageId": isp.package, "expiresAt": until,
    });
    let dummy = isp.owner.post("/customers", &dummy).await?;
    let dummy = dummy["id"].as_str().context("an id")?;
    let before = lines_of_others(&world, tenant, dummy).await?;
    let wish = json!({"reason": "Asked by letter", "confirm": "ali"});
    isp.owner
        .post(&format!("/customers/{dummy}/erase"), &wish)
        .await?;

    assert_eq!(lines_of_others(&world, tenant, dummy).await?, before);
    let mut tx = world.db().begin(tenant).await?;
    let left: Vec<i64> = sqlx::query_scalar("select sequence from quarantine order by 1")
        .fetch_all(&mut *tx)
        .await?;
    assert_eq!(left, [1], "what names him goes, what names Salima stays");
    drop(tx);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());

    // Nobody takes the name that he has now.
    let taken = json!({
        "username": "Erased-00", "password": "secret", "name": "Somebody",
        "connectionType": "PPPOE", "packageId": isp.package,
    });
    let call = isp
        .owner
        .call(reqwest::Method::POST, "/customers", Some(&taken));
    let (status, answer) = call.await?;
    assert_eq!(status, reqwest::StatusCode::BAD_REQUEST, "{answer}");
    assert_eq!(answer["details"][0]["field"], "username");
    world.stop().await
}

/// A site that he left before, and that was cut off meanwhile, tells of him under his name.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_site_tells_late_names_nobody() -> Result<()> {
    const WORDS: [&str; 3] = ["achieng.o", "aa:bb:cc:0d:0e:1f", "10.9.8.7"];
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "moved").await?;
    let tenant = isp.tenant().await?;
    let line = Line::to(world.agents(), 1).await?;
    let site = Site::open_over(&line, &world, &isp).await?;
    let until = world.clock.now().plus(20 * DAY);
    let customer = isp
        .add_subscriber("achieng.o", "254712345681", until)
        .await?;
    site.knows("achieng.o", "at all", |_| true).await?;
    let second = isp.owner.post("/sites", &json!({"name": "Second"})).await?;
    let router = json!({
        "name": "Hill", "ipAddress": "10.77.0.1", "sourceNetwork": "10.77.0.0/24",
        "secret": "hill-secret", "siteId": second["id"],
    });
    let router = isp.owner.post("/nas", &router).await?;

    let dial = site.router.subscriber("achieng.o", "achieng.o", Login::Pap);
    let online = dial.mac(WORDS[1]).dial().await.online();
    online.started().await;
    site.reported().await?;
    line.cut(true);
    online.transfer(Usage { up: 5, down: 6 });
    assert!(online.interim().await);
    let path = format!("/customers/{customer}");
    isp.owner
        .put(&path, &json!({"nasId": router["id"]}))
        .await?;
    let wish = json!({"reason": "Asked by letter", "confirm": "achieng.o"});
    isp.owner.post(&format!("{path}/erase"), &wish).await?;
    assert_eq!(rows_that_say(&world, tenant, &WORDS).await?, Vec::new());

    // Tells again of the session, of another one that the cloud never heard of, and of a wrong password.
    let again = site.router.subscriber("achieng.o", "achieng.o", Login::Pap);
    let again = again.mac("AA:BB:CC:0D:0E:2F").dial().await;
    drop(again);
    let wrong = site.router.subscriber("achieng.o", "a guess", Login::Pap);
    wrong.mac(WORDS[1]).dial().await;
    line.cut(false);
    site.reported().await?;
    eventually("his site forgets him", async || {
        let known = site.agent().overview().site.subscriber(b"achieng.o");
        Ok(known.is_none().then_some(()))
    })
    .await?;
    site.reported().await?;
    assert_eq!(rows_that_say(&world, tenant, &WORDS).await?, Vec::new());
    site.stop().await;
    world.stop().await
}

/// A report that could not be applied, with this in it.
async fn quarantine(world: &World, tenant: TenantId, number: i64, body: &[u8]) -> Result<()> {
    let mut tx = world.db().begin(tenant).await?;
    sqlx::query(
        "insert into quarantine (tenant_id, agent_id, outbox_id, lane, sequence, kind, version, body, error, at)
         values ($1, $1, $1, 1, $2, 1, 1, $3, 'why', $4)",
    )
    .bind(tenant)
    .bind(number)
    .bind(body)
    .bind(world.clock.now())
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Every line of the trail that is not about this customer, as it stands there; what erasing adds is left out.
async fn lines_of_others(world: &World, tenant: TenantId, customer: &str) -> Result<Vec<String>> {
    let mut tx = world.db().begin(tenant).await?;
    Ok(sqlx::query_scalar(
        "select a::text from audit a
          where a.target_id is distinct from $1::uuid and a.action <> 'AUDIT_REDACT'
          order by a.id",
    )
    .bind(customer)
    .fetch_all(&mut *tx)
    .await?)
}
