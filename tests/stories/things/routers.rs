//! Routers: their secrets above all.

use std::time::Duration;

use anyhow::Result;
use easyisp_shared::wire::down::{RouterV1, secret_place};
use easyisp_shared::wire::{Down, DownKind};
use reqwest::Method;
use serde_json::{Value, json};

use super::{World, customer, given_world, refused, text};

fn router() -> Value {
    json!({"name": "Tower", "ipAddress": "192.168.88.1", "secret": "first-secret",
           "apiUsername": "api", "apiPassword": "api pass"})
}

/// The router as its site knows it, and its RADIUS secret.
async fn known(world: &World, id: &str) -> Result<(RouterV1, String, Option<String>)> {
    let Some(Down::Router(told)) = world.told(DownKind::Router, id).await? else {
        panic!("the site was told nothing");
    };
    let mut tx = world.cloud.app.db.begin(world.tenant).await?;
    let key = world
        .cloud
        .app
        .secrets
        .site_key(&mut tx, world.site().await?)
        .await?;
    let open = |field: &str, sealed: &[u8]| {
        let place = secret_place(DownKind::Router, told.router.0, field);
        let clear = key.open(&place, sealed)?;
        anyhow::Ok(String::from_utf8(clear.to_vec())?)
    };
    let secret = open("secret", &told.secret)?;
    let previous = told.previous_secret.as_ref();
    let previous = previous
        .map(|sealed| open("previous", sealed))
        .transpose()?;
    Ok((told, secret, previous))
}

#[tokio::test]
async fn a_masked_secret_is_unchanged_and_a_new_one_leaves_the_old_valid_until_it_is_used()
-> Result<()> {
    let world = given_world().await?;
    let owner = &world.owner;
    let made = owner.post("/nas", &router()).await?;
    let id = text(&made["id"]).to_owned();
    let path = format!("/nas/{id}");
    assert_eq!(made["secret"], json!("********"));
    assert_eq!(made["status"], json!("PENDING"));
    assert_eq!(made["sourceNetwork"], json!("192.168.88.1/32"));
    assert_eq!(known(&world, &id).await?.1, "first-secret");

    // The form sends back what it was shown.
    let mut form = made.clone();
    form["location"] = json!("Hill");
    let changed = owner.put(&path, &form).await?;
    assert_eq!(changed["location"], json!("Hill"));
    let (told, secret, previous) = known(&world, &id).await?;
    assert_eq!((secret.as_str(), previous), ("first-secret", None));
    assert_eq!(told.api.map(|api| api.user), Some("api".to_owned()));

    owner
        .put(&path, &json!({"secret": "second-secret"}))
        .await?;
    let (_, secret, previous) = known(&world, &id).await?;
    assert_eq!(secret, "second-secret");
    assert_eq!(previous.as_deref(), Some("first-secret"));

    // Nobody said which of the two is in use: it may be the second one, which is taken on, however late it is.
    owner.put(&path, &json!({"secret": "third-secret"})).await?;
    let (_, secret, previous) = known(&world, &id).await?;
    assert_eq!(secret, "third-secret");
    assert_eq!(previous.as_deref(), Some("second-secret"));
    world.clock.advance(Duration::from_secs(2 * 86_400));
    let shown = owner.get(&path).await?;
    let warnings = shown["warnings"].as_array().cloned().unwrap_or_default();
    assert!(
        warnings.iter().any(|one| one["code"] == "OLD_SECRET"),
        "{shown}"
    );
    let (_, _, previous) = known(&world, &id).await?;
    assert_eq!(previous.as_deref(), Some("second-secret"));
    let trail = world.trail().await?;
    assert!(trail.contains(&"ROUTER_CREATE".to_owned()));
    assert!(trail.contains(&"ROUTER_UPDATE".to_owned()));
    world.stop().await
}

#[tokio::test]
async fn a_router_without_a_secret_gets_a_random_one() -> Result<()> {
    let world = given_world().await?;
    let mut secrets = Vec::new();
    for name in ["One", "Two"] {
        let router = json!({"name": name, "ipAddress": "10.0.0.1", "secret": ""});
        let made = world.owner.post("/nas", &router).await?;
        secrets.push(known(&world, text(&made["id"])).await?.1);
    }
    assert_eq!(secrets[0].len(), 24);
    assert_ne!(secrets[0], secrets[1]);
    world.stop().await
}

#[tokio::test]
async fn offline_means_everything_that_is_not_online() -> Result<()> {
    let world = given_world().await?;
    let owner = &world.owner;
    owner.post("/nas", &router()).await?;
    let total =
        async |query: &str| anyhow::Ok(owner.get(&format!("/nas?{query}")).await?["total"].clone());
    assert_eq!(total("page=1&pageSize=20").await?, json!(1));
    assert_eq!(total("status=OFFLINE").await?, json!(1));
    assert_eq!(total("status=ONLINE").await?, json!(0));
    assert_eq!(total("search=tow").await?, json!(1));
    assert_eq!(total("search=t%25w").await?, json!(0));
    let (status, code, _) = refused(owner, Method::POST, "/nas", &router()).await?;
    assert_eq!((status, code.as_str()), (409, "ROUTER_NAME_TAKEN"));
    world.stop().await
}

#[tokio::test]
async fn a_router_with_customers_stays() -> Result<()> {
    let world = given_world().await?;
    let owner = &world.owner;
    let made = owner.post("/nas", &router()).await?;
    let path = format!("/nas/{}", text(&made["id"]));
    let mut jane = customer("jane");
    jane["nasId"] = made["id"].clone();
    let jane = owner.post("/customers", &jane).await?;
    assert_eq!(jane["nas"]["name"], json!("Tower"));

    let (status, code, _) = refused(owner, Method::DELETE, &path, &json!({})).await?;
    assert_eq!((status, code.as_str()), (409, "ROUTER_IN_USE"));
    assert_eq!(owner.get(&path).await?["customerCount"], json!(1));
    owner
        .put(
            &format!("/customers/{}", text(&jane["id"])),
            &json!({"nasId": ""}),
        )
        .await?;
    let (status, _) = owner.call(Method::DELETE, &path, None).await?;
    assert!(status.is_success());
    assert_eq!(world.told(DownKind::Router, text(&made["id"])).await?, None);
    world.stop().await
}

#[tokio::test]
async fn a_strangers_router_does_not_exist() -> Result<()> {
    let world = given_world().await?;
    let made = world.owner.post("/nas", &router()).await?;
    let path = format!("/nas/{}", text(&made["id"]));
    world
        .is_hidden_from_strangers(&[
            (Method::GET, path.clone(), json!({})),
            (Method::PUT, path.clone(), json!({"name": "Mine"})),
            (Method::DELETE, path.clone(), json!({})),
        ])
        .await?;
    let mut behind_it = customer("jane");
    behind_it["nasId"] = made["id"].clone();
    let (status, _, _) = refused(&world.stranger, Method::POST, "/customers", &behind_it).await?;
    assert_eq!(status, 400);
    assert_eq!(world.stranger.get("/nas").await?["total"], json!(0));
    world.stop().await
}
