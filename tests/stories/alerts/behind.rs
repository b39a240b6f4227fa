//! Devices behind other devices, and more devices than are read at once.

use anyhow::{Context, Result};
use easyisp_shared::id::TenantId;
use easyisp_tests::world::{Provider, Site, World};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Box, given_watch, minutes, names};

/// A radio on a mast, a switch behind it, a router behind that. All three fall silent: the mast alone is told. Whoever
/// stands behind nothing any more is told himself.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_behind_a_device_that_is_away_says_nothing() -> Result<()> {
    let (world, isp) = given_watch("behind").await?;
    let site = Site::open(&world, &isp).await?;
    let owner = &isp.owner;
    let mut chain: Vec<String> = Vec::new();
    // By id the last comes first: what it stands behind is known all the same.
    for (number, name) in ["Router", "Switch", "Mast"].into_iter().enumerate() {
        let source = format!("127.0.0.{}", 66 + number);
        let id = owner
            .add_router(name, &source, "a-secret-of-another", 3799)
            .await?;
        // Nothing listens there.
        owner.set_router_api(&id, "agent", "a-password", 1).await?;
        chain.push(id);
    }
    let [router, switch, mast] = &chain[..] else {
        anyhow::bail!("three devices");
    };
    let behind = async |device: &str, parent: Value| {
        let path = format!("/nas/{device}");
        let body = json!({"parentId": parent});
        owner.call(Method::PUT, &path, Some(&body)).await
    };
    for (device, parent) in [(router, switch), (switch, mast)] {
        let (status, shown) = behind(device, json!(parent)).await?;
        assert_eq!(
            (status, &shown["parentId"]),
            (StatusCode::OK, &json!(parent))
        );
    }
    let other = Provider::sign_up(&world, "stranger").await?;
    let strange = other
        .owner
        .add_router("Theirs", "127.0.0.90", "a-secret-of-another", 3799)
        .await;
    let strange = match strange {
        Ok(strange) => strange,
        // Without a site of his own he has none; an id that nobody has says the same.
        Err(_) => "01900000-0000-7000-8000-000000000001".to_owned(),
    };
    for wrong in [json!(router), json!(mast), json!(strange)] {
        let (status, said) = behind(mast, wrong).await?;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
    }

    let down = |shown: &Value, name: &str| {
        let alerts = shown["alerts"].as_array().into_iter().flatten();
        let mut alerts = alerts.filter(|alert| alert["rule"] == "ROUTER_DOWN");
        alerts.any(|alert| alert["device"] == name)
    };
    let shown = minutes(&world, &isp, Box::On, "the mast is down", |shown| {
        down(shown, "Mast")
    })
    .await?;
    assert_eq!(names(&shown), ["ROUTER_DOWN"], "{shown}");
    for _ in 0..30 {
        super::pass(&world, &isp, Box::On).await?;
    }
    let shown = owner.get("/snmp/alerts").await?;
    assert_eq!(
        names(&shown),
        ["ROUTER_DOWN"],
        "a quarter of an hour later: {shown}"
    );

    let (status, shown) = behind(router, Value::Null).await?;
    assert_eq!((status, &shown["parentId"]), (StatusCode::OK, &Value::Null));
    let shown = minutes(&world, &isp, Box::On, "the router is told", |shown| {
        down(shown, "Router")
    })
    .await?;
    assert_eq!(names(&shown).len(), 2, "{shown}");

    // A device that is taken away leaves nothing behind it.
    let (status, _) = owner
        .call(Method::DELETE, &format!("/nas/{mast}"), None)
        .await?;
    assert_eq!(status, StatusCode::OK);
    let shown = owner.get(&format!("/nas/{switch}")).await?;
    assert_eq!(shown["parentId"], Value::Null, "{shown}");
    site.stop().await;
    world.stop().await
}

/// The last of thousands of a tenant's routers is looked at like the first.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_thousands_alerts() -> Result<()> {
    let (world, isp) = given_watch("manyrouters").await?;
    let site = Site::open(&world, &isp).await?;
    let me = isp.owner.get("/tenant/me").await?;
    let tenant: TenantId = me["id"].as_str().context("a tenant")?.parse()?;
    insert_many(&world, tenant).await?;
    let shown = minutes(&world, &isp, Box::On, "the last is down", |shown| {
        !names(shown).is_empty()
    })
    .await?;
    assert_eq!(names(&shown), ["ROUTER_DOWN"], "{shown}");
    assert_eq!(shown["alerts"][0]["device"], "Last of all", "{shown}");
    site.stop().await;
    world.stop().await
}

/// Routers that nobody asked yet, and one after all of them by id that does not answer.
async fn insert_many(world: &World, tenant: TenantId) -> Result<()> {
    let mut tx = world.db().begin(tenant).await?;
    sqlx::query(
        "insert into routers (tenant_id, id, site_id, name, ip_address, source_network, secret_sealed,
                api_username, api_password_sealed, api_asked_at, api_problem, created_at, updated_at)
         select t.tenant_id, ('fffffff0-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, t.site_id,
                case when n = 2100 then 'Last of all' else 'Router ' || n end, '127.1.0.1', '127.1.0.1/32', '\\x00',
                'agent', '\\x00', t.created_at, case when n = 2100 then 'it is away' end, t.created_at, t.created_at
           from routers t, generate_series(1, 2100) n
          where t.tenant_id = $1",
    )
    .bind(tenant)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}
