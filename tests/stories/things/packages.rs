//! Packages: what the web client does with them, and what sites learn.

use anyhow::Result;
use easyisp_shared::net::RateLimit;
use easyisp_shared::wire::{Down, DownKind};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{customer, given_world, package, refused, text};

#[tokio::test]
async fn a_package_is_made_changed_as_a_whole_and_known_to_the_site() -> Result<()> {
    let world = given_world().await?;
    let owner = &world.owner;
    let made = owner.post("/packages", &package("Home 10")).await?;
    let id = text(&made["id"]).to_owned();
    assert_eq!(made["price"], json!(1000));
    assert_eq!(made["sessionTime"], json!(null));
    assert_eq!(made["customerCount"], json!(0));
    assert_eq!(made["routers"], json!([]));

    let Some(Down::Package(told)) = world.told(DownKind::Package, &id).await? else {
        panic!("the site was told nothing");
    };
    assert_eq!(told.rate, RateLimit::mbps(5, 10));
    assert_eq!(told.session_secs, None);

    // The form sends back everything it got, with the limit as text.
    let mut form = made.clone();
    form["dataLimit"] = json!("5368709120");
    form["price"] = json!(1200.5);
    let path = format!("/packages/{id}");
    let changed = owner.put(&path, &form).await?;
    assert_eq!(changed["dataLimit"], json!(5_368_709_120_i64));
    assert_eq!(changed["price"], json!(1200.5));
    let again = owner.put(&path, &changed).await?;
    assert_eq!(again["dataLimit"], changed["dataLimit"]);
    form["dataLimit"] = json!(null);
    assert_eq!(owner.put(&path, &form).await?["dataLimit"], json!(null));

    let trail = world.trail().await?;
    assert_eq!(
        trail
            .iter()
            .filter(|action| *action == "PACKAGE_UPDATE")
            .count(),
        3
    );
    world.stop().await
}

#[tokio::test]
async fn a_package_with_customers_is_neither_switched_off_nor_deleted() -> Result<()> {
    let world = given_world().await?;
    let owner = &world.owner;
    let made = owner.post("/packages", &package("Home")).await?;
    let path = format!("/packages/{}", text(&made["id"]));
    let mut jane = customer("jane");
    jane["packageId"] = made["id"].clone();
    let jane = owner.post("/customers", &jane).await?;

    let off = json!({"isActive": false});
    let (status, code, message) = refused(owner, Method::PUT, &path, &off).await?;
    assert_eq!((status, code.as_str()), (400, "PACKAGE_IN_USE"));
    assert!(message.contains("1 customer has"), "{message}");
    let (status, code, _) = refused(owner, Method::DELETE, &path, &json!({})).await?;
    assert_eq!((status, code.as_str()), (400, "PACKAGE_IN_USE"));

    let stats = owner.get(&format!("{path}/stats")).await?;
    assert_eq!(
        stats,
        json!({"totalClients": 1, "activeClients": 1, "expiredClients": 0, "suspendedClients": 0,
               "revenue": 0})
    );
    assert_eq!(
        owner.get(&format!("{path}/router-revenue")).await?,
        json!([])
    );

    let gone = format!("/customers/{}", text(&jane["id"]));
    owner.call(Method::DELETE, &gone, None).await?;
    let (status, answer) = owner.call(Method::DELETE, &path, None).await?;
    assert_eq!((status, answer), (StatusCode::OK, json!({"success": true})));
    assert_eq!(
        world.told(DownKind::Package, text(&made["id"])).await?,
        None
    );
    owner.post("/packages", &package("Home")).await?;
    world.stop().await
}

#[tokio::test]
async fn the_list_is_bare_and_filters_by_either_name() -> Result<()> {
    let world = given_world().await?;
    let owner = &world.owner;
    owner.post("/packages", &package("Home")).await?;
    let mut hour = package("Hour");
    hour["type"] = json!("HOTSPOT");
    hour["sessionTime"] = json!(60);
    owner.post("/packages", &hour).await?;

    let names = |list: serde_json::Value| -> Vec<String> {
        let list = list.as_array().cloned().unwrap_or_default();
        list.iter().map(|p| text(&p["name"]).to_owned()).collect()
    };
    assert_eq!(names(owner.get("/packages").await?).len(), 2);
    for query in [
        "type=HOTSPOT",
        "connectionType=HOTSPOT",
        "connectionType=hotspot",
    ] {
        assert_eq!(
            names(owner.get(&format!("/packages?{query}")).await?),
            ["Hour"]
        );
    }
    assert_eq!(
        names(owner.get("/packages?connectionType=STATIC").await?),
        ["Home"]
    );
    let (status, code, _) = refused(owner, Method::POST, "/packages", &package("home")).await?;
    assert_eq!((status, code.as_str()), (409, "PACKAGE_NAME_TAKEN"));
    let (status, _, message) = refused(owner, Method::POST, "/packages", &json!({})).await?;
    assert_eq!(status, 400);
    assert!(message.contains("downloadSpeed is required"), "{message}");
    world.stop().await
}

#[tokio::test]
async fn a_site_that_comes_later_learns_the_packages_there_are() -> Result<()> {
    let world = given_world().await?;
    let made = world.owner.post("/packages", &package("Home")).await?;
    let site = world.owner.post("/sites", &json!({"name": "Hill"})).await?;
    let mut tx = world.cloud.app.db.begin(world.tenant).await?;
    let told: i64 = sqlx::query_scalar(
        "select count(*) from feed where tenant_id = $1 and site_id = $2 and id = $3",
    )
    .bind(world.tenant)
    .bind(text(&site["id"]).parse::<uuid::Uuid>()?)
    .bind(text(&made["id"]).parse::<uuid::Uuid>()?)
    .fetch_one(&mut *tx)
    .await?;
    assert_eq!(told, 1);
    drop(tx);
    world.stop().await
}

#[tokio::test]
async fn a_strangers_package_does_not_exist() -> Result<()> {
    let world = given_world().await?;
    let made = world.owner.post("/packages", &package("Home")).await?;
    let path = format!("/packages/{}", text(&made["id"]));
    let none = json!({});
    world
        .is_hidden_from_strangers(&[
            (Method::GET, path.clone(), none.clone()),
            (Method::PUT, path.clone(), package("Mine")),
            (Method::DELETE, path.clone(), none.clone()),
            (Method::GET, format!("{path}/stats"), none.clone()),
            (Method::GET, format!("{path}/router-revenue"), none),
        ])
        .await?;
    assert_eq!(world.stranger.get("/packages").await?, json!([]));

    let router = json!({"name": "R", "ipAddress": "10.0.0.1"});
    let router = world.owner.post("/nas", &router).await?;
    let mut sold_there = package("Theirs");
    sold_there["routerIds"] = json!([router["id"]]);
    let (status, _, message) =
        refused(&world.stranger, Method::POST, "/packages", &sold_there).await?;
    assert_eq!(status, 400);
    assert!(message.contains("no router of yours"), "{message}");
    world.stop().await
}

/// A code that was sold is not taken back by deleting what it buys.
#[tokio::test]
async fn a_package_whose_vouchers_can_be_used_is_not_deleted() -> Result<()> {
    let world = given_world().await?;
    let owner = &world.owner;
    let mut hour = package("Hour");
    hour["type"] = json!("HOTSPOT");
    let made = owner.post("/packages", &hour).await?;
    let path = format!("/packages/{}", text(&made["id"]));
    let batch = json!({"packageId": made["id"], "count": 2});
    let batch = owner.post("/vouchers", &batch).await?;
    let (status, answer) = owner.call(Method::DELETE, &path, None).await?;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert_eq!(answer["code"], "PACKAGE_HAS_VOUCHERS");
    let message = text(&answer["message"]);
    assert!(message.contains("2 vouchers"), "{message}");

    for voucher in batch["vouchers"].as_array().expect("vouchers") {
        let path = format!("/vouchers/{}", text(&voucher["id"]));
        let (status, answer) = owner.call(Method::DELETE, &path, None).await?;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
    owner.call(Method::DELETE, &path, None).await?;
    let (status, _) = owner.call(Method::GET, &path, None).await?;
    assert_eq!(status, StatusCode::NOT_FOUND);
    world.stop().await
}
