//! Customers: from the form to the site.

use anyhow::Result;
use easyisp_cloud::renewals::{self, Channel, Method as Means, Receipt};
use easyisp_shared::account::AccountNumber;
use easyisp_shared::entitlement::Standing;
use easyisp_shared::money::Cents;
use easyisp_shared::wire::down::{Order, SubscriberV1, Whom, secret_place};
use easyisp_shared::wire::{Down, DownKind};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{World, customer, given_world, noon, package, refused, text};

async fn known(world: &World, id: &str) -> Result<SubscriberV1> {
    match world.told(DownKind::Subscriber, id).await? {
        Some(Down::Subscriber(told)) => Ok(told),
        other => panic!("the site was told {other:?}"),
    }
}

async fn password(world: &World, told: &SubscriberV1) -> Result<String> {
    let mut tx = world.cloud.app.db.begin(world.tenant).await?;
    let key = world
        .cloud
        .app
        .secrets
        .site_key(&mut tx, world.site().await?)
        .await?;
    let place = secret_place(DownKind::Subscriber, told.customer.0, "password");
    Ok(String::from_utf8(
        key.open(&place, &told.password)?.to_vec(),
    )?)
}

#[tokio::test]
async fn a_new_customer_has_a_number_thirty_days_and_a_place_at_the_site() -> Result<()> {
    let world = given_world().await?;
    let owner = &world.owner;
    let made = owner.post("/customers", &customer("jane")).await?;
    let id = text(&made["id"]);

    assert!(AccountNumber::parse(text(&made["accountNumber"])).is_some());
    assert_eq!(made["expiresAt"], json!("2026-03-02T09:00:00.000Z"));
    assert_eq!(made["status"], json!("ACTIVE"));
    assert_eq!(made["password"], json!("secret-word"));
    assert_eq!(made["email"], json!(null));
    for zero in ["walletBalance", "totalSpent", "dataUsed", "installationFee"] {
        assert_eq!(made[zero], json!(0), "{zero}");
    }
    assert_eq!(
        made["monthlyUsage"],
        json!({"download": 0.0, "upload": 0.0})
    );
    assert_eq!(owner.get(&format!("/customers/{id}")).await?, made);

    let told = known(&world, id).await?;
    assert_eq!(told.username, b"jane");
    assert_eq!(told.standing, Standing::Active);
    assert_eq!(password(&world, &told).await?, "secret-word");

    let (status, code, message) =
        refused(owner, Method::POST, "/customers", &customer("jane")).await?;
    assert_eq!((status, code.as_str()), (409, "USERNAME_TAKEN"));
    assert_eq!(message, "Username already exists");
    let theirs = world.stranger.post("/customers", &customer("jane")).await?;
    assert_ne!(theirs["accountNumber"], made["accountNumber"]);
    world.stop().await
}

#[tokio::test]
async fn an_edit_stores_the_password_ignores_the_blank_one_and_keeps_the_rest() -> Result<()> {
    let world = given_world().await?;
    let owner = &world.owner;
    let made = owner.post("/customers", &customer("jane")).await?;
    let id = text(&made["id"]);
    let path = format!("/customers/{id}");

    let mut form = made.clone();
    form["password"] = json!("");
    form["phone"] = json!("");
    form["location"] = json!("Kilimani");
    let changed = owner.put(&path, &form).await?;
    assert_eq!(changed["location"], json!("Kilimani"));
    assert_eq!(changed["phone"], json!(null));
    assert_eq!(changed["password"], json!("secret-word"));
    assert_eq!(changed["expiresAt"], made["expiresAt"]);

    let changed = owner
        .put(&path, &json!({"password": "another-word"}))
        .await?;
    assert_eq!(changed["password"], json!("another-word"));
    assert_eq!(changed["location"], json!("Kilimani"));
    let told = known(&world, id).await?;
    assert_eq!(password(&world, &told).await?, "another-word");

    let later = json!({"expiresAt": "2026-06-30T21:00:00.000Z"});
    owner.put(&path, &later).await?;
    assert_eq!(
        known(&world, id).await?.paid_until.to_string(),
        "2026-06-30T21:00:00.000Z"
    );
    let trail = world.trail().await?;
    assert!(trail.contains(&"INFO_UPDATE".to_owned()));
    assert!(trail.contains(&"EXPIRY_UPDATE".to_owned()));
    world.stop().await
}

/// H11: of two operators who save what both read, the second is told.
#[tokio::test]
async fn a_stale_save_is_refused() -> Result<()> {
    let world = given_world().await?;
    let made = world.owner.post("/customers", &customer("jane")).await?;
    let url = format!(
        "http://{}/api/customers/{}",
        world.cloud.http_addr,
        text(&made["id"])
    );
    let http = easyisp_tests::operator::http_client();
    let save = async |etag: &str, name: &str| {
        let request = http
            .put(&url)
            .bearer_auth(world.owner.token())
            .header("If-Match", etag)
            .json(&json!({"name": name}));
        anyhow::Ok(request.send().await?.status())
    };
    let read = http
        .get(&url)
        .bearer_auth(world.owner.token())
        .send()
        .await?;
    let etag = read.headers()["etag"].to_str()?.to_owned();

    assert_eq!(save(&etag, "Jane First").await?, StatusCode::OK);
    assert_eq!(
        save(&etag, "Jane Second").await?,
        StatusCode::PRECONDITION_FAILED
    );
    assert_eq!(save("*", "Jane Third").await?, StatusCode::OK);
    world.stop().await
}

#[tokio::test]
async fn the_list_filters_searches_and_counts() -> Result<()> {
    let world = given_world().await?;
    let owner = &world.owner;
    for name in ["jane", "john", "jade_x"] {
        owner.post("/customers", &customer(name)).await?;
        world.clock.advance(std::time::Duration::from_secs(1));
    }
    let mut guest = customer("guest");
    guest["connectionType"] = json!("HOTSPOT");
    guest["phone"] = json!("guest");
    let guest = owner.post("/customers", &guest).await?;
    let past = json!({"expiresAt": "2026-01-01T00:00:00Z"});
    owner
        .put(&format!("/customers/{}/expiry", text(&guest["id"])), &past)
        .await?;

    for (query, total) in [
        ("", 4),
        ("?page=1&pageSize=2", 4),
        ("?connectionType=PPPOE", 3),
        ("?type=HOTSPOT", 1),
        ("?search=JADE", 1),
        ("?search=de_x", 1),
        ("?search=jade_", 1),
        ("?search=ja_e", 0),
        ("?search=ja%25", 0),
        ("?search=x", 1),
        ("?search=0712345678", 3),
        ("?status=EXPIRED", 1),
        ("?status=ACTIVE&connectionType=PPPOE", 3),
        ("?connectionType=&status=&search=", 4),
    ] {
        let list = owner.get(&format!("/customers{query}")).await?;
        assert_eq!(list["total"], json!(total), "{query}");
    }
    let page = owner.get("/customers?page=2&pageSize=3").await?;
    assert_eq!(page["customers"].as_array().map(Vec::len), Some(1));
    assert_eq!(page["totalPages"], json!(2));
    let row = &page["customers"][0];
    assert_eq!(row["username"], json!("jane"));
    assert_eq!(row["isOnline"], json!(false));
    assert_eq!(row["package"], json!(null));

    let number = format!("?search={}", text(&guest["accountNumber"]));
    assert_eq!(
        owner.get(&format!("/customers{number}")).await?["total"],
        json!(1)
    );
    world.stop().await
}

#[tokio::test]
async fn deleting_frees_the_name_tells_the_site_and_keeps_the_count() -> Result<()> {
    let world = given_world().await?;
    let owner = &world.owner;
    let made = owner.post("/customers", &customer("jane")).await?;
    let id = text(&made["id"]);
    let (status, answer) = owner
        .call(Method::DELETE, &format!("/customers/{id}"), None)
        .await?;
    assert_eq!((status, answer), (StatusCode::OK, json!({"success": true})));
    assert_eq!(world.told(DownKind::Subscriber, id).await?, None);
    let (status, _) = owner
        .call(Method::GET, &format!("/customers/{id}"), None)
        .await?;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(owner.get("/customers").await?["total"], json!(0));

    let again = owner.post("/customers", &customer("jane")).await?;
    assert_ne!(again["accountNumber"], made["accountNumber"]);
    assert_eq!(owner.get("/customers").await?["total"], json!(1));
    world.stop().await
}

#[tokio::test]
async fn what_is_done_to_a_customer_is_known_to_the_site_at_once() -> Result<()> {
    let world = given_world().await?;
    let owner = &world.owner;
    let home = owner.post("/packages", &package("Home")).await?;
    let made = owner.post("/customers", &customer("jane")).await?;
    let id = text(&made["id"]);
    let at = |what: &str| format!("/customers/{id}/{what}");
    let none = json!({});

    let answer = owner.post(&at("suspend"), &none).await?;
    assert_eq!(answer["success"], json!(true));
    assert_eq!(known(&world, id).await?.standing, Standing::Suspended);
    owner.post(&at("activate"), &none).await?;
    assert_eq!(known(&world, id).await?.standing, Standing::Active);

    let speed = json!({"downloadMbps": 50, "uploadMbps": 20});
    owner.post(&at("override-plan"), &speed).await?;
    let rate = known(&world, id).await?.rate_override.unwrap();
    assert_eq!(
        (rate.rate.to_mikrotik().as_str(), rate.until),
        ("20M/50M", None)
    );
    let boost = json!({"downloadMbps": 80, "uploadMbps": 40, "durationMinutes": 30});
    owner.post(&at("speed-boost"), &boost).await?;
    let rate = known(&world, id).await?.rate_override.unwrap();
    assert_eq!(
        rate.until,
        Some(noon().plus(std::time::Duration::from_secs(1800)))
    );

    let full = owner
        .put(&at("package"), &json!({"packageId": home["id"]}))
        .await?;
    assert_eq!(full["package"]["name"], json!("Home"));
    assert_eq!(full["username"], json!("jane"));
    let told = known(&world, id).await?;
    assert_eq!(
        told.package.map(|p| p.to_string()).as_deref(),
        home["id"].as_str()
    );
    assert_eq!(told.rate_override, None);

    owner
        .post(&at("assign-ip"), &json!({"ipAddress": "10.10.10.7"}))
        .await?;
    assert_eq!(
        known(&world, id).await?.static_ip,
        Some([10, 10, 10, 7].into())
    );
    let john = owner.post("/customers", &customer("john")).await?;
    let (status, code, _) = refused(
        owner,
        Method::POST,
        &format!("/customers/{}/assign-ip", text(&john["id"])),
        &json!({"ipAddress": "10.10.10.7"}),
    )
    .await?;
    assert_eq!((status, code.as_str()), (409, "ADDRESS_TAKEN"));

    let (status, code, _) = refused(owner, Method::POST, &at("mac-lock"), &none).await?;
    assert_eq!((status, code.as_str()), (409, "NO_DEVICE_KNOWN"));
    owner.post(&at("mac-reset"), &none).await?;
    for (what, body) in [
        ("override-plan", json!({"downloadMbps": 0, "uploadMbps": 1})),
        (
            "speed-boost",
            json!({"downloadMbps": 1, "uploadMbps": 1, "durationMinutes": 1441}),
        ),
        ("assign-ip", json!({"ipAddress": "300.1.1.1"})),
    ] {
        assert_eq!(
            refused(owner, Method::POST, &at(what), &body).await?.0,
            400,
            "{what}"
        );
    }
    let transactions = owner.get(&at("transactions")).await?;
    assert_eq!(
        transactions,
        json!({"mpesaTransactions": [], "manualTransactions": []})
    );
    world.stop().await
}

#[tokio::test]
async fn what_the_wallet_covers_follows_the_wish_to_renew() -> Result<()> {
    let world = given_world().await?;
    let owner = &world.owner;
    let home = owner.post("/packages", &package("Home")).await?;
    let mut jane = customer("jane");
    jane["packageId"] = home["id"].clone();
    jane["autoRenew"] = json!(true);
    jane["expiresAt"] = json!("2026-01-31T09:00:00Z");
    let made = owner.post("/customers", &jane).await?;
    let id = text(&made["id"]);
    let path = format!("/customers/{id}");
    let mut tx = world.cloud.app.db.begin(world.tenant).await?;
    let receipt = Receipt {
        customer: id.parse()?,
        amount: Cents::whole(3000),
        method: Means::Cash,
        till: Default::default(),
        channel: Channel::Recharge,
        receipt: None,
        proven: false,
        paid_at: noon(),
        intent: None,
        gateway: None,
        operator: None,
        phone: None,
        account: None,
        description: "Three months".to_owned(),
    };
    renewals::receive(&mut tx, receipt, noon()).await?;
    tx.commit().await?;
    let told = known(&world, id).await?;
    assert_eq!(told.paid_until.to_string(), "2026-02-28T09:00:00.000Z");
    assert_eq!(told.funded_until.to_string(), "2026-04-30T09:00:00.000Z");

    owner.put(&path, &json!({"autoRenew": false})).await?;
    let told = known(&world, id).await?;
    assert_eq!(told.funded_until, told.paid_until);
    owner.put(&path, &json!({"autoRenew": true})).await?;
    while known(&world, id).await?.funded_until == told.paid_until {
        tokio::task::yield_now().await;
    }
    let told = known(&world, id).await?;
    assert_eq!(told.funded_until.to_string(), "2026-04-30T09:00:00.000Z");
    world.stop().await
}

#[tokio::test]
async fn a_disconnect_is_a_command_at_the_home_site() -> Result<()> {
    let world = given_world().await?;
    let made = world.owner.post("/customers", &customer("jane")).await?;
    let id = text(&made["id"]);
    let path = format!("/customers/{id}/disconnect");
    let (status, answer) = world
        .owner
        .call(Method::POST, &path, Some(&json!({})))
        .await?;
    assert_eq!(status.as_u16(), 503);
    let message = text(&answer["message"]);
    assert!(
        message.contains("No agent serves the site Main site"),
        "{answer}"
    );
    assert!(message.contains("written down"), "{answer}");

    let mut tx = world.cloud.app.db.begin(world.tenant).await?;
    let command: uuid::Uuid =
        sqlx::query_scalar("select id from commands where tenant_id = $1 and customer_id = $2")
            .bind(world.tenant)
            .bind(id.parse::<uuid::Uuid>()?)
            .fetch_one(&mut *tx)
            .await?;
    drop(tx);
    let told = world.told(DownKind::Command, &command.to_string()).await?;
    let Some(Down::Command(told)) = told else {
        panic!("the site was told {told:?}");
    };
    assert_eq!(told.order, Order::Disconnect(Whom::Customer(id.parse()?)));
    world.stop().await
}

#[tokio::test]
async fn a_package_for_others_is_refused() -> Result<()> {
    let world = given_world().await?;
    let owner = &world.owner;
    let mut hour = package("Hour");
    hour["type"] = json!("HOTSPOT");
    let hour = owner.post("/packages", &hour).await?;
    let mut jane = customer("jane");
    jane["packageId"] = hour["id"].clone();
    let (status, _, message) = refused(owner, Method::POST, "/customers", &jane).await?;
    assert_eq!(status, 400);
    assert!(message.contains("hotspot package"), "{message}");
    world.stop().await
}

#[tokio::test]
async fn a_strangers_customer_does_not_exist() -> Result<()> {
    let world = given_world().await?;
    let made = world.owner.post("/customers", &customer("jane")).await?;
    let path = format!("/customers/{}", text(&made["id"]));
    let none = json!({});
    let mut calls = vec![
        (Method::GET, path.clone(), none.clone()),
        (Method::PUT, path.clone(), json!({"name": "Mine Now"})),
        (Method::DELETE, path.clone(), none.clone()),
        (
            Method::DELETE,
            format!("{path}/override-plan"),
            none.clone(),
        ),
    ];
    for what in ["transactions", "live-status", "auth-log"] {
        calls.push((Method::GET, format!("{path}/{what}"), none.clone()));
    }
    for what in ["suspend", "activate", "mac-lock", "mac-reset", "disconnect"] {
        calls.push((Method::POST, format!("{path}/{what}"), none.clone()));
    }
    let speed = json!({"downloadMbps": 5, "uploadMbps": 5, "durationMinutes": 5});
    for (what, body) in [
        ("override-plan", &speed),
        ("speed-boost", &speed),
        ("assign-ip", &json!({"ipAddress": "10.0.0.9"})),
    ] {
        calls.push((Method::POST, format!("{path}/{what}"), body.clone()));
    }
    let own = world.stranger.post("/packages", &package("Theirs")).await?;
    let change: Value = json!({"packageId": own["id"]});
    calls.push((Method::PUT, format!("{path}/package"), change));
    let until = json!({"expiresAt": "2027-01-01T00:00:00Z"});
    calls.push((Method::PUT, format!("{path}/expiry"), until));
    world.is_hidden_from_strangers(&calls).await?;
    assert_eq!(world.stranger.get("/customers").await?["total"], json!(0));
    assert_eq!(world.owner.get(&path).await?["name"], json!("Jane Doe"));
    world.stop().await
}
