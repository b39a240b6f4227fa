//! The users of a router's own, read from it and taken in.

use anyhow::{Context, Result, ensure};
use easyisp_tests::operator::Operator;
use easyisp_tests::router::api::Face;
use easyisp_tests::router::session::Service;
use easyisp_tests::router::subscriber::Method as Login;
use easyisp_tests::world::{PASSWORD, Provider, Site, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::large::finished;
use super::{counts, customers, find};
use crate::words::MINUTE;

#[tokio::test(flavor = "multi_thread")]
async fn twelve_hundred_users_of_routeros_7_become_customers_and_go_again() -> Result<()> {
    taken_over(Face::Seven).await
}

#[tokio::test(flavor = "multi_thread")]
async fn twelve_hundred_users_of_routeros_6_become_customers_and_go_again() -> Result<()> {
    taken_over(Face::Six).await
}

async fn taken_over(face: Face) -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "takeover").await?;
    let owner = &isp.owner;
    let site = Site::open_with_face(&world, &isp, face).await?;
    fill(&site);
    let path = format!("/nas/{}/import", site.router_id);
    let before = owner.get("/audit-logs").await?["total"].clone();

    let dry = owner
        .post(&format!("{path}?dryRun=true"), &json!({}))
        .await?;
    assert_eq!(counts(&dry), [1201, 0, 0, 2], "{}", dry["warnings"]);
    assert_eq!(
        (&dry["format"], &dry["dryRun"], &dry["importId"]),
        (&json!("router"), &json!(true), &json!(null))
    );
    ensure!(!dry.to_string().contains("word-"), "it shows no password");
    let failed = dry["rows"].as_array().context("rows")?.iter();
    let failed: Vec<[&Value; 2]> = failed
        .filter(|row| row["outcome"] == "failed")
        .map(|row| [&row["username"], &row["errors"][0]["field"]])
        .collect();
    assert_eq!(failed, [["tunnel", "service"], ["user0007", "username"]]);
    assert_eq!(customers(owner).await?, 0);
    // That somebody had it read what a router's users type is known though nothing came of it.
    let after = owner.get("/audit-logs").await?["total"].clone();
    assert_eq!(after.as_i64(), before.as_i64().map(|total| total + 1));

    let commands = site.router.counters().api_commands;
    let (status, answer) = owner.call(Method::POST, &path, None).await?;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let commands = site.router.counters().api_commands - commands;
    assert_eq!(
        commands, 2,
        "each list is read once, however many pages it has"
    );
    let id = answer["jobId"].as_str().context("a job")?;
    let job = finished(owner, id).await?;
    assert_eq!(
        (&job["state"], &job["kind"]),
        (&json!("DONE"), &json!("customers.import"))
    );
    assert_eq!(customers(owner).await?, 1201);
    // Who stands on both lists was there already when his second row came.
    let import = owner.get(&format!("/imports/{id}?outcome=failed")).await?;
    assert_eq!(counts(&import), [1201, 0, 1, 1], "{import}");

    let seven = find(owner, "user0007").await?;
    assert_eq!(
        (&seven["password"], &seven["name"], &seven["connectionType"]),
        (
            &json!("word-7"),
            &json!("User \"7\", house 7"),
            &json!("PPPOE")
        )
    );
    assert_eq!(
        (&seven["packageId"], &seven["nasId"], &seven["staticIp"]),
        (
            &json!(isp.package),
            &json!(site.router_id),
            &json!("10.9.0.8")
        )
    );
    assert_eq!(find(owner, "user0008").await?["status"], "DISABLED");
    let guest = find(owner, "guest3").await?;
    assert_eq!(
        (&guest["connectionType"], &guest["password"]),
        (&json!("HOTSPOT"), &json!("word-g3"))
    );
    // He dials once the router asks us: until then it answers him by itself.
    site.router.remove_user("user0010");
    site.knows("user0010", "at all", |_| true).await?;
    let ten = site
        .router
        .subscriber("user0010", "word-10", Login::MsChapV2);
    ten.dial().await.online().started().await;

    // Who read passwords off which router is in the trail; no password is, nor in what is kept of the rows.
    let trail = owner
        .get("/audit-logs?action=CUSTOMER_IMPORT&pageSize=100")
        .await?;
    ensure!(
        trail
            .to_string()
            .contains("Read the users of the router's own lists")
            && trail.to_string().contains("of a router's lists: ")
            && !trail.to_string().contains("word-"),
        "{trail}"
    );
    let mut tx = world.db().begin(isp.tenant().await?).await?;
    let kept: i64 = sqlx::query_scalar(
        "select count(*) from import_rows r join imports i on i.id = r.import_id
          where r::text like '%word-%' or i::text like '%word-%'",
    )
    .fetch_one(&mut *tx)
    .await?;
    assert_eq!(kept, 0, "a password is kept");
    tx.rollback().await?;

    // A second time makes nobody twice.
    let (_, again) = owner.call(Method::POST, &path, None).await?;
    let again = again["jobId"].as_str().context("a job")?;
    finished(owner, again).await?;
    let again = owner.get(&format!("/imports/{again}")).await?;
    assert_eq!(counts(&again), [0, 0, 1201, 1], "{again}");
    assert_eq!(customers(owner).await?, 1201);

    let undone = owner
        .post(&format!("/imports/{id}/undo"), &json!({}))
        .await?;
    assert_eq!(
        (&undone["undone"], &undone["rows"][0]["reason"]),
        (&json!(1200), &json!("has been online")),
        "{undone}"
    );
    assert_eq!(customers(owner).await?, 1);
    site.stop().await;
    world.stop().await
}

/// 1,195 users of PPP, one of a tunnel, six guests of whom one has a user of PPP's name; more than one answer holds.
fn fill(site: &Site) {
    let ppp = |name: &str, password: &str, says: &[(&'static str, &str)]| {
        site.router
            .add_user_with(Service::Pppoe, name, password, says);
    };
    let routes = "10.200.0.0/24 10.9.255.254 1".to_owned() + &" ".repeat(200);
    for n in 0..1195 {
        let (name, password) = (format!("user{n:04}"), format!("word-{n}"));
        let comment = format!("User \"{n}\", house {n}");
        let address = format!("10.9.{}.{}", n / 200, n % 200 + 1);
        ppp(
            &name,
            &password,
            &[
                ("service", if n % 2 == 0 { "any" } else { "pppoe" }),
                ("profile", if n % 3 == 0 { "default" } else { "home 10" }),
                ("remote-address", &address),
                ("routes", &routes),
                ("comment", &comment),
            ],
        );
    }
    site.router.disable_user("user0008", true);
    ppp("tunnel", "word-t", &[("service", "l2tp")]);
    let guest = |name: &str, password: &str| {
        let server = [("server", "hotspot1")];
        site.router
            .add_user_with(Service::Hotspot, name, password, &server);
    };
    for n in 0..6 {
        guest(&format!("guest{n}"), &format!("word-g{n}"));
    }
    guest("user0007", "word-other");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_asked_says_what_to_do() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "asked").await?;
    let owner = &isp.owner;
    let mut site = Site::open_with_api(&world, &isp).await?;
    let path = format!("/nas/{}/import", site.router_id);
    let said = async |who: &Operator| -> Result<(u16, String, String)> {
        let (status, answer) = who.call(Method::POST, &path, None).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok((
            status.as_u16(),
            text(&answer["code"]),
            text(&answer["error"]),
        ))
    };

    let (status, code, _) = said(owner).await?;
    assert_eq!((status, code.as_str()), (422, "NO_USERS"));

    // A hotspot's cards may have no passwords; that is no secret kept from us.
    site.router.add_user(Service::Hotspot, "card1", "");
    let dry = format!("{path}?dryRun=true");
    let card = owner.post(&dry, &json!({})).await?;
    assert_eq!(card["rows"][0]["errors"][0]["field"], "password", "{card}");

    site.router.add_user(Service::Pppoe, "jane", "jane-word");
    site.router.configure(|machine| {
        machine.put("/user group", &[("name", "agents")]);
        machine.put_named(("/user", "agent"), "group", "agents");
    });
    policy(&site, "api,read,write,test,ftp,reboot,password");
    let (status, code, message) = said(owner).await?;
    assert_eq!((status, code.as_str()), (422, "SITE_REFUSED"));
    ensure!(
        message.contains("Tower shows no passwords to the login agent")
            && message.contains("lacks `sensitive`"),
        "{message}"
    );
    policy(&site, "api,read,write,test,ftp,sensitive,reboot,password");
    let one = owner.post(&path, &json!({})).await?;
    assert_eq!(counts(&one), [1, 0, 0, 1], "{one}");

    // An edit at the router is an update here, which can be said and not done.
    site.router.remove_user("jane");
    site.router.add_user(Service::Pppoe, "jane", "other-word");
    let update = format!("{path}?onExisting=update");
    let changed = owner
        .post(&format!("{update}&dryRun=true"), &json!({}))
        .await?;
    assert_eq!(counts(&changed), [0, 1, 0, 1], "{changed}");
    assert_eq!(find(owner, "jane").await?["password"], "jane-word");
    let changed = owner.post(&update, &json!({})).await?;
    assert_eq!(counts(&changed), [0, 1, 0, 1], "{changed}");
    assert_eq!(find(owner, "jane").await?["password"], "other-word");

    // Who may make customers may not read passwords off routers; nor who stepped away from his desk.
    let clerk = json!({"name": "Clerk", "email": "clerk@asked.isp", "password": PASSWORD, "role": "STAFF",
        "addedPermissions": ["customers:create"]});
    owner.post("/tenant/operators", &clerk).await?;
    let clerk = Operator::login(world.api(), "clerk@asked.isp", PASSWORD).await?;
    let (status, code, _) = said(&clerk).await?;
    assert_eq!((status, code.as_str()), (403, "PERMISSION_MISSING"));
    world.clock.advance(MINUTE * 6);
    let (status, code, _) = said(owner).await?;
    assert_eq!((status, code.as_str()), (403, "FRESH_LOGIN_REQUIRED"));
    owner.confirm().await?;

    let stranger = Provider::sign_up(&world, "stranger").await?;
    let (status, _, _) = said(&stranger.owner).await?;
    assert_eq!(status, 404);

    // Nothing listens there.
    let router = format!("/nas/{}", site.router_id);
    owner.put(&router, &json!({"apiPort": 1})).await?;
    let message = eventually("the router is not entered any more", async || {
        let (status, _, message) = said(owner).await?;
        Ok((status == 502).then_some(message))
    })
    .await?;
    ensure!(message.contains("API port"), "{message}");
    site.stop_agent().await;
    let (status, _, message) = said(owner).await?;
    assert_eq!(status, 503, "{message}");
    site.stop().await;
    world.stop().await
}

/// What the agents' login may.
fn policy(site: &Site, policy: &str) {
    site.router
        .configure(|machine| machine.put_named(("/user group", "agents"), "policy", policy));
}
